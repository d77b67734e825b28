//! Whether an audit log is what was written: the walk along its chain.

use std::io::BufRead;

use serde::Serialize;

use super::anchor::Anchor;
use super::audit::AuditRecord;
use super::audit_key::AuditKey;

/// What the first record is chained to.
pub(super) const GENESIS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Whether the log is what was written (INTERFACE 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// How many records there are.
    pub records: u64,
    /// Whether every one is as it was written and none is missing.
    pub valid: bool,
    /// Place of the first record that was altered, moved or removed.
    pub first_bad: Option<i64>,
    /// Hash of the last record; all zeros for an empty log.
    pub head: String,
    /// What is wrong, for people.
    pub problem: Option<String>,
    /// The record that the anchor outside the store names; the log must still hold it.
    pub anchor: Option<i64>,
}

/// The audit word for the last record that was written with a key; the ones behind it are written with another.
pub(super) const KEY_CHANGED: &str = "audit-key-changed";
/// The audit word for the first record that was written with the key that the one before it names.
pub(super) const KEY_TAKEN: &str = "audit-key-taken";
/// The detail that names the next key, by its fingerprint.
pub(super) const NEXT_KEY: &str = "next_key";

/// Walks a log from its beginning.
///
/// A log changes its key by a record that is written with the old key and names the new one. Whoever has a former key
/// alone can make up what was written with it, but not what is chained to it with the present one: so a log must end with
/// the present key.
pub(super) struct Verifier<'a> {
    key: &'a AuditKey,
    /// The place of the key that the records are written with here; `None` where nobody gave it.
    at: Option<usize>,
    /// The place of the key that it must end with.
    present: usize,
    /// Where the key was changed last.
    changed: i64,
    records: u64,
    seq: i64,
    head: String,
    expected: Option<&'a str>,
    expected_seen: bool,
    pub(super) anchor: Anchor,
    bad: Option<(i64, String)>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(key: &'a AuditKey, expected: Option<&'a str>) -> Self {
        Self {
            key,
            at: None,
            present: 0,
            changed: 0,
            records: 0,
            seq: 0,
            head: GENESIS.to_owned(),
            expected,
            expected_seen: false,
            anchor: Anchor::Missing,
            bad: None,
        }
    }

    /// The log need not end with the first of the keys, but with this one.
    pub(super) fn ending_with(self, present: usize) -> Self {
        Self { present, ..self }
    }

    /// Looks at the next record; `Err` says why it could not even be read.
    pub(super) fn look_at(&mut self, record: Result<&AuditRecord, String>) {
        self.records += 1;
        let place = self.seq + 1;
        if let (1, Ok(first)) = (self.records, &record) {
            self.at = self.key.of_record(first);
        }
        let problem = match &record {
            Err(why) => Some(format!("record {place} cannot be read: {why}")),
            Ok(record) if record.body.seq > place => Some(format!("record {place} is missing")),
            Ok(record) if record.body.seq != place => {
                Some(format!("record {} stands where {place} belongs", record.body.seq))
            }
            Ok(_) if self.at.is_none() && self.changed > 0 => Some(format!(
                "record {place} is written with a key that is not given: the log changed to it at record {}",
                self.changed
            )),
            Ok(record) if !self.at.is_some_and(|at| self.key.signed(at, record)) => {
                Some(format!("record {place} was altered, or the key is not the one it was written with"))
            }
            Ok(record) if record.body.previous != self.head => {
                Some(format!("record {place} does not follow the one before it"))
            }
            Ok(record) if matches!(&self.anchor, Anchor::At(a) | Anchor::Former(a) if a.seq == place && a.hash != record.hash) => {
                Some(format!("record {place} is another one than was written: the log was replaced"))
            }
            Ok(_) => None,
        };
        if let (Some(problem), None) = (problem, &self.bad) {
            self.bad = Some((place, problem));
        }
        if let (Ok(record), None) = (&record, &self.bad)
            && record.body.action == KEY_CHANGED
        {
            self.changed = place;
            self.at = record.body.details.get(NEXT_KEY).and_then(|fingerprint| self.key.find(fingerprint));
        }
        if let Ok(record) = record {
            self.expected_seen |= self.expected == Some(&record.hash);
            self.seq = record.body.seq;
            self.head.clone_from(&record.hash);
        } else {
            self.seq = place;
        }
    }

    pub(super) fn verdict(self) -> AuditVerdict {
        // The head of an empty log says that nothing was there; it proves nothing about one that has records.
        let seen = self.expected_seen || (self.records == 0 && self.expected == Some(GENESIS));
        let bad = match (self.bad, self.expected) {
            (None, Some(expected)) if !seen => {
                Some((self.seq + 1, format!("the log does not contain the head `{expected}`: its end was cut off")))
            }
            (bad, _) => bad,
        };
        let bad = bad.or_else(|| {
            (self.records > 0 && self.at != Some(self.present)).then(|| (self.seq + 1, not_present(self.changed)))
        });
        let bad = bad.or_else(|| match &self.anchor {
            Anchor::At(a) | Anchor::Former(a) if a.seq > self.seq => Some((self.seq + 1, beyond(self.seq, a.seq))),
            Anchor::Former(a) if a.seq > self.changed => Some((
                self.seq + 1,
                format!(
                    "the anchor outside the store names record {}, and is signed with a key that was replaced at record {}",
                    a.seq, self.changed
                ),
            )),
            Anchor::Altered => Some((
                self.seq + 1,
                "the anchor outside the store was altered, or the key is not the one it was written with".to_owned(),
            )),
            Anchor::At(_) | Anchor::Former(_) | Anchor::Missing => None,
        });
        let anchor = match self.anchor {
            Anchor::At(a) | Anchor::Former(a) => Some(a.seq),
            Anchor::Missing | Anchor::Altered => None,
        };
        AuditVerdict {
            anchor,
            records: self.records,
            valid: bad.is_none(),
            first_bad: bad.as_ref().map(|(seq, _)| *seq),
            head: self.head,
            problem: bad.map(|(_, problem)| problem),
        }
    }
}

