//! What lies before the face and must stay: hair over the forehead and the temples.
//!
//! Skin is modelled from the middle of the face itself. Where the upper and outer parts of the face are not that
//! colour, in the target or in the candidate, hair is assumed and the target is kept.

use super::colour::Spread;
use super::field::smoothstep;
use super::raster::Raster;
use super::topology::Part;
use crate::lab::{Lab, LabImage};
use crate::plane::Plane;

/// Smallest deviations of the skin model: noise, shading and blemishes are skin too.
const LEAST_DEVIATION: Lab = [9.0, 4.5, 5.5];
/// Distance in deviations up to which a pixel is surely skin, and from which it is surely not.
const SKIN_LIMITS: (f32, f32) = (2.2, 3.6);
/// Brighter than the model is shine more often than anything else.
const BRIGHT_SHARE: f32 = 0.5;

/// How likely each pixel shows skin, in `[0, 1]`, by a model from the middle of the face; 0 outside the raster.
///
/// `None` if there is no skin to learn from.
pub fn skin_likelihood(image: &LabImage, raster: &Raster, face_px: f32) -> Option<Plane> {
    let weight = |inside: &dyn Fn(&Part, [f32; 2], f32) -> bool| {
        let values = raster.pixels.iter().map(|p| match p {
            Some((part, texel)) if inside(part, texel.frontal, texel.radius) => 1.0,
            _ => 0.0,
        });
        Plane::from_values(raster.width, raster.height, values.collect())
    };
    // Cheeks, nose and chin: below the eyes, away from lips and edge.
    let middle = weight(&|part, at, radius| *part == Part::Skin && radius < 0.8 && at[1] > -0.12);
    let model = Spread::of(image, &middle)?;
    let deviation: Lab = std::array::from_fn(|k| model.deviation[k].max(LEAST_DEVIATION[k]));
    // Light changes across the face: lightness is judged against the skin nearby, as far as it is known.
    let block = ((face_px / 40.0) as usize).max(1);
    let known = image.pixels.iter().zip(&raster.pixels).map(|(pixel, at)| match at {
        Some((Part::Skin, texel)) if texel.radius < 0.95 => {
            let far = (0..3).map(|k| ((pixel[k] - model.mean[k]) / deviation[k]).abs()).fold(0.0, f32::max);
            smoothstep(3.0, 2.0, far)
        }
        _ => 0.0,
    });
    let known = Plane::from_values(image.width, image.height, known.collect());
    let lightness = image.pixels.iter().zip(known.values()).map(|(p, w)| w * (p[0] - model.mean[0])).collect();
    let sigma = 0.12 * face_px / block as f32;
    let weight = known.shrunk(block).blurred(sigma);
    let sums = Plane::from_values(image.width, image.height, lightness).shrunk(block).blurred(sigma);
    // Where little skin is known nearby, the face's mean counts.
    let offset = sums.zip(&weight, |s, w| 0.8 * s / (w + 0.1)).grown(block, image.width, image.height);
    let values = image.pixels.iter().zip(offset.values()).zip(&raster.pixels).map(|((pixel, &offset), at)| {
        if at.is_none() {
            return 0.0;
        }
        let mut square = 0.0;
        for k in 0..3 {
            let mut d = (pixel[k] - model.mean[k] - if k == 0 { offset } else { 0.0 }) / deviation[k];
            if k == 0 && d > 0.0 {
                d *= BRIGHT_SHARE;
            }
            square += d * d;
        }
        smoothstep(SKIN_LIMITS.1, SKIN_LIMITS.0, square.sqrt())
    });
    Some(Plane::from_values(image.width, image.height, values.collect()))
}

/// Share of the candidate allowed at each pixel: 1 in the middle of the face, the lesser of both likelihoods where hair
/// may hang, softened.
pub fn hair_gate(target_skin: &Plane, candidate_skin: &Plane, raster: &Raster, face_px: f32) -> Plane {
    let skin = target_skin.zip(candidate_skin, f32::min).blurred(0.012 * face_px);
    let values = skin.values().iter().zip(&raster.pixels).map(|(&skin, at)| match at {
        Some((_, texel)) => {
            let zone = hair_zone(texel.frontal, texel.radius);
            1.0 - zone * (1.0 - smoothstep(0.25, 0.7, skin))
        }
        None => 0.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// Where hair may lie before the face, in `[0, 1]`: above the brows, and at the sides down to the jaw.
fn hair_zone([x, y]: [f32; 2], radius: f32) -> f32 {
    let above_brows = smoothstep(-0.38, -0.44, y);
    let side = smoothstep(0.36, 0.42, x.abs()) * smoothstep(0.3, 0.2, y);
    above_brows.max(side).max(smoothstep(0.97, 1.03, radius))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::raster::Texel;

    /// 100 × 120 pixels of forehead, face and chin, seen from the front.
    fn raster() -> Raster {
        let pixels = (0..100 * 120)
            .map(|i| {
                let frontal = [(i % 100) as f32 / 100.0 - 0.5, (i / 100) as f32 / 100.0 - 0.6];
                let radius = frontal[0].hypot(frontal[1]) / 0.6;
                Some((Part::Skin, Texel { frontal, radius, ..Texel::default() }))
            })
            .collect();
        Raster { width: 100, height: 120, pixels }
    }

    #[test]
    fn dark_hair_on_the_forehead_is_kept_and_the_mouth_is_not() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[65.0, 14.0, 17.0]; 12_000] };
        image.pixels[..100 * 10].fill([20.0, 3.0, 4.0]);
        image.pixels[100 * 85..100 * 90].fill([20.0, 3.0, 4.0]);
        let skin = skin_likelihood(&image, &raster(), 100.0).unwrap();
        let gate = hair_gate(&skin, &Plane::filled(100, 120, 1.0), &raster(), 100.0);
        assert!(gate.values()[5 * 100 + 50] < 0.05, "hair");
        assert!(gate.values()[18 * 100 + 50] > 0.95, "forehead");
        assert!(gate.values()[87 * 100 + 50] > 0.95, "mouth");
    }

    #[test]
    fn shine_on_the_forehead_is_skin() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[60.0, 14.0, 17.0]; 12_000] };
        image.pixels[100 * 5..100 * 10].fill([82.0, 10.0, 12.0]);
        let skin = skin_likelihood(&image, &raster(), 100.0).unwrap();
        assert!(skin.values()[7 * 100 + 50] > 0.7, "{}", skin.values()[7 * 100 + 50]);
    }
}
