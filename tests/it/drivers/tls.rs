//! Servers that take encrypted connections alone, with a certificate that a private authority has signed.

use crate::support::servers::OwnServer;
use crate::support::{Said, godwit};

struct Case {
    server: &'static str,
    engine: &'static str,
    file: (&'static str, &'static str),
    /// The plain address as one that does not encrypt.
    plain: fn(&str) -> String,
    /// As one that does, and knows no authority.
    stranger: fn(&str) -> String,
    /// And as one that knows it.
    friend: fn(&str, &str) -> String,
    /// What the errors say to write.
    on: &'static str,
    authority: &'static str,
}

const MONGO: &str = r#"{ "version": "1.0.0", "name": "a", "description": "One collection", "database_type": "mongodb",
  "migration_type": "schema", "operations": [{ "type": "create_collection", "collection": "a" }] }"#;
const ELASTIC: &str = r#"{ "version": "1.0.0", "name": "a", "description": "One index", "database_type": "elasticsearch",
  "migration_type": "schema", "operations": [{ "type": "create_index", "index": "a", "mapping": {}, "settings": { "number_of_replicas": 0 } }] }"#;
const REDIS: &str = r#"{ "version": "1.0.0", "name": "a", "description": "One key", "database_type": "redis",
  "migration_type": "data", "operations": [{ "type": "rename_keys", "keys": { "match": "old:*" }, "from": "old:", "to": "new:" }] }"#;

fn check(case: &Case) {
    let server = OwnServer::up(case.server);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(case.engine);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(case.file.0), case.file.1).unwrap();
    let run = |url: &str, command: &str| -> Said {
        godwit(dir.path()).args([command, "--url", url, "--path"]).arg(&folder).output().unwrap().into()
    };
    let authority = server.path().join(format!("{}_certificates/ca.pem", case.server));
    for (url, wanted) in [((case.plain)(&server.url), case.on), ((case.stranger)(&server.url), case.authority)] {
        let said = run(&url, "status");
        assert_eq!(said.code, Some(5), "{url}: {said:?}");
        assert!(said.stderr.contains(wanted) && said.stdout.is_empty(), "{url}: {said:?}");
    }
    let missing = run(&(case.friend)(&server.url, "/nowhere/ca.pem"), "status").expect(5);
    assert!(
        !missing.stderr.contains("panicked") && ["ca.pem", "sslrootcert"].iter().any(|w| missing.stderr.contains(w)),
        "{missing:?}"
    );
    let url = (case.friend)(&server.url, authority.to_str().unwrap());
    let applied: Said =
        godwit(dir.path()).args(["apply", "--yes", "--url", &url, "--path"]).arg(&folder).output().unwrap().into();
    applied.expect(0);
    assert!(run(&url, "status").expect(0).stdout.contains("applied"));
}

fn with(url: &str, query: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{query}")
}

#[test]
fn postgresql_over_tls_alone() {
    check(&Case {
        server: "postgres_tls",
        engine: "postgresql",
        file: ("0001_a.up.sql", "create table a (n int);"),
        plain: |url| with(url, "sslmode=disable"),
        stranger: |url| with(url, "sslmode=verify-full"),
        friend: |url, ca| with(url, &format!("sslmode=verify-full&sslrootcert={ca}")),
        on: "`sslmode=require`",
        authority: "`sslrootcert=FILE`",
    });
}

#[test]
fn mongodb_over_tls_alone() {
    check(&Case {
        server: "mongodb_tls",
        engine: "mongodb",
        file: ("001_a.json", MONGO),
        plain: |url| format!("{url}shop?serverSelectionTimeoutMS=2000"),
        stranger: |url| format!("{url}shop?tls=true&serverSelectionTimeoutMS=2000"),
        friend: |url, ca| format!("{url}shop?tls=true&tlsCAFile={ca}"),
        on: "`tls=true`",
        authority: "`tlsCAFile=FILE`",
    });
}

#[test]
fn redis_over_tls_alone() {
    check(&Case {
        server: "redis_tls",
        engine: "redis",
        file: ("001_a.json", REDIS),
        plain: str::to_owned,
        stranger: |url| url.replacen("redis:", "rediss:", 1),
        friend: |url, ca| with(&url.replacen("redis:", "rediss:", 1), &format!("ca={ca}")),
        on: "`rediss://`",
        authority: "`ca=FILE`",
    });
}

#[test]
fn elasticsearch_over_tls_alone() {
    check(&Case {
        server: "elasticsearch_tls",
        engine: "elasticsearch",
        file: ("001_a.json", ELASTIC),
        plain: str::to_owned,
        stranger: |url| url.replacen("http:", "https:", 1),
        friend: |url, ca| with(&url.replacen("http:", "https:", 1), &format!("ca={ca}")),
        on: "`elasticsearch+https://`",
        authority: "`ca=FILE`",
    });
}
