//! The crop that DeepFace v0.0.93 makes, pixel for pixel but for its last rounding.
//!
//! The photo gets a black border of half its size on every side. Box and eyes are cut down to whole pixels. The whole
//! canvas is turned about its centre until the eyes are level (Pillow's bicubic `rotate`), the box's centre is carried
//! along, and a box of the same size is cut out there. It is resized with its shape kept (OpenCV's bilinear `resize`)
//! and black fills what is left. From `modules/detection.py` and `modules/preprocessing.py`; later versions turn a
//! smaller cut-out with OpenCV instead.

use image::RgbImage;

use super::AlignedFace;
use crate::detect::Face;
use crate::geometry::Similarity;

/// The photo within its black border.
struct Canvas<'a> {
    photo: &'a RgbImage,
    /// Width of the border at the left and at the top, in pixels.
    border: (i64, i64),
    width: i64,
    height: i64,
}

/// `face` of `photo` as DeepFace cuts it for a network of `width` × `height`; `None` if nothing of the box is left.
pub fn align(photo: &RgbImage, face: &Face, width: u32, height: u32) -> Option<AlignedFace> {
    let canvas = Canvas::new(photo);
    let whole = |value: f32, border: i64| i64::from((value + border as f32).trunc() as i32);
    let x = whole(face.box_px.left, canvas.border.0);
    let y = whole(face.box_px.top, canvas.border.1);
    let (w, h) = (i64::from(face.box_px.width() as i32), i64::from(face.box_px.height() as i32));
    // The subject's right eye is at the left of the image.
    let [right_eye, left_eye, ..] = face.landmarks_px;
    let eye = |p: crate::geometry::Point| (whole(p.x, canvas.border.0), whole(p.y, canvas.border.1));
    let (right_eye, left_eye) = (eye(right_eye), eye(left_eye));
    let degrees = f64::atan2((left_eye.1 - right_eye.1) as f64, (left_eye.0 - right_eye.0) as f64).to_degrees();
    let [x1, y1, x2, y2] = canvas.projected([x, y, x + w, y + h], degrees);
    let (cut_width, cut_height) = (x2 - x1, y2 - y1);
    if cut_width < 1 || cut_height < 1 {
        return None;
    }
    let turn = Turn::new(degrees, &canvas);
    let pixels = (0..cut_height).flat_map(|row| (0..cut_width).map(move |column| (x1 + column, y1 + row)));
    let cut: Vec<[u8; 3]> = pixels.map(|(x, y)| turn.pixel(&canvas, x, y)).collect();
    let scale = (f64::from(width) / cut_width as f64).min(f64::from(height) / cut_height as f64);
    let (new_width, new_height) = ((cut_width as f64 * scale) as u32, (cut_height as f64 * scale) as u32);
    if new_width == 0 || new_height == 0 {
        return None;
    }
    let (left, top) = ((width - new_width.min(width)) / 2, (height - new_height.min(height)) / 2);
    let mut crop = RgbImage::new(width, height);
    let resized = Resize::new(&cut, (cut_width as usize, cut_height as usize), (new_width, new_height));
    for row in 0..new_height.min(height) {
        for column in 0..new_width.min(width) {
            crop.put_pixel(left + column, top + row, image::Rgb(resized.pixel(column, row)));
        }
    }
    // Photo to canvas, turned, cut, resized, padded: the two axes' scales differ by less than a pixel over the crop.
    let (cos, sin) = (turn.cos, turn.sin);
    let (centre_x, centre_y) = (canvas.width as f64 / 2.0 - 0.5, canvas.height as f64 / 2.0 - 0.5);
    let (border_x, border_y) = (canvas.border.0 as f64 - centre_x, canvas.border.1 as f64 - centre_y);
    let turned = Similarity {
        a: cos,
        b: sin,
        tx: cos * border_x - sin * border_y + centre_x - x1 as f64,
        ty: sin * border_x + cos * border_y + centre_y - y1 as f64,
    };
    let shift = scale / 2.0 - 0.5;
    let placed = Similarity { a: scale, b: 0.0, tx: shift + f64::from(left), ty: shift + f64::from(top) };
    Some(AlignedFace { crop, to_crop: turned.then(&placed) })
}

impl<'a> Canvas<'a> {
    fn new(photo: &'a RgbImage) -> Self {
        let border = (i64::from(photo.width() / 2), i64::from(photo.height() / 2));
        let (width, height) = (i64::from(photo.width()) + 2 * border.0, i64::from(photo.height()) + 2 * border.1);
        Self { photo, border, width, height }
    }

    fn pixel(&self, x: i64, y: i64) -> [u8; 3] {
        let (x, y) = (x.clamp(0, self.width - 1) - self.border.0, y.clamp(0, self.height - 1) - self.border.1);
        match (u32::try_from(x), u32::try_from(y)) {
            (Ok(x), Ok(y)) => self.photo.get_pixel_checked(x, y).map_or([0; 3], |pixel| pixel.0),
            _ => [0; 3],
        }
    }

