//! How often a similarity agrees with people on which of two faces is closer to a third (arXiv 2509.20281, Table 1).
//!
//! A model is right on a triplet if it finds the face that people chose strictly more similar; equal cosines count as
//! wrong and are reported. All models are judged on the same triplets: those whose three pictures every one of them
//! could embed. Beside the share of right ones stands Wilson's interval, which takes triplets for independent, and
//! that of the two-way cluster bootstrap, which does not; McNemar's exact test compares two models.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::ceiling::NoiseCeiling;
use super::cluster::{RESAMPLES, numbered, two_way_bootstraps};
use perface::draw::Seed;
use perface::error::{Error, Result};
use perface::stats::{Interval, Proportion, binomial_test, mcnemar_exact};
use perface::triplets::{Kind, Side, Split, Triplet};

/// Whose answers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// Triplets on which all people agreed, as published.
    #[default]
    Unanimous,
    /// Triplets on which most people agreed.
    Majority,
}

/// Which triplets are judged, and how.
#[derive(Clone, Debug)]
pub struct TripletOptions {
    /// Whose answers count.
    pub agreement: Agreement,
    /// Only this part of the list.
    pub split: Option<Split>,
    /// Resamples of the cluster bootstrap.
    pub resamples: usize,
    /// Their seed.
    pub seed: Seed,
}

impl Default for TripletOptions {
    fn default() -> Self {
        Self { agreement: Agreement::default(), split: None, resamples: RESAMPLES, seed: Seed::new(1) }
    }
}

/// Cosines a model gives to every triplet of a list, in its order: reference with a, reference with b. `None` where a
/// picture could not be embedded.
#[derive(Clone, Debug)]
pub struct ModelCosines {
    /// The model's name.
    pub name: String,
    /// What its similarity is called.
    pub similarity: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// One entry for each triplet.
    pub cosines: Vec<Option<[f32; 2]>>,
}

/// Triplets that were not judged, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Catch questions, whose answer was set beforehand.
    pub dummies: usize,
    /// Of another part of the list.
    pub other_split: usize,
    /// Without enough agreement among people.
    pub disagreement: usize,
    /// With a picture that some model could not embed.
    pub unreadable: usize,
}

/// One model on the triplets that were judged.
#[derive(Clone, Debug, Serialize)]
pub struct ModelAccuracy {
    /// The model's name.
    pub name: String,
    /// What its similarity is called.
    pub similarity: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Share of triplets on which it is right, with Wilson's interval.
    pub accuracy: Proportion,
    /// The same share with the interval of the cluster bootstrap.
    pub clustered: Option<Interval>,
    /// Triplets it finds equal; they count as wrong.
    pub ties: usize,
    /// Probability of a result at least as far from a coin toss, if it were one and triplets were independent.
    pub p_chance: f64,
    /// Mean of the cosine with the chosen face less that with the other.
    pub mean_margin: f64,
}

/// Two models on the same triplets.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// One.
    pub first: String,
    /// The other.
    pub second: String,
    /// Triplets that only the first got right.
    pub only_first: usize,
    /// Triplets that only the second got right.
    pub only_second: usize,
    /// McNemar's exact test, two-sided; it takes triplets for independent.
    pub p_mcnemar: f64,
    /// Accuracy of the second less that of the first, with the interval of the cluster bootstrap.
    pub difference: Option<Interval>,
}

/// A triplet that was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// Its name in the list.
    pub sample_id: String,
    /// Picture the others were compared with.
    pub reference: String,
    /// Face a.
    pub a: String,
    /// Face b.
    pub b: String,
    /// Answers for a.
    pub votes_a: usize,
    /// Answers for b.
    pub votes_b: usize,
    /// Which face people chose.
    pub chosen: Side,
    /// Per model, in the order of [`TripletEvaluation::models`]: cosine of the reference with a and with b.
    pub cosines: Vec<[f32; 2]>,
}

impl Case {
    /// Cosines of model `index` with the chosen and with the other face.
    pub fn chosen_and_other(&self, index: usize) -> Option<(f32, f32)> {
        self.cosines.get(index).map(|&[a, b]| if self.chosen == Side::A { (a, b) } else { (b, a) })
    }

    /// Whether model `index` finds the chosen face strictly more similar.
    pub fn right(&self, index: usize) -> bool {
        self.chosen_and_other(index).is_some_and(|(chosen, other)| chosen > other)
    }
}

