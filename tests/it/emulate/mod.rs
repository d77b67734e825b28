//! The story of the demo once more, against a GitHub that other people wrote: npm's `emulate`, behind a thin proxy that serves git and
//! fills what the emulator lacks.

mod front;
mod judging;
mod repository;
mod server;
mod story;
mod world;

use serde_json::json;

use repository::git_command;
use world::{World, until};

/// The harness itself, without Godwit: what the emulator says and what git says agree.
#[test]
fn the_emulator_and_the_git_repository_agree() {
    let world = World::start();
    world.front.repository.branch("status", Some("main"));
    world.front.repository.write("migrations/0003_status.up.sql", b"ALTER TABLE customers ADD COLUMN status TEXT;\n");
    let first = world.push("ann", "status", "Add a status");
    let pull = world.expect(
        201,
        "ann",
        "POST",
        "/repos/shop/shop/pulls",
        json!({ "title": "A status", "head": "status", "base": "main", "body": "" }),
    );
    assert_eq!(pull["head"]["sha"], first);
    assert_eq!(pull["base"]["repo"]["clone_url"], format!("{}/shop/shop.git", world.url));

    world.front.repository.write("migrations/0003_status.down.sql", b"ALTER TABLE customers DROP COLUMN status;\n");
    let second = world.push("ann", "status", "And the way back");
    assert_eq!(world.get("/pulls/1")["head"]["sha"], second);
    let files = world.get("/pulls/1/files");
    let names: Vec<&str> = files.as_array().unwrap().iter().map(|file| file["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["migrations/0003_status.down.sql", "migrations/0003_status.up.sql"]);
    let commits = world.get("/pulls/1/commits");
    assert_eq!(commits.as_array().unwrap().len(), 2);
    assert_eq!(commits[0]["author"]["login"], "ann");

    world.expect(200, "ann", "POST", "/repos/shop/shop/issues/1/labels", json!({ "labels": ["hold"] }));
    let labelled = until("the label's event", String::new, || {
        let timeline = world.get("/issues/1/timeline");
        timeline.as_array().unwrap().first().cloned()
    });
    assert_eq!(labelled["event"], "labeled");
    assert_eq!(labelled["actor"]["login"], "ann");

    let merged = world.expect(200, "ann", "PUT", "/repos/shop/shop/pulls/1/merge", json!({}));
    let tip = repository::git(&world.front.repository.bare, &["rev-parse", "main"]);
    assert_eq!(merged["sha"], tip);

    // Only a token that the emulator gave to the App fetches.
    for url in [world.url.clone(), world.url.replace("http://", "http://x-access-token:wrong@")] {
        let into = world.root.path().join("clone");
        let output = git_command().arg("clone").arg(format!("{url}/shop/shop.git")).arg(&into).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("could not read Username") || said.contains("Authentication failed"), "{said}");
    }
}
