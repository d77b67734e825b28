//! The policy in effect, written in the form of its own files, so that what is built in can be seen, saved and changed.

use serde_yaml::{Mapping, Value};

use crate::config::matrix::{CodeOwnersRule, UnknownCommitters};
use crate::config::{ApprovalMatrix, Cell, Roles};

/// `approval_matrix.yml` as it is in effect, every inherited cell written out.
pub fn matrix(matrix: &ApprovalMatrix) -> String {
    let mut file = Mapping::new();
    if matrix.unknown_committers == UnknownCommitters::Block {
        put(&mut file, "unknown_committers", "block");
    }
    if matrix.code_owners != CodeOwnersRule::Any {
        put(&mut file, "code_owners", matrix.code_owners.as_str());
    }
    for (environment, cells) in &matrix.cells {
        let mut block = Mapping::new();
        if let Some(any) = &cells.any {
            put(&mut block, "ANY", cell(any));
        }
        for (risk, own) in &cells.by_risk {
            put(&mut block, risk.as_str(), cell(own));
        }
        if let Some(critical) = &cells.critical {
            put(&mut block, "CRITICAL", cell(critical));
        }
        put(&mut file, environment.as_str(), block);
    }
    written(&file)
}

/// `roles.yml` as it is in effect.
pub fn roles(roles: &Roles) -> String {
    let mut file = Mapping::new();
    for (role, holders) in &roles.0 {
        let mut block = Mapping::new();
        for (key, names) in [
            ("teams", holders.teams.iter().map(ToString::to_string).collect::<Vec<_>>()),
            ("users", holders.users.iter().map(ToString::to_string).collect()),
            ("labels", holders.labels.iter().cloned().collect()),
        ] {
            if !names.is_empty() {
                put(&mut block, key, names.into_iter().map(Value::from).collect::<Vec<_>>());
            }
        }
        put(&mut file, role.as_str(), block);
    }
    written(&file)
}

fn cell(cell: &Cell) -> Mapping {
    let mut block = Mapping::new();
    put(&mut block, "required_approvals", cell.required_approvals);
    put(&mut block, "required_roles", cell.required_roles.iter().map(|r| Value::from(r.as_str())).collect::<Vec<_>>());
    put(&mut block, "timeout_hours", cell.timeout_hours);
    put(&mut block, "emergency_override", cell.emergency_override);
    block
}

fn put(block: &mut Mapping, key: &str, value: impl Into<Value>) {
    block.insert(Value::from(key), value.into());
}

fn written(file: &Mapping) -> String {
    serde_yaml::to_string(file).expect("mappings of texts, numbers and lists can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let own = "unknown_committers: block\ncode_owners: all_lines\nstaging:\n  ANY: { required_approvals: 2, required_roles: [data_ops], \
                   timeout_hours: 24, emergency_override: false }\nproduction:\n  HIGH: { required_approvals: 4, \
                   required_roles: [dba, cto], timeout_hours: 8, emergency_override: true }\n";
        let read = ApprovalMatrix::parse("m.yml", own).expect("valid");
        assert_eq!(ApprovalMatrix::parse("m.yml", &matrix(&read)), Ok(read));
        let built_in = ApprovalMatrix::built_in();
        assert_eq!(ApprovalMatrix::parse("m.yml", &matrix(&built_in)), Ok(built_in));
        let read =
            Roles::parse("r.yml", "dba: { teams: [o/dba], users: [ann], labels: ['approved:dba'] }\n").expect("valid");
        assert_eq!(Roles::parse("r.yml", &roles(&read)), Ok(read));
    }
}
