//! NEON, which every 64-bit Arm processor has. Kernels over rows have no code here: the compiler
//! vectorizes the reference kernels.
//!
//! A tile is one load. For 16-bit activations, each row of a tile is widened and multiplied by four
//! columns. For 8-bit activations, two products are added in 16 bits: no activation is -128, so
//! their sum is at most 2 * 127 * 128.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::scalar;
use super::super::table::{Kernels, Products};
use super::super::tiles::{self, COLUMNS, Part, Tile};
use super::attention;
use super::vectors::{totals, words};
use crate::format::places::TILE;

/// The kernel set for NEON.
pub(super) static NEON: Kernels = Kernels {
    name: "neon",
    products8: Products { tiles: tiles8, ..scalar::SCALAR.products8 },
    products16: Products { tiles: tiles16, ..scalar::SCALAR.products16 },
    scores8: proven!(|out, query, keys| attention::scores8(out, query, keys)),
    scores16: proven!(|out, query, keys| attention::scores16(out, query, keys)),
    scale_scores: proven!(|scores, keys, factor| attention::scale_scores(scores, keys, factor)),
    rectify: proven!(|values, table| attention::rectify(values, table)),
    weighted_sum: proven!(|out, weights, values| attention::weighted_sum(out, weights, values)),
    ..scalar::SCALAR
};

/// Columns of a row in the order of a tile.
type Row<X> = [X; COLUMNS];

#[target_feature(enable = "neon")]
fn reorder8(x: &[i8], to: &mut Row<i8>) {
    for (x, to) in x.chunks(16).zip(to.as_chunks_mut().0) {
        *to = bytes(order(load_some(x)));
    }
}

#[target_feature(enable = "neon")]
fn reorder16(x: &[i16], to: &mut Row<i16>) {
    const ORDER: [u8; 16] = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
    // SAFETY: sixteen bytes are read.
    let order = unsafe { vld1q_u8(ORDER.as_ptr()) };
    for (x, to) in x.chunks(8).zip(to.as_chunks_mut::<8>().0) {
        let x: [i16; 8] = whole(x);
        // SAFETY: eight halfwords are read, and as many are written.
        unsafe {
            let ordered = vqtbl1q_s8(vreinterpretq_s8_s16(vld1q_s16(x.as_ptr())), order);
            vst1q_s16(to.as_mut_ptr(), vreinterpretq_s16_s8(ordered));
        }
    }
}

/// Reorders the columns of four tiles to 0, 2, 1, 3.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn order(columns: int8x16_t) -> int8x16_t {
    const ORDER: [u8; 16] = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15];
    // SAFETY: sixteen bytes are read.
    vqtbl1q_s8(columns, unsafe { vld1q_u8(ORDER.as_ptr()) })
}

/// Loads up to sixteen bytes, padded with zeros.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_some(x: &[i8]) -> int8x16_t {
    load(&whole(x))
}

/// The first `N` values of a row, padded with zeros.
#[inline(always)]
pub(super) fn whole<X: Copy + Default, const N: usize>(x: &[X]) -> [X; N] {
    x.first_chunk().copied().unwrap_or_else(|| {
        let mut filled = [X::default(); N];
        for (to, &x) in filled.iter_mut().zip(x) {
            *to = x;
        }
        filled
    })
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles::multiply(
        (out, x, weights, cols),
        [0; COLUMNS],
        proven!(|x, to| reorder8(x, to)),
        proven!(|out, x, part| multiply8::<1, 4>(out, x, part)),
        proven!(|out, x, part| multiply8::<4, 2>(out, x, part)),
    );
}

pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles::multiply(
        (out, x, weights, cols),
        [0; COLUMNS],
        proven!(|x, to| reorder16(x, to)),
        proven!(|out, x, part| multiply16::<1, 2>(out, x, part)),
        proven!(|out, x, part| multiply16::<4, 1>(out, x, part)),
    );
}

