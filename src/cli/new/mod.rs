//! `godwit new`: a migration from a template, numbered for its folder, with its way back. Never overwrites.

mod ask;
mod names;
mod place;
mod templates;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;

use self::names::{Step, snake};
use self::place::Home;
use self::templates::{About, Scripts};
use super::exit::Failure;
use super::{Exit, Format, Global, print};
use crate::config::RepoConfig;
use crate::ids::{Engine, Risk};
use crate::migration::duration;
use crate::migration::operations::are_operations;
use crate::migration::{Layout, Migration};

/// Arguments of `godwit new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit new create_orders --engine postgresql --type table
  godwit new index_orders --type index --table orders --column placed_at
  godwit new --name add_user_profiles --service user-service --type table
  godwit new --type SCHEMA_CHANGE --description \"Add user preferences table\" --risk LOW --ticket PROJ-123
  godwit new add_user_profiles --layout typed --database mongodb

A folder `templates` beside the migrations, or in the repository, overrides what is written: `TYPE.up.sql`,
`TYPE.down.sql`, `TYPE.up.lua`, `TYPE.down.lua` or `TYPE.json`, with `{{name}}`, `{{table}}`, `{{column}}`,
`{{description}}`, `{{author}}`, `{{ticket}}`, `{{risk}}`, `{{duration}}`, `{{type}}`, `{{engine}}`, in the layout `typed`
`{{version}}` and in the layout `service` `{{schema}}` in it.")]
pub struct Args {
    /// Whether somebody answers questions
    #[arg(skip)]
    asks: bool,
    /// What it is called; made of the description where it is not given
    #[arg(value_name = "NAME")]
    word: Option<String>,
    /// The same
    #[arg(long, value_name = "NAME", conflicts_with = "word")]
    name: Option<String>,
    /// The kind of database
    #[arg(long, visible_alias = "database", value_name = "ENGINE")]
    engine: Option<Engine>,
    /// What it does
    #[arg(long = "type", value_name = "TYPE", ignore_case = true)]
    kind: Option<Kind>,
    /// The layout, where the repository has several or none
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// The folder, where the repository has several
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The service that owns it
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// The table, collection or index that it is about (default: from its name)
    #[arg(long, value_name = "NAME", value_parser = word)]
    table: Option<String>,
    /// The column or field that it is about
    #[arg(long, value_name = "NAME", default_value = "status", value_parser = word)]
    column: String,
    /// The risk it has at least
    #[arg(long, value_name = "RISK")]
    risk: Option<Risk>,
    /// The ticket it is for
    #[arg(long, value_name = "TICKET", value_parser = line)]
    ticket: Option<String>,
    /// Who writes it (default: the name that git knows)
    #[arg(long, value_name = "NAME", value_parser = line)]
    author: Option<String>,
    /// What it does, in words
    #[arg(long, value_name = "TEXT", value_parser = line)]
    description: Option<String>,
    /// How long it takes, such as `5m`
    #[arg(long, value_name = "TIME", value_parser = time)]
    duration: Option<String>,
}

/// What a migration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A new table, collection or index of documents
    Table,
    /// An index, built beside the running application
    Index,
    /// Rows that change, in batches
    #[value(alias = "data_migration")]
    Data,
    /// Another change of the schema
    #[value(alias = "schema_change")]
    Schema,
    /// A small, guarded repair
    Hotfix,
    /// The first half of a change that old and new programs live through
    Expand,
    /// The last half, which takes the old form away
    Contract,
}

impl Kind {
    /// What is meant by a type, or by none, and a name: a change of the schema that makes a table is a new table.
    fn meant(given: Option<Kind>, name: &str) -> Self {
        let makes = ["add_", "create_", "make_", "new_"].iter().any(|verb| name.starts_with(verb));
        // `add_note_to_orders_table` makes none.
        let is_part = ["_to_", "_on_", "_in_", "_from_", "_of_", "_for_"].iter().any(|word| name.contains(word));
        match given {
            Some(Kind::Schema) | None if makes && name.ends_with("_table") && !is_part => Kind::Table,
            None if name.starts_with("create_") => Kind::Table,
            None => Kind::Schema,
            Some(kind) => kind,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Index => "index",
            Kind::Data => "data",
            Kind::Schema => "schema",
            Kind::Hotfix => "hotfix",
            Kind::Expand => "expand",
            Kind::Contract => "contract",
        }
    }

