//! `git http-backend` behind a small HTTP server that asks for a token and remembers the addresses asked for.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};

pub struct GitServer {
    pub url: String,
    state: Arc<Served>,
}

struct Served {
    root: PathBuf,
    authorization: String,
    addresses: Mutex<Vec<String>>,
}

impl GitServer {
    pub async fn start(root: PathBuf, token: &str) -> Self {
        use base64::Engine as _;
        let authorization =
            format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("x-access-token:{token}")));
        let state = Arc::new(Served { root, authorization, addresses: Mutex::new(Vec::new()) });
        let app = axum::Router::new().fallback(serve).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    pub fn addresses(&self) -> Vec<String> {
        self.state.addresses.lock().unwrap().clone()
    }
}

async fn serve(
    State(served): State<Arc<Served>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<axum::body::Body> {
    served.addresses.lock().unwrap().push(uri.to_string());
    let answer = Response::builder();
    if headers.get("authorization").is_none_or(|v| v != served.authorization.as_str()) {
        return answer.status(StatusCode::UNAUTHORIZED).body("no".into()).unwrap();
    }
    let content_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &served.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "uploadpack.allowAnySHA1InWant")
            .env("GIT_CONFIG_VALUE_0", "true")
            .env("PATH_INFO", uri.path())
            .env("QUERY_STRING", uri.query().unwrap_or_default())
            .env("REQUEST_METHOD", method.as_str())
            .env("CONTENT_TYPE", content_type)
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        backend.stdin.take().unwrap().write_all(&body).unwrap();
        backend.wait_with_output().unwrap().stdout
    })
    .await
    .unwrap();
    let split = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&output[..split]).into_owned(), output[split + 4..].to_vec());
    let mut answer = answer.status(StatusCode::OK);
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            answer = answer.status(value.split(' ').next().unwrap().parse::<u16>().unwrap());
        } else {
            answer = answer.header(name, value);
        }
    }
    answer.body(body.into()).unwrap()
}
