//! The command line: one file per subcommand, global options and exit codes here (INTERFACE 2).

mod apply;
#[cfg(feature = "bot")]
mod approve;
mod around;
mod audit;
mod audited;
#[cfg(feature = "bot")]
mod authors;
mod backup;
mod baseline;
mod begun;
mod benchmark;
mod bounds;
mod by_hand;
mod cancel;
#[cfg(feature = "bot")]
mod changes;
mod checklist;
mod ci;
#[cfg(feature = "bot")]
mod ci_comment;
mod completions;
#[cfg(feature = "bot")]
mod confirm;
#[cfg(feature = "demo")]
mod demo;
mod docs;
mod doctor;
#[cfg(feature = "bot")]
mod doctor_app;
mod drift;
mod exit;
#[cfg(feature = "bot")]
mod explain;
mod fix;
mod folder;
mod gates;
mod gather;
mod graph;
mod hooks;
mod init;
mod init_tracking;
mod instead;
mod later;
mod lint;
mod lock;
mod logs;
mod man;
mod names;
mod new;
mod patterns;
mod pending;
#[cfg(feature = "bot")]
mod person;
mod pipelines;
mod plan;
mod policy;
mod print;
mod progress;
mod rehearse;
mod release;
mod report;
mod reset;
mod reset_data;
mod resolve;
mod restore;
mod resume;
mod rollback;
mod running;
mod schema;
mod seal;
mod seed;
#[cfg(feature = "bot")]
mod serve;
mod settings;
mod standing;
mod status;
mod stopping;
#[cfg(feature = "bot")]
mod store;
mod table_facts;
mod targets;
mod tree;
#[cfg(feature = "postgres")]
mod unchanged;
mod version;

use clap::{Parser, Subcommand, ValueEnum};

pub use exit::Exit;
pub use later::Later;
pub use names::modern;
pub(crate) use standing::above;
pub(crate) use tree::read_tree;

/// Bytes of stack for each thread that works on pull requests: a run through a driver takes more than the 2 MiB that it would
/// get where nothing is optimised.
#[cfg(feature = "bot")]
const STACK: usize = 8 * 1024 * 1024;

/// The folder in which the command line keeps what it must remember; made when missing.
///
/// # Errors
/// When it cannot be found or made.
pub(crate) fn data_dir() -> anyhow::Result<std::path::PathBuf> {
    settings::data_dir_or(None)
}

