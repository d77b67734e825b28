//! The policy that judges a merged pull request: that of the base branch as it is now, so that a policy that is mended
//! counts, and one that is tightened too. What the pull request itself changed never counts in its own favour.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::contents::Unreadable;
use crate::approval::Policy;
use crate::git::{GitError, Mirror};
use crate::ids::CommitSha;

/// The policies that judge a merged pull request.
#[derive(Debug, Clone)]
pub(super) struct Now {
    /// The one that judges: the files of the branch's tip, those that the pull request changed as they were before it.
    pub(super) policy: Policy,
    /// Where it changed any, the tip as it stands. It has to agree too.
    pub(super) also: Option<Policy>,
    /// The hash of the tip's own files.
    pub(super) hash: String,
}

/// The policies that judge what a merge brought, where `before` stood before it and `tip` stands now. `own` are the policy
/// files that it changed itself, `agreed` the policy that it was agreed to under.
///
/// What people agreed to is the content, and they said so under `agreed`; a policy that changes after the merge decides who
/// of them counts and how many there must be, and voids nothing. So both keep its hash, and its grading of findings.
pub(super) fn at(
    mirror: &Mirror,
    (before, tip): (&CommitSha, &CommitSha),
    own: &BTreeSet<&str>,
    agreed: &Policy,
) -> Result<Now, Unreadable> {
    let found = read(mirror, &|_| tip)?;
    let hash = found.hash.clone();
    let bound = |policy: Policy| Policy { hash: agreed.hash.clone(), lint: agreed.lint.clone(), ..policy };
    let also = bound(found);
    if own.is_empty() {
        return Ok(Now { policy: also, also: None, hash });
    }
    let mut policy = match read(mirror, &|path| if own.contains(path) { before } else { tip }).map(bound) {
        // Files of two times need not fit together; those that it was agreed to under do.
        Err(Unreadable::Policy(_)) => agreed.clone(),
        other => other?,
    };
    // How a database is reached is no gate: a host that is mended is used, whoever changed the file.
    for environment in &mut policy.environments.0 {
        let Some(stands) = also.environments.get(&environment.name) else { continue };
        for target in &mut environment.targets {
            if let Some(now) = stands.targets.iter().find(|t| t.name == target.name && t.engine == target.engine) {
                *target = now.clone();
            }
        }
    }
    Ok(Now { policy, also: Some(also), hash })
}

fn read<'c>(mirror: &Mirror, from: &dyn Fn(&str) -> &'c CommitSha) -> Result<Policy, Unreadable> {
    let failed: RefCell<Option<GitError>> = RefCell::new(None);
    let loaded = Policy::load(&|path| match mirror.file(from(path), path) {
        Ok(bytes) => bytes,
        Err(e) => {
            failed.borrow_mut().get_or_insert(e);
            None
        }
    });
    if let Some(e) = failed.into_inner() {
        return Err(e.into());
    }
    loaded.map_err(Unreadable::Policy)
}
