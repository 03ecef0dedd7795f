//! From the graph to what is really run: convolutions, and pointwise passes that take normalisation, PReLU and addition together.
//!
//! A batch normalisation or bias is not run where it stands. It is kept beside the raw activation it applies to, until something needs the
//! result: a convolution (then one pass normalises, applies the PReLU and writes), or an addition (which normalises both sides while it
//! adds). Without training, the pass is folded into the convolution that writes the raw activation.

use crate::error::Error;
use crate::graph::{ConvSpec, Graph, Node, NodeId, Op, ParamId, Shape};
use crate::job::gradient_border;
use crate::weights::{Form, Packing};

/// Index of an activation.
pub(crate) type TensorId = usize;

/// A per-channel map `x · scale + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Affine {
    /// Batch normalisation.
    Norm { weight: ParamId, bias: ParamId, running_mean: ParamId, running_var: ParamId, eps: f32, momentum: f32 },
    /// Scale 1.
    Bias(ParamId),
}

/// An activation and what still has to be applied to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lazy {
    pub tensor: TensorId,
    /// Index into [`Plan::affines`].
    pub affine: Option<usize>,
    pub slope: Option<ParamId>,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Conv { x: TensorId, y: TensorId, weight: ParamId, spec: ConvSpec, packing: Packing },
    Apply { x: Lazy, y: TensorId },
    Add { a: Lazy, b: Lazy, y: TensorId },
    Flatten { x: TensorId, y: TensorId },
}

impl Stage {
    pub fn output(&self) -> TensorId {
        match *self {
            Self::Conv { y, .. } | Self::Apply { y, .. } | Self::Add { y, .. } | Self::Flatten { y, .. } => y,
        }
    }

    pub fn inputs(&self) -> Vec<TensorId> {
        match *self {
            Self::Conv { x, .. } | Self::Flatten { x, .. } => vec![x],
            Self::Apply { x, .. } => vec![x.tensor],
            Self::Add { a, b, .. } => vec![a.tensor, b.tensor],
        }
    }
}

/// One activation of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub shape: Shape,
    pub border: usize,
    pub is_vector: bool,
    /// A batch normalisation reads it, so whoever writes it in training also adds it up.
    pub is_normalised: bool,
    /// Last stage that reads it.
    pub last_use: usize,
}

/// Without training, what a convolution does with its tile at once instead of a later stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fused {
    /// Applied to the sum.
    pub affine: Option<usize>,
    pub slope: Option<ParamId>,
    /// Added after that.
    pub add: Option<TensorId>,
    /// Where the result goes.
    pub y: TensorId,
}

/// The stages of a network in running order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub tensors: Vec<Tensor>,
    /// Per-channel maps and the raw activation each applies to.
    pub affines: Vec<(Affine, TensorId)>,
    pub stages: Vec<Stage>,
    pub output: TensorId,
    /// For each convolution stage, its fused form; `None` for others.
    pub fused: Vec<Option<Fused>>,
    /// Stages that fused convolutions make unnecessary.
    pub is_absorbed: Vec<bool>,
}

impl Plan {
    pub fn of(graph: &Graph) -> Result<Self, Error> {
        let mut build = Build { plan: Self::empty(), values: vec![], made: vec![] };
        let readers = |id| graph.nodes.iter().filter(|node| node.inputs.contains(&id)).count();
        for (id, node) in graph.nodes.iter().enumerate() {
            let value = build.node(id, node)?;
            // What several nodes read is made once, so that its parameters get one gradient.
            let value = if readers(id) > 1 { build.plain(value) } else { value };
            build.values.push(value);
        }
        let last = *build.values.last().ok_or_else(|| Error::Graph("no nodes".into()))?;
        let output = build.materialise(last);
        let mut plan = build.plan;
        plan.output = output;
        plan.set_borders();
        plan.set_last_uses();
        plan.fuse();
        Ok(plan)
    }

    fn empty() -> Self {
        Self { tensors: vec![], affines: vec![], stages: vec![], output: 0, fused: vec![], is_absorbed: vec![] }
    }

