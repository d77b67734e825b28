//! `/api/v1`: what people and programs read and enter beside GitHub. Every request carries a person's own token of GitHub,
//! and shows what that person may read there; what counts is judged by the worker, by the same rules as a review.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::Utc;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use crate::approval::{Permission, Source, Verdict};
use crate::github::{Github, GithubError};
use crate::ids::{Digest, EnvironmentName, Login, PrNumber, RepoName, RoleName};
use crate::store::{EnteredRow, JudgedPull, NewEntered, StoreError};

/// The description of this interface.
const OPENAPI: &str = include_str!("openapi.json");
/// The longest body that is taken (bytes).
const MAX_BODY: usize = 64 * 1024;
/// The longest comment that is kept (characters).
const MAX_COMMENT: usize = 4_000;
/// Entries of a list.
const LIMIT: u32 = 200;
/// How long one question to GitHub may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The routes.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/openapi.json", get(describe))
        .route("/api/v1/pulls", get(pulls))
        .route("/api/v1/environments", get(environments))
        .route("/api/v1/approvals", get(approvals).post(enter))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Why a request is refused.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let message = crate::redact::text(&self.1);
        (self.0, Json(json!({ "message": message }))).into_response()
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        Refused(StatusCode::SERVICE_UNAVAILABLE, "the store failed; try again".to_owned())
    }
}

impl From<GithubError> for Refused {
    fn from(error: GithubError) -> Self {
        let status = match &error {
            GithubError::NotFound { .. } => StatusCode::NOT_FOUND,
            GithubError::Forbidden { .. } => StatusCode::UNAUTHORIZED,
            GithubError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            GithubError::Server { .. } | GithubError::Transport { .. } | GithubError::Unusable(_) => {
                StatusCode::BAD_GATEWAY
            }
            GithubError::Rejected { .. } => StatusCode::BAD_REQUEST,
        };
        Refused(status, error.to_string())
    }
}

/// A person who asks about a repository that they may read.
struct Asker {
    github: Github,
    login: Login,
}

async fn asker(state: &AppState, headers: &HeaderMap, repo: &RepoName) -> Result<Asker, Refused> {
    let Some(api) = &state.github_api_url else {
        let message = "this server knows no GitHub to ask who you are; set `GODWIT_GITHUB_API_URL`";
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, message.to_owned()));
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let token = given
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty());
    let Some((_, token)) = token else {
        let message = "send `Authorization: Bearer TOKEN` with a personal token of yours on GitHub";
        return Err(Refused(StatusCode::UNAUTHORIZED, message.to_owned()));
    };
    let github = Github::of_person(api, &SecretString::from(token.trim().to_owned()), PATIENCE)?;
    let login = github.person().await?;
    // Whoever may not read the repository on GitHub learns nothing of it here either.
    github.find(repo).await?;
    Ok(Asker { github, login })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    repository: RepoName,
    pull: Option<u64>,
}

/// A question of somebody who may read the repository that it is about.
struct Question(Which);

impl FromRequestParts<AppState> for Question {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        let query = Query::<Which>::from_request_parts(parts, state).await;
        let Query(which) = query.map_err(|e| Refused(StatusCode::BAD_REQUEST, e.body_text()))?;
        asker(state, &parts.headers, &which.repository).await?;
        Ok(Self(which))
    }
}

async fn describe() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn pulls(State(state): State<AppState>, Question(which): Question) -> Result<Json<Value>, Refused> {
    let found = match which.pull {
        Some(pull) => state.store.judged(&which.repository, PrNumber(pull)).await?.into_iter().collect(),
        None => state.store.judged_pulls(&which.repository, LIMIT).await?,
    };
    Ok(Json(json!({ "pulls": found.iter().map(pull_json).collect::<Vec<_>>() })))
}

fn pull_json(pull: &JudgedPull) -> Value {
    json!({
        "repository": pull.repo, "pull": pull.pr, "state": pull.state, "head": pull.head, "base": pull.base_ref,
        "status": pull.status, "summary": pull.summary,
        "risk": pull.binding.as_ref().map(|b| b.risk), "digest": pull.binding.as_ref().map(|b| &b.digest),
        "policy_hash": pull.binding.as_ref().map(|b| &b.policy_hash), "judged_at": pull.at,
        "verdict": serde_json::from_str::<Value>(&pull.verdict).unwrap_or_default(),
    })
}

async fn environments(State(state): State<AppState>, Question(which): Question) -> Result<Json<Value>, Refused> {
    let records = state.store.environment_records(&which.repository, LIMIT).await?;
    let judged = state.store.judged_pulls(&which.repository, 1).await?;
    let mut names: Vec<EnvironmentName> =
        judged.first().map(|p| environments_of(p).into_iter().collect()).unwrap_or_default();
    for record in &records {
        if !names.contains(&record.environment) {
            names.push(record.environment.clone());
        }
    }
    let mut list = Vec::new();
    for name in names {
        let lock = state.store.environment_lock(Some(&which.repository), &name).await?;
        let latest = records.iter().find(|r| r.environment == name).map(|r| {
            json!({ "digest": r.digest, "outcome": r.outcome.as_str(), "pull": r.pr, "commit": r.commit, "run": r.run,
                    "at": r.at })
        });
        list.push(json!({ "environment": name, "lock": lock, "latest": latest }));
    }
    Ok(Json(json!({ "environments": list })))
}

