//! Backfills in batches: killed, cancelled, edited, taken over; and no row done twice or left out.

mod contract;
mod keys;
pub mod lag;
mod load;
mod upgrade;

use godwit::drivers::failpoint::NAMES;

use crate::support::{BOTH, Database, Kind, Project, until};

const ROWS: u32 = 50;

/// Marks and statement: every row's counter is raised by one, seven keys at a time.
const FILL: &str = "-- godwit: backfill=items key=id batch=7 phase=backfill\n\
                    update items set touched = touched + 1 where /* godwit:batch */ true;";

/// A table with gaps in its keys.
fn table(kind: Kind) -> String {
    match kind {
        Kind::Postgres => format!(
            "create table items (id bigint primary key, touched int not null default 0);\n\
             insert into items select n * 3, 0 from generate_series(1, {ROWS}) n;"
        ),
        Kind::Sqlite => format!(
            "create table items (id integer primary key, touched integer not null default 0);\n\
             with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS}) \
             insert into items select i * 3, 0 from n;"
        ),
        other => panic!("{other:?} has no rows"),
    }
}

fn project(kind: Kind) -> Project {
    project_on(Database::fresh(kind))
}

fn project_on(database: Database) -> Project {
    let kind = database.kind;
    Project::of(
        database,
        &[
            ("1_items.up.sql", &table(kind)),
            ("2_fill.up.sql", FILL),
            ("3_after.up.sql", "create table after_it (n int);"),
        ],
    )
}

/// How often rows were touched, with how many rows each.
fn touched(project: &Project) -> Vec<Vec<String>> {
    project
        .database
        .query("select cast(touched as text), cast(count(*) as text) from items group by touched order by touched")
}

fn once() -> Vec<Vec<String>> {
    vec![vec!["1".to_owned(), ROWS.to_string()]]
}

#[test]
fn every_row_is_changed_once_and_the_rows_are_counted() {
    for kind in BOTH {
        let project = project(kind);
        let said = project.run(&["apply", "--yes", "--format", "json", "-v"]).expect(0);
        assert_eq!(touched(&project), once(), "{kind:?}");
        let step = &said.json()["steps"][1];
        assert_eq!(
            (&step["rows"], &step["recovery"], &step["in_transaction"]),
            (&ROWS.into(), &"idempotent".into(), &false.into())
        );
        assert!(step["recovery_reason"].as_str().unwrap().contains("checkpoint"), "{step}");
        // Eight batches: the first tells seven rows, the last all.
        assert!(said.stderr.contains("statement 1: 7 ") && said.stderr.contains(&format!("{ROWS} ")), "{said:?}");
        assert!(project.database.has_table("after_it"));
        assert_eq!(project.database.one("select progress from godwit_history where id = '2_fill'"), "");
    }
}

#[test]
fn r1_killed_at_every_border_and_inside_of_each_batch_no_row_is_done_twice_or_left_out() {
    for kind in BOTH {
        for name in NAMES.into_iter().filter(|n| n.starts_with("stmt") || n.starts_with("commit")) {
            // The first visit is the migration before it; then come eight batches.
            for nth in [2, 3, 6, 9] {
                let project = project(kind);
                let killed = project.run_killed_at(&format!("{name}:kill:{nth}"), &["apply", "--yes"]);
                assert_eq!(killed.code, None, "{kind:?} {name} {nth} was not come to: {killed:?}");
                project.run(&["resume"]).expect(0);
                assert_eq!(touched(&project), once(), "{kind:?} {name} {nth}");
                assert_eq!(project.database.history(), ["1_items applied", "2_fill applied", "3_after applied"]);
                let again = project.run(&["apply", "--yes", "--format", "json"]).expect(0);
                assert_eq!(again.json()["outcome"], "nothing");
            }
        }
    }
}

#[test]
fn a_run_whose_time_is_up_stops_between_two_batches_and_goes_on_later() {
    for kind in BOTH {
        let project = project(kind);
        let said = project.run(&["apply", "--yes", "--pause", "1", "--timeout", "2.5", "--format", "json"]);
        assert_eq!(said.json()["steps"][1]["state"], "running", "{said:?}");
        let some = touched(&project);
        assert!(some.len() == 2 && some[1][0] == "1", "{kind:?}: some are done, none twice: {some:?}");
        let resumed = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(resumed["steps"][0]["rows"], ROWS, "those of the first attempt count: {resumed}");
        assert_eq!(touched(&project), once(), "{kind:?}");
    }
}

