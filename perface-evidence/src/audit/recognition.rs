//! What one recogniser still makes of the results: is a face accepted as its original, who does a search name first,
//! do results of one person belong together.
//!
//! The attacker holds all originals with names. For each result, every original is ranked by cosine; a person's score
//! is that of the best original, and the rank of the right person is one more than how many others score higher.

use serde::Serialize;

use perface::embedding::Embedding;
use perface::summary::{Moments, Proportion, quantile};

/// A face as one recogniser sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its descriptor.
    pub embedding: &'a Embedding,
    /// Who it is, or was.
    pub person: usize,
    /// In which photo.
    pub photo: usize,
}

/// A result and the original it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The face that is published.
    pub result: Seen<'a>,
    /// The face it stands for.
    pub original: &'a Embedding,
}

/// Largest shares of wrong accepts for which [`Matching::at_far`] says how many results are accepted.
const FARS: [f64; 2] = [1e-2, 1e-3];

/// Of how many cells a histogram of cosines has; thresholds are good to one cell, 0.0005.
const CELLS: usize = 4000;

/// Results against originals, for one recogniser.
#[derive(Clone, Debug, Serialize)]
pub struct Matching {
    /// Cosines of results with their own originals.
    pub own: Option<Spread>,
    /// Share of results taken for their own original at the recogniser's own threshold.
    pub accepted: Option<Proportion>,
    /// The same where the threshold is set so that wrong accepts have a fixed share.
    pub at_far: Vec<AtFar>,
    /// A search among all people of the originals.
    pub search: Option<Search>,
    /// The same search where the very photo is not among the originals but others of the person are.
    pub search_other_photos: Option<Search>,
    /// How well that search works on faces nobody touched: what the recogniser can do at best.
    pub search_untouched: Option<Search>,
    /// Counts of cosines by [`BARS`] equal steps from −1 to 1: results with their own originals, and with others.
    pub histogram: [Vec<u64>; 2],
}

/// How many bars a shown histogram has.
pub const BARS: usize = 80;

/// Of a list of cosines.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// 95 % of them are lower.
    pub p95: f64,
    /// The highest.
    pub max: f64,
}

/// Accepts at a threshold that was set by wrong accepts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AtFar {
    /// Largest share of pairs of different people that may be accepted.
    pub far: f64,
    /// The threshold that keeps to it.
    pub cosine: f64,
    /// Share of results accepted as their own original.
    pub accepted: Proportion,
}

/// Outcome of a search.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Search {
    /// How many people are searched.
    pub people: usize,
    /// What guessing gets right.
    pub chance: f64,
    /// Share of results whose right person comes first.
    pub rank1: Proportion,
    /// Share among the first five.
    pub rank5: Proportion,
}

impl Search {
    fn of(ranks: &[usize], people: usize) -> Option<Self> {
        let within = |most: usize| Proportion::wilson(ranks.iter().filter(|&&r| r <= most).count(), ranks.len());
        Some(Self { people, chance: 1.0 / people.max(1) as f64, rank1: within(1)?, rank5: within(5)? })
    }
}

/// Counts of cosines in [`CELLS`] cells from −1 to 1.
#[derive(Clone, Debug)]
pub(super) struct Cosines {
    cells: Vec<u64>,
    total: u64,
}

impl Cosines {
    fn new() -> Self {
        Self { cells: vec![0; CELLS], total: 0 }
    }

