//! Detection and recognition on real photos, with the real networks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::{detector, embedder, pictures, read, runtime, sample, store, testdata};
use image::imageops;
use perface::align;
use perface::detect::Face;
use perface::geometry::Point;
use perface::mesh::Mesher;
use perface::model::builtin::{PHOTO_ASTRONAUT, PHOTO_SOLVAY};
use perface::originals::Gathering;
use perface::parallel::in_parallel;
use perface::pool::PixelHash;
use perface::same_person::Persons;
use perface::swap::warp::look::Look;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    /// Left, top, width, height, five landmarks, score.
    faces: Vec<[f32; 15]>,
}

#[test]
fn detection_is_that_of_the_same_graph_in_python() {
    let text = include_str!("../../testdata/reference/yunet_astronaut.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    let mut found = detector().detect_once(&sample(&PHOTO_ASTRONAUT, "astronaut.png")).unwrap();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    assert_eq!(found.len(), reference.faces.len());
    for (face, want) in found.iter().zip(&reference.faces) {
        let b = face.box_px;
        let got = [b.left, b.top, b.width(), b.height()];
        let got = got.into_iter().chain(face.landmarks_px.iter().flat_map(|p| [p.x, p.y]));
        for (got, want) in got.zip(want) {
            assert!((got - want).abs() < 1e-2, "{got} {want}");
        }
        assert!((face.score - want[14]).abs() < 1e-4);
    }
}

#[test]
fn all_29_faces_of_the_solvay_conference_are_found() {
    let found = detector().detect(&sample(&PHOTO_SOLVAY, "solvay-1927.jpg")).unwrap();
    assert_eq!(found.len(), 29);
}

/// Left, top, width and height of the six faces, by the network before its weights were quantised.
const T1: [[f32; 4]; 6] = [
    [60.944, 268.076, 106.857, 128.830],
    [267.111, 150.982, 105.054, 126.922],
    [466.146, 266.529, 102.139, 145.201],
    [748.713, 352.485, 98.747, 123.112],
    [906.457, 58.485, 99.201, 143.931],
    [1125.745, 272.689, 95.459, 123.891],
];

#[test]
fn the_known_group_photo_has_its_six_faces_in_place() {
    let Some(groups) = testdata("robust/groups", "the known group photo") else { return };
    let found = detector().detect(&read(&groups.join("insightface_t1.jpg"))).unwrap();
    assert_eq!(found.len(), 6);
    for (face, want) in found.iter().zip(T1) {
        let b = face.box_px;
        for (got, want) in [b.left, b.top, b.width(), b.height()].into_iter().zip(want) {
            assert!((got - want).abs() < 1.5, "{b:?} {want}");
        }
    }
}

#[test]
fn groups_of_known_size_are_found_whole() {
    let Some(folder) = testdata("robust/compreface", "groups of known size") else { return };
    let detector = detector();
    let mut counted = 0;
    for path in pictures(&folder) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(count) = name.rsplit('_').next().and_then(|count| count.parse::<usize>().ok()) else { continue };
        assert_eq!(detector.detect(&read(&path)).unwrap().len(), count, "{name}");
        counted += 1;
    }
    assert!(counted >= 9);
}

/// Whether `face` is the one at `want`, eyes within a fifth of its width.
fn is_there(face: &Face, eyes: [Point; 2]) -> bool {
    let near = face.box_px.width().max(face.box_px.height()) / 5.0;
    face.landmarks_px.iter().zip(eyes).all(|(p, q)| p.distance(q) < near)
}

#[test]
fn faces_of_photos_on_their_side_are_found() {
    let Some(folder) = testdata("omi/images", "turned photos") else { return };
    let detector = detector();
    let upright = perface::detect::Detector::clone(&detector);
    let paths: Vec<_> = pictures(&folder).into_iter().take(60).collect();
    let missed = in_parallel(&paths, |path| {
        let picture = read(path);
        let faces = upright.detect(&picture).unwrap();
        let surest = faces.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        let [left, right, ..] = surest.landmarks_px;
        // A clockwise quarter turn takes (x, y) to (height − 1 − y, x).
        let last = picture.height() as f32 - 1.0;
        let turned_eyes = [left, right].map(|p| Point::new(last - p.y, p.x));
        let turned = detector.detect(&imageops::rotate90(&picture)).unwrap();
        !turned.iter().any(|face| is_there(face, turned_eyes))
    });
    assert_eq!(missed.iter().filter(|missed| **missed).count(), 0);
}

#[derive(Deserialize)]
struct PairRow {
    a: String,
    b: String,
    same: u8,
}

