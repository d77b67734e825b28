//! What people do with a pull request: open, review, comment, label, merge, close.

use git2::Oid;
use serde_json::{Value, json};

use super::gitrepo::{self, CommitInfo, FileChange};
use super::people::{RepoHandle, happened, move_branch, repo, repo_mut, require, signature_of};
use super::state::{
    CheckRun, Comment, Happening, Issue, Label, MergeMethod, Merged, Permission, PullPart, Repo, Review, ReviewVerdict,
    World,
};
use super::{NewCommit, SandboxError, webhooks};

/// A pull request to be opened.
#[derive(Debug, Clone, Default)]
pub struct NewPull<'a> {
    /// Login of the author.
    pub author: &'a str,
    /// Title.
    pub title: &'a str,
    /// Description; may be empty.
    pub body: &'a str,
    /// Branch, or `OWNER:branch` of a fork.
    pub head: &'a str,
    /// Branch it goes into.
    pub base: &'a str,
    /// Whether it is a draft.
    pub draft: bool,
}

/// A pull request on the stand-in.
#[derive(Clone)]
pub struct PullHandle {
    pub(super) repo: RepoHandle,
    number: u64,
}

impl RepoHandle {
    /// Opens a pull request.
    pub fn open_pull_request(&self, new: &NewPull<'_>) -> Result<PullHandle, SandboxError> {
        let number = self.change(|w, name| open(w, name, new))?;
        Ok(PullHandle { repo: self.clone(), number })
    }

    /// A pull request that exists.
    pub fn pull(&self, number: u64) -> Result<PullHandle, SandboxError> {
        self.look(|_, repo| repo.issues.get(&number).is_some_and(|i| i.pull.is_some()))?
            .then(|| PullHandle { repo: self.clone(), number })
            .ok_or(SandboxError::NoSuchPull(number))
    }

    /// Numbers of all pull requests, oldest first.
    pub fn pulls(&self) -> Result<Vec<u64>, SandboxError> {
        self.look(|_, repo| repo.issues.values().filter(|i| i.pull.is_some()).map(|i| i.number).collect())
    }
}

pub(super) fn open(world: &mut World, name: &str, new: &NewPull<'_>) -> Result<u64, SandboxError> {
    require(world, name, new.author, Permission::Read)?;
    let base_entry = repo(world, name)?;
    let (head_owner, head_ref) = new.head.split_once(':').unwrap_or((base_entry.owner(), new.head));
    let head_name = format!("{head_owner}/{}", base_entry.name());
    let head_entry = repo(world, &head_name)?;
    let git = gitrepo::open(&base_entry.git_dir)?;
    let find = |entry: &Repo, branch: &str| {
        gitrepo::tip(&git, &entry.branch_ref(branch)).ok_or_else(|| SandboxError::NoSuchCommit(branch.to_owned()))
    };
    let (head, base) = (find(head_entry, head_ref)?, find(base_entry, new.base)?);
    let pull = PullPart {
        id: 0,
        head_repo: Some(head_entry.full_name.clone()),
        head_ref: head_ref.to_owned(),
        head_sha: head.to_string(),
        base_ref: new.base.to_owned(),
        base_sha: base.to_string(),
        draft: new.draft,
        merged: None,
        reviews: Vec::new(),
        line_comments: Vec::new(),
        mergeable_unknown: 0,
        requested_people: Vec::new(),
        requested_teams: Vec::new(),
    };
    let commits = gitrepo::commits_between(&git, Some(base), head)?;
    if commits.is_empty() {
        return Err(SandboxError::NotAllowed(format!("no commits between {} and {}", new.base, new.head)));
    }
    let number = open_issue(world, name, new.author, new.title, new.body, Some(pull))?;
    gitrepo::set_ref(&git, &format!("refs/pull/{number}/head"), head)?;
    for commit in commits {
        happened(world, name, number, new.author, Happening::Committed { sha: commit.sha })?;
    }
    webhooks::pull_request(world, name, number, "opened", new.author, json!({}));
    Ok(number)
}

