//! Takes jobs from the store and does them: one pull request at a time each, several at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::Bot;
use super::error::JobError;
use super::given_up::PATIENCE;
use super::life::{Admission, Ended};
use super::traced::{TRACE, belongs_to, lines_of};
use super::work::{Judge, Work, coalesce};
use crate::github::{Event, GithubError};
use crate::ids::DeliveryId;
use crate::store::{Claim, Job, MAX_ATTEMPTS, Store, StoreError, after_outage, next_attempt};

/// How often the store is asked although nobody announced anything: leases of killed workers lapse in silence.
const IDLE: Duration = Duration::from_secs(5);
/// The longest a test waits for one step of the queue before it looks again.
const GLANCE: Duration = Duration::from_millis(20);

impl Bot {
    /// Works until `shutdown` turns true, then finishes what is begun and returns: an environment's run is brought to its
    /// end, the environments behind it are left to whoever takes the work up.
    pub async fn work(self: &Arc<Self>, shutdown: watch::Receiver<bool>) {
        let mut lanes = JoinSet::new();
        for lane in 0..self.settings.parallel.max(1) {
            let (bot, shutdown) = (Arc::clone(self), shutdown.clone());
            lanes.spawn(async move { bot.lane(lane, shutdown).await });
        }
        let shutdown_told = shutdown.clone();
        // What was lost is looked for by those who judge.
        if self.settings.region.is_none() {
            let (bot, sweeping) = (Arc::clone(self), shutdown);
            lanes.spawn(async move { bot.keep_sweeping(sweeping).await });
        }
        let (bot, mut stop) = (Arc::clone(self), shutdown_told);
        lanes.spawn(async move {
            // An error means that whoever could say so is gone, which is the same.
            let _ = stop.wait_for(|stop| *stop).await;
            bot.stopping.store(true, Ordering::Relaxed);
        });
        while let Some(ended) = lanes.join_next().await {
            if let Err(e) = ended {
                tracing::error!(error = %e, "a worker lane ended unexpectedly");
            }
        }
    }

