//! Pictures of the numbers, as SVG that stands alone or inside a page.
//!
//! Each function draws a record that is printed as JSON elsewhere and computes nothing new but places. Colours are
//! of the set of Okabe and Ito (Color Universal Design, 2008), told apart by people with any colour vision, and
//! never the only sign: the chosen group is also bold. Text is 12 px at 380 px width, the width of a narrow column.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::stats::{Moments, quantile};
use crate::group::GroupChoice;
use crate::pool::Group;

/// Colour of what is chosen.
const CHOSEN: &str = "#0072B2";
/// Colour of what is not.
const OTHER: &str = "#767676";
/// Colour of a mark on top of either.
const MARK: &str = "#D55E00";
/// Colour of text.
const TEXT: &str = "#222222";
/// Colour of lines behind the data.
const GRID: &str = "#DDDDDD";

/// Width of a picture.
const WIDTH: f64 = 380.0;
/// Where the data begin, right of the names.
const LEFT: f64 = 114.0;
/// Where they end, left of the figures.
const RIGHT: f64 = 320.0;
/// Height above the first row.
const TOP: f64 = 30.0;
/// Height below the last row, for the axis.
const BOTTOM: f64 = 40.0;

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
    let axis = Axis::around(values);
    let mut svg = Svg::new(rows.len() as f64 * ROW, "Distance to each group, 1 − cosine");
    svg.axis(&axis, "1 − cosine: mean and 95 % interval");
    svg.text(WIDTH - 4.0, TOP - 12.0, "end", TEXT, false, definition);
    for (place, row) in rows.iter().enumerate() {
        let y = TOP + (place as f64 + 0.5) * ROW;
        let chosen = row.name == choice.chosen;
        let colour = if chosen { CHOSEN } else { OTHER };
        svg.name(y, row.name, row.n, chosen);
        if let Some(upper) = row.ci_upper {
            let (from, to) = (axis.place(2.0 * row.mean - upper), axis.place(upper));
            svg.line((from, y), (to, y), colour, if chosen { 4.0 } else { 2.5 });
            svg.line((from, y - 5.0), (from, y + 5.0), colour, 1.5);
            svg.line((to, y - 5.0), (to, y + 5.0), colour, 1.5);
        }
        svg.dot((axis.place(row.mean), y), 4.5, colour, 1.0);
        if row.ci_upper.is_none_or(|upper| (upper - row.distance).abs() > 1e-9) && row.distance != row.mean {
            svg.diamond((axis.place(row.distance), y), 5.0, MARK);
        }
        svg.text(
            WIDTH - 4.0,
            y + 4.0,
            "end",
            if chosen { CHOSEN } else { TEXT },
            chosen,
            &format!("{:.3}", row.distance),
        );
    }
    svg.finish()
}

/// How similar a face is to the members of each group: every member a dot, their density a shape around them, the
/// median a line with its figure at the right. A face's own candidates are those at the left.
pub fn similarities_svg(groups: &[GroupSimilarities], chosen: Option<Group>) -> String {
    const ROW: f64 = 52.0;
    let values = |group: &GroupSimilarities| -> Vec<f64> {
        let mut values: Vec<f64> = group.cosines.iter().map(|c| f64::from(*c)).filter(|c| c.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let axis = Axis::around(groups.iter().flat_map(values));
    let mut svg = Svg::new(groups.len() as f64 * ROW, "Similarity to the members of each group");
    svg.axis(&axis, "cosine");
    svg.text(WIDTH - 4.0, TOP - 12.0, "end", TEXT, false, "median");
    for (place, group) in groups.iter().enumerate() {
        let y = TOP + (place as f64 + 0.5) * ROW;
        let values = values(group);
        let is_chosen = chosen == Some(group.name);
        let colour = if is_chosen { CHOSEN } else { OTHER };
        svg.name(y, group.name, values.len(), is_chosen);
        let density = Density::of(&values);
        if let Some(density) = &density {
            svg.violin(&axis, y, ROW * 0.42, density, colour);
        }
        for (nth, value) in thinned(&values).iter().enumerate() {
            let room = density.as_ref().map_or(0.5, |density| density.at(*value)) * ROW * 0.36;
            svg.dot((axis.place(*value), y + scatter(nth) * room), 1.8, colour, 0.7);
        }
        if let Some(median) = quantile(&values, 0.5) {
            let x = axis.place(median);
            svg.line((x, y - ROW * 0.36), (x, y + ROW * 0.36), MARK, 2.0);
            let figure_colour = if is_chosen { CHOSEN } else { TEXT };
            svg.text(WIDTH - 4.0, y + 4.0, "end", figure_colour, is_chosen, &signed(median, 3));
        }
    }
    svg.finish()
}

/// At most 200 of the sorted values, evenly spaced in rank, so that a large group stays readable.
fn thinned(sorted: &[f64]) -> Vec<f64> {
    const MOST: usize = 200;
    let step = sorted.len().div_ceil(MOST).max(1);
    sorted.iter().copied().step_by(step).collect()
}

/// Place of the `nth` dot beside its line, in `[-1, 1)`: multiples of the golden ratio spread evenly and without chance.
fn scatter(nth: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (nth as f64 * GOLDEN).fract() * 2.0 - 1.0
}

/// A number with a true minus sign.
fn signed(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}").replace('-', "−")
}

/// A horizontal scale with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    decimals: usize,
}

