//! What a pull request brings, read from git alone: policy of the base, migrations as a merge would leave them, findings,
//! risk, digest. Runs on the mirror's thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use sha2::{Digest as _, Sha256};

use super::services;
use crate::approval::collisions::Touched;
use crate::approval::{Binding, Evaluation, Policy};
use crate::config::{ConfigError, LintConfig, RepoConfig};
use crate::git::{Change, ChangeKind, CommitNames, GitError, Mirror};
use crate::ids::{CommitSha, Digest, Risk};
use crate::judge::judge;
use crate::lint::fix::{Proposal, fixes};
use crate::lint::{self, LintReport, Scope, Severity, Violation};
use crate::migration::paths::{any_below, below};
use crate::migration::roots::{Place, uncovered_by, unfound_by};
use crate::migration::{
    FileContent, Layout, Migration, MigrationRoot, MigrationSet, SourceFile, both, digest_of, resolve,
};

/// Files above this many bytes are named, not read (bytes).
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// What migrations are written in; without configured folders only such files are read.
const EXTENSIONS: [&str; 6] = [".sql", ".json", ".lua", ".js", ".toml", ".conf"];

/// How two commits are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// What `head` changes since it parted from `base`, put onto `base`: a pull request that is open.
    Proposed,
    /// `head` as it stands, against `base` just before it: a pull request that is merged.
    Merged,
}

/// The branch that a change goes into, and the repository's default: they decide which environments it will run in.
#[derive(Debug, Clone)]
pub struct Branches {
    /// The branch it goes into.
    pub base: String,
    /// The repository's default branch.
    pub default: String,
}

/// What a pull request brings, judged by the policy of its base.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The commit whose policy judges.
    pub base: CommitSha,
    /// The commit that is judged.
    pub head: CommitSha,
    /// The policy of the base.
    pub policy: Policy,
    /// Mistakes in the policy of the base that the pull request mends; it does nothing else, and is judged by the files
    /// of the base that are sound.
    pub mends: Vec<ConfigError>,
    /// Mistakes in the configuration that the pull request would bring; they block.
    pub proposed_errors: Vec<ConfigError>,
    /// Every migration as it is after the merge.
    pub set: MigrationSet,
    /// Files of migrations that are added, changed, renamed or deleted.
    pub migration_paths: Vec<String>,
    /// Other files it touches that findings may be about: a declared schema, what runs another tool's commands.
    beside: Vec<String>,
    /// Files of migrations that are deleted or renamed away.
    pub deleted_paths: Vec<String>,
    /// Policy files that are touched, with their bytes at the head (`None`: deleted).
    pub policy_changes: Vec<(String, Option<Vec<u8>>)>,
    /// Findings about the touched migrations.
    pub report: LintReport,
    /// The touched files that the base has not.
    pub new_files: BTreeSet<String>,
    /// Rewrites that could be suggested on them; see [`Contents::propose`].
    pub proposals: Vec<Proposal>,
    /// The migrations that are added or changed, by `unit/id`.
    pub own: BTreeSet<String>,
    /// Digest of what an approval is about; `None` when nothing is touched that needs one.
    pub digest: Option<Digest>,
    /// Who the commits name.
    pub names: Vec<CommitNames>,
    /// Messages of the commits, newest first.
    pub messages: Vec<String>,
    /// Every migration of the base.
    pub before: MigrationSet,
    /// What the migrations that are added or changed touch.
    pub touched: Vec<Touched>,
    /// The folders of services whose migrations it touches; what those ask of environments is in `policy` and `set` already.
    pub services: BTreeSet<String>,
    /// Reasons against it that the store knows; filled in by who gathers.
    pub against: Vec<Evaluation>,
}

/// Why the contents cannot be judged.
#[derive(Debug)]
pub enum Unreadable {
    /// Git failed.
    Git(GitError),
    /// The policy of the base is wrong; nothing else is looked at.
    Policy(Vec<ConfigError>),
}

impl From<GitError> for Unreadable {
    fn from(e: GitError) -> Self {
        Unreadable::Git(e)
    }
}

impl Contents {
    /// What an approval must be bound to, at a risk raised to `raised` by people.
    pub fn binding(&self, raised: Option<Risk>) -> Option<Binding> {
        let digest = self.digest.clone()?;
        let risk = raised.map_or(self.report.risk, |r| r.max(self.report.risk));
        Some(self.policy.binding(digest, risk, &self.policy_changes))
    }

