//! Intervals, tests and scores for comparing models on the same data.

use serde::Serialize;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, Discrete, DiscreteCDF};

use crate::draw::{Seed, below};
pub use crate::summary::{Moments, Proportion, Z_975, quantile, student_t};

/// Share of probability outside the intervals of this module.
const OUTSIDE: f64 = 0.05;

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// The mean of a sample with Student's interval; `None` for fewer than two values.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let moments = Moments::of(values)?;
    let high = moments.mean_upper(1.0 - OUTSIDE / 2.0)?;
    Some(Interval { estimate: moments.mean, low: 2.0 * moments.mean - high, high })
}

/// Exact interval of a proportion (Clopper & Pearson, Biometrika 26, 1934); wider than Wilson's, never too narrow.
/// `None` if there are no trials or more hits than trials.
pub fn exact_interval(hits: u64, n: u64) -> Option<Interval> {
    let misses = n.checked_sub(hits).filter(|_| n > 0)?;
    let point = |a: u64, b: u64, p: f64| Some(Beta::new(a as f64, b as f64).ok()?.inverse_cdf(p));
    let low = if hits == 0 { 0.0 } else { point(hits, misses + 1, OUTSIDE / 2.0)? };
    let high = if misses == 0 { 1.0 } else { point(hits + 1, misses, 1.0 - OUTSIDE / 2.0)? };
    Some(Interval { estimate: hits as f64 / n as f64, low, high })
}

/// Probability of `hits` or more successes in `n` trials of probability `chance`; `None` if `chance` is none.
pub fn chance_of_at_least(hits: u64, n: u64, chance: f64) -> Option<f64> {
    let binomial = Binomial::new(chance, n).ok()?;
    Some(if hits == 0 { 1.0 } else { binomial.sf(hits - 1) })
}

/// Two-sided exact binomial test: probability of an outcome no likelier than `hits` in `n` trials of probability
/// `chance`; `None` if `chance` is no probability or there are more hits than trials.
pub fn binomial_test(hits: u64, n: u64, chance: f64) -> Option<f64> {
    // Outcomes as likely as the observed one may differ from it by rounding.
    const SLACK: f64 = 1.0 + 1e-7;
    let binomial = Binomial::new(chance, n).ok().filter(|_| hits <= n)?;
    let observed = binomial.pmf(hits) * SLACK;
    let total: f64 = (0..=n).map(|k| binomial.pmf(k)).filter(|p| *p <= observed).sum();
    Some(total.min(1.0))
}

/// McNemar's exact test of two models on the same cases: two-sided p for `only_first` cases that only the first got
/// right and `only_second` that only the second did. 1 if they never differ.
pub fn mcnemar_exact(only_first: u64, only_second: u64) -> f64 {
    let n = only_first + only_second;
    Binomial::new(0.5, n).map_or(1.0, |binomial| (2.0 * binomial.cdf(only_first.min(only_second))).min(1.0))
}

/// Area under the ROC curve: probability that a positive case scores above a negative one, ties counting half.
/// `None` without cases of both kinds. Scores must not be NaN.
pub fn ranking_auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut cases: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    cases.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = cases.iter().filter(|(_, positive)| *positive).count();
    let negatives = cases.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut wins, mut below) = (0.0, 0usize);
    for tied in cases.chunk_by(|a, b| a.0 == b.0) {
        let here = tied.iter().filter(|(_, positive)| *positive).count();
        let others = tied.len() - here;
        wins += here as f64 * (below as f64 + others as f64 / 2.0);
        below += others;
    }
    Some(wins / (positives as f64 * negatives as f64))
}

/// Mean of the shares of positive and negative cases that were told right; `None` if one kind has no cases.
pub fn balanced_accuracy(tp: usize, fp: usize, fn_: usize, tn: usize) -> Option<f64> {
    let (positives, negatives) = (tp + fn_, fp + tn);
    (positives > 0 && negatives > 0).then(|| (tp as f64 / positives as f64 + tn as f64 / negatives as f64) / 2.0)
}

/// Percentile interval of the mean of values that share rows and columns, such as answers that share a target and a
/// triplet: rows and columns are resampled with replacement, independently (two-way cluster bootstrap).
///
/// `row` and `column` say to which of each a value belongs, in any numbering. For two models on the same cases, pass
/// the differences. Resamples without any value are drawn again. `None` without values, with lists of unequal length
/// or no resamples.
pub fn two_way_bootstrap(
    values: &[f64],
    row: &[usize],
    column: &[usize],
    resamples: usize,
    seed: Seed,
) -> Option<Interval> {
    if values.is_empty() || values.len() != row.len() || values.len() != column.len() || resamples == 0 {
        return None;
    }
    let (row, rows) = renumbered(row);
    let (column, columns) = renumbered(column);
    let mut rng = seed.keyed("two-way-bootstrap", &[]);
    let mut counts = |n: usize| {
        let mut counts = vec![0.0; n];
        for _ in 0..n {
            if let Some(count) = counts.get_mut(below(&mut rng, n)) {
                *count += 1.0;
            }
        }
        counts
    };
    let mut means = Vec::with_capacity(resamples);
    while means.len() < resamples {
        let (row_counts, column_counts) = (counts(rows), counts(columns));
        let (mut total, mut weight) = (0.0, 0.0);
        for ((value, r), c) in values.iter().zip(&row).zip(&column) {
            let times: f64 = row_counts.get(*r).unwrap_or(&0.0) * column_counts.get(*c).unwrap_or(&0.0);
            total += times * value;
            weight += times;
        }
        if weight > 0.0 {
            means.push(total / weight);
        }
    }
    Some(Interval {
        estimate: values.iter().sum::<f64>() / values.len() as f64,
        low: quantile(&means, OUTSIDE / 2.0)?,
        high: quantile(&means, 1.0 - OUTSIDE / 2.0)?,
    })
}

