//! Kill at each point × engine × with and without a transaction; the oracle is an uninterrupted run.

use godwit::drivers::failpoint::NAMES;

use crate::support::{BOTH, Kind, Project};

/// Three migrations; the one in the middle is what the matrix is about.
fn files(kind: Kind, transactional: bool) -> Vec<(&'static str, &'static str)> {
    let middle = match (kind, transactional) {
        (Kind::Postgres, true) => "insert into hits values (2);\nselect pg_sleep(0.1);\ninsert into hits values (3);",
        (Kind::Postgres, false) => "create index concurrently hits_n on hits (n);",
        (Kind::Sqlite, true) => "insert into hits values (2);\ninsert into hits values (3);",
        (Kind::Sqlite, false) => "vacuum;",
    };
    vec![
        ("0001_hits.up.sql", "create table hits (n integer);\ninsert into hits values (1);"),
        ("0002_middle.up.sql", middle),
        ("0003_more.up.sql", "insert into hits values (4);"),
    ]
}

/// Everything that tells two databases apart.
fn state(project: &Project) -> (Vec<Vec<String>>, Vec<String>, Vec<Vec<String>>) {
    let objects = match project.database.kind {
        Kind::Postgres => {
            "select c.relname::text, coalesce(i.indisvalid::text, '') from pg_class c left join pg_index i on i.indexrelid = c.oid \
             where c.relnamespace = 'public'::regnamespace order by 1"
        }
        Kind::Sqlite => "select name, coalesce(sql, '') from sqlite_master order by 1",
    };
    (
        project.database.query("select cast(n as text) from hits order by n"),
        project.database.history(),
        project.database.query(objects),
    )
}

fn check(kind: Kind, transactional: bool, lose_the_store: bool) {
    let whole = Project::new(kind, &files(kind, transactional));
    whole.run(&["apply", "--yes"]).expect(0);
    let wanted = state(&whole);
    assert_eq!(wanted.1, ["0001_hits applied", "0002_middle applied", "0003_more applied"]);
    for name in NAMES {
        // Points of single statements are come to once for each migration: the second time is the one in the middle.
        let nth = if name.starts_with("stmt") || name.starts_with("commit") { 2 } else { 1 };
        let project = Project::new(kind, &files(kind, transactional));
        let killed = project.run_killed_at(&format!("{name}:kill:{nth}"), &["apply", "--yes"]);
        assert_eq!(killed.code, None, "{kind:?} {name} was not come to: {killed:?}");
        if lose_the_store {
            std::fs::remove_dir_all(project.dir.path().join("state")).unwrap();
        }
        project.run(&["resume"]).expect(0);
        assert_eq!(state(&project), wanted, "{kind:?} transactional={transactional} {name}");
        let again = project.run(&["apply", "--yes", "--format", "json"]).expect(0);
        assert_eq!(again.json()["outcome"], "nothing", "{name}");
    }
}

#[test]
fn r1_killed_at_any_point_of_a_transaction_then_resumed_is_as_if_never_killed() {
    BOTH.into_iter().for_each(|kind| check(kind, true, false));
}

#[test]
fn r1_killed_at_any_point_without_a_transaction_then_resumed_is_as_if_never_killed() {
    BOTH.into_iter().for_each(|kind| check(kind, false, false));
}

#[test]
fn r3_a_lost_store_makes_nothing_run_twice() {
    for kind in BOTH {
        check(kind, true, true);
        check(kind, false, true);
    }
}

#[test]
fn r2_killed_before_commit_neither_table_nor_row_is_there() {
    for (kind, sleep) in [(Kind::Postgres, "select pg_sleep(2);"), (Kind::Sqlite, "select 1;")] {
        let text = format!("create table a (n integer);\n{sleep}\ncreate table b (n integer);");
        let project = Project::new(kind, &[("1_a.up.sql", &text)]);
        let killed = project.run_killed_at("stmt_sent:kill", &["apply", "--yes"]);
        assert_eq!(killed.code, None);
        crate::support::until("the server has noticed", || {
            kind == Kind::Sqlite
                || project.database.one("select count(*)::text from pg_stat_activity where application_name like 'godwit:%' and datname = current_database()") == "0"
        });
        assert!(!project.database.has_table("a") && !project.database.has_table("b"), "{kind:?}");
        assert!(project.database.history().is_empty(), "{kind:?}");
    }
}

#[test]
fn r3_the_intent_is_in_the_store_before_the_first_statement() {
    for kind in BOTH {
        let project = Project::new(kind, &files(kind, true));
        assert_eq!(project.run_killed_at("intent_post:kill", &["apply", "--yes"]).code, None);
        assert!(!project.database.has_table("hits"));
        let store = format!("sqlite:{}", project.store().display());
        let fingerprint = project.database.one("select target_id from godwit_fence");
        let steps = crate::support::wait(async {
            let store = godwit::store::Store::open(&store).await.unwrap();
            store.unfinished_runs(&fingerprint).await.unwrap()
        });
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].steps.len(), 3);
        assert!(steps[0].epoch.0 > 0);
    }
}

#[test]
fn an_interrupted_rollback_is_finished_by_resume_and_by_nothing_else() {
    for kind in BOTH {
        let down = if kind == Kind::Postgres { "drop index concurrently a_n;" } else { "vacuum;" };
        let up = if kind == Kind::Postgres { "create index concurrently a_n on a (n);" } else { "vacuum;" };
        let project = Project::new(
            kind,
            &[("1_a.up.sql", "create table a (n integer);"), ("2_b.up.sql", up), ("2_b.down.sql", down)],
        );
        project.run(&["apply", "--yes"]).expect(0);
        let killed = project.run_killed_at("stmt_acked:kill", &["rollback", "--steps", "1", "--yes"]);
        assert_eq!(killed.code, None);
        let said = project.run(&["apply", "--yes"]).expect(3);
        assert!(said.stdout.contains("resume"), "{said:?}");
        project.run(&["resume"]).expect(0);
        assert_eq!(project.database.history(), ["1_a applied", "2_b rolled_back"], "{kind:?}");
    }
}

#[test]
fn r4_resume_closes_a_run_that_had_nothing_left_to_do() {
    for kind in BOTH {
        let project = Project::new(kind, &files(kind, true));
        assert_eq!(project.run_killed_at("record_pre:kill", &["apply", "--yes"]).code, None);
        let fingerprint = project.database.one("select target_id from godwit_fence");
        let store = format!("sqlite:{}", project.store().display());
        let open = || {
            crate::support::wait(async {
                let store = godwit::store::Store::open(&store).await.unwrap();
                store.unfinished_runs(&fingerprint).await.unwrap().len()
            })
        };
        assert_eq!(open(), 1);
        let said = project.run(&["resume", "--format", "json"]).expect(0).json();
        assert_eq!((&said["outcome"], said["ended"].as_array().unwrap().len()), (&"nothing".into(), 1), "{said}");
        assert_eq!(open(), 0, "{kind:?}");
        assert!(project.run(&["resume", "--format", "json"]).expect(0).json().get("ended").is_none());
    }
}
