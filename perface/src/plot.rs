//! Pictures of the numbers, as SVG that stands alone or inside a page.
//!
//! Each function draws a record that is printed as JSON elsewhere and computes nothing new but places. Colours are
//! of the set of Okabe and Ito (Color Universal Design, 2008), told apart by people with any colour vision, and
//! never the only sign: the chosen group is also bold. Text is 12 px at 380 px width, the width of a narrow column.

use serde::{Deserialize, Serialize};

use self::figure::{FAINT, SERIES};
use self::rows::{Rows, VIOLIN_ROW};
use crate::group::GroupChoice;
use crate::pool::Group;

pub mod axes;
pub mod figure;
mod raster;
pub mod rows;

/// Colour of what is chosen.
const CHOSEN: &str = SERIES[0];
/// Colour of what is not.
const OTHER: &str = FAINT;
/// Colour of a mark on top of either.
const MARK: &str = SERIES[1];

/// Cosines of one face with the members of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSimilarities {
    /// The group.
    pub name: Group,
    /// One cosine per member, in `[-1, 1]`.
    pub cosines: Vec<f32>,
}

/// How far a face is from each group: a dot at the mean distance and its 95 % interval; a diamond marks the
/// distance that decided where that is another figure. The chosen group is blue and bold.
pub fn distances_svg(choice: &GroupChoice, definition: &str) -> String {
    const ROW: f64 = 32.0;
    let rows = &choice.distances;
    let values = rows.iter().flat_map(|row| {
        let upper = row.ci_upper.unwrap_or(row.mean);
        [2.0 * row.mean - upper, upper, row.distance]
    });
    let mut plot = Rows::new(rows.len(), ROW, values, "Distance to each group, 1 − cosine");
    plot.axis("1 − cosine: mean and 95 % interval", definition);
    for (place, row) in rows.iter().enumerate() {
        let chosen = row.name == choice.chosen;
        let colour = if chosen { CHOSEN } else { OTHER };
        plot.name(place, &in_words(row.name), &format!("n = {}", row.n), chosen);
        if let Some(upper) = row.ci_upper {
            plot.interval(place, 2.0 * row.mean - upper, upper, colour, if chosen { 4.0 } else { 2.5 });
        }
        plot.dot(place, row.mean, 4.5, colour);
        if row.ci_upper.is_none_or(|upper| (upper - row.distance).abs() > 1e-9) && row.distance != row.mean {
            plot.diamond(place, row.distance, MARK);
        }
        plot.figure_at_right(place, &format!("{:.3}", row.distance), chosen);
    }
    plot.finish().to_svg()
}

/// How similar a face is to the members of each group: every member a dot, their density a shape around them, the
/// median a line with its figure at the right. A face's own candidates are those at the left.
pub fn similarities_svg(groups: &[GroupSimilarities], chosen: Option<Group>) -> String {
    let lists: Vec<Vec<f64>> = groups.iter().map(|group| sorted(&group.cosines)).collect();
    let values = lists.iter().flatten().copied();
    let mut plot = Rows::new(groups.len(), VIOLIN_ROW, values, "Similarity to the members of each group");
    plot.axis("cosine", "median");
    for (place, (group, values)) in groups.iter().zip(&lists).enumerate() {
        let is_chosen = chosen == Some(group.name);
        plot.name(place, &in_words(group.name), &format!("n = {}", values.len()), is_chosen);
        plot.violin(place, values, if is_chosen { CHOSEN } else { OTHER }, MARK, is_chosen);
    }
    plot.finish().to_svg()
}

/// A group's name as text.
fn in_words(group: Group) -> String {
    group.as_str().replace('-', " ")
}

/// The finite values, from lowest to highest.
fn sorted(values: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().map(|value| f64::from(*value)).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::GroupDistanceRow;

    fn choice() -> GroupChoice {
        let row = |name, mean: f64, half: Option<f64>, n| GroupDistanceRow {
            name,
            distance: mean + half.unwrap_or(0.0),
            mean,
            ci_upper: half.map(|half| mean + half),
            n,
        };
        let distances = vec![
            row(Group::YoungMale, 0.912, Some(0.02), 31),
            row(Group::YoungFemale, 0.853, Some(0.024), 24),
            row(Group::OlderMale, 0.94, Some(0.06), 9),
            row(Group::OlderFemale, 0.88, None, 1),
        ];
        GroupChoice { chosen: Group::YoungFemale, distances, tie: false }
    }

    fn similarities(n: usize) -> Vec<GroupSimilarities> {
        let group = |name, shift: f32| GroupSimilarities {
            name,
            cosines: (0..n).map(|i| shift + 0.12 * ((i * i) as f32 * 0.7).sin() * (i as f32 * 0.3).cos()).collect(),
        };
        let shifts = [0.05, 0.14, -0.02, 0.1];
        Group::INTERSECTIONS.into_iter().zip(shifts).map(|(name, shift)| group(name, shift)).collect()
    }

    /// Write to the folder named by `PERFACE_PLOTS`, to be looked at.
    fn show(name: &str, svg: &str) {
        if let Some(folder) = std::env::var_os("PERFACE_PLOTS") {
            std::fs::write(std::path::Path::new(&folder).join(name), svg).unwrap();
        }
    }

    #[test]
    fn every_group_is_named_and_the_chosen_one_is_bold() {
        let svg = distances_svg(&choice(), "mean-ci-upper");
        show("distances.svg", &svg);
        let bold: Vec<&str> = svg.lines().filter(|line| line.contains("bold")).collect();
        assert_eq!(bold.len(), 2, "name and figure");
        assert!(bold[0].contains("young female") && bold[1].contains("0.877"));
        assert!(["young male", "older male", "older female", "n = 31"].iter().all(|name| svg.contains(name)));
        assert!(!svg.contains(MARK), "the interval's end decided");
    }

    #[test]
    fn another_deciding_figure_is_marked() {
        let mut choice = choice();
        choice.distances.iter_mut().for_each(|row| row.distance = row.mean - 0.1);
        let svg = distances_svg(&choice, "knn-mean(5)");
        show("distances_knn.svg", &svg);
        assert_eq!(svg.matches(MARK).count(), 4);
    }

    #[test]
    fn a_large_group_is_thinned_and_a_small_one_shown_whole() {
        for (n, dots) in [(30, 120), (1000, 800)] {
            let svg = similarities_svg(&similarities(n), Some(Group::OlderMale));
            show(&format!("similarities_{n}.svg"), &svg);
            assert_eq!(svg.matches("<circle").count(), dots);
            assert!(svg.contains(&format!("n = {n}")));
        }
    }

    #[test]
    fn nothing_equal_values_and_nan_draw_without_nonsense() {
        for groups in [
            Vec::new(),
            vec![GroupSimilarities { name: Group::Male, cosines: Vec::new() }],
            vec![GroupSimilarities { name: Group::Male, cosines: vec![0.5; 4] }],
            vec![GroupSimilarities { name: Group::Male, cosines: vec![f32::NAN, 0.5, f32::INFINITY] }],
        ] {
            let svg = similarities_svg(&groups, None);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        let empty = GroupChoice { chosen: Group::Male, distances: Vec::new(), tie: false };
        assert!(distances_svg(&empty, "<&\">").contains("&lt;&amp;&quot;&gt;"));
    }
}