/// Models against people's judgements.
#[derive(Clone, Debug, Serialize)]
pub struct TripletEvaluation {
    /// Version of this record.
    pub schema: u32,
    /// Whether any of the judgements was computed from other ratings instead of asked.
    pub derived: bool,
    /// Whose answers count.
    pub agreement: Agreement,
    /// Only this part of the list, if one was chosen.
    pub split: Option<Split>,
    /// How many triplets were judged.
    pub n: usize,
    /// Distinct targets and source triplets among them: what the cluster bootstrap resamples.
    pub clusters: [usize; 2],
    /// Triplets that were not.
    pub skipped: Skipped,
    /// The models, in the order they were given.
    pub models: Vec<ModelAccuracy>,
    /// Every two of them.
    pub comparisons: Vec<Comparison>,
    /// Agreement among people over all triplets of the list that are no catch questions, whether judged or not.
    pub ceiling: Option<NoiseCeiling>,
    /// The triplets that were judged.
    pub cases: Vec<Case>,
}

/// Judge `models` by `triplets`.
///
/// # Errors
/// [`Error::Usage`] if no triplet is left to judge, or a model has not one entry for each triplet.
pub fn evaluate(triplets: &[Triplet], models: &[ModelCosines], options: &TripletOptions) -> Result<TripletEvaluation> {
    if models.iter().any(|model| model.cosines.len() != triplets.len()) {
        return Err(Error::Usage("a model was not run on every triplet".to_owned()));
    }
    let mut skipped = Skipped::default();
    let mut judged: Vec<(&Triplet, Case)> = Vec::new();
    for (index, triplet) in triplets.iter().enumerate() {
        let agreed = options.agreement == Agreement::Majority || triplet.unanimous();
        if triplet.kind == Kind::Dummy {
            skipped.dummies += 1;
        } else if options.split.is_some_and(|split| triplet.split != Some(split)) {
            skipped.other_split += 1;
        } else if let Some(chosen) = triplet.majority().filter(|_| agreed) {
            let cosines: Option<Vec<[f32; 2]>> =
                models.iter().map(|model| model.cosines.get(index).copied().flatten()).collect();
            match cosines {
                Some(cosines) => judged.push((triplet, case(triplet, chosen, cosines))),
                None => skipped.unreadable += 1,
            }
        } else {
            skipped.disagreement += 1;
        }
    }
    if judged.is_empty() {
        return Err(Error::Usage(format!("no triplet is left to judge ({})", skipped.in_words())));
    }
    let row = numbered(judged.iter().map(|(triplet, _)| triplet.target_id.as_str()));
    let column = numbered(judged.iter().map(|(triplet, _)| triplet.triplet_id.as_str()));
    let right: Vec<Vec<f64>> = (0..models.len())
        .map(|model| judged.iter().map(|(_, case)| f64::from(u8::from(case.right(model)))).collect())
        .collect();
    let pairs: Vec<(usize, usize)> =
        (0..models.len()).flat_map(|first| (first + 1..models.len()).map(move |second| (first, second))).collect();
    let differences: Vec<Vec<f64>> = pairs
        .iter()
        .filter_map(|&(first, second)| Some((right.get(first)?, right.get(second)?)))
        .map(|(first, second)| second.iter().zip(first).map(|(b, a)| b - a).collect())
        .collect();
    let lists: Vec<&[f64]> = right.iter().chain(&differences).map(Vec::as_slice).collect();
    let mut intervals = two_way_bootstraps(&lists, &row, &column, options.resamples, options.seed);
    let of_differences = intervals.split_off(right.len());
    let cases: Vec<Case> = judged.iter().map(|(_, case)| case.clone()).collect();
    let accuracies = models.iter().enumerate().zip(intervals).filter_map(|((index, model), clustered)| {
        let hits = cases.iter().filter(|case| case.right(index)).count();
        let margins = cases.iter().filter_map(|case| case.chosen_and_other(index)).map(|(c, o)| f64::from(c - o));
        let ties = cases.iter().filter(|case| case.chosen_and_other(index).is_some_and(|(c, o)| c == o)).count();
        Some(ModelAccuracy {
            name: model.name.clone(),
            similarity: model.similarity.clone(),
            sha256: model.sha256.clone(),
            accuracy: Proportion::wilson(hits, cases.len())?,
            clustered,
            ties,
            p_chance: binomial_test(hits as u64, cases.len() as u64, 0.5)?,
            mean_margin: margins.sum::<f64>() / cases.len() as f64,
        })
    });
    let comparisons = pairs.iter().zip(of_differences).filter_map(|(&(first, second), difference)| {
        let only = |yes, no| cases.iter().filter(|case| case.right(yes) && !case.right(no)).count();
        let (only_first, only_second) = (only(first, second), only(second, first));
        Some(Comparison {
            first: models.get(first)?.name.clone(),
            second: models.get(second)?.name.clone(),
            only_first,
            only_second,
            p_mcnemar: mcnemar_exact(only_first as u64, only_second as u64),
            difference,
        })
    });
    let distinct = |numbers: &[usize]| numbers.iter().max().map_or(0, |last| last + 1);
    Ok(TripletEvaluation {
        schema: 1,
        derived: judged.iter().any(|(triplet, _)| triplet.kind == Kind::Derived),
        agreement: options.agreement,
        split: options.split,
        n: cases.len(),
        clusters: [distinct(&row), distinct(&column)],
        skipped,
        models: accuracies.collect(),
        comparisons: comparisons.collect(),
        ceiling: NoiseCeiling::of(
            triplets.iter().filter(|t| t.kind != Kind::Dummy).map(|triplet| (triplet.votes_a, triplet.votes_b)),
        ),
        cases,
    })
}

