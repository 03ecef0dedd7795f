//! The built-in engine: the candidate's picture bent into the target's pose, expression and light.
//!
//! ```text
//! meshes ─▶ pose ─▶ field (where each point goes) ─▶ raster ─▶ both pictures at each pixel
//!        ─▶ occlusion (hair, beard, glasses stay) ─▶ colour, detail ─▶ blend ─▶ patch and mask
//! ```
//!
//! The target itself is bent by the same field, so that its hair and neck meet the new outline; beyond the last ring,
//! and outside the mask, no pixel changes. Faces wider than [`WarpOptions::work_face_px`] are worked on at that width; what is
//! finer then comes from the target's own skin. Everything is computed in photo axes, so any roll is as good as another.

pub(crate) mod colour;
mod detail;
pub(crate) mod field;
mod frontal;
pub(crate) mod glasses;
pub mod look;
pub(crate) mod occlusion;
pub(crate) mod pose;
pub(crate) mod raster;
pub mod topology;
#[rustfmt::skip]
mod topology_table;

use image::{GrayImage, RgbImage, imageops};

use super::{Material, Portrait, Refusal, Swap, Swapper, Target};
use crate::blend::{self, SeamOptions};
use crate::geometry::{Point, Rect};
use crate::lab::{LabImage, from_srgb, sample, to_srgb};
use crate::mesh::Mesh;
use crate::plane::Plane;
pub use colour::ColourOptions;
pub use field::FieldOptions;
use field::smoothstep;
use occlusion::{Front, Skin};
use pose::{Point3, Pose};
use raster::{Raster, Texel};
use topology::{MEAN_SHAPE, OVAL, POINTS, Part, RADIUS, RING_RADII, WIDE_TRIANGLES};

/// What the engine refuses, and how far it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct WarpOptions {
    /// Faces turned farther from the camera are refused, in radians.
    pub max_off_axis_rad: f32,
    /// Narrower faces are refused, in pixels.
    pub min_face_px: f32,
    /// Wider faces are worked on at this width, in pixels: what candidates' pictures hold.
    pub work_face_px: f32,
    /// Least share of the mesh that must lie inside the photo.
    pub min_inside: f32,
    /// Least presence of both meshes.
    pub min_presence: f32,
    /// How the shape follows the candidate.
    pub field: FieldOptions,
    /// How colour and light follow the target.
    pub colour: ColourOptions,
    /// Width of the mask's soft edge, as a share of the face's radius.
    pub feather: f32,
}

impl Default for WarpOptions {
    fn default() -> Self {
        Self {
            max_off_axis_rad: 0.65,
            min_face_px: 24.0,
            work_face_px: 320.0,
            min_inside: 0.9,
            min_presence: 0.5,
            field: FieldOptions::default(),
            colour: ColourOptions::default(),
            feather: 0.1,
        }
    }
}

/// Largest step in L\*a\*b\* the seam correction may take.
const MAX_SEAM_STEP: f32 = 14.0;
/// How far from the mask's edge its colour is felt, in face widths.
const SEAM_REACH: f32 = 0.08;
/// Where the mask ends, as a share of the oval's radius: on the forehead, at the temples and cheeks, along the jaw.
const EDGE: [f32; 3] = [1.26, 1.0, 1.02];
/// As far out the forehead's light is compared, as a share of the oval's radius.
const LIT_RADIUS: f32 = 1.2;
/// Where the forehead begins to take over the target's finer shading, and where it does so fully: heights in the
/// frontal frame.
const FOREHEAD: (f32, f32) = (-0.44, -0.56);
/// From this opening (in mouth widths) on, teeth and tongue are the target's.
const OPEN_MOUTH: f32 = 0.04;
/// Below this opening (in eye widths) an eye counts as closed and stays the target's.
const CLOSED_EYE: f32 = 0.12;

/// The built-in engine.
#[derive(Clone, Debug, Default)]
pub struct Warp {
    options: WarpOptions,
}

impl Warp {
    /// With other limits than the default.
    pub fn new(options: WarpOptions) -> Self {
        Self { options }
    }

