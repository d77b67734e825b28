//! `godwit store`: a whole store into a file, back, and from one database to the other.

use std::path::Path;
use std::process::Output;

use chrono::Utc;
use godwit::approval::Binding;
use godwit::github::Event;
use godwit::ids::{CommitSha, DeliveryId, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk};
use godwit::plan::Outcome;
use godwit::store::{Agreed, AuditEntry, EnvironmentRecord, NewDelivery, Store};
use serde_json::Value;

use super::{Fresh, fresh, on_both, place_on};
use crate::support::Kind;

on_both! {
    a_backup_restored_is_the_same_store,
    a_move_takes_everything_along_and_the_log_goes_on,
    nothing_is_copied_into_a_store_that_holds_something,
    b17_a_damaged_log_is_not_copied_unless_a_person_says_so,
}

/// Something in most tables, with odd texts.
async fn fill(store: &Store) {
    let (repo, pr, now) = (RepoName::new("o/r").unwrap(), PrNumber(7), Utc::now());
    let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).unwrap();
    let environment = EnvironmentName::new("production").unwrap();
    for n in 0..1200 {
        let id = DeliveryId::new(format!("d-{n}")).unwrap();
        let event = Event::Ignored { name: format!("'; -- \u{1F426} \"{n}\" \\ \n"), action: None };
        store.ingest(NewDelivery { id, name: "fork".into(), event, received_at: now }).await.unwrap();
    }
    for n in 0..30 {
        store.enqueue(&format!("k{n}"), &Event::Ping, None).await.unwrap();
        let mut entry = AuditEntry::new(now, "alice", "approved", "ok");
        entry.details.insert("why".into(), format!("ümlaut {n} \t \"quoted\""));
        entry.repo = (n % 2 == 0).then(|| repo.clone());
        store.append_audit(entry).await.unwrap();
    }
    store.claim("w", std::time::Duration::from_secs(60)).await.unwrap().unwrap();
    let binding = Binding { digest: digest.clone(), policy_hash: "p".into(), risk: Risk::High };
    store.remember_binding(&repo, pr, "review:1", &Login::new("Bob"), &binding, now).await.unwrap();
    store.asked_at(&repo, pr, &binding, now).await.unwrap();
    store.remember_pusher(&repo, pr, &Login::new("Bob")).await.unwrap();
    store.lock_environment(None, &environment, "a freeze", "alice").await.unwrap();
    let record = EnvironmentRecord {
        repo: repo.clone(),
        environment: environment.clone(),
        pr: None,
        commit: CommitSha::new("b".repeat(40)).unwrap(),
        digest: digest.clone(),
        outcome: Outcome::Applied,
        run: None,
        at: now,
    };
    store.record_environment(&record).await.unwrap();
    let agreed = Agreed {
        environment,
        digest,
        policy_hash: "p".into(),
        risk: Risk::Low,
        basis: "alice".into(),
        expires_at: None,
    };
    store.remember_agreed(&repo, pr, &[agreed]).await.unwrap();
}

/// A run on a database with two steps, so that rows refer to rows.
fn apply(fresh: &Fresh) {
    let folder = fresh.dir.path().join("m");
    std::fs::create_dir(&folder).unwrap();
    for name in ["1_a", "2_b"] {
        std::fs::write(folder.join(format!("{name}.up.sql")), format!("create table t{name} (n integer);")).unwrap();
    }
    let args = ["apply", "--url", "sqlite:target.db", "--path", "m", "--yes"];
    said(&fresh.godwit().args(args).output().unwrap(), 0);
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    format!("{out}{err}")
}

fn store(fresh: &Fresh, args: &[&str]) -> Output {
    fresh.godwit().arg("store").args(args).output().unwrap()
}

/// An empty store of that kind which has the same audit key.
async fn empty_like(fresh: &Fresh, kind: Kind) -> Fresh {
    let (dir, url, database) = place_on(kind);
    std::fs::copy(fresh.dir.path().join("audit.key"), dir.path().join("audit.key")).unwrap();
    let store = Store::open_in(&url, Some(dir.path()), None).await.unwrap();
    Fresh { dir, store, url, database }
}

