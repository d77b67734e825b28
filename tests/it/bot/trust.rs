//! Whom and what is trusted: the base branch, people GitHub vouches for, and nothing that a pull request brings.

use godwit::sandbox::{MergeMethod, NewPull, PullHandle};

use super::world::{APPROVAL, GODWIT_YML, ROLES_YML, SUMMARY, World, check, comment, commit, conclusion, run_comment};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 2] = [
    (UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

fn summary(pull: &PullHandle) -> String {
    comment(pull, SUMMARY).map_or_else(String::new, |c| c.body)
}

#[tokio::test]
async fn b1_every_change_of_what_was_approved_drops_it_and_says_so() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let approve = async || {
        world.approve(&pull, "omar").await;
        world.approve(&pull, "dora").await;
        assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    };
    approve().await;
    // A file that is added.
    pull.push(
        "alice",
        &[commit("alice", &[("migrations/0002_more.up.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY);\n")])],
    )
    .unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(
        summary(&pull).contains("The approval of `@dora` does not count: the migrations changed since"),
        "{}",
        summary(&pull)
    );
    approve().await;
    // A policy that changes on the base branch.
    world.repo.push("main", "rosa", &[commit("rosa", &[("policies/lint.yml", "postgres_version: 16\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(summary(&pull).contains("the policy changed since; please look again"), "{}", summary(&pull));
    approve().await;
    // A risk that is raised, and one that is lowered.
    pull.add_label("tess", "risk:high").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(summary(&pull).contains("it was given at risk MEDIUM, which is HIGH now"), "{}", summary(&pull));
    approve().await;
    pull.remove_label("tess", "risk:high").unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(summary(&pull).contains("it was given at risk HIGH, which is MEDIUM now"), "{}", summary(&pull));
}

#[tokio::test]
async fn b4_both_configurations_decide_what_is_a_migration() {
    let world = World::start().await;
    let moved = GODWIT_YML.replace("path: migrations", "path: elsewhere");
    let pull = world
        .open(
            "hide",
            &[
                ("godwit.yml", &moved),
                ("migrations/0001_hidden.up.sql", "CREATE TABLE hidden (id INTEGER PRIMARY KEY);\n"),
                ("elsewhere/0001_shown.up.sql", "CREATE TABLE shown (id INTEGER PRIMARY KEY);\n"),
            ],
        )
        .await;
    let text = summary(&pull);
    assert!(text.contains("`0001_hidden`") && text.contains("`0001_shown`"), "{text}");
    assert!(text.contains("policy owners"), "{text}");
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", summary(&pull));
    world.approve(&pull, "dana").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", summary(&pull));
}

#[tokio::test]
async fn b4_nobody_gives_themselves_a_role_or_takes_an_owner_away() {
    let world = World::start_with(&[("CODEOWNERS", "*.sql @tess\n")]).await;
    let grab = ROLES_YML.replace("dba: { teams: [acme/dba] }", "dba: { users: [bob] }");
    let mut files = ORDERS.to_vec();
    files.extend([("policies/roles.yml", grab.as_str()), ("CODEOWNERS", "* @bob\n")]);
    let pull = world.open("grab", &files).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "bob").await;
    let text = summary(&pull);
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{text}");
    assert!(text.contains("`dba`: `@acme/dba`") && text.contains("code owner of `*.sql`: `@tess`"), "{text}");
    assert!(text.contains("`data_ops_lead`: `@dana`"), "{text}");
    for person in ["dora", "tess", "dana"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", summary(&pull));
}

#[tokio::test]
async fn b19_a_foreign_check_of_our_name_opens_nothing() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let head = pull.head_sha().unwrap();
    world.repo.foreign_check_run("other-app", &head, APPROVAL, "success").unwrap();
    world.settle().await;
    world.bot.sweep(chrono::Utc::now()).await.unwrap();
    world.settle().await;
    let ours = pull
        .check_runs()
        .unwrap()
        .into_iter()
        .filter(|c| c.name == APPROVAL && c.app != "other-app")
        .max_by_key(|c| c.id);
    assert_eq!(ours.unwrap().conclusion.as_deref(), Some("action_required"));
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    assert!(!world.has_table("staging", "orders").await);
    assert!(
        run_comment(&pull, "staging").contains("data\\_ops") || run_comment(&pull, "staging").contains("`data_ops`")
    );
}

#[tokio::test]
async fn b19_a_migration_for_a_target_that_no_environment_has_is_no_success() {
    let unit = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: migrations\n    engine: \
                sqlite\n    target: nowhere\n";
    let world = World::start_with(&[("godwit.yml", unit)]).await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dora", "dana"] {
        world.approve(&pull, person).await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "failure");
    assert!(summary(&pull).contains("no target of any environment takes"), "{}", summary(&pull));
}

/// What nobody may read anywhere.
const PLANTED: &str = "Planted7f3aSecret";

#[tokio::test]
async fn b20_planted_secrets_appear_nowhere_and_nothing_breaks_out_of_the_page() {
    let url = format!("postgres://app:{PLANTED}@db.example/shop");
    let world = World::start().await;
    let hostile = "migrations/0002_a`|<!-- godwit:summary --> @acme|x.up.sql";
    let sql = format!(
        "-- {url}\nCREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT DEFAULT '{url} ``` </details> @acme/dba');\nSELEC '{url}';\n"
    );
    let fine = format!("CREATE TABLE fine (id INTEGER PRIMARY KEY); -- {url} ``` <!-- godwit:summary -->\n");
    let main = world.repo.branch_sha("main").unwrap();
    let branch = "x/postgres-app";
    world.repo.force_push(branch, "alice", &main, &[commit("alice", &[(UP, &sql), (hostile, &fine)])]).unwrap();
    let title = format!("Orders {url} <!-- godwit:summary --> @acme/dba");
    let pull = world
        .repo
        .open_pull_request(&NewPull {
            author: "alice",
            title: &title,
            body: &url,
            head: branch,
            base: "main",
            draft: false,
        })
        .unwrap();
    pull.add_label("alice", "hold").unwrap();
    pull.add_label("alice", &format!("approved:{}", &PLANTED[..10])).unwrap();
    world.settle().await;
    for command in [
        format!("/godwit lock staging {url}"),
        format!("/godwit plan {url}"),
        "/godwit plan".into(),
        "/godwit status".into(),
    ] {
        pull.comment("alice", &command).unwrap();
        world.settle().await;
    }
    pull.close("alice").unwrap();
    world.settle().await;
    // And a change that could run: its plan is shown.
    let good = world.open("fine", &[("migrations/0003_fine.up.sql", fine.as_str())]).await;
    good.comment("alice", "/godwit plan").unwrap();
    world.settle().await;
    world.approve(&good, "omar").await;
    world.approve(&good, "dora").await;
    good.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;

    let mut seen: Vec<(String, String)> = Vec::new();
    for pull in [&pull, &good] {
        for comment in pull.comments().unwrap().into_iter().filter(|c| c.by_app) {
            let first = comment.body.lines().next().unwrap_or_default().to_owned();
            let rest = comment.body.split_once('\n').map_or("", |(_, rest)| rest);
            // Inside fences and code spans it is text; anywhere else it would be ours.
            let outside: Vec<&str> = outside_code(rest);
            for part in ["<!-- godwit:", "@acme/dba", "</details> @"] {
                assert!(!outside.iter().any(|l| l.contains(part)), "{part} in {}", comment.body);
            }
            seen.push((first, comment.body));
        }
        for run in pull.check_runs().unwrap() {
            seen.push((run.name.clone(), format!("{run:?}")));
        }
    }
    for record in world.store.audit(&Default::default()).await.unwrap() {
        seen.push(("audit".to_owned(), format!("{record:?}")));
    }
    for judged in world.store.judged_pulls(&"acme/shop".parse().unwrap(), 10).await.unwrap() {
        seen.push(("judged".to_owned(), format!("{judged:?}")));
    }
    assert!(seen.len() > 10, "{}", seen.len());
    for (what, text) in seen {
        assert!(!text.contains(PLANTED), "{what} shows a secret:\n{text}");
    }
}

/// The parts of a text that stand in no fence and no code span.
fn outside_code(text: &str) -> Vec<&str> {
    let mut outside = Vec::new();
    let mut fence: Option<usize> = None;
    for line in text.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            Some(open) if ticks >= open && line.trim_end().chars().all(|c| c == '`') => fence = None,
            Some(_) => {}
            None if ticks >= 3 && !line[ticks..].contains('`') => fence = Some(ticks),
            None => {
                // Code spans open and close with the same number of ticks.
                let mut rest = line;
                while let Some(at) = rest.find('`') {
                    outside.push(&rest[..at]);
                    let run = rest[at..].chars().take_while(|c| *c == '`').count();
                    let after = &rest[at + run..];
                    let closed = (0..after.len()).find(|i| {
                        after.is_char_boundary(*i)
                            && after[*i..].chars().take_while(|c| *c == '`').count() == run
                            && !after[..*i].ends_with('`')
                    });
                    match closed {
                        Some(i) => rest = &after[i + run..],
                        None => rest = after,
                    }
                }
                outside.push(rest);
            }
        }
    }
    outside
}
