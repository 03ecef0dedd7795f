//! Say in the file itself that a picture is a composite with synthetic parts.
//!
//! The mark is one property of an XMP packet, IPTC's digital source type
//! (<https://cv.iptc.org/newscodes/digitalsourcetype/>), and nothing else: the same bytes in every file.

use super::Format;

/// A picture put together from several, at least one of which was made by a program.
pub const SOURCE_TYPE: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic";

const PACKET: &str = concat!(
    "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>",
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">",
    "<rdf:Description rdf:about=\"\" xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\">",
    "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic",
    "</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>"
);

/// Before the packet in an `APP1` segment of JPEG.
const JPEG_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Before the packet in an `iTXt` chunk of PNG: keyword, not compressed, no language, no translated keyword.
const PNG_HEADER: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0";

/// Whether an XMP packet is the mark alone.
pub fn is_own(packet: &[u8]) -> bool {
    packet == PACKET.as_bytes()
}

/// The encoded picture `bytes` with the mark in it.
///
/// `None` if they are no JPEG, PNG or extended WebP as [`super::encode`] makes them.
pub fn mark(bytes: &[u8]) -> Option<Vec<u8>> {
    match Format::sniff(bytes)? {
        Format::Jpeg => jpeg(bytes),
        Format::Png => png(bytes),
        Format::WebP => webp(bytes),
        _ => None,
    }
}

/// After the start of the image and the JFIF segment, which must come first.
fn jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = 2;
    if let [0xff, 0xe0, high, low] = *bytes.get(2..6)? {
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    let length = u16::try_from(2 + JPEG_HEADER.len() + PACKET.len()).ok()?;
    let segment = [&[0xff, 0xe1], length.to_be_bytes().as_slice(), JPEG_HEADER, PACKET.as_bytes()].concat();
    Some([bytes.get(..at)?, &segment, bytes.get(at..)?].concat())
}

/// After the header chunk.
fn png(bytes: &[u8]) -> Option<Vec<u8>> {
    const AFTER_HEADER: usize = 8 + 4 + 4 + 13 + 4;
    let body = [b"iTXt".as_slice(), PNG_HEADER, PACKET.as_bytes()].concat();
    let length = u32::try_from(body.len() - 4).ok()?;
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let chunk = [length.to_be_bytes().as_slice(), &body, crc.sum().to_be_bytes().as_slice()].concat();
    Some([bytes.get(..AFTER_HEADER)?, &chunk, bytes.get(AFTER_HEADER..)?].concat())
}

/// At the end, and told by a flag of the extended header.
fn webp(bytes: &[u8]) -> Option<Vec<u8>> {
    const HAS_XMP: u8 = 0b100;
    if bytes.get(12..16)? != b"VP8X" {
        return None;
    }
    let mut out = bytes.to_vec();
    *out.get_mut(20)? |= HAS_XMP;
    out.extend(b"XMP ");
    out.extend(u32::try_from(PACKET.len()).ok()?.to_le_bytes());
    out.extend(PACKET.as_bytes());
    // Chunks have even lengths.
    out.resize(out.len().next_multiple_of(2), 0);
    let size = u32::try_from(out.len() - 8).ok()?;
    out.get_mut(4..8)?.copy_from_slice(&size.to_le_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::photo::{Limits, Photo, decode, encode};

    #[test]
    fn a_marked_file_shows_the_same_pixels_and_says_what_it_is() {
        for format in [Format::Jpeg, Format::Png, Format::WebP] {
            let pixels = image::RgbImage::from_fn(31, 17, |x, y| image::Rgb([x as u8 * 8, y as u8 * 9, 60]));
            let plain = encode(&Photo::new(pixels, format)).unwrap();
            let marked = mark(&plain).unwrap();
            let read = |bytes: &[u8]| decode(bytes, Path::new("x"), &Limits::default()).unwrap().pixels;
            assert_eq!(read(&plain), read(&marked), "{format}");
            assert!(marked.windows(SOURCE_TYPE.len()).any(|w| w == SOURCE_TYPE.as_bytes()), "{format}");
            assert!(crate::metadata::scan(&marked).is_empty(), "{format}: the mark is no leak");
        }
    }

    #[test]
    fn another_packet_is_not_the_mark() {
        assert!(is_own(PACKET.as_bytes()));
        assert!(!is_own(PACKET.replace("rdf:about=\"\"", "rdf:about=\"x\"").as_bytes()));
        assert_eq!(mark(b"no picture"), None);
    }
}
