//! What goes wrong: failing documents, cancelled and lost tasks, a server that is away or refuses.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;

use crate::support::elasticsearch::{Cluster, Project};
use crate::support::servers::OwnServer;
use crate::support::{godwit, until};

const COPY: &str = r#"[{"type": "create_index", "index": "~v2", "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "long"}}}},
    {"type": "reindex", "source": "~v1", "dest": "~v2", "block_writes": true, "requests_per_second": 60, "batch_size": 10}]"#;

/// The task of the test's copy, once it runs.
fn task(project: &Project) -> String {
    let mut found = None;
    until("the copy runs", || {
        let body = project.cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None);
        let nodes = body["nodes"].as_object().cloned().unwrap_or_default();
        found = nodes.values().flat_map(|n| n["tasks"].as_object().cloned().unwrap_or_default()).find_map(|(id, t)| {
            t["description"].as_str().unwrap_or_default().contains(&project.cluster.prefix).then_some(id)
        });
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn s4_30_a_completed_task_with_failures_has_failed_and_everything_is_taken_back() {
    let project = Project::new(&[(
        "001_copy",
        r#"[{"type": "create_index", "index": "~v2", "mapping": {"dynamic": "strict", "properties": {"id": {"type": "long"}, "n": {"type": "long"}}}},
            {"type": "reindex", "source": "~v1", "dest": "~v2", "block_writes": true}]"#,
    )]);
    project.cluster.fill("~v1", 20);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &said["steps"][0]["error"];
    assert!(error["message"].as_str().unwrap().contains("mapper_parsing_exception"), "{error}");
    assert!(error["message"].as_str().unwrap().contains("document `d"), "{error}");
    assert_eq!((error["line"].as_u64(), &error["undone"]), (Some(3), &json!(true)), "{error}");
    assert_eq!(project.cluster.indices(), ["v1"]);
    assert!(project.cluster.blocked().is_empty());
    assert_eq!(project.cluster.history(), ["001_copy failed"]);
}

#[test]
fn a_swap_whose_copy_fails_leaves_no_index_and_no_block() {
    let project = Project::new(&[(
        "001_swap",
        r#"[{"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v2",
             "mapping": {"properties": {"id": {"type": "long"}}}}]"#,
    )]);
    project.cluster.fill("~v1", 20);
    project.cluster.ok("PUT", "~v1/_alias/~orders", None);
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("mapper_parsing_exception"), "{said:?}");
    assert_eq!(
        (project.cluster.on("~orders"), project.cluster.indices()),
        (vec!["v1".to_owned()], vec!["v1".to_owned()])
    );
    assert!(project.cluster.blocked().is_empty());
}

#[test]
fn s4_30_a_reindex_from_or_into_nothing_is_refused_before_it_is_sent() {
    for (operations, name) in [
        (r#"[{"type": "reindex", "source": "~nope", "dest": "~v1"}]"#, "nope"),
        (r#"[{"type": "reindex", "source": "~v1", "dest": "~nope"}]"#, "nope"),
    ] {
        let project = Project::new(&[("001_copy", operations)]);
        project.cluster.fill("~v1", 1);
        let said = project.run(&["apply", "--yes"]).expect(1);
        assert!(said.stdout.contains("there is no index") && said.stdout.contains(name), "{said:?}");
        assert_eq!(project.cluster.indices(), ["v1"]);
    }
}

#[test]
fn a_copy_that_somebody_cancels_fails_and_is_taken_back() {
    let project = Project::new(&[("001_copy", COPY)]);
    project.cluster.fill("~v1", 300);
    let run = project.spawn(&["apply", "--yes"]);
    let task = task(&project);
    project.cluster.ok("POST", &format!("_tasks/{task}/_cancel"), None);
    let said = crate::support::Said::from(run.wait_with_output().unwrap()).expect(1);
    // Cancelled while it still looked for the documents, it is the search that says so.
    let told = ["by user request", "search_phase_execution_exception"];
    assert!(told.iter().any(|words| said.stdout.contains(words)), "{said:?}");
    assert_eq!(project.cluster.indices(), ["v1"]);
    assert!(project.cluster.blocked().is_empty());
}

#[test]
fn r22_a_task_that_the_server_does_not_know_is_begun_again() {
    let project = Project::new(&[("001_copy", COPY)]);
    project.cluster.fill("~v1", 40);
    // Killed once the task's name is written down; then the task is lost with its result.
    let killed = project.run_killed_at("stmt_acked:kill:3", &["apply", "--yes"]);
    assert_eq!(killed.code, None, "{killed:?}");
    let path = format!("godwit_{}_fence/_doc/target", project.cluster.prefix);
    let shown = project.cluster.ok("GET", &path, None);
    let (seq, term) = (shown["_seq_no"].clone(), shown["_primary_term"].clone());
    let mut fence = shown["_source"].clone();
    fence["entry"]["progress"] = json!({"operation": 1, "what": {"task": "AAAAAAAAAAAAAAAAAAAAAA:99"}});
    project.cluster.ok("PUT", &format!("{path}?if_seq_no={seq}&if_primary_term={term}"), Some(fence));
    project.run(&["resume", "--lock-wait", "20"]).expect(0);
    assert_eq!(project.cluster.count("~v2"), 40);
    assert!(project.cluster.blocked().is_empty());
    assert_eq!(project.cluster.history(), ["001_copy applied"]);
}

#[test]
fn a_stopped_copy_lets_writes_in_and_goes_on_later() {
    let project = Project::new(&[("001_copy", COPY)]);
    project.cluster.fill("~v1", 300);
    let run = project.spawn(&["apply", "--yes"]);
    task(&project);
    let interrupted = std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said = crate::support::Said::from(run.wait_with_output().unwrap()).expect(1);
    assert!(said.stdout.contains("cancelled"), "{said:?}");
    assert!(project.cluster.blocked().is_empty(), "nobody waits behind a block for a run that may come tomorrow");
    let tasks = project.cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None).to_string();
    assert!(!tasks.contains(&project.cluster.prefix), "{tasks}");
    // Writes may have come in: the copy is not trusted, everything is taken back, and then it runs from its start.
    let said = project.run(&["resume"]).expect(1);
    assert!(said.stdout.contains("let in after it was copied"), "{said:?}");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.cluster.count("~v2"), 300);
}

