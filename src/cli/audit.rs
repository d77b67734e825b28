//! `godwit audit`: the hash-chained log of decisions, overrides and runs.

use std::io::{BufReader, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::Utc;
use clap::Subcommand;
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global, print};
use crate::ids::{EnvironmentName, PrNumber, RepoName, RunId};
use crate::report;
use crate::store::{AuditEntry, AuditFilter, AuditKey, AuditVerdict, verify_export};

/// Arguments of `godwit audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit list
  godwit audit verify --head sha256:…
  godwit audit rotate-key --reason 'somebody left who knew it'
  godwit audit export > audit.jsonl")]
pub struct Args {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Show records, newest last
    List(ListArgs),
    /// Check that no record was altered, removed or moved
    Verify(VerifyArgs),
    /// Go on with a log whose end is missing, as after a restore; recorded with the reason
    Accept(AcceptArgs),
    /// Write the log with a new key from now on; the former one is still needed to check what was written with it
    RotateKey(RotateArgs),
    /// Write the log as JSON lines, which `verify --file` checks without the store
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit list
  godwit audit list --env production --last 20
  godwit audit list --for acme/shop --pr 17 --format json")]
struct ListArgs {
    /// Only of this repository
    #[arg(long = "for", value_name = "OWNER/NAME")]
    repository: Option<RepoName>,
    /// Only of this pull request
    #[arg(long, value_name = "NUMBER")]
    pr: Option<u64>,
    /// Only of this environment
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Only the newest so many; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    last: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit verify
  godwit audit verify --head sha256:…
  godwit audit verify --file audit.jsonl")]
struct VerifyArgs {
    /// A head printed earlier, for example in a comment: the log must still contain it
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
    /// An exported log instead of the store's; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A file with a key that the log was written with before; may be given several times
    #[arg(long, value_name = "FILE")]
    former_key: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit rotate-key --reason 'somebody left who knew it'")]
struct RotateArgs {
    /// Why; recorded
    #[arg(long, value_name = "REASON")]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit accept --reason 'the store was restored from last night'")]
struct AcceptArgs {
    /// Why the log is not what was written; recorded
    #[arg(long, value_name = "REASON")]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit audit export > audit.jsonl
  godwit audit export --out audit.jsonl && godwit audit verify --file audit.jsonl")]
struct ExportArgs {
    /// Where to (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        AuditCommand::List(args) => list(global, args),
        AuditCommand::Verify(args) => verify(global, args),
        AuditCommand::Accept(args) => accept(global, &args),
        AuditCommand::RotateKey(args) => rotate_key(global, &args),
        AuditCommand::Export(args) => export(global, args),
    }
}

fn list(global: &Global, args: ListArgs) -> anyhow::Result<Exit> {
    let filter = AuditFilter {
        repo: args.repository,
        pr: args.pr.map(PrNumber),
        environment: args.environment,
        run: args.run,
        after: 0,
        last: (args.last > 0).then_some(args.last),
        ..AuditFilter::default()
    };
    let records = global.block_on(async { Ok(global.open_store().await?.audit(&filter).await?) })?;
    match global.format {
        Format::Json => print::text(&format!("{}\n", json!({ "records": records })))?,
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            let text = report::audit::list(&records);
            print::prose(if text.is_empty() { "no record is in the log\n" } else { &text })?;
        }
    }
    Ok(Exit::Done)
}

fn verify(global: &Global, args: VerifyArgs) -> anyhow::Result<Exit> {
    let head = args.head.as_deref().map(str::trim);
    if let Some(head) = head
        && head.parse::<crate::ids::Digest>().is_err()
    {
        return Err(Failure::usage(format!("`{head}` is no head: it is `sha256:` and 64 hexadecimal digits")));
    }
    let mut former = Vec::new();
    for file in &args.former_key {
        let what = || format!("`{}`, named by `--former-key`, cannot be used", file.display());
        former.push(AuditKey::in_file(file).map_err(|e| Failure::with_causes(Exit::Usage, what(), &e))?);
    }
    let verdict = match &args.file {
        Some(file) => {
            let key = former.iter().fold(global.audit_key()?, AuditKey::with_former);
            let input: Box<dyn std::io::Read> = if file.as_os_str() == "-" {
                Box::new(std::io::stdin())
            } else {
                Box::new(std::fs::File::open(file).with_context(|| format!("cannot read `{}`", file.display()))?)
            };
            verify_export(&key, BufReader::new(input), head)
                .with_context(|| format!("cannot read `{}`", file.display()))?
        }
        None => global.block_on(async { Ok(global.open_store().await?.verify_audit_with(&former, head).await?) })?,
    };
    print_verdict(global, &verdict)?;
    Ok(if verdict.valid { Exit::Done } else { Exit::Failed })
}

/// Only for a log whose end is missing: what is left must be a whole chain, else there is nothing to go on from.
fn accept(global: &Global, args: &AcceptArgs) -> anyhow::Result<Exit> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("a reason is needed; it is recorded"));
    }
    let verdict = global.block_on(async {
        let store = global.open_store().await?;
        let before = store.verify_audit(None).await?;
        if before.valid || before.first_bad.is_some_and(|bad| u64::try_from(bad).is_ok_and(|bad| bad <= before.records))
        {
            return Ok(before);
        }
        let mut entry = AuditEntry::new(Utc::now(), super::settings::user(), "audit-accepted", "ok");
        entry.basis = Some(args.reason.trim().to_owned());
        store.accept_audit(entry).await?;
        Ok(store.verify_audit(None).await?)
    })?;
    print_verdict(global, &verdict)?;
    Ok(if verdict.valid { Exit::Done } else { Exit::Failed })
}

