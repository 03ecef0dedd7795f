//! The face as candidates are tried on it: at its own size, or smaller, which is faster and hardly different to a
//! recogniser that sees 112 pixels.

use std::borrow::Cow;

use image::RgbImage;

use super::part::Part;
use crate::detect::Face;
use crate::geometry::{Point, Rect};
use crate::mesh::Mesh;
use crate::resample;
use crate::swap::Target;

/// Faces are tried at this width, in pixels, if they are wider by [`WORTH_SHRINKING`].
const TRIAL_FACE_PX: f32 = 160.0;

/// Shrinking by less saves too little.
const WORTH_SHRINKING: f32 = 1.25;

/// How much of the photo around the face is shrunk with it, in sizes of its box.
const SURROUNDINGS: f32 = 1.0;

/// A photo with a face to be replaced.
pub struct Scene<'a> {
    photo: Cow<'a, RgbImage>,
    mesh: Cow<'a, Mesh>,
    face: Cow<'a, Face>,
    /// The part that is looked at again.
    part: Part,
}

impl<'a> Scene<'a> {
    /// At the photo's size.
    pub fn whole(photo: &'a RgbImage, mesh: &'a Mesh, face: &'a Face) -> Self {
        let part = Part::around(photo, face.box_px);
        Self { photo: Cow::Borrowed(photo), mesh: Cow::Borrowed(mesh), face: Cow::Borrowed(face), part }
    }

    /// At the size for trials; `None` if that would not be much smaller.
    pub fn small(photo: &RgbImage, mesh: &Mesh, face: &Face) -> Option<Scene<'static>> {
        let width_px = face.box_px.width();
        if width_px.is_nan() || width_px < TRIAL_FACE_PX * WORTH_SHRINKING {
            return None;
        }
        let around = Part::within(photo, face.box_px, SURROUNDINGS);
        let size = |length: u32| ((length as f32 * TRIAL_FACE_PX / width_px).round() as u32).max(1);
        let (width, height) = around.pixels.dimensions();
        let whole = Rect::from_xywh(0.0, 0.0, width as f32, height as f32);
        let small = resample::shrink(&around.pixels, whole, size(width), size(height))?;
        let scale = [small.width() as f32 / width as f32, small.height() as f32 / height as f32];
        let shrunk = |p: Point| Point::new((p.x + 0.5) * scale[0] - 0.5, (p.y + 0.5) * scale[1] - 0.5);
        let inner = around.face(face);
        let corners =
            [Point::new(inner.box_px.left, inner.box_px.top), Point::new(inner.box_px.right, inner.box_px.bottom)];
        let small_face = Face {
            box_px: Rect::around(corners.map(shrunk))?,
            landmarks_px: inner.landmarks_px.map(shrunk),
            score: inner.score,
        };
        let points_px = mesh.points_px.iter().map(|p| {
            let at = shrunk(around.point(Point::new(p[0], p[1])));
            [at.x, at.y, p[2] * scale[0]]
        });
        let small_mesh = Mesh { points_px: points_px.collect(), presence: mesh.presence };
        let part = Part::around(&small, small_face.box_px);
        Some(Scene { photo: Cow::Owned(small), mesh: Cow::Owned(small_mesh), face: Cow::Owned(small_face), part })
    }

    /// What an engine gets.
    pub fn target(&self) -> Target<'_> {
        Target { photo: &self.photo, mesh: &self.mesh, face: &self.face }
    }

    /// The part of the photo that is looked at again, as it was.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The face.
    pub fn face(&self) -> &Face {
        &self.face
    }

    /// The mesh in pixels of [`Scene::part`].
    pub fn mesh_in_part(&self) -> Mesh {
        let points_px = self.mesh.points_px.iter().map(|p| {
            let at = self.part.point(Point::new(p[0], p[1]));
            [at.x, at.y, p[2]]
        });
        Mesh { points_px: points_px.collect(), presence: self.mesh.presence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, width: f32) -> Face {
        let at = |x: f32, y: f32| Point::new(left + x * width, 300.0 + y * width);
        Face {
            box_px: Rect::from_xywh(left, 300.0, width, 1.2 * width),
            landmarks_px: [at(0.3, 0.4), at(0.7, 0.4), at(0.5, 0.6), at(0.35, 0.8), at(0.65, 0.8)],
            score: 0.9,
        }
    }

    #[test]
    fn a_small_scene_shows_the_same_face_at_the_width_for_trials() {
        // A bright spot at the nose tip of a large face.
        let large = face(500.0, 480.0);
        let nose = large.landmarks_px[2];
        let photo = RgbImage::from_fn(1500, 1400, |x, y| {
            let near = (x as f32 - nose.x).hypot(y as f32 - nose.y) < 9.0;
            image::Rgb(if near { [255; 3] } else { [20; 3] })
        });
        let mesh = Mesh { points_px: vec![[nose.x, nose.y, 30.0]], presence: 0.9 };
        let scene = Scene::small(&photo, &mesh, &large).unwrap();
        let target = scene.target();
        assert!((target.face.box_px.width() - 160.0).abs() < 1.0);
        let [x, y, z] = target.mesh.points_px[0];
        assert!(target.photo.get_pixel(x.round() as u32, y.round() as u32)[0] > 200 && (z - 10.0).abs() < 0.1);
        let in_part = scene.mesh_in_part().points_px[0];
        assert!(scene.part().pixels.get_pixel(in_part[0].round() as u32, in_part[1].round() as u32)[0] > 200);
    }

    #[test]
    fn a_face_of_about_the_width_for_trials_is_tried_as_it_is() {
        let mesh = Mesh { points_px: Vec::new(), presence: 0.9 };
        assert!(Scene::small(&RgbImage::new(900, 900), &mesh, &face(200.0, 190.0)).is_none());
    }
}