    /// Where the box `[left, top, right, bottom]` goes when the canvas is turned by `degrees`, inside the canvas.
    fn projected(&self, [x1, y1, x2, y2]: [i64; 4], degrees: f64) -> [i64; 4] {
        let direction = if degrees >= 0.0 { 1.0 } else { -1.0 };
        let angle = (degrees.abs() % 360.0).to_radians();
        let (width, height) = (self.width as f64, self.height as f64);
        let inside = |[x1, y1, x2, y2]: [i64; 4]| [x1.max(0), y1.max(0), x2.min(self.width), y2.min(self.height)];
        if angle == 0.0 {
            return inside([x1, y1, x2, y2]);
        }
        let (x, y) = ((x1 + x2) as f64 / 2.0 - width / 2.0, (y1 + y2) as f64 / 2.0 - height / 2.0);
        let new_x = x * angle.cos() + y * direction * angle.sin() + width / 2.0;
        let new_y = -x * direction * angle.sin() + y * angle.cos() + height / 2.0;
        let (half_width, half_height) = ((x2 - x1) as f64 / 2.0, (y2 - y1) as f64 / 2.0);
        let ends = [new_x - half_width, new_y - half_height, new_x + half_width, new_y + half_height];
        inside(ends.map(|end| end.trunc() as i64))
    }
}

/// Pillow's `rotate` about the centre, of the same size, black outside.
struct Turn {
    cos: f64,
    sin: f64,
    centre: (f64, f64),
}

impl Turn {
    /// Counter-clockwise by `degrees`, as seen in the image.
    fn new(degrees: f64, canvas: &Canvas<'_>) -> Self {
        let radians = -(degrees.rem_euclid(360.0)).to_radians();
        // Pillow rounds both to 15 decimals, which no pixel shows.
        let centre = (canvas.width as f64 / 2.0, canvas.height as f64 / 2.0);
        Self { cos: radians.cos(), sin: radians.sin(), centre }
    }

    /// The turned canvas at (x, y).
    fn pixel(&self, canvas: &Canvas<'_>, x: i64, y: i64) -> [u8; 3] {
        if self.sin == 0.0 && self.cos == 1.0 {
            return canvas.pixel(x, y);
        }
        let (along, down) = (x as f64 + 0.5 - self.centre.0, y as f64 + 0.5 - self.centre.1);
        // Pillow's matrix: [cos, sin; −sin, cos] with the angle's sign already turned.
        let from_x = self.cos * along + self.sin * down + self.centre.0;
        let from_y = -self.sin * along + self.cos * down + self.centre.1;
        if from_x < 0.0 || from_y < 0.0 || from_x >= canvas.width as f64 || from_y >= canvas.height as f64 {
            return [0; 3];
        }
        let (u, v) = (from_x - 0.5, from_y - 0.5);
        let (left, top) = (u.floor(), v.floor());
        let (du, dv) = (u - left, v - top);
        let (left, top) = (left as i64 - 1, top as i64 - 1);
        let rows: [[[u8; 3]; 4]; 4] =
            std::array::from_fn(|j| std::array::from_fn(|i| canvas.pixel(left + i as i64, top + j as i64)));
        std::array::from_fn(|channel| {
            let along: [f64; 4] = rows.map(|row| cubic(row.map(|pixel| f64::from(pixel[channel])), du));
            // Pillow cuts the fraction off.
            cubic(along, dv).clamp(0.0, 255.0) as u8
        })
    }
}

/// Pillow's cubic through four values, at `d` between the second and the third (Keys' with a = −1).
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let (p1, p2, p3, p4) = (v2, -v1 + v3, 2.0 * (v1 - v2) + v3 - v4, -v1 + v2 - v3 + v4);
    p1 + d * (p2 + d * (p3 + d * p4))
}

/// OpenCV's bilinear `resize` of real numbers: centres half a pixel in, no smoothing, edges repeated.
struct Resize<'a> {
    pixels: &'a [[u8; 3]],
    from: (usize, usize),
    scale: (f64, f64),
}

impl<'a> Resize<'a> {
    fn new(pixels: &'a [[u8; 3]], from: (usize, usize), to: (u32, u32)) -> Self {
        Self { pixels, from, scale: (from.0 as f64 / f64::from(to.0), from.1 as f64 / f64::from(to.1)) }
    }

    fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = |place: u32, scale: f64, length: usize| {
            let place = ((f64::from(place) + 0.5) * scale - 0.5).clamp(0.0, length as f64 - 1.0);
            let low = place.floor();
            (low as usize, (low as usize + 1).min(length - 1), place - low)
        };
        let (left, right, along) = at(x, self.scale.0, self.from.0);
        let (top, bottom, down) = at(y, self.scale.1, self.from.1);
        let value = |x: usize, y: usize, channel: usize| {
            self.pixels.get(y * self.from.0 + x).map_or(0.0, |pixel| f64::from(pixel[channel]))
        };
        std::array::from_fn(|c| {
            let upper = value(left, top, c) * (1.0 - along) + value(right, top, c) * along;
            let lower = value(left, bottom, c) * (1.0 - along) + value(right, bottom, c) * along;
            (upper * (1.0 - down) + lower * down).round() as u8
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, Rect};

    fn face(left: f32, top: f32, width: f32, height: f32, eyes: [(f32, f32); 2]) -> Face {
        let mut landmarks_px = [Point::new(0.0, 0.0); 5];
        for (landmark, (x, y)) in landmarks_px.iter_mut().zip(eyes) {
            *landmark = Point::new(x, y);
        }
        Face { box_px: Rect::from_xywh(left, top, width, height), landmarks_px, score: 1.0 }
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 3) as u8, (y * 4) as u8, 90]))
    }

    #[test]
    fn crops_are_those_of_deepface() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/deepface_crop.json");
        let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let photo = RgbImage::from_fn(150, 120, |x, y| {
            let (x, y) = (f64::from(x), f64::from(y));
            let red = 128.0 + 100.0 * (x / 9.0).sin() * (y / 13.0).cos();
            let green = 128.0 + 90.0 * ((x + 2.0 * y) / 17.0).sin();
            let blue = 128.0 + 110.0 * ((3.0 * x - y) / 23.0).cos();
            image::Rgb([red, green, blue].map(|value| value.floor() as u8))
        });
        let step = reference["step"].as_u64().unwrap() as u32;
        for case in reference["cases"].as_array().unwrap() {
            let list = |value: &serde_json::Value| -> Vec<f32> {
                value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
            };
            let (box_px, size) = (list(&case["box_xywh"]), list(&case["size"]));
            let eyes = ["right_eye", "left_eye"].map(|name| (list(&case[name])[0], list(&case[name])[1]));
            let found = face(box_px[0], box_px[1], box_px[2], box_px[3], eyes);
            let aligned = align(&photo, &found, size[0] as u32, size[1] as u32).unwrap();
            let (columns, rows) = ((size[0] as u32).div_ceil(step), (size[1] as u32).div_ceil(step));
            let pixels = case["pixels"].as_array().unwrap();
            assert_eq!(pixels.len() as u32, columns * rows);
            let (mut sum, mut most) = (0.0, 0.0f32);
            for (nth, pixel) in pixels.iter().enumerate() {
                let at = aligned.crop().get_pixel(nth as u32 % columns * step, nth as u32 / columns * step);
                for (got, want) in at.0.iter().zip(list(pixel)) {
                    let off = (f32::from(*got) - want).abs();
                    sum += off;
                    most = most.max(off);
                }
            }
            let mean = sum / (3 * pixels.len()) as f32;
            // Rounding to bytes takes a quarter of a grey level on average.
            assert!(mean < 0.3 && most < 2.0, "{size:?}: mean {mean}, most {most} grey levels");
        }
    }

    #[test]
    fn a_level_square_face_is_the_box_itself() {
        let photo = gradient(80, 60);
        let aligned = align(&photo, &face(20.4, 10.9, 32.2, 32.9, [(28.0, 20.0), (44.0, 20.9)]), 32, 32).unwrap();
        for (x, y, pixel) in aligned.crop().enumerate_pixels() {
            assert_eq!(pixel, photo.get_pixel(20 + x, 10 + y));
        }
    }

    #[test]
    fn a_narrow_box_gets_black_bars() {
        let photo = RgbImage::from_pixel(80, 60, image::Rgb([200; 3]));
        let aligned = align(&photo, &face(20.0, 10.0, 20.0, 40.0, [(25.0, 20.0), (35.0, 20.0)]), 40, 40).unwrap();
        let black = aligned.crop().pixels().filter(|pixel| pixel.0 == [0; 3]).count();
        assert_eq!(black, 40 * 20);
        assert_eq!(aligned.crop().get_pixel(9, 20).0, [0; 3]);
        assert_eq!(aligned.crop().get_pixel(10, 20).0, [200; 3]);
    }

    #[test]
    fn the_map_to_the_crop_levels_the_eyes() {
        let photo = gradient(90, 90);
        let aligned = align(&photo, &face(20.0, 20.0, 40.0, 50.0, [(30.0, 30.0), (50.0, 40.0)]), 112, 112).unwrap();
        let [right, left] = [(30.0, 30.0), (50.0, 40.0)].map(|(x, y)| aligned.to_crop().apply(Point::new(x, y)));
        assert!((right.y - left.y).abs() < 0.1 && left.x > right.x, "{right:?} {left:?}");
    }

    #[test]
    fn a_box_outside_or_without_size_is_refused() {
        let photo = gradient(40, 40);
        assert_eq!(align(&photo, &face(500.0, 500.0, 20.0, 20.0, [(505.0, 510.0), (515.0, 510.0)]), 32, 32), None);
        assert_eq!(align(&photo, &face(10.0, 10.0, 0.0, 9.0, [(11.0, 11.0), (12.0, 11.0)]), 32, 32), None);
        // Nonsense may give anything but a panic.
        align(&photo, &face(f32::NAN, 1.0, 9.0, 9.0, [(f32::INFINITY, 0.0), (1.0, 1.0)]), 8, 8);
    }
}