    fn note(&mut self, cosine: f32) {
        let cell = ((f64::from(cosine) + 1.0) / 2.0 * CELLS as f64) as usize;
        if let Some(count) = self.cells.get_mut(cell.min(CELLS - 1)) {
            *count += 1;
            self.total += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        for (count, more) in self.cells.iter_mut().zip(&other.cells) {
            *count += more;
        }
    }

    /// The lower edge of the first cell from which at most `far` of all counts lie.
    fn threshold(&self, far: f64) -> Option<f64> {
        let allowed = (far * self.total as f64).floor() as u64;
        if allowed == 0 {
            return None;
        }
        let mut above = 0;
        for (cell, count) in self.cells.iter().enumerate().rev() {
            above += count;
            if above > allowed {
                return Some((cell + 1) as f64 / CELLS as f64 * 2.0 - 1.0);
            }
        }
        Some(-1.0)
    }

    /// How many lie at or above `cosine`, to one cell.
    fn at_least(&self, cosine: f64) -> u64 {
        let first = ((cosine + 1.0) / 2.0 * CELLS as f64).ceil().max(0.0) as usize;
        self.cells.iter().skip(first).sum()
    }

    fn bars(&self) -> Vec<u64> {
        self.cells.chunks(CELLS / BARS).map(|cells| cells.iter().sum()).collect()
    }
}

/// Chance that a count drawn from `higher` lies above one from `lower`, ties counting half.
fn auc(higher: &Cosines, lower: &Cosines) -> Option<f64> {
    if higher.total == 0 || lower.total == 0 {
        return None;
    }
    let (mut below, mut wins) = (0u64, 0.0);
    for (up, low) in higher.cells.iter().zip(&lower.cells) {
        wins += *up as f64 * (below as f64 + *low as f64 / 2.0);
        below += low;
    }
    Some(wins / (higher.total as f64 * lower.total as f64))
}

/// The rank of the right person for every pair, and the cosines of results with originals of others.
struct Ranked {
    ranks: Vec<usize>,
    others: Cosines,
}

/// `probes` searched among `gallery` of `people`; `skip_own_photo` leaves out originals of the probe's photo. A probe
/// whose person is then not there gets no rank.
fn ranked(probes: &[Seen], gallery: &[Seen], people: usize, skip_own_photo: bool) -> Ranked {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = probes.len().div_ceil(cores).max(1);
    let part = |probes: &[Seen]| {
        let mut result = Ranked { ranks: Vec::with_capacity(probes.len()), others: Cosines::new() };
        let mut best = vec![f32::NEG_INFINITY; people];
        for probe in probes {
            best.fill(f32::NEG_INFINITY);
            for original in gallery.iter().filter(|o| !(skip_own_photo && o.photo == probe.photo)) {
                let cosine = probe.embedding.cosine(original.embedding);
                if original.person != probe.person {
                    result.others.note(cosine);
                }
                if let Some(best) = best.get_mut(original.person) {
                    *best = best.max(cosine);
                }
            }
            let own = best.get(probe.person).copied().unwrap_or(f32::NEG_INFINITY);
            if own > f32::NEG_INFINITY {
                result.ranks.push(1 + best.iter().filter(|&&score| score > own).count());
            }
        }
        result
    };
    let parts: Vec<Ranked> = std::thread::scope(|scope| {
        let running: Vec<_> = probes.chunks(share).map(|chunk| scope.spawn(move || part(chunk))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut all = Ranked { ranks: Vec::with_capacity(probes.len()), others: Cosines::new() };
    for part in parts {
        all.ranks.extend(part.ranks);
        all.others.add(&part.others);
    }
    all
}

/// The rank of each pair's person among all `originals` of `people`, in their order.
pub fn ranks(pairs: &[Pair], originals: &[Seen], people: usize) -> Vec<usize> {
    let probes: Vec<Seen> = pairs.iter().map(|pair| pair.result).collect();
    ranked(&probes, originals, people, false).ranks
}

/// Everything of results against originals. People are numbered below `people`.
pub fn matching(pairs: &[Pair], originals: &[Seen], people: usize, threshold: Option<f32>) -> Matching {
    let probes: Vec<Seen> = pairs.iter().map(|pair| pair.result).collect();
    let own: Vec<f64> = pairs.iter().map(|p| f64::from(p.result.embedding.cosine(p.original))).collect();
    let mut own_cells = Cosines::new();
    own.iter().for_each(|&cosine| own_cells.note(cosine as f32));
    let all = ranked(&probes, originals, people, false);
    let share = |threshold: f64| Proportion::wilson(own.iter().filter(|&&c| c >= threshold).count(), own.len());
    let at_far = FARS.iter().filter_map(|&far| {
        let cosine = all.others.threshold(far)?;
        Some(AtFar { far, cosine, accepted: share(cosine)? })
    });
    let several = has_several_photos(originals, people);
    let elsewhere = |probes: &[Seen]| {
        let with_others: Vec<Seen> =
            probes.iter().filter(|p| several.get(p.person).copied().unwrap_or(false)).copied().collect();
        Search::of(&ranked(&with_others, originals, people, true).ranks, people)
    };
    Matching {
        own: Moments::of(&own).and_then(|moments| {
            Some(Spread {
                mean: moments.mean,
                p95: quantile(&own, 0.95)?,
                max: own.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            })
        }),
        accepted: threshold.and_then(|cosine| share(f64::from(cosine))),
        at_far: at_far.collect(),
        search: Search::of(&all.ranks, people),
        search_other_photos: elsewhere(&probes),
        search_untouched: elsewhere(originals),
        histogram: [own_cells.bars(), all.others.bars()],
    }
}

/// Who is on more than one photo.
fn has_several_photos(originals: &[Seen], people: usize) -> Vec<bool> {
    let mut first = vec![None; people];
    let mut several = vec![false; people];
    for original in originals {
        match (first.get_mut(original.person), several.get_mut(original.person)) {
            (Some(first @ None), _) => *first = Some(original.photo),
            (Some(Some(photo)), Some(several)) if *photo != original.photo => *several = true,
            _ => {}
        }
    }
    several
}

/// Whether results of one person can be told to belong together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Linking {
    /// Pairs of results of one person on two photos.
    pub pairs: u64,
    /// Share of them at or above the recogniser's threshold: taken for one person.
    pub linked: Option<Proportion>,
    /// Share of pairs of different people that are taken for one person too.
    pub wrongly_linked: Option<Proportion>,
    /// Chance that two results of one person are more alike than two of different people; 0.5 is none.
    pub auc: Option<f64>,
    /// The same for the originals.
    pub auc_of_originals: Option<f64>,
}

/// Compare all `results` of different photos with one another; `None` if no person is on two.
pub fn linking(results: &[Seen], originals: &[Seen], threshold: Option<f32>) -> Option<Linking> {
    let (same, different) = pairwise(results);
    if same.total == 0 {
        return None;
    }
    let (original_same, original_different) = pairwise(originals);
    let share = |cosines: &Cosines| {
        let hits = cosines.at_least(f64::from(threshold?));
        Proportion::wilson(usize::try_from(hits).ok()?, usize::try_from(cosines.total).ok()?)
    };
    Some(Linking {
        pairs: same.total,
        linked: share(&same),
        wrongly_linked: share(&different),
        auc: auc(&same, &different),
        auc_of_originals: auc(&original_same, &original_different),
    })
}

fn pairwise(faces: &[Seen]) -> (Cosines, Cosines) {
    let (mut same, mut different) = (Cosines::new(), Cosines::new());
    for (index, a) in faces.iter().enumerate() {
        for b in faces.iter().skip(index + 1).filter(|b| b.photo != a.photo) {
            let cosine = a.embedding.cosine(b.embedding);
            if a.person == b.person { same.note(cosine) } else { different.note(cosine) }
        }
    }
    (same, different)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(angle_degrees: f32) -> Embedding {
        let (sin, cos) = angle_degrees.to_radians().sin_cos();
        Embedding::from_raw(&[cos, sin]).unwrap()
    }

    fn seen(embedding: &Embedding, person: usize, photo: usize) -> Seen<'_> {
        Seen { embedding, person, photo }
    }

    #[test]
    fn a_rank_counts_the_people_who_score_higher() {
        let originals: Vec<Embedding> = [0.0, 40.0, 80.0, 85.0].map(unit).to_vec();
        // The third person is there twice.
        let gallery: Vec<Seen> = originals.iter().enumerate().map(|(i, e)| seen(e, i.min(2), i)).collect();
        let result = unit(70.0);
        for (person, rank) in [(0, 3), (1, 2), (2, 1)] {
            let pair = Pair { result: seen(&result, person, 9), original: &originals[person] };
            assert_eq!(ranks(&[pair], &gallery, 3), [rank], "{person}");
        }
    }

    #[test]
    fn an_unchanged_face_is_found_and_a_foreign_one_is_not() {
        let originals: Vec<Embedding> = (0..100).map(|i| unit(i as f32 * 3.6)).collect();
        let gallery: Vec<Seen> = originals.iter().enumerate().map(|(i, e)| seen(e, i, i)).collect();
        let pair = |i: usize, j: usize| Pair { result: seen(&originals[j], i, i), original: &originals[i] };
        let untouched: Vec<Pair> = (0..100).map(|i| pair(i, i)).collect();
        let opposite: Vec<Pair> = (0..100).map(|i| pair(i, (i + 50) % 100)).collect();
        let found = matching(&untouched, &gallery, 100, Some(0.999));
        assert_eq!((found.search.unwrap().rank1.hits, found.accepted.unwrap().hits), (100, 100));
        let lost = matching(&opposite, &gallery, 100, Some(0.999));
        assert_eq!((lost.search.unwrap().rank5.hits, lost.accepted.unwrap().hits), (0, 0));
        assert_eq!(lost.search.unwrap().chance, 0.01);
        // One in a hundred wrong accepts is reached at the nearest neighbours, 3.6° away.
        let at = found.at_far[0];
        assert!((at.cosine - 3.6f64.to_radians().cos()).abs() < 2e-3 && at.accepted.hits == 100, "{at:?}");
    }

    #[test]
    fn other_photos_of_a_person_are_searched_without_the_very_photo() {
        let originals = [unit(0.0), unit(10.0), unit(90.0)];
        let gallery: Vec<Seen> = vec![seen(&originals[0], 0, 0), seen(&originals[1], 0, 1), seen(&originals[2], 1, 2)];
        let pairs = [Pair { result: seen(&originals[0], 0, 0), original: &originals[0] }];
        let other = matching(&pairs, &gallery, 2, None).search_other_photos.unwrap();
        assert_eq!((other.rank1.hits, other.rank1.n), (1, 1));
        let untouched = matching(&pairs, &gallery, 2, None).search_untouched.unwrap();
        assert_eq!(untouched.rank1.n, 2, "the second person has no other photo");
    }

    #[test]
    fn results_that_keep_an_identity_are_linked() {
        let faces: Vec<Embedding> = (0..10).map(|i| unit((i / 2) as f32 * 72.0)).collect();
        let kept: Vec<Seen> = faces.iter().enumerate().map(|(i, e)| seen(e, i / 2, i)).collect();
        let linking_of_kept = linking(&kept, &kept, Some(0.9)).unwrap();
        assert_eq!((linking_of_kept.pairs, linking_of_kept.linked.unwrap().hits), (5, 5));
        assert_eq!(linking_of_kept.auc, Some(1.0));
        // The same faces dealt out so that no two of one person are alike.
        let dealt: Vec<Seen> = faces.iter().enumerate().map(|(i, e)| seen(e, (i * 3) % 5, i)).collect();
        assert_eq!(linking(&dealt, &kept, Some(0.9)).unwrap().linked.unwrap().hits, 0);
    }

    #[test]
    fn nobody_on_two_photos_means_nothing_to_link() {
        let face = unit(0.0);
        assert!(linking(&[seen(&face, 0, 0), seen(&face, 1, 1)], &[], None).is_none());
    }
}
