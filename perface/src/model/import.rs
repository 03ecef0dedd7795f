//! Networks out of ONNX files as graphs that [`perface_conv`] runs and trains.
//!
//! The operators of the graph become the nodes of a [`Graph`], with the file's own names for the parameters; a graph
//! that computes what one of the known networks does gets that network's names. What exporters fold away stays folded:
//! normalisations that went into a convolution leave its weights and bias to be trained.

use std::collections::{HashMap, HashSet};

use perface_conv::{ConvSpec, Graph, Init, Kind, NodeId, Op, Shape, nets};

use super::card::Preprocessing;
use super::onnx::{self, NodeProto, TensorProto};
use super::repair::{Free, floats, repair};
use crate::error::{Error, Result};

/// A constant of the graph: its name, dimensions and values.
type Constant = (String, Vec<i64>, Vec<f32>);

/// A network read from an ONNX file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What it computes.
    pub graph: Graph,
    /// Values of its parameters, in the graph's order.
    pub values: Vec<Vec<f32>>,
    /// Subtracted from a pixel value of 0–255 inside the file, before anything else.
    pub mean: f32,
    /// Divides what is left.
    pub scale: f32,
    /// Whether normalisations were folded into convolutions.
    pub folded: bool,
    /// Name of the known network it is, if it is one.
    pub known_as: Option<&'static str>,
}

impl Imported {
    /// How pictures must be prepared for [`Imported::graph`], if `card` says how they are for the file.
    pub fn preprocessing(&self, card: &Preprocessing) -> Preprocessing {
        // ((x − card.mean) / card.scale − mean) / scale, as one step.
        let mean = card.mean.map(|mean| mean + self.mean * card.scale);
        Preprocessing { mean, scale: card.scale * self.scale, ..card.clone() }
    }
}

/// Read the network in `bytes`; `name` stands in errors.
///
/// # Errors
/// [`Error::Model`] if it is no ONNX file, or naming the first operator that has no kernel here.
pub fn import(name: &str, bytes: &[u8]) -> Result<Imported> {
    let model = repair(name, onnx::decode(name, bytes)?, Free::Batch)?;
    let graph = model.graph.unwrap_or_default();
    let fail = |reason: String| Error::model(name, reason);
    let [input] = graph.input.as_slice() else { return Err(fail("it does not have one input".to_owned())) };
    let dims: Vec<i64> = input
        .value_type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref()?.shape.as_ref())
        .map(|shape| shape.dim.iter().map(|d| d.dim_value.unwrap_or(0)).collect())
        .unwrap_or_default();
    let lengths: Vec<usize> = dims.iter().skip(1).filter_map(|d| usize::try_from(*d).ok()).filter(|d| *d > 0).collect();
    let [channels, height, width] = lengths.as_slice() else {
        return Err(fail(format!("its input has the shape {dims:?}, not batch, channels, height, width")));
    };
    let mut builder = Builder {
        constants: graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
        graph: Graph::new(Shape { channels: *channels, height: *height, width: *width }),
        values: Vec::new(),
        at: HashMap::from([(input.name.clone(), 0)]),
        names: HashSet::new(),
        mean: 0.0,
        scale: 1.0,
        folded: false,
    };
    for node in &graph.node {
        builder.node(node).map_err(|reason| {
            let output = node.output.first().map_or("", String::as_str);
            fail(format!("{} {output:?} cannot be run here: {reason}", node.op_type))
        })?;
    }
    let last = builder.graph.nodes.len() - 1;
    match graph.output.as_slice() {
        [output] if builder.at.get(&output.name) == Some(&last) => {}
        _ => return Err(fail("its last operator is not its one output".to_owned())),
    }
    let Builder { graph, values, mean, scale, folded, .. } = builder;
    let mut imported = Imported { graph, values, mean, scale, folded, known_as: None };
    imported.recognise();
    Ok(imported)
}

