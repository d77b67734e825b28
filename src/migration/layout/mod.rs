//! How a folder names its migrations. Each layout has a reader of its own; detection is per folder (SPEC 2).

use std::fmt;
use std::str::FromStr;

use crate::ids::InvalidId;

/// The layouts that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `0001_name.up.sql` with `0001_name.down.sql`, or `0001_name.sql`: golang-migrate, any number of digits.
    Numbered,
    /// `001_name.json` with `001_name.sql` and `001_name_rollback.sql` (source E; its SQL half).
    Typed,
    /// `2017-09-23-182408_name/up.sql` with `down.sql`.
    Diesel,
}

impl Layout {
    /// Every layout with its name in `godwit.yml`.
    pub const ALL: [(Layout, &'static str); 3] =
        [(Layout::Numbered, "numbered"), (Layout::Typed, "typed"), (Layout::Diesel, "diesel")];

    /// Its name in `godwit.yml`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(l, _)| *l == self).map_or("", |(_, n)| n)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Layout {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::ALL.iter().find(|(_, n)| *n == s).map(|(l, _)| *l).ok_or(InvalidId {
            what: "layout",
            value: s.to_owned(),
            allowed: "`auto`, `numbered`, `typed` or `diesel`",
        })
    }
}
