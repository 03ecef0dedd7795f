//! Face descriptors of unit norm, alone and as a matrix.
//!
//! The dot product of two is the cosine of their angle: 1 for the same direction, 0 for unrelated faces.
//! Sums run over eight lanes in a fixed order, so one machine and the next give the same bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Widest descriptor that is believed; published face networks give 128 to 2622 values.
pub const MAX_WIDTH: usize = 4096;

/// How far from 1 the norm of a stored descriptor may be before it is refused.
const NORM_TOLERANCE: f64 = 1e-3;

/// A face descriptor of unit norm: the dot product of two is their cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Scale a raw network output to unit norm; `None` if it is empty, zero or not finite.
    pub fn from_raw(raw: &[f32]) -> Option<Self> {
        let norm = norm(raw);
        (norm > 0.0 && norm.is_finite()).then(|| Self(raw.iter().map(|&x| (f64::from(x) / norm) as f32).collect()))
    }

    /// Take back a descriptor that was stored, bit for bit; `None` unless its norm is 1.
    pub fn from_unit(stored: Vec<f32>) -> Option<Self> {
        ((norm(&stored) - 1.0).abs() <= NORM_TOLERANCE).then_some(Self(stored))
    }

    /// The values; never empty.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Number of values.
    pub fn width(&self) -> usize {
        self.0.len()
    }

    /// Cosine with `other`, in `[-1, 1]`.
    ///
    /// # Panics
    /// If the widths differ, which means that two networks were mixed.
    pub fn cosine(&self, other: &Self) -> f32 {
        assert_eq!(self.width(), other.width(), "descriptors of different networks");
        cosine(&self.0, &other.0)
    }
}

impl Serialize for Embedding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::deserialize(deserializer)?;
        Self::from_unit(values).ok_or_else(|| serde::de::Error::custom("a face descriptor must have norm 1"))
    }
}

/// Descriptors of one network as the rows of a matrix `[N, D]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingSet {
    width: usize,
    values: Vec<f32>,
}

impl EmbeddingSet {
    /// The rows in order; `None` if their widths differ. No rows make an empty set of width 0.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a Embedding>) -> Option<Self> {
        let mut set = Self::default();
        for row in rows {
            if set.width == 0 {
                set.width = row.width();
            } else if set.width != row.width() {
                return None;
            }
            set.values.extend_from_slice(row.as_slice());
        }
        Some(set)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values per row; 0 for the empty set.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Row `index` as a descriptor; `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<Embedding> {
        let start = index.checked_mul(self.width)?;
        let row = self.values.get(start..start.checked_add(self.width)?)?;
        (!row.is_empty()).then(|| Embedding(row.to_vec()))
    }

    /// Cosine of `query` with every row, in `[-1, 1]`.
    ///
    /// # Panics
    /// If there are rows and their width is another than the query's.
    pub fn cosines(&self, query: &Embedding) -> Vec<f32> {
        assert!(self.is_empty() || self.width == query.width(), "descriptors of different networks");
        self.rows().map(|row| cosine(row, query.as_slice())).collect()
    }
}

/// Euclidean norm; not finite if a value is not.
fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// Dot product of two rows of unit norm, held to `[-1, 1]` against rounding.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    (lanes.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_empty_and_not_finite_outputs_are_no_descriptor() {
        for raw in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY, 1.0]] {
            assert_eq!(Embedding::from_raw(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn the_smallest_and_largest_floats_still_have_a_direction() {
        for scale in [f32::MIN_POSITIVE * f32::EPSILON, f32::MAX] {
            assert_eq!(Embedding::from_raw(&[0.0, scale]).unwrap().as_slice(), [0.0, 1.0]);
        }
    }

    #[test]
    fn right_angles_have_cosine_zero() {
        let (x, y) = (Embedding::from_raw(&[2.0, 0.0]).unwrap(), Embedding::from_raw(&[0.0, 0.1]).unwrap());
        assert_eq!(x.cosine(&y), 0.0);
        assert_eq!(x.cosine(&x), 1.0);
    }

    #[test]
    fn a_set_refuses_rows_of_two_networks() {
        let (two, three) = (Embedding::from_raw(&[1.0; 2]).unwrap(), Embedding::from_raw(&[1.0; 3]).unwrap());
        assert_eq!(EmbeddingSet::from_rows([&two, &three]), None);
        assert_eq!(EmbeddingSet::from_rows([]).unwrap().cosines(&two), Vec::<f32>::new());
    }

    #[test]
    fn json_is_the_list_of_values_and_a_forged_norm_is_refused() {
        let face = Embedding::from_raw(&[3.0, 4.0]).unwrap();
        let text = serde_json::to_string(&face).unwrap();
        assert_eq!(text, "[0.6,0.8]");
        assert_eq!(serde_json::from_str::<Embedding>(&text).unwrap(), face);
        assert!(serde_json::from_str::<Embedding>("[0.6,0.9]").is_err());
    }

    proptest! {
        #[test]
        fn cosine_ignores_scale(raw in vec(-1f32..1.0, 1..40), scale in 0.1f32..10.0) {
            let scaled: Vec<f32> = raw.iter().map(|x| x * scale).collect();
            if let (Some(a), Some(b)) = (Embedding::from_raw(&raw), Embedding::from_raw(&scaled)) {
                prop_assert!((a.cosine(&b) - 1.0).abs() < 1e-5);
            }
        }

        #[test]
        fn cosine_is_symmetric_and_bounded(a in vec(-9f32..9.0, 19), b in vec(-9f32..9.0, 19)) {
            if let (Some(a), Some(b)) = (Embedding::from_raw(&a), Embedding::from_raw(&b)) {
                prop_assert_eq!(a.cosine(&b), b.cosine(&a));
                prop_assert!((-1.0..=1.0).contains(&a.cosine(&b)));
            }
        }

        #[test]
        fn any_bits_give_a_unit_norm_or_nothing(bits in vec(any::<u32>(), 0..20)) {
            let raw: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            if let Some(face) = Embedding::from_raw(&raw) {
                prop_assert!((norm(face.as_slice()) - 1.0).abs() < 1e-5);
            }
        }

        #[test]
        fn a_set_gives_the_cosines_of_its_rows(rows in vec(vec(0.1f32..1.0, 9), 1..6)) {
            let rows: Vec<Embedding> = rows.iter().filter_map(|row| Embedding::from_raw(row)).collect();
            let set = EmbeddingSet::from_rows(&rows).unwrap();
            let query = &rows[0];
            prop_assert_eq!(set.len(), rows.len());
            prop_assert_eq!(set.cosines(query), rows.iter().map(|row| row.cosine(query)).collect::<Vec<_>>());
            prop_assert_eq!(set.get(rows.len() - 1), rows.last().cloned());
            prop_assert_eq!(set.get(rows.len()), None);
        }
    }
}
