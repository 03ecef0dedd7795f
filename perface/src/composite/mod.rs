//! Portraits of people who do not exist, made from portraits of people who agreed.
//!
//! The meshes of a group of donors are brought into one frontal frame. A new face is a point in the space they span: the
//! mean shape plus a random, signed mixture of everyone's difference from it, so that it lies as far from the mean as
//! people do but near to none of them; the texture is an average of donors of one skin tone, weighted at random, pushed
//! away from the group's mean a little and given the fine structure of one donor. The same mixture of the smiling
//! pictures gives the smiling twin. Nothing here decides whether a face is hidden well enough: every proposal is shown
//! to the caller, who compares it with its contributors and takes it or not.

mod frame;
mod mixture;
mod shape;
mod texture;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::mesh::Mesh;
use crate::swap::tone::{SkinTone, skin_tone};
use frame::Frame;
use mixture::Mixture;
use shape::ShapeSpace;
use texture::TextureSource;

/// A person who agreed to be a contributor.
#[derive(Clone, Debug)]
pub struct Donor {
    /// Name in the contributors' list.
    pub id: String,
    /// With a neutral face.
    pub neutral: (RgbImage, Mesh),
    /// Smiling, if there is such a picture.
    pub smiling: Option<(RgbImage, Mesh)>,
}

/// How composites are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How many are wanted.
    pub count: usize,
    /// How many are proposed at most.
    pub max_proposals: usize,
    /// Same donors, options and seed: same composites.
    pub seed: u64,
    /// Side of the square picture in pixels; the face is half as wide.
    pub size_px: u32,
    /// Distance of a shape from the group's mean, where that of a donor is about 1.
    pub shape_spread: f32,
    /// The same for the part of the texture that is pushed away from the mean.
    pub texture_spread: f32,
    /// No donor's difference from the mean enters a shape with more than this weight.
    pub max_share: f32,
    /// Skin tones that are averaged lie about this near (CIE 1976 ΔE).
    pub tone_width: f32,
    /// Share of one donor's fine structure that is added to the average.
    pub detail: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            count: 12,
            max_proposals: 120,
            seed: 1,
            size_px: 384,
            shape_spread: 0.9,
            texture_spread: 0.45,
            max_share: 0.4,
            tone_width: 9.0,
            detail: 0.7,
        }
    }
}

/// A face nobody has.
#[derive(Clone, Debug)]
pub struct Composite {
    /// With a neutral face.
    pub picture: RgbImage,
    /// Its mesh, in the picture's pixels.
    pub mesh: Mesh,
    /// Smiling, with its mesh, where all donors smile.
    pub twin: Option<(RgbImage, Mesh)>,
    /// Ids of the donors in it, in the donors' order.
    pub contributors: Vec<String>,
    /// Colour of its skin.
    pub tone: Option<SkinTone>,
}

/// Fewest donors of a group.
pub const MIN_DONORS: usize = 4;

/// Proposes composites of `donors` until `accept` has taken [`Options::count`] of them or proposals run out.
///
/// `accept` sees each proposal once, in an order fixed by the seed. The donors should be one group by apparent gender and
/// age, with bare faces. Fewer than `count` are returned if proposals run out.
///
/// # Errors
/// [`Error::Usage`] if there are fewer than [`MIN_DONORS`] donors, or a donor's mesh is not complete.
pub fn synthesize(
    donors: &[Donor],
    options: &Options,
    accept: &mut dyn FnMut(&Composite) -> bool,
) -> Result<Vec<Composite>> {
    if donors.len() < MIN_DONORS {
        return Err(Error::Usage(format!("a group needs {MIN_DONORS} donors, got {}", donors.len())));
    }
    let frame = Frame::new(options.size_px);
    let side = |pick: &dyn Fn(&Donor) -> Option<&(RgbImage, Mesh)>| -> Result<Option<Side>> {
        let Some(pictures) = donors.iter().map(pick).collect::<Option<Vec<_>>>() else { return Ok(None) };
        Side::new(donors, &pictures).map(Some)
    };
    let neutral = side(&|donor| Some(&donor.neutral))?.ok_or_else(|| Error::Usage("no donors".into()))?;
    let smiling = side(&|donor| donor.smiling.as_ref())?;
    let tones: Vec<_> = neutral.textures.iter().map(TextureSource::tone).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut taken = Vec::new();
    for _ in 0..options.max_proposals {
        if taken.len() >= options.count {
            break;
        }
        let mixture = Mixture::draw(&tones, options, &mut rng);
        let (picture, mesh) = neutral.face(&mixture, &frame, options);
        let twin = smiling.as_ref().map(|side| side.face(&mixture, &frame, options));
        let contributors = donors.iter().enumerate().filter(|(i, _)| mixture.uses(*i)).map(|(_, d)| d.id.clone());
        let tone = skin_tone(&picture, &mesh);
        let composite = Composite { picture, mesh, twin, contributors: contributors.collect(), tone };
        if accept(&composite) {
            taken.push(composite);
        }
    }
    Ok(taken)
}

