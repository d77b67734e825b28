//! The questions.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use godwit::drivers::{Pace, Probe};
use godwit::migration::operations;

use super::*;
use crate::support::until;

pub(super) async fn nobody_has_been_here<D: Driver>(world: &World<D>) {
    let mut driver = world.driver().await;
    assert_eq!(driver.history().await.unwrap(), []);
    assert_eq!(driver.holder().await.unwrap(), None);
}

pub(super) async fn r9_the_lock_keeps_a_second_one_out_and_tells_it_who<D: Driver>(world: &World<D>) {
    let first = options();
    let session = world.driver().await.lock(&first).await.unwrap();
    let mut second = world.driver().await;
    let holder = second.holder().await.unwrap().expect("somebody holds it");
    assert!(holder.who.contains(&format!("godwit:{}", first.run)), "{holder:?}");
    let refused = second.lock(&impatient()).await.err().expect("it is held");
    assert!(matches!(&refused, DriverError::Locked(h) if h.who.contains(first.run.as_str())), "{refused:?}");
    session.unlock().await.unwrap();
    // Given back, it is free at once.
    world.driver().await.lock(&impatient()).await.unwrap().unlock().await.unwrap();
    assert_eq!(world.driver().await.holder().await.unwrap(), None);
}

pub(super) async fn r9_the_lock_of_a_dead_process_is_taken<D: Driver>(world: &World<D>) {
    let database = &world.it.database;
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files(database, steps(database.kind)[0]) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let killed = crate::support::godwit(dir.path())
        .args(["apply", "--yes", "--url", &database.url, "--path"])
        .arg(dir.path())
        .env("GODWIT_FAILPOINT", "lock_post:kill")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    // Long before its lease would be over.
    let patient = SessionOptions { lock_wait: Duration::from_secs(15), ..options() };
    world.driver().await.lock(&patient).await.unwrap().unlock().await.unwrap();
}

