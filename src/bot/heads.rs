//! One commit, several pull requests: GitHub shows one check of a name on a commit, and lets every pull request with that
//! head be merged by it. So a check says the worst of what is true of all of them (B-19).
//!
//! Each says its own word in the store first and reads those of the others after it, so of two that are judged at the same
//! time at least one sees both. The one with the worst word shows the check; the others leave it alone, and wake that one
//! when their own word changed.

use std::collections::BTreeSet;

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use crate::github::{CheckAction, GithubError, model};
use crate::ids::{CommitSha, PrNumber};
use crate::report::check_run::{CheckOutput, Conclusion};
use crate::report::shared_head::{Beside, with_others};
use crate::store::heads::Said;

/// Who says something on a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'a> {
    /// The pull request; `None` for a merge group.
    pub number: Option<PrNumber>,
    /// The branch that it goes into.
    pub base_ref: &'a str,
}

impl<'a> Speaker<'a> {
    /// A pull request.
    pub(super) fn of(pull: &'a model::PullRequest) -> Self {
        Self { number: Some(pull.number), base_ref: &pull.base.branch }
    }
}

/// A check that is to be shown.
pub(super) struct Word<'a> {
    pub(super) head: &'a CommitSha,
    pub(super) name: &'a str,
    pub(super) output: &'a CheckOutput,
    pub(super) actions: Vec<CheckAction>,
    /// Somebody asked GitHub to run it again, and waits for it to end anew.
    pub(super) again: bool,
}

/// Whose turn it is to show a check.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// One's own, with what the others say.
    Own(Vec<Beside>),
    /// That of a pull request that says worse.
    Of(PrNumber),
}

impl Bot {
    /// Shows what a pull request says by a check, or leaves it to one with the same head that says worse.
    pub(super) async fn say(&self, place: &Place, speaker: Speaker<'_>, word: Word<'_>) -> Result<(), JobError> {
        let repo = &place.repository.name;
        let own = Said {
            pr: speaker.number,
            head: word.head.clone(),
            check: word.name.to_owned(),
            base_ref: speaker.base_ref.to_owned(),
            conclusion: word.output.conclusion.as_str().to_owned(),
            title: crate::redact::text(&word.output.title),
        };
        let before = self.store.say_on_head(repo, &own, (self.settings.clock)()).await?;
        if let Some(left) = before.as_ref().filter(|b| b.head != own.head) {
            self.wake_head(place, &left.head, word.name).await?;
        }
        let said = self.store.said_on_head(repo, word.head, word.name).await?;
        let (others, unjudged) = self.others(place, &own, &said).await?;
        match turn(&own, &others, &unjudged) {
            Turn::Of(other) => {
                if before.as_ref() != Some(&own) {
                    self.look_at(place, &BTreeSet::from([other])).await?;
                }
            }
            Turn::Own(beside) => {
                let output = with_others(word.output.clone(), speaker.number, speaker.base_ref, &beside);
                self.show_on(place, word.head, word.name, &output, word.actions, word.again).await?;
                self.look_at(place, &unjudged.iter().copied().collect()).await?;
            }
        }
        // Somebody spoke meanwhile, who may have shown before or after: everybody looks once more.
        let now_said = self.store.said_on_head(repo, word.head, word.name).await?;
        if now_said != said {
            self.look_at(place, &now_said.iter().filter_map(|s| s.pr).collect()).await?;
        }
        Ok(())
    }

    /// A pull request is open no longer: its word weighs nothing on its head any more.
    pub(super) async fn leave_head(&self, place: &Place, number: PrNumber) -> Result<(), JobError> {
        for said in self.store.forget_said(&place.repository.name, number).await? {
            self.wake_head(place, &said.head, &said.check).await?;
        }
        Ok(())
    }

    /// Lets those who are left on a commit show its check anew.
    async fn wake_head(&self, place: &Place, head: &CommitSha, check: &str) -> Result<(), JobError> {
        let left = self.store.said_on_head(&place.repository.name, head, check).await?;
        self.look_at(place, &left.iter().filter_map(|s| s.pr).collect()).await
    }

