//! The parts of a pull request's page as HTML.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::snapshots::latest_checks;
use super::super::state::{CheckRun, Happening, Issue, Permission, PullPart, Repo, ReviewVerdict, TimelineItem, World};
use super::super::{pulls, shapes};
use super::diff;
use super::markdown::{self, escape};

/// What the page needs to show itself, ready to be sent.
pub(super) fn parts(world: &World, name: &str, number: u64) -> Option<Value> {
    let repo = world.repo(name)?;
    let issue = repo.issues.get(&number)?;
    let part = issue.pull.as_ref()?;
    let (commits, files) = pulls::contents(repo, part).unwrap_or_default();
    let checks = latest_checks(repo, &part.head_sha);
    let people: Vec<Value> = world
        .users
        .values()
        .filter(|u| !u.bot)
        .map(|u| {
            let held = world.permission(repo, &u.login);
            let author = if u.login.eq_ignore_ascii_case(&issue.author) { ", author" } else { "" };
            json!({ "login": u.login, "label": format!("{} ({}{author})", u.login, teams(world, repo, &u.login, held)) })
        })
        .collect();
    let buttons: Vec<Value> = world
        .buttons
        .iter()
        .enumerate()
        .filter(|(_, b)| b.repo.eq_ignore_ascii_case(name) && b.number == number)
        .map(|(index, b)| json!({ "index": index, "label": b.label }))
        .collect();
    let commit_rows: String = commits
        .iter()
        .map(|c| {
            let title = c.message.lines().next().unwrap_or_default();
            let author = world.login_of_email(&c.author.email).unwrap_or(&c.author.email);
            format!(
                "<li><code>{}</code> {} <span class=\"muted\">{}</span></li>",
                &c.sha[..7],
                escape(title),
                escape(author)
            )
        })
        .collect();
    Some(json!({
        "version": world.version,
        "state": state(issue, part),
        "open": issue.open,
        "people": people,
        "buttons": buttons,
        "counts": {
            "conversation": issue.comments.len() + part.reviews.len(),
            "commits": commits.len(), "checks": checks.len(), "files": files.len(),
        },
        "html": {
            "head": head(issue, part, commits.len()),
            "conversation": conversation(world, repo, issue, part, &checks),
            "commits": format!("<ul class=\"plain box\">{commit_rows}</ul>"),
            "checks": check_list(&checks),
            "files": diff::render(&files, &checks),
            "side": side(world, repo, issue, part),
        },
    }))
}

fn teams(world: &World, repo: &Repo, login: &str, held: Permission) -> String {
    let org = world.orgs.get(&repo.owner().to_lowercase());
    let of: Vec<&str> = org
        .into_iter()
        .flat_map(|o| o.teams.values().filter(|t| world.in_team(o, &t.slug, login) == Some(true)))
        .map(|t| t.slug.as_str())
        .collect();
    if of.is_empty() { held.role_name().to_owned() } else { of.join(", ") }
}

fn state(issue: &Issue, part: &PullPart) -> &'static str {
    match (&part.merged, issue.open, part.draft) {
        (Some(_), _, _) => "merged",
        (None, false, _) => "closed",
        (None, true, true) => "draft",
        (None, true, false) => "open",
    }
}

fn time(at: DateTime<Utc>) -> String {
    format!("<time datetime=\"{}\">{}</time>", shapes::time(at), at.format("%H:%M:%S UTC"))
}

fn head(issue: &Issue, part: &PullPart, commits: usize) -> String {
    let state = state(issue, part);
    let verb = if part.merged.is_some() { "merged" } else { "wants to merge" };
    let who = part.merged.as_ref().map_or(issue.author.as_str(), |m| m.by.as_str());
    let plural = if commits == 1 { "commit" } else { "commits" };
    format!(
        "<h1>{} <span class=\"muted\">#{}</span></h1><p><span class=\"state {state}\">{state}</span> <b>{}</b> {verb} \
         {commits} {plural} into <code>{}</code> from <code>{}</code></p>",
        escape(&issue.title),
        issue.number,
        escape(who),
        escape(&part.base_ref),
        escape(&part.head_ref)
    )
}