struct Builder<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    graph: Graph,
    values: Vec<Vec<f32>>,
    /// Node that computes each value of the file.
    at: HashMap<String, NodeId>,
    names: HashSet<String>,
    mean: f32,
    scale: f32,
    folded: bool,
}

impl Builder<'_> {
    fn node(&mut self, node: &NodeProto) -> Result<(), String> {
        let made = match node.op_type.as_str() {
            // Constants that are read stand among the initializers after the repair.
            "Constant" => return Ok(()),
            "Sub" | "Mul" | "Div" | "Add" if self.is_scaling(node) => self.scaling(node)?,
            "Conv" => self.conv(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "PRelu" => self.prelu(node)?,
            "Add" => self.add(node)?,
            "Flatten" | "Reshape" => {
                let input = self.input(node)?;
                self.graph.flatten(&label(node), input)
            }
            "Gemm" | "MatMul" => self.linear(node)?,
            _ => return Err("only Conv, BatchNormalization, PRelu, Add, Flatten and Gemm are".to_owned()),
        };
        let output = node.output.first().ok_or("it has no output")?;
        self.at.insert(output.clone(), made);
        Ok(())
    }

    fn input(&self, node: &NodeProto) -> Result<NodeId, String> {
        let name = node.input.first().ok_or("it has no input")?;
        self.at.get(name).copied().ok_or_else(|| format!("its input {name:?} is not computed before it"))
    }

    fn constant(&self, node: &NodeProto, index: usize) -> Result<Option<Constant>, String> {
        let Some(name) = node.input.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        let tensor = self.constants.get(name.as_str()).ok_or_else(|| format!("{name:?} is no constant"))?;
        let values = floats(tensor).ok_or_else(|| format!("{name:?} is no array of floats"))?;
        Ok(Some((name.clone(), tensor.dims.clone(), values)))
    }

    fn needed(&self, node: &NodeProto, index: usize) -> Result<Constant, String> {
        self.constant(node, index)?.ok_or_else(|| format!("its input {index} is missing"))
    }

    /// Whether `node` shifts or scales the pixels by one number before anything else.
    fn is_scaling(&self, node: &NodeProto) -> bool {
        let single =
            node.input.get(1).and_then(|name| self.constants.get(name.as_str())).and_then(|t| t.len()) == Some(1);
        single && self.input(node) == Ok(0)
    }

    fn scaling(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let (_, _, values) = self.needed(node, 1)?;
        let by = values.first().copied().unwrap_or(0.0);
        match node.op_type.as_str() {
            "Sub" => self.mean += by * self.scale,
            "Add" => self.mean -= by * self.scale,
            "Mul" => self.scale /= by,
            _ => self.scale *= by,
        }
        if self.scale.is_finite() && self.scale != 0.0 { Ok(0) } else { Err("it scales by zero".to_owned()) }
    }

    /// A name no layer has yet: that of the first parameter without its last word, as PyTorch's exporter keeps it.
    fn layer(&mut self, parameter: &str) -> String {
        let stem = ["weight", "bias", "gamma", "beta"]
            .iter()
            .find_map(|word| parameter.strip_suffix(word)?.strip_suffix(['.', '_']).filter(|stem| !stem.is_empty()));
        let stem = stem.unwrap_or(parameter).to_owned();
        let mut name = stem.clone();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{stem}_{number}");
            number += 1;
        }
        name
    }

    /// Note the values of parameters that the graph has just been given.
    fn fill(&mut self, values: impl IntoIterator<Item = Vec<f32>>) -> Result<(), String> {
        for values in values {
            let param = self.graph.params.get(self.values.len()).ok_or("a parameter too many")?;
            if param.len() != values.len() {
                return Err(format!("{} has {} values, {} are wanted", param.name, values.len(), param.len()));
            }
            self.values.push(values);
        }
        Ok(())
    }

    fn conv(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let input = self.input(node)?;
        let (name, dims, values) = self.needed(node, 1)?;
        let bias = self.constant(node, 2)?;
        let ints = |key: &str| node.attribute(key).map(|a| a.ints.clone()).unwrap_or_default();
        let all = |values: &[i64], usual: i64| match values {
            [] => Some(usual),
            [first, rest @ ..] => rest.iter().all(|v| v == first).then_some(*first),
        };
        let (stride, pad) = (all(&ints("strides"), 1), all(&ints("pads"), 0));
        let groups = node.attribute("group").and_then(|a| a.i).unwrap_or(1);
        let [out, per_group, kernel, kernel_width] = dims.as_slice() else {
            return Err("it is not two-dimensional".into());
        };
        let number = |value: Option<i64>| value.and_then(|v| usize::try_from(v).ok());
        let fits = kernel == kernel_width
            && all(&ints("dilations"), 1) == Some(1)
            && node.attribute("auto_pad").and_then(|a| a.s.as_deref()).is_none_or(|s| s == b"NOTSET");
        let shape = self.graph.nodes.get(input).map(|n| n.shape).ok_or("its input is lost")?;
        let (Some(out), Some(kernel), Some(stride), Some(pad), Some(groups), true) =
            (number(Some(*out)), number(Some(*kernel)), number(stride), number(pad), number(Some(groups)), fits)
        else {
            return Err("only square kernels without dilation, with one stride and padding, are".to_owned());
        };
        let divides = groups > 0 && stride > 0 && shape.channels == number(Some(*per_group)).unwrap_or(0) * groups;
        if !divides || kernel == 0 || shape.height + 2 * pad < kernel || shape.width + 2 * pad < kernel {
            return Err(format!("weights {dims:?} with {groups} groups do not fit {shape:?}"));
        }
        let layer = self.layer(&name);
        let spec = ConvSpec { out, kernel, stride, pad, groups };
        // The initial values are overwritten at once.
        let init = Init::Constant(0.0);
        let made = match bias {
            Some(_) => self.graph.conv_bias(&layer, input, spec, init),
            None => self.graph.conv(&layer, input, spec, init),
        };
        self.folded |= bias.is_some();
        self.fill(std::iter::once(values).chain(bias.map(|(_, _, values)| values)))?;
        Ok(made)
    }

    fn batch_norm(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let input = self.input(node)?;
        let (name, _, weight) = self.needed(node, 1)?;
        let others = [self.needed(node, 2)?.2, self.needed(node, 3)?.2, self.needed(node, 4)?.2];
        let eps = node.attribute("epsilon").and_then(|a| a.f).unwrap_or(1e-5);
        let layer = self.layer(&name);
        let made = self.graph.batch_norm(&layer, input, eps, Kind::Weight);
        self.fill(std::iter::once(weight).chain(others))?;
        Ok(made)
    }

    fn prelu(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let input = self.input(node)?;
        let (name, _, slopes) = self.needed(node, 1)?;
        let layer = self.layer(&name);
        let channels = self.graph.nodes.get(input).map_or(0, |n| n.shape.channels);
        let made = self.graph.prelu(&layer, input);
        // One slope for all channels is the same as one each, until they are trained.
        let slopes = if let [one] = slopes.as_slice() { vec![*one; channels] } else { slopes };
        self.fill([slopes])?;
        Ok(made)
    }

    fn add(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let of = |index: usize| node.input.get(index).and_then(|name| self.at.get(name)).copied();
        let (Some(a), Some(b)) = (of(0), of(1)) else { return Err("it adds a constant".to_owned()) };
        let shape = |id: NodeId| self.graph.nodes.get(id).map(|n| n.shape);
        if shape(a) != shape(b) {
            return Err("it adds unequal shapes".to_owned());
        }
        Ok(self.graph.add(&label(node), a, b))
    }

    fn linear(&mut self, node: &NodeProto) -> Result<NodeId, String> {
        let input = self.input(node)?;
        let (name, dims, values) = self.needed(node, 1)?;
        let bias = self.constant(node, 2)?;
        let int = |key: &str| node.attribute(key).and_then(|a| a.i).unwrap_or(0);
        let factor = |key: &str| node.attribute(key).and_then(|a| a.f).unwrap_or(1.0);
        if int("transA") != 0 || factor("alpha") != 1.0 || factor("beta") != 1.0 {
            return Err("only alpha = beta = 1 is".to_owned());
        }
        let from = self.graph.nodes.get(input).map_or(0, |n| n.shape.len());
        let [rows, columns] = dims.as_slice() else { return Err("its weights are no matrix".to_owned()) };
        let (rows, columns) = (usize::try_from(*rows).unwrap_or(0), usize::try_from(*columns).unwrap_or(0));
        let (out, values) = if int("transB") != 0 {
            (rows, values)
        } else {
            (columns, (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns).copied()).collect())
        };
        if values.len() != out * from || out == 0 {
            return Err(format!("weights {dims:?} do not fit {from} values"));
        }
        let layer = self.layer(&name);
        let made = self.graph.linear(&layer, input, out, bias.is_some());
        self.fill(std::iter::once(values).chain(bias.map(|(_, _, values)| values)))?;
        Ok(made)
    }
}

