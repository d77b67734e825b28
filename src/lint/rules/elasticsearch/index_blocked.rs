//! A block that a migration leaves on an index (X412).

use super::prelude::*;
use crate::migration::Migration;
use crate::migration::operations::Located;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-blocked",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A block stays on an index",
    },
    check: Check::Migration(check),
    ok: &[Example::Operations(
        r#"{"type":"put_settings","index":"a","settings":{"blocks.write":true}},
            {"type":"put_settings","index":"a","settings":{"blocks.write":null}}"#,
    )],
    bad: &[Example::Operations(
        r#"{"type":"put_settings","index":"a","settings":{"index":{"blocks":{"write":true}}}}"#,
    )],
};

fn check(_: &Look<'_>, _: &Migration, listed: &[Located], told: &mut Told<'_>) {
    for left in left_set(listed).into_iter().filter(|left| left.key.starts_with("blocks.") && left.says("true")) {
        told.add_at(
            left.at,
            format!("`{}` of `{}` stays on after the migration: whoever needs it is refused", left.key, left.index),
            "take the block away in the same migration, with `put_settings`",
        );
    }
}
