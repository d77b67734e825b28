//! The first installation: a pull request that adds Godwit's files to a repository that has none. Opened once; whoever
//! closes it has said no.

use std::collections::BTreeMap;

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use crate::config::RepoConfig;
use crate::git::Want;
use crate::github::{GithubError, Repository};
use crate::ids::CommitSha;
use crate::migration::{MigrationRoot, resolve};
use crate::report::beginning::Policies;
use crate::report::onboarding::{self, Found};

/// The branch of the proposal.
const BRANCH: &str = "godwit/onboarding";
/// Its title.
const TITLE: &str = "Set up Godwit for database migrations";
/// Files above this many bytes are named, not read (bytes).
const MAX_FILE: u64 = 1024 * 1024;
/// What migrations are written in.
const EXTENSIONS: [&str; 4] = [".sql", ".json", ".lua", ".js"];

impl Bot {
    /// Proposes the files where the default branch has no `godwit.yml` and nobody was asked before.
    /// `chosen`: an owner picked this repository, so it is asked even where it holds no migrations yet.
    pub(super) async fn propose_files(&self, repository: &Repository, chosen: bool) -> Result<(), JobError> {
        let place = self.place(repository).await?;
        let Some((tip, found)) = self.look_for_migrations(&place).await? else { return Ok(()) };
        if found.folders.is_empty() && !chosen {
            return Ok(());
        }
        if !place.api.pulls_from(BRANCH).await?.is_empty() || place.api.own_issue(onboarding::MARKER).await?.is_some() {
            return Ok(());
        }
        match self.open_proposal(&place, &tip, &found).await {
            // The App may not write files, which few allow: an issue says the same.
            Err(JobError::Github(GithubError::Forbidden { .. } | GithubError::NotFound { .. })) => {
                let text = onboarding::issue(&repository.name, &found);
                match place.api.create_issue(TITLE, &text).await {
                    Err(refused @ (GithubError::Forbidden { .. } | GithubError::NotFound { .. })) => {
                        tracing::warn!(repo = %repository.name, error = %refused, "the files could not be proposed");
                        Ok(())
                    }
                    other => other.map(drop).map_err(JobError::from),
                }
            }
            other => other,
        }
    }

    async fn open_proposal(&self, place: &Place, tip: &CommitSha, found: &Found) -> Result<(), JobError> {
        let files = onboarding::files(found);
        let base = &place.repository.default_branch;
        place.api.push_files(BRANCH, tip, TITLE, &files).await?;
        place.api.open_pull(BRANCH, base, TITLE, &onboarding::text(&place.repository.name, found)).await?;
        Ok(())
    }

    /// The tip of the default branch and its migrations; `None` where there is nothing to propose.
    async fn look_for_migrations(&self, place: &Place) -> Result<Option<(CommitSha, Found)>, JobError> {
        let branch = place.repository.default_branch.clone();
        self.git(place, &[Want::Branch(branch.clone())], move |mirror| {
            // An empty repository has nothing to put a proposal onto.
            let Some(tip) = mirror.branch(&branch)? else { return Ok(None) };
            if mirror.file(&tip, RepoConfig::FILE)?.is_some() {
                return Ok(None);
            }
            let wanted = |path: &str| EXTENSIONS.iter().any(|e| path.ends_with(e));
            let files = mirror.files(&tip, MAX_FILE, &wanted)?;
            let set = resolve(&files, &[MigrationRoot::folder("**")]);
            let mut policies = BTreeMap::new();
            for path in Policies::paths() {
                if let Some(bytes) = mirror.file(&tip, &path)? {
                    policies.insert(path, bytes);
                }
            }
            Ok(Some((tip, onboarding::found(&set, Policies::of(&policies)))))
        })
        .await
    }
}
