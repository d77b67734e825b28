//! Types of columns, and what PostgreSQL does to the rows when one becomes another.

use squawk_syntax::{SyntaxKind, SyntaxNode};

/// A type as it is written, with its other names folded into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// As people read it: `varchar(20)`.
    pub shown: String,
    /// What is known of it.
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// One of PostgreSQL's own, under one name, with its modifiers.
    Own(&'static str, Vec<u32>),
    /// An array, a type of an extension or of the project: nothing is said about it.
    Other,
}

/// What a change of a type does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing happens to the rows: a brief lock.
    NoRewrite,
    /// Nothing happens to the rows, but they sort in another way: indexes are built anew.
    Reindex,
    /// Every row is written anew, or at least read, under `ACCESS EXCLUSIVE`; values may not fit.
    Rewrite,
    /// It cannot be told.
    Unknown,
}

/// Types of PostgreSQL that are compared and assigned among themselves; between two families that is so only where
/// [`Family::assigns_to`] says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Number,
    Text,
    Bits,
    Day,
    Clock,
    Truth,
    Uuid,
    Json,
    Bytes,
    Network,
}

impl Family {
    /// Whether a column of one family may become one of the other without `USING`. Some types of one family do not.
    pub fn assigns_to(self, to: Self) -> bool {
        self == to || to == Self::Text || (self == Self::Day && to == Self::Clock)
    }
}

/// PostgreSQL's names for its types; the first is the one that is kept.
const NAMES: &[&[&str]] = &[
    &["smallint", "int2", "smallserial", "serial2"],
    &["integer", "int", "int4", "serial", "serial4"],
    &["bigint", "int8", "bigserial", "serial8"],
    &["numeric", "decimal", "dec"],
    &["real", "float4"],
    &["double precision", "float8"],
    &["boolean", "bool"],
    &["text"],
    &["varchar", "character varying", "char varying"],
    &["char", "character", "bpchar"],
    &["varbit", "bit varying"],
    &["bit"],
    &["timestamp", "timestamp without time zone"],
    &["timestamptz", "timestamp with time zone"],
    &["time", "time without time zone"],
    &["timetz", "time with time zone"],
    &["interval"],
    &["date"],
    &["uuid"],
    &["json"],
    &["jsonb"],
    &["bytea"],
    &["cidr"],
    &["inet"],
];

