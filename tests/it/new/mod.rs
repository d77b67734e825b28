//! `godwit new`: what it writes is numbered for its folder, passes the linter and undoes itself.

use std::path::Path;

use crate::support::{Said, godwit};

const LAYOUTS: [&str; 11] =
    ["numbered", "typed", "diesel", "service", "scripts", "prisma", "flyway", "goose", "sql-migrate", "sqlx", "dbmate"];
/// Types with the column that each is about, so that every one can follow the others.
const TYPES: [(&str, &str); 7] = [
    ("table", "status"),
    ("schema", "status"),
    ("index", "status"),
    ("data", "status"),
    ("hotfix", "status"),
    ("expand", "note"),
    ("contract", "note"),
];

fn run(dir: &Path, args: &[&str]) -> Said {
    godwit(dir).args(args).output().unwrap().into()
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(dir: &Path, path: &str) -> String {
    std::fs::read_to_string(dir.join(path)).unwrap()
}

/// Writes a migration of every type behind each other; the linter finds no error and counts each of them.
fn every_type(layout: Option<&str>, engine: &str) {
    let dir = tempfile::tempdir().unwrap();
    for (n, (kind, column)) in TYPES.iter().enumerate() {
        let name = format!("{kind}_orders");
        let mut args = vec![
            "new", &name, "--engine", engine, "--type", kind, "--table", "orders", "--column", column, "--format",
            "json",
        ];
        args.extend(layout.into_iter().flat_map(|l| ["--layout", l]));
        if layout == Some("service") {
            args.extend(["--service", "order-service"]);
        }
        let said = run(dir.path(), &args).expect(0);
        assert!(said.json()["migration"].as_str().unwrap().ends_with(&name), "{said:?}");
        let mut lint = vec!["lint", "--format", "json"];
        // Nothing but the configuration tells sqlx's folders.
        if layout == Some("sqlx") {
            write(
                dir.path(),
                "godwit.yml",
                &format!("version: 1\nmigrations: [{{ path: migrations, layout: sqlx, engine: {engine} }}]\n"),
            );
        } else if engine == "sqlite" && layout.is_some_and(|l| l != "prisma") {
            lint.extend(["--engine", "sqlite"]);
            // The folder's name does not say the engine in most layouts.
            let path = said.json()["files"][0].as_str().unwrap().to_owned();
            let unit = if path.contains("/scripts/") {
                "migrations/scripts".to_owned()
            } else {
                root_of(layout.unwrap(), engine)
            };
            write(
                dir.path(),
                "godwit.yml",
                &format!("version: 1\nmigrations: [{{ path: {unit}, layout: {}, engine: sqlite }}]\n", layout.unwrap()),
            );
        }
        let report = run(dir.path(), &lint);
        assert_eq!(report.code, Some(0), "{layout:?} {engine} {kind}: {}\n{}", report.stdout, report.stderr);
        let found = report.json();
        assert_eq!(found["migrations"].as_array().unwrap().len(), n + 1, "{layout:?} {engine} {kind}: {found}");
        let strays: Vec<_> = found["violations"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|v| v["category"] == "structure" && v["rule"] != "missing-down")
            // One that is marked as meant is told, and no stray.
            .filter(|v| !(v["rule"] == "unprovable-step" && v["severity"] == "warning"))
            .collect();
        assert!(strays.is_empty(), "{layout:?} {engine} {kind}: {strays:?}");
    }
}

fn root_of(layout: &str, engine: &str) -> String {
    match layout {
        "numbered" | "typed" => format!("migrations/{engine}"),
        "flyway" => "db/migration".to_owned(),
        "dbmate" => "db/migrations".to_owned(),
        "service" => "services/*/migrations".to_owned(),
        _ => "migrations".to_owned(),
    }
}

#[test]
fn s2_28_every_type_in_every_layout_passes_the_linter() {
    for layout in LAYOUTS {
        every_type(Some(layout), "postgresql");
    }
}

#[test]
fn every_type_for_sqlite_passes_the_linter() {
    for layout in LAYOUTS.iter().filter(|l| !["service", "prisma"].contains(l)) {
        every_type(Some(layout), "sqlite");
    }
}

#[test]
fn s4_47_every_type_of_every_engine_with_operations_passes_the_linter() {
    for engine in ["mongodb", "redis", "elasticsearch"] {
        every_type(None, engine);
    }
}

#[test]
fn s1_32_s1_75_a_service_gets_its_schema_and_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let new = |name: &str, more: &[&str]| {
        let args = [&["create", "--layout", "service", "--service", "user-service", "--name", name], more].concat();
        run(dir.path(), &args)
    };
    new("create_users", &["--type", "table"]).expect(0);
    new("add_user_profiles", &["--type", "table"]).expect(0);
    let unit = "services/user-service/migrations";
    let up = read(dir.path(), &format!("{unit}/0002_add_user_profiles.up.sql"));
    assert!(up.contains("CREATE TABLE user_service.user_profiles ("), "{up}");
    let declared: serde_json::Value =
        serde_json::from_str(&read(dir.path(), &format!("{unit}/dependencies.json"))).unwrap();
    assert_eq!(
        declared["migrations"]["0002_add_user_profiles"]["depends_on"],
        serde_json::json!(["0001_create_users"])
    );
    assert_eq!(declared["schema"], "user_service");
    // A file that cannot be read is mended first, and nothing is half done.
    write(dir.path(), &format!("{unit}/dependencies.json"), "{");
    let said = new("third", &[]).expect(2);
    assert!(said.stderr.contains("dependencies.json:1"), "{}", said.stderr);
    assert!(!dir.path().join(unit).join("0003_third.up.sql").exists());
}

