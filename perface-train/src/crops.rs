//! Aligned crops of every picture of a list, cut once and kept.
//!
//! The cache is one file for one list: it is named by the SHA-256 of everything it depends on, ends with that of its
//! content, and is made anew whenever anything about it is wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use image::RgbImage;
use perface::align;
use perface::atomic::{self, Overwrite};
use perface::candidates::Reader;
use perface::detect::Face;
use perface::file::read_limited;
use perface::model::card::Layout;
use perface::model::pack::sha256_hex;
use perface::parallel::in_parallel;
use perface::photo::{self, Limits};
use perface::{Error, Result};

const MAGIC: &[u8; 8] = b"PFCROPS1";
/// Bytes of a crop of 112 × 112 pixels.
pub const CROP_BYTES: usize = 3 * (align::CROP_PX * align::CROP_PX) as usize;
/// Largest cache that is read, in bytes: about 57 000 crops.
const MAX_CACHE_BYTES: u64 = 2 << 30;
/// Largest picture file, in bytes.
const MAX_PICTURE_BYTES: u64 = 256 << 20;
/// How a face is found; with the aligner of the network's card part of a cache's name.
const FINDER: &str = "yunet-main v1";
/// Length of a SHA-256 in hex.
const HEX_BYTES: usize = 64;

/// Pictures to cut.
pub struct CropRequest<'a> {
    /// Their names, relative to `folder`.
    pub names: &'a [String],
    /// Folder of the pictures.
    pub folder: &'a Path,
    /// For each picture the target it shows, where all pictures of one target have the same size and pose, as swaps of
    /// it do: a face that is not found there is cut where another's is. Empty where that does not hold.
    pub target_of: HashMap<String, String>,
    /// Folder of the cache.
    pub cache: &'a Path,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CropReport {
    /// RGB crops one after the other, in the order of the names; black where there is none.
    pub pixels: Vec<u8>,
    /// Pictures without a crop, and why.
    pub unusable: Vec<(String, String)>,
    /// Pictures cut where another picture of the same target has its face.
    pub borrowed: usize,
    /// SHA-256 of the names and files.
    pub sha256: String,
}

/// Cut the main face out of every picture, on all cores; `on_done` is told after each.
///
/// # Errors
/// [`Error::Io`] if the cache cannot be written, [`Error::Usage`] if the reader's embedder takes no crops of 112 × 112 pixels. A picture that cannot be read, or has no face, is no error.
pub fn cut(request: &CropRequest<'_>, reader: &Reader, on_done: &(dyn Fn() + Sync)) -> Result<CropReport> {
    let preprocessing = &reader.embedder.card().preprocessing;
    let size = (preprocessing.width_px, preprocessing.height_px);
    if size != (align::CROP_PX, align::CROP_PX) || preprocessing.layout != Layout::Nchw {
        let name = &reader.embedder.card().name;
        return Err(Error::Usage(format!("{name}: only networks that take 3 × 112 × 112 can be trained on")));
    }
    let path_of = |name: &String| request.folder.join(name);
    let hashes = in_parallel(request.names, |name| match read_limited(&path_of(name), MAX_PICTURE_BYTES) {
        Ok(bytes) => sha256_hex(&bytes),
        Err(error) => format!("unreadable: {error}"),
    });
    let mut key = format!("{FINDER}+{}\n{}\n", preprocessing.aligner.as_str(), request.target_of.len());
    let mut content = String::new();
    for (name, hash) in request.names.iter().zip(&hashes) {
        content.push_str(&format!("{name}\t{hash}\n"));
        if let Some(target) = request.target_of.get(name) {
            key.push_str(&format!("{target:?}\n"));
        }
    }
    key.push_str(&content);
    let file = request.cache.join(format!("crops-{}.bin", sha256_hex(key.as_bytes())));
    let sha256 = sha256_hex(content.as_bytes());
    if let Some(known) = read_cache(&file, request.names.len()) {
        request.names.iter().for_each(|_| on_done());
        return Ok(CropReport { sha256, ..known });
    }
    let report = CropReport { sha256, ..cut_all(request, reader, on_done) };
    std::fs::create_dir_all(request.cache).map_err(Error::io(request.cache))?;
    atomic::write(&file, &encode(&report)?, Overwrite::Always)?;
    Ok(report)
}

