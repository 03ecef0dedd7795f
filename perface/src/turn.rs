//! Quarter turns of pictures, and the way back for points.

use image::{RgbImage, imageops};

use crate::geometry::{Point, Rect};

/// A number of clockwise quarter turns, 0 to 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn(u8);

impl Turn {
    /// No turn.
    pub const NONE: Self = Self(0);
    /// The three turns that change a picture.
    pub const OTHERS: [Self; 3] = [Self(1), Self(2), Self(3)];

    /// The turn that brings a direction, given in picture coordinates, to point about downwards.
    pub fn bringing_down(x: f32, y: f32) -> Self {
        match (y.abs() >= x.abs(), y >= 0.0, x > 0.0) {
            (true, true, _) => Self(0),
            (true, false, _) => Self(2),
            (false, _, true) => Self(1),
            (false, _, false) => Self(3),
        }
    }

    /// The turned picture.
    pub fn apply(self, picture: RgbImage) -> RgbImage {
        match self.0 {
            1 => imageops::rotate90(&picture),
            2 => imageops::rotate180(&picture),
            3 => imageops::rotate270(&picture),
            _ => picture,
        }
    }

    /// From pixels of the turned picture, of size `width` × `height`, to pixels of the one before.
    pub fn back(self, p: Point, width: u32, height: u32) -> Point {
        let (last_x, last_y) = (width as f32 - 1.0, height as f32 - 1.0);
        match self.0 {
            1 => Point::new(p.y, last_x - p.x),
            2 => Point::new(last_x - p.x, last_y - p.y),
            3 => Point::new(last_y - p.y, p.x),
            _ => p,
        }
    }

    /// As [`Turn::back`], for a box.
    pub fn back_rect(self, rect: Rect, width: u32, height: u32) -> Rect {
        let corners = [Point::new(rect.left, rect.top), Point::new(rect.right, rect.bottom)];
        Rect::around(corners.map(|p| self.back(p, width, height))).unwrap_or(rect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_the_same_pixel() {
        let picture = RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 0]));
        for turn in [Turn::NONE].into_iter().chain(Turn::OTHERS) {
            let turned = turn.apply(picture.clone());
            for (x, y, pixel) in turned.enumerate_pixels() {
                let p = turn.back(Point::new(x as f32, y as f32), turned.width(), turned.height());
                assert_eq!((p.x, p.y), (f32::from(pixel[0]), f32::from(pixel[1])), "{turn:?}");
            }
        }
    }

    #[test]
    fn every_direction_is_brought_down() {
        for (x, y) in [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)] {
            let turn = Turn::bringing_down(x, y);
            // A point on that side of a 3 × 3 picture is at the bottom once it is turned.
            let mut picture = RgbImage::new(3, 3);
            picture.put_pixel((1.0 + x) as u32, (1.0 + y) as u32, image::Rgb([255; 3]));
            assert_eq!(turn.apply(picture).get_pixel(1, 2)[0], 255, "{x} {y}");
        }
    }
}
