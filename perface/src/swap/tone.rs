//! The colour of a face's skin, in the light of its photo.

use image::RgbImage;

use super::warp::topology::{MEAN_SHAPE, OVAL, POINTS, Part, RADIUS, WIDE_TRIANGLES};
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

/// Where skin is compared across the edge, as shares of the oval's distance from the face's middle.
const INSIDE: f32 = 0.86;
const OUTSIDE: f32 = 1.14;
/// Half the side of the square over which colour is averaged, in face widths.
const PATCH: f32 = 0.02;
/// Places along the edge on either side that are averaged with one.
const NEIGHBOURS: usize = 2;
/// Share of the edge that may have a larger step than the one reported: hair and collars are not skin.
const LARGER: f32 = 0.2;

/// How much larger the step of colour across the face's edge has become from `before` to `after` (CIE 1976 ΔE, 0 or more).
///
/// The skin just inside the oval of `mesh` is compared with what lies just outside it, all along, in both pictures; `None` if the mesh
/// is not complete or less than half of the edge lies inside the picture.
pub fn edge_step(before: &RgbImage, after: &RgbImage, mesh: &Mesh) -> Option<f32> {
    if mesh.points_px.len() < POINTS || before.dimensions() != after.dimensions() {
        return None;
    }
    let oval: Vec<[f32; 2]> = OVAL.iter().map(|&i| [mesh.points_px[i][0], mesh.points_px[i][1]]).collect();
    let middle = [0, 1].map(|k| oval.iter().map(|p| p[k]).sum::<f32>() / oval.len() as f32);
    let width = oval.iter().map(|p| (p[0] - middle[0]).hypot(p[1] - middle[1])).sum::<f32>() * 2.0 / oval.len() as f32;
    let half = (PATCH * width).round().max(1.0) as i64;
    let at = |p: &[f32; 2], share: f32| [0, 1].map(|k| middle[k] + share * (p[k] - middle[k]));
    let steps: Vec<Option<[Lab; 2]>> = oval
        .iter()
        .map(|p| {
            let step = |picture| {
                let (inside, outside) =
                    (mean_lab(picture, at(p, INSIDE), half)?, mean_lab(picture, at(p, OUTSIDE), half)?);
                Some(std::array::from_fn(|k| inside[k] - outside[k]))
            };
            Some([step(before)?, step(after)?])
        })
        .collect();
    let smooth = |i: usize, which: usize| -> Option<f32> {
        let around = (0..=2 * NEIGHBOURS).map(|n| (i + oval.len() + n - NEIGHBOURS) % oval.len());
        let known: Vec<Lab> = around.filter_map(|j| steps[j].map(|step| step[which])).collect();
        (known.len() > NEIGHBOURS).then(|| {
            let mean = [0, 1, 2].map(|k| known.iter().map(|s| s[k]).sum::<f32>() / known.len() as f32);
            mean.iter().map(|v| v * v).sum::<f32>().sqrt()
        })
    };
    let mut gained: Vec<f32> = (0..oval.len()).filter_map(|i| Some((smooth(i, 1)? - smooth(i, 0)?).max(0.0))).collect();
    if gained.len() * 2 < oval.len() {
        return None;
    }
    gained.sort_by(f32::total_cmp);
    gained.get(((gained.len() - 1) as f32 * (1.0 - LARGER)) as usize).copied()
}

/// Mean colour of the square around a point; `None` if its middle lies outside the picture.
fn mean_lab(picture: &RgbImage, [x, y]: [f32; 2], half: i64) -> Option<Lab> {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let (x, y) = (x.round() as i64, y.round() as i64);
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return None;
    }
    let (mut sum, mut count) = ([0.0f32; 3], 0.0f32);
    for v in (y - half).max(0)..=(y + half).min(height - 1) {
        for u in (x - half).max(0)..=(x + half).min(width - 1) {
            let rgb = picture.get_pixel(u as u32, v as u32).0;
            sum = std::array::from_fn(|k| sum[k] + f32::from(rgb[k]));
            count += 1.0;
        }
    }
    Some(from_srgb(sum.map(|v| v / count)))
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

    /// Skin everywhere, and a face of another colour inside the oval.
    fn face_of(colour: [u8; 3]) -> RgbImage {
        RgbImage::from_fn(200, 200, |x, y| {
            let inside = (x as f32 - 100.0).hypot((y as f32 - 100.0) * 0.8) < 42.0;
            image::Rgb(if inside { colour } else { [200, 160, 140] })
        })
    }

    #[test]
    fn a_face_of_another_colour_than_its_neck_has_an_edge() {
        let (even, darker, much_darker) = (face_of([200, 160, 140]), face_of([180, 140, 120]), face_of([120, 80, 70]));
        assert_eq!(edge_step(&even, &even, &mesh()), Some(0.0));
        let (small, large) =
            (edge_step(&even, &darker, &mesh()).unwrap(), edge_step(&even, &much_darker, &mesh()).unwrap());
        assert!(small > 4.0 && large > 2.0 * small, "{small} {large}");
        assert_eq!(edge_step(&much_darker, &darker, &mesh()), Some(0.0), "an edge that was there is none of ours");
    }

    #[test]
    fn an_edge_outside_the_picture_is_not_seen() {
        let picture = RgbImage::new(90, 90);
        assert_eq!(edge_step(&picture, &picture, &mesh()), None);
        assert_eq!(edge_step(&picture, &picture, &Mesh { points_px: Vec::new(), presence: 0.0 }), None);
    }

    #[test]
    fn outside_the_picture_there_is_no_tone() {
        assert_eq!(skin_tone(&RgbImage::new(10, 10), &mesh()), None);
        assert_eq!(skin_tone(&RgbImage::new(200, 200), &Mesh { points_px: Vec::new(), presence: 0.0 }), None);
    }
}