    /// Does everything that is due or will be, and returns when nothing is left; tests call it instead of waiting.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_until_idle(&self) -> Result<(), StoreError> {
        while !self.store.is_idle().await? {
            if !self.step(0).await? {
                tokio::time::sleep(self.until_due(GLANCE).await).await;
            }
        }
        Ok(())
    }

    /// Does everything that is due now; what is due later stays.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_due(&self) -> Result<(), StoreError> {
        while self.step(0).await? {}
        Ok(())
    }

    async fn lane(&self, lane: usize, mut shutdown: watch::Receiver<bool>) {
        let mut changes = self.store.job_changes();
        while !*shutdown.borrow() {
            changes.mark_unchanged();
            match self.step(lane).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(error = chain(&error), "the store failed; trying again"),
            }
            let wait = self.until_due(IDLE).await;
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How long until the next job is due, at most `longest`.
    async fn until_due(&self, longest: Duration) -> Duration {
        match self.store.next_due_in(self.settings.region.as_deref()).await {
            Ok(Some(at)) => (at - Utc::now()).to_std().unwrap_or(GLANCE).clamp(GLANCE, longest),
            Ok(None) | Err(_) => longest,
        }
    }

    /// Claims the jobs of one key and does them; `false` when nothing was due.
    async fn step(&self, lane: usize) -> Result<bool, StoreError> {
        let worker = format!("{}-{lane}", self.settings.worker);
        let region = self.settings.region.as_deref();
        let Some(claim) = self.store.claim_in(region, &worker, self.settings.lease).await? else { return Ok(false) };
        let lines = lines_of(correlation(&claim), &claim.key);
        boxed(|| self.carry_out(claim)).instrument(lines).await.map(|()| true)
    }

    /// Does the jobs of a claim.
    async fn carry_out(&self, claim: Claim) -> Result<(), StoreError> {
        // What was begun here and is somebody else's by now cannot write any more.
        let bound = Self { store: self.store.under(&claim), ..self.clone() };
        let delivery = claim.jobs.last().and_then(|j| j.delivery.as_ref());
        let span = tracing::info_span!(
            target: TRACE, "work", otel.status_code = Empty, key = claim.key, jobs = claim.jobs.len(),
            delivery = delivery.map(DeliveryId::as_str), error = Empty
        );
        belongs_to(&span, delivery);
        // In a task of its own: judging a large pull request keeps a thread busy for longer than a lease may last.
        let mut beat = JoinSet::new();
        beat.spawn(keep_alive(self.store.clone(), claim.clone()).in_current_span());
        let done = tokio::select! {
            done = boxed(|| bound.handle(&claim)).instrument(span.clone()) => done,
            // Somebody else has the work by now; what was begun here must not be finished twice.
            _ = beat.join_next() => {
                tracing::warn!(key = claim.key, "the claim was lost");
                return Ok(());
            }
        };
        drop(beat);
        if let Err(error) = &done {
            span.record("error", chain(error));
            span.record("otel.status_code", "ERROR");
        }
        let ended = match done {
            Ok(Ended::Done) => self.store.complete(&claim).await,
            Ok(Ended::Undone(reason)) => {
                tracing::info!(key = claim.key, reason, "work was closed undone");
                self.store.close_undone(&claim, &reason).await
            }
            // It may have failed because somebody else has the work; then there is nothing to put back, or to tell.
            Err(error) => match self.store.heartbeat(&claim).await {
                Err(StoreError::LostClaim) => Err(StoreError::LostClaim),
                Ok(()) | Err(_) => match boxed(|| bound.put_back(&claim, error)).await {
                    Ok(given_up) => {
                        boxed(|| self.tell_given_up(&given_up)).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            },
        };
        match ended {
            Err(StoreError::LostClaim) => {
                tracing::warn!(key = claim.key, "the claim was lost at its end; the work is done again");
                Ok(())
            }
            other => other,
        }
    }

    /// Puts the work of a claim back until later, or closes it; gives the jobs that were given up.
    async fn put_back(&self, claim: &Claim, error: JobError) -> Result<Vec<Job>, StoreError> {
        let attempt = claim.jobs.iter().map(|j| j.attempt).max().unwrap_or(1);
        let now = Utc::now();
        // What only waits for its turn is no failure and must not use up the attempts.
        if let Some((at, reason)) = waits(&error) {
            tracing::info!(key = claim.key, reason, "waiting");
            for job in again(&claim.jobs, &error) {
                // Each look that waits asks for one more; two that ask for the same are one.
                if job.delivery.is_some() || !self.store.is_queued_until(&job.event, at).await? {
                    self.store.enqueue_at(&claim.key, &job.event, job.delivery.as_ref(), at).await?;
                }
            }
            return self.store.complete(claim).await.map(|()| Vec::new());
        }
        // A refusal may mean that the App was suspended or taken off, and its event was lost or is still to come.
        let refused = matches!(error, JobError::Github(GithubError::Forbidden { .. } | GithubError::NotFound { .. }));
        if let (true, Some(id)) = (refused, claim.jobs.last().and_then(|j| j.event.installation()))
            && let Ok(Some(reason)) = self.why_closed(id, now).await
        {
            tracing::info!(key = claim.key, reason, "work was closed undone");
            return self.store.close_undone(claim, &reason).await.map(|()| Vec::new());
        }
        // Whose server is down has not failed at this work; but nothing is tried for ever.
        let outage = error.is_outage() && claim.jobs.iter().all(|job| now < job.created_at + PATIENCE);
        let next = if outage { after_outage(attempt, now) } else { next_attempt(attempt, now) };
        let at = error.retry_at().unwrap_or(next).max(now);
        let id = ulid::Ulid::generate().to_string();
        tracing::error!(
            key = claim.key, error = chain(&error), error_id = id, attempt, again_at = %at, "the work failed"
        );
        // A hiccup is not worth a red check; what lasts must not look like an older verdict.
        if attempt >= 2 || !error.is_temporary() {
            self.tell_failure(claim, &error, &id).await;
        }
        if outage {
            self.store.postpone(claim, &chain(&error), at).await?;
            if attempt == MAX_ATTEMPTS {
                self.tell_of_outage(&claim.jobs).await;
            }
            return Ok(Vec::new());
        }
        let dead = self.store.retry(claim, &chain(&error), at).await?;
        Ok(claim.jobs.iter().filter(|job| dead.contains(&job.id)).cloned().collect())
    }

    /// Makes the checks of the claim's pull request red, as far as GitHub can be reached.
    async fn tell_failure(&self, claim: &Claim, error: &JobError, id: &str) {
        let Some(Judge { repo, number, .. }) = coalesce(&claim.jobs).judge else { return };
        let told = async {
            let place = self.place(&repo).await?;
            let pull = place.api.pull(number).await?;
            if pull.state == "open" { self.show_failure(&place, &pull, error, id).await } else { Ok(()) }
        };
        if let Err(error) = told.await {
            tracing::warn!(error = chain(&error), "the failure could not be shown on GitHub");
        }
    }

    /// Does the jobs of one claim. Everything in it may have been done before, by a worker that died.
    async fn handle(&self, claim: &Claim) -> Result<Ended, JobError> {
        let now = (self.settings.clock)();
        match self.admit(claim, now).await? {
            Admission::GoesOn => {}
            Admission::Closed(reason) => return Ok(Ended::Undone(reason)),
            Admission::Moved(to) => {
                self.follow(claim, &to).await?;
                return Ok(Ended::Undone(format!("the repository is `{}` now; the work goes on there", to.name)));
            }
        }
        let Work { notes, comments, judge, spread } = coalesce(&claim.jobs);
        for note in &notes {
            self.remember(note, now).await?;
        }
        for comment in &comments {
            boxed(|| self.answer(comment, now)).await?;
        }
        for event in &spread {
            self.spread(event, now).await?;
        }
        if let Some(judge) = judge {
            boxed(|| self.judge(&judge, now)).await?;
        }
        Ok(Ended::Done)
    }

    async fn keep_sweeping(&self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let lines = lines_of(&ulid::Ulid::generate().to_string(), "sweep");
            let swept = async {
                if let Err(error) = self.sweep(Utc::now()).await {
                    tracing::warn!(error = chain(&error), "the sweep failed");
                }
            };
            swept.instrument(lines).await;
            loop {
                tokio::select! {
                    _ = shutdown.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(self.settings.sweep_interval) => {}
                }
                // Of several workers one looks.
                let pause = chrono::Duration::from_std(self.settings.sweep_interval).unwrap_or_default();
                match self.store.take_pass("sweep", pause * 9 / 10).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(error = chain(&error), "the store failed; trying again"),
                }
            }
        }
    }
}

