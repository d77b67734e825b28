//! `policies/roles.yml`: who holds which role.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Labels that stand for an approval in this role when set by a holder.
    pub labels: BTreeSet<String>,
}
