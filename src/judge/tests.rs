use std::path::Path;

use super::*;
use crate::migration::{MigrationRoot, SourceFile, resolve};

fn set(files: &[(&str, &str)]) -> MigrationSet {
    let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
    let root = MigrationRoot { engine: Some(Engine::Sqlite), ..MigrationRoot::folder("") };
    resolve(&files, &[root])
}

/// `(migration, word, text it is about, message)` of each finding.
fn words(files: &[(&str, &str)]) -> Vec<(usize, Word, String, String)> {
    let set = set(files);
    judge(&set)
        .into_iter()
        .map(|j| {
            let migration = &set.migrations[j.migration];
            let text = match j.direction {
                Direction::Up => &migration.up.text,
                Direction::Down => &migration.down.as_ref().expect("a way back").text,
            };
            (j.migration, j.word, text[j.range].to_owned(), j.message)
        })
        .collect()
}

/// The words about a history of forward scripts.
fn history(scripts: &[&str]) -> Vec<(usize, Word, String, String)> {
    let names: Vec<String> = (1..=scripts.len()).map(|n| format!("{n:04}_m.up.sql")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(scripts.iter().copied()).collect();
    words(&files)
}

#[test]
fn what_does_not_parse_is_found_where_it_stands() {
    let got =
        history(&["-- ü\nCREATE TABLE a (b);\nCREATE TABEL c (d);\nINSERT INTO nowhere VALUES (1,);\nDROP TABLE"]);
    let short: Vec<_> = got.iter().map(|(_, w, at, m)| (*w, at.as_str(), m.as_str())).collect();
    assert_eq!(
        short,
        [
            (Word::Syntax, "TABEL", "near \"TABEL\": syntax error"),
            (Word::Syntax, ")", "near \")\": syntax error"),
            (Word::Syntax, "DROP TABLE", "incomplete input"),
        ]
    );
}

#[test]
fn what_cannot_run_on_the_schema_so_far_is_refused() {
    let base = "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT, c TEXT); CREATE INDEX a_c ON a (c);";
    for (sql, about) in [
        ("ALTER TABLE a ADD COLUMN b TEXT", "duplicate column name: b"),
        ("CREATE TABLE a (x)", "table a already exists"),
        ("CREATE INDEX a_c ON a (b)", "index a_c already exists"),
        ("ALTER TABLE a DROP COLUMN c", "error in index a_c after drop column: no such column: c"),
        ("ALTER TABLE a DROP COLUMN id", "cannot drop PRIMARY KEY column: \"id\""),
        ("UPDATE a SET z = 1", "no such column: z"),
        ("INSERT INTO a (id, b) VALUES (1, 2, 3)", "3 values for 2 columns"),
        ("SELECT now() FROM a", "no such function: now"),
        ("DROP TABLE a; SELECT 1 FROM a", "no such table: a"),
        ("DROP INDEX later; CREATE TABLE later (x)", "no such index: later"),
        ("DROP INDEX a_c; DROP INDEX a_c", "no such index: a_c"),
    ] {
        let got = history(&[base, sql]);
        assert_eq!(got.len(), 1, "{sql}: {got:?}");
        assert_eq!((got[0].0, got[0].1), (1, Word::Refused), "{sql}");
        assert!(got[0].3.contains(about), "{sql}: {}", got[0].3);
    }
}

#[test]
fn what_cannot_be_known_gives_no_alarm() {
    for scripts in [
        // Tables that no migration makes, and what hangs on them.
        &["ALTER TABLE users ADD COLUMN x; CREATE INDEX i ON users (x); DROP INDEX i; UPDATE users SET y = 1"][..],
        &[
            "CREATE VIEW v AS SELECT x FROM users; SELECT q FROM v; CREATE TRIGGER g AFTER INSERT ON users BEGIN SELECT 1; END; DROP TRIGGER g",
        ],
        &[
            "ALTER TABLE users ADD x",
            "CREATE TABLE n (x); DROP TABLE users; ALTER TABLE n RENAME TO users",
            "SELECT y FROM users",
        ],
        // Tables that are not made here, though they are made.
        &["CREATE TEMP TABLE t (a); SELECT a FROM t; ALTER TABLE t ADD b; SELECT b FROM t"],
        &["CREATE TABLE t AS SELECT 1 AS a; SELECT a FROM t; ALTER TABLE t RENAME TO u; DROP TABLE u"],
        &["CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f (a) VALUES (1); SELECT rank FROM f; DROP TABLE f"],
        &["ATTACH 'x.db' AS aux; CREATE TABLE aux.t (a); SELECT * FROM aux.t"],
        &["CREATE TABLE t (a); PRAGMA legacy_alter_table = ON; SELECT z FROM t; DROP INDEX i"],
        // All that SQLite can do.
        &["PRAGMA user_version = 3; BEGIN; CREATE TABLE t (a, b CHECK (b > 0)); COMMIT"],
        &[
            "CREATE TABLE t (a INT, b INT CHECK (b > 0), UNIQUE (a)); ALTER TABLE t ADD c INT NOT NULL DEFAULT 1 CHECK (c > 0)",
        ],
        &["CREATE TABLE s (a INT) STRICT; ALTER TABLE s ADD b TEXT; EXPLAIN SELECT b FROM s; ANALYZE; REINDEX; VACUUM"],
        &[
            "CREATE TABLE o (a); CREATE TABLE n (a, b); INSERT INTO n SELECT a, 1 FROM o; DROP TABLE o; ALTER TABLE n RENAME TO o; SELECT b FROM o",
        ],
        &[
            "CREATE TABLE t (a); CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = 1; SELECT CASE WHEN 1 THEN 2 END; END; INSERT INTO t VALUES (1) RETURNING a",
        ],
    ] {
        assert_eq!(history(scripts), [], "{scripts:?}");
    }
}

#[test]
fn a_failure_is_told_once() {
    let got =
        history(&["CREATE TABEL a (b)", "ALTER TABLE a ADD c", "CREATE INDEX i ON a (c)", "SELECT c FROM a; SELECT ,"]);
    assert_eq!(got.iter().map(|w| (w.0, w.1)).collect::<Vec<_>>(), [(0, Word::Syntax), (3, Word::Syntax)]);
}

#[test]
fn each_way_back_is_tried_behind_its_own_migration() {
    let got = words(&[
        ("0001_a.up.sql", "CREATE TABLE a (b)"),
        ("0001_a.down.sql", "DROP TABLE a; DROP TABLE a"),
        ("0002_c.up.sql", "ALTER TABLE a ADD c"),
        ("0002_c.down.sql", "ALTER TABLE a DROP COLUMN d"),
        ("0003_e.up.sql", "ALTER TABLE a ADD e"),
        ("0003_e.down.sql", "ALTER TABLE a DROP COLUMN e"),
    ]);
    assert_eq!(got.iter().map(|w| (w.0, w.2.as_str())).collect::<Vec<_>>(), [(0, "DROP TABLE a"), (1, "d")]);
}

#[test]
fn loose_files_and_engines_apart() {
    let pg = resolve(&[SourceFile::new("1_a.up.sql", b"CREATE TABEL".as_slice())], &[MigrationRoot::folder("")]);
    assert_eq!(judge(&pg), []);
    let mut loose = set(&[("1_a.up.sql", "CREATE TABLE a (b)"), ("2_b.up.sql", "DROP TABLE a")]);
    loose.migrations.reverse();
    assert_eq!(judge(&loose), []);
}

#[test]
fn nothing_of_a_script_reaches_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (a, b, c) = (at("a.db"), at("b.db"), at("c.db"));
    let sql = format!(
        "CREATE TABLE t (x CHECK (load_extension('{c}') IS NULL));\nATTACH '{a}' AS evil;\nVACUUM INTO '{b}';\n\
         CREATE TABLE evil.t (x);\nATTACH DATABASE '{a}' AS m2; EXPLAIN ATTACH '{a}' AS m3;\n\
         PRAGMA temp_store_directory = '{a}'; PRAGMA writable_schema = 1; EXPLAIN PRAGMA journal_mode = WAL;\n\
         CREATE TABLE u (x); ALTER TABLE t ADD y INT CHECK (y > 0);\n\
         CREATE VIRTUAL TABLE f USING fts5(x, content='{c}'); SELECT load_extension('{c}');\n\
         CREATE TRIGGER g AFTER INSERT ON u BEGIN SELECT load_extension('{c}'); END; INSERT INTO u VALUES (1);"
    );
    judge(&set(&[("1_a.up.sql", sql.as_str())]));
    assert_eq!(std::fs::read_dir(dir.path()).expect("the folder").count(), 0);
    assert!(!Path::new("evil").exists());
}

