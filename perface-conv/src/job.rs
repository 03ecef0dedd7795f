//! What one pass of a convolution reads and writes: a list of taps over a bordered activation.
//!
//! Forward, and the gradient of the input for each remainder of the position by the stride, are all the same pass: for every output
//! pixel, add up over taps and channels. Only the taps, the weights and the steps between pixels differ.

use crate::graph::ConvSpec;
use crate::simd::BLOCK;
use crate::tensor::Dims;

/// Where a side of an activation is read or written: a base and the steps from there, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub base: usize,
    pub image: usize,
    pub block: usize,
    pub row: usize,
    pub pixel: usize,
}

impl View {
    /// Every `step`-th pixel from `(y, x)` on.
    pub fn strided(dims: Dims, y: usize, x: usize, step: usize) -> Self {
        let base = dims.origin() + y * dims.row() + x * BLOCK;
        Self { base, image: dims.image(), block: dims.plane(), row: step * dims.row(), pixel: step * BLOCK }
    }
}

/// Taps, pixels and strides of one pass.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub images: usize,
    pub rows: usize,
    pub width: usize,
    pub from: View,
    pub to: View,
    /// Offset of each tap from the pixel in `from`, in numbers; may reach into the border.
    pub taps: Vec<isize>,
    /// Index `ky · kernel + kx` of the weight of each tap.
    pub weights: Vec<usize>,
}

impl Job {
    /// The pass that computes the output.
    pub fn forward(spec: ConvSpec, x: Dims, y: Dims) -> Self {
        let mut taps = Vec::new();
        for ky in 0..spec.kernel {
            for kx in 0..spec.kernel {
                taps.push(offset(x, ky as isize - spec.pad as isize, kx as isize - spec.pad as isize));
            }
        }
        Self {
            images: y.images,
            rows: y.height,
            width: y.width,
            from: View::strided(x, 0, 0, spec.stride),
            to: View::strided(y, 0, 0, 1),
            weights: (0..taps.len()).collect(),
            taps,
        }
    }

    /// The passes that compute the gradient of the input `x` from that of the output `y`: one for each remainder of row and column.
    pub fn backward(spec: ConvSpec, x: Dims, y: Dims) -> Vec<Self> {
        let mut jobs = Vec::new();
        for ry in 0..spec.stride.min(x.height) {
            for rx in 0..spec.stride.min(x.width) {
                let (mut taps, mut weights) = (Vec::new(), Vec::new());
                for (ky, dy) in matching(spec, ry) {
                    for (kx, dx) in matching(spec, rx) {
                        taps.push(offset(y, dy, dx));
                        weights.push(ky * spec.kernel + kx);
                    }
                }
                jobs.push(Self {
                    images: x.images,
                    rows: (x.height - ry).div_ceil(spec.stride),
                    width: (x.width - rx).div_ceil(spec.stride),
                    from: View::strided(y, 0, 0, 1),
                    to: View::strided(x, ry, rx, spec.stride),
                    taps,
                    weights,
                });
            }
        }
        jobs
    }

    /// Rows of all pictures.
    pub fn all_rows(&self) -> usize {
        self.images * self.rows
    }
}

fn offset(dims: Dims, dy: isize, dx: isize) -> isize {
    dy * dims.row() as isize + dx * BLOCK as isize
}

/// Taps of one axis that reach inputs of remainder `remainder`, and how far their output lies from `position / stride`.
fn matching(spec: ConvSpec, remainder: usize) -> Vec<(usize, isize)> {
    let reach = (remainder + spec.pad) as isize;
    let stride = spec.stride as isize;
    (0..spec.kernel)
        .map(|k| (k, reach - k as isize))
        .filter(|(_, d)| d % stride == 0)
        .map(|(k, d)| (k, d / stride))
        .collect()
}

/// Border that the output's gradient needs so that [`Job::backward`] never leaves its buffer, for one axis.
pub(crate) fn gradient_border(spec: ConvSpec, input: usize, output: usize) -> usize {
    let mut border = 0;
    for remainder in 0..spec.stride.min(input) {
        let last = (input - remainder).div_ceil(spec.stride) as isize - 1;
        for (_, d) in matching(spec, remainder) {
            border = border.max(-d).max(last + d - (output as isize - 1));
        }
    }
    border as usize
}
