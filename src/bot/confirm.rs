//! The second person's word for a rollback: one decision for the comment and for the command line.

use chrono::{DateTime, Utc};

use super::Bot;
use super::decide::stamp;
use super::error::JobError;
use super::permission::{Need, may, who_rolls_back};
use crate::approval::{Person, Policy};
use crate::config::ConfigError;
use crate::github::Repository;
use crate::ids::{Login, PrNumber, RepoName};
use crate::migration::naming::quoted;
use crate::store::rollbacks::{RequestState, RollbackRequest};
use crate::store::{AuditEntry, Store, StoreError};

/// Why somebody's word does not let a rollback run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unconfirmed {
    /// The person may not, with who may.
    MayNot(String),
    /// It waits for nobody any more.
    Past {
        /// What became of it.
        state: RequestState,
        /// Who confirmed it.
        by: Option<Login>,
    },
    /// It was asked for on another pull request.
    Elsewhere,
    /// Its time is over.
    Expired,
    /// The person asked for it.
    SamePerson,
}

impl Unconfirmed {
    /// What is wrong, and what to do about it.
    pub fn told(&self, request: &RollbackRequest, policy: &Policy) -> (String, String) {
        let (id, environment) = (&request.id, &request.environment);
        match self {
            Unconfirmed::MayNot(who) => (who.clone(), String::new()),
            Unconfirmed::Past { state, by } => {
                let by = by.as_ref().map(|by| format!(", confirmed by `{by}`")).unwrap_or_default();
                (format!("the rollback `{id}` is {}{by}", state.as_str()), String::new())
            }
            Unconfirmed::Elsewhere => {
                (format!("the rollback `{id}` was asked for on {}", request.pr), "confirm it there".to_owned())
            }
            Unconfirmed::Expired => {
                let migration = quoted(&request.migration);
                (
                    format!("the rollback `{id}` expired at {}", stamp(request.expires_at)),
                    format!("ask again: `/godwit rollback {environment} {migration}`"),
                )
            }
            Unconfirmed::SamePerson => (
                format!("`@{}` asked for this rollback; a second, different person confirms it", request.asked_by),
                format!("ask one: {}", who_rolls_back(policy, environment)),
            ),
        }
    }
}

/// Whether the word of `by` lets a rollback run. `on`: the pull request on which it was given, where it was given on one.
///
/// # Errors
/// Why it does not.
pub fn may_confirm(
    request: &RollbackRequest,
    policy: &Policy,
    by: &Login,
    person: &Person,
    on: Option<PrNumber>,
    now: DateTime<Utc>,
) -> Result<(), Unconfirmed> {
    may(policy, Need::Cell(&request.environment), by, person).map_err(Unconfirmed::MayNot)?;
    if request.state != RequestState::Pending {
        return Err(past(request));
    }
    if on.is_some_and(|on| on != request.pr) {
        return Err(Unconfirmed::Elsewhere);
    }
    if now > request.expires_at {
        return Err(Unconfirmed::Expired);
    }
    if request.asked_by == *by {
        return Err(Unconfirmed::SamePerson);
    }
    Ok(())
}

fn past(request: &RollbackRequest) -> Unconfirmed {
    Unconfirmed::Past { state: request.state, by: request.confirmed_by.clone() }
}

/// Writes down what `found` says of the word of `by`: the rollback may run, or its time is over. `entry` is the audit
/// record of it; what it is about is filled in here.
///
/// # Errors
/// When the store fails.
pub async fn settle(
    store: &Store,
    repo: &RepoName,
    request: &RollbackRequest,
    by: &Login,
    found: Result<(), Unconfirmed>,
    mut entry: AuditEntry,
) -> Result<Result<(), Unconfirmed>, StoreError> {
    match found {
        Err(Unconfirmed::Expired) => {
            store.move_rollback(&request.id, RequestState::Pending, RequestState::Withdrawn, None).await?;
        }
        Err(_) => {}
        Ok(()) => {
            if !store.move_rollback(&request.id, RequestState::Pending, RequestState::Ready, Some(by)).await? {
                // Somebody else was quicker.
                let now = store.rollback_request(repo, &request.id).await?;
                return Ok(Err(past(now.as_ref().unwrap_or(request))));
            }
            entry.repo = Some(repo.clone());
            entry.pr = Some(request.pr);
            entry.environment = Some(request.environment.clone());
            entry.details.insert("request".to_owned(), request.id.to_string());
            entry.details.insert("asked_by".to_owned(), request.asked_by.to_string());
            store.append_audit(entry).await?;
        }
    }
    Ok(found)
}

impl Bot {
    /// The policy by which commands on a pull request are judged: that of the tip of the branch it goes into.
    ///
    /// # Errors
    /// When GitHub or git fails.
    pub async fn policy_for_commands(
        &self,
        repository: &Repository,
        number: PrNumber,
    ) -> Result<Result<Policy, Vec<ConfigError>>, JobError> {
        let place = self.place(repository).await?;
        let pull = place.api.pull(number).await?;
        self.policy_of_base(&place, &pull).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::Permission;
    use crate::ids::{EnvironmentName, RunId};

    #[test]
    fn b18_only_a_second_person_with_the_right_lets_it_run_in_time() {
        let files = [
            ("godwit.yml", "version: 1\nenvironments: [production]\n"),
            ("policies/environments.yml", "production: {}\n"),
            ("policies/roles.yml", "dba: { users: [dora, omar] }\n"),
            ("policies/approval_matrix.yml", "production:\n  ANY: { required_approvals: 1, required_roles: [dba] }\n"),
        ];
        let read = |path: &str| files.iter().find(|(p, _)| *p == path).map(|(_, t)| t.as_bytes().to_vec());
        let policy = Policy::load(&read).unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let request = RollbackRequest {
            id: RunId::new("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
            environment: EnvironmentName::new("production").unwrap(),
            pr: PrNumber(3),
            migration: "migrations/0001_orders".to_owned(),
            brought_by: None,
            steps: String::new(),
            asked_by: Login::new("omar"),
            asked_in: 1,
            line: 0,
            confirmed_by: None,
            state: RequestState::Pending,
            asked_at: now,
            expires_at: now,
        };
        let person = |permission| Person { permission, teams: Default::default() };
        let judged = |request: &RollbackRequest, by: &str, on: Option<u64>, late: i64| {
            let now = now + chrono::TimeDelta::seconds(late);
            may_confirm(request, &policy, &Login::new(by), &person(Permission::Write), on.map(PrNumber), now)
        };
        assert_eq!(judged(&request, "dora", Some(3), 0), Ok(()));
        assert_eq!(judged(&request, "Dora", None, 0), Ok(()));
        assert_eq!(judged(&request, "dora", Some(4), 0), Err(Unconfirmed::Elsewhere));
        assert_eq!(judged(&request, "dora", None, 1), Err(Unconfirmed::Expired));
        assert_eq!(judged(&request, "OMAR", None, 0), Err(Unconfirmed::SamePerson));
        assert!(matches!(judged(&request, "bob", None, 0), Err(Unconfirmed::MayNot(_))));
        let reader = may_confirm(&request, &policy, &Login::new("dora"), &person(Permission::Read), None, now);
        assert!(matches!(reader, Err(Unconfirmed::MayNot(_))), "{reader:?}");
        let done = RollbackRequest { state: RequestState::Done, confirmed_by: Some(Login::new("dora")), ..request };
        let past = judged(&done, "dora", None, 9).unwrap_err();
        assert!(past.told(&done, &policy).0.ends_with("is done, confirmed by `dora`"), "{past:?}");
    }
}
