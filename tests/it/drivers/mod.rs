//! One suite for every driver.

mod conformance;
mod elasticsearch;
mod mongodb;
mod mongodb_new_collections;
pub mod redis;
mod rights;
mod tls;
