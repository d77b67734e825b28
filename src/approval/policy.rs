//! Everything that judges a pull request, read from one commit: the tip of its base branch (B-4).

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::Binding;
use super::codeowners::{CodeOwners, Owner, OwnerRule};
use crate::config::matrix::CodeOwnersRule;
use crate::config::roles::DATA_OPS_LEAD;
use crate::config::{
    ApprovalMatrix, ConfigError, Environments, LintConfig, Promotion, RepoConfig, Roles, ServiceSettings,
};
use crate::ids::{Digest, EnvironmentName, Login, Risk, RoleName, TeamSlug};
use crate::migration::paths::below;

/// The policy of one commit.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `godwit.yml`.
    pub repo: RepoConfig,
    /// `policies/environments.yml`.
    pub environments: Environments,
    /// `policies/approval_matrix.yml`, or the built-in matrix.
    pub matrix: ApprovalMatrix,
    /// `policies/roles.yml`.
    pub roles: Roles,
    /// `policies/lint.yml`.
    pub lint: LintConfig,
    /// `CODEOWNERS`, if there is one.
    pub codeowners: Option<CodeOwners>,
    /// SHA-256 over the raw bytes of all of the above, lower-case hexadecimal.
    pub hash: String,
    /// What was read but has no effect, credentials that stand in a file, lines of CODEOWNERS that GitHub skips.
    pub notes: Vec<ConfigError>,
    /// The files that were found, in the order in which they were read.
    pub files: Vec<String>,
}

const ENVIRONMENTS: &str = "environments.yml";
const MATRIX: &str = "approval_matrix.yml";
const ROLES: &str = "roles.yml";
const LINT: &str = "lint.yml";

/// Reads files, remembering which were there and hashing their bytes.
struct Reading<'r> {
    read: &'r dyn Fn(&str) -> Option<Vec<u8>>,
    hash: Sha256,
    files: Vec<String>,
    errors: Vec<ConfigError>,
    notes: Vec<ConfigError>,
}

impl Reading<'_> {
    fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        let bytes = (self.read)(path)?;
        // Length and name in front keep two files from being mistaken for one.
        self.hash.update(path.as_bytes());
        self.hash.update([0]);
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(&bytes);
        self.files.push(path.to_owned());
        Some(bytes)
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(e) => {
                let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
                self.errors.push(ConfigError {
                    file: path.to_owned(),
                    line: Some(line),
                    column: None,
                    message: "the file is not UTF-8 text".to_owned(),
                });
                None
            }
        }
    }

    fn parsed<T>(&mut self, path: &str, parse: impl FnOnce(&str, &str) -> Result<T, Vec<ConfigError>>) -> Option<T> {
        let text = self.text(path)?;
        match parse(path, &text) {
            Ok(value) => Some(value),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }
}