/// The same labels as 0, 1, 2 … in order of size, and how many there are.
fn renumbered(labels: &[usize]) -> (Vec<usize>, usize) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let places = labels.iter().map(|label| distinct.partition_point(|other| other < label)).collect();
    (places, distinct.len())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Numbers that `tools/stats_reference.py` computed.
    fn reference() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/stats.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn near(got: f64, want: &Value, what: &Value) {
        let want = want.as_f64().unwrap();
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{got} is not {want} for {what}");
    }

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    #[test]
    fn quantiles_and_intervals_are_those_of_the_reference() {
        let reference = reference();
        for case in reference["student_t"].as_array().unwrap() {
            near(student_t(case["p"].as_f64().unwrap(), case["dof"].as_f64().unwrap()), &case["t"], case);
        }
        for case in reference["quantile"].as_array().unwrap() {
            near(quantile(&floats(&case["values"]), case["q"].as_f64().unwrap()).unwrap(), &case["quantile"], case);
        }
        for case in reference["mean_interval"].as_array().unwrap() {
            let interval = mean_interval(&floats(&case["values"])).unwrap();
            near(interval.estimate, &case["mean"], case);
            near(interval.low, &case["low"], case);
            near(interval.high, &case["high"], case);
        }
    }

    #[test]
    fn proportions_and_tests_are_those_of_the_reference() {
        let reference = reference();
        for case in reference["proportion"].as_array().unwrap() {
            let (hits, n) = (case["hits"].as_u64().unwrap(), case["n"].as_u64().unwrap());
            let wilson = Proportion::wilson(hits as usize, n as usize).unwrap();
            near(wilson.low, &case["wilson_low"], case);
            near(wilson.high, &case["wilson_high"], case);
            let exact = exact_interval(hits, n).unwrap();
            near(exact.low, &case["exact_low"], case);
            near(exact.high, &case["exact_high"], case);
        }
        for case in reference["binomial"].as_array().unwrap() {
            let (hits, n) = (case["hits"].as_u64().unwrap(), case["n"].as_u64().unwrap());
            let chance = case["chance"].as_f64().unwrap();
            near(binomial_test(hits, n, chance).unwrap(), &case["two_sided"], case);
            near(chance_of_at_least(hits, n, chance).unwrap(), &case["at_least"], case);
        }
        for case in reference["mcnemar"].as_array().unwrap() {
            let p = mcnemar_exact(case["only_first"].as_u64().unwrap(), case["only_second"].as_u64().unwrap());
            near(p, &case["p"], case);
        }
    }

    #[test]
    fn areas_and_balanced_accuracy_are_those_of_the_reference() {
        let reference = reference();
        for case in reference["auc"].as_array().unwrap() {
            let positive: Vec<bool> =
                case["positive"].as_array().unwrap().iter().map(|p| p == &Value::from(1)).collect();
            near(ranking_auc(&floats(&case["scores"]), &positive).unwrap(), &case["auc"], case);
        }
        for case in reference["balanced_accuracy"].as_array().unwrap() {
            let count = |name: &str| case[name].as_u64().unwrap() as usize;
            near(balanced_accuracy(count("tp"), count("fp"), count("fn"), count("tn")).unwrap(), &case["value"], case);
        }
    }

    #[test]
    fn the_two_way_bootstrap_has_the_quantiles_of_all_resamples() {
        // The reference went through all 27 × 27 resamples of three rows and three columns.
        for case in reference()["two_way_bootstrap"].as_array().unwrap() {
            let clusters = |name: &str| floats(&case[name]).iter().map(|x| *x as usize).collect::<Vec<_>>();
            let values = floats(&case["values"]);
            let interval =
                two_way_bootstrap(&values, &clusters("row"), &clusters("column"), 20_000, Seed::new(3)).unwrap();
            assert!((interval.estimate - case["mean"].as_f64().unwrap()).abs() < 1e-12);
            for (got, bounds) in [(interval.low, &case["low_between"]), (interval.high, &case["high_between"])] {
                let bounds = floats(bounds);
                assert!(bounds[0] - 1e-9 <= got && got <= bounds[1] + 1e-9, "{got} is not in {bounds:?}");
            }
        }
    }

    #[test]
    fn shared_rows_make_the_interval_wider() {
        // Ten rows of ten equal values: as much is known as from ten values, not from a hundred.
        let values: Vec<f64> = (0..100).map(|i| f64::from(u8::from((i / 10) % 2 == 0))).collect();
        let (row, column): (Vec<usize>, Vec<usize>) =
            ((0..100).map(|i| i / 10).collect(), (0..100).map(|i| i % 10).collect());
        let own: Vec<usize> = (0..100).collect();
        let shared = two_way_bootstrap(&values, &row, &column, 2000, Seed::new(1)).unwrap();
        let alone = two_way_bootstrap(&values, &own, &vec![0; 100], 2000, Seed::new(1)).unwrap();
        assert!(shared.high - shared.low > 2.0 * (alone.high - alone.low), "{shared:?} {alone:?}");
        assert_eq!(two_way_bootstrap(&values, &row, &column, 2000, Seed::new(1)), Some(shared), "repeatable");
    }

    #[test]
    fn what_cannot_be_computed_is_none() {
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(exact_interval(0, 0), None);
        assert_eq!(exact_interval(3, 2), None);
        assert_eq!(binomial_test(1, 2, 1.5), None);
        assert_eq!(ranking_auc(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(balanced_accuracy(1, 0, 0, 0), None);
        assert_eq!(two_way_bootstrap(&[], &[], &[], 10, Seed::new(0)), None);
        assert_eq!(mcnemar_exact(0, 0), 1.0);
    }
}
