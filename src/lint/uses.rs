//! Where else a script names a column: what a rewrite of its type, or of its default, would reach. A rewrite is offered only
//! where every other place is a bare list, which holds whatever the type is. Anything else is left to a person.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

use super::script::{Finding, Script, Statement, name_of, range_of};
use super::touched::word;

/// Rules whose rewrite gives a column another type.
pub(super) const RETYPES: [&str; 6] =
    ["ban-char-field", "json-column", PREFER_BIGINT[0], PREFER_BIGINT[1], "prefer-identity", "prefer-timestamp-tz"];
/// Those of them that make an integer wider.
pub(super) const PREFER_BIGINT: [&str; 2] = ["prefer-bigint-over-int", "prefer-bigint-over-smallint"];
/// The rule whose rewrite leaves the rows that are there without the default.
const NEW_ROWS_ONLY: &str = "adding-field-with-default";

/// What some statements say of columns.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Every name in them.
    names: BTreeSet<String>,
    /// Names in expressions, queries, bodies, changes: where the type or the value counts.
    used: BTreeSet<String>,
    /// Names in the columns of keys, which want values.
    keyed: BTreeSet<String>,
    /// Names in statements that say `*`.
    starred: BTreeSet<String>,
    /// Words of texts and names: where the name of a sequence may stand.
    words: BTreeSet<String>,
    /// Whether times are moved between zones.
    zones: bool,
    /// Tables that must have the columns of others, or others theirs.
    shaped: BTreeSet<String>,
}

impl Uses {
    /// What `statements` say.
    pub(super) fn of(statements: &[Statement]) -> Self {
        let mut uses = Self::default();
        for statement in statements {
            uses.read(statement);
        }
        uses
    }

    fn read(&mut self, statement: &Statement) {
        // Neither a word about a column nor a right to it cares what it holds.
        if matches!(statement.node, ast::Stmt::CommentOn(_) | ast::Stmt::Grant(_) | ast::Stmt::Revoke(_)) {
            let tokens = tokens(statement.node.syntax());
            self.words.extend(tokens.iter().flat_map(|token| words_of(token.text())));
            return;
        }
        match &statement.node {
            ast::Stmt::CreateTable(create) if create.inherits().is_some() || create.partition_of().is_some() => {
                let parents = create.inherits().into_iter().flat_map(|i| i.table_name_refs());
                self.shaped.extend(parents.map(|n| name_of(n.syntax())));
                self.shaped.extend(create.table_name().map(|n| name_of(n.syntax())));
            }
            ast::Stmt::AlterTable(alter) => {
                for action in alter.actions() {
                    let other = match &action {
                        ast::AlterTableAction::AttachPartition(attach) => attach.table_name_ref(),
                        ast::AlterTableAction::InheritTable(inherit) => inherit.table_name_ref(),
                        _ => continue,
                    };
                    self.shaped.extend(other.map(|n| name_of(n.syntax())));
                    self.shaped.extend(alter.table_relation_name().map(|n| name_of(n.syntax())));
                }
            }
            _ => {}
        }
        // What a row holds is no name of a column.
        let holds_names = !matches!(statement.node, ast::Stmt::Insert(_));
        let (mut here, mut stars) = (BTreeSet::new(), false);
        for token in tokens(statement.node.syntax()) {
            match token.kind() {
                SyntaxKind::STRING | SyntaxKind::DOLLAR_QUOTED_STRING | SyntaxKind::ESC_STRING if holds_names => {
                    let words = words_of(token.text());
                    self.zones |= words.contains("timezone") || words.contains("zone");
                    if !is_of_default(&token) {
                        here.extend(words.iter().cloned());
                        self.used.extend(words.iter().cloned());
                    }
                    self.words.extend(words);
                }
                SyntaxKind::STRING | SyntaxKind::DOLLAR_QUOTED_STRING | SyntaxKind::ESC_STRING => {}
                SyntaxKind::STAR => stars = true,
                SyntaxKind::ZONE_KW => self.zones = true,
                _ if is_name(&token) => {
                    let name = word(token.text());
                    self.zones |= name == "timezone";
                    match place_of(&token) {
                        Place::Bare => {}
                        Place::Key => drop(self.keyed.insert(name.clone())),
                        Place::Expression => drop(self.used.insert(name.clone())),
                    }
                    here.insert(name);
                }
                _ => {}
            }
        }
        if stars {
            self.starred.extend(here.iter().cloned());
        }
        self.words.extend(here.iter().cloned());
        self.names.extend(here);
    }

