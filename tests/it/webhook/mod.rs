//! Deliveries over real sockets: what is refused, what is kept, what survives.

mod examples;
pub mod http;
mod process;
mod refusals;