fn only_files(dir: &Path, names: &[&str]) {
    let mut found: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, names);
}

async fn a_backup_restored_is_the_same_store(fresh: Fresh) {
    fill(&fresh.store).await;
    apply(&fresh);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("it's a backup.db");
    let path = file.to_str().unwrap();
    // While a server may use it.
    fresh.store.join("1", "all", None).await.unwrap();
    let told = said(&store(&fresh, &["backup", path]), 0);
    assert!(told.contains("the audit log is valid: 31 records") && told.contains("audit.key"), "{told}");
    only_files(out.path(), &["it's a backup.db"]);
    let again = said(&store(&fresh, &["backup", path]), 2);
    assert!(again.contains("is there already"), "{again}");

    let before = fresh.rows().await;
    assert!(before["jobs"].len() > 20 && before["run_steps"].len() == 2 && before["deliveries"].len() == 1200);
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let other = empty_like(&fresh, kind).await;
        let output = store(&other, &["restore", path, "--format", "json"]);
        let told: Value = serde_json::from_str(&said(&output, 0)).unwrap();
        assert_eq!((&told["audit"]["valid"], &told["audit"]["records"]), (&Value::Bool(true), &Value::from(31)));
        let tables: Vec<&String> = told["tables"].as_object().unwrap().keys().collect();
        assert_eq!(tables, before.keys().collect::<Vec<_>>(), "every table goes along");
        assert_eq!(other.rows().await, before);
        assert!(other.store.replicas(std::time::Duration::MAX).await.unwrap().is_empty());
        // The log goes on, and its end is anchored.
        assert_eq!(other.store.verify_audit(None).await.unwrap().anchor, Some(31));
        other.store.append_audit(AuditEntry::new(Utc::now(), "bob", "lock", "ok")).await.unwrap();
        assert!(other.store.verify_audit(None).await.unwrap().valid);
    }
}

async fn a_move_takes_everything_along_and_the_log_goes_on(fresh: Fresh) {
    fill(&fresh.store).await;
    apply(&fresh);
    let before = fresh.rows().await;
    let (dir, url, database) = place_on(if fresh.is_postgres() { Kind::Sqlite } else { Kind::Postgres });
    let output = store(&fresh, &["move", "--to", &url]);
    let told = said(&output, 0);
    assert!(told.contains("set `GODWIT_STORE_URL` to") && told.contains("the audit key stays what it is"), "{told}");
    // The key went along with a store in a file; for one on a server it stands in the data directory.
    let kept = if url.starts_with("postgres") { fresh.dir.path() } else { dir.path() };
    let moved = Store::open_in(&url, Some(kept), None).await.unwrap();
    let there = Fresh { dir, store: moved, url, database };
    assert_eq!(there.rows().await, before);
    assert_eq!(fresh.rows().await, before, "the source stays as it was");
    there.store.append_audit(AuditEntry::new(Utc::now(), "bob", "lock", "ok")).await.unwrap();
    let verdict = there.store.verify_audit(None).await.unwrap();
    assert!(verdict.valid && verdict.records == 32 && verdict.anchor == Some(32), "{verdict:?}");
}

async fn nothing_is_copied_into_a_store_that_holds_something(fresh: Fresh) {
    fill(&fresh.store).await;
    let other = empty_like(&fresh, Kind::Postgres).await;
    other.store.enqueue("k", &Event::Ping, None).await.unwrap();
    let before = other.rows().await;
    let told = said(&store(&fresh, &["move", "--to", &other.url()]), 1);
    assert!(told.contains("not empty") && told.contains("`jobs`"), "{told}");
    assert_eq!(other.rows().await, before);
    let file = fresh.dir.path().join("b.db");
    said(&store(&fresh, &["backup", file.to_str().unwrap()]), 0);
    said(&store(&fresh, &["restore", file.to_str().unwrap()]), 1);
    let told = said(&store(&fresh, &["move", "--to", &fresh.url()]), 2);
    assert!(told.contains("already"), "{told}");
}

