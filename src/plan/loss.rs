//! What a rollback in SQL would lose, as questions to the server: a table that is empty loses nothing. Pure.

use super::{Objection, ObjectionKind, Step};
use crate::ids::Engine;
use crate::lint::{Taken, taken_by};
use crate::migration::Script;

/// Rows are counted this far, no further.
pub const MOST: u64 = 1_000;

/// What to do about a loss.
const HELP: &str = "copy it elsewhere first, or accept the loss: `--accept-data-loss`";

/// Something that a script takes away, and how to learn whether anything is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The line of its statement, from 1.
    pub line: u32,
    /// What goes: ``the table `orders` ``.
    what: String,
    /// What is counted in it.
    unit: &'static str,
    /// Queries that count what is there, each for the case that the server does not understand the one before it. Without
    /// any nothing can be learnt.
    pub queries: Vec<String>,
}

/// The questions about a backward script. `schema` is the one that its unqualified names are looked for in, where that is
/// not the connection's.
pub fn questions(engine: Engine, script: &Script, schema: Option<&str>) -> Vec<Question> {
    let taken = if script.long.is_some() { None } else { taken_by(engine, &script.text) };
    let Some(taken) = taken else {
        // What cannot be taken apart is judged by its words.
        let unknown =
            Question { line: script.first_line, what: "what it drops".to_owned(), unit: "", queries: Vec::new() };
        return if script.destroys(engine) { vec![unknown] } else { Vec::new() };
    };
    taken
        .into_iter()
        .map(|(range, taken)| {
            let before = script.text.get(..range.start).unwrap_or_default().matches('\n').count();
            let line = script.first_line + u32::try_from(before).unwrap_or(0);
            let (what, unit, queries) = asked(engine, &taken, schema);
            Question { line, what, unit, queries }
        })
        .collect()
}

fn asked(engine: Engine, taken: &Taken, schema: Option<&str>) -> (String, &'static str, Vec<String>) {
    let count = |from: &str| format!("SELECT count(*) FROM (SELECT 1 FROM {from} LIMIT {}) AS there", MOST + 1);
    // As the path of the connection finds it behind that of the migration.
    let each = |name: &str, rest: &str| -> Vec<String> {
        let own = schema.filter(|_| !name.contains('.')).map(|schema| format!("\"{}\".", schema.replace('"', "\"\"")));
        own.into_iter().chain([String::new()]).map(|place| count(&format!("{place}{name}{rest}"))).collect()
    };
    match taken {
        Taken::Table(table) => (format!("the table `{table}`"), "rows", each(table, "")),
        Taken::Column { table, column } => {
            let holds = format!(" WHERE {column} IS NOT NULL");
            (format!("the column `{column}` of `{table}`"), "values", each(table, &holds))
        }
        Taken::Rows { table, from } => {
            let some = from.strip_prefix(table.as_str()).map(|rest| each(table, rest));
            let what = if some.is_some() { "what is deleted of" } else { "the emptied table" };
            let queries = some.into_iter().flatten().chain(each(table, "")).collect();
            (format!("{what} `{table}`"), "rows", queries)
        }
        Taken::Schema(name) => {
            let text = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => name.to_lowercase(),
            };
            let tables = format!(
                "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = '{}' AND c.relkind IN ('r', 'm') AND pg_catalog.pg_relation_size(c.oid) > 0",
                text.replace('\'', "''")
            );
            let queries = if engine == Engine::Postgresql { vec![tables] } else { Vec::new() };
            (format!("the schema `{name}`"), "tables with rows", queries)
        }
    }
}

impl Question {
    /// What is said against a step that takes this away, with as many things in it; `None`: that could not be learnt.
    pub fn objection(&self, step: &Step, path: &str, held: Option<u64>) -> Option<Objection> {
        let Self { what, unit, .. } = self;
        let message = match held {
            Some(0) => return None,
            None => format!("{what} may hold data, which would be lost; nobody could count it"),
            Some(held) if held > MOST => format!("{what} holds more than {MOST} {unit}, which would be lost"),
            Some(1) => format!("{what} holds {}, which would be lost", single(unit)),
            Some(held) => format!("{what} holds {held} {unit}, which would be lost"),
        };
        Some(Objection {
            kind: ObjectionKind::DataLoss,
            migration: Some(step.migration.clone()),
            file: Some(path.to_owned()),
            line: Some(self.line),
            message,
            what_to_do: HELP.to_owned(),
        })
    }
}

/// One of what is counted in that unit.
fn single(unit: &str) -> String {
    let (first, rest) = unit.split_once(' ').map_or((unit, String::new()), |(first, rest)| (first, format!(" {rest}")));
    format!("one {}{rest}", first.strip_suffix('s').unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one() {
        assert_eq!(["rows", "values", "tables with rows"].map(single), ["one row", "one value", "one table with rows"]);
    }

    fn of(engine: Engine, sql: &str, schema: Option<&str>) -> Vec<(u32, Vec<String>)> {
        let script = Script { first_line: 5, ..Script::whole("1_a.down.sql", sql) };
        questions(engine, &script, schema).into_iter().map(|q| (q.line, q.queries)).collect()
    }

    #[test]
    fn s4_68_what_goes_is_counted_where_it_stands() {
        let count = |from: &str| format!("SELECT count(*) FROM (SELECT 1 FROM {from} LIMIT 1001) AS there");
        let sql = "DROP TABLE a;\nALTER TABLE \"B\" DROP COLUMN c;\nDELETE FROM d x WHERE x.e = 1;\nTRUNCATE f;";
        assert_eq!(
            of(Engine::Postgresql, sql, None),
            [
                (5, vec![count("a")]),
                (6, vec![count("\"B\" WHERE c IS NOT NULL")]),
                (7, vec![count("d x WHERE x.e = 1"), count("d")]),
                (8, vec![count("f")]),
            ]
        );
        let sql = "DROP TABLE a, other.b; DELETE FROM c WHERE d;";
        let queries: Vec<String> = of(Engine::Postgresql, sql, Some("shop")).into_iter().flat_map(|q| q.1).collect();
        let own = |from: &str| count(&format!("\"shop\".{from}"));
        let rows = [own("c WHERE d"), count("c WHERE d"), own("c"), count("c")];
        assert_eq!(queries, [[own("a"), count("a"), count("other.b")].as_slice(), &rows].concat());
        // What cannot be taken apart is asked about by its words alone.
        assert_eq!(of(Engine::Postgresql, "DROP TABLE a; nonsense(", None).len(), 1);
        assert_eq!(of(Engine::Postgresql, "CREATE INDEX i ON a (b);", None), []);
    }
}
