//! Bad input is a finding with a place, never a crash.

use std::fs;

use super::{folder, found, json, run};

#[test]
fn bad_files_are_reported() {
    let dir = folder(&[("empty.sql", ""), ("blank.sql", "-- nothing\n\n"), ("bom.sql", "\u{feff}update t set a = 1;")]);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("latin1.sql"), b"select 1;\nselect '\xe4';\n").unwrap();
    fs::write(path("nul.sql"), b"select 1;\0\0select").unwrap();
    fs::write(path("garbage.sql"), b"\x01\x02 ))) '\" $$ /* drop").unwrap();
    fs::write(path("deep.sql"), format!("select {}1{};", "(".repeat(100_000), ")".repeat(100_000))).unwrap();
    fs::write(path("not.sql"), format!("select {}true;", "not ".repeat(100_000))).unwrap();
    fs::write(path("crlf.sql"), "create table t (id bigint primary key);\r\n\r\nupdate u set a = 1;\r\n").unwrap();
    for (file, rule, line, code) in [
        ("empty.sql", "empty-migration", 1, 0),
        ("blank.sql", "empty-migration", 1, 0),
        ("bom.sql", "update-without-where", 1, 1),
        ("latin1.sql", "not-utf8", 2, 1),
        ("nul.sql", "nul-byte", 1, 1),
        ("garbage.sql", "syntax-error", 1, 1),
        ("deep.sql", "not-analysed", 1, 1),
        ("not.sql", "not-analysed", 1, 1),
        ("crlf.sql", "update-without-where", 3, 1),
    ] {
        let (exit, report) = json(dir.path(), &[file]);
        assert!(found(&report).contains(&(rule.to_owned(), line)), "{file}: {report}");
        assert_eq!(exit, Some(code), "{file}: {report}");
        assert_eq!(report["files"], 1, "{file}");
    }
}

#[test]
fn a_place_without_migrations_does_not_read_as_one_in_order() {
    let dir = folder(&[("readme.txt", "nothing here"), ("root/001_a.json", "{}"), ("root/001_a.lua", "return 1")]);
    fs::create_dir_all(dir.path().join("empty")).unwrap();
    fs::create_dir_all(dir.path().join("made/0001_x.sql")).unwrap();
    for (named, words) in [("empty", "no migrations found in `empty`"), ("made", "0001_x.sql` is a directory")] {
        let (code, _, told) = run(dir.path(), &["lint", named]);
        assert!(code == Some(2) && told.contains(words), "{named}: {told}");
        let url = format!("sqlite:{}", dir.path().join("x.db").display());
        let (code, _, told) = run(dir.path(), &["apply", "--url", &url, "--path", named]);
        assert!(code == Some(2) && told.contains(words), "{named}: {told}");
        assert!(!dir.path().join("x.db").exists());
    }
    // Nobody said that there are any: that is worth a word.
    let (code, _, told) = run(dir.path(), &["lint"]);
    assert!(code == Some(0) && told.contains("warning: no migrations found"), "{told}");
}

#[test]
fn r18_a_step_that_no_look_can_resolve_is_an_error_unless_it_is_marked_as_meant() {
    let call = "-- godwit: no-transaction\ncall archive_orders();\n";
    let marked = format!("-- godwit: manual=\"it commits each month by itself\"\n{call}");
    let dir = folder(&[
        ("call.sql", call),
        ("nameless.sql", "create index concurrently on t (a);"),
        ("prepared.sql", "-- godwit: no-transaction\ncommit prepared 'x';"),
        ("marked.sql", &marked),
        ("named.sql", "create index concurrently if not exists t_a on t (a);"),
        ("vacuum.sql", "vacuum t;"),
        // As a part of the migration's transaction it may not commit, and is there whole or not at all.
        ("within.sql", "call archive_orders();"),
    ]);
    for (file, level, line, code) in [
        ("call.sql", Some("error"), 2, 1),
        ("nameless.sql", Some("error"), 1, 1),
        ("prepared.sql", Some("error"), 2, 1),
        ("marked.sql", Some("warning"), 3, 0),
        ("named.sql", None, 0, 0),
        ("vacuum.sql", None, 0, 0),
        ("within.sql", None, 0, 0),
    ] {
        let (exit, report) = json(dir.path(), &[file]);
        let about = report["violations"].as_array().unwrap().iter().find(|v| v["rule"] == "unprovable-step");
        assert_eq!(about.map(|v| v["severity"].as_str().unwrap()), level, "{file}: {report}");
        if let Some(about) = about {
            assert_eq!(about["line"], line, "{file}: {report}");
            assert_eq!(report["risk"], "HIGH", "{file}: {report}");
        }
        assert_eq!(exit, Some(code), "{file}: {report}");
    }
}

