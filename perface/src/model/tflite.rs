//! Convert TensorFlow Lite networks to ONNX.
//!
//! TensorFlow Lite keeps pictures as `[N, H, W, C]`, ONNX as `[N, C, H, W]`; weights and paddings are
//! reordered once here. Only the operators of the networks in [`super::builtin`] are known; another one is
//! named in the error. Layouts and numbers are those of TensorFlow Lite's `schema.fbs`, version 3.

use super::flatbuffer::{Table, Vector};
use super::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
use crate::error::{Error, Result};

/// ONNX operator set of the result.
const OPSET: i64 = 17;
/// ONNX format version of the result.
const IR_VERSION: i64 = 8;
/// Operators and tensors beyond these are no face network's.
const MAX_PARTS: usize = 10_000;

/// Convert the bytes of a `.tflite` file. Inputs and outputs have a free batch; outputs are `[N, D]`.
///
/// # Errors
/// [`Error::Model`] if the file is broken or has an operator, type or shape not known here.
pub fn to_onnx(name: &str, bytes: &[u8]) -> Result<ModelProto> {
    if bytes.get(4..8) != Some(b"TFL3".as_slice()) {
        return Err(Error::model(name, "not a TensorFlow Lite file"));
    }
    let broken = || Error::model(name, "the TensorFlow Lite file is broken");
    let graph = Reader::open(bytes).ok_or_else(broken)?;
    let mut converter = Converter { reader: &graph, nodes: Vec::new(), constants: Vec::new() };
    for index in 0..graph.operators.len() {
        converter.operator(index).map_err(|reason| {
            Error::model(
                name,
                reason.unwrap_or_else(|| format!("operator {index} of the TensorFlow Lite file is broken")),
            )
        })?;
    }
    let mut input = Vec::new();
    for &index in &graph.inputs {
        let [_, height, width, channels] = *graph.shape(index).ok_or_else(broken)?.as_slice() else {
            return Err(Error::model(name, "an input is not a picture"));
        };
        input.push(ValueInfoProto::float(&value(index), &[-1, channels, height, width]));
    }
    let mut output = Vec::new();
    for (n, &index) in graph.outputs.iter().enumerate() {
        let length: i64 = graph.shape(index).ok_or_else(broken)?.iter().skip(1).product();
        let flat = format!("output_{n}");
        converter.nodes.push(NodeProto::new("Flatten", &[&value(index)], &flat, vec![AttributeProto::int("axis", 1)]));
        output.push(ValueInfoProto::float(&flat, &[-1, length]));
    }
    let Converter { nodes: node, constants: initializer, .. } = converter;
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "perface".to_owned(),
        graph: Some(GraphProto { node, name: name.to_owned(), initializer, input, output }),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
    })
}

/// Name of tensor `index` in the result.
fn value(index: usize) -> String {
    format!("t{index}")
}

/// The parts of a file's only graph.
struct Reader<'a> {
    operator_codes: Vec<i32>,
    operators: Vector<'a>,
    tensors: Vector<'a>,
    buffers: Vector<'a>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Element types of tensors.
const FLOAT32: u8 = 0;
const INT32: u8 = 2;

