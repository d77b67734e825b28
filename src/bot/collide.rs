//! Tells open pull requests that get in each other's way of each other, before either is merged, and again when it is
//! over.

use super::Bot;
use super::error::JobError;
use super::gather::{Gathered, Place};
use crate::approval::collisions::between;
use crate::github::{GithubError, model};
use crate::ids::PrNumber;
use crate::store::StoredCollision;

impl Bot {
    /// Compares an open pull request with the others; gives what its comment says about them. The comments of those whose
    /// standing changed are brought up to date.
    pub(super) async fn collide(&self, place: &Place, gathered: &Gathered) -> Result<Vec<String>, JobError> {
        let (repo, number) = (&place.repository.name, gathered.snapshot.number);
        let ours = &gathered.contents.touched;
        self.store.remember_changes(repo, number, ours).await?;
        let known = self.store.collisions(repo, number).await?;
        let others = self.store.changes_of_others(repo, number).await?;
        for (other, theirs) in &others {
            let what = between(ours, theirs);
            let was = known.iter().find(|c| c.other == *other);
            if what.is_empty() && was.is_none_or(|c| c.settled.is_some()) {
                continue;
            }
            let Some(pull) = self.open_pull(place, *other).await? else {
                self.store.forget_changes(repo, *other).await?;
                self.settle(place, number, was, &format!("`{other}` is not open any more")).await?;
                continue;
            };
            let settled = what.is_empty().then(|| "one of them was changed".to_owned());
            let what = if what.is_empty() { was.map_or_else(Vec::new, |c| c.what.clone()) } else { what };
            let is = StoredCollision { other: *other, what, settled };
            if was != Some(&is) {
                self.store.remember_collision(repo, number, &is).await?;
                self.enqueue_look(place, &pull).await?;
            }
        }
        for gone in known.iter().filter(|c| !others.iter().any(|(other, _)| *other == c.other)) {
            self.settle(place, number, Some(gone), "one of them was changed").await?;
        }
        Ok(self.store.collisions(repo, number).await?.iter().map(sentence).collect())
    }

    /// A pull request is open no longer: it is in nobody's way.
    pub(super) async fn leave(&self, place: &Place, number: PrNumber, why: &str) -> Result<(), JobError> {
        let repo = &place.repository.name;
        self.store.forget_changes(repo, number).await?;
        for collision in self.store.collisions(repo, number).await?.iter().filter(|c| c.settled.is_none()) {
            self.settle(place, number, Some(collision), &format!("`{number}` {why}")).await?;
            if let Some(pull) = self.open_pull(place, collision.other).await? {
                self.enqueue_look(place, &pull).await?;
            }
        }
        Ok(())
    }

    async fn settle(
        &self,
        place: &Place,
        number: PrNumber,
        was: Option<&StoredCollision>,
        why: &str,
    ) -> Result<(), JobError> {
        if let Some(collision) = was.filter(|c| c.settled.is_none()) {
            let settled = StoredCollision { settled: Some(why.to_owned()), ..collision.clone() };
            self.store.remember_collision(&place.repository.name, number, &settled).await?;
        }
        Ok(())
    }

    async fn open_pull(&self, place: &Place, number: PrNumber) -> Result<Option<model::PullRequest>, JobError> {
        match place.api.pull(number).await {
            Ok(pull) => Ok(Some(pull).filter(|p| p.state == "open")),
            Err(GithubError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// What a comment says of a collision.
fn sentence(collision: &StoredCollision) -> String {
    let other = collision.other;
    match &collision.settled {
        Some(why) => format!("`{other}` is not in the way any more: {why}"),
        None => format!("`{other}` is open too, and {}", collision.what.join("; ")),
    }
}
