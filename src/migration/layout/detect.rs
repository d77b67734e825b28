//! Which layout a folder is in: what its files say by themselves. Two layouts in one folder are never guessed at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Layout, Reader, diesel, flyway, marked, numbered, prisma, scripts, service, sqlx, typed};
use crate::ids::Engine;
use crate::migration::dialect::{self, Dialect};
use crate::migration::operations::are_operations;
use crate::migration::{MigrationRoot, MigrationSet, Severity, SourceFile};

/// The files of one folder.
#[derive(Debug, Default)]
pub(in crate::migration) struct Folder<'a> {
    /// Directly in it: name and file.
    pub files: Vec<(&'a str, &'a SourceFile)>,
    /// One level below: name of the sub-folder → its files.
    pub below: BTreeMap<&'a str, Vec<(&'a str, &'a SourceFile)>>,
}

/// What stands around a folder.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::migration) struct Surroundings<'f, 'a> {
    /// The folder's path with what is known of the folders above it, by which some layouts are told.
    pub stands: &'f str,
    /// The files of `rollbacks` beside a folder `scripts`.
    pub rollbacks: Option<&'f Vec<(&'a str, &'a SourceFile)>>,
    /// The files of `data` beside it.
    pub data: Option<&'f Vec<(&'a str, &'a SourceFile)>>,
    /// The files of folders further below that Flyway reads with this one.
    pub deeper: &'f [(&'a str, &'a SourceFile)],
    /// The files of `docs` in it.
    pub docs: Option<&'f Vec<(&'a str, &'a SourceFile)>>,
    /// Whether files that are no migrations are named too, so that one that is missing is not there.
    pub names_all: bool,
}

