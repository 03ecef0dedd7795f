//! How similar the faces of a group are to each other and to the rest (arXiv 2509.20281, Fig. 6).
//!
//! For each group, the cosines of its queries with the gallery faces of the same group, and with all other gallery
//! faces: where the two lie apart, similarity finds the group. Beside them the variance of the descriptors, split into
//! the part within groups and the part between their centres, as in an analysis of variance: shares of one total.

use serde::Serialize;

use perface::embedding::EmbeddingSet;
use perface::error::{Error, Result};
use perface::group::Gallery;
use perface::pool::{AgeGroup, Gender, Group};
use perface::summary::{Moments, quantile};

/// Mean and quartiles of a list of cosines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CosineSummary {
    /// How many.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; 0 for a single one.
    pub sd: f64,
    /// Lower quartile, median, upper quartile.
    pub quartiles: [f64; 3],
}

impl CosineSummary {
    fn of(sorted: &[f64]) -> Option<Self> {
        let moments = Moments::of(sorted)?;
        let at = |q| quantile(sorted, q);
        Some(Self {
            n: moments.n,
            mean: moments.mean,
            sd: moments.sd.unwrap_or(0.0),
            quartiles: [at(0.25)?, at(0.5)?, at(0.75)?],
        })
    }
}

/// One group's similarities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSpread {
    /// The group.
    pub group: Group,
    /// Of its queries with gallery faces of the group; `None` if there are none.
    pub inside: Option<CosineSummary>,
    /// Of its queries with all other gallery faces.
    pub outside: Option<CosineSummary>,
    /// At most 2000 of the cosines inside, evenly spaced in rank.
    pub inside_cosines: Vec<f64>,
    /// At most 2000 of the cosines outside, evenly spaced in rank.
    pub outside_cosines: Vec<f64>,
}

/// How the descriptors' variance divides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Variance {
    /// Mean squared distance of a descriptor from its group's centre.
    pub within: f64,
    /// Mean squared distance of a group's centre from the centre of all, each group counting by its faces.
    pub between: f64,
    /// `between / (within + between)`, in `[0, 1]`: how much of the variance the groups explain.
    pub explained: f64,
}

/// Similarities of all groups under one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The four intersections.
    pub groups: Vec<GroupSpread>,
    /// By gender; of gallery and queries together.
    pub by_gender: Variance,
    /// By age group.
    pub by_age: Variance,
    /// By intersection.
    pub by_intersection: Variance,
}

/// Most cosines kept of each kind, for drawing.
const KEPT: usize = 2000;

/// Compare every query with every gallery face.
///
/// # Errors
/// [`Error::Usage`] if one of the two is empty or their widths differ.
pub fn spread(gallery: &Gallery, queries: &Gallery) -> Result<Spread> {
    if gallery.labels().is_empty() || queries.labels().is_empty() {
        return Err(Error::Usage("gallery and queries must have faces".to_owned()));
    }
    if gallery.embeddings().width() != queries.embeddings().width() {
        return Err(Error::Usage("gallery and queries were embedded by different networks".to_owned()));
    }
    let mut lists: Vec<[Vec<f64>; 2]> = vec![Default::default(); Group::INTERSECTIONS.len()];
    for (index, &(gender, age)) in queries.labels().iter().enumerate() {
        let own = Group::of(gender, age);
        let Some(place) = Group::INTERSECTIONS.iter().position(|group| *group == own) else { continue };
        let (Some(query), Some([inside, outside])) = (queries.embeddings().get(index), lists.get_mut(place)) else {
            continue;
        };
        for (cosine, &(gender, age)) in gallery.embeddings().cosines(&query).iter().zip(gallery.labels()) {
            let list = if own.contains(gender, age) { &mut *inside } else { &mut *outside };
            list.push(f64::from(*cosine));
        }
    }
    let groups = Group::INTERSECTIONS.into_iter().zip(lists).map(|(group, [mut inside, mut outside])| {
        inside.sort_by(f64::total_cmp);
        outside.sort_by(f64::total_cmp);
        GroupSpread {
            group,
            inside: CosineSummary::of(&inside),
            outside: CosineSummary::of(&outside),
            inside_cosines: thinned(&inside),
            outside_cosines: thinned(&outside),
        }
    });
    let variance = |groups: &[Group]| variance(&[gallery, queries], groups);
    Ok(Spread {
        groups: groups.collect(),
        by_gender: variance(&Group::GENDERS),
        by_age: variance(&Group::AGES),
        by_intersection: variance(&Group::INTERSECTIONS),
    })
}

fn thinned(sorted: &[f64]) -> Vec<f64> {
    sorted.iter().copied().step_by(sorted.len().div_ceil(KEPT).max(1)).collect()
}

fn variance(parts: &[&Gallery], groups: &[Group]) -> Variance {
    let faces =
        || parts.iter().flat_map(|part| part.labels().iter().copied().zip(EmbeddingSet::rows(part.embeddings())));
    let mean_of = |wanted: &dyn Fn(Gender, AgeGroup) -> bool| {
        let mut sum: Vec<f64> = Vec::new();
        let mut n = 0.0;
        for (_, row) in faces().filter(|((gender, age), _)| wanted(*gender, *age)) {
            sum.resize(row.len(), 0.0);
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            n += 1.0;
        }
        sum.iter_mut().for_each(|sum| *sum /= n);
        (sum, n)
    };
    let (centre, total) = mean_of(&|_, _| true);
    let (mut within, mut between) = (0.0, 0.0);
    for group in groups {
        let (own, n) = mean_of(&|gender, age| group.contains(gender, age));
        between += n * own.iter().zip(&centre).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        for (_, row) in faces().filter(|((gender, age), _)| group.contains(*gender, *age)) {
            within += row.iter().zip(&own).map(|(value, mean)| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        }
    }
    let (within, between) = (within / total, between / total);
    let both = within + between;
    Variance { within, between, explained: if both > 0.0 { between / both } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perface::embedding::Embedding;

    fn faces(rows: &[(Group, [f32; 2])]) -> Gallery {
        let labels = rows.iter().map(|(group, _)| (group.gender().unwrap(), group.age_group().unwrap())).collect();
        let rows: Vec<Embedding> = rows.iter().map(|(_, raw)| Embedding::from_raw(raw).unwrap()).collect();
        Gallery::new(labels, EmbeddingSet::from_rows(&rows).unwrap()).unwrap()
    }

    #[test]
    fn groups_at_right_angles_explain_everything() {
        use Group::{OlderFemale, YoungMale};
        let gallery = faces(&[(YoungMale, [1.0, 0.0]), (OlderFemale, [0.0, 1.0])]);
        let found = spread(&gallery, &gallery).unwrap();
        assert_eq!((found.by_intersection.within, found.by_intersection.between), (0.0, 0.5));
        assert_eq!(found.by_gender.explained, 1.0);
        let young = &found.groups[0];
        assert_eq!((young.inside.unwrap().mean, young.outside.unwrap().mean), (1.0, 0.0));
        assert_eq!(found.groups[1].inside, None, "a group without faces");
    }

    #[test]
    fn labels_that_mean_nothing_explain_nothing() {
        use Group::{YoungFemale, YoungMale};
        let rows =
            [(YoungMale, [1.0, 0.0]), (YoungMale, [0.0, 1.0]), (YoungFemale, [1.0, 0.0]), (YoungFemale, [0.0, 1.0])];
        let found = spread(&faces(&rows), &faces(&rows)).unwrap();
        assert!(found.by_gender.explained < 1e-12 && (found.by_gender.within - 0.5).abs() < 1e-12);
        assert_eq!(found.by_age.between, 0.0);
    }
}
