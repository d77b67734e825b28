//! Who may give which command (SPEC 5). Pure: what a person holds is an argument.

use std::collections::BTreeSet;

use super::command::Command;
use crate::approval::{Permission, Person, Policy};
use crate::config::roles::{DATA_OPS, DATA_OPS_LEAD};
use crate::ids::{EnvironmentName, Login, RoleName};

/// What a command asks of who gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// Write access, or any role.
    Anybody,
    /// A role of a cell of the environment; where its cells name none, write access.
    Cell(&'a EnvironmentName),
    /// One of these roles.
    Roles(&'static [&'static str]),
}

/// What a command asks of who gives it. `confirm` is judged by the request that it confirms.
pub fn need(command: &Command) -> Need<'_> {
    match command {
        // None of these lets anything run that people did not agree to.
        Command::Help
        | Command::Status
        | Command::Lint
        | Command::Plan(_)
        | Command::Apply(_)
        | Command::Retry(_)
        | Command::Confirm(_) => Need::Anybody,
        Command::Promote(environment)
        | Command::Rollback(environment, _)
        | Command::Cancel(environment)
        | Command::Resolve { environment, .. }
        | Command::Release(environment, ..) => Need::Cell(environment),
        Command::Lock(..) | Command::Unlock(_) => Need::Roles(&[DATA_OPS]),
        Command::Emergency(..) => Need::Roles(&[DATA_OPS_LEAD]),
    }
}

/// Whether a person may, or a sentence that says who may.
///
/// # Errors
/// That sentence.
pub fn may(policy: &Policy, need: Need<'_>, login: &Login, person: &Person) -> Result<(), String> {
    let holds = |role: &RoleName| policy.roles.holds(role, login, &person.teams);
    let writes = person.permission >= Permission::Write;
    let who = escape(login);
    let roles: BTreeSet<RoleName> = match need {
        Need::Anybody if writes || policy.roles.0.keys().any(holds) => return Ok(()),
        Need::Anybody => {
            return Err(format!(
                "{who} has neither write access to this repository nor a role in its policy, so I do nothing"
            ));
        }
        Need::Cell(environment) => {
            let roles = cell_roles(policy, environment);
            if roles.is_empty() && writes {
                return Ok(());
            }
            roles
        }
        Need::Roles(names) => names.iter().filter_map(|n| RoleName::new(*n).ok()).collect(),
    };
    if roles.is_empty() {
        return Err(format!("{who} has no write access to this repository, so I do nothing"));
    }
    if !roles.iter().any(holds) {
        return Err(format!("{who} may not do this; {} may", describe(policy, &roles)));
    }
    if !writes {
        return Err(format!("{who} holds the role, but has no write access to this repository, so it does not count"));
    }
    Ok(())
}

/// The roles of every cell of an environment.
pub fn cell_roles(policy: &Policy, environment: &EnvironmentName) -> BTreeSet<RoleName> {
    use crate::ids::Risk::{High, Low, Medium};
    [Low, Medium, High]
        .into_iter()
        .filter_map(|risk| policy.matrix.cell(environment, risk))
        .flat_map(|cell| cell.required_roles.iter().cloned())
        .collect()
}

/// Whether nobody is asked to confirm a rollback: only the last environment, and one called `production`, want a second
/// person (DECISIONS 10).
pub fn wants_second_person(policy: &Policy, environment: &EnvironmentName) -> bool {
    environment.as_str() == "production" || policy.repo.environments.last() == Some(environment)
}

/// Roles with who holds them, for a sentence: "holders of `dba` (@acme/dba)".
pub fn describe(policy: &Policy, roles: &BTreeSet<RoleName>) -> String {
    let named: Vec<String> = roles
        .iter()
        .map(|role| match policy.roles.describe(role) {
            who if who.is_empty() => format!("`{role}` (nobody holds it)"),
            who => format!("`{role}` ({})", who.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")),
        })
        .collect();
    format!("a holder of {}", named.join(" or "))
}

/// Who may ask for a rollback in an environment, and whether a second person has to agree.
pub fn who_rolls_back(policy: &Policy, environment: &EnvironmentName) -> String {
    let roles = cell_roles(policy, environment);
    let first = if roles.is_empty() { "anybody with write access".to_owned() } else { describe(policy, &roles) };
    if wants_second_person(policy, environment) {
        format!("{first} asks for it, and a second one confirms")
    } else {
        format!("{first} asks for it")
    }
}

fn escape(login: &Login) -> String {
    crate::report::escape::code(&format!("@{login}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MigrationReference;
    use std::collections::BTreeMap;

    fn policy() -> Policy {
        let files: BTreeMap<&str, &str> = [
            ("godwit.yml", "version: 1\nenvironments: [development, staging, production]\n"),
            ("policies/environments.yml", "development: {}\nstaging: {}\nproduction: {}\n"),
            (
                "policies/roles.yml",
                "data_ops: { users: [omar] }\ndata_ops_lead: { users: [dana] }\ndba: { teams: [acme/dba] }\ncto: [\"@carl\"]\n",
            ),
            (
                "policies/approval_matrix.yml",
                "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 1, \
                 required_roles: [data_ops] }\nproduction:\n  LOW: { required_approvals: 1, required_roles: [dba] }\n  \
                 ANY: { required_approvals: 2, required_roles: [dba, cto] }\n",
            ),
        ]
        .into();
        Policy::load(&|path| files.get(path).map(|t| t.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn b12_each_command_is_for_those_whose_environment_it_is() {
        let policy = policy();
        let env = |n: &str| EnvironmentName::new(n).unwrap();
        let id = MigrationReference::new("0001_a").unwrap();
        let commands = [
            Command::Retry(env("production")),
            Command::Promote(env("development")),
            Command::Rollback(env("staging"), id.clone()),
            Command::Cancel(env("production")),
            Command::Release(env("production"), id, "x".into()),
            Command::Lock(env("staging"), "x".into()),
            Command::Emergency(env("production"), Some("x".into())),
        ];
        let person = |permission, team: Option<&str>| Person {
            permission,
            teams: team.map(|t| crate::ids::TeamSlug::new(t).unwrap()).into_iter().collect(),
        };
        let write = Permission::Write;
        for (login, person, expected) in [
            ("bob", person(write, None), "yynnnnn"),
            ("eve", person(Permission::Read, None), "nnnnnnn"),
            ("omar", person(write, None), "yyynnyn"),
            ("dana", person(write, None), "yyynnyy"),
            ("dora", person(write, Some("acme/dba")), "yynyynn"),
            ("carl", person(write, None), "yynyynn"),
            // A role without write access is enough to ask, never to act.
            ("omar", person(Permission::Read, None), "ynnnnnn"),
        ] {
            let got: String = commands
                .iter()
                .map(|c| if may(&policy, need(c), &Login::new(login), &person).is_ok() { 'y' } else { 'n' })
                .collect();
            assert_eq!(got, expected, "{login}");
        }
        let refused = may(&policy, need(&commands[3]), &Login::new("bob"), &person(write, None)).unwrap_err();
        assert_eq!(refused, "`@bob` may not do this; a holder of `cto` (`@carl`) or `dba` (`@acme/dba`) may");
        assert!(who_rolls_back(&policy, &env("production")).ends_with("and a second one confirms"));
    }
}
