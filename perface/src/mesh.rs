//! Dense landmarks of a face.

/// The 468 points of the face mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    /// x, y in photo pixels, and depth in the same scale; smaller is nearer.
    pub points_px: Vec<[f32; 3]>,
    /// How sure the network is that it looked at a face, in `[0, 1]`.
    pub presence: f32,
}
