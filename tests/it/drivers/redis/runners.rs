//! Two runners, dead runners, stopped runners.

use std::process::Child;

use super::pair;
use crate::support::redis::{BOTH, RedisProject};
use crate::support::{Said, until};

const COUNT: &str = "for _, key in ipairs(KEYS) do redis.call('HINCRBY', key, 'n', 1) end
return #KEYS
";

fn project(cluster: bool, keys: usize) -> RedisProject {
    let json = pair("1.0.0", "count", r#""keys": {"match": "PREFIX*", "count": 100}"#);
    let project = RedisProject::new(cluster, &[("001_count.json", &json), ("001_count.lua", COUNT)]);
    project.pour((0..keys).map(|n| vec!["HSET".into(), project.key(&n.to_string()), "v".into(), "1".into()]));
    project
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn at_work(project: &RedisProject) -> bool {
    project.counts("n").keys().any(Option::is_some)
}

#[test]
fn r4_a_runner_that_was_stopped_and_overtaken_changes_nothing_more() {
    for cluster in BOTH {
        let project = project(cluster, 6000);
        let stale = project.spawn(&["apply", "--yes", "--lease", "3", "--pause", "0.3", "--format", "json"]);
        until("some keys are done", || at_work(&project));
        signal(&stale, "-STOP");
        let newer = project.run(&["resume", "--format", "json"]).expect(0).json();
        assert_eq!(newer["outcome"], "applied", "{newer}");
        assert_eq!(project.counts("n"), [(Some(1), 6000)].into());
        // Whatever the older one would still like to do.
        project.pour((0..50).map(|n| vec!["HSET".into(), project.key(&format!("late{n}")), "v".into(), "1".into()]));
        signal(&stale, "-CONT");
        let said: Said = stale.wait_with_output().unwrap().into();
        let said = said.expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "fenced", "{said}");
        assert_eq!(project.counts("n"), [(None, 50), (Some(1), 6000)].into());
        assert_eq!(project.history(), ["001_count applied"]);
        assert_eq!(project.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn r9_a_dead_runners_lock_is_taken_and_a_living_ones_is_not() {
    for cluster in BOTH {
        let project = project(cluster, 3000);
        let mut first = project.spawn(&["apply", "--yes", "--pause", "0.3"]);
        until("some keys are done", || at_work(&project));
        let refused = project.run(&["apply", "--yes", "--lock-wait", "1", "--format", "json"]).expect(3).json();
        assert_eq!(refused["blocked_by"][0]["reason"], "locked", "{refused}");
        assert!(refused["blocked_by"][0]["message"].as_str().unwrap().contains("tester"), "{refused}");
        first.kill().unwrap();
        first.wait().unwrap();
        // Its lease would last for half a minute.
        project.run(&["resume"]).expect(0);
        assert_eq!(project.counts("n"), [(Some(1), 3000)].into());
    }
}

#[test]
fn a_walk_that_is_told_to_stop_goes_on_later() {
    // By a person, and by whoever stops a container.
    for (cluster, stop) in BOTH.into_iter().zip(["-INT", "-TERM"]) {
        let project = project(cluster, 3000);
        let child = project.spawn(&["apply", "--yes", "--pause", "0.3", "--format", "json"]);
        until("some keys are done", || at_work(&project));
        signal(&child, stop);
        let said: Said = child.wait_with_output().unwrap().into();
        assert_ne!(said.code, Some(0), "{said:?}");
        assert_eq!(project.history(), ["001_count running"]);
        project.run(&["resume"]).expect(0);
        assert_eq!(project.counts("n"), [(Some(1), 3000)].into());
        assert_eq!(project.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn r5_a_script_of_a_dead_runner_is_waited_for() {
    let server = crate::support::servers::OwnServer::up("redis");
    let json = pair("1.0.0", "slow", r#""keys": ["PREFIXa"]"#);
    let lua = "redis.call('INCR', KEYS[1])
local now = function() local t = redis.call('TIME') return t[1] + t[2] / 1000000 end
local began = now()
while now() - began < 3 do end
return redis.call('INCR', KEYS[1])";
    let project = RedisProject::at(&server.url, false, &[("001_slow.json", &json), ("001_slow.lua", lua)]);
    project.ask::<()>(&["CONFIG", "SET", "busy-reply-threshold", "100"]);
    let mut child = project.spawn(&["apply", "--yes"]);
    until("the script runs", || {
        let mut c = redis::Client::open(server.url.as_str()).unwrap().get_connection().map_err(|e| e.to_string());
        c.as_mut().map_or(true, |c| redis::cmd("PING").query::<String>(c).is_err())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    project.run(&["resume"]).expect(0);
    assert_eq!(project.ask::<i64>(&["GET", &project.key("a")]), 2, "it was done once, by the dead runner");
    assert_eq!(project.history(), ["001_slow applied"]);
}
