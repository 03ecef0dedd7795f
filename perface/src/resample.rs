//! Cut a turned and scaled piece out of a picture.
//!
//! Sampling is bilinear with pixel centres at whole numbers: result pixel (x, y) is the picture at the inverse of the
//! given transform, computed in floats and rounded once, as OpenCV 5's `warpAffine` does.

use fast_image_resize as fir;
use image::{Rgb, RgbImage};

use crate::geometry::{Point, Rect, Similarity};

/// What lies beyond the picture's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Black,
    /// The nearest pixel of the picture.
    Replicate,
}

/// Below this scale, bilinear sampling skips pixels and a picture is shrunk first.
const MIN_BILINEAR_SCALE: f64 = 0.5;

/// The `width` × `height` pixels that `to_crop` maps `picture` onto, sampled bilinearly.
///
/// A transform that cannot be inverted gives a black crop, or one of the picture's corner pixel.
pub fn crop(picture: &RgbImage, to_crop: &Similarity, width: u32, height: u32, border: Border) -> RgbImage {
    let back = to_crop.inverse();
    let mut result = RgbImage::new(width, height);
    if picture.width() == 0 || picture.height() == 0 || width == 0 {
        return result;
    }
    let source = Source::new(picture, border);
    for (y, row) in result.as_mut().chunks_exact_mut(width as usize * 3).enumerate() {
        let (mut at_x, mut at_y) = (back.tx - back.b * y as f64, back.ty + back.a * y as f64);
        for pixel in row.as_chunks_mut::<3>().0 {
            *pixel = source.bilinear(at_x, at_y);
            at_x += back.a;
            at_y += back.b;
        }
    }
    result
}

/// As [`crop`], with the picture shrunk first where the crop is less than half as fine, so that large faces do not
/// turn into noise.
pub fn crop_antialiased(picture: &RgbImage, to_crop: &Similarity, width: u32, height: u32, border: Border) -> RgbImage {
    let scale = to_crop.scale();
    if scale >= MIN_BILINEAR_SCALE || !scale.is_normal() {
        return crop(picture, to_crop, width, height, border);
    }
    // Only the part the crop covers is shrunk: photos are large and faces are not.
    let back = to_crop.inverse();
    let corners = [(0, 0), (width, 0), (0, height), (width, height)];
    let margin = (2.0 / scale) as f32;
    let part = Rect::around(corners.map(|(x, y)| back.apply(Point::new(x as f32, y as f32))));
    let Some(part) = part else { return crop(picture, to_crop, width, height, border) };
    let part = Rect::from_ltrb(
        (part.left - margin).floor(),
        (part.top - margin).floor(),
        (part.right + margin).ceil(),
        (part.bottom + margin).ceil(),
    )
    .clamped(picture.width(), picture.height());
    let target = |length: f32| ((f64::from(length) * scale * 2.0).round() as u32).max(1);
    let (small_width, small_height) = (target(part.width()), target(part.height()));
    match shrink(picture, part, small_width, small_height) {
        Some(small) if part.width() >= 1.0 && part.height() >= 1.0 => {
            // Both axes are rounded to whole pixels; the mean of their scales is off by far less than a pixel.
            let (sx, sy) =
                (f64::from(small_width) / f64::from(part.width()), f64::from(small_height) / f64::from(part.height()));
            let step = (sx + sy) / 2.0;
            // The first small pixel is the mean of the first 1 / step pixels, centred among them.
            let shift = |start: f32| step / 2.0 - 0.5 - f64::from(start) * step;
            let to_small = Similarity { a: step, b: 0.0, tx: shift(part.left), ty: shift(part.top) };
            crop(&small, &to_small.inverse().then(to_crop), width, height, border)
        }
        _ => crop(picture, to_crop, width, height, border),
    }
}

/// `part` of `picture`, averaged down to `width` × `height`.
pub fn shrink(picture: &RgbImage, part: Rect, width: u32, height: u32) -> Option<RgbImage> {
    let mut small = RgbImage::new(width, height);
    // Named by its type, or the compiler makes the resizer's code for all thirteen kinds of pixels.
    type Pixel = fir::pixels::U8x3;
    let view =
        fir::images::TypedImageRef::<Pixel>::from_buffer(picture.width(), picture.height(), picture.as_raw()).ok()?;
    let mut target = fir::images::TypedImage::<Pixel>::from_buffer(width, height, small.as_mut()).ok()?;
    let options = fir::ResizeOptions::new()
        .crop(f64::from(part.left), f64::from(part.top), f64::from(part.width()), f64::from(part.height()))
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear));
    fir::Resizer::new().resize_typed(&view, &mut target, &options).ok()?;
    Some(small)
}

