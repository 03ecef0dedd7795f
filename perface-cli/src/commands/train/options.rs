//! What can be said about a training run.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use perface::draw::Seed;
use perface::table::ColumnNames;
use perface_evidence::splits::Scheme;
use perface_train::data::{Divided, Labels};
use perface_train::features::Features;
use perface_train::learner::Sgd;
use perface_train::loss::LossOptions;
use perface_train::network::BatchNorm;
use perface_train::trainer::{Schedule, TrainOptions};

use super::device::Device;
use crate::session::DEFAULT_MODEL;

/// Options of `train`.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    perface train triplets.csv --images pictures/ --split pictures --val-share 0.25 --features maps --margin 0.3 --anchor 0.3 \
      --out run/\n  \
    perface models add mine run/model.onnx --card run/model.json\n  \
    perface compare c.jpg a.jpg b.jpg --model mine")]
pub struct Train {
    /// Triplets with their answers: reference, a, b, votes_a, votes_b; see docs/data.md.
    pub list: PathBuf,
    /// Folder the pictures' paths are relative to [default: the list's].
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Foreign column names, as ours=theirs,…
    #[arg(long, default_value = "", value_name = "PAIRS")]
    pub columns: ColumnNames,
    /// Folder of the run: record, curves, checkpoints and the network.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Embedder to begin with.
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: String,
    /// What is fitted: head (a linear map on frozen features, for any embedder), last:N (the last N blocks) or full.
    #[arg(long, default_value_t = Tune::Head, value_name = "WHAT")]
    pub tune: Tune,
    /// Network of --weights: r18, r34, r50, r100, mbf, mbf_large or sface. For last:N and full.
    #[arg(long, requires = "weights", value_name = "NAME")]
    pub net: Option<String>,
    /// Weights to begin with, as .pth, .pt or .safetensors with PyTorch's names, in place of --model's file.
    #[arg(long, requires = "net", value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// What trains a network: cpu, cuda or cuda:N, the last two in a build with --features cuda. For last:N and full.
    #[arg(long, default_value_t = Device::Cpu, value_name = "DEVICE")]
    pub device: Device,
    /// Statistics of batch normalisation in training: train (of the batch) or frozen (the network's own).
    #[arg(long, default_value = "train", value_name = "WHICH")]
    pub bn: BatchNorm,
    /// What a head is put on: embedding, maps (means of the last feature map) or maps:NAME,… of the ONNX file.
    #[arg(long, default_value_t = Features::default(), value_name = "WHAT")]
    pub features: Features,
    /// Length of the embedding of a head on maps.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub width: usize,
    #[command(flatten)]
    pub split: SplitArgs,
    /// Answers to learn from: d1 (majority) or d2 (unanimous).
    #[arg(long, default_value = "d2", value_name = "SET")]
    pub labels: Labels,
    /// What divided answers count with d1: full, margin (a third for 2 to 1) or votes (one question for each vote).
    #[arg(long, default_value = "full", value_name = "HOW")]
    pub divided: Divided,
    /// Most passes over the triplets.
    #[arg(long, default_value_t = 20)]
    pub epochs: usize,
    /// Triplets of a batch.
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// First learning rate [default: 0.03 for a head, otherwise 0.01].
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f32>,
    /// Momentum.
    #[arg(long, default_value_t = 0.9)]
    pub momentum: f32,
    /// Weight decay.
    #[arg(long, default_value_t = 5e-4)]
    pub weight_decay: f32,
    /// Spare normalisations, slopes and biases the weight decay.
    #[arg(long)]
    pub spare_vectors: bool,
    /// How the learning rate goes down: constant, step or cosine.
    #[arg(long, default_value = "constant", value_name = "HOW")]
    pub schedule: Schedule,
    /// By how much the closer face's cosine must exceed the other's.
    #[arg(long, default_value_t = 0.1)]
    pub margin: f64,
    /// Weight of staying near the network's own similarities.
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT")]
    pub anchor: f64,
    /// Do not mirror triplets at random.
    #[arg(long)]
    pub no_flip: bool,
    /// Stop after so many epochs without a better validation accuracy; 0 for never.
    #[arg(long, default_value_t = 5, value_name = "EPOCHS")]
    pub patience: usize,
    /// Largest norm of the gradients.
    #[arg(long, value_name = "NORM")]
    pub clip: Option<f64>,
    /// Seed of the first run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Runs, each with the next seed; mean and standard deviation are printed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "RUNS")]
    pub repeat: u32,
    /// Go on with the run in --out.
    #[arg(long)]
    pub resume: bool,
    /// Fail if a picture cannot be used, instead of leaving its triplets out.
    #[arg(long)]
    pub strict: bool,
    /// All pictures of a target have one size and pose (swaps): cut where another's face is if none is found.
    #[arg(long)]
    pub same_geometry: bool,
}

