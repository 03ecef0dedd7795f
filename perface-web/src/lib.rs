//! The pages on which people say which of two faces is closer to a third, and the researcher's page.
//!
//! [`app`] is the whole server as one router over a [`State`]. One thread, the [`office`], holds the running study and
//! its database; requests queue up for it, and all that queue while the disk is busy are written together. A reply is
//! sent when its answer is on the disk, never before.
//!
//! Nothing but these pages and the study's pictures is served, and nothing is fetched from elsewhere.

pub mod auth;
mod error;
pub mod office;
mod pages;
mod people;
mod pictures;
mod researcher;
pub mod simulate;
mod state;
pub mod store;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::{self, HeaderName};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};

pub use state::{Clock, Completion, Options, State, system_clock};

/// Longest request body, in bytes: an answer takes about a hundred.
pub const MAX_BODY_BYTES: usize = 4096;

/// What pages may load and do: only what comes from this server, and no inline scripts or styles.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The server.
pub fn app(state: State) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/researcher", get(pages::researcher))
        .route("/static/{name}", get(pages::file))
        .route("/picture/{id}", get(pictures::picture))
        .route("/api/study", get(people::study))
        .route("/api/people", post(people::join))
        .route("/api/next", get(people::next))
        .route("/api/practised", post(people::practised))
        .route("/api/answers", post(people::answer))
        .route("/api/me", delete(people::withdraw))
        .route("/api/researcher/progress", get(researcher::progress))
        .route("/api/researcher/votes.csv", get(researcher::votes))
        .route("/api/researcher/people.csv", get(researcher::people))
        .fallback(error::not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(guard))
        .with_state(state)
}

/// Headers every reply has.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
