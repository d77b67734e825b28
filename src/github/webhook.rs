//! The border that deliveries cross: signature, then payload, then a domain [`Event`]. Leaves storing to `store` and
//! answering to `server`.
//!
//! Only the fields that are used are read, all of them optional: GitHub adds events, actions and words without notice,
//! and every one that is not understood is [`Event::Ignored`].

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::Sha256;

use super::event::{Event, Repository, Sender};
use crate::approval::ReviewState;
use crate::ids::{CommitSha, Login, PrNumber, RepoName};

/// The most characters of a comment that are looked at; GitHub allows no more.
pub const MAX_COMMENT: usize = 65_536;
/// What a command starts with; a comment without it is nobody's business here and is not stored.
const COMMAND: &str = "/godwit";
/// Who GitHub shows where an account was deleted.
const GHOST: &str = "ghost";

/// The secrets that a signature may be made with: one, or two while one replaces the other.
#[derive(Clone)]
pub struct WebhookSecrets(Vec<Hmac<Sha256>>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({})", self.0.len())
    }
}

/// Why a list is not one of webhook secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecrets {
    /// None, or nothing but commas and spaces.
    #[error("there is no webhook secret")]
    None,
    /// A part of the list is empty, which would accept signatures made with an empty key.
    #[error("one of the webhook secrets is empty")]
    Empty,
    /// More than two.
    #[error("there are more than two webhook secrets")]
    TooMany,
}

impl WebhookSecrets {
    /// Takes one or two secrets, separated by a comma.
    ///
    /// # Errors
    /// When there is none, an empty one or more than two.
    pub fn parse(list: &SecretString) -> Result<Self, InvalidSecrets> {
        let parts: Vec<&str> = list.expose_secret().split(',').map(str::trim).collect();
        if parts.iter().all(|p| p.is_empty()) {
            return Err(InvalidSecrets::None);
        }
        if parts.iter().any(|p| p.is_empty()) {
            return Err(InvalidSecrets::Empty);
        }
        if parts.len() > 2 {
            return Err(InvalidSecrets::TooMany);
        }
        let keyed = parts.iter().map(|part| {
            crate::redact::register(part);
            Hmac::<Sha256>::new_from_slice(part.as_bytes()).expect("HMAC takes keys of any length")
        });
        Ok(Self(keyed.collect()))
    }
}

/// Whether `header`, the value of `X-Hub-Signature-256`, is the HMAC-SHA256 of the raw `body` under one of the secrets.
/// Takes the same time wherever the signature differs and whichever secret it was made with.
pub fn verify_signature(secrets: &WebhookSecrets, body: &[u8], header: &str) -> bool {
    let Some(signature) = signature_of(header) else { return false };
    // No short cut: every secret is tried.
    secrets.0.iter().fold(false, |found, keyed| {
        let right = keyed.clone().chain_update(body).verify_slice(&signature).is_ok();
        found | right
    })
}

/// The signature's bytes; `None` when the header is none of `sha256=` and 64 hexadecimal digits.
pub fn signature_of(header: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(header.strip_prefix("sha256=")?, &mut bytes).ok()?;
    Some(bytes)
}

