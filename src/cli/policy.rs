//! `godwit policy`: is the policy sound, who owns a path, what if, and why this verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::exit::Failure;
use super::print;
use super::tree::read_tree;
use super::{Exit, Format, Global};
use crate::approval::codeowners::CodeOwners;
use crate::approval::{
    Binding, CommitPerson, Permission, Person, Policy, PullRequestSnapshot, Review, ReviewState, Status, Verdict,
    check::{Finding, Level, check},
    evaluate,
};
use crate::config::yaml::nearest;
use crate::config::{ConfigError, RepoConfig, ServiceSettings};
use crate::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk, RoleName};
use crate::migration::paths::below;
use crate::migration::roots::unfound;
use crate::migration::{Problem, Severity, resolve};
use crate::report::{policy_text, policy_yaml};

/// Arguments of `godwit policy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit policy check
  godwit policy owners migrations/0004_orders.up.sql
  godwit policy simulate --env production --risk HIGH --approved-by dora:dba --approved-by lea
  GODWIT_TOKEN=… godwit policy explain --pr 17")]
pub struct Args {
    /// What to ask.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The questions.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Is the policy sound: every file, every cell, every role
    #[command(after_help = "Examples:
  godwit policy check
  godwit policy check --format json")]
    Check,
    /// The matrix and the roles in effect, in the form of their files
    #[command(after_help = "Examples:
  godwit policy show
  godwit policy show --format json")]
    Show,
    /// Who owns these paths, as GitHub reads CODEOWNERS
    Owners(OwnersArgs),
    /// What if: an environment, a risk, and people who approve
    Simulate(SimulateArgs),
    /// Why this verdict: the tree for a pull request as it is now, or as it was saved
    Explain(Box<ExplainArgs>),
}

/// Arguments of `godwit policy owners`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit policy owners migrations/0004_orders.up.sql services/shop/migrations/0001.sql
  godwit policy owners a.sql --codeowners .github/CODEOWNERS --format json")]
pub struct OwnersArgs {
    /// Paths relative to the repository's root
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// The file to read, instead of the first of GitHub's three places
    #[arg(long, value_name = "FILE")]
    pub codeowners: Option<PathBuf>,
}

/// Arguments of `godwit policy simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit policy simulate --risk HIGH
  godwit policy simulate --env staging --risk MEDIUM --author ann --approved-by omar:data_ops
  godwit policy simulate --approved-by lea migrations/0004_orders.up.sql policies/roles.yml

Exit codes: 0 it would be approved · 2 the command or the policy is wrong · 3 somebody is missing or says no")]
pub struct SimulateArgs {
    /// Only this environment
    #[arg(long = "env", value_name = "ENV")]
    pub environment: Option<EnvironmentName>,
    /// The risk of the migrations
    #[arg(long, value_name = "RISK", default_value = "LOW")]
    pub risk: Risk,
    /// Somebody who approves, with the role they hold: `ann:dba` (`ann` alone holds what `roles.yml` gives by name)
    #[arg(long, visible_alias = "approved-by", value_name = "LOGIN[:ROLE]")]
    pub approve: Vec<String>,
    /// Somebody who requests changes
    #[arg(long, value_name = "LOGIN[:ROLE]")]
    pub reject: Vec<String>,
    /// Who wrote the change
    #[arg(long, value_name = "LOGIN[:ROLE]", default_value = "author")]
    pub author: String,
    /// Somebody else whose commits are in it
    #[arg(long, value_name = "LOGIN")]
    pub committer: Vec<String>,
    /// It comes from a fork
    #[arg(long)]
    pub fork: bool,
    /// How many hours ago people were asked
    #[arg(long, value_name = "HOURS", default_value_t = 0)]
    pub asked_hours_ago: u32,
    /// A changed file, for CODEOWNERS; files of the policy are judged as such
    #[arg(long = "path", value_name = "PATH")]
    pub path: Vec<String>,
    /// Further changed files
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// The branch it would be merged into (default: the default branch)
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
}

/// Arguments of `godwit policy explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  GODWIT_TOKEN=… godwit policy explain --pr 17
  GODWIT_TOKEN=… godwit policy explain --pr 17 --for acme/shop --format json
  godwit policy explain --snapshot pull.json --at 2026-11-21T13:00:00Z

