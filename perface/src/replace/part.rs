//! The part of a photo around one face, and the face found in it again.

use image::{RgbImage, imageops};

use crate::detect::{Detector, Face};
use crate::error::Result;
use crate::geometry::{Point, Rect};
use crate::resample;
use crate::swap::Swap;
use crate::turn::Turn;

/// Longest side of the picture a result is looked for in, in pixels.
const FIND_AGAIN_PX: f32 = 320.0;

/// A face found again shares at least this much of its box with the original's.
const SAME_PLACE_IOU: f32 = 0.3;

/// How far the surroundings of a face reach beyond its box, in sizes of it.
const SURROUNDINGS: f32 = 0.6;

/// The part of a photo around a face.
#[derive(Clone)]
pub struct Part {
    /// Its pixels.
    pub pixels: RgbImage,
    /// Where it begins in the photo.
    left: u32,
    top: u32,
}

impl Part {
    /// The box `rect` of `photo` and its surroundings.
    pub fn around(photo: &RgbImage, rect: Rect) -> Self {
        Self::within(photo, rect, SURROUNDINGS)
    }

    /// As [`Part::around`], with so many box sizes on every side.
    pub fn within(photo: &RgbImage, rect: Rect, surroundings: f32) -> Self {
        let around = rect.grown(surroundings, surroundings, surroundings, surroundings);
        let around = around.clamped(photo.width(), photo.height());
        let (left, top) = (around.left.floor() as u32, around.top.floor() as u32);
        let (width, height) = (around.width().ceil() as u32, around.height().ceil() as u32);
        let pixels = imageops::crop_imm(photo, left, top, width.max(1), height.max(1)).to_image();
        Self { pixels, left, top }
    }

    /// A point of the photo in pixels of this part.
    pub fn point(&self, p: Point) -> Point {
        Point::new(p.x - self.left as f32, p.y - self.top as f32)
    }

    /// A box of the photo in pixels of this part.
    pub fn inside(&self, rect: Rect) -> Rect {
        let (x, y) = (self.left as f32, self.top as f32);
        Rect::from_ltrb(rect.left - x, rect.top - y, rect.right - x, rect.bottom - y)
    }

    /// A face of the photo in pixels of this part.
    pub fn face(&self, face: &Face) -> Face {
        let landmarks_px = face.landmarks_px.map(|p| self.point(p));
        Face { box_px: self.inside(face.box_px), landmarks_px, score: face.score }
    }

    /// With `swap` laid over what this part shows of the photo.
    pub fn pasted(&self, swap: &Swap) -> Self {
        let mut part = self.clone();
        for (x, y, mask) in swap.mask.enumerate_pixels() {
            let at_x = (swap.patch_origin.0 + x).checked_sub(self.left).filter(|&x| x < self.pixels.width());
            let at_y = (swap.patch_origin.1 + y).checked_sub(self.top).filter(|&y| y < self.pixels.height());
            if let (Some(at_x), Some(at_y), true) = (at_x, at_y, mask.0[0] > 0) {
                part.pixels.put_pixel(at_x, at_y, *swap.patch.get_pixel(x, y));
            }
        }
        part
    }

    /// The face in this part that stands where `face` stood in the photo, in pixels of the part.
    ///
    /// # Errors
    /// If the detector's network fails.
    pub fn find_again(&self, detector: &Detector, face: &Face) -> Result<Option<Face>> {
        let down = face.down();
        let turn = Turn::bringing_down(down.x, down.y);
        let upright = turn.apply(self.pixels.clone());
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
        let expected = self.inside(face.box_px);
        let faces = detector.detect_once(&small)?.into_iter().filter_map(|found| {
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
