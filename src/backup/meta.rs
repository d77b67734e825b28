//! The file beside each backup that says what it is (SPEC 8).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::BackupError;
use super::file::{private_file, sync_folder, with_suffix};
use crate::ids::{CommitSha, Engine, EnvironmentName, PrNumber, RunId, TargetName};

/// What the name of such a file ends in.
pub const SUFFIX: &str = "meta";

/// What a backup is, in the order of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Name of the backup's file, in the same folder.
    pub backup_file: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Of which environment; `null` for a database given by its URL.
    pub environment: Option<EnvironmentName>,
    /// In which region, where the target names one.
    pub region: Option<String>,
    /// The kind of database.
    pub engine: Engine,
    /// The server's version.
    pub engine_version: String,
    /// The database's own name on its server.
    pub database: String,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Whether a key is needed to read it.
    pub encrypted: bool,
    /// What wrote it.
    pub tool: String,
    /// The run it was made for, or made by.
    pub run_id: RunId,
    /// The commit that was about to run.
    pub git_commit: Option<CommitSha>,
    /// The pull request that was about to run.
    pub pull_request: Option<PrNumber>,
    /// The migrations that were about to run.
    pub pending: Vec<String>,
    /// What brings it back.
    pub restore_command: String,
    /// The target's name in its environment.
    pub target: TargetName,
    /// Why it was made.
    pub reason: String,
    /// Who caused it.
    pub by: String,
    /// `all`, or the indices or patterns of keys that are in it.
    pub scope: Scope,
    /// Whether everything in it is of one moment.
    pub consistent: bool,
    /// What is in it: tables, collections, indices or kinds of keys.
    pub contents: BTreeMap<String, Sum>,
    /// What a restore into scratch showed; `null` before it was done.
    pub verified: Option<Verified>,
    /// Where the documents are, when the file only names a snapshot of the cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// What a person should know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How much of a target is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    #[default]
    All,
    /// Indices by name, or keys by name and pattern; Godwit's own records come on top.
    Only(Vec<String>),
}

/// A snapshot in a repository of an Elasticsearch cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The repository's name in the cluster.
    pub repository: String,
    /// Its own name in it.
    pub name: String,
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.repository, self.name)
    }
}

/// How much of one thing there is, and what tells its content from any other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// Rows, documents or keys.
    pub count: u64,
    /// A digest over all of them that does not depend on their order; `null` where there are too many to be read twice.
    #[serde(default)]
    pub digest: Option<String>,
}

/// What came of restoring a backup into scratch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether the copy was as the backup says.
    pub ok: bool,
    /// When.
    pub at: DateTime<Utc>,
    /// Where it was restored.
    pub into: String,
    /// How many rows, documents or keys were compared by number.
    pub counted: u64,
    /// How many of them were compared by content.
    pub compared: u64,
    /// What was different.
    pub differences: Vec<String>,
    /// Milliseconds it took: about what a restore would take.
    pub took_ms: u64,
}

impl Meta {
    /// Writes the file `BACKUP.meta`, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let file = with_suffix(backup, SUFFIX);
        let draft = with_suffix(&file, super::file::PARTIAL);
        let cannot = |e: std::io::Error| BackupError::Failed(format!("cannot write `{}`: {e}", file.display()));
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| BackupError::Failed(format!("`{}` has no JSON form: {e}", file.display())))?;
        // A draft that a killed process left is of no use to anybody.
        let _ = std::fs::remove_file(&draft);
        let mut out = private_file(&draft).map_err(cannot)?;
        writeln!(out, "{}", crate::redact::text(&text)).and_then(|()| out.sync_all()).map_err(cannot)?;
        std::fs::rename(&draft, &file).map_err(cannot)?;
        if let Some(dir) = file.parent() {
            sync_folder(dir);
        }
        Ok(())
    }

    /// Reads the file beside a backup.
    ///
    /// # Errors
    /// When it is not there or not of this form.
    pub fn read(backup: &Path) -> Result<Self, BackupError> {
        let file = with_suffix(backup, SUFFIX);
        let text = std::fs::read_to_string(&file).map_err(|e| {
            BackupError::Damaged(format!(
                "cannot read `{}`, which tells what the backup is: {e}; a backup without it is not restored",
                file.display()
            ))
        })?;
        serde_json::from_str(&text)
            .map_err(|e| BackupError::Damaged(format!("`{}` is not what Godwit writes: {e}", file.display())))
    }

    /// Whether it was restored into scratch and found whole.
    pub fn is_verified(&self) -> bool {
        self.verified.as_ref().is_some_and(|v| v.ok)
    }
}

