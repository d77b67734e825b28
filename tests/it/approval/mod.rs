//! Who must agree: CODEOWNERS, the matrix, gates, the words about them, and `godwit policy`.

mod codeowners;
mod evaluate;
mod properties;
mod world;