/// Multiplies `T` tokens by `B` blocks of four rows at a time.
#[target_feature(enable = "neon")]
fn multiply8<const T: usize, const B: usize>(mut out: [&mut [i32]; T], x: &[Row<i8>; T], part: Part<'_>) {
    for (index, blocks) in part.blocks::<B>().enumerate() {
        // A vector holds the sums of two rows, two for each.
        let mut sums = [[[vdupq_n_s32(0); 2]; B]; T];
        for pair in 0..part.tiles().div_ceil(2) {
            let mut four = [[vdup_n_s8(0); 2]; T];
            for (to, x) in four.iter_mut().zip(x) {
                for (to, x) in to.iter_mut().zip(x.as_chunks().0.iter().skip(2 * pair)) {
                    *to = vget_low_s8(repeat(x));
                }
            }
            for (block, tiles) in blocks.iter().enumerate() {
                let Some(&first) = tiles.get(2 * pair) else { continue };
                let (a, b) = (load(&first), load(tiles.get(2 * pair + 1).unwrap_or(&[0; TILE * TILE])));
                for (sums, [x, y]) in sums.iter_mut().zip(four) {
                    let low = vmlal_s8(vmull_s8(vget_low_s8(a), x), vget_low_s8(b), y);
                    let high = vmlal_s8(vmull_s8(vget_high_s8(a), x), vget_high_s8(b), y);
                    let [upper, lower] = &mut sums[block];
                    (*upper, *lower) = (vpadalq_s16(*upper, low), vpadalq_s16(*lower, high));
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            part.put(out, index, sums.map(|[upper, lower]| words(vpaddq_s32(upper, lower))));
        }
    }
}

/// Multiplies `T` tokens of 16-bit activations by `B` blocks of four rows at a time.
#[target_feature(enable = "neon")]
fn multiply16<const T: usize, const B: usize>(mut out: [&mut [i32]; T], x: &[Row<i16>; T], part: Part<'_>) {
    for (index, blocks) in part.blocks::<B>().enumerate() {
        let mut sums = [[[vdupq_n_s32(0); TILE]; B]; T];
        for place in 0..part.tiles() {
            let mut four = [vdup_n_s16(0); T];
            for (to, x) in four.iter_mut().zip(x) {
                if let Some(x) = x.as_chunks().0.get(place) {
                    *to = load_four(x);
                }
            }
            for (block, tiles) in blocks.iter().enumerate() {
                let Some(tile) = tiles.get(place) else { continue };
                let tile = load(tile);
                let (upper, lower) = (vmovl_s8(vget_low_s8(tile)), vmovl_s8(vget_high_s8(tile)));
                for (sums, x) in sums.iter_mut().zip(four) {
                    let [a, b, c, d] = &mut sums[block];
                    *a = vmlal_s16(*a, vget_low_s16(upper), x);
                    *b = vmlal_high_s16(*b, upper, vcombine_s16(x, x));
                    *c = vmlal_s16(*c, vget_low_s16(lower), x);
                    *d = vmlal_high_s16(*d, lower, vcombine_s16(x, x));
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            part.put(out, index, sums.map(|rows| words(totals(rows))));
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load(tile: &Tile) -> int8x16_t {
    // SAFETY: the tile has sixteen bytes, and the load needs no alignment.
    unsafe { vld1q_s8(tile.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_four(x: &[i16; 4]) -> int16x4_t {
    // SAFETY: eight bytes are read, and the load needs no alignment beyond that of `i16`.
    unsafe { vld1_s16(x.as_ptr()) }
}

/// Repeats four bytes four times.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn repeat(x: &[i8; 4]) -> int8x16_t {
    vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(x.map(i8::cast_unsigned))))
}

/// The lanes as an array.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn bytes(lanes: int8x16_t) -> [i8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: sixteen bytes are written.
    unsafe { vst1q_s8(bytes.as_mut_ptr(), lanes) };
    bytes
}