/// A picture whose face is found, or why there is none.
type Found = Result<(RgbImage, Face), String>;

fn cut_all(request: &CropRequest<'_>, reader: &Reader, on_done: &(dyn Fn() + Sync)) -> CropReport {
    let look = |path: &PathBuf| -> Result<(RgbImage, Option<Face>), String> {
        let picture = photo::read(path, &Limits::default()).map_err(|error| error.to_string())?.pixels;
        let face = reader.main_face(&picture).map_err(|error| error.to_string())?;
        Ok((picture, face))
    };
    let crop_of = |found: Found| -> Result<Vec<u8>, String> {
        let (picture, face) = found?;
        let aligned = reader.embedder.align(&picture, &face).ok_or("its face cannot be aligned")?;
        Ok(aligned.crop().as_raw().clone())
    };
    // What a picture without a face needs of the others of its target: their size and where their faces are.
    type SizedFace = ((u32, u32), Face);
    let faces: Mutex<HashMap<&str, SizedFace>> = Mutex::new(HashMap::new());
    let crops = in_parallel(request.names, |name| {
        let looked = look(&request.folder.join(name));
        on_done();
        let (picture, Some(face)) = looked? else { return Err("no face was found".to_owned()) };
        if let Some(target) = request.target_of.get(name) {
            let mut faces = faces.lock().unwrap_or_else(PoisonError::into_inner);
            faces.entry(target.as_str()).or_insert((picture.dimensions(), face.clone()));
        }
        crop_of(Ok((picture, face)))
    });
    let faces = faces.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = CropReport::default();
    for (name, crop) in request.names.iter().zip(crops) {
        let again = || -> Option<Vec<u8>> {
            let (size, face) = faces.get(request.target_of.get(name)?.as_str())?;
            let (picture, _) = look(&request.folder.join(name)).ok()?;
            (picture.dimensions() == *size).then(|| crop_of(Ok((picture, face.clone()))).ok())?
        };
        match crop.or_else(|reason| again().inspect(|_| report.borrowed += 1).ok_or(reason)) {
            Ok(crop) => report.pixels.extend(crop),
            Err(reason) => {
                report.pixels.resize(report.pixels.len() + CROP_BYTES, 0);
                report.unusable.push((name.clone(), reason));
            }
        }
    }
    report
}

fn encode(report: &CropReport) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(&(&report.unusable, report.borrowed))
        .map_err(|error| Error::Usage(format!("could not write the cache of crops: {error}")))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
    bytes.extend(&report.pixels);
    let hash = sha256_hex(&bytes);
    bytes.extend(hash.as_bytes());
    Ok(bytes)
}

/// The cache in `path`, `None` if there is none for `count` pictures or it is damaged.
fn read_cache(path: &Path, count: usize) -> Option<CropReport> {
    let bytes = read_limited(path, MAX_CACHE_BYTES).ok()?;
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HEX_BYTES)?)?;
    if sha256_hex(content).as_bytes() != hash {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (text, pixels) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (unusable, borrowed) = serde_json::from_slice(text).ok()?;
    let fits = count.checked_mul(CROP_BYTES) == Some(pixels.len());
    fits.then(|| CropReport { pixels: pixels.to_vec(), unusable, borrowed, sha256: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_read_back_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crops.bin");
        let report = CropReport {
            pixels: (0..2 * CROP_BYTES).map(|n| (n % 251) as u8).collect(),
            unusable: vec![("b.jpg".to_owned(), "no face was found".to_owned())],
            borrowed: 1,
            sha256: String::new(),
        };
        let bytes = encode(&report).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_cache(&path, 2), Some(report));
        assert_eq!(read_cache(&path, 3), None, "of another list");
        for at in [0, 20, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read_cache(&path, 2), None, "byte {at}");
        }
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert_eq!(read_cache(&path, 2), None);
    }
}
