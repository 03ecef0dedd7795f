//! What a head is put on: the embedding of a network, or the mean of its feature maps.
//!
//! An identity embedding drops much of what people go by. The maps it is made from still have it, so their means over
//! the crop, one number for each channel, are often the better ground for a head. Both work with any ONNX embedder.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use perface::model::onnx::{self, AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use perface::{Error, Result};

/// What a head is put on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Features {
    /// The embedding, scaled to unit norm.
    #[default]
    Embedding,
    /// Means of the feature maps of these names in the ONNX file; of the last map if there are none.
    Maps(Vec<String>),
}

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedding" => Ok(Self::Embedding),
            "maps" => Ok(Self::Maps(Vec::new())),
            _ => match text.strip_prefix("maps:") {
                Some(names) if !names.is_empty() => {
                    Ok(Self::Maps(names.split(',').map(|name| name.trim().to_owned()).collect()))
                }
                _ => Err(format!("{text:?} is none of embedding, maps, maps:NAME,…")),
            },
        }
    }
}

impl std::fmt::Display for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::Maps(names) if names.is_empty() => f.write_str("maps"),
            Self::Maps(names) => write!(f, "maps:{}", names.join(",")),
        }
    }
}

/// Name of the output of what [`network`] makes.
const OUTPUT: &str = "perface_features";

/// The network in `base`, cut down to what computes `features`: one output `[N, width]`, and that width, 0 if the file
/// does not tell.
///
/// # Errors
/// [`Error::Model`] if it is no ONNX file or has no such map.
pub fn network(name: &str, base: &[u8], features: &Features) -> Result<(Vec<u8>, usize)> {
    let Features::Maps(names) = features else {
        let model = onnx::decode(name, base)?;
        let width = model.graph.as_ref().and_then(|graph| last_dim(graph.output.first()?)).unwrap_or(0);
        return Ok((base.to_vec(), width));
    };
    let mut model = onnx::decode(name, base)?;
    let Some(graph) = model.graph.as_mut() else { return Err(Error::model(name, "the ONNX file holds no graph")) };
    let names = if names.is_empty() {
        vec![
            last_map(graph)
                .ok_or_else(|| Error::model(name, "no last feature map was found; name one with maps:NAME"))?,
        ]
    } else {
        names.clone()
    };
    let mut means = Vec::new();
    let mut width = 0;
    for (index, map) in names.iter().enumerate() {
        let channels = channels(graph, map).ok_or_else(|| {
            let known: Vec<&str> = maps(graph).collect();
            Error::model(name, format!("has no feature map {map:?}; the last ones are {}", known.join(", ")))
        })?;
        width += channels;
        let (pooled, flat) = (format!("{OUTPUT}_pooled_{index}"), format!("{OUTPUT}_{index}"));
        graph.node.push(NodeProto::new("GlobalAveragePool", &[map], &pooled, Vec::new()));
        graph.node.push(NodeProto::new("Flatten", &[&pooled], &flat, vec![AttributeProto::int("axis", 1)]));
        means.push(flat);
    }
    let means: Vec<&str> = means.iter().map(String::as_str).collect();
    graph.node.push(NodeProto::new("Concat", &means, OUTPUT, vec![AttributeProto::int("axis", 1)]));
    graph.output = vec![ValueInfoProto::float(OUTPUT, &[-1, width as i64])];
    prune(graph);
    Ok((onnx::encode(&model), width))
}

/// A matrix and a shift on top of a network's output.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    /// Width of what goes in.
    pub from: usize,
    /// Matrix `[out, from]`, row by row.
    pub weight: Vec<f32>,
    /// Shift, one for each row.
    pub bias: Vec<f32>,
}

/// The network in `base` with `map` on top of its output `[N, map.from]`, as one file.
///
/// # Errors
/// [`Error::Model`] if `base` is no ONNX file with one output; [`Error::Usage`] if `map` contradicts itself.
pub fn with_head(name: &str, base: &[u8], map: &LinearMap) -> Result<Vec<u8>> {
    if map.weight.len() != map.from * map.bias.len() {
        return Err(Error::Usage("the head's matrix and shift do not fit".to_owned()));
    }
    let mut model = onnx::decode(name, base)?;
    let Some(graph) = model.graph.as_mut() else { return Err(Error::model(name, "the ONNX file holds no graph")) };
    let [output] = graph.output.as_slice() else {
        return Err(Error::model(name, "a head needs a network with one output"));
    };
    let features = output.name.clone();
    let [weight, bias, embedding] = ["weight", "bias", "embedding"].map(|part| format!("perface_head.{part}"));
    let width = map.bias.len() as i64;
    let transposed = vec![AttributeProto::int("transB", 1)];
    graph.node.push(NodeProto::new("Gemm", &[&features, &weight, &bias], &embedding, transposed));
    graph.initializer.push(TensorProto::from_f32(&weight, &[width, map.from as i64], &map.weight));
    graph.initializer.push(TensorProto::from_f32(&bias, &[width], &map.bias));
    graph.output = vec![ValueInfoProto::float(&embedding, &[-1, width])];
    Ok(onnx::encode(&model))
}

fn last_dim(value: &ValueInfoProto) -> Option<usize> {
    let shape = value.value_type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    usize::try_from(shape.dim.last()?.dim_value?).ok()
}

