//! What a picture file says beside its pixels: position, thumbnails, notes, further frames, data after the end.
//!
//! The file is walked by its own structure, format by format; nothing is decoded but the tables of EXIF. A part that
//! the format needs, an sRGB profile of PerFace, and its mark that a picture was made by a program are no findings.
//!
//! Sources: ITU-T T.81 (JPEG), CIPA DC-008 (EXIF), W3C PNG 3, the WebP container specification, TIFF 6.0, GIF89a.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::photo::{Format, is_own_profile, is_own_provenance};

/// No more parts of one file are listed.
const MAX_FINDINGS: usize = 64;

/// A profile that unpacks to more is no plain one.
const MAX_PROFILE_BYTES: u64 = 1 << 20;

/// What kind of thing was left in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Where it was taken.
    Position,
    /// A small picture of the whole, which may show the faces as they were.
    Thumbnail,
    /// Camera, time, settings.
    Exif,
    /// The maker's own notes: serial numbers, faces the camera found.
    MakerNotes,
    /// Adobe's extensible metadata.
    Xmp,
    /// The press's captions, names and places, and Photoshop's resources.
    Iptc,
    /// Text or a comment.
    Text,
    /// More pictures: frames, pages, sub-images.
    Frames,
    /// Bytes after the end of the picture.
    Trailing,
    /// A colour profile that is not the plain one: it may name a device.
    Profile,
    /// A part that is not known here.
    Other,
}

impl Kind {
    /// Whether this alone may tell who or where somebody is. Profiles and unknown parts are shown, not failed.
    pub fn tells(self) -> bool {
        !matches!(self, Self::Profile | Self::Other)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Thumbnail => "thumbnail",
            Self::Exif => "EXIF",
            Self::MakerNotes => "maker notes",
            Self::Xmp => "XMP",
            Self::Iptc => "IPTC or Photoshop data",
            Self::Text => "text or comment",
            Self::Frames => "further pictures",
            Self::Trailing => "data after the end",
            Self::Profile => "unusual colour profile",
            Self::Other => "unknown part",
        }
    }
}

/// Everything beside the pixels in the file `bytes`, each kind once; empty for a clean file and for no picture.
pub fn scan(bytes: &[u8]) -> BTreeSet<Kind> {
    let mut found = BTreeSet::new();
    let parts = match Format::sniff(bytes) {
        Some(Format::Jpeg) => jpeg(bytes, &mut found),
        Some(Format::Png) => png(bytes, &mut found),
        Some(Format::WebP) => webp(bytes, &mut found),
        Some(Format::Gif) => gif(bytes, &mut found),
        Some(Format::Tiff) => tiff(bytes, &mut found),
        Some(Format::Bmp) => bmp(bytes, &mut found),
        None => None,
    };
    // A file that breaks off is read no further; what was found until then stands.
    let _ = parts;
    found
}

fn big_u16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?)))
}

fn big_u32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?)).ok()
}

fn little_u32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?)).ok()
}

fn xmp(packet: &[u8], found: &mut BTreeSet<Kind>) {
    if !is_own_provenance(packet) {
        found.insert(Kind::Xmp);
    }
}

fn profile(icc: &[u8], found: &mut BTreeSet<Kind>) {
    if !is_own_profile(icc) {
        found.insert(Kind::Profile);
    }
}

