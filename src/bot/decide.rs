//! From what was gathered to a verdict, and from a verdict and the store to what happens next in an environment. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::contents::Contents;
use super::merge_run::quoted;
use crate::approval::gates::POLICY_OWNERS;
use crate::approval::{
    Counted, EnvironmentVerdict, Evaluation, Policy, PullRequestSnapshot, Status, Verdict, evaluate,
    evaluate_environment, worst,
};
use crate::config::{Promotion, WindowState};
use crate::ids::{EnvironmentName, Login};
use crate::migration::{Severity, digest_of};
use crate::plan::{Outcome, Refusal};
use crate::store::{Agreed, EnvironmentLock, EnvironmentRecord};

/// The name of what says that no target takes a migration.
const TARGETS: &str = "targets";

/// Judges a pull request: what people said, and what no person can say yes to.
pub fn judge(contents: &Contents, snapshot: &PullRequestSnapshot, now: DateTime<Utc>) -> Verdict {
    let mut verdict = evaluate(&contents.policy, snapshot, now);
    if let Some(first) = contents.mends.first() {
        say_what_mends(&mut verdict, &first.to_string());
    }
    with_blockers(verdict, blockers(contents))
}

/// What people should know where a pull request mends the policy that would judge it, and what is left to do where the
/// broken policy names nobody who could agree.
fn say_what_mends(verdict: &mut Verdict, first: &str) {
    verdict.notes.push(format!(
        "the policy of the base branch is broken ({first}), and this pull request mends it; it is judged by the policy \
         files of the base that can be read, and nothing else can be merged before"
    ));
    let by_hand = "; nobody can be asked while the policy is broken: an administrator of the repository reads this change, \
                   and merges it past the required check (`Merge without waiting for requirements`, or with the rule of \
                   the branch switched off meanwhile)";
    for gate in verdict.gates.iter_mut().filter(|g| g.name == POLICY_OWNERS && g.status == Status::Disapproved) {
        if verdict.summary == gate.reason {
            verdict.summary.push_str(by_hand);
        }
        gate.reason.push_str(by_hand);
    }
}

/// What forbids the merge whoever agrees: findings at error level, a broken configuration, migrations nobody takes.
pub fn blockers(contents: &Contents) -> Vec<Evaluation> {
    let mut found = Vec::new();
    let errors: Vec<_> =
        contents.report.violations.iter().filter(|v| v.severity == Severity::Error && v.waived.is_none()).collect();
    if let Some(first) = errors.first() {
        let what = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
        found.push(no("lint", format!("{what}, the first in {}:{}: {}", first.file, first.line, first.message)));
    }
    if let Some(first) = contents.proposed_errors.first() {
        found.push(no("configuration", format!("this pull request would break the configuration: {first}")));
    }
    found.extend(contents.against.iter().cloned());
    let orphans: Vec<String> = contents.without_target().iter().map(|m| format!("`{}`", m.reference())).collect();
    if !orphans.is_empty() {
        let names = orphans.join(", ");
        found.push(no(
            TARGETS,
            format!("no target of any environment takes {names}; name one in `godwit.yml` and `environments.yml`"),
        ));
    }
    found
}

fn no(name: &str, reason: String) -> Evaluation {
    Evaluation {
        name: name.to_owned(),
        status: Status::Disapproved,
        reason,
        children: Vec::new(),
        approvers: Vec::new(),
        missing: Vec::new(),
    }
}

/// The verdict with further reasons against it, which weigh more than what people said.
pub fn with_blockers(mut verdict: Verdict, blockers: Vec<Evaluation>) -> Verdict {
    if let Some(first) = blockers.first() {
        verdict.status = Status::Disapproved;
        verdict.summary = first.reason.clone();
        verdict.gates.splice(0..0, blockers);
    }
    verdict
}

/// Whether an environment already holds what the record is about.
pub fn holds(record: Option<&EnvironmentRecord>) -> bool {
    record.is_some_and(|r| match r.outcome {
        Outcome::Applied | Outcome::Nothing => true,
        Outcome::Planned | Outcome::Failed | Outcome::Blocked | Outcome::NeedsHuman => false,
    })
}

