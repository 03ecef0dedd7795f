//! Where a network's time goes, and what the machine could do.

use crate::error::Error;
use crate::net::Net;
use crate::simd::{Level, Simd, dispatch};
use rayon::prelude::*;
use std::time::Instant;

/// Time and work of one kind of pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Milliseconds of wall time.
    pub ms: f64,
    /// 10⁹ multiplications and additions.
    pub gflop: f64,
}

impl Work {
    pub(crate) fn add(&mut self, since: Instant, flop: f64) {
        self.ms += since.elapsed().as_secs_f64() * 1e3;
        self.gflop += flop * 1e-9;
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