/// A run of what makes `second` and before it `first`, as a machine begins it whose clock is wrong by so many hours.
fn by_a_wrong_clock<D>(world: &World<D>, dir: &Path, hours: i32, args: &[&str]) -> Command {
    let engine = world.it.database.kind.engine();
    for (n, name) in ["first", "second"].into_iter().enumerate() {
        let (mut ending, mut text) = ("up.sql", world.it.make(name));
        if operations::are_operations(engine) {
            ending = "json";
            text = format!(
                r#"{{"version": "1.{n}.0", "name": "{name}", "description": "A clock", "migration_type": "data",
                    "database_type": "{engine}", "operations": {text}, "rollback": []}}"#
            );
        }
        std::fs::write(dir.join(format!("00{}_{name}.{ending}", n + 1)), text).unwrap();
    }
    let library = std::env::var("GODWIT_TEST_FAKETIME").expect("this test needs faketime: run `scripts/test`");
    let mut command = crate::support::godwit(dir);
    command.args(["apply", "--yes", "--url", &world.it.database.url, "--path"]).arg(dir).args(args);
    command.env("LD_PRELOAD", library).env("FAKETIME", format!("{hours:+}h")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

pub(super) async fn r9_clocks_that_are_hours_apart_neither_end_a_lease_nor_keep_it<D: Driver>(world: &World<D>) {
    let (mine, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let held = mine.path().join("held");
    let holds = |hours: i32, args: &[&str]| {
        let point = format!("lock_post:wait:1:{}", held.display());
        let child = by_a_wrong_clock(world, mine.path(), hours, args).env("GODWIT_FAILPOINT", point).spawn().unwrap();
        until("it has the lock", || held.exists());
        child
    };
    let follows =
        |hours: i32, args: &[&str]| by_a_wrong_clock(world, theirs.path(), hours, args).status().unwrap().code();
    // By the second one's clock the first one's lease ends in ten hours, and by the first one's the second one's did.
    let mut silent = holds(5, &["--lease", "2", "--to", "001_first"]);
    // A process that stands still keeps SQLite's own lock.
    signal(if world.it.database.kind == Kind::Sqlite { "KILL" } else { "STOP" }, &silent);
    assert_eq!(follows(-5, &["--lease", "2", "--to", "001_first", "--lock-wait", "60"]), Some(0), "it is silent");
    assert!(world.it.is_made("first") && !world.it.is_made("second"));
    silent.kill().unwrap();
    silent.wait().unwrap();
    std::fs::remove_file(&held).unwrap();
    // The other way round it ended ten hours ago.
    let mut alive = holds(-5, &["--lease", "60"]);
    assert_eq!(follows(5, &["--lock-wait", "1"]), Some(3), "it is alive");
    assert!(!world.it.is_made("second"));
    alive.kill().unwrap();
    alive.wait().unwrap();
    assert_eq!(follows(5, &["--lock-wait", "60"]), Some(0), "it is dead");
    assert!(world.it.is_made("first") && world.it.is_made("second"));
}

pub(super) async fn r9_the_lock_of_a_living_process_is_not_taken<D: Driver>(world: &World<D>) {
    // Long enough for a machine on which much else goes on to renew it in time.
    let lease = Duration::from_millis(2000);
    let session = world.driver().await.lock(&SessionOptions { lease, ..options() }).await.unwrap();
    let patient = SessionOptions { lock_wait: lease * 2, ..options() };
    let refused = world.driver().await.lock(&patient).await.err().expect("it is renewed");
    assert!(matches!(refused, DriverError::Locked(_)), "{refused:?}");
    session.unlock().await.unwrap();
}

pub(super) async fn r4_the_fence_only_rises<D: Driver>(world: &World<D>) {
    let mut session = world.driver().await.lock(&options()).await.unwrap();
    assert_eq!(session.fence(Epoch(41)).await.unwrap(), Epoch(42));
    assert_eq!(session.fence(Epoch(0)).await.unwrap(), Epoch(43));
    let fingerprint = session.fingerprint().to_owned();
    session.unlock().await.unwrap();
    let (session, epoch) = world.session(&options()).await;
    assert!(epoch > Epoch(43), "{epoch:?}");
    assert!(!fingerprint.is_empty() && session.fingerprint() == fingerprint, "it identifies the database");
    session.unlock().await.unwrap();
}

pub(super) async fn a_statement_takes_effect_and_is_marked<D: Driver>(world: &World<D>) {
    let mine = options();
    let (mut session, epoch) = world.session(&mine).await;
    let running = row("1_a", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let text = world.it.make("made");
    let statement = &world.statements(&text).await[0];
    session.run_statement(&single(&text, statement, &running, 1)).await.unwrap();
    assert!(world.it.is_made("made"));
    let rows = session.history().await.unwrap();
    assert_eq!(marks(&rows, "1_a"), Some((MigrationState::Running, 1)));
    assert_eq!(rows[0].finished_at, None);
    let mut applied = row("1_a", MigrationState::Applied, &mine.run, epoch);
    applied.statements_done = 1;
    session.write_row(&applied).await.unwrap();
    let rows = session.history().await.unwrap();
    assert_eq!(marks(&rows, "1_a"), Some((MigrationState::Applied, 1)));
    assert!(rows.len() == 1 && rows[0].finished_at.is_some());
    assert!((Utc::now() - rows[0].started_at).num_seconds().abs() < 60, "by the server's clock");
    session.unlock().await.unwrap();
    assert_eq!(marks(&world.driver().await.history().await.unwrap(), "1_a"), Some((MigrationState::Applied, 1)));
}

pub(super) async fn a_failed_statement_tells_the_servers_words_and_leaves_nothing<D: Driver>(world: &World<D>) {
    let mine = options();
    let (mut session, epoch) = world.session(&mine).await;
    let running = row("1_a", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let before = world.it.database.contents(Own::Not);
    let (text, words) = world.it.fail();
    let statement = &world.statements(&text).await[0];
    let failure = session.run_statement(&single(&text, statement, &running, 1)).await.expect_err("it cannot be done");
    assert!(matches!(&failure, DriverError::Statement(f) if f.message.contains(words)), "{failure:?}");
    assert_eq!(world.it.database.contents(Own::Not), before);
    assert_eq!(marks(&session.history().await.unwrap(), "1_a"), Some((MigrationState::Running, 0)));
    // The session goes on.
    let text = world.it.make("made");
    let statement = &world.statements(&text).await[0];
    session.run_statement(&single(&text, statement, &running, 1)).await.unwrap();
    assert!(world.it.is_made("made"));
    session.unlock().await.unwrap();
}

pub(super) async fn a_mark_alone_changes_nothing_else<D: Driver>(world: &World<D>) {
    let mine = options();
    let (mut session, epoch) = world.session(&mine).await;
    let running = row("1_a", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let before = world.it.database.contents(Own::Not);
    let text = world.it.make("made");
    let statement = &world.statements(&text).await[0];
    session.mark(&single(&text, statement, &running, 1)).await.unwrap();
    assert_eq!(marks(&session.history().await.unwrap(), "1_a"), Some((MigrationState::Running, 1)));
    assert_eq!(world.it.database.contents(Own::Not), before);
    session.unlock().await.unwrap();
}

pub(super) async fn r4_who_was_taken_over_changes_nothing_in_any_way<D: Driver>(world: &World<D>) {
    let mine = options();
    let (mut stale, epoch) = world.session(&mine).await;
    let running = row("1_a", MigrationState::Running, &mine.run, epoch);
    stale.write_row(&running).await.unwrap();
    // A driver may keep a row back until its first statement; whoever reads makes it write.
    assert_eq!(stale.history().await.unwrap().len(), 1);
    let text = world.it.make("made");
    let statement = &world.statements(&text).await[0];
    world.it.raise();
    let before = world.it.database.contents(Own::Not);
    let late = row("2_b", MigrationState::Applied, &mine.run, epoch);
    let mut results = vec![
        ("statement", stale.run_statement(&single(&text, statement, &running, 1)).await.map(|_| ())),
        ("mark", stale.mark(&single(&text, statement, &running, 1)).await),
        ("row", stale.write_row(&late).await),
    ];
    if !operations::are_operations(world.it.database.kind.engine()) {
        let script = godwit::drivers::Script {
            text: &text,
            body: 0..text.len(),
            long: None,
            checks: &[],
            modes: None,
            row: &late,
            row_exists: false,
        };
        results.push(("script", stale.run_script(&script).await));
    }
    for (way, result) in results {
        assert!(matches!(result, Err(DriverError::Fenced)), "{way}: {result:?}");
    }
    let rows = world.driver().await.history().await.unwrap();
    assert_eq!((rows.len(), marks(&rows, "1_a")), (1, Some((MigrationState::Running, 0))));
    assert_eq!(world.it.database.contents(Own::Not), before);
}

pub(super) async fn rows_read_as_they_were_written<D: Driver>(world: &World<D>) {
    let mine = options();
    let (mut session, epoch) = world.session(&mine).await;
    let odd = "a'b\"c\\d\n$e{f}[g]%h\u{1f426}.i/j:k";
    let mut written = BTreeMap::new();
    for (n, (unit, pr, commit)) in
        [(odd, true, true), ("", false, false), ("services/shop", true, false)].into_iter().enumerate()
    {
        let id = format!("{n}_{}", "x".repeat(n * 60 + 1));
        let mut row = row(&id, MigrationState::Failed, &mine.run, epoch);
        row.unit = unit.to_owned();
        row.by = odd.to_owned();
        row.error = (n != 1).then(|| odd.repeat(20));
        row.statements_done = i32::try_from(n).unwrap();
        row.pr = row.pr.filter(|_| pr);
        row.commit = row.commit.filter(|_| commit);
        row.action = [StepAction::Apply, StepAction::Rollback, StepAction::Baseline][n];
        row.state = [MigrationState::Failed, MigrationState::RolledBack, MigrationState::NeedsHuman][n];
        session.write_row(&row).await.unwrap();
        written.insert(id, row);
    }
    session.unlock().await.unwrap();
    let read = world.driver().await.history().await.unwrap();
    assert_eq!(read.len(), 3);
    for found in read {
        let row = &written[found.id.as_str()];
        // Times are the server's.
        let times = HistoryRow {
            started_at: found.started_at,
            finished_at: found.finished_at,
            duration_ms: found.duration_ms,
            ..row.clone()
        };
        assert!(found.finished_at.is_some());
        assert_eq!(found, times);
    }
}

pub(super) async fn r21_a_probe_tells_what_is_there_from_what_is_not<D: Driver>(world: &World<D>) {
    let Some(text) = world.it.build() else {
        // Everything of this engine commits with its mark, or converges: there is nothing to be looked for.
        return;
    };
    let mine = options();
    let (mut session, epoch) = world.session(&mine).await;
    let running = row("1_a", MigrationState::Running, &mine.run, epoch);
    session.write_row(&running).await.unwrap();
    let statement = &world.statements(&text).await[0];
    let single = single(&text, statement, &running, 1);
    let before = world.it.database.contents(Own::Too);
    assert_eq!(session.probe(&single).await.unwrap(), Probe::NotStarted);
    assert_eq!(world.it.database.contents(Own::Too), before, "a look changes nothing");
    session.run_statement(&single).await.unwrap();
    assert_eq!(session.probe(&single).await.unwrap(), Probe::Done);
    session.unlock().await.unwrap();
}

pub(super) async fn what_was_done_can_be_taken_back_and_what_was_not_is_left_alone<D: Driver>(world: &World<D>) {
    let Some(text) = world.it.reversible() else { return };
    let engine = world.it.database.kind.engine();
    let before = world.it.database.contents(Own::Not);
    let read = operations::read(engine, &text).unwrap();
    let undo = operations::undo_of(&text, &read);
    let forward = &world.statements(&text).await[0];
    let backward = &world.statements(&undo).await[0];
    for begun in [true, false] {
        let mine = options();
        let (mut session, epoch) = world.session(&mine).await;
        let id = if begun { "1_a" } else { "2_b" };
        let running = row(id, MigrationState::Running, &mine.run, epoch);
        session.write_row(&running).await.unwrap();
        if begun {
            session.run_statement(&single(&text, forward, &running, 1)).await.unwrap();
            assert_ne!(world.it.database.contents(Own::Not), before);
        }
        let back = HistoryRow { action: StepAction::Undo, ..running.clone() };
        session.write_row(&back).await.unwrap();
        session.run_statement(&single(&undo, backward, &back, 1)).await.unwrap();
        assert_eq!(world.it.database.contents(Own::Not), before, "begun: {begun}");
        let failed = row(id, MigrationState::Failed, &mine.run, epoch);
        session.write_row(&failed).await.unwrap();
        session.unlock().await.unwrap();
    }
}

pub(super) async fn r20_batches_go_on_where_they_were_stopped<D: Driver>(world: &World<D>) {
    let Some(text) = world.it.batches() else { return };
    let statement = &world.statements(&text).await[0];
    let pace = Pace::default();
    let cancel = pace.cancel.clone();
    let first =
        SessionOptions { pace: Pace { listener: Some(Arc::new(move |_| cancel.cancel())), ..pace }, ..options() };
    let (mut session, epoch) = world.session(&first).await;
    let running = row("1_a", MigrationState::Running, &first.run, epoch);
    session.write_row(&running).await.unwrap();
    let stopped = session.run_statement(&single(&text, statement, &running, 1)).await.expect_err("it was cancelled");
    assert!(matches!(stopped, DriverError::Stopped(_)), "{stopped:?}");
    assert_eq!(marks(&session.history().await.unwrap(), "1_a"), Some((MigrationState::Running, 0)));
    session.unlock().await.unwrap();

    let second = options();
    let (mut session, epoch) = world.session(&second).await;
    let running = row("1_a", MigrationState::Running, &second.run, epoch);
    session.write_row(&running).await.unwrap();
    let changed = session.run_statement(&single(&text, statement, &running, 1)).await.unwrap();
    match world.it.database.kind {
        // What was there already it does not count again.
        Kind::Elasticsearch => assert!(changed.is_some_and(|n| (1..=7).contains(&n)), "{changed:?}"),
        _ => assert_eq!(changed, Some(7), "both attempts together"),
    }
    assert_eq!(marks(&session.history().await.unwrap(), "1_a"), Some((MigrationState::Running, 1)));
    session.unlock().await.unwrap();
    let all = world.it.database.contents(Own::Not);
    let changed = all.iter().filter(|(name, _)| !name.ends_with("_things")).flat_map(|(_, rows)| rows);
    let once = |row: &&String| {
        (0..7).any(|n| {
            row.ends_with(&format!("10{n}"))
                || row.contains(&format!("\"n\":10{n}}}"))
                || row.contains(&format!("\"m\":{n}}}"))
        })
    };
    assert_eq!(changed.filter(once).count(), 7, "each once: {all:?}");
}

pub(super) async fn capabilities_and_schema_say_the_same_twice_and_nothing_of_godwit<D: Driver>(world: &World<D>) {
    let (session, _) = world.session(&options()).await;
    session.unlock().await.unwrap();
    let mut driver = world.driver().await;
    let (first, second) = (driver.capabilities().await.unwrap(), driver.capabilities().await.unwrap());
    assert_eq!(first, second);
    let ours = |objects: BTreeMap<String, String>| -> BTreeMap<String, String> {
        // Other tests use the same Elasticsearch.
        let shared = world.it.database.kind == Kind::Elasticsearch;
        objects.into_iter().filter(|(name, _)| !shared || name.contains(world.it.database.name())).collect()
    };
    let (first, second) = (driver.schema().await.unwrap(), driver.schema().await.unwrap());
    let (first, second) = (ours(first.objects), ours(second.objects));
    assert_eq!(first, second);
    assert!(!first.is_empty());
    assert!(first.keys().all(|name| !name.contains("godwit")), "{first:?}");
}
