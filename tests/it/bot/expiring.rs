//! DECISIONS 7: how long people are asked, when they are reminded, and what a retry does.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{APPROVAL, ENVIRONMENTS_YML, SUMMARY, World, check, comment, conclusion};

const ORDERS: [(&str, &str); 2] = [
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

impl World {
    /// As if so many hours had passed since people were asked and spoke.
    async fn hours_pass(&self, hours: i64) {
        let mut tx = self.store.begin().await.unwrap();
        for table in ["asked", "asked_in"] {
            let sql = format!("UPDATE {table} SET at = at - $1");
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(hours * 3_600_000).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        self.bot.sweep(chrono::Utc::now()).await.unwrap();
        self.settle().await;
    }
}

fn reminders(pull: &PullHandle) -> Vec<String> {
    let all = pull.comments().unwrap().into_iter().map(|c| c.body);
    all.filter(|b| b.starts_with("<!-- godwit:reminder:")).collect()
}

#[tokio::test]
async fn dec7_people_are_reminded_once_then_their_approvals_expire_and_retry_asks_anew() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.hours_pass(17).await;
    assert_eq!(reminders(&pull), Vec::<String>::new());
    world.hours_pass(2).await;
    let told = reminders(&pull);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("@acme/dba: An approval as `dba` for `production`"), "{told:?}");
    assert!(!told[0].contains("@omar"), "who has approved is left in peace: {told:?}");
    world.hours_pass(0).await;
    assert_eq!(reminders(&pull).len(), 1, "once");

    // A retry before the end changes nothing: it must not make old approvals young.
    let asked = pull.comment("alice", "/godwit retry production").unwrap();
    world.settle().await;
    assert!(super::world::answer(&pull, asked).contains("have not expired"), "{:?}", pull.comments());
    world.hours_pass(6).await;
    assert_eq!(conclusion(&pull, APPROVAL), "failure");
    assert!(check(&pull, APPROVAL).title.unwrap_or_default().contains("expired"), "{:?}", check(&pull, APPROVAL));

    // GitHub's times have whole seconds: the retry has to come in a later one than the approval.
    let spoken = chrono::Utc::now().timestamp();
    while chrono::Utc::now().timestamp() <= spoken {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    pull.comment("alice", "/godwit retry production").unwrap();
    pull.comment("alice", "/godwit retry staging").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "omar's approval is from before the expiry");
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
}

#[tokio::test]
async fn dec7_a_promoted_environment_asks_from_its_promotion_on() {
    let manual = ENVIRONMENTS_YML.replace("production:\n", "production:\n  promotion: manual\n");
    let world = World::start_with(&[("policies/environments.yml", &manual)]).await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(world.has_table("staging", "orders").await);
    // Days later somebody promotes it: nobody's time has begun before.
    world.hours_pass(72).await;
    assert!(!comment(&pull, SUMMARY).unwrap().body.contains("expired"));
    pull.comment("omar", "/godwit promote production").unwrap();
    world.settle().await;
    assert!(!world.has_table("production", "orders").await);
    world.hours_pass(19).await;
    assert_eq!(reminders(&pull).len(), 1, "{:?}", reminders(&pull));
    world.approve(&pull, "dora").await;
    assert!(world.has_table("production", "orders").await, "{}", super::world::run_comment(&pull, "production"));
}

#[tokio::test]
async fn s2_90_the_row_of_development_says_auto() {
    let matrix = "development:\n  ANY: { required_approvals: 1, required_roles: [developer] }\nstaging:\n  ANY: { \
                  required_approvals: 1, required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 1, \
                  required_roles: [dba] }\n";
    let world = World::start_with(&[("policies/approval_matrix.yml", matrix)]).await;
    let pull = world.open("orders", &ORDERS).await;
    pull.add_label("dora", "approved:dba").unwrap();
    world.settle().await;
    let text = comment(&pull, SUMMARY).unwrap().body;
    assert!(text.contains("`@alice` developer, the author (auto)"), "{text}");
    assert!(text.contains("`@dora` dba (by label)"), "{text}");
}
