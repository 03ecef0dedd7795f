//! Faces in a photo.

use crate::geometry::{Point, Rect};

/// A face that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Around the face, in photo pixels.
    pub box_px: Rect,
    /// Image-left eye, image-right eye, nose, left mouth corner, right mouth corner.
    pub landmarks_px: [Point; 5],
    /// How sure the detector is, in `[0, 1]`.
    pub score: f32,
}
