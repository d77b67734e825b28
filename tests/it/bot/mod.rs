//! The bot as people meet it on GitHub.

mod arriving;
mod asking;
mod checks;
mod colliding;
mod commands;
mod deploying;
mod entered;
mod expiring;
mod explaining;
mod failures;
mod health;
mod killed;
mod ledger;
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
mod trust;
pub mod world;
