//! The log's key is changed: what was written with the former one is still verified, and whoever has that one alone can
//! change nothing (B-17).

use chrono::Utc;
use godwit::store::{AuditEntry, AuditKey, Store, StoreError};
use secrecy::SecretString;
use serde_json::Value;

use super::{godwit, log, unguard, verify};
use crate::store::{Fresh, fresh_on, on_both};

on_both! {
    b17_the_key_is_changed_while_the_server_runs_and_both_parts_are_verified,
    b17_without_the_former_key_the_older_part_is_not_taken_for_verified,
    b17_tampering_around_the_change_is_found_and_named,
    b17_who_was_not_given_the_new_key_writes_nothing,
    b17_a_key_given_from_outside_is_changed_where_it_is_given,
    b17_a_change_that_was_cut_short_is_finished,
    b17_a_store_with_a_changed_key_is_copied,
}

const FIRST: &str = "the first key of the log";
const SECOND: &str = "the second key of the log";

fn entry(action: &str) -> AuditEntry {
    AuditEntry::new(Utc::now(), "alice", action, "ok")
}

fn rotate(fresh: &Fresh) -> (i32, String) {
    let output = godwit(fresh, &["audit", "rotate-key", "--reason", "somebody left who knew it"]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

fn key_file(fresh: &Fresh) -> std::path::PathBuf {
    fresh.dir.path().join(AuditKey::FILE)
}

/// Three records, the change, and one more by a process that was there before it.
async fn rotated(fresh: Fresh) -> Fresh {
    let (fresh, _) = log(fresh, 3).await;
    let (code, said) = rotate(&fresh);
    assert_eq!(code, 0, "{said}");
    fresh.store.append_audit(entry("approved")).await.unwrap();
    fresh
}

async fn b17_the_key_is_changed_while_the_server_runs_and_both_parts_are_verified(fresh: Fresh) {
    let fresh = rotated(fresh).await;
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].as_u64()), (0, Some(6)), "{verdict}");
    assert_eq!(verdict["anchor"], 6, "{verdict}");
    let all = fresh.store.audit(&Default::default()).await.unwrap();
    let words: Vec<&str> = all.iter().map(|r| r.body.action.as_str()).collect();
    assert_eq!(words, ["approved", "approved", "approved", "audit-key-changed", "audit-key-taken", "approved"]);
    assert_eq!(all[3].body.basis.as_deref(), Some("somebody left who knew it"));
    let keys = std::fs::read_to_string(key_file(&fresh)).unwrap();
    assert_eq!(keys.lines().count(), 2);
    // Neither of them stands anywhere in the log, nor is it said.
    let told = format!("{all:?}{}", rotate(&fresh).1);
    assert!(keys.lines().all(|key| !told.contains(key)));
    // And once more.
    fresh.store.append_audit(entry("approved")).await.unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].as_u64()), (0, Some(9)), "{verdict}");
    assert_eq!(std::fs::read_to_string(key_file(&fresh)).unwrap().lines().count(), 3);
}

