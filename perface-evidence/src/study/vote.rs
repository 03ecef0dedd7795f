//! `votes.csv`: every answer, who gave it, and whether it counts.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use super::trial::Purpose;
use super::{Rules, SampleKind, Side, Study};
use perface::error::{Error, Result};
use perface::summary::{Proportion, quantile};
use perface::table::{ColumnNames, Row, Table};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The sample.
    pub sample_id: String,
    /// Who answered: a number, never a name.
    pub person_id: String,
    /// The face found closer.
    pub choice: Side,
    /// The face that was on the left.
    pub left: Side,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Whether it counts: of a person who is not excluded, and not too fast.
    pub valid: bool,
    /// When, in UTC, as `2026-11-24T16:07:05.123Z`.
    pub answered_at: String,
    /// Why it was asked.
    pub purpose: Purpose,
}

/// Columns of the list as it is written.
const COLUMNS: [&str; 8] = ["sample_id", "person_id", "choice", "left", "ms", "valid", "answered_at", "purpose"];

/// Read a list with at least the columns `sample_id, person_id, choice`. What a foreign list lacks is taken as a slow,
/// valid, first answer with A on the left.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the line.
pub fn read(path: &Path, names: &ColumnNames) -> Result<Vec<Vote>> {
    of_table(&Table::read(path, names, &["sample_id", "person_id", "choice"])?)
}

/// As [`read`], from bytes; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Vote>> {
    of_table(&Table::parse(path, bytes, &ColumnNames::default(), &["sample_id", "person_id", "choice"])?)
}

fn of_table(table: &Table) -> Result<Vec<Vote>> {
    let one = |row: Row| {
        let valid = match row.get("valid") {
            "" | "1" => true,
            "0" => false,
            other => return Err(row.error(format!("valid: {other:?} is none of 0, 1"))),
        };
        Ok(Vote {
            sample_id: row.parse("sample_id")?,
            person_id: row.parse("person_id")?,
            choice: row.parse("choice")?,
            left: row.parse_optional("left")?.unwrap_or(Side::A),
            ms: row.parse_optional("ms")?.unwrap_or(u64::MAX),
            valid,
            answered_at: row.get("answered_at").to_owned(),
            purpose: row.parse_optional("purpose")?.unwrap_or(Purpose::Real),
        })
    };
    table.rows().map(one).collect()
}

/// The list as text.
///
/// # Errors
/// [`Error::Usage`] if a row cannot be written as CSV.
pub fn csv(votes: &[Vote]) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::Usage(format!("could not write the votes: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|error| failed(&error))?;
    for vote in votes {
        let ms = vote.ms.to_string();
        let valid = if vote.valid { "1" } else { "0" };
        writer
            .write_record([
                vote.sample_id.as_str(),
                &vote.person_id,
                vote.choice.as_str(),
                vote.left.as_str(),
                &ms,
                valid,
                &vote.answered_at,
                vote.purpose.as_str(),
            ])
            .map_err(|error| failed(&error))?;
    }
    writer.into_inner().map_err(|error| failed(&error))
}

/// Decide anew which votes count, by `rules`: none of a person who missed too many dummies, none that was too fast.
/// Votes on samples the study does not have are an error.
///
/// # Errors
/// [`Error::Usage`] naming the sample.
pub fn judge(study: &Study, rules: &Rules, votes: &mut [Vote]) -> Result<()> {
    let samples = study.sample_index();
    let mut misses: HashMap<&str, usize> = HashMap::new();
    for vote in votes.iter_mut() {
        let sample = samples.get(vote.sample_id.as_str()).and_then(|index| study.samples.get(*index));
        let sample = sample.ok_or_else(|| Error::Usage(format!("the study has no sample {}", vote.sample_id)))?;
        if sample.kind == SampleKind::Dummy {
            vote.purpose = Purpose::Dummy;
        }
    }
    for vote in votes.iter().filter(|vote| vote.purpose == Purpose::Dummy) {
        if !answered_right(study, &samples, vote) {
            *misses.entry(&vote.person_id).or_default() += 1;
        }
    }
    let excluded: Vec<String> =
        misses.iter().filter(|(_, missed)| **missed > rules.allowed_misses).map(|(id, _)| (*id).to_owned()).collect();
    for vote in votes {
        vote.valid = vote.ms >= rules.min_ms && !excluded.contains(&vote.person_id);
    }
    Ok(())
}

fn answered_right(study: &Study, samples: &HashMap<&str, usize>, vote: &Vote) -> bool {
    let sample = samples.get(vote.sample_id.as_str()).and_then(|index| study.samples.get(*index));
    sample.and_then(|sample| sample.correct) == Some(vote.choice)
}

/// What can be said of one person's answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonSummary {
    /// Who.
    pub person_id: String,
    /// Answers that count.
    pub valid: usize,
    /// Answers in all.
    pub answers: usize,
    /// Missed more dummies than allowed.
    pub excluded: bool,
    /// Dummies seen.
    pub dummies: usize,
    /// Dummies missed.
    pub missed: usize,
    /// Answers too fast to count.
    pub too_fast: usize,
    /// Repeats answered as the first time.
    pub consistent: Option<Proportion>,
    /// How often the left face was chosen, over all answers.
    pub left: Option<Proportion>,
    /// How often the person agrees with the majority of the others, over samples with such a majority.
    pub with_others: Option<Proportion>,
    /// Median time of an answer, in milliseconds.
    pub median_ms: Option<f64>,
}

