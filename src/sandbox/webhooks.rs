//! Webhooks: what GitHub sends when something happens, signed, in order, with a record of every attempt.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use git2::Oid;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::faults::{self, WebhookFaultKind};
use super::people::repo;
use super::queue::MergeGroup;
use super::record::Fired;
use super::state::World;
use super::{SandboxError, Shared, gitrepo, shapes};

/// GitHub cuts the connection after this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One attempt to deliver.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub id: u64,
    pub at: DateTime<Utc>,
    /// The receiver's status; 0 when no answer came.
    pub status: u16,
    pub seconds: f64,
    pub redelivery: bool,
    pub answer: String,
}

/// One webhook.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub repository: Option<u64>,
    pub installation: Option<u64>,
    pub payload: Value,
    /// Attempts still to be made.
    pub pending: u32,
    /// Whether the next attempt was asked for by hand.
    pub by_hand: bool,
    pub not_before: Option<Instant>,
    /// Waits for so many later ones.
    pub behind: u32,
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    pub fn fired(&self) -> Fired {
        Fired {
            event: self.event.clone(),
            action: self.action.clone(),
            guid: self.guid.clone(),
            payload: self.payload.clone(),
            attempts: self.attempts.iter().map(|a| a.status).collect(),
        }
    }

    /// What was fired, if it arrived; its payload is not kept any longer.
    pub fn let_go(&mut self) -> Option<Fired> {
        let arrived = self.attempts.last().is_some_and(|a| (200..300).contains(&a.status));
        if !arrived || self.pending > 0 || self.payload.is_null() {
            return None;
        }
        let fired = self.fired();
        self.payload = Value::Null;
        Some(fired)
    }
}

/// Deliveries that are queued or under way.
pub(super) fn outstanding(world: &World) -> usize {
    world.deliveries.iter().filter(|d| d.pending > 0 && d.behind == 0).count()
}

/// Lets go of those that wait to be overtaken.
pub(super) fn release(world: &mut World) {
    world.deliveries.iter_mut().for_each(|d| d.behind = 0);
}

pub(super) fn redeliver(world: &mut World, guid: &str) -> Result<(), SandboxError> {
    let delivery = world.deliveries.iter_mut().find(|d| d.guid == guid);
    let delivery = delivery.ok_or_else(|| SandboxError::NoSuch("delivery", guid.to_owned()))?;
    delivery.pending += 1;
    delivery.by_hand = true;
    Ok(())
}