async fn b17_without_the_former_key_the_older_part_is_not_taken_for_verified(fresh: Fresh) {
    let fresh = rotated(fresh).await;
    let exported = fresh.dir.path().join("audit.jsonl");
    let output = godwit(&fresh, &["audit", "export", "--out", exported.to_str().unwrap()]);
    assert!(output.status.success());
    let keys = std::fs::read_to_string(key_file(&fresh)).unwrap();
    let (present, former) = keys.split_once('\n').unwrap();
    std::fs::write(key_file(&fresh), present).unwrap();
    let kept = fresh.dir.path().join("former.key");
    std::fs::write(&kept, former).unwrap();
    let (kept, exported) = (kept.to_str().unwrap(), exported.to_str().unwrap());
    for from in [&[][..], &["--file", exported]] {
        let (code, verdict) = verify(&fresh, from);
        assert_eq!((code, verdict["first_bad"].as_i64()), (1, Some(1)), "{from:?}: {verdict}");
        let (code, verdict) = verify(&fresh, &[from, &["--former-key", kept]].concat());
        assert_eq!((code, verdict["records"].as_u64()), (0, Some(6)), "{from:?}: {verdict}");
    }
    let output = godwit(&fresh, &["audit", "verify", "--former-key", "nowhere.key"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.key"));
}

async fn b17_tampering_around_the_change_is_found_and_named(fresh: Fresh) {
    let kind = fresh.kind();
    for (sql, first_bad) in [
        ("UPDATE audit SET actor = 'mallory' WHERE seq = 3", 3),
        ("UPDATE audit SET basis = 'no reason' WHERE seq = 4", 4),
        ("UPDATE audit SET action = 'approved' WHERE seq = 4", 4),
        ("UPDATE audit SET details = '{}' WHERE seq = 4", 4),
        ("UPDATE audit SET actor = 'mallory' WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 5", 5),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 99",
            4,
        ),
        // The end cut off: behind the change, with it, and so that the former key is the last one.
        ("DELETE FROM audit WHERE seq = 6", 6),
        ("DELETE FROM audit WHERE seq > 4", 5),
        ("DELETE FROM audit WHERE seq > 3", 4),
    ] {
        let fresh = rotated(fresh_on(kind).await).await;
        unguard(&fresh).await;
        fresh.raw(sql).await.unwrap();
        let (code, verdict) = verify(&fresh, &[]);
        assert_eq!((code, verdict["first_bad"].as_i64()), (1, Some(first_bad)), "{sql}: {verdict}");
    }
}

fn key(lines: &[&str]) -> AuditKey {
    AuditKey::new(&SecretString::from(lines.join("\n")))
}

async fn open(fresh: &Fresh, lines: &[&str]) -> Result<Store, StoreError> {
    Store::open_in(&fresh.url(), Some(fresh.dir.path()), Some(key(lines))).await
}

/// A store that was never opened with any other key than [`FIRST`], and whose log has a record.
async fn given(fresh: &Fresh) -> Store {
    fresh.raw("DELETE FROM facts WHERE name = 'audit_key'").await.unwrap();
    let store = open(fresh, &[FIRST]).await.unwrap();
    store.append_audit(entry("approved")).await.unwrap();
    store
}

async fn b17_who_was_not_given_the_new_key_writes_nothing(fresh: Fresh) {
    let old = given(&fresh).await;
    let new = open(&fresh, &[SECOND, FIRST]).await.unwrap();
    // Both may write until the change.
    new.append_audit(entry("approved")).await.unwrap();
    old.append_audit(entry("approved")).await.unwrap();
    assert!(!new.has_present_audit_key());
    new.rotate_audit_key(entry("")).await.unwrap();
    assert!(matches!(new.rotate_audit_key(entry("")).await, Err(StoreError::SameAuditKey)));
    let refused = old.append_audit(entry("approved")).await;
    assert!(matches!(refused, Err(StoreError::OtherAuditKey)), "{refused:?}");
    assert!(matches!(open(&fresh, &[FIRST]).await, Err(StoreError::OtherAuditKey)));
    assert!(matches!(open(&fresh, &["a third key that is no key here"]).await, Err(StoreError::OtherAuditKey)));
    new.append_audit(entry("approved")).await.unwrap();
    let verdict = new.verify_audit(None).await.unwrap();
    assert!(verdict.valid && verdict.records == 6, "{verdict:?}");
}

async fn b17_a_key_given_from_outside_is_changed_where_it_is_given(fresh: Fresh) {
    drop(given(&fresh).await);
    let run = |keys: String| {
        let mut command = fresh.godwit();
        command.env("GODWIT_AUDIT_KEY", keys).args(["audit", "rotate-key", "--reason", "every year"]);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(FIRST.to_owned());
    assert_eq!(code, 2);
    assert!(said.contains("put a new line with a new key before it"), "{said}");
    let (code, said) = run(format!("{SECOND}\n{FIRST}"));
    assert_eq!(code, 0, "{said}");
    assert_eq!(run(format!("{SECOND}\nshort")).0, 2);
    let store = open(&fresh, &[SECOND, FIRST]).await.unwrap();
    assert!(store.verify_audit(None).await.unwrap().valid);
}

async fn b17_a_change_that_was_cut_short_is_finished(fresh: Fresh) {
    let (fresh, _) = log(fresh, 2).await;
    // Killed when the file was renewed, and the log was not yet.
    AuditKey::renew(&key_file(&fresh)).unwrap();
    fresh.again().await.append_audit(entry("approved")).await.unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!(code, 1);
    assert!(verdict["problem"].as_str().unwrap().contains("godwit audit rotate-key"), "{verdict}");
    let (code, said) = rotate(&fresh);
    assert_eq!(code, 0, "{said}");
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].as_u64()), (0, Some(5)), "{verdict}");
    assert_eq!(std::fs::read_to_string(key_file(&fresh)).unwrap().lines().count(), 2);
    // A log that is not valid keeps its key, and an empty one has none to change.
    unguard(&fresh).await;
    fresh.raw("UPDATE audit SET actor = 'mallory' WHERE seq = 2").await.unwrap();
    assert_eq!(rotate(&fresh).0, 1);
    assert_eq!(std::fs::read_to_string(key_file(&fresh)).unwrap().lines().count(), 2);
    let empty = fresh_on(fresh.kind()).await;
    assert_eq!(rotate(&empty).0, 2);
}

async fn b17_a_store_with_a_changed_key_is_copied(fresh: Fresh) {
    let fresh = rotated(fresh).await;
    let backup = fresh.dir.path().join("backup.db");
    let output = godwit(&fresh, &["store", "backup", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let dir = tempfile::tempdir().unwrap();
    let into = format!("sqlite:{}", dir.path().join("godwit.db").display());
    std::fs::copy(key_file(&fresh), dir.path().join(AuditKey::FILE)).unwrap();
    let run = |args: &[&str]| {
        let mut command = fresh.godwit();
        command.env("GODWIT_STORE_URL", &into).args(args);
        command.output().unwrap()
    };
    let output = run(&["store", "restore", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&["audit", "verify", "--format", "json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), verdict["records"].as_u64()), (Some(0), Some(6)), "{verdict}");
    let store = Store::open(&into).await.unwrap();
    store.append_audit(entry("approved")).await.unwrap();
    assert!(store.verify_audit(None).await.unwrap().valid);
}