    /// The same under another policy than the one that judges.
    pub fn binding_under(&self, policy: &Policy, raised: Option<Risk>) -> Option<Binding> {
        let binding = self.binding(raised)?;
        Some(policy.binding(binding.digest, binding.risk, &self.policy_changes))
    }

    /// Whether it touches migrations at all.
    pub fn has_migrations(&self) -> bool {
        !self.migration_paths.is_empty()
    }

    /// Path and SHA-256 of every file of the migrations that are added or changed.
    pub fn own_files(&self) -> BTreeMap<&str, &str> {
        self.own_migrations().flat_map(|m| &m.files).map(|f| (f.path.as_str(), f.sha256.as_str())).collect()
    }

    /// The migrations that are added or changed, in run order.
    pub fn own_migrations(&self) -> impl Iterator<Item = &Migration> {
        self.set.migrations.iter().filter(|m| self.own.contains(&m.reference()))
    }

    /// Looks for the rewrites that are worth a word on the pull request: of files that it adds, for more than matters of
    /// taste. They are tried by linting once more, so only what shows them asks.
    pub fn propose(&mut self, today: NaiveDate) {
        let worth = |v: &Violation| {
            v.fix.is_some() && v.waived.is_none() && v.severity >= Severity::Warning && self.new_files.contains(&v.file)
        };
        if !self.report.violations.iter().any(worth) {
            return;
        }
        let mut chosen = self.report.clone();
        for violation in chosen.violations.iter_mut().filter(|v| !worth(v)) {
            violation.fix = None;
        }
        let scope = self.scope();
        let fixed = fixes(&self.set, &chosen, &self.policy.lint, &scope, today);
        self.proposals = fixed.iter().flat_map(|f| f.proposals(&self.set)).collect();
    }

    /// What the findings are about.
    pub fn scope(&self) -> Scope {
        Scope::Paths(self.migration_paths.iter().chain(&self.beside).cloned().collect())
    }

    /// Migrations that are added or changed and that no target takes.
    pub fn without_target(&self) -> Vec<&Migration> {
        let known = |m: &&Migration| {
            m.target
                .as_ref()
                .is_some_and(|t| self.policy.environments.0.iter().any(|e| e.targets.iter().any(|c| &c.name == t)))
        };
        self.own_migrations().filter(|m| !known(m)).collect()
    }
}

/// The policy of a commit.
///
/// # Errors
/// When git fails, or the policy is wrong.
pub fn policy_at(mirror: &Mirror, commit: &CommitSha) -> Result<Policy, Unreadable> {
    match salvage_at(mirror, commit)? {
        (policy, errors) if errors.is_empty() => Ok(policy),
        (_, errors) => Err(Unreadable::Policy(errors)),
    }
}

/// What is sound of the policy of a commit, and what is not.
///
/// # Errors
/// When git fails.
pub fn salvage_at(mirror: &Mirror, commit: &CommitSha) -> Result<(Policy, Vec<ConfigError>), GitError> {
    let failed = RefCell::new(None);
    let salvaged = Policy::salvage(&|path| match mirror.file(commit, path) {
        Ok(bytes) => bytes,
        Err(e) => {
            failed.borrow_mut().get_or_insert(e);
            None
        }
    });
    // A file that could not be read is not a file that is not there.
    match failed.into_inner() {
        Some(e) => Err(e),
        None => Ok(salvaged),
    }
}

