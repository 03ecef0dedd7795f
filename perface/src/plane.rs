//! Pictures of one float per pixel, and how they are blurred, shrunk and filled.

use crate::bilinear::Corners;

/// Rows of `f32` values, top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Plane {
    /// `width` × `height` pixels of `value`.
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    /// From the values, row by row.
    ///
    /// # Panics
    /// If there are not `width · height` of them.
    #[inline]
    pub fn from_values(width: usize, height: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), width * height, "a plane of {width} x {height} has another number of values");
        Self { width, height, values }
    }

    /// Pixels along x.
    #[inline]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels along y.
    #[inline]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row by row.
    #[inline]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, row by row, to be changed.
    #[inline]
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The value at (x, y) between pixel centres; the border goes on outside. 0 in an empty plane.
    #[inline]
    pub fn sample(&self, [x, y]: [f32; 2]) -> f32 {
        if self.values.is_empty() {
            return 0.0;
        }
        Corners::of([x, y], self.width, self.height).mean(&self.values)
    }

    /// The plane of `f(self, other)`, pixel by pixel. Both have the same size.
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Self::from_values(self.width, self.height, values)
    }

    /// The plane of `f(value)`.
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self::from_values(self.width, self.height, self.values.iter().map(|&v| f(v)).collect())
    }

    /// Blurred by about a Gaussian of `sigma_px`: three passes of a running mean, the border repeated.
    pub fn blurred(&self, sigma_px: f32) -> Self {
        // Three boxes of half-width r have together the variance r(r + 1).
        let radius = ((0.25 + sigma_px * sigma_px).sqrt() - 0.5).round().max(0.0) as usize;
        let mut plane = self.clone();
        if radius == 0 || self.values.is_empty() {
            return plane;
        }
        let mut scratch = vec![0.0; self.values.len()];
        for _ in 0..3 {
            mean_along_rows(&plane.values, &mut scratch, self.width, radius);
            mean_along_columns(&scratch, &mut plane.values, self.width, radius);
        }
        plane
    }

    /// The mean of the square that reaches `radius` pixels to each side, the border repeated.
    pub fn box_mean(&self, radius: usize) -> Self {
        let mut plane = self.clone();
        if radius > 0 && !self.values.is_empty() {
            let mut scratch = vec![0.0; self.values.len()];
            mean_along_rows(&self.values, &mut scratch, self.width, radius);
            mean_along_columns(&scratch, &mut plane.values, self.width, radius);
        }
        plane
    }

    /// Shrunk `factor` times by averaging whole blocks; what is left over at the right and bottom is averaged too.
    pub fn shrunk(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        let (width, height) = (self.width.div_ceil(factor), self.height.div_ceil(factor));
        let mut sums = vec![0.0; width * height];
        let mut counts = vec![0.0; width * height];
        for (y, row) in self.values.chunks_exact(self.width.max(1)).enumerate() {
            let at = (y / factor) * width;
            for (x, block) in row.chunks(factor).enumerate() {
                sums[at + x] += block.iter().sum::<f32>();
                counts[at + x] += block.len() as f32;
            }
        }
        let values = sums.iter().zip(&counts).map(|(&s, &c): (&f32, &f32)| s / c.max(1.0)).collect();
        Self::from_values(width, height, values)
    }

    /// A plane shrunk by `factor` brought back to `width` × `height`, bilinearly between block centres.
    pub fn grown(&self, factor: usize, width: usize, height: usize) -> Self {
        let mut values = Vec::with_capacity(width * height);
        let stops = |length: usize, limit: usize| -> Vec<(usize, usize, f32)> {
            (0..length)
                .map(|i| {
                    let at = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, limit.saturating_sub(1) as f32);
                    let low = at as usize;
                    (low, (low + 1).min(limit.saturating_sub(1)), at - low as f32)
                })
                .collect()
        };
        let columns = stops(width, self.width);
        for (top, bottom, fy) in stops(height, self.height) {
            let (upper, lower) = (&self.values[top * self.width..], &self.values[bottom * self.width..]);
            for &(left, right, fx) in &columns {
                let above = upper[left] + fx * (upper[right] - upper[left]);
                let below = lower[left] + fx * (lower[right] - lower[left]);
                values.push(above + fy * (below - above));
            }
        }
        Self::from_values(width, height, values)
    }

    /// A smooth sheet through the values where `weight` is large, spanning the places where it is zero.
    ///
    /// Values are averaged by weight over ever larger blocks, and each hole is filled from the next larger blocks
    /// that know something: a coarse-to-fine stand-in for a membrane. Zero where no weight is anywhere.
    pub fn spanned(&self, weight: &Self) -> Self {
        let weighted = self.zip(weight, |v, w| v * w);
        span(&weighted, weight)
    }
}

