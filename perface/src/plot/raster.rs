//! A figure as pixels: the same on every machine, for pages and papers that take no SVG.
//!
//! Areas are filled with exact coverage along rows and four samples across them; a stroke is the union of a box for
//! each piece and a disc for each joint. Letters are those of the contact sheets, resized.

use image::{Rgb, RgbImage};

use super::figure::{Anchor, Figure, Mark, TextStyle};
use crate::ink;

/// Rows of samples within a row of pixels.
const SAMPLES: usize = 4;
/// Largest side of a picture, in pixels.
const MAX_SIDE_PX: f64 = 8000.0;
/// Length of a dash and of the gap after it, in units, as in the SVG.
const DASH: (f64, f64) = (4.0, 3.0);
/// Width of a letter for each unit of its size. Wider than the letters of the SVG, narrower than a monospaced font.
const LETTER_WIDTH: f64 = 0.54;

impl Figure {
    /// The figure drawn with `scale` pixels for each unit; 2 is about 190 dots to the inch.
    pub fn to_pixels(&self, scale: f64) -> RgbImage {
        let side = |units: f64| (units * scale).ceil().clamp(1.0, MAX_SIDE_PX) as u32;
        let mut page = RgbImage::from_pixel(side(self.width), side(self.height), ink::WHITE);
        let scaled = |points: &[(f64, f64)]| points.iter().map(|(x, y)| (x * scale, y * scale)).collect::<Vec<_>>();
        for mark in &self.marks {
            match mark {
                Mark::Area { points, colour, opacity } => fill(&mut page, &[scaled(points)], colour, *opacity),
                Mark::Dot { at, radius, colour, opacity } => {
                    fill(&mut page, &[disc((at.0 * scale, at.1 * scale), radius * scale)], colour, *opacity);
                }
                Mark::Stroke { points, colour, width, dashed } => {
                    let points = if *dashed { dashes(points) } else { vec![points.clone()] };
                    let parts: Vec<Vec<(f64, f64)>> =
                        points.iter().flat_map(|points| outline(&scaled(points), width * scale)).collect();
                    fill(&mut page, &parts, colour, 1.0);
                }
                Mark::Text { at, anchor, style, words } => {
                    text(&mut page, (at.0 * scale, at.1 * scale), *anchor, *style, words, scale);
                }
            }
        }
        page
    }
}

/// A circle as a polygon, finer the larger it is.
fn disc((x, y): (f64, f64), radius: f64) -> Vec<(f64, f64)> {
    let corners = (radius.clamp(1.0, 64.0) * 4.0).ceil() as usize + 8;
    let angle = |nth: usize| std::f64::consts::TAU * nth as f64 / corners as f64;
    (0..corners).map(|nth| (x + radius * angle(nth).cos(), y + radius * angle(nth).sin())).collect()
}

/// What a pen of `width` covers along `points`.
fn outline(points: &[(f64, f64)], width: f64) -> Vec<Vec<(f64, f64)>> {
    let half = width / 2.0;
    let mut parts = Vec::new();
    for pair in points.windows(2) {
        let [(ax, ay), (bx, by)] = [pair.first(), pair.last()].map(|point| point.copied().unwrap_or_default());
        let length = (bx - ax).hypot(by - ay);
        if length > 0.0 {
            let (across_x, across_y) = ((by - ay) / length * half, (ax - bx) / length * half);
            parts.push(vec![
                (ax + across_x, ay + across_y),
                (bx + across_x, by + across_y),
                (bx - across_x, by - across_y),
                (ax - across_x, ay - across_y),
            ]);
        }
    }
    let joints = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
    parts.extend(joints.iter().map(|joint| disc(*joint, half)));
    parts
}

/// A straight line cut into dashes; other strokes stay whole.
fn dashes(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let [(ax, ay), (bx, by)] = points else { return vec![points.to_vec()] };
    let length = (bx - ax).hypot(by - ay);
    let at = |place: f64| (ax + (bx - ax) * place / length, ay + (by - ay) * place / length);
    let count = (length / (DASH.0 + DASH.1)).ceil().clamp(0.0, 10_000.0) as usize;
    let starts = (0..count).map(|nth| nth as f64 * (DASH.0 + DASH.1));
    starts.map(|start| vec![at(start), at((start + DASH.0).min(length))]).collect()
}

