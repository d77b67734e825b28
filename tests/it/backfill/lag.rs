//! A replica that falls behind holds a backfill up [S4-90]: a real one, that takes nothing in for a while.

use std::io::{BufRead as _, BufReader};

use mongodb::bson::{Bson, Document, doc};

use super::load::{COUNT, Heard, admin, all_keys, held_at};
use super::{once, project_on, touched};
use crate::support::mongodb::{Mongo, file};
use crate::support::redis::RedisProject;
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Said, until};

/// The same database on another server.
pub fn on(database: &Database, server: &str) -> impl Fn(&str) -> String {
    let url = format!("{}/{}", server.rsplit_once('/').unwrap().0, database.name());
    move |sql: &str| {
        let (url, sql) = (url.clone(), sql.to_owned());
        crate::support::apart(|| {
            crate::support::wait(async {
                use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
                let Ok(mut connection) = sqlx::PgConnection::connect(&url).await else { return String::new() };
                let found = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await;
                found.map_or_else(|_| String::new(), |row| row.try_get_unchecked(0).unwrap_or_default())
            })
        })
    }
}

#[test]
fn s4_90_a_backfill_waits_while_a_replica_is_too_far_behind_and_goes_on_when_it_has_caught_up() {
    let server = OwnServer::up("postgres");
    let replica = server.also("postgres_replica");
    let project = project_on(Database::alone_on(Kind::Postgres, &server.url));
    project.run(&["apply", "--yes", "--to", "1_items"]).expect(0);
    let replica = on(&project.database, &replica);
    until("the replica has the table", || replica("select count(*)::text from items") == super::ROWS.to_string());
    replica("select pg_wal_replay_pause()::text");
    until("its replay is paused", || replica("select pg_get_wal_replay_pause_state()") == "paused");
    project.database.query("create table noise (n integer)");
    until("the server sees that it is behind", || {
        project.database.query("insert into noise values (1)");
        project.database.one("select (max(replay_lag) > interval '2 seconds')::text from pg_stat_replication") == "true"
    });

    let mut run = project.spawn(&["apply", "--yes", "--max-lag", "1", "-v"]);
    let mut words = BufReader::new(run.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let waits = words.find(|line| line.contains("waiting")).expect("it says why it waits");
    assert!(waits.contains("a replica is") && waits.contains("behind"), "{waits}");
    assert_eq!(touched(&project), [["0".to_owned(), super::ROWS.to_string()]], "no batch was begun");
    replica("select pg_wal_replay_resume()::text");
    let rest: Vec<String> = words.collect();
    let said: Said = run.wait_with_output().unwrap().into();
    assert_eq!(said.code, Some(0), "{said:?} {rest:?}");
    assert_eq!(touched(&project), once());
}

/// A change of two thousand documents in batches of a hundred.
fn two_thousand(server: &OwnServer) -> Mongo {
    let text = r#"[{ "type": "update_documents", "collection": "many", "filter": {}, "update": { "$inc": { "n": 1 } }, "batch_size": 100 }]"#;
    let mongo = Mongo::at(&server.url, &[file(1, text, Some("[]"))]);
    mongo.insert("many", (0..2_000).map(|n| doc! { "_id": n, "n": 0 }).collect());
    mongo
}

/// Whether a member of a set takes in what the primary writes.
fn takes_in(replica: &str, yes: bool) {
    // A lock of the whole server would hold up what asks it, too.
    let mode = if yes { "off" } else { "alwaysOn" };
    admin(replica, doc! { "configureFailPoint": "rsSyncApplyStop", "mode": mode });
}

/// Milliseconds by which the member is behind, as the primary sees it.
fn behind(server: &OwnServer) -> i64 {
    let status = admin(&server.url, doc! { "replSetGetStatus": 1 });
    let members = status.get_array("members").unwrap().iter().filter_map(Bson::as_document);
    let at: Vec<i64> = members.map(|m| m.get_datetime("optimeDate").unwrap().timestamp_millis()).collect();
    at[0] - at[1]
}

/// Writes that a majority need not have.
fn noise(mongo: &Mongo) {
    mongo.command(doc! { "insert": "noise", "documents": [{ "n": 1 }], "writeConcern": { "w": 1 } });
}

fn each_once(mongo: &Mongo) {
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 2_000);
    assert_eq!(mongo.history(), ["001_m1 applied"]);
}

#[test]
fn s4_90_a_change_of_documents_waits_for_a_member_of_the_set_that_is_too_far_behind() {
    let server = OwnServer::up("mongodb");
    let replica = server.also("mongodb_replica");
    let mongo = two_thousand(&server);
    let falls_behind = || {
        takes_in(&replica, false);
        until("the primary sees that it is behind", || {
            noise(&mongo);
            behind(&server) > 2_000
        });
    };
    falls_behind();
    let (point, file) = held_at("commit_acked", mongo.dir.path());
    let mut command = mongo.command_line(&["apply", "--yes", "--max-lag", "1", "--pause", "0.3", "-v"]);
    command.env("GODWIT_FAILPOINT", point);
    let mut run = Heard::of(command);
    let waits = run.until("waiting");
    assert!(waits.contains("001_m1: waiting: a replica is") && waits.contains("behind"), "{waits}");
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 0, "nothing was begun");
    takes_in(&replica, true);
    run.until("goes on");
    until("the first batch is done", || file.exists());
    falls_behind();
    std::fs::remove_file(file).unwrap();
    run.until("of 2000 documents, waiting: a replica is");
    let done = mongo.count("many", doc! { "n": 1 });
    assert!((100..2_000).contains(&done), "{done} are done");
    takes_in(&replica, true);
    run.ends_well();
    each_once(&mongo);
    let there = doc! { "find": "many", "filter": { "n": 1 }, "batchSize": 3_000 };
    let found = || {
        let name = mongo.url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
        let reply: Document = crate::support::wait(async {
            let client = mongodb::Client::with_uri_str(&replica).await.unwrap();
            client.database(&name).run_command(there.clone()).await.unwrap()
        });
        reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len()
    };
    until("the member has them, too", || found() == 2_000);
}

