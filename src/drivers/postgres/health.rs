//! What the server says of its health, what this user lacks, and questions that change nothing.

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::wire;
use crate::config::health::Vital;
use crate::drivers::{DriverError, FENCE, HISTORY, one_query};
use crate::ids::Engine;
use crate::plan::health::Reading;
use crate::plan::{Objection, ObjectionKind};

/// How long a question may take (milliseconds).
const PATIENCE: u32 = 10_000;

/// Something that every run needs and this connection has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// The server is a replica.
    Primary,
    /// Its transactions only read.
    Writing,
    /// It may make no table.
    Create,
    /// It may not write the history.
    History,
}

impl Lack {
    /// By the word of the question that looks for it.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "primary" => Some(Lack::Primary),
            "writing" => Some(Lack::Writing),
            "create" => Some(Lack::Create),
            "history" => Some(Lack::History),
            _ => None,
        }
    }

    /// What it means for a run.
    pub fn objection(self, options: &PgConnectOptions) -> Objection {
        let user = options.get_username();
        let (message, what_to_do) = match self {
            Lack::Primary => {
                ("this server is a replica, which takes no writes".to_owned(), "name the primary in the URL".to_owned())
            }
            Lack::Writing => (
                format!("transactions of `{user}` are read-only here"),
                format!("`ALTER ROLE {user} SET default_transaction_read_only = off`, or use another user"),
            ),
            Lack::Create => (
                format!("`{user}` may make no tables here: permission denied on every schema of its search_path"),
                format!("`GRANT CREATE ON SCHEMA public TO {user}`"),
            ),
            Lack::History => (
                format!("`{user}` may not read and write `godwit_history` and `godwit_fence`"),
                format!("`GRANT SELECT, INSERT, UPDATE, DELETE ON godwit_history, godwit_fence TO {user}`"),
            ),
        };
        Objection { kind: ObjectionKind::Right, migration: None, file: None, line: None, message, what_to_do }
    }
}

/// The same where they are only read: that asks for less.
pub(super) fn explained_to_reader(error: DriverError, options: &PgConnectOptions) -> DriverError {
    let mut error = explained(error, options);
    if let DriverError::Statement(failure) = &mut error
        && failure.code.as_deref() == Some("42501")
        && [HISTORY, FENCE].iter().any(|t| failure.message.contains(t))
        && let Some(hint) = &mut failure.hint
    {
        let user = options.get_username();
        hint.push_str(&format!("; for `plan` and `status` alone, `GRANT SELECT ON {HISTORY}, {FENCE} TO {user}`"));
    }
    error
}

/// A refusal of Godwit's own tables with the role that lacks the right, and what grants it [S0-79].
pub(super) fn explained(error: DriverError, options: &PgConnectOptions) -> DriverError {
    match error {
        DriverError::Statement(mut failure)
            if failure.code.as_deref() == Some("42501")
                && [HISTORY, FENCE].iter().any(|t| failure.message.contains(t)) =>
        {
            let Objection { message, what_to_do, .. } = Lack::History.objection(options);
            failure.message = format!("{message} ({})", failure.message);
            failure.hint = Some(what_to_do);
            DriverError::Statement(failure)
        }
        other => other,
    }
}

pub(super) async fn vitals(connection: &mut PgConnection) -> Result<Vec<Reading>, DriverError> {
    let sql = "SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::text, \
               pg_catalog.current_setting('max_connections')";
    let rows = wire::rows(connection, sql.to_owned()).await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let number = |n: usize| wire::str(row, n).map(|t| t.parse::<f64>().unwrap_or(0.0));
    Ok(Reading::share(Vital::ConnectionPool, number(0)?, number(1)?).into_iter().collect())
}

pub(super) async fn readable(connection: &mut PgConnection, name: &str) -> Result<(), DriverError> {
    let quoted: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    answer(connection, &format!("SELECT 1 FROM {} LIMIT 1", quoted.join("."))).await.map(|_| ())
}

pub(super) async fn answer(connection: &mut PgConnection, sql: &str) -> Result<Option<String>, DriverError> {
    let query = one_query(Engine::Postgresql, sql)?;
    wire::execute(connection, format!("BEGIN READ ONLY;SET LOCAL statement_timeout={PATIENCE}")).await?;
    let rows = wire::rows(connection, query.to_owned()).await;
    // Whatever came of it; the connection is of no use when not even this works.
    wire::execute(connection, "ROLLBACK".to_owned()).await?;
    match rows?.first() {
        Some(row) => Ok(wire::optional_str(row, 0)?.map(str::to_owned)),
        None => Ok(None),
    }
}
