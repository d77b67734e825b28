//! What was found about a connection or a set-up, for people who cannot see what is wrong.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// Something is less than it could be.
    Warning,
    /// It does not work.
    Wrong,
    /// Nobody answered, so nothing can be told.
    Unreachable,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What it is about: `production/shop-pg`, `GitHub App`.
    pub about: String,
    /// Which part of it: `variables`, `name`, `port`, `tls`, `login`, `database`, `permissions`, `version`, `pooler`, …
    pub part: String,
    /// How bad it is.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What to do; empty where it is as it should be.
    pub what_to_do: String,
}

impl Diagnosis {
    /// As it should be.
    pub fn good(about: &str, part: &str, message: impl Into<String>) -> Self {
        Self::of(about, part, Health::Good, message, "")
    }

    /// Anything else, with what to do.
    pub fn of(about: &str, part: &str, health: Health, message: impl Into<String>, what_to_do: &str) -> Self {
        Self {
            about: about.to_owned(),
            part: part.to_owned(),
            health,
            message: message.into(),
            what_to_do: what_to_do.to_owned(),
        }
    }
}