/// What it means that the log does not end with the present key.
fn not_present(changed: i64) -> String {
    let since =
        if changed == 0 { "never changed its key".to_owned() } else { format!("last changed it at record {changed}") };
    format!(
        "the log ends with a former key and {since}: the change to the present one is not finished (`godwit audit rotate-key`), \
         or its end was replaced by somebody who has a former key"
    )
}

/// What it means that the log ends before a record that was written.
fn beyond(end: i64, written: i64) -> String {
    let what = if end == 0 { "the log is empty".to_owned() } else { format!("the log ends at record {end}") };
    format!(
        "{what}, but record {written} was written: its end was cut off, or the store is an older one, as after a restore; \
         if a person did that, `godwit audit accept --reason …` goes on from here"
    )
}

/// Verifies an exported log, one JSON object a line, without any store.
///
/// # Errors
/// When the input cannot be read; lines that are no records make the verdict invalid instead.
pub fn verify_export(
    key: &AuditKey,
    lines: impl BufRead,
    expected_head: Option<&str>,
) -> std::io::Result<AuditVerdict> {
    let mut verifier = Verifier::new(key, expected_head);
    for line in lines.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Result<AuditRecord, _> = serde_json::from_str(&line);
        verifier.look_at(record.as_ref().map_err(ToString::to_string));
    }
    Ok(verifier.verdict())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use secrecy::SecretString;

    use super::*;
    use crate::store::audit::AuditBody;

    fn key() -> AuditKey {
        AuditKey::new(&SecretString::from("0123456789abcdef"))
    }

    fn log(length: i64) -> Vec<AuditRecord> {
        let mut previous = GENESIS.to_owned();
        (1..=length)
            .map(|seq| {
                let body = AuditBody {
                    seq,
                    at: DateTime::from_timestamp_millis(1_700_000_000_000 + seq).unwrap(),
                    actor: "alice".into(),
                    basis: Some("role dba".into()),
                    action: "approved".into(),
                    result: "ok".into(),
                    repo: None,
                    pr: Some(7),
                    environment: None,
                    target: None,
                    commit: None,
                    digest: None,
                    policy_hash: None,
                    sql_hash: None,
                    run: None,
                    correlation: None,
                    details: BTreeMap::from([("why".to_owned(), format!("\"{seq}\" <ä>"))]),
                    previous: previous.clone(),
                };
                let mut record = AuditRecord { body, hash: String::new() };
                record.hash = key().hash(0, &record);
                previous.clone_from(&record.hash);
                record
            })
            .collect()
    }

    fn judge(log: &[AuditRecord], head: Option<&str>) -> AuditVerdict {
        let text: String = log.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        verify_export(&key(), text.as_bytes(), head).unwrap()
    }

    #[test]
    fn b17_an_untouched_log_is_valid() {
        let log = log(5);
        let verdict = judge(&log, None);
        assert_eq!((verdict.valid, verdict.records, verdict.first_bad), (true, 5, None));
        assert_eq!(verdict.head, log[4].hash);
        assert!(judge(&log, Some(&log[2].hash)).valid, "the log may have grown since a head was printed");
        assert!(judge(&[], None).valid);
        assert!(judge(&[], Some(GENESIS)).valid);
    }

    #[test]
    fn b17_every_change_is_named() {
        let whole = log(6);
        for i in 0..6 {
            let mut altered = whole.clone();
            altered[i].body.actor = "mallory".into();
            assert_eq!(judge(&altered, None).first_bad, Some(i as i64 + 1), "altered {i}");
        }
        for i in 0..5 {
            let mut removed = whole.clone();
            removed.remove(i);
            assert_eq!(judge(&removed, None).first_bad, Some(i as i64 + 1), "removed {i}");
            let mut moved = whole.clone();
            moved.swap(i, i + 1);
            assert_eq!(judge(&moved, None).first_bad, Some(i as i64 + 1), "moved {i}");
        }
        let mut cut = whole.clone();
        let head = cut.pop().unwrap().hash;
        assert!(judge(&cut, None).valid);
        let verdict = judge(&cut, Some(&head));
        assert_eq!((verdict.valid, verdict.first_bad), (false, Some(6)));
    }

    #[test]
    fn b17_a_log_made_with_another_key_is_refused() {
        let text: String = log(2).iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        let other = AuditKey::new(&SecretString::from("another key altogether"));
        assert_eq!(verify_export(&other, text.as_bytes(), None).unwrap().first_bad, Some(1));
    }

    #[test]
    fn lines_that_are_no_records_are_named() {
        let verdict = verify_export(&key(), "{}\n".as_bytes(), None).unwrap();
        assert_eq!((verdict.valid, verdict.first_bad), (false, Some(1)));
    }

    fn another() -> AuditKey {
        AuditKey::new(&SecretString::from("another key altogether"))
    }

    /// Adds a record with a key.
    fn add(log: &mut Vec<AuditRecord>, with: &AuditKey, action: &str, next: Option<&AuditKey>) {
        let last = log.last().unwrap();
        let mut body = AuditBody { seq: last.body.seq + 1, action: action.into(), ..last.body.clone() };
        body.previous.clone_from(&last.hash);
        body.details = next.map(|next| (NEXT_KEY.to_owned(), next.fingerprint(0))).into_iter().collect();
        let mut record = AuditRecord { body, hash: String::new() };
        record.hash = with.hash(0, &record);
        log.push(record);
    }

    /// Three records of the first key, the change, two of the second.
    fn rotated() -> Vec<AuditRecord> {
        let mut log = log(3);
        add(&mut log, &key(), KEY_CHANGED, Some(&another()));
        add(&mut log, &another(), KEY_TAKEN, None);
        add(&mut log, &another(), "approved", None);
        log
    }

    fn judge_with(keys: &AuditKey, log: &[AuditRecord]) -> AuditVerdict {
        let text: String = log.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        verify_export(keys, text.as_bytes(), None).unwrap()
    }

    #[test]
    fn b17_a_log_whose_key_was_changed_is_valid_with_both_keys() {
        let both = another().with_former(&key());
        let verdict = judge_with(&both, &rotated());
        assert!(verdict.valid, "{verdict:?}");
        assert_eq!(verdict.records, 6);
        // Without one of them the records that were written with it cannot be checked.
        assert_eq!(judge_with(&another(), &rotated()).first_bad, Some(1));
        let verdict = judge_with(&key(), &rotated());
        assert_eq!(verdict.first_bad, Some(5));
        assert!(verdict.problem.unwrap().contains("changed to it at record 4"));
    }

    #[test]
    fn b17_whoever_has_the_former_key_alone_can_change_nothing() {
        let both = another().with_former(&key());
        let whole = rotated();
        let first_bad = |log: &[AuditRecord]| judge_with(&both, log).first_bad;
        // Everything up to the change made up anew: what follows is chained to what was.
        for i in 0..4 {
            let mut log = whole.clone();
            log[i].body.actor = "mallory".into();
            for j in i..4 {
                if j > i {
                    log[j].body.previous = log[j - 1].hash.clone();
                }
                log[j].hash = key().hash(0, &log[j]);
            }
            assert_eq!(first_bad(&log), Some(5), "made up from {i}");
        }
        // The end replaced by one of the former key, with the change or without it; and the change left as the end.
        let mut log = whole[..3].to_vec();
        add(&mut log, &key(), "approved", None);
        assert_eq!(first_bad(&log), Some(5));
        let mut log = whole[..4].to_vec();
        add(&mut log, &key(), "approved", None);
        assert_eq!(first_bad(&log), Some(5));
        let mut log = whole[..3].to_vec();
        add(&mut log, &key(), KEY_CHANGED, Some(&key()));
        add(&mut log, &key(), KEY_TAKEN, None);
        assert_eq!(first_bad(&log), Some(6));
        let mut log = whole.clone();
        add(&mut log, &key(), "approved", None);
        assert_eq!(first_bad(&log), Some(7));
        // The change taken out or moved, or naming another key.
        let mut log = whole.clone();
        log.remove(3);
        assert_eq!(first_bad(&log), Some(4));
        let mut log = whole.clone();
        log.swap(3, 4);
        assert_eq!(first_bad(&log), Some(4));
        let mut log = whole.clone();
        log[3].body.details.insert(NEXT_KEY.to_owned(), key().fingerprint(0));
        assert_eq!(first_bad(&log), Some(4));
        // Only the present key can go back to a former one.
        let mut log = whole;
        add(&mut log, &another(), KEY_CHANGED, Some(&key()));
        add(&mut log, &key(), KEY_TAKEN, None);
        assert!(judge_with(&key().with_former(&another()), &log).valid);
        assert!(!judge_with(&both, &log).valid);
    }
}
