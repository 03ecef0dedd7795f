//! Who is who among the faces of a run, without names.
//!
//! Two faces are taken for one person where **every** recogniser does. From these pairs clusters grow by average linkage
//! (Sokal & Michener 1958): the two clusters whose faces are most alike in the mean are joined first, and only while the
//! mean cosine by every recogniser stays above its threshold. So a chain of look-alikes joins no strangers, as it would
//! if the nearest two faces decided. Two faces of one photo are never one person.
//!
//! Faces are taken in the order of picture hashes, so the same photos give the same people whatever the order of work.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::originals::{FaceKey, Originals};

/// How far above a recogniser's threshold two faces must be alike to be one person here. At the threshold one pair of
/// strangers in some hundreds passes, and a run has many pairs. Chosen on one half of LFW's people: the smallest that
/// joined no strangers there (docs/results.md).
pub const MARGIN: f32 = 0.1;

/// Likest faces kept of each face; a person on more photos than that is still joined through those.
const MAX_NEIGHBOURS: usize = 64;

/// The people of a run who are on several photos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persons {
    /// For each person the faces, in the order of their keys; at least two.
    faces: Vec<Vec<FaceKey>>,
    of: BTreeMap<FaceKey, usize>,
    /// For each face the others that may be the same person: those of the person, and each that every recogniser takes
    /// for one by itself.
    alike: BTreeMap<FaceKey, BTreeSet<FaceKey>>,
}

impl Persons {
    /// The people among `originals` without `kept`; `same_person` are the recognisers' thresholds, in their order.
    pub fn among(originals: &Originals, same_person: &[f32], kept: &BTreeSet<FaceKey>) -> Self {
        Self::with_margin(originals, same_person, kept, MARGIN)
    }

    /// As [`Persons::among`], with another margin than [`MARGIN`].
    pub fn with_margin(originals: &Originals, same_person: &[f32], kept: &BTreeSet<FaceKey>, margin: f32) -> Self {
        let keys = originals.keys();
        let cuts: Vec<f32> = same_person.iter().map(|threshold| threshold + margin).collect();
        let links = links(originals, &cuts, kept);
        let mut faces: Vec<Vec<FaceKey>> = clusters(originals, &cuts, &links)
            .into_iter()
            .map(|places| places.iter().filter_map(|&place| keys.get(place).copied()).collect())
            .filter(|faces: &Vec<FaceKey>| faces.len() > 1)
            .collect();
        faces.sort();
        let of = faces.iter().enumerate().flat_map(|(n, faces)| faces.iter().map(move |key| (*key, n))).collect();
        let mut alike: BTreeMap<FaceKey, BTreeSet<FaceKey>> = BTreeMap::new();
        let linked = links.iter().filter_map(|link| Some((*keys.get(link.a)?, *keys.get(link.b)?)));
        let together = faces.iter().flat_map(|faces| faces.iter().flat_map(|a| faces.iter().map(|b| (*a, *b))));
        for (a, b) in linked.chain(together).filter(|(a, b)| a.0 != b.0) {
            alike.entry(a).or_default().insert(b);
            alike.entry(b).or_default().insert(a);
        }
        Self { faces, of, alike }
    }

    /// How many people are on several photos.
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// The person of a face, from 0; `None` if the face is the only one of its person.
    pub fn of(&self, key: FaceKey) -> Option<usize> {
        self.of.get(&key).copied()
    }

    /// The person of each face that has one.
    pub fn numbers(&self) -> &BTreeMap<FaceKey, usize> {
        &self.of
    }

    /// The faces of each person, smallest key first.
    pub fn faces(&self) -> &[Vec<FaceKey>] {
        &self.faces
    }

    /// Sets of faces such that no face may be the same person as one of another set; sets of one are left out.
    pub fn families(&self) -> Vec<Vec<FaceKey>> {
        let mut seen = BTreeSet::new();
        let mut families = Vec::new();
        for &first in self.alike.keys() {
            let (mut family, mut open) = (BTreeSet::new(), vec![first]);
            while let Some(face) = open.pop() {
                if seen.insert(face) {
                    family.insert(face);
                    open.extend(self.alike_to(face));
                }
            }
            if !family.is_empty() {
                families.push(family.into_iter().collect());
            }
        }
        families
    }

    /// Faces that may be the same person as `key`.
    pub fn alike_to(&self, key: FaceKey) -> impl Iterator<Item = FaceKey> + '_ {
        self.alike.get(&key).into_iter().flatten().copied()
    }
}

