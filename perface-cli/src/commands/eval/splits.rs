//! `perface eval splits`: training runs side by side, as in Table 3 and Fig. 5.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use perface_evidence::eval::splits::{BeforeAfter, SplitsEvaluation, evaluate, read_cases, read_run};
use perface_evidence::pages::splits_page;

use crate::args::Common;
use crate::output::{self, Outcome};

/// Options of `eval splits`.
#[derive(Args)]
#[command(after_help = "Example:\n  perface eval splits runs/d1-seed* runs/d2-seed* --out out/")]
pub struct Splits {
    /// Folders of training runs, each with its run.json.
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// Write report.html, result.json, runs.csv and the plots as SVG and PNG to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Splits {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let runs = self.runs.iter().map(|folder| read_run(folder)).collect::<perface::Result<Vec<_>>>()?;
        let result = evaluate(runs)?;
        if let Some(out) = &self.out {
            super::write(
                &splits_page(&result, &cases_by_split(&self.runs)?),
                out,
                &result,
                &[("runs.csv", result.to_csv()?)],
                common,
            )?;
        }
        output::print(common.json, &result, SplitsEvaluation::to_text)?;
        Ok(Outcome::Done)
    }
}

/// The test triplets of the first of `runs` by split, before and after training. Before training they are the same in all.
pub fn cases_by_split(runs: &[PathBuf]) -> Result<Vec<(String, Vec<BeforeAfter>)>> {
    let mut cases: BTreeMap<String, Vec<BeforeAfter>> = BTreeMap::new();
    for (split, case) in runs.first().map(|run| read_cases(run)).transpose()?.unwrap_or_default() {
        cases.entry(split).or_default().push(case);
    }
    Ok(cases.into_iter().collect())
}
