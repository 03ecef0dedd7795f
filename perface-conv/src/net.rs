//! A network that runs and is trained: parameters, activations and gradients in the blocked layout.

use crate::error::Error;
use crate::graph::{Graph, Init, Kind, ParamId};
use crate::job::Job;
use crate::plan::{Affine, Plan, Stage, TensorId};
use crate::simd::{BLOCK, Level};
use crate::tensor::{Buffer, Dims, Pool};
use crate::timing::Timings;
use crate::weights::Packing;
use std::sync::Arc;

/// How a [`Net`] runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetOptions {
    /// Threads; 0 for as many as there are cores. Results do not depend on it.
    pub threads: usize,
    /// Instruction set; `None` for the best of this machine.
    pub level: Option<Level>,
    /// Seed of the random weights of a new network.
    pub seed: u64,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: statistics of the batch, running statistics are moved.
    Train,
    /// Training with the running statistics held constant; scale and shift are still trained.
    TrainFrozenBn,
    /// Use: running statistics, nothing is kept for a backward pass.
    Eval,
}

/// Per-channel constants of one normalisation or bias, padded to whole blocks.
pub(crate) struct Constants {
    pub scale: Buffer,
    pub shift: Buffer,
    pub mean: Buffer,
    pub inverse: Buffer,
    pub mean_gradient: Buffer,
    pub mean_product: Buffer,
}

/// The passes of one convolution for the present batch.
pub(crate) struct Jobs {
    pub forward: Job,
    /// Forward into the activation that the fused form writes.
    pub fused: Job,
    pub backward: Vec<Job>,
}

/// A network with its parameters, ready to run and to be trained.
///
/// Dropout does nothing here: fine-tuning on triplets goes without it.
pub struct Net {
    pub(crate) graph: Graph,
    pub(crate) plan: Plan,
    pub(crate) level: Level,
    pub(crate) threads: Arc<rayon::ThreadPool>,
    /// For each parameter, how it is packed; `None` for vectors.
    pub(crate) packings: Vec<Option<Packing>>,
    pub(crate) values: Vec<Buffer>,
    pub(crate) gradients: Vec<Option<Buffer>>,
    pub(crate) momenta: Vec<Option<Buffer>>,
    pub(crate) batch: usize,
    pub(crate) jobs: Vec<Option<Jobs>>,
    pub(crate) constants: Vec<Constants>,
    pub(crate) activations: Vec<Option<Buffer>>,
    pub(crate) tensor_gradients: Vec<Option<Buffer>>,
    pub(crate) pool: Pool,
    /// Weights packed for the input's gradient of one convolution.
    pub(crate) transposed: Buffer,
    pub(crate) sums: Vec<f64>,
    /// For each activation, mean and mean square by channel, of the last training pass.
    pub(crate) moments: Vec<Vec<[f64; 2]>>,
    pub(crate) output: Vec<f32>,
    /// How the activations that are kept were made; `None` when there are none.
    pub(crate) kept: Option<Mode>,
    pub(crate) timings: Timings,
}

