//! Two runners, dead runners, and whatever else stands in the way on a PostgreSQL server.

use std::process::Child;

use crate::support::{Kind, Project, Said, until};

fn finish(child: Child) -> Said {
    child.wait_with_output().unwrap().into()
}

fn runs(project: &Project, query: &str) -> bool {
    let sql = format!(
        "select count(*)::text from pg_stat_activity where datname = current_database() and application_name like 'godwit:%' \
         and state = 'active' and query like '%{query}%'"
    );
    project.database.one(&sql) != "0"
}

#[test]
fn r4_a_runner_below_the_targets_fence_changes_nothing() {
    let project = Project::new(
        Kind::Postgres,
        &[("1_slow.up.sql", "create table a (n int);\nselect pg_sleep(3);"), ("2_b.up.sql", "create table b (n int);")],
    );
    let child = project.spawn(&["apply", "--yes", "--format", "json"]);
    until("the first migration runs", || runs(&project, "pg_sleep(3)"));
    // Waits for the open transaction, which reads the fence FOR SHARE.
    project.database.query("update godwit_fence set epoch = epoch + 10");
    let said = finish(child).expect(3);
    assert_eq!(said.json()["blocked_by"][0]["reason"], "fenced", "{said:?}");
    assert!(project.database.has_table("a") && !project.database.has_table("b"));
    assert_eq!(project.database.history(), ["1_slow applied"]);
    project.run(&["apply", "--yes"]).expect(0);
    assert!(project.database.has_table("b"));
}

#[test]
fn r5_an_orphaned_index_build_is_waited_for_before_anything_is_issued() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n int);\ninsert into a select generate_series(1, 1000);"),
            ("2_ix.up.sql", "create index concurrently a_n on a (n);"),
        ],
    );
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let mut blocker = crate::support::wait(Blocker::hold(&project, "lock table a in row exclusive mode"));
    let mut child = project.spawn(&["apply", "--yes"]);
    until("the build waits", || runs(&project, "create index concurrently"));
    let orphan = builds(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    let second = project.spawn(&["resume"]);
    until("the next runner waits, and the dead one's build is gone", || {
        let now = builds(&project);
        assert!(now.len() <= 1, "{now:?} beside the dead runner's {orphan:?}");
        !now.is_empty() && now != orphan
    });
    blocker.release();
    finish(second).expect(0);
    let valid = "select count(*)::text from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname like 'a_n%' and i.indisvalid";
    assert_eq!(project.database.one(valid), "1");
    assert_eq!(project.database.one("select count(*)::text from pg_index where not indisvalid"), "0");
    assert_eq!(project.database.history(), ["1_a applied", "2_ix applied"]);
}

/// The server's processes that build an index, or take one away that was left half built.
fn builds(project: &Project) -> Vec<String> {
    let sql = "select coalesce(string_agg(pid::text, ' '), '') from pg_stat_activity where datname = current_database() \
               and application_name like 'godwit:%' and query ~* '^(create|drop) index' and state = 'active'";
    project.database.one(sql).split_whitespace().map(str::to_owned).collect()
}

fn signal(name: &str, child: &Child) {
    let sent = std::process::Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

#[test]
fn r9_a_runner_that_stands_still_between_two_statements_is_overtaken_and_kept_out() {
    let fill = "-- godwit: backfill=a key=n batch=5 pause=20s\nupdate a set done = true where /* godwit:batch */ true;";
    let project = Project::new(
        Kind::Postgres,
        &[
            (
                "1_a.up.sql",
                "create table a (n int primary key, done bool);\ninsert into a select generate_series(1, 10);",
            ),
            ("2_fill.up.sql", fill),
        ],
    );
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let first = project.spawn(&["apply", "--yes", "--lease", "1"]);
    until("it rests between two batches", || project.database.one("select count(*)::text from a where done") == "5");
    // It does nothing for several leases, and is alive.
    let said = project.run(&["apply", "--yes", "--lease", "1", "--lock-wait", "3"]).expect(3);
    assert!(said.stdout.contains("another run holds this target's lock"), "{said:?}");
    signal("STOP", &first);
    project.run(&["resume", "--lease", "1", "--lock-wait", "120"]).expect(0);
    assert_eq!(project.database.history(), ["1_a applied", "2_fill applied"]);
    signal("CONT", &first);
    let said = finish(first).expect(3);
    assert!(said.stdout.contains("a newer run has taken this target over"), "{said:?}");
    assert_eq!(project.database.history(), ["1_a applied", "2_fill applied"]);
    assert_eq!(project.database.one("select count(*)::text from a where done"), "10");
}

#[test]
fn r9_a_long_statement_of_a_live_runner_and_of_one_that_stands_still_is_never_ended() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n int);\ninsert into a select generate_series(1, 1000);"),
            ("2_ix.up.sql", "create index concurrently a_n on a (n);"),
        ],
    );
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let mut blocker = crate::support::wait(Blocker::hold(&project, "lock table a in row exclusive mode"));
    let bounds = ["apply", "--yes", "--lease", "1", "--retry-for", "600"];
    let first = project.spawn(&bounds);
    until("the build waits", || runs(&project, "create index concurrently"));
    let building = builds(&project);
    for still in [false, true] {
        if still {
            signal("STOP", &first);
        }
        let said = project.run(&["apply", "--yes", "--lease", "1", "--lock-wait", "4"]).expect(3);
        assert!(said.stdout.contains("it runs `create index"), "{said:?}");
        assert_eq!(builds(&project), building, "stopped: {still}");
    }
    blocker.release();
    // The server finishes what it was told, and then the silent runner's session goes.
    project.run(&["resume", "--lease", "1", "--lock-wait", "120"]).expect(0);
    signal("CONT", &first);
    let said = finish(first);
    assert!(matches!(said.code, Some(0 | 3)), "{said:?}");
    assert_eq!(project.database.one("select bool_and(indisvalid)::text from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = 'a_n'"), "true");
    assert_eq!(project.database.history(), ["1_a applied", "2_ix applied"]);
}

