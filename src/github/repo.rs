//! What is read of a repository: pull requests, people, teams, tokens for git.

use secrecy::SecretString;

use super::client::{Caller, Github, segment};
use super::error::GithubError;
use super::model::{ChangedFile, Commit, Membership, PullRequest, Repo, RepoPermission, Review, TimelineEntry, User};
use crate::approval::Permission;
use crate::ids::{CommitSha, Login, PrNumber, RepoName, TeamSlug};

/// GitHub lists at most this many files of a pull request.
const FILES_CAP: usize = 3000;

/// GitHub's words for a pull request that was aimed at another branch, by a person or because its base was merged.
pub const RETARGETED: [&str; 2] = ["base_ref_changed", "automatic_base_change_succeeded"];

/// One repository, with the rights of its installation; cheap to clone.
#[derive(Clone)]
pub struct RepoApi {
    pub(super) caller: Caller,
    pub(super) repo: RepoName,
    pub(super) github: Github,
}

/// The files of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// All of them.
    Complete(Vec<ChangedFile>),
    /// GitHub cut the list off; git has to be asked.
    CutOff,
}

impl RepoApi {
    /// The repository's name.
    pub fn name(&self) -> &RepoName {
        &self.repo
    }

    /// `/repos/OWNER/NAME` and `rest`.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", segment(self.repo.owner()), segment(self.repo.name()))
    }

    /// The repository itself.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn repository(&self) -> Result<Repo, GithubError> {
        self.caller.get(&self.path("")).await
    }

    /// An installation token for git. It belongs into an `Authorization` header and nowhere else.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn git_token(&self) -> Result<SecretString, GithubError> {
        self.caller.token().await
    }

    /// A pull request as it is now.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn pull(&self, number: PrNumber) -> Result<PullRequest, GithubError> {
        self.caller.get(&self.path(&format!("/pulls/{}", number.0))).await
    }

    /// Open pull requests, into `base` only where it is given.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn open_pulls(&self, base: Option<&str>) -> Result<Vec<PullRequest>, GithubError> {
        let filter = base.map(|b| format!("&base={}", segment(b))).unwrap_or_default();
        self.caller.list(&self.path(&format!("/pulls?state=open{filter}"))).await
    }

    /// Pull requests that were closed last, newest change first; one page of at most a hundred.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn recently_closed(&self) -> Result<Vec<PullRequest>, GithubError> {
        self.caller.get(&self.path("/pulls?state=closed&sort=updated&direction=desc&per_page=100")).await
    }

    /// The files of a pull request, or that the list is cut off.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn files(&self, pull: &PullRequest) -> Result<Files, GithubError> {
        let path = self.path(&format!("/pulls/{}/files", pull.number.0));
        let files: Vec<ChangedFile> = self.caller.list(&path).await?;
        let cut_off = files.len() >= FILES_CAP || files.len() < pull.changed_files;
        Ok(if cut_off { Files::CutOff } else { Files::Complete(files) })
    }

    /// The commits of a pull request; GitHub stops at 250.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn commits(&self, number: PrNumber) -> Result<Vec<Commit>, GithubError> {
        self.caller.list(&self.path(&format!("/pulls/{}/commits", number.0))).await
    }

    /// One commit.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn commit(&self, sha: &CommitSha) -> Result<Commit, GithubError> {
        self.caller.get(&self.path(&format!("/commits/{sha}"))).await
    }

    /// Pull requests that contain a commit.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn pulls_of_commit(&self, sha: &CommitSha) -> Result<Vec<PullRequest>, GithubError> {
        self.caller.list(&self.path(&format!("/commits/{sha}/pulls"))).await
    }

    /// Every review, oldest first.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn reviews(&self, number: PrNumber) -> Result<Vec<Review>, GithubError> {
        self.caller.list(&self.path(&format!("/pulls/{}/reviews", number.0))).await
    }

    /// Who set and removed labels, and when the pull request was aimed at another branch, oldest first.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn label_timeline(&self, number: PrNumber) -> Result<Vec<TimelineEntry>, GithubError> {
        let path = self.path(&format!("/issues/{}/timeline", number.0));
        let all: Vec<TimelineEntry> = self.caller.list(&path).await?;
        let of_label = |e: &TimelineEntry| e.label.is_some() && matches!(&*e.event, "labeled" | "unlabeled");
        Ok(all.into_iter().filter(|e| of_label(e) || RETARGETED.contains(&&*e.event)).collect())
    }

    /// What a person may do in the repository. Somebody GitHub does not know may do nothing.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn permission(&self, login: &Login) -> Result<Permission, GithubError> {
        let path = self.path(&format!("/collaborators/{}/permission", segment(login.as_str())));
        match self.caller.get::<RepoPermission>(&path).await {
            Ok(given) => Ok(permission(&given)),
            Err(GithubError::NotFound { .. }) => Ok(Permission::None),
            Err(e) => Err(e),
        }
    }

    /// How many members a team has, its child teams included.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or the App cannot see the team.
    pub async fn team_size(&self, team: &TeamSlug) -> Result<usize, GithubError> {
        let (org, slug) = (segment(team.org()), segment(team.slug()));
        let members: Vec<User> = self.caller.list(&format!("/orgs/{org}/teams/{slug}/members")).await?;
        Ok(members.len())
    }

    /// Whether a person is an active member of a team, its child teams included. A team that the App cannot see has no
    /// members (fail closed).
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn is_member(&self, team: &TeamSlug, login: &Login) -> Result<bool, GithubError> {
        let (org, slug, who) = (segment(team.org()), segment(team.slug()), segment(login.as_str()));
        match self.caller.get::<Membership>(&format!("/orgs/{org}/teams/{slug}/memberships/{who}")).await {
            Ok(membership) => Ok(membership.state == "active"),
            Err(GithubError::NotFound { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// The exact role where GitHub names one it documents, else the coarse permission. Unknown words mean nothing may be done.
fn permission(given: &RepoPermission) -> Permission {
    let role = given.role_name.as_deref().and_then(permission_word);
    role.or_else(|| permission_word(&given.permission)).unwrap_or(Permission::None)
}

/// GitHub's word for a permission.
pub(super) fn permission_word(word: &str) -> Option<Permission> {
    match word {
        "admin" => Some(Permission::Admin),
        "maintain" => Some(Permission::Maintain),
        "write" => Some(Permission::Write),
        "triage" => Some(Permission::Triage),
        "read" => Some(Permission::Read),
        "none" => Some(Permission::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_role_wins_and_unknown_words_give_nothing() {
        let given = |permission: &str, role: Option<&str>| RepoPermission {
            permission: permission.into(),
            role_name: role.map(Into::into),
        };
        for (input, expected) in [
            (given("write", Some("maintain")), Permission::Maintain),
            (given("read", Some("triage")), Permission::Triage),
            (given("write", Some("our-custom-role")), Permission::Write),
            (given("admin", None), Permission::Admin),
            (given("superuser", None), Permission::None),
        ] {
            assert_eq!(permission(&input), expected, "{input:?}");
        }
    }
}
