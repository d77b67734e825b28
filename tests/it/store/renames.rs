//! Repositories that get another name.

use chrono::Utc;
use godwit::ids::{EnvironmentName, Login, PrNumber, RepoName};
use godwit::store::installations::{InstallationState, NAMED};
use godwit::store::{AuditEntry, AuditFilter, Store};

#[tokio::test]
async fn every_table_of_a_repository_moves_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("godwit.db");
    let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'repo'",
    )
    .fetch_all(store.reader())
    .await
    .unwrap();
    for table in tables.iter().filter(|t| *t != "audit") {
        assert!(NAMED.contains(&table.as_str()), "`{table}` belongs to a repository: name it in `NAMED`");
    }
    for table in NAMED {
        assert!(tables.iter().any(|t| t == table), "there is no table `{table}` with a column `repo`");
    }
}

#[tokio::test]
async fn what_is_kept_under_a_former_name_is_found_under_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", dir.path().join("godwit.db").display())).await.unwrap();
    let name = |text: &str| RepoName::new(text).unwrap();
    let (old, new, other) = (name("acme/shop"), name("acme/store"), name("acme/other"));
    let (pr, now) = (PrNumber(7), Utc::now());
    // What stands under the new name belonged to a repository that is gone.
    store.name_repository(1, &old, 5, now).await.unwrap();
    store.remember_pusher(&old, pr, &Login::new("alice")).await.unwrap();
    store.remember_pusher(&new, pr, &Login::new("mallory")).await.unwrap();
    store.remember_told(&old, 7, "reviewers", "x", now).await.unwrap();
    let staging = EnvironmentName::new("staging").unwrap();
    store.lock_environment(Some(&old), &staging, "freeze", "carl").await.unwrap();
    let mut entry = AuditEntry::new(now, "alice", "judged", "approved");
    entry.repo = Some(old.clone());
    store.append_audit(entry).await.unwrap();
    store.name_repository(1, &new, 5, now + chrono::Duration::seconds(1)).await.unwrap();
    let pushers = store.pushers(&new, pr).await.unwrap();
    assert_eq!(pushers.into_iter().map(|l| l.to_string()).collect::<Vec<_>>(), ["alice"]);
    assert!(store.pushers(&old, pr).await.unwrap().is_empty());
    assert_eq!(store.told(&new, 7, "reviewers").await.unwrap().as_deref(), Some("x"));
    assert!(store.environment_lock(Some(&new), &staging).await.unwrap().is_some());
    let of = |repo: &RepoName| AuditFilter { repo: Some(repo.clone()), ..AuditFilter::default() };
    assert_eq!(store.audit(&of(&new)).await.unwrap().len(), 1);
    assert_eq!(store.audit(&of(&other)).await.unwrap().len(), 0);
    // The log itself is as it was written.
    assert!(store.verify_audit(None).await.unwrap().valid);
    // What another repository writes under the former name later is its own.
    let mut entry = AuditEntry::new(now + chrono::Duration::seconds(9), "bob", "judged", "approved");
    entry.repo = Some(old.clone());
    store.append_audit(entry).await.unwrap();
    assert_eq!((store.audit(&of(&new)).await.unwrap().len(), store.audit(&of(&old)).await.unwrap().len()), (1, 2));
}

#[tokio::test]
async fn how_an_installation_stands_is_news_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", dir.path().join("godwit.db").display())).await.unwrap();
    let now = Utc::now();
    assert_eq!(store.installation(5).await.unwrap(), None);
    assert!(store.set_installation(5, InstallationState::Active, now).await.unwrap());
    assert!(!store.set_installation(5, InstallationState::Active, now).await.unwrap());
    assert!(store.set_installation(5, InstallationState::Suspended, now).await.unwrap());
    assert_eq!(store.live_installations().await.unwrap(), [5]);
    store.set_installation(5, InstallationState::Deleted, now).await.unwrap();
    assert!(store.live_installations().await.unwrap().is_empty());
    store.name_repository(1, &RepoName::new("acme/shop").unwrap(), 5, now).await.unwrap();
    store.remove_repository(1, now).await.unwrap();
    assert!(store.repository(1).await.unwrap().unwrap().1);
}
