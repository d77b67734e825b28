//! What stands in a new migration, by engine and type. Pure; every text here passes the linter.

use std::fmt::Write as _;

use serde_json::{Value, json};
use squawk_syntax::quote::quote_ident;

use super::Kind;
use crate::ids::Engine;
use crate::migration::Layout;

/// What a migration says about itself.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub kind: Kind,
    pub engine: Engine,
    pub name: String,
    pub version: String,
    pub description: String,
    pub author: String,
    pub ticket: Option<String>,
    pub risk: Option<crate::ids::Risk>,
    pub duration: Option<String>,
    /// The schema of a service, with its dot.
    pub schema: String,
    pub table: String,
    pub column: String,
}

/// A script and its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scripts {
    pub up: String,
    pub down: String,
    /// Whether a transaction cannot hold it, so that the layout's own mark is needed.
    pub outside: bool,
}

/// The table that a name speaks of: `create_orders` and `add_orders_table` are about `orders`.
pub(super) fn table_of(name: &str) -> String {
    let verbs = ["create_", "add_", "make_", "new_", "index_", "fill_", "backfill_", "drop_", "fix_"];
    let rest = verbs.iter().find_map(|verb| name.strip_prefix(verb)).unwrap_or(name);
    let rest = ["_table", "_index", "_idx"].iter().find_map(|end| rest.strip_suffix(end)).unwrap_or(rest);
    // A name in SQL begins with a letter.
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) { rest.to_owned() } else { format!("t_{rest}") }
}

/// The scripts of a migration in SQL.
pub(super) fn sql(about: &About) -> Scripts {
    let schema = &about.schema;
    // `order` and `user` are words of SQL.
    let column = &quote_ident(&about.column);
    let table = format!("{schema}{}", quote_ident(&about.table));
    let index = quote_ident(&format!("{}_{}_idx", about.table, about.column));
    let postgres = about.engine == Engine::Postgresql;
    let (up, down) = match about.kind {
        Kind::Table => (
            if postgres {
                format!(
                    "CREATE TABLE {table} (\n    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n    \
                     created_at TIMESTAMPTZ NOT NULL DEFAULT now()\n);\n"
                )
            } else {
                format!(
                    "CREATE TABLE {table} (\n    id INTEGER PRIMARY KEY,\n    created_at TEXT NOT NULL \
                     DEFAULT CURRENT_TIMESTAMP\n);\n"
                )
            },
            format!("DROP TABLE IF EXISTS {table};\n"),
        ),
        Kind::Index if postgres => (
            format!(
                "-- Built beside the running application; it cannot run in a transaction, so it is alone in its file.\n\
                 CREATE INDEX CONCURRENTLY {index} ON {table} ({column});\n"
            ),
            format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}{index};\n"),
        ),
        Kind::Index => (
            format!("CREATE INDEX IF NOT EXISTS {index} ON {table} ({column});\n"),
            format!("DROP INDEX IF EXISTS {index};\n"),
        ),
        Kind::Data => (
            format!(
                "-- Batches of keys, each a transaction of its own; a crash goes on from the last one.\n\
                 -- godwit: backfill={schema}{} key=id batch=1000 pause=50ms\n\
                 UPDATE {table} SET {column} = 'new' WHERE {column} IS NULL AND /* godwit:batch */ true;\n",
                about.table
            ),
            format!(
                "-- godwit: backfill={schema}{} key=id batch=1000 pause=50ms\n\
                 UPDATE {table} SET {column} = NULL WHERE {column} = 'new' AND /* godwit:batch */ true;\n",
                about.table
            ),
        ),
        Kind::Hotfix => (
            format!("UPDATE {table} SET {column} = 'right' WHERE id = 1 AND {column} = 'wrong';\n"),
            format!("UPDATE {table} SET {column} = 'wrong' WHERE id = 1 AND {column} = 'right';\n"),
        ),
        Kind::Schema | Kind::Expand => (
            format!(
                "{}ALTER TABLE {table} ADD COLUMN {column} TEXT;\n",
                if about.kind == Kind::Expand { "-- godwit: phase=expand\n" } else { "" }
            ),
            format!("ALTER TABLE {table} DROP COLUMN {column};\n"),
        ),
        Kind::Contract => (
            format!(
                "-- Held until `godwit release` says that nothing reads the column any more. Indexes on it go with it: drop \
                 them first,\n-- and let the way back make them again.\n\
                 -- godwit: phase=contract\nALTER TABLE {table} DROP COLUMN {column};\n"
            ),
            format!("ALTER TABLE {table} ADD COLUMN {column} TEXT;\n"),
        ),
    };
    Scripts { up, down, outside: postgres && about.kind == Kind::Index }
}

