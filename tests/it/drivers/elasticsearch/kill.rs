//! The program killed at every point (R-1), and readers of an alias while that happens (R-22).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use godwit::drivers::failpoint::NAMES;
use serde_json::json;

use crate::support::elasticsearch::Project;
use crate::support::until;

const CREATE: &str = r#"[{"type": "create_index", "index": "~made", "mapping": {"properties": {"id": {"type": "keyword"}}},
    "settings": {"number_of_replicas": 0}}]"#;
const COPY: &str = r#"[{"type": "create_index", "index": "~v2", "settings": {"number_of_replicas": 0}},
    {"type": "reindex", "source": "~v1", "dest": "~v2", "block_writes": true}]"#;
const SWAP: &str = r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v3",
    "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "long"}}}, "settings": {"number_of_replicas": 0}}]"#;

fn project(operations: &str) -> Project {
    let project = Project::new(&[("001_it", operations)]);
    project.cluster.fill("~v1", 300);
    project.cluster.ok("PUT", "~v1/_alias/~orders", None);
    project
}

/// Everything that tells two clusters apart; a built index's epoch does not.
#[derive(Debug, PartialEq, Eq)]
struct State {
    indices: Vec<String>,
    counts: Vec<u64>,
    on: Vec<String>,
    blocked: Vec<String>,
    history: Vec<String>,
}

fn state(project: &Project) -> State {
    let cluster = &project.cluster;
    let without_epoch = |names: Vec<String>| -> Vec<String> {
        names.iter().map(|n| n.split("_e").next().unwrap_or(n).to_owned()).collect()
    };
    let indices = cluster.indices();
    let counts = indices.iter().map(|i| cluster.count(&format!("~{i}"))).collect();
    State {
        indices: without_epoch(indices),
        counts,
        on: without_epoch(cluster.on("~orders")),
        blocked: cluster.blocked(),
        history: cluster.history(),
    }
}

/// Kills at each point, the statement's own at each of its turns, and resumes.
fn check(operations: &str, effects: usize) {
    let whole = project(operations);
    whole.run(&["apply", "--yes"]).expect(0);
    let wanted = state(&whole);
    assert_eq!(wanted.history, ["001_it applied"]);
    for name in NAMES {
        let turns = if name.starts_with("stmt") { effects } else { 1 };
        for turn in 1..=turns {
            let project = project(operations);
            let killed = project.run_killed_at(&format!("{name}:kill:{turn}"), &["apply", "--yes"]);
            assert_eq!(killed.code, None, "{name}:{turn} was not come to: {killed:?}");
            project.run(&["resume"]).expect(0);
            assert_eq!(state(&project), wanted, "{name}:{turn}");
            let again = project.run(&["apply", "--yes", "--format", "json"]).expect(0);
            assert_eq!(again.json()["outcome"], "nothing", "{name}:{turn}");
        }
    }
}

#[test]
fn r1_an_index_is_made_once_wherever_the_program_is_killed() {
    check(CREATE, 1);
}

#[test]
fn r1_a_copy_is_completed_wherever_the_program_is_killed() {
    // Index, write block, copy.
    check(COPY, 3);
}

#[test]
fn r1_an_alias_is_swapped_wherever_the_program_is_killed() {
    // Write block, index, copy, alias.
    check(SWAP, 4);
}

#[test]
fn r1_a_killed_rollback_is_finished_by_resume() {
    for turn in 1..=2 {
        let project = Project::new(&[(
            "001_it",
            r#"[{"type": "create_index", "index": "~a"}, {"type": "create_alias", "index": "~a", "alias": "~orders"}]"#,
        )]);
        project.run(&["apply", "--yes"]).expect(0);
        let killed = project.run_killed_at(&format!("stmt_acked:kill:{turn}"), &["rollback", "--steps", "1", "--yes"]);
        assert_eq!(killed.code, None, "{turn}");
        project.run(&["resume"]).expect(0);
        assert_eq!(project.cluster.indices(), [] as [&str; 0], "{turn}");
        assert_eq!(project.cluster.history(), ["001_it rolled_back"], "{turn}");
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn r22_readers_of_the_alias_see_every_document_at_every_instant() {
    const DOCUMENTS: u64 = 600;
    let operations = SWAP.replace("\"settings\"", "\"requests_per_second\": 400, \"batch_size\": 50, \"settings\"");
    let project = Project::new(&[("001_it", &operations)]);
    let cluster = &project.cluster;
    cluster.fill("~v1", usize::try_from(DOCUMENTS).unwrap());
    cluster.ok("PUT", "~v1/_alias/~orders", None);
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Also when something fails.
        let stopped = Stop(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let count = cluster.ok("GET", "~orders/_count", None);
                    assert_eq!(count["count"], DOCUMENTS, "{count}");
                    let found =
                        cluster.ok("POST", "~orders/_search", Some(json!({"size": 1, "track_total_hits": true})));
                    assert_eq!(found["hits"]["total"]["value"], DOCUMENTS, "{found}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Killed in the middle of the copy.
        let mut first = project.spawn(&["apply", "--yes"]);
        until("the copy is under way", || {
            let built = cluster.indices().into_iter().find(|i| i.starts_with("v3_e"));
            built.is_some_and(|i| cluster.call("GET", &format!("~{i}/_stats/indexing"), None).1["_all"]["primaries"]["indexing"]["index_total"].as_u64() > Some(50))
        });
        assert_eq!(cluster.blocked(), ["v1"]);
        first.kill().unwrap();
        first.wait().unwrap();
        // And the task that goes on without it is lost.
        let tasks = cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None).to_string();
        assert!(tasks.contains(&cluster.name("v1")), "it goes on: {tasks}");
        project.run(&["resume", "--lock-wait", "1"]).expect(0);
        let before = reads.load(Ordering::Relaxed);
        until("the new index was read", || reads.load(Ordering::Relaxed) > before + 4);
        drop(stopped);
    });
    let on = cluster.on("~orders");
    assert!(on.len() == 1 && on[0].starts_with("v3_e"), "one target: {on:?}");
    assert_eq!(
        cluster.indices(),
        [on[0].clone(), "v1".to_owned()].iter().rev().cloned().collect::<Vec<_>>(),
        "no orphan"
    );
    assert_eq!((cluster.count("~v1"), cluster.count(&format!("~{}", on[0]))), (DOCUMENTS, DOCUMENTS));
    assert!(cluster.blocked().is_empty(), "no write block");
    let tasks = cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None).to_string();
    assert!(!tasks.contains(&cluster.name("v1")), "no copy is left: {tasks}");
}
