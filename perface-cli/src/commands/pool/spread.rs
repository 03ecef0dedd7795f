//! `perface pool spread`: how much do the faces of a pool differ?

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::atomic::{self, Overwrite};
use perface::plot::similarities_svg;
use perface_evidence::eval::pool_spread::{rows, spread};
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `pool spread`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface pool spread --svg spread.svg")]
pub struct Spread {
    /// Folder of the pool [default: the built-in composites].
    folder: Option<PathBuf>,
    /// Embedder to measure with.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    /// Write the cosines of all pairs as a picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Serialize)]
struct Measured {
    similarity: String,
    groups: Vec<perface_evidence::eval::pool_spread::Spread>,
}

impl Spread {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let similarity = reader.embedder.card().similarity.clone();
        let candidates = session.candidates(self.folder.as_deref(), reader)?;
        let groups = spread(candidates.gallery());
        if let Some(path) = &self.svg {
            atomic::write(path, similarities_svg(&rows(&groups), None).as_bytes(), Overwrite::Always)?;
        }
        output::print(common.json, &Measured { similarity, groups }, |measured| {
            let mut text = format!("{} of two members of a group:\n", measured.similarity);
            for group in &measured.groups {
                let figure = |v: Option<f32>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
                let (mean, highest) = (figure(group.mean), figure(group.highest));
                let name = group.group.to_string();
                let _ = writeln!(text, "  {name:<13} {:>3} members, mean {mean}, highest {highest}", group.n);
            }
            text
        })?;
        Ok(Outcome::Done)
    }
}
