//! Readings of "the distance to a group", from the distances to its members.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::draw::{Seed, below};
use crate::summary::{Moments, Z_975, quantile};

/// Quantile of [`GroupDistance::Percentile`] where none is given: the upper end of the central 95 %.
const DEFAULT_QUANTILE: f64 = 0.975;
/// Neighbours of [`GroupDistance::KnnMean`] where none are given.
const DEFAULT_NEIGHBOURS: usize = 5;
/// Resampled means of [`GroupDistance::BootstrapMeanUpper`].
const RESAMPLES: usize = 2000;
/// The seed of those: part of the definition, so that the same faces always give the same distance.
const RESAMPLING_SEED: Seed = Seed::new(0);
/// Largest group whose resamples are drawn once and kept; 2000 × 1024 indices are 8 MB.
const MAX_KEPT: usize = 1024;

/// How the distances d of a face to the n members of a group become one. With mean m and standard deviation s
/// (divisor n − 1) of the d:
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum GroupDistance {
    /// `mean-ci-upper`: m + t(.975, n−1)·s/√n, the upper limit of the 95 % interval of the mean.
    #[default]
    MeanCiUpper,
    /// `mean-ci-upper-z`: m + 1.96·s/√n.
    MeanCiUpperZ,
    /// `mean-ci-upper-onesided`: m + t(.95, n−1)·s/√n.
    MeanCiUpperOneSided,
    /// `normal-upper`: m + 1.96·s, the upper limit for single distances if they are normal.
    NormalUpper,
    /// `percentile` or `percentile(0.95)`: the empirical quantile, linearly interpolated.
    Percentile(f64),
    /// `bootstrap-mean-upper`: 97.5 % quantile of 2000 resampled means.
    BootstrapMeanUpper,
    /// `mean`: m.
    Mean,
    /// `median`.
    Median,
    /// `min`: the nearest member.
    Min,
    /// `knn-mean` or `knn-mean(10)`: mean of the k nearest members, of all where there are fewer.
    KnnMean(usize),
}

impl GroupDistance {
    /// One of each, for a comparison side by side.
    pub const EACH: [Self; 12] = [
        Self::MeanCiUpper,
        Self::MeanCiUpperZ,
        Self::MeanCiUpperOneSided,
        Self::NormalUpper,
        Self::Percentile(DEFAULT_QUANTILE),
        Self::Percentile(0.95),
        Self::BootstrapMeanUpper,
        Self::Mean,
        Self::Median,
        Self::Min,
        Self::KnnMean(DEFAULT_NEIGHBOURS),
        Self::KnnMean(20),
    ];
}

impl fmt::Display for GroupDistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MeanCiUpper => f.pad("mean-ci-upper"),
            Self::MeanCiUpperZ => f.pad("mean-ci-upper-z"),
            Self::MeanCiUpperOneSided => f.pad("mean-ci-upper-onesided"),
            Self::NormalUpper => f.pad("normal-upper"),
            Self::Percentile(q) if *q == DEFAULT_QUANTILE => f.pad("percentile"),
            Self::Percentile(q) => f.pad(&format!("percentile({q})")),
            Self::BootstrapMeanUpper => f.pad("bootstrap-mean-upper"),
            Self::Mean => f.pad("mean"),
            Self::Median => f.pad("median"),
            Self::Min => f.pad("min"),
            Self::KnnMean(k) => f.pad(&format!("knn-mean({k})")),
        }
    }
}

