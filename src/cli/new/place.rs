//! In which folder a new migration belongs, and what else changes there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::exit::Failure;
use super::super::lint::read_here;
use super::super::{Global, above, gather};
use super::templates::{About, fill};
use super::{Args, Written};
use crate::config::RepoConfig;
use crate::ids::Engine;
use crate::migration::operations::are_operations;
use crate::migration::{
    Layout, Migration, MigrationRoot, MigrationSet, SourceFile, has_beside, resolve_below, service_at,
};

/// A folder of migrations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    pub unit: String,
    pub layout: Layout,
    pub engine: Engine,
    pub service: Option<String>,
    /// Whether it is the repository's own folder and its rollbacks stand beside that.
    pub beside: bool,
    /// Whether it holds no migration yet.
    pub is_new: bool,
}

/// The configuration of the repository, with its migrations.
pub(super) fn there(global: &Global) -> anyhow::Result<(RepoConfig, MigrationSet)> {
    let mut config = global.repo_config()?;
    gather::take_engines(&mut config, &|path| read_here(global, path))?;
    let set = gather::migrations(global, &config, &[], None)?;
    Ok((config, set))
}

/// The one folder that the arguments mean; what it holds is put into `set` where the configuration does not cover it.
///
/// # Errors
/// When there are several; they are named.
pub(super) fn find(global: &Global, config: &RepoConfig, set: &mut MigrationSet, args: &Args) -> anyhow::Result<Home> {
    let path = match &args.path {
        None => None,
        Some(path) => Some(below(global, path)?),
    };
    let above = above(&global.repo);
    let known: BTreeSet<Home> = set.migrations.iter().map(|m| Home::of(m, &above)).collect();
    let fits = |h: &&Home| {
        args.engine.is_none_or(|e| e == h.engine)
            && args.layout.is_none_or(|l| l == h.layout)
            && args.service.as_ref().is_none_or(|s| Some(s) == h.service.as_ref())
            && path.as_ref().is_none_or(|p| p == &h.unit)
    };
    let mut fitting = known.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => return Ok(one.clone()),
        (Some(_), Some(_)) => {
            let all: Vec<&Home> = known.iter().filter(fits).collect();
            let names: Vec<String> = all
                .iter()
                .map(|h| format!("`{}` ({}, {})", if h.unit.is_empty() { "." } else { &h.unit }, h.layout, h.engine))
                .collect();
            if args.asks {
                return Ok(all[super::ask::which(&names)?].clone());
            }
            return Err(Failure::usage(format!(
                "it could go to {}; say which with `--path`, `--engine`, `--layout` or `--service`",
                names.join(" or ")
            )));
        }
        (None, _) => {}
    }
    if path.is_some() && known.iter().any(|h| Some(&h.unit) == path.as_ref()) {
        return Err(Failure::usage(format!(
            "`{}` holds migrations of another engine, layout or service",
            path.unwrap_or_default()
        )));
    }
    let home = beginning(global, config, &known, args, path)?;
    let dir = global.repo.join(&home.unit);
    if home.unit.is_empty() || !dir.is_dir() {
        return Ok(home);
    }
    // The numbers that are taken there count, whether the configuration covers the folder or not.
    let held = gather::migrations(global, config, &[dir], Some(home.engine))?;
    let own = |m: &&Migration| m.unit == home.unit && m.layout == home.layout;
    let held: Vec<Migration> = held.migrations.iter().filter(own).cloned().collect();
    let is_new = held.is_empty();
    set.migrations.extend(held);
    Ok(Home { is_new, ..home })
}

/// A folder that the configuration names, that holds no migration yet and that the arguments fit.
///
/// # Errors
/// When there are several; they are named.
fn named_root(
    config: &RepoConfig,
    known: &BTreeSet<Home>,
    args: &Args,
    path: Option<&String>,
) -> anyhow::Result<Option<MigrationRoot>> {
    let is_empty = |root: &&MigrationRoot| {
        root.line.is_some() && !root.is_pattern() && !known.iter().any(|home| home.unit == root.path)
    };
    let fits = |root: &&MigrationRoot| {
        path.is_none_or(|path| *path == root.path)
            && args.engine.is_none_or(|engine| root.known_engine().is_none_or(|own| own == engine))
            && args.layout.is_none_or(|layout| root.layout.unwrap_or(Layout::Numbered) == layout)
            && (args.service.is_none() || root.layout == Some(Layout::Service))
    };
    let fitting: Vec<&MigrationRoot> = config.migrations.iter().filter(is_empty).filter(fits).collect();
    match fitting.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            let shown = |root: &&MigrationRoot| format!("`{}`", if root.path.is_empty() { "." } else { &root.path });
            let names: Vec<String> = several.iter().map(shown).collect();
            if args.asks {
                return Ok(Some(several[super::ask::which(&names)?].clone()));
            }
            Err(Failure::usage(format!("it could go to {}; say which with `--path`", names.join(" or "))))
        }
    }
}

