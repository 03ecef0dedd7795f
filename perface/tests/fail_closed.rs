//! No path leaves a face as it was without saying so: the whole line with networks that can be made to fail.
//!
//! A "face" here is a block whose blue is full; its red and green are who it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use perface::anonymize::{Anonymized, Anonymizer};
use perface::atomic::Overwrite;
use perface::candidates::{Candidates, Reader};
use perface::cover;
use perface::detect::{Detector, DetectorOptions};
use perface::draw::Seed;
use perface::embed::Embedder;
use perface::group::{GroupBy, GroupDistance, GroupSet};
use perface::mesh::Mesher;
use perface::model::card::{Aligner, Channels, Layout, ModelCard, Preprocessing, Role};
use perface::model::{Model, Tensor};
use perface::photo::{self, Format, Photo};
use perface::pool::Pool;
use perface::rank::{Pick, PickOptions};
use perface::replace::{DEFAULT_RERANK, Gate, ReplaceOptions, Replacer};
use perface::report::Verdict;
use perface::swap::{Material, Refusal, Swap, Swapper, Target};

const ALICE: Rgb<u8> = Rgb([250, 10, 255]);
const BOB: Rgb<u8> = Rgb([10, 250, 255]);
const BACKGROUND: Rgb<u8> = Rgb([60, 90, 30]);

/// YuNet's outputs for the box around all pixels whose blue is full.
struct FindBlue;

impl Model for FindBlue {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        vec![None, Some(3), None, None]
    }

    fn run(&self, inputs: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        let &[_, _, height, width] = inputs[0].shape() else { panic!("not a picture") };
        let blue = &inputs[0].data()[..width * height];
        let lit: Vec<(usize, usize)> =
            blue.iter().enumerate().filter(|(_, v)| **v > 200.0).map(|(i, _)| (i % width, i / width)).collect();
        let mut outputs = Vec::new();
        for channels in [1, 1, 4, 10] {
            for stride in [8, 16, 32] {
                let cells = (width / stride) * (height / stride);
                let mut data = vec![0.0f32; cells * channels];
                if let (8, Some(min_x), Some(max_x)) =
                    (stride, lit.iter().map(|p| p.0).min(), lit.iter().map(|p| p.0).max())
                {
                    let (min_y, max_y) =
                        (lit.iter().map(|p| p.1).min().unwrap(), lit.iter().map(|p| p.1).max().unwrap());
                    let at = |x: f32, y: f32| {
                        let (w, h) = ((max_x - min_x) as f32, (max_y - min_y) as f32);
                        [(min_x as f32 + x * w) / 8.0, (min_y as f32 + y * h) / 8.0]
                    };
                    let size = [((max_x - min_x + 1) as f32 / 8.0).ln(), ((max_y - min_y + 1) as f32 / 8.0).ln()];
                    let cell: Vec<f32> = match channels {
                        1 => vec![0.95],
                        4 => at(0.5, 0.5).into_iter().chain(size).collect(),
                        _ => [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
                            .iter()
                            .flat_map(|&(x, y)| at(x, y))
                            .collect(),
                    };
                    // All offsets are told relative to the first cell.
                    data[..channels].copy_from_slice(&cell);
                }
                outputs.push(Tensor::new(vec![1, cells, channels], data));
            }
        }
        Ok(outputs)
    }
}

/// Who it is: mean red and green of the middle of the crop, about grey.
struct KnowColour;

impl Model for KnowColour {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        vec![None, Some(3), Some(112), Some(112)]
    }

    fn run(&self, inputs: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        let plane = 112 * 112;
        let count = inputs[0].shape()[0];
        let middle = |values: &[f32]| values[60 * 112 + 40..60 * 112 + 70].iter().sum::<f32>() / 30.0 - 127.0;
        let data = (0..count * 2).map(|i| middle(&inputs[0].data()[(i / 2 * 3 + i % 2) * plane..][..plane])).collect();
        Ok(vec![Tensor::new(vec![count, 2], data)])
    }
}

/// Points all over the crop, or no face at all.
struct Mesh {
    sees: bool,
}