/// A summary of each person, in the order of their ids. `votes` must have been judged.
pub fn summaries(study: &Study, rules: &Rules, votes: &[Vote]) -> Vec<PersonSummary> {
    let samples = study.sample_index();
    // Valid votes for A and B by sample.
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut by_person: BTreeMap<&str, Vec<&Vote>> = BTreeMap::new();
    for vote in votes {
        by_person.entry(&vote.person_id).or_default().push(vote);
        if vote.valid && vote.purpose == Purpose::Real {
            let count = counts.entry(&vote.sample_id).or_default();
            *(if vote.choice == Side::A { &mut count.0 } else { &mut count.1 }) += 1;
        }
    }
    by_person
        .into_iter()
        .map(|(person_id, votes)| {
            let count = |test: &dyn Fn(&Vote) -> bool| votes.iter().filter(|vote| test(vote)).count();
            let first: HashMap<&str, Side> = votes
                .iter()
                .filter(|vote| vote.purpose == Purpose::Real)
                .map(|vote| (vote.sample_id.as_str(), vote.choice))
                .collect();
            let is = |purpose: Purpose| move |vote: &Vote| vote.purpose == purpose;
            let repeats = count(&is(Purpose::Repeat));
            let alike = count(&|v| is(Purpose::Repeat)(v) && first.get(v.sample_id.as_str()) == Some(&v.choice));
            let missed = count(&|v| is(Purpose::Dummy)(v) && !answered_right(study, &samples, v));
            let times: Vec<f64> = votes.iter().filter(|v| v.ms < u64::MAX).map(|v| v.ms as f64).collect();
            let (mut agreed, mut compared) = (0, 0);
            for vote in votes.iter().filter(|vote| vote.valid && vote.purpose == Purpose::Real) {
                let (a, b) = counts.get(vote.sample_id.as_str()).copied().unwrap_or_default();
                let (own, other) = if vote.choice == Side::A { (a, b) } else { (b, a) };
                if own - 1 != other {
                    compared += 1;
                    agreed += usize::from(own - 1 > other);
                }
            }
            PersonSummary {
                person_id: person_id.to_owned(),
                valid: count(&|v| v.valid && v.purpose == Purpose::Real),
                answers: votes.len(),
                excluded: missed > rules.allowed_misses,
                dummies: count(&is(Purpose::Dummy)),
                missed,
                too_fast: count(&|v| v.ms < rules.min_ms),
                consistent: Proportion::wilson(alike, repeats),
                left: Proportion::wilson(count(&|v| v.choice == v.left), votes.len()),
                with_others: Proportion::wilson(agreed, compared),
                median_ms: quantile(&times, 0.5),
            }
        })
        .collect()
}