/// Database migrations without downtime, reviewed and carried out from a pull request.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, about, long_about = None, max_term_width = 110)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that may stand before or after the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// The repository or folder to work in
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub repo: std::path::PathBuf,
    /// The configuration file, instead of `godwit.yml` in the repository
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// Godwit's own tables: `sqlite:FILE` (default: in the state directory)
    #[arg(long, global = true, value_name = "URL", env = "GODWIT_STORE_URL", hide_env_values = true)]
    pub store: Option<String>,
    /// How data is printed
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Colours in the terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: clap::ColorChoice,
    /// Tell more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Tell only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Forms of output; `sarif`, `github` and `markdown` only where they make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object on standard output
    Json,
    /// SARIF 2.1.0 for code scanning
    Sarif,
    /// Workflow commands that GitHub Actions turns into annotations
    Github,
    /// GitHub-flavoured Markdown
    Markdown,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check migrations: hazards, structure, risk
    #[command(visible_alias = "validate")]
    Lint(Later<lint::Args>),
    /// Show what `apply` would do; writes nothing anywhere
    Plan(Later<plan::Args>),
    /// Bring a database or an environment forward
    #[command(visible_aliases = ["migrate", "up"])]
    Apply(Later<apply::Args>),
    /// Undo migrations, newest first
    #[command(visible_alias = "down")]
    Rollback(Later<rollback::Args>),
    /// Go on after a crash
    Resume(Later<resume::Args>),
    /// Settle a migration whose state only a person can tell
    Resolve(Later<resolve::Args>),
    /// Let a contract migration run
    Release(Later<release::Args>),
    /// Try migrations on a scratch database: forward, back, forward again
    #[command(visible_alias = "test")]
    Rehearse(Later<rehearse::Args>),
    /// What is wrong with a connection, or with the App's set-up
    Doctor(Later<Box<doctor::Args>>),
    /// Tell what was changed on an environment's databases outside Godwit
    Drift(Later<drift::Args>),
    /// What is applied, pending, failed, locked
    Status(Later<status::Args>),
    /// Adopt an existing database
    Baseline(Later<baseline::Args>),
    /// Write what a repository needs: `godwit.yml`, policies, a workflow, a first migration
    Init(Later<init::Args>),
    /// Make the tables that a database needs before its first run
    InitTracking(Later<init_tracking::Args>),
    /// Write a new migration from a template, numbered for its folder
    #[command(visible_alias = "create")]
    New(Later<Box<new::Args>>),
    /// Draw which migration needs which
    #[command(visible_alias = "deps")]
    Graph(Later<graph::Args>),
    /// What is about to change, for planning a date and telling people
    Pending(Later<pending::Args>),
    /// What is looked at before a deployment, filled in as far as can be seen
    Checklist(Later<checklist::Args>),
    /// A page about each migration
    Docs(Later<docs::Args>),
    /// What happened: daily, weekly, monthly, quarterly, and for auditors
    Report(Later<Box<report::Args>>),
    /// What runs did, step by step
    Logs(Later<logs::Args>),
    /// How long a migration takes and what it locks, on a scratch database
    Benchmark(Later<benchmark::Args>),
    /// Encrypt a value that a migration needs and nobody may read
    Seal(Later<seal::Args>),
    /// Give an environment its own data; never in production
    Seed(Later<seed::Args>),
    /// Forget what was applied, and keep a copy of that; the data stays
    Reset(Later<Box<reset::Args>>),
    /// Empty an environment's databases, where it allows that
    ResetData(Later<reset_data::Args>),
    /// Copy databases into files, each verified by restoring it
    Backup(Later<backup::Args>),
    /// The backups that there are; `prune` deletes old ones
    Backups(Later<backup::ListArgs>),
    /// Bring a backup back
    Restore(Later<restore::Args>),
    /// Freeze an environment
    Lock(Later<lock::LockArgs>),
    /// Unfreeze an environment
    Unlock(Later<lock::UnlockArgs>),
    /// Stop what runs in an environment before its next statement
    Cancel(Later<cancel::Args>),
    /// Agree to a rollback in production that somebody else asked for
    #[cfg(feature = "bot")]
    Confirm(Later<confirm::Args>),
    /// Approve a migration for an environment, outside GitHub
    #[cfg(feature = "bot")]
    Approve(Later<Box<approve::Args>>),
    /// Approvals that were entered, and what is agreed to
    #[cfg(feature = "bot")]
    Approvals(Later<approve::ListArgs>),
    /// Check and explain the policy
    Policy(Later<policy::Args>),
    /// The hash-chained audit log
    Audit(Later<audit::Args>),
    /// What the GitHub action runs: lint, annotations, SARIF, job summary
    Ci(Later<ci::Args>),
    /// The webhook endpoint and the worker
    #[cfg(feature = "bot")]
    Serve(Later<Box<serve::Args>>),
    /// Copy Godwit's own tables: into a file, back, or to another database
    #[cfg(feature = "bot")]
    Store(Later<store::Args>),
    /// The whole story on this machine, with no account and no server
    #[cfg(feature = "demo")]
    Demo(Later<demo::Args>),
    /// JSON Schemas of `godwit.yml` and the policy files, for editors
    Schema(Later<schema::Args>),
    /// A completion script for a shell
    Completions(Later<completions::Args>),
    /// The manual's pages
    Man(Later<man::Args>),
    /// What this program is and which databases it speaks to
    Version(Later<version::Args>),
}

impl Command {
    /// Refuses a form of output that the command does not have, before anything is done.
    fn prints(&self, format: Format) -> anyhow::Result<()> {
        let (name, findings) = match self {
            Command::Lint(args) => ("lint --rules", !args.0.rules),
            Command::Ci(_) => ("ci", true),
            Command::Init(_) => ("init", false),
            Command::InitTracking(_) => ("init-tracking", false),
            Command::New(_) => ("new", false),
            Command::Graph(_) => ("graph", format == Format::Markdown),
            Command::Pending(_) => ("pending", format == Format::Markdown),
            Command::Checklist(_) => ("checklist", format == Format::Markdown),
            Command::Docs(_) => ("docs", false),
            Command::Report(_) => ("report", format == Format::Markdown),
            Command::Logs(_) => ("logs", false),
            Command::Benchmark(_) => ("benchmark", false),
            Command::Seal(_) => ("seal", false),
            Command::Seed(_) => ("seed", false),
            Command::Reset(_) => ("reset", false),
            Command::ResetData(_) => ("reset-data", false),
            Command::Plan(_) => ("plan", false),
            Command::Apply(_) => ("apply", false),
            Command::Rollback(_) => ("rollback", false),
            Command::Resume(_) => ("resume", false),
            Command::Resolve(_) => ("resolve", false),
            Command::Release(_) => ("release", false),
            Command::Rehearse(_) => ("rehearse", false),
            Command::Doctor(_) => ("doctor", false),
            Command::Drift(_) => ("drift", false),
            Command::Status(_) => ("status", false),
            Command::Baseline(_) => ("baseline", false),
            Command::Backup(_) => ("backup", false),
            Command::Backups(_) => ("backups", false),
            Command::Restore(_) => ("restore", false),
            Command::Lock(_) => ("lock", false),
            Command::Unlock(_) => ("unlock", false),
            Command::Cancel(_) => ("cancel", false),
            #[cfg(feature = "bot")]
            Command::Confirm(_) => ("confirm", false),
            #[cfg(feature = "bot")]
            Command::Approve(_) => ("approve", false),
            #[cfg(feature = "bot")]
            Command::Approvals(_) => ("approvals", false),
            Command::Policy(_) => ("policy", false),
            Command::Audit(_) => ("audit", false),
            #[cfg(feature = "bot")]
            Command::Serve(_) => ("serve", false),
            #[cfg(feature = "bot")]
            Command::Store(_) => ("store", false),
            #[cfg(feature = "demo")]
            Command::Demo(_) => ("demo", false),
            Command::Schema(_) => ("schema", false),
            Command::Completions(_) => ("completions", false),
            Command::Man(_) => ("man", false),
            Command::Version(_) => ("version", false),
        };
        if findings || matches!(format, Format::Text | Format::Json) {
            return Ok(());
        }
        Err(exit::Failure::usage(format!(
            "`{name}` prints `--format text` or `--format json`; `sarif` and `github` are for findings (`godwit lint`, \
             `godwit ci`), `markdown` for those and for what is meant to be read on a page (`godwit pending`, `godwit \
             checklist`, `godwit report`, `godwit graph`)"
        )))
    }
}