    /// Whether these statements would notice the rewrite that `rule` offers for the column.
    fn notice(&self, rule: &str, table: &str, column: &str) -> bool {
        let last = table.rsplit('.').next().unwrap_or(table);
        if self.used.contains(column) || self.starred.contains(last) {
            return true;
        }
        match rule {
            NEW_ROWS_ONLY => self.keyed.contains(column),
            "prefer-identity" => self.shaped.contains(table) || self.words.contains(&format!("{last}_{column}_seq")),
            "prefer-timestamp-tz" => self.shaped.contains(table) || self.zones,
            _ => self.shaped.contains(table),
        }
    }

    /// The same of statements in another file, which may have a column of that name in another table.
    pub(super) fn notice_from_afar(&self, rule: &str, table: &str, column: &str) -> bool {
        let last = table.rsplit('.').next().unwrap_or(table);
        let seq = format!("{last}_{column}_seq");
        (self.names.contains(last) || self.words.contains(&seq)) && self.notice(rule, table, column)
    }
}

/// How a column is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In its own definition, in a plain index, in the list of an `INSERT`.
    Bare,
    /// Among the columns of a key.
    Key,
    /// Anywhere else.
    Expression,
}

fn place_of(token: &SyntaxToken) -> Place {
    use SyntaxKind as K;
    let Some(name) = token.parent() else { return Place::Expression };
    let mut above = name.ancestors().skip(1);
    let (Some(first), second) = (above.next(), above.next()) else { return Place::Expression };
    let second_is = |kind: K| second.as_ref().is_some_and(|node| node.kind() == kind);
    match first.kind() {
        K::COLUMN | K::ADD_COLUMN if name.kind() == K::COLUMN_NAME => Place::Bare,
        K::COLUMN_TARGET if second_is(K::COLUMN_TARGET_LIST) => {
            let list = second.and_then(|list| list.parent());
            let alone = first.children().count() == 1;
            if alone && list.is_some_and(|l| l.kind() == K::INSERT) { Place::Bare } else { Place::Expression }
        }
        K::PARTITION_ITEM | K::CONFLICT_INDEX_ITEM if !says_more(&first) => {
            match second.and_then(|list| list.parent()).map(|of| of.kind()) {
                Some(K::CREATE_INDEX | K::INDEX_INCLUDE_CLAUSE | K::CONFLICT_ON_INDEX) => Place::Bare,
                _ => Place::Expression,
            }
        }
        K::CONSTRAINT_COLUMN_REF_LIST | K::FOREIGN_KEY_COLUMN_LIST | K::REFERENCES_CONSTRAINT => Place::Key,
        K::COLUMN_REF_LIST if second_is(K::CONSTRAINT_INCLUDE_CLAUSE) => Place::Bare,
        _ => match name.ancestors().find(|n| n.kind() == K::CHECK_CONSTRAINT) {
            Some(check) if only_compares(&check) => Place::Bare,
            _ => Place::Expression,
        },
    }
}

/// Whether an index asks for an operator class or a collation, which are of a type.
fn says_more(item: &SyntaxNode) -> bool {
    item.children().any(|c| matches!(c.kind(), SyntaxKind::OP_CLASS_REF | SyntaxKind::COLLATE))
}

/// Whether a check compares columns and numbers and does nothing else with them.
fn only_compares(check: &SyntaxNode) -> bool {
    use SyntaxKind as K;
    check.descendants().all(|n| !matches!(n.kind(), K::CALL_EXPR | K::CAST_EXPR | K::FIELD_EXPR | K::COLLATE))
        && tokens(check).iter().all(|token| {
            let text = token.text();
            is_name(token)
                || text.starts_with(|c: char| c.is_ascii_digit())
                || matches!(text, "(" | ")" | "," | "<" | ">" | "=" | "!" | "<=" | ">=" | "<>" | "!=" | "-")
                    && !is_difference(token)
                || matches!(
                    token.kind(),
                    K::CONSTRAINT_KW
                        | K::CHECK_KW
                        | K::AND_KW
                        | K::OR_KW
                        | K::NOT_KW
                        | K::NULL_KW
                        | K::IS_KW
                        | K::BETWEEN_KW
                        | K::IN_KW
                        | K::VALID_KW
                )
        })
}

