//! Everyone of a run as they were: whom a stranger would compare a result with.
//!
//! A result below a recogniser's threshold may still be more like its own original than like anybody else, and then a
//! search in a list of suspects finds the person. So each result is ranked against the originals of the whole run.
//!
//! Photos of one person in one run are told by the recogniser itself: an original is the subject's **own** if it is the
//! same face, one of the same person by all recognisers together, or halfway between the threshold and 1 or more; it is a
//! **stranger** below the threshold; what lies
//! between is neither and does not count. The gallery is gathered before the first face is replaced and kept in the order of
//! picture hashes, so it is the same whatever the order of work.

use std::collections::BTreeMap;

use crate::embedding::{Embedding, EmbeddingSet};
use crate::pool::PixelHash;

/// With fewer strangers, being the most alike says nothing: by chance alone it happens once in so many times.
pub const MIN_STRANGERS: usize = 20;

/// Most originals kept; about 25 MB with two recognisers. Of more, those with the smallest picture hashes stay, which makes the test harder
/// to pass, not easier.
pub const MAX_ORIGINALS: usize = 20_000;

/// A face by its photo and its place in it.
pub type FaceKey = (PixelHash, usize);

/// Originals being gathered, from any thread's work in any order.
#[derive(Debug)]
pub struct Gathering {
    faces: BTreeMap<FaceKey, Vec<Embedding>>,
    most: usize,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { faces: BTreeMap::new(), most: MAX_ORIGINALS }
    }
}

impl Gathering {
    /// Add a face with one embedding for each gate, in the gates' order.
    pub fn add(&mut self, key: FaceKey, embeddings: &[Embedding]) {
        self.faces.insert(key, embeddings.to_vec());
        if self.faces.len() > self.most {
            self.faces.pop_last();
        }
    }

    /// The gallery. Faces with another number of embeddings than the first are left out.
    pub fn finish(self) -> Originals {
        let gates = self.faces.values().next().map_or(0, Vec::len);
        let (keys, rows): (Vec<FaceKey>, Vec<Vec<Embedding>>) =
            self.faces.into_iter().filter(|(_, embeddings)| embeddings.len() == gates).unzip();
        let set = |gate: usize| EmbeddingSet::from_rows(rows.iter().filter_map(|row| row.get(gate)));
        match (0..gates).map(set).collect::<Option<Vec<_>>>() {
            Some(sets) => Originals { keys, sets, persons: BTreeMap::new() },
            None => Originals::default(),
        }
    }
}

/// The gallery of a run.
#[derive(Clone, Debug, Default)]
pub struct Originals {
    keys: Vec<FaceKey>,
    /// One for each gate.
    sets: Vec<EmbeddingSet>,
    /// The person of each face of which others are known.
    persons: BTreeMap<FaceKey, usize>,
}

impl Originals {
    /// How many faces.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Note who is who: a search that leads to another photo of a person leads to the person.
    pub fn note_persons(&mut self, persons: BTreeMap<FaceKey, usize>) {
        self.persons = persons;
    }

    /// The faces, in the order of the gallery.
    pub fn keys(&self) -> &[FaceKey] {
        &self.keys
    }

    /// The descriptor of face number `place` by gate `gate`.
    pub fn embedding(&self, gate: usize, place: usize) -> Option<Embedding> {
        self.sets.get(gate)?.get(place)
    }

    /// Cosines of face number `place` with every face, itself included, by gate `gate`.
    pub fn cosines(&self, gate: usize, place: usize) -> Option<Vec<f32>> {
        let set = self.sets.get(gate)?;
        Some(set.cosines(&set.get(place)?))
    }

    /// Cosine of faces number `a` and `b` by gate `gate`.
    pub fn cosine(&self, gate: usize, a: usize, b: usize) -> Option<f32> {
        let set = self.sets.get(gate)?;
        Some(set.get(a)?.cosine(&set.get(b)?))
    }

    /// Tells, for a subject with these embeddings, who is who to each gate; `same_person` are the gates' thresholds.
    pub fn lineup(&self, key: FaceKey, embeddings: &[Embedding], same_person: &[f32]) -> Lineup<'_> {
        let person = self.persons.get(&key);
        let rows = self.sets.iter().zip(embeddings).zip(same_person).map(|((set, own), &threshold)| {
            let surely = 0.5 * (threshold + 1.0);
            set.cosines(own)
                .into_iter()
                .zip(&self.keys)
                .map(|(cosine, other)| match cosine {
                    _ if *other == key => Role::Own,
                    _ if person.is_some() && self.persons.get(other) == person => Role::Own,
                    c if c >= surely => Role::Own,
                    c if c >= threshold => Role::Unclear,
                    _ => Role::Stranger,
                })
                .collect()
        });
        Lineup { originals: self, roles: rows.collect() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Own,
    Unclear,
    Stranger,
}

/// The gallery as one subject sees it.
#[derive(Clone, Debug)]
pub struct Lineup<'a> {
    originals: &'a Originals,
    /// For each gate, the role of each original.
    roles: Vec<Vec<Role>>,
}

