//! A scale for differences of similarity: which share of people is expected to call a face closer.
//!
//! P(people call A closer) = σ((s_A − s_B) / τ). τ is the one under which the votes of the validation questions are
//! likeliest; the divided ones count too, as they say where people waver.

/// Answers to one question, with the similarities of its two faces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answers {
    /// s_A − s_B.
    pub difference: f64,
    /// Votes for A.
    pub votes_a: usize,
    /// Votes for B.
    pub votes_b: usize,
}

/// Smallest and largest scale that is told; beyond them similarity and votes have nothing to do with each other, or
/// nobody ever wavered.
const RANGE: (f64, f64) = (1e-4, 1e3);

/// The likeliest τ; `None` without votes, or if similarity does not go with them.
pub fn fit(answers: &[Answers]) -> Option<f64> {
    // The slope of the log-likelihood in k = 1/τ falls as k grows, so it is bisected.
    let slope = |k: f64| -> f64 {
        let one = |a: &Answers| {
            let p = sigmoid(k * a.difference);
            a.difference * (a.votes_a as f64 * (1.0 - p) - a.votes_b as f64 * p)
        };
        answers.iter().filter(|a| a.difference.is_finite()).map(one).sum()
    };
    let (mut low, mut high) = (1.0 / RANGE.1, 1.0 / RANGE.0);
    if slope(low) <= 0.0 {
        return None;
    }
    if slope(high) >= 0.0 {
        return Some(RANGE.0);
    }
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(1.0 / low)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_that_made_the_votes_is_found() {
        let tau = 0.08;
        let answers: Vec<Answers> = (-20..=20)
            .map(|step| {
                let difference = f64::from(step) / 100.0;
                let votes_a = (1e6 * sigmoid(difference / tau)).round() as usize;
                Answers { difference, votes_a, votes_b: 1_000_000 - votes_a }
            })
            .collect();
        assert!((fit(&answers).unwrap() - tau).abs() < 1e-5);
    }

    #[test]
    fn votes_that_do_not_go_with_similarity_have_no_scale() {
        let against = [Answers { difference: 0.2, votes_a: 0, votes_b: 3 }];
        assert_eq!((fit(&against), fit(&[])), (None, None));
        let always = [Answers { difference: 0.2, votes_a: 3, votes_b: 0 }];
        assert_eq!(fit(&always), Some(1e-4));
    }
}
