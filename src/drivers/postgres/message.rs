//! The messages of the PostgreSQL driver as text, and the way back from an error's position to a line. Pure.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use crate::drivers::native::Kept;
use crate::drivers::{FENCE, FENCED, HISTORY, Script, SingleStatement};
use crate::ids::{Engine, Epoch, MigrationId};
use crate::migration::execution;
use crate::migration::verify::Check;
use crate::plan::{HistoryRow, MigrationState};

/// A text as a literal that reads the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    push_literal(&mut out, text);
    out
}

fn push_literal(out: &mut String, text: &str) {
    out.push_str("E'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            // No text of the server may hold one.
            '\0' => {}
            c => out.push(c),
        }
    }
    out.push('\'');
}

/// A name as a quoted identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Godwit's tables in `schema`, quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The schema, unquoted.
    pub schema: String,
    /// The history.
    pub history: String,
    /// The fence.
    pub fence: String,
    /// Other tools' tables that are kept with the history.
    pub kept: Option<Arc<Kept>>,
}

impl Tables {
    /// The tables' names in `schema`.
    pub fn in_schema(schema: &str) -> Self {
        let s = identifier(schema);
        Self { schema: schema.to_owned(), history: format!("{s}.{HISTORY}"), fence: format!("{s}.{FENCE}"), kept: None }
    }

    /// The search path in which a folder's migrations run: their own schema first, and where extensions are.
    pub fn search_path(&self, unit: &str) -> Option<String> {
        let schema = self.kept.as_ref()?.schema_of(unit)?;
        Some(format!("{}, public", identifier(schema)))
    }

    /// Makes both where they are missing, in one transaction.
    pub fn create(&self) -> String {
        let (history, fence) = (&self.history, &self.fence);
        format!(
            "BEGIN;\
             CREATE TABLE IF NOT EXISTS {history} (unit text NOT NULL, id text NOT NULL, version text NOT NULL, \
             checksum text NOT NULL, state text NOT NULL, action text NOT NULL, epoch bigint NOT NULL, run text NOT NULL, \
             started_at timestamptz NOT NULL, finished_at timestamptz, duration_ms bigint NOT NULL, by_whom text NOT NULL, \
             pr bigint, commit_id text, statements_done integer NOT NULL, error text, progress text, PRIMARY KEY (unit, id));\
             CREATE TABLE IF NOT EXISTS {fence} (k text PRIMARY KEY, epoch bigint NOT NULL, target_id text NOT NULL, \
             taken_by text NOT NULL, taken_at timestamptz NOT NULL);\
             INSERT INTO {fence} VALUES ('target', 0, pg_catalog.gen_random_uuid()::text, '', pg_catalog.now()) \
             ON CONFLICT (k) DO NOTHING;\
             COMMIT"
        )
    }

    /// What the target is known by, and whether the history has the column that earlier versions did not make (`t`, `f`).
    pub fn select_fence(&self) -> String {
        format!(
            "SELECT target_id, CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = \
             {}::pg_catalog.regclass AND attname = 'progress') THEN 't' ELSE 'f' END FROM {} WHERE k = 'target'",
            literal(&self.history),
            self.fence
        )
    }

    /// Adds the column that tables of earlier versions do not have.
    pub fn upgrade(&self) -> String {
        format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS progress text", self.history)
    }

    /// How far a statement in batches is.
    pub fn checkpoint(&self, unit: &str, id: &MigrationId) -> String {
        format!(
            "SELECT progress FROM {} WHERE unit = {} AND id = {}",
            self.history,
            literal(unit),
            literal(id.as_str())
        )
    }

    /// The beginning of one batch: everything but its checkpoint and the end of its transaction.
    pub fn begin_batch(&self, epoch: Epoch, lock_timeout_ms: u128, idle_ms: u32, limit_ms: u128, sql: &str) -> String {
        let mut out = format!(
            "BEGIN;SET LOCAL lock_timeout={lock_timeout_ms};SET LOCAL idle_in_transaction_session_timeout={idle_ms};"
        );
        if limit_ms > 0 {
            let _ = write!(out, "SET LOCAL statement_timeout={limit_ms};");
        }
        out.push_str(&self.assert_fence(epoch));
        out.push_str(sql);
        out.push_str("\n;");
        out
    }

    /// The end of one batch.
    pub fn save_checkpoint(&self, unit: &str, id: &MigrationId, checkpoint: &str) -> String {
        format!(
            "UPDATE {} SET progress = {} WHERE unit = {} AND id = {};COMMIT",
            self.history,
            literal(checkpoint),
            literal(unit),
            literal(id.as_str())
        )
    }

