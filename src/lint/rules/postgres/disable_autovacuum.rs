//! `SET (autovacuum_enabled = false)`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "disable-autovacuum",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "Autovacuum switched off",
    },
    check: Check::Statement(check),
    help: "tune its thresholds for the table instead; without it dead rows pile up until an emergency vacuum",
    ok: &["alter table t set (fillfactor = 70);", "alter table t set (autovacuum_enabled = true);"],
    bad: &[
        "alter table t set (autovacuum_enabled = false);",
        "create table t (a int) with (autovacuum_enabled = off);",
    ],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !matches!(&statement.node, ast::Stmt::AlterTable(_) | ast::Stmt::CreateTable(_)) {
        return;
    }
    let text = &script.text[statement.range.clone()];
    let Some(at) = text.to_ascii_lowercase().find("autovacuum_enabled") else { return };
    let value = text[at + "autovacuum_enabled".len()..]
        .trim_start()
        .trim_start_matches('=')
        .trim_start()
        .trim_start_matches('\'');
    if ["false", "off", "0", "no"].iter().any(|v| value.get(..v.len()).is_some_and(|t| t.eq_ignore_ascii_case(v))) {
        let start = statement.range.start + at;
        report.add_range(
            start..start + "autovacuum_enabled".len(),
            "without autovacuum the table grows, its plans go stale, and one day a vacuum against wraparound stops everything",
        );
    }
}
