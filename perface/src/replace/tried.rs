//! What came of trying candidates on one face, and whether going on is worth it.
//!
//! How far a result misses being hidden depends above all on the face itself: results of one face scatter around its mean
//! with a standard deviation of [`SPREAD`], whoever stands in. A search therefore ends when the mean so far says that
//! hardly anybody will hide the face, and another manner is tried with those who came near.

use std::sync::Arc;

use super::score::{Looks, Score, Unfit};
use crate::natural::Natural;
use crate::rank;
use crate::swap::{Manner, Material, Swap};

/// Standard deviation of how far the results of one face miss being hidden, in cosine. Measured, as all of these
/// constants, on 300 adults of omi 1–350 (docs/results.md).
const SPREAD: f32 = 0.05;
/// A search is hopeless when the next result would have to be so many standard deviations below the mean so far.
const HOPELESS: f32 = 2.6;
/// Results to see before a search may be called hopeless.
const SEEN_FIRST: usize = 3;
/// How many are tried again with an exaggerated shape.
const FARTHER_TRIES: usize = 8;
/// An exaggerated shape lowers a cosine by .02 in the mean, seldom by .09: whoever missed by more than this, in cosine,
/// is not tried again.
const FARTHER_REACH: f32 = 0.06;
/// The same where glasses are exchanged, which lowers a cosine by .04 in the mean, with a standard deviation of .05.
const GLASSES_REACH: f32 = 0.2;
const GLASSES_TRIES: usize = 12;
/// An exaggerated shape moves landmarks by .02 more in the mean, hardly ever by less than this, in eye distances.
const FARTHER_MOVES: f32 = 0.01;

/// A result that may be kept.
pub(super) struct Trial {
    pub swap: Swap,
    pub candidate: rank::Candidate,
    pub material: Arc<Material>,
    pub score: Score,
}

/// A result that does not hide, though it looks right.
pub(super) struct Refused {
    candidate: rank::Candidate,
    /// By how much it misses being hidden, in cosine.
    missed: f32,
    looks: Looks,
}

/// Whom another manner may be tried with.
#[derive(Default)]
pub(super) struct Again {
    /// Who looked right and did not hide.
    pub refused: Vec<Refused>,
    /// Whom a search did not come to.
    pub untried: Vec<rank::Candidate>,
}

/// What came of a search.
pub(super) struct Tried {
    /// Candidates tried.
    pub count: usize,
    /// Results that may be kept, in the order they were tried.
    pub good: Vec<Trial>,
    /// Whether a clearly good one ended the search.
    pub ended_early: bool,
    /// Why the last one that may not be kept was refused.
    pub failure: String,
    /// Who may be tried in another manner.
    pub again: Again,
    /// By how much each result that was embedded misses being hidden, in cosine.
    missed: Vec<f32>,
}

impl Default for Tried {
    fn default() -> Self {
        let failure = "no candidate could be used".to_owned();
        Self { count: 0, good: Vec::new(), ended_early: false, failure, again: Again::default(), missed: Vec::new() }
    }
}

impl Tried {
    /// Note results that were embedded. A `thorough` search goes on past a clearly good one.
    pub fn take(&mut self, trials: Vec<Trial>, natural: Natural, thorough: bool) {
        for trial in trials {
            let missed = trial.score.margin.max(trial.score.lead().unwrap_or(f32::NEG_INFINITY));
            self.missed.push(missed);
            match trial.score.unfit(natural) {
                None => {
                    self.ended_early |= !thorough && trial.score.is_clearly_good(natural);
                    self.good.push(trial);
                }
                Some(unfit) => {
                    self.failure = unfit.to_string();
                    if matches!(unfit, Unfit::SamePerson | Unfit::FoundFirst) {
                        let Trial { candidate, score: Score { looks, .. }, .. } = trial;
                        self.again.refused.push(Refused { candidate, missed, looks });
                    }
                }
            }
        }
    }