#[test]
fn s2_08_s2_29_the_flags_of_scripts_stand_in_their_header() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(
        dir.path(),
        &[
            "create",
            "--layout",
            "scripts",
            "--type",
            "SCHEMA_CHANGE",
            "--description",
            "Add user preferences table",
            "--risk",
            "LOW",
            "--duration",
            "5m",
            "--author",
            "john.doe",
            "--ticket",
            "PROJ-123",
            "--format",
            "json",
        ],
    )
    .expect(0);
    let files = said.json();
    let path = files["files"][0].as_str().unwrap();
    assert!(path.starts_with("migrations/scripts/001_") && path.ends_with("_add_user_preferences_table.sql"), "{path}");
    let text = read(dir.path(), path);
    assert!(
        text.starts_with(
            "-- Migration: Add user preferences table\n-- Type: SCHEMA_CHANGE\n-- Risk: LOW\n-- Duration: 5m\n-- Author: john.doe\n-- Ticket: PROJ-123\n"
        ),
        "{text}"
    );
    assert!(files["files"][1].as_str().unwrap().starts_with("migrations/rollbacks/001_"), "{files}");
}

#[test]
fn s2_17_templates_of_the_repository_go_first_and_nothing_is_overwritten_or_guessed() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "templates/table.up.sql",
        "-- {{description}} by {{author}}\nCREATE TABLE {{table}} (id bigint primary key);\n",
    );
    write(dir.path(), "db/0007_x.up.sql", "select 1;");
    write(dir.path(), "db/0007_x.down.sql", "select 1;");
    run(dir.path(), &["new", "create_carts", "--type", "table", "--author", "ada"]).expect(0);
    assert_eq!(
        read(dir.path(), "db/0008_create_carts.up.sql"),
        "-- Create carts by ada\nCREATE TABLE carts (id bigint primary key);\n"
    );
    assert_eq!(read(dir.path(), "db/0008_create_carts.down.sql"), "DROP TABLE IF EXISTS carts;\n");
    // Two folders: none is guessed.
    write(dir.path(), "other/migrations/0001_y.up.sql", "select 1;");
    let said = run(dir.path(), &["new", "a"]).expect(2);
    assert!(said.stderr.contains("`db` (numbered, postgresql) or `other/migrations`"), "{}", said.stderr);
    run(dir.path(), &["new", "a", "--path", "db"]).expect(0);
    for (args, part) in [
        (&["new"][..], "say what it is called"),
        (&["new", "!!!"], "give a name"),
        (&["new", "a", "--path", "../elsewhere"], "does not lie in the repository"),
        (&["new", "a", "--table", "x; drop"], "beginning with a letter"),
        (&["new", "a", "--description", "a\nb"], "one line"),
        (&["new", "a", "--engine", "redis", "--layout", "flyway"], "`typed` only"),
    ] {
        let said = run(dir.path(), args).expect(2);
        assert!(said.stderr.contains(part), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn s2_137_a_pair_of_expand_and_contract_says_so_in_every_engine() {
    for engine in ["mongodb", "redis", "elasticsearch"] {
        let dir = tempfile::tempdir().unwrap();
        for (kind, phase) in [("expand", "expand"), ("data", ""), ("contract", "contract")] {
            let args = ["new", &format!("{kind}_orders"), "--engine", engine, "--type", kind, "--table", "orders"];
            let said = run(dir.path(), &[&args[..], &["--format", "json"]].concat()).expect(0).json();
            let files = said["files"].as_array().unwrap();
            let file = files.iter().filter_map(|f| f.as_str()).find(|f| f.ends_with(".json")).unwrap();
            let json: serde_json::Value = serde_json::from_str(&read(dir.path(), file)).unwrap();
            assert_eq!(json["phase"].as_str().unwrap_or_default(), phase, "{engine} {kind}: {json}");
        }
    }
}

#[test]
fn s2_17_a_template_with_a_word_that_means_nothing_there_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let up = "templates/table.up.sql";
    for (text, parts) in [
        (
            "select 1;\n-- {{ schema }}\n",
            &["templates/table.up.sql:2: `{{ schema }}` has no value here", "`service`"][..],
        ),
        ("-- {{version}}\n", &["`{{version}}` has no value here", "`typed`"]),
        ("-- {{nmae}} {{tabel}}\n", &["`{{nmae}}` means nothing", "`{{tabel}}` means nothing", "`{{name}}`, "]),
    ] {
        write(dir.path(), up, text);
        let said = run(dir.path(), &["new", "create_carts", "--type", "table"]).expect(2);
        for part in parts {
            assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
        }
        assert!(!dir.path().join("migrations").exists(), "{text}");
    }
    // In the way back alone: the way forward is not written either.
    write(dir.path(), up, "select '{{1,2},{3,4}}', '{{ name }}', '{{table}}';\n");
    write(dir.path(), "templates/table.down.sql", "{{up}}");
    run(dir.path(), &["new", "create_carts", "--type", "table"]).expect(2);
    assert!(!dir.path().join("migrations").exists());
    std::fs::remove_file(dir.path().join("templates/table.down.sql")).unwrap();
    run(dir.path(), &["new", "create_carts", "--type", "table", "--description", "{{table}} of it"]).expect(0);
    let written = read(dir.path(), "migrations/postgresql/0001_create_carts.up.sql");
    assert!(written.contains("'{{1,2},{3,4}}', 'create_carts', 'carts'"), "{written}");
    write(dir.path(), up, "create table {{schema}}.{{table}} (id bigint primary key);\n");
    let made = ["new", "create_carts", "--type", "table", "--layout", "service", "--service", "cart-service"];
    run(dir.path(), &made).expect(0);
    let written = read(dir.path(), "services/cart-service/migrations/0001_create_carts.up.sql");
    assert!(written.contains("create table cart_service.carts ("), "{written}");
}

#[test]
fn what_cannot_be_read_takes_its_number_and_letters_beyond_ascii_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "migrations/mongodb/001_x.json", "{ broken");
    run(dir.path(), &["new", "add_y", "--engine", "mongodb"]).expect(0);
    assert!(dir.path().join("migrations/mongodb/002_add_y.json").exists());
    for args in [&["new", "Ünïcode"][..], &["new", "--description", "Größe der Bestellungen"]] {
        let said = run(dir.path(), &[args, &["--engine", "mongodb"]].concat()).expect(2);
        assert!(said.stderr.contains("a–z, digits and `_`, not `"), "{}", said.stderr);
    }
    let said =
        run(dir.path(), &["new", "sizes", "--description", "Größe der Bestellungen", "--engine", "mongodb"]).expect(0);
    assert!(read(dir.path(), "migrations/mongodb/003_sizes.json").contains("Größe der Bestellungen"), "{said:?}");
}

