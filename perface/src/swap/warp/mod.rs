//! The built-in engine: the candidate's picture bent into the target's pose, expression and light.
//!
//! ```text
//! once for a target    ─▶ base: pose, patch, occlusion (hair, beard, glasses stay)
//! once for a candidate ─▶ donor: its skin alone
//! for both together    ─▶ field (where each point goes) ─▶ raster ─▶ both pictures at each pixel
//!                      ─▶ colour, detail ─▶ blend ─▶ patch and mask
//! ```
//!
//! The target itself is bent by the same field, so that its hair and neck meet the new outline; beyond the last ring,
//! and outside the mask, no pixel changes. Faces wider than [`WarpOptions::work_face_px`] are worked on at that width; what is
//! finer then comes from the target's own skin. Everything is computed in photo axes, so any roll is as good as another.

mod base;
pub(crate) mod colour;
mod detail;
mod donor;
pub(crate) mod field;
mod frames;
mod frontal;
pub(crate) mod glasses;
pub mod look;
pub(crate) mod occlusion;
mod patch;
pub(crate) mod pose;
pub(crate) mod raster;
pub mod topology;
#[rustfmt::skip]
mod topology_table;

use image::{RgbImage, RgbaImage};

use super::{Manner, Material, Portrait, Prepared, Refusal, Swap, Swapper, Target};
use crate::bilinear::Corners;
use crate::blend::{self, SeamOptions};
use crate::geometry::Rect;
use crate::lab::{LabImage, from_srgb, sample, to_srgb};
use crate::mesh::Mesh;
use crate::plane::Plane;
use base::Base;
pub use colour::ColourOptions;
pub use donor::SkinLevels;
pub use field::FieldOptions;
use field::smoothstep;
use pose::{Point3, Pose};
use raster::{Raster, Texel};
use topology::{MEAN_SHAPE, OVAL, POINTS, Part, RADIUS, RING_RADII, WIDE_TRIANGLES};

/// What the engine refuses, and how far it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct WarpOptions {
    /// Faces turned farther from the camera in any direction are refused, in radians.
    pub max_off_axis_rad: f32,
    /// So are faces turned farther to a side, where the cheek that is turned away ends in a line, in radians.
    pub max_yaw_rad: f32,
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
            max_yaw_rad: 0.524,
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
/// The new face reaches nowhere farther than this, as a share of the oval's radius.
const SEEN_RADIUS: f32 = 1.3;
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
        let yaw_rad = pose.yaw_rad().abs();
        if yaw_rad > self.options.max_yaw_rad {
            return Err(Refusal::Profile { off_axis_rad: yaw_rad });
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
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal> {
        let pose = self.pose(&target)?;
        Ok(Box::new(Ready { base: Base::of(target, pose, &self.options)?, options: &self.options }))
    }
}

/// A target made ready.
struct Ready<'a> {
    base: Base<'a>,
    options: &'a WarpOptions,
}

impl Prepared for Ready<'_> {
    fn further(&self) -> &'static [Manner] {
        match self.base.frames {
            Some(_) => &[Manner::OtherGlasses, Manner::BoldGlasses],
            None => &[Manner::Farther],
        }
    }

    fn swap(&self, candidate: &Material, manner: Manner) -> Result<Swap, Refusal> {
        let usual = &self.options.field;
        let field = if manner.is_exaggerated() { usual.farther() } else { usual.clone() };
        let shape = Shape::of(&self.base, candidate, &field)?;
        let (work, mask, keep) = self.build(&shape, manner);
        Ok(self.base.patch.finish(&work, &mask, &keep))
    }
}

/// Whether a mesh can be worked with.
fn usable(mesh: &Mesh, min_presence: f32) -> bool {
    mesh.points_px.len() == POINTS
        && mesh.presence >= min_presence
        && mesh.points_px.iter().flatten().all(|v| v.is_finite() && v.abs() < 1e6)
}

/// The widened meshes of one swap beside the target's.
struct Shape<'a> {
    /// Where the target's points go, in photo pixels.
    destination: Vec<Point3>,
    /// The candidate's picture that fits the expression better, and its mesh in that picture's pixels.
    skin: &'a SkinLevels,
    candidate: Vec<Point3>,
    /// Candidate pixels per photo pixel.
    candidate_scale: f32,
}

impl<'a> Shape<'a> {
    fn of(base: &Base, material: &'a Material, options: &FieldOptions) -> Result<Self, Refusal> {
        let (points, pose, target) = (&base.mesh.points_px, &base.pose, &base.frontal);
        let frontal = |points: &[Point3]| -> Vec<Point3> { points.iter().map(|&p| pose.undo(p)).collect() };
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
                let (shape, share) = field::matching_expression(target, &neutral, &smiling);
                (if share > 0.5 { twin } else { &material.neutral }, shape)
            }
            None => (&material.neutral, neutral),
        };
        let destination = field::destination(target, &candidate, pose, options);
        let own_pose = Pose::of_mesh(&portrait.mesh().points_px).ok_or(Refusal::BadCandidate)?;
        Ok(Self {
            skin: portrait.skin().ok_or(Refusal::BadCandidate)?,
            destination: destination.iter().map(|&p| pose.apply(p)).collect(),
            candidate: field::widened(&portrait.mesh().points_px, &own_pose),
            candidate_scale: pose.scale() / own_pose.scale(),
        })
    }
}

