//! `godwit checklist`: what is looked at before a deployment, filled in as far as the program can see [S3-03].

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::Utc;

use super::bounds::ShelfArgs;
use super::exit::Failure;
use super::gates;
use super::running;
use super::targets::{Gathered, Place, place_of};
use super::{Exit, Format, Global, print};
use crate::approval::Policy;
use crate::backup::retention;
use crate::config::{Environment, TargetConfig};
use crate::ids::{EnvironmentName, Risk};
use crate::migration::{Migration, MigrationSet, digest_of};
use crate::plan::backup::{Coming, Question, why};
use crate::plan::diagnosis::Health;
use crate::plan::planner::belongs;
use crate::report::checklist::{
    Checklist, Earlier, Seen, Signature, checks, made_by_the_run, markdown, sections, text, window,
};
use crate::runner::{self, ApplyOptions};
use crate::store::Store;

/// Arguments of `godwit checklist`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit checklist production
  godwit checklist --env staging --format markdown
  godwit checklist production --out docs/PRE_DEPLOYMENT_MIGRATION_CHECKLIST.md

Exit 3 while something stands in the way that the program can see, such as a missing signature or a variable that is not
set.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Write it as Markdown into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// Runs the command.
///
/// # Errors
/// Usage errors; a database or the store that cannot be asked.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.place.url.is_some() {
        return Err(Failure::usage("a checklist is about an environment: name one instead of `--url`"));
    }
    let (gathered, left_out) = args.place.or_word(args.word)?.gather_reachable(global)?;
    let (Some(policy), Some(name)) = (&gathered.policy, &gathered.environment) else {
        return Err(Failure::usage("name an environment"));
    };
    let Some(settings) = policy.environments.get(name) else {
        return Err(Failure::usage(format!("`{name}` is not in `environments.yml`")));
    };
    let list = running::block_on(fill(global, &gathered, &left_out, policy, settings, &args.shelf))?;
    if let Some(file) = &args.out {
        std::fs::write(file, markdown(&list)).with_context(|| format!("cannot write `{}`", file.display()))?;
        if !global.quiet {
            anstream::eprintln!("written {}", file.display());
        }
    } else {
        match global.format {
            Format::Json => print::json(&serde_json::to_value(&list)?)?,
            Format::Markdown => print::text(&markdown(&list))?,
            Format::Text | Format::Sarif | Format::Github => print::prose(&text(&list))?,
        }
    }
    Ok(if list.is_open() { Exit::Blocked } else { Exit::Done })
}

async fn fill(
    global: &Global,
    gathered: &Gathered,
    left_out: &[TargetConfig],
    policy: &Policy,
    settings: &Environment,
    shelf: &ShelfArgs,
) -> anyhow::Result<Checklist> {
    let (actor, keeper) = (running::actor(), running::keeper(global));
    let options = ApplyOptions {
        risks: gathered.risks.clone(),
        released: gathered.released(global).await?,
        service: gathered.service.clone(),
        ..ApplyOptions::default()
    };
    let mut planned = Vec::new();
    if !gathered.targets.is_empty() {
        let plan = runner::plan(&gathered.set, &gathered.targets, &actor, &options).await.map_err(running::failed)?;
        planned = gates::planned(gathered, &plan);
    }
    // Nobody can say what such a database holds, so everything that is for it may be about to run.
    planned.extend(unseen(gathered, left_out, &settings.name));
    let risk = planned.iter().map(|(_, risk)| *risk).max().unwrap_or(Risk::Low);
    let migrations: Vec<&Migration> = planned.iter().map(|(m, _)| *m).collect();
    let policy = &policy.tightened(gathered.set.settings_of(&migrations));
    let settings = policy.environments.get(&settings.name).unwrap_or(settings);
    let store = keeper.open().await.map_err(running::failed)?;
    let environment = &settings.name;
    let agreed = store.agreed_in(environment).await?;
    let entered = store.entered_in(environment).await?;
    let now = Utc::now();
    let missing = gates::approvals(policy, environment, risk, &planned, (&agreed, &entered), now);
    let digests: Vec<_> = migrations.iter().map(|m| digest_of(std::iter::once(*m))).collect();
    let mut sign_off: Vec<Signature> = entered
        .iter()
        .map(|row| &row.approval)
        .filter(|a| digests.contains(&a.binding.digest) && a.binding.policy_hash == policy.hash)
        .map(|a| Signature { name: a.approver.to_string(), role: a.role.to_string(), at: Some(a.at) })
        .collect();
    sign_off.extend(
        agreed.iter().filter(|a| digests.contains(&a.digest) && a.policy_hash == policy.hash).map(|a| Signature {
            name: a.basis.clone(),
            role: "on the pull request".to_owned(),
            at: None,
        }),
    );
    let cell = policy.matrix.cell(environment, risk);
    let roles: Vec<String> =
        cell.map(|c| c.required_roles.iter().map(ToString::to_string).collect()).unwrap_or_default();
    let signed = |role: &String| sign_off.iter().any(|s| s.role == *role || s.at.is_none());
    let lacking: Vec<String> = match &missing {
        None => Vec::new(),
        Some(_) => roles.into_iter().filter(|role| !signed(role)).collect(),
    };
    let first = policy.repo.environments.first();
    let development = match first.filter(|f| *f != environment) {
        Some(first) => {
            let lacks = lacks(store, policy, first, &migrations).await?;
            Some(Earlier { environment: first.clone(), lacks })
        }
        None => None,
    };
    let before = match policy.before(environment, &|e| migrations.iter().any(|m| takes(m, e))) {
        Some(earlier) => {
            let closed = gates::promotion(gathered, policy, environment, &keeper, &migrations).await?;
            let lacks = closed.into_iter().map(|refusal| refusal.message).collect();
            Some(Earlier { environment: earlier.name.clone(), lacks })
        }
        None => None,
    };
    let seen = Seen {
        pending: migrations.len(),
        read: missing.is_none() && !migrations.is_empty() && !sign_off.is_empty(),
        development,
        before,
        backup: backup(settings, &gathered.set, &migrations, &gathered.destroys, shelf)?,
        window: window(settings, now).map(|(told, _)| told),
        no_way_back: migrations.iter().filter(|m| !m.is_reversible()).map(|m| m.reference()).collect(),
        connections: connections(gathered, settings).await,
        approvals: match missing {
            None => Ok("what the matrix asks for is there".to_owned()),
            Some(refusal) => Err(refusal.message),
        },
    };
    Ok(Checklist {
        environment: environment.clone(),
        at: now,
        migrations: migrations.iter().map(|m| m.reference()).collect(),
        risk,
        checks: checks(&seen),
        sections: sections(environment, risk),
        sign_off,
        missing: lacking,
    })
}

