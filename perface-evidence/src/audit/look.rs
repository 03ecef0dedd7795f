//! Look at one original and its output: who was there, what stands there now, what was missed, what was kept.

use std::path::Path;

use image::RgbImage;
use serde::Serialize;

use super::files::FilePair;
use perface::cover;
use perface::detect::{Detector, Face, MIN_TURNED_SCORE};
use perface::embed::Embedder;
use perface::embedding::Embedding;
use perface::error::Result;
use perface::file::read_limited;
use perface::geometry::{Point, Rect};
use perface::lab;
use perface::mesh::{Mesh, Mesher};
use perface::metadata::{self, Kind};
use perface::photo::{self, Format, Limits};
use perface::turn::Turn;

/// Two boxes that share this much are of one face.
const SAME_PLACE_IOU: f32 = 0.3;

/// Mean difference, in grey levels, up to which the middle of a face counts as left as it was. Writing a JPEG anew
/// changes it by 1 to 2.
const UNTOUCHED_LEVELS: f64 = 4.0;

/// What is needed to look.
pub struct Eyes {
    /// Finds faces, at the score from which the run itself would.
    pub detector: Detector,
    /// Finds more of them, with a lower score; it need not turn pictures.
    pub second: Detector,
    /// Lays meshes, for what is kept of a face.
    pub mesher: Mesher,
    /// The recognisers.
    pub embedders: Vec<Embedder>,
    /// How large files and pictures may be.
    pub limits: Limits,
}

/// What became of an original's face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A face stands in its place.
    Replaced,
    /// No face is found in its place.
    Gone,
    /// Left as it was, on purpose.
    Kept,
    /// The pixels are as they were, though nobody said so.
    Untouched,
}

/// One face of an original.
#[derive(Clone, Debug)]
pub struct FaceLook {
    /// Where it is, in pixels of the original.
    pub box_px: Rect,
    /// What became of it.
    pub state: State,
    /// Whether it is the largest of its photo.
    pub is_main: bool,
    /// One descriptor for each recogniser.
    pub original: Vec<Embedding>,
    /// The same of what stands there now; empty if nothing does.
    pub result: Vec<Embedding>,
    /// What is kept, for replaced faces.
    pub kept: Option<Kept>,
}

/// What a replacement keeps of a face, measured on meshes of both.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Kept {
    /// Mean distance of the five landmarks, in distances of the eyes.
    pub landmarks: f64,
    /// Angle between where both faces look, in degrees.
    pub pose_degrees: f64,
    /// Difference of how far the mouth is open, in widths of the mouth.
    pub mouth: f64,
    /// Difference of how far the eyes are open, in widths of an eye.
    pub eyes: f64,
    /// Difference of the mean colour of the face, ΔE*ab.
    pub colour: f64,
    /// How sure the detector was, before and after.
    pub score: [f64; 2],
}

/// A face in an output that is as in the original and that nobody named to be kept.
#[derive(Clone, Debug, Serialize)]
pub struct Missed {
    /// The output.
    pub file: String,
    /// Where, in pixels.
    pub box_px: Rect,
    /// How sure the detector is.
    pub score: f32,
    /// Whether the detector is as sure as a run has to be to protect a face; the others are for a person to judge. Of
    /// what is found only with the picture turned, beside upright faces, a run asks [`MIN_TURNED_SCORE`].
    pub sure: bool,
}

/// A face of the second look.
struct Found {
    face: Face,
    /// Whether the picture had to be turned.
    turned: bool,
}

/// A pair, looked at.
#[derive(Clone, Debug, Default)]
pub struct PairLook {
    /// Faces of the original.
    pub faces: Vec<FaceLook>,
    /// Faces left as they were.
    pub missed: Vec<Missed>,
    /// What the file says beside the pixels.
    pub metadata: Vec<Kind>,
    /// Share of the pixels outside all heads that changed; only for an output without loss of the same size.
    pub changed_outside: Option<f64>,
}

