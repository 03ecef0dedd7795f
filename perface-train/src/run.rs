//! A run and its folder: checkpoints as it goes, its record and curves at the end.
//!
//! ```text
//! run.json            settings, epochs, agreement on every test part, before and after
//! curves.csv, .svg    loss, active share and validation accuracy of every epoch
//! last.safetensors    where the run stands, to go on with --resume
//! best.safetensors    the parameters that were best on the validation part
//! test_cases.csv      cosines of every test question, before and after
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use perface::atomic::{self, Overwrite};
use perface::stats::{Interval, exact_interval};
use perface::triplets::Split;
use perface::{Error, Result};
use serde::Serialize;

use crate::calibrate::{self, Answers};
use crate::checkpoint::Checkpoint;
use crate::data::{Agreement, Dataset, LeftOut, cosines};
use crate::inputs::Inputs;
use crate::learner::Learner;
use crate::trainer::{self, Epoch, Flow, Observer, Position, Step, TrainOptions, embed_all};
use crate::weights::NamedTensor;
use crate::weights::safetensors::SafeTensors;

/// Where a run stands.
const LAST: &str = "last.safetensors";
/// Its best parameters.
const BEST: &str = "best.safetensors";
/// Parts that are reported, in this order.
const REPORTED: [Split; 4] = [Split::Val, Split::I, Split::Ii, Split::Iii];

/// What a run is, beside the learner and the data.
pub struct Job<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// How to train.
    pub options: &'a TrainOptions,
    /// All settings, for the record; a checkpoint of other settings is refused.
    pub settings: serde_json::Value,
    /// SHA-256 of the pictures' names and files.
    pub data_sha256: String,
    /// SHA-256 of the weights the run begins with.
    pub weights_sha256: String,
    /// SHA-256 of the list of triplets with their parts.
    pub split_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// Go on from the checkpoint in the folder.
    pub resume: bool,
}

/// Agreement on one part, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// Questions.
    pub n: usize,
    /// Answered as all people did, after training.
    pub right: usize,
    /// The same before training.
    pub right_before: usize,
    /// Questions in which both faces are equally close after training; counted as wrong.
    pub ties: usize,
    /// Share after training with its exact 95 % interval, which takes questions as independent.
    pub after: Option<Interval>,
    /// Share before training.
    pub before: Option<Interval>,
}

/// The record of a run, written as `run.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Version of this layout.
    pub schema: u32,
    /// What the run was started with.
    pub config: serde_json::Value,
    /// See [`Job::data_sha256`].
    pub data_sha256: String,
    /// See [`Job::weights_sha256`].
    pub weights_sha256: String,
    /// See [`Job::split_sha256`].
    pub split_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// Whether nobody was asked, and the answers were computed from other ratings.
    pub derived: bool,
    /// Every epoch.
    pub epochs: Vec<Epoch>,
    /// Epoch whose parameters were kept, from 0.
    pub best_epoch: Option<usize>,
    /// Triplets that were not used.
    pub left_out: LeftOut,
    /// Training questions.
    pub trained_on: usize,
    /// Agreement by part; a part without questions is absent.
    pub test: BTreeMap<Split, Tested>,
    /// P(people call A closer) = σ((s_A − s_B) / τ), fitted on the validation part.
    pub tau: Option<f64>,
    /// Answers τ was fitted to.
    pub tau_n: usize,
    /// File with the cosines of every test question.
    pub test_cases: String,
    /// Pictures a second in training, with validation left out.
    pub pictures_per_s: f64,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
}

