//! The bot as people meet it on GitHub.

mod arriving;
mod asking;
mod checks;
mod commands;
mod deploying;
mod failures;
mod health;
mod killed;
mod life;
mod limits;
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
