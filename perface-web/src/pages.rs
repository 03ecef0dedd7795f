//! The pages themselves, built into the program.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::error::not_found;

const INDEX: &str = include_str!("../static/index.html");
const RESEARCHER: &str = include_str!("../static/researcher.html");

/// Name, kind and content of the files pages need.
const FILES: [(&str, &str, &str); 4] = [
    ("study.js", "text/javascript; charset=utf-8", include_str!("../static/study.js")),
    ("researcher.js", "text/javascript; charset=utf-8", include_str!("../static/researcher.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("../static/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../static/icon.svg")),
];

/// `GET /`: the page people answer on.
pub async fn index() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], INDEX).into_response()
}

/// `GET /researcher`: the page the researcher watches; its numbers need the token.
pub async fn researcher() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], RESEARCHER).into_response()
}

/// `GET /static/{name}`.
pub async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, content)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "max-age=300")], *content).into_response()
        }
        None => not_found().await,
    }
}
