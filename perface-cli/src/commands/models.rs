//! `perface models`: the networks on this machine.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use perface::model::builtin;
use perface::model::card::{Channels, ModelCard, Preprocessing, Role, Threshold};
use perface::model::store::{State, Store};
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;

/// Options of `models`.
#[derive(Args)]
#[command(after_help = "Examples:\n  perface models list\n  perface models add my-arcface model.onnx --threshold 0.3 \
                        --licence \"research only\"")]
pub struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Name, role, licence and state of every network.
    List,
    /// Fetch what is missing.
    Fetch,
    /// Compare every file with its pinned SHA-256.
    Verify,
    /// Add your own face embedder.
    Add(Add),
}

/// A network takes `[N, 3, H, W]` of `(value − mean) / scale` and returns `[N, D]`.
#[derive(Args)]
struct Add {
    /// Name to use it by.
    name: String,
    /// ONNX file.
    file: PathBuf,
    /// A card as JSON, instead of the options below; see docs/models.md.
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Side of its square input, in pixels.
    #[arg(long, default_value_t = 112)]
    size: u32,
    /// Length of its embedding.
    #[arg(long, default_value_t = 512)]
    length: usize,
    /// Subtracted from each channel of 0–255.
    #[arg(long, default_value_t = 127.5)]
    mean: f32,
    /// Divides what is left.
    #[arg(long, default_value_t = 127.5)]
    scale: f32,
    /// Blue first.
    #[arg(long)]
    bgr: bool,
    /// Cosine from which two faces count as one person.
    #[arg(long)]
    threshold: Option<f32>,
    /// Licence of the weights.
    #[arg(long, default_value = "unknown")]
    licence: String,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    card: ModelCard,
    state: State,
}

/// Right, or not there because nobody asked for it yet.
fn is_fine(row: &Row) -> bool {
    row.state == State::Ready || (row.state == State::Missing && builtin::on_demand(&row.card.name))
}

impl Models {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let store = Store::open(common.cache.clone(), common.offline, progress::downloads(common.quiet))?;
        match &self.action {
            Action::List => print(common, &store).map(|_| Outcome::Done),
            Action::Fetch => {
                // The runtime's library is fetched with the networks.
                let _ = store.runtime(&common.runtime)?;
                store.fetch_all()?;
                print(common, &store).map(|_| Outcome::Done)
            }
            Action::Verify => {
                let rows = print(common, &store)?;
                let bad: Vec<&str> =
                    rows.iter().filter(|row| !is_fine(row)).map(|row| row.card.name.as_str()).collect();
                if !bad.is_empty() {
                    eprintln!("perface: not as pinned: {}; `perface models fetch` puts them right", bad.join(", "));
                    return Ok(Outcome::Failure);
                }
                Ok(Outcome::Done)
            }
            Action::Add(add) => {
                let session = Session::open(common)?;
                let card = session.store.add(&add.file, add.card()?, &session.runtime)?;
                output::print(common.json, &card, |card| {
                    format!("{} was added; use it as --model {}", card.name, card.name)
                })?;
                Ok(Outcome::Done)
            }
        }
    }
}

impl Add {
    fn card(&self) -> Result<ModelCard> {
        if let Some(path) = &self.card {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            let card: ModelCard = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            return Ok(ModelCard { name: self.name.clone(), ..card });
        }
        let channels = if self.bgr { Channels::Bgr } else { Channels::Rgb };
        Ok(ModelCard {
            name: self.name.clone(),
            role: Role::Embedder,
            similarity: format!("{} cosine", self.name),
            preprocessing: Preprocessing {
                width_px: self.size,
                height_px: self.size,
                channels,
                mean: [self.mean; 3],
                scale: self.scale,
            },
            embedding_len: Some(self.length),
            same_person: self
                .threshold
                .map(|cosine| Threshold { cosine, source: "given when it was added".to_owned() }),
            licence: self.licence.clone(),
            source: self.file.display().to_string(),
            sha256: String::new(),
        })
    }
}

fn print(common: &Common, store: &Store) -> Result<Vec<Row>> {
    let cards = store.cards()?;
    let rows: Vec<Row> = cards.into_iter().map(|card| Row { state: store.state(&card), card }).collect();
    output::print(common.json, &rows, |rows| {
        let mut out = String::new();
        for Row { card, state } in rows {
            let role = format!("{:?}", card.role).to_lowercase();
            let state = format!("{state:?}").to_lowercase();
            let _ = writeln!(out, "{:<14} {role:<9} {state:<8} {:<12} {}", card.name, card.licence, card.source);
        }
        let _ = writeln!(out, "in {}", store.root().display());
        out
    })?;
    Ok(rows)
}
