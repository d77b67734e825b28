//! What must hold besides the cells: complete lists, no `hold`, no open request for changes, code and policy owners.

use std::collections::BTreeSet;

use super::codeowners::{Owner, OwnerRule};
use super::environment::counts;
use super::voices::Voices;
use super::{CommitPerson, Evaluation, Policy, PullRequestSnapshot, Status};
use crate::config::matrix::{CodeOwnersRule, UnknownCommitters};
use crate::config::roles::DATA_OPS_LEAD;
use crate::ids::{Login, RoleName};

/// The gate of the owners of changed paths.
pub const CODE_OWNERS: &str = "code owners";
/// The gate that changes of the policy itself have to pass.
pub const POLICY_OWNERS: &str = "policy owners";

/// Every gate that applies.
pub(super) fn judge(policy: &Policy, snapshot: &PullRequestSnapshot, voices: &Voices<'_>) -> Vec<Evaluation> {
    let gates = Gates { policy, snapshot, voices };
    [gates.complete(), gates.hold(), gates.objections(), gates.committers(), gates.code_owners(), gates.policy_owners()]
        .into_iter()
        .flatten()
        .collect()
}

struct Gates<'a> {
    policy: &'a Policy,
    snapshot: &'a PullRequestSnapshot,
    voices: &'a Voices<'a>,
}

