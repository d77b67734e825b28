//! The tables in which other migration tools keep what they applied, as values: which table a folder's tool has, and what
//! it says of each of the folder's migrations. Pure; the drivers read and write them.
//!
//! A folder that came from another tool keeps that tool's table, so that either can go on where the other stopped
//! (docs/adr/0081-native-history.md).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha384};

use crate::ids::{Engine, MigrationId, TargetName};
use crate::migration::checksum::sha256_hex;
use crate::migration::{Layout, Migration, MigrationSet};

/// Whether a folder's native table is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Where it is there; made where the layout is that of one tool alone.
    #[default]
    Auto,
    /// Made where it is missing.
    Always,
    /// Neither read nor written.
    Never,
}

impl Keep {
    /// Every value with its word in `godwit.yml`.
    pub const ALL: [(Keep, &'static str); 3] = [(Keep::Auto, "auto"), (Keep::Always, "always"), (Keep::Never, "never")];

    /// What it comes to for a folder whose layout was written down by somebody (`said`) or found by its files.
    pub fn settled(self, said: Option<Layout>) -> Self {
        match (self, said) {
            (Keep::Auto, Some(Layout::Diesel)) => Keep::Always,
            _ => self,
        }
    }

    /// Whether a table is made for a folder of this layout that has none.
    fn makes(self, layout: Layout) -> bool {
        match self {
            Keep::Always => true,
            Keep::Never => false,
            // Folders that look like this belong to several tools: golang-migrate and sqlx; diesel and Hasura.
            Keep::Auto => !matches!(layout, Layout::Numbered | Layout::Diesel),
        }
    }
}

/// A migration tool with a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// One row: the version and whether it is dirty.
    GolangMigrate,
    /// A row per attempt.
    Prisma,
    /// A row per script, with a rank and a checksum of 32 bits.
    Flyway,
    /// A row per version with a SHA-384.
    Sqlx,
    /// A row per version.
    Diesel,
    /// A row per version and direction.
    Goose,
    /// A row per version.
    Dbmate,
    /// A row per file name.
    SqlMigrate,
}

impl Tool {
    /// Its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Tool::GolangMigrate => "golang-migrate",
            Tool::Prisma => "Prisma",
            Tool::Flyway => "Flyway",
            Tool::Sqlx => "sqlx",
            Tool::Diesel => "diesel",
            Tool::Goose => "goose",
            Tool::Dbmate => "dbmate",
            Tool::SqlMigrate => "sql-migrate",
        }
    }

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Tool::GolangMigrate | Tool::Dbmate => "schema_migrations",
            Tool::Prisma => "_prisma_migrations",
            Tool::Flyway => "flyway_schema_history",
            Tool::Sqlx => "_sqlx_migrations",
            Tool::Diesel => "__diesel_schema_migrations",
            Tool::Goose => "goose_db_version",
            Tool::SqlMigrate => "gorp_migrations",
        }
    }

    /// Whether a table of its name with these columns is its own: two tools use one name.
    pub fn knows(self, columns: &[&str]) -> bool {
        let has = |name: &str| columns.contains(&name);
        match self {
            Tool::GolangMigrate => has("version") && has("dirty"),
            Tool::Dbmate => has("version") && !has("dirty"),
            Tool::Prisma => has("migration_name") && has("finished_at"),
            Tool::Flyway => has("installed_rank") && has("checksum"),
            Tool::Sqlx => has("version") && has("checksum"),
            Tool::Diesel => has("version") && has("run_on"),
            Tool::Goose => has("version_id") && has("is_applied"),
            Tool::SqlMigrate => has("id") && has("applied_at"),
        }
    }

    /// The columns of its table, sorted, where it has no others.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Tool::GolangMigrate => &["dirty", "version"],
            Tool::Dbmate => &["version"],
            Tool::Prisma => &[
                "applied_steps_count",
                "checksum",
                "finished_at",
                "id",
                "logs",
                "migration_name",
                "rolled_back_at",
                "started_at",
            ],
            Tool::Flyway => &[
                "checksum",
                "description",
                "execution_time",
                "installed_by",
                "installed_on",
                "installed_rank",
                "script",
                "success",
                "type",
                "version",
            ],
            Tool::Sqlx => &["checksum", "description", "execution_time", "installed_on", "success", "version"],
            Tool::Diesel => &["run_on", "version"],
            Tool::Goose => &["id", "is_applied", "tstamp", "version_id"],
            Tool::SqlMigrate => &["applied_at", "id"],
        }
    }

    /// Whether it notes one version and means all up to it.
    pub fn notes_one_version(self) -> bool {
        self == Tool::GolangMigrate
    }

    /// The command of the tool that settles a failed row.
    pub fn way_out(self) -> &'static str {
        match self {
            Tool::GolangMigrate => "`migrate force VERSION`",
            Tool::Prisma => "`prisma migrate resolve --applied NAME` (or `--rolled-back`)",
            Tool::Flyway => "`flyway repair`",
            Tool::Sqlx => "delete its row where `success` is false",
            Tool::Diesel | Tool::Goose | Tool::Dbmate | Tool::SqlMigrate => "its own commands",
        }
    }

    /// The tools whose folders look like this, the likeliest first.
    fn of_layout(layout: Layout) -> &'static [Tool] {
        match layout {
            // sqlx's folders look the same; which of the two tables is there tells.
            Layout::Numbered => &[Tool::GolangMigrate, Tool::Sqlx],
            Layout::Service => &[Tool::GolangMigrate],
            Layout::Diesel => &[Tool::Diesel],
            Layout::Prisma => &[Tool::Prisma],
            Layout::Flyway => &[Tool::Flyway],
            Layout::Goose => &[Tool::Goose],
            Layout::SqlMigrate => &[Tool::SqlMigrate],
            Layout::Sqlx => &[Tool::Sqlx],
            Layout::Dbmate => &[Tool::Dbmate],
            // Nobody but Godwit runs these.
            Layout::Typed | Layout::Scripts => &[],
        }
    }
}

