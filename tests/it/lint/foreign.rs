//! Folders that hold something else than their place says: other databases' migrations, templates, neutral names.

use super::{folder, found, json, run};

const MYSQL: &str = "CREATE TABLE `users` (`id` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB;\n";

#[test]
fn s2_133_a_folder_named_after_another_database_is_told_once_and_not_read() {
    let dir = folder(&[
        ("migrations/mysql/0001_users.up.sql", MYSQL),
        ("migrations/mysql/0001_users.down.sql", "DROP TABLE `users`;\n"),
        ("migrations/mysql/0002_orders.up.sql", MYSQL),
        ("migrations/postgresql/0001_users.up.sql", "CREATE TABLE users (id bigint PRIMARY KEY);\n"),
        ("migrations/postgresql/0001_users.down.sql", "DROP TABLE users;\n"),
    ]);
    for paths in [&[][..], &["migrations"]] {
        let (code, report) = json(dir.path(), paths);
        assert_eq!(code, Some(0), "{report}");
        let all = report["violations"].as_array().unwrap();
        let [told] = all.as_slice() else { panic!("{report}") };
        assert_eq!((told["rule"].as_str(), told["severity"].as_str()), (Some("foreign-dialect"), Some("warning")));
        assert!(told["message"].as_str().unwrap().contains("MySQL, which is none of Godwit's engines"), "{told}");
        assert_eq!(report["migrations"].as_array().unwrap().len(), 1, "{report}");
    }
    let (code, out, err) = run(dir.path(), &["lint", "migrations/mysql"]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("named after MySQL"), "{err}");
    let url = "postgres://godwit@127.0.0.1:1/shop";
    let (code, _, err) = run(dir.path(), &["apply", "--yes", "--url", url, "--path", "migrations/mysql"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("`migrations/mysql` is named after MySQL, which is none of Godwit's engines"), "{err}");
    // Whoever says what it is, is believed; then the files speak for themselves.
    let (code, report) = json(dir.path(), &["migrations/mysql", "--engine", "postgresql"]);
    let errors: Vec<_> = found(&report).into_iter().filter(|(rule, _)| rule == "foreign-dialect").collect();
    assert_eq!((code, errors.len()), (Some(1), 3), "{report}");
    assert!(found(&report).iter().all(|(rule, _)| rule != "syntax-error"), "{report}");
}

#[test]
fn a_folder_of_sqlite3_is_sqlites() {
    let dir = folder(&[
        ("migrations/sqlite3/0001_users.up.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT);\n"),
        ("migrations/sqlite3/0001_users.down.sql", "DROP TABLE users;\n"),
    ]);
    for paths in [&[][..], &["migrations/sqlite3"]] {
        let (code, report) = json(dir.path(), paths);
        assert_eq!((code, found(&report)), (Some(0), vec![]), "{report}");
        assert_eq!(report["migrations"][0]["engine"], "sqlite");
    }
}

#[test]
fn f216_a_template_of_sqlite_is_told_once_too() {
    let dir = folder(&[(
        "migrations/sqlite/0001_users.up.sql",
        "CREATE TABLE {{.Prefix}}users (id INTEGER PRIMARY KEY);\nCREATE TABLE {{.Prefix}}orders (id INTEGER PRIMARY KEY);\n",
    )]);
    let (code, report) = json(dir.path(), &[]);
    let errors: Vec<_> = found(&report).into_iter().filter(|(rule, _)| rule != "missing-down").collect();
    assert_eq!((code, errors), (Some(1), vec![("unfilled-template".to_owned(), 1)]), "{report}");
}

#[test]
fn migrations_in_a_folder_of_any_name_below_the_one_that_is_named_are_read_or_told() {
    for names in [["0001_a.up.sql", "0001_a.down.sql"], ["0001_a.sql", "0002_b.sql"]] {
        let of = |name: &str| format!("migrations/things/{name}");
        let files = names.map(of);
        let [first, second] = &files;
        let dir = folder(&[(first, "UPDATE t SET a = 1;\n"), (second, "UPDATE t SET a = 2;\n")]);
        for paths in [&[][..], &["migrations"], &["migrations/things"]] {
            let (code, report) = json(dir.path(), paths);
            let wrong = found(&report).iter().any(|(rule, _)| rule == "update-without-where");
            assert_eq!((code, wrong), (Some(1), true), "{names:?} {paths:?}: {report}");
        }
    }
}

/// A statement's password is masked in JSON as it is in text.
#[test]
fn s4_81_a_plan_in_json_shows_no_password() {
    let dir = folder(&[(
        "migrations/sqlite/0001_role.up.sql",
        "CREATE TABLE t (id INTEGER PRIMARY KEY);\n-- for the other side\nALTER ROLE app PASSWORD 'hunter2-secret';\n",
    )]);
    for format in ["text", "json"] {
        let url = format!("sqlite:{}", dir.path().join("x.db").display());
        let args = ["plan", "--url", &url, "--path", "migrations/sqlite", "--format", format];
        let (_, out, err) = run(dir.path(), &args);
        assert!(
            out.contains("ALTER ROLE app PASSWORD") && !format!("{out}{err}").contains("hunter2"),
            "{format}: {out}{err}"
        );
    }
}
