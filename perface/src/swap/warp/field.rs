//! Where each point of the face goes: the target's pose and expression with the candidate's shape.
//!
//! All of it happens in the target's frontal frame (see [`super::pose`]). The candidate's shape is first given the
//! target's jaw; then every point moves toward it, fully in the middle of the face and less at its edge. Lids and lips
//! are built anew: the candidate's form between its own corners, opened as far as the target's are. The rings outside
//! the oval follow it less and less, and the last does not move, so that nothing changes outside it.

use super::pose::{Point3, Pose};
use super::topology::{
    EYES, INNER_LIPS, LIP_RINGS, MEAN_SHAPE, NEIGHBOURS, OVAL, POINTS, RADIUS, RING_RADII, TRIANGLES, WIDE_POINTS,
};

/// How far the shape follows the candidate's.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldOptions {
    /// Share of the way to the candidate's shape inside the face; above 1 goes beyond it.
    pub follow: f32,
    /// Share of `follow` that is left at the oval.
    pub edge_share: f32,
    /// Radius, as a share of the oval's, from which `follow` falls off.
    pub falloff_from: f32,
    /// No point moves farther, in face widths.
    pub max_shift: f32,
}

impl Default for FieldOptions {
    fn default() -> Self {
        Self { follow: 1.1, edge_share: 0.65, falloff_from: 0.7, max_shift: 0.12 }
    }
}

impl FieldOptions {
    /// The same with the candidate's shape exaggerated away from the target's.
    #[must_use]
    pub fn farther(&self) -> Self {
        Self { follow: FARTHER * self.follow, max_shift: FARTHER * self.max_shift, ..self.clone() }
    }
}

/// How much larger the way of an exaggerated shape is.
const FARTHER: f32 = 1.8;
/// Share of the oval's movement that the rings take, from the inside out.
const RING_SHARES: [f32; RING_RADII.len()] = [0.8, 0.4, 0.0];
/// Lids opened less than this share of the eye's width are shut.
const SHUT: f32 = 0.02;
/// Opening of the mouth of the target beside the candidate's, and what it does to lip thickness.
const THICKNESS_FROM_CANDIDATE: f32 = 0.6;

/// A mesh with its rings: `mesh` has 468 points, the result [`WIDE_POINTS`], both in the frame of `mesh`.
///
/// The rings lie in the face's own plane, so that they turn with the head.
pub fn widened(mesh: &[Point3], pose: &Pose) -> Vec<Point3> {
    let mut wide = mesh.to_vec();
    for radius in RING_RADII {
        wide.extend(OVAL.iter().map(|&i| pose.apply(scaled_in_plane(pose.undo(mesh[i]), radius))));
    }
    wide
}

fn scaled_in_plane(p: Point3, radius: f32) -> Point3 {
    [p[0] * radius, p[1] * radius, p[2]]
}

/// The widened destination mesh in the target's frontal frame.
///
/// `target` and `candidate` are the 468 points of each, both in that frame.
pub fn destination(target: &[Point3], candidate: &[Point3], pose: &Pose, options: &FieldOptions) -> Vec<Point3> {
    let candidate = with_jaw_of(target, candidate);
    let mut shift: Vec<Point3> = (0..POINTS)
        .map(|i| {
            let share = options.follow * edge_weight(RADIUS[i], options);
            limited(scale(sub(candidate[i], target[i]), share), options.max_shift)
        })
        .collect();
    let mut fixed = vec![false; POINTS];
    EYES.iter().for_each(|eye| move_eye(eye, target, &candidate, &mut shift));
    move_lips(target, &candidate, &mut shift);
    let built = EYES.iter().flatten().chain(&INNER_LIPS).chain(LIP_RINGS.iter().flatten());
    built.chain(&OVAL).for_each(|&i| fixed[i] = true);
    for _ in 0..2 {
        relax(&mut shift, |i| !fixed[i], 0.4);
    }
    unfold(target, &mut shift, &fixed, pose);
    let mut wide: Vec<Point3> = target.iter().zip(&shift).map(|(&t, &d)| add(t, d)).collect();
    for (radius, share) in RING_RADII.into_iter().zip(RING_SHARES) {
        wide.extend(OVAL.iter().map(|&i| add(scaled_in_plane(target[i], radius), scale(shift[i], share))));
    }
    debug_assert_eq!(wide.len(), WIDE_POINTS);
    wide
}