/// What people have agreed to, migration by migration and environment by environment.
pub fn agreed(
    contents: &Contents,
    (policy, also): (&Policy, Option<&Policy>),
    snapshot: &PullRequestSnapshot,
    now: DateTime<Utc>,
) -> Vec<Agreed> {
    let Some(binding) = &snapshot.binding else { return Vec::new() };
    let mut agreed = Vec::new();
    for environment in &policy.repo.environments {
        let verdict = environment_verdict((policy, also), snapshot, environment, now);
        if verdict.evaluation.status != Status::Approved {
            continue;
        }
        let hours =
            policy.matrix.cell(environment, binding.risk).and_then(|c| TimeDelta::try_hours(c.timeout_hours.into()));
        agreed.extend(contents.own_migrations().map(|m| Agreed {
            environment: environment.clone(),
            digest: digest_of(std::iter::once(m)),
            policy_hash: binding.policy_hash.clone(),
            risk: binding.risk,
            basis: basis(&verdict),
            expires_at: snapshot.asked_at.zip(hours).and_then(|(at, hours)| at.checked_add_signed(hours)),
        }));
    }
    agreed
}

/// Judges an environment under the policy that decides and under another one that has to agree too; what is less than
/// agreed to holds. An environment that the other one does not have is judged by the first alone.
pub fn environment_verdict(
    (policy, also): (&Policy, Option<&Policy>),
    snapshot: &PullRequestSnapshot,
    environment: &EnvironmentName,
    now: DateTime<Utc>,
) -> EnvironmentVerdict {
    let verdict = evaluate_environment(policy, snapshot, environment, now);
    match also.filter(|also| also.repo.environments.contains(environment)) {
        Some(also) => worse(verdict, evaluate_environment(also, snapshot, environment, now)),
        None => verdict,
    }
}

fn worse(first: EnvironmentVerdict, second: EnvironmentVerdict) -> EnvironmentVerdict {
    // Only agreement of both is agreement: what does not apply under one of them is none.
    match (first.evaluation.status, second.evaluation.status) {
        (Status::Approved, Status::Skipped | Status::Pending | Status::Disapproved) => second,
        (_, Status::Approved) => first,
        (one, other) if worst([one, other].into_iter()) == one => first,
        _ => second,
    }
}

/// The verdict under two policies that both have to agree.
pub fn stricter(mut verdict: Verdict, also: &Verdict) -> Verdict {
    for mine in &mut verdict.environments {
        if let Some(other) = also.environments.iter().find(|e| e.environment == mine.environment) {
            *mine = worse(mine.clone(), other.clone());
        }
    }
    if worst([verdict.status, also.status].into_iter()) != verdict.status {
        verdict.status = also.status;
        verdict.summary.clone_from(&also.summary);
        verdict.gates.extend(also.gates.iter().filter(|g| g.status != Status::Approved).cloned());
    }
    verdict.missing_roles.extend(also.missing_roles.iter().cloned());
    verdict
}

/// What allowed a run: who filled which role, who counted besides, and who satisfied which gate (B-17).
pub fn basis(verdict: &EnvironmentVerdict) -> String {
    let counted = Counted::of(verdict);
    let mut cell: Vec<String> = counted.roles.iter().map(|(role, login)| format!("{role}: {login}")).collect();
    let also = if cell.is_empty() { "" } else { "also " };
    cell.extend(counted.besides.iter().map(|login| format!("{also}{login}")));
    let cell = if cell.is_empty() { verdict.evaluation.reason.clone() } else { cell.join(", ") };
    let gates = counted.gates.iter().map(|(name, people)| format!("{name}: {}", logins(people)));
    std::iter::once(cell).chain(gates).collect::<Vec<_>>().join("; ")
}

/// Logins for a sentence.
pub(super) fn logins(people: &[Login]) -> String {
    people.iter().map(Login::as_str).collect::<Vec<_>>().join(", ")
}

