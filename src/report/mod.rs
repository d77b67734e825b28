//! The only writer of words users see: decisions in, text out. Pure.
