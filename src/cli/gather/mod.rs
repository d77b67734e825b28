//! From paths on the command line to a set of migrations; what cannot be read becomes a problem, never a crash.

mod found;
mod shown;

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::cli::around::Around;
use crate::cli::exit::Failure;
use crate::cli::instead::Instead;
use crate::cli::standing::{above, linked};
use crate::cli::tree::BESIDE;
use crate::config::{Environments, LintConfig, RepoConfig};
use crate::ids::{Engine, MigrationId};
use crate::lint::table;
use crate::migration::checksum::both;
use crate::migration::layout::{declared_engine, split_marked};
use crate::migration::paths::below;
use crate::migration::roots::{LINK, uncovered_below};
use crate::migration::text::text;
use crate::migration::{
    Directives, FileContent, Layout, Migration, MigrationFile, MigrationRoot, MigrationSet, Problem, Script, Severity,
    SourceFile, Version, execution, has_beside, resolve, resolve_below,
};

pub(super) use found::{Files, READ, walk};
use found::{problem, read_file, read_found, unreadable};
use shown::Names;

/// The migrations that `paths` mean; without any, those of the repository's configured roots.
///
/// # Errors
/// A path that does not exist, or is neither a folder nor SQL.
pub(super) fn migrations(
    global: &Global,
    config: &RepoConfig,
    paths: &[PathBuf],
    engine: Option<Engine>,
) -> anyhow::Result<MigrationSet> {
    let Asked { mut set, files, .. } = asked(global, config, paths, engine, &Instead::default())?;
    if let Some(files) = files {
        set.migrations.retain(|m| m.files.iter().any(|f| files.contains(&f.path)));
    }
    Ok(set)
}

/// What paths mean.
pub(super) struct Asked {
    /// The migrations, and where single files were named, those of the folders around them.
    pub set: MigrationSet,
    /// Where single files were named: all that was named, with the other files of their migrations.
    pub files: Option<BTreeSet<String>>,
    /// Links that were named in place of folders: nothing behind them is looked at.
    pub links: BTreeSet<String>,
}

