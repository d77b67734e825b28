//! From an operation to what is done to its keys.

use redis::{Cmd, Value};

use super::link::{Link, To};
use super::lua::{self, Lua};
use super::message::refused;
use super::names::{PREFIX, slot_of};
use super::session::RedisSession;
use crate::drivers::{DriverError, SingleStatement, StatementFailure};
use crate::ids::Engine;
use crate::migration::operations::lua::{forbidden, opaque};
use crate::migration::operations::redis::{Keys, Matching, Operation};
use crate::migration::operations::{self};

/// Which keys are marked when they are done, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marking {
    /// None: a key that is done is gone.
    None,
    /// All; the marks go when the statement is done.
    Seen,
    /// Those that were changed; the marks stay for an undo.
    Touched,
}

/// What is done to keys.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    /// The step.
    pub lua: Lua,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// What is marked.
    pub marking: Marking,
    /// The prefixes of a renaming.
    pub rename: Option<(Vec<u8>, Vec<u8>)>,
}

impl Effect {
    /// What an operation does; `None` for an undo, which has no keys of its own.
    pub fn of(operation: &Operation) -> Option<Self> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Some(match operation {
            Operation::Script { lua, args, .. } => Self {
                lua: lua::of_script(lua),
                args: args.iter().map(|a| bytes(a)).collect(),
                marking: Marking::Seen,
                rename: None,
            },
            Operation::RenameKeys { from, to, .. } => Self {
                lua: lua::rename(),
                args: Vec::new(),
                marking: Marking::Touched,
                rename: Some((bytes(from), bytes(to))),
            },
            Operation::SetTtl { seconds, only_missing, .. } => Self {
                lua: lua::set_ttl(),
                args: vec![bytes(&seconds.to_string()), bytes(if *only_missing { "1" } else { "0" })],
                marking: if *only_missing { Marking::Touched } else { Marking::Seen },
                rename: None,
            },
            Operation::DeleteKeys { .. } => {
                Self { lua: lua::unlink(), args: Vec::new(), marking: Marking::None, rename: None }
            }
            Operation::Undo { .. } => return None,
        })
    }

    /// What takes the operation back, for the names that its marks hold; `None` where nothing does.
    pub fn inverse_of(operation: &Operation) -> Option<Self> {
        let back = |lua, rename| Self { lua, args: Vec::new(), marking: Marking::Touched, rename };
        match operation {
            Operation::RenameKeys { from, to, .. } => {
                Some(back(lua::rename(), Some((to.clone().into_bytes(), from.clone().into_bytes()))))
            }
            Operation::SetTtl { only_missing: true, .. } => Some(back(lua::persist(), None)),
            Operation::Script { .. }
            | Operation::SetTtl { only_missing: false, .. }
            | Operation::DeleteKeys { .. }
            | Operation::Undo { .. } => None,
        }
    }

    /// The other name of a key, if it gets one.
    pub fn renamed(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (from, to) = self.rename.as_ref()?;
        key.strip_prefix(from.as_slice()).map(|rest| [to, rest].concat())
    }

    /// Whether a key that a walk has found is concerned.
    pub fn concerns(&self, key: &[u8]) -> bool {
        !key.starts_with(PREFIX.as_bytes())
            && self.rename.as_ref().is_none_or(|(from, _)| key.starts_with(from.as_slice()))
    }
}

/// Reads a statement.
pub(super) fn read(text: &str) -> Result<Operation, DriverError> {
    match operations::Operation::parse(Engine::Redis, text) {
        Ok(operations::Operation::Redis(operation)) => Ok(operation),
        Ok(other) => Err(refused("GODWIT", format!("`{}` is no operation of Redis", other.name()), "correct the file")),
        Err(error) => Err(refused("GODWIT", error.to_string(), "see docs/operations-json.md")),
    }
}

