//! Same person or not: how well a cosine decides, on labelled pairs.

use serde::Serialize;

use perface::error::Result;
use perface::stats::ranking_auc;
use perface::summary::{Moments, Proportion};
use perface::table::csv_text;

/// The cosine of two pictures and whether they show one person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredPair {
    /// Cosine, in `[-1, 1]`.
    pub cosine: f32,
    /// Whether both show the same person.
    pub same: bool,
}

/// Outcome of same-or-different decisions on labelled pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Version of this record.
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// Pairs of one person.
    pub same: usize,
    /// Pairs of two people.
    pub different: usize,
    /// Pairs with a picture that could not be used.
    pub skipped: usize,
    /// Area under the ROC curve, in `[0, 1]`.
    pub auc: Option<f64>,
    /// Where as many different pairs are accepted as same pairs are refused, as a share of either.
    pub eer: Option<EqualErrors>,
    /// At the threshold that was given: a pair at or above it counts as one person.
    pub at_threshold: Option<Decision>,
    /// At the threshold that is right most often on every second pair, judged on the others.
    pub at_best: Option<Decision>,
    /// Ten folds, each judged at the threshold that is right most often on the other nine, as for LFW.
    pub folds: Option<Folds>,
    /// True accepts where one in ten, a hundred and a thousand different pairs are accepted.
    pub tar_at_far: Vec<TarAtFar>,
    /// The ROC curve.
    pub roc: Vec<RocPoint>,
    /// Cosines of same pairs, sorted.
    pub same_cosines: Vec<f32>,
    /// Cosines of different pairs, sorted.
    pub different_cosines: Vec<f32>,
}

/// How often one threshold is right.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Decision {
    /// The threshold, a cosine.
    pub cosine: f32,
    /// Share of pairs decided rightly.
    pub accuracy: Proportion,
    /// Share of same pairs accepted.
    pub true_accepts: Option<Proportion>,
    /// Share of different pairs accepted.
    pub false_accepts: Option<Proportion>,
}

/// True accept rate at one false accept rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TarAtFar {
    /// The largest share of different pairs that may be accepted.
    pub far: f64,
    /// The threshold that keeps to it, a cosine.
    pub cosine: f32,
    /// Share of same pairs accepted there.
    pub tar: f64,
}

/// Where both kinds of error are equally frequent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EqualErrors {
    /// The rate of either, on the straight line between the two points of the ROC curve around it.
    pub rate: f64,
    /// The cosine of the second of those points.
    pub cosine: f32,
}

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// Share of different pairs accepted.
    pub far: f64,
    /// Share of same pairs accepted.
    pub tar: f64,
    /// The threshold, a cosine; `None` for the first point, where nothing is accepted.
    pub cosine: Option<f32>,
}

/// Accuracy over folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Folds {
    /// Of each fold.
    pub accuracies: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Standard error of the mean over folds.
    pub standard_error: f64,
}

/// False accept rates of [`Verification::tar_at_far`].
const FARS: [f64; 3] = [1e-1, 1e-2, 1e-3];
/// Folds of [`Verification::folds`].
const FOLDS: usize = 10;

/// Judge `pairs`; a rate is left out where there are no pairs to measure it on. `skipped` is passed on.
pub fn verify(model: &str, pairs: &[ScoredPair], threshold: Option<f32>, skipped: usize) -> Verification {
    let cosines = |same: bool| {
        let mut cosines: Vec<f32> = pairs.iter().filter(|pair| pair.same == same).map(|pair| pair.cosine).collect();
        cosines.sort_by(f32::total_cmp);
        cosines
    };
    let (same_cosines, different_cosines) = (cosines(true), cosines(false));
    let wide = |cosines: &[f32]| cosines.iter().map(|cosine| f64::from(*cosine)).collect::<Vec<f64>>();
    let (positive, negative) = (wide(&same_cosines), wide(&different_cosines));
    let (chosen_on, judged_on): (Vec<_>, Vec<_>) =
        pairs.iter().copied().enumerate().partition(|(index, _)| index % 2 == 0);
    let strip = |half: Vec<(usize, ScoredPair)>| half.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>();
    let (chosen_on, judged_on) = (strip(chosen_on), strip(judged_on));
    let (scores, labels): (Vec<f64>, Vec<bool>) = pairs.iter().map(|pair| (f64::from(pair.cosine), pair.same)).unzip();
    let roc = roc(pairs);
    Verification {
        schema: 1,
        model: model.to_owned(),
        same: positive.len(),
        different: negative.len(),
        skipped,
        auc: ranking_auc(&scores, &labels),
        eer: equal_errors(&roc),
        at_threshold: threshold.and_then(|cosine| decide(pairs, cosine)),
        at_best: best_threshold(&chosen_on).and_then(|cosine| decide(&judged_on, cosine)),
        folds: folds(pairs),
        tar_at_far: FARS.iter().filter_map(|&far| tar_at(&positive, &negative, far)).collect(),
        roc,
        same_cosines,
        different_cosines,
    }
}

