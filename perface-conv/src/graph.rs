//! A network as data: nodes in the order they run, parameters with PyTorch's names.
//!
//! This is the one definition of a network. [`Net`](crate::Net) runs and trains it on a CPU; anything else that must know the network
//! (another engine, the ONNX writer, a loader of weights) walks the same nodes.

use crate::Error;

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;
/// Index of a parameter in [`Graph::params`].
pub type ParamId = usize;

/// Shape of one picture's activation: channels, height, width. A vector is `C × 1 × 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Numbers in one picture's activation.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the shape holds no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What training does with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Moved by the optimiser.
    Weight,
    /// Never moved (`features.weight` of an IResNet).
    Fixed,
    /// Running statistic of a batch normalisation.
    Buffer,
}

/// Value of a parameter in a new network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform in ± this bound.
    Uniform(f32),
}

/// A named tensor of the network.
#[derive(Clone, Debug)]
pub struct Param {
    /// Name in the PyTorch state dict.
    pub name: String,
    /// Shape in PyTorch's order (`[out, in / groups, kernel, kernel]` for a convolution).
    pub shape: Vec<usize>,
    /// What training does with it.
    pub kind: Kind,
    /// Value in a new network.
    pub init: Init,
}

impl Param {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Geometry of a square convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Output channels.
    pub out: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros added on every side.
    pub pad: usize,
    /// Groups; equal to the channels for a depthwise convolution.
    pub groups: usize,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The batch of pictures.
    Input,
    /// Convolution; the networks here have no bias, those with folded batch normalisation do.
    Conv {
        /// `[out, in / groups, kernel, kernel]`.
        weight: ParamId,
        /// `[out]`.
        bias: Option<ParamId>,
        /// Its geometry.
        spec: ConvSpec,
    },
    /// Batch normalisation over everything but channels; its running variance is the unbiased one, as in PyTorch.
    BatchNorm {
        /// Scale, `[C]`.
        weight: ParamId,
        /// Shift, `[C]`.
        bias: ParamId,
        /// Running mean, `[C]`.
        running_mean: ParamId,
        /// Running variance, `[C]`.
        running_var: ParamId,
        /// Added to the variance.
        eps: f32,
        /// Share of the new batch in the running statistics.
        momentum: f32,
    },
    /// `max(x, 0) + slope · min(x, 0)`, one slope per channel.
    PRelu {
        /// Slopes, `[C]`.
        weight: ParamId,
    },
    /// Sum of two activations of one shape.
    Add,
    /// In training, zero with probability `p` and scale the rest by `1 / (1 − p)`; otherwise nothing.
    Dropout {
        /// Probability of a zero.
        p: f32,
    },
    /// To a vector in the order channel, row, column.
    Flatten,
    /// `W x + b` of a vector.
    Linear {
        /// `[out, in]`.
        weight: ParamId,
        /// `[out]`.
        bias: Option<ParamId>,
    },
}

/// One step of the network.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name of the layer, the prefix of its parameters' names.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Nodes it reads, all before it.
    pub inputs: Vec<NodeId>,
    /// Shape of its result.
    pub shape: Shape,
}

/// A network: what it computes and which parameters it has.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Steps in running order; node 0 is the input, the last one the output.
    pub nodes: Vec<Node>,
    /// Parameters in the order of PyTorch's state dict, without `num_batches_tracked`.
    pub params: Vec<Param>,
}

