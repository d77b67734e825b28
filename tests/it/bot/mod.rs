//! The bot as people meet it on GitHub.

mod asking;
mod colliding;
mod commands;
mod failures;
mod killed;
mod ledger;
mod mending;
mod merging;
mod postgres;
mod process;
mod reviewing;
mod world;
