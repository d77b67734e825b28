//! What a pull request shows for planning, and what scripts said: the report of what is pending, checklists, notices.

use godwit::ids::{EnvironmentName, RepoName};
use godwit::sandbox::{MergeMethod, PullHandle};

use super::postgres::{shop, until_done};
use super::world::{LINT, SUMMARY, World, check, comment, run_comment};

const ORDERS: [(&str, &str); 2] = [
    (
        "migrations/0001_orders.up.sql",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY);\nSELECT count(*) FROM orders;\n-- Should return 0\n",
    ),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

#[tokio::test]
async fn s3_21_s3_45_the_whole_report_and_the_checklists_stand_on_the_pull_request() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let text = || comment(&pull, SUMMARY).unwrap().body;
    let first = text();
    for part in [
        "### Before the deployment",
        "<b>staging</b>: ",
        "<b>production</b>: ",
        "3. ⏳ **Passed in development**: not in development yet: migrations/0001\\_orders",
        "9. ✅ **Environment variables, connection and versions valid**",
        "10. ⏳ **Approvals complete for the risk level**",
        "| *missing* | dba |",
        &format!("/pull/{}/checks", pull.number()),
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(!first.contains("<b>development</b>: 1") && first.matches("checks done").count() == 2, "{first}");
    let report = check(&pull, LINT).text.unwrap();
    for part in
        ["# Pending schema changes", "**Purpose:** orders", "**Tests needed:**", "**Rollback plan:**", "| tables | 1 |"]
    {
        assert!(report.contains(part), "{part} in {report}");
    }
    // Looking again changes nothing.
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    assert_eq!(text(), first);
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let signed = text();
    for part in ["10. ✅ **Approvals complete", "| `@dora` | dba |", "1. ✅ **SQL and operation files read"] {
        assert!(signed.contains(part), "{part} in {signed}");
    }
    let (repo, production) = (RepoName::new("acme/shop").unwrap(), EnvironmentName::new("production").unwrap());
    world.store.lock_environment(Some(&repo), &production, "release freeze", "carl").await.unwrap();
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    for part in ["3. ✅ **Passed in development**", "4. ✅ **Passed in CI and staging", "<b>production</b>: "] {
        assert!(text().contains(part), "{part} in {}", text());
    }
    // What is deployed needs no checklist any more.
    assert!(!text().contains("<b>staging</b>: "), "{}", text());
    world.store.unlock_environment(Some(&repo), &production).await.unwrap();
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    let run = run_comment(&pull, "production");
    assert!(run.contains("`0001_orders`: 1 query returned what its script says"), "{run}");
    assert!(!text().contains("### Before the deployment"), "{}", text());
}

#[tokio::test]
async fn s3_38_a_checklist_knows_the_backup_that_the_run_makes() {
    let world = World::start().await;
    let customers = "CREATE TABLE customers (id INTEGER PRIMARY KEY, phone TEXT);\n";
    let pull = world.open("customers", &[("migrations/0001_customers.up.sql", customers)]).await;
    let summary = |pull: &PullHandle| comment(pull, SUMMARY).unwrap().body;
    let none = "5. 👤 **Backup made and verified**: nothing asks for one: make one with `godwit backup`, or decide";
    assert_eq!(summary(&pull).matches(none).count(), 2, "{}", summary(&pull));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let gone = [
        ("migrations/0002_no_phone.up.sql", "ALTER TABLE customers DROP COLUMN phone;\n"),
        ("migrations/0002_no_phone.down.sql", "ALTER TABLE customers ADD COLUMN phone TEXT;\n"),
    ];
    let pull = world.open("no-phone", &gone).await;
    let made = "5. ✅ **Backup made and verified**: the run makes one, verifies it, and does not begin without: data is \
                lost by `0002_no_phone`";
    let text = summary(&pull);
    assert!(text.matches(made).count() >= 2 && !text.contains("--backup"), "{text}");
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    for environment in ["staging", "production"] {
        let run = run_comment(&pull, environment);
        assert!(run.contains("| Backup | `migration_backup_"), "{run}");
    }
}

/// The stand-in's page shows what is written, and no tag of it as text.
#[tokio::test]
async fn what_the_bot_writes_is_shown_without_its_tags() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let page = || {
        let address = format!("{}/_page/acme/shop/pull/{}", world.sandbox.base_url(), pull.number());
        ureq::get(&address).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let told = || pull.comments().unwrap().iter().map(|c| c.body.clone()).collect::<String>();
    let tags = |page: &str| -> Vec<String> {
        let after =
            page.split("&lt;").skip(1).filter(|rest| rest.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic()));
        after.map(|rest| rest.chars().take(20).collect()).collect()
    };
    assert!(told().contains("<b>staging</b>") && told().contains("<code>shop</code>"), "{}", told());
    let open = page();
    assert!(open.contains("<b>staging</b>") && tags(&open).is_empty(), "{:?}", tags(&open));
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let merged = page();
    assert!(merged.contains("1 migration applied") && tags(&merged).is_empty(), "{:?}", tags(&merged));
}

#[tokio::test]
async fn s1_36_what_is_declared_about_the_changes_is_drawn_and_nothing_else() {
    let world = World::start().await;
    let plain = world.open("orders", &ORDERS).await;
    assert!(!comment(&plain, SUMMARY).unwrap().body.contains("```mermaid"));
    let items = "-- godwit: depends_on=0001_orders\nCREATE TABLE items (id INTEGER PRIMARY KEY);\n";
    let two =
        [ORDERS[0], ("migrations/0002_items.up.sql", items), ("migrations/0003_x.up.sql", "CREATE TABLE x (n INT);\n")];
    let pull = world.open("items", &two).await;
    let text = comment(&pull, SUMMARY).unwrap().body;
    let drawn = text.split("```mermaid").nth(1).and_then(|t| t.split("```").next()).expect("a picture");
    assert!(drawn.contains("[\"0001_orders\"]") && drawn.contains("-->|needed by|"), "{drawn}");
    assert!(!drawn.contains("[\"0003_x\"]"), "{drawn}");
}

#[test]
fn s2_75_the_result_comment_tells_what_scripts_said_while_they_ran() {
    let (shop, _databases) = shop();
    let _served = shop.serve(None);
    let loud = (
        "migrations/0001_loud.up.sql",
        "CREATE TABLE loud (id bigint PRIMARY KEY);\n\
         DO $$ BEGIN FOR n IN 1..60 LOOP RAISE NOTICE 'Processed % of 60 `records` </details>', n; END LOOP; END $$;\n",
    );
    let pull = shop.approved("loud", &[loud]);
    shop.merge(&pull);
    until_done(&shop, &pull);
    let run = run_comment(&pull, "production");
    assert!(run.contains("<code>0001_loud</code> said on <code>shop</code>: 60 lines"), "{run}");
    assert!(run.contains("… 20 lines left out\nProcessed 21 of 60") && run.contains("Processed 60 of 60"), "{run}");
}
