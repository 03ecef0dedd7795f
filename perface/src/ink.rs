//! Draw text, boxes and small pictures into a picture.
//!
//! Letters are Noto Sans Mono, drawn in advance at one size: the same on every machine. It has the letters of
//! European languages; any other character shows as a box with a question mark.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::geometry::Rect;
use crate::resample;

/// Height of a line of text, in pixels.
pub const LINE_PX: u32 = 20;
/// White.
pub const WHITE: Rgb<u8> = Rgb([255; 3]);
/// Text.
pub const BLACK: Rgb<u8> = Rgb([34; 3]);
/// What matters less.
pub const GREY: Rgb<u8> = Rgb([118; 3]);

/// Stands for a character the font lacks.
const UNKNOWN: char = '\u{fffd}';
/// Stands for what was left out.
const ELLIPSIS: &str = "...";
/// Length of a dash and of the gap after it, in pixels.
const DASH: i64 = 5;

/// How heavy letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As running text.
    Regular,
    /// As a heading.
    Bold,
}

impl Weight {
    fn font(self) -> FontWeight {
        match self {
            Self::Regular => FontWeight::Regular,
            Self::Bold => FontWeight::Bold,
        }
    }
}

/// Width of one character, in pixels; all are alike.
pub fn char_width() -> u32 {
    get_raster_width(FontWeight::Regular, RasterHeight::Size20) as u32
}

/// Width of `words`, in pixels.
pub fn text_width(words: &str) -> u32 {
    u32::try_from(words.chars().count()).unwrap_or(u32::MAX).saturating_mul(char_width())
}

/// `words` in at most `width` pixels: what is too long loses its middle, so that both the beginning of a file's name
/// and its ending stay.
pub fn shortened(words: &str, width: u32) -> String {
    let room = (width / char_width()) as usize;
    let length = words.chars().count();
    if length <= room {
        return words.to_owned();
    }
    let kept = room.saturating_sub(ELLIPSIS.len());
    let (first, last) = (kept.div_ceil(2), kept / 2);
    let ellipsis = ELLIPSIS.get(..room.min(ELLIPSIS.len())).unwrap_or_default();
    words.chars().take(first).chain(ellipsis.chars()).chain(words.chars().skip(length - last)).collect()
}

/// Draw one line of text with its top-left corner at (x, y). What lies outside the picture is left out.
pub fn text(picture: &mut RgbImage, x: u32, y: u32, words: &str, colour: Rgb<u8>, weight: Weight) {
    let mut left = x;
    for letter in words.chars().map(plain) {
        if left >= picture.width() {
            return;
        }
        let font = weight.font();
        let Some(raster) =
            get_raster(letter, font, RasterHeight::Size20).or_else(|| get_raster(UNKNOWN, font, RasterHeight::Size20))
        else {
            left += char_width();
            continue;
        };
        for (down, row) in raster.rows().enumerate() {
            for (along, &ink) in row.iter().enumerate() {
                if let Some(pixel) = picture.get_pixel_mut_checked(left + along as u32, y + down as u32) {
                    mix(pixel, colour, ink);
                }
            }
        }
        left += char_width();
    }
}

/// The font's sign for a character it has only under another name.
fn plain(letter: char) -> char {
    match letter {
        '−' | '–' | '—' | '‐' | '‑' => '-',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        letter => letter,
    }
}

fn mix(pixel: &mut Rgb<u8>, colour: Rgb<u8>, ink: u8) {
    let ink = u16::from(ink);
    for (under, over) in pixel.0.iter_mut().zip(colour.0) {
        *under = ((u16::from(*under) * (255 - ink) + u16::from(over) * ink + 127) / 255) as u8;
    }
}

/// Fill the pixels from (left, top) up to but without (right, bottom).
pub fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [i64; 4], colour: Rgb<u8>) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    for y in top.clamp(0, height)..bottom.clamp(0, height) {
        for x in left.clamp(0, width)..right.clamp(0, width) {
            if let Some(pixel) = picture.get_pixel_mut_checked(x as u32, y as u32) {
                *pixel = colour;
            }
        }
    }
}