/// One migration as a native table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id within the unit.
    pub id: MigrationId,
    /// What the row is found by.
    pub key: String,
    /// Its words for people.
    pub description: String,
    /// The file's name as the tool notes it.
    pub script: String,
    /// The checksum, as the tool writes it.
    pub checksum: Option<String>,
    /// The key before it in the folder's order.
    pub previous: Option<String>,
    /// Run again when its text changes.
    pub repeatable: bool,
}

/// The native table of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Whose it is.
    pub tool: Tool,
    /// The folder.
    pub unit: String,
    /// The schema it stands in, where the layout says; else that of the connection.
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
    /// Whether it is made where it is missing.
    pub make: bool,
    /// Whether another folder would have the same table.
    pub shared: bool,
    /// The folder's migrations in the tool's order.
    pub entries: Vec<Entry>,
}

/// The native tables of everything that one target takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// The tables that may be there.
    pub ledgers: Vec<Ledger>,
    /// Schemas in which folders run, by folder.
    pub schemas: BTreeMap<String, String>,
    /// Whether tables are looked for as well that look like a tool's and have another name or another schema: where
    /// nothing is known of a target yet, so that nothing is run again that such a table has as applied.
    pub looks_around: bool,
    /// Folders by the names under which the history has them still.
    moved: HashMap<String, String>,
}

/// What a tool says of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is applied.
    Applied,
    /// It is, and all before it.
    UpTo,
    /// It was begun and failed, or its end is unknown.
    Dirty,
    /// It was undone.
    Gone,
}

impl Said {
    /// The meaning of a word that the drivers' queries give.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "applied" => Some(Said::Applied),
            "upto" => Some(Said::UpTo),
            "dirty" => Some(Said::Dirty),
            "gone" => Some(Said::Gone),
            _ => None,
        }
    }
}

/// One row of a native table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is found by.
    pub key: String,
    /// What it says.
    pub said: Said,
    /// The checksum, as the tool writes it.
    pub checksum: Option<String>,
}

/// Where something stands that looks like a tool's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its name, with its schema and a dot in front where the engine has schemas.
    pub table: String,
    /// Whether the connection sees it without its schema.
    pub in_path: bool,
}

/// A native table that is there, with its rows in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which of the book's ledgers.
    pub ledger: usize,
    /// The schema it was found in; empty where the engine has none.
    pub schema: String,
    /// Where it stands, if that is not where the ledger says.
    pub elsewhere: Option<Elsewhere>,
    /// What it says.
    pub rows: Vec<Row>,
}

impl Ledger {
    /// Whose it is and where it stands.
    fn place(&self) -> (Tool, Option<&str>, &str) {
        (self.tool, self.schema.as_deref(), &self.table)
    }

    /// Whether it is found by another name than its tool's own, or in a schema that the search path need not show.
    pub fn is_hidden(&self) -> bool {
        self.schema.is_some() || self.table != self.tool.table()
    }
}

