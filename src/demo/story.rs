//! The story itself: what people do on the stand-in, and what the bot is seen to do about it.

use std::path::Path;
use std::time::Duration;

use super::shop::{self, ENVIRONMENTS};
use super::teller::Teller;
use super::{Closing, DemoError, EnvironmentEnd};
use crate::ids::{EnvironmentName, PrNumber};
use crate::plan::Outcome;
use crate::sandbox::{CheckRunView, MergeMethod, NewPull, PullHandle, RepoHandle, ReviewVerdict, Sandbox};
use crate::store::Store;

const LINT: &str = "godwit / lint";
const APPROVAL: &str = "godwit / approval";
const SUMMARY: &str = "<!-- godwit:summary -->";
/// How long anything the bot does may take before the story gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the story needs to be told.
pub struct Stage<'a> {
    /// The stand-in.
    pub sandbox: &'a Sandbox,
    /// The shop's repository on it.
    pub repo: &'a RepoHandle,
    /// The server's store.
    pub store: &'a Store,
    /// The folder of the four databases.
    pub databases: &'a Path,
}

/// The pull request as `--serve` offers it: opened with its dangerous commit, the rest is the visitor's.
///
/// # Errors
/// When the stand-in refuses.
pub fn open(stage: &Stage<'_>) -> Result<PullHandle, DemoError> {
    let main = stage.repo.branch_sha("main")?;
    stage.repo.force_push(shop::BRANCH, shop::AUTHOR, &main, &[shop::dangerous_commit()])?;
    Ok(stage.repo.open_pull_request(&NewPull {
        author: shop::AUTHOR,
        title: "Give customers a status",
        body: "Marketing wants to see who is active. The phone number goes: nobody is called any more.",
        head: shop::BRANCH,
        base: "main",
        draft: false,
    })?)
}

/// Tells the whole story.
///
/// # Errors
/// When something did not happen as it must: the sentence says what was waited for.
pub async fn tell(stage: &Stage<'_>, teller: &mut Teller) -> Result<Closing, DemoError> {
    let mut closing = Closing::default();

    teller.chapter("A pull request comes in");
    let pull = open(stage)?;
    teller.person(shop::AUTHOR, &format!("opens #{} “Give customers a status”", pull.number()));
    teller.code(shop::UP_PATH, shop::DANGEROUS_UP);
    let lint = judged(&pull, LINT).await?;
    judged(&pull, APPROVAL).await?;
    tell_check(teller, &lint);
    for annotation in &lint.annotations {
        let word = |key: &str| annotation.get(key).and_then(serde_json::Value::as_str).unwrap_or("");
        let line = annotation.get("start_line").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let title = word("title");
        let message =
            if title.is_empty() { word("message").to_owned() } else { format!("{title}\n{}", word("message")) };
        teller.finding(&format!("{}:{line}", word("path")), word("annotation_level"), &message);
    }
    closing.lint_violations = lint.annotations.len();
    expect(lint.conclusion.as_deref() == Some("failure"), "the linter stops the dangerous migration")?;
    expect(closing.lint_violations > 0, "the findings stand on the lines of the file")?;

    teller.chapter("The author mends it");
    pull.push(shop::AUTHOR, &[shop::safer_commit()])?;
    teller.person(shop::AUTHOR, "pushes a safer form, with a way back");
    teller.code(shop::UP_PATH, shop::SAFER_UP);
    let lint = judged(&pull, LINT).await?;
    tell_check(teller, &lint);
    expect(lint.conclusion.as_deref() == Some("success"), "the linter lets the mended migration pass")?;
    let approval = judged(&pull, APPROVAL).await?;
    tell_check(teller, &approval);
    expect(approval.conclusion.as_deref() == Some("action_required"), "approvals are asked for")?;
    // The comment is edited after the checks; the one about the new head names it.
    let head = pull.head_sha()?;
    let summary = comment(&pull, SUMMARY, &head[..7]).await?;
    teller.comment(&summary.0, &summary.1);

    teller.chapter("The people whom the matrix names agree");
    let mut before = approval;
    for reviewer in &shop::REVIEWERS {
        teller.person(reviewer.login, &format!("({}) approves: “{}”", reviewer.post, reviewer.words));
        pull.review(reviewer.login, ReviewVerdict::Approve, reviewer.words)?;
        closing.approvals += 1;
        let after = await_some(&format!("`{APPROVAL}` after {}'s review", reviewer.login), || {
            let now = latest(&pull, APPROVAL)?;
            (now.status == "completed"
                && (&now.title, &now.summary, &now.text) != (&before.title, &before.summary, &before.text))
                .then_some(now)
        })
        .await?;
        tell_check(teller, &after);
        before = after;
    }
    expect(before.conclusion.as_deref() == Some("success"), "with the last of them the check turns green")?;

    teller.chapter("The merge starts the environments");
    pull.merge(shop::RELEASE_MANAGER, MergeMethod::Squash)?;
    teller.person(shop::RELEASE_MANAGER, "squashes and merges");
    for (name, _) in ENVIRONMENTS {
        let marker = format!("<!-- godwit:run:{name} -->");
        let label = format!("migrated:{name}");
        await_some(&format!("the label `{label}`"), || pull.view().ok()?.labels.contains(&label).then_some(())).await?;
        let (author, body) = comment(&pull, &marker, "").await?;
        let end = end_of_run(stage.store, name, &pull).await?;
        expect(end.outcome == Outcome::Applied.as_str(), &format!("the run in {name} ends as it must"))?;
        expect(body.contains("1 migration applied"), &format!("the comment about {name} says so"))?;
        let holds = holds_migration(&stage.databases.join(format!("{name}.db"))).await?;
        expect(holds, &format!("the database of {name} has the new column and its history row"))?;
        teller.good(&format!("{name} holds {}; its run is recorded as {}", shop::MIGRATION, end.outcome));
        // One result comment in full says it all; of the others what differs, what ran and how long it took.
        let whole = name == "production";
        teller.comment(&author, if whole { &body } else { opening(&body, "<details>") });
        closing.environments.push(end);
    }
    let (author, body) = comment(&pull, SUMMARY, "merged, applied in").await?;
    for (name, _) in ENVIRONMENTS {
        let row = format!("| ✅ | `{name}` | 1 migration applied");
        expect(body.contains(&row), &format!("the summary says that {name} has it"))?;
    }
    for past in ["ready to merge", "### On merge", "### Before the deployment"] {
        expect(!body.contains(past), &format!("the summary says `{past}` no more"))?;
    }
    teller.comment(&author, opening(&body, "### Migrations"));
    stage.sandbox.await_deliveries(PATIENCE).await?;
    closing.comments = pull.comments()?.len();
    Ok(closing)
}

