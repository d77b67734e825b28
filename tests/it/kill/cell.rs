//! One cell of the kill matrix: a run that is disturbed at one point in one way, and what the next one makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use godwit::plan::SchemaSnapshot;

use super::proxy::{Proxy, through};
use super::steps::{Step, files, fill};
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Own, Project, Said, until};

/// What goes wrong at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The process ends at once.
    Kill,
    /// The process stands still for longer than its lease, another one takes over, and then it goes on.
    Stop,
    /// Every connection to the target ends with a reset.
    Reset,
    /// The process ends, and the store with it.
    StoreLost,
    /// The process ends, and the store is as it was before the run.
    StoreOld,
    /// The target's server is killed and started again.
    Restart,
}

/// Every fault with its word.
pub const FAULTS: [(Fault, &str); 6] = [
    (Fault::Kill, "killed"),
    (Fault::Stop, "stopped"),
    (Fault::Reset, "reset"),
    (Fault::StoreLost, "store-lost"),
    (Fault::StoreOld, "store-old"),
    (Fault::Restart, "restart"),
];

impl Fault {
    /// A word for people.
    pub fn name(self) -> &'static str {
        FAULTS.iter().find(|(f, _)| *f == self).unwrap().1
    }

    /// Whether it can happen to a kind of database at all.
    pub fn is_for(self, kind: Kind) -> bool {
        kind.server().is_some() || !matches!(self, Fault::Reset | Fault::Restart)
    }
}

/// A cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub kind: Kind,
    pub step: Step,
    pub point: &'static str,
    pub fault: Fault,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.kind.name(), self.step.name(), self.point, self.fault.name())
    }
}

/// Everything that tells two targets apart, with what differs from run to run taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    schema: SchemaSnapshot,
    contents: BTreeMap<String, Vec<String>>,
    history: Vec<String>,
    /// What Godwit keeps there for itself: the names of its objects and of the fields in them.
    own: BTreeMap<String, Vec<String>>,
}