/// The Lua of a Redis migration, with its way back; both get the same keys and arguments.
pub(super) fn lua(kind: Kind) -> (String, String) {
    // Each tells what it finds done already from what it has to do, so that it may run again.
    let each = |body: &str| format!("local changed = 0\nfor _, key in ipairs(KEYS) do\n{body}end\nreturn changed\n");
    // ARGV: the field that was, the field that comes.
    let fill = |from: &str, to: &str| {
        each(&format!(
            "  local value = redis.call('HGET', key, ARGV[{from}])\n  if value and redis.call('HSETNX', key, \
             ARGV[{to}], value) == 1 then\n    changed = changed + 1\n  end\n"
        ))
    };
    let take = |field: &str| each(&format!("  changed = changed + redis.call('HDEL', key, ARGV[{field}])\n"));
    // ARGV: the field, what it holds, what it is to hold.
    let put = |from: &str, to: &str| {
        each(&format!(
            "  if redis.call('HGET', key, ARGV[1]) == ARGV[{from}] then\n    redis.call('HSET', key, ARGV[1], \
             ARGV[{to}])\n    changed = changed + 1\n  end\n"
        ))
    };
    match kind {
        Kind::Schema | Kind::Expand => (fill("1", "2"), take("2")),
        Kind::Contract => (take("1"), fill("2", "1")),
        Kind::Data | Kind::Hotfix => (put("2", "3"), put("3", "2")),
        Kind::Table | Kind::Index => (
            each(
                "  if redis.call('TTL', key) == -1 then\n    redis.call('EXPIRE', key, tonumber(ARGV[1]))\n    \
                 changed = changed + 1\n  end\n",
            ),
            each("  changed = changed + redis.call('PERSIST', key)\n"),
        ),
    }
}

/// The keys that a Redis migration is about, and what its scripts get as ARGV.
fn redis(about: &About) -> (Value, Value) {
    let column = &about.column;
    let every = json!({ "match": format!("{}:*", about.table), "count": 500 });
    match about.kind {
        Kind::Schema | Kind::Expand | Kind::Contract => (every, json!([format!("old_{column}"), column])),
        Kind::Data => (every, json!([column, "wrong", "right"])),
        Kind::Hotfix => (json!([format!("{}:1", about.table)]), json!([column, "wrong", "right"])),
        Kind::Table | Kind::Index => (every, json!(["86400"])),
    }
}

/// The JSON of a typed migration.
pub(super) fn json(about: &About) -> String {
    let breaking = about.kind == Kind::Contract;
    let description = format!("{}{}", if breaking { "BREAKING: " } else { "" }, about.description);
    let mut value = json!({
        "version": about.version,
        "name": about.name,
        "description": description,
        "database_type": about.engine.as_str(),
        "migration_type": about.kind.in_metadata(),
    });
    let mut put = |key: &str, with: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(key.to_owned(), with);
        }
    };
    put("author", json!(about.author));
    if let Some(ticket) = &about.ticket {
        put("ticket", json!(ticket));
    }
    if let Some(risk) = about.risk {
        put("risk", json!(risk.as_str()));
    }
    if let Some(duration) = &about.duration {
        put("duration", json!(duration));
    }
    // Scripts in SQL say it in a comment of their own.
    let phase = match about.kind {
        Kind::Expand => Some("expand"),
        Kind::Contract => Some("contract"),
        Kind::Table | Kind::Index | Kind::Data | Kind::Schema | Kind::Hotfix => None,
    };
    if let Some(phase) = phase.filter(|_| crate::migration::operations::are_operations(about.engine)) {
        put("phase", json!(phase));
    }
    match about.engine {
        Engine::Postgresql | Engine::Sqlite => {}
        Engine::Redis => {
            let (keys, args) = redis(about);
            put("keys", keys);
            put("args", args);
        }
        Engine::Mongodb | Engine::Elasticsearch => {
            let (operations, rollback) =
                if about.engine == Engine::Mongodb { mongodb(about) } else { elasticsearch(about) };
            if about.engine == Engine::Elasticsearch && matches!(about.kind, Kind::Data | Kind::Hotfix) {
                put("manual", json!("the query finds no document that is changed already, so it may be run again"));
            }
            put("operations", operations);
            if let Some(rollback) = rollback {
                put("rollback", rollback);
            }
        }
    }
    format!("{value:#}\n")
}

