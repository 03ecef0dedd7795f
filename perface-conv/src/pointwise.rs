//! Passes that treat every number by itself or add up over a channel: batch normalisation, PReLU, sums.
//!
//! These are bound by memory, so each does as much as it can in one reading: normalisation with PReLU, addition with the normalisation of
//! both sides, the sums of a backward pass all at once. Sums go to one slot for each picture and channel and are added in that order.

// The passes are plain loops that the compiler vectorises; their type parameter only says for which level.
#![allow(clippy::extra_unused_type_parameters)]

use crate::simd::{BLOCK, Level, dispatch};
use crate::tensor::{Dims, Shared};
use rayon::prelude::*;

type Lanes = [f32; BLOCK];
type Sums = [f64; BLOCK];

/// Pixels added in single precision before they join the double-precision sum.
const RUN: usize = 16;

/// One side of a pointwise pass: numbers and their geometry.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub at: *mut f32,
    pub dims: Dims,
}

impl Side {
    pub fn read(at: *const f32, dims: Dims) -> Self {
        Self { at: at.cast_mut(), dims }
    }

    unsafe fn row(&self, image: usize, block: usize, y: usize) -> *mut Lanes {
        let d = &self.dims;
        // SAFETY: the row lies inside the activation; a pixel is 16 numbers on a boundary of 64 bytes.
        unsafe { self.at.add(d.origin() + image * d.image() + block * d.plane() + y * d.row()).cast() }
    }
}

/// Per-channel constants, padded to whole blocks; null pointers for what is not there.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    pub scale: *const f32,
    pub shift: *const f32,
    pub slope: *const f32,
}

impl Affine {
    pub const IDENTITY: Self = Self { scale: std::ptr::null(), shift: std::ptr::null(), slope: std::ptr::null() };

    unsafe fn lanes(&self, block: usize) -> [Lanes; 3] {
        let read = |from: *const f32, otherwise: f32| {
            // SAFETY: per-channel arrays hold whole blocks.
            if from.is_null() { [otherwise; BLOCK] } else { unsafe { *from.add(block * BLOCK).cast::<Lanes>() } }
        };
        [read(self.scale, 1.0), read(self.shift, 0.0), read(self.slope, 1.0)]
    }
}

/// One task for each picture and block; short rows of vectors go by block alone.
fn for_each_plane(dims: Dims, task: impl Fn(usize, usize) + Send + Sync) {
    let blocks = dims.blocks();
    let work = dims.height * dims.width;
    let least = (2048 / work.max(1)).max(1);
    (0..dims.images * blocks).into_par_iter().with_min_len(least).for_each(|i| task(i / blocks, i % blocks));
}

/// `y = prelu(x · scale + shift)`.
///
/// # Safety
/// Sides must be valid for their geometry and of one shape (borders may differ); constants must hold whole blocks.
pub(crate) unsafe fn apply(level: Level, x: Side, affine: Affine, y: Side) {
    let shared = Shared(&mut (x, affine, y));
    for_each_plane(x.dims, |image, block| {
        // SAFETY: each task writes a plane of its own; the tuple is only read and outlives the tasks.
        unsafe {
            let job = &*shared.get();
            dispatch!(level, apply_plane(job: &(Side, Affine, Side), image: usize, block: usize));
        }
    });
}

#[inline(always)]
unsafe fn apply_plane<S>(job: &(Side, Affine, Side), image: usize, block: usize) {
    let (x, affine, y) = job;
    // SAFETY: rows of this plane.
    unsafe {
        let [scale, shift, slope] = affine.lanes(block);
        for row in 0..x.dims.height {
            let (from, to) = (x.row(image, block, row), y.row(image, block, row));
            for p in 0..x.dims.width {
                let value = *from.add(p);
                let mut out = [0f32; BLOCK];
                for l in 0..BLOCK {
                    let z = value[l] * scale[l] + shift[l];
                    out[l] = if z > 0.0 { z } else { z * slope[l] };
                }
                *to.add(p) = out;
            }
        }
    }
}

/// `y = a · scale + shift + b · scale + shift`, and the sums and sums of squares of `y` for each picture and channel,
/// `[picture][2][channels]`, unless `sums` is null.
///
/// # Safety
/// As for [`apply`].
pub(crate) unsafe fn add(level: Level, a: (Side, Affine), b: (Side, Affine), y: Side, sums: *mut f64) {
    let shared = Shared(&mut (a, b, y, sums));
    for_each_plane(y.dims, |image, block| {
        // SAFETY: each task writes a plane and a slot of its own; the tuple is only read and outlives the tasks.
        unsafe {
            let job = &*shared.get();
            dispatch!(level, add_plane(job: &((Side, Affine), (Side, Affine), Side, *mut f64), image: usize, block: usize));
        }
    });
}

