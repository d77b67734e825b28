//! Whether a collection or an index is as a migration writes it, once the server has completed what was left out. Pure.

use mongodb::bson::{Bson, Document, doc};

use super::values::{equal, flag, sorted, text};
use super::wire::{json, number};

/// Options that say how a command runs, not what a collection is.
const NOT_KEPT: [&str; 4] = ["writeConcern", "comment", "maxTimeMS", "autoIndexId"];
/// Options of which the server writes down more than was asked for.
const COMPLETED: [&str; 4] = ["collation", "timeseries", "clusteredIndex", "storageEngine"];

/// How a collection's options differ from those asked for; `None` if they are equal.
pub(super) fn collection_difference(wanted: &Document, there: &Document) -> Option<String> {
    let wanted = completed(wanted);
    let there = completed(there);
    let mut names: Vec<&String> = wanted.keys().chain(there.keys()).collect();
    names.sort();
    names.dedup();
    let differences: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (wanted.get(name), there.get(name)) {
            (Some(a), Some(b)) if COMPLETED.contains(&name.as_str()) && is_within(a, b) => None,
            (Some(a), Some(b)) if equal(a, b) => None,
            (Some(a), Some(b)) => Some(format!("`{name}` is {} and not {}", json(b), json(a))),
            (Some(a), None) => Some(format!("`{name}` is not set, and not {}", json(a))),
            (None, Some(b)) => Some(format!("`{name}` is {}", json(b))),
            (None, None) => None,
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// A collection's options with what the server adds, and without what is the same as leaving it out.
fn completed(options: &Document) -> Document {
    let mut out: Document =
        options.iter().filter(|(k, _)| !NOT_KEPT.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let is_empty = |v: Option<&Bson>| v.and_then(Bson::as_document).is_none_or(Document::is_empty);
    if is_empty(out.get("validator")) {
        out.remove("validator");
    }
    for (name, default) in [("validationLevel", "strict"), ("validationAction", "error")] {
        if text(&out, name) == default {
            out.remove(name);
        }
    }
    if flag(&out, "capped") == Some(false) {
        out.remove("capped");
    }
    if out.get_bool("capped").is_ok()
        && let Some(size) = number(out.get("size"))
    {
        out.insert("size", (size.max(1) + 255) / 256 * 256);
    }
    if out.get_document("changeStreamPreAndPostImages").is_ok_and(|d| flag(d, "enabled") == Some(false)) {
        out.remove("changeStreamPreAndPostImages");
    }
    if flag(&out, "clusteredIndex") == Some(true) {
        out.insert("clusteredIndex", doc! {});
    }
    out
}

/// Whether everything that `asked` says stands in `there`.
fn is_within(asked: &Bson, there: &Bson) -> bool {
    match (asked, there) {
        (Bson::Document(a), Bson::Document(b)) => a.iter().all(|(k, v)| b.get(k).is_some_and(|w| is_within(v, w))),
        (a, b) => equal(a, b),
    }
}

/// The key of an index as the migration's pairs write it.
pub(super) fn key_of(pairs: &[(String, Bson)]) -> Document {
    pairs.iter().map(|(field, direction)| (field.clone(), direction.clone())).collect()
}

/// The name that an index gets when it is given none.
pub(super) fn default_name(key: &Document) -> String {
    let part = |v: &Bson| number(Some(v)).map_or_else(|| v.as_str().unwrap_or_default().to_owned(), |n| n.to_string());
    key.iter().map(|(field, direction)| format!("{field}_{}", part(direction))).collect::<Vec<_>>().join("_")
}

/// Whether an index as the server lists it is the one that `wanted` (key, name, options) describes. `collation` is the
/// collection's own, which indexes take on.
pub(super) fn is_same_index(wanted: &Document, there: &Document, collation: Option<&Bson>) -> bool {
    let (wanted, there) = (index_parts(wanted), index_parts(there));
    let mut names: Vec<&String> = wanted.keys().chain(there.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().all(|name| match (wanted.get(name), there.get(name)) {
        // The order of an index's fields is part of it.
        (Some(Bson::Document(a)), Some(Bson::Document(b))) if name == "key" => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, va), (kb, vb))| ka == kb && equal(va, vb))
        }
        (Some(a), Some(b)) if name == "collation" => is_within(a, b),
        (Some(a), Some(b)) => equal(a, b),
        (None, Some(b)) if name == "collation" => collation.is_some_and(|c| equal(c, b)),
        (None, Some(_)) => ["textIndexVersion", "2dsphereIndexVersion", "default_language", "language_override"]
            .contains(&name.as_str()),
        (Some(a), None) if name == "collation" => a.as_document().is_some_and(|c| text(c, "locale") == "simple"),
        (_, None) => false,
    })
}

