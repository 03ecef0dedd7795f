//! Other glasses in the place of those that were there: rims and bridge drawn anew, in another shape.
//!
//! Glasses tell a recogniser more of who somebody is than most features do, and what is left of them where the face
//! ends (arms, reflections) shows that there were some. So they are not taken off but exchanged: round rims for angular ones
//! and the other way round, in the plane of the old ones.

use super::field::smoothstep;
use super::frontal;
use super::glasses::Evidence;
use super::pose::Point3;
use super::raster::Raster;
use crate::lab::{Lab, LabImage};
use crate::plane::Plane;

/// Which rims take the place of which, round to nearly rectangular: the exponents `n` of the superellipses
/// `|x/a|ⁿ + |y/b|ⁿ = 1` that old and new ones have, and how much larger the new ones are along x and y. The arms begin at them, and
/// rounder ones in the place of angular ones must reach the old corners.
const EXCHANGES: [(f32, f32, [f32; 2]); 3] =
    [(2.0, 4.5, [1.04, 1.06]), (2.7, 2.0, [1.1, 1.14]), (4.5, 2.3, [1.1, 1.14])];
/// Where rims may end, in the frontal frame of the image-right eye: inner and outer side, top and bottom.
const INNER: (f32, f32) = (0.055, 0.09);
const OUTER: (f32, f32) = (0.385, 0.44);
const TOP: (f32, f32) = (-0.33, -0.27);
const BOTTOM: (f32, f32) = (-0.11, -0.04);
/// Half the width of a rim, in face widths: usual and bold.
const HALF_RIMS: [f32; 2] = [0.0105, 0.0145];
/// How far the bridge rises in its middle, in face widths.
const BRIDGE_BOW: f32 = 0.018;
/// From a rim's outer side a hinge reaches outwards, in face widths, at this share of the rim's height below its top.
const HINGE: f32 = 0.07;
const HINGE_BELOW_TOP: f32 = 0.3;
/// Dark plastic, and how much lighter its upper edge shines, in L\*.
const PLASTIC: Lab = [13.0, 0.0, 0.0];
const SHINE: f32 = 9.0;
/// Share of the skin's light that the rim's shadow takes, how far below it lies and how wide it is, in face widths.
const SHADOW: f32 = 0.13;
const SHADOW_BELOW: f32 = 0.014;
const SHADOW_HALF: f32 = 0.03;

/// New glasses on one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// From working pixels to the frontal frame, as rows of an affine map.
    to_frontal: [[f32; 3]; 2],
    /// Middle of the image-right rim; the other is its mirror image.
    middle: [f32; 2],
    /// Half width and half height of a rim.
    half: [f32; 2],
    exponent: f32,
    /// Height of the bridge's ends.
    bridge: f32,
    /// Frontal units a working pixel is wide.
    pixel: f32,
}

impl Frames {
    /// In the place of the glasses of `evidence`, on a face whose mesh is `mesh`, in working pixels; `None` if too little of their
    /// place lies on the mesh.
    pub fn instead_of(evidence: &Evidence, mesh: &[Point3]) -> Option<Self> {
        let outlines = evidence.outlines();
        // Where each side of a rim lies, the mean of both eyes.
        let side = |of: &dyn Fn(&[f32; 2]) -> f32, largest: bool| {
            let extreme = |line: &Vec<[f32; 2]>| {
                let mut values: Vec<f32> = line.iter().map(of).collect();
                values.sort_by(f32::total_cmp);
                // The very outermost point may be a line beside the rim.
                let at = if largest { values.len() * 15 / 16 } else { values.len() / 16 };
                values.get(at).copied().unwrap_or(0.0)
            };
            outlines.iter().map(extreme).sum::<f32>() / 2.0
        };
        let across = |p: &[f32; 2]| p[0].abs();
        let down = |p: &[f32; 2]| p[1];
        let (inner, outer) =
            (side(&across, false).clamp(INNER.0, INNER.1), side(&across, true).clamp(OUTER.0, OUTER.1));
        let (top, bottom) = (side(&down, false).clamp(TOP.0, TOP.1), side(&down, true).clamp(BOTTOM.0, BOTTOM.1));
        let middle = [(inner + outer) / 2.0, (top + bottom) / 2.0];
        let old_half = [(outer - inner) / 2.0, (bottom - top) / 2.0];
        let fits = |exponent: f32| -> f32 {
            let at = |p: &[f32; 2]| distance([p[0].abs() - middle[0], p[1] - middle[1]], old_half, exponent).abs();
            outlines.iter().flatten().map(at).sum()
        };
        let (_, exponent, larger) = EXCHANGES.into_iter().min_by(|a, b| fits(a.0).total_cmp(&fits(b.0)))?;
        let pairs: Vec<([f32; 2], [f32; 2])> =
            outlines.iter().flatten().filter_map(|&place| Some((frontal::on_mesh(place, mesh)?, place))).collect();
        let to_frontal = affine(&pairs)?;
        let pixel = (to_frontal[0][0].hypot(to_frontal[0][1]) + to_frontal[1][0].hypot(to_frontal[1][1])) / 2.0;
        Some(Self {
            to_frontal,
            middle,
            half: [old_half[0] * larger[0], old_half[1] * larger[1]],
            exponent,
            bridge: evidence.bridge_height(),
            pixel,
        })
    }

