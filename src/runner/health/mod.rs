//! Looks at the systems behind a run before it, between its migrations and after it; a check that fails afterwards starts
//! the way back. What values mean is decided in `plan::health`.

mod back;
mod checks;
mod http;

use std::time::{Duration, Instant};

use super::connect::with_driver;
use super::locked::should_stop;
use super::target::Job;
use super::{ApplyOptions, Call, RunError, Target, Work, on_targets};
use crate::config::HealthChecks;
use crate::config::health::Vital;
use crate::config::urls::UrlList;
use crate::drivers::Driver as _;
use crate::plan::health::{self, Check, CheckStatus, Health, Measured, Reading};
use crate::plan::{Outcome, Refusal, RunReport};

/// How long to wait between two looks while something is critical.
const AGAIN: Duration = Duration::from_secs(1);

/// What is looked at around a run.
#[derive(Debug, Clone, Default)]
pub struct HealthWish {
    /// What the environment asks for.
    pub checks: HealthChecks,
    /// Which addresses may be asked.
    pub allowed: UrlList,
}

/// One look at everything that can be measured.
#[derive(Debug, Default)]
pub(super) struct Looked {
    measured: Vec<Measured>,
    /// Whether the monitoring could be asked; `None` where there is none.
    monitoring: Option<Check>,
}

/// How the databases of an environment fare at this moment. Changes nothing.
///
/// # Errors
/// When one of them cannot be reached.
pub async fn measure(targets: &[Target], wish: &HealthWish) -> Result<Vec<Measured>, RunError> {
    look(targets, wish).await.map(|l| l.measured)
}

async fn look(targets: &[Target], wish: &HealthWish) -> Result<Looked, RunError> {
    let read = futures_util::future::join_all(targets.iter().map(vitals));
    let (read, monitoring) = futures_util::future::join(read, ask_monitoring(targets, wish)).await;
    let mut looked = Looked::default();
    for (target, readings) in targets.iter().zip(read) {
        // What an environment never spoke of does not stop its runs: only connections that run out do.
        let counts = |r: &Reading| wish.checks.stated || r.vital == Vital::ConnectionPool;
        let readings = readings?.into_iter().filter(counts);
        looked.measured.extend(health::judge(readings, Some(&target.name), "the server", &wish.checks));
    }
    if let Some((measured, check)) = monitoring {
        looked.measured.extend(measured);
        looked.monitoring = Some(check);
    }
    Ok(looked)
}

async fn vitals(target: &Target) -> Result<Vec<Reading>, RunError> {
    Ok(with_driver!(target, driver => driver.vitals().await.map_err(unreachable)?))
}

/// What the monitoring says. That it does not answer stops no run, and is told.
async fn ask_monitoring(targets: &[Target], wish: &HealthWish) -> Option<(Vec<Measured>, Check)> {
    let monitoring = &wish.checks.monitoring;
    let url = monitoring.metrics_endpoint.as_deref().filter(|_| monitoring.enabled)?;
    let check = |status, message: String| Check::new("monitoring", None, status, message);
    let text = match http::metrics(url, &wish.allowed).await {
        Ok(text) => text,
        Err(why) => return Some((Vec::new(), check(CheckStatus::Skipped, why))),
    };
    let mut measured = Vec::new();
    for (target, reading) in health::prometheus(&text, &wish.checks) {
        let known = target.as_ref().map(|name| targets.iter().find(|t| t.name.as_str() == name));
        match known {
            // Of a database that this run does not touch.
            Some(None) => {}
            Some(Some(target)) => {
                measured.extend(health::judge([reading], Some(&target.name), "the monitoring", &wish.checks));
            }
            None => measured.extend(health::judge([reading], None, "the monitoring", &wish.checks)),
        }
    }
    let said = format!("values told by {url}: {}", measured.len());
    Some((measured, check(CheckStatus::Passed, said)))
}

/// Carries a call out with a look before and checks after it.
pub(super) async fn around(call: &Call<'_>, wish: &HealthWish) -> Result<RunReport, RunError> {
    let before = look(call.targets, wish).await?;
    let refusal = health::refusal_before(&before.measured);
    if refusal.is_some() || call.targets.len() > 1 {
        // Nothing may be touched while one of the targets would refuse; and with nothing to do nothing is refused.
        let options = ApplyOptions { dry_run: true, ..call.options.clone() };
        let mut planned = on_targets(&Call { options: &options, ..*call }).await?;
        let refused = planned.blocked_by.iter().any(|r| matches!(r.reason.as_str(), "impossible" | "version"));
        if let (Outcome::Planned, Some(refusal)) = (planned.outcome, refusal) {
            planned.blocked_by.push(refusal);
            planned.outcome = Outcome::Blocked;
        }
        if refused || planned.outcome == Outcome::Blocked && planned.blocked_by.iter().any(|r| r.reason == "health") {
            planned.health = Some(Health { before: before.measured, ..Health::default() });
            return Ok(planned);
        }
    }
    let mut report = on_targets(call).await?;
    let mut found = Health { before: before.measured, ..Health::default() };
    let asks = !(wish.checks.critical_tables.is_empty() && wish.checks.critical_paths.is_empty());
    if report.outcome == Outcome::Applied || (report.outcome == Outcome::Nothing && asks) {
        let (checks, after) =
            futures_util::future::join(checks::after(call, &report, wish), look(call.targets, wish)).await;
        found.checks = checks;
        // A database that cannot be reached has failed a check.
        let after = after.unwrap_or_default();
        found.after = after.measured;
        found.checks.extend(after.monitoring.or(before.monitoring));
    }
    let failed: Vec<String> = found.failed().map(Check::words).collect();
    report.health = Some(found);
    if !failed.is_empty() {
        let what_to_do = match call.work {
            Work::Apply | Work::Resume => back::take_back(call, &mut report, wish).await,
            Work::Rollback(_) | Work::Baseline => "look at what fails; nothing is taken back by itself".to_owned(),
        };
        report.blocked_by.push(Refusal {
            reason: "health-check".to_owned(),
            message: format!("a check after the run failed: {}", failed.join("; ")),
            what_to_do,
            needs_human: false,
        });
        report.outcome = Outcome::Failed;
    }
    Ok(report)
}

/// To be asked between two migrations: waits, within bounds, while something is critical. Gives why the run must stop.
pub(super) async fn between(job: &Job<'_>, last: &mut Instant) -> Option<Refusal> {
    let wish = job.options.health.as_ref()?;
    if last.elapsed() < Duration::from_secs(wish.checks.interval) {
        return None;
    }
    let began = Instant::now();
    let patience = Duration::from_secs(wish.checks.patience);
    loop {
        // A server that cannot be reached is told of by the step that comes.
        let looked = look(std::slice::from_ref(job.target), wish).await.unwrap_or_default();
        let Some(words) = health::critical(&looked.measured) else { break };
        if began.elapsed() >= patience {
            return Some(health::refusal_between(&words, wish.checks.patience));
        }
        if let Some(refusal) = should_stop(job) {
            return Some(refusal);
        }
        tracing::warn!(target = %job.target.name, run = %job.run, critical = words, "the run waits between two migrations");
        tokio::time::sleep(AGAIN.min(patience.saturating_sub(began.elapsed()))).await;
    }
    *last = Instant::now();
    None
}