fn avatar(login: &str) -> String {
    let hue = login.bytes().fold(7u32, |h, b| (h * 31 + u32::from(b)) % 360);
    let letter: String = login.chars().take(1).flat_map(char::to_uppercase).collect();
    let class = if login.ends_with("[bot]") { "avatar bot" } else { "avatar" };
    format!("<span class=\"{class}\" style=\"--hue:{hue}\" aria-hidden=\"true\">{}</span>", escape(&letter))
}

/// A box with who, when and what; `anchor` is what links point to.
fn card(anchor: &str, login: &str, note: &str, body: &str) -> String {
    let badge = if login.ends_with("[bot]") { "<span class=\"badge\">bot</span>" } else { "" };
    format!(
        "<article class=\"card\" id=\"{anchor}\">{}<div class=\"bubble\"><header><b>{}</b>{badge} <span class=\"muted\">{note}</span></header>\
         <div class=\"md\">{body}</div></div></article>",
        avatar(login),
        escape(login.trim_end_matches("[bot]"))
    )
}

fn conversation(world: &World, repo: &Repo, issue: &Issue, part: &PullPart, checks: &[&CheckRun]) -> String {
    let opening = issue.body.as_deref().map_or("<p class=\"muted\">No description.</p>".to_owned(), markdown::render);
    let mut out = card("opening", &issue.author, &format!("opened {}", time(issue.created_at)), &opening);
    for item in &issue.timeline {
        out.push_str(&happening(repo, issue, part, item));
    }
    out.push_str(&merge_box(world, repo, issue, part, checks));
    out
}

fn line(icon: &str, item: &TimelineItem, text: &str) -> String {
    format!(
        "<p class=\"line\"><span class=\"icon\" aria-hidden=\"true\">{icon}</span> <b>{}</b> {text} <span class=\"muted\">{}</span></p>",
        escape(&item.actor),
        time(item.at)
    )
}

fn happening(repo: &Repo, issue: &Issue, part: &PullPart, item: &TimelineItem) -> String {
    let short = |sha: &str| format!("<code>{}</code>", escape(sha.get(..7).unwrap_or(sha)));
    match &item.what {
        Happening::Committed { sha } => line("●", item, &format!("pushed {}", short(sha))),
        Happening::HeadRefForcePushed { sha } => line("↺", item, &format!("force-pushed to {}", short(sha))),
        Happening::Commented { comment } => {
            let Some(comment) = issue.comments.iter().find(|c| c.id == *comment) else { return String::new() };
            let edited = if comment.updated_at > comment.created_at { ", edited" } else { "" };
            let mut body = markdown::render(&comment.body);
            if !comment.reactions.is_empty() {
                let given: String = comment.reactions.iter().map(|(_, who, what)| reaction(who, what)).collect();
                body.push_str(&format!("<p class=\"reactions\">{given}</p>"));
            }
            if let Some(why) = &comment.minimized {
                let why = escape(&why.to_lowercase());
                body = format!("<details><summary class=\"muted\">hidden as {why}</summary>{body}</details>");
            }
            card(
                &format!("issuecomment-{}", comment.id),
                &comment.author,
                &format!("commented {}{edited}", time(comment.created_at)),
                &body,
            )
        }
        Happening::Reviewed { review } => {
            let Some(review) = part.reviews.iter().find(|r| r.id == *review) else { return String::new() };
            let (class, icon, text) = match review.verdict {
                ReviewVerdict::Approve => ("good", "✓", "approved these changes"),
                ReviewVerdict::RequestChanges => ("bad", "✗", "requested changes"),
                ReviewVerdict::Comment => ("", "◌", "reviewed"),
                ReviewVerdict::Dismissed => ("muted", "–", "reviewed (dismissed)"),
            };
            let mut out = line(&format!("<span class=\"{class}\">{icon}</span>"), item, text);
            if !review.body.is_empty() {
                out.push_str(&card(
                    &format!("pullrequestreview-{}", review.id),
                    &review.author,
                    "in the review",
                    &markdown::render(&review.body),
                ));
            }
            for comment in part.line_comments.iter().filter(|c| c.review == review.id) {
                let place = format!("on <code>{}:{}</code>", escape(&comment.path), comment.line);
                let id = format!("discussion_r{}", comment.id);
                out.push_str(&card(&id, &comment.author, &place, &markdown::render(&comment.body)));
            }
            out
        }
        Happening::ReviewDismissed { message, .. } => {
            line("–", item, &format!("dismissed a review: {}", escape(message)))
        }
        Happening::Labeled { label } => line("⬡", item, &format!("added {}", label_chip(repo, label))),
        Happening::Unlabeled { label } => line("⬡", item, &format!("removed {}", label_chip(repo, label))),
        Happening::Renamed { to, .. } => line("✎", item, &format!("changed the title to <b>{}</b>", escape(to))),
        Happening::Closed if part.merged.is_some() => String::new(),
        Happening::Closed => line("⊘", item, "closed this"),
        Happening::Reopened => line("○", item, "reopened this"),
        Happening::Merged { sha } => line(
            "<span class=\"merged-icon\">⑂</span>",
            item,
            &format!("merged as {} into <code>{}</code>", short(sha), escape(&part.base_ref)),
        ),
        Happening::BaseRefChanged => {
            line("⇄", item, &format!("changed the base to <code>{}</code>", escape(&part.base_ref)))
        }
        Happening::ReadyForReview => line("○", item, "marked this as ready for review"),
        Happening::ConvertToDraft => line("◌", item, "made this a draft"),
    }
}