Exit codes: 0 approved · 2 the command is wrong · 3 somebody is missing or says no, or the policy cannot be read · 5 GitHub
cannot be reached")]
pub struct ExplainArgs {
    /// A pull request on GitHub, as it is now, judged by the policy of its base branch
    #[cfg(feature = "bot")]
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["snapshot", "at"], required_unless_present = "snapshot")]
    pub pr: Option<u64>,
    /// A pull request as JSON, in the form of the bot's snapshot, judged by the policy here
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// The moment to judge the snapshot at (default: now)
    #[arg(long, value_name = "TIME")]
    pub at: Option<DateTime<Utc>>,
    /// How to reach GitHub.
    #[cfg(feature = "bot")]
    #[command(flatten)]
    pub github: super::person::GithubArgs,
    /// Or as the App.
    #[cfg(feature = "bot")]
    #[command(flatten)]
    pub app: super::explain::AppArgs,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        PolicyCommand::Check => check_policy(global),
        PolicyCommand::Show => show_policy(global),
        PolicyCommand::Owners(args) => owners(global, &args),
        PolicyCommand::Simulate(args) => simulate(global, &args),
        PolicyCommand::Explain(args) => explain(global, &args),
    }
}

fn load(global: &Global) -> Result<Policy, Vec<ConfigError>> {
    Policy::load(&|path| {
        let file = match (&global.config, path) {
            (Some(config), RepoConfig::FILE) => config.clone(),
            _ => global.repo.join(path),
        };
        std::fs::read(file).ok()
    })
}

/// The policy, or every mistake on standard error.
pub(super) fn loaded(global: &Global) -> anyhow::Result<Policy> {
    load(global).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::usage(format!("the policy cannot be read\n{}", lines.join("\n")))
    })
}

fn show_policy(global: &Global) -> anyhow::Result<Exit> {
    let policy = loaded(global)?;
    let (matrix, roles) = (policy_yaml::matrix(&policy.matrix), policy_yaml::roles(&policy.roles));
    match global.format {
        Format::Json => {
            let tree = |text: &str| serde_yaml::from_str::<serde_json::Value>(text);
            print::json(
                &json!({ "approval_matrix": tree(&matrix)?, "roles": tree(&roles)?, "policy_hash": policy.hash }),
            )?;
        }
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            print::text(&format!("# policies/approval_matrix.yml\n{matrix}\n# policies/roles.yml\n{roles}"))?;
        }
    }
    Ok(Exit::Done)
}

fn check_policy(global: &Global) -> anyhow::Result<Exit> {
    if let Some(config) = &global.config
        && !config.is_file()
    {
        return Err(Failure::usage(format!("cannot read `{}`", config.display())));
    }
    let (files, findings) = match load(global) {
        Ok(policy) => {
            let mut found = check(&policy);
            found.extend(folders(global, &policy)?);
            found.extend(services(global, &policy)?);
            found.sort_by_key(|f| std::cmp::Reverse(f.level));
            (policy.files, found)
        }
        Err(errors) => (Vec::new(), errors.into_iter().map(|e| Finding { level: Level::Error, what: e }).collect()),
    };
    let errors = findings.iter().filter(|f| f.level == Level::Error).count();
    if global.format == Format::Json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({ "level": f.level.as_str(), "file": f.what.file, "line": f.what.line, "column": f.what.column,
                        "message": f.what.message })
            })
            .collect();
        print::json(&json!({ "valid": errors == 0, "files": files, "findings": list }))?;
    } else {
        print::prose(&policy_text::findings(&files, &findings))?;
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Usage })
}

fn finding(problem: Problem) -> Finding {
    Finding {
        level: if problem.severity == Severity::Error { Level::Error } else { Level::Warning },
        what: ConfigError {
            file: problem.file,
            line: usize::try_from(problem.line).ok(),
            column: None,
            message: format!("{}: {}", problem.message, problem.help),
        },
    }
}

/// What is wrong with the folders that `godwit.yml` names.
fn folders(global: &Global, policy: &Policy) -> anyhow::Result<Vec<Finding>> {
    let roots = &policy.repo.migrations;
    if roots.iter().all(|root| root.line.is_none()) {
        return Ok(Vec::new());
    }
    let set = resolve(&read_tree(&global.repo)?, roots);
    let place = |path: &str| global.place(path);
    Ok(unfound(roots, &set, &place).into_iter().map(finding).collect())
}

/// What is wrong with the `environments.json` of services.
fn services(global: &Global, policy: &Policy) -> anyhow::Result<Vec<Finding>> {
    let set = resolve(&read_tree(&global.repo)?, &policy.repo.migrations);
    let named = |path: &str| path.rsplit('/').next() == Some(ServiceSettings::FILE);
    let mut found: Vec<Finding> = set.problems.into_iter().filter(|p| named(&p.file)).map(finding).collect();
    let known: Vec<&str> = policy.repo.environments.iter().map(EnvironmentName::as_str).collect();
    for settings in &set.settings {
        for asks in settings.asks.iter().filter(|a| !known.contains(&a.environment.as_str())) {
            // One that is not there is no mistake: services of many repositories share a form.
            let Some(meant) = nearest(asks.environment.as_str(), &known) else { continue };
            let message = format!("`{}` is no environment here, did you mean `{meant}`?", asks.environment);
            let file = format!("{}/{}", settings.unit, ServiceSettings::FILE);
            let what = ConfigError { file, line: None, column: None, message };
            found.push(Finding { level: Level::Warning, what });
        }
    }
    Ok(found)
}

