//! `perface train`: fit a similarity to people's judgements.

mod device;
mod options;
mod progress_line;
mod report;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use perface::draw::Seed;
use perface::model::Model;
use perface::model::card::{Agreement, ModelCard};
use perface::model::pack::sha256_hex;
use perface::triplets::{self, Split, Triplet};
use perface_conv::Graph;
use perface_evidence::splits::{self, Scheme, SplitOptions};
use perface_train::crops::{self, CropReport, CropRequest};
use perface_train::data::{Dataset, DatasetOptions};
use perface_train::export;
use perface_train::features::{self, Features, LinearMap};
use perface_train::frozen;
use perface_train::inputs::{Crops, Inputs, Rows};
use perface_train::learner::{Learner, LinearHead};
use perface_train::network::{self, BatchNorm, Divided};
use perface_train::projection;
use perface_train::run::{self, Job, Record};
use perface_train::trainer::{Flow, Step, embed_all, used};
use perface_train::weights::safetensors::SafeTensors;
use perface_train::weights::{self, NamedTensor};

pub use options::Train;

use crate::args::Common;
use crate::output::{self, Outcome};
use crate::progress;
use crate::session::Session;
use device::Device;
use options::Tune;
use progress_line::ProgressLine;

/// Questions of the validation part below which the standard error of its share is above 0.07.
const FEW_QUESTIONS: usize = 50;