/// The environments of a verdict, in promotion order.
fn environments_of(pull: &JudgedPull) -> Vec<EnvironmentName> {
    serde_json::from_str::<Verdict>(&pull.verdict)
        .map(|v| v.environments.into_iter().map(|e| e.environment).collect())
        .unwrap_or_default()
}

async fn approvals(State(state): State<AppState>, Question(which): Question) -> Result<Json<Value>, Refused> {
    let pull = which.pull.map(PrNumber);
    let entered = state.store.entered(&which.repository, pull).await?;
    let judged = match pull {
        Some(pull) => state.store.judged(&which.repository, pull).await?,
        None => None,
    };
    let verdict = judged.as_ref().and_then(|p| serde_json::from_str::<Verdict>(&p.verdict).ok());
    let counting: Vec<Value> = verdict.iter().flat_map(|v| &v.environments).flat_map(counting_json).collect();
    Ok(Json(json!({
        "entered": entered.iter().map(EnteredRow::as_json).collect::<Vec<_>>(),
        "counting": counting,
        "ignored": verdict.map(|v| v.ignored).unwrap_or_default(),
    })))
}

/// Who counts in an environment, in which role and by which way.
fn counting_json(verdict: &crate::approval::EnvironmentVerdict) -> Vec<Value> {
    let role_of = |login: &Login| verdict.filled.iter().find(|(_, by)| *by == login).map(|(role, _)| role);
    verdict
        .sources
        .iter()
        .map(|(login, ways)| {
            json!({ "environment": verdict.environment, "approver": login, "role": role_of(login), "sources": ways,
                    "expires_at": verdict.expires_at })
        })
        .collect()
}

/// An approval as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    repository: RepoName,
    pull: u64,
    environment: EnvironmentName,
    role: RoleName,
    /// What was looked at: the digest that the list of pull requests shows.
    digest: Digest,
    comment: String,
}

async fn enter(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Result<Json<Approval>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let Json(sent) = body.map_err(|e| Refused(e.status(), e.body_text()))?;
    let unfit = |message: String| Refused(StatusCode::UNPROCESSABLE_ENTITY, message);
    if sent.comment.trim().is_empty() || sent.comment.chars().count() > MAX_COMMENT {
        return Err(unfit(format!("say in `comment` what you looked at, in at most {MAX_COMMENT} characters")));
    }
    let asker = asker(&state, &headers, &sent.repository).await?;
    let permission = match asker.github.repo(&sent.repository, 0).await?.permission(&asker.login).await {
        // Only who may write is shown what anybody may do.
        Err(GithubError::Forbidden { .. }) => Permission::None,
        other => other?,
    };
    if permission < Permission::Write {
        let message = format!("`{}` has no write access to {}", asker.login, sent.repository);
        return Err(Refused(StatusCode::FORBIDDEN, message));
    }
    let judged = state.store.judged(&sent.repository, PrNumber(sent.pull)).await?;
    let Some(judged) = judged.filter(|p| p.state != "closed") else {
        let message = format!("no open or merged pull request {} of {} was judged here", sent.pull, sent.repository);
        return Err(Refused(StatusCode::NOT_FOUND, message));
    };
    let known: BTreeSet<EnvironmentName> = environments_of(&judged).into_iter().collect();
    if !known.contains(&sent.environment) {
        let names: Vec<String> = known.iter().map(|e| format!("`{e}`")).collect();
        return Err(unfit(format!("`{}` is not an environment; there are {}", sent.environment, names.join(", "))));
    }
    let Some(binding) = judged.binding.clone().filter(|b| b.digest == sent.digest) else {
        let now = judged.binding.map_or_else(|| "nothing".to_owned(), |b| format!("`{}`", b.digest));
        let message = format!("what is there now is {now}, not what you looked at; please look again");
        return Err(Refused(StatusCode::CONFLICT, message));
    };
    let new = NewEntered {
        repo: sent.repository.clone(),
        pr: Some(judged.pr),
        environment: sent.environment,
        role: sent.role,
        approver: asker.login.clone(),
        entered_by: asker.login,
        source: Source::Api,
        comment: sent.comment.trim().to_owned(),
        subject: format!("pull request {}", judged.pr),
        binding,
        at: Utc::now(),
    };
    let id = state.store.enter_approval(&new).await?;
    state.store.append_audit(new.audit_entry()).await?;
    state.store.look_again(&judged).await?;
    Ok((StatusCode::CREATED, Json(EnteredRow { id, approval: new }.as_json())))
}
