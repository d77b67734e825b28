//! Tests: what is applied stays so, wherever its file came to stand and whatever its own tool alone can do with it.

use super::tests::{PLAIN, row, set, with};
use super::*;
use crate::migration::{MigrationRoot, SourceFile, resolve};

fn steps(set: &MigrationSet, history: &[HistoryRow]) -> Result<Vec<String>, Vec<(String, String)>> {
    with(set, history, &PLAIN, plan_apply)
        .map(|planned| planned.plan.steps.iter().map(|s| s.migration.to_string()).collect())
        .map_err(|refusals| refusals.into_iter().map(|r| (r.reason, r.message)).collect())
}

#[test]
fn what_was_recorded_under_a_folder_below_is_not_run_again() {
    let files = [
        ("db/migration/V1__a.sql", "select 1;"),
        ("db/migration/2024/01/V2__b.sql", "select 2;"),
        ("db/migration/2025/03/V3__c.sql", "select 3;"),
    ]
    .map(|(path, text)| SourceFile::new(path, text));
    let whole = resolve(&files, &[MigrationRoot::folder("**")]);
    // As it was when each of these folders was read by itself.
    let mut history: Vec<HistoryRow> =
        whole.migrations[..2].iter().map(|m| row(m, MigrationState::Applied, 1)).collect();
    history[1].unit = "db/migration/2024/01".to_owned();
    assert_eq!(steps(&whole, &history), Ok(vec!["V3__c".to_owned()]));
    history.push(HistoryRow {
        unit: "db/migration/2025/03".to_owned(),
        ..row(&whole.migrations[2], MigrationState::Applied, 2)
    });
    assert_eq!(steps(&whole, &history), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_run_stops_nothing_where_it_is_applied() {
    let set = set(&[
        ("V1__a.sql", "create table t (id int);"),
        ("V2__b.sql", "select 1;\ninsert into ${tb} values (1);"),
        ("V3__c.sql", "select 3;"),
    ]);
    let history: Vec<HistoryRow> = set.migrations[..2].iter().map(|m| row(m, MigrationState::Applied, 1)).collect();
    assert_eq!(steps(&set, &history), Ok(vec!["V3__c".to_owned()]));
    let refused = steps(&set, &history[..1]).unwrap_err();
    assert!(refused.len() == 1 && refused[0].0 == "invalid-set", "{refused:?}");
    assert!(refused[0].1.starts_with("V2__b.sql:2: holds a placeholder"), "{refused:?}");
    // Only what is asked for counts.
    let up_to = with(&set, &[], &PLAIN, |request| plan_apply(&Request { to: Some("1"), ..*request }));
    assert_eq!(up_to.unwrap().plan.steps.len(), 1);
}
