//! Whose review is asked for.

use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::shapes::{self, Detail};
use super::super::state::Permission;
use super::super::{pulls, webhooks};
use super::{Answer, Call, number, refuse};

pub(super) fn route(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    let n = rest.get(1).map_or(Ok(0), |n| number(n))?;
    pulls::pull(call.world, name, n)?;
    let list = |field: &str| -> Vec<String> {
        let given = call.body[field].as_array().into_iter().flatten();
        given.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (people, teams) = (list("reviewers"), list("team_reviewers"));
    match method {
        "POST" => ask(call, name, n, people, teams),
        "DELETE" => {
            let part = pulls::pull_mut(call.world, name, n)?;
            part.requested_people.retain(|p| !people.iter().any(|x| x.eq_ignore_ascii_case(p)));
            part.requested_teams.retain(|t| !teams.contains(t));
            Ok(Reply::json(200, shapes::pull(call.world, name, n, Detail::Simple)))
        }
        _ => {
            let shape = shapes::pull(call.world, name, n, Detail::Simple);
            Ok(Reply::json(200, json!({ "users": shape["requested_reviewers"], "teams": shape["requested_teams"] })))
        }
    }
}

/// Asks; all of it or nothing. GitHub refuses the author, and whoever may not read the repository.
fn ask(call: &mut Call<'_>, name: &str, n: u64, people: Vec<String>, teams: Vec<String>) -> Answer {
    let (issue, part) = pulls::pull(call.world, name, n)?;
    if people.iter().any(|p| p.eq_ignore_ascii_case(&issue.author)) {
        return Err(refuse(422, "Review cannot be requested from pull request author."));
    }
    let repo = call.repo(name)?;
    let not_one = || {
        let words = "Reviews may only be requested from collaborators. One or more of the users or teams you specified \
                     is not a collaborator of the repository.";
        refuse(422, &format!("{words} {name}"))
    };
    let known = |login: &String| {
        call.world.user(login).is_some_and(|u| !u.bot) && call.world.permission(repo, login) > Permission::None
    };
    let org = call.world.orgs.get(&repo.owner().to_lowercase());
    let granted = |slug: &String| {
        let team = org.and_then(|o| o.teams.get(slug));
        team.is_some_and(|t| t.grants.contains_key(&repo.full_name.to_lowercase()))
    };
    if !people.iter().all(known) || !teams.iter().all(granted) {
        return Err(not_one());
    }
    let fresh_people: Vec<String> = people.into_iter().filter(|p| !part.requested_people.contains(p)).collect();
    let fresh_teams: Vec<String> = teams.into_iter().filter(|t| !part.requested_teams.contains(t)).collect();
    let part = pulls::pull_mut(call.world, name, n)?;
    part.requested_people.extend(fresh_people.iter().cloned());
    part.requested_teams.extend(fresh_teams.iter().cloned());
    let bot = call.bot();
    for login in fresh_people {
        let extra = json!({ "requested_reviewer": shapes::account(call.world, &login) });
        webhooks::pull_request(call.world, name, n, "review_requested", &bot, extra);
    }
    for slug in fresh_teams {
        let owner = call.repo(name)?.owner().to_lowercase();
        let Some(org) = call.world.orgs.get(&owner) else { continue };
        let Some(team) = org.teams.get(&slug) else { continue };
        let extra = json!({ "requested_team": shapes::simple_team(call.world, org, team) });
        webhooks::pull_request(call.world, name, n, "review_requested", &bot, extra);
    }
    Ok(Reply::json(201, shapes::pull(call.world, name, n, Detail::Simple)))
}