impl Policy {
    /// Reads the policy through `read`, which gives a file's bytes at the commit, or `None` where there is no such file.
    ///
    /// Without policy files the built-in matrix holds; without `environments` in `godwit.yml` the order of
    /// `environments.yml` is the promotion order.
    ///
    /// # Errors
    /// Every mistake found, located.
    pub fn load(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Self, Vec<ConfigError>> {
        match Self::salvage(read) {
            (policy, errors) if errors.is_empty() => Ok(policy),
            (_, errors) => Err(errors),
        }
    }

    /// The same with every mistake beside it: a file that is wrong counts as if it were not there. Such a policy judges
    /// nothing but the change that mends it.
    pub fn salvage(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> (Self, Vec<ConfigError>) {
        let mut from = Reading { read, hash: Sha256::new(), files: Vec::new(), errors: Vec::new(), notes: Vec::new() };
        let stated = from.parsed(RepoConfig::FILE, |_, text| RepoConfig::parse_stated(text));
        let (mut repo, order_stated) = stated.unwrap_or_else(|| (RepoConfig::default(), false));
        let folder = folder(&mut from, &repo.policies);
        let at = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let read_environments = from.parsed(&at(ENVIRONMENTS), Environments::parse);
        let has_environments = read_environments.is_some();
        let (environments, notes) = read_environments.unwrap_or_default();
        from.notes.extend(notes);
        let matrix = from.parsed(&at(MATRIX), ApprovalMatrix::parse).unwrap_or_default();
        let roles = from.parsed(&at(ROLES), Roles::parse).unwrap_or_default();
        let lint = from.parsed(&at(LINT), LintConfig::parse).unwrap_or_default();
        let codeowners = codeowners(&mut from);

        if has_environments && !order_stated && !environments.0.is_empty() {
            repo.environments = environments.0.iter().map(|e| e.name.clone()).collect();
        }
        repo.take_engines(&environments);
        for environment in &environments.0 {
            if !repo.environments.contains(&environment.name) {
                let known: Vec<&str> = repo.environments.iter().map(EnvironmentName::as_str).collect();
                from.errors.push(ConfigError {
                    file: at(ENVIRONMENTS),
                    line: None,
                    column: None,
                    message: format!(
                        "`{}` is not in the promotion order; `environments` of `godwit.yml` names {}",
                        environment.name,
                        crate::config::yaml::list(&known)
                    ),
                });
            }
        }
        let policy = Self {
            repo,
            environments,
            matrix,
            roles,
            lint,
            codeowners,
            hash: hex::encode(from.hash.finalize()),
            notes: from.notes,
            files: from.files,
        };
        (policy, from.errors)
    }

    /// Whether `path` is one of the files that judge pull requests; changing it needs the policy owners (DECISIONS 8).
    pub fn is_policy_path(&self, path: &str) -> bool {
        let in_folder = |folder: &str| match folder {
            "" => matches!(path, ENVIRONMENTS | MATRIX | ROLES | LINT),
            folder => below(path, folder).is_some(),
        };
        let in_config = RepoConfig::OTHER_POLICIES
            .iter()
            .filter_map(|folder| below(path, folder))
            .any(|name| matches!(name, ENVIRONMENTS | MATRIX | ROLES | LINT));
        path == RepoConfig::FILE
            || CodeOwners::LOCATIONS.contains(&path)
            || in_folder(&self.repo.policies)
            || in_folder("policies")
            || in_config
            || path.rsplit('/').next() == Some(ServiceSettings::FILE)
    }

    /// The lines of CODEOWNERS that must agree to a change of `path`: the one that decides, or every one, as the matrix
    /// says. None where nobody owns it.
    pub(super) fn owner_lines(&self, path: &str) -> Vec<&OwnerRule> {
        let Some(codeowners) = &self.codeowners else { return Vec::new() };
        match self.matrix.code_owners {
            CodeOwnersRule::AllLines => codeowners.lines_of(path),
            CodeOwnersRule::Any | CodeOwnersRule::AllOwners => {
                codeowners.owners_of(path).filter(|rule| !rule.owners.is_empty()).into_iter().collect()
            }
        }
    }

    /// What an approval is bound to. `policy_changes` are the policy files that the pull request touches, each with
    /// its bytes at the head (`None`: deleted): an approval of a policy change holds for these very bytes.
    pub fn binding(&self, digest: Digest, risk: Risk, policy_changes: &[(String, Option<Vec<u8>>)]) -> Binding {
        if policy_changes.is_empty() {
            return Binding { digest, policy_hash: self.hash.clone(), risk };
        }
        let mut changes: Vec<_> = policy_changes.iter().collect();
        changes.sort();
        let mut hash = Sha256::new();
        hash.update(self.hash.as_bytes());
        for (path, bytes) in changes {
            hash.update(path.as_bytes());
            hash.update([0, u8::from(bytes.is_some())]);
            let bytes = bytes.as_deref().unwrap_or_default();
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        Binding { digest, policy_hash: hex::encode(hash.finalize()), risk }
    }

    /// Whether a merge into `base_ref` starts `environment` by itself, is needed to be promoted, or does not concern it.
    pub(super) fn starts(&self, environment: &EnvironmentName, base_ref: &str, default_branch: Option<&str>) -> Start {
        let settings = self.environments.get(environment);
        let branch = settings.and_then(|e| e.branch.as_deref());
        // Without knowing the default branch an environment without `branch` is taken to be concerned.
        let concerned = match (branch, default_branch) {
            (Some(branch), _) | (None, Some(branch)) => branch == base_ref,
            (None, None) => true,
        };
        match (concerned, settings.map_or(Promotion::Auto, |e| e.promotion)) {
            (false, _) => Start::OtherBranch(branch.or(default_branch).unwrap_or_default().to_owned()),
            (true, Promotion::Auto) => Start::Merge,
            (true, Promotion::Manual) => Start::Promotion,
        }
    }

    /// The policy for a change or a run that has migrations of these services, which may ask more of environments
    /// ([`Environments::tightened`]). Its hash stays: what people agreed to is bound to the files of the policy.
    #[must_use]
    pub fn tightened<'s>(&self, by: impl IntoIterator<Item = &'s ServiceSettings>) -> Self {
        Self { environments: self.environments.tightened(by), ..self.clone() }
    }

    /// Whether somebody wrote an approval matrix; without one the built-in matrix judges pull requests.
    pub fn states_matrix(&self) -> bool {
        self.files.iter().any(|f| f.rsplit('/').next() == Some(MATRIX))
    }

    /// Whether the author's own approval is enough in `environment`: `auto_approve`, and never on the last one
    /// (DECISIONS 26), unless that is a playground by its name.
    pub(crate) fn auto_approves(&self, environment: &EnvironmentName) -> bool {
        let playground = matches!(environment.as_str(), "development" | "testing");
        let is_last = self.repo.environments.last() == Some(environment);
        (!is_last || playground) && self.environments.get(environment).is_some_and(|e| e.migration.auto_approve)
    }
}

/// What starts an environment after a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// The merge itself.
    Merge,
    /// A person.
    Promotion,
    /// A merge into this other branch.
    OtherBranch(String),
}

/// The teams whose members the gatherer must ask GitHub about for a decision about `paths`: of every role that can
/// be asked for, and the owners of the paths.
pub fn relevant_teams(policy: &Policy, paths: &[String]) -> BTreeSet<TeamSlug> {
    let roles = relevant_roles(policy);
    let of_roles = policy.roles.0.iter().filter(|(name, _)| roles.contains(*name)).flat_map(|(_, h)| h.teams.clone());
    let of_paths = path_owners(policy, paths).into_iter().filter_map(|o| match o {
        Owner::Team(team) => Some(team),
        Owner::User(_) | Owner::Email(_) => None,
    });
    of_roles.chain(of_paths).collect()
}

/// The people that the policy names for a decision about `paths`, whose permission the gatherer must ask for besides
/// that of everyone who reviewed or set a label.
pub fn relevant_people(policy: &Policy, paths: &[String]) -> BTreeSet<Login> {
    let roles = relevant_roles(policy);
    let of_roles = policy.roles.0.iter().filter(|(name, _)| roles.contains(*name)).flat_map(|(_, h)| h.users.clone());
    let of_paths = path_owners(policy, paths).into_iter().filter_map(|o| match o {
        Owner::User(login) => Some(login),
        Owner::Team(_) | Owner::Email(_) => None,
    });
    of_roles.chain(of_paths).collect()
}

fn relevant_roles(policy: &Policy) -> BTreeSet<RoleName> {
    // The lead counts as `data_ops` and owns the policy where CODEOWNERS is silent.
    let lead = RoleName::new(DATA_OPS_LEAD).expect("a plain word is a role name");
    policy.matrix.roles().cloned().chain([lead]).collect()
}

/// The owners that CODEOWNERS names for `paths`.
pub fn path_owners(policy: &Policy, paths: &[String]) -> BTreeSet<Owner> {
    paths.iter().flat_map(|p| policy.owner_lines(p)).flat_map(|r| r.owners.clone()).collect()
}

/// The folder of the policy files: the configured one, or where that holds none, one of those that other tools keep them in.
fn folder(from: &mut Reading<'_>, configured: &str) -> String {
    let exists = |folder: &str| {
        [ENVIRONMENTS, MATRIX].into_iter().find(|name| {
            let path = if folder.is_empty() { (*name).to_owned() } else { format!("{folder}/{name}") };
            (from.read)(&path).is_some()
        })
    };
    let [other, nested] = RepoConfig::OTHER_POLICIES;
    if configured == other {
        return configured.to_owned();
    }
    match (exists(configured), exists(other)) {
        (Some(ours), Some(theirs)) => {
            from.errors.push(ConfigError {
                file: format!("{other}/{theirs}"),
                line: None,
                column: None,
                message: format!(
                    "policies stand in two places, here and in `{configured}/{ours}`; keep one of them, so that nobody \
                     wonders which holds"
                ),
            });
            configured.to_owned()
        }
        (None, Some(_)) => other.to_owned(),
        (None, None) if exists(nested).is_some() => nested.to_owned(),
        (Some(_), None) | (None, None) => configured.to_owned(),
    }
}

fn codeowners(from: &mut Reading<'_>) -> Option<CodeOwners> {
    let (path, bytes) = CodeOwners::LOCATIONS.iter().find_map(|path| from.bytes(path).map(|b| (*path, b)))?;
    let located =
        |line: Option<usize>, message: String| ConfigError { file: path.to_owned(), line, column: None, message };
    if bytes.len() >= CodeOwners::MAX_BYTES {
        from.notes.push(located(
            None,
            format!("the file has {} bytes; GitHub does not load 3 MB or more, so no path has an owner", bytes.len()),
        ));
        return None;
    }
    let codeowners = CodeOwners::parse(path, &String::from_utf8_lossy(&bytes));
    let skipped = codeowners
        .skipped
        .iter()
        .map(|(line, reason)| located(usize::try_from(*line).ok(), format!("GitHub skips this line: {reason}")));
    from.notes.extend(skipped);
    Some(codeowners)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn load(files: &[(&str, &str)]) -> Result<Policy, Vec<ConfigError>> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        Policy::load(&|path| files.get(path).map(|t| t.as_bytes().to_vec()))
    }

