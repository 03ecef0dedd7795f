//! Plots of triplets: two cosines against each other, and models side by side.

use crate::eval::triplet::TripletEvaluation;
use perface::plot::axes::{BOTTOM, LEFT, Plane, Scale};
use perface::plot::figure::{Anchor, FAINT, Figure, SERIES, TEXT, TextStyle};
use perface::plot::rows::Rows;

/// Side of the square the data stand in.
const SIDE: f64 = 300.0;
/// Room above it: a heading and a key.
const TOP: f64 = 44.0;
/// Room right of it.
const RIGHT: f64 = 16.0;
/// More dots than this are drawn smaller.
const MANY: usize = 400;

/// Cosine of the reference with the face people chose against that with the other, a dot for each triplet (Fig. 4 of
/// arXiv 2509.20281). Above the line Y = X the model agrees: those are blue dots, the others vermilion crosses.
pub fn triplet_scatter(result: &TripletEvaluation, model: usize) -> Option<Figure> {
    let name = result.models.get(model)?;
    let points: Vec<(f64, f64)> = result
        .cases
        .iter()
        .filter_map(|case| case.chosen_and_other(model))
        .map(|(chosen, other)| (f64::from(other), f64::from(chosen)))
        .collect();
    let values = || points.iter().flat_map(|(x, y)| [*x, *y]);
    let plane =
        Plane { x: Scale::around(values(), 5.0, LEFT, LEFT + SIDE), y: Scale::around(values(), 5.0, TOP + SIDE, TOP) };
    let title = format!("{}: cosine with the face people chose and with the other", name.name);
    let mut figure = Figure::new(LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM, title);
    plane.draw(&mut figure, "cosine with the other face", "cosine with the face people chose");
    let (low, high) = plane.x.ends();
    figure.dashed(plane.place(low, low), plane.place(high, high), FAINT, 1.5);
    let (radius, opacity) = if points.len() > MANY { (1.6, 0.45) } else { (2.6, 0.65) };
    for (x, y) in &points {
        if y > x {
            figure.dot(plane.place(*x, *y), radius, SERIES[0], opacity);
        } else {
            figure.cross(plane.place(*x, *y), radius, SERIES[1], 0.8);
        }
    }
    let bold = TextStyle { bold: true, ..TextStyle::default() };
    let heading = if result.derived { format!("{}, derived judgements", name.name) } else { name.name.clone() };
    figure.text((LEFT, 14.0), Anchor::Start, bold, heading);
    let accuracy = name.accuracy;
    let right = format!("{} above Y = X ({:.3})", accuracy.hits, accuracy.value);
    let wrong = format!("{} not", accuracy.n - accuracy.hits);
    figure.dot((LEFT + 4.0, 28.0), 3.0, SERIES[0], 1.0);
    figure.text((LEFT + 12.0, 32.0), Anchor::Start, TextStyle::default(), right);
    figure.cross((LEFT + 186.0, 28.0), 3.0, SERIES[1], 1.2);
    figure.text((LEFT + 194.0, 32.0), Anchor::Start, TextStyle::default(), wrong);
    Some(figure)
}

/// Accuracy of every model with both intervals: the wide one is Wilson's, the line that of the cluster bootstrap.
/// Dashed lines are chance and, where there is one, what the best guess could reach.
pub fn triplet_accuracies(result: &TripletEvaluation) -> Figure {
    const ROW: f64 = 34.0;
    let ceiling = result.ceiling.and_then(|ceiling| ceiling.model).map(|model| match result.agreement {
        crate::eval::triplet::Agreement::Unanimous => model.oracle_unanimous,
        crate::eval::triplet::Agreement::Majority => model.oracle_majority,
    });
    let values = result.models.iter().flat_map(|model| {
        let clustered = model.clustered.map_or([model.accuracy.value; 2], |c| [c.low, c.high]);
        [model.accuracy.low, model.accuracy.high, clustered[0], clustered[1]]
    });
    let values: Vec<f64> = values.chain([0.5]).chain(ceiling).collect();
    let key = [(SERIES[5], "95 % interval of Wilson"), (TEXT, "95 % interval, clustered by target and triplet")];
    let mut plot = Rows::with_key(result.models.len(), ROW, values, "Agreement with people's choices", &key);
    let derived = if result.derived { "derived " } else { "" };
    plot.axis(&format!("agreement, share of {derived}triplets"), "share");
    plot.reference(0.5, "chance", FAINT);
    if let Some(ceiling) = ceiling {
        plot.reference(ceiling, "noise ceiling", SERIES[2]);
    }
    for (place, model) in result.models.iter().enumerate() {
        plot.name(place, &model.name, &format!("{} of {}", model.accuracy.hits, model.accuracy.n), false);
        plot.interval(place, model.accuracy.low, model.accuracy.high, SERIES[5], 7.0);
        if let Some(clustered) = model.clustered {
            plot.interval(place, clustered.low, clustered.high, TEXT, 1.5);
        }
        plot.dot(place, model.accuracy.value, 4.5, SERIES[0]);
        plot.figure_at_right(place, &format!("{:.3}", model.accuracy.value), false);
    }
    plot.finish()
}
