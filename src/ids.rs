//! The words of the domain as types: a value that exists has been checked once, at the border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid identifier; the message names the value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {allowed}")]
pub struct InvalidId {
    /// The word for the identifier, for example `environment name`.
    pub what: &'static str,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub allowed: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `value` and wraps it.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidId> {
                let value = value.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&value) {
                    Ok(Self(value))
                } else {
                    Err(InvalidId { what: $what, value, allowed: $allowed })
                }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// `true` for a name that is safe in a path, a label, a lock key and Markdown: letters, digits, `-`, `_`, `.`;
/// neither empty nor starting with `-` or `.`.
fn is_plain_name(s: &str) -> bool {
    !s.is_empty()
        && s.len() <= 100
        && !s.starts_with(['-', '.'])
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_sha256_ref(s: &str) -> bool {
    s.strip_prefix("sha256:")
        .is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

text_id!(
    /// A repository on GitHub, `owner/name`.
    RepoName, "repository name", "`owner/name`, letters, digits, `-`, `_`, `.`",
    |s| s.split_once('/').is_some_and(|(o, n)| is_plain_name(o) && !n.is_empty() && n.len() <= 100 && n != "." && n != ".."
        && n.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')))
);
text_id!(
    /// A commit's SHA-1, 40 lower-case hexadecimal digits.
    CommitSha, "commit id", "40 hexadecimal digits",
    |s| s.len() == 40 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
text_id!(
    /// A team, `org/slug`.
    TeamSlug, "team", "`org/team-slug`",
    |s| s.split_once('/').is_some_and(|(o, t)| is_plain_name(o) && is_plain_name(t))
);
text_id!(
    /// An environment such as `production`.
    EnvironmentName, "environment name", "letters, digits, `-`, `_`, `.`, at most 100",
    is_plain_name
);
text_id!(
    /// One database that an environment owns, such as `shop-pg`.
    TargetName, "target name", "letters, digits, `-`, `_`, `.`, at most 100",
    is_plain_name
);
text_id!(
    /// A role of the approval matrix, such as `dba`.
    RoleName, "role name", "letters, digits, `-`, `_`, `.`, at most 100",
    is_plain_name
);
text_id!(
    /// A migration within its unit: its file stem or directory name, such as `0004_orders`.
    MigrationId, "migration id", "a file or folder name without control characters, at most 255 bytes",
    |s| !s.is_empty() && s.len() <= 255 && !s.contains('/') && !s.chars().any(char::is_control)
);
text_id!(
    /// What a person calls a migration: its id, or `unit/id` where several have that one.
    MigrationReference, "migration id", "a file or folder name without control characters, its folders before it with `/`",
    |s| s.len() <= 1024 && s.rsplit('/').next().is_some_and(|id| MigrationId::new(id).is_ok()) && !s.chars().any(char::is_control)
);
text_id!(
    /// What a migration's script is recognised by once applied: `sha256:` and 64 hexadecimal digits, taken over the
    /// text without byte order mark, with LF line ends and without trailing newlines.
    Checksum, "checksum", "`sha256:` and 64 hexadecimal digits",
    is_sha256_ref
);
text_id!(
    /// What a decision is about: `sha256:` and 64 hexadecimal digits over the raw bytes of a set of migrations.
    Digest, "digest", "`sha256:` and 64 hexadecimal digits",
    is_sha256_ref
);
text_id!(
    /// GitHub's `X-GitHub-Delivery`; also the correlation id of everything that follows from it.
    DeliveryId, "delivery id", "letters, digits and `-`, at most 100",
    is_plain_name
);
text_id!(
    /// One attempt to bring one environment forward: a ULID.
    RunId, "run id", "a ULID, 26 letters and digits",
    |s| s.len() == 26 && s.bytes().all(|b| b.is_ascii_alphanumeric())
);

impl RunId {
    /// A new id; ids sort by the time they were made.
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate().to_string())
    }
}

impl RepoName {
    /// The part before the slash.
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(o, _)| o)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, n)| n)
    }
}

impl TeamSlug {
    /// The organisation.
    pub fn org(&self) -> &str {
        self.0.split_once('/').map_or("", |(o, _)| o)
    }

    /// The team's slug within it.
    pub fn slug(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, t)| t)
    }
}

