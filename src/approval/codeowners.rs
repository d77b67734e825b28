//! CODEOWNERS as GitHub reads it (BOT 2, GITHUB 4).

use crate::ids::{Login, TeamSlug};

/// A parsed CODEOWNERS file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeOwners {
    /// Where it was found.
    pub path: String,
    /// Valid rules in file order.
    pub rules: Vec<OwnerRule>,
    /// Lines that GitHub skips, with the reason.
    pub skipped: Vec<(u32, String)>,
}

/// One valid line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRule {
    /// Line from 1.
    pub line: u32,
    /// The pattern as written.
    pub pattern: String,
    /// Its owners; empty clears ownership.
    pub owners: Vec<Owner>,
}

/// An owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// `@login`.
    User(Login),
    /// `@org/team`.
    Team(TeamSlug),
    /// An e-mail address.
    Email(String),
}