impl Folder<'_> {
    pub fn file_count(&self, stands: &str, given: Option<Layout>) -> usize {
        let below = self.below.iter().filter(|(name, files)| self.is_part(stands, given, name, files));
        self.files.len() + below.map(|(_, files)| files.len()).sum::<usize>()
    }

    fn is_diesel(&self) -> bool {
        self.below.iter().any(|(name, files)| is_diesel_migration(name, files))
    }

    fn is_prisma(&self) -> bool {
        self.below.values().any(|files| is_prisma_migration(files))
    }

    /// Whether the sub-folder belongs to this folder rather than being one of its own.
    fn is_part(&self, stands: &str, given: Option<Layout>, name: &str, files: &[(&str, &SourceFile)]) -> bool {
        match given {
            None => {
                is_diesel_migration(name, files)
                    || is_prisma_migration(files)
                    || (service::is_service(stands) && is_environment(name))
                    || (self.is_flyway() && flyway::is_held_by(files))
            }
            Some(Layout::Diesel) => is_diesel_migration(name, files),
            Some(Layout::Prisma) => true,
            Some(Layout::Service) => is_environment(name),
            Some(Layout::Flyway) => flyway::is_held_by(files),
            Some(_) => false,
        }
    }

    fn is_flyway(&self) -> bool {
        self.files.iter().any(|(n, _)| flyway::is_titled(n))
    }

    /// Whether Flyway, whose location it is, reads all that is below it as well.
    pub fn goes_deep(&self, root: &MigrationRoot) -> bool {
        match root.layout {
            Some(Layout::Flyway) => !root.is_pattern() || flyway::is_held_by(&self.files),
            Some(_) => false,
            None => self.is_flyway(),
        }
    }

    /// Whether it holds a file that Flyway would take.
    pub fn holds_flyway(&self) -> bool {
        flyway::is_held_by(&self.files)
    }

    /// Paths of the sub-folders that belong to this one: single migrations, environments.
    pub fn migration_folders(&self, dir: &str, stands: &str, given: Option<Layout>) -> impl Iterator<Item = String> {
        self.below
            .iter()
            .filter(move |(name, files)| self.is_part(stands, given, name, files))
            .map(move |(name, _)| if dir.is_empty() { (*name).to_owned() } else { format!("{dir}/{name}") })
    }

    /// For a repository without configuration: a folder whose files are named as only migrations are, or one whose path
    /// says that it holds migrations. A folder of numbered reports does not count.
    pub fn clearly_holds_migrations(&self, dir: &str) -> bool {
        let named = dir.split('/').any(|p| matches!(p, "migrations" | "migration" | "migrate"));
        let pairs = self.files.iter().any(|(n, _)| n.ends_with(".up.sql") && numbered::parse_name(n).is_some());
        let sql = self.files.iter().any(|(n, _)| n.ends_with(".sql"));
        pairs
            || self.is_diesel()
            || (named && self.is_prisma())
            || self.below.iter().any(|(name, files)| is_prisma_migration(files) && prisma::is_stamped(name))
            || self.says_so(dir)
            || self.files.iter().any(|(n, _)| flyway::is_versioned(n))
            || (dir.rsplit('/').next() == Some("scripts") && self.files.iter().any(|(n, _)| scripts::is_named(n)))
            || (sql && self.marks().next().is_some())
            || (named && (sql || self.is_typed(engine_of_folder(dir))))
    }

    /// The layouts that files with both directions in them are marked for, with the file.
    fn marks(&self) -> impl Iterator<Item = (Layout, &str)> {
        let layout = |file: &SourceFile| file.content.bytes().and_then(marked::layout_of_bytes);
        let scripts = self.files.iter().filter(|(n, _)| n.ends_with(".sql"));
        scripts.filter_map(move |(name, file)| Some((layout(file)?, *name)))
    }

    /// Whether the folder is named after an engine and a numbered JSON file in it has a field of a migration, be the rest of
    /// it as broken as it may.
    fn says_so(&self, dir: &str) -> bool {
        engine_of_folder(dir).is_some() && self.mentions(&["\"database_type\"", "\"migration_type\"", "\"operations\""])
    }

    /// Whether a numbered JSON file says which database it is for.
    fn declares(&self) -> bool {
        self.mentions(&["\"database_type\""])
    }

    /// The engine that the numbered JSON files say they are for, where all of them agree.
    fn declared(&self) -> Option<Engine> {
        let files = self.files.iter().filter(|(name, _)| is_numbered_json(name));
        let mut engines = files.filter_map(|(_, file)| file.content.bytes().and_then(declared_engine));
        let first = engines.next()?;
        engines.all(|engine| engine == first).then_some(first)
    }

    fn mentions(&self, fields: &[&str]) -> bool {
        let files = self.files.iter().filter(|(name, _)| is_numbered_json(name));
        files
            .filter_map(|(_, file)| file.content.bytes())
            .any(|bytes| fields.iter().any(|field| bytes.windows(field.len()).any(|part| part == field.as_bytes())))
    }

    /// Whether numbered JSON files stand in a folder of `engine`, or say themselves that they are halves of migrations: a
    /// folder that is given by its path alone has no name here.
    fn is_typed(&self, engine: Option<Engine>) -> bool {
        self.declares() || (engine.is_some() && self.files.iter().any(|(n, _)| is_numbered_json(n)))
    }

    /// Every layout that something in the folder speaks for, with what does.
    fn candidates(&self, around: Surroundings<'_, '_>) -> BTreeMap<Layout, String> {
        let mut found: BTreeMap<Layout, String> = BTreeMap::new();
        for (name, files) in &self.below {
            if is_prisma_migration(files) {
                found.entry(Layout::Prisma).or_insert_with(|| format!("{name}/migration.sql"));
            }
            if is_diesel_migration(name, files) {
                let file = files.iter().find(|(n, _)| matches!(*n, "up.sql" | "down.sql")).map_or("", |(n, _)| n);
                found.entry(Layout::Diesel).or_insert_with(|| format!("{name}/{file}"));
            }
        }
        for (layout, name) in self.marks() {
            found.entry(layout).or_insert_with(|| name.to_owned());
        }
        let is_scripts = around.rollbacks.is_some() || around.stands.rsplit('/').next() == Some("scripts");
        for (name, _) in self.files.iter().filter(|(n, _)| n.ends_with(".sql")) {
            if flyway::is_titled(name) {
                found.entry(Layout::Flyway).or_insert_with(|| (*name).to_owned());
            } else if is_scripts && scripts::is_named(name) {
                found.entry(Layout::Scripts).or_insert_with(|| (*name).to_owned());
            } else if (name.ends_with(".up.sql") || name.ends_with(".down.sql")) && numbered::parse_name(name).is_some()
            {
                let layout = if service::is_service(around.stands) { Layout::Service } else { Layout::Numbered };
                found.entry(layout).or_insert_with(|| (*name).to_owned());
            }
        }
        // Numbered files without a direction in their name fit several layouts: they speak only where nothing else does.
        if found.is_empty()
            && let Some((name, _)) = self.files.iter().find(|(n, _)| numbered::parse_name(n).is_some())
        {
            let layout = if service::is_service(around.stands) { Layout::Service } else { Layout::Numbered };
            found.insert(layout, (*name).to_owned());
        }
        if found.is_empty()
            && let Some((name, _)) = self.files.iter().find(|(n, _)| flyway::is_named(n))
        {
            found.insert(Layout::Flyway, (*name).to_owned());
        }
        found
    }
}