fn mongodb(about: &About) -> (Value, Option<Value>) {
    let (collection, field) = (&about.table, &about.column);
    let add =
        json!([{ "type": "add_field", "collection": collection, "field": field, "value": "new", "batch_size": 1000 }]);
    let remove = json!([{ "type": "remove_field", "collection": collection, "field": field,
                          "filter": { field: "new" }, "batch_size": 1000 }]);
    let update = |from: Value, to: &str| {
        json!([{ "type": "update_documents", "collection": collection, "filter": { field: from },
                 "update": { "$set": { field: to } }, "batch_size": 1000 }])
    };
    match about.kind {
        Kind::Table => (json!([{ "type": "create_collection", "collection": collection }]), None),
        Kind::Index => {
            let name = format!("{collection}_{field}");
            let index = json!([{ "type": "create_index", "collection": collection, "index": [[field, 1]],
                                 "options": { "name": name } }]);
            (index, None)
        }
        Kind::Schema | Kind::Expand => (add, Some(remove)),
        Kind::Data | Kind::Hotfix => (update(json!("wrong"), "right"), Some(update(json!("right"), "wrong"))),
        Kind::Contract => (remove, Some(add)),
    }
}

fn elasticsearch(about: &About) -> (Value, Option<Value>) {
    // Readers know the alias; the index behind it has a version in its name, so that another can take its place.
    let (alias, field) = (&about.table, &about.column);
    let behind = |version: &str| format!("{alias}_v{}", version.replace('.', "_"));
    let mapping = json!({ "properties": { field: { "type": "keyword" } } });
    let create = |name: &str| json!({ "type": "create_index", "index": name, "mapping": mapping, "settings": {} });
    let publish = |name: &str| json!({ "type": "create_alias", "index": name, "alias": alias });
    let change = |from: &str, to: &str| {
        json!([{ "type": "update_by_query", "index": alias, "query": { "term": { field: from } },
                 "script": { "source": "ctx._source[params.field] = params.value",
                             "params": { "field": field, "value": to } },
                 "requests_per_second": 1000 }])
    };
    match about.kind {
        Kind::Table => {
            let index = behind(&about.version);
            (json!([create(&index), publish(&index)]), None)
        }
        Kind::Index | Kind::Schema | Kind::Expand => {
            // Another mapping is another index, filled from the one that is there; the alias moves in one call.
            let new = behind(&about.version);
            let fill = json!({ "type": "reindex", "source": alias, "dest": new, "wait": true,
                               "requests_per_second": 5000 });
            (json!([create(&new), fill, publish(&new)]), None)
        }
        Kind::Data | Kind::Hotfix => (change("wrong", "right"), Some(change("right", "wrong"))),
        Kind::Contract => {
            let old = behind("1.0.0");
            (json!([{ "type": "delete_index", "index": old }]), Some(json!([create(&old)])))
        }
    }
}

/// The comment lines in front of a forward script [S2-88].
pub(super) fn header(about: &About, layout: Layout) -> String {
    let mut out = String::new();
    if layout == Layout::Scripts {
        let _ = writeln!(out, "-- Migration: {}\n-- Type: {}", about.description, about.kind.in_scripts());
        // What nobody said is for the linter to find out.
        if let Some(risk) = about.risk {
            let _ = writeln!(out, "-- Risk: {}", risk.as_str());
        }
        let _ =
            writeln!(out, "-- Duration: {}\n-- Author: {}", about.duration.as_deref().unwrap_or("5m"), about.author);
        if let Some(ticket) = &about.ticket {
            let _ = writeln!(out, "-- Ticket: {ticket}");
        }
        return out;
    }
    let _ = writeln!(out, "-- {}", about.description);
    // What stands in the JSON half is not said twice.
    if layout == Layout::Typed {
        return out;
    }
    let told: Vec<String> =
        [("Author", Some(&about.author)), ("Ticket", about.ticket.as_ref()), ("Duration", about.duration.as_ref())]
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}: {}", value?)))
            .collect();
    let _ = writeln!(out, "-- {}", told.join(", "));
    if let Some(risk) = about.risk {
        let _ = writeln!(out, "-- godwit: risk={}", risk.as_str());
    }
    out
}

