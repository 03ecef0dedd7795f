//! Where a face looks and whether it wears glasses, for those who choose faces to bend.

use image::RgbImage;

use super::glasses::Evidence;
use super::pose::{Point3, Pose};
use super::{WarpOptions, frontal};
use crate::geometry::Rect;
use crate::mesh::Mesh;
use crate::resample;

/// What can be told of a face before it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Angle between where the face looks and the camera's axis, in radians.
    pub off_axis_rad: f32,
    /// Whether rims, a nose bridge or dark lenses were found.
    pub glasses: bool,
}

impl Look {
    /// Of the face with `mesh` in `picture`; `None` if the mesh has no pose.
    pub fn of(picture: &RgbImage, mesh: &Mesh) -> Option<Self> {
        let pose = Pose::of_mesh(&mesh.points_px)?;
        // The width at which the engine looks for glasses, so that rims are as wide as it expects.
        let share = (WarpOptions::default().work_face_px / pose.scale()).min(1.0);
        let smaller = |side: u32| (side as f32 * share).round().max(1.0) as u32;
        let whole = Rect::from_xywh(0.0, 0.0, picture.width() as f32, picture.height() as f32);
        let shrunk = if share < 1.0 {
            resample::shrink(picture, whole, smaller(picture.width()), smaller(picture.height()))
        } else {
            None
        };
        let points: Vec<Point3> = match shrunk {
            Some(_) => mesh.points_px.iter().map(|p| p.map(|v| v * share)).collect(),
            None => mesh.points_px.clone(),
        };
        let (view, _) = frontal::view(shrunk.as_ref().unwrap_or(picture), &points);
        Some(Self { off_axis_rad: pose.off_axis_rad(), glasses: Evidence::of(&view).found() })
    }
}
