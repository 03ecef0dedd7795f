//! What lies before the face and must stay: hair over the forehead and the temples, beards, glasses.
//!
//! Skin is modelled from the cheeks and the nose themselves. Where the upper and outer parts of the face are not that
//! colour, hair or a hat is assumed; where chin and upper lip are mostly darker than the cheeks, a beard. Their outlines
//! are drawn by a guided filter (He, Sun and Tang, IEEE TPAMI 35(6), 2013), so that single strands stay. Glasses are
//! found by their rims ([`super::glasses`]).

use super::colour::Spread;
use super::field::smoothstep;
use super::raster::{Raster, Texel};
use super::topology::Part;
use super::{frontal, glasses};
use crate::lab::{Lab, LabImage};
use crate::plane::Plane;

/// Smallest deviations of the skin model: noise, shading and blemishes are skin too.
const LEAST_DEVIATION: Lab = [9.0, 4.5, 5.5];
/// Largest: two things of different colours are not one skin.
const MOST_DEVIATION: Lab = [16.0, 6.0, 7.0];
/// Distance in deviations up to which a pixel is surely skin, and from which it is surely not.
const SKIN_LIMITS: (f32, f32) = (2.2, 3.6);
/// Brighter than the model is shine more often than anything else.
const BRIGHT_SHARE: f32 = 0.5;
/// Share of chin and jaw that must look like beard to be one, share of the upper lip that must for a moustache, and what
/// both must reach together: shade on chin or lip alone is smaller.
const CHIN_BEARD: f32 = 0.65;
const MOUSTACHE: f32 = 0.78;
const CHIN_AND_LIP: f32 = 1.2;
/// How much darker than the cheeks, in L\*, a beard begins and is sure.
const BEARD_DARKER: (f32, f32) = (5.0, 13.0);
/// How much paler, in a\* and b\* together, a grey beard begins and is sure.
const BEARD_PALER: (f32, f32) = (9.0, 18.0);
/// Share of cheeks and nose that may be covered by something that is neither glasses nor shade.
const MAX_COVERED: f32 = 0.3;

/// A face's skin.
#[derive(Clone, Debug)]
pub struct Skin {
    /// How likely each pixel shows skin, in `[0, 1]`; 0 outside the raster.
    pub likelihood: Plane,
    /// How much lighter than the skin nearby each pixel is, in L\*.
    pub lighter: Plane,
    /// How much paler than the skin each pixel is: a\* and b\* together.
    pub paler: Plane,
    /// Of the pixels by which the model was made, those which are not skin after all.
    pub covered: f32,
}

impl Skin {
    /// By a model from cheeks and nose; `None` if there is no skin to learn from.
    pub fn of(image: &LabImage, raster: &Raster, face_px: f32) -> Option<Self> {
        let in_middle = |texel: &Texel| texel.radius < 0.8 && texel.frontal[1] > -0.13 && texel.frontal[1] < 0.12;
        let middle = raster.pixels.iter().map(|p| match p {
            Some((Part::Skin, texel)) if in_middle(texel) => 1.0,
            _ => 0.0,
        });
        let middle = Plane::from_values(raster.width, raster.height, middle.collect());
        let model = Spread::of(image, &middle)?;
        let deviation: Lab = std::array::from_fn(|k| model.deviation[k].clamp(LEAST_DEVIATION[k], MOST_DEVIATION[k]));
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
        let (mut covered, mut total) = (0.0, 0.0f32);
        let mut likelihood = Vec::with_capacity(image.pixels.len());
        let mut lighter = Vec::with_capacity(image.pixels.len());
        let mut paler = Vec::with_capacity(image.pixels.len());
        for (i, (pixel, &offset)) in image.pixels.iter().zip(offset.values()).enumerate() {
            if raster.pixels[i].is_none() {
                likelihood.push(0.0);
                lighter.push(0.0);
                paler.push(0.0);
                continue;
            }
            let dl = pixel[0] - model.mean[0] - offset;
            let (da, db) = ((pixel[1] - model.mean[1]) / deviation[1], (pixel[2] - model.mean[2]) / deviation[2]);
            let dl_scaled = dl / deviation[0] * if dl > 0.0 { BRIGHT_SHARE } else { 1.0 };
            let skin = smoothstep(SKIN_LIMITS.1, SKIN_LIMITS.0, (dl_scaled * dl_scaled + da * da + db * db).sqrt());
            if middle.values()[i] > 0.0 {
                total += 1.0;
                covered += 1.0 - skin;
            }
            likelihood.push(skin);
            lighter.push(dl);
            paler.push(model.mean[1] - pixel[1] + model.mean[2] - pixel[2]);
        }
        let plane = |values| Plane::from_values(image.width, image.height, values);
        Some(Self {
            likelihood: plane(likelihood),
            lighter: plane(lighter),
            paler: plane(paler),
            covered: covered / total.max(1.0),
        })
    }
}