/// How the list is divided.
#[derive(Args)]
pub struct SplitArgs {
    /// Draw parts instead of reading the column split: grid, targets (all sources known in advance) or pictures.
    #[arg(long = "split", value_name = "SCHEME")]
    pub scheme: Option<Scheme>,
    /// Train for a pool: pictures in this folder are known in advance and never held out. The test is [ii]: new faces
    /// compared with two of them.
    #[arg(long, value_name = "DIR", conflicts_with = "scheme")]
    pub sources: Option<PathBuf>,
    /// Share of targets, source triplets or pictures kept for the test.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub test_share: f64,
    /// Share of the rest to stop by.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub val_share: f64,
    /// Seed of the parts; runs with different --seed share them.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub split_seed: u64,
}

/// What is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tune {
    /// A linear map on frozen features.
    Head,
    /// The last blocks of the network, and what follows them.
    Last(usize),
    /// The whole network.
    Full,
}

impl std::fmt::Display for Tune {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Last(blocks) => write!(f, "last:{blocks}"),
            Self::Full => f.write_str("full"),
        }
    }
}

impl FromStr for Tune {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "head" => Ok(Self::Head),
            "full" => Ok(Self::Full),
            _ => match text.strip_prefix("last:").map(str::parse) {
                Some(Ok(blocks)) => Ok(Self::Last(blocks)),
                _ => Err(format!("{text:?} is none of head, last:N, full")),
            },
        }
    }
}

impl Train {
    /// As the loop takes them.
    pub fn train_options(&self, seed: u64) -> TrainOptions {
        TrainOptions {
            epochs: self.epochs,
            batch: self.batch.max(1),
            sgd: Sgd {
                learning_rate: self.lr.unwrap_or(match self.tune {
                    Tune::Head => 0.03,
                    Tune::Last(_) | Tune::Full => 0.01,
                }),
                momentum: self.momentum,
                weight_decay: self.weight_decay,
                spare_vectors: self.spare_vectors,
            },
            schedule: self.schedule,
            loss: LossOptions { margin: self.margin, anchor: self.anchor },
            flip: !self.no_flip,
            patience: self.patience,
            clip: self.clip,
            seed: Seed::new(seed.into()),
        }
    }

    /// Everything that changes a run's result, for its record.
    pub fn settings(&self, seed: u64) -> serde_json::Value {
        let options = self.train_options(seed);
        let mut settings = serde_json::json!({
            "list": self.list, "model": self.model, "tune": self.tune.to_string(), "net": self.net,
            "bn": self.bn,
            "features": self.features.to_string(), "width": self.width, "labels": self.labels, "divided": self.divided,
            "split": self.split.scheme, "sources": self.split.sources, "test_share": self.split.test_share, "val_share": self.split.val_share,
            "split_seed": self.split.split_seed, "epochs": options.epochs, "batch": options.batch,
            "lr": options.sgd.learning_rate, "momentum": self.momentum, "weight_decay": self.weight_decay,
            "spare_vectors": self.spare_vectors, "schedule": self.schedule, "margin": self.margin, "anchor": self.anchor,
            "flip": options.flip, "patience": self.patience, "clip": self.clip, "seed": seed,
            "same_geometry": self.same_geometry,
        });
        if self.device != Device::Cpu {
            settings["device"] = self.device.to_string().into();
        }
        settings
    }
}