/// Opens an issue or the issue part of a pull request; gives its number.
pub(super) fn open_issue(
    world: &mut World,
    name: &str,
    author: &str,
    title: &str,
    body: &str,
    pull: Option<PullPart>,
) -> Result<u64, SandboxError> {
    let (id, pull_id, now) = (world.new_id(), world.new_id(), world.now());
    let entry = repo_mut(world, name)?;
    let number = entry.issues.keys().next_back().copied().unwrap_or(0) + 1;
    entry.issues.insert(
        number,
        Issue {
            id,
            number,
            title: title.to_owned(),
            body: Some(body.to_owned()).filter(|b| !b.is_empty()),
            author: author.to_owned(),
            open: true,
            labels: Vec::new(),
            comments: Vec::new(),
            timeline: Vec::new(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            pull: pull.map(|p| PullPart { id: pull_id, ..p }),
        },
    );
    Ok(number)
}

pub(super) fn issue_mut<'w>(world: &'w mut World, name: &str, number: u64) -> Result<&'w mut Issue, SandboxError> {
    repo_mut(world, name)?.issues.get_mut(&number).ok_or(SandboxError::NoSuchPull(number))
}

pub(super) fn pull<'w>(world: &'w World, name: &str, number: u64) -> Result<(&'w Issue, &'w PullPart), SandboxError> {
    let issue = repo(world, name)?.issues.get(&number).ok_or(SandboxError::NoSuchPull(number))?;
    issue.pull.as_ref().map(|p| (issue, p)).ok_or(SandboxError::NoSuchPull(number))
}

pub(super) fn pull_mut<'w>(world: &'w mut World, name: &str, number: u64) -> Result<&'w mut PullPart, SandboxError> {
    issue_mut(world, name, number)?.pull.as_mut().ok_or(SandboxError::NoSuchPull(number))
}

/// The head moved.
pub(super) fn synchronize(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    head: Oid,
    forced: bool,
) -> Result<(), SandboxError> {
    let entry = repo(world, name)?;
    let git = gitrepo::open(&entry.git_dir)?;
    let (_, part) = pull(world, name, number)?;
    let before = part.head_sha.clone();
    let base = gitrepo::tip(&git, &entry.branch_ref(&part.base_ref));
    gitrepo::set_ref(&git, &format!("refs/pull/{number}/head"), head)?;
    let old = Oid::from_str(&before)?;
    let new_commits = gitrepo::commits_between(&git, Some(if forced { base.unwrap_or(old) } else { old }), head)?;
    let part = pull_mut(world, name, number)?;
    part.head_sha = head.to_string();
    if let Some(base) = base {
        part.base_sha = base.to_string();
    }
    if forced {
        happened(world, name, number, person, Happening::HeadRefForcePushed { sha: head.to_string() })?;
    }
    for commit in new_commits {
        happened(world, name, number, person, Happening::Committed { sha: commit.sha })?;
    }
    let extra = json!({ "before": before, "after": head.to_string() });
    webhooks::pull_request(world, name, number, "synchronize", person, extra);
    Ok(())
}

/// Adds a comment; `by_app` when it comes through the App's token.
pub(super) fn add_comment(
    world: &mut World,
    name: &str,
    number: u64,
    author: &str,
    body: &str,
    by_app: bool,
) -> Result<u64, SandboxError> {
    let (id, now) = (world.new_id(), world.now());
    issue_mut(world, name, number)?.comments.push(Comment {
        id,
        author: author.to_owned(),
        by_app,
        body: body.to_owned(),
        created_at: now,
        updated_at: now,
        reactions: Vec::new(),
        minimized: None,
    });
    happened(world, name, number, author, Happening::Commented { comment: id })?;
    webhooks::issue_comment(world, name, number, id, "created", author, Value::Null);
    Ok(id)
}