/// Whether a minus stands between two values, not in front of one.
fn is_difference(token: &SyntaxToken) -> bool {
    token.text() == "-" && token.parent().is_none_or(|p| p.kind() != SyntaxKind::PREFIX_EXPR)
}

/// Whether a text is the default of a column.
fn is_of_default(token: &SyntaxToken) -> bool {
    token.parent_ancestors().any(|n| n.kind() == SyntaxKind::DEFAULT_CONSTRAINT)
}

fn is_name(token: &SyntaxToken) -> bool {
    use SyntaxKind as K;
    token.kind() == K::IDENT
        || token.parent().is_some_and(|p| {
            let kind = p.kind();
            matches!(kind, K::NAME_REF | K::COLUMN_NAME | K::COLUMN_NAME_REF | K::PATH_SEGMENT | K::PATH_SEGMENT_REF)
        })
}

/// The tokens of a node that are no part of a type.
fn tokens(node: &SyntaxNode) -> Vec<SyntaxToken> {
    let is_of_type = |token: &SyntaxToken| token.parent_ancestors().any(|n| ast::Type::can_cast(n.kind()));
    node.descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|t| !matches!(t.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT) && !is_of_type(t))
        .collect()
}

fn words_of(text: &str) -> BTreeSet<String> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_letter(c)).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// Notes which column the rewrites of a script are of, and takes back those that another place would notice.
pub(super) fn withhold(script: &Script<'_>, found: &mut [Finding]) {
    let offered = |f: &Finding| f.fix.is_some() && (RETYPES.contains(&f.rule.id) || f.rule.id == NEW_ROWS_ONLY);
    if !found.iter().any(offered) {
        return;
    }
    let uses = Uses::of(&script.statements);
    for finding in found.iter_mut().filter(|f| offered(f)) {
        finding.column = column_at(script, finding);
        let keeps = finding.column.as_ref().is_some_and(|(table, column)| {
            !uses.notice(finding.rule.id, table, column) && !moves_its_own_default(script, finding)
        });
        if !keeps {
            finding.fix = None;
        }
    }
    // A key and what it refers to change together or not at all.
    let keys = foreign_keys(script);
    loop {
        let changed: Vec<(usize, &str)> = found
            .iter()
            .filter(|f| f.fix.is_some() && RETYPES.contains(&f.rule.id))
            .map(|f| (f.range.start, f.rule.id))
            .collect();
        let stays = |finding: &&mut Finding| {
            finding.column.as_ref().is_some_and(|(table, column)| {
                let mut own = keys.iter().filter(|key| key.table == *table && key.column == *column);
                own.any(|key| !key.may_follow(script, finding.rule.id, &changed))
            })
        };
        let mut given_up = false;
        for finding in found.iter_mut().filter(|f| f.fix.is_some() && RETYPES.contains(&f.rule.id)).filter(stays) {
            finding.fix = None;
            given_up = true;
        }
        if !given_up {
            break;
        }
    }
}

/// A column that refers to another table's.
struct Key {
    table: String,
    column: String,
    other: String,
    /// The column there; none where it is the primary key.
    referred: Option<String>,
}

impl Key {
    /// Whether the column may get its new type: what it refers to has it or gets it, or is in none of these statements.
    fn may_follow(&self, script: &Script<'_>, rule: &str, changed: &[(usize, &str)]) -> bool {
        let made = script.statements.iter().find_map(|s| match &s.node {
            ast::Stmt::CreateTable(c) if c.table_name().is_some_and(|n| name_of(n.syntax()) == self.other) => Some(c),
            _ => None,
        });
        let Some(made) = made else { return PREFER_BIGINT.contains(&rule) };
        let columns = made.table_arg_list().into_iter().flat_map(|l| l.args());
        let referred = columns
            .filter_map(|arg| match arg {
                ast::TableArg::Column(column) => Some(column),
                _ => None,
            })
            .find(|column| match &self.referred {
                Some(name) => column.name().is_some_and(|n| name_of(n.syntax()) == *name),
                None => column.syntax().children().any(|c| c.kind() == SyntaxKind::PRIMARY_KEY_CONSTRAINT),
            });
        let Some(referred) = referred else { return false };
        let range = range_of(referred.syntax());
        let ty = referred.ty().map(|t| name_of(t.syntax())).unwrap_or_default();
        let is_wide = matches!(ty.as_str(), "bigint" | "int8" | "bigserial" | "serial8");
        let widens = PREFER_BIGINT.contains(&rule);
        let alike = |other: &str| other == rule || (widens && PREFER_BIGINT.contains(&other));
        changed.iter().any(|(at, other)| range.contains(at) && alike(other)) || (widens && is_wide)
    }
}

