//! Commands that write something down and leave the doing to the pull request's own line: apply, promote, retry, lock,
//! unlock, resolve, release.

use chrono::{DateTime, Utc};

use super::Bot;
use super::asked::{APPLIED, COMMAND, PROMOTED, RELEASED, RETRY, Subject};
use super::command::Settled;
use super::commands::{Order, REFUSED};
use super::decide::{holds, stamp};
use super::error::JobError;
use super::gather::{Found, Gathered};
use super::labels::migrated_label;
use super::tip::taken;
use crate::config::Promotion;
use crate::ids::{Digest, EnvironmentName, MigrationReference, PrNumber};
use crate::migration::Phase;
use crate::plan::Outcome;
use crate::report::escape::{code, prose};
use crate::runner::{self, Actor, RunError, Settlement};
use crate::store::releases::Release;
use crate::store::{AuditEntry, EnvironmentRecord};

const NOT_MERGED: &str = "This pull request is not merged yet; its merge starts the environments.";
const UNREADABLE: &str = "The policy of the base branch cannot be read.";

impl Order<'_> {
    /// An audit row about it.
    pub(super) fn entry(&self, action: &str, result: &str) -> AuditEntry {
        let mut entry = AuditEntry::new(Utc::now(), self.comment.by.as_str(), action, result);
        entry.repo = Some(self.place.repository.name.clone());
        entry.pr = Some(self.comment.number);
        entry.correlation = self.comment.correlation.clone();
        entry.details.insert(COMMAND.to_owned(), self.key());
        entry
    }

    pub(super) fn actor(&self) -> Actor {
        Actor {
            by: self.comment.by.to_string(),
            repo: Some(self.place.repository.name.clone()),
            pr: Some(self.comment.number),
            commit: None,
            correlation: self.comment.correlation.clone(),
        }
    }

    pub(super) fn about<'e>(&'e self, environment: &'e EnvironmentName, digest: &'e Digest) -> Subject<'e> {
        Subject { repo: &self.place.repository.name, number: self.comment.number, environment, digest }
    }
}

impl Bot {
    pub(super) async fn order_apply(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        if let Some(why) = cannot_start(order, environment) {
            return Ok(why);
        }
        let repo = &order.place.repository.name;
        let record = self.store.latest_of_pull(repo, environment, order.comment.number).await?;
        if let Some(record) = record.filter(|r| matches!(r.outcome, Outcome::Failed | Outcome::NeedsHuman)) {
            return Ok(format!(
                "It stopped in {} at {}; {} tries it again.",
                code(environment.as_str()),
                stamp(record.at),
                code(&format!("/godwit retry {environment}"))
            ));
        }
        if self.row_of(repo, order.comment.number, &order.key(), &[APPLIED]).await?.is_none() {
            let mut entry = order.entry(APPLIED, "asked");
            entry.environment = Some(environment.clone());
            self.store.append_audit(entry).await?;
        }
        self.enqueue_look(order.place, order.pull).await?;
        Ok(started(environment))
    }

    pub(super) async fn order_promotion(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        if let Some(why) = cannot_start(order, environment) {
            return Ok(why);
        }
        let Found::Complete(gathered) = self.gather(order.place, order.comment.number, order.now).await? else {
            return Ok(UNREADABLE.to_owned());
        };
        let settings = gathered.contents.policy.environments.get(environment);
        if settings.is_none_or(|s| s.promotion == Promotion::Auto) {
            return Ok(format!("{} has no gate to open: it starts by itself.", code(environment.as_str())));
        }
        let Some(digest) = merged_digest(&gathered) else { return Ok(nothing_here()) };
        let about = order.about(environment, digest);
        if !self.asked(about, order.now).await?.promoted {
            self.note_asked(about, &order.key(), order.entry(PROMOTED, "asked")).await?;
        }
        self.ask_from_now(&gathered, environment, order.now).await?;
        self.enqueue_look(order.place, order.pull).await?;
        let name = code(environment.as_str());
        Ok(match self.asked(about, order.now).await?.cancelled {
            Some(by) => format!(
                "The gate of {name} is open, but {} took this run back: nothing starts until somebody writes {}.",
                code(&format!("@{by}")),
                code(&format!("/godwit retry {environment}"))
            ),
            None => format!("The gate of {name} is open. {}", started(environment)),
        })
    }

    pub(super) async fn order_retry(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        let Found::Complete(gathered) = self.gather(order.place, order.comment.number, order.now).await? else {
            return Ok(UNREADABLE.to_owned());
        };
        if let Some(elsewhere) = elsewhere(order, environment) {
            return Ok(elsewhere);
        }
        if let Some(refused) = self.accept_terms(order, &gathered, environment).await? {
            return Ok(refused);
        }
        let anew = self.ask_anew(&gathered, environment, order.now).await?;
        let merged = match merged_digest(&gathered) {
            Some(digest) => {
                let entry = order.entry(RETRY, "asked");
                self.note_asked(order.about(environment, digest), &order.key(), entry).await?;
                true
            }
            None => false,
        };
        self.enqueue_look(order.place, order.pull).await?;
        Ok(match (merged, anew) {
            (true, _) => started(environment),
            (false, true) => "The approvals are asked for anew from now on.".to_owned(),
            (false, false) => format!("The approvals of {} have not expired.", code(environment.as_str())),
        })
    }