impl Train {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        if self.tune == Tune::Head && self.device != Device::Cpu {
            let reason = "a head is fitted on the CPU, in seconds; --device is for --tune last:N and full";
            return Err(perface::Error::Usage(reason.to_owned()).into());
        }
        self.device.check()?;
        let session = Session::open(common)?;
        let list = self.triplets()?;
        let (cut, folder) = self.crops(&list, &session, common)?;
        for (name, reason) in cut.unusable.iter().take(20) {
            eprintln!("perface: {name}: {reason}");
        }
        if !cut.unusable.is_empty() {
            let message = format!("{} pictures of {} cannot be used", cut.unusable.len(), folder.display());
            if self.strict {
                return Err(perface::Error::Usage(format!("{message}, and --strict was given")).into());
            }
            eprintln!("perface: {message}; triplets that need them are left out");
        }
        let unusable: HashSet<String> = cut.unusable.iter().map(|(name, _)| name.clone()).collect();
        let options = DatasetOptions { labels: self.labels, divided: self.divided };
        let data = Dataset::new(&list, &unusable, &options)?;
        let to_stop_by = data.part(Split::Val).len();
        if to_stop_by < FEW_QUESTIONS {
            eprintln!(
                "perface: only {to_stop_by} questions to stop by and to fit the scale to; where parts are drawn, --val-share gives more"
            );
        }
        let usable = usable_crops(&list, &unusable, &cut);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        // A second Ctrl-C ends the program at once: the handler is set only once and then kills.
        ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        })
        .context("Ctrl-C cannot be watched")?;
        let split_sha256 = sha256_hex(&triplets::csv(&list)?);
        let ready = Ready {
            session: &session,
            data: &data,
            pixels: usable,
            data_sha256: cut.sha256.clone(),
            split_sha256,
            stop,
        };
        let prepared = self.prepared(&ready, common)?;
        let mut records = Vec::new();
        for seed in self.seed..self.seed + u64::from(self.repeat) {
            let folder = if self.repeat == 1 { self.out.clone() } else { self.out.join(format!("seed-{seed}")) };
            let record = self.one(&ready, &prepared, seed, &folder, common)?;
            let interrupted = record.interrupted;
            records.push(record);
            if interrupted {
                eprintln!("perface: stopped; the same command with --resume goes on");
                return Ok(Outcome::Failure);
            }
        }
        let summary = report::Summary::of(&records);
        if self.repeat > 1 {
            let json = serde_json::to_vec_pretty(&summary)?;
            perface::atomic::write(&self.out.join("summary.json"), &json, perface::atomic::Overwrite::Always)?;
        }
        output::print(common.json, &summary, |summary| summary.text(&self.out))?;
        Ok(if cut.unusable.is_empty() { Outcome::Done } else { Outcome::SomeUnreadable })
    }

    /// The list with a part for each triplet, checked for leaks.
    fn triplets(&self) -> Result<Vec<Triplet>> {
        let mut list = triplets::read(&self.list, &self.columns)?;
        let known = self.known(&list)?;
        let scheme = if known.is_empty() { self.split.scheme } else { Some(Scheme::Pictures) };
        if let Some(scheme) = scheme {
            let options = SplitOptions {
                scheme,
                test: self.split.test_share,
                val: self.split.val_share,
                strata: HashMap::new(),
                known: known.clone(),
            };
            let parts = splits::draw(&list, &options, Seed::new(self.split.split_seed.into()))?;
            list.iter_mut().zip(parts).for_each(|(triplet, part)| triplet.split = part);
        } else if list.iter().all(|triplet| triplet.split.is_none()) {
            let missing = format!(
                "{} has no parts in a column split; draw them with --split grid (a study), --split targets (a study whose \
                 sources are known in advance), --split pictures, or --sources DIR (pictures known in advance)",
                self.list.display()
            );
            return Err(perface::Error::Usage(missing).into());
        }
        splits::check(&list, &known).with_context(|| self.list.display().to_string())?;
        Ok(list)
    }

    /// Pictures of the list that lie in the folder of sources known in advance; none without such a folder.
    fn known(&self, list: &[Triplet]) -> Result<HashSet<String>> {
        let Some(sources) = &self.split.sources else { return Ok(HashSet::new()) };
        let sources = std::fs::canonicalize(sources).with_context(|| sources.display().to_string())?;
        let folder = self.pictures();
        let lies_inside =
            |name: &&str| std::fs::canonicalize(folder.join(name)).is_ok_and(|path| path.starts_with(&sources));
        let names: HashSet<&str> = list.iter().flat_map(Triplet::pictures).collect();
        let known: HashSet<String> = names.into_iter().filter(lies_inside).map(str::to_owned).collect();
        if known.is_empty() {
            let reason = format!("no picture of {} lies in {}", self.list.display(), sources.display());
            return Err(perface::Error::Usage(reason).into());
        }
        Ok(known)
    }

    /// Folder of the pictures.
    fn pictures(&self) -> PathBuf {
        self.images.clone().unwrap_or_else(|| self.list.parent().unwrap_or(Path::new("")).to_owned())
    }

    fn crops(&self, list: &[Triplet], session: &Session, common: &Common) -> Result<(CropReport, PathBuf)> {
        let folder = self.pictures();
        let mut names: Vec<String> = list.iter().flat_map(Triplet::pictures).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        let target = |t: &Triplet| t.pictures().map(|name| (name.to_owned(), t.target_id.clone()));
        let target_of = if self.same_geometry { list.iter().flat_map(target).collect() } else { HashMap::new() };
        let reader = session.reader(&self.model)?;
        let bar = progress::bar(names.len(), "pictures", common.quiet);
        let cache = session.store.root().join("crops");
        let request = CropRequest { names: &names, folder: &folder, target_of, cache: &cache };
        let cut = crops::cut(&request, &reader, &|| bar.inc(1))?;
        bar.finish_and_clear();
        if cut.borrowed > 0 {
            eprintln!("perface: {} pictures without a found face were cut where their target's is", cut.borrowed);
        }
        Ok((cut, folder))
    }

    /// What does not depend on the seed, made once for all runs.
    fn prepared(&self, ready: &Ready<'_>, common: &Common) -> Result<Prepared> {
        match self.tune {
            Tune::Head => Ok(Prepared::Head(Box::new(self.prepared_head(ready)?))),
            Tune::Last(_) | Tune::Full => Ok(Prepared::Network(Box::new(self.prepared_network(ready, common)?))),
        }
    }

    /// Frozen features of all pictures.
    fn prepared_head(&self, ready: &Ready<'_>) -> Result<PreparedHead> {
        let (card, base) = ready.session.store.read(&self.model)?;
        let preprocessing = &card.preprocessing;
        let crops = Crops::new(preprocessing.clone(), ready.pixels.clone());
        let load = |bytes: Vec<u8>| -> Result<Arc<dyn Model>> { Ok(ready.session.runtime.load(&self.model, bytes)?) };
        let mut before = frozen::rows(&self.model, load(base.clone())?.as_ref(), &crops, preprocessing, 0)?;
        frozen::normalise(&mut before.plain, before.width);
        frozen::normalise(&mut before.mirrored, before.width);
        let (network, width) = features::network(&self.model, &base, &self.features)?;
        let (rows, map) = if self.features == Features::Embedding {
            let (from, bias) = (before.width, vec![0.0; before.width]);
            (before.clone(), LinearMap { from, weight: identity(from), bias })
        } else {
            let rows = frozen::rows(&self.model, load(network.clone())?.as_ref(), &crops, preprocessing, width)?;
            self.projected(&rows, ready.data)
        };
        Ok(PreparedHead { card, network, before, rows, map })
    }

    /// The network to begin with, and the activations that its frozen part gives.
    fn prepared_network(&self, ready: &Ready<'_>, common: &Common) -> Result<PreparedNetwork> {
        let start = self.start(ready.session)?;
        let count = ready.data.pictures.len();
        let crops = Crops::new(start.card.preprocessing.clone(), ready.pixels.clone());
        let divided = match self.tune {
            Tune::Last(blocks) => {
                let divided = network::divide(&start.graph, &start.values, blocks)?;
                let bar = progress::bar(2 * count, "activations", common.quiet);
                let rows = network::activations(&divided, &crops, count, &|done| bar.inc(done as u64))?;
                bar.finish_and_clear();
                Some((divided, rows))
            }
            _ => None,
        };
        let mut prepared = PreparedNetwork { start, crops, divided, before: vec![] };
        prepared.before = embed_all(prepared.learner(self.bn, self.device)?.as_mut(), prepared.inputs(), count, None)?;
        Ok(prepared)
    }

    /// One run, with its model at the end.
    fn one(&self, ready: &Ready<'_>, prepared: &Prepared, seed: u64, folder: &Path, common: &Common) -> Result<Record> {
        match prepared {
            Prepared::Head(prepared) => self.head(ready, prepared, seed, folder, common),
            Prepared::Network(prepared) => self.network(ready, prepared, seed, folder, common),
        }
    }

    /// A linear map on frozen features.
    fn head(
        &self,
        ready: &Ready<'_>,
        prepared: &PreparedHead,
        seed: u64,
        folder: &Path,
        common: &Common,
    ) -> Result<Record> {
        let PreparedHead { card, network, before, rows, map } = prepared;
        let width = map.bias.len();
        let mut head = LinearHead::new(width, width, identity(width))?;
        let begun = Begun { weights_sha256: card.sha256.clone(), before: &before.plain, before_width: before.width };
        let record = self.fit(ready, seed, folder, common, &mut head, rows, &begun)?;
        if !record.interrupted {
            let onnx = features::with_head(&self.model, network, &map.then(head.weight()))?;
            self.keep(folder, &onnx, card, width, &record)?;
        }
        Ok(record)
    }

    /// The network itself, whole or its last blocks.
    fn network(
        &self,
        ready: &Ready<'_>,
        prepared: &PreparedNetwork,
        seed: u64,
        folder: &Path,
        common: &Common,
    ) -> Result<Record> {
        let start = &prepared.start;
        let (graph, values) = (&start.graph, &start.values);
        let width = graph.output_shape().len();
        let mut learner = prepared.learner(self.bn, self.device)?;
        let begun = Begun { weights_sha256: start.sha256.clone(), before: &prepared.before, before_width: width };
        let record = self.fit(ready, seed, folder, common, learner.as_mut(), prepared.inputs(), &begun)?;
        if !record.interrupted {
            let values = network::with(graph, values, &learner.parameters()?);
            let tensors = graph.params.iter().zip(&values).map(|(p, data)| NamedTensor {
                name: p.name.clone(),
                shape: p.shape.clone(),
                data: data.clone(),
            });
            let file = SafeTensors { tensors: tensors.collect(), ..Default::default() }.bytes()?;
            perface::atomic::write(&folder.join("model.safetensors"), &file, perface::atomic::Overwrite::Always)?;
            self.keep(folder, &export::network(graph, &values)?, &start.card, width, &record)?;
        }
        Ok(record)
    }

    /// The network to begin with.
    fn start(&self, session: &Session) -> Result<Start> {
        if let (Some(net), Some(path)) = (&self.net, &self.weights) {
            let unknown = || perface::Error::Usage(format!("no network is called {net:?}; see perface train --help"));
            let graph = perface_conv::nets::by_name(net).ok_or_else(unknown)?;
            let values = weights::fit(&graph, weights::read(path)?, path)?;
            let sha256 = sha256_hex(&std::fs::read(path).with_context(|| path.display().to_string())?);
            let mut preprocessing = perface::model::card::Preprocessing::arcface(112);
            if net == "sface" {
                preprocessing.scale = 128.0;
            }
            let card = ModelCard {
                name: net.clone(),
                role: perface::model::card::Role::Embedder,
                similarity: format!("{net} identity cosine"),
                preprocessing,
                embedding_len: Some(graph.output_shape().len()),
                same_person: None,
                agreement: None,
                licence: "of the weights' source".to_owned(),
                source: path.display().to_string(),
                sha256: sha256.clone(),
            };
            return Ok(Start { graph, values, card, sha256 });
        }
        let (card, base) = session.store.read(&self.model)?;
        let imported = perface::model::import::import(&self.model, &base)
            .context("this network cannot be trained itself; --tune head trains on top of any")?;
        if imported.folded {
            eprintln!("perface: {} has normalisations folded into convolutions; what is left is trained", self.model);
        }
        let (preprocessing, sha256) = (imported.preprocessing(&card.preprocessing), card.sha256.clone());
        Ok(Start { graph: imported.graph, values: imported.values, card: ModelCard { preprocessing, ..card }, sha256 })
    }

    /// Run the loop on `learner`.
    #[expect(clippy::too_many_arguments, reason = "what all ways to fit share, and what differs")]
    fn fit(
        &self,
        ready: &Ready<'_>,
        seed: u64,
        folder: &Path,
        common: &Common,
        learner: &mut dyn Learner,
        inputs: &dyn Inputs,
        begun: &Begun<'_>,
    ) -> Result<Record> {
        let options = self.train_options(seed);
        let job = Job {
            folder,
            options: &options,
            settings: self.settings(seed),
            data_sha256: ready.data_sha256.clone(),
            weights_sha256: begun.weights_sha256.clone(),
            split_sha256: ready.split_sha256.clone(),
            seed,
            resume: self.resume,
        };
        let mut line = ProgressLine::new(common.quiet, seed, options.epochs);
        let mut watch = |step: &Step| {
            line.show(step);
            if ready.stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Go }
        };
        let record = run::run(&job, learner, inputs, ready.data, (begun.before, begun.before_width), &mut watch)?;
        line.finish();
        Ok(record)
    }

    /// Means of maps on the principal directions of the training pictures.
    fn projected(&self, rows: &Rows, data: &Dataset) -> (Rows, LinearMap) {
        let training = used(data, Split::Train);
        let chosen = rows.plain.chunks_exact(rows.width).zip(&training).filter(|(_, used)| **used);
        let chosen: Vec<f32> = chosen.flat_map(|(row, _)| row.iter().copied()).collect();
        let map = projection::principal(&chosen, rows.width, self.width);
        let projected =
            Rows { width: map.bias.len(), plain: map.apply(&rows.plain), mirrored: map.apply(&rows.mirrored) };
        (projected, map)
    }

    /// Write the network and its card, ready for `perface models add`.
    fn keep(&self, folder: &Path, onnx: &[u8], base: &ModelCard, width: usize, record: &Record) -> Result<()> {
        let overwrite = perface::atomic::Overwrite::Always;
        perface::atomic::write(&folder.join("model.onnx"), onnx, overwrite)?;
        let from = if record.derived { "derived answers" } else { "answers of people" };
        let card = ModelCard {
            name: "perface".to_owned(),
            similarity: format!("PerFace similarity ({from})"),
            embedding_len: Some(width),
            same_person: None,
            agreement: record.tau.map(|tau| Agreement {
                tau,
                n: record.tau_n,
                source: format!("fitted to {from} of the validation part of {}", self.list.display()),
            }),
            licence: format!("{}; trained on {}: its terms apply too", base.licence, self.list.display()),
            source: format!("perface train on {} {}", base.name, base.sha256),
            sha256: sha256_hex(onnx),
            ..base.clone()
        };
        perface::atomic::write(&folder.join("model.json"), &serde_json::to_vec_pretty(&card)?, overwrite)?;
        Ok(())
    }
}

