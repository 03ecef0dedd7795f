//! Read a JPEG: pick out the segments a picture needs, then decode those alone.
//!
//! The file is walked marker by marker (ITU T.81, annex B) before any decoder sees it. Size, orientation
//! and colour profile are taken on the way; comments, thumbnails, maker notes and whatever follows the
//! end marker are left behind. A file that ends before its end marker is refused: half a picture is none.
//!
//! Two decoders share the work: a fast one for the grey and colour files that nearly all are, and a thorough
//! one for inks and for unusual resolutions of colour, which the first one scrambles.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::PixelFormat;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::raw::{Raw, Samples};

/// Progressive files have about ten scans; thousands only keep a decoder busy.
const MAX_SCANS: usize = 100;

/// Zero bytes after the last scan of a sequential file, more than a decoder reads ahead.
///
/// With the end marker there, the fast decoder would make up the rest of a picture whose data end early;
/// without it, such a picture is an error.
const READ_AHEAD: [u8; 16] = [0; 16];

const TRUNCATED: &str = "the JPEG is cut off: its end marker is missing";

/// What the walk found.
#[derive(Default)]
struct Segments {
    /// A JPEG of nothing but tables, frame and scans, without end marker.
    stream: Vec<u8>,
    size: Option<(u16, u16)>,
    progressive: bool,
    /// Horizontal and vertical sampling factor of each component, in one byte.
    sampling: Vec<u8>,
    adobe: bool,
    exif: Option<Vec<u8>>,
    icc: Vec<(u8, u8, Vec<u8>)>,
}

/// Decode a JPEG whose picture has at most `max_pixels`.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Raw, String> {
    let found = walk(bytes)?;
    let (width, height) = found.size.ok_or("the JPEG has no frame header")?;
    super::check_size((width.into(), height.into()), max_pixels)?;
    let (icc, mut notes) = match found.profile() {
        Ok(icc) => (icc, vec![]),
        Err(note) => (None, vec![note]),
    };
    let orientation = found.exif.as_deref().and_then(Orientation::from_exif_chunk);
    let samples = match found.sampling.as_slice() {
        [_] => found.decode_fast(ColorSpace::Luma),
        [0x11 | 0x12 | 0x21 | 0x22, 0x11, 0x11] => found.decode_fast(ColorSpace::RGB),
        _ => found.decode_thoroughly(),
    }?;
    if let Samples::Cmyk { .. } = samples {
        notes.push("CMYK: converted to sRGB".to_owned());
    }
    Ok(Raw { samples, icc, orientation: orientation.unwrap_or(Orientation::NoTransforms), notes })
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("the JPEG is damaged or of an unsupported kind: {error}")
}

impl Segments {
    fn decode_fast(mut self, space: ColorSpace) -> Result<Samples, String> {
        if self.progressive {
            self.stream.extend_from_slice(&[0xff, 0xd9]);
        } else {
            self.stream.extend_from_slice(&READ_AHEAD);
        }
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .jpeg_set_max_scans(MAX_SCANS)
            .jpeg_set_out_colorspace(space);
        let samples = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(self.stream.as_slice()), options)
            .decode()
            .map_err(damaged)?;
        self.samples(space, samples)
    }

    fn decode_thoroughly(mut self) -> Result<Samples, String> {
        self.stream.extend_from_slice(&[0xff, 0xd9]);
        let mut decoder = jpeg_decoder::Decoder::new(self.stream.as_slice());
        let mut samples = decoder.decode().map_err(damaged)?;
        let space = match decoder.info().map(|info| info.pixel_format) {
            Some(PixelFormat::L8) => ColorSpace::Luma,
            Some(PixelFormat::RGB24) => ColorSpace::RGB,
            Some(PixelFormat::CMYK32) => {
                // Adobe's writers store the complement of the ink (Technical Note 5116), others the ink; the
                // decoder takes every file for Adobe's.
                if !self.adobe {
                    samples.iter_mut().for_each(|v| *v = u8::MAX - *v);
                }
                ColorSpace::CMYK
            }
            _ => return Err("a JPEG of this depth is not supported".to_owned()),
        };
        self.samples(space, samples)
    }

    fn samples(&self, space: ColorSpace, samples: Vec<u8>) -> Result<Samples, String> {
        let (width, height) = self.size.map(|(w, h)| (u32::from(w), u32::from(h))).unwrap_or_default();
        if samples.len() as u64 != u64::from(width) * u64::from(height) * space.num_components() as u64 {
            return Err("the JPEG has fewer pixels than its header says".to_owned());
        }
        let image = match space {
            ColorSpace::Luma => GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
            ColorSpace::RGB => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
            _ => return Ok(Samples::Cmyk { size: (width, height), ink: samples }),
        };
        Ok(Samples::Image(image.unwrap_or_default()))
    }
}

