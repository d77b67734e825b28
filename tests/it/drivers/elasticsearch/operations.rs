//! Each operation forward and back, through the program.

use godwit::drivers::Driver as _;
use godwit::drivers::elasticsearch::ElasticsearchDriver;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::elasticsearch::{Cluster, Project};
use crate::support::wait;

/// The schema of a test's own part of the cluster.
fn schema(cluster: &Cluster) -> Vec<(String, String)> {
    let url = SecretString::from(cluster.url.clone());
    let all = wait(async { ElasticsearchDriver::connect(&url).await.unwrap().schema().await.unwrap() });
    all.objects.into_iter().filter(|(name, _)| name.contains(&cluster.prefix)).collect()
}

/// Applies, rolls back and applies again; the schema after the rollback is the one before.
fn there_and_back(project: &Project) {
    let before = schema(&project.cluster);
    project.run(&["apply", "--yes"]).expect(0);
    let after = schema(&project.cluster);
    assert_ne!(before, after);
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!(schema(&project.cluster), before);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(schema(&project.cluster), after);
    assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");
}

#[test]
fn s4_26_an_index_is_made_and_taken_back_and_an_equal_one_is_left() {
    let project = Project::new(&[(
        "001_orders",
        r#"[{"type": "create_index", "index": "~orders",
             "mapping": {"dynamic": "strict", "properties": {"id": {"type": "keyword"}, "o": {"type": "object", "properties": {"n": {"type": "long"}}}}},
             "settings": {"number_of_shards": 1, "number_of_replicas": 0}}]"#,
    )]);
    there_and_back(&project);
    let meta = project.cluster.ok("GET", "~orders", None);
    let meta = &meta[project.cluster.name("orders")]["mappings"]["_meta"]["godwit"];
    assert!(meta["run"].is_string() && meta["epoch"].is_i64() && meta["mapping"].is_string(), "{meta}");

    // One that was there stays when the migration goes.
    let equal = Project::new(&[(
        "001_orders",
        r#"[{"type": "create_index", "index": "~orders", "mapping": {"properties": {"id": {"type": "keyword"}}}}]"#,
    )]);
    equal.cluster.ok("PUT", "~orders", Some(json!({"mappings": {"properties": {"id": {"type": "keyword"}}}})));
    equal.run(&["apply", "--yes"]).expect(0);
    equal.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert!(equal.cluster.exists("~orders"));

    // Another mapping is told before anything is done.
    let other = Project::new(&[(
        "001_orders",
        r#"[{"type": "create_index", "index": "~orders", "mapping": {"properties": {"id": {"type": "text"}}}}]"#,
    )]);
    other.cluster.ok("PUT", "~orders", Some(json!({"mappings": {"properties": {"id": {"type": "keyword"}}}})));
    let said = other.run(&["apply", "--yes"]).expect(1);
    assert!(
        said.stdout.contains("exists with another mapping") && said.stdout.contains("001_orders.json:2"),
        "{said:?}"
    );
    assert!(!other.cluster.exists(&format!("godwit_{}_history", other.cluster.prefix)), "nothing was written");
}

#[test]
fn s4_27_an_index_with_documents_is_deleted_only_when_a_person_accepts_it() {
    let project = Project::new(&[(
        "001_retire",
        r#""operations": [{"type": "delete_index", "index": "~old"}],
           "rollback": [{"type": "create_index", "index": "~old"}]"#,
    )]);
    project.cluster.fill("~old", 3);
    let said = project.run(&["apply", "--yes"]).expect(3);
    assert!(said.stdout.contains("holds 3 documents"), "{said:?}");
    assert!(project.cluster.exists("~old"));
    project.cluster.ok("POST", "~old/_delete_by_query?refresh=true", Some(json!({"query": {"match_all": {}}})));
    project.run(&["apply", "--yes"]).expect(0);
    assert!(!project.cluster.exists("~old"));
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert!(project.cluster.exists("~old"));
}

#[test]
fn s4_27_only_an_index_s_own_name_deletes_it() {
    for name in ["~*", "_all", "~a,~b", "~alias"] {
        let text = format!(
            r#""operations": [{{"type": "delete_index", "index": "{name}"}}], "rollback": [{{"type": "create_index", "index": "~x"}}]"#
        );
        let project = Project::new(&[("001_wild", &text)]);
        project.cluster.ok("PUT", "~a", Some(json!({"aliases": {"~alias": {}}})));
        let said = project.run(&["apply", "--yes"]);
        assert!(matches!(said.code, Some(1 | 2)), "{name}: {said:?}");
        assert!(project.cluster.exists("~a"), "{name}");
    }
}

