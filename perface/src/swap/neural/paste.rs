//! Masks, and how an engine's crop is put back into the photo.
//!
//! Each engine has its maker's own recipe: what of the crop is used, how far it is cut back, how it fades. Warping,
//! erosion and blur follow OpenCV's `warpAffine`, `erode` and `GaussianBlur`, with their borders and kernel sizes.

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::card::Paste;
use crate::geometry::{Point, Rect, Similarity};
use crate::lab::{self, Lab};
use crate::plane::Plane;
use crate::swap::Swap;

/// Pixels of photo around the crop that recipes need to see: more than any blur or erosion reaches.
const MARGIN_PX: f32 = 48.0;

/// SimSwap's erosion and blur, in photo pixels.
const SIMSWAP_ERODE_PX: usize = 40;
const SIMSWAP_BLUR_PX: usize = 41;

/// FaceFusion's default blur of its box, as a share of the crop's side.
const BOX_BLUR: f32 = 0.3;

/// Standard deviation with which FaceFusion smooths masks of shape, in crop pixels.
const SHAPE_SIGMA: f32 = 5.0;

/// A picture of three planes of values in 0 to 1, red first.
pub struct Crop<'a> {
    /// Side, in pixels.
    pub size_px: u32,
    /// `[3, size, size]`.
    pub values: &'a [f32],
}

impl Crop<'_> {
    /// Value of `channel` between pixels; beyond the edge 0, or the nearest pixel.
    fn sample(&self, channel: usize, at: Point, replicate: bool) -> f32 {
        let side = self.size_px as usize;
        let plane = self.values.get(channel * side * side..(channel + 1) * side * side).unwrap_or_default();
        sample(plane, side, side, at, replicate)
    }
}

fn sample(plane: &[f32], width: usize, height: usize, at: Point, replicate: bool) -> f32 {
    let (left, top) = (at.x.floor(), at.y.floor());
    let (fx, fy) = (at.x - left, at.y - top);
    let value = |x: f32, y: f32| {
        let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        if !inside && !replicate {
            return 0.0;
        }
        let (x, y) = (x.clamp(0.0, width as f32 - 1.0) as usize, y.clamp(0.0, height as f32 - 1.0) as usize);
        plane.get(y * width + x).copied().unwrap_or(0.0)
    };
    let row = |y: f32| value(left, y) * (1.0 - fx) + value(left + 1.0, y) * fx;
    row(top) * (1.0 - fy) + row(top + 1.0) * fy
}

/// The part of the photo that a crop reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    left: u32,
    top: u32,
    width: usize,
    height: usize,
}

impl Region {
    fn of(to_crop: &Similarity, size_px: u32, photo: &RgbImage) -> Option<Self> {
        let back = to_crop.inverse();
        let side = size_px as f32;
        let corners = [(0.0, 0.0), (side, 0.0), (0.0, side), (side, side)];
        let around = Rect::around(corners.map(|(x, y)| back.apply(Point::new(x, y))))?;
        let around = Rect::from_ltrb(
            around.left - MARGIN_PX,
            around.top - MARGIN_PX,
            around.right + MARGIN_PX,
            around.bottom + MARGIN_PX,
        )
        .clamped(photo.width(), photo.height());
        let (left, top) = (around.left.floor() as u32, around.top.floor() as u32);
        let (right, bottom) = (around.right.ceil() as u32, around.bottom.ceil() as u32);
        let region = Self {
            left,
            top,
            width: (right.saturating_sub(left)) as usize,
            height: (bottom.saturating_sub(top)) as usize,
        };
        (region.width > 0 && region.height > 0).then_some(region)
    }

    /// A mask of the crop, in photo pixels.
    fn warped(&self, mask: &Plane, to_crop: &Similarity) -> Plane {
        let mut values = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                let at = to_crop.apply(Point::new((self.left as usize + x) as f32, (self.top as usize + y) as f32));
                values.push(sample(mask.values(), mask.width(), mask.height(), at, false));
            }
        }
        Plane::from_values(self.width, self.height, values)
    }
}

