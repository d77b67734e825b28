//! Shows a verdict on GitHub: check runs on the evaluated commit, one comment edited in place, labels; and records it.

use chrono::{DateTime, Utc};

use super::error::JobError;
use super::gather::{Gathered, Place};
use super::heads::{Speaker, Word};
use super::merge_run::GATES;
use super::work::Judge;
use super::{Bot, buttons, decide, labels, papers};
use crate::approval::counted::satisfied;
use crate::approval::{EnvironmentVerdict, Label, PullRequestSnapshot, Status, Verdict};
use crate::config::ConfigError;
use crate::github::{CheckAction, CheckAnnotation, NewCheckRun, Shown, model};
use crate::ids::{CommitSha, DeliveryId, Login, PrNumber, Risk};
use crate::lint::LintReport;
use crate::migration::digest_of;
use crate::report::arrival::Arrival;
use crate::report::check_run::{self, CheckOutput};
use crate::report::checklist::Checklist;
use crate::report::comment::{self, SummaryInput};
use crate::report::{EnvironmentPlan, Links, escape};
use crate::store::{AuditEntry, AuditFilter};

/// Audit records looked through for the last verdict on a pull request.
const RECENT: u32 = 50;
/// The audit word for a verdict.
const JUDGED: &str = "judged";

/// What was found out about a pull request, to be shown.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub verdict: &'a Verdict,
    pub plans: &'a [EnvironmentPlan],
    /// How its environments stand, where it is merged.
    pub arrivals: Option<&'a [Arrival]>,
}

impl<'a> Seen<'a> {
    fn input(self, gathered: &'a Gathered, checklists: &'a [Checklist], links: &'a Links) -> SummaryInput<'a> {
        SummaryInput {
            snapshot: &gathered.snapshot,
            lint: &gathered.contents.report,
            verdict: Some(self.verdict),
            plans: self.plans,
            arrivals: self.arrivals,
            graph: papers::graph_of(&gathered.contents),
            checklists,
            config_errors: &[],
            links,
        }
    }
}

impl Bot {
    /// Shows what was decided about a pull request.
    pub(super) async fn show(
        &self,
        place: &Place,
        gathered: &Gathered,
        seen: Seen<'_>,
        judge: &Judge,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let (snapshot, contents, verdict) = (&gathered.snapshot, &gathered.contents, seen.verdict);
        let links = self.links_of(place, snapshot);
        let checklists = Box::pin(self.checklists(gathered, verdict, seen.plans, now)).await?;
        let input = seen.input(gathered, &checklists, &links);
        if !snapshot.merged {
            let lint = check_run::lint_output(&contents.report, &contents.proposed_errors);
            let lint = lint.with_pending(&papers::pending_of(contents));
            let (speaker, head, again) = (Speaker::of(&gathered.pull), &snapshot.head, judge.again);
            let word = Word { head, name: check_run::LINT, output: &lint, actions: Vec::new(), again };
            Box::pin(self.say(place, speaker, word)).await?;
            let approval = check_run::approval_output(&input);
            let actions = buttons::of_approval(verdict, snapshot);
            let word = Word { head, name: check_run::APPROVAL, output: &approval, actions, again };
            Box::pin(self.say(place, speaker, word)).await?;
        }
        self.show_summary(place, snapshot, &input).await?;
        if !snapshot.merged {
            self.suggest(place, gathered).await;
        }
        self.show_labels(place, gathered, verdict).await?;
        if self.record_verdict(snapshot, verdict, judge.correlation.as_ref(), now).await? {
            self.hide_outdated(place, snapshot.number).await;
        }
        Ok(())
    }

