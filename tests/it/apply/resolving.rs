//! What a person may say of a migration that stopped or is done, and what a mended file makes of it.

use super::told;
use crate::support::{BOTH, Database, Kind, Project, Said, godwit};

/// Three statements, each by itself; the third cannot be done.
const THREE: &str = "-- godwit: no-transaction\ncreate table one (n integer);\ncreate table two (n integer);\ncreate table two (m integer);\n";

#[test]
fn r18_what_is_applied_is_not_tried_again_on_a_word() {
    for kind in BOTH {
        let project =
            Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);\ninsert into a values (1);")]);
        project.run(&["apply", "--yes"]).expect(0);
        let said = project.run(&["resolve", "0001_a", "--as", "retry", "--reason", "again"]).expect(2);
        for part in ["`0001_a` is applied", "godwit rollback 0001_a", "--as rolled-back"] {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
        assert_eq!(project.database.history(), ["0001_a applied"], "{kind:?}");
        assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
        // Whoever says that nothing of it is there says more than that it be tried.
        project.database.query("drop table a");
        project.run(&["resolve", "0001_a", "--as", "rolled-back", "--reason", "dropped"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("a"));
    }
}

#[test]
fn a_statement_that_failed_and_was_mended_is_gone_on_with() {
    for kind in BOTH {
        let project = Project::new(kind, &[("1_three.up.sql", THREE)]);
        project.run(&["apply", "--yes"]).expect(1);
        assert_eq!(project.database.history(), ["1_three failed"]);
        project.write("1_three.up.sql", &THREE.replace("two (m", "three (m"));
        let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
        assert_eq!(plan["steps"][0]["migration"], "1_three", "{kind:?}: {plan}");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.history(), ["1_three applied"], "{kind:?}");
        for table in ["one", "two", "three"] {
            assert!(project.database.has_table(table), "{kind:?}: {table}");
        }
        assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
    }
}

#[test]
fn what_was_done_and_reads_otherwise_now_is_refused_with_every_way_out() {
    for kind in BOTH {
        let changed = THREE.replace("one (n", "one (other").replace("two (m", "three (m");
        let stopped = || {
            let project = Project::new(kind, &[("1_three.up.sql", THREE)]);
            project.run(&["apply", "--yes"]).expect(1);
            project.write("1_three.up.sql", &changed);
            project
        };
        let project = stopped();
        let (message, what_to_do) = told(&project, &["apply"], 4);
        assert!(message.contains("edited after 2 of its statements"), "{message}");
        for part in [
            "put the file back and run `godwit resume`",
            "`godwit resolve 1_three --as retry --reason …`",
            "goes on in line 4",
            "`godwit resolve 1_three --as rolled-back --reason …`",
            "`godwit resolve 1_three --as applied --reason …`",
        ] {
            assert!(what_to_do.contains(part), "{part}: {what_to_do}");
        }
        assert!(!project.database.has_table("three"));
        // Each of them does lead out.
        project.run(&["resolve", "1_three", "--as", "retry", "--reason", "renamed by hand"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("three"), "{kind:?}");
        let project = stopped();
        project.database.query("drop table one");
        project.database.query("drop table two");
        project.run(&["resolve", "1_three", "--as", "rolled-back", "--reason", "dropped"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("three"), "{kind:?}");
        let project = stopped();
        project.run(&["resolve", "1_three", "--as", "applied", "--reason", "made the third"]).expect(0);
        assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
    }
}

#[test]
fn without_the_store_nobody_knows_what_was_done_and_a_person_is_asked() {
    for kind in BOTH {
        let project = Project::new(kind, &[("1_three.up.sql", THREE)]);
        project.run(&["apply", "--yes"]).expect(1);
        project.write("1_three.up.sql", &THREE.replace("two (m", "three (m"));
        std::fs::remove_dir_all(project.dir.path().join("state")).unwrap();
        assert!(told(&project, &["apply"], 4).0.contains("edited after 2"), "{kind:?}");
        // A file that ends before what is done leaves nothing to go on with.
        project.write("1_three.up.sql", "-- godwit: no-transaction\ncreate table one (n integer);");
        let said = project.run(&["resolve", "1_three", "--as", "retry", "--reason", "shorter"]).expect(4);
        assert!(said.stderr.contains("there is none to go on with"), "{said:?}");
    }
}

#[test]
fn dec15_of_two_migrations_with_one_id_the_one_that_is_named_is_settled_and_undone() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Database::fresh(Kind::Sqlite));
    for (name, text) in [
        (
            "godwit.yml",
            "version: 1\nenvironments: [development]\nmigrations:\n  - path: \"*\"\n    engine: sqlite\n    target: shop\n",
        ),
        ("policies/environments.yml", "development:\n  targets:\n    shop: { engine: sqlite, url: \"${SHOP_URL}\" }\n"),
        ("billing/0001_init.up.sql", "create table bills (n integer);"),
        ("billing/0001_init.down.sql", "drop table bills;"),
        ("stock/0001_init.up.sql", "create table stock (n integer);"),
        ("stock/0001_init.down.sql", "drop table stock;"),
    ] {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let run = |args: &[&str]| -> Said {
        godwit(dir.path()).args(args).env("SHOP_URL", &database.url).output().unwrap().into()
    };
    run(&["apply", "development", "--yes"]).expect(0);
    for args in [
        &["resolve", "0001_init", "--env", "development", "--as", "rolled-back", "--reason", "dropped"][..],
        &["release", "0001_init", "--env", "development", "--reason", "now"],
        &["rollback", "development", "0001_init", "--yes"],
    ] {
        let said = run(args);
        let text = format!("{}{}", said.stdout, said.stderr);
        for part in ["several migrations are called `0001_init`", "`billing/0001_init`", "`stock/0001_init`"] {
            assert!(text.contains(part), "{args:?}: {part}: {said:?}");
        }
    }
    assert_eq!(database.history(), ["0001_init applied", "0001_init applied"]);
    run(&["rollback", "development", "stock/0001_init", "--yes"]).expect(0);
    assert!(database.has_table("bills") && !database.has_table("stock"));
    database.query("drop table bills");
    run(&["resolve", "billing/0001_init", "--env", "development", "--as", "rolled-back", "--reason", "dropped"])
        .expect(0);
    assert_eq!(database.history(), ["0001_init rolled_back", "0001_init rolled_back"]);
}