/// Two faces that every recogniser takes for one person.
#[derive(Clone, Copy, Debug)]
struct Link {
    a: usize,
    b: usize,
}

fn links(originals: &Originals, cuts: &[f32], kept: &BTreeSet<FaceKey>) -> Vec<Link> {
    let keys = originals.keys();
    let mut links = Vec::new();
    for (a, key) in keys.iter().enumerate().filter(|(_, key)| !kept.contains(key)) {
        let Some(cosines) = originals.cosines(0, a) else { continue };
        let Some(&first_cut) = cuts.first() else { continue };
        let candidates = cosines.iter().zip(keys).enumerate().filter(|(b, (cosine, other))| {
            *b != a && **cosine >= first_cut && other.0 != key.0 && !kept.contains(other)
        });
        // The least of the cosines, each less its recogniser's cut, with the other face.
        let mut mine: Vec<(f32, usize)> = candidates
            .filter_map(|(b, (cosine, _))| {
                let rest = cuts.iter().enumerate().skip(1);
                let above = rest.map(|(gate, cut)| Some(originals.cosine(gate, a, b)? - cut));
                let above = above.collect::<Option<Vec<f32>>>()?.into_iter().fold(cosine - first_cut, f32::min);
                (above >= 0.0).then_some((above, b))
            })
            .collect();
        mine.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        links.extend(mine.iter().take(MAX_NEIGHBOURS).map(|&(_, b)| Link { a, b }));
    }
    // A pair is there twice unless one of the two has many who are more alike.
    let pairs: BTreeSet<(usize, usize)> = links.iter().map(|link| (link.a.min(link.b), link.a.max(link.b))).collect();
    pairs.into_iter().map(|(a, b)| Link { a, b }).collect()
}

/// A cluster under way.
struct Cluster {
    places: Vec<usize>,
    /// For each recogniser the sum of the descriptors: the mean cosine of two clusters is the product of their sums by their
    /// sizes.
    sums: Vec<Vec<f32>>,
    /// Clusters with which it shares a link.
    near: BTreeSet<usize>,
}

/// A join that might be made; the highest comes first, of equals that of the lowest clusters.
#[derive(PartialEq)]
struct Join {
    above: f32,
    a: usize,
    b: usize,
}

impl Eq for Join {}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Join {
    fn cmp(&self, other: &Self) -> Ordering {
        self.above.total_cmp(&other.above).then_with(|| (other.a, other.b).cmp(&(self.a, self.b)))
    }
}

