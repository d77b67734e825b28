//! `rollback` and `confirm`: what one person asks to be undone, what a second one agrees to, and the undoing.
//!
//! A request is bound to exactly the steps that were shown. It is stored before anything is answered; the pull request's
//! own line carries it out, as often as it takes.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::Bot;
use super::commands::Order;
use super::confirm::{Unconfirmed, may_confirm, settle};
use super::contents::Contents;
use super::decide::stamp;
use super::elsewhere::of_several;
use super::error::JobError;
use super::gather::Place;
use super::handle::look;
use super::labels::migrated_label;
use super::live::{Seen, Watched};
use super::merge_run::{APPROVED_BY, REPORT, RUN_FINISHED, STARTED_BY, Told, brief, json, run_text};
use super::orders::refused;
use super::permission::{wants_second_person, who_rolls_back};
use super::regions::Whose;
use super::worker::soon;
use crate::approval::Counted;
use crate::config::Environment;
use crate::github::model;
use crate::ids::{EnvironmentName, MigrationReference, PrNumber, RunId};
use crate::lint::secrets;
use crate::migration::Migration;
use crate::plan::planner::{Selector, leans_on_others};
use crate::plan::{MigrationState, Outcome, Refusal, RunReport};
use crate::report::escape::{code, fence, inline, prose};
use crate::report::run_comment;
use crate::runner::backup::BackupWish;
use crate::runner::sealed::Opening;
use crate::runner::{self, Actor, ApplyOptions, Cancel, Keeper, RunError, Target};
use crate::store::rollbacks::{RequestState, RollbackRequest};
use crate::store::turns::Asker;
use crate::store::{AuditEntry, EnvironmentRecord};

/// How long a second person has.
const VALID: TimeDelta = TimeDelta::hours(1);
/// Statements of a rollback that an answer shows.
const SHOWN: usize = 40;
/// Words of statements after which something is gone.
const LOSING: [&str; 12] = [
    "drop table",
    "drop column",
    "drop schema",
    "drop database",
    "drop materialized view",
    "truncate",
    "delete from",
    "drop_collection",
    "delete_index",
    "delete_documents",
    "\"del\"",
    "unlink",
];

/// A rollback as it would be now.
struct Wanted {
    /// `unit/id` of the migration.
    reference: String,
    targets: Vec<Target>,
    /// The environment's other databases, as far as this server reaches them.
    beside: Vec<Target>,
    /// What the others hold, as far as it is known.
    held_elsewhere: BTreeSet<String>,
    plan: RunReport,
    /// Hash of what would be undone.
    steps: String,
}