/// The policy for a change of these files, with what their services ask.
fn for_paths(global: &Global, policy: &Policy, paths: &[String]) -> anyhow::Result<Policy> {
    let set = resolve(&read_tree(&global.repo)?, &policy.repo.migrations);
    let is_named = |unit: &str| paths.iter().any(|path| below(path, unit).is_some());
    Ok(policy.tightened(set.settings.iter().filter(|s| is_named(&s.unit))))
}

fn owners(global: &Global, args: &OwnersArgs) -> anyhow::Result<Exit> {
    let codeowners = match &args.codeowners {
        Some(file) => {
            let bytes =
                std::fs::read(file).map_err(|e| Failure::usage(format!("cannot read `{}`: {e}", file.display())))?;
            Some((file.display().to_string(), bytes))
        }
        None => CodeOwners::LOCATIONS
            .iter()
            .find_map(|path| Some(((*path).to_owned(), std::fs::read(global.repo.join(path)).ok()?))),
    };
    // Without a file, or above the size that GitHub loads, no path has an owner.
    let parsed = match &codeowners {
        Some((path, bytes)) if bytes.len() < CodeOwners::MAX_BYTES => {
            CodeOwners::parse(path, &String::from_utf8_lossy(bytes))
        }
        Some((path, _)) => {
            anstream::eprintln!("warning: `{path}` has 3 MB or more; GitHub does not load it");
            CodeOwners::parse(path, "")
        }
        None => CodeOwners::parse(CodeOwners::LOCATIONS[0], ""),
    };
    for (line, reason) in &parsed.skipped {
        anstream::eprintln!("warning: {}:{line}: GitHub skips this line: {reason}", parsed.path);
    }
    let rows: Vec<(&String, Vec<String>, Option<u32>)> = args
        .paths
        .iter()
        .map(|path| match parsed.owners_of(path) {
            Some(rule) => (path, rule.owners.iter().map(ToString::to_string).collect(), Some(rule.line)),
            None => (path, Vec::new(), None),
        })
        .collect();
    if global.format == Format::Json {
        let list: Vec<_> =
            rows.iter().map(|(path, owners, line)| json!({ "path": path, "owners": owners, "line": line })).collect();
        print::json(&json!(list))?;
    } else {
        let mut out = String::new();
        for (path, owners, line) in rows {
            let owners = match (line, owners.is_empty()) {
                (None, _) => "nobody (no line matches)".to_owned(),
                (Some(line), true) => format!("nobody (line {line} takes ownership away)"),
                (Some(line), false) => format!("{} (line {line})", owners.join(" ")),
            };
            out.push_str(&format!("{path}: {owners}\n"));
        }
        print::text(&out)?;
    }
    Ok(Exit::Done)
}

/// A person of the command line: `login` or `login:role`.
fn person(text: &str) -> anyhow::Result<(Login, Option<RoleName>)> {
    let (login, role) = match text.split_once(':') {
        Some((login, role)) => {
            let role = RoleName::new(role).map_err(|e| Failure::usage(e.to_string()))?;
            (login, Some(role))
        }
        None => (text, None),
    };
    let login = login.trim_start_matches('@');
    if !crate::config::roles::is_login(login) {
        return Err(Failure::usage(format!("`{login}` is not a login; write `LOGIN` or `LOGIN:ROLE`")));
    }
    Ok((Login::new(login), role))
}

