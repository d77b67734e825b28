//! The bot as people meet it on GitHub.

mod commands;
mod failures;
mod killed;
mod mending;
mod merging;
mod postgres;
pub mod process;
mod redelivering;
mod reviewing;
pub mod world;