/// What is different between what was backed up and what came out of the backup.
pub fn differences(wrote: &BTreeMap<String, Sum>, found: &BTreeMap<String, Sum>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, sum) in wrote {
        match found.get(name) {
            None => out.push(format!("`{name}` is missing")),
            Some(other) if other.count != sum.count => {
                out.push(format!("`{name}` has {} entries in place of {}", other.count, sum.count));
            }
            Some(other) if sum.digest.is_some() && other.digest != sum.digest => {
                out.push(format!("`{name}` has other content"));
            }
            Some(_) => {}
        }
    }
    out.extend(found.keys().filter(|n| !wrote.contains_key(*n)).map(|n| format!("`{n}` should not be there")));
    out
}

/// A digest over a set that does not depend on the order it is read in.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetDigest(u128);

impl SetDigest {
    /// Takes one member's bytes in.
    pub fn add(&mut self, parts: &[&[u8]]) {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let bytes: [u8; 32] = hash.finalize().into();
        let (half, _) = bytes.split_at(16);
        self.0 = self.0.wrapping_add(half.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b)));
    }

    /// As text.
    pub fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_55_the_meta_file_has_the_keys_that_are_promised_in_their_order() {
        let meta = Meta {
            backup_file: "migration_backup_20241204_143022_production_shop.sql".to_owned(),
            created_at: "2024-12-04T14:30:22Z".parse().unwrap(),
            environment: Some(EnvironmentName::new("production").unwrap()),
            region: Some("eu-west".to_owned()),
            engine: Engine::Postgresql,
            engine_version: "15.5".to_owned(),
            database: "shop".to_owned(),
            size_bytes: 1_048_576,
            sha256: "9f86".to_owned(),
            encrypted: false,
            tool: "godwit 0.1.0".to_owned(),
            run_id: RunId::generate(),
            git_commit: None,
            pull_request: Some(PrNumber(42)),
            pending: vec!["0001_a".to_owned()],
            restore_command: "godwit restore production b.sql".to_owned(),
            target: TargetName::new("shop").unwrap(),
            reason: "asked for".to_owned(),
            by: "ann".to_owned(),
            scope: Scope::All,
            consistent: true,
            contents: BTreeMap::new(),
            verified: None,
            snapshot: None,
            notes: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let backup = dir.path().join(&meta.backup_file);
        meta.write(&backup).unwrap();
        assert_eq!(Meta::read(&backup).unwrap(), meta);
        let text = std::fs::read_to_string(with_suffix(&backup, SUFFIX)).unwrap();
        let mut from = 0;
        for key in [
            "backup_file",
            "created_at",
            "environment",
            "region",
            "engine",
            "engine_version",
            "database",
            "size_bytes",
            "sha256",
            "encrypted",
            "tool",
            "run_id",
            "git_commit",
            "pull_request",
            "pending",
            "restore_command",
        ] {
            from += text[from..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in {text}"));
        }
        assert!(text.contains("\"created_at\": \"2024-12-04T14:30:22Z\""), "{text}");
        assert!(text.contains("\"pull_request\": 42"), "{text}");
    }

    #[test]
    fn what_is_missing_more_or_other_is_told() {
        let sum = |count, digest: &str| Sum { count, digest: Some(digest.to_owned()) };
        let wrote = BTreeMap::from([("a".to_owned(), sum(1, "x")), ("b".to_owned(), sum(2, "y"))]);
        assert!(differences(&wrote, &wrote).is_empty());
        let found = BTreeMap::from([("a".to_owned(), sum(1, "z")), ("c".to_owned(), sum(0, ""))]);
        assert_eq!(differences(&wrote, &found), ["`a` has other content", "`b` is missing", "`c` should not be there"]);
        let (mut one, mut two) = (SetDigest::default(), SetDigest::default());
        one.add(&[b"a", b"b"]);
        one.add(&[b"c"]);
        two.add(&[b"c"]);
        two.add(&[b"a", b"b"]);
        assert_eq!(one.text(), two.text());
        two.add(&[b"ab"]);
        assert_ne!(one.text(), two.text());
    }
}
