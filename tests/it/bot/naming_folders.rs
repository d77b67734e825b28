//! Folders that a pull request names in `godwit.yml` and that are not there, and those that nobody named.

use godwit::sandbox::MergeMethod;

use super::world::{LINT, World, check, conclusion};

const NAMES_TWO: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: migrations\n    \
                         engine: sqlite\n    target: shop\n  - path: nosuch\n    engine: sqlite\n    target: shop\n";
const OLD: [(&str, &str); 2] = [
    ("migrations/0001_o.up.sql", "CREATE TABLE o (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_o.down.sql", "DROP TABLE o;\n"),
];
const TABLE: (&str, &str) = ("migrations/0009_t.up.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);\n");
const BACK: (&str, &str) = ("migrations/0009_t.down.sql", "DROP TABLE t;\n");

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_beside_migrations_and_a_warning_alone() {
    let world = World::start_with(&OLD).await;
    // Whoever only names it may leave its first migration to another pull request.
    let names = world.open("names", &[("godwit.yml", NAMES_TWO)]).await;
    let said = check(&names, LINT);
    assert_eq!(conclusion(&names, LINT), "success", "{said:?}");
    assert!(format!("{said:?}").contains("`nosuch` is no folder"), "{said:?}");
    // A migration beside it may have been meant for it.
    let both = world.open("both", &[("godwit.yml", NAMES_TWO), TABLE, BACK]).await;
    assert_eq!(conclusion(&both, LINT), "failure");
    // The first migration of the folder comes with its name.
    let first = [
        ("godwit.yml", NAMES_TWO),
        ("nosuch/0001_t.up.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);\n"),
        ("nosuch/0001_t.down.sql", "DROP TABLE t;\n"),
    ];
    let first = world.open("first", &first).await;
    assert_eq!(conclusion(&first, LINT), "success");
    // What was named before is told to whoever brings migrations, and stops nobody.
    names.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let other = world.open("other", &[TABLE, BACK]).await;
    assert_eq!(conclusion(&other, LINT), "success");
    assert!(format!("{:?}", check(&other, LINT)).contains("`nosuch` is no folder"));
    let page = world.open("page", &[("README.md", "# The shop\n")]).await;
    assert!(!format!("{:?}", check(&page, LINT)).contains("nosuch"));
}

#[tokio::test]
async fn a_folder_that_nobody_named_is_a_note_where_a_pull_request_brings_migrations_to_it() {
    let world = World::start_with(&OLD).await;
    let elsewhere = [
        ("services/shop/migrations/0001_t.up.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);\n"),
        ("services/shop/migrations/0001_t.down.sql", "DROP TABLE t;\n"),
    ];
    let named = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: migrations\n    \
                 engine: sqlite\n    target: shop\n";
    let names = world.open("names", &[("godwit.yml", named)]).await;
    names.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let alone = world.open("alone", &elsewhere).await;
    assert_eq!(conclusion(&alone, LINT), "success");
    let said = format!("{:?}", check(&alone, LINT));
    assert!(said.contains("`services/shop/migrations` reads as a folder of migrations"), "{said}");
    let [up, down] = elsewhere;
    let beside = world.open("beside", &[TABLE, BACK, up, down]).await;
    assert_eq!(conclusion(&beside, LINT), "success");
    assert!(format!("{:?}", check(&beside, LINT)).contains("no entry of `godwit.yml` covers it"));
}