    /// Every row, in an order that does not depend on the disk; one text column each.
    pub fn select_history(&self, only: Option<(&str, &str)>) -> String {
        let mut sql = format!(
            "SELECT unit, id, version, checksum, state, action, epoch, run, \
             (pg_catalog.date_part('epoch', started_at) * 1000000)::int8, \
             (pg_catalog.date_part('epoch', finished_at) * 1000)::int8, \
             duration_ms, by_whom, pr, commit_id, statements_done, error FROM {}",
            self.history
        );
        if let Some((unit, id)) = only {
            let _ = write!(sql, " WHERE unit = {} AND id = {}", literal(unit), literal(id));
        }
        sql
    }

    /// Of every row, in any order, only what a plan depends on: the columns of [`Rows::push`](crate::plan::planner::Rows::push).
    pub fn select_summary(&self) -> String {
        format!("SELECT unit, id, checksum, state, statements_done FROM {}", self.history)
    }

    /// A statement that fails with [`FENCED`] unless the fence still holds `epoch`, and keeps it there until commit.
    fn assert_fence(&self, epoch: Epoch) -> String {
        self.assert_fence_and(epoch, "")
    }

    /// The same with something else in the same statement.
    fn assert_fence_and(&self, epoch: Epoch, also: &str) -> String {
        // The other branch depends on the clock so that the planner cannot work it out beforehand.
        format!(
            "SELECT {also}CASE (SELECT epoch FROM {} WHERE k = 'target' FOR SHARE) WHEN {epoch} THEN 0 ELSE \
             ('{FENCED}, epoch {epoch} ' || pg_catalog.clock_timestamp())::pg_catalog.int4 END;",
            self.fence
        )
    }

    /// The row as an INSERT or upsert; times are the server's, `started` being where they start from.
    fn put(&self, out: &mut String, row: &HistoryRow, started: &str, row_exists: bool) {
        let _ = write!(
            out,
            "INSERT INTO {} (unit,id,version,checksum,state,action,epoch,run,started_at,finished_at,duration_ms,by_whom,pr,\
             commit_id,statements_done,error) VALUES (",
            self.history
        );
        for text in [&row.unit, row.id.as_str(), &row.version, row.checksum.as_str()] {
            push_literal(out, text);
            out.push(',');
        }
        let _ = write!(out, "'{}','{}',{},'{}',", row.state.as_str(), row.action.as_str(), row.epoch, row.run);
        if row.finished_at.is_some() {
            let _ = write!(
                out,
                "{started},pg_catalog.clock_timestamp(),(extract(epoch from pg_catalog.clock_timestamp()-{started})*1000)::int8,"
            );
        } else {
            let _ = write!(out, "{started},NULL,0,");
        }
        push_literal(out, &row.by);
        match row.pr {
            Some(pr) => {
                let _ = write!(out, ",{}", pr.0);
            }
            None => out.push_str(",NULL"),
        }
        out.push(',');
        match &row.commit {
            Some(commit) => push_literal(out, commit.as_str()),
            None => out.push_str("NULL"),
        }
        let _ = write!(out, ",{},", row.statements_done);
        match &row.error {
            Some(text) => push_literal(out, text),
            None => out.push_str("NULL"),
        }
        out.push(')');
        if row_exists {
            out.push_str(
                " ON CONFLICT (unit,id) DO UPDATE SET version=excluded.version,checksum=excluded.checksum,\
                 state=excluded.state,action=excluded.action,epoch=excluded.epoch,run=excluded.run,\
                 started_at=excluded.started_at,finished_at=excluded.finished_at,duration_ms=excluded.duration_ms,\
                 by_whom=excluded.by_whom,pr=excluded.pr,commit_id=excluded.commit_id,\
                 statements_done=excluded.statements_done,error=excluded.error",
            );
            // A checkpoint outlives every attempt, but not the end of the matter.
            if matches!(row.state, MigrationState::Applied | MigrationState::RolledBack) {
                out.push_str(",progress=NULL");
            }
        }
        out.push(';');
        if let Some(kept) = &self.kept {
            out.push_str(&kept.follow(row, started));
        }
    }

