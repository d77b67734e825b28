//! `DO` blocks: code that no rule looks into.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "opaque-block",
        category: Category::Structure,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Postgresql,
        title: "Code in a DO block is not analysed as SQL",
    },
    check: Check::Statement(check),
    help: "write plain statements where that is possible; else say in a comment which tables the block touches and how many rows",
    ok: &["select 1;", "create function f() returns int language sql as $$ select 1 $$;"],
    bad: &["do $$ begin perform 1; end $$;", "do $$ begin execute 'drop table t'; end $$;"],
};

fn check(_: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    let ast::Stmt::Do(block) = &statement.node else { return };
    let body = block.body().map(|b| b.syntax().text().to_string().to_ascii_lowercase()).unwrap_or_default();
    let words: std::collections::BTreeSet<&str> =
        body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let telling: Vec<&str> =
        ["execute", "drop", "truncate", "alter", "delete", "grant"].into_iter().filter(|w| words.contains(w)).collect();
    if telling.is_empty() {
        report.add(block.syntax(), "no rule looks into a `DO` block; a reviewer has to");
    } else {
        let finding = report.add(
            block.syntax(),
            format!("no rule looks into a `DO` block, and this one holds `{}`", telling.join("`, `").to_uppercase()),
        );
        finding.severity = Some(Severity::Warning);
        finding.risk = Some(Risk::High);
    }
}
