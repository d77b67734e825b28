//! `godwit seed`: an environment's own data [S1-42] [S1-43] [S3-34]; never in production.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::targets::{self, Place, is_production};
use super::{Exit, Format, Global, hooks, print};
use crate::approval::Policy;
use crate::config::Environment;
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::runner::reset::{SeedScript, seed};
use crate::runner::{self, Target};
use crate::store::AuditEntry;

/// Arguments of `godwit seed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit seed
  godwit seed --env testing
  godwit seed development --target shop-pg

The data is in `seeds/ENVIRONMENT.sql`, in the files of `seeds/ENVIRONMENT/` in the order of their names, and in the same
places below each service's folder; a folder `seeds/ENVIRONMENT/TARGET/` is for that database alone. `seed.files` and
`seed.command` of `policies/environments.yml` say otherwise. Each file is one transaction and may run again and again: write
`INSERT … ON CONFLICT DO NOTHING`.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// Where nothing says what to seed, in production, and where the data does not fit.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.place.url.is_some() {
        return Err(Failure::usage("seed data belongs to an environment: name one instead of `--url`"));
    }
    let place = args.place.or_word(args.word)?;
    let policy = place.policy(global)?;
    let databases = place.databases(global)?;
    let Some(settings) = &databases.settings else { return Err(Failure::usage("name an environment")) };
    let environment = &settings.name;
    if is_production(&policy, environment) {
        let message = format!("`{environment}` is never seeded; give it its data with a migration");
        return Err(Failure { exit: Exit::Blocked, message }.into());
    }
    let scripts = scripts(&global.repo, settings)?;
    if scripts.is_empty() && settings.seed.command.is_none() {
        return Err(Failure::usage(format!(
            "there is no seed data for `{environment}`: write `seeds/{environment}.sql`, or name files or a command as `seed` in \
             `policies/environments.yml`"
        )));
    }
    let work = whose(&databases.targets, scripts)?;
    let actor = targets::actor();
    let done = targets::block_on(async {
        let store = global.open_store().await?;
        if let Some(lock) = store.environment_lock(None, environment).await? {
            let refusal = runner::freeze(environment, &lock);
            let message = format!("{}; {}", refusal.message, refusal.what_to_do);
            return Err(Failure { exit: Exit::Blocked, message }.into());
        }
        let mut done = Vec::new();
        for (target, scripts) in &work {
            let ended = seed(target, &actor, scripts).await.map_err(targets::failed)?;
            let (count, wrong) = ended.map_err(|refusal| Failure {
                exit: Exit::of_refusals(std::slice::from_ref(&refusal)),
                message: format!("{}; {}", refusal.message, refusal.what_to_do),
            })?;
            let mut entry =
                AuditEntry::new(Utc::now(), &actor.by, "seed", if wrong.is_some() { "failed" } else { "ok" });
            entry.environment = Some(environment.clone());
            entry.target = Some(target.name.clone());
            entry.details.insert("files".to_owned(), count.to_string());
            store.append_audit(entry).await?;
            if let Some(wrong) = wrong {
                let message = format!("{wrong}; this file was taken back, {count} before it stay");
                return Err(Failure { exit: Exit::Failed, message }.into());
            }
            done.extend(scripts.iter().map(|(file, _)| (target.name.clone(), file.clone())));
        }
        Ok(done)
    })?;
    if let Some(line) = &settings.seed.command {
        hooks::start(global, line, environment).map_err(|message| Failure { exit: Exit::Failed, message })?;
    }
    show(global, settings, &done)?;
    Ok(Exit::Done)
}

fn show(global: &Global, settings: &Environment, done: &[(TargetName, String)]) -> anyhow::Result<()> {
    let environment = &settings.name;
    if global.format == Format::Json {
        let files: Vec<_> = done.iter().map(|(target, file)| json!({ "target": target, "file": file })).collect();
        return print::json(&json!({ "environment": environment, "files": files, "command": settings.seed.command }));
    }
    let mut text: String = done.iter().map(|(target, file)| format!("seeded  {target}  {file}\n")).collect();
    text.push_str(&format!("{environment} has its data\n"));
    print::text(&text)
}

