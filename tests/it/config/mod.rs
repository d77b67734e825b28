//! The policy files that Godwit ships: each loads, and is sound once people are named.

mod schemas;
mod typed_schemas;

use std::path::{Path, PathBuf};

use godwit::approval::{Policy, check};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

/// A preset as it would stand in a user's repository.
fn load(preset: &Path, roles: &str) -> Policy {
    Policy::load(&|path| {
        let name = path.strip_prefix("policies/")?;
        match std::fs::read(preset.join(name)) {
            Ok(bytes) => Some(bytes),
            Err(_) if name == "roles.yml" => Some(roles.as_bytes().to_vec()),
            Err(_) => None,
        }
    })
    .unwrap_or_else(|errors| panic!("{}: {errors:#?}", preset.display()))
}

#[test]
fn every_shipped_policy_loads_and_is_sound() {
    let roles = "developer: [\"@a/dev\"]\ndata_ops: [\"@a/ops\"]\ndata_ops_lead: [\"@lea\"]\ndba: [\"@a/dba\"]\ntech_lead: [\"@tim\"]\ncto: [\"@cho\"]\n";
    let mut folders: Vec<PathBuf> = vec![PathBuf::from(SHIPPED)];
    let presets = std::fs::read_dir(Path::new(SHIPPED).join("presets")).unwrap();
    folders.extend(presets.map(|e| e.unwrap().path()));
    assert_eq!(folders.len(), 3);
    for folder in folders {
        let policy = load(&folder, roles);
        let errors: Vec<String> = check::check(&policy)
            .into_iter()
            .filter(|f| f.level == check::Level::Error)
            .map(|f| f.what.to_string())
            .collect();
        assert_eq!(errors, [] as [String; 0], "{}", folder.display());
    }
}
