//! SimSwap with random weights, from a photo to the pasted photo, against the Python path.
//!
//! The networks are made by `tools/swap_twins.py` and too large to keep here (450 MB): `PERFACE_SWAP_TWINS` names their
//! folder. What is compared: both crops, the latent, the finished photo. Then one step is done wrong at a time, and the
//! comparison must fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use perface::detect::Face;
use perface::geometry::{Point, Rect};
use perface::mesh::{Mesh, POINTS};
use perface::model::Model;
use perface::resample::{self, Border};
use perface::swap::neural::card::{self, EngineCard, Identity, Paste};
use perface::swap::neural::template::Template;
use perface::swap::neural::{Masks, Networks, Neural, graph};
use perface::swap::{Material, Swapper, Target};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    source: [[f32; 2]; 5],
    target: [[f32; 2]; 5],
    latent: Vec<f32>,
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PERFACE_SWAP_TWINS").map(PathBuf::from).filter(|f| f.is_dir());
    if folder.is_none() {
        eprintln!("skipped 1 test: the twins of SimSwap are made by tools/swap_twins.py; set PERFACE_SWAP_TWINS");
    }
    folder
}

fn points(list: [[f32; 2]; 5]) -> [Point; 5] {
    list.map(|[x, y]| Point::new(x, y))
}

/// Mean and largest difference, in grey levels.
fn difference(a: &RgbImage, b: &RgbImage) -> (f64, u8) {
    assert_eq!(a.dimensions(), b.dimensions());
    let all = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = all.clone().map(f64::from).sum();
    (sum / a.as_raw().len() as f64, all.max().unwrap_or(0))
}

struct Twins {
    folder: PathBuf,
    reference: Reference,
    engine: Arc<dyn Model>,
    identity: Arc<dyn Model>,
    source: RgbImage,
    target: RgbImage,
}

impl Twins {
    fn load(folder: PathBuf) -> Self {
        let runtime = common::runtime(&common::store());
        let network = |name: &str| {
            let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
            graph::check(name, &bytes).unwrap();
            runtime.load(name, bytes).unwrap()
        };
        let reference = serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
        Self {
            reference,
            engine: network("simswap-224"),
            identity: network("simswap-arcface"),
            source: common::read(&folder.join("source.png")),
            target: common::read(&folder.join("target.png")),
            folder,
        }
    }

    fn picture(&self, name: &str) -> RgbImage {
        common::read(&self.folder.join(name))
    }

    fn neural(&self, card: EngineCard) -> Neural {
        let bytes = std::fs::read(self.folder.join("simswap-224.onnx")).unwrap();
        let networks = Networks {
            engine: Arc::clone(&self.engine),
            wiring: graph::wiring(&card, &bytes).unwrap(),
            identity: Arc::clone(&self.identity),
            converter: None,
            emap: None,
        };
        Neural::new(card, networks, Masks::default(), false).unwrap()
    }

    /// Largest difference of the latent, and mean difference of the finished photo where the face was.
    fn compare(&self, card: EngineCard) -> (f32, f64) {
        let neural = self.neural(card);
        let latent = neural.latent(&self.source, &points(self.reference.source)).unwrap().unwrap();
        let off = latent.iter().zip(&self.reference.latent).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let landmarks_px = points(self.reference.target);
        let face = Face { box_px: Rect::around(landmarks_px).unwrap(), landmarks_px, score: 1.0 };
        let mesh = Mesh { points_px: vec![[0.0; 3]; POINTS], presence: 1.0 };
        let material = Material::new(self.source.clone(), mesh.clone(), None);
        // The reference has the detector's landmarks for the source, not a mesh's.
        material.identity.set((neural.card().name, latent)).unwrap();
        let swap = neural.swap(Target { photo: &self.target, mesh: &mesh, face: &face }, &material).unwrap();
        let mut result = self.target.clone();
        swap.paste(&mut result);
        let reference = self.picture("result.png");
        // Over the whole photo a difference in the face would drown.
        let changed: Vec<_> =
            reference.enumerate_pixels().filter(|(x, y, p)| self.target.get_pixel(*x, *y) != *p).collect();
        let sum: f64 = changed
            .iter()
            .flat_map(|(x, y, p)| p.0.iter().zip(result.get_pixel(*x, *y).0).map(|(a, b)| f64::from(a.abs_diff(b))))
            .sum();
        (off, sum / (3.0 * changed.len() as f64))
    }
}

#[test]
fn simswap_is_that_of_the_python_path_from_photo_to_pasted_photo() {
    let Some(folder) = folder() else { return };
    let twins = Twins::load(folder);
    for (name, picture, landmarks) in
        [("source", &twins.source, twins.reference.source), ("target", &twins.target, twins.reference.target)]
    {
        let to_crop = Template::FivePose.fit(&points(landmarks), 224).unwrap();
        let crop = resample::crop(picture, &to_crop, 224, 224, Border::Black);
        let (mean, most) = difference(&crop, &twins.picture(&format!("{name}_crop.png")));
        eprintln!("{name} crop: mean {mean:.4}, most {most} grey levels");
        assert!(mean <= 1.0, "{name} crop: {mean}");
    }
    let right = card::engine("simswap-224").unwrap();
    let (latent, output) = twins.compare(right.clone());
    eprintln!("latent: {latent:.2e}; pasted photo, changed pixels: mean {output:.4} grey levels");
    assert!(latent <= 1e-4 && output <= 2.0, "{latent} {output}");

    let identity = right.identity;
    for (what, wrong) in [
        (
            "the frontal template for all poses of the target",
            EngineCard { template: Template::ArcFace112, ..right.clone() },
        ),
        ("ImageNet scaling of the target", EngineCard { input: card::IMAGENET, ..right.clone() }),
        (
            "no ImageNet scaling of the source",
            EngineCard { identity: Identity { scaling: right.input, ..identity }, ..right.clone() },
        ),
        (
            "the source by another template",
            EngineCard { identity: Identity { template: Template::Ffhq, ..identity }, ..right.clone() },
        ),
        ("another maker's paste", EngineCard { paste: Paste::FaceFusion, ..right.clone() }),
    ] {
        let (latent, output) = twins.compare(wrong);
        eprintln!("{what}: latent {latent:.2e}, photo {output:.2}");
        assert!(latent > 1e-4 || output > 2.0, "{what} was not noticed");
    }
    let _: &Path = &twins.folder;
}
