//! The `godwit` binary: reads the command line, runs it, ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use godwit::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
