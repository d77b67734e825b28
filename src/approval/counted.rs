//! Everyone whose word let a run begin, for the records that outlast it (B-17).

use std::collections::BTreeSet;

use super::gates::{CODE_OWNERS, POLICY_OWNERS};
use super::{EnvironmentVerdict, Evaluation};
use crate::ids::{Login, RoleName};

/// Who counted for an environment: a role is filled by one person, and a cell may ask for more people than roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Which person filled which role.
    pub roles: Vec<(RoleName, Login)>,
    /// Whose approvals counted besides.
    pub besides: Vec<Login>,
    /// Who satisfied which gate, such as the code owners.
    pub gates: Vec<(String, Vec<Login>)>,
}

impl Counted {
    /// Everyone who counted, as an environment was judged when its run began.
    pub fn of(verdict: &EnvironmentVerdict) -> Self {
        Self {
            roles: verdict.filled.iter().map(|(role, login)| (role.clone(), login.clone())).collect(),
            besides: verdict.besides().cloned().collect(),
            gates: satisfied(&verdict.evaluation.children)
                .map(|gate| (gate.name.clone(), gate.approvers.clone()))
                .collect(),
        }
    }

    /// From what a record holds: who filled which role, everyone who counted in the cell, and the gates.
    pub fn from_record(roles: Vec<(RoleName, Login)>, people: &[Login], gates: Vec<(String, Vec<Login>)>) -> Self {
        let besides = people.iter().filter(|p| roles.iter().all(|(_, by)| by != *p)).cloned().collect();
        Self { roles, besides, gates }
    }

    /// Everyone who counted in the cell, by login.
    pub fn approvers(&self) -> BTreeSet<&Login> {
        self.roles.iter().map(|(_, login)| login).chain(&self.besides).collect()
    }

    /// Everyone who counted or satisfied a gate, each once: first by role, then the others.
    pub fn everyone(&self) -> Vec<&Login> {
        let cell = self.roles.iter().map(|(_, login)| login).chain(&self.besides);
        let mut named = BTreeSet::new();
        cell.chain(self.gates.iter().flat_map(|(_, people)| people)).filter(|login| named.insert(*login)).collect()
    }
}

impl EnvironmentVerdict {
    /// People whose approval counts here besides those who fill a role.
    pub fn besides(&self) -> impl Iterator<Item = &Login> {
        self.evaluation.approvers.iter().filter(|p| !self.filled.values().any(|by| by == *p))
    }
}

/// The gates among `parts` that people satisfied.
pub fn satisfied(parts: &[Evaluation]) -> impl Iterator<Item = &Evaluation> {
    parts.iter().filter(|p| matches!(p.name.as_str(), CODE_OWNERS | POLICY_OWNERS) && !p.approvers.is_empty())
}
