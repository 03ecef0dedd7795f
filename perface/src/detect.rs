//! Find faces, with five landmarks each.
//!
//! YuNet looks at the photo several times: shrunk, for faces that fill it; at its own size, in
//! overlapping tiles where it is large, for the small faces of a group; and turned by quarter
//! turns, because the network only knows faces that are about upright. What the looks find is
//! merged. A missed face is a leak and an obscured dog is cheap, so doubt counts as a face.
//!
//! Decoding follows OpenCV's `FaceDetectorYN`: score √(cls·obj), boxes relative to cells of stride
//! 8, 16 and 32. Coordinates are photo pixels.

use std::cmp::Ordering;
use std::sync::Arc;

use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::geometry::{Point, Rect};
use crate::model::{Model, Tensor};
use crate::resample;
use crate::turn::Turn;

/// A face that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Box around the face, brow to chin, in photo pixels; may reach over the photo's edge.
    pub box_px: Rect,
    /// Left eye, right eye, nose tip, left and right mouth corner, as seen by the face upright in the image.
    pub landmarks_px: [Point; 5],
    /// How sure the detector is, in `[0, 1]`.
    pub score: f32,
}

impl Face {
    /// From the eyes to the mouth: twice the way from the middle of the one to that of the other, in pixels.
    pub fn down(&self) -> Point {
        let [left_eye, right_eye, _, left_mouth, right_mouth] = self.landmarks_px;
        Point::new(
            left_mouth.x + right_mouth.x - left_eye.x - right_eye.x,
            left_mouth.y + right_mouth.y - left_eye.y - right_eye.y,
        )
    }
}

/// How hard to look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectorOptions {
    /// Faces below this score are not reported. 0.7 finds every face of the test groups; OpenCV's own 0.9 does not.
    pub min_score: f32,
    /// Of two faces whose boxes share more than this (intersection over union), the surer one is kept.
    pub max_iou: f32,
    /// Whether to look at the photo turned by 90°, 180° and 270° too.
    pub quarter_turns: bool,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self { min_score: 0.7, max_iou: 0.3, quarter_turns: true }
    }
}

/// Strides of YuNet's three output levels, in pixels.
const STRIDES: [usize; 3] = [8, 16, 32];

/// Longest side of one look at full size, in pixels; larger photos are cut into tiles.
const TILE_PX: u32 = 1280;

/// Tiles share this many pixels, so that a face on a seam is whole in one of them: a face larger than this is
/// seen by the shrunken look.
const TILE_OVERLAP_PX: u32 = 200;

/// Longest side of the shrunken looks. YuNet was trained on faces of about 10 to 300 px.
const SHRUNKEN_PX: [u32; 2] = [640, 320];

/// A turned look at a photo that also has upright faces must be this sure: most real turned faces score above 0.9,
/// and almost everything between 0.7 and 0.8 there is a collar or a hand.
pub const MIN_TURNED_SCORE: f32 = 0.8;

/// A face found turned that shares this much of the smaller box with a surer face is part of that face.
const MAX_TURNED_OVERLAP: f32 = 0.3;

/// A photo is shrunk for another look only if that makes it smaller by at least this factor.
const WORTH_SHRINKING: f32 = 1.4;

/// More faces than this in one look are cut off before merging, the surest kept, as OpenCV does.
const MAX_CANDIDATES: usize = 5000;

/// Finds faces in photos.
#[derive(Clone)]
pub struct Detector {
    model: Arc<dyn Model>,
    options: DetectorOptions,
}

/// One look: a part of the photo at some size, turned.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    /// Part of the photo, in photo pixels.
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    /// Look pixels for each photo pixel.
    scale: f32,
    /// How the network sees it.
    turn: Turn,
}

impl Detector {
    /// With a YuNet network of free input size.
    pub fn new(model: Arc<dyn Model>, options: DetectorOptions) -> Self {
        Self { model, options }
    }

    /// The score from which on a face counts.
    pub fn min_score(&self) -> f32 {
        self.options.min_score
    }

