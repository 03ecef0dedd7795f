//! How much people agree on which face is closer.
//!
//! Pairwise agreement, Fleiss' κ and Krippendorff's α for nominal data (Content Analysis, 2004, ch. 11) from the votes
//! for A and B of each sample. Samples may have unequal numbers of votes; those with fewer than two say nothing. Each
//! sample may count several times, as in a resample of the bootstrap; intervals are two-way clustered by target and
//! source triplet, since samples share both.

use serde::Serialize;

use crate::eval::ceiling::{NoiseCeiling, fleiss_kappa};
use crate::eval::cluster::{RESAMPLES, for_each_resample, percentile_interval};
use perface::draw::Seed;
use perface::stats::Interval;

/// Votes for A and for B of one sample.
pub type Votes = (usize, usize);

/// The three measures of agreement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Share of pairs of people that agree, the mean over samples, in `[0, 1]`.
    pub pairwise: f64,
    /// Fleiss' κ; `None` if every vote is for the same letter.
    pub fleiss_kappa: Option<f64>,
    /// Krippendorff's α for nominal data; `None` if every vote is for the same letter.
    pub krippendorff_alpha: Option<f64>,
    /// Share of samples on which everybody agrees, in `[0, 1]`.
    pub unanimous: f64,
}

impl Measures {
    /// From votes, sample `i` counting `weights[i]` times. `None` if no sample with two votes has weight.
    pub fn weighted(votes: &[Votes], weights: &[f64]) -> Option<Self> {
        let (mut samples, mut agreement, mut unanimous) = (0.0, 0.0, 0.0);
        let (mut for_a, mut answers) = (0.0, 0.0);
        // Coincidences: pairs of a and a, b and b, and of different letters, each value pairable n_u − 1 times.
        let mut different = 0.0;
        for ((a, b), weight) in votes.iter().zip(weights) {
            let n = a + b;
            if n < 2 || *weight <= 0.0 {
                continue;
            }
            let (a, b, n) = (*a as f64, *b as f64, n as f64);
            samples += weight;
            agreement += weight * (a * (a - 1.0) + b * (b - 1.0)) / (n * (n - 1.0));
            unanimous += if a == 0.0 || b == 0.0 { *weight } else { 0.0 };
            for_a += weight * a;
            answers += weight * n;
            different += weight * 2.0 * a * b / (n - 1.0);
        }
        if samples <= 0.0 {
            return None;
        }
        let pairwise = agreement / samples;
        let expected = 2.0 * for_a * (answers - for_a) / (answers - 1.0);
        Some(Self {
            pairwise,
            fleiss_kappa: fleiss_kappa(pairwise, for_a / answers),
            krippendorff_alpha: (expected > 0.0).then(|| 1.0 - different / expected),
            unanimous: unanimous / samples,
        })
    }

    /// From votes, each sample counting once.
    pub fn of(votes: &[Votes]) -> Option<Self> {
        Self::weighted(votes, &vec![1.0; votes.len()])
    }
}

/// The measures with 95 % intervals, and what they leave for anything that predicts people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Samples with at least two valid votes.
    pub samples: usize,
    /// Valid votes on them.
    pub votes: usize,
    /// Share of pairs of people that agree.
    pub pairwise: Interval,
    /// Fleiss' κ.
    pub fleiss_kappa: Option<Interval>,
    /// Krippendorff's α.
    pub krippendorff_alpha: Option<Interval>,
    /// Share of samples on which everybody agrees.
    pub unanimous: Interval,
    /// Resamples behind the intervals.
    pub resamples: usize,
    /// What a perfect model could reach.
    pub ceiling: NoiseCeiling,
}

