//! How far a run goes: to a migration, or to a semantic version that several folders number by, each on its own [S4-32].

use super::{Request, lookup, unknown};
use crate::migration::{Migration, MigrationSet};
use crate::plan::Refusal;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The end of the set.
    Nowhere,
    /// This place in the run order.
    At(usize),
    /// This version, in every folder that has semantic versions.
    Semver([u64; 3]),
}

impl Limit {
    /// The limit that a request asks for.
    pub fn of(request: &Request<'_>) -> Result<Self, Refusal> {
        let Some(to) = request.to else { return Ok(Self::Nowhere) };
        if let Some(found) = lookup(request.set, to) {
            let place = request.set.migrations.iter().position(|m| m.reference() == found.reference());
            return Ok(place.map_or(Self::Nowhere, Self::At));
        }
        shared(request.set, to).map(Self::Semver).ok_or_else(|| unknown(request.set, to))
    }

    /// Whether a migration, at its place in the set, lies within.
    pub fn holds(self, at: usize, migration: &Migration) -> bool {
        match self {
            Self::Nowhere => true,
            Self::At(last) => at <= last,
            Self::Semver(most) => semver(migration.version.as_str()).is_some_and(|version| version <= most),
        }
    }
}

/// The semantic version that `text` is, where several migrations bear it.
pub(super) fn shared(set: &MigrationSet, text: &str) -> Option<[u64; 3]> {
    let version = semver(text)?;
    set.migrations.iter().any(|m| m.version.as_str() == text).then_some(version)
}

pub(super) fn semver(text: &str) -> Option<[u64; 3]> {
    let mut parts = [0; 3];
    let mut found = text.split('.');
    for part in &mut parts {
        *part = found.next().filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    }
    found.next().is_none().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_40_versions_compare_as_numbers() {
        assert!(semver("1.10.0") > semver("1.9.9"));
        for text in ["1.0", "1.0.0.0", "1.x.0", "", "1..0", "-1.0.0"] {
            assert_eq!(semver(text), None, "{text}");
        }
    }
}
