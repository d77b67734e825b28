//! Real git and libgit2 fetch from the stand-in.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use secrecy::ExposeSecret;

use super::{Shop, shop};
use godwit::sandbox::{Change, NewCommit};

/// Runs git without the machine's configuration; gives whether it succeeded and what it said.
fn git(at: &Path, token: Option<&str>, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    command.current_dir(at).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("HOME", at);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    if let Some(token) = token {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        command.args(["-c", &format!("http.extraHeader=Authorization: Basic {basic}")]);
    }
    let output = command.args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn works(result: (bool, String)) -> String {
    assert!(result.0, "{}", result.1);
    result.1
}

#[test]
fn git_clones_and_fetches_what_changed() {
    let Shop { sandbox, repo, pull } = shop();
    let token = sandbox.installation_token();
    let token = Some(token.expose_secret());
    let place = tempfile::tempdir().unwrap();
    works(git(place.path(), token, &["clone", &repo.clone_url(), "work"]));
    let work = place.path().join("work");
    assert_eq!(std::fs::read_to_string(work.join("README.md")).unwrap(), "# Shop\n");
    // Enough history on both sides that git compresses its request and needs more than one round.
    for n in 0..60 {
        pull.push("alice", &[NewCommit::new("alice", "More", &[Change::write("n.txt", n.to_string())])]).unwrap();
    }
    works(git(&work, token, &["fetch", "origin", "+refs/pull/*/head:refs/remotes/pull/*"]));
    for n in 0..60 {
        pull.push("alice", &[NewCommit::new("alice", "More", &[Change::write("m.txt", n.to_string())])]).unwrap();
    }
    works(git(&work, token, &["fetch", "origin", "+refs/pull/*/head:refs/remotes/pull/*"]));
    let seen = works(git(&work, None, &["rev-parse", "refs/remotes/pull/1"]));
    assert_eq!(seen.trim(), pull.head_sha().unwrap());
    works(git(&work, None, &["fsck", "--strict"]));
    works(git(&work, token, &["fetch", "origin"]));
    let sha = pull.head_sha().unwrap();
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    works(git(&other, None, &["init", "-q"]));
    works(git(&other, token, &["fetch", &repo.clone_url(), &sha]));
}

#[test]
fn git_is_let_in_with_a_live_token_only() {
    let Shop { sandbox, repo, .. } = shop();
    let place = tempfile::tempdir().unwrap();
    let token = sandbox.installation_token();
    for wrong in [None, Some("ghs_wrong")] {
        assert!(!git(place.path(), wrong, &["ls-remote", &repo.clone_url()]).0);
    }
    let listed = works(git(place.path(), Some(token.expose_secret()), &["ls-remote", &repo.clone_url()]));
    assert!(listed.contains("refs/pull/1/head") && listed.contains("HEAD"), "{listed}");
    sandbox.revoke_tokens();
    assert!(!git(place.path(), Some(token.expose_secret()), &["ls-remote", &repo.clone_url()]).0);
    let answer = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = format!("{}/info/refs?service=git-upload-pack", repo.clone_url());
    let refused = answer.get(url).call().unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
}

#[test]
fn libgit2_fetches_into_a_bare_mirror() {
    let Shop { sandbox, repo, pull } = shop();
    let place = tempfile::tempdir().unwrap();
    let mirror = git2::Repository::init_bare(place.path()).unwrap();
    let fetch = || {
        let token = sandbox.installation_token();
        let mut callbacks = git2::RemoteCallbacks::new();
        callbacks.credentials(move |_, _, _| git2::Cred::userpass_plaintext("x-access-token", token.expose_secret()));
        let mut options = git2::FetchOptions::new();
        options.remote_callbacks(callbacks);
        let mut remote = mirror.remote_anonymous(&repo.clone_url()).unwrap();
        remote.fetch(&["+refs/heads/*:refs/heads/*", "+refs/pull/*/head:refs/pull/*/head"], Some(&mut options), None)
    };
    fetch().unwrap();
    for n in 0..40 {
        pull.push("alice", &[NewCommit::new("alice", "More", &[Change::write("n.txt", n.to_string())])]).unwrap();
    }
    pull.force_push("alice", "main", &[NewCommit::new("alice", "Anew", &[Change::write("a.sql", "a\n")])]).unwrap();
    fetch().unwrap();
    let head = mirror.find_reference("refs/pull/1/head").unwrap().peel_to_commit().unwrap().id().to_string();
    assert_eq!(head, pull.head_sha().unwrap());
}

#[test]
fn a_fork_shows_its_own_branches_and_the_pull_request_its_head() {
    let Shop { sandbox, repo, .. } = shop();
    let fork = repo.fork("mallory").unwrap();
    fork.commit("feature", "mallory", "Mine", &[Change::write("x.txt", "x\n")]).unwrap();
    let token = sandbox.installation_token();
    let place = tempfile::tempdir().unwrap();
    let listed = works(git(place.path(), Some(token.expose_secret()), &["ls-remote", &repo.clone_url()]));
    assert!(!listed.contains("feature"), "{listed}");
}
