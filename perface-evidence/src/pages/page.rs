//! The page of an evaluation: text, tables, plots and pictures, in one file that fetches nothing.
//!
//! Beside the page stand the same figures as SVG and PNG, and the numbers as JSON and CSV.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use serde::Serialize;

use perface::atomic::{self, Overwrite};
use perface::error::{Error, Result};
use perface::photo::{self, Format, Photo};
use perface::plot::figure::Figure;
use perface::report::html::document;
use perface::report::html::markup::Markup;

/// Pixels for each unit of a figure's PNG: 190 dots to the inch at the size the SVG has.
const PNG_SCALE: f64 = 2.0;
/// JPEG quality of pictures inside the page.
const QUALITY: u8 = 88;

/// A part of the page.
#[derive(Clone, Debug)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph for each line.
    Text(String),
    /// Rows under column names; the first column is text, the others are figures.
    Table {
        /// Names of the columns.
        head: Vec<String>,
        /// As many cells in each.
        rows: Vec<Vec<String>>,
        /// What it shows.
        caption: String,
    },
    /// Plots side by side.
    Figures(Vec<NamedFigure>),
    /// A picture.
    Picture {
        /// Name of its PNG, without the ending.
        name: String,
        /// The picture.
        pixels: RgbImage,
        /// What it shows.
        caption: String,
    },
}

/// A plot and what it is called.
#[derive(Clone, Debug)]
pub struct NamedFigure {
    /// Name of its files, without the ending.
    pub name: String,
    /// The plot.
    pub figure: Figure,
    /// What it shows.
    pub caption: String,
}

/// A page in the making.
#[derive(Clone, Debug)]
pub struct EvaluationPage {
    /// What was measured.
    pub title: String,
    /// What must stand wherever its numbers do, such as that they are derived; it heads the page and every caption.
    pub stamp: Option<String>,
    /// The parts in order.
    pub blocks: Vec<Block>,
}

impl EvaluationPage {
    /// A page with a title and nothing else.
    pub fn new(title: impl Into<String>, stamp: Option<String>) -> Self {
        Self { title: title.into(), stamp, blocks: Vec::new() }
    }

