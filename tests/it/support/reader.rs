//! A PostgreSQL account that may only read, and no table of its own accord.

use super::{Database, Kind};

/// The account, until it is dropped.
pub struct Reader {
    name: String,
    keeper: Database,
}

impl Reader {
    /// A new one on the server of the tests. It sees statistics, as `pg_monitor` does.
    pub fn new() -> Self {
        let keeper = Database::fresh(Kind::Postgres);
        let name = format!("reader_{}", keeper.name());
        keeper.query(&format!(
            "create role {name} login password 'reads-only' noinherit; grant pg_monitor to {name}; \
             alter role {name} inherit; alter role {name} set default_transaction_read_only = on"
        ));
        Self { name, keeper }
    }

    /// The URL of a database for this account.
    pub fn url(&self, database: &Database) -> String {
        let (scheme, rest) = database.url.split_once("://").unwrap();
        let (_, place) = rest.rsplit_once('@').unwrap();
        format!("{scheme}://{}:reads-only@{place}", self.name)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A test that fails says more than a role that is left behind.
        let _ = self.keeper.try_query(&format!("drop role if exists {}", self.name));
    }
}
