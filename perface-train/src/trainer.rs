//! The training loop: epochs of batches of triplets, validation, and the best parameters kept.
//!
//! Every draw is keyed by the seed and the epoch, and every sum runs in a fixed order, so a run that goes on from a
//! checkpoint gives the same bits as one that was never interrupted.

use std::str::FromStr;
use std::time::{Duration, Instant};

use perface::draw::{Seed, below};
use perface::triplets::Split;
use perface::{Error, Result};
use serde::Serialize;

use crate::data::{Agreement, Dataset};
use crate::inputs::Inputs;
use crate::learner::{Learner, Sgd};
use crate::loss::{LossOptions, batch_loss};
use crate::weights::NamedTensor;

/// Pictures embedded at once outside training.
const EMBED_BATCH: usize = 32;

/// How the learning rate goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// To a tenth after 60 % of the epochs and to a hundredth after 85 %.
    Step,
    /// Along half a cosine, from epoch to epoch.
    Cosine,
}

impl Schedule {
    /// Share of the first learning rate in `epoch` of `epochs`, both from 0.
    pub fn factor(self, epoch: usize, epochs: usize) -> f64 {
        let done = epoch as f64 / epochs.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Step if done < 0.6 => 1.0,
            Self::Step if done < 0.85 => 0.1,
            Self::Step => 0.01,
            Self::Cosine => (1.0 + (std::f64::consts::PI * done).cos()) / 2.0,
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "constant" => Ok(Self::Constant),
            "step" => Ok(Self::Step),
            "cosine" => Ok(Self::Cosine),
            _ => Err(format!("{text:?} is none of constant, step, cosine")),
        }
    }
}

/// How to train; the defaults are the published ones, and where nothing was published those of ../docs.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Most passes over the training triplets.
    pub epochs: usize,
    /// Triplets of a batch.
    pub batch: usize,
    /// First learning rate, momentum and weight decay.
    pub sgd: Sgd,
    /// How the learning rate goes down.
    pub schedule: Schedule,
    /// Margin and anchor.
    pub loss: LossOptions,
    /// Mirror a triplet's three pictures together, with probability one half.
    pub flip: bool,
    /// Stop after so many epochs without a better validation accuracy; 0 for never.
    pub patience: usize,
    /// Largest norm of the gradients; larger ones are scaled down.
    pub clip: Option<f64>,
    /// Key of every draw.
    pub seed: Seed,
}

/// One epoch in a run's record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// Mean loss of its batches, before each step.
    pub loss: f64,
    /// Share of triplets that were not told apart by the margin.
    pub active: f64,
    /// Share of validation questions answered as people did, after the epoch.
    pub val_accuracy: f64,
}

/// Where a run stands: with the learner's parameters and velocities, all that is needed to go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Epochs that are complete.
    pub epochs: Vec<Epoch>,
    /// Batches done of the next one.
    pub batch: usize,
    /// Sum of their losses.
    pub loss_sum: f64,
    /// Sum of their active shares.
    pub active_sum: f64,
    /// Epoch, from 0, whose parameters are best on the validation part.
    pub best_epoch: Option<usize>,
}

impl Position {
    /// Validation accuracy of the best epoch.
    pub fn best_accuracy(&self) -> Option<f64> {
        self.epochs.get(self.best_epoch?).map(|epoch| epoch.val_accuracy)
    }
}

/// What is told after every batch.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Batches done of it.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Loss and active share so far in this epoch.
    pub loss: f64,
    /// See [`Step::loss`].
    pub active: f64,
    /// Pictures a second since the run (or its continuation) began.
    pub pictures_per_s: f64,
    /// Time the remaining epochs will take, if none is left out.
    pub left: Duration,
}

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Go,
    /// Save and stop.
    Stop,
}

/// Watches a run and keeps its checkpoints.
pub trait Observer {
    /// After every batch.
    fn step(&mut self, step: &Step) -> Flow;

