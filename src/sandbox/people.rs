//! What people do in a repository: commit, push, fork, change who may do what.

use chrono::{DateTime, Utc};
use git2::Oid;
use serde_json::json;

use super::gitrepo::{self, Person};
use super::state::{CheckRun, Happening, Permission, Repo, World};
use super::{Sandbox, SandboxError, webhooks};

/// One changed file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file has these bytes afterwards.
    Write {
        /// Path from the root of the repository.
        path: String,
        /// Content.
        bytes: Vec<u8>,
    },
    /// The file is gone afterwards.
    Delete {
        /// Path from the root of the repository.
        path: String,
    },
}

impl Change {
    /// Writes a file.
    pub fn write(path: impl Into<String>, content: impl AsRef<[u8]>) -> Self {
        Change::Write { path: path.into(), bytes: content.as_ref().to_vec() }
    }

    /// Deletes a file.
    pub fn delete(path: impl Into<String>) -> Self {
        Change::Delete { path: path.into() }
    }
}

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// Login of the author; their first e-mail address is written into the commit.
    pub author: String,
    /// Login of the committer; the author when `None`.
    pub committer: Option<String>,
    /// An e-mail address to write instead of the author's, for commits that map to nobody.
    pub email: Option<String>,
    /// Message, trailers included.
    pub message: String,
    /// Files.
    pub changes: Vec<Change>,
}

impl NewCommit {
    /// A commit by `author`.
    pub fn new(author: &str, message: &str, changes: &[Change]) -> Self {
        Self {
            author: author.to_owned(),
            committer: None,
            email: None,
            message: message.to_owned(),
            changes: changes.to_vec(),
        }
    }

    /// Committed by somebody else.
    pub fn committed_by(mut self, login: &str) -> Self {
        self.committer = Some(login.to_owned());
        self
    }

    /// With this e-mail address of the author.
    pub fn with_email(mut self, email: &str) -> Self {
        self.email = Some(email.to_owned());
        self
    }
}

/// A repository on the stand-in.
#[derive(Clone)]
pub struct RepoHandle {
    pub(super) sandbox: Sandbox,
    pub(super) name: String,
}

impl RepoHandle {
    pub(super) fn new(sandbox: Sandbox, name: String) -> Self {
        Self { sandbox, name }
    }

    /// `owner/name`.
    pub fn full_name(&self) -> &str {
        &self.name
    }

    /// The stand-in it lives on.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Where git fetches from.
    pub fn clone_url(&self) -> String {
        format!("{}/{}.git", self.sandbox.base_url(), self.name)
    }

    pub(super) fn change<R>(
        &self,
        change: impl FnOnce(&mut World, &str) -> Result<R, SandboxError>,
    ) -> Result<R, SandboxError> {
        self.sandbox.shared().change(|w| change(w, &self.name))
    }

    pub(super) fn look<R>(&self, read: impl FnOnce(&World, &Repo) -> R) -> Result<R, SandboxError> {
        self.sandbox.shared().look(|w| {
            let repo = w.repo(&self.name).ok_or_else(|| SandboxError::NoSuchRepo(self.name.clone()))?;
            Ok(read(w, repo))
        })
    }

    /// Gives a person a permission here; [`Permission::None`] takes it away.
    pub fn set_permission(&self, login: &str, permission: Permission) -> Result<(), SandboxError> {
        self.sandbox.add_user(login);
        self.change(|w, name| {
            repo_mut(w, name)?.collaborators.insert(login.to_lowercase(), permission);
            Ok(())
        })
    }

    /// Makes the repository private: nobody reads it without a permission.
    pub fn set_private(&self) -> Result<(), SandboxError> {
        self.change(|w, name| {
            repo_mut(w, name)?.private = true;
            Ok(())
        })
    }

    /// Takes the App's access to this repository away, or gives it back.
    pub fn set_installed(&self, installed: bool) -> Result<(), SandboxError> {
        self.change(|w, name| {
            repo_mut(w, name)?.installed = installed;
            Ok(())
        })
    }

    /// A branch may only be merged into when these check runs of the App succeeded on the pull request's head.
    pub fn require_checks(&self, branch: &str, checks: &[&str]) -> Result<(), SandboxError> {
        let app = self.sandbox.app_id();
        self.require(branch, checks.iter().map(|c| json!({ "context": c, "integration_id": app })).collect())
    }