    /// Says in the summary of a merged pull request how far it came, where it went on since `before`.
    pub(super) async fn show_arrived(
        &self,
        place: &Place,
        gathered: &Gathered,
        verdict: &Verdict,
        before: Option<&[Arrival]>,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let arrivals = self.arrivals(place, gathered).await?;
        if arrivals.as_deref() == before {
            return Ok(());
        }
        let plans = self.plans(place, gathered).await?;
        let links = self.links_of(place, &gathered.snapshot);
        let checklists = Box::pin(self.checklists(gathered, verdict, &plans, now)).await?;
        let seen = Seen { verdict, plans: &plans, arrivals: arrivals.as_deref() };
        self.show_summary(place, &gathered.snapshot, &seen.input(gathered, &checklists, &links)).await
    }

    fn links_of(&self, place: &Place, snapshot: &PullRequestSnapshot) -> Links {
        Links { pending: papers::page(place, snapshot.number), ..self.links(place, &snapshot.head) }
    }

    /// Shows that the policy of the base is wrong: both checks are red and name the place; nothing else is done.
    pub(super) async fn show_broken_policy(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        errors: &[ConfigError],
    ) -> Result<(), JobError> {
        let report = empty_report();
        let snapshot = bare_snapshot(place, pull);
        let links = self.links(place, &snapshot.head);
        let input = without_policy(&snapshot, &report, errors, &links);
        let (speaker, head) = (Speaker::of(pull), &snapshot.head);
        self.show_check(place, speaker, head, check_run::LINT, &check_run::lint_output(&report, errors)).await?;
        self.show_check(place, speaker, head, check_run::APPROVAL, &check_run::approval_output(&input)).await?;
        place.api.keep_comment(pull.number, comment::MARKER, &comment::summary(&input)).await?;
        Ok(())
    }

    /// Says on a merged pull request that the policy which judges it is wrong, and that nothing runs before it is mended. Only
    /// where it had to do with migrations before.
    pub(super) async fn tell_broken_policy(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        errors: &[ConfigError],
    ) -> Result<(), JobError> {
        if !pull.is_merged() || !place.api.has_own_comment(pull.number, comment::MARKER).await? {
            return Ok(());
        }
        let (report, snapshot) = (empty_report(), bare_snapshot(place, pull));
        let links = self.links(place, &snapshot.head);
        let input = without_policy(&snapshot, &report, errors, &links);
        place.api.keep_comment(pull.number, comment::MARKER, &comment::summary(&input)).await?;
        Ok(())
    }

    /// Makes both checks red with an id under which the log says more; nobody may take silence for a yes (B-19).
    pub(super) async fn show_failure(
        &self,
        place: &Place,
        pull: &model::PullRequest,
        error: &JobError,
        id: &str,
    ) -> Result<(), JobError> {
        let what = if error.is_temporary() { "It is tried again by itself." } else { "Its operator has to look." };
        let output = CheckOutput {
            title: format!("Godwit could not judge this commit (error {id})"),
            summary: format!("Something went wrong while judging. {what} The server's log says more under `{id}`."),
            text: None,
            conclusion: check_run::Conclusion::Failure,
            annotations: Vec::new(),
        };
        let (speaker, head) = (Speaker::of(pull), &pull.head.sha);
        self.show_check(place, speaker, head, check_run::LINT, &output).await?;
        self.show_check(place, speaker, head, check_run::APPROVAL, &output).await
    }

    /// Says by a check what is true of a pull request or merge group.
    pub(super) async fn show_check(
        &self,
        place: &Place,
        speaker: Speaker<'_>,
        head: &CommitSha,
        name: &str,
        output: &CheckOutput,
    ) -> Result<(), JobError> {
        Box::pin(self.say(place, speaker, Word { head, name, output, actions: Vec::new(), again: false })).await
    }