impl Ready<'_> {
    /// The new patch at working size, its mask, and where the target's finest detail may stay.
    fn build(&self, shape: &Shape, manner: Manner) -> (RgbImage, Plane, Plane) {
        let (base, face_px) = (&self.base, self.base.patch.face_px);
        let (level, halvings) = shape.skin.level_for(shape.candidate_scale * base.patch.scale[0]);
        let raster = rastered(base, shape, halvings);
        let Layers { target, mut candidate, keep, clear, both, skin, edge, inside } =
            self.layers(&raster, level, manner);

        colour::match_light(&mut candidate, &target, &skin, face_px, &self.options.colour);
        colour::match_edge(&mut candidate, &target, &skin, &edge, face_px);
        colour::match_lips(&mut candidate, &target, &raster, &self.options.colour);
        colour::match_eyes(&mut candidate, &target, &raster);
        detail::match_detail(&mut candidate, &target, &skin, &raster);

        // How much of the candidate is seen, before anything in front of the face is kept.
        let whole = inside.blurred(0.008 * face_px);
        let alpha = whole.zip(&keep, |a, keep| a * (1.0 - keep));
        let seam = SeamOptions {
            block_px: ((face_px / 48.0) as usize).max(1),
            reach_px: SEAM_REACH * face_px,
            max_step: MAX_SEAM_STEP,
        };
        // Pixels that are part hair must not give their colour to the skin beside them.
        let trust = clear.blurred(0.01 * face_px).map(|v| smoothstep(0.75, 0.97, v));
        blend::without_seam(&mut candidate, &target, &whole, &trust, &seam);
        if let Some(tone) = &base.monochrome {
            tone.apply(&mut candidate);
        }
        let mut mixed = blend::mixed(&candidate, &target, &alpha);
        let (mut alpha, mut both) = (alpha, both);
        if let Some(frames) = base.frames.as_ref().filter(|_| manner.exchanges_glasses()) {
            let drawn = frames.draw(&mut mixed, &keep, &raster, manner == Manner::BoldGlasses);
            alpha = alpha.zip(&drawn, f32::max);
            both = both.zip(&drawn, |s, drawn| s * (1.0 - drawn));
        }
        let (work, mask) = painted(&base.patch.work, &raster, &mixed, &alpha);
        (work, mask, alpha.zip(&both, |a, s| 1.0 - a * (1.0 - s)))
    }

    /// What is known of each pixel.
    fn layers(&self, raster: &Raster, level: &RgbaImage, manner: Manner) -> Layers {
        let base = &self.base;
        let plane = || Plane::filled(raster.width, raster.height, 0.0);
        let image = || LabImage {
            width: raster.width,
            height: raster.height,
            pixels: vec![[0.0; 3]; raster.width * raster.height],
        };
        let (mut target, mut candidate) = (image(), image());
        let [mut keep, mut clear, mut both, mut skin, mut edge, mut inside] = std::array::from_fn(|_| plane());
        for (i, pixel) in raster.pixels.iter().enumerate() {
            let Some((part, texel)) = pixel else { continue };
            let [l, a, b, likely, kept, bare] = base.at(texel.target_px);
            // Glasses that are exchanged still tell nothing of the skin's light.
            let shown = if manner.exchanges_glasses() { bare } else { kept };
            target.pixels[i] = [l, a, b];
            if texel.radius > SEEN_RADIUS {
                // Only the target is moved here.
                keep.values_mut()[i] = shown;
                clear.values_mut()[i] = likely * (1.0 - kept);
                continue;
            }
            let [r, g, b, own] = sample_rgba(level, texel.candidate_px);
            candidate.pixels[i] = from_srgb([r, g, b]);
            let free = likely * (1.0 - kept);
            (keep.values_mut()[i], clear.values_mut()[i]) = (shown, free);
            let [_, y] = texel.frontal;
            // Where the light is compared: inside the face shade and redness are light and skin; only where hair may
            // hang must a pixel look like skin.
            skin.values_mut()[i] = match part {
                Part::Skin if texel.radius < 1.0 => {
                    let doubt = occlusion::hair_zone(texel.frontal, texel.radius);
                    (1.0 - doubt * (1.0 - free)) * (1.0 - kept)
                }
                Part::Outside if texel.radius < LIT_RADIUS && y < -0.3 => free,
                _ => 0.0,
            };
            if matches!(part, Part::Skin | Part::Outside) {
                let forehead = 0.8 * smoothstep(FOREHEAD.0, FOREHEAD.1, y);
                edge.values_mut()[i] = smoothstep(0.86, 0.98, texel.radius).max(forehead);
            }
            if *part == Part::Skin {
                both.values_mut()[i] = free * own / 255.0;
            }
            let hole = match part {
                Part::Mouth => base.mouth_opening > OPEN_MOUTH,
                Part::Eye => base.eye_openings[usize::from(texel.frontal[0] > 0.0)] < CLOSED_EYE,
                _ => false,
            };
            if !hole {
                let end = edge_radius(texel.frontal);
                inside.values_mut()[i] = smoothstep(end, end - self.options.feather, texel.radius);
            }
        }
        Layers { target, candidate, keep, clear, both, skin, edge, inside }
    }
}