/// A folder that a first migration makes.
fn beginning(
    global: &Global,
    config: &RepoConfig,
    known: &BTreeSet<Home>,
    args: &Args,
    path: Option<String>,
) -> anyhow::Result<Home> {
    let root = named_root(config, known, args, path.as_ref())?;
    let engine = args.engine.or_else(|| root.as_ref().and_then(MigrationRoot::known_engine));
    let engine = engine.unwrap_or(Engine::Postgresql);
    let path = path.or_else(|| root.as_ref().map(|root| root.path.clone()));
    // A folder that stands where a service keeps its migrations is that service's, unless something else is said.
    let place = above(&global.repo.join(path.as_deref().unwrap_or_default()));
    let stands = service_at(&place).filter(|name| args.service.as_deref().is_none_or(|given| given == *name));
    let layout = match (args.layout.or(root.as_ref().and_then(|root| root.layout)), &args.service) {
        _ if are_operations(engine) => Layout::Typed,
        (Some(layout), _) => layout,
        (None, Some(_)) => Layout::Service,
        (None, None) if stands.is_some() => Layout::Service,
        (None, None) => Layout::Numbered,
    };
    let given = args.service.clone().or_else(|| stands.filter(|_| layout == Layout::Service).map(str::to_owned));
    // Within the folder itself there is no other.
    let path = path.or_else(|| (layout == Layout::Service && stands.is_some()).then(String::new));
    if are_operations(engine) && args.layout.is_some_and(|l| l != Layout::Typed) {
        return Err(Failure::usage(format!("migrations for {engine} are written in the layout `typed` only")));
    }
    let service = match (layout, &given) {
        (Layout::Service, None) => return Err(Failure::usage("say whose migration it is: `--service NAME`")),
        (Layout::Service, Some(name)) => {
            let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(sound) {
                return Err(Failure::usage(format!("`{name}` is no name of a service: `a-z`, `0-9`, `-` and `_`")));
            }
            Some(name.clone())
        }
        (_, Some(name)) => return Err(Failure::usage(format!("no folder of a service `{name}` is there"))),
        (_, None) => None,
    };
    let usual = match layout {
        Layout::Numbered | Layout::Typed => format!("migrations/{engine}"),
        Layout::Flyway => "db/migration".to_owned(),
        Layout::Dbmate => "db/migrations".to_owned(),
        Layout::Prisma => "prisma/migrations".to_owned(),
        Layout::Scripts => "migrations/scripts".to_owned(),
        Layout::Service => format!("services/{}/migrations", service.as_deref().unwrap_or_default()),
        Layout::Goose | Layout::SqlMigrate | Layout::Sqlx | Layout::Diesel => "migrations".to_owned(),
    };
    let unit = path.unwrap_or(usual);
    let beside = unit.is_empty() && has_beside(&place);
    Ok(Home { unit, layout, engine, service, beside, is_new: true })
}

/// `path` as the repository names it.
fn below(global: &Global, path: &std::path::Path) -> anyhow::Result<String> {
    let outside = || Failure::usage(format!("`{}` does not lie in the repository", path.display()));
    let inside = match path.is_absolute() {
        true => path.strip_prefix(std::path::absolute(&global.repo)?).map_err(|_| outside())?.to_path_buf(),
        false => path.to_path_buf(),
    };
    let mut parts = Vec::new();
    for part in inside.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            std::path::Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    Ok(parts.join("/"))
}

