//! `policies/roles.yml`: who holds which role.

use std::collections::{BTreeMap, BTreeSet};

use super::ConfigError;
use super::schema::Form;
use super::yaml::{self, Node, Reader, Value, join};
use crate::ids::{Login, RoleName, TeamSlug};

/// Role → who holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(pub BTreeMap<RoleName, RoleHolders>);

/// Who holds a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleHolders {
    /// Every active member of these teams.
    pub teams: BTreeSet<TeamSlug>,
    /// These people.
    pub users: BTreeSet<Login>,
    /// Labels that stand for an approval in this role when set by a holder, besides `approved:ROLE`.
    pub labels: BTreeSet<String>,
}

/// The role whose holders also count as [`DATA_OPS`] (SPEC 5).
pub const DATA_OPS_LEAD: &str = "data_ops_lead";
/// The role that [`DATA_OPS_LEAD`] includes.
pub const DATA_OPS: &str = "data_ops";

impl Roles {
    /// Parses the file's text; `file` is its path for messages.
    ///
    /// # Errors
    /// Every mistake, located.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<ConfigError>> {
        let root = yaml::parse(file, text).map_err(|e| vec![e])?;
        let mut reader = Reader::new(file);
        let roles = Self::read(&mut reader, &root);
        reader.finish(roles)
    }

    /// Reads the file's tree.
    pub(super) fn read(reader: &mut Reader, root: &Node) -> Self {
        let mut roles = BTreeMap::new();
        for (key, node) in reader.keyed(root, "", Form::NAME) {
            let path = key.name.clone();
            let holders = match &node.value {
                Value::List(_) => shorthand(reader, node, &path),
                Value::Anything(_) => {
                    shorthand(reader, node, &path);
                    long_form(reader, node, &path)
                }
                Value::Null | Value::Scalar { .. } | Value::Map(_) => long_form(reader, node, &path),
            };
            if let Some(role) = reader.parsed_key::<RoleName>(key, &path) {
                roles.insert(role, holders);
            }
        }
        Self(roles)
    }

    /// The roles that count as `role`: itself, and `data_ops_lead` for `data_ops`.
    pub fn counting_as<'a>(&'a self, role: &'a RoleName) -> impl Iterator<Item = (&'a RoleName, &'a RoleHolders)> {
        self.0
            .iter()
            .filter(move |(name, _)| *name == role || (role.as_str() == DATA_OPS && name.as_str() == DATA_OPS_LEAD))
    }

    /// Whether `login`, active member of `teams`, holds `role`.
    pub fn holds(&self, role: &RoleName, login: &Login, teams: &BTreeSet<TeamSlug>) -> bool {
        self.counting_as(role)
            .any(|(_, holders)| holders.users.contains(login) || holders.teams.iter().any(|t| teams.contains(t)))
    }

    /// The holders of `role` as people write them: teams first, then people; empty when nobody can hold it.
    pub fn describe(&self, role: &RoleName) -> Vec<String> {
        let mut teams = BTreeSet::new();
        let mut users = BTreeSet::new();
        for (_, holders) in self.counting_as(role) {
            teams.extend(holders.teams.iter().map(|t| format!("@{t}")));
            users.extend(holders.users.iter().map(|u| format!("@{u}")));
        }
        teams.into_iter().chain(users).collect()
    }
}

/// `[ "@org/team", "@login" ]`.
fn shorthand(reader: &mut Reader, node: &Node, path: &str) -> RoleHolders {
    let mut holders = RoleHolders::default();
    for item in reader.list(node, path) {
        let Some(text) = reader.formed(item, path, Form::HOLDER) else { continue };
        match text.strip_prefix('@') {
            Some(name) if name.contains('/') => match TeamSlug::new(name) {
                Ok(team) => {
                    holders.teams.insert(team);
                }
                Err(e) => reader.wrong(item, e.to_string()),
            },
            Some(name) if is_login(name) => {
                holders.users.insert(Login::new(name));
            }
            Some(_) | None => reader.wrong(item, format!("`{text}` is neither `@login` nor `@org/team`")),
        }
    }
    holders
}

