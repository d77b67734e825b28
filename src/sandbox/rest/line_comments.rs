//! Reviews that the App writes, with comments on lines.

use super::super::http::Reply;
use super::super::people::happened;
use super::super::state::{Happening, LineComment, Review, ReviewVerdict};
use super::super::{pulls, shapes, webhooks};
use super::{Answer, Call, invalid};

const RESOURCE: &str = "PullRequestReview";

pub(super) fn list(call: &Call<'_>, name: &str, n: u64) -> Answer {
    let (_, part) = pulls::pull(call.world, name, n)?;
    call.page(part.line_comments.iter().map(|c| shapes::line_comment(call.world, name, n, c)).collect())
}

/// A review that only comments; GitHub takes all of its comments or none.
pub(super) fn review(call: &mut Call<'_>, name: &str, n: u64) -> Answer {
    if call.text(RESOURCE, "event")? != "COMMENT" {
        return Err(invalid(RESOURCE, "event", "this stand-in's App may only comment"));
    }
    let body = call.text(RESOURCE, "body")?;
    let (id, now, author) = (call.world.new_id(), call.world.now(), call.bot());
    let (_, part) = pulls::pull(call.world, name, n)?;
    let head = part.head_sha.clone();
    let commit = call.optional("commit_id").unwrap_or_else(|| head.clone());
    let (_, files) = pulls::contents(call.repo(name)?, part)?;
    let mut comments = Vec::new();
    for given in call.body["comments"].as_array().cloned().unwrap_or_default() {
        let text = |field: &str| given[field].as_str().map(str::to_owned);
        let path = text("path").ok_or_else(|| invalid(RESOURCE, "path", "path is missing"))?;
        let words = text("body").ok_or_else(|| invalid(RESOURCE, "body", "body is missing"))?;
        let line = given["line"].as_u64().ok_or_else(|| invalid(RESOURCE, "line", "line is missing"))?;
        let start_line = given["start_line"].as_u64();
        let file = files.iter().find(|f| f.path == path);
        let patch = file.and_then(|f| f.patch.as_deref()).unwrap_or_default();
        let hunk = hunk_with(patch, start_line.unwrap_or(line), line)
            .ok_or_else(|| invalid(RESOURCE, "line", "pull_request_review_thread.line must be part of the diff"))?;
        comments.push(LineComment {
            id: 0,
            review: id,
            author: author.clone(),
            path,
            start_line,
            line,
            body: words,
            commit: commit.clone(),
            hunk,
            created_at: now,
        });
    }
    for comment in &mut comments {
        comment.id = call.world.new_id();
    }
    let part = pulls::pull_mut(call.world, name, n)?;
    part.line_comments.extend(comments);
    part.reviews.push(Review {
        id,
        author: author.clone(),
        verdict: ReviewVerdict::Comment,
        body,
        commit,
        submitted_at: now,
        dismissal: None,
    });
    happened(call.world, name, n, &author, Happening::Reviewed { review: id })?;
    webhooks::review(call.world, name, n, id, "submitted", &author);
    Ok(Reply::json(200, shapes::review(call.world, name, n, id)))
}

/// The hunk of a patch that shows these lines of the file as it is after the change.
fn hunk_with(patch: &str, first: u64, last: u64) -> Option<String> {
    let mut hunks: Vec<Vec<&str>> = Vec::new();
    for line in patch.lines() {
        match hunks.last_mut() {
            _ if line.starts_with("@@") => hunks.push(vec![line]),
            Some(hunk) => hunk.push(line),
            None => {}
        }
    }
    let found = hunks.into_iter().find(|hunk| {
        let start: Option<u64> = hunk
            .first()
            .and_then(|head| head.split('+').nth(1))
            .and_then(|new| new.split([',', ' ']).next())
            .and_then(|start| start.parse().ok());
        let shown = hunk.iter().skip(1).filter(|l| l.starts_with(['+', ' '])).count() as u64;
        start.is_some_and(|start| start <= first && first <= last && last < start + shown)
    })?;
    Some(found.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::hunk_with;

    #[test]
    fn a_line_is_part_of_the_diff_when_a_hunk_shows_it() {
        let patch = "@@ -1,2 +1,3 @@\n a\n+b\n c\n@@ -10 +11,2 @@\n-x\n+y\n+z";
        for (first, last, shown) in
            [(1, 1, true), (1, 3, true), (3, 4, false), (11, 12, true), (13, 13, false), (2, 1, false)]
        {
            assert_eq!(hunk_with(patch, first, last).is_some(), shown, "{first}-{last}");
        }
    }
}
