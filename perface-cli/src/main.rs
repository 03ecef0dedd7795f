//! The `perface` command line: arguments in, text or JSON out, and an exit code that scripts can rely on.

mod args;
mod commands;
mod output;
mod progress;
mod session;
mod sheets;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use args::Cli;
use output::Outcome;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nothing is left to tell if even the terminal is gone.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { Outcome::Usage.into() };
        }
    };
    // RUST_LOG=debug or RUST_LOG=perface=trace,ort=info says more.
    let quiet = || Targets::new().with_default(LevelFilter::WARN).with_target("ort", LevelFilter::ERROR);
    let filter = std::env::var("RUST_LOG").ok().and_then(|words| words.parse().ok()).unwrap_or_else(quiet);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time().with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    match commands::run(&cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("perface: {}", output::in_words(&error));
            Outcome::of_error(&error).into()
        }
    }
}