/// The scripts of an environment, in the order in which they run.
fn scripts(repo: &Path, settings: &Environment) -> anyhow::Result<Vec<SeedScript>> {
    let name = settings.name.as_str();
    let mut found = Vec::new();
    if settings.seed.files.is_empty() {
        // The services' own data comes behind what all of them share.
        let mut roots = vec![String::new()];
        let mut services: Vec<String> = std::fs::read_dir(repo.join("services"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| format!("services/{}/", entry.file_name().to_string_lossy()))
            .collect();
        services.sort();
        roots.extend(services);
        for root in roots {
            take(repo, &format!("{root}seeds/{name}.sql"), &mut found)?;
            take(repo, &format!("{root}seeds/{name}"), &mut found)?;
        }
        return Ok(found);
    }
    for file in &settings.seed.files {
        let before = found.len();
        take(repo, file, &mut found)?;
        if found.len() == before {
            return Err(Failure::usage(format!("`{name}.seed.files` names `{file}`, where no SQL is")));
        }
    }
    Ok(found)
}

/// Reads a file, or the files of a folder and of the folders in it; what is not there is nothing.
fn take(repo: &Path, path: &str, found: &mut Vec<SeedScript>) -> anyhow::Result<()> {
    let place = repo.join(path);
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read `{path}`: {e}"));
    match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&place).map_err(cannot)? {
                names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            for name in names {
                let below = format!("{path}/{name}");
                if name.ends_with(".sql") || repo.join(&below).is_dir() {
                    take(repo, &below, found)?;
                }
            }
        }
        Ok(meta) if meta.is_file() => {
            found.push((path.to_owned(), std::fs::read_to_string(&place).map_err(cannot)?));
        }
        Ok(_) => {
            return Err(Failure::usage(format!("`{path}` is neither a file nor a folder; links are never followed")));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(cannot(e)),
    }
    Ok(())
}

/// Which database gets which scripts: that whose name is a folder of the path, else the only one that speaks SQL.
fn whose(targets: &[Target], scripts: Vec<SeedScript>) -> anyhow::Result<Vec<(&Target, Vec<SeedScript>)>> {
    let sql: Vec<&Target> =
        targets.iter().filter(|t| matches!(t.engine, Engine::Postgresql | Engine::Sqlite)).collect();
    let mut work: Vec<(&Target, Vec<SeedScript>)> = Vec::new();
    for script in scripts {
        let folders: Vec<&str> = script.0.split('/').collect();
        let named = sql.iter().find(|t| folders[..folders.len() - 1].contains(&t.name.as_str()));
        let target = match (named, sql.as_slice()) {
            (Some(target), _) => *target,
            (None, [only]) => *only,
            (None, []) => {
                return Err(Failure::usage(format!(
                    "`{}` is SQL, and none of these databases takes it; other kinds are filled by `seed.command`",
                    script.0
                )));
            }
            (None, _) => {
                let names: Vec<&str> = sql.iter().map(|t| t.name.as_str()).collect();
                return Err(Failure::usage(format!(
                    "`{}` could be for any of {}; name one with `--target`, or put the file into a folder of that name",
                    script.0,
                    names.join(", ")
                )));
            }
        };
        match work.iter_mut().find(|(t, _)| t.name == target.name) {
            Some((_, list)) => list.push(script),
            None => work.push((target, vec![script])),
        }
    }
    Ok(work)
}

/// Looks at what an environment's seed would be, for `reset-data`.
pub(super) fn is_there(global: &Global, policy: &Policy, environment: &EnvironmentName) -> bool {
    policy.environments.get(environment).is_some_and(|settings| {
        settings.seed.command.is_some() || scripts(&global.repo, settings).is_ok_and(|found| !found.is_empty())
    })
}
