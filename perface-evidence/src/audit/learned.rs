//! An attacker who learns: from results whose originals are known, a linear map from one to the other is fitted and
//! then used on results of people it has never seen.
//!
//! Ridge regression (Hoerl & Kennard, Technometrics 12, 1970) of centred original descriptors on centred result
//! descriptors. People are dealt into [`FOLDS`] parts; each part is attacked with the map of the others, the penalty
//! chosen on one of these. A replacement that keeps a trace of the person in a fixed direction, which a plain
//! comparison does not see, is found by this.

use nalgebra::{DMatrix, DVector};
use serde::Serialize;

use super::recognition::{Pair, Seen};
use perface::draw::{Seed, shuffle};
use perface::summary::Proportion;

/// Into how many parts the people are dealt.
pub const FOLDS: usize = 5;

/// With fewer people nothing can be learned, nor judged.
pub const LEAST_PEOPLE: usize = 25;

/// Penalties tried, in mean squares of the centred descriptors.
const PENALTIES: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// Wider descriptors than this are not attacked: the fit takes their width cubed.
const MAX_WIDTH: usize = 1024;

/// Outcome of the attack.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Learned {
    /// People that were attacked, each with a map learned from others.
    pub people: usize,
    /// What guessing gets right.
    pub chance: f64,
    /// Share of results whose right person comes first.
    pub rank1: Proportion,
    /// Share among the first five.
    pub rank5: Proportion,
}

/// Attack `pairs` with maps learned from other people's pairs, searching among `originals` of `people`. `None` if
/// there are fewer than [`LEAST_PEOPLE`] people in `pairs`, or descriptors are too wide.
pub fn attack(pairs: &[Pair], originals: &[Seen], people: usize) -> Option<Learned> {
    let mut known: Vec<usize> = pairs.iter().map(|pair| pair.result.person).collect();
    known.sort_unstable();
    known.dedup();
    let width = pairs.first()?.original.width();
    if known.len() < LEAST_PEOPLE || width > MAX_WIDTH {
        return None;
    }
    shuffle(&mut Seed::new(0).keyed("audit-folds", &[]), &mut known);
    let mut fold_of = vec![0; people];
    for (place, &person) in known.iter().enumerate() {
        *fold_of.get_mut(person)? = place % FOLDS;
    }
    let of = |fold: usize| -> Vec<Pair> {
        pairs.iter().filter(|p| fold_of.get(p.result.person) == Some(&fold)).copied().collect()
    };
    let folds: Vec<Vec<Pair>> = (0..FOLDS).map(of).collect();
    let mut ranks = Vec::with_capacity(pairs.len());
    for (held, attacked) in folds.iter().enumerate() {
        let inner = (held + 1) % FOLDS;
        let joined = |left_out: &[usize]| -> Vec<Pair> {
            folds.iter().enumerate().filter(|(f, _)| !left_out.contains(f)).flat_map(|(_, p)| p.clone()).collect()
        };
        let tuning = Fit::new(&joined(&[held, inner]));
        let validation = folds.get(inner)?;
        let penalty = PENALTIES.iter().copied().max_by(|&a, &b| {
            tuning
                .map(a)
                .map_or(f64::MIN, |m| m.advantage(validation))
                .total_cmp(&tuning.map(b).map_or(f64::MIN, |m| m.advantage(validation)))
        })?;
        let fit = Fit::new(&joined(&[held]));
        let map = fit.map(penalty)?;
        let gallery: Vec<(DVector<f64>, usize)> =
            originals.iter().map(|o| (map.original(o.embedding.as_slice()), o.person)).collect();
        let mut best = vec![f64::NEG_INFINITY; people];
        for pair in attacked {
            let guess = map.guess(pair.result.embedding.as_slice());
            best.fill(f64::NEG_INFINITY);
            for (original, person) in &gallery {
                let best = best.get_mut(*person)?;
                *best = best.max(guess.dot(original));
            }
            let own = *best.get(pair.result.person)?;
            ranks.push(1 + best.iter().filter(|&&score| score > own).count());
        }
    }
    let within = |most: usize| Proportion::wilson(ranks.iter().filter(|&&rank| rank <= most).count(), ranks.len());
    Some(Learned { people: known.len(), chance: 1.0 / people as f64, rank1: within(1)?, rank5: within(5)? })
}

/// The sums a fit needs, for any penalty.
struct Fit {
    result_mean: DVector<f64>,
    original_mean: DVector<f64>,
    covariance: DMatrix<f64>,
    crossed: DMatrix<f64>,
}

impl Fit {
    fn new(pairs: &[Pair]) -> Self {
        let rows = |of: &dyn Fn(&Pair) -> Vec<f64>| {
            let rows: Vec<Vec<f64>> = pairs.iter().map(of).collect();
            let width = rows.first().map_or(0, Vec::len);
            let flat: Vec<f64> = rows.into_iter().flatten().collect();
            DMatrix::from_row_slice(pairs.len(), width, &flat)
        };
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let centred = |mut matrix: DMatrix<f64>| {
            let mean = matrix.row_mean();
            for mut row in matrix.row_iter_mut() {
                row -= &mean;
            }
            (mean.transpose(), matrix)
        };
        let (result_mean, results) = centred(rows(&|p| wide(p.result.embedding.as_slice())));
        let (original_mean, originals) = centred(rows(&|p| wide(p.original.as_slice())));
        let n = pairs.len().max(1) as f64;
        Self {
            covariance: results.tr_mul(&results) / n,
            crossed: results.tr_mul(&originals) / n,
            result_mean,
            original_mean,
        }
    }