#[test]
fn a_script_edited_after_its_first_batches_is_refused() {
    for kind in BOTH {
        let project = project(kind);
        assert_eq!(project.run_killed_at("commit_acked:kill:4", &["apply", "--yes"]).code, None);
        project.write("2_fill.up.sql", &FILL.replace("touched + 1", "touched + 10"));
        let said = project.run(&["apply", "--yes"]);
        assert_eq!(said.code, Some(4), "{said:?}");
        assert!(said.stdout.contains("edited"), "{said:?}");
        project.write("2_fill.up.sql", FILL);
        project.run(&["resume"]).expect(0);
        assert_eq!(touched(&project), once(), "{kind:?}");
    }
}

#[test]
fn a_batch_that_fails_keeps_those_before_it_and_an_edit_cannot_go_on_from_them() {
    for kind in BOTH {
        let fill = FILL.replace("touched + 1", "1 / (id - 90) + touched + 1");
        let files = [("1_items.up.sql", table(kind)), ("2_fill.up.sql", fill)];
        if kind == Kind::Sqlite {
            // There a division by zero is NULL, which the column refuses as well.
            assert!(files[0].1.contains("not null"));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
        let project = Project::new(kind, &files);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(said["steps"][1]["state"], "failed", "{said}");
        assert_eq!(said["steps"][1]["error"]["line"], 2, "{said}");
        // Batches of seven: key 90 is the thirtieth, in the fifth batch.
        assert_eq!(
            project.database.one("select cast(count(*) as text) from items where touched > 0"),
            "28",
            "{kind:?}"
        );
        project.write("2_fill.up.sql", FILL);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert!(said["steps"][0]["error"]["message"].as_str().unwrap().contains("was edited after 28 rows"), "{said}");
        project.run(&["resolve", "2_fill", "--as", "rolled-back", "--reason", "set back by hand"]).expect(0);
        project.database.query("update items set touched = 0");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(touched(&project), once(), "{kind:?}");
    }
}

#[test]
fn rows_that_come_meanwhile_are_caught_up_to_the_last_key() {
    let project = project(Kind::Postgres);
    let child = project.spawn(&["apply", "--yes", "--pause", "0.3"]);
    until("the first batch is done", || {
        project.database.has_table("items")
            && project.database.one("select count(*)::text from items where touched = 1") != "0"
    });
    project.database.query("insert into items values (1000, 0), (1001, 0)");
    let said: crate::support::Said = child.wait_with_output().unwrap().into();
    said.expect(0);
    assert_eq!(touched(&project), vec![vec!["1".to_owned(), (ROWS + 2).to_string()]]);
}

#[test]
fn r4_a_runner_below_the_targets_fence_changes_no_further_batch() {
    for kind in BOTH {
        let project = project(kind);
        let child = project.spawn(&["apply", "--yes", "--pause", "0.5", "--format", "json"]);
        let done = || {
            let count = "select cast(count(*) as text) from items where touched = 1";
            project.database.try_query(count).ok().and_then(|r| r[0][0].parse::<u32>().ok()).unwrap_or(0)
        };
        until("the first batch is done", || done() > 0);
        project.database.query("update godwit_fence set epoch = epoch + 10");
        let before = done();
        let said: crate::support::Said = child.wait_with_output().unwrap().into();
        let said = said.expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "fenced", "{said}");
        assert_eq!(done(), before, "{kind:?}");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(touched(&project), once(), "{kind:?}");
    }
}

#[test]
fn r10_a_row_that_somebody_holds_is_waited_for_in_short_turns() {
    let project = project(Kind::Postgres);
    project.run(&["apply", "--yes", "--to", "1_items"]).expect(0);
    let mut blocker = crate::support::wait(crate::kill::takeover::Blocker::hold(
        &project,
        "update items set touched = touched where id = 90",
    ));
    let bounds = ["apply", "--yes", "--format", "json", "--lock-timeout", "0.2", "--retry-for", "1"];
    let said = project.run(&bounds).expect(1).json();
    let error = &said["steps"][0]["error"];
    assert_eq!(error["code"], "55P03", "{said}");
    assert!(error["hint"].as_str().unwrap().contains(&format!("process {}", blocker.pid)), "{error}");
    blocker.release();
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(touched(&project), once());
}
