//! The only writer of words users see: decisions in, text out. Pure.

#[cfg(feature = "sqlite")]
pub mod audit;
