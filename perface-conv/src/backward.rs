//! The backward pass: gradients of all trained parameters from the gradient of the output.

use crate::dense::{self, Epilogue};
use crate::depthwise;
use crate::error::Error;
use crate::forward::{channels, flatten};
use crate::graph::{Kind, ParamId};
use crate::net::{Mode, Net};
use crate::plan::{Affine, Lazy, Stage, TensorId};
use crate::pointwise::{self, Side};
use crate::simd::BLOCK;
use crate::tensor::{Buffer, Dims};
use crate::weights::{Form, Packing};
use crate::wgrad;
use std::sync::Arc;
use std::time::Instant;

/// Activation 0 is the input, whose gradient nobody needs.
const INPUT: TensorId = 0;

impl Net {
    /// Go back from the gradient of the last training pass's output, `[N, …]`; afterwards every trained parameter has its gradient.
    ///
    /// # Errors
    /// [`Error::NoForward`] if there was no training pass since the last call, [`Error::Length`] if the gradient is not as long as the output.
    pub fn backward(&mut self, output_gradient: &[f32]) -> Result<(), Error> {
        let mode = self.kept.take().ok_or(Error::NoForward)?;
        let want = self.batch * self.graph.output_shape().len();
        if output_gradient.len() != want {
            self.kept = Some(mode);
            return Err(Error::Length { what: "gradient".into(), got: output_gradient.len(), want });
        }
        let threads = Arc::clone(&self.threads);
        threads.install(|| self.backward_here(output_gradient, mode));
        Ok(())
    }

    /// The same on the current thread pool.
    fn backward_here(&mut self, output_gradient: &[f32], mode: Mode) {
        let output = self.plan.output;
        let dims = self.dims(output);
        let mut gradient = self.pool.take(dims);
        pointwise::from_plain(output_gradient, dims, gradient.as_mut_slice());
        self.tensor_gradients[output] = Some(gradient);
        for index in (0..self.plan.stages.len()).rev() {
            self.back_stage(index, mode);
        }
        self.set_batch(self.batch);
    }

    fn back_stage(&mut self, index: usize, mode: Mode) {
        let stage = self.plan.stages[index].clone();
        let y = stage.output();
        let dims = self.dims(y);
        // Everything that reads it has been gone through.
        if let Some(buffer) = self.activations[y].take() {
            self.pool.give(dims, buffer);
        }
        let Some(gradient) = self.tensor_gradients[y].take() else { return };
        let start = Instant::now();
        let is_conv = matches!(stage, Stage::Conv { .. });
        match stage {
            Stage::Conv { x, weight, packing, .. } => self.back_conv(index, x, weight, packing, gradient, dims),
            Stage::Apply { x, .. } => self.back_lazy(x, gradient, dims, mode),
            Stage::Add { a, b, .. } => {
                let mut copy = self.pool.take(dims);
                let (from, to) = (side(&gradient, dims), Side { at: copy.mut_ptr(), dims });
                let level = self.level;
                let identity = pointwise::Affine::IDENTITY;
                // SAFETY: two buffers of one geometry.
                unsafe { pointwise::apply(level, from, identity, to) };
                self.timings.pointwise.moved(2, dims);
                self.back_lazy(a, copy, dims, mode);
                self.back_lazy(b, gradient, dims, mode);
            }
            Stage::Flatten { x, .. } => {
                let picture = self.gradient_side(x);
                // SAFETY: both are buffers of their dims' length.
                unsafe { flatten(picture, side(&gradient, dims), true) };
                self.timings.pointwise.moved(2, picture.dims);
                self.pool.give(dims, gradient);
            }
        }
        if !is_conv {
            self.timings.pointwise.add(start, 0.0);
        }
    }

    /// Through normalisation and PReLU of one activation.
    fn back_lazy(&mut self, x: Lazy, mut gradient: Buffer, dims: Dims, mode: Mode) {
        let level = self.level;
        let raw = if x.affine.is_some() || x.slope.is_some() { Some(self.side(x.tensor)) } else { None };
        let g = Side { at: gradient.mut_ptr(), dims };
        let how = self.how(x, mode);
        if let Some(raw) = raw {
            let sums = self.slots(raw.dims.images, 3, raw.dims.blocks());
            // SAFETY: both sides are buffers of their dims' length and one shape, `sums` has a slot for each picture.
            unsafe { pointwise::backward_sums(level, g, raw, how, sums) };
            self.timings.pointwise.moved(2, dims);
            self.store_vector_gradients(x, raw.dims);
        }
        if x.tensor == INPUT {
            self.pool.give(dims, gradient);
            return;
        }
        let existing = self.tensor_gradients[x.tensor].is_some();
        let to_dims = self.dims(x.tensor);
        let (to, in_place) =
            if !existing && to_dims == dims { (g, true) } else { (self.gradient_side(x.tensor), false) };
        // SAFETY: all are buffers of their dims' length and one shape; the pass allows `to` to be the gradient.
        unsafe {
            match raw {
                Some(raw) => pointwise::backward(level, g, raw, how, to, existing),
                None if existing => pointwise::accumulate(level, g, to),
                None if in_place => {}
                None => pointwise::apply(level, g, pointwise::Affine::IDENTITY, to),
            }
        }
        let sides = match raw {
            Some(_) => 3 + usize::from(existing),
            None if existing => 3,
            None => 2 * usize::from(!in_place),
        };
        self.timings.pointwise.moved(sides, dims);
        if in_place {
            self.tensor_gradients[x.tensor] = Some(gradient);
        } else {
            self.pool.give(dims, gradient);
        }
    }