/// The result in place of the face: `crop` warped back into `photo`, as far as `recipe` and `masks` let it.
///
/// `masks` are planes of the crop's size in 0 to 1; the least counts. `None` if the crop lies outside the photo.
pub fn paste(
    photo: &RgbImage,
    crop: &Crop,
    to_crop: &Similarity,
    recipe: Paste,
    masks: &[Plane],
    match_colour: bool,
) -> Option<Swap> {
    let region = Region::of(to_crop, crop.size_px, photo)?;
    let side = crop.size_px as usize;
    let given = masks.iter().fold(None, |all: Option<Plane>, mask| {
        Some(match all {
            None => mask.clone(),
            Some(all) => all.zip(mask, f32::min),
        })
    });
    let white = Plane::filled(side, side, 1.0);
    let mut alpha = match recipe {
        Paste::SimSwap => {
            let solid = region.warped(&white, to_crop).map(solid);
            blurred(&eroded(&solid, SIMSWAP_ERODE_PX), SIMSWAP_BLUR_PX, auto_sigma(SIMSWAP_BLUR_PX))
        }
        Paste::InsightFace => {
            let solid = region.warped(&white, to_crop).map(solid);
            let size = extent(&solid);
            let blur = 2 * (size / 20).max(5) + 1;
            blurred(&eroded(&solid, (size / 10).max(10)), blur, auto_sigma(blur))
        }
        Paste::FaceFusion => region.warped(&faded_box(side), to_crop),
    };
    if let Some(given) = given {
        alpha = alpha.zip(&region.warped(&given, to_crop), f32::min);
    }
    let replicate = recipe == Paste::FaceFusion;
    let shift = if match_colour { colour_shift(photo, crop, to_crop, &region, &alpha) } else { None };
    let mut patch = RgbImage::new(region.width as u32, region.height as u32);
    let mut mask = GrayImage::new(region.width as u32, region.height as u32);
    for ((x, y, pixel), &a) in patch.enumerate_pixels_mut().zip(alpha.values()) {
        let a = a.clamp(0.0, 1.0);
        let (photo_x, photo_y) = (region.left + x, region.top + y);
        let under = photo.get_pixel(photo_x, photo_y).0;
        *pixel = Rgb(under);
        if a <= 0.0 {
            continue;
        }
        let at = to_crop.apply(Point::new(photo_x as f32, photo_y as f32));
        let mut new: [f32; 3] = std::array::from_fn(|channel| 255.0 * crop.sample(channel, at, replicate));
        if let Some(shift) = &shift {
            new = shift.apply(new);
        }
        let mixed = |k: usize| a * new[k] + (1.0 - a) * f32::from(under[k]);
        // Cut off, not rounded: as numpy's `astype(uint8)` does.
        *pixel = Rgb(std::array::from_fn(|k| mixed(k) as u8));
        mask.put_pixel(x, y, Luma([(a * 255.0).ceil().max(1.0) as u8]));
    }
    Some(Swap { patch, patch_origin: (region.left, region.top), mask })
}

/// Makers take more than 20 of 255 for inside.
fn solid(value: f32) -> f32 {
    if value * 255.0 > 20.0 { 1.0 } else { value }
}

/// Square root of height times width of what is solid, in whole pixels.
fn extent(mask: &Plane) -> usize {
    let solid = mask.values().iter().enumerate().filter(|(_, v)| **v >= 1.0);
    let at = solid.map(|(index, _)| Point::new((index % mask.width()) as f32, (index / mask.width()) as f32));
    Rect::around(at).map_or(0, |around| (around.width() * around.height()).sqrt() as usize)
}

/// The standard deviation OpenCV takes for a kernel of `size` if none is given.
fn auto_sigma(size: usize) -> f32 {
    0.3 * ((size as f32 - 1.0) * 0.5 - 1.0) + 0.8
}

