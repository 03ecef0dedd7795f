//! Portraits of people who do not exist, made from portraits of people who agreed.
//!
//! The meshes of a group of donors are brought into one frontal frame. A new face is a point in the space they span: the
//! mean shape plus a random, signed mixture of everyone's difference from it, which is a draw along the principal
//! components of the group. It lies farther from the mean than people do, because averages are near to everybody, and near to
//! none of them; the texture is an average of donors of one skin tone, weighted at random, pushed
//! away from the group's mean likewise and given some of the fine structure of one donor. The same mixture of the
//! smiling pictures gives the smiling twin.
//!
//! Nothing here knows whether a face hides its contributors: every proposal is shown to the caller, who compares it with
//! them. Where it comes too near to one, the mixture is led away from that one and proposed again.

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
use crate::swap::warp::pose::{Point3, Pose};
use frame::Frame;
use mixture::{Mixture, tone_slots};
use shape::ShapeSpace;
use texture::Sheet;

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

/// What the caller thinks of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is wanted.
    Take,
    /// It resembles this one of its contributors (an index of [`Composite::contributors`]): lead it away.
    TooNear(usize),
    /// It is not wanted.
    Drop,
}

/// How composites are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How many are wanted.
    pub count: usize,
    /// How many are begun at most.
    pub max_proposals: usize,
    /// How often one is led away from a contributor it resembles before it is given up.
    pub max_corrections: usize,
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
            max_proposals: 60,
            max_corrections: 12,
            seed: 1,
            size_px: 384,
            shape_spread: 1.2,
            texture_spread: 0.7,
            max_share: 0.45,
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
    /// Ids of everyone who is in it.
    pub contributors: Vec<String>,
    /// Colour of its skin.
    pub tone: Option<SkinTone>,
}

/// Fewest donors of a group.
pub const MIN_DONORS: usize = 4;

/// Proposes composites until `judge` has taken [`Options::count`] of them or proposals run out.
///
/// `donors` are one group by apparent gender and age, with bare faces. `helpers` (maybe none) are of another age: how
/// they differ from each other widens the group's variety, but their age does not enter. `judge` sees proposals in an
/// order fixed by the seed. Fewer than `count` are returned if proposals run out.
///
/// # Errors
/// [`Error::Usage`] if there are fewer than [`MIN_DONORS`] donors, or someone's mesh is not complete.
pub fn synthesize(
    donors: &[Donor],
    helpers: &[Donor],
    options: &Options,
    judge: &mut dyn FnMut(&Composite) -> Judgement,
) -> Result<Vec<Composite>> {
    if donors.len() < MIN_DONORS {
        return Err(Error::Usage(format!("a group needs {MIN_DONORS} donors, got {}", donors.len())));
    }
    let people: Vec<&Donor> = donors.iter().chain(helpers).collect();
    let frame = Frame::new(options.size_px);
    let neutral = Side::new(&people, donors.len(), &frame, |donor| Some(&donor.neutral))?
        .ok_or_else(|| Error::Usage("there are no donors".into()))?;
    let smiling = Side::new(&people, donors.len(), &frame, |donor| donor.smiling.as_ref())?;
    let tones: Vec<_> = neutral.sheets.iter().map(Sheet::tone).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut taken: Vec<(usize, Composite)> = Vec::new();
    let mut turn = 0;
    let slots = tone_slots(&tones[..donors.len()], options.count);
    let mut filled = vec![false; slots.len()];
    for _ in 0..options.max_proposals {
        // The open slots take turns, so that a tone that is hard to get does not use up all proposals.
        let open: Vec<usize> = (0..slots.len()).filter(|&slot| !filled[slot]).collect();
        let next = open.iter().copied().find(|&slot| slot >= turn).or(open.first().copied());
        let Some(slot) = next else { break };
        turn = slot + 1;
        let mut mixture = Mixture::draw(&tones, donors.len(), slots[slot], options, &mut rng);
        for _ in 0..=options.max_corrections {
            let users: Vec<usize> = (0..people.len()).filter(|&i| mixture.uses(i)).collect();
            let (picture, mesh) = neutral.face(&mixture, &frame, options);
            let composite = Composite {
                tone: skin_tone(&picture, &mesh),
                twin: smiling.as_ref().map(|side| side.face(&mixture, &frame, options)),
                contributors: users.iter().map(|&i| people[i].id.clone()).collect(),
                picture,
                mesh,
            };
            match judge(&composite) {
                Judgement::Take => {
                    filled[slot] = true;
                    taken.push((slot, composite));
                }
                Judgement::TooNear(contributor) => {
                    let Some(&person) = users.get(contributor) else { break };
                    mixture.lead_away(person, options);
                    continue;
                }
                Judgement::Drop => {}
            }
            break;
        }
    }
    // From the darkest skin to the lightest, so that the order says nothing of when one was made.
    taken.sort_by_key(|(slot, _)| *slot);
    Ok(taken.into_iter().map(|(_, composite)| composite).collect())
}

