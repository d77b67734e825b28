//! `godwit demo`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{Exit, Format, Global};
use crate::demo::{DemoError, DemoOptions};

/// Arguments of `godwit demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit demo                    the story, told on the terminal
  godwit demo --format json      one closing object for scripts
  godwit demo --serve            the pull request as a page to click through")]
pub struct Args {
    /// Serve the pull request as a web page: review as different people, merge, watch the run
    #[arg(long)]
    serve: bool,
    /// Port of the page (default: any free one)
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Keep repository, store and databases in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Plays the demo; exit code 0 only when everything happened as it must.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let json = global.format == Format::Json;
    let options = DemoOptions { serve: args.serve, port: args.port, keep: args.keep, json, quiet: global.quiet };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(super::STACK)
        .build()
        .context("no threads")?;
    match runtime.block_on(crate::demo::run(&options)) {
        Ok(Some(closing)) => {
            if json {
                anstream::println!("{}", serde_json::to_string(&closing)?);
            }
            Ok(Exit::Done)
        }
        Ok(None) => Ok(Exit::Done),
        Err(error @ (DemoError::NotAsItMust(_) | DemoError::Waited { .. })) => {
            anstream::eprintln!("error: {error}");
            Ok(Exit::Failed)
        }
        Err(error) => Err(error).context("the demo could not be played"),
    }
}
