//! What is learnt from: questions about pictures, with the answer people gave.
//!
//! Every triplet of the list ends up in a part of the experiment or is counted among those left out, with the reason.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use perface::triplets::{Kind, Side, Split, Triplet};
use perface::{Error, Result};
use serde::Serialize;

/// Which answers are learnt from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// What most people said (the published D1).
    D1,
    /// Only where all said the same (the published D2).
    #[default]
    D2,
}

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "d1" => Ok(Self::D1),
            "d2" => Ok(Self::D2),
            _ => Err(format!("{text:?} is neither d1 (majority) nor d2 (unanimous)")),
        }
    }
}

/// What a question counts on which people were divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Divided {
    /// As much as any other, with the majority's answer.
    #[default]
    Full,
    /// |k − l| / (k + l) for k votes against l: a third for two against one.
    Margin,
    /// One question for each vote, so that the minority's count against it.
    Votes,
}

impl FromStr for Divided {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "margin" => Ok(Self::Margin),
            "votes" => Ok(Self::Votes),
            _ => Err(format!("{text:?} is none of full, margin, votes")),
        }
    }
}

/// A triplet with its answer; pictures by their place in [`Dataset::pictures`].
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The face the others were compared with.
    pub reference: usize,
    /// The face found closer.
    pub near: usize,
    /// The other face.
    pub far: usize,
    /// What it counts.
    pub weight: f64,
}

/// Triplets that are not used, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Belong to no part of the experiment.
    pub no_split: usize,
    /// Catch questions.
    pub dummy: usize,
    /// As many people chose one face as the other, or nobody answered.
    pub undecided: usize,
    /// People were divided, where only unanimous answers are used.
    pub divided: usize,
    /// A picture cannot be used.
    pub picture: usize,
}

/// All answers to one question of the validation part, divided or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Votes {
    /// The face the others were compared with.
    pub reference: usize,
    /// Face a.
    pub a: usize,
    /// Face b.
    pub b: usize,
    /// How many people found a closer.
    pub votes_a: usize,
    /// How many people found b closer.
    pub votes_b: usize,
}

/// Questions by part, about numbered pictures.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the pictures, sorted.
    pub pictures: Vec<String>,
    /// Questions of each part. Test parts hold unanimous answers only.
    pub parts: BTreeMap<Split, Vec<Question>>,
    /// Answers of the validation part, to calibrate by.
    pub votes: Vec<Votes>,
    /// What is not used.
    pub left_out: LeftOut,
    /// Whether no person was asked any of the questions.
    pub derived: bool,
}

/// How answers become questions.
#[derive(Clone, Debug, Default)]
pub struct DatasetOptions {
    /// Which answers are learnt from.
    pub labels: Labels,
    /// What divided answers count, with [`Labels::D1`].
    pub divided: Divided,
}

impl Dataset {
    /// From the triplets of a list; those with one of the `unusable` pictures are left out and counted.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is nothing to learn from, or nothing to stop by.
    pub fn new(triplets: &[Triplet], unusable: &HashSet<String>, options: &DatasetOptions) -> Result<Self> {
        let mut pictures: Vec<&str> = triplets.iter().flat_map(Triplet::pictures).collect();
        pictures.sort_unstable();
        pictures.dedup();
        pictures.retain(|picture| !unusable.contains(*picture));
        let number: HashMap<&str, usize> = pictures.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let mut set = Self {
            pictures: pictures.iter().map(|name| (*name).to_owned()).collect(),
            derived: triplets.iter().any(|t| t.kind == Kind::Derived),
            ..Self::default()
        };
        for triplet in triplets {
            let Some(split) = triplet.split else {
                set.left_out.no_split += 1;
                continue;
            };
            if triplet.kind == Kind::Dummy {
                set.left_out.dummy += 1;
                continue;
            }
            let numbers = triplet.pictures().map(|name| number.get(name).copied());
            if let ([Some(reference), Some(a), Some(b)], Split::Val) = (numbers, split) {
                let (votes_a, votes_b) = (triplet.votes_a, triplet.votes_b);
                set.votes.push(Votes { reference, a, b, votes_a, votes_b });
            }
            let Some(side) = triplet.majority() else {
                set.left_out.undecided += 1;
                continue;
            };
            let learnt = matches!(split, Split::Train);
            if !triplet.unanimous() && (options.labels == Labels::D2 || !learnt) {
                set.left_out.divided += 1;
                continue;
            }
            let [Some(reference), Some(a), Some(b)] = numbers else {
                set.left_out.picture += 1;
                continue;
            };
            let (near, far) = if side == Side::A { (a, b) } else { (b, a) };
            let part = set.parts.entry(split).or_default();
            let (most, least) = (triplet.votes_a.max(triplet.votes_b), triplet.votes_a.min(triplet.votes_b));
            let total = (most + least) as f64;
            match options.divided {
                Divided::Full => part.push(Question { reference, near, far, weight: 1.0 }),
                Divided::Margin => {
                    part.push(Question { reference, near, far, weight: (most - least) as f64 / total });
                }
                Divided::Votes => {
                    part.push(Question { reference, near, far, weight: most as f64 / total });
                    if least > 0 && learnt {
                        part.push(Question { reference, near: far, far: near, weight: least as f64 / total });
                    }
                }
            }
        }
        for (split, what) in [(Split::Train, "to learn from"), (Split::Val, "to stop by (part val)")] {
            if set.part(split).is_empty() {
                let LeftOut { no_split, dummy, undecided, divided, picture } = &set.left_out;
                return Err(Error::Usage(format!(
                    "of {} triplets none is left {what}: {no_split} belong to no part, {dummy} are catch questions, \
                     {undecided} undecided, {divided} divided, {picture} with a picture that cannot be used",
                    triplets.len()
                )));
            }
        }
        Ok(set)
    }

