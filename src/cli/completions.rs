//! `godwit completions SHELL`.

use clap::CommandFactory as _;

use super::{Cli, Exit, Global, print};

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
    // An example of a URL in it is no secret.
    print::plainly(&script)?;
    Ok(Exit::Done)
}