/// Between a neutral and a smiling shape of one person, the blend nearest to `target` around the mouth, and its share
/// of the smile in `[0, 1]`. All three are in one frontal frame.
pub fn matching_expression(target: &[Point3], neutral: &[Point3], smiling: &[Point3]) -> (Vec<Point3>, f32) {
    let mouth = || LIP_RINGS.iter().flatten().chain(&INNER_LIPS).copied();
    let centre = |shape: &[Point3]| {
        let sum = mouth().fold([0.0; 3], |s, i| add(s, shape[i]));
        scale(sum, 1.0 / mouth().count() as f32)
    };
    let (t0, n0, s0) = (centre(target), centre(neutral), centre(smiling));
    let (mut dot, mut square) = (0.0, 0.0);
    for i in mouth() {
        let smile = sub(sub(smiling[i], s0), sub(neutral[i], n0));
        let wanted = sub(sub(target[i], t0), sub(neutral[i], n0));
        dot += smile[0] * wanted[0] + smile[1] * wanted[1];
        square += smile[0] * smile[0] + smile[1] * smile[1];
    }
    let share = if square > 0.0 { (dot / square).clamp(0.0, 1.0) } else { 0.0 };
    let blend = neutral.iter().zip(smiling).map(|(&n, &s)| add(n, scale(sub(s, n), share))).collect();
    (blend, share)
}

/// Largest distance between the lips, as a share of the mouth's width.
pub fn mouth_opening(shape: &[Point3]) -> f32 {
    opening(&INNER_LIPS, shape)
}

/// Largest distance between the lids of each eye, as a share of its width.
pub fn eye_openings(shape: &[Point3]) -> [f32; 2] {
    EYES.map(|eye| opening(&eye, shape))
}

fn edge_weight(radius: f32, options: &FieldOptions) -> f32 {
    let t = smoothstep(options.falloff_from, 1.0, radius);
    1.0 + t * (options.edge_share - 1.0)
}

/// `candidate` with lower lip, chin and jaw dropped as far as the target's.
fn with_jaw_of(target: &[Point3], candidate: &[Point3]) -> Vec<Point3> {
    let gap = |shape: &[Point3]| shape[14][1] - shape[13][1];
    let drop = gap(target) - gap(candidate);
    let mouth_line = (MEAN_SHAPE[78][1] + MEAN_SHAPE[308][1]) / 2.0;
    let chin = MEAN_SHAPE[152][1];
    let weight = |i: usize| {
        let down = smoothstep(mouth_line - 0.02, mouth_line + 0.5 * (chin - mouth_line), MEAN_SHAPE[i][1]);
        let aside = smoothstep(0.5, 0.25, MEAN_SHAPE[i][0].abs());
        down * aside
    };
    candidate.iter().enumerate().map(|(i, &p)| [p[0], p[1] + drop * weight(i), p[2]]).collect()
}

/// Builds the lids between the moved corners: the candidate's outline, opened like the target's.
fn move_eye(eye: &[usize; 16], target: &[Point3], candidate: &[Point3], shift: &mut [Point3]) {
    let [outer, inner] = [eye[0], eye[8]];
    let depth = scale(add(shift[outer], shift[inner]), 0.5)[2];
    let [wanted, own] = [target, candidate].map(|shape| true_opening(opening(eye, shape)));
    let stretch = (wanted / own.max(SHUT)).clamp(0.0, 2.5);
    let (from, to) = (add(target[outer], shift[outer]), add(target[inner], shift[inner]));
    for &i in eye.iter().filter(|&&i| i != outer && i != inner) {
        let (along, across) = local(candidate[i], candidate[outer], candidate[inner]);
        let place = placed(along, across * stretch, from, to);
        shift[i] = [place[0] - target[i][0], place[1] - target[i][1], depth];
    }
}

