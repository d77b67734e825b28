//! `godwit ci`: what the GitHub action runs. It needs no database, no server and no right to write.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::Failure;
use super::lint::{self, FailOn};
use super::{Exit, Format, Global};
use crate::lint::LintReport;
use crate::migration::MigrationSet;
use crate::report::lint_text::{Detail, summary};
use crate::report::{lint_github, lint_markdown, lint_text, sarif};

/// Arguments of `godwit ci`.
#[derive(Debug, clap::Args)]
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
    /// Where the SARIF log is written, for code scanning
    #[arg(long, value_name = "FILE")]
    pub sarif_file: Option<PathBuf>,
    /// Keep one comment on the pull request up to date, where `GITHUB_TOKEN` may write
    #[arg(long)]
    pub comment: bool,
    /// A scratch database to try the migrations on
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
        return Err(Failure::usage("this version cannot rehearse yet; leave `rehearse-url` out"));
    }
    let (report, set) = check(global, &args)?;
    let in_actions = std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true");
    let text = match global.format {
        Format::Text if in_actions => lint_github::render(&report),
        Format::Text => lint_text::render(&report, &set, Detail::Full),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Sarif => serde_json::to_string_pretty(&sarif::render(&report))? + "\n",
        Format::Github => lint_github::render(&report),
        Format::Markdown => lint_markdown::render(&report, lint_markdown::SUMMARY_LIMIT),
    };
    super::print::text(&text)?;
    if let Some(file) = &args.sarif_file {
        let log = serde_json::to_vec(&sarif::render(&report))?;
        std::fs::write(file, log).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    if let Some(file) = file_from("GITHUB_STEP_SUMMARY") {
        let taken = std::fs::metadata(&file).map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
        let room = lint_markdown::SUMMARY_LIMIT.saturating_sub(taken);
        append(&file, &markdown(&report, &set, room))?;
    }
    if let Some(file) = file_from("GITHUB_OUTPUT") {
        append(&file, &outputs(&report, args.sarif_file.as_deref()))?;
    }
    if args.comment {
        comment(&report);
    }
    if !global.quiet {
        anstream::eprintln!("{}", summary(&report));
    }
    Ok(args.fail_on.exit(&report))
}

/// Lints against the base that was given; else against the pull request's, and everything where that is not there.
fn check(global: &Global, args: &Args) -> anyhow::Result<(LintReport, MigrationSet)> {
    let given = args.base.as_deref().filter(|b| !b.is_empty());
    if given.is_some() {
        return lint::lint(global, &args.paths, given, None);
    }
    match std::env::var("GITHUB_BASE_REF") {
        Ok(branch) if !branch.is_empty() => lint::lint(global, &args.paths, Some(&branch), None).or_else(|error| {
            if error.downcast_ref::<Failure>().is_none() {
                return Err(error);
            }
            let all = lint::lint(global, &args.paths, None, None)?;
            anstream::eprintln!("warning: {error}\n  every migration is linted instead");
            Ok(all)
        }),
        _ => lint::lint(global, &args.paths, None, None),
    }
}

/// The job summary: the report, and the scripts as far as there is room.
fn markdown(report: &LintReport, set: &MigrationSet, room: usize) -> String {
    let mut text = lint_markdown::render(report, room);
    let scripts = lint_markdown::scripts(report, set, room.saturating_sub(text.len()));
    if text.len() + scripts.len() <= room {
        text.push_str(&scripts);
    }
    crate::redact::text(&text)
}

/// The lines for `$GITHUB_OUTPUT`. The delimiter is random, so that no value can end itself and set another output.
fn outputs(report: &LintReport, sarif_file: Option<&Path>) -> String {
    let delimiter = format!("godwit-{}", ulid::Ulid::generate());
    let found = report.violations.iter().filter(|v| v.waived.is_none()).count();
    let values = [
        ("risk", report.risk.to_string()),
        ("digest", report.digest.to_string()),
        ("violations", found.to_string()),
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
        let (one, two) = (outputs(&report, Some(&evil)), outputs(&report, Some(&evil)));
        let delimiter = |text: &str| text.lines().next().and_then(|l| l.split_once("<<")).map(|(_, d)| d.to_owned());
        assert_ne!(delimiter(&one), delimiter(&two));
        let own = delimiter(&one).expect("a delimiter");
        assert_eq!(one.lines().filter(|l| *l == own).count(), 4);
    }
}
