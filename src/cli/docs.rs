//! `godwit docs`: a page about each migration [S1-11] [S2-139].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
  godwit docs --check            # in CI: are the pages those of the files?

A page that this command wrote about a migration that is gone is removed. Where PATH names folders it is left, and told: it
may be about another folder's.")]
pub struct Args {
    /// Folders of migrations (default: the folders that `godwit.yml` names)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder of pages
    #[arg(long, value_name = "DIR", default_value = "docs/migrations")]
    out: PathBuf,
    /// Write nothing; exit 1 where a page is missing, is not what would be written, or is about a migration that is gone
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
    let mut gone = Vec::new();
    written_below(&out, Path::new(""), &mut gone);
    let now: BTreeSet<&Path> = all.iter().map(|(path, _)| Path::new(path)).collect();
    gone.retain(|path| !now.contains(path.as_path()));
    let removes = args.paths.is_empty();
    if !args.check {
        for path in gone.iter().filter(|_| removes) {
            let file = out.join(path);
            std::fs::remove_file(&file).with_context(|| format!("cannot remove `{}`", file.display()))?;
        }
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
    let gone_word = if args.check || !removes { "gone" } else { "removed" };
    if global.format == Format::Json {
        print::json(&json!({ "folder": args.out, "pages": all.len(), word: stale, gone_word: gone }))?;
    } else if !global.quiet {
        let mut text: String =
            stale.iter().map(|path| format!("{word}  {}\n", args.out.join(path).display())).collect();
        for path in &gone {
            let path = args.out.join(path);
            text.push_str(&match gone_word {
                "removed" => format!("removed  {}\n", path.display()),
                _ => format!("gone  {}: no migration of these folders has this page\n", path.display()),
            });
        }
        text.push_str(&format!("{}, {} {word}\n", crate::report::count(all.len(), "page"), stale.len()));
        print::prose(&text)?;
    }
    Ok(if args.check && !(stale.is_empty() && (gone.is_empty() || !removes)) { Exit::Failed } else { Exit::Done })
}

/// The pages below a folder that this command wrote, by the mark with which each begins. Links are not followed.
fn written_below(out: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(out.join(below)).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            written_below(out, &path, found);
        } else if kind.is_file() && path.extension().is_some_and(|e| e == "md") {
            let is_ours = std::fs::read(entry.path()).is_ok_and(|text| text.starts_with(MARK.as_bytes()));
            if is_ours {
                found.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_with_the_mark_are_taken_for_written_here() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/0001_x.md"), format!("{MARK}\n\n# x\n")).unwrap();
        std::fs::write(dir.path().join("a/by_hand.md"), format!("# mine\n\n{MARK}\n")).unwrap();
        std::fs::write(dir.path().join("a/0002_y.txt"), MARK).unwrap();
        let mut found = Vec::new();
        written_below(dir.path(), Path::new(""), &mut found);
        assert_eq!(found, [PathBuf::from("a/b/0001_x.md")]);
        written_below(&dir.path().join("nowhere"), Path::new(""), &mut found);
        assert_eq!(found.len(), 1);
    }
}
