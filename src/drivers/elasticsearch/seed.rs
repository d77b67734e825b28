//! Data for a cluster: the lines of a file as `_bulk` takes them, each document under an `_id` of its own, so that doing it
//! again is the same.

use elasticsearch::http::Method;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::session::ElasticsearchSession;
use super::wire::words;
use crate::drivers::{DriverError, StatementFailure};

/// Bytes that are sent in one call, about.
const BULK: usize = 4 << 20;

/// One action, with its document where it has one.
#[derive(Debug, PartialEq, Eq)]
struct Item<'a> {
    line: u32,
    action: &'a str,
    source: Option<&'a str>,
}

/// Sends the actions of `text` in their order.
///
/// # Errors
/// A line that is no action, or names an index of Godwit's own; the first that the cluster refuses.
pub(super) async fn fill(session: &ElasticsearchSession, text: &str) -> Result<(), DriverError> {
    let all = items(text)?;
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let (mut body, mut sent) = (String::new(), 0);
        for item in rest {
            if sent > 0 && body.len() + item.action.len() + item.source.map_or(0, str::len) > BULK {
                break;
            }
            for line in [Some(item.action), item.source].into_iter().flatten() {
                body.push_str(line);
                body.push('\n');
            }
            sent += 1;
        }
        session.check()?;
        let answer = session.wire.text(Method::Post, "_bulk?refresh=true", "application/x-ndjson", body).await?;
        let answer: Value = serde_json::from_str(&answer).map_err(|e| wrong(None, format!("no answer: {e}")))?;
        let said = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (item, said) in rest.iter().zip(said) {
            let Some((action, result)) = said.as_object().and_then(|o| o.iter().next()) else { continue };
            // `create` means: only where it is missing.
            let is_there = action == "create" && result["status"] == 409;
            let is_gone = action == "delete" && result["status"] == 404;
            if result["error"].is_object() && !is_there && !is_gone {
                return Err(wrong(Some(item.line), crate::redact::text(&words(&result["error"]))));
            }
        }
        rest = &rest[sent..];
    }
    Ok(())
}

fn wrong(line: Option<u32>, message: String) -> DriverError {
    DriverError::Statement(StatementFailure { message, code: None, line, hint: None })
}

/// The actions of a file. Nothing is sent before all of them can be read.
fn items(text: &str) -> Result<Vec<Item<'_>>, DriverError> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let mut all = Vec::new();
    while let Some((line, action)) = lines.next() {
        let no = |why: &str| wrong(Some(line), why.to_owned());
        let read: Value =
            serde_json::from_str(action).map_err(|e| wrong(Some(line), format!("this is no JSON: {e}")))?;
        let Some((verb, about)) = read.as_object().filter(|o| o.len() == 1).and_then(|o| o.iter().next()) else {
            return Err(no("an action is expected, such as `{\"index\":{\"_index\":\"orders\",\"_id\":\"1\"}}`"));
        };
        if !matches!(verb.as_str(), "index" | "create" | "update" | "delete") {
            return Err(no("an action is `index`, `create`, `update` or `delete`"));
        }
        let index = about["_index"].as_str().unwrap_or_default();
        if index.is_empty() || !about["_id"].is_string() {
            return Err(no("name `_index` and `_id`, so that seeding again writes the same document"));
        }
        if index.starts_with("godwit_") || index.starts_with('.') {
            return Err(no("this index is not one for seed data"));
        }
        let source = match verb.as_str() {
            "delete" => None,
            _ => {
                let Some((line, source)) = lines.next() else { return Err(no("the document behind it is missing")) };
                serde_json::from_str::<IgnoredAny>(source)
                    .map_err(|e| wrong(Some(line), format!("this is no JSON: {e}")))?;
                Some(source)
            }
        };
        all.push(Item { line, action, source });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_42_actions_are_read_before_anything_is_sent() {
        let text = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"n\":1}\n\n{\"delete\":{\"_index\":\"a\",\"_id\":\"2\"}}\n";
        let found = items(text).unwrap();
        assert_eq!(found.iter().map(|i| (i.line, i.source)).collect::<Vec<_>>(), [(1, Some("{\"n\":1}")), (4, None)]);
        for (wrong, line) in [
            ("{\"n\":1,\"m\":2}", 1),
            ("[]", 1),
            ("{\"index\":{\"_index\":\"a\"}}\n{}", 1),
            ("{\"index\":{\"_index\":\"godwit_history\",\"_id\":\"1\"}}\n{}", 1),
            ("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}", 1),
            ("{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{", 2),
            ("{\"drop\":{\"_index\":\"a\",\"_id\":\"1\"}}", 1),
        ] {
            let Err(DriverError::Statement(failure)) = items(wrong) else { panic!("{wrong}") };
            assert_eq!(failure.line, Some(line), "{wrong}: {failure}");
        }
    }
}