#[cfg(unix)]
#[test]
fn directories_links_and_pipes_are_not_read_as_files() {
    let dir = folder(&[("m/0001_a.up.sql", "select 1;"), ("m/0002_b.sql/inner.txt", "x")]);
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("m/0003_c.up.sql")).unwrap();
    let pipe = dir.path().join("m/0004_d.up.sql");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let (code, report) = json(dir.path(), &["m"]);
    assert!(report.to_string().contains("is a pipe, a socket or a device"), "{report}");
    let rules: Vec<String> = found(&report).into_iter().map(|(rule, _)| rule).collect();
    assert!(rules.contains(&"directory-named-sql".to_owned()), "{report}");
    assert!(rules.contains(&"symlink".to_owned()), "{report}");
    assert_eq!(code, Some(1));
    assert!(!report.to_string().contains("root:"), "a link was followed");
}

#[test]
fn s2_24_paths_with_stars_are_filled_in_where_no_shell_does() {
    let dir = folder(&[
        ("apps/a/migrations/0001_one.up.sql", "drop table one;\n"),
        ("apps/b/migrations/0001_two.up.sql", "drop table two;\n"),
        ("apps/b/.hidden/0001_three.up.sql", "drop table three;\n"),
        ("apps/[c]/0001_four.up.sql", "drop table four;\n"),
    ]);
    let dropped = |path: &str| {
        let (code, report) = json(dir.path(), &[path]);
        assert_eq!(code, Some(0), "{path}: {report}");
        let found = report["violations"].as_array().unwrap().iter().filter(|v| v["rule"] == "ban-drop-table");
        found.map(|v| v["file"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (one, two) = ("apps/a/migrations/0001_one.up.sql", "apps/b/migrations/0001_two.up.sql");
    assert_eq!(dropped("apps/*/migrations"), [one, two]);
    assert_eq!(dropped("apps/**/*_t?o.up.sql"), [two]);
    // What fits in two ways is one file.
    assert_eq!(dropped("apps/**/**/*_t?o.up.sql"), [two]);
    assert_eq!(dropped("apps/{a,x}/**"), [one]);
    // A name that holds such a character is meant as it stands.
    assert_eq!(dropped("apps/[c]"), ["apps/[c]/0001_four.up.sql"]);
    let (code, _, err) = run(dir.path(), &["lint", "apps/*/nothing"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("nothing fits `apps/*/nothing`"), "{err}");
}

#[test]
fn paths_that_are_not_there_are_usage_errors() {
    let dir = folder(&[("readme.md", "x")]);
    for (args, part) in [
        (&["lint", "missing.sql"][..], "missing.sql"),
        (&["lint", "readme.md"], "neither a folder nor"),
        (&["lint", "--engine", "oracle"], "oracle"),
        (&["--repo", "nowhere", "lint"], "nowhere"),
        (&["lint", "--base", "main"], "git"),
    ] {
        let (code, _, err) = run(dir.path(), args);
        assert_eq!(code, Some(2), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn a_layout_that_is_not_read_is_linted_all_the_same() {
    let dir = folder(&[
        ("flyway/V1__a.sql", "update t set a = 1;\n"),
        (
            "goose/00001_a.sql",
            "-- +goose Up\ncreate table t (id bigint primary key);\n-- +goose Down\ndrop table t cascade;\n",
        ),
        ("prisma/20230618_x/migration.sql", "drop table t cascade;\n"),
    ]);
    let (_, flyway) = json(dir.path(), &["flyway"]);
    assert!(found(&flyway).contains(&("update-without-where".to_owned(), 1)), "{flyway}");
    let (code, goose) = json(dir.path(), &["goose"]);
    assert!(!goose.to_string().contains("drop-cascade"), "the down part is no forward step: {goose}");
    assert_eq!(code, Some(0), "{goose}");
    let (_, prisma) = json(dir.path(), &["prisma"]);
    assert!(found(&prisma).contains(&("drop-cascade".to_owned(), 1)), "{prisma}");
}

#[test]
fn sqlite_is_judged_by_the_rules_that_hold_for_it() {
    let dir = folder(&[(
        "migrations/sqlite/0001_a.up.sql",
        "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID;\nCREATE INDEX i ON u (a);\nINSERT OR REPLACE INTO t VALUES (1);\n\
         UPDATE u SET a = 1;\nDROP TABLE v;\n",
    )]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1));
    let rules: Vec<String> = found(&report).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, ["missing-down", "update-without-where", "ban-drop-table"], "{report}");
}

#[test]
fn with_a_base_only_what_the_branch_touches_counts() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "update t set a = 1;\n"),
        ("migrations/0001_a.down.sql", "select 1;\n"),
        ("policies/lint.yml", "rules: { ban-drop-table: error }\n"),
    ]);
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git")
            .current_dir(dir.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    git(&["checkout", "-qb", "work"]);
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
    write("migrations/0002_b.up.sql", "create table n (id bigint primary key, a bigint);\ndrop table t;\n");
    write("migrations/0002_b.down.sql", "create table t (a bigint);\ndrop table n;\n");
    // Tables that the branch itself makes are empty; a policy that it writes for itself does not count.
    write("migrations/0003_c.up.sql", "create index n_a on n (a);\n");
    write("migrations/0003_c.down.sql", "drop index n_a;\n");
    write("policies/lint.yml", "rules: { ban-drop-table: 'off' }\n");
    let (code, report) = json(dir.path(), &["--base", "main"]);
    assert_eq!(found(&report), [("ban-drop-table".to_owned(), 2)], "{report}");
    assert_eq!(report["violations"][0]["severity"], "error");
    assert_eq!((code, report["files"].as_u64()), (Some(1), Some(4)));
    assert_eq!(report["migrations"].as_array().unwrap().len(), 2);
}

#[test]
fn dec8_the_folders_of_the_base_count_beside_those_of_the_branch() {
    let roots = |path: &str| format!("version: 1\nmigrations:\n  - {{ path: {path}, target: shop }}\n");
    let dir = folder(&[
        ("godwit.yml", &roots("db/one")),
        ("policies/environments.yml", "development: { targets: { shop: { engine: sqlite, url: 'sqlite:a.db' } } }\n"),
        ("db/one/0001_a.up.sql", "CREATE TABLE a (n INTEGER PRIMARY KEY);\n"),
    ]);
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git")
            .current_dir(dir.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let write = |path: &str, text: &str| {
        fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(path), text).unwrap();
    };
    write("godwit.yml", &roots("db/two"));
    write("db/one/0002_hidden.up.sql", "DELETE FROM a;\n");
    write("db/two/0001_shown.up.sql", "DELETE FROM b;\n");
    let (code, report) = json(dir.path(), &["--base", "main"]);
    let files: Vec<_> = report["migrations"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!((code, files), (Some(1), vec!["0002_hidden", "0001_shown"]), "{report}");
    // A folder is of its target's kind.
    assert!(report["migrations"].as_array().unwrap().iter().all(|m| m["engine"] == "sqlite"), "{report}");
    fs::remove_file(dir.path().join("godwit.yml")).unwrap();
    let (_, report) = json(dir.path(), &["--base", "main"]);
    assert!(report.to_string().contains("0002_hidden"), "{report}");
}

#[test]
fn a_single_file_of_operations_is_read_with_its_partners_alone() {
    let head = r#"{"version":"1.0.0","description":"x","database_type":"mongodb","migration_type":"data""#;
    let one = |name: &str, list: &str| format!(r#"{head},"name":"{name}","operations":[{list}]}}"#);
    let dir = folder(&[
        ("migrations/mongodb/001_a.json", &one("a", r#"{"type":"remove_field","collection":"c","field":"f"}"#)),
        (
            "migrations/mongodb/001_a_rollback.json",
            &one("a_rollback", r#"{"type":"create_collection","collection":"d"}"#),
        ),
        ("migrations/mongodb/002_b.json", "{"),
        ("elsewhere/001_c.json", "{}"),
    ]);
    let (code, report) = json(dir.path(), &["migrations/mongodb/001_a.json"]);
    assert_eq!((code, report["files"].as_u64()), (Some(0), Some(1)), "{report}");
    assert_eq!(found(&report), [("remove-field".to_owned(), 1)]);
    assert_eq!(report["violations"][0]["file"], "migrations/mongodb/001_a.json");
    let (code, report) = json(dir.path(), &["migrations/mongodb/002_b.json"]);
    assert_eq!((code, found(&report)[0].0.as_str()), (Some(1), "invalid-metadata"));
    let (code, _, err) = run(dir.path(), &["lint", "elsewhere/001_c.json"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("add `--engine`"), "{err}");
}

#[test]
fn f213_a_file_is_judged_among_the_migrations_of_its_folder() {
    let dir = folder(&[
        ("db/migrations/0001_a.up.sql", "create table a (id bigint primary key, name varchar(20));\n"),
        ("db/migrations/0001_a.down.sql", "drop table a;\n"),
        (
            "db/migrations/0002_b.up.sql",
            "alter table a alter name type text;\ncreate table a (id bigint primary key);\n",
        ),
        ("db/migrations/0002_b.down.sql", "select 1;\n"),
        ("db/migrations/0003_c.up.sql", "drop table a cascade;\n"),
    ]);
    let told = |paths: &[&str]| -> Vec<String> {
        let (_, report) = json(dir.path(), paths);
        let all = report["violations"].as_array().unwrap().iter();
        all.map(|v| format!("{}:{} {} {}", v["file"], v["line"], v["rule"], v["message"])).collect()
    };
    let whole = told(&["db/migrations"]);
    let of = |part: &str| -> Vec<String> { whole.iter().filter(|line| line.contains(part)).cloned().collect() };
    let second = of("0002_b");
    assert!(second.iter().any(|v| v.contains("existing-object")), "{second:?}");
    assert!(second.iter().any(|v| v.contains("`a.name` is varchar(20)")), "{second:?}");
    assert!(second.iter().any(|v| v.contains("0002_b.down.sql")), "{second:?}");
    // The file and the other half of its migration, and nothing of the others.
    assert_eq!(told(&["db/migrations/0002_b.up.sql"]), second);
    assert_eq!(told(&["db/migrations/0002_b.down.sql"]), second);
    let both = told(&["db/migrations/0002_b.up.sql", "db/migrations/0003_c.up.sql"]);
    assert_eq!(both, [second.clone(), of("0003_c")].concat());
    // A folder beside it is reported as a whole, and nothing twice.
    assert_eq!(told(&["db/migrations", "db/migrations/0002_b.up.sql"]), whole);
    let (_, report) = json(dir.path(), &["db/migrations/0002_b.up.sql"]);
    let ids: Vec<_> = report["migrations"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["0002_b"]);
}

#[test]
fn a_folder_without_a_migration_of_the_engine_that_was_named_is_no_success() {
    let dir = folder(&[("m/0001_a.up.sql", "drop table a;\n"), ("m/0001_a.down.sql", "select 1;\n")]);
    for engine in ["mongodb", "redis", "elasticsearch"] {
        let (code, report) = json(dir.path(), &["--engine", engine, "m"]);
        assert_eq!(code, Some(1), "{engine}: {report}");
        assert!(report.to_string().contains("nothing of this folder would run"), "{engine}: {report}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_a_link_is_followed_nowhere() {
    let dir = folder(&[
        ("real/0001_a.up.sql", "create table t (id bigint primary key);\n"),
        ("real/0001_a.down.sql", "drop table t;\n"),
        ("godwit.yml", "version: 1\nmigrations:\n  - path: db/migrations\n"),
    ]);
    fs::create_dir(dir.path().join("db")).unwrap();
    std::os::unix::fs::symlink("../real", dir.path().join("db/migrations")).unwrap();
    for args in [&["lint"][..], &["lint", "db/migrations"], &["ci"]] {
        let (code, out, err) = run(dir.path(), args);
        assert!(code == Some(1) && out.contains("[symlink]: "), "{args:?}: {out}{err}");
        assert!((out + &err).contains("is a symbolic link; links are never followed"), "{args:?}");
    }
    let url = format!("sqlite:{}", dir.path().join("x.db").display());
    for command in ["apply", "plan", "status"] {
        let (code, _, err) = run(dir.path(), &[command, "--url", &url, "--path", "db/migrations"]);
        assert!(code == Some(2) && err.contains("`db/migrations` is a symbolic link; links are never"), "{err}");
    }
    // A link that stands above the repository, or outside of one, is its owner's matter.
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir.path(), outside.path().join("shop")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), outside.path().join("scripts_of_mine")).unwrap();
    for name in ["shop/real", "scripts_of_mine"] {
        let (code, out, err) = run(outside.path(), &["lint", name]);
        assert!(code == Some(0) && !out.contains("symlink"), "{name}: {out}{err}");
    }
}
