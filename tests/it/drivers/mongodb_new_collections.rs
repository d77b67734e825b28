//! A collection and its indexes in one migration: one transaction where they follow one another; else what the indexes leave
//! is written with the collection, and the fence holds between them all the same.

use std::process::{Child, Stdio};

use mongodb::bson::doc;

use crate::support::mongodb::{Mongo, Server, file};
use crate::support::{Said, until};

const THREE: &str = r#"[{ "type": "create_collection", "collection": "made" },
    { "type": "create_index", "collection": "made", "index": [["a", 1]], "options": { "name": "mine" } },
    { "type": "create_index", "collection": "made", "index": [["b", -1]] }]"#;

/// The same with a change of documents between, which no transaction with the collection can hold.
const APART: &str = r#"[{ "type": "create_collection", "collection": "made" },
    { "type": "add_field", "collection": "made", "field": "a", "value": 1 },
    { "type": "create_index", "collection": "made", "index": [["a", 1]], "options": { "name": "mine" } },
    { "type": "create_index", "collection": "made", "index": [["b", -1]] }]"#;

/// Does something while the run stands behind its first commit.
fn between(mongo: &Mongo, act: impl FnOnce()) -> Said {
    let marker = mongo.dir.path().join("marker");
    let run: Child = mongo
        .command_line(&["apply", "--yes", "--format", "json"])
        .env("GODWIT_FAILPOINT", format!("commit_acked:wait:1:{}", marker.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the collection is there", || marker.exists());
    act();
    std::fs::remove_file(&marker).unwrap();
    run.wait_with_output().unwrap().into()
}

#[test]
fn r4_a_run_that_is_overtaken_between_a_collection_and_its_index_makes_no_index() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, APART, None)]);
    let raise = doc! { "update": "godwit_fence", "updates": [{ "q": {}, "u": { "$inc": { "epoch": 1_i64 } } }] };
    let said = between(&mongo, || drop(mongo.command(raise)));
    let json = said.expect(3).json();
    assert_eq!(json["blocked_by"][0]["reason"], "fenced", "{json:#}");
    assert_eq!(mongo.index_names("made"), ["_id_"]);
}

/// Kills a run of the operations at the n-th of each of these points, resumes it, and takes it back.
fn killed_everywhere(operations: &str, points: &[(&str, u32)]) {
    let whole = Mongo::fresh(Server::ReplicaSet, &[file(1, operations, None)]);
    whole.run(&["apply", "--yes"]).expect(0);
    let wanted = whole.state();
    for (point, times) in points {
        for nth in 1..=*times {
            let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, operations, None)]);
            let before = mongo.state();
            let killed = mongo.run_killed_at(&format!("{point}:kill:{nth}"), &["apply", "--yes"]);
            assert_eq!(killed.code, None, "{point} {nth}: {killed:?}");
            mongo.run(&["resume"]).expect(0);
            assert_eq!(mongo.state(), wanted, "{point} {nth}");
            assert_eq!(mongo.history(), ["001_m1 applied"], "{point} {nth}");
            mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
            let mut after = mongo.state();
            assert_eq!(after.remove(0), "001_m1 rolled_back", "{point} {nth}");
            assert_eq!(after, before, "{point} {nth}");
        }
    }
}

#[test]
fn r1_a_collection_and_its_indexes_are_made_once_and_taken_back_wherever_the_run_was_killed() {
    killed_everywhere(APART, &[("stmt_sent", 2), ("stmt_acked", 2), ("commit_sent", 2), ("commit_acked", 2)]);
}

#[test]
fn r1_a_collection_and_what_follows_it_are_one_wherever_the_run_was_killed() {
    killed_everywhere(THREE, &[("stmt_sent", 3), ("stmt_acked", 3), ("commit_sent", 1), ("commit_acked", 1)]);
}

#[test]
fn a_run_that_ends_within_the_transaction_leaves_nothing_and_behind_it_everything() {
    let cases: [(&str, &[&str], &[&str]); 2] =
        [("stmt_acked:kill:3", &[], &[]), ("commit_acked:kill", &["_id_", "b_-1", "mine"], &["001_m1 applied"])];
    for (point, index_names, history) in cases {
        let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
        assert_eq!(mongo.run_killed_at(point, &["apply", "--yes"]).code, None, "{point}");
        assert_eq!((mongo.index_names("made"), mongo.history()), (owned(index_names), owned(history)), "{point}");
        mongo.run(&["resume"]).expect(0);
        assert_eq!(mongo.index_names("made"), ["_id_", "b_-1", "mine"], "{point}");
        assert_eq!(mongo.history(), ["001_m1 applied"], "{point}");
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

#[test]
fn r4_a_run_that_is_overtaken_within_the_transaction_makes_nothing_of_it() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
    let marker = mongo.dir.path().join("marker");
    let run: Child = mongo
        .command_line(&["apply", "--yes", "--format", "json"])
        .env("GODWIT_FAILPOINT", format!("intent_post:wait:1:{}", marker.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("its fence is raised", || marker.exists());
    mongo.command(doc! { "update": "godwit_fence", "updates": [{ "q": {}, "u": { "$inc": { "epoch": 1_i64 } } }] });
    std::fs::remove_file(&marker).unwrap();
    let json = Said::from(run.wait_with_output().unwrap()).expect(3).json();
    assert_eq!(json["blocked_by"][0]["reason"], "fenced", "{json:#}");
    assert_eq!((mongo.collections(), mongo.history()), (Vec::new(), Vec::new()));
}

#[test]
fn what_the_server_refuses_of_it_is_told_with_its_line_and_all_is_taken_back() {
    let operations = r#"[{ "type": "create_collection", "collection": "made" },
    { "type": "create_index", "collection": "made", "index": [["a", 1]] },
    { "type": "create_index", "collection": "made", "index": [["b", 1]], "options": { "expireAfterSeconds": -1 } }]"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, operations, None)]);
    let json = mongo.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &json["steps"][0]["error"];
    assert_eq!((&error["undone"], &error["line"]), (&true.into(), &6.into()), "{json:#}");
    assert!(error["message"].as_str().unwrap().contains("expireAfterSeconds"), "{json:#}");
    assert_eq!(mongo.history(), ["001_m1 failed"]);
    assert_eq!(mongo.collections(), Vec::<String>::new());
}

#[test]
fn more_than_one_transaction_should_hold_are_several() {
    let mut operations = vec![r#"{ "type": "create_collection", "collection": "made" }"#.to_owned()];
    operations.extend(
        (0..40).map(|n| format!(r#"{{ "type": "create_index", "collection": "made", "index": [["f{n}", 1]] }}"#)),
    );
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, &format!("[{}]", operations.join(",\n")), None)]);
    mongo.run(&["apply", "--yes"]).expect(0);
    assert_eq!(mongo.index_names("made").len(), 41);
    mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!(mongo.collections(), Vec::<String>::new());
}

#[test]
fn an_index_whose_place_another_took_meanwhile_fails_and_all_is_taken_back() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, APART, None)]);
    let other = doc! { "createIndexes": "made", "indexes": [{ "key": { "a": 1 }, "name": "theirs" }] };
    let json = between(&mongo, || drop(mongo.command(other))).expect(1).json();
    let error = &json["steps"][0]["error"];
    assert_eq!((&error["code"], &error["undone"], &error["line"]), (&"85".into(), &true.into(), &6.into()), "{json:#}");
    assert_eq!(mongo.history(), ["001_m1 failed"]);
}
