//! Make shipped graphs fit to run.
//!
//! Some packages ship weights quantised in blocks, which runtimes refuse or run slowly, with inputs no
//! operator reads and with dimensions frozen that the network does not need frozen. [`repair`]
//! computes those constants once, in float32, and drops what nothing reads. The arithmetic of the
//! network is unchanged.

use std::collections::{HashMap, HashSet};

use super::onnx::{
    DimensionProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto, data_type,
};
use crate::error::{Error, Result};

/// More values than any constant of a face network has.
const MAX_CONSTANT_LEN: usize = 1 << 28;

/// Which dimensions a repaired graph leaves free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// The first of every input and output.
    Batch,
    /// The batch, and height and width of an NCHW input with whatever follows from them.
    BatchAndSize,
}

/// Fold quantised constants to float32, drop dead inputs and constants, and free dimensions.
///
/// # Errors
/// [`Error::Model`] if a constant contradicts its own shape or uses an element type not known here.
pub fn repair(name: &str, mut model: ModelProto, free: Free) -> Result<ModelProto> {
    let Some(graph) = model.graph.as_mut() else {
        return Err(Error::model(name, "the ONNX file holds no graph"));
    };
    fold_constants(name, graph)?;
    drop_idle(graph);
    drop_dead(graph);
    for value in &mut graph.input {
        free_dimensions(value, free == Free::BatchAndSize, &[0, 2, 3]);
    }
    for value in &mut graph.output {
        free_dimensions(value, free == Free::BatchAndSize, &[0, 1]);
    }
    free_reshapes(graph);
    Ok(model)
}

/// Replace every DequantizeLinear or Reshape of constants by its result.
fn fold_constants(name: &str, graph: &mut GraphProto) -> Result<()> {
    let mut constants: HashMap<String, TensorProto> =
        graph.initializer.drain(..).map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in graph.node.drain(..) {
        match folded(name, &node, &constants)? {
            Some(tensor) => {
                constants.insert(tensor.name.clone(), tensor);
            }
            None => kept.push(node),
        }
    }
    graph.node = kept;
    graph.initializer = constants.into_values().collect();
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn folded(name: &str, node: &NodeProto, constants: &HashMap<String, TensorProto>) -> Result<Option<TensorProto>> {
    let constant = |index: usize| node.input.get(index).and_then(|input| constants.get(input));
    let output = node.output.first().cloned().unwrap_or_default();
    let folded = match (node.op_type.as_str(), constant(0), constant(1)) {
        ("DequantizeLinear", Some(quantised), Some(scale)) => dequantised(node, quantised, scale, constant(2)),
        ("Reshape", Some(tensor), Some(shape)) if tensor.data_type == data_type::FLOAT => reshaped(tensor, shape),
        _ => return Ok(None),
    };
    match folded {
        Some(tensor) => Ok(Some(TensorProto { name: output, ..tensor })),
        None => Err(Error::model(name, format!("{} {output:?} contradicts its own shape", node.op_type))),
    }
}

/// `(q − zero_point) · scale`, with one scale for the tensor, for each index of `axis`, or for each block
/// of `block_size` along it. `None` if the shapes do not fit.
fn dequantised(
    node: &NodeProto,
    quantised: &TensorProto,
    scale: &TensorProto,
    zero_point: Option<&TensorProto>,
) -> Option<TensorProto> {
    let values = integers(quantised)?;
    let scales = floats(scale)?;
    let zeros = match zero_point {
        Some(zero_point) => integers(zero_point)?,
        None => vec![0; scales.len()],
    };
    if zeros.len() != scales.len() || scales.is_empty() {
        return None;
    }
    let rank = quantised.dims.len();
    let attribute = |key: &str| node.attribute(key).and_then(|a| a.i);
    let axis = match attribute("axis").unwrap_or(1) {
        a if a < 0 => usize::try_from(a + rank as i64).ok()?,
        a => usize::try_from(a).ok()?,
    };
    let dims: Vec<usize> = quantised.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
    let block = match attribute("block_size") {
        Some(size) if size > 0 && scales.len() > 1 => usize::try_from(size).ok()?,
        _ => 1,
    };
    let scale_at: Box<dyn Fn(usize) -> usize> = if scales.len() == 1 {
        Box::new(|_| 0)
    } else {
        let length = *dims.get(axis)?;
        let inner: usize = dims.get(axis + 1..)?.iter().product();
        let outer: usize = dims.get(..axis)?.iter().product();
        let blocks = length.div_ceil(block);
        let per_axis_only = scale.dims.len() == 1 && rank > 1;
        let want = if per_axis_only { blocks } else { outer.checked_mul(blocks)?.checked_mul(inner)? };
        if scales.len() != want || inner == 0 || length == 0 {
            return None;
        }
        Box::new(move |flat| {
            let (along, rest) = ((flat / inner) % length / block, flat % inner);
            if per_axis_only { along } else { (flat / inner / length * blocks + along) * inner + rest }
        })
    };
    let floats: Vec<f32> = values
        .iter()
        .enumerate()
        .map(|(flat, &q)| {
            let at = scale_at(flat);
            (q - zeros[at]) as f32 * scales[at]
        })
        .collect();
    Some(TensorProto::from_f32("", &quantised.dims, &floats))
}

fn reshaped(tensor: &TensorProto, shape: &TensorProto) -> Option<TensorProto> {
    let dims: Vec<i64> = integers(shape)?;
    let reshaped = TensorProto { dims, ..tensor.clone() };
    (reshaped.len() == tensor.len()).then_some(reshaped)
}

/// The values of an integer constant; `None` if there are not as many as its shape promises.
fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let len = tensor.len().filter(|&len| len <= MAX_CONSTANT_LEN)?;
    let raw = &tensor.raw_data;
    let values: Vec<i64> = match tensor.data_type {
        data_type::INT8 if !raw.is_empty() => raw.iter().map(|&b| i64::from(b as i8)).collect(),
        data_type::UINT8 if !raw.is_empty() => raw.iter().map(|&b| i64::from(b)).collect(),
        data_type::INT32 if !raw.is_empty() => {
            raw.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect()
        }
        data_type::INT64 if !raw.is_empty() => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        data_type::INT64 => tensor.int64_data.clone(),
        data_type::INT8 | data_type::UINT8 | data_type::INT32 => {
            tensor.int32_data.iter().map(|&v| i64::from(v)).collect()
        }
        _ => return None,
    };
    (values.len() == len).then_some(values)
}

