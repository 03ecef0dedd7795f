//! `perface eval tradeoff`: hidden against natural, from the reports of several runs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use perface::atomic::{self, Overwrite};
use perface::report::Report;
use perface_evidence::eval::tradeoff::{run_point, to_svg, to_text};

use crate::output::{self, Outcome};

/// Options of `eval tradeoff`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  perface eval tradeoff off.report/report.json normal.report/report.json --svg tradeoff.svg"
)]
pub struct Tradeoff {
    /// report.json of runs of the same photos, each under its own --natural.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// Write a picture: every face a dot, every run's mean a large one.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Tradeoff {
    pub fn run(&self, json: bool) -> Result<Outcome> {
        let mut runs = Vec::new();
        for path in &self.reports {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            let report: Report = serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
            let asked = report.config.get("natural").and_then(|value| value.as_str()).map(str::to_owned);
            let name = asked.unwrap_or_else(|| path.display().to_string());
            let nothing = || perface::Error::Usage(format!("{}: no replaced face", path.display()));
            runs.push(run_point(&name, &report).ok_or_else(nothing)?);
        }
        if let Some(path) = &self.svg {
            atomic::write(path, to_svg(&runs).as_bytes(), Overwrite::Always)?;
        }
        output::print(json, &runs, |runs| to_text(runs))?;
        Ok(Outcome::Done)
    }
}
