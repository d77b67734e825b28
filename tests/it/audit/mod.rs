//! The audit log as people meet it: the command line over a store that somebody tampered with.

mod rotating;

use std::process::{Command, Output};

use chrono::Utc;
use godwit::store::{AuditEntry, AuditHead};
use serde_json::Value;

use crate::store::{Fresh, fresh, fresh_on, on_both};
use crate::support::{Kind, Project};

fn godwit(fresh: &Fresh, args: &[&str]) -> Output {
    fresh.godwit().args(args).output().unwrap()
}

on_both! {
    b17_an_untouched_log_is_valid,
    b17_the_database_itself_refuses_changes,
    b17_every_kind_of_tampering_is_found_and_named,
    b17_a_cut_off_end_is_seen_with_the_printed_head,
    b17_a_store_without_its_key_cannot_be_made_to_agree,
    b17_an_export_is_verified_without_the_store,
    appends_from_two_processes_make_one_chain,
    locking_and_unlocking_are_recorded,
    b17_an_emptied_or_older_log_is_found_without_any_head,
    b17_a_person_may_accept_a_restored_log_and_says_why,
    b17_the_anchor_may_lag_and_is_made_where_there_is_none,
}

/// Exit code and verdict of `audit verify`.
fn verify(fresh: &Fresh, args: &[&str]) -> (i32, Value) {
    let output = godwit(fresh, &[&["audit", "verify", "--format", "json"], args].concat());
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A log of so many records; gives the head after each.
async fn log(fresh: Fresh, records: usize) -> (Fresh, Vec<AuditHead>) {
    let mut heads = Vec::new();
    for n in 1..=records {
        let mut entry = AuditEntry::new(Utc::now(), "alice", "approved", "ok");
        entry.basis = Some("role dba".into());
        entry.details.insert("number".into(), n.to_string());
        heads.push(fresh.store.append_audit(entry).await.unwrap());
    }
    (fresh, heads)
}

/// What somebody does first who wants to change the log.
async fn unguard(fresh: &Fresh) {
    let sql = match fresh.kind() {
        Kind::Sqlite => "DROP TRIGGER audit_refuses_update; DROP TRIGGER audit_refuses_delete",
        _ => "DROP TRIGGER audit_refuses_update ON audit; DROP TRIGGER audit_refuses_truncate ON audit",
    };
    fresh.raw(sql).await.unwrap();
}

async fn b17_an_untouched_log_is_valid(fresh: Fresh) {
    let (fresh, heads) = log(fresh, 3).await;
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!(code, 0);
    assert_eq!(verdict["records"], 3);
    assert_eq!(verdict["valid"], true);
    assert_eq!(verdict["first_bad"], Value::Null);
    assert_eq!(verdict["head"], heads[2].hash.as_str());
    for head in &heads {
        assert_eq!(verify(&fresh, &["--head", &head.hash]).0, 0, "a head printed earlier is still in the log");
    }
}

async fn b17_the_database_itself_refuses_changes(fresh: Fresh) {
    let (fresh, _) = log(fresh, 2).await;
    for sql in ["UPDATE audit SET actor = 'mallory'", "DELETE FROM audit", "DELETE FROM audit WHERE seq = 2"] {
        let error = fresh.raw(sql).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    assert_eq!(verify(&fresh, &[]).0, 0);
}

async fn b17_every_kind_of_tampering_is_found_and_named(fresh: Fresh) {
    let kind = fresh.kind();
    for (sql, first_bad) in [
        ("UPDATE audit SET actor = 'mallory' WHERE seq = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET basis = NULL WHERE seq = 2", 2),
        ("UPDATE audit SET details = '{\"number\":\"9\"}' WHERE seq = 4", 4),
        ("UPDATE audit SET details = 'nonsense' WHERE seq = 4", 4),
        ("UPDATE audit SET details = '{ \"number\": \"4\" }' WHERE seq = 4", 4),
        ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 1) WHERE seq = 5", 5),
        ("UPDATE audit SET previous = 'sha256:x' WHERE seq = 2", 2),
        ("UPDATE audit SET pr = 'text' WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 1", 1),
        // A hole that is closed again by renumbering.
        (
            "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5",
            3,
        ),
        // Two records change places.
        (
            "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 99",
            2,
        ),
        // One moves to the end.
        ("UPDATE audit SET seq = 6 WHERE seq = 2", 2),
        // One is made up, with a hash that anybody could compute.
        (
            "INSERT INTO audit (seq, at, actor, action, result, details, previous, hash) \
          SELECT 6, at, 'mallory', action, result, details, hash, hash FROM audit WHERE seq = 5",
            6,
        ),
    ] {
        if kind != Kind::Sqlite && sql.contains("'text'") {
            continue; // a number stays one there
        }
        let (fresh, _) = log(fresh_on(kind).await, 5).await;
        unguard(&fresh).await;
        fresh.raw(sql).await.unwrap();
        let (code, verdict) = verify(&fresh, &[]);
        assert_eq!((code, verdict["valid"].clone()), (1, Value::Bool(false)), "{sql}");
        assert_eq!(verdict["first_bad"], first_bad, "{sql}: {}", verdict["problem"]);
    }
}

async fn b17_a_cut_off_end_is_seen_with_the_printed_head(fresh: Fresh) {
    let (fresh, heads) = log(fresh, 5).await;
    unguard(&fresh).await;
    fresh.raw("DELETE FROM audit WHERE seq > 3").await.unwrap();
    // What is left is a whole chain, as an export of it shows; the anchor outside the store knows better.
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["first_bad"].clone()), (1, Value::from(4)));
    let (code, verdict) = verify(&fresh, &["--head", &heads[4].hash]);
    assert_eq!((code, verdict["first_bad"].clone()), (1, Value::from(4)));
    assert_eq!(verify(&fresh, &["--head", &heads[2].hash]).1["first_bad"], 4);
    assert_eq!(godwit(&fresh, &["audit", "verify", "--head", "sha256:short"]).status.code(), Some(2));
}