fn jpeg(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    let mut at = 2;
    loop {
        // Fill bytes may stand before a marker.
        while *bytes.get(at)? == 0xff && *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let marker = *bytes.get(at + 1)?;
        if *bytes.get(at)? != 0xff {
            found.insert(Kind::Other);
            return None;
        }
        at += 2;
        match marker {
            0xd9 => {
                if bytes.get(at..).is_some_and(|rest| !rest.is_empty()) {
                    found.insert(Kind::Trailing);
                }
                return Some(());
            }
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = big_u16(bytes, at)?;
        let body = bytes.get(at + 2..at.checked_add(length)?)?;
        segment(marker, body, found);
        at += length;
        if marker == 0xda {
            // Coded data: 0xff is followed by 0 or a restart marker until the next segment.
            while *bytes.get(at)? != 0xff || matches!(*bytes.get(at + 1)?, 0 | 0xd0..=0xd7 | 0xff) {
                at += 1;
            }
        }
    }
}

fn segment(marker: u8, body: &[u8], found: &mut BTreeSet<Kind>) {
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    match (marker, body) {
        // Version, unit and two densities, then width and height of a thumbnail.
        (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, _, _, _, _, _, 0, _, ..])
        | (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, _, _, _, _, _, _, 0, ..]) => {}
        (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => drop(found.insert(Kind::Thumbnail)),
        (0xe0, [b'J', b'F', b'X', b'X', 0, ..]) => drop(found.insert(Kind::Thumbnail)),
        (0xe1, [b'E', b'x', b'i', b'f', 0, _, table @ ..]) => exif(table, found),
        (0xe1, body) if body.starts_with(XMP) => xmp(body.get(XMP.len()..).unwrap_or_default(), found),
        (0xe1, body) if body.starts_with(b"http://ns.adobe.com/xmp/extension/") => drop(found.insert(Kind::Xmp)),
        (0xe2, body) if body.starts_with(b"ICC_PROFILE\0") => profile(body.get(14..).unwrap_or_default(), found),
        (0xe2, [b'M', b'P', b'F', 0, ..]) => drop(found.insert(Kind::Frames)),
        (0xed, _) => drop(found.insert(Kind::Iptc)),
        (0xee, [b'A', b'd', b'o', b'b', b'e', ..]) => {}
        (0xfe, _) => drop(found.insert(Kind::Text)),
        (0xe0..=0xef, _) => drop(found.insert(Kind::Other)),
        _ => {}
    }
}

fn png(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    let mut at = 8;
    loop {
        let length = big_u32(bytes, at)?;
        let kind = bytes.get(at + 4..at + 8)?;
        let body = bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        at = at.checked_add(12)?.checked_add(length)?;
        match kind {
            b"IEND" => {
                if bytes.get(at..).is_some_and(|rest| !rest.is_empty()) {
                    found.insert(Kind::Trailing);
                }
                return Some(());
            }
            b"IHDR" | b"PLTE" | b"IDAT" | b"tRNS" | b"gAMA" | b"cHRM" | b"sRGB" | b"cICP" | b"sBIT" | b"bKGD"
            | b"pHYs" | b"hIST" => {}
            b"iCCP" => profile(&unpacked(body).unwrap_or_default(), found),
            b"eXIf" => exif(body, found),
            b"tIME" => drop(found.insert(Kind::Exif)),
            b"acTL" | b"fcTL" | b"fdAT" => drop(found.insert(Kind::Frames)),
            b"iTXt" if body.starts_with(b"XML:com.adobe.xmp\0") => {
                // Keyword, compression flag and method, then two more texts, both empty as a rule.
                xmp(body.get(22..).unwrap_or_default(), found);
            }
            b"tEXt" | b"zTXt" | b"iTXt" => {
                let keyword = body.get(..40.min(body.len())).unwrap_or_default().to_ascii_lowercase();
                let says = |word: &[u8]| keyword.windows(word.len()).any(|w| w == word);
                found.insert(match () {
                    () if says(b"type exif") || says(b"type app1") => Kind::Exif,
                    () if says(b"type iptc") || says(b"type 8bim") => Kind::Iptc,
                    () if says(b"type xmp") => Kind::Xmp,
                    () if says(b"thumb::") => Kind::Thumbnail,
                    () => Kind::Text,
                });
            }
            _ => drop(found.insert(Kind::Other)),
        }
    }
}

/// The profile in an `iCCP` chunk: a name, a zero, a method, and deflated bytes.
fn unpacked(body: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let zero = body.iter().position(|&b| b == 0)?;
    let mut icc = Vec::new();
    flate2::read::ZlibDecoder::new(body.get(zero + 2..)?).take(MAX_PROFILE_BYTES).read_to_end(&mut icc).ok()?;
    Some(icc)
}

fn webp(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    let end = little_u32(bytes, 4)?.checked_add(8)?;
    if bytes.len() > end.checked_add(end % 2)? {
        found.insert(Kind::Trailing);
    }
    let mut at = 12;
    while at < end.min(bytes.len()) {
        let kind = bytes.get(at..at + 4)?;
        let length = little_u32(bytes, at + 4)?;
        let body = bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        match kind {
            b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" => {}
            b"ICCP" => profile(body, found),
            b"EXIF" => exif(body.strip_prefix(b"Exif\0\0").unwrap_or(body), found),
            b"XMP " => xmp(body, found),
            b"ANIM" | b"ANMF" => drop(found.insert(Kind::Frames)),
            _ => drop(found.insert(Kind::Other)),
        }
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
    }
    Some(())
}

