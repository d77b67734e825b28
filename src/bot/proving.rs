//! What an approval was given for, where only its time and its commit are known: the content of the commit, under the
//! policy and at the risk of that moment.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::contents::{self, Compare, Contents, Unreadable, salvage_at};
use super::error::JobError;
use super::gather::{Place, before};
use super::raises::Raise;
use super::work::{Note, Noted};
use super::{Bot, people};
use crate::approval::{Binding, Policy, ReviewState, labelled_risk};
use crate::git::{GitError, Mirror, Want};
use crate::github::{GithubError, model};
use crate::ids::{CommitSha, Login, PrNumber, Risk};

/// How much later than its review a commit may say it was made before the review is held to be about something else
/// (seconds): clocks differ a little, and GitHub moves a review to the new head after some force-pushes (BOT 2).
const CLOCK_SLACK: i64 = 120;

/// What proves that a word was given at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its event named both.
    Event,
    /// GitHub names the commit later, so it must not be younger than the word.
    Commit,
}

/// A word on a commit.
#[derive(Debug, Clone, Copy)]
struct Given<'a> {
    commit: &'a CommitSha,
    at: DateTime<Utc>,
    proof: Proof,
}

impl Bot {
    /// What a review or a label was given for, by its own event. However late that is worked on, what counts is what was
    /// there when it was given.
    pub(super) async fn bound_by_event(
        &self,
        place: &Place,
        note: &Note,
        commit: &CommitSha,
        now: DateTime<Utc>,
    ) -> Result<Option<Binding>, JobError> {
        let pull = place.api.pull(note.number).await?;
        let said = match &note.what {
            Noted::Reviewed { review, .. } => {
                let given = place.api.reviews(note.number).await?;
                given.into_iter().find(|g| g.id == *review).and_then(|g| g.submitted_at)
            }
            Noted::Labelled { label, by, .. } => {
                let same = |e: &&model::TimelineEntry| {
                    e.event == "labeled"
                        && e.label.as_ref().is_some_and(|l| l.name.eq_ignore_ascii_case(label))
                        && e.actor.as_ref().is_some_and(|a| a.login == *by)
                };
                let timeline = self.timeline(place, note.number).await?;
                timeline.iter().rev().find(same).and_then(|e| e.created_at)
            }
            Noted::Pushed(_) | Noted::Unlabelled { .. } => None,
        };
        let given = Given { commit, at: said.unwrap_or(note.at), proof: Proof::Event };
        self.binding_at(place, &pull, given, now).await
    }

