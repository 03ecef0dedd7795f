//! Convolution over all channels (or all of a group): output tiles held in registers while every tap and channel is added.
//!
//! A tile is up to 14 pixels by 32 output channels with AVX-512: 28 sums, two vectors of weights, one broadcast input. Weights are packed
//! in panels of 32 output channels, `[panel][input block][tap][16 inputs][32]`, so a tile streams one panel from front to back.

use crate::job::Job;
use crate::simd::{BLOCK, Level, Simd, dispatch};
use crate::tensor::Shared;
use rayon::prelude::*;

/// Bytes of input that one unit of work may touch, so that it stays in a second-level cache beside the weights.
const UNIT_BYTES: usize = 768 << 10;
/// Units that a pass is cut into at least; fixed, so that results do not depend on the number of threads.
const MIN_UNITS: usize = 8;

/// Channels of a pass and how they meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    pub inputs: usize,
    pub outputs: usize,
    /// Each output block reads the input block of its own number only.
    pub block_diagonal: bool,
}

impl Channels {
    fn input_blocks(&self) -> usize {
        if self.block_diagonal { 1 } else { self.inputs.div_ceil(BLOCK) }
    }

    /// Blocks in one panel of weights.
    fn panel(&self) -> usize {
        if self.block_diagonal { 1 } else { 2 }
    }

    fn output_blocks(&self) -> usize {
        self.outputs.div_ceil(BLOCK)
    }
}

/// What happens to a tile before it is stored. All pointers may be null; per-channel arrays are padded to whole blocks.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue {
    /// `y = sum · scale + shift`.
    pub scale: *const f32,
    pub shift: *const f32,
    /// PReLU after that.
    pub slope: *const f32,
    /// Added last; laid out as the output.
    pub add: *const f32,
    /// Sums and sums of squares per unit and channel: `[unit][2][channels]`.
    pub sums: *mut f64,
}

impl Epilogue {
    pub const NONE: Self = Self {
        scale: std::ptr::null(),
        shift: std::ptr::null(),
        slope: std::ptr::null(),
        add: std::ptr::null(),
        sums: std::ptr::null_mut(),
    };
}

/// How a pass is cut: `units` of `rows` rows each, times `parts` of the panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub rows: usize,
    pub units: usize,
    parts: usize,
}

impl Cut {
    pub fn of(job: &Job, channels: Channels) -> Self {
        let all_rows = job.all_rows();
        let row_bytes = channels.input_blocks() * job.from.row * size_of::<f32>();
        let rows = (UNIT_BYTES / row_bytes.max(1)).min(all_rows.div_ceil(MIN_UNITS)).max(1);
        // Narrow pictures are worked on two rows at a time, and weights are read anew by every unit.
        let few_pixels = rows * job.width < 28;
        let rows =
            if few_pixels { 28usize.div_ceil(job.width.max(1)) } else { rows.next_multiple_of(2) }.min(all_rows.max(1));
        let units = all_rows.div_ceil(rows);
        let panels = channels.output_blocks().div_ceil(channels.panel());
        Self { rows, units, parts: MIN_UNITS.div_ceil(units.max(1)).min(panels.max(1)) }
    }
}

#[derive(Clone, Copy)]
struct Pass<'a> {
    job: &'a Job,
    channels: Channels,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    epilogue: Epilogue,
    padded: usize,
}

/// Run one pass on the current thread pool.
///
/// # Safety
/// `x` and `y` (and `epilogue.add`) must point to activations of the geometry that `job` was made for, `w` to the packed weights of
/// `channels` and the job's taps, `epilogue.sums` to `[Cut::units][2][channels]` numbers or null. Nothing else may write to them.
pub(crate) unsafe fn run(
    level: Level,
    job: &Job,
    channels: Channels,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    epilogue: Epilogue,
) {
    let cut = Cut::of(job, channels);
    let padded = channels.output_blocks() * BLOCK;
    let panels = channels.output_blocks().div_ceil(channels.panel());
    let pass = Shared(&mut Pass { job, channels, x, w, y, epilogue, padded });
    (0..cut.units * cut.parts).into_par_iter().for_each(|task| {
        let (unit, part) = (task / cut.parts, task % cut.parts);
        let rows = (unit * cut.rows, ((unit + 1) * cut.rows).min(job.all_rows()));
        let range = (panels * part / cut.parts, panels * (part + 1) / cut.parts);
        // SAFETY: the pass lives until all tasks are done and is only read.
        let pass = unsafe { &*pass.get() };
        // SAFETY: tasks differ in rows or in panels, so no two write the same pixel and channel; the rest is this function's contract.
        unsafe { dispatch!(level, unit_kernel(pass: &Pass, unit: usize, rows: (usize, usize), range: (usize, usize))) };
    });
}

