//! Training runs side by side: accuracy on each test split before and after, over seeds (arXiv 2509.20281, Table 3).
//!
//! A run is a folder with `run.json`, as training writes it. Runs are gathered by what they learned from (D1, all
//! triplets with their majority; D2, those on which people agree); the untuned network is the row "original". The
//! spread over seeds is the sample standard deviation of runs on the same test sets, so it says how much training
//! varies, not how well the test sets represent anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use perface::error::{Error, Result};
use perface::file::read_limited;
use perface::stats::{Moments, Proportion};
use perface::table::{ColumnNames, Table, csv_text};

/// Largest `run.json` that is read.
const MAX_RUN_BYTES: u64 = 16 << 20;

/// What is read of `run.json`.
#[derive(Clone, Debug, Deserialize)]
struct RunFile {
    #[serde(default)]
    config: RunConfig,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    derived: bool,
    test: TestSplits,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RunConfig {
    #[serde(default)]
    labels: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct TestSplits {
    #[serde(default)]
    i: Option<SplitCounts>,
    #[serde(default)]
    ii: Option<SplitCounts>,
    #[serde(default)]
    iii: Option<SplitCounts>,
}

/// A run on one test split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCounts {
    /// Triplets.
    pub n: usize,
    /// Right after training.
    pub right: usize,
    /// Right before it.
    pub right_before: usize,
}

/// A run as it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its folder.
    pub folder: String,
    /// What it learned from: `d1` or `d2`, or as the run says.
    pub labels: String,
    /// Its seed.
    pub seed: u64,
    /// Whether its triplets were computed from other ratings.
    pub derived: bool,
    /// Test splits i, ii and iii.
    pub splits: [Option<SplitCounts>; 3],
}

/// Accuracy of runs that learned from the same on one split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SplitAccuracy {
    /// Mean over runs.
    pub mean: f64,
    /// Sample standard deviation over runs; `None` for a single one and for the untuned network.
    pub sd: Option<f64>,
    /// Runs.
    pub runs: usize,
    /// Triplets of the split, if all runs have as many.
    pub n: Option<usize>,
}

/// A row of Table 3.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitRow {
    /// `original`, `d1`, `d2`.
    pub training: String,
    /// Splits i, ii and iii.
    pub splits: [Option<SplitAccuracy>; 3],
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitsEvaluation {
    /// Version of this record.
    pub schema: u32,
    /// Whether any run used derived triplets.
    pub derived: bool,
    /// Whether every run was tested on as many triplets of each split; if not, means compare different tests.
    pub same_tests: bool,
    /// The rows.
    pub rows: Vec<SplitRow>,
    /// The runs.
    pub runs: Vec<Run>,
}

/// Cosines of a test triplet before and after training, with the chosen and with the other face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BeforeAfter {
    /// Before: chosen, other.
    pub before: (f64, f64),
    /// After: chosen, other.
    pub after: (f64, f64),
}

/// Read the run in `folder`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] if `run.json` is not one or counts more right triplets than there are.
pub fn read_run(folder: &Path) -> Result<Run> {
    let path = folder.join("run.json");
    let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
    let file: RunFile =
        serde_json::from_slice(&read_limited(&path, MAX_RUN_BYTES)?).map_err(|error| malformed(error.to_string()))?;
    let splits = [file.test.i, file.test.ii, file.test.iii];
    if splits.iter().flatten().any(|split| split.right > split.n || split.right_before > split.n) {
        return Err(malformed("more triplets are right than there are".to_owned()));
    }
    let empty = |split: &SplitCounts| split.n > 0;
    Ok(Run {
        folder: folder.display().to_string(),
        labels: file.config.labels.unwrap_or_else(|| "tuned".to_owned()),
        seed: file.seed,
        derived: file.derived,
        splits: splits.map(|split| split.filter(empty)),
    })
}

/// Cosines before and after, of the test triplets of the run in `folder`; empty if the run did not keep them.
///
/// # Errors
/// [`Error::Malformed`] with the line for a missing column or a cosine that is no number.
pub fn read_cases(folder: &Path) -> Result<Vec<(String, BeforeAfter)>> {
    let path = folder.join("test_cases.csv");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let columns = ["split", "before_chosen", "before_other", "after_chosen", "after_other"];
    let table = Table::read(&path, &ColumnNames::default(), &columns)?;
    let cases = table.rows().map(|row| {
        let before = (row.parse("before_chosen")?, row.parse("before_other")?);
        let after = (row.parse("after_chosen")?, row.parse("after_other")?);
        Ok((row.get("split").to_owned(), BeforeAfter { before, after }))
    });
    cases.collect()
}