    /// After every epoch, and when the run stops: save what is needed to go on. `is_best` says that the parameters are
    /// the best so far.
    ///
    /// # Errors
    /// If it cannot be saved; the run ends with that.
    fn save(&mut self, position: &Position, learner: &dyn Learner, is_best: bool) -> Result<()>;
}

/// What a run ends with.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Its record.
    pub position: Position,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Fit `learner` to `data`, going on from `position`. `best` holds the parameters of the best epoch so far, and in the
/// end the learner has those of the best of all.
///
/// `teacher` has one row of unit norm for each picture, from before training; read only where there is an anchor.
///
/// # Errors
/// [`Error::Usage`] if the loss is no longer finite; what the observer returns.
#[expect(clippy::too_many_arguments, reason = "each is a part of its own, and there is one caller")]
pub fn train(
    learner: &mut dyn Learner,
    inputs: &dyn Inputs,
    data: &Dataset,
    teacher: &[f32],
    options: &TrainOptions,
    mut position: Position,
    mut best: Option<Vec<NamedTensor>>,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let questions = data.part(Split::Train);
    let batches = questions.len().div_ceil(options.batch.max(1));
    let began = Instant::now();
    let mut pictures_done = 0usize;
    let finished = |position: &Position| {
        let since_best = position.best_epoch.map_or(0, |best| position.epochs.len() - 1 - best);
        position.epochs.len() >= options.epochs || (options.patience > 0 && since_best >= options.patience)
    };
    while !finished(&position) {
        let epoch = position.epochs.len();
        let factor = options.schedule.factor(epoch, options.epochs);
        let sgd = Sgd { learning_rate: (f64::from(options.sgd.learning_rate) * factor) as f32, ..options.sgd };
        let (order, flips) = drawn_order(questions.len(), options, epoch);
        for batch in order.chunks(options.batch.max(1)).skip(position.batch) {
            let chosen: Vec<_> = batch.iter().filter_map(|at| Some((questions.get(*at)?, *flips.get(*at)?))).collect();
            let pictures: Vec<(usize, bool)> = chosen
                .iter()
                .map(|(q, flip)| (q.reference, *flip))
                .chain(chosen.iter().map(|(q, flip)| (q.near, *flip)))
                .chain(chosen.iter().map(|(q, flip)| (q.far, *flip)))
                .collect();
            let mut rows = vec![0.0; pictures.len() * inputs.width()];
            for (row, (picture, mirrored)) in rows.chunks_exact_mut(inputs.width().max(1)).zip(&pictures) {
                inputs.fill(*picture, *mirrored, row);
            }
            let embeddings = learner.forward(&rows, pictures.len())?;
            let weights: Vec<f64> = chosen.iter().map(|(q, _)| q.weight).collect();
            let teacher_rows = rows_of(teacher, data.pictures.len(), pictures.iter().map(|(picture, _)| *picture));
            let loss = batch_loss(&embeddings, learner.width(), &weights, &teacher_rows, options.loss);
            if !loss.value.is_finite() || !loss.gradient.iter().all(|g| g.is_finite()) {
                return Err(Error::Usage(format!(
                    "the loss is no longer a number in epoch {}, batch {}; try a lower learning rate, --clip 5 or --bn \
                     frozen. The best parameters so far are kept",
                    epoch + 1,
                    position.batch + 1
                )));
            }
            learner.backward(&loss.gradient)?;
            if let Some(largest) = options.clip {
                let norm = learner.gradient_norm();
                if norm > largest {
                    learner.scale_gradients((largest / norm) as f32);
                }
            }
            learner.step(&sgd);
            position.batch += 1;
            position.loss_sum += loss.value;
            position.active_sum += loss.active;
            pictures_done += pictures.len();
            let step = report(&position, epoch, batches, options.epochs, pictures_done, 3 * questions.len(), began);
            if observer.step(&step) == Flow::Stop {
                observer.save(&position, learner, false)?;
                return Ok(Trained { position, interrupted: true });
            }
        }
        let embeddings = embed_all(learner, inputs, data.pictures.len(), Some(&used(data, Split::Val)))?;
        let val_accuracy = Agreement::of(data.part(Split::Val), &embeddings, learner.width()).share();
        let is_best = position.best_accuracy().is_none_or(|best| val_accuracy > best);
        let mean = |sum: f64| sum / batches.max(1) as f64;
        let (loss, active) = (mean(position.loss_sum), mean(position.active_sum));
        position.epochs.push(Epoch { loss, active, val_accuracy });
        (position.batch, position.loss_sum, position.active_sum) = (0, 0.0, 0.0);
        if is_best {
            position.best_epoch = Some(epoch);
            best = Some(learner.parameters()?);
        }
        observer.save(&position, learner, is_best)?;
    }
    if let Some(best) = best {
        learner.restore(&best, &[])?;
    }
    Ok(Trained { position, interrupted: false })
}

