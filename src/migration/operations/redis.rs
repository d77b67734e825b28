//! Redis' operations: a Lua script over keys (SPEC 3.5), and the changes that need none.

use serde::{Deserialize, Deserializer, Serialize};

use super::lua::{Taken, losses};
use super::{Inverse, Recovery, at_least_one};
use crate::migration::execution::Nature;

/// Which keys an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Keys {
    /// These.
    List(Vec<String>),
    /// Those that SCAN finds.
    Matching(Matching),
}

/// A pattern for SCAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// The glob.
    #[serde(rename = "match")]
    pub pattern: String,
    /// How many keys SCAN looks at in one call, and at most so many go to one script call.
    #[serde(default = "usual_count", deserialize_with = "count")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<u32>", range(min = 1, max = u32::MAX)))]
    pub count: u32,
    /// Only keys of this type (`string`, `hash`, …).
    #[serde(rename = "type", default)]
    pub key_type: Option<String>,
}

fn usual_count() -> u32 {
    500
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    at_least_one(from).map(|count| count.unwrap_or_else(usual_count))
}

fn yes() -> bool {
    true
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// A Lua script; with a pattern it is called for each batch of keys. Made from a `.json` and `.lua` pair.
    Script {
        /// The script.
        lua: String,
        /// Its KEYS.
        keys: Keys,
        /// Its ARGV.
        #[serde(default)]
        args: Vec<String>,
    },
    /// Gives keys another prefix; an existing key of the new name is an error.
    RenameKeys {
        /// Which keys.
        keys: Keys,
        /// The prefix they have.
        from: String,
        /// The prefix they get.
        to: String,
    },
    /// Gives keys a lifetime.
    SetTtl {
        /// Which keys.
        keys: Keys,
        /// Seconds.
        seconds: u64,
        /// Leave keys alone that have one.
        #[serde(default = "yes")]
        only_missing: bool,
    },
    /// Deletes keys (UNLINK).
    DeleteKeys {
        /// Which keys.
        keys: Keys,
    },
    /// Takes an earlier operation of the same migration back, from what its run recorded. Never written by people.
    #[cfg_attr(feature = "cli", schemars(skip))]
    Undo {
        /// Which one, from 0.
        operation: u32,
        /// Its line.
        line: u32,
        /// The operation itself.
        of: Box<Operation>,
    },
}

impl Operation {
    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Script { .. } => "script",
            Self::RenameKeys { .. } => "rename_keys",
            Self::SetTtl { .. } => "set_ttl",
            Self::DeleteKeys { .. } => "delete_keys",
            Self::Undo { .. } => "undo",
        }
    }

    /// Which keys it is about.
    pub fn keys(&self) -> &Keys {
        match self {
            Self::Script { keys, .. }
            | Self::RenameKeys { keys, .. }
            | Self::SetTtl { keys, .. }
            | Self::DeleteKeys { keys } => keys,
            Self::Undo { of, .. } => of.keys(),
        }
    }

    /// What it does, in one line for people.
    pub fn describe(&self) -> String {
        let (name, keys) = (self.name(), self.keys());
        let keys = match keys {
            Keys::Matching(matching) => {
                let kind = matching.key_type.as_ref().map_or(String::new(), |t| format!(" of type {t}"));
                format!("keys {}{kind}", matching.pattern)
            }
            Keys::List(names) => {
                let more = names.len().saturating_sub(3);
                let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                if more > 0 { format!("{shown} and {more} more") } else { shown }
            }
        };
        match self {
            Self::Script { lua, .. } => format!("{name} of {} lines on {keys}", lua.lines().count()),
            Self::RenameKeys { from, to, .. } => format!("{name} {keys}: {from}… → {to}…"),
            Self::SetTtl { seconds, only_missing, .. } => {
                let which = if *only_missing { ", where they have none" } else { "" };
                format!("{name} {seconds} s on {keys}{which}")
            }
            Self::DeleteKeys { .. } => format!("{name} {keys}"),
            Self::Undo { of, .. } => format!("{name} {}", of.describe()),
        }
    }

    /// How it is recovered after a crash, and why.
    pub fn recovery(&self) -> Recovery {
        let same = |nature, why| Recovery { nature, without_transactions: nature, why };
        match self.keys() {
            Keys::List(_) => same(Nature::Transactional, "one call does everything and marks it done"),
            Keys::Matching(_) => {
                same(Nature::Idempotent, "batches of SCAN; each call marks the keys it has done, so none is done twice")
            }
        }
    }

    /// Whether it can be taken back without a `rollback`.
    pub fn inverse(&self) -> Inverse {
        match self {
            Self::RenameKeys { .. } | Self::SetTtl { only_missing: true, .. } => Inverse::Computed,
            Self::SetTtl { only_missing: false, .. } => Inverse::None("the lifetimes that stood there are gone"),
            Self::Script { .. } => Inverse::None("a script has no computed inverse"),
            Self::DeleteKeys { .. } => Inverse::None("the deleted keys are gone"),
            Self::Undo { .. } => Inverse::None("an undo is not taken back"),
        }
    }

    /// Whether it takes away data that only a backup brings back.
    pub fn destroys(&self) -> bool {
        match self {
            Self::DeleteKeys { .. } | Self::SetTtl { seconds: 0, .. } => true,
            Self::Script { lua, .. } => losses(lua).iter().any(|loss| loss.taken == Taken::Keys),
            Self::RenameKeys { .. } | Self::SetTtl { .. } | Self::Undo { .. } => false,
        }
    }
}
