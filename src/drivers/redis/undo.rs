//! Takes an operation back from its marks: exactly the keys that it changed, and each once, since a key's mark goes in
//! the call that takes the key back.

use super::kept::Kept;
use super::link::To;
use super::names::Zone;
use super::session::RedisSession;
use super::statement::Effect;
use super::step::{Came, Mode, Step};
use super::zones::Open;
use crate::drivers::{DriverError, Progress, SingleStatement};
use crate::migration::operations::redis::Operation;

/// How many keys one call takes back.
const AT_ONCE: usize = 200;

impl RedisSession {
    /// Takes operation `number` back. One that never took effect is left alone.
    pub(super) async fn undo(
        &mut self,
        statement: &SingleStatement<'_>,
        mut kept: Kept,
        number: u32,
        of: &Operation,
    ) -> Result<Option<u64>, DriverError> {
        let mut changed = 0;
        let found = kept.undo.remove(&number);
        if let (Some(walk), Some(effect)) = (&found, Effect::inverse_of(of)) {
            let zones = self.zones(walk).await?;
            self.open_zones(walk, &mut Open::default(), zones.iter().filter_map(|z| z.slot)).await?;
            let mut progress = Progress {
                target: self.options.target.clone(),
                migration: statement.id.clone(),
                statement: statement.done,
                what: "keys",
                done: 0,
                total: None,
                waits: None,
            };
            for zone in &zones {
                for bucket in 0..walk.buckets {
                    let keys = self.marked(zone, bucket).await?;
                    for part in keys.chunks(AT_ONCE) {
                        let step =
                            Step { effect: &effect, mode: Mode::Undo, zone, walk: Some(walk), keys: part, done: None };
                        match self.step(&step).await? {
                            Came::Done { changed: n, .. } => changed += n,
                            Came::Already(_) => {}
                            Came::Closed => return Err(DriverError::Lost("a zone of the cluster was lost".to_owned())),
                        }
                        progress.done = changed;
                        self.options.pace.between(&progress).await?;
                    }
                }
            }
        }
        self.settle_down().await?;
        if let Some(walk) = &found {
            self.sweep(walk).await?;
            if kept.walk.as_ref().is_some_and(|w| w.token == walk.token) {
                kept.walk = None;
            }
        }
        kept.row.statements_done = statement.done;
        self.put_kept(&kept).await?;
        Ok(Some(changed))
    }

    /// The names in a hash of marks.
    async fn marked(&self, zone: &Zone, bucket: u32) -> Result<Vec<Vec<u8>>, DriverError> {
        let to = zone.slot.map_or_else(|| self.home(), To::Slot);
        self.link.ask(redis::cmd("HKEYS").arg(zone.bucket(bucket)), &to).await
    }
}
