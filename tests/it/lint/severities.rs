//! How bad findings about files are in each layout and profile (SPEC 6), through the binary.

use super::{folder, json};

/// `rule` of `file` in a profile: severity of each finding.
fn graded(files: &[(&str, &str)], file: &str, rule: &str) -> [Vec<String>; 2] {
    let dir = folder(files);
    ["strict", "relaxed"].map(|profile| {
        let (_, report) = json(dir.path(), &["--profile", profile]);
        let all = report["violations"].as_array().unwrap();
        let of = all.iter().filter(|v| v["rule"] == rule && v["file"].as_str().unwrap().ends_with(file));
        of.map(|v| v["severity"].as_str().unwrap().to_owned()).collect()
    })
}

fn half(version: &str, name: &str, description: &str) -> String {
    format!(
        r#"{{"version":"{version}","name":"{name}","description":"{description}","database_type":"postgresql","migration_type":"schema"}}"#
    )
}

#[test]
fn n06_s1_74_s2_84_s4_51_what_has_no_way_back_is_graded_by_layout_and_profile() {
    let json_half = half("1.0.0", "orders", "Orders");
    let typed = |sql: &str, down: Option<&str>| {
        let mut files = vec![
            ("migrations/postgresql/001_orders.json", json_half.as_str()),
            ("migrations/postgresql/001_orders.sql", sql),
        ];
        files.extend(down.map(|down| ("migrations/postgresql/001_orders_rollback.sql", down)));
        let rule = if down.is_some() { "empty-down" } else { "missing-down" };
        graded(&files, ".sql", rule)
    };
    assert_eq!(typed("DROP TABLE orders;", None), [["error"], ["warning"]]);
    assert_eq!(typed("ALTER TABLE orders ADD COLUMN note text;", None), [["error"], ["warning"]]);
    assert_eq!(typed("CREATE TABLE orders (id bigint PRIMARY KEY);", None), [["warning"], ["info"]]);
    assert_eq!(typed("DROP TABLE orders;", Some("-- nothing\n")), [["error"], ["warning"]]);
    let up = "CREATE TABLE user_service.users (id bigint PRIMARY KEY);";
    let service = [("services/user-service/migrations/0001_create_users.up.sql", up)];
    assert_eq!(graded(&service, ".up.sql", "missing-down"), [["error"], ["warning"]]);
    let scripts = [("migrations/scripts/001_20240101_000000_users.sql", "CREATE TABLE users (id bigint PRIMARY KEY);")];
    assert_eq!(graded(&scripts, ".sql", "missing-down"), [["error"], ["warning"]]);
    let orphan = [("services/user-service/migrations/0002_gone.down.sql", "DROP TABLE user_service.gone;"), service[0]];
    assert_eq!(graded(&orphan, ".down.sql", "orphan-down"), [["error"], ["warning"]]);
    let numbered = [("migrations/0001_users.up.sql", "DROP TABLE users;")];
    assert_eq!(graded(&numbered, ".up.sql", "missing-down"), [["warning"], ["info"]]);
}

#[test]
fn n01_n02_n08_names_descriptions_and_settings_are_graded_by_profile() {
    let todo = half("1.0.0", "orders", "TODO");
    let pair = [
        ("migrations/postgresql/1_orders.json", todo.as_str()),
        ("migrations/postgresql/1_orders.sql", "CREATE TABLE orders (id bigint PRIMARY KEY);"),
        ("migrations/postgresql/1_orders_rollback.sql", "DROP TABLE orders;"),
    ];
    assert_eq!(graded(&pair, ".json", "file-name"), [["error"], ["error"]]);
    assert_eq!(graded(&pair, ".json", "vague-name"), [["warning"], ["info"]]);
    let users = "CREATE TABLE user_service.users (id bigint PRIMARY KEY);";
    let service = [
        ("services/user-service/migrations/003_users.up.sql", users),
        ("services/user-service/migrations/003_users.down.sql", "DROP TABLE user_service.users;"),
        ("services/user-service/migrations/environments.json", "{ \"staging\": { \"validation\": \"sometimes\" } }"),
    ];
    assert_eq!(graded(&service, ".up.sql", "file-name"), [["error"], ["error"]]);
    assert_eq!(graded(&service, "environments.json", "invalid-metadata"), [["error"], ["error"]]);
}

#[test]
fn n04_s4_45_number_and_version_that_disagree_are_graded_by_profile() {
    let (first, second) = (half("1.1.0", "orders", "Orders"), half("1.0.0", "items", "Items of orders"));
    let files = [
        ("migrations/postgresql/001_orders.json", first.as_str()),
        ("migrations/postgresql/001_orders.sql", "CREATE TABLE orders (id bigint PRIMARY KEY);"),
        ("migrations/postgresql/002_items.json", second.as_str()),
        ("migrations/postgresql/002_items.sql", "CREATE TABLE items (id bigint PRIMARY KEY);"),
    ];
    assert_eq!(graded(&files, "002_items.json", "version-order"), [["error"], ["warning"]]);
}
