//! A pull request whose approval people try to get round, and a merge that is told twice.

use serde_json::{Value, json};

use super::front::Delivery;
use super::server::{ENVIRONMENTS, Server, database};
use super::story::{EVERYBODY, PULL, Story, bring_to_today, on};
use super::world::{World, shop, until};

const APPROVAL: &str = "godwit / approval";
const UP: &str = "migrations/0006_customer_status.up.sql";

#[test]
fn b1_b2_b3_b7_b12_b13_an_approval_holds_for_whom_and_for_what_it_was_said_and_a_merge_runs_once() {
    let world = World::start();
    bring_to_today(&world);
    let server = Server::start(&world);
    let story = Story { world: &world, server: &server };
    let safer = |name: &str| std::fs::read(shop().join("safer").join(name)).unwrap();
    world.front.repository.branch("status", Some("main"));
    for name in ["0006_customer_status.up.sql", "0006_customer_status.down.sql"] {
        world.front.repository.write(&format!("migrations/{name}"), &safer(name));
    }
    let first = world.push("ann", "status", "Customers get a status");
    let body = json!({ "title": "Customers get a status", "head": "status", "base": "main", "body": "" });
    world.expect(201, "ann", "POST", "/repos/shop/shop/pulls", body);
    assert_eq!(story.check(APPROVAL, &first)["conclusion"], "action_required");

    // B-2: one person is not two, and the author is nobody.
    let becomes = |sha: &str, green: bool, what: &str| {
        let as_wanted = || {
            let check = story.latest(APPROVAL, sha)?;
            (check["status"] == "completed" && (check["conclusion"] == "success") == green).then_some(check)
        };
        until(what, || story.told(), as_wanted)
    };
    story.approve("ann");
    for login in EVERYBODY.iter().filter(|login| **login != "bea") {
        story.approve(login);
    }
    answered(&story, "ann", 1);
    assert_ne!(story.latest(APPROVAL, &first).unwrap()["conclusion"], "success", "{}", story.told());
    let bea = story.approve("bea");
    becomes(&first, true, "a green approval");

    // B-3: a review that was dismissed counts no longer.
    let dismissal = format!("{PULL}/reviews/{bea}/dismissals");
    world.expect(200, "dana", "PUT", &dismissal, json!({ "message": "she looked at another one" }));
    becomes(&first, false, "the dismissal to count");
    story.approve("bea");
    becomes(&first, true, "her second yes to count");

    // B-13: a label holds it, whoever has agreed.
    world.expect(200, "tess", "POST", "/repos/shop/shop/issues/1/labels", json!({ "labels": ["hold"] }));
    becomes(&first, false, "the label to hold it");
    world.expect(200, "tess", "DELETE", "/repos/shop/shop/issues/1/labels/hold", json!(null));
    becomes(&first, true, "the label to be gone");

    // B-1: another byte of a migration is another thing to agree to.
    let mut other = safer("0006_customer_status.up.sql");
    other.extend_from_slice(b"UPDATE customers SET status = 'known' WHERE status = 'new';\n");
    world.front.repository.write(UP, &other);
    let second = world.push("ann", "status", "Known customers");
    assert_eq!(story.check(APPROVAL, &second)["conclusion"], "action_required");
    answered(&story, "ann", 2);
    assert_eq!(story.latest(APPROVAL, &second).unwrap()["conclusion"], "action_required", "{}", story.told());

    // B-12: what stands in code is no command, and who may not is refused in words.
    say(&world, "dora", "```\n/godwit lock production because\n```");
    say(&world, "dora", "/godwit emergency production because");
    answered(&story, "ann", 3);
    let told = answers(&story);
    assert!(told.iter().any(|body| body.contains("emergency")), "{}", told.join("\n----\n"));
    assert!(!told.iter().any(|body| body.contains("locked")), "{}", told.join("\n----\n"));
    for login in EVERYBODY {
        story.approve(login);
    }
    becomes(&second, true, "everybody's yes to the second version");

    // B-7: the merge is told twice, and runs once.
    world.expect(200, "ann", "PUT", &format!("{PULL}/merge"), json!({}));
    let done = || {
        let labels = world.get("/issues/1/labels");
        labels.as_array().unwrap().iter().any(|l| l["name"] == "migrated:production").then_some(())
    };
    until("production", || story.told(), done);
    let pull = world.get("/pulls/1");
    let sender = world.expect(200, "ann", "GET", "/users/ann", json!(null));
    let again = json!({
        "action": "closed", "number": 1, "repository": pull["base"]["repo"], "pull_request": pull, "sender": sender,
        "installation": { "id": 99 },
    });
    world.front.deliveries.send(Delivery { event: "pull_request".to_owned(), payload: again }).unwrap();
    answered(&story, "ann", 4);
    for environment in ENVIRONMENTS {
        assert_eq!(story.comments(&format!("run:{environment}")).len(), 1, "{}", story.told());
        let runs: i64 = on(&database(&world, environment), async |connection| {
            let sql = "SELECT COUNT(*) FROM godwit_history WHERE id = '0006_customer_status' AND state = 'applied'";
            sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
        });
        assert_eq!(runs, 1, "{environment}");
    }
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(server.stop().success());
}

fn say(world: &World, login: &str, body: &str) {
    world.expect(201, login, "POST", "/repos/shop/shop/issues/1/comments", json!({ "body": body }));
}

/// Asks where it stands, and waits for the `nth` answer to that: everything told before is worked by then.
fn answered(story: &Story<'_>, login: &str, nth: usize) {
    say(story.world, login, "/godwit status");
    let is_answer = |body: &&String| body.contains("/godwit status");
    let all = || (answers(story).iter().filter(is_answer).count() >= nth).then_some(());
    until("the answer to `/godwit status`", || story.told(), all);
}

/// What the bot answered to commands.
fn answers(story: &Story<'_>) -> Vec<String> {
    let comments = story.world.get("/issues/1/comments?per_page=100");
    let by_bot = |c: &&Value| c["user"]["login"] == "godwit[bot]";
    let body = |c: &Value| c["body"].as_str().unwrap().to_owned();
    let all = comments.as_array().unwrap().iter().filter(by_bot).map(body);
    all.filter(|b| !b.starts_with("<!-- godwit:summary") && !b.starts_with("<!-- godwit:run:")).collect()
}
