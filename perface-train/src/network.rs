//! A network, whole or its last blocks, as a learner on [`perface_conv`]'s engine.

use std::collections::HashMap;

use perface::{Error, Result};
use perface_conv::{Graph, Mode, Net, NetOptions, NodeId, Op};

use crate::inputs::{Inputs, Rows};
use crate::learner::{Learner, Sgd};
use crate::weights::NamedTensor;

/// Pictures run through the frozen part at once.
const BATCH: usize = 16;

/// Statistics of batch normalisation in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// Those of the batch, as a plain training script has it.
    #[default]
    Train,
    /// The network's own; steadier on faces that are nearly alike.
    Frozen,
}

impl std::str::FromStr for BatchNorm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "frozen" => Ok(Self::Frozen),
            _ => Err(format!("{text:?} is neither train nor frozen")),
        }
    }
}

/// A network that is fitted.
pub struct NetworkLearner {
    net: Net,
    batch_norm: BatchNorm,
}

impl NetworkLearner {
    /// `graph` with `values` for its parameters, in their order.
    ///
    /// # Errors
    /// [`Error::Model`] if the engine cannot run it or the values do not fit.
    pub fn new(graph: &Graph, values: &[Vec<f32>], batch_norm: BatchNorm) -> Result<Self> {
        Ok(Self { net: net(graph, values)?, batch_norm })
    }
}

fn net(graph: &Graph, values: &[Vec<f32>]) -> Result<Net> {
    let names: Vec<String> = graph.params.iter().map(|param| param.name.clone()).collect();
    let mut net = Net::new(graph.clone(), NetOptions::default()).map_err(failed)?;
    if names.len() != values.len() {
        return Err(Error::model("network", format!("{} values for {} parameters", values.len(), names.len())));
    }
    for (name, values) in names.iter().zip(values) {
        net.set(name, values).map_err(failed)?;
    }
    Ok(net)
}

fn failed(error: perface_conv::Error) -> Error {
    Error::model("network", error)
}

impl Learner for NetworkLearner {
    fn width(&self) -> usize {
        self.net.graph().output_shape().len()
    }

    fn embed(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        Ok(self.net.forward(inputs, n, Mode::Eval).map_err(failed)?.to_vec())
    }

    fn forward(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        let mode = match self.batch_norm {
            BatchNorm::Train => Mode::Train,
            BatchNorm::Frozen => Mode::TrainFrozenBn,
        };
        Ok(self.net.forward(inputs, n, mode).map_err(failed)?.to_vec())
    }

    fn backward(&mut self, gradient: &[f32]) -> Result<()> {
        self.net.backward(gradient).map_err(failed)
    }

    fn gradient_norm(&self) -> f64 {
        self.net.gradient_norm()
    }

    fn scale_gradients(&mut self, by: f32) {
        self.net.scale_gradients(by);
    }

    fn step(&mut self, sgd: &Sgd) {
        self.net.sgd(perface_conv::Sgd {
            learning_rate: sgd.learning_rate,
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
            skip_vector_decay: sgd.spare_vectors,
        });
    }

    fn parameters(&self) -> Result<Vec<NamedTensor>> {
        let tensor = |(name, shape, data): (&str, &[usize], Vec<f32>)| NamedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            data,
        };
        Ok(self.net.parameters().map(tensor).collect())
    }

    fn velocities(&self) -> Result<Vec<NamedTensor>> {
        let params = self.net.graph().params.iter();
        let velocity = |name: &str| self.net.momentum(name).ok().flatten();
        let tensors = params.filter_map(|p| {
            Some(NamedTensor { name: p.name.clone(), shape: p.shape.clone(), data: velocity(&p.name)? })
        });
        Ok(tensors.collect())
    }

    fn restore(&mut self, parameters: &[NamedTensor], velocities: &[NamedTensor]) -> Result<()> {
        let known = self.net.graph().params.len();
        if parameters.len() != known {
            return Err(Error::Usage(format!("{} tensors for {known} parameters", parameters.len())));
        }
        for tensor in parameters {
            self.net.set(&tensor.name, &tensor.data).map_err(failed)?;
        }
        for tensor in velocities {
            self.net.set_momentum(&tensor.name, &tensor.data).map_err(failed)?;
        }
        Ok(())
    }
}

