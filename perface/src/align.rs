//! Fit a detected face to the canonical crop.
//!
//! The five landmarks are mapped onto a fixed template by the least-squares similarity of Umeyama (IEEE TPAMI 13(4),
//! 1991), and the photo is resampled bilinearly with black beyond its edge.

use image::RgbImage;

use crate::detect::Face;
use crate::geometry::{Point, Similarity};
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

/// A face in the canonical crop, and how it came there.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedFace {
    crop: RgbImage,
    to_crop: Similarity,
}

impl AlignedFace {
    /// The crop, 112 × 112.
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
    fn landmarks_that_coincide_are_refused() {
        let landmarks_px = [Point::new(3.0, 3.0); 5];
        let face = Face { box_px: Rect::from_xywh(0.0, 0.0, 1.0, 1.0), landmarks_px, score: 1.0 };
        assert_eq!(align(&RgbImage::new(9, 9), &face), None);
    }
}
