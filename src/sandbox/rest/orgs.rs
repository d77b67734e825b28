//! People, organisations and teams.

use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::shapes;
use super::super::state::{Org, Permission, Repo, Team};
use super::{Answer, Call, not_found};

pub(super) fn user(call: &Call<'_>, login: &str) -> Answer {
    let (created, known) = match (call.world.user(login), call.world.orgs.get(&login.to_lowercase())) {
        (Some(user), _) => (user.created_at, true),
        (None, Some(org)) => (org.created_at, true),
        (None, None) => (call.world.now(), false),
    };
    if !known {
        return Err(not_found());
    }
    let mut shape = shapes::account(call.world, login);
    for (name, value) in [
        ("name", shape["login"].clone()),
        ("company", Value::Null),
        ("blog", json!("")),
        ("location", Value::Null),
        ("email", Value::Null),
        ("hireable", Value::Null),
        ("bio", Value::Null),
        ("twitter_username", Value::Null),
        ("public_repos", json!(0)),
        ("public_gists", json!(0)),
        ("followers", json!(0)),
        ("following", json!(0)),
        ("created_at", json!(shapes::time(created))),
        ("updated_at", json!(shapes::time(created))),
    ] {
        shape[name] = value;
    }
    Ok(Reply::json(200, shape))
}

pub(super) fn route(call: &Call<'_>, org: &str, rest: &[&str]) -> Answer {
    call.may(&["members"], "read")?;
    let org = call.world.orgs.get(&org.to_lowercase()).ok_or_else(not_found)?;
    match rest {
        ["teams"] => {
            let seen = org.teams.values().filter(|t| !t.secret);
            call.page(seen.map(|t| shapes::team(call.world, org, t)).collect())
        }
        ["teams", slug] => Ok(Reply::json(200, shapes::team(call.world, org, team(org, slug)?))),
        ["teams", slug, "members"] => {
            let team = team(org, slug)?;
            let members = org.members.iter().filter(|m| call.world.in_team(org, &team.slug, m) == Some(true));
            call.page(members.map(|m| shapes::account(call.world, m)).collect())
        }
        ["teams", slug, "memberships", login] => {
            let team = team(org, slug)?;
            let active = call.world.in_team(org, &team.slug, login).ok_or_else(not_found)?;
            let url = format!("{}/organizations/{}/team/{}/memberships/{login}", call.world.base_url, org.id, team.id);
            let state = if active { "active" } else { "pending" };
            Ok(Reply::json(200, json!({ "url": url, "role": "member", "state": state })))
        }
        ["teams", slug, "repos", owner, name] => {
            let team = team(org, slug)?;
            let repo = call.world.repo(&format!("{owner}/{name}")).ok_or_else(not_found)?;
            let held = granted(org, team, repo).ok_or_else(not_found)?;
            // Only who asks for the repository is told what the team may do in it.
            if !call.request.header("accept").is_some_and(|a| a.contains("repository+json")) {
                return Ok(Reply::empty(204));
            }
            let mut shape = shapes::repository(call.world, repo);
            shape["permissions"] = json!({
                "admin": held >= Permission::Admin, "maintain": held >= Permission::Maintain,
                "push": held >= Permission::Write, "triage": held >= Permission::Triage, "pull": true,
            });
            shape["role_name"] = json!(held.role_name());
            Ok(Reply::json(200, shape))
        }
        ["members", login] => {
            let member = org.members.iter().any(|m| m.eq_ignore_ascii_case(login));
            if member { Ok(Reply::empty(204)) } else { Err(not_found()) }
        }
        _ => Err(not_found()),
    }
}

/// What a team itself may do in a repository: what it was given, or a team above it.
pub(super) fn granted(org: &Org, team: &Team, repo: &Repo) -> Option<Permission> {
    let own = team.grants.get(&repo.full_name.to_lowercase()).copied();
    let above = team.parent.as_ref().and_then(|p| org.teams.get(p)).and_then(|p| granted(org, p, repo));
    own.max(above)
}

/// A team that the App can see: a secret one is as good as none.
fn team<'o>(org: &'o Org, slug: &str) -> Result<&'o Team, Reply> {
    org.teams.get(&slug.to_lowercase()).filter(|t| !t.secret).ok_or_else(not_found)
}
