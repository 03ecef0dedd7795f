//! Intervals, tests and scores for comparing models on the same data.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, Binomial, ContinuousCDF, Discrete, DiscreteCDF};

pub use crate::summary::{Moments, Proportion, Z_975, quantile, student_t};

/// Share of probability outside the intervals of this module.
pub const OUTSIDE: f64 = 0.05;

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    fn what_cannot_be_computed_is_none() {
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(exact_interval(0, 0), None);
        assert_eq!(exact_interval(3, 2), None);
        assert_eq!(binomial_test(1, 2, 1.5), None);
        assert_eq!(ranking_auc(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(balanced_accuracy(1, 0, 0, 0), None);
        assert_eq!(mcnemar_exact(0, 0), 1.0);
    }
}
