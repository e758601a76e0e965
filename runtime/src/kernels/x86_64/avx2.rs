//! AVX2: sixteen products of 16-bit values to an instruction.
//!
//! Int8 weights are widened to 16 bits and multiplied with `VPMADDWD`, which is exact. `VPMADDUBSW` would take bytes
//! as they are, but it saturates at 2 * 127 * 255 and so differs from the scalar definition.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::Kernels;
use super::{attention, rows};
use crate::format::spec::TILE;

cpufeatures::new!(detected, "avx2");

/// The set, on a processor that has it.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    detected::get().then_some(&AVX2)
}

/// Private, so that [`kernels`] alone hands it out: whoever holds it runs on a processor with AVX2.
static AVX2: Kernels = Kernels {
    name: "avx2",
    // SAFETY: AVX2 was detected before this table was handed out.
    matmul8: |out, x, weights, cols| unsafe { matmul8(out, x, weights, cols) },
    // SAFETY: as above.
    matmul16: |out, x, weights, cols| unsafe { matmul16(out, x, weights, cols) },
    // SAFETY: as above.
    tiles8: |out, x, weights, cols| unsafe { tiles(out, x, weights, cols) },
    // SAFETY: as above.
    tiles16: |out, x, weights, cols| unsafe { tiles(out, x, weights, cols) },
    packed16: None,
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
                            *out = rest.fold(sum(*sums), i32::wrapping_add);
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

/// Columns that are reordered at a time, so that they fit the stack.
const COLUMNS: usize = 1024;

/// Columns of a row in the order of a tile, four to a word.
type Reordered = [i64; COLUMNS / TILE];

/// A product over tiled weights: a tile is one load, and its four rows take their columns from one word.
#[target_feature(enable = "avx2")]
fn tiles<X: Copy + Into<i16>>(out: &mut [i32], x: &[X], weights: &[i8], cols: usize) {
    let cols = cols.max(TILE);
    let rows = weights.len() / cols;
    let mut reordered = [[0_i64; COLUMNS / TILE]; 4];
    for first in (0..cols).step_by(COLUMNS) {
        let width = COLUMNS.min(cols - first);
        let columns = first..first + width;
        let (mut x, mut out) = (x.chunks_exact(cols), out.chunks_exact_mut(rows.max(1)));
        loop {
            let tokens = x.len().min(4);
            for (x, to) in x.by_ref().take(tokens).zip(&mut reordered) {
                reorder(x.get(columns.clone()).unwrap_or(&[]), to);
            }
            let words = width / TILE;
            match tokens {
                0 => break,
                4 => multiply::<4, 2>(
                    core::array::from_fn(|_| out.next().unwrap_or(&mut [])),
                    &reordered,
                    words,
                    weights,
                    (cols, first),
                ),
                _ => {
                    for reordered in reordered.iter().take(tokens) {
                        let out = out.next().unwrap_or(&mut []);
                        multiply::<1, 4>([out], core::array::from_ref(reordered), words, weights, (cols, first));
                    }
                }
            }
        }
    }
}

fn reorder<X: Copy + Into<i16>>(x: &[X], to: &mut Reordered) {
    for (x, to) in x.as_chunks::<TILE>().0.iter().zip(to) {
        let [a, b, c, d] = x.map(Into::into);
        let [a, c, b, d] = [a, c, b, d].map(|x: i16| i64::from(x.cast_unsigned()));
        *to = a | c << 16 | b << 32 | d << 48;
    }
}

/// `T` tokens by `B` blocks of four rows at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply<const T: usize, const B: usize>(
    mut out: [&mut [i32]; T],
    x: &[Reordered; T],
    words: usize,
    weights: &[i8],
    (cols, first): (usize, usize),
) {
    for (index, weights) in weights.chunks(B * TILE * cols).enumerate() {
        let mut blocks = weights.chunks_exact(TILE * cols);
        let blocks: [&[[i8; 16]]; B] = core::array::from_fn(|_| {
            let block = blocks.next().and_then(|block| block.get(TILE * first..)).unwrap_or(&[]);
            block.as_chunks().0.get(..words).unwrap_or(&[])
        });
        let mut sums = [[_mm256_setzero_si256(); B]; T];
        for word in 0..words {
            let mut four = [_mm256_setzero_si256(); T];
            for (to, x) in four.iter_mut().zip(x) {
                if let Some(&x) = x.get(word) {
                    *to = _mm256_set1_epi64x(x);
                }
            }
            for (block, tiles) in blocks.iter().enumerate() {
                let Some(tile) = tiles.get(word) else { continue };
                let tile = load8(tile);
                for (sums, x) in sums.iter_mut().zip(four) {
                    sums[block] = _mm256_add_epi32(sums[block], _mm256_madd_epi16(x, tile));
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let out = out.get_mut(index * B * TILE..).unwrap_or(&mut []);
            for (out, sums) in out.as_chunks_mut::<TILE>().0.iter_mut().zip(sums) {
                // Each row's two sums are neighbours.
                let rows = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_hadd_epi32(sums, sums));
                let rows = _mm256_castsi256_si128(rows);
                // SAFETY: four words, and neither access needs an alignment.
                unsafe {
                    let to = out.as_mut_ptr().cast();
                    let before = if first > 0 { _mm_loadu_si128(to) } else { _mm_setzero_si128() };
                    _mm_storeu_si128(to, _mm_add_epi32(rows, before));
                }
            }
        }
    }
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

/// The sum of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn sum(lanes: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}
