//! Vectors of the instruction set that the machine has, found at run time.
//!
//! Kernels are written once over [`Simd`] and compiled once per level by [`dispatch!`]. On ARM the portable level is the only one; there the
//! compiler may use NEON, which every 64-bit ARM has. It has not been run on ARM.

/// Channels in one block of the layout.
pub(crate) const BLOCK: usize = 16;

/// Instruction sets that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// 512-bit vectors with fused multiply-add.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// Whatever every machine of the architecture has.
    Portable,
}

impl Level {
    /// The best level of this machine.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl") {
                return Self::Avx512;
            }
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match (self, Self::detect()) {
            (Self::Portable, _) | (_, Self::Avx512) => true,
            (level, best) => level == best,
        }
    }
}

/// A vector of `LANES` numbers.
///
/// # Safety
/// Every method needs the instruction set of the implementing type; pointers must be valid for `LANES` numbers (one for `splat`).
pub(crate) trait Simd: Copy + 'static {
    type V: Copy;
    const LANES: usize;
    /// Pixels in the widest tile of the convolution: with two vectors each they fill the registers.
    const PIXELS: usize;
    unsafe fn zero() -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn splat(from: *const f32) -> Self::V;
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `max(z, 0) + slope · min(z, 0)`.
    unsafe fn prelu(z: Self::V, slope: Self::V) -> Self::V;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY (whole block): each intrinsic needs AVX-512F, which the trait's contract gives; loads and stores are unaligned.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type V = std::arch::x86_64::__m512;
    const LANES: usize = 16;
    const PIXELS: usize = 14;
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        unsafe { std::arch::x86_64::_mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { std::arch::x86_64::_mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        unsafe { std::arch::x86_64::_mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        unsafe { std::arch::x86_64::_mm512_set1_ps(*from) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { std::arch::x86_64::_mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { std::arch::x86_64::_mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn prelu(z: Self::V, slope: Self::V) -> Self::V {
        use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_max_ps, _mm512_min_ps};
        unsafe { _mm512_fmadd_ps(slope, _mm512_min_ps(z, Self::zero()), _mm512_max_ps(z, Self::zero())) }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY (whole block): each intrinsic needs AVX and FMA, which the trait's contract gives; loads and stores are unaligned.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type V = std::arch::x86_64::__m256;
    const LANES: usize = 8;
    const PIXELS: usize = 6;
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        unsafe { std::arch::x86_64::_mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        unsafe { std::arch::x86_64::_mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        unsafe { std::arch::x86_64::_mm256_set1_ps(*from) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { std::arch::x86_64::_mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { std::arch::x86_64::_mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn prelu(z: Self::V, slope: Self::V) -> Self::V {
        use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps};
        unsafe { _mm256_fmadd_ps(slope, _mm256_min_ps(z, Self::zero()), _mm256_max_ps(z, Self::zero())) }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// One multiply-add, fused where the architecture always has it.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

// SAFETY (whole block): plain reads and writes of `LANES` numbers, valid by the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const PIXELS: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        [unsafe { *from }; 8]
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn prelu(z: Self::V, slope: Self::V) -> Self::V {
        std::array::from_fn(|i| mul_add(slope[i], z[i].min(0.0), z[i].max(0.0)))
    }
}

/// Run `kernel::<S>(arguments)` compiled for `level`.
///
/// The kernel is an `#[inline(always)]` unsafe function generic over [`Simd`]; the macro stands inside an unsafe block whose comment says
/// why its arguments hold.
macro_rules! dispatch {
    ($level:expr, $kernel:ident($($arg:ident: $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
        unsafe fn avx512($($arg: $type),*) {
            // SAFETY: the features are enabled on this function; the rest is the caller's promise.
            unsafe { $kernel::<$crate::simd::Avx512>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($arg: $type),*) {
            // SAFETY: the features are enabled on this function; the rest is the caller's promise.
            unsafe { $kernel::<$crate::simd::Avx2>($($arg),*) }
        }
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Level::Avx512 => avx512($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Level::Avx2 => avx2($($arg),*),
            _ => $kernel::<$crate::simd::Portable>($($arg),*),
        }
    }};
}
pub(crate) use dispatch;