impl Model for Mesh {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        vec![None, Some(3), Some(192), Some(192)]
    }

    fn run(&self, _: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        let points = (0..468).flat_map(|i| [40.0 + (i % 22) as f32 * 5.0, 40.0 + (i / 22) as f32 * 5.0, 0.0]).collect();
        let logit = if self.sees { 9.0 } else { -9.0 };
        Ok(vec![Tensor::new(vec![1, 1404], points), Tensor::new(vec![1, 1], vec![logit])])
    }
}

/// A network that is broken.
struct Broken;

impl Model for Broken {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        Vec::new()
    }

    fn run(&self, _: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        Err(perface::Error::model("broken", "as it was made"))
    }
}

/// Paints the face in one colour, or refuses.
struct Paint(Option<Rgb<u8>>);

impl Swapper for Paint {
    fn swap(&self, target: &Target, _: &Material) -> Result<Swap, Refusal> {
        let colour = self.0.ok_or(Refusal::BadCandidate)?;
        let b = target.face.box_px;
        let (width, height) = (b.width().ceil() as u32 + 2, b.height().ceil() as u32 + 2);
        Ok(Swap {
            patch: RgbImage::from_pixel(width, height, colour),
            patch_origin: (b.left as u32, b.top as u32),
            mask: GrayImage::from_pixel(width, height, Luma([255])),
        })
    }
}

fn picture(who: Rgb<u8>) -> RgbImage {
    RgbImage::from_fn(192, 160, |x, y| if (60..110).contains(&x) && (50..110).contains(&y) { who } else { BACKGROUND })
}

fn embedder(model: impl Model + 'static) -> Embedder {
    let card = ModelCard {
        name: "colour".to_owned(),
        role: Role::Embedder,
        similarity: "colour cosine".to_owned(),
        preprocessing: Preprocessing {
            width_px: 112,
            height_px: 112,
            channels: Channels::Rgb,
            mean: [0.0; 3],
            scale: 1.0,
            layout: Layout::default(),
            aligner: Aligner::default(),
        },
        embedding_len: Some(2),
        same_person: None,
        agreement: None,
        licence: String::new(),
        source: String::new(),
        sha256: String::new(),
    };
    Embedder::new(card, Arc::new(model))
}

fn candidates(folder: &Path, reader: Reader) -> Candidates {
    for (name, who) in [("a", BOB), ("b", BOB)] {
        let photo = Photo::new(picture(who), Format::Png);
        photo::write(&photo, &folder.join(format!("{name}.png")), Overwrite::Always).unwrap();
    }
    let csv = "id,file,gender,age_group,label_source,source,licence,attribution,contributors\n\
               a,a.png,male,young,csv,own,,,\nb,b.png,male,young,csv,own,,,\n";
    std::fs::write(folder.join("pool.csv"), csv).unwrap();
    Candidates::load(Pool::load(folder).unwrap(), reader, folder, "fake").unwrap()
}

/// A photo of Alice after the line.
fn alice_after(swapper: Paint, mesh: Mesh, gate: Embedder, keep: &[usize]) -> perface::Result<Anonymized> {
    let folder = tempfile::tempdir().unwrap();
    let detector = Detector::new(Arc::new(FindBlue), DetectorOptions { quarter_turns: false, ..Default::default() });
    let reader = Reader {
        detector: detector.clone(),
        mesher: Mesher::new(Arc::new(Mesh { sees: true })),
        embedder: embedder(KnowColour),
    };
    let options = ReplaceOptions {
        seed: Seed::new(1),
        group_distance: GroupDistance::default(),
        group_set: GroupSet::Four,
        group_by: GroupBy::Similarity,
        pick: PickOptions { pick: Pick::Least, ..Default::default() },
        tries: 8,
        rerank: DEFAULT_RERANK,
    };
    let replacer = Replacer {
        detector: detector.clone(),
        mesher: Mesher::new(Arc::new(mesh)),
        swapper: Arc::new(swapper),
        gates: vec![Gate { embedder: gate, same_person_cosine: 0.5 }],
        attributes: None,
        candidates: candidates(folder.path(), reader),
        options,
    };
    let keep: BTreeSet<usize> = keep.iter().copied().collect();
    Anonymizer::replacing(detector, replacer).anonymize(Photo::new(picture(ALICE), Format::Png), &keep)
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
