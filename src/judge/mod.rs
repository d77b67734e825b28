//! SQLite as judge of SQLite migrations (DECISIONS 18): their history is built up in a database in memory, and what
//! SQLite says against a statement becomes a finding of the linter.
//!
//! The scripts come from pull requests. Every statement is compiled; carried out are only those that change the schema
//! and compute nothing. No rows come to be, nothing is attached, no pragma of a script takes effect, and time, sizes and
//! depth are bounded (ADR 0063).

mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::ffi;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use crate::ids::Engine;
use crate::lint::{Direction, Judged, Word, with_stack};
use crate::migration::{Migration, MigrationSet, execution};
use words::{Part, Shape, missing, shape};

/// Steps of SQLite's machine between two looks at the bounds.
const STEPS: i32 = 20;
/// Looks that one statement gets.
const MAX_LOOKS: u32 = 50_000;
/// What a whole judgement may take. Only a history made to be slow comes near it.
const TIME: Duration = Duration::from_secs(8);
/// Bytes of one statement; longer ones hold data, not schema.
const MAX_STATEMENT: usize = 256 * 1024;
/// Bytes of one value, so that no single function call takes long.
const MAX_VALUE: i32 = 64 * 1024;
/// Views and triggers of one database: a chain of them takes stack by its length.
const MAX_NESTED: usize = 2_000;
/// Characters of SQLite's words that are kept.
const MAX_WORDS: usize = 300;

/// What SQLite says against the SQLite migrations of `set`, in their order. Empty where there are none.
///
/// Where something before cannot be known (a table that no migration makes, a statement that failed, a pragma that
/// changes the rules), only what no knowledge could mend is said: the syntax.
pub fn judge(set: &MigrationSet) -> Vec<Judged> {
    let mut databases: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, migration) in set.migrations.iter().enumerate().filter(|(_, m)| m.engine == Engine::Sqlite) {
        let database = match &migration.target {
            Some(target) => format!("target {target}"),
            None => format!("unit {}", migration.unit),
        };
        databases.entry(database).or_default().push(at);
    }
    if databases.is_empty() {
        return Vec::new();
    }
    let ends = Instant::now() + TIME;
    let mut found = with_stack(|| {
        databases
            .values()
            .flat_map(|of| Court::open(set, of, ends).map(Court::judge).unwrap_or_default())
            .collect::<Vec<_>>()
    });
    found.sort_by_key(|j| (j.migration, j.direction == Direction::Down, j.range.start));
    found
}

/// A statement of a script with its place.
struct Said {
    range: Range<usize>,
    shape: Shape,
}

/// What a forward script does to an object at a place of the history.
#[derive(Debug, Clone, Copy)]
struct Act {
    at: usize,
    makes: bool,
    plain: bool,
}

/// One database in memory with what is known about it.
struct Court<'a> {
    set: &'a MigrationSet,
    of: &'a [usize],
    connection: Connection,
    looks: Arc<AtomicU32>,
    no_query: Arc<AtomicBool>,
    ends: Instant,
    acts: HashMap<String, Vec<Act>>,
    /// Names about which nothing can be said any more.
    unknown: HashSet<String>,
    /// Nothing but syntax can be judged any more.
    lost: bool,
    nested: usize,
    found: Vec<Judged>,
}

/// Opens the database and takes from it whatever a script could misuse.
fn cage(looks: &Arc<AtomicU32>, no_query: &Arc<AtomicBool>, ends: Instant) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    // Foreign keys as the driver has them.
    connection
        .execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA max_page_count = 16384;")?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    let count = Arc::clone(looks);
    connection.progress_handler(
        STEPS,
        Some(move || {
            let n = count.fetch_add(1, Ordering::Relaxed);
            n >= MAX_LOOKS || (n.is_multiple_of(50) && Instant::now() >= ends)
        }),
    )?;
    let no_query = Arc::clone(no_query);
    connection.authorizer(Some(move |asked: AuthContext<'_>| match asked.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => Authorization::Deny,
        // ALTER TABLE asks for it by itself.
        AuthAction::Pragma { pragma_name, .. } if !pragma_name.eq_ignore_ascii_case("quick_check") => {
            Authorization::Deny
        }
        AuthAction::Function { function_name }
            if ["load_extension", "fts3_tokenizer"].iter().any(|f| function_name.eq_ignore_ascii_case(f)) =>
        {
            Authorization::Deny
        }
        AuthAction::Select if no_query.load(Ordering::Relaxed) => Authorization::Deny,
        _ => Authorization::Allow,
    }))?;
    Ok(connection)
}

