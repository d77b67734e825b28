//! What happens per event: remember what only the event tells, judge the pull request, spread what concerns several.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use super::act::Seen;
use super::buttons::Pressed;
use super::error::JobError;
use super::gather::{Found, Gathered, Place};
use super::merge_run::Advanced;
use super::people::{label_subject, review_subject};
use super::work::{Judge, Note, Noted};
use super::worker::boxed;
use super::{Bot, decide, stacked};
use crate::git::GitError;
use crate::github::{Event, Repository, Sender, model};
use crate::ids::Login;

impl Bot {
    /// Keeps what GitHub cannot tell afterwards: who pushed, and what a review or a label was given for.
    pub(super) async fn remember(&self, note: &Note, now: DateTime<Utc>) -> Result<(), JobError> {
        let (repo, number) = (&note.repo.name, note.number);
        let (subject, login, commit) = match &note.what {
            Noted::Pushed(login) => return Ok(self.store.remember_pusher(repo, number, login).await?),
            Noted::Unlabelled { label } => {
                return Ok(self.store.forget_binding(repo, number, &label_subject(label)).await?);
            }
            Noted::Reviewed { review, author, commit } => (review_subject(*review), author, commit),
            Noted::Labelled { label, .. } if !stands_for_approval(label) => return Ok(()),
            Noted::Labelled { label, by, head } => (label_subject(label), by, head),
        };
        let place = self.place(&note.repo).await?;
        match Box::pin(self.bound_by_event(&place, note, commit, now)).await {
            Ok(Some(binding)) => {
                self.store.remember_binding(repo, number, &subject, login, &binding, note.at).await?;
            }
            // What the word was about is gone or cannot be judged: it does not count, and the comment says so.
            Ok(None) | Err(JobError::Git(GitError::Missing(_))) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Judges a pull request and shows the verdict; goes on with its environments when it is merged.
    pub(super) async fn judge(&self, judge: &Judge, now: DateTime<Utc>) -> Result<(), JobError> {
        let place = self.place(&judge.repo).await?;
        boxed(|| self.carry_out_rollbacks(&place, judge.number, now)).await?;
        let mut gathered = match Box::pin(self.gather(&place, judge.number, now)).await? {
            Found::Complete(gathered) => gathered,
            Found::BrokenPolicy(pull, errors) => {
                return if is_open(&pull) {
                    Box::pin(self.show_broken_policy(&place, &pull, &errors)).await
                } else {
                    self.leave_head(&place, judge.number).await?;
                    self.tell_broken_policy(&place, &pull, &errors).await
                };
            }
        };
        if !is_open(&gathered.pull) && gathered.merged.is_none() {
            self.store.close_judged(&place.repository.name, judge.number).await?;
            self.leave_head(&place, judge.number).await?;
            return self.leave(&place, judge.number, "was closed").await;
        }
        let mut verdict = decide::judge(&gathered.contents, &gathered.snapshot, now);
        if let Some(also) = gathered.merged.as_ref().and_then(|m| m.also.as_ref()) {
            verdict = decide::stricter(verdict, &crate::approval::evaluate(also, &gathered.snapshot, now));
        }
        if gathered.merged.is_none() {
            verdict.notes.extend(self.collide(&place, &gathered).await?);
        } else {
            self.leave_head(&place, judge.number).await?;
            self.leave(&place, judge.number, "was merged").await?;
        }
        self.remember_agreed(&place, &gathered, now).await?;
        self.remember_terms(&place, &gathered, now).await?;
        let stacked = self.stacked_on(&place, &gathered).await?;
        if let Some(below) = stacked {
            verdict = stacked::verdict(verdict, below, &gathered.snapshot.base_ref);
        }
        verdict.notes.extend(gathered.notes.iter().cloned());
        verdict.notes.extend(self.unprotected(&place, &gathered).await?);
        // A stacked one is only linted: what its merge would do is decided where the stack ends.
        let plans = if stacked.is_some() { Vec::new() } else { self.plans(&place, &gathered).await? };
        let arrivals = self.arrivals(&place, &gathered).await?;
        let seen = Seen { verdict: &verdict, plans: &plans, arrivals: arrivals.as_deref() };
        boxed(|| self.show(&place, &gathered, seen, judge, now)).await?;
        self.remember_judged(&place, &gathered, &verdict, now).await?;
        self.remind(&place, &gathered, &verdict, now).await?;
        self.ask_reviewers(&place, &gathered, &verdict, now).await?;
        if gathered.merged.is_some() {
            let went = boxed(|| self.go_forward(&place, &mut gathered, judge, now)).await;
            // Also where it goes on later: the summary says how far it came.
            let told = boxed(|| self.show_arrived(&place, &gathered, &verdict, arrivals.as_deref(), now)).await;
            went.and(told)?;
        }
        Box::pin(self.answer_gates(&place, now)).await
    }

    /// Brings the environments of a merged pull request forward, each by what is known when its turn has come.
    async fn go_forward(
        &self,
        place: &Place,
        gathered: &mut Gathered,
        judge: &Judge,
        mut now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        loop {
            let Some(merged) = &gathered.merged else { return Ok(()) };
            let advanced = boxed(|| self.advance(place, gathered, merged, judge, now)).await?;
            if advanced != Advanced::Ran {
                let done = (advanced == Advanced::Done).then_some(now);
                return Ok(self.store.set_done(&place.repository.name, judge.number, done).await?);
            }
            if self.stopping.load(Ordering::Relaxed) {
                let reason = "the server stops between two environments; whoever starts next goes on there".to_owned();
                return Err(JobError::Later { at: Utc::now(), reason });
            }
            now = (self.settings.clock)();
            match self.gather(place, judge.number, now).await? {
                Found::Complete(anew) => *gathered = *anew,
                Found::BrokenPolicy(..) => return Ok(()),
            }
        }
    }

    /// Leaves the verdict about every migration where the command line finds it, which cannot ask GitHub.
    async fn remember_agreed(&self, place: &Place, gathered: &Gathered, now: DateTime<Utc>) -> Result<(), JobError> {
        let contents = gathered.merged.as_ref().map_or(&gathered.contents, |m| &m.contents);
        let also = gathered.merged.as_ref().and_then(|m| m.also.as_ref());
        let agreed = decide::agreed(contents, (&gathered.contents.policy, also), &gathered.snapshot, now);
        Ok(self.store.remember_agreed(&place.repository.name, gathered.snapshot.number, &agreed).await?)
    }

    /// Turns an event of the whole repository into work on its pull requests.
    pub(super) async fn spread(&self, event: &Event, now: DateTime<Utc>) -> Result<(), JobError> {
        match event {
            // Other Apps' checks are none of ours, and foreign ones never count (B-19).
            Event::CheckRequested { app, .. } if app.is_some_and(|app| app != self.github.app_id()) => Ok(()),
            Event::CheckRequested { repo, head, pulls, .. } => {
                let place = self.place(repo).await?;
                let open = place.api.open_pulls(None).await?;
                // Payloads of forks name no pull request, so the head decides as well (GITHUB 1).
                for pull in open.iter().filter(|p| p.head.sha == *head || pulls.contains(&p.number)) {
                    self.enqueue_again(&place, pull).await?;
                }
                Ok(())
            }
            Event::CheckAction { repo, head, pulls, app, button, sender } => {
                self.pressed(&Pressed { repo, head, pulls, app: *app, button, sender }, now).await
            }
            Event::Installation { installation, action, added, removed } => {
                self.installation_changed(*installation, action, added, removed, now).await
            }
            // That its name is another one was noted when the work was claimed.
            Event::Renamed { .. } => Ok(()),
            Event::ProtectionRule { repo, environment, run, commit } => {
                let place = self.place(repo).await?;
                self.store.remember_gate(&repo.name, *run, environment, commit, now).await?;
                self.answer_gates(&place, now).await
            }
            Event::Push { repo, branch, looked, .. } => {
                let place = self.place(repo).await?;
                if !looked {
                    for pull in place.api.open_pulls(Some(branch)).await? {
                        self.enqueue_look(&place, &pull).await?;
                    }
                }
                self.pushed(&place, event, now).await
            }
            Event::MergeGroup { repo, head, base_ref, base } => {
                let place = self.place(repo).await?;
                self.judge_group(&place, head, base_ref, base, now).await
            }
            Event::Ping
            | Event::PullRequest { .. }
            | Event::Review { .. }
            | Event::Comment { .. }
            | Event::Ignored { .. } => Ok(()),
        }
    }

    /// Queues another look at a pull request, serial with everything else about it.
    pub(super) async fn enqueue_look(&self, place: &Place, pull: &model::PullRequest) -> Result<(), JobError> {
        let event = look(&place.repository, pull);
        if let Some(key) = event.serial_key() {
            self.store.enqueue(&key, &event, None).await?;
        }
        Ok(())
    }
}

/// The event that asks for another look at a pull request.
pub(super) fn look(repository: &Repository, pull: &model::PullRequest) -> Event {
    Event::PullRequest {
        repo: repository.clone(),
        number: pull.number,
        action: "reconcile".to_owned(),
        sender: Sender { login: Login::new("godwit"), bot: true },
        head: pull.head.sha.clone(),
        label: None,
        merged: pull.is_merged(),
    }
}

fn is_open(pull: &model::PullRequest) -> bool {
    pull.state == "open"
}

/// Labels of people that may stand for an approval; a role's own label names are judged with the policy at hand, so any
/// label that is none of the bot's own kinds is remembered.
fn stands_for_approval(label: &str) -> bool {
    let name = label.to_ascii_lowercase();
    !["risk:", "needs:", "godwit:", "migrated:"].iter().any(|own| name.starts_with(own)) && name != "hold"
}
