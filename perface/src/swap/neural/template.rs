//! Where engines want eyes, nose and mouth in their crop, and the similarity that puts a face there.
//!
//! Points are image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.

use serde::Serialize;

use crate::geometry::{Point, Similarity};
use crate::mesh::Mesh;

/// A rule for cutting a face out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// InsightFace's for recognition, at 112: [`crate::align::TEMPLATE_PX`].
    ArcFace112,
    /// The same shifted by 8 px in a crop of 128, for sizes that are multiples of 128 but not of 112.
    ArcFace128,
    /// The frontal one of [`Template::FivePose`], always: FaceFusion's `arcface_112_v1`.
    Frontal,
    /// SimSwap's five poses; the one that fits best is taken.
    FivePose,
    /// SimSwap's for crops of 512, after FFHQ.
    Ffhq,
}

const fn points(p: [(f64, f64); 5]) -> [(f64, f64); 5] {
    p
}

/// InsightFace, `utils/face_align.py`, at 112.
const ARCFACE: [(f64, f64); 5] =
    points([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]);

/// SimSwap, `util/face_align_ffhqandnewarc.py`, at 112: from the left profile to the right one.
const POSES: [[(f64, f64); 5]; 5] = [
    points([(51.642, 50.115), (57.617, 49.990), (35.740, 69.007), (51.157, 89.050), (57.025, 89.702)]),
    points([(45.031, 50.118), (65.568, 50.872), (39.677, 68.111), (45.177, 86.190), (64.246, 86.758)]),
    points([(39.730, 51.138), (72.270, 51.138), (56.000, 68.493), (42.463, 87.010), (69.537, 87.010)]),
    points([(46.845, 50.872), (67.382, 50.118), (72.737, 68.111), (48.167, 86.758), (67.236, 86.190)]),
    points([(54.796, 49.990), (60.771, 50.115), (76.673, 69.007), (55.388, 89.702), (61.257, 89.050)]),
];

/// SimSwap's `ffhq` mode, at 512.
const FFHQ: [(f64, f64); 5] = points([
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
]);

fn scaled(points: &[(f64, f64); 5], factor: f64, shift_x: f64) -> [Point; 5] {
    points.map(|(x, y)| Point::new(((x + shift_x) * factor) as f32, (y * factor) as f32))
}

impl Template {
    /// The places in a crop of `size_px`: one set, or five for [`Template::FivePose`].
    pub fn places(self, size_px: u32) -> Vec<[Point; 5]> {
        let at = |base: f64| f64::from(size_px) / base;
        match self {
            Self::ArcFace112 => vec![scaled(&ARCFACE, at(112.0), 0.0)],
            Self::ArcFace128 => vec![scaled(&ARCFACE, at(128.0), 8.0)],
            Self::Frontal => vec![scaled(&POSES[2], at(112.0), 0.0)],
            Self::FivePose => POSES.iter().map(|pose| scaled(pose, at(112.0), 0.0)).collect(),
            Self::Ffhq => vec![scaled(&FFHQ, at(512.0), 0.0)],
        }
    }

    /// From photo pixels to pixels of a crop of `size_px`; `None` if the landmarks coincide.
    ///
    /// Of five poses, the one with the least sum of distances after the fit is taken, as SimSwap does.
    pub fn fit(self, landmarks_px: &[Point; 5], size_px: u32) -> Option<Similarity> {
        let error = |places: &[Point; 5], fit: &Similarity| -> f32 {
            landmarks_px.iter().zip(places).map(|(p, place)| fit.apply(*p).distance(*place)).sum()
        };
        self.places(size_px)
            .iter()
            .filter_map(|places| Similarity::fit(landmarks_px, places).map(|fit| (error(places, &fit), fit)))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, fit)| fit)
    }
}

/// The five points of a mesh: the middle of the corners of each eye, the tip of the nose, the corners of the mouth.
///
/// For pictures of which only a mesh is known. `None` for a mesh without all its points.
pub fn landmarks_of(mesh: &Mesh) -> Option<[Point; 5]> {
    let at = |index: usize| mesh.points_px.get(index).map(|&[x, y, _]| Point::new(x, y));
    let middle = |a: usize, b: usize| Some(Point::new((at(a)?.x + at(b)?.x) / 2.0, (at(a)?.y + at(b)?.y) / 2.0));
    Some([middle(33, 133)?, middle(362, 263)?, at(1)?, at(61)?, at(291)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_rules_of_their_makers() {
        // FaceFusion's normalised templates times the crop's size.
        for (template, size, x, y) in [
            (Template::ArcFace128, 256, 0.36167656 * 256.0, 0.40387734 * 256.0),
            (Template::Frontal, 256, 0.35473214 * 256.0, 0.45658929 * 256.0),
            (Template::Ffhq, 512, 0.37691676 * 512.0, 0.46864664 * 512.0),
            (Template::ArcFace112, 224, 0.34191607 * 224.0, 0.46157411 * 224.0),
        ] {
            let eye = template.places(size)[0][0];
            assert!((eye.x - x as f32).abs() < 1e-3 && (eye.y - y as f32).abs() < 1e-3, "{template:?} {eye:?}");
        }
    }

    #[test]
    fn each_pose_is_recognised() {
        for (index, pose) in Template::FivePose.places(224).iter().enumerate() {
            let photo = Similarity { a: 0.8, b: 0.3, tx: 40.0, ty: -20.0 };
            let landmarks = pose.map(|p| photo.apply(p));
            let fit = Template::FivePose.fit(&landmarks, 224).unwrap();
            for (p, want) in landmarks.iter().zip(pose) {
                assert!(fit.apply(*p).distance(*want) < 1e-2, "pose {index}");
            }
        }
        assert!(Template::FivePose.fit(&[Point::new(1.0, 1.0); 5], 224).is_none());
    }
}
