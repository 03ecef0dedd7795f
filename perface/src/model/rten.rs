//! Networks run by `rten`, in pure Rust: the runtime that is always there.

use std::sync::Arc;

use rten::{Dimension, NodeId, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor as RtenTensor, TensorView};

use super::{Model, Tensor};
use crate::error::{Error, Result};

thread_local! {
    /// One thread for each caller: pictures are worked on side by side, and a result must not depend on how many are.
    static POOL: Arc<ThreadPool> = Arc::new(ThreadPool::with_num_threads(1));
}

/// A network loaded by `rten`.
pub struct RtenModel {
    name: String,
    model: rten::Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
}

impl RtenModel {
    /// From the bytes of an ONNX file; `name` stands in errors.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime refuses the graph.
    pub fn load(name: &str, onnx: Vec<u8>) -> Result<Self> {
        let mut options = rten::ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = options.load(onnx).map_err(|e| Error::model(name, e))?;
        let (inputs, outputs) = (model.input_ids().to_vec(), model.output_ids().to_vec());
        Ok(Self { name: name.to_owned(), model, inputs, outputs })
    }
}

impl Model for RtenModel {
    fn input_shape(&self, index: usize) -> Vec<Option<usize>> {
        let dims = self.model.input_shape(index).unwrap_or_default();
        dims.into_iter()
            .map(|dim| match dim {
                Dimension::Fixed(length) => Some(length),
                Dimension::Symbolic(_) => None,
            })
            .collect()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::model(&self.name, format!("takes {} inputs, got {}", self.inputs.len(), inputs.len())));
        }
        let views: Vec<(NodeId, ValueOrView)> = self
            .inputs
            .iter()
            .zip(inputs)
            .map(|(&id, tensor)| (id, TensorView::from_data(tensor.shape(), tensor.data()).into()))
            .collect();
        let options = RunOptions::default().with_thread_pool(Some(POOL.with(Arc::clone)));
        let outputs = self.model.run(views, &self.outputs, Some(options)).map_err(|e| Error::model(&self.name, e))?;
        outputs
            .into_iter()
            .map(|value| {
                let tensor: RtenTensor<f32> =
                    value.try_into().map_err(|_| Error::model(&self.name, "an output is not float32"))?;
                Ok(Tensor::new(tensor.shape().to_vec(), tensor.to_vec()))
            })
            .collect()
    }
}
