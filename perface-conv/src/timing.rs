//! Where a network's time goes, and what the machine could do.

use crate::error::Error;
use crate::net::Net;
use crate::simd::{BLOCK, Level, Simd, dispatch};
use crate::tensor::{Buffer, Dims, Shared};
use rayon::prelude::*;
use std::time::Instant;

/// Time and work of one kind of pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Milliseconds of wall time.
    pub ms: f64,
    /// 10⁹ multiplications and additions.
    pub gflop: f64,
    /// 10⁹ bytes of activations read and written if each number of a pass crossed the bus once; borders and weights are left out.
    pub gbyte: f64,
}

impl Work {
    pub(crate) fn add(&mut self, since: Instant, flop: f64) {
        self.ms += since.elapsed().as_secs_f64() * 1e3;
        self.gflop += flop * 1e-9;
    }

    /// Count `sides` activations of this geometry, each read or written once.
    pub(crate) fn moved(&mut self, sides: usize, dims: Dims) {
        self.gbyte += (sides * dims.blocks() * BLOCK * dims.samples() * size_of::<f32>()) as f64 * 1e-9;
    }
}

/// Time by kind of pass since the last [`Net::take_timings`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Outputs of dense and grouped convolutions and linear layers.
    pub forward: Work,
    /// Gradients of their inputs, with the packing of the weights for them.
    pub input_gradient: Work,
    /// Gradients of their weights.
    pub weight_gradient: Work,
    /// Depthwise convolutions, forward and back.
    pub depthwise: Work,
    /// Normalisation, PReLU and sums, forward and back.
    pub pointwise: Work,
}

impl Net {
    /// Where the time went since the last call.
    pub fn take_timings(&mut self) -> Timings {
        std::mem::take(&mut self.timings)
    }
}

/// Multiply-adds that one call of the peak kernel does on each vector.
const PEAK_ROUNDS: usize = 1 << 22;

/// 10⁹ operations a second that `threads` threads reach with fused multiply-adds on registers alone: the roof of every kernel here.
///
/// # Errors
/// [`Error::Threads`] if the threads cannot be started.
pub fn measure_peak(level: Level, threads: usize) -> Result<f64, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Threads(e.to_string()))?;
    let tasks = 8 * pool.current_num_threads();
    let start = Instant::now();
    pool.install(|| {
        (0..tasks).into_par_iter().for_each(|_| {
            let mut out = [0f32; 16];
            let to = out.as_mut_ptr();
            // SAFETY: a vector is at most 16 numbers.
            unsafe { dispatch!(level, peak_kernel(to: *mut f32)) };
            std::hint::black_box(out);
        });
    });
    let lanes = if level == Level::Avx512 { 16.0 } else { 8.0 };
    Ok((tasks * PEAK_ROUNDS) as f64 * 10.0 * 2.0 * lanes / start.elapsed().as_secs_f64() * 1e-9)
}

/// Ten independent chains, more than the latency times the ports.
#[inline(always)]
unsafe fn peak_kernel<S: Simd>(to: *mut f32) {
    let (half, quarter) = (0.5f32, 0.25f32);
    // SAFETY: `to` holds a vector; the rest is registers.
    unsafe {
        let (a, b) = (S::splat(std::hint::black_box(&half)), S::splat(std::hint::black_box(&quarter)));
        let mut acc = [S::zero(); 10];
        for _ in 0..PEAK_ROUNDS {
            for lane in &mut acc {
                *lane = S::mul_add(a, *lane, b);
            }
        }
        let sum = acc.into_iter().fold(S::zero(), |sum, lane| S::add(sum, lane));
        S::store(to, sum);
    }
}

/// Bytes of the two buffers that [`measure_bandwidth`] copies between, each far larger than any cache.
const COPY_BYTES: usize = 128 << 20;
/// Bytes that one task copies at a time.
const COPY_CHUNK: usize = 1 << 20;

/// 10⁹ bytes a second, read and written together, that `threads` threads copy with plain vector loads and stores: the roof of every
/// pass that does little with each number. Each byte counts twice, once read and once written.
///
/// # Errors
/// [`Error::Threads`] if the threads cannot be started.
pub fn measure_bandwidth(level: Level, threads: usize) -> Result<f64, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Threads(e.to_string()))?;
    let (from, mut to) = (Buffer::zeros(COPY_BYTES / size_of::<f32>()), Buffer::zeros(COPY_BYTES / size_of::<f32>()));
    let (source, target) = (Shared(from.ptr().cast_mut()), Shared(to.mut_ptr()));
    let copy = || {
        (0..COPY_BYTES / COPY_CHUNK).into_par_iter().for_each(|chunk| {
            let at = chunk * COPY_CHUNK / size_of::<f32>();
            // SAFETY: chunks do not overlap and lie inside both buffers, which outlive the tasks.
            unsafe {
                let (from, to) = (source.get().cast_const().add(at), target.get().add(at));
                dispatch!(level, copy_kernel(from: *const f32, to: *mut f32));
            }
        });
    };
    // Once to bring in the pages.
    pool.install(copy);
    let start = Instant::now();
    let rounds = 4;
    (0..rounds).for_each(|_| pool.install(copy));
    std::hint::black_box(to.as_slice());
    Ok((rounds * 2 * COPY_BYTES) as f64 / start.elapsed().as_secs_f64() * 1e-9)
}

#[inline(always)]
unsafe fn copy_kernel<S: Simd>(from: *const f32, to: *mut f32) {
    for at in (0..COPY_CHUNK / size_of::<f32>()).step_by(S::LANES) {
        // SAFETY: both chunks hold `COPY_CHUNK` bytes, a whole number of vectors.
        unsafe { S::store(to.add(at), S::load(from.add(at))) };
    }
}
