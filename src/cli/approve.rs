//! `godwit approve` and `godwit approvals`: approvals outside GitHub, by the same rules, from a person whom a token of
//! theirs proves (DECISIONS 9).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::authors::commits_of;
use super::exit::Failure;
use super::person::{GithubArgs, failed, look_up};
use super::tree::read_tree;
use super::{Exit, Format, Global, policy, print};
use crate::approval::{Binding, Permission, Policy, Source};
use crate::github::{GithubError, RepoApi};
use crate::ids::{EnvironmentName, Login, Risk, RoleName};
use crate::judge::judge;
use crate::lint::{self, Scope};
use crate::migration::{Migration, MigrationSet, digest_of, resolve};
use crate::store::{EnteredRow, NewEntered, Store};

/// The role that may enter approvals of others; it satisfies none itself.
const ADMIN: &str = "admin";
/// Pull requests that are looked at again after an approval.
const LOOKED_AT: u32 = 200;

/// Arguments of `godwit approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  GODWIT_TOKEN=… godwit approve 0004_orders --env production --role dba --comment \"looked at the plan\"
  GODWIT_TOKEN=… godwit approve 0004_orders --env production --role dba --approver dora --comment \"by phone\"
  GODWIT_TOKEN=… godwit approve 0004_orders dba dora \"looked at the plan\"   # for the last environment")]
pub struct Args {
    /// The migration: its id, or `unit/id`
    #[arg(value_name = "MIGRATION")]
    migration: String,
    /// Role, approver and comment, instead of the options
    #[arg(value_name = "ROLE APPROVER COMMENT", num_args = 0..=3, conflicts_with_all = ["role", "approver", "comment"])]
    words: Vec<String>,
    /// The environment it may run in (default: that of `MIGRATION_ENV`, else the last one)
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// The role the approval is given in
    #[arg(long, value_name = "ROLE", required_unless_present = "words")]
    role: Option<RoleName>,
    /// Whose approval it is (default: yours); for somebody else's you need the role `admin`
    #[arg(long, value_name = "LOGIN")]
    approver: Option<String>,
    /// What was looked at; recorded
    #[arg(long, value_name = "TEXT", required_unless_present = "words")]
    comment: Option<String>,
    #[command(flatten)]
    github: GithubArgs,
}

/// Arguments of `godwit approvals`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit approvals --env production
  godwit approvals --for acme/shop --format json")]
pub struct ListArgs {
    /// Only this environment
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    #[command(flatten)]
    github: GithubArgs,
}

/// What is approved.
struct Subject {
    reference: String,
    binding: Binding,
}

/// The arguments once words and options are one.
struct Wish {
    migration: String,
    environment: EnvironmentName,
    role: RoleName,
    approver: Option<String>,
    comment: String,
    github: GithubArgs,
}

impl Args {
    fn read(self, global: &Global) -> anyhow::Result<Wish> {
        let mut words = self.words.into_iter();
        let role = match (self.role, words.next()) {
            (Some(role), _) => role,
            (None, Some(word)) => RoleName::new(word.as_str()).map_err(|_| {
                Failure::usage(format!("`{word}` is no role's name; the role stands behind the migration"))
            })?,
            (None, None) => return Err(Failure::usage("say in which role with `--role`")),
        };
        let approver = self.approver.or_else(|| words.next());
        let comment = self.comment.or_else(|| words.next()).unwrap_or_default();
        let environments = global.repo_config()?.environments;
        let named = std::env::var("MIGRATION_ENV").ok().and_then(|name| EnvironmentName::new(name).ok());
        let Some(environment) = self.environment.or(named).or_else(|| environments.last().cloned()) else {
            return Err(Failure::usage("say for which environment with `--env`"));
        };
        let environment = super::settings::known_as(&environment, &|name| environments.contains(name));
        Ok(Wish { migration: self.migration, environment, role, approver, comment, github: self.github })
    }
}

