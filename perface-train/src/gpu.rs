//! The same learner on burn's tensors: for a graphics card, or a CPU to test it on.
//!
//! The graph of [`perface_conv`] is walked node by node and burn's automatic differentiation goes back from the
//! gradient of the embeddings, which the loss has written out. Optimiser, running statistics and names are those of
//! [`NetworkLearner`](crate::network::NetworkLearner), so a run can begin on one device and be exported from another.
//!
//! burn's batch normalisation returns the variance with divisor n; the running one is that of PyTorch, with n − 1.
//! Sums run in an order of burn's choice, so on a card a resumed run agrees with an uninterrupted one to rounding only.

pub use burn_tensor::Device;
use burn_tensor::module::{batch_norm, batch_norm_train, conv2d};
use burn_tensor::ops::ConvOptions;
use burn_tensor::{Tensor, TensorData, activation};
use perface::{Error, Result};
use perface_conv::{Graph, Kind, Op, ParamId};

use crate::learner::{Learner, Sgd};
use crate::network::BatchNorm;
use crate::weights::NamedTensor;

/// The card with this number, from 0.
///
/// # Errors
/// [`Error::Usage`] if the machine has no driver or not as many cards.
#[cfg(feature = "cuda")]
pub fn cuda(index: usize) -> Result<Device> {
    let cards = Device::enumerate(burn_tensor::DeviceType::Cuda).len();
    if index < cards {
        return Ok(Device::cuda(index));
    }
    Err(Error::Usage(match cards {
        0 => "no CUDA card was found, or its driver is not installed; --device cpu trains without one".to_owned(),
        _ => format!("there is no CUDA card {index}; the last one is {}", cards - 1),
    }))
}

/// What a pass over the graph is for.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// Use: running statistics.
    Use,
    /// Training, with these statistics.
    Training(BatchNorm),
}

/// A forward pass that can be gone back.
struct Tape {
    embeddings: Tensor<2>,
    /// For each parameter the tensor whose gradient is kept; `None` for those that are not fitted.
    leaves: Vec<Option<Tensor<1>>>,
}

/// A network that is fitted on a device of burn.
pub struct GpuLearner {
    graph: Graph,
    device: Device,
    /// One flat tensor for each parameter, outside of automatic differentiation.
    values: Vec<Tensor<1>>,
    gradients: Vec<Option<Tensor<1>>>,
    velocities: Vec<Option<Tensor<1>>>,
    batch_norm: BatchNorm,
    tape: Option<Tape>,
}

impl GpuLearner {
    /// `graph` on `device` with `values` for its parameters, in their order.
    ///
    /// # Errors
    /// [`Error::Model`] if the values do not fit.
    pub fn new(graph: &Graph, values: &[Vec<f32>], batch_norm: BatchNorm, device: &Device) -> Result<Self> {
        let device = device.clone().inner();
        let fitting = graph.params.len() == values.len()
            && graph.params.iter().zip(values).all(|(param, values)| param.len() == values.len());
        if !fitting {
            return Err(Error::model("network", "the values do not fit its parameters"));
        }
        let none = || graph.params.iter().map(|_| None).collect();
        Ok(Self {
            values: values.iter().map(|values| flat(values, &device)).collect(),
            gradients: none(),
            velocities: none(),
            graph: graph.clone(),
            device,
            batch_norm,
            tape: None,
        })
    }

    fn is_fitted(&self, id: ParamId) -> bool {
        self.graph.params.get(id).is_some_and(|param| param.kind == Kind::Weight)
    }

