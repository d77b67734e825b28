//! `godwit ci`: what the GitHub action runs. It needs no database, no server and no right to write; a scratch server
//! that is given is used to try the migrations.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::{Failure, in_actions};
use super::lint::{self, FailOn, ProfileWord};
use super::{Exit, Format, Global};
use crate::config::Profile;
use crate::lint::LintReport;
use crate::migration::{Migration, MigrationSet};
use crate::plan::rehearsal::Rehearsed;
use crate::report::fold::fold;
use crate::report::lint_text::{Detail, summary};
use crate::report::{lint_github, lint_markdown, lint_text, rehearsal, sarif};
use crate::runner::rehearse::Plans;

/// Arguments of `godwit ci`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit ci
  godwit ci --sarif-file godwit.sarif --fail-on warning
  godwit ci --rehearse-url postgres://postgres:postgres@localhost:5432/postgres migrations/postgresql

On a pull request only what the branch adds or touches is looked at. With a scratch server each of those migrations is
also tried there: forward, back, forward again, after everything before it.")]
pub struct Args {
    /// Folders of migrations, or single `.sql` files (default: the folders that `godwit.yml` names)
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only what the branch adds or touches since it left REF (default on a pull request: its base branch)
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// From which level on the exit code is 1
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub fail_on: FailOn,
    /// How severe findings are where the policy names no level
    #[arg(long, value_name = "PROFILE", value_enum)]
    pub profile: Option<ProfileWord>,
    /// Where the SARIF log is written, for code scanning
    #[arg(long, value_name = "FILE")]
    pub sarif_file: Option<PathBuf>,
    /// Keep one comment on the pull request up to date, where `GITHUB_TOKEN` may write
    #[arg(long)]
    pub comment: bool,
    /// A server on which a scratch database may be made, to try the migrations on
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub rehearse_url: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Usage and configuration errors, and files that cannot be written. A comment that cannot be written is none.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if let Some(url) = &args.rehearse_url {
        crate::redact::register_url(url);
    }
    let (report, set) = check(global, &args)?;
    let tried = match args.rehearse_url.as_deref() {
        Some(url) => Some(try_out(url, &report, &set)?),
        None => None,
    };
    let tried = tried.as_deref();
    let text = match global.format {
        Format::Text if in_actions() => annotations(&report, tried, &set),
        Format::Text => {
            let width = super::print::width();
            let tried = tried.map(rehearsal::rehearsal).unwrap_or_default();
            lint_text::render(&report, &set, Detail::Full, width) + &fold(&tried, width)
        }
        Format::Json => serde_json::to_string_pretty(&Everything { report: &report, rehearsal: tried })? + "\n",
        Format::Sarif => serde_json::to_string_pretty(&sarif::render(&report))? + "\n",
        Format::Github => annotations(&report, tried, &set),
        Format::Markdown => {
            lint_markdown::render(&report, lint_markdown::SUMMARY_LIMIT)
                + &tried.map(rehearsal::markdown).unwrap_or_default()
        }
    };
    super::print::text(&text)?;
    if let Some(file) = &args.sarif_file {
        let log = serde_json::to_vec(&sarif::render(&report))?;
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| std::fs::write(file, log))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    if let Some(file) = file_from("GITHUB_STEP_SUMMARY") {
        let taken = std::fs::metadata(&file).map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
        let room = lint_markdown::SUMMARY_LIMIT.saturating_sub(taken);
        append(&file, &markdown(&report, tried, &set, room))?;
    }
    if let Some(file) = file_from("GITHUB_OUTPUT") {
        append(&file, &outputs(&report, tried, args.sarif_file.as_deref()))?;
    }
    if args.comment {
        comment(&report);
    }
    if !global.quiet {
        anstream::eprintln!("{}", summary(&report));
    }
    if args.fail_on != FailOn::Never && tried.is_some_and(|all| all.iter().any(|one| !one.is_sound())) {
        return Ok(Exit::Failed);
    }
    Ok(args.fail_on.exit(&report))
}

/// The report with what the scratch database showed; the fields of `lint --format json`, and `rehearsal`.
#[derive(serde::Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    report: &'a LintReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<&'a [Rehearsed]>,
}

/// Tries what the report is about on a scratch database. Nothing is tried when none of it is of the database's kind.
fn try_out(url: &str, report: &LintReport, set: &MigrationSet) -> anyhow::Result<Vec<Rehearsed>> {
    let engine = super::targets::engine_of(url)?;
    let named = |m: &&Migration| report.migrations.iter().any(|r| r.unit == m.unit && r.id == m.id.as_str());
    let only: Vec<String> =
        set.migrations.iter().filter(|m| m.engine == engine).filter(named).map(Migration::reference).collect();
    if only.is_empty() {
        return Ok(Vec::new());
    }
    super::rehearse::on_scratch(url, set, &only, None, Plans::Left)
}

