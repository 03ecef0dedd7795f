//! `perface study`: ask people which of two faces is closer to a third.

mod close;
mod design;
mod import;
mod render;
mod web;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Common;
use crate::output::Outcome;

/// Options of `study`.
#[derive(Args)]
#[command(after_help = "Examples:\n  perface study design faces/ --out study/\n  perface study render study/\n  \
                  perface study serve study/\n  perface study close study/")]
pub struct Study {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Draw who is in the study: targets, source triplets, dummies.
    Design(design::Design),
    /// Make its pictures: every source's face on every target.
    Render(render::Render),
    /// Let people answer it in their browsers.
    Serve(web::Serve),
    /// Let simulated people answer it, to try it out.
    Simulate(web::Simulate),
    /// Write the table to train on, and a report.
    Close(close::Close),
    /// Make the table and the report from another study's answers.
    Import(import::Import),
}

impl Study {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        match &self.action {
            Action::Design(command) => command.run(common),
            Action::Render(command) => command.run(common),
            Action::Serve(command) => command.run(),
            Action::Simulate(command) => command.run(common),
            Action::Close(command) => command.run(common),
            Action::Import(command) => command.run(common),
        }
    }
}
