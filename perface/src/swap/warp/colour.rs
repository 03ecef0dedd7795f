//! The candidate's skin in the target's colour and light.
//!
//! In L\*a\*b\*: the mean of the skin first, then the coarse shading of the target's face, so coarse that it carries the
//! light and not the features, then the contrast within that light. Lips go most of the way to the target's, the whites
//! of the eyes and the dark of the pupils to the target's range. Where the candidate shows no skin it is filled before.

use super::field::smoothstep;
use super::raster::Raster;
use super::topology::Part;
use crate::lab::{Lab, LabImage};
use crate::plane::{Plane, grown_together, shrunk_together};

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
        Self { light_sigma: 0.11, light_share: 0.9, lip_share: 0.8 }
    }
}

/// Range in which the spread of a\* and b\* may be scaled.
const TINT_GAIN: (f32, f32) = (0.7, 1.2);
/// Range in which the contrast within the coarse light may be scaled.
const CONTRAST_GAIN: (f32, f32) = (0.6, 1.3);
/// What differs more than this from the coarse light, in L\*, is a feature and not skin.
const FEATURE: f32 = 14.0;
/// A picture whose a\* and b\* lie closer than this to a line over L\* has one hue only.
const MONOCHROME: f64 = 1.2;
/// Range of the coarse gain of lightness.
const LIGHT_GAIN: (f32, f32) = (0.45, 2.2);
/// Standard deviation of the blur that [`match_edge`] compares, in face widths.
const FINE_SIGMA: f32 = 0.035;
/// Largest coarse change of a\* and b\*.
const MAX_TINT: f32 = 14.0;

