//! A pull request from its first commit to production.

use serde_json::{Value, json};

use super::server::{ENVIRONMENTS, Server, database, godwit};
use super::world::{World, shop, until};

pub const PULL: &str = "/repos/shop/shop/pulls/1";
/// Everybody but the author: between them they hold every role, several of some.
pub const EVERYBODY: [&str; 7] = ["dora", "olaf", "omar", "dana", "bea", "tess", "carl"];
const DANGEROUS: &str = "migrations/0006_customer_status.up.sql";

#[test]
fn a_pull_request_is_linted_approved_merged_applied_and_reported() {
    let world = World::start();
    bring_to_today(&world);
    let server = Server::start(&world);
    let story = Story { world: &world, server: &server };

    // A dangerous migration: the check is red, with the finding on its line.
    let dangerous = std::fs::read(shop().join("dangerous/0006_customer_status.up.sql")).unwrap();
    world.front.repository.branch("status", Some("main"));
    world.front.repository.write(DANGEROUS, &dangerous);
    let first = world.push("ann", "status", "Customers get a status");
    let body = json!({ "title": "Customers get a status", "head": "status", "base": "main", "body": "" });
    world.expect(201, "ann", "POST", "/repos/shop/shop/pulls", body);
    let lint = story.check("godwit / lint", &first);
    assert_eq!(lint["conclusion"], "failure", "{lint}");
    let annotations = world.get(&format!("/check-runs/{}/annotations", lint["id"]));
    let annotations = annotations["check_annotations"].as_array().unwrap().clone();
    assert!(
        annotations.iter().any(|a| a["path"] == DANGEROUS && a["start_line"].as_u64().unwrap() > 1),
        "{annotations:?}"
    );
    let summary = until("the summary comment", || story.told(), || story.comments("summary").first().cloned());

    // The fix: green, and the same comment tells it.
    for name in ["0006_customer_status.up.sql", "0006_customer_status.down.sql"] {
        let safer = std::fs::read(shop().join("safer").join(name)).unwrap();
        world.front.repository.write(&format!("migrations/{name}"), &safer);
    }
    let head = world.push("ann", "status", "Keep the phone numbers, and a way back");
    assert_eq!(story.check("godwit / lint", &head)["conclusion"], "success");
    let edited = until(
        "the comment to be edited",
        || story.told(),
        || {
            let now = story.comments("summary");
            assert_eq!(now.len(), 1);
            (now[0]["body"] != summary["body"]).then(|| now[0].clone())
        },
    );
    assert_eq!(edited["id"], summary["id"]);

    // Approvals: until the last one the check says who is missing.
    assert_eq!(story.check("godwit / approval", &head)["conclusion"], "action_required");
    // The emulator lets the author approve, GitHub does not; it counts for nothing either way (B-2).
    story.approve("ann");
    for login in EVERYBODY {
        story.approve(login);
    }
    until(
        "a green approval",
        || story.told(),
        || {
            let check = story.latest("godwit / approval", &head)?;
            (check["conclusion"] == "success").then_some(())
        },
    );

    // The merge brings every environment forward, one after the other.
    world.expect(200, "ann", "PUT", &format!("{PULL}/merge"), json!({}));
    for environment in ENVIRONMENTS {
        let what = format!("the result of {environment}");
        let told = until(&what, || story.told(), || story.comments(&format!("run:{environment}")).first().cloned());
        assert_eq!(told["user"]["login"], "godwit[bot]");
        until(
            &format!("the label of {environment}"),
            || story.told(),
            || {
                let label = format!("migrated:{environment}");
                world.get("/issues/1/labels").as_array().unwrap().iter().any(|l| l["name"] == label).then_some(())
            },
        );
        assert_eq!(statuses(&database(&world, environment)), ["active", "new", "active"]);
    }

    // Every webhook was taken, nothing was refused that the bot relies on, no panic was logged.
    let delivered = world.delivered.lock().unwrap().clone();
    assert!(delivered.iter().all(|(_, status)| (200..300).contains(status)), "{delivered:?}");
    let seen = world.front.seen.lock().unwrap().clone();
    let refused: Vec<_> = seen.iter().filter(|s| s.status >= 400 && s.status != 404).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(server.stop().success());

    let verified = godwit(&world).args(["audit", "verify", "--format", "json"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified["valid"], true);
    assert!(verified["records"].as_u64().unwrap() >= 4, "{verified}");
}

/// Applies what `main` holds to every environment, as earlier pull requests would have.
pub fn bring_to_today(world: &World) {
    for environment in ENVIRONMENTS {
        let output = godwit(world)
            .args(["apply", environment, "--yes", "--repo"])
            .arg(&world.front.repository.work)
            .output()
            .unwrap();
        assert!(output.status.success(), "{environment}: {}", String::from_utf8_lossy(&output.stderr));
        fill(&database(world, environment));
    }
}

/// What the test looks at.
pub struct Story<'a> {
    pub world: &'a World,
    pub server: &'a Server,
}

