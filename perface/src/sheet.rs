//! Contact sheets: pictures with a few words under each, in rows, on as many pages as they take.
//!
//! [`Pages`] lays out whatever an iterator gives and holds one page at a time, so that thousands of photos can be
//! looked through in bounded memory. [`found`] makes the sheet of what the detector found, [`faces`] those of ranked
//! candidates, of a pool, and of photos before and after.
//!
//! A page is white, text is [`ink::LINE_PX`] high. Colours are of the set of Okabe and Ito (Color Universal Design,
//! 2008) and never the only sign.

pub mod faces;
pub mod found;

use std::iter::Peekable;

use image::{Rgb, RgbImage};

pub use crate::ink;
use crate::ink::{BLACK, GREY, LINE_PX, WHITE, Weight};

/// Colour of what was chosen.
pub const CHOSEN: Rgb<u8> = Rgb([0, 114, 178]);
/// Colour of what a person should look at.
pub const WARNING: Rgb<u8> = Rgb([213, 94, 0]);

/// Around a page and between its cells, in pixels.
const GAP: u32 = 14;
/// Width of a frame around a picture, in pixels.
const FRAME: u32 = 4;
/// Side of a mark in the legend, in pixels.
const MARK: u32 = 16;
/// Lines under a picture; further ones are left out.
const MAX_LINES: usize = 4;

/// A frame around a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// This one was taken.
    Chosen,
    /// Look at this one.
    Warning,
}

impl Frame {
    /// Its colour.
    pub fn colour(self) -> Rgb<u8> {
        match self {
            Self::Chosen => CHOSEN,
            Self::Warning => WARNING,
        }
    }
}

/// A picture and what is said of it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Bold, above the picture; it runs on over cells to the right that have none.
    pub heading: Option<String>,
    /// The picture, shown pixel for pixel unless it is larger than the page.
    pub picture: RgbImage,
    /// Under it, at most four lines, the first bold. What is too long is shortened in the middle.
    pub lines: Vec<String>,
    /// Around it.
    pub frame: Option<Frame>,
    /// Room kept for the lines where the picture is narrower, in pixels. [`Cell::new`] gives 132: 14 letters.
    pub min_width_px: u32,
}

impl Cell {
    /// A picture with `lines` under it.
    pub fn new(picture: RgbImage, lines: Vec<String>) -> Self {
        Self { heading: None, picture, lines, frame: None, min_width_px: 132 }
    }

    fn width(&self) -> u32 {
        self.picture.width().max(self.min_width_px) + 2 * FRAME
    }

    fn text_height(&self) -> u32 {
        self.lines.len().min(MAX_LINES) as u32 * LINE_PX
    }
}

/// What a sheet is made of, in reading order.
#[derive(Clone, Debug)]
pub enum Item {
    /// Begins a section.
    Title(String),
    /// Stands right of the one before, or begins a row where there is no room.
    Cell(Cell),
    /// The next cell begins a row.
    NewRow,
}

/// A mark and its meaning.
#[derive(Clone, Debug)]
pub struct Key {
    /// Colour of the mark.
    pub colour: Rgb<u8>,
    /// Whether the mark is dashed.
    pub dashed: bool,
    /// What it means.
    pub meaning: String,
}

/// How a sheet looks.
#[derive(Clone, Debug)]
pub struct SheetOptions {
    /// Stands on every page, with the page's number.
    pub title: String,
    /// The meaning of frames and lines.
    pub legend: Vec<Key>,
    /// Width of a page. Default 1280: fits a common screen at full size.
    pub width_px: u32,
    /// Largest height of a page; the last is as high as it needs to be. Default 1600: 6 MB of pixels.
    pub max_height_px: u32,
}

impl Default for SheetOptions {
    fn default() -> Self {
        Self { title: String::new(), legend: Vec::new(), width_px: 1280, max_height_px: 1600 }
    }
}

/// Smallest and largest side of a page: room for a word, and no more memory than a photo may take.
const SIDES: std::ops::RangeInclusive<u32> = 200..=8000;

