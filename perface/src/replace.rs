//! Replace one face: choose its group, try candidates, and keep the first result that hides it.
//!
//! Each result is looked at as a stranger would: the face is found anew in it, aligned anew and embedded anew by every
//! recogniser. A result in which no face is found, or which a recogniser still takes for the
//! original, is refused, and the next candidate is tried.

use std::sync::Arc;

use image::{RgbImage, imageops};
use serde::Serialize;

use crate::anonymize::Timings;
use crate::attribute::{AttributeReader, Attributes};
use crate::candidates::Candidates;
use crate::cover;
use crate::detect::{Detector, Face};
use crate::draw::Seed;
use crate::embed::Embedder;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::geometry::{Point, Rect};
use crate::group::{GroupBy, GroupChoice, GroupDistance, GroupSet, nearest_group};
use crate::mesh::Mesher;
use crate::pool::{Group, PixelHash};
use crate::rank::{self, DrawKey, PickOptions, Uses};
use crate::resample;
use crate::swap::{Swap, Swapper, Target};
use crate::turn::Turn;

/// How faces are replaced.
#[derive(Clone, Debug)]
pub struct ReplaceOptions {
    /// Secret of all draws.
    pub seed: Seed,
    /// What the distance to a group is.
    pub group_distance: GroupDistance,
    /// Which groups are compared.
    pub group_set: GroupSet,
    /// What decides the group; `Auto` must have been resolved.
    pub group_by: GroupBy,
    /// Which candidates are tried first.
    pub pick: PickOptions,
    /// Candidates tried before a face is covered instead.
    pub tries: usize,
    /// Among how many tries the result least like the original is kept; 1 takes the first that is hidden.
    pub rerank: usize,
}

/// The default of [`ReplaceOptions::tries`].
pub const DEFAULT_TRIES: usize = 8;

/// The default of [`ReplaceOptions::rerank`].
pub const DEFAULT_RERANK: usize = 1;

/// A recogniser that a result must get past.
#[derive(Clone)]
pub struct Gate {
    /// The network.
    pub embedder: Embedder,
    /// Cosine from which it takes two faces for one person.
    pub same_person_cosine: f32,
}

/// Everything needed to replace faces.
pub struct Replacer {
    /// Finds faces again in results.
    pub detector: Detector,
    /// Lays meshes over the faces to replace.
    pub mesher: Mesher,
    /// Builds the new face.
    pub swapper: Arc<dyn Swapper>,
    /// Recognisers a result must get past; the first one also chooses groups and ranks candidates.
    pub gates: Vec<Gate>,
    /// Apparent gender and age, where the networks are there.
    pub attributes: Option<AttributeReader>,
    /// Who may stand in.
    pub candidates: Candidates,
    /// How.
    pub options: ReplaceOptions,
}

/// What is known of a face before it is replaced.
pub struct Subject {
    /// As detected.
    pub face: Face,
    /// Apparent gender and age.
    pub attributes: Option<Attributes>,
    /// One embedding for each gate, in their order.
    embeddings: Vec<Embedding>,
    /// How far the groups are, if similarity was asked.
    pub choice: Option<GroupChoice>,
    /// The group candidates come from.
    pub group: Group,
}

/// A face that was replaced.
pub struct Replaced {
    /// The new face.
    pub swap: Swap,
    /// Who stands in.
    pub candidate: rank::Candidate,
    /// The highest cosine of original and result over the gates, less the gate's threshold; negative.
    pub margin: f32,
    /// Cosine of original and result by the first gate.
    pub similarity_after: f32,
}

/// What came of trying to replace a face.
pub struct Attempt {
    /// The new face, or why there is none.
    pub outcome: Result<Replaced, Failure>,
    /// Candidates tried.
    pub tries: usize,
    /// The chosen group, least similar first.
    pub ranked: Vec<rank::Candidate>,
}

/// Why a face was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure(pub String);