fn reaction(who: &str, what: &str) -> String {
    let sign = match what {
        "+1" => "👍",
        "-1" => "👎",
        "laugh" => "😄",
        "hooray" => "🎉",
        "confused" => "😕",
        "heart" => "❤️",
        "rocket" => "🚀",
        "eyes" => "👀",
        _ => "·",
    };
    format!("<span class=\"reaction\" title=\"{}\">{sign} 1</span>", escape(who))
}

fn label_chip(repo: &Repo, name: &str) -> String {
    let color = repo.labels.iter().find(|l| l.name == name).map_or("ededed", |l| l.color.as_str());
    format!("<span class=\"label\" style=\"--c:#{}\">{}</span>", escape(color), escape(name))
}

fn mark(check: &CheckRun) -> (&'static str, &'static str) {
    match check.conclusion.as_deref() {
        Some("success") => ("good", "✓"),
        Some("neutral" | "skipped") => ("muted", "–"),
        Some("action_required") => ("wait", "!"),
        Some(_) => ("bad", "✗"),
        None => ("wait", "●"),
    }
}

fn merge_box(world: &World, repo: &Repo, issue: &Issue, part: &PullPart, checks: &[&CheckRun]) -> String {
    if !issue.open {
        return String::new();
    }
    let rows: String = checks
        .iter()
        .map(|c| {
            let (class, sign) = mark(c);
            let title = escape(c.title.as_deref().unwrap_or(&c.status));
            format!(
                "<li><span class=\"{class}\">{sign}</span> <b>{}</b> <span class=\"muted\">{title}</span></li>",
                escape(&c.name)
            )
        })
        .collect();
    let required: Vec<&str> = repo
        .rules
        .get(&part.base_ref)
        .into_iter()
        .flatten()
        .filter_map(|r| r.pointer("/parameters/required_status_checks")?.as_array())
        .flatten()
        .filter_map(|c| c["context"].as_str())
        .collect();
    let missing = pulls::missing_checks(repo, &part.base_ref, &part.head_sha, &world.app.slug);
    let (class, text) = if part.draft {
        ("muted", "This is a draft.".to_owned())
    } else if missing.is_empty() {
        ("good", "Ready to be merged.".to_owned())
    } else {
        ("wait", format!("Merging is blocked: {} of {} required checks missing.", missing.len(), required.len()))
    };
    let empty = if rows.is_empty() { "<li class=\"muted\">No checks yet.</li>" } else { "" };
    format!(
        "<section class=\"box merge\"><p class=\"{class}\"><b>{text}</b></p><ul class=\"plain\">{rows}{empty}</ul></section>"
    )
}