/// Puts a label on; the label is made when the repository does not have it. `false`: it was there.
pub(super) fn label(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    label: &str,
) -> Result<bool, SandboxError> {
    let id = world.new_id();
    let entry = repo_mut(world, name)?;
    let known = entry.labels.iter().find(|l| l.name.eq_ignore_ascii_case(label)).map(|l| l.name.clone());
    let label = known.unwrap_or_else(|| {
        entry.labels.push(Label {
            id,
            name: label.to_owned(),
            color: "ededed".to_owned(),
            description: Some(String::new()),
        });
        label.to_owned()
    });
    let issue = issue_mut(world, name, number)?;
    if issue.labels.contains(&label) {
        return Ok(false);
    }
    issue.labels.push(label.clone());
    happened(world, name, number, person, Happening::Labeled { label: label.clone() })?;
    webhooks::labeled(world, name, number, "labeled", person, &label);
    Ok(true)
}

/// Takes a label off; `false`: it was not there.
pub(super) fn unlabel(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    label: &str,
) -> Result<bool, SandboxError> {
    let issue = issue_mut(world, name, number)?;
    let Some(at) = issue.labels.iter().position(|l| l.eq_ignore_ascii_case(label)) else { return Ok(false) };
    let label = issue.labels.remove(at);
    happened(world, name, number, person, Happening::Unlabeled { label: label.clone() })?;
    webhooks::labeled(world, name, number, "unlabeled", person, &label);
    Ok(true)
}

pub(super) fn set_open(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    open: bool,
) -> Result<(), SandboxError> {
    let now = world.now();
    let issue = issue_mut(world, name, number)?;
    if issue.open == open || issue.pull.as_ref().is_some_and(|p| p.merged.is_some()) {
        return Ok(());
    }
    issue.open = open;
    issue.closed_at = (!open).then_some(now);
    let is_pull = issue.pull.is_some();
    happened(world, name, number, person, if open { Happening::Reopened } else { Happening::Closed })?;
    let action = if open { "reopened" } else { "closed" };
    if is_pull {
        webhooks::pull_request(world, name, number, action, person, json!({}));
    } else {
        webhooks::issue(world, name, number, action, person);
    }
    Ok(())
}

/// Marks a pull request as merged by a commit on the base branch, which stood at `before`, and tells the App.
pub(super) fn mark_merged(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    sha: &str,
    before: Oid,
) -> Result<(), SandboxError> {
    let now = world.now();
    let git = gitrepo::open(&repo(world, name)?.git_dir)?;
    let brought = gitrepo::commits_between(&git, Some(before), Oid::from_str(sha)?)?;
    let brought = brought.into_iter().map(|c| c.sha).collect();
    let issue = issue_mut(world, name, number)?;
    issue.open = false;
    issue.closed_at = Some(now);
    if let Some(part) = issue.pull.as_mut() {
        part.merged = Some(Merged { sha: sha.to_owned(), brought, by: person.to_owned(), at: now });
    }
    happened(world, name, number, person, Happening::Merged { sha: sha.to_owned() })?;
    happened(world, name, number, person, Happening::Closed)?;
    webhooks::pull_request(world, name, number, "closed", person, json!({}));
    Ok(())
}

