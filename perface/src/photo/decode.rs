//! Read PNG, WebP, BMP and GIF, each within the limits.

use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::error::UnsupportedErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError};

use super::container;
use super::raw::{Raw, Samples};

/// What a decoder may set aside for one pixel: four channels of 16 bits.
const MAX_BYTES_PER_PIXEL: u64 = 8;

/// What a decoder may set aside for rows, tables and profiles; a small packed profile can unpack to gigabytes.
const MAX_BYTES_BESIDE: u64 = 64 << 20;

const TOO_MUCH: &str = "the picture asks for more memory than the limits allow";

const ANIMATED: &str = "animation: only the first frame is published";

fn max_bytes(max_pixels: u64) -> u64 {
    max_pixels.saturating_mul(MAX_BYTES_PER_PIXEL).saturating_add(MAX_BYTES_BESIDE)
}

fn allowing(bytes: u64) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// Bit depth, colour type and interlacing are undone by the decoder; `tRNS` becomes alpha.
pub(super) fn png(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    // The header chunk comes first and its numbers stand at fixed places (PNG, 11.2.1).
    if let Some([w3, w2, w1, w0, h3, h2, h1, h0]) = bytes.get(16..24) {
        let size = (u32::from_be_bytes([*w3, *w2, *w1, *w0]), u32::from_be_bytes([*h3, *h2, *h1, *h0]));
        super::check_size(size, max_pixels)?;
    }
    let decoder =
        PngDecoder::with_limits(Cursor::new(bytes), allowing(MAX_BYTES_BESIDE)).map_err(|e| image_error(&e))?;
    let animated = decoder.is_apng().unwrap_or(false);
    with_notes(read_with(decoder, max_pixels)?, animated)
}

/// Lossy and lossless.
pub(super) fn webp(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let decoder = WebPDecoder::new(Cursor::new(container::webp(bytes)?)).map_err(|e| image_error(&e))?;
    let animated = decoder.has_animation();
    with_notes(read_with(decoder, max_pixels)?, animated)
}

/// All depths, run-length coded or not.
pub(super) fn bmp(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|e| image_error(&e))?;
    read_with(decoder, max_pixels)
}

/// The first frame on its canvas; what it leaves uncovered is transparent.
pub(super) fn gif(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let animated = container::gif_is_animated(bytes)?;
    let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(|e| image_error(&e))?;
    with_notes(read_with(decoder, max_pixels)?, animated)
}

fn with_notes(mut raw: Raw, animated: bool) -> Result<Raw, String> {
    if animated {
        raw.notes.push(ANIMATED.to_owned());
    }
    Ok(raw)
}

/// Check the size, then let any decoder read its pixels, profile and orientation.
pub(super) fn read_with(mut decoder: impl ImageDecoder, max_pixels: u64) -> Result<Raw, String> {
    super::check_size(decoder.dimensions(), max_pixels)?;
    if decoder.total_bytes() > max_bytes(max_pixels) {
        return Err(TOO_MUCH.to_owned());
    }
    decoder.set_limits(allowing(max_bytes(max_pixels))).map_err(|e| image_error(&e))?;
    let mut notes = vec![];
    let icc = decoder.icc_profile().unwrap_or_else(|_| {
        notes.push("colour profile: unreadable, taken as sRGB".to_owned());
        None
    });
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|e| image_error(&e))?;
    Ok(Raw { samples: Samples::Image(image), icc, orientation, notes })
}

/// A decoder's complaint in a sentence of ours.
pub(super) fn image_error(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => TOO_MUCH.to_owned(),
        ImageError::Unsupported(what) => match what.kind() {
            UnsupportedErrorKind::Color(colour) => {
                format!("this kind of picture is not supported: colour type {colour:?}")
            }
            UnsupportedErrorKind::GenericFeature(feature) => {
                format!("this kind of picture is not supported: {feature}")
            }
            _ => "this kind of picture is not supported".to_owned(),
        },
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the picture is cut off: the file ends too early".to_owned()
        }
        other => format!("the picture is damaged: {other}"),
    }
}
