//! The GitHub client and what arrives from GitHub, as domain values.

mod event;
pub mod webhook;

pub use event::{Event, Repository, Sender};
