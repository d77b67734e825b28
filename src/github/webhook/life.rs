//! Events about the App itself and its repositories, and workflow jobs that ask before they deploy.

use serde::Deserialize;

use super::{Common, InstallationPart, MalformedPayload, RepositoryPart, UserPart, read, sha};
use crate::github::event::{Event, RepoRef};
use crate::ids::RepoName;

/// `installation`.
pub(super) fn installation(body: &[u8]) -> Result<Option<Event>, MalformedPayload> {
    Ok(read::<InstallationPayload>(body)?.and_then(InstallationPayload::event))
}

/// `installation_repositories`.
pub(super) fn repositories(body: &[u8]) -> Result<Option<Event>, MalformedPayload> {
    Ok(read::<InstallationRepositoriesPayload>(body)?.and_then(InstallationRepositoriesPayload::event))
}

/// `repository`.
pub(super) fn repository(body: &[u8]) -> Result<Option<Event>, MalformedPayload> {
    Ok(read::<RepositoryPayload>(body)?.and_then(RepositoryPayload::event))
}

/// `deployment_protection_rule`.
pub(super) fn protection(body: &[u8]) -> Result<Option<Event>, MalformedPayload> {
    Ok(read::<ProtectionPayload>(body)?.and_then(ProtectionPayload::event))
}

/// A repository as the events of an installation name it.
#[derive(Deserialize)]
struct ShortRepository {
    id: u64,
    full_name: String,
}

fn references(list: Option<Vec<ShortRepository>>) -> Vec<RepoRef> {
    let known = |r: ShortRepository| Some(RepoRef { id: r.id, name: RepoName::new(r.full_name.as_str()).ok()? });
    list.unwrap_or_default().into_iter().filter_map(known).collect()
}

payload!(InstallationPayload { repositories: Option<Vec<ShortRepository>> });

impl InstallationPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        let known = ["created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"];
        if !known.contains(&common.action()) {
            return None;
        }
        Some(Event::Installation {
            installation: common.installation.as_ref()?.id,
            action: common.action().to_owned(),
            added: references(self.repositories),
            removed: Vec::new(),
        })
    }
}

payload!(InstallationRepositoriesPayload {
    repositories_added: Option<Vec<ShortRepository>>,
    repositories_removed: Option<Vec<ShortRepository>>,
});

impl InstallationRepositoriesPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        if !matches!(common.action(), "added" | "removed") {
            return None;
        }
        let (mut added, mut removed) = (references(self.repositories_added), Vec::new());
        // Entries of what was removed may lack fields, and only the names of what was removed matter.
        if common.action() == "removed" {
            removed = references(self.repositories_removed);
            added = Vec::new();
        }
        Some(Event::Installation {
            installation: common.installation.as_ref()?.id,
            action: common.action().to_owned(),
            added,
            removed,
        })
    }
}

payload!(RepositoryPayload {});

impl RepositoryPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        if !matches!(common.action(), "renamed" | "transferred") {
            return None;
        }
        Some(Event::Renamed { repo: common.repository()? })
    }
}

#[derive(Deserialize)]
struct DeploymentPart {
    sha: String,
}

payload!(ProtectionPayload {
    environment: Option<String>,
    deployment_callback_url: Option<String>,
    deployment: Option<DeploymentPart>,
});

impl ProtectionPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        if common.action() != "requested" {
            return None;
        }
        Some(Event::ProtectionRule {
            repo: common.repository()?,
            environment: self.environment?,
            run: run_of(self.deployment_callback_url.as_deref()?)?,
            commit: sha(&self.deployment?.sha)?,
        })
    }
}

/// The workflow run's number in `…/actions/runs/NUMBER/deployment_protection_rule`. Nothing else of the address is used.
fn run_of(address: &str) -> Option<u64> {
    let (_, rest) = address.rsplit_once("/actions/runs/")?;
    rest.strip_suffix("/deployment_protection_rule")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_a_callback_address_is_taken() {
        let good = "https://api.github.com/repos/o/r/actions/runs/77/deployment_protection_rule";
        assert_eq!(run_of(good), Some(77));
        for bad in [
            "https://evil.example/",
            "https://api.github.com/repos/o/r/actions/runs/77",
            "https://api.github.com/repos/o/r/actions/runs/7/7/deployment_protection_rule",
            "https://api.github.com/repos/o/r/actions/runs/-1/deployment_protection_rule",
        ] {
            assert_eq!(run_of(bad), None, "{bad}");
        }
    }
}
