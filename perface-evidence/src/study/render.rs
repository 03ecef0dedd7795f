//! Making the pictures of a study: every source's face on every target, checked.
//!
//! Each picture is written twice: as large as the target, for training, and as the centre of it at one size for all,
//! for people. A picture that is there is not made again, so a run that was stopped goes on where it was.
//!
//! A result is refused unless a face is found where the target's was, something changed inside the engine's mask, and
//! nothing outside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use image::{GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::{FILE_NAME, Place, Sample, SourceTriplet, Study, Target, Variant};
use perface::atomic::{self, Overwrite};
use perface::candidates::Reader;
use perface::detect::Face;
use perface::error::{Error, Result};
use perface::geometry::Rect;
use perface::mesh::Mesh;
use perface::photo::encode_jpeg;
use perface::photo::{self, Limits};
use perface::resample;
use perface::swap::{self, Material, Swap, Swapper};

/// Folder of the pictures to train on.
pub const PICTURES: &str = "pictures";
/// Folder of the pictures people see.
pub const SHOWN: &str = "shown";
/// Name of the record of a render.
pub const RECORD: &str = "render.json";

/// Side of the pictures people see, in pixels.
pub const SHOWN_PX: u32 = 512;
/// Quality of the pictures to train on.
const PICTURE_QUALITY: u8 = 95;
/// Quality of the pictures people see.
const SHOWN_QUALITY: u8 = 88;
/// Sources are shrunk to this side, in pixels: more than the engine's working width of a face, and little memory.
const SOURCE_PX: u32 = 768;
/// Least share of the mask in which a pixel must differ from the target.
const LEAST_CHANGED: f64 = 0.05;
/// Least overlap of the face found in the result with the target's face, as intersection over union.
const LEAST_OVERLAP: f32 = 0.3;

/// One picture to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Place of the target in the study.
    pub target: usize,
    /// Place of the source triplet in the study.
    pub triplet: usize,
    /// Which of its three sources.
    pub place: Place,
    /// Where the picture goes, relative to [`PICTURES`] and [`SHOWN`].
    pub file: String,
}

/// A picture that could not be made, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Where it would have gone.
    pub file: String,
    /// Why not.
    pub reason: String,
}

/// What a render came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderRecord {
    /// 1.
    pub schema: u32,
    /// Which engine.
    pub engine: String,
    /// Pictures that are there and were checked when they were made.
    pub pictures: usize,
    /// Those that are not.
    pub failed: Vec<Failed>,
}

/// All pictures of `study`, target by target.
pub fn tasks(study: &Study) -> Vec<Task> {
    let targets: HashMap<&str, usize> = study.targets.iter().enumerate().map(|(i, t)| (t.id.as_str(), i)).collect();
    let triplets: HashMap<&str, usize> = study.triplets.iter().enumerate().map(|(i, t)| (t.id.as_str(), i)).collect();
    let of_sample = |sample: &Sample| {
        let ids =
            targets.get(sample.target_id.as_str()).copied().zip(triplets.get(sample.triplet_id.as_str()).copied());
        let files = Place::ALL.map(|place| (place, sample.picture(place)));
        ids.map(|(target, triplet)| files.map(|(place, file)| Task { target, triplet, place, file }))
    };
    let mut tasks: Vec<Task> = study.samples.iter().filter_map(of_sample).flatten().collect();
    tasks.sort_by_key(|task| (task.target, task.triplet, task.place));
    tasks
}

/// Whether both pictures of `file` are in the study's `folder`.
pub fn is_there(folder: &Path, file: &str) -> bool {
    [PICTURES, SHOWN].iter().all(|kind| folder.join(kind).join(file).is_file())
}

/// Write the record of a render.
///
/// # Errors
/// [`Error::Io`].
pub fn write_record(folder: &Path, record: &RenderRecord) -> Result<()> {
    let path = folder.join(RECORD);
    let bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::Malformed { path: path.clone(), reason: error.to_string() })?;
    atomic::write(&path, &bytes, Overwrite::Always)
}

/// A target made ready.
struct ReadyTarget {
    photo: RgbImage,
    face: Face,
    mesh: Mesh,
}

/// Slots that are filled by whoever comes first.
type Slots<T> = Vec<OnceLock<Result<Arc<T>, String>>>;

/// Makes the pictures of one study; one serves all threads.
pub struct Renderer<'a> {
    study: &'a Study,
    folder: PathBuf,
    reader: Reader,
    swapper: Arc<dyn Swapper>,
    targets: Slots<ReadyTarget>,
    /// Three for each triplet.
    sources: Slots<Material>,
}

