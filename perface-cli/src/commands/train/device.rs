//! Where a network is trained.

use std::str::FromStr;

use perface::Result;
use perface_conv::Graph;
use perface_train::learner::Learner;
use perface_train::network::{BatchNorm, NetworkLearner};

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// This machine's processor.
    #[default]
    Cpu,
    /// The CUDA card with this number.
    Cuda(usize),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(index)) => Ok(Self::Cuda(index)),
                _ => Err(format!("{text:?} is none of cpu, cuda, cuda:N")),
            },
        }
    }
}

impl Device {
    /// Whether it is there.
    ///
    /// # Errors
    /// [`perface::Error::Usage`] with the reason if not.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => perface_train::gpu::cuda(index).map(|_| ()),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(without_cuda()),
        }
    }

    /// `graph` with `values`, to be fitted on it.
    ///
    /// # Errors
    /// As [`Device::check`]; [`perface::Error::Model`] if the network cannot be run.
    pub fn learner(self, graph: &Graph, values: &[Vec<f32>], batch_norm: BatchNorm) -> Result<Box<dyn Learner>> {
        match self {
            Self::Cpu => Ok(Box::new(NetworkLearner::new(graph, values, batch_norm)?)),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => {
                let device = perface_train::gpu::cuda(index)?;
                Ok(Box::new(perface_train::gpu::GpuLearner::new(graph, values, batch_norm, &device)?))
            }
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(without_cuda()),
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn without_cuda() -> perface::Error {
    let how = "cargo build --release -p perface-cli --features cuda";
    perface::Error::Usage(format!("this perface was built without CUDA; {how} makes one that has it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_written() {
        for (text, device) in [("cpu", Device::Cpu), ("cuda:0", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
            assert_eq!((text.parse(), device.to_string().as_str()), (Ok(device), text));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert!("gpu".parse::<Device>().is_err() && "cuda:x".parse::<Device>().is_err());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_how_to_make_one_with_it() {
        assert!(Device::Cuda(0).check().unwrap_err().to_string().contains("--features cuda"));
        assert!(Device::Cpu.check().is_ok());
    }
}
