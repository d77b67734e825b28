//! A cluster whose slots move, or whose nodes fail over, under a walk (RECOVERY of Redis): it goes on, keeps its lock, and
//! touches each key once.

use std::path::Path;
use std::process::{Child, Command};

use super::pair;
use crate::support::redis::RedisProject;
use crate::support::servers::OwnServer;
use crate::support::{Said, until};

const KEYS: usize = 6000;

const COUNT: &str = "for _, key in ipairs(KEYS) do redis.call('HINCRBY', key, 'n', 1) end
return #KEYS
";

fn project(server: &OwnServer) -> RedisProject {
    let json = pair("1.0.0", "count", r#""keys": {"match": "PREFIX*", "count": 200}"#);
    let project = RedisProject::at(&server.url, true, &[("001_count.json", &json), ("001_count.lua", COUNT)]);
    project.pour((0..KEYS).map(|n| vec!["HSET".into(), project.key(&n.to_string()), "v".into(), "1".into()]));
    project
}

/// A run that stands still in mid walk until `file` is removed.
fn held(project: &RedisProject, file: &Path) -> Child {
    let child = project
        .command(&["apply", "--yes", "--lease", "120", "--retry-for", "10", "--format", "json"])
        .env("GODWIT_FAILPOINT", format!("stmt_acked:wait:300:{}", file.display()))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("the walk is held", || file.exists());
    child
}

fn places(server: &OwnServer) -> Vec<String> {
    server.url.strip_prefix("redis-cluster://").unwrap().split(',').map(str::to_owned).collect()
}

fn ask(place: &str, words: &[&str]) -> String {
    let mut connection = redis::Client::open(format!("redis://{place}/")).unwrap().get_connection().unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query(&mut connection).unwrap()
}

/// The command that moves slots from one node to another.
fn reshard(from: &str, to: &str, slots: u32) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "reshard", from, "--cluster-yes", "--cluster-slots", &slots.to_string()]);
    command.args(["--cluster-from", &ask(from, &["CLUSTER", "MYID"]), "--cluster-to", &ask(to, &["CLUSTER", "MYID"])]);
    command.stdout(std::process::Stdio::null());
    command
}

fn each_key_is_touched_once(project: &RedisProject, said: Said) {
    let said = said.expect(0).json();
    assert_eq!(said["steps"][0]["rows"], KEYS, "{said}");
    assert_eq!(project.counts("n"), [(Some(1), KEYS)].into(), "each key is touched once");
    assert_eq!(project.history(), ["001_count applied"]);
    until("nothing is left behind", || project.leftovers().is_empty());
}

#[test]
fn r20_slots_that_move_before_and_while_a_walk_goes_on_are_followed() {
    let server = OwnServer::up("redis_cluster");
    let project = project(&server);
    let places = places(&server);
    let file = project.dir.path().join("held");
    let child = held(&project, &file);
    // The walk has calls on their way to nodes that have these slots no more when they are answered.
    assert!(reshard(&places[1], &places[2], 80).status().unwrap().success());
    assert!(reshard(&places[2], &places[0], 40).status().unwrap().success());
    let mut moving = reshard(&places[0], &places[1], 120).spawn().unwrap();
    std::fs::remove_file(&file).unwrap();
    each_key_is_touched_once(&project, child.wait_with_output().unwrap().into());
    assert!(moving.wait().unwrap().success());
    project.run(&["status"]).expect(0);
}

/// The node behind the first place fails over in mid walk, in the way of `how`.
fn failed_over(how: impl Fn(&OwnServer, &str, &RedisProject)) {
    let server = OwnServer::up("redis_cluster");
    let replica = server.also("redis_cluster_replica");
    let project = project(&server);
    let replica = replica.strip_prefix("redis://").unwrap().trim_end_matches('/');
    let file = project.dir.path().join("held");
    let child = held(&project, &file);
    how(&server, replica, &project);
    until("the replica is a master", || ask(replica, &["INFO", "replication"]).contains("role:master"));
    std::fs::remove_file(&file).unwrap();
    let said: Said = child.wait_with_output().unwrap().into();
    // Whoever was ended comes back, for whoever asks every node.
    server.start();
    each_key_is_touched_once(&project, said);
}

#[test]
fn r20_a_node_that_hands_over_to_its_replica_is_walked_again() {
    failed_over(|_, replica, _| assert_eq!(ask(replica, &["CLUSTER", "FAILOVER"]), "OK"));
}

#[test]
fn r20_a_node_that_dies_is_walked_where_its_replica_took_over() {
    failed_over(|server, _, _| {
        let pid = std::fs::read_to_string(server.path().join("redis_cluster_0.pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
    });
}

#[test]
fn r20_zones_that_a_node_forgot_when_it_failed_over_are_known_again() {
    failed_over(|_, replica, project| {
        let noted: Vec<String> = project.leftovers().into_iter().filter(|key| key.contains(":zones:")).collect();
        assert_eq!(noted.len(), 1, "{noted:?}");
        assert_eq!(project.ask::<i64>(&["DEL", &noted[0]]), 1);
        assert_eq!(ask(replica, &["CLUSTER", "FAILOVER"]), "OK");
    });
}
