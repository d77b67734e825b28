//! One suite for every driver.

mod conformance;
mod elasticsearch;
mod mongodb;
mod redis;
mod rights;
