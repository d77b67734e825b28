//! Statements that change Godwit's own tables.

use super::prelude::*;
use crate::lint::own;

pub(in crate::lint) static RULE: OwnRule = OwnRule {
    info: RuleInfo {
        id: "own-tables",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Sql,
        title: "Changes the tables in which Godwit keeps its history",
    },
    check: Check::Statement(check),
    help: HELP,
    ok: &["select count(*) from godwit_history;", "insert into t select id from godwit_history;"],
    bad: &["drop table godwit_fence;", "delete from godwit_history where id = '0001_a';"],
};

/// What to do instead, whatever the engine.
pub(in crate::lint) const HELP: &str = "take it out: `godwit resolve` and `godwit baseline` say of a migration that it is applied or not, and `godwit reset` \
     forgets all of them";

fn check(script: &Script<'_>, _: usize, statement: &Statement, report: &mut Report<'_>) {
    if !own::mentions(&script.text[statement.range.clone()]) {
        return;
    }
    for (node, name) in own::own_of_statement(&statement.node) {
        report.add(&node, own::message(&name));
    }
}
