//! The candidate as sharp and as grainy as the target.

use super::raster::Raster;
use super::topology::Part;
use crate::lab::LabImage;
use crate::plane::Plane;

/// What the finest scale holds: structure below this standard deviation, in pixels.
const FINE_SIGMA_PX: f32 = 1.2;
/// Blurs tried on a candidate sharper than the target, in pixels.
const BLURS_PX: [f32; 3] = [0.7, 1.2, 1.8];
/// A candidate may be this much sharper than the target before it is blurred.
const SHARPNESS_SLACK: f32 = 1.25;
/// Grain is never stronger than this, in L\*.
const MAX_GRAIN: f32 = 5.0;

/// Blurs `candidate` where it is sharper than `target`, and gives it the target's grain where it is smoother.
///
/// `skin` in `[0, 1]` says where both show skin; grain is added there alone, so that no feature is doubled.
pub fn match_detail(candidate: &mut LabImage, target: &LabImage, skin: &Plane, raster: &Raster) {
    let features = |fine: &Plane| -> f32 {
        let inside = fine.values().iter().zip(&raster.pixels);
        let inside = inside.filter(|(_, pixel)| pixel.is_some_and(|(part, _)| part != Part::Outside));
        let (sum, count) = inside.fold((0.0, 0.0), |(s, n), (v, _)| (s + v * v, n + 1.0));
        (sum / f32::max(count, 1.0)).sqrt()
    };
    let grain = fine_structure(&channel(target, 0));
    let most = features(&grain) * SHARPNESS_SLACK;
    let sharp = channel(candidate, 0);
    let mut fine = fine_structure(&sharp);
    if features(&fine) > most {
        let mut blurred = (0.0, sharp.clone());
        for sigma in BLURS_PX {
            blurred = (sigma, gaussian(&sharp, sigma));
            fine = fine_structure(&blurred.1);
            if features(&fine) <= most {
                break;
            }
        }
        let (sigma, lightness) = blurred;
        let [a, b] = [1, 2].map(|k| gaussian(&channel(candidate, k), sigma));
        let channels = lightness.values().iter().zip(a.values()).zip(b.values());
        for (pixel, ((&l, &a), &b)) in candidate.pixels.iter_mut().zip(channels) {
            *pixel = [l, a, b];
        }
    }
    add_grain(candidate, &fine, &grain, skin);
}

fn add_grain(candidate: &mut LabImage, own: &Plane, grain: &Plane, skin: &Plane) {
    let energy = |plane: &Plane| -> f32 {
        // Small values alone: edges of features are not grain.
        let values = plane.values().iter().zip(skin.values()).filter(|(v, w)| **w > 0.9 && v.abs() < MAX_GRAIN);
        let (sum, count) = values.fold((0.0, 0.0), |(s, n), (v, _)| (s + v * v, n + 1.0));
        sum / f32::max(count, 1.0)
    };
    let (own, wanted) = (energy(own), energy(grain));
    if wanted <= own || wanted <= 0.0 {
        return;
    }
    let gain = (1.0 - own / wanted).sqrt();
    for ((pixel, &g), &w) in candidate.pixels.iter_mut().zip(grain.values()).zip(skin.values()) {
        pixel[0] += w * gain * g.clamp(-MAX_GRAIN, MAX_GRAIN);
    }
}

fn channel(image: &LabImage, k: usize) -> Plane {
    Plane::from_values(image.width, image.height, image.pixels.iter().map(|p| p[k]).collect())
}

fn fine_structure(lightness: &Plane) -> Plane {
    lightness.zip(&gaussian(lightness, FINE_SIGMA_PX), |v, b| v - b)
}

/// A Gaussian of five taps, for blurs too small for running means.
fn gaussian(plane: &Plane, sigma_px: f32) -> Plane {
    let tap = |d: f32| (-0.5 * (d / sigma_px).powi(2)).exp();
    let (w0, w1, w2) = (1.0, tap(1.0), tap(2.0));
    let total = w0 + 2.0 * (w1 + w2);
    let [w0, w1, w2] = [w0, w1, w2].map(|w| w / total);
    let (width, height) = (plane.width(), plane.height());
    let mut rows = vec![0.0; plane.values().len()];
    let mut padded = Vec::with_capacity(width + 4);
    for (out, row) in rows.chunks_exact_mut(width.max(1)).zip(plane.values().chunks_exact(width.max(1))) {
        // The row with its ends repeated, so that all of it is summed alike.
        padded.clear();
        padded.extend([row[0]; 2]);
        padded.extend_from_slice(row);
        padded.extend([row[width - 1]; 2]);
        for (out, at) in out.iter_mut().zip(padded.array_windows::<5>()) {
            *out = w0 * at[2] + w1 * (at[1] + at[3]) + w2 * (at[0] + at[4]);
        }
    }
    let mut values = vec![0.0; rows.len()];
    for (y, out) in values.chunks_exact_mut(width.max(1)).enumerate() {
        let row = |y: usize| &rows[y.min(height - 1) * width..][..width];
        let (up2, up1, at, down1, down2) =
            (row(y.saturating_sub(2)), row(y.saturating_sub(1)), row(y), row(y + 1), row(y + 2));
        for (x, out) in out.iter_mut().enumerate() {
            *out = w0 * at[x] + w1 * (up1[x] + down1[x]) + w2 * (up2[x] + down2[x]);
        }
    }
    Plane::from_values(width, height, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::raster::Texel;

    fn noisy(contrast: f32) -> LabImage {
        let noise = |i: usize| contrast * (((i * 7919) % 1009) as f32 / 504.0 - 1.0);
        LabImage { width: 60, height: 60, pixels: (0..3600).map(|i| [60.0 + noise(i), 12.0, 15.0]).collect() }
    }

    fn skin() -> Raster {
        Raster { width: 60, height: 60, pixels: vec![Some((Part::Skin, Texel::default())); 3600] }
    }

    fn roughness(image: &LabImage) -> f32 {
        let fine = fine_structure(&channel(image, 0));
        (fine.values().iter().map(|v| v * v).sum::<f32>() / 3600.0).sqrt()
    }

    #[test]
    fn a_smooth_candidate_gets_the_targets_grain() {
        let (mut candidate, target) = (noisy(0.0), noisy(3.0));
        match_detail(&mut candidate, &target, &Plane::filled(60, 60, 1.0), &skin());
        let (got, want) = (roughness(&candidate), roughness(&target));
        assert!((got / want - 1.0).abs() < 0.2, "{got} beside {want}");
    }

    #[test]
    fn a_sharper_candidate_is_blurred() {
        let (mut candidate, target) = (noisy(6.0), noisy(1.5));
        match_detail(&mut candidate, &target, &Plane::filled(60, 60, 1.0), &skin());
        assert!(roughness(&candidate) < 1.6 * roughness(&target));
    }
}
