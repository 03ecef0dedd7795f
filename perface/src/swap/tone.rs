//! The colour of a face's skin, in the light of its photo.

use image::RgbImage;

use super::warp::topology::{MEAN_SHAPE, POINTS, Part, RADIUS, WIDE_TRIANGLES};
use crate::lab::{Lab, from_srgb, sample};
use crate::mesh::Mesh;

/// Colour of the skin under a mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkinTone {
    /// Median L\*, a\*, b\* of cheeks, nose and chin.
    pub lab: Lab,
    /// Individual typology angle in degrees, `atan((L* − 50) / b*)`: about 55 and more is very light, below −30 dark.
    pub ita_deg: f32,
}

impl SkinTone {
    /// How far two tones lie apart as people see them (CIE 1976 ΔE).
    pub fn difference(&self, other: &Self) -> f32 {
        self.lab.iter().zip(other.lab).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    }
}

/// Skin tone of the face under `mesh`; `None` if the mesh is not complete or no point of it lies inside `picture`.
pub fn skin_tone(picture: &RgbImage, mesh: &Mesh) -> Option<SkinTone> {
    if mesh.points_px.len() < POINTS {
        return None;
    }
    let mut samples: [Vec<f32>; 3] = Default::default();
    for (corners, part) in WIDE_TRIANGLES.iter() {
        let inside = corners.iter().all(|&i| i < POINTS && RADIUS[i] < 0.8 && MEAN_SHAPE[i][1] > -0.15);
        if *part != Part::Skin || !inside {
            continue;
        }
        let centre = |k: usize| corners.iter().map(|&i| mesh.points_px[i][k]).sum::<f32>() / 3.0;
        let (x, y) = (centre(0), centre(1));
        if x >= 0.0 && y >= 0.0 && x < picture.width() as f32 && y < picture.height() as f32 {
            let lab = from_srgb(sample(picture, x, y));
            samples.iter_mut().zip(lab).for_each(|(s, v)| s.push(v));
        }
    }
    if samples[0].is_empty() {
        return None;
    }
    let lab = samples.map(|mut s| {
        s.sort_by(f32::total_cmp);
        s[s.len() / 2]
    });
    Some(SkinTone { lab, ita_deg: (lab[0] - 50.0).atan2(lab[2].max(1e-3)).to_degrees() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh() -> Mesh {
        let points_px = MEAN_SHAPE.iter().map(|p| p.map(|v| 100.0 + 100.0 * v)).collect();
        Mesh { points_px, presence: 1.0 }
    }

    #[test]
    fn a_lighter_face_has_a_larger_angle() {
        let tone = |rgb| skin_tone(&RgbImage::from_pixel(200, 200, image::Rgb(rgb)), &mesh()).unwrap();
        let (light, dark) = (tone([235, 200, 180]), tone([110, 75, 60]));
        assert!(light.ita_deg > 45.0 && dark.ita_deg < -20.0, "{light:?} {dark:?}");
        assert!(light.difference(&dark) > 30.0);
    }

    #[test]
    fn outside_the_picture_there_is_no_tone() {
        assert_eq!(skin_tone(&RgbImage::new(10, 10), &mesh()), None);
        assert_eq!(skin_tone(&RgbImage::new(200, 200), &Mesh { points_px: Vec::new(), presence: 0.0 }), None);
    }
}