impl Graph {
    /// An empty network that reads pictures of `shape`.
    pub fn new(shape: Shape) -> Self {
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], shape };
        Self { nodes: vec![input], params: vec![] }
    }

    /// Shape of what goes in.
    pub fn input_shape(&self) -> Shape {
        self.nodes.first().map_or(Shape { channels: 0, height: 0, width: 0 }, |node| node.shape)
    }

    /// Shape of what comes out.
    pub fn output_shape(&self) -> Shape {
        self.nodes.last().map_or(Shape { channels: 0, height: 0, width: 0 }, |node| node.shape)
    }

    /// Index of the parameter called `name`.
    pub fn param(&self, name: &str) -> Option<ParamId> {
        self.params.iter().position(|param| param.name == name)
    }

    /// The part of the network up to node `end`, whose result becomes the output, with the parameters it needs.
    ///
    /// # Errors
    /// [`Error::Graph`] if `end` is no node.
    pub fn head(&self, end: NodeId) -> Result<Self, Error> {
        if end >= self.nodes.len() {
            return Err(Error::Graph(format!("no node {end}")));
        }
        let mut whole = self.clone();
        whole.nodes.truncate(end + 1);
        whole.tail(0)
    }

    /// The part of the network after node `start`, whose result becomes the input.
    ///
    /// # Errors
    /// [`Error::Graph`] if a later node also reads something before `start`, or `start` is no node.
    pub fn tail(&self, start: NodeId) -> Result<Self, Error> {
        let first = self.nodes.get(start).ok_or_else(|| Error::Graph(format!("no node {start}")))?;
        let mut tail = Self::new(first.shape);
        let mut kept: Vec<Option<ParamId>> = vec![None; self.params.len()];
        for node in self.nodes.iter().skip(start + 1) {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for &input in &node.inputs {
                let moved = input.checked_sub(start);
                inputs.push(moved.ok_or_else(|| Error::Graph(format!("{} reads what is cut off", node.name)))?);
            }
            let op = node.op.map_params(|id| {
                *kept[id].get_or_insert_with(|| {
                    tail.params.push(self.params[id].clone());
                    tail.params.len() - 1
                })
            });
            tail.nodes.push(Node { name: node.name.clone(), op, inputs, shape: node.shape });
        }
        Ok(tail)
    }

    /// Nodes at which the network may be cut: everything after reads only this one.
    pub fn cuts(&self) -> Vec<NodeId> {
        let mut furthest_back = self.nodes.len();
        let mut cuts = Vec::new();
        for id in (0..self.nodes.len()).rev() {
            if furthest_back >= id {
                cuts.push(id);
            }
            furthest_back = self.nodes[id].inputs.iter().copied().fold(furthest_back, usize::min);
        }
        cuts.reverse();
        cuts
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        self.nodes.push(Node { name: name.into(), op, inputs, shape });
        self.nodes.len() - 1
    }

    fn new_param(&mut self, name: String, shape: Vec<usize>, kind: Kind, init: Init) -> ParamId {
        self.params.push(Param { name, shape, kind, init });
        self.params.len() - 1
    }

    /// Convolution of `input` without bias; `init` is for its weight. The parameter is `{name}.weight`.
    pub fn conv(&mut self, name: &str, input: NodeId, spec: ConvSpec, init: Init) -> NodeId {
        let from = self.nodes[input].shape;
        let side = |length: usize| (length + 2 * spec.pad - spec.kernel) / spec.stride + 1;
        let shape = vec![spec.out, from.channels / spec.groups, spec.kernel, spec.kernel];
        let weight = self.new_param(format!("{name}.weight"), shape, Kind::Weight, init);
        let to = Shape { channels: spec.out, height: side(from.height), width: side(from.width) };
        self.push(name, Op::Conv { weight, bias: None, spec }, vec![input], to)
    }

    /// The same with a bias, `{name}.bias`, zero in a new network.
    pub fn conv_bias(&mut self, name: &str, input: NodeId, spec: ConvSpec, init: Init) -> NodeId {
        let id = self.conv(name, input, spec, init);
        let added = self.new_param(format!("{name}.bias"), vec![spec.out], Kind::Weight, Init::Constant(0.0));
        if let Op::Conv { bias, .. } = &mut self.nodes[id].op {
            *bias = Some(added);
        }
        id
    }

    /// Batch normalisation with PyTorch's momentum 0.1; a scale of `kind`.
    pub fn batch_norm(&mut self, name: &str, input: NodeId, eps: f32, kind: Kind) -> NodeId {
        let shape = self.nodes[input].shape;
        let mut vector = |part: &str, kind, value| {
            self.new_param(format!("{name}.{part}"), vec![shape.channels], kind, Init::Constant(value))
        };
        let weight = vector("weight", kind, 1.0);
        let bias = vector("bias", Kind::Weight, 0.0);
        let running_mean = vector("running_mean", Kind::Buffer, 0.0);
        let running_var = vector("running_var", Kind::Buffer, 1.0);
        let op = Op::BatchNorm { weight, bias, running_mean, running_var, eps, momentum: 0.1 };
        self.push(name, op, vec![input], shape)
    }

    /// PReLU with one slope per channel, 0.25 in a new network.
    pub fn prelu(&mut self, name: &str, input: NodeId) -> NodeId {
        let shape = self.nodes[input].shape;
        let weight = self.new_param(format!("{name}.weight"), vec![shape.channels], Kind::Weight, Init::Constant(0.25));
        self.push(name, Op::PRelu { weight }, vec![input], shape)
    }

    /// Sum of two nodes of one shape.
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> NodeId {
        let shape = self.nodes[a].shape;
        self.push(name, Op::Add, vec![a, b], shape)
    }

    /// Dropout of probability `p`; none for `p = 0`.
    pub fn dropout(&mut self, name: &str, input: NodeId, p: f32) -> NodeId {
        let shape = self.nodes[input].shape;
        if p > 0.0 { self.push(name, Op::Dropout { p }, vec![input], shape) } else { input }
    }

    /// Vector of everything in `input`, ordered channel, row, column.
    pub fn flatten(&mut self, name: &str, input: NodeId) -> NodeId {
        let shape = Shape { channels: self.nodes[input].shape.len(), height: 1, width: 1 };
        self.push(name, Op::Flatten, vec![input], shape)
    }

    /// Linear layer of `out` outputs, initialised as PyTorch's.
    pub fn linear(&mut self, name: &str, input: NodeId, out: usize, bias: bool) -> NodeId {
        let from = self.nodes[input].shape.len();
        let init = Init::Uniform(1.0 / (from.max(1) as f32).sqrt());
        let weight = self.new_param(format!("{name}.weight"), vec![out, from], Kind::Weight, init);
        let bias = bias.then(|| self.new_param(format!("{name}.bias"), vec![out], Kind::Weight, init));
        self.push(name, Op::Linear { weight, bias }, vec![input], Shape { channels: out, height: 1, width: 1 })
    }
}

