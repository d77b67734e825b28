//! Files into an ordered set of migrations, with located problems.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;
use sha2::{Digest as _, Sha256};

use crate::ids::{Digest, Engine, TargetName};
use crate::migration::layout::{self, Folder, Surroundings};
use crate::migration::native::Keep;
use crate::migration::{Layout, Migration, MigrationSet, Models, Problem, Severity, SourceFile, dialect};

/// A place where migrations are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationRoot {
    /// Folder relative to the repository's root, with globs (`services/*/migrations`, `**`); empty means the root itself.
    pub path: String,
    /// The layout, or `None` to detect it per folder.
    pub layout: Option<Layout>,
    /// The kind of database, or `None`: then a folder's own name tells (`…/sqlite`), else it is PostgreSQL.
    pub engine: Option<Engine>,
    /// The target that takes its migrations.
    pub target: Option<TargetName>,
    /// Whether the table of the folders' own tool is kept.
    pub native: Keep,
    /// That table's name, where it is not the tool's own: `table`, or `schema.table`.
    pub native_table: Option<String>,
    /// The line of `godwit.yml` that names it; `None` where nobody wrote it.
    pub line: Option<u32>,
}

impl MigrationRoot {
    /// The folder `path` itself, everything else detected.
    pub fn folder(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            layout: None,
            engine: None,
            target: None,
            native: Keep::Auto,
            native_table: None,
            line: None,
        }
    }

    /// Whether it looks everywhere, as without configuration; then only folders that clearly hold migrations count.
    fn looks_everywhere(&self) -> bool {
        self.path == "**"
    }

    /// Whether it stands for any number of folders.
    pub(crate) fn is_pattern(&self) -> bool {
        self.path.contains(['*', '?', '[', '{'])
    }

    /// The engine that it says, or that its folder is named after.
    pub fn known_engine(&self) -> Option<Engine> {
        self.engine.or_else(|| split(&self.path).1.parse().ok())
    }

    /// Whether a folder is one that it names; `None` when its pattern cannot be read.
    pub(crate) fn matcher(&self) -> Option<impl Fn(&str) -> bool + use<>> {
        let is_top = self.path.is_empty();
        let glob = GlobBuilder::new(&self.path).literal_separator(true).build().ok()?.compile_matcher();
        Some(move |dir: &str| if is_top { dir.is_empty() } else { glob.is_match(dir) })
    }
}

/// Folders that never hold migrations (SPEC 2), whatever lies in them.
const NEVER: [&str; 12] = [
    "rollbacks",
    "data",
    "config",
    "tools",
    "templates",
    "logs",
    "backups",
    "docs",
    "target",
    "node_modules",
    "vendor",
    "testdata",
];

/// Whether a folder, or one around it, is hidden or never holds migrations.
pub(super) fn never_holds(dir: &str) -> bool {
    dir.split('/').any(|part| (part.starts_with('.') && part.len() > 1) || NEVER.contains(&part))
}

/// Reads `files` (paths relative to the repository's root) as the migrations of `roots`.
///
/// Nothing is refused: what cannot be read is a problem in the result, located, so that every mistake is seen at once.
pub fn resolve(files: &[SourceFile], roots: &[MigrationRoot]) -> MigrationSet {
    resolve_below("", files, roots)
}