fn check_list(checks: &[&CheckRun]) -> String {
    let mut out = String::new();
    for check in checks {
        let (class, sign) = mark(check);
        let notes: String = check.annotations.iter().map(diff::annotation).collect();
        let summary = check.summary.as_deref().map(markdown::render).unwrap_or_default();
        let text = check.text.as_deref().map(markdown::render).unwrap_or_default();
        out.push_str(&format!(
            "<details class=\"box\" open><summary><span class=\"{class}\">{sign}</span> <b>{}</b> {} <span class=\"muted\">{}</span>\
             </summary><div class=\"md\">{summary}{text}</div>{notes}</details>",
            escape(&check.name),
            escape(check.title.as_deref().unwrap_or_default()),
            escape(check.conclusion.as_deref().unwrap_or(&check.status)),
        ));
    }
    if out.is_empty() { "<p class=\"muted\">No checks yet.</p>".to_owned() } else { out }
}

fn side(world: &World, repo: &Repo, issue: &Issue, part: &PullPart) -> String {
    let mut reviewers: Vec<(&str, &'static str, &'static str)> = Vec::new();
    for review in part.reviews.iter().rev() {
        let (class, sign) = match review.verdict {
            ReviewVerdict::Approve => ("good", "✓"),
            ReviewVerdict::RequestChanges => ("bad", "✗"),
            ReviewVerdict::Dismissed => ("muted", "–"),
            ReviewVerdict::Comment => continue,
        };
        if !reviewers.iter().any(|(who, _, _)| *who == review.author) {
            reviewers.push((&review.author, class, sign));
        }
    }
    let none =
        |items: String, text: &str| if items.is_empty() { format!("<p class=\"muted\">{text}</p>") } else { items };
    let reviewers: String = reviewers
        .iter()
        .rev()
        .map(|(who, class, sign)| {
            format!("<p>{} {} <span class=\"{class}\">{sign}</span></p>", avatar(who), escape(who))
        })
        .collect();
    let labels: String = issue.labels.iter().map(|l| label_chip(repo, l)).collect();
    let mut latest = std::collections::BTreeMap::new();
    for deployment in &repo.deployments {
        let state = deployment.states.last().map_or("created", |s| s.state.as_str());
        latest.insert(deployment.environment.as_str(), (deployment.id, state));
    }
    let mut latest: Vec<_> = latest.into_iter().collect();
    latest.sort_by_key(|(_, (id, _))| *id);
    let deployments: String = latest
        .iter()
        .map(|(environment, (_, state))| {
            let class = match *state {
                "success" => "good",
                "failure" | "error" => "bad",
                _ => "wait",
            };
            format!("<p>{} <span class=\"{class}\">{}</span></p>", escape(environment), escape(state))
        })
        .collect();
    let open: usize = world.repos.values().map(|r| r.issues.values().filter(|i| i.pull.is_none()).count()).sum();
    let issues =
        if open > 0 { format!("<h3>Issues</h3><p><a href=\"/\">{open} opened</a></p>") } else { String::new() };
    format!(
        "<h3>Reviewers</h3>{}<h3>Labels</h3><div class=\"labels\">{}</div><h3>Deployments</h3>{}{issues}",
        none(reviewers, "No reviews"),
        none(labels, "None yet"),
        none(deployments, "None yet")
    )
}

/// The list of everything, for the root of the page.
pub(super) fn index(world: &World) -> String {
    let mut out = String::from("<h1>Pull requests</h1>");
    for repo in world.repos.values() {
        let rows: String = repo
            .issues
            .values()
            .rev()
            .map(|i| match &i.pull {
                Some(part) => format!(
                    "<li><span class=\"state {0}\">{0}</span> <a href=\"/{1}/pull/{2}\">{3}</a> <span class=\"muted\">#{2} by {4}</span></li>",
                    state(i, part), escape(&repo.full_name), i.number, escape(&i.title), escape(&i.author)
                ),
                None => format!(
                    "<li><details><summary>{} <span class=\"muted\">issue #{} by {}</span></summary><div class=\"md\">{}</div></details></li>",
                    escape(&i.title), i.number, escape(&i.author), markdown::render(i.body.as_deref().unwrap_or_default())
                ),
            })
            .collect();
        let rows = if rows.is_empty() { "<li class=\"muted\">Nothing here yet.</li>".to_owned() } else { rows };
        out.push_str(&format!("<h2>{}</h2><ul class=\"plain box\">{rows}</ul>", escape(&repo.full_name)));
    }
    out
}