impl Replacer {
    /// Read a face of `photo`: embeddings, gender and age, group. `Err` in the result says why it cannot be replaced.
    ///
    /// # Errors
    /// If a network fails.
    pub fn read(&self, photo: &RgbImage, face: &Face, timings: &mut Timings) -> Result<Result<Subject, Failure>> {
        let attributes = match &self.attributes {
            Some(reader) => Some(timings.time("gender and age", || reader.read(photo, face))?),
            None => None,
        };
        if attributes.is_some_and(|a| a.may_be_minor()) {
            return Ok(Err(Failure("may be under 18, and the pool has no such group".to_owned())));
        }
        let embed = || {
            let each = self.gates.iter().map(|gate| gate.embedder.embed_face(photo, face));
            each.collect::<Result<Option<Vec<_>>>>()
        };
        let Some(embeddings) = timings.time("embed", embed)? else {
            return Ok(Err(Failure("the landmarks coincide".to_owned())));
        };
        let Some(first) = embeddings.first() else {
            return Ok(Err(Failure("no recogniser is loaded".to_owned())));
        };
        let options = &self.options;
        let choice = timings.time("group", || {
            nearest_group(first, self.candidates.gallery(), options.group_distance, options.group_set)
        });
        let group = match (options.group_by, attributes, &choice) {
            (GroupBy::Classifier, Some(a), _) => Group::of(a.gender(), a.age_group()),
            (_, _, Some(choice)) => choice.chosen,
            _ => return Ok(Err(Failure("the pool has no faces".to_owned()))),
        };
        Ok(Ok(Subject { face: face.clone(), attributes, embeddings, choice, group }))
    }

    /// Try candidates for `subject` in `photo`, in which earlier faces may have been replaced already.
    ///
    /// # Errors
    /// If a network fails.
    pub fn replace(
        &self,
        photo: &RgbImage,
        subject: &Subject,
        photo_hash: PixelHash,
        index: usize,
        uses: &Uses,
        timings: &mut Timings,
    ) -> Result<Attempt> {
        let failed = |reason: &str| Attempt { outcome: Err(Failure(reason.to_owned())), tries: 0, ranked: Vec::new() };
        let Some(mesh) = timings.time("mesh", || self.mesher.mesh(photo, &subject.face))? else {
            return Ok(failed("no face mesh could be laid"));
        };
        let Some(query) = subject.embeddings.first() else { return Ok(failed("no recogniser is loaded")) };
        let (members, gallery) = (self.candidates.pool().members(), self.candidates.gallery());
        let ranked = rank::rank(query, members, gallery.embeddings(), subject.group);
        let key = DrawKey { seed: self.options.seed, photo: photo_hash, face: index };
        let order = rank::order(&ranked, self.options.pick, key, uses);
        if order.is_empty() {
            return Ok(failed(&format!("the pool has no {} faces", subject.group)));
        }
        let target = Target { photo, mesh: &mesh, face: &subject.face };
        let mut best: Option<Replaced> = None;
        let mut last = "no candidate could be used".to_owned();
        let mut tries = 0;
        for candidate in order.into_iter().take(self.options.tries) {
            if best.is_some() && tries >= self.options.rerank {
                break;
            }
            tries += 1;
            let Some(material) = timings.time("candidate", || self.candidates.material(candidate.index)) else {
                continue;
            };
            let swap = match timings.time("swap", || self.swapper.swap(&target, &material)) {
                Ok(swap) => swap,
                Err(refusal) => {
                    last = refusal.to_string();
                    if refusal.is_about_target() {
                        break;
                    }
                    continue;
                }
            };
            let Some((margin, similarity_after)) = self.check(photo, &swap, subject, timings)? else {
                last = "no face was found in the result".to_owned();
                continue;
            };
            if margin >= 0.0 {
                last = "every result was still taken for the same person".to_owned();
                continue;
            }
            if best.as_ref().is_none_or(|b| margin < b.margin) {
                best = Some(Replaced { swap, candidate, margin, similarity_after });
            }
        }
        Ok(Attempt { outcome: best.ok_or(Failure(last)), tries, ranked })
    }

    /// How far the result is from the original, as [`Replaced::margin`] and [`Replaced::similarity_after`]; `None` if no
    /// face is found where it was.
    fn check(
        &self,
        photo: &RgbImage,
        swap: &Swap,
        subject: &Subject,
        timings: &mut Timings,
    ) -> Result<Option<(f32, f32)>> {
        let mut part = Part::around(photo, subject.face.box_px);
        part.paste(swap);
        self.likeness(&part, subject, timings)
    }

    /// As [`Replaced::margin`], for a face as it stands in the finished photo; `None` if no face is found there.
    ///
    /// # Errors
    /// If a network fails.
    pub fn check_finished(&self, photo: &RgbImage, subject: &Subject, timings: &mut Timings) -> Result<Option<f32>> {
        let part = Part::around(photo, subject.face.box_px);
        Ok(self.likeness(&part, subject, timings)?.map(|(margin, _)| margin))
    }