/// Whether a folder of a service is one of an environment, or is meant as one.
fn is_environment(name: &str) -> bool {
    service::ENVIRONMENTS.contains(&name) || service::meant_for(name).is_some()
}

fn is_diesel_migration(name: &str, files: &[(&str, &SourceFile)]) -> bool {
    // A `down.sql` beside a `migration.sql` undoes that one.
    name.starts_with(|c: char| c.is_ascii_digit())
        && files.iter().any(|(n, _)| *n == "up.sql" || (*n == "down.sql" && !is_prisma_migration(files)))
}

fn is_prisma_migration(files: &[(&str, &SourceFile)]) -> bool {
    files.iter().any(|(n, _)| *n == "migration.sql")
}

fn is_numbered_json(name: &str) -> bool {
    name.ends_with(".json") && name.starts_with(|c: char| c.is_ascii_digit())
}

/// The kind of database that a JSON migration says itself it is for.
pub fn declared_engine(bytes: &[u8]) -> Option<Engine> {
    #[derive(serde::Deserialize)]
    struct Declared {
        database_type: String,
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice::<Declared>(bytes).ok()?.database_type.parse().ok()
}

/// The engine a folder's own name stands for, `…/postgresql`.
fn engine_of_folder(dir: &str) -> Option<Engine> {
    dir.rsplit('/').next().and_then(|name| name.parse().ok())
}

/// Reads one folder by its layout, given or detected, into the set.
pub(in crate::migration) fn read_folder(
    dir: &str,
    folder: &Folder<'_>,
    around: Surroundings<'_, '_>,
    root: &MigrationRoot,
    set: &mut MigrationSet,
) {
    let of_folder = engine_of_folder(around.stands);
    // Where neither the configuration nor the folder's name tells, the files may.
    let engine = root.engine.or(of_folder).or_else(|| folder.declared());
    let chosen = root.layout.map_or_else(|| detect(folder, around, engine, of_folder), Ok);
    let layout = chosen.as_ref().copied().unwrap_or(Layout::Numbered);
    let engine = engine.or_else(|| prisma::engine_of(folder).filter(|_| layout == Layout::Prisma));
    let engine = engine.unwrap_or(Engine::Postgresql);
    let mut reader = Reader { unit: dir, stands: around.stands, layout, engine, root, only_in: None, set };
    if root.engine.is_none()
        && !service::is_service(around.stands)
        && let Some(foreign) = dialect::of_folder(around.stands)
    {
        return not_ours(folder, foreign, &mut reader);
    }
    if let Err(candidates) = chosen {
        return ambiguous(dir, folder, &candidates, &mut reader);
    }
    match layout {
        Layout::Numbered => numbered::read(folder, &mut reader),
        Layout::Typed => typed::read(folder, &mut reader),
        Layout::Diesel => diesel::read(folder, &mut reader),
        Layout::Service => service::read(folder, around, &mut reader),
        Layout::Scripts => scripts::read(folder, around, &mut reader),
        Layout::Prisma => prisma::read(folder, &mut reader),
        Layout::Flyway => flyway::read(folder, around, &mut reader),
        Layout::Goose | Layout::SqlMigrate | Layout::Dbmate => marked::read(folder, &mut reader),
        Layout::Sqlx => sqlx::read(folder, &mut reader),
    }
}

fn detect(
    folder: &Folder<'_>,
    around: Surroundings<'_, '_>,
    engine: Option<Engine>,
    of_folder: Option<Engine>,
) -> Result<Layout, BTreeMap<Layout, String>> {
    // Operations are written in one layout only, whatever the folder is called.
    if engine.is_some_and(are_operations) {
        return Ok(Layout::Typed);
    }
    let mut candidates = folder.candidates(around);
    if folder.is_typed(of_folder) {
        let pairs: BTreeSet<Layout> = candidates.keys().copied().collect();
        // The SQL half of a typed pair is a numbered file.
        if pairs.iter().all(|l| *l == Layout::Numbered) {
            return Ok(Layout::Typed);
        }
        candidates.insert(Layout::Typed, "NNN_name.json".to_owned());
    }
    match candidates.len() {
        0 => Ok(Layout::Numbered),
        1 => Ok(candidates.into_keys().next().unwrap_or(Layout::Numbered)),
        _ => Err(candidates),
    }
}

/// Says once that a folder is named after a database that is none of the engines; none of its files is read.
fn not_ours(folder: &Folder<'_>, foreign: Dialect, reader: &mut Reader<'_>) {
    let below = folder.below.values().flatten();
    let scripts = || folder.files.iter().chain(below.clone()).filter(|(name, _)| name.ends_with(".sql"));
    let Some((_, first)) = scripts().next() else { return };
    let message = format!(
        "is in a folder named after {}, which is none of Godwit's engines; none of the folder's {} scripts is looked at, and none would run",
        foreign.name,
        scripts().count()
    );
    let help = "leave the folder to the tool that runs it, out of `migrations` in `godwit.yml`; where it holds PostgreSQL's SQL, say \
                `engine: postgresql` there";
    reader.problem(&first.path, 1, "foreign-dialect", Severity::Warning, message, help);
}

/// Says that a folder speaks for several layouts, and what to write.
fn ambiguous(dir: &str, folder: &Folder<'_>, candidates: &BTreeMap<Layout, String>, reader: &mut Reader<'_>) {
    let names: Vec<String> = candidates.iter().map(|(layout, file)| format!("`{layout}` (by `{file}`)")).collect();
    let path = if dir.is_empty() { "." } else { dir };
    // The layout that the fewest files speak for is most likely the slip; its file is the place.
    let place = candidates.values().last().map_or("", String::as_str);
    let file = if dir.is_empty() { place.to_owned() } else { format!("{dir}/{place}") };
    let first = candidates.keys().next().map_or("numbered", |l| l.as_str());
    reader.problem(
        &file,
        1,
        "ambiguous-layout",
        Severity::Error,
        format!(
            "this folder could be {}; none of its {} files is read",
            names.join(" or "),
            folder.file_count(reader.stands, None)
        ),
        &format!(
            "say which in `godwit.yml`: `migrations: [{{ path: {path}, layout: {first} }}]`, or move the files of the other \
             into a folder of their own"
        ),
    );
}
