//! Engines that are networks: SimSwap, inswapper, HyperSwap and their wrappings, from files people bring.
//!
//! ```text
//! photo + landmarks ─ template ─▶ crop ─ scaling ─┐
//! candidate ─ template ─▶ crop ─ identity ─▶ latent ─▶ engine ─▶ crop ─ masks, recipe ─▶ patch
//! ```
//!
//! Every constant is in the engine's [`card`]; [`graph`] finds out which input of the file is which.

pub mod card;
pub mod graph;
pub mod paste;
pub mod template;

use std::sync::Arc;

use image::{RgbImage, imageops};

use self::card::{EngineCard, IDENTITY_PX, IMAGENET, Identity, Latent, OCCLUSION_PX, REGION_PX, Scaling};
use self::graph::{IDENTITY_LEN, Wiring};
use self::paste::Crop;
use super::{Material, Prepared, Refusal, Swap, Swapper, Target};
use crate::error::{Error, Result};
use crate::geometry::Point;
use crate::model::{Model, Tensor};
use crate::plane::Plane;
use crate::resample::{self, Border};

/// A face narrower than this has too few pixels for any engine.
const LEAST_FACE_PX: f32 = 16.0;

/// Classes of zllrunning's face parser that are face: skin, brows, eyes, glasses, nose, mouth, lips.
const FACE_CLASSES: [usize; 10] = [1, 2, 3, 4, 5, 6, 10, 11, 12, 13];

/// How many classes it tells apart.
const CLASSES: usize = 19;

/// What restricts a result, beside its engine's recipe.
#[derive(Default)]
pub struct Masks {
    /// Keep to the hull of the mesh.
    pub hull: bool,
    /// Keep to what this network (BiSeNet) takes for face in the result.
    pub region: Option<Arc<dyn Model>>,
    /// Leave what this network (XSeg) takes for something before the face.
    pub occlusion: Option<Arc<dyn Model>>,
}

/// The networks of an engine.
pub struct Networks {
    /// The engine itself.
    pub engine: Arc<dyn Model>,
    /// Which of its inputs is which.
    pub wiring: Wiring,
    /// Turns a candidate's face into an identity.
    pub identity: Arc<dyn Model>,
    /// Converts the identity; needed for [`Latent::Converted`].
    pub converter: Option<Arc<dyn Model>>,
    /// The engine's own matrix, row by row; needed for [`Latent::Emap`].
    pub emap: Option<Vec<f32>>,
}

/// An engine made ready.
pub struct Neural {
    card: EngineCard,
    networks: Networks,
    masks: Masks,
    match_colour: bool,
}

impl Neural {
    /// From its card and networks.
    ///
    /// # Errors
    /// [`Error::Model`] if a network the card needs is missing.
    pub fn new(card: EngineCard, networks: Networks, masks: Masks, match_colour: bool) -> Result<Self> {
        let missing = match card.latent {
            Latent::Converted(name) if networks.converter.is_none() => Some(name),
            Latent::Emap if networks.emap.as_ref().is_none_or(|m| m.len() != IDENTITY_LEN * IDENTITY_LEN) => {
                Some("its matrix of 512 × 512")
            }
            _ => None,
        };
        match missing {
            Some(what) => Err(Error::model(card.name, format!("needs {what}"))),
            None => Ok(Self { card, networks, masks, match_colour }),
        }
    }

    /// Its card.
    pub fn card(&self) -> &EngineCard {
        &self.card
    }

    /// The 512 numbers the engine gets for the person in `picture` with these landmarks; `None` if they coincide.
    ///
    /// # Errors
    /// If a network fails or gives something else than it should.
    pub fn latent(&self, picture: &RgbImage, landmarks_px: &[Point; 5]) -> Result<Option<Vec<f32>>> {
        let Identity { model, template, crop_px, scaling } = self.card.identity;
        let Some(to_crop) = template.fit(landmarks_px, crop_px) else { return Ok(None) };
        let crop = resample::crop(picture, &to_crop, crop_px, crop_px, Border::Black);
        let crop = every_nth(&crop, IDENTITY_PX);
        let raw = one_of(model, self.networks.identity.run(&[tensor(&crop, scaling)])?, IDENTITY_LEN)?;
        let latent = match (self.card.latent, &self.networks.converter, &self.networks.emap) {
            (Latent::Converted(name), Some(converter), _) => {
                let input = Tensor::new(vec![1, IDENTITY_LEN], unit(raw));
                one_of(name, converter.run(&[input])?, IDENTITY_LEN)?
            }
            (Latent::Emap, _, Some(emap)) => times(&unit(raw), emap),
            _ => raw,
        };
        Ok(Some(unit(latent)))
    }

