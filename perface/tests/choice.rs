//! Which of several results is kept, and which are refused: the whole line over fakes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fakes;

use std::sync::Arc;

use fakes::{ALICE, Become, KnowColour, Line, at, colour_of, embedder, gate, painted, picture};
use image::Rgb;
use perface::anonymize::{Anonymizer, Orders, Timings};
use perface::natural::Natural;
use perface::originals::Gathering;
use perface::photo::{Format, Photo};
use perface::report::{FaceRecord, Verdict};
use perface::settle::Settled;
use perface::swap::{Manner, Material, Prepared, Refusal, Swap, Swapper, Target};

/// As [`Become`], and the exaggerated shape of anybody is 120° from Alice.
struct Stretch;

struct Stretching<'a>(Target<'a>);

impl Swapper for Stretch {
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal> {
        Ok(Box::new(Stretching(target)))
    }
}

impl Prepared for Stretching<'_> {
    fn swap(&self, candidate: &Material, manner: Manner) -> Result<Swap, Refusal> {
        let colour = if manner == Manner::Farther { at(120.0) } else { colour_of(candidate) };
        Ok(painted(&self.0, colour))
    }

    fn further(&self) -> &'static [Manner] {
        &[Manner::Farther]
    }
}

fn line(pool: Vec<(&'static str, Rgb<u8>)>, rerank: usize) -> Line {
    let mut line = Line { pool, ..Line::new(Become) };
    line.options.rerank = rerank;
    line
}

/// The record of Alice's face in a run with `others`.
fn alice_among(anonymizer: &Anonymizer, others: &[Rgb<u8>]) -> FaceRecord {
    let photo = |who| Photo::new(picture(who), Format::Png);
    let mut gathering = Gathering::default();
    let mut timings = Timings::default();
    let alice = anonymizer.survey(&photo(ALICE), &mut timings).unwrap();
    alice.add_to(&mut gathering);
    for &other in others {
        anonymizer.survey(&photo(other), &mut timings).unwrap().add_to(&mut gathering);
    }
    let settled = Settled::nothing(gathering.finish());
    let after = anonymizer.anonymize_in_run(photo(ALICE), &alice, &settled, &Orders::default(), timings).unwrap();
    after.faces.into_iter().next().unwrap()
}

/// Thirty strangers, from 100° to 260° away from Alice.
fn strangers() -> Vec<Rgb<u8>> {
    (0..30).map(|n| at(100.0 + 160.0 * n as f32 / 29.0)).collect()
}

#[test]
fn one_try_takes_the_first_that_hides_and_more_tries_the_best() {
    // Least similar first by the pool's own picture; the gate takes what is nearer than 60° for Alice.
    let pool = || vec![("near", at(66.0)), ("nearer", at(65.0))];
    let first = alice_among(&line(pool(), 1).anonymizer(), &[]);
    assert_eq!((first.candidate.as_deref(), first.tries), (Some("near"), 1));
    let best = alice_among(&line(pool(), 2).anonymizer(), &[]);
    assert_eq!((best.candidate.as_deref(), best.tries), (Some("near"), 2));
    assert!(best.chosen_by.unwrap().contains("best of 2"));
}

#[test]
fn a_clearly_good_result_ends_the_search() {
    let pool = vec![("a", at(180.0)), ("b", at(170.0)), ("c", at(160.0)), ("d", at(150.0)), ("e", at(140.0))];
    let face = alice_among(&line(pool, 5).anonymizer(), &[]);
    assert!(face.tries < 5 && face.candidate.as_deref() == Some("a"), "{face:?}");
    assert!(face.chosen_by.unwrap().contains("clearly good"));
}

#[test]
fn a_result_that_leads_back_to_its_original_in_the_run_is_refused() {
    // 65° from Alice is below the threshold, but no stranger is as near.
    let alone = alice_among(&line(vec![("a", at(65.0))], 1).anonymizer(), &[]);
    assert_eq!((alone.verdict, alone.ranks_after.len()), (Verdict::Replaced, 0));
    let lone_side: Vec<Rgb<u8>> = (0..30).map(|n| at(150.0 + 3.0 * n as f32)).collect();
    let refused = alice_among(&line(vec![("a", at(65.0))], 1).anonymizer(), &lone_side);
    assert_eq!(refused.verdict, Verdict::Obscured, "{refused:?}");
    assert!(refused.reason.unwrap().contains("first among the faces of this run"));
    let hidden = alice_among(&line(vec![("a", at(110.0))], 1).anonymizer(), &strangers());
    assert_eq!(hidden.verdict, Verdict::Replaced);
    assert!(hidden.ranks_after["colour"] > 1);
}

#[test]
fn the_next_candidate_is_tried_where_the_first_leads_back() {
    let around: Vec<Rgb<u8>> = (0..30).map(|n| at(300.0 - 2.0 * n as f32)).collect();
    // "side" is 70° off to the side where nobody is; "crowd" stands among the others.
    let mut line = line(vec![("side", at(99.0)), ("crowd", at(265.0))], 2);
    line.options.natural = Natural::Off;
    let face = alice_among(&line.anonymizer(), &around);
    assert_eq!((face.verdict, face.candidate.as_deref()), (Verdict::Replaced, Some("crowd")), "{face:?}");
}

/// Two young men who are too like Alice, and two older ones who are not.
fn near_and_older() -> Vec<(&'static str, Rgb<u8>)> {
    vec![("near", at(58.0)), ("near-2", at(58.0)), ("older-far", at(120.0)), ("older-far-2", at(120.0))]
}

#[test]
fn where_nobody_of_the_group_hides_the_other_age_is_tried_and_the_record_says_so() {
    let face = alice_among(&line(near_and_older(), 1).anonymizer(), &[]);
    assert_eq!((face.verdict, face.candidate.as_deref()), (Verdict::Replaced, Some("older-far")), "{face:?}");
    assert_eq!(face.tries, 3);
    assert!(face.chosen_by.unwrap().contains("nobody of young-male hides the face"));
}

#[test]
fn the_shape_is_exaggerated_before_another_age_is_tried_and_only_where_the_usual_one_fails() {
    let stretched = Line { swapper: Arc::new(Stretch), ..line(near_and_older(), 1) };
    let face = alice_among(&stretched.anonymizer(), &[]);
    assert_eq!((face.candidate.as_deref(), face.tries), (Some("near"), 3), "{face:?}");
    assert!(face.chosen_by.unwrap().contains("exaggerated"));
    // Who misses by far is not tried again.
    let alike = vec![("alike", at(20.0)), ("alike-2", at(20.0)), ("older-far", at(120.0))];
    let face = alice_among(&Line { swapper: Arc::new(Stretch), ..line(alike, 1) }.anonymizer(), &[]);
    assert_eq!((face.candidate.as_deref(), face.tries), (Some("older-far"), 3), "{face:?}");
    let hidden = Line { swapper: Arc::new(Stretch), ..line(vec![("far", at(100.0))], 1) };
    let face = alice_among(&hidden.anonymizer(), &[]);
    assert_eq!(face.tries, 1);
    assert!(!face.chosen_by.unwrap().contains("exaggerated"));
}

#[test]
fn every_recogniser_must_let_a_result_pass() {
    let mut line = line(vec![("a", at(80.0))], 1);
    let mut strict = gate(embedder(KnowColour));
    strict.same_person_cosine = 0.1;
    line.gates.push(strict);
    let face = alice_among(&line.anonymizer(), &[]);
    assert_eq!(face.verdict, Verdict::Obscured);
    assert!(face.reason.unwrap().contains("same person"));
}

#[test]
fn strict_covers_where_nobody_has_a_near_skin_tone_and_normal_says_so() {
    // At 270° the block is dark blue: by the angle as far from Alice's bright one as tones can be.
    let mut covered = line(vec![("a", at(270.0))], 1);
    covered.options.natural = Natural::Strict;
    let face = alice_among(&covered.anonymizer(), &[]);
    assert_eq!((face.verdict, face.unfitting_tones, face.tries), (Verdict::Obscured, 1, 0), "{face:?}");
    assert!(face.reason.unwrap().contains("near skin tone"));
    let mut tried = line(vec![("a", at(270.0))], 1);
    tried.options.natural = Natural::Normal;
    let face = alice_among(&tried.anonymizer(), &[]);
    assert_eq!((face.unfitting_tones, face.tries), (1, 1), "{face:?}");
    assert!(face.ita_deg.is_some() && face.reason.is_some(), "it says so: {face:?}");
}

#[test]
fn the_same_run_gives_the_same_choice_whatever_the_order_of_reading() {
    let pool = || vec![("a", at(120.0)), ("b", at(125.0)), ("c", at(240.0))];
    let backwards: Vec<Rgb<u8>> = strangers().into_iter().rev().collect();
    let one = alice_among(&line(pool(), 3).anonymizer(), &strangers());
    let two = alice_among(&line(pool(), 3).anonymizer(), &backwards);
    assert_eq!(serde_json::to_value(&one).unwrap(), serde_json::to_value(&two).unwrap());
}

#[test]
fn a_face_is_tried_no_more_often_than_asked_and_every_search_gets_a_share() {
    let near = || vec![("a", at(58.0)), ("b", at(58.0)), ("c", at(58.0)), ("d", at(58.0)), ("e", at(58.0))];
    let mut covered = line(near(), 1);
    covered.options.tries = 4;
    let face = alice_among(&covered.anonymizer(), &[]);
    assert_eq!(
        (face.verdict, face.tries),
        (Verdict::Obscured, 2),
        "half of them, and nobody is left to turn to: {face:?}"
    );
    let mut stretched = Line { swapper: Arc::new(Stretch), ..line(near(), 1) };
    stretched.options.tries = 4;
    let face = alice_among(&stretched.anonymizer(), &[]);
    assert_eq!((face.verdict, face.tries), (Verdict::Replaced, 3), "two as usual, the third exaggerated: {face:?}");
}