/// The order of the questions in an epoch, and which are mirrored.
fn drawn_order(count: usize, options: &TrainOptions, epoch: usize) -> (Vec<usize>, Vec<bool>) {
    let mut rng = options.seed.keyed("training order", &[&(epoch as u64).to_le_bytes()]);
    let mut order: Vec<usize> = (0..count).collect();
    for index in (1..count).rev() {
        order.swap(index, below(&mut rng, index + 1));
    }
    let flips = (0..count).map(|_| below(&mut rng, 2) == 1 && options.flip).collect();
    (order, flips)
}

fn report(
    position: &Position,
    epoch: usize,
    batches: usize,
    epochs: usize,
    pictures_done: usize,
    pictures_per_epoch: usize,
    began: Instant,
) -> Step {
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let pictures_per_s = pictures_done as f64 / seconds;
    let share_left = (epochs - epoch) as f64 - position.batch as f64 / batches.max(1) as f64;
    let left = share_left.max(0.0) * pictures_per_epoch as f64 / pictures_per_s.max(1e-9);
    Step {
        epoch,
        batch: position.batch,
        batches,
        loss: position.loss_sum / position.batch.max(1) as f64,
        active: position.active_sum / position.batch.max(1) as f64,
        pictures_per_s,
        left: Duration::try_from_secs_f64(left).unwrap_or_default(),
    }
}

/// The rows of `pictures` out of a table of `count` rows.
fn rows_of(table: &[f32], count: usize, pictures: impl Iterator<Item = usize>) -> Vec<f32> {
    let width = table.len() / count.max(1);
    pictures.flat_map(|at| table.get(at * width..(at + 1) * width).unwrap_or_default()).copied().collect()
}

/// Which pictures the questions of a part need.
pub fn used(data: &Dataset, split: Split) -> Vec<bool> {
    let mut used = vec![false; data.pictures.len()];
    for question in data.part(split) {
        for at in [question.reference, question.near, question.far] {
            if let Some(slot) = used.get_mut(at) {
                *slot = true;
            }
        }
    }
    used
}