/// Reads what `head` brings to `base`; without `into`, findings are graded strictly.
///
/// # Errors
/// When git fails, or the policy of the base is wrong.
pub fn read(
    mirror: &Mirror,
    base: &CommitSha,
    head: &CommitSha,
    compare: Compare,
    into: Option<&Branches>,
    today: NaiveDate,
) -> Result<Contents, Unreadable> {
    let (mut policy, mends) = salvage_at(mirror, base)?;
    let changes = match compare {
        Compare::Proposed => mirror.changes(base, head)?,
        Compare::Merged => mirror.tree_changes(base, head)?,
    };
    let touched: BTreeSet<String> = changes.iter().flat_map(|c| [c.old.clone(), c.new.clone()]).collect();
    let (proposed_roots, proposed_errors) = proposed(mirror, &policy, head, &touched)?;
    // Where the policy of the base is broken, all that can be judged is the change that mends it and nothing besides.
    let mending = compare == Compare::Proposed
        && !touched.is_empty()
        && proposed_errors.is_empty()
        && touched.iter().all(|p| policy.is_policy_path(p));
    if !mends.is_empty() && !mending {
        return Err(Unreadable::Policy(mends));
    }
    let roots = both(&policy.repo.migrations, &proposed_roots);
    let wanted = |path: &str| roots.iter().any(|root| may_hold(root, path));

    let before = mirror.files(base, MAX_FILE, &wanted)?;
    let at_head = mirror.files(head, MAX_FILE, &wanted)?;
    let after = match compare {
        Compare::Proposed => overlay(&before, &at_head, &changes),
        Compare::Merged => at_head,
    };
    let (old_set, mut set) = (resolve(&before, &roots), resolve(&after, &roots));
    let was: BTreeSet<&str> = before.iter().map(|f| f.path.as_str()).collect();
    let new: BTreeSet<String> = touched.iter().filter(|p| !was.contains(p.as_str())).cloned().collect();
    set.remarks.extend(lint::overtaken(&set, &new));
    let owned: BTreeSet<&str> = old_set.by_path().into_keys().chain(set.by_path().into_keys()).collect();
    // A file that was meant as a migration and is none is a finding, not something to pass over.
    // No change names a folder, only the files in it.
    let problems =
        set.problems.iter().map(|p| p.file.as_str()).filter(|f| touched.contains(*f) || any_below(&touched, f));
    let migration_paths: BTreeSet<String> =
        touched.iter().map(String::as_str).filter(|p| owned.contains(p)).chain(problems).map(str::to_owned).collect();
    let still: BTreeSet<&str> = after.iter().map(|f| f.path.as_str()).collect();
    let deleted_paths: Vec<String> = migration_paths.iter().filter(|p| !still.contains(p.as_str())).cloned().collect();
    let own: BTreeSet<String> = set
        .migrations
        .iter()
        .filter(|m| m.files.iter().any(|f| touched.contains(&f.path)))
        .map(Migration::reference)
        .collect();
    if !mends.is_empty() && !migration_paths.is_empty() {
        return Err(Unreadable::Policy(mends));
    }
    let mut beside = beside_migrations(mirror, head, &touched, &mut set)?;
    let named = if proposed_roots.is_empty() { &policy.repo.migrations } else { &proposed_roots };
    let place = |path: &str| {
        let is_below = |f: &SourceFile| below(&f.path, path).is_some();
        // In git nothing stands below a link, so one on the way hides the rest.
        let is_on_the_way = |f: &SourceFile| f.path == path || below(path, &f.path).is_some();
        match after.iter().find(|f| matches!(f.content, FileContent::Symlink) && is_on_the_way(f)) {
            Some(link) => Place::Link(link.path.clone()),
            None if after.iter().any(is_below) => Place::Folder,
            None => Place::Nothing,
        }
    };
    let mut told = unfound_by(&touched, named, &set, &place);
    told.extend(uncovered_by(&touched, &roots, &set));
    beside.extend(told.iter().map(|p| p.file.clone()));
    set.remarks.extend(told);
    let services = services::concerned(&old_set, &set, &touched);
    services::with_base(&old_set, &mut set, &services);
    // Who it is that has to agree cannot be told without it, whoever broke it.
    beside.extend(services::broken(&set, &services));
    policy = policy.tightened(set.settings.iter().filter(|s| services.contains(&s.unit)));
    if let Some(into) = into {
        let (profile, strict_below) = policy.graded(&into.base, &into.default, &set);
        policy.lint = LintConfig { profile, strict_below, ..policy.lint };
    }
    let scope = Scope::Paths(migration_paths.iter().chain(&beside).cloned().collect());
    let gone = touched.iter().filter(|p| was.contains(p.as_str()) && !still.contains(p.as_str())).cloned().collect();
    lint::note_brought(&mut set, &old_set, &scope, &gone);
    let report = lint::check_judged(&set, &judge(&set), &policy.lint, &scope, today);
    let mut policy_changes = Vec::new();
    for path in touched.iter().filter(|p| policy.is_policy_path(p)) {
        policy_changes.push((path.clone(), mirror.file(head, path)?));
    }
    let needs_word = !migration_paths.is_empty() || !policy_changes.is_empty();
    let digest = needs_word.then(|| digest(&set, &own, &deleted_paths));
    let (names, messages) = match compare {
        Compare::Proposed => (mirror.people(base, head)?, mirror.messages(base, head)?),
        Compare::Merged => (Vec::new(), Vec::new()),
    };
    let touched = set.migrations.iter().filter(|m| own.contains(&m.reference())).map(Touched::of).collect();
    Ok(Contents {
        base: base.clone(),
        head: head.clone(),
        policy,
        mends,
        proposed_errors,
        set,
        migration_paths: migration_paths.into_iter().collect(),
        beside,
        deleted_paths,
        policy_changes,
        report,
        new_files: new,
        proposals: Vec::new(),
        own,
        digest,
        names,
        messages,
        before: old_set,
        touched,
        services,
        against: Vec::new(),
    })
}

