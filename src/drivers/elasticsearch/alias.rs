//! Aliases: every change is one atomic call.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::carry::check_literal;
use super::session::{At, ElasticsearchSession};
use super::{own, refused};
use crate::drivers::DriverError;
use crate::migration::operations::elasticsearch::Operation;

/// The indices that have an alias, each with the alias's definition.
pub(super) type Holders = BTreeMap<String, Value>;

/// An action that gives `index` the alias as `definition` says.
pub(super) fn add(index: &str, alias: &str, definition: &Value) -> Value {
    let mut action = definition.as_object().cloned().unwrap_or_default();
    action.insert("index".to_owned(), json!(index));
    action.insert("alias".to_owned(), json!(alias));
    json!({"add": action})
}

/// An action that takes the alias from `index`, and fails when it is not there any more.
pub(super) fn remove(index: &str, alias: &str) -> Value {
    json!({"remove": {"index": index, "alias": alias, "must_exist": true}})
}

/// The actions that bring an alias from one state to another.
pub(super) fn from_to(alias: &str, from: &Holders, to: &Holders) -> Vec<Value> {
    let gone = from.keys().filter(|index| !to.contains_key(*index)).map(|index| remove(index, alias));
    // The write index is given up before another takes it.
    let mut changed: Vec<_> = to.iter().filter(|(index, d)| from.get(*index) != Some(*d)).collect();
    changed.sort_by_key(|(_, d)| d["is_write_index"] == true);
    gone.chain(changed.into_iter().map(|(index, definition)| add(index, alias, definition))).collect()
}

/// The state that `create_alias` asks for.
fn wanted(there: &Holders, index: &str, filter: Option<&Map<String, Value>>, is_write_index: Option<bool>) -> Holders {
    let mut definition = Map::new();
    if let Some(filter) = filter {
        definition.insert("filter".to_owned(), json!(filter));
    }
    if let Some(writes) = is_write_index {
        definition.insert("is_write_index".to_owned(), json!(writes));
    }
    let mut holders = match is_write_index {
        // Moved: it is on this index alone.
        None => Holders::new(),
        Some(_) => there.clone(),
    };
    if is_write_index == Some(true) {
        for held in holders.values_mut().filter(|d| d["is_write_index"] == true) {
            held["is_write_index"] = json!(false);
        }
    }
    holders.insert(index.to_owned(), Value::Object(definition));
    holders
}

/// Whether the alias is as `create_alias` asks for.
pub(super) fn is_as_wanted(
    there: &Holders,
    index: &str,
    filter: Option<&Map<String, Value>>,
    is_write_index: Option<bool>,
) -> bool {
    let filter = filter.map_or(Value::Null, |f| json!(f));
    let writes = is_write_index.map_or(Value::Null, Value::Bool);
    there.get(index).is_some_and(|d| d["filter"] == filter && d["is_write_index"] == writes)
        && (is_write_index.is_some() || there.len() == 1)
}

impl ElasticsearchSession {
    /// Gives an index an alias, taking it from others in the same call.
    pub(super) async fn create_alias(&mut self, at: &At<'_>, operation: &Operation) -> Result<(), DriverError> {
        let Operation::CreateAlias { index, alias, filter, is_write_index } = operation else { return Ok(()) };
        check_literal(index)?;
        check_literal(alias)?;
        let there = own::alias(&self.wire, alias).await?;
        let undo = match self.progress(at) {
            // A second attempt finds what the first one did.
            Some(_) => None,
            None => Some(json!({"before": there})),
        };
        self.intend(at, json!({}), undo).await?;
        let to = wanted(&there, index, filter.as_ref(), *is_write_index);
        if is_as_wanted(&there, index, filter.as_ref(), *is_write_index) {
            return Ok(());
        }
        self.publish(from_to(alias, &there, &to)).await
    }

    /// Brings an alias back to where it was.
    pub(super) async fn restore_alias(&self, alias: &str, index: &str, before: &Holders) -> Result<(), DriverError> {
        let there = own::alias(&self.wire, alias).await?;
        if &there == before {
            return Ok(());
        }
        if !there.contains_key(index) {
            let now = there.keys().map(|i| format!("`{i}`")).collect::<Vec<_>>().join(", ");
            return Err(refused(
                format!("the alias `{alias}` is not on `{index}` any more; it is on {}", or_none(&now)),
                "somebody has moved it since: look at who, and write the rollback by hand",
            ));
        }
        self.publish(from_to(alias, &there, before)).await
    }
}

fn or_none(list: &str) -> &str {
    if list.is_empty() { "no index" } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(list: &[(&str, Value)]) -> Holders {
        list.iter().map(|(i, d)| ((*i).to_owned(), d.clone())).collect()
    }

    #[test]
    fn an_alias_is_moved_in_one_call_that_fails_when_it_has_moved_already() {
        let there = holders(&[("v1", json!({}))]);
        let to = wanted(&there, "v2", None, None);
        assert_eq!(
            from_to("a", &there, &to),
            [
                json!({"remove": {"index": "v1", "alias": "a", "must_exist": true}}),
                json!({"add": {"index": "v2", "alias": "a"}})
            ]
        );
        assert!(is_as_wanted(&to, "v2", None, None) && !is_as_wanted(&there, "v2", None, None));
        let both = holders(&[("v1", json!({})), ("v2", json!({}))]);
        assert!(!is_as_wanted(&both, "v2", None, None), "it is on two");
        assert_eq!(from_to("a", &to, &there).len(), 2);
    }

    #[test]
    fn the_write_index_changes_hands_in_one_call_and_the_old_one_keeps_its_alias() {
        let there = holders(&[("v1", json!({"is_write_index": true, "filter": {"term": {"x": 1}}}))]);
        let to = wanted(&there, "v2", None, Some(true));
        let actions = from_to("a", &there, &to);
        assert_eq!(actions[0]["add"]["is_write_index"], false);
        assert_eq!(actions[0]["add"]["filter"], json!({"term": {"x": 1}}));
        assert_eq!(actions[1]["add"]["index"], "v2");
        assert!(is_as_wanted(&to, "v2", None, Some(true)));
    }
}
