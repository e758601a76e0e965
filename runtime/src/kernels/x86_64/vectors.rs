//! Helpers for vectors and products that several sets of this architecture share.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::format::places::TILE;
use crate::kernels::scalar::softmax::EXP2;

/// The shape of a product, consistent with the lengths of its slices.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) tokens: usize,
    /// The number of whole blocks of four rows.
    pub(super) blocks: usize,
    /// The number of rows: the stride of tokens in the sums.
    pub(super) rows: usize,
    /// The number of columns, a multiple of four.
    pub(super) cols: usize,
}

impl Shape {
    pub(super) fn new<X>(out: &[i32], x: &[X], weights: &[i8], cols: usize) -> Self {
        if cols == 0 || !cols.is_multiple_of(TILE) {
            return Self { tokens: 0, blocks: 0, rows: 0, cols: TILE };
        }
        let rows = weights.len() / cols;
        Self { tokens: (x.len() / cols).min(out.len() / rows.max(1)), blocks: rows / TILE, rows, cols }
    }
}

/// The distance in bytes at which products of one token prefetch the weights of a large matrix,
/// because the hardware prefetcher is too late.
pub(super) const FAR_AHEAD: usize = 16384;
/// The largest matrix, in bytes, that is not prefetched: it is probably cached, and prefetches cost
/// time.
pub(super) const NEAR: usize = 65536;

/// Prefetches an address, which need not be valid.
#[inline(always)]
pub(super) fn ask_for(address: *const i8) {
    // SAFETY: a prefetch is a hint that accesses no memory architecturally.
    #[allow(unused_unsafe)]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_words(words: &[i32; 8]) -> __m256i {
    // SAFETY: 32 bytes are read, at any alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_words(to: &mut [i32; 8], words: __m256i) {
    // SAFETY: 32 bytes are written, at any alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
}

/// The sum of all lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn lanes_sum(lanes: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}

/// Stores the four sums of a block, or adds them if `add`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_block(to: &mut [i32; TILE], sums: __m128i, add: bool) {
    // SAFETY: four words, and neither access needs an alignment.
    unsafe {
        let to = to.as_mut_ptr().cast();
        let before = if add { _mm_loadu_si128(to) } else { _mm_setzero_si128() };
        _mm_storeu_si128(to, _mm_add_epi32(sums, before));
    }
}

/// The low halves of two vectors plus their high halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn halves(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
}

/// A mask of the first `count` lanes, at most sixteen.
#[cfg(any(test, feature = "std"))]
#[inline(always)]
pub(super) fn lanes(count: usize) -> __mmask16 {
    ((1_u32 << count.min(16)) - 1) as u16
}

/// [`EXP2`] after one halfword, so that each entry is the high half of an unaligned word.
pub(super) static GATHERED: [u16; 513] = {
    let mut table = [0; 513];
    let mut i = 0;
    while i < 512 {
        table[i + 1] = EXP2[i];
        i += 1;
    }
    table
};