    #[test]
    fn without_any_file_the_built_in_matrix_holds() {
        let policy = load(&[]).expect("nothing is wrong");
        assert_eq!(policy.matrix, ApprovalMatrix::built_in());
        assert_eq!(policy.repo.environments.len(), 4);
        assert!(policy.codeowners.is_none());
    }

    #[test]
    fn policies_in_two_places_are_refused() {
        let matrix = ApprovalMatrix::BUILT_IN;
        assert!(load(&[("config/approval_matrix.yml", matrix)]).is_ok());
        let errors = load(&[("config/approval_matrix.yml", matrix), ("policies/environments.yml", "development:\n")])
            .expect_err("two places");
        assert!(errors[0].message.contains("two places"), "{errors:?}");
        let only_config =
            load(&[("godwit.yml", "version: 1\npolicies: config\n"), ("config/approval_matrix.yml", matrix)]);
        assert!(only_config.is_ok());
    }

    #[test]
    fn s2_14_s2_15_policies_beside_the_scripts_hold_where_no_others_are() {
        let matrix = "development:\n  ANY: { required_approvals: 7, required_roles: [], timeout_hours: 1, emergency_override: false }\n";
        let nested = [
            ("migrations/config/environments.yml", "qa: {}\nlive: {}\n"),
            ("migrations/config/approval_matrix.yml", matrix),
        ];
        let policy = load(&nested).expect("valid");
        assert_eq!(policy.files, nested.map(|(path, _)| path));
        assert_eq!(policy.repo.environments.iter().map(ToString::to_string).collect::<Vec<_>>(), ["qa", "live"]);
        assert!(policy.is_policy_path("migrations/config/roles.yml"));
        assert!(!policy.is_policy_path("migrations/config/other.yml"));
        // Others come first, as before.
        for ours in ["policies/environments.yml", "config/environments.yml"] {
            let policy = load(&[nested[0], nested[1], (ours, "development: {}\n")]).expect("valid");
            assert_eq!(policy.files, [ours]);
        }
    }

