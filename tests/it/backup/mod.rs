//! Backups: required ones before runs, verified by restoring them, refused when damaged, brought back whole (SPEC 8, R-24).

mod before_rollbacks;
mod documents;
mod keys_and_indices;
mod ledger;
mod world;

use std::process::Command;

use crate::support::{BOTH, Kind};
use world::World;

const FIRST: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n";
const SECOND: &str = "DROP TABLE item;\n";

/// A database of one migration, some rows and, on PostgreSQL, all kinds of objects.
fn filled(kind: Kind) -> World {
    let world = World::new(kind);
    world.write("db/0001_item.up.sql", FIRST);
    world.write("db/0001_item.down.sql", "DROP TABLE item;\n");
    world.run(&["apply", "development", "--yes"]).expect(0);
    world.database.query("INSERT INTO item VALUES (1, 'it''s'), (2, 'ümlaut')");
    if kind == Kind::Postgres {
        for sql in [
            "CREATE SCHEMA side",
            "CREATE TYPE side.colour AS ENUM ('red', 'green')",
            "CREATE TABLE side.thing (id bigserial PRIMARY KEY, c side.colour, at timestamptz DEFAULT now(), b bytea)",
            "INSERT INTO side.thing (c, b) SELECT 'red', decode('00ff0a5c', 'hex') FROM generate_series(1, 500)",
            "CREATE INDEX thing_c ON side.thing (c) WHERE c = 'red'",
            "CREATE VIEW public.reds AS SELECT id FROM side.thing WHERE c = 'red'",
            "CREATE MATERIALIZED VIEW public.few AS SELECT count(*) AS n FROM side.thing",
            "CREATE FUNCTION public.twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN\nCOMMIT;\nRETURN n * 2;\nEND $$",
            "CREATE SEQUENCE public.numbers START 40",
            "SELECT nextval('public.numbers'), nextval('public.numbers')",
            "CREATE DOMAIN public.positive AS int CHECK (VALUE > 0)",
            "CREATE PUBLICATION everything FOR ALL TABLES",
            "SELECT lo_from_bytea(4711, decode('cafe', 'hex'))",
        ] {
            world.database.query(sql);
        }
        world.run(&["drift", "development", "--accept", "--reason", "made by the test"]).expect(0);
    }
    world
}

/// Everything worth comparing.
fn state(world: &World) -> Vec<Vec<String>> {
    let mut all = world.database.query("SELECT CAST(id AS TEXT), name FROM item ORDER BY id");
    if world.database.kind == Kind::Postgres {
        for sql in [
            "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM side.thing t",
            "SELECT last_value::text, is_called::text FROM public.numbers",
            "SELECT last_value::text FROM side.thing_id_seq",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'side' ORDER BY 1",
            "SELECT count(*)::text FROM public.reds",
            "SELECT n::text FROM public.few",
            "SELECT pg_get_functiondef('public.twice'::regproc)",
            "SELECT encode(lo_get(4711), 'hex')",
            "SELECT pubname::text FROM pg_publication",
            "SELECT typname::text FROM pg_type WHERE typname IN ('positive', 'colour') ORDER BY 1",
        ] {
            all.extend(world.database.query(sql));
        }
    }
    all
}