/// All donors with one expression.
struct Side<'a> {
    shapes: ShapeSpace,
    textures: Vec<TextureSource<'a>>,
}

impl<'a> Side<'a> {
    fn new(donors: &[Donor], pictures: &[&'a (RgbImage, Mesh)]) -> Result<Self> {
        let broken = |id: &str| Error::Usage(format!("donor {id} has no complete face mesh"));
        let mut textures = Vec::new();
        for (donor, (picture, mesh)) in donors.iter().zip(pictures) {
            textures.push(TextureSource::new(picture, mesh).ok_or_else(|| broken(&donor.id))?);
        }
        let shapes: Vec<_> = textures.iter().map(TextureSource::frontal_shape).collect();
        Ok(Self { shapes: ShapeSpace::of(&shapes), textures })
    }

    fn face(&self, mixture: &Mixture, frame: &Frame, options: &Options) -> (RgbImage, Mesh) {
        let shape = self.shapes.mixed(&mixture.shape);
        let picture = texture::mixed(&self.textures, mixture, &shape, frame, options.detail);
        let points_px = shape.iter().map(|&p| frame.to_canvas(p)).collect();
        (picture, Mesh { points_px, presence: 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::topology::MEAN_SHAPE;

    /// Flat faces of differing width on grey.
    fn donors(count: usize) -> Vec<Donor> {
        (0..count)
            .map(|i| {
                let wide = 1.0 + 0.02 * i as f32;
                let at = |p: &[f32; 3]| [60.0 + 50.0 * wide * p[0], 60.0 + 50.0 * p[1], 50.0 * p[2]];
                let mesh = Mesh { points_px: MEAN_SHAPE.iter().map(at).collect(), presence: 1.0 };
                let picture = RgbImage::from_pixel(120, 120, image::Rgb([190 + i as u8, 150, 130]));
                Donor { id: format!("d{i}"), neutral: (picture.clone(), mesh.clone()), smiling: Some((picture, mesh)) }
            })
            .collect()
    }

    fn small() -> Options {
        Options { size_px: 64, count: 2, max_proposals: 5, ..Options::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_faces_and_another_seed_others() {
        let make = |seed| synthesize(&donors(6), &Options { seed, ..small() }, &mut |_| true).unwrap();
        let (a, b, c) = (make(1), make(1), make(2));
        assert_eq!(a[0].picture, b[0].picture);
        assert_eq!(a[1].mesh, b[1].mesh);
        assert_ne!(a[0].mesh, c[0].mesh);
        assert!(a[0].twin.is_some() && a[0].contributors.len() >= 3 && a[0].tone.is_some());
    }

    #[test]
    fn proposals_run_out() {
        let mut seen = 0;
        let none = synthesize(&donors(6), &small(), &mut |_| {
            seen += 1;
            false
        });
        assert!(none.unwrap().is_empty());
        assert_eq!(seen, 5);
    }

    #[test]
    fn too_few_donors_and_broken_meshes_are_named() {
        assert!(synthesize(&donors(3), &small(), &mut |_| true).is_err());
        let mut bad = donors(5);
        bad[2].neutral.1.points_px.truncate(10);
        let message = synthesize(&bad, &small(), &mut |_| true).unwrap_err().to_string();
        assert!(message.contains("d2"), "{message}");
    }
}