/// Nodes at which blocks end: sums of a residual network, slopes after full convolutions of one without.
pub fn block_ends(graph: &Graph) -> Vec<NodeId> {
    let is_sum = |id: &NodeId| graph.nodes.get(*id).is_some_and(|node| matches!(node.op, Op::Add));
    let cuts = graph.cuts();
    if cuts.iter().any(is_sum) {
        return cuts.into_iter().filter(is_sum).collect();
    }
    cuts.into_iter().filter(|id| ends_chain(graph, *id)).collect()
}

/// Whether `id` is a slope whose convolution sees all channels.
fn ends_chain(graph: &Graph, id: NodeId) -> bool {
    let Some(node) = graph.nodes.get(id).filter(|node| matches!(node.op, Op::PRelu { .. })) else { return false };
    let mut at = node.inputs.first().copied();
    while let Some(node) = at.and_then(|id| graph.nodes.get(id)) {
        match &node.op {
            Op::Conv { spec, .. } => return spec.groups == 1,
            Op::BatchNorm { .. } => at = node.inputs.first().copied(),
            _ => return false,
        }
    }
    false
}

/// A network in two parts: `below` is frozen, `above` is fitted.
pub struct Divided {
    /// Up to the cut.
    pub below: Graph,
    /// Values of its parameters.
    pub below_values: Vec<Vec<f32>>,
    /// From the cut on.
    pub above: Graph,
    /// Values of its parameters.
    pub above_values: Vec<Vec<f32>>,
}

/// Divide `graph` so that its last `blocks` blocks, and what follows them, are fitted; 0 leaves what follows.
///
/// # Errors
/// [`Error::Usage`] with the number of blocks if there are not so many.
pub fn divide(graph: &Graph, values: &[Vec<f32>], blocks: usize) -> Result<Divided> {
    let ends = block_ends(graph);
    let cut = ends.len().checked_sub(blocks + 1).and_then(|at| ends.get(at)).copied().ok_or_else(|| {
        let most = ends.len().saturating_sub(1);
        Error::Usage(format!("the network's last 0 to {most} blocks can be fitted, not {blocks}; or all with full"))
    })?;
    let (below, above) = (graph.head(cut).map_err(failed)?, graph.tail(cut).map_err(failed)?);
    let by_name: HashMap<&str, &Vec<f32>> = graph.params.iter().map(|p| p.name.as_str()).zip(values).collect();
    let of = |part: &Graph| -> Vec<Vec<f32>> {
        part.params.iter().filter_map(|p| by_name.get(p.name.as_str()).map(|v| (*v).clone())).collect()
    };
    Ok(Divided { below_values: of(&below), above_values: of(&above), below, above })
}

/// Activations at the end of `below` for all pictures, plain and mirrored.
///
/// # Errors
/// If the engine cannot run it.
pub fn activations(divided: &Divided, inputs: &dyn Inputs, count: usize, on_done: &dyn Fn(usize)) -> Result<Rows> {
    let mut net = net(&divided.below, &divided.below_values)?;
    let mut rows = Rows { width: divided.below.output_shape().len(), ..Rows::default() };
    let pictures: Vec<usize> = (0..count).collect();
    for mirrored in [false, true] {
        for chunk in pictures.chunks(BATCH) {
            let mut batch = vec![0.0; chunk.len() * inputs.width()];
            for (row, picture) in batch.chunks_exact_mut(inputs.width().max(1)).zip(chunk) {
                inputs.fill(*picture, mirrored, row);
            }
            let output = net.forward(&batch, chunk.len(), Mode::Eval).map_err(failed)?;
            if mirrored {
                rows.mirrored.extend_from_slice(output)
            } else {
                rows.plain.extend_from_slice(output)
            }
            on_done(chunk.len());
        }
    }
    Ok(rows)
}

