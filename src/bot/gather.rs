//! Reads everything that a decision about a pull request may look at, once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;

use super::contents::{self, Branches, Compare, Contents, Unreadable};
use super::error::JobError;
use super::raises::Raise;
use super::{Bot, entered, people};
use crate::approval::{
    CommitPerson, Evaluation, Person, Policy, PullRequestSnapshot, ReviewState, labelled_risk, ledger, relevant_people,
    relevant_teams,
};
use crate::config::ConfigError;
use crate::git::{GitError, Mirror, Remote, Want};
use crate::github::{GithubError, RepoApi, Repository, model};
use crate::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk, TeamSlug};

/// Commits asked about one by one where GitHub's list is cut off; beyond that the verdict is blocked.
const MAX_LOOKUPS: usize = 200;
/// How much later than its review a commit may say it was made before the review is held to be about something else
/// (seconds): clocks differ a little, and GitHub moves a review to the new head after some force-pushes (BOT 2).
const CLOCK_SLACK: i64 = 120;

/// A repository and the way to it.
#[derive(Clone)]
pub struct Place {
    /// As the event named it.
    pub repository: Repository,
    /// With the rights of its installation.
    pub api: RepoApi,
}

/// A pull request with all that is known of it.
pub struct Gathered {
    /// As GitHub has it now.
    pub pull: model::PullRequest,
    /// What an open one proposes; for a merged one what was agreed to.
    pub contents: Contents,
    /// What the decision looks at.
    pub snapshot: PullRequestSnapshot,
    /// What stands on the base branch, once merged.
    pub merged: Option<Merged>,
    /// What people should know besides.
    pub notes: Vec<String>,
}

/// What a merge brought.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The commit on the base branch.
    pub commit: CommitSha,
    /// What it brought.
    pub contents: Contents,
    /// Files that differ from what was agreed to.
    pub differing: Vec<String>,
}

/// What gathering can end with besides a failure of the surroundings.
pub enum Found {
    /// Everything.
    Complete(Box<Gathered>),
    /// The policy of the base is wrong; nothing else was looked at.
    BrokenPolicy(Box<model::PullRequest>, Vec<ConfigError>),
}

/// What git says about a pull request.
enum FromGit {
    Open(Box<Contents>),
    Merged(Box<Contents>, Box<Merged>),
}

impl Bot {
    /// The repository of an event, ready to be asked.
    pub(super) async fn place(&self, repository: &Repository) -> Result<Place, JobError> {
        let api = self.github.repo(&repository.name, repository.installation).await?;
        Ok(Place { repository: repository.clone(), api })
    }

