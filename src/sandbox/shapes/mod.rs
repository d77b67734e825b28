//! The stand-in's state in the shapes of GitHub's REST API and webhooks, with every field that GitHub promises.

mod accounts;
mod checks;
mod commits;
mod issues;
mod pulls;
mod repos;

use chrono::{DateTime, Utc};

pub(super) use accounts::{account, app, installation, installation_reference, organization, simple_team, team};
pub(super) use checks::{annotation, check_run, check_suite, combined_status, deployment, deployment_state, status};
pub(super) use commits::{commit, file, git_commit, plain_commit, pushed_commit};
pub(super) use issues::{comment, event_word, issue, issue_event, label, reaction, timeline_item};
pub(super) use pulls::{Detail, line_comment, pull, review};
pub(super) use repos::repository;

/// GitHub's form of a time: seconds, UTC, `Z`.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
