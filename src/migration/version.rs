//! A migration's version, ordered the way its layout orders it.

use std::cmp::Ordering;
use std::fmt;

/// What a unit orders its migrations by. The text is kept as written (`0004`); how it compares is the layout's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    text: String,
    sort_key: String,
}

impl Version {
    /// Numbers separated by `.`, `_` or `-` compare part by part as numbers of any length: `9` before `10`.
    pub fn numeric(text: &str) -> Self {
        let mut sort_key = String::with_capacity(text.len() + 8);
        for part in text.split(['.', '_', '-']) {
            let digits = part.trim_start_matches('0');
            // The length in front makes text order equal number order, whatever the width.
            let length = digits.len().to_string();
            sort_key.extend(std::iter::repeat_n('0', 4_usize.saturating_sub(length.len())));
            sort_key.push_str(&length);
            sort_key.push_str(digits);
            sort_key.push('.');
        }
        Self { text: text.to_owned(), sort_key }
    }

    /// Bytes compare: the order of diesel and of Prisma. `sort_key` may differ from the text (dashes taken out).
    pub fn textual(text: &str, sort_key: &str) -> Self {
        Self { text: text.to_owned(), sort_key: sort_key.to_owned() }
    }

    /// Written as `text`, ordered as `other`: a semantic version beside the number in the file's name.
    pub fn with_key_of(text: &str, other: &Version) -> Self {
        Self { text: text.to_owned(), sort_key: other.sort_key.clone() }
    }

    /// Whether a number in front of a file's name is one that tools can keep: their tables hold 64 bits with a sign.
    pub(super) fn can_be_kept(digits: &str) -> bool {
        let digits = digits.trim_start_matches('0');
        digits.is_empty() || digits.parse::<i64>().is_ok()
    }

    /// What places of the order are told apart by.
    pub(super) fn key(&self) -> &str {
        &self.sort_key
    }

    /// As written in the file's name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both name the same place in the order, written alike or not (`4` and `0004`).
    pub fn same_place(&self, other: &Version) -> bool {
        self.sort_key == other.sort_key
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key.cmp(&other.sort_key).then_with(|| self.text.cmp(&other.text))
    }
}

/// How a semantic version follows the highest one of its folder before it [S4-41] [S4-42] [S4-43].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionStep {
    /// The first number is higher: what runs may break.
    Major,
    /// The second one is: something is added.
    Minor,
    /// The third one is: a small repair.
    Patch,
}

impl VersionStep {
    /// The step from `before` to `version`; none where it does not go up.
    pub(super) fn between(before: [u64; 3], version: [u64; 3]) -> Option<Self> {
        if version <= before {
            return None;
        }
        Some(match (version[0] > before[0], version[1] > before[1]) {
            (true, _) => Self::Major,
            (false, true) => Self::Minor,
            (false, false) => Self::Patch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width_compare_as_numbers() {
        let sorted = ["1", "002", "9", "10", "0100", "1510262030", "20240101000000"].map(Version::numeric);
        assert!(sorted.is_sorted());
        assert!(Version::numeric("4").same_place(&Version::numeric("0004")));
        assert!(Version::numeric("1.9") < Version::numeric("1.10"));
        assert!(Version::numeric("1") < Version::numeric("1.1"));
        assert!(Version::numeric("0") < Version::numeric("1"));
    }
}
