//! The store's schema and file.

use godwit::store::Store;

use super::{Fresh, fresh, on_both};

on_both! {
    a_store_of_a_later_version_is_refused,
    two_processes_write_one_after_the_other,
}

#[tokio::test]
async fn what_was_committed_is_on_disk() {
    let fresh = fresh().await;
    let mut tx = fresh.store.begin().await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *tx).await.unwrap();
    assert_eq!((synchronous, journal.as_str()), (2, "wal"), "2 is FULL: the log is synced at every commit");
}

#[tokio::test]
async fn a_servers_default_does_not_make_a_commit_forgetful() {
    let fresh = super::fresh_on(crate::support::Kind::Postgres).await;
    fresh.raw(&format!("ALTER DATABASE {} SET synchronous_commit = off", fresh.database())).await.unwrap();
    let mut tx = fresh.again().await.begin().await.unwrap();
    let word: String =
        sqlx::query_scalar("SELECT current_setting('synchronous_commit')").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(word, "on");
}

#[cfg(unix)]
#[tokio::test]
async fn b20_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let fresh = fresh().await;
    fresh.store.enqueue("k", &godwit::github::Event::Ping, None).await.unwrap();
    for entry in std::fs::read_dir(fresh.dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

async fn a_store_of_a_later_version_is_refused(fresh: Fresh) {
    fresh
        .raw(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        )
        .await
        .unwrap();
    let error = Store::open_in(&fresh.url(), Some(fresh.dir.path()), None).await.unwrap_err();
    assert!(error.to_string().contains("schema"), "{error}");
}

async fn two_processes_write_one_after_the_other(fresh: Fresh) {
    let other = fresh.again().await;
    let writing = |store: Store| {
        tokio::spawn(async move {
            for _ in 0..50 {
                store.enqueue("k", &godwit::github::Event::Ping, None).await.unwrap();
            }
        })
    };
    let (one, two) = (writing(fresh.store.clone()), writing(other));
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(fresh.store.queue().await.unwrap().queued, 100);
}

#[test]
fn programs_that_make_a_new_store_at_once_all_use_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("m")).unwrap();
    std::fs::write(dir.path().join("m/1_a.up.sql"), "create table a (n integer);").unwrap();
    let running: Vec<_> = (0..6)
        .map(|n| {
            let mut command = crate::support::godwit(dir.path());
            command.args(["apply", "--url", &format!("sqlite:{n}.db"), "--path", "m", "--yes"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in running {
        crate::support::Said::from(child.wait_with_output().unwrap()).expect(0);
    }
}
