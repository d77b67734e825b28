//! What shows how a run went, target by target, for its row in the audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::{AuditEntry, Store, StoreError};
use crate::ids::RunId;

/// The detail of an audit row that holds them, as JSON.
pub const PROOF: &str = "proof";

/// How a run went on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The target.
    pub target: String,
    /// The run's fencing token there.
    pub epoch: i64,
    /// Hash of what it meant to do.
    pub plan: String,
    /// Hash of the target's history before it.
    pub before: String,
    /// Hash of the target's history after it, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<StepProof>,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProof {
    /// The migration.
    pub migration: String,
    /// Where it stands.
    pub state: String,
    /// Its recovery class: what a crash in it would have come to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recovery: String,
    /// Why it is of that class.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recovery_reason: String,
    /// Milliseconds it took.
    pub ms: i64,
    /// What a look at the target said before it was done. A step that commits together with its history row needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What one said afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Store {
    /// How a run went, target by target; nothing of one that touched no target.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn proofs(&self, run: &RunId) -> Result<Vec<Proof>, StoreError> {
        let targets = sqlx::query(
            "SELECT target, epoch, plan_hash, history_hash, history_after FROM run_targets WHERE run = $1 ORDER BY target",
        )
        .bind(run.as_str())
        .fetch_all(self.reader())
        .await?;
        let steps = sqlx::query(
            "SELECT target, position, unit, migration, state, duration_ms, recovery, recovery_reason FROM run_steps \
             WHERE run = $1 ORDER BY target, position",
        )
        .bind(run.as_str())
        .fetch_all(self.reader())
        .await?;
        // Ids of notes grow with time.
        let notes = sqlx::query(
            "SELECT target, position, event, detail FROM run_events WHERE run = $1 AND event IN ('probe', 'done') ORDER BY id",
        )
        .bind(run.as_str())
        .fetch_all(self.reader())
        .await?;
        let mut looks: BTreeMap<(String, i64), Vec<String>> = BTreeMap::new();
        for note in &notes {
            looks.entry((note.try_get(0)?, note.try_get(1)?)).or_default().push(note.try_get(3)?);
        }
        let mut of_target: BTreeMap<String, Vec<StepProof>> = BTreeMap::new();
        for step in &steps {
            let (target, unit, migration): (String, String, String) =
                (step.try_get(0)?, step.try_get(2)?, step.try_get(3)?);
            let said = looks.remove(&(target.clone(), step.try_get(1)?)).unwrap_or_default();
            of_target.entry(target).or_default().push(StepProof {
                migration: if unit.is_empty() { migration } else { format!("{unit}/{migration}") },
                state: step.try_get(4)?,
                ms: step.try_get(5)?,
                recovery: step.try_get(6)?,
                recovery_reason: step.try_get(7)?,
                after: (said.len() > 1).then(|| said.last().cloned()).flatten(),
                before: said.into_iter().next(),
            });
        }
        let mut out: Vec<Proof> = Vec::with_capacity(targets.len());
        for row in &targets {
            let target: String = row.try_get(0)?;
            out.push(Proof {
                epoch: row.try_get(1)?,
                plan: row.try_get(2)?,
                before: row.try_get(3)?,
                after: row.try_get(4)?,
                steps: of_target.remove(&target).unwrap_or_default(),
                target,
            });
        }
        Ok(out)
    }

    /// Puts the same into the row of a run, as JSON, where the run touched a target.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prove(&self, entry: &mut AuditEntry) -> Result<(), StoreError> {
        let Some(run) = entry.run.clone() else { return Ok(()) };
        let proofs = self.proofs(&run).await?;
        if !proofs.is_empty() {
            entry.details.insert(PROOF.to_owned(), serde_json::to_string(&proofs).unwrap_or_default());
        }
        Ok(())
    }
}