async fn b17_a_damaged_log_is_not_copied_unless_a_person_says_so(fresh: Fresh) {
    fill(&fresh.store).await;
    let unguard = match fresh.kind() {
        Kind::Sqlite => "DROP TRIGGER audit_refuses_update",
        _ => "DROP TRIGGER audit_refuses_update ON audit",
    };
    fresh.raw(unguard).await.unwrap();
    fresh.raw("UPDATE audit SET actor = 'mallory' WHERE seq = 4").await.unwrap();
    let file = fresh.dir.path().join("b.db");
    let path = file.to_str().unwrap();
    let told = said(&store(&fresh, &["backup", path]), 1);
    assert!(told.contains("record 4") && told.contains("--damaged"), "{told}");
    assert!(!file.exists() && !fresh.dir.path().join("b.db.partial").exists());
    let told = said(&store(&fresh, &["backup", path, "--damaged"]), 0);
    assert!(told.contains("NOT valid") && file.exists(), "{told}");
}

#[tokio::test]
async fn a_store_that_is_served_is_not_moved() {
    let (fresh, (_dir, url, _database)) = (fresh().await, place_on(Kind::Postgres));
    fresh.store.join("1", "web", None).await.unwrap();
    let told = said(&store(&fresh, &["move", "--to", &url]), 3);
    assert!(told.contains("stop every server first") && told.contains("web"), "{told}");
    fresh.store.leave("1").await.unwrap();
    said(&store(&fresh, &["move", "--to", &url]), 0);
}

#[tokio::test]
async fn b8_a_move_that_is_killed_in_the_middle_left_nothing_and_can_be_made_again() {
    let fresh = fresh().await;
    fill(&fresh.store).await;
    let other = empty_like(&fresh, Kind::Postgres).await;
    // Holds the copy up at the audit log, which comes behind the queue.
    let mut holder = sqlx::PgPool::connect(&other.url()).await.unwrap().begin().await.unwrap();
    sqlx::query("LOCK TABLE audit IN SHARE MODE").execute(&mut *holder).await.unwrap();
    let mut child = fresh.godwit().args(["store", "move", "--to", &other.url()]).spawn().unwrap();
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";
    let mut waits: i64 = 0;
    while waits == 0 {
        waits = sqlx::query_scalar(waiting).fetch_one(&mut *holder).await.unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    holder.rollback().await.unwrap();
    assert!(other.rows().await.values().all(Vec::is_empty), "something was kept");
    said(&store(&fresh, &["move", "--to", &other.url()]), 0);
    assert_eq!(other.rows().await, fresh.rows().await);
}

#[tokio::test]
async fn slips_are_told_before_anything_is_made() {
    let fresh = fresh().await;
    let empty = tempfile::tempdir().unwrap();
    let elsewhere = format!("sqlite:{}", empty.path().join("none.db").display());
    let told = said(&store(&fresh, &["backup", "b.db", "--store", &elsewhere]), 2);
    assert!(told.contains("there is no store at"), "{told}");
    let told = said(&store(&fresh, &["move", "--to", "mysql://u:hunter22@h/d"]), 2);
    assert!(told.contains("is not a store") && !told.contains("hunter22"), "{told}");
    let told = said(&store(&fresh, &["move", "--to", "postgres://u:hunter22@127.0.0.1:1/d"]), 5);
    assert!(!told.contains("hunter22"), "{told}");
    std::fs::write(fresh.dir.path().join("text.db"), "this is no database at all").unwrap();
    let told = said(&store(&fresh, &["restore", "text.db"]), 2);
    assert!(told.contains("is no backup of a store"), "{told}");
    said(&store(&fresh, &["restore", "nowhere.db"]), 2);
    // Another log's key stands where the store should go.
    std::fs::write(empty.path().join("audit.key"), "another key altogether").unwrap();
    let told = said(&store(&fresh, &["move", "--to", &elsewhere]), 2);
    assert!(told.contains("another key") && !empty.path().join("none.db").exists(), "{told}");
}
