//! How much the faces of a pool differ: the cosine of every two members of a group.
//!
//! Faces that are all alike hide nobody well and are noticed where many people of one photo are replaced.

use serde::Serialize;

use perface::group::Gallery;
use perface::plot::GroupSimilarities;
use perface::pool::Group;

/// How alike the members of one group are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The group.
    pub group: Group,
    /// How many members.
    pub n: usize,
    /// Mean cosine of two members; `None` for fewer than two.
    pub mean: Option<f32>,
    /// The cosine of the two most alike.
    pub highest: Option<f32>,
    /// Every pair's cosine.
    #[serde(skip)]
    pub cosines: Vec<f32>,
}

/// The spread of each of the four intersections of `gallery`.
pub fn spread(gallery: &Gallery) -> Vec<Spread> {
    let of = |group: Group| {
        let members: Vec<usize> = gallery
            .labels()
            .iter()
            .enumerate()
            .filter(|(_, (gender, age))| group.contains(*gender, *age))
            .map(|(index, _)| index)
            .collect();
        let mut cosines = Vec::new();
        for (nth, &member) in members.iter().enumerate() {
            let Some(embedding) = gallery.embeddings().get(member) else { continue };
            let all = gallery.embeddings().cosines(&embedding);
            cosines.extend(members.iter().take(nth).filter_map(|&other| all.get(other)));
        }
        let sum: f32 = cosines.iter().sum();
        Spread {
            group,
            n: members.len(),
            mean: (!cosines.is_empty()).then(|| sum / cosines.len() as f32),
            highest: cosines.iter().copied().max_by(f32::total_cmp),
            cosines,
        }
    };
    Group::INTERSECTIONS.into_iter().map(of).collect()
}

/// As rows of [`similarities_svg`](perface::plot::similarities_svg).
pub fn rows(spread: &[Spread]) -> Vec<GroupSimilarities> {
    spread.iter().map(|s| GroupSimilarities { name: s.group, cosines: s.cosines.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use perface::embedding::{Embedding, EmbeddingSet};
    use perface::pool::{AgeGroup, Gender};

    #[test]
    fn every_pair_of_a_group_counts_once() {
        let rows: Vec<Embedding> =
            [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]].iter().filter_map(|r| Embedding::from_raw(r)).collect();
        let labels = [Gender::Male, Gender::Male, Gender::Male, Gender::Female].map(|g| (g, AgeGroup::Young));
        let gallery = Gallery::new(labels.to_vec(), EmbeddingSet::from_rows(&rows).unwrap()).unwrap();
        let spread = spread(&gallery);
        let men = &spread[0];
        assert_eq!((men.group, men.n, men.cosines.len()), (Group::YoungMale, 3, 3));
        let half = 0.5f32.sqrt();
        assert!((men.highest.unwrap() - half).abs() < 1e-6 && (men.mean.unwrap() - 2.0 * half / 3.0).abs() < 1e-6);
        let women = spread.iter().find(|s| s.group == Group::YoungFemale).unwrap();
        assert_eq!((women.n, women.mean), (1, None));
    }
}
