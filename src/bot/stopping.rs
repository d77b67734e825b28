//! `cancel`: takes back what a pull request waits to run, or asks what runs to stop before its next statement.

use super::Bot;
use super::asked::CANCELLED;
use super::commands::Order;
use super::error::JobError;
use super::gather::Found;
use super::orders::merged_digest;
use crate::ids::{Digest, EnvironmentName};
use crate::report::escape::code;
use crate::store::rollbacks::RequestState;
use crate::store::turns::{Turn, TurnState};

impl Bot {
    pub(super) async fn order_stop(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let name = code(environment.as_str());
        let mut answers = Vec::new();
        for request in self.store.rollback_requests(repo, order.comment.number, RequestState::Pending).await? {
            let withdrawn = &request.environment == environment
                && self.store.move_rollback(&request.id, RequestState::Pending, RequestState::Withdrawn, None).await?;
            if withdrawn {
                answers.push(format!("The rollback {} is withdrawn.", code(request.id.as_str())));
            }
        }
        if let Some(answer) = self.take_back(order, environment).await? {
            answers.push(answer);
            return Ok(answers.join("\n\n"));
        }
        let runs = self.store.open_runs(Some(repo), environment).await?;
        for run in &runs {
            self.store.ask_to_stop(run, order.comment.by.as_str()).await?;
        }
        if !runs.is_empty() {
            let names: Vec<String> = runs.iter().map(|r| code(r.as_str())).collect();
            answers.push(format!(
                "Asked {} in {name} to stop before its next statement; its comment tells how it ended.",
                names.join(", ")
            ));
        }
        if answers.is_empty() {
            return Ok(format!(
                "Nothing runs in {name} at the moment. {} keeps it so.",
                code(&format!("/godwit lock {environment} REASON"))
            ));
        }
        let mut entry = order.entry(CANCELLED, "asked");
        entry.environment = Some(environment.clone());
        entry.run = runs.into_iter().next();
        match self.own_digest(order, environment).await? {
            // Whoever takes the run up where its process died finds that it was to stop.
            Some(digest) => self.note_asked(order.about(environment, &digest), &order.key(), entry).await?,
            None => drop(self.store.append_audit(entry).await?),
        }
        Ok(answers.join("\n\n"))
    }

    /// What the pull request of a command brings, where it stands in an environment.
    async fn own_digest(&self, order: &Order<'_>, environment: &EnvironmentName) -> Result<Option<Digest>, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        if !self.store.turns(repo, environment).await?.iter().any(|t| t.pr == number) {
            return Ok(None);
        }
        Ok(match self.gather(order.place, number, order.now).await? {
            Found::Complete(gathered) => merged_digest(&gathered).cloned(),
            Found::BrokenPolicy(..) => None,
        })
    }

    /// Takes back what the pull request itself waits to run: in the queue, for a gate, a window, a busy database, or the
    /// worker of the next region. `None` when it waits for nothing.
    async fn take_back(&self, order: &Order<'_>, environment: &EnvironmentName) -> Result<Option<String>, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        let turns = self.store.turns(repo, environment).await?;
        let runs = |turn: &Turn| turn.state == TurnState::Running && !turn.rests();
        let Some(own) = turns.iter().find(|t| t.pr == number && !runs(t) && t.reason != "cancelled") else {
            return Ok(None);
        };
        let Some(digest) = self.own_digest(order, environment).await? else { return Ok(None) };
        let mut entry = order.entry(CANCELLED, "taken-back");
        entry.basis = Some(own.reason.clone());
        self.note_asked(order.about(environment, &digest), &order.key(), entry).await?;
        self.enqueue_look(order.place, order.pull).await?;
        // Whoever waits behind it need not any more.
        self.store.wake(Some(repo), environment, Some(number)).await?;
        let name = code(environment.as_str());
        let mut answer = format!(
            "Nothing of this pull request starts in {name} any more; {} lets it start again.",
            code(&format!("/godwit retry {environment}"))
        );
        if own.is_handed_on() {
            answer.push_str(" The regions that have it keep it.");
        }
        if let Some(other) = turns.iter().find(|t| t.pr != number && runs(t)) {
            answer.push_str(&format!(
                " {} runs there at the moment and goes on; {} once more stops it.",
                other.pr,
                code(&format!("/godwit cancel {environment}"))
            ));
        }
        Ok(Some(answer))
    }
}
