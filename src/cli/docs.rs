//! `godwit docs`: a page about each migration [S1-11] [S2-139].

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::pending::may_write;
use super::{Exit, Format, Global, lint, print};
use crate::report::page::{MARK, pages};

/// Arguments of `godwit docs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit docs
  godwit docs --out site/migrations
  godwit docs --check            # in CI: are the pages those of the files?")]
pub struct Args {
    /// Folders of migrations (default: the folders that `godwit.yml` names)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder of pages
    #[arg(long, value_name = "DIR", default_value = "docs/migrations")]
    out: PathBuf,
    /// Write nothing; exit 1 where a page is missing or is not what would be written
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// A page that people wrote in the way, and a folder that cannot be written.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let (report, set) = lint::plainly(global, &args.paths, lint::Against::Nothing)?;
    let out = global.repo.join(&args.out);
    let all = pages(&set, &report);
    let mut stale = Vec::new();
    for (path, text) in &all {
        let file = out.join(path);
        may_write(&file, MARK)?;
        if std::fs::read_to_string(&file).is_ok_and(|there| there == *text) {
            continue;
        }
        stale.push(path.as_str());
    }
    if !args.check {
        for (path, text) in all.iter().filter(|(path, _)| stale.contains(&path.as_str())) {
            let file = out.join(path);
            let cannot = || format!("cannot write `{}`", file.display());
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).with_context(cannot)?;
            }
            std::fs::write(&file, text).with_context(cannot)?;
        }
    }
    let word = if args.check { "stale" } else { "written" };
    if global.format == Format::Json {
        print::json(&json!({ "folder": args.out, "pages": all.len(), word: stale }))?;
    } else if !global.quiet {
        let mut text: String =
            stale.iter().map(|path| format!("{word}  {}\n", args.out.join(path).display())).collect();
        text.push_str(&format!("{}, {} {word}\n", crate::report::count(all.len(), "page"), stale.len()));
        print::text(&text)?;
    }
    Ok(if args.check && !stale.is_empty() { Exit::Failed } else { Exit::Done })
}
