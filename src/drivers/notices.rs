//! What a server says while a script runs: PostgreSQL's notices, which `RAISE NOTICE` makes [S2-75].
//!
//! The library that speaks to the server hands them to `tracing` and to nobody else, so a layer listens there. Which step they
//! belong to is known by the task that reads them: a run's steps on several targets take turns within one task, and each of
//! them hears its own.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, registry};

/// Where sqlx puts them.
const TARGET: &str = "sqlx::postgres::notice";
/// How many are kept of one step; a loop may make one a second for hours.
const KEPT: usize = 100;

/// Who is told of each, while the script runs.
pub type NoticeTeller = Arc<dyn Fn(&str) + Send + Sync>;

/// What was heard in a step.
#[derive(Default)]
struct Heard {
    kept: Vec<String>,
    more: usize,
}

struct Ear {
    heard: Mutex<Heard>,
    tell: Option<NoticeTeller>,
}

tokio::task_local! {
    static EAR: Arc<Ear>;
}

/// Does `work`, and gives with what came of it what the server said meanwhile; the last part of a long talk is left out, and
/// that it is, is told.
pub async fn listen<T>(tell: Option<NoticeTeller>, work: impl Future<Output = T>) -> (T, Vec<String>) {
    let ear = Arc::new(Ear { heard: Mutex::new(Heard::default()), tell });
    let done = EAR.scope(Arc::clone(&ear), work).await;
    let Heard { mut kept, more } = std::mem::take(&mut *ear.heard.lock().unwrap_or_else(PoisonError::into_inner));
    if more > 0 {
        kept.push(format!("… and {more} more"));
    }
    (done, kept)
}

/// Does `work` without hearing what the server says meanwhile: it is about what Godwit itself did.
pub(super) async fn unheard<T>(work: impl Future<Output = T>) -> T {
    EAR.scope(Arc::new(Ear { heard: Mutex::default(), tell: None }), work).await
}

/// Hands notices to the step that they belong to.
#[derive(Debug)]
pub struct Notices;

impl<S: tracing::Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        hear(&words.0);
    }
}

fn hear(text: &str) {
    let text = crate::redact::text(text.trim_end());
    // A notice that no step waits for is nobody's.
    let _ = EAR.try_with(|ear| {
        {
            let mut heard = ear.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.kept.len() < KEPT {
                heard.kept.push(text.clone());
            } else {
                heard.more += 1;
            }
        }
        if let Some(tell) = &ear.tell {
            tell(&text);
        }
    });
}

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

/// The layer, for a program that logs.
pub fn layer<S: tracing::Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Notices.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
}

/// Listens in a program that does not log otherwise; a second call changes nothing.
pub fn start() {
    // Refused only where somebody listens already.
    let _ = registry().with(layer()).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_75_each_step_hears_its_own_and_a_long_talk_is_cut() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ear: NoticeTeller = {
            let told = Arc::clone(&told);
            Arc::new(move |text| told.lock().unwrap().push(text.to_owned()))
        };
        let talk = |name: &'static str, times: usize| async move {
            for n in 0..times {
                hear(&format!("{name} {n}\n"));
                tokio::task::yield_now().await;
            }
            name
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (a, b) = runtime.block_on(async {
            hear("nobody's");
            futures_util::future::join(listen(Some(ear), talk("a", 2)), listen(None, talk("b", KEPT + 5))).await
        });
        assert_eq!(a, ("a", vec!["a 0".to_owned(), "a 1".to_owned()]));
        assert_eq!(*told.lock().unwrap(), ["a 0", "a 1"]);
        assert_eq!((b.1.len(), b.1.last().unwrap().as_str()), (KEPT + 1, "… and 5 more"));
    }
}
