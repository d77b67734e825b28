//! The schema that the last run left on each target of an environment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::Row as _;

use super::{Store, StoreError, millis, time_of};
use crate::ids::{EnvironmentName, RepoName, TargetName};
use crate::plan::SchemaSnapshot;

/// Where a schema was found: repository (of the bot's runs), environment, target, and the database itself.
#[derive(Debug, Clone, Copy)]
pub struct SchemaPlace<'a> {
    /// The repository; `None` on the command line.
    pub repo: Option<&'a RepoName>,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The target.
    pub target: &'a TargetName,
    /// What identifies the database; empty where Godwit has never been.
    pub identity: &'a str,
}

/// A schema as a run left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRecord {
    /// The run, or who said that the schema is right.
    pub run: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Hash of the target's history then.
    pub history_hash: String,
    /// Hash of the schema.
    pub fingerprint: String,
    /// The schema.
    pub schema: SchemaSnapshot,
}

/// A schema as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    /// Its objects alone, as earlier versions wrote it.
    Plain(BTreeMap<String, String>),
    Whole(SchemaSnapshot),
}

impl SchemaPlace<'_> {
    fn repo(&self) -> &str {
        self.repo.map_or("", RepoName::as_str)
    }
}

impl Store {
    /// Remembers a schema in place of the one before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_schema(&self, place: SchemaPlace<'_>, record: &SchemaRecord) -> Result<(), StoreError> {
        // Without details it reads as it did before there were any.
        let objects = match &record.schema.details {
            None => serde_json::to_string(&record.schema.objects),
            Some(_) => serde_json::to_string(&record.schema),
        }
        .unwrap_or_default();
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO schemas_left (repo, environment, target, identity, run, at, history_hash, fingerprint, objects) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (repo, environment, target, identity) DO UPDATE SET \
             run = excluded.run, at = excluded.at, history_hash = excluded.history_hash, \
             fingerprint = excluded.fingerprint, objects = excluded.objects",
        )
        .bind(place.repo())
        .bind(place.environment.as_str())
        .bind(place.target.as_str())
        .bind(place.identity)
        .bind(&record.run)
        .bind(millis(record.at))
        .bind(&record.history_hash)
        .bind(&record.fingerprint)
        .bind(objects)
        .execute(&mut *tx)
        .await?;
        if !place.identity.is_empty() {
            // What was recorded before databases were told apart was of any of them.
            sqlx::query(
                "DELETE FROM schemas_left WHERE repo = $1 AND environment = $2 AND target = $3 AND identity = ''",
            )
            .bind(place.repo())
            .bind(place.environment.as_str())
            .bind(place.target.as_str())
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The schema that was left behind last, if any was.
    ///
    /// # Errors
    /// When the database fails, or holds what is no schema.
    pub async fn recorded_schema(&self, place: SchemaPlace<'_>) -> Result<Option<SchemaRecord>, StoreError> {
        self.schema_left(place.repo(), place.environment, place.target, Some(place.identity)).await
    }

    /// The schema that was left behind last on a target of an environment, whatever database that is.
    ///
    /// # Errors
    /// As [`Store::recorded_schema`].
    pub async fn last_schema(
        &self,
        repo: Option<&RepoName>,
        environment: &EnvironmentName,
        target: &TargetName,
    ) -> Result<Option<SchemaRecord>, StoreError> {
        self.schema_left(repo.map_or("", RepoName::as_str), environment, target, None).await
    }

    async fn schema_left(
        &self,
        repo: &str,
        environment: &EnvironmentName,
        target: &TargetName,
        identity: Option<&str>,
    ) -> Result<Option<SchemaRecord>, StoreError> {
        let own = if identity.is_some() { "AND identity IN ($4, '')" } else { "" };
        let sql = format!(
            "SELECT run, at, history_hash, fingerprint, objects FROM schemas_left \
             WHERE repo = $1 AND environment = $2 AND target = $3 {own} ORDER BY at DESC LIMIT 1"
        );
        let mut query =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(repo).bind(environment.as_str()).bind(target.as_str());
        if let Some(identity) = identity {
            query = query.bind(identity);
        }
        let row = query.fetch_optional(self.reader()).await?;
        let Some(row) = row else { return Ok(None) };
        let objects: String = row.try_get(4)?;
        let schema = match serde_json::from_str(&objects) {
            Ok(Recorded::Plain(objects)) => SchemaSnapshot { objects, details: None },
            Ok(Recorded::Whole(schema)) => schema,
            Err(_) => return Err(StoreError::Value { what: "a schema", value: "something else".to_owned() }),
        };
        Ok(Some(SchemaRecord {
            run: row.try_get(0)?,
            at: time_of(row.try_get(1)?)?,
            history_hash: row.try_get(2)?,
            fingerprint: row.try_get(3)?,
            schema,
        }))
    }
}
