//! How much a server and its replicas may have to do before batches and migrations wait for them [S4-90].

use std::time::{Duration, Instant};

use crate::config::MigrationSettings;

/// How busy a server may be, in percent of what it can take, unless somebody says otherwise.
const LOAD: u8 = 95;
/// How often a server is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one that has too much to do is left alone before it is asked again.
pub(crate) const REST: Duration = Duration::from_millis(500);

/// What a server and its replicas may be put to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How far a replica may be behind; none is waited for if not given.
    pub max_lag: Option<Duration>,
    /// How busy the server may be, in percent of what it can take; 95 if not given, and 100 is never too much.
    pub max_load: Option<u8>,
}

impl Limits {
    /// What an environment says.
    pub fn of(settings: &MigrationSettings) -> Self {
        Self { max_lag: settings.max_lag.map(Duration::from_secs), max_load: settings.max_load }
    }

    /// These, and what they leave open as `other` says.
    pub fn or(self, other: Self) -> Self {
        Self { max_lag: self.max_lag.or(other.max_lag), max_load: self.max_load.or(other.max_load) }
    }

    /// Whether somebody asked for it, so that the first migration waits, too.
    pub fn stated(&self) -> bool {
        self.max_lag.is_some() || self.max_load.is_some_and(|most| most < 100)
    }

    /// Whether the server need not be asked how busy it is.
    pub fn any_load(&self) -> bool {
        self.max_load.is_some_and(|most| most >= 100)
    }

    /// Why to wait for a server of whose `what` so many percent are in use, if one should.
    pub fn overloaded(&self, percent: f64, what: &str) -> Option<String> {
        let most = self.max_load.unwrap_or(LOAD);
        (most < 100 && percent > f64::from(most)).then(|| format!("more than {most} % of {what}"))
    }

    /// Why to wait for a replica that is so far behind, if one should.
    pub fn behind(&self, lag: Option<Duration>) -> Option<String> {
        let lag = lag.filter(|lag| self.max_lag.is_some_and(|most| *lag > most))?;
        Some(format!("a replica is {:.1} s behind", lag.as_secs_f64()))
    }
}

/// When a server was last asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked(Option<Instant>);

impl Looked {
    /// As if it had just been.
    pub fn now() -> Self {
        Self(Some(Instant::now()))
    }

    /// Whether it is time to ask again.
    pub fn is_due(&self) -> bool {
        self.0.is_none_or(|at| at.elapsed() >= LOOK_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_90_a_bound_itself_is_within_it_and_a_hundred_never_waits() {
        let of = |max_load| Limits { max_load, max_lag: Some(Duration::from_secs(2)) };
        assert_eq!(of(None).overloaded(95.0, "its tickets are in use"), None);
        let why = of(None).overloaded(95.1, "its tickets are in use");
        assert_eq!(why.as_deref(), Some("more than 95 % of its tickets are in use"));
        assert_eq!(of(Some(100)).overloaded(250.0, "its tickets are in use"), None);
        assert_eq!(of(None).behind(Some(Duration::from_secs(2))), None);
        assert_eq!(of(None).behind(Some(Duration::from_millis(2_500))).as_deref(), Some("a replica is 2.5 s behind"));
        assert_eq!(Limits::default().behind(Some(Duration::from_secs(900))), None);
    }
}
