//! PostgreSQL: one dedicated connection that holds a session advisory lock and does all the work.

mod address;
mod ahead;
mod batches;
mod beat;
mod effect;
mod facts;
mod health;
mod message;
mod native;
mod place;
mod preflight;
mod probe;
mod schema;
mod sending;
mod session;
mod strain;
mod watch;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::DateTime;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions as _, PgConnection, Row as _};

pub(crate) use address::options_of;
pub use ahead::{Ahead, First};
pub(super) use message::literal as text_literal;
pub use session::PostgresSession;

use super::{Driver, DriverError, HISTORY, SessionOptions, below_floor, tls};
use crate::ids::{Checksum, CommitSha, Epoch, MigrationId, PrNumber, RunId};
use crate::migration::native::{Book, Found, Ledger};
use crate::plan::health::Reading;
use crate::plan::planner::{HistorySummary, Rows};
use crate::plan::{
    Capabilities, HistoryRow, LockHolder, MigrationPlan, MigrationState, Objection, SchemaSnapshot, StepAction,
};
use crate::risk::facts::TargetFacts;
use message::Tables;
use place::Place;

/// How long connecting may take before the server counts as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The oldest version that migrations run on [S0-15].
const FLOOR: &[u32] = &[13];

/// A connection that reads.
#[derive(Debug)]
pub struct PostgresDriver {
    connection: PgConnection,
    options: PgConnectOptions,
    tables: Tables,
    /// Where they are, or would go, as it was when we came.
    place: Place,
    /// The history where it was read with the connection; for the first who asks.
    read: Option<Vec<HistoryRow>>,
}

impl PostgresDriver {
    /// Connects and finds Godwit's tables. The session speaks UTC and ISO dates, whatever the server's default is.
    ///
    /// # Errors
    /// When the URL is wrong, nothing answers, or the login is refused.
    pub async fn connect(url: &SecretString) -> Result<Self, DriverError> {
        crate::redact::register_url(url.expose_secret());
        let options = options_of(url.expose_secret())
            .map_err(|e| DriverError::Unreachable(format!("the database's URL is wrong: {e}")))?;
        let options = options.application_name("godwit").statement_cache_capacity(0).disable_statement_logging();
        let mut connection = open(&options).await?;
        let Some(place) = place::find(&mut connection).await? else {
            return Err(DriverError::Unreachable(format!(
                "the connection's search_path names no schema that exists and may be used; create one first, or `GRANT USAGE ON \
                 SCHEMA public TO {}`",
                options.get_username()
            )));
        };
        Ok(Self { connection, options, tables: Tables::in_schema(&place.schema), place, read: None })
    }
}

impl PostgresDriver {
    /// What the history comes to, read in the least that says so.
    async fn summary(&mut self) -> Result<HistorySummary, DriverError> {
        let mut rows = Rows::with_capacity(0);
        if self.place.exists {
            wire::each(&mut self.connection, self.tables.select_summary(), |row| {
                let text = |i: usize| wire::str(row, i);
                rows.push(text(0)?, text(1)?, text(2)?, text(3)?, text(4)?);
                Ok(())
            })
            .await?;
        }
        Ok(rows.summary())
    }

