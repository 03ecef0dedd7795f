//! The forward pass.

use crate::dense::{self, Channels, Cut, Epilogue};
use crate::depthwise;
use crate::error::Error;
use crate::net::{Mode, Net};
use crate::plan::{Affine, Fused, Lazy, Stage, TensorId};
use crate::pointwise::{self, Side};
use crate::simd::BLOCK;
use crate::tensor::Buffer;
use crate::weights::{Form, Packing};
use std::sync::Arc;
use std::time::Instant;

impl Net {
    /// Run `batch` pictures, `[N, C, H, W]`, and return the outputs, `[N, …]`, until the next call.
    ///
    /// # Errors
    /// [`Error::Length`] if `pictures` is not `batch` times the input's shape.
    pub fn forward(&mut self, pictures: &[f32], batch: usize, mode: Mode) -> Result<&[f32], Error> {
        let want = batch * self.graph.input_shape().len();
        if pictures.len() != want || batch == 0 {
            return Err(Error::Length { what: "pictures".into(), got: pictures.len(), want });
        }
        let threads = Arc::clone(&self.threads);
        threads.install(|| self.forward_here(pictures, batch, mode));
        Ok(&self.output)
    }

    /// The same on the current thread pool.
    fn forward_here(&mut self, pictures: &[f32], batch: usize, mode: Mode) {
        self.set_batch(batch);
        let dims = self.dims(0);
        let mut input = self.pool.take(dims);
        pointwise::from_plain(pictures, dims, input.as_mut_slice());
        self.activations[0] = Some(input);
        if mode != Mode::Train {
            (0..self.constants.len()).for_each(|index| self.set_running_constants(index));
        }
        self.set_biases();
        if mode == Mode::Train && self.plan.tensors[0].is_normalised {
            self.add_up(0);
        }
        for index in 0..self.plan.stages.len() {
            self.run_stage(index, mode);
            if mode == Mode::Eval {
                self.release_after(index);
            }
        }
        let output = self.plan.output;
        let dims = self.dims(output);
        self.output.resize(batch * self.graph.output_shape().len(), 0.0);
        if let Some(buffer) = &self.activations[output] {
            pointwise::to_plain(buffer.as_slice(), dims, &mut self.output);
        }
        self.kept = (mode != Mode::Eval).then_some(mode);
    }

    fn run_stage(&mut self, index: usize, mode: Mode) {
        let eval = mode == Mode::Eval;
        if eval && self.plan.is_absorbed[index] {
            return;
        }
        let start = Instant::now();
        let stage = self.plan.stages[index].clone();
        let is_conv = matches!(stage, Stage::Conv { .. });
        match stage {
            Stage::Conv { x, y, weight, packing, .. } => {
                let plain = Fused { affine: None, slope: None, add: None, y };
                let fused = if eval { self.plan.fused[index].unwrap_or(plain) } else { plain };
                self.convolve(index, x, self.values[weight].ptr(), packing, fused, mode);
            }
            Stage::Apply { x, y } => {
                let (from, affine, to) = (self.side(x.tensor), self.affine(x), self.side(y));
                let level = self.level;
                // SAFETY: both sides are buffers of their dims' length, the constants of whole blocks.
                unsafe { pointwise::apply(level, from, affine, to) };
                self.timings.pointwise.moved(2, to.dims);
                self.finish_statistics(y, mode, false);
            }
            Stage::Add { a, b, y } => {
                let sides = [a, b].map(|lazy| (self.side(lazy.tensor), self.affine(lazy)));
                let to = self.side(y);
                let wanted = mode == Mode::Train && self.plan.tensors[y].is_normalised;
                let sums = if wanted { self.slots(to.dims.images, 2, to.dims.blocks()) } else { std::ptr::null_mut() };
                let level = self.level;
                // SAFETY: all sides are buffers of their dims' length, `sums` has a slot for each picture.
                unsafe { pointwise::add(level, sides[0], sides[1], to, sums) };
                self.timings.pointwise.moved(3, to.dims);
                if wanted {
                    self.set_moments(y, to.dims.images);
                    self.set_batch_constants(y);
                }
            }
            Stage::Flatten { x, y } => {
                let (from, to) = (self.side(x), self.side(y));
                // SAFETY: both sides are buffers of their dims' length.
                unsafe { flatten(from, to, false) };
                self.timings.pointwise.moved(2, from.dims);
                self.finish_statistics(y, mode, false);
            }
        }
        if !is_conv {
            self.timings.pointwise.add(start, 0.0);
        }
    }

