//! `godwit.yml`, the file at the root of a user's repository (INTERFACE 3).

use super::health::{self, CriticalPath, CriticalTable};
use super::schema::{Form, Kind, Rule};
use super::yaml::{self, Node, Reader, Value};
use super::{ConfigError, Environments};
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::migration::native::Keep;
use crate::migration::{Layout, MigrationRoot};

/// The parsed `godwit.yml`; [`RepoConfig::default`] is what holds without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoConfig {
    /// Promotion order.
    pub environments: Vec<EnvironmentName>,
    /// Folder of the policy files.
    pub policies: String,
    /// Where migrations are looked for.
    pub migrations: Vec<MigrationRoot>,
    /// Tables that must be readable after a run, in every environment.
    pub critical_tables: Vec<CriticalTable>,
    /// What must work after a run, in every environment.
    pub critical_paths: Vec<CriticalPath>,
    /// Programs that the command line starts once an environment was brought forward, such as `npx prisma generate`; the
    /// server never does [S3-09] [S3-35].
    pub post_run: Vec<String>,
    /// Whom to ask, by what they are for, in the file's order: shown below each run [S3-64] [S2-142].
    pub contacts: Vec<(String, String)>,
}

impl Default for RepoConfig {
    fn default() -> Self {
        Self {
            environments: ["development", "testing", "staging", "production"]
                .map(|n| EnvironmentName::new(n).expect("a plain word is an environment name"))
                .to_vec(),
            policies: "policies".to_owned(),
            migrations: vec![MigrationRoot::folder("**")],
            critical_tables: Vec::new(),
            critical_paths: Vec::new(),
            post_run: Vec::new(),
            contacts: Vec::new(),
        }
    }
}

/// Keys of other tools' or later forms, with the place where the thing is written.
const ELSEWHERE: [(&str, &str); 4] = [
    ("roots", "write the folders under `migrations`"),
    ("branches", "write `branch` into the environments of `environments.yml`"),
    ("regions", "write `region` into the targets of `environments.yml`"),
    ("roles", "write them into `policies/roles.yml`"),
];

impl RepoConfig {
    /// A folder whose engine nobody wrote is of its target's kind, where all environments agree on that.
    pub fn take_engines(&mut self, environments: &Environments) {
        for root in self.migrations.iter_mut().filter(|r| r.engine.is_none()) {
            let Some(target) = &root.target else { continue };
            let mut kinds =
                environments.0.iter().flat_map(|e| &e.targets).filter(|t| &t.name == target).map(|t| t.engine);
            if let Some(first) = kinds.next()
                && kinds.all(|k| k == first)
            {
                root.engine = Some(first);
            }
        }
    }

    /// Name of the file.
    pub const FILE: &str = "godwit.yml";
    /// Folders in which policies stand in repositories that come from elsewhere, in the order in which they are looked for
    /// where the configured folder holds none [S2-14] [S2-15].
    pub const OTHER_POLICIES: [&str; 2] = ["config", "migrations/config"];

    /// Parses the file's text and gives the first mistake; [`RepoConfig::parse_all`] gives all.
    ///
    /// # Errors
    /// A located message for unknown keys, wrong types, an unknown layout, a path that leaves the repository, or a
    /// version other than 1.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_all(text).map_err(|mut errors| errors.remove(0))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// Every mistake, located; at least one.
    pub fn parse_all(text: &str) -> Result<Self, Vec<ConfigError>> {
        Self::parse_stated(text).map(|(config, _)| config)
    }

    /// As [`RepoConfig::parse_all`], and whether the file states the promotion order itself.
    pub(crate) fn parse_stated(text: &str) -> Result<(Self, bool), Vec<ConfigError>> {
        let root = yaml::parse(Self::FILE, text).map_err(|e| vec![e])?;
        let mut reader = Reader::new(Self::FILE);
        let read = Self::read(&mut reader, &root);
        reader.finish(read)
    }