    /// The same, with check runs of any App: what a rule asks for where nobody chose a source.
    pub fn require_checks_of_anybody(&self, branch: &str, checks: &[&str]) -> Result<(), SandboxError> {
        self.require(branch, checks.iter().map(|c| json!({ "context": c })).collect())
    }

    fn require(&self, branch: &str, contexts: Vec<serde_json::Value>) -> Result<(), SandboxError> {
        self.change(|w, name| {
            let rule = json!({
                "type": "required_status_checks",
                "parameters": { "required_status_checks": contexts, "strict_required_status_checks_policy": false },
                "ruleset_source_type": "Repository", "ruleset_source": name, "ruleset_id": 1,
            });
            repo_mut(w, name)?.rules.insert(branch.to_owned(), vec![rule]);
            Ok(())
        })
    }

    /// Makes a commit on a branch and pushes it; a new branch starts at the default branch. Gives the commit's SHA.
    pub fn commit(
        &self,
        branch: &str,
        person: &str,
        message: &str,
        changes: &[Change],
    ) -> Result<String, SandboxError> {
        self.push(branch, person, &[NewCommit::new(person, message, changes)])
    }

    /// Pushes several commits at once. Gives the branch's new tip.
    pub fn push(&self, branch: &str, person: &str, commits: &[NewCommit]) -> Result<String, SandboxError> {
        self.change(|w, name| {
            let git = gitrepo::open(&repo(w, name)?.git_dir)?;
            let start = start_of(&git, repo(w, name)?, branch);
            push_commits(w, name, branch, person, start, commits)
        })
    }

    /// Replaces a branch: `onto` (a branch or SHA) plus `commits`. Gives the branch's new tip.
    pub fn force_push(
        &self,
        branch: &str,
        person: &str,
        onto: &str,
        commits: &[NewCommit],
    ) -> Result<String, SandboxError> {
        self.change(|w, name| {
            let git = gitrepo::open(&repo(w, name)?.git_dir)?;
            let start = gitrepo::resolve(&git, &repo(w, name)?.heads, onto)
                .ok_or_else(|| SandboxError::NoSuchCommit(onto.to_owned()))?;
            push_commits(w, name, branch, person, Some(start), commits)
        })
    }

    /// Merges another branch into a branch with a merge commit and pushes it, as `git merge main && git push` does.
    pub fn merge_branch(&self, branch: &str, from: &str, person: &str) -> Result<String, SandboxError> {
        self.change(|w, name| {
            let entry = repo(w, name)?;
            let git = gitrepo::open(&entry.git_dir)?;
            let find = |b: &str| {
                gitrepo::resolve(&git, &entry.heads, b).ok_or_else(|| SandboxError::NoSuchCommit(b.to_owned()))
            };
            let by = signature_of(w, person, None)?;
            let sha = gitrepo::merge(&git, find(branch)?, find(from)?, &by, &format!("Merge branch '{from}'"))?;
            move_branch(w, name, branch, person, sha)?;
            Ok(sha.to_string())
        })
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, branch: &str, person: &str) -> Result<(), SandboxError> {
        self.change(|w, name| {
            let entry = repo(w, name)?;
            let git = gitrepo::open(&entry.git_dir)?;
            let missing = || SandboxError::NoSuchCommit(branch.to_owned());
            let before = gitrepo::tip(&git, &entry.branch_ref(branch)).ok_or_else(missing)?;
            git.find_reference(&entry.branch_ref(branch))?.delete()?;
            webhooks::push(w, name, branch, person, Some(before), None);
            Ok(())
        })
    }

    /// The tip of a branch.
    pub fn branch_sha(&self, branch: &str) -> Result<String, SandboxError> {
        self.look(|_, repo| {
            let git = gitrepo::open(&repo.git_dir)?;
            gitrepo::tip(&git, &repo.branch_ref(branch))
                .map(|oid| oid.to_string())
                .ok_or_else(|| SandboxError::NoSuchCommit(branch.to_owned()))
        })?
    }