/// Fill the union of `parts`.
fn fill(page: &mut RgbImage, parts: &[Vec<(f64, f64)>], colour: &str, opacity: f64) {
    let all = || parts.iter().flatten().filter(|(x, y)| x.is_finite() && y.is_finite());
    let height = f64::from(page.height());
    let top = all().map(|(_, y)| *y).fold(f64::INFINITY, f64::min).clamp(0.0, height);
    let bottom = all().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max).clamp(0.0, height);
    let width = page.width() as usize;
    let colour = rgb(colour);
    for y in top.floor() as u32..bottom.ceil() as u32 {
        let mut cover = vec![0.0f64; width];
        for sample in 0..SAMPLES {
            let line = f64::from(y) + (sample as f64 + 0.5) / SAMPLES as f64;
            for (left, right) in spans(parts, line) {
                add_span(&mut cover, left, right);
            }
        }
        for (x, cover) in cover.iter().enumerate().filter(|(_, cover)| **cover > 0.0) {
            if let Some(pixel) = page.get_pixel_mut_checked(x as u32, y) {
                mix(pixel, colour, (cover / SAMPLES as f64).min(1.0) * opacity);
            }
        }
    }
}

/// Where the union of `parts` meets the row at height `line`, from left to right without overlap.
fn spans(parts: &[Vec<(f64, f64)>], line: f64) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = Vec::new();
    for part in parts {
        let ends = part.iter().zip(part.iter().cycle().skip(1));
        let mut crossings: Vec<f64> = ends
            .filter(|((_, ay), (_, by))| (*ay <= line) != (*by <= line))
            .map(|((ax, ay), (bx, by))| ax + (bx - ax) * (line - ay) / (by - ay))
            .collect();
        crossings.sort_by(f64::total_cmp);
        spans.extend(crossings.as_chunks::<2>().0.iter().map(|[left, right]| (*left, *right)));
    }
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::with_capacity(spans.len());
    for (left, right) in spans {
        match merged.last_mut() {
            Some(last) if left <= last.1 => last.1 = last.1.max(right),
            _ => merged.push((left, right)),
        }
    }
    merged
}

/// Add how much of each pixel lies between `left` and `right`.
fn add_span(cover: &mut [f64], left: f64, right: f64) {
    let end = cover.len() as f64;
    let (left, right) = (left.clamp(0.0, end), right.clamp(0.0, end));
    for x in left.floor() as usize..right.ceil() as usize {
        if let Some(cover) = cover.get_mut(x) {
            *cover += (right.min(x as f64 + 1.0) - left.max(x as f64)).max(0.0);
        }
    }
}

fn mix(pixel: &mut Rgb<u8>, colour: [u8; 3], share: f64) {
    for (under, over) in pixel.0.iter_mut().zip(colour) {
        *under = (f64::from(*under) * (1.0 - share) + f64::from(over) * share).round() as u8;
    }
}

/// The colour written as `#RRGGBB`; black for anything else.
fn rgb(hex: &str) -> [u8; 3] {
    let number = hex.strip_prefix('#').and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    [(number >> 16) as u8, (number >> 8) as u8, number as u8]
}

fn text(page: &mut RgbImage, (x, y): (f64, f64), anchor: Anchor, style: TextStyle, words: &str, scale: f64) {
    let weight = if style.bold { ink::Weight::Bold } else { ink::Weight::Regular };
    let (own_width, own_height) = (ink::text_width(words).max(1), ink::LINE_PX);
    let mut drawn = RgbImage::from_pixel(own_width, own_height, ink::WHITE);
    ink::text(&mut drawn, 0, 0, words, Rgb([0; 3]), weight);
    // One line of the sheets' font is as high as 1.36 times the size it was drawn at.
    let zoom = style.size * scale * LETTER_WIDTH / f64::from(ink::char_width());
    let (width, height) = (f64::from(own_width) * zoom, f64::from(own_height) * zoom);
    /// Where the line lies that letters stand on, in a line's height.
    const BASELINE: f64 = 0.77;
    let shift = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let colour = rgb(style.colour);
    // Every pixel of the page looks up the ink that covers it.
    let reach = width.max(height).ceil() as i64 + 2;
    for page_y in (y as i64 - reach).max(0)..(y as i64 + reach).min(i64::from(page.height())) {
        for page_x in (x as i64 - reach).max(0)..(x as i64 + reach).min(i64::from(page.width())) {
            let (right, down) = (page_x as f64 + 0.5 - x, page_y as f64 + 0.5 - y);
            let (along, across) = if style.upwards { (-down, right) } else { (right, down) };
            let (u, v) = ((along + shift) / zoom - 0.5, (across + height * BASELINE) / zoom - 0.5);
            let cover = ink_at(&drawn, u, v);
            if cover > 0.0
                && let Some(pixel) = page.get_pixel_mut_checked(page_x as u32, page_y as u32)
            {
                mix(pixel, colour, cover);
            }
        }
    }
}

