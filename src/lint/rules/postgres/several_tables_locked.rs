//! `ALTER TABLE` on several tables in one transaction.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "several-tables-locked",
        category: Category::Lock,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "One transaction locks several tables",
    },
    check: Check::Script(check),
    help: "one migration per table: each lock is then held for a moment, and two migrations cannot wait for each other in a circle",
    ok: &[
        "alter table t add column a int; alter table t add column b int;",
        "create table u (a int); alter table t add column a int; alter table u add column a int;",
        "alter table t add column a int; alter table all in tablespace a set tablespace b;",
    ],
    bad: &["alter table t add column a int; alter table u add column a int;"],
};

fn check(script: &Script<'_>, report: &mut Report<'_>) {
    if !script.in_transaction {
        return;
    }
    let mut first: Option<String> = None;
    for (index, statement) in script.statements.iter().enumerate() {
        let ast::Stmt::AlterTable(alter) = &statement.node else { continue };
        let table = named(alter.table_relation_name());
        // `ALTER TABLE ALL IN TABLESPACE` names none.
        if table.is_empty() || script.creates_before(&table, index) {
            continue;
        }
        match &first {
            None => first = Some(table),
            Some(other) if *other != table => {
                let message = format!("`{other}` stays locked while this waits for `{table}`");
                report.add(alter.syntax(), message);
                return;
            }
            Some(_) => {}
        }
    }
}
