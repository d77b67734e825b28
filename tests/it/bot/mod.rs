//! The bot as people meet it on GitHub.

mod asking;
mod colliding;
mod commands;
mod entered;
mod explaining;
mod failures;
mod killed;
mod ledger;
mod mending;
mod merging;
mod orders;
mod postgres;
pub mod process;
mod promoting;
mod reviewing;
mod rollbacks;
mod stopping;
mod trust;
pub mod world;