/// How likely each pixel shows skin, in `[0, 1]`; `None` if there is no skin to learn from. See [`Skin::of`].
pub fn skin_likelihood(image: &LabImage, raster: &Raster, face_px: f32) -> Option<Plane> {
    Skin::of(image, raster, face_px).map(|skin| skin.likelihood)
}

impl Skin {
    /// How much pixel `i` looks like beard where a beard may be: dark, or grey and not just light.
    fn beard(&self, i: usize) -> f32 {
        let lighter = self.lighter.values()[i];
        let grey = smoothstep(BEARD_PALER.0, BEARD_PALER.1, self.paler.values()[i]);
        smoothstep(BEARD_DARKER.0, BEARD_DARKER.1, -lighter).max(grey)
    }
}

/// What stays in front of the new face.
#[derive(Clone, Debug)]
pub struct Front {
    /// Share of the target to be kept at each pixel, in `[0, 1]`.
    pub keep: Plane,
    /// The glasses, if there are some whose lenses are clear.
    pub glasses: Option<Glasses>,
}

/// Glasses that may be exchanged.
#[derive(Clone, Debug)]
pub struct Glasses {
    /// Where they are.
    pub evidence: glasses::Evidence,
    /// What is to be kept beside them: hair, beard, and their arms.
    pub beside: Plane,
}

impl Front {
    /// Of `target`, as the raster sees it; `view` is the same face from the front ([`frontal::view`]).
    ///
    /// # Errors
    /// The share of cheeks and nose that is covered, if it is too much.
    pub fn of(target: &LabImage, skin: &Skin, view: &LabImage, raster: &Raster, face_px: f32) -> Result<Self, f32> {
        if skin.covered > MAX_COVERED {
            return Err(skin.covered);
        }
        let chin = |t: &Texel| t.frontal[1] > 0.36 && t.radius < 0.97;
        let upper_lip = |t: &Texel| t.frontal[1] > 0.1 && t.frontal[1] < 0.17 && t.frontal[0].abs() < 0.17;
        let dark = |zone: &dyn Fn(&Texel) -> bool| -> f32 {
            let (mut sum, mut count) = (0.0, 0.0f32);
            for (i, pixel) in raster.pixels.iter().enumerate() {
                if let Some((Part::Skin, texel)) = pixel
                    && zone(texel)
                {
                    sum += skin.beard(i);
                    count += 1.0;
                }
            }
            sum / count.max(1.0)
        };
        let (on_chin, on_lip) = (dark(&chin), dark(&upper_lip));
        let beard = on_chin > CHIN_BEARD || on_lip > MOUSTACHE || on_chin + on_lip > CHIN_AND_LIP;
        let raw = raster.pixels.iter().enumerate().map(|(i, pixel)| {
            let Some((part, texel)) = pixel else { return 0.0 };
            let hair = hair_zone(texel.frontal, texel.radius) * (1.0 - skin.likelihood.values()[i]);
            if beard && matches!(part, Part::Skin | Part::Outside | Part::Nostril) {
                return f32::max(hair, beard_zone(texel.frontal) * skin.beard(i));
            }
            hair
        });
        let raw = Plane::from_values(raster.width, raster.height, raw.collect());
        let lightness = Plane::from_values(target.width, target.height, target.pixels.iter().map(|p| p[0]).collect());
        let matte = guided(&raw, &lightness, 0.025 * face_px, 30.0).map(|v| smoothstep(0.12, 0.7, v));
        let evidence = glasses::Evidence::of(view);
        if !evidence.found() {
            return Ok(Self { keep: matte, glasses: None });
        }
        let over_matte = |kept: &Plane| {
            let values = matte.values().iter().zip(&raster.pixels).map(|(&keep, pixel)| match pixel {
                Some((_, texel)) => keep.max(frontal::at(kept, texel.frontal)),
                None => 0.0,
            });
            Plane::from_values(raster.width, raster.height, values.collect())
        };
        let [keep, beside] = evidence.kept().each_ref().map(over_matte);
        let glasses = (!evidence.are_dark()).then_some(Glasses { evidence, beside });
        Ok(Self { keep, glasses })
    }
}