/// Gather `runs` by what they learned from.
///
/// # Errors
/// [`Error::Usage`] without runs.
pub fn evaluate(runs: Vec<Run>) -> Result<SplitsEvaluation> {
    if runs.is_empty() {
        return Err(Error::Usage("there are no runs to compare".to_owned()));
    }
    let mut by_labels: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &runs {
        by_labels.entry(&run.labels).or_default().push(run);
    }
    let all: Vec<&Run> = runs.iter().collect();
    let accuracies = |runs: &[&Run], right: &dyn Fn(&SplitCounts) -> usize, with_sd: bool| {
        std::array::from_fn(|split| {
            let counts: Vec<SplitCounts> = runs.iter().filter_map(|run| run.splits.get(split).copied()?).collect();
            let shares: Vec<f64> = counts.iter().map(|c| right(c) as f64 / c.n as f64).collect();
            let moments = Moments::of(&shares)?;
            let n = counts.first().map(|c| c.n).filter(|n| counts.iter().all(|c| c.n == *n));
            Some(SplitAccuracy { mean: moments.mean, sd: moments.sd.filter(|_| with_sd), runs: counts.len(), n })
        })
    };
    let mut rows =
        vec![SplitRow { training: "original".to_owned(), splits: accuracies(&all, &|c| c.right_before, false) }];
    for (labels, runs) in &by_labels {
        rows.push(SplitRow { training: (*labels).to_owned(), splits: accuracies(runs, &|c| c.right, true) });
    }
    let tests = |run: &Run| run.splits.map(|split| split.map(|s| (s.n, s.right_before)));
    let same_tests = runs.iter().all(|run| runs.first().map(tests) == Some(tests(run)));
    Ok(SplitsEvaluation { schema: 1, derived: runs.iter().any(|run| run.derived), same_tests, rows, runs })
}

/// Names of the splits, in the order of the columns.
pub const SPLIT_NAMES: [&str; 3] = ["[i] neither seen", "[ii] source seen", "[iii] target seen"];

impl SplitsEvaluation {
    /// A cell of the table.
    pub fn cell(accuracy: Option<SplitAccuracy>) -> String {
        match accuracy {
            None => "–".to_owned(),
            Some(SplitAccuracy { mean, sd: Some(sd), .. }) => format!("{mean:.3} ± {sd:.3}"),
            Some(SplitAccuracy { mean, .. }) => format!("{mean:.3}"),
        }
    }

    /// The table as text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if self.derived {
            let _ = writeln!(text, "{}", super::triplet::DERIVED_NOTE);
        }
        let _ = writeln!(
            text,
            "{:<14}{:>20}{:>20}{:>20}{:>7}",
            "trained on", SPLIT_NAMES[0], SPLIT_NAMES[1], SPLIT_NAMES[2], "runs"
        );
        for row in &self.rows {
            let cells = row.splits.map(|split| format!("{:>20}", Self::cell(split))).concat();
            let runs = row.splits.iter().flatten().map(|split| split.runs).max().unwrap_or(0);
            let _ = writeln!(text, "{:<14}{cells}{runs:>7}", row.training);
        }
        if !self.same_tests {
            let _ =
                writeln!(text, "The runs were not all tested on the same triplets; their means mix different tests.");
        }
        text
    }

    /// One line for each run and split.
    ///
    /// # Errors
    /// If a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let head = ["run", "trained_on", "seed", "split", "n", "right_before", "right", "accuracy", "low", "high"];
        let rows = self.runs.iter().flat_map(|run| {
            ["i", "ii", "iii"].into_iter().zip(run.splits).filter_map(|(name, split)| {
                let counts = split?;
                let share = Proportion::wilson(counts.right, counts.n)?;
                let figures = [share.value, share.low, share.high].map(|value| format!("{value:.6}"));
                let counts = [counts.n, counts.right_before, counts.right].map(|count| count.to_string());
                let mut row = vec![run.folder.clone(), run.labels.clone(), run.seed.to_string(), name.to_owned()];
                row.extend(counts.into_iter().chain(figures));
                Some(row)
            })
        });
        csv_text(&head.map(str::to_owned), rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, text: &str) -> Result<Run> {
        std::fs::write(folder.join("run.json"), text).unwrap();
        read_run(folder)
    }

    #[test]
    fn runs_are_gathered_by_what_they_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let with = |labels: &str, right: usize| {
            let text = format!(
                r#"{{"schema": 1, "config": {{"labels": "{labels}", "other": 3}}, "seed": 7, "derived": true,
                    "test": {{"i": {{"n": 10, "right": {right}, "right_before": 5}}, "ii": null}}}}"#
            );
            run(folder.path(), &text).unwrap()
        };
        let result = evaluate(vec![with("d1", 6), with("d1", 8), with("d2", 9)]).unwrap();
        assert_eq!(result.rows.iter().map(|row| row.training.as_str()).collect::<Vec<_>>(), ["original", "d1", "d2"]);
        let first = |row: usize| result.rows[row].splits[0].unwrap();
        assert_eq!((first(0).mean, first(0).sd, first(0).n), (0.5, None, Some(10)));
        assert!((first(1).mean - 0.7).abs() < 1e-12 && (first(1).sd.unwrap() - 0.02f64.sqrt()).abs() < 1e-12);
        assert_eq!((first(2).sd, result.rows[2].splits[1]), (None, None));
        let text = result.to_text();
        assert!(text.starts_with("DERIVED") && text.contains("0.700 ± 0.141") && text.contains('–'), "{text}");
        assert!(result.same_tests);
    }

    #[test]
    fn nonsense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (text, want) in [
            ("{}", "missing field `test`"),
            (r#"{"test": {"i": {"n": 3, "right": 4, "right_before": 0}}}"#, "more triplets are right"),
        ] {
            let message = run(folder.path(), text).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
        assert!(evaluate(Vec::new()).is_err());
        assert!(read_run(&folder.path().join("nowhere")).is_err());
    }
}