/// The beginning of a comment.
fn opening<'a>(body: &'a str, part: &str) -> &'a str {
    body.split_once(part).map_or(body, |(first, _)| first)
}

/// How the pull request's run in an environment ended, as the server wrote it down.
async fn end_of_run(store: &Store, name: &str, pull: &PullHandle) -> Result<EnvironmentEnd, DemoError> {
    let missing = || DemoError::NotAsItMust(format!("the store knows how the run in {name} ended"));
    let environment = EnvironmentName::new(name).map_err(|_| missing())?;
    let runs = store.recent_runs(Some(&environment), 1).await?;
    let run = runs.into_iter().find(|r| r.pr == Some(PrNumber(pull.number()))).ok_or_else(missing)?;
    let took = run.finished_at.ok_or_else(missing)? - run.started_at;
    Ok(EnvironmentEnd {
        name: name.to_owned(),
        outcome: run.outcome.ok_or_else(missing)?,
        duration_ms: u64::try_from(took.num_milliseconds()).unwrap_or(0),
    })
}

fn tell_check(teller: &Teller, check: &CheckRunView) {
    teller.check(&check.name, check.conclusion.as_deref().unwrap_or("pending"), check.title.as_deref().unwrap_or(""));
}

fn expect(holds: bool, what: &str) -> Result<(), DemoError> {
    if holds { Ok(()) } else { Err(DemoError::NotAsItMust(what.to_owned())) }
}

/// The latest check run of that name on the pull request's present head.
fn latest(pull: &PullHandle, name: &str) -> Option<CheckRunView> {
    pull.check_runs().ok()?.into_iter().find(|c| c.name == name)
}

/// Waits until the check of that name is completed on the pull request's present head.
async fn judged(pull: &PullHandle, name: &str) -> Result<CheckRunView, DemoError> {
    await_some(&format!("the check `{name}`"), || latest(pull, name).filter(|c| c.status == "completed")).await
}

/// Waits for the comment that begins with `marker` and says `word`; gives its author and text.
async fn comment(pull: &PullHandle, marker: &str, word: &str) -> Result<(String, String), DemoError> {
    await_some(&format!("the comment `{marker}`"), || {
        pull.comments()
            .ok()?
            .into_iter()
            .find(|c| c.by_app && c.body.starts_with(marker) && c.body.contains(word))
            .map(|c| (c.author, c.body))
    })
    .await
}

async fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, DemoError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(DemoError::Waited { what: what.to_owned(), seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Looks into a database with a connection of its own: the column is there, and exactly one history row says so.
async fn holds_migration(file: &Path) -> Result<bool, DemoError> {
    use sqlx::{ConnectOptions as _, Row as _};
    let mut db = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let columns: i64 = sqlx::query("SELECT count(*) FROM pragma_table_info('customers') WHERE name = 'status'")
        .fetch_one(&mut db)
        .await?
        .try_get(0)?;
    let rows: i64 = sqlx::query("SELECT count(*) FROM godwit_history WHERE id = $1 AND state = 'applied'")
        .bind(shop::MIGRATION)
        .fetch_one(&mut db)
        .await?
        .try_get(0)?;
    Ok(columns == 1 && rows == 1)
}