    fn set_borders(&mut self) {
        // One zero around everything that is a picture keeps most geometries equal, so gradients can be made in place.
        for tensor in self.tensors.iter_mut().filter(|tensor| !tensor.is_vector) {
            tensor.border = 1;
        }
        for stage in &self.stages {
            if let Stage::Conv { x, y, spec, .. } = stage {
                let (from, to) = (self.tensors[*x].shape, self.tensors[*y].shape);
                let needed =
                    gradient_border(*spec, from.height, to.height).max(gradient_border(*spec, from.width, to.width));
                if !self.tensors[*x].is_vector {
                    self.tensors[*x].border = self.tensors[*x].border.max(spec.pad);
                    self.tensors[*y].border = self.tensors[*y].border.max(needed);
                }
            }
        }
    }

    fn set_last_uses(&mut self) {
        for (index, stage) in self.stages.iter().enumerate() {
            for tensor in stage.inputs() {
                self.tensors[tensor].last_use = index;
            }
            self.tensors[stage.output()].last_use = index;
        }
        self.tensors[self.output].last_use = usize::MAX;
    }

    fn readers(&self, tensor: TensorId) -> usize {
        let output = usize::from(tensor == self.output);
        output + self.stages.iter().map(|stage| stage.inputs().iter().filter(|&&t| t == tensor).count()).sum::<usize>()
    }

    fn fuse(&mut self) {
        self.fused = vec![None; self.stages.len()];
        self.is_absorbed = vec![false; self.stages.len()];
        let writer = |plan: &Self, tensor| plan.stages.iter().position(|stage| stage.output() == tensor);
        for index in 0..self.stages.len() {
            match self.stages[index].clone() {
                Stage::Conv { y, .. } => self.fused[index] = Some(Fused { affine: None, slope: None, add: None, y }),
                Stage::Apply { x, y } if self.readers(x.tensor) == 1 => {
                    let Some(from) = writer(self, x.tensor) else { continue };
                    if let Stage::Conv { .. } = self.stages[from] {
                        self.fused[from] = Some(Fused { affine: x.affine, slope: x.slope, add: None, y });
                        self.is_absorbed[index] = true;
                    }
                }
                Stage::Add { a, b, y } => self.fuse_add(index, a, b, y, writer),
                _ => {}
            }
        }
    }

    /// The side that is written last adds the other; the other applies its own normalisation when it is written.
    fn fuse_add(
        &mut self,
        index: usize,
        a: Lazy,
        b: Lazy,
        y: TensorId,
        writer: impl Fn(&Self, TensorId) -> Option<usize>,
    ) {
        let conv = |plan: &Self, side: Lazy| {
            let from = writer(plan, side.tensor)?;
            let Stage::Conv { packing, .. } = &plan.stages[from] else { return None };
            (plan.readers(side.tensor) == 1 && packing.form != Form::Depthwise).then_some(from)
        };
        let mut sides = [(a, writer(self, a.tensor)), (b, writer(self, b.tensor))];
        sides.sort_by_key(|(_, from)| from.map_or(0, |from| from + 1));
        let [(first, _), (last, _)] = sides;
        let Some(from) = conv(self, last) else { return };
        // What is added must be laid out as the output.
        if self.tensors[first.tensor].border != self.tensors[y].border {
            return;
        }
        if first.affine.is_some() {
            let Some(other) = conv(self, first) else { return };
            self.fused[other] = Some(Fused { affine: first.affine, slope: None, add: None, y: first.tensor });
        }
        self.fused[from] = Some(Fused { affine: last.affine, slope: None, add: Some(first.tensor), y });
        self.is_absorbed[index] = true;
    }
}

struct Build {
    plan: Plan,
    values: Vec<Lazy>,
    /// What has been applied already, so that it is done once.
    made: Vec<(Lazy, TensorId)>,
}

impl Build {
    fn tensor(&mut self, shape: Shape, is_vector: bool) -> TensorId {
        self.plan.tensors.push(Tensor { shape, border: 0, is_vector, is_normalised: false, last_use: 0 });
        self.plan.tensors.len() - 1
    }

    fn affine(&mut self, affine: Affine, on: TensorId) -> usize {
        self.plan.affines.push((affine, on));
        self.plan.affines.len() - 1
    }

