//! The story of INTERFACE 7.1.

mod markdown;
