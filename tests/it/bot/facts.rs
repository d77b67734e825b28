//! The risk of a pull request by what the tables of its targets hold.

use super::world::{SUMMARY, World, comment};
use crate::support::reader::Reader;
use crate::support::{Database, Kind};

const GODWIT_YML: &str = "version: 1\nenvironments: [staging, production]\nmigrations:\n  - path: migrations\n    engine: \
                          postgresql\n    target: shop\n";
const FIRST: (&str, &str) = (
    "migrations/0001_shop.up.sql",
    "CREATE TABLE IF NOT EXISTS orders (id bigint, total int, note text);\nCREATE TABLE IF NOT EXISTS carts (id bigint, total int, note text);\n",
);
const MATRIX: &str = "staging:\n  ANY: { required_approvals: 0, required_roles: [] }\nproduction:\n  LOW: { required_approvals: 0, \
     required_roles: [] }\n  MEDIUM: { required_approvals: 1, required_roles: [data_ops] }\n  HIGH: { required_approvals: 2, \
     required_roles: [data_ops, dba] }\n";

fn summary(pull: &godwit::sandbox::PullHandle) -> String {
    comment(pull, SUMMARY).unwrap().body
}

/// A whole company with its runs is more than the stack of a test's thread holds, without optimization.
fn with_room(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(64 * 1024 * 1024).spawn(test).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What tests with databases run the asynchronous world on.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(16 * 1024 * 1024)
        .enable_all()
        .build()
        .unwrap()
}

fn has(pull: &godwit::sandbox::PullHandle, label: &str) -> bool {
    pull.labels().unwrap().contains(&label.to_owned())
}

#[test]
fn the_same_change_is_medium_where_rows_are_and_low_where_none_are_until_it_is_asked_again() {
    with_room(judged_by_size);
}

fn judged_by_size() {
    let databases = [(); 2].map(|()| Database::fresh(Kind::Postgres));
    let reader = Reader::new();
    let target = |database: &Database| {
        format!(
            "  targets:\n    shop: {{ engine: postgresql, url: \"{}\", reader_url: \"{}\" }}\n  \
             migration: {{ backup_required: false }}\n",
            database.url,
            reader.url(database)
        )
    };
    let environments = format!("staging:\n{}production:\n{}", target(&databases[0]), target(&databases[1]));
    let files = [
        ("godwit.yml", GODWIT_YML),
        ("policies/environments.yml", environments.as_str()),
        ("policies/approval_matrix.yml", MATRIX),
    ];
    let runtime = runtime();
    let world = runtime.block_on(World::start_with(&files));

    let first = runtime.block_on(
        world.open("first", &[FIRST, ("migrations/0001_shop.down.sql", "DROP TABLE carts;\nDROP TABLE orders;\n")]),
    );
    first.merge("alice", godwit::sandbox::MergeMethod::Merge).unwrap();
    runtime.block_on(world.settle());
    assert!(has(&first, "migrated:production"), "{}", summary(&first));
    // Some 20 MB in production.
    databases[1].query("insert into orders select n, n, repeat('x', 500) from generate_series(1, 40000) n; analyze");

    let rewrite = |table: &str| format!("ALTER TABLE {table} ALTER COLUMN total TYPE bigint;\n");
    let orders = runtime.block_on(world.open(
        "orders",
        &[
            ("migrations/0002_orders.up.sql", &rewrite("orders")),
            ("migrations/0002_orders.down.sql", "SELECT now();\n"),
        ],
    ));
    let text = summary(&orders);
    assert!(
        text.contains("In production `orders` has 40 k rows, 2") && text.contains("ACCESS EXCLUSIVE lock for"),
        "{text}"
    );
    assert!(has(&orders, "risk:medium"), "{text}");
    assert!(!text.contains("reads-only"));

    // An approval of what was shown holds when it is merged, and it runs.
    runtime.block_on(world.approve(&orders, "omar"));
    orders.merge("alice", godwit::sandbox::MergeMethod::Merge).unwrap();
    runtime.block_on(world.settle());
    let told = ["staging", "production"].map(|e| super::world::run_comment(&orders, e));
    assert!(has(&orders, "migrated:production"), "{told:#?} {}", summary(&orders));
    let kind = "select data_type from information_schema.columns where table_name = 'orders' and column_name = 'total'";
    assert_eq!(databases[1].one(kind), "bigint");

    let carts = runtime.block_on(world.open(
        "carts",
        &[("migrations/0003_carts.up.sql", &rewrite("carts")), ("migrations/0003_carts.down.sql", "SELECT now();\n")],
    ));
    assert!(has(&carts, "risk:low"), "{}", summary(&carts));
    assert!(summary(&carts).contains("In production `carts` is empty"), "{}", summary(&carts));

    // What was judged stays as it was judged: a verdict does not move with every row.
    databases[1].query("insert into carts select n, n, repeat('x', 500) from generate_series(1, 40000) n; analyze");
    runtime.block_on(world.approve(&carts, "bob"));
    assert!(has(&carts, "risk:low"), "{}", summary(&carts));
    world.it_is(&(chrono::Utc::now() + chrono::TimeDelta::hours(25)).to_rfc3339());
    runtime.block_on(world.approve(&carts, "tess"));
    assert!(has(&carts, "risk:medium"), "{}", summary(&carts));
}

#[test]
fn a_target_that_cannot_be_asked_lowers_nothing_and_the_comment_says_so() {
    with_room(judged_without_an_answer);
}

fn judged_without_an_answer() {
    let database = Database::fresh(Kind::Postgres);
    database.query(FIRST.1);
    let reader = Reader::new();
    let environments = format!(
        "staging:\n  targets:\n    shop: {{ engine: postgresql, url: \"{0}\" }}\nproduction:\n  targets:\n    shop: {{ engine: \
         postgresql, url: \"{0}\", reader_url: \"{1}\" }}\n",
        database.url,
        reader.url(&database)
    );
    let files = [
        ("godwit.yml", GODWIT_YML),
        ("policies/environments.yml", environments.as_str()),
        ("policies/approval_matrix.yml", MATRIX),
        FIRST,
    ];
    let runtime = runtime();
    let world = runtime.block_on(World::start_with(&files));
    let change = ("migrations/0002_orders.up.sql", "ALTER TABLE orders ALTER COLUMN total TYPE bigint;\n");
    let pull = runtime.block_on(world.open("orders", &[change]));
    assert!(has(&pull, "risk:high"), "{}", summary(&pull));
    assert!(summary(&pull).contains("staging could not be asked: it names no `reader_url`"), "{}", summary(&pull));
}
