//! What owners do with the App: install it, take it off, suspend it, choose its repositories.

use serde_json::{Value, json};

use super::people::{RepoHandle, repo_mut};
use super::state::World;
use super::{Sandbox, SandboxError, webhooks};

/// The repositories of an installation as its events name them.
fn repositories(world: &World, chosen: impl Fn(&str) -> bool) -> Vec<Value> {
    let seen = world.repos.values().filter(|r| r.installed && chosen(&r.full_name));
    seen.map(|r| {
        json!({
            "id": r.id, "node_id": format!("R_{}", r.id), "name": r.name(), "full_name": r.full_name,
            "private": r.private,
        })
    })
    .collect()
}

impl Sandbox {
    fn installation(&self, person: &str, action: &str, change: impl FnOnce(&mut World)) {
        self.shared().change(|w| {
            change(w);
            let payload = json!({ "action": action, "repositories": repositories(w, |_| true) });
            webhooks::of_installation(w, "installation", person, payload);
        });
    }

    /// Gives the installation another permission, as when an owner accepts what the App asks for.
    pub fn allow(&self, permission: &str, level: &str) {
        self.shared().change(|w| w.app.permissions.insert(permission.to_owned(), level.to_owned()));
    }

    /// An owner suspends the App: its tokens end, and no event but this one is sent.
    pub fn suspend_app(&self, person: &str) {
        self.installation(person, "suspend", |w| {
            w.app.suspended = true;
            w.tokens.clear();
        });
    }

    /// An owner takes a suspension back.
    pub fn unsuspend_app(&self, person: &str) {
        self.installation(person, "unsuspend", |w| w.app.suspended = false);
    }

    /// An owner takes the App off the account.
    pub fn uninstall_app(&self, person: &str) {
        self.installation(person, "deleted", |w| {
            w.app.uninstalled = true;
            w.tokens.clear();
        });
    }

    /// An owner installs the App on the account.
    pub fn install_app(&self, person: &str) {
        self.installation(person, "created", |w| w.app.uninstalled = false);
    }
}

impl RepoHandle {
    /// An owner adds the repository to the App's installation.
    pub fn add_to_installation(&self, person: &str) -> Result<(), SandboxError> {
        self.choose(person, true)
    }

    /// An owner takes the repository out of the App's installation.
    pub fn remove_from_installation(&self, person: &str) -> Result<(), SandboxError> {
        self.choose(person, false)
    }

    fn choose(&self, person: &str, installed: bool) -> Result<(), SandboxError> {
        self.change(|w, name| {
            repo_mut(w, name)?.installed = true;
            let this = repositories(w, |n| n.eq_ignore_ascii_case(name));
            repo_mut(w, name)?.installed = installed;
            let (action, added, removed) =
                if installed { ("added", this, Vec::new()) } else { ("removed", Vec::new(), this) };
            let payload = json!({
                "action": action, "repositories_added": added, "repositories_removed": removed,
                "repository_selection": "selected", "requester": null,
            });
            webhooks::of_installation(w, "installation_repositories", person, payload);
            Ok(())
        })
    }
}
