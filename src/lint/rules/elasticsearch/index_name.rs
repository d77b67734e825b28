//! What the server asks of a name, and that it names one index [S4-27].

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "index-name",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "Not the name of one index",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(r#"{"type":"create_index","index":"orders-v1.2"}"#)],
    bad: &[
        Example::Operations(r#"{"type":"delete_index","index":"orders_*"}"#),
        Example::Operations(r#"{"type":"delete_index","index":"_all"}"#),
        Example::Operations(r#"{"type":"delete_index","index":"a,b"}"#),
        Example::Operations(r#"{"type":"create_index","index":"Orders"}"#),
        Example::Operations(r#"{"type":"create_alias","index":"a","alias":"b c"}"#),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let names: &[&String] = match operation {
        Operation::CreateIndex { index, .. }
        | Operation::DeleteIndex { index }
        | Operation::UpdateMapping { index, .. }
        | Operation::PutSettings { index, .. }
        | Operation::UpdateByQuery { index, .. }
        | Operation::DeleteByQuery { index, .. } => &[index],
        Operation::CreateAlias { index, alias, .. } => &[index, alias],
        Operation::Reindex { source, dest, .. } => &[source, dest],
        Operation::SwapAlias { alias, from, to, .. } => &[alias, from, to],
        Operation::PutTemplate { .. } | Operation::Undo { .. } => &[],
    };
    for message in names.iter().filter_map(|name| wrong(name)) {
        told.add(message, "write the literal name of one index");
    }
}

fn wrong(given: &str) -> Option<String> {
    if given == "_all" || given.contains(['*', '?']) {
        Some(format!("`{given}` is a pattern: it means every index that fits"))
    } else if given.contains(',') {
        Some(format!("`{given}` is a list of indices"))
    } else if given.is_empty() || given == "." || given == ".." || given.starts_with(['-', '_', '+']) {
        Some(format!("`{given}` is no name an index can have: it begins with `-`, `_` or `+`, or is empty"))
    } else if given.len() > 255 {
        Some("a name of an index has 255 bytes at most".to_owned())
    } else if given.chars().any(char::is_uppercase) {
        Some(format!("`{given}` is no name an index can have: it must be lower case"))
    } else {
        given
            .chars()
            .find(|c| matches!(c, '\\' | '/' | '"' | '<' | '>' | '|' | ' ' | '#' | ':'))
            .map(|c| format!("`{given}` is no name an index can have: it holds `{c}`"))
    }
}
