//! `perface eval pairs`: same person or not.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::table::Table;
use perface_evidence::eval::pairs::{ScoredPair, Verification, verify};
use perface_evidence::pages::pairs_page;

use super::pictures::{Embedded, ListArgs};
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `eval pairs`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval pairs pairs.csv --images lfw/ --model sface --out out/")]
pub struct Pairs {
    /// List with the columns a, b and same (0 or 1).
    list: PathBuf,
    #[command(flatten)]
    pictures: ListArgs,
    /// Embedder to measure; give it again to compare several.
    #[arg(long = "model", default_value = DEFAULT_MODEL, value_name = "NAME")]
    models: Vec<String>,
    /// Write report.html, result.json, the ROC curves as CSV and every plot as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Pairs {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let table = Table::read(&self.list, &self.pictures.columns, &["a", "b", "same"])?;
        let folder = self.pictures.folder(&self.list);
        let mut labels = Vec::new();
        for row in table.rows() {
            labels.push(match row.get("same") {
                "1" => true,
                "0" => false,
                other => return Err(row.error(format!("same: {other:?} is neither 0 nor 1")).into()),
            });
        }
        let mut results = Vec::new();
        for name in &self.models {
            let names = table.rows().flat_map(|row| [row.get("a"), row.get("b")]);
            let embedded = Embedded::read(names, &folder, name, &session, common)?;
            embedded.report_failures();
            let mut pairs = Vec::new();
            for (row, &same) in table.rows().zip(&labels) {
                pairs.extend(embedded.cosine(row.get("a"), row.get("b")).map(|cosine| ScoredPair { cosine, same }));
            }
            let threshold = embedded.card.same_person.as_ref().map(|t| t.cosine);
            results.push(verify(name, &pairs, threshold, labels.len() - pairs.len()));
        }
        if let Some(out) = &self.out {
            let mut tables = Vec::new();
            for result in &results {
                tables.push((format!("roc-{}.csv", result.model), result.to_csv()?));
            }
            let tables: Vec<(&str, Vec<u8>)> = tables.iter().map(|(name, csv)| (name.as_str(), csv.clone())).collect();
            super::write(&pairs_page(&results), out, &results, &tables, common)?;
        }
        output::print(common.json, &results, |results| {
            results.iter().map(Verification::to_text).collect::<Vec<_>>().join("\n")
        })?;
        Ok(if results.iter().any(|r| r.skipped > 0) { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