fn case(triplet: &Triplet, chosen: Side, cosines: Vec<[f32; 2]>) -> Case {
    let Triplet { sample_id, reference, a, b, votes_a, votes_b, .. } = triplet.clone();
    Case { sample_id, reference, a, b, votes_a, votes_b, chosen, cosines }
}

impl Skipped {
    /// Everything that was left out, in words; empty if nothing was.
    pub fn in_words(&self) -> String {
        let parts = [
            (self.dummies, "catch questions"),
            (self.other_split, "of another split"),
            (self.disagreement, "without enough agreement"),
            (self.unreadable, "with a picture that could not be used"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }
}

/// What stands wherever a number from derived judgements does.
pub const DERIVED_NOTE: &str =
    "DERIVED JUDGEMENTS: nobody was asked which face is closer; the answers were computed from other ratings.";

impl TripletEvaluation {
    /// One line on which triplets were judged.
    pub fn subject(&self) -> String {
        let agreement = match self.agreement {
            Agreement::Unanimous => "on which all people agreed",
            Agreement::Majority => "with a majority",
        };
        let split = self.split.map_or(String::new(), |split| format!(" of split {split}"));
        let skipped = self.skipped.in_words();
        let skipped = if skipped.is_empty() { String::new() } else { format!("; left out: {skipped}") };
        let [targets, sources] = self.clusters;
        format!("{} triplets{split} {agreement}, of {targets} targets and {sources} source triplets{skipped}", self.n)
    }

    /// The result as text, like Table 1.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if self.derived {
            let _ = writeln!(text, "{DERIVED_NOTE}");
        }
        let _ = writeln!(text, "{}\n", self.subject());
        let _ = writeln!(
            text,
            "{:<22}{:>9}{:>10}{:>18}{:>20}{:>7}{:>10}",
            "model", "accuracy", "right", "95 % Wilson", "95 % clustered", "ties", "p chance"
        );
        for model in &self.models {
            let a = model.accuracy;
            let clustered = model.clustered.map_or("–".to_owned(), |c| format!("[{:.3}, {:.3}]", c.low, c.high));
            let _ = writeln!(
                text,
                "{:<22}{:>9.3}{:>10}{:>18}{clustered:>20}{:>7}{:>10}",
                model.name,
                a.value,
                format!("{}/{}", a.hits, a.n),
                format!("[{:.3}, {:.3}]", a.low, a.high),
                model.ties,
                p_value(model.p_chance)
            );
        }
        for c in &self.comparisons {
            let difference = c
                .difference
                .map_or("–".to_owned(), |d| format!("{:+.3} [{:+.3}, {:+.3}]", d.estimate, d.low, d.high));
            let _ = writeln!(
                text,
                "\n{} against {}: {difference} clustered; only {} right {}, only {} right {}, McNemar p {}",
                c.second,
                c.first,
                c.second,
                c.only_second,
                c.first,
                c.only_first,
                p_value(c.p_mcnemar)
            );
        }
        if let Some(ceiling) = &self.ceiling {
            let _ = writeln!(text, "\n{}", ceiling.to_text());
        }
        text
    }

