//! `godwit report`: what happened, for those who keep watch and for auditors (SPEC 12.3, 16).

mod compliance;
mod parts;

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Duration, NaiveDate, Utc};
use clap::ValueEnum;

use self::parts::{Facts, Waiting};
use super::bounds::ShelfArgs;
use super::exit::Failure;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::approval::Policy;
use crate::backup::retention;
use crate::ids::EnvironmentName;
use crate::report::sheet::{self, Part, Sheet};
use crate::store::AuditFilter;

/// Arguments of `godwit report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit report daily
  godwit report --framework sox --from 2026-01-01 --to 2026-04-01 --format markdown
  godwit report monthly --as html --out july.html
  godwit report access --user dora --from 2026-06-01

What ran, who agreed and who looked comes from the store (`--store`): give the server's to tell of the server.
`--format csv` and `--format html` are read as `--as`.")]
pub struct Args {
    /// Which report
    #[arg(value_name = "REPORT", required_unless_present = "framework")]
    kind: Option<Kind>,
    /// The compliance report of this framework
    #[arg(long, value_name = "FRAMEWORK", conflicts_with = "kind")]
    framework: Option<Framework>,
    /// From this day on (default: as long before the end as the report's name says)
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Until this day, which is not part of it (default: now)
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// Only of this environment
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// `access`: only of this person
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The form, where `--format` has none for it
    #[arg(long = "as", value_name = "FORM")]
    form: Option<Form>,
    /// Write it into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What ran, how long it took, what was out of order, which backups were verified
    Daily,
    /// What waits, how long runs take, which settings are due, what may be cleaned up
    Weekly,
    /// Compliance, documentation, the audit log, capacity
    Monthly,
    /// Pages that nobody reviewed for ninety days
    Quarterly,
    /// Totals of tables, columns, indexes, enums and foreign keys
    Schema,
    /// Who did what
    Access,
    /// Each step of each run
    Execution,
}

/// A set of rules that others want kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Framework {
    /// ISO 27001: access and audit
    Iso27001,
    /// ISO 22301: backups, drills, failover
    Iso22301,
    /// PCI DSS: payment data
    PciDss,
    /// GDPR: personal data in Europe
    Gdpr,
    /// POPIA: personal data in South Africa
    Popia,
    /// SOX: separation of duties
    Sox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// Markdown
    Markdown,
    /// One line per cell
    Csv,
    /// A page
    Html,
}

impl Kind {
    fn days(self) -> i64 {
        match self {
            Kind::Daily => 1,
            Kind::Weekly => 7,
            Kind::Monthly | Kind::Access | Kind::Execution => 30,
            Kind::Quarterly => 90,
            Kind::Schema => 0,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Daily => "Daily report",
            Kind::Weekly => "Weekly report",
            Kind::Monthly => "Monthly report",
            Kind::Quarterly => "Quarterly report",
            Kind::Schema => "Schema report",
            Kind::Access => "Access log",
            Kind::Execution => "Execution log",
        }
    }
}

fn begin(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Runs the command.
///
/// # Errors
/// Usage errors; a store that fails.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let now = Utc::now();
    let to = args.to.map_or(now, begin);
    let days = args.kind.map_or(90, Kind::days);
    let from = args.from.map_or(to - Duration::days(days), begin);
    if from > to {
        return Err(Failure::usage("`--from` is after `--to`"));
    }
    if args.user.is_some() && args.kind != Some(Kind::Access) {
        return Err(Failure::usage("`--user` belongs to `godwit report access`"));
    }
    let environment = args.environment.as_ref().map(|e| global.environment(e)).transpose()?;
    let facts = facts(global, &args, environment.as_ref(), from, to, now)?;
    let (title, parts) = match (args.framework, args.kind) {
        (Some(framework), _) => (framework.title(), compliance::parts(framework, &facts)),
        (None, Some(kind)) => (kind.title(), of_kind(global, kind, &facts, args.user.as_deref())?),
        (None, None) => return Err(Failure::usage("say which report")),
    };
    let of = environment.as_ref().map_or(String::new(), |e| format!(": {e}"));
    let sheet = Sheet { title: format!("{title}{of}"), from, to, parts };
    let form = match (args.form, global.format) {
        (Some(form), _) => form,
        (None, Format::Json) => Form::Json,
        (None, Format::Markdown) => Form::Markdown,
        (None, Format::Text | Format::Sarif | Format::Github) => Form::Text,
    };
    let text = match form {
        Form::Text => sheet::text(&sheet, if args.out.is_some() { usize::MAX } else { print::width() }),
        Form::Json => serde_json::to_string_pretty(&sheet::json(&sheet))? + "\n",
        Form::Markdown => sheet::markdown(&sheet),
        Form::Csv => sheet::csv(&sheet),
        Form::Html => sheet::html(&sheet),
    };
    match &args.out {
        None => print::text(&text)?,
        Some(file) => {
            let text = crate::redact::text(&text);
            std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
            if !global.quiet {
                anstream::eprintln!("written {}", file.display());
            }
        }
    }
    Ok(Exit::Done)
}

