//! The cosine triplet loss, with its gradient, and the anchor that keeps the tuned space near the network's own.
//!
//! For a triplet of the reference x, the face x⁺ most people found closer and the other face x⁻ the loss is
//! max(0, cos(x, x⁻) − cos(x, x⁺) + m); a batch counts the weighted mean. Its gradient is zero for every triplet that
//! is told apart by the margin m already, so the share of triplets that are not, the active fraction, says how much is
//! left to learn.
//!
//! The anchor is the mean over all pairs of a batch of (cos(u, v) − cos of the same pictures before training)². Both
//! gradients are written out here, in double precision, and checked against finite differences.

/// Cosines are divided by at least this norm, as PyTorch's `cosine_similarity` does.
const MIN_NORM: f64 = 1e-8;

/// What a batch is asked.
#[derive(Clone, Copy, Debug)]
pub struct LossOptions {
    /// By how much the closer face's cosine must exceed the other's; published 0.1.
    pub margin: f64,
    /// Weight of the anchor beside the triplets; 0 for none.
    pub anchor: f64,
}

/// Loss of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Triplets and anchor together.
    pub value: f64,
    /// Share of triplets not told apart by the margin yet.
    pub active: f64,
    /// Derivative by each raw embedding, laid out as they are.
    pub gradient: Vec<f32>,
}

/// Loss of a batch of raw `embeddings` `[3 B, width]`: B references, then B closer faces, then B others.
///
/// `weights` has one entry for each triplet; their sum divides the triplets' loss. `teacher` holds the embeddings of
/// the same pictures before training, of unit norm and any width, and is read only where there is an anchor. A batch
/// of no triplets has loss 0.
pub fn batch_loss(embeddings: &[f32], width: usize, weights: &[f64], teacher: &[f32], options: LossOptions) -> Loss {
    let triplets = weights.len();
    let total: f64 = weights.iter().sum();
    if triplets == 0 || width == 0 || total <= 0.0 {
        return Loss { value: 0.0, active: 0.0, gradient: vec![0.0; embeddings.len()] };
    }
    let rows: Vec<UnitRow> = embeddings.chunks_exact(width).map(UnitRow::new).collect();
    // Derivatives by the rows of unit norm; taken back to the raw rows at the end.
    let mut by_unit = vec![vec![0.0; width]; rows.len()];
    let (mut value, mut active) = (0.0, 0usize);
    for (index, weight) in weights.iter().enumerate() {
        let (c, near, far) = (index, triplets + index, 2 * triplets + index);
        let hinge = rows[c].dot(&rows[far]) - rows[c].dot(&rows[near]) + options.margin;
        if hinge <= 0.0 {
            continue;
        }
        active += 1;
        let share = weight / total;
        value += share * hinge;
        add_scaled(&mut by_unit[c], share, &rows[far].unit);
        add_scaled(&mut by_unit[c], -share, &rows[near].unit);
        add_scaled(&mut by_unit[near], -share, &rows[c].unit);
        add_scaled(&mut by_unit[far], share, &rows[c].unit);
    }
    if options.anchor > 0.0 {
        value += anchor(&rows, teacher, options.anchor, &mut by_unit);
    }
    let gradient = rows.iter().zip(&by_unit).flat_map(|(row, by_unit)| row.back(by_unit)).collect();
    Loss { value, active: active as f64 / triplets as f64, gradient }
}

