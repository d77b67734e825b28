//! The only writer of words users see: decisions in, text out. Pure.

pub mod lint_github;
pub mod lint_markdown;
pub mod lint_text;
pub mod sarif;
