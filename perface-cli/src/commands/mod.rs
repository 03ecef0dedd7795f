//! One file for each command.

pub mod anonymize;
pub mod audit;
pub mod compare;
pub mod demo;
pub mod detect;
mod dry_run;
pub mod eval;
pub mod export;
pub mod group;
pub mod models;
pub mod pool;
pub mod rank;
pub mod reproduce;
pub mod study;
pub mod train;

use anyhow::Result;

use crate::args::{Cli, Command};
use crate::output::Outcome;

/// Run what was asked for.
pub fn run(cli: &Cli) -> Result<Outcome> {
    match &cli.command {
        Command::Demo(command) => command.run(&cli.common),
        Command::Anonymize(command) => command.run(&cli.common),
        Command::Audit(command) => command.run(&cli.common),
        Command::Detect(command) => command.run(&cli.common),
        Command::Compare(command) => command.run(&cli.common),
        Command::Group(command) => command.run(&cli.common),
        Command::Rank(command) => command.run(&cli.common),
        Command::Pool(command) => command.run(&cli.common),
        Command::Eval(command) => command.run(&cli.common),
        Command::Reproduce(command) => command.run(&cli.common),
        Command::Study(command) => command.run(&cli.common),
        Command::Train(command) => command.run(&cli.common),
        Command::Export(command) => command.run(&cli.common),
        Command::Models(command) => command.run(&cli.common),
    }
}