/// With the key that somebody put before the one in use, or with a new one in the file that Godwit made itself.
fn rotate_key(global: &Global, args: &RotateArgs) -> anyhow::Result<Exit> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("a reason is needed; it is recorded"));
    }
    let own = global.own_audit_key_file()?;
    let rotated = global.block_on(async {
        let mut store = global.open_store().await?;
        let verdict = store.verify_audit_in_use().await?;
        // A log that is not valid keeps its key: nothing would tell any more what was wrong.
        if !verdict.valid {
            print_verdict(global, &verdict)?;
            return Ok(None);
        }
        if verdict.records == 0 {
            return Err(Failure::usage("the log is empty: nothing was written with any key yet"));
        }
        if store.has_present_audit_key() {
            let Some(file) = &own else {
                return Err(Failure::usage(
                    "the log is written with the present key already: put a new line with a new key before it where \
                     `GODWIT_AUDIT_KEY` or `GODWIT_AUDIT_KEY_FILE` has it, for every process, and run this again",
                ));
            };
            AuditKey::renew(file)?;
            store.close().await;
            store = global.open_store().await?;
        }
        let mut entry = AuditEntry::new(Utc::now(), super::settings::user(), "", "ok");
        entry.basis = Some(args.reason.trim().to_owned());
        let head = store.rotate_audit_key(entry).await?;
        store.close().await;
        Ok(Some((head, own)))
    })?;
    let Some((head, file)) = rotated else { return Ok(Exit::Failed) };
    let keep = match &file {
        Some(file) => {
            format!("keep `{}`, which holds both keys; replicas on other machines need the same", file.display())
        }
        None => "keep the former key where it stands: what was written with it is checked with it".to_owned(),
    };
    match global.format {
        Format::Json => anstream::println!("{}", json!({ "record": head.seq, "head": head.hash, "next": keep })),
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            let (from, head) = (head.seq, &head.hash);
            print::prose(&format!(
                "the log is written with a new key from record {from} on; head {head}\nnext: {keep}\n"
            ))?;
        }
    }
    Ok(Exit::Done)
}

fn print_verdict(global: &Global, verdict: &AuditVerdict) -> anyhow::Result<()> {
    match global.format {
        Format::Json => anstream::println!("{}", serde_json::to_string(verdict)?),
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            print::prose(&report::audit::verdict(verdict))?;
        }
    }
    Ok(())
}

fn export(global: &Global, args: ExportArgs) -> anyhow::Result<Exit> {
    let mut out: Box<dyn std::io::Write> = match &args.out {
        Some(file) => {
            Box::new(std::fs::File::create(file).with_context(|| format!("cannot write `{}`", file.display()))?)
        }
        None => Box::new(std::io::stdout().lock()),
    };
    // By pages, so that a long log does not have to fit into memory.
    global.block_on(async {
        let store = global.open_store().await?;
        let mut after = 0;
        loop {
            let records = store.audit_page(after).await?;
            let Some(last) = records.last() else { break };
            after = last.body.seq;
            for record in &records {
                writeln!(out, "{}", serde_json::to_string(record)?)?;
            }
        }
        out.flush()?;
        Ok(())
    })?;
    Ok(Exit::Done)
}
