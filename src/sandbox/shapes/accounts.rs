//! Users, organisations, teams, the App and its installation.

use serde_json::{Value, json};

use super::super::state::{Org, Team, World};
use super::time;

/// A user, an organisation or the App's bot, as GitHub's `simple-user`. Unknown logins are shown as the ghost is.
pub(in crate::sandbox) fn account(world: &World, login: &str) -> Value {
    let org = world.orgs.get(&login.to_lowercase());
    let user = world.user(login);
    let id = org.map(|o| o.id).or(user.map(|u| u.id)).unwrap_or(10137);
    let login = org.map(|o| o.login.as_str()).or(user.map(|u| u.login.as_str())).unwrap_or(login);
    let kind = match (org, user) {
        (Some(_), _) => "Organization",
        (None, Some(user)) if user.bot => "Bot",
        (None, _) => "User",
    };
    let api = format!("{}/users/{login}", world.base_url);
    json!({
        "login": login,
        "id": id,
        "node_id": format!("U_{id}"),
        "avatar_url": format!("{}/avatars/{id}", world.base_url),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("{}/{login}", world.base_url),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// The organisation part of a webhook.
pub(in crate::sandbox) fn organization(world: &World, login: &str) -> Value {
    let id = world.orgs.get(&login.to_lowercase()).map_or(0, |o| o.id);
    let api = format!("{}/orgs/{login}", world.base_url);
    json!({
        "login": login,
        "id": id,
        "node_id": format!("O_{id}"),
        "url": api,
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events"),
        "hooks_url": format!("{api}/hooks"),
        "issues_url": format!("{api}/issues"),
        "members_url": format!("{api}/members{{/member}}"),
        "public_members_url": format!("{api}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/{id}", world.base_url),
        "description": "",
    })
}

/// GitHub's `team-organization`.
pub(in crate::sandbox) fn team_organization(world: &World, org: &Org) -> Value {
    let mut shape = organization(world, &org.login);
    shape["html_url"] = json!(format!("{}/{}", world.base_url, org.login));
    for (name, value) in [
        ("has_organization_projects", json!(false)),
        ("has_repository_projects", json!(false)),
        ("public_repos", json!(0)),
        ("public_gists", json!(0)),
        ("followers", json!(0)),
        ("following", json!(0)),
        ("type", json!("Organization")),
        ("created_at", json!(time(org.created_at))),
        ("updated_at", json!(time(org.created_at))),
        ("archived_at", Value::Null),
    ] {
        shape[name] = value;
    }
    shape
}

/// GitHub's `team-full`.
pub(in crate::sandbox) fn team(world: &World, org: &Org, team: &Team) -> Value {
    let mut shape = simple_team(world, org, team);
    shape["permission"] = json!("pull");
    shape["members_count"] = json!(team.members.iter().filter(|(_, active)| *active).count());
    shape["repos_count"] = json!(team.grants.len());
    shape["created_at"] = json!(time(org.created_at));
    shape["updated_at"] = json!(time(org.created_at));
    shape["organization"] = team_organization(world, org);
    shape
}

/// A team as a pull request names it.
pub(in crate::sandbox) fn simple_team(world: &World, org: &Org, team: &Team) -> Value {
    let api = format!("{}/organizations/{}/team/{}", world.base_url, org.id, team.id);
    json!({
        "id": team.id,
        "node_id": format!("T_{}", team.id),
        "url": api,
        "html_url": format!("{}/orgs/{}/teams/{}", world.base_url, org.login, team.slug),
        "name": team.name,
        "slug": team.slug,
        "description": null,
        "privacy": if team.secret { "secret" } else { "closed" },
        "notification_setting": "notifications_enabled",
        "permission": "push",
        "type": "organization",
        "organization_id": org.id,
        "members_url": format!("{api}/members{{/member}}"),
        "repositories_url": format!("{api}/repos"),
        "parent": null,
    })
}

/// The App; `slug` may name another one, of which nothing more is known.
pub(in crate::sandbox) fn app(world: &World, slug: &str) -> Value {
    let own = slug == world.app.slug;
    let id = if own { world.app.id } else { 900_000 + slug.len() as u64 };
    json!({
        "id": id,
        "slug": slug,
        "client_id": format!("Iv1.{id:016x}"),
        "node_id": format!("A_{id}"),
        "owner": account(world, &world.app.account),
        "name": slug,
        "description": "",
        "external_url": format!("{}/apps/{slug}", world.base_url),
        "html_url": format!("{}/apps/{slug}", world.base_url),
        "created_at": time(world.app.created_at),
        "updated_at": time(world.app.created_at),
        "permissions": world.app.permissions,
        "events": world.app.events,
        "installations_count": 1,
    })
}

pub(in crate::sandbox) fn installation(world: &World) -> Value {
    let (app, id) = (&world.app, world.app.installation);
    let target = account(world, &app.account);
    json!({
        "id": id,
        "client_id": format!("Iv1.{:016x}", app.id),
        "account": target,
        "repository_selection": "selected",
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", world.base_url),
        "repositories_url": format!("{}/installation/repositories", world.base_url),
        "html_url": format!("{}/settings/installations/{id}", world.base_url),
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": target["id"],
        "target_type": target["type"],
        "permissions": app.permissions,
        "events": app.events,
        "created_at": time(app.created_at),
        "updated_at": time(app.created_at),
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "suspended_by": null,
        "suspended_at": app.suspended.then(|| time(world.now())),
    })
}

/// The installation as webhooks name it.
pub(in crate::sandbox) fn installation_reference(world: &World) -> Value {
    json!({ "id": world.app.installation, "node_id": format!("I_{}", world.app.installation) })
}