    /// Shows a check on a commit; `again` ends it anew for somebody who asked GitHub to run it again. What it says must be
    /// true of everything whose head the commit is: see [`Bot::say`].
    pub(super) async fn show_on(
        &self,
        place: &Place,
        head: &CommitSha,
        name: &str,
        output: &CheckOutput,
        actions: Vec<CheckAction>,
        again: bool,
    ) -> Result<(), JobError> {
        let annotations = output.annotations.iter().map(|a| CheckAnnotation {
            path: a.path.clone(),
            start_line: a.start_line,
            end_line: a.end_line,
            start_column: a.columns.map(|(from, _)| from),
            end_column: a.columns.map(|(_, to)| to),
            annotation_level: a.level.as_str().to_owned(),
            message: a.message.clone(),
            title: a.title.clone(),
        });
        let run = NewCheckRun {
            name: name.to_owned(),
            conclusion: output.conclusion.as_str().to_owned(),
            title: output.title.clone(),
            summary: output.summary.clone(),
            text: output.text.clone(),
            annotations: annotations.collect(),
            details_url: self.settings.public_url.clone(),
            actions,
        };
        let shown = if again { Shown::Anew } else { Shown::Once };
        place.api.show_check_run(head, &run, shown).await?;
        Ok(())
    }

    /// Pull requests that never had anything to do with migrations get no comment.
    async fn show_summary(
        &self,
        place: &Place,
        snapshot: &PullRequestSnapshot,
        input: &SummaryInput<'_>,
    ) -> Result<(), JobError> {
        let concerned = !snapshot.migration_paths.is_empty() || !snapshot.policy_paths.is_empty();
        if concerned || place.api.has_own_comment(snapshot.number, comment::MARKER).await? {
            place.api.keep_comment(snapshot.number, comment::MARKER, &comment::summary(input)).await?;
        }
        Ok(())
    }

    async fn show_labels(&self, place: &Place, gathered: &Gathered, verdict: &Verdict) -> Result<(), JobError> {
        let snapshot = &gathered.snapshot;
        let risk: Option<Risk> =
            snapshot.binding.as_ref().filter(|_| !snapshot.migration_paths.is_empty()).map(|b| b.risk);
        let mut wanted = labels::wanted(risk, verdict, !snapshot.draft);
        wanted.extend(labels::of_contents(&gathered.contents));
        let bot = self.github.bot_login().await?;
        // A raise whose label somebody took off counts, and is not there.
        let is_there = |l: &&Label| gathered.pull.labels.iter().any(|p| p.name.eq_ignore_ascii_case(&l.name));
        let present: Vec<Label> = snapshot.labels.iter().filter(is_there).cloned().collect();
        let change = labels::change(&present, &wanted, &bot, &snapshot.held);
        for name in &change.add {
            let (colour, description) = labels::look(name);
            place.api.ensure_label(name, colour, description).await?;
        }
        if !change.add.is_empty() {
            place.api.add_labels(snapshot.number, &change.add).await?;
        }
        for name in &change.remove {
            place.api.remove_label(snapshot.number, name).await?;
        }
        for (label, reason) in labels::unearned(&gathered.contents.policy, snapshot) {
            place.api.remove_label(snapshot.number, &label).await?;
            let marker = format!("<!-- godwit:label:{} -->", label.replace("--", "- -"));
            let text = format!("{marker}\nI took the label {} off: {reason}.", escape::code(&label));
            place.api.keep_comment(snapshot.number, &marker, &text).await?;
        }
        Ok(())
    }