/// Enters an approval.
pub fn approve(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let args = args.read(global)?;
    if args.comment.trim().is_empty() {
        return Err(Failure::usage("say what you looked at with `--comment`; it is recorded"));
    }
    let policy = policy::loaded(global)?;
    if !policy.repo.environments.contains(&args.environment) {
        let known: Vec<String> = policy.repo.environments.iter().map(|e| format!("`{e}`")).collect();
        return Err(Failure::usage(format!(
            "`{}` is not an environment; there are {}",
            args.environment,
            known.join(", ")
        )));
    }
    if policy.roles.describe(&args.role).is_empty() {
        return Err(Failure::usage(format!("nobody holds a role `{}` in `roles.yml`", args.role)));
    }
    let set = resolve(&read_tree(&global.repo)?, &policy.repo.migrations);
    let Some(migration) = set.find(&args.migration) else {
        return Err(Failure::usage(format!(
            "`{}` is no migration here, or several; write its id, or `unit/id`",
            args.migration
        )));
    };
    let repo = args.github.repository(&global.repo)?;
    let commits = commits_of(&global.repo, migration)?;
    let subject = subject(&policy, &set, migration);
    let policy = policy.tightened(set.settings_of(&[migration]));
    global.block_on(async {
        let client = args.github.client()?;
        let by = client.person().await.map_err(failed)?;
        let api = client.repo(&repo, 0).await.map_err(failed)?;
        let approver = args.approver.as_deref().map(|l| Login::new(l.trim_start_matches('@')));
        let approver = approver.unwrap_or_else(|| by.clone());
        may_enter(&api, &policy, &by, &approver).await?;
        may_approve(&api, &policy, &approver, &args.role).await?;
        if wrote(&api, &commits).await?.contains(&approver) && !may_approve_own(&policy, &args.environment) {
            return Err(refused(format!(
                "`{approver}` wrote part of `{}`: outside development such an approval does not count",
                subject.reference
            )));
        }
        let new = NewEntered {
            repo: repo.clone(),
            pr: None,
            environment: args.environment.clone(),
            role: args.role.clone(),
            approver: approver.clone(),
            entered_by: by.clone(),
            source: Source::Cli,
            comment: args.comment.trim().to_owned(),
            subject: subject.reference.clone(),
            binding: subject.binding.clone(),
            at: Utc::now(),
        };
        let store = global.open_store().await?;
        let id = store.enter_approval(&new).await?;
        store.append_audit(new.audit_entry()).await?;
        look_again(&store, &new).await?;
        show(global, &EnteredRow { id, approval: new })?;
        Ok(Exit::Done)
    })
}

/// Digest and risk of the migration as the files are.
fn subject(policy: &Policy, set: &MigrationSet, migration: &Migration) -> Subject {
    let paths: BTreeSet<String> = migration.files.iter().map(|f| f.path.clone()).collect();
    let report = lint::check_judged(set, &judge(set), &policy.lint, &Scope::Paths(paths), Utc::now().date_naive());
    let own = report.migrations.iter().find(|m| m.id == migration.id.as_str() && m.unit == migration.unit);
    let risk = own.map_or(Risk::High, |m| m.risk);
    let binding = policy.binding(digest_of(std::iter::once(migration)), risk, &[]);
    Subject { reference: migration.reference(), binding }
}

/// An approval of somebody else needs the role `admin` (DECISIONS 9).
async fn may_enter(api: &RepoApi, policy: &Policy, by: &Login, approver: &Login) -> anyhow::Result<()> {
    if by == approver {
        return Ok(());
    }
    let admin = RoleName::new(ADMIN).expect("a plain word is a role name");
    let person = look_up(api, policy, by, &admin).await?;
    if policy.roles.holds(&admin, by, &person.teams) {
        return Ok(());
    }
    Err(refused(format!("the token belongs to `{by}`; entering the approval of `{approver}` needs the role `{ADMIN}`")))
}

async fn may_approve(api: &RepoApi, policy: &Policy, approver: &Login, role: &RoleName) -> anyhow::Result<()> {
    let person = look_up(api, policy, approver, role).await?;
    if person.permission < Permission::Write {
        return Err(refused(format!("`{approver}` has no write access to {}", api.name())));
    }
    if !policy.roles.holds(role, approver, &person.teams) {
        return Err(refused(format!(
            "`{approver}` does not hold the role `{role}`; {} may approve as it",
            policy.roles.describe(role).join(", ")
        )));
    }
    Ok(())
}