impl ColumnType {
    /// Reads a type's node.
    pub fn of(node: &SyntaxNode) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut numbers: Vec<u32> = Vec::new();
        let mut plain = true;
        let mut inside = 0;
        for token in node.descendants_with_tokens().filter_map(|e| e.into_token()) {
            match token.kind() {
                SyntaxKind::WHITESPACE | SyntaxKind::COMMENT => {}
                SyntaxKind::L_PAREN => inside += 1,
                SyntaxKind::R_PAREN => inside -= 1,
                SyntaxKind::COMMA => {}
                _ if inside > 0 => match token.text().parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => plain = false,
                },
                // A quoted name may be anyone's; arrays, sets and `%TYPE` are not followed.
                _ if token.text().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') => {
                    words.push(token.text().to_ascii_lowercase());
                }
                _ => plain = false,
            }
        }
        let mut name = words.join(" ").replace(" . ", ".");
        if let Some(rest) = name.strip_prefix("pg_catalog.") {
            name = rest.to_owned();
        }
        let own = NAMES.iter().find(|names| names.contains(&name.as_str())).map(|names| names[0]).filter(|_| plain);
        match own {
            Some(own) => {
                let written: Vec<String> = numbers.iter().map(u32::to_string).collect();
                let shown = if written.is_empty() { own.to_owned() } else { format!("{own}({})", written.join(",")) };
                let numbers = match own {
                    // A bare `char` is one letter, a bare `bit` one bit.
                    "char" | "bit" if numbers.is_empty() && name != "bpchar" => vec![1],
                    "numeric" if numbers.len() == 1 => vec![numbers[0], 0],
                    _ => numbers,
                };
                Self { shown, kind: Kind::Own(own, numbers) }
            }
            None => {
                let shown = node.text().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                Self { shown, kind: Kind::Other }
            }
        }
    }

    /// What changing a column from this type to `new` does to its rows, by PostgreSQL's own rules: it skips the rewrite
    /// where the old bytes are valid values of the new type.
    pub fn change_to(&self, new: &Self) -> Effect {
        if matches!(self.kind, Kind::Own("text" | "varchar", _)) && new.is_citext() {
            return Effect::Reindex;
        }
        let (Kind::Own(from, old), Kind::Own(to, wide)) = (&self.kind, &new.kind) else { return Effect::Unknown };
        let fits = |holds: bool| if holds { Effect::NoRewrite } else { Effect::Rewrite };
        match (*from, *to) {
            ("varchar" | "varbit", t) if *from == t => {
                fits(wide.is_empty() || old.first().zip(wide.first()).is_some_and(|(o, n)| n >= o))
            }
            ("numeric", "numeric") => fits(match (old.as_slice(), wide.as_slice()) {
                (_, []) => true,
                ([p, s], [wider, same]) => wider >= p && s == same,
                _ => false,
            }),
            ("timestamp" | "timestamptz" | "time" | "timetz" | "interval", t) if *from == t => {
                // Six digits are all there are.
                let digits = |mods: &[u32]| mods.first().copied().unwrap_or(6).min(6);
                fits(digits(wide) >= digits(old))
            }
            (f, t) if f == t => fits(old == wide),
            ("varchar", "text") | ("cidr", "inet") => Effect::NoRewrite,
            ("text", "varchar") => fits(wide.is_empty()),
            _ => Effect::Rewrite,
        }
    }

    /// The family of one of PostgreSQL's own types.
    pub fn family(&self) -> Option<Family> {
        let Kind::Own(name, _) = &self.kind else { return None };
        Some(match *name {
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => Family::Number,
            "text" | "varchar" | "char" => Family::Text,
            "bit" | "varbit" => Family::Bits,
            "date" | "timestamp" | "timestamptz" => Family::Day,
            "time" | "timetz" | "interval" => Family::Clock,
            "boolean" => Family::Truth,
            "uuid" => Family::Uuid,
            "json" | "jsonb" => Family::Json,
            "bytea" => Family::Bytes,
            "cidr" | "inet" => Family::Network,
            _ => return None,
        })
    }

    /// The name of a type that is none of PostgreSQL's own, where it is that and no array of it.
    pub fn single_name(&self) -> Option<String> {
        self.foreign_name().filter(|_| !self.shown.contains(['[', '(', '%', ' ']))
    }

    /// Whether it is the text of the extension that compares without regard to case.
    fn is_citext(&self) -> bool {
        self.kind == Kind::Other && matches!(self.shown.to_lowercase().as_str(), "citext" | "public.citext")
    }

    /// The name of a type that is none of PostgreSQL's own, for the column itself or for what its array holds.
    pub fn foreign_name(&self) -> Option<String> {
        let Kind::Other = self.kind else { return None };
        let shown = self.shown.trim_end_matches("[]").replace('"', "").to_lowercase();
        Some(shown.strip_prefix("public.").map(str::to_owned).unwrap_or(shown))
    }

    /// Whether both are times that differ in knowing a zone: such a change is skipped only where the session's zone is UTC.
    pub fn gains_zone(&self, new: &Self) -> bool {
        matches!(
            (&self.kind, &new.kind),
            (Kind::Own("timestamp", _), Kind::Own("timestamptz", _))
                | (Kind::Own("timestamptz", _), Kind::Own("timestamp", _))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squawk_syntax::SourceFile;
    use squawk_syntax::ast::{self, AstNode as _};

    fn of(sql: &str) -> ColumnType {
        let parse = SourceFile::parse(&format!("create table t (a {sql});"));
        assert!(parse.errors().is_empty(), "{sql}");
        let tree = parse.tree();
        let ty = tree.syntax().descendants().find_map(ast::Type::cast).expect(sql);
        ColumnType::of(ty.syntax())
    }

    #[test]
    fn a_change_of_type_does_what_postgresql_does() {
        use Effect::{NoRewrite, Reindex, Rewrite, Unknown};
        for (from, to, expected) in [
            ("varchar(20)", "text", NoRewrite),
            ("character varying(20)", "varchar(40)", NoRewrite),
            ("varchar(20)", "varchar", NoRewrite),
            ("varchar(20)", "varchar(10)", Rewrite),
            ("varchar", "varchar(10)", Rewrite),
            ("text", "varchar", NoRewrite),
            ("text", "varchar(10)", Rewrite),
            ("char(10)", "char(20)", Rewrite),
            ("char(10)", "text", Rewrite),
            ("numeric(10,2)", "numeric(12,2)", NoRewrite),
            ("numeric(10,2)", "decimal(12,4)", Rewrite),
            ("numeric(10,2)", "numeric", NoRewrite),
            ("numeric(10)", "numeric(12)", NoRewrite),
            ("numeric", "numeric(12,2)", Rewrite),
            ("timestamp(3)", "timestamp", NoRewrite),
            ("timestamp(3) with time zone", "timestamptz(6)", NoRewrite),
            ("timestamp", "timestamp(3)", Rewrite),
            ("timestamp", "timestamptz", Rewrite),
            ("cidr", "inet", NoRewrite),
            ("inet", "cidr", Rewrite),
            ("int", "bigint", Rewrite),
            ("serial", "bigint", Rewrite),
            ("int", "int4", NoRewrite),
            ("pg_catalog.int4", "integer", NoRewrite),
            ("text[]", "varchar[]", Unknown),
            ("citext", "text", Unknown),
            ("text", "citext", Reindex),
            ("varchar(20)", "public.citext", Reindex),
            ("text", "citext[]", Unknown),
            ("char(20)", "citext", Unknown),
            ("\"text\"", "text", Unknown),
        ] {
            assert_eq!(of(from).change_to(&of(to)), expected, "{from} → {to}");
        }
        assert_eq!(of("character  varying (20)").shown, "varchar(20)");
        assert!(of("timestamp").gains_zone(&of("timestamp with time zone")));
    }
}