impl Net {
    /// A network of `graph` with its initial weights.
    ///
    /// # Errors
    /// [`Error::Graph`] if the graph holds something that no kernel does, [`Error::Threads`] if the threads cannot be started.
    pub fn new(graph: Graph, options: NetOptions) -> Result<Self, Error> {
        let plan = Plan::of(&graph)?;
        let level = options.level.unwrap_or_else(Level::detect);
        if !level.is_available() {
            return Err(Error::Graph(format!("this machine has no {level:?}")));
        }
        let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
        let threads = threads.map_err(|e| Error::Threads(e.to_string()))?;
        let packings = packings(&graph, &plan)?;
        let values = packings.iter().zip(&graph.params).map(|(packing, param)| {
            Buffer::zeros(packing.map_or(param.len().next_multiple_of(BLOCK), |packing| packing.len()))
        });
        let constants = plan.affines.iter().map(|(_, on)| {
            let length = plan.tensors[*on].shape.channels.next_multiple_of(BLOCK);
            let zeros = || Buffer::zeros(length);
            Constants {
                scale: zeros(),
                shift: zeros(),
                mean: zeros(),
                inverse: zeros(),
                mean_gradient: zeros(),
                mean_product: zeros(),
            }
        });
        let (params, tensors, stages) = (graph.params.len(), plan.tensors.len(), plan.stages.len());
        let mut net = Self {
            values: values.collect(),
            constants: constants.collect(),
            gradients: none(params),
            momenta: none(params),
            jobs: none(stages),
            activations: none(tensors),
            tensor_gradients: none(tensors),
            moments: vec![vec![]; tensors],
            batch: 0,
            pool: Pool::default(),
            transposed: Buffer::default(),
            sums: vec![],
            output: vec![],
            kept: None,
            timings: Timings::default(),
            graph,
            plan,
            level,
            threads: Arc::new(threads),
            packings,
        };
        net.initialise(options.seed);
        Ok(net)
    }

    /// The network's definition.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The instruction set in use.
    pub fn level(&self) -> Level {
        self.level
    }

    fn initialise(&mut self, seed: u64) {
        let mut random = SplitMix(seed);
        for id in 0..self.graph.params.len() {
            let param = &self.graph.params[id];
            let init = param.init;
            let plain: Vec<f32> = (0..param.len())
                .map(|_| match init {
                    Init::Constant(value) => value,
                    Init::Normal(deviation) => deviation * random.normal(),
                    Init::Uniform(bound) => bound * (2.0 * random.uniform() - 1.0),
                })
                .collect();
            pack(self.packings[id].as_ref(), &plain, self.values[id].as_mut_slice());
        }
    }

    fn id(&self, name: &str) -> Result<ParamId, Error> {
        self.graph.param(name).ok_or_else(|| Error::NoParam(name.into()))
    }

    fn checked(&self, name: &str, got: usize) -> Result<ParamId, Error> {
        let id = self.id(name)?;
        let want = self.graph.params[id].len();
        if got == want { Ok(id) } else { Err(Error::Length { what: name.into(), got, want }) }
    }

    /// Set parameter `name`, in PyTorch's order.
    ///
    /// # Errors
    /// [`Error::NoParam`], [`Error::Length`].
    pub fn set(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let id = self.checked(name, values.len())?;
        pack(self.packings[id].as_ref(), values, self.values[id].as_mut_slice());
        Ok(())
    }

    /// Parameter `name`, in PyTorch's order.
    ///
    /// # Errors
    /// [`Error::NoParam`].
    pub fn get(&self, name: &str) -> Result<Vec<f32>, Error> {
        let id = self.id(name)?;
        Ok(self.plain(id, &self.values[id]))
    }

