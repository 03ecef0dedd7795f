//! The line written down once: photo in, photo without its people out, with a record of every face.
//!
//! Whatever goes wrong with a face, it is covered; it stays as it was only if it was named to be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::cover;
use crate::detect::{Detector, Face};
use crate::error::Result;
use crate::photo::Photo;
use crate::pool::PixelHash;
use crate::rank::Uses;
use crate::replace::{Failure, Replaced, Replacer, Subject, reaches};
use crate::report::{FaceRecord, GroupRecord, RankedRecord, Verdict};
use crate::sheet::faces::{LEAST_SHOWN, MOST_SHOWN, extremes};

/// Time spent in each stage of the line, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Timings(BTreeMap<String, f64>);

impl Timings {
    /// Run `work` and add its time to `stage`.
    pub fn time<T>(&mut self, stage: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed());
        result
    }

    /// Add the time of something already done to `stage`.
    pub fn add(&mut self, stage: &str, elapsed: std::time::Duration) {
        *self.0.entry(stage.to_owned()).or_default() += elapsed.as_secs_f64() * 1e3;
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
    replacer: Option<Replacer>,
}

impl Anonymizer {
    /// One that covers every face it finds.
    pub fn covering(detector: Detector) -> Self {
        Self { detector, replacer: None }
    }

    /// One that replaces faces, and covers those it cannot replace.
    pub fn replacing(detector: Detector, replacer: Replacer) -> Self {
        Self { detector, replacer: Some(replacer) }
    }

    /// Whether faces are replaced where that is possible.
    pub fn replaces(&self) -> bool {
        self.replacer.is_some()
    }

    /// Find the faces of `photo`, from left to right, without changing anything.
    ///
    /// # Errors
    /// If the detector's network fails.
    pub fn find(&self, photo: &Photo) -> Result<Vec<Face>> {
        self.detector.detect(&photo.pixels)
    }

    /// Take every face out of `photo` but those whose places, from 0, are in `keep`.
    ///
    /// # Errors
    /// If a network fails: there is then no result, so nothing can be published by mistake.
    pub fn anonymize(&self, mut photo: Photo, keep: &BTreeSet<usize>) -> Result<Anonymized> {
        let mut timings = Timings::default();
        let faces = timings.time("detect", || self.detector.detect(&photo.pixels))?;
        let mut records: Vec<FaceRecord> = match &self.replacer {
            None => faces.iter().map(|face| obscured(face, "covering was asked for")).collect(),
            Some(replacer) => replace_all(replacer, &mut photo, &faces, keep, &mut timings)?,
        };
        for (index, (record, face)) in records.iter_mut().zip(&faces).enumerate() {
            if keep.contains(&index) {
                *record = FaceRecord { reason: Some("named to be kept".to_owned()), ..record_of(face, Verdict::Kept) };
            }
        }
        timings.time("cover", || {
            for (record, face) in records.iter().zip(&faces) {
                if record.verdict == Verdict::Obscured {
                    cover::cover(&mut photo.pixels, face);
                }
            }
        });
        Ok(Anonymized { photo, faces: records, timings })
    }
}

/// Replace what can be replaced; the records say what must still be covered.
fn replace_all(
    replacer: &Replacer,
    photo: &mut Photo,
    faces: &[Face],
    keep: &BTreeSet<usize>,
    timings: &mut Timings,
) -> Result<Vec<FaceRecord>> {
    let photo_hash = PixelHash::of(&photo.pixels);
    // Everyone is read before anyone is replaced: neighbours overlap.
    let mut subjects: Vec<Result<Subject, Failure>> = Vec::with_capacity(faces.len());
    for (index, face) in faces.iter().enumerate() {
        subjects.push(match keep.contains(&index) {
            true => Err(Failure("named to be kept".to_owned())),
            false => replacer.read(&photo.pixels, face, timings)?,
        });
    }
    let mut uses = Uses::default();
    let mut records = Vec::with_capacity(faces.len());
    let mut changed = Vec::new();
    for (index, (face, subject)) in faces.iter().zip(&subjects).enumerate() {
        let subject = match subject {
            Ok(subject) => subject,
            Err(Failure(reason)) => {
                changed.push(cover::head_box(face));
                records.push(obscured(face, reason));
                continue;
            }
        };
        let attempt = replacer.replace(&photo.pixels, subject, photo_hash, index, &uses, timings)?;
        let mut record = described(replacer, face, subject);
        record.tries = attempt.tries;
        let (most, least) = extremes(&attempt.ranked, MOST_SHOWN, LEAST_SHOWN);
        let shown = most.into_iter().chain(least);
        record.ranking = shown.map(|c| RankedRecord { candidate: c.id.clone(), cosine: c.cosine }).collect();
        match attempt.outcome {
            Ok(Replaced { swap, candidate, similarity_after, .. }) => {
                swap.paste(&mut photo.pixels);
                uses.note(&candidate);
                changed.push(swap.rect());
                record.verdict = Verdict::Replaced;
                record.candidate = Some(candidate.id);
                record.similarity_before = Some(candidate.cosine);
                record.similarity_after = Some(similarity_after);
            }
            Err(Failure(reason)) => {
                changed.push(cover::head_box(face));
                record.reason = Some(reason);
            }
        }
        records.push(record);
    }
    check_neighbours(replacer, photo, &subjects, &changed, &mut records, timings)?;
    Ok(records)
}

/// Look again at every replaced face that a neighbour's replacement may have touched.
fn check_neighbours(
    replacer: &Replacer,
    photo: &Photo,
    subjects: &[Result<Subject, Failure>],
    changed: &[crate::geometry::Rect],
    records: &mut [FaceRecord],
    timings: &mut Timings,
) -> Result<()> {
    for (index, (record, subject)) in records.iter_mut().zip(subjects).enumerate() {
        let Ok(subject) = subject else { continue };
        let touched = changed.iter().enumerate().any(|(other, rect)| other != index && reaches(rect, &subject.face));
        if record.verdict != Verdict::Replaced || !touched {
            continue;
        }
        let recognised = replacer.check_finished(&photo.pixels, subject, timings)?.is_some_and(|margin| margin >= 0.0);
        if recognised {
            record.verdict = Verdict::Obscured;
            record.reason = Some("a neighbour's replacement uncovered it".to_owned());
        }
    }
    Ok(())
}

fn described(replacer: &Replacer, face: &Face, subject: &Subject) -> FaceRecord {
    let mut record = record_of(face, Verdict::Obscured);
    record.p_male = subject.attributes.map(|a| a.p_male);
    record.age_years = subject.attributes.map(|a| a.age_years);
    record.chosen_group = Some(subject.group.to_string());
    record.grouped_by = Some(replacer.options.group_by.to_string());
    record.groups = subject.choice.iter().flat_map(|choice| &choice.distances).map(GroupRecord::from).collect();
    record
}

fn obscured(face: &Face, reason: &str) -> FaceRecord {
    FaceRecord { reason: Some(reason.to_owned()), ..record_of(face, Verdict::Obscured) }
}

fn record_of(face: &Face, verdict: Verdict) -> FaceRecord {
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
        reason: None,
    }
}
