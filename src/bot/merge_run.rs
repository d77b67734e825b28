//! Brings the environments of a merged pull request forward, one after the other (B-6, B-10).
//!
//! Everything here may be repeated at any time: what an environment holds is read from the store, what a target holds
//! from the target. A redelivered merge, a sweep and a restart after a crash therefore all do the same: go on where it
//! stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::asked::{Asked, Subject};
use super::contents::Contents;
use super::decide::{self, Next, Standing, refusal};
use super::deployments::Picture;
use super::error::JobError;
use super::gather::{Gathered, Merged, Place};
use super::live::{Seen, Watched};
use super::plans::{migration_of, risks, takers, taking};
use super::promotion::Behind;
use super::work::Judge;
use super::worker::{boxed, chain, soon};
use super::{Bot, labels, measure, permission, promotion, scripts};
use crate::approval::{Counted, EnvironmentVerdict, Policy};
use crate::config::{Environment, Promotion, WindowState};
use crate::ids::{CommitSha, Digest, EnvironmentName, Login, RoleName, RunId};
use crate::migration::{Migration, MigrationSet};
use crate::plan::{MigrationState, Outcome, Refusal, RunReport, StepAction};
use crate::report::Links;
use crate::report::run_comment::{self, RunCommentInput};
use crate::runner::backup::{BackupWish, Keys};
use crate::runner::sealed::Opening;
use crate::runner::{self, Actor, ApplyOptions, Cancel, RunError, Target, failpoint};
use crate::store::{AuditEntry, EnvironmentRecord};

/// The audit word for the end of a run.
pub(super) const RUN_FINISHED: &str = "run-finished";
/// The detail of that row that holds the report, as JSON.
pub(super) const REPORT: &str = "report";
/// The detail of that row that holds who filled which role, as JSON.
pub(super) const APPROVED_BY: &str = "approved_by";
/// The detail of that row that holds everyone whose approval counted in the cell, as JSON.
pub(super) const APPROVERS: &str = "approvers";
/// The detail of that row that holds who satisfied which gate, as JSON; of a verdict's row, in words.
pub(super) const GATES: &str = "gates";
/// The detail of that row that says who caused the run, where that is not the merge.
pub(super) const STARTED_BY: &str = "started_by";

/// The detail of a run's rows that holds the hash of the policy files that judged it, which may have changed since the merge.
const POLICY_NOW: &str = "policy_now";
/// The detail of that row that holds the SHA-256 of each script that ran, as JSON.
pub(super) const SCRIPTS: &str = "scripts";

/// How far a merged pull request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advanced {
    /// Nothing is left to do for it.
    Done,
    /// An environment ran; what is behind it is still to be judged.
    Ran,
    /// It waits, or it stopped.
    Waits,
}

/// What became of one environment's turn.
enum Stand {
    /// It held the digest before.
    Holds,
    /// It ran, and holds it now.
    Ran,
    /// It does not hold it.
    Waits,
}

/// One merged pull request on its way through the environments.
pub(super) struct Journey<'a> {
    pub(super) place: &'a Place,
    pub(super) gathered: &'a Gathered,
    pub(super) merged: &'a Merged,
    pub(super) digest: &'a Digest,
    pub(super) judge: &'a Judge,
    /// Who caused it, for history, store and audit.
    by: String,
    pub(super) now: DateTime<Utc>,
}

impl Journey<'_> {
    pub(super) fn about<'e>(&'e self, environment: &'e EnvironmentName) -> Subject<'e> {
        Subject {
            repo: &self.place.repository.name,
            number: self.gathered.snapshot.number,
            environment,
            digest: self.digest,
        }
    }

    fn settings(&self, environment: &EnvironmentName) -> Option<&Environment> {
        self.gathered.contents.policy.environments.get(environment)
    }
}

