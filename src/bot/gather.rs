//! Reads everything that a decision about a pull request may look at, once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::contents::{self, Branches, Compare, Contents, Unreadable};
use super::error::JobError;
use super::raises::Raise;
use super::{Bot, entered, people, policy_now, services};
use crate::approval::{
    Evaluation, Person, Policy, PullRequestSnapshot, labelled_risk, ledger, relevant_people, relevant_teams,
};
use crate::config::ConfigError;
use crate::git::{GitError, Mirror, Remote, Want};
use crate::github::{GithubError, RepoApi, Repository, model};
use crate::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, TeamSlug};

/// A repository and the way to it.
#[derive(Clone)]
pub struct Place {
    /// As the event named it.
    pub repository: Repository,
    /// With the rights of its installation.
    pub api: RepoApi,
}

impl Place {
    /// The host where people read the repository.
    pub(super) fn web_host(&self) -> Option<String> {
        url::Url::parse(&self.repository.clone_url).ok()?.host_str().map(str::to_ascii_lowercase)
    }
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
    /// Another policy that has to agree, where the pull request changed policy files itself.
    pub also: Option<Policy>,
    /// The hash of the policy files that stand on the base branch now.
    pub policy_now: String,
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
                Box::pin(self.complete(place, pull, *contents, None, now)).await
            }
            Ok(FromGit::Merged(mut agreed, mut merged)) => {
                self.weigh_as_known(repo, number, &mut agreed, now.date_naive()).await?;
                self.weigh_as_known(repo, number, &mut merged.contents, now.date_naive()).await?;
                Box::pin(self.complete(place, pull, *agreed, Some(*merged), now)).await
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
                        let tip = mirror.branch(&base_ref)?.unwrap_or_else(|| merge.clone());
                        let (agreed, merged) = merged_contents(mirror, (merge, &tip), &head, &into, today)?;
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
        let timeline = self.timeline(place, number).await?;
        let own = self.own_labels(&bot);
        let given = place.api.reviews(number).await?;
        Box::pin(self.prove_reviews(place, &contents, &pull, &given, now)).await?;
        let bindings = self.store.bindings(repo, number).await?;
        let since = people::retargeted(&timeline);
        let mut labels = people::since(people::labels(&pull.labels, &timeline, &bindings, &own), since);
        let raises = self.standing_raises(place, &contents.policy, &timeline, &own).await?;
        labels.extend(raises.iter().map(Raise::label));
        let reviews = people::reviews_since(people::reviews(&given, &bindings), since);
        let (commit_people, incomplete) = Box::pin(self.commit_people(place, &pull, &contents.names)).await?;
        let policy_paths: Vec<String> = contents.policy_changes.iter().map(|(p, _)| p.clone()).collect();
        let paths: Vec<String> = contents.migration_paths.iter().chain(&policy_paths).cloned().collect();
        let base = contents.base.clone();
        let mut notes = Box::pin(self.settle_owners(place, &mut contents.policy, &base, &paths)).await?;
        let mut merged = merged;
        if let Some(also) = merged.as_mut().and_then(|m| m.also.as_mut()) {
            Box::pin(self.settle_owners(place, also, &base, &paths)).await?;
        }
        let author = pull.user.as_ref().map(|u| u.login.clone());
        let (rows, before) = entered::after(self.store.entered(repo, Some(number)).await?, since);
        notes.extend(before);
        let acting = reviews.iter().map(|r| r.login.clone()).chain(labels.iter().filter_map(|l| l.set_by.clone()));
        let acting = acting.chain(rows.iter().map(|r| r.approval.approver.clone()));
        let acting: BTreeSet<Login> = acting.chain(author.clone()).filter(|login| login != &bot).collect();
        let policies: Vec<&Policy> =
            Some(&contents.policy).into_iter().chain(merged.as_ref().and_then(|m| m.also.as_ref())).collect();
        let people = self.people(place, &policies, &paths, acting).await?;
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
        notes.extend(raises.iter().map(Raise::note));
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

    /// What GitHub says of those who act on the pull request, and of those whom the policy names.
    async fn people(
        &self,
        place: &Place,
        policies: &[&Policy],
        paths: &[String],
        acting: BTreeSet<Login>,
    ) -> Result<BTreeMap<Login, Person>, JobError> {
        let teams: BTreeSet<TeamSlug> = policies.iter().flat_map(|p| relevant_teams(p, paths)).collect();
        let named: BTreeSet<Login> = policies.iter().flat_map(|p| relevant_people(p, paths)).collect();
        let mut asked: JoinSet<Result<(Login, Person), GithubError>> = JoinSet::new();
        for login in acting.iter().cloned().chain(named.into_iter().filter(|p| !acting.contains(p))) {
            let teams = if acting.contains(&login) { teams.clone() } else { BTreeSet::new() };
            let api = place.api.clone();
            asked.spawn(async move { person(&api, login, teams).await }.in_current_span());
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
pub(super) fn before(mirror: &Mirror, merge: &CommitSha, head: &CommitSha) -> Result<CommitSha, GitError> {
    let messages = match mirror.merge_base(merge, head)? {
        Some(parted) => mirror.messages(&parted, head)?,
        None => Vec::new(),
    };
    mirror.before_merge(merge, &messages)
}

/// What was agreed to, and what the merge brought.
fn merged_contents(
    mirror: &Mirror,
    (merge, tip): (&CommitSha, &CommitSha),
    head: &CommitSha,
    into: &Branches,
    today: chrono::NaiveDate,
) -> Result<(Contents, Merged), Unreadable> {
    let base = before(mirror, merge, head)?;
    let mut agreed = contents::read(mirror, &base, head, Compare::Proposed, Some(into), today)?;
    let mut brought = contents::read(mirror, &base, merge, Compare::Merged, Some(into), today)?;
    let differing = contents::differing(&agreed, &brought);
    let now = if agreed.mends.is_empty() {
        let own: BTreeSet<&str> = brought.policy_changes.iter().map(|(path, _)| path.as_str()).collect();
        policy_now::at(mirror, (&base, tip), &own, &agreed.policy)?
    } else {
        // What only mended a broken policy runs nothing.
        policy_now::Now { policy: agreed.policy.clone(), also: None, hash: agreed.policy.hash.clone() }
    };
    let asked = services::now(mirror, tip, &brought)?;
    agreed.ask_by(&asked);
    brought.ask_by(&asked);
    agreed.policy = now.policy.tightened(&asked);
    brought.policy = agreed.policy.clone();
    let (also, policy_now) = (now.also.map(|also| also.tightened(&asked)), now.hash);
    Ok((agreed, Merged { commit: merge.clone(), contents: brought, differing, also, policy_now }))
}
