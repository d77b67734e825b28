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
//! | entrances | `server`, `cli`, `manager`, `demo` (with its `sandbox`) |
//!
//! Other programs run migrations through [`MigrationManager`]:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use godwit::MigrationManager;
//! use godwit::plan::{MigrationState, Outcome};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path();
//! # std::fs::create_dir(path.join("sqlite"))?;
//! std::fs::write(path.join("sqlite/0001_orders.up.sql"), "CREATE TABLE orders (id INTEGER PRIMARY KEY);")?;
//! std::fs::write(path.join("sqlite/0001_orders.down.sql"), "DROP TABLE orders;")?;
//!
//! let manager = MigrationManager::new(path)
//!     .sqlite(format!("sqlite:{}", path.join("shop.db").display()))
//!     .store(format!("sqlite:{}", path.join("godwit.db").display()));
//!
//! let runtime = tokio::runtime::Runtime::new()?;
//! runtime.block_on(async {
//!     let report = manager.run_migrations("latest").await?;
//!     assert_eq!(report.outcome, Outcome::Applied);
//!
//!     let status = manager.get_migration_status().await?;
//!     assert_eq!(status[0].migrations[0].state, MigrationState::Applied);
//!     Ok(())
//! })
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```

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
#[cfg(feature = "sqlite")]
pub mod manager;

#[cfg(feature = "sqlite")]
pub use manager::MigrationManager;
