//! Detection, crops, mesh, gender and age against numbers made without PerFace (`tools/face_reference.py`).
//!
//! Networks are taken from the cache and never fetched; photos come from the folder `PERFACE_TESTDATA`. What is not
//! there is skipped with a message. `cargo test -p perface --test face_reference -- --ignored --nocapture` measures how
//! well gender, age and minors are told.

#![allow(clippy::unwrap_used)] // A helper of a test may fail it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use image::{Rgb, RgbImage};
use perface::attribute::{AttributeReader, Attributes};
use perface::detect::{Detector, DetectorOptions, Face};
use perface::geometry::{Point, Rect, Similarity};
use perface::mesh::{Mesher, POINTS};
use perface::model::builtin::{FACE_MESH, models};
use perface::model::store::Store;
use perface::model::{Model, Runtime, Tensor, onnx, tflite};
use perface::pool::Gender;
use perface::resample::{self, Border};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    crops: Vec<CropReference>,
    facemesh: FaceMeshReference,
    mobilefacenet: Vec<f32>,
    photos: Vec<PhotoReference>,
}

#[derive(Deserialize)]
struct CropReference {
    to_crop: [f64; 4],
    border: String,
    pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct FaceMeshReference {
    points: Vec<f32>,
    presence: [f32; 1],
}

#[derive(Deserialize)]
struct PhotoReference {
    image: String,
    box_px: [f32; 4],
    landmarks_px: [[f32; 2]; 5],
    score: f32,
    mesh: MeshReference,
    p_male: f32,
    age_years: f32,
    p_under_18: f32,
}

#[derive(Deserialize)]
struct MeshReference {
    every: usize,
    points_px: Vec<[f32; 3]>,
    presence: f32,
}

impl PhotoReference {
    fn face(&self) -> Face {
        let [left, top, right, bottom] = self.box_px;
        let landmarks_px = self.landmarks_px.map(|[x, y]| Point::new(x, y));
        Face { box_px: Rect::from_ltrb(left, top, right, bottom), landmarks_px, score: self.score }
    }
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../testdata/reference/faces.json")).unwrap()
}

/// The folder of test data, if it is there.
fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder = std::env::var_os("PERFACE_TESTDATA").map_or(PathBuf::from(default), PathBuf::from);
    let here = folder.is_dir();
    if !here {
        eprintln!("skipped: no test data in PERFACE_TESTDATA");
    }
    here.then_some(folder)
}

/// Built-in network `name` in every runtime that is here, if it was fetched before.
fn network(name: &str) -> Vec<(&'static str, Arc<dyn Model>)> {
    let store = Store::open(None, true, Arc::new(|_| {})).unwrap();
    let mut runtimes = vec![Runtime::Rten, Runtime::Own { others: Box::new(Runtime::Rten) }];
    runtimes.extend(store.runtime("ort").ok());
    let loaded = runtimes.iter().map(|runtime| Ok((runtime.name(), store.load(name, runtime)?.1)));
    loaded.collect::<perface::Result<_>>().unwrap_or_else(|error| {
        eprintln!("skipped: {error}");
        Vec::new()
    })
}

fn open(path: &Path) -> RgbImage {
    image::open(path).unwrap().to_rgb8()
}

/// Values in 0–1 without order, `[batch, 3, side, side]`, every picture the same.
fn pattern(batch: usize, side: usize) -> Tensor {
    let one: Vec<f32> = (0..3 * side * side).map(|i| (i * 7919 % 1000) as f32 / 1000.0).collect();
    Tensor::new(vec![batch, 3, side, side], one.repeat(batch))
}

