//! Elasticsearch: no transactions, so each change is built aside and published by one atomic call.
//!
//! What keeps an overtaken runner out:
//! * history and records: each write names the version of the fence that it was made from (`own`);
//! * aliases and deleted indices: the same atomic call names an alias that only the newest runner has (`session`);
//! * whatever else (an index made, a mapping, settings, a copy): the fence is written just before it is sent. A process
//!   that is stopped exactly between the two can send one such request later; what it makes carries its epoch and gets
//!   no alias.

mod address;
mod alias;
mod carry;
mod copy;
mod health;
mod index;
mod lock;
mod own;
mod preflight;
mod rights;
mod schema;
pub(crate) mod scratch;
mod seed;
mod session;
mod strain;
mod swap;
mod task;
mod undo;
pub(crate) mod wire;

use elasticsearch::http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{Driver, DriverError, SessionOptions};
use crate::plan::health::Reading;
use crate::plan::{Capabilities, HistoryRow, LockHolder, MigrationPlan, Objection, SchemaSnapshot};
use address::{Address, Login};
use own::Own;
pub(crate) use own::changes;
pub use session::ElasticsearchSession;
use wire::Wire;

/// What indices begin with that a restore builds aside.
pub(crate) const ASIDE: &str = "godwit_restore_";

/// The oldest version that is supported [S0-18].
const FLOOR: [u32; 2] = [7, 15];

/// Whether a URL can be read.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(|_| ())
}

/// A cluster, or the part of it that `namespace` names.
pub struct ElasticsearchDriver {
    wire: Wire,
    own: Own,
    address: Address,
    version: String,
}

impl ElasticsearchDriver {
    /// Reads the URL and greets the server.
    ///
    /// # Errors
    /// When the URL cannot be read, or nobody answers there, or not for us.
    pub async fn connect(url: &SecretString) -> Result<Self, DriverError> {
        let address = Address::parse(url.expose_secret()).map_err(DriverError::Unreachable)?;
        let wire = Wire::new(&address)?;
        let answer = wire.once(Method::Get, "", None).await.map_err(|why| wire.unreachable(&why))?;
        // One that is only busy is asked again.
        let answer = if matches!(answer.status, 429 | 502..=504) { wire.get("").await? } else { answer };
        let body = match answer.is_ok() {
            true => answer.body,
            false => return Err(wire.unreachable(&answer.failure().message)),
        };
        let Some(version) = body["version"]["number"].as_str().map(str::to_owned) else {
            return Err(wire.unreachable("what answers there is not Elasticsearch"));
        };
        let own = match &address.namespace {
            Some(namespace) if address.scratch => Own::scratch(namespace),
            namespace => Own::new(namespace.as_deref()),
        };
        Ok(Self { wire, own, address, version })
    }
}

impl ElasticsearchDriver {
    /// The way to the cluster, and the server's version.
    pub(crate) fn parts(&self) -> (&Wire, &str) {
        (&self.wire, &self.version)
    }

    /// What the indices begin with that a restore of this target builds aside: another target of the cluster may be
    /// restored at the same time.
    pub(crate) fn aside(&self) -> String {
        self.address.namespace.as_ref().map_or_else(|| ASIDE.to_owned(), |namespace| format!("{ASIDE}{namespace}_"))
    }

    /// The snapshot repository that the URL names.
    pub(crate) fn repository(&self) -> Option<&str> {
        self.address.repository.as_deref()
    }
}

impl Driver for ElasticsearchDriver {
    type Session = ElasticsearchSession;

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        Ok(own::read_history(&self.wire, &self.own).await?.into_iter().map(|e| e.row).collect())
    }

    async fn identity(&mut self) -> Result<Option<String>, DriverError> {
        Ok(own::read_fence(&self.wire, &self.own).await?.map(|(fence, _)| fence.target))
    }

    async fn holder(&mut self) -> Result<Option<LockHolder>, DriverError> {
        lock::holder(&self.wire, &self.own).await
    }

    async fn capabilities(&mut self) -> Result<Capabilities, DriverError> {
        let mut notes = vec![
            "Elasticsearch has no transactions: each operation is proved by looking at it, and an alias changes in one \
             atomic call"
                .to_owned(),
        ];
        let health = self.wire.get("_cluster/health").await?;
        if health.is_ok() && health.body["number_of_data_nodes"].as_u64() == Some(1) {
            notes
                .push("one data node: no replicas, so a lost disk loses the documents and Godwit's history".to_owned());
        }
        if self.address.url.scheme() == "http" && !self.address.is_local() {
            notes.push(match self.address.login {
                Login::None => "no TLS and no password: whoever reaches the server can change everything".to_owned(),
                Login::Basic(..) | Login::ApiKey(_) => "no TLS: the password travels in clear text".to_owned(),
            });
        }
        Ok(Capabilities { version: self.version.clone(), transactions: false, notes })
    }

    async fn preflight(&mut self, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
        let mut objections: Vec<Objection> =
            super::below_floor("Elasticsearch", &self.version, &FLOOR).into_iter().collect();
        if objections.is_empty() {
            objections.extend(rights::look(&self.wire, &self.own, plan).await?);
            if objections.is_empty() {
                // Without the right to look there is nothing to be seen.
                objections.extend(preflight::look(&self.wire, &self.own, plan).await?);
            }
        }
        Ok(objections)
    }

    async fn schema(&mut self) -> Result<SchemaSnapshot, DriverError> {
        schema::read(&self.wire, &self.own.prefix).await
    }

    async fn vitals(&mut self) -> Result<Vec<Reading>, DriverError> {
        health::vitals(&self.wire).await
    }

    async fn readable(&mut self, name: &str) -> Result<(), DriverError> {
        health::readable(&self.wire, name).await
    }

    async fn lock(self, options: &SessionOptions) -> Result<ElasticsearchSession, DriverError> {
        ElasticsearchSession::open(self.wire, self.own, options).await
    }
}

/// A failure that is not the server's.
fn refused(message: String, hint: &str) -> DriverError {
    DriverError::Statement(super::StatementFailure { message, code: None, line: None, hint: Some(hint.to_owned()) })
}

/// A name that means one index, not several and not all.
fn is_literal(name: &str) -> bool {
    !name.is_empty()
        && name != "_all"
        && !name.starts_with(['-', '_', '+', '<'])
        && !name.contains(['*', '?', ',', '/', '\\', '"', '<', '>', '|', ' ', '#', ':'])
}

/// Settings that a server makes up, or that belong to where an index stands and not to what it is.
const MADE_UP: [&str; 8] =
    ["uuid", "creation_date", "version", "provided_name", "resize", "history", "routing", "blocks"];

/// The settings of an index as they are given when one is made.
pub(crate) fn settings_of(index: &Value) -> Value {
    let mut settings = index["settings"]["index"].as_object().cloned().unwrap_or_default();
    settings.retain(|key, _| !MADE_UP.contains(&key.as_str()));
    Value::Object(settings)
}

/// A mapping's text, from an index as the server shows it.
fn mapping_of(index: &Value) -> &Value {
    &index["mappings"]
}