    fn pose(&self, target: &Target) -> Result<Pose, Refusal> {
        let points = &target.mesh.points_px;
        let pose = usable(target.mesh, self.options.min_presence).then(|| Pose::of_mesh(points)).flatten();
        let pose = pose.ok_or(Refusal::NoMesh)?;
        if pose.scale() < self.options.min_face_px {
            return Err(Refusal::TooSmall { face_px: pose.scale() });
        }
        if pose.off_axis_rad() > self.options.max_off_axis_rad {
            return Err(Refusal::Profile { off_axis_rad: pose.off_axis_rad() });
        }
        let photo = Rect::from_xywh(0.0, 0.0, target.photo.width() as f32, target.photo.height() as f32);
        let inside = points.iter().filter(|p| p[0] >= 0.0 && p[1] >= 0.0 && p[0] < photo.right && p[1] < photo.bottom);
        let share = inside.count() as f32 / POINTS as f32;
        if share < self.options.min_inside {
            return Err(Refusal::CutOff { share });
        }
        Ok(pose)
    }
}

impl Swapper for Warp {
    fn swap(&self, target: &Target, candidate: &Material) -> Result<Swap, Refusal> {
        let pose = self.pose(target)?;
        let patch = Patch::cut(target, &pose, self.options.work_face_px);
        let shape = Shape::of(target.mesh, &pose, candidate, &self.options)?;
        let (work, mask, keep) = self.build(&patch, &shape)?;
        Ok(patch.finish(&work, &mask, &keep))
    }
}

/// Whether a mesh can be worked with.
fn usable(mesh: &Mesh, min_presence: f32) -> bool {
    mesh.points_px.len() == POINTS
        && mesh.presence >= min_presence
        && mesh.points_px.iter().flatten().all(|v| v.is_finite() && v.abs() < 1e6)
}

/// The part of the photo that may change, at the size it is worked on.
struct Patch {
    /// At photo resolution.
    original: RgbImage,
    origin: (u32, u32),
    /// At working resolution.
    work: RgbImage,
    /// Working pixels per photo pixel, along x and y.
    scale: [f32; 2],
    /// Width of the face in working pixels.
    face_px: f32,
}

impl Patch {
    fn cut(target: &Target, pose: &Pose, work_face_px: f32) -> Self {
        let wide = field::widened(&target.mesh.points_px, pose);
        let rect = Rect::around(wide.iter().map(|p| Point::new(p[0], p[1])));
        let rect = rect.unwrap_or(Rect::from_ltrb(0.0, 0.0, 1.0, 1.0));
        let bound = |v: f32, limit: u32| v.clamp(0.0, limit as f32) as u32;
        let (left, top) = (bound(rect.left - 1.0, target.photo.width()), bound(rect.top - 1.0, target.photo.height()));
        let right = bound(rect.right + 2.0, target.photo.width()).max(left + 1);
        let bottom = bound(rect.bottom + 2.0, target.photo.height()).max(top + 1);
        let original = imageops::crop_imm(target.photo, left, top, right - left, bottom - top).to_image();
        let wanted = (work_face_px / pose.scale()).min(1.0);
        let work = if wanted < 1.0 {
            let size = |length: u32| ((length as f32 * wanted).round() as u32).max(1);
            imageops::resize(&original, size(original.width()), size(original.height()), imageops::FilterType::Triangle)
        } else {
            original.clone()
        };
        let scale = [work.width() as f32 / original.width() as f32, work.height() as f32 / original.height() as f32];
        Self { face_px: pose.scale() * wanted, original, origin: (left, top), work, scale }
    }

    /// A point of the photo in working pixels; depth is scaled alike.
    fn to_work(&self, p: Point3) -> Point3 {
        let at = |v: f32, origin: u32, scale: f32| (v - origin as f32 + 0.5) * scale - 0.5;
        [at(p[0], self.origin.0, self.scale[0]), at(p[1], self.origin.1, self.scale[1]), p[2] * self.scale[0]]
    }

