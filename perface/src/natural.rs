//! Who would look right in someone's place: skin tones that fit.
//!
//! A face whose skin tone is not that of the neck and ears beside it gives a swap away. Tone is the individual
//! typology angle (ITA) of the skin as it is in the picture, light included: a photo's dim light makes a face darker, and
//! a candidate must follow it there. It is a colour of pixels and no statement about anybody's origin.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rank::Candidate;

/// How much naturalness is asked of a replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Natural {
    /// Only candidates of a near skin tone, and no visible step at the edge; otherwise the face is covered.
    Strict,
    /// Candidates of a compatible skin tone first; where there are none that hide the face, the nearest in tone.
    #[default]
    Normal,
    /// Least similar first, whatever they look like.
    Off,
}

impl Natural {
    /// How far a candidate's skin tone may be from the face's, in degrees of ITA; `None` for no limit.
    pub fn max_tone_deg(self) -> Option<f32> {
        match self {
            Self::Strict => Some(15.0),
            Self::Normal => Some(25.0),
            Self::Off => None,
        }
    }

    /// Largest step of skin colour at the edge of a result (CIE 1976 ΔE) that is not refused; `None` for no limit.
    pub fn max_tone_step(self) -> Option<f32> {
        match self {
            Self::Strict => Some(6.0),
            Self::Normal => Some(7.5),
            Self::Off => None,
        }
    }

    /// Largest mean distance of the five landmarks from where they were that is not refused, in eye distances, with the
    /// usual shape or an exaggerated one. Looked at, faces beyond it have squeezed features, exaggerated ones sooner; far
    /// beyond, something else was found.
    pub fn max_landmarks_error(self, exaggerated: bool) -> f32 {
        match (self, exaggerated) {
            (Self::Off, _) => 0.25,
            (Self::Strict | Self::Normal, true) => 0.08,
            (Self::Normal, false) => 0.12,
            (Self::Strict, false) => 0.1,
        }
    }
}

impl fmt::Display for Natural {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Normal => "normal",
            Self::Off => "off",
        })
    }
}

impl FromStr for Natural {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "normal" => Ok(Self::Normal),
            "off" => Ok(Self::Off),
            _ => Err(format!("{text:?} is none of strict, normal, off")),
        }
    }
}

/// Candidates by skin tone.
#[derive(Clone, Debug, PartialEq)]
pub struct ByTone {
    /// Those that fit, in the order they came.
    pub fitting: Vec<Candidate>,
    /// Those that do not, nearest in tone first; those of unknown tone last.
    pub others: Vec<Candidate>,
}

impl ByTone {
    /// Sorts `ranked` by how far their tone is from `face_deg`; `tone_deg` tells a candidate's. If the face's tone
    /// is unknown, or there is no limit, all fit.
    pub fn of(
        ranked: &[Candidate],
        face_deg: Option<f32>,
        natural: Natural,
        tone_deg: impl Fn(&Candidate) -> Option<f32>,
    ) -> Self {
        let (Some(face_deg), Some(most)) = (face_deg, natural.max_tone_deg()) else {
            return Self { fitting: ranked.to_vec(), others: Vec::new() };
        };
        let away = |candidate: &Candidate| tone_deg(candidate).map_or(f32::INFINITY, |deg| (deg - face_deg).abs());
        let with: Vec<(f32, &Candidate)> = ranked.iter().map(|candidate| (away(candidate), candidate)).collect();
        let (fitting, mut others): (Vec<_>, Vec<_>) = with.into_iter().partition(|(away, _)| *away <= most);
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let only = |with: Vec<(f32, &Candidate)>| with.into_iter().map(|(_, candidate)| candidate.clone()).collect();
        Self { fitting: only(fitting), others: only(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked() -> Vec<Candidate> {
        (0..5).map(|index| Candidate { index, id: format!("c{index}"), cosine: 0.1 * index as f32 }).collect()
    }

    fn tone(candidate: &Candidate) -> Option<f32> {
        [Some(-30.0), Some(40.0), None, Some(10.0), Some(58.0)][candidate.index]
    }

    fn indices(candidates: &[Candidate]) -> Vec<usize> {
        candidates.iter().map(|c| c.index).collect()
    }

    #[test]
    fn fitting_ones_keep_their_order_and_the_others_come_nearest_first() {
        let by_tone = ByTone::of(&ranked(), Some(50.0), Natural::Strict, tone);
        assert_eq!(indices(&by_tone.fitting), [1, 4]);
        assert_eq!(indices(&by_tone.others), [3, 0, 2]);
        let wider = ByTone::of(&ranked(), Some(34.0), Natural::Normal, tone);
        assert_eq!(indices(&wider.fitting), [1, 3, 4]);
    }

    #[test]
    fn without_a_limit_or_a_tone_all_fit() {
        assert_eq!(indices(&ByTone::of(&ranked(), Some(50.0), Natural::Off, tone).fitting), [0, 1, 2, 3, 4]);
        assert_eq!(indices(&ByTone::of(&ranked(), None, Natural::Strict, tone).fitting), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn names_are_read_back() {
        for natural in [Natural::Strict, Natural::Normal, Natural::Off] {
            assert_eq!(natural.to_string().parse(), Ok(natural));
        }
        assert!("loose".parse::<Natural>().is_err());
    }
}
