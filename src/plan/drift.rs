//! The live schema against what the last run left behind. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Refusal, SchemaSnapshot};
use crate::ids::{Engine, TargetName};

/// What became of an object outside Godwit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// One object that is not as it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// Kind and name of the object.
    pub object: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// Properties that are gone.
    pub removed: Vec<String>,
    /// Properties that are new.
    pub added: Vec<String>,
}

/// How a target compares with what was left behind; an entry of `drift --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDrift {
    /// The target.
    pub target: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// When the schema was recorded; `None` where it never was.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The run that left it.
    pub recorded_by: Option<String>,
    /// Migrations ran since without leaving a record (from another machine, or cut short), so the two cannot be compared.
    pub history_moved: bool,
    /// What was recorded of it and its history does not know: it is older than that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Refusal>,
    /// Hash of the live schema.
    pub fingerprint: String,
    /// What is different.
    pub changes: Vec<SchemaChange>,
}

impl TargetDrift {
    /// Whether a person is to look at it.
    pub fn is_drift(&self) -> bool {
        !self.older.is_empty() || (!self.changes.is_empty() && !self.history_moved)
    }
}

/// A hash over a schema.
pub fn fingerprint(schema: &SchemaSnapshot) -> String {
    let mut hash = Sha256::new();
    for (name, definition) in schema.objects.iter().chain(schema.details.iter().flatten()) {
        for part in [name, definition] {
            // Lengths keep two neighbours from reading like others.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// What is different between two schemas, by object. What only one of the two was read for is not compared: a schema that an
/// earlier version recorded is no drift.
pub fn changes(before: &SchemaSnapshot, after: &SchemaSnapshot) -> Vec<SchemaChange> {
    let whole = before.details.is_some() && after.details.is_some();
    let parts = |schema: &'_ SchemaSnapshot| {
        let details = schema.details.clone().filter(|_| whole).unwrap_or_default();
        (schema.objects.clone(), details)
    };
    let (before, after) = (parts(before), parts(after));
    let names: BTreeSet<&String> =
        [&before.0, &before.1, &after.0, &after.1].into_iter().flat_map(|objects| objects.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let of = |parts: &(BTreeMap<String, String>, BTreeMap<String, String>)| -> Option<Vec<String>> {
                let texts = [parts.0.get(name), parts.1.get(name)];
                texts
                    .iter()
                    .any(Option::is_some)
                    .then(|| texts.into_iter().flatten().flat_map(|text| text.lines()).map(str::to_owned).collect())
            };
            let (old, new) = (of(&before), of(&after));
            let kind = match (&old, &new) {
                (Some(a), Some(b)) if a == b => return None,
                (Some(_), Some(_)) => ChangeKind::Changed,
                (None, _) => ChangeKind::Added,
                (Some(_), None) => ChangeKind::Removed,
            };
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            Some(SchemaChange {
                object: name.clone(),
                kind,
                removed: old.iter().filter(|l| !new.contains(l)).cloned().collect(),
                added: new.iter().filter(|l| !old.contains(l)).cloned().collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(objects: &[(&str, &str)]) -> SchemaSnapshot {
        let objects = objects.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
        SchemaSnapshot { objects, details: None }
    }

    #[test]
    fn s2_138_what_changed_is_told_by_object_and_property() {
        let before = schema(&[("table a", "column id integer\ncolumn n text"), ("table b", "exists")]);
        let after = schema(&[("table a", "column id bigint\ncolumn n text"), ("table c", "exists")]);
        let found = changes(&before, &after);
        let short: Vec<_> = found.iter().map(|c| (c.object.as_str(), c.kind)).collect();
        assert_eq!(
            short,
            [("table a", ChangeKind::Changed), ("table b", ChangeKind::Removed), ("table c", ChangeKind::Added)]
        );
        assert_eq!(
            (&found[0].removed[..], &found[0].added[..]),
            (&["column id integer".to_owned()][..], &["column id bigint".to_owned()][..])
        );
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn s2_138_what_an_earlier_version_did_not_read_is_no_drift() {
        let with = |details: &[(&str, &str)]| SchemaSnapshot {
            details: Some(schema(details).objects),
            ..schema(&[("table a", "column id integer")])
        };
        let old = schema(&[("table a", "column id integer")]);
        let owned = with(&[("table a", "owned by ann"), ("publication p", "for all tables")]);
        assert!(changes(&old, &owned).is_empty() && changes(&owned, &old).is_empty());
        let found = changes(&owned, &with(&[("table a", "owned by bob")]));
        let short: Vec<_> = found.iter().map(|c| (c.object.as_str(), c.kind)).collect();
        assert_eq!(short, [("publication p", ChangeKind::Removed), ("table a", ChangeKind::Changed)]);
        assert_eq!((&found[1].removed[0][..], &found[1].added[0][..]), ("owned by ann", "owned by bob"));
        assert_ne!(fingerprint(&old), fingerprint(&owned));
    }

    #[test]
    fn neighbours_do_not_read_alike() {
        assert_ne!(fingerprint(&schema(&[("ab", "c")])), fingerprint(&schema(&[("a", "bc")])));
        assert_ne!(fingerprint(&schema(&[("a", "")])), fingerprint(&schema(&[])));
    }
}