    /// The map for one penalty; `None` if there is nothing to fit.
    fn map(&self, penalty: f64) -> Option<Map<'_>> {
        let width = self.covariance.nrows();
        let mean_square = self.covariance.trace() / width.max(1) as f64;
        let ridge = &self.covariance + DMatrix::identity(width, width) * (penalty * mean_square).max(1e-12);
        Some(Map { fit: self, weights: ridge.cholesky()?.solve(&self.crossed) })
    }
}

struct Map<'a> {
    fit: &'a Fit,
    weights: DMatrix<f64>,
}

impl Map<'_> {
    /// The direction in which the original of a result should lie, seen from the mean original.
    fn guess(&self, result: &[f32]) -> DVector<f64> {
        let centred =
            DVector::from_iterator(result.len(), result.iter().map(|&v| f64::from(v))) - &self.fit.result_mean;
        unit(self.weights.tr_mul(&centred))
    }

    fn original(&self, original: &[f32]) -> DVector<f64> {
        unit(DVector::from_iterator(original.len(), original.iter().map(|&v| f64::from(v))) - &self.fit.original_mean)
    }

    /// How much nearer guesses are to their own originals than to those of the others.
    fn advantage(&self, pairs: &[Pair]) -> f64 {
        let guesses: Vec<_> = pairs.iter().map(|p| self.guess(p.result.embedding.as_slice())).collect();
        let originals: Vec<_> = pairs.iter().map(|p| self.original(p.original.as_slice())).collect();
        let own: f64 = guesses.iter().zip(&originals).map(|(g, o)| g.dot(o)).sum();
        let sums = |vectors: &[DVector<f64>]| {
            vectors.iter().fold(None, |sum: Option<DVector<f64>>, v| match sum {
                None => Some(v.clone()),
                Some(sum) => Some(sum + v),
            })
        };
        let n = pairs.len().max(1) as f64;
        match (sums(&guesses), sums(&originals)) {
            (Some(g), Some(o)) => own / n - g.dot(&o) / (n * n),
            _ => 0.0,
        }
    }
}

fn unit(vector: DVector<f64>) -> DVector<f64> {
    let norm = vector.norm();
    if norm > 0.0 { vector / norm } else { vector }
}

#[cfg(test)]
mod tests {
    use rand::RngCore as _;

    use super::*;
    use perface::embedding::Embedding;

    const WIDTH: usize = 24;

    fn random(seed: u128, n: usize) -> Vec<Vec<f32>> {
        let mut rng = Seed::new(seed).keyed("test", &[]);
        // The sum of a few uniform values is near enough to a normal one.
        let mut value = || (0..6).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).sum::<f32>();
        (0..n).map(|_| (0..WIDTH).map(|_| value()).collect()).collect()
    }

    fn rank1(results: &[Vec<f32>], originals: &[Vec<f32>]) -> (Proportion, Proportion) {
        let unit = |rows: &[Vec<f32>]| rows.iter().map(|r| Embedding::from_raw(r).unwrap()).collect::<Vec<_>>();
        let (results, originals) = (unit(results), unit(originals));
        let gallery: Vec<Seen> =
            originals.iter().enumerate().map(|(i, embedding)| Seen { embedding, person: i, photo: i }).collect();
        let pairs: Vec<Pair> = results
            .iter()
            .zip(&originals)
            .enumerate()
            .map(|(i, (embedding, original))| Pair { result: Seen { embedding, person: i, photo: i }, original })
            .collect();
        let plain = super::super::recognition::matching(&pairs, &gallery, pairs.len(), None).search.unwrap().rank1;
        (plain, attack(&pairs, &gallery, pairs.len()).unwrap().rank1)
    }

    #[test]
    fn a_hidden_linear_trace_is_found_where_a_plain_search_sees_nothing() {
        let (originals, turn) = (random(1, 200), random(2, WIDTH));
        let turned = |row: &Vec<f32>| -> Vec<f32> {
            turn.iter().map(|t| t.iter().zip(row).map(|(a, b)| a * b).sum::<f32>()).collect()
        };
        let results: Vec<Vec<f32>> = originals.iter().map(turned).collect();
        let (plain, learned) = rank1(&results, &originals);
        assert!(plain.value < 0.1 && learned.value > 0.8, "{plain:?} {learned:?}");
    }

    #[test]
    fn faces_without_a_trace_stay_at_chance() {
        let (plain, learned) = rank1(&random(3, 200), &random(4, 200));
        assert!(plain.low < 0.005 && learned.low < 0.005, "{plain:?} {learned:?}");
    }

    #[test]
    fn too_few_people_teach_nothing() {
        assert!(attack(&[], &[], 0).is_none());
    }
}
