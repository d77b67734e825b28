//! Each operation to the code that carries it out, looks at it, or takes it back.

use serde_json::{Map, Value, json};

use super::copy::Copy;
use super::session::{At, ElasticsearchSession};
use super::swap::Swap;
use super::{is_literal, own, refused, task};
use crate::drivers::{DriverError, Probe};
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::StepAction;

impl ElasticsearchSession {
    /// Carries an operation out. Gives the documents that it changed, where it is about documents.
    pub(super) async fn carry_out(
        &mut self,
        operation: &Operation,
        at: &At<'_>,
        action: StepAction,
    ) -> Result<Option<u64>, DriverError> {
        match operation {
            Operation::CreateIndex { index, mapping, settings } => {
                self.create_index(at, index, mapping, settings).await?;
            }
            Operation::DeleteIndex { index } => self.delete_index(at, index).await?,
            Operation::UpdateMapping { index, mapping } => self.update_mapping(at, index, mapping).await?,
            Operation::PutTemplate { name, template } => self.put_template(at, name, template).await?,
            Operation::PutSettings { index, settings } => self.put_settings(at, index, settings).await?,
            Operation::CreateAlias { .. } => self.create_alias(at, operation).await?,
            Operation::Reindex { wait, block_writes, .. } => {
                if let Some(copy) = Copy::of(operation) {
                    return self.reindex(at, &copy, *wait, *block_writes, operation).await;
                }
            }
            Operation::SwapAlias { .. } => {
                if let Some(swap) = Swap::of(operation) {
                    return self.swap_alias(at, &swap).await;
                }
            }
            Operation::UpdateByQuery { .. } | Operation::DeleteByQuery { .. } => {
                return self.by_query(at, operation).await.map(Some);
            }
            Operation::Undo { operation, of, .. } => {
                let place = usize::try_from(*operation).unwrap_or(usize::MAX);
                if let Some(record) = self.record(at, place).await? {
                    self.take_back(at, place, of, &record, action).await?;
                }
            }
        }
        Ok(None)
    }

    /// Looks whether an operation's effect is there. Changes nothing.
    pub(super) async fn look_at(&mut self, operation: &Operation, at: &At<'_>) -> Result<Probe, DriverError> {
        Ok(match operation {
            Operation::CreateIndex { index, mapping, .. } => match own::index(&self.wire, index).await? {
                Some(shown) if super::index::same_mapping(&shown, mapping) => Probe::Done,
                // The run says what is in the way.
                Some(_) | None => Probe::NotStarted,
            },
            Operation::DeleteIndex { index } => match own::index(&self.wire, index).await? {
                Some(_) => Probe::NotStarted,
                None => Probe::Done,
            },
            Operation::CreateAlias { index, alias, filter, is_write_index } => {
                let there = own::alias(&self.wire, alias).await?;
                let done = super::alias::is_as_wanted(&there, index, filter.as_ref(), *is_write_index);
                if done { Probe::Done } else { Probe::NotStarted }
            }
            Operation::SwapAlias { .. } => match Swap::of(operation) {
                Some(swap) => self.look_at_swap(at, &swap).await?,
                None => Probe::NotStarted,
            },
            Operation::UpdateByQuery { index, .. } => match self.progress(at) {
                None => Probe::NotStarted,
                Some(progress) => match progress["task"].as_str() {
                    Some(id) => match task::look(&self.wire, id).await? {
                        task::State::Running(_) => Probe::InProgress(format!("task {id} updates `{index}`")),
                        task::State::Ended(_) => Probe::Done,
                        task::State::Unknown(why) => Probe::Unknown(format!(
                            "which documents of `{index}` the script has changed cannot be told: {why}"
                        )),
                    },
                    None => Probe::Unknown(format!(
                        "whether the script has changed documents of `{index}` cannot be told: the server's task is not \
                         known"
                    )),
                },
            },
            Operation::UpdateMapping { .. }
            | Operation::Reindex { .. }
            | Operation::PutTemplate { .. }
            | Operation::PutSettings { .. }
            | Operation::DeleteByQuery { .. } => Probe::NotStarted,
            Operation::Undo { operation, of, .. } => {
                let place = usize::try_from(*operation).unwrap_or(usize::MAX);
                match self.record(at, place).await? {
                    None => Probe::Done,
                    Some(record) => self.look_at_undo(of, &record).await?,
                }
            }
        })
    }
}

/// Whether an index is one that the migration made: a run recorded that it was not there before, and it says that it was
/// made from this mapping. One that was deleted and came back by a later migration's rollback is as good as the first.
pub(super) fn is_of(shown: &Value, mapping: &Map<String, Value>, record: &Value) -> bool {
    record["existed"] != true && shown["mappings"]["_meta"]["godwit"]["mapping"] == own::hash(&json!(mapping))
}

/// Refuses a name that could mean several indices.
pub(super) fn check_literal(name: &str) -> Result<(), DriverError> {
    if is_literal(name) {
        return Ok(());
    }
    Err(refused(format!("`{name}` is not the name of one index"), "write the index's own name, without a pattern"))
}