/// How things stand for one environment when its turn has come.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// What the store says of it for this digest.
    pub record: Option<&'a EnvironmentRecord>,
    /// Whether it is frozen.
    pub lock: Option<&'a EnvironmentLock>,
    /// What starts it.
    pub promotion: Promotion,
    /// Whether a person has promoted this digest to it.
    pub promoted: bool,
    /// Whether a person asked to try again after a failure.
    pub retry: bool,
    /// Who took the run back before it began.
    pub cancelled: Option<&'a str>,
    /// Whether something was let go that the environment does not hold yet.
    pub released: bool,
    /// What nobody can say yes to, an emergency least of all.
    pub never: Option<&'a Refusal>,
    /// What an environment of another branch does not hold yet.
    pub earlier: Option<&'a Refusal>,
    /// Whether it may run at this time of the week.
    pub window: &'a WindowState,
    /// Whether approvals, promotion order and window are passed over.
    pub emergency: bool,
    /// The verdict as of now.
    pub verdict: &'a EnvironmentVerdict,
}

/// What happens next in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It holds the digest; the next environment's turn.
    Holds,
    /// It failed before and nobody asked to try again; the chain stops.
    Stopped,
    /// Its gate is closed, and why; the chain waits.
    Waits(Refusal),
    /// Its run starts.
    Runs,
}

/// Decides what happens next in an environment. Whatever is not known to be open is closed. People are asked before the
/// window is waited for, so that nothing is missing when it opens.
pub fn next(standing: Standing<'_>) -> Next {
    if holds(standing.record) && !standing.released {
        return Next::Holds;
    }
    let failed = standing.record.is_some_and(|r| matches!(r.outcome, Outcome::Failed | Outcome::NeedsHuman));
    if failed && !standing.retry {
        return Next::Stopped;
    }
    let environment = standing.environment;
    if let Some(by) = standing.cancelled {
        let message = format!("the run in `{environment}` was cancelled by `@{by}`");
        return Next::Waits(refusal("cancelled", message, format!("`/godwit retry {environment}` lets it start")));
    }
    if let Some(lock) = standing.lock {
        let message = format!("`{environment}` is locked by {} since {}: {}", lock.by, stamp(lock.at), lock.reason);
        return Next::Waits(refusal(
            "locked",
            message,
            format!("`/godwit unlock {environment}` opens it; the run then starts by itself"),
        ));
    }
    if let Some(never) = standing.never {
        return Next::Waits(never.clone());
    }
    if standing.emergency {
        // Whoever sets it stops an emergency too, and may do so until the moment it runs.
        return match hold(standing.verdict) {
            Some(gate) => Next::Waits(refusal(
                "hold",
                gate.reason.clone(),
                "an emergency does not pass over a `hold`; once the label is off, it runs by itself".to_owned(),
            )),
            None => Next::Runs,
        };
    }
    if let Some(earlier) = standing.earlier {
        return Next::Waits(earlier.clone());
    }
    if standing.promotion == Promotion::Manual && !standing.promoted {
        let message = format!("`{environment}` is promoted by a person");
        return Next::Waits(refusal("promotion", message, format!("write `/godwit promote {environment}`")));
    }
    match (standing.verdict.evaluation.status, standing.window) {
        (Status::Approved, WindowState::Open) => Next::Runs,
        (Status::Approved, WindowState::Closed { opens, local, services }) => {
            Next::Waits(outside_window(environment, services, (*opens, local)))
        }
        (Status::Approved, WindowState::Never { services }) => Next::Waits(refusal(
            "window",
            format!(
                "the maintenance windows of `{environment}` and of {} are never open at the same time",
                quoted(services)
            ),
            "move a window, in `environments.yml` or in the `environments.json` of a service, by a pull request of its own; \
             the run then starts by itself"
                .to_owned(),
        )),
        (Status::Skipped | Status::Pending | Status::Disapproved, _) => {
            let missing = &standing.verdict.evaluation.missing;
            let what_to_do = if missing.is_empty() {
                "settle what stands in the approvals table; the run starts by itself".to_owned()
            } else {
                format!("still missing: {}; the run starts by itself once they have approved", missing.join(", "))
            };
            Next::Waits(refusal("approval", standing.verdict.evaluation.reason.clone(), what_to_do))
        }
    }
}