/// The pages of a sheet, each drawn when it is asked for.
pub struct Pages<I: Iterator<Item = Item>> {
    items: Peekable<I>,
    options: SheetOptions,
    /// A row that did not fit on the page before.
    held: Option<Row>,
    section: Option<String>,
    number: usize,
}

/// Cells side by side, perhaps under a title.
#[derive(Default)]
struct Row {
    title: Option<String>,
    cells: Vec<Cell>,
}

/// Lay out `items`. There is at least one page, so that an empty sheet says what it would have shown.
pub fn pages<I: IntoIterator<Item = Item>>(items: I, mut options: SheetOptions) -> Pages<I::IntoIter> {
    options.width_px = options.width_px.clamp(*SIDES.start(), *SIDES.end());
    options.max_height_px = options.max_height_px.clamp(*SIDES.start(), *SIDES.end());
    Pages { items: items.into_iter().peekable(), options, held: None, section: None, number: 0 }
}

impl<I: Iterator<Item = Item>> Iterator for Pages<I> {
    type Item = RgbImage;

    fn next(&mut self) -> Option<RgbImage> {
        let mut row = self.held.take().or_else(|| self.next_row());
        if row.is_none() && self.number > 0 {
            return None;
        }
        self.number += 1;
        let mut page = RgbImage::from_pixel(self.options.width_px, self.options.max_height_px, WHITE);
        let top = self.header(&mut page);
        let mut y = top;
        while let Some(mut next) = row {
            if y == top && next.title.is_none() {
                next.title = self.section.as_ref().map(|title| format!("{title} (continued)"));
            }
            next.fit(self.options.width_px - 2 * GAP, self.options.max_height_px.saturating_sub(top));
            if y > top && y + next.height() > self.options.max_height_px {
                self.held = Some(next);
                break;
            }
            next.draw(&mut page, y);
            y += next.height();
            row = self.next_row();
        }
        let height = (y + GAP).min(self.options.max_height_px);
        Some(image::imageops::crop_imm(&page, 0, 0, self.options.width_px, height).to_image())
    }
}

impl<I: Iterator<Item = Item>> Pages<I> {
    /// As many cells as fit side by side; `None` at the end.
    fn next_row(&mut self) -> Option<Row> {
        let room = self.options.width_px - GAP;
        let mut row = Row::default();
        let mut x = GAP;
        loop {
            match self.items.peek()? {
                Item::Title(_) if row.title.is_some() || !row.cells.is_empty() => return Some(row),
                Item::Cell(cell) if !row.cells.is_empty() && x + cell.width() > room => return Some(row),
                _ => {}
            }
            match self.items.next()? {
                Item::Title(title) => {
                    self.section = Some(title.clone());
                    row.title = Some(title);
                }
                Item::Cell(cell) => {
                    x = x.saturating_add(cell.width() + GAP);
                    row.cells.push(cell);
                }
                Item::NewRow if row.cells.is_empty() => {}
                Item::NewRow => return Some(row),
            }
            if self.items.peek().is_none() {
                return (row.title.is_some() || !row.cells.is_empty()).then_some(row);
            }
        }
    }

    /// Title, page number and legend; returns where the rows begin.
    fn header(&self, page: &mut RgbImage) -> u32 {
        let width = self.options.width_px - 2 * GAP;
        let mut y = GAP;
        let number = format!("page {}", self.number);
        let number_width = ink::text_width(&number);
        ink::text(page, (self.options.width_px - GAP).saturating_sub(number_width), y, &number, GREY, Weight::Regular);
        let title = ink::shortened(&self.options.title, width.saturating_sub(number_width + GAP));
        ink::text(page, GAP, y, &title, BLACK, Weight::Bold);
        y += LINE_PX + 6;
        let mut x = GAP;
        for key in &self.options.legend {
            let meaning = ink::shortened(&key.meaning, width.saturating_sub(MARK + 6));
            let key_width = MARK + 6 + ink::text_width(&meaning);
            if x > GAP && x + key_width > self.options.width_px - GAP {
                x = GAP;
                y += LINE_PX + 4;
            }
            let mark = [i64::from(x), i64::from(y + 2), i64::from(x + MARK), i64::from(y + 2 + MARK)];
            ink::outline(page, mark, if key.dashed { 2 } else { 3 }, key.colour, key.dashed);
            ink::text(page, x + MARK + 6, y, &meaning, BLACK, Weight::Regular);
            x += key_width + 2 * GAP;
        }
        if !self.options.legend.is_empty() {
            y += LINE_PX + 4;
        }
        ink::fill(page, [i64::from(GAP), i64::from(y), i64::from(self.options.width_px - GAP), i64::from(y + 1)], GREY);
        y + GAP
    }
}

