//! How well a similarity agrees with people's ratings of pairs: rank correlation.
//!
//! Spearman's ρ is Pearson's correlation of ranks, equal values sharing the mean rank; Kendall's τ-b counts pairs in the
//! same and in opposite order and corrects for ties (Biometrika 33, 1945). p values are the usual approximations:
//! Student's t for ρ, the normal distribution with ties in its variance for τ. Pairs that share faces are not
//! independent, so ρ also has the interval of a two-way cluster bootstrap over the faces of either column.

use std::path::Path;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::cluster::{RESAMPLES, for_each_resample, numbered, percentile_interval};
use perface::draw::Seed;
use perface::error::Result;
use perface::stats::Interval;
use perface::table::{ColumnNames, Table, csv_text};

/// A pair of pictures and how similar people found it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatedPair {
    /// One picture.
    pub a: String,
    /// The other.
    pub b: String,
    /// The mean rating, higher for more similar, on any scale.
    pub rating: f64,
    /// How many people rated it, if known.
    pub n: Option<usize>,
}

/// Read a list with the columns `a, b, rating` and perhaps `n`.
///
/// # Errors
/// [`perface::Error::Io`]; [`perface::Error::Malformed`] with the line for a missing column or a rating that is no number.
pub fn read_ratings(path: &Path, names: &ColumnNames) -> Result<Vec<RatedPair>> {
    let table = Table::read(path, names, &["a", "b", "rating"])?;
    let pairs = table.rows().map(|row| {
        let rating: f64 = row.parse("rating")?;
        if !rating.is_finite() {
            return Err(row.error("rating is not a finite number"));
        }
        Ok(RatedPair { a: row.parse("a")?, b: row.parse("b")?, rating, n: row.parse_optional("n")? })
    });
    pairs.collect()
}

/// A correlation coefficient in `[-1, 1]` and the probability of one at least as far from 0 if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Correlation {
    /// The coefficient.
    pub value: f64,
    /// Two-sided p.
    pub p: f64,
}

/// Stands on everything that was made from ratings nobody gave.
pub const DERIVED_NOTE: &str =
    "DERIVED RATINGS: nobody was asked how alike these faces are; the ratings were computed from other ratings.";

/// One model against the ratings.
#[derive(Clone, Debug, Serialize)]
pub struct SimilarityEvaluation {
    /// Version of this record.
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// Whether the ratings were computed and nobody was asked.
    pub derived: bool,
    /// Pairs that were compared.
    pub n: usize,
    /// Pairs with a picture that could not be used.
    pub skipped: usize,
    /// Spearman's ρ; `None` with fewer than three pairs or where one side is constant.
    pub spearman: Option<Correlation>,
    /// Its interval, resampling faces.
    pub spearman_clustered: Option<Interval>,
    /// Kendall's τ-b; `None` as above.
    pub kendall: Option<Correlation>,
    /// The pairs with their cosines.
    pub pairs: Vec<(RatedPair, f32)>,
}

/// Compare `pairs` with the cosines a model gives them; `None` where a picture could not be used.
pub fn evaluate(model: &str, pairs: &[RatedPair], cosines: &[Option<f32>], seed: Seed) -> SimilarityEvaluation {
    let kept: Vec<(RatedPair, f32)> =
        pairs.iter().zip(cosines).filter_map(|(pair, cosine)| Some((pair.clone(), (*cosine)?))).collect();
    let x: Vec<f64> = kept.iter().map(|(pair, _)| pair.rating).collect();
    let y: Vec<f64> = kept.iter().map(|(_, cosine)| f64::from(*cosine)).collect();
    let spearman = spearman(&x, &y);
    let row = numbered(kept.iter().map(|(pair, _)| pair.a.as_str()));
    let column = numbered(kept.iter().map(|(pair, _)| pair.b.as_str()));
    let mut resampled = Vec::new();
    if spearman.is_some() {
        for_each_resample(&row, &column, RESAMPLES, seed, |weights| {
            resampled.extend(weighted_spearman(&x, &y, weights));
        });
    }
    SimilarityEvaluation {
        schema: 1,
        model: model.to_owned(),
        derived: false,
        n: kept.len(),
        skipped: pairs.len() - kept.len(),
        spearman,
        spearman_clustered: spearman.and_then(|s| percentile_interval(s.value, &resampled)),
        kendall: kendall(&x, &y),
        pairs: kept,
    }
}

