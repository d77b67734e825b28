//! MongoDB: each operation forward and back, killed at every point, fenced, locked, and what the server says.

use std::process::Stdio;
use std::time::Duration;

use godwit::drivers::failpoint::NAMES;
use godwit::drivers::mongodb::MongodbDriver;
use godwit::drivers::{Driver as _, DriverError, Session as _, SessionOptions, SingleStatement};
use godwit::ids::{Checksum, Epoch, MigrationId, RunId, TargetName};
use godwit::migration::execution::Nature;
use godwit::plan::{HistoryRow, MigrationState, StepAction};
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use secrecy::SecretString;

use crate::support::mongodb::{Mongo, Server, file};
use crate::support::servers::OwnServer;
use crate::support::{until, wait};

const BOTH: [Server; 2] = [Server::ReplicaSet, Server::Standalone];

fn people() -> Vec<Document> {
    (0..25).map(|n| doc! { "_id": n, "name": format!("p{n}"), "tel": n }).collect()
}

/// What an operation must leave, and what its undo.
fn forward_and_back(operations: &str, prepare: &[Document], check: impl Fn(&Mongo)) {
    for server in BOTH {
        let mongo = Mongo::fresh(server, &[file(1, operations, None)]);
        mongo.insert("people", people());
        prepare.iter().for_each(|c| drop(mongo.command(c.clone())));
        let before = mongo.state();
        mongo.run(&["apply", "--yes"]).expect(0);
        assert_eq!(mongo.history(), ["001_m1 applied"]);
        check(&mongo);
        mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        let mut after = mongo.state();
        assert_eq!(after.remove(0), "001_m1 rolled_back");
        assert_eq!(after, before, "{server:?} {operations}");
        assert_eq!(mongo.count("godwit_undo", doc! {}), 0);
    }
}

#[test]
fn s4_15_a_collection_is_made_and_dropped_again() {
    let text = r#"[{ "type": "create_collection", "collection": "logs", "options": { "capped": true, "size": 1000 } },
        { "type": "create_collection", "collection": "grown_ups", "options": { "viewOn": "people", "pipeline": [{ "$match": { "tel": { "$gt": 18 } } }] } },
        { "type": "create_collection", "collection": "measured", "options": { "timeseries": { "timeField": "at" } } }]"#;
    forward_and_back(text, &[], |mongo| {
        assert!(mongo.options("logs").get_bool("capped").unwrap());
        assert_eq!(mongo.count("grown_ups", doc! {}), 6);
        assert!(mongo.collections().contains(&"measured".to_owned()));
    });
}

#[test]
fn s4_15_an_equal_collection_stays_and_is_not_dropped_by_the_rollback() {
    let text = r#"[{ "type": "create_collection", "collection": "logs", "options": { "capped": true, "size": 1000, "validator": { "a": { "$exists": true } } } }]"#;
    let there = doc! { "create": "logs", "capped": true, "size": 1024, "validator": { "a": { "$exists": true } } };
    forward_and_back(text, &[there], |_| {});
}

#[test]
fn s4_16_indexes_of_every_kind_are_built_and_dropped_again() {
    let text = r#"[
        { "type": "create_index", "collection": "people", "index": [["name", 1], ["tel", -1]], "options": { "unique": true } },
        { "type": "create_index", "collection": "people", "index": [["title", "text"], ["body", "text"]], "options": { "name": "words", "weights": { "title": 5 } } },
        { "type": "create_index", "collection": "people", "index": [["at", "2dsphere"]] },
        { "type": "create_index", "collection": "people", "index": [["name", "hashed"]] },
        { "type": "create_index", "collection": "people", "index": [["$**", 1]], "options": { "name": "all" } },
        { "type": "create_index", "collection": "people", "index": [["old", 1]], "options": { "expireAfterSeconds": 60, "sparse": true } },
        { "type": "create_index", "collection": "people", "index": [["tel", 1]], "options": { "partialFilterExpression": { "tel": { "$gt": 3 } }, "collation": { "locale": "de" } } }
    ]"#;
    forward_and_back(text, &[], |mongo| {
        let names = mongo.index_names("people");
        assert_eq!(names, ["_id_", "all", "at_2dsphere", "name_1_tel_-1", "name_hashed", "old_1", "tel_1", "words"]);
        // Again, as after a lost store: each probe says that it is there.
        let again = mongo.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(again["outcome"], "nothing");
    });
}