    pub(super) async fn order_lock(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        reason: &str,
    ) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let by = order.comment.by.as_str();
        let name = code(environment.as_str());
        if let Some(held) = self.store.lock_environment(Some(repo), environment, reason, by).await? {
            return Ok(format!(
                "{name} is locked already, by {} since {}: {}",
                code(&held.by),
                stamp(held.at),
                crate::report::escape::inline(&held.reason)
            ));
        }
        let mut entry = order.entry("lock", "ok");
        entry.environment = Some(environment.clone());
        entry.details.insert("reason".to_owned(), reason.to_owned());
        self.store.append_audit(entry).await?;
        self.store.wake(Some(repo), environment, None).await?;
        Ok(format!(
            "{name} is locked. Nothing starts there until {}; what waits says so in its comment. A run that goes on is not \
             stopped by this: {} does that.",
            code(&format!("/godwit unlock {environment}")),
            code(&format!("/godwit cancel {environment}"))
        ))
    }

    pub(super) async fn order_unlock(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
    ) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let name = code(environment.as_str());
        let Some(lock) = self.store.unlock_environment(Some(repo), environment).await? else {
            let others = self.store.environment_lock(Some(repo), environment).await?;
            return Ok(others.map_or_else(
                || format!("{name} is not locked."),
                |lock| {
                    format!(
                        "{name} is locked for every repository, by {} since {}: {}. {} on the command line opens it.",
                        code(&lock.by),
                        stamp(lock.at),
                        crate::report::escape::inline(&lock.reason),
                        code(&format!("godwit unlock --env {environment}"))
                    )
                },
            ));
        };
        let mut entry = order.entry("unlock", "ok");
        entry.environment = Some(environment.clone());
        entry.details.insert("locked_by".to_owned(), lock.by.clone());
        entry.details.insert("reason".to_owned(), lock.reason.clone());
        self.store.append_audit(entry).await?;
        self.store.wake(Some(repo), environment, None).await?;
        Ok(format!(
            "{name} is open again; it was locked by {} since {}: {}. What waited goes on by itself.",
            code(&lock.by),
            stamp(lock.at),
            crate::report::escape::inline(&lock.reason)
        ))
    }

    pub(super) async fn order_settlement(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        migration: &MigrationReference,
        settled: Settled,
        reason: &str,
    ) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let tip = match self.tip(order.place, order.pull, order.now).await? {
            Ok(tip) => tip,
            Err(_) => return Ok(UNREADABLE.to_owned()),
        };
        let (found, targets) = match self.placed(order.place, &tip, environment, migration.as_str()) {
            Ok(found) => found,
            Err(refusal) => return Ok(refused(&refusal.message, &refusal.what_to_do)),
        };
        let settlement = match settled {
            Settled::Applied => Settlement::Applied,
            Settled::RolledBack => Settlement::RolledBack,
            Settled::Retry => Settlement::Retry,
        };
        let (mut text, mut applied) = (String::new(), None);
        for target in &targets {
            let states =
                match runner::resolve(&self.store, &tip.set, target, &order.actor(), &found.reference(), settlement)
                    .await
                {
                    Ok(Ok(states)) => states,
                    // The comment names no target: it means those where there is something to try again.
                    Ok(Err(refusal)) if refusal.reason == "already-applied" => {
                        applied = Some(refusal);
                        continue;
                    }
                    Ok(Err(refusal)) => return Ok(refused(&refusal.message, &refusal.what_to_do)),
                    Err(RunError::Unreachable(message)) => {
                        return Ok(refused(&format!("the database cannot be reached: {message}"), "try again later"));
                    }
                    Err(error @ RunError::Store(_)) => return Err(error.into()),
                };
            let mut entry = order.entry("resolve", states.1.as_str());
            entry.environment = Some(environment.clone());
            entry.target = Some(target.name.clone());
            entry.basis = Some(reason.to_owned());
            entry.details.insert("migration".to_owned(), found.reference());
            entry.details.insert("before".to_owned(), states.0.as_str().to_owned());
            self.store.append_audit(entry).await?;
            text.push_str(&format!(
                "{} on {} was {}, is {}.\n",
                code(&found.reference()),
                code(target.name.as_str()),
                states.0.as_str(),
                states.1.as_str()
            ));
        }
        if let Some(refusal) = applied.filter(|_| text.is_empty()) {
            return Ok(refused(&refusal.message, &refusal.what_to_do));
        }
        let owner = self.store.brought_by(repo, Some(environment), &found.unit, found.id.as_str()).await?;
        let owner = owner.unwrap_or(order.comment.number);
        if settled == Settled::RolledBack {
            self.holds_no_more(order, environment, owner).await?;
            let on = if owner == order.comment.number { String::new() } else { format!(" on {owner}") };
            text.push_str(&format!("{}{on} runs it again.", code(&format!("/godwit retry {environment}"))));
        } else if self.go_on(order, environment, owner).await? {
            text.push_str(&format!("{owner} goes on in {} by itself.", code(environment.as_str())));
        }
        self.store.wake(Some(repo), environment, Some(owner)).await?;
        Ok(text)
    }

    /// Writes down that an environment has lost what a pull request brought, as after a restore of an older copy.
    async fn holds_no_more(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        owner: PrNumber,
    ) -> Result<(), JobError> {
        let repo = &order.place.repository.name;
        let Some(before) = self.store.latest_of_pull(repo, environment, owner).await?.filter(|r| holds(Some(r))) else {
            return self.store.forget_legs(repo, environment, owner).await.map_err(JobError::from);
        };
        let record = EnvironmentRecord { outcome: Outcome::Failed, run: None, at: Utc::now(), ..before };
        self.store.record_environment(&record).await?;
        order.place.api.remove_label(owner, &migrated_label(environment)).await?;
        Ok(())
    }

    /// Lets the pull request that stopped in an environment go on there; `false` when none did.
    async fn go_on(&self, order: &Order<'_>, environment: &EnvironmentName, owner: PrNumber) -> Result<bool, JobError> {
        let repo = &order.place.repository.name;
        let Some(record) = self.store.latest_of_pull(repo, environment, owner).await?.filter(|r| !holds(Some(r)))
        else {
            return Ok(false);
        };
        let about = Subject { repo, number: owner, environment, digest: &record.digest };
        self.note_asked(about, &order.key(), order.entry(RETRY, "asked")).await?;
        let pull = order.place.api.pull(owner).await?;
        self.enqueue_look(order.place, &pull).await?;
        Ok(true)
    }

    pub(super) async fn order_release(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        migration: &MigrationReference,
        reason: &str,
    ) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let tip = match self.tip(order.place, order.pull, order.now).await? {
            Ok(tip) => tip,
            Err(_) => return Ok(UNREADABLE.to_owned()),
        };
        let found = match taken(&tip, environment, migration.as_str()) {
            Ok((found, ..)) => found,
            Err(refusal) => return Ok(refused(&refusal.message, &refusal.what_to_do)),
        };
        if found.directives.phase != Some(Phase::Contract) {
            return Ok(format!(
                "{} is not held: only a migration with `phase=contract` needs a release.",
                code(&found.reference())
            ));
        }
        let at: DateTime<Utc> = Utc::now();
        let release = Release {
            repo: Some(repo.clone()),
            place: environment.to_string(),
            by: order.comment.by.to_string(),
            reason: reason.to_owned(),
            at,
        };
        let new = self.store.release(found, &release).await?;
        let mut entry = order.entry(RELEASED, if new { "ok" } else { "released-before" });
        entry.environment = Some(environment.clone());
        entry.basis = Some(reason.to_owned());
        entry.details.insert("migration".to_owned(), found.reference());
        entry.details.insert("checksum".to_owned(), found.checksum.to_string());
        let merged = match self.gather(order.place, order.comment.number, order.now).await? {
            Found::Complete(gathered) => merged_digest(&gathered).cloned(),
            Found::BrokenPolicy(..) => None,
        };
        match &merged {
            Some(digest) => self.note_asked(order.about(environment, digest), &order.key(), entry).await?,
            None => drop(self.store.append_audit(entry).await?),
        }
        self.enqueue_look(order.place, order.pull).await?;
        Ok(format!("{} may run in {}.", code(&found.reference()), code(environment.as_str())))
    }
}