/// N values of each pixel, averaged over blocks of `factor` pixels: [`Plane::shrunk`] for all of them in one pass.
pub fn shrunk_together<const N: usize>(
    (width, height): (usize, usize),
    factor: usize,
    value: impl Fn(usize) -> [f32; N],
) -> [Plane; N] {
    let factor = factor.max(1);
    let (columns, rows) = (width.div_ceil(factor), height.div_ceil(factor));
    let mut sums = vec![[0.0f32; N]; columns * rows];
    for y in 0..height {
        for (block, sum) in sums.iter_mut().skip(y / factor * columns).take(columns).enumerate() {
            for x in block * factor..((block + 1) * factor).min(width) {
                let value = value(y * width + x);
                for k in 0..N {
                    sum[k] += value[k];
                }
            }
        }
    }
    let pixels = |i: usize, length: usize| factor.min(length - i * factor);
    let mean = |i: usize, sum: f32| sum / (pixels(i % columns, width) * pixels(i / columns, height)) as f32;
    std::array::from_fn(|k| {
        Plane::from_values(columns, rows, sums.iter().enumerate().map(|(i, sum)| mean(i, sum[k])).collect())
    })
}

/// [`Plane::grown`] for N planes of one size; `at` gets the values of each pixel in turn.
pub fn grown_together<const N: usize>(
    planes: [&Plane; N],
    factor: usize,
    (width, height): (usize, usize),
    mut at: impl FnMut(usize, [f32; N]),
) {
    let Some(first) = planes.first().filter(|plane| !plane.values.is_empty()) else { return };
    let stop = |i: usize, limit: usize| {
        let at = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, limit as f32 - 1.0);
        let low = at as usize;
        (low, (low + 1).min(limit - 1), at - low as f32)
    };
    let columns: Vec<(usize, usize, f32)> = (0..width).map(|x| stop(x, first.width)).collect();
    let mut row = vec![[0.0f32; N]; first.width];
    for y in 0..height {
        let (top, bottom, fy) = stop(y, first.height);
        for (x, out) in row.iter_mut().enumerate() {
            for (out, plane) in out.iter_mut().zip(&planes) {
                let (above, below) = (plane.values[top * first.width + x], plane.values[bottom * first.width + x]);
                *out = above + fy * (below - above);
            }
        }
        for (x, &(left, right, fx)) in columns.iter().enumerate() {
            let (a, b) = (&row[left], &row[right]);
            let mut values = [0.0; N];
            for k in 0..N {
                values[k] = a[k] + fx * (b[k] - a[k]);
            }
            at(y * width + x, values);
        }
    }
}

/// `weighted / weight` where the weight is large, the spanned coarser level elsewhere.
fn span(weighted: &Plane, weight: &Plane) -> Plane {
    const FULL_WEIGHT: f32 = 0.5;
    if weighted.width <= 1 && weighted.height <= 1 {
        return weighted.zip(weight, |v, w| if w > 0.0 { v / w } else { 0.0 });
    }
    let (coarse_value, coarse_weight) = (weighted.shrunk(2), weight.shrunk(2));
    // Means over blocks lose weight where little is known; saturating it keeps known blocks known.
    let gain = coarse_weight.map(|w| if w > 0.0 { (w * 2.0).min(1.0) / w } else { 0.0 });
    let below = span(&coarse_value.zip(&gain, |v, g| v * g), &coarse_weight.zip(&gain, |w, g| w * g));
    let mut filled = below.grown(2, weighted.width, weighted.height);
    for ((out, &v), &w) in filled.values.iter_mut().zip(&weighted.values).zip(&weight.values) {
        let trust = (w / FULL_WEIGHT).min(1.0);
        if w > 0.0 {
            *out += trust * (v / w - *out);
        }
    }
    filled
}

/// Rows that are summed side by side: each sum waits for itself, so that one alone would leave the processor idle.
const ROWS_AT_ONCE: usize = 4;

fn mean_along_rows(from: &[f32], to: &mut [f32], width: usize, radius: usize) {
    let rows = width * ROWS_AT_ONCE;
    for (from, to) in from.chunks(rows).zip(to.chunks_mut(rows)) {
        match from.len() == rows {
            true => mean_along::<ROWS_AT_ONCE>(from, to, width, radius),
            false => {
                for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
                    mean_along::<1>(from, to, width, radius);
                }
            }
        }
    }
}