/// Whatever the first words are taken for, SQLite's own gate stays shut.
#[test]
fn the_cage_holds_without_the_first_words() {
    let looks = Arc::new(AtomicU32::new(0));
    let no_query = Arc::new(AtomicBool::new(true));
    let caged = cage(&looks, &no_query, Instant::now() + TIME).expect("a database");
    for sql in [
        "ATTACH ':memory:' AS x",
        "PRAGMA writable_schema = 1",
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA max_page_count = 999999999",
        "CREATE TABLE t AS SELECT 1",
        "SELECT load_extension('x')",
        "VACUUM INTO 'x.db'",
    ] {
        let done = caged.prepare(sql).and_then(|mut s| s.raw_execute());
        assert!(done.is_err(), "{sql}");
    }
    assert!(!Path::new("x.db").exists());
}

#[test]
fn endless_and_huge_statements_end() {
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n";
    assert_eq!(
        history(&[&format!("CREATE TABLE t AS {endless}; {endless}; CREATE TABLE u(x); INSERT INTO u {endless}")]),
        []
    );
    // A value that would take the memory, inside what is carried out.
    let big = "CREATE TABLE t (x, CHECK (length(printf('%.*c', 2000000000, 'x')) > 1));\nALTER TABLE t ADD y CHECK (y > 0);\n\
               CREATE INDEX i ON t (instr(hex(zeroblob(900000000)), 'x'));";
    assert_eq!(history(&[big]), []);
    // Views that double at each level: 2^40 terms for the compiler.
    let views: String =
        (1..40).map(|n| format!("CREATE VIEW v{n} AS SELECT a.x FROM v{0} a, v{0} b;\n", n - 1)).collect();
    let got = history(&[&format!("CREATE TABLE v0 (x);\n{views}SELECT * FROM v39;")]);
    assert!(got.iter().all(|w| w.1 != Word::Syntax), "{got:?}");
    // Chains that go deep instead of wide.
    let chain: String = (1..6000).map(|n| format!("CREATE VIEW v{n} AS SELECT x FROM v{};\n", n - 1)).collect();
    history(&[&format!("CREATE TABLE v0 (x);\n{chain}SELECT * FROM v1999; SELECT * FROM v5999;")]);
    let within: String = (1..9000).map(|n| format!(",c{n} AS (SELECT x FROM c{})", n - 1)).collect();
    history(&[&format!("WITH c0 AS (SELECT 1 AS x){within} SELECT * FROM c8999;")]);
}

#[test]
fn the_products_own_histories_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("migrations/sqlite")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
        files.push(SourceFile::new(name, std::fs::read(&path).expect("a file")));
    }
    let examples = resolve(&files, &[MigrationRoot { engine: Some(Engine::Sqlite), ..MigrationRoot::folder("") }]);
    assert!(examples.migrations.len() >= 5);
    assert_eq!(judge(&examples), []);
}
