//! A picture as a list of marks, written as SVG or drawn as pixels.
//!
//! Coordinates are units of the SVG, 1/96 inch, x right and y down. Colours are of the set of Okabe and Ito (Color
//! Universal Design, 2008), told apart by people with any colour vision.

use std::fmt::Write as _;

/// The colours of series, in the order in which they are given out: blue, vermilion, green, orange, purple, sky.
pub const SERIES: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"];
/// Text.
pub const TEXT: &str = "#222222";
/// Lines behind the data.
pub const GRID: &str = "#DDDDDD";
/// What matters less than the data.
pub const FAINT: &str = "#767676";
/// Size of text where nothing else is said, in units.
pub const FONT_SIZE: f64 = 12.0;

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    /// Colour, as `#RRGGBB`.
    pub colour: &'static str,
    /// Whether it is bold.
    pub bold: bool,
    /// Size in units.
    pub size: f64,
    /// Whether it runs upwards.
    pub upwards: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self { colour: TEXT, bold: false, size: FONT_SIZE, upwards: false }
    }
}

/// Something drawn.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A stroke through points.
    Stroke {
        /// The points.
        points: Vec<(f64, f64)>,
        /// Colour, as `#RRGGBB`.
        colour: &'static str,
        /// Width in units.
        width: f64,
        /// Whether it is dashed.
        dashed: bool,
    },
    /// A filled outline.
    Area {
        /// Its corners.
        points: Vec<(f64, f64)>,
        /// Colour, as `#RRGGBB`.
        colour: &'static str,
        /// From 0, invisible, to 1.
        opacity: f64,
    },
    /// A filled circle.
    Dot {
        /// Its centre.
        at: (f64, f64),
        /// Its radius.
        radius: f64,
        /// Colour, as `#RRGGBB`.
        colour: &'static str,
        /// From 0, invisible, to 1.
        opacity: f64,
    },
    /// One line of text.
    Text {
        /// Where its anchor stands, on the line the letters stand on.
        at: (f64, f64),
        /// Which end of it that is.
        anchor: Anchor,
        /// Its looks.
        style: TextStyle,
        /// The words.
        words: String,
    },
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Width in units.
    pub width: f64,
    /// Height in units.
    pub height: f64,
    /// What it shows, for those who cannot see it.
    pub title: String,
    /// What is drawn, the first at the back.
    pub marks: Vec<Mark>,
}

impl Figure {
    /// A white picture.
    pub fn new(width: f64, height: f64, title: impl Into<String>) -> Self {
        Self { width, height, title: title.into(), marks: Vec::new() }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &'static str, width: f64) {
        self.stroke(vec![from, to], colour, width);
    }

    /// A dashed straight line.
    pub fn dashed(&mut self, from: (f64, f64), to: (f64, f64), colour: &'static str, width: f64) {
        self.marks.push(Mark::Stroke { points: vec![from, to], colour, width, dashed: true });
    }

    /// A line through `points`.
    pub fn stroke(&mut self, points: Vec<(f64, f64)>, colour: &'static str, width: f64) {
        self.marks.push(Mark::Stroke { points, colour, width, dashed: false });
    }

    /// A filled outline.
    pub fn area(&mut self, points: Vec<(f64, f64)>, colour: &'static str, opacity: f64) {
        self.marks.push(Mark::Area { points, colour, opacity });
    }

    /// A filled box from one corner to the other.
    pub fn bar(&mut self, (left, top): (f64, f64), (right, bottom): (f64, f64), colour: &'static str, opacity: f64) {
        self.area(vec![(left, top), (right, top), (right, bottom), (left, bottom)], colour, opacity);
    }

    /// A filled circle.
    pub fn dot(&mut self, at: (f64, f64), radius: f64, colour: &'static str, opacity: f64) {
        self.marks.push(Mark::Dot { at, radius, colour, opacity });
    }

    /// A square on its corner.
    pub fn diamond(&mut self, (x, y): (f64, f64), radius: f64, colour: &'static str) {
        self.area(vec![(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)], colour, 1.0);
    }

    /// A cross.
    pub fn cross(&mut self, (x, y): (f64, f64), radius: f64, colour: &'static str, width: f64) {
        self.line((x - radius, y - radius), (x + radius, y + radius), colour, width);
        self.line((x - radius, y + radius), (x + radius, y - radius), colour, width);
    }

    /// One line of text.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, style: TextStyle, words: impl Into<String>) {
        self.marks.push(Mark::Text { at, anchor, style, words: words.into() });
    }

    /// The picture as SVG that stands alone or inside a page.
    pub fn to_svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             role=\"img\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"{FONT_SIZE}\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n",
            escape(&self.title),
            w = self.width,
            h = self.height,
        );
        for mark in &self.marks {
            write_mark(&mut svg, mark);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

// Writing to a string cannot fail, so the results of `write!` are dropped.
fn write_mark(svg: &mut String, mark: &Mark) {
    match mark {
        Mark::Stroke { points, colour, width, dashed } => {
            let dash = if *dashed { " stroke-dasharray=\"4 3\"" } else { "" };
            let _ = writeln!(
                svg,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}/>",
                joined(points)
            );
        }
        Mark::Area { points, colour, opacity } => {
            let opacity = if *opacity < 1.0 { format!(" fill-opacity=\"{opacity}\"") } else { String::new() };
            let _ = writeln!(svg, "<path d=\"M{}Z\" fill=\"{colour}\"{opacity}/>", joined(points));
        }
        Mark::Dot { at, radius, colour, opacity } => {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
                at.0, at.1
            );
        }
        Mark::Text { at: (x, y), anchor, style, words } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
            let size = if style.size == FONT_SIZE { String::new() } else { format!(" font-size=\"{}\"", style.size) };
            let turned =
                if style.upwards { format!(" transform=\"rotate(-90 {x:.1} {y:.1})\"") } else { String::new() };
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{}\"{weight}{size}{turned}>{}</text>",
                style.colour,
                escape(words)
            );
        }
    }
}

fn joined(points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    points.join("L")
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    let visible: String = text.chars().filter(|letter| !letter.is_control()).collect();
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with a true minus sign.
pub fn signed(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_outside_are_escaped() {
        let mut figure = Figure::new(10.0, 10.0, "a & b");
        figure.text((0.0, 0.0), Anchor::End, TextStyle { upwards: true, ..Default::default() }, "<\"x\u{0}\">");
        let svg = figure.to_svg();
        assert!(
            svg.contains("<title>a &amp; b</title>") && svg.contains("&lt;&quot;x&quot;&gt;") && svg.contains("rotate")
        );
    }

    #[test]
    fn every_mark_is_one_element() {
        let mut figure = Figure::new(10.0, 10.0, "");
        figure.line((0.0, 0.0), (1.0, 1.0), GRID, 1.0);
        figure.dashed((0.0, 0.0), (1.0, 1.0), GRID, 1.0);
        figure.dot((1.0, 1.0), 1.0, TEXT, 1.0);
        figure.bar((0.0, 0.0), (1.0, 1.0), TEXT, 0.5);
        let svg = figure.to_svg();
        assert_eq!((svg.matches("<path").count(), svg.matches("<circle").count()), (3, 1));
        assert!(svg.contains("stroke-dasharray") && svg.contains("fill-opacity=\"0.5\""));
    }
}
