//! What the due jobs of one pull request amount to: several events become one look at it. Pure.

use chrono::{DateTime, Utc};

use crate::approval::ReviewState;
use crate::github::{Event, Repository};
use crate::ids::{CommitSha, DeliveryId, Login, PrNumber};
use crate::store::Job;

/// The action of a look that shows the checks anew although they say the same.
pub const AGAIN: &str = "again";

/// The work of one claim.
#[derive(Debug, Default)]
pub struct Work {
    /// Things that can only be learnt from the event itself, oldest first; done before anything is judged.
    pub notes: Vec<Note>,
    /// Comments that may hold commands, oldest first.
    pub comments: Vec<Comment>,
    /// The pull request to judge once, after everything else.
    pub judge: Option<Judge>,
    /// Events of the whole repository, which turn into work on pull requests.
    pub spread: Vec<Event>,
}

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The repository.
    pub repo: Repository,
    /// The pull request.
    pub number: PrNumber,
    /// What.
    pub what: Noted,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

/// What an event alone can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// Somebody pushed.
    Pushed(Login),
    /// Somebody approved what was there at a commit.
    Reviewed {
        /// The review.
        review: u64,
        /// By whom.
        author: Login,
        /// At which commit.
        commit: CommitSha,
    },
    /// Somebody set a label while a commit was the head.
    Labelled {
        /// The label.
        label: String,
        /// By whom.
        by: Login,
        /// The head.
        head: CommitSha,
    },
    /// Somebody took a label off.
    Unlabelled {
        /// The label.
        label: String,
    },
}

/// A comment to be read for commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The repository.
    pub repo: Repository,
    /// The pull request.
    pub number: PrNumber,
    /// The comment's id.
    pub id: u64,
    /// Its text.
    pub body: String,
    /// Its author.
    pub by: Login,
    /// The delivery it came by.
    pub correlation: Option<DeliveryId>,
    /// When it was heard of.
    pub at: DateTime<Utc>,
}

/// A pull request to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The repository, as the newest event named it.
    pub repo: Repository,
    /// The pull request.
    pub number: PrNumber,
    /// The newest delivery that asks for it.
    pub correlation: Option<DeliveryId>,
    /// The person behind the newest event.
    pub by: Option<Login>,
    /// Whether somebody asked GitHub to run the checks again, who waits for them to end anew.
    pub again: bool,
}

