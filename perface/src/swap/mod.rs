//! Replacing a face: the place where engines differ.
//!
//! A [`Swapper`] gets a face in a photo and the pictures of one candidate and returns a patch to be laid over the photo,
//! or a refusal that says why it would not look right. A patch is small, so many candidates can be tried and scored
//! before one is pasted.

pub mod neural;
pub mod tone;
pub mod warp;

use std::sync::OnceLock;

use image::{GrayImage, RgbImage};

use crate::detect::Face;
use crate::geometry::Rect;
use crate::mesh::Mesh;
use tone::SkinTone;

/// An engine that replaces faces.
pub trait Swapper: Send + Sync {
    /// Works out what depends on the target alone, once for all candidates.
    ///
    /// # Errors
    /// A [`Refusal`] if no candidate would be believed in this place.
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal>;

    /// One candidate in the usual manner.
    ///
    /// # Errors
    /// A [`Refusal`] where the result would not be believed.
    fn swap(&self, target: Target, candidate: &Material) -> Result<Swap, Refusal> {
        self.prepare(target)?.swap(candidate, Manner::Usual)
    }
}

/// A target made ready for many candidates.
pub trait Prepared {
    /// The target's face with the candidate's identity; pose, expression and light stay the target's.
    ///
    /// # Errors
    /// A [`Refusal`] where the result would not be believed.
    fn swap(&self, candidate: &Material, manner: Manner) -> Result<Swap, Refusal>;

    /// What else than the usual manner may be tried here if that does not hide, in this order.
    fn further(&self) -> &'static [Manner] {
        &[]
    }
}

/// Engines with nothing to prepare are a function of the candidate.
impl<F: Fn(&Material) -> Result<Swap, Refusal>> Prepared for F {
    fn swap(&self, candidate: &Material, _manner: Manner) -> Result<Swap, Refusal> {
        self(candidate)
    }
}

/// How far the new face may be from the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// The candidate's own shape.
    #[default]
    Usual,
    /// The candidate's shape exaggerated away from the target's: hides better, looks a little less natural.
    Farther,
    /// The candidate's own shape, and glasses are exchanged for others: they tell most of all who somebody is.
    OtherGlasses,
    /// The same with bold rims, which hide better.
    BoldGlasses,
}

impl Manner {
    /// Whether the shape is exaggerated.
    pub fn is_exaggerated(self) -> bool {
        self == Self::Farther
    }

    /// Whether glasses are exchanged.
    pub fn exchanges_glasses(self) -> bool {
        matches!(self, Self::OtherGlasses | Self::BoldGlasses)
    }
}

/// The face to be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The whole photo.
    pub photo: &'a RgbImage,
    /// The face's mesh in photo pixels.
    pub mesh: &'a Mesh,
    /// The face as detected.
    pub face: &'a Face,
}

/// A picture of a candidate and its mesh.
#[derive(Clone, Debug)]
pub struct Portrait {
    picture: RgbImage,
    mesh: Mesh,
    /// The skin alone, as the engine `warp` needs it; `None` inside if the picture shows none.
    skin: OnceLock<Option<warp::SkinLevels>>,
}

impl Portrait {
    /// From a picture and its mesh in that picture's pixels.
    pub fn new(picture: RgbImage, mesh: Mesh) -> Self {
        Self { picture, mesh, skin: OnceLock::new() }
    }

    /// The picture.
    pub fn picture(&self) -> &RgbImage {
        &self.picture
    }

    /// Its mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The picture with skin in the place of hair and background, worked out when it is first needed.
    pub(crate) fn skin(&self) -> Option<&warp::SkinLevels> {
        self.skin.get_or_init(|| warp::SkinLevels::of(&self.picture, &self.mesh)).as_ref()
    }
}