/// Both directions as the layout's files hold them: in one file with marks, or in two.
pub(super) fn laid_out(layout: Layout, header: &str, scripts: &Scripts) -> (String, Option<String>) {
    let Scripts { up, down, outside } = scripts;
    let both = |top: &str, up_mark: &str, down_mark: &str| {
        (format!("{top}{up_mark}\n{header}{up}\n{down_mark}\n{down}"), None)
    };
    let apart = |top: &str| (format!("{top}{header}{up}"), Some(format!("{top}{down}")));
    match (layout, outside) {
        (Layout::Goose, true) => both("-- +goose NO TRANSACTION\n", "-- +goose Up", "-- +goose Down"),
        (Layout::Goose, false) => both("", "-- +goose Up", "-- +goose Down"),
        (Layout::SqlMigrate, true) => both("", "-- +migrate Up notransaction", "-- +migrate Down notransaction"),
        (Layout::SqlMigrate, false) => both("", "-- +migrate Up", "-- +migrate Down"),
        (Layout::Dbmate, true) => both("", "-- migrate:up transaction:false", "-- migrate:down transaction:false"),
        (Layout::Dbmate, false) => both("", "-- migrate:up", "-- migrate:down"),
        (Layout::Sqlx, true) => apart("-- no-transaction\n"),
        _ => apart(""),
    }
}

/// A text of the user's with `{{words}}` filled in [S2-17].
///
/// # Errors
/// Each word that means nothing here, with its line and what is wrong with it.
pub(super) fn fill(template: &str, about: &About) -> Result<String, Vec<(u32, String)>> {
    let words = words(about);
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{{{{{word}}}}}`")).collect();
    let (mut text, mut wrong) = (String::with_capacity(template.len()), Vec::new());
    let mut line = 1;
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        line += lines_of(before);
        // Braces around anything else are the text's own, such as `'{{1,2},{3,4}}'`.
        let Some((word, after)) = behind[2..].split_once("}}").filter(|(word, _)| is_word(word.trim())) else {
            text.push('{');
            rest = &behind[1..];
            continue;
        };
        rest = after;
        match words.iter().find(|(known, _)| *known == word.trim()).map(|(_, value)| value) {
            Some(Ok(value)) => text.push_str(value),
            Some(Err(why)) => wrong.push((line, format!("`{{{{{word}}}}}` has no value here: {why}"))),
            None => {
                wrong.push((line, format!("`{{{{{word}}}}}` means nothing; the words are {}", known.join(", "))));
            }
        }
    }
    text.push_str(rest);
    if wrong.is_empty() { Ok(text) } else { Err(wrong) }
}

/// The words of a user's text with their values, or why they have none.
fn words(about: &About) -> [(&'static str, Result<&str, &'static str>); 12] {
    [
        ("name", Ok(about.name.as_str())),
        ("version", some(about.version.as_str(), "only migrations of the layout `typed` have one")),
        ("description", Ok(&about.description)),
        ("author", Ok(&about.author)),
        ("ticket", Ok(about.ticket.as_deref().unwrap_or_default())),
        ("risk", Ok(about.risk.map_or("LOW", |r| r.as_str()))),
        ("duration", Ok(about.duration.as_deref().unwrap_or("5m"))),
        ("type", Ok(about.kind.as_str())),
        ("engine", Ok(about.engine.as_str())),
        (
            "schema",
            some(
                about.schema.trim_end_matches('.'),
                "only migrations of the layout `service` have a schema of their own",
            ),
        ),
        ("table", Ok(&about.table)),
        ("column", Ok(&about.column)),
    ]
}

/// A value, or why there is none.
fn some<'v>(value: &'v str, why: &'static str) -> Result<&'v str, &'static str> {
    if value.is_empty() { Err(why) } else { Ok(value) }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic()) && text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

fn lines_of(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|b| *b == b'\n').count()).unwrap_or(0)
}
