//! Approvals as the command line sees them: what the server judged and left in the store.

use godwit::approval::Policy;
use godwit::ids::{EnvironmentName, PrNumber, RepoName, Risk};
use godwit::migration::{MigrationRoot, SourceFile, digest_of, resolve};
use godwit::store::{Agreed, Store};

use super::world::World;
use crate::support::wait;

const MATRIX: &str = "development: { ANY: { required_approvals: 1, required_roles: [developer], timeout_hours: 24, emergency_override: false } }\n\
    staging: { ANY: { required_approvals: 2, required_roles: [dba], timeout_hours: 24, emergency_override: false } }\n\
    production: { ANY: { required_approvals: 2, required_roles: [dba], timeout_hours: 24, emergency_override: true } }\n";

fn world() -> World {
    let world = World::new();
    world.write("policies/approval_matrix.yml", MATRIX);
    world.write("policies/roles.yml", "dba: { users: [dora] }\ndeveloper: { users: [ann] }\n");
    world
}

/// As the server leaves it: each migration agreed to for an environment under the policy as it stands.
fn agree(world: &World, environment: &str, change: impl Fn(&mut Agreed)) {
    let file = |path: &str| std::fs::read(world.dir.path().join(path)).ok();
    let policy = Policy::load(&file).unwrap();
    let mut files = Vec::new();
    for folder in ["db/shop", "db/stock", "services/log/migrations"] {
        for entry in std::fs::read_dir(world.dir.path().join(folder)).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            files.push(SourceFile::new(&path, file(&path).unwrap()));
        }
    }
    let set = resolve(&files, &[MigrationRoot::folder("**")]);
    let agreed: Vec<Agreed> = set
        .migrations
        .iter()
        .map(|m| {
            let mut one = Agreed {
                environment: EnvironmentName::new(environment).unwrap(),
                digest: digest_of(std::iter::once(m)),
                policy_hash: policy.hash.clone(),
                risk: Risk::High,
                basis: "dba: dora".to_owned(),
                expires_at: None,
            };
            change(&mut one);
            one
        })
        .collect();
    assert_eq!(agreed.len(), 3);
    wait(async {
        let store = Store::open(&world.store_url()).await.unwrap();
        store.remember_agreed(&RepoName::new("acme/shop").unwrap(), PrNumber(7), &agreed).await.unwrap();
    });
}

fn refused(world: &World, environment: &str) -> String {
    let said = world.run(&["apply", environment, "--yes", "--format", "json"]).expect(3).json();
    assert_eq!(said["blocked_by"][0]["reason"], "approval", "{said}");
    said["blocked_by"][0]["message"].as_str().unwrap().to_owned()
}

#[test]
fn b3_a_cell_is_filled_by_what_the_server_judged() {
    let world = world();
    // Where one word is enough and writers may approve, whoever types has given it.
    world.bring(&["development"]);
    let message = refused(&world, "staging");
    assert!(
        message.contains("2 approvals") && message.contains("`dba`") && message.contains("0001_stock"),
        "{message}"
    );
    agree(&world, "production", |_| {});
    refused(&world, "staging");
    agree(&world, "staging", |a| a.policy_hash = "other".to_owned());
    assert!(refused(&world, "staging").contains("another policy"));
    agree(&world, "staging", |a| a.expires_at = Some(chrono::Utc::now() - chrono::TimeDelta::hours(1)));
    refused(&world, "staging");
    agree(&world, "staging", |_| {});
    // Approved, and still in order.
    let said = world.run(&["apply", "staging", "--yes", "--format", "json"]).expect(3).json();
    assert_eq!(said["blocked_by"][0]["reason"], "promotion");
    let said = world.run(&["apply", "testing", "--yes", "--format", "json"]).expect(3).json();
    assert_eq!(said["blocked_by"][0]["reason"], "approval");
    agree(&world, "testing", |_| {});
    world.bring(&["testing"]);
    agree(&world, "staging", |_| {});
    world.bring(&["staging"]);
    // One more byte was not agreed to.
    agree(&world, "production", |_| {});
    world.write("db/shop/0002_more.up.sql", "CREATE TABLE IF NOT EXISTS more (id INTEGER PRIMARY KEY);");
    assert!(refused(&world, "production").contains("0002_more"));
}

#[test]
fn decisions_10_an_emergency_passes_a_cell_that_lets_it() {
    let world = world();
    let apply = |e: &str| world.run(&["apply", e, "--yes", "--emergency", "the site is down", "--format", "json"]);
    let said = apply("staging").expect(3).json();
    assert!(said["blocked_by"][0]["what_to_do"].as_str().unwrap().contains("emergency_override"), "{said}");
    let said = apply("production").expect(0).json();
    assert_eq!(said["outcome"], "applied");
    // What was not asked for is told, and kept.
    let notes = said["notes"].to_string();
    for part in [
        "passed over in an emergency: `production` asks for 2 approvals",
        "must be in `staging` first",
        "a review of this emergency is due by",
    ] {
        assert!(notes.contains(part), "{part}: {said}");
    }
    let audit = world.run(&["audit", "list", "--env", "production", "--format", "json"]).expect(0).json();
    let asked = &audit["records"][0];
    assert_eq!(asked["action"], "emergency", "{audit}");
    assert!(asked["details"]["skipped"].as_str().unwrap().contains("asks for 2 approvals"), "{audit}");
}

#[test]
fn s2_77_an_emergency_is_a_leads_to_declare_where_one_is_named() {
    let world = world();
    world.write("policies/roles.yml", "dba: { users: [dora] }\ndata_ops_lead: { users: [lea] }\n");
    for args in [
        &["apply", "production", "--yes", "--emergency", "fire", "--for", "acme/shop"][..],
        &["migrate", "production", "--force", "--emergency", "fire", "--for", "acme/shop"],
        &["resume", "production", "--emergency", "fire", "--for", "acme/shop"],
    ] {
        let said = world.command(args).env_remove("GODWIT_TOKEN").output().unwrap();
        let said = crate::support::Said::from(said).expect(2);
        assert!(said.stderr.contains("GODWIT_TOKEN"), "{args:?}: {said:?}");
    }
    assert!(!world.stock("production").has_table("stock"));
    let audit = world.run(&["audit", "list", "--env", "production", "--format", "json"]).expect(0).json();
    assert_eq!(audit["records"].as_array().map(Vec::len), Some(0), "{audit}");
}

#[test]
fn without_a_written_matrix_nobody_is_asked_at_the_command_line() {
    let world = World::new();
    world.bring(&["development", "testing", "staging", "production"]);
}
