//! The program disturbed at every instrumented point, and what the next one makes of it.

mod across;
mod back;
mod cell;
mod faster;
mod matrix;
mod pooler;
pub mod proxy;
mod random;
mod report;
mod several;
pub mod steps;
pub mod takeover;
mod unread;
mod wire;