/// The ROC curve from nothing to everything accepted, a point for each distinct cosine; empty without both kinds.
fn roc(pairs: &[ScoredPair]) -> Vec<RocPoint> {
    let same = pairs.iter().filter(|pair| pair.same).count();
    let different = pairs.len() - same;
    if same == 0 || different == 0 {
        return Vec::new();
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    let mut points = vec![RocPoint { far: 0.0, tar: 0.0, cosine: None }];
    let (mut accepted, mut falsely) = (0, 0);
    for tied in sorted.chunk_by(|a, b| a.cosine == b.cosine) {
        let right = tied.iter().filter(|pair| pair.same).count();
        accepted += right;
        falsely += tied.len() - right;
        points.push(RocPoint {
            far: falsely as f64 / different as f64,
            tar: accepted as f64 / same as f64,
            cosine: tied.first().map(|pair| pair.cosine),
        });
    }
    points
}

fn equal_errors(roc: &[RocPoint]) -> Option<EqualErrors> {
    let gap = |point: &RocPoint| point.far - (1.0 - point.tar);
    let next = roc.iter().position(|point| gap(point) >= 0.0)?;
    let after = roc.get(next)?;
    let before = roc.get(next.checked_sub(1)?)?;
    let share = -gap(before) / (gap(after) - gap(before));
    Some(EqualErrors { rate: before.far + share * (after.far - before.far), cosine: after.cosine? })
}

/// Every tenth pair of each kind is a fold; `None` with fewer than ten pairs of either kind.
fn folds(pairs: &[ScoredPair]) -> Option<Folds> {
    let same: Vec<ScoredPair> = pairs.iter().copied().filter(|pair| pair.same).collect();
    let different: Vec<ScoredPair> = pairs.iter().copied().filter(|pair| !pair.same).collect();
    if same.len() < FOLDS || different.len() < FOLDS {
        return None;
    }
    let accuracies: Vec<f64> = (0..FOLDS)
        .filter_map(|fold| {
            let part = |inside: bool| -> Vec<ScoredPair> {
                let kinds = [&same, &different].into_iter();
                let numbered = kinds.flat_map(|kind| kind.iter().enumerate());
                numbered.filter(|(index, _)| (index % FOLDS == fold) == inside).map(|(_, pair)| *pair).collect()
            };
            let threshold = best_threshold(&part(false))?;
            decide(&part(true), threshold).map(|decision| decision.accuracy.value)
        })
        .collect();
    let moments = Moments::of(&accuracies)?;
    Some(Folds { mean: moments.mean, standard_error: moments.sd? / (FOLDS as f64).sqrt(), accuracies })
}

fn decide(pairs: &[ScoredPair], cosine: f32) -> Option<Decision> {
    let share = |wanted: &dyn Fn(&ScoredPair) -> bool, hit: &dyn Fn(&ScoredPair) -> bool| {
        let among = pairs.iter().filter(|pair| wanted(pair));
        let hits = among.clone().filter(|pair| hit(pair)).count();
        Proportion::wilson(hits, among.count())
    };
    let accepted = |pair: &ScoredPair| pair.cosine >= cosine;
    Some(Decision {
        cosine,
        accuracy: share(&|_| true, &|pair| accepted(pair) == pair.same)?,
        true_accepts: share(&|pair| pair.same, &accepted),
        false_accepts: share(&|pair| !pair.same, &accepted),
    })
}

/// The middle between two neighbouring cosines that parts `pairs` with the fewest errors; the lowest if several do.
fn best_threshold(pairs: &[ScoredPair]) -> Option<f32> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.cosine.total_cmp(&b.cosine));
    // With everything accepted, every different pair is wrong.
    let mut errors = sorted.iter().filter(|pair| !pair.same).count();
    let mut best = (errors, sorted.first()?.cosine);
    for (index, pair) in sorted.iter().enumerate() {
        if pair.same {
            errors += 1
        } else {
            errors -= 1
        }
        let next = sorted.get(index + 1).map_or(pair.cosine, |next| next.cosine);
        if errors < best.0 && next > pair.cosine {
            best = (errors, (pair.cosine + next) / 2.0);
        }
    }
    Some(best.1)
}

fn tar_at(positive: &[f64], negative: &[f64], far: f64) -> Option<TarAtFar> {
    let mut sorted = negative.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let allowed = (far * sorted.len() as f64).floor() as usize;
    // The first different pair that must not be accepted; whoever is above it is.
    let limit = *sorted.get(allowed)?;
    if positive.is_empty() || allowed == 0 {
        return None;
    }
    let accepted = positive.iter().filter(|&&cosine| cosine > limit).count();
    Some(TarAtFar { far, cosine: limit as f32, tar: accepted as f64 / positive.len() as f64 })
}