/// `sha256=` and the hexadecimal HMAC-SHA256 of the body.
fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A random GUID in GitHub's form.
fn guid() -> String {
    let n = ulid::Ulid::generate().0;
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Queues a webhook: `payload` gets repository, organisation, installation and sender added. Repositories without the
/// App are silent.
pub(super) fn fire(world: &mut World, name: &str, event: &str, sender: &str, mut payload: Value) {
    let Some(entry) = world.repo(name) else { return };
    if !entry.installed || world.app.suspended || world.app.uninstalled {
        return;
    }
    let repository = entry.id;
    payload["repository"] = shapes::repository(world, entry);
    if event == "push" {
        payload["repository"]["created_at"] = json!(entry.created_at.timestamp());
        payload["repository"]["pushed_at"] = json!(entry.pushed_at.timestamp());
    }
    if world.orgs.contains_key(&entry.owner().to_lowercase()) {
        payload["organization"] = shapes::organization(world, entry.owner());
    }
    payload["installation"] = shapes::installation_reference(world);
    payload["sender"] = shapes::account(world, sender);
    queue(world, Some(repository), event, payload);
}

/// Queues a webhook about the App's installation itself, which needs no subscription.
pub(super) fn of_installation(world: &mut World, event: &str, sender: &str, mut payload: Value) {
    payload["installation"] = shapes::installation(world);
    payload["sender"] = shapes::account(world, sender);
    queue(world, None, event, payload);
}

fn queue(world: &mut World, repository: Option<u64>, event: &str, payload: Value) {
    let action = payload["action"].as_str().map(str::to_owned);
    let fault = faults::take_webhook(&mut world.webhook_faults, event, action.as_deref());
    let mut delivery = Delivery {
        guid: guid(),
        event: event.to_owned(),
        action,
        repository,
        installation: Some(world.app.installation),
        payload,
        pending: u32::from(world.app.webhook_url.is_some()),
        by_hand: false,
        not_before: None,
        behind: 0,
        attempts: Vec::new(),
    };
    match fault {
        None => {}
        Some(WebhookFaultKind::Lose) => {
            delivery.pending = 0;
            let (id, at) = (world.new_id(), world.now());
            delivery.attempts.push(Attempt {
                id,
                at,
                status: 0,
                seconds: 0.0,
                redelivery: false,
                answer: String::new(),
            });
        }
        Some(WebhookFaultKind::Repeat(more)) => delivery.pending += more,
        Some(WebhookFaultKind::Delay(by)) => delivery.not_before = Some(Instant::now() + by),
        Some(WebhookFaultKind::Overtaken(by)) => delivery.behind = by,
    }
    world.deliveries.push(delivery);
}

pub(super) fn pull_request(world: &mut World, name: &str, number: u64, action: &str, sender: &str, extra: Value) {
    let mut payload = json!({ "action": action, "number": number });
    payload["pull_request"] = shapes::pull(world, name, number, shapes::Detail::Full);
    if let (Some(payload), Value::Object(extra)) = (payload.as_object_mut(), extra) {
        payload.extend(extra);
    }
    fire(world, name, "pull_request", sender, payload);
}

pub(super) fn labeled(world: &mut World, name: &str, number: u64, action: &str, sender: &str, label: &str) {
    let Some(entry) = world.repo(name) else { return };
    let shape = shapes::label(world, entry, label);
    let is_pull = entry.issues.get(&number).is_some_and(|i| i.pull.is_some());
    if is_pull {
        pull_request(world, name, number, action, sender, json!({ "label": shape }));
    } else {
        let payload = json!({ "action": action, "issue": shapes::issue(world, name, number), "label": shape });
        fire(world, name, "issues", sender, payload);
    }
}

pub(super) fn issue(world: &mut World, name: &str, number: u64, action: &str, sender: &str) {
    let payload = json!({ "action": action, "issue": shapes::issue(world, name, number) });
    fire(world, name, "issues", sender, payload);
}

pub(super) fn review(world: &mut World, name: &str, number: u64, review: u64, action: &str, sender: &str) {
    let mut shape = shapes::review(world, name, number, review);
    // Webhooks spell the state in lower case, REST in upper case.
    shape["state"] = json!(shape["state"].as_str().unwrap_or_default().to_lowercase());
    let pull = shapes::pull(world, name, number, shapes::Detail::Simple);
    fire(
        world,
        name,
        "pull_request_review",
        sender,
        json!({ "action": action, "review": shape, "pull_request": pull }),
    );
}

pub(super) fn issue_comment(
    world: &mut World,
    name: &str,
    number: u64,
    comment: u64,
    action: &str,
    sender: &str,
    changes: Value,
) {
    let mut payload = json!({
        "action": action,
        "issue": shapes::issue(world, name, number),
        "comment": shapes::comment(world, name, number, comment),
    });
    if !changes.is_null() {
        payload["changes"] = changes;
    }
    fire(world, name, "issue_comment", sender, payload);
}

pub(super) fn check_run(
    world: &mut World,
    name: &str,
    id: u64,
    action: &str,
    sender: &str,
    button: Option<&str>,
) -> Result<(), SandboxError> {
    let entry = repo(world, name)?;
    let check = entry.checks.iter().find(|c| c.id == id);
    let check = check.ok_or_else(|| SandboxError::NoSuch("check run", id.to_string()))?;
    let mut payload = json!({ "action": action, "check_run": shapes::check_run(world, entry, check) });
    if let Some(button) = button {
        payload["requested_action"] = json!({ "identifier": button });
    }
    fire(world, name, "check_run", sender, payload);
    Ok(())
}

pub(super) fn repository_renamed(world: &mut World, name: &str, sender: &str, was: &str) {
    let payload = json!({ "action": "renamed", "changes": { "repository": { "name": { "from": was } } } });
    fire(world, name, "repository", sender, payload);
}

pub(super) fn check_suite(
    world: &mut World,
    name: &str,
    sha: &str,
    action: &str,
    sender: &str,
) -> Result<(), SandboxError> {
    let entry = repo(world, name)?;
    let payload = json!({ "action": action, "check_suite": shapes::check_suite(world, entry, sha)? });
    fire(world, name, "check_suite", sender, payload);
    Ok(())
}

pub(super) fn merge_group(world: &mut World, name: &str, group: &MergeGroup, action: &str, reason: Option<&str>) {
    let Some(entry) = world.repo(name) else { return };
    let head_commit = Oid::from_str(&group.head_sha)
        .and_then(|oid| gitrepo::info(&gitrepo::open(&entry.git_dir)?, oid))
        .map(|c| shapes::plain_commit(&c))
        .unwrap_or_default();
    let mut payload = json!({
        "action": action,
        "merge_group": {
            "head_sha": group.head_sha,
            "head_ref": format!("refs/heads/{}", group.head_branch),
            "base_sha": group.base_sha,
            "base_ref": format!("refs/heads/{}", group.base_branch),
            "head_commit": head_commit,
        },
    });
    if let Some(reason) = reason {
        payload["reason"] = json!(reason);
    }
    fire(world, name, "merge_group", "ghost", payload);
}

pub(super) fn push(world: &mut World, name: &str, branch: &str, sender: &str, before: Option<Oid>, after: Option<Oid>) {
    let Some(entry) = world.repo(name) else { return };
    if !entry.installed {
        return;
    }
    let zeros = "0".repeat(40);
    let text = |oid: Option<Oid>| oid.map_or(zeros.clone(), |o| o.to_string());
    let read = || -> Result<(Vec<Value>, bool), git2::Error> {
        let git = gitrepo::open(&entry.git_dir)?;
        let Some(after) = after else { return Ok((Vec::new(), false)) };
        let default_tip = gitrepo::tip(&git, &entry.branch_ref(&entry.default_branch)).filter(|t| *t != after);
        let commits = gitrepo::commits_between(&git, before.or(default_tip), after)?;
        let forced = before.is_some_and(|b| b != after && !git.graph_descendant_of(after, b).unwrap_or(false));
        let mut list = Vec::new();
        for commit in commits.iter().take(2048) {
            list.push(shapes::pushed_commit(world, entry, &git, commit)?);
        }
        Ok((list, forced))
    };
    let (commits, forced) = read().unwrap_or_default();
    let html = format!("{}/{}", world.base_url, entry.full_name);
    let email = world.user(sender).and_then(|u| u.emails.first().cloned());
    let payload = json!({
        "ref": format!("refs/heads/{branch}"),
        "before": text(before),
        "after": text(after),
        "created": before.is_none(),
        "deleted": after.is_none(),
        "forced": forced,
        "base_ref": null,
        "compare": format!("{html}/compare/{}...{}", text(before), text(after)),
        "head_commit": commits.last().cloned().unwrap_or(Value::Null),
        "commits": commits,
        "pusher": { "name": sender, "email": email },
    });
    fire(world, name, "push", sender, payload);
}

/// Starts the thread that delivers.
pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<()> {
    std::thread::Builder::new().name("sandbox-webhooks".to_owned()).spawn(move || deliver(&shared)).map(|_| ())
}

/// What is sent, taken out of the world so that nothing is locked while it travels.
struct Parcel {
    index: usize,
    url: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

fn deliver(shared: &Shared) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).http_status_as_error(false).build().into();
    while let Some(parcel) = next(shared) {
        let started = Instant::now();
        let mut request = agent.post(&parcel.url);
        for (name, value) in &parcel.headers {
            request = request.header(*name, value);
        }
        let (status, answer) = match request.send(&parcel.body[..]) {
            Ok(mut response) => {
                let text = response.body_mut().with_config().limit(64 * 1024).read_to_string().unwrap_or_default();
                (response.status().as_u16(), text)
            }
            Err(_) => (0, String::new()),
        };
        shared.change(|world| {
            let (id, at) = (world.new_id(), world.now());
            let delivery = &mut world.deliveries[parcel.index];
            let redelivery = std::mem::take(&mut delivery.by_hand);
            let seconds = started.elapsed().as_secs_f64();
            delivery.attempts.push(Attempt { id, at, status, seconds, redelivery, answer });
            delivery.pending = delivery.pending.saturating_sub(1);
            for earlier in &mut world.deliveries[..parcel.index] {
                earlier.behind = earlier.behind.saturating_sub(1);
            }
        });
    }
}

