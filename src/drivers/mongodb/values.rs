//! Values of the server's own types, and those of a migration file as such. Pure.

use mongodb::bson::{Bson, Document};

pub(super) use crate::migration::operations::extended_json::{document, value};

/// A text field; empty where there is none.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    document.get_str(name).unwrap_or_default()
}

/// A field that is true or false, where it is there.
pub(super) fn flag(document: &Document, name: &str) -> Option<bool> {
    document.get_bool(name).ok()
}

/// A value with the keys of its documents in order, so that two that mean the same read the same.
pub(super) fn sorted(value: &Bson) -> Bson {
    match value {
        Bson::Document(d) => {
            let mut keys: Vec<_> = d.iter().collect();
            keys.sort_by(|a, b| a.0.cmp(b.0));
            Bson::Document(keys.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Bson::Array(items) => Bson::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Whether two values are the same to the server's mind: numbers by what they count, documents by key and value.
pub(super) fn equal(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| equal(v, other)))
        }
        (Bson::Array(a), Bson::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (a, b) => match (float(a), float(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

#[allow(clippy::cast_precision_loss)]
fn float(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn numbers_are_compared_by_what_they_count() {
        assert!(equal(&Bson::Int32(1), &Bson::Double(1.0)));
        let (a, b) = (doc! { "x": 1_i64, "y": [1] }, doc! { "y": [1.0], "x": 1 });
        assert!(equal(&Bson::Document(a), &Bson::Document(b)));
        assert!(!equal(&Bson::Document(doc! { "x": 1 }), &Bson::Document(doc! { "x": 1, "y": 1 })));
    }
}