/// The same for files of a folder that stands below others: `above` is what [`told_by`] makes of its path. Files of the
/// folders beside it are those whose path begins with `../`.
pub fn resolve_below(above: &str, files: &[SourceFile], roots: &[MigrationRoot]) -> MigrationSet {
    let mut set = MigrationSet::default();
    let (folders, beside) = folders(files);
    // Who reads a repository for its scripts alone leaves out what describes them.
    let names_all = files.iter().any(|f| f.path.ends_with(".md"));
    let mut taken = BTreeSet::new();
    let named: Vec<_> =
        roots.iter().filter(|root| !root.looks_everywhere()).filter_map(MigrationRoot::matcher).collect();
    for root in roots {
        let Some(matcher) = root.matcher() else {
            set.problems.push(Problem {
                file: crate::config::RepoConfig::FILE.to_owned(),
                line: 1,
                column: 1,
                end_column: 1,
                rule: "invalid-root",
                severity: Severity::Error,
                message: format!("`{}` is not a path pattern", root.path),
                help: "use folder names, `*` within one name, `**` for any depth".to_owned(),
            });
            continue;
        };
        for (dir, folder) in &folders {
            if !matcher(dir) || !taken.insert(*dir) {
                continue;
            }
            let stands = joined(above, dir);
            if root.looks_everywhere() && !folder.clearly_holds_migrations(&stands) {
                taken.remove(dir);
                continue;
            }
            let parent = if dir.is_empty() { ".." } else { split(dir).0 };
            let of = |name: &'static str| beside.get(&(parent, name)).filter(|_| split(&stands).1 == SCRIPTS);
            let docs = beside.get(&(*dir, "docs"));
            let is_of_others =
                |inner: &str| taken.contains(inner) || named.iter().any(|fits| fits(inner) && !fits(dir));
            let below = if root.looks_everywhere() && dir.is_empty() {
                BTreeMap::new()
            } else {
                deeper(dir, folder, root, &folders, &is_of_others)
            };
            let deeper: Named<'_> = below.values().flat_map(|folder| &folder.files).copied().collect();
            let around = Surroundings {
                stands: &stands,
                rollbacks: of("rollbacks"),
                data: of("data"),
                deeper: &deeper,
                docs,
                names_all,
            };
            // Those on the way to them would be read for what lies below them, and so would that again.
            for deep in below.keys() {
                let on_the_way = std::iter::successors(Some(*deep), |path| Some(split(path).0));
                let within = on_the_way.take_while(|path| path.len() > dir.len());
                taken.extend(within.filter_map(|path| folders.get_key_value(path).map(|(known, _)| *known)));
            }
            // The folders of single migrations, and those of environments, belong to this one.
            taken.extend(
                folder
                    .migration_folders(dir, &stands, root.layout)
                    .filter_map(|child| folders.get_key_value(child.as_str()).map(|(k, _)| *k)),
            );
            let before = set.migrations.len();
            set.files_seen += folder.file_count(&stands, root.layout) + deeper.len();
            layout::read_folder(dir, folder, around, root, &mut set);
            set.migrations[before..].sort_by(|a, b| a.version.cmp(&b.version).then_with(|| a.id.cmp(&b.id)));
            duplicates(&set.migrations[before..], &mut set.problems);
        }
    }
    set.models = models(files, &set);
    let undeclaring = layout::undeclaring(files, &set);
    set.remarks.extend(undeclaring);
    let links = super::roots::linked(files, roots).into_iter();
    let new: Vec<Problem> = links.filter(|link| !set.problems.iter().any(|p| p.file == link.file)).collect();
    set.problems.extend(new);
    order(&mut set);
    set.problems.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    set
}

/// The folder whose rollbacks and data stand beside it.
const SCRIPTS: &str = "scripts";
/// The folder around those of services.
const SERVICES: &str = "services";

/// The end of a folder's path that says something of what is in it and below: whose service it is, whether its rollbacks
/// stand beside it, and which foreign database it is named after. `path` begins below the root of the repository.
pub fn told_by(path: &str) -> &str {
    let of_services = path.match_indices(SERVICES).map(|(at, _)| at).find(|at| {
        let end = at + SERVICES.len();
        (*at == 0 || path[..*at].ends_with('/')) && (path.len() == end || path[end..].starts_with('/'))
    });
    match of_services {
        Some(at) => &path[at..],
        None if split(path).1 == SCRIPTS => SCRIPTS,
        None => dialect::told_by(path),
    }
}

/// Whether rollbacks and data of a folder stand beside it, by what [`told_by`] makes of its path.
pub fn has_beside(above: &str) -> bool {
    split(above).1 == SCRIPTS
}

/// The service whose folder of migrations this is, by what [`told_by`] makes of its path [S1-21].
pub fn service_at(above: &str) -> Option<&str> {
    layout::is_service(above).then(|| layout::service_of(Layout::Service, above)).flatten()
}