/// The values of a float constant; `None` if there are not as many as its shape promises.
pub fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    let len = tensor.len().filter(|&len| len <= MAX_CONSTANT_LEN)?;
    if tensor.data_type != data_type::FLOAT {
        return None;
    }
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        tensor.raw_data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    (values.len() == len).then_some(values)
}

/// Remove operators that pass their first input on unchanged when a network is not being trained.
fn drop_idle(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut renamed: HashMap<String, String> = HashMap::new();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(source) = renamed.get(input) {
                input.clone_from(source);
            }
        }
        let idle = matches!(node.op_type.as_str(), "Dropout" | "Identity");
        match (node.input.first(), node.output.first()) {
            (Some(input), Some(output)) if idle && !outputs.contains(output) => {
                renamed.insert(output.clone(), input.clone());
                false
            }
            _ => true,
        }
    });
}

/// Remove constants and inputs that no operator reads, and inputs that only restate a constant.
fn drop_dead(graph: &mut GraphProto) {
    let read: HashSet<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| read.contains(&input.name) && !constants.contains(input.name.as_str()));
}

fn free_dimensions(value: &mut ValueInfoProto, size_too: bool, size_axes: &[usize]) {
    let shape = value.value_type.as_mut().and_then(|t| t.tensor_type.as_mut()).and_then(|t| t.shape.as_mut());
    let Some(TensorShapeProto { dim }) = shape else { return };
    for &axis in if size_too { size_axes } else { &[0][..] } {
        if let Some(dim) = dim.get_mut(axis) {
            let name = ["n", "p", "h", "w"].get(axis).copied().unwrap_or("d");
            *dim = DimensionProto { dim_value: None, dim_param: Some(name.to_owned()) };
        }
    }
}

