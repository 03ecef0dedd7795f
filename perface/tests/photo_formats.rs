//! Every format, mode and fault that a photo file may have.

#![allow(clippy::unwrap_used)] // A helper of a test may fail it.

mod files;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use files::{Exif, jpeg_segment, png, with_trailer};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use perface::Error;
use perface::atomic::Overwrite;
use perface::photo::{self, Format, Limits, Photo};
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Result<Photo, String> {
    photo::decode(bytes, Path::new("in/some.file"), &Limits::default()).map_err(|error| {
        assert!(matches!(&error, Error::Unreadable { path, .. } if path == Path::new("in/some.file")), "{error:?}");
        error.to_string()
    })
}

/// A picture without symmetry.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width.max(2)) as u8, (y * 255 / height.max(2)) as u8, ((x * 7 + y * 3) % 256) as u8])
    })
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(image: &RgbImage) -> Vec<u8> {
    photo::encode(&Photo::new(image.clone(), Format::Jpeg)).unwrap()
}

fn worst(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The formats that lose nothing, as opaque RGB.
const LOSSLESS: [(ImageFormat, Format); 4] = [
    (ImageFormat::Png, Format::Png),
    (ImageFormat::WebP, Format::WebP),
    (ImageFormat::Bmp, Format::Bmp),
    (ImageFormat::Tiff, Format::Tiff),
];

#[test]
fn lossless_formats_keep_every_pixel_there_and_back() {
    for size in [(1, 1), (1, 40), (40, 1), (33, 17)] {
        let pixels = picture(size.0, size.1);
        for (written, format) in LOSSLESS {
            let photo = decode(&encoded(pixels.clone(), written)).unwrap();
            assert_eq!((&photo.pixels, &photo.alpha, photo.format), (&pixels, &None, format), "{format} {size:?}");
            let again = decode(&photo::encode(&photo).unwrap()).unwrap();
            assert_eq!((again.pixels, again.format), (photo.pixels.clone(), photo.output_format()));
        }
    }
}

#[test]
fn a_jpeg_changes_little_and_keeps_full_colour_resolution() {
    let pixels = picture(50, 30);
    let photo = decode(&jpeg(&pixels)).unwrap();
    assert!(worst(&photo.pixels, &pixels) <= 30 && photo.format == Format::Jpeg);
    let stripes = RgbImage::from_fn(32, 32, |x, _| if x % 2 == 0 { Rgb([200, 60, 60]) } else { Rgb([60, 60, 200]) });
    assert!(worst(&decode(&jpeg(&stripes)).unwrap().pixels, &stripes) < 40);
    assert!(decode(&jpeg(&picture(1, 1))).is_ok());
}

#[test]
fn grey_of_one_eight_and_sixteen_bits_is_scaled_not_cut() {
    let grey = GrayImage::from_fn(8, 2, |x, y| image::Luma([(x * 30 + y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Jpeg] {
        let photo = decode(&encoded(grey.clone(), format)).unwrap();
        assert!(photo.pixels.pixels().zip(grey.iter()).all(|(p, g)| p.0.iter().all(|v| v.abs_diff(*g) <= 2)));
    }
    let deep = image::ImageBuffer::from_fn(256, 1, |x, _| image::Luma([(x * 257) as u16]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let photo = decode(&encoded(DynamicImage::ImageLuma16(deep.clone()), format)).unwrap();
        assert!(photo.pixels.pixels().enumerate().all(|(i, p)| p.0 == [i as u8; 3]));
    }
    let bits = decode(&png(8, 1, 1, 0, &[], &[0, 0b1010_0000])).unwrap();
    assert_eq!(bits.pixels.pixels().map(|p| p.0[0]).collect::<Vec<_>>(), [255, 0, 255, 0, 0, 0, 0, 0]);
}

#[test]
fn a_palette_with_transparency_becomes_colour_and_alpha() {
    let extra: [(&[u8; 4], &[u8]); 2] = [(b"PLTE", &[10, 20, 30, 200, 100, 50]), (b"tRNS", &[0, 128])];
    let photo = decode(&png(2, 1, 8, 3, &extra, &[0, 0, 1])).unwrap();
    assert_eq!(photo.pixels.into_raw(), [0, 0, 0, 200, 100, 50]);
    assert_eq!(photo.alpha.unwrap().into_raw(), [0, 128]);
}

#[test]
fn nothing_survives_under_full_transparency() {
    let hidden = RgbaImage::from_fn(4, 1, |x, _| image::Rgba([210, 160, 140, if x < 2 { 0 } else { 90 + x as u8 }]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        let photo = decode(&encoded(hidden.clone(), format)).unwrap();
        assert_eq!(photo.pixels.get_pixel(1, 0).0, [0; 3], "{format:?}");
        assert_eq!(photo.pixels.get_pixel(3, 0).0, [210, 160, 140]);
        let again = decode(&photo::encode(&photo).unwrap()).unwrap();
        assert_eq!((again.pixels, again.alpha), (photo.pixels, photo.alpha));
    }
    let gone = decode(&encoded(RgbaImage::new(2, 2), ImageFormat::Png)).unwrap();
    assert!(gone.notes[0].contains("transparent"));
    let opaque = RgbaImage::from_pixel(2, 2, image::Rgba([1, 2, 3, 255]));
    assert!(decode(&encoded(opaque, ImageFormat::Png)).unwrap().alpha.is_none());
}

#[test]
fn jpegs_for_print_come_out_in_their_colours() {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    // A quarter of cyan ink, half of black.
    let ink: Vec<u8> = [64u8, 0, 0, 128].repeat(40 * 24);
    for colour in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        for sampling in [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_0] {
            let mut bytes = vec![];
            let mut encoder = Encoder::new(&mut bytes, 95);
            encoder.set_sampling_factor(sampling);
            encoder.encode(&ink, 40, 24, colour).unwrap();
            let photo = decode(&bytes).unwrap();
            let Rgb([r, g, b]) = *photo.pixels.get_pixel(20, 12);
            assert!(r.abs_diff(95) <= 4 && g.abs_diff(127) <= 4 && b.abs_diff(127) <= 4, "{:?}", [r, g, b]);
            assert_eq!(photo.notes, ["CMYK: converted to sRGB"]);
        }
    }
}

#[test]
fn every_resolution_of_colour_is_decoded_alike() {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor::*};
    let pixels = picture(90, 70);
    let smooth = RgbImage::from_fn(90, 70, |x, y| Rgb([(x * 2) as u8, (y * 3) as u8, 128]));
    assert!(worst(&decode(&jpeg(&pixels)).unwrap().pixels, &pixels) > 0);
    for sampling in [R_4_4_4, R_4_4_0, R_4_4_1, R_4_2_2, R_4_2_0, R_4_2_1, R_4_1_1, R_4_1_0] {
        for (progressive, restart) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
            let mut bytes = vec![];
            let mut encoder = Encoder::new(&mut bytes, 95);
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(progressive);
            if restart > 0 {
                encoder.set_restart_interval(restart);
            }
            encoder.encode(&smooth, 90, 70, ColorType::Rgb).unwrap();
            let off = worst(&decode(&bytes).unwrap().pixels, &smooth);
            assert!(off <= 20, "{sampling:?} progressive {progressive} restart {restart}: off by {off}");
        }
    }
}

// Tags of a TIFF; the unit of resolution can be spared.
const PHOTOMETRIC: u16 = 262;
const COLOUR_MAP: u16 = 320;
const SPARE: u16 = 296;
const SUBFILE: u16 = 254;

#[test]
fn tiffs_of_inks_and_palettes_come_out_in_their_colours() {
    let ink = RgbaImage::from_pixel(5, 3, image::Rgba([64, 0, 0, 128]));
    let mut bytes = encoded(ink, ImageFormat::Tiff);
    files::set_tiff_entry(&mut bytes, PHOTOMETRIC, PHOTOMETRIC, 3, 1, 5);
    let photo = decode(&bytes).unwrap();
    assert_eq!((photo.pixels.get_pixel(4, 2).0, photo.alpha), ([95, 127, 127], None));

    let indices = GrayImage::from_fn(4, 1, |x, _| image::Luma([x as u8]));
    let mut bytes = encoded(indices, ImageFormat::Tiff);
    let at = bytes.len() as u32;
    let level = |channel: u32, index: u32| (channel * 80 + index * 10) as u16 * 257;
    bytes.extend((0..3).flat_map(|c| (0..256).flat_map(move |i| level(c, i % 8).to_le_bytes())));
    files::set_tiff_entry(&mut bytes, PHOTOMETRIC, PHOTOMETRIC, 3, 1, 3);
    files::set_tiff_entry(&mut bytes, SPARE, COLOUR_MAP, 3, 768, at);
    let photo = decode(&bytes).unwrap();
    assert_eq!(photo.pixels.into_raw(), [0, 80, 160, 10, 90, 170, 20, 100, 180, 30, 110, 190]);
}

#[test]
fn a_raw_file_s_thumbnail_is_not_taken_for_the_photo() {
    let mut bytes = encoded(picture(4, 4), ImageFormat::Tiff);
    files::set_tiff_entry(&mut bytes, SPARE, SUBFILE, 4, 1, 1);
    assert!(decode(&bytes).unwrap_err().contains("thumbnail"));
}

#[test]
fn all_eight_orientations_come_out_upright() {
    // Of the stored 3 × 2 picture, the corner that holds the upright picture's top left, and the size upright.
    let stored = RgbImage::from_fn(3, 2, |x, y| Rgb([(x * 100) as u8, (y * 200) as u8, 7]));
    let cases =
        [(1, (0, 0)), (2, (2, 0)), (3, (2, 1)), (4, (0, 1)), (5, (0, 0)), (6, (0, 1)), (7, (2, 1)), (8, (2, 0))];
    for (orientation, (x, y)) in cases {
        let exif = Exif { orientation, ..Default::default() }.bytes();
        let (top, bottom) = stored.as_raw().split_at(9);
        let chunk = png(3, 2, 8, 2, &[(b"eXIf", &exif)], &[&[0], top, &[0], bottom].concat());
        let mut webp = vec![];
        let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
        image::ImageEncoder::set_exif_metadata(&mut encoder, exif.clone()).unwrap();
        encoder.encode(&stored, 3, 2, image::ExtendedColorType::Rgb8).unwrap();
        for bytes in [chunk, webp] {
            let photo = decode(&bytes).unwrap();
            assert_eq!(photo.pixels.dimensions(), if orientation > 4 { (2, 3) } else { (3, 2) });
            assert_eq!(photo.pixels.get_pixel(0, 0), stored.get_pixel(x, y), "{} {orientation}", photo.format);
        }
        // A JPEG blurs single pixels, so each becomes a block.
        let blocks = RgbImage::from_fn(48, 32, |x, y| *stored.get_pixel(x / 16, y / 16));
        let jpeg = jpeg_segment(&jpeg(&blocks), 0xe1, &[b"Exif\0\0", exif.as_slice()].concat());
        let photo = decode(&jpeg).unwrap();
        assert_eq!(photo.pixels.dimensions(), if orientation > 4 { (32, 48) } else { (48, 32) });
        let (Rgb(got), Rgb(want)) = (photo.pixels.get_pixel(8, 8), stored.get_pixel(x, y));
        assert!(got.iter().zip(want).all(|(a, b)| a.abs_diff(*b) < 12), "JPEG {orientation}: {got:?} {want:?}");
    }
}

#[test]
fn no_metadata_comes_through() {
    let secrets: [&[u8]; 9] = [
        b"THUMBNAIL-OF-A-FACE",
        b"GPS-WGS-84-SECRET",
        b"MAKERNOTE-SECRET",
        b"XMP-SECRET",
        b"IPTC-SECRET",
        b"COMMENT-SECRET",
        b"MOTION-PHOTO-SECRET",
        b"ICC-SECRET",
        b"JFXX-SECRET",
    ];
    let exif = Exif { orientation: 1, thumbnail: secrets[0], gps: secrets[1], maker_note: secrets[2] }.bytes();
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0", secrets[3]].concat();
    let video = [b"\0\0\0\x18ftypmp42", secrets[6]].concat();
    let mut bytes = jpeg(&picture(64, 48));
    for (marker, body) in [
        (0xe1, [b"Exif\0\0", exif.as_slice()].concat()),
        (0xe1, xmp.clone()),
        (0xed, [b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x0b", secrets[4]].concat()),
        (0xfe, secrets[5].to_vec()),
        (0xe2, [b"ICC_PROFILE\0\x01\x01", secrets[7]].concat()),
        (0xe0, [b"JFXX\0", secrets[8]].concat()),
    ] {
        bytes = jpeg_segment(&bytes, marker, &body);
    }
    let jpeg_input = with_trailer(bytes, &video);
    let text = [b"Comment\0", secrets[5]].concat();
    let chunks: [(&[u8; 4], &[u8]); 3] = [(b"eXIf", &exif), (b"tEXt", &text), (b"iTXt", &xmp)];
    let png_input = with_trailer(png(1, 1, 8, 2, &chunks, &[0, 1, 2, 3]), &video);
    let mut webp = vec![];
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    image::ImageEncoder::set_exif_metadata(&mut encoder, exif.clone()).unwrap();
    encoder.encode(&[1, 2, 3], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
    for (input, held) in [(jpeg_input, 9), (png_input, 6), (with_trailer(webp, &video), 4)] {
        assert_eq!(secrets.iter().filter(|secret| contains(&input, secret)).count(), held, "the test itself");
        let photo = decode(&input).unwrap();
        let output = photo::encode(&photo).unwrap();
        for secret in secrets {
            assert!(!contains(&output, secret), "{}: {}", photo.format, String::from_utf8_lossy(secret));
        }
        assert!(!contains(&output, b"Exif") && !contains(&output, b"EXIF") && !contains(&output, b"ftyp"));
    }
}

#[test]
fn output_holds_pixels_and_a_colour_tag_alone() {
    let pixels = picture(20, 20);
    let written = |format| photo::encode(&Photo::new(pixels.clone(), format)).unwrap();
    let mut markers: Vec<u8> = files::jpeg_markers(&written(Format::Jpeg));
    markers.dedup();
    // JFIF header, profile, tables, frame, scan.
    assert!(markers.iter().all(|m| matches!(m, 0xe0 | 0xe2 | 0xdb | 0xc0 | 0xc4 | 0xda)), "{markers:02x?}");
    assert!(markers.contains(&0xe2));
    assert_eq!(files::png_chunks(&written(Format::Gif)), ["IHDR", "iCCP", "IDAT", "IEND"]);
    assert_eq!(files::webp_chunks(&written(Format::WebP)), ["VP8X", "ICCP", "VP8L"]);
    assert_eq!(written(Format::Jpeg), written(Format::Jpeg));
}

#[test]
fn animations_give_their_first_frame_and_say_so() {
    let (first, second) = (picture(6, 5), RgbImage::from_pixel(6, 5, Rgb([255, 0, 0])));
    let mut gif = vec![];
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        for frame in [&first, &second] {
            encoder.encode(frame, 6, 5, image::ExtendedColorType::Rgb8).unwrap();
        }
    }
    let photo = decode(&gif).unwrap();
    assert_eq!((photo.format, photo.output_format()), (Format::Gif, Format::Png));
    assert_eq!(photo.notes, ["animation: only the first frame is published"]);
    assert!(worst(&photo.pixels, &first) < 40);
    let still = decode(&encoded(first, ImageFormat::Gif)).unwrap();
    assert!(still.notes.is_empty());
    let apng: [(&[u8; 4], &[u8]); 1] = [(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])];
    assert_eq!(decode(&png(1, 1, 8, 2, &apng, &[0, 1, 2, 3])).unwrap().notes.len(), 1);
}

#[test]
fn a_broken_profile_is_noted_and_taken_as_srgb() {
    let bytes = jpeg_segment(&jpeg(&picture(9, 9)), 0xe2, b"ICC_PROFILE\0\x02\x03half a profile");
    let photo = decode(&bytes).unwrap();
    assert!(photo.notes[0].starts_with("colour profile:"), "{:?}", photo.notes);
    let plain = decode(&jpeg(&picture(9, 9))).unwrap();
    assert_eq!(photo.pixels, plain.pixels);
}

#[test]
fn wide_colours_are_brought_into_srgb() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let flat = RgbImage::from_pixel(16, 16, Rgb([160, 80, 80]));
    let mut bytes = vec![];
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
    encoder.add_icc_profile(&profile).unwrap();
    encoder.encode(&flat, 16, 16, jpeg_encoder::ColorType::Rgb).unwrap();
    let Rgb([r, g, b]) = *decode(&bytes).unwrap().pixels.get_pixel(8, 8);
    // (172, 74, 77) by Little CMS.
    assert!(r.abs_diff(172) <= 2 && g.abs_diff(74) <= 2 && b.abs_diff(77) <= 2, "{:?}", [r, g, b]);
}

#[test]
fn huge_headers_are_refused_before_memory_is_set_aside() {
    let side = 30_000u32;
    let mut bmp = encoded(picture(2, 2), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());
    let mut gif = encoded(picture(2, 2), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x30, 0x75, 0x30, 0x75]);
    let mut jpeg = jpeg(&picture(2, 2));
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    let png = png(side, side, 8, 2, &[], &[0]);
    let mut tiff = encoded(picture(2, 2), ImageFormat::Tiff);
    files::set_tiff_entry(&mut tiff, 256, 256, 4, 1, side);
    files::set_tiff_entry(&mut tiff, 257, 257, 4, 1, side);
    for bytes in [bmp, gif, jpeg, png, tiff] {
        let message = decode(&bytes).unwrap_err();
        assert!(message.contains("30000×30000") && message.contains("limit"), "{message}");
    }
    let small = Limits { max_pixels: 99, ..Default::default() };
    let webp = encoded(picture(10, 10), ImageFormat::WebP);
    assert!(photo::decode(&webp, Path::new("x"), &small).unwrap_err().to_string().contains("10×10"));
    let short = Limits { max_bytes: 10, ..Default::default() };
    assert!(photo::decode(&webp, Path::new("x"), &short).unwrap_err().to_string().contains("bytes"));
}

#[test]
fn a_profile_that_unpacks_without_end_is_not_unpacked() {
    let mut packed = flate2::write::ZlibEncoder::new(b"bomb\0\0".to_vec(), flate2::Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 200 << 20), &mut packed).unwrap();
    let bytes = png(1, 1, 8, 2, &[(b"iCCP", &packed.finish().unwrap())], &[0, 1, 2, 3]);
    assert!(bytes.len() < 2 << 20);
    match decode(&bytes) {
        Ok(photo) => assert_eq!(photo.pixels.into_raw(), [1, 2, 3]),
        Err(message) => assert!(message.contains("memory"), "{message}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let pixels = picture(64, 64);
    let mut whole: Vec<(&str, Vec<u8>)> =
        vec![("jpeg", jpeg(&pixels)), ("gif", encoded(pixels.clone(), ImageFormat::Gif))];
    whole.extend(LOSSLESS.map(|(written, format)| (format.name(), encoded(pixels.clone(), written))));
    for (name, bytes) in &whole {
        for part in 0..16 {
            let cut = &bytes[..bytes.len() * part / 16];
            assert!(decode(cut).is_err(), "{name} cut at {part}/16 was read");
        }
    }
    // Cut, then closed with an end marker by some kind tool.
    let bytes = &whole[0].1;
    for part in 12..16 {
        let closed = with_trailer(bytes[..bytes.len() * part / 16].to_vec(), &[0xff, 0xd9]);
        assert!(decode(&closed).is_err(), "closed at {part}/16");
    }
}

#[test]
fn what_is_no_picture_is_refused_by_a_clear_message() {
    for (bytes, part) in [
        (&b""[..], "empty"),
        (b"Dear reader, this is text.", "text"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0", "ICO"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\xff\xd8\xff\xd9", "ends before"),
    ] {
        let message = decode(bytes).unwrap_err();
        assert!(message.contains(part) && message.contains("some.file"), "{message}");
    }
}

#[test]
fn paths_that_are_no_files_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| photo::read(path, &Limits::default()).unwrap_err().to_string();
    assert!(message(folder.path()).contains("is a folder"));
    assert!(message(&folder.path().join("gone.jpg")).contains("gone.jpg"));
    #[cfg(unix)]
    assert!(message(Path::new("/dev/zero")).contains("device"));
    let text = folder.path().join("text.jpg");
    std::fs::write(&text, "not a photo").unwrap();
    assert!(message(&text).contains("text.jpg") && message(&text).contains("text, not a picture"));
    // Nobody may read it; the system's superuser may all the same.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o0)).unwrap();
        assert!(message(&text).contains("text.jpg"));
    }
}

#[test]
fn a_photo_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let photo = Photo::new(picture(3, 3), Format::Png);
    let path = folder.path().join("a/b.png");
    photo::write(&photo, &path, Overwrite::Never).unwrap();
    assert_eq!(photo::read(&path, &Limits::default()).unwrap().pixels, photo.pixels);
    assert!(photo::write(&photo, &path, Overwrite::Never).unwrap_err().to_string().contains("b.png"));
    // A file where a folder is needed stops anyone, the superuser too.
    let below = path.join("c.png");
    assert!(photo::write(&photo, &below, Overwrite::Always).unwrap_err().to_string().contains("c.png"));
    let empty = Photo::new(RgbImage::new(0, 3), Format::Jpeg);
    assert!(photo::write(&empty, &folder.path().join("a/d.jpg"), Overwrite::Always).is_err());
    let wide = Photo::new(RgbImage::new(70_000, 1), Format::Jpeg);
    assert!(photo::encode(&wide).unwrap_err().to_string().contains("70000×1"));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn the_sample_files_are_read_or_refused_as_they_should() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder =
        std::env::var_os("PERFACE_TESTDATA").map_or(PathBuf::from(default), PathBuf::from).join("robust/formats");
    if !folder.is_dir() {
        eprintln!("skipped: no test data in PERFACE_TESTDATA");
        return;
    }
    let read = |name: &str| photo::read(&folder.join(name), &Limits::default());
    let reference = read("einstein.png").unwrap().pixels;
    for name in ["einstein.bmp", "einstein.gif", "einstein.jpeg", "einstein.tiff", "einstein.webp"] {
        let photo = read(name).unwrap();
        assert_eq!(photo.pixels.dimensions(), reference.dimensions());
        let sum: u64 = photo.pixels.iter().zip(reference.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / reference.len() as f64;
        assert!(mean < 6.0, "{name} differs by {mean} on average");
    }
    for name in ["corrupted.png", "einstein.ico", "empty.png", "truncated.jpg"] {
        assert!(read(name).unwrap_err().to_string().contains(name));
    }
}

/// One small file of each format, as a start for damage.
fn samples() -> Vec<Vec<u8>> {
    let pixels = picture(19, 13);
    let mut samples = vec![jpeg(&pixels), encoded(pixels.clone(), ImageFormat::Gif)];
    samples.extend(LOSSLESS.map(|(written, _)| encoded(pixels.clone(), written)));
    let mut progressive = vec![];
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 80);
    encoder.set_progressive(true);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_1_0);
    encoder.encode(&pixels, 19, 13, jpeg_encoder::ColorType::Rgb).unwrap();
    samples.push(progressive);
    samples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_bring_it_down(start in 0usize..7, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let limits = Limits { max_pixels: 1 << 20, ..Default::default() };
        let whole = samples()[start].clone();
        let bytes: Vec<u8> = whole.into_iter().take(16).chain(bytes).collect();
        let _ = photo::decode(&bytes, Path::new("x"), &limits);
    }

    #[test]
    fn no_damage_brings_it_down(
        which in 0usize..7, hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let limits = Limits { max_pixels: 1 << 20, ..Default::default() };
        let mut bytes = samples()[which].clone();
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(photo) = photo::decode(&bytes, Path::new("x"), &limits) {
            let same = photo.alpha.as_ref().is_none_or(|alpha| alpha.dimensions() == photo.pixels.dimensions());
            prop_assert!(same && photo::encode(&photo).is_ok());
        }
    }
}