impl<'a> Reader<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let model = Table::root(bytes)?;
        let codes = model.vector(1)?;
        let graph = model.vector(2)?.table(0)?;
        let (tensors, operators) = (graph.vector(0)?, graph.vector(3)?);
        if tensors.len() > MAX_PARTS || operators.len() > MAX_PARTS || codes.len() > MAX_PARTS {
            return None;
        }
        let operator_codes = (0..codes.len())
            .map(|i| codes.table(i).map(|code| code.int(3, 0).max(i32::from(code.byte(0)))))
            .collect::<Option<_>>()?;
        let indices = |field: usize| indices(graph.vector(field)?);
        Some(Self {
            operator_codes,
            operators,
            tensors,
            buffers: model.vector(4)?,
            inputs: indices(1)?,
            outputs: indices(2)?,
        })
    }

    fn shape(&self, tensor: usize) -> Option<Vec<i64>> {
        let dims = self.tensors.table(tensor)?.vector(0)?.ints()?;
        let shape: Vec<i64> = dims.into_iter().map(i64::from).collect();
        shape.iter().all(|d| (1..1 << 20).contains(d)).then_some(shape)
    }

    /// The bytes of constant `tensor`; `None` if it is computed or not of `kind`.
    fn constant(&self, tensor: usize, kind: u8) -> Option<&'a [u8]> {
        let tensor = self.tensors.table(tensor)?;
        let buffer = self.buffers.table(usize::try_from(tensor.int(2, 0)).ok()?)?;
        let bytes = buffer.vector(0)?.bytes()?;
        (tensor.byte(1) == kind && !bytes.is_empty()).then_some(bytes)
    }

    fn floats(&self, tensor: usize) -> Option<Vec<f32>> {
        let values: Vec<f32> =
            self.constant(tensor, FLOAT32)?.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let want: i64 = self.shape(tensor)?.iter().product();
        (i64::try_from(values.len()).ok()? == want).then_some(values)
    }

    fn integers(&self, tensor: usize) -> Option<Vec<i64>> {
        let bytes = self.constant(tensor, INT32)?;
        Some(bytes.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect())
    }
}

/// Indices of tensors; one left out (−1) is refused.
fn indices(vector: Vector) -> Option<Vec<usize>> {
    vector.ints()?.into_iter().map(|i| usize::try_from(i).ok()).collect()
}

struct Converter<'a> {
    reader: &'a Reader<'a>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

/// Why an operator cannot be converted; `None` if the file is broken there.
type Refusal = Option<String>;