/// Fit `learner` and leave the record in the folder; in the end the learner has the best parameters. A run that was
/// stopped is not tested.
///
/// `before` holds unit embeddings `[pictures, before_width]` of the network before training, which the anchor holds on
/// to and the result is compared with. `watch` is told after every batch and may stop the run, which can then be gone on
/// with.
///
/// # Errors
/// [`Error::Usage`] if the folder has a run already and `resume` is not asked for, or its settings differ;
/// [`Error::Malformed`] for a damaged checkpoint; what training and writing return.
pub fn run(
    job: &Job<'_>,
    learner: &mut dyn Learner,
    inputs: &dyn Inputs,
    data: &Dataset,
    (before, before_width): (&[f32], usize),
    watch: &mut dyn FnMut(&Step) -> Flow,
) -> Result<Record> {
    let settings = job.settings.to_string();
    let last = job.folder.join(LAST);
    let (mut position, mut best) = (Position::default(), None);
    if job.resume && last.exists() {
        let checkpoint = Checkpoint::read(&last)?;
        if checkpoint.settings != settings {
            return Err(Error::Usage(format!(
                "{} was made with other settings or data; start anew in another folder\n  then: {}\n  now:  {settings}",
                last.display(),
                checkpoint.settings
            )));
        }
        learner.restore(&checkpoint.parameters, &checkpoint.velocities)?;
        position = checkpoint.position;
        if position.best_epoch.is_some() {
            best = Some(read_parameters(&job.folder.join(BEST))?);
        }
    } else if last.exists() {
        return Err(Error::Usage(format!("{} has a run already; --resume goes on with it", job.folder.display())));
    }
    let mut recorder = Recorder { folder: job.folder, settings, watch, pictures_per_s: 0.0 };
    let trained = trainer::train(learner, inputs, data, before, job.options, position, best, &mut recorder)?;
    let pictures_per_s = recorder.pictures_per_s;
    let position = trained.position;
    let width = learner.width();
    // Who stops a run does not wait for its test.
    let parts: &[Split] = if trained.interrupted { &[] } else { &REPORTED };
    let after = if trained.interrupted { Vec::new() } else { embed_all(learner, inputs, data.pictures.len(), None)? };
    let (tau, tau_n) = if trained.interrupted { (None, 0) } else { scale(data, &after, width) };
    let record = Record {
        schema: 1,
        config: job.settings.clone(),
        data_sha256: job.data_sha256.clone(),
        weights_sha256: job.weights_sha256.clone(),
        split_sha256: job.split_sha256.clone(),
        seed: job.seed,
        derived: data.derived,
        best_epoch: position.best_epoch,
        epochs: position.epochs,
        left_out: data.left_out.clone(),
        trained_on: data.part(Split::Train).len(),
        test: parts
            .iter()
            .filter(|split| !data.part(**split).is_empty())
            .map(|split| (*split, tested(data, *split, (before, before_width), (&after, width))))
            .collect(),
        tau,
        tau_n,
        test_cases: "test_cases.csv".to_owned(),
        pictures_per_s,
        interrupted: trained.interrupted,
    };
    if !trained.interrupted {
        let cases = test_cases(data, (before, before_width), (&after, width));
        write(job.folder, "test_cases.csv", cases.as_bytes())?;
    }
    let title = if data.derived { "derived answers (nobody was asked)" } else { "answers of people" };
    write(job.folder, "curves.svg", crate::curves::svg(&record.epochs, title).as_bytes())?;
    let json = serde_json::to_vec_pretty(&record).map_err(|error| Error::Usage(format!("run.json: {error}")))?;
    write(job.folder, "run.json", &json)?;
    Ok(record)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    atomic::write(&folder.join(name), bytes, Overwrite::Always)
}

/// The parameters of the best epoch of the run in `folder`.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub fn best_parameters(folder: &Path) -> Result<Vec<NamedTensor>> {
    read_parameters(&folder.join(BEST))
}

fn read_parameters(path: &Path) -> Result<Vec<NamedTensor>> {
    let bytes = perface::file::read_limited(path, crate::weights::MAX_FILE_BYTES)?;
    Ok(SafeTensors::read(path, &bytes)?.tensors)
}

/// τ and how many answers it rests on.
fn scale(data: &Dataset, embeddings: &[f32], width: usize) -> (Option<f64>, usize) {
    let row = |at: usize| embeddings.get(at * width..(at + 1) * width).unwrap_or_default();
    let cosine =
        |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let answers: Vec<Answers> = data
        .votes
        .iter()
        .map(|v| Answers {
            difference: cosine(v.reference, v.a) - cosine(v.reference, v.b),
            votes_a: v.votes_a,
            votes_b: v.votes_b,
        })
        .collect();
    (calibrate::fit(&answers), answers.iter().map(|a| a.votes_a + a.votes_b).sum())
}

/// Unit embeddings and their width.
type Table<'a> = (&'a [f32], usize);

fn tested(data: &Dataset, split: Split, before: Table<'_>, after: Table<'_>) -> Tested {
    let questions = data.part(split);
    let before = Agreement::of(questions, before.0, before.1);
    let after = Agreement::of(questions, after.0, after.1);
    let interval = |a: Agreement| exact_interval(a.right as u64, a.n as u64);
    Tested {
        n: after.n,
        right: after.right,
        right_before: before.right,
        ties: after.ties,
        after: interval(after),
        before: interval(before),
    }
}

fn test_cases(data: &Dataset, before: Table<'_>, after: Table<'_>) -> String {
    let mut text = "split,before_chosen,before_other,after_chosen,after_other\n".to_owned();
    for split in REPORTED {
        let questions = data.part(split);
        let pairs = cosines(questions, before.0, before.1).zip(cosines(questions, after.0, after.1));
        for ((near, far), (near_after, far_after)) in pairs {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{split},{near:.6},{far:.6},{near_after:.6},{far_after:.6}");
        }
    }
    text
}

/// Keeps the folder while the run goes on.
struct Recorder<'a> {
    folder: &'a Path,
    settings: String,
    watch: &'a mut dyn FnMut(&Step) -> Flow,
    pictures_per_s: f64,
}

