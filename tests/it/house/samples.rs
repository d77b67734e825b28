//! Configuration that a page shows is configuration that loads.

use std::collections::BTreeSet;

use godwit::approval::Policy;
use godwit::ids::Engine;
use godwit::migration::execution::Nature;
use godwit::migration::operations::{Inverse, Operation};

use super::{none, pages, read};

#[test]
fn every_sample_of_configuration_loads() {
    let mut findings = Vec::new();
    let mut loaded = 0;
    for page in pages() {
        for block in read(&page).split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            // The first line names the file that the sample is of.
            let Some(file) = block.lines().next().and_then(|line| line.strip_prefix("# ")) else { continue };
            if file != "godwit.yml" && !file.starts_with("policies/") {
                continue;
            }
            loaded += 1;
            let only = |path: &str| (path == file).then(|| block.as_bytes().to_vec());
            if let Err(errors) = Policy::load(&only) {
                findings.extend(errors.iter().map(|error| format!("{page}: {error}")));
            }
        }
    }
    assert!(loaded >= 3, "only {loaded} samples were found");
    none(&findings);
}

/// A workflow that is shown can be taken as it stands: it is YAML, has Godwit before it calls it, and the server that it
/// reaches at `localhost`; what it names is a release that there is.
#[test]
fn every_sample_of_a_workflow_has_what_it_calls() {
    let mut findings = Vec::new();
    let (mut jobs, release) = (0, concat!("v", env!("CARGO_PKG_VERSION")));
    for page in pages() {
        let text = read(&page);
        findings.extend(
            ["godwit-dev/godwit@", "gh release download "]
                .iter()
                .flat_map(|before| text.split(before).skip(1))
                .filter(|rest| !rest.starts_with(release))
                .map(|rest| format!("{page}: not {release}: {}", rest.lines().next().unwrap_or_default())),
        );
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            if !block.lines().any(|line| line == "jobs:") {
                continue;
            }
            let workflow: serde_yaml::Value = serde_yaml::from_str(block).unwrap_or_else(|e| panic!("{page}: {e}"));
            for (name, job) in workflow["jobs"].as_mapping().unwrap() {
                jobs += 1;
                let steps = job["steps"].as_sequence().unwrap_or_else(|| panic!("{page}: {name:?} has no steps"));
                let runs: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
                let fetched = runs.iter().position(|run| run.contains("gh release download"));
                let called = runs.iter().position(|run| run.starts_with("godwit "));
                if called.is_some_and(|called| fetched.is_none_or(|fetched| fetched > called)) {
                    findings.push(format!("{page}: {name:?} calls godwit, and nothing puts it there"));
                }
                if block.contains("@localhost:") && job["services"].is_null() {
                    findings.push(format!("{page}: {name:?} has no server at localhost"));
                }
            }
        }
    }
    assert!(jobs >= 3, "only {jobs} jobs were found");
    none(&findings);
}

/// Every operation there is has its section, whose example can be read and whose words are what the program does.
#[test]
fn the_page_of_operations_tells_all_of_them_as_they_are() {
    let page = read("docs/operations-json.md");
    let mut findings = Vec::new();
    for (title, engine) in
        [("MongoDB", Engine::Mongodb), ("Elasticsearch", Engine::Elasticsearch), ("Redis", Engine::Redis)]
    {
        let (_, part) = page.split_once(&format!("\n## {title}\n")).expect(title);
        let part = part.split("\n## ").next().unwrap();
        let mut told = BTreeSet::new();
        for section in part.split("\n### `").skip(1) {
            let name = section.split('`').next().unwrap();
            let (words, rest) =
                section.split_once(&format!("```json {engine}\n")).unwrap_or_else(|| panic!("{name}: no example"));
            let operation = match Operation::parse(engine, rest.split("```").next().unwrap()) {
                Ok(operation) => operation,
                Err(e) => {
                    findings.push(format!("{title}, {name}: {e}"));
                    continue;
                }
            };
            told.insert(name.to_owned());
            if operation.name() != name || !operation.describe().starts_with(name) {
                findings.push(format!("{title}, {name}: the example is of `{}`", operation.name()));
            }
            let can_be = !words.contains("Irreversible");
            if can_be != (operation.inverse() == Inverse::Computed) {
                findings.push(format!("{title}, {name}: the page says otherwise whether it can be taken back"));
            }
            let class = match operation.recovery().nature {
                Nature::Verifiable => "*Verifiable",
                Nature::Batched | Nature::Idempotent => "*Idempotent",
                Nature::Unprovable => "*Manual",
                Nature::Transactional | Nature::Session => "",
            };
            if engine != Engine::Redis && !words.contains(class) {
                findings.push(format!("{title}, {name}: its class is {class}*"));
            }
        }
        // The parser's own list of what it knows.
        let known = Operation::parse(engine, "{\"type\":\"?\"}").expect_err("no operation").to_string();
        for name in known.split('`').skip(3).step_by(2).filter(|n| *n != "undo") {
            if !told.remove(name) {
                findings.push(format!("{title}: `{name}` has no section"));
            }
        }
        findings.extend(told.iter().map(|name| format!("{title}: there is no `{name}`")));
    }
    none(&findings);
}
