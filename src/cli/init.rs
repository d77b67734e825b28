//! `godwit init`: the files that a repository needs, for the migrations it has or for its first one. Never overwrites.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::exit::Failure;
use super::tree::read_tree;
use super::{Exit, Format, Global, print};
use crate::config::{Environment, RepoConfig};
use crate::ids::{Engine, EnvironmentName};
use crate::migration::operations::are_operations;
use crate::migration::roots::uncovered_below;
use crate::migration::{Layout, MigrationRoot, resolve};
use crate::report::beginning::{Policies, ROLES, Root, config, engines, environments, found};

/// Arguments of `godwit init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit init
  godwit init --layout flyway
  godwit init --engine postgresql mongodb
  godwit init env                         # .env.template and .env")]
pub struct Args {
    /// Only the variables: `.env.template` with all that `environments.yml` asks for, and `.env` where there is none
    #[arg(value_name = "env", conflicts_with_all = ["layout", "engine"])]
    what: Option<What>,
    /// How the first migration is laid out (default: as those that are there, else `numbered`)
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// The kinds of database (default: those of the migrations that are there, else `postgresql`)
    #[arg(long, value_name = "ENGINE", num_args = 1..)]
    engine: Vec<Engine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The variables
    Env,
}

/// The matrix that holds without policy files, to be changed.
const MATRIX: &str = include_str!("../../policies/approval_matrix.yml");

const WORKFLOW: &str = concat!(
    "\
# Checks the migrations of a pull request; needs no database and no secret.
name: Godwit
on: pull_request
permissions:
  contents: read
jobs:
  migrations:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with: { fetch-depth: 0 }
      - uses: godwit-dev/godwit@v",
    env!("CARGO_PKG_VERSION"),
    "\n"
);

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.what == Some(What::Env) {
        return variables(global);
    }
    let here = &global.repo;
    if here.join(RepoConfig::FILE).exists() {
        let message = format!("`{}` is there already; nothing was written", RepoConfig::FILE);
        return Err(Failure::usage(message));
    }
    let files_here = read_tree(here)?;
    let set = resolve(&files_here, &[MigrationRoot::folder("**")]);
    let ambiguous = set.problems.iter().find(|p| p.rule == "ambiguous-layout");
    // A folder that is left out of what is written, since it is none of an environment.
    let unread = set.problems.iter().filter(|p| p.rule == "file-name" && set.misnamed.contains(&p.file));
    let everywhere = [MigrationRoot::folder("**")];
    let others = uncovered_below(files_here.iter().map(|f| f.path.as_str()), &everywhere, &set);
    for problem in ambiguous.into_iter().chain(unread).chain(&others) {
        print::talk(&format!("{}: {}\n  {}", problem.file, problem.message, problem.help));
    }
    let mut roots = found(&set);
    let mut files: Vec<(String, String)> = Vec::new();
    if roots.is_empty() {
        let engines = if args.engine.is_empty() { vec![Engine::Postgresql] } else { args.engine.clone() };
        for engine in engines {
            let (root, example) = first(engine, args.layout)?;
            roots.push(root);
            files.extend(example);
        }
    }
    let engines: BTreeSet<Engine> = engines(&roots).into_iter().chain(args.engine).collect();
    let policies = policies(here)?;
    let folder = &policies.folder;
    files.insert(0, (RepoConfig::FILE.to_owned(), config(&roots, &policies)));
    files.push((format!("{folder}/environments.yml"), environments(&engines)));
    files.push((format!("{folder}/approval_matrix.yml"), MATRIX.to_owned()));
    files.push((format!("{folder}/roles.yml"), ROLES.to_owned()));
    files.push((".github/workflows/godwit.yml".to_owned(), WORKFLOW.to_owned()));
    let mut said = Vec::new();
    for (path, text) in &files {
        said.push((path.as_str(), write_new(&here.join(path), text)?));
    }
    if global.format == Format::Json {
        let value: Vec<_> =
            said.iter().map(|(path, new)| serde_json::json!({ "path": path, "written": new })).collect();
        print::json(&serde_json::json!({ "files": value }))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for root in roots.iter().filter(|r| r.count > 0) {
        let _ = writeln!(text, "found    {} ({}, {}, {} migrations)", root.path, root.layout, root.engine, root.count);
    }
    for (path, new) in said {
        let _ = writeln!(text, "{} {path}", if new { "written " } else { "is there" });
    }
    let _ = writeln!(
        text,
        "next: say who holds which role in {folder}/roles.yml, then `godwit policy check` and `godwit lint`"
    );
    print::prose(&text)?;
    Ok(Exit::Done)
}

