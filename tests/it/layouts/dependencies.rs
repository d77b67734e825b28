//! `godwit graph`.

use crate::support::{Said, godwit};

#[test]
fn s1_36_s2_135_the_graph_is_drawn_in_three_forms_and_names_circles() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("migrations/postgresql/0001_a.up.sql", "-- godwit: depends_on=mongodb/001_c\nselect 1;");
    write("migrations/postgresql/0002_b.up.sql", "select 1;");
    write(
        "migrations/mongodb/001_c.json",
        r#"{ "version": "1.0.0", "name": "c", "description": "C", "database_type": "mongodb", "migration_type": "schema",
             "operations": [ { "type": "create_collection", "collection": "c" } ] }"#,
    );
    let run = |args: &[&str]| Said::from(godwit(dir.path()).args(args).output().unwrap());
    let mermaid = run(&["graph"]).expect(0).stdout;
    assert!(mermaid.starts_with("graph LR\n") && mermaid.contains("-->|needed by|"), "{mermaid}");
    assert!(run(&["graph", "--format", "markdown"]).expect(0).stdout.starts_with("```mermaid\n"));
    assert!(run(&["deps", "dot"]).expect(0).stdout.contains("[style=dotted]"));
    let said = run(&["graph", "--service", "nope"]).expect(2);
    assert!(said.stderr.contains("no migration belongs to a service `nope`"), "{said:?}");
    let json = run(&["graph", "json"]).expect(0).json();
    assert_eq!(json["edges"][0]["needs"], "migrations/mongodb/001_c");
    assert_eq!(json["edges"][0]["declared"], true);
    assert_eq!(json["cycles"].as_array().unwrap().len(), 0);
    write("migrations/postgresql/0001_a.up.sql", "-- godwit: depends_on=0002_b\nselect 1;");
    let said = run(&["graph", "json"]).expect(0);
    let cycle = said.json()["cycles"][0].as_str().unwrap().to_owned();
    assert!(cycle.contains("0001_a") && cycle.contains("0002_b") && said.stderr.contains(&cycle), "{cycle}");
}