/// Let reshapes to `[1, −1, …]` keep whatever batch comes in.
fn free_reshapes(graph: &mut GraphProto) {
    let reshape_shapes: HashSet<&String> =
        graph.node.iter().filter(|node| node.op_type == "Reshape").filter_map(|node| node.input.get(1)).collect();
    for tensor in graph.initializer.iter_mut().filter(|tensor| reshape_shapes.contains(&tensor.name)) {
        if let Some(shape) = integers(tensor).filter(|shape| shape.starts_with(&[1, -1])) {
            let kept: Vec<i64> = std::iter::once(0).chain(shape.into_iter().skip(1)).collect();
            *tensor = TensorProto::from_i64(&tensor.name, &kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::onnx::AttributeProto;
    use super::*;
    use proptest::prelude::*;

    fn int8(name: &str, dims: &[i64], values: &[i8]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: data_type::INT8,
            name: name.to_owned(),
            raw_data: values.iter().map(|&v| v as u8).collect(),
            ..Default::default()
        }
    }

    fn graph(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
        let input = vec![ValueInfoProto::float("x", &[1, 3, 8, 8]), ValueInfoProto::float("orphan", &[2])];
        let output = vec![ValueInfoProto::float("y", &[1, 4])];
        ModelProto {
            graph: Some(GraphProto { node, initializer, input, output, ..Default::default() }),
            ..Default::default()
        }
    }

    fn dequantize(block_size: i64, axis: i64) -> NodeProto {
        NodeProto::new(
            "DequantizeLinear",
            &["q", "s", "z"],
            "w",
            vec![AttributeProto::int("axis", axis), AttributeProto::int("block_size", block_size)],
        )
    }

    #[test]
    fn blocks_are_scaled_one_by_one_and_reshaped() {
        let nodes = vec![
            dequantize(2, 1),
            NodeProto::new("Reshape", &["w", "shape"], "w4", vec![]),
            NodeProto::new("Conv", &["x", "w4"], "y", vec![]),
        ];
        let constants = vec![
            int8("q", &[2, 3], &[1, 2, 3, 4, 5, 6]),
            TensorProto::from_f32("s", &[2, 2], &[1.0, 10.0, 100.0, 1000.0]),
            int8("z", &[2, 2], &[0, 1, 0, -1]),
            TensorProto::from_i64("shape", &[2, 3, 1, 1]),
        ];
        let repaired = repair("test", graph(nodes, constants), Free::Batch).unwrap().graph.unwrap();
        assert_eq!(repaired.node.len(), 1);
        assert_eq!(repaired.initializer.len(), 1);
        assert_eq!(repaired.initializer[0].dims, [2, 3, 1, 1]);
        assert_eq!(floats(&repaired.initializer[0]).unwrap(), [1.0, 2.0, 20.0, 400.0, 500.0, 7000.0]);
        assert_eq!(repaired.input.len(), 1, "the input that nothing reads is gone");
    }

    #[test]
    fn dropout_is_bridged_unless_it_is_an_output() {
        let nodes = vec![
            NodeProto::new("Relu", &["x"], "a", vec![]),
            NodeProto::new("Dropout", &["a"], "b", vec![]),
            NodeProto::new("Identity", &["b"], "c", vec![]),
            NodeProto::new("Relu", &["c"], "d", vec![]),
            NodeProto::new("Identity", &["d"], "y", vec![]),
        ];
        let repaired = repair("test", graph(nodes, vec![]), Free::Batch).unwrap().graph.unwrap();
        let left: Vec<_> = repaired.node.iter().map(|n| (n.op_type.as_str(), n.input[0].as_str())).collect();
        assert_eq!(left, [("Relu", "x"), ("Relu", "a"), ("Identity", "d")]);
    }

    #[test]
    fn wrong_block_count_is_refused_by_name() {
        let constants = vec![
            int8("q", &[2, 3], &[1, 2, 3, 4, 5, 6]),
            TensorProto::from_f32("s", &[3], &[1.0, 10.0, 100.0]),
            int8("z", &[3], &[0, 0, 0]),
        ];
        let error = repair("test", graph(vec![dequantize(2, 1)], constants), Free::Batch).unwrap_err();
        assert!(error.to_string().contains("DequantizeLinear \"w\""), "{error}");
    }

    #[test]
    fn batch_and_size_become_free() {
        let nodes = vec![NodeProto::new("Reshape", &["x", "shape"], "y", vec![])];
        let model = graph(nodes, vec![TensorProto::from_i64("shape", &[1, -1, 4])]);
        let repaired = repair("test", model, Free::BatchAndSize).unwrap().graph.unwrap();
        let dim =
            &repaired.input[0].value_type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap().dim;
        let free: Vec<bool> = dim.iter().map(|d| d.dim_value.is_none()).collect();
        assert_eq!(free, [true, false, true, true]);
        assert_eq!(integers(&repaired.initializer[0]).unwrap(), [0, -1, 4]);
    }

    proptest! {
        #[test]
        fn hostile_shapes_do_not_panic(
            dims in proptest::collection::vec(-2i64..5, 0..4), sdims in proptest::collection::vec(-2i64..5, 0..4),
            axis in -5i64..5, block in -2i64..70, values in proptest::collection::vec(any::<i8>(), 0..30),
        ) {
            let scales = vec![1.0f32; sdims.iter().map(|&d| d.max(0) as usize).product::<usize>().min(200)];
            let zeros = vec![0i8; scales.len()];
            let constants = vec![
                int8("q", &dims, &values), TensorProto::from_f32("s", &sdims, &scales), int8("z", &sdims, &zeros),
            ];
            let _ = repair("test", graph(vec![dequantize(block, axis)], constants), Free::Batch);
        }
    }
}
