//! `VACUUM FULL`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "vacuum-full",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Postgresql,
        title: "VACUUM FULL rewrites the table",
    },
    check: Check::Statement(check),
    help: "plain `VACUUM` needs no exclusive lock; to give space back use a tool that copies the table beside the running application",
    ok: &["vacuum t;", "vacuum (analyze) t;", "vacuum (full false) t;"],
    bad: &["vacuum full t;", "vacuum (full, analyze) t;", "vacuum full;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Vacuum(vacuum) = &statement.node else { return };
    let option = vacuum.vacuum_option_list().is_some_and(|list| {
        list.vacuum_options().any(|o| {
            let name = o.vacuum_option_name().map(|n| name_of(n.syntax())).unwrap_or_default();
            let value = o.vacuum_option_value().map(|v| name_of(v.syntax())).unwrap_or_default();
            name == "full" && !matches!(value.as_str(), "false" | "off" | "0")
        })
    });
    if option || vacuum.full_token().is_some() {
        report.add(vacuum.syntax(), "`VACUUM FULL` copies the table while nobody can read or write it");
    }
}