impl Verification {
    /// As text.
    pub fn to_text(&self) -> String {
        let mut out = format!("{}: {} same pairs, {} different", self.model, self.same, self.different);
        if self.skipped > 0 {
            out += &format!("; {} left out, pictures unusable", self.skipped);
        }
        out.push('\n');
        if let Some(auc) = self.auc {
            out += &format!("AUC {auc:.4}\n");
        }
        if let Some(eer) = self.eer {
            out += &format!("equal error rate {:.4} at {:.3}\n", eer.rate, eer.cosine);
        }
        for (what, decision) in
            [("given threshold", &self.at_threshold), ("best of one half, on the other", &self.at_best)]
        {
            if let Some(d) = decision {
                let Proportion { value, low, high, .. } = d.accuracy;
                out += &format!("{what} {:.3}: accuracy {value:.4} ({low:.4}–{high:.4})", d.cosine);
                if let (Some(t), Some(f)) = (d.true_accepts, d.false_accepts) {
                    out += &format!(", true accepts {:.4}, false accepts {:.4}", t.value, f.value);
                }
                out.push('\n');
            }
        }
        if let Some(folds) = &self.folds {
            out += &format!("ten folds: accuracy {:.4} ± {:.4} (standard error)\n", folds.mean, folds.standard_error);
        }
        for t in &self.tar_at_far {
            out += &format!("TAR@FAR {}: {:.4} at {:.3}\n", t.far, t.tar, t.cosine);
        }
        out
    }

    /// The ROC curve as a table.
    ///
    /// # Errors
    /// If a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let head = ["far", "tar", "cosine"].map(str::to_owned);
        let cell = |cosine: Option<f32>| cosine.map_or(String::new(), |cosine| cosine.to_string());
        let rows = self.roc.iter().map(|point| vec![point.far.to_string(), point.tar.to_string(), cell(point.cosine)]);
        csv_text(&head, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(same: &[f32], different: &[f32]) -> Vec<ScoredPair> {
        let with =
            |cosines: &[f32], same| cosines.iter().map(|&cosine| ScoredPair { cosine, same }).collect::<Vec<_>>();
        [with(same, true), with(different, false)].concat()
    }

    #[test]
    fn a_pair_at_the_threshold_is_accepted() {
        let result = verify("m", &pairs(&[0.5, 0.4], &[0.5, 0.1]), Some(0.5), 0).at_threshold.unwrap();
        assert_eq!(result.accuracy.value, 0.5);
        assert_eq!((result.true_accepts.unwrap().value, result.false_accepts.unwrap().value), (0.5, 0.5));
    }

    #[test]
    fn the_best_threshold_lies_between_the_classes() {
        let threshold = best_threshold(&pairs(&[0.8, 0.9, 0.2], &[0.1, 0.4, 0.3])).unwrap();
        assert!((threshold - 0.6).abs() < 1e-6, "{threshold}");
    }

    #[test]
    fn tar_counts_what_lies_above_the_allowed_false_accepts() {
        let different: Vec<f32> = (0..100).map(|i| i as f32 / 1000.0).collect();
        let found =
            tar_at(&[0.0985, 0.0975, 0.5], &different.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), 0.01).unwrap();
        assert!((found.cosine - 0.098).abs() < 1e-6);
        assert!((found.tar - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_made_up_without_pairs() {
        let nothing = verify("m", &[], Some(0.3), 2);
        assert!(nothing.auc.is_none() && nothing.at_threshold.is_none() && nothing.tar_at_far.is_empty());
        assert!(nothing.eer.is_none() && nothing.folds.is_none() && nothing.roc.is_empty());
        assert!(nothing.to_text().contains("2 left out"));
    }

    #[test]
    fn equal_error_rates_are_those_of_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/evaluation.json");
        let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in reference["eer"].as_array().unwrap() {
            let scores = case["scores"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32);
            let same = case["same"].as_array().unwrap().iter().map(|x| x.as_u64() == Some(1));
            let pairs: Vec<ScoredPair> = scores.zip(same).map(|(cosine, same)| ScoredPair { cosine, same }).collect();
            let found = equal_errors(&roc(&pairs)).unwrap().rate;
            assert!((found - case["eer"].as_f64().unwrap()).abs() < 1e-9, "{found} {}", case["eer"]);
        }
    }

    #[test]
    fn classes_apart_have_no_errors_in_any_fold() {
        let same: Vec<f32> = (0..20).map(|i| 0.6 + i as f32 / 100.0).collect();
        let different: Vec<f32> = (0..20).map(|i| i as f32 / 100.0).collect();
        let result = verify("m", &pairs(&same, &different), None, 0);
        assert_eq!(result.folds.unwrap().accuracies, [1.0; 10]);
        assert_eq!(result.eer.unwrap().rate, 0.0);
    }
}
