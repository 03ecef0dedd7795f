//! Layouts of weights: PyTorch's `[out, in / groups, kernel, kernel]` and the panels that the kernels read.

use crate::error::Error;
use crate::graph::ConvSpec;
use crate::simd::BLOCK;
use rayon::prelude::*;

/// How a convolution's weights meet its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Every input with every output.
    Dense,
    /// Groups of at most 16 channels that do not cross a block: dense within each block.
    Diagonal,
    /// One input for each output.
    Depthwise,
}

/// Geometry of a packed weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub form: Form,
    pub inputs: usize,
    pub outputs: usize,
    pub taps: usize,
    group_inputs: usize,
    group_outputs: usize,
}

impl Packing {
    pub fn of(spec: ConvSpec, inputs: usize) -> Result<Self, Error> {
        let bad = |why: &str| Err(Error::Graph(format!("{spec:?} over {inputs} channels: {why}")));
        if spec.groups == 0 || !inputs.is_multiple_of(spec.groups) || !spec.out.is_multiple_of(spec.groups) {
            return bad("channels do not divide into groups");
        }
        let (group_inputs, group_outputs) = (inputs / spec.groups, spec.out / spec.groups);
        let form = if spec.groups == 1 {
            Form::Dense
        } else if group_inputs == 1 && group_outputs == 1 {
            Form::Depthwise
        } else if group_inputs == group_outputs && BLOCK.is_multiple_of(group_inputs) {
            Form::Diagonal
        } else {
            return bad("groups must be depthwise or divide a block of 16 channels");
        };
        let taps = spec.kernel * spec.kernel;
        Ok(Self { form, inputs, outputs: spec.out, taps, group_inputs, group_outputs })
    }

    fn input_blocks(&self) -> usize {
        self.inputs.div_ceil(BLOCK)
    }

    fn output_blocks(&self) -> usize {
        self.outputs.div_ceil(BLOCK)
    }

    /// Numbers in packed form.
    pub fn len(&self) -> usize {
        match self.form {
            Form::Dense => self.output_blocks() * self.input_blocks() * self.taps * BLOCK * BLOCK,
            Form::Diagonal => self.output_blocks() * self.taps * BLOCK * BLOCK,
            Form::Depthwise => self.output_blocks() * self.taps * BLOCK,
        }
    }

    /// Multiplications and additions for this many output pixels.
    pub fn flop(&self, pixels: usize) -> f64 {
        2.0 * (self.outputs * self.group_inputs * self.taps) as f64 * pixels as f64
    }

    /// Where the weight from `input` (of the whole activation) to `output` at `tap` stands.
    pub fn index(&self, output: usize, input: usize, tap: usize) -> usize {
        match self.form {
            Form::Dense => dense_index(self.output_blocks(), self.input_blocks(), self.taps, output, input, tap),
            Form::Diagonal => ((output / BLOCK * self.taps + tap) * BLOCK + input % BLOCK) * BLOCK + output % BLOCK,
            Form::Depthwise => (output / BLOCK * self.taps + tap) * BLOCK + output % BLOCK,
        }
    }

    /// Call `visit(packed index, PyTorch index)` for every weight.
    pub fn for_each(&self, mut visit: impl FnMut(usize, usize)) {
        let mut plain = 0;
        for output in 0..self.outputs {
            let first_input = output / self.group_outputs * self.group_inputs;
            for input in first_input..first_input + self.group_inputs {
                for tap in 0..self.taps {
                    visit(self.index(output, input, tap), plain);
                    plain += 1;
                }
            }
        }
    }

    /// Set to zero what a gradient holds between channels of different groups.
    pub fn mask(&self, gradient: &mut [f32]) {
        if self.form == Form::Diagonal {
            for square in gradient.chunks_exact_mut(BLOCK * BLOCK) {
                for (at, value) in square.iter_mut().enumerate() {
                    if at / BLOCK / self.group_inputs != at % BLOCK / self.group_inputs {
                        *value = 0.0;
                    }
                }
            }
        }
    }

    /// Pack for one pass of the input's gradient: inputs and outputs change places, and only `taps` are kept, in that order.
    ///
    /// `to` takes [`Packing::transposed_len`] numbers.
    pub fn transpose(&self, packed: &[f32], taps: &[usize], to: &mut [f32]) {
        if taps.is_empty() {
            return;
        }
        match self.form {
            Form::Depthwise => {
                for (block, chunk) in to.chunks_exact_mut(taps.len() * BLOCK).take(self.output_blocks()).enumerate() {
                    for (line, &tap) in chunk.chunks_exact_mut(BLOCK).zip(taps) {
                        line.copy_from_slice(&packed[(block * self.taps + tap) * BLOCK..][..BLOCK]);
                    }
                }
            }
            Form::Diagonal => {
                for (block, chunk) in
                    to.chunks_exact_mut(taps.len() * BLOCK * BLOCK).take(self.output_blocks()).enumerate()
                {
                    for (square, &tap) in chunk.chunks_exact_mut(BLOCK * BLOCK).zip(taps) {
                        let from = &packed[(block * self.taps + tap) * BLOCK * BLOCK..][..BLOCK * BLOCK];
                        for (i, row) in from.chunks_exact(BLOCK).enumerate() {
                            for (o, &value) in row.iter().enumerate() {
                                square[o * BLOCK + i] = value;
                            }
                        }
                    }
                }
            }
            Form::Dense => {
                // A panel of the transposed form is two input blocks wide (the last may be one).
                let panel_len = 2 * self.output_blocks() * taps.len() * BLOCK * BLOCK;
                let end = self.transposed_len(taps.len());
                to[..end].par_chunks_mut(panel_len).enumerate().for_each(|(panel, chunk)| {
                    let wide = 2.min(self.input_blocks() - 2 * panel) * BLOCK;
                    for (place, row) in chunk.chunks_exact_mut(BLOCK * wide).enumerate() {
                        let (block, tap) = (place / taps.len(), taps[place % taps.len()]);
                        for (half, input_block) in (2 * panel..2 * panel + wide / BLOCK).enumerate() {
                            let from = self.index(block * BLOCK, input_block * BLOCK, tap);
                            let from_wide = self.panel_width(block);
                            for i in 0..BLOCK {
                                let line = &packed[from + i * from_wide..][..BLOCK];
                                for (o, &value) in line.iter().enumerate() {
                                    row[o * wide + half * BLOCK + i] = value;
                                }
                            }
                        }
                    }
                });
            }
        }
    }

    /// Numbers that [`Packing::transpose`] writes for this many taps.
    pub fn transposed_len(&self, taps: usize) -> usize {
        self.len() / self.taps.max(1) * taps
    }

    fn panel_width(&self, output_block: usize) -> usize {
        2.min(self.output_blocks() - output_block / 2 * 2) * BLOCK
    }
}

/// Index into `[panel of 32 outputs][input block][tap][16][32]`; the last panel may be 16 wide.
fn dense_index(
    output_blocks: usize,
    input_blocks: usize,
    taps: usize,
    output: usize,
    input: usize,
    tap: usize,
) -> usize {
    let panel = output / (2 * BLOCK);
    let wide = 2.min(output_blocks - 2 * panel) * BLOCK;
    let start = panel * 2 * input_blocks * taps * BLOCK * BLOCK;
    start + ((input / BLOCK * taps + tap) * BLOCK + input % BLOCK) * wide + output % (2 * BLOCK)
}