/// Names of the files in a folder; none where it is not there.
fn names_in(dir: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(anyhow::Error::new(e).context(format!("cannot read `{}`", dir.display()))),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

impl Home {
    /// Names of the files in the folder.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self, global: &Global) -> anyhow::Result<Vec<String>> {
        names_in(&global.repo.join(&self.unit))
    }

    /// The folder of a migration, `above` being what is told by the repository's own.
    fn of(migration: &Migration, above: &str) -> Self {
        Self {
            unit: migration.unit.clone(),
            layout: migration.layout,
            engine: migration.engine,
            service: migration.service.clone(),
            beside: migration.unit.is_empty() && has_beside(above),
            is_new: false,
        }
    }

    /// A path of the folder as the repository names it.
    pub fn path(&self, below: &str) -> String {
        match below.strip_prefix("../") {
            Some(beside) => match self.unit.rsplit_once('/') {
                Some((parent, _)) => format!("{parent}/{beside}"),
                None if self.beside => below.to_owned(),
                None => beside.to_owned(),
            },
            None if self.unit.is_empty() => below.to_owned(),
            None => format!("{}/{below}", self.unit),
        }
    }

    /// The entry that the configuration lacks, where it names folders and none of them holds what was written.
    pub fn missing_entry(
        &self,
        global: &Global,
        config: &RepoConfig,
        written: &[Written],
    ) -> anyhow::Result<Option<String>> {
        if !global.config_file().exists() {
            return Ok(None);
        }
        let files: Vec<SourceFile> =
            written.iter().map(|(path, text)| SourceFile::new(path.clone(), text.as_bytes())).collect();
        if !resolve_below(&above(&global.repo), &files, &config.migrations).migrations.is_empty() {
            return Ok(None);
        }
        let path = match (self.layout, self.unit.as_str()) {
            (Layout::Service, _) => "services/*/migrations",
            (_, "") => ".",
            (_, unit) => unit,
        };
        // A text for YAML that needs no knowledge of its words.
        let path = serde_json::to_string(path)?;
        Ok(Some(format!("  - path: {path}\n    layout: {}\n    engine: {}\n", self.layout, self.engine)))
    }

    /// The schema that tables are written with, and its dot.
    pub fn schema(&self) -> String {
        match (&self.service, self.layout) {
            (Some(service), Layout::Service) => format!("{}.", service.replace('-', "_")),
            _ => String::new(),
        }
    }

    /// What belongs into a folder besides its first migration.
    pub fn first_files(&self) -> Vec<Written> {
        match (self.is_new, self.layout, &self.service) {
            (true, Layout::Prisma, _) => {
                vec![(self.path("migration_lock.toml"), format!("provider = \"{}\"\n", self.engine))]
            }
            (true, Layout::Service, Some(service)) => {
                vec![(self.path("README.md"), format!("# Migrations of {service}\n"))]
            }
            _ => Vec::new(),
        }
    }

    /// The page that describes a service's migration [S1-30].
    pub fn page(&self, stem: &str, about: &About) -> Option<Written> {
        (self.layout == Layout::Service).then(|| {
            let text = format!("# {stem}\n\n{}.\n\n## What needs it\n\n## How to check it\n", about.description);
            (self.path(&format!("docs/{stem}.md")), text)
        })
    }

    /// The user's own template, filled in [S2-17] [S1-31].
    pub fn template(&self, global: &Global, about: &About, ending: &str) -> anyhow::Result<Option<String>> {
        let file = format!("{}.{ending}", about.kind.as_str());
        let places = [self.path("templates"), self.path("../templates"), "templates".to_owned()];
        for place in places {
            let path = format!("{place}/{file}");
            if let Some(text) = read_here(global, &path)? {
                return fill(&text, about).map(Some).map_err(|wrong| {
                    let told: Vec<String> =
                        wrong.iter().map(|(line, message)| format!("{path}:{line}: {message}")).collect();
                    Failure::usage(format!("{}\n  nothing was written", told.join("\n")))
                });
            }
        }
        Ok(None)
    }

    /// `dependencies.json` with the migration in it, where the layout has one [S1-75].
    pub fn declare(&self, global: &Global, stem: &str, last: Option<&str>) -> anyhow::Result<Option<Written>> {
        let Some(service) = self.service.as_ref().filter(|_| self.layout == Layout::Service) else { return Ok(None) };
        let path = self.path("dependencies.json");
        let mut value = match read_here(global, &path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| Failure::usage(format!("{path}:{}: {e}; mend it first", e.line().max(1))))?,
            None if self.is_new => {
                json!({ "service": service, "schema": service.replace('-', "_"), "migrations": {} })
            }
            None => return Ok(None),
        };
        let Some(entries) = value.get_mut("migrations").and_then(Value::as_object_mut) else {
            return Err(Failure::usage(format!("{path}: `migrations` is no object; mend it first")));
        };
        let needs: Vec<&str> = last.into_iter().collect();
        entries.insert(stem.to_owned(), json!({ "depends_on": needs }));
        Ok(Some((path, format!("{value:#}\n"))))
    }
}
