//! The portrait's frame: where the frontal face lies in the picture, and the points that carry hair and neck along.

use crate::swap::warp::field::widened;
use crate::swap::warp::pose::{Point3, Pose};
use crate::swap::warp::topology::{MEAN_SHAPE, OVAL, Part, RADIUS, RING_POINTS, RING_RADII, with_rings};

/// Width of the face as a share of the picture's side.
const FACE_SHARE: f32 = 0.5;
/// Height of the face's middle as a share of the picture's side: hair needs more room than the neck.
const MIDDLE: f32 = 0.52;
/// Radius of the outermost ring, beyond the picture's corners.
const OUTER_RADIUS: f32 = 3.4;

/// How much larger the sheets are on which textures are mixed, so that bending them again costs no sharpness.
const SHEET_SCALE: f32 = 1.25;

/// A square picture of a frontal face.
pub struct Frame {
    /// Side in pixels.
    pub size_px: usize,
    /// Width of the face in pixels.
    pub face_px: f32,
    /// Triangles of the mesh, its rings, and one ring beyond the picture.
    pub triangles: Vec<([usize; 3], Part)>,
}

impl Frame {
    /// A frame of `size_px` × `size_px`.
    pub fn new(size_px: u32) -> Self {
        let size_px = size_px.max(16);
        Self {
            size_px: size_px as usize,
            face_px: size_px as f32 * FACE_SHARE,
            triangles: with_rings(RING_RADII.len() + 1),
        }
    }

    /// The larger frame on which textures are mixed.
    pub fn sheet(&self) -> Self {
        Self::new((self.size_px as f32 * SHEET_SCALE).round() as u32)
    }

    /// A point of the frontal frame in picture pixels; depth in the same scale.
    pub fn to_canvas(&self, p: Point3) -> Point3 {
        let size = self.size_px as f32;
        [0.5 * size + self.face_px * p[0], MIDDLE * size + self.face_px * p[1], self.face_px * p[2]]
    }
}

/// A face's points with all rings; the outermost lies where the mean face's would, whatever the face is like, so that
/// what is far from the face keeps its place.
pub fn with_border(points: &[Point3], pose: &Pose) -> Vec<Point3> {
    let mut wide = widened(points, pose);
    wide.extend(OVAL.iter().map(|&i| {
        let p = MEAN_SHAPE[i];
        pose.apply([OUTER_RADIUS * p[0], OUTER_RADIUS * p[1], p[2]])
    }));
    wide
}

/// Frontal place and radius of each point of [`with_border`] on the mean face.
pub fn places() -> impl Iterator<Item = ([f32; 2], f32)> {
    let inside = MEAN_SHAPE.iter().map(|p| [p[0], p[1]]);
    let radii = RING_RADII.into_iter().chain([OUTER_RADIUS]);
    let rings = radii.flat_map(|r| OVAL.iter().map(move |&i| [r * MEAN_SHAPE[i][0], r * MEAN_SHAPE[i][1]]));
    let radius = RADIUS.iter().copied().chain(std::iter::repeat_n(OUTER_RADIUS, RING_POINTS));
    inside.chain(rings).zip(radius)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_ring_lies_outside_the_picture() {
        let frame = Frame::new(384);
        let wide = with_border(&MEAN_SHAPE, &Pose::of_mesh(&MEAN_SHAPE).unwrap());
        assert_eq!(wide.len(), places().count());
        for p in &wide[wide.len() - RING_POINTS..] {
            let [x, y, _] = frame.to_canvas(*p);
            assert!(!(0.0..384.0).contains(&x) || !(0.0..384.0).contains(&y), "({x}, {y})");
        }
    }
}
