//! `godwit.yml`, the file at the root of a user's repository (INTERFACE 3).

use serde::Deserialize;

use super::{ConfigError, yaml};
use crate::ids::{EnvironmentName, TargetName};
use crate::migration::MigrationRoot;

/// The parsed `godwit.yml`; [`RepoConfig::default`] is what holds without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoConfig {
    /// Promotion order.
    pub environments: Vec<EnvironmentName>,
    /// Folder of the policy files.
    pub policies: String,
    /// Where migrations are looked for.
    pub migrations: Vec<MigrationRoot>,
}

impl Default for RepoConfig {
    fn default() -> Self {
        Self {
            environments: ["development", "testing", "staging", "production"]
                .map(|n| EnvironmentName::new(n).expect("a plain word is an environment name"))
                .to_vec(),
            policies: "policies".to_owned(),
            migrations: vec![MigrationRoot::folder("**")],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    environments: Option<Vec<EnvironmentName>>,
    policies: Option<String>,
    migrations: Option<Vec<Root>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    path: String,
    layout: Option<String>,
    engine: Option<crate::ids::Engine>,
    target: Option<TargetName>,
}

impl RepoConfig {
    /// Name of the file.
    pub const FILE: &str = "godwit.yml";

    /// Parses the file's text.
    ///
    /// # Errors
    /// A located message for unknown keys, wrong types, an unknown layout, a path that leaves the repository, or a
    /// version other than 1.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = yaml::parse(Self::FILE, text)?;
        let fail = |message: String| ConfigError { file: Self::FILE.to_owned(), line: None, column: None, message };
        if file.version != 1 {
            return Err(fail(format!("`version: {}` is not known; this Godwit reads `version: 1`", file.version)));
        }
        let mut config = RepoConfig::default();
        if let Some(environments) = file.environments {
            if environments.is_empty() {
                return Err(fail("`environments` is empty; name at least one".to_owned()));
            }
            for (i, e) in environments.iter().enumerate() {
                if environments[..i].contains(e) {
                    return Err(fail(format!("`environments` names `{e}` twice")));
                }
            }
            config.environments = environments;
        }
        if let Some(policies) = file.policies {
            config.policies = inside(&policies).map_err(&fail)?;
        }
        if let Some(roots) = file.migrations {
            config.migrations = roots
                .into_iter()
                .map(|r| {
                    let layout = match r.layout.as_deref() {
                        None | Some("auto") => None,
                        Some(name) => Some(name.parse().map_err(|e: crate::ids::InvalidId| fail(e.to_string()))?),
                    };
                    Ok(MigrationRoot {
                        path: inside(&r.path).map_err(&fail)?,
                        layout,
                        engine: r.engine,
                        target: r.target,
                    })
                })
                .collect::<Result<_, ConfigError>>()?;
        }
        Ok(config)
    }
}

/// A relative path without `.` or `..` parts; no path of a configuration leaves the repository.
fn inside(path: &str) -> Result<String, String> {
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
    }

    #[test]
    fn mistakes_say_where_and_what_is_allowed() {
        for (text, parts) in [
            ("version: 1\nmigration: []\n", &["godwit.yml:2", "unknown field `migration`", "migrations"][..]),
            ("version: 2\n", &["version: 1"]),
            ("version: one\n", &["godwit.yml:1"]),
            ("version: 1\nmigrations:\n  - path: ../x\n", &["inside the repository"]),
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
