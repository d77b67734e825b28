//! What has to be open before a command may change an environment: findings, freeze, promotion order, approvals, and the
//! word of the person at the terminal. The same things the bot looks at, from what the command line can see.

use chrono::{DateTime, TimeDelta, Utc};

use super::bounds::Bounds;
use super::running;
use super::targets::{self, Gathered};
use super::{Global, table_facts};
use crate::approval::{Policy, alone};
use crate::config::Cell;
use crate::ids::{Digest, EnvironmentName, Login, Risk, RoleName};
use crate::migration::{Migration, digest_of};
use crate::plan::planner::belongs;
use crate::plan::{MigrationState, Outcome, Refusal, RunReport};
use crate::runner::{self, Actor, ApplyOptions, Keeper, Target};
use crate::store::{Agreed, AuditEntry, EnteredRow};

/// How the person at the terminal answers what would be asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// Do not ask.
    pub yes: bool,
    /// Why approvals and promotion order are passed over.
    pub emergency: Option<String>,
    /// How GitHub is asked who the person is.
    #[cfg(feature = "bot")]
    pub github: Option<super::person::GithubArgs>,
    /// What was passed over, to be told with the run; found out before it.
    pub passed_over: Vec<String>,
}

/// The reason of an emergency as it was given.
///
/// # Errors
/// Exit 2 for one that says nothing.
pub(super) fn emergency(reason: Option<String>) -> anyhow::Result<Option<String>> {
    match reason {
        Some(reason) if reason.trim().is_empty() => {
            Err(super::exit::Failure::usage("an emergency needs a reason; it is recorded"))
        }
        reason => Ok(reason.map(|r| r.trim().to_owned())),
    }
}

/// Looks at everything that may forbid the run, and asks. Gives a report if nothing may run; what was looked at is what
/// may run, nothing else.
///
/// # Errors
/// When a database or the store cannot be reached, or nobody can be asked.
pub(super) async fn before(
    global: &Global,
    gathered: &mut Gathered,
    keeper: &Keeper,
    actor: &Actor,
    options: &mut ApplyOptions,
    bounds: &Bounds,
    word: &mut Word,
) -> anyhow::Result<Option<RunReport>> {
    if options.dry_run || (word.yes && gathered.environment.is_none()) {
        return Ok(None);
    }
    let mut plan =
        runner::plan_with(keeper, &gathered.set, &gathered.targets, actor, options).await.map_err(running::failed)?;
    if plan.outcome != Outcome::Planned {
        return Ok(None);
    }
    let known = plan.notes.len();
    table_facts::reckon(gathered, &mut plan).await?;
    options.risks.clone_from(&gathered.risks);
    let migrations: Vec<&Migration> = planned(gathered, &plan).into_iter().map(|(m, _)| m).collect();
    options.timeout = bounds.timeout_or(gathered.timeout_of(&migrations));
    if !word.yes {
        plan.notes[known..].iter().for_each(|note| super::print::talk(note));
    }
    let mut closed = gathered.lint_refusals(&plan);
    if closed.is_empty()
        && let (Some(policy), Some(environment)) = (&gathered.policy, &gathered.environment)
    {
        closed = environment_gates(global, (gathered, policy, environment), keeper, actor, &plan, word).await?;
    }
    if closed.is_empty() && !word.yes && !agreed(gathered, &plan)? {
        closed.push(refusal("declined", "nobody agreed".to_owned(), String::new()));
    }
    if !closed.is_empty() {
        plan.blocked_by = closed;
        plan.outcome = Outcome::Blocked;
        return Ok(Some(plan));
    }
    options.approved = Some(plan.digest);
    Ok(None)
}

fn refusal(reason: &str, message: String, what_to_do: String) -> Refusal {
    Refusal { reason: reason.to_owned(), message, what_to_do, needs_human: false }
}