fn simulate(global: &Global, args: &SimulateArgs) -> anyhow::Result<Exit> {
    let mut policy = loaded(global)?;
    if let Some(environment) = &args.environment
        && !policy.repo.environments.contains(environment)
    {
        let known: Vec<String> = policy.repo.environments.iter().map(|e| format!("`{e}`")).collect();
        return Err(Failure::usage(format!("`{environment}` is not an environment; there are {}", known.join(", "))));
    }
    let now = Utc::now();
    let nothing = Digest::new(format!("sha256:{}", "0".repeat(64))).expect("64 zeros are a digest");
    let mut people: BTreeMap<Login, Person> = BTreeMap::new();
    let mut reviews = Vec::new();
    let (author, author_role) = person(&args.author)?;
    let mut stated: Vec<(Login, Option<RoleName>)> = vec![(author.clone(), author_role)];
    let said = args
        .reject
        .iter()
        .map(|t| (t, ReviewState::ChangesRequested))
        .chain(args.approve.iter().map(|t| (t, ReviewState::Approved)));
    for (text, state) in said {
        let (login, role) = person(text)?;
        stated.push((login.clone(), role));
        reviews.push((login, state));
    }
    for (login, role) in stated {
        if let Some(role) = role {
            if !policy.roles.0.contains_key(&role) && !policy.matrix.roles().any(|r| *r == role) {
                return Err(Failure::usage(format!("no cell and no line of `roles.yml` names the role `{role}`")));
            }
            policy.roles.0.entry(role).or_default().users.insert(login.clone());
        }
        people.entry(login).or_insert_with(|| Person { permission: Permission::Write, teams: BTreeSet::new() });
    }
    // Members of teams are not known here; a role given on the command line makes its holder one of the owners too.
    let paths: Vec<String> = args.path.iter().chain(&args.paths).cloned().collect();
    let (policy_paths, mut migration_paths): (Vec<String>, Vec<String>) =
        paths.iter().cloned().partition(|p| policy.is_policy_path(p));
    if paths.is_empty() {
        migration_paths.push("(any migration)".to_owned());
    }
    let binding = policy.binding(nothing, args.risk, &[]);
    let mut writers = BTreeSet::new();
    for text in &args.committer {
        writers.insert(CommitPerson::Known(person(text)?.0));
    }
    let asked = now - TimeDelta::try_hours(i64::from(args.asked_hours_ago)).unwrap_or_default();
    let snapshot = PullRequestSnapshot {
        repo: RepoName::new("local/simulation").expect("a valid repository name"),
        number: PrNumber(0),
        author: Some(author),
        head: CommitSha::new("0".repeat(40)).expect("40 zeros are a commit id"),
        base: CommitSha::new("0".repeat(40)).expect("40 zeros are a commit id"),
        base_ref: args.branch.clone().unwrap_or_else(|| "(default branch)".to_owned()),
        default_branch: args.branch.is_none().then(|| "(default branch)".to_owned()),
        from_fork: args.fork,
        draft: false,
        merged: false,
        commit_people: writers,
        incomplete: false,
        reviews: reviews
            .into_iter()
            .zip(1..)
            .map(|((login, state), id)| Review { id, login, state, submitted_at: now, binding: Some(binding.clone()) })
            .collect(),
        labels: Vec::new(),
        people,
        binding: Some(binding),
        migration_paths,
        policy_paths,
        asked_at: Some(asked),
        asked: BTreeMap::new(),
        entered: Vec::new(),
        held: Default::default(),
    };
    let policy = for_paths(global, &policy, &paths)?;
    let mut verdict = evaluate(&policy, &snapshot, now);
    if let Some(only) = &args.environment {
        verdict.environments.retain(|e| e.environment == *only);
        let status = verdict.environments.first().map_or(Status::Disapproved, |e| e.evaluation.status);
        verdict.status = crate::approval::worst(verdict.gates.iter().map(|g| g.status).chain([status]));
        verdict.summary = verdict.environments.first().map_or_else(String::new, |e| e.evaluation.reason.clone());
    }
    show(global, &verdict)
}

fn explain(global: &Global, args: &ExplainArgs) -> anyhow::Result<Exit> {
    #[cfg(feature = "bot")]
    if let Some(number) = args.pr {
        return show(global, &super::explain::of_pull(global, number, &args.github, &args.app)?);
    }
    let Some(file) = &args.snapshot else {
        return Err(Failure::usage("name a pull request as it was saved: `--snapshot FILE`"));
    };
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("cannot read `{shown}`: {e}")))?;
    let snapshot: PullRequestSnapshot =
        serde_json::from_str(&text).map_err(|e| Failure::usage(format!("`{shown}` is not a snapshot: {e}")))?;
    let policy = for_paths(global, &loaded(global)?, &snapshot.migration_paths)?;
    let mut verdict = evaluate(&policy, &snapshot, args.at.unwrap_or_else(Utc::now));
    if let Some(Binding { policy_hash, .. }) = &snapshot.binding
        && snapshot.policy_paths.is_empty()
        && *policy_hash != policy.hash
    {
        verdict.notes.push("the policy here is not the one of the snapshot's base commit".to_owned());
    }
    show(global, &verdict)
}

/// Prints a verdict; exit 0 only when it is a yes.
fn show(global: &Global, verdict: &Verdict) -> anyhow::Result<Exit> {
    if global.format == Format::Json {
        print::json(&serde_json::to_value(verdict)?)?;
    } else {
        print::prose(&policy_text::verdict(verdict))?;
    }
    Ok(match verdict.status {
        Status::Approved => Exit::Done,
        Status::Skipped | Status::Pending | Status::Disapproved => Exit::Blocked,
    })
}
