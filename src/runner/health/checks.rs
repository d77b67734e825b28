//! What must work after a run (SPEC 13.2).

use super::super::connect::with_driver;
use super::super::{Call, RunError, Target};
use super::{HealthWish, http};
use crate::config::health::CriticalPath;
use crate::drivers::{Driver, DriverError};
use crate::ids::{Engine, TargetName};
use crate::migration::native::Book;
use crate::plan::health::{Check, CheckStatus};
use crate::plan::planner::{self, Native};
use crate::plan::{MigrationState, RunReport, StepAction};

/// Every check, database by database.
pub(super) async fn after(call: &Call<'_>, report: &RunReport, wish: &HealthWish) -> Vec<Check> {
    let on_targets = call.targets.iter().map(|target| async move {
        match of_target(target, call, report, wish).await {
            Ok(checks) => checks,
            Err(error) => vec![failed("connectivity", target, error.to_string())],
        }
    });
    let mut checks: Vec<Check> = futures_util::future::join_all(on_targets).await.into_iter().flatten().collect();
    for path in &wish.checks.critical_paths {
        if let CriticalPath::Http { url, expect } = path {
            checks.push(address(url, *expect, wish).await);
        }
    }
    let named =
        wish.checks.critical_tables.iter().map(|t| ("critical-table", t.target.as_ref(), t.name.as_str())).chain(
            wish.checks.critical_paths.iter().filter_map(|p| match p {
                CriticalPath::Sql { target, sql, .. } => Some(("query", target.as_ref(), sql.as_str())),
                CriticalPath::Http { .. } => None,
            }),
        );
    for (name, target, what) in named {
        let here = |t: &Target| is_for(target, t, call.targets);
        if !call.targets.iter().any(here) {
            let why = format!("`{what}`: its database has no part in this run");
            checks.push(Check::new(name, target, CheckStatus::Skipped, why));
        }
    }
    checks.push(prisma(call));
    checks
}

/// Whether what names `wanted`, or no target at all, is looked for on `target`.
fn is_for(wanted: Option<&TargetName>, target: &Target, all: &[Target]) -> bool {
    let sql = |t: &Target| matches!(t.engine, Engine::Postgresql | Engine::Sqlite);
    match wanted {
        Some(name) => &target.name == name,
        None if all.iter().any(sql) => sql(target),
        None => target.engine != Engine::Redis,
    }
}

fn passed(name: &str, target: &Target, message: impl Into<String>) -> Check {
    Check::new(name, Some(&target.name), CheckStatus::Passed, message)
}

fn failed(name: &str, target: &Target, message: impl Into<String>) -> Check {
    Check::new(name, Some(&target.name), CheckStatus::Failed, crate::redact::text(&message.into()))
}

async fn of_target(
    target: &Target,
    call: &Call<'_>,
    report: &RunReport,
    wish: &HealthWish,
) -> Result<Vec<Check>, RunError> {
    Ok(with_driver!(target, driver => {
        let mut checks = vec![passed("connectivity", target, "it answers")];
        let book = Book::of(call.set, &target.name, target.engine);
        let found = async {
            let found = driver.native(&book).await?;
            Ok::<_, DriverError>((driver.history().await?, found))
        };
        checks.push(match found.await {
            Ok((history, found)) => {
                let native = Native::of(book, found, call.set, &target.name, target.engine);
                let (released, environment) = (&call.options.released, target.environment.as_ref());
                let (name, engine) = (&target.name, target.engine);
                let all = planner::statuses(call.set, name, engine, &history, &native, released, environment);
                status(target, report, &all)
            }
            Err(error) => failed("migration-status", target, error.to_string()),
        });
        checks.extend(critical(&mut driver, target, call, wish).await);
        checks
    }))
}

/// The history says what the run says, and nothing is half done.
fn status(target: &Target, report: &RunReport, statuses: &[crate::plan::MigrationStatus]) -> Check {
    let name = "migration-status";
    let open = statuses
        .iter()
        .find(|s| matches!(s.state, MigrationState::Running | MigrationState::Failed | MigrationState::NeedsHuman));
    if let Some(open) = open {
        return failed(name, target, format!("`{}` is {}", open.id, open.state.as_str()));
    }
    let differs = report.steps.iter().filter(|s| s.target == target.name).find(|step| {
        let wanted = match step.action {
            StepAction::Apply | StepAction::Baseline => MigrationState::Applied,
            StepAction::Rollback | StepAction::Undo => MigrationState::RolledBack,
        };
        !statuses.iter().any(|s| s.id == step.migration && s.state == wanted)
    });
    match differs {
        Some(step) => {
            failed(name, target, format!("the history does not say what the run did to `{}`", step.migration))
        }
        None => {
            let applied = statuses.iter().filter(|s| s.state == MigrationState::Applied).count();
            passed(name, target, format!("{applied} applied, as planned"))
        }
    }
}

async fn critical<D: Driver>(driver: &mut D, target: &Target, call: &Call<'_>, wish: &HealthWish) -> Vec<Check> {
    let mut checks = Vec::new();
    for table in wish.checks.critical_tables.iter().filter(|t| is_for(t.target.as_ref(), target, call.targets)) {
        checks.push(match driver.readable(&table.name).await {
            Ok(()) => passed("critical-table", target, format!("`{}` can be read", table.name)),
            Err(error) => failed("critical-table", target, format!("`{}`: {}", table.name, said(&error))),
        });
    }
    for path in &wish.checks.critical_paths {
        let CriticalPath::Sql { target: wanted, sql, expect } = path else { continue };
        let takes_queries = matches!(target.engine, Engine::Postgresql | Engine::Sqlite);
        if !takes_queries || !is_for(wanted.as_ref(), target, call.targets) {
            continue;
        }
        checks.push(match (driver.answer(sql).await, expect) {
            (Err(error), _) => failed("query", target, format!("`{sql}`: {}", said(&error))),
            (Ok(found), Some(expect)) if found.as_ref() != Some(expect) => {
                let found =
                    found.map_or("no row".to_owned(), |f| format!("`{}`", f.chars().take(100).collect::<String>()));
                failed("query", target, format!("`{sql}` gives {found} and not `{expect}`"))
            }
            (Ok(_), _) => passed("query", target, format!("`{sql}`")),
        });
    }
    checks
}

fn said(error: &DriverError) -> String {
    error.to_string()
}

async fn address(url: &str, expect: u16, wish: &HealthWish) -> Check {
    let check = |status, message| Check::new("http", None, status, message);
    if !wish.allowed.allows(url) {
        let why = format!("the server's list does not allow {url}: name it in `GODWIT_ALLOWED_URLS`");
        return check(CheckStatus::Skipped, why);
    }
    match http::get(url, &wish.allowed).await {
        Ok((status, _)) if status == expect => check(CheckStatus::Passed, format!("{url} answers {status}")),
        Ok((status, _)) => check(CheckStatus::Failed, format!("{url} answers {status} and not {expect}")),
        Err(why) => check(CheckStatus::Failed, why),
    }
}

/// Generating a client runs a program of the repository, which neither a server nor a run against a database may do.
fn prisma(call: &Call<'_>) -> Check {
    let is_prisma = call.set.migrations.iter().any(|m| m.up.path.ends_with("/migration.sql"));
    let why = if is_prisma {
        "Godwit runs no programs of a repository: `prisma generate` belongs to the build of the application"
    } else {
        "there are no Prisma migrations"
    };
    Check::new("prisma-client", None, CheckStatus::Skipped, why)
}