#[test]
fn r24_a_required_backup_is_made_verified_recorded_and_brought_back() {
    for kind in BOTH {
        let world = filled(kind);
        let before = state(&world);
        world.write("db/0002_gone.up.sql", SECOND);
        let planned = world.run(&["plan", "development", "--format", "json"]).json();
        assert!(planned["backup"].as_str().unwrap().contains("`development` requires one"), "{planned}");
        assert_eq!(world.files().len(), 2, "one backup with its meta, from before the first run; a plan makes none");

        let report =
            world.run(&["apply", "development", "--yes", "--accept-data-loss", "--format", "json"]).expect(0).json();
        let name = report["backup"].as_str().unwrap().to_owned();
        assert!(name.starts_with("migration_backup_20"), "{name}");
        assert!(!world.database.has_table("item"));
        let meta = world.meta(&name);
        assert_eq!((&meta["environment"], &meta["region"]), (&"development".into(), &"eu-west".into()));
        assert_eq!((&meta["verified"]["ok"], &meta["pending"][0]), (&true.into(), &"0002_gone".into()), "{meta}");
        assert_eq!(meta["run_id"], report["run"]);
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(world.shelf().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let listed = world.run(&["backups", "--env", "development", "--format", "json"]).expect(0).json();
        assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
        assert_eq!(listed["backups"][0]["backup_file"], name.as_str());
        assert_eq!(listed["backups"][0]["reachable"], true);

        if kind == Kind::Postgres {
            for sql in ["DROP SCHEMA side CASCADE", "CREATE TABLE public.later (id int)", "SELECT lo_unlink(4711)"] {
                world.database.query(sql);
            }
        }
        world.run(&["restore", "development", &name]).expect(2);
        let said = world.run(&["restore", "development", &name, "--yes"]).expect(0);
        assert!(said.stdout.contains("pending again: `0002_gone`"), "{said:?}");
        assert_eq!(state(&world), before, "{kind:?}");
        assert!(!world.database.has_table("later"));
        assert_eq!(world.database.history(), ["0001_item applied"]);

        // The store knows; the next run is an ordinary one.
        world.run(&["apply", "development", "--yes", "--accept-data-loss"]).expect(0);
        assert!(!world.database.has_table("item"));
        let audit = world.run(&["audit", "list", "--format", "json"]).expect(0);
        for part in ["\"backup\"", "\"restore\"", "verified_into", &name] {
            assert!(audit.stdout.contains(part), "{part} in {}", audit.stdout);
        }
        world.run(&["audit", "verify"]).expect(0);
    }
}

#[test]
fn s2_81_a_changed_byte_and_a_lost_end_are_refused_before_anything_is_touched() {
    for kind in BOTH {
        let world = filled(kind);
        world.run(&["backup", "development"]).expect(0);
        let name = world.newest();
        let file = world.shelf().join(&name);
        let good = std::fs::read(&file).unwrap();
        let before = state(&world);
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        let said = world.run(&["restore", "development", &name, "--yes"]).expect(1);
        assert!(said.stderr.contains("checksum"), "{said:?}");
        std::fs::write(&file, &good[..middle]).unwrap();
        let said = world.run(&["restore", "development", &name, "--yes"]).expect(1);
        assert!(said.stderr.contains("cut off"), "{said:?}");
        let listed = world.run(&["backups", "--format", "json"]).expect(0).json();
        assert_eq!(listed["backups"][0]["reachable"], false);
        assert_eq!(state(&world), before);
    }
}

#[test]
fn r24_a_full_disk_stops_the_run_before_anything_changes() {
    for kind in BOTH {
        let world = filled(kind);
        let big = match kind {
            Kind::Postgres => "INSERT INTO item SELECT n, repeat(md5(n::text), 40) FROM generate_series(10, 6000) n",
            Kind::Sqlite => {
                "WITH RECURSIVE c(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM c WHERE n < 6000) \
                 INSERT INTO item SELECT n, hex(zeroblob(600)) FROM c"
            }
            other => panic!("{other:?} has no rows"),
        };
        world.database.query(big);
        world.write("db/0002_gone.up.sql", SECOND);
        let files = world.files();
        let apply = ["apply", "development", "--yes", "--accept-data-loss"];
        let mut limited = Command::new("bash");
        limited
            .arg("-c")
            .arg("trap '' XFSZ; ulimit -f 3000; exec \"$@\"")
            .arg("bash")
            .arg(env!("CARGO_BIN_EXE_godwit"))
            .args(apply);
        let template = world.command(&apply);
        limited.current_dir(template.get_current_dir().unwrap());
        for (name, value) in template.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let output = limited.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no backup of `shop` could be made"), "{said}");
        assert!(world.database.has_table("item"));
        assert_eq!(world.files(), files, "nothing is left behind");
        world.run(&apply).expect(0);
        assert!(!world.database.has_table("item"));
    }
}

#[test]
fn r24_a_backup_that_is_killed_leaves_a_partial_file_only() {
    for kind in BOTH {
        let world = filled(kind);
        world.write("db/0002_gone.up.sql", SECOND);
        let apply = ["apply", "development", "--yes", "--accept-data-loss"];
        assert_eq!(world.run_killed_at("backup_written:kill", &apply).code, None);
        let partial: Vec<String> = world.files().into_iter().filter(|n| n.ends_with(".partial")).collect();
        assert_eq!((partial.len(), world.files().len()), (1, 3), "{:?}", world.files());
        assert!(world.database.has_table("item"));
        let listed = world.run(&["backups"]).expect(0);
        assert!(listed.stdout.contains("cut short"), "{listed:?}");
        world.run(&apply).expect(0);
        assert!(!world.database.has_table("item"));
    }
}

#[test]
fn r24_a_restore_that_is_killed_leaves_the_database_as_it_was() {
    for kind in BOTH {
        let world = filled(kind);
        world.run(&["backup", "development"]).expect(0);
        let name = world.newest();
        let before = state(&world);
        world.database.query("DELETE FROM item WHERE id = 1");
        let between = state(&world);
        assert_eq!(world.run_killed_at("restore_pre:kill", &["restore", "development", &name, "--yes"]).code, None);
        assert_eq!(state(&world), between, "{kind:?}");
        world.run(&["restore", "development", "--at", "2999-01-01", "--yes"]).expect(0);
        assert_eq!(state(&world), before, "{kind:?}");
    }
}

#[test]
fn s0_71_an_encrypted_backup_opens_only_with_its_passphrase() {
    let world = filled(Kind::Sqlite);
    let with = |passphrase: &str, args: &[&str]| -> crate::support::Said {
        world.command(args).env("GODWIT_BACKUP_PASSPHRASE", passphrase).output().unwrap().into()
    };
    with("correct horse battery", &["backup", "development"]).expect(0);
    let name = world.newest();
    assert!(name.ends_with(".sqlite.age"), "{name}");
    let before = state(&world);
    world.database.query("DELETE FROM item");
    let said = world.run(&["restore", "development", &name, "--yes"]).expect(2);
    assert!(said.stderr.contains("is encrypted"), "{said:?}");
    let said = with("wrong staple battery", &["restore", "development", &name, "--yes"]).expect(2);
    assert!(said.stderr.contains("no key given opens"), "{said:?}");
    assert!(state(&world).is_empty());
    let said = with("correct horse battery", &["restore", "development", &name, "--yes"]).expect(0);
    assert_eq!(state(&world), before);
    let meta = std::fs::read_to_string(world.shelf().join(format!("{name}.meta"))).unwrap();
    for text in [said.stdout, said.stderr, meta] {
        assert!(!text.contains("battery"), "{text}");
    }
}

#[test]
fn old_backups_go_and_the_newest_verified_one_stays() {
    let world = filled(Kind::Sqlite);
    for _ in 0..2 {
        world.run(&["backup", "development"]).expect(0);
    }
    assert_eq!(world.files().len(), 6, "{:?}", world.files());
    world.run(&["backups", "prune"]).expect(2);
    let said = world.run(&["backups", "prune", "--keep", "0", "--older-than", "30d", "--format", "json"]).expect(0);
    assert_eq!(said.json()["deleted"].as_array().unwrap().len(), 0);
    world.run(&["backups", "prune", "--keep", "0"]).expect(0);
    assert_eq!(world.files().len(), 2, "{:?}", world.files());
}

#[test]
fn a_backup_of_another_database_is_refused() {
    let (one, other) = (filled(Kind::Sqlite), filled(Kind::Sqlite));
    one.run(&["backup", "development"]).expect(0);
    let file = one.shelf().join(one.newest()).display().to_string();
    let before = state(&other);
    let url = other.database.url.clone();
    let said = other.run(&["restore", "--url", &url, &file, "--yes"]).expect(2);
    assert!(said.stderr.contains("is a backup of `shop` of `development`"), "{said:?}");
    assert_eq!(state(&other), before);
}

#[test]
fn r24_passwords_are_in_no_argument_no_file_and_no_message() {
    let world = filled(Kind::Postgres);
    let role = format!("godwit_r_{}", ulid::Ulid::generate().to_string().to_lowercase());
    let password = "Geheim-4711-nicht";
    world.database.query(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'"));
    let (scheme, rest) = world.database.url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, r)| r);
    let url = format!("{scheme}://{role}:{password}@{rest}");
    let run =
        |args: &[&str]| -> crate::support::Said { world.command(args).env("SHOP_URL", &url).output().unwrap().into() };
    let made = run(&["-v", "backup", "development"]).expect(0);
    let name = world.newest();
    let meta = std::fs::read_to_string(world.shelf().join(format!("{name}.meta"))).unwrap();
    let restored = run(&["-v", "restore", "development", &name, "--yes"]).expect(0);
    let wrong: crate::support::Said = world
        .command(&["backup", "development"])
        .env("SHOP_URL", url.replace(password, "Geheim-0815-falsch"))
        .output()
        .unwrap()
        .into();
    for text in [made.stdout, made.stderr, restored.stdout, restored.stderr, meta, wrong.stdout, wrong.stderr] {
        assert!(!text.contains("Geheim"), "{text}");
    }
    world.database.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
