//! Plots of verification, ratings, groups, use of candidates, and training runs.

use crate::eval::hubness::GroupUse;
use crate::eval::pairs::Verification;
use crate::eval::similarity::SimilarityEvaluation;
use crate::eval::splits::{BeforeAfter, SPLIT_NAMES, SplitsEvaluation};
use crate::eval::spread::Spread;
use perface::plot::axes::{BOTTOM, LEFT, Plane, Scale};
use perface::plot::figure::{Anchor, FAINT, Figure, SERIES, TEXT, TextStyle};
use perface::plot::rows::{Rows, VIOLIN_ROW};

/// Width and height of the room the data stand in.
const SIDE: (f64, f64) = (300.0, 240.0);
/// Room right of it.
const RIGHT: f64 = 16.0;
/// Height of a line of a key.
const KEY_LINE: f64 = 16.0;

fn plane(x: impl IntoIterator<Item = f64>, y: impl IntoIterator<Item = f64>, top: f64) -> Plane {
    Plane { x: Scale::around(x, 5.0, LEFT, LEFT + SIDE.0), y: Scale::around(y, 5.0, top + SIDE.1, top) }
}

fn canvas(top: f64, title: String) -> Figure {
    Figure::new(LEFT + SIDE.0 + RIGHT, top + SIDE.1 + BOTTOM, title)
}

