//! Which point of which triangle each pixel of the patch shows.
//!
//! Triangles are painted from far to near, so that where the turned face covers part of itself the nearer part stays.
//! Each pixel keeps the triangle's part and, interpolated between its corners, where to look in either picture.

use super::topology::{Part, WIDE_TRIANGLES};

/// What a corner carries into the triangle's pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Texel {
    /// Place in the target's patch, in pixels.
    pub target_px: [f32; 2],
    /// Place in the candidate's picture, in pixels.
    pub candidate_px: [f32; 2],
    /// Place on the mean frontal face, in face widths.
    pub frontal: [f32; 2],
    /// Distance from the middle of the face; 1 on the oval.
    pub radius: f32,
}

impl Texel {
    fn mixed(corners: &[Self; 3], weights: [f32; 3]) -> Self {
        let mix = |f: &dyn Fn(&Self) -> f32| corners.iter().zip(weights).map(|(c, w)| w * f(c)).sum();
        let mix2 = |f: &dyn Fn(&Self) -> [f32; 2]| [mix(&|c| f(c)[0]), mix(&|c| f(c)[1])];
        Self {
            target_px: mix2(&|c| c.target_px),
            candidate_px: mix2(&|c| c.candidate_px),
            frontal: mix2(&|c| c.frontal),
            radius: mix(&|c| c.radius),
        }
    }
}

/// The patch after painting: for each pixel what it shows, row by row; `None` outside the last ring.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// What each pixel shows.
    pub pixels: Vec<Option<(Part, Texel)>>,
}

/// Paints the widened mesh: `places` are its points in patch pixels with depth, `texels` what each point carries.
///
/// Both have one entry for each of [`super::topology::WIDE_POINTS`]; triangles with a corner missing are left out.
pub fn paint(width: usize, height: usize, places: &[[f32; 3]], texels: &[Texel]) -> Raster {
    let mut raster = Raster { width, height, pixels: vec![None; width * height] };
    let mut order: Vec<(f32, usize)> = WIDE_TRIANGLES
        .iter()
        .enumerate()
        .filter_map(|(k, (t, _))| Some((t.iter().map(|&i| places.get(i).map(|p| p[2])).sum::<Option<f32>>()?, k)))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, k) in order {
        let (corners, part) = WIDE_TRIANGLES[k];
        let [Some(a), Some(b), Some(c)] = corners.map(|i| places.get(i)) else { continue };
        let [Some(ta), Some(tb), Some(tc)] = corners.map(|i| texels.get(i)) else { continue };
        paint_triangle(&mut raster, [[a[0], a[1]], [b[0], b[1]], [c[0], c[1]]], &[*ta, *tb, *tc], part);
    }
    raster
}

fn paint_triangle(raster: &mut Raster, [a, b, c]: [[f32; 2]; 3], texels: &[Texel; 3], part: Part) {
    // A hair's breadth over the edge, so that no pixel between two triangles is missed.
    const SLACK: f32 = -1e-4;
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if area.abs() < 1e-6 || !area.is_finite() {
        return;
    }
    let span = |k: usize, length: usize| {
        let low = a[k].min(b[k]).min(c[k]).ceil().max(0.0);
        let high = a[k].max(b[k]).max(c[k]).floor().min(length as f32 - 1.0);
        (low, high)
    };
    let ((left, right), (top, bottom)) = (span(0, raster.width), span(1, raster.height));
    if left > right || top > bottom {
        return;
    }
    for y in top as usize..=bottom as usize {
        let row = y * raster.width;
        for x in left as usize..=right as usize {
            let p = [x as f32, y as f32];
            let wb = ((p[0] - a[0]) * (c[1] - a[1]) - (p[1] - a[1]) * (c[0] - a[0])) / area;
            let wc = ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])) / area;
            let wa = 1.0 - wb - wc;
            if wa >= SLACK && wb >= SLACK && wc >= SLACK {
                raster.pixels[row + x] = Some((part, Texel::mixed(texels, [wa, wb, wc])));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::field::widened;
    use crate::swap::warp::pose::Pose;
    use crate::swap::warp::topology::{MEAN_SHAPE, RADIUS};

    fn painted_mean(size: usize) -> Raster {
        let wide = widened(&MEAN_SHAPE, &Pose::of_mesh(&MEAN_SHAPE).unwrap());
        let at = |p: &[f32; 3]| [size as f32 * (0.5 + 0.5 * p[0]), size as f32 * (0.5 + 0.5 * p[1]), p[2]];
        let places: Vec<_> = wide.iter().map(at).collect();
        let texels: Vec<_> = places
            .iter()
            .zip(RADIUS.iter())
            .map(|(p, &radius)| Texel { target_px: [p[0], p[1]], radius, ..Texel::default() })
            .collect();
        paint(size, size, &places, &texels)
    }

    #[test]
    fn each_pixel_finds_itself_and_the_face_has_no_holes() {
        let raster = painted_mean(200);
        let mut covered = 0;
        for (i, pixel) in raster.pixels.iter().enumerate() {
            let Some((_, texel)) = pixel else { continue };
            covered += 1;
            assert!((texel.target_px[0] - (i % 200) as f32).abs() < 1e-2);
            assert!((texel.target_px[1] - (i / 200) as f32).abs() < 1e-2);
        }
        let middle = |y: usize| raster.pixels[y * 200 + 100];
        assert!((40..150).all(|y| middle(y).is_some()));
        assert!(covered > 15_000 && raster.pixels[0].is_none(), "{covered} pixels");
    }

    #[test]
    fn the_nearer_of_two_triangles_stays() {
        let mut places = vec![[0.0; 3]; crate::swap::warp::topology::WIDE_POINTS];
        let mut texels = vec![Texel::default(); places.len()];
        let [(near, _), (far, _)] = [WIDE_TRIANGLES[0], WIDE_TRIANGLES[800]];
        assert!(near.iter().all(|i| !far.contains(i)));
        for (corners, depth) in [(near, -1.0), (far, 1.0)] {
            for (i, at) in corners.into_iter().zip([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]) {
                places[i] = [at[0], at[1], depth];
                texels[i].radius = depth;
            }
        }
        assert_eq!(paint(12, 12, &places, &texels).pixels[2 * 12 + 2].unwrap().1.radius, -1.0);
    }
}