async fn b17_a_store_without_its_key_cannot_be_made_to_agree(fresh: Fresh) {
    let (fresh, _) = log(fresh, 2).await;
    std::fs::write(fresh.dir.path().join("audit.key"), "another key, made up").unwrap();
    if fresh.is_postgres() {
        // Where the key may be on another machine than the store, another one is no key at all.
        let output = godwit(&fresh, &["audit", "verify"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("GODWIT_AUDIT_KEY_FILE") && !said.contains("made up"), "{said}");
        return;
    }
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["first_bad"].clone()), (1, Value::from(1)));
}

async fn b17_an_export_is_verified_without_the_store(fresh: Fresh) {
    let (fresh, heads) = log(fresh, 1500).await;
    let out = fresh.dir.path().join("log.jsonl");
    let written = godwit(&fresh, &["audit", "export", "--out", out.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0));
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 1500);
    let key = std::fs::read_to_string(fresh.dir.path().join("audit.key")).unwrap();

    let offline = |name: &str, text: &str, head: Option<&str>| {
        let file = fresh.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
        command.args(["audit", "verify", "--format", "json", "--file"]).arg(&file);
        command.args(head.map(|h| ["--head", h]).into_iter().flatten());
        // No store anywhere: it would be opened in a folder that does not exist.
        let output =
            command.env("GODWIT_AUDIT_KEY", &key).env("GODWIT_STORE_URL", "sqlite:/nowhere/x.db").output().unwrap();
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), verdict["first_bad"].as_i64())
    };
    assert_eq!(offline("whole", &text, Some(&heads[1499].hash)), (0, None));
    assert_eq!(offline("altered", &text.replacen("alice", "mallory", 1), None), (1, Some(1)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(offline("removed", &[&lines[..700], &lines[701..]].concat().join("\n"), None), (1, Some(701)));
    assert_eq!(offline("cut", &lines[..1499].join("\n"), Some(&heads[1499].hash)), (1, Some(1500)));
}

#[tokio::test]
async fn b20_credentials_do_not_reach_the_log() {
    let fresh = fresh().await;
    let mut entry = AuditEntry::new(Utc::now(), "alice", "run-finished", "failed");
    entry.details.insert("error".into(), "cannot reach postgres://godwit:planted-pw@db/shop".into());
    fresh.store.append_audit(entry).await.unwrap();
    let listed = godwit(&fresh, &["audit", "list"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("postgres://godwit:****@db/shop") && !text.contains("planted-pw"), "{text}");
    let bytes: Vec<u8> = ["godwit.db", "godwit.db-wal"]
        .iter()
        .filter_map(|f| std::fs::read(fresh.dir.path().join(f)).ok())
        .flatten()
        .collect();
    assert!(!bytes.windows(10).any(|w| w == b"planted-pw"));
}

async fn appends_from_two_processes_make_one_chain(fresh: Fresh) {
    let other = fresh.again().await;
    let appending = |store: godwit::store::Store| {
        tokio::spawn(async move {
            for _ in 0..40 {
                store.append_audit(AuditEntry::new(Utc::now(), "a", "b", "c")).await.unwrap();
            }
        })
    };
    let (one, two) = (appending(fresh.store.clone()), appending(other));
    one.await.unwrap();
    two.await.unwrap();
    let verdict = fresh.store.verify_audit(None).await.unwrap();
    assert_eq!((verdict.valid, verdict.records), (true, 80));
}

async fn locking_and_unlocking_are_recorded(fresh: Fresh) {
    let run = |user: &str, args: &[&str]| {
        let output = fresh.godwit().args(args).env("USER", user).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run("alice", &["lock", "--env", "production", "release", "day"]).0, 0);
    let (code, text) = run("bob", &["lock", "--env", "production", "too"]);
    assert!(code == 3 && text.contains("locked by alice") && text.contains("release day"), "{code} {text}");
    let (code, text) = run("bob", &["unlock", "--env", "production"]);
    assert!(code == 3 && text.contains("--force"), "{code} {text}");
    assert_eq!(run("bob", &["unlock", "--env", "production", "--force"]).0, 0);
    assert_eq!(run("bob", &["unlock", "--env", "production"]).0, 0, "not locked is fine");
    let listed = run("bob", &["audit", "list", "--format", "json"]).1;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let actions: Vec<_> = listed["records"].as_array().unwrap().iter().map(|r| (&r["actor"], &r["action"])).collect();
    assert_eq!(actions, [(&Value::from("alice"), &Value::from("lock")), (&Value::from("bob"), &Value::from("unlock"))]);
}

async fn b17_an_emptied_or_older_log_is_found_without_any_head(fresh: Fresh) {
    let (fresh, _) = log(fresh, 5).await;
    fresh.raw("CREATE TABLE yesterday AS SELECT * FROM audit").await.unwrap();
    for n in 0..2 {
        fresh.store.append_audit(AuditEntry::new(Utc::now(), "alice", "lock", n.to_string())).await.unwrap();
    }
    assert_eq!(verify(&fresh, &[]).1["anchor"], 7);
    unguard(&fresh).await;
    fresh.raw("DELETE FROM audit").await.unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].clone(), verdict["first_bad"].clone()), (1, 0.into(), 1.into()));
    let problem = verdict["problem"].as_str().unwrap();
    assert!(problem.contains("empty") && problem.contains("record 7"), "{problem}");

    // Yesterday's copy in its place: what came after is missing, and stays missing however the log grows.
    fresh.raw("INSERT INTO audit SELECT * FROM yesterday").await.unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].clone(), verdict["first_bad"].clone()), (1, 5.into(), 6.into()));
    assert!(verdict["problem"].as_str().unwrap().contains("restore"), "{verdict}");
    for n in 0..4 {
        fresh.store.append_audit(AuditEntry::new(Utc::now(), "alice", "lock", n.to_string())).await.unwrap();
    }
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].clone(), verdict["first_bad"].clone()), (1, 9.into(), 7.into()));
    assert!(verdict["problem"].as_str().unwrap().contains("replaced"), "{verdict}");
}