    async fn look_at(&self, place: &Place, numbers: &BTreeSet<PrNumber>) -> Result<(), JobError> {
        for number in numbers {
            match place.api.pull(*number).await {
                Ok(pull) => self.enqueue_look(place, &pull).await?,
                Err(GithubError::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// What the others on the commit say that are open, and those who have not said anything about it yet.
    async fn others(&self, place: &Place, own: &Said, said: &[Said]) -> Result<(Vec<Said>, Vec<PrNumber>), JobError> {
        let listed = match place.api.pulls_of_commit(&own.head).await {
            // GitHub does not know the commit, as of a fork that is gone.
            Err(GithubError::NotFound { .. } | GithubError::Rejected { .. }) => Vec::new(),
            other => other?,
        };
        let is_there = |pull: &model::PullRequest| pull.state == "open" && pull.head.sha == own.head;
        let mut open: Vec<model::PullRequest> =
            listed.into_iter().filter(|p| is_there(p) && Some(p.number) != own.pr).collect();
        // GitHub names no open one whose commit stands on the default branch too.
        for number in said.iter().filter_map(|s| s.pr).filter(|n| Some(*n) != own.pr) {
            if open.iter().any(|p| p.number == number) {
                continue;
            }
            match place.api.pull(number).await {
                Ok(pull) if is_there(&pull) => open.push(pull),
                Ok(_) | Err(GithubError::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let judged = |pull: &model::PullRequest| {
            said.iter().find(|s| s.pr == Some(pull.number) && s.base_ref == pull.base.branch)
        };
        let groups = said.iter().filter(|s| s.pr.is_none() && own.pr.is_some());
        let others = groups.chain(open.iter().filter_map(judged)).cloned().collect();
        let unjudged = open.iter().filter(|p| judged(p).is_none()).map(|p| p.number).collect();
        Ok((others, unjudged))
    }
}

/// Whose turn it is: of several pull requests the one that says worst shows the check, of equals the oldest. While one is
/// not judged yet, whoever is judged shows the check, and it is not green. A merge group is judged once, so it always shows,
/// and its word holds for whoever comes after.
fn turn(own: &Said, others: &[Said], unjudged: &[PrNumber]) -> Turn {
    let rank = |s: &Said| Conclusion::parse(&s.conclusion);
    let worse = others.iter().filter_map(|s| Some((rank(s), s.pr?))).min_by_key(|(c, pr)| (std::cmp::Reverse(*c), *pr));
    if let (Some((theirs, other)), Some(number), true) = (worse, own.pr, unjudged.is_empty())
        && (theirs > rank(own) || (theirs == rank(own) && other < number))
    {
        return Turn::Of(other);
    }
    let said = others.iter().map(|s| Beside {
        number: s.pr,
        base_ref: s.base_ref.clone(),
        conclusion: rank(s),
        title: s.title.clone(),
    });
    let silent = unjudged.iter().map(|number| Beside {
        number: Some(*number),
        base_ref: String::new(),
        conclusion: Conclusion::ActionRequired,
        title: "not judged yet".to_owned(),
    });
    Turn::Own(said.chain(silent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pr: u64, conclusion: &str) -> Said {
        Said {
            pr: (pr > 0).then_some(PrNumber(pr)),
            head: CommitSha::new("a".repeat(40)).unwrap(),
            check: "godwit / approval".into(),
            base_ref: "main".into(),
            conclusion: conclusion.into(),
            title: String::new(),
        }
    }

    #[test]
    fn b19_the_worst_word_on_a_commit_is_shown_by_whoever_says_it() {
        let (yes, wait, no) = ("success", "action_required", "failure");
        let of = |pr| Turn::Of(PrNumber(pr));
        for (own, others, expected) in [
            (said(2, yes), vec![said(1, wait)], Some(of(1))),
            (said(1, wait), vec![said(2, yes)], None),
            (said(1, yes), vec![said(2, yes)], None),
            (said(2, yes), vec![said(1, yes)], Some(of(1))),
            (said(2, no), vec![said(1, wait), said(3, yes)], None),
            (said(3, wait), vec![said(1, yes), said(2, no)], Some(of(2))),
            // Words of another version are no yes.
            (said(1, yes), vec![said(2, "neutral")], Some(of(2))),
            // A group does not show again.
            (said(2, yes), vec![said(0, no)], None),
            (said(0, yes), vec![said(2, wait)], None),
        ] {
            let got = turn(&own, &others, &[]);
            match expected {
                Some(expected) => assert_eq!(got, expected, "{own:?} {others:?}"),
                None => assert!(matches!(got, Turn::Own(_)), "{own:?} {others:?}"),
            }
        }
        let Turn::Own(beside) = turn(&said(2, yes), &[said(1, wait)], &[PrNumber(3)]) else { panic!("silent") };
        assert_eq!(beside.len(), 2);
        assert!(beside.iter().all(|b| b.conclusion == Conclusion::ActionRequired));
    }
}
