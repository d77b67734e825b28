//! What the rules about operations of MongoDB and Elasticsearch show as good and bad, run on real servers: what a rule says
//! is refused is refused, and everything else runs.

use std::collections::BTreeSet;

use godwit::lint::rules::{Example, OPERATIONS};
use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::support::elasticsearch::{Cluster, Project};
use crate::support::mongodb::{Mongo, Server};

/// The whole files of an example's migrations.
fn files(engine: &str, example: &Example) -> Vec<Value> {
    let of = |n: usize, list: &str| {
        let operations: Value = serde_json::from_str(&format!("[{list}]")).unwrap();
        json!({ "version": format!("{}.0.0", n + 1), "name": "m", "description": "BREAKING", "database_type": engine,
            "migration_type": "schema", "rollback": [], "operations": operations })
    };
    match example {
        Example::Operations(list) => vec![of(0, list)],
        Example::Migrations(lists) => lists.iter().enumerate().map(|(n, list)| of(n, list)).collect(),
        Example::Files(texts) => texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect(),
        Example::Lua(_) => Vec::new(),
    }
}

/// The operations of all files, in order.
fn operations(files: &mut [Value]) -> impl Iterator<Item = &mut Value> {
    files.iter_mut().flat_map(|file| file["operations"].as_array_mut().unwrap())
}

/// What an example uses and does not make, by the fields in which operations name it.
fn brought(files: &mut [Value], makes: impl Fn(&Value) -> Vec<String>, uses: &[&str]) -> BTreeSet<String> {
    let (mut made, mut brought) = (BTreeSet::new(), BTreeSet::new());
    for operation in operations(files) {
        made.extend(makes(operation));
        let used = uses.iter().filter_map(|field| operation[*field].as_str().map(str::to_owned));
        brought.extend(used.filter(|name| !made.contains(name)));
    }
    brought
}

/// What is tried of an engine's rules.
struct Tried {
    engine: &'static str,
    /// Rules that say that the server refuses something: their bad examples fail.
    refused: &'static [&'static str],
    /// Rules whose examples are not run, and why.
    left_out: &'static [(&'static str, &'static str)],
    /// What examples hold that are not run, and why.
    beyond: &'static [(&'static str, &'static str)],
}

/// Runs every example of an engine, and compares what the server does with what the rules say.
fn try_all(tried: &Tried, run: impl Fn(&mut [Value]) -> Result<(), String> + Sync) {
    let (_, rules) = OPERATIONS.iter().find(|(folder, _)| *folder == tried.engine).unwrap();
    for id in tried.refused.iter().chain(tried.left_out.iter().map(|(id, _)| id)) {
        assert!(rules.iter().any(|rule| rule.info.id == *id), "{id} is no rule about {}", tried.engine);
    }
    let mut examples = Vec::new();
    for rule in rules.iter().filter(|rule| tried.left_out.iter().all(|(id, _)| *id != rule.info.id)) {
        let each = rule.ok.iter().map(|e| (e, false)).chain(rule.bad.iter().map(|e| (e, true)));
        examples.extend(each.map(|(example, is_bad)| {
            (rule.info.id, files(tried.engine, example), is_bad && tried.refused.contains(&rule.info.id))
        }));
    }
    let shown =
        |files: &[Value]| serde_json::to_string(&files.iter().map(|f| &f["operations"]).collect::<Vec<_>>()).unwrap();
    for (part, _) in tried.beyond {
        assert!(examples.iter().any(|(_, files, _)| shown(files).contains(part)), "no example holds {part}");
    }
    examples.retain(|(_, files, _)| !tried.beyond.iter().any(|(part, _)| shown(files).contains(part)));
    let wrong = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((id, files, fails)) =
                    examples.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let outcome = match run(&mut files.clone()) {
                        Ok(()) if *fails => "runs".to_owned(),
                        Err(error) if !*fails => format!("fails: {error}"),
                        Ok(()) | Err(_) => continue,
                    };
                    wrong.lock().unwrap().push(format!("{id}: {}\n  {outcome}", shown(files)));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), examples.len(), wrong.join("\n"));
}

