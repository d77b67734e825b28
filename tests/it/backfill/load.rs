//! A server that has enough to do holds changes in batches up, and the next migration [S4-90]: real servers, kept busy.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use mongodb::bson::{Document, doc};
use serde_json::json;
use sqlx::Connection as _;

use super::{once, project_on, touched};
use crate::support::mongodb::{Mongo, file};
use crate::support::redis::RedisProject;
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, PATIENCE, elasticsearch, until, wait};

/// A run whose words are read while it goes on.
pub(super) struct Heard {
    run: Child,
    words: Receiver<String>,
}

impl Heard {
    pub fn of(mut command: std::process::Command) -> Self {
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, words) = channel();
        let spoken = BufReader::new(run.stderr.take().unwrap());
        std::thread::spawn(move || spoken.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        Self { run, words }
    }

    /// Awaits a line that holds `text`.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let (mut heard, began) = (Vec::new(), Instant::now());
        // A run that waits goes on saying so.
        while let Ok(line) = self.words.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            if line.contains(text) {
                return line;
            }
            heard.push(line);
        }
        panic!("nobody said `{text}`: {heard:#?}");
    }

    #[track_caller]
    pub fn ends_well(mut self) {
        let mut rest = Vec::new();
        while let Ok(line) = self.words.recv_timeout(PATIENCE) {
            rest.push(line);
        }
        until("it has ended", || self.run.try_wait().unwrap().is_some());
        assert_eq!(self.run.wait().unwrap().code(), Some(0), "{rest:#?}");
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// A fail point that holds a run up: it makes a file, until which is removed it waits.
pub(super) fn held_at(point: &str, dir: &Path) -> (String, PathBuf) {
    let file = dir.join("held");
    (format!("{point}:wait:1:{}", file.display()), file)
}

#[test]
fn s4_90_a_busy_postgresql_is_waited_for_before_a_migration_and_between_batches() {
    let server = OwnServer::up("postgres");
    let project = project_on(Database::alone_on(Kind::Postgres, &server.url));
    let url = project.database.url.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Fifteen of two hundred.
    let keep_busy = || {
        for _ in 0..15 {
            let url = url.clone();
            runtime.spawn(async move {
                let mut c = sqlx::PgConnection::connect(&url).await.unwrap();
                let _ = sqlx::query("select pg_sleep(600) /* busy */").execute(&mut c).await;
            });
        }
        let busy = "select count(*)::text from pg_stat_activity where state = 'active' and query like '%busy */'";
        until("it is busy", || project.database.one(&format!("{busy} and pid <> pg_backend_pid()")) == "15");
    };
    let leave = || {
        project.database.query(
            "select pg_terminate_backend(pid)::text from pg_stat_activity where query like '%busy */' and pid <> pg_backend_pid()",
        );
    };
    keep_busy();
    let args = ["apply", "--yes", "--max-load", "6", "--pause", "0.3", "-v"];
    let (point, file) = held_at("stmt_acked", project.dir.path());
    let mut command = project.command(&args);
    // The first statement that is acknowledged is the table's, the second a batch.
    command.env("GODWIT_FAILPOINT", point.replace(":wait:1:", ":wait:2:"));
    let mut run = Heard::of(command);
    let waits = run.until("waiting");
    assert!(waits.contains("1_items: waiting: more than 6 % of the server's connections are busy"), "{waits}");
    assert!(!project.database.has_table("items"), "nothing was begun");
    leave();
    run.until("goes on");
    until("a batch is under way", || file.exists());
    keep_busy();
    std::fs::remove_file(file).unwrap();
    let waits = run.until("waiting");
    assert!(waits.contains("2_fill statement 1:") && waits.contains("connections are busy"), "{waits}");
    leave();
    run.ends_well();
    assert_eq!(touched(&project), once());
}

#[test]
fn s4_90_a_run_that_waits_ends_in_time_and_says_what_it_waited_for() {
    let server = OwnServer::up("redis");
    let project = RedisProject::at(&server.url, false, &[("001_all.json", &all_keys()), ("001_all.lua", COUNT)]);
    fill(&project);
    let said = project.run(&["apply", "--yes", "--max-load", "60", "--timeout", "3", "--format", "json"]);
    let said = said.expect(1).json();
    let why = "the run's time is up; it was waiting: more than 60 % of the server's `maxmemory`";
    assert!(said.to_string().contains(why), "{said:#}");
    assert_eq!(project.counts_of("n", &["0", "1"]), Vec::<i64>::new());
    free(&project);
    project.run(&["apply", "--yes", "--max-load", "60"]).expect(0);
    assert_eq!(project.counts_of("n", &["0", "1"]), [1]);
}

/// Counts each key.
pub(super) const COUNT: &str = "for _, key in ipairs(KEYS) do redis.call('HINCRBY', key, 'n', 1) end
return #KEYS
";

fn migration(number: u32, name: &str, rest: &str) -> String {
    format!(
        "{{\"version\": \"1.{number}.0\", \"name\": \"{name}\", \"description\": \"a test\", \"database_type\": \"redis\",\n \
         \"migration_type\": \"data\", {rest}}}\n"
    )
}

pub(super) fn all_keys() -> String {
    migration(0, "all", r#""keys": {"match": "PREFIX*", "count": 100}"#)
}

/// Keys of some megabytes, in a memory that four fifths of them fill.
fn fill(project: &RedisProject) {
    project.pour((0..2000).map(|n| vec!["HSET".into(), project.key(&n.to_string()), "v".into(), "x".repeat(10_000)]));
    let memory: String = project.ask(&["INFO", "memory"]);
    let used: u64 = memory.lines().find_map(|l| l.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    project.ask::<()>(&["CONFIG", "SET", "maxmemory", &(used * 5 / 4).to_string()]);
}

fn free(project: &RedisProject) {
    project.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[test]
fn s4_90_a_redis_whose_memory_runs_out_is_waited_for_unless_keys_go() {
    let server = OwnServer::up("redis");
    let project = RedisProject::at(&server.url, false, &[("001_all.json", &all_keys()), ("001_all.lua", COUNT)]);
    fill(&project);
    let mut run = Heard::of(project.command(&["apply", "--yes", "--max-load", "60", "-v"]));
    let waits = run.until("waiting");
    assert!(waits.contains("statement 1: 0 keys, waiting: more than 60 % of the server's `maxmemory`"), "{waits}");
    assert_eq!(project.counts_of("n", &["0", "1"]), Vec::<i64>::new(), "no key was touched");
    free(&project);
    run.ends_well();
    assert_eq!(project.counts_of("n", &["0", "1"]), [1]);
    // What frees memory does not wait for it.
    fill(&project);
    project.write(
        "002_none.json",
        &migration(
            1,
            "none",
            r#""operations": [{"type": "delete_keys", "keys": {"match": "PREFIX*"}}], "rollback": []"#,
        ),
    );
    project.run(&["apply", "--yes", "--max-load", "60", "--accept-data-loss", "--timeout", "60"]).expect(0);
    assert_eq!(project.keys(), Vec::<String>::new());
}

/// Readers that take their time on a server that lets five read at once: there are always some that wait.
struct Readers {
    url: String,
    threads: Vec<std::thread::JoinHandle<()>>,
}

pub(super) fn admin(url: &str, command: Document) -> Document {
    wait(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        client.database("admin").run_command(command).await.unwrap()
    })
}

impl Readers {
    fn begin(url: &str, database: &Mongo) -> Self {
        admin(url, doc! { "setParameter": 1, "wiredTigerConcurrentReadTransactions": 5 });
        let threads = (0..12).map(|_| {
            let url = database.url.clone();
            std::thread::spawn(move || {
                wait(async {
                    let client = mongodb::Client::with_uri_str(&url).await.unwrap();
                    let slow = doc! {
                        "find": "many", "comment": "slow reader",
                        "filter": { "$where": "sleep(50); return false;" }
                    };
                    // It is ended by somebody else.
                    let _ = client.default_database().unwrap().run_command(slow).await;
                });
            })
        });
        let readers = Self { url: url.to_owned(), threads: threads.collect() };
        until("they read", || {
            let status = admin(url, doc! { "serverStatus": 1 });
            let tickets = status.get_document("wiredTiger").unwrap().get_document("concurrentTransactions").unwrap();
            tickets.get_document("read").unwrap().get_i32("out").unwrap() >= 5
        });
        readers
    }

    fn end(self) {
        let ask = doc! { "aggregate": 1, "pipeline": [{ "$currentOp": {} }, { "$match": { "command.comment": "slow reader" } }],
        "cursor": {} };
        let found = admin(&self.url, ask);
        for op in found.get_document("cursor").unwrap().get_array("firstBatch").unwrap() {
            let op = op.as_document().unwrap().get("opid").unwrap().clone();
            admin(&self.url, doc! { "killOp": 1, "op": op });
        }
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn s4_90_a_mongodb_with_too_many_readers_is_waited_for_before_a_migration_and_between_batches() {
    let server = OwnServer::up("mongodb");
    let text = r#"[{ "type": "update_documents", "collection": "many", "filter": {}, "update": { "$inc": { "n": 1 } }, "batch_size": 100 }]"#;
    let mongo = Mongo::at(&server.url, &[file(1, text, Some("[]"))]);
    mongo.insert("many", (0..2_000).map(|n| doc! { "_id": n }).collect());
    let readers = Readers::begin(&server.url, &mongo);
    let (point, file) = held_at("stmt_acked", mongo.dir.path());
    let mut command = mongo.command_line(&["apply", "--yes", "--max-load", "60", "--pause", "0.3", "-v"]);
    command.env("GODWIT_FAILPOINT", point);
    let mut run = Heard::of(command);
    let waits = run.until("waiting");
    assert!(waits.contains("001_m1: waiting: more than 60 % of the server's places for reads or writes"), "{waits}");
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 0, "nothing was begun");
    readers.end();
    run.until("goes on");
    until("the first batch is under way", || file.exists());
    let readers = Readers::begin(&server.url, &mongo);
    std::fs::remove_file(file).unwrap();
    let waits = run.until("waiting");
    assert!(waits.contains("statement 1:") && waits.contains("places for reads or writes"), "{waits}");
    assert!(mongo.count("many", doc! { "n": 1 }) < 2_000);
    readers.end();
    run.ends_well();
    assert_eq!(mongo.count("many", doc! { "n": 1 }), 2_000);
}

const COPY: &str = r#"[{"type": "create_index", "index": "~v2", "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "long"}}}},
    {"type": "reindex", "source": "~v1", "dest": "~v2", "requests_per_second": 50, "batch_size": 10}]"#;

/// Ends the writers, also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How fast the one copy may be, as its task says.
fn rate(project: &elasticsearch::Project) -> Option<f64> {
    let body = project.cluster.ok("GET", "_tasks?detailed=true&actions=*reindex", None);
    let nodes = body["nodes"].as_object()?.values().cloned();
    let mut tasks = nodes.flat_map(|n| n["tasks"].as_object().cloned().unwrap_or_default().into_values());
    tasks.next()?["status"]["requests_per_second"].as_f64()
}

#[test]
fn s4_90_a_copy_is_held_up_while_the_queue_of_writes_is_full() {
    let server = OwnServer::up("elasticsearch_narrow");
    let project = elasticsearch::Project::on(elasticsearch::Cluster::at(&server.url), &[("001_copy", COPY)]);
    project.cluster.fill("~v1", 600);
    project.cluster.fill("~other", 1);
    let mut run = Heard::of(project.command(&["apply", "--yes", "-v", "--max-load", "40", "--timeout", "300"]));
    run.until("of 600 documents");
    // Fifteen writers of which each takes a moment; one writes, the others wait in a queue of twenty.
    let over = AtomicBool::new(false);
    let body = json!({"script": {"source": "for (int i = 0; i < 400000; i++) { ctx._source.n = (i * 31) % 7 }"}});
    std::thread::scope(|scope| {
        for _ in 0..15 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    // Two at once are in each other's way, which is told, too.
                    project.cluster.call("POST", "~other/_update/d0?retry_on_conflict=3", Some(body.clone()));
                }
            });
        }
        let stop = Stop(&over);
        let waits = run.until("waiting");
        let why = ["queue of writes or searches", "for want of a place"];
        assert!(why.iter().any(|why| waits.contains(why)), "{waits}");
        until("its task is told so", || rate(&project) == Some(1.0));
        drop(stop);
    });
    until("it may go on", || rate(&project) != Some(1.0));
    run.ends_well();
    assert_eq!(project.cluster.count("~v2"), 600);
}

