//! Which points of the mesh make up what, and the triangles between them.
//!
//! A mesh is widened by rings of points outside the oval, so that the forehead up to the hair, and what lies just
//! outside the jaw, can be moved too: points 0–467 are the network's, then come 36 for each ring, in the oval's order.

use std::sync::LazyLock;

use super::pose::Point3;
pub use super::topology_table::{MEAN_SHAPE, MIRROR, TRIANGLES};

/// Points of the network's mesh.
pub const POINTS: usize = 468;
/// Points of the oval, and of each ring around it.
pub const RING_POINTS: usize = 36;
/// Radius of the rings as a multiple of the oval's, from the inside out.
pub const RING_RADII: [f32; 3] = [1.12, 1.28, 1.5];
/// Points of a mesh with its rings.
pub const WIDE_POINTS: usize = POINTS + RING_POINTS * RING_RADII.len();

/// The face's outline, clockwise on screen from the middle of the forehead.
pub const OVAL: [usize; RING_POINTS] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];

/// Edge of the mouth's opening: image-left corner, along the upper lip to the other corner, back along the lower lip.
pub const INNER_LIPS: [usize; 20] =
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95];
/// Rings of the lips from just outside [`INNER_LIPS`] to the vermilion border, in the same order.
pub const LIP_RINGS: [[usize; 20]; 3] = [
    [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96],
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77],
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
];

/// Edge of each eye's opening: outer corner, along the upper lid to the inner corner, back along the lower lid.
pub const EYES: [[usize; 16]; 2] = [
    [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7],
    [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249],
];

/// Upper and lower edge of each brow.
const BROWS: [[usize; 10]; 2] =
    [[70, 63, 105, 66, 107, 46, 53, 52, 65, 55], [300, 293, 334, 296, 336, 276, 283, 282, 295, 285]];
/// The wings and nostrils of the nose, dark underneath.
const NOSTRILS: [usize; 14] = [2, 97, 98, 326, 327, 99, 328, 60, 290, 75, 305, 240, 460, 20];

/// What a triangle shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// Skin inside the oval.
    Skin,
    /// The opening of an eye.
    Eye,
    /// A brow.
    Brow,
    /// The red of the lips.
    Lips,
    /// Between the lips.
    Mouth,
    /// Around the nostrils.
    Nostril,
    /// Outside the oval.
    Outside,
}

/// Triangles of the widened mesh, each with what it shows.
pub static WIDE_TRIANGLES: LazyLock<Vec<([usize; 3], Part)>> = LazyLock::new(|| with_rings(RING_RADII.len()));

/// The mesh's triangles and those of `rings` rings around it.
pub fn with_rings(rings: usize) -> Vec<([usize; 3], Part)> {
    let mut triangles: Vec<_> = TRIANGLES
        .iter()
        .map(|t| {
            let t = t.map(usize::from);
            (t, part_of(t))
        })
        .collect();
    for ring in 0..rings {
        for k in 0..RING_POINTS {
            let next = (k + 1) % RING_POINTS;
            let inner = |k: usize| if ring == 0 { OVAL[k] } else { ring_point(ring - 1, k) };
            triangles.push(([inner(k), ring_point(ring, k), ring_point(ring, next)], Part::Outside));
            triangles.push(([inner(k), ring_point(ring, next), inner(next)], Part::Outside));
        }
    }
    triangles
}

/// Points that share an edge with each point of the network's mesh.
pub static NEIGHBOURS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let mut neighbours = vec![Vec::new(); POINTS];
    for t in &TRIANGLES {
        for (&i, &j) in t.iter().zip(t.iter().cycle().skip(1)) {
            for (i, j) in [(usize::from(i), usize::from(j)), (usize::from(j), usize::from(i))] {
                if !neighbours[i].contains(&j) {
                    neighbours[i].push(j);
                }
            }
        }
    }
    neighbours
});

