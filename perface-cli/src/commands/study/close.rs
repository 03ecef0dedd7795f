//! `perface study close`: from answers to the table a similarity is trained on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use perface::atomic::{self, Overwrite};
use perface::table::ColumnNames;
use perface::triplets::{self, Triplet};
use perface_evidence::splits::SplitOptions;
use perface_evidence::study::close::{self, CloseOptions, CloseReport, missing_pictures};
use perface_evidence::study::vote::{self, Vote};
use perface_evidence::study::{Rules, Study, page};

use super::web;
use crate::args::Common;
use crate::output::{self, Outcome};

/// Options of `study close`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface study close study/\n  perface study close study/ --votes votes.csv --allowed-misses 1 --out lenient/"
)]
pub struct Close {
    /// The study's folder.
    study: PathBuf,
    /// Answers as a table, instead of those in the study's database.
    #[arg(long, value_name = "CSV")]
    votes: Option<PathBuf>,
    /// Foreign column names of --votes, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    columns: ColumnNames,
    /// Folder of the results [default: the study's].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Dummies a person may miss [default: the study's].
    #[arg(long, value_name = "N")]
    allowed_misses: Option<usize>,
    /// Faster answers do not count, in milliseconds [default: the study's].
    #[arg(long, value_name = "MS")]
    min_ms: Option<u64>,
    /// Valid answers a sample needs to be in the table [default: the study's k].
    #[arg(long, value_name = "N")]
    min_votes: Option<usize>,
    #[command(flatten)]
    split: Split,
}

/// How the table is split.
#[derive(Args)]
pub struct Split {
    /// Leave the split column empty.
    #[arg(long)]
    no_split: bool,
    /// Share of targets and of source triplets kept for the test.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    test: f64,
    /// Share of the training cells kept to stop by.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    val: f64,
}

impl Split {
    /// As the library takes it.
    pub fn options(&self) -> Option<SplitOptions> {
        (!self.no_split).then(|| SplitOptions { test: self.test, val: self.val, ..Default::default() })
    }
}

impl Close {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let study = Study::read(&self.study)?;
        let votes = self.read_votes()?;
        let defaults = CloseOptions::of(&study);
        let rules = Rules {
            allowed_misses: self.allowed_misses.unwrap_or(study.rules.allowed_misses),
            min_ms: self.min_ms.unwrap_or(study.rules.min_ms),
            ..study.rules
        };
        let min_votes = self.min_votes.unwrap_or(defaults.min_votes);
        let options = CloseOptions { rules, min_votes, split: self.split.options(), ..defaults };
        let mut closed = close::close(&study, votes, &options)?;
        let out = self.out.as_deref().unwrap_or(&self.study);
        for missing in missing_pictures(&closed.triplets, &self.study, 3) {
            eprintln!("perface: {missing} is not there");
        }
        if out != self.study {
            relocate(&mut closed.triplets, &self.study, out)?;
        }
        atomic::write(&out.join("votes.csv"), &vote::csv(&closed.votes)?, Overwrite::Always)?;
        if out != self.study {
            study.write(out, Overwrite::Always)?;
        }
        write(out, &closed.triplets, &closed.report)?;
        output::print(common.json, &closed.report, |report| {
            format!("{}\nwritten: {}", page::to_text(report), out.join("triplets.csv").display())
        })?;
        Ok(Outcome::Done)
    }

    fn read_votes(&self) -> Result<Vec<Vote>> {
        if let Some(path) = &self.votes {
            return Ok(vote::read(path, &self.columns)?);
        }
        let path = self.study.join("votes.csv");
        let status = web::sibling()?
            .arg("export")
            .arg(&self.study)
            .arg("--out")
            .arg(&path)
            .stdout(std::process::Stdio::null())
            .status()
            .context("perface-web")?;
        anyhow::ensure!(status.success(), "the answers could not be read");
        Ok(vote::read(&path, &ColumnNames::default())?)
    }
}

/// Name pictures as seen from `out` instead of `from`.
fn relocate(triplets: &mut [Triplet], from: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let (from, out) = (from.canonicalize()?, out.canonicalize()?);
    for triplet in triplets {
        for picture in [&mut triplet.reference, &mut triplet.a, &mut triplet.b] {
            *picture = perface_evidence::study::relative_to(&from.join(&*picture), &out);
        }
    }
    Ok(())
}

/// Write the table and the report.
pub fn write(out: &Path, triplets: &[Triplet], report: &CloseReport) -> Result<()> {
    atomic::write(&out.join("triplets.csv"), &triplets::csv(triplets)?, Overwrite::Always)?;
    let json = serde_json::to_vec_pretty(report)?;
    atomic::write(&out.join("study_report.json"), &json, Overwrite::Always)?;
    atomic::write(&out.join("study_report.html"), page::html(report).as_bytes(), Overwrite::Always)?;
    Ok(())
}
