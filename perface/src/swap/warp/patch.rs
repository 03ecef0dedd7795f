//! The part of the photo that may change, at the size it is worked on, and back.

use image::{GrayImage, RgbImage, imageops};

use super::pose::{Point3, Pose};
use crate::geometry::{Point, Rect};
use crate::lab::sample;
use crate::plane::Plane;
use crate::swap::{Swap, Target};

/// The part of the photo that may change, at the size it is worked on.
pub struct Patch {
    /// At photo resolution.
    pub original: RgbImage,
    pub origin: (u32, u32),
    /// At working resolution.
    pub work: RgbImage,
    /// Working pixels per photo pixel, along x and y.
    pub scale: [f32; 2],
    /// Width of the face in working pixels.
    pub face_px: f32,
}

impl Patch {
    /// Around the points of the widened mesh.
    pub fn cut(target: &Target, wide: &[Point3], pose: &Pose, work_face_px: f32) -> Self {
        let rect = Rect::around(wide.iter().map(|p| Point::new(p[0], p[1])));
        let rect = rect.unwrap_or(Rect::from_ltrb(0.0, 0.0, 1.0, 1.0));
        let bound = |v: f32, limit: u32| v.clamp(0.0, limit as f32) as u32;
        let (left, top) = (bound(rect.left - 1.0, target.photo.width()), bound(rect.top - 1.0, target.photo.height()));
        let right = bound(rect.right + 2.0, target.photo.width()).max(left + 1);
        let bottom = bound(rect.bottom + 2.0, target.photo.height()).max(top + 1);
        let original = imageops::crop_imm(target.photo, left, top, right - left, bottom - top).to_image();
        let wanted = (work_face_px / pose.scale()).min(1.0);
        let work = if wanted < 1.0 {
            let size = |length: u32| ((length as f32 * wanted).round() as u32).max(1);
            imageops::resize(&original, size(original.width()), size(original.height()), imageops::FilterType::Triangle)
        } else {
            original.clone()
        };
        let scale = [work.width() as f32 / original.width() as f32, work.height() as f32 / original.height() as f32];
        Self { face_px: pose.scale() * wanted, original, origin: (left, top), work, scale }
    }

    /// A point of the photo in working pixels; depth is scaled alike.
    pub fn to_work(&self, p: Point3) -> Point3 {
        let at = |v: f32, origin: u32, scale: f32| (v - origin as f32 + 0.5) * scale - 0.5;
        [at(p[0], self.origin.0, self.scale[0]), at(p[1], self.origin.1, self.scale[1]), p[2] * self.scale[0]]
    }

    /// The result at photo resolution. `keep` is the share of the target's own finest detail to be kept.
    pub fn finish(&self, work: &RgbImage, mask: &Plane, keep: &Plane) -> Swap {
        let to_byte = |v: f32| (v * 255.0).round() as u8;
        let (width, height) = self.original.dimensions();
        let same_size = self.work.dimensions() == (width, height);
        let mut gray = GrayImage::new(width, height);
        let mut patch = self.original.clone();
        for (x, y, pixel) in patch.enumerate_pixels_mut() {
            let at = [(x as f32 + 0.5) * self.scale[0] - 0.5, (y as f32 + 0.5) * self.scale[1] - 0.5];
            let value = if same_size { mask.values()[(y * width + x) as usize] } else { mask.sample(at) };
            if value <= 0.0 {
                continue;
            }
            gray.put_pixel(x, y, image::Luma([to_byte(value.min(1.0)).max(1)]));
            if same_size {
                *pixel = *work.get_pixel(x, y);
            } else {
                let (new, old) = (sample(work, at[0], at[1]), sample(&self.work, at[0], at[1]));
                let keep = keep.sample(at);
                for k in 0..3 {
                    let fine = f32::from(pixel.0[k]) - old[k];
                    pixel.0[k] = (new[k] + keep * fine).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
        Swap { patch, patch_origin: self.origin, mask: gray }
    }
}
