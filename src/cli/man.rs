//! `godwit man`: the manual's pages, made from the same words as `--help`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::exit::Failure;
use super::{Cli, Exit, Global, print};

/// Arguments of `godwit man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit man | man -l -                       # the page of the program itself
  godwit man apply | man -l -
  godwit man --out /usr/local/share/man/man1  # all of them")]
pub struct Args {
    /// The page of this command
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A command that is not there; a folder that cannot be written.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut cli = Cli::command();
    cli.build();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
        let mut names = Vec::new();
        write_all(&cli, out, "godwit", &mut names).with_context(|| format!("cannot write into `{}`", out.display()))?;
        if !global.quiet {
            anstream::eprintln!("{} written into {}", crate::report::count(names.len(), "page"), out.display());
        }
        return Ok(Exit::Done);
    }
    let (command, name) = match &args.command {
        None => (cli, "godwit".to_owned()),
        Some(word) => match cli.find_subcommand(word) {
            Some(found) => (found.clone(), format!("godwit-{}", found.get_name())),
            None => return Err(Failure::usage(format!("there is no command `{word}`; `godwit help` lists them"))),
        },
    };
    let mut page = Vec::new();
    render(&command, &name, &mut page)?;
    print::text(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

fn render(command: &clap::Command, name: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    let command =
        command.clone().name(name.to_owned()).bin_name(name.replacen('-', " ", 1)).version(env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command).manual("Godwit").source(concat!("godwit ", env!("CARGO_PKG_VERSION"))).render(out)
}

fn write_all(
    command: &clap::Command,
    folder: &std::path::Path,
    name: &str,
    names: &mut Vec<String>,
) -> std::io::Result<()> {
    let mut page = Vec::new();
    render(command, name, &mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    names.push(name.to_owned());
    for below in command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
        write_all(below, folder, &format!("{name}-{}", below.get_name()), names)?;
    }
    Ok(())
}
