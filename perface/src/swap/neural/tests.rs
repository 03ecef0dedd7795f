//! The contract of every engine: what its network must be given and where its answer must go.
//!
//! A stand-in takes the engine's place. It notes what it is given, which a wrong mean, order of channels, template or
//! latent changes, and answers with a flat picture, which must arrive in the photo in the right colour and place. Each
//! check is repeated with one constant of the card wrong, and must then fail.

use std::sync::Mutex;

use image::Rgb;

use super::card::{Paste, engines};
use super::template::Template;
use super::*;
use crate::detect::Face;
use crate::geometry::{Rect, Similarity};
use crate::mesh::{Mesh, POINTS};

type Answer = dyn Fn(&[Tensor]) -> Tensor + Send + Sync;

/// Notes its inputs and answers as it was told to.
struct Noting {
    seen: Mutex<Vec<Vec<Tensor>>>,
    answer: Box<Answer>,
}

impl Noting {
    fn new(answer: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::new(Vec::new()), answer: Box::new(answer) })
    }

    fn last(&self) -> Vec<Tensor> {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Model for Noting {
    fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
        Vec::new()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.seen.lock().unwrap().push(inputs.to_vec());
        Ok(vec![(self.answer)(inputs)])
    }
}

/// Five discs of different colours on grey, at the landmarks of a face somewhat turned.
const COLOURS: [[u8; 3]; 5] = [[250, 20, 40], [30, 240, 60], [40, 50, 250], [240, 230, 30], [20, 220, 230]];

fn landmarks() -> [Point; 5] {
    let pose = Similarity { a: 1.3, b: 0.2, tx: 60.0, ty: 30.0 };
    Template::Frontal.places(112)[0].map(|p| pose.apply(p))
}

fn photo() -> RgbImage {
    let mut photo = RgbImage::from_pixel(320, 300, Rgb([128; 3]));
    for (p, colour) in landmarks().iter().zip(COLOURS) {
        for (x, y, pixel) in photo.enumerate_pixels_mut() {
            if (x as f32 - p.x).hypot(y as f32 - p.y) < 6.0 {
                *pixel = Rgb(colour);
            }
        }
    }
    photo
}

/// A mesh whose five points are the photo's landmarks.
fn mesh() -> Mesh {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = landmarks();
    let mut points_px = vec![[nose.x, nose.y, 0.0]; POINTS];
    for (indices, p) in
        [(&[33, 133][..], left_eye), (&[362, 263], right_eye), (&[1], nose), (&[61], left_mouth), (&[291], right_mouth)]
    {
        for &index in indices {
            points_px[index] = [p.x, p.y, 0.0];
        }
    }
    Mesh { points_px, presence: 1.0 }
}

/// The answer of every stand-in engine, red, green, blue in 0 to 1.
const ANSWER: [f32; 3] = [0.8, 0.4, 0.2];

/// What an identity network answers: not of unit norm, and none of its values the same.
fn raw_identity() -> Vec<f32> {
    (0..IDENTITY_LEN).map(|i| (i as f32 * 0.7).sin() * 3.0 + 0.5).collect()
}

/// Reverses its input and stretches it.
fn converted(values: &[f32]) -> Vec<f32> {
    values.iter().rev().map(|v| v * 5.0 + 0.01).collect()
}

/// A matrix that moves every value on by one place and doubles it.
fn moving() -> Vec<f32> {
    let mut matrix = vec![0.0; IDENTITY_LEN * IDENTITY_LEN];
    for i in 0..IDENTITY_LEN {
        matrix[i * IDENTITY_LEN + (i + 1) % IDENTITY_LEN] = 2.0;
    }
    matrix
}

/// What a check found wrong, if anything.
type Fault = Option<String>;

