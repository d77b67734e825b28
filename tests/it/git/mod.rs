//! The mirror against real git: a bare repository served over HTTP by `git http-backend`.

mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use godwit::git::{Change, ChangeKind, GitError, Mirrors, Remote, Want};
use godwit::ids::{CommitSha, PrNumber, RepoName};
use godwit::migration::FileContent;
use secrecy::SecretString;
use server::GitServer;

/// A working copy whose bare repository `o/r.git` is served.
struct Fixture {
    dir: tempfile::TempDir,
    work: PathBuf,
    server: GitServer,
}

impl Fixture {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("served/o/r.git");
        std::fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "-q", "--bare", "-b", "main"]);
        let work = dir.path().join("work");
        git(dir.path(), &["clone", "-q", bare.to_str().unwrap(), "work"]);
        git(&work, &["checkout", "-q", "-b", "main"]);
        let server = GitServer::start(dir.path().join("served"), "s3cret-token").await;
        Self { dir, work, server }
    }

    fn mirrors(&self) -> Mirrors {
        Mirrors::new(self.dir.path().join("mirrors"), &self.server.url, Duration::from_secs(20)).unwrap()
    }

    fn remote(&self) -> Remote {
        Remote {
            repo: RepoName::new("o/r").unwrap(),
            clone_url: format!("{}/o/r.git", self.server.url),
            token: Some(SecretString::from("s3cret-token")),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> CommitSha {
        git(&self.work, &["add", "-A"]);
        git(&self.work, &["commit", "-q", "--allow-empty", "-m", message]);
        CommitSha::new(git(&self.work, &["rev-parse", "HEAD"])).unwrap()
    }

    fn push(&self, refspec: &str) {
        git(&self.work, &["push", "-q", "-f", "origin", refspec]);
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn change(kind: ChangeKind, old: &str, new: &str) -> Change {
    Change { kind, old: old.into(), new: new.into() }
}

#[tokio::test]
async fn a_pull_request_is_read_at_its_commits() {
    let f = Fixture::start().await;
    f.write("migrations/postgresql/0001_a.up.sql", "create table a (id int);\n");
    f.write("migrations/postgresql/0002_b.up.sql", "create table b (id int, c text, d text, e text);\n");
    f.write("README.md", "hello");
    let base = f.commit("base");
    f.push("main");
    git(&f.work, &["checkout", "-q", "-b", "topic"]);
    f.write("migrations/postgresql/0003_c.up.sql", "create table c (id int);\n");
    std::fs::rename(
        f.work.join("migrations/postgresql/0002_b.up.sql"),
        f.work.join("migrations/postgresql/0002_bee.up.sql"),
    )
    .unwrap();
    std::fs::remove_file(f.work.join("README.md")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", f.work.join("migrations/postgresql/0004_d.up.sql")).unwrap();
    f.write("migrations/postgresql/0005_e.up.sql/x", "");
    let head = f.commit("topic\n\nCo-authored-by: Bob <bob@example.org>");
    f.push("topic:refs/pull/7/head");
    // The base moves on: what it adds is no change of the pull request.
    git(&f.work, &["checkout", "-q", "main"]);
    f.write("other.txt", "x");
    let tip = f.commit("moves on");
    f.push("main");

    let (wanted_base, wanted_head) = (base.clone(), head.clone());
    let wants = [Want::Branch("main".into()), Want::PullHead(PrNumber(7))];
    let seen = f
        .mirrors()
        .with(&f.remote(), &wants, move |m| {
            let tip = m.branch("main")?.unwrap();
            let head = m.pull_head(7)?.unwrap();
            assert_eq!(head, wanted_head);
            assert_eq!(m.merge_base(&tip, &head)?, Some(wanted_base.clone()));
            let files = m.files(&head, 30, &|p| p.starts_with("migrations/"))?;
            let old = m.file(&tip, "README.md")?;
            let link = m.file(&head, "migrations/postgresql/0004_d.up.sql")?;
            let gone = m.file(&head, "README.md")?;
            Ok((tip.clone(), m.changes(&tip, &head)?, files, m.people(&tip, &head)?, old, link, gone))
        })
        .await
        .unwrap();
    let (seen_tip, changes, files, people, old, link, gone) = seen;
    assert_eq!(seen_tip, tip);
    assert_eq!(
        changes,
        [
            change(ChangeKind::Added, "migrations/postgresql/0003_c.up.sql", "migrations/postgresql/0003_c.up.sql"),
            change(ChangeKind::Added, "migrations/postgresql/0004_d.up.sql", "migrations/postgresql/0004_d.up.sql"),
            change(ChangeKind::Added, "migrations/postgresql/0005_e.up.sql/x", "migrations/postgresql/0005_e.up.sql/x"),
            change(ChangeKind::Deleted, "README.md", "README.md"),
            change(ChangeKind::Renamed, "migrations/postgresql/0002_b.up.sql", "migrations/postgresql/0002_bee.up.sql"),
        ]
    );
    let shown: Vec<_> = files
        .iter()
        .map(|file| {
            let kind = match &file.content {
                FileContent::Bytes(b) => format!("{} bytes", b.len()),
                FileContent::Directory => "directory".into(),
                FileContent::Symlink => "link".into(),
                FileContent::Special => "special".into(),
                FileContent::Misnamed => "misnamed".into(),
                FileContent::TooLarge(size) => format!("{size} is too large"),
                FileContent::Long(long) => format!("{} bytes, not held", long.bytes),
            };
            (file.path.trim_start_matches("migrations/postgresql/"), kind)
        })
        .collect();
    let expected = [
        ("0001_a.up.sql", "25 bytes"),
        ("0002_bee.up.sql", "49 is too large"),
        ("0003_c.up.sql", "25 bytes"),
        ("0004_d.up.sql", "link"),
        ("0005_e.up.sql", "directory"),
        ("0005_e.up.sql/x", "0 bytes"),
    ];
    assert_eq!(shown, expected.map(|(p, k)| (p, k.to_owned())));
    assert_eq!(people.len(), 1);
    assert_eq!(
        (people[0].author.as_str(), &people[0].co_authors[..]),
        ("ann@example.org", &["bob@example.org".into()][..])
    );
    assert_eq!(old.as_deref(), Some(&b"hello"[..]));
    assert_eq!((link, gone), (None, None));
}

#[tokio::test]
async fn a_force_push_a_lost_commit_and_a_deleted_branch_are_seen() {
    let f = Fixture::start().await;
    f.write("a.sql", "1");
    let first = f.commit("first");
    f.push("main");
    f.push("main:refs/pull/1/head");
    let mirrors = f.mirrors();
    let head = |m: &godwit::git::Mirror| m.pull_head(1);
    let wants = [Want::PullHead(PrNumber(1))];
    assert_eq!(mirrors.with(&f.remote(), &wants, head).await.unwrap(), Some(first.clone()));
    git(&f.work, &["commit", "-q", "--amend", "-m", "other"]);
    let second = CommitSha::new(git(&f.work, &["rev-parse", "HEAD"])).unwrap();
    f.push("main:refs/pull/1/head");
    assert_eq!(mirrors.with(&f.remote(), &wants, head).await.unwrap(), Some(second));
    // The earlier head is still readable, as a review may have been given for it.
    let wanted = first.clone();
    let text = mirrors.with(&f.remote(), &[Want::Commit(first)], move |m| m.file(&wanted, "a.sql")).await.unwrap();
    assert_eq!(text.as_deref(), Some(&b"1"[..]));
    git(&f.work, &["push", "-q", "origin", ":refs/pull/1/head"]);
    assert_eq!(mirrors.with(&f.remote(), &wants, head).await.unwrap(), None);
    let never = CommitSha::new("1".repeat(40)).unwrap();
    let asked = never.clone();
    let error = mirrors.with(&f.remote(), &[Want::Commit(never.clone())], move |m| m.file(&asked, "a.sql")).await;
    assert_eq!(error.unwrap_err(), GitError::Missing(never.clone()));
    // However it is looked at, and the mirror is not taken for damaged: it would be thrown away each time.
    let kept = f.dir.path().join("mirrors/o/r.git/kept");
    std::fs::write(&kept, "").unwrap();
    type Look = fn(&godwit::git::Mirror, &CommitSha, &CommitSha) -> Result<(), GitError>;
    let looks: [Look; 4] = [
        |m, here, lost| m.merge_base(here, lost).map(drop),
        |m, here, lost| m.changes(here, lost).map(drop),
        |m, here, lost| m.people(here, lost).map(drop),
        |m, here, lost| m.messages(lost, here).map(drop),
    ];
    for look in looks {
        let (lost, gone) = (never.clone(), never.clone());
        let wants = [Want::Branch("main".into()), Want::Commit(never.clone())];
        let look = move |m: &godwit::git::Mirror| look(m, &m.branch("main")?.unwrap(), &lost);
        assert_eq!(mirrors.with(&f.remote(), &wants, look).await.unwrap_err(), GitError::Missing(gone));
    }
    assert!(kept.exists());
}

#[tokio::test]
async fn b20_the_token_travels_in_a_header_and_stays_nowhere() {
    let f = Fixture::start().await;
    f.write("a.sql", "1");
    f.commit("first");
    f.push("main");
    let mirrors = f.mirrors();
    let wants = [Want::Branch("main".into())];
    mirrors.with(&f.remote(), &wants, |m| m.branch("main")).await.unwrap();
    let everything = Command::new("grep")
        .args(["-r", "s3cret-token", f.dir.path().join("mirrors").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(everything.stdout.is_empty(), "the token was written to disk");
    assert!(f.server.addresses().iter().all(|a| !a.contains("s3cret")), "the token stands in an address");
    let wrong = Remote { token: Some(SecretString::from("wrong")), ..f.remote() };
    assert_eq!(mirrors.with(&wrong, &wants, |m| m.branch("main")).await.unwrap_err(), GitError::Refused);
    let elsewhere = Remote { clone_url: "https://example.org/o/r.git".into(), ..f.remote() };
    let error = mirrors.with(&elsewhere, &wants, |m| m.branch("main")).await.unwrap_err();
    assert!(matches!(error, GitError::ForeignHost(_)), "{error}");
}

#[tokio::test]
async fn a_damaged_mirror_is_fetched_anew() {
    let f = Fixture::start().await;
    f.write("a.sql", "1");
    let first = f.commit("first");
    f.push("main");
    let mirrors = f.mirrors();
    let wants = [Want::Branch("main".into())];
    let commit = first.clone();
    let read = move |m: &godwit::git::Mirror| m.file(&commit, "a.sql");
    mirrors.with(&f.remote(), &wants, read.clone()).await.unwrap();
    let packs = f.dir.path().join("mirrors/o/r.git/objects/pack");
    for entry in std::fs::read_dir(packs).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::write(f.dir.path().join("mirrors/o/r.git/config"), "[core\n\trepositoryformatversion = nonsense").unwrap();
    let text = mirrors.with(&f.remote(), &wants, read).await.unwrap();
    assert_eq!(text.as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn the_commit_before_a_merge_is_found_for_every_way_of_merging() {
    let f = Fixture::start().await;
    f.write("a", "1");
    let base = f.commit("base");
    git(&f.work, &["checkout", "-q", "-b", "topic"]);
    f.write("b", "1");
    f.commit("one");
    f.write("c", "1");
    f.commit("two");
    let head = git(&f.work, &["rev-parse", "HEAD"]);
    for (name, commands) in [
        ("merge", &[&["merge", "-q", "--no-ff", "-m", "Merge", "topic"][..]][..]),
        ("squash", &[&["merge", "-q", "--squash", "topic"][..], &["commit", "-q", "-m", "two things"][..]][..]),
        ("rebase", &[&["cherry-pick", "main..topic"][..]][..]),
    ] {
        git(&f.work, &["checkout", "-q", "main"]);
        git(&f.work, &["checkout", "-q", "-b", name]);
        f.write("d", "1");
        let before = f.commit("meanwhile");
        for command in commands {
            git(&f.work, command);
        }
        f.push(name);
        let (base, head, wants) = (base.clone(), head.clone(), [Want::Branch(name.into())]);
        f.push("topic:refs/pull/1/head");
        let wants = [wants[0].clone(), Want::PullHead(PrNumber(1))];
        let found = f
            .mirrors()
            .with(&f.remote(), &wants, move |m| {
                let messages = m.messages(&base, &CommitSha::new(head.clone()).unwrap())?;
                m.before_merge(&m.branch(name)?.unwrap(), &messages)
            })
            .await
            .unwrap();
        assert_eq!(found, before, "{name}");
    }
}
