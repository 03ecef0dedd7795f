//! Plots in rows: a name at the left, something on a shared scale, a figure at the right.

use super::axes::Scale;
use super::figure::{Anchor, FAINT, Figure, GRID, TEXT, TextStyle, signed};
use crate::summary::{Moments, quantile};

/// Width of a picture: a narrow column, so that text of 12 units is read without a lens.
const WIDTH: f64 = 380.0;
/// Where the data begin, right of the names.
const LEFT: f64 = 126.0;
/// Where they end, left of the figures.
const RIGHT: f64 = 326.0;
/// Height above the first row.
const TOP: f64 = 30.0;
/// Height below the last row, for the axis.
const BOTTOM: f64 = 40.0;
/// Height of a row with a violin.
pub const VIOLIN_ROW: f64 = 52.0;
/// Room for a key above the rows.
const KEY_LINE: f64 = 18.0;
/// At most so many of a row's values are drawn as dots.
const MOST_DOTS: usize = 200;
/// Letters that fit left of the data.
const NAME_LETTERS: usize = 17;

/// A plot in the making.
#[derive(Clone, Debug)]
pub struct Rows {
    figure: Figure,
    scale: Scale,
    row: f64,
    top: f64,
    end: f64,
}

impl Rows {
    /// Room for `count` rows of height `row`, with a scale that holds `values`.
    pub fn new(count: usize, row: f64, values: impl IntoIterator<Item = f64>, title: &str) -> Self {
        Self::with_key(count, row, values, title, &[])
    }