impl Axis {
    /// A scale that holds all finite `values`, between two ticks.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let span = (high - low).max(0.01);
        // The smallest of 1, 2, 5, 10 times a power of ten that needs at most five steps.
        let power = 10f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| span / step <= 5.0);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        Self { low, high, step, decimals }
    }

    fn place(&self, value: f64) -> f64 {
        LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|nth| self.low + nth as f64 * self.step)
    }
}

/// How close together values lie: a Gaussian kernel of Silverman's width, 1 where they are closest.
struct Density<'a> {
    sorted: &'a [f64],
    first: f64,
    last: f64,
    width: f64,
    fullest: f64,
}

impl<'a> Density<'a> {
    /// Of `sorted` values; `None` unless two of them differ.
    fn of(sorted: &'a [f64]) -> Option<Self> {
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let sd = Moments::of(sorted)?.sd.filter(|sd| *sd > 0.0)?;
        let between_quartiles = quantile(sorted, 0.75)? - quantile(sorted, 0.25)?;
        // 1.34 standard deviations lie between the quartiles of a normal distribution.
        let spread = if between_quartiles > 0.0 { sd.min(between_quartiles / 1.34) } else { sd };
        let width = 0.9 * spread * (sorted.len() as f64).powf(-0.2);
        let mut density = Self { sorted, first, last, width, fullest: 1.0 };
        density.fullest = sorted.iter().map(|value| density.at(*value)).fold(f64::MIN_POSITIVE, f64::max);
        Some(density)
    }

    fn at(&self, place: f64) -> f64 {
        let kernels = self.sorted.iter().map(|value| (-0.5 * ((place - value) / self.width).powi(2)).exp());
        kernels.sum::<f64>() / self.fullest
    }
}

/// An SVG in the making, with rows between [`TOP`] and the axis.
struct Svg {
    text: String,
    rows_end: f64,
}

// Writing to a string cannot fail, so the results of `write!` are dropped below.
impl Svg {
    fn new(rows_height: f64, title: &str) -> Self {
        let (rows_end, height) = (TOP + rows_height, TOP + rows_height + BOTTOM);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n",
            escape(title)
        );
        Self { text, rows_end }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn dot(&mut self, at: (f64, f64), radius: f64, colour: &str, opacity: f64) {
        let _ = writeln!(
            self.text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            at.0, at.1
        );
    }

    fn diamond(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(
            self.text,
            "<path d=\"M{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}Z\" fill=\"{colour}\"/>",
            x - radius,
            y - radius,
            x + radius,
            y + radius
        );
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, colour: &str, bold: bool, words: &str) {
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        let words = escape(words);
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\"{weight}>{words}</text>"
        );
    }

    /// Name and size of a group at the left of its row.
    fn name(&mut self, y: f64, group: Group, n: usize, chosen: bool) {
        let name = group.as_str().replace('-', " ");
        let colour = if chosen { CHOSEN } else { TEXT };
        self.text(LEFT - 10.0, y, "end", colour, chosen, &name);
        let _ = writeln!(
            self.text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10\" fill=\"{OTHER}\">n = {n}</text>",
            LEFT - 10.0,
            y + 11.0
        );
    }

    fn axis(&mut self, axis: &Axis, label: &str) {
        for tick in axis.ticks() {
            let x = axis.place(tick);
            self.line((x, TOP), (x, self.rows_end), GRID, 1.0);
            self.text(x, self.rows_end + 14.0, "middle", TEXT, false, &signed(tick, axis.decimals));
        }
        self.text((LEFT + RIGHT) / 2.0, self.rows_end + 32.0, "middle", TEXT, false, label);
    }

    /// A density, mirrored about the row at `y`, `half_height` high at its fullest.
    fn violin(&mut self, axis: &Axis, y: f64, half_height: f64, density: &Density, colour: &str) {
        const STEPS: u32 = 80;
        let point = |step: u32, side: f64| {
            let at = density.first + (density.last - density.first) * f64::from(step) / f64::from(STEPS);
            format!("{:.1} {:.1}", axis.place(at), y + side * half_height * density.at(at))
        };
        let upper = (0..=STEPS).map(|step| point(step, -1.0));
        let lower = (0..=STEPS).rev().map(|step| point(step, 1.0));
        let path: Vec<String> = upper.chain(lower).collect();
        let _ = writeln!(self.text, "<path d=\"M{}Z\" fill=\"{colour}\" fill-opacity=\"0.22\"/>", path.join("L"));
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        for (low, high, want) in
            [(0.853, 0.967, vec![0.85, 0.9, 0.95, 1.0]), (-0.3, 0.4, vec![-0.4, -0.2, 0.0, 0.2, 0.4])]
        {
            let ticks: Vec<f64> = Axis::around([low, high].into_iter()).ticks().collect();
            assert_eq!(ticks.len(), want.len(), "{ticks:?}");
            assert!(ticks.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-9), "{ticks:?}");
        }
    }
}
