//! `services/NAME/migrations/0001_name.up.sql` with `.down.sql`: a folder and a schema per service, folders for what runs
//! in one environment only, and `dependencies.json` (source B, SPEC 3.6).

use std::collections::{BTreeMap, BTreeSet};

use super::numbered::{self, parse_name};
use super::{Folder, Layout, Reader, Surroundings, told};
use crate::config::ServiceSettings;
use crate::ids::EnvironmentName;
use crate::migration::{FileContent, MigrationSet, Problem, Severity, SourceFile, Spot};

/// Folders whose migrations run in the environment of that name only [S1-27] [S1-28] [S1-29].
pub(super) const ENVIRONMENTS: [&str; 4] = ["development", "testing", "staging", "production"];
/// What such a folder is called where its name is cut short.
const SHORT: [(&str, &str); 11] = [
    ("dev", "development"),
    ("develop", "development"),
    ("local", "development"),
    ("test", "testing"),
    ("tests", "testing"),
    ("qa", "testing"),
    ("stage", "staging"),
    ("stg", "staging"),
    ("prod", "production"),
    ("prd", "production"),
    ("live", "production"),
];
/// What depends on what.
const DEPENDENCIES: &str = "dependencies.json";
/// What the service asks of environments.
const SETTINGS: &str = ServiceSettings::FILE;

/// Whether a folder stands where a service keeps its migrations [S1-21].
pub(in crate::migration) fn is_service(dir: &str) -> bool {
    let mut parts = dir.rsplit('/');
    parts.next() == Some("migrations") && parts.next().is_some() && parts.next() == Some("services")
}

/// The environment that a folder of a service reads as being for, while its name is not that one's.
pub(super) fn meant_for(name: &str) -> Option<&'static str> {
    if ENVIRONMENTS.contains(&name) {
        return None;
    }
    let plain = name.to_ascii_lowercase();
    let full = ENVIRONMENTS.into_iter().find(|environment| *environment == plain);
    full.or_else(|| SHORT.into_iter().find(|(short, _)| *short == plain).map(|(_, environment)| environment))
}

/// The service that a folder belongs to: the folder below `services`, or in this layout the one around `migrations`.
pub(in crate::migration) fn of(layout: Layout, unit: &str) -> Option<&str> {
    let mut parts = unit.split('/').skip_while(|part| *part != "services").skip(1);
    let below = parts.next().filter(|_| parts.next().is_some());
    below.or_else(|| {
        let around = unit.strip_suffix("/migrations").unwrap_or(unit);
        (layout == Layout::Service).then(|| around.rsplit('/').next()).flatten().filter(|name| !name.is_empty())
    })
}

pub(super) fn read(folder: &Folder<'_>, around: Surroundings<'_, '_>, reader: &mut Reader<'_>) {
    let before = reader.set.migrations.len();
    strays(&folder.files, reader);
    numbered::read(folder, reader);
    for (name, files) in folder.below.iter().filter(|(name, _)| ENVIRONMENTS.contains(name)) {
        reader.only_in = EnvironmentName::new(*name).ok();
        strays(files, reader);
        numbered::read(&Folder { files: files.clone(), below: BTreeMap::new() }, reader);
        reader.only_in = None;
    }
    for (name, files) in &folder.below {
        let Some(environment) = meant_for(name) else { continue };
        if let Some((_, first)) = files.iter().find(|(n, _)| n.ends_with(".sql")) {
            let message = format!(
                "is in the folder `{name}`, which reads like an environment and is none: its {} files would run nowhere",
                files.len()
            );
            let help =
                format!("rename the folder to `{environment}`, if they are to run there only, or take them out of it");
            reader.problem(&first.path, 1, "file-name", Severity::Error, message, &help);
            reader.set.misnamed.push(first.path.clone());
        }
    }
    widths(before, reader);
    if let Some((_, file)) = folder.files.iter().find(|(n, _)| *n == DEPENDENCIES) {
        depend(file, before, reader);
    }
    if let Some((_, file)) = folder.files.iter().find(|(n, _)| *n == SETTINGS) {
        settings(file, reader);
    }
    if around.names_all {
        undescribed(folder, around.docs.map_or(&[][..], Vec::as_slice), before, reader);
    }
}