#[inline(always)]
unsafe fn add_plane<S>(job: &((Side, Affine), (Side, Affine), Side, *mut f64), image: usize, block: usize) {
    let &((a, on_a), (b, on_b), y, sums) = job;
    // SAFETY: rows of this plane.
    unsafe {
        let ([sa, ta, _], [sb, tb, _]) = (on_a.lanes(block), on_b.lanes(block));
        let mut total = [[0f64; BLOCK]; 2];
        for row in 0..y.dims.height {
            let (from_a, from_b, to) = (a.row(image, block, row), b.row(image, block, row), y.row(image, block, row));
            let mut p = 0;
            while p < y.dims.width {
                let end = (p + RUN).min(y.dims.width);
                let mut run = [[0f32; BLOCK]; 2];
                while p < end {
                    let (va, vb) = (*from_a.add(p), *from_b.add(p));
                    let mut out = [0f32; BLOCK];
                    for l in 0..BLOCK {
                        out[l] = (va[l] * sa[l] + ta[l]) + (vb[l] * sb[l] + tb[l]);
                        run[0][l] += out[l];
                        run[1][l] += out[l] * out[l];
                    }
                    *to.add(p) = out;
                    p += 1;
                }
                join(&mut total, &run);
            }
        }
        if !sums.is_null() {
            write_sums(sums, y.dims, image, block, &total);
        }
    }
}

/// Sums and sums of squares of `x`, as [`add`] writes them.
///
/// # Safety
/// As for [`apply`].
pub(crate) unsafe fn sums(level: Level, x: Side, sums: *mut f64) {
    let shared = Shared(&mut (x, sums));
    for_each_plane(x.dims, |image, block| {
        // SAFETY: each task writes a slot of its own; the tuple is only read and outlives the tasks.
        unsafe {
            let job = &*shared.get();
            dispatch!(level, sums_plane(job: &(Side, *mut f64), image: usize, block: usize));
        }
    });
}

#[inline(always)]
unsafe fn sums_plane<S>(job: &(Side, *mut f64), image: usize, block: usize) {
    let &(x, sums) = job;
    // SAFETY: rows of this plane.
    unsafe {
        let mut total = [[0f64; BLOCK]; 2];
        for row in 0..x.dims.height {
            let from = x.row(image, block, row);
            let mut p = 0;
            while p < x.dims.width {
                let end = (p + RUN).min(x.dims.width);
                let mut run = [[0f32; BLOCK]; 2];
                while p < end {
                    let value = *from.add(p);
                    for l in 0..BLOCK {
                        run[0][l] += value[l];
                        run[1][l] += value[l] * value[l];
                    }
                    p += 1;
                }
                join(&mut total, &run);
            }
        }
        write_sums(sums, x.dims, image, block, &total);
    }
}

#[inline(always)]
fn join<const K: usize>(total: &mut [Sums; K], run: &[Lanes; K]) {
    for (total, run) in total.iter_mut().zip(run) {
        for l in 0..BLOCK {
            total[l] += f64::from(run[l]);
        }
    }
}

#[inline(always)]
unsafe fn write_sums<const K: usize>(sums: *mut f64, dims: Dims, image: usize, block: usize, total: &[Sums; K]) {
    for (k, total) in total.iter().enumerate() {
        // SAFETY: `sums` holds `[images][K][padded channels]`.
        unsafe { *sums.add((image * K + k) * dims.blocks() * BLOCK + block * BLOCK).cast::<Sums>() = *total };
    }
}

/// What a backward pass through normalisation and PReLU needs, per channel and padded to whole blocks.
#[derive(Clone, Copy)]
pub(crate) struct Backward {
    /// The forward pass, `z = x · scale + shift`, PReLU with `slope`.
    pub affine: Affine,
    /// `x̂ = (x − mean) · inverse`.
    pub mean: *const f32,
    pub inverse: *const f32,
    /// Of the gradient at `z`: its mean, and its mean product with `x̂`; null when the statistics are constants.
    pub mean_gradient: *const f32,
    pub mean_product: *const f32,
}

impl Backward {
    unsafe fn lanes(&self, block: usize) -> [Lanes; 4] {
        let read = |from: *const f32| {
            // SAFETY: per-channel arrays hold whole blocks.
            if from.is_null() { [0.0; BLOCK] } else { unsafe { *from.add(block * BLOCK).cast::<Lanes>() } }
        };
        [read(self.mean), read(self.inverse), read(self.mean_gradient), read(self.mean_product)]
    }
}

/// Sums over each picture and channel, `[picture][3][channels]`: the gradient at `z`, its product with `x̂`, and the slope's gradient.
///
/// # Safety
/// As for [`apply`].
pub(crate) unsafe fn backward_sums(level: Level, gradient: Side, x: Side, how: Backward, sums: *mut f64) {
    let shared = Shared(&mut (gradient, x, how, sums));
    for_each_plane(x.dims, |image, block| {
        // SAFETY: each task writes a slot of its own; the tuple is only read and outlives the tasks.
        unsafe {
            let job = &*shared.get();
            dispatch!(level, backward_sums_plane(job: &(Side, Side, Backward, *mut f64), image: usize, block: usize));
        }
    });
}

