//! The line written down once: photo in, photo without its people out, with a record of every face.
//!
//! Whatever goes wrong with a face, it is covered; it stays as it was only if it was named to be kept.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::cover;
use crate::detect::{Detector, Face};
use crate::error::Result;
use crate::photo::Photo;
use crate::report::{FaceRecord, Verdict};

/// What takes a face's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A solid fill over every head.
    None,
}

/// Time spent in each stage of the line, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Timings(BTreeMap<String, f64>);

impl Timings {
    /// Run `work` and add its time to `stage`.
    pub fn time<T>(&mut self, stage: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.0.entry(stage.to_owned()).or_default() += start.elapsed().as_secs_f64() * 1e3;
        result
    }

    /// Milliseconds by stage.
    pub fn into_map(self) -> BTreeMap<String, f64> {
        self.0
    }
}

/// A photo after the line, and what happened in it.
#[derive(Clone, Debug)]
pub struct Anonymized {
    /// The photo without its people.
    pub photo: Photo,
    /// Every face that was found, from left to right.
    pub faces: Vec<FaceRecord>,
    /// Time spent in each stage, in milliseconds.
    pub timings: Timings,
}

/// Photo in, photo without its people out.
pub struct Anonymizer {
    detector: Detector,
}

impl Anonymizer {
    /// One that covers every face it finds.
    pub fn covering(detector: Detector) -> Self {
        Self { detector }
    }

    /// Find the faces of `photo` without changing anything.
    ///
    /// # Errors
    /// If the detector's network fails.
    pub fn find(&self, photo: &Photo) -> Result<Vec<Face>> {
        self.detector.detect(&photo.pixels)
    }

    /// Take every face out of `photo`.
    ///
    /// # Errors
    /// If a network fails: there is then no result, so nothing can be published by mistake.
    pub fn anonymize(&self, mut photo: Photo) -> Result<Anonymized> {
        let mut timings = Timings::default();
        let faces = timings.time("detect", || self.detector.detect(&photo.pixels))?;
        let records = timings
            .time("cover", || faces.iter().map(|face| covered(&mut photo, face, "cover was asked for")).collect());
        Ok(Anonymized { photo, faces: records, timings })
    }
}

fn covered(photo: &mut Photo, face: &Face, reason: &str) -> FaceRecord {
    cover::cover(&mut photo.pixels, face);
    record(face, Verdict::Obscured, Some(reason.to_owned()))
}

fn record(face: &Face, verdict: Verdict, reason: Option<String>) -> FaceRecord {
    FaceRecord {
        box_px: face.box_px,
        score: face.score,
        landmarks_px: face.landmarks_px,
        p_male: None,
        age_years: None,
        groups: Vec::new(),
        chosen_group: None,
        grouped_by: None,
        ranking: Vec::new(),
        candidate: None,
        similarity_before: None,
        similarity_after: None,
        tries: 0,
        verdict,
        reason,
    }
}