/// Freeze, promotion order, approvals. An emergency passes over the last two, and is written down first.
async fn environment_gates(
    global: &Global,
    (gathered, policy, environment): (&Gathered, &Policy, &EnvironmentName),
    keeper: &Keeper,
    actor: &Actor,
    plan: &RunReport,
    word: &mut Word,
) -> anyhow::Result<Vec<Refusal>> {
    let store = keeper.open().await.map_err(running::failed)?;
    if let Some(lock) = store.environment_lock(actor.repo.as_ref(), environment).await? {
        return Ok(vec![runner::freeze(environment, &lock)]);
    }
    let planned = planned(gathered, plan);
    let migrations: Vec<&Migration> = planned.iter().map(|(m, _)| *m).collect();
    let policy = &policy.tightened(gathered.set.settings_of(&migrations));
    let risk = planned.iter().map(|(_, risk)| *risk).max().unwrap_or(Risk::Low);
    let (mut closed, mut passed) = (Vec::new(), Vec::new());
    let cell = policy.matrix.cell(environment, risk);
    let agreed = store.agreed_in(environment).await?;
    let entered = store.entered_in(environment).await?;
    // A matrix that nobody wrote speaks of pull requests only.
    if policy.states_matrix()
        && let Some(missing) = approvals(policy, environment, risk, &planned, (&agreed, &entered), Utc::now())
    {
        match (&word.emergency, cell) {
            (Some(_), Some(cell)) if cell.emergency_override => passed.push(missing),
            (Some(_), _) => closed.push(Refusal {
                what_to_do: format!(
                    "`emergency_override` of `{environment}` at risk {risk} does not let an emergency pass; ask for the \
                     approvals"
                ),
                ..missing
            }),
            (None, _) => closed.push(missing),
        }
    }
    let order = promotion(gathered, policy, environment, keeper, &migrations).await?;
    let of_it = if word.emergency.is_some() { &mut passed } else { &mut closed };
    of_it.extend(order);
    if let (Some(reason), true) = (&word.emergency, closed.is_empty()) {
        let by = if passed.is_empty() { None } else { lead(global, policy, word).await? };
        let mut entry = AuditEntry::new(Utc::now(), by.as_deref().unwrap_or(&actor.by), "emergency", "asked");
        entry.environment = Some(environment.clone());
        entry.digest = Some(plan.digest.clone());
        entry.policy_hash = Some(policy.hash.clone());
        entry.basis = Some(reason.clone());
        for (migration, risk) in &planned {
            entry.details.insert(migration.reference(), risk.to_string());
        }
        let told = passed_over(&passed, cell, entry.at);
        if !told.is_empty() {
            entry.details.insert("skipped".to_owned(), told.join("; "));
        }
        store.append_audit(entry).await?;
        word.passed_over = told;
    }
    Ok(closed)
}

/// Who says that it is an emergency, where the policy names who may (SPEC 5).
#[cfg(feature = "bot")]
async fn lead(global: &Global, policy: &Policy, word: &Word) -> anyhow::Result<Option<String>> {
    match &word.github {
        Some(github) => super::person::lead(global, policy, github, "pass over this in an emergency").await,
        None => Ok(None),
    }
}

#[cfg(not(feature = "bot"))]
async fn lead(_: &Global, _: &Policy, _: &Word) -> anyhow::Result<Option<String>> {
    Ok(None)
}

/// What an emergency passes over, a line each, and until when somebody looks at it again.
fn passed_over(passed: &[Refusal], cell: Option<&Cell>, now: DateTime<Utc>) -> Vec<String> {
    let mut told: Vec<String> =
        passed.iter().map(|refusal| format!("passed over in an emergency: {}", refusal.message)).collect();
    let hours = cell.and_then(|cell| TimeDelta::try_hours(i64::from(cell.timeout_hours)));
    if let Some(due) = hours.filter(|_| !told.is_empty()).and_then(|hours| now.checked_add_signed(hours)) {
        told.push(format!("a review of this emergency is due by {}", due.format("%Y-%m-%d %H:%M UTC")));
    }
    told
}

/// The migrations of a plan with their risks. A step names its migration by id and target; where two folders have one
/// of that name for the same target both are looked at.
pub(super) fn planned<'a>(gathered: &'a Gathered, plan: &RunReport) -> Vec<(&'a Migration, Risk)> {
    let is_step = |m: &Migration| plan.steps.iter().any(|s| s.migration == m.id && belongs(m, &s.target, s.engine));
    let risk = |m: &Migration| gathered.risks.get(&m.reference()).copied().unwrap_or(plan.risk);
    gathered.set.migrations.iter().filter(|m| is_step(m)).map(|m| (m, risk(m))).collect()
}

