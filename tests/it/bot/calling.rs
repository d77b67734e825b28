//! What people call a migration in a command: as the comments show it.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::orders::by_hand;
use super::world::{World, run_comment};

const BLANKS: [(&str, &str); 2] = [
    (
        "migrations/2019-11-15-182353_Add email notifications to orders/up.sql",
        "CREATE TABLE notifications (id INTEGER PRIMARY KEY);\n",
    ),
    ("migrations/2019-11-15-182353_Add email notifications to orders/down.sql", "DROP TABLE notifications;\n"),
];

/// Folders that number their migrations each for itself.
const SERVICES_YML: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: \
                            services/*\n    engine: sqlite\n    target: shop\n";
const SERVICES: [(&str, &str); 4] = [
    ("services/billing/0001_init.up.sql", "CREATE TABLE bills (id INTEGER PRIMARY KEY);\n"),
    ("services/billing/0001_init.down.sql", "DROP TABLE bills;\n"),
    ("services/stock/0001_init.up.sql", "CREATE TABLE stock (id INTEGER PRIMARY KEY);\n"),
    ("services/stock/0001_init.down.sql", "DROP TABLE stock;\n"),
];

async fn merged(world: &World, files: &[(&str, &str)]) -> PullHandle {
    let pull = world.open("orders", files).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    pull
}

/// The command of a text that begins so, as a reader would copy it.
fn shown(text: &str, begins: &str) -> String {
    let at = text.find(begins).unwrap_or_else(|| panic!("{begins}: {text}"));
    text[at..].split('`').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_name_with_blanks_is_taken_as_the_comment_shows_it() {
    let world = World::start().await;
    let pull = merged(&world, &BLANKS).await;
    assert!(world.has_table("staging", "notifications").await, "{}", run_comment(&pull, "staging"));
    let undo = shown(&run_comment(&pull, "staging"), "/godwit rollback staging");
    let said = world.ask(&pull, "omar", &undo).await;
    assert!(said.contains("DROP TABLE notifications"), "{undo}: {said}");
    assert!(!world.has_table("staging", "notifications").await, "{}", run_comment(&pull, "staging"));
    // What telephones make of the same marks.
    let name = "2019-11-15-182353_Add email notifications to orders";
    let said = world.ask(&pull, "omar", &format!("/godwit resolve staging “{name}” applied it “is” there")).await;
    assert!(said.contains("is applied"), "{said}");
    // Without them the way to write it is told.
    let said = world.ask(&pull, "omar", &format!("/godwit rollback staging {name}")).await;
    assert!(said.contains("in quotation marks"), "{said}");
}

#[tokio::test]
async fn a_failed_migration_whose_name_holds_blanks_is_settled_with_the_line_of_its_comment() {
    let world = World::start().await;
    by_hand(&world, "development", "CREATE TABLE notifications (id INTEGER)").await;
    let pull = merged(&world, &BLANKS).await;
    let told = run_comment(&pull, "development");
    let settle = shown(&told, "/godwit resolve development").replace("REASON", "made by hand");
    let said = world.ask(&pull, "omar", &settle).await;
    assert!(said.contains("is applied"), "{settle}: {said}");
    assert!(world.has_table("staging", "notifications").await, "{}", run_comment(&pull, "staging"));
}

#[tokio::test]
async fn dec15_one_of_two_migrations_with_the_same_id_is_named_with_its_folder() {
    let world = World::start_with(&[("godwit.yml", SERVICES_YML)]).await;
    let pull = merged(&world, &SERVICES).await;
    assert!(world.has_table("staging", "bills").await, "{}", run_comment(&pull, "staging"));
    let told = run_comment(&pull, "staging");
    assert!(told.contains("| `services/billing/0001_init` |"), "{told}");
    let said = world.ask(&pull, "omar", "/godwit rollback staging 0001_init").await;
    for part in ["several migrations", "`services/billing/0001_init`", "`services/stock/0001_init`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(world.has_table("staging", "bills").await && world.has_table("staging", "stock").await);
    let undo = shown(&told, "/godwit rollback staging");
    assert_eq!(undo, "/godwit rollback staging services/stock/0001_init");
    world.ask(&pull, "omar", &undo).await;
    assert!(!world.has_table("staging", "stock").await, "{}", run_comment(&pull, "staging"));
    world.ask(&pull, "omar", "/godwit rollback staging billing/0001_init").await;
    assert!(!world.has_table("staging", "bills").await, "{}", run_comment(&pull, "staging"));
}

#[tokio::test]
async fn b12_an_eleventh_command_is_told_that_nobody_reads_it() {
    let world = World::start().await;
    let pull = world.open("orders", &BLANKS).await;
    let said = world.ask(&pull, "bob", &format!("{}/godwit status\n", "/godwit help\n".repeat(10))).await;
    assert!(said.contains("holds 11") && said.contains("from `/godwit status` on"), "{said}");
}