    /// Who set and removed labels; none where GitHub has no timeline.
    pub(super) async fn timeline(
        &self,
        place: &Place,
        number: PrNumber,
    ) -> Result<Vec<model::TimelineEntry>, GithubError> {
        match place.api.label_timeline(number).await {
            Err(GithubError::NotFound { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Knows whose labels are Godwit's own. Somebody who only looks is not signed in as the App, and takes every App's for
    /// its own.
    pub(super) fn own_labels(&self, bot: &Login) -> impl Fn(&Login) -> bool + Send + Sync + use<> {
        let (bot, looks_only) = (bot.clone(), self.settings.looks_only);
        move |login: &Login| if looks_only { login.as_str().ends_with("[bot]") } else { *login == bot }
    }

    /// Remembers, for approvals whose webhook was lost, what they were given for, where that can be proved: by the
    /// content of the commit that GitHub names, unless that commit is younger than the review.
    pub(super) async fn prove_reviews(
        &self,
        place: &Place,
        contents: &Contents,
        pull: &model::PullRequest,
        given: &[model::Review],
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let (repo, number) = (&place.repository.name, pull.number);
        // What needs no approval binds none.
        if contents.digest.is_none() {
            return Ok(());
        }
        let known: BTreeSet<String> = self.store.bindings(repo, number).await?.into_iter().map(|b| b.subject).collect();
        for review in people::reviews(given, &[]) {
            let subject = people::review_subject(review.id);
            if review.state != ReviewState::Approved || known.contains(&subject) {
                continue;
            }
            let Some(commit) = given.iter().find(|g| g.id == review.id).and_then(|g| g.commit_id.clone()) else {
                continue;
            };
            let given = Given { commit: &commit, at: review.submitted_at, proof: Proof::Commit };
            let bound = if commit == pull.head.sha && !pull.is_merged() {
                self.bound_to(place, contents, pull, given).await?
            } else {
                self.binding_at(place, pull, given, now).await?
            };
            if let Some(binding) = bound {
                self.store.remember_binding(repo, number, &subject, &review.login, &binding, now).await?;
            }
        }
        Ok(())
    }

    /// What a word on the present head is bound to.
    async fn bound_to(
        &self,
        place: &Place,
        contents: &Contents,
        pull: &model::PullRequest,
        given: Given<'_>,
    ) -> Result<Option<Binding>, JobError> {
        let (commit, base, at, proof) =
            (given.commit.clone(), contents.base.clone(), given.at.timestamp(), given.proof);
        let wants = [Want::Commit(commit.clone()), Want::Commit(base.clone())];
        let read = move |mirror: &Mirror| match is_younger(mirror, &commit, at, proof) {
            true => Ok(None),
            false => policy_then(mirror, &base, at),
        };
        let Some(policy) = self.git(place, &wants, read).await? else { return Ok(None) };
        let raised = self.raised_at(place, &policy, pull, given.at).await?;
        Ok(contents.binding_under(&policy, raised))
    }

    /// What a word on a commit is bound to. `None` when that commit is gone or cannot be what the word was about, brings
    /// nothing that needs an approval, or the policy of that moment cannot be told.
    async fn binding_at(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        given: Given<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Binding>, JobError> {
        let (commit, base_ref, fallback) = (given.commit.clone(), pull.base.branch.clone(), pull.base.sha.clone());
        let wants = [
            Want::Branch(base_ref.clone()),
            Want::PullHead(pull.number),
            Want::Commit(commit.clone()),
            Want::Commit(fallback.clone()),
        ];
        let merged = pull.merge_commit_sha.clone().filter(|_| pull.is_merged());
        let wants: Vec<Want> = wants.into_iter().chain(merged.clone().map(Want::Commit)).collect();
        let (today, head, at, proof) = (now.date_naive(), pull.head.sha.clone(), given.at.timestamp(), given.proof);
        let judged = self.git(place, &wants, move |mirror| {
            if is_younger(mirror, &commit, at, proof) {
                return Ok(None);
            }
            let base = match &merged {
                Some(merge) => before(mirror, merge, &head)?,
                None => mirror.branch(&base_ref)?.unwrap_or_else(|| fallback.clone()),
            };
            let Some(policy) = policy_then(mirror, &base, at)? else { return Ok(None) };
            match contents::read(mirror, &base, &commit, Compare::Proposed, None, today) {
                Ok(contents) => Ok(Some((Box::new(contents), policy))),
                // A commit that is gone, or a policy that cannot be read, proves nothing.
                Err(Unreadable::Policy(_) | Unreadable::Git(GitError::Missing(_))) => Ok(None),
                Err(Unreadable::Git(e)) => Err(e),
            }
        });
        let Some((mut contents, policy)) = judged.await? else { return Ok(None) };
        self.weigh_as_known(&place.repository.name, pull.number, &mut contents, today).await?;
        let raised = self.raised_at(place, &contents.policy, pull, given.at).await?;
        Ok(contents.binding_under(&policy, raised))
    }

    /// The risk that people had raised to at a moment.
    async fn raised_at(
        &self,
        place: &Place,
        policy: &Policy,
        pull: &model::PullRequest,
        at: DateTime<Utc>,
    ) -> Result<Option<Risk>, JobError> {
        let own = self.own_labels(&self.github.bot_login().await?);
        let timeline = self.timeline(place, pull.number).await?;
        let (present, until) =
            if timeline.is_empty() { (pull.labels.clone(), timeline) } else { people::labelled_at(&timeline, at) };
        let mut labels = people::labels(&present, &until, &[], &own);
        labels.extend(self.standing_raises(place, policy, &until, &own).await?.iter().map(Raise::label));
        Ok(labelled_risk(&labels))
    }
}

/// Whether a commit cannot be what a word was about.
fn is_younger(mirror: &Mirror, commit: &CommitSha, at: i64, proof: Proof) -> bool {
    proof == Proof::Commit && mirror.committed_at(commit).map_or(true, |made| made > at + CLOCK_SLACK)
}

/// The policy that judged at a moment: that of the commit which was the tip then, by what the commits of the branch say of
/// themselves. `None` where history does not go back that far.
fn policy_then(mirror: &Mirror, tip: &CommitSha, at: i64) -> Result<Option<Policy>, GitError> {
    match mirror.tip_at(tip, at)? {
        Some(commit) => salvage_at(mirror, &commit).map(|(policy, _)| Some(policy)),
        None => Ok(None),
    }
}
