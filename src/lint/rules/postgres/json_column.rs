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
    bad: &["create table t (a json);", "alter table t add column a json;", "create table t (a json[]);"],
};

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !script.words.json {
        return;
    }
    let is_json = |name: &str| name.split('[').next() == Some("json");
    for ty in types_made(&statement.node).into_iter().filter(|t| is_json(&name_of(t.syntax()))) {
        let finding = report.add(ty.syntax(), "`json` has no equality: `DISTINCT`, `GROUP BY` and `UNION` on it fail");
        let text = &script.text[finding.range.clone()];
        // Behind the word may stand the brackets of an array.
        let Some(word) = text.get(.."json".len()).filter(|word| word.eq_ignore_ascii_case("json")) else { continue };
        let better = if word.starts_with('J') { "JSONB" } else { "jsonb" };
        let edit = (finding.range.start..finding.range.start + word.len(), better.to_owned());
        finding.fix = Some(Rewrite { title: "Use jsonb".to_owned(), edits: vec![edit] });
    }
}
