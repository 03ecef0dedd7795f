//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Publish photos of people without showing who they are.
#[derive(Parser)]
#[command(name = "perface", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failure, 2 usage, 3 some input unreadable, 4 some photo had no face or a \
                        face was obscured, 5 a gate failed.\n\nExample:\n  perface anonymize photos/ --out out/"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Args)]
pub struct Common {
    /// Print the result as JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Fetch nothing; say what is missing and how to get it.
    #[arg(long, global = true)]
    pub offline: bool,
    /// Folder for fetched models [default: $PERFACE_CACHE, or perface in the user's cache folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// What runs the networks: auto (the fastest for each network), rten (pure Rust) or ort.
    #[arg(long, global = true, default_value = "auto", value_name = "NAME")]
    pub runtime: String,
}

#[derive(Subcommand)]
pub enum Command {
    /// Anonymise sample photos and say where to look.
    Demo(commands::demo::Demo),
    /// Anonymise photos: files or folders, whose tree is mirrored.
    Anonymize(commands::anonymize::Anonymize),
    /// Try to match published photos with their originals, and say whether that works.
    Audit(commands::audit::Audit),
    /// Find faces.
    Detect(commands::detect::Detect),
    /// How alike two faces are, or which of two is closer to a third.
    Compare(commands::compare::Compare),
    /// Which group of the pool a face is nearest to.
    Group(commands::group::Group),
    /// Candidates of the chosen group, least similar first, as a sheet.
    Rank(commands::rank::Rank),
    /// Build, list, synthesize and measure pools of candidate faces.
    Pool(commands::pool::Pool),
    /// Ask people which of two faces is closer to a third.
    Study(commands::study::Study),
    /// Measure how good groups and similarities are.
    Eval(commands::eval::Eval),
    /// Run the paper's protocol, or say which files to bring.
    Reproduce(commands::reproduce::Reproduce),
    /// Fit a similarity to people's judgements.
    Train(Box<commands::train::Train>),
    /// Turn weights of PyTorch into an ONNX file, and back.
    Export(commands::export::Export),
    /// List, fetch, verify and add networks.
    Models(commands::models::Models),
}
