//! `LOCK TABLE`.

use super::prelude::*;
use crate::lint::effect::Lock;
use crate::lint::locks::of_mode;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "lock-table",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "LOCK TABLE holds a lock for the whole transaction",
    },
    check: Check::Statement(check),
    help: "take the weakest mode that does, last, and only around short statements; most changes take the lock they need by themselves",
    ok: &[
        "select 1 from t for update;",
        "create table t (a int); lock table t;",
        "lock table t in row exclusive mode;",
        "lock table t in access share mode;",
        "lock table t in share update exclusive mode;",
    ],
    bad: &["lock table t in access exclusive mode;", "lock t;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Lock(lock) = &statement.node else { return };
    let mode = lock.lock_mode_clause().map_or(Lock::AccessExclusive, |clause| of_mode(&clause));
    // The weaker ones are those of reading, of writing and of maintenance: no program waits for them.
    if mode < Lock::Share {
        return;
    }
    let tables = tables_of(&statement.node).join("`, `");
    let message = if mode == Lock::AccessExclusive {
        format!("`{tables}` stays locked until the migration commits, and everything behind it waits")
    } else {
        format!("`{tables}` stays locked against writes until the migration commits: they wait, reads go on")
    };
    report.add(lock.syntax(), message);
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    #[test]
    fn a_lock_that_lets_reads_through_says_so() {
        let told = |sql: &str| {
            let found = sample(&[("0001_m.up.sql", sql)]).0.violations;
            found.into_iter().find(|v| v.rule == "lock-table").map(|v| v.message).unwrap_or_default()
        };
        for mode in ["share", "share row exclusive", "exclusive"] {
            let message = told(&format!("lock table t in {mode} mode;"));
            assert!(message.contains("reads go on"), "{mode}: {message}");
        }
        assert!(told("lock t;").contains("everything behind it waits"));
    }
}