/// The least value in a window of `size` × `size`, its middle at `size / 2`; beyond the edge there is nothing.
fn eroded(plane: &Plane, size: usize) -> Plane {
    let (before, after) = (size / 2, size - 1 - size / 2);
    let (width, height) = (plane.width(), plane.height());
    let pass = |values: &[f32], length: usize, lines: usize, step: usize, line_step: usize| {
        let mut out = vec![0.0; values.len()];
        for line in 0..lines {
            for at in 0..length {
                let window = at.saturating_sub(before)..(at + after + 1).min(length);
                let least = window.filter_map(|i| values.get(line * line_step + i * step)).copied();
                if let Some(out) = out.get_mut(line * line_step + at * step) {
                    *out = least.fold(f32::INFINITY, f32::min);
                }
            }
        }
        out
    };
    let rows = pass(plane.values(), width, height, 1, width);
    Plane::from_values(width, height, pass(&rows, height, width, width, 1))
}

/// Gaussian blur over an odd `size`, mirrored at the edge without repeating it.
fn blurred(plane: &Plane, size: usize, sigma: f32) -> Plane {
    let half = size / 2;
    let weight = |i: usize| (-((i as f32 - half as f32) / sigma).powi(2) / 2.0).exp();
    let kernel: Vec<f32> = (0..2 * half + 1).map(weight).collect();
    let total: f32 = kernel.iter().sum();
    let (width, height) = (plane.width(), plane.height());
    let pass = |values: &[f32], length: usize, lines: usize, step: usize, line_step: usize| {
        let mut out = vec![0.0; values.len()];
        for line in 0..lines {
            for at in 0..length {
                let sum: f32 = kernel
                    .iter()
                    .enumerate()
                    .map(|(i, w)| {
                        let from = mirrored((at + i) as i64 - half as i64, length);
                        w * values.get(line * line_step + from * step).copied().unwrap_or(0.0)
                    })
                    .sum();
                if let Some(out) = out.get_mut(line * line_step + at * step) {
                    *out = sum / total;
                }
            }
        }
        out
    };
    let rows = pass(plane.values(), width, height, 1, width);
    Plane::from_values(width, height, pass(&rows, height, width, width, 1))
}

/// OpenCV's `BORDER_REFLECT_101`.
fn mirrored(at: i64, length: usize) -> usize {
    if length <= 1 {
        return 0;
    }
    let period = 2 * (length as i64 - 1);
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}

/// The kernel size OpenCV takes for a standard deviation in floats.
fn auto_size(sigma: f32) -> usize {
    (sigma * 8.0 + 1.0).round() as usize | 1
}

/// FaceFusion's box: 1 inside, 0 along a border, blurred.
pub fn faded_box(side: usize) -> Plane {
    let blur = (side as f32 * 0.5 * BOX_BLUR) as usize;
    let border = (blur / 2).max(1);
    let inside = |i: usize| i >= border && i < side - border.min(side);
    let values = (0..side * side).map(|i| if inside(i % side) && inside(i / side) { 1.0 } else { 0.0 }).collect();
    let sigma = blur as f32 * 0.25;
    let plane = Plane::from_values(side, side, values);
    if sigma > 0.0 { blurred(&plane, auto_size(sigma), sigma) } else { plane }
}

/// FaceFusion's smoothing of a mask of shape: blurred, then only what is more than half is used, stretched.
pub fn smoothed(mask: &Plane) -> Plane {
    blurred(mask, auto_size(SHAPE_SIGMA), SHAPE_SIGMA).map(|v| (v.clamp(0.5, 1.0) - 0.5) * 2.0)
}

/// What lies inside the convex hull of `points`, in a plane of `side` × `side`.
pub fn hull(points: &[Point], side: usize) -> Plane {
    let hull = convex_hull(points);
    let inside = |x: f32, y: f32| {
        hull.len() > 2
            && hull
                .iter()
                .zip(hull.iter().cycle().skip(1))
                .all(|(a, b)| (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x) >= 0.0)
    };
    let values = (0..side * side).map(|i| f32::from(u8::from(inside((i % side) as f32, (i / side) as f32)))).collect();
    Plane::from_values(side, side, values)
}