#[test]
fn mongodb_refuses_what_its_rules_say_and_runs_the_rest() {
    let tried = Tried {
        engine: "mongodb",
        refused: &[
            "invalid-collection",
            "collection-conflict",
            "fixed-option",
            "invalid-validator",
            "invalid-filter",
            "invalid-update",
            "index-conflict",
            "unknown-option",
        ],
        left_out: &[("drop-index", "there is no index to be dropped")],
        beyond: &[
            ("run_command", "commands are about a database of a name, or need a sharded cluster"),
            ("$near", "needs an index of places"),
            ("$someNewOperator", "of a server that is still to come"),
            ("errorAndLog", "of servers from 8.1 on"),
            (r#""$set":{"_id":1}"#, "depends on the documents"),
            (r#""field":"_id""#, "depends on the documents"),
            (r#""validator":{"$jsonSchema":{"required":["a"]}}"#, "depends on the documents"),
            (r#"[{"type":"rename_collection","from":"c","to":"e"}]"#, "depends on the documents"),
            (r#""validation_level":"moderate","validation_action":"error"}],[{"#, "depends on the documents"),
        ],
    };
    try_all(&tried, |files| {
        let mongo = Mongo::fresh(Server::ReplicaSet, &[]);
        let makes = |operation: &Value| match operation["type"].as_str().unwrap() {
            "create_collection" => vec![operation["collection"].as_str().unwrap().to_owned()],
            "rename_collection" => vec![operation["to"].as_str().unwrap().to_owned()],
            _ => Vec::new(),
        };
        let is_indexed = operations(files).any(|operation| operation["type"] == "create_index");
        for collection in brought(files, makes, &["collection", "from"]) {
            // An index is made of what fits it: of nothing.
            if is_indexed {
                mongo.command(doc! { "create": &collection });
            } else {
                mongo.insert(&collection, vec![doc! { "_id": 1, "a": 1 }]);
            }
        }
        for (n, file) in files.iter().enumerate() {
            mongo.write(&format!("{:03}_m.json", n + 1), &file.to_string());
        }
        let said = mongo.run(&["apply", "--yes", "--accept-data-loss"]);
        if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
    });
}

#[test]
fn elasticsearch_refuses_what_its_rules_say_and_runs_the_rest() {
    let tried = Tried {
        engine: "elasticsearch",
        refused: &[
            "index-exists",
            "invalid-field",
            "invalid-mapping",
            "mapping-type-change",
            "mapping-types",
            "reindex-onto-itself",
            "static-setting",
            "unknown-setting",
        ],
        left_out: &[("index-name", "a pattern is not tried on a server that others use")],
        beyond: &[
            (r#""english""#, "an analyzer of a module that the server of the tests does not have"),
            (r#""part":{"type":"pattern"}},"analyzer":{"mine":{"type":"custom""#, "of such a module, too"),
            ("of_the_", "an analyzer that something beyond the example defines"),
            ("index.lifecycle", "settings of such a module"),
            (r#"{"type":"delete_index","index":"o"}"#, "Godwit itself deletes nothing by an alias"),
            (r#""mappings":{"_doc":{}}"#, "a server of 7.17 still takes it in a template"),
            (r#""alias":"n","from":"a","to":"a""#, "a move that is made already: nothing is asked of the server"),
        ],
    };
    try_all(&tried, |files| {
        let project = Project::on(Cluster::fresh(), &[]);
        let text = |operation: &Value, field: &str| operation[field].as_str().map(str::to_owned);
        let makes = |operation: &Value| match operation["type"].as_str().unwrap() {
            "create_index" => text(operation, "index").into_iter().collect(),
            "create_alias" => text(operation, "alias").into_iter().collect(),
            "swap_alias" if operation.get("mapping").is_some() => text(operation, "to").into_iter().collect(),
            _ => Vec::new(),
        };
        let cluster = &project.cluster;
        for index in brought(files, makes, &["index", "source", "dest", "from", "to"]) {
            let index = cluster.name(&index);
            let settings = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}});
            cluster.ok("PUT", &index, Some(settings));
            cluster.ok("PUT", &format!("{index}/_doc/1?refresh=true"), Some(json!({"z": 1})));
        }
        let mut named = BTreeSet::new();
        for operation in operations(files) {
            if operation["type"] == "create_alias" {
                named.extend(text(operation, "alias"));
            }
            if operation["type"] == "swap_alias"
                && let (Some(alias), Some(from)) = (text(operation, "alias"), text(operation, "from"))
                && named.insert(alias.clone())
                && cluster.call("HEAD", &cluster.name(&from), None).0 == 200
            {
                cluster.ok("PUT", &format!("{}/_alias/{}", cluster.name(&from), cluster.name(&alias)), None);
            }
        }
        for operation in operations(files) {
            for field in ["index", "source", "dest", "alias", "from", "to", "name"] {
                if let Some(name) = text(operation, field) {
                    operation[field] = json!(cluster.name(&name));
                }
            }
            if let Some(patterns) = operation.pointer_mut("/template/index_patterns").and_then(Value::as_array_mut) {
                patterns.iter_mut().for_each(|p| *p = json!(cluster.name(p.as_str().unwrap())));
            }
        }
        for (n, file) in files.iter().enumerate() {
            std::fs::write(project.migrations().join(format!("{:03}_m.json", n + 1)), file.to_string()).unwrap();
        }
        let said = project.run(&["apply", "--yes", "--accept-data-loss"]);
        if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
    });
}
