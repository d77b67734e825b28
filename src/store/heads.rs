//! What each pull request says by a check on the commit at its head. A commit may be the head of several, and GitHub shows
//! one check of a name on it for all of them.

use chrono::{DateTime, Duration, Utc};
use sqlx::Row as _;

use super::approvals::{number, parsed};
use super::collisions::pr_of;
use super::{Store, StoreError, millis};
use crate::ids::{CommitSha, PrNumber, RepoName};

/// How long what a merge group said is kept: its commit is merged or given up long before.
const GROUPS: Duration = Duration::days(7);

/// What one pull request says by one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The pull request; `None` for a merge group.
    pub pr: Option<PrNumber>,
    /// The commit.
    pub head: CommitSha,
    /// The check's name.
    pub check: String,
    /// The branch that it goes into.
    pub base_ref: String,
    /// The conclusion, in GitHub's word.
    pub conclusion: String,
    /// One line.
    pub title: String,
}

impl Store {
    /// Remembers what a pull request says by a check in place of what it said before, which is given back; a merge group's
    /// word stands beside those of other groups.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn say_on_head(
        &self,
        repo: &RepoName,
        said: &Said,
        now: DateTime<Utc>,
    ) -> Result<Option<Said>, StoreError> {
        let pr = said.pr.map_or(0, number);
        let sql = format!("{ROWS} AND pr = $2 AND check_name = $3");
        let known: Vec<Said> = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(pr)
            .bind(&said.check)
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(said_of)
            .collect::<Result<_, _>>()?;
        let of_group = |s: &&Said| said.pr.is_some() || s.head == said.head;
        let before = known.into_iter().rfind(|s| of_group(&s));
        if before.as_ref() == Some(said) {
            return Ok(before);
        }
        let mut tx = self.begin().await?;
        // A pull request has one head; of groups those are forgotten whose time is over.
        let gone = match said.pr {
            Some(_) => sqlx::query("DELETE FROM said_on_heads WHERE repo = $1 AND check_name = $2 AND pr = $3")
                .bind(repo.as_str())
                .bind(&said.check)
                .bind(pr),
            None => sqlx::query(
                "DELETE FROM said_on_heads WHERE repo = $1 AND check_name = $2 AND pr = 0 AND (at < $3 OR head = $4)",
            )
            .bind(repo.as_str())
            .bind(&said.check)
            .bind(millis(now - GROUPS))
            .bind(said.head.as_str()),
        };
        gone.execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO said_on_heads (repo, pr, head, check_name, base_ref, conclusion, title, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(repo.as_str())
        .bind(pr)
        .bind(said.head.as_str())
        .bind(&said.check)
        .bind(&said.base_ref)
        .bind(&said.conclusion)
        .bind(&said.title)
        .bind(millis(now))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(before)
    }

    /// What everybody says by a check on a commit, groups first, then pull requests from the oldest on.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn said_on_head(&self, repo: &RepoName, head: &CommitSha, check: &str) -> Result<Vec<Said>, StoreError> {
        let sql = format!("{ROWS} AND head = $2 AND check_name = $3 ORDER BY pr");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(repo.as_str())
            .bind(head.as_str())
            .bind(check)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(said_of).collect()
    }

    /// Forgets what a pull request said; gives it back.
    ///
    /// # Errors
    /// When the database fails or holds something this version does not understand.
    pub async fn forget_said(&self, repo: &RepoName, pr: PrNumber) -> Result<Vec<Said>, StoreError> {
        let sql = format!("{ROWS} AND pr = $2");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(repo.as_str()).bind(number(pr)).fetch_all(self.reader()).await?;
        let said: Vec<Said> = rows.iter().map(said_of).collect::<Result<_, _>>()?;
        if !said.is_empty() {
            let mut tx = self.begin().await?;
            sqlx::query("DELETE FROM said_on_heads WHERE repo = $1 AND pr = $2")
                .bind(repo.as_str())
                .bind(number(pr))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        Ok(said)
    }
}

const ROWS: &str = "SELECT pr, head, check_name, base_ref, conclusion, title FROM said_on_heads WHERE repo = $1";

fn said_of(row: &sqlx::any::AnyRow) -> Result<Said, StoreError> {
    let pr: i64 = row.try_get(0)?;
    Ok(Said {
        pr: (pr > 0).then(|| pr_of(pr)),
        head: parsed("a commit", row.try_get(1)?)?,
        check: row.try_get(2)?,
        base_ref: row.try_get(3)?,
        conclusion: row.try_get(4)?,
        title: row.try_get(5)?,
    })
}
