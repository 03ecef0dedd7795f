//! `perface eval pairs`: same person or not.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use perface::eval::pairs::{ScoredPair, verify};
use perface::table::{ColumnNames, Table};

use super::embed_files;
use crate::args::Common;
use crate::output::{self, Outcome};
use crate::session::{DEFAULT_MODEL, Session};

/// Options of `eval pairs`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval pairs pairs.csv --images lfw/ --model sface")]
pub struct Pairs {
    /// List with the columns a, b and same (0 or 1).
    list: PathBuf,
    /// Folder the paths are relative to [default: the list's].
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Foreign column names, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
    /// Embedder to measure.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
}

impl Pairs {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let session = Session::open(common)?;
        let reader = session.reader(&self.model)?;
        let table = Table::read(&self.list, &self.columns, &["a", "b", "same"])?;
        let folder = self.images.clone().unwrap_or_else(|| self.list.parent().unwrap_or(Path::new("")).to_owned());
        let mut names: Vec<String> =
            table.rows().flat_map(|row| [row.get("a").to_owned(), row.get("b").to_owned()]).collect();
        names.sort();
        names.dedup();
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let embeddings = embed_files(&paths, &reader, common);
        let of = |name: &str| embeddings.get(names.binary_search_by(|n| n.as_str().cmp(name)).ok()?)?.as_ref().ok();
        let mut pairs = Vec::new();
        let mut skipped = 0;
        for row in table.rows() {
            let same: u8 = row.parse("same")?;
            match (of(row.get("a")), of(row.get("b"))) {
                (Some(a), Some(b)) => pairs.push(ScoredPair { cosine: a.cosine(b), same: same == 1 }),
                _ => skipped += 1,
            }
        }
        for error in embeddings.iter().filter_map(|e| e.as_ref().err()) {
            eprintln!("perface: {error}");
        }
        let threshold = reader.embedder.card().same_person.as_ref().map(|t| t.cosine);
        output::print(common.json, &verify(&pairs, threshold), |v| v.to_text())?;
        Ok(if skipped > 0 { Outcome::SomeUnreadable } else { Outcome::Done })
    }
}
