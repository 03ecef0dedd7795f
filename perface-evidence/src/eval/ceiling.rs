//! How well anything could agree with people who do not agree with each other.
//!
//! From votes for one of two sides. Without a model: how often two people agree, Fleiss' κ (Psychological Bulletin 76,
//! 1971), and how often a third agrees where two do. With a model, that the share p of people who would choose a side
//! varies from question to question as Beta(a, a), symmetric because which face is called a means nothing: what the
//! best possible guess, the side with p > ½, reaches. a follows from the agreement P of two people, as
//! E[p(1 − p)] = (1 − P) / 2 = a / (2(2a + 1)), so a = (1 − P) / (2P − 1).
//!
//! Among questions answered unanimously people are right by construction: that is no ceiling.

use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, ln_beta};

/// Agreement among people, and what it leaves for anything that predicts them. Shares are in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseCeiling {
    /// Questions with at least two answers.
    pub questions: usize,
    /// Answers to them.
    pub answers: usize,
    /// Share of questions answered by all alike.
    pub unanimous: f64,
    /// Share of pairs of people that agree, averaged over questions.
    pub pairwise: f64,
    /// Fleiss' κ with the observed shares of a and b; `None` if everybody chose the same letter throughout.
    pub fleiss_kappa: Option<f64>,
    /// Of a third person where two agree. Free of selection, unlike agreement with unanimous answers.
    pub third_where_two_agree: Option<f64>,
    /// What follows from the Beta model; `None` where people agree no more than by chance, or always.
    pub model: Option<BetaCeiling>,
}

/// What the best guess reaches if the share of people who choose a side varies as Beta(a, a).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BetaCeiling {
    /// The parameter a: small where questions are clear, large where they are near a coin toss.
    pub a: f64,
    /// Of the best guess with one new person.
    pub oracle_new_person: f64,
    /// Of the best guess with the majority of three, over all questions.
    pub oracle_majority: f64,
    /// Of the best guess with the answer of three who agree, over questions where three do.
    pub oracle_unanimous: f64,
    /// Of a fourth person with three who agree.
    pub fourth_person_unanimous: f64,
}

/// Fleiss' κ of two sides from the share of pairs of people that agree and the share of answers for one side, both in
/// `[0, 1]`; `None` if every answer is for the same side.
pub fn fleiss_kappa(pairwise: f64, share_a: f64) -> Option<f64> {
    let by_chance = share_a * share_a + (1.0 - share_a) * (1.0 - share_a);
    (by_chance < 1.0).then(|| (pairwise - by_chance) / (1.0 - by_chance))
}

impl NoiseCeiling {
    /// From `(votes for a, votes for b)` of each question; questions with fewer than two answers say nothing about
    /// agreement and are left out. `None` if none is left.
    pub fn of(votes: impl IntoIterator<Item = (usize, usize)>) -> Option<Self> {
        let (mut questions, mut answers, mut for_a, mut unanimous) = (0usize, 0usize, 0usize, 0usize);
        let (mut agreement, mut two_agree, mut three_agree) = (0.0, 0.0, 0.0);
        for (a, b) in votes {
            let n = a + b;
            if n < 2 {
                continue;
            }
            questions += 1;
            answers += n;
            for_a += a;
            unanimous += usize::from(a == 0 || b == 0);
            let pairs = |k: usize| (k * k.saturating_sub(1)) as f64;
            let triples = |k: usize| pairs(k) * k.saturating_sub(2) as f64;
            let together = (pairs(a) + pairs(b)) / pairs(n);
            agreement += together;
            if n > 2 {
                two_agree += together;
                three_agree += (triples(a) + triples(b)) / triples(n);
            }
        }
        if questions == 0 {
            return None;
        }
        let pairwise = agreement / questions as f64;
        Some(Self {
            questions,
            answers,
            unanimous: unanimous as f64 / questions as f64,
            pairwise,
            fleiss_kappa: fleiss_kappa(pairwise, for_a as f64 / answers as f64),
            third_where_two_agree: (two_agree > 0.0).then(|| three_agree / two_agree),
            model: BetaCeiling::of(pairwise),
        })
    }
}