    /// Questions of a part; none if there is no such part.
    pub fn part(&self, split: Split) -> &[Question] {
        self.parts.get(&split).map_or(&[], Vec::as_slice)
    }
}

/// Answers of a similarity to questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Questions.
    pub n: usize,
    /// Those in which the face people found closer is strictly closer.
    pub right: usize,
    /// Those in which both are equally close; they count as wrong.
    pub ties: usize,
}

impl Agreement {
    /// Of the cosines of unit `embeddings` `[pictures, width]`.
    pub fn of(questions: &[Question], embeddings: &[f32], width: usize) -> Self {
        let mut agreement = Self { n: questions.len(), ..Self::default() };
        for (near, far) in cosines(questions, embeddings, width) {
            agreement.right += usize::from(near > far);
            agreement.ties += usize::from(near == far);
        }
        agreement
    }

    /// Share that is right; NaN of no questions.
    pub fn share(&self) -> f64 {
        self.right as f64 / self.n as f64
    }
}

/// Cosine of each question's reference with the near face and with the far one.
pub fn cosines<'a>(
    questions: &'a [Question],
    embeddings: &'a [f32],
    width: usize,
) -> impl Iterator<Item = (f64, f64)> + 'a {
    let row = move |at: usize| embeddings.get(at * width..(at + 1) * width).unwrap_or_default();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    questions.iter().map(move |q| {
        let reference = row(q.reference);
        (dot(reference, row(q.near)), dot(reference, row(q.far)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triplet(id: usize, votes: (usize, usize), split: Option<Split>) -> Triplet {
        Triplet {
            sample_id: id.to_string(),
            target_id: format!("t{id}"),
            triplet_id: format!("s{id}"),
            reference: format!("{id}c"),
            a: format!("{id}a"),
            b: format!("{id}b"),
            votes_a: votes.0,
            votes_b: votes.1,
            kind: Kind::Real,
            split,
        }
    }

    fn list() -> Vec<Triplet> {
        let mut list = vec![
            triplet(0, (3, 0), Some(Split::Train)),
            triplet(1, (1, 2), Some(Split::Train)),
            triplet(2, (0, 3), Some(Split::Val)),
            triplet(3, (2, 1), Some(Split::Val)),
            triplet(4, (2, 2), Some(Split::Train)),
            triplet(5, (3, 0), None),
            triplet(6, (3, 0), Some(Split::Train)),
        ];
        list[6].kind = Kind::Dummy;
        list
    }

    #[test]
    fn every_triplet_is_used_or_counted() {
        for (labels, divided, train, left) in [
            (Labels::D2, Divided::Full, vec![1.0], (1, 1, 1, 2)),
            (Labels::D1, Divided::Full, vec![1.0, 1.0], (1, 1, 1, 1)),
            (Labels::D1, Divided::Margin, vec![1.0, 1.0 / 3.0], (1, 1, 1, 1)),
            (Labels::D1, Divided::Votes, vec![1.0, 2.0 / 3.0, 1.0 / 3.0], (1, 1, 1, 1)),
        ] {
            let set = Dataset::new(&list(), &HashSet::new(), &DatasetOptions { labels, divided }).unwrap();
            let weights: Vec<f64> = set.part(Split::Train).iter().map(|q| q.weight).collect();
            assert_eq!(weights, train, "{labels:?} {divided:?}");
            let LeftOut { no_split, dummy, undecided, divided, picture } = set.left_out;
            assert_eq!((no_split, dummy, undecided, divided), left);
            assert_eq!(picture, 0);
            assert_eq!(set.part(Split::Val).len(), 1, "only unanimous answers are tested on");
        }
    }

    #[test]
    fn the_face_most_people_chose_is_the_near_one() {
        let set = Dataset::new(&list(), &HashSet::new(), &DatasetOptions { labels: Labels::D1, ..Default::default() });
        let set = set.unwrap();
        let names = |q: &Question| [q.reference, q.near, q.far].map(|at| set.pictures[at].clone());
        assert_eq!(names(&set.part(Split::Train)[0]), ["0c", "0a", "0b"]);
        assert_eq!(names(&set.part(Split::Train)[1]), ["1c", "1b", "1a"]);
    }

    #[test]
    fn nothing_left_to_learn_from_is_an_error_with_the_reasons() {
        let unusable = HashSet::from(["0c".to_owned()]);
        let error = Dataset::new(&list(), &unusable, &DatasetOptions::default()).unwrap_err().to_string();
        assert!(error.contains("none is left to learn from") && error.contains("1 with a picture"), "{error}");
    }

    #[test]
    fn ties_count_as_wrong() {
        let questions = [
            Question { reference: 0, near: 1, far: 2, weight: 1.0 },
            Question { reference: 0, near: 1, far: 1, weight: 1.0 },
            Question { reference: 0, near: 2, far: 1, weight: 1.0 },
        ];
        let embeddings = [1.0, 0.0, 0.8, 0.6, 0.0, 1.0];
        assert_eq!(Agreement::of(&questions, &embeddings, 2), Agreement { n: 3, right: 1, ties: 1 });
    }
}
