//! Pasting one picture into another so that no seam shows.
//!
//! A feathered mask mixes the two. First, what still differs along the mask's edge is spread over the inside as a
//! smooth sheet and taken away: the low-frequency part of gradient-domain (Poisson) blending, without solving for it.

use crate::lab::{Lab, LabImage};
use crate::plane::{Plane, grown_together, shrunk_together};

/// How a seam is removed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeamOptions {
    /// The sheet is worked out on blocks of this many pixels.
    pub block_px: usize,
    /// Standard deviation of the blur that carries the edge's colour inwards, in pixels.
    pub reach_px: f32,
    /// No channel is corrected by more than this, in units of L\*a\*b\*.
    pub max_step: f32,
}

/// Takes the difference along the mask's edge away from `patch`.
///
/// `alpha` in `[0, 1]` is the share of `patch` in the result; `trust` in `[0, 1]` says where `under` shows the same
/// thing as `patch` (skin beside skin, not hair), so that its colour may be taken over. All have one size.
pub fn without_seam(patch: &mut LabImage, under: &LabImage, alpha: &Plane, trust: &Plane, options: &SeamOptions) {
    let edge = alpha.zip(trust, |a, t| 4.0 * a * (1.0 - a) * t);
    // Beside the edge this is its whole step; where little of the edge is near, the step fades out.
    const FAINT_EDGE: f32 = 0.03;
    let size = (patch.width, patch.height);
    let sigma = options.reach_px / options.block_px as f32;
    let sums = shrunk_together(size, options.block_px, |i| {
        let (e, u, p) = (edge.values()[i], under.pixels[i], patch.pixels[i]);
        [e, e * (u[0] - p[0]), e * (u[1] - p[1]), e * (u[2] - p[2])]
    });
    let [weight, steps @ ..] = sums.map(|plane| plane.blurred(sigma));
    let [l, a, b] = steps.map(|steps| steps.zip(&weight, |s, w| s / (w + FAINT_EDGE)));
    grown_together([&l, &a, &b], options.block_px, size, |i, step| {
        let pixel = &mut patch.pixels[i];
        for k in 0..3 {
            pixel[k] += step[k].clamp(-options.max_step, options.max_step);
        }
    });
}

/// `alpha · patch + (1 − alpha) · under`, pixel by pixel.
pub fn mixed(patch: &LabImage, under: &LabImage, alpha: &Plane) -> LabImage {
    let pixels = patch.pixels.iter().zip(&under.pixels).zip(alpha.values());
    let mix = |((p, u), &a): ((&Lab, &Lab), &f32)| {
        [u[0] + a * (p[0] - u[0]), u[1] + a * (p[1] - u[1]), u[2] + a * (p[2] - u[2])]
    };
    LabImage { pixels: pixels.map(mix).collect(), ..*patch }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: Lab) -> LabImage {
        LabImage { width: 64, height: 64, pixels: vec![value; 64 * 64] }
    }

    fn disc() -> Plane {
        let at = |i: usize| ((i % 64) as f32 - 31.5).hypot((i / 64) as f32 - 31.5);
        Plane::from_values(64, 64, (0..64 * 64).map(|i| ((24.0 - at(i)) / 8.0 + 0.5).clamp(0.0, 1.0)).collect())
    }

    #[test]
    fn a_constant_step_nearly_disappears() {
        let (mut patch, under) = (flat([50.0, 10.0, 10.0]), flat([60.0, 5.0, 14.0]));
        let options = SeamOptions { block_px: 4, reach_px: 8.0, max_step: 14.0 };
        without_seam(&mut patch, &under, &disc(), &Plane::filled(64, 64, 1.0), &options);
        let result = mixed(&patch, &under, &disc());
        for pixel in &result.pixels {
            assert!((pixel[0] - 60.0).abs() < 3.0 && (pixel[1] - 5.0).abs() < 1.5, "{pixel:?}");
        }
    }

    #[test]
    fn nothing_changes_where_the_mask_is_zero() {
        let (patch, under) = (flat([50.0, 10.0, 10.0]), flat([60.0, 5.0, 14.0]));
        assert_eq!(mixed(&patch, &under, &disc()).pixels[0], under.pixels[0]);
    }

    #[test]
    fn a_distrusted_edge_is_not_followed() {
        let (mut patch, under) = (flat([50.0, 10.0, 10.0]), flat([10.0, 0.0, 0.0]));
        let options = SeamOptions { block_px: 4, reach_px: 8.0, max_step: 14.0 };
        without_seam(&mut patch, &under, &disc(), &Plane::filled(64, 64, 0.0), &options);
        assert_eq!(patch, flat([50.0, 10.0, 10.0]));
    }
}
