//! An index that a migration makes and no alias names (X408).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::prelude::*;
use crate::migration::Migration;
use crate::migration::operations::Located;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-without-alias",
        category: Category::Compatibility,
        severity: Some(Severity::Info),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "An index that no alias names",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Operations(r#"{"type":"create_index","index":"a"},{"type":"create_alias","index":"a","alias":"n"}"#),
        Example::Operations(r#"{"type":"create_index","index":"a"},{"type":"delete_index","index":"a"}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a"}"#),
        Example::Operations(r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"}"#),
    ],
};

fn check(look: &Look<'_>, _: &Migration, listed: &[Located], told: &mut Told<'_>) {
    let mut created: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let (mut filled, mut read) = (BTreeSet::new(), BTreeSet::new());
    for (operation, at) in of_elasticsearch(listed) {
        match operation {
            Operation::CreateIndex { index, .. } => {
                created.insert(index, at.clone());
            }
            Operation::DeleteIndex { index } => {
                created.remove(index.as_str());
            }
            Operation::Reindex { source, dest, .. } => {
                filled.insert(dest.as_str());
                read.insert(source.as_str());
            }
            _ => {}
        }
    }
    for (index, at) in created {
        if look.unit.had_alias(index) || read.contains(index) {
            continue;
        }
        let found = told.add_at(
            at,
            format!("no alias names `{index}`: the next change of its mapping cannot be made without its readers"),
            "give it one with `create_alias`, and have everybody use that",
        );
        if filled.contains(index) {
            found.severity = Some(Severity::Warning);
        }
    }
}
