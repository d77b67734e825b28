//! The program killed at every instrumented point, and what the next one makes of it.

mod matrix;
mod pooler;
pub mod takeover;
mod wire;
