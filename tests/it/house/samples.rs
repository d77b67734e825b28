//! Configuration that a page shows is configuration that loads.

use godwit::approval::Policy;

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
