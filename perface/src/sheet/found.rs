//! The sheet of what the detector found, for a person to look through before anything is replaced.
//!
//! Photos without a face come first, because each may hold one that was missed; then those that could not be read;
//! then all others in their order. On each photo stand the detector's boxes, numbered from left to right as in the
//! report, and the boxes of the whole heads, which is what a solid fill would cover.

use std::path::PathBuf;

use image::{Rgb, RgbImage};

use super::ink::{self, WHITE, Weight};
use super::{CHOSEN, Cell, Frame, Item, Key, Pages, SheetOptions, WARNING, pages};
use crate::cover::head_box;
use crate::detect::Face;
use crate::error::Result;
use crate::geometry::Rect;

/// Room of a photo's picture: three side by side on a page of the default width.
const USUAL: (u32, u32) = (396, 300);
/// Room for a photo whose faces would be too small to judge there: the whole width.
const LARGE: (u32, u32) = (1230, 900);
/// A face narrower than this on the sheet, in pixels, cannot be judged.
const MIN_FACE_PX: f32 = 28.0;
/// From how many faces on their numbers would hide them in the usual room.
const MANY: usize = 7;
/// Room for the name of a photo that is narrow itself, in pixels.
const MIN_WIDTH: u32 = 240;
/// Most lines of scores under a photo.
const SCORE_LINES: usize = 2;
/// Colour of a head box on photos.
const HEAD: Rgb<u8> = WARNING;
/// Colour of a face box on photos.
const FACE: Rgb<u8> = CHOSEN;

/// What became of one photo's search.
#[derive(Clone, Debug)]
pub struct FoundPhoto {
    /// The file.
    pub path: PathBuf,
    /// What stands under the picture, usually the path as the user named it.
    pub name: String,
    /// Its faces from left to right, or why it could not be searched.
    pub faces: Result<Vec<Face>, String>,
}

impl FoundPhoto {
    fn urgency(&self) -> usize {
        match &self.faces {
            Ok(faces) if faces.is_empty() => 0,
            Err(_) => 1,
            Ok(_) => 2,
        }
    }
}

/// Pages of `photos`, those without a face first. `load` reads a photo's upright pixels when its page is drawn; if it
/// fails, the reason stands in the picture's place.
pub fn found_pages<'a, L>(photos: &'a [FoundPhoto], load: L) -> Pages<impl Iterator<Item = Item> + use<'a, L>>
where
    L: Fn(&FoundPhoto) -> Result<RgbImage> + 'a,
{
    let mut order: Vec<&FoundPhoto> = photos.iter().collect();
    order.sort_by_key(|photo| photo.urgency());
    let counts = [0, 1, 2].map(|urgency| photos.iter().filter(|photo| photo.urgency() == urgency).count());
    let faces: usize = photos.iter().filter_map(|photo| photo.faces.as_ref().ok()).map(Vec::len).sum();
    let titles = [
        format!("No face found: {} - look at each, one may have been missed", count(counts[0], "photo")),
        format!("Could not be read: {}", count(counts[1], "file")),
        format!("Faces found: {} in {}", count(faces, "face"), count(counts[2], "photo")),
    ];
    let mut last = None;
    let items = order.into_iter().flat_map(move |photo| {
        let begins = last.replace(photo.urgency()) != Some(photo.urgency());
        let title = titles.get(photo.urgency()).filter(|_| begins).cloned().map(Item::Title);
        title.into_iter().chain([Item::Cell(cell(photo, &load))])
    });
    let options = SheetOptions {
        title: "What was found. CONFIDENTIAL: the original photos".to_owned(),
        legend: vec![
            Key { colour: FACE, dashed: false, meaning: "face, with its number".to_owned() },
            Key { colour: HEAD, dashed: true, meaning: "whole head: what a fill covers".to_owned() },
            Key { colour: WARNING, dashed: false, meaning: "frame: look here".to_owned() },
        ],
        ..SheetOptions::default()
    };
    pages(items, options)
}

/// `n` things, in words.
fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

fn cell(photo: &FoundPhoto, load: impl Fn(&FoundPhoto) -> Result<RgbImage>) -> Cell {
    let faces = match &photo.faces {
        Ok(faces) => faces,
        Err(reason) => return message(photo, "NOT READ", reason),
    };
    let pixels = match load(photo) {
        Ok(pixels) => pixels,
        Err(error) => return message(photo, "NOT READ AGAIN", &error.to_string()),
    };
    let mut cell = Cell::new(with_boxes(&pixels, faces), vec![photo.name.clone()]);
    cell.min_width_px = MIN_WIDTH;
    if faces.is_empty() {
        cell.heading = Some("NO FACE FOUND".to_owned());
        cell.frame = Some(Frame::Warning);
    } else {
        cell.lines.extend(score_lines(faces, cell.picture.width().max(MIN_WIDTH)));
    }
    cell
}

