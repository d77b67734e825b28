//! One environment: its cell of the matrix, who fills it, who is missing (B-3).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::matching::assign;
use super::policy::Start;
use super::voices::Voices;
use super::{EnvironmentVerdict, Evaluation, Permission, Policy, PullRequestSnapshot, Source, Status};
use crate::config::Cell;
use crate::config::roles::RoleHolders;
use crate::ids::{EnvironmentName, Login, RoleName};

/// The environment where who wrote a change may approve it too (DECISIONS 5).
const DEVELOPMENT: &str = "development";

/// What is said of an environment for which nobody is asked.
pub(super) fn unasked(
    environment: &EnvironmentName,
    automatic: bool,
    status: Status,
    reason: impl Into<String>,
) -> EnvironmentVerdict {
    EnvironmentVerdict {
        environment: environment.clone(),
        automatic,
        required_approvals: 0,
        required_roles: Vec::new(),
        filled: BTreeMap::new(),
        sources: BTreeMap::new(),
        remind_at: None,
        expires_at: None,
        evaluation: Evaluation::leaf(environment.as_str(), status, reason),
    }
}

/// Judges the cell of `environment`.
pub(super) fn judge(
    policy: &Policy,
    snapshot: &PullRequestSnapshot,
    voices: &Voices<'_>,
    environment: &EnvironmentName,
    now: DateTime<Utc>,
) -> EnvironmentVerdict {
    let start = policy.starts(environment, &snapshot.base_ref, snapshot.default_branch.as_deref());
    let automatic = start == Start::Merge;
    let bare = |status, reason: String| unasked(environment, automatic, status, reason);
    if let Start::OtherBranch(branch) = start {
        return bare(
            Status::Skipped,
            format!("a merge into `{}` does not concern it; its branch is `{branch}`", snapshot.base_ref),
        );
    }
    let Some(cell) = policy.matrix.cell(environment, voices.risk) else {
        return bare(
            Status::Disapproved,
            format!("the approval matrix has no cell for `{environment}` at risk {}; add one", voices.risk),
        );
    };
    let case = Case { policy, snapshot, voices, environment, cell, automatic };
    let evaluation = case.evaluation(now);
    EnvironmentVerdict {
        environment: environment.clone(),
        automatic,
        required_approvals: cell.required_approvals,
        required_roles: cell.required_roles.clone(),
        filled: case.filled(now),
        sources: case.sources(now),
        remind_at: case.reminder(),
        expires_at: case.deadline(),
        evaluation,
    }
}

/// What one judgement is about.
struct Case<'a> {
    policy: &'a Policy,
    snapshot: &'a PullRequestSnapshot,
    voices: &'a Voices<'a>,
    environment: &'a EnvironmentName,
    cell: &'a Cell,
    /// Whether the merge starts it by itself.
    automatic: bool,
}