impl Row {
    /// Shrink pictures that are wider or higher than the page allows.
    fn fit(&mut self, width: u32, height: u32) {
        let other = self.height() - self.picture_height();
        let (width, height) = (width - 2 * FRAME, height.saturating_sub(other).max(1));
        for cell in &mut self.cells {
            cell.min_width_px = cell.min_width_px.min(width);
            if cell.picture.width() > width || cell.picture.height() > height {
                cell.picture = ink::thumbnail(&cell.picture, width, height);
            }
        }
    }

    fn picture_height(&self) -> u32 {
        self.cells.iter().map(|cell| cell.picture.height()).max().unwrap_or(0)
    }

    fn heading_height(&self) -> u32 {
        if self.cells.iter().any(|cell| cell.heading.is_some()) { LINE_PX } else { 0 }
    }

    fn title_height(&self) -> u32 {
        if self.title.is_some() { LINE_PX + 8 } else { 0 }
    }

    fn height(&self) -> u32 {
        let lines = self.cells.iter().map(Cell::text_height).max().unwrap_or(0);
        self.title_height() + self.heading_height() + self.picture_height() + 2 * FRAME + 2 + lines + GAP
    }

    fn draw(&self, page: &mut RgbImage, top: u32) {
        let right = page.width() - GAP;
        if let Some(title) = &self.title {
            ink::text(page, GAP, top, &ink::shortened(title, right - GAP), BLACK, Weight::Bold);
        }
        let headings = top + self.title_height();
        let pictures = headings + self.heading_height();
        let mut x = GAP;
        for (place, cell) in self.cells.iter().enumerate() {
            if let Some(heading) = &cell.heading {
                let after = self.cells.get(place..).unwrap_or_default();
                let cells = 1 + after.iter().skip(1).take_while(|cell| cell.heading.is_none()).count();
                let width: u32 = after.iter().take(cells).map(|cell| cell.width() + GAP).sum();
                let width = width.saturating_sub(GAP).min(right.saturating_sub(x));
                let colour = cell.frame.map_or(BLACK, Frame::colour);
                ink::text(page, x + FRAME, headings, &ink::shortened(heading, width), colour, Weight::Bold);
            }
            cell.draw(page, x, pictures, self.picture_height());
            x += cell.width() + GAP;
        }
    }
}

impl Cell {
    /// With its frame's corner at (x, y), in a row whose highest picture is `row_height`.
    fn draw(&self, page: &mut RgbImage, x: u32, y: u32, row_height: u32) {
        let (width, height) = self.picture.dimensions();
        if let Some(frame) = self.frame {
            let edges =
                [i64::from(x), i64::from(y), i64::from(x + width + 2 * FRAME), i64::from(y + height + 2 * FRAME)];
            ink::outline(page, edges, i64::from(FRAME), frame.colour(), false);
        }
        image::imageops::replace(page, &self.picture, i64::from(x + FRAME), i64::from(y + FRAME));
        let mut line_y = y + row_height + 2 * FRAME + 2;
        for (nth, line) in self.lines.iter().take(MAX_LINES).enumerate() {
            let weight = if nth == 0 { Weight::Bold } else { Weight::Regular };
            ink::text(page, x + FRAME, line_y, &ink::shortened(line, self.width() - FRAME), BLACK, weight);
            line_y += LINE_PX;
        }
    }
}

#[cfg(test)]
mod tests;