impl Observer for Recorder<'_> {
    fn step(&mut self, step: &Step) -> Flow {
        self.pictures_per_s = step.pictures_per_s;
        (self.watch)(step)
    }

    fn save(&mut self, position: &Position, learner: &dyn Learner, is_best: bool) -> Result<()> {
        if is_best {
            let tensors = SafeTensors { tensors: learner.parameters()?, ..Default::default() };
            write(self.folder, BEST, &tensors.bytes()?)?;
        }
        write(self.folder, "curves.csv", crate::curves::csv(&position.epochs).as_bytes())?;
        Checkpoint::of(learner, position, &self.settings)?.write(&self.folder.join(LAST))
    }
}

#[cfg(test)]
mod tests {
    use perface::draw::Seed;

    use super::*;
    use crate::data::Question;
    use crate::inputs::Rows;
    use crate::learner::{LinearHead, Sgd};
    use crate::loss::LossOptions;
    use crate::trainer::Schedule;

    fn options() -> TrainOptions {
        TrainOptions {
            epochs: 4,
            batch: 2,
            sgd: Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, spare_vectors: false },
            schedule: Schedule::Constant,
            loss: LossOptions { margin: 0.1, anchor: 0.1 },
            flip: false,
            patience: 0,
            clip: None,
            seed: Seed::new(1),
        }
    }

    fn data() -> (Rows, Dataset) {
        let plain: Vec<f32> = (0..24).map(|n| ((n * n) as f32 * 0.7).sin()).collect();
        let question = |reference, near, far| Question { reference, near, far, weight: 1.0 };
        let parts = BTreeMap::from([
            (Split::Train, vec![question(0, 1, 2), question(1, 2, 3), question(3, 0, 2), question(2, 0, 1)]),
            (Split::Val, vec![question(4, 5, 6)]),
            (Split::I, vec![question(7, 6, 5), question(6, 7, 4)]),
        ]);
        let pictures = (0..8).map(|n| n.to_string()).collect();
        (Rows { width: 3, mirrored: plain.clone(), plain }, Dataset { pictures, parts, ..Default::default() })
    }

    fn head() -> LinearHead {
        LinearHead::new(3, 3, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).unwrap()
    }

    fn job<'a>(folder: &'a Path, options: &'a TrainOptions, resume: bool) -> Job<'a> {
        Job {
            folder,
            options,
            settings: serde_json::json!({"lr": 0.1}),
            data_sha256: "d".to_owned(),
            weights_sha256: "w".to_owned(),
            split_sha256: "s".to_owned(),
            seed: 1,
            resume,
        }
    }

    fn run_in(folder: &Path, resume: bool, stop_after: usize) -> Result<Record> {
        let (inputs, data) = data();
        let mut head = head();
        let before = embed_all(&mut head, &inputs, 8, None).unwrap();
        let mut left = stop_after;
        let mut watch = |_: &Step| {
            left = left.saturating_sub(1);
            if left == 0 { Flow::Stop } else { Flow::Go }
        };
        run(&job(folder, &options(), resume), &mut head, &inputs, &data, (&before, 3), &mut watch)
    }

    #[test]
    fn a_run_leaves_its_record_and_goes_on_to_the_same_files() {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let record = run_in(whole.path(), false, usize::MAX).unwrap();
        assert_eq!((record.epochs.len(), record.test[&Split::I].n, record.trained_on), (4, 2, 4));
        let stopped = run_in(parts.path(), false, 3).unwrap();
        assert!(stopped.interrupted && stopped.test.is_empty() && !parts.path().join("test_cases.csv").exists());
        assert!(!run_in(parts.path(), true, usize::MAX).unwrap().interrupted);
        for name in ["best.safetensors", "last.safetensors", "curves.csv", "curves.svg", "test_cases.csv"] {
            let read = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(name)).unwrap();
            assert!(read(&whole) == read(&parts), "{name} differs");
        }
    }

    #[test]
    fn a_folder_in_use_and_other_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        run_in(folder.path(), false, usize::MAX).unwrap();
        assert!(run_in(folder.path(), false, usize::MAX).unwrap_err().to_string().contains("--resume"));
        let (inputs, data) = data();
        let options = options();
        let other = Job { settings: serde_json::json!({"lr": 0.2}), ..job(folder.path(), &options, true) };
        let error = run(&other, &mut head(), &inputs, &data, (&[0.0; 24], 3), &mut |_| Flow::Go).unwrap_err();
        assert!(error.to_string().contains("other settings"), "{error}");
    }

    #[test]
    fn a_cut_checkpoint_stops_a_resumed_run() {
        let folder = tempfile::tempdir().unwrap();
        run_in(folder.path(), false, 3).unwrap();
        let path = folder.path().join(LAST);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(run_in(folder.path(), true, usize::MAX).unwrap_err().to_string().contains(LAST));
    }
}