/// The body is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not JSON")]
pub struct MalformedPayload(#[source] serde_json::Error);

/// Reduces a payload to what Godwit acts on. `name` is the value of `X-GitHub-Event`.
///
/// # Errors
/// When the body is not JSON at all. JSON of a shape that is not understood is [`Event::Ignored`].
pub fn parse(name: &str, body: &[u8]) -> Result<Event, MalformedPayload> {
    let event = match name {
        "ping" => read::<IgnoredAny>(body)?.map(|_| Event::Ping),
        "pull_request" => read::<PullRequestPayload>(body)?.and_then(PullRequestPayload::event),
        "pull_request_review" => read::<ReviewPayload>(body)?.and_then(ReviewPayload::event),
        "issue_comment" => read::<CommentPayload>(body)?.and_then(CommentPayload::event),
        "check_run" => read::<CheckPayload>(body)?.and_then(|p| p.event(&["rerequested", "requested_action"])),
        "check_suite" => read::<CheckPayload>(body)?.and_then(|p| p.event(&["requested", "rerequested"])),
        "push" => read::<PushPayload>(body)?.and_then(PushPayload::event),
        "merge_group" => read::<MergeGroupPayload>(body)?.and_then(MergeGroupPayload::event),
        "installation" => life::installation(body)?,
        "installation_repositories" => life::repositories(body)?,
        "repository" => life::repository(body)?,
        "deployment_protection_rule" => life::protection(body)?,
        _ => None,
    };
    match event {
        Some(event) => Ok(event),
        None => {
            let action = read::<ActionPayload>(body)?.and_then(|p| p.action);
            Ok(Event::Ignored { name: name.to_owned(), action })
        }
    }
}

/// `Ok(None)` for JSON of another shape.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Option<T>, MalformedPayload> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(Some(value)),
        // A wrong shape is noticed before the end; whether the rest is JSON is still to be seen.
        Err(e) if e.is_data() => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => {
                tracing::debug!(error = %e, "a payload has an unexpected shape");
                Ok(None)
            }
            Err(e) => Err(MalformedPayload(e)),
        },
        Err(e) => Err(MalformedPayload(e)),
    }
}

#[derive(Deserialize)]
struct ActionPayload {
    action: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryPart {
    id: u64,
    full_name: String,
    clone_url: Option<String>,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct InstallationPart {
    id: u64,
}

#[derive(Deserialize)]
struct UserPart {
    login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct HeadPart {
    sha: String,
}

/// What every payload has.
#[derive(Deserialize)]
struct Common {
    action: Option<String>,
    repository: Option<RepositoryPart>,
    installation: Option<InstallationPart>,
    sender: Option<UserPart>,
}

impl Common {
    fn repository(&self) -> Option<Repository> {
        let part = self.repository.as_ref()?;
        Some(Repository {
            id: part.id,
            name: RepoName::new(part.full_name.as_str()).ok()?,
            clone_url: part.clone_url.clone().unwrap_or_default(),
            default_branch: part.default_branch.clone().unwrap_or_else(|| "main".to_owned()),
            installation: self.installation.as_ref().map_or(0, |i| i.id),
        })
    }

    fn sender(&self) -> Sender {
        match &self.sender {
            Some(user) => Sender { login: Login::new(&user.login), bot: is_bot(user) },
            None => Sender { login: Login::new(GHOST), bot: false },
        }
    }

    fn action(&self) -> &str {
        self.action.as_deref().unwrap_or("")
    }
}

fn is_bot(user: &UserPart) -> bool {
    user.kind.as_deref() == Some("Bot") || user.login.ends_with("[bot]")
}

fn login_of(user: Option<&UserPart>) -> Login {
    Login::new(user.map_or(GHOST, |u| u.login.as_str()))
}

fn sha(text: &str) -> Option<CommitSha> {
    CommitSha::new(text).ok()
}

/// Payloads are large and mostly about other things: the common part is flattened by hand, since serde's `flatten` would
/// copy all of them into memory first.
macro_rules! payload {
    ($name:ident { $($field:ident : $kind:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        struct $name {
            action: Option<String>,
            repository: Option<RepositoryPart>,
            installation: Option<InstallationPart>,
            sender: Option<UserPart>,
            $($field: $kind,)*
        }

        impl $name {
            fn common(&mut self) -> Common {
                Common {
                    action: self.action.take(),
                    repository: self.repository.take(),
                    installation: self.installation.take(),
                    sender: self.sender.take(),
                }
            }
        }
    };
}

mod life;

#[derive(Deserialize)]
struct PullRequestPart {
    number: u64,
    head: HeadPart,
    merged: Option<bool>,
}

#[derive(Deserialize)]
struct LabelPart {
    name: String,
}

payload!(PullRequestPayload { pull_request: PullRequestPart, label: Option<LabelPart> });

impl PullRequestPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        let wanted = match common.action() {
            "opened" | "reopened" | "synchronize" | "ready_for_review" | "converted_to_draft" | "edited" | "closed"
            | "enqueued" | "dequeued" => true,
            "labeled" | "unlabeled" => self.label.is_some(),
            _ => false,
        };
        if !wanted {
            return None;
        }
        Some(Event::PullRequest {
            repo: common.repository()?,
            number: PrNumber(self.pull_request.number),
            action: common.action().to_owned(),
            sender: common.sender(),
            head: sha(&self.pull_request.head.sha)?,
            label: self.label.map(|l| l.name),
            merged: self.pull_request.merged.unwrap_or(false),
        })
    }
}

#[derive(Deserialize)]
struct ReviewPart {
    id: u64,
    user: Option<UserPart>,
    state: String,
    commit_id: Option<String>,
}

payload!(ReviewPayload { pull_request: PullRequestPart, review: ReviewPart });

impl ReviewPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        if !matches!(common.action(), "submitted" | "edited" | "dismissed") {
            return None;
        }
        // Lower case in webhooks, upper case in the REST API.
        let state = match self.review.state.to_ascii_lowercase().as_str() {
            "approved" => ReviewState::Approved,
            "changes_requested" => ReviewState::ChangesRequested,
            "commented" => ReviewState::Commented,
            "dismissed" => ReviewState::Dismissed,
            "pending" => ReviewState::Pending,
            _ => return None,
        };
        Some(Event::Review {
            repo: common.repository()?,
            number: PrNumber(self.pull_request.number),
            action: common.action().to_owned(),
            review: self.review.id,
            author: login_of(self.review.user.as_ref()),
            state,
            commit: self.review.commit_id.as_deref().and_then(sha),
            head: sha(&self.pull_request.head.sha)?,
            sender: common.sender(),
        })
    }
}

#[derive(Deserialize)]
struct IssuePart {
    number: u64,
    pull_request: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct CommentPart {
    id: u64,
    body: Option<String>,
}

payload!(CommentPayload { issue: IssuePart, comment: CommentPart });

impl CommentPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        let sender = common.sender();
        let body = self.comment.body.unwrap_or_default();
        // Edited comments never command (B-12), bots never do, and chatter is not kept.
        if common.action() != "created" || self.issue.pull_request.is_none() || sender.bot || !body.contains(COMMAND) {
            return None;
        }
        Some(Event::Comment {
            repo: common.repository()?,
            number: PrNumber(self.issue.number),
            comment: self.comment.id,
            body: body.chars().take(MAX_COMMENT).collect(),
            sender,
        })
    }
}

