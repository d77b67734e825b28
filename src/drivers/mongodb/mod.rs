//! MongoDB: commands on one database, each change fenced; transactions where the server has them.

mod definition;
mod health;
mod history;
mod lock;
mod operations;
mod preflight;
mod probe;
mod rights;
mod schema;
mod seed;
mod seen;
mod session;
mod settle;
mod strain;
mod values;
mod wire;

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, ReadPreference, SelectionCriteria, Tls, WriteConcern};
use mongodb::{Client, Database};
use secrecy::{ExposeSecret as _, SecretString};

pub use session::MongodbSession;

use super::{Driver, DriverError, SessionOptions, below_floor, tls};
use crate::plan::health::Reading;
use crate::plan::{Capabilities, HistoryRow, LockHolder, MigrationPlan, Objection, SchemaSnapshot};
use wire::Fault;

/// How long a server is looked for before it counts as away, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a URL speaks of TLS.
const TLS: tls::Words = tls::Words { on: "`tls=true` into the URL", off: "`tls=false`", authority: "`tlsCAFile=FILE`" };

/// The oldest version that migrations run on [S0-16].
const FLOOR: &[u32] = &[5, 0];

/// A client that reads.
#[derive(Debug)]
pub struct MongodbDriver {
    client: Client,
    db: Database,
    /// What every connection of this client is called on the server.
    name: String,
    transactions: bool,
    version: String,
}

impl MongodbDriver {
    /// Connects, and asks the server what it is.
    ///
    /// # Errors
    /// When the URL is wrong or names no database, nothing answers, TLS or the login is refused, or the server is not the
    /// primary of its set.
    pub async fn connect(url: &SecretString) -> Result<Self, DriverError> {
        crate::redact::register_url(url.expose_secret());
        let unreachable = |m: String| DriverError::Unreachable(crate::redact::text(&m));
        let mut options = ClientOptions::parse(url.expose_secret())
            .await
            .map_err(|e| unreachable(format!("the database's URL is wrong: {}", plain(&e))))?;
        let place = place(&options);
        let Some(name) = options.default_database.clone() else {
            return Err(unreachable(
                "the database's URL names no database: write it behind the host, as in `mongodb://host:27017/shop`"
                    .to_owned(),
            ));
        };
        // A name of its own, so that a later run can see whether the server still holds connections of this one.
        let called = format!("godwit {}", bson::Uuid::new());
        options.app_name = Some(called.clone());
        options.server_selection_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        // What the URL says of reading and writing is for the application: a history must be read where it is written.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.write_concern = Some(WriteConcern::majority());
        options.read_concern = None;
        trust_the_system(&mut options);
        let encrypted = matches!(options.tls, Some(Tls::Enabled(_)));
        let client = Client::with_options(options).map_err(|e| unreachable(plain(&e)))?;
        let db = client.database(&name);
        let told = |fault: Fault| match fault.error {
            DriverError::Unreachable(m) | DriverError::Lost(m) => {
                let help = tls::help(&m, encrypted, &TLS).map_or(String::new(), |help| format!("; {help}"));
                unreachable(format!("cannot connect to MongoDB at {place}, database `{name}`: {m}{help}"))
            }
            other => unreachable(format!("MongoDB at {place} refuses: {other}")),
        };
        let hello = wire::run(&db, None, doc! { "hello": 1 }).await.map_err(told)?;
        let set = hello.get_str("setName").ok();
        if let Some(set) = set
            && values::flag(&hello, "isWritablePrimary") == Some(false)
        {
            return Err(unreachable(format!(
                "MongoDB at {place} is not the primary of the replica set `{set}`; that is `{}`: name all members in the URL",
                hello.get_str("primary").unwrap_or("not elected at the moment")
            )));
        }
        let build = wire::run(&db, None, doc! { "buildInfo": 1 }).await.map_err(told)?;
        Ok(Self {
            transactions: set.is_some() || values::text(&hello, "msg") == "isdbgrid",
            version: build.get_str("version").unwrap_or_default().to_owned(),
            client,
            db,
            name: called,
        })
    }
}

impl MongodbDriver {
    /// The client, the database, whether there are snapshots and transactions, and the server's version.
    pub(crate) fn parts(&self) -> (&Client, &Database, bool, &str) {
        (&self.client, &self.db, self.transactions, &self.version)
    }
}

/// The library's words without its own frame.
fn plain(error: &mongodb::error::Error) -> String {
    error.kind.to_string()
}

/// Trusts the certificates that this machine trusts, unless the URL names a file of its own.
fn trust_the_system(options: &mut ClientOptions) {
    if let Some(Tls::Enabled(tls)) = &mut options.tls
        && tls.ca_file_path.is_none()
    {
        tls.ca_file_path = openssl_probe::probe().cert_file;
    }
}

/// The hosts; never the user's secrets.
fn place(options: &ClientOptions) -> String {
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    format!("`{}`", hosts.join(","))
}

impl Driver for MongodbDriver {
    type Session = MongodbSession;

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        read_history(&self.db).await
    }

    async fn identity(&mut self) -> Result<Option<String>, DriverError> {
        let (found, _) = wire::batch_of(&wire::run(&self.db, None, history::find_fence()).await?);
        Ok(found.first().and_then(|fence| fence.get_str("target_id").ok()).map(str::to_owned))
    }

    async fn holder(&mut self) -> Result<Option<LockHolder>, DriverError> {
        Ok(lock::holder(&self.db).await?)
    }

    async fn capabilities(&mut self) -> Result<Capabilities, DriverError> {
        let notes = if self.transactions {
            Vec::new()
        } else {
            vec![
                "this server is no replica set, so it has no transactions: a change and its record are two writes; \
                 `update_documents` cannot be proved after a crash and then waits for a person, and a batch of the other \
                 operations may be tried twice, which changes nothing the second time"
                    .to_owned(),
            ]
        };
        Ok(Capabilities { version: self.version.clone(), transactions: self.transactions, notes })
    }

    async fn preflight(&mut self, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
        if let Some(objection) = below_floor("MongoDB", &self.version, FLOOR) {
            return Ok(vec![objection]);
        }
        let mut objections = Vec::from_iter(rights::look(&self.db, plan).await?);
        objections.extend(preflight::look(&self.db, plan).await?);
        Ok(objections)
    }

    async fn schema(&mut self) -> Result<SchemaSnapshot, DriverError> {
        schema::snapshot(&self.db).await
    }

    async fn vitals(&mut self) -> Result<Vec<Reading>, DriverError> {
        health::vitals(&self.db).await
    }

    async fn readable(&mut self, name: &str) -> Result<(), DriverError> {
        health::readable(&self.db, name).await
    }

    async fn lock(self, options: &SessionOptions) -> Result<MongodbSession, DriverError> {
        MongodbSession::take(self, options).await
    }
}

async fn read_history(db: &Database) -> Result<Vec<HistoryRow>, DriverError> {
    let rows: Vec<Document> = wire::all(db, super::HISTORY, history::select(None)).await?;
    rows.iter().map(history::row_of).collect()
}
