//! The candidate's skin in the target's colour and light.
//!
//! In L\*a\*b\*: mean and spread of the skin first, then the coarse shading of the target's face, so coarse that it
//! carries the light and not the features. Lips go half the way to the target's, the whites of the eyes and the dark of
//! the pupils to the target's range.

use super::field::smoothstep;
use super::topology::Part;
use crate::lab::{Lab, LabImage};
use crate::plane::Plane;

/// How far the light follows the target's.
#[derive(Clone, Debug, PartialEq)]
pub struct ColourOptions {
    /// Standard deviation of the blur that separates light from features, in face widths.
    pub light_sigma: f32,
    /// Share of the target's coarse light that is taken over.
    pub light_share: f32,
    /// Share of the way the lips go to the target's colour.
    pub lip_share: f32,
}

impl Default for ColourOptions {
    fn default() -> Self {
        Self { light_sigma: 0.11, light_share: 0.9, lip_share: 0.5 }
    }
}

/// Range in which the spread of lightness, and of a\* and b\*, may be scaled.
const SPREAD_GAIN: [(f32, f32); 3] = [(0.75, 1.25), (0.7, 1.3), (0.7, 1.3)];
/// Range of the coarse gain of lightness.
const LIGHT_GAIN: (f32, f32) = (0.45, 2.2);
/// Largest coarse change of a\* and b\*.
const MAX_TINT: f32 = 14.0;

/// Mean and standard deviation of a colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean L\*, a\*, b\*.
    pub mean: Lab,
    /// Standard deviation of each.
    pub deviation: Lab,
}

impl Spread {
    /// Over the pixels, by weight; what lies beyond 2.5 deviations is left out in two further rounds. `None` if there is
    /// no weight.
    pub fn of(image: &LabImage, weight: &Plane) -> Option<Self> {
        let mut spread: Option<Self> = None;
        for _ in 0..3 {
            let (mut sum, mut square, mut total) = ([0.0f64; 3], [0.0f64; 3], 0.0f64);
            for (pixel, &w) in image.pixels.iter().zip(weight.values()).filter(|(_, w)| **w > 0.0) {
                if spread.is_some_and(|s| s.distance(pixel) > 2.5) {
                    continue;
                }
                total += f64::from(w);
                for k in 0..3 {
                    sum[k] += f64::from(w * pixel[k]);
                    square[k] += f64::from(w * pixel[k] * pixel[k]);
                }
            }
            if total <= 0.0 {
                return spread;
            }
            let mean = sum.map(|v| v / total);
            spread = Some(Self {
                mean: mean.map(|v| v as f32),
                deviation: std::array::from_fn(|k| (square[k] / total - mean[k] * mean[k]).max(0.25).sqrt() as f32),
            });
        }
        spread
    }

    /// The farthest channel of `pixel` from the mean, in deviations.
    pub fn distance(&self, pixel: &Lab) -> f32 {
        (0..3).map(|k| ((pixel[k] - self.mean[k]) / self.deviation[k]).abs()).fold(0.0, f32::max)
    }
}

/// Gives `candidate` the skin colour and the coarse light of `target`.
///
/// `skin` in `[0, 1]` says where both show skin; `face_px` is the face's width. Without skin nothing changes.
pub fn match_light(candidate: &mut LabImage, target: &LabImage, skin: &Plane, face_px: f32, options: &ColourOptions) {
    let (Some(own), Some(wanted)) = (Spread::of(candidate, skin), Spread::of(target, skin)) else { return };
    let gain: [f32; 3] =
        std::array::from_fn(|k| (wanted.deviation[k] / own.deviation[k]).clamp(SPREAD_GAIN[k].0, SPREAD_GAIN[k].1));
    for pixel in &mut candidate.pixels {
        *pixel = std::array::from_fn(|k| wanted.mean[k] + gain[k] * (pixel[k] - own.mean[k]));
    }
    let block = ((face_px / 40.0) as usize).max(1);
    let sigma = options.light_sigma * face_px / block as f32;
    let weight = skin.shrunk(block);
    let blurred_weight = weight.blurred(sigma);
    let coarse = |image: &LabImage, k: usize| {
        let values = image.pixels.iter().zip(skin.values()).map(|(p, &w)| w * p[k]).collect();
        let sums = Plane::from_values(image.width, image.height, values).shrunk(block).blurred(sigma);
        sums.zip(&blurred_weight, |s, w| s / w.max(1e-4))
    };
    let reach = blurred_weight.map(|w| smoothstep(0.0, 0.05, w));
    for k in 0..3 {
        let change = coarse(target, k).zip(&coarse(candidate, k), |t, c| {
            if k == 0 {
                options.light_share * ((t.max(1.0) / c.max(1.0)).clamp(LIGHT_GAIN.0, LIGHT_GAIN.1) - 1.0)
            } else {
                (options.light_share * (t - c)).clamp(-MAX_TINT, MAX_TINT)
            }
        });
        let change = change.zip(&reach, |c, r| c * r).grown(block, candidate.width, candidate.height);
        for (pixel, &change) in candidate.pixels.iter_mut().zip(change.values()) {
            pixel[k] = if k == 0 { pixel[0] * (1.0 + change) } else { pixel[k] + change };
        }
    }
}