    /// One audit row per change of the verdict, none for looking again. `true` when it is about another content than the
    /// one before.
    async fn record_verdict(
        &self,
        snapshot: &PullRequestSnapshot,
        verdict: &Verdict,
        correlation: Option<&DeliveryId>,
        now: DateTime<Utc>,
    ) -> Result<bool, JobError> {
        let Some(binding) = &snapshot.binding else { return Ok(false) };
        let mut entry = AuditEntry::new(now, "godwit", JUDGED, status_word(verdict.status));
        entry.repo = Some(snapshot.repo.clone());
        entry.pr = Some(snapshot.number);
        entry.commit = Some(snapshot.head.clone());
        entry.digest = Some(binding.digest.clone());
        entry.policy_hash = Some(binding.policy_hash.clone());
        entry.correlation = correlation.cloned();
        entry.details.insert("risk".to_owned(), binding.risk.to_string());
        entry.details.insert("reason".to_owned(), verdict.summary.clone());
        entry.details.insert(
            "approved_by".to_owned(),
            verdict.environments.iter().flat_map(said).collect::<Vec<_>>().join(", "),
        );
        let gates = satisfied(&verdict.gates).map(|g| format!("{}: {}", g.name, decide::logins(&g.approvers)));
        entry.details.insert(GATES.to_owned(), gates.collect::<Vec<_>>().join("; "));
        let filter =
            AuditFilter { repo: entry.repo.clone(), pr: entry.pr, last: Some(RECENT), ..AuditFilter::default() };
        let last = self.store.audit(&filter).await?.into_iter().rev().find(|r| r.body.action == JUDGED);
        let moved = last.as_ref().is_some_and(|last| last.body.digest.as_deref() != Some(binding.digest.as_str()));
        let same = last.is_some_and(|last| {
            last.body.result == entry.result
                && last.body.commit.as_deref() == entry.commit.as_ref().map(CommitSha::as_str)
                && last.body.digest.as_deref() == Some(binding.digest.as_str())
                && last.body.policy_hash.as_ref() == Some(&binding.policy_hash)
                && last.body.details == entry.details
        });
        if !same {
            self.store.append_audit(entry).await?;
        }
        Ok(moved)
    }

    /// Where links in texts about `commit` go.
    pub(super) fn links(&self, place: &Place, commit: &CommitSha) -> Links {
        let mut links = Links::to(papers::web(place), &place.repository.name, commit);
        links.everything.clone_from(&self.settings.public_url);
        links
    }
}

/// Who counts in an environment, in which role and in which way, for the audit.
fn said(verdict: &EnvironmentVerdict) -> Vec<String> {
    let environment = &verdict.environment;
    let ways = |login: &Login| {
        let ways: Vec<&str> = verdict.sources.get(login).into_iter().flatten().map(|s| s.as_str()).collect();
        ways.join(", ")
    };
    let roles = verdict.filled.iter().map(|(role, login)| format!("{environment} {role}: {login} ({})", ways(login)));
    roles.chain(verdict.besides().map(|login| format!("{environment}: {login} ({})", ways(login)))).collect()
}

pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Skipped => "skipped",
        Status::Pending => "pending",
        Status::Approved => "approved",
        Status::Disapproved => "disapproved",
    }
}

pub(super) fn empty_report() -> LintReport {
    LintReport {
        files: 0,
        violations: Vec::new(),
        migrations: Vec::new(),
        risk: Risk::Low,
        digest: digest_of(std::iter::empty()),
    }
}

/// The summary of a pull request that cannot be judged, since the policy has these errors.
fn without_policy<'a>(
    snapshot: &'a PullRequestSnapshot,
    lint: &'a LintReport,
    config_errors: &'a [ConfigError],
    links: &'a Links,
) -> SummaryInput<'a> {
    SummaryInput {
        snapshot,
        lint,
        verdict: None,
        plans: &[],
        arrivals: None,
        graph: None,
        checklists: &[],
        config_errors,
        links,
    }
}

/// What is known of a pull request without a policy to judge it by.
fn bare_snapshot(place: &Place, pull: &model::PullRequest) -> PullRequestSnapshot {
    let author: Option<Login> = pull.user.as_ref().map(|u| u.login.clone());
    let number: PrNumber = pull.number;
    PullRequestSnapshot {
        repo: place.repository.name.clone(),
        number,
        author,
        head: pull.head.sha.clone(),
        base: pull.base.sha.clone(),
        base_ref: pull.base.branch.clone(),
        default_branch: Some(place.repository.default_branch.clone()),
        from_fork: pull.from_fork(),
        draft: pull.draft,
        merged: pull.is_merged(),
        commit_people: Default::default(),
        incomplete: false,
        reviews: Vec::new(),
        labels: Vec::new(),
        people: Default::default(),
        binding: None,
        migration_paths: Vec::new(),
        policy_paths: Vec::new(),
        asked_at: None,
        asked: Default::default(),
        entered: Vec::new(),
        held: Default::default(),
    }
}
