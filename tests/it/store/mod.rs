//! The store against real SQLite files: deliveries, jobs, approvals, environments, schema.

mod queue;
mod records;
mod schema;

use godwit::store::{AuditKey, Store};
use tempfile::TempDir;

/// A store in a folder of its own; the folder goes when this does.
pub struct Fresh {
    pub dir: TempDir,
    pub store: Store,
}

impl Fresh {
    pub fn url(&self) -> String {
        format!("sqlite:{}", self.dir.path().join("godwit.db").display())
    }

    /// Another process's view: a second handle on the same file.
    pub async fn again(&self) -> Store {
        Store::open(&self.url()).await.unwrap()
    }

    /// Raw access, as somebody has who holds the file.
    pub async fn raw(&self, sql: &str) -> sqlx::Result<u64> {
        use sqlx::Connection as _;
        let mut connection = sqlx::SqliteConnection::connect(&self.url()).await?;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }
}

pub async fn fresh() -> Fresh {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("godwit.db").display());
    let key = AuditKey::read_or_make(&dir.path().join(AuditKey::FILE)).unwrap();
    Fresh { store: Store::open_with_key(&url, key).await.unwrap(), dir }
}
