//! One call of a step: its keys, its marks, and what the answer says.

use super::kept::Walk;
use super::names::{Zone, mark_of, spread};
use super::session::RedisSession;
use super::statement::{Effect, Marking};
use crate::drivers::{DriverError, failpoint};

/// How a step treats its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of them, at once.
    List,
    /// Those that are there and not marked.
    Batch,
    /// Those that are there; the marks are taken away.
    Undo,
}

/// The mark that says that the whole call was done: a hash, its field, and the value it gets.
#[derive(Debug, Clone)]
pub(super) struct Done<'a> {
    /// The hash.
    pub hash: &'a str,
    /// The field.
    pub field: &'a str,
    /// The value.
    pub value: &'a str,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Keys that were worked on, and what the script gave.
    Done { seen: u64, changed: u64 },
    /// An earlier call had done it.
    Already(Option<u64>),
    /// Its zone is not open (any more).
    Closed,
}

/// Everything one call needs.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// What is done.
    pub effect: &'a Effect,
    /// How.
    pub mode: Mode,
    /// Where.
    pub zone: &'a Zone,
    /// The walk whose marks count; `None` where nothing is marked.
    pub walk: Option<&'a Walk>,
    /// The keys.
    pub keys: &'a [Vec<u8>],
    /// What says that it is done.
    pub done: Option<Done<'a>>,
}

impl Step<'_> {
    /// The keys and arguments of the call; see the frame in `lua`.
    fn parts(&self, epoch: i64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let text = |t: &str| t.as_bytes().to_vec();
        let done_hash = self.done.as_ref().map_or(self.zone.state.as_str(), |d| d.hash);
        let mut keys = vec![text(&self.zone.fence), text(done_hash), text(&self.zone.state)];
        keys.extend(self.keys.iter().cloned());
        let (field, value) = self.done.as_ref().map_or(("", ""), |d| (d.field, d.value));
        let mode = match self.mode {
            Mode::List => "list",
            Mode::Batch => "batch",
            Mode::Undo => "undo",
        };
        let mut args = vec![
            text(&epoch.to_string()),
            text(mode),
            text(&self.keys.len().to_string()),
            text(&self.effect.args.len().to_string()),
            text(field),
            text(value),
        ];
        args.extend(self.effect.args.iter().cloned());
        let mut places: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
        for key in self.keys {
            let name = self.effect.renamed(key);
            let mut bucket = |key: &[u8]| -> Vec<u8> {
                let Some(walk) = self.walk.filter(|_| self.effect.marking != Marking::None) else { return Vec::new() };
                let number = spread(key) % walk.buckets.max(1);
                let place = *places.entry(number).or_insert_with(|| {
                    keys.push(text(&self.zone.bucket(number)));
                    keys.len()
                });
                text(&place.to_string())
            };
            match self.mode {
                // The mark stands under the name that the key has now.
                Mode::Undo => args.extend([Vec::new(), Vec::new(), bucket(key), key.clone()]),
                Mode::List | Mode::Batch => {
                    let now = name.as_deref().unwrap_or(key);
                    let as_mark = |key: &[u8]| match self.effect.marking {
                        Marking::Touched => key.to_vec(),
                        Marking::None | Marking::Seen => mark_of(key),
                    };
                    let (skip, mark) = (bucket(key), bucket(now));
                    args.extend([skip, as_mark(key), mark, as_mark(now)]);
                }
            }
            args.push(name.clone().unwrap_or_default());
            keys.extend(name);
        }
        (keys, args)
    }
}

impl RedisSession {
    /// Makes one call.
    pub(super) async fn step(&self, step: &Step<'_>) -> Result<Came, DriverError> {
        self.heartbeat.check()?;
        let (keys, args) = step.parts(self.epoch.0);
        let calling = self.link.run(&step.effect.lua, &keys, &args);
        let answer = failpoint::sent(&["stmt_sent", "commit_sent"], calling).await?;
        failpoint::hit("stmt_acked");
        failpoint::hit("commit_acked");
        let number = |at: usize| answer.get(at).and_then(|n| n.parse::<i64>().ok());
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        match (answer.first().map(String::as_str), answer.get(1).map(String::as_str)) {
            (Some("OK"), _) => {
                Ok(Came::Done { seen: number(1).map_or(0, unsigned), changed: number(2).map_or(0, unsigned) })
            }
            (Some("ALREADY"), _) => Ok(Came::Already(number(2).map(unsigned))),
            (Some("FENCED"), Some(_)) if step.zone.slot.is_some() && self.is_newest().await? => Ok(Came::Closed),
            _ => Err(self.refusal(&answer)),
        }
    }
}