/// A path below a folder, which may be the root.
fn joined(above: &str, below: &str) -> String {
    match (above, below) {
        (above, "") => above.to_owned(),
        ("", below) => below.to_owned(),
        (above, below) => format!("{above}/{below}"),
    }
}

/// Folders beside `migrations` among which Prisma's schema may be shared out.
const OF_MODELS: [&str; 2] = ["schema", "models"];

/// What Prisma's own files say of the schema, for each folder of its migrations.
fn models(files: &[SourceFile], set: &MigrationSet) -> Vec<Models> {
    let units: BTreeSet<&str> =
        set.migrations.iter().filter(|m| m.layout == Layout::Prisma).map(|m| m.unit.as_str()).collect();
    let of = |unit: &str| {
        let around = split(unit).0;
        let belongs = |path: &str| {
            let (dir, name) = split(path);
            let (above, last) = split(dir);
            name.ends_with(".prisma") && (dir == around || (above == around && OF_MODELS.contains(&last)))
        };
        let text = |file: &SourceFile| Some(std::str::from_utf8(file.content.bytes()?).ok()?.to_owned());
        let files: Vec<(String, String)> = files
            .iter()
            .filter(|f| belongs(&f.path))
            .filter_map(|f| text(f).map(|text| (f.path.clone(), text)))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        (!files.is_empty()).then(|| Models { unit: unit.to_owned(), files })
    };
    units.into_iter().filter_map(of).collect()
}

/// Old roots first: where both name a folder, the old one says which target takes it (DECISIONS 8).
pub fn both(old: &[MigrationRoot], new: &[MigrationRoot]) -> Vec<MigrationRoot> {
    let mut roots = old.to_vec();
    // A root that looks everywhere would take the folders that the new configuration names from it.
    let everywhere = |root: &MigrationRoot| root.path == "**";
    roots.extend(new.iter().filter(|n| !old.iter().any(|o| o.path == n.path)).cloned());
    roots.sort_by_key(everywhere);
    roots
}

/// Files by their names.
type Named<'a> = Vec<(&'a str, &'a SourceFile)>;

/// Files of folders that belong to others beside them, by the path of the folder around and their name.
type Beside<'a> = BTreeMap<(&'a str, &'static str), Named<'a>>;

/// Folders whose files belong to those beside them.
const BESIDE: [&str; 3] = ["rollbacks", "data", "docs"];

/// Every folder with the files directly in it and those one level below, by path; and the files of folders that belong to
/// others beside them, by the path of the folder around and their name.
fn folders(files: &[SourceFile]) -> (BTreeMap<&str, Folder<'_>>, Beside<'_>) {
    let mut folders: BTreeMap<&str, Folder<'_>> = BTreeMap::new();
    let mut beside: Beside<'_> = BTreeMap::new();
    for file in files {
        let (dir, name) = split(&file.path);
        if let Some(kind) = BESIDE.into_iter().find(|kind| *kind == split(dir).1) {
            beside.entry((split(dir).0, kind)).or_default().push((name, file));
        }
        if never_holds(dir) {
            continue;
        }
        folders.entry(dir).or_default().files.push((name, file));
        if !dir.is_empty() {
            let (parent, child) = split(dir);
            folders.entry(parent).or_default().below.entry(child).or_default().push((name, file));
        }
    }
    (folders, beside)
}

/// Folders more than one level below one of Flyway's that hold files of Flyway too: it reads them all as one sequence.
fn deeper<'m, 'a>(
    dir: &str,
    folder: &Folder<'_>,
    root: &MigrationRoot,
    folders: &'m BTreeMap<&'a str, Folder<'a>>,
    is_of_others: &dyn Fn(&str) -> bool,
) -> BTreeMap<&'a str, &'m Folder<'a>> {
    if !folder.goes_deep(root) {
        return BTreeMap::new();
    }
    let is_deep = |inner: &str| {
        let rest = if dir.is_empty() { Some(inner) } else { inner.strip_prefix(dir).and_then(|r| r.strip_prefix('/')) };
        rest.is_some_and(|rest| rest.contains('/'))
    };
    folders
        .iter()
        .filter(|(inner, folder)| is_deep(inner) && folder.holds_flyway() && !is_of_others(inner))
        .map(|(inner, folder)| (*inner, folder))
        .collect()
}

