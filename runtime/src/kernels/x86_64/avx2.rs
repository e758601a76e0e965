//! AVX2: sixteen products of 16-bit values to an instruction.
//!
//! Int8 weights are widened to 16 bits and multiplied with `VPMADDWD`, which is exact. `VPMADDUBSW` would take bytes
//! as they are, but it saturates at 2 * 127 * 255 and so differs from the scalar definition.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::table::Kernels;
use super::attention;
use super::products::{single_packed, tiles};
use super::rows::narrow as rows;

cpufeatures::new!(detected, "avx2");

/// The set, on a processor that has it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    detected::get().then_some(&AVX2)
}

/// Handed out by [`kernels`] alone, and part of what `vnni` hands out: whoever holds it runs on a processor with AVX2.
pub(super) static AVX2: Kernels = Kernels {
    name: "avx2",
    // SAFETY: AVX2 was detected before this table was handed out.
    matmul8: |out, x, weights, cols| unsafe { matmul8(out, x, weights, cols) },
    // SAFETY: as above.
    matmul16: |out, x, weights, cols| unsafe { matmul16(out, x, weights, cols) },
    // SAFETY: as above.
    tiles8: |out, x, weights, cols| unsafe { tiles::tiles8(out, x, weights, cols) },
    // SAFETY: as above.
    tiles16: |out, x, weights, cols| unsafe { tiles::tiles16(out, x, weights, cols) },
    // SAFETY: as above.
    packed16: Some(|out, x, weights, cols| unsafe { single_packed::avx2::product(out, x, weights, cols) }),
    paired8: None,
    paired16: None,
    // SAFETY: as above.
    wide_tiles8: Some(|out, x, weights, cols| unsafe { tiles::wide_tiles8(out, x, weights, cols) }),
    // SAFETY: as above.
    wide_tiles16: Some(|out, x, weights, cols| unsafe { tiles::wide_tiles16(out, x, weights, cols) }),
    // SAFETY: as above.
    requantize: |accumulators, multipliers, biases, by| unsafe {
        rows::requantize(accumulators, multipliers, biases, by)
    },
    // SAFETY: as above.
    add: |row, other| unsafe { rows::add(row, other) },
    // SAFETY: as above.
    quantize8: |out, row| unsafe { rows::quantize8(out, row) },
    // SAFETY: as above.
    quantize16: |out, row, bits| unsafe { rows::quantize16(out, row, bits) },
    // SAFETY: as above.
    norm: |row, by| unsafe { rows::norm(row, by) },
    // SAFETY: as above.
    rotate: |row, angles, head_dim| unsafe { rows::rotate(row, angles, head_dim) },
    // SAFETY: as above.
    rectify: |values, table| unsafe { attention::rectify(values, table) },
    // SAFETY: as above.
    gate: |values, gates, fraction_bits| unsafe { rows::gate(values, gates, fraction_bits) },
    // SAFETY: as above.
    scores8: |out, query, keys| unsafe { attention::scores8(out, query, keys) },
    // SAFETY: as above.
    scores16: |out, query, keys| unsafe { attention::scores16(out, query, keys) },
    // SAFETY: as above.
    scale_scores: |scores, keys, factor| unsafe { attention::scale_scores(scores, keys, factor) },
    // SAFETY: as above.
    powers: |scores, values, largest, lowered| unsafe { attention::powers(scores, values, largest, lowered) },
    // SAFETY: as above.
    weighted_sum: |out, weights, values| unsafe { attention::weighted_sum(out, weights, values) },
    #[cfg(feature = "std")]
    attend: None,
};

/// Tokens whose rows are multiplied together, so that widened weights serve more than once.
const TOKENS: usize = 2;
/// Rows of weights that are multiplied together, so that activations do.
const ROWS: usize = 4;

/// Defines a matrix product over one width of activations.
macro_rules! matmul {
    ($name:ident, $x:ty, $load:ident) => {
        #[target_feature(enable = "avx2")]
        fn $name(out: &mut [i32], x: &[$x], weights: &[i8], cols: usize) {
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
                            *out = rest.fold(attention::lanes_sum(*sums), i32::wrapping_add);
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

/// Cuts a slice into rows; those beyond its end are empty.
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