#[test]
fn r9_the_server_is_told_to_drop_a_machine_that_was_cut_off_within_the_lease() {
    let seen = "create table seen as select current_setting('tcp_keepalives_idle') as idle, \
                current_setting('tcp_keepalives_interval') as pause, current_setting('tcp_user_timeout') as most;";
    // The second one comes after a script that takes all settings back.
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_seen.up.sql", seen),
            ("2_reset.up.sql", "reset all;"),
            ("3_again.up.sql", &seen.replace("seen", "again")),
        ],
    );
    project.run(&["apply", "--yes", "--lease", "12"]).expect(0);
    for table in ["seen", "again"] {
        let said = project.database.one(&format!("select idle || ' ' || pause || ' ' || most from {table}"));
        // Through a file on the same machine there is nothing to be cut off.
        let local = !project.database.url.contains("127.0.0.1") && !project.database.url.contains("localhost");
        assert!(said == "6 2 12000" || local && said.starts_with("0 "), "{table}: {said}");
    }
}

#[test]
fn r6_two_runners_on_a_pending_index_build_apply_it_once_and_do_not_deadlock() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n int);\ninsert into a select generate_series(1, 200000);"),
            ("2_ix.up.sql", "create index concurrently a_n on a (n);"),
        ],
    );
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let both: Vec<Child> = (0..2).map(|_| project.spawn(&["apply", "--yes", "--format", "json"])).collect();
    let said: Vec<Said> = both.into_iter().map(|c| finish(c).expect(0)).collect();
    let mut outcomes: Vec<String> = said.iter().map(|s| s.json()["outcome"].as_str().unwrap().to_owned()).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["applied", "nothing"]);
    assert!(said.iter().all(|s| !s.stdout.contains("deadlock") && !s.stderr.contains("deadlock")));
    assert_eq!(project.database.one("select bool_and(indisvalid)::text from pg_index"), "true");
}

#[test]
fn r7_an_invalid_index_is_rebuilt_and_a_different_one_asks_for_a_person() {
    for text in [
        "create unique index concurrently a_n on a (n);",
        "create unique index concurrently if not exists a_n on a (n);",
    ] {
        let project = Project::new(Kind::Postgres, &[("1_ix.up.sql", text)]);
        project.database.query("create table a (n int, m int); insert into a values (1), (1)");
        assert!(project.database.try_query("create unique index concurrently a_n on a (n)").is_err());
        project.database.query("delete from a; insert into a values (1), (2)");
        let valid = "select indisvalid::text from pg_index where indexrelid = 'a_n'::regclass";
        assert_eq!(project.database.one(valid), "false");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one(valid), "true", "{text}");

        let other = Project::new(Kind::Postgres, &[("1_ix.up.sql", text)]);
        other.database.query("create table a (n int, m int); create unique index a_n on a (m)");
        let said = other.run(&["apply", "--yes", "--format", "json"]);
        if text.contains("exists") {
            assert_eq!(said.code, Some(4), "{said:?}");
            assert_eq!(said.json()["outcome"], "needs_human");
            assert_eq!(other.run(&["apply", "--yes"]).code, Some(4), "it stays so until it is settled");
            other.database.query("drop index a_n");
            other.run(&["resolve", "1_ix", "--as", "retry", "--reason", "dropped the other index"]).expect(0);
            other.run(&["apply", "--yes"]).expect(0);
        } else {
            assert_eq!(said.code, Some(4), "{said:?}");
        }
    }
}

#[test]
fn r18_what_is_retried_in_the_middle_of_a_rollback_goes_on_undoing() {
    let down = "drop index concurrently a_n;\ndrop index concurrently a_m;";
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n int, m int);"),
            ("2_ix.up.sql", "create index concurrently a_n on a (n);\ncreate index concurrently a_m on a (m);"),
            ("2_ix.down.sql", down),
        ],
    );
    project.run(&["apply", "--yes"]).expect(0);
    project.run_killed_at("commit_acked:kill:1", &["rollback", "--steps", "1", "--yes"]);
    let history = || project.database.history();
    assert_eq!(history(), ["1_a applied", "2_ix running"]);
    project.database.query("update godwit_history set state = 'needs_human' where id = '2_ix'");
    project.run(&["resolve", "2_ix", "--as", "retry", "--reason", "looked at it"]).expect(0);
    // Neither forward, past what is gone, nor as if nothing was begun.
    let said = project.run(&["apply", "--yes"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stdout.contains("godwit resume") || said.stderr.contains("godwit resume"), "{said:?}");
    project.run(&["resume"]).expect(0);
    assert_eq!(history(), ["1_a applied", "2_ix rolled_back"]);
    assert_eq!(project.database.one("select count(*)::text from pg_class where relname like 'a\\__'"), "0");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select count(*)::text from pg_class where relname like 'a\\__'"), "2");
}

