//! Fit a detected face to the canonical crop.
//!
//! The five landmarks are mapped onto a fixed template by the least-squares similarity of Umeyama (IEEE TPAMI 13(4),
//! 1991), and the photo is resampled bilinearly with black beyond its edge. Networks that are run as DeepFace runs
//! them get its crop instead; see [`deepface`].

pub mod deepface;

use image::RgbImage;

use crate::detect::Face;
use crate::geometry::{Point, Similarity};
use crate::model::card::Aligner;
use crate::resample::{self, Border};

/// Side of the canonical crop, in pixels.
pub const CROP_PX: u32 = 112;

/// Landmarks of a canonical 112 × 112 crop: eyes, nose tip, mouth corners, left to right in the image. From
/// InsightFace, `utils/face_align.py`; OpenCV's `FaceRecognizerSF` uses the same.
pub const TEMPLATE_PX: [Point; 5] = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];

/// The detector's five landmarks in dlib's frame, in which a chip without margin reaches from 0 to 1.
///
/// dlib's own frame is given by four eye corners and the base of the nose (`get_face_chip_details` with the 5-point
/// predictor). The mesh has those points; the detector's landmarks were carried into the frame they span on omi 1–350
/// and every second face of utkface, averaged, and made symmetrical.
pub const DLIB_FRAME: [Point; 5] = [
    Point::new(0.2257, 0.2123),
    Point::new(0.7545, 0.2123),
    Point::new(0.4901, 0.5095),
    Point::new(0.2624, 0.7536),
    Point::new(0.7178, 0.7536),
];

/// A face in the canonical crop, and how it came there.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedFace {
    crop: RgbImage,
    to_crop: Similarity,
}

impl AlignedFace {
    /// The crop, 112 × 112 unless another size was asked for.
    pub fn crop(&self) -> &RgbImage {
        &self.crop
    }

    /// From photo pixels to crop pixels.
    pub fn to_crop(&self) -> &Similarity {
        &self.to_crop
    }
}

/// The similarity that puts `face` onto the template; `None` if its landmarks coincide.
pub fn to_template(face: &Face) -> Option<Similarity> {
    Similarity::fit(&face.landmarks_px, &TEMPLATE_PX)
}

/// `face` of `photo`, in the canonical crop; `None` if its landmarks coincide.
pub fn align(photo: &RgbImage, face: &Face) -> Option<AlignedFace> {
    let to_crop = to_template(face)?;
    let crop = resample::crop(photo, &to_crop, CROP_PX, CROP_PX, Border::Black);
    Some(AlignedFace { crop, to_crop })
}

/// The template's landmarks in a crop of `width` × `height` pixels.
///
/// InsightFace's rule: multiples of 112 enlarge the template; multiples of 128 frame the face wider, 8 pixels on either
/// side of a crop of 128. Any other size enlarges by its shorter side.
pub fn template_px(width: u32, height: u32) -> [Point; 5] {
    let side = width.min(height);
    let (unit, margin) =
        if !side.is_multiple_of(CROP_PX) && side.is_multiple_of(128) { (128.0, 8.0) } else { (112.0, 0.0) };
    let scale = side as f32 / unit;
    let (left, top) = ((width - side) as f32 / 2.0, (height - side) as f32 / 2.0);
    TEMPLATE_PX.map(|p| Point::new((p.x + margin) * scale + left, p.y * scale + top))
}

/// The landmarks in dlib's chip of `width` × `height` pixels with its margin of a quarter of the face.
fn dlib_template_px(width: u32, height: u32) -> [Point; 5] {
    const MARGIN: f32 = 0.25;
    let place = |share: f32, length: u32| (share + MARGIN) / (1.0 + 2.0 * MARGIN) * length as f32 - 0.5;
    DLIB_FRAME.map(|p| Point::new(place(p.x, width), place(p.y, height)))
}

/// `face` of `photo` in a crop of `width` × `height` pixels, cut as `aligner` says; `None` if its landmarks coincide
/// or nothing of it is inside.
pub fn align_as(photo: &RgbImage, face: &Face, aligner: Aligner, width: u32, height: u32) -> Option<AlignedFace> {
    let template = match aligner {
        Aligner::Arcface if (width, height) == (CROP_PX, CROP_PX) => return align(photo, face),
        Aligner::Arcface => template_px(width, height),
        Aligner::Dlib => dlib_template_px(width, height),
        Aligner::Deepface => return deepface::align(photo, face, width, height),
    };
    let to_crop = Similarity::fit(&face.landmarks_px, &template)?;
    let crop = match aligner {
        // dlib takes its chips from a pyramid of smoothed pictures.
        Aligner::Dlib => resample::crop_antialiased(photo, &to_crop, width, height, Border::Black),
        _ => resample::crop(photo, &to_crop, width, height, Border::Black),
    };
    Some(AlignedFace { crop, to_crop })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use image::Rgb;

    #[test]
    fn a_turned_and_scaled_face_comes_upright() {
        let turned = Similarity { a: 0.0, b: 1.5, tx: 300.0, ty: 20.0 };
        let landmarks_px = TEMPLATE_PX.map(|p| turned.apply(p));
        let mut photo = RgbImage::new(400, 300);
        for p in landmarks_px {
            for (dx, dy) in [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1)] {
                photo.put_pixel((p.x.round() as i32 + dx) as u32, (p.y.round() as i32 + dy) as u32, Rgb([255; 3]));
            }
        }
        let face = Face { box_px: Rect::from_xywh(0.0, 0.0, 1.0, 1.0), landmarks_px, score: 1.0 };
        let aligned = align(&photo, &face).unwrap();
        for p in TEMPLATE_PX {
            assert!(aligned.crop().get_pixel(p.x.round() as u32, p.y.round() as u32)[0] > 100, "nothing at {p:?}");
        }
    }

    #[test]
    fn larger_crops_scale_the_template_as_insightface_does() {
        assert_eq!(template_px(112, 112), TEMPLATE_PX);
        assert_eq!(template_px(224, 224)[2], Point::new(2.0 * 56.0252, 2.0 * 71.7366));
        assert_eq!(template_px(128, 128)[0], Point::new(38.2946 + 8.0, 51.6963));
        assert_eq!(template_px(160, 160)[0].y, 51.6963 * (160.0 / 112.0));
    }

    #[test]
    fn landmarks_that_coincide_are_refused() {
        let landmarks_px = [Point::new(3.0, 3.0); 5];
        let face = Face { box_px: Rect::from_xywh(0.0, 0.0, 1.0, 1.0), landmarks_px, score: 1.0 };
        assert_eq!(align(&RgbImage::new(9, 9), &face), None);
    }
}