#[test]
fn s4_28_a_mapping_grows_and_a_changed_type_is_told_in_the_server_s_words() {
    let project = Project::new(&[(
        "001_note",
        r#""operations": [{"type": "update_mapping", "index": "~a", "mapping": {"properties": {"note": {"type": "text"}}}}], "rollback": []"#,
    )]);
    project.cluster.fill("~a", 1);
    project.run(&["apply", "--yes"]).expect(0);
    let mapping = project.cluster.ok("GET", "~a/_mapping", None);
    assert_eq!(mapping[project.cluster.name("a")]["mappings"]["properties"]["note"]["type"], "text");
    project.write(
        "002_retype",
        r#""operations": [{"type": "update_mapping", "index": "~a", "mapping": {"properties": {"id": {"type": "text"}}}}], "rollback": []"#,
    );
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("cannot be changed from type [keyword] to [text]"), "{said:?}");

    // What the look beforehand cannot see is the server's to say.
    let project = Project::new(&[(
        "001_both",
        r#""operations": [{"type": "create_index", "index": "~b", "mapping": {"properties": {"id": {"type": "keyword"}}}},
             {"type": "update_mapping", "index": "~b", "mapping": {"properties": {"id": {"type": "text"}}}}], "rollback": []"#,
    )]);
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("mapper [id] cannot be changed from type [keyword] to [text]"), "{said:?}");
    assert!(said.stdout.contains("001_both.json:3"), "{said:?}");
}

#[test]
fn a_parameter_that_is_left_out_is_noted_before_it_goes_back_to_its_default() {
    let project = Project::new(&[(
        "001_id",
        r#""operations": [{"type": "update_mapping", "index": "~a", "mapping": {"properties": {"id": {"type": "keyword"}}}}], "rollback": []"#,
    )]);
    project.cluster.ok(
        "PUT",
        "~a",
        Some(json!({"mappings": {"properties": {"id": {"type": "keyword", "ignore_above": 9}}}})),
    );
    let said = project.run(&["plan", "--format", "json"]).expect(0).json();
    let notes = said["notes"].to_string();
    assert!(notes.contains("ignore_above"), "{notes}");
}

#[test]
fn s4_29_an_alias_is_moved_and_moved_back() {
    let project = Project::new(&[(
        "001_alias",
        r#"[{"type": "create_alias", "index": "~v2", "alias": "~orders", "filter": {"term": {"id": "d1"}}}]"#,
    )]);
    project.cluster.fill("~v1", 3);
    project.cluster.fill("~v2", 3);
    project.cluster.ok("PUT", "~v1/_alias/~orders", Some(json!({"filter": {"term": {"id": "d2"}}})));
    there_and_back(&project);
    assert_eq!(project.cluster.on("~orders"), ["v2"]);
    assert_eq!(project.cluster.count("~orders"), 1);

    // Given as write index it is added, and the one that was it gives that up in the same call.
    let write = Project::new(&[(
        "001_alias",
        r#"[{"type": "create_alias", "index": "~v2", "alias": "~orders", "is_write_index": true}]"#,
    )]);
    write.cluster.fill("~v1", 1);
    write.cluster.fill("~v2", 1);
    write.cluster.ok("PUT", "~v1/_alias/~orders", Some(json!({"is_write_index": true})));
    there_and_back(&write);
    assert_eq!(write.cluster.on("~orders"), ["v1", "v2"]);
}