fn clusters(originals: &Originals, cuts: &[f32], links: &[Link]) -> Vec<Vec<usize>> {
    let photo_of = |place: &usize| originals.keys().get(*place).map(|key| key.0);
    let linked: BTreeSet<usize> = links.iter().flat_map(|link| [link.a, link.b]).collect();
    // Joined clusters get a new number, so a join of numbers that are gone is out of date.
    let mut clusters: BTreeMap<usize, Cluster> = BTreeMap::new();
    for place in linked {
        let sums = (0..cuts.len()).filter_map(|gate| Some(originals.embedding(gate, place)?.as_slice().to_vec()));
        clusters.insert(place, Cluster { places: vec![place], sums: sums.collect(), near: BTreeSet::new() });
    }
    for (one, other) in links.iter().flat_map(|link| [(link.a, link.b), (link.b, link.a)]) {
        if let Some(cluster) = clusters.get_mut(&one) {
            cluster.near.insert(other);
        }
    }
    let join = |a: usize, x: &Cluster, b: usize, y: &Cluster| -> Option<Join> {
        let pairs = (x.places.len() * y.places.len()) as f32;
        let each = x.sums.iter().zip(&y.sums).zip(cuts).map(|((x, y), cut)| dot(x, y) / pairs - cut);
        let above = each.fold(f32::INFINITY, f32::min);
        let photos: BTreeSet<_> = x.places.iter().filter_map(photo_of).collect();
        let shared = y.places.iter().filter_map(photo_of).any(|photo| photos.contains(&photo));
        (above >= 0.0 && !shared).then_some(Join { above, a, b })
    };
    let mut open: BinaryHeap<Join> =
        links.iter().filter_map(|l| join(l.a, clusters.get(&l.a)?, l.b, clusters.get(&l.b)?)).collect();
    let mut next = originals.len();
    while let Some(Join { a, b, .. }) = open.pop() {
        if !clusters.contains_key(&a) || !clusters.contains_key(&b) {
            continue;
        }
        let (Some(mut x), Some(y)) = (clusters.remove(&a), clusters.remove(&b)) else { continue };
        x.places.extend(y.places);
        for (sum, more) in x.sums.iter_mut().zip(&y.sums) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        x.near.extend(y.near);
        x.near.retain(|n| *n != a && *n != b);
        for n in &x.near {
            if let Some(neighbour) = clusters.get_mut(n) {
                neighbour.near.retain(|m| *m != a && *m != b);
                neighbour.near.insert(next);
                open.extend(join(*n, neighbour, next, &x));
            }
        }
        clusters.insert(next, x);
        next += 1;
    }
    let sorted = |mut cluster: Cluster| {
        cluster.places.sort_unstable();
        cluster.places
    };
    clusters.into_values().map(sorted).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::Embedding;
    use crate::originals::Gathering;
    use crate::pool::PixelHash;

    fn at(degrees: f32) -> Embedding {
        Embedding::from_raw(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    }

    fn key(photo: u8, face: usize) -> FaceKey {
        (PixelHash([photo; 32]), face)
    }

    /// Faces as photo, place in it, and degrees by each of two recognisers, who take 45° for one person.
    fn persons(faces: &[(u8, usize, [f32; 2])], kept: &[FaceKey]) -> Persons {
        let mut gathering = Gathering::default();
        faces.iter().for_each(|(photo, face, degrees)| gathering.add(key(*photo, *face), &degrees.map(at)));
        let threshold = 45f32.to_radians().cos();
        Persons::with_margin(&gathering.finish(), &[threshold; 2], &kept.iter().copied().collect(), 0.0)
    }

    #[test]
    fn faces_that_every_recogniser_takes_for_one_person_are_one() {
        let found = persons(&[(1, 0, [0.0, 0.0]), (2, 0, [20.0, 20.0]), (3, 0, [20.0, 90.0]), (4, 0, [200.0; 2])], &[]);
        assert_eq!(found.faces(), [vec![key(1, 0), key(2, 0)]]);
        assert_eq!((found.of(key(2, 0)), found.of(key(3, 0))), (Some(0), None));
    }

    #[test]
    fn a_chain_joins_no_strangers() {
        // Each is 30° from the next; the first and the last are 150° apart.
        let chain: Vec<_> = (0..6u8).map(|n| (n, 0, [30.0 * f32::from(n); 2])).collect();
        let found = persons(&chain, &[]);
        assert!(found.faces().iter().all(|faces| faces.len() <= 3), "{:?}", found.faces());
        assert_eq!(found.families().len(), 1, "but each may be the next one");
        assert_eq!(found.alike_to(key(1, 0)).count(), 2);
    }

    #[test]
    fn two_faces_of_one_photo_are_never_one_person() {
        let found = persons(&[(1, 0, [0.0; 2]), (1, 1, [1.0; 2]), (2, 0, [3.0; 2])], &[]);
        assert_eq!(found.faces(), [vec![key(1, 1), key(2, 0)]], "the likest pair of different photos");
        // Nor through a third: both of photo 1 are near to photos 2 and 3.
        let found = persons(&[(1, 0, [0.0; 2]), (1, 1, [9.0; 2]), (2, 0, [3.0; 2]), (3, 0, [5.0; 2])], &[]);
        assert!(found.faces().iter().all(|f| f.iter().map(|k| k.0).collect::<BTreeSet<_>>().len() == f.len()));
    }

    #[test]
    fn kept_faces_are_nobody_s() {
        let faces = [(1, 0, [0.0; 2]), (2, 0, [1.0; 2]), (3, 0, [2.0; 2])];
        assert_eq!(persons(&faces, &[key(2, 0)]).faces(), [vec![key(1, 0), key(3, 0)]]);
        assert!(persons(&faces[..2], &[key(2, 0)]).is_empty());
    }

    #[test]
    fn the_order_of_work_does_not_matter() {
        let mut faces: Vec<_> = (0..40u8).map(|n| (n, 0, [37.0 * f32::from(n) % 360.0; 2])).collect();
        let forwards = persons(&faces, &[]);
        faces.reverse();
        assert_eq!(persons(&faces, &[]), forwards);
        assert!(forwards.len() > 3 && forwards.families().len() <= forwards.len());
    }
}
