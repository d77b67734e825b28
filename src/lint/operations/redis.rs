//! What is wrong with operations of Redis, or dangerous; the scripts themselves are looked at in [`super::lua`].

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Look, Place, lua, rules};
use crate::migration::Script;
use crate::migration::operations::redis::{Keys, Operation};

pub(super) fn check(look: &mut Look<'_>, at: &Range<usize>, operation: &Operation, script: &Script) {
    let keys = operation.keys();
    match operation {
        Operation::Script { lua: source, .. } => {
            let found = lua::check(source);
            // Of a `.lua` file the findings have its own lines; within JSON they stand at the operation.
            if script.path.ends_with(".lua") {
                let (file, text) = (script.path.clone(), source.clone());
                look.lua.push(Place { file, text, first_line: 1, found });
            } else {
                look.found.extend(found.into_iter().map(|mut f| {
                    let line = 1 + source[..f.range.start.min(source.len())].matches('\n').count();
                    f.message = format!("line {line} of the script: {}", f.message);
                    f.range = at.clone();
                    f
                }));
            }
        }
        Operation::RenameKeys { from, to, .. } => look.add(
            &rules::RENAME_KEYS,
            at,
            format!("applications that know `{from}…` find nothing while the keys become `{to}…`"),
            "have the application read both names first",
        ),
        Operation::SetTtl { seconds, .. } => {
            if *seconds == 0 {
                let message = "a lifetime of 0 seconds deletes the keys at once".to_owned();
                look.add(&rules::SET_TTL, at, message, "say `delete_keys` if that is meant");
                if let Some(last) = look.found.last_mut() {
                    last.severity = Some(crate::lint::Severity::Error);
                }
            } else {
                let message = format!("the keys and their values vanish after {seconds} seconds");
                look.add(&rules::SET_TTL, at, message, "make sure that whoever reads them can do without");
            }
        }
        Operation::DeleteKeys { .. } => look.add(
            &rules::DELETE_KEYS,
            at,
            "the keys and their values are gone for good".to_owned(),
            "give them a lifetime first (`set_ttl`), and watch who misses them",
        ),
        Operation::Undo { .. } => return,
    }
    match keys {
        Keys::Matching(matching) if matching.pattern.chars().all(|c| c == '*') => look.add(
            &rules::PATTERN_MATCHES_ALL,
            at,
            format!("`{}` matches every key of the database", matching.pattern),
            "name the keys that are meant by their prefix",
        ),
        Keys::List(names) if names.iter().map(|n| hashed(n)).collect::<BTreeSet<_>>().len() > 1 => {
            look.add(
                &rules::CROSS_SLOT,
                at,
                "the keys lie in several slots: a cluster refuses to touch them in one call".to_owned(),
                "give them a common hash tag such as `{cart}`, or one operation each; a single server does not mind",
            );
        }
        Keys::Matching(_) | Keys::List(_) => {}
    }
}

/// The part of a key that decides its slot.
fn hashed(key: &str) -> &str {
    key.find('{')
        .and_then(|open| key[open + 1..].find('}').map(|n| &key[open + 1..open + 1 + n]))
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}
