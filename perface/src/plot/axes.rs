//! Scales with round ticks, and the frame of a plot with two of them.

use super::figure::{Anchor, FAINT, Figure, GRID, TextStyle, signed};

/// A straight scale from numbers to places.
#[derive(Clone, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    step: f64,
    decimals: usize,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale from `from` to `to` units that holds all finite `values`, between two ticks, of which there are at most
    /// `steps` + 1.
    pub fn around(values: impl IntoIterator<Item = f64>, steps: f64, from: f64, to: f64) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let span = (high - low).max(0.01);
        // The smallest of 1, 2, 5, 10 times a power of ten that needs few enough steps.
        let power = 10f64.powf((span / steps).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| span / step <= steps);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        // A value on a tick needs no further one for its rounding.
        let low = (low / step + 1e-9).floor() * step;
        let high = ((high / step - 1e-9).ceil() * step).max(low + step);
        Self { low, high, step, decimals, from, to }
    }

    /// The place of a value.
    pub fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The lowest and the highest value it holds.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The ticks' values.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|nth| self.low + nth as f64 * self.step)
    }

    /// A tick as text.
    pub fn label(&self, tick: f64) -> String {
        let shown = signed(tick, self.decimals);
        // Rounding leaves a minus before nothing.
        if shown.trim_start_matches('−').chars().all(|c| c == '0' || c == '.') {
            shown.trim_start_matches('−').to_owned()
        } else {
            shown
        }
    }
}

/// The room of a plot with two axes.
#[derive(Clone, Debug)]
pub struct Plane {
    /// To the right.
    pub x: Scale,
    /// Upwards.
    pub y: Scale,
}

/// Room left of the data for the ticks and the name of the y axis, in units.
pub const LEFT: f64 = 56.0;
/// Room below the data for the ticks and the name of the x axis.
pub const BOTTOM: f64 = 44.0;

impl Plane {
    /// The place of a point.
    pub fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.place(x), self.y.place(y))
    }

    /// Draw grid, ticks and names.
    pub fn draw(&self, figure: &mut Figure, x_name: &str, y_name: &str) {
        let ((left, right), (bottom, top)) = ((self.x.from, self.x.to), (self.y.from, self.y.to));
        for tick in self.x.ticks() {
            let x = self.x.place(tick);
            figure.line((x, top), (x, bottom), GRID, 1.0);
            figure.text((x, bottom + 15.0), Anchor::Middle, TextStyle::default(), self.x.label(tick));
        }
        for tick in self.y.ticks() {
            let y = self.y.place(tick);
            figure.line((left, y), (right, y), GRID, 1.0);
            figure.text((left - 6.0, y + 4.0), Anchor::End, TextStyle::default(), self.y.label(tick));
        }
        figure.line((left, bottom), (right, bottom), FAINT, 1.0);
        figure.line((left, top), (left, bottom), FAINT, 1.0);
        figure.text(((left + right) / 2.0, bottom + 33.0), Anchor::Middle, TextStyle::default(), x_name);
        let upwards = TextStyle { upwards: true, ..TextStyle::default() };
        figure.text((left - 42.0, (top + bottom) / 2.0), Anchor::Middle, upwards, y_name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        for (low, high, want) in [
            (0.853, 0.967, vec![0.85, 0.9, 0.95, 1.0]),
            (-0.3, 0.4, vec![-0.4, -0.2, 0.0, 0.2, 0.4]),
            (0.0, 1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ] {
            let scale = Scale::around([low, high], 5.0, 0.0, 1.0);
            let ticks: Vec<f64> = scale.ticks().collect();
            assert_eq!(ticks.len(), want.len(), "{ticks:?}");
            assert!(ticks.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-9), "{ticks:?}");
        }
    }

    #[test]
    fn nothing_has_no_sign() {
        let scale = Scale::around([-0.4, 0.4], 4.0, 0.0, 1.0);
        let labels: Vec<String> = scale.ticks().map(|tick| scale.label(tick)).collect();
        assert_eq!(labels, ["−0.4", "−0.2", "0.0", "0.2", "0.4"]);
        assert_eq!(scale.label(-1e-12), "0.0");
    }
}