fn worst(got: impl IntoIterator<Item = f32>, want: impl IntoIterator<Item = f32>) -> f32 {
    got.into_iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn crops_are_those_of_opencv() {
    let picture = RgbImage::from_fn(40, 30, |x, y| {
        Rgb([0, 1, 2].map(|c: u32| ((x * x * 3 + y * 7 * (c + 1) + x * y) % 256) as u8))
    });
    for want in reference().crops {
        let [a, b, tx, ty] = want.to_crop;
        let border = if want.border == "black" { Border::Black } else { Border::Replicate };
        let crop = resample::crop(&picture, &Similarity { a, b, tx, ty }, 16, 12, border);
        assert_eq!(crop.as_raw().len(), want.pixels.len());
        let off = crop.iter().zip(&want.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= 1, "{:?}: {off} levels off", want.to_crop);
    }
}

#[test]
fn the_converted_mesh_network_computes_what_the_original_does() {
    let want = reference().facemesh;
    for (runtime, model) in network("facemesh") {
        assert_eq!(model.input_shape(0), [None, Some(3), Some(192), Some(192)]);
        let outputs = model.run(&[pattern(2, 192)]).unwrap();
        assert_eq!((outputs[0].shape(), outputs[1].shape()), ([2, 3 * POINTS].as_slice(), [2, 1].as_slice()));
        for (points, presence) in outputs[0].data().chunks(3 * POINTS).zip(outputs[1].data()) {
            let off = worst(points.iter().step_by(39).copied(), want.points.iter().copied());
            println!("{runtime}: {off} crop px, presence {}", (presence - want.presence[0]).abs());
            assert!(off < 1e-2 && (presence - want.presence[0]).abs() < 1e-3, "{runtime}: {off} px off");
        }
    }
}

#[test]
fn every_runtime_computes_the_same_embeddings() {
    let networks = network("sface");
    let Some((_, first)) = networks.first() else { return };
    let scaled =
        |tensor: Tensor| Tensor::new(tensor.shape().to_vec(), tensor.data().iter().map(|v| 255.0 * v).collect());
    let want = first.run(&[scaled(pattern(2, 112))]).unwrap().remove(0);
    assert_eq!(want.shape(), [2, 128]);
    let largest = want.data().iter().fold(0.0f32, |most, v| most.max(v.abs()));
    for (runtime, model) in &networks {
        assert_eq!(model.input_shape(0)[1..], [Some(3), Some(112), Some(112)]);
        let got = model.run(&[scaled(pattern(2, 112))]).unwrap().remove(0);
        let off = worst(got.data().iter().copied(), want.data().iter().copied()) / largest;
        println!("{runtime}: {off}");
        assert!(got.shape() == [2, 128] && off < 1e-4, "{runtime}: {off}");
        assert!(model.run(&[pattern(1, 96)]).is_err(), "{runtime}: a picture of another size");
    }
}

/// The file is not among the built-in networks; it lies in the folder that `PERFACE_MOBILEFACENET` names.
#[test]
fn another_converted_network_computes_what_the_original_does() {
    let Some(file) = std::env::var_os("PERFACE_MOBILEFACENET") else {
        eprintln!("skipped: PERFACE_MOBILEFACENET does not name MobileFaceNet.tflite");
        return;
    };
    let onnx = onnx::encode(&tflite::to_onnx("mobilefacenet", &std::fs::read(file).unwrap()).unwrap());
    let model = Runtime::Rten.load("mobilefacenet", onnx).unwrap();
    let outputs = model.run(&[pattern(3, 112)]).unwrap();
    assert_eq!(outputs[0].shape(), [3, 192]);
    let off = worst(outputs[0].data().iter().copied(), reference().mobilefacenet.repeat(3));
    println!("rten: {off}");
    assert!(off < 1e-4, "{off}");
}

#[test]
fn damaged_networks_are_refused_without_a_panic() {
    let store = Store::open(None, true, Arc::new(|_| {})).unwrap();
    let Ok(folder) = store.pack(&FACE_MESH) else { return eprintln!("skipped: the face mesh was not fetched") };
    let bytes = std::fs::read(folder.join(FACE_MESH.files[0].keep_as)).unwrap();
    for length in (0..bytes.len()).step_by(40_009) {
        assert!(tflite::to_onnx("cut", &bytes[..length]).is_err(), "{length} bytes of {}", bytes.len());
    }
    // The tables are few and small beside the weights; damage every part of them.
    let tables = bytes.len() - 60_000..bytes.len();
    for at in (0..2_000).chain(tables).step_by(97) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let _ = tflite::to_onnx("damaged", &damaged);
        }
    }
}