/// The map that is made into a vector last.
fn last_map(graph: &GraphProto) -> Option<String> {
    let producer: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
    let mut at = graph.output.first()?.name.as_str();
    for _ in 0..graph.node.len() {
        let node = producer.get(at)?;
        let input = node.input.first()?;
        if matches!(node.op_type.as_str(), "Flatten" | "Reshape" | "GlobalAveragePool") {
            return Some(input.clone());
        }
        at = input;
    }
    None
}

/// Names of feature maps, the last ones first, at most eight.
fn maps(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let made = graph.node.iter().rev().filter(|node| matches!(node.op_type.as_str(), "PRelu" | "Relu" | "Add"));
    made.filter_map(|node| node.output.first().map(String::as_str)).take(8)
}

/// Channels of the map called `name`, from the constants that made it; `None` if there is no such map.
fn channels(graph: &GraphProto, name: &str) -> Option<usize> {
    let mut at = name;
    for _ in 0..graph.node.len() {
        let node = graph.node.iter().find(|node| node.output.iter().any(|output| output == at))?;
        let constant = |index: usize| {
            let name = node.input.get(index)?;
            graph.initializer.iter().find(|tensor| tensor.name == *name)?.dims.first().copied()
        };
        let told = match node.op_type.as_str() {
            "Conv" | "BatchNormalization" => constant(1),
            "PRelu" | "Relu" | "Add" | "Dropout" | "Identity" | "Clip" => None,
            _ => return None,
        };
        if let Some(channels) = told {
            return usize::try_from(channels).ok().filter(|channels| *channels > 0);
        }
        at = node.input.first()?;
    }
    None
}

/// Drop operators and constants that the output does not need.
fn prune(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut kept = Vec::new();
    for node in graph.node.drain(..).rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
}

#[cfg(test)]
mod tests {
    use perface::model::{Runtime, Tensor};
    use perface_conv::{ConvSpec, Graph, Init, Kind, Shape};

    use super::*;
    use crate::export;

    /// conv → norm → slope → flatten → linear, with values that are all different.
    fn base() -> Vec<u8> {
        let mut g = Graph::new(Shape { channels: 2, height: 4, width: 4 });
        let spec = ConvSpec { out: 3, kernel: 3, stride: 1, pad: 1, groups: 1 };
        let mut x = g.conv("conv", 0, spec, Init::Normal(0.1));
        x = g.batch_norm("bn", x, 1e-5, Kind::Weight);
        x = g.prelu("prelu", x);
        x = g.flatten("flatten", x);
        g.linear("fc", x, 5, true);
        let mut next = 0.0f32;
        let mut value = || {
            next += 0.37;
            next.sin().abs() + 0.05
        };
        let values: Vec<Vec<f32>> = g.params.iter().map(|p| (0..p.len()).map(|_| value()).collect()).collect();
        export::network(&g, &values).unwrap()
    }

    fn run(bytes: &[u8]) -> Tensor {
        let input = Tensor::new(vec![2, 2, 4, 4], (0..64).map(|n| (n % 7) as f32 / 7.0).collect());
        Runtime::Rten.load("test", bytes.to_vec()).unwrap().run(&[input]).unwrap().remove(0)
    }

    #[test]
    fn the_last_map_is_averaged_and_what_follows_is_dropped() {
        let (bytes, width) = network("test", &base(), &Features::Maps(Vec::new())).unwrap();
        assert_eq!((width, run(&bytes).shape()), (3, &[2, 3][..]));
        assert!(bytes.len() < base().len(), "the linear layer is gone");
        // The same map as the flattened one, averaged by hand: all channels of the full network's input to `fc`.
        let (both, width) =
            network("test", &base(), &Features::Maps(vec!["node_3".to_owned(), "node_1".to_owned()])).unwrap();
        assert_eq!(width, 6);
        let (one, two) = (run(&bytes), run(&both));
        assert_eq!(one.data()[..3], two.data()[..3]);
    }

    #[test]
    fn a_head_is_one_more_matrix() {
        let base = base();
        let weight: Vec<f32> = (0..10).map(|n| n as f32 / 10.0).collect();
        let map = LinearMap { from: 5, weight: weight.clone(), bias: vec![0.5, -0.5] };
        let (raw, mapped) = (run(&base), run(&with_head("test", &base, &map).unwrap()));
        assert_eq!(mapped.shape(), [2, 2]);
        for (raw, mapped) in raw.data().chunks(5).zip(mapped.data().chunks(2)) {
            for (k, bias) in [(0, 0.5), (1, -0.5)] {
                let want: f32 = bias + (0..5).map(|j| weight[k * 5 + j] * raw[j]).sum::<f32>();
                assert!((mapped[k] - want).abs() < 1e-5 * want.abs().max(1.0), "{} {want}", mapped[k]);
            }
        }
    }

    #[test]
    fn a_map_that_is_not_there_is_refused_with_those_that_are() {
        let error = network("test", &base(), &Features::Maps(vec!["nothing".to_owned()])).unwrap_err().to_string();
        assert!(error.contains("nothing") && error.contains("node_3"), "{error}");
        assert!(network("test", b"no onnx", &Features::Embedding).is_err());
        assert!(with_head("test", &base(), &LinearMap { from: 2, weight: vec![1.0], bias: vec![1.0] }).is_err());
    }

    #[test]
    fn names_are_read_and_written() {
        for text in ["embedding", "maps", "maps:a,b"] {
            assert_eq!(text.parse::<Features>().unwrap().to_string(), text);
        }
        assert!("map".parse::<Features>().is_err() && "maps:".parse::<Features>().is_err());
    }
}