    /// The crop an engine sees, and how it was cut.
    fn cut(&self, target: &Target) -> Option<(RgbImage, crate::geometry::Similarity)> {
        let (size, border) = (self.card.size_px, self.card.border);
        let to_crop = self.card.template.fit(&target.face.landmarks_px, size)?;
        Some((resample::crop(target.photo, &to_crop, size, size, border), to_crop))
    }

    fn run(&self, crop: &RgbImage, latent: Vec<f32>) -> Result<Vec<f32>> {
        let side = self.card.size_px as usize;
        let picture = tensor(crop, self.card.input);
        let identity = Tensor::new(vec![1, IDENTITY_LEN], latent);
        let inputs = if self.networks.wiring.picture == 0 { [picture, identity] } else { [identity, picture] };
        let mut values = one_of(self.card.name, self.networks.engine.run(&inputs)?, 3 * side * side)?;
        let Scaling { mean, std } = self.card.output;
        for ((plane, mean), std) in values.chunks_exact_mut(side * side).zip(mean).zip(std) {
            plane.iter_mut().for_each(|v| *v = (*v * std + mean).clamp(0.0, 1.0));
        }
        Ok(values)
    }

    fn swapped(&self, target: &Target, candidate: &Material) -> Result<Result<Swap, Refusal>> {
        let width = target.face.box_px.width();
        if width < LEAST_FACE_PX {
            return Ok(Err(Refusal::TooSmall { face_px: width }));
        }
        let Some((crop, to_crop)) = self.cut(target) else { return Ok(Err(Refusal::NoMesh)) };
        let latent = match candidate.identity.get() {
            Some((engine, latent)) if *engine == self.card.name => latent.clone(),
            _ => {
                let portrait = &candidate.neutral;
                let landmarks = template::landmarks_of(portrait.mesh());
                let latent = match landmarks {
                    Some(landmarks) => self.latent(portrait.picture(), &landmarks)?,
                    None => None,
                };
                let Some(latent) = latent else { return Ok(Err(Refusal::BadCandidate)) };
                // Another thread may have been first with the same numbers.
                let _ = candidate.identity.set((self.card.name, latent.clone()));
                latent
            }
        };
        let values = self.run(&crop, latent)?;
        let side = self.card.size_px as usize;
        let mut masks = Vec::new();
        if self.masks.hull {
            let points = target.mesh.points_px.iter().map(|&[x, y, _]| to_crop.apply(Point::new(x, y)));
            masks.push(paste::smoothed(&paste::hull(&points.collect::<Vec<_>>(), side)));
        }
        if let Some(parser) = &self.masks.region {
            masks.push(paste::smoothed(&region(parser.as_ref(), &picture(&values, side as u32))?));
        }
        if let Some(occluder) = &self.masks.occlusion {
            masks.push(paste::smoothed(&occlusion(occluder.as_ref(), &crop)?));
        }
        let crop = Crop { size_px: self.card.size_px, values: &values };
        let swap = paste::paste(target.photo, &crop, &to_crop, self.card.paste, &masks, self.match_colour);
        Ok(swap.ok_or(Refusal::CutOff { share: 0.0 }))
    }
}

impl Swapper for Neural {
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal> {
        Ok(Box::new(move |candidate: &Material| {
            self.swapped(&target, candidate).unwrap_or_else(|error| {
                tracing::error!("{error}");
                Err(Refusal::EngineFailed)
            })
        }))
    }
}

/// `[1, 3, H, W]` of `(value / 255 − mean) / std`, red first.
fn tensor(picture: &RgbImage, scaling: Scaling) -> Tensor {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let mut data = Vec::with_capacity(3 * width * height);
    for (channel, (mean, std)) in scaling.mean.into_iter().zip(scaling.std).enumerate() {
        data.extend(picture.pixels().map(|p| (f32::from(p.0[channel]) / 255.0 - mean) / std));
    }
    Tensor::new(vec![1, 3, height, width], data)
}