/// Folder and last name of a path with `/`.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn duplicates(unit: &[Migration], problems: &mut Vec<Problem>) {
    for pair in unit.windows(2) {
        if pair[0].version.same_place(&pair[1].version) {
            problems.push(Problem {
                file: pair[1].up.path.clone(),
                line: 1,
                column: 1,
                end_column: 1,
                rule: "duplicate-version",
                severity: Severity::Error,
                message: format!("version `{}` is taken by `{}` already", pair[1].version, pair[0].id),
                help: "give this migration the next free version".to_owned(),
            });
        }
    }
}

/// Brings the migrations into run order: what is depended on first, else unit by unit, version by version. A cycle or an
/// unknown reference is a problem; the migrations concerned keep their place, so that the rest can still be looked at.
fn order(set: &mut MigrationSet) {
    let n = set.migrations.len();
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut declared = false;
    for (i, needed) in needs.iter_mut().enumerate() {
        if i > 0 && set.migrations[i - 1].unit == set.migrations[i].unit {
            needed.push(i - 1);
        }
        for reference in &set.migrations[i].directives.depends_on {
            declared = true;
            match find_dependency(&set.migrations, i, reference) {
                Some(at) => {
                    needed.push(at);
                    set.problems.extend(runs_elsewhere(&set.migrations[i], &set.migrations[at]));
                }
                None => set.problems.push(Problem {
                    file: set.migrations[i].up.path.clone(),
                    line: 1,
                    column: 1,
                    end_column: 1,
                    rule: "unknown-dependency",
                    severity: Severity::Error,
                    message: format!("depends on `{reference}`, which is no migration of this repository, or several"),
                    help: "write `id`, `unit/id` or `target/id` of exactly one migration".to_owned(),
                }),
            }
        }
    }
    if !declared {
        return;
    }
    let mut done = vec![false; n];
    let mut sequence = Vec::with_capacity(n);
    // The lowest index that is ready goes next: stable, and quadratic only in the number of units that wait.
    let mut waiting: BTreeSet<usize> = (0..n).collect();
    while let Some(next) = waiting.iter().copied().find(|&i| needs[i].iter().all(|&d| done[d])) {
        waiting.remove(&next);
        done[next] = true;
        sequence.push(next);
    }
    if let Some(&first) = waiting.first() {
        let names: Vec<String> =
            cycle(first, &needs, &done).into_iter().map(|i| format!("`{}`", set.migrations[i].reference())).collect();
        set.problems.push(Problem {
            file: set.migrations[first].up.path.clone(),
            line: 1,
            column: 1,
            end_column: 1,
            rule: "dependency-cycle",
            severity: Severity::Error,
            message: format!("dependencies form a circle: {}", names.join(" → ")),
            help: "a migration also depends on the one before it in its folder; take one reference out".to_owned(),
        });
        sequence.extend(waiting);
    }
    let mut slots: Vec<Option<Migration>> = std::mem::take(&mut set.migrations).into_iter().map(Some).collect();
    set.migrations = sequence.into_iter().filter_map(|i| slots[i].take()).collect();
}

/// A dependency that is not there in every environment in which what needs it runs [S1-27].
fn runs_elsewhere(by: &Migration, needed: &Migration) -> Option<Problem> {
    let only = needed.only_in.as_ref().filter(|only| by.only_in.as_ref() != Some(*only))?;
    let place = by.only_in.as_ref().map_or("everywhere".to_owned(), |e| format!("in `{e}`"));
    Some(Problem {
        file: by.up.path.clone(),
        line: 1,
        column: 1,
        end_column: 1,
        rule: "unknown-dependency",
        severity: Severity::Error,
        message: format!(
            "depends on `{}`, which runs in `{only}` only, while this one runs {place}: elsewhere it would run without it",
            needed.reference()
        ),
        help: format!("depend on a migration that runs {place} too, or move this one beside the other into `{only}`"),
    })
}