    /// The result at photo resolution. `keep` is the share of the target's own finest detail to be kept.
    fn finish(self, work: &RgbImage, mask: &Plane, keep: &Plane) -> Swap {
        let to_byte = |v: f32| (v * 255.0).round() as u8;
        let (width, height) = self.original.dimensions();
        let same_size = self.work.dimensions() == (width, height);
        let mut gray = GrayImage::new(width, height);
        let mut patch = self.original.clone();
        for (x, y, pixel) in patch.enumerate_pixels_mut() {
            let at = [(x as f32 + 0.5) * self.scale[0] - 0.5, (y as f32 + 0.5) * self.scale[1] - 0.5];
            let value = if same_size { mask.values()[(y * width + x) as usize] } else { mask.sample(at) };
            if value <= 0.0 {
                continue;
            }
            gray.put_pixel(x, y, image::Luma([to_byte(value.min(1.0)).max(1)]));
            if same_size {
                *pixel = *work.get_pixel(x, y);
            } else {
                let (new, old) = (sample(work, at[0], at[1]), sample(&self.work, at[0], at[1]));
                let keep = keep.sample(at);
                for k in 0..3 {
                    let fine = f32::from(pixel.0[k]) - old[k];
                    pixel.0[k] = (new[k] + keep * fine).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
        Swap { patch, patch_origin: self.origin, mask: gray }
    }
}

/// The three widened meshes of one swap.
struct Shape<'a> {
    /// Target and destination, in photo pixels.
    target: Vec<Point3>,
    destination: Vec<Point3>,
    /// The candidate's picture that fits the expression better, and its mesh in that picture's pixels.
    portrait: &'a Portrait,
    candidate: Vec<Point3>,
    /// Candidate pixels per photo pixel.
    candidate_scale: f32,
    /// Of the target: lips apart in mouth widths, lids apart in eye widths.
    mouth_opening: f32,
    eye_openings: [f32; 2],
}

impl<'a> Shape<'a> {
    fn of(mesh: &Mesh, pose: &Pose, material: &'a Material, options: &WarpOptions) -> Result<Self, Refusal> {
        let points = &mesh.points_px;
        let frontal = |points: &[Point3]| -> Vec<Point3> { points.iter().map(|&p| pose.undo(p)).collect() };
        let target = frontal(points);
        // The candidate's points laid over the target, in the target's frontal frame.
        let posed = |portrait: &Portrait| {
            let own = portrait.mesh();
            let fit = usable(own, 0.0).then(|| Pose::fit(&own.points_px, points)).flatten()?;
            Some(frontal(&own.points_px.iter().map(|&p| fit.apply(p)).collect::<Vec<_>>()))
        };
        let neutral = posed(&material.neutral).ok_or(Refusal::BadCandidate)?;
        let twin = material.twin.as_ref().and_then(|twin| Some((twin, posed(twin)?)));
        let (portrait, candidate) = match twin {
            Some((twin, smiling)) => {
                let (shape, share) = field::matching_expression(&target, &neutral, &smiling);
                (if share > 0.5 { twin } else { &material.neutral }, shape)
            }
            None => (&material.neutral, neutral),
        };
        let destination = field::destination(&target, &candidate, pose, &options.field);
        let own_pose = Pose::of_mesh(&portrait.mesh().points_px).ok_or(Refusal::BadCandidate)?;
        Ok(Self {
            target: field::widened(points, pose),
            destination: destination.iter().map(|&p| pose.apply(p)).collect(),
            candidate: field::widened(&portrait.mesh().points_px, &own_pose),
            portrait,
            candidate_scale: pose.scale() / own_pose.scale(),
            mouth_opening: field::mouth_opening(&target),
            eye_openings: field::eye_openings(&target),
        })
    }
}

impl Warp {
    /// The new patch at working size, its mask, and where the target's finest detail may stay.
    fn build(&self, patch: &Patch, shape: &Shape) -> Result<(RgbImage, Plane, Plane), Refusal> {
        let (level, halvings) = shape.portrait.level_for(shape.candidate_scale * patch.scale[0]);
        let raster = rastered(patch, shape, halvings);
        let parts: Vec<Option<Part>> = raster.pixels.iter().map(|p| p.map(|p| p.0)).collect();
        let target = seen(&raster, &patch.work, |texel| texel.target_px);
        let mut candidate = seen(&raster, level, |texel| texel.candidate_px);
        let face_px = patch.face_px;

        let places: Vec<Point3> = shape.target.iter().map(|&p| patch.to_work(p)).collect();
        let (view, _) = frontal::view(&patch.work, &places);
        let target_skin = Skin::of(&target, &raster, face_px).ok_or(Refusal::Covered { share: 1.0 })?;
        let front = Front::of(&target, &target_skin, &view, &raster, face_px);
        let front = front.map_err(|share| Refusal::Covered { share })?;
        let candidate_skin = Skin::of(&candidate, &raster, face_px).ok_or(Refusal::BadCandidate)?;
        let valid = valid_skin(&candidate_skin, &raster, face_px);
        let source = masked(&valid, &raster, |part, texel| {
            part == Part::Skin && texel.radius < 0.97 && texel.frontal[0].abs() < 0.44
        });
        colour::fill(&mut candidate, &valid, &source, face_px);

        // Where the light is compared: inside the face shade and redness are light and skin; only where hair may hang
        // must a pixel look like skin.
        let clear = target_skin.likelihood.zip(&front.keep, |skin, keep| skin * (1.0 - keep));
        let skin = masked_by(&raster, |i, part, texel| match part {
            Part::Skin if texel.radius < 1.0 => {
                let doubt = occlusion::hair_zone(texel.frontal, texel.radius);
                (1.0 - doubt * (1.0 - clear.values()[i])) * (1.0 - front.keep.values()[i])
            }
            Part::Outside if texel.radius < LIT_RADIUS && texel.frontal[1] < -0.3 => clear.values()[i],
            _ => 0.0,
        });

        colour::match_light(&mut candidate, &target, &skin, face_px, &self.options.colour);
        let edge = masked_by(&raster, |_, part, texel| {
            let [_, y] = texel.frontal;
            let forehead = 0.8 * smoothstep(FOREHEAD.0, FOREHEAD.1, y);
            let share = smoothstep(0.86, 0.98, texel.radius).max(forehead);
            if matches!(part, Part::Skin | Part::Outside) { share } else { 0.0 }
        });
        colour::match_edge(&mut candidate, &target, &skin, &edge, face_px);
        colour::match_lips(&mut candidate, &target, &parts, &self.options.colour);
        colour::match_eyes(&mut candidate, &target, &parts);
        detail::match_detail(&mut candidate, &target, &skin, &parts);

        let whole = self.alpha(&raster, shape, face_px);
        let alpha = whole.zip(&front.keep, |a, keep| a * (1.0 - keep));
        let seam = SeamOptions {
            block_px: ((face_px / 48.0) as usize).max(1),
            reach_px: SEAM_REACH * face_px,
            max_step: MAX_SEAM_STEP,
        };
        // Pixels that are part hair must not give their colour to the skin beside them.
        let trust = clear.blurred(0.01 * face_px).map(|v| smoothstep(0.75, 0.97, v));
        blend::without_seam(&mut candidate, &target, &whole, &trust, &seam);
        colour::match_monochrome(&mut candidate, &target, &masked(&ones(&raster), &raster, |_, _| true));
        let mixed = blend::mixed(&candidate, &target, &alpha);
        let (work, mask) = painted(patch, &raster, &mixed, &alpha);
        let both = clear.zip(&candidate_skin.likelihood, |t, c| t * c);
        let keep = alpha.zip(&masked(&both, &raster, |part, _| part == Part::Skin), |a, s| 1.0 - a * (1.0 - s));
        Ok((work, mask, keep))
    }

    /// How much of the candidate is seen at each pixel, before anything in front of the face is kept.
    fn alpha(&self, raster: &Raster, shape: &Shape, face_px: f32) -> Plane {
        let feather = self.options.feather;
        let inside = raster.pixels.iter().map(|pixel| {
            let Some((part, texel)) = pixel else { return 0.0 };
            let hole = match part {
                Part::Mouth => shape.mouth_opening > OPEN_MOUTH,
                Part::Eye => shape.eye_openings[usize::from(texel.frontal[0] > 0.0)] < CLOSED_EYE,
                _ => false,
            };
            let edge = edge_radius(texel.frontal);
            if hole { 0.0 } else { smoothstep(edge, edge - feather, texel.radius) }
        });
        Plane::from_values(raster.width, raster.height, inside.collect()).blurred(0.008 * face_px)
    }
}

/// Where the mask ends in the direction of a point of the mean frontal face.
fn edge_radius([x, y]: [f32; 2]) -> f32 {
    let length = x.hypot(y).max(1e-6);
    let (up, down) = (smoothstep(0.45, 0.85, -y / length), smoothstep(0.2, 0.7, y / length));
    EDGE[1] + up * (EDGE[0] - EDGE[1]) + down * (EDGE[2] - EDGE[1])
}

/// Paints the destination mesh, each point knowing its place in both pictures.
fn rastered(patch: &Patch, shape: &Shape, halvings: u32) -> Raster {
    let shrink = 1.0 / f32::from(2u16.saturating_pow(halvings));
    let places: Vec<Point3> = shape.destination.iter().map(|&p| patch.to_work(p)).collect();
    let frontal_wide = MEAN_SHAPE
        .iter()
        .map(|p| [p[0], p[1]])
        .chain(RING_RADII.iter().flat_map(|r| OVAL.iter().map(move |&i| [MEAN_SHAPE[i][0] * r, MEAN_SHAPE[i][1] * r])));
    let texels: Vec<Texel> = shape
        .target
        .iter()
        .zip(&shape.candidate)
        .zip(frontal_wide)
        .zip(RADIUS.iter())
        .map(|(((&target, candidate), frontal), &radius)| {
            let [x, y, _] = patch.to_work(target);
            let candidate_px = [0, 1].map(|k| (candidate[k] + 0.5) * shrink - 0.5);
            Texel { target_px: [x, y], candidate_px, frontal, radius }
        })
        .collect();
    let size = (patch.work.width() as usize, patch.work.height() as usize);
    raster::paint(size, &WIDE_TRIANGLES, &places, &texels)
}

/// The picture as each pixel of the raster sees it; black where it sees nothing.
pub(crate) fn seen(raster: &Raster, picture: &RgbImage, place: impl Fn(&Texel) -> [f32; 2]) -> LabImage {
    let pixels = raster.pixels.iter().map(|pixel| match pixel {
        Some((_, texel)) => {
            let [x, y] = place(texel);
            from_srgb(sample(picture, x, y))
        }
        None => [0.0; 3],
    });
    LabImage { width: raster.width, height: raster.height, pixels: pixels.collect() }
}

fn ones(raster: &Raster) -> Plane {
    Plane::filled(raster.width, raster.height, 1.0)
}

/// Where the candidate's own pixels may be shown, in `[0, 1]`: not its hair and what is behind it, no fringe on the
/// forehead, and not its outline, which is seen at too flat an angle.
fn valid_skin(skin: &Skin, raster: &Raster, face_px: f32) -> Plane {
    let valid = masked_by(raster, |i, _, texel| {
        let [x, y] = texel.frontal;
        let lighter = skin.lighter.values()[i];
        let between_brows = smoothstep(0.1, 0.07, x.abs()) * smoothstep(-0.32, -0.36, y);
        let upper = smoothstep(-0.4, -0.43, y).max(between_brows);
        let even = smoothstep(9.0, 5.0, -lighter).min(smoothstep(16.0, 11.0, lighter));
        let zone = occlusion::hair_zone(texel.frontal, texel.radius);
        let alike = smoothstep(0.5, 0.95, skin.likelihood.values()[i]);
        let outline =
            smoothstep(1.02, 0.95, texel.radius).max(smoothstep(-0.4, -0.43, y)) * smoothstep(0.485, 0.445, x.abs());
        (1.0 - zone * (1.0 - alike)) * (1.0 - upper * (1.0 - even)) * outline
    });
    // Pixels beside hair are part hair.
    valid.blurred(0.015 * face_px).map(|v| smoothstep(0.8, 0.99, v))
}

/// A plane of `value` where the raster shows the face, 0 elsewhere.
fn masked_by(raster: &Raster, value: impl Fn(usize, Part, &Texel) -> f32) -> Plane {
    let values = raster.pixels.iter().enumerate().map(|(i, pixel)| match pixel {
        Some((part, texel)) => value(i, *part, texel),
        None => 0.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// `plane` where the raster shows what `wanted` accepts, 0 elsewhere.
fn masked(plane: &Plane, raster: &Raster, wanted: impl Fn(Part, &Texel) -> bool) -> Plane {
    let values = plane.values().iter().zip(&raster.pixels).map(|(&v, pixel)| match pixel {
        Some((part, texel)) if wanted(*part, texel) => v,
        _ => 0.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// The mixed picture in bytes, and the mask: positive wherever a byte may have changed.
fn painted(patch: &Patch, raster: &Raster, mixed: &LabImage, alpha: &Plane) -> (RgbImage, Plane) {
    const UNMOVED_PX: f32 = 0.02;
    const LEAST_MASK: f32 = 1.0 / 255.0;
    let mut work = patch.work.clone();
    let mut mask = Plane::filled(raster.width, raster.height, 0.0);
    for (i, (pixel, out)) in raster.pixels.iter().zip(work.pixels_mut()).enumerate() {
        let Some((_, texel)) = pixel else { continue };
        let (x, y) = ((i % raster.width) as f32, (i / raster.width) as f32);
        let moved = (texel.target_px[0] - x).hypot(texel.target_px[1] - y) > UNMOVED_PX;
        if moved || alpha.values()[i] > 0.0 {
            mask.values_mut()[i] = alpha.values()[i].max(LEAST_MASK);
            out.0 = to_srgb(mixed.pixels[i]).map(|v| v.round() as u8);
        }
    }
    (work, mask)
}