async fn b17_a_person_may_accept_a_restored_log_and_says_why(fresh: Fresh) {
    let (fresh, _) = log(fresh, 5).await;
    unguard(&fresh).await;
    fresh.raw("DELETE FROM audit WHERE seq > 3").await.unwrap();
    assert_eq!(godwit(&fresh, &["audit", "accept", "--reason", " "]).status.code(), Some(2));
    assert_eq!(godwit(&fresh, &["audit", "accept", "--reason", "restored last night's copy"]).status.code(), Some(0));
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["records"].clone(), verdict["anchor"].clone()), (0, 4.into(), 4.into()));
    let list: Value = serde_json::from_slice(&godwit(&fresh, &["audit", "list", "--format", "json"]).stdout).unwrap();
    let last = &list["records"][3];
    assert_eq!((&last["action"], &last["basis"]), (&"audit-accepted".into(), &"restored last night's copy".into()));
    assert!(last["details"]["instead_of"].as_str().unwrap().starts_with("record 5"));
    // A record that was altered is not accepted.
    fresh.raw("UPDATE audit SET actor = 'mallory' WHERE seq = 2").await.unwrap();
    assert_eq!(godwit(&fresh, &["audit", "accept", "--reason", "never mind"]).status.code(), Some(1));
}

async fn b17_the_anchor_may_lag_and_is_made_where_there_is_none(fresh: Fresh) {
    let (fresh, _) = log(fresh, 2).await;
    let name = if fresh.is_postgres() { format!("postgres-{}", fresh.database()) } else { "godwit".to_owned() };
    let anchor = fresh.dir.path().join(format!("audit-{name}.anchor"));
    let old = std::fs::read(&anchor).unwrap();
    for n in 0..3 {
        fresh.store.append_audit(AuditEntry::new(Utc::now(), "alice", "lock", n.to_string())).await.unwrap();
    }
    // As after a power cut: the log is synced, the anchor was not.
    std::fs::write(&anchor, &old).unwrap();
    assert_eq!(verify(&fresh, &[]).1["anchor"], 2);
    fresh.store.append_audit(AuditEntry::new(Utc::now(), "alice", "lock", "x")).await.unwrap();
    assert_eq!(verify(&fresh, &[]).1["anchor"], 6);
    std::fs::remove_file(&anchor).unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert_eq!((code, verdict["anchor"].clone()), (0, Value::Null));
    fresh.store.append_audit(AuditEntry::new(Utc::now(), "alice", "lock", "y")).await.unwrap();
    assert_eq!(verify(&fresh, &[]).1["anchor"], 7);
    std::fs::write(&anchor, "nonsense").unwrap();
    let (code, verdict) = verify(&fresh, &[]);
    assert!(code == 1 && verdict["problem"].as_str().unwrap().contains("anchor"), "{verdict}");
}

