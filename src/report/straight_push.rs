//! The issue about migrations that reached a branch without a pull request.

use super::and;
use super::escape::{self, code};
use crate::ids::{CommitSha, Login};

/// Files named of one push.
const FILES: usize = 20;

/// First line of the issue about a branch.
pub fn marker(branch: &str) -> String {
    format!("<!-- godwit:push:{} -->", branch.replace("--", "- -").replace(['\n', '\r', '>'], " "))
}

/// Its title.
pub fn title(branch: &str) -> String {
    format!("Migrations were pushed straight to {}", branch.replace(['\n', '\r'], " "))
}

/// The text with one push; `owners` are mentioned, so that GitHub tells them.
pub fn text(branch: &str, environments: &[String], owners: &[String], entry: &str) -> String {
    let names: Vec<String> = environments.iter().map(|e| code(e)).collect();
    let owners = if owners.is_empty() { String::new() } else { format!("{}\n\n", owners.join(" ")) };
    let text = format!(
        "{}\n{owners}Migrations reached {} without a pull request, so nobody was asked and **nothing ran** in {}.\n\n\
         **What to do:** take them back and bring them in by a pull request; or, where the databases are to hold them \
         already, tell Godwit so with `godwit baseline`. Until then pull requests that come after them wait, since these \
         would have to run first.\n\n### Pushes\n\n{entry}",
        marker(branch),
        code(branch),
        and(&names)
    );
    escape::cut_at(&crate::redact::text(&text), escape::COMMENT_LIMIT, "_The rest is cut._")
}

/// A further push at the end of the text that stands there.
pub fn with(text: &str, entry: &str) -> String {
    escape::cut_at(&format!("{}\n{entry}", text.trim_end()), escape::COMMENT_LIMIT, "_Further pushes are left out._")
}

/// The line about one push.
pub fn entry(after: &CommitSha, by: &Login, paths: &[String]) -> String {
    let mut files: Vec<String> = paths.iter().take(FILES).map(|p| code(p)).collect();
    if paths.len() > FILES {
        files.push(format!("and {} more", paths.len() - FILES));
    }
    format!("- {} by {}: {}\n", code(after.as_str()), code(by.as_str()), files.join(", "))
}