    /// A file's text on a branch or at a SHA; `None` when it is not there.
    pub fn file(&self, at: &str, path: &str) -> Result<Option<String>, SandboxError> {
        self.look(|_, repo| {
            let git = gitrepo::open(&repo.git_dir)?;
            let commit =
                gitrepo::resolve(&git, &repo.heads, at).ok_or_else(|| SandboxError::NoSuchCommit(at.to_owned()))?;
            Ok(gitrepo::file(&git, commit, path).map(|b| String::from_utf8_lossy(&b).into_owned()))
        })?
    }

    /// Forks the repository to a person's account, where the App is not installed.
    pub fn fork(&self, person: &str) -> Result<RepoHandle, SandboxError> {
        self.sandbox.add_user(person);
        let fork = self.change(|w, name| {
            let id = w.new_id();
            let now = w.now();
            let source = repo(w, name)?.clone();
            let full_name = format!("{person}/{}", source.name());
            let heads = format!("refs/networks/{}/heads/", person.to_lowercase());
            let git = gitrepo::open(&source.git_dir)?;
            if let Some(tip) = gitrepo::tip(&git, &source.branch_ref(&source.default_branch)) {
                gitrepo::set_ref(&git, &format!("{heads}{}", source.default_branch), tip)?;
            }
            let fork = Repo {
                fork_of: Some(source.full_name.clone()),
                heads,
                ..Repo::empty(id, &full_name, source.git_dir.clone(), now)
            };
            w.repos.insert(full_name.to_lowercase(), Repo { installed: false, ..fork });
            Ok(full_name)
        })?;
        Ok(RepoHandle::new(self.sandbox.clone(), fork))
    }

    /// Gives the repository another name; requests to the old one are redirected from then on. Gives a handle with the
    /// new name.
    pub fn rename(&self, person: &str, new_name: &str) -> Result<RepoHandle, SandboxError> {
        let renamed = self.change(|w, name| {
            require(w, name, person, Permission::Admin)?;
            let old = repo(w, name)?.full_name.clone();
            let new = format!("{}/{new_name}", repo(w, name)?.owner());
            crate::ids::RepoName::new(new.as_str()).map_err(|e| SandboxError::NotAllowed(e.to_string()))?;
            if w.repos.contains_key(&new.to_lowercase()) {
                return Err(SandboxError::NotAllowed(format!("`{new}` exists already")));
            }
            let Some(mut entry) = w.repos.remove(&old.to_lowercase()) else {
                return Err(SandboxError::NoSuchRepo(old));
            };
            entry.full_name.clone_from(&new);
            w.moved.insert(old.to_lowercase(), entry.id);
            w.repos.insert(new.to_lowercase(), entry);
            for pull in w.repos.values_mut().flat_map(|r| r.issues.values_mut()).filter_map(|i| i.pull.as_mut()) {
                if pull.head_repo.as_ref() == Some(&old) {
                    pull.head_repo = Some(new.clone());
                }
            }
            for team in w.orgs.values_mut().flat_map(|o| o.teams.values_mut()) {
                if let Some(grant) = team.grants.remove(&old.to_lowercase()) {
                    team.grants.insert(new.to_lowercase(), grant);
                }
            }
            let was = old.split_once('/').map_or(old.as_str(), |(_, n)| n);
            webhooks::repository_renamed(w, &new, person, was);
            Ok(new)
        })?;
        Ok(RepoHandle::new(self.sandbox.clone(), renamed))
    }

    /// Deletes the repository (a fork): its pull requests lose their head repository.
    pub fn delete(&self) -> Result<(), SandboxError> {
        self.change(|w, name| {
            w.repos.remove(&name.to_lowercase());
            for pull in w.repos.values_mut().flat_map(|r| r.issues.values_mut()).filter_map(|i| i.pull.as_mut()) {
                if pull.head_repo.as_deref() == Some(name) {
                    pull.head_repo = None;
                }
            }
            Ok(())
        })
    }

