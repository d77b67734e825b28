//! What a look at the target read, kept until something is changed: an operation that comes right behind its probe does not
//! ask the server again.

use mongodb::bson::Document;

use super::operations;
use super::session::MongodbSession;
use crate::drivers::DriverError;

/// The last answers, each with the collection it is about.
#[derive(Debug, Default)]
pub(super) struct Seen {
    collection: Option<(String, Option<Document>)>,
    indexes: Option<(String, Vec<Document>)>,
}

impl MongodbSession {
    /// A collection as the server lists it.
    pub(super) async fn collection(&mut self, name: &str) -> Result<Option<Document>, DriverError> {
        if let Some((of, seen)) = &self.seen.collection
            && of == name
        {
            return Ok(seen.clone());
        }
        let listed = operations::collection(&self.db, name).await?;
        self.seen.collection = Some((name.to_owned(), listed.clone()));
        Ok(listed)
    }

    /// A collection's indexes; none where it does not exist.
    pub(super) async fn indexes_of(&mut self, collection: &str) -> Result<Vec<Document>, DriverError> {
        if let Some((of, seen)) = &self.seen.indexes
            && of == collection
        {
            return Ok(seen.clone());
        }
        let listed = operations::indexes_of(&self.db, collection).await?;
        self.seen.indexes = Some((collection.to_owned(), listed.clone()));
        Ok(listed)
    }
}
