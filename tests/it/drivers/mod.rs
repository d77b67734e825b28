//! One suite for every driver.

mod conformance;
mod redis;
mod mongodb;