/// The running mean of `N` rows of `width` values.
#[expect(clippy::needless_range_loop, reason = "all rows advance together")]
fn mean_along<const N: usize>(from: &[f32], to: &mut [f32], width: usize, radius: usize) {
    let scale = 1.0 / (2 * radius + 1) as f32;
    let from: [&[f32]; N] = std::array::from_fn(|n| &from[n * width..(n + 1) * width]);
    let mut to = to.chunks_exact_mut(width);
    let to: [&mut [f32]; N] = std::array::from_fn(|_| to.next().unwrap_or_default());
    let mut sums = [0.0; N];
    for x in -(radius as isize)..=radius as isize {
        for n in 0..N {
            sums[n] += from[n][x.clamp(0, width as isize - 1) as usize];
        }
    }
    for x in 0..width {
        let (enters, leaves) = ((x + radius + 1).min(width - 1), x.saturating_sub(radius));
        for n in 0..N {
            to[n][x] = sums[n] * scale;
            sums[n] += from[n][enters] - from[n][leaves];
        }
    }
}

fn mean_along_columns(from: &[f32], to: &mut [f32], width: usize, radius: usize) {
    let height = from.len() / width;
    let scale = 1.0 / (2 * radius + 1) as f32;
    let row = |y: isize| {
        let y = y.clamp(0, height as isize - 1) as usize;
        &from[y * width..(y + 1) * width]
    };
    let mut sums = vec![0.0; width];
    for y in -(radius as isize)..=radius as isize {
        for (sum, value) in sums.iter_mut().zip(row(y)) {
            *sum += value;
        }
    }
    for (y, out) in to.chunks_exact_mut(width).enumerate() {
        let (enters, leaves) = (row((y + radius + 1) as isize), row(y as isize - radius as isize));
        for (((sum, out), enter), leave) in sums.iter_mut().zip(out).zip(enters).zip(leaves) {
            *out = *sum * scale;
            *sum += enter - leave;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_a_constant_and_the_sum_of_a_dot() {
        let flat = Plane::filled(40, 30, 3.0).blurred(4.0);
        assert!(flat.values().iter().all(|v| (v - 3.0).abs() < 1e-4));
        let mut dot = Plane::filled(61, 61, 0.0);
        dot.values_mut()[30 * 61 + 30] = 1.0;
        let blurred = dot.blurred(5.0);
        assert!((blurred.values().iter().sum::<f32>() - 1.0).abs() < 1e-3);
        let spread: f32 = blurred.values().iter().enumerate().map(|(i, v)| v * ((i % 61) as f32 - 30.0).powi(2)).sum();
        assert!((spread.sqrt() - 5.0).abs() < 0.6, "standard deviation {}", spread.sqrt());
    }

    #[test]
    fn shrinking_and_growing_keep_a_ramp() {
        let ramp = Plane::from_values(32, 16, (0..32 * 16).map(|i| (i % 32) as f32).collect());
        let back = ramp.shrunk(4).grown(4, 32, 16);
        assert!((back.values()[5 * 32 + 16] - 16.0).abs() < 1e-3);
    }

    #[test]
    fn planes_shrunk_and_grown_together_are_those_shrunk_and_grown_alone() {
        let (size, factor) = ((37, 23), 4);
        let waves = [1.0f32, 2.0]
            .map(|f| Plane::from_values(size.0, size.1, (0..37 * 23).map(|i| (i as f32 * 0.1 * f).sin()).collect()));
        let small = shrunk_together(size, factor, |i| [waves[0].values[i], waves[1].values[i]]);
        let mut large = waves.clone();
        grown_together([&small[0], &small[1]], factor, size, |i, v| {
            (large[0].values[i], large[1].values[i]) = (v[0], v[1]);
        });
        for k in 0..2 {
            let alone = waves[k].shrunk(factor);
            assert!(alone.values.iter().zip(&small[k].values).all(|(a, b)| (a - b).abs() < 1e-5));
            let alone = alone.grown(factor, size.0, size.1);
            assert!(alone.values.iter().zip(&large[k].values).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn a_spanned_hole_lies_between_its_edges() {
        let mut value = Plane::filled(64, 64, 0.0);
        let mut weight = Plane::filled(64, 64, 0.0);
        for y in 0..64 {
            (value.values_mut()[y * 64], weight.values_mut()[y * 64]) = (10.0, 1.0);
            (value.values_mut()[y * 64 + 63], weight.values_mut()[y * 64 + 63]) = (20.0, 1.0);
        }
        let sheet = value.spanned(&weight);
        assert!((sheet.values()[32 * 64] - 10.0).abs() < 1e-4);
        let middle = sheet.values()[32 * 64 + 32];
        assert!((11.0..19.0).contains(&middle), "middle is {middle}");
    }
}
