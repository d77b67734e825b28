//! Expand and contract: what takes something away waits for a person.

use crate::support::{BOTH, Project};

const CONTRACT: &str = "-- godwit: phase=contract\ndrop table old_items;";

fn project(kind: crate::support::Kind) -> Project {
    Project::new(
        kind,
        &[
            ("1_items.up.sql", "create table old_items (n int);"),
            ("2_new.up.sql", "-- godwit: phase=expand\ncreate table items (n int);"),
            ("3_drop.up.sql", CONTRACT),
            ("4_more.up.sql", "create table more (n int);"),
        ],
    )
}

#[test]
fn a_contract_waits_for_its_release_while_later_ones_go_on() {
    for kind in BOTH {
        let project = project(kind);
        let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
        let release = "held: contract, release with `godwit release 3_drop --url … --path … --reason …`";
        assert!(plan["notes"][0].as_str().unwrap().contains(release), "{plan}");
        let said = project.run(&["apply", "--yes"]).expect(0);
        assert!(said.stdout.contains("3_drop is held: contract"), "{said:?}");
        assert_eq!(project.database.history(), ["1_items applied", "2_new applied", "4_more applied"], "{kind:?}");
        let status = project.run(&["status"]).expect(0);
        assert!(status.stdout.contains("held: contract"), "{status:?}");
        assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");

        project.run(&["release", "4_more", "--reason", "why not"]).expect(2);
        project.run(&["release", "3_drop", "--reason", " "]).expect(2);
        let said = project.run(&["release", "3_drop", "--reason", "version 4 is everywhere"]).expect(0).stdout;
        assert!(said.contains("`godwit apply --url … --path …`"), "{said}");
        let status = project.run(&["status"]).expect(0);
        assert!(!status.stdout.contains("held"), "{status:?}");
        // Higher versions are applied: for a released contract that is in order.
        project.run(&["apply", "--yes"]).expect(0);
        assert!(!project.database.has_table("old_items"), "{kind:?}");
    }
}

#[test]
fn a_release_holds_for_the_script_as_it_was_read() {
    for kind in BOTH {
        let project = project(kind);
        project.run(&["release", "3_drop", "--reason", "looked at it"]).expect(0);
        project.write("3_drop.up.sql", &format!("{CONTRACT}\ndrop table items;"));
        let said = project.run(&["apply", "--yes"]).expect(0);
        assert!(said.stdout.contains("3_drop is held"), "{said:?}");
        assert!(project.database.has_table("old_items") && project.database.has_table("items"), "{kind:?}");
    }
}

#[test]
fn a_release_is_in_the_audit_log() {
    let project = project(crate::support::Kind::Sqlite);
    project.run(&["release", "3_drop", "--reason", "looked at it"]).expect(0);
    let mut audit = crate::support::godwit(project.dir.path());
    let said: crate::support::Said = audit.args(["audit", "list", "--format", "json"]).output().unwrap().into();
    assert!(said.stdout.contains("release") && said.stdout.contains("looked at it"), "{said:?}");
}

#[test]
fn the_json_half_of_a_pair_says_the_same() {
    use crate::support::Kind;

    let project = Project::new(Kind::Postgres, &[]);
    // A folder named after its kind of database is of the typed layout.
    let folder = project.dir.path().join("postgresql");
    std::fs::create_dir(&folder).unwrap();
    let run = |args: &[&str], failpoint: Option<&str>| -> crate::support::Said {
        let mut command = crate::support::godwit(project.dir.path());
        command.arg(args[0]).args(["--url", &project.database.url, "--path"]).arg(&folder).args(&args[1..]);
        command.envs(failpoint.map(|point| ("GODWIT_FAILPOINT", point)));
        command.output().unwrap().into()
    };
    project.database.query("create table people (id bigint primary key, first text, name text)");
    project.database.query("insert into people select n, 'n' || n, null from generate_series(1, 25) n");
    let pair = |number: u32, name: &str, keys: &str, sql: &str| {
        let json = format!(
            "{{\"version\": \"1.{number}.0\", \"name\": \"{name}\", \"description\": \"A test of phases, BREAKING\", \
             \"database_type\": \"postgresql\", \"migration_type\": \"data\", {keys}}}"
        );
        std::fs::write(folder.join(format!("{number:03}_{name}.json")), &json).unwrap();
        std::fs::write(folder.join(format!("{number:03}_{name}.sql")), sql).unwrap();
    };
    pair(1, "expand", "\"phase\": \"expand\"", "alter table people add column full_name text;");
    pair(
        2,
        "fill",
        "\"phase\": \"backfill\", \"backfill\": {\"table\": \"people\", \"key\": \"id\", \"batch\": 10, \"pause\": \"1ms\"}",
        "update people set full_name = coalesce(full_name, '') || first where /* godwit:batch */ true;",
    );
    pair(3, "contract", "\"phase\": \"contract\"", "alter table people drop column name;");
    // Killed behind its first batch, it goes on: nobody is named twice.
    let killed = run(&["apply", "--yes"], Some("commit_acked:kill:2"));
    assert_eq!(killed.code, None, "{killed:?}");
    let said = run(&["apply", "--yes"], None).expect(0);
    assert!(said.stdout.contains("003_contract is held: contract"), "{said:?}");
    assert_eq!(project.database.one("select count(*)::text from people where full_name = first"), "25");
    assert_eq!(project.database.history(), ["001_expand applied", "002_fill applied"]);
    run(&["release", "003_contract", "--reason", "version 4 is everywhere"], None).expect(0);
    run(&["apply", "--yes"], None).expect(0);
    assert_eq!(project.database.history().len(), 3);

    // Operations have phases too.
    let project = Project::new(Kind::Mongodb, &[]);
    let operations = "[{ \"type\": \"drop_collection\", \"collection\": \"old\" }]";
    project.database.mongo(&serde_json::json!({ "create": "old" })).unwrap();
    let json = format!(
        "{{\"version\": \"1.0.0\", \"name\": \"drop_old\", \"description\": \"Takes the old form away\", \
         \"database_type\": \"mongodb\", \"migration_type\": \"schema\", \"phase\": \"contract\", \"operations\": {operations}}}"
    );
    project.write("001_drop_old.json", &json);
    let said = project.run(&["apply", "--yes"]).expect(0);
    assert!(said.stdout.contains("001_drop_old is held: contract"), "{said:?}");
    project.run(&["release", "001_drop_old", "--reason", "nobody reads it"]).expect(0);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.history(), ["001_drop_old applied"]);
}
