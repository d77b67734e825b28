//! `action.yml` as a workflow uses it.
#![cfg(unix)]

mod release;
mod runner;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use self::runner::{Ended, Step};
use crate::support::postgres_server;

const BIN: &str = env!("CARGO_BIN_EXE_godwit");
const NEW: [(&str, &str); 1] = [("db/0002_new.up.sql", "create table new (id bigint primary key);\n")];

/// A checkout of a pull request: `main` with one migration, which is not looked at, and the branch's on top of it.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new(branch: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init(dir.path()).unwrap();
        let commit = |files: &[(&str, &str)], parent: Option<git2::Oid>| {
            let mut index = repository.index().unwrap();
            for (path, text) in files {
                let place = dir.path().join(path);
                std::fs::create_dir_all(place.parent().unwrap()).unwrap();
                std::fs::write(place, text).unwrap();
                index.add_path(Path::new(path)).unwrap();
            }
            index.write().unwrap();
            let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
            let by = git2::Signature::now("Ada", "ada@example.com").unwrap();
            let parent = parent.map(|id| repository.find_commit(id).unwrap());
            let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
            repository.commit(Some("HEAD"), &by, &by, "change", &tree, &parents).unwrap()
        };
        let base = commit(&[("db/0001_old.up.sql", "delete from t;\n")], None);
        repository.reference("refs/remotes/origin/main", base, true, "as checkout does").unwrap();
        let head = commit(branch, Some(base));
        repository.set_head_detached(head).unwrap();
        drop(repository);
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, with: &[(&str, &str)]) -> Ended {
        let all: Vec<(&str, &str)> = [("bin", BIN)].iter().chain(with).copied().collect();
        Step { workspace: self.path(), with: &all, token: "", base: "main", env: &[] }.run()
    }
}

#[test]
fn a_pull_request_is_annotated_worst_first_with_everything_in_the_summary_and_the_outputs() {
    let names: Vec<String> = (2..30).map(|n| format!("db/00{n:02}_t.up.sql")).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().map(|n| (n.as_str(), "alter table t add column c varchar(9);\n")).collect();
    files.push(("db/0099_last.up.sql", "update t set a = 1;\n"));
    let checkout = Checkout::new(&files);
    let ended = checkout.run(&[("sarif-file", "out/godwit.sarif"), ("path", "db")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // The error stands first although its file is last; what the base has is not looked at.
    assert_eq!((ended.shown[0].0.as_str(), ended.shown[0].1.as_str()), ("error", "db/0099_last.up.sql"), "{ended:?}");
    assert!(ended.shown.iter().all(|(_, file, _)| file != "db/0001_old.up.sql"));
    assert_eq!(ended.dropped, 0, "no more is printed than GitHub shows: {}", ended.stdout);
    for name in &names {
        assert!(ended.summary.contains(name.as_str()), "{name} in {}", ended.summary);
    }
    assert_eq!(ended.outputs["risk"], "HIGH");
    assert!(ended.outputs["digest"].starts_with("sha256:"));
    assert!(ended.outputs["violations"].parse::<usize>().unwrap() >= 29, "{:?}", ended.outputs);
    assert_eq!(
        (ended.outputs["rehearsal"].as_str(), ended.outputs["sarif-file"].as_str()),
        ("none", "out/godwit.sarif")
    );
    for (level, code) in [("never", 0), ("warning", 1)] {
        assert_eq!(checkout.run(&[("path", "db"), ("fail-on", level)]).code, Some(code), "{level}");
    }
    assert_eq!(checkout.run(&[("path", "db"), ("fail-on", "sometimes")]).code, Some(2));
}

#[test]
fn f206_n05_s4_58_a_merged_migration_that_is_edited_fails_the_action_with_a_path_too() {
    let checkout = Checkout::new(&[("db/0001_old.up.sql", "delete from t where a = 1;\n")]);
    let ended = checkout.run(&[("path", "db")]);
    assert_eq!((ended.code, ended.outputs["risk"].as_str()), (Some(1), "HIGH"), "{ended:?}");
    let told = |(level, file, message): &(String, String, String)| {
        level == "error" && file == "db/0001_old.up.sql" && message.contains("is edited here")
    };
    assert!(ended.shown.iter().any(told), "{ended:?}");
}

#[test]
fn the_sarif_log_is_valid_by_its_schema() {
    let file = std::env::var("GODWIT_TEST_SARIF_SCHEMA").expect("`scripts/test` sets GODWIT_TEST_SARIF_SCHEMA");
    let mut schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // The pattern of a language's code, which we do not give, is no regular expression: a bracket too many.
    for part in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][part]["properties"]["language"];
        assert!(language["pattern"].is_string());
        language["pattern"] = "^[a-zA-Z]{2}".into();
    }
    let schema = jsonschema::validator_for(&schema).unwrap();
    let odd = "db/0003_ü \"odd\" 100%.up.sql";
    for files in [
        &NEW[..],
        &[("db/0002_b.up.sql", "update t set a = 1;\ncreate index i on t (a);\ngrant all on t to public;\n")],
        &[(odd, "alter table t add column b int not null;\ndrop table u;\n"), ("db/0004_c.up.sql", "select from;;\n")],
    ] {
        let checkout = Checkout::new(files);
        checkout.run(&[("sarif-file", "log.sarif"), ("fail-on", "never")]);
        let text = std::fs::read_to_string(checkout.path().join("log.sarif")).unwrap();
        let log: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wrong: Vec<String> = schema.iter_errors(&log).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{text}");
        for result in log["runs"][0]["results"].as_array().unwrap() {
            assert!(result["partialFingerprints"]["primaryLocationLineHash"].is_string(), "{result}");
            let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            assert!(place.as_str().unwrap().is_ascii() && !place.as_str().unwrap().contains(' '), "{place}");
        }
    }
}

