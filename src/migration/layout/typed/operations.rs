//! The typed migrations of MongoDB, Elasticsearch and Redis: JSON lists of operations, and Redis' Lua beside its JSON.

use serde_json::{Value, json};

use super::metadata::{self, Metadata};
use super::{Parts, Reader};
use crate::ids::Engine;
use crate::migration::operations::{self, Located};
use crate::migration::{Script, Severity, SourceFile, Spot, Version};

/// Reads the migration that `parts` are, named `stem`: its number and name are `number` and `name`. Gives its semantic
/// version with the place where it stands.
pub(super) fn read(
    stem: &str,
    (number, name): (&str, &str),
    parts: &Parts<'_>,
    json: &SourceFile,
    reader: &mut Reader<'_>,
) -> Option<([u64; 3], Spot)> {
    let engine = reader.engine;
    let text = reader.script(json)?;
    let about = metadata::read(engine, &text, name, &mut reader.set.problems)?;
    let partner = match parts.rollback_json {
        Some(file) => Some(reader.script(file)?),
        None => None,
    };
    let about_partner = match &partner {
        Some(partner) => {
            let about = metadata::read(engine, partner, &format!("{name}_rollback"), &mut reader.set.problems)?;
            check_partner(partner, &about, reader);
            Some(about)
        }
        None => None,
    };
    let up = match parts.script {
        Some(lua) => {
            if let Some(list) = about.operations {
                let message = "has `operations` as well as a `.lua` file".to_owned();
                invalid(&text, Spot::of_part(&text.text, list), message, "keep one of them", reader);
                return None;
            }
            let Some(keys) = about.keys else {
                let message = "does not say which `keys` the script beside it gets".to_owned();
                invalid(&text, 1, message, "give `keys`: a list of names, or `{\"match\": …}`", reader);
                return None;
            };
            let lua = reader.script(lua)?;
            call(&lua, keys, about.args.as_deref())
        }
        None => {
            if about.operations.is_none() {
                let message = match engine {
                    Engine::Redis => "has neither `operations` nor a `.lua` file of the same name beside it [S4-12]",
                    _ => "has no `operations` [S4-12]",
                };
                invalid(&text, 1, message.to_owned(), "list what the migration does", reader);
                return None;
            }
            if let Some(keys) = about.keys {
                let message = "has `keys` for a `.lua` file that is not there; an operation has its own".to_owned();
                invalid(
                    &text,
                    Spot::of_part(&text.text, keys),
                    message,
                    "add the `.lua` file or take `keys` out",
                    reader,
                );
                return None;
            }
            text.clone()
        }
    };
    let all = listed(&up, reader)?;
    let down = down(&up, &all, (&text, &about), partner.as_ref().zip(about_partner.as_ref()), parts, reader)?;
    if all.is_empty() {
        let (message, help) = ("holds no operation", "delete it if it was never merged");
        reader.problem(&up.path, 1, "empty-migration", Severity::Warning, message.to_owned(), help);
    }
    let key = Version::numeric(number);
    let files: Vec<&SourceFile> =
        [Some(json), parts.script, parts.rollback_json, parts.rollback_script].into_iter().flatten().collect();
    let version = Version::with_key_of(&about.version, &key);
    let description = Some(about.description);
    reader.add_operations((stem, version, name), up, down, about.directives, &files)?.description = description;
    about.semver.map(|v| (v, about.version_at))
}

