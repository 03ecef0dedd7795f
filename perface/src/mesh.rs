//! Lay a mesh of 468 points over a face.
//!
//! MediaPipe's network sees a square crop around the face, rolled level. It looks twice: first where the detector's box
//! and eyes say, then where the points of the first look say, which makes the result all but
//! independent of the detector. Works at any roll.

use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::detect::Face;
use crate::error::{Error, Result};
use crate::geometry::{Point, Rect, Similarity};
use crate::model::{Model, Tensor};
use crate::resample::{self, Border};

/// How many points a mesh has.
pub const POINTS: usize = 468;

/// Side of the network's input, in pixels.
const INPUT_PX: u32 = 192;

/// Side of the crop, in lengths of the longer side of the face. From MediaPipe's own face-mesh graph.
const CROP_SIZE: f32 = 1.5;

/// Outer corners of the eyes, left and right in an upright image; the line between them is the roll.
pub const OUTER_EYE_CORNERS: [usize; 2] = [33, 263];

/// The 468 points of the face mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mesh {
    /// x, y in photo pixels, and depth in the same scale; smaller is nearer.
    pub points_px: Vec<[f32; 3]>,
    /// How sure the network is that it looked at a face, in `[0, 1]`.
    pub presence: f32,
}

impl Mesh {
    /// Point `index` in the plane of the photo.
    ///
    /// # Panics
    /// If there is no such point.
    pub fn point(&self, index: usize) -> Point {
        let [x, y, _] = self.points_px[index];
        Point::new(x, y)
    }

    /// The smallest upright box around all points, in photo pixels; `None` for a mesh without points.
    pub fn bounds(&self) -> Option<Rect> {
        Rect::around(self.points_px.iter().map(|&[x, y, _]| Point::new(x, y)))
    }
}

/// Lays meshes over faces.
#[derive(Clone)]
pub struct Mesher {
    model: Arc<dyn Model>,
    /// Below this presence there is no mesh. MediaPipe's own value.
    min_presence: f32,
}

impl Mesher {
    /// With MediaPipe's face-mesh network, `[N, 3, 192, 192]` to `[N, 1404]` and `[N, 1]`.
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self { model, min_presence: 0.5 }
    }

    /// The mesh of `face` in `photo`; `None` if the network does not see a face there.
    ///
    /// # Errors
    /// If the network fails or its outputs have other shapes.
    pub fn mesh(&self, photo: &RgbImage, face: &Face) -> Result<Option<Mesh>> {
        let [left_eye, right_eye, ..] = face.landmarks_px;
        let Some(first) = crop_around(face.box_px, left_eye, right_eye) else { return Ok(None) };
        let Some(coarse) = self.look(photo, &first)? else { return Ok(None) };
        let [left, right] = OUTER_EYE_CORNERS.map(|index| coarse.point(index));
        // The extent is measured along the face's own axes, not the photo's.
        let roll = (right.y - left.y).atan2(right.x - left.x);
        let (sin, cos) = roll.sin_cos();
        let level = |[x, y, _]: &[f32; 3]| Point::new(cos * x + sin * y, cos * y - sin * x);
        let Some(extent) = Rect::around(coarse.points_px.iter().map(level)) else { return Ok(None) };
        let centre = extent.centre();
        let centre = Point::new(cos * centre.x - sin * centre.y, sin * centre.x + cos * centre.y);
        let (half_width, half_height) = (extent.width() / 2.0, extent.height() / 2.0);
        let around = Rect::from_ltrb(
            centre.x - half_width,
            centre.y - half_height,
            centre.x + half_width,
            centre.y + half_height,
        );
        match crop_around(around, left, right) {
            Some(second) => self.look(photo, &second),
            None => Ok(None),
        }
    }

    fn look(&self, photo: &RgbImage, to_crop: &Similarity) -> Result<Option<Mesh>> {
        let crop = resample::crop_antialiased(photo, to_crop, INPUT_PX, INPUT_PX, Border::Replicate);
        let outputs = self.model.run(&[input(&crop)])?;
        let [points, presence] = outputs.as_slice() else {
            return Err(Error::model("facemesh", format!("has {} outputs, not 2", outputs.len())));
        };
        let (points, presence) = (points.data(), presence.data());
        let ([logit], true) = (presence, points.len() == POINTS * 3) else {
            return Err(Error::Shape {
                model: "facemesh".to_owned(),
                what: "outputs".to_owned(),
                got: vec![points.len(), presence.len()],
                want: vec![POINTS * 3, 1],
            });
        };
        let presence = 1.0 / (1.0 + (-logit).exp());
        if presence.is_nan() || presence < self.min_presence || points.iter().any(|v| !v.is_finite()) {
            return Ok(None);
        }
        let back = to_crop.inverse();
        let depth = back.scale() as f32;
        let points_px = points
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&[x, y, z]| {
                let p = back.apply(Point::new(x, y));
                [p.x, p.y, z * depth]
            })
            .collect();
        Ok(Some(Mesh { points_px, presence }))
    }
}