fn label(node: &NodeProto) -> String {
    node.output.first().cloned().unwrap_or_default()
}

/// The known networks, by the names of [`nets::by_name`].
const KNOWN: [&str; 7] = ["sface", "mbf", "mbf_large", "r18", "r34", "r50", "r100"];

impl Imported {
    /// Take over the names of the known network that computes the same.
    fn recognise(&mut self) {
        for name in KNOWN {
            let Some(known) = nets::by_name(name) else { continue };
            let Some(order) = same_computation(&self.graph, &known) else { continue };
            let values = order.into_iter().map(|from| from.and_then(|id| self.values.get(id).cloned()));
            if let Some(values) = values.collect::<Option<Vec<_>>>() {
                (self.graph, self.values, self.known_as) = (known, values, Some(name));
                return;
            }
        }
    }
}

/// For each parameter of `known` the one of `graph` in the same place, if both compute the same but for dropout.
fn same_computation(graph: &Graph, known: &Graph) -> Option<Vec<Option<usize>>> {
    let mut order = vec![None; known.params.len()];
    let mut nodes = graph.nodes.iter();
    for node in known.nodes.iter().filter(|node| !matches!(node.op, Op::Dropout { .. })) {
        let other = nodes.next()?;
        if other.shape != node.shape || other.inputs.len() != node.inputs.len() {
            return None;
        }
        let pairs: Vec<(usize, usize)> = match (&node.op, &other.op) {
            (Op::Input, Op::Input) | (Op::Add, Op::Add) | (Op::Flatten, Op::Flatten) => Vec::new(),
            (Op::Conv { weight, bias: None, spec }, Op::Conv { weight: w, bias: None, spec: s }) if spec == s => {
                vec![(*weight, *w)]
            }
            (Op::PRelu { weight }, Op::PRelu { weight: w }) => vec![(*weight, *w)],
            (Op::Linear { weight, bias }, Op::Linear { weight: w, bias: b }) if bias.is_some() == b.is_some() => {
                std::iter::once((*weight, *w)).chain(bias.zip(*b)).collect()
            }
            (
                Op::BatchNorm { weight, bias, running_mean, running_var, eps, .. },
                Op::BatchNorm { weight: w, bias: b, running_mean: m, running_var: v, eps: e, .. },
            ) if (eps - e).abs() <= eps * 1e-3 => {
                vec![(*weight, *w), (*bias, *b), (*running_mean, *m), (*running_var, *v)]
            }
            _ => return None,
        };
        for (to, from) in pairs {
            *order.get_mut(to)? = Some(from);
        }
    }
    nodes.next().is_none().then_some(order)
}