impl BetaCeiling {
    /// From the share of pairs of people that agree; `None` unless it is between ½ and 1, both excluded.
    pub fn of(pairwise: f64) -> Option<Self> {
        let a = (1.0 - pairwise) / (2.0 * pairwise - 1.0);
        if !(a.is_finite() && a > 0.0) {
            return None;
        }
        // E[p^k] and the part of it where p > ½.
        let moment = |k: u32| (0..k).map(f64::from).map(|i| (a + i) / (2.0 * a + i)).product::<f64>();
        let upper = |k: u32| moment(k) * (1.0 - beta_reg(a + f64::from(k), a, 0.5));
        Some(Self {
            a,
            oracle_new_person: 0.5 + (-2.0 * a * std::f64::consts::LN_2 - ln_beta(a, a)).exp() / a,
            // With q = max(p, 1 − p), two of three or all three choose its side with 3q² − 2q³.
            oracle_majority: 2.0 * (3.0 * upper(2) - 2.0 * upper(3)),
            oracle_unanimous: upper(3) / moment(3),
            fourth_person_unanimous: moment(4) / moment(3),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Numbers that `tools/evaluation_reference.py` computed.
    fn reference() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/evaluation.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn near(got: f64, want: &Value, what: &str) {
        let want = want.as_f64().unwrap();
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{what}: {got} is not {want}");
    }

    #[test]
    fn ceilings_are_those_of_numerical_integration() {
        for case in reference()["ceiling"].as_array().unwrap() {
            let found = BetaCeiling::of(case["pairwise"].as_f64().unwrap()).unwrap();
            near(found.a, &case["a"], "a");
            near(found.oracle_new_person, &case["new_person"], "new person");
            near(found.oracle_majority, &case["majority"], "majority");
            near(found.oracle_unanimous, &case["unanimous"], "unanimous");
            near(found.fourth_person_unanimous, &case["fourth"], "fourth");
        }
    }

    #[test]
    fn agreement_is_that_of_the_reference() {
        for case in reference()["fleiss"].as_array().unwrap() {
            let votes = case["votes"].as_array().unwrap().iter();
            let votes = votes.map(|pair| (pair[0].as_u64().unwrap() as usize, pair[1].as_u64().unwrap() as usize));
            let found = NoiseCeiling::of(votes).unwrap();
            near(found.fleiss_kappa.unwrap(), &case["kappa"], "kappa");
            near(found.pairwise, &case["pairwise"], "pairwise");
            near(found.third_where_two_agree.unwrap(), &case["third"], "third");
        }
    }

    #[test]
    fn half_unanimous_gives_a_uniform_share() {
        // u = ½: P = ⅔, a = 1.
        let found = NoiseCeiling::of([(3, 0), (1, 2), (0, 3), (2, 1)]).unwrap();
        assert!((found.pairwise - 2.0 / 3.0).abs() < 1e-12);
        let model = found.model.unwrap();
        assert!((model.a - 1.0).abs() < 1e-9 && (model.oracle_new_person - 0.75).abs() < 1e-9);
        assert!((model.oracle_unanimous - 0.9375).abs() < 1e-9 && (model.fourth_person_unanimous - 0.8).abs() < 1e-9);
        assert!((found.third_where_two_agree.unwrap() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn chance_certainty_and_single_answers_have_no_model() {
        assert!(NoiseCeiling::of([(2, 0), (0, 2), (1, 1), (1, 1)]).unwrap().model.is_none(), "two agree half the time");
        assert!(NoiseCeiling::of([(3, 0), (0, 3)]).unwrap().model.is_none());
        assert_eq!(NoiseCeiling::of([(3, 0)]).unwrap().fleiss_kappa, None);
        assert_eq!(NoiseCeiling::of([(1, 0), (0, 0)]), None);
    }
}