/// As [`migrations`], each file that is named among the migrations of its folder, by which it is judged. What is deleted since
/// a base holds nothing, and of folders it is what is staged that counts.
///
/// # Errors
/// A path that does not exist, or is neither a folder nor SQL.
pub(super) fn asked(
    global: &Global,
    config: &RepoConfig,
    paths: &[PathBuf],
    engine: Option<Engine>,
    instead: &Instead,
) -> anyhow::Result<Asked> {
    if paths.is_empty() {
        return Ok(Asked { set: repository(global, config, engine, instead)?, files: None, links: BTreeSet::new() });
    }
    let mut links = BTreeSet::new();
    let mut taken = Taken::default();
    let mut named = BTreeSet::new();
    let mut around = Around::default();
    let mut is_single = false;
    let mut names = Names::new(&global.repo);
    for path in &super::patterns::filled_in(paths)? {
        let shown = names.of(path);
        if instead.of(&shown) == Some(None) {
            // Nothing of it would be recorded.
            is_single = true;
            named.insert(shown);
            continue;
        }
        let found = match std::fs::metadata(path) {
            Ok(found) => Some(found),
            // It lies in git's index alone.
            Err(e)
                if e.kind() == std::io::ErrorKind::NotFound
                    && (instead.of(&shown).is_some() || instead.holds_below(&shown)) =>
            {
                None
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && instead.was_there(&shown) => {
                is_single |= instead.before.contains(&shown);
                named.insert(shown);
                continue;
            }
            Err(e) => return Err(Failure::usage(format!("cannot look at `{}`: {e}", path.display()))),
        };
        let is_folder = found.as_ref().map_or_else(|| instead.of(&shown).is_none(), Metadata::is_dir);
        if let Some(link) = is_folder.then(|| linked(path)).flatten() {
            let (link, help) = (link.to_string_lossy().replace('\\', "/"), "name the folder itself");
            links.insert(link.clone());
            taken.set.problems.push(problem(&link, 1, "symlink", LINK, help));
        } else if let Some((script, name)) = is_folder.then(|| script_in(path)).flatten()
            && let shown = if shown.is_empty() { name.to_owned() } else { format!("{shown}/{name}") }
            && let Some((part, files)) = around.of(&script, &shown, config, engine, instead)
        {
            is_single = true;
            taken.set.files_seen += files.len();
            named.extend(files);
            taken.add(part);
        } else if is_folder {
            let part = if shown.is_empty() {
                repository(global, config, engine, instead)?
            } else {
                folder(path, &shown, config, engine, instead)
            };
            named.extend(files_of(&part));
            taken.add(part);
        } else if shown.ends_with(".sql") {
            is_single = true;
            named.insert(shown.clone());
            taken.set.files_seen += 1;
            match around.of(path, &shown, config, engine, instead) {
                Some((part, files)) => {
                    named.extend(files);
                    taken.add(part);
                }
                None => taken.add(single(path, found.as_ref(), &shown, engine, instead)),
            }
        } else if shown.ends_with(".json") || shown.ends_with(".lua") {
            is_single = true;
            let (part, files) = document(path, &shown, config, engine, instead)?;
            taken.set.files_seen += 1;
            named.extend(files);
            taken.add(part);
        } else {
            let message = format!("`{}` is neither a folder nor a `.sql`, `.json` or `.lua` file", path.display());
            return Err(Failure::usage(message));
        }
    }
    named.extend(links.iter().cloned());
    Ok(Asked { set: taken.set, files: is_single.then_some(named), links })
}

/// The script of a folder that is one migration, as diesel's and Prisma's are.
fn script_in(folder: &Path) -> Option<(PathBuf, &'static str)> {
    let scripts = ["migration.sql", "up.sql"].map(|name| (folder.join(name), name));
    scripts.into_iter().find(|(script, _)| script.is_file())
}

/// Every file that a set speaks of.
fn files_of(set: &MigrationSet) -> impl Iterator<Item = String> + '_ {
    let told = set.problems.iter().chain(&set.remarks).map(|p| p.file.clone());
    told.chain(set.migrations.iter().flat_map(|m| &m.files).map(|f| f.path.clone()))
}

/// What the paths so far have brought.
#[derive(Default)]
struct Taken {
    set: MigrationSet,
    /// The paths of its migrations.
    known: HashSet<String>,
}

impl Taken {
    /// Adds what is not there yet: a folder may be named beside a file in it.
    fn add(&mut self, part: MigrationSet) {
        let Self { set, known } = self;
        set.files_seen += part.files_seen;
        set.migrations.extend(part.migrations.into_iter().filter(|m| known.insert(m.up.path.clone())));
        for (all, new) in [(&mut set.problems, part.problems), (&mut set.remarks, part.remarks)] {
            let new: Vec<Problem> = new.into_iter().filter(|p| !all.contains(p)).collect();
            all.extend(new);
        }
        set.models.extend(part.models.into_iter().filter(|m| !set.models.contains(m)).collect::<Vec<_>>());
        set.misnamed.extend(part.misnamed.into_iter().filter(|f| !set.misnamed.contains(f)).collect::<Vec<_>>());
        set.settings.extend(part.settings.into_iter().filter(|s| !set.settings.contains(s)).collect::<Vec<_>>());
    }
}

/// The entry of the configuration that names a folder.
pub(super) fn covering(shown: &str, config: &RepoConfig) -> Option<MigrationRoot> {
    let named = |root: &&MigrationRoot| root.line.is_some() && root.path != "**";
    config.migrations.iter().filter(named).find(|root| root.matcher().is_some_and(|fits| fits(shown))).cloned()
}