    #[test]
    fn every_file_s_mistakes_are_told_together() {
        let errors = load(&[
            ("godwit.yml", "version: 2\n"),
            ("policies/roles.yml", "dba: 1\n"),
            ("policies/lint.yml", "\nlevels: {}\n"),
            ("policies/environments.yml", "qa: {}\ndevelopment: 1\n"),
        ])
        .expect_err("wrong");
        let files: Vec<_> = errors.iter().map(|e| (e.file.as_str(), e.line)).collect();
        assert_eq!(
            files,
            [
                ("godwit.yml", Some(1)),
                ("policies/environments.yml", Some(2)),
                ("policies/roles.yml", Some(1)),
                ("policies/lint.yml", Some(2))
            ]
        );
    }

    #[test]
    fn an_environment_outside_the_promotion_order_is_refused() {
        let errors = load(&[
            ("godwit.yml", "version: 1\nenvironments: [development, production]\n"),
            ("policies/environments.yml", "staging: {}\n"),
        ])
        .expect_err("staging is nowhere");
        assert!(errors[0].message.contains("`staging` is not in the promotion order"), "{errors:?}");
        let policy = load(&[("policies/environments.yml", "qa: {}\nlive: {}\n")]).expect("valid");
        assert_eq!(policy.repo.environments.iter().map(ToString::to_string).collect::<Vec<_>>(), ["qa", "live"]);
    }