impl Eyes {
    /// Look at `pair`.
    ///
    /// # Errors
    /// If a file cannot be read or a network fails.
    pub fn look(&self, pair: &FilePair) -> Result<PairLook> {
        let original = photo::read(&pair.original, &self.limits)?.pixels;
        let bytes = read_limited(&pair.output, self.limits.max_bytes)?;
        let output = photo::decode(&bytes, Path::new(&pair.output), &self.limits)?;
        let lossless = output.format == Format::Png || (output.format == Format::WebP && is_lossless_webp(&bytes));
        let output = output.pixels;
        let same_size = original.dimensions() == output.dimensions();
        let before = self.detector.detect(&original)?;
        let after = self.second_look(&output)?;
        let min_score = self.detector.min_score();
        let to_original = |rect: Rect| {
            let x = original.width() as f32 / output.width() as f32;
            let y = original.height() as f32 / output.height() as f32;
            Rect::from_ltrb(rect.left * x, rect.top * y, rect.right * x, rect.bottom * y)
        };
        let in_place_of = |face: &Face| {
            let shared = |a: &&Face| to_original(a.box_px).iou(&face.box_px);
            let near = after.iter().map(|found| &found.face);
            let near = near.filter(|a| a.score >= min_score && shared(a) > SAME_PLACE_IOU);
            near.max_by(|a, b| shared(a).total_cmp(&shared(b)))
        };
        let untouched = |rect: Rect| same_size && mean_difference(&original, &output, rect) <= UNTOUCHED_LEVELS;
        let is_kept = |rect: Rect| pair.kept.iter().any(|kept| kept.iou(&rect) > SAME_PLACE_IOU);
        let largest = before.iter().map(|f| f.box_px.area()).fold(0.0, f32::max);
        let mut look = PairLook { metadata: metadata::scan(&bytes).into_iter().collect(), ..Default::default() };
        for face in &before {
            let Some(descriptors) = self.embed(&original, face)? else { continue };
            let now = in_place_of(face);
            let state = match now {
                _ if is_kept(face.box_px) => State::Kept,
                _ if untouched(face.box_px) => State::Untouched,
                Some(_) => State::Replaced,
                None => State::Gone,
            };
            let (mut result, mut kept) = (Vec::new(), None);
            if let Some(now) = now.filter(|_| state != State::Kept) {
                result = self.embed(&output, now)?.unwrap_or_default();
                if state == State::Replaced && same_size {
                    kept = self.kept(&original, face, &output, now)?;
                }
            }
            let is_main = face.box_px.area() >= largest;
            look.faces.push(FaceLook { box_px: face.box_px, state, is_main, original: descriptors, result, kept });
        }
        // The run judged the original, where the upright face may stand that is covered now.
        let upright =
            before.iter().any(is_upright) || after.iter().any(|found| !found.turned && found.face.score >= min_score);
        for Found { face, turned } in &after {
            if !untouched(face.box_px) || is_kept(face.box_px) {
                continue;
            }
            let sure = is_sure(face.score, *turned, upright, min_score);
            look.missed.push(Missed { file: pair.name.clone(), box_px: face.box_px, score: face.score, sure });
        }
        if lossless && same_size {
            let heads: Vec<Rect> =
                before.iter().chain(after.iter().map(|found| &found.face)).map(cover::head_box).collect();
            look.changed_outside = Some(changed_outside(&original, &output, &heads));
        }
        Ok(look)
    }

    /// All faces of `picture` at the lower score, the picture turned each way.
    fn second_look(&self, picture: &RgbImage) -> Result<Vec<Found>> {
        let upright = self.second.detect(picture)?;
        let mut faces: Vec<Found> = upright.into_iter().map(|face| Found { face, turned: false }).collect();
        for turn in Turn::OTHERS {
            let turned = turn.apply(picture.clone());
            let (width, height) = turned.dimensions();
            for found in self.second.detect(&turned)? {
                let box_px = turn.back_rect(found.box_px, width, height);
                let face =
                    Face { box_px, landmarks_px: found.landmarks_px.map(|p| turn.back(p, width, height)), ..found };
                let found = Found { face, turned: true };
                match faces.iter_mut().find(|known| known.face.box_px.iou(&box_px) > SAME_PLACE_IOU) {
                    Some(known) if known.face.score >= found.face.score => {}
                    Some(known) => *known = found,
                    None => faces.push(found),
                }
            }
        }
        Ok(faces)
    }

    /// One descriptor for each recogniser; `None` if the face cannot be aligned.
    fn embed(&self, picture: &RgbImage, face: &Face) -> Result<Option<Vec<Embedding>>> {
        self.embedders.iter().map(|embedder| embedder.embed_face(picture, face)).collect()
    }

