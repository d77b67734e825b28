//! An alias that moves to an index before the documents are there (X408).

use std::collections::BTreeMap;
use std::ops::Range;

use super::prelude::*;
use crate::migration::Migration;
use crate::migration::operations::Located;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "alias-before-copy",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "An alias moves to an index that is not filled yet",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b","block_writes":true},{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"swap_alias","alias":"n","from":"a","to":"b"},{"type":"reindex","source":"z","dest":"b"}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"swap_alias","alias":"n","from":"a","to":"b"},{"type":"reindex","source":"a","dest":"b"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b","wait":false,"block_writes":true},{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#,
        ),
    ],
};

fn check(_: &Look<'_>, _: &Migration, listed: &[Located], told: &mut Told<'_>) {
    // By source and destination of a copy: whether it is over; by those of an alias: where it moved.
    let mut copies: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut moved: BTreeMap<(&str, &str), (&str, Range<usize>)> = BTreeMap::new();
    let help =
        "move the alias behind a `reindex` that is waited for, or leave all of it to `swap_alias` with a `mapping`";
    for (operation, at) in of_elasticsearch(listed) {
        match operation {
            Operation::Reindex { source, dest, wait, .. } => {
                if let Some((alias, at)) = moved.remove(&(source, dest)) {
                    let message = format!(
                        "`{alias}` moves to `{dest}` before `{source}` is copied into it: its readers find nothing"
                    );
                    told.add_at(at, message, help);
                }
                copies.insert((source, dest), *wait);
            }
            Operation::SwapAlias { alias, from, to, mapping: None, .. } => {
                match copies.get(&(from.as_str(), to.as_str())) {
                    Some(true) => {}
                    Some(false) => {
                        let message = format!(
                            "`{alias}` moves to `{to}` while `{from}` is still being copied: its readers find a part"
                        );
                        told.add_at(at.clone(), message, help);
                    }
                    None => {
                        moved.insert((from, to), (alias, at.clone()));
                    }
                }
            }
            _ => {}
        }
    }
}