    /// One line for each triplet that was judged: cosines and whether each model was right.
    ///
    /// # Errors
    /// [`Error::Usage`] if a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut head: Vec<String> =
            ["sample_id", "reference", "a", "b", "votes_a", "votes_b", "chosen"].map(str::to_owned).into();
        for model in &self.models {
            head.extend(["cosine_a", "cosine_b", "right"].map(|column| format!("{column}:{}", model.name)));
        }
        let rows = self.cases.iter().map(|case| {
            let mut row = vec![case.sample_id.clone(), case.reference.clone(), case.a.clone(), case.b.clone()];
            row.extend([case.votes_a.to_string(), case.votes_b.to_string(), case.chosen.to_string()]);
            for (index, [a, b]) in case.cosines.iter().enumerate() {
                row.extend([a.to_string(), b.to_string(), u8::from(case.right(index)).to_string()]);
            }
            row
        });
        perface::table::csv_text(&head, rows)
    }

    /// Triplets to show as worked examples, in the order of `wanted` sample ids; an id that was not judged is an error.
    /// Without wishes: for each pattern of right and wrong models, most frequent first, the clearest triplet.
    ///
    /// # Errors
    /// [`Error::Usage`] naming an id that was not judged.
    pub fn examples(&self, wanted: &[String], most: usize) -> Result<Vec<&Case>> {
        if !wanted.is_empty() {
            let find = |id: &String| {
                let found = self.cases.iter().find(|case| case.sample_id == *id);
                found.ok_or_else(|| Error::Usage(format!("sample {id:?} is not among the triplets that were judged")))
            };
            return wanted.iter().map(find).collect();
        }
        let mut patterns: BTreeMap<Vec<bool>, Vec<&Case>> = BTreeMap::new();
        for case in &self.cases {
            patterns.entry((0..self.models.len()).map(|model| case.right(model)).collect()).or_default().push(case);
        }
        let clarity = |case: &&Case| {
            let margins = (0..self.models.len()).filter_map(|m| case.chosen_and_other(m)).map(|(c, o)| (c - o).abs());
            margins.sum::<f32>()
        };
        let mut ordered: Vec<Vec<&Case>> = patterns.into_values().collect();
        ordered.sort_by_key(|cases| std::cmp::Reverse(cases.len()));
        for cases in &mut ordered {
            cases.sort_by(|a, b| clarity(b).total_cmp(&clarity(a)));
        }
        // One of each pattern, then the second of each, until there are enough.
        let longest = ordered.iter().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|nth| ordered.iter().filter_map(move |cases| cases.get(nth).copied()));
        Ok(turns.take(most).collect())
    }
}

impl NoiseCeiling {
    /// In words, with the warning that belongs to it.
    pub fn to_text(&self) -> String {
        let share = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let mut text = format!(
            "People ({} answers to {} questions): unanimous {:.3}, two agree {:.3}, Fleiss kappa {}, a third agrees \
             where two do {}\n",
            self.answers,
            self.questions,
            self.unanimous,
            self.pairwise,
            share(self.fleiss_kappa),
            share(self.third_where_two_agree)
        );
        match &self.model {
            Some(model) => {
                let _ = write!(
                    text,
                    "Noise ceiling if preferences vary as Beta(a, a), a = {:.3}: the best guess reaches {:.3} of \
                     unanimous answers of three, {:.3} of majorities of three, {:.3} of single people; a fourth person \
                     agrees with {:.3} of unanimous answers. On unanimous triplets people are right by construction: \
                     1 is no ceiling.",
                    model.a,
                    model.oracle_unanimous,
                    model.oracle_majority,
                    model.oracle_new_person,
                    model.fourth_person_unanimous
                );
            }
            None => text += "No noise ceiling: people agree always, or no more than by chance.",
        }
        text
    }
}