#[test]
fn s4_16_an_equal_index_stays_and_is_not_dropped_by_the_rollback() {
    let text = r#"[{ "type": "create_index", "collection": "people", "index": [["name", 1]], "options": { "unique": true } }]"#;
    let there =
        doc! { "createIndexes": "people", "indexes": [{ "key": { "name": 1 }, "name": "name_1", "unique": true }] };
    forward_and_back(text, &[there], |_| {});
}

#[test]
fn s4_17_a_dropped_index_comes_back_as_it_was() {
    let text = r#"[{ "type": "drop_index", "collection": "people", "name": "words" }, { "type": "drop_index", "collection": "people", "name": "part" }]"#;
    let there = doc! { "createIndexes": "people", "indexes": [
        { "key": { "title": "text" }, "name": "words", "default_language": "german" },
        { "key": { "tel": 1 }, "name": "part", "partialFilterExpression": { "tel": { "$gt": 3 } }, "collation": { "locale": "de", "strength": 2 } },
    ] };
    forward_and_back(text, &[there], |mongo| assert_eq!(mongo.index_names("people"), ["_id_"]));
}

#[test]
fn s4_18_a_field_is_added_where_it_is_absent_and_taken_from_those_again() {
    let text = r#"[{ "type": "add_field", "collection": "people", "field": "since", "value": { "$date": "2026-01-31T00:00:00Z" }, "filter": { "tel": { "$gte": 5 } }, "batch_size": 7 }]"#;
    let there = doc! { "update": "people", "updates": [{ "q": { "_id": 6 }, "u": { "$set": { "since": 1 } } }] };
    forward_and_back(text, &[there], |mongo| {
        let date = DateTime::parse_rfc3339_str("2026-01-31T00:00:00Z").unwrap();
        assert_eq!(mongo.count("people", doc! { "since": date }), 19);
        assert_eq!(mongo.count("people", doc! { "_id": 6, "since": 1 }), 1);
    });
}

#[test]
fn s4_20_a_field_is_renamed_and_renamed_back() {
    let text =
        r#"[{ "type": "rename_field", "collection": "people", "from": "tel", "to": "phone", "batch_size": 10 }]"#;
    // The field is the last one, so that its way back to the end changes nothing.
    forward_and_back(text, &[], |mongo| {
        assert_eq!(mongo.count("people", doc! { "phone": { "$exists": true }, "tel": { "$exists": false } }), 25);
    });
}

#[test]
fn a_collection_is_renamed_and_renamed_back_and_a_validator_set_and_set_back() {
    let text = r#"[{ "type": "set_validator", "collection": "people", "validator": { "name": { "$type": "string" } }, "validation_level": "moderate" },
        { "type": "rename_collection", "from": "people", "to": "persons" }]"#;
    let there = doc! { "collMod": "people", "validator": { "tel": { "$exists": true } }, "validationAction": "warn" };
    forward_and_back(text, &[there], |mongo| {
        assert_eq!(mongo.collections(), ["persons"]);
        assert_eq!(mongo.options("persons").get_str("validationLevel").unwrap(), "moderate");
    });
}

#[test]
fn s4_19_s4_21_fields_are_removed_documents_updated_collections_dropped_commands_run() {
    for server in BOTH {
        let text = r#"[
            { "type": "remove_field", "collection": "people", "field": "tel", "filter": { "_id": { "$lt": 20 } }, "batch_size": 6 },
            { "type": "update_documents", "collection": "people", "filter": {}, "update": [{ "$set": { "upper": { "$toUpper": "$name" } } }], "batch_size": 6 },
            { "type": "update_documents", "collection": "people", "filter": { "name": "p3" }, "update": { "$inc": { "n": { "$numberLong": "5" } } }, "multi": false },
            { "type": "run_command", "command": { "collMod": "people", "validationAction": "warn" } },
            { "type": "drop_collection", "collection": "empty" }
        ]"#;
        let mongo = Mongo::fresh(server, &[file(1, text, Some("[]"))]);
        mongo.insert("people", people());
        mongo.command(doc! { "create": "empty" });
        let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["steps"][0]["rows"], 20 + 25 + 1, "{said}");
        assert_eq!(mongo.count("people", doc! { "tel": { "$exists": true } }), 5);
        assert_eq!(mongo.count("people", doc! { "upper": { "$regex": "^P" } }), 25);
        assert_eq!(mongo.find("people", doc! { "_id": 3 })[0].get("n"), Some(&Bson::Int64(5)));
        assert_eq!(mongo.collections(), ["people"]);
    }
}