/// A cell with words in the picture's place.
fn message(photo: &FoundPhoto, heading: &str, reason: &str) -> Cell {
    let mut picture = RgbImage::from_pixel(USUAL.0, USUAL.1 / 2, Rgb([238; 3]));
    let room = (USUAL.0 / ink::char_width()).saturating_sub(2) as usize;
    let letters: Vec<char> = reason.chars().collect();
    for (nth, line) in letters.chunks(room.max(1)).take(6).enumerate() {
        let line: String = line.iter().collect();
        let y = 10 + nth as u32 * ink::LINE_PX;
        ink::text(&mut picture, ink::char_width(), y, &line, ink::BLACK, Weight::Regular);
    }
    Cell {
        heading: Some(heading.to_owned()),
        picture,
        lines: vec![photo.name.clone()],
        frame: Some(Frame::Warning),
        min_width_px: 0,
    }
}

/// "1: .93  2: .71", in at most two lines of `width` pixels; how many are left out, if any are.
fn score_lines(faces: &[Face], width: u32) -> Vec<String> {
    let room = (width / ink::char_width()) as usize;
    let mut lines = vec![String::new()];
    for (nth, face) in faces.iter().enumerate() {
        let score = format!("{}: {:.2}", nth + 1, face.score);
        let rest = format!(" +{} more", faces.len() - nth);
        let last = lines.len() == SCORE_LINES;
        let Some(line) = lines.last_mut() else { break };
        let reserved = if last && nth + 1 < faces.len() { rest.len() } else { 0 };
        if line.is_empty() || line.len() + 2 + score.len() + reserved <= room {
            *line += if line.is_empty() { "" } else { "  " };
            *line += &score;
        } else if last {
            *line += &rest;
            break;
        } else {
            lines.push(score);
        }
    }
    lines
}

/// `pixels` made small, with the boxes of `faces` and their numbers.
pub fn with_boxes(pixels: &RgbImage, faces: &[Face]) -> RgbImage {
    let usual = ink::thumbnail_scale(pixels.dimensions(), USUAL.0, USUAL.1) as f32;
    let small = faces.iter().any(|face| face.box_px.width() * usual < MIN_FACE_PX);
    let (width, height) = if small || faces.len() >= MANY { LARGE } else { USUAL };
    let scale = ink::thumbnail_scale(pixels.dimensions(), width, height) as f32;
    let mut picture = ink::thumbnail(pixels, width, height);
    for face in faces {
        // White beside the colour, so that a line shows on any photo.
        let head = edges(head_box(face), scale);
        ink::outline(&mut picture, head, 2, WHITE, false);
        ink::outline(&mut picture, head, 2, HEAD, true);
        let face = edges(face.box_px, scale);
        ink::outline(&mut picture, grown(face, 1), 1, WHITE, false);
        ink::outline(&mut picture, face, 2, FACE, false);
    }
    for (nth, face) in faces.iter().enumerate() {
        number(&mut picture, edges(face.box_px, scale), nth + 1);
    }
    picture
}

/// The number of a face, above its box where there is room, otherwise just inside.
fn number(picture: &mut RgbImage, [left, top, ..]: [i64; 4], number: usize) {
    let words = number.to_string();
    let (width, height) = (i64::from(ink::text_width(&words)) + 4, i64::from(ink::LINE_PX) - 3);
    let y = if top >= height { top - height } else { top };
    let x = left.clamp(0, (i64::from(picture.width()) - width).max(0));
    let y = y.clamp(0, (i64::from(picture.height()) - height).max(0));
    ink::fill(picture, [x, y, x + width, y + height], FACE);
    ink::text(picture, x as u32 + 2, (y - 1).max(0) as u32, &words, WHITE, Weight::Bold);
}

fn edges(rect: Rect, scale: f32) -> [i64; 4] {
    [rect.left, rect.top, rect.right, rect.bottom].map(|edge| (edge * scale).round() as i64)
}

fn grown([left, top, right, bottom]: [i64; 4], by: i64) -> [i64; 4] {
    [left.saturating_sub(by), top.saturating_sub(by), right.saturating_add(by), bottom.saturating_add(by)]
}