/// `{ teams: [org/slug], users: [login], labels: [approved:dba] }`.
fn long_form(reader: &mut Reader, node: &Node, path: &str) -> RoleHolders {
    let mut holders = RoleHolders::default();
    let fields = reader.fields(node, path, &["teams", "users", "labels"]);
    if let Some((list, path)) = fields.get("teams") {
        for item in reader.list(list, &path) {
            let Some(text) = reader.formed(item, &path, Form::TEAM) else { continue };
            match TeamSlug::new(text.trim_start_matches('@')) {
                Ok(team) => {
                    holders.teams.insert(team);
                }
                Err(e) => reader.wrong(item, e.to_string()),
            }
        }
    }
    if let Some((list, path)) = fields.get("users") {
        for item in reader.list(list, &path) {
            let Some(text) = reader.formed(item, &path, Form::LOGIN) else { continue };
            let name = text.trim_start_matches('@');
            if is_login(name) {
                holders.users.insert(Login::new(name));
            } else {
                reader.wrong(item, format!("`{text}` is not a login: letters, digits, `-`, `_`"));
            }
        }
    }
    if let Some((list, path)) = fields.get("labels") {
        for item in reader.list(list, &path) {
            let Some(label) = reader.formed(item, &path, Form::LABEL) else { continue };
            if label.chars().count() > 50 {
                reader
                    .wrong(item, format!("`{}` is longer than the 50 characters GitHub allows", join(&path, "label")));
            } else {
                holders.labels.insert(label);
            }
        }
    }
    holders
}

/// A login as GitHub makes them: letters, digits, single hyphens (and `_` of managed users, `[bot]` of Apps).
pub(crate) fn is_login(name: &str) -> bool {
    let name = name.strip_suffix("[bot]").unwrap_or(name);
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_load() {
        let roles = Roles::parse(
            "policies/roles.yml",
            "dba: { teams: [acme/dba], users: [Bob, \"@carol\"], labels: [\"dba:ok\"] }\ncto: [\"@dave\", \"@acme/cto\"]\ntech_lead:\n",
        )
        .expect("valid");
        let role = |n: &str| RoleName::new(n).expect("plain");
        let teams = BTreeSet::from([TeamSlug::new("acme/dba").expect("valid")]);
        assert!(roles.holds(&role("dba"), &Login::new("x"), &teams));
        assert!(roles.holds(&role("dba"), &Login::new("bob"), &BTreeSet::new()));
        assert!(roles.holds(&role("cto"), &Login::new("dave"), &BTreeSet::new()));
        assert!(!roles.holds(&role("tech_lead"), &Login::new("bob"), &teams));
        assert_eq!(roles.describe(&role("dba")), ["@acme/dba", "@Bob", "@carol"]);
    }

    #[test]
    fn s2_44_the_lead_counts_as_data_ops_but_not_the_other_way_round() {
        let roles = Roles::parse("r", "data_ops: [\"@ann\"]\ndata_ops_lead: [\"@lea\"]\n").expect("valid");
        let role = |n: &str| RoleName::new(n).expect("plain");
        let none = BTreeSet::new();
        assert!(roles.holds(&role(DATA_OPS), &Login::new("lea"), &none));
        assert!(!roles.holds(&role(DATA_OPS_LEAD), &Login::new("ann"), &none));
    }

    #[test]
    fn mistakes_are_located() {
        for (text, line, part) in [
            ("dba:\n  team: [a/b]\n", 2, "did you mean `teams`"),
            ("dba:\n  teams: a/b\n", 2, "must be a list"),
            ("dba:\n  teams: [dba]\n", 2, "`org/team-slug`"),
            ("dba: [bob]\n", 1, "neither `@login` nor `@org/team`"),
            ("dba: { users: [\"a b\"] }\n", 1, "not a login"),
            ("'d b a': []\n", 1, "role name"),
            ("- dba\n", 1, "must be a mapping"),
        ] {
            let errors = Roles::parse("policies/roles.yml", text).expect_err(text);
            assert_eq!(errors[0].line, Some(line), "{text:?} {errors:?}");
            assert!(errors[0].message.contains(part), "{text:?} {errors:?}");
        }
    }
}
