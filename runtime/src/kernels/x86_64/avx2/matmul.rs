//! Products over row-major weights: sixteen columns of four rows by two tokens at a time.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::vectors::lanes_sum;

/// Tokens that are multiplied together, to reuse widened weights.
const TOKENS: usize = 2;
/// Rows of weights that are multiplied together, to reuse activations.
const ROWS: usize = 4;

/// Defines a matrix product over one width of activations.
macro_rules! matmul {
    ($name:ident, $x:ty, $load:ident) => {
        #[target_feature(enable = "avx2")]
        pub(super) fn $name(out: &mut [i32], x: &[$x], weights: &[i8], cols: usize) {
            let cols = cols.max(1);
            let rows = weights.len() / cols;
            let mut row = 0;
            for weights in weights.chunks(ROWS * cols) {
                let weights: [&[i8]; ROWS] = split(weights, cols);
                for (x, out) in x.chunks(TOKENS * cols).zip(out.chunks_mut(TOKENS * rows.max(1))) {
                    let x: [&[$x]; TOKENS] = split(x, cols);
                    let blocks = x.map(|x| x.as_chunks::<16>());
                    let weight_blocks = weights.map(|weights| weights.as_chunks::<16>());
                    let mut sums = [[_mm256_setzero_si256(); ROWS]; TOKENS];
                    for block in 0..cols / 16 {
                        let x = blocks.map(|(x, _)| x.get(block).map_or_else(|| _mm256_setzero_si256(), |x| $load(x)));
                        for (lane, (weights, _)) in weight_blocks.iter().enumerate() {
                            let Some(weights) = weights.get(block) else { continue };
                            let weights = load8(weights);
                            for (sums, x) in sums.iter_mut().zip(x) {
                                sums[lane] = _mm256_add_epi32(sums[lane], _mm256_madd_epi16(x, weights));
                            }
                        }
                    }
                    for ((sums, (_, x)), out) in sums.iter().zip(blocks).zip(out.chunks_mut(rows.max(1))) {
                        for ((sums, (_, weights)), out) in sums.iter().zip(weight_blocks).zip(out.iter_mut().skip(row))
                        {
                            let rest = x.iter().zip(weights).map(|(&x, &weight)| i32::from(x) * i32::from(weight));
                            *out = rest.fold(lanes_sum(*sums), i32::wrapping_add);
                        }
                    }
                }
                row += ROWS;
            }
        }
    };
}

matmul!(matmul8, i8, load8);
matmul!(matmul16, i16, load16);

/// Splits a slice into rows; rows past its end are empty.
#[inline(always)]
fn split<T, const N: usize>(all: &[T], cols: usize) -> [&[T]; N] {
    let mut rows = all.chunks_exact(cols);
    core::array::from_fn(|_| rows.next().unwrap_or(&[]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load8(block: &[i8; 16]) -> __m256i {
    // SAFETY: the block has sixteen bytes, and the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(block.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load16(block: &[i16; 16]) -> __m256i {
    // SAFETY: the block has 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }
}
