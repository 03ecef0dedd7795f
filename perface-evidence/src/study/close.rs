//! Closing a study: which answers count, how much people agree, and the table to train on.

use std::path::Path;

use serde::Serialize;

use super::agreement::{Agreement, Votes};
use super::render::PICTURES;
use super::vote::{self, PersonSummary, Vote};
use super::{Place, Rules, SampleKind, Study};
use crate::eval::ceiling::NoiseCeiling;
use crate::splits::{self, SplitOptions, SplitReport};
use perface::draw::Seed;
use perface::error::{Error, Result};
use perface::summary::{Proportion, quantile};
use perface::triplets::{Kind, Triplet};

/// Bins of the histogram of answer times: each half as long again as the one before, from 250 ms.
const TIME_BINS: usize = 12;

/// What closing a study comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloseReport {
    /// 1.
    pub schema: u32,
    /// True if nobody was asked: all numbers here describe simulated people.
    pub simulated: bool,
    /// What the reader must know.
    pub notes: Vec<String>,
    /// Which engine made the pictures.
    pub engine: Option<String>,
    /// The rules by which answers count.
    pub rules: Rules,
    /// Targets, source triplets and real samples of the design.
    pub design: [usize; 3],
    /// Everybody who answered.
    pub people: Vec<PersonSummary>,
    /// How many of them are excluded.
    pub excluded: usize,
    /// How many answers there are, valid ones among them, and too fast ones.
    pub answers: AnswerCounts,
    /// How many samples there are by what people said.
    pub samples: SampleCounts,
    /// How often the left face was chosen over valid real answers: 0.5 without side bias.
    pub left: Option<Proportion>,
    /// Repeats that were answered as the first time, over valid people.
    pub consistent: Option<Proportion>,
    /// Times of valid answers.
    pub times: Option<Times>,
    /// How many samples have so many votes for A and so many for B.
    pub patterns: Vec<Pattern>,
    /// How much people agree; `None` if no sample has two valid votes.
    pub agreement: Option<Agreement>,
    /// The parts the samples were put in; `None` if that was not asked for or not possible.
    pub splits: Option<SplitReport>,
}

/// Numbers of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AnswerCounts {
    /// All.
    pub all: usize,
    /// Valid answers to real samples, without repeats.
    pub valid: usize,
    /// Answers of excluded people.
    pub of_excluded: usize,
    /// Too fast.
    pub too_fast: usize,
}

/// Numbers of real samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SampleCounts {
    /// In the table.
    pub written: usize,
    /// Left out, as they have too few valid answers.
    pub too_few: usize,
    /// With a majority: D1.
    pub d1_majority: usize,
    /// Unanimous: D2.
    pub d2_unanimous: usize,
    /// As many for A as for B.
    pub tied: usize,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Half were faster.
    pub median_ms: f64,
    /// One in twenty was faster.
    pub p05_ms: f64,
    /// One in twenty was slower.
    pub p95_ms: f64,
    /// Upper end of each bin, and how many answers are in it; the last bin has no end.
    pub histogram: Vec<(f64, usize)>,
}

/// Samples with the same votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pattern {
    /// Votes for A.
    pub votes_a: usize,
    /// Votes for B.
    pub votes_b: usize,
    /// How many samples.
    pub samples: usize,
}

/// What is asked of [`close`].
#[derive(Clone, Debug, PartialEq)]
pub struct CloseOptions {
    /// The rules; the study's own, or others to see what changes.
    pub rules: Rules,
    /// Valid answers a sample needs to be in the table.
    pub min_votes: usize,
    /// How to split; `None` leaves the column empty.
    pub split: Option<SplitOptions>,
    /// Seed of splits and intervals.
    pub seed: u64,
}

impl CloseOptions {
    /// By the study's own rules.
    pub fn of(study: &Study) -> Self {
        let split = Some(SplitOptions::default());
        Self { rules: study.rules, min_votes: study.rules.k, split, seed: study.seed }
    }
}

/// A closed study.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The table to train on; pictures are relative to the study's folder.
    pub triplets: Vec<Triplet>,
    /// All answers, judged.
    pub votes: Vec<Vote>,
    /// What it came to.
    pub report: CloseReport,
}