/// `text` without the names and numbers that are another at each run.
fn plain(text: &str, database: &Database) -> String {
    let text = text.replace(database.name(), "DATABASE");
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(is_word) {
        let end = rest[at..].find(|c| !is_word(c)).map_or(rest.len(), |e| at + e);
        let word = &rest[at..end];
        out.push_str(&rest[..at]);
        let is_epoch = word.len() > 1 && word.starts_with('e') && word[1..].bytes().all(|b| b.is_ascii_digit());
        out.push_str(match word {
            _ if word.len() == 26 && ulid::Ulid::from_string(word).is_ok() => "RUN",
            _ if is_epoch && out.ends_with('_') => "EPOCH",
            _ => word,
        });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Whether it is the lock, which is judged by its holder: what a dead process left of it is nobody's, and the next run
/// takes it.
fn is_lock(name: &str) -> bool {
    name == "godwit_lock" || name.ends_with(":lock")
}

/// The kinds of document among some: how many there are may depend on where a batch was cut.
fn shapes(documents: &[String]) -> Vec<String> {
    let shapes: BTreeSet<String> = documents.iter().map(|d| fields(d)).collect();
    shapes.into_iter().filter(|s| !s.contains("lease_ms")).collect()
}

/// The fields of a document.
fn fields(text: &str) -> String {
    let at = text.find('{').unwrap_or(text.len());
    match serde_json::from_str::<BTreeMap<String, serde_json::Value>>(&text[at..]) {
        Ok(fields) => fields.into_keys().collect::<Vec<_>>().join(" "),
        Err(_) => "a row".to_owned(),
    }
}

fn state(database: &Database) -> State {
    let look = database.look();
    let plain = |text: &String| plain(text, database);
    let mut history = database.history();
    history.sort();
    let own = database.contents(Own::Too).into_iter().filter(|(name, _)| name.starts_with("godwit"));
    State {
        schema: SchemaSnapshot {
            objects: look.schema.objects.iter().map(|(k, v)| (plain(k), plain(v))).collect(),
            details: None,
        },
        contents: database.contents(Own::Not).into_iter().map(|(k, v)| (plain(&k), v)).collect(),
        history,
        own: own.filter(|(name, _)| !is_lock(name)).map(|(name, rows)| (plain(&name), shapes(&rows))).collect(),
    }
}

/// Where cells of one kind run: the server, and what uninterrupted runs leave there.
pub struct Place {
    kind: Kind,
    own: Option<OwnServer>,
    wanted: BTreeMap<Step, State>,
}

/// How long a run that stands still keeps its lock.
pub(super) const LEASE: &str = "2";

impl Place {
    /// On a server of its own, which may be killed.
    pub fn own(kind: Kind) -> Self {
        let own = kind.server().map(OwnServer::up);
        Self { kind, own, wanted: BTreeMap::new() }
    }

    /// On the server of the tests, which others use.
    pub fn shared(kind: Kind) -> Self {
        Self { kind, own: None, wanted: BTreeMap::new() }
    }

    pub(super) fn project(&self, step: Step) -> Project {
        let database = match &self.own {
            Some(server) => Database::alone_on(self.kind, &server.url),
            None => Database::fresh(self.kind),
        };
        let files = files(&database, step);
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let project = Project::of(database, &files);
        let first = if matches!(self.kind, Kind::Postgres | Kind::Sqlite) { "0001_first" } else { "001_first" };
        project.run(&["apply", "--yes", "--to", first]).expect(0);
        fill(&project.database);
        project
    }

    /// What an uninterrupted run leaves.
    pub(super) fn wanted(&mut self, step: Step) -> State {
        if let Some(state) = self.wanted.get(&step) {
            return state.clone();
        }
        let project = self.project(step);
        project.run(&["apply", "--yes"]).expect(0);
        let state = state(&project.database);
        assert_eq!(state.history.len(), 3, "{:?}", state.history);
        assert!(state.history.iter().all(|h| h.ends_with(" applied")), "{:?}", state.history);
        assert_ne!(state.contents, BTreeMap::new());
        self.wanted.insert(step, state.clone());
        state
    }

    /// Runs a cell. The error is why it does not hold.
    pub fn run(&mut self, cell: Cell) -> Result<(), String> {
        let result = catch_unwind(AssertUnwindSafe(|| self.go(cell)));
        result.map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
        })
    }

    fn go(&mut self, cell: Cell) {
        let wanted = self.wanted(cell.step);
        let project = self.project(cell.step);
        let yesterday = project.dir.path().join("yesterday");
        copy(&project.dir.path().join("state"), &yesterday);
        // In batches the second one is disturbed: the first has left a mark.
        let nth = if cell.step == Step::Batched && (cell.point.starts_with("stmt") || cell.point.starts_with("commit"))
        {
            2
        } else {
            1
        };
        match cell.fault {
            Fault::Kill | Fault::StoreLost | Fault::StoreOld => {
                let point = format!("{}:kill:{nth}", cell.point);
                let killed = project.run_killed_at(&point, &["apply", "--yes", "--lease", LEASE]);
                assert_eq!(killed.code, None, "not killed there: {killed:?}");
                let store = project.dir.path().join("state");
                if cell.fault != Fault::Kill {
                    std::fs::remove_dir_all(&store).unwrap();
                }
                if cell.fault == Fault::StoreOld {
                    copy(&yesterday, &store);
                }
            }
            Fault::Stop => self.stop(&project, cell.point, nth),
            Fault::Reset => self.reset(&project, cell.point, nth),
            Fault::Restart => {
                let server = self.own.as_ref().expect("the server is this test's own");
                let mut held = Held::at(&project, &project.database.url, cell.point, nth);
                server.kill();
                server.start();
                held.go_on();
                ended(held.child);
            }
        }
        project.run(&["resume"]).expect(0);
        check(&project, &wanted);
        if !matches!(cell.fault, Fault::StoreLost | Fault::StoreOld) {
            audited(&project, &wanted);
        }
    }

    /// Stops the process there, has another take over, and lets it go on.
    fn stop(&self, project: &Project, point: &str, nth: u32) {
        let mut held = Held::at(project, &project.database.url, point, nth);
        signal("STOP", &held.child);
        held.go_on();
        let wait = if self.kind == Kind::Sqlite { "0.3" } else { "60" };
        let second = || project.run(&["resume", "--lock-wait", wait]);
        match self.kind {
            // Its lock lives as long as the process: who comes is told so. With nothing left to do nobody asks for the
            // lock.
            Kind::Sqlite => {
                let said = second();
                let told = said.code == Some(3) && said.stdout.contains("another run holds this target's lock");
                assert!(told || said.code == Some(0), "{said:?}");
            }
            _ => {
                second().expect(0);
            }
        }
        let between = (self.kind != Kind::Sqlite).then(|| state(&project.database));
        signal("CONT", &held.child);
        ended(held.child);
        if let Some(between) = between {
            let now = state(&project.database);
            assert_eq!(now.contents, between.contents, "the one that was overtaken has written");
            assert_eq!(now.history, between.history, "the one that was overtaken has written");
        }
    }

    /// Cuts every connection there.
    fn reset(&self, project: &Project, point: &str, nth: u32) {
        if self.kind == Kind::RedisCluster {
            // Its nodes are spoken to at the addresses that they tell; so they do the cutting.
            let mut held = Held::at(project, &project.database.url, point, nth);
            project.database.redis_everywhere(&["CLIENT", "KILL", "TYPE", "normal"]);
            held.go_on();
            ended(held.child);
            return;
        }
        let (server, _) = through(&project.database.url, None);
        let proxy = Proxy::to(&server);
        let (_, url) = through(&project.database.url, Some(proxy.port));
        let mut held = Held::at(project, &url, point, nth);
        proxy.cut();
        held.go_on();
        ended(held.child);
    }
}