/// `values` of `graph` with those of `tensors` in their place.
pub fn with(graph: &Graph, values: &[Vec<f32>], tensors: &[NamedTensor]) -> Vec<Vec<f32>> {
    let by_name: HashMap<&str, &NamedTensor> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let params = graph.params.iter().zip(values);
    params.map(|(p, old)| by_name.get(p.name.as_str()).map_or_else(|| old.clone(), |t| t.data.clone())).collect()
}

#[cfg(test)]
mod tests {
    use perface_conv::nets;

    use super::*;

    #[test]
    fn blocks_end_where_they_should() {
        let names = |graph: &Graph| -> Vec<String> {
            block_ends(graph).into_iter().map(|id| graph.nodes[id].name.clone()).collect()
        };
        let r18 = names(&nets::by_name("r18").unwrap());
        assert_eq!((r18.len(), r18[0].as_str(), r18[7].as_str()), (8, "layer1.0", "layer4.1"));
        let sface = names(&nets::sface());
        assert_eq!((sface.len(), sface[13].as_str()), (14, "conv_14.relu"));
    }

    #[test]
    fn both_parts_together_are_the_network() {
        let graph = nets::by_name("mbf").unwrap();
        let mut whole = Net::new(graph.clone(), NetOptions { seed: 3, ..Default::default() }).unwrap();
        let values: Vec<Vec<f32>> = whole.parameters().map(|(_, _, values)| values).collect();
        let picture: Vec<f32> = (0..3 * 112 * 112).map(|n| ((n % 97) as f32 / 48.0) - 1.0).collect();
        let want = whole.forward(&picture, 1, Mode::Eval).unwrap().to_vec();
        let divided = divide(&graph, &values, 1).unwrap();
        let inputs = Rows { width: picture.len(), plain: picture.clone(), mirrored: picture };
        let rows = activations(&divided, &inputs, 1, &|_| {}).unwrap();
        let mut above = NetworkLearner::new(&divided.above, &divided.above_values, BatchNorm::Frozen).unwrap();
        let got = above.embed(&rows.plain, 1).unwrap();
        let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{off}");
        assert!(divide(&graph, &values, 99).is_err());
    }

    #[test]
    fn a_network_is_restored_bit_for_bit() {
        let graph =
            nets::by_name("mbf").unwrap().tail(block_ends(&nets::by_name("mbf").unwrap()).pop().unwrap()).unwrap();
        let values: Vec<Vec<f32>> =
            Net::new(graph.clone(), NetOptions::default()).unwrap().parameters().map(|(_, _, values)| values).collect();
        let inputs: Vec<f32> = (0..6 * graph.input_shape().len()).map(|n| ((n * 7) % 31) as f32 / 31.0).collect();
        let gradient: Vec<f32> = (0..6 * graph.output_shape().len()).map(|n| ((n % 13) as f32 - 6.0) / 100.0).collect();
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 5e-4, spare_vectors: false };
        let step = |learner: &mut NetworkLearner| {
            learner.forward(&inputs, 6).unwrap();
            learner.backward(&gradient).unwrap();
            learner.step(&sgd);
        };
        let mut first = NetworkLearner::new(&graph, &values, BatchNorm::Train).unwrap();
        step(&mut first);
        let mut second = NetworkLearner::new(&graph, &values, BatchNorm::Train).unwrap();
        second.restore(&first.parameters().unwrap(), &first.velocities().unwrap()).unwrap();
        step(&mut first);
        step(&mut second);
        assert!(first.parameters().unwrap() == second.parameters().unwrap());
        assert!(first.velocities().unwrap() == second.velocities().unwrap());
    }
}