    fn how(&self, x: Lazy, mode: Mode) -> pointwise::Backward {
        let null = std::ptr::null();
        let affine = self.affine(x);
        let mut how =
            pointwise::Backward { affine, mean: null, inverse: null, mean_gradient: null, mean_product: null };
        if let Some(index) = x.affine
            && let (Affine::Norm { .. }, _) = self.plan.affines[index]
        {
            let constants = &self.constants[index];
            (how.mean, how.inverse) = (constants.mean.ptr(), constants.inverse.ptr());
            if mode == Mode::Train {
                (how.mean_gradient, how.mean_product) = (constants.mean_gradient.ptr(), constants.mean_product.ptr());
            }
        }
        how
    }

    /// Gradients of scale, shift and slope from the sums, and the means that the gradient of the activation needs.
    fn store_vector_gradients(&mut self, x: Lazy, dims: Dims) {
        let (padded, samples) = (dims.blocks() * BLOCK, dims.samples() as f64);
        for channel in 0..dims.channels {
            let [at_z, product, slope] = [0, 1, 2].map(|kind| self.total(dims.images, 3, padded, kind, channel));
            if let Some(id) = x.slope {
                self.set_gradient(id, channel, slope);
            }
            match x.affine.map(|index| (index, self.plan.affines[index].0)) {
                Some((index, Affine::Norm { weight, bias, .. })) => {
                    self.set_gradient(weight, channel, product);
                    self.set_gradient(bias, channel, at_z);
                    self.constants[index].mean_gradient.as_mut_slice()[channel] = (at_z / samples) as f32;
                    self.constants[index].mean_product.as_mut_slice()[channel] = (product / samples) as f32;
                }
                Some((_, Affine::Bias(bias))) => self.set_gradient(bias, channel, at_z),
                None => {}
            }
        }
    }

    fn set_gradient(&mut self, id: ParamId, channel: usize, value: f64) {
        if self.graph.params[id].kind == Kind::Weight {
            self.gradient_of(id).as_mut_slice()[channel] = value as f32;
        }
    }

    fn gradient_of(&mut self, id: ParamId) -> &mut Buffer {
        let length = self.values[id].len();
        self.gradients[id].get_or_insert_with(|| Buffer::zeros(length))
    }

    fn gradient_side(&mut self, tensor: TensorId) -> Side {
        let dims = self.dims(tensor);
        let pool = &mut self.pool;
        Side { at: self.tensor_gradients[tensor].get_or_insert_with(|| pool.take(dims)).mut_ptr(), dims }
    }

    fn back_conv(
        &mut self,
        index: usize,
        x: TensorId,
        weight: ParamId,
        packing: Packing,
        gradient: Buffer,
        dims: Dims,
    ) {
        let level = self.level;
        let dy = gradient.ptr();
        let from = self.side(x);
        let Some(jobs) = self.jobs[index].take() else { return };
        let is_depthwise = packing.form == Form::Depthwise;
        let flop = packing.flop(dims.samples());
        let start = Instant::now();
        if self.graph.params[weight].kind == Kind::Weight {
            let dw = self.gradient_of(weight).mut_ptr();
            // SAFETY: the job was made for the geometry of these buffers, the gradient is as long as the packed weights.
            unsafe {
                if packing.form == Form::Depthwise {
                    depthwise::weight_gradient(level, &jobs.forward, dims.blocks(), from.at, dy, dw);
                } else {
                    wgrad::run(level, &jobs.forward, channels(packing, false), from.at, dy, dw);
                }
            }
            packing.mask(self.gradient_of(weight).as_mut_slice());
            let timings = &mut self.timings;
            let work = if is_depthwise { &mut timings.depthwise } else { &mut timings.weight_gradient };
            work.add(start, flop);
            work.moved(1, from.dims);
            work.moved(1, dims);
        }
        let start = Instant::now();
        if x != INPUT {
            let existing = self.tensor_gradients[x].is_some();
            let to = self.gradient_side(x);
            let mut apart = (existing && is_depthwise).then(|| self.pool.take(to.dims));
            let into = apart.as_mut().map_or(to, |buffer| Side { at: buffer.mut_ptr(), dims: to.dims });
            for job in &jobs.backward {
                let length = packing.transposed_len(job.taps.len());
                if self.transposed.len() < length {
                    self.transposed = Buffer::zeros(length);
                }
                let (packed, transposed) = (self.values[weight].as_slice(), self.transposed.as_mut_slice());
                packing.transpose(packed, &job.weights, transposed);
                let w = transposed.as_ptr();
                // SAFETY: the job was made for the geometry of these buffers and the weights were just packed for it.
                unsafe {
                    if is_depthwise {
                        depthwise::run(level, job, to.dims.blocks(), dy, w, into.at, [std::ptr::null(); 3]);
                    } else {
                        let add = if existing { to.at.cast_const() } else { std::ptr::null() };
                        let epilogue = Epilogue { add, ..Epilogue::NONE };
                        dense::run(level, job, channels(packing, true), dy, w, to.at, epilogue);
                    }
                }
            }
            if let Some(buffer) = apart {
                // SAFETY: two buffers of one geometry.
                unsafe { pointwise::accumulate(level, side(&buffer, to.dims), to) };
                self.pool.give(to.dims, buffer);
            }
            let timings = &mut self.timings;
            let work = if is_depthwise { &mut timings.depthwise } else { &mut timings.input_gradient };
            work.add(start, flop);
            work.moved(1 + usize::from(existing), to.dims);
            work.moved(1, dims);
        }
        self.jobs[index] = Some(jobs);
        self.pool.give(dims, gradient);
    }
}

fn side(buffer: &Buffer, dims: Dims) -> Side {
    Side::read(buffer.ptr(), dims)
}