/// Why a run waits for a time at which it may begin, and for when that is, in UTC and as the window says it. `services` are
/// those whose windows it waits for; else it is the environment's own.
fn outside_window(
    environment: &EnvironmentName,
    services: &[String],
    (opens, local): (DateTime<Utc>, &str),
) -> Refusal {
    let local = if local.ends_with(" UTC") { String::new() } else { format!(" ({local})") };
    let (what, next) = match services {
        [] => ("in its maintenance window only".to_owned(), "the next one"),
        [one] => {
            (format!("migrations of `{one}` in the maintenance window of its `environments.json` only"), "the next one")
        }
        several => (
            format!(
                "migrations of {} while the maintenance windows of each `environments.json` are open",
                quoted(several)
            ),
            "the next such time",
        ),
    };
    refusal(
        "window",
        format!("`{environment}` runs {what}; {next} opens {}{local}", stamp(opens)),
        "nothing: the run is queued and starts by itself then".to_owned(),
    )
}

/// The label by which somebody holds everything up, where it is set.
pub fn hold(verdict: &EnvironmentVerdict) -> Option<&Evaluation> {
    verdict.evaluation.children.iter().find(|child| child.name == "hold")
}

/// What no person can agree to when a run starts, whoever merged past it: findings at error level, and migrations that no
/// target takes. A part of what was merged is not run as if it were the whole.
pub fn never(contents: &Contents, environment: &EnvironmentName) -> Option<Refusal> {
    let blockers = blockers(contents);
    let named = |name: &str| blockers.iter().find(|b| b.name == name);
    if let Some(lint) = named("lint") {
        return Some(refusal(
            "lint",
            format!("nothing runs in `{environment}` that has {}", lint.reason),
            "correct it by a new pull request, or waive the rule where the policy allows it".to_owned(),
        ));
    }
    let orphans = named(TARGETS)?;
    Some(refusal(
        TARGETS,
        format!("nothing of this pull request runs in `{environment}`: {}", orphans.reason),
        format!(
            "take such a file out, or name its target, by a new pull request; `godwit apply {environment}` on the command \
             line then brings the rest"
        ),
    ))
}

/// How long to wait before a database that is down is tried again: soon after the merge, rarely when it lasts.
pub fn patience(merged_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
    let since = merged_at.map_or(TimeDelta::zero(), |at| now - at);
    (since / 4).clamp(TimeDelta::seconds(5), TimeDelta::minutes(15))
}

