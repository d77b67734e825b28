//! What a statement that no transaction can hold leaves behind, read from its words. Pure; the session looks for it.

use std::ops::Range;

use crate::migration::execution::significant_tokens;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// `CREATE [UNIQUE] INDEX CONCURRENTLY name ON table …`
    CreateIndex(CreateIndex),
    /// `DROP INDEX CONCURRENTLY name`; as written, so that `to_regclass` reads it.
    DropIndex(String),
    /// `ALTER TABLE parent DETACH PARTITION child CONCURRENTLY`, or `… FINALIZE`.
    Detach {
        /// As written.
        parent: String,
        /// As written.
        child: String,
    },
    /// `REINDEX … CONCURRENTLY` of an index or a table, as written: leftovers end in `_ccnew`.
    Reindex(String),
    /// An object of a catalog, by its unquoted name: is it there, and should it be?
    Object {
        /// Catalog and column: `pg_database.datname`.
        catalog: &'static str,
        /// The column that names it.
        column: &'static str,
        /// Its name.
        name: String,
        /// Whether the statement makes it (or takes it away).
        creates: bool,
    },
    /// Nothing that a look could prove.
    Nothing,
}

/// The parts of a `CREATE INDEX CONCURRENTLY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// The index's name, unquoted.
    pub name: String,
    /// The index's name as written.
    pub written_name: String,
    /// The table as written.
    pub table: String,
    /// Whether it was written with `IF NOT EXISTS`, which proves nothing.
    pub if_not_exists: bool,
    /// `UNIQUE ` or nothing.
    unique: bool,
    /// Everything behind the table.
    rest: String,
}

impl CreateIndex {
    /// The same index on another table, in a transaction: how the server would write its definition today.
    pub fn on(&self, index: &str, table: &str) -> String {
        format!("CREATE {}INDEX {index} ON {table} {}", if self.unique { "UNIQUE " } else { "" }, self.rest)
    }
}

struct Words<'a> {
    text: &'a str,
    tokens: Vec<Range<usize>>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |r| &self.text[r.clone()])
    }

    fn eat(&mut self, word: &str) -> bool {
        let hit = self.peek().eq_ignore_ascii_case(word);
        self.at += usize::from(hit);
        hit
    }

    /// All of `words`, or none.
    fn eat_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        if words.iter().all(|w| self.eat(w)) {
            return true;
        }
        self.at = start;
        false
    }

    /// A name with dots, as written.
    fn name(&mut self) -> Option<&'a str> {
        let start = self.tokens.get(self.at)?.start;
        let mut end = self.tokens.get(self.at)?.end;
        self.at += 1;
        while self.peek() == "." {
            self.at += 1;
            end = self.tokens.get(self.at)?.end;
            self.at += 1;
        }
        Some(&self.text[start..end])
    }

    fn rest(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |r| &self.text[r.start..])
    }
}

/// A single name as the catalog has it: folded, or without its quotes.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

/// What `statement` leaves behind.
pub fn effect_of(statement: &str) -> Effect {
    read(statement).unwrap_or(Effect::Nothing)
}

fn read(statement: &str) -> Option<Effect> {
    let mut w = Words { text: statement, tokens: significant_tokens(statement), at: 0 };
    if w.eat("create") {
        let unique = w.eat("unique");
        if w.eat_all(&["index", "concurrently"]) {
            let if_not_exists = w.eat_all(&["if", "not", "exists"]);
            let written_name = w.name()?.to_owned();
            w.eat("on").then_some(())?;
            w.eat("only");
            let table = w.name()?.to_owned();
            let rest = w.rest().to_owned();
            let name = unquoted(&written_name);
            return Some(Effect::CreateIndex(CreateIndex { name, written_name, table, if_not_exists, unique, rest }));
        }
        return object(&mut w, true);
    }
    if w.eat("drop") {
        if w.eat_all(&["index", "concurrently"]) {
            w.eat_all(&["if", "exists"]);
            return Some(Effect::DropIndex(w.name()?.to_owned()));
        }
        return object(&mut w, false);
    }
    if w.eat("reindex") {
        if w.eat("(") {
            while !w.eat(")") {
                w.name()?;
            }
        }
        let ours = w.eat("index") || w.eat("table");
        w.eat("concurrently");
        return ours.then(|| w.name().map(|n| Effect::Reindex(n.to_owned())))?;
    }
    if w.eat_all(&["alter", "table"]) {
        w.eat_all(&["if", "exists"]);
        w.eat("only");
        let parent = w.name()?.to_owned();
        w.eat_all(&["detach", "partition"]).then_some(())?;
        let child = w.name()?.to_owned();
        return Some(Effect::Detach { parent, child });
    }
    None
}

fn object(w: &mut Words<'_>, creates: bool) -> Option<Effect> {
    let (catalog, column) = [
        ("database", "pg_catalog.pg_database", "datname"),
        ("tablespace", "pg_catalog.pg_tablespace", "spcname"),
        ("subscription", "pg_catalog.pg_subscription", "subname"),
    ]
    .into_iter()
    .find(|(word, _, _)| w.eat(word))
    .map(|(_, catalog, column)| (catalog, column))?;
    w.eat_all(&["if", "exists"]);
    Some(Effect::Object { catalog, column, name: unquoted(w.name()?), creates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let Effect::CreateIndex(i) = effect_of(
            "create unique /* c */ index concurrently if not exists \"My \"\"I\" on only app.\"T t\" using btree (a) where b > 0",
        ) else {
            panic!("an index")
        };
        assert_eq!((i.name.as_str(), i.table.as_str(), i.if_not_exists), ("My \"I", "app.\"T t\"", true));
        assert_eq!(i.on("x", "pg_temp.y"), "CREATE UNIQUE INDEX x ON pg_temp.y using btree (a) where b > 0");
        assert_eq!(effect_of("DROP INDEX CONCURRENTLY IF EXISTS App.I1"), Effect::DropIndex("App.I1".to_owned()));
        assert_eq!(effect_of("reindex (verbose) index concurrently i"), Effect::Reindex("i".to_owned()));
        assert_eq!(
            effect_of("alter table only p detach partition s.c concurrently"),
            Effect::Detach { parent: "p".to_owned(), child: "s.c".to_owned() }
        );
        assert!(matches!(effect_of("create database D"), Effect::Object { name, creates: true, .. } if name == "d"));
        assert!(
            matches!(effect_of("drop tablespace if exists \"S\""), Effect::Object { name, creates: false, .. } if name == "S")
        );
        for nothing in
            ["vacuum", "create index concurrently on t (a)", "alter system set a = 1", "reindex database d", ""]
        {
            assert_eq!(effect_of(nothing), Effect::Nothing, "{nothing}");
        }
    }
}
