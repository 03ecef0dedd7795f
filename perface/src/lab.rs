//! CIE L\*a\*b\* (D65) from sRGB and back, quickly.
//!
//! L\* runs from 0 to 100; a\* and b\* of skin lie between about 5 and 30.

use std::sync::LazyLock;

use image::RgbImage;

use crate::bilinear::Corners;

/// A colour as L\*, a\*, b\*.
pub type Lab = [f32; 3];

/// White of D65 for the 2° observer, as X, Y, Z.
const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];
/// Steps of the table from linear light back to sRGB.
const ENCODE_STEPS: usize = 4096;

static DECODE: LazyLock<[f32; 257]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let v = (i as f32 / 255.0).min(1.0);
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    })
});

static ENCODE: LazyLock<Box<[f32; ENCODE_STEPS + 2]>> = LazyLock::new(|| {
    Box::new(std::array::from_fn(|i| {
        let v = (i as f32 / ENCODE_STEPS as f32).min(1.0);
        255.0 * if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
    }))
});

/// From sRGB, each channel in `[0, 255]` and fractions welcome; what lies outside is clamped.
#[inline]
pub fn from_srgb(rgb: [f32; 3]) -> Lab {
    let table: &[f32; 257] = &DECODE;
    let (r, g, b) = (decoded(table, rgb[0]), decoded(table, rgb[1]), decoded(table, rgb[2]));
    let x = pivoted((0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b) / WHITE[0]);
    let y = pivoted((0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b) / WHITE[1]);
    let z = pivoted((0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b) / WHITE[2]);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// To sRGB, each channel in `[0, 255]`, clipped to what sRGB can show.
#[inline]
pub fn to_srgb([l, a, b]: Lab) -> [f32; 3] {
    let y = (l + 16.0) / 116.0;
    let linear = |t: f32| if t > 0.206_897 { t * t * t } else { (t - 16.0 / 116.0) / 7.787_037 };
    let (x, y, z) = (WHITE[0] * linear(y + a / 500.0), linear(y), WHITE[2] * linear(y - b / 200.0));
    let table: &[f32; ENCODE_STEPS + 2] = &ENCODE;
    [
        encoded(table, 3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z),
        encoded(table, -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z),
        encoded(table, 0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z),
    ]
}

/// A channel in `[0, 255]` as linear light.
#[inline]
fn decoded(table: &[f32; 257], v: f32) -> f32 {
    let v = v.clamp(0.0, 255.0);
    let low = (v as usize).min(255);
    table[low] + (v - low as f32) * (table[low + 1] - table[low])
}

/// Linear light as a channel in `[0, 255]`.
#[inline]
fn encoded(table: &[f32; ENCODE_STEPS + 2], v: f32) -> f32 {
    let at = v.clamp(0.0, 1.0) * ENCODE_STEPS as f32;
    let low = (at as usize).min(ENCODE_STEPS);
    table[low] + (at - low as f32) * (table[low + 1] - table[low])
}

/// The CIE's cube root with its straight foot.
#[inline]
fn pivoted(t: f32) -> f32 {
    if t > 0.008_856 { cube_root(t) } else { 7.787_037 * t + 16.0 / 116.0 }
}

/// Cube root of a positive number to about 1e-6, by two Newton steps from a guess made of its exponent.
#[inline]
fn cube_root(t: f32) -> f32 {
    let mut root = f32::from_bits(t.to_bits() / 3 + 0x2a51_19f2);
    for _ in 0..2 {
        root = (2.0 * root + t / (root * root)) / 3.0;
    }
    root
}

/// A picture in L\*a\*b\*, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct LabImage {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// The colours.
    pub pixels: Vec<Lab>,
}

impl LabImage {
    /// The colour at (x, y) between pixel centres; the border goes on outside. Black in an empty picture.
    #[inline]
    pub fn sample(&self, [x, y]: [f32; 2]) -> Lab {
        if self.pixels.is_empty() {
            return [0.0; 3];
        }
        Corners::of([x, y], self.width, self.height).mean_of(&self.pixels)
    }
}

/// The colour of `picture` at (x, y) between pixel centres, sRGB in `[0, 255]`; the border goes on outside.
#[inline]
pub fn sample(picture: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width == 0 || height == 0 {
        return [0.0; 3];
    }
    Corners::of([x, y], width, height).mean_of_bytes(picture.as_raw().as_chunks::<3>().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_colours() {
        // From the CIE formulas: sRGB white, mid grey and red.
        for (rgb, lab) in [
            ([255.0, 255.0, 255.0], [100.0, 0.0, 0.0]),
            ([119.0, 119.0, 119.0], [50.03, 0.0, 0.0]),
            ([255.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
        ] {
            let got = from_srgb(rgb);
            assert!(got.iter().zip(lab).all(|(g, w)| (g - w).abs() < 0.05), "{rgb:?} gives {got:?}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(r in 0f32..255.0, g in 0f32..255.0, b in 0f32..255.0) {
            let back = to_srgb(from_srgb([r, g, b]));
            prop_assert!(back.iter().zip([r, g, b]).all(|(x, y)| (x - y).abs() < 0.5), "{back:?}");
        }
    }

    #[test]
    fn samples_between_pixels_and_repeats_the_border() {
        let picture = RgbImage::from_fn(2, 1, |x, _| image::Rgb([x as u8 * 100, 0, 0]));
        assert_eq!(sample(&picture, 0.5, 0.0)[0], 50.0);
        assert_eq!(sample(&picture, 9.0, -3.0)[0], 100.0);
    }
}
