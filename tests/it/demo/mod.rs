//! The README's main command, through the binary.

use std::process::Command;

use serde_json::Value;

/// The whole story: findings, approvals, four environments, a valid audit chain, exit code 0.
#[test]
fn the_story_is_told_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_godwit")).args(["demo", "--format", "json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    let closing: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(closing["lint_violations"].as_u64().unwrap() > 0);
    assert_eq!(closing["approvals"], 5);
    assert_eq!(closing["audit_valid"], true);
    let ends: Vec<_> = closing["environments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["name"].as_str().unwrap(), e["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        ends,
        [("development", "applied"), ("testing", "applied"), ("staging", "applied"), ("production", "applied")]
    );
    for part in ["A pull request comes in", "update-without-where", "carl", "production holds 0006_customer_status"] {
        assert!(told.contains(part), "{part}");
    }
    // Of every environment: what ran and how long it took, as its comment says.
    for end in closing["environments"].as_array().unwrap() {
        let (name, took) = (end["name"].as_str().unwrap(), end["duration_ms"].as_u64());
        let recorded = format!("{name} holds 0006_customer_status; its run is recorded as applied");
        for part in [recorded, format!("✅ {name}: 1 migration applied in ")] {
            assert!(took.is_some() && told.contains(&part), "{part}");
        }
    }
    assert_eq!(told.matches("│ ✅ │ 0006_customer_status").count(), 4, "{told}");
    assert!(told.contains("merged, applied in development, testing, staging and production"), "{told}");
    assert!(told.contains("@dana data_ops, @omar"), "who agreed to staging: {told}");
    // One summary, and one result for each environment.
    assert_eq!(closing["comments"], 5);
}

/// What is kept can be looked at afterwards with the ordinary commands.
#[test]
fn what_is_kept_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["demo", "--quiet", "--keep"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = format!("sqlite:{}", folder.path().join("godwit.db").display());
    let output = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["--store", &store, "audit", "verify", "--format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["valid"], true);
    assert!(verdict["records"].as_u64().unwrap() >= 10);
}