/// How black `drawn` is at (u, v), between pixel centres; nothing beyond its edges.
fn ink_at(drawn: &RgbImage, u: f64, v: f64) -> f64 {
    if u <= -1.0 || v <= -1.0 || u >= f64::from(drawn.width()) || v >= f64::from(drawn.height()) {
        return 0.0;
    }
    let at = |x: f64, y: f64| {
        let inside = x >= 0.0 && y >= 0.0;
        let pixel = inside.then(|| drawn.get_pixel_checked(x as u32, y as u32)).flatten();
        pixel.map_or(0.0, |pixel| 1.0 - f64::from(pixel[0]) / 255.0)
    };
    let (left, top) = (u.floor(), v.floor());
    let (along, down) = (u - left, v - top);
    let upper = at(left, top) * (1.0 - along) + at(left + 1.0, top) * along;
    let lower = at(left, top + 1.0) * (1.0 - along) + at(left + 1.0, top + 1.0) * along;
    upper * (1.0 - down) + lower * down
}

#[cfg(test)]
mod tests {
    use super::*;

    fn darkness(page: &RgbImage) -> f64 {
        page.pixels().map(|pixel| 1.0 - f64::from(pixel[0]) / 255.0).sum()
    }

    #[test]
    fn the_ink_of_an_area_is_its_size() {
        let mut figure = Figure::new(40.0, 40.0, "");
        figure.bar((5.25, 5.5), (20.75, 10.0), "#000000", 1.0);
        assert!((darkness(&figure.to_pixels(1.0)) - 15.5 * 4.5).abs() < 0.6);
        let mut circle = Figure::new(40.0, 40.0, "");
        circle.dot((20.3, 19.8), 9.0, "#000000", 1.0);
        assert!((darkness(&circle.to_pixels(1.0)) / (std::f64::consts::PI * 81.0) - 1.0).abs() < 0.02);
    }

    #[test]
    fn crossing_pieces_of_one_stroke_are_not_darker() {
        let mut figure = Figure::new(20.0, 20.0, "");
        figure.stroke(vec![(2.0, 2.0), (18.0, 18.0), (18.0, 2.0), (2.0, 18.0)], "#808080", 2.0);
        assert!(figure.to_pixels(2.0).pixels().all(|pixel| pixel[0] >= 127));
    }

    #[test]
    fn a_dashed_line_has_gaps() {
        let mut figure = Figure::new(70.0, 4.0, "");
        figure.dashed((0.0, 2.0), (70.0, 2.0), "#000000", 2.0);
        assert!((darkness(&figure.to_pixels(1.0)) - 80.0).abs() < 2.0);
    }

    #[test]
    fn text_stands_where_its_anchor_says() {
        let inked = |anchor, upwards| {
            let mut figure = Figure::new(200.0, 200.0, "");
            figure.text((100.0, 100.0), anchor, TextStyle { upwards, ..Default::default() }, "mmmm");
            let page = figure.to_pixels(1.0);
            let dark = page.enumerate_pixels().filter(|(_, _, pixel)| pixel[0] < 128);
            let (mut x, mut y, mut n) = (0.0, 0.0, 0.0);
            for (at_x, at_y, _) in dark {
                (x, y, n) = (x + f64::from(at_x), y + f64::from(at_y), n + 1.0);
            }
            assert!(n > 10.0);
            (x / n, y / n)
        };
        assert!(inked(Anchor::Start, false).0 > 108.0 && inked(Anchor::End, false).0 < 92.0);
        assert!((inked(Anchor::Middle, false).0 - 100.0).abs() < 3.0);
        assert!(inked(Anchor::Start, true).1 < 92.0 && inked(Anchor::End, true).1 > 108.0);
    }

    #[test]
    fn nonsense_coordinates_draw_nothing() {
        let mut figure = Figure::new(9.0, 9.0, "");
        figure.dot((f64::NAN, 3.0), 2.0, "#000000", 1.0);
        figure.line((f64::NEG_INFINITY, 1.0), (f64::INFINITY, 2.0), "#000000", 1.0);
        figure.line((-1e9, -1e9), (1e9, 1e9), "#000000", 1.0);
        figure.area(Vec::new(), "nonsense", 1.0);
        figure.text((1e12, -1e12), Anchor::Start, TextStyle::default(), "far");
        figure.to_pixels(1.0);
    }
}