fn gif(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(*bytes.get(10)?);
    let mut frames = 0;
    loop {
        match *bytes.get(at)? {
            0x2c => {
                frames += 1;
                if frames == 2 {
                    found.insert(Kind::Frames);
                }
                at += 11 + table(*bytes.get(at + 9)?);
            }
            0x21 => {
                match (*bytes.get(at + 1)?, bytes.get(at + 3..at + 11)) {
                    (0xfe | 0x01, _) => drop(found.insert(Kind::Text)),
                    (0xff, Some(b"XMP Data")) => drop(found.insert(Kind::Xmp)),
                    (0xff, Some(b"NETSCAPE" | b"ANIMEXTS")) | (0xf9, _) => {}
                    _ => drop(found.insert(Kind::Other)),
                }
                at += 2;
            }
            0x3b => {
                if bytes.len() > at + 1 {
                    found.insert(Kind::Trailing);
                }
                return Some(());
            }
            _ => return None,
        }
        // Blocks, each with its length before it, until an empty one.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}

fn bmp(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    if bytes.len() > little_u32(bytes, 2)? {
        found.insert(Kind::Trailing);
    }
    Some(())
}

/// The tables of EXIF, which are those of TIFF.
fn exif(table: &[u8], found: &mut BTreeSet<Kind>) {
    found.insert(Kind::Exif);
    let parts = directories(table, |tag, directory| {
        match (tag, directory) {
            (0x8825, _) => found.insert(Kind::Position),
            // Where a compressed thumbnail begins; an uncompressed one has strips in the second table.
            (0x0201, _) => found.insert(Kind::Thumbnail),
            (0x0111, 1..) => found.insert(Kind::Thumbnail),
            (0x927c, _) => found.insert(Kind::MakerNotes),
            (0x02bc, _) => found.insert(Kind::Xmp),
            (0x83bb | 0x8649, _) => found.insert(Kind::Iptc),
            _ => false,
        };
    });
    let _ = parts;
}

fn tiff(bytes: &[u8], found: &mut BTreeSet<Kind>) -> Option<()> {
    directories(bytes, |tag, directory| {
        match (tag, directory) {
            (_, 1..) | (0x014a, _) => found.insert(Kind::Frames),
            (0x8825, _) => found.insert(Kind::Position),
            (0x927c, _) => found.insert(Kind::MakerNotes),
            (0x02bc, _) => found.insert(Kind::Xmp),
            (0x83bb | 0x8649, _) => found.insert(Kind::Iptc),
            // Description, maker, model, date, artist, host, copyright; the pointer to EXIF.
            (0x010e | 0x013b | 0x013c | 0x8298, _) => found.insert(Kind::Text),
            (0x010f | 0x0110 | 0x0132 | 0x8769, _) => found.insert(Kind::Exif),
            _ => false,
        };
    })
}

/// Tell `visit` every tag and the number of its directory in the chain; tags of EXIF's own directory count as 0.
fn directories(table: &[u8], mut visit: impl FnMut(usize, usize)) -> Option<()> {
    let little = table.starts_with(b"II");
    let u16_at = |at: usize| {
        let two: [u8; 2] = table.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) }))
    };
    let u32_at = |at: usize| if little { little_u32(table, at) } else { big_u32(table, at) };
    let mut waiting = vec![(u32_at(4)?, 0usize)];
    let mut seen = BTreeSet::new();
    while let Some((start, number)) = waiting.pop() {
        if start == 0 || !seen.insert(start) || seen.len() > MAX_FINDINGS {
            continue;
        }
        let Some(count) = u16_at(start) else { continue };
        for entry in 0..count {
            let at = start + 2 + 12 * entry;
            let Some(tag) = u16_at(at) else { break };
            visit(tag, number);
            if tag == 0x8769
                && let Some(inner) = u32_at(at + 8)
            {
                waiting.push((inner, 0));
            }
        }
        if let Some(next) = u32_at(start + 2 + 12 * count) {
            waiting.push((next, number + 1));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::photo::{self, Photo};

    /// EXIF with a position, maker notes in its own directory, and a thumbnail in the second.
    fn exif_table() -> Vec<u8> {
        let mut t = b"II*\0\x08\0\0\0".to_vec();
        let entry = |tag: u16, value: u32| {
            let mut e = tag.to_le_bytes().to_vec();
            e.extend([4, 0, 1, 0, 0, 0]);
            e.extend(value.to_le_bytes());
            e
        };
        t.extend([2, 0]);
        t.extend(entry(0x8825, 100));
        t.extend(entry(0x8769, 38));
        t.extend(56u32.to_le_bytes());
        assert_eq!(t.len(), 38);
        t.extend([1, 0]);
        t.extend(entry(0x927c, 0));
        t.extend([0; 4]);
        assert_eq!(t.len(), 56);
        t.extend([1, 0]);
        t.extend(entry(0x0201, 90));
        t.extend([0; 4]);
        t
    }

    fn picture(format: Format) -> Vec<u8> {
        photo::encode(&Photo::new(image::RgbImage::from_pixel(9, 7, image::Rgb([9, 90, 200])), format)).unwrap()
    }

    fn with_segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let jpeg = picture(Format::Jpeg);
        let mut out = jpeg[..2].to_vec();
        out.extend([0xff, marker]);
        out.extend((body.len() as u16 + 2).to_be_bytes());
        out.extend(body);
        out.extend(&jpeg[2..]);
        out
    }

    fn with_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let png = picture(Format::Png);
        let mut out = png[..33].to_vec();
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(kind);
        out.extend(body);
        out.extend([0; 4]);
        out.extend(&png[33..]);
        out
    }

    fn kinds(bytes: &[u8]) -> Vec<Kind> {
        scan(bytes).into_iter().collect()
    }

    #[test]
    fn what_is_written_here_is_clean() {
        for format in [Format::Jpeg, Format::Png, Format::WebP] {
            assert_eq!(kinds(&picture(format)), [], "{format}");
        }
    }

    #[test]
    fn every_part_of_exif_is_named() {
        let want = [Kind::Position, Kind::Thumbnail, Kind::Exif, Kind::MakerNotes];
        let mut body = b"Exif\0\0".to_vec();
        body.extend(exif_table());
        assert_eq!(kinds(&with_segment(0xe1, &body)), want);
        assert_eq!(kinds(&with_chunk(b"eXIf", &exif_table())), want);
    }

    #[test]
    fn segments_of_jpeg_are_told_apart() {
        let mut jfif = b"JFIF\0\x01\x02\0\0\x01\0\x01\x02\x02".to_vec();
        jfif.extend([0; 12]);
        for (marker, body, kind) in [
            (0xe0, jfif.as_slice(), Kind::Thumbnail),
            (0xe1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>", Kind::Xmp),
            (0xe2, b"ICC_PROFILE\0\x01\x01a camera's profile", Kind::Profile),
            (0xe2, b"MPF\0....", Kind::Frames),
            (0xed, b"Photoshop 3.0\x008BIM", Kind::Iptc),
            (0xfe, b"taken at home", Kind::Text),
            (0xe7, b"?", Kind::Other),
        ] {
            assert_eq!(kinds(&with_segment(marker, body)), [kind], "{marker:x}");
        }
    }

    #[test]
    fn chunks_of_png_are_told_apart() {
        for (kind, body, want) in [
            (b"tEXt", &b"Author\0somebody"[..], Kind::Text),
            (b"tEXt", b"Raw profile type exif\0", Kind::Exif),
            (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>", Kind::Xmp),
            (b"acTL", b"........", Kind::Frames),
            (b"vpAg", b"", Kind::Other),
        ] {
            assert_eq!(kinds(&with_chunk(kind, body)), [want]);
        }
    }

    #[test]
    fn bytes_after_the_end_are_found() {
        for format in [Format::Jpeg, Format::Png, Format::WebP] {
            let mut bytes = picture(format);
            bytes.extend(picture(Format::Jpeg));
            assert_eq!(kinds(&bytes), [Kind::Trailing], "{format}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(cut in 0usize..400, at in 0usize..400, value: u8) {
            for mut bytes in [with_segment(0xe1, &[b"Exif\0\0".as_slice(), &exif_table()].concat()),
                with_chunk(b"eXIf", &exif_table()), picture(Format::WebP)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
                bytes.truncate(bytes.len().saturating_sub(cut));
                scan(&bytes);
            }
        }
    }
}