/// A run that waits at a point.
struct Held {
    child: Child,
    marker: PathBuf,
}

impl Held {
    fn at(project: &Project, url: &str, point: &str, nth: u32) -> Self {
        let marker = project.dir.path().join("marker");
        let mut child = project
            .command_at(url, &["apply", "--yes", "--lease", LEASE])
            .env("GODWIT_FAILPOINT", format!("{point}:wait:{nth}:{}", marker.display()))
            .stdout(std::fs::File::create(project.dir.path().join("held.out")).unwrap())
            .stderr(std::fs::File::create(project.dir.path().join("held.err")).unwrap())
            .spawn()
            .unwrap();
        until("the run comes to the point or ends", || marker.exists() || child.try_wait().unwrap().is_some());
        if !marker.exists() {
            let read = |name: &str| std::fs::read_to_string(project.dir.path().join(name)).unwrap_or_default();
            panic!("{point} was not come to: {}\n{}", read("held.out"), read("held.err"));
        }
        Self { child, marker }
    }

    fn go_on(&mut self) {
        std::fs::remove_file(&self.marker).unwrap();
    }
}

fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// Awaits the end of a run that was disturbed. It may have gone on, or have said why it did not; it never asks for a
/// person and never breaks down.
fn ended(mut child: Child) {
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > Duration::from_secs(150) {
            child.kill().unwrap();
            panic!("the disturbed run does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(matches!(status.code(), Some(0 | 1 | 3 | 5)), "the disturbed run ended with {status}");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Every migration that is applied is in the audit log, whoever applied it and however that run ended. A store that was
/// lost took its log with it.
fn audited(project: &Project, wanted: &State) {
    let said = crate::support::godwit(project.dir.path()).args(["audit", "list", "--format", "json"]).output().unwrap();
    let said = Said::from(said).expect(0).json();
    let records = said["records"].as_array().or(said.as_array()).unwrap_or_else(|| panic!("{said}"));
    for row in &wanted.history {
        let id = row.split(' ').next().unwrap();
        let told = records.iter().filter_map(|r| r["details"].as_object().or(r["body"]["details"].as_object())).any(
            |details| {
                details
                    .iter()
                    .any(|(step, state)| step.ends_with(&format!("/{id}")) && state.as_str() == Some("applied"))
            },
        );
        assert!(told, "`{id}` is applied and not in the audit log: {said}");
    }
}

/// The oracle.
pub(super) fn check(project: &Project, wanted: &State) {
    let database = &project.database;
    let now = state(database);
    assert_eq!(now.history, wanted.history, "the history");
    assert_eq!(now.contents, wanted.contents, "the contents");
    assert_eq!(now.schema, wanted.schema, "the schema");
    assert_eq!(now.own, wanted.own, "what is left of Godwit's own");
    until("nobody holds the lock", || database.look().holder.is_none());
    if database.kind == Kind::Postgres {
        let sessions = "select count(*)::text from pg_stat_activity where datname = current_database() and application_name like 'godwit:%'";
        until("the server has ended the sessions", || database.one(sessions) == "0");
        assert_eq!(
            database.one("select count(*)::text from pg_prepared_xacts where database = current_database()"),
            "0"
        );
        assert_eq!(database.one("select count(*)::text from pg_index where not indisvalid"), "0");
    }
    let again: Said = project.run(&["apply", "--yes", "--format", "json"]).expect(0);
    assert_eq!(again.json()["outcome"], "nothing");
    let audit =
        crate::support::godwit(project.dir.path()).args(["audit", "verify", "--format", "json"]).output().unwrap();
    assert_eq!(Said::from(audit).expect(0).json()["valid"], true, "the audit log");
}
