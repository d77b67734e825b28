//! How a script runs: one transaction, or statement by statement (DECISIONS 13, R-11).
//!
//! One pass of a lexer finds the statements; the words a statement begins with say what it is. Nothing is parsed
//! further, so a script's size costs little and a syntax this program does not know yet is the server's to judge.

mod long;
mod postgres;
mod sqlite;

use std::ops::Range;

pub use long::{LONG, Long, Piece, Pieces, Unreadable};

use crate::ids::Engine;
use crate::migration::{backfill, operations};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Byte range in the script's text, without the closing `;`. For a file's own `BEGIN … COMMIT` among statements
    /// that run one by one: everything between the two.
    pub range: Range<usize>,
    /// Line within the script's text, from 1.
    pub line: u32,
    /// Why it cannot run in a transaction, if it cannot: the SQL words, such as `CREATE INDEX CONCURRENTLY`.
    pub outside_transaction: Option<&'static str>,
    /// What may be done about it after a crash.
    pub nature: Nature,
    /// The same on a server without transactions, where that is a difference.
    pub without_transactions: Option<Nature>,
    /// Why it is of that nature, where the words of the statement do not say it.
    pub why: Option<&'static str>,
}

impl Statement {
    /// Its nature on a server that has transactions, or has none.
    pub fn nature_on(&self, transactions: bool) -> Nature {
        if transactions { self.nature } else { self.without_transactions.unwrap_or(self.nature) }
    }
}

/// What a statement is to a run that goes statement by statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nature {
    /// Commits together with the mark of its progress.
    Transactional,
    /// Changes the session only; said again when a later session goes on.
    Session,
    /// Cannot run in a transaction; a read-only probe tells whether it took effect.
    Verifiable,
    /// In batches, each of which commits together with the checkpoint from which the next one goes on.
    Batched,
    /// Cannot run in a transaction; running it again converges.
    Idempotent,
    /// Nothing can be proved after a crash.
    Unprovable,
}

/// How a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// As one transaction together with the history row; `body` is the text without the file's own outer BEGIN/COMMIT.
    Transaction {
        /// Byte range of the text to send.
        body: Range<usize>,
        /// Byte range of the modes behind the file's own BEGIN (`ISOLATION LEVEL …`), if it gives any.
        modes: Option<Range<usize>>,
    },
    /// Statement by statement, each with its own intent.
    Statements(Vec<Statement>),
}

/// A script that cannot be run as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CannotExecute {
    /// The lint rule that speaks of it.
    pub rule: &'static str,
    /// Line within the script's text, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Decides how `text` runs on `engine`. `no_transaction` is the file's own mark.
///
/// # Errors
/// A file that mixes statements that need a transaction's outside with others, without the mark; unbalanced or
/// nested BEGIN/COMMIT; a string, comment or quoted name that is not closed; a command of `psql` itself.
pub fn execution(engine: Engine, text: &str, no_transaction: bool) -> Result<Execution, CannotExecute> {
    if operations::are_operations(engine) {
        return Ok(Execution::Statements(operations::statements(engine, text)?));
    }
    let found = split(engine, text)?;
    // A statement in batches commits each of them, so nothing else of the file can wait for its end.
    let batched = text.contains(backfill::MARKER);
    let mut how = arrange(text, found, no_transaction || batched)?;
    if batched && let Execution::Statements(statements) = &mut how {
        mark_batched(text, statements)?;
    }
    Ok(how)
}

/// Gives the one statement that holds the marker its nature.
fn mark_batched(text: &str, statements: &mut [Statement]) -> Result<(), CannotExecute> {
    let marked: Vec<usize> =
        (0..statements.len()).filter(|n| !backfill::markers(&text[statements[*n].range.clone()]).is_empty()).collect();
    let refuse = |line: u32, message: &str, help: &str| {
        Err(CannotExecute { rule: MIXED, line, message: message.to_owned(), help: help.to_owned() })
    };
    match marked.as_slice() {
        [] => Ok(()),
        [one] if statements[*one].nature == Nature::Transactional => {
            statements[*one].nature = Nature::Batched;
            Ok(())
        }
        [one] => refuse(statements[*one].line, "this statement cannot run in batches", "take the marker out"),
        [_, second, ..] => {
            refuse(statements[*second].line, "a second statement in batches", "give it a migration of its own")
        }
    }
}

/// The statements of a script in order, the file's own BEGIN and COMMIT among them; for showing them.
///
/// # Errors
/// Text whose statements cannot be told apart.
pub fn statements(engine: Engine, text: &str) -> Result<Vec<Statement>, CannotExecute> {
    if operations::are_operations(engine) {
        return operations::statements(engine, text);
    }
    Ok(split(engine, text)?
        .into_iter()
        .map(|s| Statement {
            range: s.range,
            line: s.line,
            outside_transaction: s.kind.outside(),
            nature: s.kind.nature(),
            without_transactions: None,
            why: None,
        })
        .collect())
}

/// Whether a script holds no statement, or no operation.
pub fn is_blank(engine: Engine, text: &str) -> bool {
    if operations::are_operations(engine) {
        return operations::read(engine, text).is_ok_and(|all| all.is_empty());
    }
    is_blank_sql(text)
}

