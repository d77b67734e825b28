//! Folders that `godwit.yml` names, and what lies in them and is no migration.

use super::papers::Shop;

const TWO: &str = "version: 1\nenvironments: [development, production]\nmigrations:\n  - { path: db, target: shop }\n  - { \
                   path: nosuch, target: shop }\n";

#[test]
fn a_named_folder_that_is_not_there_is_an_error_and_an_empty_one_a_warning() {
    let shop = Shop::new();
    shop.write("godwit.yml", TWO);
    for args in
        [&["lint"][..], &["ci"], &["plan", "development"], &["apply", "development", "--yes"], &["policy", "check"]]
    {
        let said = shop.run(args);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(matches!(said.code, Some(1..=3)), "{args:?}: {said:?}");
        assert!(all.contains("`nosuch` is no folder"), "{args:?}: {said:?}");
    }
    let said = shop.run(&["apply", "development", "--yes"]);
    assert!(said.stdout.contains("godwit.yml:5: `nosuch`"), "{said:?}");
    let report = shop.run(&["lint", "--format", "json"]).expect(1).json();
    let missing: Vec<_> =
        report["violations"].as_array().unwrap().iter().filter(|v| v["rule"] == "missing-root").collect();
    assert_eq!(missing.len(), 1, "{report}");
    assert_eq!((&missing[0]["file"], &missing[0]["line"]), (&"godwit.yml".into(), &5.into()));

    // One that is there and holds nothing is told, and keeps nobody from working.
    std::fs::create_dir(shop.path().join("nosuch")).unwrap();
    let report = shop.run(&["lint", "--format", "json"]).json();
    let empty = |v: &serde_json::Value| v["rule"] == "empty-root" && v["severity"] == "warning" && v["line"] == 5;
    assert!(report["violations"].as_array().unwrap().iter().any(empty), "{report}");
    let checked = shop.run(&["policy", "check", "--format", "json"]).expect(0).json();
    assert!(checked["findings"].to_string().contains("`nosuch` holds no migration"), "{checked}");
    for args in [&["plan", "development"][..], &["apply", "development", "--yes"], &["apply", "development", "--yes"]] {
        let said = shop.run(args).expect(0);
        assert!(said.stdout.contains("note: godwit.yml:5: `nosuch` holds no migration"), "{args:?}: {said:?}");
    }
    shop.write("nosuch/0001_other.up.sql", "create table other (id integer primary key);\n");
    let said = shop.run(&["plan", "development"]).expect(0);
    assert!(!said.stdout.contains("note:") && said.stdout.contains("0001_other"), "{said:?}");
}

#[test]
fn patterns_that_fit_nothing_are_told_and_stop_nobody() {
    let shop = Shop::new();
    shop.write("godwit.yml", &TWO.replace("nosuch", "services/*/migrations"));
    let said = shop.run(&["apply", "development", "--yes"]).expect(0);
    assert!(said.stdout.contains("`services/*/migrations` fits no folder"), "{said:?}");
    shop.run(&["policy", "check"]).expect(0);
}

#[test]
fn what_is_passed_over_is_told_by_every_run() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path().join("db/0004_more.up.sql")).unwrap();
    shop.write("db/0004_more.up.sql/inner.txt", "x");
    shop.write("db/three.sql", "select 1;");
    let told = |said: &serde_json::Value| said["notes"].to_string();
    for args in [
        &["plan", "development"][..],
        &["apply", "development", "--yes"],
        // Nothing is left to do, and they are there still.
        &["apply", "development", "--yes"],
        &["apply", "--url", "sqlite:other.db", "--path", "db", "--yes"],
    ] {
        let said = shop.run(&[args, &["--format", "json"]].concat()).expect(0).json();
        let notes = told(&said);
        assert!(
            notes.contains("db/three.sql is no migration") && notes.contains("db/0004_more.up.sql is a directory"),
            "{said}"
        );
    }
    for n in 0..9 {
        shop.write(&format!("db/stray{n}.sql"), "select 1;");
    }
    let said = shop.run(&["plan", "development", "--format", "json"]).expect(0).json();
    assert_eq!(said["notes"].as_array().unwrap().len(), 6, "{said}");
    assert!(told(&said).contains("6 more files are passed over"), "{said}");
}

#[test]
fn a_held_contract_names_the_environment_in_a_status_too() {
    let shop = Shop::new();
    shop.run(&["apply", "development", "--yes"]).expect(0);
    shop.write("db/0004_drop.up.sql", "-- godwit: phase=contract\ndrop table orders;\n");
    let said = shop.run(&["status", "development"]).expect(0);
    assert!(said.stdout.contains("`godwit release 0004_drop --env development --reason …`"), "{said:?}");
}
