//! Where a head is and how it is turned, from its mesh.
//!
//! The 3-D similarity of least squares between two meshes (Umeyama, IEEE TPAMI 13(4), 1991), over points that keep
//! their place on the skull whatever the face does. Fitted from the mean frontal shape to a mesh it gives the *frontal
//! frame*: x right, y down, smaller z nearer, in face widths, with the head upright and looking straight ahead.

use nalgebra::{Matrix3, Vector3};

use super::topology::{MEAN_SHAPE, POINTS};

/// A place in space.
pub type Point3 = [f32; 3];

/// Points that hardly move with expression: forehead, temples, nose bridge, eye corners, cheek bones, ear sides.
const STABLE: [usize; 33] = [
    10, 67, 109, 297, 338, 103, 332, 54, 284, 21, 251, 127, 356, 234, 454, 162, 389, 168, 6, 197, 195, 5, 4, 33, 133,
    263, 362, 130, 359, 116, 345, 93, 323,
];

/// Scale, turn and shift in space.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    scale: f32,
    rotation: Matrix3<f32>,
    shift: Vector3<f32>,
}

impl Pose {
    /// The least-squares similarity that carries the stable points of `source` onto those of `target`.
    ///
    /// `None` if a mesh does not have 468 points, its points coincide or are not finite.
    pub fn fit(source: &[Point3], target: &[Point3]) -> Option<Self> {
        if source.len() != POINTS || target.len() != POINTS {
            return None;
        }
        let pick = |mesh: &[Point3]| STABLE.map(|i| Vector3::from(mesh[i]).cast::<f64>());
        Self::of_points(&pick(source), &pick(target))
    }

    /// The pose of `mesh` relative to the mean frontal shape, in face widths.
    pub fn of_mesh(mesh: &[Point3]) -> Option<Self> {
        Self::fit(&MEAN_SHAPE, mesh)
    }

    fn of_points(source: &[Vector3<f64>], target: &[Vector3<f64>]) -> Option<Self> {
        let n = source.len() as f64;
        let (from, to) = (source.iter().sum::<Vector3<f64>>() / n, target.iter().sum::<Vector3<f64>>() / n);
        let (mut covariance, mut spread) = (Matrix3::zeros(), 0.0);
        for (s, t) in source.iter().zip(target) {
            covariance += (t - to) * (s - from).transpose();
            spread += (s - from).norm_squared();
        }
        if !(spread > 0.0 && covariance.iter().all(|v| v.is_finite())) {
            return None;
        }
        let svd = covariance.svd(true, true);
        let (u, v_t) = (svd.u?, svd.v_t?);
        let mut sign = Matrix3::identity();
        if (u * v_t).determinant() < 0.0 {
            sign[(2, 2)] = -1.0;
        }
        let rotation = u * sign * v_t;
        let scale = (Matrix3::from_diagonal(&svd.singular_values) * sign).trace() / spread;
        let shift = to - scale * rotation * from;
        (scale > 1e-9 && scale.is_finite() && shift.iter().all(|v| v.is_finite())).then(|| Self {
            scale: scale as f32,
            rotation: rotation.cast(),
            shift: shift.cast(),
        })
    }

    /// Where `p` goes.
    pub fn apply(&self, p: Point3) -> Point3 {
        (self.scale * (self.rotation * Vector3::from(p)) + self.shift).into()
    }

    /// Where `p` came from.
    pub fn undo(&self, p: Point3) -> Point3 {
        (self.rotation.transpose() * (Vector3::from(p) - self.shift) / self.scale).into()
    }

    /// How many units of the target one unit of the source becomes; from the mean shape, the face width in pixels.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Angle between where the face looks and the camera's axis, in radians.
    pub fn off_axis_rad(&self) -> f32 {
        let nose = self.forward();
        nose.x.hypot(nose.y).atan2(-nose.z)
    }

    /// How far the head is turned to a side, whatever its nod and roll, in radians: positive if the camera sees more of the
    /// picture's right half of the face.
    pub fn yaw_rad(&self) -> f32 {
        // The camera as the head sees it.
        let camera = -self.rotation.row(2);
        camera[0].atan2(-camera[2].min(-1e-6))
    }

    /// Where the face looks: the frontal frame's negative z, in picture axes.
    fn forward(&self) -> Vector3<f32> {
        -self.rotation.column(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Rotation3;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fit_finds_the_turn_that_was_made(
            roll in -3.1f32..3.1, pitch in -0.5f32..0.5, yaw in -0.8f32..0.8, size in 20f32..500.0,
        ) {
            // Turned about the upright axis first, then nodded, then rolled in the picture.
            let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), roll)
                * Rotation3::from_axis_angle(&Vector3::x_axis(), pitch)
                * Rotation3::from_axis_angle(&Vector3::y_axis(), -yaw);
            let made: Vec<Point3> = MEAN_SHAPE
                .iter()
                .map(|&p| (size * (turn * Vector3::from(p)) + Vector3::new(100.0, 50.0, 0.0)).into())
                .collect();
            let pose = Pose::of_mesh(&made).unwrap();
            prop_assert!((pose.scale() / size - 1.0).abs() < 1e-3);
            for (&p, &q) in MEAN_SHAPE.iter().zip(&made) {
                let back = pose.undo(q);
                prop_assert!((0..3).all(|k| (back[k] - p[k]).abs() < 1e-3));
            }
            prop_assert!((pose.yaw_rad().abs() - yaw.abs()).abs() < 0.15 * (1.0 + pitch.abs()));
            prop_assert!((pose.off_axis_rad() - (pitch.cos() * yaw.cos()).acos()).abs() < 1e-2);
        }
    }

    #[test]
    fn a_collapsed_or_broken_mesh_has_no_pose() {
        assert!(Pose::of_mesh(&[[1.0, 1.0, 1.0]; POINTS]).is_none());
        assert!(Pose::of_mesh(&[[f32::NAN; 3]; POINTS]).is_none());
        assert!(Pose::of_mesh(&[[1.0; 3]; 7]).is_none());
    }
}
