//! The names of Godwit's own keys, and the slots of a cluster. Pure.
//!
//! History, fence and lock share the hash tag of their namespace, so that one script can touch all three. What guards
//! and marks the keys of another slot of a cluster stands in that slot, under a tag that hashes to it.

use std::sync::OnceLock;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16384;
/// What all of Godwit's keys begin with; no migration sees them.
pub(crate) const PREFIX: &str = "godwit:{";

/// The names of one target.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    base: String,
    /// Hash: `unit/id` → the migration's row.
    pub history: String,
    /// Hash: `epoch`, and `target`, which identifies the database.
    pub fence: String,
    /// String with an expiry: who works here.
    pub lock: String,
}

impl Names {
    /// The names in a namespace.
    pub fn new(namespace: &str) -> Self {
        let base = format!("{PREFIX}{namespace}}}:");
        Self { history: format!("{base}history"), fence: format!("{base}fence"), lock: format!("{base}lock"), base }
    }

    /// What the keys of this namespace begin with; those that stand in the slots of a cluster do not.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Hash: how far a walk is, node by node.
    pub fn walk(&self, token: &str) -> String {
        format!("{}walk:{token}", self.base)
    }

    /// Bit string: the slots of a cluster in which a walk has opened a zone.
    pub fn zones(&self, token: &str) -> String {
        format!("{}zones:{token}", self.base)
    }

    /// The zone of a server that is no cluster.
    pub fn zone(&self, token: &str) -> Zone {
        Zone {
            fence: self.fence.clone(),
            state: self.walk(token),
            marks: format!("{}marks:{token}:", self.base),
            slot: None,
        }
    }
}

/// What guards and marks keys that one script may touch together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// Hash with the `epoch` that may write.
    pub fence: String,
    /// Hash: `changed`, `seen`, `done`.
    pub state: String,
    /// The slot, in a cluster.
    pub slot: Option<u16>,
    marks: String,
}

impl Zone {
    /// The zone of a slot.
    pub fn of_slot(slot: u16, token: &str) -> Self {
        let base = format!("{PREFIX}{}}}:", tag_of(slot));
        let state = format!("{base}zone:{token}");
        Self { fence: state.clone(), state, marks: format!("{base}marks:{token}:"), slot: Some(slot) }
    }

    /// One of its small hashes of marks.
    pub fn bucket(&self, number: u32) -> String {
        format!("{}{number}", self.marks)
    }
}

/// The part of a key that decides its slot.
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|b| *b == b'{') else { return key };
    match key[open + 1..].iter().position(|b| *b == b'}') {
        Some(length) if length > 0 => &key[open + 1..open + 1 + length],
        Some(_) | None => key,
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |c, _| if c & 0x8000 == 0 { c << 1 } else { (c << 1) ^ 0x1021 })
    })
}

/// The slot of a key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    crc16(hashed_part(key)) % SLOTS
}

/// A short text that hashes to the slot.
pub(super) fn tag_of(slot: u16) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let mut tags = vec![String::new(); usize::from(SLOTS)];
        let mut missing = tags.len();
        let mut n = 0u32;
        while missing > 0 {
            let text = n.to_string();
            let tag = &mut tags[usize::from(slot_of(text.as_bytes()))];
            if tag.is_empty() {
                *tag = text;
                missing -= 1;
            }
            n += 1;
        }
        tags
    });
    tags.get(usize::from(slot)).map_or("", String::as_str)
}

/// A number for a key that spreads well: FNV-1a.
pub(super) fn spread(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// What stands for a key in a hash of marks: the key itself if it is short, else 16 bytes of its SHA-256, so that the
/// hash keeps its compact form.
pub(super) fn mark_of(key: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    if key.len() <= 24 && key.len() != 16 {
        return key.to_vec();
    }
    sha2::Sha256::digest(key)[..16].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::cluster_routing::Slot;

    #[test]
    fn slots_are_those_of_the_server() {
        for key in
            ["", "a", "cart:1", "{user1000}.following", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "x{", "é"]
        {
            assert_eq!(Slot::new(slot_of(key.as_bytes())), Some(Slot::for_key(key)), "{key}");
        }
        for slot in [0, 1, 8000, SLOTS - 1] {
            let zone = Zone::of_slot(slot, "t");
            assert_eq!(slot_of(zone.fence.as_bytes()), slot);
            assert_eq!(slot_of(zone.bucket(7).as_bytes()), slot);
        }
        let names = Names::new("shop");
        assert_eq!(slot_of(names.history.as_bytes()), slot_of(names.walk("t").as_bytes()));
    }

    #[test]
    fn marks_of_different_keys_differ() {
        let long = "k".repeat(100);
        assert_eq!(mark_of(b"cart:1"), b"cart:1");
        assert_eq!(mark_of(long.as_bytes()).len(), 16);
        assert_ne!(mark_of(&[b'a'; 16]), vec![b'a'; 16], "a key as long as a digest could be taken for one");
    }
}
