//! How often the nearest group is the right one (the protocol of arXiv 2509.20281, Table 4).
//!
//! For each query three choices are made independently: between the two genders, between the two age groups, and
//! among the four intersections. Each class is scored one against the rest. The published "AUC" is that of the hard
//! choices, (TPR + TNR) / 2, and the published accuracy of an intersection counts every query that is rightly *not*
//! put there; the share of queries whose group is right stands beside them, with a ranking AUC.

use std::fmt::Write as _;

use serde::Serialize;

use perface::error::{Error, Result};
use perface::group::{Gallery, GroupChoice, GroupDistance, Meter, nearest_by_distance};
use perface::pool::{AgeGroup, Gender, Group};
use perface::stats::{Proportion, balanced_accuracy, ranking_auc};
use perface::table::csv_text;

/// One class against the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The class.
    pub class: Group,
    /// Members told to be members.
    pub tp: usize,
    /// Others told to be members.
    pub fp: usize,
    /// Members told to be others.
    #[serde(rename = "fn")]
    pub fn_: usize,
    /// Others told to be others.
    pub tn: usize,
    /// Share of members among those told to be; `None` if none were.
    pub precision: Option<f64>,
    /// Share of members that were told to be; `None` if there are none.
    pub recall: Option<f64>,
    /// Share of all queries told rightly to be members or not; `None` without queries.
    pub accuracy: Option<f64>,
    /// (TPR + TNR) / 2, the published AUC; `None` if there are no members or no others.
    pub auc_hard: Option<f64>,
    /// Area under the ROC curve of how much nearer the class is than the nearest other; `None` as above.
    pub auc_score: Option<f64>,
}

impl ClassScores {
    /// Scores that follow from counts; `auc_score` does not.
    pub fn from_counts(class: Group, [tp, fp, fn_, tn]: [usize; 4], auc_score: Option<f64>) -> Self {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        Self {
            class,
            tp,
            fp,
            fn_,
            tn,
            precision: share(tp, tp + fp),
            recall: share(tp, tp + fn_),
            accuracy: share(tp + tn, tp + fp + fn_ + tn),
            auc_hard: balanced_accuracy(tp, fp, fn_, tn),
            auc_score,
        }
    }
}

/// Result of the group protocol with one group distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupEvaluation {
    /// The group distance.
    pub definition: GroupDistance,
    /// Gallery faces per intersection, in the order of [`Group::INTERSECTIONS`].
    pub gallery: [usize; 4],
    /// Queries per intersection.
    pub queries: [usize; 4],
    /// The two genders, two age groups and four intersections, in the order of [`Group::ALL`].
    pub classes: Vec<ClassScores>,
    /// Queries whose gender was right in the choice between the genders.
    pub gender: Proportion,
    /// Queries whose age group was right in the choice between the age groups.
    pub age: Proportion,
    /// Queries whose intersection was right.
    pub four_way: Proportion,
    /// Queries whose gender was right in the choice among the intersections, which is the one STEP 1 makes.
    pub four_way_gender: Proportion,
    /// Queries whose age group was right in the choice among the intersections.
    pub four_way_age: Proportion,
    /// Queries by true (row) and chosen (column) intersection.
    pub confusion: [[usize; 4]; 4],
    /// Choices in which two groups were exactly as near, of the three per query.
    pub ties: usize,
}

/// Run the protocol: tell the group of each of `queries` by its distance to the groups of `gallery`.
///
/// # Errors
/// [`Error::Usage`] if an intersection of the gallery or all queries are missing, or widths differ.
pub fn evaluate(gallery: &Gallery, queries: &Gallery, definition: GroupDistance) -> Result<GroupEvaluation> {
    compare_definitions(gallery, queries, &[definition])?
        .pop()
        .ok_or_else(|| Error::Usage("no group distance to evaluate".to_owned()))
}

/// The protocol with several group distances side by side, on the same cosines.
///
/// # Errors
/// As [`evaluate`].
pub fn compare_definitions(
    gallery: &Gallery,
    queries: &Gallery,
    definitions: &[GroupDistance],
) -> Result<Vec<GroupEvaluation>> {
    let distances = distances(gallery, queries)?;
    definitions.iter().map(|&definition| evaluate_distances(gallery, queries, &distances, definition)).collect()
}

