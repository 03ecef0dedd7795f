//! No path leaves a face as it was without saying so: the whole line with networks that can be made to fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fakes;

use fakes::{ALICE, BOB, Broken, KnowColour, Line, Mesh, Paint, embedder, gate, picture};
use image::Rgb;
use perface::anonymize::Anonymized;
use perface::cover;
use perface::embed::Embedder;
use perface::report::Verdict;

fn alice_after(swapper: Paint, mesh: Mesh, recogniser: Embedder, keep: &[usize]) -> perface::Result<Anonymized> {
    Line { mesh, gates: vec![gate(recogniser)], ..Line::new(swapper) }.alice(keep)
}

fn is_covered(after: &Anonymized) -> bool {
    (60..110).all(|x| (50..110).all(|y| *after.photo.pixels.get_pixel(x, y) == cover::FILL))
}

fn shows_alice(after: &Anonymized) -> bool {
    after.photo.pixels.pixels().any(|pixel| *pixel == ALICE)
}

#[test]
fn a_good_result_replaces() {
    let after = alice_after(Paint(Some(BOB)), Mesh { sees: true }, embedder(KnowColour), &[]).unwrap();
    let [face] = after.faces.as_slice() else { panic!("{:?}", after.faces) };
    assert_eq!(face.verdict, Verdict::Replaced, "{face:?}");
    assert_eq!((face.tries, face.candidate.as_deref()), (1, Some("a")));
    assert!(face.similarity_after.unwrap() < 0.0 && !shows_alice(&after));
}

#[test]
fn a_result_that_is_still_the_same_person_is_covered() {
    let after = alice_after(Paint(Some(ALICE)), Mesh { sees: true }, embedder(KnowColour), &[]).unwrap();
    assert_eq!((after.faces[0].verdict, after.faces[0].tries), (Verdict::Obscured, 2));
    assert!(after.faces[0].reason.as_ref().unwrap().contains("same person") && is_covered(&after));
}

#[test]
fn a_result_without_a_face_is_covered() {
    let after = alice_after(Paint(Some(Rgb([0; 3]))), Mesh { sees: true }, embedder(KnowColour), &[]).unwrap();
    assert!(after.faces[0].reason.as_ref().unwrap().contains("no face was found") && is_covered(&after));
}

#[test]
fn a_refusal_is_covered() {
    let after = alice_after(Paint(None), Mesh { sees: true }, embedder(KnowColour), &[]).unwrap();
    assert!(after.faces[0].verdict == Verdict::Obscured && is_covered(&after));
}

#[test]
fn a_face_without_a_mesh_is_covered() {
    let after = alice_after(Paint(Some(BOB)), Mesh { sees: false }, embedder(KnowColour), &[]).unwrap();
    assert!(after.faces[0].reason.as_ref().unwrap().contains("mesh") && is_covered(&after));
}

#[test]
fn a_broken_network_gives_no_photo_at_all() {
    assert!(alice_after(Paint(Some(BOB)), Mesh { sees: true }, embedder(Broken), &[]).is_err());
}

#[test]
fn only_a_face_named_to_be_kept_is_kept() {
    let after = alice_after(Paint(Some(BOB)), Mesh { sees: true }, embedder(KnowColour), &[0]).unwrap();
    assert_eq!(after.faces[0].verdict, Verdict::Kept);
    assert_eq!(after.photo.pixels, picture(ALICE));
    let after = alice_after(Paint(Some(BOB)), Mesh { sees: true }, embedder(KnowColour), &[1]).unwrap();
    assert!(!shows_alice(&after));
}
