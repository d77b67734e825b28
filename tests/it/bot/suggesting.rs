//! Rewrites offered on the lines of a pull request.

use godwit::sandbox::{Fault, FaultKind, LineCommentView, PullHandle, ReviewVerdict};

use super::world::{LINT, World, commit, conclusion};

const FILES: [(&str, &str); 2] = [
    (
        "godwit.yml",
        "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: migrations\n    engine: postgresql\n",
    ),
    ("migrations/0001_old.up.sql", "CREATE TABLE orders (id bigint PRIMARY KEY, email text, person bigint);\n"),
];
const INDEX: (&str, &str) = ("migrations/0002_email.up.sql", "CREATE INDEX orders_email ON orders (email);\n");
const KEY: (&str, &str) = (
    "migrations/0003_person.up.sql",
    "-- Who bought it.\nALTER TABLE orders\n  ADD CONSTRAINT orders_person CHECK (\n    person > 0\n  );\n",
);

fn suggestions(pull: &PullHandle) -> Vec<LineCommentView> {
    pull.line_comments().unwrap()
}

#[tokio::test]
async fn b15_a_rewrite_is_suggested_once_on_the_lines_it_changes() {
    let world = World::start_with(&FILES).await;
    let pull = world.open("index", &[INDEX, KEY]).await;
    let all = suggestions(&pull);
    let places: Vec<_> = all.iter().map(|s| (s.path.as_str(), s.lines, s.author.as_str())).collect();
    assert_eq!(places, [(INDEX.0, (1, 1), "godwit[bot]"), (KEY.0, (5, 5), "godwit[bot]")]);
    assert!(all[0].body.contains("```suggestion\nCREATE INDEX CONCURRENTLY orders_email ON orders (email);\n```"));
    assert!(all[1].body.contains("```suggestion\n  ) NOT VALID;\n```"), "{}", all[1].body);
    // A comment is no approval, and no request for changes.
    let reviews = pull.reviews().unwrap();
    assert_eq!(reviews.iter().map(|r| r.verdict).collect::<Vec<_>>(), [ReviewVerdict::Comment]);
    assert_eq!(conclusion(&pull, LINT), "success");

    // Looked at again, moved by a line, and beside something new: what was said is not said again.
    world.ask(&pull, "bob", "/godwit lint").await;
    let moved = format!("-- Found by their address.\n{}", INDEX.1);
    let more = ("migrations/0004_seen.up.sql", "CREATE INDEX orders_seen ON orders (person);\n");
    pull.push("alice", &[commit("alice", &[(INDEX.0, &moved), more])]).unwrap();
    world.settle().await;
    let after = suggestions(&pull);
    assert_eq!(after.len(), 3, "{after:?}");
    assert!(after[2].body.contains("CREATE INDEX CONCURRENTLY orders_seen"), "{}", after[2].body);
}

#[tokio::test]
async fn only_new_files_get_suggestions() {
    let world = World::start_with(&FILES).await;
    let text = "CREATE TABLE orders (id bigint PRIMARY KEY, email text, person bigint);\nDROP INDEX i;\n";
    let pull = world.open("edit", &[(FILES[1].0, text)]).await;
    assert_eq!(suggestions(&pull), []);
    let sound = world.open("sound", &[("migrations/0002_t.up.sql", "CREATE TABLE t (id bigint PRIMARY KEY);\n")]).await;
    assert_eq!((suggestions(&sound), sound.reviews().unwrap().len()), (vec![], 0));
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_review_and_a_refusal_holds_nothing_up() {
    let world = World::start_with(&FILES).await;
    let fault = |kind| Fault::new("/reviews", 1, kind).method("POST");
    world.sandbox.fault(fault(FaultKind::LoseAnswer));
    let pull = world.open("index", &[INDEX]).await;
    world.ask(&pull, "bob", "/godwit lint").await;
    assert_eq!((suggestions(&pull).len(), pull.reviews().unwrap().len()), (1, 1));

    world.sandbox.fault(fault(FaultKind::Status(403)));
    let other = world.open("person", &[KEY]).await;
    assert_eq!(conclusion(&other, LINT), "success");
    world.ask(&other, "bob", "/godwit lint").await;
    assert_eq!(suggestions(&other).len(), 1, "made up for");
}