#[test]
fn s4_90_a_master_that_does_not_get_to_what_waits_for_it_is_waited_for() {
    let made = r#"[{"type": "create_index", "index": "~made", "settings": {"number_of_replicas": 0}}]"#;
    let project = elasticsearch::Project::new(&[("001_made", made)]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each index is a change of the cluster's state, and these come one after the other.
        for writer in 0..64 {
            let (project, over) = (&project, &over);
            scope.spawn(move || {
                let mut n = 0;
                while !over.load(Ordering::SeqCst) {
                    let path = format!("~busy{writer}_{n}");
                    project.cluster.call("PUT", &path, Some(json!({"settings": {"number_of_replicas": 0}})));
                    project.cluster.call("DELETE", &path, None);
                    n += 1;
                }
            });
        }
        let stop = Stop(&over);
        until("changes wait", || {
            let health = project.cluster.ok("GET", "_cluster/health", None);
            health["task_max_waiting_in_queue_millis"].as_u64().unwrap() > 900
        });
        // One percent of half a minute.
        let mut run = Heard::of(project.command(&["apply", "--yes", "-v", "--max-load", "1", "--timeout", "300"]));
        let waits = run.until("waiting");
        let why = ["1 % of the time after which the cluster's master gives waiting changes up", "queue of writes"];
        assert!(why.iter().any(|why| waits.contains(why)), "{waits}");
        drop(stop);
        run.until("goes on");
        run.ends_well();
    });
    assert!(project.cluster.exists("~made"));
}