    /// Draw them over `picture`, behind what is kept in front (`front`, share of each pixel), perhaps with bold rims. Returns where
    /// something was drawn, in `[0, 1]`.
    pub fn draw(&self, picture: &mut LabImage, front: &Plane, raster: &Raster, bold: bool) -> Plane {
        let half_rim = HALF_RIMS[usize::from(bold)];
        let mut changed = Plane::filled(picture.width, picture.height, 0.0);
        for (i, at) in raster.pixels.iter().enumerate() {
            if at.is_none() {
                continue;
            }
            let place = self.place([(i % raster.width) as f32, (i / raster.width) as f32]);
            let seen = 1.0 - front.values()[i];
            let from_line = self.distance(place);
            let covered = seen * self.within(from_line, half_rim);
            let above = self.distance([place[0], place[1] - SHADOW_BELOW]).abs();
            let shade = seen * SHADOW * smoothstep(SHADOW_HALF, 0.3 * half_rim, above);
            if covered.max(shade) < 1.0 / 255.0 {
                continue;
            }
            let pixel = &mut picture.pixels[i];
            pixel[0] *= 1.0 - shade;
            let shine = SHINE * smoothstep(0.6 * half_rim, 0.0, (from_line - 0.4 * half_rim).abs()) * self.upper(place);
            let [l, a, b] = PLASTIC;
            for (value, plastic) in pixel.iter_mut().zip([l + shine, a, b]) {
                *value += covered * (plastic - *value);
            }
            changed.values_mut()[i] = covered.max(smoothstep(0.0, 0.01, shade));
        }
        changed
    }

    fn place(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        self.to_frontal.map(|[a, b, c]| a * x + b * y + c)
    }

    /// 1 well above the rims' middle, 0 below.
    fn upper(&self, [_, y]: [f32; 2]) -> f32 {
        smoothstep(self.middle[1], self.middle[1] - 0.7 * self.half[1], y)
    }

    /// Share of a pixel at this distance from a line that lies within `half` of it.
    fn within(&self, distance: f32, half: f32) -> f32 {
        smoothstep(half + 0.7 * self.pixel, half - 0.7 * self.pixel, distance.abs())
    }

    /// Distance from the nearest rim, hinge or the bridge, in face widths; positive outside a rim.
    fn distance(&self, [x, y]: [f32; 2]) -> f32 {
        let rim = distance([x.abs() - self.middle[0], y - self.middle[1]], self.half, self.exponent);
        let inner = self.middle[0] - self.half[0];
        let along = x.abs() / inner.max(1e-3);
        if along < 1.0 {
            let bridge = y - (self.bridge - BRIDGE_BOW * (1.0 - along * along));
            if bridge.abs() < rim.abs() {
                return bridge;
            }
        }
        let [outer, top] = [self.middle[0] + self.half[0], self.middle[1] - self.half[1]];
        let hinge = y - (top + HINGE_BELOW_TOP * 2.0 * self.half[1]);
        let beyond = (outer - x.abs()).max(x.abs() - outer - HINGE).max(0.0);
        let hinge = hinge.hypot(beyond);
        if hinge < rim.abs() { hinge } else { rim }
    }
}

/// About the distance of a point from a superellipse around the origin; positive outside.
fn distance([x, y]: [f32; 2], [a, b]: [f32; 2], n: f32) -> f32 {
    let (u, v) = ((x / a).abs(), (y / b).abs());
    let sum = (u.powf(n) + v.powf(n)).max(1e-6);
    let slope = (u.powf(n - 1.0) / a).hypot(v.powf(n - 1.0) / b) * sum.powf(1.0 / n - 1.0);
    (sum.powf(1.0 / n) - 1.0) / slope.max(1e-3)
}