/// Distances of every query to every gallery face.
pub(crate) fn distances(gallery: &Gallery, queries: &Gallery) -> Result<Vec<Vec<f64>>> {
    if let Some((group, _)) = Group::INTERSECTIONS.iter().zip(gallery.counts()).find(|(_, count)| *count == 0) {
        return Err(Error::Usage(format!("the gallery has no {group} face")));
    }
    if queries.labels().is_empty() {
        return Err(Error::Usage("there are no queries".to_owned()));
    }
    if gallery.embeddings().width() != queries.embeddings().width() {
        return Err(Error::Usage("gallery and queries were embedded by different networks".to_owned()));
    }
    let rows = 0..queries.embeddings().len();
    Ok(rows.filter_map(|row| queries.embeddings().get(row)).map(|query| gallery.distances(&query)).collect())
}

/// What is counted of one of the three choices over all queries.
struct Tally {
    groups: &'static [Group],
    /// Per query: does it belong to each group, was each chosen, how much nearer was each than the nearest other.
    rows: Vec<Vec<(bool, bool, f64)>>,
    right: usize,
    ties: usize,
}

impl Tally {
    fn new(groups: &'static [Group]) -> Self {
        Self { groups, rows: Vec::new(), right: 0, ties: 0 }
    }

    fn add(&mut self, (gender, age): (Gender, AgeGroup), choice: &GroupChoice) {
        let row = self.groups.iter().map(|&group| {
            let distance_of = |name| choice.distances.iter().find(|row| row.name == name).map(|row| row.distance);
            let others = self.groups.iter().filter(|other| **other != group).filter_map(|other| distance_of(*other));
            let nearest_other = others.min_by(f64::total_cmp);
            let nearer_by = nearest_other.zip(distance_of(group)).map_or(0.0, |(other, own)| other - own);
            (group.contains(gender, age), group == choice.chosen, nearer_by)
        });
        self.rows.push(row.collect());
        self.right += usize::from(choice.chosen.contains(gender, age));
        self.ties += usize::from(choice.tie);
    }

    fn scores(&self) -> impl Iterator<Item = ClassScores> {
        self.groups.iter().enumerate().map(|(place, &class)| {
            let column: Vec<(bool, bool, f64)> = self.rows.iter().filter_map(|row| row.get(place).copied()).collect();
            let count = |is: bool, told: bool| column.iter().filter(|(a, b, _)| (*a, *b) == (is, told)).count();
            let counts = [count(true, true), count(false, true), count(true, false), count(false, false)];
            let (members, scores): (Vec<bool>, Vec<f64>) = column.iter().map(|(is, _, score)| (*is, *score)).unzip();
            ClassScores::from_counts(class, counts, ranking_auc(&scores, &members))
        })
    }
}

fn evaluate_distances(
    gallery: &Gallery,
    queries: &Gallery,
    distances: &[Vec<f64>],
    definition: GroupDistance,
) -> Result<GroupEvaluation> {
    let mut meter = Meter::new(definition);
    let mut tallies = [Tally::new(&Group::GENDERS), Tally::new(&Group::AGES), Tally::new(&Group::INTERSECTIONS)];
    let mut confusion = [[0; 4]; 4];
    let (mut gender_right, mut age_right) = (0, 0);
    for (&(gender, age), distances) in queries.labels().iter().zip(distances) {
        for tally in &mut tallies {
            let choice = nearest_by_distance(gallery.labels(), distances, &mut meter, tally.groups)
                .ok_or_else(|| Error::Usage("the gallery is empty".to_owned()))?;
            tally.add((gender, age), &choice);
            // True of the last of the three only.
            if let Some((truth, chosen)) = place_of(Group::of(gender, age)).zip(place_of(choice.chosen)) {
                if let Some(cell) = confusion.get_mut(truth).and_then(|row| row.get_mut(chosen)) {
                    *cell += 1;
                }
                gender_right += usize::from(choice.chosen.gender() == Some(gender));
                age_right += usize::from(choice.chosen.age_group() == Some(age));
            }
        }
    }
    let share = |right| {
        Proportion::wilson(right, queries.labels().len()).ok_or_else(|| Error::Usage("there are no queries".to_owned()))
    };
    let [genders, ages, four] = &tallies;
    Ok(GroupEvaluation {
        definition,
        gallery: gallery.counts(),
        queries: queries.counts(),
        classes: tallies.iter().flat_map(Tally::scores).collect(),
        gender: share(genders.right)?,
        age: share(ages.right)?,
        four_way: share(four.right)?,
        four_way_gender: share(gender_right)?,
        four_way_age: share(age_right)?,
        confusion,
        ties: tallies.iter().map(|tally| tally.ties).sum(),
    })
}

