//! Networks run by the project's own kernels: convolutional embedders, faster here than in a general runtime.
//!
//! What [`import`](super::import) can read is run by [`perface_conv`]. Networks with other operators need another runtime.

use std::sync::{Mutex, PoisonError};

use perface_conv::{Level, Mode, Net, NetOptions, Op, Shape};

use super::import::{Imported, import};
use super::{Model, Tensor};
use crate::error::{Error, Result};

/// Whether this machine has an instruction set that the kernels are written for. Without one they run, but slower than
/// a general runtime may.
pub fn is_fast_here() -> bool {
    Level::detect() != Level::Portable
}

/// A network run by the project's own kernels, on one thread for each caller.
pub struct OwnModel {
    name: String,
    network: Imported,
    /// A net serves one caller at a time; one more is made for each caller that finds none free.
    free: Mutex<Vec<Net>>,
}

impl OwnModel {
    /// From the bytes of an ONNX file; `name` stands in errors.
    ///
    /// # Errors
    /// [`Error::Model`] naming the first operator that has no kernel here, or if what comes out is not one vector a
    /// picture.
    pub fn load(name: &str, onnx: &[u8]) -> Result<Self> {
        let network = import(name, onnx)?;
        let is_vector = network.graph.nodes.iter().any(|n| matches!(n.op, Op::Flatten | Op::Linear { .. }));
        let Shape { height, width, .. } = network.graph.output_shape();
        if !is_vector || (height, width) != (1, 1) {
            return Err(Error::model(name, "its output is not one vector for each picture"));
        }
        let model = Self { name: name.to_owned(), network, free: Mutex::default() };
        model.give_back(model.take()?);
        Ok(model)
    }

    fn take(&self) -> Result<Net> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(net) = free {
            return Ok(net);
        }
        let failed = |e: perface_conv::Error| Error::model(&self.name, e);
        let Imported { graph, values, .. } = &self.network;
        let mut net = Net::new(graph.clone(), NetOptions { threads: 1, ..Default::default() }).map_err(failed)?;
        for (param, values) in graph.params.iter().zip(values) {
            net.set(&param.name, values).map_err(failed)?;
        }
        Ok(net)
    }

    fn give_back(&self, net: Net) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(net);
    }
}

impl Model for OwnModel {
    fn input_shape(&self, index: usize) -> Vec<Option<usize>> {
        let Shape { channels, height, width } = self.network.graph.input_shape();
        if index == 0 { vec![None, Some(channels), Some(height), Some(width)] } else { Vec::new() }
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let Shape { channels, height, width } = self.network.graph.input_shape();
        let want = [channels, height, width];
        let [input] = inputs else {
            return Err(Error::model(&self.name, format!("takes 1 input, got {}", inputs.len())));
        };
        let shape_error = || Error::Shape {
            model: self.name.clone(),
            what: "input".to_owned(),
            got: input.shape().to_vec(),
            want: [&[0][..], &want].concat(),
        };
        let Some((&batch, _)) = input.shape().split_first().filter(|(batch, rest)| **batch > 0 && *rest == want) else {
            return Err(shape_error());
        };
        let Imported { mean, scale, .. } = self.network;
        let pictures: Vec<f32> = input.data().iter().map(|x| (x - mean) / scale).collect();
        let mut net = self.take()?;
        let mut outputs = Vec::with_capacity(batch * self.network.graph.output_shape().channels);
        // One picture at a time: its activations stay in the cache, and no batch size needs buffers of its own.
        for picture in pictures.chunks_exact(want.iter().product()) {
            let output = net.forward(picture, 1, Mode::Eval).map_err(|e| Error::model(&self.name, e))?;
            outputs.extend_from_slice(output);
        }
        self.give_back(net);
        Ok(vec![Tensor::new(vec![batch, outputs.len() / batch], outputs)])
    }
}