    /// Reads the file's tree, and whether it states the promotion order itself.
    pub(super) fn read(reader: &mut Reader, root: &Node) -> (Self, bool) {
        let mut config = RepoConfig::default();
        for (key, _) in reader.map(root, "") {
            if let Some((_, hint)) = ELSEWHERE.iter().find(|(k, _)| *k == key.name) {
                reader.wrong_key(key, format!("unknown key `{}`: {hint}", key.name));
            }
        }
        let known = [
            "version",
            "environments",
            "policies",
            "migrations",
            "critical_tables",
            "critical_paths",
            "hooks",
            "contacts",
        ];
        let allowed: Vec<&str> = known.into_iter().chain(ELSEWHERE.map(|(k, _)| k)).collect();
        for (key, _) in reader.map(root, "") {
            if !allowed.contains(&key.name.as_str()) {
                reader.unknown(key, "", &known);
            }
        }
        let fields = reader.known_fields(root, "", &known);
        if let Some((node, path)) = reader.needed(&fields, root, "version", "the file does not say `version: 1`") {
            match &node.value {
                Value::Anything(probe) => probe.note(Kind::Whole(1, 1)),
                _ => {
                    if let Some(version) = reader.number(node, &path, 0..=u64::from(u32::MAX))
                        && version != 1
                    {
                        let message = format!("`version: {version}` is not known; this Godwit reads `version: 1`");
                        reader.wrong(node, message);
                    }
                }
            }
        }
        let environments = fields.get("environments");
        if let Some((node, path)) = &environments {
            config.environments = promotion_order(reader, node, path);
        }
        if let Some((node, path)) = fields.get("policies")
            && let Some(text) = reader.formed(node, &path, Form::PATH)
        {
            match inside(&text) {
                Ok(folder) => config.policies = folder,
                Err(message) => reader.wrong(node, message),
            }
        }
        if let Some((node, path)) = fields.get("migrations") {
            config.migrations =
                reader.list(node, &path).iter().filter_map(|item| migration_root(reader, item, &path)).collect();
        }
        (config.critical_tables, config.critical_paths) = health::shared(reader, &fields, None);
        if let Some((node, path)) = fields.get("hooks") {
            let hooks = reader.fields(node, &path, &["post_run"]);
            if let Some((list, path)) = hooks.get("post_run") {
                config.post_run = reader.list(list, &path).iter().filter_map(|i| reader.string(i, &path)).collect();
            }
        }
        if let Some((node, path)) = fields.get("contacts") {
            for (key, who) in reader.map(node, &path) {
                let who = reader.string(who, &format!("{path}.{}", key.name));
                config.contacts.extend(who.map(|who| (key.name.clone(), who)));
            }
        }
        let stated = environments.is_some();
        (config, stated)
    }
}

fn promotion_order(reader: &mut Reader, node: &Node, path: &str) -> Vec<EnvironmentName> {
    let mut order = Vec::new();
    let items = reader.list(node, path);
    node.must(Rule::Filled);
    node.must(Rule::Distinct);
    if items.is_empty() {
        reader.wrong(node, format!("`{path}` is empty; name at least one"));
    }
    for item in items {
        let Some(name) = reader.parsed::<EnvironmentName>(item, path) else { continue };
        if order.contains(&name) {
            reader.wrong(item, format!("`{path}` names `{name}` twice"));
        } else {
            order.push(name);
        }
    }
    order
}

/// The name of a table, with its schema in front or not.
fn native_table(reader: &mut Reader, node: &Node, path: &str) -> Option<String> {
    let name = reader.formed(node, path, Form::NATIVE_TABLE)?;
    let parts: Vec<&str> = name.split('.').collect();
    let is_name = |part: &&str| !part.is_empty() && !part.contains(|c: char| c == '"' || c.is_whitespace());
    if parts.len() > 2 || !parts.iter().all(is_name) {
        reader.wrong(
            node,
            format!("`{path}: {name}` is no name of a table: write `table`, or `schema.table`, without quotes"),
        );
        return None;
    }
    Some(name)
}