#[derive(Deserialize)]
struct NumberPart {
    number: u64,
}

#[derive(Deserialize)]
struct AppPart {
    id: u64,
}

#[derive(Deserialize)]
struct ButtonPart {
    identifier: String,
}

#[derive(Deserialize)]
struct CheckPart {
    head_sha: String,
    pull_requests: Option<Vec<NumberPart>>,
    app: Option<AppPart>,
}

payload!(CheckPayload {
    check_run: Option<CheckPart>,
    check_suite: Option<CheckPart>,
    requested_action: Option<ButtonPart>,
});

impl CheckPayload {
    fn event(mut self, actions: &[&str]) -> Option<Event> {
        let common = self.common();
        if !actions.contains(&common.action()) {
            return None;
        }
        let check = self.check_run.or(self.check_suite)?;
        let (repo, head, app) = (common.repository()?, sha(&check.head_sha)?, check.app.map(|a| a.id));
        let pulls = check.pull_requests.unwrap_or_default().into_iter().map(|p| PrNumber(p.number)).collect();
        if common.action() == "requested_action" {
            let button = self.requested_action?.identifier;
            return Some(Event::CheckAction { repo, head, pulls, app, button, sender: common.sender() });
        }
        Some(Event::CheckRequested { repo, head, pulls, app })
    }
}

payload!(PushPayload { r#ref: String, before: Option<String>, after: Option<String>, deleted: Option<bool> });

impl PushPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        let branch = self.r#ref.strip_prefix("refs/heads/")?.to_owned();
        let zeros = |s: &str| s.bytes().all(|b| b == b'0');
        let after = match self.after.as_deref() {
            Some(after) if self.deleted != Some(true) && !zeros(after) => Some(sha(after)?),
            Some(_) | None => None,
        };
        let before = self.before.as_deref().filter(|b| !zeros(b)).and_then(sha);
        Some(Event::Push { repo: common.repository()?, branch, before, after, looked: false, sender: common.sender() })
    }
}

