//! A database to try things on, made on the same server and taken away afterwards.

use std::collections::BTreeSet;

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
                    .map(|_| ())
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

/// The roles of a server, as they were: a role that is made in a scratch database is there for the whole server, and does not go
/// with it. Only PostgreSQL's are looked at.
#[derive(Debug)]
pub struct Roles {
    engine: Engine,
    server: SecretString,
    there: BTreeSet<String>,
}

impl Roles {
    /// Those that are there now.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn now(engine: Engine, server: &SecretString) -> Result<Self, DriverError> {
        let there = roles_of(engine, server).await?;
        Ok(Self { engine, server: server.clone(), there })
    }

    /// Drops those that came since and are `ours`; the others that came.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; the message names what is left behind.
    pub async fn forget_new(self, ours: impl Fn(&str) -> bool) -> Result<Vec<String>, DriverError> {
        let now = roles_of(self.engine, &self.server).await?;
        let (came, others): (Vec<&str>, Vec<&str>) =
            now.difference(&self.there).map(String::as_str).partition(|name| ours(name));
        let others = others.into_iter().map(str::to_owned).collect();
        if came.is_empty() {
            return Ok(others);
        }
        let quoted: Vec<String> = came.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        on_postgres(&self.server, &format!("DROP ROLE IF EXISTS {}", quoted.join(", "))).await.map(|_| others).map_err(
            |error| {
                let names: Vec<String> = came.iter().map(|name| format!("`{name}`")).collect();
                DriverError::Unreachable(format!(
                    "roles that the migrations made could not be taken away, and stay on the server: {}: {error}",
                    names.join(", ")
                ))
            },
        )
    }
}

async fn roles_of(engine: Engine, server: &SecretString) -> Result<BTreeSet<String>, DriverError> {
    if engine != Engine::Postgresql {
        return Ok(BTreeSet::new());
    }
    Ok(on_postgres(server, "SELECT rolname::text FROM pg_catalog.pg_roles").await?.into_iter().collect())
}

/// Says something to a server; the first column of what it answers.
#[cfg(feature = "postgres")]
async fn on_postgres(url: &SecretString, sql: &str) -> Result<Vec<String>, DriverError> {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
    let options = super::postgres::options_of(url.expose_secret())
        .map_err(|e| DriverError::Unreachable(format!("the database's URL is wrong: {e}")))?;
    let refused = |e: sqlx::Error| DriverError::Unreachable(e.to_string());
    let mut connection = options.application_name("godwit").connect().await.map_err(refused)?;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.map_err(refused)?;
    connection.close().await.map_err(refused)?;
    rows.iter().map(|row| row.try_get_unchecked(0).map_err(refused)).collect()
}

#[cfg(not(feature = "postgres"))]
async fn on_postgres(_: &SecretString, _: &str) -> Result<Vec<String>, DriverError> {
    Ok(Vec::new())
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
