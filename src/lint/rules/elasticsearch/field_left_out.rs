//! Fields that documents bring along and the new index does not map: gone for readers, or guessed anew.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "field-left-out",
        category: Category::Compatibility,
        severity: Some(Severity::Warning),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "The new index does not map a field of the old one",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"text"}}}},
            {"type":"create_index","index":"o2","mapping":{"properties":{"a":{"type":"text"},"b":{"type":"date"}}}},
            {"type":"reindex","source":"o1","dest":"o2"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"text"}}}},
            {"type":"create_alias","index":"o1","alias":"o"},
            {"type":"swap_alias","alias":"o","from":"o1","to":"o2","mapping":{"properties":{"b":{"type":"date"}}},"script":{"source":"ctx._source.remove('a')"}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"text"},"b":{"type":"date"}}}},
            {"type":"create_index","index":"o2","mapping":{"properties":{"a":{"type":"text"}}}},
            {"type":"reindex","source":"o1","dest":"o2"}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"o1","mapping":{"properties":{"a":{"type":"text"},"b":{"type":"date"}}}},
            {"type":"create_alias","index":"o1","alias":"o"},
            {"type":"swap_alias","alias":"o","from":"o1","to":"o2","mapping":{"properties":{"b":{"type":"date"}}}}"#,
        ),
    ],
};

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::Reindex { source, dest, script: None, .. } => {
            if let Some(there) = look.unit.mapping(dest) {
                left_out(look, source, dest, there, told);
            }
        }
        Operation::SwapAlias { from, to, mapping: Some(mapping), script: None, .. } => {
            if let Ok(mapped) = fields(mapping) {
                left_out(look, from, to, &mapped, told);
            }
        }
        _ => {}
    }
}

fn left_out(look: &Look<'_>, source: &str, dest: &str, after: &Fields, told: &mut Told<'_>) {
    let Some(before) = look.unit.mapping(source) else { return };
    let missing: Vec<String> = before.keys().filter(|f| !after.contains_key(*f)).map(|f| format!("`{f}`")).collect();
    if !missing.is_empty() {
        told.add(
            format!(
                "`{dest}` does not map {}, which `{source}` does: searches of it break, or its type is guessed",
                missing.join(", ")
            ),
            "map it, or take it out of the documents with a `script`; for another name add a field of type `alias`",
        );
    }
}