#[derive(Deserialize)]
struct MergeGroupPart {
    head_sha: String,
    base_sha: String,
    base_ref: String,
}

payload!(MergeGroupPayload { merge_group: MergeGroupPart });

impl MergeGroupPayload {
    fn event(mut self) -> Option<Event> {
        let common = self.common();
        if common.action() != "checks_requested" {
            return None;
        }
        let group = self.merge_group;
        Some(Event::MergeGroup {
            repo: common.repository()?,
            head: sha(&group.head_sha)?,
            base_ref: group.base_ref.strip_prefix("refs/heads/").unwrap_or(&group.base_ref).to_owned(),
            base: sha(&group.base_sha)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(list: &str) -> WebhookSecrets {
        WebhookSecrets::parse(&SecretString::from(list)).unwrap()
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn b7_githubs_own_example_of_a_signature_is_accepted() {
        // From "Validating webhook deliveries" in GitHub's documentation.
        let secrets = secrets("It's a Secret to Everybody");
        let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(verify_signature(&secrets, b"Hello, World!", right));
        assert!(!verify_signature(&secrets, b"Hello, World?", right));
    }

    #[test]
    fn b7_only_sha256_signatures_of_full_length_count() {
        let secrets = secrets("s3cret");
        let right = sign("s3cret", b"body");
        assert!(verify_signature(&secrets, b"body", &right));
        for bad in [
            "",
            "sha256=",
            &right[..right.len() - 2],
            &format!("{right}00"),
            &right.replace("sha256=", "sha1="),
            &right.replace("sha256=", ""),
            &right.replace("sha256=", "SHA256="),
            &right.replace(|c: char| c.is_ascii_digit(), "x"),
            "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6",
        ] {
            assert!(!verify_signature(&secrets, b"body", bad), "{bad}");
        }
    }

    #[test]
    fn b7_two_secrets_overlap_while_one_replaces_the_other() {
        let both = secrets("old-one, new-one");
        assert!(verify_signature(&both, b"x", &sign("old-one", b"x")));
        assert!(verify_signature(&both, b"x", &sign("new-one", b"x")));
        assert!(!verify_signature(&both, b"x", &sign("old-one, new-one", b"x")));
        assert!(!verify_signature(&both, b"x", &sign("", b"x")));
    }

    #[test]
    fn b7_lists_without_a_usable_secret_are_refused() {
        for (list, error) in [
            ("", InvalidSecrets::None),
            (" , ", InvalidSecrets::None),
            ("one,", InvalidSecrets::Empty),
            ("a,b,c", InvalidSecrets::TooMany),
        ] {
            assert_eq!(WebhookSecrets::parse(&SecretString::from(list)).unwrap_err(), error, "{list:?}");
        }
    }

    const REPO: &str = r#""repository":{"id":5,"full_name":"o/r","clone_url":"https://h/o/r.git","default_branch":"trunk"},
        "installation":{"id":9},"sender":{"login":"alice","type":"User"}"#;
    const SHA: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

    fn parsed(name: &str, fields: &str) -> Event {
        parse(name, format!("{{{fields},{REPO}}}").as_bytes()).unwrap()
    }

    fn ignored(name: &str, action: Option<&str>) -> Event {
        Event::Ignored { name: name.into(), action: action.map(str::to_owned) }
    }

    #[test]
    fn a_pull_request_of_a_deleted_fork_is_read() {
        let event = parsed(
            "pull_request",
            &format!(
                r#""action":"closed","pull_request":{{"number":3,"head":{{"sha":"{SHA}","repo":null,"user":null}},
                   "merged":true,"mergeable":null,"body":null,"mergeable_state":"brand_new"}}"#
            ),
        );
        let Event::PullRequest { repo, number, action, sender, merged, label, .. } = event else { panic!("{event:?}") };
        assert_eq!((repo.name.as_str(), repo.default_branch.as_str(), repo.installation), ("o/r", "trunk", 9));
        assert_eq!((number, action.as_str(), merged, label), (PrNumber(3), "closed", true, None));
        assert_eq!(sender, Sender { login: Login::new("alice"), bot: false });
    }

    #[test]
    fn actions_and_states_nobody_knows_are_ignored() {
        let pull = format!(r#""pull_request":{{"number":3,"head":{{"sha":"{SHA}"}}}}"#);
        assert_eq!(
            parsed("pull_request", &format!(r#""action":"teleported",{pull}"#)),
            ignored("pull_request", Some("teleported"))
        );
        assert_eq!(
            parsed(
                "pull_request_review",
                &format!(r#""action":"submitted",{pull},"review":{{"id":1,"state":"pondered","user":null}}"#)
            ),
            ignored("pull_request_review", Some("submitted"))
        );
        assert_eq!(parsed("quantum_leap", r#""action":"x""#), ignored("quantum_leap", Some("x")));
        assert_eq!(parse("fork", b"[1,2]").unwrap(), ignored("fork", None));
        assert_eq!(parse("pull_request", b"{\"action\":7}").unwrap(), ignored("pull_request", None));
        assert_eq!(parse("ping", b"{\"zen\":\"x\"}").unwrap(), Event::Ping);
    }

    #[test]
    fn a_review_by_a_ghost_is_read() {
        let event = parsed(
            "pull_request_review",
            &format!(
                r#""action":"dismissed","pull_request":{{"number":3,"head":{{"sha":"{SHA}"}}}},
                   "review":{{"id":1,"state":"APPROVED","user":null,"commit_id":null}}"#
            ),
        );
        let Event::Review { author, state, commit, .. } = event else { panic!("{event:?}") };
        assert_eq!((author, state, commit), (Login::new("ghost"), ReviewState::Approved, None));
    }

    #[test]
    fn b12_only_new_comments_of_people_on_pull_requests_can_command() {
        let comment = |action: &str, issue: &str, body: &str| {
            parsed(
                "issue_comment",
                &format!(r#""action":"{action}","issue":{{"number":4{issue}}},"comment":{{"id":8,"body":"{body}"}}"#),
            )
        };
        let on_pull = r#","pull_request":{"url":"x"}"#;
        assert!(matches!(comment("created", on_pull, "/godwit plan"), Event::Comment { comment: 8, .. }));
        for (action, issue, body) in [
            ("edited", on_pull, "/godwit plan"),
            ("deleted", on_pull, "/godwit plan"),
            ("created", "", "/godwit plan"),
            ("created", on_pull, "looks fine to me"),
        ] {
            assert_eq!(comment(action, issue, body), ignored("issue_comment", Some(action)));
        }
        let bot = REPO.replace("alice\",\"type\":\"User", "helper[bot]\",\"type\":\"Bot");
        let text = format!(
            r#"{{"action":"created","issue":{{"number":4{on_pull}}},"comment":{{"id":8,"body":"/godwit plan"}},{bot}}}"#
        );
        assert_eq!(parse("issue_comment", text.as_bytes()).unwrap(), ignored("issue_comment", Some("created")));
    }

    #[test]
    fn pushes_to_branches_count_and_deletions_have_no_tip() {
        let push = |r: &str, after: &str, deleted: bool| {
            parsed("push", &format!(r#""ref":"{r}","after":"{after}","deleted":{deleted}"#))
        };
        assert!(
            matches!(push("refs/heads/a/b", SHA, false), Event::Push { branch, after: Some(_), .. } if branch == "a/b")
        );
        assert!(matches!(push("refs/heads/a", &"0".repeat(40), true), Event::Push { after: None, .. }));
        assert_eq!(push("refs/tags/v1", SHA, false), ignored("push", None));
    }

    #[test]
    fn truncated_json_is_malformed_wherever_it_ends() {
        let whole = format!(r#"{{"action":"opened","pull_request":{{"number":3,"head":{{"sha":"{SHA}"}}}},{REPO}}}"#);
        assert!(matches!(parse("pull_request", whole.as_bytes()).unwrap(), Event::PullRequest { .. }));
        for end in 0..whole.len() {
            assert!(parse("pull_request", &whole.as_bytes()[..end]).is_err(), "{end}");
            assert!(parse("unheard_of", &whole.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(parse("push", b"\xff\xfe").is_err());
    }
}