/// Valid votes for A and B of each sample of the study, in its order; dummies, practice and repeats have none.
pub fn counts(study: &Study, votes: &[Vote]) -> Vec<(usize, usize)> {
    let samples = study.sample_index();
    let mut counts = vec![(0, 0); study.samples.len()];
    for vote in votes.iter().filter(|vote| vote.valid && vote.purpose == Purpose::Real) {
        let Some(index) = samples.get(vote.sample_id.as_str()) else { continue };
        if let Some(count) = counts.get_mut(*index) {
            *(if vote.choice == Side::A { &mut count.0 } else { &mut count.1 }) += 1;
        }
    }
    counts
}

/// Milliseconds since 1970 as `2026-11-24T16:07:05.123Z`. Days become dates by Howard Hinnant's `civil_from_days`
/// (chrono-Compatible Low-Level Date Algorithms).
pub fn utc(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", in_day % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::tiny;

    fn vote(sample: &str, person: &str, choice: Side) -> Vote {
        Vote {
            sample_id: sample.to_owned(),
            person_id: person.to_owned(),
            choice,
            left: Side::A,
            ms: 900,
            valid: true,
            answered_at: utc(1_764_000_000_123),
            purpose: Purpose::Real,
        }
    }

    #[test]
    fn votes_are_read_back() {
        let mut votes = vec![vote("t000-s000", "p001", Side::A), vote("t000-s001", "p002", Side::B)];
        votes[1].valid = false;
        votes[1].purpose = Purpose::Repeat;
        let text = csv(&votes).unwrap();
        assert_eq!(parse(Path::new("votes.csv"), &text).unwrap(), votes);
        let foreign = parse(Path::new("v.csv"), b"sample_id,person_id,choice\nx,p,B\n").unwrap();
        assert!(foreign[0].valid && foreign[0].choice == Side::B && foreign[0].purpose == Purpose::Real);
        assert!(
            parse(Path::new("v.csv"), b"sample_id,person_id,choice\nx,p,C\n")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }

    #[test]
    fn moments_become_dates() {
        for (ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_764_000_000_123, "2025-11-24T16:00:00.123Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(utc(ms), want);
        }
    }

    #[test]
    fn a_missed_dummy_takes_all_votes_of_a_person_with_it() {
        let study = tiny(2, 2, 2);
        let mut votes = vec![
            vote("t000-s000", "p001", Side::A),
            vote("d000", "p001", Side::B),
            vote("t000-s000", "p002", Side::A),
            vote("d000", "p002", Side::A),
            vote("t000-s001", "p002", Side::A),
        ];
        votes[4].ms = 10;
        judge(&study, &study.rules, &mut votes).unwrap();
        assert_eq!(votes.iter().map(|v| v.valid).collect::<Vec<_>>(), [false, false, true, true, false]);
        assert_eq!(counts(&study, &votes)[0], (1, 0));
        let lenient = Rules { allowed_misses: 1, min_ms: 0, ..study.rules };
        judge(&study, &lenient, &mut votes).unwrap();
        assert!(votes.iter().all(|v| v.valid));
        votes[0].sample_id = "nowhere".to_owned();
        assert!(judge(&study, &lenient, &mut votes).unwrap_err().to_string().contains("no sample nowhere"));
    }

    #[test]
    fn a_person_is_summed_up() {
        let study = tiny(2, 2, 2);
        let mut votes = vec![
            vote("t000-s000", "p001", Side::A),
            vote("t000-s001", "p001", Side::B),
            vote("t000-s000", "p001", Side::B),
            vote("d000", "p001", Side::A),
            vote("t000-s000", "p002", Side::A),
            vote("t000-s000", "p003", Side::A),
        ];
        votes[2].purpose = Purpose::Repeat;
        judge(&study, &study.rules, &mut votes).unwrap();
        let people = summaries(&study, &study.rules, &votes);
        let first = &people[0];
        assert_eq!((first.valid, first.answers, first.dummies, first.missed), (2, 4, 1, 0));
        assert_eq!(first.consistent.unwrap().hits, 0);
        assert_eq!((first.left.unwrap().hits, first.left.unwrap().n), (2, 4));
        // On t000-s001 nobody else answered, so there is no majority to agree with.
        assert_eq!((first.with_others.unwrap().hits, first.with_others.unwrap().n), (1, 1));
        assert_eq!(first.median_ms, Some(900.0));
    }
}
