//! What the connection's user may not do, found before anything is changed: the server is asked whether its access list
//! lets the commands through, and none of them is carried out.

use std::collections::BTreeSet;

use super::link::Link;
use super::names::Names;
use crate::drivers::DriverError;
use crate::plan::{MigrationPlan, Objection, ObjectionKind};

/// The commands by which Godwit keeps its own keys.
const OWN: [&str; 14] = [
    "DEL", "EXISTS", "GET", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HSET", "HSETNX", "PEXPIRE", "SET",
    "TIME", "UNLINK",
];

/// Gives the commands that are refused. A server before 7.0 cannot tell, and none is given then.
const ASK: &str = "if not redis.acl_check_cmd then return {} end
local refused = {}
for _, name in ipairs(ARGV) do
  local known, allowed
  if name == 'TIME' then
    known, allowed = pcall(redis.acl_check_cmd, name)
  else
    known, allowed = pcall(redis.acl_check_cmd, name, KEYS[1], 'x', 'x')
  end
  if known and not allowed then refused[#refused + 1] = name end
end
return refused";

/// The objection to a user whose access list forbids what the plan needs.
pub(super) async fn look(link: &Link, names: &Names, plan: &MigrationPlan) -> Result<Option<Objection>, DriverError> {
    let mut wanted: BTreeSet<String> = OWN.iter().map(|&name| name.to_owned()).collect();
    for statement in plan.steps.iter().flat_map(|s| &s.statements) {
        wanted.extend(commands_of(&statement.sql));
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let refused = link.own(ASK, &[&names.history], &wanted).await?;
    Ok((!refused.is_empty()).then(|| {
        let grants: Vec<String> = refused.iter().map(|name| format!("+{}", name.to_lowercase())).collect();
        Objection {
            kind: ObjectionKind::Impossible,
            migration: None,
            file: None,
            line: None,
            message: format!("the connection's user may not call {} on the keys that this needs", refused.join(", ")),
            what_to_do: format!(
                "let it, for example with `ACL SETUSER NAME {} ~{}*` and the keys of the migrations",
                grants.join(" "),
                names.history.trim_end_matches("history")
            ),
        }
    }))
}

/// The commands that the Lua of a statement names, and those of the built-in operations.
fn commands_of(text: &str) -> BTreeSet<String> {
    let Ok(operation) = serde_json::from_str::<serde_json::Value>(text) else { return BTreeSet::new() };
    let fixed: &[&str] = match operation["type"].as_str() {
        Some("rename_keys") => &["RENAMENX"],
        Some("set_ttl") => &["EXPIRE", "PERSIST"],
        Some("delete_keys") => &["UNLINK"],
        _ => &[],
    };
    let mut found: BTreeSet<String> = fixed.iter().map(|&name| name.to_owned()).collect();
    let lua = operation["lua"].as_str().unwrap_or_default();
    for call in ["redis.call(", "redis.pcall("] {
        for (at, _) in lua.match_indices(call) {
            let rest = lua[at + call.len()..].trim_start();
            // A name that is put together while the script runs cannot be told beforehand.
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else { continue };
            if let Some(name) = rest[1..].split(quote).next()
                && name.chars().all(|c| c.is_ascii_alphabetic())
            {
                found.insert(name.to_uppercase());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_that_a_script_names_are_found() {
        let text = r#"{"type": "script", "lua": "redis.call('hset', KEYS[1]) redis.pcall( \"EXPIRE\", KEYS[1]) redis.call(name)", "keys": []}"#;
        assert_eq!(commands_of(text), ["EXPIRE".to_owned(), "HSET".to_owned()].into());
        assert_eq!(commands_of(r#"{"type": "delete_keys", "keys": []}"#), ["UNLINK".to_owned()].into());
        assert!(commands_of("{").is_empty());
    }
}