#[test]
fn s4_29_s4_30_what_an_alias_of_the_same_run_leads_to_is_known() {
    let new = |version: &str| {
        format!(
            r#"{{"type": "create_index", "index": "~{version}", "mapping": {{"properties": {{"id": {{"type": "keyword"}}}}}}}}"#
        )
    };
    let project = Project::new(&[
        ("001_first", &format!(r#"[{}, {{"type": "create_alias", "index": "~v1", "alias": "~items"}}]"#, new("v1"))),
        (
            "002_second",
            &format!(
                r#"[{}, {{"type": "reindex", "source": "~items", "dest": "~v2"}},
                    {{"type": "create_alias", "index": "~v2", "alias": "~items"}}]"#,
                new("v2")
            ),
        ),
        ("003_third", r#"[{"type": "swap_alias", "alias": "~items", "from": "~v2", "to": "~v1"}]"#),
    ]);
    project.run(&["plan"]).expect(0);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.cluster.on("~items"), ["v1"]);
}

#[test]
fn s4_30_documents_are_copied_and_counted() {
    let project = Project::new(&[(
        "001_copy",
        r#"[{"type": "create_index", "index": "~v2", "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "integer"}}}},
            {"type": "reindex", "source": "~v1", "dest": "~v2", "block_writes": true},
            {"type": "create_alias", "index": "~v2", "alias": "~orders"}]"#,
    )]);
    project.cluster.fill("~v1", 1200);
    project.cluster.ok("PUT", "~v1/_alias/~orders", None);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 1200, "{said}");
    assert_eq!(project.cluster.count("~orders"), 1200);
    assert_eq!((project.cluster.on("~orders"), project.cluster.blocked()), (vec!["v2".to_owned()], Vec::new()));
    // A person is asked before documents go; without documents it goes back by itself.
    let said = project.run(&["rollback", "--steps", "1", "--yes"]).expect(3);
    assert!(said.stdout.contains("holds 1200 documents"), "{said:?}");
    project.cluster.ok("POST", "~v2/_delete_by_query?refresh=true", Some(json!({"query": {"match_all": {}}})));
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!(
        (project.cluster.on("~orders"), project.cluster.indices()),
        (vec!["v1".to_owned()], vec!["v1".to_owned()])
    );

    // With a query and a script, without waiting: the end of the migration does.
    let part = Project::new(&[(
        "001_copy",
        r#"[{"type": "create_index", "index": "~v2"},
            {"type": "reindex", "source": "~v1", "dest": "~v2", "wait": false, "query": {"range": {"n": {"lt": 50}}},
             "script": {"source": "ctx._source.n += params.by", "params": {"by": 1000}}},
            {"type": "put_settings", "index": "~v2", "settings": {"number_of_replicas": 0}}]"#,
    )]);
    part.cluster.fill("~v1", 100);
    part.run(&["apply", "--yes"]).expect(0);
    assert_eq!(part.cluster.count("~v2"), 50);
    let hits = part.cluster.ok("POST", "~v2/_search", Some(json!({"query": {"range": {"n": {"gte": 1000}}}})));
    assert_eq!(hits["hits"]["total"]["value"], 50);
}

#[test]
fn a_template_and_settings_come_back_as_they_were() {
    let project = Project::new(&[(
        "001_template",
        r#"[{"type": "put_template", "name": "~logs", "template": {"index_patterns": ["~logs-*"], "template": {"settings": {"number_of_replicas": 1}}}},
            {"type": "put_template", "name": "~new", "template": {"index_patterns": ["~new-*"]}},
            {"type": "put_settings", "index": "~a", "settings": {"index": {"refresh_interval": "30s", "number_of_replicas": 0}}}]"#,
    )]);
    project.cluster.ok("PUT", "~a", Some(json!({"settings": {"refresh_interval": "7s"}})));
    project.cluster.ok(
        "PUT",
        "_index_template/~logs",
        Some(json!({"index_patterns": ["~logs-*"], "priority": 7, "template": {"settings": {"number_of_shards": 2}}})),
    );
    there_and_back(&project);
}