/// Close `study` with its `votes`.
///
/// # Errors
/// [`Error::Usage`] if votes name unknown samples or no sample has enough valid answers.
pub fn close(study: &Study, mut votes: Vec<Vote>, options: &CloseOptions) -> Result<Closed> {
    vote::judge(study, &options.rules, &mut votes)?;
    let counts = vote::counts(study, &votes);
    let people = vote::summaries(study, &options.rules, &votes);
    let mut samples = SampleCounts::default();
    let mut triplets = Vec::new();
    for (sample, (votes_a, votes_b)) in study.samples.iter().zip(&counts) {
        if sample.kind != SampleKind::Real {
            continue;
        }
        if votes_a + votes_b < options.min_votes.max(1) {
            samples.too_few += 1;
            continue;
        }
        let picture = |place| format!("{PICTURES}/{}", sample.picture(place));
        triplets.push(Triplet {
            sample_id: sample.id.clone(),
            target_id: sample.target_id.clone(),
            triplet_id: sample.triplet_id.clone(),
            reference: picture(Place::C),
            a: picture(Place::A),
            b: picture(Place::B),
            votes_a: *votes_a,
            votes_b: *votes_b,
            // Nobody answered a simulated study.
            kind: if study.simulated { Kind::Derived } else { Kind::Real },
            split: None,
        });
    }
    if triplets.is_empty() {
        return Err(Error::Usage(format!("no sample has {} valid answers yet", options.min_votes.max(1))));
    }
    samples.written = triplets.len();
    samples.tied = triplets.iter().filter(|t| t.majority().is_none()).count();
    samples.d1_majority = samples.written - samples.tied;
    samples.d2_unanimous = triplets.iter().filter(|t| t.unanimous()).count();
    let mut notes = Vec::new();
    if study.simulated {
        notes.push("Nobody was asked. All answers are simulated; the table says \"derived\".".to_owned());
    }
    let splits = match &options.split {
        None => None,
        Some(split) => {
            let strata = genders(study);
            let split = if split.strata.is_empty() { &SplitOptions { strata, ..split.clone() } } else { split };
            match split_triplets(&mut triplets, split, options.seed) {
                Ok(report) => Some(report),
                Err(error) => {
                    notes.push(format!("The samples were not split: {error}"));
                    None
                }
            }
        }
    };
    notes.push(
        "On unanimous samples people are right by construction. Their 100 % is no ceiling: compare a model with the \
         model ceilings, or with how often a third person agrees where two do."
            .to_owned(),
    );
    let valid: Vec<&Vote> = votes.iter().filter(|v| v.valid && v.purpose == super::trial::Purpose::Real).collect();
    let excluded: std::collections::HashSet<&str> =
        people.iter().filter(|p| p.excluded).map(|p| p.person_id.as_str()).collect();
    let answers = AnswerCounts {
        all: votes.len(),
        valid: valid.len(),
        of_excluded: votes.iter().filter(|v| excluded.contains(v.person_id.as_str())).count(),
        too_fast: votes.iter().filter(|v| v.ms < options.rules.min_ms).count(),
    };
    let repeats = people.iter().filter(|p| !p.excluded).filter_map(|p| p.consistent);
    let (alike, asked) = repeats.fold((0, 0), |(alike, asked), p| (alike + p.hits, asked + p.n));
    let counted: Vec<Votes> = triplets.iter().map(|t| (t.votes_a, t.votes_b)).collect();
    let report = CloseReport {
        schema: 1,
        simulated: study.simulated,
        notes,
        engine: study.engine.clone(),
        rules: options.rules,
        design: [
            study.targets.len(),
            study.of_kind(SampleKind::Real).map(|s| &s.triplet_id).collect::<std::collections::HashSet<_>>().len(),
            study.of_kind(SampleKind::Real).count(),
        ],
        excluded: people.iter().filter(|person| person.excluded).count(),
        people,
        answers,
        samples,
        left: Proportion::wilson(valid.iter().filter(|v| v.choice == v.left).count(), valid.len()),
        consistent: Proportion::wilson(alike, asked),
        times: times(&valid.iter().filter(|v| v.ms < u64::MAX).map(|v| v.ms as f64).collect::<Vec<_>>()),
        patterns: patterns(&counted),
        agreement: agreement_of(&triplets, options.seed),
        splits,
    };
    drop(valid);
    Ok(Closed { triplets, votes, report })
}

/// Put `triplets` into parts, and check that the parts share nothing they must not.
///
/// # Errors
/// [`Error::Usage`] if there are too few targets or sources; the column is empty then.
pub fn split_triplets(triplets: &mut [Triplet], options: &SplitOptions, seed: u64) -> Result<SplitReport> {
    let parts = splits::draw(triplets, options, Seed::new(seed.into()))?;
    for (triplet, part) in triplets.iter_mut().zip(parts) {
        triplet.split = part;
    }
    splits::check(triplets, &options.known)
        .inspect_err(|_| triplets.iter_mut().for_each(|triplet| triplet.split = None))
}