impl<'a> Renderer<'a> {
    /// For the study in `folder`.
    pub fn new(study: &'a Study, folder: &Path, reader: Reader, swapper: Arc<dyn Swapper>) -> Self {
        let targets = study.targets.iter().map(|_| OnceLock::new()).collect();
        let sources = study.triplets.iter().flat_map(|_| Place::ALL).map(|_| OnceLock::new()).collect();
        Self { study, folder: folder.to_owned(), reader, swapper, targets, sources }
    }

    /// Make one picture, unless it is there. `Ok(Err)` says why it cannot be made; the other pictures still can.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn render(&self, task: &Task) -> Result<Result<(), Failed>> {
        if is_there(&self.folder, &task.file) {
            return Ok(Ok(()));
        }
        match self.picture(task) {
            Err(reason) => Ok(Err(Failed { file: task.file.clone(), reason })),
            Ok(picture) => {
                // The one people see comes last: where it is, the other is too.
                let bytes = encode_jpeg(&picture, PICTURE_QUALITY)?;
                atomic::write(&self.folder.join(PICTURES).join(&task.file), &bytes, Overwrite::Always)?;
                let bytes = encode_jpeg(&shown(&picture), SHOWN_QUALITY)?;
                atomic::write(&self.folder.join(SHOWN).join(&task.file), &bytes, Overwrite::Always)?;
                Ok(Ok(()))
            }
        }
    }

    fn picture(&self, task: &Task) -> Result<RgbImage, String> {
        let target = self.target(task.target)?;
        let source = self.source(task.triplet, task.place)?;
        let asked = swap::Target { photo: &target.photo, mesh: &target.mesh, face: &target.face };
        let swap = self.swapper.swap(asked, &source).map_err(|refusal| refusal.to_string())?;
        let mut picture = target.photo.clone();
        swap.paste(&mut picture);
        check_change(&target.photo, &picture, &swap)?;
        let found = self.reader.detector.detect(&picture).map_err(|error| error.to_string())?;
        if !found.iter().any(|face| overlap(&face.box_px, &target.face.box_px) >= LEAST_OVERLAP) {
            return Err("no face is found in the result".to_owned());
        }
        Ok(picture)
    }

    fn target(&self, index: usize) -> Result<Arc<ReadyTarget>, String> {
        let missing = || "there is no such target".to_owned();
        let (slot, target) = self.targets.get(index).zip(self.study.targets.get(index)).ok_or_else(missing)?;
        slot.get_or_init(|| self.read_target(target).map(Arc::new)).clone()
    }

    fn read_target(&self, target: &Target) -> Result<ReadyTarget, String> {
        let path = self.folder.join(&target.image);
        let photo = photo::read(&path, &Limits::default()).map_err(|error| error.to_string())?.pixels;
        let (face, mesh) = self.face(&photo).map_err(|reason| format!("target {}: {reason}", target.image))?;
        Ok(ReadyTarget { photo, face, mesh })
    }

    fn source(&self, triplet: usize, place: Place) -> Result<Arc<Material>, String> {
        let missing = || "there is no such source".to_owned();
        let slot = self.sources.get(triplet * Place::ALL.len() + place as usize);
        let (slot, triplet) = slot.zip(self.study.triplets.get(triplet)).ok_or_else(missing)?;
        slot.get_or_init(|| self.read_source(triplet, place).map(Arc::new)).clone()
    }

    fn read_source(&self, triplet: &SourceTriplet, place: Place) -> Result<Material, String> {
        let image = triplet.image(place);
        let path = self.folder.join(image);
        let mut picture = photo::read(&path, &Limits::default()).map_err(|error| error.to_string())?.pixels;
        if let Some(variant) = triplet.variant.filter(|_| place != Place::C && image == triplet.c) {
            picture = varied(&picture, variant);
        }
        let picture = at_most(picture, SOURCE_PX);
        let (_, mesh) = self.face(&picture).map_err(|reason| format!("source {image}: {reason}"))?;
        Ok(Material::new(picture, mesh, None))
    }

    fn face(&self, picture: &RgbImage) -> Result<(Face, Mesh), String> {
        let face = self.reader.main_face(picture).map_err(|error| error.to_string())?;
        let face = face.ok_or_else(|| "no face was found".to_owned())?;
        let mesh = self.reader.mesher.mesh(picture, &face).map_err(|error| error.to_string())?;
        Ok((face, mesh.ok_or_else(|| "no face mesh could be laid".to_owned())?))
    }
}

