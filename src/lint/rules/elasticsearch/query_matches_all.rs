//! `update_by_query` and `delete_by_query` whose query leaves nothing out (X413).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "query-matches-all",
        category: Category::Destructive,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "The query leaves no document out",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"delete_by_query","index":"a","query":{"term":{"b":1}}}"#),
        Example::Operations(
            r#"{"type":"update_by_query","index":"a","query":{"bool":{"must_not":[{"term":{"b":1}}]}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"delete_by_query","index":"a","query":{"match_all":{}}}"#),
        Example::Operations(r#"{"type":"delete_by_query","index":"a","query":{"bool":{}}}"#),
        Example::Operations(r#"{"type":"update_by_query","index":"a","query":{"query_string":{"query":"*"}}}"#),
    ],
};

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let (index, query, does) = match operation {
        Operation::UpdateByQuery { index, query, .. } => (index, query, "changes"),
        Operation::DeleteByQuery { index, query, .. } => (index, query, "deletes"),
        _ => return,
    };
    if matches_all(query) {
        told.add(
            format!("the query leaves nothing out: it {does} every document of `{index}`"),
            "say which documents; to empty an index, make a new one and swap the alias",
        );
    }
}

/// Whether every document of an index matches this query, as far as that can be told from its words.
fn matches_all(query: &Map<String, Value>) -> bool {
    let Some((kind, how)) = query.iter().next() else { return true };
    if query.len() > 1 {
        return false;
    }
    let word = |key: &str| how.get(key).and_then(Value::as_str);
    match kind.as_str() {
        "match_all" => true,
        "exists" => matches!(word("field"), Some("_id" | "_index" | "_seq_no")),
        "query_string" | "simple_query_string" => matches!(word("query").map(str::trim), Some("*" | "*:*")),
        "constant_score" => how.get("filter").is_some_and(every_one),
        "bool" => how.as_object().is_some_and(bool_matches),
        _ => false,
    }
}

/// A clause: one query, or a list of them, all of which must hold.
fn every_one(clause: &Value) -> bool {
    match clause {
        Value::Object(query) => matches_all(query),
        Value::Array(queries) => queries.iter().all(every_one),
        _ => false,
    }
}

fn bool_matches(clauses: &Map<String, Value>) -> bool {
    let is_empty = |clause: &Value| match clause {
        Value::Array(queries) => queries.is_empty(),
        Value::Object(query) => query.is_empty(),
        _ => false,
    };
    clauses.iter().all(|(name, clause)| match name.as_str() {
        "must" | "filter" => every_one(clause),
        "must_not" => is_empty(clause),
        // One that matches everything is enough.
        "should" => match clause {
            Value::Array(queries) => queries.is_empty() || queries.iter().any(every_one),
            one => every_one(one),
        },
        "boost" | "_name" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn x413_queries_that_leave_nothing_out() {
        for all in [
            "{}",
            r#"{"match_all":{}}"#,
            r#"{"bool":{}}"#,
            r#"{"bool":{"must":[],"must_not":[]}}"#,
            r#"{"bool":{"filter":{"match_all":{}}}}"#,
            r#"{"bool":{"should":[{"term":{"a":1}},{"match_all":{}}]}}"#,
            r#"{"constant_score":{"filter":{"match_all":{}},"boost":1}}"#,
            r#"{"query_string":{"query":" * "}}"#,
            r#"{"exists":{"field":"_id"}}"#,
        ] {
            assert!(matches_all(&object(all)), "{all}");
        }
        for some in [
            r#"{"term":{"a":1}}"#,
            r#"{"bool":{"must_not":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"must":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"should":[{"term":{"a":1}}]}}"#,
            r#"{"bool":{"filter":[{"match_all":{}},{"range":{"a":{"lt":3}}}]}}"#,
            r#"{"exists":{"field":"a"}}"#,
            r#"{"query_string":{"query":"a:*"}}"#,
            r#"{"ids":{"values":[]}}"#,
        ] {
            assert!(!matches_all(&object(some)), "{some}");
        }
    }
}