/// A probability with the digits that matter.
pub fn p_value(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triplet(id: usize, votes: (usize, usize), kind: Kind) -> Triplet {
        Triplet {
            sample_id: format!("s{id}"),
            target_id: format!("t{}", id % 3),
            triplet_id: format!("x{}", id / 3),
            reference: format!("{id}c"),
            a: format!("{id}a"),
            b: format!("{id}b"),
            votes_a: votes.0,
            votes_b: votes.1,
            kind,
            split: None,
        }
    }

    fn model(name: &str, cosines: &[Option<[f32; 2]>]) -> ModelCosines {
        ModelCosines {
            name: name.to_owned(),
            similarity: format!("{name} cosine"),
            sha256: String::new(),
            cosines: cosines.to_vec(),
        }
    }

    const A: Option<[f32; 2]> = Some([0.6, 0.2]);
    const B: Option<[f32; 2]> = Some([0.2, 0.6]);
    const EQUAL: Option<[f32; 2]> = Some([0.4, 0.4]);

    #[test]
    fn equal_cosines_are_wrong_and_counted() {
        let triplets: Vec<Triplet> = (0..4).map(|id| triplet(id, (3, 0), Kind::Real)).collect();
        let result = evaluate(&triplets, &[model("m", &[A, A, B, EQUAL])], &TripletOptions::default()).unwrap();
        assert_eq!((result.models[0].accuracy.hits, result.models[0].ties, result.n), (2, 1, 4));
        assert!((result.models[0].mean_margin - 0.1).abs() < 1e-6);
        assert!(!result.derived);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut triplets: Vec<Triplet> = (0..6).map(|id| triplet(id, (0, 3), Kind::Derived)).collect();
        triplets[0].kind = Kind::Dummy;
        triplets[1].votes_a = 1;
        triplets[2].votes_a = 3;
        let cosines = [B, B, B, None, B, A];
        let result = evaluate(&triplets, &[model("m", &cosines)], &TripletOptions::default()).unwrap();
        let want = Skipped { dummies: 1, other_split: 0, disagreement: 2, unreadable: 1 };
        assert_eq!((result.skipped, result.n, result.models[0].accuracy.hits), (want, 2, 1));
        assert!(result.derived && result.to_text().starts_with("DERIVED"));
        let majority = TripletOptions { agreement: Agreement::Majority, ..Default::default() };
        assert_eq!(evaluate(&triplets, &[model("m", &cosines)], &majority).unwrap().n, 3);
        let other = TripletOptions { split: Some(Split::I), ..Default::default() };
        let error = evaluate(&triplets, &[model("m", &cosines)], &other).unwrap_err().to_string();
        assert_eq!(error, "no triplet is left to judge (1 catch questions, 5 of another split)");
    }

    #[test]
    fn models_are_compared_on_the_triplets_both_could_embed() {
        let triplets: Vec<Triplet> = (0..9).map(|id| triplet(id, (3, 0), Kind::Real)).collect();
        let first = model("first", &[A, A, A, B, B, B, B, A, None]);
        let second = model("second", &[A, A, A, A, A, A, B, B, A]);
        let result = evaluate(&triplets, &[first, second], &TripletOptions::default()).unwrap();
        let comparison = &result.comparisons[0];
        assert_eq!((result.n, comparison.only_first, comparison.only_second), (8, 1, 3));
        assert_eq!(comparison.p_mcnemar, mcnemar_exact(1, 3));
        assert!((comparison.difference.unwrap().estimate - 0.25).abs() < 1e-12);
        assert_eq!(result.clusters, [3, 3]);
    }

    #[test]
    fn examples_show_every_pattern_before_a_second_of_any() {
        let triplets: Vec<Triplet> = (0..5).map(|id| triplet(id, (3, 0), Kind::Real)).collect();
        let clear = Some([0.9, 0.1]);
        let result = evaluate(
            &triplets,
            &[model("x", &[A, clear, A, B, A]), model("y", &[A, clear, B, B, A])],
            &TripletOptions::default(),
        )
        .unwrap();
        let ids = |cases: Vec<&Case>| cases.iter().map(|case| case.sample_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(result.examples(&[], 3).unwrap())[0], "s1", "the clearest of the most frequent pattern");
        let mut three = ids(result.examples(&[], 3).unwrap());
        three.sort();
        assert_eq!(three, ["s1", "s2", "s3"]);
        assert_eq!(ids(result.examples(&["s4".to_owned(), "s0".to_owned()], 1).unwrap()), ["s4", "s0"]);
        assert!(result.examples(&["s9".to_owned()], 1).is_err());
    }

    #[test]
    fn the_table_names_every_case_once() {
        let triplets: Vec<Triplet> = (0..3).map(|id| triplet(id, (3, 0), Kind::Real)).collect();
        let result = evaluate(&triplets, &[model("m", &[A, B, A])], &TripletOptions::default()).unwrap();
        let csv = String::from_utf8(result.to_csv().unwrap()).unwrap();
        assert_eq!(csv.lines().count(), 4);
        assert_eq!(csv.lines().nth(2), Some("s1,1c,1a,1b,3,0,a,0.2,0.6,0"));
    }
}