/// What a change touches beside migrations and is looked at too: Prisma's schema, and what runs Prisma's commands.
fn beside_migrations(
    mirror: &Mirror,
    head: &CommitSha,
    touched: &BTreeSet<String>,
    set: &mut MigrationSet,
) -> Result<Vec<String>, GitError> {
    if !set.migrations.iter().any(|m| m.layout == Layout::Prisma) {
        return Ok(Vec::new());
    }
    let declared = set.models.iter().flat_map(|m| &m.files).map(|(path, _)| path.clone());
    let mut paths: Vec<String> = declared.filter(|p| touched.contains(p)).collect();
    let running: Vec<&String> = touched.iter().filter(|p| lint::pipelines::may_run(p)).collect();
    if running.is_empty() {
        return Ok(paths);
    }
    let mut files = Vec::new();
    // A workflow says `npm run deploy`; what that is stands in the package.
    let package = "package.json".to_owned();
    for path in running.iter().copied().chain(Some(&package).filter(|p| !touched.contains(*p))) {
        let text = mirror.file(head, path)?.and_then(|bytes| String::from_utf8(bytes).ok());
        files.extend(text.map(|text| (path.clone(), text)));
    }
    set.remarks.extend(lint::pipelines::problems(&files).into_iter().filter(|p| touched.contains(&p.file)));
    paths.extend(running.into_iter().cloned());
    Ok(paths)
}

/// Every migration of a commit, as `roots` find them.
///
/// # Errors
/// When git fails.
pub fn set_at(mirror: &Mirror, commit: &CommitSha, roots: &[MigrationRoot]) -> Result<MigrationSet, GitError> {
    let files = mirror.files(commit, MAX_FILE, &|path| roots.iter().any(|root| may_hold(root, path)))?;
    Ok(resolve(&files, roots))
}

/// The roots that the head's own configuration names, and its mistakes. Only a configuration that differs is looked at.
fn proposed(
    mirror: &Mirror,
    policy: &Policy,
    head: &CommitSha,
    touched: &BTreeSet<String>,
) -> Result<(Vec<MigrationRoot>, Vec<ConfigError>), Unreadable> {
    if !touched.iter().any(|p| policy.is_policy_path(p)) {
        return Ok((Vec::new(), Vec::new()));
    }
    match policy_at(mirror, head) {
        Ok(new) => Ok((new.repo.migrations, Vec::new())),
        Err(Unreadable::Policy(errors)) => {
            // Its folders count all the same where that file alone is right.
            let text = mirror.file(head, RepoConfig::FILE)?.and_then(|b| String::from_utf8(b).ok());
            let roots = text.and_then(|t| RepoConfig::parse(&t).ok()).map_or_else(Vec::new, |c| c.migrations);
            Ok((roots, errors))
        }
        Err(e @ Unreadable::Git(_)) => Err(e),
    }
}

/// Whether a file may belong to a root; generous, since `resolve` decides.
fn may_hold(root: &MigrationRoot, path: &str) -> bool {
    let literal: &str = root.path.split(['*', '?', '[', '{']).next().unwrap_or_default();
    let folder = literal.rsplit_once('/').map_or("", |(f, _)| f);
    let inside = if literal.len() == root.path.len() {
        // What undoes the files of `scripts` stands in the folder beside it.
        let beside = literal.strip_suffix("scripts").filter(|around| around.is_empty() || around.ends_with('/'));
        root.path.is_empty()
            // A link stands there by its own path.
            || path == literal
            || below(path, literal).is_some()
            || beside.is_some_and(|around| path.strip_prefix(around).is_some_and(|rest| rest.starts_with("rollbacks/")))
    } else {
        folder.is_empty() || below(path, folder).is_some()
    };
    // The schema that Prisma's migrations are to build stands beside them.
    if path.ends_with(".prisma") {
        return true;
    }
    inside && (!literal.is_empty() || EXTENSIONS.iter().any(|e| path.ends_with(e)))
}

