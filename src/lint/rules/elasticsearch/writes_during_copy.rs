//! Documents that are written while an index is copied, and are lost when the alias moves (X408).

use std::collections::BTreeSet;
use std::ops::Range;

use super::prelude::*;
use crate::migration::Migration;
use crate::migration::operations::Located;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "writes-during-copy",
        category: Category::Destructive,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "What is written during the copy is lost",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b","block_writes":true},{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"put_settings","index":"a","settings":{"index.blocks.write":true}},{"type":"reindex","source":"a","dest":"b"},{"type":"swap_alias","alias":"n","from":"a","to":"b"},{"type":"put_settings","index":"a","settings":{"index.blocks.write":null}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"},{"type":"reindex","source":"a","dest":"b","block_writes":true},{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#,
        ),
        Example::Operations(r#"{"type":"swap_alias","alias":"n","from":"a","to":"b","mapping":{}}"#),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"b"},{"type":"reindex","source":"a","dest":"b"},{"type":"swap_alias","alias":"n","from":"a","to":"b"}"#,
        ),
        Example::Operations(
            r#"{"type":"swap_alias","alias":"n","from":"a","to":"b","mapping":{},"block_writes":false}"#,
        ),
    ],
};

fn check(_: &Look<'_>, _: &Migration, listed: &[Located], told: &mut Told<'_>) {
    let mut blocked: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<(&str, &str, Range<usize>)> = Vec::new();
    let mut tell = |alias: &str, from: &str, to: &str, at: Range<usize>| {
        told.add_at(
            at,
            format!("what is written to `{from}` while it is copied does not reach `{to}`, and is gone once `{alias}` moves there"),
            "`\"block_writes\": true`; where nobody writes, or writes go to both, waive this and say so",
        );
    };
    for (operation, at) in of_elasticsearch(listed) {
        match operation {
            Operation::PutSettings { index, settings } => {
                let mut flat = Vec::new();
                flatten("", settings, &mut flat);
                if flat.iter().any(|(key, _)| matches!(key.as_str(), "blocks.write" | "blocks.read_only")) {
                    blocked.insert(index);
                }
            }
            Operation::Reindex { source, dest, block_writes, .. } => {
                // The last copy decides.
                open.retain(|(from, to, _)| (*from, *to) != (source.as_str(), dest.as_str()));
                if !block_writes && !blocked.contains(source.as_str()) {
                    open.push((source, dest, at.clone()));
                }
            }
            Operation::SwapAlias { alias, from, to, mapping: None, .. } => {
                for (_, _, at) in
                    open.extract_if(.., |(source, dest, _)| (*source, *dest) == (from.as_str(), to.as_str()))
                {
                    tell(alias, from, to, at);
                }
            }
            Operation::SwapAlias { alias, from, to, mapping: Some(_), block_writes: false, .. }
                if !blocked.contains(from.as_str()) =>
            {
                tell(alias, from, to, at.clone());
            }
            _ => {}
        }
    }
}