/// The digest of what a merge brought.
pub(super) fn merged_digest(gathered: &Gathered) -> Option<&Digest> {
    gathered.merged.as_ref().and_then(|m| m.contents.digest.as_ref())
}

/// A sentence where this pull request cannot start the environment.
fn cannot_start(order: &Order<'_>, environment: &EnvironmentName) -> Option<String> {
    if order.pull.is_merged() { elsewhere(order, environment) } else { Some(NOT_MERGED.to_owned()) }
}

/// A sentence where the environment does not belong to the branch that the pull request goes into.
fn elsewhere(order: &Order<'_>, environment: &EnvironmentName) -> Option<String> {
    let (base, default) = (&order.pull.base.branch, &order.place.repository.default_branch);
    if order.policy.chain(base, default).iter().any(|(e, _)| *e == environment) {
        return None;
    }
    let settings = order.policy.environments.get(environment);
    Some(match settings {
        Some(settings) => format!(
            "A merge into {} does not concern {}; its branch is {}.",
            code(base),
            code(environment.as_str()),
            code(settings.branch.as_deref().unwrap_or(default))
        ),
        None => format!("{} has no databases in `environments.yml`.", code(environment.as_str())),
    })
}

fn started(environment: &EnvironmentName) -> String {
    format!("Looking at `{environment}` now; its comment tells how it went, or what it waits for.")
}

fn nothing_here() -> String {
    "This pull request brings no migrations.".to_owned()
}

/// Why something is refused, and what to do.
pub(super) fn refused(message: &str, what_to_do: &str) -> String {
    let what = if what_to_do.is_empty() { String::new() } else { format!(" **What to do:** {}", prose(what_to_do)) };
    format!("{REFUSED} {}.{what}", prose(message))
}