/// What is known of each pixel of a raster.
struct Layers {
    target: LabImage,
    /// Black beyond [`SEEN_RADIUS`].
    candidate: LabImage,
    /// Share of the target to be kept in front.
    keep: Plane,
    /// Where the target shows skin and nothing before it.
    clear: Plane,
    /// Where both show skin inside the face.
    both: Plane,
    /// Where the light is compared.
    skin: Plane,
    /// How far the target's finer shading is taken over.
    edge: Plane,
    /// Where the new face is.
    inside: Plane,
}

/// The colour and alpha of `picture` between pixel centres; the border goes on outside.
#[inline]
fn sample_rgba(picture: &RgbaImage, place: [f32; 2]) -> [f32; 4] {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Corners::of(place, width, height).mean_of_bytes(picture.as_raw().as_chunks::<4>().0)
}

/// Where the mask ends in the direction of a point of the mean frontal face.
#[inline]
fn edge_radius([x, y]: [f32; 2]) -> f32 {
    let length = (x * x + y * y).sqrt().max(1e-6);
    let (up, down) = (smoothstep(0.45, 0.85, -y / length), smoothstep(0.2, 0.7, y / length));
    EDGE[1] + up * (EDGE[0] - EDGE[1]) + down * (EDGE[2] - EDGE[1])
}

/// Paints the destination mesh, each point knowing its place in both pictures.
fn rastered(base: &Base, shape: &Shape, halvings: u32) -> Raster {
    let shrink = 1.0 / f32::from(2u16.saturating_pow(halvings));
    let origin = shape.skin.origin();
    let places: Vec<Point3> = shape.destination.iter().map(|&p| base.patch.to_work(p)).collect();
    let texels: Vec<Texel> = base
        .wide
        .iter()
        .zip(&shape.candidate)
        .zip(frontal_wide())
        .zip(RADIUS.iter())
        .map(|(((&[x, y, _], candidate), frontal), &radius)| {
            let candidate_px = [0, 1].map(|k| (candidate[k] - origin[k] + 0.5) * shrink - 0.5);
            Texel { target_px: [x, y], candidate_px, frontal, radius }
        })
        .collect();
    let size = (base.patch.work.width() as usize, base.patch.work.height() as usize);
    raster::paint(size, &WIDE_TRIANGLES, &places, &texels)
}

/// The points of the widened mean shape, seen from the front.
fn frontal_wide() -> impl Iterator<Item = [f32; 2]> {
    let rings = RING_RADII.iter().flat_map(|r| OVAL.iter().map(move |&i| [MEAN_SHAPE[i][0] * r, MEAN_SHAPE[i][1] * r]));
    MEAN_SHAPE.iter().map(|p| [p[0], p[1]]).chain(rings)
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

/// A plane of `value` where the raster shows the face, 0 elsewhere.
fn masked_by(raster: &Raster, value: impl Fn(usize, Part, &Texel) -> f32) -> Plane {
    let values = raster.pixels.iter().enumerate().map(|(i, pixel)| match pixel {
        Some((part, texel)) => value(i, *part, texel),
        None => 0.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// The mixed picture in bytes, and the mask: positive wherever a byte may have changed.
fn painted(under: &RgbImage, raster: &Raster, mixed: &LabImage, alpha: &Plane) -> (RgbImage, Plane) {
    const UNMOVED_PX: f32 = 0.02;
    const LEAST_MASK: f32 = 1.0 / 255.0;
    let mut work = under.clone();
    let mut mask = Plane::filled(raster.width, raster.height, 0.0);
    for (i, (pixel, out)) in raster.pixels.iter().zip(work.pixels_mut()).enumerate() {
        let Some((_, texel)) = pixel else { continue };
        let (x, y) = ((i % raster.width) as f32, (i / raster.width) as f32);
        let (dx, dy) = (texel.target_px[0] - x, texel.target_px[1] - y);
        let moved = dx * dx + dy * dy > UNMOVED_PX * UNMOVED_PX;
        if moved || alpha.values()[i] > 0.0 {
            mask.values_mut()[i] = alpha.values()[i].max(LEAST_MASK);
            let [r, g, b] = to_srgb(mixed.pixels[i]);
            out.0 = [(r + 0.5) as u8, (g + 0.5) as u8, (b + 0.5) as u8];
        }
    }
    (work, mask)
}