/// Everything that a report may tell, read once.
fn facts(
    global: &Global,
    args: &Args,
    environment: Option<&EnvironmentName>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Facts> {
    let policy = policy(global);
    let mut backups = retention::list(&args.shelf.folder()?).map_err(Failure::from)?.backups;
    backups.retain(|b| b.meta.created_at >= from && b.meta.created_at < to);
    let filter = AuditFilter { environment: environment.cloned(), ..AuditFilter::default() };
    global.block_on(async {
        let store = global.open_store().await?;
        let mut records = store.audit(&filter).await?;
        records.retain(|r| r.body.at >= from && r.body.at < to);
        let is_meant = |name: &Option<String>| environment.is_none_or(|e| name.as_deref() == Some(e.as_str()));
        let mut steps = store.steps_between(from, to).await?;
        steps.retain(|s| is_meant(&s.environment));
        let mut earlier = store.steps_between(from - (to - from), from).await?;
        earlier.retain(|s| is_meant(&s.environment));
        let mut waiting = Vec::new();
        for pull in store.waiting_pulls().await? {
            let asked = match &pull.binding {
                Some(binding) => store.asked_since(&pull.repo, pull.pr, binding).await?,
                None => None,
            };
            waiting.push(Waiting { pull, asked });
        }
        Ok(Facts {
            waiting,
            environment: environment.cloned(),
            steps,
            earlier,
            records,
            verdict: store.verify_audit(None).await?,
            backups,
            policy,
            old_notes: store.prune_events(now - Duration::days(90), crate::store::logs::Prune::Count).await?,
            now,
        })
    })
}

/// The policy of the folder, where it can be read.
fn policy(global: &Global) -> Option<Policy> {
    let nowhere = EnvironmentName::new("production").ok()?;
    Place::of(nowhere).policy(global).ok()
}

fn of_kind(global: &Global, kind: Kind, facts: &Facts, user: Option<&str>) -> anyhow::Result<Vec<Part>> {
    Ok(match kind {
        Kind::Daily => vec![parts::runs(facts), parts::slowest(facts), parts::alerts(facts), parts::backups(facts)],
        Kind::Weekly => {
            vec![parts::asked(facts), parts::trends(facts), parts::settings(facts), parts::clean_up(facts)]
        }
        Kind::Monthly => {
            let mut all: Vec<Part> =
                Framework::value_variants().iter().map(|framework| compliance::summary(*framework, facts)).collect();
            all.push(compliance::standards(&super::lint::plainly(global, &[], super::lint::Against::Nothing)?.0));
            all.extend([parts::pages(&global.repo, facts.now, 30)?, parts::audit(facts), parts::capacity(facts)]);
            all
        }
        Kind::Quarterly => vec![parts::pages(&global.repo, facts.now, 90)?],
        Kind::Schema => {
            let config = global.repo_config()?;
            vec![parts::schema(&super::gather::migrations(global, &config, &[], None)?)]
        }
        Kind::Access => vec![parts::access(facts, user)],
        Kind::Execution => vec![parts::execution(facts)],
    })
}