    /// All faces in `photo`, from left to right.
    ///
    /// # Errors
    /// If the network fails or its outputs are not YuNet's.
    pub fn detect(&self, photo: &RgbImage) -> Result<Vec<Face>> {
        let (width, height) = photo.dimensions();
        if width == 0 || height == 0 {
            return Ok(Vec::new());
        }
        let mut looks = upright_looks(width, height);
        let mut found = Vec::new();
        for look in &looks {
            self.look(photo, *look, &mut found)?;
        }
        if self.options.quarter_turns {
            looks.sort_by(|a, b| a.scale.total_cmp(&b.scale));
            let coarse = looks.iter().position(|look| !is_tiny(look)).unwrap_or(0);
            let none_upright = found.is_empty();
            for turn in Turn::OTHERS {
                let mut turned = Vec::new();
                for (index, look) in looks.iter().enumerate().skip(coarse) {
                    // The full-size looks cost most: they follow only where a turned face is likely.
                    if index == coarse || none_upright || !turned.is_empty() {
                        self.look(photo, Look { turn, ..*look }, &mut turned)?;
                    }
                }
                turned.retain(|t| none_upright || t.face.score >= MIN_TURNED_SCORE);
                found.append(&mut turned);
            }
        }
        let mut faces = merge(found, self.options.max_iou);
        faces.sort_by(|a, b| a.box_px.left.total_cmp(&b.box_px.left).then(a.box_px.top.total_cmp(&b.box_px.top)));
        Ok(faces)
    }

    /// Faces of one look at the photo as it is: no shrinking, tiles or turns. For comparison with other programs.
    ///
    /// # Errors
    /// If the network fails or its outputs are not YuNet's.
    pub fn detect_once(&self, photo: &RgbImage) -> Result<Vec<Face>> {
        let (width, height) = photo.dimensions();
        let mut found = Vec::new();
        self.look(photo, Look { x: 0, y: 0, width, height, scale: 1.0, turn: Turn::NONE }, &mut found)?;
        let mut faces = merge(found, self.options.max_iou);
        faces.sort_by(|a, b| a.box_px.left.total_cmp(&b.box_px.left).then(a.box_px.top.total_cmp(&b.box_px.top)));
        Ok(faces)
    }

    fn look(&self, photo: &RgbImage, look: Look, found: &mut Vec<Found>) -> Result<()> {
        let seen = seen_by(photo, look)?;
        let (width, height) = seen.dimensions();
        let outputs = self.model.run(&[padded_bgr(&seen)])?;
        let mut faces = decode(&outputs, width, height, self.options.min_score)?;
        faces.sort_by(by_score);
        faces.truncate(MAX_CANDIDATES);
        found.extend(faces.into_iter().map(|face| Found {
            face: Face {
                box_px: box_to_photo(look.turn.back_rect(face.box_px, width, height), look),
                landmarks_px: face.landmarks_px.map(|p| to_photo(look.turn.back(p, width, height), look)),
                score: face.score,
            },
            scale: look.scale,
            turned: look.turn != Turn::NONE,
        }));
        Ok(())
    }
}

/// A face, the scale of the look that found it, and whether that look was turned.
struct Found {
    face: Face,
    scale: f32,
    turned: bool,
}

impl Found {
    fn is_same(&self, surer: &Face, max_iou: f32) -> bool {
        let (a, b) = (self.face.box_px, surer.box_px);
        let smaller = a.area().min(b.area());
        a.iou(&b) > max_iou || (self.turned && a.intersection(&b).area() > MAX_TURNED_OVERLAP * smaller)
    }
}

fn is_tiny(look: &Look) -> bool {
    look.scale < 1.0 && (look.width.max(look.height) as f32 * look.scale) < SHRUNKEN_PX[0] as f32 * 0.9
}

fn upright_looks(width: u32, height: u32) -> Vec<Look> {
    let mut looks = Vec::new();
    let longest = width.max(height) as f32;
    for shrunken in SHRUNKEN_PX {
        if longest / shrunken as f32 >= WORTH_SHRINKING {
            looks.push(Look { x: 0, y: 0, width, height, scale: shrunken as f32 / longest, turn: Turn::NONE });
        }
    }
    for (y, tile_height) in tiles(height) {
        for (x, tile_width) in tiles(width) {
            looks.push(Look { x, y, width: tile_width, height: tile_height, scale: 1.0, turn: Turn::NONE });
        }
    }
    looks
}

/// Start and length of overlapping tiles that cover `length` pixels evenly.
fn tiles(length: u32) -> Vec<(u32, u32)> {
    if length <= TILE_PX {
        return vec![(0, length)];
    }
    let count = (length - TILE_OVERLAP_PX).div_ceil(TILE_PX - TILE_OVERLAP_PX);
    let step = f64::from(length - TILE_PX) / f64::from(count - 1);
    (0..count).map(|i| ((f64::from(i) * step).round() as u32, TILE_PX)).collect()
}