impl Gates<'_> {
    /// B-2: what GitHub did not list completely could hide a committer or a file.
    fn complete(&self) -> Option<Evaluation> {
        if self.snapshot.incomplete {
            return Some(Evaluation::leaf(
                "complete lists",
                Status::Disapproved,
                "GitHub cut off the list of commits or files and it could not be completed; split the pull request",
            ));
        }
        if self.snapshot.binding.is_none() && !self.snapshot.migration_paths.is_empty() {
            return Some(Evaluation::leaf(
                "complete lists",
                Status::Disapproved,
                "the content of the changed migrations could not be read",
            ));
        }
        None
    }

    fn hold(&self) -> Option<Evaluation> {
        let label = self.snapshot.labels.iter().find(|l| l.name.eq_ignore_ascii_case("hold"))?;
        let by = label.set_by.as_ref().map(|by| format!(" by @{by}")).unwrap_or_default();
        Some(Evaluation::leaf(
            "hold",
            Status::Disapproved,
            format!("the label `hold` was set{by}; take it off to go on"),
        ))
    }

    /// DECISIONS 6: a holder of a required role or a code owner says no.
    fn objections(&self) -> Option<Evaluation> {
        let roles: BTreeSet<&RoleName> = self
            .policy
            .repo
            .environments
            .iter()
            .filter_map(|e| self.policy.matrix.cell(e, self.voices.risk))
            .flat_map(|cell| &cell.required_roles)
            .collect();
        let rules = self.rules(&self.snapshot.migration_paths);
        let policy_rules = self.rules(&self.snapshot.policy_paths);
        let lead = RoleName::new(DATA_OPS_LEAD).expect("a plain word is a role name");
        let blocking: Vec<&Login> = self
            .voices
            .objections
            .iter()
            .filter(|login| {
                roles.iter().any(|r| self.voices.holds(login, r))
                    || rules.iter().chain(&policy_rules).any(|rule| self.owns(login, &rule.owners))
                    || (!self.snapshot.policy_paths.is_empty() && self.voices.holds(login, &lead))
            })
            .collect();
        if blocking.is_empty() {
            return None;
        }
        let names = blocking.iter().map(|l| format!("@{l}")).collect::<Vec<_>>().join(", ");
        Some(Evaluation {
            missing: vec![format!("{names}: an approval, or the dismissal of the review")],
            ..Evaluation::leaf("change requests", Status::Disapproved, format!("{names} requested changes"))
        })
    }

    /// DECISIONS 5: an address that maps to nobody could be an approver under another name.
    fn committers(&self) -> Option<Evaluation> {
        if self.policy.matrix.unknown_committers == UnknownCommitters::Warn {
            return None;
        }
        let unknown: Vec<String> = unknown_committers(self.snapshot).map(|e| format!("`{e}`")).collect();
        if unknown.is_empty() {
            return None;
        }
        Some(Evaluation::leaf(
            "commit authors",
            Status::Disapproved,
            format!(
                "commits name {}, which belong to no account on GitHub; the policy allows known authors only",
                unknown.join(", ")
            ),
        ))
    }

    /// B-5: each changed path that has owners needs one of them, besides the roles.
    fn code_owners(&self) -> Option<Evaluation> {
        let children: Vec<Evaluation> =
            self.rules(&self.snapshot.migration_paths).into_iter().map(|rule| self.rule(rule)).collect();
        gate(CODE_OWNERS, children)
    }

    /// DECISIONS 8: CODEOWNERS of the policy files, else `data_ops_lead`.
    fn policy_owners(&self) -> Option<Evaluation> {
        let mut children: Vec<Evaluation> =
            self.rules(&self.snapshot.policy_paths).into_iter().map(|rule| self.rule(rule)).collect();
        let unowned: Vec<String> = self
            .snapshot
            .policy_paths
            .iter()
            .filter(|path| self.policy.owner_lines(path).is_empty())
            .map(|path| format!("`{path}`"))
            .collect();
        if !unowned.is_empty() {
            children.push(self.lead(&unowned.join(", ")));
        }
        gate(POLICY_OWNERS, children)
    }

    fn lead(&self, paths: &str) -> Evaluation {
        let lead = RoleName::new(DATA_OPS_LEAD).expect("a plain word is a role name");
        let approver = self
            .voices
            .approvals
            .keys()
            .find(|login| self.voices.approves_as(login, &lead) && !self.voices.writers.contains(*login));
        match approver {
            Some(login) => Evaluation {
                approvers: vec![login.clone()],
                ..Evaluation::leaf(paths, Status::Approved, format!("@{login} approved as `{lead}`"))
            },
            None => {
                let names = self.policy.roles.describe(&lead);
                if names.is_empty() {
                    let reason = format!(
                        "{paths} has no code owner, and nobody holds the role `{lead}`; name one in CODEOWNERS or `roles.yml`"
                    );
                    return Evaluation::leaf(paths, Status::Disapproved, reason);
                }
                Evaluation {
                    missing: vec![format!("`{lead}`: {}", names.join(", "))],
                    ..Evaluation::leaf(paths, Status::Pending, format!("{paths} needs an approval as `{lead}`"))
                }
            }
        }
    }

    /// The rules with owners that decide about `paths`, each once, in file order.
    fn rules(&self, paths: &[String]) -> Vec<&OwnerRule> {
        let mut rules: Vec<&OwnerRule> = paths.iter().flat_map(|p| self.policy.owner_lines(p)).collect();
        rules.sort_by_key(|r| r.line);
        rules.dedup_by_key(|r| r.line);
        rules
    }

    /// Whether the person is one of `owners` and may write now.
    fn owns(&self, login: &Login, owners: &[Owner]) -> bool {
        let Some(person) = self.snapshot.people.get(login) else { return false };
        counts(person.permission)
            && owners.iter().any(|owner| match owner {
                Owner::User(user) => user == login,
                Owner::Team(team) => person.teams.contains(team),
                Owner::Email(_) => false,
            })
    }

    /// A review by one of `owners` from somebody who did not write the change.
    fn approver(&self, owners: &[Owner]) -> Option<&Login> {
        self.voices
            .approvals
            .iter()
            .filter(|(login, voice)| voice.review.is_some() && !self.voices.writers.contains(*login))
            .map(|(login, _)| login)
            .find(|login| self.owns(login, owners))
    }

    fn rule(&self, rule: &OwnerRule) -> Evaluation {
        match self.policy.matrix.code_owners {
            CodeOwnersRule::Any | CodeOwnersRule::AllLines => self.any_of(rule, &rule.owners),
            CodeOwnersRule::AllOwners => {
                let parts: Vec<Evaluation> =
                    rule.owners.iter().map(|o| self.any_of(rule, std::slice::from_ref(o))).collect();
                match parts.iter().find(|p| p.status != Status::Approved) {
                    Some(open) => Evaluation {
                        missing: parts.iter().flat_map(|p| p.missing.clone()).collect(),
                        approvers: parts.iter().flat_map(|p| p.approvers.clone()).collect(),
                        ..open.clone()
                    },
                    None => Evaluation {
                        approvers: parts.iter().flat_map(|p| p.approvers.clone()).collect(),
                        ..Evaluation::leaf(&format!("`{}`", rule.pattern), Status::Approved, "every owner approved")
                    },
                }
            }
        }
    }

    fn any_of(&self, rule: &OwnerRule, owners: &[Owner]) -> Evaluation {
        let name = format!("`{}`", rule.pattern);
        if let Some(login) = self.approver(owners) {
            return Evaluation {
                approvers: vec![login.clone()],
                ..Evaluation::leaf(&name, Status::Approved, format!("@{login} approved as code owner"))
            };
        }
        let could: Vec<String> = owners
            .iter()
            .filter(|owner| match owner {
                Owner::User(login) => self.voices.may_write(login) && !self.voices.writers.contains(login),
                Owner::Team(_) => true,
                // An address cannot be compared with a login.
                Owner::Email(_) => false,
            })
            .map(ToString::to_string)
            .collect();
        if could.is_empty() {
            let all = owners.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", ");
            let address = owners.iter().find(|o| matches!(o, Owner::Email(_)));
            let advice = address.map_or_else(String::new, |a| {
                format!("; GitHub does not say whose address `{a}` is: write `@login` or `@org/team` in its place")
            });
            let reason = format!(
                "no owner of `{}` ({all}) can approve: they wrote this change, cannot write to the repository, or are \
                 named by e-mail{advice}",
                rule.pattern
            );
            return Evaluation::leaf(&name, Status::Disapproved, reason);
        }
        let reason = format!("`{}` (CODEOWNERS line {}) waits for {}", rule.pattern, rule.line, could.join(" or "));
        Evaluation {
            missing: vec![format!("code owner of `{}`: {}", rule.pattern, could.join(", "))],
            ..Evaluation::leaf(&name, Status::Pending, reason)
        }
    }
}

/// Addresses in commits that map to no account.
pub(super) fn unknown_committers(snapshot: &PullRequestSnapshot) -> impl Iterator<Item = &str> {
    snapshot.commit_people.iter().filter_map(|p| match p {
        CommitPerson::Unknown(address) => Some(address.as_str()),
        CommitPerson::Known(_) => None,
    })
}

/// A node over its parts; `None` without parts.
fn gate(name: &str, children: Vec<Evaluation>) -> Option<Evaluation> {
    if children.is_empty() {
        return None;
    }
    let status = super::evaluate::worst(children.iter().map(|c| c.status));
    let reason = children
        .iter()
        .find(|c| c.status == status && status != Status::Approved)
        .map_or_else(|| "all have approved".to_owned(), |c| c.reason.clone());
    Some(Evaluation {
        name: name.to_owned(),
        status,
        reason,
        approvers: children.iter().flat_map(|c| c.approvers.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        missing: children.iter().flat_map(|c| c.missing.clone()).collect(),
        children,
    })
}
