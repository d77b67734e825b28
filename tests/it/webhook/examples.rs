//! Every example payload that GitHub's own projects publish, posted at the real server.

use std::path::PathBuf;

use serde_json::Value;

use super::http::{SECRET, Served, deliver, get};

/// The example files of the unpacked npm package `@octokit/webhooks-examples`; `scripts/test` fetches it. The variable names
/// the package's folder, or one of its files.
fn files() -> Vec<PathBuf> {
    let place = PathBuf::from(std::env::var_os("GODWIT_TEST_WEBHOOK_EXAMPLES").expect(
        "set `GODWIT_TEST_WEBHOOK_EXAMPLES` to the unpacked npm package `@octokit/webhooks-examples`; `scripts/test` does",
    ));
    // One file means the package around it: GitHub's own and each Enterprise Server's are to be read.
    let folder = if place.is_file() { place.ancestors().nth(2).unwrap().to_path_buf() } else { place };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("`GODWIT_TEST_WEBHOOK_EXAMPLES` is there")
        .map(|entry| entry.unwrap().path().join("index.json"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn b7_every_published_example_is_answered_and_never_with_5xx() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--role", "web"], &[("GODWIT_WEBHOOK_SECRET", SECRET)]);
    let (mut posted, mut stored) = (0, 0);
    for file in files() {
        let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for event in events {
            let name = event["name"].as_str().unwrap();
            for example in event["examples"].as_array().unwrap() {
                posted += 1;
                let body = serde_json::to_vec(example).unwrap();
                let answer = deliver(served.address, name, &format!("example-{posted}"), &body);
                let action = &example["action"];
                assert_eq!(answer.status, 202, "{name} {action} of {}: {}", file.display(), answer.body);
                stored += usize::from(answer.body.contains("stored"));
            }
        }
    }
    assert!(posted >= 300, "only {posted} examples");
    assert!(stored >= 30, "only {stored} of them are work");
    assert_eq!(get(served.address, "/readyz").status, 200);
}