/// Moves the colour of the lips toward the target's.
pub fn match_lips(candidate: &mut LabImage, target: &LabImage, parts: &[Option<Part>], options: &ColourOptions) {
    let lips = Plane::from_values(
        candidate.width,
        candidate.height,
        parts.iter().map(|p| f32::from(u8::from(*p == Some(Part::Lips)))).collect(),
    );
    let (Some(own), Some(wanted)) = (Spread::of(candidate, &lips), Spread::of(target, &lips)) else { return };
    let soft = lips.blurred(1.0);
    for (pixel, &w) in candidate.pixels.iter_mut().zip(soft.values()) {
        *pixel = std::array::from_fn(|k| pixel[k] + w * options.lip_share * (wanted.mean[k] - own.mean[k]));
    }
}

/// Stretches lightness inside the eyes to the target's range, so that they are neither grey nor glowing.
pub fn match_eyes(candidate: &mut LabImage, target: &LabImage, parts: &[Option<Part>]) {
    let inside: Vec<usize> = (0..parts.len()).filter(|&i| parts[i] == Some(Part::Eye)).collect();
    if inside.len() < 20 {
        return;
    }
    let range = |image: &LabImage| {
        let mut lightness: Vec<f32> = inside.iter().map(|&i| image.pixels[i][0]).collect();
        lightness.sort_by(f32::total_cmp);
        (lightness[lightness.len() / 20], lightness[lightness.len() * 9 / 10])
    };
    let ((own_low, own_high), (low, high)) = (range(candidate), range(target));
    let gain = ((high - low) / (own_high - own_low).max(4.0)).clamp(0.6, 1.6);
    for &i in &inside {
        let pixel = &mut candidate.pixels[i];
        let stretched = low + gain * (pixel[0] - own_low);
        pixel[0] += 0.7 * (stretched - pixel[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaded(mean: Lab, slope: f32) -> LabImage {
        let pixels = (0..80 * 80).map(|i| [mean[0] + slope * ((i % 80) as f32 - 40.0), mean[1], mean[2]]).collect();
        LabImage { width: 80, height: 80, pixels }
    }

    #[test]
    fn a_lit_side_appears_on_a_flat_candidate() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.0);
        let target = shaded([45.0, 15.0, 20.0], 0.3);
        match_light(&mut candidate, &target, &Plane::filled(80, 80, 1.0), 80.0, &ColourOptions::default());
        let (left, right) = (candidate.pixels[40 * 80 + 8], candidate.pixels[40 * 80 + 72]);
        assert!(right[0] - left[0] > 6.0, "left {left:?}, right {right:?}");
        let mean = candidate.pixels.iter().map(|p| p[0]).sum::<f32>() / 6400.0;
        assert!((mean - 45.0).abs() < 2.0 && (left[2] - 20.0).abs() < 1.0);
    }

    #[test]
    fn without_skin_nothing_changes() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.1);
        let before = candidate.clone();
        let target = shaded([45.0, 15.0, 20.0], 0.3);
        match_light(&mut candidate, &target, &Plane::filled(80, 80, 0.0), 80.0, &ColourOptions::default());
        assert_eq!(candidate, before);
    }

    #[test]
    fn outliers_do_not_move_the_mean() {
        let mut image = shaded([60.0, 12.0, 15.0], 0.05);
        image.pixels[..200].fill([0.0, 0.0, 0.0]);
        let spread = Spread::of(&image, &Plane::filled(80, 80, 1.0)).unwrap();
        assert!((spread.mean[0] - 60.0).abs() < 0.5, "{spread:?}");
    }
}
