//! The lock: a document that its owner renews.
//!
//! Clocks are never compared. Each renewal is a new version of the document; whoever waits takes the lock over when the
//! version has not moved for the lease by its own clock, or when the owner's process is known to be dead. Taking over
//! names the version that was seen, so only one of those who wait can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;
use tracing::Instrument as _;

use super::own::{Own, Token};
use super::wire::Wire;
use crate::drivers::lease::{Heartbeat, Owner};
use crate::drivers::{DriverError, SessionOptions, jittered};
use crate::plan::LockHolder;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lock {
    #[serde(flatten)]
    owner: Owner,
    /// How long it lives without a renewal.
    lease_ms: u64,
    /// Its renewals.
    beat: u64,
}

/// The lock, held and renewed.
pub(super) struct Held {
    wire: Wire,
    path: String,
    run: String,
    token: Arc<Mutex<Token>>,
    heartbeat: Heartbeat,
}

async fn read(wire: &Wire, own: &Own) -> Result<Option<(Lock, Token)>, DriverError> {
    let Some(body) = wire.get(&own.lock_path()).await?.found()? else { return Ok(None) };
    let bad = |why: String| {
        DriverError::History(format!("the document `lock` of the index `{}` cannot be read: {why}", own.fence))
    };
    let token = Token::of(&body).ok_or_else(|| bad("it has no sequence number".to_owned()))?;
    let lock = serde_json::from_value(body["_source"].clone()).map_err(|e| bad(e.to_string()))?;
    Ok(Some((lock, token)))
}

/// Who holds it.
pub(super) async fn holder(wire: &Wire, own: &Own) -> Result<Option<LockHolder>, DriverError> {
    let found = read(wire, own).await?;
    Ok(found.filter(|(lock, _)| !lock.owner.is_surely_gone()).map(|(lock, _)| lock.owner.holder()))
}

/// Waits for the lock.
pub(super) async fn take(wire: &Wire, own: &Own, options: &SessionOptions) -> Result<Held, DriverError> {
    let mine = Lock {
        owner: Owner::this_process(options),
        lease_ms: u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX),
        beat: 0,
    };
    let began = Instant::now();
    let mut seen: Option<(Token, Instant)> = None;
    let mut pause = Duration::from_millis(20);
    loop {
        let asked = Instant::now();
        let there = read(wire, own).await?;
        let may_take = match &there {
            None => Some("op_type=create".to_owned()),
            // An answer that was lost on its way: it is ours.
            Some((lock, token)) if lock.owner == mine.owner => Some(token.condition()),
            Some((lock, token)) => {
                if seen.is_none_or(|(last, _)| last != *token) {
                    seen = Some((*token, Instant::now()));
                }
                let silent = seen.map_or(Duration::ZERO, |(_, since)| since.elapsed());
                let over = silent >= Duration::from_millis(lock.lease_ms);
                (over || lock.owner.is_surely_gone()).then(|| token.condition())
            }
        };
        if let Some(condition) = may_take {
            let path = format!("{}?{condition}", own.lock_path());
            let answer = wire.ask(Method::Put, &path, Some(&json!(mine))).await?;
            if answer.status != 409 {
                let body = answer.ok()?;
                let token = Token::of(&body).unwrap_or(Token { seq_no: -1, term: -1 });
                return Ok(hold(wire, own, mine, token, asked, options.lease));
            }
            continue;
        }
        if began.elapsed() >= options.lock_wait
            && let Some((lock, _)) = there
        {
            return Err(DriverError::Locked(lock.owner.holder()));
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

fn hold(wire: &Wire, own: &Own, lock: Lock, token: Token, asked: Instant, lease: Duration) -> Held {
    let token = Arc::new(Mutex::new(token));
    let (path, run) = (own.lock_path(), lock.owner.run.clone());
    let shared = Arc::clone(&token);
    // A renewal that takes longer than the lease helps nobody.
    let wire = Wire { patience: lease, ..wire.clone() };
    let (for_beat, own) = (wire.clone(), own.clone());
    let beat = Arc::new(Mutex::new(lock));
    let heartbeat = Heartbeat::start(lease, asked, move || {
        let (wire, own, token, lock) = (for_beat.clone(), own.clone(), Arc::clone(&shared), Arc::clone(&beat));
        async move {
            let mut lock = lock.lock().await;
            let mut token = token.lock().await;
            lock.beat += 1;
            let path = format!("{}?{}", own.lock_path(), token.condition());
            let answer = wire.ask(Method::Put, &path, Some(&json!(*lock))).await?;
            if answer.status != 409 {
                if let Some(new) = Token::of(&answer.ok()?) {
                    *token = new;
                }
                return Ok(true);
            }
            // Refused: another's, or our own whose answer was lost.
            match read(&wire, &own).await? {
                Some((there, new)) if there == *lock => {
                    *token = new;
                    Ok(true)
                }
                Some(_) | None => Ok(false),
            }
        }
    });
    Held { wire, path, run, token, heartbeat }
}

impl Held {
    /// To be asked before each thing that changes the target.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        self.heartbeat.check()
    }

    /// Gives it back, if it is still ours.
    pub(super) async fn release(self) -> Result<(), DriverError> {
        let Self { wire, path, run, token, heartbeat } = self;
        drop(heartbeat);
        give_back(&wire, &path, &run, *token.lock().await).await
    }

    /// The same without waiting for it, for a session that is dropped.
    pub(super) fn abandon(self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let releasing = async move {
            if let Err(error) = self.release().await {
                tracing::warn!(%error, "the target's lock was not given back; it ends with its lease");
            }
        };
        runtime.spawn(releasing.in_current_span());
    }
}

async fn give_back(wire: &Wire, path: &str, run: &str, token: Token) -> Result<(), DriverError> {
    let answer = wire.ask(Method::Delete, &format!("{path}?{}", token.condition()), None).await?;
    if !matches!(answer.status, 404 | 409) {
        return answer.ok().map(|_| ());
    }
    // A renewal whose answer was lost has moved it.
    let Some(body) = wire.get(path).await?.found()? else { return Ok(()) };
    match Token::of(&body) {
        Some(token) if body["_source"]["run"] == run => {
            wire.ask(Method::Delete, &format!("{path}?{}", token.condition()), None).await?;
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}
