//! Indices, their mappings and settings, and templates.

use elasticsearch::http::Method;
use serde_json::{Map, Value, json};

use super::carry::check_literal;
use super::own::{canonical, hash};
use super::session::{At, ElasticsearchSession};
use super::wire::part;
use super::{mapping_of, own, refused};
use crate::drivers::DriverError;

impl ElasticsearchSession {
    /// Makes an index that says which run made it; an equal one that is there is left as it is.
    pub(super) async fn create_index(
        &mut self,
        at: &At<'_>,
        index: &str,
        mapping: &Map<String, Value>,
        settings: &Map<String, Value>,
    ) -> Result<(), DriverError> {
        check_literal(index)?;
        if let Some(shown) = own::index(&self.wire, index).await? {
            if !same_mapping(&shown, mapping) {
                return Err(refused(
                    format!("the index `{index}` exists with another mapping"),
                    "choose another name, or change it with `update_mapping` or `swap_alias`",
                ));
            }
            return self.intend(at, json!({}), Some(json!({"existed": true}))).await;
        }
        self.intend(at, json!({}), Some(json!({"index": index, "epoch": self.epoch()}))).await?;
        self.make_index(index, mapping, settings).await
    }

    /// Makes an index under this run's name.
    pub(super) async fn make_index(
        &self,
        index: &str,
        mapping: &Map<String, Value>,
        settings: &Map<String, Value>,
    ) -> Result<(), DriverError> {
        let mut marked = mapping.clone();
        let meta = marked.entry("_meta").or_insert_with(|| json!({}));
        // The server refuses anything else, in its own words.
        if let Some(meta) = meta.as_object_mut() {
            let ours = json!({"run": self.run(), "epoch": self.epoch(), "mapping": hash(&json!(mapping))});
            meta.insert("godwit".to_owned(), ours);
        }
        let body = json!({"mappings": marked, "settings": settings});
        self.effect(Method::Put, &part(index), Some(&body)).await?.ok().map(|_| ())
    }

    /// Deletes an index.
    pub(super) async fn delete_index(&mut self, at: &At<'_>, index: &str) -> Result<(), DriverError> {
        check_literal(index)?;
        self.intend(at, json!({}), None).await?;
        self.publish(vec![json!({"remove_index": {"index": index}})]).await
    }

    /// Adds to a mapping.
    pub(super) async fn update_mapping(
        &mut self,
        at: &At<'_>,
        index: &str,
        mapping: &Map<String, Value>,
    ) -> Result<(), DriverError> {
        check_literal(index)?;
        let mut mapping = mapping.clone();
        if let Some(meta) = mapping.get_mut("_meta").and_then(Value::as_object_mut)
            && let Some(shown) = own::index(&self.wire, index).await?
        {
            // Given, it takes the place of the whole, and with it of what says who made the index.
            meta.insert("godwit".to_owned(), mapping_of(&shown)["_meta"]["godwit"].clone());
        }
        self.intend(at, json!({}), None).await?;
        let path = format!("{}/_mapping", part(index));
        self.effect(Method::Put, &path, Some(&json!(mapping))).await?.ok().map(|_| ())
    }

    /// Puts an index template; the former one is recorded.
    pub(super) async fn put_template(
        &mut self,
        at: &At<'_>,
        name: &str,
        template: &Map<String, Value>,
    ) -> Result<(), DriverError> {
        check_literal(name)?;
        let undo = match self.progress(at) {
            // A second attempt finds the first one's.
            Some(_) => None,
            None => Some(json!({"before": self.template(name).await?})),
        };
        self.intend(at, json!({}), undo).await?;
        let path = format!("_index_template/{}", part(name));
        self.effect(Method::Put, &path, Some(&json!(template))).await?.ok().map(|_| ())
    }

    /// An index template as it stands.
    async fn template(&self, name: &str) -> Result<Option<Value>, DriverError> {
        let found = self.wire.get(&format!("_index_template/{}", part(name))).await?.found()?;
        Ok(found.map(|body| body["index_templates"][0]["index_template"].clone()).filter(|t| !t.is_null()))
    }

    /// Changes settings; the former values are recorded.
    pub(super) async fn put_settings(
        &mut self,
        at: &At<'_>,
        index: &str,
        settings: &Map<String, Value>,
    ) -> Result<(), DriverError> {
        check_literal(index)?;
        let undo = match self.progress(at) {
            Some(_) => None,
            None => {
                Some(json!({"before": self.settings(index, flat(settings).into_iter().map(|(key, _)| key)).await?}))
            }
        };
        self.intend(at, json!({}), undo).await?;
        self.set(index, settings).await
    }

