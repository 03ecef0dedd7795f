//! `perface models`: the networks on this machine.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use perface::model::builtin;
use perface::model::card::{Aligner, Channels, ModelCard, Preprocessing, Role, Threshold};
use perface::model::presets;
use perface::model::store::{State, Store};
use perface::swap::neural;
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;

/// Options of `models`.
#[derive(Args)]
#[command(after_help = "Examples:\n  perface models list\n  perface models add my-arcface model.onnx --threshold 0.3 \
                        --licence \"research only\"\n  perface models add deepface-arcface arcface.onnx")]
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
    /// Add your own face embedder, or a file of a swap engine by its name.
    Add(Add),
}

/// A network takes `[N, 3, H, W]` or `[N, H, W, 3]` of `(value − mean) / scale` and returns `[N, D]`; which of the two is
/// found from the file. Under a name that `perface models list` shows as "bring", its published preprocessing is used
/// and the options below change single values.
/// The same holds for the files of swap engines (docs/models.md), which need no option.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perface models add my-arcface model.onnx --length 512 --threshold 0.3 --licence MIT\n  \
                        perface models add inswapper-128 inswapper_128.onnx\n  perface models add w600k-r50 w600k_r50.onnx"
)]
struct Add {
    /// Name to use it by.
    name: String,
    /// ONNX file.
    file: PathBuf,
    /// A card as JSON, instead of the options below; see docs/models.md.
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Side of its square input, in pixels [default: 112].
    #[arg(long)]
    size: Option<u32>,
    /// Length of its embedding [default: what the network gives].
    #[arg(long)]
    length: Option<usize>,
    /// Subtracted from each channel of 0–255 [default: 127.5].
    #[arg(long)]
    mean: Option<f32>,
    /// Divides what is left [default: 127.5].
    #[arg(long)]
    scale: Option<f32>,
    /// How faces are cut out: arcface (five landmarks onto InsightFace's template), deepface (eyes level, black bars) or
    /// dlib [default: arcface].
    #[arg(long, value_name = "NAME")]
    aligner: Option<Aligner>,
    /// Blue first.
    #[arg(long)]
    bgr: bool,
    /// Cosine from which two faces count as one person.
    #[arg(long)]
    threshold: Option<f32>,
    /// Licence of the weights [default: unknown].
    #[arg(long)]
    licence: Option<String>,
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
                if neural::card::part(&add.name).is_some() {
                    let bytes = std::fs::read(&add.file).with_context(|| add.file.display().to_string())?;
                    neural::graph::check(&add.name, &bytes)?;
                }
                let card = session.store.add(&add.file, add.card()?, &session.runtime)?;
                output::print(common.json, &card, |card| match card.role {
                    Role::Embedder => format!("{} was added; use it as --model {}", card.name, card.name),
                    Role::Swapper => format!("{} was added; use it as --engine {}", card.name, card.name),
                    _ => format!("{} was added, for the engines that need it", card.name),
                })?;
                Ok(Outcome::Done)
            }
        }
    }
}

impl Add {
    fn card(&self) -> Result<ModelCard> {
        if let Some(part) =
            neural::card::part(&self.name).filter(|part| part.role != Role::Embedder && self.card.is_none())
        {
            return Ok(part);
        }
        if let Some(path) = &self.card {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            let card: ModelCard = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            return Ok(ModelCard { name: self.name.clone(), ..card });
        }
        let mut card = presets::preset(&self.name).unwrap_or_else(|| self.plain_card());
        let preprocessing = &mut card.preprocessing;
        if let Some(size) = self.size {
            (preprocessing.width_px, preprocessing.height_px) = (size, size);
        }
        preprocessing.mean = self.mean.map_or(preprocessing.mean, |mean| [mean; 3]);
        preprocessing.scale = self.scale.unwrap_or(preprocessing.scale);
        preprocessing.aligner = self.aligner.unwrap_or(preprocessing.aligner);
        if self.bgr {
            preprocessing.channels = Channels::Bgr;
        }
        card.embedding_len = self.length.or(card.embedding_len);
        if let Some(cosine) = self.threshold {
            card.same_person = Some(Threshold { cosine, source: "given when it was added".to_owned() });
        }
        if let Some(licence) = &self.licence {
            card.licence.clone_from(licence);
        }
        Ok(card)
    }

    /// A card for a name nobody knows.
    fn plain_card(&self) -> ModelCard {
        ModelCard {
            name: self.name.clone(),
            role: Role::Embedder,
            similarity: format!("{} cosine", self.name),
            preprocessing: Preprocessing::arcface(112),
            embedding_len: None,
            same_person: None,
            agreement: None,
            licence: "unknown".to_owned(),
            source: self.file.display().to_string(),
            sha256: String::new(),
        }
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
            let _ = writeln!(out, "{:<22} {role:<9} {state:<8} {:<12} {}", card.name, card.licence, card.source);
        }
        for card in presets::presets().iter().filter(|card| rows.iter().all(|row| row.card.name != card.name)) {
            let ModelCard { name, licence, source, .. } = card;
            let _ = writeln!(out, "{name:<22} embedder  bring    {licence:<12} {source}");
        }
        let _ = writeln!(out, "in {}; those to bring: `perface models add NAME FILE.onnx`", store.root().display());
        out
    })?;
    Ok(rows)
}
