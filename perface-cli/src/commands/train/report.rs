//! What one or more runs came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use perface::triplets::Split;
use perface_train::run::Record;
use serde::Serialize;

/// Shares over runs.
#[derive(Serialize)]
pub struct Share {
    /// Questions of one run.
    n: usize,
    /// Share before training.
    before: f64,
    /// Mean share after training.
    mean: f64,
    /// Sample standard deviation over the runs; absent for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sd: Option<f64>,
}

/// Runs with different seeds and the same parts.
#[derive(Serialize)]
pub struct Summary {
    schema: u32,
    derived: bool,
    runs: usize,
    trained_on: usize,
    /// Epochs of each run and the one that was kept, from 1.
    epochs: Vec<(usize, Option<usize>)>,
    parts: BTreeMap<Split, Share>,
    /// τ of each run.
    tau: Vec<Option<f64>>,
    pictures_per_s: f64,
    left_out: serde_json::Value,
}

impl Summary {
    /// Of runs with the same data.
    pub fn of(records: &[Record]) -> Self {
        let first = records.first();
        let splits: Vec<Split> = first.map(|record| record.test.keys().copied().collect()).unwrap_or_default();
        let share = |split: Split| {
            let tested: Vec<_> = records.iter().filter_map(|record| record.test.get(&split)).collect();
            let shares: Vec<f64> = tested.iter().map(|t| t.right as f64 / t.n as f64).collect();
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
            let n = tested.first().map_or(0, |t| t.n);
            Share {
                n,
                before: tested.first().map_or(f64::NAN, |t| t.right_before as f64 / n as f64),
                mean,
                sd: (shares.len() > 1).then(|| (squares / (shares.len() - 1) as f64).sqrt()),
            }
        };
        Self {
            schema: 1,
            derived: first.is_some_and(|record| record.derived),
            runs: records.len(),
            trained_on: first.map_or(0, |record| record.trained_on),
            epochs: records.iter().map(|r| (r.epochs.len(), r.best_epoch.map(|best| best + 1))).collect(),
            parts: splits.into_iter().map(|split| (split, share(split))).collect(),
            tau: records.iter().map(|record| record.tau).collect(),
            pictures_per_s: records.iter().map(|r| r.pictures_per_s).sum::<f64>() / records.len().max(1) as f64,
            left_out: first.and_then(|record| serde_json::to_value(&record.left_out).ok()).unwrap_or_default(),
        }
    }

    /// As lines.
    pub fn text(&self, folder: &Path) -> String {
        let what = if self.derived { "derived answers (nobody was asked)" } else { "answers people agree on" };
        let mut out = format!("agreement with {what}, after training on {} triplets:\n", self.trained_on);
        for (split, share) in &self.parts {
            let name = match split {
                Split::Val => "validation",
                Split::I => "[i] all new",
                Split::Ii => "[ii] target new",
                Split::Iii => "[iii] source new",
                Split::Train => "training",
            };
            let sd = share.sd.map_or(String::new(), |sd| format!(" ± {sd:.3}"));
            // Writing to a text cannot fail.
            let _ = writeln!(out, "  {name:<18} {:.3} → {:.3}{sd}  (n = {})", share.before, share.mean, share.n);
        }
        if let [Some(tau)] = self.tau.as_slice() {
            let _ = writeln!(out, "P(people call A closer) = σ((s_A − s_B) / {tau:.4})");
        }
        let _ = writeln!(out, "{:.0} pictures/s; everything is in {}", self.pictures_per_s, folder.display());
        if self.runs == 1 {
            let (onnx, card) = (folder.join("model.onnx"), folder.join("model.json"));
            let _ = writeln!(out, "use it: perface models add NAME {} --card {}", onnx.display(), card.display());
        }
        out
    }
}