fn repository(
    global: &Global,
    config: &RepoConfig,
    engine: Option<Engine>,
    instead: &Instead,
) -> anyhow::Result<MigrationSet> {
    if !global.repo.is_dir() {
        return Err(Failure::usage(format!("`{}` is not a folder", global.repo.display())));
    }
    let mut roots = config.migrations.clone();
    for root in &mut roots {
        root.engine = engine.or(root.engine);
    }
    let Files { mut files, problems } = walk(&global.repo, &|_| true);
    instead.lay("", &mut files);
    let mut set = resolve_below(&above(&global.repo), &files, &roots);
    let paths = files.iter().map(|file| file.path.as_str());
    set.remarks.extend(uncovered_below(paths, &roots, &set));
    // What cannot be read matters only where migrations are.
    set.problems.extend(problems.into_iter().filter(|p| p.file.ends_with(".sql")));
    Ok(set)
}

/// A folder that was named: itself a root, and whatever below it clearly holds migrations.
fn folder(path: &Path, shown: &str, config: &RepoConfig, engine: Option<Engine>, instead: &Instead) -> MigrationSet {
    // A folder may be there in git's index alone.
    let Files { mut files, problems } = if path.exists() { walk(path, &|_| true) } else { Files::default() };
    instead.lay(shown, &mut files);
    let mut set = read_below(&above(path), &files, shown, config, engine);
    loose_files(&files, engine.or(named_after(shown)), &mut set);
    set.problems.extend(problems);
    shown_below(shown, &mut set);
    set
}

/// The engine that a folder is named after.
fn named_after(shown: &str) -> Option<Engine> {
    shown.rsplit('/').next().and_then(|name| name.parse().ok())
}

/// The files of the folder `shown`, with paths relative to it, as migrations; as the configuration says where it names the
/// folder.
fn read_below(
    above: &str,
    files: &[SourceFile],
    shown: &str,
    config: &RepoConfig,
    engine: Option<Engine>,
) -> MigrationSet {
    let covering = covering(shown, config);
    let above = if covering.is_some() { shown } else { above };
    let given = covering.unwrap_or_else(|| MigrationRoot::folder(""));
    // The folder's own name says the engine, which is lost once paths are relative to it.
    let here = MigrationRoot { path: String::new(), engine: engine.or(given.engine).or(named_after(shown)), ..given };
    let deeper = MigrationRoot { engine, ..MigrationRoot::folder("**") };
    resolve_below(above, files, &[here, deeper])
}

/// Puts the folder in front of all paths again.
pub(super) fn shown_below(shown: &str, set: &mut MigrationSet) {
    let prefix = |path: &mut String| {
        *path = match path.strip_prefix("../") {
            Some(beside) if !shown.is_empty() => match shown.rsplit_once('/') {
                Some((around, _)) => format!("{around}/{beside}"),
                None => beside.to_owned(),
            },
            _ if shown.is_empty() => return,
            _ if path.is_empty() => shown.to_owned(),
            _ => format!("{shown}/{path}"),
        }
    };
    for migration in &mut set.migrations {
        prefix(&mut migration.unit);
        prefix(&mut migration.up.path);
        migration.down.iter_mut().for_each(|down| prefix(&mut down.path));
        migration.files.iter_mut().for_each(|file| prefix(&mut file.path));
    }
    set.problems.iter_mut().chain(&mut set.remarks).for_each(|problem| prefix(&mut problem.file));
    set.settings.iter_mut().for_each(|settings| prefix(&mut settings.unit));
    set.misnamed.iter_mut().for_each(prefix);
    for models in &mut set.models {
        prefix(&mut models.unit);
        models.files.iter_mut().for_each(|(path, _)| prefix(path));
    }
}