#[test]
fn sface_tells_people_of_lfw_apart_at_its_own_threshold() {
    let Some(folder) = testdata("lfw", "face verification") else { return };
    let (detector, embedder) = (detector(), embedder());
    let threshold = embedder.card().same_person.as_ref().unwrap().cosine;
    let mut reader = csv::Reader::from_path(folder.join("pairs.csv")).unwrap();
    let pairs: Vec<PairRow> = reader.deserialize().map(Result::unwrap).collect();
    let mut names: Vec<&String> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).collect();
    names.sort();
    names.dedup();
    let images = [folder.join("images"), folder.clone()].into_iter().find(|f| f.join(names[0]).exists()).unwrap();
    let embeddings = in_parallel(&names, |name| {
        let picture = read(&images.join(name));
        let (x, y) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
        // The person a picture is named for stands in its middle.
        let faces = detector.detect(&picture).unwrap();
        let face = faces.iter().min_by(|a, b| {
            let off = |f: &Face| f.box_px.centre().distance(Point::new(x, y));
            off(a).total_cmp(&off(b))
        })?;
        embedder.embed_one(&align::align(&picture, face)?).ok()
    });
    let known: std::collections::HashMap<_, _> = names.iter().zip(&embeddings).collect();
    let right = pairs.iter().filter(|pair| {
        let (a, b) = (known[&&pair.a].as_ref(), known[&&pair.b].as_ref());
        a.zip(b).is_some_and(|(a, b)| (a.cosine(b) >= threshold) == (pair.same == 1))
    });
    let accuracy = right.count() as f64 / pairs.len() as f64;
    eprintln!("LFW: accuracy {accuracy:.4} at {threshold} over {} pairs", pairs.len());
    assert!(accuracy >= 0.99, "{accuracy}");
}

#[test]
fn two_photos_of_a_person_are_one_person_and_strangers_are_not() {
    let Some(london) = testdata("london", "who is who in a run") else { return };
    let photos: Vec<PathBuf> = pictures(&london)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .filter(|path| path.to_string_lossy().contains("_neutral") || path.to_string_lossy().contains("_smile"))
        .take(60)
        .collect();
    let (detector, embedder) = (detector(), embedder());
    let faces = in_parallel(&photos, |path| {
        let picture = read(path);
        let face = detector.detect_once(&picture).unwrap().swap_remove(0);
        (PixelHash::of(&picture), embedder.embed_face(&picture, &face).unwrap().unwrap())
    });
    let id = |path: &PathBuf| path.file_name().unwrap().to_string_lossy()[..3].to_owned();
    let ids: BTreeMap<PixelHash, String> = faces.iter().map(|(hash, _)| *hash).zip(photos.iter().map(id)).collect();
    let mut gathering = Gathering::default();
    faces.iter().for_each(|(hash, embedding)| gathering.add((*hash, 0), std::slice::from_ref(embedding)));
    let threshold = embedder.card().same_person.as_ref().unwrap().cosine;
    let persons = Persons::among(&gathering.finish(), &[threshold], &BTreeSet::new());
    let people: BTreeSet<&String> = ids.values().collect();
    eprintln!("{} of {} people found on both of their photos", persons.len(), people.len());
    assert!(persons.len() * 10 >= people.len() * 9, "{} of {}", persons.len(), people.len());
    for faces in persons.faces() {
        assert_eq!(faces.iter().map(|(hash, _)| &ids[hash]).collect::<BTreeSet<_>>().len(), 1, "strangers are joined");
    }
}

#[test]
fn glasses_and_turned_heads_are_told_from_bare_faces() {
    let Some(folder) = testdata("omi/images", "glasses and turned heads") else { return };
    let store = store();
    let mesher = Mesher::new(store.load("facemesh", &runtime(&store)).unwrap().1);
    let detector = detector();
    let look = |name: &str| {
        let photo = read(&folder.join(format!("{name}.jpg")));
        let found = detector.detect(&photo).unwrap().into_iter();
        let face = found.max_by(|a, b| a.box_px.area().total_cmp(&b.box_px.area())).unwrap();
        Look::of(&photo, &mesher.mesh(&photo, &face).unwrap().unwrap()).unwrap()
    };
    let glasses = "0947 0145 0437 0269 0424 0391 0197 0661 0820 0839".split(' ').filter(|name| look(name).glasses);
    assert!(glasses.count() >= 9, "of ten who wear glasses");
    for bare in "0097 0492 0933 0001 0245 0238 0887 0219 0014 0978".split(' ') {
        assert!(!look(bare).glasses, "{bare} wears none");
        assert!(look(bare).off_axis_rad < 30f32.to_radians(), "{bare}: {}", look(bare).off_axis_rad);
    }
    for turned in ["0139", "0322"] {
        assert!(look(turned).off_axis_rad > 30f32.to_radians(), "{turned}: {}", look(turned).off_axis_rad);
    }
}
