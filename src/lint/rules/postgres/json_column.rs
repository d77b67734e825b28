//! Columns of type `json`.

use super::prelude::*;

pub(super) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "json-column",
        category: Category::Style,
        severity: Some(Severity::Info),
        risk: Risk::Low,
        applies: Applies::Postgresql,
        title: "json has no equality",
    },
    check: Check::Statement(check),
    help: "use `jsonb`",
    ok: &["create table t (a jsonb);", "alter table t add column a jsonb;"],
    bad: &["create table t (a json);", "alter table t add column a json;"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.json {
        return;
    }
    for ty in types_made(&statement.node).into_iter().filter(|t| name_of(t.syntax()) == "json") {
        let finding = report.add(ty.syntax(), "`json` has no equality: `DISTINCT`, `GROUP BY` and `UNION` on it fail");
        let text = &script.text[finding.range.clone()];
        let better = if text.starts_with('J') { "JSONB" } else { "jsonb" };
        finding.fix =
            Some(Rewrite { title: "Use jsonb".to_owned(), edits: vec![(finding.range.clone(), better.to_owned())] });
    }
}
