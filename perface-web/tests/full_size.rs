//! The paper's study in simulation, over the server's own requests: 6 400 samples, 18 people, one careless, one who
//! leaves half-way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::block_on;
use perface::atomic::Overwrite;
use perface_evidence::study::close::{CloseOptions, close};
use perface_evidence::study::vote::Vote;
use perface_web::simulate::{Population, Simulated, placeholder_study, run, simulated_clock};
use perface_web::store::Store;
use perface_web::{Options, State, app, office};

/// Answer a study of `targets` × `triplets` samples; what came of it, and all answers.
fn simulate(targets: usize, triplets: usize, population: &Population) -> (Simulated, Vec<Vote>) {
    let folder = tempfile::tempdir().unwrap();
    let study = placeholder_study(targets, triplets, 20);
    study.write(folder.path(), Overwrite::Never).unwrap();
    let (now_ms, clock) = simulated_clock();
    let options = Options { placeholders: true, clock, ..Default::default() };
    let state = State::open(folder.path(), options).unwrap();
    let simulated = block_on(run(&app(state.clone()), &state, &now_ms, population)).unwrap();
    // What is judged is what the disk has.
    let (_, desk) = Store::open(folder.path(), &study).unwrap().load(&study, |_| true).unwrap();
    (simulated, office::votes(&study, &desk))
}

#[test]
fn every_sample_of_the_papers_study_gets_its_answers_and_the_statistics_recover_the_noise() {
    let population = Population::default();
    let (simulated, votes) = simulate(80, 80, &population);
    assert_eq!(simulated.done, [6400, 6400]);
    assert_eq!(simulated.excluded, 1, "the careless one");
    let study = placeholder_study(80, 80, 20);
    let closed = close(&study, votes, &CloseOptions::of(&study)).unwrap();
    let report = closed.report;
    assert_eq!((report.samples.written, report.samples.too_few), (6400, 0));
    let careless = &report.people[0];
    assert!(careless.excluded && careless.answers < 200, "{careless:?}");
    let leaving = &report.people[1];
    assert!((500..=560).contains(&leaving.answers) && leaving.valid > 400, "{leaving:?}");
    // Two people who both err with probability ε agree with (1 − ε)² + ε².
    let noise = population.noise;
    let expected = (1.0 - noise).powi(2) + noise.powi(2);
    let agreement = report.agreement.unwrap();
    assert!((agreement.pairwise.estimate - expected).abs() < 0.01, "{agreement:?}");
    assert!(agreement.pairwise.low < expected && expected < agreement.pairwise.high, "{agreement:?}");
    assert!((agreement.krippendorff_alpha.unwrap().estimate - (2.0 * expected - 1.0)).abs() < 0.02);
    let left = report.left.unwrap();
    assert!(left.low < 0.5 && 0.5 < left.high, "{left:?}");
    let consistent = report.consistent.unwrap();
    assert!(consistent.low < expected && expected < consistent.high, "{consistent:?}");
}

#[test]
fn the_same_seed_asks_and_answers_the_same() {
    let population = Population { people: 5, ..Default::default() };
    let first = simulate(6, 6, &population);
    assert_eq!(simulate(6, 6, &population), first);
    assert_eq!(first.0.done, [36, 36]);
    let other = simulate(6, 6, &Population { seed: 2, ..population });
    assert_ne!(other.1, first.1);
}