#[inline(always)]
unsafe fn backward_sums_plane<S>(job: &(Side, Side, Backward, *mut f64), image: usize, block: usize) {
    let &(gradient, x, how, sums) = job;
    // SAFETY: rows of this plane.
    unsafe {
        let [scale, shift, slope] = how.affine.lanes(block);
        let [mean, inverse, ..] = how.lanes(block);
        let mut total = [[0f64; BLOCK]; 3];
        for row in 0..x.dims.height {
            let (from_g, from_x) = (gradient.row(image, block, row), x.row(image, block, row));
            let mut p = 0;
            while p < x.dims.width {
                let end = (p + RUN).min(x.dims.width);
                let mut run = [[0f32; BLOCK]; 3];
                while p < end {
                    let (g, v) = (*from_g.add(p), *from_x.add(p));
                    for l in 0..BLOCK {
                        let z = v[l] * scale[l] + shift[l];
                        let at_z = if z > 0.0 { g[l] } else { g[l] * slope[l] };
                        run[0][l] += at_z;
                        run[1][l] += at_z * ((v[l] - mean[l]) * inverse[l]);
                        run[2][l] += if z > 0.0 { 0.0 } else { g[l] * z };
                    }
                    p += 1;
                }
                join(&mut total, &run);
            }
        }
        write_sums(sums, x.dims, image, block, &total);
    }
}

/// Gradient of `x`: `(g − mean_gradient − x̂ · mean_product) · scale`, where `g` is the gradient at `z`; added to `to` if `accumulate`.
///
/// `to` may be `gradient` itself.
///
/// # Safety
/// As for [`apply`].
pub(crate) unsafe fn backward(level: Level, gradient: Side, x: Side, how: Backward, to: Side, accumulate: bool) {
    let shared = Shared(&mut (gradient, x, how, to, accumulate));
    for_each_plane(x.dims, |image, block| {
        // SAFETY: each task writes a plane of its own; the tuple is only read and outlives the tasks.
        unsafe {
            let job = &*shared.get();
            dispatch!(level, backward_plane(job: &(Side, Side, Backward, Side, bool), image: usize, block: usize));
        }
    });
}

#[inline(always)]
unsafe fn backward_plane<S>(job: &(Side, Side, Backward, Side, bool), image: usize, block: usize) {
    let &(gradient, x, how, to, accumulate) = job;
    // SAFETY: rows of this plane; where `to` is `gradient`, a pixel is read before it is written.
    unsafe {
        let [scale, shift, slope] = how.affine.lanes(block);
        let [mean, inverse, mean_gradient, mean_product] = how.lanes(block);
        for row in 0..x.dims.height {
            let (from_g, from_x, to) =
                (gradient.row(image, block, row), x.row(image, block, row), to.row(image, block, row));
            for p in 0..x.dims.width {
                let (g, v) = (*from_g.add(p), *from_x.add(p));
                let mut out = if accumulate { *to.add(p) } else { [0.0; BLOCK] };
                for l in 0..BLOCK {
                    let z = v[l] * scale[l] + shift[l];
                    let at_z = if z > 0.0 { g[l] } else { g[l] * slope[l] };
                    let normal = (v[l] - mean[l]) * inverse[l];
                    out[l] += (at_z - mean_gradient[l] - normal * mean_product[l]) * scale[l];
                }
                *to.add(p) = out;
            }
        }
    }
}

/// `to += from`.
///
/// # Safety
/// As for [`apply`].
pub(crate) unsafe fn accumulate(level: Level, from: Side, to: Side) {
    // SAFETY: the caller's; each pixel of `to` is read before it is written.
    unsafe { add(level, (from, Affine::IDENTITY), (to, Affine::IDENTITY), to, std::ptr::null_mut()) };
}

/// Pictures `[N, C, H, W]`, or vectors `[N, C]`, into blocks.
pub(crate) fn from_plain(plain: &[f32], dims: Dims, to: &mut [f32]) {
    for_each_number(dims, |place, index| to[place] = plain[index]);
}

/// The inverse of [`from_plain`].
pub(crate) fn to_plain(blocked: &[f32], dims: Dims, plain: &mut [f32]) {
    for_each_number(dims, |place, index| plain[index] = blocked[place]);
}

fn for_each_number(dims: Dims, mut visit: impl FnMut(usize, usize)) {
    let pixels = dims.height * dims.width;
    for image in 0..dims.images {
        for channel in 0..dims.channels {
            let plane = dims.origin() + image * dims.image() + channel / BLOCK * dims.plane() + channel % BLOCK;
            for y in 0..dims.height {
                for x in 0..dims.width {
                    let plain = if dims.is_vector {
                        x * dims.channels + channel
                    } else {
                        (image * dims.channels + channel) * pixels + y * dims.width + x
                    };
                    visit(plane + y * dims.row() + x * BLOCK, plain);
                }
            }
        }
    }
}
