//! How good one result is: does it hide the person, and does it look like a face that belongs there?
//!
//! What does not hide is refused. Of the rest, hiding counts until a result is clearly hidden; from there on looks
//! decide, for being still less alike gains nothing.

use crate::detect::Face;
use crate::natural::Natural;
use crate::originals::Standing;

/// A result counts as the same person from this far below the threshold on: encoded, found and aligned anew at full size, its
/// cosine rose by up to .02 over what was seen when it was made.
pub(super) const SAFETY: f32 = 0.03;
/// The same for the lead of the original over the likest stranger: by the written file it rose by up to .015.
const LEAD_SAFETY: f32 = 0.015;
/// A result this far below the threshold of every recogniser is clearly hidden.
const CLEAR_MARGIN: f32 = -0.08;
/// A stranger that is found first by this much is clearly found first.
const CLEAR_LEAD: f32 = -0.04;
/// Landmarks moved by less than this, in eye distances, keep pose and expression.
const CLEAR_LANDMARKS: f32 = 0.05;
/// A smaller step of skin colour at the edge (CIE 1976 ΔE) is not seen.
const CLEAR_TONE_STEP: f32 = 4.0;

/// Why a result may not be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A recogniser takes it for the original.
    #[error("every result was still taken for the same person")]
    SamePerson,
    /// A recogniser finds the original first among all originals of the run.
    #[error("every result still led to its own original first among the faces of this run")]
    FoundFirst,
    /// The features are somewhere else.
    #[error("every result moved eyes, nose or mouth")]
    Moved,
    /// The skin changes colour at the edge.
    #[error("every result had a visible edge")]
    Edge,
}

/// What was measured of one result, found, aligned and embedded anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Whether every gate looked at it; one that was refused by an early gate is not shown to the later ones.
    pub answered_by_all: bool,
    /// Cosine with the original by each gate.
    pub similarities: Vec<f32>,
    /// The highest of them less the gate's threshold; negative if no gate takes it for the original.
    pub margin: f32,
    /// Where it stands among the originals of the run by each gate; `None` where there are too few.
    pub standings: Vec<Option<Standing>>,
    /// How it looks.
    pub looks: Looks,
}

/// What of a result's looks can be measured, without any recogniser.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Looks {
    /// Mean distance of the five landmarks from where they were, in eye distances.
    pub landmarks_error: f32,
    /// Whether its shape was exaggerated.
    pub exaggerated: bool,
    /// Step of skin colour that the edge gained (CIE 1976 ΔE); `None` if it could not be seen.
    pub tone_step: Option<f32>,
}

impl Looks {
    /// What is seen to be wrong, if anything is.
    pub fn unfit(&self, natural: Natural) -> Option<Unfit> {
        let over = |limit: Option<f32>| limit.zip(self.tone_step).is_some_and(|(limit, step)| step > limit);
        if self.landmarks_error.is_nan() || self.landmarks_error > natural.max_landmarks_error(self.exaggerated) {
            Some(Unfit::Moved)
        } else {
            over(natural.max_tone_step()).then_some(Unfit::Edge)
        }
    }
}

impl Score {
    /// The largest lead of the own original over the likest stranger; 0 or more if a gate would find it first.
    pub fn lead(&self) -> Option<f32> {
        self.standings.iter().flatten().map(|standing| standing.lead).max_by(f32::total_cmp)
    }

    /// Why it may not be published, if so.
    pub fn unfit(&self, natural: Natural) -> Option<Unfit> {
        if self.margin.is_nan() || self.margin >= -SAFETY {
            Some(Unfit::SamePerson)
        } else if self.lead().is_some_and(|lead| lead >= -LEAD_SAFETY) {
            Some(Unfit::FoundFirst)
        } else if !self.answered_by_all {
            // A gate that did not answer has not been passed.
            Some(Unfit::SamePerson)
        } else {
            self.looks.unfit(natural)
        }
    }

    /// Why it does not hide the person as it was written, if so. Nothing changes any more, so there is no margin for it.
    pub fn unhidden(&self) -> Option<Unfit> {
        if self.margin.is_nan() || self.margin >= 0.0 {
            Some(Unfit::SamePerson)
        } else {
            self.lead().is_some_and(|lead| lead >= 0.0).then_some(Unfit::FoundFirst)
        }
    }

    /// The smaller the better: how much is missing to clearly hidden, counted double, and how much to unseen.
    pub fn cost(&self, natural: Natural) -> f32 {
        if natural == Natural::Off {
            return self.margin.max(self.lead().unwrap_or(f32::NEG_INFINITY));
        }
        let margin = (self.margin - CLEAR_MARGIN).max(0.0) / -CLEAR_MARGIN;
        let lead = self.lead().map_or(0.0, |lead| (lead - CLEAR_LEAD).max(0.0) / -CLEAR_LEAD);
        let Looks { landmarks_error, tone_step, .. } = self.looks;
        let looks = landmarks_error / CLEAR_LANDMARKS + tone_step.unwrap_or(0.0) / CLEAR_TONE_STEP;
        2.0 * margin.max(lead) + 0.5 * looks
    }

