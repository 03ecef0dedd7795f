//! Read a TIFF: the first page, with the colour models its decoder leaves out.
//!
//! The first directory (TIFF 6.0, section 2) is walked here to tell a photo from a camera's raw file, to
//! count pages, and to find palettes and inks. Palette and CMYK pages are decoded as plain channels, by
//! renaming their colour model in a copy of the file, and made into colours here.

use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage};

use super::decode::{image_error, read_with};
use super::raw::{Raw, Samples};

const NEW_SUBFILE_TYPE: u16 = 254;
const PHOTOMETRIC: u16 = 262;
const COLOUR_MAP: u16 = 320;
const INK_SET: u16 = 332;
const ICC_PROFILE: u16 = 34675;
const DNG_VERSION: u16 = 50706;

/// Values of the tag `PHOTOMETRIC`.
const BLACK_IS_ZERO: u16 = 1;
const RGB: u16 = 2;
const PALETTE: u16 = 3;
const SEPARATED: u16 = 5;

/// Decode the first page, of at most `max_pixels`.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let Some(directory) = Directory::first(bytes) else {
        // BigTIFF, or nothing at all: the decoder says which.
        return decode_plain(bytes, max_pixels);
    };
    let is_raw = directory.find(DNG_VERSION).is_some() || bytes.get(8..10) == Some(b"CR");
    if is_raw || directory.value(NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 == 1) {
        return Err("the TIFF is a camera's raw file or begins with a thumbnail; develop it to JPEG first".to_owned());
    }
    let mut raw = match directory.value(PHOTOMETRIC) {
        Some(PALETTE) => {
            let mut raw = decode_plain(&directory.renamed(BLACK_IS_ZERO).ok_or("the TIFF is damaged")?, max_pixels)?;
            raw.samples = Samples::Image(directory.colours(&raw.samples)?.into());
            raw
        }
        Some(SEPARATED) if directory.value(INK_SET).unwrap_or(1) == 1 => {
            let mut raw = decode_plain(&directory.renamed(RGB).ok_or("the TIFF is damaged")?, max_pixels)?;
            let Samples::Image(image) = &raw.samples else { return Err("the TIFF is damaged".to_owned()) };
            if image.color().channel_count() != 4 {
                return Err("a TIFF of separated colours other than CMYK is not supported".to_owned());
            }
            let size = (image.width(), image.height());
            raw.samples = Samples::Cmyk { size, ink: image.to_rgba8().into_raw() };
            raw.notes.push("CMYK: converted to sRGB".to_owned());
            raw
        }
        _ => decode_plain(bytes, max_pixels)?,
    };
    // The decoder drops profiles that are large beside the picture.
    raw.icc = directory.data(ICC_PROFILE).map(<[u8]>::to_vec);
    if directory.has_more {
        raw.notes.push("pages: only the first is published".to_owned());
    }
    Ok(raw)
}

fn decode_plain(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let mut decoder = TiffDecoder::new(Cursor::new(bytes)).map_err(|e| image_error(&e))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut raw = read_with(decoder, max_pixels)?;
    raw.orientation = orientation;
    Ok(raw)
}

/// The first directory of a classic TIFF.
struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Where its first entry begins.
    entries_at: usize,
    count: usize,
    has_more: bool,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let mut directory =
            Self { bytes, big_endian: bytes.starts_with(b"MM"), entries_at: 0, count: 0, has_more: false };
        if directory.u16_at(2)? != 42 {
            return None;
        }
        let start = directory.u32_at(4)? as usize;
        directory.count = usize::from(directory.u16_at(start)?);
        directory.entries_at = start.checked_add(2)?;
        directory.has_more =
            directory.u32_at(directory.entries_at + 12 * directory.count).is_some_and(|next| next != 0);
        Some(directory)
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        let two = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let four = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Where the entry of `tag` begins.
    fn find(&self, tag: u16) -> Option<usize> {
        (0..self.count).map(|i| self.entries_at + 12 * i).find(|&at| self.u16_at(at) == Some(tag))
    }

    /// A single small number.
    fn value(&self, tag: u16) -> Option<u16> {
        let at = self.find(tag)?;
        match self.u16_at(at + 2)? {
            3 => self.u16_at(at + 8),
            4 => self.u32_at(at + 8)?.try_into().ok(),
            _ => None,
        }
    }

    /// The bytes of a long tag.
    fn data(&self, tag: u16) -> Option<&'a [u8]> {
        let at = self.find(tag)?;
        let (length, start) = (self.u32_at(at + 4)? as usize, self.u32_at(at + 8)? as usize);
        self.bytes.get(start..start.checked_add(length)?)
    }

    /// The file with another colour model written into it.
    fn renamed(&self, photometric: u16) -> Option<Vec<u8>> {
        let at = self.find(PHOTOMETRIC)? + 8;
        let mut bytes = self.bytes.to_vec();
        let value = if self.big_endian { photometric.to_be_bytes() } else { photometric.to_le_bytes() };
        bytes.get_mut(at..at + 2)?.copy_from_slice(&value);
        Some(bytes)
    }

    /// Palette indices to colours.
    fn colours(&self, indices: &Samples) -> Result<RgbImage, String> {
        let Samples::Image(DynamicImage::ImageLuma8(indices)) = indices else {
            return Err("a TIFF palette of other than 8 bits is not supported".to_owned());
        };
        let entry = self.find(COLOUR_MAP).ok_or("the TIFF has no palette")?;
        let at = self.u32_at(entry + 8).ok_or("the TIFF has no palette")? as usize;
        // All reds, then all greens, then all blues, in 16 bits.
        let level = |i: usize| self.u16_at(at.checked_add(2 * i)?).map(|v| (v >> 8) as u8);
        let mut palette = [[0; 3]; 256];
        for (i, colour) in palette.iter_mut().enumerate() {
            for (channel, value) in colour.iter_mut().enumerate() {
                *value = level(256 * channel + i).ok_or("the TIFF has a broken palette")?;
            }
        }
        let rgb = indices.iter().flat_map(|&i| palette.get(usize::from(i)).copied().unwrap_or_default()).collect();
        RgbImage::from_raw(indices.width(), indices.height(), rgb).ok_or_else(|| "the TIFF is damaged".to_owned())
    }
}
