//! Depthwise convolution: each channel by itself, 16 channels side by side.

use crate::job::Job;
use crate::simd::{BLOCK, Level, Simd, dispatch};
use crate::tensor::Shared;
use rayon::prelude::*;

#[derive(Clone, Copy)]
struct Pass<'a> {
    job: &'a Job,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    scale: *const f32,
    shift: *const f32,
    slope: *const f32,
}

/// Per-channel `scale`, `shift` and PReLU `slope` that follow at once; all null, or `slope` alone null.
pub(crate) type Affine = [*const f32; 3];

/// Run one pass, forward or of the input's gradient; `w` is `[block][tap][16]`.
///
/// # Safety
/// `x` and `y` must point to activations of `blocks` blocks of the geometry that `job` was made for, `w` to `blocks · taps · 16` numbers.
pub(crate) unsafe fn run(
    level: Level,
    job: &Job,
    blocks: usize,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    affine: Affine,
) {
    let [scale, shift, slope] = affine;
    let pass = Shared(&mut Pass { job, x, w, y, scale, shift, slope });
    (0..job.images * blocks).into_par_iter().for_each(|task| {
        let (image, block) = (task / blocks, task % blocks);
        // SAFETY: the pass lives until all tasks are done and is only read.
        let pass = unsafe { &*pass.get() };
        // SAFETY: each task writes a plane of its own; the rest is this function's contract.
        unsafe { dispatch!(level, plane_kernel(pass: &Pass, image: usize, block: usize)) };
    });
}

#[inline(always)]
unsafe fn plane_kernel<S: Simd>(pass: &Pass, image: usize, block: usize) {
    let job = pass.job;
    for y in 0..job.rows {
        let mut at = 0;
        while at < BLOCK {
            let from = job.from.base + image * job.from.image + block * job.from.block + y * job.from.row + at;
            let to = job.to.base + image * job.to.image + block * job.to.block + y * job.to.row + at;
            let mut x = 0;
            // SAFETY: pixels of this row, lanes of this block.
            unsafe {
                while x + 7 <= job.width {
                    pixels::<S, 7>(pass, from + x * job.from.pixel, to + x * job.to.pixel, block, at);
                    x += 7;
                }
                while x < job.width {
                    pixels::<S, 1>(pass, from + x * job.from.pixel, to + x * job.to.pixel, block, at);
                    x += 1;
                }
            }
            at += S::LANES;
        }
    }
}

#[inline(always)]
unsafe fn pixels<S: Simd, const P: usize>(pass: &Pass, from: usize, to: usize, block: usize, at: usize) {
    let job = pass.job;
    // SAFETY: taps reach into the border at most; per-channel arrays are padded to whole blocks.
    unsafe {
        let mut acc = [S::zero(); P];
        let w = pass.w.add(block * job.taps.len() * BLOCK + at);
        for (tap, &offset) in job.taps.iter().enumerate() {
            let weight = S::load(w.add(tap * BLOCK));
            let x = pass.x.add(from).offset(offset);
            for p in 0..P {
                acc[p] = S::mul_add(S::load(x.add(p * job.from.pixel)), weight, acc[p]);
            }
        }
        if !pass.scale.is_null() {
            let scale = S::load(pass.scale.add(block * BLOCK + at));
            let shift = S::load(pass.shift.add(block * BLOCK + at));
            for p in 0..P {
                acc[p] = S::mul_add(acc[p], scale, shift);
            }
        }
        if !pass.slope.is_null() {
            let slope = S::load(pass.slope.add(block * BLOCK + at));
            for p in 0..P {
                acc[p] = S::prelu(acc[p], slope);
            }
        }
        for p in 0..P {
            S::store(pass.y.add(to + p * job.to.pixel), acc[p]);
        }
    }
}

/// Write the gradient of the weights to `dw`; `job` is the forward pass.
///
/// # Safety
/// As for [`run`], with the output's gradient as `dy`.
pub(crate) unsafe fn weight_gradient(
    level: Level,
    job: &Job,
    blocks: usize,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
) {
    let null = std::ptr::null();
    let pass = Shared(&mut Pass { job, x, w: dy, y: dw, scale: null, shift: null, slope: null });
    (0..blocks).into_par_iter().for_each(|block| {
        // SAFETY: the pass lives until all tasks are done and is only read.
        let pass = unsafe { &*pass.get() };
        // SAFETY: each task writes the weights of one block; the rest is this function's contract.
        unsafe { dispatch!(level, weight_kernel(pass: &Pass, block: usize)) };
    });
}

#[inline(always)]
unsafe fn weight_kernel<S: Simd>(pass: &Pass, block: usize) {
    let job = pass.job;
    let (dy, dw) = (pass.w, pass.y);
    // SAFETY: every row of every picture in this block; the weights of this block.
    unsafe {
        for at in (0..BLOCK).step_by(S::LANES) {
            for tap in 0..job.taps.len() {
                S::store(dw.add((block * job.taps.len() + tap) * BLOCK + at), S::zero());
            }
            for row in 0..job.all_rows() {
                let (image, y) = (row / job.rows, row % job.rows);
                let from = job.from.base + image * job.from.image + block * job.from.block + y * job.from.row + at;
                let to = job.to.base + image * job.to.image + block * job.to.block + y * job.to.row + at;
                for (tap, &offset) in job.taps.iter().enumerate() {
                    let (x, g) = (pass.x.add(from).offset(offset), dy.add(to));
                    let mut acc = [S::zero(); 4];
                    let mut p = 0;
                    while p + 4 <= job.width {
                        for (lane, sum) in acc.iter_mut().enumerate() {
                            let value = S::load(x.add((p + lane) * job.from.pixel));
                            *sum = S::mul_add(value, S::load(g.add((p + lane) * BLOCK)), *sum);
                        }
                        p += 4;
                    }
                    while p < job.width {
                        acc[0] = S::mul_add(S::load(x.add(p * job.from.pixel)), S::load(g.add(p * BLOCK)), acc[0]);
                        p += 1;
                    }
                    let sum = S::add(S::add(acc[0], acc[1]), S::add(acc[2], acc[3]));
                    let weight = dw.add((block * job.taps.len() + tap) * BLOCK + at);
                    S::store(weight, S::add(S::load(weight), sum));
                }
            }
        }
    }
}