    fn convolve(&mut self, index: usize, x: TensorId, w: *const f32, packing: Packing, fused: Fused, mode: Mode) {
        let lazy = Lazy { tensor: fused.y, affine: fused.affine, slope: fused.slope };
        let on = self.affine(lazy);
        let (from, to) = (self.side(x), self.side(fused.y));
        let add = fused.add.map(|tensor| self.side(tensor).at.cast_const());
        let Some(jobs) = self.jobs[index].take() else { return };
        let job = if mode == Mode::Eval { &jobs.fused } else { &jobs.forward };
        let channels = channels(packing, false);
        let wanted = mode == Mode::Train && self.plan.tensors[fused.y].is_normalised;
        let by_kernel = wanted && packing.form != Form::Depthwise;
        let units = Cut::of(job, channels).units;
        let sums = if by_kernel { self.slots(units, 2, to.dims.blocks()) } else { std::ptr::null_mut() };
        let level = self.level;
        let start = Instant::now();
        let pointwise::Affine { scale, shift, slope } = on;
        // SAFETY: the job was made for the geometry of these two buffers and the weights were packed for it; `add` has the geometry of the
        // output; `sums` has a slot for each unit.
        unsafe {
            if packing.form == Form::Depthwise {
                let blocks = to.dims.blocks();
                depthwise::run(level, job, blocks, from.at, w, to.at, [scale, shift, slope]);
            } else {
                let add = add.unwrap_or(std::ptr::null());
                let epilogue = Epilogue { scale, shift, slope, add, sums };
                dense::run(level, job, channels, from.at, w, to.at, epilogue);
            }
        }
        let flop = packing.flop(job.images * job.rows * job.width);
        let timings = &mut self.timings;
        let work = if packing.form == Form::Depthwise { &mut timings.depthwise } else { &mut timings.forward };
        work.add(start, flop);
        work.moved(1, from.dims);
        work.moved(1, to.dims);
        self.jobs[index] = Some(jobs);
        let start = Instant::now();
        if by_kernel {
            self.set_moments(fused.y, units);
        }
        self.finish_statistics(fused.y, mode, by_kernel);
        self.timings.pointwise.add(start, 0.0);
    }

    /// After `tensor` is written in training, get its normalisations ready.
    fn finish_statistics(&mut self, tensor: TensorId, mode: Mode, has_moments: bool) {
        if mode == Mode::Train && self.plan.tensors[tensor].is_normalised {
            if !has_moments {
                self.add_up(tensor);
            } else {
                self.set_batch_constants(tensor);
            }
        }
    }

    fn add_up(&mut self, tensor: TensorId) {
        let side = self.side(tensor);
        let sums = self.slots(side.dims.images, 2, side.dims.blocks());
        let level = self.level;
        // SAFETY: the buffer has its dims' length, `sums` a slot for each picture.
        unsafe { pointwise::sums(level, side, sums) };
        self.timings.pointwise.moved(1, side.dims);
        self.set_moments(tensor, side.dims.images);
        self.set_batch_constants(tensor);
    }

    /// `count` slots of `kinds` sums for each channel, all zero.
    pub(crate) fn slots(&mut self, count: usize, kinds: usize, blocks: usize) -> *mut f64 {
        self.sums.clear();
        self.sums.resize(count * kinds * blocks * BLOCK, 0.0);
        self.sums.as_mut_ptr()
    }

    /// Sum of kind `kind` of a channel over all slots, in order.
    pub(crate) fn total(&self, slots: usize, kinds: usize, padded: usize, kind: usize, channel: usize) -> f64 {
        (0..slots).map(|slot| self.sums[(slot * kinds + kind) * padded + channel]).sum()
    }

    fn set_moments(&mut self, tensor: TensorId, slots: usize) {
        let dims = self.dims(tensor);
        let (padded, samples) = (dims.blocks() * BLOCK, dims.samples() as f64);
        let mut moments = std::mem::take(&mut self.moments[tensor]);
        moments.resize(dims.channels, [0.0; 2]);
        for (channel, moment) in moments.iter_mut().enumerate() {
            *moment = [0, 1].map(|kind| self.total(slots, 2, padded, kind, channel) / samples);
        }
        self.moments[tensor] = moments;
    }

    /// Constants of the normalisations of `tensor` from its moments; moves their running statistics.
    fn set_batch_constants(&mut self, tensor: TensorId) {
        let samples = self.dims(tensor).samples() as f64;
        let unbiased = samples / (samples - 1.0).max(1.0);
        for index in 0..self.plan.affines.len() {
            let (Affine::Norm { weight, bias, running_mean, running_var, eps, momentum }, on) =
                self.plan.affines[index]
            else {
                continue;
            };
            if on != tensor {
                continue;
            }
            for (channel, &[mean, square]) in self.moments[tensor].iter().enumerate() {
                let variance = (square - mean * mean).max(0.0);
                let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
                let (gamma, beta) = (self.values[weight].as_slice()[channel], self.values[bias].as_slice()[channel]);
                self.constants[index].set(channel, gamma, beta, mean, inverse);
                let mut toward = |id: usize, new: f64| {
                    let old = &mut self.values[id].as_mut_slice()[channel];
                    *old += momentum * (new as f32 - *old);
                };
                toward(running_mean, mean);
                toward(running_var, variance * unbiased);
            }
        }
    }