#[test]
fn a_setting_that_an_open_index_refuses_is_no_riddle() {
    let project = Project::new(&[(
        "001_settings",
        r#"[{"type": "put_settings", "index": "~a", "settings": {"refresh_interval": "30s"}},
            {"type": "put_settings", "index": "~a", "settings": {"number_of_shards": 2}}]"#,
    )]);
    project.cluster.ok("PUT", "~a", Some(json!({"settings": {"refresh_interval": "7s"}})));
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    assert_eq!(said["steps"][0]["error"]["undone"], true, "{said}");
    assert!(said.to_string().contains("non dynamic settings"), "{said}");
    // What was done before it is taken back, and nothing is left for a person.
    let settings = project.cluster.ok("GET", "~a/_settings?flat_settings=true", None).to_string();
    assert!(settings.contains(r#""index.refresh_interval":"7s""#), "{settings}");
    let status = project.run(&["status", "--format", "json"]).json();
    assert!(!status.to_string().contains("needs_human"), "{status}");
}

#[test]
fn an_alias_is_swapped_and_a_built_index_goes_with_the_rollback() {
    let project =
        Project::new(&[("001_plain", r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v2"}]"#)]);
    project.cluster.fill("~v1", 3);
    project.cluster.fill("~v2", 4);
    project.cluster.ok("PUT", "~v1/_alias/~orders", None);
    there_and_back(&project);
    assert_eq!(project.cluster.on("~orders"), ["v2"]);

    let built = Project::new(&[(
        "001_built",
        r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v2",
             "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "keyword"}}}, "settings": {"number_of_replicas": 0}}]"#,
    )]);
    built.cluster.fill("~v1", 500);
    built.cluster.ok("PUT", "~v1/_alias/~orders", Some(json!({"filter": {"range": {"n": {"lt": 400}}}})));
    let said = built.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 500, "{said}");
    let on = built.cluster.on("~orders");
    assert!(on.len() == 1 && on[0].starts_with("v2_e"), "{on:?}");
    assert_eq!(built.cluster.count(&format!("~{}", on[0])), 500);
    let definition = built.cluster.ok("GET", "_alias/~orders", None);
    assert!(definition.to_string().contains("\"filter\""), "the alias keeps its filter: {definition}");
    assert!(built.cluster.blocked().is_empty());
    built.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!((built.cluster.on("~orders"), built.cluster.indices()), (vec!["v1".to_owned()], vec!["v1".to_owned()]));

    // What users wrote since is not thrown away.
    built.run(&["apply", "--yes"]).expect(0);
    built.cluster.ok("PUT", "~orders/_doc/new?refresh=true", Some(json!({"id": "new", "n": 1})));
    let said = built.run(&["rollback", "--steps", "1", "--yes"]).expect(3);
    assert!(said.stdout.contains("documents were written to"), "{said:?}");
}

#[test]
fn documents_are_changed_and_deleted_by_query() {
    let project = Project::new(&[(
        "001_change",
        r#""operations": [
             {"type": "update_by_query", "index": "~a", "query": {"range": {"n": {"lt": 10}}}, "script": {"source": "ctx._source.n = -1"}},
             {"type": "update_mapping", "index": "~a", "mapping": {"properties": {"x": {"type": "long"}}}}],
           "rollback": [{"type": "update_by_query", "index": "~a", "query": {"term": {"n": -1}}, "script": {"source": "ctx._source.n = 1"}}]"#,
    )]);
    project.cluster.fill("~a", 30);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 10, "{said}");
    let of =
        |n: i64| project.cluster.ok("POST", "~a/_count", Some(json!({"query": {"term": {"n": n}}})))["count"].clone();
    assert_eq!(of(-1), 10);
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!((of(-1), of(1)), (Value::from(0), Value::from(10)));

    let delete = Project::new(&[(
        "001_delete",
        r#""operations": [{"type": "create_index", "index": "~b"}, {"type": "delete_by_query", "index": "~a", "query": {"range": {"n": {"lt": 10}}}}], "rollback": []"#,
    )]);
    delete.cluster.fill("~a", 30);
    let said = delete.run(&["apply", "--yes"]).expect(3);
    assert!(said.stdout.contains("10 documents"), "{said:?}");
    assert_eq!(delete.cluster.count("~a"), 30);
}

#[test]
fn the_example_of_the_specification_runs_forward_and_back() {
    let project = Project::new(&[
        (
            "001_orders_index",
            r#""operations": [
                { "type": "create_index", "index": "~orders_v2",
                  "mapping": { "properties": { "id": { "type": "keyword" }, "placed_at": { "type": "date" } } },
                  "settings": { "number_of_shards": 1, "number_of_replicas": 0 } },
                { "type": "update_mapping", "index": "~orders_v2", "mapping": { "properties": { "note": { "type": "text" } } } },
                { "type": "reindex", "source": "~orders_v1", "dest": "~orders_v2", "wait": true },
                { "type": "create_alias", "index": "~orders_v2", "alias": "~orders" }
              ],
              "rollback": [ { "type": "delete_index", "index": "~orders_v2" } ]"#,
        ),
        (
            "002_retire_orders_v1",
            r#""depends_on": ["001_orders_index"],
               "operations": [ { "type": "delete_index", "index": "~orders_v1" } ],
               "rollback": [ { "type": "create_index", "index": "~orders_v1", "mapping": { "properties": { "id": { "type": "keyword" } } }, "settings": {} } ]"#,
        ),
    ]);
    project.cluster.ok("PUT", "~orders_v1", Some(json!({"settings": {"number_of_replicas": 0}})));
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.cluster.on("~orders"), ["orders_v2"]);
    assert_eq!(project.cluster.indices(), ["orders_v2"]);
    project.run(&["rollback", "--steps", "2", "--yes"]).expect(0);
    assert_eq!(project.cluster.indices(), ["orders_v1"]);
    assert_eq!(project.cluster.history(), ["001_orders_index rolled_back", "002_retire_orders_v1 rolled_back"]);
}

#[test]
fn an_index_that_a_later_rollback_brought_back_goes_with_the_migration_that_made_it() {
    let project = Project::new(&[
        (
            "001_make",
            r#"[{"type": "create_index", "index": "~a", "mapping": {"properties": {"id": {"type": "keyword"}}}}]"#,
        ),
        (
            "002_retire",
            r#""operations": [{"type": "delete_index", "index": "~a"}],
               "rollback": [{"type": "create_index", "index": "~a", "mapping": {"properties": {"id": {"type": "keyword"}}}}]"#,
        ),
    ]);
    project.run(&["apply", "--yes"]).expect(0);
    project.run(&["rollback", "--steps", "2", "--yes"]).expect(0);
    assert_eq!(project.cluster.indices(), [] as [&str; 0]);
}