impl Bot {
    pub(super) async fn order_rollback(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        migration: &MigrationReference,
    ) -> Result<String, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        if let Some(known) = self.store.rollback_asked_in(repo, order.comment.id, order.line).await? {
            return Ok(format!("The rollback {} is {}.", code(known.id.as_str()), known.state.as_str()));
        }
        let tip = match self.tip(order.place, order.pull, order.now).await? {
            Ok(tip) => tip,
            Err(_) => return Ok("The policy of the base branch cannot be read.".to_owned()),
        };
        let actor = order.actor();
        let wanted = Box::pin(self.wanted(order.place, &tip, environment, migration.as_str(), &actor));
        let wanted = match wanted.await {
            Ok(Ok(wanted)) => wanted,
            Ok(Err(refusal)) => return Ok(refused(&refusal.message, &refusal.what_to_do)),
            Err(RunError::Unreachable(message)) => {
                return Ok(refused(&format!("a database cannot be reached: {message}"), "try again later"));
            }
            Err(error @ RunError::Store(_)) => return Err(error.into()),
        };
        let second = wants_second_person(&tip.policy, environment);
        let (unit, id) = wanted.reference.rsplit_once('/').unwrap_or(("", &wanted.reference));
        let now = Utc::now();
        let request = RollbackRequest {
            id: RunId::generate(),
            environment: environment.clone(),
            pr: number,
            migration: wanted.reference.clone(),
            brought_by: self.store.brought_by(repo, Some(environment), unit, id).await?,
            steps: wanted.steps.clone(),
            asked_by: order.comment.by.clone(),
            asked_in: order.comment.id,
            line: order.line,
            confirmed_by: None,
            state: if second { RequestState::Pending } else { RequestState::Ready },
            asked_at: now,
            expires_at: now + VALID,
        };
        let request = self.store.request_rollback(repo, &request).await?;
        let mut entry = order.entry("rollback", request.state.as_str());
        entry.environment = Some(environment.clone());
        entry.details.insert("request".to_owned(), request.id.to_string());
        entry.details.insert("migration".to_owned(), wanted.reference.clone());
        self.store.append_audit(entry).await?;
        let shown = shown(&wanted.plan);
        let (id, name) = (code(request.id.as_str()), code(environment.as_str()));
        if !second {
            self.enqueue_look(order.place, order.pull).await?;
            return Ok(format!("Undoing this in {name} now (request {id}); its comment tells how it went.\n\n{shown}"));
        }
        Ok(format!(
            "Rollback {id} in {name} waits for a second person until {}: {}. Whoever agrees writes\n\n{}\n\nand {} takes it \
             back.\n\n{shown}",
            stamp(request.expires_at),
            prose(&who_rolls_back(&tip.policy, environment)),
            fence("text", &format!("/godwit confirm {}", request.id)),
            code(&format!("/godwit cancel {environment}")),
        ))
    }

    pub(super) async fn order_confirmation(&self, order: &Order<'_>, id: &RunId) -> Result<String, JobError> {
        let repo = &order.place.repository.name;
        let Some(request) = self.store.rollback_request(repo, id).await? else {
            return Ok(refused(
                &format!("`{id}` is no rollback that waits for anybody"),
                "copy the line from the answer to `/godwit rollback`",
            ));
        };
        let by = &order.comment.by;
        let found = may_confirm(&request, order.policy, by, order.person, Some(order.comment.number), Utc::now());
        match settle(&self.store, repo, &request, by, found, order.entry("confirm", "ok")).await? {
            Ok(()) => {}
            Err(Unconfirmed::Past { state, by }) => {
                let by = by.map(|by| format!(", confirmed by {}", code(by.as_str()))).unwrap_or_default();
                return Ok(format!("The rollback {} is {}{by}.", code(id.as_str()), state.as_str()));
            }
            Err(wrong) => {
                let (message, what_to_do) = wrong.told(&request, order.policy);
                return Ok(refused(&message, &what_to_do));
            }
        }
        self.enqueue_look(order.place, order.pull).await?;
        Ok(format!(
            "Undoing {} in {} now, as {} asked; its comment tells how it went.",
            code(&request.migration),
            code(request.environment.as_str()),
            code(&format!("@{}", request.asked_by))
        ))
    }

    /// Undoes what may be undone now.
    pub(super) async fn carry_out_rollbacks(
        &self,
        place: &Place,
        number: PrNumber,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let repo = &place.repository.name;
        let ready = self.store.rollback_requests(repo, number, RequestState::Ready).await?;
        if ready.is_empty() {
            return Ok(());
        }
        let pull = place.api.pull(number).await?;
        for request in ready {
            let tip = match self.tip(place, &pull, now).await? {
                Ok(tip) => tip,
                Err(errors) => {
                    let first = errors.first().map(ToString::to_string).unwrap_or_default();
                    let refusal = super::decide::refusal("policy", first, "mend the policy, then ask again".to_owned());
                    self.refuse_rollback(place, &pull, &request, None, refusal).await?;
                    continue;
                }
            };
            match self.whose(&tip, &request.environment, Some(&request.migration)).await? {
                Whose::Of(owner) if owner == self.settings.region => {
                    Box::pin(self.carry_out_rollback(place, &pull, &request, &tip)).await?;
                }
                Whose::Of(owner) => self.hand_to(&owner, &look(&place.repository, &pull), None).await?,
                Whose::Several(workers) => {
                    let refusal = of_several(&request.environment, &workers);
                    self.refuse_rollback(place, &pull, &request, Some(&tip), refusal).await?;
                }
            }
        }
        Ok(())
    }

    async fn carry_out_rollback(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        request: &RollbackRequest,
        tip: &Contents,
    ) -> Result<(), JobError> {
        let (repo, environment) = (&place.repository.name, &request.environment);
        let actor = Actor {
            by: request.asked_by.to_string(),
            repo: Some(repo.clone()),
            pr: Some(request.brought_by.unwrap_or(request.pr)),
            commit: Some(tip.head.clone()),
            correlation: None,
        };
        let wanted = match Box::pin(self.wanted(place, tip, environment, &request.migration, &actor)).await? {
            Ok(wanted) if wanted.steps == request.steps => wanted,
            Ok(_) => {
                let refusal = super::decide::refusal(
                    "stale",
                    "what would be undone is not what was shown when it was asked".to_owned(),
                    "ask again".to_owned(),
                );
                return self.refuse_rollback(place, pull, request, Some(tip), refusal).await;
            }
            Err(refusal) => return self.refuse_rollback(place, pull, request, Some(tip), refusal).await,
        };
        let backup = match self.backup_before(tip, environment) {
            Ok(wish) => wish,
            Err(refusal) => return self.refuse_rollback(place, pull, request, Some(tip), refusal).await,
        };
        let _place = self.place_to_run()?;
        let run = RunId::generate();
        let targets: Vec<_> = wanted.targets.iter().map(|t| t.name.clone()).collect();
        let event = look(&place.repository, pull);
        let asker =
            Asker { repo, environment, pr: request.pr, targets: &targets, merged_at: request.asked_at, event: &event };
        if !self.store.take_turn(&asker, &run).await?.is_empty() {
            let reason = format!("a rollback waits for its turn in `{environment}`");
            return Err(JobError::Later { at: soon(Utc::now()), reason });
        }
        let by = match &request.confirmed_by {
            Some(second) => format!("rollback by {}, confirmed by {second}", request.asked_by),
            None => format!("rollback by {}", request.asked_by),
        };
        let (cancel, seen) = (Cancel::default(), Seen::default());
        let undone: Vec<&Migration> = tip.set.find(&wanted.reference).into_iter().collect();
        let environments = tip.policy.environments.tightened(tip.set.settings_of(&undone));
        let settings: Option<&Environment> = environments.get(environment);
        let options = ApplyOptions {
            timeout: settings.map(|s| std::time::Duration::from_secs(s.migration.timeout)),
            backup,
            opening: settings.map(|s| Opening::With(self.keys(repo, s))).unwrap_or_default(),
            health: settings.map(|s| self.health_of(repo, &tip.policy, s)),
            lock_wait: Some(std::time::Duration::from_secs(5)),
            cancel: cancel.clone(),
            pace: settings.map_or_else(|| seen.pace(), |s| seen.pace_of(&s.migration)),
            run: Some(run.clone()),
            // What is lost was shown before it was agreed to.
            accept_data_loss: true,
            beside: wanted.beside,
            held_elsewhere: wanted.held_elsewhere,
            ..ApplyOptions::default()
        };
        let about = Watched { place, number: request.pr, environment, run: &run, by: &by };
        let keeper = Keeper::opened(&self.store);
        let selector = Selector::Migration(request.migration.clone());
        let going = Box::pin(runner::rollback(&keeper, &tip.set, &wanted.targets, &actor, &options, selector));
        let mut report = self.looked_after(&about, &cancel, &seen, going).await?;
        self.store.end_turn(repo, environment, request.pr).await?;
        if report.outcome == Outcome::Blocked && report.blocked_by.iter().any(|r| r.reason == "locked") {
            let frozen = self.store.environment_lock(Some(repo), environment).await?;
            if frozen.is_none() {
                let reason = format!("a target of `{environment}` is busy");
                return Err(JobError::Later { at: soon(Utc::now()), reason });
            }
        }
        self.name_who_stopped(&mut report).await?;
        self.conclude_rollback(place, pull, request, Some(tip), report, &by).await
    }

    /// Tells why a rollback cannot run any more.
    async fn refuse_rollback(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        request: &RollbackRequest,
        tip: Option<&Contents>,
        refusal: Refusal,
    ) -> Result<(), JobError> {
        let report = RunReport::blocked(
            request.environment.clone(),
            crate::migration::digest_of(std::iter::empty()),
            crate::ids::Risk::Low,
            refusal,
            RunId::generate(),
        );
        let by = format!("rollback by {}", request.asked_by);
        self.conclude_rollback(place, pull, request, tip, report, &by).await
    }

    /// Records how a rollback ended, and tells people.
    async fn conclude_rollback(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        request: &RollbackRequest,
        tip: Option<&Contents>,
        mut report: RunReport,
        by: &str,
    ) -> Result<(), JobError> {
        let (repo, environment) = (&place.repository.name, &request.environment);
        let undone = report.steps.iter().any(|s| s.state == MigrationState::RolledBack);
        let owner = request.brought_by.unwrap_or(request.pr);
        let before = self.store.latest_of_pull(repo, environment, owner).await?;
        if let Some(before) = &before {
            report.digest = before.digest.clone();
        }
        let nobody = Counted::default();
        let mut entry = AuditEntry::new(Utc::now(), request.asked_by.as_str(), RUN_FINISHED, report.outcome.as_str());
        entry.repo = Some(repo.clone());
        entry.pr = Some(owner);
        entry.environment = Some(environment.clone());
        entry.run = Some(report.run.clone());
        entry.digest = Some(report.digest.clone());
        entry.basis = Some(by.to_owned());
        entry.details.insert(REPORT.to_owned(), json(&brief(&report))?);
        entry.details.insert(APPROVED_BY.to_owned(), json(&nobody.roles)?);
        entry.details.insert(STARTED_BY.to_owned(), by.to_owned());
        entry.details.insert("request".to_owned(), request.id.to_string());
        self.store.prove(&mut entry).await?;
        let head = match before.filter(|_| undone || report.outcome == Outcome::NeedsHuman) {
            Some(before) => {
                // It no longer holds what it held, and does not take it again by itself.
                let outcome = if undone { Outcome::Failed } else { report.outcome };
                let record = EnvironmentRecord { outcome, run: Some(report.run.clone()), at: Utc::now(), ..before };
                self.store.end_environment(entry, &record).await?
            }
            None => self.store.append_audit(entry).await?,
        };
        let commit = tip.map_or(&pull.head.sha, |t| &t.head);
        let next = if undone { run_comment::Next::Undone } else { run_comment::Next::Stops };
        let told = Told { by: Some(by), counted: &nobody, next: &next, audit_head: Some(&head.hash) };
        let links = self.links(place, commit);
        if let Some(tip) = tip {
            let text = run_text(&tip.policy, environment, &report, commit, &links, &tip.set, told);
            // Where the environment's own comment tells of something else, this is the answer to the request.
            let own = undone && owner == request.pr;
            let marker = run_comment::marker(environment);
            let answer = format!("<!-- godwit:rollback:{} -->", request.id);
            if own {
                place.api.keep_comment(request.pr, &marker, &text).await?;
            } else {
                place.api.keep_comment(request.pr, &answer, &text.replacen(&marker, &answer, 1)).await?;
            }
        }
        if undone {
            self.store.forget_legs(repo, environment, owner).await?;
            place.api.remove_label(owner, &migrated_label(environment)).await?;
            if owner != request.pr {
                let other = place.api.pull(owner).await?;
                self.enqueue_look(place, &other).await?;
            }
        }
        let end = if report.outcome == Outcome::Blocked { RequestState::Refused } else { RequestState::Done };
        self.store.move_rollback(&request.id, RequestState::Ready, end, None).await?;
        self.store.wake(Some(repo), environment, Some(request.pr)).await?;
        Ok(())
    }

    /// What undoing a migration would do now, or why it cannot be undone.
    async fn wanted(
        &self,
        place: &Place,
        tip: &Contents,
        environment: &EnvironmentName,
        name: &str,
        actor: &Actor,
    ) -> Result<Result<Wanted, Refusal>, RunError> {
        let (migration, targets) = match self.placed(place, tip, environment, name) {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let reference = migration.reference();
        let (beside, held_elsewhere) = self.beside(place, tip, environment, &targets).await?;
        let backup = match self.backup_before(tip, environment) {
            Ok(wish) => wish,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let options = ApplyOptions {
            dry_run: true,
            backup,
            beside: beside.clone(),
            held_elsewhere: held_elsewhere.clone(),
            ..ApplyOptions::default()
        };
        let selector = Selector::Migration(reference.clone());
        let keeper = Keeper::none();
        let plan = Box::pin(runner::rollback(&keeper, &tip.set, &targets, actor, &options, selector)).await?;
        if plan.outcome != Outcome::Planned {
            let first = plan.blocked_by.into_iter().next();
            return Ok(Err(first.unwrap_or_else(|| {
                super::decide::refusal(
                    "not-applied",
                    format!("`{reference}` is not applied in `{environment}`"),
                    "there is nothing to undo".to_owned(),
                )
            })));
        }
        let mut hash = Sha256::new();
        for step in &plan.steps {
            hash.update(format!("{}\0{}\0", step.target, step.migration));
            step.statements.iter().for_each(|s| hash.update(format!("{s}\0")));
        }
        let steps = hex::encode(hash.finalize());
        Ok(Ok(Wanted { reference, targets, beside, held_elsewhere, plan, steps }))
    }

    /// When a rollback in an environment makes a backup first: as any other run there.
    fn backup_before(&self, tip: &Contents, environment: &EnvironmentName) -> Result<Option<BackupWish>, Refusal> {
        let settings: Option<&Environment> = tip.policy.environments.get(environment);
        settings.map(|settings| self.backup(settings, tip)).transpose()
    }

    /// The environment's other databases, whose migrations may need what is undone; of those that this server does not
    /// reach, what the store knows.
    async fn beside(
        &self,
        place: &Place,
        tip: &Contents,
        environment: &EnvironmentName,
        targets: &[Target],
    ) -> Result<(Vec<Target>, BTreeSet<String>), RunError> {
        let Some(settings) = tip.policy.environments.get(environment) else { return Ok(Default::default()) };
        let names: Vec<_> = targets.iter().map(|t| t.name.clone()).collect();
        let others = settings.targets.iter().filter(|t| !names.contains(&t.name));
        let others: Vec<_> =
            others.filter(|t| leans_on_others(&tip.set, &t.name, t.engine)).map(|t| t.name.clone()).collect();
        match self.targets(place, settings, &others) {
            Ok(beside) => Ok((beside, BTreeSet::new())),
            Err(_) => {
                let held = self.held_elsewhere(&place.repository.name, settings, &tip.set, &names).await?;
                Ok((Vec::new(), held))
            }
        }
    }
}

/// What a rollback does and what it loses, for who has to agree.
fn shown(plan: &RunReport) -> String {
    let mut out = String::from("**What is undone:**\n\n");
    let mut lost: Vec<String> = Vec::new();
    for step in &plan.steps {
        out.push_str(&format!("{} on {}\n\n", code(step.migration.as_str()), code(step.target.as_str())));
        let text: Vec<&str> = step.statements.iter().take(SHOWN).map(|s| s.trim()).collect();
        out.push_str(&fence("sql", &secrets::masked(&text.join("\n"))));
        if step.statements.len() > SHOWN {
            out.push_str(&format!("\nand {} further statements\n", step.statements.len() - SHOWN));
        }
        out.push('\n');
        lost.extend(step.statements.iter().filter(|s| loses(s)).map(|s| first_line(s)));
    }
    if let Some(backup) = &plan.backup {
        out.push_str(&format!("**Before that:** {}\n\n", inline(backup)));
    }
    out.push_str("**What is lost:** ");
    if lost.is_empty() {
        out.push_str("what was written into what this migration added, since it was applied.\n");
    } else {
        out.push_str("everything that these take away, with what was written into it since:\n\n");
        lost.iter().for_each(|line| out.push_str(&format!("- {}\n", code(line))));
    }
    for note in &plan.notes {
        out.push_str(&format!("- ℹ️ {}\n", inline(note)));
    }
    out
}

/// Whether a statement takes something away for good.
fn loses(statement: &str) -> bool {
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    LOSING.iter().any(|losing| words.contains(losing))
}

fn first_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_something_away_is_told() {
        for (statement, expected) in [
            ("DROP   TABLE\n orders", true),
            ("ALTER TABLE orders DROP COLUMN email", true),
            ("DROP INDEX orders_email", false),
            ("delete from orders", true),
            ("ALTER TABLE orders RENAME TO o", false),
        ] {
            assert_eq!(loses(statement), expected, "{statement}");
        }
    }
}
