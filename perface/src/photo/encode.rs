//! Write a photo: pixels and an sRGB tag, nothing else.
//!
//! Every file is made anew from pixels, so that no metadata of the input can survive in it.

use std::path::Path;

use image::codecs::{
    png::{CompressionType, FilterType, PngEncoder},
    webp::WebPEncoder,
};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::colour::srgb_profile;
use super::{Format, Photo};
use crate::atomic::{self, Overwrite};
use crate::{Error, Result};

/// JPEG quality, 1 to 100.
pub const JPEG_QUALITY: u8 = 95;

/// Colour at full resolution: a second halving of colour would smear lips and the seams of a swapped face.
const JPEG_SAMPLING: SamplingFactor = SamplingFactor::R_4_4_4;

/// Deflate level: 3 % larger than the usual 6 and more than twice as fast (320 px photo, 4 ms against 11 ms).
const PNG_LEVEL: CompressionType = CompressionType::Level(3);

/// Widest and highest lossless WebP, from the format's 14-bit fields.
const WEBP_MAX_SIDE: u32 = 1 << 14;

/// The file for `photo`, in [`Photo::output_format`]; the same photo gives the same bytes.
///
/// JPEG is written at quality 95 with full colour resolution and without alpha, PNG and WebP without loss.
///
/// # Errors
/// [`Error::Usage`] if the photo has no pixels, more than the format can hold (JPEG 65 535 a side, WebP
/// 16 384), or an alpha of another size.
pub fn encode(photo: &Photo) -> Result<Vec<u8>> {
    encode_pixels(photo).map_err(Error::Usage)
}

/// Encode `photo` and write it to `path` whole or not at all; see [`atomic::write()`].
///
/// # Errors
/// As [`encode`], naming the file, and [`Error::Io`] if it cannot be written.
pub fn write(photo: &Photo, path: &Path, overwrite: Overwrite) -> Result<()> {
    let bytes = encode_pixels(photo).map_err(|reason| Error::Unreadable { path: path.to_owned(), reason })?;
    atomic::write(path, &bytes, overwrite)
}

/// `pixels` as a JPEG of `quality` 1 to 100, tagged sRGB: for pictures that are made, such as pool faces, where a
/// smaller file is worth more than the last detail.
///
/// # Errors
/// [`Error::Usage`] if there are no pixels or more than 65 535 a side.
pub fn encode_jpeg(pixels: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let side = |length: u32| u16::try_from(length).map_err(|_| Error::Usage("too large for a JPEG".to_owned()));
    let mut out = Vec::new();
    jpeg(&mut out, pixels, side(pixels.width())?, side(pixels.height())?, quality).map_err(Error::Usage)?;
    Ok(out)
}

/// `pixels` as a small JPEG without a tag, colour at half resolution below quality 90: for pictures inside a page.
///
/// # Errors
/// As [`encode_jpeg`].
pub fn encode_thumbnail(pixels: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let side = |length: u32| u16::try_from(length).map_err(|_| Error::Usage("too large for a JPEG".to_owned()));
    let mut out = Vec::new();
    Encoder::new(&mut out, quality)
        .encode(pixels, side(pixels.width())?, side(pixels.height())?, ColorType::Rgb)
        .map_err(|error| Error::Usage(error.to_string()))?;
    Ok(out)
}

fn jpeg(out: &mut Vec<u8>, pixels: &RgbImage, width: u16, height: u16, quality: u8) -> Result<(), String> {
    let mut encoder = Encoder::new(out, quality);
    encoder.set_sampling_factor(JPEG_SAMPLING);
    encoder.add_icc_profile(srgb_profile()).map_err(|e| e.to_string())?;
    encoder.encode(pixels, width, height, ColorType::Rgb).map_err(|e| e.to_string())
}

fn encode_pixels(photo: &Photo) -> Result<Vec<u8>, String> {
    let (width, height) = photo.pixels.dimensions();
    let format = photo.output_format();
    let too_large = || format!("a picture of {width}×{height} pixels cannot be written as {format}");
    if width == 0 || height == 0 {
        return Err("a picture without pixels cannot be written".to_owned());
    }
    let mut out = Vec::new();
    match format {
        Format::Jpeg => {
            let (Ok(width), Ok(height)) = (u16::try_from(width), u16::try_from(height)) else {
                return Err(too_large());
            };
            jpeg(&mut out, &photo.pixels, width, height, JPEG_QUALITY)?;
        }
        Format::WebP => {
            if width.max(height) > WEBP_MAX_SIDE {
                return Err(too_large());
            }
            encode_with(WebPEncoder::new_lossless(&mut out), photo)?;
        }
        _ => {
            let encoder = PngEncoder::new_with_quality(&mut out, PNG_LEVEL, FilterType::Adaptive);
            encode_with(encoder, photo)?;
        }
    }
    Ok(out)
}

fn encode_with(mut encoder: impl ImageEncoder, photo: &Photo) -> Result<(), String> {
    let (width, height) = photo.pixels.dimensions();
    encoder.set_icc_profile(srgb_profile().to_vec()).map_err(|e| e.to_string())?;
    match &photo.alpha {
        None => encoder.write_image(&photo.pixels, width, height, ExtendedColorType::Rgb8),
        Some(alpha) if alpha.dimensions() != (width, height) => {
            return Err(format!("alpha is {:?}, the picture {:?}", alpha.dimensions(), (width, height)));
        }
        Some(alpha) => {
            let rgba: Vec<u8> = photo
                .pixels
                .pixels()
                .zip(alpha.iter())
                .flat_map(|(image::Rgb([r, g, b]), a)| [*r, *g, *b, *a])
                .collect();
            encoder.write_image(&rgba, width, height, ExtendedColorType::Rgba8)
        }
    }
    .map_err(|e| e.to_string())
}