impl SimilarityEvaluation {
    /// As text.
    pub fn to_text(&self) -> String {
        let show = |c: Option<Correlation>| {
            c.map_or("–".to_owned(), |c| format!("{:.3} (p {})", c.value, super::triplet::p_value(c.p)))
        };
        let interval = self
            .spearman_clustered
            .map_or(String::new(), |i| format!(", clustered 95 % [{:.3}, {:.3}]", i.low, i.high));
        let skipped =
            if self.skipped > 0 { format!("; {} left out, pictures unusable", self.skipped) } else { String::new() };
        format!(
            "{}: {} pairs{skipped}\nSpearman rho  {}{interval}\nKendall tau-b {}\n",
            self.model,
            self.n,
            show(self.spearman),
            show(self.kendall)
        )
    }

    /// The pairs as a table.
    ///
    /// # Errors
    /// If a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let head = ["a", "b", "rating", "n", "cosine"].map(str::to_owned);
        csv_text(
            &head,
            self.pairs.iter().map(|(pair, cosine)| {
                let n = pair.n.map_or(String::new(), |n| n.to_string());
                vec![pair.a.clone(), pair.b.clone(), pair.rating.to_string(), n, cosine.to_string()]
            }),
        )
    }
}

/// Mean rank of each value, from 1, weighted: a value counts as often as its weight says.
fn weighted_ranks(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let at = |list: &[f64], index: usize| list.get(index).copied().unwrap_or(f64::NAN);
    order.sort_by(|&i, &j| at(values, i).total_cmp(&at(values, j)));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0.0;
    for tied in order.chunk_by(|&i, &j| at(values, i) == at(values, j)) {
        let here: f64 = tied.iter().map(|&index| at(weights, index)).sum();
        for &index in tied {
            if let Some(rank) = ranks.get_mut(index) {
                *rank = below + (here + 1.0) / 2.0;
            }
        }
        below += here;
    }
    ranks
}

/// Spearman's ρ where a pair counts as often as its weight; `None` where one side is constant.
fn weighted_spearman(x: &[f64], y: &[f64], weights: &[f64]) -> Option<f64> {
    let (x, y) = (weighted_ranks(x, weights), weighted_ranks(y, weights));
    let total: f64 = weights.iter().sum();
    let mean = |ranks: &[f64]| ranks.iter().zip(weights).map(|(rank, weight)| rank * weight).sum::<f64>() / total;
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for ((x, y), weight) in x.iter().zip(&y).zip(weights) {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += weight * x * y;
        xx += weight * x * x;
        yy += weight * y * y;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's ρ of values that are not NaN; `None` with fewer than three or lists of unequal length, or where one is
/// constant.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<Correlation> {
    if x.len() < 3 || x.len() != y.len() {
        return None;
    }
    let value = weighted_spearman(x, y, &vec![1.0; x.len()])?;
    let dof = x.len() as f64 - 2.0;
    let t = value * (dof / ((1.0 + value) * (1.0 - value))).sqrt();
    let p = if t.is_finite() { 2.0 * StudentsT::new(0.0, 1.0, dof).ok()?.sf(t.abs()) } else { 0.0 };
    Some(Correlation { value, p })
}

/// Kendall's τ-b of values that are not NaN; `None` as for [`spearman`]. Takes time in proportion to the square of
/// their number.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<Correlation> {
    if x.len() < 3 || x.len() != y.len() {
        return None;
    }
    let mut score = 0i64;
    for (index, (xi, yi)) in x.iter().zip(y).enumerate() {
        for (xj, yj) in x.iter().zip(y).skip(index + 1) {
            let sign = |a: &f64, b: &f64| i64::from(a > b) - i64::from(a < b);
            score += sign(xj, xi) * sign(yj, yi);
        }
    }
    let n = x.len() as f64;
    let pairs = n * (n - 1.0) / 2.0;
    let (ties_x, ties_y) = (Ties::of(x), Ties::of(y));
    let (free_x, free_y) = (pairs - ties_x.pairs, pairs - ties_y.pairs);
    if free_x <= 0.0 || free_y <= 0.0 {
        return None;
    }
    let score = score as f64;
    let value = (score / (free_x.sqrt() * free_y.sqrt())).clamp(-1.0, 1.0);
    // Kendall, Rank Correlation Methods, 1970, with ties.
    let m = n * (n - 1.0);
    let variance = (m * (2.0 * n + 5.0) - ties_x.v - ties_y.v) / 18.0
        + 2.0 * ties_x.pairs * ties_y.pairs / m
        + ties_x.triples * ties_y.triples / (9.0 * m * (n - 2.0));
    let z = score / variance.sqrt();
    let p = if z.is_finite() { 2.0 * Normal::standard().sf(z.abs()) } else { 1.0 };
    Some(Correlation { value, p })
}