/// A network to begin with.
struct Start {
    graph: Graph,
    values: Vec<Vec<f32>>,
    /// Its card, with the preprocessing that the graph itself needs.
    card: ModelCard,
    sha256: String,
}

/// What all seeds share.
enum Prepared {
    Head(Box<PreparedHead>),
    Network(Box<PreparedNetwork>),
}

/// See [`Train::prepared_head`].
struct PreparedHead {
    card: ModelCard,
    /// The ONNX network up to the features.
    network: Vec<u8>,
    /// Unit embeddings before training.
    before: Rows,
    rows: Rows,
    map: LinearMap,
}

/// See [`Train::prepared_network`].
struct PreparedNetwork {
    start: Start,
    crops: Crops,
    /// With `--tune last:N`, both parts and the activations between them.
    divided: Option<(Divided, Rows)>,
    /// Unit embeddings before training.
    before: Vec<f32>,
}

impl PreparedNetwork {
    /// A learner that has learnt nothing yet.
    fn learner(&self, batch_norm: BatchNorm, device: Device) -> perface::Result<Box<dyn Learner>> {
        match &self.divided {
            Some((divided, _)) => device.learner(&divided.above, &divided.above_values, batch_norm),
            None => device.learner(&self.start.graph, &self.start.values, batch_norm),
        }
    }

