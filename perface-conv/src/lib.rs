//! Train and run convolutional face networks on a CPU.
//!
//! [`Graph`] says what a network computes, [`nets`] has the known ones.

mod error;
pub mod graph;
pub mod nets;

pub use error::Error;
pub use graph::{ConvSpec, Graph, Init, Kind, Node, NodeId, Op, Param, ParamId, Shape};
