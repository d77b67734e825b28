//! What a restore leaves of what was recorded: the target's history, its fence and the store's ledger say the same, and a
//! restore that the store was not told of is noticed (R-3, R-4, R-5, DECISIONS 20).

use std::path::Path;

use crate::kill::takeover::Blocker;
use crate::support::{ALL, BOTH, Kind, Own, Project, Said, change, godwit, until};

/// Two migrations; the backup is from between them.
struct World {
    project: Project,
    backup: String,
}

impl World {
    fn new(kind: Kind) -> Self {
        let project = Project::new(kind, &[]);
        for (name, text) in (1..=2).flat_map(|n| change(&project.database, n)) {
            project.write(&name, &text);
        }
        project.run(&["apply", "--yes", "--to", "001_m1"]).expect(0);
        let mut backup = vec!["backup", "--format", "json"];
        // Of a server that others use, only what is this test's.
        let only = match kind {
            Kind::Redis | Kind::RedisCluster => format!("{}:*", project.database.name()),
            _ => format!("{}_*", project.database.name()),
        };
        if matches!(kind, Kind::Redis | Kind::RedisCluster | Kind::Elasticsearch) {
            backup.extend(["--only", &only]);
        }
        let url = project.database.url.clone();
        let said = at(&project, "state", &url, &backup).expect(0).json();
        let backup = said["backups"][0]["path"].as_str().unwrap().to_owned();
        project.run(&["apply", "--yes"]).expect(0);
        Self { project, backup }
    }

    /// `restore`, with the store of this machine or of another.
    fn restore(&self, state: &str) -> Said {
        at(&self.project, state, &self.project.database.url, &["restore", &self.backup, "--yes"])
    }

    fn has(&self, number: u32) -> bool {
        let wanted = format!("thing{number}");
        self.project.database.contents(Own::Not).keys().any(|name| name.ends_with(&wanted))
    }

    /// Migrations that are applied, and the highest epoch that the history knows.
    fn applied(&self) -> (Vec<String>, i64) {
        let history = self.project.database.look().history;
        let mut applied: Vec<String> =
            history.iter().filter(|r| r.state.as_str() == "applied").map(|r| r.id.to_string()).collect();
        applied.sort();
        (applied, history.iter().map(|r| r.epoch.0).max().unwrap_or(0))
    }
}

/// A command on one database that takes no `--path`, with the data directory `state`.
fn at(project: &Project, state: &str, url: &str, args: &[&str]) -> Said {
    let dir: &Path = project.dir.path();
    let mut command = godwit(dir);
    command.env("GODWIT_DATA_DIR", dir.join(state)).stdin(std::process::Stdio::null());
    command.arg(args[0]).args(["--url", url]).args(&args[1..]).output().unwrap().into()
}

#[test]
fn r24_after_a_restore_history_fence_and_ledger_say_the_same() {
    for kind in ALL {
        let world = World::new(kind);
        let before = world.applied();
        assert_eq!(before.0, ["001_m1", "002_m2"], "{kind:?}");
        let said = world.restore("state").expect(0);
        assert!(said.stdout.contains("pending again: `002_m2`"), "{kind:?}: {said:?}");
        assert_eq!(
            (world.applied().0, world.has(1), world.has(2)),
            (vec!["001_m1".to_owned()], true, false),
            "{kind:?}"
        );
        // An ordinary run from here, above every earlier runner's token.
        let report = world.project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(report["steps"].as_array().unwrap().len(), 1, "{kind:?}: {report}");
        let after = world.applied();
        assert_eq!((&after.0, world.has(2)), (&before.0, true), "{kind:?}");
        assert!(after.1 > before.1, "{kind:?}: {} > {}", after.1, before.1);
        let again = world.project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(again["outcome"], "nothing", "{kind:?}");
        let verified: Said = godwit(world.project.dir.path()).args(["audit", "verify"]).output().unwrap().into();
        verified.expect(0);
    }
}