#[test]
fn s0_21_templates_of_redis_do_what_their_type_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for kind in ["table", "schema", "data", "contract"] {
        let name = format!("{kind}_orders");
        run(dir.path(), &["new", &name, "--engine", "redis", "--type", kind, "--table", "orders"]).expect(0);
        let stem = format!("migrations/redis/{:03}_{name}", texts.len() + 1);
        texts.push((read(dir.path(), &format!("{stem}.lua")), read(dir.path(), &format!("{stem}_rollback.lua"))));
    }
    let [table, schema, data, contract] = &texts[..] else { panic!("{texts:?}") };
    assert!(table.0.contains("EXPIRE") && table.1.contains("PERSIST"), "{table:?}");
    assert!(schema.0.contains("HSETNX") && schema.1.contains("HDEL"), "{schema:?}");
    assert!(data.0.contains("== ARGV[2]") && data.1.contains("== ARGV[3]"), "{data:?}");
    assert!(contract.0.contains("HDEL") && contract.1.contains("HSETNX"), "{contract:?}");
}

#[test]
fn a_folder_that_the_configuration_does_not_cover_is_told_with_the_entry_it_needs() {
    for (layout, more, path) in [
        ("service", &["--service", "user-service"][..], "services/*/migrations"),
        ("scripts", &[], "migrations/scripts"),
        ("prisma", &[], "prisma/migrations"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = "version: 1\nmigrations:\n  - path: db/other\n";
        write(dir.path(), "godwit.yml", config);
        let new = |name: &str| run(dir.path(), &[&["new", name, "--layout", layout], more].concat()).expect(0).stdout;
        let said = new("create_users");
        let entry = format!("  - path: \"{path}\"\n    layout: {layout}\n    engine: postgresql\n");
        assert!(said.contains("`godwit.yml` does not cover this folder") && said.contains(&entry), "{layout}: {said}");
        let lint = || run(dir.path(), &["lint", "--format", "json"]).json()["migrations"].as_array().unwrap().len();
        assert_eq!(lint(), 0, "{layout}");
        // As it says: then both are seen, and nothing more is said.
        write(dir.path(), "godwit.yml", &format!("{config}{entry}"));
        assert_eq!(lint(), 1, "{layout}");
        let said = new("create_carts");
        assert!(!said.contains("does not cover"), "{layout}: {said}");
        assert_eq!(lint(), 2, "{layout}");
    }
}

#[test]
fn s2_08_words_that_make_a_table_take_the_template_of_a_table() {
    let dir = tempfile::tempdir().unwrap();
    for (description, made) in [
        ("Add user preferences table", Some("user_preferences")),
        ("Create carts table", Some("carts")),
        ("Add note to orders table", None),
        ("Add preferences", None),
    ] {
        let args = ["new", "--layout", "scripts", "--type", "SCHEMA_CHANGE", "--description", description];
        let said = run(dir.path(), &[&args[..], &["--format", "json"]].concat()).expect(0).json();
        let text = read(dir.path(), said["files"][0].as_str().unwrap());
        assert!(text.contains("-- Type: SCHEMA_CHANGE\n"), "{text}");
        match made {
            Some(table) => {
                assert!(text.contains(&format!("CREATE TABLE {table} (")), "{description}: {text}")
            }
            None => assert!(!text.contains("CREATE TABLE"), "{description}: {text}"),
        }
    }
}

#[test]
fn s2_08_a_folder_of_prisma_that_sorts_behind_every_time_is_told() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "prisma/migrations/20240101000000_a/migration.sql", "CREATE TABLE t (id bigint PRIMARY KEY);\n");
    let said = run(dir.path(), &["new", "next", "--type", "table"]).expect(0);
    assert!(!said.stderr.contains("comes behind"), "{}", said.stderr);
    write(
        dir.path(),
        "prisma/migrations/organization_module/migration.sql",
        "CREATE TABLE o (id bigint PRIMARY KEY);\n",
    );
    let said = run(dir.path(), &["new", "further", "--type", "table"]).expect(0);
    assert!(said.stderr.contains("note: `organization_module` comes behind it by its name"), "{}", said.stderr);
}