/// Puts the jobs of one claim together.
pub fn coalesce(jobs: &[Job]) -> Work {
    let mut work = Work::default();
    for job in jobs {
        match &job.event {
            Event::PullRequest { repo, number, action, sender, head, label, .. } => {
                let what = match (action.as_str(), label) {
                    // Opening is no push, but who opens a pull request brought its commits.
                    ("synchronize", _) => Some(Noted::Pushed(sender.login.clone())),
                    ("labeled", Some(label)) => {
                        Some(Noted::Labelled { label: label.clone(), by: sender.login.clone(), head: head.clone() })
                    }
                    ("unlabeled", Some(label)) => Some(Noted::Unlabelled { label: label.clone() }),
                    _ => None,
                };
                let note = |what| Note { repo: repo.clone(), number: *number, what, at: job.created_at };
                work.notes.extend(what.map(note));
                work.judge = Some(Judge {
                    repo: repo.clone(),
                    number: *number,
                    correlation: job.delivery.clone(),
                    by: (!sender.bot).then(|| sender.login.clone()),
                    again: action == AGAIN || work.judge.as_ref().is_some_and(|j| j.again),
                });
            }
            Event::Review { repo, number, review, author, state, commit, sender, .. } => {
                if let (ReviewState::Approved, Some(commit)) = (state, commit) {
                    let what = Noted::Reviewed { review: *review, author: author.clone(), commit: commit.clone() };
                    work.notes.push(Note { repo: repo.clone(), number: *number, what, at: job.created_at });
                }
                work.judge = Some(Judge {
                    repo: repo.clone(),
                    number: *number,
                    correlation: job.delivery.clone(),
                    by: Some(sender.login.clone()),
                    again: work.judge.as_ref().is_some_and(|j| j.again),
                });
            }
            // Bots, this one among them, give no commands.
            Event::Comment { repo, number, comment, body, sender } if !sender.bot => work.comments.push(Comment {
                repo: repo.clone(),
                number: *number,
                id: *comment,
                body: body.clone(),
                by: sender.login.clone(),
                correlation: job.delivery.clone(),
                at: job.created_at,
            }),
            Event::CheckRequested { .. }
            | Event::CheckAction { .. }
            | Event::Push { .. }
            | Event::MergeGroup { .. }
            | Event::ProtectionRule { .. }
            | Event::Installation { .. }
            | Event::Renamed { .. } => work.spread.push(job.event.clone()),
            Event::Comment { .. } | Event::Ping | Event::Ignored { .. } => {}
        }
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::Sender;
    use crate::ids::RepoName;

    fn repo() -> Repository {
        Repository {
            id: 1,
            name: RepoName::new("o/r").unwrap(),
            clone_url: "https://github.com/o/r.git".into(),
            default_branch: "main".into(),
            installation: 1,
        }
    }

    fn sender(login: &str, bot: bool) -> Sender {
        Sender { login: Login::new(login), bot }
    }

    fn sha(c: char) -> CommitSha {
        CommitSha::new(c.to_string().repeat(40)).unwrap()
    }

    fn job(n: u32, event: Event) -> Job {
        Job {
            id: format!("{n:026}"),
            event,
            delivery: DeliveryId::new(format!("d{n}")).ok(),
            attempt: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn pull(action: &str, by: &str, label: Option<&str>) -> Event {
        Event::PullRequest {
            repo: repo(),
            number: PrNumber(7),
            action: action.into(),
            sender: sender(by, by.ends_with("[bot]")),
            head: sha('a'),
            label: label.map(Into::into),
            merged: false,
        }
    }

    fn comment(by: &str, bot: bool) -> Event {
        Event::Comment {
            repo: repo(),
            number: PrNumber(7),
            comment: 5,
            body: "/godwit help".into(),
            sender: sender(by, bot),
        }
    }

    #[test]
    fn b9_many_events_are_one_look_and_nothing_told_by_an_event_alone_is_lost() {
        let review = Event::Review {
            repo: repo(),
            number: PrNumber(7),
            action: "submitted".into(),
            review: 3,
            author: Login::new("dora"),
            state: ReviewState::Approved,
            commit: Some(sha('b')),
            head: sha('c'),
            sender: sender("dora", false),
        };
        let jobs = [
            job(1, pull("synchronize", "ann", None)),
            job(2, pull("labeled", "bob", Some("approved:dba"))),
            job(3, review),
            job(4, comment("ann", false)),
            job(5, comment("ci[bot]", true)),
            job(6, pull("labeled", "godwit[bot]", Some("risk:low"))),
            job(7, pull("unlabeled", "bob", Some("approved:dba"))),
        ];
        let work = coalesce(&jobs);
        let what: Vec<_> = work.notes.iter().map(|n| n.what.clone()).collect();
        assert_eq!(
            what,
            [
                Noted::Pushed(Login::new("ann")),
                Noted::Labelled { label: "approved:dba".into(), by: Login::new("bob"), head: sha('a') },
                Noted::Reviewed { review: 3, author: Login::new("dora"), commit: sha('b') },
                Noted::Labelled { label: "risk:low".into(), by: Login::new("godwit[bot]"), head: sha('a') },
                Noted::Unlabelled { label: "approved:dba".into() },
            ]
        );
        assert_eq!(work.comments.len(), 1);
        let judge = work.judge.unwrap();
        assert_eq!((judge.number, judge.correlation), (PrNumber(7), DeliveryId::new("d7").ok()));
        assert!(work.spread.is_empty());
    }

    #[test]
    fn a_comment_alone_is_no_reason_to_judge() {
        assert!(coalesce(&[job(1, comment("ann", false))]).judge.is_none());
    }
}
