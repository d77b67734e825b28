//! A part of a cluster to rehearse in: every name that the migrations write gets a prefix, and what has it goes afterwards.

use std::collections::BTreeSet;

use elasticsearch::http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::address::Address;
use super::own::Own;
use super::wire::{Wire, part};
use super::{ElasticsearchDriver, own, settings_of};
use crate::drivers::DriverError;
use crate::migration::operations::elasticsearch::Operation;

/// Documents copied of an index that the migrations presume.
const SAMPLE: u32 = 1000;

/// The URL under which migrations are carried out in the namespace alone.
pub(crate) fn url(server: &SecretString, namespace: &str) -> String {
    let text = server.expose_secret();
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let own = |p: &&str| !["namespace=", "scratch=", "repository="].iter().any(|key| p.starts_with(key));
    let mut parts: Vec<&str> = query.split('&').filter(|p| !p.is_empty()).filter(own).collect();
    let namespace = format!("namespace={namespace}");
    parts.extend([namespace.as_str(), "scratch=true"]);
    format!("{base}?{}", parts.join("&"))
}

/// What stands before every name under such a URL.
pub(crate) fn prefix(url: &SecretString) -> Option<String> {
    let address = Address::parse(url.expose_secret()).ok()?;
    Some(Own::scratch(address.namespace.as_deref().filter(|_| address.scratch)?).prefix)
}

impl ElasticsearchDriver {
    /// Copies what the operations presume into the namespace, as far as the cluster has it: the definition of each index
    /// that none of them makes, and some of its documents. Gives the names.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub(crate) async fn presume(&self, operations: &[Operation]) -> Result<Vec<String>, DriverError> {
        let mut copied = Vec::new();
        for name in presumed(operations) {
            let Some(shown) = own::index(&self.wire, name).await? else { continue };
            self.copy(name, &shown).await?;
            copied.push(name.to_owned());
        }
        Ok(copied)
    }

    async fn copy(&self, name: &str, shown: &Value) -> Result<(), DriverError> {
        let place = format!("{}{name}", self.own.prefix);
        let mut settings = settings_of(shown);
        settings["number_of_replicas"] = 0.into();
        if let Some(settings) = settings.as_object_mut() {
            settings.remove("auto_expand_replicas");
        }
        let aliases: Map<String, Value> = shown["aliases"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(alias, definition)| (format!("{}{alias}", self.own.prefix), definition.clone()))
            .collect();
        let body = json!({"settings": {"index": settings}, "mappings": shown["mappings"], "aliases": aliases});
        self.wire.ask(Method::Put, &part(&place), Some(&body)).await?.ok()?;
        // Without them an index that keeps no `_source` can be rehearsed all the same.
        if shown["mappings"]["_source"]["enabled"] != false {
            let body = json!({"max_docs": SAMPLE, "conflicts": "proceed", "source": {"index": name, "size": SAMPLE},
                "dest": {"index": place}});
            self.wire.ask(Method::Post, "_reindex?refresh=true", Some(&body)).await?.ok()?;
        }
        Ok(())
    }

    /// Takes away everything in the namespace: indices and templates, Godwit's own among them.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub(crate) async fn forget(&self) -> Result<(), DriverError> {
        let Some(all) = self.own.prefix.strip_suffix("__") else { return Ok(()) };
        for index in
            names(&self.wire, &format!("_cat/indices/{all}_*?format=json&h=index&expand_wildcards=all")).await?
        {
            self.wire.ask(Method::Delete, &part(&index), None).await?.found()?;
        }
        let templates =
            self.wire.get(&format!("_index_template/{}*", self.own.prefix)).await?.found()?.unwrap_or_default();
        for name in templates["index_templates"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str()) {
            self.wire.ask(Method::Delete, &format!("_index_template/{}", part(name)), None).await?.found()?;
        }
        Ok(())
    }
}

async fn names(wire: &Wire, path: &str) -> Result<Vec<String>, DriverError> {
    let found = wire.get(path).await?.found()?.unwrap_or_default();
    let all = found.as_array().into_iter().flatten();
    Ok(all.filter_map(|i| i["index"].as_str().map(str::to_owned)).collect())
}

/// The names that operations need before any of them has made them.
fn presumed(operations: &[Operation]) -> BTreeSet<&str> {
    let (mut made, mut out) = (BTreeSet::new(), BTreeSet::new());
    for operation in operations {
        out.extend(operation.presumes().into_iter().filter(|name| !made.contains(name)));
        if let Operation::CreateIndex { index, .. } = operation {
            made.insert(index.as_str());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_operation_makes_first_is_presumed() {
        let operations: Vec<Operation> = serde_json::from_value(json!([
            {"type": "create_index", "index": "v2"},
            {"type": "reindex", "source": "v1", "dest": "v2"},
            {"type": "swap_alias", "alias": "a", "from": "v2", "to": "v3", "mapping": {}},
            {"type": "delete_index", "index": "v0"},
            {"type": "create_index", "index": "v0"},
        ]))
        .unwrap();
        assert_eq!(presumed(&operations), ["v0", "v1"].into());
    }

    #[test]
    fn the_url_of_a_rehearsal_keeps_what_leads_to_the_server() {
        let server = SecretString::from("elasticsearch+https://u:p@h:9200/x?ca=%2Fa&namespace=shop&repository=r");
        assert_eq!(
            url(&server, "scratch_1"),
            "elasticsearch+https://u:p@h:9200/x?ca=%2Fa&namespace=scratch_1&scratch=true"
        );
        assert_eq!(
            url(&SecretString::from("elasticsearch+http://h"), "n"),
            "elasticsearch+http://h?namespace=n&scratch=true"
        );
    }
}
