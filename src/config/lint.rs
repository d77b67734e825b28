//! `policies/lint.yml`: rule levels, server version, waivers; and the profile that an environment asks for.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::ConfigError;
use super::schema::Form;
use super::yaml::{self, Node, Reader};
use crate::ids::EnvironmentName;
use crate::migration::Severity;
use crate::migration::paths::below;

/// How severe findings are where the policy names no level (SPEC 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// As the rules say; for staging and production [S1-54].
    #[default]
    Strict,
    /// What is wrong only with data or programs that matter weighs less; for development [S1-50].
    Relaxed,
}

impl Profile {
    /// The words that stand for them in files and arguments.
    pub const WORDS: [(&str, Self); 2] = [("strict", Self::Strict), ("relaxed", Self::Relaxed)];
}

/// The linter's settings; the default holds without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintConfig {
    /// Rule id → level, or `None` to switch the rule off.
    pub levels: BTreeMap<String, Option<Severity>>,
    /// PostgreSQL version of the targets, for rules that depend on it, such as `15`; `None` = nobody said it, see
    /// [`LintConfig::postgres`].
    pub postgres_version: Option<String>,
    /// Findings let through by the policy (base branch): these do lower severity to `info`.
    pub waivers: Vec<PolicyWaiver>,
    /// How severe findings are where `levels` says nothing. Not from this file: environments name it.
    pub profile: Profile,
    /// Folders below which findings are as severe as [`Profile::Strict`] has them, whatever the profile is: those of services
    /// that ask for that [S1-24].
    pub strict_below: Vec<String>,
    /// The environment that is asked about, where it is one: what runs there alone belongs to the history then.
    pub environment: Option<EnvironmentName>,
    /// The file's path.
    pub file: String,
}

impl Default for LintConfig {
    fn default() -> Self {
        Self {
            levels: BTreeMap::new(),
            postgres_version: None,
            waivers: Vec::new(),
            profile: Profile::Strict,
            strict_below: Vec::new(),
            environment: None,
            file: String::new(),
        }
    }
}

/// A waiver in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWaiver {
    /// The rule's id.
    pub rule: String,
    /// Paths it holds for, as globs; empty means every path.
    pub paths: Vec<String>,
    /// Why.
    pub reason: String,
    /// The last day it holds.
    pub expires: NaiveDate,
    /// The line on which it begins, from 1.
    pub line: u32,
}

const LEVELS: [(&str, Option<Severity>); 4] = [
    ("off", None),
    ("info", Some(Severity::Info)),
    ("warning", Some(Severity::Warning)),
    ("error", Some(Severity::Error)),
];

impl LintConfig {
    /// The version that is taken for that of the servers while nobody says which they have: what squawk takes too.
    const ASSUMED: &str = "15";

    /// The PostgreSQL version that the rules judge by.
    pub fn postgres(&self) -> &str {
        self.postgres_version.as_deref().unwrap_or(Self::ASSUMED)
    }

    /// Its major part.
    pub fn postgres_major(&self) -> u32 {
        self.postgres().split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// The profile that a file is judged by.
    pub fn profile_of(&self, file: &str) -> Profile {
        if self.strict_below.iter().any(|folder| below(file, folder).is_some()) {
            Profile::Strict
        } else {
            self.profile
        }
    }

    /// Parses the file's text; `file` is its path for messages.
    ///
    /// # Errors
    /// Every mistake, located.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        let root = yaml::parse(file, text).map_err(|e| vec![e])?;
        let mut reader = Reader::new(file);
        let config = Self { file: file.to_owned(), ..Self::read(&mut reader, &root) };
        reader.finish(config)
    }

    /// Reads the file's tree.
    pub(super) fn read(reader: &mut Reader, root: &Node) -> Self {
        let mut config = Self::default();
        let fields = reader.fields(root, "", &["postgres_version", "rules", "waivers"]);
        if let Some((node, path)) = fields.get("postgres_version")
            && let Some(version) = reader.formed(node, &path, Form::VERSION)
        {
            match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
                Some(9..=99) if version.split('.').all(|p| p.parse::<u32>().is_ok()) => {
                    config.postgres_version = Some(version);
                }
                Some(_) | None => reader.wrong(node, format!("`{path}` must be a version such as `15` or `16.2`")),
            }
        }
        if let Some((node, path)) = fields.get("rules") {
            for (key, level) in reader.keyed(node, &path, Form::RULE) {
                if !is_rule_id(&key.name) {
                    reader.wrong_key(key, format!("`{}` is not a rule id: lower-case words joined by `-`", key.name));
                } else if let Some(level) = reader.one_of(level, &yaml::join(&path, &key.name), &LEVELS) {
                    config.levels.insert(key.name.clone(), level);
                }
            }
        }
        if let Some((node, path)) = fields.get("waivers") {
            for item in reader.list(node, &path) {
                config.waivers.extend(waiver(reader, item, &path));
            }
        }
        config
    }
}

