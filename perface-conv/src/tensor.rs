//! Activations in blocks of 16 channels, `[N][C / 16][rows][columns][16]`, with a border of zeros around every picture.
//!
//! The border takes the place of a convolution's padding, so no kernel asks where a picture ends. It is written once, when the buffer is
//! made; everything after writes the inside only.

use crate::graph::Shape;
use crate::simd::BLOCK;

/// Geometry of an activation of a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dims {
    pub images: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub border: usize,
    /// A batch of vectors: the batch lies along the columns.
    pub is_vector: bool,
}

impl Dims {
    /// A batch of `shape` with a border; a vector's batch lies along the columns instead.
    pub fn of(shape: Shape, batch: usize, border: usize, is_vector: bool) -> Self {
        let Shape { channels, height, width } = shape;
        if is_vector {
            return Self { images: 1, channels, height: 1, width: batch, border: 0, is_vector };
        }
        Self { images: batch, channels, height, width, border, is_vector }
    }

    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(BLOCK)
    }

    /// Numbers from one row to the next.
    pub fn row(&self) -> usize {
        (self.width + 2 * self.border) * BLOCK
    }

    /// Numbers from one block of channels to the next.
    pub fn plane(&self) -> usize {
        (self.height + 2 * self.border) * self.row()
    }

    /// Numbers from one picture to the next.
    pub fn image(&self) -> usize {
        self.blocks() * self.plane()
    }

    /// Numbers in all.
    pub fn len(&self) -> usize {
        self.images * self.image()
    }

    /// Where the pixel in row and column `(0, 0)`, inside the border, of picture 0 and block 0 begins.
    pub fn origin(&self) -> usize {
        self.border * (self.row() + BLOCK)
    }

    /// Pixels that count for one channel.
    pub fn samples(&self) -> usize {
        self.images * self.height * self.width
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; BLOCK]);

/// Numbers that begin on a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// `length` zeros, rounded up to whole lines.
    pub fn zeros(length: usize) -> Self {
        Self { lines: vec![Line([0.0; BLOCK]); length.div_ceil(BLOCK)] }
    }

    pub fn as_slice(&self) -> &[f32] {
        // SAFETY: a `Line` is sixteen f32 without padding (its size equals its alignment of 64 bytes).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * BLOCK) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a `Line` is sixteen f32 without padding (its size equals its alignment of 64 bytes).
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * BLOCK) }
    }

    pub fn ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    pub fn mut_ptr(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    pub fn len(&self) -> usize {
        self.lines.len() * BLOCK
    }
}

/// Buffers that wait to be used again, by geometry, so that their borders stay zero.
#[derive(Default)]
pub(crate) struct Pool {
    free: std::collections::HashMap<Dims, Vec<Buffer>>,
}

impl Pool {
    /// A buffer whose border is zero and whose inside is anything.
    pub fn take(&mut self, dims: Dims) -> Buffer {
        self.free.get_mut(&dims).and_then(Vec::pop).unwrap_or_else(|| Buffer::zeros(dims.len()))
    }

    /// Give back a buffer that was taken with these `dims`.
    pub fn give(&mut self, dims: Dims, buffer: Buffer) {
        self.free.entry(dims).or_default().push(buffer);
    }

    pub fn clear(&mut self) {
        self.free.clear();
    }
}

/// A raw pointer that several threads may hold because each touches its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub *mut T);

// SAFETY: whoever makes one sees to it that the threads' parts do not overlap; each use says how.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn get(&self) -> *mut T {
        self.0
    }
}
