//! Fewer numbers of a picture before a head is fitted to them: the principal directions of the training pictures.
//!
//! With a few hundred faces, a head on a thousand means would learn the faces by heart. Numbers are standardised, and
//! the space of the largest variance is found by orthogonal iteration.

use crate::features::LinearMap;

/// Rounds of the iteration; the space changes little after a dozen.
const ROUNDS: usize = 40;

/// `(x − mean) / deviation / √from` onto the principal directions, as one matrix and shift.
///
/// `rows` `[n, from]` are those of the training pictures; `width` is cut to what they can span. A number that never
/// changes counts as zero. Directions are not ordered.
pub fn principal(rows: &[f32], from: usize, width: usize) -> LinearMap {
    let count = rows.len() / from.max(1);
    let width = width.min(from).min(count.max(1));
    let mut mean = vec![0.0f64; from];
    for row in rows.chunks_exact(from.max(1)) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / count as f64);
    }
    let mut variance = vec![0.0f64; from];
    for row in rows.chunks_exact(from.max(1)) {
        let squares = row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean).powi(2) / count as f64);
        variance.iter_mut().zip(squares).for_each(|(variance, square)| *variance += square);
    }
    let scale: Vec<f64> =
        variance.iter().map(|v| if *v > 1e-20 { 1.0 / (v.sqrt() * (from as f64).sqrt()) } else { 0.0 }).collect();
    let standard: Vec<Vec<f64>> = rows
        .chunks_exact(from.max(1))
        .map(|row| row.iter().zip(&mean).zip(&scale).map(|((x, m), s)| (f64::from(*x) - m) * s).collect())
        .collect();
    let directions = if width == from { identity(from) } else { subspace(&standard, from, width) };
    let weight = |direction: &Vec<f64>| direction.iter().zip(&scale).map(|(d, s)| d * s).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = directions.iter().map(weight).collect();
    LinearMap {
        from,
        bias: rows.iter().map(|row| -dot(row, &mean) as f32).collect(),
        weight: rows.iter().flatten().map(|w| *w as f32).collect(),
    }
}

impl LinearMap {
    /// The map of the rows `[n, from]`.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            let products = self.weight.chunks_exact(self.from).zip(&self.bias);
            let sum = |w: &[f32]| w.iter().zip(row).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
            products.map(|(w, bias)| (sum(w) + f64::from(*bias)) as f32).collect()
        };
        rows.chunks_exact(self.from.max(1)).flat_map(row).collect()
    }

    /// This map and then the matrix `[out, width]` of a head, as one.
    pub fn then(&self, head: &[f32]) -> Self {
        let width = self.bias.len().max(1);
        let mut weight = Vec::with_capacity(head.len() / width * self.from);
        let mut bias = Vec::with_capacity(head.len() / width);
        for row in head.chunks_exact(width) {
            let mut sums = vec![0.0f64; self.from];
            for (h, inner) in row.iter().zip(self.weight.chunks_exact(self.from)) {
                sums.iter_mut().zip(inner).for_each(|(sum, w)| *sum += f64::from(*h) * f64::from(*w));
            }
            weight.extend(sums.into_iter().map(|sum| sum as f32));
            bias.push(row.iter().zip(&self.bias).map(|(h, b)| f64::from(*h) * f64::from(*b)).sum::<f64>() as f32);
        }
        Self { from: self.from, weight, bias }
    }
}

/// An orthonormal basis of the `width` directions of largest variance.
fn subspace(rows: &[Vec<f64>], from: usize, width: usize) -> Vec<Vec<f64>> {
    // A start that is the same every time and no direction's enemy.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let mut basis: Vec<Vec<f64>> = (0..width).map(|_| (0..from).map(|_| next()).collect()).collect();
    orthonormalise(&mut basis);
    for _ in 0..ROUNDS {
        for direction in &mut basis {
            let mut image = vec![0.0; from];
            for row in rows {
                let along = dot(row, direction);
                image.iter_mut().zip(row).for_each(|(image, x)| *image += along * x);
            }
            *direction = image;
        }
        orthonormalise(&mut basis);
    }
    basis
}

/// Modified Gram–Schmidt; what vanishes becomes zero.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for at in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(at);
        let Some(direction) = rest.first_mut() else { return };
        let before = dot(direction, direction).sqrt();
        for other in done.iter() {
            let along = dot(direction, other);
            direction.iter_mut().zip(other).for_each(|(d, o)| *d -= along * o);
        }
        let norm = dot(direction, direction).sqrt();
        let scale = if norm > before * 1e-10 { 1.0 / norm } else { 0.0 };
        direction.iter_mut().for_each(|d| *d *= scale);
    }
}

fn identity(size: usize) -> Vec<Vec<f64>> {
    (0..size).map(|at| (0..size).map(|other| f64::from(u8::from(at == other))).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of six numbers that vary along two directions much and along the others hardly.
    fn rows() -> Vec<f32> {
        (0..50)
            .flat_map(|n| {
                let (u, v, w) = ((n as f32 * 0.7).sin(), (n as f32 * 1.9).cos(), (n as f32 * 5.3).sin() * 0.01);
                [u + 3.0, 2.0 * u + w, v - 1.0, v + u + w, 5.0, u - v]
            })
            .collect()
    }

    fn distance(rows: &[f32], width: usize, a: usize, b: usize) -> f32 {
        (0..width).map(|k| (rows[a * width + k] - rows[b * width + k]).powi(2)).sum::<f32>().sqrt()
    }

    #[test]
    fn two_directions_keep_the_distances() {
        let rows = rows();
        let (whole, two) = (principal(&rows, 6, 6), principal(&rows, 6, 2));
        assert_eq!(two.bias.len(), 2);
        let (whole, two) = (whole.apply(&rows), two.apply(&rows));
        for (a, b) in [(0, 1), (3, 17), (20, 49)] {
            assert!((distance(&whole, 6, a, b) - distance(&two, 2, a, b)).abs() < 0.02);
        }
        let mean: f32 = two.chunks(2).map(|row| row[0]).sum::<f32>() / 50.0;
        assert!(mean.abs() < 1e-5, "{mean}");
    }

    #[test]
    fn a_map_and_a_head_are_one_map() {
        let rows = rows();
        let map = principal(&rows, 6, 2);
        let head = [0.5f32, -1.0, 2.0, 0.25, 1.0, 1.0];
        let one = map.then(&head).apply(&rows);
        let inner = map.apply(&rows);
        for (got, x) in one.chunks(3).zip(inner.chunks(2)) {
            for k in 0..3 {
                assert!((got[k] - (head[2 * k] * x[0] + head[2 * k + 1] * x[1])).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn more_directions_than_rows_and_constants_do_no_harm() {
        let map = principal(&[1.0, 2.0, 3.0, 1.0, 2.0, 4.0], 3, 3);
        assert_eq!(map.bias.len(), 2);
        assert!(map.apply(&[1.0, 2.0, 3.5]).iter().all(|x| x.is_finite()));
    }
}
