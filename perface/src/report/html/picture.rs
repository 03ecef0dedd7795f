//! The page's pictures: small JPEG files inside it.
//!
//! One photo is in memory at a time. A picture that cannot be read is said in words and costs nothing else.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;

use super::PageOptions;
use super::markup::Markup;
use crate::geometry::Rect;
use crate::photo;
use crate::report::{FaceRecord, PhotoRecord};
use crate::sheet::ink;

/// Room of a photo's picture, in pixels: half a page's width.
const PHOTO_PX: (u32, u32) = (440, 440);
/// Room of a face in a ranking, in pixels.
const FACE_PX: u32 = 96;
/// JPEG quality of what is shown small: 20 kB for a photo.
const QUALITY: u8 = 78;
/// How many pool faces are shown at most, each once, at about 3 kB.
const MAX_CANDIDATES: usize = 500;
/// Size of a face's number, in pixels of the picture.
const NUMBER_PX: f64 = 13.0;

/// A picture small enough to stand in the page.
pub struct Thumbnail {
    data_uri: String,
    size: (u32, u32),
    scale: f64,
}

impl Thumbnail {
    fn of(pixels: &RgbImage, room: (u32, u32)) -> Result<Self, String> {
        let small = ink::thumbnail(pixels, room.0, room.1);
        let (width, height) = small.dimensions();
        let scale = ink::thumbnail_scale(pixels.dimensions(), room.0, room.1);
        let jpeg = photo::encode_thumbnail(&small, QUALITY).map_err(|error| error.to_string())?;
        Ok(Self { data_uri: format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)), size: (width, height), scale })
    }
}

/// Reads pictures and keeps the pool's, which appear many times, for the page's end.
pub struct Pictures<'a> {
    options: &'a PageOptions<'a>,
    /// Pool id to number in `shared`; `None` where its picture could not be read.
    candidates: HashMap<String, Option<usize>>,
    files: HashMap<&'a str, PathBuf>,
    shared: Vec<Thumbnail>,
}

impl<'a> Pictures<'a> {
    /// None read yet.
    pub fn new(options: &'a PageOptions<'a>) -> Self {
        let members = options
            .pool
            .into_iter()
            .flat_map(|pool| pool.members().iter().map(move |member| (member.id.as_str(), pool.path_of(member))));
        Self { options, candidates: HashMap::new(), files: members.collect(), shared: Vec::new() }
    }

    /// The photo as it was written, with its faces' boxes; words if it was not or cannot be read.
    pub fn result(&self, page: &mut Markup, photo: &PhotoRecord) {
        let Some(output) = &photo.output else {
            page.raw("<p class=\"missing\">Nothing was written.</p>");
            return;
        };
        let read = inside(self.options.out_dir, output)
            .ok_or_else(|| "its name leads out of the folder of results".to_owned())
            .and_then(|path| self.read(&path))
            .and_then(|pixels| Thumbnail::of(&pixels, PHOTO_PX));
        figure(page, "Result", read, &photo.faces);
    }

    /// The photo as it was, if originals are asked for.
    pub fn original(&self, page: &mut Markup, photo: &PhotoRecord) {
        if !self.options.include_originals {
            return;
        }
        let read = self.read(Path::new(&photo.input)).and_then(|pixels| Thumbnail::of(&pixels, PHOTO_PX));
        figure(page, "Original", read, &photo.faces);
    }

    /// A pool face, by its id; nothing if the pool is not at hand or its picture cannot be read.
    pub fn candidate(&mut self, page: &mut Markup, id: &str) {
        let known = match self.candidates.get(id) {
            Some(known) => *known,
            None => {
                let known = self.read_candidate(id);
                self.candidates.insert(id.to_owned(), known);
                known
            }
        };
        let Some(number) = known else { return };
        page.raw("<svg class=\"candidate\"").attribute("viewBox", &format!("0 0 {FACE_PX} {FACE_PX}"));
        page.raw(" role=\"img\"").attribute("aria-label", id);
        page.raw("><use").attribute("href", &format!("#c{number}")).raw("/></svg>");
    }

