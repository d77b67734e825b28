//! Operations taken back, from what their run recorded.

use serde_json::{Map, Value};

use super::alias::Holders;
use super::carry::is_of;
use super::session::{At, ElasticsearchSession};
use super::swap::Swap;
use super::{own, refused};
use crate::drivers::{DriverError, Probe};
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::StepAction;

impl ElasticsearchSession {
    /// Takes an operation back. Of one that never took effect there is nothing to take.
    pub(super) async fn take_back(
        &mut self,
        at: &At<'_>,
        place: usize,
        of: &Operation,
        record: &Value,
        action: StepAction,
    ) -> Result<(), DriverError> {
        self.intend(at, Value::Object(Map::new()), None).await?;
        // A person who rolls back was asked before, when there was something to ask.
        let accepted = action == StepAction::Rollback;
        match of {
            Operation::CreateIndex { index, mapping, .. } => {
                let Some(shown) = own::index(&self.wire, index).await? else { return Ok(()) };
                if !is_of(&shown, mapping, record) {
                    return Ok(());
                }
                if !accepted && !self.is_all_ours(at, index).await? {
                    return Err(refused(
                        format!("the index `{index}` holds documents that this migration did not put there"),
                        "look at them; when they may go, delete the index by hand",
                    ));
                }
                self.remove_index(index).await
            }
            Operation::CreateAlias { index, alias, .. } => {
                let before: Holders = serde_json::from_value(record["before"].clone()).unwrap_or_default();
                self.restore_alias(alias, index, &before).await
            }
            Operation::SwapAlias { .. } => match Swap::of(of) {
                Some(swap) if record["existed"] != true => self.undo_swap(&swap, record, accepted).await,
                Some(_) | None => Ok(()),
            },
            Operation::Reindex { dest, .. } => {
                self.end_copy(place).await?;
                let made_here = self.made_here(at, dest)?;
                let copied = record["after"].as_u64().is_none_or(|after| record["before"].as_u64() != Some(after));
                if made_here || !copied || own::index(&self.wire, dest).await?.is_none() {
                    // Its documents go with the index.
                    return Ok(());
                }
                if record["before"].as_u64() == Some(own::changes(&self.wire, dest).await?) {
                    return Ok(());
                }
                Err(refused(
                    format!("documents were copied into `{dest}`, which this migration did not make"),
                    "write a `rollback` that takes them away, such as a `delete_by_query`",
                ))
            }
            Operation::PutTemplate { name, .. } => self.restore_template(name, &record["before"]).await,
            Operation::PutSettings { index, .. } => {
                let before = record["before"].as_object().cloned().unwrap_or_default();
                if own::index(&self.wire, index).await?.is_none() {
                    return Ok(());
                }
                // What was refused, because an open index does not take it, would be refused on the way back too.
                if self.settings(index, before.keys().cloned()).await? == before {
                    return Ok(());
                }
                self.set(index, &before).await
            }
            Operation::DeleteIndex { .. }
            | Operation::UpdateMapping { .. }
            | Operation::UpdateByQuery { .. }
            | Operation::DeleteByQuery { .. }
            | Operation::Undo { .. } => {
                Err(refused(format!("`{}` cannot be taken back", of.name()), "write a `rollback` for this migration"))
            }
        }
    }

    /// Whether the migration itself has made an index.
    fn made_here(&self, at: &At<'_>, index: &str) -> Result<bool, DriverError> {
        let entry = self.entry()?;
        Ok(entry.is(at.unit, at.id) && entry.undo.values().any(|r| r["index"] == index && r["epoch"].is_i64()))
    }

    /// Where an undo stands.
    pub(super) async fn look_at_undo(&mut self, of: &Operation, record: &Value) -> Result<Probe, DriverError> {
        let done = match of {
            Operation::CreateIndex { index, mapping, .. } => {
                let shown = own::index(&self.wire, index).await?;
                shown.is_none_or(|shown| !is_of(&shown, mapping, record))
            }
            Operation::CreateAlias { alias, .. } => {
                let before: Holders = serde_json::from_value(record["before"].clone()).unwrap_or_default();
                own::alias(&self.wire, alias).await? == before
            }
            Operation::SwapAlias { alias, .. } => {
                let before: Holders = serde_json::from_value(record["before"].clone()).unwrap_or_default();
                record["existed"] == true || {
                    let back = own::alias(&self.wire, alias).await? == before;
                    let left = match record["to"].as_str().filter(|_| record["built"] == true) {
                        Some(to) if own::index(&self.wire, to).await?.is_some() => match record["after"].as_u64() {
                            // One that somebody has written to stays.
                            Some(after) => after == own::changes(&self.wire, to).await?,
                            None => true,
                        },
                        Some(_) | None => false,
                    };
                    back && !left
                }
            }
            Operation::DeleteIndex { .. }
            | Operation::UpdateMapping { .. }
            | Operation::Reindex { .. }
            | Operation::PutTemplate { .. }
            | Operation::PutSettings { .. }
            | Operation::UpdateByQuery { .. }
            | Operation::DeleteByQuery { .. }
            | Operation::Undo { .. } => false,
        };
        Ok(if done { Probe::Done } else { Probe::NotStarted })
    }
}