impl Op {
    /// The same operation with its parameters renumbered.
    fn map_params(&self, mut to: impl FnMut(ParamId) -> ParamId) -> Self {
        match self.clone() {
            Op::Conv { weight, bias, spec } => Op::Conv { weight: to(weight), bias: bias.map(to), spec },
            Op::BatchNorm { weight, bias, running_mean, running_var, eps, momentum } => Op::BatchNorm {
                weight: to(weight),
                bias: to(bias),
                running_mean: to(running_mean),
                running_var: to(running_var),
                eps,
                momentum,
            },
            Op::PRelu { weight } => Op::PRelu { weight: to(weight) },
            Op::Linear { weight, bias } => Op::Linear { weight: to(weight), bias: bias.map(to) },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets;

    #[test]
    fn a_network_can_be_cut_between_blocks_but_not_inside_one() {
        let graph = nets::iresnet([2, 2, 2, 2], 0.0);
        let cuts = graph.cuts();
        let block_end = graph.nodes.iter().position(|node| node.name == "layer4.0").unwrap();
        let inside = graph.nodes.iter().position(|node| node.name == "layer4.1.bn2").unwrap();
        assert!(cuts.contains(&block_end) && !cuts.contains(&inside));
        let tail = graph.tail(block_end).unwrap();
        assert_eq!(tail.input_shape(), Shape { channels: 512, height: 7, width: 7 });
        assert_eq!(tail.params[0].name, "layer4.1.bn1.weight");
        assert!(graph.tail(inside).is_err());
        assert_eq!(graph.head(block_end).unwrap().output_shape(), tail.input_shape());
    }
}