#[test]
fn decisions_20_a_restore_that_the_store_was_not_told_of_is_noticed_on_every_engine() {
    for kind in ALL {
        let world = World::new(kind);
        let before = world.applied();
        // By somebody else, on another machine.
        world.restore("elsewhere").expect(0);
        // Where the history is written row by row, that of the second says itself that it was taken back.
        let gone = !world.project.database.history().iter().any(|row| row.starts_with("002_m2 "));
        let said = world.project.run(&["apply", "--yes", "--format", "json"]);
        if gone {
            assert_eq!((world.applied().0, world.has(2)), (vec!["001_m1".to_owned()], false), "{kind:?}");
            let blocked = &said.expect(4).json()["blocked_by"][0];
            assert_eq!(blocked["reason"], "drift", "{kind:?}: {blocked}");
            assert!(blocked["message"].as_str().unwrap().contains("002_m2"), "{blocked}");
            world
                .project
                .run(&["resolve", "002_m2", "--as", "rolled-back", "--reason", "last night's backup was restored"])
                .expect(0);
            world.project.run(&["apply", "--yes"]).expect(0);
        } else {
            said.expect(0);
        }
        let after = world.applied();
        assert_eq!((&after.0, world.has(2)), (&before.0, true), "{kind:?}");
        assert!(after.1 > before.1, "{kind:?}");
    }
}

#[test]
fn r24_a_database_that_was_lost_is_made_anew_and_restored() {
    for kind in BOTH {
        let world = World::new(kind);
        let before = world.applied();
        let database = &world.project.database;
        match kind {
            Kind::Sqlite => std::fs::remove_file(database.file()).unwrap(),
            _ => {
                database.query("drop schema public cascade");
                database.query("create schema public");
            }
        }
        let said = world.restore("state").expect(0);
        assert!(said.stdout.contains("pending again: `002_m2`"), "{kind:?}: {said:?}");
        world.project.run(&["apply", "--yes"]).expect(0);
        let after = world.applied();
        assert_eq!((&after.0, world.has(1), world.has(2)), (&before.0, true, true), "{kind:?}");
        assert!(after.1 > before.1, "{kind:?}: {} > {}", after.1, before.1);
    }
}

#[test]
fn r5_a_restore_waits_for_what_a_dead_run_left_alive() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n integer);"),
            ("2_i.up.sql", "-- godwit: no-transaction\ncreate index concurrently a_n on a (n);"),
        ],
    );
    let database = &project.database;
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let made = at(&project, "state", &database.url, &["backup", "--format", "json"]).expect(0).json();
    let backup = made["backups"][0]["path"].as_str().unwrap();
    // The build waits for this transaction, and its client is killed meanwhile.
    let holder = crate::support::wait(Blocker::hold(&project, "lock table a in row exclusive mode"));
    let mut run = project.spawn(&["apply", "--yes", "--lock-timeout", "60"]);
    let building = || {
        database.one("select count(*)::text from pg_stat_activity where datname = current_database() and query ilike '%create index concurrently%' and application_name like 'godwit:%'") != "0"
    };
    until("the build waits", building);
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(building(), "the server goes on with it");
    let restoring = std::thread::scope(|scope| {
        let waits = scope.spawn(|| at(&project, "state", &database.url, &["restore", backup, "--yes"]));
        until("the restore has the lock", || {
            database.one("select count(*)::text from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())") != "0"
        });
        // Then the build ends by itself, unless the restore has ended it before.
        drop(holder);
        waits.join().unwrap()
    });
    restoring.expect(0);
    assert_eq!(database.history(), ["1_a applied"]);
    assert_eq!(database.one("select count(*)::text from pg_indexes where indexname = 'a_n'"), "0");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(database.one("select indisvalid::text from pg_index where indexrelid = 'a_n'::regclass"), "true");
}

#[test]
fn r24_a_restore_leaves_the_records_of_other_applications_on_the_same_server_alone() {
    for kind in [Kind::Redis, Kind::RedisCluster, Kind::Elasticsearch] {
        let other = Project::new(kind, &[]);
        for (name, text) in (1..=2).flat_map(|n| change(&other.database, n)) {
            other.write(&name, &text);
        }
        other.run(&["apply", "--yes", "--to", "001_m1"]).expect(0);
        let world = World::new(kind);
        other.run(&["apply", "--yes"]).expect(0);
        let before = other.database.look().history;
        world.restore("state").expect(0);
        assert_eq!(other.database.look().history, before, "{kind:?}");
        let again = other.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(again["outcome"], "nothing", "{kind:?}");
    }
}