#[test]
fn faces_and_meshes_are_those_of_the_reference() {
    let Some(data) = data() else { return };
    let detectors = network("yunet");
    let meshers = network("facemesh");
    for ((runtime, detector), (_, mesher)) in detectors.into_iter().zip(meshers) {
        let detector = Detector::new(detector, DetectorOptions::default());
        let mesher = Mesher::new(mesher);
        for want in reference().photos {
            let photo = open(&data.join(&want.image));
            let mut faces = detector.detect_once(&photo).unwrap();
            faces.sort_by(|a, b| b.score.total_cmp(&a.score));
            let (found, known) = (&faces[0], want.face());
            let edges = |f: &Face| [f.box_px.left, f.box_px.top, f.box_px.right, f.box_px.bottom];
            let places = |f: &Face| f.landmarks_px.iter().flat_map(|p| [p.x, p.y]).chain(edges(f)).collect::<Vec<_>>();
            let face_off = worst(places(found), places(&known));

            let mesh = mesher.mesh(&photo, &known).unwrap().unwrap();
            let points = mesh.points_px.iter().step_by(want.mesh.every).flatten().copied();
            let mesh_off = worst(points, want.mesh.points_px.iter().flatten().copied());
            println!("{runtime} {}: face {face_off:.4} px, mesh {mesh_off:.4} px", want.image);

            // Decoders of JPEG differ by a few levels, which moves faces by parts of a pixel.
            let (face_limit, mesh_limit) = if want.image.ends_with(".png") { (1e-2, 0.05) } else { (0.5, 0.3) };
            assert!(face_off < face_limit, "{runtime} {}: face {face_off} px off", want.image);
            assert!(mesh_off < mesh_limit, "{runtime} {}: mesh {mesh_off} px off", want.image);
            assert!((found.score - want.score).abs() < 5e-3);
            assert!((mesh.presence - want.mesh.presence).abs() < 1e-3);
        }
    }
}

#[test]
fn meshes_turn_with_the_photo() {
    let Some(data) = data() else { return };
    let (Some((_, detector)), Some((_, mesher))) = (network("yunet").pop(), network("facemesh").pop()) else { return };
    let detector = Detector::new(detector, DetectorOptions { quarter_turns: false, ..Default::default() });
    let mesher = Mesher::new(mesher);
    let photo = open(&data.join("omi/images/0001.jpg"));
    let face = detector.detect(&photo).unwrap().remove(0);
    let upright = mesher.mesh(&photo, &face).unwrap().unwrap();
    // As if the detector had found the face in the turned photo.
    let last = photo.height() as f32 - 1.0;
    let turned = |p: Point| Point::new(last - p.y, p.x);
    let corners = [(face.box_px.left, face.box_px.top), (face.box_px.right, face.box_px.bottom)];
    let box_px = Rect::around(corners.map(|(x, y)| turned(Point::new(x, y)))).unwrap();
    let turned_face = Face { box_px, landmarks_px: face.landmarks_px.map(turned), score: face.score };
    let mesh = mesher.mesh(&image::imageops::rotate90(&photo), &turned_face).unwrap().unwrap();
    for index in 0..POINTS {
        let off = turned(upright.point(index)).distance(mesh.point(index));
        assert!(off < 0.3, "point {index}: {off} px off");
    }
}

#[test]
fn gender_and_age_are_those_of_the_reference() {
    let Some(data) = data() else { return };
    for ((runtime, gender), (_, age)) in network("gender").into_iter().zip(network("age")) {
        let reader = AttributeReader::new(gender, age);
        for want in reference().photos {
            let photo = open(&data.join(&want.image));
            let seen = reader.read(&photo, &want.face()).unwrap();
            println!("{runtime} {}: {seen:?}", want.image);
            assert!((seen.p_male - want.p_male).abs() < 5e-3, "{runtime} {}: {seen:?}", want.image);
            assert!((seen.age_years - want.age_years).abs() < 0.1, "{runtime} {}: {seen:?}", want.image);
            assert!((seen.p_under_18 - want.p_under_18).abs() < 5e-3, "{runtime} {}: {seen:?}", want.image);
        }
    }
}

/// Rows of a comma-separated table by its header.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(|row| row.unwrap()).collect()
}

/// A labelled photo and how it looks to the networks.
struct Seen {
    years: f32,
    male: bool,
    seen: Attributes,
}

