//! R-20: a walk that is killed anywhere, on a server that may die too, touches each key once.

use std::path::Path;
use std::time::Instant;

use super::pair;
use crate::support::redis::{BOTH, RedisProject};
use crate::support::{servers::OwnServer, until};

/// Counts each key, and says how many it had.
const COUNT: &str = "for _, key in ipairs(KEYS) do redis.call('HINCRBY', key, 'n', 1) end
return #KEYS
";

fn files(count: u32) -> (String, String) {
    (pair("1.0.0", "count", &format!(r#""keys": {{"match": "PREFIX*", "count": {count}}}"#)), COUNT.to_owned())
}

fn project(cluster: bool, server: Option<&str>, keys: usize) -> RedisProject {
    let (json, lua) = files(500);
    let files = [("001_count.json", json.as_str()), ("001_count.lua", lua.as_str())];
    let project = server.map_or_else(|| RedisProject::new(cluster, &files), |s| RedisProject::at(s, cluster, &files));
    project.pour((0..keys).map(|n| vec!["HSET".into(), project.key(&n.to_string()), "v".into(), "1".into()]));
    project
}

fn seen(project: &RedisProject) -> bool {
    // Marks of one server are under the namespace; a cluster's row tells that the walk has begun.
    project.leftovers().iter().any(|k| k.contains(":walk:"))
}

/// Kills at several calls, by fail points and from outside, then lets it end.
fn killed_and_resumed(cluster: bool, keys: usize, points: &[&str]) {
    let project = project(cluster, None, keys);
    for (n, point) in points.iter().enumerate() {
        let command = if n == 0 { "apply" } else { "resume" };
        let args: &[&str] = if n == 0 { &["apply", "--yes"] } else { &["resume"] };
        let said = project.run_killed_at(point, args);
        assert_eq!(said.code, None, "{command} was not killed at {point}: {said:?}");
    }
    let mut child = project.spawn(&["resume"]);
    until("it is at work", || seen(&project) || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    project.run(&["resume"]).expect(0);
    assert_eq!(project.counts("n"), [(Some(1), keys)].into(), "each key is touched once");
    assert_eq!(project.history(), ["001_count applied"]);
    assert_eq!(project.leftovers(), Vec::<String>::new());
}

#[test]
fn r20_killed_at_any_batch_each_key_is_touched_once() {
    let points = ["stmt_sent:kill:3", "stmt_acked:kill:40", "commit_sent:kill:100", "commit_acked:kill:70"];
    killed_and_resumed(false, 200_000, &points);
}

#[test]
fn r20_killed_at_any_batch_of_a_cluster_each_key_is_touched_once() {
    killed_and_resumed(true, 20_000, &["stmt_sent:kill:7", "stmt_acked:kill:3000", "commit_sent:kill:900"]);
}

#[test]
fn r1_killed_at_each_point_a_walk_and_a_list_end_as_if_never_killed() {
    for cluster in BOTH {
        for point in godwit::drivers::failpoint::NAMES {
            let walk = pair("1.0.0", "walk", r#""keys": {"match": "PREFIX{s}w:*", "count": 500}"#);
            let list = pair("1.1.0", "list", r#""keys": ["PREFIXa{l}", "PREFIXb{l}"]"#);
            let files = [
                ("001_walk.json", walk.as_str()),
                ("001_walk.lua", COUNT),
                ("002_list.json", &list),
                ("002_list.lua", COUNT),
            ];
            for nth in [1, 2] {
                let project = RedisProject::new(cluster, &files);
                let mut keys: Vec<String> = (0..30).map(|n| project.key(&format!("{{s}}w:{n}"))).collect();
                keys.extend([project.key("a{l}"), project.key("b{l}")]);
                project.pour(keys.iter().map(|k| vec!["HSET".into(), k.clone(), "v".into(), "1".into()]));
                let single = point.starts_with("stmt") || point.starts_with("commit");
                if nth == 2 && !single {
                    continue;
                }
                let killed = project.run_killed_at(&format!("{point}:kill:{nth}"), &["apply", "--yes"]);
                assert_eq!(killed.code, None, "{point} was not come to: {killed:?}");
                project.run(&["resume"]).expect(0);
                assert_eq!(project.counts("n"), [(Some(1), 32)].into(), "cluster={cluster} {point}:{nth}");
                assert_eq!(project.history(), ["001_walk applied", "002_list applied"]);
                assert_eq!(project.leftovers(), Vec::<String>::new());
                assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn r20_a_server_that_lost_its_last_writes_gets_them_once_more_and_no_others() {
    let server = OwnServer::up("redis");
    let project = project(false, Some(&server.url), 5000);
    assert_eq!(project.run_killed_at("stmt_acked:kill:9", &["apply", "--yes"]).code, None);
    let done = project.counts("n")[&Some(1)];
    let log = server.path().join("redis/appendonlydir");
    let older = tempfile::tempdir().unwrap();
    copy(&log, older.path());
    assert_eq!(project.run_killed_at("stmt_acked:kill:7", &["resume"]).code, None);
    assert!(project.counts("n")[&Some(1)] > done);
    server.kill();
    std::fs::remove_dir_all(&log).unwrap();
    copy(older.path(), &log);
    server.start();
    assert_eq!(project.counts("n")[&Some(1)], done, "the server has forgotten the last batches");
    let said = project.run(&["resume", "--format", "json"]).expect(0);
    assert!(said.stdout.contains("restarted or failed over"), "{said:?}");
    assert_eq!(project.counts("n"), [(Some(1), 5000)].into());
    assert_eq!(project.leftovers(), Vec::<String>::new());
}

#[test]
fn r20_a_replica_that_took_over_without_the_last_writes_gets_them_once_more_and_no_others() {
    let server = OwnServer::up("redis");
    let replica = server.also("redis_replica");
    let mut replica = redis::Client::open(replica).unwrap().get_connection().unwrap();
    let mut of_replica = |words: &[&str]| -> redis::Value {
        words[1..]
            .iter()
            .fold(&mut redis::cmd(words[0]), |command, word| command.arg(*word))
            .query(&mut replica)
            .unwrap()
    };
    let project = project(false, Some(&server.url), 5000);
    assert_eq!(project.run_killed_at("stmt_acked:kill:9", &["apply", "--yes"]).code, None);
    let done = project.counts("n")[&Some(1)];
    assert_eq!(project.ask::<u32>(&["WAIT", "1", "10000"]), 1, "the replica has it all");
    // From here on the replica is on its own, and what its master acknowledges is lost.
    of_replica(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(project.run_killed_at("stmt_acked:kill:7", &["resume"]).code, None);
    assert!(project.counts("n")[&Some(1)] > done);
    server.kill();
    let port = server.url.trim_end_matches('/').rsplit(':').next().unwrap();
    of_replica(&["CONFIG", "SET", "port", port]);
    assert_eq!(project.counts("n")[&Some(1)], done, "the one that answers now never had the last batches");
    let said = project.run(&["resume", "--format", "json"]).expect(0);
    assert!(said.stdout.contains("restarted or failed over"), "{said:?}");
    assert_eq!(project.counts("n"), [(Some(1), 5000)].into());
    assert_eq!(project.history(), ["001_count applied"]);
    assert_eq!(project.leftovers(), Vec::<String>::new());
}

#[test]
fn r12_a_server_that_dies_in_mid_walk_and_comes_back_is_waited_for() {
    let server = OwnServer::up("redis");
    let project = project(false, Some(&server.url), 60_000);
    let child = project.spawn(&["apply", "--yes", "--format", "json"]);
    until("some keys are done", || seen(&project));
    server.kill();
    server.start();
    let said: crate::support::Said = child.wait_with_output().unwrap().into();
    let said = said.expect(0).json();
    assert_eq!(said["steps"][0]["rows"], 60_000, "{said}");
    assert_eq!(project.counts("n"), [(Some(1), 60_000)].into());
}

#[test]
fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let server = OwnServer::up("redis");
    let project = project(false, Some(&server.url), 40_000);
    let mut child = project.spawn(&["apply", "--yes"]);
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        project.ask::<()>(&["SCRIPT", "FLUSH"]);
        assert!(began.elapsed() < crate::support::PATIENCE);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(project.counts("n"), [(Some(1), 40_000)].into());
}

#[test]
fn r20_a_server_that_evicts_any_key_is_walked_by_nobody() {
    let server = OwnServer::up("redis");
    let project = project(false, Some(&server.url), 50);
    project.ask::<()>(&["CONFIG", "SET", "maxmemory", "1gb"]);
    project.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("maxmemory-policy allkeys-lru") && said.stdout.contains("volatile-lru"), "{said:?}");
    assert_eq!(project.counts("n").get(&Some(1)), None, "nothing was touched");
    project.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.counts("n"), [(Some(1), 50)].into());
}

#[test]
fn keys_are_counted_over_all_attempts() {
    for cluster in BOTH {
        let project = project(cluster, None, 2000);
        assert_eq!(project.run_killed_at("stmt_acked:kill:4", &["apply", "--yes"]).code, None);
        let said = project.run(&["resume", "--format", "json"]).expect(0).json();
        assert_eq!(said["steps"][0]["rows"], 2000, "{said}");
    }
}