    /// Constants from the running statistics.
    fn set_running_constants(&mut self, index: usize) {
        if let (Affine::Norm { weight, bias, running_mean, running_var, eps, .. }, on) = self.plan.affines[index] {
            for channel in 0..self.plan.tensors[on].shape.channels {
                let value = |id: usize| self.values[id].as_slice()[channel];
                let inverse = 1.0 / (f64::from(value(running_var)) + f64::from(eps)).sqrt();
                let mean = f64::from(value(running_mean));
                let (gamma, beta) = (value(weight), value(bias));
                self.constants[index].set(channel, gamma, beta, mean, inverse);
            }
        }
    }

    fn set_biases(&mut self) {
        for (index, &(affine, on)) in self.plan.affines.iter().enumerate() {
            if let Affine::Bias(bias) = affine {
                let channels = self.plan.tensors[on].shape.channels;
                let constants = &mut self.constants[index];
                constants.scale.as_mut_slice()[..channels].fill(1.0);
                let shift = &mut constants.shift.as_mut_slice()[..channels];
                shift.copy_from_slice(&self.values[bias].as_slice()[..channels]);
            }
        }
    }

    /// Activation `tensor`; made if there is none.
    pub(crate) fn side(&mut self, tensor: TensorId) -> Side {
        let dims = self.dims(tensor);
        let pool = &mut self.pool;
        let buffer: &mut Buffer = self.activations[tensor].get_or_insert_with(|| pool.take(dims));
        Side { at: buffer.mut_ptr(), dims }
    }

    /// What has still to be applied to an activation.
    pub(crate) fn affine(&self, lazy: Lazy) -> pointwise::Affine {
        let mut affine = pointwise::Affine::IDENTITY;
        if let Some(index) = lazy.affine {
            affine.scale = self.constants[index].scale.ptr();
            affine.shift = self.constants[index].shift.ptr();
        }
        if let Some(slope) = lazy.slope {
            affine.slope = self.values[slope].ptr();
        }
        affine
    }

    fn release_after(&mut self, stage: usize) {
        for tensor in 0..self.plan.tensors.len() {
            if self.plan.tensors[tensor].last_use == stage
                && let Some(buffer) = self.activations[tensor].take()
            {
                let dims = self.dims(tensor);
                self.pool.give(dims, buffer);
            }
        }
    }
}

impl crate::net::Constants {
    fn set(&mut self, channel: usize, gamma: f32, beta: f32, mean: f64, inverse: f64) {
        let scale = f64::from(gamma) * inverse;
        self.scale.as_mut_slice()[channel] = scale as f32;
        self.shift.as_mut_slice()[channel] = (f64::from(beta) - mean * scale) as f32;
        self.mean.as_mut_slice()[channel] = mean as f32;
        self.inverse.as_mut_slice()[channel] = inverse as f32;
    }
}

/// Channels of a convolution's pass, forward or back.
pub(crate) fn channels(packing: Packing, is_backward: bool) -> Channels {
    let (inputs, outputs) =
        if is_backward { (packing.outputs, packing.inputs) } else { (packing.inputs, packing.outputs) };
    Channels { inputs, outputs, block_diagonal: packing.form == Form::Diagonal }
}

/// Pictures into vectors ordered channel, row, column; `back` the other way.
///
/// # Safety
/// `picture` and `vector` must be valid for their geometry.
pub(crate) unsafe fn flatten(picture: Side, vector: Side, back: bool) {
    let (from, to) = (picture.dims, vector.dims);
    for image in 0..from.images {
        for channel in 0..from.channels {
            for y in 0..from.height {
                for x in 0..from.width {
                    let feature = (channel * from.height + y) * from.width + x;
                    let plane = image * from.image() + channel / BLOCK * from.plane() + channel % BLOCK;
                    let a = from.origin() + plane + y * from.row() + x * BLOCK;
                    let b = feature / BLOCK * to.plane() + image * BLOCK + feature % BLOCK;
                    // SAFETY: both places lie inside their activations.
                    unsafe {
                        if back {
                            *picture.at.add(a) = *vector.at.add(b);
                        } else {
                            *vector.at.add(b) = *picture.at.add(a);
                        }
                    }
                }
            }
        }
    }
}