    /// Name, shape and values of every parameter, in the order of the graph.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[usize], Vec<f32>)> {
        self.graph
            .params
            .iter()
            .enumerate()
            .map(|(id, param)| (param.name.as_str(), param.shape.as_slice(), self.plain(id, &self.values[id])))
    }

    /// Gradient of parameter `name` from the last [`Net::backward`], in PyTorch's order; `None` before it and for buffers.
    ///
    /// # Errors
    /// [`Error::NoParam`].
    pub fn gradient(&self, name: &str) -> Result<Option<Vec<f32>>, Error> {
        let id = self.id(name)?;
        Ok(self.gradients[id].as_ref().map(|gradient| self.plain(id, gradient)))
    }

    /// Momentum of parameter `name`; `None` before the first [`Net::sgd`].
    ///
    /// # Errors
    /// [`Error::NoParam`].
    pub fn momentum(&self, name: &str) -> Result<Option<Vec<f32>>, Error> {
        let id = self.id(name)?;
        Ok(self.momenta[id].as_ref().map(|momentum| self.plain(id, momentum)))
    }

    /// Set the momentum of parameter `name`, as [`Net::momentum`] gave it.
    ///
    /// # Errors
    /// [`Error::NoParam`], [`Error::Length`].
    pub fn set_momentum(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let id = self.checked(name, values.len())?;
        let length = self.values[id].len();
        let momentum = self.momenta[id].get_or_insert_with(|| Buffer::zeros(length));
        pack(self.packings[id].as_ref(), values, momentum.as_mut_slice());
        Ok(())
    }

    fn plain(&self, id: ParamId, buffer: &Buffer) -> Vec<f32> {
        let mut plain = vec![0.0; self.graph.params[id].len()];
        match &self.packings[id] {
            Some(packing) => packing.for_each(|packed, index| plain[index] = buffer.as_slice()[packed]),
            None => plain.copy_from_slice(&buffer.as_slice()[..self.graph.params[id].len()]),
        }
        plain
    }

    /// Geometry of an activation in the present batch.
    pub(crate) fn dims(&self, tensor: TensorId) -> Dims {
        let of = &self.plan.tensors[tensor];
        Dims::of(of.shape, self.batch, of.border, of.is_vector)
    }

    /// Get ready for batches of `batch`; what was kept of another size is dropped.
    pub(crate) fn set_batch(&mut self, batch: usize) {
        self.kept = None;
        for tensor in 0..self.plan.tensors.len() {
            let dims = self.dims(tensor);
            for buffer in [self.activations[tensor].take(), self.tensor_gradients[tensor].take()].into_iter().flatten()
            {
                self.pool.give(dims, buffer);
            }
        }
        if batch == self.batch {
            return;
        }
        self.pool.clear();
        self.batch = batch;
        for index in 0..self.plan.stages.len() {
            if let Stage::Conv { x, y, spec, .. } = self.plan.stages[index] {
                let into = self.plan.fused[index].map_or(y, |fused| fused.y);
                let (x, y, into) = (self.dims(x), self.dims(y), self.dims(into));
                self.jobs[index] = Some(Jobs {
                    forward: Job::forward(spec, x, y),
                    fused: Job::forward(spec, x, into),
                    backward: Job::backward(spec, x, y),
                });
            }
        }
    }
}

fn none<T>(count: usize) -> Vec<Option<T>> {
    (0..count).map(|_| None).collect()
}

fn pack(packing: Option<&Packing>, plain: &[f32], to: &mut [f32]) {
    match packing {
        Some(packing) => packing.for_each(|packed, index| to[packed] = plain[index]),
        None => to[..plain.len()].copy_from_slice(plain),
    }
}

/// How every parameter is packed.
fn packings(graph: &Graph, plan: &Plan) -> Result<Vec<Option<Packing>>, Error> {
    let mut packings = vec![None; graph.params.len()];
    let mut uses = vec![0; graph.params.len()];
    for stage in &plan.stages {
        if let Stage::Conv { weight, packing, .. } = *stage {
            packings[weight] = Some(packing);
            uses[weight] += 1;
        }
        if let Stage::Apply { x, .. } = stage {
            x.slope.into_iter().for_each(|slope| uses[slope] += 1);
        }
    }
    for (affine, _) in &plan.affines {
        match *affine {
            Affine::Norm { weight, bias, running_mean, running_var, .. } => {
                [weight, bias, running_mean, running_var].into_iter().for_each(|id| uses[id] += 1);
            }
            Affine::Bias(bias) => uses[bias] += 1,
        }
    }
    match uses.iter().position(|&count| count > 1) {
        Some(id) => Err(Error::Graph(format!("{} is used twice", graph.params[id].name))),
        None => Ok(packings),
    }
}

/// Whether the optimiser moves it.
pub(crate) fn is_trained(kind: Kind) -> bool {
    kind == Kind::Weight
}

/// Steele, Lea and Flood's generator (OOPSLA 2014), enough to draw initial weights.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `[0, 1)`.
    fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// By the method of Box and Muller.
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }
}
