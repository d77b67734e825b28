//! The buttons on the check runs: which ones there are, and what happens when somebody presses one.

use chrono::{DateTime, Utc};

use super::commands::holder;
use super::error::JobError;
use super::gather::{Found, Place};
use super::permission::{Need, may};
use super::{Bot, reviewers};
use crate::approval::{PullRequestSnapshot, Status, Verdict};
use crate::github::{CheckAction, Event, Repository, Sender, model};
use crate::ids::{CommitSha, Login, PrNumber};
use crate::report::escape;
use crate::store::AuditEntry;

/// Asks the missing people again; approvals that went stale with time may be given anew.
const ASK: &str = "ask";
/// Makes the plan anew.
const PLAN: &str = "plan";
/// The comment that tells somebody why their button did nothing.
const MARKER: &str = "<!-- godwit:button -->";

/// A button that was pressed.
pub(super) struct Pressed<'a> {
    pub(super) repo: &'a Repository,
    pub(super) head: &'a CommitSha,
    pub(super) pulls: &'a [PrNumber],
    pub(super) app: Option<u64>,
    pub(super) button: &'a str,
    pub(super) sender: &'a Sender,
}

/// The buttons of `godwit / approval`.
pub(super) fn of_approval(verdict: &Verdict, snapshot: &PullRequestSnapshot) -> Vec<CheckAction> {
    let button = |label: &str, description: &str, identifier: &str| CheckAction {
        label: label.to_owned(),
        description: description.to_owned(),
        identifier: identifier.to_owned(),
    };
    let mut buttons = Vec::new();
    if verdict.status == Status::Pending && !snapshot.draft && !snapshot.from_fork {
        buttons.push(button("Ask again", "Asks whoever is missing once more", ASK));
    }
    if !snapshot.migration_paths.is_empty() && !snapshot.from_fork {
        buttons.push(button("Plan", "Plans against the databases anew", PLAN));
    }
    buttons
}

impl Bot {
    /// Does what a button says, for whoever may give commands. Buttons on other Apps' checks are none of ours.
    pub(super) async fn pressed(&self, pressed: &Pressed<'_>, now: DateTime<Utc>) -> Result<(), JobError> {
        if pressed.app != Some(self.github.app_id()) || pressed.sender.bot {
            return Ok(());
        }
        let place = self.place(pressed.repo).await?;
        let open = place.api.open_pulls(None).await?;
        for pull in open.iter().filter(|p| p.head.sha == *pressed.head || pressed.pulls.contains(&p.number)) {
            self.pressed_on(&place, pull, pressed, now).await?;
        }
        Ok(())
    }

    async fn pressed_on(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        pressed: &Pressed<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let login = &pressed.sender.login;
        if let Ok(policy) = self.policy_of_base(place, pull).await? {
            let person = holder(place, &policy, login).await?;
            if may(&policy, Need::Anybody, login, &person).is_err() {
                return self.refuse_button(place, pull.number, login).await;
            }
        }
        if pressed.button == ASK {
            self.ask_again(place, pull, login, now).await?;
        }
        // Whatever the button: people pressed it to see what is true now.
        self.enqueue_again(place, pull).await
    }

    /// Asks anew where approvals expired, and lets the missing people be asked once more.
    async fn ask_again(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        by: &Login,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let Found::Complete(gathered) = self.gather(place, pull.number, now).await? else { return Ok(()) };
        let Some(binding) = &gathered.snapshot.binding else { return Ok(()) };
        let repo = &place.repository.name;
        for environment in &gathered.contents.policy.repo.environments {
            self.ask_anew(&gathered, environment, now).await?;
        }
        self.store.forget_told(repo, pull.number.0, reviewers::TOLD).await?;
        let mut entry = AuditEntry::new(now, by.to_string(), "ask-again", "asked");
        entry.repo = Some(repo.clone());
        entry.pr = Some(pull.number);
        entry.commit = Some(pull.head.sha.clone());
        entry.digest = Some(binding.digest.clone());
        self.store.append_audit(entry).await?;
        Ok(())
    }

    async fn refuse_button(&self, place: &Place, number: PrNumber, login: &Login) -> Result<(), JobError> {
        let text = format!(
            "{MARKER}\n{} pressed a button, but has neither write access to this repository nor a role in its policy, so \
             I did nothing.",
            escape::code(login.as_str())
        );
        place.api.keep_comment(number, MARKER, &text).await?;
        Ok(())
    }

    /// Queues another look that shows the checks anew, since somebody asked for that.
    pub(super) async fn enqueue_again(&self, place: &Place, pull: &model::PullRequest) -> Result<(), JobError> {
        let mut event = super::handle::look(&place.repository, pull);
        if let Event::PullRequest { action, .. } = &mut event {
            super::work::AGAIN.clone_into(action);
        }
        if let Some(key) = event.serial_key() {
            self.store.enqueue(&key, &event, None).await?;
        }
        Ok(())
    }
}
