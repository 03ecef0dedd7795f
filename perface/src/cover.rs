//! Cover a face with a solid fill: the whole head, so that neither hair nor ears give it away.

use image::{Rgb, RgbImage};

use crate::detect::Face;
use crate::geometry::{Point, Rect};

/// A mid grey that says nothing about who was there.
pub const FILL: Rgb<u8> = Rgb([127, 127, 127]);

/// How far the head reaches beyond the detector's box, in widths or heights of it: hair above, ears at the
/// sides, chin and beard below. Measured on portraits whose whole head is visible, rounded up.
const ABOVE: f32 = 0.5;
const BESIDE: f32 = 0.3;
const BELOW: f32 = 0.25;

/// The smallest upright box around the head of `face`, whichever way the face is turned. It may reach over the
/// photo's edge.
pub fn head_box(face: &Face) -> Rect {
    let [left_eye, right_eye, _, left_mouth, right_mouth] = face.landmarks_px;
    let middle = |a: Point, b: Point| Point::new((a.x + b.x) / 2.0, (a.y + b.y) / 2.0);
    let (eyes, mouth) = (middle(left_eye, right_eye), middle(left_mouth, right_mouth));
    let (down_x, down_y) = (mouth.x - eyes.x, mouth.y - eyes.y);
    let length = down_x.hypot(down_y);
    let box_px = face.box_px;
    let side = box_px.width().max(box_px.height());
    // Landmarks that coincide say nothing about the turn: the largest margin then goes to every side.
    if length < side * 0.05 {
        return box_px.grown(ABOVE, ABOVE, ABOVE, ABOVE);
    }
    let (down_x, down_y) = (down_x / length, down_y / length);
    // The share of each margin that points towards each side of the upright box.
    let margin = |x: f32, y: f32| {
        let along = down_x * x + down_y * y;
        let lengthwise = if along > 0.0 { BELOW * along } else { -ABOVE * along };
        let across = BESIDE * (1.0 - along * along).max(0.0).sqrt();
        lengthwise.max(across)
    };
    box_px.grown(margin(-1.0, 0.0), margin(0.0, -1.0), margin(1.0, 0.0), margin(0.0, 1.0))
}

/// Fill the head of `face` in `pixels`.
pub fn cover(pixels: &mut RgbImage, face: &Face) {
    fill(pixels, head_box(face));
}

/// Fill every pixel that `rect` touches.
fn fill(pixels: &mut RgbImage, rect: Rect) {
    let rect = rect.clamped(pixels.width(), pixels.height());
    let (left, right) = (rect.left.floor() as usize, rect.right.ceil() as usize);
    let (top, bottom) = (rect.top.floor() as u32, rect.bottom.ceil() as u32);
    let row_bytes = pixels.width() as usize * 3;
    if row_bytes == 0 || left >= right {
        return;
    }
    for (y, row) in pixels.as_mut().chunks_exact_mut(row_bytes).enumerate() {
        let part = row.get_mut(left * 3..(right * 3).min(row_bytes));
        if let Some(part) = part.filter(|_| (top..bottom).contains(&(y as u32))) {
            part.as_chunks_mut::<3>().0.fill(FILL.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upright() -> Face {
        let p = Point::new;
        Face {
            box_px: Rect::from_xywh(100.0, 100.0, 100.0, 120.0),
            landmarks_px: [p(130.0, 145.0), p(170.0, 145.0), p(150.0, 165.0), p(135.0, 190.0), p(165.0, 190.0)],
            score: 0.9,
        }
    }

    #[test]
    fn an_upright_head_has_its_hair_above() {
        let head = head_box(&upright());
        assert_eq!((head.left, head.top, head.right, head.bottom), (70.0, 40.0, 230.0, 250.0));
    }

    #[test]
    fn a_head_upside_down_has_its_hair_below() {
        let mut face = upright();
        for p in &mut face.landmarks_px {
            *p = Point::new(300.0 - p.x, 320.0 - p.y);
        }
        let head = head_box(&face);
        assert!((head.bottom - 280.0).abs() < 1e-3 && (head.top - 70.0).abs() < 1e-3, "{head:?}");
    }

    #[test]
    fn a_head_on_its_side_has_its_hair_at_the_side() {
        let mut face = upright();
        // Turned clockwise about the middle of the box: up becomes right.
        for p in &mut face.landmarks_px {
            *p = Point::new(150.0 - (p.y - 160.0), 160.0 + (p.x - 150.0));
        }
        let head = head_box(&face);
        assert!(head.right - 200.0 > 100.0 - head.left, "{head:?}");
    }

    #[test]
    fn covering_reaches_the_edge_and_nothing_beyond_the_head() {
        let mut pixels = RgbImage::new(220, 300);
        let mut face = upright();
        cover(&mut pixels, &face);
        assert_eq!(*pixels.get_pixel(219, 100), FILL);
        assert_eq!(*pixels.get_pixel(69, 100), Rgb([0, 0, 0]));
        assert_eq!(*pixels.get_pixel(100, 250), Rgb([0, 0, 0]));
        face.box_px = Rect::from_xywh(-500.0, -500.0, 2.0, 2.0);
        cover(&mut pixels, &face);
        face.box_px = Rect::from_xywh(-1e9, -1e9, 3e9, 3e9);
        cover(&mut pixels, &face);
        assert!(pixels.pixels().all(|p| *p == FILL));
    }
}
