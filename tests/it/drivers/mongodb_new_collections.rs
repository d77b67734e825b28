//! A collection and its indexes in one migration: what the indexes leave is written with the collection, and the fence holds
//! between them all the same.

use std::process::{Child, Stdio};

use mongodb::bson::doc;

use crate::support::mongodb::{Mongo, Server, file};
use crate::support::{Said, until};

const THREE: &str = r#"[{ "type": "create_collection", "collection": "made" },
    { "type": "create_index", "collection": "made", "index": [["a", 1]], "options": { "name": "mine" } },
    { "type": "create_index", "collection": "made", "index": [["b", -1]] }]"#;

/// Does something while the run stands between its first operation and its second.
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
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
    let raise = doc! { "update": "godwit_fence", "updates": [{ "q": {}, "u": { "$inc": { "epoch": 1_i64 } } }] };
    let said = between(&mongo, || drop(mongo.command(raise)));
    let json = said.expect(3).json();
    assert_eq!(json["blocked_by"][0]["reason"], "fenced", "{json:#}");
    assert_eq!(mongo.index_names("made"), ["_id_"]);
}

#[test]
fn r1_a_collection_and_its_indexes_are_made_once_and_taken_back_wherever_the_run_was_killed() {
    let whole = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
    whole.run(&["apply", "--yes"]).expect(0);
    let wanted = whole.state();
    for point in ["stmt_sent", "stmt_acked", "commit_sent", "commit_acked"] {
        for nth in 1..=2 {
            let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
            let before = mongo.state();
            mongo.run_killed_at(&format!("{point}:kill:{nth}"), &["apply", "--yes"]);
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
fn an_index_whose_place_another_took_meanwhile_fails_and_all_is_taken_back() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, THREE, None)]);
    let other = doc! { "createIndexes": "made", "indexes": [{ "key": { "a": 1 }, "name": "theirs" }] };
    let json = between(&mongo, || drop(mongo.command(other))).expect(1).json();
    let error = &json["steps"][0]["error"];
    assert_eq!((&error["code"], &error["undone"], &error["line"]), (&"85".into(), &true.into(), &5.into()), "{json:#}");
    assert_eq!(mongo.history(), ["001_m1 failed"]);
}