    /// A check run by another App than ours, which must not count for ours (B-19).
    pub fn foreign_check_run(
        &self,
        app_slug: &str,
        check: &str,
        sha: &str,
        conclusion: &str,
    ) -> Result<u64, SandboxError> {
        self.change(|w, name| {
            let (id, now) = (w.new_id(), w.now());
            repo_mut(w, name)?.checks.push(CheckRun {
                id,
                app: app_slug.to_owned(),
                name: check.to_owned(),
                head_sha: sha.to_owned(),
                status: "completed".to_owned(),
                conclusion: Some(conclusion.to_owned()),
                external_id: None,
                details_url: None,
                started_at: now,
                completed_at: Some(now),
                title: None,
                summary: None,
                text: None,
                annotations: Vec::new(),
                actions: Vec::new(),
                asked_again: false,
            });
            Ok(id)
        })
    }

    /// Presses "Re-run" on a check run of the App.
    pub fn rerequest_check_run(&self, person: &str, check_run: u64) -> Result<(), SandboxError> {
        self.change(|w, name| {
            let mut checks = repo_mut(w, name)?.checks.iter_mut();
            checks.by_ref().filter(|c| c.id == check_run).for_each(|c| c.asked_again = true);
            webhooks::check_run(w, name, check_run, "rerequested", person, None)
        })
    }

    /// Presses one of the buttons that the App put on a check run.
    pub fn press_check_action(&self, person: &str, check_run: u64, identifier: &str) -> Result<(), SandboxError> {
        self.change(|w, name| webhooks::check_run(w, name, check_run, "requested_action", person, Some(identifier)))
    }

    /// Presses "Re-run all checks" of a commit.
    pub fn rerequest_check_suite(&self, person: &str, sha: &str) -> Result<(), SandboxError> {
        self.change(|w, name| {
            let slug = w.app.slug.clone();
            let checks = repo_mut(w, name)?.checks.iter_mut();
            checks.filter(|c| c.head_sha == sha && c.app == slug).for_each(|c| c.asked_again = true);
            webhooks::check_suite(w, name, sha, "rerequested", person)
        })
    }
}

impl Repo {
    pub(super) fn empty(id: u64, full_name: &str, git_dir: std::path::PathBuf, now: DateTime<Utc>) -> Self {
        Repo {
            id,
            full_name: full_name.to_owned(),
            default_branch: "main".to_owned(),
            private: false,
            fork_of: None,
            git_dir,
            heads: "refs/heads/".to_owned(),
            collaborators: Default::default(),
            installed: true,
            issues: Default::default(),
            labels: Vec::new(),
            checks: Vec::new(),
            statuses: Vec::new(),
            deployments: Vec::new(),
            gates: Vec::new(),
            rules: Default::default(),
            created_at: now,
            pushed_at: now,
        }
    }
}

pub(super) fn create_repo(sandbox: &Sandbox, full_name: &str) -> Result<RepoHandle, SandboxError> {
    let Some((owner, name)) = full_name.split_once('/') else {
        return Err(SandboxError::NoSuchRepo(full_name.to_owned()));
    };
    crate::ids::RepoName::new(full_name).map_err(|e| SandboxError::NotAllowed(e.to_string()))?;
    if sandbox.shared().look(|w| w.user(owner).is_none() && !w.orgs.contains_key(&owner.to_lowercase())) {
        sandbox.add_org(owner, &[]);
    }
    sandbox.shared().change(|w| {
        let git_dir = w.root.join(owner).join(format!("{name}.git"));
        gitrepo::init(&git_dir, "main")?;
        let (id, now) = (w.new_id(), w.now());
        w.repos.insert(full_name.to_lowercase(), Repo::empty(id, full_name, git_dir, now));
        Ok::<(), SandboxError>(())
    })?;
    Ok(RepoHandle::new(sandbox.clone(), full_name.to_owned()))
}

pub(super) fn repo<'w>(world: &'w World, name: &str) -> Result<&'w Repo, SandboxError> {
    world.repo(name).ok_or_else(|| SandboxError::NoSuchRepo(name.to_owned()))
}

pub(super) fn repo_mut<'w>(world: &'w mut World, name: &str) -> Result<&'w mut Repo, SandboxError> {
    world.repo_mut(name).ok_or_else(|| SandboxError::NoSuchRepo(name.to_owned()))
}