impl Book {
    /// The native tables of the migrations that `target` takes, without their entries. A table that two folders would share
    /// is not made for either: a tool that reads one of them would not know the versions of the other.
    pub fn of(set: &MigrationSet, target: &TargetName, engine: Engine) -> Self {
        let mut book = Book::default();
        if !matches!(engine, Engine::Postgresql | Engine::Sqlite) {
            return book;
        }
        let mut units: BTreeMap<&str, Vec<&Migration>> = BTreeMap::new();
        for m in set.migrations.iter().filter(|m| m.engine == engine && m.target.as_ref().is_none_or(|t| t == target)) {
            units.entry(&m.unit).or_default().push(m);
        }
        for (unit, mut migrations) in units {
            migrations.sort_by(|a, b| a.version.cmp(&b.version));
            let Some(first) = migrations.first() else { continue };
            if let Some(schema) = first.schema().filter(|_| engine == Engine::Postgresql) {
                book.schemas.insert(unit.to_owned(), schema);
            }
            if first.native == Keep::Never {
                continue;
            }
            for (n, &tool) in Tool::of_layout(first.layout).iter().enumerate() {
                let (schema, table) = match (&first.native_table, first.schema()) {
                    (Some(named), own) => match named.split_once('.') {
                        Some((schema, table)) => (Some(schema.to_owned()), table.to_owned()),
                        None => (own, named.clone()),
                    },
                    // Source B's own name [S1-19].
                    (None, Some(schema)) => (Some(schema.clone()), format!("{schema}_schema_migrations")),
                    (None, None) => (None, tool.table().to_owned()),
                };
                let make = n == 0 && first.native.makes(first.layout);
                let schema = schema.filter(|_| engine == Engine::Postgresql);
                let entries = Vec::new();
                let ledger = Ledger { tool, unit: unit.to_owned(), schema, table, make, shared: false, entries };
                book.ledgers.push(ledger);
            }
        }
        let mut folders: HashMap<_, usize> = HashMap::new();
        for ledger in &book.ledgers {
            *folders.entry(ledger.place()).or_default() += 1;
        }
        let shared: Vec<bool> = book.ledgers.iter().map(|l| folders.get(&l.place()).is_some_and(|n| *n > 1)).collect();
        for (ledger, shared) in book.ledgers.iter_mut().zip(shared) {
            ledger.shared = shared;
            ledger.make &= !shared;
        }
        book
    }

    /// The same, which looks around where nothing is known of the target yet.
    #[must_use]
    pub fn looking_around(self, nothing_is_known: bool) -> Self {
        Self { looks_around: nothing_is_known, ..self }
    }

    /// The numbers of the ledgers whose table could belong to another folder as well, with nothing in it that would tell:
    /// it notes one version, or both folders have one of the same number.
    pub fn unclear(&self) -> BTreeSet<usize> {
        let shares = |n: usize, ledger: &Ledger| {
            let others =
                self.ledgers.iter().enumerate().filter(|(o, other)| *o != n && other.place() == ledger.place());
            let keys: BTreeSet<&str> = ledger.entries.iter().map(|e| e.key.as_str()).collect();
            ledger.tool.notes_one_version()
                || others.flat_map(|(_, other)| &other.entries).any(|e| keys.contains(e.key.as_str()))
        };
        let ledgers = self.ledgers.iter().enumerate();
        ledgers.filter(|(n, ledger)| ledger.shared && shares(*n, ledger)).map(|(n, _)| n).collect()
    }

    /// Whether a key is that of a migration of any folder that would have the table of `ledger`.
    pub fn knows(&self, ledger: &Ledger, key: &str) -> bool {
        let alike = self.ledgers.iter().filter(|l| l.place() == ledger.place());
        alike.flat_map(|l| &l.entries).any(|e| e.key == key)
    }

    /// Writes the entries of the tables that `wanted` names, by their number, and of those that are to be made. Most
    /// databases have none of them, and the sums of every file cost as much as the rest of a run that does nothing.
    pub fn write(&mut self, set: &MigrationSet, target: &TargetName, engine: Engine, wanted: impl Fn(usize) -> bool) {
        let takes = |m: &&Migration| m.engine == engine && m.target.as_ref().is_none_or(|t| t == target);
        for (n, ledger) in self.ledgers.iter_mut().enumerate() {
            if ledger.entries.is_empty() && (ledger.make || wanted(n)) {
                let mut own: Vec<_> = set.migrations.iter().filter(|m| m.unit == ledger.unit).filter(takes).collect();
                own.sort_by(|a, b| a.version.cmp(&b.version));
                ledger.entries = entries(ledger.tool, &own);
            }
        }
    }

