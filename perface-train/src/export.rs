//! Networks as ONNX files: a [`Graph`] with its values.
//!
//! The batch is free. Parameters keep their PyTorch names, so that what is written can be read by
//! [`perface::model::import`] again.

use perface::model::onnx::{
    self, AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use perface::{Error, Result};
use perface_conv::{ConvSpec, Graph, Op, ParamId};

/// Version of the format and of the operator set; both runtimes know them.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Names of the one input and output of what is written.
const INPUT: &str = "data";
const OUTPUT: &str = "embedding";

/// The ONNX file of `graph` with `values` for its parameters, in their order.
///
/// Takes `[N, C, H, W]`, prepared as the card says, and returns `[N, D]`, not normalised.
///
/// # Errors
/// [`Error::Usage`] if `values` do not fit the graph.
pub fn network(graph: &Graph, values: &[Vec<f32>]) -> Result<Vec<u8>> {
    let fits = values.len() == graph.params.len() && graph.params.iter().zip(values).all(|(p, v)| p.len() == v.len());
    if !fits {
        return Err(Error::Usage("the values do not fit the network's parameters".to_owned()));
    }
    let mut writer = Writer { graph, values, nodes: Vec::new(), constants: Vec::new() };
    let last = graph.nodes.len().saturating_sub(1);
    let name = |id: usize| match id {
        0 => INPUT.to_owned(),
        id if id == last => OUTPUT.to_owned(),
        id => format!("node_{id}"),
    };
    for (id, node) in graph.nodes.iter().enumerate().skip(1) {
        let inputs: Vec<String> = node.inputs.iter().map(|input| name(*input)).collect();
        writer.node(&node.op, inputs, name(id), id)?;
    }
    let shape = graph.input_shape();
    let dims = [-1, shape.channels as i64, shape.height as i64, shape.width as i64];
    let width = graph.output_shape().len() as i64;
    let input = vec![ValueInfoProto::float(INPUT, &dims)];
    let output = vec![ValueInfoProto::float(OUTPUT, &[-1, width])];
    let (node, initializer) = (writer.nodes, writer.constants);
    Ok(onnx::encode(&ModelProto {
        ir_version: IR_VERSION,
        producer_name: "perface".to_owned(),
        graph: Some(GraphProto { node, name: "perface".to_owned(), initializer, input, output }),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
    }))
}

struct Writer<'a> {
    graph: &'a Graph,
    values: &'a [Vec<f32>],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Writer<'_> {
    fn node(&mut self, op: &Op, mut inputs: Vec<String>, output: String, id: usize) -> Result<()> {
        let (kind, attributes) = match op {
            // Only node 0 is an input.
            Op::Input => return Ok(()),
            Op::Conv { weight, bias, spec } => {
                inputs.push(self.constant(*weight, None)?);
                if let Some(bias) = bias {
                    inputs.push(self.constant(*bias, None)?);
                }
                ("Conv", conv_attributes(spec))
            }
            Op::BatchNorm { weight, bias, running_mean, running_var, eps, .. } => {
                for param in [weight, bias, running_mean, running_var] {
                    inputs.push(self.constant(*param, None)?);
                }
                ("BatchNormalization", vec![AttributeProto::float("epsilon", *eps)])
            }
            Op::PRelu { weight } => {
                let channels = self.values.get(*weight).map_or(0, Vec::len) as i64;
                let is_map = self.graph.nodes.get(id).is_some_and(|node| node.shape.height * node.shape.width > 1);
                inputs.push(self.constant(*weight, is_map.then(|| vec![channels, 1, 1]))?);
                ("PRelu", Vec::new())
            }
            Op::Add => ("Add", Vec::new()),
            Op::Dropout { .. } => ("Identity", Vec::new()),
            Op::Flatten => ("Flatten", vec![AttributeProto::int("axis", 1)]),
            Op::Linear { weight, bias } => {
                inputs.push(self.constant(*weight, None)?);
                if let Some(bias) = bias {
                    inputs.push(self.constant(*bias, None)?);
                }
                ("Gemm", vec![AttributeProto::int("transB", 1)])
            }
        };
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.nodes.push(NodeProto::new(kind, &inputs, &output, attributes));
        Ok(())
    }

    /// Write a parameter among the constants; its name.
    fn constant(&mut self, param: ParamId, dims: Option<Vec<i64>>) -> Result<String> {
        let (Some(meta), Some(values)) = (self.graph.params.get(param), self.values.get(param)) else {
            return Err(Error::Usage("the network refers to a parameter it does not have".to_owned()));
        };
        let dims = dims.unwrap_or_else(|| meta.shape.iter().map(|d| *d as i64).collect());
        self.constants.push(TensorProto::from_f32(&meta.name, &dims, values));
        Ok(meta.name.clone())
    }
}

fn conv_attributes(spec: &ConvSpec) -> Vec<AttributeProto> {
    let [kernel, stride, pad, groups] = [spec.kernel, spec.stride, spec.pad, spec.groups].map(|n| n as i64);
    vec![
        AttributeProto::ints("kernel_shape", &[kernel, kernel]),
        AttributeProto::ints("strides", &[stride, stride]),
        AttributeProto::ints("pads", &[pad; 4]),
        AttributeProto::int("group", groups),
    ]
}

#[cfg(test)]
mod tests {
    use perface_conv::{Init, Kind, Shape};

    use super::*;
    use perface::model::import::import;

    /// A network with every kind of node, and values that are all different.
    fn small() -> (Graph, Vec<Vec<f32>>) {
        let mut g = Graph::new(Shape { channels: 4, height: 6, width: 6 });
        let spec = |out, groups, stride| ConvSpec { out, kernel: 3, stride, pad: 1, groups };
        let mut x = g.batch_norm("layer.bn1", 0, 1e-3, Kind::Weight);
        x = g.conv("layer.conv1", x, spec(4, 4, 1), Init::Normal(0.1));
        x = g.prelu("layer.prelu", x);
        x = g.add("layer", x, 0);
        x = g.conv_bias("conv2", x, spec(8, 2, 2), Init::Normal(0.1));
        x = g.dropout("dropout", x, 0.4);
        x = g.flatten("flatten", x);
        x = g.linear("fc", x, 5, true);
        g.batch_norm("features", x, 2e-5, Kind::Fixed);
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 + 0.1
        };
        let values = g.params.iter().map(|p| (0..p.len()).map(|_| next()).collect()).collect();
        (g, values)
    }

    #[test]
    fn what_is_written_is_read_back_with_names_and_values() {
        let (graph, values) = small();
        let bytes = network(&graph, &values).unwrap();
        let imported = import("small", &bytes).unwrap();
        assert_eq!(imported.values, values);
        let names = |g: &Graph| g.params.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&imported.graph), names(&graph));
        assert!(imported.folded);
    }

    #[test]
    fn the_known_networks_are_recognised_by_what_they_compute() {
        let graph = perface_conv::nets::sface();
        let values: Vec<Vec<f32>> = graph.params.iter().map(|p| vec![0.5; p.len()]).collect();
        let bytes = network(&graph, &values).unwrap();
        let imported = import("sface", &bytes).unwrap();
        assert_eq!((imported.known_as, imported.folded), (Some("sface"), false));
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let (graph, mut values) = small();
        values[0].pop();
        assert!(network(&graph, &values).is_err());
    }
}
