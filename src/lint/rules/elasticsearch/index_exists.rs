//! A name that an index or an alias has already.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-exists",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "The index is there already",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"date"}}}},{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"date"}}}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"o1"},{"type":"create_alias","index":"o1","alias":"o"}"#),
        Example::Migrations(&[
            r#"{"type":"create_index","index":"o1"}"#,
            r#"{"type":"delete_index","index":"o1"}"#,
            r#"{"type":"create_index","index":"o1"}"#,
        ]),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"o1"},{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"date"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"o1"},{"type":"create_alias","index":"o1","alias":"o"},{"type":"create_index","index":"o"}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"o1"},{"type":"create_alias","index":"x","alias":"o1"}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"o1"},{"type":"swap_alias","alias":"o1","from":"o1","to":"o2","mapping":{}}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        // One that is as it is asked for is left alone.
        Operation::CreateIndex { index, mapping, settings }
            if look.unit.is_there(&format!("index {index}")) && !look.unit.is_made_so(index, mapping, settings) =>
        {
            let message = format!("`{index}` is there already, and otherwise: an operation before this one makes it");
            told.add(message, "take this operation out, or give the index another name");
        }
        Operation::CreateAlias { alias, .. } | Operation::SwapAlias { alias, .. } if look.unit.makes_index(alias) => {
            let message = format!("an index is called `{alias}`; an alias cannot have the name of an index");
            told.add(message, "give one of them another name");
        }
        _ => {}
    }
}
