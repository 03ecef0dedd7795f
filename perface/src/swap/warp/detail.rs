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
    let grain = fine_structure(target);
    let wanted = features(&grain);
    let mut fine = fine_structure(candidate);
    if features(&fine) > wanted * SHARPNESS_SLACK {
        let sharp = candidate.clone();
        for sigma in BLURS_PX {
            *candidate = blurred(&sharp, sigma);
            fine = fine_structure(candidate);
            if features(&fine) <= wanted * SHARPNESS_SLACK {
                break;
            }
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

fn lightness(image: &LabImage) -> Plane {
    Plane::from_values(image.width, image.height, image.pixels.iter().map(|p| p[0]).collect())
}

fn fine_structure(image: &LabImage) -> Plane {
    let lightness = lightness(image);
    lightness.zip(&gaussian(&lightness, FINE_SIGMA_PX), |v, b| v - b)
}

fn blurred(image: &LabImage, sigma_px: f32) -> LabImage {
    let planes: [Plane; 3] = std::array::from_fn(|k| {
        let plane = Plane::from_values(image.width, image.height, image.pixels.iter().map(|p| p[k]).collect());
        gaussian(&plane, sigma_px)
    });
    let pixels = (0..image.pixels.len()).map(|i| std::array::from_fn(|k| planes[k].values()[i])).collect();
    LabImage { pixels, ..*image }
}

/// A Gaussian of five taps, for blurs too small for running means.
fn gaussian(plane: &Plane, sigma_px: f32) -> Plane {
    let tap = |d: f32| (-0.5 * (d / sigma_px).powi(2)).exp();
    let (w0, w1, w2) = (1.0, tap(1.0), tap(2.0));
    let total = w0 + 2.0 * (w1 + w2);
    let [w0, w1, w2] = [w0, w1, w2].map(|w| w / total);
    let (width, height) = (plane.width(), plane.height());
    let mut rows = vec![0.0; plane.values().len()];
    for (out, row) in rows.chunks_exact_mut(width.max(1)).zip(plane.values().chunks_exact(width.max(1))) {
        let last = width - 1;
        for (x, out) in out.iter_mut().enumerate() {
            let pair = |d: usize| row[x.saturating_sub(d)] + row[(x + d).min(last)];
            *out = w0 * row[x] + w1 * pair(1) + w2 * pair(2);
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
        let fine = fine_structure(image);
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