/// All tiles of some rows and panels.
#[inline(always)]
unsafe fn unit_kernel<S: Simd>(pass: &Pass, unit: usize, rows: (usize, usize), panels: (usize, usize)) {
    let blocks = pass.channels.output_blocks();
    let panel_blocks = pass.channels.panel();
    let block_len = pass.channels.input_blocks() * pass.job.taps.len() * BLOCK * BLOCK;
    for panel in panels.0..panels.1 {
        let first = panel * panel_blocks;
        let wide = panel_blocks.min(blocks - first);
        let mut at = 0;
        while at < wide * BLOCK {
            let vectors = if wide * BLOCK - at >= 2 * S::LANES { 2 } else { 1 };
            let column = Column { block: first, at, width: wide * BLOCK };
            // SAFETY: the panel begins after `first` blocks of `block_len` numbers; the column lies inside it.
            unsafe {
                let w = pass.w.add(first * block_len + at);
                if vectors == 2 {
                    column_kernel::<S, 2>(pass, unit, rows, column, w);
                } else {
                    column_kernel::<S, 1>(pass, unit, rows, column, w);
                }
            }
            at += vectors * S::LANES;
        }
    }
}

/// Output channels of a tile: from number `at` of the panel that begins at `block` and is `width` channels wide.
#[derive(Clone, Copy)]
struct Column {
    block: usize,
    at: usize,
    width: usize,
}

#[inline(always)]
unsafe fn column_kernel<S: Simd, const V: usize>(
    pass: &Pass,
    unit: usize,
    rows: (usize, usize),
    column: Column,
    w: *const f32,
) {
    let job = pass.job;
    let mut row = rows.0;
    while row < rows.1 {
        let pair = S::PIXELS == 14 && V == 2 && row + 1 < rows.1 && matches!(job.width, 7);
        let origin = |row: usize| ((row / job.rows), (row % job.rows));
        let (image, y) = origin(row);
        let (next_image, next_y) = origin(row + usize::from(pair));
        let from = |image, y| job.from.base + image * job.from.image + y * job.from.row;
        let to = |image, y| job.to.base + image * job.to.image + y * job.to.row;
        let mut tile =
            Tile { from: [from(image, y), from(next_image, next_y)], to: [to(image, y), to(next_image, next_y)] };
        let mut left = job.width;
        while left > 0 {
            macro_rules! tile {
                ($rows:literal, $pixels:literal) => {{
                    // SAFETY: the tile's pixels lie in the rows of this unit, its channels in this column.
                    unsafe { tile_kernel::<S, $rows, $pixels, V>(pass, unit, column, w, tile) };
                    $pixels
                }};
            }
            let done = if pair {
                tile!(2, 7)
            } else if S::PIXELS >= 14 && left >= 14 {
                tile!(1, 14)
            } else if S::PIXELS >= 14 && left >= 7 {
                tile!(1, 7)
            } else if S::PIXELS == 6 && left >= 6 {
                tile!(1, 6)
            } else if left >= 4 {
                tile!(1, 4)
            } else if left >= 2 {
                tile!(1, 2)
            } else {
                tile!(1, 1)
            };
            left -= done;
            for r in 0..2 {
                tile.from[r] += done * job.from.pixel;
                tile.to[r] += done * job.to.pixel;
            }
        }
        row += 1 + usize::from(pair);
    }
}

/// Where the rows of a tile begin, in numbers from the activation's start.
#[derive(Clone, Copy)]
struct Tile {
    from: [usize; 2],
    to: [usize; 2],
}

#[inline(always)]
unsafe fn tile_kernel<S: Simd, const R: usize, const P: usize, const V: usize>(
    pass: &Pass,
    unit: usize,
    column: Column,
    w: *const f32,
    tile: Tile,
) {
    // SAFETY: both are this function's contract.
    unsafe {
        match pass.job.from.pixel {
            BLOCK => tile_strided::<S, R, P, V, BLOCK>(pass, unit, column, w, tile),
            _ => tile_strided::<S, R, P, V, { 2 * BLOCK }>(pass, unit, column, w, tile),
        }
    }
}

/// Pixels of the largest tile.
const MOST: usize = 14;

