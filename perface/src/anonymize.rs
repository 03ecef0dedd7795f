//! The line written down once: photo in, photo without its people out, with a record of every face.
//!
//! Whatever goes wrong with a face, it is covered; it stays as it was only if it was named to be kept. All photos of a
//! run are read before the first is changed, because a result must not lead back to its original among them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use image::RgbImage;

use crate::cover;
use crate::detect::{Detector, Face};
use crate::embedding::Embedding;
use crate::error::Result;
use crate::originals::Gathering;
use crate::people::{BroughtFace, Whom};
use crate::photo::Photo;
use crate::pool::PixelHash;
use crate::rank::Uses;
use crate::replace::{Attempt, Failure, Place, Replaced, Replacer, Subject, Who, Wish, reaches};
use crate::report::{FaceRecord, GroupRecord, RankedRecord, Verdict};
use crate::settle::Settled;
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

/// What is in a photo, read before anything in the run is changed.
pub struct Survey {
    /// The photo, to know it again.
    pub photo: PixelHash,
    /// Its faces, from left to right.
    pub faces: Vec<Face>,
    /// What is known of each face, or why it cannot be replaced; empty if faces are only covered.
    pub subjects: Vec<Result<Subject, Failure>>,
}

impl Survey {
    /// Add its faces to the originals of the run.
    pub fn add_to(&self, originals: &mut Gathering) {
        for (index, subject) in self.subjects.iter().enumerate() {
            if let Ok(subject) = subject {
                originals.add((self.photo, index), &subject.embeddings);
            }
        }
    }
}

/// What was ordered for one photo.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Places of the faces to leave as they are.
    pub keep: BTreeSet<usize>,
    /// Places in the pool of those who may not stand in on this photo, because its people contributed to them.
    pub barred: BTreeSet<usize>,
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

    /// What replaces faces, unless they are only covered.
    pub fn replacer(&self) -> Option<&Replacer> {
        self.replacer.as_ref()
    }

    /// Places in the pool of the faces to which one of `people` contributed.
    pub fn contributed(&self, people: &BTreeSet<String>) -> BTreeSet<usize> {
        let members = self.replacer.iter().flat_map(|replacer| replacer.candidates.pool().members().iter().enumerate());
        let by = |who: &String| people.contains(who);
        members.filter(|(_, member)| member.contributors.iter().any(by)).map(|(place, _)| place).collect()
    }

    /// The place in the pool of who stands in for a face.
    pub fn stand_in(&self, record: &FaceRecord) -> Option<usize> {
        let (members, id) = (self.replacer.as_ref()?.candidates.pool().members(), record.candidate.as_ref()?);
        members.iter().position(|member| member.id == *id)
    }

    /// Find and read the faces of `photo` without changing anything.
    ///
    /// # Errors
    /// If a network fails.
    pub fn survey(&self, photo: &Photo, timings: &mut Timings) -> Result<Survey> {
        let faces = timings.time("detect", || self.detector.detect(&photo.pixels))?;
        let mut subjects = Vec::new();
        if let Some(replacer) = &self.replacer {
            for face in &faces {
                subjects.push(replacer.read(&photo.pixels, face, timings)?);
            }
        }
        Ok(Survey { photo: PixelHash::of(&photo.pixels), faces, subjects })
    }

    /// Add faces that were found elsewhere to what is known of `photo`, to the right of those found here. One without
    /// landmarks cannot be aligned and will be covered.
    ///
    /// # Errors
    /// If a network fails.
    pub fn add_brought(
        &self,
        photo: &Photo,
        survey: &mut Survey,
        brought: &[BroughtFace],
        timings: &mut Timings,
    ) -> Result<()> {
        for BroughtFace { face, has_landmarks } in brought {
            if let Some(replacer) = &self.replacer {
                survey.subjects.push(match has_landmarks {
                    true => replacer.read(&photo.pixels, face, timings)?,
                    false => Err(Failure("its box was brought without landmarks".to_owned())),
                });
            }
            survey.faces.push(face.clone());
        }
        Ok(())
    }

    /// Places of the faces to leave, by whom they show.
    pub fn left(&self, survey: &Survey, whom: &Whom) -> BTreeSet<usize> {
        let Some(replacer) = &self.replacer else { return BTreeSet::new() };
        let thresholds: Vec<f32> = replacer.gates.iter().map(|gate| gate.same_person_cosine).collect();
        let known = |subject: &Result<Subject, Failure>| subject.as_ref().map_or(Vec::new(), |s| s.embeddings.clone());
        let faces: Vec<Vec<Embedding>> = survey.subjects.iter().map(known).collect();
        whom.left(&faces.iter().map(Vec::as_slice).collect::<Vec<_>>(), &thresholds)
    }

    /// Take every face out of `photo` but those whose places, from 0, are in `keep`. The photo is a run by itself.
    ///
    /// # Errors
    /// If a network fails: there is then no result, so nothing can be published by mistake.
    pub fn anonymize(&self, photo: Photo, keep: &BTreeSet<usize>) -> Result<Anonymized> {
        let mut timings = Timings::default();
        let survey = self.survey(&photo, &mut timings)?;
        let mut originals = Gathering::default();
        survey.add_to(&mut originals);
        let orders = Orders { keep: keep.clone(), ..Orders::default() };
        self.anonymize_in_run(photo, &survey, &Settled::nothing(originals.finish()), &orders, timings)
    }

    /// As [`Anonymizer::anonymize`], for a photo of a run for which everything is settled. `survey` is this photo's.
    ///
    /// # Errors
    /// If a network fails.
    pub fn anonymize_in_run(
        &self,
        mut photo: Photo,
        survey: &Survey,
        settled: &Settled,
        orders: &Orders,
        mut timings: Timings,
    ) -> Result<Anonymized> {
        let faces = &survey.faces;
        let mut records: Vec<FaceRecord> = match &self.replacer {
            None => faces.iter().map(|face| obscured(face, "covering was asked for")).collect(),
            Some(replacer) => replace_all(replacer, &mut photo, survey, settled, orders, &mut timings)?,
        };
        for (index, (record, face)) in records.iter_mut().zip(faces).enumerate() {
            record.person = settled.person((survey.photo, index));
            if orders.keep.contains(&index) {
                let reason = Some("named to be kept".to_owned());
                *record = FaceRecord { reason, ..FaceRecord::of(face, Verdict::Kept) };
            }
        }
        timings.time("cover", || {
            for (record, face) in records.iter().zip(faces) {
                if record.verdict == Verdict::Obscured {
                    cover::cover(&mut photo.pixels, face);
                }
            }
        });
        Ok(Anonymized { photo, faces: records, timings })
    }
}

