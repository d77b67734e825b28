//! `godwit resume`.

use super::{Exit, Global};

/// Arguments of `godwit resume`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let _ = (global, args);
    Ok(Exit::Done)
}
