//! The second connection of a session. The server ends a lock with the connection that holds it, and a process that stands
//! still keeps its connections for ever; so this one says in between that the process is alive, also while a statement
//! runs. Whoever waits for the lock of a process that has been silent for longer than its lease takes it over.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::{open, wire};
use crate::drivers::DriverError;

/// What the second connection calls itself, with the server's process that it speaks for and the lease in milliseconds
/// behind it.
const NAME: &str = "godwit beat";

/// Ends the session that holds a lock, if it belongs to a process that has been silent for longer than its lease and no
/// statement of it is running. One that never spoke of a lease is left alone.
const TAKE_OVER: &str = "SELECT pg_catalog.pg_terminate_backend(h.pid)::text FROM pg_catalog.pg_locks l \
     JOIN pg_catalog.pg_stat_activity h ON h.pid = l.pid CROSS JOIN LATERAL (SELECT max(b.state_change) AS heard, \
     max(CASE WHEN b.application_name ~ '^$NAME [0-9]+ [0-9]{1,9}$' \
     THEN pg_catalog.split_part(b.application_name, ' ', 4)::int8 END) AS lease FROM pg_catalog.pg_stat_activity b \
     WHERE b.usesysid = h.usesysid AND b.application_name ~ ('^$NAME ' || h.pid || ' [0-9]{1,9}$')) b \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
     AND l.classid::int8 = $CLASS AND l.objid::int8 = $OBJECT AND h.application_name LIKE 'godwit:%' \
     AND h.state <> 'active' AND greatest(h.state_change, b.heard) \
     < pg_catalog.clock_timestamp() - b.lease * interval '1 millisecond'";

/// The connection, and the task that keeps it speaking.
#[derive(Debug)]
pub(super) struct Beat {
    connection: Arc<Mutex<Option<PgConnection>>>,
    connect: PgConnectOptions,
    task: Option<JoinHandle<()>>,
}

impl Beat {
    /// Connects; nothing is said yet.
    pub async fn open(connect: &PgConnectOptions) -> Result<Self, DriverError> {
        let connect = connect.clone().application_name(NAME);
        let connection = open(&connect).await?;
        Ok(Self { connection: Arc::new(Mutex::new(Some(connection))), connect, task: None })
    }

    /// Speaks for the session with the server's process `pid` from now on. It has spoken once when this returns: whoever
    /// takes a lock afterwards can be taken over from the first moment.
    pub async fn speak_for(&mut self, pid: i64, lease: Duration) {
        self.fall_silent();
        let (shared, connect) = (Arc::clone(&self.connection), self.connect.clone());
        let name = format!("SET application_name = '{NAME} {pid} {}'", lease.as_millis().min(999_999_999));
        speak(&shared, &connect, &name).await;
        let speaking = async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                speak(&shared, &connect, &name).await;
            }
        };
        self.task = Some(tokio::spawn(speaking.in_current_span()));
    }

    fn fall_silent(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Rows of a short question; a connection that was lost is made anew.
    pub async fn ask(&self, sql: String) -> Result<Vec<sqlx::postgres::PgRow>, DriverError> {
        ask(&self.connection, &self.connect, sql).await
    }

    /// Ends the connection in order.
    pub async fn close(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // What it was about to say is of no interest any more.
            let _ = task.await;
        }
        if let Some(connection) = self.connection.lock().await.take() {
            let _ = connection.close().await;
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

async fn speak(shared: &Mutex<Option<PgConnection>>, connect: &PgConnectOptions, name: &str) {
    if let Err(error) = ask(shared, connect, name.to_owned()).await {
        tracing::warn!(%error, "that this run is alive could not be told to the server");
    }
}

async fn ask(
    shared: &Mutex<Option<PgConnection>>,
    connect: &PgConnectOptions,
    sql: String,
) -> Result<Vec<sqlx::postgres::PgRow>, DriverError> {
    let mut slot = shared.lock().await;
    // Taken out, so that one that is given up in mid-answer is not used again.
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => open(connect).await?,
    };
    let rows = wire::rows(&mut connection, sql).await;
    if !matches!(rows, Err(DriverError::Lost(_))) {
        *slot = Some(connection);
    }
    rows
}

/// Ends the holder of a lock if its process stands still. Gives whether there was such a holder.
pub(super) async fn take_over(connection: &mut PgConnection, key: i64) -> Result<bool, DriverError> {
    let bits = u64::from_be_bytes(key.to_be_bytes());
    let sql = TAKE_OVER
        .replace("$NAME", NAME)
        .replace("$CLASS", &(bits >> 32).to_string())
        .replace("$OBJECT", &(bits & 0xffff_ffff).to_string());
    match wire::rows(connection, sql).await {
        Ok(rows) => Ok(!rows.is_empty()),
        // Another user's sessions may not be ended: they are waited for.
        Err(DriverError::Statement(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