/// A circle among the migrations that are not done, starting and ending with the same one.
fn cycle(start: usize, needs: &[Vec<usize>], done: &[bool]) -> Vec<usize> {
    let mut path = vec![start];
    let mut at = start;
    loop {
        let Some(&next) = needs[at].iter().find(|&&d| !done[d]) else { return path };
        if let Some(seen) = path.iter().position(|&p| p == next) {
            path.drain(..seen);
            path.push(next);
            return path;
        }
        path.push(next);
        at = next;
    }
}

pub(super) fn find_dependency(all: &[Migration], from: usize, reference: &str) -> Option<usize> {
    // An id alone means the same unit first (SPEC 2).
    let unit = &all[from].unit;
    if let Some(at) = all.iter().position(|m| &m.unit == unit && m.id.as_str() == reference) {
        return Some(at);
    }
    let mut hits = all.iter().enumerate().filter(|(i, m)| *i != from && m.answers_to(reference));
    match (hits.next(), hits.next()) {
        (Some((i, _)), None) => Some(i),
        _ => None,
    }
}

/// SHA-256 over the sorted lines `path␀sha256(raw bytes)␊` of every file of `migrations` (DECISIONS 1).
pub fn digest_of<'a>(migrations: impl Iterator<Item = &'a Migration>) -> Digest {
    let files: BTreeSet<_> = migrations.flat_map(|m| &m.files).collect();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.path.as_bytes());
        hash.update(b"\0");
        hash.update(file.sha256.as_bytes());
        hash.update(b"\n");
    }
    Digest::new(format!("sha256:{}", hex::encode(hash.finalize()))).expect("a SHA-256 in hexadecimal is a digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)], roots: &[MigrationRoot]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, roots)
    }

    fn ids(set: &MigrationSet) -> Vec<String> {
        set.migrations.iter().map(Migration::reference).collect()
    }

    #[test]
    fn dependencies_come_first_across_units() {
        let set = read(
            &[
                ("a/1_x.up.sql", "-- godwit: depends_on=b/2_z\nselect 1;"),
                ("a/2_y.up.sql", "select 1;"),
                ("b/1_w.up.sql", "select 1;"),
                ("b/2_z.up.sql", "select 1;"),
                ("b/3_v.up.sql", "select 1;"),
            ],
            &[MigrationRoot::folder("a"), MigrationRoot::folder("b")],
        );
        assert_eq!(ids(&set), ["b/1_w", "b/2_z", "a/1_x", "a/2_y", "b/3_v"]);
    }

    #[test]
    fn a_circle_names_its_members() {
        let set = read(
            &[
                ("a/1_x.up.sql", "-- godwit: depends_on=b/1_z\nselect 1;"),
                ("b/1_z.up.sql", "-- godwit: depends_on=a/1_x\nselect 1;"),
            ],
            &[MigrationRoot::folder("*")],
        );
        let problem = set.problems.iter().find(|p| p.rule == "dependency-cycle").expect("a cycle");
        assert!(problem.message.contains("`a/1_x` → `b/1_z` → `a/1_x`"), "{}", problem.message);
        assert_eq!(set.migrations.len(), 2);
    }

    #[test]
    fn without_configuration_only_clear_folders_count() {
        let set = read(
            &[
                ("db/migrations/1_a.sql", "select 1;"),
                ("reports/01_sales.sql", "select 1;"),
                ("service/schema/0001_b.up.sql", "select 1;"),
                ("migrations/data/2_seed.sql", "select 1;"),
                (".hidden/migrations/1_c.up.sql", "select 1;"),
                ("migrations/sqlite/1_d.up.sql", "select 1;"),
                ("web/migrations/2024-01-01-000000_e/up.sql", "select 1;"),
            ],
            &[MigrationRoot::folder("**")],
        );
        assert_eq!(
            ids(&set),
            [
                "db/migrations/1_a",
                "migrations/sqlite/1_d",
                "service/schema/0001_b",
                "web/migrations/2024-01-01-000000_e"
            ]
        );
        assert!(set.problems.iter().all(|p| p.rule == "missing-down"), "{:?}", set.problems);
        assert_eq!(set.migrations[1].engine, Engine::Sqlite);
    }

    #[test]
    fn flyways_folders_below_one_of_flyways_are_one_sequence_with_it() {
        let files = [
            ("db/migration/2024/01/V2__b.sql", "select 2;"),
            ("db/migration/2024/01/V2__b.sql.conf", "executeInTransaction=false"),
            ("db/migration/2025/V3__c.sql", "select 3;"),
            ("db/migration/V1__a.sql", "select 1;"),
            // Not Flyway's.
            ("db/migration/2024/01/05/notes.sql", "select 4;"),
        ];
        for root in [
            MigrationRoot::folder("**"),
            MigrationRoot::folder("db/migration"),
            MigrationRoot { layout: Some(Layout::Flyway), ..MigrationRoot::folder("db/**") },
        ] {
            let set = read(&files, &[root]);
            assert_eq!(ids(&set), ["V1__a", "V2__b", "V3__c"].map(|id| format!("db/migration/{id}")));
            assert!(set.migrations[1].directives.no_transaction);
        }
        // The same version at another depth.
        let twice = [files[3], ("db/migration/2024/01/V1.0__again.sql", "select 2;")];
        let set = read(&twice, &[MigrationRoot::folder("**")]);
        assert!(set.problems.iter().any(|p| p.rule == "duplicate-version"), "{:?}", set.problems);
    }

    #[test]
    fn flyways_folders_side_by_side_stay_apart_and_so_do_those_that_are_named() {
        let files = [("db/x/1/V2__b.sql", "select 2;"), ("db/y/1/V1__a.sql", "select 1;")];
        assert_eq!(ids(&read(&files, &[MigrationRoot::folder("**")])), ["db/x/1/V2__b", "db/y/1/V1__a"]);
        let files = [("db/V1__a.sql", "select 2;"), ("db/y/1/V1__a.sql", "select 1;")];
        let set = read(&files, &[MigrationRoot::folder("db"), MigrationRoot::folder("db/y/1")]);
        assert_eq!(ids(&set), ["db/V1__a", "db/y/1/V1__a"]);
        // Numbered folders are one by one.
        let files = [("db/V1__a.sql", "select 2;"), ("db/y/1/1_b.up.sql", "select 1;")];
        assert_eq!(ids(&read(&files, &[MigrationRoot::folder("**")])), ["db/V1__a", "db/y/1/1_b"]);
    }

    #[test]
    fn digest_changes_with_any_byte_and_any_file_but_not_with_other_order() {
        let files = [("1_a.up.sql", "select 1;"), ("1_a.down.sql", "select 2;")];
        let base = read(&files, &[MigrationRoot::folder("")]).digest();
        let mut turned = files;
        turned.reverse();
        assert_eq!(read(&turned, &[MigrationRoot::folder("")]).digest(), base);
        for other in [
            &[("1_a.up.sql", "select 1;\n"), ("1_a.down.sql", "select 2;")][..],
            &[("1_a.up.sql", "select 1;"), ("1_a.down.sql", "select 3;")],
            &[("1_a.up.sql", "select 1;")],
            &[("1_b.up.sql", "select 1;"), ("1_b.down.sql", "select 2;")],
        ] {
            assert_ne!(read(other, &[MigrationRoot::folder("")]).digest(), base);
        }
    }

    #[test]
    fn dec8_the_old_configuration_keeps_its_folders() {
        let old = [MigrationRoot::folder("**")];
        let new = [MigrationRoot::folder("db"), MigrationRoot::folder("**")];
        assert_eq!(both(&old, &new), [MigrationRoot::folder("db"), MigrationRoot::folder("**")]);
        // Naming another folder does not hide the one that counted before.
        let old = [MigrationRoot::folder("migrations/postgresql")];
        assert_eq!(both(&old, &new[..1]).len(), 2);
    }
}