/// `base` with the changes of `head` put onto it: what a merge without conflicts leaves.
fn overlay(base: &[SourceFile], head: &[SourceFile], changes: &[Change]) -> Vec<SourceFile> {
    let at_head: BTreeMap<&str, &SourceFile> = head.iter().map(|f| (f.path.as_str(), f)).collect();
    let mut files: BTreeMap<&str, &SourceFile> = base.iter().map(|f| (f.path.as_str(), f)).collect();
    for change in changes {
        match change.kind {
            ChangeKind::Deleted => drop(files.remove(change.old.as_str())),
            ChangeKind::Renamed => drop(files.remove(change.old.as_str())),
            ChangeKind::Added | ChangeKind::Modified => {}
        }
        if change.kind != ChangeKind::Deleted
            && let Some(file) = at_head.get(change.new.as_str())
        {
            files.insert(&file.path, file);
        }
    }
    // Folders that are named like files come with the files below them, which no change names.
    for file in head.iter().filter(|f| matches!(f.content, FileContent::Directory)) {
        files.entry(&file.path).or_insert(file);
    }
    files.into_values().cloned().collect()
}

/// Digest over the migrations that are added or changed (DECISIONS 1); what is deleted is part of what is agreed to.
fn digest(set: &MigrationSet, own: &BTreeSet<String>, deleted: &[String]) -> Digest {
    let added = digest_of(set.migrations.iter().filter(|m| own.contains(&m.reference())));
    if deleted.is_empty() {
        return added;
    }
    let mut hash = Sha256::new();
    hash.update(added.as_str());
    for path in deleted {
        hash.update([0]);
        hash.update(path);
    }
    Digest::new(format!("sha256:{}", hex::encode(hash.finalize()))).expect("a SHA-256 in hexadecimal is a digest")
}

/// The files in which what was merged differs from what was agreed to.
pub fn differing(agreed: &Contents, merged: &Contents) -> Vec<String> {
    let (was, is) = (agreed.own_files(), merged.own_files());
    let mut paths: BTreeSet<&str> = was.keys().chain(is.keys()).copied().filter(|p| was.get(p) != is.get(p)).collect();
    let both = |a: &'_ Contents, b: &'_ Contents| -> BTreeSet<String> {
        a.deleted_paths.iter().filter(|p| !b.deleted_paths.contains(p)).cloned().collect()
    };
    let (gone, kept) = (both(merged, agreed), both(agreed, merged));
    paths.extend(gone.iter().chain(&kept).map(String::as_str));
    paths.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind, old: &str, new: &str) -> Change {
        Change { kind, old: old.into(), new: new.into() }
    }

    #[test]
    fn a_merge_is_foreseen_file_by_file() {
        let file = |path: &str, text: &str| SourceFile::new(path, text);
        let base =
            [file("m/1.sql", "one"), file("m/2.sql", "two"), file("m/3.sql", "three"), file("m/9.sql", "theirs")];
        let head = [file("m/1.sql", "one!"), file("m/2b.sql", "two"), file("m/4.sql", "four")];
        let changes = [
            change(ChangeKind::Modified, "m/1.sql", "m/1.sql"),
            change(ChangeKind::Renamed, "m/2.sql", "m/2b.sql"),
            change(ChangeKind::Deleted, "m/3.sql", "m/3.sql"),
            change(ChangeKind::Added, "m/4.sql", "m/4.sql"),
        ];
        let merged = overlay(&base, &head, &changes);
        let expected =
            [file("m/1.sql", "one!"), file("m/2b.sql", "two"), file("m/4.sql", "four"), file("m/9.sql", "theirs")];
        assert_eq!(merged, expected);
    }

    #[test]
    fn only_what_may_be_a_migration_is_read() {
        for (root, path, expected) in [
            ("migrations/postgresql", "migrations/postgresql/0001_a.sql", true),
            ("migrations/postgresql", "migrations/postgresql/notes.txt", true),
            ("migrations/postgresql", "migrations/postgresql2/0001_a.sql", false),
            ("migrations/scripts", "migrations/rollbacks/1_rollback.sql", true),
            ("migrations/scripts", "migrations/other/1.sql", false),
            ("services/*/migrations", "services/a/migrations/1.sql", true),
            ("services/*/migrations", "src/a.sql", false),
            ("**", "anywhere/1.sql", true),
            ("**", "src/main.rs", false),
            ("", "1.sql", true),
            ("db*", "dbs/1.sql", true),
        ] {
            assert_eq!(may_hold(&MigrationRoot::folder(root), path), expected, "{root} {path}");
        }
    }
}
