//! Options that bound a run: how long it waits, how long batches go on, what a person accepts.

use std::time::Duration;

use crate::plan::planner::OutOfOrder;
use crate::runner::{ApplyOptions, Pace};

/// Bounds and rules of a run.
#[derive(Debug, clap::Args)]
pub struct Bounds {
    /// What to do with a migration whose version is lower than an applied one: `error`, `apply` or `ignore`
    #[arg(long, value_name = "WHAT", default_value = "error", value_parser = out_of_order)]
    out_of_order: OutOfOrder,
    /// Bound on the whole run
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long to wait for another run on the same database
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lock_wait: Option<Duration>,
    /// How long a statement may wait for a lock of the database, and hold up others behind it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lock_timeout: Option<Duration>,
    /// How long a step that could not get a lock is tried again
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    retry_for: Option<Duration>,
    /// How long a lock outlives its holder on MongoDB, Redis and Elasticsearch (default 30)
    #[arg(long, value_name = "SECONDS", value_parser = lease)]
    lease: Option<Duration>,
    /// Rows, documents or keys in a batch, where the migration does not say
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// A rest between two batches
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pause: Option<Duration>,
    /// Wait between batches while a replica is further behind than this
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_lag: Option<Duration>,
    /// Go on where data would be lost
    #[arg(long)]
    accept_data_loss: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as `30` or `0.5`".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "give seconds, such as `30` or `0.5`".to_owned())
}

/// A lease must leave room for its heartbeat.
fn lease(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        lease if lease >= Duration::from_secs(1) => Ok(lease),
        _ => Err("a lease is one second at least".to_owned()),
    }
}

fn out_of_order(text: &str) -> Result<OutOfOrder, String> {
    match text {
        "error" => Ok(OutOfOrder::Error),
        "apply" => Ok(OutOfOrder::Apply),
        "ignore" => Ok(OutOfOrder::Ignore),
        _ => Err("`error`, `apply` or `ignore`".to_owned()),
    }
}

impl Bounds {
    /// A run's options with these bounds; `timeout` is the environment's own.
    pub fn options(&self, timeout: Option<Duration>) -> ApplyOptions {
        ApplyOptions {
            timeout: self.timeout.or(timeout),
            out_of_order: self.out_of_order,
            lock_wait: self.lock_wait,
            lock_timeout: self.lock_timeout,
            retry_for: self.retry_for,
            lease: self.lease,
            accept_data_loss: self.accept_data_loss,
            pace: Pace {
                batch_size: self.batch_size,
                pause: self.pause.unwrap_or_default(),
                max_lag: self.max_lag,
                ..Pace::default()
            },
            ..ApplyOptions::default()
        }
    }
}