#[test]
fn r25_the_row_of_a_run_proves_it_with_epoch_looks_before_and_after_and_durations() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("0001_a.up.sql", "create table a (n int);"),
            ("0002_i.up.sql", "create index concurrently a_n on a (n);"),
            ("0003_bad.up.sql", "create table a (n int);"),
        ],
    );
    project.run(&["apply", "--yes", "--to", "0002_i"]).expect(0);
    project.run(&["apply", "--yes"]).expect(1);
    let mut listed = crate::support::godwit(project.dir.path());
    let output = listed.args(["audit", "list", "--format", "json"]).output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows: Vec<&Value> =
        rows["records"].as_array().unwrap().iter().filter(|r| r["action"] == "run-finished").collect();
    let proof = |row: &Value| -> Value { serde_json::from_str(row["details"]["proof"].as_str().unwrap()).unwrap() };
    let (good, bad) = (proof(rows[0]), proof(rows[1]));
    assert_eq!((good[0]["epoch"].as_i64(), bad[0]["epoch"].as_i64()), (Some(1), Some(2)));
    assert_ne!(good[0]["before"], good[0]["after"]);
    assert_eq!(good[0]["after"], bad[0]["before"], "one run begins where the other ended");
    assert_ne!(good[0]["plan"], bad[0]["plan"]);
    let steps = &good[0]["steps"];
    assert_eq!((&steps[0]["state"], &steps[0]["before"]), (&"applied".into(), &Value::Null), "it commits with its row");
    assert_eq!((&steps[1]["before"], &steps[1]["after"]), (&"absent".into(), &"done".into()), "{steps}");
    assert!(steps[1]["ms"].as_i64().is_some_and(|ms| ms >= 0), "{steps}");
    assert_eq!((&steps[0]["recovery"], &steps[1]["recovery"]), (&"atomic".into(), &"verifiable".into()), "{steps}");
    for (step, why) in [(0, "one transaction"), (1, "catalog")] {
        assert!(steps[step]["recovery_reason"].as_str().unwrap().contains(why), "R-21: {steps}");
    }
    assert_eq!(bad[0]["steps"][0]["state"], "failed");
    assert!(bad[0]["after"].is_string(), "{bad}");
}