/// Where a result stands in the gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Cosine with the likest own original, less the cosine with the likest stranger; below 0 the stranger is found first.
    pub lead: f32,
    /// Place of the likest own original, from 1.
    pub rank: usize,
    /// How many strangers it was compared with.
    pub strangers: usize,
}

impl Lineup<'_> {
    /// How `result` stands by gate `gate`, where its cosine with the subject is `own`; `None` with fewer than
    /// [`MIN_STRANGERS`] strangers.
    pub fn standing(&self, gate: usize, result: &Embedding, own: f32) -> Option<Standing> {
        let (set, roles) = (self.originals.sets.get(gate)?, self.roles.get(gate)?);
        let strangers = roles.iter().filter(|role| **role == Role::Stranger).count();
        if strangers < MIN_STRANGERS {
            return None;
        }
        let cosines = set.cosines(result);
        let of = |wanted: Role| cosines.iter().zip(roles).filter(move |(_, role)| **role == wanted).map(|(c, _)| *c);
        let own = of(Role::Own).fold(own, f32::max);
        let likest = of(Role::Stranger).fold(f32::NEG_INFINITY, f32::max);
        Some(Standing { lead: own - likest, rank: 1 + of(Role::Stranger).filter(|c| *c > own).count(), strangers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(degrees: f32) -> Embedding {
        Embedding::from_raw(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    }

    fn key(n: u8) -> FaceKey {
        (PixelHash([n; 32]), 0)
    }

    /// Number `n` at `10·n` degrees, from 0 to 350.
    fn around() -> Originals {
        let mut gathering = Gathering::default();
        (0..36u8).for_each(|n| gathering.add(key(n), &[at(10.0 * f32::from(n))]));
        gathering.finish()
    }

    #[test]
    fn a_result_nearer_to_a_stranger_than_to_its_own_is_no_longer_first() {
        let originals = around();
        // Same person above cos 25°; own: within acos((cos 25° + 1) / 2) = 17.6°, so numbers 35, 0 and 1.
        let lineup = originals.lineup(key(0), &[at(0.0)], &[25f32.to_radians().cos()]);
        let standing = |degrees: f32| lineup.standing(0, &at(degrees), at(degrees).cosine(&at(0.0))).unwrap();
        assert_eq!((standing(3.0).rank, standing(3.0).strangers), (1, 31));
        assert!(standing(3.0).lead > 0.0);
        // At 90°, own number 1 is 80° away; strangers 3 to 16 are nearer, 17 is as far.
        let far = standing(90.0);
        assert!(far.lead < 0.0 && (15..=16).contains(&far.rank), "{far:?}");
        // Number 2 is neither: at 20° the own number 1 still stands first.
        assert!(standing(19.9).lead > -0.01 && standing(19.9).rank <= 2);
    }

    #[test]
    fn another_photo_of_the_person_is_the_person() {
        // 20° apart is a stranger to a recogniser that takes 15° for one person.
        let mut gathering = Gathering::default();
        (0..36u8).for_each(|n| gathering.add(key(n), &[at(if n == 1 { 20.0 } else { 10.0 * f32::from(n) })]));
        let mut originals = gathering.finish();
        let lead = |originals: &Originals| {
            let threshold = 15f32.to_radians().cos();
            originals
                .lineup(key(0), &[at(0.0)], &[threshold])
                .standing(0, &at(23.0), 23f32.to_radians().cos())
                .unwrap()
                .lead
        };
        assert!(lead(&originals) < 0.0, "number 2 is as near as the other photo");
        originals.note_persons([(key(0), 0), (key(1), 0), (key(2), 1)].into());
        assert!(lead(&originals) > -1e-3, "the other photo now counts as the person");
    }

    #[test]
    fn a_small_gallery_says_nothing() {
        let mut gathering = Gathering::default();
        (0..20u8).for_each(|n| gathering.add(key(n), &[at(18.0 * f32::from(n))]));
        let originals = gathering.finish();
        let lineup = originals.lineup(key(0), &[at(0.0)], &[0.99]);
        assert_eq!(lineup.standing(0, &at(5.0), 0.99), None);
        assert_eq!(Originals::default().lineup(key(0), &[at(0.0)], &[0.9]).standing(0, &at(0.0), 1.0), None);
    }

    #[test]
    fn the_order_of_work_does_not_matter_nor_does_a_photo_that_comes_twice() {
        let add = |order: &mut dyn Iterator<Item = u8>| {
            let mut gathering = Gathering { most: 4, ..Gathering::default() };
            order.for_each(|n| gathering.add(key(n), &[at(10.0 * f32::from(n))]));
            gathering.finish()
        };
        let (a, b) = (add(&mut (0..9)), add(&mut (0..9).rev().chain(0..9)));
        assert_eq!((a.keys, a.sets), (b.keys.clone(), b.sets));
        assert_eq!(b.keys, [0, 1, 2, 3].map(key));
    }
}