/// Whether an SQL script holds nothing but comments and white space.
pub fn is_blank_sql(text: &str) -> bool {
    // `--` and `/* */` read alike in PostgreSQL and SQLite. The first word ends the search.
    postgres::first_word(text).is_none()
}

/// The first word of an SQL script, behind comments and white space.
pub fn first_word_of(text: &str) -> Option<&str> {
    let rest = &text[postgres::first_word(text)?..];
    Some(&rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())])
}

/// Whether running `text` may leave something behind in the session that the next script must not see.
pub fn touches_session(engine: Engine, text: &str) -> bool {
    match engine {
        Engine::Postgresql => postgres::touches_session(text),
        Engine::Sqlite => sqlite::touches_session(text),
        Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => false,
    }
}

/// The script's tokens that carry meaning, as byte ranges; what probes read names from.
pub fn significant_tokens(text: &str) -> Vec<Range<usize>> {
    postgres::significant_tokens(text)
}

/// A statement as the lexer found it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    line: u32,
    kind: Kind,
}

/// What the words of a statement say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Runs in a transaction or outside of one.
    Ordinary,
    /// Changes the session only, in a transaction as well as outside.
    Session,
    /// Opens a transaction; where its modes stand.
    Begin { modes: Option<Range<usize>> },
    /// Closes a transaction.
    Commit,
    /// Gives a transaction up.
    Rollback,
    /// Cannot run in a transaction.
    Outside { words: &'static str, nature: Nature },
    /// Could end a transaction from inside (`CALL`, `DO` with COMMIT), which shows only when run statement by statement.
    MayCommit,
    /// Not a statement for a server, or not one a migration can hold.
    Refused { rule: &'static str, message: String, help: &'static str },
}

impl Kind {
    fn outside(&self) -> Option<&'static str> {
        match self {
            Kind::Outside { words, .. } => Some(words),
            Kind::Ordinary
            | Kind::Session
            | Kind::Begin { .. }
            | Kind::Commit
            | Kind::Rollback
            | Kind::MayCommit
            | Kind::Refused { .. } => None,
        }
    }

    fn nature(&self) -> Nature {
        match self {
            Kind::Outside { nature, .. } => *nature,
            Kind::Session => Nature::Session,
            Kind::MayCommit => Nature::Unprovable,
            Kind::Ordinary | Kind::Begin { .. } | Kind::Commit | Kind::Rollback | Kind::Refused { .. } => {
                Nature::Transactional
            }
        }
    }
}

fn split(engine: Engine, text: &str) -> Result<Vec<Found>, CannotExecute> {
    match engine {
        Engine::Postgresql => postgres::split(text),
        Engine::Sqlite => sqlite::split(text),
        Engine::Mongodb | Engine::Redis | Engine::Elasticsearch => Err(CannotExecute {
            rule: MIXED,
            line: 1,
            message: format!("{engine} migrations are operations, not SQL"),
            help: "write them as JSON".to_owned(),
        }),
    }
}

/// The rule about files that fit neither into one transaction nor outside of one.
const MIXED: &str = "mixed-transaction";
/// The rule about commands of psql and data for it.
const PSQL: &str = "psql-command";
/// The rule about text that is no SQL.
const SYNTAX: &str = "syntax-error";
const MIX_HELP: &str = "put it into a migration of its own, or mark the file with `-- godwit: no-transaction` to have \
                        it run statement by statement";
const BLOCK_HELP: &str =
    "keep one BEGIN at the start and one COMMIT at the end, or leave both out: Godwit opens the transaction itself";