/// Run `wrong`, a card with perhaps one constant changed, where `right` is what it should be.
fn check(right: &EngineCard, wrong: EngineCard, wiring: Wiring) -> Fault {
    let side = right.size_px as usize;
    let (mean, std) = (right.output.mean, right.output.std);
    let engine = Noting::new(move |_| {
        let values = (0..3).flat_map(|k| vec![(ANSWER[k] - mean[k]) / std[k]; side * side]).collect();
        Tensor::new(vec![1, 3, side, side], values)
    });
    let identity = Noting::new(|_| Tensor::new(vec![1, IDENTITY_LEN], raw_identity()));
    let converter = Noting::new(|inputs| Tensor::new(vec![1, IDENTITY_LEN], converted(inputs[0].data())));
    let networks = Networks {
        engine: engine.clone(),
        wiring,
        identity: identity.clone(),
        converter: Some(converter),
        emap: Some(moving()),
    };
    let neural = Neural::new(wrong, networks, Masks::default(), false).unwrap();
    let (photo, mesh) = (photo(), mesh());
    let box_px = Rect::around(landmarks()).unwrap().grown(0.5, 0.5, 0.5, 0.5);
    let face = Face { box_px, landmarks_px: landmarks(), score: 0.9 };
    let material = Material::new(photo.clone(), mesh.clone(), None);
    let swap = match neural.swap(Target { photo: &photo, mesh: &mesh, face: &face }, &material) {
        Ok(swap) => swap,
        Err(refusal) => return Some(refusal.to_string()),
    };
    let inputs = engine.last();
    let (picture, latent) = (&inputs[wiring.picture], &inputs[wiring.identity]);
    if picture.shape() != [1, 3, side, side] {
        return Some(format!("the engine was given {:?}", picture.shape()));
    }
    discs("engine", picture, right.template, right.input)
        .or_else(|| discs("identity", &identity.last()[0], right.identity.template, right.identity.scaling))
        .or_else(|| {
            let want = unit(match right.latent {
                Latent::Unit => raw_identity(),
                Latent::Converted(_) => converted(&unit(raw_identity())),
                Latent::Emap => {
                    (0..IDENTITY_LEN).map(|i| raw_identity()[(i + IDENTITY_LEN - 1) % IDENTITY_LEN]).collect()
                }
            });
            let off = latent.data().iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            (off > 1e-4).then(|| format!("the latent is off by {off}"))
        })
        .or_else(|| {
            let mut result = photo.clone();
            swap.paste(&mut result);
            let nose = landmarks()[2];
            let got = result.get_pixel(nose.x.round() as u32, nose.y.round() as u32).0;
            let want = ANSWER.map(|v| (v * 255.0).round() as u8);
            let off = got.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max();
            (off > Some(1)).then(|| format!("{got:?} was pasted, not {want:?}"))
        })
}

/// Whether the discs lie at the template's places with the right values, red first.
fn discs(who: &str, input: &Tensor, template: Template, scaling: Scaling) -> Fault {
    let side = input.shape()[3];
    // The pose was made from the frontal one of the five, which alone says which of them is right.
    let places = template.places(side as u32);
    let places = if template == Template::FivePose { places[2] } else { places[0] };
    let to_crop = Similarity::fit(&landmarks(), &places).unwrap();
    for (p, colour) in landmarks().iter().zip(COLOURS) {
        let at = to_crop.apply(*p);
        let index = at.y.round() as usize * side + at.x.round() as usize;
        for channel in 0..3 {
            let got = input.data()[channel * side * side + index];
            let want = (f32::from(colour[channel]) / 255.0 - scaling.mean[channel]) / scaling.std[channel];
            if (got - want).abs() > 0.02 {
                return Some(format!("{who}: channel {channel} of {colour:?} is {got}, not {want}"));
            }
        }
    }
    None
}

const PICTURE_FIRST: Wiring = Wiring { picture: 0, identity: 1 };
const IDENTITY_FIRST: Wiring = Wiring { picture: 1, identity: 0 };

