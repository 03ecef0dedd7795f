//! The figures of arXiv 2509.20281, to stand beside one's own where the data are the paper's.
//!
//! The paper prints rounded shares. The counts here are the only whole numbers that give all of them: 144 triplets for
//! Table 1 (the one size below 288 that fits all eight systems), 250 queries of each group for Table 4.

use super::groups::ClassScores;
use perface::pool::Group;

/// A system of Table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedAccuracy {
    /// As the paper calls it.
    pub system: &'static str,
    /// The name of its card here; FaceNet may be either of two networks.
    pub models: &'static [&'static str],
    /// Triplets it got right, of [`TABLE_1_TRIPLETS`].
    pub right: usize,
}

/// Triplets behind Table 1.
pub const TABLE_1_TRIPLETS: usize = 144;

/// Table 1: agreement with unanimous judgements.
pub const TABLE_1: [PublishedAccuracy; 8] = [
    PublishedAccuracy { system: "DeepID", models: &["deepface-deepid"], right: 87 },
    PublishedAccuracy { system: "VGG-Face", models: &["deepface-vggface"], right: 108 },
    PublishedAccuracy { system: "FaceNet", models: &["deepface-facenet", "deepface-facenet512"], right: 103 },
    PublishedAccuracy { system: "OpenFace", models: &["deepface-openface"], right: 95 },
    PublishedAccuracy { system: "ArcFace", models: &["deepface-arcface"], right: 101 },
    PublishedAccuracy { system: "BlendFace", models: &["blendface"], right: 83 },
    PublishedAccuracy { system: "GhostFaceNet", models: &["deepface-ghostfacenet"], right: 87 },
    PublishedAccuracy { system: "PerFace", models: &["perface"], right: 132 },
];

/// The accuracy the paper prints for the model called `name`, if it is one of Table 1.
pub fn accuracy(name: &str) -> Option<f64> {
    let row = TABLE_1.iter().find(|row| row.models.contains(&name))?;
    Some(row.right as f64 / TABLE_1_TRIPLETS as f64)
}

/// Before and after training, in Table 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// ArcFace as it was.
    Before,
    /// After training on people's judgements.
    After,
}

/// Table 4's counts TP, FP, FN, TN before and after, for the classes from which the others follow.
const TABLE_4: [(Group, [usize; 4], [usize; 4]); 6] = [
    (Group::Male, [468, 35, 32, 465], [486, 21, 14, 479]),
    (Group::Young, [406, 84, 94, 416], [377, 56, 123, 444]),
    (Group::YoungMale, [203, 88, 47, 662], [214, 85, 36, 665]),
    (Group::YoungFemale, [163, 39, 87, 711], [166, 36, 84, 714]),
    (Group::OlderMale, [197, 49, 53, 701], [197, 29, 53, 721]),
    (Group::OlderFemale, [201, 60, 49, 690], [216, 57, 34, 693]),
];

/// Table 4: the scores of every class, in the order of [`Group::ALL`]. Female and older are male and young mirrored.
pub fn table_4(stage: Stage) -> Vec<ClassScores> {
    let counts = |wanted: Group| {
        TABLE_4.iter().find(|(group, ..)| *group == wanted).map(|(_, before, after)| match stage {
            Stage::Before => *before,
            Stage::After => *after,
        })
    };
    let mirrored = |wanted| counts(wanted).map(|[tp, fp, fn_, tn]| [tn, fn_, fp, tp]);
    let of = |group| match group {
        Group::Female => mirrored(Group::Male),
        Group::Older => mirrored(Group::Young),
        other => counts(other),
    };
    Group::ALL.iter().filter_map(|&group| Some(ClassScores::from_counts(group, of(group)?, None))).collect()
}

/// Share of queries put into the right one of four groups, which the paper does not print but its counts give.
pub fn four_way(stage: Stage) -> f64 {
    let scores = table_4(stage);
    let right: usize = scores.iter().filter(|row| Group::INTERSECTIONS.contains(&row.class)).map(|row| row.tp).sum();
    let queries: usize =
        scores.iter().filter(|row| Group::INTERSECTIONS.contains(&row.class)).map(|row| row.tp + row.fn_).sum();
    right as f64 / queries as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use perface::model::{builtin, presets};

    #[test]
    fn the_counts_print_table_1_and_every_system_has_a_card() {
        let printed: Vec<String> =
            TABLE_1.iter().map(|row| format!("{:.3}", row.right as f64 / TABLE_1_TRIPLETS as f64)).collect();
        assert_eq!(printed, ["0.604", "0.750", "0.715", "0.660", "0.701", "0.576", "0.604", "0.917"]);
        for name in TABLE_1.iter().flat_map(|row| row.models) {
            assert!(presets::preset(name).is_some(), "{name}");
        }
        assert_eq!(accuracy(&builtin::models()[1].card.name), None, "SFace is not in the paper");
    }

    #[test]
    fn the_counts_of_the_four_groups_are_those_of_one_choice() {
        for (stage, want) in [(Stage::Before, 0.764), (Stage::After, 0.793)] {
            assert!((four_way(stage) - want).abs() < 1e-12);
            let scores = table_4(stage);
            let chosen: usize =
                scores.iter().filter(|row| Group::INTERSECTIONS.contains(&row.class)).map(|row| row.tp + row.fp).sum();
            assert_eq!((scores.len(), chosen), (8, 1000));
        }
    }
}