/// Check that `swap` changed what it was to change in `before`, and nothing else.
fn check_change(before: &RgbImage, after: &RgbImage, swap: &Swap) -> Result<(), String> {
    let mask = mask_of(swap, before.width(), before.height());
    let (mut inside, mut changed) = (0u64, 0u64);
    for ((old, new), mask) in before.pixels().zip(after.pixels()).zip(mask.pixels()) {
        if mask.0[0] == 0 {
            if old != new {
                return Err("something changed outside the mask".to_owned());
            }
        } else {
            inside += 1;
            changed += u64::from(old != new);
        }
    }
    if inside == 0 || (changed as f64) < LEAST_CHANGED * inside as f64 {
        return Err("nothing changed inside the mask".to_owned());
    }
    Ok(())
}

/// The mask of `swap` as large as the photo.
fn mask_of(swap: &Swap, width: u32, height: u32) -> GrayImage {
    let mut whole = GrayImage::new(width, height);
    let (left, top) = swap.patch_origin;
    imageops::replace(&mut whole, &swap.mask, left.into(), top.into());
    whole
}

/// Intersection over union of two boxes, in `[0, 1]`.
fn overlap(one: &Rect, other: &Rect) -> f32 {
    let width = one.right.min(other.right) - one.left.max(other.left);
    let height = one.bottom.min(other.bottom) - one.top.max(other.top);
    let shared = width.max(0.0) * height.max(0.0);
    shared / (one.area() + other.area() - shared).max(f32::MIN_POSITIVE)
}

/// The largest square in the middle of `picture`, at the one size people see.
fn shown(picture: &RgbImage) -> RgbImage {
    resized(picture, centre_square(picture, 1.0), SHOWN_PX, SHOWN_PX)
}

/// A square of `share` of the shorter side, in the middle.
fn centre_square(picture: &RgbImage, share: f32) -> Rect {
    let side = picture.width().min(picture.height()) as f32 * share;
    let (left, top) = ((picture.width() as f32 - side) / 2.0, (picture.height() as f32 - side) / 2.0);
    Rect::from_xywh(left, top, side, side)
}

fn resized(picture: &RgbImage, part: Rect, width: u32, height: u32) -> RgbImage {
    let shrunk = resample::shrink(picture, part, width, height);
    shrunk.unwrap_or_else(|| {
        let (left, top) = (part.left.max(0.0) as u32, part.top.max(0.0) as u32);
        let cut = imageops::crop_imm(picture, left, top, part.width().max(1.0) as u32, part.height().max(1.0) as u32);
        imageops::resize(&cut.to_image(), width, height, imageops::FilterType::CatmullRom)
    })
}

/// `picture` with no side longer than `side_px`.
fn at_most(picture: RgbImage, side_px: u32) -> RgbImage {
    let longer = picture.width().max(picture.height());
    if longer <= side_px {
        return picture;
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(side_px) / u64::from(longer)).max(1) as u32;
    let whole = Rect::from_xywh(0.0, 0.0, picture.width() as f32, picture.height() as f32);
    resized(&picture, whole, scaled(picture.width()), scaled(picture.height()))
}

/// `picture` mirrored, cropped and relit as `variant` says.
pub fn varied(picture: &RgbImage, variant: Variant) -> RgbImage {
    let share = variant.kept.clamp(0.5, 1.0);
    let (width, height) = (picture.width() as f32 * share, picture.height() as f32 * share);
    let left = (picture.width() as f32 - width) / 2.0;
    let top = (picture.height() as f32 - height) / 2.0;
    let (width, height) = (width.max(1.0) as u32, height.max(1.0) as u32);
    let mut cut = imageops::crop_imm(picture, left as u32, top as u32, width, height).to_image();
    if variant.mirrored {
        imageops::flip_horizontal_in_place(&mut cut);
    }
    let gamma = variant.gamma.clamp(0.5, 2.0);
    let curve: [u8; 256] =
        std::array::from_fn(|value| ((value as f32 / 255.0).powf(gamma) * 255.0).round().clamp(0.0, 255.0) as u8);
    for value in cut.iter_mut() {
        *value = curve[usize::from(*value)];
    }
    cut
}

