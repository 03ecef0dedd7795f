//! What a request is refused with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use perface_evidence::study::trial::Refused;
use serde_json::json;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No token, or one nobody has.
    #[error("this link is not known here")]
    Unknown,
    /// The study takes no more people.
    #[error("this study takes no more people")]
    Full,
    /// The request makes no sense.
    #[error("{0}")]
    Bad(&'static str),
    /// The answer is refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The answer could not be kept; it may be sent again.
    #[error("the answer could not be kept; please try again")]
    NotKept,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Full => StatusCode::FORBIDDEN,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Refused(Refused::NoPerson) => StatusCode::UNAUTHORIZED,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::NotKept => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// For whatever is not there.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "there is nothing here" }))).into_response()
}