    /// What it reads.
    fn inputs(&self) -> &dyn Inputs {
        match &self.divided {
            Some((_, rows)) => rows,
            None => &self.crops,
        }
    }
}

/// What a run begins with.
struct Begun<'a> {
    weights_sha256: String,
    /// Unit embeddings of all pictures before training.
    before: &'a [f32],
    before_width: usize,
}

/// What all runs of a command share.
struct Ready<'a> {
    session: &'a Session,
    data: &'a Dataset,
    /// Crops of the data's pictures, in their order.
    pixels: Vec<u8>,
    data_sha256: String,
    split_sha256: String,
    stop: Arc<AtomicBool>,
}

/// The crops of usable pictures, in the order of a data set's pictures, which are all usable ones sorted by name.
fn usable_crops(list: &[Triplet], unusable: &HashSet<String>, cut: &CropReport) -> Vec<u8> {
    let mut names: Vec<&str> = list.iter().flat_map(Triplet::pictures).collect();
    names.sort_unstable();
    names.dedup();
    let crops = names.iter().zip(cut.pixels.chunks_exact(crops::CROP_BYTES));
    crops.filter(|(name, _)| !unusable.contains(**name)).flat_map(|(_, crop)| crop.iter().copied()).collect()
}

fn identity(width: usize) -> Vec<f32> {
    (0..width * width).map(|at| f32::from(u8::from(at % (width + 1) == 0))).collect()
}