/// The migrations that `paths` meant when the repository's files were `files`: found as [`migrations`] finds those that
/// are there (`now`), so that the two can be compared.
///
/// # Errors
/// A pattern that cannot be read.
pub(super) fn before(
    global: &Global,
    config: &RepoConfig,
    paths: &[PathBuf],
    engine: Option<Engine>,
    files: &[SourceFile],
    now: &MigrationSet,
) -> anyhow::Result<MigrationSet> {
    let mut roots = config.migrations.clone();
    roots.iter_mut().for_each(|root| root.engine = engine.or(root.engine));
    if paths.is_empty() {
        return Ok(resolve(files, &roots));
    }
    // A file that is named was a migration's way forward, or it may be edited.
    let forward = LazyCell::new(|| -> HashMap<String, Migration> {
        let everywhere = MigrationRoot { engine, ..MigrationRoot::folder("**") };
        let known = resolve(files, &[roots.as_slice(), &[everywhere]].concat());
        known.migrations.into_iter().filter(|m| !m.repeatable).map(|m| (m.up.path.clone(), m)).collect()
    });
    let mut names = Names::new(&global.repo);
    let mut set = MigrationSet::default();
    for path in &super::patterns::filled_in(paths)? {
        let shown = names.of(path);
        // One that is deleted is known by what lay in it.
        let was_folder = || files.iter().any(|f| below(&f.path, &shown).is_some());
        let is_folder = path.is_dir() || (!path.exists() && was_folder());
        let found = match shown.rsplit_once('/') {
            _ if is_folder && shown.is_empty() => resolve(files, &roots),
            _ if is_folder => folder_before(&above(path), files, &shown, config, engine),
            _ if shown.ends_with(".sql") => {
                let mut own = MigrationSet::default();
                if let Some(merged) = forward.get(&shown) {
                    // As it is read now: in its folder, or alone.
                    if now.migrations.iter().any(|m| m.up.path == shown && m.id == merged.id) {
                        own.migrations.push(merged.clone());
                    } else if let Some(file) = files.iter().find(|f| f.path == shown) {
                        lone(Ok(file.content.clone()), &shown, engine, &mut own);
                    }
                }
                own
            }
            Some((around, _)) => {
                let above = path.parent().map(above).unwrap_or_default();
                let mut part = folder_before(&above, files, around, config, engine);
                part.migrations.retain(|m| m.files.iter().any(|f| f.path == shown));
                part
            }
            None => MigrationSet::default(),
        };
        set.migrations.extend(found.migrations);
        set.problems.extend(found.problems);
    }
    Ok(set)
}

/// The migrations of a folder in files as they were.
fn folder_before(
    above: &str,
    files: &[SourceFile],
    shown: &str,
    config: &RepoConfig,
    engine: Option<Engine>,
) -> MigrationSet {
    let around = dir_of(shown);
    let inside = |file: &SourceFile| {
        let own = below(&file.path, shown).map(str::to_owned);
        let path = own.or_else(|| {
            let beside = format!("../{}", file.path.strip_prefix(around)?.trim_start_matches('/'));
            let belongs = has_beside(above) && BESIDE.iter().any(|name| below(&beside, name).is_some());
            belongs.then_some(beside)
        })?;
        Some(SourceFile { path, content: file.content.clone() })
    };
    let files: Vec<SourceFile> = files.iter().filter_map(inside).collect();
    let mut set = read_below(above, &files, shown, config, engine);
    shown_below(shown, &mut set);
    set
}

/// SQL below a folder that was named, but in a layout that is not read: looked at file by file, since a linter that is
/// silent reads as safe. That it cannot be run stays a warning.
fn loose_files(files: &[SourceFile], engine: Option<Engine>, set: &mut MigrationSet) {
    let owned: HashSet<String> = set.migrations.iter().flat_map(|m| &m.files).map(|f| f.path.clone()).collect();
    let mut named: HashSet<String> = HashSet::new();
    for problem in &mut set.problems {
        if problem.rule == "unsupported-layout" {
            problem.severity = Severity::Warning;
        } else {
            named.insert(problem.file.clone());
        }
    }
    let counted: HashSet<String> = set.problems.iter().map(|p| p.file.clone()).collect();
    // What is in a folder named after another database is told once for the folder.
    let told = set.problems.iter().filter(|p| p.rule == "foreign-dialect");
    let foreign: Vec<String> = told.map(|p| dir_of(&p.file).to_owned()).collect();
    let is_foreign = |path: &str| foreign.iter().any(|dir| dir.is_empty() || below(path, dir).is_some());
    // The folder of a migration may be called so.
    let is_script = |f: &&SourceFile| f.path.ends_with(".sql") && !matches!(f.content, FileContent::Directory);
    let scripts = files.iter().filter(is_script).filter(|f| !f.path.starts_with("../"));
    for file in scripts.filter(|f| !is_foreign(&f.path)) {
        if !owned.contains(&file.path) && !named.contains(&file.path) {
            set.files_seen += usize::from(!counted.contains(&file.path));
            lone(Ok(file.content.clone()), &file.path, engine, set);
        }
    }
}