impl Converter<'_> {
    fn operator(&mut self, index: usize) -> Result<(), Refusal> {
        let table = self.reader.operators.table(index).ok_or(None)?;
        let code = usize::try_from(table.int(0, 0)).ok().and_then(|i| self.reader.operator_codes.get(i)).ok_or(None)?;
        let inputs = table.vector(1).and_then(indices).ok_or(None)?;
        let outputs = table.vector(2).and_then(indices).ok_or(None)?;
        let output = *outputs.first().ok_or(None)?;
        let options = table.table(4);
        match code {
            0 => self.elementwise("Add", &inputs, output, options.map_or(0, |o| o.byte(0))),
            3 => self.convolution(&inputs, output, options.ok_or(None)?, false),
            4 => self.convolution(&inputs, output, options.ok_or(None)?, true),
            17 => self.max_pool(&inputs, output, options.ok_or(None)?),
            18 => self.elementwise("Mul", &inputs, output, options.map_or(0, |o| o.byte(0))),
            19 => self.elementwise("Relu", &inputs, output, 0),
            22 => self.flatten(&inputs, output),
            34 => self.pad(&inputs, output),
            41 => self.elementwise("Sub", &inputs, output, options.map_or(0, |o| o.byte(0))),
            54 => self.elementwise("PRelu", &inputs, output, 0),
            101 => self.elementwise("Abs", &inputs, output, 0),
            other => Err(Some(format!("TensorFlow Lite operator {other} is not known here"))),
        }
    }

    /// Push a node, followed by the activation fused to it (0 none, 1 ReLU, 3 ReLU6).
    fn push(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: usize,
        attributes: Vec<AttributeProto>,
        fused: u8,
    ) -> Result<(), Refusal> {
        let output = value(output);
        let raw = if fused == 0 { output.clone() } else { format!("{output}_raw") };
        self.nodes.push(NodeProto::new(op, inputs, &raw, attributes));
        match fused {
            0 => {}
            1 => self.nodes.push(NodeProto::new("Relu", &[&raw], &output, Vec::new())),
            3 => {
                let (low, high) = (format!("{output}_low"), format!("{output}_high"));
                self.constants.push(TensorProto::from_f32(&low, &[], &[0.0]));
                self.constants.push(TensorProto::from_f32(&high, &[], &[6.0]));
                self.nodes.push(NodeProto::new("Clip", &[&raw, &low, &high], &output, Vec::new()));
            }
            other => return Err(Some(format!("fused activation {other} is not known here"))),
        }
        Ok(())
    }

    fn constant(&mut self, tensor: usize, dims: &[i64], values: &[f32]) -> String {
        let name = value(tensor);
        if !self.constants.iter().any(|c| c.name == name) {
            self.constants.push(TensorProto::from_f32(&name, dims, values));
        }
        name
    }

    fn elementwise(&mut self, op: &str, inputs: &[usize], output: usize, fused: u8) -> Result<(), Refusal> {
        let mut names = Vec::new();
        for &input in inputs {
            if let Some(values) = self.reader.floats(input) {
                // A constant for each channel: [1, 1, C] or [C] becomes [C, 1, 1].
                let shape = self.reader.shape(input).ok_or(None)?;
                let channels = *shape.last().ok_or(None)?;
                if shape.iter().product::<i64>() != channels {
                    return Err(Some(format!("a constant of shape {shape:?} is not known here")));
                }
                names.push(self.constant(input, &[channels, 1, 1], &values));
            } else {
                names.push(value(input));
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.push(op, &names, output, Vec::new(), fused)
    }

    fn convolution(&mut self, inputs: &[usize], output: usize, options: Table, depthwise: bool) -> Result<(), Refusal> {
        let [input, weight, bias] = *inputs else { return Err(None) };
        let weights = self.reader.floats(weight).ok_or(None)?;
        let biases = self.reader.floats(bias).ok_or(None)?;
        let [outer, height, width, inner] = *self.reader.shape(weight).ok_or(None)?.as_slice() else {
            return Err(None);
        };
        // Normal weights are [O, H, W, I]; depthwise ones [1, H, W, O] with one input channel each.
        let (dims, reordered) = if depthwise {
            ([inner, 1, height, width], moved(&weights, [1, height, width, inner], [3, 0, 1, 2]).ok_or(None)?)
        } else {
            ([outer, inner, height, width], moved(&weights, [outer, height, width, inner], [0, 3, 1, 2]).ok_or(None)?)
        };
        let in_shape = self.reader.shape(input).ok_or(None)?;
        let channels = *in_shape.get(3).ok_or(None)?;
        if depthwise && (outer != 1 || inner != channels) {
            return Err(Some("a depthwise convolution with a multiplier is not known here".to_owned()));
        }
        let dilations =
            if depthwise { (options.int(6, 1), options.int(5, 1)) } else { (options.int(5, 1), options.int(4, 1)) };
        if dilations != (1, 1) {
            return Err(Some("a dilated convolution is not known here".to_owned()));
        }
        let window = Window::new(&options, &in_shape, [height, width])?;
        let fused = options.byte(if depthwise { 4 } else { 3 });
        let (weight, bias) =
            (self.constant(weight, &dims, &reordered), self.constant(bias, &[biases.len() as i64], &biases));
        let mut attributes = window.attributes();
        attributes.push(AttributeProto::int("group", if depthwise { channels } else { 1 }));
        self.push("Conv", &[&value(input), &weight, &bias], output, attributes, fused)
    }

    fn max_pool(&mut self, inputs: &[usize], output: usize, options: Table) -> Result<(), Refusal> {
        let [input] = *inputs else { return Err(None) };
        let in_shape = self.reader.shape(input).ok_or(None)?;
        let window = Window::new(&options, &in_shape, [i64::from(options.int(4, 1)), i64::from(options.int(3, 1))])?;
        self.push("MaxPool", &[&value(input)], output, window.attributes(), options.byte(5))
    }

    fn pad(&mut self, inputs: &[usize], output: usize) -> Result<(), Refusal> {
        let [input, amounts] = *inputs else { return Err(None) };
        let amounts = self.reader.integers(amounts).ok_or(None)?;
        // Pairs of before and after for N, H, W, C; ONNX wants all befores of N, C, H, W, then all afters.
        let [n0, n1, h0, h1, w0, w1, c0, c1] = *amounts.as_slice() else { return Err(None) };
        let pads = format!("{}_pads", value(output));
        self.constants.push(TensorProto::from_i64(&pads, &[n0, c0, h0, w0, n1, c1, h1, w1]));
        self.push("Pad", &[&value(input), &pads], output, Vec::new(), 0)
    }

    /// A reshape from `[N, 1, 1, D]` to `[N, D]`; no other is known.
    fn flatten(&mut self, inputs: &[usize], output: usize) -> Result<(), Refusal> {
        let input = *inputs.first().ok_or(None)?;
        let (from, to) = (self.reader.shape(input).ok_or(None)?, self.reader.shape(output).ok_or(None)?);
        match (from.as_slice(), to.as_slice()) {
            ([n, 1, 1, d], [m, e]) if n == m && d == e => {
                self.push("Flatten", &[&value(input)], output, vec![AttributeProto::int("axis", 1)], 0)
            }
            _ => Err(Some(format!("a reshape from {from:?} to {to:?} is not known here"))),
        }
    }
}

/// Size, strides and padding of a sliding window, height before width.
struct Window {
    kernel: [i64; 2],
    strides: [i64; 2],
    before: [i64; 2],
    after: [i64; 2],
}

impl Window {
    /// From the options shared by convolutions and pooling. `SAME` padding puts the odd pixel after, as TensorFlow does.
    fn new(options: &Table, in_shape: &[i64], kernel: [i64; 2]) -> Result<Self, Refusal> {
        let strides = [i64::from(options.int(2, 1)), i64::from(options.int(1, 1))];
        let [_, height, width, _] = *in_shape else { return Err(None) };
        if strides.iter().chain(&kernel).any(|v| !(1..=1024).contains(v)) {
            return Err(None);
        }
        let mut window = Self { kernel, strides, before: [0; 2], after: [0; 2] };
        if options.byte(0) == 0 {
            for (axis, length) in [height, width].into_iter().enumerate() {
                let steps = (length + strides[axis] - 1) / strides[axis];
                let total = ((steps - 1) * strides[axis] + kernel[axis] - length).max(0);
                window.before[axis] = total / 2;
                window.after[axis] = total - total / 2;
            }
        }
        Ok(window)
    }

    fn attributes(&self) -> Vec<AttributeProto> {
        let Self { kernel, strides, before, after } = self;
        vec![
            AttributeProto::ints("kernel_shape", kernel),
            AttributeProto::ints("strides", strides),
            AttributeProto::ints("pads", &[before[0], before[1], after[0], after[1]]),
        ]
    }
}

/// `values` of shape `dims` with its axes in the order `order`; `None` if there are too few values.
fn moved(values: &[f32], dims: [i64; 4], order: [usize; 4]) -> Option<Vec<f32>> {
    let dims = dims.map(|d| usize::try_from(d).unwrap_or(0));
    let strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
    let [a, b, c, d] = order.map(|axis| (dims[axis], strides[axis]));
    let mut result = Vec::with_capacity(values.len());
    for i in 0..a.0 {
        for j in 0..b.0 {
            for k in 0..c.0 {
                for l in 0..d.0 {
                    result.push(*values.get(i * a.1 + j * b.1 + k * c.1 + l * d.1)?);
                }
            }
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn axes_move_with_their_values() {
        // [1, 2, 1, 3] to [3, 1, 2, 1]: channels first.
        let moved = moved(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 2, 1, 3], [3, 0, 1, 2]).unwrap();
        assert_eq!(moved, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    proptest! {
        #[test]
        fn bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_onnx("test", &bytes);
            if bytes.len() >= 8 {
                bytes[..4].copy_from_slice(&[12, 0, 0, 0]);
                bytes[4..8].copy_from_slice(b"TFL3");
                prop_assert!(to_onnx("test", &bytes).is_err());
            }
        }
    }
}
