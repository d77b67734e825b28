//! The page of a pull request.

use std::sync::Arc;

use super::http::{Reply, Request};
use super::{PullHandle, SandboxError, Shared};

/// What a button does: gets the pull request and the login of the person who pressed it.
type Press = dyn Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync;

/// A prepared action offered on the page of one pull request.
#[derive(Clone)]
pub struct Button {
    pub(super) repo: String,
    pub(super) number: u64,
    pub(super) label: String,
    pub(super) press: Arc<Press>,
    /// Whether it goes away once it was pressed.
    pub(super) once: bool,
}

impl Button {
    /// A button on the page of `pull`; it goes away once it was pressed with success.
    pub fn once(
        pull: &PullHandle,
        label: &str,
        press: impl Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            repo: pull.repo().full_name().to_owned(),
            number: pull.number(),
            label: label.to_owned(),
            press: Arc::new(press),
            once: true,
        }
    }

    /// A button that stays.
    pub fn lasting(
        pull: &PullHandle,
        label: &str,
        press: impl Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync + 'static,
    ) -> Self {
        Self { once: false, ..Self::once(pull, label, press) }
    }
}

pub(super) fn is_own(path: &str) -> bool {
    path.starts_with("/_page/")
}

pub(super) fn answer(_: &Arc<Shared>, _: &Request) -> Reply {
    Reply::empty(404)
}