    /// Add a heading.
    pub fn heading(&mut self, words: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Heading(words.into()));
        self
    }

    /// Add a paragraph.
    pub fn text(&mut self, words: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Text(words.into()));
        self
    }

    /// Add a table.
    pub fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>, caption: impl Into<String>) -> &mut Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        self.blocks.push(Block::Table { head, rows, caption: caption.into() });
        self
    }

    /// Add plots side by side: name, plot, caption.
    pub fn figures(&mut self, figures: impl IntoIterator<Item = (String, Figure, String)>) -> &mut Self {
        let named = figures.into_iter().map(|(name, figure, caption)| NamedFigure { name, figure, caption });
        self.blocks.push(Block::Figures(named.collect()));
        self
    }

    /// Add a picture.
    pub fn picture(&mut self, name: &str, pixels: RgbImage, caption: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Picture { name: name.to_owned(), pixels, caption: caption.into() });
        self
    }

    /// The page as HTML.
    ///
    /// # Errors
    /// [`Error::Usage`] if a picture is too large to be put into a page.
    pub fn html(&self) -> Result<String> {
        let mut page = Markup::default();
        if let Some(stamp) = &self.stamp {
            page.raw("<div class=\"banner\" role=\"note\"><p><strong>").text(stamp).raw("</strong></p></div>\n");
        }
        page.raw("<h1>").text(&self.title).raw("</h1>\n");
        for block in &self.blocks {
            self.block(&mut page, block)?;
        }
        page.raw("<footer><p>").text(&format!("PerFace {}", env!("CARGO_PKG_VERSION"))).raw("</p></footer>\n");
        Ok(document(&self.title, page))
    }

    fn block(&self, page: &mut Markup, block: &Block) -> Result<()> {
        match block {
            Block::Heading(words) => {
                page.raw("<h2>").text(words).raw("</h2>\n");
            }
            Block::Text(words) => {
                for line in words.lines() {
                    page.raw("<p>").text(line).raw("</p>\n");
                }
            }
            Block::Table { head, rows, caption } => {
                self.caption(page, "<p class=\"note\">", caption, "</p>\n");
                page.raw("<table><thead><tr>");
                for (nth, name) in head.iter().enumerate() {
                    page.raw(if nth == 0 { "<th>" } else { "<th class=\"figure\">" }).text(name).raw("</th>");
                }
                page.raw("</tr></thead><tbody>\n");
                for row in rows {
                    page.raw("<tr>");
                    for (nth, cell) in row.iter().enumerate() {
                        let label = head.get(nth).map_or("", String::as_str);
                        page.raw("<td").attribute("data-label", label);
                        page.raw(if nth == 0 { ">" } else { " class=\"figure\">" }).name(cell).raw("</td>");
                    }
                    page.raw("</tr>\n");
                }
                page.raw("</tbody></table>\n");
            }
            Block::Figures(figures) => {
                page.raw("<div class=\"details\">\n");
                for NamedFigure { figure, caption, .. } in figures {
                    page.raw("<figure>").plot(&figure.to_svg());
                    self.caption(page, "<figcaption>", caption, "</figcaption></figure>\n");
                }
                page.raw("</div>\n");
            }
            Block::Picture { pixels, caption, .. } => {
                page.raw("<figure><img").attribute("src", &data_uri(pixels)?).attribute("alt", caption);
                page.number("width", f64::from(pixels.width())).raw(">");
                self.caption(page, "<figcaption>", caption, "</figcaption></figure>\n");
            }
        }
        Ok(())
    }

    fn caption(&self, page: &mut Markup, open: &'static str, words: &str, close: &'static str) {
        page.raw(open);
        if let Some(stamp) = &self.stamp {
            // The first words, up to the colon, are enough beside each number.
            page.raw("<strong>").text(stamp.split(':').next().unwrap_or(stamp)).raw("</strong> ");
        }
        page.text(words).raw(close);
    }

    /// Write the page, its figures and pictures, and the numbers to `folder`, which is made where it is missing:
    /// `report.html`, `result.json`, every figure as `.svg` and `.png`, every picture as `.png`, every table of `csv` by
    /// its name. What is there by these names is overwritten.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, result: &impl Serialize, csv: &[(&str, Vec<u8>)]) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut written = Vec::new();
        let mut put = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            written.push(path.clone());
            atomic::write(&path, bytes, Overwrite::Always)
        };
        let json = serde_json::to_vec_pretty(result).map_err(|error| Error::Usage(error.to_string()))?;
        put("report.html".to_owned(), self.html()?.as_bytes())?;
        put("result.json".to_owned(), &json)?;
        for (name, table) in csv {
            put((*name).to_owned(), table)?;
        }
        let png = |pixels: RgbImage| photo::encode(&Photo::new(pixels, Format::Png));
        for block in &self.blocks {
            match block {
                Block::Figures(figures) => {
                    for NamedFigure { name, figure, .. } in figures {
                        put(format!("{name}.svg"), figure.to_svg().as_bytes())?;
                        put(format!("{name}.png"), &png(figure.to_pixels(PNG_SCALE))?)?;
                    }
                }
                Block::Picture { name, pixels, .. } => put(format!("{name}.png"), &png(pixels.clone())?)?,
                _ => {}
            }
        }
        Ok(written)
    }
}

fn data_uri(pixels: &RgbImage) -> Result<String> {
    let jpeg = photo::encode_thumbnail(pixels, QUALITY)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> EvaluationPage {
        let mut page = EvaluationPage::new("Results <1>", Some("DERIVED: nobody was asked".to_owned()));
        page.heading("A & B").text("Words.").table(
            &["model", "share"],
            vec![vec!["m".into(), "0.5".into()]],
            "Shares.",
        );
        let mut figure = Figure::new(40.0, 20.0, "dot");
        figure.dot((9.0, 9.0), 3.0, "#000000", 1.0);
        page.figures([("dot".to_owned(), figure, "A dot.".to_owned())]);
        page.picture("grey", RgbImage::from_pixel(8, 8, image::Rgb([99; 3])), "Grey.");
        page
    }

    #[test]
    fn the_page_fetches_nothing_and_stamps_every_caption() {
        let html = page().html().unwrap();
        assert!(html.contains("Results &lt;1&gt;") && html.contains("A &amp; B"));
        assert_eq!(html.matches("<strong>DERIVED</strong>").count(), 3);
        assert!(html.contains("DERIVED: nobody was asked") && html.contains("data:image/jpeg;base64,"));
        let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!without_namespace.contains("://") && !html.contains("<script"));
    }

    #[test]
    fn every_figure_is_written_as_svg_and_png() {
        let folder = tempfile::tempdir().unwrap();
        let written = page().write(&folder.path().join("new"), &[1, 2], &[("t.csv", b"a\n".to_vec())]).unwrap();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["report.html", "result.json", "t.csv", "dot.svg", "dot.png", "grey.png"]);
        assert!(written.iter().all(|path| path.metadata().unwrap().len() > 0));
    }
}