    /// Whether no better one need be looked for.
    pub fn is_clearly_good(&self, natural: Natural) -> bool {
        let hidden = self.margin <= CLEAR_MARGIN && self.lead().is_none_or(|lead| lead <= CLEAR_LEAD);
        let Looks { landmarks_error, tone_step, .. } = self.looks;
        let looks = natural == Natural::Off
            || (landmarks_error <= CLEAR_LANDMARKS && tone_step.is_none_or(|step| step <= CLEAR_TONE_STEP));
        hidden && looks && self.unfit(natural).is_none()
    }
}

/// Mean distance of the landmarks of `after` from those of `before`, in eye distances; infinite if the eyes coincide.
pub fn landmarks_error(before: &Face, after: &Face) -> f32 {
    let [left_eye, right_eye, ..] = before.landmarks_px;
    let eyes = left_eye.distance(right_eye);
    let moved: f32 = before.landmarks_px.iter().zip(after.landmarks_px).map(|(a, b)| a.distance(b)).sum();
    if eyes > 0.0 { moved / 5.0 / eyes } else { f32::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, Rect};

    fn score(margin: f32, lead: Option<f32>) -> Score {
        let standings = vec![None, lead.map(|lead| Standing { lead, rank: 2, strangers: 50 })];
        Score { answered_by_all: true, similarities: vec![0.2; 2], margin, standings, looks: LOOKS }
    }

    const LOOKS: Looks = Looks { landmarks_error: 0.05, exaggerated: false, tone_step: Some(2.0) };

    fn looking(looks: Looks) -> Score {
        Score { looks, ..score(-0.1, None) }
    }

    #[test]
    fn what_does_not_hide_is_refused_first() {
        let natural = Natural::Normal;
        assert_eq!(score(0.0, None).unfit(natural), Some(Unfit::SamePerson));
        assert_eq!(score(-0.02, None).unfit(natural), Some(Unfit::SamePerson), "too near to be sure");
        assert_eq!(score(-0.1, Some(0.0)).unfit(natural), Some(Unfit::FoundFirst));
        assert_eq!(score(-0.1, Some(-0.01)).unfit(natural), Some(Unfit::FoundFirst), "too near to be sure");
        assert_eq!(score(-0.1, Some(-0.02)).unfit(natural), None);
        assert_eq!(score(-0.02, Some(-0.01)).unhidden(), None, "as it was written there is nothing to be unsure of");
        assert_eq!(score(0.0, None).unhidden(), Some(Unfit::SamePerson));
        assert_eq!(score(-0.1, Some(0.0)).unhidden(), Some(Unfit::FoundFirst));
        assert_eq!(score(-0.1, None).unfit(natural), None);
        assert_eq!(looking(Looks { landmarks_error: 0.3, ..LOOKS }).unfit(natural), Some(Unfit::Moved));
        let squeezed = |exaggerated| looking(Looks { landmarks_error: 0.1, exaggerated, ..LOOKS }).unfit(natural);
        assert_eq!([squeezed(false), squeezed(true)], [None, Some(Unfit::Moved)]);
        assert_eq!(
            Score { answered_by_all: false, ..score(-0.1, None) }.unfit(natural),
            Some(Unfit::SamePerson),
            "a gate that did not answer"
        );
        assert_eq!(score(f32::NAN, None).unfit(natural), Some(Unfit::SamePerson));
    }

    #[test]
    fn an_edge_is_refused_sooner_where_more_is_asked() {
        let stepped = |natural| looking(Looks { tone_step: Some(7.0), ..LOOKS }).unfit(natural);
        assert_eq!([Natural::Strict, Natural::Normal, Natural::Off].map(stepped), [Some(Unfit::Edge), None, None]);
    }

    #[test]
    fn hiding_counts_until_it_is_clear_and_looks_from_there_on() {
        let natural = Natural::Normal;
        assert!(score(-0.07, None).cost(natural) > score(-0.08, None).cost(natural));
        assert_eq!(score(-0.3, None).cost(natural), score(-0.08, None).cost(natural));
        let plain = Score { looks: Looks { tone_step: Some(8.0), ..LOOKS }, ..score(-0.3, None) };
        assert!(plain.cost(natural) > score(-0.08, None).cost(natural));
        assert!(score(-0.3, None).cost(Natural::Off) < score(-0.08, None).cost(Natural::Off));
        assert!(score(-0.08, Some(-0.05)).is_clearly_good(natural));
        assert!(!score(-0.08, Some(-0.01)).is_clearly_good(natural) && !plain.is_clearly_good(natural));
        assert!(plain.is_clearly_good(Natural::Off));
    }

    #[test]
    fn a_landmark_that_moves_by_an_eye_distance_adds_a_fifth() {
        let p = Point::new;
        let landmarks_px = [p(0.0, 0.0), p(10.0, 0.0), p(5.0, 5.0), p(1.0, 9.0), p(9.0, 9.0)];
        let before = Face { box_px: Rect::from_xywh(0.0, 0.0, 1.0, 1.0), landmarks_px, score: 1.0 };
        let mut after = before.clone();
        after.landmarks_px[2] = p(5.0, 15.0);
        assert!((landmarks_error(&before, &after) - 0.2).abs() < 1e-6);
        after.landmarks_px = [p(1.0, 1.0); 5];
        assert_eq!(landmarks_error(&after, &before), f32::INFINITY);
    }
}
