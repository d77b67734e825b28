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
mod postgres;
mod process;
mod reviewing;
mod trust;
mod world;