/// Builds the lips between the moved corners: the target's opening, the candidate's thickness for the most part.
fn move_lips(target: &[Point3], candidate: &[Point3], shift: &mut [Point3]) {
    let [left, right] = [INNER_LIPS[0], INNER_LIPS[10]];
    let (from, to) = (add(target[left], shift[left]), add(target[right], shift[right]));
    let depth = scale(add(shift[left], shift[right]), 0.5)[2];
    let mut place = [[0.0; 3]; 20];
    for (place, &i) in place.iter_mut().zip(&INNER_LIPS) {
        let (along, across) = local(target[i], target[left], target[right]);
        *place = placed(along, across, from, to);
        place[2] = target[i][2] + depth;
        shift[i] = sub(*place, target[i]);
    }
    for ring in &LIP_RINGS {
        for ((&i, &inner), &place) in ring.iter().zip(&INNER_LIPS).zip(&place) {
            let own = sub(target[i], target[inner]);
            let others = sub(candidate[i], candidate[inner]);
            let thickness = add(own, scale(sub(others, own), THICKNESS_FROM_CANDIDATE));
            shift[i] = sub(add(place, thickness), target[i]);
        }
    }
}

fn opening(ring: &[usize], shape: &[Point3]) -> f32 {
    let half = ring.len() / 2;
    let across = |i: usize| local(shape[i], shape[ring[0]], shape[ring[half]]).1;
    (1..half).map(|k| across(ring[ring.len() - k]) - across(ring[k])).fold(0.0, f32::max)
}

/// How far lids really are apart that the mesh shows `opening` eye widths apart.
///
/// The network was taught with open eyes and hardly lowers the lids: squinting eyes still measure .20 to .23, where open ones
/// measure .3.
fn true_opening(opening: f32) -> f32 {
    const OPEN: f32 = 0.3;
    const SHUT_IN_MESH: f32 = 0.15;
    if opening < OPEN { OPEN * ((opening - SHUT_IN_MESH) / (OPEN - SHUT_IN_MESH)).max(0.0) } else { opening }
}

/// Coordinates of `p` on the axis from `a` to `b` and across it (down the picture is positive), in lengths of a–b.
fn local(p: Point3, a: Point3, b: Point3) -> (f32, f32) {
    let (axis, down, square) = axes(a, b);
    let d = sub(p, a);
    ((d[0] * axis[0] + d[1] * axis[1]) / square, (d[0] * down[0] + d[1] * down[1]) / square)
}

fn placed(along: f32, across: f32, a: Point3, b: Point3) -> Point3 {
    let (axis, down, _) = axes(a, b);
    [a[0] + along * axis[0] + across * down[0], a[1] + along * axis[1] + across * down[1], a[2] + along * (b[2] - a[2])]
}

fn axes(a: Point3, b: Point3) -> ([f32; 2], [f32; 2], f32) {
    let axis = [b[0] - a[0], b[1] - a[1]];
    let down = if axis[0] >= 0.0 { [-axis[1], axis[0]] } else { [axis[1], -axis[0]] };
    (axis, down, (axis[0] * axis[0] + axis[1] * axis[1]).max(1e-12))
}

/// Moves each chosen point's shift a `share` of the way to its neighbours' mean.
fn relax(shift: &mut [Point3], chosen: impl Fn(usize) -> bool, share: f32) {
    let before = shift.to_vec();
    for (i, around) in NEIGHBOURS.iter().enumerate().filter(|(i, _)| chosen(*i)) {
        let sum = around.iter().fold([0.0; 3], |s, &j| add(s, before[j]));
        let mean = scale(sum, 1.0 / around.len().max(1) as f32);
        shift[i] = add(before[i], scale(sub(mean, before[i]), share));
    }
}

