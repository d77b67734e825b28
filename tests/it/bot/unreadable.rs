//! Files of a pull request that cannot be read as what their names say.

use godwit::sandbox::{Change, NewCommit, NewPull, PullHandle};

use super::world::{APPROVAL, LINT, SUMMARY, World, check, comment, conclusion};

async fn open(world: &World, branch: &str, changes: &[Change]) -> PullHandle {
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push(branch, "alice", &main, &[NewCommit::new("alice", "Change", changes)]).unwrap();
    let new = NewPull { author: "alice", title: branch, body: "", head: branch, base: "main", draft: false };
    let pull = world.repo.open_pull_request(&new).unwrap();
    world.settle().await;
    pull
}

/// What an annotation says, and where.
fn annotations(pull: &PullHandle) -> Vec<(String, u64, String)> {
    let text = |a: &serde_json::Value, key: &str| a[key].as_str().unwrap_or_default().to_owned();
    let all = check(pull, LINT).annotations;
    all.iter().map(|a| (text(a, "path"), a["start_line"].as_u64().unwrap(), text(a, "message"))).collect()
}

#[tokio::test]
async fn b19_a_migration_that_is_no_text_is_named_with_its_line_and_blocks() {
    let world = World::start().await;
    let path = "migrations/0001_orders.up.sql";
    let bytes = b"CREATE TABLE orders (id INTEGER PRIMARY KEY);\nINSERT INTO orders VALUES ('caf\xe9');\n";
    let pull = open(&world, "latin", &[Change::write(path, bytes)]).await;
    assert_eq!(conclusion(&pull, LINT), "failure");
    assert_ne!(conclusion(&pull, APPROVAL), "success");
    let said = annotations(&pull);
    assert!(said.iter().any(|(p, line, m)| p == path && *line == 2 && m.contains("is not UTF-8")), "{said:?}");
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("0001_orders.up.sql:2") && summary.contains("is not UTF-8: byte 78"), "{summary}");
    assert!(summary.contains("save the file as UTF-8") && summary.contains("the author's turn"), "{summary}");
    // Saved as it should be, it passes.
    pull.push("alice", &[NewCommit::new("alice", "Mend", &[Change::write(path, "CREATE TABLE orders (id INT);\n")])])
        .unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, LINT), "success");
    assert!(!comment(&pull, SUMMARY).unwrap().body.contains("UTF-8"));
}

#[tokio::test]
async fn a_folder_with_a_migrations_name_is_named_and_never_read_as_one() {
    let world = World::start().await;
    let folder = "migrations/0002_items.up.sql";
    let changes = [
        Change::write("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
        Change::write("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
        Change::write(format!("{folder}/notes.txt"), "CREATE TABLE items (id INTEGER PRIMARY KEY);\n"),
    ];
    let pull = open(&world, "folder", &changes).await;
    let said = annotations(&pull);
    assert!(said.iter().any(|(p, _, m)| p == folder && m.contains("is a directory")), "{said:?}");
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("is a directory whose name looks like a migration's"), "{summary}");
    assert!(summary.contains("`0001_orders`") && !summary.contains("**`0002_items`**"), "{summary}");
    assert!(summary.contains("1 migration, 1 statement"), "{summary}");
    assert_eq!(conclusion(&pull, LINT), "success", "a warning alone blocks nothing");
}