/// Everyone with one expression.
struct Side {
    shapes: ShapeSpace,
    sheets: Vec<Sheet>,
}

impl Side {
    /// `None` if someone has no such picture. The first `group` people are the donors, whose mean is the base.
    fn new(
        people: &[&Donor],
        group: usize,
        frame: &Frame,
        pick: impl Fn(&Donor) -> Option<&(RgbImage, Mesh)>,
    ) -> Result<Option<Self>> {
        let Some(pictures) = people.iter().map(|&donor| pick(donor)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let broken = |donor: &Donor| Error::Usage(format!("donor {} has no complete face mesh", donor.id));
        let mut shapes = Vec::new();
        for (&donor, (_, mesh)) in people.iter().zip(&pictures) {
            shapes.push(frontal_shape(mesh).ok_or_else(|| broken(donor))?);
        }
        let shapes = ShapeSpace::of(&shapes, group);
        let mut sheets = Vec::new();
        for (&donor, (picture, mesh)) in people.iter().zip(pictures) {
            sheets.push(Sheet::new(picture, mesh, shapes.mean(), frame).ok_or_else(|| broken(donor))?);
        }
        Ok(Some(Self { shapes, sheets }))
    }

    fn face(&self, mixture: &Mixture, frame: &Frame, options: &Options) -> (RgbImage, Mesh) {
        let shape = self.shapes.mixed(&mixture.shape);
        let picture = texture::mixed(&self.sheets, mixture, self.shapes.mean(), &shape, frame, options.detail);
        let points_px = shape.iter().map(|&p| frame.to_canvas(p)).collect();
        (picture, Mesh { points_px, presence: 1.0 })
    }
}

/// A mesh's points in the frontal frame.
fn frontal_shape(mesh: &Mesh) -> Option<Vec<Point3>> {
    let pose = Pose::of_mesh(&mesh.points_px)?;
    Some(mesh.points_px.iter().map(|&p| pose.undo(p)).collect())
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
        let make =
            |seed| synthesize(&donors(6), &donors(2), &Options { seed, ..small() }, &mut |_| Judgement::Take).unwrap();
        let (a, b, c) = (make(1), make(1), make(2));
        assert_eq!(a[0].picture, b[0].picture);
        assert_eq!(a[1].mesh, b[1].mesh);
        assert_ne!(a[0].mesh, c[0].mesh);
        assert!(a[0].twin.is_some() && a[0].contributors.len() >= 3 && a[0].tone.is_some());
    }

    #[test]
    fn proposals_run_out() {
        let mut seen = 0;
        let none = synthesize(&donors(6), &[], &small(), &mut |_| {
            seen += 1;
            Judgement::Drop
        });
        assert!(none.unwrap().is_empty());
        assert_eq!(seen, 5);
    }

    #[test]
    fn too_few_donors_and_broken_meshes_are_named() {
        assert!(synthesize(&donors(3), &[], &small(), &mut |_| Judgement::Take).is_err());
        let mut bad = donors(5);
        bad[2].neutral.1.points_px.truncate(10);
        let message = synthesize(&bad, &[], &small(), &mut |_| Judgement::Take).unwrap_err().to_string();
        assert!(message.contains("d2"), "{message}");
    }

    #[test]
    fn a_face_is_led_away_from_the_one_it_resembles() {
        let mut meshes = Vec::new();
        let options = Options { count: 1, max_proposals: 1, max_corrections: 4, ..small() };
        let made = synthesize(&donors(6), &[], &options, &mut |composite| {
            meshes.push(composite.mesh.clone());
            if meshes.len() < 3 { Judgement::TooNear(0) } else { Judgement::Take }
        });
        assert_eq!(made.unwrap().len(), 1);
        assert!(meshes.len() == 3 && meshes[0] != meshes[1] && meshes[1] != meshes[2]);
    }
}