impl Bot {
    /// Goes on with a merged pull request as far as its gates are open, and no further than one run: whoever is behind it is
    /// judged by what people say then, and by what time it is then (B-10).
    pub(super) async fn advance(
        &self,
        place: &Place,
        gathered: &Gathered,
        merged: &Merged,
        judge: &Judge,
        now: DateTime<Utc>,
    ) -> Result<Advanced, JobError> {
        // Only policy files were merged, or nothing that a database takes.
        let own: Vec<&Migration> = merged.contents.own_migrations().collect();
        let Some(digest) = merged.contents.digest.as_ref().filter(|_| !own.is_empty() || !merged.differing.is_empty())
        else {
            return Ok(Advanced::Done);
        };
        let merged_by = gathered.pull.merged_by.as_ref().map(|u| u.login.to_string());
        let by = merged_by.unwrap_or_else(|| "godwit".to_owned());
        let journey = Journey { place, gathered, merged, digest, judge, by, now };
        let taking = taking(place, gathered, &own);
        if !merged.differing.is_empty() {
            let Some((first, _)) = taking.first() else { return Ok(Advanced::Done) };
            return self.refuse_differing(&journey, first).await.map(|()| Advanced::Waits);
        }
        let (mut open, mut later, mut all) = (true, None, true);
        for (i, (environment, promotion)) in taking.iter().enumerate() {
            let asked = self.asked(journey.about(environment), now).await?;
            // An emergency passes over the order too.
            if !open && asked.emergency.is_none() {
                all = false;
                continue;
            }
            let following = taking.get(i + 1).map(|(e, _)| *e);
            match boxed(|| self.one_environment(&journey, environment, *promotion, &asked, following)).await {
                Ok(Stand::Ran) => return Ok(Advanced::Ran),
                Ok(Stand::Holds) => all &= !self.is_watched(&journey, environment).await?,
                Ok(Stand::Waits) => (open, all) = (false, false),
                Err(error @ JobError::Later { .. }) => {
                    open = false;
                    later.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        later.map_or(Ok(if all { Advanced::Done } else { Advanced::Waits }), Err)
    }

    /// What stands on the base branch is not what was agreed to: nothing runs, and people are told which files differ.
    async fn refuse_differing(&self, journey: &Journey<'_>, first: &EnvironmentName) -> Result<(), JobError> {
        let files = quoted(&journey.merged.differing);
        let refused = refusal(
            "policy",
            format!("what was merged is not what was approved; these files differ: {files}"),
            "nothing runs; bring the difference in by a pull request of its own, which is judged anew".to_owned(),
        );
        self.wait(journey, first, refused).await
    }

    /// One environment's turn.
    async fn one_environment(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        promotion: Promotion,
        asked: &Asked,
        following: Option<&EnvironmentName>,
    ) -> Result<Stand, JobError> {
        let (repo, number) = (&journey.place.repository.name, journey.gathered.snapshot.number);
        let record = self.store.latest_environment(repo, environment, journey.digest).await?;
        let lock = self.store.environment_lock(Some(repo), environment).await?;
        let (policy, snapshot) = (&journey.gathered.contents.policy, &journey.gathered.snapshot);
        let policies = (policy, journey.merged.also.as_ref());
        let verdict = decide::environment_verdict(policies, snapshot, environment, journey.now);
        let since = |at: Option<DateTime<Utc>>| at.is_some_and(|at| record.as_ref().is_none_or(|r| r.at < at));
        let never = decide::never(&journey.merged.contents, environment);
        let earlier = self.earlier(journey, environment).await?;
        let window =
            journey.settings(environment).map_or(WindowState::Open, |settings| settings.window_at(journey.now));
        let standing = Standing {
            environment,
            record: record.as_ref(),
            lock: lock.as_ref(),
            promotion,
            promoted: asked.promoted,
            retry: since(asked.retry_at),
            cancelled: asked.cancelled.as_deref(),
            released: since(asked.released_at),
            never: never.as_ref(),
            earlier: earlier.as_ref().map(|e| &e.refusal),
            window: &window,
            emergency: asked.emergency.is_some(),
            verdict: &verdict,
        };
        match decide::next(standing) {
            // A worker that died between run and comment left the telling to whoever looks next.
            Next::Holds => {
                self.store.end_turn(repo, environment, number).await?;
                self.tell(journey, environment, record.as_ref(), following).await?;
                self.label_migrated(journey, environment).await?;
                if let (Some(settings), Some(record)) = (policy.environments.get(environment), &record) {
                    self.watch(journey, settings, record, journey.now).await?;
                }
                Ok(Stand::Holds)
            }
            Next::Stopped => {
                self.store.end_turn(repo, environment, number).await?;
                self.tell(journey, environment, record.as_ref(), following).await.map(|()| Stand::Waits)
            }
            Next::Waits(refusal) => {
                if let (WindowState::Closed { opens, .. }, "window") = (&window, refusal.reason.as_str()) {
                    self.store.enqueue_once(&journey.look(), *opens).await?;
                }
                let awaited = earlier.filter(|e| e.refusal == refusal).map(|e| e.awaited).unwrap_or_default();
                self.wait_behind(journey, environment, Behind { awaited, refusal }).await.map(|()| Stand::Waits)
            }
            Next::Runs => {
                let before = record.as_ref().filter(|_| !standing.retry);
                let held = boxed(|| self.run(journey, environment, &verdict, asked, before, following)).await?;
                Ok(if held { Stand::Ran } else { Stand::Waits })
            }
        }
    }

    /// Says what an environment waits for, in its comment.
    pub(super) async fn wait(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        refusal: Refusal,
    ) -> Result<(), JobError> {
        self.wait_behind(journey, environment, Behind { awaited: BTreeSet::new(), refusal }).await
    }

    /// The same, and remembers what wakes it.
    async fn wait_behind(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        Behind { awaited, refusal }: Behind,
    ) -> Result<(), JobError> {
        let (targets, event) = (journey.targets(environment), journey.look());
        let asker = journey.asker(environment, &targets, &event);
        self.store.wait_at_gate(&asker, &refusal.reason, &awaited).await?;
        self.tell_waiting(journey, environment, refusal).await
    }

    /// Says what an environment waits for, in its comment.
    pub(super) async fn tell_waiting(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        refusal: Refusal,
    ) -> Result<(), JobError> {
        let report = RunReport::blocked(
            environment.clone(),
            journey.digest.clone(),
            journey.merged.contents.report.risk,
            refusal,
            RunId::generate(),
        );
        let told = Told { by: None, counted: &Counted::default(), next: &run_comment::Next::Stops, audit_head: None };
        self.comment_on(journey, environment, &report, told).await?;
        let why = report.blocked_by.first().map_or("", |refusal| refusal.message.as_str());
        self.picture(journey, environment, Picture::Waits(why)).await;
        Ok(())
    }

    /// Runs an environment, records how it went, tells people; `true` when it holds the digest afterwards. `before` is how
    /// it ended last, where nobody asked to try again since.
    async fn run(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        verdict: &EnvironmentVerdict,
        asked: &Asked,
        before: Option<&EnvironmentRecord>,
        following: Option<&EnvironmentName>,
    ) -> Result<bool, JobError> {
        let contents = &journey.merged.contents;
        let Some(settings) = journey.settings(environment) else { return Ok(false) };
        let own: Vec<&Migration> = contents.own_migrations().collect();
        let names = takers(settings, &own);
        let Some(part) = self.part(journey, settings, environment, &names).await? else { return Ok(false) };
        let targets = match self.targets(journey.place, settings, &part.targets) {
            Ok(targets) => targets,
            Err(refusal) => return self.wait(journey, environment, refusal).await.map(|()| false),
        };
        if asked.emergency.is_none()
            && let Some(refusal) = self.other_terms(journey, settings, verdict).await?
        {
            return self.wait(journey, environment, refusal).await.map(|()| false);
        }
        let actor = Actor {
            by: journey.by.clone(),
            repo: Some(journey.place.repository.name.clone()),
            pr: Some(journey.gathered.snapshot.number),
            commit: Some(journey.merged.commit.clone()),
            correlation: journey.judge.correlation.clone(),
        };
        let _place = self.place_to_run()?;
        let repo = &journey.place.repository.name;
        // A run that only waits for a busy database stays the same run.
        let run = self.store.resting_run(repo, environment, journey.gathered.snapshot.number).await?;
        let run = run.unwrap_or_else(RunId::generate);
        self.take_turn(journey, environment, &run).await?;
        let wished = ApplyOptions {
            risks: risks(contents),
            released: self.store.releases(Some(repo), environment.as_str()).await?,
            held_elsewhere: self.held_elsewhere(repo, settings, &contents.set, &part.targets).await?,
            // The matrix was satisfied for these very bytes, whose findings say what is lost.
            loss_agreed: true,
            ..ApplyOptions::default()
        };
        let refused = match self.foreign(journey, environment, &targets, &actor, &wished).await {
            Ok((None, refused)) => refused,
            Ok((Some(behind), _)) => return self.wait_behind(journey, environment, behind).await.map(|()| false),
            Err(error) => return Err(self.could_not_run(journey, environment, error).await),
        };
        if self.is_told(before, &refused).await? {
            self.end_turn(journey, environment).await?;
            return self.tell(journey, environment, before, following).await.map(|()| false);
        }
        let backup = match self.backup(settings, contents) {
            Ok(wish) => wish,
            Err(refusal) => return self.wait(journey, environment, refusal).await.map(|()| false),
        };
        let basis = match &asked.emergency {
            Some((by, reason)) => format!("emergency by {by}: {reason}"),
            None => decide::basis(verdict),
        };
        self.note_started(journey, environment, &run, &basis).await?;
        let (cancel, seen) = (Cancel::default(), Seen::default());
        let timeout = Some(Duration::from_secs(settings.migration.timeout));
        let options = ApplyOptions {
            timeout,
            // Whoever holds the target may take long; the job is queued again meanwhile.
            lock_wait: Some(Duration::from_secs(5)),
            backup: Some(backup),
            opening: Opening::With(self.keys(&journey.place.repository.name, settings)),
            health: Some(self.health(journey, settings)),
            cancel: cancel.clone(),
            pace: seen.pace_of(&settings.migration),
            run: Some(run.clone()),
            waves: settings.waves().iter().map(|(_, ts)| ts.iter().map(|t| t.name.clone()).collect()).collect(),
            ..wished
        };
        self.picture(journey, environment, Picture::Runs).await;
        failpoint::hit("run_pre");
        let by = journey.started_by(asked);
        let about =
            Watched { place: journey.place, number: journey.gathered.snapshot.number, environment, run: &run, by: &by };
        let going = boxed(|| runner::apply(&self.store, &contents.set, &targets, &actor, &options));
        let mut report = match self.looked_after(&about, &cancel, &seen, going).await {
            Ok(report) => report,
            Err(error) => return Err(self.could_not_run(journey, environment, error).await),
        };
        self.name_who_stopped(&mut report).await?;
        failpoint::hit("run_post");
        measure::run(&journey.place.repository.name, environment, &report);
        if part.behind.is_some() && matches!(report.outcome, Outcome::Applied | Outcome::Nothing) {
            return self.end_part(journey, settings, environment, part, report).await.map(|()| false);
        }
        let report = report.with_earlier(part.done.into_iter().map(|leg| leg.report));
        let end = Ended { basis, by, counted: Counted::of(verdict) };
        self.finish(journey, environment, end, report, following).await
    }

    /// When a run of this environment makes a backup first.
    pub(super) fn backup(&self, settings: &Environment, contents: &Contents) -> Result<BackupWish, Refusal> {
        let keys = Keys::from_environment().map_err(|e| {
            refusal("backup", format!("backups cannot be encrypted: {e}"), "mend the server's variables".to_owned())
        })?;
        Ok(BackupWish {
            dir: self.backups.clone(),
            required: settings.migration.backup_required,
            destroys: crate::risk::destroying(&contents.set, &contents.report.violations),
            keys,
            regions: settings.targets.iter().filter_map(|t| Some((t.name.clone(), t.region.clone()?))).collect(),
            ..BackupWish::default()
        })
    }

    /// What a run that could not be judged means: people are told where they look, and it is tried again by itself. A
    /// target that is down is no failed attempt, however long it stays down.
    async fn could_not_run(&self, journey: &Journey<'_>, environment: &EnvironmentName, error: RunError) -> JobError {
        let RunError::Unreachable(message) = &error else { return JobError::Run(error) };
        let now = Utc::now();
        let at = now + decide::patience(journey.gathered.pull.merged_at, now);
        let refused = refusal(
            "unreachable",
            format!("a database of `{environment}` cannot be reached: {message}"),
            format!(
                "bring it back; the run is tried again by itself, at the latest every quarter of an hour, or at once \
                 with `/godwit retry {environment}`"
            ),
        );
        measure::unreachable(environment);
        if let Err(error) = self.wait(journey, environment, refused).await {
            tracing::warn!(error = chain(&error), "that a database is down could not be told");
        }
        JobError::Later { at, reason: format!("a database of `{environment}` cannot be reached") }
    }

    /// Migrations of other pull requests that would run as well: they are not what people agreed to here (B-6). With them what
    /// keeps the run from beginning at all.
    async fn foreign(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        targets: &[Target],
        actor: &Actor,
        wished: &ApplyOptions,
    ) -> Result<(Option<Behind>, Vec<Refusal>), RunError> {
        let set = &journey.merged.contents.set;
        let planned = runner::plan_with(&runner::Keeper::at_need(&self.store), set, targets, actor, wished).await?;
        measure::pending(&journey.place.repository.name, environment, planned.steps.len());
        let steps = planned.steps.iter().filter_map(|s| Some((&s.target, migration_of(set, s)?.reference())));
        let steps: Vec<_> = steps.filter(|(_, reference)| !journey.merged.contents.own.contains(reference)).collect();
        if steps.is_empty() {
            return Ok((None, planned.blocked_by));
        }
        // They run in their order, so on each target the last of them is the one to wait for.
        let last: BTreeMap<_, _> = steps.iter().map(|(target, reference)| (*target, reference.clone())).collect();
        let foreign = steps.iter().map(|(_, reference)| reference.clone()).collect();
        let refused = self.behind(journey, environment, foreign).await;
        let behind = |refusal| (Some(Behind { awaited: last.into_values().collect(), refusal }), Vec::new());
        refused.map(behind).map_err(|e| RunError::Store(chain(&e)))
    }

    async fn finish(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        end: Ended,
        mut report: RunReport,
        following: Option<&EnvironmentName>,
    ) -> Result<bool, JobError> {
        // The comment names what people approved, not the digest of every migration of the repository.
        report.digest = journey.digest.clone();
        for note in report.notes.iter_mut().filter(|n| n.contains("held: contract")) {
            note.push_str(&format!("; here: `/godwit release {environment} MIGRATION REASON`"));
        }
        // A target that is busy is waited for; everything else is how it ended.
        if report.outcome == Outcome::Blocked && report.blocked_by.iter().any(|r| r.reason == "locked") {
            let told =
                Told { by: None, counted: &Counted::default(), next: &run_comment::Next::Stops, audit_head: None };
            self.comment_on(journey, environment, &report, told).await?;
            self.store.rest_turn(&report.run).await?;
            let reason = format!("a target of `{environment}` is busy");
            return Err(JobError::Later { at: soon(Utc::now()), reason });
        }
        if matches!(report.outcome, Outcome::Applied | Outcome::Nothing) {
            self.tell_of_earlier(journey, environment, None, &mut report).await?;
        }
        let mut ended = self.end_of(journey, environment, &end, &report)?;
        self.store.prove(&mut ended).await?;
        let record = EnvironmentRecord {
            repo: journey.place.repository.name.clone(),
            environment: environment.clone(),
            pr: Some(journey.gathered.snapshot.number),
            commit: journey.merged.commit.clone(),
            digest: journey.digest.clone(),
            outcome: report.outcome,
            run: Some(report.run.clone()),
            at: Utc::now(),
        };
        failpoint::hit("end_pre");
        self.store.end_environment(ended, &record).await?;
        failpoint::hit("end_recorded");
        self.end_turn(journey, environment).await?;
        self.tell(journey, environment, Some(&record), following).await?;
        let done = decide::holds(Some(&record));
        if done {
            self.label_migrated(journey, environment).await?;
        }
        failpoint::hit("end_told");
        Ok(done)
    }

    /// The audit row of a run's end, with everything that its comment is made from.
    fn end_of(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        end: &Ended,
        report: &RunReport,
    ) -> Result<AuditEntry, JobError> {
        let mut entry = self.entry(journey, environment, RUN_FINISHED, report.outcome.as_str());
        entry.at = Utc::now();
        entry.basis = Some(end.basis.clone());
        entry.run = Some(report.run.clone());
        entry.details.insert(REPORT.to_owned(), json(&brief(report))?);
        entry.details.insert(APPROVED_BY.to_owned(), json(&end.counted.roles)?);
        entry.details.insert(APPROVERS.to_owned(), json(&end.counted.approvers())?);
        entry.details.insert(GATES.to_owned(), json(&end.counted.gates)?);
        entry.details.insert(STARTED_BY.to_owned(), end.by.clone());
        entry.details.insert(SCRIPTS.to_owned(), json(&scripts::ran(&journey.merged.contents.set, report))?);
        Ok(entry)
    }

    /// Keeps the comment about a run as its audit row says it ended; telling it again changes nothing.
    async fn tell(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        record: Option<&EnvironmentRecord>,
        following: Option<&EnvironmentName>,
    ) -> Result<(), JobError> {
        let Some(run) = record.and_then(|r| r.run.clone()) else { return Ok(()) };
        let Some(end) = self.end_of_run(run).await? else { return Ok(()) };
        let read = |key: &str| end.body.details.get(key).map(String::as_str).unwrap_or_default();
        // A row written by another version may lack them; its comment stays as it is.
        let (Ok(report), Ok(roles)) = (
            serde_json::from_str::<RunReport>(read(REPORT)),
            serde_json::from_str::<Vec<(RoleName, Login)>>(read(APPROVED_BY)),
        ) else {
            return Ok(());
        };
        let people: Vec<Login> = serde_json::from_str(read(APPROVERS)).unwrap_or_default();
        let counted = Counted::from_record(roles, &people, serde_json::from_str(read(GATES)).unwrap_or_default());
        let undone = report.steps.iter().any(|s| s.state == MigrationState::RolledBack);
        // Of several waves or regions one may have failed and taken itself back: that is no rollback.
        let rolled_back = undone && report.steps.iter().all(|s| s.action == StepAction::Rollback);
        let next = match (decide::holds(record), following) {
            (true, Some(next)) => run_comment::Next::Starts(next.clone()),
            (true, None) => run_comment::Next::Done,
            (false, _) if undone => run_comment::Next::Undone,
            (false, _) => run_comment::Next::Stops,
        };
        let told = Told {
            by: end.body.details.get(STARTED_BY).map(String::as_str),
            counted: &counted,
            next: &next,
            audit_head: Some(&end.hash),
        };
        self.comment_on(journey, environment, &report, told).await?;
        let picture = if rolled_back { Picture::Undone } else { Picture::Ended(report.outcome) };
        self.picture(journey, environment, picture).await;
        Ok(())
    }

    async fn comment_on(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        report: &RunReport,
        told: Told<'_>,
    ) -> Result<(), JobError> {
        let by = told.by.map_or_else(|| format!("merge by {}", journey.by), str::to_owned);
        let text = run_text(
            &journey.gathered.contents.policy,
            environment,
            report,
            &journey.merged.commit,
            &self.links(journey.place, &journey.merged.commit),
            &journey.merged.contents.set,
            Told { by: Some(&by), ..told },
        );
        let number = journey.gathered.snapshot.number;
        journey.place.api.keep_comment(number, &run_comment::marker(environment), &text).await?;
        Ok(())
    }

    async fn label_migrated(&self, journey: &Journey<'_>, environment: &EnvironmentName) -> Result<(), JobError> {
        let label = labels::migrated_label(environment);
        if journey.gathered.snapshot.labels.iter().any(|l| l.name.eq_ignore_ascii_case(&label)) {
            return Ok(());
        }
        let (colour, description) = labels::look(&label);
        journey.place.api.ensure_label(&label, colour, description).await?;
        journey.place.api.add_labels(journey.gathered.snapshot.number, &[label]).await?;
        Ok(())
    }

    pub(super) fn entry(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        action: &str,
        result: &str,
    ) -> AuditEntry {
        let mut entry = AuditEntry::new(journey.now, journey.by.clone(), action, result);
        entry.repo = Some(journey.place.repository.name.clone());
        entry.pr = Some(journey.gathered.snapshot.number);
        entry.environment = Some(environment.clone());
        entry.commit = Some(journey.merged.commit.clone());
        entry.digest = Some(journey.digest.clone());
        entry.policy_hash = journey.gathered.snapshot.binding.as_ref().map(|b| b.policy_hash.clone());
        entry.correlation = journey.judge.correlation.clone();
        entry.details.insert(POLICY_NOW.to_owned(), journey.merged.policy_now.clone());
        entry
    }
}

/// How a run ended, besides its report.
struct Ended {
    /// What allowed it.
    basis: String,
    /// Who or what caused it, in words.
    by: String,
    counted: Counted,
}

/// What a run's comment tells besides its report.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// Who or what caused it, in words; the merge, if not given.
    pub by: Option<&'a str>,
    /// Who let it run.
    pub counted: &'a Counted,
    pub next: &'a run_comment::Next,
    pub audit_head: Option<&'a str>,
}

/// A run's comment.
pub(super) fn run_text(
    policy: &Policy,
    environment: &EnvironmentName,
    report: &RunReport,
    commit: &CommitSha,
    links: &Links,
    set: &MigrationSet,
    told: Told<'_>,
) -> String {
    let rollback = permission::who_rolls_back(policy, environment);
    let settings = policy.environments.get(environment);
    run_comment::result(&RunCommentInput {
        environment,
        report,
        commit,
        by: told.by.unwrap_or("godwit"),
        counted: told.counted,
        next: told.next,
        audit_head: told.audit_head,
        links,
        rollback: Some(&rollback),
        contacts: &policy.repo.contacts,
        regions: &settings.map(promotion::regions).unwrap_or_default(),
        set,
    })
}

/// A report without the statements' texts: only how many there were is told, and they stand in the repository.
pub(super) fn brief(report: &RunReport) -> RunReport {
    let mut brief = report.clone();
    for step in &mut brief.steps {
        step.statements.iter_mut().for_each(String::clear);
    }
    brief
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, JobError> {
    serde_json::to_string(value).map_err(|e| JobError::Internal(format!("a report cannot be written down: {e}")))
}

/// Names in back-ticks, for a sentence.
pub(super) fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{}`", n.replace('`', "'"))).collect::<Vec<_>>().join(", ")
}