/// What an engine makes the new face from: a candidate's picture, and perhaps the same person smiling.
#[derive(Clone, Debug)]
pub struct Material {
    /// With a neutral face, or the only picture there is.
    pub neutral: Portrait,
    /// Smiling.
    pub twin: Option<Portrait>,
    /// Colour of the neutral picture's skin; `None` if none was found under the mesh.
    pub tone: Option<SkinTone>,
    /// What a network made of the person, and the engine it was made for: worked out once, by the first that needs it.
    pub identity: OnceLock<(&'static str, Vec<f32>)>,
}

impl Material {
    /// From a picture with its mesh, and the smiling twin with its own. The skin tone is measured here, once.
    pub fn new(picture: RgbImage, mesh: Mesh, twin: Option<(RgbImage, Mesh)>) -> Self {
        let tone = tone::skin_tone(&picture, &mesh);
        let twin = twin.map(|(picture, mesh)| Portrait::new(picture, mesh));
        Self { neutral: Portrait::new(picture, mesh), twin, tone, identity: OnceLock::new() }
    }
}

/// A new face, to be laid over the photo.
#[derive(Clone, Debug)]
pub struct Swap {
    /// The changed part of the photo.
    pub patch: RgbImage,
    /// Where the patch's top-left pixel lies in the photo.
    pub patch_origin: (u32, u32),
    /// As large as the patch: 0 where the photo is untouched, else how much of the new face is seen (at least 1).
    pub mask: GrayImage,
}

impl Swap {
    /// Lays the patch over `photo`; where the mask is 0, and outside the patch, no byte changes.
    pub fn paste(&self, photo: &mut RgbImage) {
        let (left, top) = self.patch_origin;
        for (x, y, mask) in self.mask.enumerate_pixels() {
            let (x_px, y_px) = (left.saturating_add(x), top.saturating_add(y));
            if mask.0[0] > 0 && x_px < photo.width() && y_px < photo.height() {
                photo.put_pixel(x_px, y_px, *self.patch.get_pixel(x, y));
            }
        }
    }

    /// The part of the photo the patch covers.
    pub fn rect(&self) -> Rect {
        let (left, top) = self.patch_origin;
        Rect::from_xywh(left as f32, top as f32, self.patch.width() as f32, self.patch.height() as f32)
    }
}

/// Why a face was not replaced.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The head is turned too far aside.
    #[error("the face is turned {:.0}° from the camera", off_axis_rad.to_degrees())]
    Profile {
        /// Between where the face looks and the camera's axis.
        off_axis_rad: f32,
    },
    /// The face is too small to be built.
    #[error("the face is only {face_px:.0} pixels wide")]
    TooSmall {
        /// Width of the face.
        face_px: f32,
    },
    /// The mesh is missing, broken, or says that there is no face.
    #[error("no face mesh")]
    NoMesh,
    /// Too much of the face lies outside the photo.
    #[error("only {:.0} % of the face is inside the photo", 100.0 * share)]
    CutOff {
        /// Share of the face inside the photo.
        share: f32,
    },
    /// Something covers too much of the face.
    #[error("{:.0} % of the face is covered", 100.0 * share)]
    Covered {
        /// Share of the face that would have to be kept.
        share: f32,
    },
    /// The engine's network failed; the log says how.
    #[error("the engine failed")]
    EngineFailed,
    /// The candidate's picture has no usable mesh.
    #[error("the candidate has no face mesh")]
    BadCandidate,
}

impl Refusal {
    /// Whether the target is at fault, so that no other candidate would do better.
    pub fn is_about_target(&self) -> bool {
        !matches!(self, Self::BadCandidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_changes_nothing_where_the_mask_is_zero() {
        let mut photo = RgbImage::from_pixel(4, 4, image::Rgb([9, 9, 9]));
        let mut mask = GrayImage::new(3, 3);
        mask.put_pixel(0, 0, image::Luma([1]));
        mask.put_pixel(2, 2, image::Luma([255]));
        let swap = Swap { patch: RgbImage::from_pixel(3, 3, image::Rgb([200; 3])), patch_origin: (2, 2), mask };
        swap.paste(&mut photo);
        let changed: Vec<_> = photo.enumerate_pixels().filter(|p| p.2.0[0] != 9).map(|p| (p.0, p.1)).collect();
        assert_eq!(changed, [(2, 2)]);
    }
}
