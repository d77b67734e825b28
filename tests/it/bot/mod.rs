//! The bot as people meet it on GitHub.

mod commands;
mod failures;
mod merging;
mod reviewing;
mod world;
