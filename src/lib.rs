//! Godwit: database migrations without downtime, reviewed and carried out from a pull request.
//!
//! The pure core decides; the outer modules read the world before and act on it afterwards. A module may use those
//! listed above it. `docs/ARCHITECTURE.md` is the map, and `cargo check --lib --no-default-features` proves that
//! nothing in the pure rows touches a database, a socket or a repository.
//!
//! | row | modules |
//! |---|---|
//! | words | [`ids`] |
//! | input | [`config`], [`migration`] |
//! | decisions | [`lint`], [`risk`], [`approval`], [`plan`] |
//! | words for people | [`report`] |
//! | neighbours | `store`, `drivers`, `backup`, `judge`, `git`, `github` |
//! | acting | `runner`, `bot` |
//! | entrances | `server`, `cli`, `demo` (with its `sandbox`) |

pub mod approval;
pub mod config;
pub mod ids;
pub mod lint;
pub mod migration;
pub mod plan;
pub mod redact;
pub mod report;
pub mod risk;

#[cfg(feature = "sqlite")]
pub mod backup;
#[cfg(feature = "sqlite")]
pub mod drivers;
#[cfg(feature = "sqlite")]
pub mod judge;
#[cfg(feature = "sqlite")]
pub mod runner;
#[cfg(feature = "sqlite")]
pub mod store;

#[cfg(feature = "bot")]
pub mod bot;
#[cfg(feature = "bot")]
pub mod git;
#[cfg(feature = "bot")]
pub mod github;
#[cfg(feature = "bot")]
pub mod server;

#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "demo")]
pub mod sandbox;

#[cfg(feature = "sqlite")]
pub mod cli;