    fn read_candidate(&mut self, id: &str) -> Option<usize> {
        let path = self.files.get(id).filter(|_| self.shared.len() < MAX_CANDIDATES)?;
        match self.read(path).and_then(|pixels| Thumbnail::of(&pixels, (FACE_PX, FACE_PX))) {
            Ok(thumbnail) => {
                self.shared.push(thumbnail);
                Some(self.shared.len() - 1)
            }
            Err(reason) => {
                tracing::warn!(candidate = id, reason, "left out of the report");
                None
            }
        }
    }

    /// What [`Pictures::candidate`] referred to; stands once, anywhere in the page.
    pub fn finish(self, page: &mut Markup) {
        if self.shared.is_empty() {
            return;
        }
        page.raw("<svg width=\"0\" height=\"0\" class=\"store\" aria-hidden=\"true\"><defs>\n");
        for (number, thumbnail) in self.shared.iter().enumerate() {
            page.raw("<image").attribute("id", &format!("c{number}")).attribute("href", &thumbnail.data_uri);
            page.number("width", f64::from(FACE_PX)).number("height", f64::from(FACE_PX)).raw("/>\n");
        }
        page.raw("</defs></svg>\n");
    }

    fn read(&self, path: &Path) -> Result<RgbImage, String> {
        photo::read(path, &self.options.limits).map(|photo| photo.pixels).map_err(|error| error.to_string())
    }
}

/// `name` in `folder`; `None` if it would lead out of it.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    let stays = name.components().all(|part| matches!(part, Component::Normal(_)));
    stays.then(|| folder.join(name))
}

fn figure(page: &mut Markup, caption: &'static str, picture: Result<Thumbnail, String>, faces: &[FaceRecord]) {
    page.raw("<figure>");
    match picture {
        Ok(thumbnail) => drawn(page, caption, &thumbnail, faces),
        Err(reason) => {
            page.raw("<p class=\"missing\">No picture: ").name(&reason).raw("</p>");
        }
    }
    page.raw("<figcaption>").raw(caption).raw("</figcaption></figure>\n");
}

/// The picture with a numbered box for each face.
fn drawn(page: &mut Markup, caption: &'static str, thumbnail: &Thumbnail, faces: &[FaceRecord]) {
    let (width, height) = (f64::from(thumbnail.size.0), f64::from(thumbnail.size.1));
    page.raw("<svg class=\"photo\"").attribute("viewBox", &format!("0 0 {width} {height}"));
    page.number("width", width).number("height", height);
    page.raw(" role=\"img\"").attribute("aria-label", caption).raw("><image");
    page.attribute("href", &thumbnail.data_uri).number("width", width).number("height", height).raw("/>\n");
    for (nth, face) in faces.iter().enumerate() {
        let [left, top, right, bottom] = edges(&face.box_px, thumbnail);
        page.raw("<rect class=\"box\"").number("x", left).number("y", top);
        page.number("width", right - left).number("height", bottom - top).raw("/>");
        let number = (nth + 1).to_string();
        let tag = (NUMBER_PX * 0.62).mul_add(number.len() as f64, 4.0);
        let above = if top >= NUMBER_PX + 2.0 { top - NUMBER_PX - 2.0 } else { top };
        let x = left.min(width - tag).max(0.0);
        page.raw("<rect class=\"tag\"").number("x", x).number("y", above);
        page.number("width", tag).number("height", NUMBER_PX + 2.0).raw("/><text class=\"tag\"");
        page.number("x", x + 2.0).number("y", above + NUMBER_PX - 1.0).raw(">").text(&number).raw("</text>\n");
    }
    page.raw("</svg>");
}

/// A box in pixels of the thumbnail, and inside it.
fn edges(rect: &Rect, thumbnail: &Thumbnail) -> [f64; 4] {
    let (width, height) = (f64::from(thumbnail.size.0), f64::from(thumbnail.size.1));
    let [left, right] = [rect.left, rect.right].map(|x| (f64::from(x) * thumbnail.scale).clamp(0.0, width));
    let [top, bottom] = [rect.top, rect.bottom].map(|y| (f64::from(y) * thumbnail.scale).clamp(0.0, height));
    [left, top, right.max(left), bottom.max(top)]
}
