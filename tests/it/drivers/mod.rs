//! One suite for every driver.

mod conformance;
mod elasticsearch;
mod mongodb;
pub mod redis;
mod rights;
mod tls;
