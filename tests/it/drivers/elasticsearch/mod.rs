//! Elasticsearch, on a real server.

mod faults;
mod kill;
mod operations;
mod session;
mod wire;