/// A person's (or App's) login on GitHub; compared without regard to case, as GitHub does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Login(String);

impl Login {
    /// Wraps a login as GitHub wrote it; a leading `@` is taken off.
    pub fn new(login: impl AsRef<str>) -> Self {
        Self(login.as_ref().trim_start_matches('@').to_owned())
    }

    /// The login as GitHub wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Login {}
impl PartialOrd for Login {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Login {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(&other.folded())
    }
}
impl std::hash::Hash for Login {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

/// A pull request's number within its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrNumber(pub u64);

impl fmt::Display for PrNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A fencing token: it rises with every run that takes a target over, and the target refuses lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 13 and later.
    Postgresql,
    /// MongoDB 5.0 and later.
    Mongodb,
    /// Redis 6.2 and later.
    Redis,
    /// Elasticsearch 7.15 and later.
    Elasticsearch,
    /// SQLite 3.
    Sqlite,
}

impl Engine {
    /// Every engine with its name in files, flags and JSON.
    pub const ALL: [(Engine, &'static str); 5] = [
        (Engine::Postgresql, "postgresql"),
        (Engine::Mongodb, "mongodb"),
        (Engine::Redis, "redis"),
        (Engine::Elasticsearch, "elasticsearch"),
        (Engine::Sqlite, "sqlite"),
    ];

    /// Its name in files, flags and JSON.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(e, _)| *e == self).map_or("", |(_, n)| n)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Engine {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        // As its library is called, and many a folder of its migrations.
        let s = if s == "sqlite3" { "sqlite" } else { s };
        Self::ALL.iter().find(|(_, n)| *n == s).map(|(e, _)| *e).ok_or(InvalidId {
            what: "engine",
            value: s.to_owned(),
            allowed: "`postgresql`, `mongodb`, `redis`, `elasticsearch` or `sqlite`",
        })
    }
}

/// How much can go wrong; decides how many people must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Risk {
    /// Safe on any table.
    Low,
    /// May wait for or hold a lock, or change data in bounds.
    Medium,
    /// May lose data, rewrite a table or stop an application.
    High,
}

impl Risk {
    /// Every level with its name, lowest first.
    pub const ALL: [(Risk, &'static str); 3] = [(Risk::Low, "LOW"), (Risk::Medium, "MEDIUM"), (Risk::High, "HIGH")];

    /// `LOW`, `MEDIUM` or `HIGH`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(r, _)| *r == self).map_or("", |(_, n)| n)
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Risk {
    type Err = InvalidId;
    /// Accepts any case; `CRITICAL` is judged as `HIGH` (INTERFACE 1).
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let upper = s.to_ascii_uppercase();
        if upper == "CRITICAL" {
            return Ok(Risk::High);
        }
        Self::ALL.iter().find(|(_, n)| *n == upper).map(|(r, _)| *r).ok_or(InvalidId {
            what: "risk",
            value: s.to_owned(),
            allowed: "`LOW`, `MEDIUM`, `HIGH` or `CRITICAL`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_path_are_refused() {
        for bad in ["", "-x", ".x", "a/b", "a b", "a\nb", "ä", &"x".repeat(101)] {
            assert!(EnvironmentName::new(bad).is_err(), "{bad:?}");
        }
        assert!(EnvironmentName::new("eu-west_1.prod").is_ok());
        assert!(RepoName::new("o/..").is_err());
        assert!(RepoName::new("o/.github").is_ok());
        assert!(MigrationId::new("2019-11-15-182353_Add email notifications to crate owners").is_ok());
    }

    #[test]
    fn logins_compare_without_case() {
        assert_eq!(Login::new("@Alice"), Login::new("alice"));
    }

    #[test]
    fn text_forms_round_trip() {
        for (engine, name) in Engine::ALL {
            assert_eq!(name.parse::<Engine>().as_ref(), Ok(&engine));
            assert_eq!(engine.to_string(), name);
        }
        for (risk, name) in Risk::ALL {
            assert_eq!(name.parse::<Risk>().as_ref(), Ok(&risk));
        }
        assert_eq!("critical".parse::<Risk>(), Ok(Risk::High));
        assert!(Risk::Low < Risk::High);
    }
}