#[test]
fn every_engine_is_given_what_it_wants_and_its_answer_arrives() {
    for card in engines() {
        for wiring in [PICTURE_FIRST, IDENTITY_FIRST] {
            assert_eq!(check(&card, card.clone(), wiring), None, "{}", card.name);
        }
    }
}

#[test]
fn one_wrong_constant_is_noticed_in_every_engine() {
    let shifted = |scaling: Scaling| Scaling { mean: scaling.mean.map(|m| m + 0.1), ..scaling };
    let other =
        |template: Template| if template == Template::ArcFace128 { Template::Ffhq } else { Template::ArcFace128 };
    for card in engines() {
        let identity = card.identity;
        let latent = if card.latent == Latent::Emap { Latent::Unit } else { Latent::Emap };
        for (what, wrong) in [
            ("the mean", EngineCard { input: shifted(card.input), ..card.clone() }),
            ("the spread", EngineCard { input: Scaling { std: [0.9; 3], ..card.input }, ..card.clone() }),
            ("the template", EngineCard { template: other(card.template), ..card.clone() }),
            ("the size", EngineCard { size_px: card.size_px / 2, ..card.clone() }),
            ("the answer's range", EngineCard { output: shifted(card.output), ..card.clone() }),
            ("the latent", EngineCard { latent, ..card.clone() }),
            (
                "the identity's mean",
                EngineCard { identity: Identity { scaling: shifted(identity.scaling), ..identity }, ..card.clone() },
            ),
            (
                "the identity's template",
                EngineCard { identity: Identity { template: other(identity.template), ..identity }, ..card.clone() },
            ),
        ] {
            assert!(check(&card, wrong, PICTURE_FIRST).is_some(), "{}: {what} was wrong and not noticed", card.name);
        }
    }
}

#[test]
fn blue_before_red_is_noticed() {
    let card = card::engine("inswapper-128").unwrap();
    let (crop, to_crop) = {
        let photo = photo();
        let to_crop = card.template.fit(&landmarks(), card.size_px).unwrap();
        (resample::crop(&photo, &to_crop, card.size_px, card.size_px, Border::Black), to_crop)
    };
    assert!(to_crop.scale() > 0.0);
    let right = tensor(&crop, card.input);
    assert_eq!(discs("", &right, card.template, card.input), None);
    let plane = right.data().len() / 3;
    let turned: Vec<f32> = (0..3).rev().flat_map(|k| right.data()[k * plane..(k + 1) * plane].to_vec()).collect();
    assert!(discs("", &Tensor::new(right.shape().to_vec(), turned), card.template, card.input).is_some());
}

fn simswap(engine: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static, masks: Masks) -> Neural {
    let networks = Networks {
        engine: Noting::new(engine),
        wiring: PICTURE_FIRST,
        identity: Noting::new(|_| Tensor::new(vec![1, IDENTITY_LEN], raw_identity())),
        converter: None,
        emap: None,
    };
    Neural::new(card::engine("simswap-224").unwrap(), networks, masks, false).unwrap()
}

fn try_swap(neural: &Neural, face_px: f32) -> Result<Swap, Refusal> {
    let (photo, mesh) = (photo(), mesh());
    let face = Face { box_px: Rect::from_xywh(100.0, 80.0, face_px, face_px), landmarks_px: landmarks(), score: 0.9 };
    let material = Material::new(photo.clone(), mesh.clone(), None);
    neural.swap(Target { photo: &photo, mesh: &mesh, face: &face }, &material)
}

fn grey(_: &[Tensor]) -> Tensor {
    Tensor::new(vec![1, 3, 224, 224], vec![0.5; 3 * 224 * 224])
}

