//! Settings for a bulk load that a migration leaves behind (X414).

use super::prelude::*;
use crate::migration::Migration;
use crate::migration::operations::Located;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "bulk-settings-left",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "Settings for a bulk load stay behind",
    },
    check: Check::Migration(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"number_of_replicas":0,"refresh_interval":"-1"}},
            {"type":"put_settings","index":"a","settings":{"index":{"number_of_replicas":1,"refresh_interval":"1s"}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"refresh_interval":"-1"}},{"type":"delete_index","index":"a"}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"put_settings","index":"a","settings":{"index.number_of_replicas":0}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"index":{"refresh_interval":"-1"}}}"#),
    ],
};

fn check(_: &Look<'_>, _: &Migration, listed: &[Located], told: &mut Told<'_>) {
    for left in left_set(listed) {
        let harm = match left.key.as_str() {
            "number_of_replicas" if left.says("0") => "one lost node loses documents",
            "refresh_interval" if left.says("-1") => "new documents are never found",
            _ => continue,
        };
        let message = format!("`{}` of `{}` stays {} after the migration: {harm}", left.key, left.index, left.value);
        told.add_at(left.at, message, "set it back behind the load, with `put_settings`");
    }
}