/// Lines of a key from the top: a colour and what it means.
fn key(figure: &mut Figure, entries: &[(&'static str, String)]) {
    for (nth, (colour, words)) in entries.iter().enumerate() {
        let y = 12.0 + nth as f64 * KEY_LINE;
        figure.line((LEFT, y - 4.0), (LEFT + 18.0, y - 4.0), colour, 3.0);
        figure.text((LEFT + 24.0, y), Anchor::Start, TextStyle::default(), words.clone());
    }
}

/// ROC curves of several models: true accepts against the logarithm of false accepts, which is where models differ.
pub fn roc(models: &[&Verification]) -> Figure {
    let top = 14.0 + models.len() as f64 * KEY_LINE;
    let lowest = models.iter().map(|m| 1.0 / m.different.max(1) as f64).fold(1.0, f64::min);
    let floor = lowest.log10().floor().clamp(-6.0, -1.0);
    // Where curves enter at the left; a margin below keeps good models apart from the frame.
    let entering = |m: &&Verification| m.roc.iter().rev().find(|point| point.far == 0.0).map(|point| point.tar - 0.02);
    let lowest_tar = models.iter().filter_map(entering).min_by(f64::total_cmp).map(|tar| tar.max(0.0)).or(Some(0.0));
    let plane = Plane {
        x: Scale::around([floor, 0.0], -floor, LEFT, LEFT + SIDE.0),
        y: Scale::around(lowest_tar.into_iter().chain([1.0]), 5.0, top + SIDE.1, top),
    };
    let mut figure = canvas(top, "ROC curves".to_owned());
    plane.draw(&mut figure, "false accept rate, log10", "true accept rate");
    let mut entries = Vec::new();
    for (model, colour) in models.iter().zip(SERIES.iter().cycle()) {
        let points = model.roc.iter().filter(|point| point.far > 0.0);
        let mut line: Vec<(f64, f64)> = Vec::new();
        // Without a false accept the curve lies left of the plot; it enters where it stood before the first.
        let first = model.roc.iter().rev().find(|point| point.far == 0.0).map_or(0.0, |point| point.tar);
        let mut last = first;
        line.push(plane.place(floor, first));
        for point in points {
            let x = point.far.log10().max(floor);
            line.push(plane.place(x, last));
            line.push(plane.place(x, point.tar));
            last = point.tar;
        }
        figure.stroke(line, colour, 1.8);
        let auc = model.auc.map_or("–".to_owned(), |auc| format!("{auc:.4}"));
        entries.push((*colour, format!("{}, AUC {auc}", model.model)));
    }
    key(&mut figure, &entries);
    figure
}

/// Cosines of same and of different pairs as histograms, with the thresholds.
pub fn pair_histograms(model: &Verification) -> Figure {
    const BINS: usize = 50;
    let top = 14.0 + 3.0 * KEY_LINE;
    let wide = |list: &[f32]| list.iter().map(|c| f64::from(*c)).collect::<Vec<f64>>();
    let lists = [wide(&model.different_cosines), wide(&model.same_cosines)];
    let x = Scale::around(lists.iter().flatten().copied(), 5.0, LEFT, LEFT + SIDE.0);
    let (low, high) = x.ends();
    let bin = (high - low) / BINS as f64;
    let shares = lists.each_ref().map(|list| {
        let mut shares = vec![0.0; BINS];
        for value in list {
            let place = (((value - low) / bin) as usize).min(BINS - 1);
            if let Some(share) = shares.get_mut(place) {
                *share += 1.0 / list.len().max(1) as f64;
            }
        }
        shares
    });
    let y = Scale::around(shares.iter().flatten().copied().chain([0.0]), 5.0, top + SIDE.1, top);
    let plane = Plane { x, y };
    let mut figure = canvas(top, format!("{}: cosines of same and different pairs", model.model));
    plane.draw(&mut figure, "cosine", "share of pairs");
    for (shares, colour) in shares.iter().zip([SERIES[1], SERIES[0]]) {
        let mut outline = vec![plane.place(low, 0.0)];
        for (nth, share) in shares.iter().enumerate() {
            let left = low + nth as f64 * bin;
            outline.extend([plane.place(left, *share), plane.place(left + bin, *share)]);
        }
        outline.push(plane.place(high, 0.0));
        figure.area(outline.clone(), colour, 0.35);
        figure.stroke(outline, colour, 1.2);
    }
    let mut entries = vec![
        (SERIES[1], format!("{} different pairs", model.different)),
        (SERIES[0], format!("{} same pairs", model.same)),
    ];
    if let Some(decision) = &model.at_threshold {
        let at = f64::from(decision.cosine);
        figure.dashed(plane.place(at, 0.0), (plane.x.place(at), top), TEXT, 1.5);
        entries.push((TEXT, format!("dashed: threshold {at:.3}")));
    }
    key(&mut figure, &entries);
    figure
}

/// Ratings against cosines, a dot for each pair.
pub fn ratings(result: &SimilarityEvaluation) -> Figure {
    let top = 30.0;
    let points: Vec<(f64, f64)> = result.pairs.iter().map(|(pair, cosine)| (f64::from(*cosine), pair.rating)).collect();
    let plane = plane(points.iter().map(|p| p.0), points.iter().map(|p| p.1), top);
    let mut figure = canvas(top, format!("{}: cosine and rating", result.model));
    plane.draw(&mut figure, "cosine", "rating");
    let (radius, opacity) = if points.len() > 400 { (1.6, 0.4) } else { (2.6, 0.6) };
    for (x, y) in &points {
        figure.dot(plane.place(*x, *y), radius, SERIES[0], opacity);
    }
    let rho = result.spearman.map_or("–".to_owned(), |s| format!("{:.3}", s.value));
    let bold = TextStyle { bold: true, ..TextStyle::default() };
    figure.text((LEFT, 16.0), Anchor::Start, bold, format!("{}, Spearman {rho}", result.model));
    figure
}

/// Cosines of each group's queries with gallery faces of the group, above, and with the others, below (Fig. 6).
pub fn spread(name: &str, spread: &Spread) -> Figure {
    let values = spread.groups.iter().flat_map(|group| group.inside_cosines.iter().chain(&group.outside_cosines));
    let key = [(SERIES[0], "with faces of the own group"), (SERIES[1], "with all other faces")];
    let title = format!("{name}: similarity within groups and between them");
    let mut plot = Rows::with_key(spread.groups.len(), VIOLIN_ROW, values.copied(), &title, &key);
    plot.axis(&format!("{name}, cosine"), "medians apart");
    for (place, group) in spread.groups.iter().enumerate() {
        let words = group.group.as_str().replace('-', " ");
        let n = group.inside.map_or(0, |inside| inside.n);
        plot.name(place, &words, &format!("{n} pairs inside"), false);
        plot.split_violin(place, &group.inside_cosines, &group.outside_cosines, [SERIES[0], SERIES[1]]);
    }
    plot.finish()
}

/// How often the most used candidates of each group were taken, as a share of its queries, most used first.
pub fn uses(groups: &[GroupUse]) -> Figure {
    let top = 14.0 + groups.len() as f64 * KEY_LINE;
    let shares = |group: &GroupUse| -> Vec<f64> {
        group.counts.iter().map(|(_, n)| *n as f64 / group.queries.max(1) as f64).collect()
    };
    const SHOWN: usize = 30;
    let all: Vec<Vec<f64>> = groups.iter().map(shares).collect();
    let plane = plane([1.0, SHOWN as f64], all.iter().flatten().copied().chain([0.0]), top);
    let mut figure = canvas(top, "How often each candidate is the least similar".to_owned());
    plane.draw(&mut figure, "candidate, most used first", "share of queries");
    let mut entries = Vec::new();
    for ((group, shares), colour) in groups.iter().zip(&all).zip(SERIES.iter().cycle()) {
        let padded = shares.iter().copied().chain(std::iter::repeat(0.0));
        let points: Vec<(f64, f64)> =
            padded.take(SHOWN).enumerate().map(|(nth, share)| plane.place(nth as f64 + 1.0, share)).collect();
        for point in &points {
            figure.dot(*point, 2.4, colour, 1.0);
        }
        figure.stroke(points, colour, 1.4);
        let words = group.group.replace('-', " ");
        entries.push((*colour, format!("{words}: {} of {} ever used", group.used, group.candidates)));
    }
    key(&mut figure, &entries);
    figure
}

/// Accuracy of every kind of training on every split: a dot for each run, a bar of one standard deviation.
pub fn splits(result: &SplitsEvaluation) -> Figure {
    const ROW: f64 = 26.0;
    let cell = |split: usize, row: usize| result.rows.get(row).and_then(|row| row.splits.get(split).copied().flatten());
    let rows = (0..SPLIT_NAMES.len()).flat_map(|split| (0..result.rows.len()).map(move |row| (split, row)));
    let rows: Vec<(usize, usize)> = rows.filter(|&(split, row)| cell(split, row).is_some()).collect();
    let values = rows.iter().filter_map(|&(split, row)| cell(split, row)).flat_map(|cell| {
        let sd = cell.sd.unwrap_or(0.0);
        [cell.mean - sd, cell.mean + sd]
    });
    let values: Vec<f64> = values.chain([0.5]).collect();
    let mut plot = Rows::new(rows.len(), ROW, values, "Accuracy by split and training");
    plot.axis("agreement, share of triplets", "mean");
    plot.reference(0.5, "chance", FAINT);
    for (place, &(split, row)) in rows.iter().enumerate() {
        let Some(name) = result.rows.get(row).map(|row| row.training.as_str()) else { continue };
        let short = ["[i]", "[ii]", "[iii]"].get(split).copied().unwrap_or("");
        plot.name(place, &format!("{short} {name}"), "", row > 0);
        if let Some(cell) = cell(split, row) {
            let colour = if row == 0 { FAINT } else { SERIES[0] };
            if let Some(sd) = cell.sd {
                plot.interval(place, cell.mean - sd, cell.mean + sd, colour, 3.0);
            }
            plot.dot(place, cell.mean, 4.0, colour);
            plot.figure_at_right(place, &format!("{:.3}", cell.mean), row > 0);
        }
    }
    plot.finish()
}

/// The margin of each test triplet, chosen less other, before training against after it (Fig. 5): dots above the
/// horizontal line are right after training, those right of the vertical line were right before.
pub fn before_after(name: &str, cases: &[BeforeAfter]) -> Figure {
    let top = 30.0;
    let margins: Vec<(f64, f64)> =
        cases.iter().map(|case| (case.before.0 - case.before.1, case.after.0 - case.after.1)).collect();
    let plane =
        plane(margins.iter().map(|m| m.0).chain([-0.1, 0.1]), margins.iter().map(|m| m.1).chain([-0.1, 0.1]), top);
    let mut figure = canvas(top, format!("{name}: margins before and after training"));
    plane.draw(&mut figure, "margin before training", "margin after training");
    let ((left, right), (bottom, high)) = (plane.x.ends(), plane.y.ends());
    figure.dashed(plane.place(left, 0.0), plane.place(right, 0.0), FAINT, 1.5);
    figure.dashed(plane.place(0.0, bottom), plane.place(0.0, high), FAINT, 1.5);
    let radius = if margins.len() > 400 { 1.6 } else { 2.6 };
    for (before, after) in &margins {
        let place = plane.place(*before, *after);
        if *after > 0.0 {
            figure.dot(place, radius, SERIES[0], 0.5);
        } else {
            figure.cross(place, radius, SERIES[1], 0.8);
        }
    }
    let right = |margin: &dyn Fn(&(f64, f64)) -> f64| margins.iter().filter(|m| margin(m) > 0.0).count();
    let (before, after, n) = (right(&|m| m.0), right(&|m| m.1), margins.len());
    let bold = TextStyle { bold: true, ..TextStyle::default() };
    let words = format!("{name}: right {before} before, {after} after, of {n}");
    figure.text((LEFT, 16.0), Anchor::Start, bold, words);
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::pairs::{ScoredPair, verify};

    /// Write to the folder named by `PERFACE_PLOTS`, to be looked at.
    fn show(name: &str, figure: &Figure) {
        if let Some(folder) = std::env::var_os("PERFACE_PLOTS") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.svg")), figure.to_svg()).unwrap();
            figure.to_pixels(2.0).save(std::path::Path::new(&folder).join(format!("{name}.png"))).unwrap();
        }
    }

    fn pairs(shift: f32) -> Vec<ScoredPair> {
        let wave = |i: i32| (i as f32 * 0.7).sin() * 0.2 + (i as f32 * 0.31).cos() * 0.15;
        (0..400)
            .map(|i| ScoredPair { cosine: wave(i) + if i % 2 == 0 { shift } else { 0.0 }, same: i % 2 == 0 })
            .collect()
    }

    #[test]
    fn every_model_has_a_curve_and_a_line_in_the_key() {
        let (good, poor) = (verify("good", &pairs(0.5), Some(0.3), 0), verify("poor", &pairs(0.2), None, 0));
        let figure = roc(&[&good, &poor]);
        show("roc", &figure);
        let svg = figure.to_svg();
        assert!(svg.contains("good, AUC") && svg.contains("poor, AUC") && !svg.contains("NaN") && !svg.contains("inf"));
        let histogram = pair_histograms(&good);
        show("pair-histograms", &histogram);
        assert!(histogram.to_svg().contains("threshold 0.300"));
    }

    #[test]
    fn nothing_draws_without_nonsense() {
        let nothing = verify("nothing", &[], None, 0);
        for figure in [roc(&[&nothing]), roc(&[]), pair_histograms(&nothing), uses(&[]), before_after("i", &[])] {
            let svg = figure.to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn margins_are_counted_on_both_sides() {
        let case = |before: f64, after: f64| BeforeAfter { before: (before, 0.0), after: (after, 0.0) };
        let figure = before_after("[i]", &[case(0.2, 0.3), case(-0.1, 0.2), case(0.1, -0.2)]);
        show("before-after", &figure);
        assert!(figure.to_svg().contains("right 2 before, 2 after, of 3"));
    }
}