    /// The network's output `[n, width]`, with `values` for its parameters; the running statistics move in training.
    fn walk(&mut self, inputs: &[f32], n: usize, values: &[Tensor<1>], pass: Pass) -> Result<Tensor<2>> {
        let shape = self.graph.input_shape();
        if inputs.len() != n * shape.len() {
            return Err(Error::Usage(format!("{} values for {n} inputs of {}", inputs.len(), shape.len())));
        }
        let dims = [n, shape.channels, shape.height, shape.width];
        let input: Tensor<4> = flat(inputs, &self.device).reshape(dims);
        let input = if pass == Pass::Use { input } else { input.autodiff() };
        let mut results: Vec<Tensor<4>> = vec![input];
        let nodes = self.graph.nodes.clone();
        for node in nodes.iter().skip(1) {
            let broken = || Error::model(node.name.as_str(), "reads what is not there");
            let read = |at: usize| node.inputs.get(at).and_then(|id| results.get(*id)).cloned().ok_or_else(broken);
            let value = |id: ParamId| values.get(id).cloned().ok_or_else(broken);
            let x = read(0)?;
            results.push(match &node.op {
                Op::Input => return Err(broken()),
                Op::Conv { weight, bias, spec } => {
                    let dims = [spec.out, x.dims()[1] / spec.groups, spec.kernel, spec.kernel];
                    let options = ConvOptions::new([spec.stride; 2], [spec.pad; 2], [1; 2], spec.groups);
                    conv2d(x, value(*weight)?.reshape(dims), bias.map(value).transpose()?, options)
                }
                Op::BatchNorm { weight, bias, running_mean, running_var, eps, momentum } => {
                    let (scale, shift, eps) = (value(*weight)?, value(*bias)?, f64::from(*eps));
                    if pass == Pass::Training(BatchNorm::Train) {
                        let [n, _, height, width] = x.dims();
                        let batch = batch_norm_train(x, scale, shift, eps);
                        let count = (n * height * width) as f64;
                        let unbiased = batch.variance.inner().mul_scalar(count / (count - 1.0).max(1.0));
                        self.move_running(*running_mean, batch.mean.inner(), *momentum);
                        self.move_running(*running_var, unbiased, *momentum);
                        batch.output
                    } else {
                        batch_norm(x, scale, shift, value(*running_mean)?, value(*running_var)?, eps)
                    }
                }
                Op::PRelu { weight } => activation::prelu(x, value(*weight)?),
                Op::Add => x + read(1)?,
                // As in the CPU's engine: fine-tuning on triplets goes without it.
                Op::Dropout { .. } => x,
                Op::Flatten => {
                    let [n, channels, height, width] = x.dims();
                    x.reshape([n, channels * height * width, 1, 1])
                }
                Op::Linear { weight, bias } => {
                    let (from, to) = (x.dims()[1], node.shape.channels);
                    let matrix: Tensor<2> = value(*weight)?.reshape([to, from]);
                    let product = x.reshape([n, from]).matmul(matrix.swap_dims(0, 1));
                    let shifted = match bias.map(value).transpose()? {
                        Some(bias) => product + bias.reshape([1, to]),
                        None => product,
                    };
                    shifted.reshape([n, to, 1, 1])
                }
            });
        }
        let output = results.pop().ok_or_else(|| Error::model("network", "it has no nodes"))?;
        Ok(output.reshape([n, self.graph.output_shape().len()]))
    }

    fn move_running(&mut self, id: ParamId, batch: Tensor<1>, momentum: f32) {
        if let Some(running) = self.values.get_mut(id) {
            *running = running.clone().mul_scalar(1.0 - momentum) + batch.mul_scalar(momentum);
        }
    }

    /// Tensors under the names of their parameters, of which there is one for each.
    fn named<'a>(&self, tensors: impl Iterator<Item = Option<&'a Tensor<1>>>) -> Result<Vec<NamedTensor>> {
        let named = self.graph.params.iter().zip(tensors).filter_map(|(param, values)| Some((param, values?)));
        named
            .map(|(param, values)| {
                let data = numbers(values.clone())?;
                Ok(NamedTensor { name: param.name.clone(), shape: param.shape.clone(), data })
            })
            .collect()
    }

    /// The parameter that `tensor` is of.
    fn place(&self, tensor: &NamedTensor) -> Result<ParamId> {
        let id = self
            .graph
            .param(&tensor.name)
            .ok_or_else(|| Error::Usage(format!("the network has no parameter {}", tensor.name)))?;
        let want = self.graph.params.get(id).map_or(0, perface_conv::Param::len);
        if tensor.data.len() == want {
            return Ok(id);
        }
        Err(Error::Usage(format!("{} has {} values in place of {want}", tensor.name, tensor.data.len())))
    }
}

fn flat(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Wait for `tensor` and read it.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |reason: String| Error::model("network", format!("the device failed: {reason}"));
    let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
    data.try_to_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
}

impl Learner for GpuLearner {
    fn width(&self) -> usize {
        self.graph.output_shape().len()
    }

