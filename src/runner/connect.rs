//! From a target to the driver of its engine.

use super::RunError;
use crate::drivers::{DriverError, StatementFailure};
use crate::ids::Engine;

pub(super) fn unreachable(error: DriverError) -> RunError {
    RunError::Unreachable(in_words(&error))
}

/// An error with what to do about it, where the driver knows that.
pub(super) fn in_words(error: &DriverError) -> String {
    match error {
        DriverError::Statement(StatementFailure { message, hint: Some(hint), .. }) => format!("{message}; {hint}"),
        other => other.to_string(),
    }
}

pub(super) fn unsupported(engine: Engine) -> RunError {
    RunError::Unreachable(format!("this build cannot run {engine} migrations"))
}

/// Connects to a target and does something with its driver, whatever its type is.
macro_rules! with_driver {
    ($target:expr, $driver:ident => $work:expr) => {{
        use $crate::runner::connect::{unreachable, unsupported};
        match $target.engine {
            #[cfg(feature = "postgres")]
            $crate::ids::Engine::Postgresql => {
                #[allow(unused_mut)]
                let mut $driver =
                    $crate::drivers::postgres::PostgresDriver::connect(&$target.url).await.map_err(unreachable)?;
                $work
            }
            $crate::ids::Engine::Sqlite => {
                #[allow(unused_mut)]
                let mut $driver =
                    $crate::drivers::sqlite::SqliteDriver::connect(&$target.url).await.map_err(unreachable)?;
                $work
            }
            #[cfg(feature = "elasticsearch")]
            $crate::ids::Engine::Elasticsearch => {
                #[allow(unused_mut)]
                let mut $driver = $crate::drivers::elasticsearch::ElasticsearchDriver::connect(&$target.url)
                    .await
                    .map_err(unreachable)?;
                $work
            }
            #[cfg(feature = "mongodb")]
            $crate::ids::Engine::Mongodb => {
                #[allow(unused_mut)]
                let mut $driver =
                    $crate::drivers::mongodb::MongodbDriver::connect(&$target.url).await.map_err(unreachable)?;
                $work
            }
            #[cfg(feature = "redis")]
            $crate::ids::Engine::Redis => {
                #[allow(unused_mut)]
                let mut $driver =
                    $crate::drivers::redis::RedisDriver::connect(&$target.url).await.map_err(unreachable)?;
                $work
            }
            #[allow(unreachable_patterns)]
            other => return Err(unsupported(other)),
        }
    }};
}
pub(super) use with_driver;