/// Distance of each point of the widened mesh from the face's middle, as a share of the oval's in its direction.
pub static RADIUS: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let inside = MEAN_SHAPE.iter().map(|&p| relative_radius(p));
    let rings = RING_RADII.iter().flat_map(|&radius| std::iter::repeat_n(radius, RING_POINTS));
    let mut radii: Vec<f32> = inside.chain(rings).collect();
    OVAL.iter().for_each(|&i| radii[i] = 1.0);
    radii
});

/// Number of point `k` of ring `ring`.
pub fn ring_point(ring: usize, k: usize) -> usize {
    POINTS + ring * RING_POINTS + k
}

/// Whether a set of points holds all three corners.
fn holds(set: &[usize], triangle: [usize; 3]) -> bool {
    triangle.iter().all(|i| set.contains(i))
}

fn part_of(triangle: [usize; 3]) -> Part {
    let lips = |i: &usize| INNER_LIPS.contains(i) || LIP_RINGS.iter().any(|ring| ring.contains(i));
    if EYES.iter().any(|eye| holds(eye, triangle)) {
        Part::Eye
    } else if holds(&INNER_LIPS, triangle) {
        Part::Mouth
    } else if triangle.iter().all(lips) {
        Part::Lips
    } else if BROWS.iter().any(|brow| holds(brow, triangle)) {
        Part::Brow
    } else if triangle.iter().filter(|i| NOSTRILS.contains(i)).count() >= 2 {
        Part::Nostril
    } else {
        Part::Skin
    }
}

/// Radius of `p` over that of the mean oval along the same direction from the frontal frame's origin.
fn relative_radius(p: Point3) -> f32 {
    let radius = p[0].hypot(p[1]);
    let oval = (0..RING_POINTS).find_map(|k| {
        let (a, b) = (MEAN_SHAPE[OVAL[k]], MEAN_SHAPE[OVAL[(k + 1) % RING_POINTS]]);
        // Solve s·p = a + t·(b − a) for the crossing of the ray with this edge.
        let edge = [b[0] - a[0], b[1] - a[1]];
        let cross = p[0] * edge[1] - p[1] * edge[0];
        let s = (a[0] * edge[1] - a[1] * edge[0]) / cross;
        let t = (a[0] * p[1] - a[1] * p[0]) / cross;
        (s > 0.0 && (-1e-4..=1.0001).contains(&t)).then_some(s * radius)
    });
    oval.map_or(0.0, |oval| (radius / oval).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triangles_cover_the_oval_once() {
        // Euler: a disc of V points with B on its border has 2V − B − 2 triangles.
        assert_eq!(TRIANGLES.len(), 2 * POINTS - RING_POINTS - 2);
        let border = (0..RING_POINTS).map(|k| (OVAL[k], OVAL[(k + 1) % RING_POINTS]));
        for (i, j) in border {
            let beside = TRIANGLES.iter().filter(|t| t.contains(&(i as u16)) && t.contains(&(j as u16))).count();
            assert_eq!(beside, 1, "border edge {i}-{j}");
        }
    }

    #[test]
    fn every_part_has_triangles_and_the_mouth_is_closed_by_its_ring() {
        let count = |part| WIDE_TRIANGLES.iter().filter(|t| t.1 == part).count();
        assert_eq!(count(Part::Eye), 2 * 14);
        assert_eq!(count(Part::Mouth), 18);
        assert_eq!(count(Part::Lips), 3 * 2 * 20);
        assert_eq!(count(Part::Outside), 2 * RING_POINTS * RING_RADII.len());
        assert!(count(Part::Brow) >= 16 && count(Part::Nostril) >= 8);
    }

    #[test]
    fn the_mirror_point_of_a_mirror_point_is_the_point() {
        assert!((0..POINTS).all(|i| usize::from(MIRROR[usize::from(MIRROR[i])]) == i));
    }

    #[test]
    fn radius_is_one_on_the_oval_and_small_at_the_nose() {
        assert!(OVAL.iter().all(|&i| RADIUS[i] == 1.0));
        assert!(RADIUS[4] < 0.25, "nose tip at {}", RADIUS[4]);
        assert!((RADIUS[ring_point(1, 0)] - RING_RADII[1]).abs() < 1e-6);
    }
}
