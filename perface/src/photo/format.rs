//! Which picture formats are read, how they are told apart, and what each is written as.
//!
//! A format is recognised by the first bytes of the file alone: a name says nothing about content.

/// The formats that are read, for messages.
pub(super) const SUPPORTED: &str = "JPEG, PNG, WebP, BMP, TIFF and GIF";

/// How many bytes of a file [`Format::sniff`] looks at.
pub const SNIFF_BYTES: usize = 32;

/// A picture format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG: baseline and progressive; grey, RGB, YCbCr, CMYK and YCCK.
    Jpeg,
    /// PNG: all depths and colour types.
    Png,
    /// WebP: lossy and lossless, with and without alpha.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// TIFF: grey, RGB, palette and CMYK; uncompressed, LZW, Deflate, PackBits, fax or JPEG.
    Tiff,
    /// GIF, first frame.
    Gif,
}

impl Format {
    /// The format whose signature `bytes` begins with; [`SNIFF_BYTES`] are enough.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            // "BM" alone begins many a text; the size of the second header settles it.
            [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
                Some(Self::Bmp)
            }
            _ => None,
        }
    }

    /// The format a file named with `extension` (without the dot, any case) is likely to have.
    pub fn from_extension(extension: &str) -> Option<Self> {
        let extension = extension.to_ascii_lowercase();
        [Self::Jpeg, Self::Png, Self::WebP, Self::Bmp, Self::Tiff, Self::Gif]
            .into_iter()
            .find(|format| format.extensions().contains(&extension.as_str()))
    }

    /// Usual file name extensions, lower case, the first preferred.
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png", "apng"],
            Self::WebP => &["webp"],
            Self::Bmp => &["bmp", "dib"],
            Self::Tiff => &["tif", "tiff"],
            Self::Gif => &["gif"],
        }
    }

    /// The format a photo of this format is written in: its own, or PNG for BMP, TIFF and GIF.
    pub const fn output(self) -> Self {
        match self {
            Self::Jpeg | Self::Png | Self::WebP => self,
            Self::Bmp | Self::Tiff | Self::Gif => Self::Png,
        }
    }

    /// The preferred extension of [`Format::output`], without the dot.
    pub const fn output_extension(self) -> &'static str {
        match self.output() {
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            _ => "png",
        }
    }

    /// The usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Gif => "GIF",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes that [`Format::sniff`] does not know cannot be read.
pub(super) fn describe_unknown(bytes: &[u8]) -> String {
    let kind = match bytes {
        [] => return "the file is empty".to_owned(),
        [0, 0, 1 | 2, 0, ..] => "Windows icon (ICO)",
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
            [b'a', b'v', b'i', b'f' | b's', ..] => "AVIF",
            [b'h', b'e', b'i' | b'v', ..] | [b'm', b'i' | b's', b'f', b'1', ..] => "HEIF/HEIC",
            _ => "MP4 or QuickTime video",
        },
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => "JPEG XL",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => "JPEG 2000",
        [b'8', b'B', b'P', b'S', ..] => "Photoshop document",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [b'R', b'I', b'F', b'F', ..] => "RIFF audio or video",
        _ if bytes.iter().all(|b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..)) => {
            return format!("the content is text, not a picture; pictures may be {SUPPORTED}");
        }
        _ => return format!("the content is not a known picture; pictures may be {SUPPORTED}"),
    };
    format!("unsupported format: {kind}; convert it to one of {SUPPORTED}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_the_name() {
        struct Case(&'static [u8], Option<Format>);
        for Case(bytes, format) in [
            Case(b"\xff\xd8\xff\xe0", Some(Format::Jpeg)),
            Case(b"\x89PNG\r\n\x1a\n", Some(Format::Png)),
            Case(b"RIFF\0\0\0\0WEBPVP8 ", Some(Format::WebP)),
            Case(b"RIFF\0\0\0\0WAVEfmt ", None),
            Case(b"GIF89a", Some(Format::Gif)),
            Case(b"MM\0*", Some(Format::Tiff)),
            Case(b"BM0000\0\0\0\0\x36\0\0\0\x28\0\0\0", Some(Format::Bmp)),
            Case(b"BMW is a maker of cars.", None),
            Case(b"\xff\xd8", None),
            Case(b"", None),
        ] {
            assert_eq!(Format::sniff(bytes), format, "{bytes:?}");
        }
    }

    #[test]
    fn every_extension_leads_back_to_its_format() {
        for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Bmp, Format::Tiff, Format::Gif] {
            for extension in format.extensions() {
                assert_eq!(Format::from_extension(&extension.to_uppercase()), Some(format));
            }
            assert_eq!(Format::from_extension(format.output_extension()), Some(format.output()));
        }
        assert_eq!(Format::from_extension("txt"), None);
    }

    #[test]
    fn unknown_content_is_named() {
        for (bytes, part) in [
            (&b"\0\0\x01\0\x01\0"[..], "Windows icon (ICO); convert it to one of JPEG"),
            (b"\0\0\0\x18ftypheic", "HEIF"),
            (b"\0\0\0\x18ftypavif", "AVIF"),
            (b"hello\n", "text"),
            (b"\x01\x02", "not a known picture"),
            (b"", "empty"),
        ] {
            let message = describe_unknown(bytes);
            assert!(message.contains(part), "{message}");
        }
    }
}