impl FromStr for GroupDistance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            let names: Vec<String> = Self::EACH.iter().map(Self::to_string).collect();
            format!("{text:?} is no group distance; there are {}", names.join(", "))
        };
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?.trim())),
            None => (text, None),
        };
        let parsed = match (name, argument) {
            ("mean-ci-upper", None) => Self::MeanCiUpper,
            ("mean-ci-upper-z", None) => Self::MeanCiUpperZ,
            ("mean-ci-upper-onesided", None) => Self::MeanCiUpperOneSided,
            ("normal-upper", None) => Self::NormalUpper,
            ("percentile", None) => Self::Percentile(DEFAULT_QUANTILE),
            ("percentile", Some(q)) => {
                let q = q.parse().ok().filter(|q| (0.0..=1.0).contains(q));
                Self::Percentile(q.ok_or_else(|| format!("{text:?}: a quantile is between 0 and 1"))?)
            }
            ("bootstrap-mean-upper", None) => Self::BootstrapMeanUpper,
            ("mean", None) => Self::Mean,
            ("median", None) => Self::Median,
            ("min", None) => Self::Min,
            ("knn-mean", None) => Self::KnnMean(DEFAULT_NEIGHBOURS),
            ("knn-mean", Some(k)) => {
                let k = k.parse().ok().filter(|k| *k > 0);
                Self::KnnMean(k.ok_or_else(|| format!("{text:?}: the number of neighbours is at least 1"))?)
            }
            _ => return Err(unknown()),
        };
        Ok(parsed)
    }
}

impl Serialize for GroupDistance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GroupDistance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a [`Meter`] says of one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// By the definition; `None` if that needs two members and there is one.
    pub distance: Option<f64>,
    /// Mean distance.
    pub mean: f64,
    /// Upper limit of the two-sided 95 % interval of the mean.
    pub ci_upper: Option<f64>,
}

/// A definition at work; keeps what is the same for every face.
pub struct Meter {
    definition: GroupDistance,
    /// For a group size, the members of each resample.
    resamples: BTreeMap<usize, Vec<u32>>,
}

impl Meter {
    /// For distances by this definition.
    pub fn new(definition: GroupDistance) -> Self {
        Self { definition, resamples: BTreeMap::new() }
    }

    /// The distance to a group whose members are at `distances`, all finite; `None` if there are none.
    pub fn measure(&mut self, distances: &[f64]) -> Option<Measured> {
        let moments = Moments::of(distances)?;
        let Moments { n, mean, sd } = moments;
        let ci_upper = moments.mean_upper(0.975);
        let distance = match self.definition {
            GroupDistance::MeanCiUpper => ci_upper,
            GroupDistance::MeanCiUpperZ => sd.map(|sd| mean + Z_975 * sd / (n as f64).sqrt()),
            GroupDistance::MeanCiUpperOneSided => moments.mean_upper(0.95),
            GroupDistance::NormalUpper => sd.map(|sd| mean + Z_975 * sd),
            GroupDistance::Percentile(q) => quantile(distances, q),
            GroupDistance::BootstrapMeanUpper => {
                if n > 1 {
                    quantile(&self.resampled_means(distances), 0.975)
                } else {
                    None
                }
            }
            GroupDistance::Mean => Some(mean),
            GroupDistance::Median => quantile(distances, 0.5),
            GroupDistance::Min => quantile(distances, 0.0),
            GroupDistance::KnnMean(k) => {
                let mut sorted = distances.to_vec();
                sorted.sort_by(f64::total_cmp);
                sorted.truncate(k.max(1));
                Moments::of(&sorted).map(|nearest| nearest.mean)
            }
        };
        Some(Measured { distance, mean, ci_upper })
    }

    fn resampled_means(&mut self, values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let draw = || {
            let mut rng = RESAMPLING_SEED.keyed("bootstrap-mean-upper", &[]);
            (0..RESAMPLES * n).map(move |_| below(&mut rng, n) as u32)
        };
        if n > MAX_KEPT {
            let mut members = draw();
            return (0..RESAMPLES).map(|_| mean_of(values, members.by_ref().take(n))).collect();
        }
        let kept = self.resamples.entry(n).or_insert_with(|| draw().collect());
        kept.chunks_exact(n).map(|members| mean_of(values, members.iter().copied())).collect()
    }
}

