//! One picture from many: textures laid over the mean face, mixed there, and bent into the new shape.

use image::{Rgb, RgbImage};

use super::frame::{Frame, places, with_border};
use super::mixture::Mixture;
use crate::lab::{Lab, LabImage, to_srgb};
use crate::mesh::Mesh;
use crate::plane::Plane;
use crate::swap::tone::skin_tone;
use crate::swap::warp::field::{mouth_opening, smoothstep};
use crate::swap::warp::occlusion::skin_likelihood;
use crate::swap::warp::pose::{Point3, Pose};
use crate::swap::warp::raster::{Raster, Texel, paint};
use crate::swap::warp::seen;
use crate::swap::warp::topology::Part;

/// Weight someone keeps where hair hangs over the forehead, or closed lips hide the teeth.
const HIDDEN_WEIGHT: f32 = 0.02;
/// Standard deviation that separates fine structure, in face widths.
const DETAIL_SIGMA: f32 = 0.016;
/// L\* is about the cube root of reflected light, less this.
const BLACK: f32 = 16.0;
/// Farthest the push may move L\*, a\* and b\* of a pixel.
const MAX_PUSH: Lab = [16.0, 7.0, 7.0];

/// Someone's texture laid over the mean face.
pub struct Sheet {
    image: LabImage,
    /// How much of it may be used at each pixel.
    allowed: Plane,
    tone: Lab,
}

impl Sheet {
    /// `None` if the mesh is not complete or shows no skin.
    pub fn new(picture: &RgbImage, mesh: &Mesh, mean: &[Point3], frame: &Frame) -> Option<Self> {
        let frame = frame.sheet();
        let pose = Pose::of_mesh(&mesh.points_px)?;
        let source = with_border(&mesh.points_px, &pose);
        let raster = rastered(&source, &on_canvas(mean, &frame)?, &frame);
        let image = seen(&raster, picture, |texel| texel.candidate_px);
        let frontal: Vec<Point3> = mesh.points_px.iter().map(|&p| pose.undo(p)).collect();
        let forehead = forehead_weight(&image, &raster, frame.face_px);
        let mouth = mouth_weight(&raster, mouth_opening(&frontal), frame.face_px);
        Some(Self { image, allowed: forehead.zip(&mouth, |f, m| f * m), tone: skin_tone(picture, mesh)?.lab })
    }

    /// The skin's colour.
    pub fn tone(&self) -> Lab {
        self.tone
    }
}

/// The face of shape `shape` with the mixture of textures; `mean` is the shape the sheets were laid over.
pub fn mixed(
    sheets: &[Sheet],
    mixture: &Mixture,
    mean: &[Point3],
    shape: &[Point3],
    frame: &Frame,
    detail: f32,
) -> RgbImage {
    let sheet_frame = frame.sheet();
    let size = frame.size_px as u32;
    let (Some(source), Some(destination)) = (on_canvas(mean, &sheet_frame), on_canvas(shape, frame)) else {
        return RgbImage::new(size, size);
    };
    let sheet = mixed_sheet(sheets, mixture, &rastered(&source, &source, &sheet_frame), detail);
    let raster = rastered(&source, &destination, frame);
    let mut picture = RgbImage::new(size, size);
    for (out, at) in picture.pixels_mut().zip(&raster.pixels) {
        if let Some((_, texel)) = at {
            *out = Rgb(to_srgb(sheet.sample(texel.candidate_px)).map(|v| v.round() as u8));
        }
    }
    picture
}

