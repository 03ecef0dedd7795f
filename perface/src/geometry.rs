//! Points, boxes and similarity transforms in the plane.
//!
//! Coordinates are pixels, x right and y down, with (0, 0) at the centre of the top-left pixel.

use serde::{Deserialize, Serialize};

/// A place in a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Downwards.
    pub y: f32,
}

impl Point {
    /// The point (x, y).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance to `other`, in pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// An upright box in pixels; `right` and `bottom` are edges, not the last pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
}

impl Rect {
    /// From its four edges.
    pub const fn from_ltrb(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { left, top, right, bottom }
    }

    /// From its top-left corner and size.
    pub fn from_xywh(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self::from_ltrb(x, y, x + width, y + height)
    }

    /// The smallest box around `points`; `None` if there are none.
    pub fn around(points: impl IntoIterator<Item = Point>) -> Option<Self> {
        points.into_iter().fold(None, |rect: Option<Self>, p| {
            Some(match rect {
                None => Self::from_ltrb(p.x, p.y, p.x, p.y),
                Some(r) => Self::from_ltrb(r.left.min(p.x), r.top.min(p.y), r.right.max(p.x), r.bottom.max(p.y)),
            })
        })
    }

    /// Width in pixels; zero if the edges are crossed.
    pub fn width(&self) -> f32 {
        (self.right - self.left).max(0.0)
    }

    /// Height in pixels; zero if the edges are crossed.
    pub fn height(&self) -> f32 {
        (self.bottom - self.top).max(0.0)
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The middle.
    pub fn centre(&self) -> Point {
        Point::new((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// Area shared with `other` over the area of both together, in `[0, 1]`.
    pub fn iou(&self, other: &Self) -> f32 {
        let shared = self.intersection(other).area();
        let joined = self.area() + other.area() - shared;
        if joined > 0.0 { shared / joined } else { 0.0 }
    }

    /// What both boxes cover; its area is zero if they do not meet.
    pub fn intersection(&self, other: &Self) -> Self {
        Self::from_ltrb(
            self.left.max(other.left),
            self.top.max(other.top),
            self.right.min(other.right),
            self.bottom.min(other.bottom),
        )
    }

    /// Grown by `left`, `top`, `right`, `bottom` times its own size on those sides.
    pub fn grown(&self, left: f32, top: f32, right: f32, bottom: f32) -> Self {
        let (w, h) = (self.width(), self.height());
        Self::from_ltrb(self.left - left * w, self.top - top * h, self.right + right * w, self.bottom + bottom * h)
    }

    /// Cut to a picture of `width` × `height`.
    pub fn clamped(&self, width: u32, height: u32) -> Self {
        self.intersection(&Self::from_ltrb(0.0, 0.0, width as f32, height as f32))
    }
}

/// A turn, a uniform scale and a shift: `(a·x − b·y + tx, b·x + a·y + ty)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Scale times cosine of the turn.
    pub a: f64,
    /// Scale times sine of the turn; positive turns x towards y (clockwise on screen).
    pub b: f64,
    /// Shift along x, in pixels.
    pub tx: f64,
    /// Shift along y, in pixels.
    pub ty: f64,
}

impl Similarity {
    /// Leaves every point where it is.
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// The least-squares similarity from `source` to `target`, point by point.
    ///
    /// The closed form in the plane of Umeyama (IEEE TPAMI 13(4), 1991), without reflection.
    /// `None` if there are fewer than two points, the counts differ, the source points coincide, the
    /// fit collapses to scale zero, or a coordinate is not finite.
    pub fn fit(source: &[Point], target: &[Point]) -> Option<Self> {
        if source.len() != target.len() || source.len() < 2 {
            return None;
        }
        let n = source.len() as f64;
        let mean = |points: &[Point]| {
            let sum = points.iter().fold((0.0, 0.0), |s, p| (s.0 + f64::from(p.x), s.1 + f64::from(p.y)));
            (sum.0 / n, sum.1 / n)
        };
        let (source_mean, target_mean) = (mean(source), mean(target));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (s, t) in source.iter().zip(target) {
            let (sx, sy) = (f64::from(s.x) - source_mean.0, f64::from(s.y) - source_mean.1);
            let (tx, ty) = (f64::from(t.x) - target_mean.0, f64::from(t.y) - target_mean.1);
            dot += sx * tx + sy * ty;
            cross += sx * ty - sy * tx;
            spread += sx * sx + sy * sy;
        }
        let (a, b) = (dot / spread, cross / spread);
        let fit = Self {
            a,
            b,
            tx: target_mean.0 - a * source_mean.0 + b * source_mean.1,
            ty: target_mean.1 - b * source_mean.0 - a * source_mean.1,
        };
        (fit.scale() > 0.0 && fit.is_finite()).then_some(fit)
    }

    fn is_finite(&self) -> bool {
        self.a.is_finite() && self.b.is_finite() && self.tx.is_finite() && self.ty.is_finite()
    }

    /// Where `p` goes.
    pub fn apply(&self, p: Point) -> Point {
        let (x, y) = (f64::from(p.x), f64::from(p.y));
        Point::new((self.a * x - self.b * y + self.tx) as f32, (self.b * x + self.a * y + self.ty) as f32)
    }

    /// The transform back. Its numbers are not finite if the scale is zero.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// First `self`, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        Self {
            a: next.a * self.a - next.b * self.b,
            b: next.b * self.a + next.a * self.b,
            tx: next.a * self.tx - next.b * self.ty + next.tx,
            ty: next.b * self.tx + next.a * self.ty + next.ty,
        }
    }

    /// How many target pixels one source pixel becomes.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The turn in radians, clockwise on screen.
    pub fn rotation_rad(&self) -> f64 {
        self.b.atan2(self.a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fit_finds_the_transform_that_moved_the_points(
            a in -2f64..2.0, b in 0.1f64..2.0, tx in -50f64..50.0, ty in -50f64..50.0,
            xs in proptest::collection::vec((-40f32..40.0, -40f32..40.0), 3..8),
        ) {
            let made = Similarity { a, b, tx, ty };
            let source: Vec<_> = xs.iter().map(|&(x, y)| Point::new(x, y)).collect();
            let spread = Rect::around(source.iter().copied()).map_or(0.0, |r| r.width() + r.height());
            prop_assume!(spread > 1.0);
            let target: Vec<_> = source.iter().map(|&p| made.apply(p)).collect();
            let found = Similarity::fit(&source, &target).unwrap();
            prop_assert!((found.a - a).abs() < 1e-4 && (found.b - b).abs() < 1e-4);
        }

        #[test]
        fn inverse_undoes(a in 0.1f64..2.0, b in -2f64..2.0, x in -100f32..100.0, y in -100f32..100.0) {
            let there = Similarity { a, b, tx: 3.0, ty: -7.0 };
            let p = Point::new(x, y);
            prop_assert!(there.inverse().apply(there.apply(p)).distance(p) < 1e-3);
            prop_assert!(there.then(&there.inverse()).apply(p).distance(p) < 1e-3);
        }
    }

    #[test]
    fn fit_refuses_points_that_coincide() {
        let one = [Point::new(1.0, 1.0); 5];
        assert_eq!(Similarity::fit(&one, &one), None);
        assert_eq!(Similarity::fit(&one[..1], &one[..1]), None);
    }

    #[test]
    fn iou_of_half_overlap_is_a_third() {
        let (a, b) = (Rect::from_xywh(0.0, 0.0, 2.0, 2.0), Rect::from_xywh(1.0, 0.0, 2.0, 2.0));
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
    }
}
