//! When people are asked, asked again, and reminded (DECISIONS 7).

use chrono::{DateTime, Utc};

use super::Bot;
use super::decide::stamp;
use super::error::JobError;
use super::gather::{Gathered, Place};
use crate::approval::{Asked, EnvironmentVerdict, Policy, Status, Verdict, evaluate_environment};
use crate::ids::{EnvironmentName, Login, RoleName};

impl Bot {
    /// The people of an environment are asked from now on, since somebody promotes it; earlier if they were before.
    pub(super) async fn ask_from_now(
        &self,
        gathered: &Gathered,
        environment: &EnvironmentName,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let Some(binding) = &gathered.snapshot.binding else { return Ok(()) };
        let (repo, number) = (&gathered.snapshot.repo, gathered.snapshot.number);
        Ok(self.store.ask_in(repo, number, environment, binding, Asked { at: now, anew: false }).await?)
    }

    /// Asks the people of an environment anew where their approvals expired, and only there: a retry never makes an old
    /// approval young. Gives whether it did.
    pub(super) async fn ask_anew(
        &self,
        gathered: &Gathered,
        environment: &EnvironmentName,
        now: DateTime<Utc>,
    ) -> Result<bool, JobError> {
        let Some(binding) = &gathered.snapshot.binding else { return Ok(false) };
        let verdict = evaluate_environment(&gathered.contents.policy, &gathered.snapshot, environment, now);
        if verdict.expires_at.is_none_or(|until| until >= now) {
            return Ok(false);
        }
        let (repo, number) = (&gathered.snapshot.repo, gathered.snapshot.number);
        self.store.ask_in(repo, number, environment, binding, Asked { at: now, anew: true }).await?;
        Ok(true)
    }

    /// Reminds those who are missing, once, when three quarters of their time are over.
    pub(super) async fn remind(
        &self,
        place: &Place,
        gathered: &Gathered,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let snapshot = &gathered.snapshot;
        let Some(binding) = snapshot.binding.as_ref().filter(|_| !snapshot.draft) else { return Ok(()) };
        for environment in verdict.environments.iter().filter(|e| is_due(e, now)) {
            let name = &environment.environment;
            let until = environment.expires_at.map_or(0, |at| at.timestamp());
            let digest = binding.digest.as_str().trim_start_matches("sha256:");
            let marker = format!("<!-- godwit:reminder:{name}:{}:{until} -->", digest.get(..16).unwrap_or(digest));
            if place.api.has_own_comment(snapshot.number, &marker).await? {
                continue;
            }
            let text = reminder(&gathered.contents.policy, environment, snapshot.author.as_ref());
            place.api.keep_comment(snapshot.number, &marker, &format!("{marker}\n{text}")).await?;
        }
        Ok(())
    }
}

/// Whether people are missing and their time is nearly over.
fn is_due(verdict: &EnvironmentVerdict, now: DateTime<Utc>) -> bool {
    let (Some(from), Some(until)) = (verdict.remind_at, verdict.expires_at) else { return false };
    verdict.evaluation.status == Status::Pending && from <= now && now <= until
}

/// What the missing people are told. Names come from the policy of the base, so they may be called.
fn reminder(policy: &Policy, verdict: &EnvironmentVerdict, author: Option<&Login>) -> String {
    let open: Vec<&RoleName> = verdict.required_roles.iter().filter(|r| !verdict.filled.contains_key(*r)).collect();
    // Every role is filled and only the number is short: any of them could be one more.
    let roles = if open.is_empty() { verdict.required_roles.iter().collect() } else { open };
    let mut names: Vec<String> = Vec::new();
    for (_, holders) in roles.iter().flat_map(|role| policy.roles.counting_as(role)) {
        let users = holders.users.iter().filter(|u| Some(*u) != author && !verdict.evaluation.approvers.contains(u));
        names.extend(holders.teams.iter().map(|t| format!("@{t}")).chain(users.map(|u| format!("@{u}"))));
    }
    names.sort();
    names.dedup();
    let who = if names.is_empty() { String::new() } else { format!("{}: ", names.join(" ")) };
    let roles: Vec<String> = roles.iter().map(|r| format!("`{r}`")).collect();
    let what = if roles.is_empty() { "An approval".to_owned() } else { format!("An approval as {}", roles.join(", ")) };
    let environment = &verdict.environment;
    let until = verdict.expires_at.map(stamp).unwrap_or_default();
    format!(
        "{who}{what} for `{environment}` is still missing. The approvals hold until {until}; after that \
         `/godwit retry {environment}` asks anew."
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::approval::Evaluation;
    use crate::ids::EnvironmentName;

    fn verdict(status: Status, filled: &[(&str, &str)]) -> EnvironmentVerdict {
        let at = |hours| DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hours);
        let role = |r: &str| RoleName::new(r).unwrap();
        EnvironmentVerdict {
            environment: EnvironmentName::new("production").unwrap(),
            automatic: true,
            required_approvals: 2,
            required_roles: vec![role("dba"), role("tech_lead")],
            filled: filled.iter().map(|(r, l)| (role(r), Login::new(*l))).collect(),
            sources: BTreeMap::new(),
            remind_at: Some(at(18)),
            expires_at: Some(at(24)),
            evaluation: Evaluation {
                name: "production".into(),
                status,
                reason: String::new(),
                children: Vec::new(),
                approvers: filled.iter().map(|(_, l)| Login::new(*l)).collect(),
                missing: Vec::new(),
            },
        }
    }

    #[test]
    fn s2_71_a_reminder_is_due_in_the_last_quarter_while_people_are_missing() {
        let at = |hours| DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hours);
        for (status, hours, due) in [
            (Status::Pending, 17, false),
            (Status::Pending, 18, true),
            (Status::Pending, 24, true),
            (Status::Pending, 25, false),
            (Status::Approved, 20, false),
            (Status::Disapproved, 20, false),
        ] {
            assert_eq!(is_due(&verdict(status, &[]), at(hours)), due, "{status:?} {hours}");
        }
        assert!(!is_due(&EnvironmentVerdict { expires_at: None, ..verdict(Status::Pending, &[]) }, at(20)));
    }

    #[test]
    fn only_those_who_are_missing_are_called() {
        let files = "dba: { teams: [acme/dba], users: [dora] }\ntech_lead: { users: [tess, alice] }\n";
        let policy = Policy::load(&|path| (path == "policies/roles.yml").then(|| files.as_bytes().to_vec())).unwrap();
        let text = reminder(&policy, &verdict(Status::Pending, &[("dba", "dora")]), Some(&Login::new("alice")));
        assert!(text.starts_with("@tess: An approval as `tech_lead` for `production` is still missing."), "{text}");
        let text = reminder(&policy, &verdict(Status::Pending, &[]), None);
        assert!(text.starts_with("@acme/dba @alice @dora @tess: "), "{text}");
        assert!(text.contains("1970-01-02 00:00 UTC") && text.contains("`/godwit retry production`"), "{text}");
    }
}