/// The mixture on the mean face; `raster` says what each pixel of the sheets is.
fn mixed_sheet(sheets: &[Sheet], mixture: &Mixture, raster: &Raster, detail: f32) -> LabImage {
    let pixels = raster.pixels.len();
    // Skin is evened out; hair, clothes and background keep their colour.
    let near = |from, to| -> Vec<f32> {
        raster.pixels.iter().map(|at| at.map_or(0.0, |(_, texel)| smoothstep(from, to, texel.radius))).collect()
    };
    let (evened, inside) = (near(1.5, 1.2), near(1.15, 0.95));
    let radius: Vec<f32> = raster.pixels.iter().map(|at| at.map_or(f32::MAX, |(_, texel)| texel.radius)).collect();
    let tone = mixture.tone;
    let (mut sum, mut total, mut pushed) = (vec![[0.0f32; 3]; pixels], vec![0.0f32; pixels], vec![[0.0f32; 3]; pixels]);
    for ((sheet, &weight), &push) in sheets.iter().zip(&mixture.texture).zip(&mixture.push) {
        let (own, brighter) = (sheet.tone, (tone[0] + BLACK) / (sheet.tone[0] + BLACK).max(1.0));
        for (p, pixel) in sheet.image.pixels.iter().enumerate() {
            let allowed = sheet.allowed.values()[p];
            let w = weight * allowed;
            total[p] += w;
            // Outside the face only what is coloured like skin is skin.
            let outside = smoothstep(0.95, 1.1, radius[p]);
            let even = evened[p] * (1.0 - outside * (1.0 - smoothstep(0.3 * own[2], 0.7 * own[2], pixel[2])));
            for k in 0..3 {
                // Lighter or darker skin reflects a share more or less of the same light.
                let wanted = if k == 0 { (pixel[0] + BLACK) * brighter - BLACK } else { pixel[k] + tone[k] - own[k] };
                let value = pixel[k] + even * (wanted - pixel[k]);
                sum[p][k] += w * value;
                pushed[p][k] += push * allowed * (value - tone[k]);
            }
        }
    }
    let mut image = LabImage { width: raster.width, height: raster.height, pixels: Vec::with_capacity(pixels) };
    for p in 0..pixels {
        let push = |k: usize| inside[p] * MAX_PUSH[k] * (pushed[p][k] / MAX_PUSH[k]).tanh();
        image.pixels.push(std::array::from_fn(|k| sum[p][k] / total[p].max(1e-6) + push(k)));
    }
    if let Some(lead) = sheets.get(mixture.lead) {
        let fine = fine_structure(&lead.image, 0.5 * raster.width as f32);
        for (p, pixel) in image.pixels.iter_mut().enumerate() {
            pixel[0] += detail * inside[p] * lead.allowed.values()[p] * fine.values()[p];
        }
    }
    image
}

/// The points of a frontal shape, with rings, in picture pixels.
fn on_canvas(shape: &[Point3], frame: &Frame) -> Option<Vec<Point3>> {
    let pose = Pose::of_mesh(shape)?;
    Some(with_border(shape, &pose).into_iter().map(|p| frame.to_canvas(p)).collect())
}

fn rastered(source: &[Point3], destination: &[Point3], frame: &Frame) -> Raster {
    let texels: Vec<Texel> = source
        .iter()
        .zip(places())
        .map(|(p, (frontal, radius))| Texel { candidate_px: [p[0], p[1]], target_px: [0.0; 2], frontal, radius })
        .collect();
    paint((frame.size_px, frame.size_px), &frame.triangles, destination, &texels)
}

/// 1, but little where hair hangs over the forehead, so that other people's skin is seen there.
fn forehead_weight(image: &LabImage, raster: &Raster, face_px: f32) -> Plane {
    let one = || Plane::filled(raster.width, raster.height, 1.0);
    let skin = skin_likelihood(image, raster, face_px).unwrap_or_else(one).blurred(0.012 * face_px);
    let values = skin.values().iter().zip(&raster.pixels).map(|(&skin, at)| match at {
        Some((_, texel)) => {
            let [x, y] = texel.frontal;
            let forehead = smoothstep(-0.36, -0.44, y) * smoothstep(0.5, 0.4, x.abs());
            let zone = forehead * smoothstep(1.3, 1.18, texel.radius);
            1.0 - zone * (1.0 - skin.max(HIDDEN_WEIGHT))
        }
        None => 1.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// 1, but little between the lips of someone whose lips touch: teeth are seen where others show theirs.
fn mouth_weight(raster: &Raster, opening: f32, face_px: f32) -> Plane {
    let closed = 1.0 - smoothstep(0.02, 0.08, opening);
    let values = raster.pixels.iter().map(|at| match at {
        Some((Part::Mouth, _)) => 1.0 - (1.0 - HIDDEN_WEIGHT) * closed,
        _ => 1.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect()).blurred(0.006 * face_px)
}

fn fine_structure(image: &LabImage, face_px: f32) -> Plane {
    let lightness = Plane::from_values(image.width, image.height, image.pixels.iter().map(|p| p[0]).collect());
    lightness.zip(&lightness.blurred(DETAIL_SIGMA * face_px), |v, b| v - b)
}
