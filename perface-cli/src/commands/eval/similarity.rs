//! `perface eval similarity`: cosines against people's ratings of pairs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::draw::Seed;
use perface_evidence::eval::similarity::{DERIVED_NOTE, SimilarityEvaluation, evaluate, read_ratings};
use perface_evidence::pages::similarity_page;

use super::pictures::{Embedded, ListArgs};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `eval similarity`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval similarity ratings.csv --images pictures/ --model sface --out out/")]
pub struct Similarity {
    /// List with the columns a, b, rating (higher for more similar) and perhaps n.
    list: PathBuf,
    #[command(flatten)]
    pictures: ListArgs,
    /// Embedder to measure; give it again to compare several.
    #[arg(long = "model", default_value = DEFAULT_MODEL, value_name = "NAME")]
    models: Vec<String>,
    /// The ratings were computed from others and nobody was asked: say so on everything.
    #[arg(long)]
    derived: bool,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write report.html, result.json, the pairs as CSV and every plot as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Similarity {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let ratings = read_ratings(&self.list, &self.pictures.columns)?;
        let folder = self.pictures.folder(&self.list);
        let mut results = Vec::new();
        for name in &self.models {
            let names = ratings.iter().flat_map(|pair| [pair.a.as_str(), pair.b.as_str()]);
            let embedded = Embedded::read(names, &folder, name, &session, common)?;
            embedded.report_failures();
            let cosines: Vec<Option<f32>> = ratings.iter().map(|pair| embedded.cosine(&pair.a, &pair.b)).collect();
            let result = evaluate(name, &ratings, &cosines, Seed::new(self.seed.into()));
            results.push(SimilarityEvaluation { derived: self.derived, ..result });
        }
        if let Some(out) = &self.out {
            let mut tables = Vec::new();
            for result in &results {
                tables.push((format!("pairs-{}.csv", result.model), result.to_csv()?));
            }
            let tables: Vec<(&str, Vec<u8>)> = tables.iter().map(|(name, csv)| (name.as_str(), csv.clone())).collect();
            super::write(&similarity_page(&results), out, &results, &tables, common)?;
        }
        output::print(common.json, &results, |results| {
            let note = self.derived.then(|| DERIVED_NOTE.to_owned());
            note.into_iter().chain(results.iter().map(SimilarityEvaluation::to_text)).collect::<Vec<_>>().join("\n")
        })?;
        Ok(if results.iter().any(|r| r.skipped > 0) { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