/// The similarity onto a square crop around `rect`, with the line from `left` to `right` level; `None` if the box is
/// empty or not finite.
fn crop_around(rect: Rect, left: Point, right: Point) -> Option<Similarity> {
    let side = CROP_SIZE * rect.width().max(rect.height());
    let roll = f64::from(right.y - left.y).atan2(f64::from(right.x - left.x));
    let scale = f64::from(INPUT_PX) / f64::from(side);
    let (a, b) = (scale * roll.cos(), -scale * roll.sin());
    let centre = rect.centre();
    let (x, y) = (f64::from(centre.x), f64::from(centre.y));
    let middle = f64::from(INPUT_PX - 1) / 2.0;
    let to_crop = Similarity { a, b, tx: middle - (a * x - b * y), ty: middle - (b * x + a * y) };
    (scale.is_normal() && to_crop.tx.is_finite() && to_crop.ty.is_finite()).then_some(to_crop)
}

/// `[1, 3, 192, 192]`, red first, 0–1.
fn input(crop: &RgbImage) -> Tensor {
    let plane = (INPUT_PX * INPUT_PX) as usize;
    let mut data = vec![0.0; 3 * plane];
    for (channel, target) in data.chunks_exact_mut(plane).enumerate() {
        for (value, pixel) in target.iter_mut().zip(crop.as_raw().as_chunks::<3>().0) {
            *value = f32::from(pixel[channel]) / 255.0;
        }
    }
    Tensor::new(vec![1, 3, INPUT_PX as usize, INPUT_PX as usize], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with one fixed point in crop pixels, and how sure it is.
    struct Fixed {
        at: [f32; 3],
        logit: f32,
    }

    impl Model for Fixed {
        fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
            vec![None, Some(3), Some(192), Some(192)]
        }

        fn run(&self, _: &[Tensor]) -> Result<Vec<Tensor>> {
            // A small cross around the point, so that the extent is not empty.
            let mut points: Vec<f32> = self.at.repeat(POINTS);
            points[33 * 3] -= 30.0;
            points[263 * 3] += 30.0;
            points[1] -= 30.0;
            points[4] += 30.0;
            Ok(vec![Tensor::new(vec![1, POINTS * 3], points), Tensor::new(vec![1, 1], vec![self.logit])])
        }
    }

    fn face(roll_degrees: f32) -> Face {
        let (sin, cos) = roll_degrees.to_radians().sin_cos();
        let turned = |x: f32, y: f32| Point::new(100.0 + cos * x - sin * y, 100.0 + sin * x + cos * y);
        let landmarks_px =
            [turned(-15.0, -10.0), turned(15.0, -10.0), turned(0.0, 0.0), turned(-10.0, 15.0), turned(10.0, 15.0)];
        Face { box_px: Rect::from_xywh(70.0, 70.0, 60.0, 60.0), landmarks_px, score: 0.9 }
    }

    #[test]
    fn the_middle_of_the_crop_is_the_middle_of_the_box_at_any_roll() {
        let mesher = Mesher::new(Arc::new(Fixed { at: [95.5, 95.5, 10.0], logit: 9.0 }));
        for roll in [0.0, 45.0, 90.0, 180.0, -120.0] {
            let mesh = mesher.mesh(&RgbImage::new(200, 200), &face(roll)).unwrap().unwrap();
            assert!(mesh.point(100).distance(Point::new(100.0, 100.0)) < 0.01, "{roll}: {:?}", mesh.point(100));
        }
    }

    #[test]
    fn no_face_no_mesh() {
        let mesher = Mesher::new(Arc::new(Fixed { at: [95.5, 95.5, 0.0], logit: -1.0 }));
        assert_eq!(mesher.mesh(&RgbImage::new(200, 200), &face(0.0)).unwrap(), None);
    }

    #[test]
    fn a_box_without_size_has_no_mesh() {
        let mesher = Mesher::new(Arc::new(Fixed { at: [95.5, 95.5, 0.0], logit: 9.0 }));
        for rect in [Rect::from_xywh(5.0, 5.0, 0.0, 0.0), Rect::from_xywh(f32::NAN, 0.0, f32::INFINITY, 1.0)] {
            let face = Face { box_px: rect, ..face(0.0) };
            assert_eq!(mesher.mesh(&RgbImage::new(20, 20), &face).unwrap(), None);
        }
    }
}