impl Agreement {
    /// Of samples with their votes, target and source triplet, both in any numbering. `None` if no sample has two votes.
    pub fn of(votes: &[Votes], target: &[usize], triplet: &[usize], seed: Seed) -> Option<Self> {
        let estimate = Measures::of(votes)?;
        let mut resampled: Vec<Measures> = Vec::with_capacity(RESAMPLES);
        for_each_resample(target, triplet, RESAMPLES, seed, |weights| {
            resampled.extend(Measures::weighted(votes, weights));
        });
        let interval = |of: &dyn Fn(&Measures) -> Option<f64>| {
            let values: Vec<f64> = resampled.iter().filter_map(of).collect();
            percentile_interval(of(&estimate)?, &values)
        };
        let counted = votes.iter().filter(|(a, b)| a + b >= 2);
        Some(Self {
            samples: counted.clone().count(),
            votes: counted.map(|(a, b)| a + b).sum(),
            pairwise: interval(&|m| Some(m.pairwise))?,
            fleiss_kappa: interval(&|m| m.fleiss_kappa),
            krippendorff_alpha: interval(&|m| m.krippendorff_alpha),
            unanimous: interval(&|m| Some(m.unanimous))?,
            resamples: resampled.len(),
            ceiling: NoiseCeiling::of(votes.iter().copied())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Numbers that `tools/agreement_reference.py` computed with statsmodels and krippendorff.
    fn reference() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/agreement.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn near(got: f64, want: &Value, what: &str) {
        let want = want.as_f64().unwrap();
        assert!((got - want).abs() <= 1e-9, "{what}: {got} is not {want}");
    }

    fn votes(case: &Value) -> Vec<Votes> {
        let count = |pair: &Value, i: usize| pair[i].as_u64().unwrap() as usize;
        case["votes"].as_array().unwrap().iter().map(|pair| (count(pair, 0), count(pair, 1))).collect()
    }

    #[test]
    fn kappa_and_alpha_are_those_of_statsmodels_and_krippendorff() {
        for case in reference()["cases"].as_array().unwrap() {
            let measures = Measures::of(&votes(case)).unwrap();
            near(measures.pairwise, &case["pairwise"], "pairwise");
            near(measures.krippendorff_alpha.unwrap(), &case["alpha"], "alpha");
            near(measures.unanimous, &case["unanimous"], "unanimous");
            // Fleiss' κ is defined for equal numbers of votes only; otherwise statsmodels has none.
            if !case["kappa"].is_null() {
                near(measures.fleiss_kappa.unwrap(), &case["kappa"], "kappa");
            }
        }
    }

    #[test]
    fn intervals_are_those_of_the_reference_on_the_same_resamples() {
        let floats = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
        for case in reference()["resampled"].as_array().unwrap() {
            let votes = votes(case);
            let estimate = Measures::of(&votes).unwrap();
            let measures: Vec<Measures> = case["weights"]
                .as_array()
                .unwrap()
                .iter()
                .map(|weights| Measures::weighted(&votes, &floats(weights)).unwrap())
                .collect();
            for (name, of) in [
                ("pairwise", (|m| Some(m.pairwise)) as fn(&Measures) -> Option<f64>),
                ("kappa", |m| m.fleiss_kappa),
                ("alpha", |m| m.krippendorff_alpha),
            ] {
                let values: Vec<f64> = measures.iter().filter_map(of).collect();
                let interval = percentile_interval(of(&estimate).unwrap(), &values).unwrap();
                near(interval.low, &case[name]["low"], name);
                near(interval.high, &case[name]["high"], name);
            }
        }
    }

    #[test]
    fn intervals_hold_the_estimate_and_are_repeatable() {
        let votes: Vec<Votes> = (0..64).map(|i| if i % 3 == 0 { (2, 1) } else { (3, 0) }).collect();
        let (target, triplet): (Vec<usize>, Vec<usize>) =
            ((0..64).map(|i| i / 8).collect(), (0..64).map(|i| i % 8).collect());
        let agreement = Agreement::of(&votes, &target, &triplet, Seed::new(1)).unwrap();
        assert!(
            agreement.pairwise.low < agreement.pairwise.estimate
                && agreement.pairwise.estimate < agreement.pairwise.high
        );
        assert_eq!(Agreement::of(&votes, &target, &triplet, Seed::new(1)), Some(agreement));
    }

    #[test]
    fn one_letter_throughout_has_no_kappa_and_single_votes_no_agreement() {
        let measures = Measures::of(&[(3, 0), (3, 0)]).unwrap();
        assert_eq!((measures.pairwise, measures.fleiss_kappa, measures.krippendorff_alpha), (1.0, None, None));
        assert_eq!(Measures::of(&[(1, 0), (0, 0)]), None);
    }
}