/// A server that answers every request with one of `answers`, in order; gives its address and what it was asked.
fn answering(answers: Vec<(&'static str, String)>) -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let Ok((stream, _)) = listener.accept() else { return };
            let mut input = BufReader::new(stream);
            let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
            input.read_line(&mut first).unwrap();
            while input.read_line(&mut line).unwrap() > 2 {
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut asked = vec![0; length];
            input.read_exact(&mut asked).unwrap();
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            write!(input.get_mut(), "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
            if send.send((first.trim().to_owned(), String::from_utf8(asked).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

#[test]
fn one_comment_is_kept_and_a_forks_token_that_may_only_read_changes_nothing_about_the_result() {
    let checkout = Checkout::new(&NEW);
    let run = |api: &str, comment: &str| {
        let with = [("bin", BIN), ("path", "db"), ("comment", comment)];
        Step {
            workspace: checkout.path(),
            with: &with,
            token: "ghs_sesame",
            base: "main",
            env: &[("GITHUB_API_URL", api)],
        }
        .run()
    };
    // Nobody is asked without the wish, and the token is not even in the environment.
    assert_eq!(run("http://127.0.0.1:1", "false").code, Some(0));
    let (api, asked) = answering(vec![("200 OK", "[]".to_owned()), ("201 Created", "{\"id\":5}".to_owned())]);
    let ended = run(&api, "true");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (list, write) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert!(list.0.starts_with("GET /repos/acme/shop/issues/17/comments?"), "{list:?}");
    assert!(write.0.starts_with("POST /repos/acme/shop/issues/17/comments "), "{write:?}");
    assert!(write.1.contains("<!-- godwit:ci -->") && !write.1.contains("ghs_sesame"), "{write:?}");
    let there = r#"[{"id":5,"user":{"type":"Bot"},"body":"<!-- godwit:ci -->\nold"}]"#.to_owned();
    let (api, asked) = answering(vec![("200 OK", there), ("200 OK", "{\"id\":5}".to_owned())]);
    assert_eq!(run(&api, "true").code, Some(0));
    asked.recv().unwrap();
    assert!(asked.recv().unwrap().0.starts_with("PATCH /repos/acme/shop/issues/comments/5 "));
    let refusal = r#"{"message":"Resource not accessible by integration"}"#.to_owned();
    let (api, _asked) = answering(vec![("200 OK", "[]".to_owned()), ("403 Forbidden", refusal)]);
    let ended = run(&api, "true");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("no comment was written: GitHub answers 403"), "{}", ended.stderr);
    assert!(!format!("{ended:?}").contains("ghs_sesame"));
    assert!(ended.summary.contains("0002_new"));
}

/// A folder in front of PATH whose `curl` fetches from `releases` what the action asks of GitHub over TLS, and notes it.
fn downloads(dir: &Path, releases: &Path) -> String {
    let script = format!(
        "#!/bin/bash\n\
         while [ $# -gt 0 ]; do case $1 in --output) out=$2; shift ;; --proto) proto=$2; shift ;; --retry) shift ;; https://*) url=$1 ;; esac; shift; done\n\
         [ \"$proto\" = '=https' ] || exit 3\n\
         echo \"$url\" >>'{dir}/asked'\n\
         cp \"{releases}/$(basename \"$url\")\" \"$out\" 2>/dev/null || {{ echo 'curl: (22) 404' >&2; exit 22; }}\n",
        dir = dir.display(),
        releases = releases.display()
    );
    let program = dir.join("curl");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

/// A release of this machine's kind, whose program is the one under test; gives the archive's name.
fn release(dir: &Path, version: &str) -> PathBuf {
    std::fs::write(dir.join("godwit"), format!("#!/bin/sh\nexec '{BIN}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(dir.join("godwit"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let target = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "aarch64-apple-darwin",
        ("macos", _) => "x86_64-apple-darwin",
        (_, "aarch64") => "aarch64-unknown-linux-musl",
        _ => "x86_64-unknown-linux-musl",
    };
    let archive = dir.join(format!("godwit-{version}-{target}.tar.gz"));
    let packed = std::process::Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(dir).arg("godwit").status();
    assert!(packed.unwrap().success());
    std::fs::remove_file(dir.join("godwit")).unwrap();
    let sum = godwit::migration::checksum::sha256_hex(&std::fs::read(&archive).unwrap());
    let name = archive.file_name().unwrap().to_str().unwrap();
    std::fs::write(dir.join("SHA256SUMS"), format!("{}  other.tar.gz\n{sum}  {name}\n", "0".repeat(64))).unwrap();
    archive
}

#[test]
fn a_release_is_downloaded_by_its_exact_version_and_runs_only_with_its_checksum() {
    let (checkout, bin, releases) = (Checkout::new(&NEW), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = downloads(bin.path(), releases.path());
    let archive = release(releases.path(), "1.2.3");
    let name = archive.file_name().unwrap().to_str().unwrap().to_owned();
    let run = |version: &str| {
        let with = [("version", version), ("path", "db")];
        Step { workspace: checkout.path(), with: &with, token: "", base: "main", env: &[("PATH", &path)] }.run()
    };
    let ended = run("1.2.3");
    assert_eq!((ended.code, ended.outputs["risk"].as_str()), (Some(0), "MEDIUM"), "{ended:?}");
    let asked = std::fs::read_to_string(bin.path().join("asked")).unwrap();
    let from = "https://github.com/godwit-dev/godwit/releases/download/v1.2.3";
    assert_eq!(asked, format!("{from}/{name}\n{from}/SHA256SUMS\n"));
    for (version, says) in [
        ("latest", "version must be an exact release"),
        ("", "version must be an exact release"),
        ("1.2.3/../9", "version must be an exact release"),
        ("9.9.9", "cannot download godwit-9.9.9"),
    ] {
        let ended = run(version);
        let wrong = version == "latest";
        assert_eq!(ended.code, Some(2), "{version}: {ended:?}");
        assert!(wrong || ended.shown.iter().any(|(_, _, message)| message.contains(says)), "{version}: {ended:?}");
    }
    // One byte more, and nothing of it runs.
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes.push(0);
    std::fs::write(&archive, bytes).unwrap();
    let ended = run("1.2.3");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.shown[0].2.contains(&format!("the checksum of {name} is wrong")), "{ended:?}");
    assert!(ended.outputs["risk"].is_empty() && ended.summary.is_empty());
    std::fs::write(releases.path().join("SHA256SUMS"), "").unwrap();
    assert_eq!(run("1.2.3").code, Some(2));
}

#[test]
fn a_service_container_tries_what_the_branch_brings_and_its_password_is_masked() {
    let checkout = Checkout::new(&[
        ("db/0001_old.up.sql", "create table action_old (id bigint primary key);\n"),
        ("db/0002_new.up.sql", "create table action_new (id bigint primary key);\n"),
        ("db/0002_new.down.sql", "select now();\n"),
    ]);
    let server = postgres_server();
    let ended = checkout.run(&[("path", "db"), ("rehearse-url", &server), ("fail-on", "error")]);
    assert!(ended.masked.contains(&server), "{ended:?}");
    assert_eq!((ended.code, ended.outputs["rehearsal"].as_str()), (Some(1), "wrong"), "{ended:?}");
    assert!(ended.shown.iter().any(|(_, file, m)| file == "db/0002_new.up.sql" && m.contains("did not restore")));
    assert!(ended.summary.contains("### Rehearsal"), "{}", ended.summary);
}