/// The policies that stand here already.
fn policies(here: &Path) -> anyhow::Result<Policies> {
    let mut files = BTreeMap::new();
    for path in Policies::paths() {
        match std::fs::read(here.join(&path)) {
            Ok(bytes) => drop(files.insert(path, bytes)),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(Failure::usage(format!("cannot read `{path}`: {e}"))),
        }
    }
    Ok(Policies::of(&files))
}

/// The variables that the environments ask for, each once, under the environment that asks first [S2-04] [S0-31].
fn template(environments: &[Environment]) -> String {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut text = String::from(
        "# Values for `${…}` in policies/environments.yml; the command line reads `.env` where it is started.\n",
    );
    for environment in environments {
        let names: Vec<&str> = environment
            .targets
            .iter()
            .flat_map(|t| t.connection.variables())
            .filter(|name| seen.insert(name))
            .collect();
        if !names.is_empty() {
            let _ = writeln!(text, "\n# {}", environment.name);
        }
        for name in names {
            let _ = writeln!(text, "{name}=");
        }
    }
    text
}

/// Writes `.env.template` anew, and `.env` from it where there is none.
fn variables(global: &Global) -> anyhow::Result<Exit> {
    let nowhere = EnvironmentName::new("production").context("a plain word is an environment name")?;
    let policy = super::targets::Place::of(nowhere).policy(global)?;
    let text = template(&policy.environments.0);
    if !text.contains('=') {
        return Err(Failure::usage("`policies/environments.yml` asks for no variable, so there is nothing to write"));
    }
    let file = global.repo.join(".env.template");
    std::fs::write(&file, &text).with_context(|| format!("cannot write `{}`", file.display()))?;
    let own = global.repo.join(".env");
    let new = write_new(&own, &text)?;
    #[cfg(unix)]
    if new {
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&own, rights)
            .with_context(|| format!("cannot keep `{}` from others", own.display()))?;
    }
    if global.format == Format::Json {
        print::json(&serde_json::json!({ "files": [
            { "path": ".env.template", "written": true }, { "path": ".env", "written": new }
        ] }))?;
    } else {
        print::prose(&format!(
            "written  .env.template\n{} .env\nnext: fill in `.env`, which must not be committed, then `godwit doctor`\n",
            if new { "written " } else { "is there" }
        ))?;
    }
    Ok(Exit::Done)
}

/// Writes a file that is not there yet; whether it was written.
fn write_new(path: &Path, text: &str) -> anyhow::Result<bool> {
    let cannot = || format!("cannot write `{}`", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(cannot)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => std::io::Write::write_all(&mut file, text.as_bytes()).with_context(cannot).map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e).with_context(cannot),
    }
}

/// Files by path.
type Files = Vec<(String, String)>;