// ---- Crashes -------------------------------------------------------------------------------------------------

/// Three migrations; the one in the middle is killed.
fn files(middle: &str) -> Vec<(String, String)> {
    vec![
        file(1, r#"[{ "type": "create_collection", "collection": "first" }]"#, None),
        file(2, middle, None),
        file(3, r#"[{ "type": "create_collection", "collection": "last" }]"#, None),
    ]
}

fn killed_everywhere(middle: &str, server: Server) {
    let start = || {
        let mongo = Mongo::fresh(server, &files(middle));
        mongo.insert("people", people());
        mongo
    };
    let whole = start();
    whole.run(&["apply", "--yes"]).expect(0);
    let wanted = whole.state();
    assert_eq!(wanted[..3], ["001_m1 applied", "002_m2 applied", "003_m3 applied"]);
    let taken_back = |mongo: &Mongo| {
        mongo.run(&["rollback", "--steps", "2", "--yes"]).expect(0);
        mongo.state()
    };
    let back = taken_back(&whole);
    for name in NAMES {
        let nth = if name.starts_with("stmt") || name.starts_with("commit") { 2 } else { 1 };
        let mongo = start();
        let killed = mongo.run_killed_at(&format!("{name}:kill:{nth}"), &["apply", "--yes"]);
        assert_eq!(killed.code, None, "{name} was not come to: {killed:?}");
        mongo.run(&["resume"]).expect(0);
        assert_eq!(mongo.state(), wanted, "{server:?} {name} {middle}");
        let again = mongo.run(&["apply", "--yes", "--format", "json"]).expect(0);
        assert_eq!(again.json()["outcome"], "nothing", "{name}");
        // What the killed run recorded serves the undo.
        assert_eq!(taken_back(&mongo), back, "{server:?} {name} {middle}");
    }
}

#[test]
fn r1_killed_at_any_point_of_a_transaction_then_resumed_is_as_if_never_killed() {
    killed_everywhere(
        r#"[{ "type": "create_collection", "collection": "made", "options": { "validator": { "a": 1 } } }]"#,
        Server::ReplicaSet,
    );
}

#[test]
fn r1_killed_at_any_point_of_an_index_build_then_resumed_is_as_if_never_killed() {
    killed_everywhere(
        r#"[{ "type": "create_index", "collection": "people", "index": [["name", 1]] }]"#,
        Server::ReplicaSet,
    );
}

#[test]
fn r1_killed_at_any_point_of_a_batch_then_resumed_is_as_if_never_killed() {
    killed_everywhere(
        r#"[{ "type": "add_field", "collection": "people", "field": "z", "value": 1, "batch_size": 10 }]"#,
        Server::ReplicaSet,
    );
}

#[test]
fn r1_the_same_without_transactions() {
    killed_everywhere(
        r#"[{ "type": "add_field", "collection": "people", "field": "z", "value": 1, "batch_size": 10 }]"#,
        Server::Standalone,
    );
    killed_everywhere(r#"[{ "type": "create_collection", "collection": "made" }]"#, Server::Standalone);
}

#[test]
fn r1_a_killed_update_counts_each_of_fifty_thousand_documents_once() {
    let text = r#"[{ "type": "update_documents", "collection": "many", "filter": {}, "update": { "$inc": { "n": 1 } }, "batch_size": 1000 }]"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, text, Some("[]"))]);
    // Ids of every type that the server orders.
    let mut documents = vec![
        doc! { "_id": Bson::MinKey },
        doc! { "_id": Bson::Null },
        doc! { "_id": { "a": 1, "b": 2 } },
        doc! { "_id": { "a": 1 } },
        doc! { "_id": true },
        doc! { "_id": DateTime::from_millis(5) },
        doc! { "_id": Bson::Timestamp(bson::Timestamp { time: 1, increment: 1 }) },
        doc! { "_id": bson::Uuid::new() },
        doc! { "_id": f64::NAN },
        doc! { "_id": Bson::MaxKey },
    ];
    documents.extend((0..20_000).map(|n| doc! { "_id": n }));
    documents.extend((0..15_000).map(|n| doc! { "_id": format!("s{n}") }));
    documents.extend((0..14_990).map(|_| doc! { "_id": ObjectId::new() }));
    mongo.insert("many", documents);
    for (name, nth) in [("stmt_sent", 3), ("commit_sent", 10), ("stmt_acked", 12), ("commit_acked", 8)] {
        let killed = mongo.run_killed_at(&format!("{name}:kill:{nth}"), &["resume"]);
        assert_eq!(killed.code, None, "{name}: {killed:?}");
    }
    let said = mongo.run(&["resume", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 50_000, "{said}");
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 50_000);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
}

#[test]
fn r12_a_server_that_crashes_during_the_update_is_waited_for_and_nothing_is_counted_twice() {
    let text = r#"[{ "type": "update_documents", "collection": "many", "filter": {}, "update": { "$inc": { "n": 1 } }, "batch_size": 50 }]"#;
    let server = OwnServer::up("mongodb");
    let mongo = Mongo::at(&server.url, &[file(1, text, Some("[]"))]);
    mongo.insert("many", (0..20_000).map(|n| doc! { "_id": n }).collect());
    let mut command = mongo.command_line(&["apply", "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it is under way", || mongo.count("godwit_history", doc! { "progress.done": { "$gt": 0 } }) == 1);
    server.kill();
    server.start();
    crate::support::Said::from(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 20_000);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
}

#[test]
fn r18_an_update_in_doubt_without_transactions_waits_for_a_person() {
    let text =
        r#"[{ "type": "update_documents", "collection": "people", "filter": {}, "update": { "$inc": { "n": 1 } } }]"#;
    let mongo = Mongo::fresh(Server::Standalone, &[file(1, text, Some("[]"))]);
    mongo.insert("people", people());
    let plan = mongo.run(&["plan", "--format", "json"]).expect(0).json();
    assert_eq!(plan["steps"][0]["recovery"], "manual", "{plan}");
    assert!(plan["notes"][0].as_str().unwrap().contains("no transactions"), "R-21: the weaker class is told: {plan}");
    assert_eq!(mongo.run_killed_at("stmt_acked:kill", &["apply", "--yes"]).code, None);
    mongo.run(&["resume"]).expect(4);
    assert_eq!(mongo.count("people", doc! { "n": 1 }), 25);
    assert_eq!(mongo.history(), ["001_m1 needs_human"]);
}

#[test]
fn r5_a_killed_runs_index_build_is_waited_for_and_made_once() {
    let text = r#"[{ "type": "create_index", "collection": "many", "index": [["a", 1], ["b", 1], ["c", 1]], "options": { "name": "abc" } }]"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, text, None)]);
    let some = |n: i32| doc! { "_id": n, "a": format!("{}", n % 977), "b": format!("{}", n % 13), "c": "x".repeat(30) };
    mongo.insert("many", (0..150_000).map(some).collect());
    assert_eq!(mongo.run_killed_at("stmt_sent:kill", &["apply", "--yes"]).code, None);
    mongo.run(&["resume"]).expect(0);
    assert_eq!(mongo.index_names("many"), ["_id_", "abc"]);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
    mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    assert_eq!(mongo.index_names("many"), ["_id_"], "it was this migration that made it");
}

// ---- Fence and lock ------------------------------------------------------------------------------------------

fn options() -> SessionOptions {
    let mut options = SessionOptions::new(RunId::generate(), "tester", &TargetName::new("shop").unwrap());
    options.lock_wait = Duration::from_millis(300);
    options
}

fn row(run: &RunId, state: MigrationState, epoch: Epoch) -> HistoryRow {
    let now = chrono::Utc::now();
    HistoryRow {
        unit: "$u'n\\it".to_owned(),
        id: MigrationId::new("001_m1").unwrap(),
        version: "$1.0.0".to_owned(),
        checksum: Checksum::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
        state,
        action: StepAction::Apply,
        epoch,
        run: run.clone(),
        started_at: now,
        finished_at: (state != MigrationState::Running).then_some(now),
        duration_ms: 0,
        by: "$o'brien".to_owned(),
        pr: Some(godwit::ids::PrNumber(17)),
        commit: godwit::ids::CommitSha::new("0123456789abcdef0123456789abcdef01234567").ok(),
        statements_done: 0,
        error: (state == MigrationState::Failed).then(|| "$set went wrong".to_owned()),
    }
}

#[test]
fn r4_a_run_that_was_taken_over_changes_nothing_more() {
    for server in BOTH {
        let mongo = Mongo::fresh(server, &[]);
        mongo.insert("people", people());
        let url = SecretString::from(mongo.url.clone());
        let texts = [
            r#"{ "type": "create_collection", "collection": "made" }"#,
            r#"{ "type": "create_index", "collection": "people", "index": [["name", 1]] }"#,
            r#"{ "type": "add_field", "collection": "people", "field": "z", "value": 1 }"#,
            r#"{ "type": "update_documents", "collection": "people", "filter": {}, "update": { "$inc": { "z": 1 } }, "multi": false }"#,
            r#"{ "type": "drop_collection", "collection": "people" }"#,
        ];
        let before = wait(async {
            let options = options();
            let mut session = MongodbDriver::connect(&url).await.unwrap().lock(&options).await.unwrap();
            let epoch = session.fence(Epoch(41)).await.unwrap();
            assert_eq!(epoch, Epoch(42));
            assert_eq!(session.fence(Epoch(0)).await.unwrap(), Epoch(43));
            let done = row(&options.run, MigrationState::Failed, epoch);
            session.write_row(&done).await.unwrap();
            let read = session.history().await.unwrap();
            assert_eq!((&read[0].unit, &read[0].by, &read[0].error), (&done.unit, &done.by, &done.error));
            assert_eq!((read[0].pr, &read[0].commit, read[0].epoch), (done.pr, &done.commit, epoch));
            let mongo = &mongo;
            let raised = std::thread::scope(|s| {
                s.spawn(|| {
                    mongo.command(doc! { "update": "godwit_fence", "updates": [{ "q": {}, "u": { "$inc": { "epoch": 1_i64 } } }] });
                    mongo.state()
                })
                .join()
                .unwrap()
            });
            for text in texts {
                let single = SingleStatement {
                    backfill: None,
                    text,
                    range: 0..text.len(),
                    line: 1,
                    checks: &[],
                    nature: Nature::Verifiable,
                    unit: &done.unit,
                    id: &done.id,
                    done: 1,
                };
                let refused = session.run_statement(&single).await;
                assert!(matches!(refused, Err(DriverError::Fenced)), "{server:?} {text}: {refused:?}");
                assert!(matches!(session.mark(&single).await, Err(DriverError::Fenced)));
            }
            let late = session.write_row(&row(&options.run, MigrationState::Applied, epoch)).await;
            assert!(matches!(late, Err(DriverError::Fenced)));
            session.unlock().await.unwrap();
            raised
        });
        assert_eq!(mongo.state(), before);
    }
}

#[test]
fn r9_the_lock_ends_with_its_lease_and_is_never_taken_from_another() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &[]);
    let url = SecretString::from(mongo.url.clone());
    wait(async {
        let mut first = options();
        first.lease = Duration::from_secs(2);
        let mut driver = MongodbDriver::connect(&url).await.unwrap();
        assert_eq!(driver.history().await.unwrap(), []);
        assert_eq!(driver.holder().await.unwrap(), None);
        let session = driver.lock(&first).await.unwrap();
        let mut second = MongodbDriver::connect(&url).await.unwrap();
        let holder = second.holder().await.unwrap().expect("somebody holds it");
        assert!(holder.who.contains(&format!("godwit:{}", first.run)), "{holder:?}");
        let refused = second.lock(&options()).await.expect_err("it is held");
        assert!(matches!(refused, DriverError::Locked(h) if h.who.contains(first.run.as_str())));
        // Without a word from its holder, as after a crash on another machine.
        drop(session);
        let mut patient = options();
        patient.lock_wait = Duration::from_secs(30);
        let second = MongodbDriver::connect(&url).await.unwrap().lock(&patient).await.unwrap();
        let mongo = &mongo;
        std::thread::scope(|s| {
            let steal =
                doc! { "update": "godwit_lock", "updates": [{ "q": {}, "u": { "$set": { "owner.token": "other" } } }] };
            s.spawn(move || mongo.command(steal)).join().unwrap();
        });
        assert!(matches!(second.unlock().await, Err(DriverError::History(m)) if m.contains("gone")));
    });
    assert_eq!(mongo.find("godwit_lock", doc! { "owner.token": "other" }).len(), 1, "it stays theirs");
}

#[test]
fn r6_two_runs_at_once_apply_each_migration_once() {
    let text = r#"[{ "type": "update_documents", "collection": "people", "filter": {}, "update": { "$inc": { "n": 1 } }, "batch_size": 5 }]"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, text, Some("[]"))]);
    mongo.insert("people", people());
    // Each with a store of its own, as on two machines.
    let both = ["one", "two"].map(|store| {
        let mut command = mongo.command_line(&["apply", "--yes"]);
        command.env("GODWIT_DATA_DIR", mongo.dir.path().join(store));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for child in both {
        let said = crate::support::Said::from(child.wait_with_output().unwrap());
        said.expect(0);
    }
    assert_eq!(mongo.count("people", doc! { "n": 1 }), 25);
}

// ---- What the server says ------------------------------------------------------------------------------------

#[test]
fn a_document_that_breaks_the_validator_is_named_and_what_was_done_is_taken_back() {
    for server in BOTH {
        let text = "[\n    { \"type\": \"create_collection\", \"collection\": \"made\" },\n    { \"type\": \"add_field\", \"collection\": \"people\", \"field\": \"z\", \"value\": 1, \"batch_size\": 5 }\n  ]";
        let mongo = Mongo::fresh(server, &[file(1, text, None)]);
        mongo.insert("people", people());
        mongo.command(doc! { "collMod": "people", "validator": { "tel": { "$lt": 24 } } });
        let before = mongo.state();
        let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("Document failed validation") && message.contains("`_id` 24"), "{said}");
        assert_eq!(
            (&error["code"], &error["line"], &error["undone"]),
            (&"121".into(), &6.into(), &true.into()),
            "{said}"
        );
        let mut after = mongo.state();
        assert_eq!(after.remove(0), "001_m1 failed");
        assert_eq!(after, before);
        // The cause mended, it runs whole.
        mongo.command(doc! { "collMod": "people", "validator": {} });
        mongo.run(&["apply", "--yes"]).expect(0);
        assert_eq!(mongo.count("people", doc! { "z": 1 }), 25);
    }
}

#[test]
fn duplicates_are_told_before_the_run_and_in_the_servers_words_during_it() {
    let unique = r#"{ "type": "create_index", "collection": "people", "index": [["kind", 1], ["tel", 1]], "options": { "unique": true } }"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, &format!("[{unique}]"), None)]);
    mongo.insert("people", vec![doc! { "kind": "a", "tel": 1 }, doc! { "kind": "a", "tel": 1 }, doc! { "kind": "a" }]);
    let said = mongo.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("2 documents of `people` share `kind` \"a\" and `tel` 1"), "{said:?}");
    assert_eq!(mongo.history(), Vec::<String>::new());
    // Duplicates that the migration itself makes are the server's to find.
    let making =
        r#"{ "type": "update_documents", "collection": "people", "filter": {}, "update": { "$set": { "tel": 2 } } }"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, &format!("[{making}, {unique}]"), Some("[]"))]);
    mongo.insert("people", vec![doc! { "kind": "a", "tel": 1 }, doc! { "kind": "a", "tel": 2 }]);
    let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &said["steps"][0]["error"];
    assert!(error["message"].as_str().unwrap().contains("E11000 duplicate key error"), "{said}");
    assert_eq!(error["code"], "11000");
    assert_eq!(mongo.index_names("people"), ["_id_"]);
}

#[test]
fn what_is_in_the_way_is_told_before_anything_is_changed() {
    let cases = [
        (
            r#"{ "type": "create_index", "collection": "people", "index": [["name", 1]], "options": { "name": "taken" } }"#,
            "another key or other options",
        ),
        (
            r#"{ "type": "create_index", "collection": "people", "index": [["tel", 1]], "options": { "name": "mine" } }"#,
            "by the name `taken`",
        ),
        (
            r#"{ "type": "create_collection", "collection": "people", "options": { "capped": true, "size": 4096 } }"#,
            "`capped` is not set",
        ),
        (r#"{ "type": "drop_index", "collection": "people", "name": "nope" }"#, "no index `nope`"),
        (r#"{ "type": "drop_index", "collection": "people", "name": "_id_" }"#, "cannot be dropped"),
        (
            r#"{ "type": "rename_field", "collection": "people", "from": "name", "to": "tel" }"#,
            "has a field `tel` already",
        ),
        (r#"{ "type": "rename_collection", "from": "nope", "to": "x" }"#, "no collection `nope`"),
        (r#"{ "type": "drop_collection", "collection": "people" }"#, "holds 25 documents"),
        (
            r#"{ "type": "add_field", "collection": "people", "field": "at", "value": { "$date": "yesterday" } }"#,
            "$date",
        ),
    ];
    for (operation, part) in cases {
        let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, &format!("[{operation}]"), Some("[]"))]);
        mongo.insert("people", people());
        mongo.command(doc! { "createIndexes": "people", "indexes": [{ "key": { "tel": 1 }, "name": "taken" }] });
        // What a person may accept is a gate; what would fail has failed.
        let code = if part.starts_with("holds") { 3 } else { 1 };
        let said = mongo.run(&["apply", "--yes"]).expect(code);
        assert!(said.stdout.contains(part), "{part}: {said:?}");
        assert_eq!(mongo.history(), Vec::<String>::new());
    }
}

#[test]
fn s4_65_what_was_done_is_taken_back_when_only_its_record_is_refused() {
    for server in BOTH {
        let mongo =
            Mongo::fresh(server, &[file(1, r#"[{ "type": "create_collection", "collection": "first" }]"#, None)]);
        mongo.insert("people", people());
        mongo.run(&["apply", "--yes"]).expect(0);
        let before = mongo.state();
        let text = r#"[{ "type": "create_collection", "collection": "logs" },
            { "type": "add_field", "collection": "people", "field": "vip", "value": false }]"#;
        let (name, json) = file(2, text, None);
        mongo.write(&name, &json);
        let refuses =
            |validator: Document| drop(mongo.command(doc! { "collMod": "godwit_history", "validator": validator }));
        refuses(doc! { "state": { "$ne": "applied" } });
        let said = mongo.run(&["apply", "--yes"]).expect(1);
        assert!(said.stdout.contains("failed validation"), "{said:?}");
        assert!(!mongo.collections().contains(&"logs".to_owned()));
        assert_eq!(mongo.count("people", doc! { "vip": { "$exists": true } }), 0);
        assert_eq!(mongo.history(), ["001_m1 applied", "002_m2 failed"]);
        // Once it may be recorded, it is done.
        refuses(doc! {});
        mongo.run(&["apply", "--yes"]).expect(0);
        assert_eq!(mongo.count("people", doc! { "vip": false }), 25);
        mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert_eq!(mongo.state()[2..], before[1..]);
    }
}

#[test]
fn a_collection_that_holds_documents_is_not_dropped_by_a_rollback_unasked() {
    let mongo = Mongo::fresh(
        Server::ReplicaSet,
        &[file(1, r#"[{ "type": "create_collection", "collection": "made" }]"#, None)],
    );
    mongo.run(&["apply", "--yes"]).expect(0);
    mongo.insert("made", people());
    let said = mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(3);
    assert!(said.stdout.contains("holds 25 documents"), "{said:?}");
    assert_eq!(mongo.count("made", doc! {}), 25);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
}

#[test]
fn a_validator_that_documents_break_is_refused_before_anything_is_changed() {
    let made = r#"{ "type": "create_collection", "collection": "made" }"#;
    let strict = r#"{ "type": "set_validator", "collection": "people", "validator": { "tel": { "$lt": 20 } } }"#;
    let moderate = strict.replace(" } } }", r#" } }, "validation_level": "moderate" }"#);
    let mend = r#"{ "type": "update_documents", "collection": "people", "filter": { "tel": { "$gte": 20 } }, "update": { "$set": { "tel": 0 } } }"#;
    for (operations, refused) in [
        (format!("[{made}, {strict}]"), true),
        (format!("[{made}, {moderate}]"), false),
        (format!("[{made}, {mend}, {strict}]"), false),
    ] {
        let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, &operations, None)]);
        mongo.insert("people", people());
        if !refused {
            mongo.run(&["apply", "--yes"]).expect(0);
            continue;
        }
        let said = mongo.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let why = &said["blocked_by"][0];
        assert_eq!(why["reason"], "impossible", "{said}");
        assert!(why["message"].as_str().unwrap().contains("5 of the documents that `people` holds break"), "{said}");
        assert!(why["what_to_do"].as_str().unwrap().contains("`moderate`"), "{said}");
        assert_eq!(mongo.collections(), ["people"], "nothing was made");
    }
}

#[test]
fn b20_what_cannot_be_reached_is_told_without_the_password() {
    let mongo = Mongo::fresh(Server::ReplicaSet, &files("[]"));
    let at = |url: &str| {
        let mut command = crate::support::godwit(mongo.dir.path());
        command.args(["apply", "--yes", "--url", url, "--path"]).arg(mongo.dir.path().join("m"));
        crate::support::Said::from(command.output().unwrap())
    };
    let host = mongo.url.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let nowhere = at("mongodb://u:hunter2-x@127.0.0.1:1/shop?serverSelectionTimeoutMS=300").expect(5);
    let login = at(&format!("mongodb://u:hunter2-x@{host}/shop?serverSelectionTimeoutMS=3000")).expect(5);
    let tls = at(&format!("mongodb://u:hunter2-x@{host}/shop?tls=true&serverSelectionTimeoutMS=1000")).expect(5);
    for part in ["127.0.0.1:1", "Connection refused"] {
        assert!(nowhere.stderr.contains(part), "{part}: {nowhere:?}");
    }
    let space = at(&format!("mongodb://{host}/a%20shop")).expect(2);
    for said in [&nowhere, &login, &tls, &space] {
        assert!(!said.stderr.contains("labels"), "{said:?}");
    }
    assert!(login.stderr.contains("login"), "{login:?}");
    assert!(tls.stderr.contains("TLS"), "{tls:?}");
    for said in [nowhere, login, tls] {
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
        assert!(said.stderr.contains("cannot connect to MongoDB"), "{said:?}");
    }
}

#[test]
fn equal_databases_have_equal_schemas_without_godwits_own() {
    let text = r#"[{ "type": "create_collection", "collection": "made", "options": { "validator": { "b": 1, "a": { "$exists": true } } } },
        { "type": "create_index", "collection": "made", "index": [["b", 1], ["a", -1]] }]"#;
    let mongo = Mongo::fresh(Server::ReplicaSet, &[file(1, text, None)]);
    mongo.run(&["apply", "--yes"]).expect(0);
    let other = Mongo::fresh(Server::ReplicaSet, &[]);
    other.command(doc! { "create": "made", "validator": { "a": { "$exists": true }, "b": 1.0 } });
    other
        .command(doc! { "createIndexes": "made", "indexes": [{ "key": { "b": 1.0, "a": -1.0 }, "name": "b_1_a_-1" }] });
    let [ours, theirs] = [&mongo, &other].map(|m| {
        let url = SecretString::from(m.url.clone());
        wait(async { MongodbDriver::connect(&url).await.unwrap().schema().await.unwrap() })
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours.objects.keys().collect::<Vec<_>>(), ["collection made", "index made/b_1_a_-1"]);
}

#[test]
fn r4_a_fence_that_was_lost_with_the_store_rises_above_what_the_history_carries() {
    for server in BOTH {
        let text = r#"[{ "type": "create_collection", "collection": "made" }]"#;
        let files: Vec<_> = (1..=3).map(|n| file(n, &text.replace("made", &format!("made{n}")), None)).collect();
        let mongo = Mongo::fresh(server, &files);
        for to in ["001_m1", "002_m2", "003_m3"] {
            mongo.run(&["apply", "--yes", "--to", to]).expect(0);
        }
        mongo.command(doc! { "drop": "godwit_fence" });
        std::fs::remove_dir_all(mongo.dir.path().join("state")).unwrap();
        mongo.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert_eq!(mongo.history(), ["001_m1 applied", "002_m2 applied", "003_m3 rolled_back"], "{server:?}");
        mongo.run(&["apply", "--yes"]).expect(0);
    }
}