/// Note in the design in `folder` which engine made its pictures.
///
/// # Errors
/// [`Error::Usage`] if another engine made some already; [`Error::Io`].
pub fn note_engine(study: &mut Study, folder: &Path, engine: &str, model_hash: Option<&str>) -> Result<()> {
    let noted = (study.engine.as_deref(), study.model_hash.as_deref());
    if noted == (Some(engine), model_hash) {
        return Ok(());
    }
    if let (Some(other), _) = noted {
        return Err(Error::Usage(format!(
            "{} says its pictures are made by {other}; a study has one engine: design another for {engine}",
            folder.join(FILE_NAME).display()
        )));
    }
    study.engine = Some(engine.to_owned());
    study.model_hash = model_hash.map(str::to_owned);
    study.write(folder, Overwrite::Always)
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;
    use crate::study::tests::tiny;

    #[test]
    fn every_sample_has_three_pictures_of_its_own() {
        let study = tiny(2, 3, 1);
        let tasks = tasks(&study);
        assert_eq!(tasks.len(), 3 * study.samples.len());
        let files: std::collections::HashSet<_> = tasks.iter().map(|task| &task.file).collect();
        assert_eq!(files.len(), tasks.len());
        assert_eq!(tasks[0].file, "t000/s000c.jpg");
    }

    fn swap(patch: u8, mask_at: (u32, u32)) -> Swap {
        let mut mask = GrayImage::new(4, 4);
        mask.put_pixel(mask_at.0, mask_at.1, Luma([255]));
        Swap { patch: RgbImage::from_pixel(4, 4, Rgb([patch; 3])), patch_origin: (2, 2), mask }
    }

    #[test]
    fn a_picture_that_did_not_change_or_changed_elsewhere_is_refused() {
        let before = RgbImage::from_pixel(8, 8, Rgb([9; 3]));
        let changed = |patch| {
            let swap = swap(patch, (1, 1));
            let mut after = before.clone();
            swap.paste(&mut after);
            (after, swap)
        };
        let (after, made) = changed(200);
        assert_eq!(check_change(&before, &after, &made), Ok(()));
        let (after, made) = changed(9);
        assert!(check_change(&before, &after, &made).unwrap_err().contains("nothing changed"));
        let (mut after, made) = changed(200);
        after.put_pixel(0, 0, Rgb([1; 3]));
        assert!(check_change(&before, &after, &made).unwrap_err().contains("outside the mask"));
    }

    #[test]
    fn people_see_squares_of_one_size() {
        for (width, height) in [(320, 320), (1024, 1024), (700, 500), (31, 900)] {
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb([(x % 256) as u8, (y % 256) as u8, 7]));
            assert_eq!(shown(&picture).dimensions(), (SHOWN_PX, SHOWN_PX), "{width}×{height}");
        }
        assert_eq!(at_most(RgbImage::new(1536, 768), SOURCE_PX).dimensions(), (768, 384));
    }

    #[test]
    fn a_variant_is_mirrored_cropped_and_relit() {
        let picture = RgbImage::from_fn(100, 100, |x, _| Rgb([if x < 50 { 60 } else { 180 }; 3]));
        let made = varied(&picture, Variant { mirrored: true, kept: 0.9, gamma: 0.8 });
        assert_eq!(made.dimensions(), (90, 90));
        assert!(made.get_pixel(2, 2).0[0] > 180 && made.get_pixel(88, 2).0[0] > 60, "lighter, sides exchanged");
        assert!(made.get_pixel(2, 2).0[0] > made.get_pixel(88, 2).0[0]);
    }

    #[test]
    fn boxes_overlap_by_their_shared_area() {
        let one = Rect::from_xywh(0.0, 0.0, 10.0, 10.0);
        assert_eq!(overlap(&one, &one), 1.0);
        assert_eq!(overlap(&one, &Rect::from_xywh(20.0, 0.0, 10.0, 10.0)), 0.0);
        assert!((overlap(&one, &Rect::from_xywh(5.0, 0.0, 10.0, 10.0)) - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_study_keeps_to_one_engine() {
        let folder = tempfile::tempdir().unwrap();
        let mut study = tiny(1, 1, 0);
        note_engine(&mut study, folder.path(), "warp", None).unwrap();
        note_engine(&mut study, folder.path(), "warp", None).unwrap();
        assert_eq!(Study::read(folder.path()).unwrap().engine.as_deref(), Some("warp"));
        assert!(note_engine(&mut study, folder.path(), "other", None).unwrap_err().to_string().contains("one engine"));
    }
}
