//! The JSON Schemas that editors are given. That they accept what the readers accept stands beside them, in `agreement`.

use serde_json::Value;

use crate::support::godwit;

const FILES: [(&str, &str); 6] = [
    ("godwit", "godwit.yml"),
    ("environments", "policies/environments.yml"),
    ("approval_matrix", "policies/approval_matrix.yml"),
    ("roles", "policies/roles.yml"),
    ("lint", "policies/lint.yml"),
    ("service", "environments.json"),
];

fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn printed(name: &str) -> String {
    let done = godwit(root()).args(["schema", name]).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn is_valid(name: &str, yaml: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(&printed(name)).unwrap();
    let value: Value = serde_yaml::from_str(yaml).unwrap();
    jsonschema::validator_for(&schema).unwrap().validate(&value).map_err(|e| format!("{}: {e}", e.instance_path()))
}

#[test]
fn the_schemas_of_the_repository_are_those_of_the_program() {
    for (name, _) in FILES {
        let file = format!("docs/schemas/{name}.schema.json");
        let kept = std::fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert_eq!(kept, printed(name), "write it anew: `godwit schema {name} > {file}`");
    }
}

#[test]
fn every_sample_of_a_page_and_every_shipped_file_is_valid() {
    let mut seen = 0;
    let pages: Vec<std::path::PathBuf> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([root().join("README.md"), root().join("policies/README.md")])
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let Some(file) = block.lines().next().and_then(|line| line.strip_prefix("# ")) else { continue };
            let Some((name, _)) = FILES.iter().find(|(_, known)| *known == file) else { continue };
            is_valid(name, block).unwrap_or_else(|e| panic!("{}: {e}\n{block}", page.display()));
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} samples were found");
    is_valid("approval_matrix", include_str!("../../../policies/approval_matrix.yml")).unwrap();
    // What `init` writes for somebody who has nothing.
    let dir = tempfile::tempdir().unwrap();
    assert!(godwit(dir.path()).arg("init").output().unwrap().status.success());
    for (name, file) in &FILES[..4] {
        is_valid(name, &std::fs::read_to_string(dir.path().join(file)).unwrap())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}

#[test]
fn a_schema_is_asked_for_by_its_file_too_and_an_unknown_one_is_told() {
    assert_eq!(printed("policies/lint.yml"), printed("lint"));
    let done = godwit(root()).args(["schema", "lintt"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("approval_matrix"));
}
