//! Same person or not: how well a cosine decides, on labelled pairs.

use serde::Serialize;

use super::stats::ranking_auc;
use crate::summary::Proportion;

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
    /// Pairs of one person.
    pub same: usize,
    /// Pairs of two people.
    pub different: usize,
    /// Area under the ROC curve, in `[0, 1]`.
    pub auc: Option<f64>,
    /// At the threshold that was given: a pair at or above it counts as one person.
    pub at_threshold: Option<Decision>,
    /// At the threshold that is right most often on every second pair, judged on the others.
    pub at_best: Option<Decision>,
    /// True accepts where one in a hundred and one in a thousand different pairs are accepted.
    pub tar_at_far: Vec<TarAtFar>,
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

/// False accept rates of [`Verification::tar_at_far`].
const FARS: [f64; 2] = [1e-2, 1e-3];

/// Judge `pairs`; a rate is left out where there are no pairs to measure it on.
pub fn verify(pairs: &[ScoredPair], threshold: Option<f32>) -> Verification {
    let cosines =
        |same: bool| pairs.iter().filter(|pair| pair.same == same).map(|pair| f64::from(pair.cosine)).collect();
    let (positive, negative): (Vec<f64>, Vec<f64>) = (cosines(true), cosines(false));
    let (chosen_on, judged_on): (Vec<_>, Vec<_>) =
        pairs.iter().copied().enumerate().partition(|(index, _)| index % 2 == 0);
    let strip = |half: Vec<(usize, ScoredPair)>| half.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>();
    let (chosen_on, judged_on) = (strip(chosen_on), strip(judged_on));
    let (scores, labels): (Vec<f64>, Vec<bool>) = pairs.iter().map(|pair| (f64::from(pair.cosine), pair.same)).unzip();
    Verification {
        same: positive.len(),
        different: negative.len(),
        auc: ranking_auc(&scores, &labels),
        at_threshold: threshold.and_then(|cosine| decide(pairs, cosine)),
        at_best: best_threshold(&chosen_on).and_then(|cosine| decide(&judged_on, cosine)),
        tar_at_far: FARS.iter().filter_map(|&far| tar_at(&positive, &negative, far)).collect(),
    }
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
        let mut out = format!("{} same pairs, {} different\n", self.same, self.different);
        if let Some(auc) = self.auc {
            out += &format!("AUC {auc:.4}\n");
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
        for t in &self.tar_at_far {
            out += &format!("TAR@FAR {}: {:.4} at {:.3}\n", t.far, t.tar, t.cosine);
        }
        out
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
        let result = verify(&pairs(&[0.5, 0.4], &[0.5, 0.1]), Some(0.5)).at_threshold.unwrap();
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
        let nothing = verify(&[], Some(0.3));
        assert!(nothing.auc.is_none() && nothing.at_threshold.is_none() && nothing.tar_at_far.is_empty());
    }
}