/// Waits for the next one that is due; `None` at the end.
fn next(shared: &Shared) -> Option<Parcel> {
    let mut world = shared.lock();
    loop {
        if world.stopping {
            return None;
        }
        let now = Instant::now();
        let due = |d: &Delivery| d.pending > 0 && d.behind == 0 && d.not_before.is_none_or(|t| t <= now);
        let at = world.deliveries.iter().position(due);
        if let (Some(index), Some(url)) = (at, world.app.webhook_url.clone()) {
            let delivery = &world.deliveries[index];
            let body = delivery.payload.to_string().into_bytes();
            let headers = headers(&world, delivery, &body);
            return Some(Parcel { index, url, body, headers });
        }
        let soonest = world.deliveries.iter().filter(|d| d.pending > 0).filter_map(|d| d.not_before).min();
        let wait = soonest.map_or(Duration::from_secs(3600), |t| t.saturating_duration_since(now));
        world = shared.wake.wait_timeout(world, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The headers that a delivery is sent with.
pub(super) fn headers(world: &World, delivery: &Delivery, body: &[u8]) -> Vec<(&'static str, String)> {
    vec![
        ("Accept", "*/*".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", "GitHub-Hookshot/0000000".to_owned()),
        ("X-GitHub-Delivery", delivery.guid.clone()),
        ("X-GitHub-Event", delivery.event.clone()),
        ("X-GitHub-Hook-ID", world.app.id.to_string()),
        ("X-GitHub-Hook-Installation-Target-ID", world.app.id.to_string()),
        ("X-GitHub-Hook-Installation-Target-Type", "integration".to_owned()),
        ("X-Hub-Signature-256", signature(&world.app.webhook_secret, body)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_githubs_documentation() {
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signature("It's a Secret to Everybody", b"Hello, World!"), expected);
    }
}