    /// Looks at the mirror with `wants` in it.
    pub(super) async fn git<T, F>(&self, place: &Place, wants: &[Want], read: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: Fn(&Mirror) -> Result<T, GitError> + Send + 'static,
    {
        let remote = Remote {
            repo: place.repository.name.clone(),
            clone_url: place.repository.clone_url.clone(),
            token: Some(place.api.git_token().await?),
        };
        Ok(self.mirrors.with(&remote, wants, read).await?)
    }

    /// Everything about a pull request, as of `now`.
    pub(super) async fn gather(&self, place: &Place, number: PrNumber, now: DateTime<Utc>) -> Result<Found, JobError> {
        let pull = place.api.pull(number).await?;
        let repo = &place.repository.name;
        match self.read_git(place, &pull, now).await? {
            Err(errors) => Ok(Found::BrokenPolicy(Box::new(pull), errors)),
            Ok(FromGit::Open(mut contents)) => {
                Box::pin(self.weigh_open(place, number, &mut contents, pull.from_fork(), now)).await?;
                self.complete(place, pull, *contents, None, now).await
            }
            Ok(FromGit::Merged(mut agreed, mut merged)) => {
                self.weigh_as_known(repo, number, &mut agreed, now.date_naive()).await?;
                self.weigh_as_known(repo, number, &mut merged.contents, now.date_naive()).await?;
                self.complete(place, pull, *agreed, Some(*merged), now).await
            }
        }
    }

    async fn read_git(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        now: DateTime<Utc>,
    ) -> Result<Result<FromGit, Vec<ConfigError>>, JobError> {
        let today = now.date_naive();
        let (head, base_ref, fallback) = (pull.head.sha.clone(), pull.base.branch.clone(), pull.base.sha.clone());
        let mut wants = vec![
            Want::Branch(base_ref.clone()),
            Want::PullHead(pull.number),
            Want::Commit(head.clone()),
            Want::Commit(fallback.clone()),
        ];
        let merge = if pull.is_merged() { pull.merge_commit_sha.clone() } else { None };
        wants.extend(merge.clone().map(Want::Commit));
        let into = Branches { base: base_ref.clone(), default: place.repository.default_branch.clone() };
        self.git(place, &wants, move |mirror| {
            let read = || -> Result<FromGit, Unreadable> {
                match &merge {
                    Some(merge) => {
                        let (agreed, merged) = merged_contents(mirror, merge, &head, &into, today)?;
                        Ok(FromGit::Merged(Box::new(agreed), Box::new(merged)))
                    }
                    None => {
                        // The tip as of now judges, not where the branch was when the pull request was opened (DECISIONS 8).
                        let base = mirror.branch(&base_ref)?.unwrap_or_else(|| fallback.clone());
                        let mut contents = contents::read(mirror, &base, &head, Compare::Proposed, Some(&into), today)?;
                        contents.propose(today);
                        Ok(FromGit::Open(Box::new(contents)))
                    }
                }
            };
            match read() {
                Ok(found) => Ok(Ok(found)),
                Err(Unreadable::Policy(errors)) => Ok(Err(errors)),
                Err(Unreadable::Git(e)) => Err(e),
            }
        })
        .await
    }

    async fn complete(
        &self,
        place: &Place,
        pull: model::PullRequest,
        mut contents: Contents,
        merged: Option<Merged>,
        now: DateTime<Utc>,
    ) -> Result<Found, JobError> {
        let (repo, number) = (&place.repository.name, pull.number);
        let bot = self.github.bot_login().await?;
        let timeline = match place.api.label_timeline(number).await {
            Err(GithubError::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        let given = place.api.reviews(number).await?;
        self.prove_reviews(place, number, &contents, &pull, &given, now).await?;
        let bindings = self.store.bindings(repo, number).await?;
        let since = people::retargeted(&timeline);
        let mut labels = people::since(people::labels(&pull.labels, &timeline, &bindings), since);
        let raises = self.standing_raises(place, &contents.policy, &timeline).await?;
        labels.extend(raises.iter().map(Raise::label));
        let reviews = people::reviews_since(people::reviews(&given, &bindings), since);
        let (commit_people, incomplete) = self.commit_people(place, &pull, &contents).await?;
        let policy_paths: Vec<String> = contents.policy_changes.iter().map(|(p, _)| p.clone()).collect();
        let paths: Vec<String> = contents.migration_paths.iter().chain(&policy_paths).cloned().collect();
        let author = pull.user.as_ref().map(|u| u.login.clone());
        let rows = self.store.entered(repo, Some(number)).await?;
        let acting = reviews.iter().map(|r| r.login.clone()).chain(labels.iter().filter_map(|l| l.set_by.clone()));
        let acting = acting.chain(rows.iter().map(|r| r.approval.approver.clone()));
        let acting: BTreeSet<Login> = acting.chain(author.clone()).filter(|login| login != &bot).collect();
        let people = self.people(place, &contents.policy, &paths, acting).await?;
        let subject = merged.as_ref().map_or(&contents, |m| &m.contents);
        let binding = subject.binding(labelled_risk(&labels));
        let asked_at = match &binding {
            Some(binding) if self.settings.looks_only => self.store.asked_since(repo, number, binding).await?,
            Some(binding) if !pull.draft => Some(self.store.asked_at(repo, number, binding, now).await?),
            Some(_) | None => None,
        };
        let asked = match &binding {
            Some(binding) => self.store.asked_in(repo, number, binding).await?,
            None => BTreeMap::new(),
        };
        let held = match merged.as_ref().and_then(|m| m.contents.digest.as_ref()) {
            Some(digest) => self.held(repo, &contents.policy, digest).await?,
            None => BTreeSet::new(),
        };
        let entered = entered::of_pull(&rows, subject, binding.as_ref());
        if merged.is_none() {
            contents.against.extend(self.ledger_gate(repo, &contents).await?);
        }
        let snapshot = PullRequestSnapshot {
            repo: repo.clone(),
            number,
            author,
            head: pull.head.sha.clone(),
            base: contents.base.clone(),
            base_ref: pull.base.branch.clone(),
            default_branch: Some(place.repository.default_branch.clone()),
            from_fork: pull.from_fork(),
            draft: pull.draft,
            merged: pull.is_merged(),
            commit_people,
            incomplete,
            reviews,
            labels,
            people,
            binding,
            migration_paths: contents.migration_paths.clone(),
            policy_paths,
            asked_at,
            asked,
            entered,
            held,
        };
        let notes = raises.iter().map(Raise::note).collect();
        Ok(Found::Complete(Box::new(Gathered { pull, contents, snapshot, merged, notes })))
    }

    /// The environments that hold what was merged.
    async fn held(
        &self,
        repo: &RepoName,
        policy: &Policy,
        digest: &Digest,
    ) -> Result<BTreeSet<EnvironmentName>, JobError> {
        let mut held = BTreeSet::new();
        for environment in &policy.repo.environments {
            if super::decide::holds(self.store.latest_environment(repo, environment, digest).await?.as_ref()) {
                held.insert(environment.clone());
            }
        }
        Ok(held)
    }

    /// What the change does to migrations that environments hold (B-16).
    async fn ledger_gate(&self, repo: &RepoName, contents: &Contents) -> Result<Option<Evaluation>, JobError> {
        if contents.migration_paths.is_empty() {
            return Ok(None);
        }
        let mut recorded = self.store.recorded(repo).await?;
        let order = &contents.policy.repo.environments;
        recorded.sort_by_key(|r| order.iter().position(|e| *e == r.environment));
        Ok(ledger::gate(&ledger::breaches(&contents.before, &contents.set, &recorded)))
    }

    /// Remembers, for approvals whose webhook was lost, what they were given for, where that can be proved: by the
    /// content of the commit that GitHub names, unless that commit is younger than the review.
    async fn prove_reviews(
        &self,
        place: &Place,
        number: PrNumber,
        contents: &Contents,
        pull: &model::PullRequest,
        given: &[model::Review],
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let repo = &place.repository.name;
        let known: BTreeSet<String> = self.store.bindings(repo, number).await?.into_iter().map(|b| b.subject).collect();
        for review in people::reviews(given, &[]) {
            let subject = people::review_subject(review.id);
            if review.state != ReviewState::Approved || known.contains(&subject) {
                continue;
            }
            let Some(commit) = given.iter().find(|g| g.id == review.id).and_then(|g| g.commit_id.clone()) else {
                continue;
            };
            let submitted = review.submitted_at.timestamp();
            let bound = if commit == pull.head.sha && !pull.is_merged() {
                let young = {
                    let commit = commit.clone();
                    self.git(place, &[Want::Commit(commit.clone())], move |m| m.committed_at(&commit)).await?
                };
                (young <= submitted + CLOCK_SLACK).then(|| contents.binding(None)).flatten()
            } else {
                self.binding_at(place, pull, &commit, Some(submitted + CLOCK_SLACK), now).await?
            };
            if let Some(binding) = bound {
                self.store.remember_binding(repo, number, &subject, &review.login, &binding, now).await?;
            }
        }
        Ok(())
    }

    /// What an approval given at `commit` is bound to. `None` when that commit is gone, is younger than `not_after`
    /// (seconds since 1970), or brings nothing that needs an approval.
    pub(super) async fn binding_at(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        commit: &CommitSha,
        not_after: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Option<crate::approval::Binding>, JobError> {
        let (commit, base_ref, fallback) = (commit.clone(), pull.base.branch.clone(), pull.base.sha.clone());
        let wants = [
            Want::Branch(base_ref.clone()),
            Want::PullHead(pull.number),
            Want::Commit(commit.clone()),
            Want::Commit(fallback.clone()),
        ];
        let merged = pull.merge_commit_sha.clone().filter(|_| pull.is_merged());
        let wants: Vec<Want> = wants.into_iter().chain(merged.clone().map(Want::Commit)).collect();
        let (today, head) = (now.date_naive(), pull.head.sha.clone());
        let judged = self.git(place, &wants, move |mirror| {
            if not_after.is_some_and(|limit| mirror.committed_at(&commit).map_or(true, |made| made > limit)) {
                return Ok(None);
            }
            let base = match &merged {
                Some(merge) => before(mirror, merge, &head)?,
                None => mirror.branch(&base_ref)?.unwrap_or_else(|| fallback.clone()),
            };
            match contents::read(mirror, &base, &commit, Compare::Proposed, None, today) {
                Ok(contents) => Ok(Some(Box::new(contents))),
                // A commit that is gone, or a policy that cannot be read, proves nothing.
                Err(Unreadable::Policy(_) | Unreadable::Git(GitError::Missing(_))) => Ok(None),
                Err(Unreadable::Git(e)) => Err(e),
            }
        });
        let Some(mut contents) = judged.await? else { return Ok(None) };
        self.weigh_as_known(&place.repository.name, pull.number, &mut contents, today).await?;
        let raised = self.raised_risk(place, &contents.policy, pull).await?;
        Ok(contents.binding(raised))
    }

    async fn raised_risk(
        &self,
        place: &Place,
        policy: &Policy,
        pull: &model::PullRequest,
    ) -> Result<Option<Risk>, JobError> {
        let timeline = match place.api.label_timeline(pull.number).await {
            Err(GithubError::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        let mut labels = people::labels(&pull.labels, &timeline, &[]);
        labels.extend(self.standing_raises(place, policy, &timeline).await?.iter().map(Raise::label));
        Ok(labelled_risk(&labels))
    }

    /// Who made the commits or pushed them, and whether that could not be found out completely.
    async fn commit_people(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        contents: &Contents,
    ) -> Result<(BTreeSet<CommitPerson>, bool), JobError> {
        let listed = place.api.commits(pull.number).await?;
        let people::CommitPeople { mut people, open } = people::commit_people(&contents.names, &listed);
        let incomplete = open.len() > MAX_LOOKUPS || (contents.names.is_empty() && pull.commits > listed.len());
        for (email, sha) in open.into_iter().take(MAX_LOOKUPS) {
            let asked = people::commit_people(&contents.names, &[place.api.commit(&sha).await?]);
            let known = asked.people.iter().filter(|p| matches!(p, CommitPerson::Known(_))).cloned();
            people.extend(known);
            if asked.open.contains_key(&email) || asked.people.contains(&CommitPerson::Unknown(email.clone())) {
                people.insert(CommitPerson::Unknown(email));
            }
        }
        let pushers = self.store.pushers(&place.repository.name, pull.number).await?;
        people.extend(pushers.into_iter().map(CommitPerson::Known));
        Ok((people, incomplete))
    }

    /// What GitHub says of those who act on the pull request, and of those whom the policy names.
    async fn people(
        &self,
        place: &Place,
        policy: &Policy,
        paths: &[String],
        acting: BTreeSet<Login>,
    ) -> Result<BTreeMap<Login, Person>, JobError> {
        let teams = relevant_teams(policy, paths);
        let mut asked: JoinSet<Result<(Login, Person), GithubError>> = JoinSet::new();
        for login in
            acting.iter().cloned().chain(relevant_people(policy, paths).into_iter().filter(|p| !acting.contains(p)))
        {
            let teams = if acting.contains(&login) { teams.clone() } else { BTreeSet::new() };
            let api = place.api.clone();
            asked.spawn(async move { person(&api, login, teams).await });
        }
        let mut known = BTreeMap::new();
        while let Some(answer) = asked.join_next().await {
            let (login, person) =
                answer.map_err(|e| JobError::Internal(format!("asking about a person broke off: {e}")))??;
            known.insert(login, person);
        }
        Ok(known)
    }
}

/// What GitHub says of a person, with those of `teams` that they are an active member of.
pub(super) async fn person(
    api: &RepoApi,
    login: Login,
    teams: BTreeSet<TeamSlug>,
) -> Result<(Login, Person), GithubError> {
    let permission = api.permission(&login).await?;
    let mut member_of = BTreeSet::new();
    for team in teams {
        if api.is_member(&team, &login).await? {
            member_of.insert(team);
        }
    }
    Ok((login, Person { permission, teams: member_of }))
}

/// The commit on the base branch before `merge` brought the pull request with `head` there.
fn before(mirror: &Mirror, merge: &CommitSha, head: &CommitSha) -> Result<CommitSha, GitError> {
    let messages = match mirror.merge_base(merge, head)? {
        Some(parted) => mirror.messages(&parted, head)?,
        None => Vec::new(),
    };
    mirror.before_merge(merge, &messages)
}

/// What was agreed to, and what the merge brought.
fn merged_contents(
    mirror: &Mirror,
    merge: &CommitSha,
    head: &CommitSha,
    into: &Branches,
    today: chrono::NaiveDate,
) -> Result<(Contents, Merged), Unreadable> {
    let base = before(mirror, merge, head)?;
    let agreed = contents::read(mirror, &base, head, Compare::Proposed, Some(into), today)?;
    let brought = contents::read(mirror, &base, merge, Compare::Merged, Some(into), today)?;
    let differing = contents::differing(&agreed, &brought);
    Ok((agreed, Merged { commit: merge.clone(), contents: brought, differing }))
}
