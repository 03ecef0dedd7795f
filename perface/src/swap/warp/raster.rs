//! Which point of which triangle each pixel of the patch shows.
//!
//! Triangles are painted from far to near, so that where the turned face covers part of itself the nearer part stays.
//! Each pixel keeps the triangle's part and, interpolated between its corners, where to look in either picture.

use super::topology::Part;

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

/// Numbers in a [`Texel`].
const CHANNELS: usize = 7;

impl Texel {
    #[inline]
    fn to_array(self) -> [f32; CHANNELS] {
        let (t, c, f) = (self.target_px, self.candidate_px, self.frontal);
        [t[0], t[1], c[0], c[1], f[0], f[1], self.radius]
    }

    #[inline]
    fn from_array([tx, ty, cx, cy, fx, fy, radius]: [f32; CHANNELS]) -> Self {
        Self { target_px: [tx, ty], candidate_px: [cx, cy], frontal: [fx, fy], radius }
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

impl Raster {
    /// What pixel `i` shows a part of.
    #[inline]
    pub fn part(&self, i: usize) -> Option<Part> {
        self.pixels.get(i).copied().flatten().map(|(part, _)| part)
    }
}

/// Paints `triangles`: `places` are the points in patch pixels with depth, `texels` what each point carries.
///
/// Triangles with a corner missing in either are left out.
pub fn paint(
    (width, height): (usize, usize),
    triangles: &[([usize; 3], Part)],
    places: &[[f32; 3]],
    texels: &[Texel],
) -> Raster {
    let mut raster = Raster { width, height, pixels: vec![None; width * height] };
    let mut order: Vec<(f32, usize)> = triangles
        .iter()
        .enumerate()
        .filter_map(|(k, (t, _))| Some((t.iter().map(|&i| places.get(i).map(|p| p[2])).sum::<Option<f32>>()?, k)))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, k) in order {
        let (corners, part) = triangles[k];
        let [Some(a), Some(b), Some(c)] = corners.map(|i| places.get(i)) else { continue };
        let [Some(ta), Some(tb), Some(tc)] = corners.map(|i| texels.get(i)) else { continue };
        paint_triangle(&mut raster, [[a[0], a[1]], [b[0], b[1]], [c[0], c[1]]], &[*ta, *tb, *tc], part);
    }
    raster
}

fn paint_triangle(raster: &mut Raster, [a, b, c]: [[f32; 2]; 3], texels: &[Texel; 3], part: Part) {
    // A hair's breadth over the edge, so that no pixel between two triangles is missed.
    const SLACK: f32 = 1e-4;
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if area.abs() < 1e-6 || !area.is_finite() {
        return;
    }
    let low = |k: usize| a[k].min(b[k]).min(c[k]).ceil().max(0.0);
    let high = |k: usize, length: usize| a[k].max(b[k]).max(c[k]).floor().min(length as f32 - 1.0);
    let (left, right, top, bottom) = (low(0), high(0, raster.width), low(1), high(1, raster.height));
    if left > right || top > bottom {
        return;
    }
    // The weights of the corners b and c, and with them all channels, change evenly along x and along y.
    let (wb_x, wb_y) = ((c[1] - a[1]) / area, -(c[0] - a[0]) / area);
    let (wc_x, wc_y) = (-(b[1] - a[1]) / area, (b[0] - a[0]) / area);
    let [ta, tb, tc] = texels.map(Texel::to_array);
    let along_x: [f32; CHANNELS] = std::array::from_fn(|k| wb_x * (tb[k] - ta[k]) + wc_x * (tc[k] - ta[k]));
    for y in top as usize..=bottom as usize {
        let dy = y as f32 - a[1];
        let (wb_row, wc_row) = (wb_y * dy - wb_x * a[0], wc_y * dy - wc_x * a[0]);
        // Where along the row all three weights are at least zero.
        let (mut from, mut to) = (left, right);
        for (start, slope) in [(wb_row, wb_x), (wc_row, wc_x), (1.0 - wb_row - wc_row, -wb_x - wc_x)] {
            if slope > 0.0 {
                from = from.max((-SLACK - start) / slope);
            } else if slope < 0.0 {
                to = to.min((-SLACK - start) / slope);
            } else if start < -SLACK {
                to = -1.0;
            }
        }
        if from > to {
            continue;
        }
        let (from, to) = (from.ceil() as usize, to.floor() as usize);
        let (wb, wc) = (wb_row + wb_x * from as f32, wc_row + wc_x * from as f32);
        let mut at: [f32; CHANNELS] = std::array::from_fn(|k| ta[k] + wb * (tb[k] - ta[k]) + wc * (tc[k] - ta[k]));
        for pixel in raster.pixels.iter_mut().skip(y * raster.width + from).take((to + 1).saturating_sub(from)) {
            *pixel = Some((part, Texel::from_array(at)));
            for k in 0..CHANNELS {
                at[k] += along_x[k];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::field::widened;
    use crate::swap::warp::pose::Pose;
    use crate::swap::warp::topology::{MEAN_SHAPE, RADIUS, WIDE_POINTS, WIDE_TRIANGLES};

    fn painted_mean(size: usize) -> Raster {
        let wide = widened(&MEAN_SHAPE, &Pose::of_mesh(&MEAN_SHAPE).unwrap());
        let at = |p: &[f32; 3]| [size as f32 * (0.5 + 0.5 * p[0]), size as f32 * (0.5 + 0.5 * p[1]), p[2]];
        let places: Vec<_> = wide.iter().map(at).collect();
        let texels: Vec<_> = places
            .iter()
            .zip(RADIUS.iter())
            .map(|(p, &radius)| Texel { target_px: [p[0], p[1]], radius, ..Texel::default() })
            .collect();
        paint((size, size), &WIDE_TRIANGLES, &places, &texels)
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
        let mut places = vec![[0.0; 3]; WIDE_POINTS];
        let mut texels = vec![Texel::default(); places.len()];
        let [(near, _), (far, _)] = [WIDE_TRIANGLES[0], WIDE_TRIANGLES[800]];
        assert!(near.iter().all(|i| !far.contains(i)));
        for (corners, depth) in [(near, -1.0), (far, 1.0)] {
            for (i, at) in corners.into_iter().zip([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]) {
                places[i] = [at[0], at[1], depth];
                texels[i].radius = depth;
            }
        }
        assert_eq!(paint((12, 12), &WIDE_TRIANGLES, &places, &texels).pixels[2 * 12 + 2].unwrap().1.radius, -1.0);
    }
}