/// Two boxes that share this much are of one face.
const SAME_PLACE_IOU: f32 = 0.3;

impl Anonymizer {
    /// Look at `written`, the photo as others will read it: compressed, found and aligned anew. Places of replaced faces
    /// that do not hide whom they replace there, and why.
    ///
    /// # Errors
    /// If a network fails.
    pub fn unhidden(
        &self,
        written: &RgbImage,
        survey: &Survey,
        settled: &Settled,
        records: &[FaceRecord],
    ) -> Result<Vec<(usize, String)>> {
        let Some(replacer) = self.replacer.as_ref() else { return Ok(Vec::new()) };
        let mut unhidden = Vec::new();
        if records.iter().all(|record| record.verdict != Verdict::Replaced) {
            return Ok(unhidden);
        }
        let found = self.detector.detect(written)?;
        for (index, (record, subject)) in records.iter().zip(&survey.subjects).enumerate() {
            let (Verdict::Replaced, Ok(subject)) = (record.verdict, subject) else { continue };
            let key = (survey.photo, index);
            for face in found.iter().filter(|face| face.box_px.iou(&subject.face.box_px) > SAME_PLACE_IOU) {
                if let Some(unfit) = replacer.check_written(written, face, subject, key, settled.originals())? {
                    let why = unfit.to_string().replace("every result", "the result as written");
                    unhidden.push((index, why));
                    break;
                }
            }
        }
        Ok(unhidden)
    }
}

/// Replace what can be replaced; the records say what must still be covered.
fn replace_all(
    replacer: &Replacer,
    photo: &mut Photo,
    survey: &Survey,
    settled: &Settled,
    orders: &Orders,
    timings: &mut Timings,
) -> Result<Vec<FaceRecord>> {
    let mut uses = Uses::default();
    let mut records = Vec::with_capacity(survey.faces.len());
    let mut changed = Vec::new();
    for (index, (face, subject)) in survey.faces.iter().zip(&survey.subjects).enumerate() {
        let subject = match subject {
            Ok(subject) if !orders.keep.contains(&index) => subject,
            Ok(_) | Err(_) => {
                let reason = subject.as_ref().err().map_or("named to be kept", |Failure(reason)| reason);
                changed.push(cover::head_box(face));
                records.push(obscured(face, reason));
                continue;
            }
        };
        let wish = settled.wish((survey.photo, index));
        let (originals, barred) = (settled.originals(), &orders.barred);
        let place = Place { photo: survey.photo, index, uses: &uses, originals, wish, barred };
        let attempt = replacer.replace(&photo.pixels, subject, place, timings)?;
        let (record, replaced) = described(replacer, subject, wish, attempt);
        match replaced {
            Some(Replaced { swap, candidate, .. }) => {
                swap.paste(&mut photo.pixels);
                uses.note(&candidate);
                changed.push(swap.rect());
            }
            None => changed.push(cover::head_box(face)),
        }
        records.push(record);
    }
    check_neighbours(replacer, photo, survey, settled, &changed, &mut records, timings)?;
    Ok(records)
}