/// The folder of a path.
fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// One file as a migration of its own.
fn single(
    path: &Path,
    found: Option<&Metadata>,
    shown: &str,
    engine: Option<Engine>,
    instead: &Instead,
) -> MigrationSet {
    // Where the folder that was named lies is no part of what is recorded.
    let name = path.file_name().unwrap_or(path.as_os_str());
    let content = match (instead.of(shown).flatten(), found) {
        _ if name.to_str().is_none() => Ok(FileContent::Misnamed),
        (Some(staged), _) => Ok(staged.clone()),
        (None, Some(found)) => read_found(path, found),
        (None, None) => read_file(path),
    };
    let mut set = MigrationSet::default();
    lone(content, shown, engine, &mut set);
    set
}

/// One file of a migration that has JSON in it, with the folder around it: its migrations, and the files of the one that it
/// belongs to.
fn document(
    path: &Path,
    shown: &str,
    config: &RepoConfig,
    engine: Option<Engine>,
    instead: &Instead,
) -> anyhow::Result<(MigrationSet, Vec<String>)> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let around = match shown.rsplit_once('/') {
        Some((around, _)) => around.to_owned(),
        None => parent
            .canonicalize()
            .ok()
            .and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
            .unwrap_or_default(),
    };
    let own = around.rsplit('/').next().and_then(|name| name.parse().ok());
    let json = Path::new(shown).with_extension("json").to_string_lossy().replace('\\', "/");
    let declared = || match (instead.of(&json), read_file(&path.with_extension("json"))) {
        (Some(Some(FileContent::Bytes(bytes))), _) => declared_engine(bytes),
        (None, Ok(FileContent::Bytes(bytes))) => declared_engine(&bytes),
        (Some(_) | None, _) => None,
    };
    let covered = || covering(&around, config).and_then(|root| root.engine);
    let Some(engine) = engine.or_else(covered).or(own).or_else(declared) else {
        return Err(Failure::usage(format!(
            "nothing says which database `{}` is for: add `--engine`, a `database_type` in its JSON, or keep it in a folder named after the engine",
            path.display()
        )));
    };
    // A file that was named without its folder keeps that name.
    let moved = (!shown.contains('/')).then(|| instead.shown_below(&around));
    let instead = moved.as_ref().unwrap_or(instead);
    // One file was named, however many stand around it.
    let part = MigrationSet { files_seen: 0, ..folder(parent, &around, config, Some(engine), instead) };
    let full = if shown.contains('/') { shown.to_owned() } else { format!("{around}/{shown}") };
    let kept = part.migrations.iter().filter(|m| m.files.iter().any(|f| f.path == full));
    let files = kept.flat_map(|m| &m.files).map(|f| f.path.clone()).chain([full.clone()]).collect();
    Ok((part, files))
}