/// The picture of values in 0 to 1, rounded.
fn picture(values: &[f32], side: u32) -> RgbImage {
    let plane = (side * side) as usize;
    RgbImage::from_fn(side, side, |x, y| {
        let at = (y * side + x) as usize;
        image::Rgb(std::array::from_fn(|k| (values.get(k * plane + at).copied().unwrap_or(0.0) * 255.0).round() as u8))
    })
}

/// Every n-th pixel, so that `side` are left: PyTorch's nearest neighbour.
fn every_nth(picture: &RgbImage, side: u32) -> RgbImage {
    if picture.width() == side {
        return picture.clone();
    }
    RgbImage::from_fn(side, side, |x, y| *picture.get_pixel(x * picture.width() / side, y * picture.height() / side))
}

/// The values of the first output, which must be `length` finite ones.
fn one_of(model: &str, outputs: Vec<Tensor>, length: usize) -> Result<Vec<f32>> {
    let first = outputs.into_iter().next().ok_or_else(|| Error::model(model, "gave nothing"))?;
    if first.data().len() != length {
        let (got, want) = (first.shape().to_vec(), vec![length]);
        return Err(Error::Shape { model: model.to_owned(), what: "output".to_owned(), got, want });
    }
    match first.data().iter().all(|v| v.is_finite()) {
        true => Ok(first.into_data()),
        false => Err(Error::model(model, "gave values that are not finite")),
    }
}

/// Scaled to norm 1; zeros stay zeros.
fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    values.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    values
}

/// A row times a square matrix given row by row.
fn times(row: &[f32], matrix: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; row.len()];
    for (value, line) in row.iter().zip(matrix.chunks_exact(row.len().max(1))) {
        out.iter_mut().zip(line).for_each(|(o, m)| *o += value * m);
    }
    out
}

/// 1 where the parser sees face, in a plane of the crop's size.
fn region(parser: &dyn Model, crop: &RgbImage) -> Result<Plane> {
    let side = crop.width() as usize;
    let large = imageops::resize(crop, REGION_PX, REGION_PX, imageops::FilterType::Triangle);
    let plane = (REGION_PX * REGION_PX) as usize;
    let scores = parser.run(&[tensor(&large, IMAGENET)])?.into_iter().next();
    let scores = one_of("bisenet", scores.into_iter().collect(), CLASSES * plane)?;
    let class = |at: usize| {
        let score = |class: &usize| scores.get(class * plane + at).copied().unwrap_or(f32::MIN);
        (0..CLASSES).max_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a))).unwrap_or(0)
    };
    Ok(resized(|x, y| f32::from(u8::from(FACE_CLASSES.contains(&class(y * REGION_PX as usize + x)))), REGION_PX, side))
}

/// 1 where nothing stands before the face, in a plane of the crop's size.
fn occlusion(occluder: &dyn Model, crop: &RgbImage) -> Result<Plane> {
    let side = crop.width() as usize;
    let small = imageops::resize(crop, OCCLUSION_PX, OCCLUSION_PX, imageops::FilterType::Triangle);
    // Rows of pixels, blue first, 0 to 1.
    let data = small.pixels().flat_map(|p| [p.0[2], p.0[1], p.0[0]]).map(|v| f32::from(v) / 255.0).collect();
    let length = OCCLUSION_PX as usize;
    let outputs = occluder.run(&[Tensor::new(vec![1, length, length, 3], data)])?;
    let values = one_of("xseg", outputs, length * length)?;
    let at = |x: usize, y: usize| values.get(y * length + x).copied().unwrap_or(0.0).clamp(0.0, 1.0);
    Ok(resized(at, OCCLUSION_PX, side))
}

/// Values of a square of `from_px`, sampled at the pixels of a square of `side`.
fn resized(at: impl Fn(usize, usize) -> f32, from_px: u32, side: usize) -> Plane {
    let last = f64::from(from_px) - 1.0;
    let source = |i: usize| ((i as f64 + 0.5) * f64::from(from_px) / side as f64 - 0.5).clamp(0.0, last);
    let mut values = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let (sx, sy) = (source(x), source(y));
            let (left, top) = (sx as usize, sy as usize);
            let (right, bottom) = ((left + 1).min(last as usize), (top + 1).min(last as usize));
            let (fx, fy) = (sx.fract() as f32, sy.fract() as f32);
            let row = |y: usize| at(left, y) * (1.0 - fx) + at(right, y) * fx;
            values.push(row(top) * (1.0 - fy) + row(bottom) * fy);
        }
    }
    Plane::from_values(side, side, values)
}

#[cfg(test)]
mod tests;
