//! `godwit policy explain --pr N`: the same tree as the check, for whoever asks.

use super::world::World;

const ORDERS: [(&str, &str); 2] = [
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn explain_asks_github_and_changes_nothing() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    let work = world.checkout("main");
    let token = world.token("rosa");
    let number = pull.number().to_string();
    let ask = ["policy", "explain", "--pr", &number, "--for", "acme/shop"];
    let before = world.sandbox.recorder().exchanges.len();
    let (code, out, err) = world.godwit(&work, &token, &ask).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("production: 1 of 2 approvals; missing `dba`"), "{out}");
    let asked = world.sandbox.recorder().exchanges.split_off(before);
    assert!(!asked.is_empty() && asked.iter().all(|e| e.method == "GET"), "it only reads");
    // Without the server's store what reviews were about is proved from git.
    let alone = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", alone.path().join("other.db").display());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .args(ask)
        .args(["--format", "json", "--store", &store])
        .env("GODWIT_DATA_DIR", alone.path())
        .env("GODWIT_GITHUB_API_URL", world.sandbox.base_url())
        .env("GODWIT_TOKEN", &token);
    world.approve(&pull, "dora").await;
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), json["status"].as_str()), (Some(0), Some("approved")), "{json}");

    for (args, code, part) in [
        (&["policy", "explain", "--pr", "99", "--for", "acme/shop"][..], 2, "GitHub has no"),
        (&["policy", "explain", "--pr", &number, "--for", "acme/other"], 2, "GitHub has no"),
        (&["policy", "explain"], 2, "--pr"),
    ] {
        let (found, _, err) = world.godwit(&work, &token, args).await;
        assert_eq!(found, code, "{err}");
        assert!(err.contains(part), "{part}\n{err}");
    }
    let (code, _, err) = world.godwit(&work, "", &ask).await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("GODWIT_TOKEN"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_a_policy_that_cannot_be_read() {
    let world = World::start_with(&[("policies/roles.yml", "dba: { usres: [dora] }\n")]).await;
    let pull = world.open("orders", &ORDERS).await;
    let work = world.checkout("main");
    let number = pull.number().to_string();
    let ask = ["policy", "explain", "--pr", &number, "--for", "acme/shop"];
    let (code, _, err) = world.godwit(&work, &world.token("rosa"), &ask).await;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("policies/roles.yml:1") && err.contains("usres"), "{err}");
}