/// The affine map that takes the first of each pair nearest to the second, by least squares.
fn affine(pairs: &[([f32; 2], [f32; 2])]) -> Option<[[f32; 3]; 2]> {
    use nalgebra::{Matrix3, Vector3};
    const LEAST_PAIRS: usize = 24;
    if pairs.len() < LEAST_PAIRS {
        return None;
    }
    let mut normal = Matrix3::<f64>::zeros();
    let mut right = [Vector3::<f64>::zeros(); 2];
    for (from, to) in pairs {
        let row = Vector3::new(f64::from(from[0]), f64::from(from[1]), 1.0);
        normal += row * row.transpose();
        for (right, &to) in right.iter_mut().zip(to) {
            *right += row * f64::from(to);
        }
    }
    let inverse = normal.try_inverse()?;
    let rows = right.map(|right| <[f64; 3]>::from(inverse * right).map(|v| v as f32));
    rows.iter().flatten().all(|v| v.is_finite()).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::super::glasses::tests::{rims, view};
    use super::super::raster::Texel;
    use super::super::topology::{MEAN_SHAPE, Part};
    use super::*;

    const FACE_PX: f32 = 200.0;
    const SIDE: usize = 260;

    /// A mean face of 200 px in a picture of 260.
    fn mesh() -> Vec<Point3> {
        let middle = SIDE as f32 / 2.0;
        MEAN_SHAPE.iter().map(|p| [middle + FACE_PX * p[0], middle + FACE_PX * p[1], FACE_PX * p[2]]).collect()
    }

    fn px(place: [f32; 2]) -> usize {
        let [x, y] = place.map(|v| (SIDE as f32 / 2.0 + FACE_PX * v).round() as usize);
        y * SIDE + x
    }

    fn drawn(front: f32) -> (LabImage, Plane) {
        let frames = Frames::instead_of(&Evidence::of(&view(rims)), &mesh()).unwrap();
        let mut picture = LabImage { width: SIDE, height: SIDE, pixels: vec![[70.0, 12.0, 15.0]; SIDE * SIDE] };
        let raster =
            Raster { width: SIDE, height: SIDE, pixels: vec![Some((Part::Skin, Texel::default())); SIDE * SIDE] };
        let changed = frames.draw(&mut picture, &Plane::filled(SIDE, SIDE, front), &raster, false);
        (picture, changed)
    }

    #[test]
    fn round_rims_become_angular_ones_in_their_place() {
        let (picture, changed) = drawn(0.0);
        let lightness = |place| picture.pixels[px(place)][0];
        let frames = Frames::instead_of(&Evidence::of(&view(rims)), &mesh()).unwrap();
        assert_eq!(frames.exponent, 4.5);
        let ([x, y], [a, b]) = (frames.middle, frames.half);
        // The rims of `rims` are circles of radius 0.15 around (0.235, -0.195).
        assert!((x - 0.235).abs() < 0.02 && (y + 0.195).abs() < 0.03, "{x} {y}");
        assert!((a - 0.15).abs() < 0.03 && (b - 0.15).abs() < 0.03, "{a} {b}");
        for side in [-1.0, 1.0] {
            assert!(lightness([side * x, y + b]) < 30.0, "the lower rim");
            let corner = 2f32.powf(-1.0 / 4.5);
            assert!(lightness([side * (x + corner * a), y + corner * b]) < 30.0, "the corner");
            assert_eq!(lightness([side * x, y]), 70.0, "the eye");
            assert_eq!(changed.values()[px([side * x, y])], 0.0);
        }
        assert!(lightness([0.0, frames.bridge - BRIDGE_BOW]) < 40.0, "the bridge");
        assert_eq!(lightness([0.0, 0.3]), 70.0, "the chin");
    }

    #[test]
    fn hair_stays_in_front() {
        let (picture, changed) = drawn(1.0);
        assert!(picture.pixels.iter().all(|p| *p == [70.0, 12.0, 15.0]));
        assert!(changed.values().iter().all(|&v| v == 0.0));
    }

    #[test]
    fn the_distance_from_a_circle_is_exact_and_positive_outside() {
        for radius in [0.05f32, 0.1, 0.14] {
            let at = distance([0.6 * radius, 0.8 * radius], [0.1, 0.1], 2.0);
            assert!((at - (radius - 0.1)).abs() < 1e-4, "{radius}: {at}");
        }
        assert!(distance([0.0, 0.0], [0.1, 0.1], 2.0) < -0.05);
        assert!(distance([0.084, 0.084], [0.1, 0.1], 4.5) < 0.0 && distance([0.084, 0.084], [0.1, 0.1], 2.0) > 0.0);
    }
}
