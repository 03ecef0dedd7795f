//! Walk the blocks of WebP and GIF files before a decoder does.
//!
//! Both formats say how long each part is; a part longer than the file is a truncated or a hostile file,
//! and is refused here before memory is set aside for it.

/// The bytes of a WebP up to its end, with every chunk inside the file, whatever follows cut off.
///
/// Container: <https://developers.google.com/speed/webp/docs/riff_container>.
pub(super) fn webp(bytes: &[u8]) -> Result<&[u8], String> {
    const CUT: &str = "the WebP is cut off";
    let end = little_u32(bytes, 4).ok_or(CUT)? as usize;
    let file = bytes.get(..end.saturating_add(8)).ok_or(CUT)?;
    let mut rest = file.get(12..).ok_or(CUT)?;
    while !rest.is_empty() {
        let length = little_u32(rest, 4).ok_or(CUT)? as usize;
        rest = rest.get(8..).and_then(|body| body.get(length..)).ok_or(CUT)?;
        // Chunks are padded to even length; the last pad byte is often forgotten.
        rest = rest.get(length % 2..).unwrap_or_default();
    }
    Ok(file)
}

fn little_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// Whether a GIF has a second frame.
///
/// The first frame must be whole; a later one that is cut off counts as a frame.
/// Container: the GIF89a specification, CompuServe 1990.
pub(super) fn gif_is_animated(bytes: &[u8]) -> Result<bool, String> {
    const CUT: &str = "the GIF is cut off";
    let flags = *bytes.get(10).ok_or(CUT)?;
    let mut rest = bytes.get(13 + colour_table_bytes(flags)..).ok_or(CUT)?;
    let mut frames = 0;
    loop {
        let after = match rest {
            [0x2c, _, _, _, _, _, _, _, _, _, ..] if frames == 1 => return Ok(true),
            [0x2c, _, _, _, _, _, _, _, _, flags, body @ ..] => {
                frames += 1;
                body.get(colour_table_bytes(*flags) + 1..).and_then(after_blocks)
            }
            [0x21, _, body @ ..] => after_blocks(body),
            // The trailer, or nothing more: the picture is there all the same.
            _ if frames == 1 => return Ok(false),
            [0x3b, ..] => return Err("the GIF has no picture in it".to_owned()),
            _ => None,
        };
        rest = match after {
            Some(after) => after,
            None if frames == 1 && matches!(rest, [0x21, ..]) => return Ok(false),
            None => return Err(CUT.to_owned()),
        };
    }
}

fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// What follows a chain of data blocks: each a length and as many bytes, the last of length zero.
fn after_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, body) = rest.split_first()?;
        if length == 0 {
            return Some(body);
        }
        rest = body.get(usize::from(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webp_chunks_must_lie_inside() {
        let whole = b"RIFF\x10\0\0\0WEBPVP8L\x03\0\0\0abc\0trailing";
        assert_eq!(webp(whole).unwrap().len(), 24);
        assert!(webp(&whole[..20]).is_err());
        assert!(webp(b"RIFF\x0c\0\0\0WEBPVP8L\xff\xff\xff\x7f").is_err());
        assert!(webp(b"RIFF\xff\xff\xff\xffWEBP").is_err());
    }

    #[test]
    fn gif_frames_are_counted() {
        let head = b"GIF89a\x01\0\x01\0\0\0\0";
        let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";
        let gif = |parts: &[&[u8]]| gif_is_animated(&parts.concat());
        assert_eq!(gif(&[head, frame, b";"]), Ok(false));
        assert_eq!(gif(&[head, frame]), Ok(false));
        assert_eq!(gif(&[head, frame, b"!\xf9\x04\0\0\0\0\0", frame, b";"]), Ok(true));
        assert!(gif(&[head, b";"]).is_err());
        assert!(gif(&[head, &frame[..12]]).is_err());
        assert!(gif(&[&head[..8]]).is_err());
    }
}
