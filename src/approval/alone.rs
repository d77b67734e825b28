//! A cell of the matrix judged by entered approvals alone, where no pull request is at hand. Pure.

use std::collections::BTreeSet;

use super::Policy;
use super::matching::assign;
use crate::config::Cell;
use crate::ids::{Login, RoleName};

/// Whether `words`, each a person with the role they approved in, satisfy `cell`. Each role is filled by a person of its
/// own, and whoever approved in one of the cell's roles counts towards the number.
pub fn satisfies(policy: &Policy, cell: &Cell, words: &[(Login, RoleName)]) -> bool {
    let counts_as = |given: &RoleName, role: &RoleName| {
        given == role || policy.roles.counting_as(role).any(|(name, _)| name == given)
    };
    let for_cell = |given: &RoleName| {
        cell.required_roles.is_empty() || cell.required_roles.iter().any(|role| counts_as(given, role))
    };
    let people: BTreeSet<&Login> = words.iter().filter(|(_, given)| for_cell(given)).map(|(who, _)| who).collect();
    let people: Vec<&Login> = people.into_iter().collect();
    let filled = assign(cell.required_roles.len(), people.len(), &|role, person| {
        words.iter().any(|(who, given)| who == people[person] && counts_as(given, &cell.required_roles[role]))
    });
    let enough = u32::try_from(people.len()).unwrap_or(u32::MAX) >= cell.required_approvals;
    enough && filled.iter().all(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_each_role_needs_its_own_person_here_too() {
        let policy = Policy::load(&|path| {
            (path == "policies/roles.yml")
                .then(|| b"data_ops: [\"@o\"]\ndata_ops_lead: [\"@l\"]\ndba: [\"@d\"]\n".to_vec())
        })
        .unwrap();
        let role = |name: &str| RoleName::new(name).unwrap();
        let cell = |required_approvals, roles: &[&str]| Cell {
            required_approvals,
            required_roles: roles.iter().map(|r| role(r)).collect(),
            timeout_hours: 24,
            emergency_override: false,
        };
        for (cell, words, expected) in [
            (cell(0, &[]), &[][..], true),
            (cell(1, &["dba"]), &[("d", "dba")], true),
            (cell(1, &["dba"]), &[("d", "data_ops")], false),
            (cell(2, &["data_ops"]), &[("o", "data_ops")], false),
            (cell(2, &["data_ops"]), &[("o", "data_ops"), ("l", "data_ops_lead")], true),
            (cell(2, &["data_ops", "dba"]), &[("x", "data_ops"), ("x", "dba")], false),
            (cell(2, &["data_ops", "dba"]), &[("x", "data_ops"), ("x", "dba"), ("y", "data_ops")], true),
            (cell(2, &["dba"]), &[("d", "dba"), ("z", "tech_lead")], false),
        ] {
            let words: Vec<(Login, RoleName)> = words.iter().map(|(w, r)| (Login::new(*w), role(r))).collect();
            assert_eq!(satisfies(&policy, &cell, &words), expected, "{cell:?} {words:?}");
        }
    }
}
