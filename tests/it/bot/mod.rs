//! The bot as people meet it on GitHub.

mod commands;
mod failures;
mod killed;
mod mending;
mod merging;
mod orders;
mod postgres;
pub mod process;
mod promoting;
mod redelivering;
mod reviewing;
mod rollbacks;
mod stopping;
pub mod world;
