//! STEP 1: which group of pool faces a face is nearest to.
//!
//! The distance to a member is d = 1 − cosine. A group's distance is by default the upper limit of the 95 %
//! confidence interval of the mean of its d, so that a small or scattered group must be clearly nearer to win; the
//! other readings of "upper limit of the interval of distances" and plain summaries stand beside it in
//! [`GroupDistance`]. The group with the smallest distance is chosen.
//!
//! An interval needs a spread, and a single member has none: its upper limit is infinite. Such a group is chosen
//! only where no group has two members, and then by its one distance. Groups without members are left out.

mod distance;

use std::fmt;
use std::str::FromStr;

pub use distance::{GroupDistance, Meter};
use serde::{Deserialize, Serialize};

use crate::embedding::{Embedding, EmbeddingSet};
use crate::pool::{AgeGroup, Gender, Group, GroupAccuracy, Member};

/// Held-out gender accuracy from which a pool's own similarity is trusted with the choice of the group.
///
/// Published with 200 real faces per gender: .933 with an identity network, .965 after training it on people's
/// judgements (arXiv 2509.20281, Table 4). A small pool can be at chance.
pub const MIN_GENDER_ACCURACY: f64 = 0.90;

/// Labelled faces to compare with: one descriptor per face.
#[derive(Clone, Debug)]
pub struct Gallery {
    labels: Vec<(Gender, AgeGroup)>,
    embeddings: EmbeddingSet,
}

impl Gallery {
    /// From labels and descriptors in the same order; `None` if there is not one of each per face.
    pub fn new(labels: Vec<(Gender, AgeGroup)>, embeddings: EmbeddingSet) -> Option<Self> {
        (labels.len() == embeddings.len()).then_some(Self { labels, embeddings })
    }

    /// The faces of a pool; `None` if `embeddings` is not of as many.
    pub fn of_members(members: &[Member], embeddings: EmbeddingSet) -> Option<Self> {
        Self::new(members.iter().map(|member| (member.gender, member.age_group)).collect(), embeddings)
    }

    /// Apparent gender and age group of each face.
    pub fn labels(&self) -> &[(Gender, AgeGroup)] {
        &self.labels
    }

    /// The descriptors.
    pub fn embeddings(&self) -> &EmbeddingSet {
        &self.embeddings
    }

    /// How many faces each of the four intersections has, in the order of [`Group::INTERSECTIONS`].
    pub fn counts(&self) -> [usize; 4] {
        Group::INTERSECTIONS.map(|group| self.labels.iter().filter(|&&(g, a)| group.contains(g, a)).count())
    }

    /// 1 − cosine of `query` with every face, in `[0, 2]`.
    pub fn distances(&self, query: &Embedding) -> Vec<f64> {
        self.embeddings.cosines(query).into_iter().map(|cosine| 1.0 - f64::from(cosine)).collect()
    }
}

/// Which groups are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupSet {
    /// The four intersections of gender and age group.
    #[default]
    Four,
    /// Those and the two genders and two age groups they lie in. The larger groups have the narrower intervals,
    /// which favours them slightly.
    Eight,
}

impl GroupSet {
    /// The groups, lowest index first.
    pub fn groups(self) -> &'static [Group] {
        match self {
            Self::Four => &Group::INTERSECTIONS,
            Self::Eight => &Group::ALL,
        }
    }
}

impl FromStr for GroupSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "four" => Ok(Self::Four),
            "eight" => Ok(Self::Eight),
            _ => Err(format!("{text:?} is none of four, eight")),
        }
    }
}

/// How far a face is from one group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupDistanceRow {
    /// The group.
    pub name: Group,
    /// Its distance by the definition in use; the mean where that needs two members and there is one.
    pub distance: f64,
    /// Mean of 1 − cosine over its members.
    pub mean: f64,
    /// Upper limit of the two-sided 95 % interval of that mean; `None` for a single member.
    pub ci_upper: Option<f64>,
    /// Number of members.
    pub n: usize,
}

/// The nearest group, and how far all were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupChoice {
    /// The nearest group.
    pub chosen: Group,
    /// One row per group that has members, in the order of the set.
    pub distances: Vec<GroupDistanceRow>,
    /// Whether another group was exactly as near; the first in order was taken.
    pub tie: bool,
}

/// The group of `gallery` that `query` is nearest to; `None` if the gallery has no faces.
pub fn nearest_group(
    query: &Embedding,
    gallery: &Gallery,
    definition: GroupDistance,
    set: GroupSet,
) -> Option<GroupChoice> {
    nearest_by_distance(gallery.labels(), &gallery.distances(query), &mut Meter::new(definition), set.groups())
}

