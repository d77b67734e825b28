//! `godwit lint --fix`: writes the rewrites that hold into the files.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::Global;
use super::lint::Looked;
use crate::lint::Violation;
use crate::lint::fix::{Tried, tried};

/// Which files may be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Whatever was looked at: a base or a person says what is meant.
    All,
    /// Those that the last commit has not: what is committed may be applied somewhere.
    NotCommitted,
}

/// How often a file is rewritten at most: one rewrite may make room for the next.
pub(super) const MOST_ROUNDS: usize = 8;

/// What came of one round.
pub(super) struct Written {
    /// How many findings are gone.
    pub(super) mended: usize,
    /// What is to be said of the rewrites that were not done, where this was the last round.
    pub(super) left: Vec<String>,
}

/// Rewrites files. Rewrites that do not hold are given back with the reason, and those in files that are left alone are
/// counted.
///
/// # Errors
/// When a file cannot be read or written, or changed since it was looked at; files before it are written by then, which
/// the message says.
pub(super) fn write(global: &Global, looked: &Looked, which: Which) -> anyhow::Result<Written> {
    let Tried { fixed, left: not_holding } =
        tried(&looked.set, &looked.report, &looked.config, &looked.scope, looked.today);
    let (mut mended, mut left) = (0, 0);
    for file in &fixed {
        let path = global.repo.join(file.file);
        if which == Which::NotCommitted && is_committed(&path) {
            left += file.mended.len();
            continue;
        }
        let so_far = || format!("cannot rewrite `{}` ({mended} findings in files before it are mended)", file.file);
        let text = std::fs::read_to_string(&path).with_context(so_far)?;
        let after = file
            .apply(&text)
            .context("it changed while it was looked at; run `godwit lint --fix` again")
            .with_context(so_far)?;
        replace(&path, after.as_bytes()).with_context(so_far)?;
        for violation in file.mended.iter().filter(|_| !global.quiet) {
            let title = violation.fix.as_ref().map_or("", |f| f.title.as_str());
            anstream::eprintln!("fixed {}:{}: {} ({})", file.file, violation.line, title, violation.rule);
        }
        mended += file.mended.len();
    }
    let told = |(violation, why): &(&Violation, String)| {
        let title = violation.fix.as_ref().map_or("", |f| f.title.as_str());
        let Violation { file, line, rule, .. } = violation;
        format!("left {file}:{line}: {title} ({rule}): {why}")
    };
    let mut said: Vec<String> = not_holding.iter().filter(|_| !global.quiet).map(told).collect();
    if left > 0 {
        said.push(format!(
            "{} not written: their files are committed, and a migration that was applied must not change; say which are \
             new with `--base origin/main`, or name one file alone",
            if left == 1 { "1 rewrite is".to_owned() } else { format!("{left} rewrites are") }
        ));
    }
    Ok(Written { mended, left: said })
}

/// Whether git has the file already.
#[cfg(feature = "bot")]
fn is_committed(path: &Path) -> bool {
    super::changes::is_committed(path)
}

/// The same in a build that has no git in it: nothing is known.
#[cfg(not(feature = "bot"))]
fn is_committed(_: &Path) -> bool {
    false
}

/// Puts new bytes in the place of a file: a reader sees the old ones or the new ones, and its mode stays.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // What a link leads to is the file that is meant.
    let path = path.canonicalize()?;
    let folder = path.parent().context("a file lies in a folder")?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}