    /// What an index has for each of the settings `keys`, by their whole names; `null` where it has the default.
    pub(super) async fn settings(
        &self,
        index: &str,
        keys: impl Iterator<Item = String>,
    ) -> Result<Map<String, Value>, DriverError> {
        let path = format!("{}/_settings?flat_settings=true", part(index));
        let body = self.wire.get(&path).await?.ok()?;
        let there = body.as_object().and_then(|b| b.values().next()).map(|i| i["settings"].clone()).unwrap_or_default();
        Ok(keys.map(|key| (key.clone(), there[&key].clone())).collect())
    }

    /// Sets settings; `null` is the default again.
    pub(super) async fn set(&self, index: &str, settings: &Map<String, Value>) -> Result<(), DriverError> {
        let path = format!("{}/_settings", part(index));
        self.effect(Method::Put, &path, Some(&json!(settings))).await?.ok().map(|_| ())
    }

    /// Puts a template's former text back, or deletes it where there was none.
    pub(super) async fn restore_template(&self, name: &str, before: &Value) -> Result<(), DriverError> {
        let path = format!("_index_template/{}", part(name));
        if before.is_null() {
            return self.effect(Method::Delete, &path, None).await?.found().map(|_| ());
        }
        self.effect(Method::Put, &path, Some(before)).await?.ok().map(|_| ())
    }
}

/// Whether an index has the mapping: it was made from the same text, or it says the same.
pub(super) fn same_mapping(shown: &Value, mapping: &Map<String, Value>) -> bool {
    let live = mapping_of(shown);
    if live["_meta"]["godwit"]["mapping"] == hash(&json!(mapping)) {
        return true;
    }
    let mut live = live.clone();
    if let Some(meta) = live["_meta"].as_object_mut() {
        meta.remove("godwit");
    }
    plain(&live) == plain(&json!(mapping))
}

/// A mapping without what the server fills in or leaves out.
fn plain(mapping: &Value) -> Value {
    match canonical(mapping) {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| {
                let implied = *key == "type" && *value == "object" && map.contains_key("properties");
                let empty =
                    matches!(key.as_str(), "_meta" | "properties") && value.as_object().is_none_or(Map::is_empty);
                !implied && !empty
            })
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        // The server gives `true` for `"true"`, and the other way round.
        Value::Bool(value) => json!(value.to_string()),
        Value::Number(value) => json!(value.to_string()),
        other => other,
    }
}

/// Settings by their full names, such as `index.refresh_interval`.
pub(super) fn flat(settings: &Map<String, Value>) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&name, value, out);
                }
            }
            other => {
                let name = if prefix.starts_with("index.") { prefix.to_owned() } else { format!("index.{prefix}") };
                out.push((name, other.clone()));
            }
        }
    }
    let mut out = Vec::new();
    walk("", &Value::Object(settings.clone()), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn equal_mappings_are_equal_however_they_are_written() {
        let given = object(json!({"dynamic": "strict", "properties": {"a": {"type": "keyword", "ignore_above": 20},
            "o": {"type": "object", "properties": {"b": {"type": "date"}}}}}));
        let shown = json!({"mappings": {"properties": {"o": {"properties": {"b": {"type": "date"}}},
            "a": {"ignore_above": "20", "type": "keyword"}}, "dynamic": "strict", "_meta": {"godwit": {"epoch": 3}}}});
        assert!(same_mapping(&shown, &given));
        assert!(!same_mapping(&shown, &object(json!({"properties": {"a": {"type": "keyword"}}}))));
        assert!(same_mapping(&json!({"mappings": {}}), &Map::new()));
        let grown =
            json!({"mappings": {"properties": {"x": {}}, "_meta": {"godwit": {"mapping": hash(&json!(given))}}}});
        assert!(same_mapping(&grown, &given), "it was made from this text");
    }

    #[test]
    fn settings_have_one_name_each() {
        let nested = object(json!({"index": {"refresh_interval": "1s"}, "number_of_replicas": 0, "index.x": null}));
        let names: Vec<String> = flat(&nested).into_iter().map(|(k, _)| k).collect();
        assert_eq!(names, ["index.refresh_interval", "index.number_of_replicas", "index.x"]);
    }
}