impl<'a> Court<'a> {
    fn open(set: &'a MigrationSet, of: &'a [usize], ends: Instant) -> Option<Self> {
        let (looks, no_query) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        // Without memory for an empty database nothing is judged, as before SQLite was asked.
        let connection = cage(&looks, &no_query, ends).ok()?;
        let mut last: HashMap<&str, &Migration> = HashMap::new();
        // Loose files in any order are no history.
        let lost = of.iter().map(|at| &set.migrations[*at]).any(|m| {
            last.insert(&m.unit, m).is_some_and(|before| before.version.cmp(&m.version) != std::cmp::Ordering::Less)
        });
        Some(Self {
            set,
            of,
            connection,
            looks,
            no_query,
            ends,
            acts: HashMap::new(),
            unknown: HashSet::new(),
            lost,
            nested: 0,
            found: Vec::new(),
        })
    }

    fn judge(mut self) -> Vec<Judged> {
        let set = self.set;
        let scripts: Vec<(usize, Option<Vec<Said>>)> =
            self.of.iter().map(|at| (*at, statements(&set.migrations[*at].up.text))).collect();
        for (said, at) in scripts.iter().flat_map(|(_, s)| s.iter().flatten()).zip(1usize..) {
            let mut note = |name: &Option<String>, makes: bool| {
                if let Some(name) = name {
                    let plain = makes && said.shape.plain;
                    self.acts.entry(name.clone()).or_default().push(Act { at, makes, plain });
                }
            };
            note(&said.shape.unmakes, false);
            note(&said.shape.makes, true);
        }
        let mut place = 0;
        for (at, said) in &scripts {
            let migration = &set.migrations[*at];
            match said {
                Some(said) => place = self.script(*at, Direction::Up, &migration.up.text, said, place),
                // The linter says why.
                None => self.lost = true,
            }
            if let Some(down) = &migration.down {
                self.down(*at, &down.text, place);
            }
            if Instant::now() >= self.ends {
                break;
            }
        }
        self.found
    }

    /// Tries the way back right behind the way forward, and takes it back again.
    fn down(&mut self, at: usize, text: &str, place: usize) {
        let Some(said) = statements(text) else { return };
        if self.connection.execute_batch("SAVEPOINT godwit").is_err() {
            return;
        }
        let (unknown, lost, nested) = (self.unknown.clone(), self.lost, self.nested);
        self.script(at, Direction::Down, text, &said, place);
        (self.unknown, self.lost, self.nested) = (unknown, lost, nested);
        self.looks.store(0, Ordering::Relaxed);
        if self.connection.execute_batch("ROLLBACK TO godwit; RELEASE godwit").is_err() {
            self.lost = true;
        }
    }

    /// Judges a script; gives the place behind it.
    fn script(&mut self, at: usize, direction: Direction, text: &str, said: &[Said], mut place: usize) -> usize {
        for said in said {
            if direction == Direction::Up {
                place += 1;
            }
            if let Some((word, range, message)) = self.statement(&text[said.range.clone()], &said.shape, place) {
                let start = said.range.start;
                let range = range.map_or(said.range.clone(), |r| start + r.start..start + r.end);
                let help = match word {
                    Word::Syntax => None,
                    Word::Refused => Some("the migrations before it leave no schema on which it can run".to_owned()),
                    Word::Stopped => Some("a migration should need no such statement; split or simplify it".to_owned()),
                };
                self.found.push(Judged { migration: at, direction, range, word, message, help });
            }
        }
        place
    }