/// Whether who wrote a change may approve it there (DECISIONS 5).
fn may_approve_own(policy: &Policy, environment: &EnvironmentName) -> bool {
    environment.as_str() == "development" || policy.auto_approves(environment)
}

/// The accounts behind commits, as GitHub maps them.
async fn wrote(api: &RepoApi, commits: &[crate::ids::CommitSha]) -> anyhow::Result<BTreeSet<Login>> {
    let mut people = BTreeSet::new();
    for sha in commits {
        match api.commit(sha).await {
            Ok(commit) => {
                people.extend([commit.author, commit.committer].into_iter().flatten().filter_map(|u| u.login))
            }
            Err(GithubError::NotFound { .. } | GithubError::Rejected { .. }) => {
                return Err(refused(format!(
                    "commit {sha} is not on GitHub, so who wrote it cannot be told; push it first"
                )));
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(people)
}

fn refused(message: String) -> anyhow::Error {
    Failure { exit: Exit::Blocked, message }.into()
}

/// Pull requests that the server of this store judges may be satisfied now.
async fn look_again(store: &Store, new: &NewEntered) -> anyhow::Result<()> {
    for pull in store.judged_pulls(&new.repo, LOOKED_AT).await?.iter().filter(|p| p.state != "closed") {
        store.look_again(pull).await?;
    }
    Ok(())
}

fn show(global: &Global, row: &EnteredRow) -> anyhow::Result<()> {
    if global.format == Format::Json {
        return print::json(&row.as_json());
    }
    let a = &row.approval;
    let by = if a.approver == a.entered_by { String::new() } else { format!(", entered by {}", a.entered_by) };
    print::prose(&format!(
        "{} is approved by {} as {} for {}, at risk {}{by}.\nIt holds for these bytes and this policy; any change drops it.\n",
        a.subject, a.approver, a.role, a.environment, a.binding.risk
    ))
}

/// Lists what was entered, and what the server found to be agreed to.
pub fn list(global: &Global, args: ListArgs) -> anyhow::Result<Exit> {
    let repo = args.github.repository(&global.repo)?;
    let policy = policy::loaded(global)?;
    global.block_on(async {
        let store = global.open_store().await?;
        let mut rows = store.entered(&repo, None).await?;
        rows.retain(|r| args.environment.as_ref().is_none_or(|e| *e == r.approval.environment));
        let mut agreed = Vec::new();
        for environment in policy.repo.environments.iter().filter(|e| args.environment.as_ref().is_none_or(|a| a == *e))
        {
            agreed.extend(store.agreed_in(environment).await?);
        }
        let now = Utc::now();
        if global.format == Format::Json {
            let entered: Vec<Value> = rows.iter().map(EnteredRow::as_json).collect();
            let agreed: Vec<Value> = agreed
                .iter()
                .map(|a| {
                    json!({ "environment": a.environment, "digest": a.digest, "risk": a.risk, "basis": a.basis,
                            "policy_hash": a.policy_hash, "expires_at": a.expires_at })
                })
                .collect();
            print::json(&json!({ "repository": repo, "entered": entered, "agreed": agreed }))?;
            return Ok(Exit::Done);
        }
        let mut out = String::new();
        for row in &rows {
            let a = &row.approval;
            let stale =
                if a.binding.policy_hash == policy.hash { "" } else { " (under another policy: does not count)" };
            out.push_str(&format!(
                "{}  {}  {} by {}  {}  {}  {}{stale}\n",
                stamp(a.at),
                a.environment,
                a.role,
                a.approver,
                a.source.as_str(),
                a.subject,
                a.comment
            ));
        }
        for a in &agreed {
            let until = a.expires_at.map_or_else(String::new, |at| {
                format!("  {} {}", if at < now { "expired" } else { "until" }, stamp(at))
            });
            let digest = a.digest.as_str();
            out.push_str(&format!(
                "{}  agreed to  {}  risk {}  {}{until}\n",
                a.environment,
                digest.get(..19).unwrap_or(digest),
                a.risk,
                a.basis
            ));
        }
        if out.is_empty() {
            out.push_str("This store holds no approvals.\n");
        }
        print::prose(&out)?;
        Ok(Exit::Done)
    })
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
