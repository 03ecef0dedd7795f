//! Networks, engines and pictures that can be made to behave in any way, for tests of the whole line.
//!
//! A "face" here is a block whose blue is full; its red and green are who it is.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use perface::anonymize::{Anonymized, Anonymizer};
use perface::atomic::Overwrite;
use perface::candidates::{Candidates, Reader};
use perface::detect::{Detector, DetectorOptions};
use perface::draw::Seed;
use perface::embed::Embedder;
use perface::group::{GroupBy, GroupDistance, GroupSet};
use perface::mesh::Mesher;
use perface::model::card::{Aligner, Channels, Layout, ModelCard, Preprocessing, Role};
use perface::model::{Model, Tensor};
use perface::natural::Natural;
use perface::photo::{self, Format, Photo};
use perface::pool::Pool;
use perface::rank::{Pick, PickOptions};
use perface::replace::{Gate, ReplaceOptions, Replacer};
use perface::swap::{Material, Prepared, Refusal, Swap, Swapper, Target};

pub const ALICE: Rgb<u8> = Rgb([250, 10, 255]);
pub const BOB: Rgb<u8> = Rgb([10, 250, 255]);
pub const BACKGROUND: Rgb<u8> = Rgb([60, 90, 30]);

/// YuNet's outputs for the box around all pixels whose blue is full.
pub struct FindBlue;

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
pub struct KnowColour;

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
pub struct Mesh {
    pub sees: bool,
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
pub struct Broken;

impl Model for Broken {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        Vec::new()
    }

    fn run(&self, _: &[Tensor]) -> perface::Result<Vec<Tensor>> {
        Err(perface::Error::model("broken", "as it was made"))
    }
}

/// Paints the face in one colour, or refuses.
pub struct Paint(pub Option<Rgb<u8>>);

impl Swapper for Paint {
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal> {
        Ok(Box::new(move |_: &Material| Ok(painted(&target, self.0.ok_or(Refusal::BadCandidate)?))))
    }
}

/// The face of `target` in one colour.
pub fn painted(target: &Target, colour: Rgb<u8>) -> Swap {
    let b = target.face.box_px;
    let (width, height) = (b.width().ceil() as u32 + 2, b.height().ceil() as u32 + 2);
    Swap {
        patch: RgbImage::from_pixel(width, height, colour),
        patch_origin: (b.left as u32, b.top as u32),
        mask: GrayImage::from_pixel(width, height, Luma([255])),
    }
}

/// Who lies so many degrees from Alice, to whom the recogniser gives about [1, −1].
pub fn at(degrees: f32) -> Rgb<u8> {
    let angle = (degrees - 45.0).to_radians();
    Rgb([(127.0 + 110.0 * angle.cos()).round() as u8, (127.0 + 110.0 * angle.sin()).round() as u8, 255])
}

/// Fills the face with the colour of the candidate's picture at its middle.
pub struct Become;

impl Swapper for Become {
    fn prepare<'a>(&'a self, target: Target<'a>) -> Result<Box<dyn Prepared + 'a>, Refusal> {
        Ok(Box::new(move |candidate: &Material| Ok(painted(&target, colour_of(candidate)))))
    }
}

/// The colour of the candidate's face.
pub fn colour_of(candidate: &Material) -> Rgb<u8> {
    *candidate.neutral.picture().get_pixel(85, 80)
}

pub fn picture(who: Rgb<u8>) -> RgbImage {
    RgbImage::from_fn(192, 160, |x, y| if (60..110).contains(&x) && (50..110).contains(&y) { who } else { BACKGROUND })
}

pub fn embedder(model: impl Model + 'static) -> Embedder {
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

/// A pool of young men, and older ones where the name begins with `older`; each is made from one of the same name.
pub fn candidates(folder: &Path, reader: Reader, people: &[(&str, Rgb<u8>)]) -> Candidates {
    let mut csv = "id,file,gender,age_group,label_source,source,licence,attribution,contributors\n".to_owned();
    for (name, who) in people {
        let age = if name.starts_with("older") { "older" } else { "young" };
        csv += &format!("{name},{name}.png,male,{age},csv,own,,,{name}\n");
        let photo = Photo::new(picture(*who), Format::Png);
        photo::write(&photo, &folder.join(format!("{name}.png")), Overwrite::Always).unwrap();
    }
    std::fs::write(folder.join("pool.csv"), csv).unwrap();
    Candidates::load(Pool::load(folder).unwrap(), reader, folder, "fake").unwrap()
}

/// A line over fakes.
pub struct Line {
    pub swapper: Arc<dyn Swapper>,
    pub mesh: Mesh,
    pub gates: Vec<Gate>,
    pub pool: Vec<(&'static str, Rgb<u8>)>,
    pub options: ReplaceOptions,
}

impl Line {
    /// Two candidates, both Bob; the first that hides is taken.
    pub fn new(swapper: impl Swapper + 'static) -> Self {
        let options = ReplaceOptions {
            seed: Seed::new(1),
            group_distance: GroupDistance::default(),
            group_set: GroupSet::Four,
            group_by: GroupBy::Similarity,
            pick: PickOptions { pick: Pick::Least, ..Default::default() },
            tries: 8,
            rerank: 1,
            natural: Natural::Off,
            unlinkable: false,
        };
        Self {
            swapper: Arc::new(swapper),
            mesh: Mesh { sees: true },
            gates: vec![gate(embedder(KnowColour))],
            pool: vec![("a", BOB), ("b", BOB)],
            options,
        }
    }

    /// The line, made ready.
    pub fn anonymizer(self) -> Anonymizer {
        let folder = tempfile::tempdir().unwrap();
        let detector =
            Detector::new(Arc::new(FindBlue), DetectorOptions { quarter_turns: false, ..Default::default() });
        let reader = Reader {
            detector: detector.clone(),
            mesher: Mesher::new(Arc::new(Mesh { sees: true })),
            embedder: embedder(KnowColour),
        };
        let candidates = candidates(folder.path(), reader, &self.pool);
        // Pictures are read when they are needed, and the folder is gone then.
        (0..self.pool.len()).for_each(|index| drop(candidates.material(index)));
        let replacer = Replacer {
            detector: detector.clone(),
            mesher: Mesher::new(Arc::new(self.mesh)),
            swapper: self.swapper,
            gates: self.gates,
            attributes: None,
            candidates,
            options: self.options,
        };
        Anonymizer::replacing(detector, replacer)
    }

    /// A photo of Alice after the line.
    pub fn alice(self, keep: &[usize]) -> perface::Result<Anonymized> {
        let keep: BTreeSet<usize> = keep.iter().copied().collect();
        self.anonymizer().anonymize(Photo::new(picture(ALICE), Format::Png), &keep)
    }
}

/// A gate that takes cosines from 0.5 on for one person.
pub fn gate(embedder: Embedder) -> Gate {
    Gate { embedder, same_person_cosine: 0.5 }
}