/// Draw the inner edge, `thickness` wide, of the box [left, top, right, bottom].
pub fn outline(picture: &mut RgbImage, edges: [i64; 4], thickness: i64, colour: Rgb<u8>, dashed: bool) {
    let [left, top, right, bottom] = edges;
    // Only what is inside is walked: a box may be far larger than the picture.
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let shown = |from: i64, along: i64| !dashed || along.saturating_sub(from) / DASH % 2 == 0;
    for x in left.max(0)..right.min(width) {
        if shown(left, x) {
            fill(picture, [x, top, x + 1, top.saturating_add(thickness).min(bottom)], colour);
            fill(picture, [x, bottom.saturating_sub(thickness).max(top), x + 1, bottom], colour);
        }
    }
    for y in top.max(0)..bottom.min(height) {
        if shown(top, y) {
            fill(picture, [left, y, left.saturating_add(thickness).min(right), y + 1], colour);
            fill(picture, [right.saturating_sub(thickness).max(left), y, right, y + 1], colour);
        }
    }
}

/// `picture` averaged down to fit into `width` × `height`; a smaller one stays as it is. At least one pixel.
pub fn thumbnail(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (own_width, own_height) = picture.dimensions();
    if own_width == 0 || own_height == 0 {
        return RgbImage::from_pixel(1, 1, GREY);
    }
    if own_width <= width && own_height <= height {
        return picture.clone();
    }
    let scale = thumbnail_scale((own_width, own_height), width, height);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let whole = Rect::from_ltrb(0.0, 0.0, own_width as f32, own_height as f32);
    resample::shrink(picture, whole, side(own_width), side(own_height))
        .unwrap_or_else(|| RgbImage::from_pixel(side(own_width), side(own_height), GREY))
}

/// How much smaller [`thumbnail`] makes a picture of `size`, in (0, 1].
pub fn thumbnail_scale(size: (u32, u32), width: u32, height: u32) -> f64 {
    let share = |room: u32, length: u32| f64::from(room.max(1)) / f64::from(length.max(1));
    share(width, size.0).min(share(height, size.1)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inked(picture: &RgbImage) -> usize {
        picture.pixels().filter(|pixel| **pixel != WHITE).count()
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        let room = |letters: u32| letters * char_width();
        assert_eq!(shortened("holiday-2019-beach.jpg", room(12)), "holid....jpg");
        assert_eq!(shortened("short.jpg", room(9)), "short.jpg");
        assert_eq!(shortened("ééééééééé", room(5)), "é...é");
        assert_eq!(shortened("abcdef", room(2)), "..");
        assert_eq!(shortened("abcdef", 0), "");
    }

    #[test]
    fn letters_of_any_script_leave_ink_and_the_width_is_known() {
        for word in ["A", "é", "ż", "−", "日", "\u{7}"] {
            let mut page = RgbImage::from_pixel(40, 30, WHITE);
            text(&mut page, 2, 2, word, BLACK, Weight::Regular);
            assert!(inked(&page) > 3, "{word}");
            let right = 2 + text_width(word);
            assert!(page.enumerate_pixels().all(|(x, _, pixel)| x < right || *pixel == WHITE), "{word}");
        }
    }

    #[test]
    fn drawing_over_every_edge_stays_inside() {
        let mut page = RgbImage::from_pixel(30, 20, WHITE);
        text(&mut page, 25, 15, "over the edge", BLACK, Weight::Bold);
        outline(&mut page, [-5, -5, 12, 12], 2, BLACK, false);
        outline(&mut page, [i64::MIN, 3, i64::MAX, i64::MAX], 2, BLACK, true);
        outline(&mut page, [20, 20, 10, 10], 2, BLACK, false);
        fill(&mut page, [i64::MIN, i64::MIN, i64::MAX, 1], GREY);
        assert_eq!(*page.get_pixel(29, 0), GREY);
        assert_eq!(*page.get_pixel(11, 5), BLACK);
    }

    #[test]
    fn an_outline_is_hollow_and_a_dashed_one_has_gaps() {
        let mut page = RgbImage::from_pixel(40, 40, WHITE);
        outline(&mut page, [5, 5, 35, 35], 2, BLACK, false);
        assert_eq!(inked(&page), 30 * 30 - 26 * 26);
        let mut dashed = RgbImage::from_pixel(40, 40, WHITE);
        outline(&mut dashed, [5, 5, 35, 35], 2, BLACK, true);
        assert!(inked(&dashed) > 60 && inked(&dashed) < inked(&page));
    }

    #[test]
    fn a_thumbnail_keeps_the_shape_and_is_never_larger() {
        for (size, want) in [((400, 200), (100, 50)), ((50, 20), (50, 20)), ((3000, 1), (100, 1)), ((0, 5), (1, 1))] {
            assert_eq!(thumbnail(&RgbImage::new(size.0, size.1), 100, 80).dimensions(), want);
        }
    }
}