    fn statement(&mut self, sql: &str, shape: &Shape, place: usize) -> Option<(Word, Option<Range<usize>>, String)> {
        let mut done = shape.part == Part::CarriedOut;
        let mut said = None;
        if shape.nests {
            self.nested += 1;
            done &= self.nested <= MAX_NESTED;
        }
        if shape.part == Part::LeftAlone || sql.len() > MAX_STATEMENT || Instant::now() >= self.ends {
            done = false;
        } else {
            self.looks.store(0, Ordering::Relaxed);
            self.no_query.store(done && shape.table, Ordering::Relaxed);
            let result = match self.connection.prepare(sql) {
                Ok(mut statement) if done => statement.raw_execute().map(|_| ()),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                done = false;
                said = self.weigh(&error, sql, shape, place);
                if !shape.about.is_empty() && said.as_ref().is_some_and(|(word, _, _)| *word == Word::Syntax) {
                    self.unknown.extend(shape.head.iter().cloned());
                }
            }
        }
        if !done || shape.names.iter().any(|n| self.unknown.contains(n)) {
            self.unknown.extend(shape.about.iter().cloned());
        }
        self.lost |= shape.upsets;
        said
    }

    /// Whether an error is one that can be relied on, and what to say about it.
    fn weigh(
        &self,
        error: &rusqlite::Error,
        sql: &str,
        shape: &Shape,
        place: usize,
    ) -> Option<(Word, Option<Range<usize>>, String)> {
        let (code, message, offset) = match error {
            rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
                (error, msg.as_str(), usize::try_from(*offset).ok())
            }
            rusqlite::Error::SqliteFailure(error, Some(message)) => (error, message.as_str(), None),
            _ => return None,
        };
        // In an error about a view or trigger the place is one in that object's text.
        let range = offset.filter(|_| !message.starts_with("error in ")).and_then(|at| token(sql, at));
        let words: String = message.chars().take(MAX_WORDS).collect();
        match code.extended_code & 0xff {
            ffi::SQLITE_INTERRUPT => {
                return Some((
                    Word::Stopped,
                    range,
                    "SQLite did not come to an end with it and was stopped".to_owned(),
                ));
            }
            ffi::SQLITE_ERROR => {}
            // Values too large, rows in the way, what we forbid: says nothing about the statement.
            _ => return None,
        }
        let syntax = message.ends_with(": syntax error")
            || message.starts_with("unrecognized token")
            || message == "incomplete input";
        if syntax {
            return Some((Word::Syntax, range, words));
        }
        let known = match missing(message) {
            Some(name) => !self.unknown.contains(&name) && self.is_made(&name, place),
            None => true,
        };
        let told = words::shape(message).names;
        let certain = !self.lost && known && !shape.names.iter().chain(&told).any(|n| self.unknown.contains(n));
        certain.then(|| (Word::Refused, range, format!("SQLite refuses it: {words}")))
    }

    /// Whether the migrations make `name`, so that its absence here is their fault: they made it before, or make it
    /// later in a way that shows that it cannot have been there.
    fn is_made(&self, name: &str, place: usize) -> bool {
        let Some(acts) = self.acts.get(name) else { return false };
        acts.iter().any(|a| a.makes && a.at <= place)
            || acts.iter().find(|a| a.at > place).is_some_and(|a| a.makes && a.plain)
    }
}

fn statements(text: &str) -> Option<Vec<Said>> {
    let found = execution::statements(Engine::Sqlite, text).ok()?;
    Some(found.into_iter().map(|s| Said { shape: shape(&text[s.range.clone()]), range: s.range }).collect())
}

/// The word or sign that begins at byte `at`.
fn token(sql: &str, at: usize) -> Option<Range<usize>> {
    let rest = sql.get(at..)?;
    let first = rest.chars().next()?;
    let long = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(at..at + long.max(first.len_utf8()))
}

#[cfg(test)]
mod tests;