fn walk(bytes: &[u8]) -> Result<Segments, String> {
    let mut found = Segments { stream: Vec::with_capacity(bytes.len()), ..Default::default() };
    found.stream.extend_from_slice(&[0xff, 0xd8]);
    let (mut rest, mut scans) = (bytes.get(2..).unwrap_or_default(), 0);
    loop {
        let (marker, after) = next_marker(rest).ok_or(TRUNCATED)?;
        rest = after;
        match marker {
            0xd9 if scans > 0 => break,
            0xd9 => return Err("the JPEG ends before its picture begins".to_owned()),
            // Markers without a body: TEM, restarts out of place, a second start.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = match rest {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(TRUNCATED.to_owned()),
        };
        let body = rest.get(2..length.max(2)).ok_or(TRUNCATED)?;
        rest = rest.get(length.max(2)..).ok_or(TRUNCATED)?;
        found.take(marker, body)?;
        if marker == 0xda {
            scans += 1;
            if scans > MAX_SCANS {
                return Err(format!("the JPEG has more than {MAX_SCANS} scans"));
            }
            let (coded, after) = rest.split_at(end_of_scan(rest).ok_or(TRUNCATED)?);
            found.stream.extend_from_slice(coded);
            rest = after;
        }
    }
    Ok(found)
}

/// The next marker and what follows it; bytes that are no marker are passed over.
fn next_marker(mut rest: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let start = rest.iter().position(|&b| b == 0xff)?;
        rest = rest.get(start + 1..)?;
        let fill = rest.iter().position(|&b| b != 0xff)?;
        let (&marker, after) = rest.get(fill..)?.split_first()?;
        rest = after;
        if marker != 0 {
            return Some((marker, rest));
        }
    }
}

/// Length of the entropy-coded data up to the first marker that is not a restart.
fn end_of_scan(coded: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += coded.get(at..)?.iter().position(|&b| b == 0xff)?;
        match coded.get(at + 1)? {
            0 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

impl Segments {
    fn take(&mut self, marker: u8, body: &[u8]) -> Result<(), String> {
        match marker {
            0xc0..=0xc2 => {
                let &[depth, h1, h0, w1, w0, count, ref components @ ..] = body else {
                    return Err("the JPEG has a broken frame header".to_owned());
                };
                if self.size.is_some() {
                    return Err("the JPEG has two frame headers".to_owned());
                }
                if depth != 8 {
                    return Err(format!("a JPEG of {depth} bits per sample is not supported"));
                }
                self.size = Some((u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])));
                self.progressive = marker == 0xc2;
                self.sampling = components.chunks_exact(3).filter_map(|c| c.get(1).copied()).collect();
                if self.sampling.len() != usize::from(count) || components.len() % 3 != 0 {
                    return Err("the JPEG has a broken frame header".to_owned());
                }
                match (count, body.to_vec()) {
                    // With one component its resolution means nothing (T.81, A.2.2), but misleads a decoder.
                    (1, mut body) => {
                        body.iter_mut().skip(7).take(1).for_each(|factors| *factors = 0x11);
                        self.keep(marker, &body);
                    }
                    _ => self.keep(marker, body),
                }
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err("a lossless, hierarchical or arithmetic-coded JPEG is not supported".to_owned());
            }
            0xc4 | 0xdb | 0xdd | 0xda => self.keep(marker, body),
            0xe0 if body.starts_with(b"AVI1\0") => self.keep(marker, body),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 && !self.adobe => {
                self.adobe = true;
                self.keep(marker, body);
            }
            0xe1 if self.exif.is_none() => self.exif = body.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec),
            0xe2 => {
                if let Some([number, count, data @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    self.icc.push((*number, *count, data.to_vec()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn keep(&mut self, marker: u8, body: &[u8]) {
        // The body came out of a segment, so its length fits.
        let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
        self.stream.extend_from_slice(&[0xff, marker]);
        self.stream.extend_from_slice(&length.to_be_bytes());
        self.stream.extend_from_slice(body);
    }

    /// The profile put together from its chunks (ICC.1:2022, annex B.4), if there is one.
    fn profile(&self) -> Result<Option<Vec<u8>>, String> {
        let mut chunks: Vec<_> = self.icc.iter().collect();
        chunks.sort_by_key(|(number, ..)| *number);
        let whole = chunks
            .iter()
            .zip(1..)
            .all(|((number, count, _), i)| usize::from(*number) == i && usize::from(*count) == chunks.len());
        match (chunks.is_empty(), whole) {
            (true, _) => Ok(None),
            (_, true) => Ok(Some(chunks.into_iter().flat_map(|(.., data)| data).copied().collect())),
            _ => Err("colour profile: incomplete, taken as sRGB".to_owned()),
        }
    }
}