#[test]
fn words_of_sql_are_quoted_and_the_name_of_a_way_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, args) in [
        ("create_order", &["--type", "table"][..]),
        ("index_order", &["--type", "index", "--table", "order", "--column", "user"]),
        ("fill_order", &["--type", "data", "--table", "order", "--column", "user"]),
        ("drop_user", &["--type", "contract", "--table", "order", "--column", "user"]),
    ] {
        run(dir.path(), &[&["new", name], args].concat()).expect(0);
    }
    assert!(read(dir.path(), "migrations/postgresql/0001_create_order.up.sql").contains("CREATE TABLE \"order\" ("));
    let said = run(dir.path(), &["lint", "--format", "json"]).json();
    let broken: Vec<_> =
        said["violations"].as_array().unwrap().iter().filter(|v| v["rule"] == "syntax-error").collect();
    assert!(broken.is_empty(), "{broken:?}");
    let refused = run(dir.path(), &["new", "create_order_rollback"]).expect(2);
    assert!(refused.stderr.contains("undo_create_order"), "{}", refused.stderr);
}

#[test]
fn a_first_migration_goes_to_the_folder_that_the_configuration_names() {
    let dir = tempfile::tempdir().unwrap();
    let new = |name: &str, more: &[&str]| run(dir.path(), &[&["new", name, "--format", "json"], more].concat());
    let up = |said: &Said| said.json()["files"].as_array().unwrap().iter().any(|f| f == "db/0001_create_a.up.sql");
    write(dir.path(), "godwit.yml", "version: 1\nmigrations:\n  - path: db\n");
    let said = new("create_a", &[]).expect(0);
    assert!(up(&said) && said.json()["missing_entry"].is_null(), "{said:?}");
    let said = new("create_b", &[]).expect(0);
    assert_eq!(said.json()["migration"], "0002_create_b", "{said:?}");

    // What the entry says of the folder holds; where several are empty, they are named.
    write(
        dir.path(),
        "godwit.yml",
        "version: 1\nmigrations:\n  - { path: one, layout: diesel, engine: sqlite }\n  - { path: two/mongodb }\n",
    );
    let said = new("first", &[]).expect(2);
    assert!(said.stderr.contains("`one` or `two/mongodb`"), "{said:?}");
    let said = new("first", &["--engine", "sqlite"]).expect(0);
    assert_eq!((&said.json()["layout"], &said.json()["engine"]), (&"diesel".into(), &"sqlite".into()), "{said:?}");
    let said = new("second", &["--engine", "mongodb"]).expect(0);
    assert_eq!(said.json()["files"], serde_json::json!(["two/mongodb/001_second.json"]));

    // A folder that no entry covers is counted on all the same.
    for (n, name) in ["x", "y"].iter().enumerate() {
        let said = new(name, &["--path", "elsewhere"]).expect(0);
        assert_eq!(said.json()["migration"], format!("000{}_{name}", n + 1), "{said:?}");
        assert!(said.json()["missing_entry"].is_string(), "{said:?}");
    }
}