/// What the log lines of a claim have in common: the delivery that it works last, or the job where none arrived.
fn correlation(claim: &Claim) -> &str {
    claim.jobs.last().map_or(&claim.key, |job| job.delivery.as_ref().map_or(job.id.as_str(), DeliveryId::as_str))
}

/// Keeps a claim alive; ends only when it is lost.
async fn keep_alive(store: Store, claim: Claim) {
    loop {
        tokio::time::sleep(claim.lease() / 3).await;
        match store.heartbeat(&claim).await {
            Ok(()) => {}
            Err(StoreError::LostClaim) => return,
            Err(error) => tracing::warn!(error = chain(&error), "a heartbeat failed"),
        }
    }
}

/// The jobs of a claim that are to be done again after a wait. Once a pull request was judged, what its events alone told is
/// remembered, and the newest delivery asks for another look as well as all do.
fn again<'a>(jobs: &'a [Job], error: &JobError) -> &'a [Job] {
    let looks = jobs.iter().all(|job| matches!(job.event, Event::PullRequest { .. } | Event::Review { .. }));
    if !looks || !matches!(error, JobError::Later { .. }) {
        return jobs;
    }
    let newest = jobs.iter().rev().find(|job| job.delivery.is_some()).or(jobs.last());
    newest.map_or(&[], std::slice::from_ref)
}

/// When to look again at what only waits: for its turn, or for GitHub, whose limits are nobody's failure.
fn waits(error: &JobError) -> Option<(DateTime<Utc>, String)> {
    match error {
        JobError::Later { at, reason } => Some((*at, reason.clone())),
        JobError::Github(limited @ GithubError::RateLimited { until }) => Some((*until, limited.to_string())),
        JobError::Github(_) | JobError::Git(_) | JobError::Store(_) | JobError::Run(_) | JobError::Internal(_) => None,
    }
}

/// Makes a piece of work on the heap: built in the frame of whoever waits for it, each would take its size from the stack
/// of all below.
pub(super) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// An error with its causes, without secrets.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    crate::redact::text(&text)
}

/// When to look again at something that waits for its turn.
pub(super) fn soon(now: DateTime<Utc>) -> DateTime<Utc> {
    now + chrono::Duration::seconds(10)
}