/// Unit embeddings `[count, width]` of all pictures, or of those `wanted`, with zeros for the others.
///
/// # Errors
/// What the learner returns.
pub fn embed_all(
    learner: &mut dyn Learner,
    inputs: &dyn Inputs,
    count: usize,
    wanted: Option<&[bool]>,
) -> Result<Vec<f32>> {
    let wanted = |at: &usize| wanted.is_none_or(|wanted| wanted.get(*at) == Some(&true));
    let pictures: Vec<usize> = (0..count).filter(wanted).collect();
    let width = learner.width();
    let mut table = vec![0.0; count * width];
    for chunk in pictures.chunks(EMBED_BATCH) {
        let mut rows = vec![0.0; chunk.len() * inputs.width()];
        for (row, picture) in rows.chunks_exact_mut(inputs.width().max(1)).zip(chunk) {
            inputs.fill(*picture, false, row);
        }
        let embeddings = learner.embed(&rows, chunk.len())?;
        for (raw, picture) in embeddings.chunks_exact(width).zip(chunk) {
            let norm = raw.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
            if let Some(row) = table.get_mut(picture * width..(picture + 1) * width) {
                row.iter_mut().zip(raw).for_each(|(to, from)| *to = (f64::from(*from) / norm) as f32);
            }
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::Question;
    use crate::inputs::Rows;
    use crate::learner::LinearHead;

    /// Points in eight dimensions of which people look at the first two only.
    fn world() -> (Rows, Dataset) {
        let (count, width) = (60, 8);
        let mut state = 3u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let plain: Vec<f32> = (0..count * width).map(|_| next()).collect();
        let cosine = |a: usize, b: usize| {
            let (a, b) = (&plain[a * width..a * width + 2], &plain[b * width..b * width + 2]);
            (a[0] * b[0] + a[1] * b[1]) / (a[0].hypot(a[1]) * b[0].hypot(b[1]))
        };
        let questions = |from: usize, to: usize, n: usize, salt: usize| -> Vec<Question> {
            let pick = |k: usize| from + (k * 7919 + salt) % (to - from);
            (0..n)
                .map(|k| (pick(3 * k), pick(3 * k + 1), pick(5 * k + 2)))
                .filter(|(c, a, b)| c != a && c != b && a != b)
                .map(|(c, a, b)| {
                    let (near, far) = if cosine(c, a) > cosine(c, b) { (a, b) } else { (b, a) };
                    Question { reference: c, near, far, weight: 1.0 }
                })
                .collect()
        };
        let parts = BTreeMap::from([(Split::Train, questions(0, 40, 400, 1)), (Split::Val, questions(40, 60, 200, 5))]);
        let data = Dataset { pictures: (0..count).map(|n| n.to_string()).collect(), parts, ..Default::default() };
        (Rows { width, mirrored: plain.clone(), plain }, data)
    }

    fn options() -> TrainOptions {
        TrainOptions {
            epochs: 6,
            batch: 32,
            sgd: Sgd { learning_rate: 1.0, momentum: 0.9, weight_decay: 5e-4, spare_vectors: false },
            schedule: Schedule::Cosine,
            loss: LossOptions { margin: 0.1, anchor: 0.0 },
            flip: true,
            patience: 0,
            clip: Some(5.0),
            seed: Seed::new(1),
        }
    }

    fn identity() -> LinearHead {
        LinearHead::new(8, 8, (0..64).map(|n| f32::from(n % 9 == 0)).collect()).unwrap()
    }

    /// Stops after so many batches and keeps what was saved last.
    struct StopAfter {
        batches: usize,
        saved: Option<(Position, Vec<NamedTensor>, Vec<NamedTensor>)>,
        best: Option<Vec<NamedTensor>>,
    }

    impl Observer for StopAfter {
        fn step(&mut self, step: &Step) -> Flow {
            assert!(step.loss.is_finite() && (0.0..=1.0).contains(&step.active));
            self.batches = self.batches.saturating_sub(1);
            if self.batches == 0 { Flow::Stop } else { Flow::Go }
        }

        fn save(&mut self, position: &Position, learner: &dyn Learner, is_best: bool) -> Result<()> {
            if is_best {
                self.best = Some(learner.parameters()?);
            }
            self.saved = Some((position.clone(), learner.parameters()?, learner.velocities()?));
            Ok(())
        }
    }

    fn never() -> StopAfter {
        StopAfter { batches: usize::MAX, saved: None, best: None }
    }

    #[test]
    fn a_head_learns_what_people_look_at() {
        let (inputs, data) = world();
        let mut head = identity();
        let before = embed_all(&mut head, &inputs, 60, None).unwrap();
        let before = Agreement::of(data.part(Split::Val), &before, 8).share();
        let trained =
            train(&mut head, &inputs, &data, &[], &options(), Position::default(), None, &mut never()).unwrap();
        let after = trained.position.best_accuracy().unwrap();
        assert!(before < 0.8 && after > 0.9, "{before} → {after}");
        let embeddings = embed_all(&mut head, &inputs, 60, None).unwrap();
        assert_eq!(Agreement::of(data.part(Split::Val), &embeddings, 8).share(), after, "the best epoch's parameters");
    }

    #[test]
    fn a_run_that_was_stopped_anywhere_goes_on_to_the_same_bits() {
        let (inputs, data) = world();
        let mut whole = identity();
        let record = train(&mut whole, &inputs, &data, &[], &options(), Position::default(), None, &mut never());
        let record = record.unwrap().position;
        for batches in [1, 13, 25, 40] {
            let mut first = StopAfter { batches, ..never() };
            let stopped =
                train(&mut identity(), &inputs, &data, &[], &options(), Position::default(), None, &mut first).unwrap();
            assert!(stopped.interrupted);
            let (position, parameters, velocities) = first.saved.unwrap();
            let mut second = identity();
            second.restore(&parameters, &velocities).unwrap();
            let resumed =
                train(&mut second, &inputs, &data, &[], &options(), position, first.best, &mut never()).unwrap();
            assert_eq!(resumed.position, record, "stopped after {batches}");
            assert_eq!(second.weight(), whole.weight(), "stopped after {batches}");
        }
    }

    #[test]
    fn an_anchor_keeps_similarities_near_those_before() {
        let (inputs, data) = world();
        let before = embed_all(&mut identity(), &inputs, 60, None).unwrap();
        let moved = |anchor: f64| {
            let mut head = identity();
            let options = TrainOptions { loss: LossOptions { margin: 0.1, anchor }, epochs: 3, ..options() };
            train(&mut head, &inputs, &data, &before, &options, Position::default(), None, &mut never()).unwrap();
            let after = embed_all(&mut head, &inputs, 60, None).unwrap();
            let dot = |t: &[f32], i: usize, j: usize| -> f32 { (0..8).map(|k| t[i * 8 + k] * t[j * 8 + k]).sum() };
            (0..59).map(|i| (dot(&after, i, i + 1) - dot(&before, i, i + 1)).abs()).sum::<f32>()
        };
        let (free, anchored) = (moved(0.0), moved(10.0));
        assert!(anchored < 0.5 * free, "{anchored} against {free}");
    }

    #[test]
    fn a_loss_that_is_no_number_ends_the_run() {
        let (inputs, data) = world();
        let sgd = Sgd { learning_rate: f32::MAX, ..options().sgd };
        let options = TrainOptions { sgd, clip: None, ..options() };
        let error = train(&mut identity(), &inputs, &data, &[], &options, Position::default(), None, &mut never());
        assert!(error.unwrap_err().to_string().contains("no longer a number"));
    }

    #[test]
    fn patience_ends_a_run_that_no_longer_improves() {
        let (inputs, data) = world();
        let sgd = Sgd { learning_rate: 0.0, ..options().sgd };
        let options = TrainOptions { sgd, patience: 2, epochs: 50, ..options() };
        let trained =
            train(&mut identity(), &inputs, &data, &[], &options, Position::default(), None, &mut never()).unwrap();
        assert_eq!(trained.position.epochs.len(), 3);
    }

    #[test]
    fn schedules_go_down_as_described() {
        let at = |schedule: Schedule| [0, 5, 6, 9].map(|epoch| (schedule.factor(epoch, 10) * 1e3).round() / 1e3);
        assert_eq!(at(Schedule::Constant), [1.0; 4]);
        assert_eq!(at(Schedule::Step), [1.0, 1.0, 0.1, 0.01]);
        assert_eq!(at(Schedule::Cosine), [1.0, 0.5, 0.345, 0.024]);
    }
}