    /// Whether there is nothing to keep and nothing to set.
    pub fn is_empty(&self) -> bool {
        self.ledgers.is_empty() && self.schemas.is_empty()
    }

    /// Says that the history has a folder under another name.
    pub fn also_known(&mut self, as_: &str, unit: &str) {
        if as_ != unit {
            self.moved.insert(as_.to_owned(), unit.to_owned());
        }
    }

    fn unit<'a>(&'a self, unit: &'a str) -> &'a str {
        self.moved.get(unit).map_or(unit, String::as_str)
    }

    /// The schema in which a folder's migrations run.
    pub fn schema_of(&self, unit: &str) -> Option<&str> {
        self.schemas.get(self.unit(unit)).map(String::as_str)
    }

    /// The ledgers that know a migration, with its entry.
    pub fn entries(&self, unit: &str, id: &MigrationId) -> Vec<(usize, &Ledger, &Entry)> {
        let unit = self.unit(unit);
        let ledgers = self.ledgers.iter().enumerate().filter(|(_, l)| l.unit == unit);
        ledgers.filter_map(|(n, l)| l.entries.iter().find(|e| e.id == *id).map(|e| (n, l, e))).collect()
    }
}

/// Whether a tool's checksum is that of the file, whatever ends its lines have and whether a byte order mark stands in front
/// (a checkout may change both).
pub fn is_same_text(tool: Tool, migration: &Migration, checksum: &str) -> bool {
    let sum: fn(&str) -> String = match tool {
        Tool::Sqlx => |text| hex::encode(Sha384::digest(text.as_bytes())),
        Tool::Prisma => |text| sha256_hex(text.as_bytes()),
        Tool::GolangMigrate | Tool::Flyway | Tool::Diesel | Tool::Goose | Tool::Dbmate | Tool::SqlMigrate => {
            return false;
        }
    };
    if migration.up.long.is_some() {
        return false;
    }
    let plain = migration.up.text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    [plain.replace('\n', "\r\n"), plain]
        .into_iter()
        .any(|text| sum(&text) == checksum || sum(&format!("\u{feff}{text}")) == checksum)
}

/// The file's text as its bytes stand in the file: only a byte order mark was taken off.
fn raw_text(migration: &Migration) -> Cow<'_, str> {
    // A file may be told by a longer path than it is read by.
    let is_a_file = |text: &str| {
        let sum = sha256_hex(text.as_bytes());
        migration.files.iter().any(|f| f.sha256 == sum)
    };
    if !is_a_file(&migration.up.text) {
        let marked = format!("\u{feff}{}", migration.up.text);
        if is_a_file(&marked) {
            return Cow::Owned(marked);
        }
    }
    Cow::Borrowed(&migration.up.text)
}

fn sqlx_checksum(migration: &Migration) -> String {
    let of_text = || hex::encode(Sha384::digest(raw_text(migration).as_bytes()));
    migration.up.long.as_ref().map_or_else(of_text, |long| long.sha384.clone())
}

/// Flyway's sum: CRC-32 of the lines without their ends, the byte order mark left out.
fn flyway_checksum(text: &str) -> i32 {
    let mut hash = crc32fast::Hasher::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Java's lines end at CR, LF and CRLF; an end makes no further, empty line.
    for line in text.replace("\r\n", "\n").split_terminator(['\n', '\r']) {
        hash.update(line.as_bytes());
    }
    i32::from_ne_bytes(hash.finalize().to_ne_bytes())
}