/// The foreign keys of a script, column by column.
fn foreign_keys(script: &Script<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    for statement in &script.statements {
        let Some(table) = table_of(&statement.node) else { continue };
        for node in statement.node.syntax().descendants() {
            if let Some(key) = ast::ReferencesConstraint::cast(node.clone()) {
                let own = node.ancestors().find_map(|n| {
                    ast::Column::cast(n.clone())
                        .and_then(|c| c.name())
                        .or_else(|| ast::AddColumn::cast(n).and_then(|c| c.column_name()))
                });
                let (Some(own), Some(other)) = (own, key.table()) else { continue };
                keys.push(Key {
                    table: table.clone(),
                    column: name_of(own.syntax()),
                    other: name_of(other.syntax()),
                    referred: key.column().map(|c| name_of(c.syntax())),
                });
            }
            if let Some(key) = ast::ForeignKeyConstraint::cast(node) {
                let list = |list: Option<ast::ForeignKeyColumnList>| -> Vec<String> {
                    list.into_iter().flat_map(|l| l.column_name_refs()).map(|c| name_of(c.syntax())).collect()
                };
                let Some(other) = key.table_name_ref() else { continue };
                let referred = list(key.to_columns());
                for (n, column) in list(key.from_columns()).into_iter().enumerate() {
                    let (table, other) = (table.clone(), name_of(other.syntax()));
                    keys.push(Key { table, column, other, referred: referred.get(n).cloned() });
                }
            }
        }
    }
    keys
}

/// The table that a statement gives columns.
fn table_of(stmt: &ast::Stmt) -> Option<String> {
    match stmt {
        ast::Stmt::CreateTable(create) => Some(name_of(create.table_name()?.syntax())),
        ast::Stmt::AlterTable(alter) => Some(name_of(alter.table_relation_name()?.syntax())),
        _ => None,
    }
}

/// The table and the column whose type or default a finding is about.
fn column_at(script: &Script<'_>, finding: &Finding) -> Option<(String, String)> {
    let statement = &script.statements[script.statement_at(finding.range.start)?];
    let table = table_of(&statement.node)?;
    let column = statement.node.syntax().descendants().filter(|n| range_of(n).contains(&finding.range.start));
    let named = column.filter_map(|n| match n.kind() {
        SyntaxKind::COLUMN => ast::Column::cast(n)?.name(),
        SyntaxKind::ADD_COLUMN => ast::AddColumn::cast(n)?.column_name(),
        _ => None,
    });
    Some((table, name_of(named.last()?.syntax())))
}

/// Whether a time is given a default that would be another moment with a zone: any but the present one.
fn moves_its_own_default(script: &Script<'_>, finding: &Finding) -> bool {
    if finding.rule.id != "prefer-timestamp-tz" {
        return false;
    }
    let Some(statement) = script.statement_at(finding.range.start).map(|at| &script.statements[at]) else {
        return true;
    };
    let columns = statement.node.syntax().descendants().filter(|n| {
        matches!(n.kind(), SyntaxKind::COLUMN | SyntaxKind::ADD_COLUMN) && range_of(n).contains(&finding.range.start)
    });
    let defaults = columns.flat_map(|c| c.descendants()).filter_map(ast::DefaultConstraint::cast);
    defaults.filter_map(|d| d.expr()).any(|expr| !is_present(&expr))
}

