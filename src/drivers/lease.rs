//! Locks on servers that do not end them with the connection: a record with an owner and an end, renewed by a heartbeat.
//!
//! A lease is never what keeps two runs apart for certain (the fence is), so its end may be judged by the server's clock,
//! and a record whose process is known to be dead may be taken at once.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use super::{DriverError, SessionOptions};
use crate::plan::LockHolder;

/// Who holds a lock, as it stands in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The run; what a release and a renewal are matched by.
    pub run: String,
    /// Who causes it.
    pub by: String,
    /// The machine's name.
    pub host: String,
    /// The process on it.
    pub pid: i64,
    /// What tells this process from any other on any machine, where the system says so.
    pub process: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

impl Owner {
    /// This process, for a run.
    pub fn this_process(options: &SessionOptions) -> Self {
        let pid = std::process::id();
        Self {
            run: options.run.to_string(),
            by: options.by.clone(),
            host: host(),
            pid: i64::from(pid),
            process: process(pid),
            since: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        }
    }

    /// Whether the process is known to have ended: it was one of this machine's, since this machine's start, and is
    /// not there any more. `false` where that cannot be told.
    pub fn is_surely_gone(&self) -> bool {
        let Ok(pid) = u32::try_from(self.pid) else { return false };
        let (Some(theirs), Some(ours)) = (&self.process, place()) else { return false };
        let Some((their_place, _)) = theirs.rsplit_once('/') else { return false };
        their_place == ours && process(pid).as_ref() != Some(theirs)
    }

    /// For people.
    pub fn holder(&self) -> LockHolder {
        LockHolder {
            pid: self.pid,
            who: format!("godwit:{} ({})", self.run, self.by),
            from: self.host.clone(),
            since: self.since.clone(),
            doing: None,
        }
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|h| h.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}

/// The start of the machine and the namespace of its process numbers (Linux); elsewhere nothing can be told.
fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// A process for ever: its place, its number and the moment it was begun, so that a number used again is another one.
fn process(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; the state is the first behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    let started = fields.nth(18)?;
    (!dead).then(|| format!("{}/{pid}.{started}", place().unwrap_or_default()))
}

/// Whether the lock is still ours, as far as this process can know.
#[derive(Debug)]
enum Held {
    /// Until this moment of the process's own clock, which goes on while the process is stopped.
    Until(Instant),
    /// Another run has it.
    Lost,
}

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    held: Arc<Mutex<Held>>,
    task: tokio::task::JoinHandle<()>,
}

impl Heartbeat {
    /// Calls `renew` each third of `lease`. It gives `Ok(false)` when another run has the lock, and an error when the
    /// server did not answer, which is tried again while the lease lasts. `asked` is when the lease was asked for.
    pub fn start<F, R>(lease: Duration, asked: Instant, renew: F) -> Self
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<bool, DriverError>> + Send,
    {
        let held = Arc::new(Mutex::new(Held::Until(asked + lease)));
        let shared = Arc::clone(&held);
        let renewing = async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                let asked = Instant::now();
                let next = match renew().await {
                    Ok(true) => Held::Until(asked + lease),
                    Ok(false) => Held::Lost,
                    Err(error) => {
                        tracing::warn!(%error, "the target's lock could not be renewed");
                        continue;
                    }
                };
                let lost = matches!(next, Held::Lost);
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = next;
                if lost {
                    return;
                }
            }
        };
        let task = tokio::spawn(renewing.in_current_span());
        Self { held, task }
    }

    /// To be asked before each thing that changes the target: a process that was stopped for longer than its lease
    /// changes nothing more.
    ///
    /// # Errors
    /// [`DriverError::Fenced`].
    pub fn check(&self) -> Result<(), DriverError> {
        self.until().map(|_| ())
    }

    /// Until when the lock is ours, by this process's clock.
    ///
    /// # Errors
    /// [`DriverError::Fenced`].
    pub fn until(&self) -> Result<Instant, DriverError> {
        match *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Until(end) if Instant::now() < end => Ok(end),
            Held::Until(_) | Held::Lost => Err(DriverError::Fenced),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RunId, TargetName};

    fn owner() -> Owner {
        Owner::this_process(&SessionOptions::new(RunId::generate(), "ann", &TargetName::new("shop").unwrap()))
    }

    #[test]
    fn r9_only_a_process_that_is_known_to_be_dead_is_gone() {
        let alive = owner();
        assert!(!alive.is_surely_gone());
        if alive.process.is_none() {
            return;
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let theirs = Owner { pid: i64::from(pid), process: Some(format!("{}/{pid}.1", place().unwrap())), ..owner() };
        child.wait().unwrap();
        assert!(theirs.is_surely_gone());
        let elsewhere = Owner { process: Some(format!("other-boot/pid:[1]/{pid}.1")), ..theirs.clone() };
        assert!(!elsewhere.is_surely_gone(), "another machine's processes cannot be looked at");
        assert!(!Owner { process: None, ..theirs }.is_surely_gone());
    }

    #[tokio::test]
    async fn a_lease_that_is_not_renewed_or_lost_forbids_everything() {
        let lease = Duration::from_millis(60);
        let kept = Heartbeat::start(lease, Instant::now(), || async { Ok(true) });
        let lost = Heartbeat::start(lease, Instant::now(), || async { Ok(false) });
        let silent =
            Heartbeat::start(lease, Instant::now(), || async { Err(DriverError::Unreachable("no answer".to_owned())) });
        assert!(kept.check().is_ok() && lost.check().is_ok() && silent.check().is_ok());
        tokio::time::sleep(lease * 3).await;
        assert!(matches!(lost.check(), Err(DriverError::Fenced)));
        assert!(matches!(silent.check(), Err(DriverError::Fenced)));
        assert!(kept.check().is_ok());
    }
}