/// Where hair may lie before the face, in `[0, 1]`: above the brows, and at the sides down to the jaw.
#[inline]
pub fn hair_zone([x, y]: [f32; 2], radius: f32) -> f32 {
    let above_brows = smoothstep(-0.39, -0.44, y);
    let side = smoothstep(0.36, 0.42, x.abs()) * smoothstep(0.3, 0.2, y);
    above_brows.max(side).max(smoothstep(0.97, 1.03, radius))
}

/// Where a beard may grow, in `[0, 1]`: below the nose, and along the jaw up to the ears.
#[inline]
fn beard_zone([x, y]: [f32; 2]) -> f32 {
    let below_nose = smoothstep(0.085, 0.115, y);
    let jaw = smoothstep(0.36, 0.44, x.abs()) * smoothstep(-0.15, 0.0, y);
    below_nose.max(jaw)
}

/// `plane` smoothed over `radius_px`, its edges following those of `guide`; `noise` is the variance of `guide` that is
/// not an edge.
fn guided(plane: &Plane, guide: &Plane, radius_px: f32, noise: f32) -> Plane {
    let radius = (radius_px.round() as usize).max(1);
    let mean = |p: &Plane| p.box_mean(radius);
    let (mean_plane, mean_guide) = (mean(plane), mean(guide));
    let covariance =
        mean(&plane.zip(guide, |p, g| p * g)).zip(&mean_plane.zip(&mean_guide, |p, g| p * g), |a, b| a - b);
    let variance = mean(&guide.map(|g| g * g)).zip(&mean_guide, |square, g| square - g * g);
    let slope = covariance.zip(&variance, |c, v| c / (v.max(0.0) + noise));
    let offset = mean_plane.zip(&slope.zip(&mean_guide, |s, g| s * g), |p, sg| p - sg);
    mean(&slope).zip(guide, |s, g| s * g).zip(&mean(&offset), |a, b| a + b)
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

    fn blank_view() -> LabImage {
        let [width, height] = frontal::SIZE;
        LabImage { width, height, pixels: vec![[65.0, 14.0, 17.0]; width * height] }
    }

    fn front(image: &LabImage) -> Front {
        let skin = Skin::of(image, &raster(), 100.0).unwrap();
        Front::of(image, &skin, &blank_view(), &raster(), 100.0).unwrap()
    }

    #[test]
    fn dark_hair_on_the_forehead_is_kept_and_the_mouth_is_not() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[65.0, 14.0, 17.0]; 12_000] };
        image.pixels[..100 * 10].fill([20.0, 3.0, 4.0]);
        image.pixels[100 * 85..100 * 90].fill([20.0, 3.0, 4.0]);
        let front = front(&image);
        assert!(front.keep.values()[5 * 100 + 50] > 0.95, "hair");
        assert!(front.keep.values()[18 * 100 + 50] < 0.05, "forehead");
        assert!(front.keep.values()[87 * 100 + 50] < 0.05, "mouth");
    }

    #[test]
    fn a_beard_is_kept_and_the_cheeks_above_it_are_not() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[65.0, 14.0, 17.0]; 12_000] };
        image.pixels[100 * 90..].fill([25.0, 4.0, 6.0]);
        let front = front(&image);
        assert!(front.keep.values()[105 * 100 + 50] > 0.9, "chin {}", front.keep.values()[105 * 100 + 50]);
        assert!(front.keep.values()[62 * 100 + 30] < 0.05, "cheek");
    }

    #[test]
    fn a_covered_face_is_refused() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[65.0, 14.0, 17.0]; 12_000] };
        image.pixels[100 * 62..].fill([80.0, -8.0, -20.0]);
        let skin = Skin::of(&image, &raster(), 100.0).unwrap();
        assert!(Front::of(&image, &skin, &blank_view(), &raster(), 100.0).is_err(), "covered {}", skin.covered);
    }

    #[test]
    fn shine_on_the_forehead_is_skin() {
        let mut image = LabImage { width: 100, height: 120, pixels: vec![[60.0, 14.0, 17.0]; 12_000] };
        image.pixels[100 * 5..100 * 10].fill([82.0, 10.0, 12.0]);
        let skin = Skin::of(&image, &raster(), 100.0).unwrap().likelihood;
        assert!(skin.values()[7 * 100 + 50] > 0.7, "{}", skin.values()[7 * 100 + 50]);
    }
}
