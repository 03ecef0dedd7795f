//! What of a swap depends on the target alone: worked out once, then bent to each candidate's shape.

use super::colour::Monochrome;
use super::frames::Frames;
use super::occlusion::{Front, Skin};
use super::patch::Patch;
use super::pose::{Point3, Pose};
use super::raster::{self, Raster, Texel};
use super::topology::{RADIUS, WIDE_TRIANGLES};
use super::{WarpOptions, field, frontal, frontal_wide};
use crate::bilinear::Corners;
use crate::lab::{LabImage, from_srgb};
use crate::mesh::Mesh;
use crate::swap::{Refusal, Target};

/// A target as every candidate needs it.
pub struct Base<'a> {
    /// Its mesh, in photo pixels.
    pub mesh: &'a Mesh,
    /// How the head is turned.
    pub pose: Pose,
    /// The mesh in the frontal frame.
    pub frontal: Vec<Point3>,
    /// What may change.
    pub patch: Patch,
    /// The mesh with its rings, in working pixels.
    pub wide: Vec<Point3>,
    /// Lips apart in mouth widths, lids apart in eye widths.
    pub mouth_opening: f32,
    pub eye_openings: [f32; 2],
    /// The one hue of the face, if it has one only.
    pub monochrome: Option<Monochrome>,
    /// Other glasses, if there are some to exchange.
    pub frames: Option<Frames>,
    /// L\*, a\*, b\*, how likely it is skin, the share to be kept in front of the new face, and the same if the glasses are
    /// exchanged, of each pixel of the patch.
    layers: Vec<[f32; 6]>,
}

impl<'a> Base<'a> {
    /// # Errors
    /// [`Refusal::Covered`] if too much of the face is covered, or no skin is seen.
    pub fn of(target: Target<'a>, pose: Pose, options: &WarpOptions) -> Result<Self, Refusal> {
        let points = &target.mesh.points_px;
        let wide = field::widened(points, &pose);
        let patch = Patch::cut(&target, &wide, &pose, options.work_face_px);
        let wide: Vec<Point3> = wide.into_iter().map(|p| patch.to_work(p)).collect();
        let raster = undisturbed(&patch, &wide);
        let pixels = patch.work.pixels().map(|pixel| from_srgb(pixel.0.map(f32::from))).collect();
        let image = LabImage { width: raster.width, height: raster.height, pixels };
        let (view, _) = frontal::view(&patch.work, &wide);
        let skin = Skin::of(&image, &raster, patch.face_px).ok_or(Refusal::Covered { share: 1.0 })?;
        let front = Front::of(&image, &skin, &view, &raster, patch.face_px);
        let Front { keep, glasses } = front.map_err(|share| Refusal::Covered { share })?;
        let bare = glasses.as_ref().map_or(&keep, |glasses| &glasses.beside);
        let layers = image.pixels.iter().zip(skin.likelihood.values()).zip(keep.values()).zip(bare.values());
        let layers = layers.map(|(((&[l, a, b], &skin), &keep), &bare)| [l, a, b, skin, keep, bare]).collect();
        let frontal: Vec<Point3> = points.iter().map(|&p| pose.undo(p)).collect();
        Ok(Self {
            mesh: target.mesh,
            frames: glasses.as_ref().and_then(|glasses| Frames::instead_of(&glasses.evidence, &wide)),
            mouth_opening: field::mouth_opening(&frontal),
            eye_openings: field::eye_openings(&frontal),
            monochrome: Monochrome::of(&image, |i| raster.part(i).is_some()),
            pose,
            frontal,
            patch,
            wide,
            layers,
        })
    }

    /// The layers at a place between pixel centres of the patch; the border goes on outside.
    #[inline]
    pub fn at(&self, place: [f32; 2]) -> [f32; 6] {
        let (width, height) = (self.patch.work.width() as usize, self.patch.work.height() as usize);
        Corners::of(place, width, height).mean_of(&self.layers)
    }
}

/// The target's mesh painted where it is.
fn undisturbed(patch: &Patch, wide: &[Point3]) -> Raster {
    let texels = wide.iter().zip(frontal_wide()).zip(RADIUS.iter()).map(|((p, frontal), &radius)| Texel {
        target_px: [p[0], p[1]],
        frontal,
        radius,
        ..Texel::default()
    });
    let size = (patch.work.width() as usize, patch.work.height() as usize);
    raster::paint(size, &WIDE_TRIANGLES, wide, &texels.collect::<Vec<_>>())
}