/// A time as people read it, UTC.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A refusal that passes when circumstances change.
pub fn refusal(reason: &str, message: String, what_to_do: String) -> Refusal {
    Refusal { reason: reason.to_owned(), message, what_to_do, needs_human: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommitSha, Digest, RepoName};
    use std::collections::BTreeMap;

    fn environment() -> EnvironmentName {
        EnvironmentName::new("production").unwrap()
    }

    fn verdict(status: Status) -> EnvironmentVerdict {
        EnvironmentVerdict {
            environment: environment(),
            automatic: true,
            required_approvals: 1,
            required_roles: Vec::new(),
            filled: BTreeMap::new(),
            sources: BTreeMap::new(),
            remind_at: None,
            expires_at: None,
            evaluation: Evaluation {
                name: "production".into(),
                status,
                reason: "two people must agree".into(),
                children: Vec::new(),
                approvers: Vec::new(),
                missing: vec!["dba".into()],
            },
        }
    }

    fn record(outcome: Outcome) -> EnvironmentRecord {
        EnvironmentRecord {
            repo: RepoName::new("o/r").unwrap(),
            environment: environment(),
            pr: None,
            commit: CommitSha::new("1".repeat(40)).unwrap(),
            digest: Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap(),
            outcome,
            run: None,
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn word(next: &Next) -> &str {
        match next {
            Next::Holds => "holds",
            Next::Stopped => "stopped",
            Next::Waits(refusal) => &refusal.reason,
            Next::Runs => "runs",
        }
    }

    #[test]
    fn b10_an_environment_runs_only_with_every_gate_open() {
        let (approved, pending) = (verdict(Status::Approved), verdict(Status::Pending));
        let mut held = verdict(Status::Disapproved);
        held.evaluation.children.push(no("hold", "the label `hold` was set".into()));
        let lock = EnvironmentLock {
            repo: None,
            environment: environment(),
            reason: "release".into(),
            by: "ann".into(),
            at: DateTime::UNIX_EPOCH,
        };
        let (applied, failed, unknown) =
            (record(Outcome::Applied), record(Outcome::Failed), record(Outcome::NeedsHuman));
        let name = environment();
        let open = Standing {
            environment: &name,
            record: None,
            lock: None,
            promotion: Promotion::Auto,
            promoted: false,
            retry: false,
            cancelled: None,
            released: false,
            never: None,
            earlier: None,
            window: &WindowState::Open,
            emergency: false,
            verdict: &approved,
        };
        let closed = WindowState::Closed {
            opens: DateTime::UNIX_EPOCH,
            local: "1970-01-01 01:00 Europe/Berlin".into(),
            services: Vec::new(),
        };
        let (never, earlier) = (
            refusal("lint", "1 error".into(), String::new()),
            refusal("promotion", "staging first".into(), String::new()),
        );
        for (standing, expected) in [
            (open, "runs"),
            (Standing { record: Some(&applied), ..open }, "holds"),
            (Standing { record: Some(&failed), ..open }, "stopped"),
            (Standing { record: Some(&failed), retry: true, ..open }, "runs"),
            (Standing { record: Some(&unknown), ..open }, "stopped"),
            (Standing { lock: Some(&lock), ..open }, "locked"),
            (Standing { lock: Some(&lock), record: Some(&failed), retry: true, ..open }, "locked"),
            (Standing { cancelled: Some("omar"), ..open }, "cancelled"),
            (Standing { cancelled: Some("omar"), emergency: true, lock: Some(&lock), ..open }, "cancelled"),
            (Standing { cancelled: Some("omar"), record: Some(&applied), ..open }, "holds"),
            (Standing { cancelled: Some("omar"), record: Some(&failed), ..open }, "stopped"),
            (Standing { promotion: Promotion::Manual, ..open }, "promotion"),
            (Standing { promotion: Promotion::Manual, promoted: true, ..open }, "runs"),
            (Standing { promotion: Promotion::Manual, promoted: true, verdict: &pending, ..open }, "approval"),
            (Standing { verdict: &pending, ..open }, "approval"),
            (Standing { verdict: &verdict(Status::Skipped), ..open }, "approval"),
            (Standing { verdict: &verdict(Status::Disapproved), ..open }, "approval"),
            (Standing { window: &closed, ..open }, "window"),
            (Standing { window: &closed, verdict: &pending, ..open }, "approval"),
            (Standing { earlier: Some(&earlier), ..open }, "promotion"),
            (Standing { never: Some(&never), ..open }, "lint"),
            (Standing { record: Some(&applied), released: true, ..open }, "runs"),
            // An emergency passes over people, order and window, and over nothing else.
            (Standing { emergency: true, verdict: &pending, window: &closed, earlier: Some(&earlier), ..open }, "runs"),
            (Standing { emergency: true, promotion: Promotion::Manual, ..open }, "runs"),
            (Standing { emergency: true, lock: Some(&lock), ..open }, "locked"),
            (Standing { emergency: true, never: Some(&never), ..open }, "lint"),
            (Standing { emergency: true, verdict: &held, ..open }, "hold"),
            (Standing { emergency: true, record: Some(&failed), ..open }, "stopped"),
            (Standing { emergency: true, record: Some(&applied), ..open }, "holds"),
        ] {
            assert_eq!(word(&next(standing)), expected, "{standing:?}");
        }
    }

    #[test]
    fn s1_24_a_run_that_waits_for_a_window_says_whose_it_is() {
        let told = |services: &[&str]| {
            let services: Vec<String> = services.iter().map(|s| (*s).to_owned()).collect();
            outside_window(&environment(), &services, (DateTime::UNIX_EPOCH, "1970-01-01 01:00 Europe/Berlin")).message
        };
        let when = "1970-01-01 00:00 UTC (1970-01-01 01:00 Europe/Berlin)";
        let name = environment();
        assert_eq!(told(&[]), format!("`{name}` runs in its maintenance window only; the next one opens {when}"));
        assert!(told(&["a"]).contains("migrations of `a` in the maintenance window of its `environments.json` only"));
        assert!(told(&["a", "b"]).contains("migrations of `a`, `b` while"), "{}", told(&["a", "b"]));
        let never = WindowState::Never { services: vec!["a".to_owned(), "b".to_owned()] };
        let approved = verdict(Status::Approved);
        let standing = Standing {
            environment: &name,
            record: None,
            lock: None,
            promotion: Promotion::Auto,
            promoted: false,
            retry: false,
            cancelled: None,
            released: false,
            never: None,
            earlier: None,
            window: &never,
            emergency: false,
            verdict: &approved,
        };
        let Next::Waits(waits) = next(standing) else { panic!("it runs") };
        assert!(waits.message.contains("`a`, `b` are never open at the same time"), "{}", waits.message);
        assert_eq!(next(Standing { emergency: true, ..standing }), Next::Runs);
    }

    #[test]
    fn b17_a_basis_names_everyone_who_counted() {
        let people = |names: &[&str]| names.iter().map(|n| Login::new(*n)).collect::<Vec<_>>();
        let gate = Evaluation {
            name: "code owners".into(),
            approvers: people(&["dora", "omar"]),
            ..verdict(Status::Approved).evaluation
        };
        let mut agreed = verdict(Status::Approved);
        assert_eq!(basis(&agreed), "two people must agree");
        agreed.evaluation.children.push(gate);
        assert_eq!(basis(&agreed), "two people must agree; code owners: dora, omar");
        agreed.evaluation.approvers = people(&["dana", "omar"]);
        assert_eq!(basis(&agreed), "dana, omar; code owners: dora, omar");
        agreed.filled.insert(crate::ids::RoleName::new("data_ops").unwrap(), Login::new("dana"));
        assert_eq!(basis(&agreed), "data_ops: dana, also omar; code owners: dora, omar");
        let counted = Counted::of(&agreed);
        assert_eq!(counted.everyone().into_iter().map(Login::as_str).collect::<Vec<_>>(), ["dana", "omar", "dora"]);
        let people: Vec<Login> = counted.approvers().into_iter().cloned().collect();
        assert_eq!(Counted::from_record(counted.roles.clone(), &people, counted.gates.clone()), counted);
    }

    #[test]
    fn b4_two_policies_agree_only_where_both_do() {
        use Status::{Approved, Disapproved, Pending, Skipped};
        for (one, other, expected) in [
            (Approved, Approved, Approved),
            (Approved, Skipped, Skipped),
            (Skipped, Approved, Skipped),
            (Approved, Pending, Pending),
            (Pending, Approved, Pending),
            (Pending, Disapproved, Disapproved),
            (Disapproved, Pending, Disapproved),
        ] {
            assert_eq!(worse(verdict(one), verdict(other)).evaluation.status, expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn b19_a_blocker_outweighs_every_approval() {
        let agreed = Verdict {
            status: Status::Approved,
            summary: "all agreed".into(),
            missing_roles: [].into(),
            environments: vec![verdict(Status::Approved)],
            gates: Vec::new(),
            ignored: Vec::new(),
            notes: Vec::new(),
        };
        assert_eq!(with_blockers(agreed.clone(), Vec::new()), agreed);
        let blocked = with_blockers(agreed, vec![no("lint", "1 error".into())]);
        assert_eq!((blocked.status, blocked.summary.as_str()), (Status::Disapproved, "1 error"));
    }
}
