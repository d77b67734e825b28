//! Environments of a configured repository from the command line, without GitHub.

mod approvals;
mod world;

use world::{ORDER, World};

#[test]
fn s4_16_every_environment_is_brought_forward_in_order() {
    let world = World::new();
    for environment in ORDER {
        let plan = world.run(&["plan", "--env", environment, "--format", "json"]).expect(0).json();
        assert_eq!((&plan["outcome"], &plan["environment"]), (&"planned".into(), &environment.into()));
        assert_eq!(plan["steps"].as_array().unwrap().len(), 3);
        let said = world.run(&["apply", "--env", environment, "--yes", "--format", "json"]).expect(0).json();
        assert_eq!((&said["outcome"], &said["environment"]), (&"applied".into(), &environment.into()));
        assert!(world.stock(environment).has_table("stock"));
        let status = world.status(environment);
        let targets = status["targets"].as_array().unwrap();
        assert_eq!(targets.len(), 3);
        assert!(targets.iter().all(|t| t["migrations"][0]["state"] == "applied"), "{status}");
        let again = world.run(&["apply", environment, "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(again["outcome"], "nothing");
    }
    // Each run is an audit record with its environment.
    let audit = world.run(&["audit", "list", "--env", "staging", "--format", "json"]).expect(0).json();
    assert_eq!(audit["records"][0]["action"], "run-finished");
    // What came last is undone, and put back.
    let undone =
        world.run(&["rollback", "0001_stock", "--env", "staging", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(undone["steps"][0]["state"], "rolled_back");
    assert!(!world.stock("staging").has_table("stock"));
    world.bring(&["staging"]);
    assert!(world.stock("staging").has_table("stock"));
}

#[test]
fn s1_40_a_rollback_knows_on_which_database() {
    let world = World::new();
    world.bring(&["development"]);
    let said = world.run(&["rollback", "--steps", "1", "--env", "development", "--yes"]).expect(2);
    assert!(said.stderr.contains("--target"), "{said:?}");
    let said = world.run(&["rollback", "0001_item", "--env", "development", "--target", "stock", "--yes"]).expect(2);
    assert!(said.stderr.contains("stock"), "{said:?}");
    let args = ["rollback", "--steps", "1", "--env", "development", "--target", "stock", "--yes", "--format", "json"];
    let said = world.run(&args).expect(0).json();
    assert_eq!((said["steps"].as_array().unwrap().len(), &said["steps"][0]["target"]), (1, &"stock".into()));
}

#[test]
fn a_folder_is_of_its_targets_kind_and_one_of_another_kind_is_refused() {
    let world = World::new();
    let text = std::fs::read_to_string(world.dir.path().join("godwit.yml")).unwrap();
    world.write("godwit.yml", &text.replace("path: db/shop,", "path: db/shop, engine: postgresql,"));
    let said = world.run(&["apply", "development", "--yes"]).expect(2);
    assert!(said.stderr.contains("db/shop/0001_item.up.sql") && said.stderr.contains("engine:"), "{said:?}");
    assert!(!world.stock("development").has_table("stock"));
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_place() {
    let world = World::new();
    for command in ["apply", "plan", "status", "resume"] {
        let output = world.command(&[command, "--env", "staging"]).env_remove("STAGING_STOCK_URL").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("STAGING_STOCK_URL") && text.contains("staging.stock.url"), "{text}");
    }
    // `.env` of the working directory is read by the command line.
    world.write(".env", &format!("# kept out of git\nSTAGING_STOCK_URL=\"{}\"\n", world.stock("staging").url));
    let output = world.command(&["status", "staging"]).env_remove("STAGING_STOCK_URL").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_environment_or_target_or_service_that_nobody_knows_is_a_slip() {
    let world = World::new();
    for args in [
        &["apply", "--env", "stagin"][..],
        &["plan", "stagin"],
        &["status", "stagin"],
        &["resume", "stagin"],
        &["rollback", "--env", "stagin", "--steps", "1"],
        &["baseline", "--env", "stagin", "--to", "0001"],
        &["resolve", "0001_item", "--env", "stagin", "--as", "applied", "--reason", "r"],
        &["lock", "--env", "stagin", "reason"],
    ] {
        let said = world.run(args).expect(2);
        assert!(said.stderr.contains("stagin") && said.stderr.contains("production"), "{args:?} {said:?}");
    }
    let said = world.run(&["apply", "staging", "--target", "shopp"]).expect(2);
    assert!(said.stderr.contains("shopp"), "{said:?}");
    let said = world.run(&["apply", "staging", "--service", "nothing"]).expect(2);
    assert!(said.stderr.contains("nothing"), "{said:?}");
    assert!(world.run(&["apply", "staging", "--env", "staging"]).expect(2).stderr.contains("once"));
}

#[test]
fn s1_35_s4_16_a_part_of_an_environment_is_brought_forward_alone() {
    let world = World::new();
    world.run(&["apply", "development", "--target", "stock", "--yes"]).expect(0);
    assert!(world.stock("development").has_table("stock"));
    assert!(!world.database("development", "shop").exists());
    let said = world.run(&["apply", "development", "--service", "log", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(said["steps"].as_array().unwrap().len(), 1);
    assert_eq!(said["steps"][0]["target"], "log");
    // The same part may go on, the rest may not.
    world.run(&["apply", "testing", "--target", "stock", "--yes"]).expect(0);
    let said = world.run(&["apply", "testing", "--yes", "--format", "json"]).expect(3).json();
    let message = said["blocked_by"][0]["message"].as_str().unwrap();
    assert!(message.contains("0001_item") && !message.contains("0001_stock"), "{message}");
}

#[test]
fn s4_20_a_frozen_environment_stays_as_it_is() {
    let world = World::new();
    world.run(&["lock", "--env", "development", "inventory", "day"]).expect(0);
    for command in ["apply", "resume"] {
        let args: &[&str] =
            if command == "apply" { &["apply", "development", "--yes"] } else { &["resume", "development"] };
        let said = world.run(&[args, &["--format", "json"]].concat()).expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "locked");
        assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("inventory day"));
    }
    assert_eq!(world.status("development")["lock"]["reason"], "inventory day");
    assert!(!world.stock("development").has_table("stock"));
    world.run(&["unlock", "--env", "development"]).expect(0);
    world.bring(&["development"]);
    world.run(&["lock", "--env", "development", "again"]).expect(0);
    world.run(&["rollback", "0001_item", "--env", "development", "--yes"]).expect(3);
}

#[test]
fn decisions_17_findings_block_a_configured_environment() {
    let world = World::new();
    world.write("db/stock/0002_more.up.sql", "DELETE FROM stock;");
    let said = world.run(&["apply", "development", "--yes", "--format", "json"]).expect(1).json();
    assert_eq!((&said["outcome"], &said["blocked_by"][0]["reason"]), (&"blocked".into(), &"lint".into()));
    assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("0002_more.up.sql:1"));
    assert_eq!(world.run(&["plan", "development"]).code, Some(1));
    assert!(!world.stock("development").has_table("stock"));
}

#[test]
fn decisions_17_production_asks_for_its_name() {
    let world = World::new();
    world.bring(&ORDER[..3]);
    let said = world.run(&["apply", "production"]).expect(2);
    assert!(said.stderr.contains("--yes") && said.stderr.contains("production"), "{said:?}");
    assert!(!world.stock("production").has_table("stock"));
    world.bring(&["production"]);
    let said = world.run(&["rollback", "0001_item", "--env", "production"]).expect(2);
    assert!(said.stderr.contains("--yes") && said.stderr.contains("production"), "{said:?}");
    assert_eq!(said.stdout, "", "nothing was undone");
}

#[test]
fn r20_the_environments_own_bound_ends_a_run() {
    let world = World::new();
    world.write(
        "policies/environments.yml",
        &world.environments("  migration: { timeout: 1, backup_required: false }\n"),
    );
    world.write("db/stock/0002_slow.up.sql", "SELECT pg_sleep(600);");
    let said = world.run(&["apply", "development", "--yes", "--format", "json"]);
    assert!(matches!(said.code, Some(1)), "{said:?}");
    assert!(said.stdout.contains("time"), "{said:?}");
    let states = world.stock("development").history();
    assert!(states.contains(&"0001_stock applied".to_owned()), "{states:?}");
    assert!(!states.contains(&"0002_slow applied".to_owned()), "{states:?}");
}

#[test]
fn b10_r17_an_environment_waits_for_the_one_before() {
    let world = World::new();
    let said = world.run(&["apply", "testing", "--yes", "--format", "json"]).expect(3).json();
    assert_eq!((&said["outcome"], &said["blocked_by"][0]["reason"]), (&"blocked".into(), &"promotion".into()));
    let message = said["blocked_by"][0]["message"].as_str().unwrap();
    for name in ["db/shop/0001_item", "0001_line", "0001_stock", "`development`"] {
        assert!(message.contains(name), "{name}: {message}");
    }
    assert!(!world.stock("testing").has_table("stock"));
    world.bring(&["development", "testing"]);
    // Production is not behind testing, but behind staging.
    let said = world.run(&["apply", "production", "--yes", "--format", "json"]).expect(3).json();
    assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("`staging`"));
    world.bring(&["staging"]);
    // The same name with other bytes is another migration: it is neither what staging holds nor goes past it.
    world.write("db/shop/0001_item.up.sql", "CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, other TEXT);");
    let said = world.run(&["apply", "production", "--yes", "--format", "json"]).expect(3).json();
    let message = said["blocked_by"][0]["message"].as_str().unwrap();
    assert!(message.contains("0001_item") && !message.contains("0001_stock"), "{message}");
    world.write("db/shop/0001_item.up.sql", world::SHOP);
    // What is taken back in staging is no longer there.
    world.run(&["rollback", "0001_stock", "--env", "staging", "--yes"]).expect(0);
    let said = world.run(&["apply", "production", "--yes", "--format", "json"]).expect(3).json();
    assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("0001_stock"));
    world.bring(&["staging", "production"]);
}

#[test]
fn b10_another_machine_asks_the_environment_before_itself() {
    let world = World::new();
    world.bring(&["development"]);
    let elsewhere = format!("sqlite:{}", world.dir.path().join("elsewhere.db").display());
    let apply = ["apply", "testing", "--yes", "--format", "json", "--store", &elsewhere];
    // Its store knows nothing, and without the variable nobody can be asked.
    let output = world.command(&apply).env_remove("DEVELOPMENT_STOCK_URL").output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["blocked_by"][0]["reason"]), (Some(3), &"promotion".into()));
    assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("DEVELOPMENT_STOCK_URL"), "{said}");
    world.run(&apply).expect(0);
}

