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

/// Walks a log from its beginning.
pub(super) struct Verifier<'a> {
    key: &'a AuditKey,
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
            records: 0,
            seq: 0,
            head: GENESIS.to_owned(),
            expected,
            expected_seen: false,
            anchor: Anchor::Missing,
            bad: None,
        }
    }

    /// Looks at the next record; `Err` says why it could not even be read.
    pub(super) fn look_at(&mut self, record: Result<&AuditRecord, String>) {
        self.records += 1;
        let place = self.seq + 1;
        let problem = match &record {
            Err(why) => Some(format!("record {place} cannot be read: {why}")),
            Ok(record) if record.body.seq > place => Some(format!("record {place} is missing")),
            Ok(record) if record.body.seq != place => {
                Some(format!("record {} stands where {place} belongs", record.body.seq))
            }
            Ok(record) if !self.key.signed(record) => {
                Some(format!("record {place} was altered, or the key is not the one it was written with"))
            }
            Ok(record) if record.body.previous != self.head => {
                Some(format!("record {place} does not follow the one before it"))
            }
            Ok(record) if matches!(&self.anchor, Anchor::At(a) if a.seq == place && a.hash != record.hash) => {
                Some(format!("record {place} is another one than was written: the log was replaced"))
            }
            Ok(_) => None,
        };
        if let (Some(problem), None) = (problem, &self.bad) {
            self.bad = Some((place, problem));
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
        let bad = bad.or_else(|| match &self.anchor {
            Anchor::At(a) if a.seq > self.seq => Some((self.seq + 1, beyond(self.seq, a.seq))),
            Anchor::Altered => Some((
                self.seq + 1,
                "the anchor outside the store was altered, or the key is not the one it was written with".to_owned(),
            )),
            Anchor::At(_) | Anchor::Missing => None,
        });
        let anchor = match self.anchor {
            Anchor::At(a) => Some(a.seq),
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
                record.hash = key().hash(&record);
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
}