    fn kept(&self, original: &RgbImage, face: &Face, output: &RgbImage, now: &Face) -> Result<Option<Kept>> {
        let meshes = (self.mesher.mesh(original, face)?, self.mesher.mesh(output, now)?);
        let (Some(before), Some(after)) = meshes else { return Ok(None) };
        let eyes_apart = f64::from(face.landmarks_px[0].distance(face.landmarks_px[1])).max(1e-6);
        let moved = face.landmarks_px.iter().zip(&now.landmarks_px).map(|(a, b)| f64::from(a.distance(*b)));
        let colours = [mean_colour(original, &before), mean_colour(output, &before)];
        let [a, b] = colours;
        let colour = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        Ok(Some(Kept {
            landmarks: moved.sum::<f64>() / 5.0 / eyes_apart,
            pose_degrees: angle_degrees(normal(&before), normal(&after)),
            mouth: (mouth_opening(&before) - mouth_opening(&after)).abs(),
            eyes: (eye_opening(&before) - eye_opening(&after)).abs(),
            colour,
            score: [f64::from(face.score), f64::from(now.score)],
        }))
    }
}

/// Whether the eyes of `face` are above its mouth rather than beside or below it.
fn is_upright(face: &Face) -> bool {
    let down = face.down();
    down.y > down.x.abs()
}

/// Whether a run would have protected what is found with `score`, in a picture with or without upright faces.
fn is_sure(score: f32, turned: bool, upright: bool, min_score: f32) -> bool {
    score >= if turned && upright { min_score.max(MIN_TURNED_SCORE) } else { min_score }
}

fn is_lossless_webp(bytes: &[u8]) -> bool {
    bytes.get(..256.min(bytes.len())).unwrap_or_default().windows(4).any(|w| w == b"VP8L")
}

/// Mean difference of both pictures over the middle of `rect`, in grey levels; infinite if that lies outside.
fn mean_difference(a: &RgbImage, b: &RgbImage, rect: Rect) -> f64 {
    let middle = rect.grown(-0.2, -0.2, -0.2, -0.2).clamped(a.width(), a.height());
    let (mut total, mut count) = (0.0, 0.0);
    for y in middle.top.ceil() as u32..middle.bottom.floor() as u32 {
        for x in middle.left.ceil() as u32..middle.right.floor() as u32 {
            let (p, q) = (a.get_pixel(x, y).0, b.get_pixel(x, y).0);
            total += p.iter().zip(&q).map(|(p, q)| f64::from(p.abs_diff(*q))).sum::<f64>() / 3.0;
            count += 1.0;
        }
    }
    if count > 0.0 { total / count } else { f64::INFINITY }
}

fn changed_outside(a: &RgbImage, b: &RgbImage, heads: &[Rect]) -> f64 {
    let (mut changed, mut count) = (0.0, 0.0);
    for ((x, y, p), q) in a.enumerate_pixels().zip(b.pixels()) {
        let (x, y) = (x as f32, y as f32);
        if heads.iter().any(|h| x >= h.left && x <= h.right && y >= h.top && y <= h.bottom) {
            continue;
        }
        count += 1.0;
        if p != q {
            changed += 1.0;
        }
    }
    if count > 0.0 { changed / count } else { 0.0 }
}

/// Chin of the mesh.
const CHIN: usize = 152;
/// Inner lips, above and below, and corners of the mouth.
const MOUTH: [usize; 4] = [13, 14, 61, 291];
/// Upper and lower lid, outer and inner corner, of each eye.
const EYES: [[usize; 4]; 2] = [[159, 145, 33, 133], [386, 374, 263, 362]];

fn opening(mesh: &Mesh, [upper, lower, left, right]: [usize; 4]) -> f64 {
    let width = f64::from(mesh.point(left).distance(mesh.point(right))).max(1e-6);
    f64::from(mesh.point(upper).distance(mesh.point(lower))) / width
}

fn mouth_opening(mesh: &Mesh) -> f64 {
    opening(mesh, MOUTH)
}

fn eye_opening(mesh: &Mesh) -> f64 {
    EYES.iter().map(|&eye| opening(mesh, eye)).sum::<f64>() / EYES.len() as f64
}

