//! Whether a policy can work at all: cells that are missing, roles nobody can hold, rules that undo each other.

use std::collections::BTreeSet;

use super::Policy;
use super::matching::assign;
use crate::config::connection::LITERAL_PASSWORD;
use crate::config::{Cell, ConfigError, RepoConfig};
use crate::ids::{EnvironmentName, Login, Risk, RoleName, TargetName};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// Some pull request could never be approved, or a rule protects nothing.
    Error,
}

impl Level {
    /// `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// One finding about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// Where and what.
    pub what: ConfigError,
}

/// Looks for what loads and yet cannot work; errors first.
pub fn check(policy: &Policy) -> Vec<Finding> {
    let mut findings: Vec<Finding> = policy.notes.iter().map(note).collect();
    let file = |name: &str| {
        let found = policy.files.iter().find(|f| f.rsplit('/').next() == Some(name));
        found.cloned().unwrap_or_else(|| format!("policies/{name}"))
    };
    let (matrix, roles, environments) = (file("approval_matrix.yml"), file("roles.yml"), file("environments.yml"));
    let mut find = |level, file: &str, message: String| {
        let what = ConfigError { file: file.to_owned(), line: None, column: None, message };
        findings.push(Finding { level, what });
    };
    let names: Vec<EnvironmentName> = policy.repo.environments.clone();
    for name in &names {
        let missing: Vec<&str> =
            Risk::ALL.iter().filter(|(risk, _)| policy.matrix.cell(name, *risk).is_none()).map(|(_, n)| *n).collect();
        if !missing.is_empty() {
            find(
                Level::Error,
                &matrix,
                format!("`{name}` has no cell for {}, so such migrations are always blocked", missing.join(", ")),
            );
        }
    }
    for name in policy.matrix.cells.keys().filter(|n| !names.contains(n)) {
        // The built-in matrix speaks of environments that a repository need not have.
        if policy.files.contains(&matrix) {
            find(Level::Warning, &matrix, format!("`{name}` is no environment of `{}`", RepoConfig::FILE));
        }
    }
    let used: BTreeSet<&RoleName> = names
        .iter()
        .flat_map(|n| Risk::ALL.map(|(r, _)| policy.matrix.cell(n, r)))
        .flatten()
        .flat_map(|c| &c.required_roles)
        .collect();
    for role in &used {
        if policy.roles.describe(role).is_empty() {
            find(Level::Error, &roles, format!("nobody holds the role `{role}`, which the matrix asks for"));
        }
    }
    for name in &names {
        let mut told = BTreeSet::new();
        for (risk, _) in Risk::ALL {
            let Some(cell) = policy.matrix.cell(name, risk) else { continue };
            if let Some(why) = too_few(policy, cell)
                && told.insert(why.clone())
            {
                find(Level::Error, &matrix, format!("`{name}` at risk {risk}: {why}"));
            }
            let slots = u32::try_from(cell.required_roles.len()).unwrap_or(u32::MAX);
            if cell.required_approvals < slots && told.insert(format!("{slots}")) {
                let text = format!(
                    "`{name}` at risk {risk} asks for {} approvals and {slots} roles; each role needs its own person",
                    cell.required_approvals
                );
                find(Level::Warning, &matrix, text);
            }
        }
        if policy.matrix.cells.get(name).is_some_and(|c| c.critical.is_some()) {
            find(
                Level::Warning,
                &matrix,
                format!("`{name}.CRITICAL`: no finding is above HIGH, so it judges HIGH only where HIGH has no cell"),
            );
        }
    }
    if let Some(last) = names.last()
        && policy.environments.get(last).is_some_and(|e| e.migration.auto_approve)
    {
        find(
            Level::Error,
            &environments,
            format!("`{last}.migration.auto_approve` is on for the last environment, where it is ignored; turn it off"),
        );
    }
    if let Some(last) = names.last()
        && policy.environments.get(last).is_some_and(|e| e.migration.reset_data)
    {
        let message = format!("`{last}.migration.reset_data` is on for the last environment, where it is never done");
        find(Level::Error, &environments, message);
    }
    let has = |wanted: &TargetName| {
        policy.environments.0.iter().flat_map(|e| &e.targets).any(|target| &target.name == wanted)
    };
    let wanted: BTreeSet<&TargetName> = policy.repo.migrations.iter().filter_map(|root| root.target.as_ref()).collect();
    for target in wanted.into_iter().filter(|target| !policy.environments.0.is_empty() && !has(target)) {
        let message = format!(
            "`{}` names the target `{target}`, which no environment has: its migrations never run",
            RepoConfig::FILE
        );
        find(Level::Error, &environments, message);
    }
    if !policy.environments.0.is_empty() {
        for name in names.iter().filter(|n| policy.environments.get(n).is_none_or(|e| e.targets.is_empty())) {
            find(Level::Warning, &environments, format!("`{name}` has no target, so nothing runs there"));
        }
    }
    findings.sort_by_key(|f| std::cmp::Reverse(f.level));
    findings
}