#[test]
fn an_engine_that_fails_or_gives_nonsense_swaps_nothing() {
    let short = |_: &[Tensor]| Tensor::new(vec![1, 3, 2, 2], vec![0.5; 12]);
    let broken = |_: &[Tensor]| Tensor::new(vec![1, 3, 224, 224], vec![f32::NAN; 3 * 224 * 224]);
    assert_eq!(try_swap(&simswap(short, Masks::default()), 100.0).unwrap_err(), Refusal::EngineFailed);
    assert_eq!(try_swap(&simswap(broken, Masks::default()), 100.0).unwrap_err(), Refusal::EngineFailed);
    assert!(Refusal::EngineFailed.is_about_target(), "no other candidate would do better");
    assert!(try_swap(&simswap(grey, Masks::default()), 100.0).is_ok());
    assert!(matches!(try_swap(&simswap(grey, Masks::default()), 12.0), Err(Refusal::TooSmall { .. })));
}

#[test]
fn parts_that_are_needed_are_asked_for() {
    let missing = |name: &str| {
        let networks = Networks {
            engine: Noting::new(grey),
            wiring: PICTURE_FIRST,
            identity: Noting::new(grey),
            converter: None,
            emap: None,
        };
        Neural::new(card::engine(name).unwrap(), networks, Masks::default(), false).err().map(|e| e.to_string())
    };
    assert!(missing("simswap-256").unwrap().contains("crossface-simswap"));
    assert!(missing("inswapper-128").unwrap().contains("512 × 512"));
    assert!(missing("hyperswap-256").is_none());
}

#[test]
fn what_stands_before_the_face_stays() {
    // The right half of the crop is in front.
    let occluder = Noting::new(|inputs| {
        assert_eq!(inputs[0].shape(), [1, 256, 256, 3]);
        Tensor::new(vec![1, 256, 256, 1], (0..256 * 256).map(|i| f32::from(u8::from(i % 256 < 128))).collect())
    });
    // Skin in the upper half, hair below.
    let parser = Noting::new(|inputs| {
        assert_eq!(inputs[0].shape(), [1, 3, 512, 512]);
        let plane = 512 * 512;
        let mut scores = vec![0.0; CLASSES * plane];
        scores[plane..plane + plane / 2].fill(1.0);
        scores[17 * plane + plane / 2..18 * plane].fill(1.0);
        Tensor::new(vec![1, CLASSES, 512, 512], scores)
    });
    let masks = Masks { hull: false, region: Some(parser), occlusion: Some(occluder) };
    let swap = try_swap(&simswap(grey, masks), 100.0).unwrap();
    let to_crop = Template::FivePose.fit(&landmarks(), 224).unwrap();
    let alpha = |x: f32, y: f32| {
        let p = to_crop.inverse().apply(Point::new(x, y));
        let at = (p.x.round() as u32 - swap.patch_origin.0, p.y.round() as u32 - swap.patch_origin.1);
        swap.mask.get_pixel(at.0, at.1).0[0]
    };
    assert!(alpha(70.0, 80.0) > 200, "skin with nothing before it is the engine's");
    assert_eq!((alpha(150.0, 80.0), alpha(70.0, 150.0)), (0, 0), "what is in front, and hair, stay");
}

#[test]
fn a_hull_keeps_the_change_within_the_mesh() {
    let wide = try_swap(&simswap(grey, Masks::default()), 100.0).unwrap();
    let hulled = try_swap(&simswap(grey, Masks { hull: true, ..Default::default() }), 100.0).unwrap();
    let changed = |swap: &Swap| swap.mask.pixels().filter(|p| p.0[0] > 0).count();
    assert!(changed(&hulled) > 500 && changed(&hulled) < changed(&wide) / 2);
}

#[test]
fn recipes_belong_to_their_makers() {
    for (name, paste) in [
        ("simswap-224", Paste::SimSwap),
        ("simswap-512", Paste::SimSwap),
        ("simswap-256", Paste::FaceFusion),
        ("inswapper-128", Paste::InsightFace),
    ] {
        assert_eq!(card::engine(name).unwrap().paste, paste);
    }
}