    /// A whole migration as one message. Gives the message and the byte at which the script's body begins.
    pub fn script(&self, script: &Script<'_>, epoch: Epoch, lock_timeout_ms: u128, limit_ms: u128) -> (String, usize) {
        let body = &script.text[script.body.clone()];
        let mut out = String::with_capacity(body.len() + 1400);
        self.begin_script(&mut out, script, epoch, lock_timeout_ms, limit_ms);
        let start = out.len();
        out.push_str(body);
        // A comment may end the script without a line break.
        out.push_str("\n;");
        self.end_script(&mut out, script, sets_role(body));
        (out, start)
    }

    /// What is said before a script: BEGIN, the settings and the fence.
    pub fn begin_script(
        &self,
        out: &mut String,
        script: &Script<'_>,
        epoch: Epoch,
        lock_timeout_ms: u128,
        limit_ms: u128,
    ) {
        out.push_str("BEGIN");
        if let Some(modes) = script.modes {
            out.push(' ');
            out.push_str(modes);
        }
        out.push(';');
        let _ = write!(out, "SET LOCAL lock_timeout={lock_timeout_ms};");
        if limit_ms > 0 {
            let _ = write!(out, "SET LOCAL statement_timeout={limit_ms};");
        }
        // In the fence's own statement: a failure's line is found by counting those before the script's.
        let path = self
            .search_path(&script.row.unit)
            .map_or(String::new(), |path| format!("pg_catalog.set_config('search_path', {}, true),", literal(&path)));
        out.push_str(&self.assert_fence_and(epoch, &path));
    }

    /// What is said behind a script: its row, and COMMIT.
    pub fn end_script(&self, out: &mut String, script: &Script<'_>, sets_role: bool) {
        if sets_role {
            out.push_str(RESET_ROLE);
        }
        self.put(out, script.row, "pg_catalog.now()", script.row_exists);
        out.push_str("COMMIT");
    }

    /// One statement and the mark that it is done, as one transaction.
    pub fn marked_statement(
        &self,
        statement: &SingleStatement<'_>,
        epoch: Epoch,
        lock_timeout_ms: u128,
    ) -> (String, usize) {
        let mut out = format!("BEGIN;SET LOCAL lock_timeout={lock_timeout_ms};{}", self.assert_fence(epoch));
        let start = out.len();
        out.push_str(&statement.text[statement.range.clone()]);
        out.push_str("\n;");
        out.push_str(&self.set_done(statement));
        out.push_str("COMMIT");
        (out, start)
    }

    /// The mark alone.
    pub fn mark(&self, statement: &SingleStatement<'_>, epoch: Epoch) -> String {
        format!("BEGIN;{}{}COMMIT", self.assert_fence(epoch), self.set_done(statement))
    }

    fn set_done(&self, statement: &SingleStatement<'_>) -> String {
        format!(
            "UPDATE {} SET statements_done = {}, progress = NULL WHERE unit = {} AND id = {};",
            self.history,
            statement.done,
            literal(statement.unit),
            literal(statement.id.as_str())
        )
    }

    /// The fence alone, before a statement that no transaction can hold.
    pub fn fence_only(&self, epoch: Epoch) -> String {
        self.assert_fence(epoch)
    }

    /// A row on its own, under the fence. A row that ends a running one keeps the time it was begun at.
    pub fn write_row(&self, row: &HistoryRow, epoch: Epoch) -> String {
        let mut out = format!("BEGIN;{}", self.assert_fence(epoch));
        let started = if row.finished_at.is_some() {
            format!(
                "coalesce((SELECT started_at FROM {} WHERE unit = {} AND id = {} AND run = '{}' AND state = 'running'), pg_catalog.now())",
                self.history,
                literal(&row.unit),
                literal(row.id.as_str()),
                row.run
            )
        } else {
            "pg_catalog.now()".to_owned()
        };
        self.put(&mut out, row, &started, true);
        out.push_str("COMMIT");
        out
    }

    /// Raises the fence and gives the new token.
    pub fn take_fence(&self, at_least: Epoch, by: &str) -> String {
        format!(
            "UPDATE {} SET epoch = greatest(epoch, {at_least}) + 1, taken_by = {}, taken_at = pg_catalog.now() \
             WHERE k = 'target' RETURNING epoch::text",
            self.fence,
            literal(by)
        )
    }
}

/// What makes the session who connected again.
pub const RESET_ROLE: &str = "RESET SESSION AUTHORIZATION;RESET ROLE;";

/// Whether a script changes who it runs as; the history row is written as the one who connected.
pub fn sets_role(body: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|w| ["role", "authorization", "session_authorization"].iter().any(|x| w.eq_ignore_ascii_case(x)))
}

