//! Who must agree: CODEOWNERS, the matrix, gates, the words about them, and `godwit policy`.

mod codeowners;
mod command;
mod evaluate;
mod properties;
mod snapshots;
mod world;
