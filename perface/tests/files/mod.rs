//! Picture files made and taken apart byte by byte, for what encoders do not write.

use std::io::Write;

/// A TIFF-structured EXIF block with what must never be published.
#[derive(Default)]
pub struct Exif<'a> {
    pub orientation: u16,
    pub thumbnail: &'a [u8],
    pub gps: &'a [u8],
    pub maker_note: &'a [u8],
}

impl Exif<'_> {
    /// Little endian: directory 0 with orientation, maker note and position, directory 1 with the thumbnail.
    pub fn bytes(&self) -> Vec<u8> {
        let entry = |tag: u16, kind: u16, count: usize, value: usize| {
            let (count, value) = (count as u32, value as u32);
            [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
        };
        let first = 8;
        let second = first + 2 + 4 * 12 + 4;
        let data = second + 2 + 2 * 12 + 4;
        let (gps, thumbnail) = (data + self.maker_note.len(), data + self.maker_note.len() + self.gps.len());
        let mut out = b"II*\0\x08\0\0\0".to_vec();
        out.extend(4u16.to_le_bytes());
        out.extend(entry(0x0112, 3, 1, usize::from(self.orientation)));
        out.extend(entry(0x010e, 2, self.gps.len(), gps));
        out.extend(entry(0x927c, 7, self.maker_note.len(), data));
        out.extend(entry(0xc4a5, 7, self.gps.len(), gps));
        out.extend((second as u32).to_le_bytes());
        out.extend(2u16.to_le_bytes());
        out.extend(entry(0x0201, 4, 1, thumbnail));
        out.extend(entry(0x0202, 4, 1, self.thumbnail.len()));
        out.extend([0; 4]);
        out.extend([self.maker_note, self.gps, self.thumbnail].concat());
        out
    }
}

/// `jpeg` with a segment put in after its start.
pub fn jpeg_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap();
    [&jpeg[..2], &[0xff, marker], &length.to_be_bytes(), body, &jpeg[2..]].concat()
}

/// Markers of the segments up to the scan.
pub fn jpeg_markers(jpeg: &[u8]) -> Vec<u8> {
    let (mut at, mut markers) = (2, vec![]);
    while markers.last() != Some(&0xda) {
        assert_eq!(jpeg[at], 0xff);
        markers.push(jpeg[at + 1]);
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    assert_eq!(jpeg[jpeg.len() - 2..], [0xff, 0xd9]);
    markers
}

pub fn with_trailer(mut bytes: Vec<u8>, trailer: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(trailer);
    bytes
}

/// A PNG of `depth` and colour type, with `extra` chunks before the data; `rows` begin with their filter.
pub fn png(width: u32, height: u32, depth: u8, colour: u8, extra: &[(&[u8; 4], &[u8])], rows: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], body: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(body);
        [&(body.len() as u32).to_be_bytes()[..], kind, body, &crc.sum().to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut data = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
    data.write_all(rows).unwrap();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(b"IHDR", &header));
    out.extend(extra.iter().flat_map(|(kind, body)| chunk(kind, body)));
    out.extend(chunk(b"IDAT", &data.finish().unwrap()));
    out.extend(chunk(b"IEND", b""));
    out
}

/// Names of the chunks, repeated ones once.
pub fn png_chunks(png: &[u8]) -> Vec<String> {
    let (mut at, mut names) = (8, vec![]);
    while at < png.len() {
        names.push(String::from_utf8(png[at + 4..at + 8].to_vec()).unwrap());
        at += 12 + u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
    }
    names.dedup();
    names
}

/// Names of the chunks.
pub fn webp_chunks(webp: &[u8]) -> Vec<String> {
    let (mut at, mut names) = (12, vec![]);
    while at < webp.len() {
        names.push(String::from_utf8(webp[at..at + 4].to_vec()).unwrap());
        let length = u32::from_le_bytes(webp[at + 4..at + 8].try_into().unwrap()) as usize;
        at += 8 + length + length % 2;
    }
    names
}

/// Replace the entry of `old` in the first directory of a little-endian TIFF.
pub fn set_tiff_entry(tiff: &mut [u8], old: u16, tag: u16, kind: u16, count: u32, value: u32) {
    let u16_at = |tiff: &[u8], at: usize| u16::from_le_bytes([tiff[at], tiff[at + 1]]);
    let start = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entry = (0..usize::from(u16_at(tiff, start))).map(|i| start + 2 + 12 * i).find(|&at| u16_at(tiff, at) == old);
    let entry = &mut tiff[entry.unwrap()..][..12];
    entry[..2].copy_from_slice(&tag.to_le_bytes());
    entry[2..4].copy_from_slice(&kind.to_le_bytes());
    entry[4..8].copy_from_slice(&count.to_le_bytes());
    entry[8..].copy_from_slice(&value.to_le_bytes());
}
