//! `godwit completions SHELL`.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::{Cli, Exit, Global};

/// Arguments of `godwit completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit completions bash > /etc/bash_completion.d/godwit
  godwit completions zsh > ~/.zfunc/_godwit")]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Writes the completion script to standard output.
pub fn run(_global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "godwit", &mut script);
    // As it is: an example of a URL in it is no secret. A reader that went away is no error.
    match std::io::stdout().write_all(&script) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(Exit::Done),
    }
}
