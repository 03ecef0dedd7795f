//! Fit face networks to people's judgements of similarity.
//!
//! `triplets.csv → Dataset → Learner + train → best parameters → ONNX`. A learner is a linear map on frozen
//! embeddings or a network of [`perface_conv`], whole or its last blocks; the loop, the loss and the checkpoints are
//! the same for all. Names of parameters are PyTorch's.

pub mod calibrate;
pub mod checkpoint;
pub mod crops;
pub mod curves;
pub mod data;
pub mod export;
pub mod features;
pub mod frozen;
#[cfg(any(feature = "cuda", feature = "flex"))]
pub mod gpu;
pub mod inputs;
pub mod learner;
pub mod loss;
pub mod network;
pub mod projection;
pub mod run;
pub mod trainer;
pub mod weights;
