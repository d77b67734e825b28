//! `godwit rehearse`: a scratch database, forward, back and forward again.

use crate::support::{Kind, Project, Said, postgres_server};

fn rehearse(project: &Project, args: &[&str]) -> Said {
    let url = match project.database.kind {
        Kind::Postgres => postgres_server(),
        _ => "sqlite:".to_owned(),
    };
    let mut command = crate::support::godwit(project.dir.path());
    command.arg("rehearse").arg(project.migrations()).args(["--url", &url]).args(args).output().unwrap().into()
}

const SOUND: [(&str, &str); 3] = [
    ("1_a.up.sql", "create table a (id integer primary key, n text); -- end"),
    ("1_a.down.sql", "drop table a;"),
    ("2_b.up.sql", "alter table a add column b integer"),
];

#[test]
fn s2_108_a_sound_history_is_told_with_its_times_and_leaves_nothing() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        project.write("2_b.down.sql", "alter table a drop column b;");
        let said = rehearse(&project, &["--format", "json"]).expect(0).json();
        let tried = said["migrations"].as_array().unwrap();
        assert_eq!(tried.len(), 2);
        assert!(tried.iter().all(|t| t["took_ms"].as_array().unwrap().len() == 3), "{said}");
        if kind == Kind::Postgres {
            assert_eq!(tried[0]["locks"], serde_json::json!([]), "a new table holds up nobody");
            let locks = tried[1]["locks"].as_array().unwrap();
            assert!(locks.iter().any(|l| l["relation"] == "public.a" && l["mode"] == "AccessExclusive"), "{locks:?}");
            assert_eq!(project.database.one("select count(*)::text from pg_database where datname like 'godwit_scratch%' and datname not in (select datname from pg_stat_activity where datname is not null)"), "0");
        }
        assert!(!project.database.has_table("a"), "the database itself is not touched");
    }
}

#[test]
fn s2_110_a_way_back_that_does_not_restore_is_shown() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        project.write("2_b.down.sql", "alter table a drop column b; create table left_over (n integer);");
        let said = rehearse(&project, &[]).expect(1);
        assert!(said.stdout.contains("did not restore") && said.stdout.contains("left_over"), "{said:?}");
        // Only the one asked for is tried.
        rehearse(&project, &["--only", "1_a"]).expect(0);
    }
}

#[test]
fn what_cannot_run_and_what_is_missing_is_told() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let project = Project::new(kind, &SOUND);
        let said = rehearse(&project, &[]).expect(0);
        assert!(said.stdout.contains("no way back"), "{said:?}");
        project.write("3_c.up.sql", "insert into nowhere values (1);");
        let said = rehearse(&project, &[]).expect(1);
        assert!(said.stdout.contains("the way forward") && said.stdout.contains("nowhere"), "{said:?}");
        rehearse(&project, &["--only", "9"]).expect(2);
    }
}
