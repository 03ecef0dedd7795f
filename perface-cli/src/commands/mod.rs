//! One file for each command.

pub mod anonymize;
pub mod demo;
pub mod detect;
pub mod models;

use anyhow::Result;

use crate::args::{Cli, Command};
use crate::output::Outcome;

/// Run what was asked for.
pub fn run(cli: &Cli) -> Result<Outcome> {
    match &cli.command {
        Command::Demo(command) => command.run(&cli.common),
        Command::Anonymize(command) => command.run(&cli.common),
        Command::Detect(command) => command.run(&cli.common),
        Command::Models(command) => command.run(&cli.common),
    }
}