/// The anchor's loss; its derivatives are added to `by_unit`.
fn anchor(rows: &[UnitRow], teacher: &[f32], weight: f64, by_unit: &mut [Vec<f64>]) -> f64 {
    let count = rows.len();
    let teacher_width = teacher.len() / count;
    let teacher: Vec<&[f32]> = teacher.chunks_exact(teacher_width.max(1)).collect();
    let pairs = (count * (count - 1) / 2) as f64;
    let mut sum = 0.0;
    for i in 0..count {
        for j in i + 1..count {
            let before: f64 = teacher[i].iter().zip(teacher[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let off = rows[i].dot(&rows[j]) - before;
            sum += off * off;
            let slope = weight * 2.0 * off / pairs;
            add_scaled(&mut by_unit[i], slope, &rows[j].unit);
            add_scaled(&mut by_unit[j], slope, &rows[i].unit);
        }
    }
    weight * sum / pairs
}

fn add_scaled(sum: &mut [f64], scale: f64, row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += scale * value);
}

/// A row scaled to unit norm.
struct UnitRow {
    unit: Vec<f64>,
    norm: f64,
}

impl UnitRow {
    fn new(raw: &[f32]) -> Self {
        let norm = raw.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(MIN_NORM);
        Self { unit: raw.iter().map(|x| f64::from(*x) / norm).collect(), norm }
    }

    fn dot(&self, other: &Self) -> f64 {
        self.unit.iter().zip(&other.unit).map(|(a, b)| a * b).sum()
    }

    /// The derivative by the raw row, from that by the unit row: what points along the row does not count.
    fn back(&self, by_unit: &[f64]) -> Vec<f32> {
        let along: f64 = self.unit.iter().zip(by_unit).map(|(u, g)| u * g).sum();
        self.unit.iter().zip(by_unit).map(|(u, g)| ((g - along * u) / self.norm) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 5;

    /// Numbers in [−1, 1] that look random, the same every time.
    fn rows(count: usize, salt: u32) -> Vec<f32> {
        let mut state = 12345 + salt;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count * WIDTH).map(|_| next()).collect()
    }

    fn unit(rows: &[f32]) -> Vec<f32> {
        rows.chunks_exact(WIDTH).flat_map(|row| UnitRow::new(row).unit.into_iter().map(|x| x as f32)).collect()
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let (embeddings, teacher) = (rows(12, 0), unit(&rows(12, 9)));
        let weights = [1.0, 0.5, 1.0, 2.0];
        for anchor in [0.0, 3.0] {
            let options = LossOptions { margin: -0.1, anchor };
            let loss = batch_loss(&embeddings, WIDTH, &weights, &teacher, options);
            assert!(loss.active > 0.0 && loss.active < 1.0, "some of each: {}", loss.active);
            for at in 0..embeddings.len() {
                let value = |step: f32| {
                    let mut moved = embeddings.clone();
                    moved[at] += step;
                    batch_loss(&moved, WIDTH, &weights, &teacher, options).value
                };
                let slope = (value(1e-3) - value(-1e-3)) / 2e-3;
                assert!((slope - f64::from(loss.gradient[at])).abs() < 5e-4, "{at}: {slope} {}", loss.gradient[at]);
            }
        }
    }

    #[test]
    fn a_small_batch_has_the_loss_worked_out_by_hand() {
        // cos(x, x⁺) = 0.6, cos(x, x⁻) = 0.8: 0.8 − 0.6 + 0.1.
        let embeddings = [2.0, 0.0, 3.0, 4.0, 4.0, 3.0];
        let loss = batch_loss(&embeddings, 2, &[1.0], &[], LossOptions { margin: 0.1, anchor: 0.0 });
        assert!((loss.value - 0.3).abs() < 1e-12);
        assert_eq!(loss.active, 1.0);
        let swapped = [2.0, 0.0, 4.0, 3.0, 3.0, 4.0];
        let loss = batch_loss(&swapped, 2, &[1.0], &[], LossOptions { margin: 0.1, anchor: 0.0 });
        assert_eq!(loss, Loss { value: 0.0, active: 0.0, gradient: vec![0.0; 6] });
    }

    #[test]
    fn the_length_of_embeddings_does_not_count() {
        let embeddings = rows(3, 4);
        let options = LossOptions { margin: 3.0, anchor: 0.0 };
        let loss = batch_loss(&embeddings, WIDTH, &[1.0], &[], options);
        let longer: Vec<f32> = embeddings.iter().map(|x| x * 7.0).collect();
        let scaled = batch_loss(&longer, WIDTH, &[1.0], &[], options);
        assert!((loss.value - scaled.value).abs() < 1e-6, "cosines ignore length");
    }

    #[test]
    fn the_anchor_is_zero_where_nothing_moved() {
        let embeddings = rows(6, 2);
        let loss =
            batch_loss(&embeddings, WIDTH, &[1.0, 1.0], &unit(&embeddings), LossOptions { margin: -2.0, anchor: 1.0 });
        assert!(loss.value < 1e-10, "{}", loss.value);
        assert!(loss.gradient.iter().all(|g| g.abs() < 1e-6));
    }

    #[test]
    fn no_triplets_and_zero_rows_are_no_nan() {
        assert_eq!(batch_loss(&[], 4, &[], &[], LossOptions { margin: 0.1, anchor: 1.0 }).value, 0.0);
        let loss = batch_loss(&[0.0; 6], 2, &[1.0], &[], LossOptions { margin: 0.1, anchor: 0.0 });
        assert!(loss.value.is_finite() && loss.gradient.iter().all(|g| g.is_finite()));
    }
}