/// What is wrong with an operation, as far as that can be told without touching a key: a text that is no Lua, a command
/// that no migration may call, keys of Godwit's own, keys of several slots.
pub(super) async fn check(link: &Link, text: &str) -> Result<(), DriverError> {
    let operation = read(text)?;
    if let Operation::Undo { .. } = operation {
        return Ok(());
    }
    if let Operation::Script { lua, .. } = &operation {
        check_script(link, lua).await?;
    }
    if let (Operation::DeleteKeys { .. }, Keys::Matching(Matching { pattern, .. })) = (&operation, operation.keys())
        && pattern.chars().all(|c| matches!(c, '*' | '?'))
    {
        let message = format!("`{pattern}` is every key of the server: no migration may delete them all");
        return Err(refused("GODWIT", message, "give the pattern the prefix of the keys that go"));
    }
    let (Keys::List(keys), Some(effect)) = (operation.keys(), Effect::of(&operation)) else { return Ok(()) };
    for key in keys {
        if key.starts_with(PREFIX) {
            let message = format!("`{key}` is one of Godwit's own keys");
            return Err(refused("GODWIT", message, "leave it out"));
        }
        if let Some((from, _)) = &effect.rename
            && !key.as_bytes().starts_with(from)
        {
            let message = format!("`{key}` does not begin with `{}`", String::from_utf8_lossy(from));
            return Err(refused("GODWIT", message, "correct `from`, or leave the key out"));
        }
    }
    if link.is_cluster() {
        let mut all: Vec<Vec<u8>> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
        all.extend(keys.iter().filter_map(|k| effect.renamed(k.as_bytes())));
        one_slot(&all)?;
    }
    Ok(())
}

async fn check_script(link: &Link, text: &str) -> Result<(), DriverError> {
    let wrong = |line: Option<u32>, code: &str, message: String, hint: &str| {
        Err(DriverError::Statement(StatementFailure {
            message,
            code: Some(code.to_owned()),
            line,
            hint: Some(hint.to_owned()),
        }))
    };
    if text.starts_with("#!") {
        return wrong(
            Some(1),
            "SHEBANG",
            "a migration is a plain script, no function".to_owned(),
            "remove the first line",
        );
    }
    if let Some(call) = forbidden(text) {
        let message = format!("`{}` must not be called by a migration", call.command);
        return wrong(Some(call.line), "FORBIDDEN", message, "name the keys, or give `keys` a `match`");
    }
    if let Some(call) = opaque(text) {
        let message = format!("`{}` hides what the script does", call.command);
        return wrong(Some(call.line), "FORBIDDEN", message, "write out what is to be done");
    }
    let mut command = Cmd::new();
    command.arg("EVAL").arg(lua::COMPILE).arg(0).arg(text);
    let answer: Vec<Value> = match link.try_ask(&command, &To::Slot(0)).await {
        Ok(answer) => answer,
        Err(error) => return Err(link.unreachable(&error)),
    };
    let answer: Vec<String> = answer.into_iter().filter_map(|v| redis::from_redis_value(v).ok()).collect();
    match answer.as_slice() {
        [ok, wrong_words] if ok == "ERROR" => {
            let line = wrong_words.split(':').nth(1).and_then(|n| n.trim().parse().ok());
            wrong(line, "SYNTAX", wrong_words.clone(), "correct the Lua")
        }
        _ => Ok(()),
    }
}

/// Keys that one script touches must be in one slot of a cluster; the refusal names some that are not.
pub(super) fn one_slot(keys: &[Vec<u8>]) -> Result<(), DriverError> {
    let Some(first) = keys.first() else { return Ok(()) };
    let slot = slot_of(first);
    let others: Vec<&Vec<u8>> = keys.iter().filter(|k| slot_of(k) != slot).take(5).collect();
    if others.is_empty() {
        return Ok(());
    }
    let named = |key: &[u8]| format!("`{}` (slot {})", String::from_utf8_lossy(key), slot_of(key));
    let list: Vec<String> = others.into_iter().map(|k| named(k)).collect();
    Err(refused(
        "CROSSSLOT",
        format!(
            "CROSSSLOT the keys are not in one slot of the cluster: {} and {}; nothing was sent",
            named(first),
            list.join(", ")
        ),
        "give them a common hash tag such as `{cart}`, or make one migration for each slot",
    ))
}

impl RedisSession {
    /// Carries a statement out and marks it done.
    pub(super) async fn carry_out(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        let operation = read(statement.sql())?;
        let kept = self.kept(statement).await?;
        if kept.row.statements_done >= statement.done {
            return Ok(None);
        }
        check(&self.link, statement.sql()).await?;
        match (&operation, operation.keys(), Effect::of(&operation)) {
            (Operation::Undo { operation, of, .. }, _, _) => self.undo(statement, kept, *operation, of).await,
            (_, Keys::List(keys), Some(effect)) => self.list(statement, kept, keys, &effect).await,
            (_, Keys::Matching(matching), Some(effect)) => self.walk(statement, kept, matching, &effect).await,
            (_, _, None) => Ok(None),
        }
    }
}
