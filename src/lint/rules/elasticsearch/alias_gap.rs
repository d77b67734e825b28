//! `delete_index` for one that an alias names.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "alias-gap",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "An alias is gone for a while, or for good",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"create_index","index":"o1"},{"type":"delete_index","index":"o1"}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"o1"},{"type":"create_index","index":"o2"},{"type":"create_alias","index":"o1","alias":"o"},{"type":"swap_alias","alias":"o","from":"o1","to":"o2"},{"type":"delete_index","index":"o1"}"#,
        ),
    ],
    bad: &[Example::Operations(
        r#"{"type":"create_index","index":"o1"},{"type":"create_alias","index":"o1","alias":"o"},{"type":"delete_index","index":"o1"}"#,
    )],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::DeleteIndex { index } = operation
        && let Some(alias) = look.unit.alias_of(index)
    {
        told.add(
            format!("the alias `{alias}` goes with `{index}`: until it is made again nobody finds it"),
            "move the alias in one call first: `swap_alias`",
        );
    }
}
