//! The real git repository behind the emulator: a bare one that `git http-backend` serves, and a working copy that people push from.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

/// A bare repository and a working copy of it.
pub struct Repository {
    /// The bare repository, at `ROOT/OWNER/NAME.git`.
    pub bare: PathBuf,
    /// The working copy.
    pub work: PathBuf,
    uploaded: Mutex<HashSet<String>>,
}

impl Repository {
    /// Makes both, with an empty `main`.
    pub fn new(root: &Path, full_name: &str) -> Self {
        let bare = root.join("git").join(format!("{full_name}.git"));
        let work = root.join("work");
        std::fs::create_dir_all(&bare).unwrap();
        git(root, &["init", "--quiet", "--bare", "--initial-branch=main", bare.to_str().unwrap()]);
        git(root, &["clone", "--quiet", bare.to_str().unwrap(), work.to_str().unwrap()]);
        Self { bare, work, uploaded: Mutex::default() }
    }

    /// Makes `branch` of `from` current in the working copy (an orphan-like first branch where `from` is none).
    pub fn branch(&self, branch: &str, from: Option<&str>) {
        match from {
            Some(from) => {
                git(&self.work, &["fetch", "--quiet", "origin"]);
                git(&self.work, &["checkout", "--quiet", "-B", branch, &format!("origin/{from}")])
            }
            None => git(&self.work, &["checkout", "--quiet", "-B", branch]),
        };
    }

    /// Writes a file of the working copy.
    pub fn write(&self, path: &str, content: &[u8]) {
        let file = self.work.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// Commits everything as that person, pushes the current branch to the bare repository, gives its head.
    pub fn push(&self, login: &str, message: &str) -> String {
        git(&self.work, &["add", "--all"]);
        let email = format!("{login}@example.com");
        git(
            &self.work,
            &[
                "-c",
                &format!("user.name={login}"),
                "-c",
                &format!("user.email={email}"),
                "commit",
                "--quiet",
                "-m",
                message,
            ],
        );
        git(&self.work, &["push", "--quiet", "origin", "HEAD"]);
        git(&self.work, &["rev-parse", "HEAD"])
    }

    /// Sends what the other side lacks of `commit` through the REST git database, and checks that the object ids agree.
    pub fn upload(&self, commit: &str, post: &dyn Fn(&str, Value) -> Value) {
        for sha in git(&self.bare, &["rev-list", "--reverse", "--topo-order", commit]).lines() {
            if self.is_new(sha) {
                self.upload_commit(sha, post);
            }
        }
    }

    fn is_new(&self, sha: &str) -> bool {
        self.uploaded.lock().unwrap().insert(sha.to_owned())
    }

    fn upload_commit(&self, sha: &str, post: &dyn Fn(&str, Value) -> Value) {
        let shown =
            git(&self.bare, &["show", "-s", "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B", sha]);
        let [tree, parents, an, ae, ad, cn, ce, cd, message] =
            shown.splitn(9, '\0').collect::<Vec<_>>().try_into().unwrap();
        self.upload_tree(tree, post);
        let made = post(
            "/git/commits",
            json!({
                "message": message.trim_end_matches('\n'),
                "tree": tree,
                "parents": parents.split_whitespace().collect::<Vec<_>>(),
                "author": { "name": an, "email": ae, "date": ad },
                "committer": { "name": cn, "email": ce, "date": cd },
            }),
        );
        assert_eq!(made["sha"], sha, "the emulator's commit is another one than git's");
    }

    fn upload_tree(&self, sha: &str, post: &dyn Fn(&str, Value) -> Value) {
        if !self.is_new(sha) {
            return;
        }
        let mut entries = Vec::new();
        for line in git(&self.bare, &["ls-tree", "-z", sha]).split_terminator('\0') {
            let (head, path) = line.split_once('\t').unwrap();
            let [mode, kind, sha] = head.split(' ').collect::<Vec<_>>().try_into().unwrap();
            match kind {
                "tree" => self.upload_tree(sha, post),
                _ => self.upload_blob(sha, post),
            }
            entries.push(json!({ "path": path, "mode": mode, "type": kind, "sha": sha }));
        }
        let made = post("/git/trees", json!({ "tree": entries }));
        assert_eq!(made["sha"], sha, "the emulator's tree is another one than git's");
    }

    fn upload_blob(&self, sha: &str, post: &dyn Fn(&str, Value) -> Value) {
        if self.is_new(sha) {
            // The fixtures are text, which saves the test a base64 encoder.
            let content = git_raw(&self.bare, &["cat-file", "blob", sha]);
            let made =
                post("/git/blobs", json!({ "content": String::from_utf8(content).unwrap(), "encoding": "utf-8" }));
            assert_eq!(made["sha"], sha, "the emulator's blob is another one than git's");
        }
    }

    /// Writes a commit that was made by REST (a merge) into the bare repository and moves the branch to it.
    pub fn adopt(&self, branch: &str, commit: &Value) {
        let mut text = format!("tree {}\n", commit["tree"]["sha"].as_str().unwrap());
        for parent in commit["parents"].as_array().unwrap() {
            text += &format!("parent {}\n", parent["sha"].as_str().unwrap());
        }
        for who in ["author", "committer"] {
            let person = &commit[who];
            let date = chrono::DateTime::parse_from_rfc3339(person["date"].as_str().unwrap()).unwrap();
            let (name, email) = (person["name"].as_str().unwrap(), person["email"].as_str().unwrap());
            text += &format!("{who} {name} <{email}> {} {}\n", date.timestamp(), date.format("%z"));
        }
        text += &format!("\n{}\n", commit["message"].as_str().unwrap());
        let file = self.bare.join("adopted-commit");
        std::fs::write(&file, text).unwrap();
        let sha = git(&self.bare, &["hash-object", "-t", "commit", "-w", file.to_str().unwrap()]);
        assert_eq!(commit["sha"], sha, "git's merge commit is another one than the emulator's");
        self.uploaded.lock().unwrap().insert(sha.clone());
        git(&self.bare, &["update-ref", &format!("refs/heads/{branch}"), &sha]);
    }

    /// What GitHub lists as a pull request's files: the difference from the merge base.
    pub fn changed_files(&self, base: &str, head: &str) -> Value {
        let mut files = Vec::new();
        for line in git(&self.bare, &["diff", "--no-renames", "--name-status", &format!("{base}...{head}")]).lines() {
            let (status, path) = line.split_once('\t').unwrap();
            let status = match status {
                "A" => "added",
                "D" => "removed",
                _ => "modified",
            };
            let sha = if status == "removed" {
                head.to_owned()
            } else {
                git(&self.bare, &["rev-parse", &format!("{head}:{path}")])
            };
            files.push(json!({
                "sha": sha, "filename": path, "status": status, "additions": 1, "deletions": 0, "changes": 1,
                "blob_url": "", "raw_url": "", "contents_url": "", "patch": "",
            }));
        }
        Value::Array(files)
    }
}

/// Runs git and gives its standard output without the last line end.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8(git_raw(folder, arguments)).unwrap().trim_end_matches('\n').to_owned()
}

fn git_raw(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = git_command().current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `git` that neither the machine's nor the user's configuration reaches.
pub fn git_command() -> Command {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}
