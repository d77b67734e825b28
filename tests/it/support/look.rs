//! What a driver reads of a database.

use godwit::drivers::Driver;
use godwit::drivers::elasticsearch::ElasticsearchDriver;
use godwit::drivers::mongodb::MongodbDriver;
use godwit::drivers::postgres::PostgresDriver;
use godwit::drivers::redis::RedisDriver;
use godwit::drivers::sqlite::SqliteDriver;
use godwit::plan::{HistoryRow, LockHolder, SchemaSnapshot};
use secrecy::SecretString;

use super::{Database, Kind, apart, wait};

/// Everything a driver says without changing anything.
#[derive(Debug, Clone)]
pub struct Look {
    pub history: Vec<HistoryRow>,
    pub holder: Option<LockHolder>,
    pub schema: SchemaSnapshot,
}

async fn all<D: Driver>(mut driver: D) -> Look {
    Look {
        history: driver.history().await.unwrap(),
        holder: driver.holder().await.unwrap(),
        schema: driver.schema().await.unwrap(),
    }
}

impl Database {
    /// Its URL as drivers take it.
    pub fn secret_url(&self) -> SecretString {
        SecretString::from(self.url.clone())
    }

    /// What its driver reads.
    pub fn look(&self) -> Look {
        let url = self.secret_url();
        let work = async {
            match self.kind {
                Kind::Postgres => all(PostgresDriver::connect(&url).await.unwrap()).await,
                Kind::Sqlite => all(SqliteDriver::connect(&url).await.unwrap()).await,
                Kind::Mongodb | Kind::MongodbStandalone => all(MongodbDriver::connect(&url).await.unwrap()).await,
                Kind::Redis | Kind::RedisCluster => all(RedisDriver::connect(&url).await.unwrap()).await,
                Kind::Elasticsearch => all(ElasticsearchDriver::connect(&url).await.unwrap()).await,
            }
        };
        let mut look = apart(|| wait(work));
        // A cluster is one target; other tests use the same.
        if self.kind == Kind::Elasticsearch && !self.alone {
            look.schema.objects.retain(|name, _| name.contains(self.name()));
        }
        look
    }
}
