//! The epochs of a run as a table and as a drawing.

use std::fmt::Write as _;

use crate::trainer::Epoch;

/// Size of the drawing and of the room around its two fields, in pixels.
const SIZE: (f64, f64) = (720.0, 320.0);
const MARGIN: (f64, f64) = (48.0, 54.0);

/// One line for each epoch.
pub fn csv(epochs: &[Epoch]) -> String {
    let mut text = "epoch,loss,active,val_accuracy\n".to_owned();
    for (index, epoch) in epochs.iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{},{:.6},{:.6},{:.6}", index + 1, epoch.loss, epoch.active, epoch.val_accuracy);
    }
    text
}

/// Loss on the left, active share and validation accuracy on the right; colours that everybody can tell apart.
pub fn svg(epochs: &[Epoch], title: &str) -> String {
    let (width, height) = SIZE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><title>Training on {title}</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"20\" font-size=\"14\">Training on {title}</text>\n",
        MARGIN.0
    );
    let largest = epochs.iter().map(|e| e.loss).filter(|loss| loss.is_finite()).fold(1e-9, f64::max);
    let series = |of: fn(&Epoch) -> f64| epochs.iter().map(of).collect::<Vec<_>>();
    field(&mut out, 0.0, round_up(largest), &[("loss", "#0072b2", series(|e| e.loss))]);
    let shares = [
        ("active share", "#e69f00", series(|e| e.active)),
        ("validation accuracy", "#009e73", series(|e| e.val_accuracy)),
    ];
    field(&mut out, width / 2.0, 1.0, &shares);
    out.push_str("</svg>\n");
    out
}

/// The next number of the form 1, 2, 4 or 8 times a power of ten, whose quarters are short.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0].into_iter().map(|step| step * power).find(|top| *top >= value).unwrap_or(10.0 * power)
}

/// One field of the drawing: values from 0 to `top` by epoch.
fn field(out: &mut String, left: f64, top: f64, lines: &[(&str, &str, Vec<f64>)]) {
    let (width, height) = (SIZE.0 / 2.0 - 1.5 * MARGIN.0, SIZE.1 - 2.0 * MARGIN.1);
    let (x0, y0) = (left + MARGIN.0, SIZE.1 - MARGIN.1);
    let count = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0);
    let x = |index: usize| x0 + width * (index as f64 + 0.5) / count.max(1) as f64;
    for step in 0..=4 {
        let (value, y) = (top * f64::from(step) / 4.0, y0 - height * f64::from(step) / 4.0);
        let value = (value * 1e6).round() / 1e6;
        let _ = writeln!(
            out,
            "<path d=\"M{x0} {y:.1}h{width:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value}</text>",
            x0 - 6.0,
            y + 4.0
        );
    }
    let step = count.div_ceil(10).max(1);
    for index in (0..count).step_by(step) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(index),
            y0 + 18.0,
            index + 1
        );
    }
    let _ =
        writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">epoch</text>", x0 + width / 2.0, y0 + 36.0);
    for (number, (name, colour, values)) in lines.iter().enumerate() {
        let place = |(index, value): (usize, &f64)| (x(index), y0 - height * (value / top).clamp(0.0, 1.0));
        let finite = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let places: Vec<(f64, f64)> = finite.map(place).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        for (x, y) in &places {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             fill=\"{colour}\">{name}</text>",
            points.join(" "),
            x0 + 130.0 * number as f64,
            MARGIN.1 - 14.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Vec<Epoch> {
        (0..3).map(|n| Epoch { loss: 0.3 / f64::from(n + 1), active: 0.5, val_accuracy: f64::NAN }).collect()
    }

    #[test]
    fn the_table_has_a_line_for_each_epoch() {
        let text = csv(&epochs());
        assert_eq!(text.lines().count(), 4);
        assert_eq!(text.lines().nth(2), Some("2,0.150000,0.500000,NaN"));
    }

    #[test]
    fn the_drawing_has_no_numbers_that_are_none() {
        for epochs in [epochs(), Vec::new()] {
            let drawing = svg(&epochs, "answers of people");
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
            assert_eq!(drawing.matches("<polyline").count(), 3);
            assert!(drawing.contains(">Training on answers of people</text>"), "it says whose answers: {drawing}");
        }
    }

    #[test]
    fn one_epoch_is_seen() {
        let one = [Epoch { loss: 0.3, active: 0.5, val_accuracy: 0.7 }];
        assert_eq!(svg(&one, "answers of people").matches("<circle").count(), 3);
    }

    #[test]
    fn fields_end_at_a_short_number() {
        for (value, top) in [(0.31, 0.4), (0.4, 0.4), (0.09, 0.1), (1.2, 2.0), (1e-9, 1e-9)] {
            assert!((round_up(value) / top - 1.0).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }
}