/// Where a face looks: at right angles to outer eye corners and chin.
fn normal(mesh: &Mesh) -> [f64; 3] {
    let at = |index: usize| mesh.points_px.get(index).map_or([0.0; 3], |p| p.map(f64::from));
    let (left, right, chin) = (at(33), at(263), at(CHIN));
    let minus = |a: [f64; 3], b: [f64; 3]| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    let (u, v) = (minus(right, left), minus(chin, left));
    [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
}

fn angle_degrees(a: [f64; 3], b: [f64; 3]) -> f64 {
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths).clamp(-1.0, 1.0).acos().to_degrees() } else { 0.0 }
}

/// Mean L*a*b* at the points of the mesh.
fn mean_colour(picture: &RgbImage, mesh: &Mesh) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for &[x, y, _] in &mesh.points_px {
        let Point { x, y } = Point::new(x, y);
        let colour = lab::from_srgb(lab::sample(picture, x, y));
        sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
    }
    sum.map(|value| value / mesh.points_px.len().max(1) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn a_face_written_anew_as_jpeg_counts_as_untouched_and_a_changed_one_does_not() {
        let a = RgbImage::from_fn(60, 60, |x, y| Rgb([x as u8 * 3, y as u8 * 3, 90]));
        let rect = Rect::from_xywh(10.0, 10.0, 40.0, 40.0);
        let jpeg = photo::encode_jpeg(&a, 90).unwrap();
        let again = photo::decode(&jpeg, Path::new("a.jpg"), &Limits::default()).unwrap().pixels;
        assert!(mean_difference(&a, &again, rect) < UNTOUCHED_LEVELS);
        let other = RgbImage::from_fn(60, 60, |x, y| Rgb([x as u8 * 3, y as u8 * 3, 110]));
        assert!(mean_difference(&a, &other, rect) > UNTOUCHED_LEVELS);
        assert_eq!(mean_difference(&a, &other, Rect::from_xywh(90.0, 0.0, 9.0, 9.0)), f64::INFINITY);
    }

    #[test]
    fn a_turned_find_beside_upright_faces_has_to_be_surer() {
        assert!(is_sure(0.72, false, true, 0.7));
        assert!(is_sure(0.72, true, false, 0.7));
        assert!(!is_sure(0.72, true, true, 0.7));
        assert!(is_sure(0.81, true, true, 0.7));
        assert!(!is_sure(0.69, false, false, 0.7));
    }

    #[test]
    fn a_face_on_its_side_or_head_is_not_upright() {
        let at = |points: [(f32, f32); 5]| Face {
            box_px: Rect::from_xywh(0.0, 0.0, 10.0, 10.0),
            landmarks_px: points.map(|(x, y)| Point::new(x, y)),
            score: 0.9,
        };
        let points = [(3.0, 3.0), (7.0, 3.0), (5.0, 5.0), (4.0, 8.0), (6.0, 8.0)];
        assert!(is_upright(&at(points)));
        assert!(!is_upright(&at(points.map(|(x, y)| (y, x)))));
        assert!(!is_upright(&at(points.map(|(x, y)| (10.0 - x, 10.0 - y)))));
    }

    #[test]
    fn pixels_outside_heads_are_counted() {
        let a = RgbImage::new(10, 10);
        let mut b = a.clone();
        b.put_pixel(1, 1, Rgb([9; 3]));
        b.put_pixel(7, 7, Rgb([9; 3]));
        let heads = [Rect::from_xywh(5.0, 5.0, 4.0, 4.0)];
        assert!((changed_outside(&a, &b, &heads) - 1.0 / 75.0).abs() < 1e-9);
    }

    #[test]
    fn a_face_turned_aside_has_turned_by_its_angle() {
        let mesh = |yaw: f32| {
            let mut points_px = vec![[0.0; 3]; 468];
            let (sin, cos) = yaw.to_radians().sin_cos();
            for (index, x, y) in [(33, -10.0, 0.0), (263, 10.0, 0.0), (CHIN, 0.0, 25.0)] {
                points_px[index] = [x * cos, y, x * sin];
            }
            Mesh { points_px, presence: 1.0 }
        };
        assert!((angle_degrees(normal(&mesh(0.0)), normal(&mesh(30.0))) - 30.0).abs() < 1e-3);
    }
}
