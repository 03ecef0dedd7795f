//! Random-weight twins of DeepFace's networks: PerFace cuts out and feeds faces as DeepFace v0.0.93 does.
//!
//! `tools/baseline_twins.py` makes the twins and the reference; without them (`PERFACE_TWINS`) the test is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use perface::align;
use perface::detect::Face;
use perface::embed::input_tensor;
use perface::geometry::{Point, Rect};
use perface::model::card::{Channels, ModelCard, Preprocessing};
use perface::model::{Model, Runtime, presets};
use perface::photo::{self, Limits};
use serde_json::Value;

/// The largest mean difference of two crops, in grey levels.
const MAX_GREY_LEVELS: f64 = 2.0;
/// The largest distance of two embeddings of one crop, as a share of their norm.
const MAX_RELATIVE: f64 = 1e-4;

struct Twin {
    card: ModelCard,
    model: Arc<dyn Model>,
    photo: RgbImage,
    face: Face,
    /// The crop DeepFace's functions make.
    crop: RgbImage,
    embedding: Vec<f64>,
}

fn twins() -> Vec<Twin> {
    let Some(folder) = std::env::var_os("PERFACE_TWINS").map(PathBuf::from) else {
        eprintln!("skipped: PERFACE_TWINS names no folder made by tools/baseline_twins.py");
        return Vec::new();
    };
    let mut found = Vec::new();
    for card in presets::presets() {
        let Some(network) = card.name.strip_prefix("deepface-") else { continue };
        let Ok(text) = std::fs::read(folder.join(format!("{network}.json"))) else { continue };
        let record: Value = serde_json::from_slice(&text).unwrap();
        let list = |name: &str| -> Vec<f64> {
            record[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let [x, y, width, height] = <[f64; 4]>::try_from(list("box_xywh")).unwrap().map(|value| value as f32);
        let eye = |name: &str| Point::new(list(name)[0] as f32, list(name)[1] as f32);
        let mut landmarks_px = [Point::new(0.0, 0.0); 5];
        (landmarks_px[0], landmarks_px[1]) = (eye("right_eye"), eye("left_eye"));
        let read = |path: &Path| photo::read(path, &Limits::default()).unwrap().pixels;
        let onnx = std::fs::read(folder.join(format!("{network}.onnx"))).unwrap();
        found.push(Twin {
            model: Runtime::Rten.load(network, onnx).unwrap(),
            photo: read(Path::new(record["photo"].as_str().unwrap())),
            face: Face { box_px: Rect::from_xywh(x, y, width, height), landmarks_px, score: 1.0 },
            crop: read(&folder.join(format!("{network}.png"))),
            embedding: list("embedding"),
            card,
        });
    }
    found
}

fn embed(twin: &Twin, crop: &RgbImage, preprocessing: &Preprocessing) -> Vec<f64> {
    let outputs = twin.model.run(&[input_tensor(&[crop], preprocessing)]).unwrap();
    outputs[0].data().iter().map(|value| f64::from(*value)).collect()
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

fn grey_levels(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let differences = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    differences.sum::<f64>() / a.as_raw().len() as f64
}

#[test]
fn twins_are_cut_out_and_run_as_deepface_does_and_a_wrong_step_shows() {
    for twin in twins() {
        let (name, preprocessing) = (&twin.card.name, &twin.card.preprocessing);
        let (width, height) = (preprocessing.width_px, preprocessing.height_px);
        let cut = |face: &Face| align::align_as(&twin.photo, face, preprocessing.aligner, width, height).unwrap();
        let aligned = cut(&twin.face);
        let pixels = grey_levels(aligned.crop(), &twin.crop);
        let error = relative(&embed(&twin, &twin.crop, preprocessing), &twin.embedding);
        let whole = relative(&embed(&twin, aligned.crop(), preprocessing), &twin.embedding);
        println!("{name}: crop {pixels:.4} grey levels, equal crop {error:.2e}, from the photo {whole:.2e}");
        assert_eq!(Some(twin.embedding.len()), twin.card.embedding_len, "{name}");
        assert!(pixels <= MAX_GREY_LEVELS, "{name}: the crop is {pixels} grey levels off");
        assert!(error <= MAX_RELATIVE, "{name}: the embedding is {error} off");

        // Controls: with one step wrong the same comparisons must fail by far.
        let red_first = Preprocessing { channels: Channels::Rgb, ..preprocessing.clone() };
        let unscaled = Preprocessing { mean: [127.5; 3], scale: 127.5, ..preprocessing.clone() };
        for (step, wrong) in [("red first", red_first), ("another normalisation", unscaled)] {
            let error = relative(&embed(&twin, &twin.crop, &wrong), &twin.embedding);
            println!("  {step}: {error:.2e}");
            assert!(error > 10.0 * MAX_RELATIVE, "{name}: {step} is not noticed: {error}");
        }
        let mut level = twin.face.clone();
        level.landmarks_px[1].y = level.landmarks_px[0].y;
        let unturned = grey_levels(cut(&level).crop(), &twin.crop);
        let resized = perface::resample::shrink(&twin.photo, twin.face.box_px, width, height).unwrap();
        for (step, pixels) in [("eyes not level", unturned), ("no black bars", grey_levels(&resized, &twin.crop))] {
            println!("  {step}: {pixels:.2} grey levels");
            assert!(pixels > 10.0 * pixels_of(aligned.crop(), &twin.crop), "{name}: {step} is not noticed: {pixels}");
        }
    }
}

/// The crop's own difference, at least a tenth of a grey level.
fn pixels_of(own: &RgbImage, wanted: &RgbImage) -> f64 {
    grey_levels(own, wanted).max(0.1)
}