/// Mean of the values at these places, all of which exist.
fn mean_of(values: &[f64], places: impl Iterator<Item = u32>) -> f64 {
    places.filter_map(|place| values.get(place as usize)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance(definition: GroupDistance, distances: &[f64]) -> Option<f64> {
        Meter::new(definition).measure(distances).and_then(|measured| measured.distance)
    }

    #[test]
    fn names_are_read_back() {
        for definition in GroupDistance::EACH {
            assert_eq!(definition.to_string().parse(), Ok(definition));
        }
        assert_eq!("knn-mean".parse(), Ok(GroupDistance::KnnMean(5)));
        assert_eq!("percentile(0.975)".parse(), Ok(GroupDistance::Percentile(0.975)));
        for wrong in [
            "",
            "means",
            "mean(3)",
            "knn-mean(0)",
            "knn-mean(-1)",
            "percentile(1.5)",
            "percentile(0.9",
            "percentile(NaN)",
        ] {
            assert!(wrong.parse::<GroupDistance>().is_err(), "{wrong}");
        }
        assert_eq!(GroupDistance::default().to_string(), "mean-ci-upper");
    }

    #[test]
    fn each_definition_by_hand() {
        // Mean 0.5, standard deviation √(0.05/3·…): squares .09 + .01 + .01 + .09 = .2, /3, root .258199.
        let d = [0.2, 0.4, 0.6, 0.8];
        let (mean, sd) = (0.5, (0.2f64 / 3.0).sqrt());
        for (definition, want) in [
            (GroupDistance::MeanCiUpper, mean + 3.182_446_305 * sd / 2.0),
            (GroupDistance::MeanCiUpperZ, mean + 1.959_963_985 * sd / 2.0),
            (GroupDistance::MeanCiUpperOneSided, mean + 2.353_363_435 * sd / 2.0),
            (GroupDistance::NormalUpper, mean + 1.959_963_985 * sd),
            (GroupDistance::Percentile(0.975), 0.6 + 0.2 * 0.925),
            (GroupDistance::Mean, 0.5),
            (GroupDistance::Median, 0.5),
            (GroupDistance::Min, 0.2),
            (GroupDistance::KnnMean(2), 0.3),
            (GroupDistance::KnnMean(9), 0.5),
        ] {
            let got = distance(definition, &d).unwrap();
            assert!((got - want).abs() < 1e-8, "{definition}: {got} is not {want}");
        }
    }

    #[test]
    fn one_member_has_no_interval_but_a_mean() {
        for definition in GroupDistance::EACH {
            let one = Meter::new(definition).measure(&[0.4]).unwrap();
            assert_eq!((one.mean, one.ci_upper), (0.4, None));
            assert!(one.distance.is_none_or(|distance| distance == 0.4), "{definition}");
            assert_eq!(distance(definition, &[]), None);
        }
        assert_eq!(distance(GroupDistance::MeanCiUpper, &[0.4]), None);
    }

    #[test]
    fn the_bootstrap_is_repeatable_and_near_the_normal_limit() {
        let d: Vec<f64> = (0..100).map(|i| 0.5 + 0.1 * (f64::from(i) * 0.7).sin()).collect();
        let once = distance(GroupDistance::BootstrapMeanUpper, &d).unwrap();
        assert_eq!(distance(GroupDistance::BootstrapMeanUpper, &d), Some(once));
        let normal = distance(GroupDistance::MeanCiUpperZ, &d).unwrap();
        assert!((once - normal).abs() < 1e-3, "{once} {normal}");
    }

    #[test]
    fn large_groups_are_resampled_by_the_same_draws() {
        let d: Vec<f64> = (0..MAX_KEPT + 1).map(|i| (i % 7) as f64 / 7.0).collect();
        let limit = distance(GroupDistance::BootstrapMeanUpper, &d).unwrap();
        let normal = distance(GroupDistance::MeanCiUpperZ, &d).unwrap();
        assert!((limit - normal).abs() < 3e-3, "{limit} {normal}");
    }

    proptest! {
        #[test]
        fn upper_limits_are_not_below_the_mean_and_nothing_is_nan(d in proptest::collection::vec(0.0f64..2.0, 2..30)) {
            for definition in GroupDistance::EACH {
                let measured = Meter::new(definition).measure(&d).unwrap();
                prop_assert!(measured.distance.is_some_and(f64::is_finite));
                prop_assert!(measured.ci_upper.unwrap() >= measured.mean);
            }
        }
    }
}