/// As [`nearest_group`], for distances to faces with `labels` that are known already.
pub fn nearest_by_distance(
    labels: &[(Gender, AgeGroup)],
    distances: &[f64],
    meter: &mut Meter,
    groups: &[Group],
) -> Option<GroupChoice> {
    let rows: Vec<(bool, GroupDistanceRow)> = groups
        .iter()
        .filter_map(|&name| {
            let inside = labels.iter().zip(distances).filter(|((gender, age), _)| name.contains(*gender, *age));
            let inside: Vec<f64> = inside.map(|(_, distance)| *distance).collect();
            let measured = meter.measure(&inside)?;
            let row = GroupDistanceRow {
                name,
                distance: measured.distance.unwrap_or(measured.mean),
                mean: measured.mean,
                ci_upper: measured.ci_upper,
                n: inside.len(),
            };
            Some((measured.distance.is_none(), row))
        })
        .collect();
    // A group whose distance is undefined comes after all others.
    let key = |(undefined, row): &(bool, GroupDistanceRow)| (*undefined, row.distance);
    let order = |a: &(bool, f64), b: &(bool, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    let first = rows.iter().min_by(|a, b| order(&key(a), &key(b)))?;
    let tie = rows.iter().filter(|row| key(row) == key(first)).count() > 1;
    Some(GroupChoice { chosen: first.1.name, tie, distances: rows.iter().map(|(_, row)| *row).collect() })
}

/// What decides the group of a face.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// Similarity to the pool's groups, as published.
    Similarity,
    /// The gender and age networks.
    Classifier,
    /// Similarity where the pool was measured to be good enough at it, otherwise the networks.
    #[default]
    Auto,
}

impl GroupBy {
    /// What `Auto` comes to for a pool with this held-out accuracy, and why, in words for the report.
    /// The result is never `Auto`.
    pub fn resolve(self, held_out: Option<&GroupAccuracy>) -> (Self, String) {
        match (self, held_out.map(|accuracy| accuracy.gender)) {
            (Self::Similarity | Self::Classifier, _) => (self, "as asked".to_owned()),
            (Self::Auto, None) => {
                (Self::Classifier, "the pool's group accuracy was not measured with this model".to_owned())
            }
            (Self::Auto, Some(gender)) => {
                let good = gender.value >= MIN_GENDER_ACCURACY;
                let by = if good { Self::Similarity } else { Self::Classifier };
                let relation = if good { "at least" } else { "below" };
                let reason = format!(
                    "held-out gender accuracy of the pool is {:.3} ({:.3}–{:.3}), {relation} {MIN_GENDER_ACCURACY:.2}",
                    gender.value, gender.low, gender.high
                );
                (by, reason)
            }
        }
    }
}

