//! One suite for every driver.

mod conformance;
mod elasticsearch;
mod mongodb;
mod mongodb_new_collections;
mod old_servers;
pub mod redis;
mod rights;
mod tls;