    /// Whether hardly anybody else will hide the face.
    pub fn is_hopeless(&self) -> bool {
        self.good.is_empty() && is_hopeless(&self.missed)
    }
}

/// Who is worth trying in this manner: those who came near in another, nearest to hidden first. Where glasses are exchanged, whom
/// nobody tried yet come after them.
pub(super) fn worth_trying(again: &Again, manner: Manner, natural: Natural) -> Vec<rank::Candidate> {
    let glasses = manner.exchanges_glasses();
    let (reach, most) = if glasses { (GLASSES_REACH, GLASSES_TRIES) } else { (FARTHER_REACH, FARTHER_TRIES) };
    let farther = if manner.is_exaggerated() { FARTHER_MOVES } else { 0.0 };
    let most_moved = natural.max_landmarks_error(manner.is_exaggerated()) - farther;
    let near = |one: &&Refused| one.missed <= reach && one.looks.landmarks_error <= most_moved;
    let mut refused: Vec<&Refused> = again.refused.iter().filter(near).collect();
    refused.sort_by(|a, b| a.missed.total_cmp(&b.missed));
    let untried = again.untried.iter().filter(|_| glasses);
    let mut candidates: Vec<rank::Candidate> = Vec::new();
    for candidate in refused.into_iter().map(|one| &one.candidate).chain(untried) {
        if !candidates.iter().any(|known| known.index == candidate.index) {
            candidates.push(candidate.clone());
        }
    }
    candidates.truncate(most);
    candidates
}

fn is_hopeless(missed: &[f32]) -> bool {
    let n = missed.len() as f32;
    let mean = missed.iter().sum::<f32>() / n;
    // The mean of n is itself uncertain.
    missed.len() >= SEEN_FIRST && mean + super::score::SAFETY > HOPELESS * SPREAD * (1.0 + 1.0 / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exaggerated_shape_is_tried_with_those_who_came_near_and_kept_their_features_in_place() {
        let one = |index: usize, missed: f32, landmarks_error: f32| Refused {
            candidate: rank::Candidate { index, id: format!("c{index}"), cosine: 0.1 },
            missed,
            looks: Looks { landmarks_error, ..Looks::default() },
        };
        let refused = || vec![one(0, 0.05, 0.05), one(1, 0.07, 0.05), one(2, 0.01, 0.09), one(3, -0.02, 0.06)];
        let untried = || vec![rank::Candidate { index: 9, id: "c9".to_owned(), cosine: 0.2 }];
        let again = |manner, natural| {
            let again = Again { refused: refused(), untried: untried() };
            worth_trying(&again, manner, natural).iter().map(|c| c.index).collect::<Vec<_>>()
        };
        assert_eq!(again(Manner::Farther, Natural::Normal), [3, 0]);
        assert_eq!(again(Manner::Farther, Natural::Off), [3, 2, 0], "features may move there");
        assert_eq!(again(Manner::OtherGlasses, Natural::Normal), [3, 2, 0, 1, 9]);
        let many = Again { refused: (0..20).map(|index| one(index, 0.0, 0.05)).collect(), untried: Vec::new() };
        assert_eq!(worth_trying(&many, Manner::Farther, Natural::Normal).len(), FARTHER_TRIES);
    }

    #[test]
    fn a_search_is_given_up_when_all_miss_by_far_and_not_before_three_were_seen() {
        assert!(!is_hopeless(&[]));
        assert!(!is_hopeless(&[0.4, 0.3]));
        assert!(is_hopeless(&[0.2, 0.15, 0.18]));
        assert!(!is_hopeless(&[0.2, 0.15, -0.01]), "one came near");
        assert!(!is_hopeless(&[0.11; 3]) && is_hopeless(&[0.11; 12]), "more were seen");
        assert!(!is_hopeless(&[f32::NAN; 4]) && !is_hopeless(&[f32::NEG_INFINITY; 4]));
    }
}