/// Why the approvals of the environment's cell are not shown to be there, by the matrix that holds, whether somebody wrote it
/// or it is the built-in one; `None` when they are. What people said on GitHub the server has judged and left in the store,
/// for exactly these bytes, this policy and at least this risk.
pub(super) fn approvals(
    policy: &Policy,
    environment: &EnvironmentName,
    risk: Risk,
    planned: &[(&Migration, Risk)],
    (agreed, entered): (&[Agreed], &[EnteredRow]),
    now: DateTime<Utc>,
) -> Option<Refusal> {
    let Some(cell) = policy.matrix.cell(environment, risk) else {
        return Some(refusal(
            "approval",
            format!("the approval matrix has no cell for `{environment}` at risk {risk}"),
            "add one to `approval_matrix.yml`".to_owned(),
        ));
    };
    let people = (cell.required_approvals as usize).max(cell.required_roles.len());
    // Where the author's own word is enough, whoever types the command has given it.
    let own_word = policy.auto_approves(environment) || environment.as_str() == "development";
    if people == 0 || (people == 1 && own_word) {
        return None;
    }
    let counts = |a: &Agreed, risk: Risk| {
        a.policy_hash == policy.hash && a.risk >= risk && a.expires_at.is_none_or(|until| until > now)
    };
    let open: Vec<(&Migration, bool)> = planned
        .iter()
        .filter_map(|(m, risk)| {
            let digest = digest_of(std::iter::once(*m));
            let mut about = agreed.iter().filter(|a| a.digest == digest).peekable();
            let known = about.peek().is_some() || entered.iter().any(|r| r.approval.binding.digest == digest);
            let open = !about.any(|a| counts(a, *risk))
                && !alone::satisfies(policy, cell, &words(policy, cell, entered, &digest, *risk, now));
            open.then_some((*m, known))
        })
        .collect();
    if open.is_empty() {
        return None;
    }
    let names: Vec<String> = open.iter().map(|(m, _)| format!("`{}`", m.reference())).collect();
    let roles: Vec<String> = cell.required_roles.iter().map(|r| format!("`{r}`")).collect();
    let of = if roles.is_empty() { String::new() } else { format!(", of {}", roles.join(", ")) };
    let stale = if open.iter().any(|(_, known)| *known) {
        "; what the store holds was given under another policy, at a lower risk, or is too old"
    } else {
        ""
    };
    let emergency =
        if cell.emergency_override { "; in an emergency `--emergency REASON`, which is recorded" } else { "" };
    Some(refusal(
        "approval",
        format!(
            "`{environment}` asks for {people} approval{}{of} at risk {risk}, and this store holds none for {}{stale}",
            if people == 1 { "" } else { "s" },
            names.join(", ")
        ),
        format!(
            "get them on the pull request, and use the store of the server that judges it (`--store`), or with \
             `godwit approve`{emergency}"
        ),
    ))
}

/// Who approved a migration in which role on the command line or by the API, for exactly these bytes, under this policy, at
/// this risk at least, and not too long ago.
fn words(
    policy: &Policy,
    cell: &Cell,
    entered: &[EnteredRow],
    digest: &Digest,
    risk: Risk,
    now: DateTime<Utc>,
) -> Vec<(Login, RoleName)> {
    let hours = TimeDelta::try_hours(i64::from(cell.timeout_hours)).unwrap_or(TimeDelta::MAX);
    entered
        .iter()
        .map(|row| &row.approval)
        .filter(|a| {
            a.binding.digest == *digest
                && a.binding.policy_hash == policy.hash
                && a.binding.risk >= risk
                && now.signed_duration_since(a.at) <= hours
        })
        .map(|a| (a.approver.clone(), a.role.clone()))
        .collect()
}