/// How much of a long message is sent at a time (bytes): the server holds all statements of a message at once, at about
/// ten times their length.
const PIECE: usize = 1024 * 1024;

/// Where a message ends and is looked at before the next one: the byte, and what must hold there.
pub type Stop = (usize, Check);

/// The queries in `range` of a script that must give a value, by where they end in a message in which it begins at `start`.
pub fn stops(checks: &[Check], range: &Range<usize>, start: usize) -> Vec<Stop> {
    let within = checks.iter().filter(|c| c.end > range.start && c.end <= range.end);
    within.map(|check| (start + check.end - range.start, check.clone())).collect()
}

/// A message's pieces, cut where statements begin and behind every stop. Most messages are one.
pub fn pieces(message: &str, stops: &[Stop]) -> Vec<Range<usize>> {
    let mut cuts: Vec<usize> = stops.iter().map(|(at, _)| *at).collect();
    if message.len() >= 4 * PIECE
        && let Ok(statements) = execution::statements(Engine::Postgresql, message)
    {
        let mut begin = 0;
        for statement in statements {
            if statement.range.start - begin >= PIECE {
                begin = statement.range.start;
                cuts.push(begin);
            }
        }
    }
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([message.len()]);
    std::iter::once(0).chain(cuts.iter().copied()).zip(ends).map(|(from, to)| from..to).collect()
}

/// The line (from 1) of `text` that an error is about: by the server's position (characters from 1, in `message`,
/// whose script begins at byte `start`), else by the number of statements that had succeeded.
pub fn line_of_error(
    (message, from): (&str, usize),
    start: usize,
    text: &str,
    body: &Range<usize>,
    position: Option<usize>,
    succeeded: Option<usize>,
) -> Option<u32> {
    let line_at = |byte: usize| {
        let up_to = (body.start + byte).min(text.len());
        u32::try_from(text.as_bytes()[..up_to].iter().filter(|b| **b == b'\n').count() + 1).ok()
    };
    if let Some(position) = position {
        let sent = &message[from..];
        let byte = from + sent.char_indices().nth(position.saturating_sub(1)).map_or(sent.len(), |(at, _)| at);
        if byte >= start && byte - start <= body.len() {
            return line_at(byte - start);
        }
        return None;
    }
    let statements = execution::statements(Engine::Postgresql, &text[body.clone()]).ok()?;
    statements.get(succeeded?).and_then(|s| line_at(s.range.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_anything() {
        assert_eq!(literal("it's \\ \0ok"), "E'it''s \\\\ ok'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn errors_are_found_by_position_or_by_count() {
        let text = "-- é\nBEGIN;\nselect 1;\nselect 'é', nope;\nCOMMIT;";
        let body = text.find("\nselect 1").unwrap()..text.find("COMMIT").unwrap();
        let message = format!("BEGIN;é;{}", &text[body.clone()]);
        let start = "BEGIN;é;".len();
        let position = message[..message.find("nope").unwrap()].chars().count() + 1;
        assert_eq!(line_of_error((&message, 0), start, text, &body, Some(position), None), Some(4));
        assert_eq!(line_of_error((&message, 0), start, text, &body, None, Some(1)), Some(4));
        assert_eq!(line_of_error((&message, 0), start, text, &body, None, Some(0)), Some(3));
        assert_eq!(line_of_error((&message, 0), start, text, &body, Some(2), None), None);
    }

    #[test]
    fn dec19_a_long_message_is_cut_where_statements_begin() {
        let short = "BEGIN;select 1;COMMIT";
        assert_eq!(pieces(short, &[]).len(), 1);
        assert_eq!(pieces(short, &[]).first(), Some(&(0..short.len())));
        let line = format!("insert into t values ('; {}');\n", "x".repeat(1000));
        let long = format!("BEGIN;{}COMMIT", line.repeat(10_000));
        let found = pieces(&long, &[]);
        assert!(found.len() >= 9, "{}", found.len());
        assert_eq!((found[0].start, found[found.len() - 1].end), (0, long.len()));
        for pair in found.windows(2) {
            assert_eq!(pair[0].end, pair[1].start);
            assert!(long[pair[1].clone()].starts_with("insert into t"));
        }
        // An error in a later piece is found at its line of the file.
        let text = format!("{}select nope;\n", line.repeat(5_000));
        let from = 4_000 * line.len();
        let position = text[from..].find("nope").unwrap() + 1;
        assert_eq!(line_of_error((&text, from), 0, &text, &(0..text.len()), Some(position), None), Some(5_001));
    }
}
