//! `delete_by_query`, and a script that tells the server to delete.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "delete-by-query",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Deletes documents",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"update_by_query","index":"a","query":{"term":{"b":1}}}"#)],
    bad: &[
        Example::Operations(r#"{"type":"delete_by_query","index":"a","query":{"term":{"b":1}}}"#),
        Example::Operations(
            r#"{"type":"update_by_query","index":"a","query":{"term":{"b":1}},"script":{"source":"ctx.op = 'delete'"}}"#,
        ),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let index = match operation {
        Operation::DeleteByQuery { index, .. } => index,
        Operation::UpdateByQuery { index, .. } | Operation::Reindex { dest: index, .. } if operation.destroys() => {
            index
        }
        _ => return,
    };
    told.add(format!("documents of `{index}` that match are gone for good"), "count them first, and take a snapshot");
}