fn annotations(report: &LintReport, tried: Option<&[Rehearsed]>, set: &MigrationSet) -> String {
    let file_of = |one: &Rehearsed| {
        set.migrations.iter().find(|m| m.unit == one.unit && m.id == one.migration).map(|m| m.up.path.clone())
    };
    let rehearsed = tried.map(|all| rehearsal::annotations(all, file_of)).unwrap_or_default();
    // Those of the real database first: GitHub shows ten.
    rehearsed + &lint_github::render(report)
}

/// Lints against the base that was given; else against the pull request's, and everything where that is not there.
fn check(global: &Global, args: &Args) -> anyhow::Result<(LintReport, MigrationSet)> {
    let given = args.base.as_deref().filter(|b| !b.is_empty());
    let profile = args.profile.map(Profile::from).unwrap_or_default();
    let look = |against: lint::Against<'_>| {
        lint::look(global, &args.paths, against, None, lint::Level::Given(profile))
            .map(|looked| (looked.report, looked.set))
    };
    if given.is_some() {
        return look(lint::Against::base(given));
    }
    match std::env::var("GITHUB_BASE_REF") {
        Ok(branch) if !branch.is_empty() => look(lint::Against::Base(&branch)).or_else(|error| {
            if error.downcast_ref::<Failure>().is_none() {
                return Err(error);
            }
            let all = look(lint::Against::Nothing)?;
            anstream::eprintln!("warning: {error}\n  every migration is linted instead");
            Ok(all)
        }),
        _ => look(lint::Against::Nothing),
    }
}

/// The job summary: the report, what the scratch database showed, and the scripts as far as there is room.
fn markdown(report: &LintReport, tried: Option<&[Rehearsed]>, set: &MigrationSet, room: usize) -> String {
    let tried = tried.map(rehearsal::markdown).filter(|t| t.len() <= room / 2).unwrap_or_default();
    let mut text = lint_markdown::render(report, room - tried.len());
    text.push_str(&tried);
    let scripts = lint_markdown::scripts(report, set, room.saturating_sub(text.len()));
    if text.len() + scripts.len() <= room {
        text.push_str(&scripts);
    }
    crate::redact::text(&text)
}

/// The lines for `$GITHUB_OUTPUT`. The delimiter is random, so that no value can end itself and set another output.
fn outputs(report: &LintReport, tried: Option<&[Rehearsed]>, sarif_file: Option<&Path>) -> String {
    let delimiter = format!("godwit-{}", ulid::Ulid::generate());
    let found = report.violations.iter().filter(|v| v.waived.is_none()).count();
    let rehearsed = match tried {
        None => "none",
        Some(all) if all.iter().all(Rehearsed::is_sound) => "sound",
        Some(_) => "wrong",
    };
    let values = [
        ("risk", report.risk.to_string()),
        ("digest", report.digest.to_string()),
        ("violations", found.to_string()),
        ("rehearsal", rehearsed.to_owned()),
        ("sarif-file", sarif_file.map(|f| f.display().to_string()).unwrap_or_default()),
    ];
    values.iter().map(|(name, value)| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")).collect()
}

fn file_from(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn append(file: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", file.display()))
}

#[cfg(feature = "bot")]
fn comment(report: &LintReport) {
    match super::ci_comment::write(report) {
        Ok(done) => anstream::eprintln!("{done}"),
        // On a fork's pull request the token may only read: the summary and the annotations have everything.
        Err(error) => anstream::eprintln!("no comment was written: {}", crate::redact::text(&error.to_string())),
    }
}

#[cfg(not(feature = "bot"))]
fn comment(_: &LintReport) {
    anstream::eprintln!("no comment was written: this build has no HTTP client in it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_set_another_output() {
        let (report, _) = crate::lint::sample(&[("0001_a.up.sql", "select 1;")]);
        let evil = PathBuf::from("x\nEOF\nrisk=LOW");
        let (one, two) = (outputs(&report, None, Some(&evil)), outputs(&report, None, Some(&evil)));
        let delimiter = |text: &str| text.lines().next().and_then(|l| l.split_once("<<")).map(|(_, d)| d.to_owned());
        assert_ne!(delimiter(&one), delimiter(&two));
        let own = delimiter(&one).expect("a delimiter");
        assert_eq!(one.lines().filter(|l| *l == own).count(), 5);
    }
}