    /// The activation with everything applied.
    fn materialise(&mut self, value: Lazy) -> TensorId {
        if value.affine.is_none() && value.slope.is_none() {
            return value.tensor;
        }
        if let Some(&(_, tensor)) = self.made.iter().find(|(made, _)| *made == value) {
            return tensor;
        }
        let of = &self.plan.tensors[value.tensor];
        let (shape, is_vector) = (of.shape, of.is_vector);
        let y = self.tensor(shape, is_vector);
        self.plan.stages.push(Stage::Apply { x: value, y });
        self.made.push((value, y));
        y
    }

    fn plain(&mut self, value: Lazy) -> Lazy {
        Lazy { tensor: self.materialise(value), affine: None, slope: None }
    }

    fn node(&mut self, id: NodeId, node: &Node) -> Result<Lazy, Error> {
        let bad = |why: String| Error::Graph(format!("{}: {why}", node.name));
        let mut inputs = Vec::with_capacity(2);
        for &input in &node.inputs {
            inputs.push(*self.values.get(input).ok_or_else(|| bad(format!("reads node {input}, which comes later")))?);
        }
        let raw = |tensor| Lazy { tensor, affine: None, slope: None };
        match (&node.op, inputs.as_slice()) {
            (Op::Input, []) if id == 0 => {
                let is_vector = node.shape.height * node.shape.width == 1;
                Ok(raw(self.tensor(node.shape, is_vector)))
            }
            (&Op::Conv { weight, bias, spec }, &[x]) => {
                if !(1..=2).contains(&spec.stride) || spec.kernel == 0 {
                    return Err(bad("only strides 1 and 2 have kernels".into()));
                }
                let x = self.materialise(x);
                let from = &self.plan.tensors[x];
                if from.is_vector {
                    return Err(bad("a convolution of a vector".into()));
                }
                let packing = Packing::of(spec, from.shape.channels)?;
                let y = self.tensor(node.shape, false);
                self.plan.stages.push(Stage::Conv { x, y, weight, spec, packing });
                let affine = bias.map(|bias| self.affine(Affine::Bias(bias), y));
                Ok(Lazy { tensor: y, affine, slope: None })
            }
            (&Op::Linear { weight, bias }, &[x]) => {
                let x = self.materialise(x);
                let from = &self.plan.tensors[x];
                if !from.is_vector {
                    return Err(bad("a linear layer needs a flattened input".into()));
                }
                let spec = ConvSpec { out: node.shape.channels, kernel: 1, stride: 1, pad: 0, groups: 1 };
                let packing = Packing::of(spec, from.shape.channels)?;
                let y = self.tensor(node.shape, true);
                self.plan.stages.push(Stage::Conv { x, y, weight, spec, packing });
                let affine = bias.map(|bias| self.affine(Affine::Bias(bias), y));
                Ok(Lazy { tensor: y, affine, slope: None })
            }
            (&Op::BatchNorm { weight, bias, running_mean, running_var, eps, momentum }, &[x]) => {
                let x = self.plain(x);
                self.plan.tensors[x.tensor].is_normalised = true;
                let norm = Affine::Norm { weight, bias, running_mean, running_var, eps, momentum };
                Ok(Lazy { affine: Some(self.affine(norm, x.tensor)), ..x })
            }
            (&Op::PRelu { weight }, &[x]) => {
                let x = if x.slope.is_some() { self.plain(x) } else { x };
                Ok(Lazy { slope: Some(weight), ..x })
            }
            (Op::Add, &[a, b]) => {
                let a = if a.slope.is_some() { self.plain(a) } else { a };
                let b = if b.slope.is_some() { self.plain(b) } else { b };
                let is_vector = self.plan.tensors[a.tensor].is_vector;
                if a.tensor == b.tensor || self.plan.tensors[b.tensor].shape != node.shape {
                    return Err(bad("the sides of a sum must be different and of one shape".into()));
                }
                let y = self.tensor(node.shape, is_vector);
                self.plan.stages.push(Stage::Add { a, b, y });
                Ok(raw(y))
            }
            (Op::Dropout { .. }, &[x]) => Ok(x),
            (Op::Flatten, &[x]) => {
                let x = self.materialise(x);
                if self.plan.tensors[x].is_vector {
                    return Ok(raw(x));
                }
                let y = self.tensor(node.shape, true);
                self.plan.stages.push(Stage::Flatten { x, y });
                Ok(raw(y))
            }
            (op, inputs) => Err(bad(format!("{op:?} with {} inputs", inputs.len()))),
        }
    }
}
