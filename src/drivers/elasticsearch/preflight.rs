//! What would go wrong or be lost, read before anything is changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::index::same_mapping;
use super::own::{self, Entry, Own};
use super::wire::{Wire, part};
use super::{is_literal, mapping_of};
use crate::drivers::DriverError;
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::{MigrationPlan, MigrationState, Objection, ObjectionKind, Step, StepAction};

/// The cluster as it will be when the plan has come to an operation.
struct Eyes<'a> {
    wire: &'a Wire,
    own: &'a Own,
    /// Indices that the plan makes (`true`) or deletes, and aliases that it gives.
    planned: BTreeMap<String, bool>,
    found: Vec<Objection>,
    /// The history.
    entries: Vec<Entry>,
}

/// Where an objection belongs.
struct Place<'a> {
    step: &'a Step,
    line: u32,
}

/// Looks at what the plan is about to touch.
pub(super) async fn look(wire: &Wire, own: &Own, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
    let entries = own::read_history(wire, own).await?;
    let mut eyes = Eyes { wire, own, planned: BTreeMap::new(), found: Vec::new(), entries };
    eyes.look_at_own().await?;
    for step in &plan.steps {
        let settled = eyes.entry(step).map_or(0, |e| settled(e, step.action));
        for (n, statement) in step.statements.iter().enumerate() {
            // What cannot be read was refused when the plan was made.
            let Ok(operation) = own.operation(&statement.sql) else { continue };
            let objections = eyes.found.len();
            if n >= settled || n + 1 == settled {
                eyes.look_at(&Place { step, line: statement.line }, &operation).await?;
            }
            if n < settled {
                // The one that may have been begun makes what the next ones need, and nothing can be said against it.
                eyes.found.truncate(objections);
            }
        }
    }
    Ok(eyes.found)
}

/// How many operations of a script an interrupted run has done, or may have: nothing can be objected to them any more.
fn settled(entry: &Entry, action: StepAction) -> usize {
    let done = usize::try_from(entry.row.statements_done).unwrap_or(0);
    match entry.row.state {
        MigrationState::Running if entry.row.action == action => done + 1,
        // What is finished first is an undo, of which nothing is planned.
        MigrationState::Running => usize::MAX,
        MigrationState::Failed if entry.row.action == action => done,
        MigrationState::Failed if entry.row.action == StepAction::Undo => usize::MAX,
        MigrationState::Failed
        | MigrationState::Pending
        | MigrationState::Applied
        | MigrationState::RolledBack
        | MigrationState::NeedsHuman => 0,
    }
}