    /// As [`Rows::new`], with a key of colours above the rows.
    pub fn with_key(
        count: usize,
        row: f64,
        values: impl IntoIterator<Item = f64>,
        title: &str,
        key: &[(&'static str, &str)],
    ) -> Self {
        let top = TOP + key.len() as f64 * KEY_LINE;
        let end = top + count as f64 * row;
        let mut figure = Figure::new(WIDTH, end + BOTTOM, title);
        for (nth, (colour, words)) in key.iter().enumerate() {
            let y = 8.0 + nth as f64 * KEY_LINE;
            figure.bar((8.0, y), (20.0, y + 10.0), colour, 0.7);
            figure.text((26.0, y + 9.5), Anchor::Start, TextStyle::default(), *words);
        }
        Self { figure, scale: Scale::around(values, 5.0, LEFT, RIGHT), row, top, end }
    }

    fn y(&self, place: usize) -> f64 {
        self.top + (place as f64 + 0.5) * self.row
    }

    /// Draw the scale: `name` below, `figures` above the figures at the right.
    pub fn axis(&mut self, name: &str, figures: &str) {
        let ticks: Vec<f64> = self.scale.ticks().collect();
        for tick in ticks {
            let x = self.scale.place(tick);
            self.figure.line((x, self.top), (x, self.end), GRID, 1.0);
            self.figure.text((x, self.end + 14.0), Anchor::Middle, TextStyle::default(), self.scale.label(tick));
        }
        self.figure.text(((LEFT + RIGHT) / 2.0, self.end + 32.0), Anchor::Middle, TextStyle::default(), name);
        self.figure.text((WIDTH - 4.0, self.top - 15.0), Anchor::End, TextStyle::default(), figures);
    }

    /// Name a row; `note` stands small below.
    pub fn name(&mut self, place: usize, name: &str, note: &str, strong: bool) {
        let y = self.y(place);
        let letters = name.chars().count();
        let name = if letters > NAME_LETTERS {
            name.chars().take(NAME_LETTERS - 1).chain(['…']).collect()
        } else {
            name.to_owned()
        };
        let colour = if strong { super::CHOSEN } else { TEXT };
        let y_name = if note.is_empty() { y + 4.0 } else { y };
        let style = TextStyle { colour, bold: strong, ..TextStyle::default() };
        self.figure.text((LEFT - 10.0, y_name), Anchor::End, style, name);
        let small = TextStyle { colour: FAINT, size: 10.0, ..TextStyle::default() };
        if !note.is_empty() {
            self.figure.text((LEFT - 10.0, y + 11.0), Anchor::End, small, note);
        }
    }

    /// A dot at a value.
    pub fn dot(&mut self, place: usize, value: f64, radius: f64, colour: &'static str) {
        self.figure.dot((self.scale.place(value), self.y(place)), radius, colour, 1.0);
    }

    /// A square on its corner at a value.
    pub fn diamond(&mut self, place: usize, value: f64, colour: &'static str) {
        self.figure.diamond((self.scale.place(value), self.y(place)), 5.0, colour);
    }

    /// An interval with caps.
    pub fn interval(&mut self, place: usize, low: f64, high: f64, colour: &'static str, width: f64) {
        let (y, from, to) = (self.y(place), self.scale.place(low), self.scale.place(high));
        self.figure.line((from, y), (to, y), colour, width);
        self.figure.line((from, y - 5.0), (from, y + 5.0), colour, 1.5);
        self.figure.line((to, y - 5.0), (to, y + 5.0), colour, 1.5);
    }

    /// A bar from nothing, or from the left end of the scale, to a value.
    pub fn bar(&mut self, place: usize, value: f64, colour: &'static str) {
        let (y, half) = (self.y(place), self.row * 0.32);
        let from = self.scale.place(self.scale.ends().0.max(0.0));
        self.figure.bar((from, y - half), (self.scale.place(value), y + half), colour, 0.85);
    }

    /// A dashed line through all rows, with a word above it.
    pub fn reference(&mut self, value: f64, word: &str, colour: &'static str) {
        let x = self.scale.place(value);
        self.figure.dashed((x, self.top), (x, self.end), colour, 1.5);
        let style = TextStyle { colour, size: 10.0, ..TextStyle::default() };
        self.figure.text((x, self.top - 4.0), Anchor::Middle, style, word);
    }

    /// What stands at the right of a row.
    pub fn figure_at_right(&mut self, place: usize, words: &str, strong: bool) {
        let colour = if strong { super::CHOSEN } else { TEXT };
        let at = (WIDTH - 4.0, self.y(place) + 4.0);
        self.figure.text(at, Anchor::End, TextStyle { colour, bold: strong, ..TextStyle::default() }, words);
    }

    /// The values of a row from lowest to highest: each a dot, their density a shape, the median a line in the colour
    /// `mark` with its figure at the right.
    pub fn violin(&mut self, place: usize, values: &[f64], colour: &'static str, mark: &'static str, strong: bool) {
        let y = self.y(place);
        let density = Density::of(values);
        if let Some(density) = &density {
            self.shape(y, density, colour, &[-1.0, 1.0], 0.42);
        }
        for (nth, value) in thinned(values).iter().enumerate() {
            let room = density.as_ref().map_or(0.5, |density| density.at(*value)) * self.row * 0.36;
            self.figure.dot((self.scale.place(*value), y + scatter(nth) * room), 1.8, colour, 0.7);
        }
        if let Some(median) = quantile(values, 0.5) {
            let (x, half) = (self.scale.place(median), self.row * 0.36);
            self.figure.line((x, y - half), (x, y + half), mark, 2.0);
            self.figure_at_right(place, &signed(median, 3), strong);
        }
    }

    /// Two densities back to back, `upper` above and `lower` below the row's line, each with its median. The figure at
    /// the right is the difference of the medians.
    pub fn split_violin(&mut self, place: usize, upper: &[f64], lower: &[f64], colours: [&'static str; 2]) {
        let y = self.y(place);
        for ((values, colour), side) in [upper, lower].into_iter().zip(colours).zip([-1.0, 1.0]) {
            if let Some(density) = Density::of(values) {
                self.shape(y, &density, colour, &[side], 0.44);
            }
            if let Some(median) = quantile(values, 0.5) {
                let x = self.scale.place(median);
                self.figure.line((x, y), (x, y + side * self.row * 0.44), colour, 2.0);
            }
        }
        self.figure.line((LEFT, y), (RIGHT, y), FAINT, 0.7);
        if let (Some(a), Some(b)) = (quantile(upper, 0.5), quantile(lower, 0.5)) {
            let sign = if a >= b { "+" } else { "" };
            self.figure_at_right(place, &format!("{sign}{}", signed(a - b, 3)), false);
        }
    }

    /// A density on the given sides of the line at `y`, `share` of the row high at its fullest.
    fn shape(&mut self, y: f64, density: &Density, colour: &'static str, sides: &[f64], share: f64) {
        const STEPS: u32 = 80;
        let point = |step: u32, side: f64| {
            let at = density.first + (density.last - density.first) * f64::from(step) / f64::from(STEPS);
            (self.scale.place(at), y + side * share * self.row * density.at(at))
        };
        let mut points: Vec<(f64, f64)> = Vec::new();
        let other = if sides.len() > 1 { sides.get(1).copied().unwrap_or(0.0) } else { 0.0 };
        points.extend((0..=STEPS).map(|step| point(step, sides.first().copied().unwrap_or(0.0))));
        points.extend((0..=STEPS).rev().map(|step| point(step, other)));
        self.figure.area(points, colour, if sides.len() > 1 { 0.22 } else { 0.55 });
    }

    /// The picture.
    pub fn finish(self) -> Figure {
        self.figure
    }
}

/// At most [`MOST_DOTS`] of the sorted values, evenly spaced in rank, so that a large group stays readable.
fn thinned(sorted: &[f64]) -> Vec<f64> {
    let step = sorted.len().div_ceil(MOST_DOTS).max(1);
    sorted.iter().copied().step_by(step).collect()
}

/// Place of the `nth` dot beside its line, in `[-1, 1)`: multiples of the golden ratio spread evenly and without chance.
fn scatter(nth: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (nth as f64 * GOLDEN).fract() * 2.0 - 1.0
}

/// How close together values lie: a Gaussian kernel of Silverman's width, 1 where they are closest.
struct Density {
    sorted: Vec<f64>,
    first: f64,
    last: f64,
    width: f64,
    fullest: f64,
}

/// A density is estimated from at most so many values, evenly spaced in rank.
const MOST_KERNELS: usize = 1000;

impl Density {
    /// Of `sorted` values; `None` unless two of them differ.
    fn of(sorted: &[f64]) -> Option<Self> {
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let sd = Moments::of(sorted)?.sd.filter(|sd| *sd > 0.0)?;
        let between_quartiles = quantile(sorted, 0.75)? - quantile(sorted, 0.25)?;
        // 1.34 standard deviations lie between the quartiles of a normal distribution.
        let spread = if between_quartiles > 0.0 { sd.min(between_quartiles / 1.34) } else { sd };
        let width = 0.9 * spread * (sorted.len() as f64).powf(-0.2);
        let step = sorted.len().div_ceil(MOST_KERNELS).max(1);
        let kept: Vec<f64> = sorted.iter().copied().step_by(step).collect();
        let mut density = Self { sorted: kept, first, last, width, fullest: 1.0 };
        density.fullest = density.sorted.iter().map(|value| density.at(*value)).fold(f64::MIN_POSITIVE, f64::max);
        Some(density)
    }

    fn at(&self, place: f64) -> f64 {
        let kernels = self.sorted.iter().map(|value| (-0.5 * ((place - value) / self.width).powi(2)).exp());
        kernels.sum::<f64>() / self.fullest
    }
}
