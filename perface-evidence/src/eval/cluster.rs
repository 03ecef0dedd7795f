//! Two-way cluster bootstrap: intervals for values that share rows and columns.
//!
//! Answers about one target resemble each other, and so do answers about one source triplet; a thousand of them say
//! less than a thousand independent ones. Rows and columns are resampled with replacement, independently, and a value
//! counts as often as its row was drawn times its column was drawn (the "pigeonhole" bootstrap, Owen, Annals of
//! Applied Statistics 1, 2007). All statistics of one resample use the same draw, so differences are paired.

use perface::draw::{Seed, below};
use perface::stats::{Interval, OUTSIDE, quantile};

/// Resamples behind an interval unless told otherwise: the limits then repeat to about a tenth of the interval's width.
pub const RESAMPLES: usize = 2000;

/// Call `visit` with the weight of every value, once per resample. Resamples in which every weight is 0 are drawn again.
///
/// `row` and `column` say to which of each a value belongs, in any numbering. Without values, with lists of unequal
/// length, nothing is visited.
pub fn for_each_resample(row: &[usize], column: &[usize], resamples: usize, seed: Seed, mut visit: impl FnMut(&[f64])) {
    if row.is_empty() || row.len() != column.len() {
        return;
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
    let mut weights = vec![0.0; row.len()];
    let mut done = 0;
    while done < resamples {
        let (row_counts, column_counts) = (counts(rows), counts(columns));
        let mut total = 0.0;
        for ((weight, r), c) in weights.iter_mut().zip(&row).zip(&column) {
            *weight = row_counts.get(*r).unwrap_or(&0.0) * column_counts.get(*c).unwrap_or(&0.0);
            total += *weight;
        }
        if total > 0.0 {
            visit(&weights);
            done += 1;
        }
    }
}

/// Percentile interval of the mean of each of several lists of values over the same rows and columns.
///
/// For two models on the same cases, pass the differences as a list of their own. A list without values or of another
/// length than `row` gives `None`.
pub fn two_way_bootstraps(
    lists: &[&[f64]],
    row: &[usize],
    column: &[usize],
    resamples: usize,
    seed: Seed,
) -> Vec<Option<Interval>> {
    let mut means: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); lists.len()];
    for_each_resample(row, column, resamples, seed, |weights| {
        let total: f64 = weights.iter().sum();
        for (means, values) in means.iter_mut().zip(lists) {
            if values.len() == weights.len() {
                means.push(values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total);
            }
        }
    });
    let interval = |(values, means): (&&[f64], &Vec<f64>)| percentile_interval(mean(values)?, means);
    lists.iter().zip(&means).map(interval).collect()
}

/// Percentile interval of the mean of `values`; see [`two_way_bootstraps`]. `None` without values, with lists of
/// unequal length or no resamples.
pub fn two_way_bootstrap(
    values: &[f64],
    row: &[usize],
    column: &[usize],
    resamples: usize,
    seed: Seed,
) -> Option<Interval> {
    two_way_bootstraps(&[values], row, column, resamples, seed).pop().flatten()
}

/// The 95 % interval between the outer quantiles of `resampled` estimates; `None` if there are none.
pub fn percentile_interval(estimate: f64, resampled: &[f64]) -> Option<Interval> {
    Some(Interval {
        estimate,
        low: quantile(resampled, OUTSIDE / 2.0)?,
        high: quantile(resampled, 1.0 - OUTSIDE / 2.0)?,
    })
}

/// Number the distinct ones of `labels` in the order they first appear: what [`for_each_resample`] takes as rows.
pub fn numbered<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let mut numbers = std::collections::HashMap::new();
    labels
        .into_iter()
        .map(|label| {
            let next = numbers.len();
            *numbers.entry(label).or_insert(next)
        })
        .collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
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

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    #[test]
    fn the_two_way_bootstrap_has_the_quantiles_of_all_resamples() {
        // The reference went through all 27 × 27 resamples of three rows and three columns.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/stats.json");
        let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in reference["two_way_bootstrap"].as_array().unwrap() {
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
    fn lists_of_one_call_share_their_draws() {
        let first: Vec<f64> = (0..30).map(|i| f64::from(i % 3)).collect();
        let second: Vec<f64> = first.iter().map(|value| value + 1.0).collect();
        let differences: Vec<f64> = first.iter().zip(&second).map(|(a, b)| b - a).collect();
        let (row, column): (Vec<usize>, Vec<usize>) =
            ((0..30).map(|i| i / 6).collect(), (0..30).map(|i| i % 6).collect());
        let found = two_way_bootstraps(&[&first, &second, &differences, &[]], &row, &column, 200, Seed::new(2));
        let difference = found[2].unwrap();
        assert!((difference.low - 1.0).abs() < 1e-12 && (difference.high - 1.0).abs() < 1e-12);
        assert_eq!((found[0], found[3]), (two_way_bootstrap(&first, &row, &column, 200, Seed::new(2)), None));
    }

    #[test]
    fn nothing_to_resample_is_none() {
        assert_eq!(two_way_bootstrap(&[], &[], &[], 10, Seed::new(0)), None);
        assert_eq!(two_way_bootstrap(&[1.0], &[0], &[0, 1], 10, Seed::new(0)), None);
        assert_eq!(two_way_bootstrap(&[1.0], &[0], &[0], 0, Seed::new(0)), None);
        assert_eq!(numbered(["x", "y", "x"]), [0, 1, 0]);
    }
}
