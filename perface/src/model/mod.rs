//! Networks: arrays in, arrays out, whatever runs them.

pub mod builtin;
pub mod card;
mod flatbuffer;
pub mod import;
pub mod licence;
pub mod onnx;
pub mod ort;
pub mod own;
pub mod pack;
pub mod presets;
pub mod repair;
pub mod rten;
pub mod store;
pub mod tflite;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A dense array of `f32` in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// From its shape and values.
    ///
    /// # Panics
    /// If `data` does not hold the product of `shape` values.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "tensor shape {shape:?} does not fit its data");
        Self { shape, data }
    }

    /// Length along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, last axis fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// A network: arrays in, arrays out, both in the order of its graph.
pub trait Model: Send + Sync {
    /// Shape of input `index`, `None` for a free dimension; an empty list if there is no such input.
    fn input_shape(&self, index: usize) -> Vec<Option<usize>>;

    /// Run one batch on the calling thread.
    ///
    /// # Errors
    /// If the runtime refuses the inputs.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>>;
}

/// The only output of a network that must have shape `want` (0 stands for any length).
///
/// # Errors
/// [`Error::Shape`] if there is another number of outputs or another shape.
pub fn single_output(model: &str, outputs: Vec<Tensor>, want: &[usize]) -> Result<Tensor> {
    let shape_error =
        |got: Vec<usize>| Error::Shape { model: model.to_owned(), what: "output".to_owned(), got, want: want.to_vec() };
    let mut outputs = outputs.into_iter();
    let (Some(output), None) = (outputs.next(), outputs.next()) else {
        return Err(shape_error(Vec::new()));
    };
    let fits = output.shape.len() == want.len() && output.shape.iter().zip(want).all(|(g, w)| *w == 0 || g == w);
    if fits { Ok(output) } else { Err(shape_error(output.shape)) }
}

/// What runs the networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Pure Rust, always there.
    #[default]
    Rten,
    /// ONNX Runtime, from its own shared library: several times faster.
    Ort {
        /// Path of the shared library.
        library: PathBuf,
    },
    /// The project's own kernels for every network they can run, and another runtime for the rest.
    Own {
        /// Runs what the kernels cannot.
        others: Box<Runtime>,
    },
}

impl Runtime {
    /// The name, for reports and caches.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rten => "rten",
            Self::Ort { .. } => "ort",
            Self::Own { others } => match **others {
                Self::Rten => "own+rten",
                _ => "own+ort",
            },
        }
    }

    /// Load the bytes of an ONNX file; `name` stands in errors.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime refuses it.
    pub fn load(&self, name: &str, onnx: Vec<u8>) -> Result<Arc<dyn Model>> {
        Ok(match self {
            Self::Rten => Arc::new(rten::RtenModel::load(name, onnx)?),
            Self::Ort { library } => Arc::new(ort::OrtModel::load(library, name, onnx)?),
            Self::Own { others } => match own::OwnModel::load(name, &onnx) {
                Ok(model) => Arc::new(model),
                Err(_) => return others.load(name, onnx),
            },
        })
    }
}
