//! A copy of an index onto itself, by its own name or an alias.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "reindex-onto-itself",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Source and destination are one index",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"reindex","source":"a","dest":"b"}"#),
        Example::Operations(r#"{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"reindex","source":"a","dest":"a"}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"a"},{"type":"create_alias","index":"a","alias":"n"},{"type":"reindex","source":"n","dest":"a"}"#,
        ),
        Example::Operations(r#"{"type":"swap_alias","alias":"n","from":"a","to":"a"}"#),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::Reindex { source, dest, .. } if look.unit.is_one_index(source, dest) => {
            let message = format!("`{source}` would be copied onto itself; the server refuses that");
            told.add(message, "make another index and name it in `dest`");
        }
        Operation::SwapAlias { alias, from, to, mapping: None, .. } if from == to => {
            told.add(format!("`{alias}` would move from `{from}` to itself"), "name another index in `to`");
        }
        _ => {}
    }
}