/// Gender of each target and source triplet, so that every part has its share of both.
fn genders(study: &Study) -> std::collections::HashMap<String, String> {
    let targets = study.targets.iter().map(|t| (t.id.clone(), t.gender.as_str().to_owned()));
    targets.chain(study.triplets.iter().map(|t| (t.id.clone(), t.gender.as_str().to_owned()))).collect()
}

/// How much people agree on `triplets`, with intervals clustered by target and source triplet.
pub fn agreement_of(triplets: &[Triplet], seed: u64) -> Option<Agreement> {
    let votes: Vec<Votes> = triplets.iter().map(|t| (t.votes_a, t.votes_b)).collect();
    let target = numbered(triplets.iter().map(|t| t.target_id.as_str()));
    let triplet = numbered(triplets.iter().map(|t| t.triplet_id.as_str()));
    Agreement::of(&votes, &target, &triplet, Seed::new(seed.into()))
}

/// Agreement so far, without intervals: quick enough to be asked at any time.
pub fn agreement_so_far(study: &Study, votes: &[Vote]) -> Option<NoiseCeiling> {
    NoiseCeiling::of(vote::counts(study, votes))
}

/// Names as numbers, equal where the names are.
fn numbered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut numbers = std::collections::HashMap::new();
    names
        .map(|name| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        })
        .collect()
}

/// Distribution of answer times; `None` if there are none.
pub fn times(ms: &[f64]) -> Option<Times> {
    let mut histogram: Vec<(f64, usize)> = (0..TIME_BINS).map(|bin| (250.0 * 1.5f64.powi(bin as i32), 0)).collect();
    for time in ms {
        let last = TIME_BINS - 1;
        let bin = histogram.iter().position(|(end, _)| time < end).unwrap_or(last);
        if let Some((_, count)) = histogram.get_mut(bin) {
            *count += 1;
        }
    }
    Some(Times { median_ms: quantile(ms, 0.5)?, p05_ms: quantile(ms, 0.05)?, p95_ms: quantile(ms, 0.95)?, histogram })
}

fn patterns(votes: &[Votes]) -> Vec<Pattern> {
    let mut counts = std::collections::BTreeMap::new();
    for vote in votes {
        *counts.entry(*vote).or_insert(0) += 1;
    }
    let mut patterns: Vec<Pattern> =
        counts.into_iter().map(|((votes_a, votes_b), samples)| Pattern { votes_a, votes_b, samples }).collect();
    patterns.sort_by_key(|p| (p.votes_a + p.votes_b, std::cmp::Reverse(p.votes_a)));
    patterns
}

impl CloseReport {
    /// The report of answers that come without people: another study's table.
    pub fn of_table(triplets: &[Triplet], splits: Option<SplitReport>, seed: u64) -> Self {
        let counted: Vec<Votes> = triplets.iter().map(|t| (t.votes_a, t.votes_b)).collect();
        let tied = triplets.iter().filter(|t| t.majority().is_none()).count();
        let distinct =
            |of: fn(&Triplet) -> &str| triplets.iter().map(of).collect::<std::collections::HashSet<_>>().len();
        let derived = triplets.iter().any(|t| t.kind == Kind::Derived);
        Self {
            schema: 1,
            simulated: derived,
            notes: vec!["The table was made elsewhere; nothing is known of the people.".to_owned()],
            engine: None,
            rules: Rules { k: counted.iter().map(|(a, b)| a + b).max().unwrap_or(1).max(1), ..Rules::default() },
            design: [distinct(|t| &t.target_id), distinct(|t| &t.triplet_id), triplets.len()],
            people: Vec::new(),
            excluded: 0,
            answers: AnswerCounts {
                all: counted.iter().map(|(a, b)| a + b).sum(),
                valid: counted.iter().map(|(a, b)| a + b).sum(),
                ..Default::default()
            },
            samples: SampleCounts {
                written: triplets.len(),
                too_few: 0,
                d1_majority: triplets.len() - tied,
                d2_unanimous: triplets.iter().filter(|t| t.unanimous()).count(),
                tied,
            },
            left: None,
            consistent: None,
            times: None,
            patterns: patterns(&counted),
            agreement: agreement_of(triplets, seed),
            splits,
        }
    }
}

