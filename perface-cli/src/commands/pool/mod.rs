//! `perface pool`: the faces that may stand in for others.

mod build;
mod list;
mod measure;
mod spread;
mod synthesize;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Common;
use crate::output::Outcome;

/// Options of `pool`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface pool build portraits/\n  perface pool synthesize --from consented/ --out pool/\n  \
                        perface pool measure pool/ --on labels.csv"
)]
pub struct Pool {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a folder of portraits a pool: label gender and age where pool.csv does not, leave out minors.
    Build(build::Build),
    /// Members of a pool, by group.
    List(list::List),
    /// Make composites of consenting people that resemble none of them.
    Synthesize(synthesize::Synthesize),
    /// Measure how often similarity finds the right group of this pool for labelled faces outside it.
    Measure(measure::Measure),
    /// How much the faces of a pool differ.
    Spread(spread::Spread),
}

impl Pool {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        match &self.action {
            Action::Build(command) => command.run(common),
            Action::List(command) => command.run(common),
            Action::Synthesize(command) => command.run(common),
            Action::Measure(command) => command.run(common),
            Action::Spread(command) => command.run(common),
        }
    }
}
