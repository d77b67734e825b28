//! The App: its tokens, its installation, its deliveries.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::super::http::Reply;
use super::super::shapes;
use super::super::state::{Token, World};
use super::super::webhooks::{self, Attempt, Delivery};
use super::{Answer, Call, Caller, invalid, not_found, number, refuse};

/// Makes an installation token; gives it and its end.
pub(in crate::sandbox) fn mint(
    world: &mut World,
    permissions: Option<BTreeMap<String, String>>,
    repositories: Option<Vec<u64>>,
) -> (String, DateTime<Utc>) {
    let expires_at = world.now() + chrono::Duration::hours(1);
    let token = format!("ghs_{}{}", ulid::Ulid::generate(), world.new_id());
    let permissions = permissions.unwrap_or_else(|| world.app.permissions.clone());
    world.tokens.insert(token.clone(), Token { expires_at, permissions, repositories });
    (token, expires_at)
}

/// Refuses what GitHub refuses: another algorithm or key, another issuer, expired, too long, issued in the future.
pub(super) fn check_jwt(world: &World, jwt: &str) -> Result<(), Reply> {
    let unreadable = || refuse(401, "A JSON web token could not be decoded");
    let mut rules = Validation::new(Algorithm::RS256);
    // The stand-in's clock may have been moved: times are compared below.
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let claims = world.app.public_keys.iter().find_map(|key| {
        let key = DecodingKey::from_rsa_pem(key.as_bytes()).ok()?;
        Some(jsonwebtoken::decode::<Value>(jwt, &key, &rules).ok()?.claims)
    });
    let claims = claims.ok_or_else(unreadable)?;
    let issuer = match &claims["iss"] {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    if issuer != world.app.id.to_string() && issuer != format!("Iv1.{:016x}", world.app.id) {
        return Err(refuse(401, "'Issuer' claim ('iss') must be an Integer or the client id of an App"));
    }
    let now = world.now().timestamp();
    let (Some(issued), Some(expires)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
        return Err(refuse(401, "Missing 'issued at' claim ('iat') or 'expiration time' claim ('exp')"));
    };
    if expires <= now || issued > now + 60 {
        let words = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which \
                     the assertion expires";
        return Err(refuse(401, words));
    }
    if expires > now + 600 + 60 {
        return Err(refuse(401, "'Expiration time' claim ('exp') is too far in the future"));
    }
    Ok(())
}

pub(super) fn route(call: &mut Call<'_>, method: &str, path: &[&str]) -> Answer {
    match (method, path) {
        ("GET", ["app"]) => Ok(Reply::json(200, shapes::app(call.world, &call.world.app.slug))),
        ("GET", ["app", "installations"]) if call.world.app.uninstalled => call.page(Vec::new()),
        ("GET", ["app", "installations"]) => call.page(vec![shapes::installation(call.world)]),
        ("GET", ["app", "hook", "config"]) => {
            let url = call.world.app.webhook_url.clone().unwrap_or_default();
            let body = json!({ "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url });
            Ok(Reply::json(200, body))
        }
        ("GET", ["app", "installations", id]) => {
            own(call, id)?;
            Ok(Reply::json(200, shapes::installation(call.world)))
        }
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            own(call, id)?;
            access_token(call)
        }
        ("GET", ["app", "hook", "deliveries"]) => deliveries(call),
        ("GET", ["app", "hook", "deliveries", id]) => delivery(call, number(id)?),
        ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
            let id = number(id)?;
            let found = call.world.deliveries.iter().find(|d| d.attempts.iter().any(|a| a.id == id));
            let guid = found.map(|d| d.guid.clone()).ok_or_else(not_found)?;
            webhooks::redeliver(call.world, &guid)?;
            Ok(Reply::json(202, json!({})))
        }
        _ => Err(not_found()),
    }
}

fn own(call: &Call<'_>, id: &str) -> Result<(), Reply> {
    let own = number(id)? == call.world.app.installation && !call.world.app.uninstalled;
    if own { Ok(()) } else { Err(not_found()) }
}

fn access_token(call: &mut Call<'_>) -> Answer {
    if call.world.app.suspended {
        return Err(refuse(403, "This installation has been suspended"));
    }
    let held = call.world.app.permissions.clone();
    let permissions = match call.body.get("permissions").and_then(Value::as_object) {
        None => None,
        Some(asked) => {
            let mut granted = BTreeMap::new();
            for (name, level) in asked {
                let level = level.as_str().unwrap_or_default();
                let enough = held.get(name).is_some_and(|have| have == level || have == "write" || have == "admin");
                if !enough || !matches!(level, "read" | "write" | "admin") {
                    let words = "The permissions requested are not granted to this installation.";
                    return Err(invalid("Installation", "permissions", words));
                }
                granted.insert(name.clone(), level.to_owned());
            }
            // Metadata can always be read.
            granted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
            Some(granted)
        }
    };
    let chosen = chosen_repositories(call)?;
    let shown: Option<Vec<Value>> = chosen.as_ref().map(|ids| {
        let repos = call.world.repos.values().filter(|r| ids.contains(&r.id));
        repos.map(|r| shapes::repository(call.world, r)).collect()
    });
    let effective = permissions.clone().unwrap_or(held);
    let (token, expires_at) = mint(call.world, permissions, chosen);
    let mut body = json!({
        "token": token,
        "expires_at": shapes::time(expires_at),
        "permissions": effective,
        "repository_selection": "selected",
    });
    if let Some(repositories) = shown {
        body["repositories"] = json!(repositories);
    }
    Ok(Reply::json(201, body))
}

/// Ids of the repositories a token is asked for, by name or id; 422 for one that is not the installation's.
fn chosen_repositories(call: &Call<'_>) -> Result<Option<Vec<u64>>, Reply> {
    let names = call.body.get("repositories").and_then(Value::as_array);
    let ids = call.body.get("repository_ids").and_then(Value::as_array);
    if names.is_none() && ids.is_none() {
        return Ok(None);
    }
    let bad = || {
        let words =
            "There is at least one repository that does not exist or is not accessible to the parent installation.";
        invalid("Installation", "repositories", words)
    };
    let account = &call.world.app.account;
    let mut chosen = Vec::new();
    for name in names.into_iter().flatten() {
        let name = name.as_str().ok_or_else(bad)?;
        let repo = call.world.repo(&format!("{account}/{name}")).filter(|r| r.installed).ok_or_else(bad)?;
        chosen.push(repo.id);
    }
    for id in ids.into_iter().flatten() {
        let repo = call.world.repos.values().find(|r| Some(r.id) == id.as_u64() && r.installed);
        chosen.push(repo.ok_or_else(bad)?.id);
    }
    Ok(Some(chosen))
}

pub(super) fn installation_of(call: &Call<'_>, of: &str) -> Answer {
    if call.world.app.uninstalled {
        return Err(not_found());
    }
    let installed = match call.world.repo(of) {
        Some(repo) => repo.installed,
        None => of.eq_ignore_ascii_case(&call.world.app.account),
    };
    if installed { Ok(Reply::json(200, shapes::installation(call.world))) } else { Err(not_found()) }
}

pub(super) fn repositories(call: &Call<'_>) -> Answer {
    let Caller::Installation(token) = &call.caller else { return Err(refuse(401, "Bad credentials")) };
    let seen = call.world.repos.values().filter(|r| r.installed);
    let seen = seen.filter(|r| token.repositories.as_ref().is_none_or(|ids| ids.contains(&r.id)));
    call.page_in("repositories", seen.map(|r| shapes::repository(call.world, r)).collect())
}

pub(super) fn rate_limit(call: &Call<'_>) -> Reply {
    let used = call.world.exchanges.len();
    let reset = call.world.now().timestamp() + 3600;
    let limit = json!({ "limit": 5000, "remaining": 5000usize.saturating_sub(used), "reset": reset, "used": used });
    Reply::json(200, json!({ "resources": { "core": limit, "search": limit }, "rate": limit }))
}

/// GitHub's words for how an attempt ended.
fn outcome(attempt: &Attempt) -> (u16, String) {
    match attempt.status {
        0 => (502, "failed to connect to host".to_owned()),
        ok @ 200..300 => (ok, "OK".to_owned()),
        other => (other, format!("Invalid HTTP Response: {other}")),
    }
}

fn item(delivery: &Delivery, attempt: &Attempt) -> Value {
    let (code, status) = outcome(attempt);
    json!({
        "id": attempt.id,
        "guid": delivery.guid,
        "delivered_at": shapes::time(attempt.at),
        "redelivery": attempt.redelivery,
        "duration": attempt.seconds,
        "status": status,
        "status_code": code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation,
        "repository_id": delivery.repository,
        "throttled_at": null,
    })
}

/// Newest first, as GitHub lists them.
fn deliveries(call: &Call<'_>) -> Answer {
    let mut all: Vec<(u64, Value)> =
        call.world.deliveries.iter().flat_map(|d| d.attempts.iter().map(move |a| (a.id, item(d, a)))).collect();
    all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    // GitHub pages this list with a cursor; it is the id of the last item seen.
    let before = call.request.param("cursor").and_then(|c| c.parse::<u64>().ok());
    let size = call.request.param("per_page").and_then(|p| p.parse().ok()).unwrap_or(30usize).clamp(1, 100);
    let rest: Vec<(u64, Value)> = all.into_iter().filter(|(id, _)| before.is_none_or(|b| *id < b)).collect();
    let more = rest.len() > size;
    let page: Vec<(u64, Value)> = rest.into_iter().take(size).collect();
    let last = page.last().map(|(id, _)| *id);
    let reply = Reply::json(200, Value::Array(page.into_iter().map(|(_, v)| v).collect()));
    Ok(match (more, last) {
        (true, Some(last)) => {
            let next = format!("{}/app/hook/deliveries?per_page={size}&cursor={last}", call.world.base_url);
            reply.header("link", format!("<{next}>; rel=\"next\""))
        }
        (true, None) | (false, _) => reply,
    })
}

fn delivery(call: &Call<'_>, id: u64) -> Answer {
    let mut found = call.world.deliveries.iter().flat_map(|d| d.attempts.iter().map(move |a| (d, a)));
    let (delivery, attempt) = found.find(|(_, a)| a.id == id).ok_or_else(not_found)?;
    let body = delivery.payload.to_string().into_bytes();
    let headers: serde_json::Map<String, Value> = webhooks::headers(call.world, delivery, &body)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let mut shape = item(delivery, attempt);
    shape["url"] = json!(call.world.app.webhook_url.clone().unwrap_or_default());
    shape["request"] = json!({ "headers": headers, "payload": delivery.payload });
    shape["response"] = json!({ "headers": {}, "payload": attempt.answer });
    Ok(Reply::json(200, shape))
}
