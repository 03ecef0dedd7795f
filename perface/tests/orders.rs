//! What a run is told of people, boxes and marks, from file to file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fakes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fakes::{ALICE, BOB, Become, KnowColour, Line, Paint, at, embedder, gate, picture};
use perface::anonymize::{Anonymizer, Timings};
use perface::atomic::Overwrite;
use perface::batch::{self, BatchOptions};
use perface::cover;
use perface::detect::Face;
use perface::geometry::{Point, Rect};
use perface::metadata;
use perface::model::{Model, Tensor};
use perface::people::{BroughtFace, Whom};
use perface::photo::{self, Format, Limits, Photo, provenance};
use perface::report::{PhotoRecord, Verdict};
use perface::tree;

/// Photos of Alice and of Bob, and where results go.
struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, who) in [("alice", ALICE), ("bob", BOB)] {
            let path = folder.path().join(format!("in/{name}.png"));
            photo::write(&Photo::new(picture(who), Format::Png), &path, Overwrite::Never).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, anonymizer: &Anonymizer, options: BatchOptions) -> Vec<PhotoRecord> {
        let inputs = tree::inputs(&[self.path("in")], None).unwrap().photos;
        let config = serde_json::Value::Null;
        batch::run(anonymizer, &inputs, &self.path("out"), &config, &options, &AtomicBool::new(false), &|_| {}).unwrap()
    }

    fn result(&self, name: &str) -> image::RgbImage {
        photo::read(&self.path("out").join(name), &Limits::default()).unwrap().pixels
    }
}

/// Replaces everybody by green.
fn anonymizer() -> Anonymizer {
    Line::new(Paint(Some(image::Rgb([10, 250, 255])))).anonymizer()
}

/// Replaces everybody by red, so that Bob can be told from what takes his place.
fn to_alice() -> Anonymizer {
    Line::new(Paint(Some(image::Rgb([250, 10, 255])))).anonymizer()
}

fn descriptors(anonymizer: &Anonymizer, who: image::Rgb<u8>) -> Vec<perface::embedding::Embedding> {
    let survey = anonymizer.survey(&Photo::new(picture(who), Format::Png), &mut Timings::default()).unwrap();
    survey.subjects[0].as_ref().unwrap().embeddings.clone()
}

fn verdicts(records: &[PhotoRecord]) -> Vec<Verdict> {
    records.iter().flat_map(|record| record.faces.iter().map(|face| face.verdict)).collect()
}

#[test]
fn people_named_by_a_photo_are_left_and_nobody_else_is() {
    let (run, anonymizer) = (Run::new(), to_alice());
    let whom = Whom::Except(vec![descriptors(&anonymizer, ALICE)]);
    let records = run.run(&anonymizer, BatchOptions { whom, ..Default::default() });
    assert_eq!(verdicts(&records), [Verdict::Kept, Verdict::Replaced]);
    assert_eq!(run.result("alice.png"), picture(ALICE));
    assert!(run.result("bob.png").pixels().all(|p| *p != BOB));
}

#[test]
fn only_the_people_named_by_a_photo_are_replaced() {
    let (run, anonymizer) = (Run::new(), anonymizer());
    let whom = Whom::Only(vec![descriptors(&anonymizer, ALICE)]);
    let records = run.run(&anonymizer, BatchOptions { whom, ..Default::default() });
    assert_eq!(verdicts(&records), [Verdict::Replaced, Verdict::Kept]);
    assert!(run.result("alice.png").pixels().all(|p| *p != ALICE));
    assert_eq!(run.result("bob.png"), picture(BOB));
}

#[test]
fn a_box_that_was_brought_without_landmarks_is_covered() {
    let run = Run::new();
    let face = Face {
        box_px: Rect::from_xywh(130.0, 100.0, 20.0, 20.0),
        landmarks_px: [Point::new(140.0, 110.0); 5],
        score: 1.0,
    };
    let brought = HashMap::from([(run.path("in/alice.png"), vec![BroughtFace { face, has_landmarks: false }])]);
    let records = run.run(&anonymizer(), BatchOptions { brought, ..Default::default() });
    assert_eq!(records[0].faces.len(), 2);
    assert!(records[0].faces[1].reason.as_ref().unwrap().contains("without landmarks"));
    assert_eq!(*run.result("alice.png").get_pixel(140, 110), cover::FILL);
}

fn says_composite(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    assert!(metadata::scan(&bytes).is_empty(), "the mark is all there is");
    bytes.windows(provenance::SOURCE_TYPE.len()).any(|w| w == provenance::SOURCE_TYPE.as_bytes())
}

#[test]
fn only_composites_say_that_they_are_and_only_if_they_may() {
    let (run, anonymizer) = (Run::new(), to_alice());
    let whom = Whom::Except(vec![descriptors(&anonymizer, ALICE)]);
    run.run(&anonymizer, BatchOptions { whom: whom.clone(), ..Default::default() });
    assert!(!says_composite(&run.path("out/alice.png")), "nothing in it was made");
    assert!(says_composite(&run.path("out/bob.png")));
    run.run(&anonymizer, BatchOptions { whom, provenance: false, overwrite: true, ..Default::default() });
    assert!(!says_composite(&run.path("out/bob.png")));
}

/// Knows people by colour, but takes those of `at` 170° for Alice from the second look on: as if the file showed more of
/// her than the result did.
#[derive(Default)]
struct SeesMoreInTheFile(AtomicUsize);

impl Model for SeesMoreInTheFile {
    fn input_shape(&self, index: usize) -> Vec<Option<usize>> {
        KnowColour.input_shape(index)
    }

    fn run(&self, inputs: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        let seen = KnowColour.run(inputs)?;
        let first = at(170.0);
        let is_first = seen[0].data().iter().zip(first.0).all(|(v, c)| (v + 127.0 - f32::from(c)).abs() < 3.0);
        if is_first && self.0.fetch_add(1, Ordering::Relaxed) > 0 {
            return Ok(vec![Tensor::new(vec![1, 2], vec![123.0, -117.0])]);
        }
        Ok(seen)
    }
}

#[test]
fn who_does_not_hide_a_face_as_it_was_written_is_not_taken_and_the_next_is_tried() {
    for (pool, want) in [(vec![("a", at(170.0)), ("b", at(140.0))], Some("b")), (vec![("a", at(170.0))], None)] {
        let run = Run::new();
        std::fs::remove_file(run.path("in/bob.png")).unwrap();
        let gates = vec![gate(embedder(SeesMoreInTheFile::default()))];
        let records = run.run(&Line { gates, pool, ..Line::new(Become) }.anonymizer(), BatchOptions::default());
        let [face] = records[0].faces.as_slice() else { panic!("{records:?}") };
        assert!(run.result("alice.png").pixels().all(|p| *p != ALICE));
        match want {
            Some(_) => assert_eq!((face.verdict, face.candidate.as_deref()), (Verdict::Replaced, want), "{face:?}"),
            None => {
                assert!(face.reason.as_ref().unwrap().contains("as written") && face.candidate.is_none(), "{face:?}")
            }
        }
    }
}