/// Do `$body` for each `$i` below `$n`, at most [`MOST`], without a loop: the sums must be told apart before registers are given out.
macro_rules! unroll {
    ($n:expr, $i:ident, $body:expr) => { unroll!(@ $n, $i, $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@ $n:expr, $i:ident, $body:expr; $($k:literal)*) => {
        $(if $k < $n {
            let $i: usize = $k;
            $body;
        })*
    };
}

/// Add up one tile of `R` rows, `P` pixels and `V` vectors, whose inputs stand `STEP` numbers apart.
#[inline(always)]
unsafe fn tile_strided<S: Simd, const R: usize, const P: usize, const V: usize, const STEP: usize>(
    pass: &Pass,
    unit: usize,
    column: Column,
    mut w: *const f32,
    tile: Tile,
) {
    let job = pass.job;
    let channels = pass.channels;
    let input_blocks = channels.input_blocks();
    // SAFETY: every address below is inside the activation or its border, by the geometry of the job; weights are read panel by panel.
    unsafe {
        let (mut low, mut high) = ([S::zero(); MOST], [S::zero(); MOST]);
        for block in 0..input_blocks {
            let source = if channels.block_diagonal { column.block } else { block };
            let used = (channels.inputs - source * BLOCK).min(BLOCK);
            for &tap in &job.taps {
                let x = pass.x.add(source * job.from.block).offset(tap);
                let (first, second) = (x.add(tile.from[0]), x.add(tile.from[R - 1]));
                for c in 0..used {
                    let weights = w.add(c * column.width);
                    let w_low = S::load(weights);
                    let w_high = if V == 2 { S::load(weights.add(S::LANES)) } else { w_low };
                    unroll!(R * P, i, {
                        let row = if i < P { first } else { second };
                        let value = S::splat(row.add((i % P) * STEP + c));
                        low[i] = S::mul_add(value, w_low, low[i]);
                        if V == 2 {
                            high[i] = S::mul_add(value, w_high, high[i]);
                        }
                    });
                }
                w = w.add(BLOCK * column.width);
            }
        }
        finish::<S, R, P>(pass, unit, column.block * BLOCK + column.at, tile, low);
        if V == 2 {
            finish::<S, R, P>(pass, unit, column.block * BLOCK + column.at + S::LANES, tile, high);
        }
    }
}

/// Apply the epilogue to one vector of channels from `channel` on, and store.
#[inline(always)]
unsafe fn finish<S: Simd, const R: usize, const P: usize>(
    pass: &Pass,
    unit: usize,
    channel: usize,
    tile: Tile,
    mut acc: [S::V; MOST],
) {
    let job = pass.job;
    let e = pass.epilogue;
    // SAFETY: per-channel arrays are padded to whole blocks, `add` is laid out as the output, `sums` has a slot for each unit.
    unsafe {
        if !e.scale.is_null() {
            let (scale, shift) = (S::load(e.scale.add(channel)), S::load(e.shift.add(channel)));
            unroll!(R * P, i, acc[i] = S::mul_add(acc[i], scale, shift));
        }
        if !e.slope.is_null() {
            let slope = S::load(e.slope.add(channel));
            unroll!(R * P, i, acc[i] = S::prelu(acc[i], slope));
        }
        let at = (channel / BLOCK) * job.to.block + channel % BLOCK;
        if !e.add.is_null() {
            unroll!(R * P, i, {
                let to = tile.to[i / P] + at + (i % P) * job.to.pixel;
                acc[i] = S::add(acc[i], S::load(e.add.add(to)));
            });
        }
        unroll!(R * P, i, S::store(pass.y.add(tile.to[i / P] + at + (i % P) * job.to.pixel), acc[i]));
        if !e.sums.is_null() {
            let (mut sum, mut squares) = (S::zero(), S::zero());
            unroll!(R * P, i, {
                sum = S::add(sum, acc[i]);
                squares = S::mul_add(acc[i], acc[i], squares);
            });
            let mut spilled = [[0f32; BLOCK]; 2];
            S::store(spilled[0].as_mut_ptr(), sum);
            S::store(spilled[1].as_mut_ptr(), squares);
            let slot = e.sums.add(unit * 2 * pass.padded + channel);
            for lane in 0..S::LANES {
                *slot.add(lane) += f64::from(spilled[0][lane]);
                *slot.add(pass.padded + lane) += f64::from(spilled[1][lane]);
            }
        }
    }
}