/// Each service has a README, and each of its migrations a page beside it [S1-22] [S1-30] [S1-76].
fn undescribed(folder: &Folder<'_>, docs: &[(&str, &SourceFile)], from: usize, reader: &mut Reader<'_>) {
    let mut told = Vec::new();
    for (n, migration) in reader.set.migrations[from..].iter().enumerate() {
        let page = format!("{}.md", migration.id);
        if n == 0 && !folder.files.iter().any(|(name, _)| *name == "README.md") {
            told.push((migration.up.path.clone(), "its folder has no `README.md`".to_owned(), "README.md".to_owned()));
        }
        if !docs.iter().any(|(name, _)| *name == page) {
            told.push((migration.up.path.clone(), "no page describes it".to_owned(), format!("docs/{page}")));
        }
    }
    for (path, message, file) in told {
        let help = format!("write `{}/{file}`: what it is for, what needs it, how to check it", reader.unit);
        reader.remark(&path, 1, "missing-docs", Severity::Error, message, &help);
    }
}

/// Files that do not belong into the folder of a service [S1-08].
fn strays(files: &[(&str, &SourceFile)], reader: &mut Reader<'_>) {
    for (name, file) in files {
        let known = matches!(*name, "README.md" | DEPENDENCIES | SETTINGS | ".gitkeep");
        let sql = name.ends_with(".sql");
        if !known && !sql && !matches!(file.content, FileContent::Directory) {
            reader.stray(file, "is no part of a service's migrations");
        } else if sql && parse_name(name).is_some() && !name.ends_with(".up.sql") && !name.ends_with(".down.sql") {
            let message = "has no direction in its name".to_owned();
            reader.problem(&file.path, 1, "file-name", Severity::Error, message, "end it in `.up.sql` or `.down.sql`");
        }
    }
}

/// Digits of a service's numbers.
const DIGITS: usize = 4;

/// Whether a number has four digits; one that needs more has them.
fn is_filled_up(number: &str) -> bool {
    number.len() == DIGITS || (number.len() > DIGITS && !number.starts_with('0'))
}