impl fmt::Display for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Four => "four",
            Self::Eight => "eight",
        })
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Similarity => "similarity",
            Self::Classifier => "classifier",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Similarity, Self::Classifier, Self::Auto]
            .into_iter()
            .find(|value| value.to_string() == text)
            .ok_or_else(|| format!("{text:?} is none of similarity, classifier, auto"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::AccuracyMethod;
    use crate::summary::Proportion;

    const YOUNG_MAN: (Gender, AgeGroup) = (Gender::Male, AgeGroup::Young);
    const YOUNG_WOMAN: (Gender, AgeGroup) = (Gender::Female, AgeGroup::Young);
    const OLDER_WOMAN: (Gender, AgeGroup) = (Gender::Female, AgeGroup::Older);

    /// Nearest group of a face at these distances from faces with these labels.
    fn nearest(faces: &[((Gender, AgeGroup), f64)], definition: GroupDistance, set: GroupSet) -> Option<GroupChoice> {
        let (labels, distances): (Vec<_>, Vec<_>) = faces.iter().copied().unzip();
        nearest_by_distance(&labels, &distances, &mut Meter::new(definition), set.groups())
    }

    #[test]
    fn the_group_in_the_direction_of_the_query_is_nearest() {
        let at = |degrees: f32| Embedding::from_raw(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap();
        let faces = [(YOUNG_MAN, at(0.0)), (YOUNG_MAN, at(10.0)), (OLDER_WOMAN, at(80.0)), (OLDER_WOMAN, at(90.0))];
        let set = EmbeddingSet::from_rows(faces.iter().map(|(_, face)| face)).unwrap();
        let gallery = Gallery::new(faces.iter().map(|(label, _)| *label).collect(), set).unwrap();
        for (degrees, want) in [(20.0, Group::YoungMale), (70.0, Group::OlderFemale)] {
            let choice = nearest_group(&at(degrees), &gallery, GroupDistance::default(), GroupSet::Four).unwrap();
            assert_eq!((choice.chosen, choice.tie, choice.distances.len()), (want, false, 2));
        }
    }

    #[test]
    fn a_scattered_group_loses_to_a_tight_one_of_slightly_larger_mean() {
        let faces = [(YOUNG_MAN, 0.2), (YOUNG_MAN, 0.8), (YOUNG_WOMAN, 0.55), (YOUNG_WOMAN, 0.56)];
        let by_mean = nearest(&faces, GroupDistance::Mean, GroupSet::Four).unwrap();
        let by_limit = nearest(&faces, GroupDistance::MeanCiUpper, GroupSet::Four).unwrap();
        assert_eq!((by_mean.chosen, by_limit.chosen), (Group::YoungMale, Group::YoungFemale));
        assert_eq!(by_limit.distances[0].ci_upper, Some(by_limit.distances[0].distance));
    }

    #[test]
    fn a_single_member_wins_only_where_no_group_has_two() {
        let single = [(YOUNG_MAN, 0.1), (YOUNG_WOMAN, 0.5), (YOUNG_WOMAN, 0.9)];
        let choice = nearest(&single, GroupDistance::MeanCiUpper, GroupSet::Four).unwrap();
        assert_eq!(choice.chosen, Group::YoungFemale);
        assert_eq!((choice.distances[0].distance, choice.distances[0].ci_upper), (0.1, None));
        assert_eq!(nearest(&single, GroupDistance::Mean, GroupSet::Four).unwrap().chosen, Group::YoungMale);
        let singles = nearest(&[(YOUNG_MAN, 0.5), (OLDER_WOMAN, 0.4)], GroupDistance::MeanCiUpper, GroupSet::Four);
        assert_eq!(singles.unwrap().chosen, Group::OlderFemale);
    }

    #[test]
    fn a_tie_goes_to_the_first_group_and_is_said() {
        let faces = [(OLDER_WOMAN, 0.3), (OLDER_WOMAN, 0.3), (YOUNG_MAN, 0.3), (YOUNG_MAN, 0.3)];
        let choice = nearest(&faces, GroupDistance::default(), GroupSet::Four).unwrap();
        assert_eq!((choice.chosen, choice.tie), (Group::YoungMale, true));
        assert_eq!(nearest(&[], GroupDistance::default(), GroupSet::Four), None);
    }

    #[test]
    fn eight_groups_hold_each_face_three_times() {
        let faces = [(YOUNG_MAN, 0.3), (YOUNG_MAN, 0.4), (OLDER_WOMAN, 0.5)];
        let choice = nearest(&faces, GroupDistance::Mean, GroupSet::Eight).unwrap();
        assert_eq!(choice.distances.iter().map(|row| row.n).sum::<usize>(), 9);
        assert_eq!(choice.chosen, Group::Male, "male, young and young-male tie; male is first");
        assert!(choice.tie);
    }

    #[test]
    fn the_row_is_that_of_the_report() {
        let row = GroupDistanceRow { name: Group::OlderMale, distance: 0.5, mean: 0.25, ci_upper: None, n: 1 };
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(text, r#"{"name":"older-male","distance":0.5,"mean":0.25,"ci_upper":null,"n":1}"#);
    }

    #[test]
    fn auto_follows_similarity_from_nine_in_ten() {
        let accuracy = |hits| {
            let share = Proportion::wilson(hits, 100).unwrap();
            GroupAccuracy {
                gender: share,
                age: share,
                four_way: share,
                n: 100,
                method: AccuracyMethod::HeldOut,
                definition: "mean-ci-upper".to_owned(),
                measured_on: "x".to_owned(),
            }
        };
        assert_eq!(GroupBy::Auto.resolve(Some(&accuracy(90))).0, GroupBy::Similarity);
        let (by, reason) = GroupBy::Auto.resolve(Some(&accuracy(89)));
        assert_eq!(by, GroupBy::Classifier);
        assert!(reason.contains("0.890") && reason.contains("below 0.90"), "{reason}");
        assert_eq!(GroupBy::Auto.resolve(None).0, GroupBy::Classifier);
        assert_eq!(GroupBy::Similarity.resolve(Some(&accuracy(1))).0, GroupBy::Similarity);
        assert_eq!("auto".parse(), Ok(GroupBy::Auto));
        assert!("eight".parse::<GroupBy>().is_err());
    }
}
