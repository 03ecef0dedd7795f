//! From a decoder's samples to a [`Photo`]: colour, alpha, orientation.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};

use super::colour::ToSrgb;
use super::{Format, Photo};

/// What a decoder hands over: samples as they stood in the file, and how to read them.
pub(super) struct Raw {
    pub samples: Samples,
    /// Embedded colour profile.
    pub icc: Option<Vec<u8>>,
    pub orientation: Orientation,
    /// Warnings so far.
    pub notes: Vec<String>,
}

/// Samples as they stood in the file.
pub(super) enum Samples {
    /// Grey or RGB, with or without alpha, of 8, 16 or 32 bits.
    Image(DynamicImage),
    /// Four bytes of ink a pixel, 255 full, row by row.
    Cmyk { size: (u32, u32), ink: Vec<u8> },
}

impl Raw {
    /// 8-bit sRGB, upright, with nothing hidden under full transparency.
    pub(super) fn into_photo(self, format: Format) -> Result<Photo, String> {
        let Self { samples, icc, orientation, mut notes } = self;
        let transform = icc.and_then(|icc| {
            ToSrgb::new(&icc, samples.channels()).unwrap_or_else(|reason| {
                notes.push(format!("colour profile: {reason}, taken as sRGB"));
                None
            })
        });
        let alpha = samples.alpha().filter(|alpha| alpha.iter().any(|&a| a != u8::MAX));
        let pixels = match (&transform, samples) {
            (None, Samples::Image(image)) => image.into_rgb8(),
            (None, Samples::Cmyk { size, ink }) => naive_cmyk(size, &ink)?,
            (Some(transform), samples) => convert(&samples, transform)?,
        };
        let mut photo = Photo {
            pixels: upright(pixels.into(), orientation).into_rgb8(),
            alpha: alpha.map(|alpha| upright(alpha.into(), orientation).into_luma8()),
            format,
            notes,
        };
        if photo.blank_transparent() {
            photo.notes.push("alpha: the whole picture is transparent".to_owned());
        }
        Ok(photo)
    }
}

fn upright(mut image: DynamicImage, orientation: Orientation) -> DynamicImage {
    image.apply_orientation(orientation);
    image
}

/// Ink to light without a profile: each ink and black swallow their share.
fn naive_cmyk(size: (u32, u32), ink: &[u8]) -> Result<RgbImage, String> {
    let light = |ink: u8, black: u8| {
        let product = u32::from(255 - ink) * u32::from(255 - black);
        ((product + 127) / 255) as u8
    };
    let mut out = Vec::with_capacity(ink.len() / 4 * 3);
    for pixel in ink.chunks_exact(4) {
        if let &[c, m, y, k] = pixel {
            out.extend_from_slice(&[light(c, k), light(m, k), light(y, k)]);
        }
    }
    RgbImage::from_raw(size.0, size.1, out).ok_or_else(|| "the picture has missing pixels".to_owned())
}

/// Through the profile, row by row, so that the only large buffer is the result.
fn convert(samples: &Samples, transform: &ToSrgb) -> Result<RgbImage, String> {
    let (width, height) = (samples.size().0 as usize, samples.size().1);
    let mut out = RgbImage::new(width as u32, height);
    let rows = out.chunks_exact_mut(width * 3).enumerate();
    let channels = transform.channels();
    let applied = |e| format!("the colour profile could not be applied: {e}");
    if samples.is_8_bit() {
        let mut source = vec![0; width * channels];
        for (y, row) in rows {
            samples.row_8(y, channels, &mut source);
            transform.in_8_bits().transform(&source, row).map_err(applied)?;
        }
    } else {
        let executor = transform.in_16_bits()?;
        let (mut source, mut target) = (vec![0; width * channels], vec![0; width * 3]);
        for (y, row) in rows {
            samples.row_16(y, channels, &mut source);
            executor.transform(&source, &mut target).map_err(applied)?;
            row.iter_mut().zip(&target).for_each(|(to, &from)| *to = narrow(from));
        }
    }
    Ok(out)
}

/// 16 bits to 8, rounded.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