/// Sums over groups of t equal values: t(t − 1)/2, t(t − 1)(t − 2), t(t − 1)(2t + 5).
#[derive(Default)]
struct Ties {
    pairs: f64,
    triples: f64,
    v: f64,
}

impl Ties {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.chunk_by(|a, b| a == b).fold(Self::default(), |sum, tied| {
            let t = tied.len() as f64;
            Self {
                pairs: sum.pairs + t * (t - 1.0) / 2.0,
                triples: sum.triples + t * (t - 1.0) * (t - 2.0),
                v: sum.v + t * (t - 1.0) * (2.0 * t + 5.0),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn correlations_are_those_of_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/evaluation.json");
        let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in reference["correlation"].as_array().unwrap() {
            let list = |name: &str| -> Vec<f64> {
                case[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
            };
            let (x, y) = (list("x"), list("y"));
            let (spearman, kendall) = (spearman(&x, &y).unwrap(), kendall(&x, &y).unwrap());
            for (got, name) in [
                (spearman.value, "spearman"),
                (spearman.p, "spearman_p"),
                (kendall.value, "kendall"),
                (kendall.p, "kendall_p"),
            ] {
                let want = case[name].as_f64().unwrap();
                assert!((got - want).abs() <= 1e-9, "{name} of {}: {got} is not {want}", x.len());
            }
        }
    }

    #[test]
    fn a_weight_is_a_repetition() {
        let (x, y) = ([1.0, 2.0, 2.0, 5.0, 3.0], [2.0, 1.0, 4.0, 4.0, 9.0]);
        let weights = [2.0, 0.0, 1.0, 3.0, 1.0];
        let repeat = |list: [f64; 5]| -> Vec<f64> {
            list.iter().zip(weights).flat_map(|(v, w)| std::iter::repeat_n(*v, w as usize)).collect()
        };
        let want = spearman(&repeat(x), &repeat(y)).unwrap().value;
        assert!((weighted_spearman(&x, &y, &weights).unwrap() - want).abs() < 1e-12);
    }

    #[test]
    fn the_same_order_is_one_and_a_constant_is_nothing() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(spearman(&x, &x).unwrap(), Correlation { value: 1.0, p: 0.0 });
        assert_eq!(kendall(&x, &x).unwrap().value, 1.0);
        assert_eq!((spearman(&x, &[1.0; 4]), kendall(&x, &[1.0; 4])), (None, None));
        assert_eq!(spearman(&x[..2], &x[..2]), None);
    }

    #[test]
    fn unusable_pictures_are_counted() {
        let pair = |a: &str, rating| RatedPair { a: a.to_owned(), b: "x".to_owned(), rating, n: None };
        let pairs = [pair("p", 1.0), pair("q", 2.0), pair("r", 3.0), pair("s", 4.0)];
        let result = evaluate("m", &pairs, &[Some(0.1), None, Some(0.2), Some(0.5)], Seed::new(1));
        assert_eq!((result.n, result.skipped, result.spearman.unwrap().value), (3, 1, 1.0));
        assert!(result.to_text().contains("1 left out"));
    }
}