/// Andrew's monotone chain (Inf. Process. Lett. 9, 1979); the inside lies at positive cross products.
fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut sorted: Vec<Point> = points.iter().filter(|p| p.x.is_finite() && p.y.is_finite()).copied().collect();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let cross = |o: Point, a: Point, b: Point| (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for p in points {
            while let [.., a, b] = chain.as_slice() {
                if cross(*a, *b, p) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter().copied());
    hull.extend(half(&mut sorted.iter().rev().copied()));
    hull
}

/// Mean and spread of a colour moved onto those of another: Reinhard and others, IEEE CG&A 21(5), 2001.
struct ColourShift {
    from: [[f32; 2]; 3],
    to: [[f32; 2]; 3],
}

/// No spread is stretched or pressed by more than this.
const MAX_STRETCH: f32 = 1.5;

impl ColourShift {
    fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        let colour = lab::from_srgb(rgb);
        let moved: Lab = std::array::from_fn(|k| {
            let ([from_mean, from_sd], [to_mean, to_sd]) = (self.from[k], self.to[k]);
            let stretch = (to_sd / from_sd.max(1e-3)).clamp(1.0 / MAX_STRETCH, MAX_STRETCH);
            (colour[k] - from_mean) * stretch + to_mean
        });
        lab::to_srgb(moved).map(|v| v.clamp(0.0, 255.0))
    }
}

