//! Gradient of a convolution's weights: for each tap, inputs times output gradients added over all pixels.
//!
//! A tile is 8 input channels by 32 output channels with AVX-512, held in registers while it runs along the rows. Each task owns its part
//! of the gradient and goes through the whole batch in order, so the result does not depend on the number of threads.

use crate::dense::Channels;
use crate::job::Job;
use crate::simd::{BLOCK, Level, Simd, dispatch};
use crate::tensor::Shared;
use rayon::prelude::*;

/// Pixels that stay in a second-level cache while all input blocks pass over them.
const CHUNK_PIXELS: usize = 4096;
/// Pixels that stay in a first-level cache while all taps pass over them.
const STRIP_PIXELS: usize = 160;
/// Input blocks that one task works on.
const TASK_BLOCKS: usize = 8;

#[derive(Clone, Copy)]
struct Pass<'a> {
    job: &'a Job,
    channels: Channels,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
}

/// Write the gradient of packed weights to `dw`; `job` is the forward pass.
///
/// # Safety
/// `x` and `dy` must point to activations of the geometry that `job` was made for, `dw` to as many numbers as the packed weights have.
pub(crate) unsafe fn run(level: Level, job: &Job, channels: Channels, x: *const f32, dy: *const f32, dw: *mut f32) {
    let output_blocks = channels.outputs.div_ceil(BLOCK);
    let panel_blocks = if channels.block_diagonal { 1 } else { 2 };
    let input_blocks = if channels.block_diagonal { 1 } else { channels.inputs.div_ceil(BLOCK) };
    let panels = output_blocks.div_ceil(panel_blocks);
    let blocks = input_blocks.div_ceil(2).min(TASK_BLOCKS);
    let parts = input_blocks.div_ceil(blocks);
    let pass = Shared(&mut Pass { job, channels, x, dy, dw });
    (0..panels * parts).into_par_iter().for_each(|task| {
        let (panel, part) = (task / parts, task % parts);
        let blocks = (part * blocks, ((part + 1) * blocks).min(input_blocks));
        // SAFETY: the pass lives until all tasks are done and is only read.
        let pass = unsafe { &*pass.get() };
        // SAFETY: tasks differ in panel or input blocks, so no two write the same weight; the rest is this function's contract.
        unsafe { dispatch!(level, task_kernel(pass: &Pass, panel: usize, blocks: (usize, usize))) };
    });
}

#[inline(always)]
unsafe fn task_kernel<S: Simd>(pass: &Pass, panel: usize, blocks: (usize, usize)) {
    let job = pass.job;
    let diagonal = pass.channels.block_diagonal;
    let output_blocks = pass.channels.outputs.div_ceil(BLOCK);
    let input_blocks = if diagonal { 1 } else { pass.channels.inputs.div_ceil(BLOCK) };
    let first = if diagonal { panel } else { 2 * panel };
    let wide = if diagonal { 1 } else { 2.min(output_blocks - first) } * BLOCK;
    let rows_per_chunk = (CHUNK_PIXELS / job.width.max(1)).max(1);
    let rows_per_strip = (STRIP_PIXELS / job.width.max(1)).max(1);
    let all_rows = job.all_rows();
    let mut chunk = 0;
    while chunk < all_rows {
        let chunk_end = (chunk + rows_per_chunk).min(all_rows);
        for block in blocks.0..blocks.1 {
            let source = if diagonal { panel } else { block };
            let used = (pass.channels.inputs - source * BLOCK).min(BLOCK);
            let mut row = chunk;
            while row < chunk_end {
                let (image, y) = (row / job.rows, row % job.rows);
                let rows = rows_per_strip.min(job.rows - y).min(chunk_end - row);
                for (tap, &offset) in job.taps.iter().enumerate() {
                    // SAFETY: the strip lies inside one picture, the tap inside its border, the weight inside its panel.
                    unsafe {
                        let from = job.from.base + image * job.from.image + source * job.from.block + y * job.from.row;
                        let to = job.to.base + image * job.to.image + first * job.to.block + y * job.to.row;
                        let square = ((first * input_blocks * job.taps.len()) * BLOCK
                            + (block * job.taps.len() + tap) * wide)
                            * BLOCK;
                        let strip = Strip {
                            x: pass.x.add(from).offset(offset),
                            dy: pass.dy.add(to),
                            dw: pass.dw.add(square),
                            rows,
                            wide,
                            used,
                            is_first: row == 0,
                        };
                        strip_kernel::<S>(job, strip);
                    }
                }
                row += rows;
            }
        }
        chunk = chunk_end;
    }
}

