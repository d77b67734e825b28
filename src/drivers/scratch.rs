//! A database to try things on, made on the same server and taken away afterwards.

use secrecy::{ExposeSecret as _, SecretString};

use super::DriverError;
use crate::ids::Engine;

/// What a scratch database's name begins with.
pub const PREFIX: &str = "godwit_scratch_";

/// A database that nobody else uses.
#[derive(Debug)]
pub struct Scratch {
    /// How to reach it.
    pub url: SecretString,
    engine: Engine,
    /// How to reach the server that it was made on.
    server: SecretString,
    name: String,
}

impl Scratch {
    /// Makes one on the server of `server`, which the user must be allowed to; for SQLite, a file in `folder`, and on
    /// Elasticsearch names that begin alike. Redis has no databases to make: there `server` itself is used, and must be
    /// empty, which the caller checks.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn make(engine: Engine, server: &SecretString, folder: &std::path::Path) -> Result<Self, DriverError> {
        let name = format!("{PREFIX}{}", ulid::Ulid::generate().to_string().to_lowercase());
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.join(format!("{name}.db")).display()),
            #[cfg(feature = "postgres")]
            Engine::Postgresql => {
                on_postgres(server, &format!("CREATE DATABASE {name}")).await?;
                with_database(server.expose_secret(), &name)
            }
            #[cfg(feature = "mongodb")]
            Engine::Mongodb => with_database(server.expose_secret(), &name),
            #[cfg(feature = "elasticsearch")]
            Engine::Elasticsearch => super::elasticsearch::scratch::url(server, name.trim_start_matches("godwit_")),
            _ => server.expose_secret().to_owned(),
        };
        crate::redact::register_url(&url);
        Ok(Self { url: SecretString::from(url), engine, server: server.clone(), name })
    }

    /// Takes it away with everything in it. What was the user's own place to begin with is left as it is.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; the message names what is left behind.
    pub async fn remove(self) -> Result<(), DriverError> {
        let left = |error: DriverError| {
            DriverError::Unreachable(format!("the scratch database `{}` could not be taken away: {error}", self.name))
        };
        match self.engine {
            Engine::Sqlite => {
                let file = self.url.expose_secret().trim_start_matches("sqlite:").to_owned();
                for suffix in ["", "-wal", "-shm", "-journal", ".godwit-lock"] {
                    let _ = std::fs::remove_file(format!("{file}{suffix}"));
                }
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Engine::Postgresql => {
                on_postgres(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
                    .await
                    .map_err(left)
            }
            #[cfg(feature = "mongodb")]
            Engine::Mongodb => {
                let gone = async {
                    let client = mongodb::Client::with_uri_str(self.server.expose_secret()).await?;
                    client.database(&self.name).drop().await
                };
                gone.await.map_err(|e| left(DriverError::Unreachable(e.to_string())))
            }
            #[cfg(feature = "redis")]
            Engine::Redis => {
                let driver = super::redis::RedisDriver::connect(&self.server).await.map_err(left)?;
                driver.forget().await.map_err(left)
            }
            #[cfg(feature = "elasticsearch")]
            Engine::Elasticsearch => {
                let driver = super::elasticsearch::ElasticsearchDriver::connect(&self.url).await.map_err(left)?;
                driver.forget().await.map_err(left)
            }
            #[allow(unreachable_patterns)]
            _ => {
                let _ = (&self.server, left);
                Ok(())
            }
        }
    }
}

#[cfg(feature = "postgres")]
async fn on_postgres(url: &SecretString, sql: &str) -> Result<(), DriverError> {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
    let options: sqlx::postgres::PgConnectOptions = url
        .expose_secret()
        .parse()
        .map_err(|e: sqlx::Error| DriverError::Unreachable(format!("the database's URL is wrong: {e}")))?;
    let refused = |e: sqlx::Error| DriverError::Unreachable(e.to_string());
    let mut connection = options.application_name("godwit").connect().await.map_err(refused)?;
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map_err(refused)?;
    connection.close().await.map_err(refused)
}

/// The same URL with another database. PostgreSQL's URLs may name theirs among the parameters as well.
#[cfg(any(feature = "postgres", feature = "mongodb"))]
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let query = query.map(|q| q.split('&').filter(|p| !p.starts_with("dbname=")).collect::<Vec<_>>().join("&"));
    let query = query.filter(|q| !q.is_empty());
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let host = rest.split('/').next().unwrap_or(rest);
    let query = query.map_or(String::new(), |q| format!("?{q}"));
    format!("{scheme}://{host}/{name}{query}")
}

#[cfg(all(test, any(feature = "postgres", feature = "mongodb")))]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_is_another() {
        for (url, wanted) in [
            ("postgres://u:p@h:5/shop?sslmode=require", "postgres://u:p@h:5/x?sslmode=require"),
            ("postgres://h", "postgres://h/x"),
            ("postgres:///a?dbname=b&host=%2Ftmp", "postgres:///x?host=%2Ftmp"),
            ("postgres://h/a?dbname=b", "postgres://h/x"),
            ("mongodb://a:1,b:2/?replicaSet=rs0", "mongodb://a:1,b:2/x?replicaSet=rs0"),
        ] {
            assert_eq!(with_database(url, "x"), wanted);
        }
    }
}