fn waiver(reader: &mut Reader, node: &Node, path: &str) -> Option<PolicyWaiver> {
    let fields = reader.fields(node, path, &["rule", "paths", "reason", "expires"]);
    for needed in ["rule", "reason", "expires"] {
        reader.needed(&fields, node, needed, format!("a waiver needs `{needed}`"));
    }
    let mut paths = Vec::new();
    if let Some((list, path)) = fields.get("paths") {
        for item in reader.list(list, &path) {
            let Some(glob) = reader.string(item, &path) else { continue };
            match globset::Glob::new(&glob) {
                Ok(_) => paths.push(glob),
                Err(e) => reader.wrong(item, format!("`{glob}` is not a glob: {}", e.kind())),
            }
        }
    }
    let (rule, p) = fields.get("rule")?;
    let rule_id = reader.formed(rule, &p, Form::RULE)?;
    if !is_rule_id(&rule_id) {
        reader.wrong(rule, format!("`{rule_id}` is not a rule id: lower-case words joined by `-`"));
    }
    let (reason, p) = fields.get("reason")?;
    let text = reader.formed(reason, &p, Form::WORDS)?;
    if text.trim().is_empty() {
        reader.wrong(reason, "a waiver needs a reason in words");
    }
    let (expires, p) = fields.get("expires")?;
    let date = reader.formed(expires, &p, Form::DATE)?;
    match date.parse::<NaiveDate>() {
        Ok(expires) => Some(PolicyWaiver { rule: rule_id, paths, reason: text, expires, line: line_of(node.line) }),
        Err(_) => {
            reader.wrong(expires, format!("`{p}` must be a date of the form YYYY-MM-DD"));
            None
        }
    }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn is_rule_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 100 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_loads() {
        let config = LintConfig::parse(
            "policies/lint.yml",
            "postgres_version: 16\nrules:\n  prefer-bigint-over-int: off\n  ban-drop-column: error\nwaivers:\n  - rule: ban-drop-table\n    paths: ['migrations/legacy/**']\n    reason: nobody reads them\n    expires: 2027-01-31\n",
        )
        .expect("valid");
        assert_eq!((config.postgres_version.as_deref(), config.postgres()), (Some("16"), "16"));
        assert_eq!(config.levels["prefer-bigint-over-int"], None);
        assert_eq!(config.levels["ban-drop-column"], Some(Severity::Error));
        assert_eq!(config.waivers[0].expires.to_string(), "2027-01-31");
        assert_eq!(LintConfig::parse("l", ""), Ok(LintConfig { file: "l".to_owned(), ..LintConfig::default() }));
        assert_eq!(config.waivers[0].line, 6);
    }

    #[test]
    fn mistakes_are_located() {
        for (text, line, part) in [
            ("rule: {}\n", 1, "did you mean `rules`"),
            ("rules:\n  ban-drop-column: fatal\n", 2, "`off`, `info`, `warning`, `error`"),
            ("rules:\n  Ban Drop: error\n", 2, "not a rule id"),
            ("postgres_version: latest\n", 1, "`15` or `16.2`"),
            ("waivers:\n  - rule: x\n    reason: y\n", 2, "needs `expires`"),
            ("waivers:\n  - {rule: x, reason: ' ', expires: 2027-01-31}\n", 2, "in words"),
            ("waivers:\n  - {rule: x, reason: y, expires: 2027-02-31}\n", 2, "YYYY-MM-DD"),
            ("waivers:\n  - {rule: x, reason: y, expires: 2027-01-31, paths: ['a[']}\n", 2, "not a glob"),
        ] {
            let errors = LintConfig::parse("policies/lint.yml", text).expect_err(text);
            assert_eq!(errors[0].line, Some(line), "{text:?} {errors:?}");
            assert!(errors[0].message.contains(part), "{text:?} {errors:?}");
        }
    }
}