/// Look again at every replaced face that a neighbour's replacement may have touched.
fn check_neighbours(
    replacer: &Replacer,
    photo: &Photo,
    survey: &Survey,
    settled: &Settled,
    changed: &[crate::geometry::Rect],
    records: &mut [FaceRecord],
    timings: &mut Timings,
) -> Result<()> {
    for (index, (record, subject)) in records.iter_mut().zip(&survey.subjects).enumerate() {
        let Ok(subject) = subject else { continue };
        let touched = changed.iter().enumerate().any(|(other, rect)| other != index && reaches(rect, &subject.face));
        if record.verdict != Verdict::Replaced || !touched {
            continue;
        }
        let key = (survey.photo, index);
        if replacer.check_finished(&photo.pixels, subject, key, settled.originals(), timings)?.is_some() {
            record.verdict = Verdict::Obscured;
            record.reason = Some("a neighbour's replacement uncovered it".to_owned());
        }
    }
    Ok(())
}

/// The record of an attempt, and the new face if there is one.
fn described(replacer: &Replacer, subject: &Subject, wish: &Wish, attempt: Attempt) -> (FaceRecord, Option<Replaced>) {
    let mut record = FaceRecord::of(&subject.face, Verdict::Obscured);
    record.p_male = subject.attributes.map(|a| a.p_male);
    record.age_years = subject.attributes.map(|a| a.age_years);
    record.chosen_group = Some(wish.group.unwrap_or(subject.group).to_string());
    record.grouped_by = Some(replacer.options.group_by.to_string());
    record.groups = subject.choice.iter().flat_map(|choice| &choice.distances).map(GroupRecord::from).collect();
    record.tries = attempt.tries;
    record.ita_deg = attempt.ita_deg;
    record.unfitting_tones = attempt.unfitting;
    let (most, least) = extremes(&attempt.ranked, MOST_SHOWN, LEAST_SHOWN);
    let shown = most.into_iter().chain(least);
    record.ranking = shown.map(|c| RankedRecord { candidate: c.id.clone(), cosine: c.cosine }).collect();
    let replaced = match attempt.outcome {
        Ok(replaced) => replaced,
        Err(Failure(reason)) => {
            record.reason = Some(reason);
            return (record, None);
        }
    };
    let score = &replaced.score;
    let names = || replacer.gates.iter().map(|gate| gate.embedder.card().name.clone());
    record.verdict = Verdict::Replaced;
    record.candidate = Some(replaced.candidate.id.clone());
    record.similarity_before = Some(replaced.candidate.cosine);
    record.similarity_after = score.similarities.first().copied();
    record.similarities_after = names().zip(score.similarities.iter().copied()).collect();
    let ranks = names().zip(&score.standings).filter_map(|(name, standing)| Some((name, (*standing)?.rank)));
    record.ranks_after = ranks.collect();
    record.landmarks_error = Some(score.looks.landmarks_error);
    record.tone_step = score.looks.tone_step;
    record.candidate_ita_deg = replaced.candidate_ita_deg;
    record.chosen_by = Some(replaced.chosen_by.clone());
    let mut notes = Vec::new();
    if let Who::First(wanted) = wish.who
        && wanted != replaced.candidate.index
    {
        notes.push("another replacement than on the person's other photos, which does not do here".to_owned());
    }
    if !replaced.fits {
        let apart = record.ita_deg.zip(record.candidate_ita_deg).map(|(a, b)| (a - b).abs());
        let apart = apart.map_or_else(|| "unknown".to_owned(), |deg| format!("{deg:.0}° of ITA"));
        notes.push(format!("nobody who hides this face has a fitting skin tone; the one taken is {apart} away"));
    }
    record.reason = (!notes.is_empty()).then(|| notes.join("; "));
    (record, Some(replaced))
}

fn obscured(face: &Face, reason: &str) -> FaceRecord {
    FaceRecord { reason: Some(reason.to_owned()), ..FaceRecord::of(face, Verdict::Obscured) }
}