fn seen_by(photo: &RgbImage, look: Look) -> Result<RgbImage> {
    let whole = (look.width, look.height) == photo.dimensions();
    let part = if whole && look.scale == 1.0 {
        photo.clone()
    } else if look.scale == 1.0 {
        imageops::crop_imm(photo, look.x, look.y, look.width, look.height).to_image()
    } else {
        let target = |length: u32| ((length as f32 * look.scale).round() as u32).max(1);
        let part = Rect::from_xywh(look.x as f32, look.y as f32, look.width as f32, look.height as f32);
        let small = resample::shrink(photo, part, target(look.width), target(look.height));
        small.ok_or_else(|| Error::model("yunet", "the photo cannot be shrunk"))?
    };
    Ok(look.turn.apply(part))
}

/// `[1, 3, H, W]`, blue first, 0–255, zeros to the right and below up to a multiple of the largest stride.
fn padded_bgr(picture: &RgbImage) -> Tensor {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let largest = STRIDES[2];
    let (padded_width, padded_height) = (width.next_multiple_of(largest), height.next_multiple_of(largest));
    let plane = padded_width * padded_height;
    let mut data = vec![0.0; 3 * plane];
    let (blue, rest) = data.split_at_mut(plane);
    let (green, red) = rest.split_at_mut(plane);
    for (y, row) in picture.as_raw().chunks_exact(width * 3).enumerate() {
        let line = y * padded_width..y * padded_width + width;
        let planes = blue[line.clone()].iter_mut().zip(&mut green[line.clone()]).zip(&mut red[line]);
        for (pixel, ((b, g), r)) in row.as_chunks::<3>().0.iter().zip(planes) {
            *r = f32::from(pixel[0]);
            *g = f32::from(pixel[1]);
            *b = f32::from(pixel[2]);
        }
    }
    Tensor::new(vec![1, 3, padded_height, padded_width], data)
}

/// Faces of at least `min_score` in YuNet's outputs for a picture of `width` × `height`, in its pixels.
///
/// `outputs` are cls, obj, bbox and kps, three strides each, as `[1, cells, 1 | 1 | 4 | 10]`.
fn decode(outputs: &[Tensor], width: u32, height: u32, min_score: f32) -> Result<Vec<Face>> {
    let mut faces = Vec::new();
    for (level, stride) in STRIDES.into_iter().enumerate() {
        let columns = (width as usize).next_multiple_of(STRIDES[2]) / stride;
        let rows = (height as usize).next_multiple_of(STRIDES[2]) / stride;
        let cells = columns * rows;
        let output = |kind: usize, channels: usize| -> Result<&[f32]> {
            let tensor = outputs.get(kind * STRIDES.len() + level);
            let got = tensor.map(|t| t.shape().to_vec()).unwrap_or_default();
            match tensor {
                Some(tensor) if got == [1, cells, channels] => Ok(tensor.data()),
                _ => Err(Error::Shape {
                    model: "yunet".to_owned(),
                    what: format!("output {} of stride {stride}", ["cls", "obj", "bbox", "kps"][kind]),
                    got,
                    want: vec![1, cells, channels],
                }),
            }
        };
        let (cls, obj, bbox, kps) = (output(0, 1)?, output(1, 1)?, output(2, 4)?, output(3, 10)?);
        let scores = cls.iter().zip(obj).map(|(c, o)| (c.clamp(0.0, 1.0) * o.clamp(0.0, 1.0)).sqrt());
        for (cell, score) in scores.enumerate().filter(|(_, score)| *score >= min_score) {
            let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
            let unit = stride as f32;
            let b = &bbox[cell * 4..cell * 4 + 4];
            let k = &kps[cell * 10..cell * 10 + 10];
            let (centre_x, centre_y) = ((column + b[0]) * unit, (row + b[1]) * unit);
            let (w, h) = (b[2].exp() * unit, b[3].exp() * unit);
            let face = Face {
                box_px: Rect::from_xywh(centre_x - w / 2.0, centre_y - h / 2.0, w, h),
                landmarks_px: std::array::from_fn(|n| {
                    Point::new((k[2 * n] + column) * unit, (k[2 * n + 1] + row) * unit)
                }),
                score,
            };
            if is_finite(&face) {
                faces.push(face);
            }
        }
    }
    Ok(faces)
}

fn is_finite(face: &Face) -> bool {
    let Rect { left, top, right, bottom } = face.box_px;
    [left, top, right, bottom].iter().all(|v| v.is_finite())
        && face.landmarks_px.iter().all(|p| p.x.is_finite() && p.y.is_finite())
}

