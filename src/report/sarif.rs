//! A lint report as SARIF 2.1.0 for code scanning.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::lint::{Category, LintReport, Severity, Violation, table};
use crate::migration::checksum::sha256_hex;

/// Results that code scanning takes in one run.
const MAX_RESULTS: usize = 25_000;
/// What stays as it is in a path of a URI (RFC 3986, unreserved and `/`).
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// Where the rules' pages are read.
const HOME: &str = env!("CARGO_PKG_NAME");

/// The log. Worst findings first, so that what is beyond GitHub's limit is what matters least.
pub fn render(report: &LintReport) -> Value {
    let mut sorted: Vec<&Violation> = report.violations.iter().collect();
    sorted.sort_by_key(|v| std::cmp::Reverse((v.severity, v.risk)));
    let dropped = sorted.len().saturating_sub(MAX_RESULTS);
    sorted.truncate(MAX_RESULTS);

    let used: BTreeMap<&str, &Violation> = sorted.iter().map(|v| (v.rule.as_str(), *v)).collect();
    let index: HashMap<&str, usize> = used.keys().enumerate().map(|(n, id)| (*id, n)).collect();
    let rules: Vec<Value> = used.iter().map(|(id, v)| rule(id, v)).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let results: Vec<Value> = sorted.iter().map(|v| result(v, index[v.rule.as_str()], &mut seen)).collect();

    let mut invocation = json!({ "executionSuccessful": true });
    if dropped > 0 {
        invocation["toolExecutionNotifications"] = json!([{
            "level": "warning",
            "message": { "text": format!("{dropped} findings of the lowest levels are left out: code scanning takes {MAX_RESULTS}") }
        }]);
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": HOME,
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "automationDetails": { "id": "godwit/lint/" },
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    })
}

fn rule(id: &str, example: &Violation) -> Value {
    let info = table::find(id);
    let title = info.map_or(id, |i| i.title);
    let mut rule = json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": { "text": format!("{title}. What breaks, when it is safe and how to write it instead: {}", example.url) },
        "defaultConfiguration": { "level": level(info.and_then(|i| i.severity).unwrap_or(example.severity)) },
        "properties": { "tags": [category(example.category), "database", "migration"], "precision": "high" },
    });
    if example.category == Category::Security {
        rule["properties"]["security-severity"] = json!(match example.severity {
            Severity::Error => "8.5",
            Severity::Warning => "6.0",
            Severity::Info => "3.0",
        });
        rule["properties"]["tags"] = json!(["security", "database", "migration"]);
    }
    rule
}

fn result(v: &Violation, rule_index: usize, seen: &mut HashMap<String, usize>) -> Value {
    let mut text = v.message.clone();
    if let Some(help) = &v.help {
        text.push_str(". Instead: ");
        text.push_str(help);
    }
    let mut region =
        json!({ "startLine": v.line.max(1), "startColumn": v.column.max(1), "endLine": v.end_line.max(v.line).max(1) });
    if (v.end_line, v.end_column) > (v.line, v.column) {
        region["endColumn"] = json!(v.end_column);
    }
    let mut out = json!({
        "ruleId": v.rule,
        "ruleIndex": rule_index,
        "level": level(v.severity),
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&v.file) },
            "region": region,
        } }],
        "partialFingerprints": { "primaryLocationLineHash": fingerprint(v, seen) },
        "properties": { "risk": v.risk.as_str(), "category": category(v.category) },
    });
    if let Some(fix) = &v.fix {
        let replacements: Vec<Value> = fix
            .edits
            .iter()
            .map(|e| {
                json!({
                    "deletedRegion": { "startLine": e.line, "startColumn": e.column, "endLine": e.end_line,
                        "endColumn": e.end_column },
                    "insertedContent": { "text": e.text },
                })
            })
            .collect();
        out["fixes"] = json!([{
            "description": { "text": fix.title },
            "artifactChanges": [{ "artifactLocation": { "uri": uri(&v.file) }, "replacements": replacements }],
        }]);
    }
    if let Some(reason) = &v.waived {
        out["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    out
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn category(category: Category) -> &'static str {
    match category {
        Category::Lock => "lock",
        Category::Destructive => "destructive",
        Category::Fails => "fails",
        Category::Compatibility => "compatibility",
        Category::Security => "security",
        Category::Structure => "structure",
        Category::Style => "style",
    }
}

/// A path relative to the repository's root as a relative reference; a first segment with a colon would read as a
/// scheme, but a colon is percent-encoded.
fn uri(path: &str) -> String {
    utf8_percent_encode(path.trim_start_matches("./"), PATH).to_string()
}

/// The same finding in the same file keeps its fingerprint when lines move: rule, file and message count, with a number
/// for repetitions.
fn fingerprint(v: &Violation, seen: &mut HashMap<String, usize>) -> String {
    let hash = sha256_hex(format!("{}\0{}\0{}", v.rule, v.file, v.message).as_bytes());
    let hash = hash[..16].to_owned();
    let count = seen.entry(hash.clone()).or_insert(0);
    *count += 1;
    format!("{hash}:{count}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn uris_are_relative_and_encoded() {
        assert_eq!(uri("./db/äö x/0001_a#b:c%.up.sql"), "db/%C3%A4%C3%B6%20x/0001_a%23b%3Ac%25.up.sql");
    }

    #[test]
    fn every_result_names_a_rule_of_the_list_and_has_its_own_fingerprint() {
        let (report, _) =
            sample(&[("0001_a.up.sql", "update t set a = 1;\nupdate t set a = 1;\ndrop table x cascade;")]);
        let log = render(&report);
        let run = &log["runs"][0];
        let results = run["results"].as_array().expect("results");
        assert_eq!(results.len(), report.violations.len());
        let mut prints = std::collections::BTreeSet::new();
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().expect("index")).expect("small");
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
            assert!(prints.insert(result["partialFingerprints"]["primaryLocationLineHash"].to_string()));
            assert!(result["message"]["text"].as_str().is_some_and(|t| !t.is_empty()));
        }
    }

    #[test]
    fn limits_of_code_scanning_hold() {
        let (mut report, _) = sample(&[("0001_a.up.sql", "update t set a = 1;")]);
        let one = report.violations[0].clone();
        report.violations = vec![one; MAX_RESULTS + 5];
        let log = render(&report);
        assert_eq!(log["runs"][0]["results"].as_array().map(Vec::len), Some(MAX_RESULTS));
        assert!(log["runs"][0]["invocations"][0].to_string().contains("5 findings"));
    }
}
