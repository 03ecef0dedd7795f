//! `perface study import`: another study's answers.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface::table::ColumnNames;
use perface::triplets;
use perface_evidence::study::close::{CloseReport, split_triplets};
use perface_evidence::study::import::{ChoiceWords, read_answers};
use perface_evidence::study::page;

use super::close::{self, Split};
use crate::args::Common;
use crate::output::{self, Outcome};

/// Options of `study import`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface study import theirs.csv --columns reference=C,a=A,b=B,votes_a=nA,votes_b=nB --out study/\n  \
    perface study import answers.csv --columns reference=anchor,choice=answer --choices a=left,b=right --out study/\n\n\
    One row per sample with votes_a and votes_b, or with vote1, vote2, …; or one row per answer with choice."
)]
pub struct Import {
    /// The table.
    table: PathBuf,
    /// Folder of the results.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Foreign column names, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
    /// One row per answer, and what stands in the choice column for a and b, as a=word,b=word.
    #[arg(long, value_name = "WORDS")]
    choices: Option<ChoiceWords>,
    /// Seed of splits and intervals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    split: Split,
}

impl Import {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let mut triplets = match &self.choices {
            Some(words) => read_answers(&self.table, &self.columns, words)?,
            None => triplets::read(&self.table, &self.columns)?,
        };
        let mut not_split = None;
        let kept = triplets.iter().any(|t| t.split.is_some());
        let splits = match self.split.options().filter(|_| !kept) {
            Some(options) => match split_triplets(&mut triplets, &options, self.seed) {
                Ok(report) => Some(report),
                Err(error) => {
                    not_split = Some(format!("The samples were not split: {error}"));
                    None
                }
            },
            None if kept => Some(perface_evidence::splits::check(&triplets, &std::collections::HashSet::new())?),
            None => None,
        };
        let mut report = CloseReport::of_table(&triplets, splits, self.seed);
        report.notes.extend(not_split);
        close::write(&self.out, &triplets, &report)?;
        output::print(common.json, &report, |report| {
            format!("{}\nwritten: {}", page::to_text(report), self.out.join("triplets.csv").display())
        })?;
        Ok(Outcome::Done)
    }
}
