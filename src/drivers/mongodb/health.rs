//! What the server says of its health, and whether a collection can be read.

use mongodb::Database;
use mongodb::bson::doc;

use super::wire;
use crate::config::health::Vital;
use crate::drivers::{DriverError, refused};
use crate::plan::health::Reading;

pub(super) async fn vitals(db: &Database) -> Result<Vec<Reading>, DriverError> {
    let command = doc! { "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0, "wiredTiger": 0 };
    let reply = match wire::run(db, None, command).await {
        Ok(reply) => reply,
        // Only some users may ask.
        Err(fault) if matches!(fault.error, DriverError::Statement(_)) => return Ok(Vec::new()),
        Err(fault) => return Err(fault.error),
    };
    let Ok(connections) = reply.get_document("connections") else { return Ok(Vec::new()) };
    let number = |name: &str| wire::number(connections.get(name)).map_or(0.0, |n| n as f64);
    let (used, free) = (number("current"), number("available"));
    Ok(Reading::share(Vital::ConnectionPool, used, used + free).into_iter().collect())
}

pub(super) async fn readable(db: &Database, name: &str) -> Result<(), DriverError> {
    // A collection that is not there is read like an empty one.
    let listed =
        doc! { "listCollections": 1, "filter": { "name": name }, "nameOnly": true, "authorizedCollections": true };
    let (found, _) = wire::batch_of(&wire::run(db, None, listed).await?);
    if found.is_empty() {
        return Err(refused(format!("there is no collection `{name}`")));
    }
    let find = doc! { "find": name, "limit": 1, "singleBatch": true, "maxTimeMS": 10_000 };
    wire::run(db, None, find).await?;
    Ok(())
}