fn look(detector: &Detector, reader: &AttributeReader, path: &Path, years: f32, male: bool) -> Option<Seen> {
    let photo = open(path);
    let faces = detector.detect(&photo).unwrap();
    let largest = faces.into_iter().max_by(|a, b| a.box_px.area().total_cmp(&b.box_px.area()))?;
    Some(Seen { years, male, seen: reader.read(&photo, &largest).unwrap() })
}

fn share<'a>(all: impl Iterator<Item = &'a Seen>, right: impl Fn(&Seen) -> bool) -> (f64, usize) {
    let all: Vec<&Seen> = all.collect();
    (all.iter().filter(|s| right(s)).count() as f64 / all.len().max(1) as f64, all.len())
}

fn print_figures(name: &str, seen: &[Seen]) {
    let gender = share(seen.iter(), |s| (s.seen.gender() == Gender::Male) == s.male);
    let error = seen.iter().map(|s| (s.seen.age_years - s.years).abs()).sum::<f32>() / seen.len() as f32;
    let minors = share(seen.iter().filter(|s| s.years < 18.0), |s| s.seen.may_be_minor());
    let adults = share(seen.iter().filter(|s| s.years >= 18.0), |s| s.seen.may_be_minor());
    println!(
        "{name}: gender {:.3} of {}, age {error:.2} years off; may be minor: {:.3} of {} minors, {:.3} of {} adults",
        gender.0, gender.1, minors.0, minors.1, adults.0, adults.1
    );
}

#[test]
#[ignore = "reads 1 700 photos; prints figures"]
fn figures_of_gender_age_and_minors() {
    let Some(data) = data() else { return };
    let take = |name: &str| network(name).pop().unwrap().1;
    let detector = Detector::new(take("yunet"), DetectorOptions { quarter_turns: false, ..Default::default() });
    let reader = AttributeReader::new(take("gender"), take("age"));

    let mut table = rows(&data.join("omi/attributes.csv"));
    table.sort_by(|a, b| a["image"].cmp(&b["image"]));
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f32>().unwrap();
    let omi: Vec<Seen> = table
        .iter()
        .filter_map(|row| {
            let path = data.join("omi/images").join(&row["image"]);
            look(&detector, &reader, &path, number(row, "age"), number(row, "gender") > 50.0)
        })
        .collect();
    print_figures("omi 1-350, where the rule for minors was chosen", &omi[..350]);
    print_figures("omi 351-700", &omi[350..]);

    let utkface: Vec<Seen> = rows(&data.join("utkface/labels.csv"))
        .iter()
        .filter_map(|row| {
            let path = data.join("utkface/images").join(&row["image"]);
            look(&detector, &reader, &path, number(row, "age"), row["gender"] == "male")
        })
        .collect();
    let (even, odd): (Vec<_>, Vec<_>) = utkface.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let seen = |half: Vec<(usize, Seen)>| half.into_iter().map(|(_, s)| s).collect::<Vec<_>>();
    print_figures("utkface, half the frame was fitted on", &seen(even));
    print_figures("utkface, other half", &seen(odd));

    let minors = share(omi[350..].iter().filter(|s| s.years < 18.0), |s| s.seen.may_be_minor());
    let adults = share(omi[350..].iter().filter(|s| s.years >= 18.0), |s| s.seen.may_be_minor());
    assert!(minors.0 > 0.85 && adults.0 < 0.06, "{minors:?} {adults:?}");
}

#[test]
#[ignore = "measures time"]
fn time_of_each_network() {
    for name in ["facemesh", "gender", "age", "sface"] {
        assert!(models().iter().any(|m| m.card.name == name));
        for (runtime, model) in network(name) {
            let side = model.input_shape(0)[2].unwrap();
            let batch = if ["gender", "age"].contains(&name) { 4 } else { 1 };
            let input = [pattern(batch, side)];
            model.run(&input).unwrap();
            let start = Instant::now();
            (0..20).for_each(|_| drop(model.run(&input).unwrap()));
            println!("{name} {runtime}: {:.2} ms for {batch}", start.elapsed().as_secs_f64() * 50.0);
        }
    }
}
