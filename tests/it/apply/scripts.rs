//! What scripts with data and with words to say do when they run: `${data:…}` [S2-13] and `RAISE NOTICE` [S2-75].

use crate::support::{Kind, Project, Said, godwit};

fn scripts(files: &[(&str, &str)]) -> Project {
    let project = Project::new(Kind::Postgres, &[]);
    for (name, text) in files {
        let file = project.migrations().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    project
}

#[test]
fn s2_75_notices_are_progress_on_the_terminal_and_part_of_the_report() {
    let project = scripts(&[
        (
            "scripts/001_20240101_000000_talk.sql",
            "CREATE TABLE t (n int);\nDO $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO t VALUES (i); RAISE NOTICE 'Processed % of % records', i, 3; END LOOP; END $$;\n",
        ),
        ("rollbacks/001_20240101_000000_talk_rollback.sql", "DROP TABLE t;\n"),
        (
            "scripts/002_20240102_000000_index.sql",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (n);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (n);\n",
        ),
        ("rollbacks/002_20240102_000000_index_rollback.sql", "DROP INDEX CONCURRENTLY i;\n"),
        ("scripts/003_20240103_000000_bad.sql", "DO $$ BEGIN RAISE NOTICE 'before the end'; END $$;\nSELECT 1/0;\n"),
        ("rollbacks/003_20240103_000000_bad_rollback.sql", "SELECT 1;\n"),
    ]);
    let said = project.run(&["apply", "--yes", "--to", "002", "--format", "json"]).expect(0);
    let steps = said.json()["steps"].clone();
    let words = ["Processed 1 of 3 records", "Processed 2 of 3 records", "Processed 3 of 3 records"];
    assert_eq!(steps[0]["notices"], serde_json::json!(words), "{steps}");
    for word in words {
        let line = format!("001_20240101_000000_talk: {word}");
        assert!(said.stderr.lines().any(|l| l.ends_with(&line)), "{}", said.stderr);
    }
    // A statement that no transaction holds is heard as well.
    assert!(steps[1]["notices"].to_string().contains("already exists"), "{steps}");
    let failed = project.run(&["apply", "--yes", "-q"]).expect(1);
    assert!(failed.stdout.contains("said: before the end"), "{}", failed.stdout);
    assert!(!failed.stderr.contains("before the end"), "{}", failed.stderr);
}

#[test]
fn s2_13_data_of_a_file_goes_into_a_query_and_a_changed_file_is_an_edit() {
    let project = scripts(&[
        (
            "scripts/001_20240101_000000_people.sql",
            "CREATE TABLE people (name text, more jsonb);\nINSERT INTO people SELECT p->>'name', p FROM jsonb_array_elements(${data:sample_data.json}) AS p;\nSELECT count(*) FROM people WHERE more->>'quote' = 'it''s \"so\" \\ and';\n-- Should return 1\n",
        ),
        ("rollbacks/001_20240101_000000_people_rollback.sql", "DROP TABLE people;\n"),
        (
            "data/sample_data.json",
            "[\n  { \"name\": \"Ada\" },\n  { \"name\": \"Bo\", \"quote\": \"it's \\\"so\\\" \\\\ and\" }\n]\n",
        ),
    ]);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.query("SELECT count(*)::text FROM people"), [["2"]]);
    std::fs::write(project.migrations().join("data/sample_data.json"), "[]").unwrap();
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
    assert_eq!(said["blocked_by"][0]["reason"], "edited", "{said}");
    // DDL and DO take no values: an error of the linter and of the engine.
    let bad = project.migrations().join("scripts/002_20240102_000000_bad.sql");
    std::fs::write(&bad, "CREATE TABLE q (j jsonb DEFAULT ${data:sample_data.json});\n").unwrap();
    let linted: Said = godwit(project.dir.path()).args(["lint", "m", "--terse"]).output().unwrap().into();
    let linted = linted.expect(1).stdout;
    assert!(linted.contains("invalid-directive") && linted.contains("takes no values"), "{linted}");
    std::fs::remove_file(&bad).unwrap();
}