/// Reads the command line of this process and runs it. Forms that people know from other tools are understood as well.
pub fn main() -> Exit {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // Paths need not be text; then nothing is an old form.
    let texts: Option<Vec<String>> = args.iter().map(|arg| arg.to_str().map(str::to_owned)).collect();
    let told = exit::Told::of(texts.as_deref().and_then(names::command));
    match texts.map(modern).transpose() {
        Ok(Some(modern)) => later::parse(modern, told).map_or_else(|exit| exit, run),
        Ok(None) => later::parse(args, told).map_or_else(|exit| exit, run),
        Err(error) => exit::report(&error, told),
    }
}

/// Runs the command line and gives the exit code.
pub fn run(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    match global.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let told = exit::Told::of(matches!(command, Command::Ci(_)).then_some("ci"));
    if let Err(error) = command.prints(global.format) {
        return exit::report(&error, told);
    }
    let result = match command {
        Command::Lint(args) => lint::run(&global, args.0),
        Command::Plan(args) => plan::run(&global, args.0),
        Command::Apply(args) => apply::run(&global, args.0),
        Command::Rollback(args) => rollback::run(&global, args.0),
        Command::Resume(args) => resume::run(&global, args.0),
        Command::Resolve(args) => resolve::run(&global, args.0),
        Command::Release(args) => release::run(&global, args.0),
        Command::Rehearse(args) => rehearse::run(&global, args.0),
        Command::Doctor(args) => doctor::run(&global, *args.0),
        Command::Drift(args) => drift::run(&global, args.0),
        Command::Status(args) => status::run(&global, args.0),
        Command::Baseline(args) => baseline::run(&global, args.0),
        Command::Init(args) => init::run(&global, args.0),
        Command::InitTracking(args) => init_tracking::run(&global, args.0),
        Command::New(args) => new::run(&global, *args.0),
        Command::Graph(args) => graph::run(&global, args.0),
        Command::Pending(args) => pending::run(&global, args.0),
        Command::Checklist(args) => checklist::run(&global, args.0),
        Command::Docs(args) => docs::run(&global, args.0),
        Command::Report(args) => report::run(&global, *args.0),
        Command::Logs(args) => logs::run(&global, args.0),
        Command::Benchmark(args) => benchmark::run(&global, args.0),
        Command::Seal(args) => seal::run(&global, args.0),
        Command::Seed(args) => seed::run(&global, args.0),
        Command::Reset(args) => reset::run(&global, *args.0),
        Command::ResetData(args) => reset_data::run(&global, args.0),
        Command::Backup(args) => backup::run(&global, args.0),
        Command::Backups(args) => backup::list(&global, args.0),
        Command::Restore(args) => restore::run(&global, args.0),
        Command::Lock(args) => lock::lock(&global, args.0),
        Command::Unlock(args) => lock::unlock(&global, args.0),
        Command::Cancel(args) => cancel::run(&global, args.0),
        #[cfg(feature = "bot")]
        Command::Confirm(args) => confirm::run(&global, args.0),
        #[cfg(feature = "bot")]
        Command::Approve(args) => approve::approve(&global, *args.0),
        #[cfg(feature = "bot")]
        Command::Approvals(args) => approve::list(&global, args.0),
        Command::Policy(args) => policy::run(&global, args.0),
        Command::Audit(args) => audit::run(&global, args.0),
        Command::Ci(args) => ci::run(&global, args.0),
        #[cfg(feature = "bot")]
        Command::Serve(args) => serve::run(&global, *args.0),
        #[cfg(feature = "bot")]
        Command::Store(args) => store::run(&global, args.0),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&global, args.0),
        Command::Schema(args) => schema::run(&global, args.0),
        Command::Completions(args) => completions::run(&global, args.0),
        Command::Man(args) => man::run(&global, args.0),
        Command::Version(args) => version::run(&global, args.0),
    };
    result.unwrap_or_else(|error| exit::report(&error, told))
}