fn migration_root(reader: &mut Reader, node: &Node, path: &str) -> Option<MigrationRoot> {
    let fields = reader.fields(node, path, &["path", "layout", "engine", "target", "native", "table"]);
    let layout = match fields.get("layout") {
        None => None,
        Some((node, path)) => match reader.text(node, &path, layouts()).as_deref() {
            None | Some("auto") => None,
            Some(name) => match name.parse::<Layout>() {
                Ok(layout) => Some(layout),
                Err(e) => {
                    reader.wrong(node, e.to_string());
                    None
                }
            },
        },
    };
    let native = match fields.get("native") {
        None => Keep::Auto,
        Some((node, path)) => {
            let kind = Kind::words(Keep::ALL.iter().map(|(_, name)| *name));
            let word = reader.text(node, &path, kind).unwrap_or_default();
            Keep::ALL.iter().find(|(_, name)| *name == word).map(|(keep, _)| *keep).unwrap_or_else(|| {
                reader.wrong(node, format!("`{path}: {word}` is none of `auto`, `always` and `never`"));
                Keep::Auto
            })
        }
    };
    let native_table = fields.get("table").and_then(|(node, path)| native_table(reader, node, &path));
    let target = fields.get("target").and_then(|(node, path)| reader.parsed::<TargetName>(node, &path));
    let engine = fields.get("engine").and_then(|(node, path)| reader.parsed::<Engine>(node, &path));
    let (folder, folder_path) = reader.needed(&fields, node, "path", format!("an entry of `{path}` needs `path`"))?;
    match inside(&reader.formed(folder, &folder_path, Form::PATH)?) {
        Ok(path) => {
            let line = u32::try_from(folder.line).ok();
            Some(MigrationRoot { path, layout, engine, target, native, native_table, line })
        }
        Err(message) => {
            reader.wrong(folder, message);
            None
        }
    }
}

/// The words for a layout.
fn layouts() -> Kind {
    Kind::words(std::iter::once("auto").chain(Layout::ALL.iter().map(|(_, name)| *name)))
}

/// A relative path without `.` or `..` parts; no path of a configuration leaves the repository.
pub(super) fn inside(path: &str) -> Result<String, String> {
    let trimmed = path.trim_end_matches('/');
    let trimmed = trimmed.strip_prefix("./").unwrap_or(trimmed);
    if trimmed == "." {
        return Ok(String::new());
    }
    if path.starts_with('/')
        || trimmed.split('/').any(|p| p == ".." || p == "." || p.is_empty())
        || trimmed.contains('\\')
    {
        return Err(format!("`{path}` must be a relative path inside the repository, with `/` and without `..`"));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_interface_loads() {
        let config = RepoConfig::parse(
            "version: 1\nenvironments: [development, testing, staging, production]\npolicies: policies\nmigrations:\n  \
             - path: migrations/postgresql\n    target: shop-pg\n  - path: db\n    layout: diesel\n",
        )
        .expect("valid");
        assert_eq!(config.migrations.len(), 2);
        assert_eq!(config.environments.len(), 4);
        let config = RepoConfig::parse("version: 1\ncontacts: { dba: dba@example.com, on_call: 7 }\n").expect("valid");
        let contacts = [("dba", "dba@example.com"), ("on_call", "7")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(config.contacts, contacts);
    }

    #[test]
    fn mistakes_say_where_and_what_is_allowed() {
        for (text, parts) in [
            ("version: 1\nmigration: []\n", &["godwit.yml:2:1", "unknown key `migration`", "migrations"][..]),
            ("version: 1\nroles: {}\n", &["godwit.yml:2:1", "policies/roles.yml"]),
            ("version: 2\n", &["godwit.yml:1:10", "version: 1"]),
            ("version: one\n", &["godwit.yml:1"]),
            ("version: 1\nmigrations:\n  - path: ../x\n", &["godwit.yml:3:11", "inside the repository"]),
            ("version: 1\nmigrations: db\n", &["godwit.yml:2", "list"]),
            ("version: 1\ncontacts: [dba@example.com]\n", &["godwit.yml:2", "mapping"]),
            ("version: 1\ncontacts: { dba: [] }\n", &["godwit.yml:2", "contacts.dba"]),
            ("version: 1\nmigrations:\n  - path: x\n    layout: rails\n", &["layout", "rails", "numbered"]),
            ("version: 1\nenvironments: []\n", &["empty"]),
            ("version: 1\nenvironments: [a, a]\n", &["twice"]),
            ("version: 1\nenvironments: ['a/b']\n", &["environment name"]),
            ("", &["version"]),
        ] {
            let message = RepoConfig::parse(text).expect_err(text).to_string();
            for part in parts {
                assert!(message.contains(part), "{text:?}: {message}");
            }
        }
    }
}