/// From statements to the way they run.
fn arrange(text: &str, found: Vec<Found>, no_transaction: bool) -> Result<Execution, CannotExecute> {
    let because = |rule: &'static str, line: u32, message: String, help: &str| {
        Err(CannotExecute { rule, line, message, help: help.to_owned() })
    };
    let refuse = |line: u32, message: String, help: &str| because(MIXED, line, message, help);
    let mut open: Option<u32> = None;
    for s in &found {
        match &s.kind {
            Kind::Refused { rule, message, help } => return because(rule, s.line, message.clone(), help),
            Kind::Begin { .. } => {
                if let Some(line) = open {
                    return refuse(s.line, format!("BEGIN inside the transaction that line {line} opened"), BLOCK_HELP);
                }
                open = Some(s.line);
            }
            Kind::Commit => {
                if open.take().is_none() {
                    return refuse(s.line, "COMMIT without a BEGIN before it".to_owned(), BLOCK_HELP);
                }
            }
            Kind::Rollback => {
                return refuse(s.line, "ROLLBACK would undo the migration itself".to_owned(), BLOCK_HELP);
            }
            Kind::Outside { words, .. } => {
                if let Some(line) = open {
                    return refuse(
                        s.line,
                        format!("`{words}` cannot run inside the transaction that line {line} opened"),
                        MIX_HELP,
                    );
                }
            }
            Kind::Ordinary | Kind::Session | Kind::MayCommit => {}
        }
    }
    if let Some(line) = open {
        return refuse(line, "BEGIN without a COMMIT behind it".to_owned(), BLOCK_HELP);
    }
    if no_transaction {
        return Ok(Execution::Statements(one_by_one(found)));
    }
    if let Some(first) = found.iter().find(|s| s.kind.outside().is_some()) {
        let words = first.kind.outside().unwrap_or_default();
        let other = found.iter().find(|s| {
            matches!(s.kind, Kind::Ordinary | Kind::Begin { .. } | Kind::Commit | Kind::Rollback | Kind::MayCommit)
        });
        return match other {
            Some(other) => refuse(
                first.line,
                format!(
                    "`{words}` cannot run in a transaction, but the file also holds a statement that should (line {})",
                    other.line
                ),
                MIX_HELP,
            ),
            None => Ok(Execution::Statements(one_by_one(found))),
        };
    }
    let mut blocks = found.iter().filter(|s| matches!(s.kind, Kind::Begin { .. }));
    match (blocks.next(), blocks.next()) {
        (None, _) => Ok(match found.first().and_then(|s| leading_modes(text, s)) {
            Some((modes, start)) => Execution::Transaction { body: start..text.len(), modes: Some(modes) },
            None => Execution::Transaction { body: 0..text.len(), modes: None },
        }),
        (Some(begin), second) => match (found.first(), found.last()) {
            (Some(first), Some(last)) if second.is_none() && first == begin && last.kind == Kind::Commit => {
                let modes = match &begin.kind {
                    Kind::Begin { modes } => modes.clone(),
                    _ => None,
                };
                // Behind the BEGIN stands its `;`, which may not be sent twice.
                let start = begin.range.end + text[begin.range.end..].find(';').map_or(0, |at| at + 1);
                let (modes, start) = match found.get(1).and_then(|s| leading_modes(text, s)) {
                    Some((set, behind)) if modes.is_none() => (Some(set), behind),
                    Some(_) | None => (modes, start),
                };
                Ok(Execution::Transaction { body: start..last.range.start, modes })
            }
            // As written: each block commits by itself with its mark, and so does each statement beside them.
            _ => in_parts(found),
        },
    }
}

/// The parts of a file that commits more than once.
fn in_parts(found: Vec<Found>) -> Result<Execution, CannotExecute> {
    match found.iter().find(|s| matches!(&s.kind, Kind::Begin { modes: Some(_) })) {
        Some(begin) => Err(CannotExecute {
            rule: MIXED,
            line: begin.line,
            message: "a transaction with modes of its own, beside others in one file".to_owned(),
            help: BLOCK_HELP.to_owned(),
        }),
        None => Ok(Execution::Statements(one_by_one(found))),
    }
}

/// Modes of the transaction that its first statement sets, and where the script goes on behind it: they must be said before
/// any query, and the fence's is the first.
fn leading_modes(text: &str, first: &Found) -> Option<(Range<usize>, usize)> {
    let sql = &text[first.range.clone()];
    let tokens = significant_tokens(sql.get(..sql.len().min(200)).unwrap_or(sql));
    let word = |n: usize, words: &[&str]| {
        tokens.get(n).is_some_and(|t| words.iter().any(|w| sql[t.clone()].eq_ignore_ascii_case(w)))
    };
    let sets = word(0, &["set"]) && word(1, &["transaction"]) && word(2, &["isolation", "read", "not", "deferrable"]);
    let modes = tokens.get(2).filter(|_| sets)?;
    let behind = text[first.range.end..].find(';').map_or(first.range.end, |at| first.range.end + at + 1);
    Some((first.range.start + modes.start..first.range.end, behind))
}

/// Statements as they run without a transaction around them; a BEGIN … COMMIT block is one of them.
fn one_by_one(found: Vec<Found>) -> Vec<Statement> {
    let mut out = Vec::with_capacity(found.len());
    let mut block: Option<(Range<usize>, u32)> = None;
    let mut inside = false;
    for s in found {
        match s.kind {
            Kind::Begin { .. } => inside = true,
            Kind::Commit => {
                inside = false;
                if let Some((range, line)) = block.take() {
                    out.push(Statement {
                        range,
                        line,
                        outside_transaction: None,
                        nature: Nature::Transactional,
                        without_transactions: None,
                        why: None,
                    });
                }
            }
            _ if inside => match &mut block {
                Some((range, _)) => range.end = s.range.end,
                None => block = Some((s.range, s.line)),
            },
            kind => out.push(Statement {
                range: s.range,
                line: s.line,
                outside_transaction: kind.outside(),
                nature: kind.nature(),
                without_transactions: None,
                why: None,
            }),
        }
    }
    out
}

/// Counts lines while a position moves forward.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line (from 1) of byte `at`, which never moves backward.
    fn of(&mut self, at: usize) -> u32 {
        let breaks = self.text.as_bytes()[self.at..at].iter().filter(|b| **b == b'\n').count();
        self.line += u32::try_from(breaks).unwrap_or(0);
        self.at = at;
        self.line
    }
}

#[cfg(test)]
mod tests;