impl Case<'_> {
    /// Whether the person wrote the change and may therefore not approve it here.
    fn excluded(&self, login: &Login) -> bool {
        let auto = self.policy.auto_approves(self.environment);
        if self.snapshot.author.as_ref() == Some(login) {
            return !auto;
        }
        self.voices.writers.contains(login) && !auto && self.environment.as_str() != DEVELOPMENT
    }

    /// The author, where opening the pull request is approval enough: `auto_approve`, and no fork.
    fn automatic_approver(&self) -> Option<&Login> {
        let author = self.snapshot.author.as_ref()?;
        let counts = self.policy.auto_approves(self.environment) && !self.snapshot.from_fork;
        (counts && self.cell.required_roles.iter().any(|r| self.voices.holds(author, r))).then_some(author)
    }

    /// Since when the people of this cell are asked (DECISIONS 7): where a person promotes, from the promotion on.
    fn asked(&self) -> Option<DateTime<Utc>> {
        let own = self.snapshot.asked.get(self.environment).map(|a| a.at);
        own.or_else(|| self.snapshot.asked_at.filter(|_| self.automatic))
    }

    /// Approvals from before this do not count: they had expired when people were asked anew.
    fn since(&self) -> Option<DateTime<Utc>> {
        let asked = self.snapshot.asked.get(self.environment).filter(|a| a.anew)?;
        // GitHub tells whole seconds.
        DateTime::from_timestamp(asked.at.timestamp(), 0)
    }

    /// When the approvals of this cell go stale, if people were asked.
    fn deadline(&self) -> Option<DateTime<Utc>> {
        let people = self.cell.required_approvals > 0 || !self.cell.required_roles.is_empty();
        let people = people && !self.snapshot.held.contains(self.environment);
        let hours = TimeDelta::try_hours(i64::from(self.cell.timeout_hours)).filter(|_| people)?;
        self.asked()?.checked_add_signed(hours)
    }

    /// When three quarters of that time are over [S2-71].
    fn reminder(&self) -> Option<DateTime<Utc>> {
        let until = self.deadline()?;
        let minutes = TimeDelta::try_minutes(i64::from(self.cell.timeout_hours) * 15)?;
        until.checked_sub_signed(minutes)
    }

    fn expired(&self, now: DateTime<Utc>) -> bool {
        self.deadline().is_some_and(|d| d < now)
    }

    /// Everyone whose approval counts here with the ways it came, by login.
    fn sources(&self, now: DateTime<Utc>) -> BTreeMap<Login, BTreeSet<Source>> {
        let mut found: BTreeMap<Login, BTreeSet<Source>> = BTreeMap::new();
        if !self.expired(now) {
            for login in self.voices.approvals.keys().filter(|login| !self.excluded(login)) {
                let ways = if self.cell.required_roles.is_empty() {
                    self.voices.any_way(login, self.environment, self.since())
                } else {
                    self.cell.required_roles.iter().flat_map(|role| self.ways(login, role)).collect()
                };
                if !ways.is_empty() {
                    found.insert(login.clone(), ways);
                }
            }
        }
        if let Some(author) = self.automatic_approver() {
            found.entry(author.clone()).or_default().insert(Source::Auto);
        }
        found
    }

    fn ways(&self, login: &Login, role: &RoleName) -> BTreeSet<Source> {
        self.voices.ways(login, role, Some(self.environment), self.since())
    }

    /// Everyone whose approval counts here, by login.
    fn approvers(&self, now: DateTime<Utc>) -> Vec<Login> {
        self.sources(now).into_keys().collect()
    }

    fn fills(&self, login: &Login, role: &RoleName) -> bool {
        !self.ways(login, role).is_empty()
            || (self.automatic_approver() == Some(login) && self.voices.holds(login, role))
    }

    fn filled(&self, now: DateTime<Utc>) -> BTreeMap<RoleName, Login> {
        let people = self.approvers(now);
        let roles = &self.cell.required_roles;
        let assigned = assign(roles.len(), people.len(), &|role, person| self.fills(&people[person], &roles[role]));
        roles.iter().zip(assigned).filter_map(|(role, person)| Some((role.clone(), people[person?].clone()))).collect()
    }

    fn evaluation(&self, now: DateTime<Utc>) -> Evaluation {
        let people = self.approvers(now);
        let filled = self.filled(now);
        let impossible = self.impossible();
        let needed = self.cell.required_approvals;
        let enough = u32::try_from(people.len()).unwrap_or(u32::MAX) >= needed;
        let mut children: Vec<Evaluation> =
            self.cell.required_roles.iter().map(|role| self.role(role, filled.get(role), &people)).collect();
        // Whoever fills an open role counts as a person too; these are needed besides.
        let open = self.cell.required_roles.len() - filled.len();
        let besides = (needed as usize).saturating_sub(people.len() + open);
        if besides > 0 {
            let missing = self.anyone_else(besides, &people);
            children.push(Evaluation {
                name: "number of people".to_owned(),
                status: Status::Pending,
                reason: format!("{} of {needed} different people have approved", people.len()),
                children: Vec::new(),
                approvers: people.clone(),
                missing,
            });
        }
        let satisfied = enough && filled.len() == self.cell.required_roles.len();
        let missing: Vec<String> = children.iter().flat_map(|c| c.missing.clone()).collect();
        let (status, reason) = match (satisfied, impossible) {
            (true, _) => (Status::Approved, self.why_approved(&people, &filled)),
            (false, Some(reason)) => (Status::Disapproved, reason),
            (false, None) if self.expired(now) => (Status::Disapproved, self.why_expired()),
            (false, None) => {
                let open: Vec<String> = self
                    .cell
                    .required_roles
                    .iter()
                    .filter(|r| !filled.contains_key(*r))
                    .map(|r| format!("`{r}`"))
                    .collect();
                let people_needed = needed.max(u32::try_from(self.cell.required_roles.len()).unwrap_or(u32::MAX));
                let besides = (besides > 0).then(|| format!("{besides} more of {}", self.role_names()));
                let who = open.into_iter().chain(besides).collect::<Vec<_>>().join(", ");
                (Status::Pending, format!("{} of {people_needed} approvals; missing {who}", people.len()))
            }
        };
        Evaluation { name: self.environment.to_string(), status, reason, children, approvers: people, missing }
    }

    fn role(&self, role: &RoleName, by: Option<&Login>, people: &[Login]) -> Evaluation {
        let name = format!("role {role}");
        match by {
            Some(login) => {
                let how =
                    if !self.ways(login, role).is_empty() { "approved" } else { "is the author, which is enough here" };
                Evaluation {
                    approvers: vec![login.clone()],
                    ..Evaluation::leaf(&name, Status::Approved, format!("@{login} {how}"))
                }
            }
            None => {
                let (teams, users) = self.askable(role);
                let names: Vec<String> = teams
                    .into_iter()
                    .chain(users.iter().filter(|u| !people.contains(u)).map(|u| format!("@{u}")))
                    .collect();
                let who =
                    if names.is_empty() { format!("`{role}`") } else { format!("`{role}`: {}", names.join(", ")) };
                Evaluation {
                    missing: vec![who],
                    ..Evaluation::leaf(&name, Status::Pending, format!("nobody has approved as `{role}`"))
                }
            }
        }
    }

    fn role_names(&self) -> String {
        if self.cell.required_roles.is_empty() {
            return "anybody with write access".to_owned();
        }
        self.cell.required_roles.iter().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(", ")
    }

    /// Teams, and people who may approve as `role` here.
    fn askable(&self, role: &RoleName) -> (Vec<String>, Vec<Login>) {
        let holders: Vec<&RoleHolders> = self.policy.roles.counting_as(role).map(|(_, h)| h).collect();
        let teams: BTreeSet<String> = holders.iter().flat_map(|h| &h.teams).map(|t| format!("@{t}")).collect();
        let users: BTreeSet<&Login> =
            holders.iter().flat_map(|h| &h.users).filter(|u| !self.excluded(u) && self.voices.may_write(u)).collect();
        (teams.into_iter().collect(), users.into_iter().cloned().collect())
    }

    /// Who could make the number full besides those who fill open roles.
    fn anyone_else(&self, besides: usize, people: &[Login]) -> Vec<String> {
        if self.cell.required_roles.is_empty() {
            return vec![format!("{besides} more with write access")];
        }
        let mut who: BTreeSet<String> = BTreeSet::new();
        for role in &self.cell.required_roles {
            let (teams, users) = self.askable(role);
            who.extend(teams);
            who.extend(users.iter().filter(|u| !people.contains(u)).map(|u| format!("@{u}")));
        }
        let who: Vec<String> = who.into_iter().collect();
        vec![format!("{besides} more of {}: {}", self.role_names(), who.join(", "))]
    }

    /// Why no approval in the world could satisfy the cell; `None` when some could. Members of teams are not listed in
    /// a snapshot, so a team is taken to have enough.
    fn impossible(&self) -> Option<String> {
        let askable: Vec<(&RoleName, Vec<String>, Vec<Login>)> = self
            .cell
            .required_roles
            .iter()
            .map(|r| {
                let (teams, users) = self.askable(r);
                (r, teams, users)
            })
            .collect();
        for (role, teams, users) in &askable {
            if teams.is_empty() && users.is_empty() {
                return Some(self.why_nobody(role));
            }
        }
        let narrow: Vec<&(&RoleName, Vec<String>, Vec<Login>)> =
            askable.iter().filter(|(_, teams, _)| teams.is_empty()).collect();
        let people: Vec<&Login> =
            narrow.iter().flat_map(|(_, _, users)| users).collect::<BTreeSet<_>>().into_iter().collect();
        let filled = assign(narrow.len(), people.len(), &|role, person| narrow[role].2.contains(people[person]));
        let roles = |list: &[&(&RoleName, Vec<String>, Vec<Login>)]| {
            list.iter().map(|(r, _, _)| format!("`{r}`")).collect::<Vec<_>>().join(", ")
        };
        if filled.iter().any(Option::is_none) {
            return Some(format!("{} need different people, and too few hold them", roles(&narrow)));
        }
        let without_team = narrow.len() == askable.len() && !askable.is_empty();
        if without_team && u32::try_from(people.len()).unwrap_or(u32::MAX) < self.cell.required_approvals {
            return Some(format!(
                "{} approvals are asked for, and only {} may give one as {}",
                self.cell.required_approvals,
                people.iter().map(|p| format!("@{p}")).collect::<Vec<_>>().join(", "),
                roles(&narrow)
            ));
        }
        None
    }

    fn why_nobody(&self, role: &RoleName) -> String {
        let users: BTreeSet<&Login> = self.policy.roles.counting_as(role).flat_map(|(_, h)| &h.users).collect();
        if users.is_empty() {
            return format!("nobody holds the role `{role}`; name teams or people for it in `roles.yml`");
        }
        let names = users.iter().map(|u| format!("@{u}")).collect::<Vec<_>>().join(", ");
        if users.iter().all(|u| self.excluded(u)) {
            format!("only {names} holds the role `{role}`, and wrote this change; name another holder in `roles.yml`")
        } else {
            format!(
                "nobody who holds the role `{role}` may approve here ({names}): they wrote the change or cannot write"
            )
        }
    }

    fn why_approved(&self, people: &[Login], filled: &BTreeMap<RoleName, Login>) -> String {
        if self.cell.required_approvals == 0 && self.cell.required_roles.is_empty() {
            return "the cell asks for nobody".to_owned();
        }
        let by: Vec<String> = self
            .cell
            .required_roles
            .iter()
            .filter_map(|r| Some(format!("`{r}` by @{}", filled.get(r)?)))
            .chain(people.iter().filter(|p| !filled.values().any(|f| f == *p)).map(|p| format!("and @{p}")))
            .collect();
        let by = by.join(", ");
        by.strip_prefix("and ").map_or(by.clone(), str::to_owned)
    }

    fn why_expired(&self) -> String {
        let when = self.deadline().map(|d| d.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        format!(
            "the approvals expired {when}, {} hours after people were asked; `/godwit retry {}` asks anew",
            self.cell.timeout_hours, self.environment
        )
    }
}

impl Evaluation {
    /// A node without parts.
    pub(super) fn leaf(name: &str, status: Status, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status,
            reason: reason.into(),
            children: Vec::new(),
            approvers: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// Whether a person of this permission counts at all.
pub(super) fn counts(permission: Permission) -> bool {
    permission >= Permission::Write
}