struct Source<'a> {
    pixels: &'a [[u8; 3]],
    width: i64,
    height: i64,
    border: Border,
}

impl<'a> Source<'a> {
    fn new(picture: &'a RgbImage, border: Border) -> Self {
        let pixels = picture.as_raw().as_chunks::<3>().0;
        Self { pixels, width: i64::from(picture.width()), height: i64::from(picture.height()), border }
    }

    fn bilinear(&self, x: f64, y: f64) -> [u8; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (along, down) = ((x - left) as f32, (y - top) as f32);
        // The cast saturates, so coordinates far outside stay outside.
        let (left, top) = (left as i64, top as i64);
        let inside = left >= 0 && top >= 0 && left < self.width - 1 && top < self.height - 1;
        let corners = if inside {
            let at = (top * self.width + left) as usize;
            let below = at + self.width as usize;
            [self.pixels[at], self.pixels[at + 1], self.pixels[below], self.pixels[below + 1]]
        } else {
            let (right, bottom) = (left.saturating_add(1), top.saturating_add(1));
            [self.at(left, top), self.at(right, top), self.at(left, bottom), self.at(right, bottom)]
        };
        let mut pixel = [0; 3];
        for c in 0..3 {
            let value = |corner: usize| f32::from(corners[corner][c]);
            let upper = value(0) + (value(1) - value(0)) * along;
            let lower = value(2) + (value(3) - value(2)) * along;
            // Half up, as `round` does for what is not negative, without a call.
            pixel[c] = (upper + (lower - upper) * down + 0.5) as u8;
        }
        pixel
    }

    fn at(&self, x: i64, y: i64) -> [u8; 3] {
        let inside = x >= 0 && y >= 0 && x < self.width && y < self.height;
        if !inside && self.border == Border::Black {
            return Rgb([0, 0, 0]).0;
        }
        let (x, y) = (x.clamp(0, self.width - 1), y.clamp(0, self.height - 1));
        self.pixels[(y * self.width + x) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 2) as u8, (y * 2) as u8, 100]))
    }

    #[test]
    fn identity_changes_nothing() {
        let picture = gradient(20, 10);
        assert_eq!(crop(&picture, &Similarity::IDENTITY, 20, 10, Border::Black), picture);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8 * 100, 0, 0]));
        let moved = Similarity { tx: -0.5, ..Similarity::IDENTITY };
        assert_eq!(crop(&picture, &moved, 1, 1, Border::Black).get_pixel(0, 0)[0], 50);
    }

    #[test]
    fn beyond_the_edge_is_black_or_the_edge() {
        let picture = RgbImage::from_pixel(4, 4, Rgb([200; 3]));
        let away = Similarity { tx: 10.0, ..Similarity::IDENTITY };
        assert_eq!(crop(&picture, &away, 1, 1, Border::Black).get_pixel(0, 0)[0], 0);
        assert_eq!(crop(&picture, &away, 1, 1, Border::Replicate).get_pixel(0, 0)[0], 200);
    }

    #[test]
    fn shrinking_stays_in_place() {
        // A smooth ramp is the same sampled directly or averaged first, if nothing shifts.
        let picture = RgbImage::from_fn(400, 400, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, 0]));
        let to_crop = Similarity { a: 0.12, b: 0.05, tx: 5.0, ty: -3.0 };
        let direct = crop(&picture, &to_crop, 40, 40, Border::Replicate);
        let averaged = crop_antialiased(&picture, &to_crop, 40, 40, Border::Replicate);
        let inside = |x: u32, y: u32| {
            let p = to_crop.inverse().apply(Point::new(x as f32, y as f32));
            (20.0..380.0).contains(&p.x) && (20.0..380.0).contains(&p.y)
        };
        let mut compared = 0;
        for (x, y, pixel) in direct.enumerate_pixels().filter(|(x, y, _)| inside(*x, *y)) {
            let other = averaged.get_pixel(x, y);
            assert!(
                pixel[0].abs_diff(other[0]) <= 1 && pixel[1].abs_diff(other[1]) <= 1,
                "{x},{y}: {pixel:?} {other:?}"
            );
            compared += 1;
        }
        assert!(compared > 500);
    }

    proptest! {
        #[test]
        fn any_transform_gives_a_crop(
            a in -1e3f64..1e3, b in -1e3f64..1e3, tx in -1e12f64..1e12, ty in any::<f64>(), width in 1u32..9,
        ) {
            let to_crop = Similarity { a, b, tx, ty };
            for border in [Border::Black, Border::Replicate] {
                prop_assert_eq!(crop(&gradient(5, 4), &to_crop, width, 3, border).width(), width);
                prop_assert_eq!(crop_antialiased(&gradient(5, 4), &to_crop, width, 3, border).width(), width);
            }
        }
    }
}