/// A first migration, with its way back.
fn first(engine: Engine, layout: Option<Layout>) -> anyhow::Result<(Root, Files)> {
    let up = "CREATE TABLE IF NOT EXISTS customers (\n    id BIGINT PRIMARY KEY,\n    name TEXT NOT NULL\n);\n";
    let down = "DROP TABLE IF EXISTS customers;\n";
    if are_operations(engine) || engine == Engine::Redis {
        return Ok(typed(engine));
    }
    let layout = layout.unwrap_or(Layout::Numbered);
    // A service's tables are named with its schema [S1-67].
    let named = if engine == Engine::Postgresql { "customer_service.customers" } else { "customers" };
    let both = |before: &str, between: &str| format!("{before}\n{up}\n{between}\n{down}");
    let (path, files): (String, Vec<(&str, String)>) = match layout {
        Layout::Numbered => (
            format!("migrations/{engine}"),
            vec![("0001_customers.up.sql", up.to_owned()), ("0001_customers.down.sql", down.to_owned())],
        ),
        Layout::Sqlx => (
            "migrations".to_owned(),
            vec![
                ("20240101000000_customers.up.sql", up.to_owned()),
                ("20240101000000_customers.down.sql", down.to_owned()),
            ],
        ),
        Layout::Flyway => (
            "db/migration".to_owned(),
            vec![("V1__customers.sql", up.to_owned()), ("U1__customers.sql", down.to_owned())],
        ),
        Layout::Goose => {
            ("migrations".to_owned(), vec![("00001_customers.sql", both("-- +goose Up", "-- +goose Down"))])
        }
        Layout::SqlMigrate => {
            ("migrations".to_owned(), vec![("1-customers.sql", both("-- +migrate Up", "-- +migrate Down"))])
        }
        Layout::Dbmate => (
            "db/migrations".to_owned(),
            vec![("20240101000000_customers.sql", both("-- migrate:up", "-- migrate:down"))],
        ),
        Layout::Diesel => (
            "migrations".to_owned(),
            vec![
                ("2024-01-01-000000_customers/up.sql", up.to_owned()),
                ("2024-01-01-000000_customers/down.sql", down.to_owned()),
            ],
        ),
        Layout::Prisma => (
            "prisma/migrations".to_owned(),
            vec![
                ("20240101000000_customers/migration.sql", up.to_owned()),
                ("migration_lock.toml", format!("provider = \"{engine}\"\n")),
            ],
        ),
        Layout::Service => (
            "services/customer-service/migrations".to_owned(),
            vec![
                ("0001_customers.up.sql", up.replacen("customers", named, 1)),
                ("0001_customers.down.sql", down.replacen("customers", named, 1)),
                ("docs/0001_customers.md", "# 0001_customers\n\nMakes the customers.\n".to_owned()),
                (
                    "dependencies.json",
                    "{\n  \"service\": \"customer-service\",\n  \"migrations\": { \"0001_customers\": { \"depends_on\": [] } }\n}\n"
                        .to_owned(),
                ),
                ("README.md", "# Migrations of the customer service\n".to_owned()),
            ],
        ),
        Layout::Scripts => {
            let title = format!("-- Migration: Make the customers\n-- Type: SCHEMA_CHANGE\n-- Risk: LOW\n{up}");
            let files = vec![
                ("migrations/scripts/001_20240101_000000_customers.sql".to_owned(), title),
                ("migrations/rollbacks/001_20240101_000000_customers_rollback.sql".to_owned(), down.to_owned()),
            ];
            return Ok((Root::new("migrations/scripts".to_owned(), layout, engine), files));
        }
        Layout::Typed => {
            let (root, mut files) = typed(engine);
            files.push((format!("{}/001_customers.sql", root.path), up.to_owned()));
            files.push((format!("{}/001_customers_rollback.sql", root.path), down.to_owned()));
            return Ok((root, files));
        }
    };
    let named = files.into_iter().map(|(name, text)| (format!("{path}/{name}"), text)).collect();
    let root = if layout == Layout::Service { "services/*/migrations".to_owned() } else { path };
    Ok((Root::new(root, layout, engine), named))
}

/// The first migration of an engine whose migrations have metadata.
fn typed(engine: Engine) -> (Root, Files) {
    let path = format!("migrations/{engine}");
    let more = match engine {
        Engine::Mongodb => {
            ",\n  \"operations\": [ { \"type\": \"create_collection\", \"collection\": \"customers\" } ]"
        }
        Engine::Elasticsearch => {
            ",\n  \"operations\": [\n    { \"type\": \"create_index\", \"index\": \"customers_v1\", \"mapping\": { \"properties\": \
             { \"name\": { \"type\": \"keyword\" } } }, \"settings\": {} },\n    { \"type\": \"create_alias\", \"index\": \"customers_v1\", \"alias\": \"customers\" }\n  ]"
        }
        Engine::Redis => ",\n  \"keys\": { \"match\": \"customer:*\", \"count\": 500 }, \"args\": [\"86400\"]",
        Engine::Postgresql | Engine::Sqlite => "",
    };
    let json = format!(
        "{{\n  \"version\": \"1.0.0\", \"name\": \"customers\",\n  \"description\": \"The customers of the shop\",\n  \
         \"database_type\": \"{engine}\", \"migration_type\": \"schema\"{more}\n}}\n"
    );
    let mut files = vec![(format!("{path}/001_customers.json"), json)];
    if engine == Engine::Redis {
        let keep = "local changed = 0\nfor _, key in ipairs(KEYS) do\n  if redis.call('TTL', key) == -1 then\n    \
                    redis.call('EXPIRE', key, tonumber(ARGV[1]))\n    changed = changed + 1\n  end\nend\nreturn changed\n";
        let back = "local changed = 0\nfor _, key in ipairs(KEYS) do\n  changed = changed + redis.call('PERSIST', key)\nend\n\
                    return changed\n";
        files.push((format!("{path}/001_customers.lua"), keep.to_owned()));
        files.push((format!("{path}/001_customers_rollback.lua"), back.to_owned()));
    }
    (Root::new(path, Layout::Typed, engine), files)
}