fn lone(content: std::io::Result<FileContent>, shown: &str, engine: Option<Engine>, set: &mut MigrationSet) {
    let read = match content {
        Ok(FileContent::Bytes(bytes)) => match text(&bytes).err() {
            // With its byte order mark, which the checksum counts.
            None => Ok(String::from_utf8(bytes).unwrap_or_default()),
            Some(wrong) => Err(Problem {
                file: shown.to_owned(),
                line: wrong.line,
                column: 1,
                end_column: 1,
                rule: wrong.rule,
                severity: Severity::Error,
                message: wrong.message,
                help: wrong.help.to_owned(),
            }),
        },
        Ok(FileContent::TooLarge(size)) => Err(problem(
            shown,
            1,
            "file-too-large",
            &format!("has {size} bytes, more than can be read"),
            "split the data into several migrations",
        )),
        Ok(FileContent::Misnamed) => Err(problem(
            shown,
            1,
            "file-name",
            "has a name, or is in a folder with one, that is not UTF-8: nothing can be recorded under it",
            "rename it",
        )),
        Ok(FileContent::Directory | FileContent::Symlink | FileContent::Special | FileContent::Long(_)) => {
            Err(problem(shown, 1, "symlink", "is not a regular file", "name the file itself"))
        }
        Err(e) => Err(unreadable(shown, &e)),
    };
    let raw = match read {
        Ok(raw) => raw,
        Err(problem) => return set.problems.push(problem),
    };
    let (sha256, checksum) = both(raw.as_bytes(), raw.strip_prefix('\u{feff}').unwrap_or(&raw));
    let text = raw.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(raw);
    let (unit, name) = shown.rsplit_once('/').unwrap_or(("", shown));
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    let id = match MigrationId::new(stem) {
        Ok(id) => id,
        Err(e) => return set.problems.push(problem(shown, 1, "file-name", &e.to_string(), "rename it")),
    };
    if execution::is_blank_sql(&text) {
        let mut empty = problem(shown, 1, "empty-migration", "holds no statement", "delete it if it was never merged");
        empty.severity = Severity::Warning;
        set.problems.push(empty);
    }
    let backward = name == "down.sql" || stem.ends_with(".down") || stem.ends_with("_rollback");
    let engine =
        engine.or_else(|| shown.split('/').rev().find_map(|part| part.parse().ok())).unwrap_or(Engine::Postgresql);
    let mut directives = Directives::parse(shown, &text, 1, &mut set.problems);
    let (up, down) = match split_marked(shown, &text) {
        Some(marked) => {
            directives.no_transaction |= marked.no_transaction;
            (marked.up, marked.down)
        }
        None => {
            let script = Script::whole(shown, text);
            if backward { (Script::whole(shown, ""), Some(script)) } else { (script, None) }
        }
    };
    set.migrations.push(Migration {
        id,
        version: Version::numeric(stem.split(['_', '-', '.']).next().unwrap_or(stem)),
        step: None,
        name: stem.to_owned(),
        description: None,
        layout: Layout::Numbered,
        unit: unit.to_owned(),
        engine,
        target: None,
        service: None,
        only_in: None,
        repeatable: false,
        native: Default::default(),
        native_table: None,
        checks: Vec::new(),
        up,
        down,
        directives,
        files: vec![MigrationFile { path: shown.to_owned(), sha256 }],
        checksum,
        unrunnable: None,
    });
}

/// The linter's settings: `lint.yml` beside the other policies, read through `read`; the default where there is none.
///
/// # Errors
/// A located message when the file is wrong or names a rule that does not exist.
pub(super) fn lint_config(
    config: &RepoConfig,
    read: &dyn Fn(&str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<LintConfig> {
    for folder in std::iter::once(config.policies.as_str()).chain(RepoConfig::OTHER_POLICIES) {
        let path = format!("{folder}/lint.yml");
        let Some(text) = read(&path)? else { continue };
        let parsed = LintConfig::parse(&path, &text)
            .map_err(|errors| Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let named = parsed.levels.keys().chain(parsed.waivers.iter().map(|w| &w.rule));
        let unknown: Vec<&str> = named.map(String::as_str).filter(|rule| table::find(rule).is_none()).collect();
        if !unknown.is_empty() {
            return Err(Failure::usage(format!(
                "{path}: no rule is called `{}`; `godwit lint --rules` lists them",
                unknown.join("`, `")
            )));
        }
        return Ok(parsed);
    }
    Ok(LintConfig::default())
}

/// Gives folders the engine of their target, as the environments say. What is wrong with those is another command's to
/// say.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn take_engines(
    config: &mut RepoConfig,
    read: &dyn Fn(&str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<()> {
    for folder in std::iter::once(config.policies.clone()).chain(RepoConfig::OTHER_POLICIES.map(str::to_owned)) {
        let path = format!("{folder}/environments.yml");
        let Some(text) = read(&path)? else { continue };
        if let Ok((environments, _)) = Environments::parse(&path, &text) {
            config.take_engines(&environments);
        }
        return Ok(());
    }
    Ok(())
}