/// Fails unless a person holds at least `needed`.
pub(super) fn require(world: &World, name: &str, login: &str, needed: Permission) -> Result<(), SandboxError> {
    let repo = repo(world, name)?;
    let user = world.user(login).ok_or_else(|| SandboxError::NoSuchUser(login.to_owned()))?;
    if user.bot || world.permission(repo, login) >= needed {
        return Ok(());
    }
    Err(SandboxError::NotAllowed(format!("`{login}` needs {} permission in {name}", needed.role_name())))
}

/// How a person signs commits.
pub(super) fn signature_of(world: &World, login: &str, email: Option<&str>) -> Result<Person, SandboxError> {
    let user = world.user(login).ok_or_else(|| SandboxError::NoSuchUser(login.to_owned()))?;
    let unknown = format!("{}@unknown.invalid", login.to_lowercase());
    let email = email.or(user.emails.first().map(String::as_str)).unwrap_or(&unknown);
    Ok(Person { name: user.login.clone(), email: email.to_owned(), at: world.now() })
}

/// Where a new commit on `branch` goes: on its tip, or the default branch's for a new one, or nowhere in an empty
/// repository.
fn start_of(git: &git2::Repository, repo: &Repo, branch: &str) -> Option<Oid> {
    gitrepo::tip(git, &repo.branch_ref(branch)).or_else(|| gitrepo::tip(git, &repo.branch_ref(&repo.default_branch)))
}

fn push_commits(
    world: &mut World,
    name: &str,
    branch: &str,
    person: &str,
    start: Option<Oid>,
    commits: &[NewCommit],
) -> Result<String, SandboxError> {
    require(world, name, person, Permission::Write)?;
    let git = gitrepo::open(&repo(world, name)?.git_dir)?;
    let mut tip = start;
    for commit in commits {
        let author = signature_of(world, &commit.author, commit.email.as_deref())?;
        let committer = match &commit.committer {
            Some(login) => signature_of(world, login, None)?,
            None => author.clone(),
        };
        tip = Some(gitrepo::write_commit(&git, tip, &commit.changes, (&author, &committer), &commit.message)?);
    }
    let tip = tip.ok_or_else(|| SandboxError::NoSuchCommit(branch.to_owned()))?;
    move_branch(world, name, branch, person, tip)?;
    Ok(tip.to_string())
}

/// Points a branch at a commit, tells the App, and moves the pull requests that come from it.
pub(super) fn move_branch(
    world: &mut World,
    name: &str,
    branch: &str,
    person: &str,
    tip: Oid,
) -> Result<(), SandboxError> {
    let entry = repo(world, name)?;
    let git = gitrepo::open(&entry.git_dir)?;
    let reference = entry.branch_ref(branch);
    let before = gitrepo::tip(&git, &reference);
    gitrepo::set_ref(&git, &reference, tip)?;
    let (full_name, now) = (entry.full_name.clone(), world.now());
    repo_mut(world, name)?.pushed_at = now;
    webhooks::push(world, name, branch, person, before, Some(tip));
    let forced = before.is_some_and(|b| b != tip && !git.graph_descendant_of(tip, b).unwrap_or(false));
    let heads: Vec<(String, u64)> = world
        .repos
        .values()
        .flat_map(|r| r.issues.values().map(move |i| (r.full_name.clone(), i)))
        .filter(|(_, i)| i.open)
        .filter_map(|(r, i)| i.pull.as_ref().map(|p| (r, i.number, p)))
        .filter(|(_, _, p)| p.head_repo.as_deref() == Some(full_name.as_str()) && p.head_ref == branch)
        .map(|(r, number, _)| (r, number))
        .collect();
    for (base_repo, number) in heads {
        super::pulls::synchronize(world, &base_repo, number, person, tip, forced)?;
    }
    Ok(())
}

/// Adds to an issue's or pull request's timeline.
pub(super) fn happened(
    world: &mut World,
    name: &str,
    number: u64,
    actor: &str,
    what: Happening,
) -> Result<u64, SandboxError> {
    let (id, at) = (world.new_id(), world.now());
    let issue = repo_mut(world, name)?.issues.get_mut(&number).ok_or(SandboxError::NoSuchPull(number))?;
    issue.updated_at = at;
    issue.timeline.push(super::state::TimelineItem { id, actor: actor.to_owned(), at, what });
    Ok(id)
}
