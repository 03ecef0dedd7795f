//! Numbers about a list of numbers: mean, spread, quantiles, and the interval of a proportion.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

/// The 97.5 % point of the standard normal distribution, which leaves 95 % between −z and z.
pub const Z_975: f64 = 1.959_963_984_540_054;

/// Size, mean and spread of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// How many values; at least 1.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation with divisor n − 1; `None` for a single value, which has none.
    pub sd: Option<f64>,
}

impl Moments {
    /// Of `values`, in two passes; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let sd = (n > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        Some(Self { n, mean, sd })
    }

    /// Student's upper limit of the mean that is below the true mean with probability 1 − `p`; `None` for one value.
    pub fn mean_upper(&self, p: f64) -> Option<f64> {
        self.sd.map(|sd| self.mean + student_t(p, (self.n - 1) as f64) * sd / (self.n as f64).sqrt())
    }
}

/// Quantile `q` in `[0, 1]` with linear interpolation between the sorted values; `None` if there are none.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// The point below which Student's t with `dof` > 0 degrees of freedom falls with probability `p` in (0, 1).
pub fn student_t(p: f64, dof: f64) -> f64 {
    // The library's inverse is good to six figures where there are many degrees; Newton's steps give the rest.
    const STEPS: usize = 3;
    StudentsT::new(0.0, 1.0, dof)
        .map_or(f64::NAN, |t| (0..STEPS).fold(t.inverse_cdf(p), |point, _| point - (t.cdf(point) - p) / t.pdf(point)))
}

/// A share of successes with Wilson's 95 % interval (J. Am. Stat. Assoc. 22, 1927).
///
/// Read from a file, only the counts are believed and the rest is computed again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Counts")]
pub struct Proportion {
    /// Successes.
    pub hits: usize,
    /// Trials; at least 1.
    pub n: usize,
    /// `hits / n`.
    pub value: f64,
    /// Lower limit of the interval.
    pub low: f64,
    /// Upper limit of the interval.
    pub high: f64,
}

#[derive(Deserialize)]
struct Counts {
    hits: usize,
    n: usize,
}

impl TryFrom<Counts> for Proportion {
    type Error = String;

    fn try_from(Counts { hits, n }: Counts) -> Result<Self, String> {
        Self::wilson(hits, n).ok_or_else(|| format!("{hits} of {n} is no proportion"))
    }
}

impl Proportion {
    /// Of `hits` in `n` trials; `None` if there are no trials or more hits than trials.
    pub fn wilson(hits: usize, n: usize) -> Option<Self> {
        if n == 0 || hits > n {
            return None;
        }
        let (trials, z2) = (n as f64, Z_975 * Z_975);
        let value = hits as f64 / trials;
        let centre = (value + z2 / (2.0 * trials)) / (1.0 + z2 / trials);
        let half = Z_975 / (1.0 + z2 / trials) * (value * (1.0 - value) / trials + z2 / (4.0 * trials * trials)).sqrt();
        // At 0 and n hits the limit is exactly 0 or 1; rounding must not step over it.
        let low = if hits == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if hits == n { 1.0 } else { (centre + half).min(1.0) };
        Some(Self { hits, n, value, low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_a_mean_and_no_spread() {
        assert_eq!(Moments::of(&[]), None);
        let one = Moments::of(&[3.0]).unwrap();
        assert_eq!((one.mean, one.sd, one.mean_upper(0.975)), (3.0, None, None));
    }

    #[test]
    fn the_spread_divides_by_one_less() {
        assert_eq!(Moments::of(&[1.0, 3.0]).unwrap().sd, Some(2f64.sqrt()));
    }

    #[test]
    fn the_factor_of_a_hundred_members_is_that_of_the_tables() {
        // t(0.975, 99) / √100 and t(0.975, 199) / √200.
        assert!((student_t(0.975, 99.0) / 10.0 - 0.198_422).abs() < 1e-6);
        assert!((student_t(0.975, 199.0) / 200f64.sqrt() - 0.139_438).abs() < 1e-6);
    }

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (q, want) in [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)] {
            assert!((quantile(&values, q).unwrap() - want).abs() < 1e-12, "{q}");
        }
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.975), Some(7.0));
    }

    #[test]
    fn a_proportion_stays_between_nothing_and_all() {
        let none = Proportion::wilson(0, 10).unwrap();
        let all = Proportion::wilson(10, 10).unwrap();
        assert_eq!((none.low, all.high), (0.0, 1.0));
        assert!((none.high - 0.277_533).abs() < 1e-6);
        assert_eq!(Proportion::wilson(0, 0), None);
        assert_eq!(Proportion::wilson(3, 2), None);
    }

    #[test]
    fn a_stored_proportion_is_computed_from_its_counts() {
        let forged = r#"{"hits": 1, "n": 4, "value": 0.99, "low": 0.9, "high": 1.0}"#;
        assert_eq!(serde_json::from_str::<Proportion>(forged).unwrap(), Proportion::wilson(1, 4).unwrap());
        assert!(serde_json::from_str::<Proportion>(r#"{"hits": 5, "n": 4}"#).is_err());
    }
}
