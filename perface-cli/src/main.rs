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
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,ort=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    match commands::run(&cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("perface: {}", output::in_words(&error));
            Outcome::of_error(&error).into()
        }
    }
}