#[test]
fn decisions_10_an_emergency_passes_the_order_and_is_written_down() {
    let world = World::new();
    assert!(world.run(&["apply", "production", "--yes", "--emergency", " "]).expect(2).stderr.contains("reason"));
    world.run(&["apply", "production", "--yes", "--emergency", "the site is down"]).expect(0);
    assert!(world.stock("production").has_table("stock"));
    let audit = world.run(&["audit", "list", "--env", "production", "--format", "json"]).expect(0).json();
    let records = audit["records"].as_array().unwrap();
    assert_eq!((&records[0]["action"], &records[0]["basis"]), (&"emergency".into(), &"the site is down".into()));
    assert_eq!(records[1]["basis"], "the site is down");
    // It does not pass a freeze.
    world.run(&["lock", "--env", "staging", "incident"]).expect(0);
    world.run(&["apply", "staging", "--yes", "--emergency", "the site is down"]).expect(3);
}

#[test]
fn resume_is_no_way_around_the_gates() {
    let world = World::new();
    let said = world.run(&["resume", "production", "--format", "json"]).expect(3).json();
    assert_eq!(said["blocked_by"][0]["reason"], "promotion");
    assert!(!world.stock("production").has_table("stock"));
}

#[test]
fn what_an_environment_holds_already_is_adopted_and_settled() {
    let world = World::new();
    world.stock("development").query(world::STOCK);
    world.run(&["baseline", "--env", "development", "--target", "stock", "--to", "db/stock/0001_stock"]).expect(0);
    world.bring(&["development"]);
    let args = [
        "resolve",
        "db/stock/0001_stock",
        "--env",
        "development",
        "--as",
        "rolled-back",
        "--reason",
        "dropped by hand",
    ];
    world.run(&args).expect(0);
    let status = world.status("development");
    let stock = status["targets"].as_array().unwrap().iter().find(|t| t["target"] == "stock").unwrap();
    assert_eq!(stock["migrations"][0]["state"], "rolled_back");
}
