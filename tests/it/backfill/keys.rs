//! Keys of every ordered type, and those that cannot be walked.

use crate::support::{BOTH, Kind, Project};

fn filled(kind: Kind, table: &str, key: &str) {
    let fill = format!(
        "-- godwit: backfill=\"Items\" key={key} batch=4\nupdate \"Items\" i set touched = touched + 1 where /* godwit:batch */ true and touched < 5;"
    );
    let fill = if kind == Kind::Sqlite { fill.replace("\" i set", "\" as i set") } else { fill };
    let project = Project::new(kind, &[("1_items.up.sql", table), ("2_fill.up.sql", &fill)]);
    let killed = project.run_killed_at("commit_acked:kill:3", &["apply", "--yes"]);
    assert_eq!(killed.code, None, "{killed:?}");
    project.run(&["resume"]).expect(0);
    let touched =
        project.database.query("select cast(touched as text), cast(count(*) as text) from \"Items\" group by touched");
    assert_eq!(touched, [["1", "20"]], "{kind:?} {key}: {table}");
}

#[test]
fn keys_of_every_ordered_type_are_walked() {
    for (columns, rows, key) in [
        ("id uuid primary key", "gen_random_uuid()", "id"),
        ("id text primary key", "'it''s \\ ' || n", "i.id"),
        ("id varchar(20) primary key", "chr(64 + n) || chr(96 + n)", "id"),
        ("\"At\" timestamptz primary key", "now() + n * interval '1 microsecond'", "i.\"At\""),
        ("id numeric(10, 3) primary key", "n / 7.0", "id"),
        ("id int generated always as identity primary key", "", "id"),
        ("a smallint not null, b date not null, unique (a, b)", "n % 3, date '2024-01-01' + n", "a,b"),
    ] {
        let insert = if rows.is_empty() {
            "insert into \"Items\" (touched) select 0 from generate_series(1, 20) n".to_owned()
        } else {
            format!("insert into \"Items\" select {rows}, 0 from generate_series(1, 20) n")
        };
        filled(Kind::Postgres, &format!("create table \"Items\" ({columns}, touched int not null);\n{insert};"), key);
    }
    for (columns, rows, key) in [
        ("id integer primary key", "i", "id"),
        ("id text not null primary key", "'it''s ' || i", "i.id"),
        ("id real not null unique", "i / 7.0", "id"),
        ("a integer not null, b text not null", "i % 3, 'x' || i", "a,b"),
    ] {
        let unique = if key == "a,b" { ", unique (a, b)" } else { "" };
        let table = format!(
            "create table \"Items\" ({columns}, touched integer not null{unique});\nwith recursive n(i) as (select 1 union all \
             select i + 1 from n where i < 20) insert into \"Items\" select {rows}, 0 from n;"
        );
        filled(Kind::Sqlite, &table, key);
    }
}

#[test]
fn a_key_that_cannot_be_walked_is_refused_before_anything_is_changed() {
    for (columns, why) in [
        ("id int, touched int", "may be NULL"),
        ("id int not null, touched int", "unique index"),
        ("other int primary key, touched int", "no column `id`"),
    ] {
        for kind in BOTH {
            let fill = "-- godwit: backfill=items key=id\nupdate items set touched = 1 where /* godwit:batch */ true;";
            let project = Project::new(kind, &[("1_fill.up.sql", fill)]);
            project.database.query(&format!("create table items ({columns})"));
            project.database.query("insert into items values (1, 0)");
            let said = project.run(&["apply", "--yes", "--format", "json"]);
            assert_ne!(said.code, Some(0), "{said:?}");
            assert!(said.stdout.contains(why), "{kind:?} {columns}: {said:?}");
            assert_eq!(project.database.one("select cast(touched as text) from items"), "0");
            if kind == Kind::Postgres {
                assert_eq!(said.json()["blocked_by"][0]["reason"], "impossible");
                assert!(!project.database.has_table("godwit_history"), "nothing is written");
            }
        }
    }
}

#[test]
fn a_mark_without_a_statement_and_a_statement_without_a_mark_are_refused() {
    for (text, part) in [
        ("-- godwit: backfill=items key=id\nupdate items set n = 1;", "no statement goes in the batches"),
        ("update items set n = 1 where /* godwit:batch */ true;", "nothing says how"),
        (
            "-- godwit: backfill=items key=id\nupdate items set n = 1 where /* godwit:batch */ true;\n\
             update items set n = 2 where /* godwit:batch */ true;",
            "a second statement in batches",
        ),
    ] {
        let project = Project::new(Kind::Sqlite, &[("1_fill.up.sql", text)]);
        let said = project.run(&["apply", "--yes"]);
        assert!(said.code != Some(0) && said.stdout.contains(part), "{said:?}");
    }
}

#[test]
fn the_script_as_it_stands_is_valid_sql_that_does_everything_at_once() {
    let text = "-- godwit: backfill=items key=id\nupdate items set n = 1 where /* godwit:batch */ true;";
    for kind in BOTH {
        let project = Project::new(kind, &[]);
        project.database.query("create table items (id int primary key, n int)");
        project.database.query("insert into items values (1, 0), (2, 0)");
        project.database.query(text);
        assert_eq!(project.database.one("select cast(sum(n) as text) from items"), "2");
    }
}