/// Pictures of `triplets` that are not in `folder`, at most `most` of them.
pub fn missing_pictures(triplets: &[Triplet], folder: &Path, most: usize) -> Vec<String> {
    let all = triplets.iter().flat_map(|t| t.pictures().map(str::to_owned));
    all.filter(|picture| !folder.join(picture).is_file()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Side;
    use crate::study::tests::tiny;
    use crate::study::trial::Purpose;
    use crate::study::vote::utc;

    /// Votes of `people` on every sample of `study`; person `n` differs from the others on samples with
    /// `differs(n, sample)`.
    fn votes(study: &Study, people: usize, differs: impl Fn(usize, usize) -> bool) -> Vec<Vote> {
        let mut votes = Vec::new();
        for person in 0..people {
            for (place, sample) in study.samples.iter().enumerate().filter(|(_, s)| s.kind != SampleKind::Practice) {
                let right = sample.correct.unwrap_or(if place.is_multiple_of(2) { Side::A } else { Side::B });
                votes.push(Vote {
                    sample_id: sample.id.clone(),
                    person_id: format!("p{:03}", person + 1),
                    choice: if differs(person, place) { right.other() } else { right },
                    left: if (person + place).is_multiple_of(2) { Side::A } else { Side::B },
                    ms: 500 + (place as u64 * 37) % 900,
                    valid: true,
                    answered_at: utc(0),
                    purpose: if sample.kind == SampleKind::Dummy { Purpose::Dummy } else { Purpose::Real },
                });
            }
        }
        votes
    }

    #[test]
    fn a_study_closes_with_its_majorities_and_unanimities() {
        let study = tiny(10, 10, 4);
        // The third person differs on every fifth sample; the fourth misses dummies.
        let all = votes(&study, 4, |person, place| (person == 2 && place % 5 == 0 && place < 100) || person == 3);
        let closed = close(&study, all, &CloseOptions::of(&study)).unwrap();
        let report = &closed.report;
        assert_eq!((report.samples.written, report.samples.d1_majority, report.samples.d2_unanimous), (100, 100, 80));
        assert_eq!((report.excluded, report.answers.all, report.answers.of_excluded), (1, 416, 104));
        let agreement = report.agreement.as_ref().unwrap();
        assert!((agreement.pairwise.estimate - (0.8 + 0.2 / 3.0)).abs() < 1e-12);
        assert_eq!(closed.triplets[0].reference, "pictures/t000/s000c.jpg");
        assert_eq!(closed.triplets[0].kind, Kind::Real);
        assert!(report.notes.iter().any(|note| note.contains("no ceiling")));
        assert!(report.splits.is_some() && closed.triplets.iter().all(|t| t.split.is_some()), "{:?}", report.notes);
        assert_eq!(report.left.unwrap().n, 300);
        let read_back = perface::triplets::csv(&closed.triplets).unwrap();
        assert!(
            String::from_utf8(read_back).unwrap().starts_with("sample_id,target_id,triplet_id,reference,a,b,votes_a")
        );
    }

    #[test]
    fn a_simulated_study_is_called_derived() {
        let study = Study { simulated: true, ..tiny(10, 10, 0) };
        let closed = close(&study, votes(&study, 3, |_, _| false), &CloseOptions::of(&study)).unwrap();
        assert!(closed.triplets.iter().all(|t| t.kind == Kind::Derived));
        assert!(closed.report.notes[0].contains("Nobody was asked"));
    }

    #[test]
    fn samples_with_too_few_answers_are_left_out() {
        let study = tiny(10, 10, 0);
        let mut some = votes(&study, 3, |_, _| false);
        some.retain(|vote| !(vote.person_id == "p003" && vote.sample_id == "t000-s000"));
        let closed = close(&study, some.clone(), &CloseOptions::of(&study)).unwrap();
        assert_eq!((closed.report.samples.written, closed.report.samples.too_few), (99, 1));
        let lenient = CloseOptions { min_votes: 2, ..CloseOptions::of(&study) };
        assert_eq!(close(&study, some.clone(), &lenient).unwrap().report.samples.written, 100);
        some.truncate(20);
        assert!(close(&study, some, &CloseOptions::of(&study)).unwrap_err().to_string().contains("3 valid answers"));
    }

    #[test]
    fn every_answer_time_is_in_one_bin() {
        let times = times(&[10.0, 249.0, 250.0, 1000.0, 1e9]).unwrap();
        assert_eq!(times.histogram.iter().map(|(_, count)| count).sum::<usize>(), 5);
        assert_eq!((times.histogram[0].1, times.histogram[1].1, times.histogram[TIME_BINS - 1].1), (2, 1, 1));
        assert_eq!(times.median_ms, 250.0);
    }
}