/// About so many pixels are enough for a mean.
const ENOUGH_PIXELS: usize = 8192;

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
        let known = || image.pixels.iter().zip(weight.values()).filter(|(_, w)| **w > 0.0);
        // An odd step does not fall into step with rows.
        let step = (known().count() / ENOUGH_PIXELS) | 1;
        let samples: Vec<(&Lab, f32)> = known().step_by(step).map(|(pixel, &w)| (pixel, w)).collect();
        let mut spread: Option<Self> = None;
        for _ in 0..3 {
            let (mut sum, mut square, mut total) = ([0.0f64; 3], [0.0f64; 3], 0.0f64);
            for &(pixel, w) in &samples {
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
    #[inline]
    pub fn distance(&self, pixel: &Lab) -> f32 {
        let mut farthest = 0.0f32;
        for (k, value) in pixel.iter().enumerate() {
            farthest = farthest.max(((value - self.mean[k]) / self.deviation[k]).abs());
        }
        farthest
    }
}

/// Gives `candidate` the skin colour and the coarse light of `target`.
///
/// `skin` in `[0, 1]` says where both show skin; `face_px` is the face's width. Without skin nothing changes.
pub fn match_light(candidate: &mut LabImage, target: &LabImage, skin: &Plane, face_px: f32, options: &ColourOptions) {
    let (Some(own), Some(wanted)) = (Spread::of(candidate, skin), Spread::of(target, skin)) else { return };
    let gain: [f32; 3] = std::array::from_fn(|k| match k {
        0 => 1.0,
        _ => (wanted.deviation[k] / own.deviation[k]).clamp(TINT_GAIN.0, TINT_GAIN.1),
    });
    for pixel in &mut candidate.pixels {
        for k in 0..3 {
            pixel[k] = wanted.mean[k] + gain[k] * (pixel[k] - own.mean[k]);
        }
    }
    let size = (candidate.width, candidate.height);
    let block = ((face_px / 40.0) as usize).max(1);
    let sigma = options.light_sigma * face_px / block as f32;
    let sums = shrunk_together(size, block, |i| {
        let (w, t, c) = (skin.values()[i], target.pixels[i], candidate.pixels[i]);
        [w, w * t[0], w * t[1], w * t[2], w * c[0], w * c[1], w * c[2]]
    });
    let [weight, sums @ ..] = sums.map(|plane| plane.blurred(sigma));
    let [tl, ta, tb, cl, ca, cb] = sums.map(|sum| sum.zip(&weight, |s, w| s / w.max(1e-4)));
    let reach = weight.map(|w| smoothstep(0.0, 0.05, w));
    let lighten =
        |t: f32, c: f32| options.light_share * ((t.max(1.0) / c.max(1.0)).clamp(LIGHT_GAIN.0, LIGHT_GAIN.1) - 1.0);
    let tint = |t: f32, c: f32| (options.light_share * (t - c)).clamp(-MAX_TINT, MAX_TINT);
    let reached = |change: Plane| change.zip(&reach, |c, r| c * r);
    let (l, a, b) = (reached(tl.zip(&cl, lighten)), reached(ta.zip(&ca, tint)), reached(tb.zip(&cb, tint)));
    let mut light = Plane::filled(size.0, size.1, 0.0);
    grown_together([&l, &a, &b, &tl], block, size, |i, [l, a, b, lit]| {
        let pixel = &mut candidate.pixels[i];
        *pixel = [pixel[0] * (1.0 + l), pixel[1] + a, pixel[2] + b];
        light.values_mut()[i] = lit;
    });
    match_contrast(candidate, target, &light, skin);
}

/// Takes over the target's finer shading, of [`FINE_SIGMA`], by `share`: where the new face meets the old skin, and on the
/// forehead, whose shade under the hair would be missed. `skin` says where both show skin.
pub fn match_edge(candidate: &mut LabImage, target: &LabImage, skin: &Plane, share: &Plane, face_px: f32) {
    let size = (candidate.width, candidate.height);
    let block = ((face_px / 80.0) as usize).max(1);
    let sigma = FINE_SIGMA * face_px / block as f32;
    let sums = shrunk_together(size, block, |i| {
        let (w, t, c) = (skin.values()[i], target.pixels[i], candidate.pixels[i]);
        [w, w * (t[0] - c[0]), w * (t[1] - c[1]), w * (t[2] - c[2])]
    });
    let [weight, steps @ ..] = sums.map(|plane| plane.blurred(sigma));
    let [l, a, b] = steps.map(|steps| steps.zip(&weight, |s, w| s / (w + 0.02)));
    grown_together([&l, &a, &b], block, size, |i, step| {
        let share = share.values()[i];
        let pixel = &mut candidate.pixels[i];
        for k in 0..3 {
            pixel[k] += share * step[k].clamp(-MAX_TINT, MAX_TINT);
        }
    });
}

/// Scales what is lighter and what is darker than the coarse light, each to the target's strength within limits: shine
/// that the target's light does not make is toned down, and soft studio light gets the target's shade.
fn match_contrast(candidate: &mut LabImage, target: &LabImage, light: &Plane, skin: &Plane) {
    let strength = |image: &LabImage, side: f32| {
        let (mut sum, mut count) = (0.0, 0.0f32);
        for ((pixel, &light), &w) in image.pixels.iter().zip(light.values()).zip(skin.values()) {
            let off = side * (pixel[0] - light);
            if w > 0.5 && off > 0.0 && off < FEATURE {
                sum += off * off;
                count += 1.0;
            }
        }
        (sum / count.max(1.0)).sqrt().max(0.5)
    };
    let gain = |side: f32| (strength(target, side) / strength(candidate, side)).clamp(CONTRAST_GAIN.0, CONTRAST_GAIN.1);
    let (lighter, darker) = (gain(1.0), gain(-1.0));
    for ((pixel, &light), &w) in candidate.pixels.iter_mut().zip(light.values()).zip(skin.values()) {
        let off = pixel[0] - light;
        let gain = if off > 0.0 { lighter } else { darker };
        // Features are as dark as they are.
        let share = w * smoothstep(2.0 * FEATURE, FEATURE, off.abs());
        pixel[0] += share * (gain - 1.0) * off;
    }
}

/// A picture without colour, or toned in one: what a\* and b\* are at each lightness.
#[derive(Clone, Copy, Debug)]
pub struct Monochrome {
    slope: [f64; 2],
    offset: [f64; 2],
}

impl Monochrome {
    /// Of `image`, where `seen` says that it shows anything; `None` if it has more than one hue.
    pub fn of(image: &LabImage, seen: impl Fn(usize) -> bool) -> Option<Self> {
        // The straight line of a* and b* over L*, and how far the pixels lie from it.
        let (mut n, mut sl, mut sll) = (0.0f64, 0.0f64, 0.0f64);
        let (mut s, mut sl_k, mut square) = ([0.0f64; 2], [0.0f64; 2], [0.0f64; 2]);
        for (_, pixel) in image.pixels.iter().enumerate().filter(|(i, _)| seen(*i)) {
            let [l, ab @ ..] = pixel.map(f64::from);
            (n, sl, sll) = (n + 1.0, sl + l, sll + l * l);
            for k in 0..2 {
                s[k] += ab[k];
                sl_k[k] += l * ab[k];
                square[k] += ab[k] * ab[k];
            }
        }
        let spread = n * sll - sl * sl;
        if n < 1.0 || spread <= 0.0 {
            return None;
        }
        let slope: [f64; 2] = std::array::from_fn(|k| (n * sl_k[k] - sl * s[k]) / spread);
        let offset: [f64; 2] = std::array::from_fn(|k| (s[k] - slope[k] * sl) / n);
        let rest: f64 = (0..2).map(|k| (square[k] - offset[k] * s[k] - slope[k] * sl_k[k]).max(0.0) / n).sum();
        (rest.sqrt() <= MONOCHROME).then_some(Self { slope, offset })
    }

    /// Tones `image` alike.
    pub fn apply(&self, image: &mut LabImage) {
        for pixel in &mut image.pixels {
            let l = f64::from(pixel[0]);
            let at = |k: usize| (self.offset[k] + self.slope[k] * l) as f32;
            (pixel[1], pixel[2]) = (at(0), at(1));
        }
    }
}

/// Puts smooth skin in the places of `candidate` that do not show any, where `valid` in `[0, 1]` is small.
///
/// `source` says which pixels the skin's colour may be taken from.
pub fn fill(candidate: &mut LabImage, valid: &Plane, source: &Plane, face_px: f32) {
    let block = ((face_px / 40.0) as usize).max(1);
    let weight = source.shrunk(block);
    for k in 0..3 {
        let values = candidate.pixels.iter().zip(source.values()).map(|(p, &w)| w * p[k]).collect();
        let sums = Plane::from_values(candidate.width, candidate.height, values).shrunk(block);
        let means = sums.zip(&weight, |s, w| if w > 0.0 { s / w } else { 0.0 });
        let sheet = means.spanned(&weight).blurred(1.5).grown(block, candidate.width, candidate.height);
        for ((pixel, &valid), &sheet) in candidate.pixels.iter_mut().zip(valid.values()).zip(sheet.values()) {
            pixel[k] += (1.0 - valid) * (sheet - pixel[k]);
        }
    }
}

/// Moves the colour of the lips toward the target's.
pub fn match_lips(candidate: &mut LabImage, target: &LabImage, raster: &Raster, options: &ColourOptions) {
    let lips = Plane::from_values(
        candidate.width,
        candidate.height,
        (0..raster.pixels.len()).map(|i| f32::from(u8::from(raster.part(i) == Some(Part::Lips)))).collect(),
    );
    let (Some(own), Some(wanted)) = (Spread::of(candidate, &lips), Spread::of(target, &lips)) else { return };
    let soft = lips.blurred(1.0);
    let step: Lab = std::array::from_fn(|k| options.lip_share * (wanted.mean[k] - own.mean[k]));
    for (pixel, &w) in candidate.pixels.iter_mut().zip(soft.values()) {
        for k in 0..3 {
            pixel[k] += w * step[k];
        }
    }
}

/// Stretches lightness inside the eyes to the target's range, so that they are neither grey nor glowing.
pub fn match_eyes(candidate: &mut LabImage, target: &LabImage, raster: &Raster) {
    let inside: Vec<usize> = (0..raster.pixels.len()).filter(|&i| raster.part(i) == Some(Part::Eye)).collect();
    if inside.len() < 20 {
        return;
    }
    let range = |image: &LabImage| {
        let mut lightness: Vec<f32> = inside.iter().map(|&i| image.pixels[i][0]).collect();
        lightness.sort_by(f32::total_cmp);
        (lightness[lightness.len() / 20], lightness[lightness.len() * 9 / 10])
    };
    let hue =
        |image: &LabImage, k: usize| inside.iter().map(|&i| image.pixels[i][k]).sum::<f32>() / inside.len() as f32;
    let tint = [1, 2].map(|k| 0.8 * (hue(target, k) - hue(candidate, k)));
    let ((own_low, own_high), (low, high)) = (range(candidate), range(target));
    let gain = ((high - low) / (own_high - own_low).max(4.0)).clamp(0.6, 1.6);
    for &i in &inside {
        let pixel = &mut candidate.pixels[i];
        let stretched = low + gain * (pixel[0] - own_low);
        pixel[0] += 0.7 * (stretched - pixel[0]);
        (pixel[1], pixel[2]) = (pixel[1] + tint[0], pixel[2] + tint[1]);
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
    fn a_grey_picture_stays_grey_and_a_coloured_one_coloured() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.3);
        let mut grey = shaded([45.0, 0.0, 0.0], 0.3);
        Monochrome::of(&grey, |_| true).unwrap().apply(&mut candidate);
        assert!(candidate.pixels.iter().all(|p| p[1].abs() < 0.1 && p[2].abs() < 0.1));
        grey.pixels[..3200].iter_mut().for_each(|p| p[1] = 12.0);
        assert!(Monochrome::of(&grey, |_| true).is_none());
    }

    #[test]
    fn a_hole_is_filled_with_the_skin_around_it() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.0);
        let mut valid = Plane::filled(80, 80, 1.0);
        for y in 30..50 {
            for x in 30..50 {
                candidate.pixels[y * 80 + x] = [10.0, 0.0, 0.0];
                valid.values_mut()[y * 80 + x] = 0.0;
            }
        }
        fill(&mut candidate, &valid, &valid, 80.0);
        let middle = candidate.pixels[40 * 80 + 40];
        assert!((middle[0] - 60.0).abs() < 1.0 && (middle[1] - 12.0).abs() < 1.0, "{middle:?}");
    }

    #[test]
    fn shine_is_toned_down_to_the_targets() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.0);
        for y in 38..42 {
            candidate.pixels[y * 80 + 38..y * 80 + 42].fill([70.0, 12.0, 15.0]);
        }
        let target = shaded([60.0, 12.0, 15.0], 0.0);
        match_light(&mut candidate, &target, &Plane::filled(80, 80, 1.0), 80.0, &ColourOptions::default());
        assert!(candidate.pixels[40 * 80 + 40][0] < 67.0, "{:?}", candidate.pixels[40 * 80 + 40]);
    }

    #[test]
    fn a_shadow_is_taken_over_at_the_edge_alone() {
        let mut candidate = shaded([60.0, 12.0, 15.0], 0.0);
        let mut target = candidate.clone();
        (0..80).for_each(|y| target.pixels[y * 80..y * 80 + 12].fill([50.0, 12.0, 15.0]));
        (0..80).for_each(|y| target.pixels[y * 80 + 68..(y + 1) * 80].fill([50.0, 12.0, 15.0]));
        let share = Plane::from_values(80, 80, (0..6400).map(|i| if i % 80 < 20 { 1.0 } else { 0.0 }).collect());
        match_edge(&mut candidate, &target, &Plane::filled(80, 80, 1.0), &share, 80.0);
        let row = &candidate.pixels[40 * 80..41 * 80];
        assert!(row[4][0] < 51.5 && row[19][0] > 58.0 && row[76][0] == 60.0, "{:?} {:?}", row[4], row[19]);
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
