//! Read a photo as upright 8-bit sRGB pixels, and write one with nothing but pixels in it.
//!
//! A file comes from anywhere, so its size and the size its header promises are checked before memory is set
//! aside; the format is told from the content; a file that is cut off is refused, never half read (a progressive
//! JPEG that somebody cut and closed again shows as everywhere, less sharp). The EXIF orientation is applied, the embedded ICC profile converted to sRGB (without one, and for the `gAMA`, `cHRM`,
//! `sRGB` and `cICP` chunks of PNG, sRGB is assumed), and samples of 16 bits are rounded to 8.
//!
//! Everything else is dropped: position, thumbnail, maker notes, XMP, IPTC, comments, further frames and pages,
//! trailing data. A kept thumbnail would show the face that was replaced. What lies under fully transparent
//! pixels is blanked for the same reason.
//!
//! ```no_run
//! use perface::atomic::Overwrite;
//! use perface::photo::{self, Limits};
//!
//! let photo = photo::read("in/holiday.jpg".as_ref(), &Limits::default())?;
//! photo::write(&photo, "out/holiday.jpg".as_ref(), Overwrite::Never)?;
//! # Ok::<(), perface::Error>(())
//! ```

mod colour;
mod container;
mod decode;
mod encode;
mod format;
mod jpeg;
pub mod provenance;
mod raw;
mod tiff;

use std::fs::{self, File};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{GrayImage, Rgb, RgbImage};

pub use encode::{JPEG_QUALITY, encode, encode_jpeg, encode_thumbnail, write};
pub use format::{Format, SNIFF_BYTES};

use crate::{Error, Result};

/// Whether a colour profile is the one that [`encode`] writes.
pub fn is_own_profile(icc: &[u8]) -> bool {
    icc == colour::srgb_profile()
}

pub use provenance::is_own as is_own_provenance;

/// What takes the place of a colour that full transparency hid.
const BLANK: Rgb<u8> = Rgb([0; 3]);

/// A picture: upright, 8-bit sRGB.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Colours.
    pub pixels: RgbImage,
    /// Opacity, of the same size; `None` if every pixel is opaque.
    pub alpha: Option<GrayImage>,
    /// The format it was read from.
    pub format: Format,
    /// What a reader of the report should know, e.g. that only the first frame of an animation was taken.
    pub notes: Vec<String>,
}

/// How large a file and a picture may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes. Default 256 MiB.
    pub max_bytes: u64,
    /// Largest picture, in pixels. Default 100 million: more than any common camera's, 300 MB as RGB.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_pixels: 100_000_000 }
    }
}

impl Photo {
    /// An opaque picture.
    pub fn new(pixels: RgbImage, format: Format) -> Self {
        Self { pixels, alpha: None, format, notes: vec![] }
    }

    /// The format it is written in; see [`Format::output`].
    pub fn output_format(&self) -> Format {
        self.format.output()
    }

    /// Blank what full transparency hides; true if that is everything.
    fn blank_transparent(&mut self) -> bool {
        let Some(alpha) = &self.alpha else { return false };
        let mut all = true;
        for (pixel, &opacity) in self.pixels.pixels_mut().zip(alpha.iter()) {
            if opacity == 0 {
                *pixel = BLANK;
            } else {
                all = false;
            }
        }
        all
    }
}

/// Read the photo in the file `path`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Unreadable`] if it is a folder or a device, is larger than
/// `limits` allow, or is no picture that can be read, with the reason.
pub fn read(path: &Path, limits: &Limits) -> Result<Photo> {
    let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
    // Asked before opening: to open a pipe is to wait for its writer.
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Err(unreadable("is a folder, not a picture".to_owned()));
    }
    if !metadata.is_file() {
        return Err(unreadable("is a device or pipe, not a file".to_owned()));
    }
    check_bytes(metadata.len(), limits.max_bytes).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let file = File::open(path).map_err(Error::io(path))?;
    // A file may grow while it is read.
    file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    decode(&bytes, path, limits)
}

/// Read a photo from the bytes of a file; `name` is for messages.
///
/// # Errors
/// [`Error::Unreadable`] if they are no picture that can be read or exceed `limits`, with the reason.
pub fn decode(bytes: &[u8], name: &Path, limits: &Limits) -> Result<Photo> {
    let unreadable = |reason: String| Error::Unreadable { path: name.to_owned(), reason };
    check_bytes(bytes.len() as u64, limits.max_bytes).map_err(unreadable)?;
    let format = Format::sniff(bytes)
        .ok_or_else(|| unreadable(format::describe_unknown(bytes.get(..SNIFF_BYTES).unwrap_or(bytes))))?;
    // The decoders are other people's and the bytes are anyone's: a fault in one must not end a run over many files.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_as(format, bytes, limits.max_pixels)));
    let photo = decoded.unwrap_or_else(|_| Err(format!("the {format} is damaged in a way its decoder cannot handle")));
    photo.map_err(unreadable)
}

fn decode_as(format: Format, bytes: &[u8], max_pixels: u64) -> Result<Photo, String> {
    let raw = match format {
        Format::Jpeg => jpeg::decode(bytes, max_pixels),
        Format::Png => decode::png(bytes, max_pixels),
        Format::WebP => decode::webp(bytes, max_pixels),
        Format::Bmp => decode::bmp(bytes, max_pixels),
        Format::Tiff => tiff::decode(bytes, max_pixels),
        Format::Gif => decode::gif(bytes, max_pixels),
    }?;
    raw.into_photo(format)
}

fn check_bytes(bytes: u64, max_bytes: u64) -> Result<(), String> {
    if bytes > max_bytes {
        return Err(format!("the file has {bytes} bytes, more than the limit of {max_bytes}"));
    }
    Ok(())
}

fn check_size((width, height): (u32, u32), max_pixels: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("its header says {width}×{height}: there are no pixels"));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(format!("its header says {width}×{height} pixels, more than the limit of {max_pixels}"));
    }
    Ok(())
}