fn colour_shift(
    photo: &RgbImage,
    crop: &Crop,
    to_crop: &Similarity,
    region: &Region,
    alpha: &Plane,
) -> Option<ColourShift> {
    let mut sums = [[[0.0f64; 3]; 3]; 2];
    for (index, _) in alpha.values().iter().enumerate().filter(|(_, a)| **a > 0.5) {
        let (x, y) = (region.left + (index % region.width) as u32, region.top + (index / region.width) as u32);
        let at = to_crop.apply(Point::new(x as f32, y as f32));
        let new = std::array::from_fn(|channel| 255.0 * crop.sample(channel, at, true));
        let old = photo.get_pixel(x, y).0.map(f32::from);
        for (sums, rgb) in sums.iter_mut().zip([new, old]) {
            for (sum, value) in sums.iter_mut().zip(lab::from_srgb(rgb)) {
                let value = f64::from(value);
                sum.iter_mut().zip([1.0, value, value * value]).for_each(|(s, v)| *s += v);
            }
        }
    }
    let statistics = |[n, sum, squares]: [f64; 3]| {
        let mean = sum / n.max(1.0);
        [mean as f32, (squares / n.max(1.0) - mean * mean).max(0.0).sqrt() as f32]
    };
    (sums[0][0][0] > 0.0).then(|| ColourShift { from: sums[0].map(statistics), to: sums[1].map(statistics) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erosion_is_that_of_an_even_kernel() {
        // OpenCV puts the middle of an even kernel right of the centre: 20 to the left, 19 to the right.
        let plane = Plane::from_values(100, 1, (0..100).map(|x| f32::from(u8::from((10..90).contains(&x)))).collect());
        let kept: Vec<usize> =
            eroded(&plane, 40).values().iter().enumerate().filter(|(_, v)| **v > 0.0).map(|(i, _)| i).collect();
        assert_eq!((kept[0], kept[kept.len() - 1]), (30, 70));
    }

    #[test]
    fn a_blur_keeps_the_sum_and_mirrors_at_the_edge() {
        let mut values = vec![0.0; 81];
        values[40] = 1.0;
        let plane = blurred(&Plane::from_values(81, 1, values), 41, auto_sigma(41));
        assert!((auto_sigma(41) - 6.5).abs() < 1e-6);
        assert!((plane.values().iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((plane.values()[40] - 0.0614).abs() < 1e-3, "the peak of a Gaussian of 6.5");
        let ones = blurred(&Plane::filled(30, 5, 1.0), 41, 6.5);
        assert!(ones.values().iter().all(|v| (v - 1.0).abs() < 1e-5));
        assert_eq!([mirrored(-1, 5), mirrored(-2, 5), mirrored(5, 5), mirrored(9, 5)], [1, 2, 3, 1]);
    }

    #[test]
    fn the_box_has_facefusions_measures() {
        let plane = faded_box(256);
        let at = |x: usize, y: usize| plane.values()[y * 256 + x];
        // A border of 19, blurred by 9.5: half at the border, everything in the middle.
        assert!((at(18, 128) + at(19, 128) - 1.0).abs() < 0.01 && at(128, 128) > 0.999 && at(0, 128) < 0.06);
    }

    #[test]
    fn a_hull_holds_its_points_and_no_more() {
        let points = [(2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0), (5.0, 5.0)].map(|(x, y)| Point::new(x, y));
        let plane = hull(&points, 12);
        assert_eq!(plane.values().iter().filter(|v| **v > 0.0).count(), 49);
        assert!(hull(&points[..2], 12).values().iter().all(|v| *v == 0.0));
    }

    fn pasted(recipe: Paste, masks: &[Plane]) -> (RgbImage, Swap) {
        let photo = RgbImage::from_fn(300, 260, |x, y| Rgb([x as u8, y as u8, 40]));
        let values: Vec<f32> = [1.0f32, 0.5, 0.0].iter().flat_map(|&v| vec![v; 128 * 128]).collect();
        let to_crop = Similarity { a: 1.0, b: 0.0, tx: -90.0, ty: -70.0 };
        let crop = Crop { size_px: 128, values: &values };
        let swap = paste(&photo, &crop, &to_crop, recipe, masks, false).unwrap();
        (photo, swap)
    }

    #[test]
    fn the_middle_is_the_engines_and_the_surroundings_are_the_photos() {
        for recipe in [Paste::SimSwap, Paste::InsightFace, Paste::FaceFusion] {
            let (photo, swap) = pasted(recipe, &[]);
            let mut result = photo.clone();
            swap.paste(&mut result);
            assert_eq!(result.get_pixel(154, 134).0, [255, 127, 0], "{recipe:?}");
            assert_eq!(result.get_pixel(20, 20), photo.get_pixel(20, 20), "{recipe:?}");
            let outside =
                result.enumerate_pixels().filter(|(x, y, _)| !(89..=218).contains(x) || !(69..=198).contains(y));
            assert!(outside.into_iter().all(|(x, y, p)| p == photo.get_pixel(x, y)), "{recipe:?}");
        }
    }

    #[test]
    fn a_mask_keeps_what_it_covers() {
        let half = Plane::from_values(128, 128, (0..128 * 128).map(|i| f32::from(u8::from(i % 128 < 64))).collect());
        let (photo, swap) = pasted(Paste::FaceFusion, &[half]);
        let mut result = photo.clone();
        swap.paste(&mut result);
        assert_ne!(result.get_pixel(140, 134), photo.get_pixel(140, 134));
        assert_eq!(result.get_pixel(170, 134), photo.get_pixel(170, 134));
    }

    #[test]
    fn a_colour_match_moves_the_mean_onto_the_photos() {
        let photo = RgbImage::from_pixel(300, 260, Rgb([120, 90, 80]));
        let values: Vec<f32> = [0.9f32, 0.8, 0.7].iter().flat_map(|&v| vec![v; 128 * 128]).collect();
        let to_crop = Similarity { a: 1.0, b: 0.0, tx: -90.0, ty: -70.0 };
        let crop = Crop { size_px: 128, values: &values };
        let swap = paste(&photo, &crop, &to_crop, Paste::FaceFusion, &[], true).unwrap();
        let mut result = photo.clone();
        swap.paste(&mut result);
        let middle = result.get_pixel(154, 134).0;
        assert!(middle.iter().zip([120u8, 90, 80]).all(|(a, b)| a.abs_diff(b) <= 2), "{middle:?}");
    }
}