/// What the environment before does not hold yet (B-10, R-17): the store's ledger says so, or that environment's own
/// databases where they can be asked.
pub(super) async fn promotion(
    gathered: &Gathered,
    policy: &Policy,
    environment: &EnvironmentName,
    keeper: &Keeper,
    planned: &[&Migration],
) -> anyhow::Result<Vec<Refusal>> {
    let store = keeper.open().await.map_err(running::failed)?;
    let mut closed = Vec::new();
    // What is for one environment alone was never to run in an earlier one [S1-09].
    let takes = |m: &Migration, e: &crate::config::Environment| {
        m.only_in.as_ref().is_none_or(|only| *only == e.name) && e.targets.iter().any(|t| belongs(m, &t.name, t.engine))
    };
    let mut waiting: Vec<(&crate::config::Environment, Vec<&Migration>)> = Vec::new();
    for migration in planned {
        let Some(earlier) = policy.before(environment, &|e| takes(migration, e)) else { continue };
        match waiting.iter_mut().find(|(e, _)| e.name == earlier.name) {
            Some((_, list)) => list.push(migration),
            None => waiting.push((earlier, vec![migration])),
        }
    }
    for (earlier, migrations) in waiting {
        let ledger = store.environment_ledger(None, &earlier.name).await?;
        let mut missing: Vec<&Migration> = Vec::new();
        for migration in migrations {
            let on = earlier.targets.iter().filter(|t| belongs(migration, &t.name, t.engine));
            if !on.clone().all(|t| ledger.iter().any(|e| e.target == t.name && e.holds(migration))) {
                missing.push(migration);
            }
        }
        if missing.is_empty() {
            continue;
        }
        let unseen = match ask(gathered, earlier, &missing).await {
            Ok(held) => {
                missing.retain(|m| !held.contains(&m.reference()));
                None
            }
            Err(why) => Some(why),
        };
        if missing.is_empty() {
            continue;
        }
        let names: Vec<String> = missing.iter().map(|m| format!("`{}`", m.reference())).collect();
        let before = &earlier.name;
        let asked = unseen.map_or(String::new(), |why| format!(", and its databases could not be asked: {why}"));
        closed.push(refusal(
            "promotion",
            format!("{} must be in `{before}` first, with the same content{asked}", names.join(", ")),
            format!(
                "`godwit apply {before}`; if another store knows of it, name that one with `--store`; in an emergency \
                 `--emergency REASON`, which is recorded"
            ),
        ));
    }
    Ok(closed)
}

/// Which of `migrations` the databases of `environment` hold as they are in the files; why they cannot be asked else.
async fn ask(
    gathered: &Gathered,
    environment: &crate::config::Environment,
    migrations: &[&Migration],
) -> Result<Vec<String>, String> {
    let mut places: Vec<Target> = Vec::new();
    for target in &environment.targets {
        if migrations.iter().any(|m| belongs(m, &target.name, target.engine)) {
            places.push(targets::place_of(environment, target).map_err(|e| e.to_string())?);
        }
    }
    let found = runner::status(None, &gathered.set, &places, &Default::default())
        .await
        .map_err(|e| crate::redact::text(&e.to_string()))?;
    let held = |m: &Migration| {
        let mut on = found.iter().filter(|t| belongs(m, &t.target, t.engine)).peekable();
        on.peek().is_some()
            && on.all(|t| {
                t.migrations
                    .iter()
                    .any(|s| s.unit == m.unit && s.id == m.id && s.state == MigrationState::Applied && s.note.is_none())
            })
    };
    Ok(migrations.iter().filter(|m| held(m)).map(|m| m.reference()).collect())
}

/// How many migrations, in words: `1 migration`, `2 migrations`.
pub(super) fn counted(migrations: usize) -> String {
    format!("{migrations} migration{}", if migrations == 1 { "" } else { "s" })
}

/// The environment whose name is typed before anything changes in it.
pub(super) fn guarded(gathered: &Gathered) -> Option<&EnvironmentName> {
    let last = gathered.environment.as_ref().filter(|e| gathered.is_last || e.as_str() == "production");
    last.filter(|e| !is_playground(e))
}

/// Whether an environment is there to try things out, as its name says: it may be the only one that a file knows.
fn is_playground(environment: &EnvironmentName) -> bool {
    matches!(environment.as_str(), "development" | "dev" | "testing" | "test")
}

fn agreed(gathered: &Gathered, plan: &RunReport) -> anyhow::Result<bool> {
    if gathered.environment.as_ref().is_some_and(is_playground) {
        return Ok(true);
    }
    let count = counted(plan.steps.len());
    if let Some(environment) = guarded(gathered) {
        return running::confirm(&format!("{count} will run in {environment}"), environment.as_str());
    }
    if plan.risk >= Risk::High {
        let question = format!("{count} will run, with a HIGH risk (`godwit plan` tells why)");
        return running::confirm(&question, "yes");
    }
    Ok(true)
}
