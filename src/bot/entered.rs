//! Approvals from the command line and the API as they bear on a pull request. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::contents::Contents;
use crate::approval::{Binding, Entered};
use crate::migration::digest_of;
use crate::store::{EnteredRow, NewEntered};

/// The approvals among `rows` that are about a pull request with `contents`: those given for it, and those given for each
/// single migration that it adds or changes, once all of them are there. An approval of one migration says nothing of a
/// file that is deleted, nor of a policy that changes.
pub fn of_pull(rows: &[EnteredRow], contents: &Contents, binding: Option<&Binding>) -> Vec<Entered> {
    let mut found: Vec<Entered> =
        rows.iter().map(|r| &r.approval).filter(|a| a.pr.is_some()).map(|a| entered(a, a.binding.clone())).collect();
    let own: Vec<_> = contents.own_migrations().map(|m| digest_of(std::iter::once(m))).collect();
    let Some(binding) = binding.filter(|_| !own.is_empty()) else { return found };
    if !contents.deleted_paths.is_empty() || !contents.policy_changes.is_empty() {
        return found;
    }
    let mut by_person: BTreeMap<_, Vec<&NewEntered>> = BTreeMap::new();
    let singly = |a: &&NewEntered| {
        a.pr.is_none() && a.binding.policy_hash == contents.policy.hash && own.contains(&a.binding.digest)
    };
    for approval in rows.iter().map(|r| &r.approval).filter(singly) {
        let key = (&approval.environment, &approval.role, &approval.approver);
        by_person.entry(key).or_default().push(approval);
    }
    for approvals in by_person.values() {
        let all = own.iter().all(|digest| approvals.iter().any(|a| a.binding.digest == *digest));
        let risk = approvals.iter().map(|a| a.binding.risk).max();
        let oldest = approvals.iter().min_by_key(|a| a.at);
        if let (true, Some(risk), Some(oldest)) = (all, risk, oldest) {
            // One that was given at too low a risk counts as little as any other approval, and says so.
            found.push(entered(oldest, Binding { risk: risk.min(binding.risk), ..binding.clone() }));
        }
    }
    found
}

/// The approvals among `rows` that were given after the pull request was last aimed at another branch, and a word on those
/// for it that were given before: they were about something else (DECISIONS 12). GitHub tells whole seconds.
pub fn after(rows: Vec<EnteredRow>, retargeted: Option<DateTime<Utc>>) -> (Vec<EnteredRow>, Vec<String>) {
    let Some(since) = retargeted else { return (rows, Vec::new()) };
    let (before, rows): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|r| r.approval.at.timestamp() <= since.timestamp());
    let notes = before.iter().map(|r| &r.approval).filter(|a| a.pr.is_some()).map(|a| {
        format!(
            "the approval of @{} as `{}` for `{}` by {} does not count: it was given before the pull request was aimed at \
             another branch; please approve again",
            a.approver,
            a.role,
            a.environment,
            a.source.as_str()
        )
    });
    let notes = notes.collect();
    (rows, notes)
}

fn entered(approval: &NewEntered, binding: Binding) -> Entered {
    Entered {
        environment: approval.environment.clone(),
        role: approval.role.clone(),
        approver: approval.approver.clone(),
        entered_by: approval.entered_by.clone(),
        source: approval.source,
        at: approval.at,
        binding,
    }
}
