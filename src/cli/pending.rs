//! `godwit pending`: what is about to change, for planning a date and telling people [S3-04].

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;

use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, gather, lint, print};
use crate::approval::Policy;
use crate::ids::{EnvironmentName, Risk, RoleName};
use crate::judge::judge;
use crate::lint::{LintReport, Scope, check_judged};
use crate::migration::{Migration, MigrationSet};
use crate::plan::MigrationState;
use crate::report::pending::{Pending, Question, markdown, pending, text};
use crate::runner;

/// Arguments of `godwit pending`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit pending                 # what the repository holds
  godwit pending production      # what production does not have yet
  godwit pending --base origin/main --format markdown
  godwit pending production --out docs/PENDING_SCHEMA_CHANGES.md")]
pub struct Args {
    /// The environment, as with `--env`; without one the databases are not asked
    #[arg(value_name = "ENVIRONMENT", conflicts_with_all = ["url", "base"])]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Instead of asking databases: what the branch adds or touches since it left REF
    #[arg(long, value_name = "REF", conflicts_with_all = ["url", "environment"])]
    base: Option<String>,
    /// Write the report as Markdown into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Usage errors; a database that cannot be asked.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let place = args.place.or_word(args.word)?;
    let report = if place.is_said() {
        of_place(global, &place)?
    } else {
        let against = lint::Against::base(args.base.as_deref());
        let (found, set) = lint::plainly(global, &[], against)?;
        let named: BTreeSet<(&str, &str)> = found.migrations.iter().map(|m| (m.unit.as_str(), m.id.as_str())).collect();
        let policy = place.policy(global).ok();
        report_of(&set, &found, &|m| named.contains(&(m.unit.as_str(), m.id.as_str())), policy.as_ref(), None)
    };
    if let Some(file) = &args.out {
        std::fs::write(file, markdown(&report)).with_context(|| format!("cannot write `{}`", file.display()))?;
        if !global.quiet {
            anstream::eprintln!("written {}", file.display());
        }
        return Ok(Exit::Done);
    }
    match global.format {
        Format::Json => print::json(&serde_json::to_value(&report)?)?,
        Format::Markdown => print::text(&markdown(&report))?,
        Format::Text | Format::Sarif | Format::Github => print::prose(&text(&report))?,
    }
    Ok(Exit::Done)
}

fn of_place(global: &Global, place: &Place) -> anyhow::Result<Pending> {
    let mut gathered = place.gather(global)?;
    // What the linter and the tables say is found again by the names of the files.
    gathered.set = super::table_facts::named_alike(&gathered.set);
    let lint_config = match &gathered.policy {
        Some(policy) => policy.lint.clone(),
        None => gather::lint_config(&global.repo_config()?, &|path| lint::read_here(global, path))?,
    };
    let (scope, today) = (Scope::All, chrono::Utc::now().date_naive());
    let report = check_judged(&gathered.set, &judge(&gathered.set), &lint_config, &scope, today);
    // The risk follows the sizes of the tables that are there [S3-48].
    let looked = lint::Looked { report, set: gathered.set.clone(), config: lint_config, scope, today };
    let asked = place.url.clone().or(gathered.environment.as_ref().map(ToString::to_string)).unwrap_or_default();
    let found = super::table_facts::weighed(global, &asked, looked)?.report;
    let states = running::block_on(async {
        let released = gathered.released(global).await?;
        runner::status(None, &gathered.set, &gathered.targets, &released).await.map_err(running::failed)
    })?;
    let open = |state: MigrationState| {
        matches!(state, MigrationState::Pending | MigrationState::Failed | MigrationState::RolledBack)
    };
    let pending: BTreeSet<(String, String)> = states
        .iter()
        .flat_map(|t| &t.migrations)
        .filter(|m| open(m.state))
        .map(|m| (m.unit.clone(), m.id.to_string()))
        .collect();
    let wanted = |m: &Migration| {
        pending.contains(&(m.unit.clone(), m.id.to_string()))
            && gathered.service.as_ref().is_none_or(|s| m.service.as_ref() == Some(s))
    };
    Ok(report_of(&gathered.set, &found, &wanted, gathered.policy.as_deref(), gathered.environment.as_ref()))
}

fn report_of(
    set: &MigrationSet,
    lint: &LintReport,
    wanted: &dyn Fn(&Migration) -> bool,
    policy: Option<&Policy>,
    environment: Option<&EnvironmentName>,
) -> Pending {
    let last = policy.and_then(|p| p.repo.environments.last());
    let asked = environment.or(last);
    let roles = |risk: Risk| -> Vec<RoleName> {
        let cell = policy.zip(asked).and_then(|(policy, environment)| policy.matrix.cell(environment, risk));
        cell.map(|cell| cell.required_roles.clone()).unwrap_or_default()
    };
    pending(&Question { set, lint, pending: wanted, environment, roles: &roles })
}

/// Refuses to write over a file that people wrote.
///
/// # Errors
/// With the file's name.
pub(super) fn may_write(file: &std::path::Path, mark: &str) -> anyhow::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(text) if text.starts_with(mark) => Ok(()),
        Ok(_) => Err(Failure::usage(format!(
            "`{}` was not written by this command; move it away, or choose another folder with `--out`",
            file.display()
        ))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::usage(format!("cannot look at `{}`: {e}", file.display()))),
    }
}