    #[test]
    fn b5_codeowners_is_searched_in_githubs_order() {
        let all = [("docs/CODEOWNERS", "* @docs"), ("CODEOWNERS", "* @root"), (".github/CODEOWNERS", "* @github")];
        for (n, expected) in [(3, ".github/CODEOWNERS"), (2, "CODEOWNERS"), (1, "docs/CODEOWNERS")] {
            let policy = load(&all[..n]).expect("valid");
            assert_eq!(policy.codeowners.map(|c| c.path).as_deref(), Some(expected));
        }
        let big = format!("* @x\n#{}", "x".repeat(CodeOwners::MAX_BYTES));
        let policy = load(&[("CODEOWNERS", &big)]).expect("valid");
        assert!(policy.codeowners.is_none());
        assert!(policy.notes[0].message.contains("GitHub does not load"), "{:?}", policy.notes);
    }

    #[test]
    fn the_hash_follows_every_byte() {
        let base = load(&[("policies/roles.yml", "dba: []\n")]).expect("valid").hash;
        for files in [
            &[("policies/roles.yml", "dba: []\n\n")][..],
            &[],
            &[("policies/roles.yml", "dba: []\n"), ("CODEOWNERS", "")],
            &[("config/roles.yml", "dba: []\n")],
        ] {
            assert_ne!(load(files).expect("valid").hash, base, "{files:?}");
        }
    }

    #[test]
    fn b4_policy_paths_are_known() {
        let policy = load(&[("godwit.yml", "version: 1\npolicies: ops/rules\n")]).expect("valid");
        for path in [
            "godwit.yml",
            "ops/rules/roles.yml",
            "policies/lint.yml",
            "config/approval_matrix.yml",
            ".github/CODEOWNERS",
            "CODEOWNERS",
            "docs/CODEOWNERS",
            "services/a/environments.json",
        ] {
            assert!(policy.is_policy_path(path), "{path}");
        }
        for path in ["src/godwit.yml", "config/app.yml", "ops/rules.yml", "policies.yml", "docs/policies/x.yml"] {
            assert!(!policy.is_policy_path(path), "{path}");
        }
    }
}