    /// Statements of a rehearsal on its scratch database; the rows of the last as texts.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ask(&mut self, sql: String) -> Result<Vec<Vec<String>>, DriverError> {
        let rows = wire::rows(&mut self.connection, sql).await?;
        rows.iter().map(|row| (0..row.len()).map(|i| wire::text(row, i)).collect()).collect()
    }
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, DriverError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(DriverError::Unreachable(format!(
            "cannot connect to PostgreSQL at {}: {}",
            place(options),
            with_help(wire::describe(&error))
        ))),
        Err(_) => Err(DriverError::Unreachable(format!(
            "cannot connect to PostgreSQL at {}: no answer within {} s",
            place(options),
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

/// How a URL speaks of TLS.
const TLS: tls::Words = tls::Words {
    on: "`sslmode=require`, or `sslmode=verify-full` to know the server as well",
    off: "`sslmode=disable`",
    authority: "`sslrootcert=FILE`",
};

/// Why there is no connection, with what to do where it is about TLS.
fn with_help(words: String) -> String {
    if words.contains("os error 2)") {
        return format!("{words}; look at the file that `sslrootcert`, `sslcert` or `sslkey` in the URL names");
    }
    let encrypted = !words.contains("no encryption");
    match tls::help(&words, encrypted, &TLS) {
        Some(help) => format!("{words}; {help}"),
        None => words,
    }
}

/// Host, port and database; never the user's secrets.
fn place(options: &PgConnectOptions) -> String {
    format!(
        "`{}:{}`, database `{}`",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or(options.get_username())
    )
}

impl Driver for PostgresDriver {
    type Session = PostgresSession;

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        if let Some(read) = self.read.take() {
            return Ok(read);
        }
        if !self.place.exists {
            return Ok(Vec::new());
        }
        let read = read_history(&mut self.connection, &self.tables, None).await;
        read.map_err(|e| health::explained_to_reader(e, &self.options))
    }

    async fn identity(&mut self) -> Result<Option<String>, DriverError> {
        if !self.place.exists {
            return Ok(None);
        }
        match wire::rows(&mut self.connection, self.tables.select_fence()).await {
            Ok(rows) => rows.first().map(|row| wire::text(row, 0)).transpose(),
            Err(DriverError::Statement(f)) if f.code.as_deref() == Some("42P01") => Ok(None),
            Err(error) => Err(health::explained_to_reader(error, &self.options)),
        }
    }

    async fn native(&mut self, book: &Book) -> Result<Vec<Found>, DriverError> {
        // A service's table is in a schema of its own, which the path need not name.
        let hidden = book.looks_around || book.ledgers.iter().any(Ledger::is_hidden);
        if self.place.shows_others || hidden { native::read(&mut self.connection, book).await } else { Ok(Vec::new()) }
    }

    async fn holder(&mut self) -> Result<Option<LockHolder>, DriverError> {
        watch::find_holder(&mut self.connection, &self.tables).await
    }

    async fn capabilities(&mut self) -> Result<Capabilities, DriverError> {
        // The server says it at the start of the connection; no question is asked.
        let version = self.connection.server_version_num().unwrap_or(0);
        Ok(Capabilities {
            version: format!("{}.{}", version / 10_000, version % 10_000),
            transactions: true,
            notes: Vec::new(),
        })
    }

    async fn preflight(&mut self, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
        let version = self.capabilities().await?.version;
        let mut objections: Vec<Objection> = below_floor("PostgreSQL", &version, FLOOR).into_iter().collect();
        objections.extend(self.place.lacks.map(|lack| lack.objection(&self.options)));
        objections.extend(preflight::objections(&mut self.connection, plan).await?);
        Ok(objections)
    }

    async fn schema(&mut self) -> Result<SchemaSnapshot, DriverError> {
        schema::snapshot(&mut self.connection).await
    }

    async fn vitals(&mut self) -> Result<Vec<Reading>, DriverError> {
        health::vitals(&mut self.connection).await
    }

    async fn facts(&mut self, only: Option<&BTreeSet<String>>) -> Result<Option<TargetFacts>, DriverError> {
        facts::facts(&mut self.connection, only).await.map(Some)
    }

    async fn readable(&mut self, name: &str) -> Result<(), DriverError> {
        health::readable(&mut self.connection, name).await
    }

    async fn answer(&mut self, sql: &str) -> Result<Option<String>, DriverError> {
        health::answer(&mut self.connection, sql).await
    }

    async fn lock(self, options: &SessionOptions) -> Result<PostgresSession, DriverError> {
        PostgresSession::take(self, options).await
    }
}

async fn read_history(
    connection: &mut PgConnection,
    tables: &Tables,
    only: Option<(&str, &str)>,
) -> Result<Vec<HistoryRow>, DriverError> {
    let mut rows = wire::read(connection, tables.select_history(only), history_row).await?;
    // Here it is a few swaps; the server would sort before it sends the first one.
    rows.sort_by(|(a_began, a), (b_began, b)| (a_began, &a.unit, &a.id).cmp(&(b_began, &b.unit, &b.id)));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// A row of the history, and the microsecond at which it was begun.
fn history_row(row: &PgRow) -> Result<(i64, HistoryRow), DriverError> {
    let bad = |what: &str, value: &str| {
        DriverError::History(format!(
            "the table `{HISTORY}` holds `{value}` as {what}, which this version does not understand"
        ))
    };
    let text = |i: usize| wire::str(row, i);
    let optional = |i: usize| wire::optional_str(row, i);
    let number = |i: usize, what: &str| text(i).and_then(|t| t.parse::<i64>().map_err(|_| bad(what, t)));
    let time = |t: &str| t.parse().ok().and_then(DateTime::from_timestamp_millis).ok_or_else(|| bad("a time", t));
    let began = number(8, "a time")?;
    let (id, checksum, state, action, run) = (text(1)?, text(3)?, text(4)?, text(5)?, text(7)?);
    let row = HistoryRow {
        unit: text(0)?.to_owned(),
        id: MigrationId::new(id).map_err(|_| bad("a migration id", id))?,
        version: text(2)?.to_owned(),
        checksum: Checksum::new(checksum).map_err(|_| bad("a checksum", checksum))?,
        state: MigrationState::parse(state).ok_or_else(|| bad("a state", state))?,
        action: StepAction::parse(action).ok_or_else(|| bad("an action", action))?,
        epoch: Epoch(number(6, "an epoch")?),
        run: RunId::new(run).map_err(|_| bad("a run", run))?,
        started_at: DateTime::from_timestamp_millis((began + 500).div_euclid(1000))
            .ok_or_else(|| bad("a time", &began.to_string()))?,
        finished_at: optional(9)?.map(time).transpose()?,
        duration_ms: number(10, "a duration")?,
        by: text(11)?.to_owned(),
        pr: optional(12)?.and_then(|t| t.parse().ok()).map(PrNumber),
        commit: optional(13)?.and_then(|t| CommitSha::new(t).ok()),
        statements_done: i32::try_from(number(14, "a number of statements")?).unwrap_or(i32::MAX),
        error: optional(15)?.map(str::to_owned),
    };
    Ok((began, row))
}