/// Four digits, so that the files of a folder list in their order [S1-25]. Any width runs.
fn widths(from: usize, reader: &mut Reader<'_>) {
    let odd: Vec<(String, usize)> = reader.set.migrations[from..]
        .iter()
        .filter(|m| !is_filled_up(m.version.as_str()))
        .map(|m| (m.up.path.clone(), m.version.as_str().len()))
        .collect();
    for (path, digits) in odd {
        let message = format!("its number has {digits} digits, where a service's have four");
        let help = "write it with four digits, in its `.down.sql` as well; where it is applied, let it through in `policies/lint.yml`";
        reader.remark(&path, 1, "file-name", Severity::Error, message, help);
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependencies {
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    schema: Option<String>,
    migrations: BTreeMap<String, Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    depends_on: Vec<String>,
}

/// Takes over what `dependencies.json` declares; every migration must appear in it [S1-23] [S1-75].
fn depend(file: &SourceFile, from: usize, reader: &mut Reader<'_>) {
    let Some(script) = reader.script(file) else { return };
    let wrong = |at: Spot, message: String, help: &str, reader: &mut Reader<'_>| {
        reader.problem(&file.path, at, "invalid-metadata", Severity::Error, message, help);
    };
    let read: Dependencies = match serde_json::from_str(&script.text) {
        Ok(read) => read,
        Err(e) => {
            let help = "write `{ \"migrations\": { \"0001_name\": { \"depends_on\": [] } } }`";
            let at = Spot::read_to(&script.text, e.line(), e.column());
            return wrong(at, format!("is not as it should be: {e}"), help, reader);
        }
    };
    // A text that is written with escapes is not looked for.
    let spot_of = |word: &str| {
        let quoted = format!("\"{word}\"");
        script.text.find(&quoted).map_or(Spot::from(1), |at| Spot::of(&script.text, at..at + quoted.len()))
    };
    let service = of(reader.layout, reader.stands).unwrap_or_default().to_owned();
    if let Some(named) = read.service.filter(|s| *s != service) {
        let message = format!("is written for `{named}`, but stands in the folder of `{service}`");
        wrong(spot_of(&named), message, "correct `service`", reader);
    }
    if let Some(named) = read.schema.filter(|s| *s != service.replace('-', "_")) {
        let message = format!("names the schema `{named}`, but that of `{service}` is `{}`", service.replace('-', "_"));
        wrong(spot_of(&named), message, "correct `schema`", reader);
    }
    let mut known = BTreeSet::new();
    let mut missing = Vec::new();
    for migration in &mut reader.set.migrations[from..] {
        known.insert(migration.id.to_string());
        match read.migrations.get(migration.id.as_str()) {
            Some(entry) => {
                let new: Vec<String> =
                    entry.depends_on.iter().filter(|d| !migration.directives.depends_on.contains(d)).cloned().collect();
                migration.directives.depends_on.extend(new);
            }
            None => missing.push((migration.up.path.clone(), migration.id.to_string())),
        }
    }
    for (path, id) in missing {
        let message = format!("does not appear in `{DEPENDENCIES}`");
        let help = format!("add `\"{id}\": {{ \"depends_on\": [] }}` to it, with what it needs");
        reader.problem(&path, 1, "undeclared-dependency", Severity::Error, message, &help);
    }
    for id in read.migrations.keys().filter(|id| !known.contains(*id)) {
        wrong(spot_of(id), format!("names `{id}`, which is no migration of this folder"), "take it out", reader);
    }
}

/// Takes over what a service asks of environments [S1-24]. A file that cannot be read keeps every run from starting (N08): it
/// may be the one that asks for more.
fn settings(file: &SourceFile, reader: &mut Reader<'_>) {
    let Some(script) = reader.script(file) else { return };
    match ServiceSettings::parse(&file.path, &script.text) {
        Ok(asks) => {
            let service = of(reader.layout, reader.stands).unwrap_or_default().to_owned();
            reader.set.settings.push(ServiceSettings { service, unit: reader.unit.to_owned(), asks });
        }
        Err(errors) => {
            let help =
                "write `{ \"staging\": { \"validation\": \"strict\", \"backup_required\": true, \"timeout\": 600 } }`";
            for error in errors {
                let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                let (line, column) = (number(error.line), number(error.column));
                let at = Spot { line, column, end_column: column };
                let message = format!("is not as it should be: {}", error.message);
                reader.problem(&file.path, at, "invalid-metadata", Severity::Error, message, help);
            }
        }
    }
}

/// Services that declare nothing beside others that do: what they need is looked for there [S1-75].
pub(in crate::migration) fn undeclaring(files: &[SourceFile], set: &MigrationSet) -> Vec<Problem> {
    let declaring: BTreeSet<&str> =
        files.iter().filter_map(|f| f.path.strip_suffix(DEPENDENCIES)?.strip_suffix('/')).collect();
    let mut units = BTreeSet::new();
    let of_services = || set.migrations.iter().filter(|m| m.layout == Layout::Service);
    if !of_services().any(|m| declaring.contains(m.unit.as_str())) {
        return Vec::new();
    }
    let first = of_services().filter(|m| !declaring.contains(m.unit.as_str()) && units.insert(m.unit.as_str()));
    first
        .map(|m| {
            let message = format!("its service has no `{DEPENDENCIES}`, and others have one");
            let help = format!(
                "write `{}/{DEPENDENCIES}`: `{{ \"migrations\": {{ \"{}\": {{ \"depends_on\": [] }} }} }}`, with what it needs",
                m.unit, m.id
            );
            told(&m.up.path, 1, "undeclared-dependency", Severity::Warning, message, &help)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, resolve};

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    const USERS: [(&str, &str); 4] = [
        ("services/user-service/migrations/0001_create_users.up.sql", "create table user_service.users (id bigint);"),
        ("services/user-service/migrations/0001_create_users.down.sql", "drop table user_service.users;"),
        (
            "services/order-service/migrations/0001_create_orders.up.sql",
            "create table order_service.orders (id bigint);",
        ),
        ("services/order-service/migrations/0001_create_orders.down.sql", "drop table order_service.orders;"),
    ];

    #[test]
    fn s1_21_s1_18_a_service_has_a_folder_a_schema_and_folders_of_environments() {
        let mut files = USERS.to_vec();
        files.extend([
            ("services/user-service/migrations/README.md", "# users"),
            ("services/user-service/migrations/environments.json", "{}"),
            ("services/user-service/migrations/docs/0001_create_users.md", "# why"),
            ("services/user-service/migrations/production/0002_grants.up.sql", "select 1;"),
            ("services/user-service/migrations/production/0002_grants.down.sql", "select 2;"),
        ]);
        let set = read(&files);
        assert_eq!(set.problems, []);
        let users: Vec<_> = set.migrations.iter().filter(|m| m.service.as_deref() == Some("user-service")).collect();
        assert_eq!(users.len(), 2);
        assert!(users.iter().all(|m| m.layout == Layout::Service && m.schema().as_deref() == Some("user_service")));
        assert_eq!(users[1].only_in.as_ref().map(|e| e.as_str()), Some("production"));
        assert_eq!(users[1].unit, "services/user-service/migrations");
        // Numbers are shared with the folders of environments [S1-27].
        files.push(("services/user-service/migrations/staging/0001_clash.up.sql", "select 1;"));
        files.push(("services/user-service/migrations/staging/0001_clash.down.sql", "select 1;"));
        assert!(read(&files).problems.iter().any(|p| p.rule == "duplicate-version"));
    }

    #[test]
    fn s1_27_a_folder_that_reads_like_an_environment_and_is_none_runs_nowhere_and_is_told() {
        for (name, full) in [("prod", "production"), ("Staging", "staging"), ("dev", "development")] {
            let path = format!("services/user-service/migrations/{name}/0002_x.up.sql");
            let mut files = USERS.to_vec();
            files.push((&path, "select 1;"));
            let set = read(&files);
            assert_eq!(set.migrations.len(), 2, "{name}");
            let told: Vec<_> = set.problems.iter().map(|p| (p.file.as_str(), p.rule, p.severity)).collect();
            assert_eq!(told, [(path.as_str(), "file-name", Severity::Error)]);
            assert_eq!(set.misnamed, [path.as_str()]);
            assert!(set.problems[0].help.contains(&format!("`{full}`")), "{:?}", set.problems);
        }
        let path = "services/user-service/migrations/archive/0002_x.up.sql";
        let files: Vec<_> = USERS.into_iter().chain([(path, "select 1;")]).collect();
        assert!(read(&files).problems.iter().all(|p| p.file != path));
        // Beside no service's migrations it is a folder like others.
        assert_eq!(read(&[("db/migrations/prod/0001_x.up.sql", "select 1;")]).problems, []);
    }

    #[test]
    fn s1_23_s1_75_dependencies_reach_across_services() {
        let json = r#"{
  "service": "user-service", "schema": "user_service",
  "migrations": {
    "0001_create_users": { "depends_on": ["order-service/0001_create_orders"] },
    "0009_gone": { "depends_on": [] }
  }
}"#;
        let mut files = USERS.to_vec();
        files.push(("services/user-service/migrations/dependencies.json", json));
        let set = read(&files);
        assert_eq!(
            set.migrations.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(),
            ["0001_create_orders", "0001_create_users"]
        );
        let found: Vec<_> = set.problems.iter().map(|p| (p.rule, p.line)).collect();
        assert_eq!(found, [("invalid-metadata", 5)], "{:?}", set.problems);
        files.push(("services/user-service/migrations/0002_more.up.sql", "select 1;"));
        files.push(("services/user-service/migrations/0002_more.down.sql", "select 1;"));
        let set = read(&files);
        let problem = set.problems.iter().find(|p| p.rule == "undeclared-dependency").expect("said");
        assert!(problem.help.contains("\"0002_more\": { \"depends_on\": [] }"), "{}", problem.help);
    }

    /// Its `environments.json` as the specification gives it.
    const SETTINGS_GIVEN: &str = r#"{
  "development": { "validation": "relaxed", "auto_approve": true, "backup_required": false, "timeout": 300, "seed": true },
  "testing": { "validation": "relaxed", "auto_approve": true, "backup_required": false, "timeout": 300, "seed": true },
  "staging": { "validation": "strict", "backup_required": true, "timeout": 600, "performance_test": true },
  "production": {
    "validation": "strict", "approval_required": true, "backup_required": true, "timeout": 900, "rollback_check": true,
    "maintenance_windows": [ { "days": ["sat", "sun"], "start": "02:00", "end": "04:00", "timezone": "UTC" } ]
  }
}"#;

    #[test]
    fn n08_s1_24_a_broken_environments_json_keeps_every_run_from_starting() {
        let told = |json: &str| -> Vec<(u32, String)> {
            let mut files = USERS.to_vec();
            files.push(("services/user-service/migrations/environments.json", json));
            let set = read(&files);
            assert_eq!(set.migrations.len(), 2);
            assert_eq!(set.settings.is_empty(), !set.problems.is_empty(), "nothing is taken from a broken file");
            let of = set.problems.into_iter();
            of.map(|p| {
                assert_eq!((p.rule, p.severity), ("invalid-metadata", Severity::Error));
                assert!(p.file.ends_with("user-service/migrations/environments.json"));
                (p.line, p.message)
            })
            .collect()
        };
        let given = SETTINGS_GIVEN;
        assert_eq!(told(given), []);
        assert_eq!(told(&given.replace("  ", "\t")), []);
        for (from, to, line, part) in [
            ("\"timeout\": 600", "\"timeout\": \"soon\"", 4, "a whole number from 1"),
            ("\"timeout\": 600", "\"timeout\": 0", 4, "a whole number from 1"),
            ("\"performance_test\"", "\"performence_test\"", 4, "did you mean `performance_test`"),
            ("\"performance_test\": true", "\"performance_test\": 3", 4, "`true` or `false`"),
            ("\"strict\", \"approval", "\"strickt\", \"approval", 6, "`strict`, `relaxed`"),
            ("\"approval_required\": true", "\"approval_required\": \"yes\"", 6, "`true` or `false`"),
            ("\"start\"", "\"begin\"", 7, "unknown key `begin`"),
            ("\"sat\", ", "\"sat\", \"sat\", ", 7, "twice"),
            ("\"testing\": {", "\"not a name\": {", 3, "environment name"),
            ("\"testing\": {", "\"development\": {", 3, "stands here twice"),
            ("}\n}", "}\n", 9, "EOF"),
            ("\"seed\": true }", "seed: true }", 2, "not valid JSON"),
        ] {
            let found = told(&given.replacen(from, to, 1));
            assert!(found.iter().any(|(at, message)| *at == line && message.contains(part)), "{to}: {found:?}");
        }
    }

    #[test]
    fn s1_24_what_a_service_asks_is_read_with_its_folder() {
        let nested = r#"{ "staging": { "migration": { "auto_approve": false, "backup_required": true, "timeout": 60 },
            "timeout": 90, "backup_required": false } }"#;
        let mut files = USERS.to_vec();
        files.push(("services/user-service/migrations/environments.json", SETTINGS_GIVEN));
        files.push(("services/order-service/migrations/environments.json", nested));
        let set = read(&files);
        assert_eq!(set.problems, []);
        let environment = |name: &str| EnvironmentName::new(name).unwrap();
        let of = |service: &str, name: &str| {
            let settings = set.settings.iter().find(|s| s.service == service).unwrap();
            assert_eq!(settings.unit, format!("services/{service}/migrations"));
            let asks = settings.of(&environment(name)).unwrap();
            (asks.strict, asks.approval, asks.backup, asks.timeout, asks.windows.0.len())
        };
        // What is no more than a default asks for nothing.
        assert_eq!(of("user-service", "development"), (false, false, false, Some(300), 0));
        assert_eq!(of("user-service", "staging"), (true, false, true, Some(600), 0));
        assert_eq!(of("user-service", "production"), (true, true, true, Some(900), 1));
        assert_eq!(of("order-service", "staging"), (false, true, true, Some(60), 0));
        assert_eq!(set.strict_in(&|name| *name == environment("staging")), ["services/user-service/migrations"]);
        let users = set.find("0001_create_users").unwrap();
        assert_eq!(set.wants_backup(users, &environment("staging")), Some("user-service"));
        assert_eq!(set.wants_backup(users, &environment("testing")), None);
        let only: Vec<_> = set.settings_of(&[users]).into_iter().map(|s| s.service.as_str()).collect();
        assert_eq!(only, ["user-service"]);
    }

    #[test]
    fn s1_25_n01_a_services_number_has_four_digits() {
        let told = |name: &str| -> Vec<(&'static str, Severity)> {
            let path = |way: &str| format!("services/a/migrations/{name}.{way}.sql");
            let (up, down) = (path("up"), path("down"));
            let set = read(&[(up.as_str(), "select 1;"), (down.as_str(), "select 2;")]);
            assert_eq!((set.migrations.len(), set.problems.as_slice()), (1, &[][..]), "any width runs");
            set.remarks.iter().map(|p| (p.rule, p.severity)).collect()
        };
        for (name, expected) in
            [("0003_x", false), ("10000_x", false), ("003_x", true), ("3_x", true), ("00003_x", true)]
        {
            let wanted = if expected { vec![("file-name", Severity::Error)] } else { Vec::new() };
            assert_eq!(told(name), wanted, "{name}");
        }
    }

    #[test]
    fn s1_75_a_service_without_dependencies_is_told_where_others_have_them() {
        let told = |json: bool| -> Vec<(String, Severity)> {
            let mut files = USERS.to_vec();
            let declares = r#"{ "migrations": { "0001_create_users": { "depends_on": [] } } }"#;
            if json {
                files.push(("services/user-service/migrations/dependencies.json", declares));
            }
            let remarks = read(&files).remarks.into_iter().filter(|p| p.rule == "undeclared-dependency");
            remarks.map(|p| (p.file, p.severity)).collect()
        };
        assert_eq!(told(false), []);
        assert_eq!(
            told(true),
            [("services/order-service/migrations/0001_create_orders.up.sql".to_owned(), Severity::Warning)]
        );
    }

    #[test]
    fn f212_n10_s1_27_what_is_needed_runs_wherever_it_is_needed() {
        let orders = |folder: &str| format!("services/order-service/migrations/{folder}0002_seed.up.sql");
        let told = |by: &str, needed: &str| -> Vec<(String, String)> {
            let mut files = USERS.to_vec();
            let json = r#"{ "service": "order-service", "migrations": { "0001_create_orders": { "depends_on": [] },
                "0002_seed": { "depends_on": ["user-service/0002_seed"] } } }"#;
            let (by, needed) = (orders(by), format!("services/user-service/migrations/{needed}0002_seed.up.sql"));
            files.push(("services/order-service/migrations/dependencies.json", json));
            files.extend([(by.as_str(), "select 1;"), (needed.as_str(), "select 1;")]);
            let problems = read(&files).problems.into_iter().filter(|p| p.rule == "unknown-dependency");
            problems.map(|p| (p.file, p.message)).collect()
        };
        for (by, needed) in [("", ""), ("development/", ""), ("development/", "development/")] {
            assert_eq!(told(by, needed), [], "{by} needs {needed}");
        }
        for (by, part) in [("", "runs everywhere"), ("production/", "runs in `production`")] {
            let found = told(by, "development/");
            assert_eq!(found.len(), 1, "{by}: {found:?}");
            assert_eq!(found[0].0, orders(by));
            assert!(found[0].1.contains("runs in `development` only") && found[0].1.contains(part), "{found:?}");
        }
    }

    #[test]
    fn s1_23_what_is_wrong_with_the_dependencies_is_told_at_its_column() {
        let wrong = |json: &str| -> Vec<(u32, u32, u32)> {
            let set = read(&[
                ("services/a/migrations/0001_a.up.sql", "select 1;"),
                ("services/a/migrations/0001_a.down.sql", "select 1;"),
                ("services/a/migrations/dependencies.json", json),
            ]);
            let of = set.problems.iter().filter(|p| p.file.ends_with("dependencies.json"));
            of.map(|p| (p.line, p.column, p.end_column)).collect()
        };
        let json = r#"{ "service": "b", "migrations": { "0001_a": {},
  "0009_gone": {} } }"#;
        assert_eq!(wrong(json), [(1, 14, 17), (2, 3, 14)]);
        assert_eq!(wrong("{\n  \"migrations\": 7 }"), [(2, 17, 17)]);
    }

    #[test]
    fn s1_08_s1_74_what_does_not_fit_is_reported() {
        let set = read(&[
            ("services/a/migrations/0001_a.up.sql", "select 1;"),
            ("services/a/migrations/02_b.up.sql", "select 1;"),
            ("services/a/migrations/02_b.down.sql", "select 1;"),
            ("services/a/migrations/0003_c.sql", "select 1;"),
            ("services/a/migrations/notes.txt", "…"),
            ("services/a/migrations/dependencies.json", "{ \"migrations\": [] }"),
        ]);
        let all = set.problems.iter().chain(&set.remarks);
        let found: Vec<_> = all.map(|p| (p.file.rsplit('/').next().unwrap_or(""), p.rule, p.severity)).collect();
        for expected in [
            ("0001_a.up.sql", "missing-down", Severity::Error),
            ("02_b.up.sql", "file-name", Severity::Error),
            ("0003_c.sql", "file-name", Severity::Error),
            ("notes.txt", "stray-file", Severity::Warning),
            ("dependencies.json", "invalid-metadata", Severity::Error),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }
}