/// The names of required checks that did not succeed on a commit.
pub(super) fn missing_checks(entry: &Repo, branch: &str, sha: &str, app: &str) -> Vec<String> {
    let rules = entry.rules.get(branch).into_iter().flatten();
    let required = rules.filter_map(|r| r.pointer("/parameters/required_status_checks")?.as_array());
    required
        .flatten()
        .filter_map(|c| Some((c["context"].as_str()?, c["integration_id"].is_u64())))
        .filter(|(name, ours)| {
            let of = |c: &&CheckRun| c.head_sha == sha && c.name == *name && (c.app == app || !ours);
            let latest = entry.checks.iter().rev().find(of);
            !latest.is_some_and(|c| matches!(c.conclusion.as_deref(), Some("success" | "neutral" | "skipped")))
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn merge(
    world: &mut World,
    name: &str,
    number: u64,
    person: &str,
    method: MergeMethod,
) -> Result<String, SandboxError> {
    require(world, name, person, Permission::Write)?;
    let (issue, part) = pull(world, name, number)?;
    if !issue.open {
        return Err(SandboxError::NotOpen(number));
    }
    if part.draft {
        return Err(SandboxError::NotAllowed("a draft cannot be merged".to_owned()));
    }
    let entry = repo(world, name)?;
    let missing = missing_checks(entry, &part.base_ref, &part.head_sha, &world.app.slug);
    if !missing.is_empty() {
        return Err(SandboxError::NotAllowed(format!("required checks have not succeeded: {}", missing.join(", "))));
    }
    let git = gitrepo::open(&entry.git_dir)?;
    let base_ref = part.base_ref.clone();
    let base =
        gitrepo::tip(&git, &entry.branch_ref(&base_ref)).ok_or_else(|| SandboxError::NoSuchCommit(base_ref.clone()))?;
    let head = Oid::from_str(&part.head_sha)?;
    let by = signature_of(world, person, None)?;
    let sha = match method {
        MergeMethod::Merge => {
            let from = part.head_repo.as_deref().and_then(|r| r.split_once('/')).map_or("unknown", |(o, _)| o);
            let text = format!("Merge pull request #{number} from {from}/{}\n\n{}", part.head_ref, issue.title);
            gitrepo::merge(&git, base, head, &by, &text)?
        }
        MergeMethod::Squash => gitrepo::squash(&git, base, head, &by, &format!("{} (#{number})", issue.title))?,
        MergeMethod::Rebase => gitrepo::rebase(&git, base, head, &by)?,
    };
    move_branch(world, name, &base_ref, person, sha)?;
    mark_merged(world, name, number, person, &sha.to_string(), base)?;
    Ok(sha.to_string())
}

impl PullHandle {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The repository it goes into.
    pub fn repo(&self) -> &RepoHandle {
        &self.repo
    }

    fn change<R>(
        &self,
        change: impl FnOnce(&mut World, &str, u64) -> Result<R, SandboxError>,
    ) -> Result<R, SandboxError> {
        self.repo.change(|w, name| change(w, name, self.number))
    }

    pub(super) fn look<R>(&self, read: impl FnOnce(&World, &Repo, &Issue, &PullPart) -> R) -> Result<R, SandboxError> {
        self.repo.look(|w, repo| {
            let (issue, part) = pull(w, &repo.full_name, self.number)?;
            Ok(read(w, repo, issue, part))
        })?
    }

    fn head(&self) -> Result<(RepoHandle, String), SandboxError> {
        let (head_repo, branch) = self.look(|_, _, _, p| (p.head_repo.clone(), p.head_ref.clone()))?;
        let name = head_repo.ok_or_else(|| SandboxError::NoSuchRepo("the deleted fork".to_owned()))?;
        Ok((RepoHandle::new(self.repo.sandbox.clone(), name), branch))
    }

    /// Pushes commits to its branch, which the App sees as `synchronize`. Gives the new head.
    pub fn push(&self, person: &str, commits: &[NewCommit]) -> Result<String, SandboxError> {
        let (repo, branch) = self.head()?;
        repo.push(&branch, person, commits)
    }

    /// Replaces its branch with `onto` plus `commits`. Gives the new head.
    pub fn force_push(&self, person: &str, onto: &str, commits: &[NewCommit]) -> Result<String, SandboxError> {
        let (repo, branch) = self.head()?;
        repo.force_push(&branch, person, onto, commits)
    }

    /// Submits a review; GitHub refuses an author's verdict on their own pull request. Gives its id.
    pub fn review(&self, person: &str, verdict: ReviewVerdict, body: &str) -> Result<u64, SandboxError> {
        self.change(|w, name, number| {
            require(w, name, person, Permission::Read)?;
            let (id, now) = (w.new_id(), w.now());
            let issue = issue_mut(w, name, number)?;
            let own = issue.author.eq_ignore_ascii_case(person);
            let part = issue.pull.as_mut().ok_or(SandboxError::NoSuchPull(number))?;
            match verdict {
                ReviewVerdict::Dismissed => {
                    return Err(SandboxError::NotAllowed("use `dismiss_review` to dismiss a review".to_owned()));
                }
                ReviewVerdict::Approve if own => {
                    return Err(SandboxError::NotAllowed("Can not approve your own pull request".to_owned()));
                }
                ReviewVerdict::RequestChanges if own => {
                    let words = "Can not request changes on your own pull request";
                    return Err(SandboxError::NotAllowed(words.to_owned()));
                }
                ReviewVerdict::Approve | ReviewVerdict::RequestChanges | ReviewVerdict::Comment => {}
            }
            part.reviews.push(Review {
                id,
                author: person.to_owned(),
                verdict,
                body: body.to_owned(),
                commit: part.head_sha.clone(),
                submitted_at: now,
                dismissal: None,
            });
            part.requested_people.retain(|login| !login.eq_ignore_ascii_case(person));
            happened(w, name, number, person, Happening::Reviewed { review: id })?;
            webhooks::review(w, name, number, id, "submitted", person);
            Ok(id)
        })
    }

    /// Dismisses a review.
    pub fn dismiss_review(&self, person: &str, review: u64, message: &str) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            require(w, name, person, Permission::Write)?;
            let part = pull_mut(w, name, number)?;
            let entry = part.reviews.iter_mut().find(|r| r.id == review);
            let entry = entry.ok_or_else(|| SandboxError::NoSuch("review", review.to_string()))?;
            let was = entry.verdict.as_str();
            entry.verdict = ReviewVerdict::Dismissed;
            entry.dismissal = Some(message.to_owned());
            let what = Happening::ReviewDismissed { review, was, message: message.to_owned() };
            happened(w, name, number, person, what)?;
            webhooks::review(w, name, number, review, "dismissed", person);
            Ok(())
        })
    }

    /// Comments. Gives the comment's id.
    pub fn comment(&self, person: &str, body: &str) -> Result<u64, SandboxError> {
        self.change(|w, name, number| {
            require(w, name, person, Permission::Read)?;
            add_comment(w, name, number, person, body, false)
        })
    }

    /// Changes the text of a comment.
    pub fn edit_comment(&self, person: &str, comment: u64, body: &str) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            let now = w.now();
            let issue = issue_mut(w, name, number)?;
            let entry = issue.comments.iter_mut().find(|c| c.id == comment);
            let entry = entry.ok_or_else(|| SandboxError::NoSuch("comment", comment.to_string()))?;
            let from = std::mem::replace(&mut entry.body, body.to_owned());
            entry.updated_at = now;
            let changes = json!({ "body": { "from": from } });
            webhooks::issue_comment(w, name, number, comment, "edited", person, changes);
            Ok(())
        })
    }

    /// Deletes a comment.
    pub fn delete_comment(&self, person: &str, comment: u64) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            webhooks::issue_comment(w, name, number, comment, "deleted", person, Value::Null);
            issue_mut(w, name, number)?.comments.retain(|c| c.id != comment);
            Ok(())
        })
    }

    /// Puts a label on; needs triage, as on GitHub. A new label is made for it.
    pub fn add_label(&self, person: &str, name: &str) -> Result<(), SandboxError> {
        self.change(|w, repo, number| {
            require(w, repo, person, Permission::Triage)?;
            label(w, repo, number, person, name).map(|_| ())
        })
    }

    /// Takes a label off; needs triage.
    pub fn remove_label(&self, person: &str, name: &str) -> Result<(), SandboxError> {
        self.change(|w, repo, number| {
            require(w, repo, person, Permission::Triage)?;
            unlabel(w, repo, number, person, name).map(|_| ())
        })
    }

    /// Merges it. Gives the merge commit's SHA on the base branch.
    pub fn merge(&self, person: &str, method: MergeMethod) -> Result<String, SandboxError> {
        self.change(|w, name, number| merge(w, name, number, person, method))
    }

    /// Closes it unmerged.
    pub fn close(&self, person: &str) -> Result<(), SandboxError> {
        self.change(|w, name, number| set_open(w, name, number, person, false))
    }

    /// Opens it again.
    pub fn reopen(&self, person: &str) -> Result<(), SandboxError> {
        self.change(|w, name, number| set_open(w, name, number, person, true))
    }

    /// Makes it a draft or ready for review.
    pub fn set_draft(&self, person: &str, draft: bool) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            pull_mut(w, name, number)?.draft = draft;
            let (what, action) = if draft {
                (Happening::ConvertToDraft, "converted_to_draft")
            } else {
                (Happening::ReadyForReview, "ready_for_review")
            };
            happened(w, name, number, person, what)?;
            webhooks::pull_request(w, name, number, action, person, json!({}));
            Ok(())
        })
    }

    /// Changes title or body (`edited`).
    pub fn edit(&self, person: &str, title: Option<&str>, body: Option<&str>) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            let issue = issue_mut(w, name, number)?;
            let mut changes = json!({});
            let mut renamed = None;
            if let Some(title) = title {
                let from = std::mem::replace(&mut issue.title, title.to_owned());
                changes["title"] = json!({ "from": from });
                renamed = Some(Happening::Renamed { from, to: title.to_owned() });
            }
            if let Some(body) = body {
                changes["body"] = json!({ "from": issue.body.clone().unwrap_or_default() });
                issue.body = Some(body.to_owned());
            }
            if let Some(renamed) = renamed {
                happened(w, name, number, person, renamed)?;
            }
            webhooks::pull_request(w, name, number, "edited", person, json!({ "changes": changes }));
            Ok(())
        })
    }

    /// Aims it at another branch (`edited` with the old base).
    pub fn change_base(&self, person: &str, base: &str) -> Result<(), SandboxError> {
        self.change(|w, name, number| {
            let entry = repo(w, name)?;
            let git = gitrepo::open(&entry.git_dir)?;
            let tip = gitrepo::tip(&git, &entry.branch_ref(base))
                .ok_or_else(|| SandboxError::NoSuchCommit(base.to_owned()))?;
            let part = pull_mut(w, name, number)?;
            let from_ref = std::mem::replace(&mut part.base_ref, base.to_owned());
            let from_sha = std::mem::replace(&mut part.base_sha, tip.to_string());
            happened(w, name, number, person, Happening::BaseRefChanged)?;
            let changes = json!({ "base": { "ref": { "from": from_ref }, "sha": { "from": from_sha } } });
            webhooks::pull_request(w, name, number, "edited", person, json!({ "changes": changes }));
            Ok(())
        })
    }
}

/// Commits and changed files of a pull request, against the merge base as GitHub shows them.
pub(super) fn contents(entry: &Repo, part: &PullPart) -> Result<(Vec<CommitInfo>, Vec<FileChange>), git2::Error> {
    let git = gitrepo::open(&entry.git_dir)?;
    let head = Oid::from_str(&part.head_sha)?;
    let base = match (&part.merged, gitrepo::tip(&git, &entry.branch_ref(&part.base_ref))) {
        (None, Some(tip)) => tip,
        (Some(_), _) | (None, None) => Oid::from_str(&part.base_sha)?,
    };
    let fork_point = git.merge_base(base, head).ok();
    Ok((gitrepo::commits_between(&git, Some(base), head)?, gitrepo::changes(&git, fork_point, head)?))
}
