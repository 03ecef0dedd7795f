//! One person on several photos of a run: one replacement by default, never the same one when unlinkable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fakes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use fakes::{Become, Line, at, picture};
use image::Rgb;
use perface::anonymize::Anonymizer;
use perface::atomic::Overwrite;
use perface::batch::{self, BatchOptions};
use perface::photo::{self, Format, Photo};
use perface::rank::Pick;
use perface::report::{FaceRecord, PeopleSummary, PhotoRecord, Verdict};
use perface::tree;

/// Six who hide everybody below, and would be drawn in any order.
const POOL: [(&str, f32); 6] = [("a", 150.0), ("b", 160.0), ("c", 170.0), ("d", 190.0), ("e", 200.0), ("f", 210.0)];

fn anonymizer(pool: &[(&'static str, f32)], unlinkable: bool) -> Anonymizer {
    let pool: Vec<(&'static str, Rgb<u8>)> = pool.iter().map(|(name, degrees)| (*name, at(*degrees))).collect();
    let mut line = Line { pool, ..Line::new(Become) };
    line.options.pick.pick = Pick::Draw { bottom: 6 };
    line.options.unlinkable = unlinkable;
    line.anonymizer()
}

/// Photos of people so many degrees from Alice, by name; the recogniser takes less than 60° for one person.
struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn of(photos: &[(&str, f32)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, degrees) in photos {
            let path = folder.path().join(format!("in/{name}.png"));
            photo::write(&Photo::new(picture(at(*degrees)), Format::Png), &path, Overwrite::Never).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, anonymizer: &Anonymizer, out: &str, backwards: bool, options: BatchOptions) -> Vec<PhotoRecord> {
        let mut inputs = tree::inputs(&[self.path("in")], None).unwrap().photos;
        if backwards {
            inputs.reverse();
        }
        let config = serde_json::Value::Null;
        let mut records =
            batch::run(anonymizer, &inputs, &self.path(out), &config, &options, &AtomicBool::new(false), &|_| {})
                .unwrap();
        records.sort_by(|a, b| a.input.cmp(&b.input));
        records
    }

    fn once(&self, anonymizer: &Anonymizer) -> Vec<PhotoRecord> {
        self.run(anonymizer, "out", false, BatchOptions { jobs: 2, ..Default::default() })
    }
}

fn faces(records: &[PhotoRecord]) -> Vec<&FaceRecord> {
    records.iter().flat_map(|record| &record.faces).collect()
}

fn candidates(records: &[PhotoRecord]) -> Vec<&str> {
    faces(records).iter().map(|face| face.candidate.as_deref().unwrap_or("none")).collect()
}

/// Eight photos of Alice, and Zoe, who is somebody else.
const ALICES: [(&str, f32); 9] = [
    ("alice1", 0.0),
    ("alice2", 1.0),
    ("alice3", 2.0),
    ("alice4", 3.0),
    ("alice5", 4.0),
    ("alice6", 5.0),
    ("alice7", 6.0),
    ("alice8", 7.0),
    ("zoe", 80.0),
];

#[test]
fn one_person_gets_one_replacement() {
    let records = Run::of(&ALICES).once(&anonymizer(&POOL, false));
    let candidates = candidates(&records);
    assert_eq!(candidates[..8].iter().collect::<BTreeSet<_>>().len(), 1, "{candidates:?}");
    let persons: Vec<Option<usize>> = faces(&records).iter().map(|face| face.person).collect();
    assert_eq!(persons, [&[Some(1); 8][..], &[None]].concat());
    assert_eq!(PeopleSummary::of(&records), Some(PeopleSummary { people: 1, replaced: 8, shared: 8 }));
}

#[test]
fn unlinkable_results_of_one_person_share_no_candidate() {
    let records = Run::of(&ALICES[..6]).once(&anonymizer(&POOL, true));
    let candidates = candidates(&records);
    assert_eq!(candidates.iter().collect::<BTreeSet<_>>().len(), 6, "{candidates:?}");
    assert!(faces(&records).iter().all(|face| face.person.is_none()) && !candidates.contains(&"none"));
    assert_eq!(PeopleSummary::of(&records), None);
}

#[test]
fn who_cannot_be_told_apart_any_more_is_covered_and_said_to_be() {
    let records = Run::of(&ALICES).once(&anonymizer(&POOL[..5], true));
    let (covered, replaced): (Vec<_>, Vec<_>) =
        faces(&records).into_iter().partition(|face| face.verdict == Verdict::Obscured);
    assert_eq!((covered.len(), replaced.len()), (3, 6), "five Alices and Zoe");
    assert!(covered.iter().all(|face| face.reason.as_ref().unwrap().contains("not used again")), "{covered:?}");
}

#[test]
fn a_face_that_the_common_replacement_does_not_hide_gets_another_and_says_so() {
    // Whoever stands on one side does not hide the Alice of that side.
    let records = Run::of(&[("left", 15.0), ("middle", 0.0), ("right", -15.0)])
        .once(&anonymizer(&[("plus", 75.0), ("minus", -75.0)], false));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    candidates(&records).into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    assert_eq!(counts.into_values().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
    let told = faces(&records).into_iter().filter(|f| f.reason.as_ref().is_some_and(|r| r.contains("other photos")));
    assert_eq!(told.count(), 1);
    assert!(faces(&records).iter().all(|face| face.person == Some(1) && face.verdict == Verdict::Replaced));
}

#[test]
fn neither_the_order_of_photos_nor_the_number_of_jobs_changes_a_byte() {
    let run = Run::of(&ALICES);
    for unlinkable in [false, true] {
        let anonymizer = anonymizer(&POOL, unlinkable);
        let outs = [("one", false, 1), ("many", true, 4)].map(|(out, backwards, jobs)| {
            let out = format!("{out}{unlinkable}");
            let options = BatchOptions { jobs, ..Default::default() };
            let records = run.run(&anonymizer, &out, backwards, options);
            let bytes = ALICES.map(|(name, _)| std::fs::read(run.path(&out).join(format!("{name}.png"))).ok());
            let names: Vec<String> = candidates(&records).into_iter().map(str::to_owned).collect();
            (bytes, names)
        });
        assert!(outs[0].0.iter().all(Option::is_some));
        assert_eq!(outs[0], outs[1]);
    }
}

#[test]
fn a_face_that_is_kept_decides_nothing() {
    let run = Run::of(&ALICES[..2]);
    let keep = HashMap::from([(run.path("in/alice1.png"), BTreeSet::from([0]))]);
    let records =
        run.run(&anonymizer(&POOL, false), "out", false, BatchOptions { keep, jobs: 1, ..Default::default() });
    let faces = faces(&records);
    assert_eq!([faces[0].verdict, faces[1].verdict], [Verdict::Kept, Verdict::Replaced]);
    assert_eq!([faces[0].person, faces[1].person], [None, None]);
}

#[test]
fn nobody_is_replaced_by_a_face_made_from_the_person() {
    let run = Run::of(&[("alice", 0.0), ("zoe", 80.0)]);
    let without = |people: &[&str]| {
        let people: BTreeSet<String> = people.iter().map(|name| (*name).to_owned()).collect();
        let contributors = HashMap::from([(run.path("in/alice.png"), people)]);
        let out = format!("out{}", contributors.values().map(BTreeSet::len).sum::<usize>());
        run.run(&anonymizer(&POOL, false), &out, false, BatchOptions { contributors, jobs: 1, ..Default::default() })
    };
    let records = without(&["a", "b", "c", "d", "e"]);
    assert_eq!(candidates(&records)[0], "f");
    let records = without(&["a", "b", "c", "d", "e", "f"]);
    let faces = faces(&records);
    assert_eq!([faces[0].verdict, faces[1].verdict], [Verdict::Obscured, Verdict::Replaced]);
    assert!(faces[0].reason.as_ref().unwrap().contains("may stand in"), "{:?}", faces[0].reason);
}
