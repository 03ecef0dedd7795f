//! The study's pictures, under names that say nothing.
//!
//! A name is known to who is asked the question now or next, and to nobody else; it is another one for every person and
//! question. All pictures have one size in pixels, and are sent with the same number of bytes.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use anyhow::{Context, Result};
use axum::extract::{Path as UrlPath, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use perface_evidence::study::render::SHOWN;
use perface_evidence::study::{Place, Sample, Study};

use crate::error::not_found;
use crate::state::State;

/// A face that stands in for every picture of a study whose pictures are not made yet.
const PLACEHOLDER: &[u8] = include_bytes!("../static/placeholder.svg");

/// Bytes sent are a multiple of this.
const STEP_BYTES: usize = 4096;

/// The picture of `sample` that people see in `place`.
pub fn path_of(folder: &Path, sample: &Sample, place: Place) -> PathBuf {
    folder.join(SHOWN).join(sample.picture(place))
}

/// So many bytes hold every picture there is.
///
/// # Errors
/// If a picture cannot be looked at.
pub fn largest(folder: &Path, study: &Study) -> Result<usize> {
    let mut largest = 0;
    for sample in &study.samples {
        for path in Place::ALL.map(|place| path_of(folder, sample, place)) {
            if path.is_file() {
                let bytes = path.metadata().with_context(|| path.display().to_string())?.len();
                largest = largest.max(usize::try_from(bytes)?);
            }
        }
    }
    Ok(largest.next_multiple_of(STEP_BYTES))
}

/// `GET /picture/{id}`.
pub async fn picture(Shared(state): Shared<State>, UrlPath(id): UrlPath<String>) -> Response {
    let path = state.pictures.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let Some(path) = path else { return not_found().await };
    let cache = (header::CACHE_CONTROL, "private, max-age=3600, immutable");
    if state.options.placeholders {
        return ([(header::CONTENT_TYPE, "image/svg+xml"), cache], PLACEHOLDER).into_response();
    }
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let Ok(Ok(mut bytes)) = read else { return not_found().await };
    // What follows the end of a JPEG is passed over.
    bytes.resize(bytes.len().max(state.picture_bytes), 0);
    ([(header::CONTENT_TYPE, "image/jpeg"), cache], bytes).into_response()
}