/// The script that takes the migration back; `None` within where there is none, `None` outside where one is wrong.
fn down(
    up: &Script,
    all: &[Located],
    (text, about): (&Script, &Metadata<'_>),
    partner: Option<(&Script, &Metadata<'_>)>,
    parts: &Parts<'_>,
    reader: &mut Reader<'_>,
) -> Option<Option<Script>> {
    let found = match (parts.rollback_script, partner, about.rollback) {
        (Some(_), _, Some(list)) | (None, Some(_), Some(list)) => {
            let message = "has an inline `rollback` as well as a `_rollback` file".to_owned();
            invalid(text, Spot::of_part(&text.text, list), message, "keep one of them", reader);
            return None;
        }
        (Some(lua), partner, None) => {
            let own = partner.map(|(_, about)| about);
            if let Some((file, list)) = partner.and_then(|(f, a)| a.operations.map(|l| (f, l))) {
                let message = "has `operations` as well as a `_rollback.lua` file".to_owned();
                invalid(file, Spot::of_part(&file.text, list), message, "keep one of them", reader);
                return None;
            }
            let Some(keys) = own.and_then(|a| a.keys).or(about.keys) else {
                let message = "no `keys` are given for the rollback script".to_owned();
                let help = "give them in a `_rollback.json` beside it";
                reader.problem(&lua.path, 1, "invalid-metadata", Severity::Error, message, help);
                return None;
            };
            let args = own.and_then(|a| a.args.as_deref()).or(about.args.as_deref());
            call(&reader.script(lua)?, keys, args)
        }
        (None, Some((file, about)), None) => {
            if about.operations.is_none() {
                invalid(file, 1, "has no `operations` [S4-12]".to_owned(), "list what undoes the migration", reader);
                return None;
            }
            file.clone()
        }
        (None, None, Some(list)) => {
            let Spot { line, column, .. } = Spot::of_part(&text.text, list);
            Script { first_line: line, first_column: column, ..Script::whole(&text.path, list) }
        }
        (None, None, None) => {
            // What cannot be taken back is told by the linter, operation by operation.
            let undo = || Script::whole(&up.path, operations::undo_of(&up.text, all));
            return Some(operations::irreversible(all).is_empty().then(undo));
        }
    };
    if listed(&found, reader)?.is_empty() {
        let message = "the rollback holds no operation, so the migration cannot be rolled back".to_owned();
        let help = "write the operations that undo it, or leave the rollback out";
        let at = Spot::from(1).within(found.first_line, found.first_column);
        reader.remark(&found.path, at, "empty-down", Severity::Error, message, help);
    }
    Some(Some(found))
}

/// The operations of a script that people wrote; what is wrong with them is told, each at its place.
fn listed(script: &Script, reader: &mut Reader<'_>) -> Option<Vec<Located>> {
    let all = operations::read_each(reader.engine, &script.text);
    let mut sound = Vec::with_capacity(all.len());
    let mut mistakes = 0;
    for one in all {
        let mistake = match one {
            Ok(located) if located.operation.name() == "undo" => operations::own_undo(&script.text, located.range),
            Ok(located) => {
                sound.push(located);
                continue;
            }
            Err(mistake) => mistake,
        };
        mistakes += 1;
        let at = mistake.at.within(script.first_line, script.first_column);
        reader.problem(&script.path, at, "invalid-operation", Severity::Error, mistake.message, &mistake.help);
    }
    (mistakes == 0).then_some(sound)
}

/// A rollback file says nothing about its own place in the order.
fn check_partner(file: &Script, about: &Metadata<'_>, reader: &mut Reader<'_>) {
    if !about.directives.depends_on.is_empty() {
        let message = "a rollback depends on nothing but its migration; its `depends_on` is never read".to_owned();
        invalid(file, 1, message, "take `depends_on` out", reader);
    }
    if let Some(list) = about.rollback {
        let message = "a rollback has no `rollback` of its own".to_owned();
        invalid(file, Spot::of_part(&file.text, list), message, "take it out", reader);
    }
}

/// A Lua file with its keys as a list of one operation. Byte order mark, line ends and trailing newlines of the file are
/// no part of it, as in any checksum.
fn call(lua: &Script, keys: &str, args: Option<&[String]>) -> Script {
    let source = lua.text.replace("\r\n", "\n");
    let source = source.trim_end_matches('\n');
    // Written from the JSON as it stands, not from its meaning, so that a later version makes the same text of it.
    let keys: Value = serde_json::from_str(keys).unwrap_or(Value::Null);
    let operation = json!({ "type": "script", "lua": source, "keys": keys, "args": args.unwrap_or_default() });
    Script::whole(&lua.path, format!("[{operation}]"))
}

/// Reports what is wrong at a place of a file that is read whole.
fn invalid(script: &Script, at: impl Into<Spot>, message: String, help: &str, reader: &mut Reader<'_>) {
    reader.problem(&script.path, at, "invalid-metadata", Severity::Error, message, help);
}