/// An index without its name, its version and what is the same as leaving it out; a text index as the server writes it.
fn index_parts(index: &Document) -> Document {
    let mut out = Document::new();
    for (name, value) in index {
        let says_nothing = match name.as_str() {
            "v" | "ns" | "background" | "name" => true,
            "unique" | "sparse" | "hidden" => value == &Bson::Boolean(false) || number(Some(value)) == Some(0),
            "weights" => false,
            _ => false,
        };
        if !says_nothing {
            out.insert(name.clone(), value.clone());
        }
    }
    let Ok(key) = index.get_document("key") else { return out };
    let is_text = |v: &Bson| v.as_str() == Some("text");
    if key.contains_key("_fts") || !key.values().any(is_text) {
        if let Ok(weights) = out.get_document("weights") {
            let weights = sorted(&Bson::Document(weights.clone()));
            out.insert("weights", weights);
        }
        return out;
    }
    let mut weights = index.get_document("weights").cloned().unwrap_or_default();
    let mut stored = Document::new();
    for (field, direction) in key {
        if is_text(direction) {
            weights.entry(field.clone()).or_insert(Bson::Int32(1));
            stored.insert("_fts", "text");
            stored.insert("_ftsx", 1);
        } else {
            stored.insert(field.clone(), direction.clone());
        }
    }
    out.insert("key", stored);
    out.insert("weights", sorted(&Bson::Document(weights)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_compared_once_completed() {
        let schema = doc! { "$jsonSchema": { "required": ["a"], "bsonType": "object" } };
        let same = [
            (doc! {}, doc! {}),
            (doc! { "capped": true, "size": 1000 }, doc! { "capped": true, "size": 1024 }),
            (
                doc! { "validator": schema.clone() },
                doc! { "validator": schema.clone(), "validationLevel": "strict", "validationAction": "error" },
            ),
            (
                doc! { "collation": { "locale": "de" } },
                doc! { "collation": { "locale": "de", "strength": 3, "version": "57.1" } },
            ),
            (
                doc! { "timeseries": { "timeField": "t" } },
                doc! { "timeseries": { "timeField": "t", "granularity": "seconds" } },
            ),
        ];
        for (wanted, there) in same {
            assert_eq!(collection_difference(&wanted, &there), None, "{wanted}");
        }
        let said = collection_difference(&doc! { "capped": true, "size": 1000 }, &doc! {}).unwrap();
        assert!(said.contains("`capped`"), "{said}");
        assert!(collection_difference(&doc! {}, &doc! { "validator": schema }).is_some());
    }

    #[test]
    fn indexes_are_compared_by_key_order_and_options() {
        let by = |index: Document| {
            is_same_index(&doc! { "key": { "a": 1, "b": -1 }, "name": "x", "unique": true }, &index, None)
        };
        assert!(by(doc! { "v": 2, "key": { "a": 1.0, "b": -1 }, "name": "x", "unique": true }));
        assert!(!by(doc! { "v": 2, "key": { "b": -1, "a": 1 }, "name": "x", "unique": true }));
        assert!(!by(doc! { "v": 2, "key": { "a": 1, "b": -1 }, "name": "x" }));
        let by_text = doc! { "key": { "title": "text", "n": 1 }, "name": "t" };
        let there = doc! {
            "v": 2, "key": { "_fts": "text", "_ftsx": 1, "n": 1 }, "name": "t", "weights": { "title": 1 },
            "default_language": "english", "language_override": "language", "textIndexVersion": 3,
        };
        assert!(is_same_index(&by_text, &there, None));
        let german = Bson::from(doc! { "locale": "de", "strength": 3 });
        let plain = doc! { "key": { "a": 1 }, "name": "a" };
        let taken_on = doc! { "key": { "a": 1 }, "name": "a", "collation": german.clone() };
        assert!(is_same_index(&plain, &taken_on, Some(&german)) && !is_same_index(&plain, &taken_on, None));
    }

    #[test]
    fn names_are_those_of_the_server() {
        assert_eq!(default_name(&doc! { "a": 1, "b.c": -1, "t": "text" }), "a_1_b.c_-1_t_text");
    }
}
