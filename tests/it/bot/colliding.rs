//! Two open pull requests that get in each other's way are told of each other, and told when it is over.

use godwit::sandbox::PullHandle;

use super::world::{APPROVAL, SUMMARY, World, comment, commit, conclusion};

fn summary(pull: &PullHandle) -> String {
    comment(pull, SUMMARY).map_or_else(String::new, |c| c.body)
}

#[tokio::test]
async fn two_that_collide_are_told_of_each_other_and_when_it_is_over() {
    let world = World::start().await;
    let a = world.open("a", &[("migrations/0001_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY);\n")]).await;
    assert!(!summary(&a).contains("open too"));
    let b = world.open("b", &[("migrations/0001_b.up.sql", "CREATE TABLE b (id INTEGER PRIMARY KEY);\n")]).await;
    let c = world.open("c", &[("migrations/0002_c.up.sql", "CREATE INDEX a_id ON a (id);\n")]).await;
    let (na, nb, nc) = (a.number(), b.number(), c.number());
    for (pull, other) in [(&a, nb), (&b, na)] {
        let text = summary(pull);
        assert!(
            text.contains(&format!("`#{other}` is open too, and both bring version `0001` of `migrations`")),
            "{text}"
        );
    }
    for (pull, other) in [(&a, nc), (&c, na)] {
        let text = summary(pull);
        assert!(text.contains(&format!("`#{other}` is open too, and both touch `a`")), "{text}");
    }
    assert!(!summary(&b).contains(&format!("`#{nc}`")), "{}", summary(&b));
    // It tells; it does not forbid.
    assert_eq!(conclusion(&a, APPROVAL), "action_required");

    // One takes another number; the other is closed.
    b.push(
        "alice",
        &[commit(
            "alice",
            &[
                ("migrations/0001_b.up.sql", ""),
                ("migrations/0005_b.up.sql", "CREATE TABLE b (id INTEGER PRIMARY KEY);\n"),
            ],
        )],
    )
    .unwrap();
    c.close("alice").unwrap();
    world.settle().await;
    let text = summary(&a);
    assert!(text.contains(&format!("`#{nb}` is not in the way any more: one of them was changed")), "{text}");
    assert!(text.contains(&format!("`#{nc}` is not in the way any more: `#{nc}` was closed")), "{text}");
    assert!(summary(&b).contains(&format!("`#{na}` is not in the way any more")), "{}", summary(&b));
    assert!(!text.contains("is open too"), "{text}");

    // Open again it is in the way again.
    c.reopen("alice").unwrap();
    world.settle().await;
    assert!(summary(&a).contains(&format!("`#{nc}` is open too")), "{}", summary(&a));
}