/// Longer than a test may take. A majority confirms each renewal of the target's lock, too: with the usual lease a run that
/// is held up for half a minute without one has lost its lock, which is another story.
const LEASE: &str = "3600";

/// With a vote of its own the second member is one that a majority needs.
fn needed_for_a_majority(server: &OwnServer) {
    let mut config = admin(&server.url, doc! { "replSetGetConfig": 1 }).get_document("config").unwrap().clone();
    let version = config.get_i32("version").unwrap();
    config.insert("version", version + 1);
    let members = config.get_array_mut("members").unwrap();
    members[1].as_document_mut().unwrap().insert("votes", 1);
    admin(&server.url, doc! { "replSetReconfig": config });
}

#[test]
fn a_change_that_no_majority_confirms_is_told_of() {
    let server = OwnServer::up("mongodb");
    let replica = server.also("mongodb_replica");
    let mongo = two_thousand(&server);
    needed_for_a_majority(&server);
    let (point, file) = held_at("commit_acked", mongo.dir.path());
    let mut command = mongo.command_line(&["apply", "--yes", "--lease", LEASE, "--pause", "0.3", "-v"]);
    command.env("GODWIT_FAILPOINT", point);
    let mut run = Heard::of(command);
    until("the first batch is done", || file.exists());
    takes_in(&replica, false);
    until("the primary sees that it is behind", || {
        noise(&mongo);
        behind(&server) > 2_000
    });
    std::fs::remove_file(file).unwrap();
    let waits = run.until("waiting");
    assert!(waits.contains("001_m1: waiting: a majority of the replica set has not confirmed"), "{waits}");
    takes_in(&replica, true);
    run.ends_well();
    each_once(&mongo);
}

#[test]
fn s4_90_a_mongodb_that_holds_writes_up_for_its_majority_is_waited_for() {
    let server = OwnServer::up("mongodb");
    let replica = server.also("mongodb_replica");
    let mongo = two_thousand(&server);
    needed_for_a_majority(&server);
    admin(&server.url, doc! { "setParameter": 1, "flowControlTargetLagSeconds": 1 });
    let (point, file) = held_at("commit_acked", mongo.dir.path());
    let args = ["apply", "--yes", "--lease", LEASE, "--max-load", "90", "--pause", "0.3", "-v"];
    let mut command = mongo.command_line(&args);
    command.env("GODWIT_FAILPOINT", point);
    let mut run = Heard::of(command);
    until("the first batch is done", || file.exists());
    takes_in(&replica, false);
    // A member that is merely slow for a moment holds nothing up for long.
    until("flow control is at work", || {
        noise(&mongo);
        let status = admin(&server.url, doc! { "serverStatus": 1 });
        behind(&server) > 2_000 && status.get_document("flowControl").unwrap().get_bool("isLagged").unwrap()
    });
    std::fs::remove_file(file).unwrap();
    run.until("the server holds writes up until a majority of its set has caught up");
    takes_in(&replica, true);
    run.ends_well();
    each_once(&mongo);
}

#[test]
fn s4_90_a_walk_over_keys_waits_for_a_replica_that_is_too_far_behind() {
    let server = OwnServer::up("redis");
    server.also("redis_replica");
    let project = RedisProject::at(&server.url, false, &[("001_all.json", &all_keys()), ("001_all.lua", COUNT)]);
    project.pour((0..2_000).map(|n| vec!["HSET".into(), project.key(&n.to_string()), "v".into(), "x".into()]));
    let lag = || {
        let info: String = project.ask(&["INFO", "replication"]);
        let replica = info.lines().find(|l| l.starts_with("slave0:")).unwrap().to_owned();
        replica.split(',').find_map(|p| p.strip_prefix("lag=")).unwrap().trim().parse::<u64>().unwrap()
    };
    let frozen = server.freeze("redis_replica");
    until("the server has not heard of it for a while", || lag() > 2);
    let (point, file) = held_at("stmt_acked", project.dir.path());
    let mut command = project.command(&["apply", "--yes", "--max-lag", "2", "--pause", "0.3", "-v"]);
    command.env("GODWIT_FAILPOINT", point);
    let mut run = Heard::of(command);
    let waits = run.until("waiting");
    assert!(waits.contains("a replica is") && waits.contains("behind"), "{waits}");
    assert_eq!(project.counts_of("n", &["0", "1"]), Vec::<i64>::new(), "no key was touched");
    drop(frozen);
    run.until("goes on");
    until("the first batch is done", || file.exists());
    let frozen = server.freeze("redis_replica");
    until("the server has not heard of it for a while", || lag() > 2);
    std::fs::remove_file(file).unwrap();
    let waits = run.until("waiting");
    assert!(waits.contains("statement 1:") && waits.contains("a replica is"), "{waits}");
    assert!(project.counts("n").get(&None).is_some_and(|untouched| *untouched > 0), "not all keys are done");
    drop(frozen);
    run.ends_well();
    assert_eq!(project.counts("n").into_iter().collect::<Vec<_>>(), [(Some(1), 2_000)]);
}