fn note(what: &ConfigError) -> Finding {
    let wrong = what.message.contains(LITERAL_PASSWORD) || what.message.starts_with("GitHub skips this line");
    Finding { level: if wrong { Level::Error } else { Level::Warning }, what: what.clone() }
}

/// The people who hold `role` where no team does.
fn people_alone<'a>(policy: &'a Policy, role: &'a RoleName) -> Option<BTreeSet<&'a Login>> {
    let holders: Vec<_> = policy.roles.counting_as(role).map(|(_, h)| h).collect();
    holders.iter().all(|h| h.teams.is_empty()).then(|| holders.iter().flat_map(|h| &h.users).collect())
}

/// Why a cell asks for more different people than can hold its roles; teams are taken to have enough.
fn too_few(policy: &Policy, cell: &Cell) -> Option<String> {
    let narrow: Vec<(&RoleName, BTreeSet<&Login>)> = cell
        .required_roles
        .iter()
        .filter_map(|r| Some((r, people_alone(policy, r)?)))
        .filter(|(_, u)| !u.is_empty())
        .collect();
    let people: Vec<&Login> =
        narrow.iter().flat_map(|(_, u)| u.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
    let filled = assign(narrow.len(), people.len(), &|role, person| narrow[role].1.contains(people[person]));
    let roles = narrow.iter().map(|(r, _)| format!("`{r}`")).collect::<Vec<_>>().join(", ");
    if filled.iter().any(Option::is_none) {
        return Some(format!("{roles} need different people, and too few hold them"));
    }
    let all_narrow = narrow.len() == cell.required_roles.len() && !narrow.is_empty();
    let short = u32::try_from(people.len()).unwrap_or(u32::MAX) < cell.required_approvals;
    (all_narrow && short).then(|| match people.len() {
        1 => format!("{} approvals are asked for, and one person holds {roles}", cell.required_approvals),
        n => format!("{} approvals are asked for, and {n} people hold {roles}", cell.required_approvals),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let policy = Policy::load(&|path| files.get(path).map(|t| t.as_bytes().to_vec())).expect("loads");
        check(&policy).iter().map(|f| format!("{}: {}", f.level.as_str(), f.what)).collect()
    }

    const ROLES: &str = "developer: [\"@a/dev\"]\ndata_ops: [\"@a/ops\"]\ndata_ops_lead: [\"@lea\"]\ndba: [\"@a/dba\"]\ntech_lead: [\"@tim\"]\ncto: [\"@cho\"]\n";

    #[test]
    fn a_sound_policy_has_no_findings() {
        assert_eq!(findings(&[("policies/roles.yml", ROLES)]), [] as [String; 0]);
    }

    #[test]
    fn what_cannot_work_is_told() {
        for (files, part) in [
            (&[][..], "error: policies/roles.yml: nobody holds the role `cto`"),
            (
                &[("policies/roles.yml", ROLES), ("godwit.yml", "version: 1\nenvironments: [qa]\n")],
                "error: policies/approval_matrix.yml: `qa` has no cell for LOW, MEDIUM, HIGH",
            ),
            (
                &[
                    ("policies/roles.yml", ROLES),
                    ("policies/environments.yml", "development: {}\nproduction: {migration: {auto_approve: true}}\n"),
                ],
                "error: policies/environments.yml: `production.migration.auto_approve` is on for the last environment",
            ),
            (
                &[
                    ("policies/roles.yml", ROLES),
                    ("godwit.yml", "version: 1\nmigrations: [{path: db, target: shop}]\n"),
                    (
                        "policies/environments.yml",
                        "development: {targets: {shopp: {engine: sqlite, url: 'sqlite:a.db'}}}\n",
                    ),
                ],
                "error: policies/environments.yml: `godwit.yml` names the target `shop`, which no environment has",
            ),
            (
                &[("policies/roles.yml", ROLES), ("CODEOWNERS", "* @x\n!a @y\n")],
                "error: CODEOWNERS:2: GitHub skips this line",
            ),
            (
                &[
                    ("policies/roles.yml", ROLES),
                    (
                        "policies/environments.yml",
                        "production: {database: {host: h, database: d, password: hunter2-check}}\n",
                    ),
                ],
                "error: policies/environments.yml:1:57: `production.database.password` holds a password",
            ),
            (
                &[(
                    "policies/roles.yml",
                    "data_ops: [\"@lea\"]\ndata_ops_lead: [\"@lea\"]\ndeveloper: [\"@a\"]\ndba: [\"@lea\"]\ntech_lead: [\"@t\"]\ncto: [\"@c\"]\n",
                )],
                "error: policies/approval_matrix.yml: `staging` at risk LOW: 2 approvals are asked for",
            ),
        ] {
            let found = findings(files);
            assert!(found.iter().any(|f| f.starts_with(part)), "{part}\n{found:#?}");
        }
    }
}