/// Smooths the shift where a triangle that faced the camera would turn over.
fn unfold(target: &[Point3], shift: &mut [Point3], fixed: &[bool], pose: &Pose) {
    const PASSES: usize = 6;
    for pass in 0..PASSES {
        let area = |t: &[u16; 3], at: &dyn Fn(usize) -> Point3| {
            let [a, b, c] = t.map(|i| pose.apply(at(usize::from(i))));
            (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        };
        let mut folded = vec![false; POINTS];
        for t in &TRIANGLES {
            let was = area(t, &|i| target[i]);
            if was > 0.0 && area(t, &|i| add(target[i], shift[i])) < 0.1 * was {
                t.iter().for_each(|&i| folded[usize::from(i)] = true);
            }
        }
        if !folded.contains(&true) {
            break;
        }
        // Built lids and lips give way only when smoothing around them did not help.
        relax(shift, |i| folded[i] && (!fixed[i] || pass >= PASSES / 2), 0.7);
    }
}

/// Shortened so that it approaches `limit` but never passes it.
fn limited(d: Point3, limit: f32) -> Point3 {
    let length = d.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 { scale(d, limit * (length / limit).tanh() / length) } else { d }
}

/// 0 at `from`, 1 at `to`, smooth between; `from` may lie above `to`.
#[inline]
pub fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) * (1.0 / (to - from))).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn add(a: Point3, b: Point3) -> Point3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn sub(a: Point3, b: Point3) -> Point3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn scale(a: Point3, k: f32) -> Point3 {
    a.map(|v| v * k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::topology::{RING_POINTS, ring_point};

    fn frontal() -> (Vec<Point3>, Pose) {
        (MEAN_SHAPE.to_vec(), Pose::of_mesh(&MEAN_SHAPE).unwrap())
    }

    #[test]
    fn a_candidate_of_the_same_shape_moves_little() {
        let (mean, pose) = frontal();
        let moved = destination(&mean, &mean, &pose, &FieldOptions::default());
        let still = widened(&mean, &pose);
        let farthest = moved.iter().zip(&still).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).fold(0.0, f32::max);
        assert!(farthest < 0.002, "moved by {farthest}");
    }

    #[test]
    fn the_last_ring_stays_and_the_oval_follows() {
        let (mean, pose) = frontal();
        let wide_face: Vec<_> = mean.iter().map(|p| [p[0] * 1.1, p[1], p[2]]).collect();
        let moved = destination(&mean, &wide_face, &pose, &FieldOptions::default());
        let still = widened(&mean, &pose);
        assert!((0..RING_POINTS).all(|k| moved[ring_point(2, k)] == still[ring_point(2, k)]));
        assert!(moved[454][0] > mean[454][0] + 0.015 && moved[234][0] < mean[234][0] - 0.015);
    }

    #[test]
    fn lids_are_opened_as_far_as_the_targets_really_are() {
        let (mean, pose) = frontal();
        let squint = |share: f32| -> Vec<Point3> {
            let lids = |i: usize| EYES.iter().any(|eye| eye.contains(&i));
            (0..POINTS)
                .map(|i| {
                    let [x, y, z] = mean[i];
                    [x, if lids(i) { mean[33][1] + share * (y - mean[33][1]) } else { y }, z]
                })
                .collect()
        };
        for share in [1.0, 0.8, 0.6] {
            let target = squint(share);
            let moved = destination(&target, &mean, &pose, &FieldOptions::default());
            for (got, shown) in eye_openings(&moved).iter().zip(eye_openings(&target)) {
                // As the mean's mesh shows lids that are as far apart.
                let mean_shown = eye_openings(&mean)[0];
                let want = true_opening(shown) * mean_shown / true_opening(mean_shown);
                assert!((got - want).abs() < 0.02, "opened {got}, wanted {want}, the mesh shows {shown}");
            }
        }
    }

    #[test]
    fn an_open_mouth_stays_open_over_a_closed_candidate() {
        let (mean, pose) = frontal();
        let lower = with_jaw_of(
            &{
                let mut t = mean.clone();
                t[14][1] += 0.1;
                t
            },
            &mean,
        );
        let moved = destination(&lower, &mean, &pose, &FieldOptions::default());
        assert!((mouth_opening(&moved) - mouth_opening(&lower)).abs() < 0.05);
    }
}
