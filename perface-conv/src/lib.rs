//! Train and run convolutional face networks on a CPU.
//!
//! [`Graph`] says what a network computes, [`nets`] has the known ones, and [`Net`] runs and trains one: pictures go in, embeddings come
//! out, the gradient of the embeddings goes in again, and every parameter has its gradient. In between everything stays in one blocked
//! layout with kernels of its own for the instruction set that the machine has.
//!
//! ```no_run
//! use perface_conv::{Mode, Net, NetOptions, Sgd, nets};
//! # fn main() -> Result<(), perface_conv::Error> {
//! # let (pictures, gradient) = (vec![0.0; 8 * 3 * 112 * 112], vec![0.0; 8 * 512]);
//! let mut net = Net::new(nets::iresnet(nets::IRESNET_50, 0.0), NetOptions::default())?;
//! let embeddings = net.forward(&pictures, 8, Mode::Train)?;
//! net.backward(&gradient)?;
//! net.sgd(Sgd::default());
//! # Ok(())
//! # }
//! ```

// Kernels index fixed-size arrays by several counters at once, which is how the registers are meant.
#![allow(clippy::needless_range_loop)]

mod backward;
mod dense;
mod depthwise;
mod error;
mod forward;
pub mod graph;
mod job;
mod net;
pub mod nets;
mod plan;
mod pointwise;
mod sgd;
mod simd;
mod tensor;
mod timing;
mod weights;
mod wgrad;

pub use error::Error;
pub use graph::{ConvSpec, Graph, Init, Kind, Node, NodeId, Op, Param, ParamId, Shape};
pub use net::{Mode, Net, NetOptions};
pub use sgd::Sgd;
pub use simd::Level;
pub use timing::{Timings, Work, measure_bandwidth, measure_peak};