#[test]
fn an_index_that_the_disk_made_read_only_is_told_before() {
    let project = Project::new(&[(
        "001_change",
        r#""operations": [{"type": "update_by_query", "index": "~v1", "query": {"match_all": {}}}], "rollback": []"#,
    )]);
    project.cluster.fill("~v1", 3);
    project.cluster.ok("PUT", "~v1/_settings", Some(json!({"index.blocks.read_only_allow_delete": true})));
    let said = project.run(&["apply", "--yes"]).expect(1);
    assert!(said.stdout.contains("disk is too full"), "{said:?}");
}

#[test]
fn a_server_that_is_not_there_or_not_for_us_is_told_without_the_password() {
    let project = Project::new(&[("001_make", r#"[{"type": "create_index", "index": "~a"}]"#)]);
    let run = |url: &str| {
        let mut command = godwit(project.dir.path());
        command.args(["apply", "--yes", "--url", url, "--path"]).arg(project.migrations());
        crate::support::Said::from(command.output().unwrap())
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let gone = run(&format!("elasticsearch+http://ann:hunter2hunter2@127.0.0.1:{port}")).expect(5);
    // TLS with a server that does not speak it.
    let host = project.cluster.url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap().to_owned();
    let tls = run(&format!("elasticsearch+https://ann:hunter2hunter2@{host}")).expect(5);
    // One that does not know us.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).unwrap();
        let body =
            r#"{"error":{"type":"security_exception","reason":"unable to authenticate user [ann]"},"status":401}"#;
        let head = format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        String::from_utf8_lossy(&buffer[..n]).to_lowercase()
    });
    let stranger = run(&format!("elasticsearch+http://ann:hunter2hunter2@127.0.0.1:{port}")).expect(5);
    assert!(server.join().unwrap().contains("authorization: basic"));
    assert!(stranger.stderr.contains("unable to authenticate"), "{stranger:?}");
    for said in [gone, tls, stranger] {
        assert!(said.stderr.contains("cannot reach Elasticsearch"), "{said:?}");
        assert!(!said.stderr.contains("hunter2") && !said.stdout.contains("hunter2"), "{said:?}");
    }
}

#[test]
fn r22_a_server_that_is_killed_in_the_middle_of_a_copy_is_waited_for_and_the_copy_completed() {
    let server = OwnServer::up("elasticsearch");
    let project = Project::on(Cluster::at(&server.url), &[("001_copy", COPY)]);
    project.cluster.fill("~v1", 400);
    let run = project.spawn(&["apply", "--yes", "--lock-wait", "120", "--retry-for", "120"]);
    task(&project);
    server.kill();
    server.start();
    let said = crate::support::Said::from(run.wait_with_output().unwrap());
    if said.code != Some(0) {
        // It was away for longer than the lock's lease: the run stopped by itself.
        project.run(&["resume", "--retry-for", "60"]).expect(0);
    }
    assert_eq!(project.cluster.count("~v2"), 400, "{said:?}");
    assert!(project.cluster.blocked().is_empty());
    assert_eq!(project.cluster.history(), ["001_copy applied"]);
}