/// Migrations for databases that cannot be asked, unless one that can be takes them too.
fn unseen<'a>(
    gathered: &'a Gathered,
    left_out: &'a [TargetConfig],
    environment: &'a EnvironmentName,
) -> impl Iterator<Item = (&'a Migration, Risk)> {
    let is_meant = move |m: &&Migration| {
        m.only_in.as_ref().is_none_or(|only| only == environment)
            && gathered.service.as_ref().is_none_or(|service| m.service.as_ref() == Some(service))
            && left_out.iter().any(|t| belongs(m, &t.name, t.engine))
            && !gathered.targets.iter().any(|t| belongs(m, &t.name, t.engine))
    };
    let risk = move |m: &Migration| gathered.risks.get(&m.reference()).copied().unwrap_or(Risk::High);
    gathered.set.migrations.iter().filter(is_meant).map(move |m| (m, risk(m)))
}

fn takes(migration: &Migration, environment: &Environment) -> bool {
    migration.only_in.as_ref().is_none_or(|only| *only == environment.name)
        && environment.targets.iter().any(|t| belongs(migration, &t.name, t.engine))
}

/// Which of the migrations an environment's ledger does not hold as they are.
async fn lacks(
    store: &Store,
    policy: &Policy,
    name: &EnvironmentName,
    migrations: &[&Migration],
) -> anyhow::Result<Vec<String>> {
    let Some(environment) = policy.environments.get(name) else { return Ok(Vec::new()) };
    let ledger = store.environment_ledger(None, name).await?;
    let held = |m: &Migration| {
        let mut on = environment.targets.iter().filter(|t| belongs(m, &t.name, t.engine));
        on.all(|t| ledger.iter().any(|e| e.target == t.name && e.holds(m)))
    };
    Ok(migrations.iter().filter(|m| takes(m, environment) && !held(m)).map(|m| m.reference()).collect())
}

/// Whether there is a backup, or one will be made.
fn backup(
    settings: &Environment,
    set: &MigrationSet,
    migrations: &[&Migration],
    lost: &BTreeSet<String>,
    shelf: &ShelfArgs,
) -> anyhow::Result<Option<Result<String, String>>> {
    let steps: Vec<Coming> = migrations.iter().map(|m| Coming::applied_in(&settings.name, set, m, lost)).collect();
    let (environment, required) = (Some(&settings.name), settings.migration.backup_required);
    if let Some(why) = why(&Question { environment, required, asked: false, steps: &steps }) {
        return Ok(Some(Ok(made_by_the_run(&why))));
    }
    let kept = retention::list(&shelf.folder()?).map_err(Failure::from)?;
    let newest = kept
        .backups
        .iter()
        .filter(|b| b.meta.environment.as_ref() == Some(&settings.name) && b.reachable && b.meta.is_verified())
        .max_by_key(|b| b.meta.created_at);
    Ok(newest.map(|b| Ok(format!("the newest is of {}", b.meta.created_at.format("%Y-%m-%d %H:%M UTC")))))
}

async fn connections(gathered: &Gathered, settings: &Environment) -> Result<String, String> {
    let mut wrong = Vec::new();
    for target in &settings.targets {
        match place_of(settings, target) {
            Ok(target) => {
                let found = runner::examine(&target).await;
                wrong.extend(
                    found
                        .into_iter()
                        .filter(|d| d.health > Health::Warning)
                        .map(|d| format!("{}: {}", d.about, d.message)),
                );
            }
            Err(error) => wrong.push(format!("{}: {error:#}", target.name)),
        }
    }
    if wrong.is_empty() {
        return Ok(format!("{} of {} answer", gathered.targets.len(), settings.targets.len()));
    }
    Err(wrong.join("; "))
}
