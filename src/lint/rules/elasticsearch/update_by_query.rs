//! `update_by_query`.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "update-by-query",
        category: Category::Lock,
        severity: Some(Severity::Warning),
        risk: Risk::Medium,
        applies: Applies::Elasticsearch,
        title: "Changes documents in place",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(
        r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"long"}}}}"#,
    )],
    bad: &[Example::Operations(r#"{"type":"update_by_query","index":"a","query":{"term":{"b":1}}}"#)],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::UpdateByQuery { index, requests_per_second, .. } = operation {
        told.add(
            format!("every document of `{index}` that matches is written anew"),
            match requests_per_second {
                None => "bound it with `requests_per_second`",
                Some(_) => "run it when there is little load",
            },
        );
    }
}