fn is_present(expr: &ast::Expr) -> bool {
    const PRESENT: [&str; 4] = ["now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"];
    match expr {
        ast::Expr::ParenExpr(paren) => paren.expr().is_some_and(|e| is_present(&e)),
        ast::Expr::CastExpr(cast) => cast.expr().is_some_and(|e| is_present(&e)),
        ast::Expr::NameRef(name) => {
            matches!(name_of(name.syntax()).as_str(), "current_timestamp" | "localtimestamp")
        }
        ast::Expr::CallExpr(call) => super::script::builtin(call).is_some_and(|name| PRESENT.contains(&name.as_str())),
        ast::Expr::Literal(literal) => literal.syntax().text().to_string().eq_ignore_ascii_case("null"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{Scope, sample};

    /// The rules that offer a rewrite for a script, behind a migration that makes some tables.
    fn offered(sql: &str) -> Vec<String> {
        let base = "CREATE TABLE products (id integer PRIMARY KEY);\nCREATE TABLE people (id bigint PRIMARY KEY);";
        let (report, _) = sample(&[("0001_base.up.sql", base), ("0002_m.up.sql", sql)]);
        let mine = report.violations.into_iter().filter(|v| v.file == "0002_m.up.sql" && v.fix.is_some());
        mine.map(|v| v.rule).filter(|r| super::RETYPES.contains(&r.as_str()) || r == super::NEW_ROWS_ONLY).collect()
    }

    #[test]
    fn a_type_that_something_else_needs_is_not_rewritten() {
        for sql in [
            "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc'));",
            "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp without time zone NOT NULL DEFAULT timezone('utc', now()));",
            "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp DEFAULT '2020-01-01 00:00');",
            "ALTER TABLE c ADD COLUMN utc_at timestamp DEFAULT (now() AT TIME ZONE 'utc');",
            "ALTER TABLE o ADD COLUMN at timestamp; UPDATE o SET at = (now() AT TIME ZONE 'utc') WHERE id = 1;",
            "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp); CREATE INDEX i ON a ((at::date));",
            "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp, d date GENERATED ALWAYS AS (at::date) STORED);",
            "CREATE TABLE a (id bigint, at timestamp NOT NULL) PARTITION BY RANGE (at);",
            "CREATE TABLE a (id bigint PRIMARY KEY, f timestamp, u timestamp, EXCLUDE USING gist (tsrange(f, u) WITH &&));",
            "CREATE TABLE a (id bigint PRIMARY KEY, y integer, d date GENERATED ALWAYS AS (make_date(y, 1, 1)) STORED);",
            "CREATE TABLE a (id bigint PRIMARY KEY, x int, y int, EXCLUDE USING gist (int4range(x, y) WITH &&));",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE INDEX i ON a (dbl(n));",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE INDEX i ON a (n int4_ops);",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE INDEX i ON a (id) WHERE n = 5;",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE VIEW v AS SELECT current_date + n AS d FROM a;",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE VIEW v AS SELECT * FROM a;",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int, CHECK (chr(n) = 'x'));",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); DO $$ BEGIN PERFORM chr(n) FROM a; END $$;",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); ALTER TABLE a ALTER COLUMN n SET NOT NULL;",
            "CREATE TABLE a (id bigint PRIMARY KEY, b json, CHECK (json_typeof(b) = 'object'));",
            "CREATE TABLE a (id bigint PRIMARY KEY, b json); CREATE INDEX i ON a ((json_extract_path_text(b, 'x')));",
            "CREATE TABLE a (id bigserial PRIMARY KEY); ALTER SEQUENCE a_id_seq OWNED BY NONE;",
            "CREATE TABLE a (n int) INHERITS (b);",
            "CREATE TABLE a (id bigint PRIMARY KEY, n int); ALTER TABLE b ATTACH PARTITION a DEFAULT;",
            "CREATE TABLE b (n int, d date) PARTITION BY RANGE (d); CREATE TABLE a (n integer, d date); ALTER TABLE b ATTACH PARTITION a DEFAULT;",
            "CREATE TABLE a (id bigint PRIMARY KEY, p integer NOT NULL REFERENCES products (id));",
            "CREATE TABLE a (id bigint PRIMARY KEY, p integer REFERENCES products);",
            "CREATE TABLE a (id bigint PRIMARY KEY, p integer, FOREIGN KEY (p) REFERENCES products (id));",
            "ALTER TABLE a ADD COLUMN p integer REFERENCES products (id);",
            "CREATE TABLE a (id bigint PRIMARY KEY, c char(3) REFERENCES b (c));",
            "CREATE DOMAIN d AS int; CREATE TABLE b (c d PRIMARY KEY); CREATE TABLE a (id bigint PRIMARY KEY, n int REFERENCES b (c));",
        ] {
            assert_eq!(offered(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn a_column_that_only_lists_name_is_rewritten() {
        for (sql, rules) in [
            (
                "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp NOT NULL DEFAULT now());",
                vec!["prefer-timestamp-tz"],
            ),
            (
                "CREATE TABLE a (id bigint PRIMARY KEY, at timestamp); CREATE INDEX ON a (at DESC); COMMENT ON COLUMN a.at IS 'at';",
                vec!["prefer-timestamp-tz"],
            ),
            ("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a (id) VALUES (1);", vec!["prefer-bigint-over-int"]),
            (
                "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO NOTHING;",
                vec!["prefer-bigint-over-int"],
            ),
            (
                "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a_id int REFERENCES a (id), PRIMARY KEY (a_id));",
                vec!["prefer-bigint-over-int", "prefer-bigint-over-int"],
            ),
            ("CREATE TABLE a (id bigint PRIMARY KEY, p int REFERENCES people (id));", vec!["prefer-bigint-over-int"]),
            ("CREATE TABLE a (id bigint PRIMARY KEY, p int REFERENCES a);", vec!["prefer-bigint-over-int"]),
            (
                "CREATE TABLE a (id bigint PRIMARY KEY, x int CHECK (x >= -1), y int, CHECK (y BETWEEN 1 AND 5 OR y > x));",
                vec!["prefer-bigint-over-int", "prefer-bigint-over-int"],
            ),
            (
                "CREATE TABLE a (id bigint PRIMARY KEY, n int UNIQUE); CREATE VIEW v AS SELECT m FROM b;",
                vec!["prefer-bigint-over-int"],
            ),
            ("CREATE TABLE a (id bigint PRIMARY KEY, b json DEFAULT '{\"b\": 1}');", vec!["json-column"]),
            ("CREATE TABLE a (id bigserial PRIMARY KEY);", vec!["prefer-identity"]),
        ] {
            assert_eq!(offered(sql), rules, "{sql}");
        }
    }

    #[test]
    fn a_default_that_something_reads_is_not_put_off() {
        let add = "ALTER TABLE o ADD COLUMN c uuid DEFAULT gen_random_uuid();";
        for (behind, stays) in [
            ("", true),
            ("CREATE INDEX i ON o (c);", true),
            ("INSERT INTO o (id) VALUES (1);", true),
            ("ALTER TABLE o ALTER COLUMN c SET NOT NULL;", false),
            ("ALTER TABLE o ADD PRIMARY KEY (c);", false),
            ("INSERT INTO s (k) SELECT c::text FROM o WHERE id = 1;", false),
            ("INSERT INTO s SELECT * FROM o WHERE id = 1;", false),
        ] {
            let offered = offered(&format!("{add} {behind}"));
            assert_eq!(offered.iter().any(|r| r == super::NEW_ROWS_ONLY), stays, "{behind}");
        }
    }

    #[test]
    fn what_the_same_change_brings_behind_counts_too() {
        let table = "CREATE TABLE plans (id bigint PRIMARY KEY, days int NOT NULL);";
        let of = |later: &str| {
            use crate::migration::{MigrationRoot, SourceFile, resolve};
            let files = [("0001_a.up.sql", table), ("0002_b.up.sql", later)];
            let set = resolve(&files.map(|(p, t)| SourceFile::new(p, t.as_bytes())), &[MigrationRoot::folder("")]);
            let scope = Scope::Paths(files.iter().map(|(p, _)| (*p).to_owned()).collect());
            let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
            let report = crate::lint::check(&set, &crate::config::LintConfig::default(), &scope, today);
            report.violations.iter().any(|v| v.rule == "prefer-bigint-over-int" && v.fix.is_some())
        };
        assert!(!of("CREATE VIEW v AS SELECT current_date + days AS ends FROM plans;"));
        assert!(!of("CREATE FUNCTION f() RETURNS date LANGUAGE sql AS $$ SELECT current_date + days FROM plans $$;"));
        assert!(of("CREATE VIEW v AS SELECT current_date + days AS ends FROM other;"));
        assert!(of("CREATE INDEX i ON plans (days);"));
    }
}