impl Eyes<'_> {
    /// What the history says of a step's migration; its folder may have moved since.
    fn entry(&self, step: &Step) -> Option<&Entry> {
        let named = || self.entries.iter().filter(|e| e.row.id == step.migration);
        named().find(|e| e.row.unit == step.unit).or_else(|| named().next())
    }

    fn object(&mut self, place: &Place<'_>, kind: ObjectionKind, message: String, what_to_do: &str) {
        self.found.push(Objection {
            kind,
            migration: Some(place.step.migration.clone()),
            file: Some(place.step.path.clone()),
            line: Some(place.line),
            message,
            what_to_do: what_to_do.to_owned(),
        });
    }

    fn impossible(&mut self, place: &Place<'_>, message: String, what_to_do: &str) {
        self.object(place, ObjectionKind::Impossible, message, what_to_do);
    }

    /// Whether Godwit's own documents can be written.
    async fn look_at_own(&mut self) -> Result<(), DriverError> {
        for name in [self.own.history.clone(), self.own.fence.clone()] {
            let Some(shown) = own::index(self.wire, &name).await? else { continue };
            if let Some(why) = refuses_writes(&shown) {
                self.found.push(Objection {
                    kind: ObjectionKind::Impossible,
                    migration: None,
                    file: None,
                    line: None,
                    message: format!("the index `{name}` takes no writes: {why}"),
                    what_to_do: "free disk space, or take the block away".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// An index as it is now, unless the plan changes that first; `None` in the second case.
    async fn index(&self, name: &str) -> Result<Option<Option<Value>>, DriverError> {
        match self.planned.get(name) {
            Some(_) => Ok(None),
            None => own::index(self.wire, name).await.map(Some),
        }
    }

    /// Whether something of that name will be there, index or alias.
    async fn is_there(&self, name: &str) -> Result<bool, DriverError> {
        match self.planned.get(name) {
            Some(made) => Ok(*made),
            None => Ok(self.wire.get(&part(name)).await?.status != 404),
        }
    }

    /// Whether the name is of one index; says so if not.
    fn is_named(&mut self, place: &Place<'_>, name: &str) -> bool {
        if !is_literal(name) {
            self.impossible(
                place,
                format!("`{name}` is not the name of one index"),
                "write the index's own name, without a pattern",
            );
        }
        is_literal(name)
    }

    /// Says when an index is missing, or takes no writes, or has lost shards.
    async fn must_be_there(&mut self, place: &Place<'_>, name: &str, writes: bool) -> Result<(), DriverError> {
        if !self.is_named(place, name) {
            return Ok(());
        }
        if !self.is_there(name).await? {
            self.impossible(place, format!("there is no index `{name}`"), "correct the name, or make the index first");
            return Ok(());
        }
        let Some(Some(shown)) = self.index(name).await? else { return Ok(()) };
        if writes && let Some(why) = refuses_writes(&shown) {
            self.impossible(
                place,
                format!("the index `{name}` takes no writes: {why}"),
                "free disk space, or take the block away",
            );
        }
        let health = self.wire.get(&format!("_cluster/health/{}", part(name))).await?;
        if health.body["status"] == "red" {
            self.impossible(
                place,
                format!("shards of the index `{name}` are not assigned"),
                "bring its nodes back; `_cluster/allocation/explain` says why",
            );
        }
        Ok(())
    }

    async fn look_at(&mut self, place: &Place<'_>, operation: &Operation) -> Result<(), DriverError> {
        match operation {
            Operation::CreateIndex { index, mapping, .. } => {
                if !self.is_named(place, index) {
                    return Ok(());
                }
                match self.index(index).await? {
                    Some(Some(shown)) if !same_mapping(&shown, mapping) => self.impossible(
                        place,
                        format!("the index `{index}` exists with another mapping"),
                        "choose another name, or change it with `update_mapping` or `swap_alias`",
                    ),
                    Some(None) if self.is_there(index).await? => {
                        self.impossible(place, format!("`{index}` is an alias"), "choose another name for the index")
                    }
                    Some(_) | None => {}
                }
                self.planned.insert(index.clone(), true);
            }
            Operation::DeleteIndex { index } => {
                self.delete(place, index).await?;
                self.planned.insert(index.clone(), false);
            }
            Operation::UpdateMapping { index, mapping } => {
                self.must_be_there(place, index, false).await?;
                if let Some(Some(shown)) = self.index(index).await? {
                    self.compare_mapping(place, index, mapping_of(&shown), mapping);
                }
            }
            Operation::CreateAlias { index, alias, .. } => {
                self.must_be_there(place, index, false).await?;
                self.alias_is_free(place, alias).await?;
                self.planned.insert(alias.clone(), true);
            }
            Operation::Reindex { source, dest, .. } => {
                self.must_be_there(place, source, false).await?;
                self.must_be_there(place, dest, true).await?;
            }
            Operation::PutSettings { index, .. } => self.must_be_there(place, index, false).await?,
            Operation::PutTemplate { .. } => {}
            Operation::SwapAlias { alias, from, to, mapping, .. } => {
                self.must_be_there(place, from, false).await?;
                self.alias_is_free(place, alias).await?;
                if mapping.is_none() {
                    self.must_be_there(place, to, false).await?;
                }
                let on = own::alias(self.wire, alias).await?;
                let fits = on.len() == 1 && (on.contains_key(from) || on.contains_key(to));
                // A plan that moves or makes it first is not followed so far.
                let moves = [from, alias].iter().any(|name| self.planned.contains_key(*name))
                    || place.step.statements.len() > 1;
                if !fits && !moves && self.is_there(from).await? {
                    let now: Vec<&str> = on.keys().map(String::as_str).collect();
                    self.impossible(
                        place,
                        format!("the alias `{alias}` is not on `{from}` alone, but on: {}", now.join(", ")),
                        "correct `from`",
                    );
                }
                self.planned.insert(alias.clone(), true);
            }
            Operation::UpdateByQuery { index, .. } => self.must_be_there(place, index, true).await?,
            Operation::DeleteByQuery { index, query, .. } => {
                self.must_be_there(place, index, true).await?;
                if let Some(Some(_)) = self.index(index).await? {
                    self.count(place, index, Some(query)).await?;
                }
            }
            Operation::Undo { operation, of, .. } => {
                let record = self.entry(place.step).and_then(|e| e.undo.get(&operation.to_string()).cloned());
                if let Some(record) = record {
                    self.look_at_undo(place, of, &record).await?;
                }
            }
        }
        Ok(())
    }

    /// What goes with an index.
    async fn delete(&mut self, place: &Place<'_>, index: &str) -> Result<(), DriverError> {
        if !self.is_named(place, index) {
            return Ok(());
        }
        let Some(now) = self.index(index).await? else { return Ok(()) };
        let Some(shown) = now else {
            let message = match self.is_there(index).await? {
                true => format!("`{index}` is an alias, and only an index can be deleted"),
                false => format!("there is no index `{index}`"),
            };
            self.impossible(place, message, "write the index's own name");
            return Ok(());
        };
        let documents = own::count(self.wire, index, None).await?;
        let aliases: Vec<String> =
            shown["aliases"].as_object().into_iter().flatten().map(|(a, _)| format!("`{a}`")).collect();
        let carries = match aliases.is_empty() {
            true => String::new(),
            false => format!(" and has the alias {}, which goes with it", aliases.join(", ")),
        };
        if documents > 0 {
            let message = format!("the index `{index}` holds {documents} documents{carries}");
            self.object(place, ObjectionKind::DataLoss, message, "copy them elsewhere or make a snapshot first");
        } else if !aliases.is_empty() {
            self.object(place, ObjectionKind::Note, format!("the index `{index}` is empty{carries}"), "");
        }
        Ok(())
    }

    async fn count(
        &mut self,
        place: &Place<'_>,
        index: &str,
        query: Option<&Map<String, Value>>,
    ) -> Result<(), DriverError> {
        let query = query.map(|q| Value::Object(q.clone()));
        let documents = own::count(self.wire, index, query.as_ref()).await?;
        if documents > 0 {
            let message = format!("{documents} documents of `{index}` are deleted");
            self.object(place, ObjectionKind::DataLoss, message, "copy them elsewhere or make a snapshot first");
        }
        Ok(())
    }

    /// An alias cannot have the name of an index.
    async fn alias_is_free(&mut self, place: &Place<'_>, alias: &str) -> Result<(), DriverError> {
        if self.is_named(place, alias) && matches!(self.index(alias).await?, Some(Some(_))) {
            self.impossible(place, format!("`{alias}` is an index"), "choose another name for the alias");
        }
        Ok(())
    }

    /// A field cannot change its type, and what is left out of a field's definition goes back to its default.
    fn compare_mapping(&mut self, place: &Place<'_>, index: &str, live: &Value, given: &Map<String, Value>) {
        let (mut changed, mut reset) = (Vec::new(), Vec::new());
        compare("", &live["properties"], given.get("properties").unwrap_or(&Value::Null), &mut changed, &mut reset);
        for (field, from, to) in changed {
            self.impossible(
                place,
                format!("mapper [{field}] of `{index}` cannot be changed from type [{from}] to [{to}]"),
                "build a new index with `swap_alias` and this mapping",
            );
        }
        for (field, parameter) in reset {
            let message =
                format!("`{parameter}` of the field `{field}` of `{index}` is left out, and goes back to its default");
            self.object(place, ObjectionKind::Note, message, "write it out to keep it");
        }
    }

    async fn look_at_undo(&mut self, place: &Place<'_>, of: &Operation, record: &Value) -> Result<(), DriverError> {
        match of {
            Operation::CreateIndex { index, mapping, .. } => {
                let shown = own::index(self.wire, index).await?;
                if shown.is_some_and(|s| super::carry::is_of(&s, mapping, record)) {
                    self.delete(place, index).await?;
                    self.planned.insert(index.clone(), false);
                }
            }
            Operation::SwapAlias { alias, .. } => {
                let (Some(to), true) = (record["to"].as_str(), record["built"] == true) else { return Ok(()) };
                let (Some(_), Some(after)) = (own::index(self.wire, to).await?, record["after"].as_u64()) else {
                    return Ok(());
                };
                if own::changes(self.wire, to).await? != after {
                    self.object(
                        place,
                        ObjectionKind::DataLoss,
                        format!("documents were written to `{to}` since it got the alias `{alias}`; readers lose them"),
                        "bring them over to the old index first",
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Fields whose type changes, and parameters that change by being left out.
fn compare(
    path: &str,
    live: &Value,
    given: &Value,
    changed: &mut Vec<(String, String, String)>,
    reset: &mut Vec<(String, String)>,
) {
    for (name, new) in given.as_object().into_iter().flatten() {
        let Some(old) = live.get(name) else { continue };
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let kind = |definition: &Value| definition["type"].as_str().unwrap_or("object").to_owned();
        let (from, to) = (kind(old), kind(new));
        if from != to {
            changed.push((field, from, to));
            continue;
        }
        if old.get("ignore_above").is_some() && new.get("ignore_above").is_none() {
            reset.push((field.clone(), "ignore_above".to_owned()));
        }
        compare(&field, &old["properties"], &new["properties"], changed, reset);
    }
}

/// Why an index takes no writes.
fn refuses_writes(shown: &Value) -> Option<&'static str> {
    let blocks = &shown["settings"]["index"]["blocks"];
    if blocks["read_only_allow_delete"] == "true" {
        return Some(
            "the server has made it read-only because the disk is too full (`index.blocks.read_only_allow_delete`)",
        );
    }
    if blocks["read_only"] == "true" {
        return Some("it is read-only (`index.blocks.read_only`)");
    }
    (blocks["write"] == "true").then_some("writes to it are blocked (`index.blocks.write`)")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_change_and_parameters_that_are_forgotten_are_named() {
        let live = json!({"id": {"type": "keyword", "ignore_above": 20}, "o": {"properties": {"n": {"type": "long"}}}});
        let given =
            json!({"id": {"type": "keyword"}, "o": {"properties": {"n": {"type": "text"}}}, "new": {"type": "date"}});
        let (mut changed, mut reset) = (Vec::new(), Vec::new());
        compare("", &live, &given, &mut changed, &mut reset);
        assert_eq!(changed, [("o.n".to_owned(), "long".to_owned(), "text".to_owned())]);
        assert_eq!(reset, [("id".to_owned(), "ignore_above".to_owned())]);
    }
}