#[test]
fn r10_what_cannot_run_in_a_transaction_waits_in_short_pieces_too_where_readers_queue_behind_it() {
    let project =
        Project::new(Kind::Postgres, &[("1_a.up.sql", "create table a (n int);"), ("2_full.up.sql", "vacuum full a;")]);
    project.run(&["apply", "--yes", "--to", "1_a"]).expect(0);
    let mut blocker = crate::support::wait(Blocker::hold(&project, "lock table a in access share mode"));
    let bounds = ["apply", "--yes", "--format", "json", "--lock-timeout", "0.2", "--retry-for", "2"];
    let said = project.run(&bounds).expect(1).json();
    let hint = said["steps"][0]["error"]["hint"].as_str().unwrap_or_default().to_owned();
    assert!(hint.contains("waiting at most 200 ms each time"), "{said}");
    assert!(!hint.contains("tried 1 times"), "{said}");
    blocker.release();
    project.run(&["apply", "--yes"]).expect(0);
}

#[test]
fn r7_a_failed_build_leaves_no_invalid_index_behind() {
    let project = Project::new(Kind::Postgres, &[("1_ix.up.sql", "create unique index concurrently a_n on a (n);")]);
    project.database.query("create table a (n int); insert into a values (1), (1)");
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1);
    assert_eq!(said.json()["steps"][0]["state"], "failed");
    assert_eq!(said.json()["steps"][0]["error"]["code"], "23505");
    assert_eq!(project.database.one("select count(*)::text from pg_class where relname = 'a_n'"), "0");
    project.database.query("delete from a");
    project.run(&["apply", "--yes"]).expect(0);
}

#[test]
fn r10_waits_are_bounded_and_who_is_in_the_way_is_named() {
    let project = Project::new(Kind::Postgres, &[("1_a.up.sql", "alter table a add column m int;")]);
    project.database.query("create table a (n int)");
    let mut blocker = crate::support::wait(Blocker::hold(&project, "lock table a in access exclusive mode"));
    let bounds = ["apply", "--yes", "--format", "json", "--lock-timeout", "0.3", "--retry-for", "1"];
    let said = project.run(&bounds).expect(1);
    let error = said.json()["steps"][0]["error"].clone();
    assert_eq!(error["code"], "55P03");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("process {}", blocker.pid)) && hint.contains("access exclusive"), "{hint}");
    // A lock that is given back within the budget is got.
    let child = project.spawn(&["apply", "--yes", "--lock-timeout", "0.3", "--retry-for", "50"]);
    until("it waits", || runs(&project, "alter table a"));
    blocker.release();
    finish(child).expect(0);
}

#[test]
fn who_comes_second_is_told_who_holds_the_lock_and_since_when() {
    let project = Project::new(Kind::Postgres, &[("1_slow.up.sql", "select pg_sleep(3);")]);
    let child = project.spawn(&["apply", "--yes"]);
    until("the first one runs", || runs(&project, "pg_sleep(3)"));
    let said = project.run(&["apply", "--yes", "--lock-wait", "0.2"]).expect(3);
    assert!(said.stdout.contains("godwit:") && said.stdout.contains("since 20"), "{said:?}");
    finish(child).expect(0);
}

#[test]
fn a_time_limit_ends_the_statement_and_undoes_the_migration() {
    let project = Project::new(Kind::Postgres, &[("1_slow.up.sql", "create table a (n int);\nselect pg_sleep(60);")]);
    let said = project.run(&["apply", "--yes", "--timeout", "1", "--format", "json"]).expect(1);
    assert_eq!(said.json()["steps"][0]["error"]["code"], "57014");
    assert!(!project.database.has_table("a"));
}

/// A session of somebody else that holds something.
pub struct Blocker {
    pub pid: String,
    end: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Blocker {
    pub async fn hold(project: &Project, statement: &str) -> Self {
        use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
        let (url, sql) = (project.database.url.clone(), format!("begin; {statement}"));
        let (end, ended) = std::sync::mpsc::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            crate::support::wait(async {
                let mut c = sqlx::PgConnection::connect(&url).await.unwrap();
                let row = c.fetch_one("select pg_backend_pid()::text").await.unwrap();
                c.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
                ready.send(row.get::<String, _>(0)).unwrap();
                let _ = ended.recv();
                c.close().await.unwrap();
            });
        });
        Self { pid: is_ready.recv().unwrap(), end: Some(end), thread: Some(thread) }
    }

    pub fn release(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.release();
    }
}