    fn likeness(&self, part: &Part, subject: &Subject, timings: &mut Timings) -> Result<Option<(f32, f32)>> {
        let Some(found) = timings.time("find again", || self.find_again(part, &subject.face))? else {
            return Ok(None);
        };
        let embed = || {
            let each = self.gates.iter().map(|gate| gate.embedder.embed_face(&part.pixels, &found));
            each.collect::<Result<Option<Vec<_>>>>()
        };
        let Some(results) = timings.time("embed result", embed)? else { return Ok(None) };
        let cosines: Vec<f32> = results.iter().zip(&subject.embeddings).map(|(a, b)| a.cosine(b)).collect();
        let margins = cosines.iter().zip(&self.gates).map(|(cosine, gate)| cosine - gate.same_person_cosine);
        Ok(cosines.first().map(|&first| (margins.fold(f32::NEG_INFINITY, f32::max), first)))
    }

    /// The face in `part` that stands where `face` stood in the photo, in pixels of `part`.
    fn find_again(&self, part: &Part, face: &Face) -> Result<Option<Face>> {
        let [left_eye, right_eye, _, left_mouth, right_mouth] = face.landmarks_px;
        let turn = Turn::bringing_down(
            left_mouth.x + right_mouth.x - left_eye.x - right_eye.x,
            left_mouth.y + right_mouth.y - left_eye.y - right_eye.y,
        );
        let upright = turn.apply(part.pixels.clone());
        let (width, height) = upright.dimensions();
        let scale = (FIND_AGAIN_PX / width.max(height) as f32).min(1.0);
        let small = match scale < 1.0 {
            false => upright,
            true => {
                let size = |length: u32| ((length as f32 * scale).round() as u32).max(1);
                let whole = Rect::from_xywh(0.0, 0.0, width as f32, height as f32);
                let Some(small) = resample::shrink(&upright, whole, size(width), size(height)) else { return Ok(None) };
                small
            }
        };
        let ratio = width as f32 / small.width() as f32;
        let unscaled = |p: Point| Point::new((p.x + 0.5) * ratio - 0.5, (p.y + 0.5) * ratio - 0.5);
        let back = |p: Point| turn.back(unscaled(p), width, height);
        let expected = part.inside(face.box_px);
        let faces = self.detector.detect_once(&small)?.into_iter().filter_map(|found| {
            let b = found.box_px;
            let corners = [Point::new(b.left, b.top), Point::new(b.right, b.bottom)].map(back);
            Some(Face {
                box_px: Rect::around(corners)?,
                landmarks_px: found.landmarks_px.map(back),
                score: found.score,
            })
        });
        Ok(faces
            .filter(|found| found.box_px.iou(&expected) > SAME_PLACE_IOU)
            .max_by(|a, b| a.box_px.iou(&expected).total_cmp(&b.box_px.iou(&expected))))
    }
}

/// Longest side of the picture a result is looked for in, in pixels.
const FIND_AGAIN_PX: f32 = 320.0;

/// A face found again shares at least this much of its box with the original's.
const SAME_PLACE_IOU: f32 = 0.3;

/// How far the surroundings of a face reach beyond its box, in sizes of it.
const SURROUNDINGS: f32 = 0.6;

/// The part of a photo around a face.
struct Part {
    pixels: RgbImage,
    /// Where it begins in the photo.
    left: u32,
    top: u32,
}

impl Part {
    fn around(photo: &RgbImage, rect: Rect) -> Self {
        let around = rect.grown(SURROUNDINGS, SURROUNDINGS, SURROUNDINGS, SURROUNDINGS);
        let around = around.clamped(photo.width(), photo.height());
        let (left, top) = (around.left.floor() as u32, around.top.floor() as u32);
        let (width, height) = (around.width().ceil() as u32, around.height().ceil() as u32);
        let pixels = imageops::crop_imm(photo, left, top, width.max(1), height.max(1)).to_image();
        Self { pixels, left, top }
    }

    /// A box of the photo in pixels of this part.
    fn inside(&self, rect: Rect) -> Rect {
        let (x, y) = (self.left as f32, self.top as f32);
        Rect::from_ltrb(rect.left - x, rect.top - y, rect.right - x, rect.bottom - y)
    }

    /// Lay `swap` over what this part shows of the photo.
    fn paste(&mut self, swap: &Swap) {
        for (x, y, mask) in swap.mask.enumerate_pixels() {
            let at_x = (swap.patch_origin.0 + x).checked_sub(self.left).filter(|&x| x < self.pixels.width());
            let at_y = (swap.patch_origin.1 + y).checked_sub(self.top).filter(|&y| y < self.pixels.height());
            if let (Some(at_x), Some(at_y), true) = (at_x, at_y, mask.0[0] > 0) {
                self.pixels.put_pixel(at_x, at_y, *swap.patch.get_pixel(x, y));
            }
        }
    }
}

/// Whether what was done to one face reaches into another's head box.
pub fn reaches(changed: &Rect, face: &Face) -> bool {
    changed.intersection(&cover::head_box(face)).area() > 0.0
}