/// From pixels of the upright look to photo pixels.
fn to_photo(p: Point, look: Look) -> Point {
    if look.scale == 1.0 {
        return Point::new(p.x + look.x as f32, p.y + look.y as f32);
    }
    // Pixel centres are whole numbers, so scaling keeps the half pixel at the edge.
    let unscaled = |v: f32, start: u32| (v + 0.5) / look.scale - 0.5 + start as f32;
    Point::new(unscaled(p.x, look.x), unscaled(p.y, look.y))
}

fn box_to_photo(rect: Rect, look: Look) -> Rect {
    let first = to_photo(Point::new(rect.left, rect.top), look);
    let last = to_photo(Point::new(rect.right, rect.bottom), look);
    Rect::from_ltrb(first.x, first.y, last.x, last.y)
}

fn by_score(a: &Face, b: &Face) -> Ordering {
    b.score.total_cmp(&a.score)
}

/// One face for each group of overlapping ones: found by the surest, placed by the finest look that saw it.
fn merge(mut found: Vec<Found>, max_iou: f32) -> Vec<Face> {
    found.sort_by(|a, b| by_score(&a.face, &b.face).then(b.scale.total_cmp(&a.scale)));
    let mut kept: Vec<Found> = Vec::new();
    for next in found {
        match kept.iter_mut().find(|k| next.is_same(&k.face, max_iou)) {
            None => kept.push(next),
            Some(same) if next.scale > same.scale && agrees(&same.face, &next.face) => {
                let score = same.face.score;
                *same = next;
                same.face.score = score;
            }
            Some(_) => {}
        }
    }
    kept.into_iter().map(|found| found.face).collect()
}

/// Whether two looks mean the same face the same way up: their eyes lie within a quarter of the face's width.
fn agrees(a: &Face, b: &Face) -> bool {
    let near = a.box_px.width().max(a.box_px.height()) / 4.0;
    a.landmarks_px.iter().zip(&b.landmarks_px).all(|(p, q)| p.distance(*q) < near) && a.box_px.iou(&b.box_px) > 0.6
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiles_cover_every_pixel_and_overlap() {
        for length in [1, 640, 1280, 1281, 1500, 4000, 10_000] {
            let tiles = tiles(length);
            assert_eq!(tiles[0].0, 0);
            let last = tiles[tiles.len() - 1];
            assert_eq!(last.0 + last.1, length);
            for pair in tiles.windows(2) {
                assert!(pair[0].0 + pair[0].1 >= pair[1].0 + TILE_OVERLAP_PX, "{length}: {pair:?}");
            }
        }
    }

    fn face(left: f32, score: f32) -> Face {
        Face { box_px: Rect::from_xywh(left, 0.0, 10.0, 10.0), landmarks_px: [Point::new(left, 5.0); 5], score }
    }

    #[test]
    fn merging_keeps_the_surest_score_and_the_finest_place() {
        let found = vec![
            Found { face: face(0.5, 0.8), scale: 1.0, turned: false },
            Found { face: face(0.0, 0.9), scale: 0.5, turned: false },
            Found { face: face(30.0, 0.7), scale: 1.0, turned: false },
        ];
        let merged = merge(found, 0.3);
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].box_px.left, merged[0].score), (0.5, 0.9));
    }

    #[test]
    fn a_turned_find_inside_a_surer_face_is_part_of_it() {
        let inside = Face { box_px: Rect::from_xywh(2.0, 2.0, 4.0, 3.0), ..face(0.0, 0.8) };
        for (turned, want) in [(true, 1), (false, 2)] {
            let found = vec![
                Found { face: face(0.0, 0.9), scale: 1.0, turned: false },
                Found { face: inside.clone(), scale: 1.0, turned },
            ];
            assert_eq!(merge(found, 0.3).len(), want);
        }
    }

    #[test]
    fn outputs_of_another_network_are_named() {
        let error = decode(&[Tensor::new(vec![1, 2], vec![0.0; 2])], 32, 32, 0.7).unwrap_err().to_string();
        assert!(error.contains("cls of stride 8"), "{error}");
    }

    proptest! {
        #[test]
        fn padding_keeps_pixels_and_adds_zeros(width in 1u32..70, height in 1u32..70) {
            let picture = RgbImage::from_pixel(width, height, image::Rgb([1, 2, 3]));
            let tensor = padded_bgr(&picture);
            let sum: f32 = tensor.data().iter().sum();
            prop_assert_eq!(sum, (width * height * 6) as f32);
            prop_assert_eq!(tensor.data()[0], 3.0);
            prop_assert!(tensor.shape()[2..].iter().all(|length| length.is_multiple_of(32)));
        }
    }
}
