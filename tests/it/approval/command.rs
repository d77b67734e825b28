//! `godwit policy` as people and scripts use it.

use std::path::Path;
use std::process::{Command, Output};

use super::world::{ROLES, World};
use godwit::ids::Risk;

fn godwit(repo: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_godwit")).arg("policy").args(args).arg("--repo").arg(repo).output().unwrap()
}

fn text(output: &Output) -> (i32, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), utf8(&output.stdout), utf8(&output.stderr))
}

fn repo(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    dir
}

#[test]
fn check_names_every_mistake_with_its_line() {
    let broken = repo(&[("policies/roles.yml", "dba:\n  team: []\n"), ("godwit.yml", "version: 1\nmigration: []\n")]);
    let (code, out, _) = text(&godwit(broken.path(), &["check"]));
    assert_eq!(code, 2);
    assert!(out.contains("error: godwit.yml:2:1: unknown key `migration`, did you mean `migrations`?"), "{out}");
    assert!(out.contains("error: policies/roles.yml:2:3: unknown key `team` in `dba`, did you mean `teams`?"), "{out}");
    assert!(out.ends_with("2 errors to fix.\n"), "{out}");

    let sound = repo(&[("policies/roles.yml", ROLES)]);
    let (code, out, _) = text(&godwit(sound.path(), &["check", "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["valid"]), (0, &serde_json::Value::Bool(true)), "{out}");
    assert_eq!(json["files"], serde_json::json!(["policies/roles.yml"]));
}

#[test]
fn check_finds_what_loads_and_cannot_work() {
    let (code, out, _) = text(&godwit(repo(&[]).path(), &["check"]));
    assert_eq!(code, 2);
    assert!(out.contains("nobody holds the role `cto`"), "{out}");
    let (code, _, err) = text(&godwit(repo(&[]).path(), &["check", "--config", "/nowhere/godwit.yml"]));
    assert_eq!(code, 2);
    assert!(err.contains("cannot read `/nowhere/godwit.yml`"), "{err}");
}

#[test]
fn owners_gives_the_documented_json() {
    let dir =
        repo(&[("docs/CODEOWNERS", "* @late\n"), ("CODEOWNERS", "* @all\n/docs/\n*.sql @acme/dba @lea\n[x] @y\n")]);
    let (code, out, err) =
        text(&godwit(dir.path(), &["owners", "a b.sql", "docs/x.md", "README.md", "--format", "json"]));
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            { "path": "a b.sql", "owners": ["@acme/dba", "@lea"], "line": 3 },
            { "path": "docs/x.md", "owners": [], "line": 2 },
            { "path": "README.md", "owners": ["@all"], "line": 1 },
        ])
    );
    assert!(err.contains("CODEOWNERS:4: GitHub skips this line"), "{err}");
    let file = dir.path().join("docs/CODEOWNERS");
    let (_, out, _) = text(&godwit(dir.path(), &["owners", "x", "--codeowners", file.to_str().unwrap()]));
    assert_eq!(out, "x: @late (line 1)\n");
    let (_, out, _) = text(&godwit(repo(&[]).path(), &["owners", "x", "--format", "json"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()[0]["line"], serde_json::Value::Null);
    let (code, _, err) = text(&godwit(dir.path(), &["owners", "x", "--codeowners", "/nowhere"]));
    assert_eq!(code, 2);
    assert!(err.contains("cannot read `/nowhere`"), "{err}");
}

#[test]
fn simulate_answers_what_if() {
    let dir = repo(&[("policies/roles.yml", ROLES)]);
    let ask = |args: &[&str]| text(&godwit(dir.path(), &[&["simulate", "--env", "production"], args].concat()));
    let (code, out, _) = ask(&["--risk", "MEDIUM", "--approve", "lea", "--approve", "dan:dba"]);
    assert_eq!(code, 3);
    assert!(out.contains("missing `tech_lead`"), "{out}");
    let (code, out, _) = ask(&["--risk", "MEDIUM", "--approve", "lea", "--approve", "dan:dba", "--approve", "tim"]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = ask(&["--approve", "lea", "--approve", "dan:dba", "--reject", "tim:dba"]);
    assert_eq!(code, 3);
    assert!(out.contains("@tim requested changes"), "{out}");
    let (code, out, _) = ask(&["--author", "lea", "--approve", "lea", "--format", "json"]);
    assert_eq!(code, 3);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["environments"].as_array().unwrap().len(), 1);
    let (code, out, _) = ask(&["--approved-by", "lea", "--approved-by", "dan:dba", "--committer", "dan"]);
    assert_eq!(code, 3);
    assert!(out.contains("missing `dba`"), "{out}");
    let (code, out, _) = ask(&["--approve", "lea", "--approve", "dan:dba", "--asked-hours-ago", "25"]);
    assert_eq!(code, 3);
    assert!(out.contains("expired"), "{out}");
    // Files of the policy need their owners besides.
    let (code, out, _) = ask(&["--approve", "lea", "--approve", "dan:dba", "m/0001_a.sql", "policies/roles.yml"]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = ask(&["--approve", "dan:dba", "godwit.yml"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("policy owners"), "{out}");
    for (args, part) in [
        (&["simulate", "--env", "prod"][..], "`prod` is not an environment; there are `development`"),
        (&["simulate", "--approve", "ann:boss"], "names the role `boss`"),
        (&["simulate", "--approve", "a b"], "is not a login"),
        (&["simulate", "--risk", "huge"], "not a valid risk"),
        (&["check", "--format", "sarif"], "--format text"),
    ] {
        let (code, _, err) = text(&godwit(dir.path(), args));
        assert_eq!(code, 2, "{args:?}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn explain_judges_a_saved_snapshot() {
    let world = World::new(Risk::Low).approve(&["lea", "dan"]);
    let files: Vec<(&str, &str)> = world.files.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let dir = repo(&files);
    let file = dir.path().join("snapshot.json");
    std::fs::write(&file, serde_json::to_string(&world.pr).unwrap()).unwrap();
    let args = ["explain", "--snapshot", file.to_str().unwrap(), "--at", "2026-11-21T13:00:00Z"];
    let (code, out, _) = text(&godwit(dir.path(), &args));
    assert_eq!(code, 3);
    assert!(out.contains("production: `data_ops_lead` by @lea, `dba` by @dan"), "{out}");
    assert!(out.contains("who could: 1 more of `data_ops`: @acme/data-ops"), "{out}");
    std::fs::write(&file, "{\"repo\": 1}").unwrap();
    let (code, _, err) = text(&godwit(dir.path(), &args));
    assert_eq!(code, 2);
    assert!(err.contains("is not a snapshot"), "{err}");
}