/// Place among the four intersections; `None` for the other groups.
fn place_of(group: Group) -> Option<usize> {
    Group::INTERSECTIONS.iter().position(|other| *other == group)
}

impl GroupEvaluation {
    /// The result as a table to read, figures to three decimals and `–` where one is undefined.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let counts = |counts: [usize; 4]| counts.map(|count| count.to_string()).join(" + ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "Group distance {}; gallery {}, queries {}",
            self.definition,
            counts(self.gallery),
            counts(self.queries)
        );
        let _ = writeln!(
            text,
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>13}",
            "class", "precision", "recall", "accuracy", "AUC hard", "AUC ranking"
        );
        for row in &self.classes {
            let shares = [row.precision, row.recall, row.accuracy, row.auc_hard].map(three_decimals);
            let [precision, recall, accuracy, auc] = shares;
            let ranking = three_decimals(row.auc_score);
            let _ = writeln!(text, "{:<14}{precision:>10}{recall:>10}{accuracy:>10}{auc:>10}{ranking:>13}", row.class);
        }
        text.push('\n');
        for (name, share) in [
            ("gender, of two", self.gender),
            ("age group, of two", self.age),
            ("group, of four", self.four_way),
            ("  its gender", self.four_way_gender),
            ("  its age group", self.four_way_age),
        ] {
            let _ = writeln!(text, "{name:<20}{}", share_text(share));
        }
        let _ = writeln!(
            text,
            "\n{:<14}{}",
            "true \\ chosen",
            Group::INTERSECTIONS.map(|group| format!("{group:>14}")).concat()
        );
        for (group, row) in Group::INTERSECTIONS.iter().zip(self.confusion) {
            let _ = writeln!(text, "{group:<14}{}", row.map(|count| format!("{count:>14}")).concat());
        }
        if self.ties > 0 {
            let _ = writeln!(text, "\n{} ties, decided for the first group", self.ties);
        }
        text
    }
}

/// One line for each class of each model's result, as a table.
///
/// # Errors
/// If a row cannot be written as CSV.
pub fn classes_csv<'a>(results: impl IntoIterator<Item = (&'a str, &'a GroupEvaluation)>) -> Result<Vec<u8>> {
    let head = [
        "model",
        "definition",
        "class",
        "tp",
        "fp",
        "fn",
        "tn",
        "precision",
        "recall",
        "accuracy",
        "auc_hard",
        "auc_score",
    ];
    let rows = results.into_iter().flat_map(|(model, result)| {
        result.classes.iter().map(move |row| {
            let counts = [row.tp, row.fp, row.fn_, row.tn].map(|count| count.to_string());
            let shares = [row.precision, row.recall, row.accuracy, row.auc_hard, row.auc_score];
            // What is undefined is an empty cell.
            let shares = shares.map(|share| share.map_or(String::new(), |share| share.to_string()));
            let names = [model.to_owned(), result.definition.to_string(), row.class.to_string()];
            names.into_iter().chain(counts).chain(shares).collect()
        })
    });
    csv_text(&head.map(str::to_owned), rows)
}

/// Several results side by side, one line each.
pub fn comparison_text(evaluations: &[GroupEvaluation]) -> String {
    let mut text = format!(
        "{:<24}{:>8}{:>8}{:>8}{:>13}{:>10}\n",
        "group distance", "gender", "age", "four", "its gender", "its age"
    );
    for row in evaluations {
        let shares = [row.gender, row.age, row.four_way].map(|share| format!("{:>8.3}", share.value)).concat();
        let (gender, age) = (row.four_way_gender.value, row.four_way_age.value);
        let _ = writeln!(text, "{:<24}{shares}{gender:>13.3}{age:>10.3}", row.definition);
    }
    text
}

/// A share to three decimals; `–` where it is undefined.
pub fn three_decimals(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{share:.3}"))
}

