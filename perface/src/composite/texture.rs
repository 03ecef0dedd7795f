//! One picture from many: the donors' textures bent into one shape and averaged.

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

/// Weight a donor keeps where hair hangs over the forehead, or closed lips hide the teeth.
const HAIR_WEIGHT: f32 = 0.02;
/// Standard deviation that separates fine structure, in face widths.
const DETAIL_SIGMA: f32 = 0.016;

/// A donor's picture, ready to be bent.
pub struct TextureSource<'a> {
    picture: &'a RgbImage,
    mesh: &'a Mesh,
    pose: Pose,
    wide: Vec<Point3>,
    tone: Lab,
    /// Between the lips, in mouth widths.
    mouth_opening: f32,
}

impl<'a> TextureSource<'a> {
    /// `None` if the mesh is not complete or shows no skin.
    pub fn new(picture: &'a RgbImage, mesh: &'a Mesh) -> Option<Self> {
        let pose = Pose::of_mesh(&mesh.points_px)?;
        let wide = with_border(&mesh.points_px, &pose);
        let tone = skin_tone(picture, mesh)?.lab;
        let frontal: Vec<Point3> = mesh.points_px.iter().map(|&p| pose.undo(p)).collect();
        Some(Self { picture, mesh, pose, wide, tone, mouth_opening: mouth_opening(&frontal) })
    }

    /// The skin's colour.
    pub fn tone(&self) -> Lab {
        self.tone
    }

    /// The 468 points in the frontal frame.
    pub fn frontal_shape(&self) -> Vec<Point3> {
        self.mesh.points_px.iter().map(|&p| self.pose.undo(p)).collect()
    }
}

/// The face of shape `shape` (frontal frame) with the mixture of the sources' textures.
pub fn mixed(sources: &[TextureSource], mixture: &Mixture, shape: &[Point3], frame: &Frame, detail: f32) -> RgbImage {
    let destination = destination(shape, frame);
    let pixels = frame.size_px * frame.size_px;
    let (mut sum, mut total, mut pushed) = (vec![[0.0f32; 3]; pixels], vec![0.0f32; pixels], vec![[0.0f32; 3]; pixels]);
    let mut fine = None;
    let tone: Lab = std::array::from_fn(|k| sources.iter().zip(&mixture.texture).map(|(s, w)| w * s.tone[k]).sum());
    for (i, source) in sources.iter().enumerate() {
        let (weight, push, leads) = (mixture.texture[i], mixture.push[i], mixture.lead == i);
        if weight < 1e-3 && push.abs() < 1e-3 && !leads {
            continue;
        }
        let raster = rastered(source, &destination, frame);
        let mut image = seen(&raster, source.picture, |texel| texel.candidate_px);
        let allowed = forehead_weight(&image, &raster, frame.face_px);
        let allowed = mouth_weight(&raster, source.mouth_opening, frame.face_px).zip(&allowed, |m, f| m * f);
        let shift: Lab = std::array::from_fn(|k| tone[k] - source.tone[k]);
        for (pixel, at) in image.pixels.iter_mut().zip(&raster.pixels) {
            // Skin is evened out; hair, clothes and background keep their colour.
            let share = at.map_or(0.0, |(_, texel)| smoothstep(1.5, 1.2, texel.radius));
            *pixel = std::array::from_fn(|k| pixel[k] + share * shift[k]);
        }
        for (p, pixel) in image.pixels.iter().enumerate() {
            let w = weight * allowed.values()[p];
            total[p] += w;
            for k in 0..3 {
                sum[p][k] += w * pixel[k];
                pushed[p][k] += push * allowed.values()[p] * pixel[k];
            }
        }
        if leads {
            fine = Some((fine_structure(&image, frame.face_px), allowed));
        }
    }
    let average: Vec<Lab> = sum.iter().zip(&total).map(|(s, &t)| s.map(|v| v / t.max(1e-6))).collect();
    let inside = inside(&destination, frame);
    let mut picture = RgbImage::new(frame.size_px as u32, frame.size_px as u32);
    for (p, out) in picture.pixels_mut().enumerate() {
        let mut lab = average[p];
        for k in 0..3 {
            lab[k] += inside.values()[p] * pushed[p][k].clamp(-MAX_PUSH[k], MAX_PUSH[k]);
        }
        if let Some((fine, allowed)) = &fine {
            lab[0] += detail * inside.values()[p] * allowed.values()[p] * fine.values()[p];
        }
        *out = Rgb(to_srgb(lab).map(|v| v.round() as u8));
    }
    picture
}

/// Farthest the push may move L\*, a\* and b\* of a pixel.
const MAX_PUSH: Lab = [14.0, 6.0, 6.0];

/// The destination's points in picture pixels.
fn destination(shape: &[Point3], frame: &Frame) -> Vec<Point3> {
    let Some(pose) = Pose::of_mesh(shape) else { return Vec::new() };
    with_border(shape, &pose).into_iter().map(|p| frame.to_canvas(p)).collect()
}

fn rastered(source: &TextureSource, destination: &[Point3], frame: &Frame) -> Raster {
    let texels: Vec<Texel> = source
        .wide
        .iter()
        .zip(places())
        .map(|(p, (frontal, radius))| Texel { candidate_px: [p[0], p[1]], target_px: [0.0; 2], frontal, radius })
        .collect();
    paint((frame.size_px, frame.size_px), &frame.triangles, destination, &texels)
}

/// 1, but little where hair hangs over the forehead, so that other donors' skin is seen there.
fn forehead_weight(image: &LabImage, raster: &Raster, face_px: f32) -> Plane {
    let one = || Plane::filled(raster.width, raster.height, 1.0);
    let skin = skin_likelihood(image, raster, face_px).unwrap_or_else(one).blurred(0.012 * face_px);
    let values = skin.values().iter().zip(&raster.pixels).map(|(&skin, at)| match at {
        Some((_, texel)) => {
            let [x, y] = texel.frontal;
            let forehead = smoothstep(-0.36, -0.44, y) * smoothstep(0.5, 0.4, x.abs());
            let zone = forehead * smoothstep(1.3, 1.18, texel.radius);
            1.0 - zone * (1.0 - skin.max(HAIR_WEIGHT))
        }
        None => 1.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect())
}

/// 1, but little between the lips of a donor whose lips touch: teeth are seen where others show theirs.
fn mouth_weight(raster: &Raster, opening: f32, face_px: f32) -> Plane {
    let closed = 1.0 - smoothstep(0.02, 0.08, opening);
    let values = raster.pixels.iter().map(|at| match at {
        Some((Part::Mouth, _)) => 1.0 - (1.0 - HAIR_WEIGHT) * closed,
        _ => 1.0,
    });
    Plane::from_values(raster.width, raster.height, values.collect()).blurred(0.006 * face_px)
}

/// 1 on the face, 0 outside it.
fn inside(destination: &[Point3], frame: &Frame) -> Plane {
    let texels: Vec<Texel> = places().map(|(frontal, radius)| Texel { frontal, radius, ..Texel::default() }).collect();
    let raster = paint((frame.size_px, frame.size_px), &frame.triangles, destination, &texels);
    let values = raster.pixels.iter().map(|at| at.map_or(0.0, |(_, t)| smoothstep(1.15, 0.95, t.radius)));
    Plane::from_values(raster.width, raster.height, values.collect())
}

fn fine_structure(image: &LabImage, face_px: f32) -> Plane {
    let lightness = Plane::from_values(image.width, image.height, image.pixels.iter().map(|p| p[0]).collect());
    lightness.zip(&lightness.blurred(DETAIL_SIGMA * face_px), |v, b| v - b)
}