/// Rows of one picture, one tap, 16 inputs by up to 32 outputs.
#[derive(Clone, Copy)]
struct Strip {
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
    rows: usize,
    wide: usize,
    used: usize,
    is_first: bool,
}

#[inline(always)]
unsafe fn strip_kernel<S: Simd>(job: &Job, strip: Strip) {
    let mut at = 0;
    while at < strip.wide {
        let vectors = if strip.wide - at >= 2 * S::LANES { 2 } else { 1 };
        let mut input = 0;
        // SAFETY: inputs and outputs beyond the used ones are padding inside the block.
        unsafe {
            while input < strip.used {
                match (S::PIXELS == 14, vectors, job.from.pixel == BLOCK) {
                    (true, 2, true) => tile_kernel::<S, 8, 2, BLOCK>(job, strip, at, input),
                    (true, 2, false) => tile_kernel::<S, 8, 2, { 2 * BLOCK }>(job, strip, at, input),
                    (true, _, true) => tile_kernel::<S, 8, 1, BLOCK>(job, strip, at, input),
                    (true, _, false) => tile_kernel::<S, 8, 1, { 2 * BLOCK }>(job, strip, at, input),
                    (false, _, true) => tile_kernel::<S, 4, 2, BLOCK>(job, strip, at, input),
                    (false, _, false) => tile_kernel::<S, 4, 2, { 2 * BLOCK }>(job, strip, at, input),
                }
                input += if S::PIXELS == 14 { 8 } else { 4 };
            }
        }
        at += vectors * S::LANES;
    }
}

/// Add one strip to `I` inputs by `V` vectors of outputs.
#[inline(always)]
unsafe fn tile_kernel<S: Simd, const I: usize, const V: usize, const STEP: usize>(
    job: &Job,
    strip: Strip,
    at: usize,
    input: usize,
) {
    // SAFETY: addresses follow the job's geometry; the caller keeps `at` and `input` inside the panel and the block.
    unsafe {
        let weight = |i: usize, v: usize| strip.dw.add((input + i) * strip.wide + at + v * S::LANES);
        let mut acc = [[S::zero(); V]; I];
        if !strip.is_first {
            for i in 0..I {
                for v in 0..V {
                    acc[i][v] = S::load(weight(i, v));
                }
            }
        }
        let mut dy: [*const f32; V] = [std::ptr::null(); V];
        for v in 0..V {
            let channel = at + v * S::LANES;
            dy[v] = strip.dy.add(channel / BLOCK * job.to.block + channel % BLOCK);
        }
        for row in 0..strip.rows {
            let x = strip.x.add(row * job.from.row + input);
            for p in 0..job.width {
                let mut g = [S::zero(); V];
                for v in 0..V {
                    g[v] = S::load(dy[v].add(row * job.to.row + p * BLOCK));
                }
                for i in 0..I {
                    let value = S::splat(x.add(p * STEP + i));
                    for v in 0..V {
                        acc[i][v] = S::mul_add(value, g[v], acc[i][v]);
                    }
                }
            }
        }
        for i in 0..I {
            for v in 0..V {
                S::store(weight(i, v), acc[i][v]);
            }
        }
    }
}