fn share_text(share: Proportion) -> String {
    format!("{:.3}  [{:.3}, {:.3}]  {} of {}", share.value, share.low, share.high, share.hits, share.n)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use perface::embedding::{Embedding, EmbeddingSet};

    #[test]
    fn the_published_counts_give_the_published_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/stats.json");
        let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let rows = reference["table_4"].as_array().unwrap();
        assert_eq!(rows.len(), 16);
        for row in rows {
            let counts = ["tp", "fp", "fn", "tn"].map(|name| row[name].as_u64().unwrap() as usize);
            let class: Group = row["class"].as_str().unwrap().parse().unwrap();
            let scores = ClassScores::from_counts(class, counts, None);
            let printed = [scores.precision, scores.recall, scores.accuracy, scores.auc_hard].map(three_decimals);
            let want: Vec<&str> = row["printed"].as_array().unwrap().iter().map(|x| x.as_str().unwrap()).collect();
            assert_eq!(printed.to_vec(), want, "{row}");
        }
    }

    #[test]
    fn undefined_precision_is_none_and_a_dash() {
        let scores = ClassScores::from_counts(Group::Male, [0, 0, 3, 4], None);
        assert_eq!((scores.precision, scores.recall), (None, Some(0.0)));
        assert_eq!(three_decimals(scores.precision), "–");
        assert!(serde_json::to_string(&scores).unwrap().contains(r#""fn":3,"tn":4,"precision":null"#));
    }

    /// Gallery of two faces per intersection at right angles, and queries that lean to `toward[i]` but truly
    /// belong to `truth[i]`.
    fn faces(truth: &[usize], toward: &[usize]) -> (Gallery, Gallery) {
        let label = |place: usize| {
            let group = Group::INTERSECTIONS[place];
            (group.gender().unwrap(), group.age_group().unwrap())
        };
        let at = |place: usize, lean: f32| {
            let mut raw = [0.1f32; 4];
            raw[place] = lean;
            Embedding::from_raw(&raw).unwrap()
        };
        let gallery: Vec<Embedding> = (0..8).map(|i| at(i / 2, 1.0 + i as f32 / 50.0)).collect();
        let queries: Vec<Embedding> = toward.iter().map(|place| at(*place, 0.9)).collect();
        let build = |labels: Vec<(Gender, AgeGroup)>, rows: &[Embedding]| {
            Gallery::new(labels, EmbeddingSet::from_rows(rows).unwrap()).unwrap()
        };
        let gallery = build((0..8).map(|i| label(i / 2)).collect(), &gallery);
        (gallery, build(truth.iter().map(|place| label(*place)).collect(), &queries))
    }

    #[test]
    fn right_choices_score_one_and_fill_the_diagonal() {
        let (gallery, queries) = faces(&[0, 1, 2, 3], &[0, 1, 2, 3]);
        let result = evaluate(&gallery, &queries, GroupDistance::Mean).unwrap();
        assert_eq!((result.gender.hits, result.age.hits, result.four_way.hits), (4, 4, 4));
        assert!((0..4).all(|i| result.confusion[i][i] == 1));
        assert_eq!(result.classes.len(), 8);
        assert!(result.classes.iter().all(|class| class.auc_score == Some(1.0)), "{result:?}");
        assert_eq!(result.ties, 0);
    }

    #[test]
    fn a_wrong_age_is_still_a_right_gender() {
        let (gallery, queries) = faces(&[0, 1, 2, 3], &[2, 1, 2, 3]);
        let result = evaluate(&gallery, &queries, GroupDistance::default()).unwrap();
        assert_eq!((result.four_way.hits, result.four_way_gender.hits, result.four_way_age.hits), (3, 4, 3));
        assert_eq!(result.confusion[0], [0, 0, 1, 0]);
        let young_male = result.classes.iter().find(|row| row.class == Group::YoungMale).unwrap();
        assert_eq!((young_male.precision, young_male.recall), (None, Some(0.0)));
        assert!(result.to_text().contains("young-male             –     0.000     0.750"), "{}", result.to_text());
    }

    #[test]
    fn definitions_are_compared_on_the_same_faces() {
        let (gallery, queries) = faces(&[0, 1, 2, 3], &[0, 1, 2, 2]);
        let results = compare_definitions(&gallery, &queries, &GroupDistance::EACH).unwrap();
        assert_eq!(results.len(), GroupDistance::EACH.len());
        assert!(results.iter().all(|result| result.four_way.hits == 3));
        assert!(comparison_text(&results).contains("knn-mean(20)"));
    }

    #[test]
    fn a_missing_group_is_named() {
        let (gallery, queries) = faces(&[0], &[0]);
        assert_eq!(
            evaluate(&queries, &gallery, GroupDistance::default()).unwrap_err().to_string(),
            "the gallery has no young-female face"
        );
        let none = Gallery::new(Vec::new(), EmbeddingSet::default()).unwrap();
        assert_eq!(
            evaluate(&gallery, &none, GroupDistance::default()).unwrap_err().to_string(),
            "there are no queries"
        );
    }
}
