//! The bot as people meet it on GitHub.

mod arriving;
mod asking;
mod checks;
mod commands;
mod deploying;
mod failures;
mod killed;
mod life;
mod limits;
mod mending;
mod merging;
mod postgres;
mod process;
mod reviewing;
mod world;