impl Story<'_> {
    /// A person's yes; gives the review's number. The emulator answers 201, GitHub 200.
    pub fn approve(&self, login: &str) -> u64 {
        let body = json!({ "event": "APPROVE" });
        self.world.expect(201, login, "POST", &format!("{PULL}/reviews"), body)["id"].as_u64().unwrap()
    }

    /// The newest check run of that name on a commit.
    pub fn latest(&self, name: &str, sha: &str) -> Option<Value> {
        let runs = self.world.get(&format!("/commits/{sha}/check-runs"));
        runs["check_runs"].as_array().unwrap().iter().find(|run| run["name"] == name).cloned()
    }

    /// The same, once it is completed.
    pub fn check(&self, name: &str, sha: &str) -> Value {
        until(
            &format!("`{name}` on {sha}"),
            || self.told(),
            || self.latest(name, sha).filter(|run| run["status"] == "completed"),
        )
    }

    /// The bot's comments that begin with that marker.
    pub fn comments(&self, marker: &str) -> Vec<Value> {
        let comments = self.world.get("/issues/1/comments?per_page=100");
        let marker = format!("<!-- godwit:{marker} -->");
        comments
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["body"].as_str().unwrap().starts_with(&marker))
            .cloned()
            .collect()
    }

    /// Everything that helps to understand a failure.
    pub fn told(&self) -> String {
        let seen = self.world.front.seen.lock().unwrap().clone();
        let requests: Vec<String> = seen.iter().map(|s| format!("{} {} {}", s.status, s.method, s.path)).collect();
        let delivered = self.world.delivered.lock().unwrap().clone();
        let comments = self.world.get("/issues/1/comments?per_page=100");
        let bodies: Vec<_> =
            comments.as_array().unwrap().iter().map(|c| c["body"].as_str().unwrap().to_owned()).collect();
        format!(
            "server: {}\nrequests:\n{}\nwebhooks: {delivered:?}\ncomments:\n{}\nlog:\n{}",
            self.server.url,
            requests.join("\n"),
            bodies.join("\n----\n"),
            self.server.log()
        )
    }
}

/// Customers, two of whom have ordered.
fn fill(file: &std::path::Path) {
    let rows = "INSERT INTO customers (email, full_name) VALUES ('a@x', 'Ada'), ('g@x', 'Grace'), ('l@x', 'Linus'); \
                INSERT INTO orders (customer_id, total_cents) VALUES (1, 100), (3, 250);";
    on(file, async |connection| {
        sqlx::raw_sql(rows).execute(connection).await.unwrap();
    });
}

/// The customers' statuses in a database of the shop.
fn statuses(file: &std::path::Path) -> Vec<String> {
    on(file, async |connection| {
        sqlx::query_scalar("SELECT status FROM customers ORDER BY id").fetch_all(connection).await.unwrap()
    })
}

/// Works on a database with a connection of its own, closed afterwards.
pub fn on<T>(file: &std::path::Path, work: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        let result = work(&mut connection).await;
        connection.close().await.unwrap();
        result
    })
}
