//! One folder that was named, as the migrations of one database.

use std::path::Path;

use super::exit::Failure;
use super::tree::{Reading, Tree};
use crate::ids::Engine;
use crate::migration::dialect;
use crate::migration::roots::uncovered_by;
use crate::migration::{
    FileContent, Layout, Migration, MigrationRoot, MigrationSet, Severity, SourceFile, resolve_below,
};

/// The migrations of one folder, or where it holds none itself, of the folders below that clearly hold some.
pub(super) fn read_folder(dir: &Path, tree: &Tree, engine: Engine, reading: Reading) -> anyhow::Result<MigrationSet> {
    if let Some(foreign) = dialect::of_folder(&tree.above).filter(|d| d.certain) {
        return Err(Failure::usage(format!(
            "`{}` is named after {}, which is none of Godwit's engines: nothing of it is run; where it holds SQL for {engine}, give \
             it another name",
            dir.display(),
            foreign.name
        )));
    }
    let files = tree.read(reading)?;
    let here = MigrationRoot { engine: Some(engine), ..MigrationRoot::folder("") };
    let resolve = |roots: &[MigrationRoot]| resolve_below(&tree.above, &files, roots);
    let mut set = resolve(&[here]);
    if set.migrations.is_empty() {
        let mut below = resolve(&[MigrationRoot::folder("**")]);
        if !below.migrations.iter().any(|m| m.engine == engine) {
            // Nothing below says what it is for: then it is for the database that was named.
            below = resolve(&[MigrationRoot { engine: Some(engine), ..MigrationRoot::folder("**") }]);
        }
        if !below.migrations.is_empty() || below.problems.iter().any(|p| p.rule != "stray-file") {
            set = below;
        }
    }
    if !holds_every_long(&set, &files) {
        return read_folder(dir, tree, engine, Reading::Whole);
    }
    some_found(&set, dir, Some(engine))?;
    left_out(&files, &set, dir);
    // People see paths as they would type them; what is recorded does not depend on from where it was run.
    let before = dir.join("").display().to_string();
    let around = dir.parent().filter(|_| dir.file_name().is_some()).map(|parent| parent.join("").display().to_string());
    let prefix = |path: &mut String| match (path.strip_prefix("../"), &around) {
        (Some(beside), Some(around)) => *path = format!("{around}{beside}"),
        _ => path.insert_str(0, &before),
    };
    for migration in &mut set.migrations {
        prefix(&mut migration.up.path);
        migration.down.iter_mut().for_each(|d| prefix(&mut d.path));
    }
    set.problems.iter_mut().for_each(|p| prefix(&mut p.file));
    Ok(set)
}

/// Says which folders below one that holds migrations itself hold some as well: nothing of them is run with it.
fn left_out(files: &[SourceFile], set: &MigrationSet, dir: &Path) {
    if set.migrations.is_empty() {
        return;
    }
    let here = MigrationRoot { line: Some(1), ..MigrationRoot::folder("") };
    let paths = files.iter().map(|f| f.path.as_str()).filter(|path| path.contains('/') && !path.starts_with("../"));
    let below = uncovered_by(&paths.map(str::to_owned).collect(), &[here], set);
    for folder in below.iter().filter_map(|p| p.file.rsplit_once('/')).map(|(folder, _)| folder) {
        anstream::eprintln!(
            "note: `{}` holds migrations too, which are not among those of `{}`; name it with `--path` to run them",
            dir.join(folder).display(),
            dir.display()
        );
    }
}

/// A folder in which no migration is found must not read as one with nothing to do. Where something in it is wrong beyond
/// doubt, that is told elsewhere.
///
/// # Errors
/// When the set, read from `dir`, holds nothing.
pub(super) fn some_found(set: &MigrationSet, dir: &Path, engine: Option<Engine>) -> anyhow::Result<()> {
    if !set.migrations.is_empty() || set.problems.iter().any(|p| p.severity == Severity::Error) {
        return Ok(());
    }
    let form = match engine {
        None | Some(Engine::Postgresql | Engine::Sqlite) => "`0001_name.up.sql` or `2024-01-31-120000_name/up.sql`",
        Some(Engine::Mongodb | Engine::Elasticsearch) => "`001_name.json`",
        Some(Engine::Redis) => "`001_name.json` with `001_name.lua` beside it",
    };
    let why = set.problems.first().map(|p| format!("; `{}` {}", p.file, p.message)).unwrap_or_default();
    Err(Failure::usage(format!("no migrations found in `{}`; they look like {form}{why}", dir.display())))
}

/// Whether every script that was looked over only is one that need not be held: of PostgreSQL, forward, and in a layout whose
/// own table keeps no checksum of the text.
fn holds_every_long(set: &MigrationSet, files: &[SourceFile]) -> bool {
    let fits = |m: &&Migration| {
        m.engine == Engine::Postgresql && matches!(m.layout, Layout::Numbered | Layout::Diesel | Layout::Service)
    };
    let held = |f: &&SourceFile| matches!(f.content, FileContent::Long(_));
    files.iter().filter(held).all(|f| set.migrations.iter().filter(fits).any(|m| m.up.path == f.path))
}