    fn embed(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        let values = self.values.clone();
        numbers(self.walk(inputs, n, &values, Pass::Use)?)
    }

    fn forward(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        let mut leaves = Vec::with_capacity(self.values.len());
        let mut values = Vec::with_capacity(self.values.len());
        for (id, value) in self.values.iter().enumerate() {
            let value = value.clone().autodiff();
            let value = if self.is_fitted(id) { value.require_grad() } else { value };
            leaves.push(self.is_fitted(id).then(|| value.clone()));
            values.push(value);
        }
        let embeddings = self.walk(inputs, n, &values, Pass::Training(self.batch_norm))?;
        let output = numbers(embeddings.clone().inner())?;
        self.tape = Some(Tape { embeddings, leaves });
        Ok(output)
    }

    fn backward(&mut self, gradient: &[f32]) -> Result<()> {
        let missing = || Error::Usage("there was no forward pass of as many inputs".to_owned());
        let Tape { embeddings, leaves } = self.tape.take().ok_or_else(missing)?;
        let dims = embeddings.dims();
        if gradient.len() != dims[0] * dims[1] {
            return Err(missing());
        }
        // The derivative of this sum by the embeddings is `gradient`.
        let gradient: Tensor<2> = flat(gradient, &self.device).reshape(dims);
        let mut found = (embeddings * gradient.autodiff()).sum().backward();
        self.gradients = leaves.iter().map(|leaf| leaf.as_ref()?.grad_remove(&mut found)).collect();
        Ok(())
    }

    fn gradient_norm(&self) -> f64 {
        // Rows are summed on the device and their sums here: one sum of millions loses a percent in single precision.
        let square = |rows: usize, gradient: &Tensor<1>| {
            let rows: Tensor<2> = gradient.clone().square().reshape([rows.max(1), gradient.dims()[0] / rows.max(1)]);
            numbers(rows.sum_dim(1)).map_or(f64::NAN, |sums| sums.into_iter().map(f64::from).sum())
        };
        let gradients = self.graph.params.iter().zip(&self.gradients);
        let found = gradients.filter_map(|(param, gradient)| Some((param.shape.first().copied()?, gradient.as_ref()?)));
        found.map(|(rows, gradient)| square(rows, gradient)).sum::<f64>().sqrt()
    }

    fn scale_gradients(&mut self, by: f32) {
        for gradient in self.gradients.iter_mut().flatten() {
            *gradient = gradient.clone().mul_scalar(by);
        }
    }

    fn step(&mut self, sgd: &Sgd) {
        let params = self.graph.params.iter().zip(&mut self.values).zip(&self.gradients).zip(&mut self.velocities);
        for (((param, value), gradient), velocity) in params {
            let Some(gradient) = gradient.clone() else { continue };
            let spared = sgd.spare_vectors && param.shape.len() == 1;
            let decay = if spared { 0.0 } else { sgd.weight_decay };
            let pull = gradient + value.clone().mul_scalar(decay);
            let moved = match velocity.take() {
                Some(velocity) => velocity.mul_scalar(sgd.momentum) + pull,
                None => pull,
            };
            *value = value.clone() - moved.clone().mul_scalar(sgd.learning_rate);
            *velocity = Some(moved);
        }
    }

    fn parameters(&self) -> Result<Vec<NamedTensor>> {
        self.named(self.values.iter().map(Some))
    }

    fn velocities(&self) -> Result<Vec<NamedTensor>> {
        self.named(self.velocities.iter().map(Option::as_ref))
    }

    fn restore(&mut self, parameters: &[NamedTensor], velocities: &[NamedTensor]) -> Result<()> {
        let known = self.graph.params.len();
        if parameters.len() != known {
            return Err(Error::Usage(format!("{} tensors for {known} parameters", parameters.len())));
        }
        self.tape = None;
        for tensor in parameters {
            let id = self.place(tensor)?;
            if let Some(value) = self.values.get_mut(id) {
                *value = flat(&tensor.data, &self.device);
            }
        }
        for tensor in velocities {
            let id = self.place(tensor)?;
            if let Some(velocity) = self.velocities.get_mut(id) {
                *velocity = Some(flat(&tensor.data, &self.device));
            }
        }
        Ok(())
    }
}