    /// Its name in `migration_type`.
    fn in_metadata(self) -> &'static str {
        match self {
            Kind::Table | Kind::Schema | Kind::Expand | Kind::Contract => "schema",
            Kind::Index => "index",
            Kind::Data => "data",
            Kind::Hotfix => "hotfix",
        }
    }

    /// Its name in the header of a script [S2-72] [S2-74] [S2-76].
    fn in_scripts(self) -> &'static str {
        match self {
            Kind::Table | Kind::Index | Kind::Schema | Kind::Expand | Kind::Contract => "SCHEMA_CHANGE",
            Kind::Data => "DATA_MIGRATION",
            Kind::Hotfix => "HOTFIX",
        }
    }

    fn step(self, engine: Engine) -> Step {
        match self {
            Kind::Contract => Step::Major,
            // There an index is what holds the documents.
            Kind::Index if engine == Engine::Elasticsearch => Step::Minor,
            Kind::Hotfix | Kind::Index => Step::Patch,
            Kind::Table | Kind::Data | Kind::Schema | Kind::Expand => Step::Minor,
        }
    }
}

/// A name that may stand in SQL and in a file's name without quotes.
fn word(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    Err("letters, digits and `_`, beginning with a letter".to_owned())
}

/// A text that stays on its line of a comment.
fn line(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("one line of text, not empty".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// How long something takes, as a header says it.
fn time(text: &str) -> Result<String, String> {
    let text = line(text)?;
    duration::parse(&text).map(|_| text)
}

/// A file to write: path below the repository, and its text.
type Written = (String, String);

/// Runs the command.
///
/// # Errors
/// Usage errors; a file that is there already.
pub fn run(global: &Global, mut args: Args) -> anyhow::Result<Exit> {
    let given = args.word.take().or(args.name.take());
    let given = match given.or_else(|| args.description.clone()) {
        Some(name) => name,
        None => ask::questions(&mut args)?,
    };
    let name = snake(&given).map_err(Failure::usage)?;
    if name.is_empty() || name.len() > 100 {
        return Err(Failure::usage("give a name of letters and digits, 100 at most, or a `--description`"));
    }
    if name.ends_with("_rollback") {
        let what = name.trim_end_matches("_rollback");
        return Err(Failure::usage(format!(
            "a file whose name ends with `_rollback` is the way back of another [S4-66]: give a name such as `undo_{what}`"
        )));
    }
    let (config, mut set) = place::there(global)?;
    let home = place::find(global, &config, &mut set, &args)?;
    let there: Vec<&Migration> =
        set.migrations.iter().filter(|m| m.unit == home.unit && m.engine == home.engine).collect();
    let kind = Kind::meant(args.kind, &name);
    let files = home.files(global)?;
    let taken = names::highest(files.iter().map(String::as_str));
    let (step, now) = (kind.step(home.engine), chrono::Utc::now());
    let place = names::next(home.layout, &name, (&there, taken.as_deref()), step, now);
    let description = args.description.clone().unwrap_or_else(|| sentence(&name));
    let about = About {
        kind,
        engine: home.engine,
        version: place.version.clone(),
        description,
        author: args.author.clone().unwrap_or_else(|| author(&global.repo)),
        ticket: args.ticket.clone(),
        risk: args.risk,
        duration: args.duration.clone(),
        schema: home.schema(),
        table: args.table.clone().unwrap_or_else(|| templates::table_of(&name)),
        column: args.column.clone(),
        name,
    };
    let mut files = texts(global, &home, &place, &about)?;
    files.extend(home.first_files());
    files.extend(home.page(&place.stem, &about));
    // What runs in one environment alone is not there in the others.
    let last = there.iter().rfind(|m| m.only_in.is_none()).map(|m| m.id.as_str());
    let declared = home.declare(global, &place.stem, last)?;
    write_all(&global.repo, &files, declared.as_ref())?;
    // Prisma's folders run in the order of their names, and one that begins with no time comes behind all that do.
    if let Some(later) = there.iter().map(|m| m.id.as_str()).filter(|id| *id > place.stem.as_str()).max()
        && home.layout == Layout::Prisma
    {
        anstream::eprintln!(
            "note: `{later}` comes behind it by its name; where that is applied, this one runs with `--out-of-order apply` alone"
        );
    }
    let missing = home.missing_entry(global, &config, &files)?;
    let mut paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let changed = declared.as_ref().map(|(path, _)| path.as_str());
    match global.format {
        Format::Json => {
            let value = serde_json::json!({ "migration": place.stem, "layout": home.layout, "engine": home.engine,
                "files": paths, "changed": changed, "missing_entry": missing });
            print::json(&value)?;
        }
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            paths.sort_unstable();
            let mut text: String = paths.iter().map(|path| format!("written  {path}\n")).collect();
            text.extend(changed.map(|path| format!("changed  {path}\n")));
            text.push_str("next: put in what it really does, then `godwit lint`\n");
            if let Some(entry) = missing {
                text.push_str(&format!(
                    "`{}` does not cover this folder, so nothing lints or runs what is in it; add to its `migrations:`\n{entry}",
                    RepoConfig::FILE
                ));
            }
            print::prose(&text)?;
        }
    }
    Ok(Exit::Done)
}

/// The scripts and metadata of the migration.
fn texts(global: &Global, home: &Home, place: &names::Place, about: &About) -> anyhow::Result<Vec<Written>> {
    let at = |path: &str| home.path(path);
    let own = |ending: &str| home.template(global, about, ending);
    if are_operations(home.engine) || home.layout == Layout::Typed {
        let stem = &place.stem;
        let json = match own("json")? {
            Some(text) => text,
            None => templates::json(about),
        };
        let mut files = vec![(at(&format!("{stem}.json")), json)];
        let scripts = match home.engine {
            Engine::Mongodb | Engine::Elasticsearch => None,
            Engine::Redis => Some(("lua", templates::lua(about.kind))),
            Engine::Postgresql | Engine::Sqlite => {
                let Scripts { up, down, .. } = templates::sql(about);
                Some(("sql", (format!("{}{up}", templates::header(about, home.layout)), down)))
            }
        };
        if let Some((ending, (up, down))) = scripts {
            files.push((at(&format!("{stem}.{ending}")), own(&format!("up.{ending}"))?.unwrap_or(up)));
            files.push((at(&format!("{stem}_rollback.{ending}")), own(&format!("down.{ending}"))?.unwrap_or(down)));
        }
        return Ok(files);
    }
    let mut scripts = templates::sql(about);
    let mut header = templates::header(about, home.layout);
    if let Some(text) = own("up.sql")? {
        // The user's own text has its own header.
        scripts.outside = text.to_ascii_uppercase().contains(" CONCURRENTLY ");
        (scripts.up, header) = (text, String::new());
    }
    if let Some(text) = own("down.sql")? {
        scripts.down = text;
    }
    let (up, down) = templates::laid_out(home.layout, &header, &scripts);
    let mut files = vec![(at(&place.up), up)];
    files.extend(place.down.as_ref().zip(down).map(|(path, text)| (at(path), text)));
    if scripts.outside {
        match home.layout {
            Layout::Diesel => {
                files.push((at(&format!("{}/metadata.toml", place.stem)), "run_in_transaction = false\n".to_owned()));
            }
            Layout::Flyway => {
                files.push((at(&format!("{}.conf", place.up)), "executeInTransaction=false\n".to_owned()));
            }
            _ => {}
        }
    }
    Ok(files)
}

fn sentence(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The name that git knows for this repository, else that of the account.
fn author(repo: &Path) -> String {
    git_name(repo).and_then(|name| line(&name).ok()).unwrap_or_else(super::settings::user)
}

#[cfg(feature = "bot")]
fn git_name(repo: &Path) -> Option<String> {
    let config = match git2::Repository::discover(repo) {
        Ok(repository) => repository.config(),
        Err(_) => git2::Config::open_default(),
    };
    config.ok()?.get_string("user.name").ok()
}

#[cfg(not(feature = "bot"))]
fn git_name(_: &Path) -> Option<String> {
    None
}

/// Writes all files, or none; `declared` replaces a file that is there, last.
fn write_all(repo: &Path, files: &[Written], declared: Option<&Written>) -> anyhow::Result<()> {
    if let Some((path, _)) = files.iter().find(|(path, _)| repo.join(path).symlink_metadata().is_ok()) {
        return Err(Failure::usage(format!("`{path}` is there already; nothing was written")));
    }
    let mut made: Vec<PathBuf> = Vec::new();
    let written = files.iter().try_for_each(|(path, text)| {
        let path = repo.join(path);
        let cannot = || format!("cannot write `{}`", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(cannot)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).with_context(cannot)?;
        made.push(path.clone());
        std::io::Write::write_all(&mut file, text.as_bytes()).with_context(cannot)
    });
    let written = written.and_then(|()| match declared {
        Some((path, text)) => {
            let path = repo.join(path);
            // Beside it first, so that nobody reads half of it.
            let draft = path.with_extension("json.new");
            std::fs::write(&draft, text)
                .and_then(|()| std::fs::rename(&draft, &path))
                .with_context(|| format!("cannot write `{}`", path.display()))
        }
        None => Ok(()),
    });
    if written.is_err() {
        for path in &made {
            let _ = std::fs::remove_file(path);
        }
    }
    written
}