/// Digits as the tool keeps a number: without zeros in front.
fn number(version: &str) -> String {
    let digits = version.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

/// A description as the tool's column holds it: Flyway's takes 200 characters.
fn shortened(description: String, tool: Tool) -> String {
    const MOST: usize = 200;
    const MORE: &str = "...";
    if tool != Tool::Flyway || description.chars().count() <= MOST {
        return description;
    }
    description.chars().take(MOST - MORE.len()).chain(MORE.chars()).collect()
}

fn entries(tool: Tool, migrations: &[&Migration]) -> Vec<Entry> {
    let mut previous = None;
    migrations
        .iter()
        .map(|m| {
            let file = m.up.path.rsplit('/').next().unwrap_or(&m.up.path).to_owned();
            let version = m.version.as_str();
            let spaced = shortened(m.name.replace('_', " "), tool);
            let (key, checksum) = match tool {
                Tool::GolangMigrate | Tool::Goose => (number(version), None),
                Tool::Dbmate => (version.to_owned(), None),
                Tool::Diesel => (version.replace('-', ""), None),
                Tool::SqlMigrate => (file.clone(), None),
                Tool::Sqlx => (number(version), Some(sqlx_checksum(m))),
                Tool::Prisma => (m.id.to_string(), Some(sha256_hex(raw_text(m).as_bytes()))),
                Tool::Flyway if m.repeatable => (format!("~{spaced}"), Some(flyway_checksum(&m.up.text).to_string())),
                Tool::Flyway => (version.to_owned(), Some(flyway_checksum(&m.up.text).to_string())),
            };
            Entry {
                id: m.id.clone(),
                key: key.clone(),
                description: spaced,
                script: file,
                checksum,
                previous: previous.replace(key),
                repeatable: m.repeatable,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn book(files: &[(&str, &str)], engine: Engine) -> Book {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        let root = MigrationRoot { engine: Some(engine), ..MigrationRoot::folder("**") };
        let set = resolve(&files, &[root]);
        let target = TargetName::new("shop").expect("a name");
        let mut book = Book::of(&set, &target, engine);
        book.write(&set, &target, engine, |_| true);
        book
    }

    #[test]
    fn s1_19_a_service_has_the_table_of_its_own_schema() {
        let files = [("services/user-service/migrations/0003_a.up.sql", "select 1;")];
        let found = book(&files, Engine::Postgresql);
        let ledger = &found.ledgers[0];
        assert_eq!(
            (ledger.schema.as_deref(), ledger.table.as_str()),
            (Some("user_service"), "user_service_schema_migrations")
        );
        assert_eq!((ledger.entries[0].key.as_str(), ledger.make), ("3", true));
        assert_eq!(found.schema_of("services/user-service/migrations"), Some("user_service"));
        assert_eq!(book(&files, Engine::Sqlite).ledgers[0].schema, None);
    }

    #[test]
    fn a_numbered_folder_may_be_either_tools_and_two_folders_share_no_table() {
        let one = book(&[("a/migrations/0001_a.up.sql", "select 1;")], Engine::Postgresql);
        let tools: Vec<_> = one.ledgers.iter().map(|l| (l.tool, l.make)).collect();
        assert_eq!(tools, [(Tool::GolangMigrate, false), (Tool::Sqlx, false)]);
        let two = [("a/migrations/0001_a.up.sql", "select 1;"), ("b/migrations/0001_b.up.sql", "select 1;")];
        let shared = book(&two, Engine::Postgresql);
        assert!(shared.ledgers.iter().all(|l| l.shared && !l.make));
        assert_eq!(shared.unclear(), BTreeSet::from([0, 1, 2, 3]));
    }

    #[test]
    fn folders_of_up_and_down_are_diesels_only_if_somebody_says_so() {
        let file = [SourceFile::new("m/2024-01-01-000000_a/up.sql", b"select 1;")];
        let made = |layout, native| {
            let set = resolve(&file, &[MigrationRoot { layout, native, ..MigrationRoot::folder("m") }]);
            let book = Book::of(&set, &TargetName::new("shop").expect("a name"), Engine::Postgresql);
            book.ledgers.iter().map(|l| (l.tool, l.make)).collect::<Vec<_>>()
        };
        assert_eq!(made(None, Keep::Auto), [(Tool::Diesel, false)]);
        assert_eq!(made(None, Keep::Always), [(Tool::Diesel, true)]);
        assert_eq!(made(Some(Layout::Diesel), Keep::Auto), [(Tool::Diesel, true)]);
        assert_eq!(made(Some(Layout::Diesel), Keep::Never), []);
    }

    #[test]
    fn flyways_sum_is_over_lines_without_their_ends() {
        // What Flyway 11.8 notes for these texts.
        let text = "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\n";
        assert_eq!(flyway_checksum(text), flyway_checksum(&text.replace('\n', "\r\n")));
        assert_eq!(flyway_checksum(text), flyway_checksum(text.trim_end()));
        assert_eq!(flyway_checksum(text), flyway_checksum(&format!("\u{feff}{text}")));
        assert_ne!(flyway_checksum(text), flyway_checksum(&text.replace("(1)", "(2)")));
    }

    #[test]
    fn sums_are_of_the_bytes_of_the_file() {
        let marked = "\u{feff}select 1;\r\n";
        let found = book(&[("prisma/migrations/20240101000000_a/migration.sql", marked)], Engine::Postgresql);
        assert_eq!(found.ledgers[0].entries[0].checksum.as_deref(), Some(sha256_hex(marked.as_bytes()).as_str()));
    }
}