impl Samples {
    /// Colour channels: 1 grey, 3 RGB, 4 CMYK.
    fn channels(&self) -> usize {
        match self {
            Self::Image(image) if image.color().has_color() => 3,
            Self::Image(_) => 1,
            Self::Cmyk { .. } => 4,
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::Image(image) => (image.width(), image.height()),
            Self::Cmyk { size, .. } => *size,
        }
    }

    /// Alpha in 8 bits, if there is any.
    fn alpha(&self) -> Option<GrayImage> {
        fn last<T: Copy>(samples: &[T], channels: usize, to_u8: impl Fn(T) -> u8) -> Vec<u8> {
            samples.chunks_exact(channels).filter_map(|pixel| pixel.last().copied().map(&to_u8)).collect()
        }
        let Self::Image(image) = self else { return None };
        let alpha = match image {
            DynamicImage::ImageLumaA8(i) => last(i, 2, |a| a),
            DynamicImage::ImageRgba8(i) => last(i, 4, |a| a),
            DynamicImage::ImageLumaA16(i) => last(i, 2, narrow),
            DynamicImage::ImageRgba16(i) => last(i, 4, narrow),
            DynamicImage::ImageRgba32F(i) => last(i, 4, |a| (a.clamp(0.0, 1.0) * 255.0).round() as u8),
            _ => return None,
        };
        GrayImage::from_raw(image.width(), image.height(), alpha)
    }

    fn is_8_bit(&self) -> bool {
        match self {
            Self::Image(image) => image.color().bytes_per_pixel() == image.color().channel_count(),
            Self::Cmyk { .. } => true,
        }
    }

    /// Row `y` of 8-bit samples, as `wanted` channels a pixel.
    fn row_8(&self, y: usize, wanted: usize, out: &mut [u8]) {
        let same = |v: u8| v;
        match self {
            Self::Cmyk { ink, .. } => spread(ink, y, 4, wanted, out, same),
            Self::Image(DynamicImage::ImageLuma8(i)) => spread(i, y, 1, wanted, out, same),
            Self::Image(DynamicImage::ImageLumaA8(i)) => spread(i, y, 2, wanted, out, same),
            Self::Image(DynamicImage::ImageRgb8(i)) => spread(i, y, 3, wanted, out, same),
            Self::Image(DynamicImage::ImageRgba8(i)) => spread(i, y, 4, wanted, out, same),
            Self::Image(_) => {}
        }
    }

    /// Row `y` of deeper samples, in 16 bits, as `wanted` channels a pixel.
    fn row_16(&self, y: usize, wanted: usize, out: &mut [u16]) {
        let same = |v: u16| v;
        let whole = |v: f32| (v.clamp(0.0, 1.0) * 65535.0).round() as u16;
        match self {
            Self::Image(DynamicImage::ImageLuma16(i)) => spread(i, y, 1, wanted, out, same),
            Self::Image(DynamicImage::ImageLumaA16(i)) => spread(i, y, 2, wanted, out, same),
            Self::Image(DynamicImage::ImageRgb16(i)) => spread(i, y, 3, wanted, out, same),
            Self::Image(DynamicImage::ImageRgba16(i)) => spread(i, y, 4, wanted, out, same),
            Self::Image(DynamicImage::ImageRgb32F(i)) => spread(i, y, 3, wanted, out, whole),
            Self::Image(DynamicImage::ImageRgba32F(i)) => spread(i, y, 4, wanted, out, whole),
            _ => {}
        }
    }
}

/// Row `y` of `samples`, which have `n` channels, as `wanted` channels a pixel: alpha is left out, and grey
/// repeated for RGB.
fn spread<S: Copy, T: Default>(samples: &[S], y: usize, n: usize, wanted: usize, out: &mut [T], to: impl Fn(S) -> T) {
    let grey = n <= 2;
    let row = samples.chunks_exact(n).skip(y * (out.len() / wanted.max(1)));
    for (pixel, from) in out.chunks_exact_mut(wanted).zip(row) {
        for (i, value) in pixel.iter_mut().enumerate() {
            *value = from.get(if grey { 0 } else { i }).copied().map(&to).unwrap_or_default();
        }
    }
}
