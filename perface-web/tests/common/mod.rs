//! A study without pictures, and requests to its server.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use perface::atomic::Overwrite;
use perface_evidence::study::Study;
use perface_web::simulate::placeholder_study;
use perface_web::{Options, State, app};
use serde_json::Value;
use tower::ServiceExt as _;

/// A small study in a folder of its own.
pub fn small_study() -> (tempfile::TempDir, Study) {
    let mut study = placeholder_study(4, 4, 3);
    study.rules.min_ms = 0;
    let folder = tempfile::tempdir().unwrap();
    study.write(folder.path(), Overwrite::Never).unwrap();
    (folder, study)
}

/// Its server, showing a drawn face in place of every picture.
pub fn open(folder: &Path) -> (Router, State) {
    let state = State::open(folder, Options { placeholders: true, ..Default::default() }).unwrap();
    (app(state.clone()), state)
}

/// A reply.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }
}

/// A request with any body.
pub async fn send(app: &Router, method: Method, path: &str, token: Option<&str>, body: impl Into<Body>) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Reply { status: parts.status, headers: parts.headers, body: to_bytes(body, 1 << 24).await.unwrap().to_vec() }
}

pub async fn get(app: &Router, path: &str, token: Option<&str>) -> Reply {
    send(app, Method::GET, path, token, Body::empty()).await
}

pub async fn post(app: &Router, path: &str, token: Option<&str>, body: &Value) -> Reply {
    send(app, Method::POST, path, token, body.to_string()).await
}

/// The token of somebody new.
pub async fn join(app: &Router) -> String {
    let reply = post(app, "/api/people", None, &serde_json::json!({ "consent": true })).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// Run a test that waits.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
