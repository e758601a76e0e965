//! Armv8.2's dot products of bytes (`SDOT`): an instruction multiplies sixteen bytes, a tile, and
//! accumulates into four lanes, the rows of the tile.
//!
//! 16-bit activations are split into signed bytes, `256 * high + low`, and each tile is multiplied
//! by both.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::scalar;
use super::super::table::{Kernels, Products};
use super::super::tiles::{self, COLUMNS, Part};
use super::neon::{self, NEON, bytes, load, load_some, order, repeat, whole};
use super::vectors::words;
use crate::format::places::{TILE, tile_place};

/// The set, if the processor has the instruction.
///
/// `SMMLA` is not used: it needs zipped operands, which costs instructions for one token and saves
/// only 6 % for several.
pub(super) fn kernels() -> Option<&'static Kernels> {
    #[cfg(any(test, feature = "std"))]
    let detected = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(any(test, feature = "std")))]
    let detected = cfg!(target_feature = "dotprod");
    detected.then_some(&DOTPROD)
}

/// Private: only [`kernels`] hands it out, so that every holder runs on a processor with the
/// instruction.
static DOTPROD: Kernels = Kernels {
    name: "neon-dotprod",
    products8: Products {
        rows: proven!(|out, x, weights, cols| matmul8(out, x, weights, cols)),
        tiles: tiles8,
        ..NEON.products8
    },
    products16: Products { tiles: tiles16, ..NEON.products16 },
    ..NEON
};

/// The reference kernel: the compiler vectorizes its loop with the instruction.
#[target_feature(enable = "neon,dotprod")]
fn matmul8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::matmul(out, x, weights, cols);
}

/// Columns of a row in the order of a tile, as `P` planes of bytes, the low bytes first.
type Row<const P: usize> = [[i8; COLUMNS]; P];

#[target_feature(enable = "neon")]
fn reorder8(x: &[i8], [to]: &mut Row<1>) {
    for (x, to) in x.chunks(16).zip(to.as_chunks_mut().0) {
        *to = bytes(order(load_some(x)));
    }
}

/// The largest number that two signed bytes represent.
const LARGEST: i16 = 256 * 127 + 127;

#[target_feature(enable = "neon")]
fn reorder16(x: &[i16], [low, high]: &mut Row<2>) {
    for ((x, low), high) in x.chunks(16).zip(low.as_chunks_mut().0).zip(high.as_chunks_mut().0) {
        let (lower, higher) = split(x);
        (*low, *high) = (bytes(lower), bytes(higher));
    }
}

/// The low and the high bytes of up to sixteen activations, in the order of a tile, padded with
/// zeros.
#[inline]
#[target_feature(enable = "neon")]
fn split(x: &[i16]) -> (int8x16_t, int8x16_t) {
    let x: [i16; 16] = whole(x);
    // SAFETY: sixteen halfwords are read.
    let x = unsafe { [vld1q_s16(x.as_ptr()), vld1q_s16(x.as_ptr().add(8))] };
    let [a, b] = x.map(|x| vminq_s16(x, vdupq_n_s16(LARGEST)));
    let low = vuzp1q_s8(vreinterpretq_s8_s16(a), vreinterpretq_s8_s16(b));
    // Add half of the low byte's range: the low byte is signed, so the high byte must round up.
    let half = vdupq_n_s16(128);
    let high = vuzp2q_s8(vreinterpretq_s8_s16(vaddq_s16(a, half)), vreinterpretq_s8_s16(vaddq_s16(b, half)));
    (order(low), order(high))
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles::multiply(
        (out, x, weights, cols),
        [[0; COLUMNS]],
        proven!(|x, to| reorder8(x, to)),
        proven!(|out, x, part| multiply::<1, 4, 1>(out, x, part)),
        proven!(|out, x, part| multiply::<4, 2, 1>(out, x, part)),
    );
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let cols = cols.max(1);
    let rows = (weights.len() / cols).max(1);
    for (x, out) in x.chunks(4 * cols).zip(out.chunks_mut(4 * rows)) {
        // Activations from 32,640 on do not fit two signed bytes.
        let larger: usize =
            x.chunks(256).map(|x| usize::from(x.iter().map(|&x| u16::from(x > LARGEST)).sum::<u16>())).sum();
        if larger > FEW {
            neon::tiles16(out, x, weights, cols);
            continue;
        }
        tiles16_of_bytes(out, x, weights, cols);
        if larger > 0 {
            for (x, out) in scalar::tokens(x, cols, out, rows) {
                for (col, &x) in x.iter().enumerate().filter(|&(_, &x)| x > LARGEST) {
                    add_column(out, x - LARGEST, weights, (col, cols));
                }
            }
        }
    }
}

/// The most activations above [`LARGEST`] in four rows that are corrected one by one.
const FEW: usize = 16;

/// Adds the products of one column.
#[cold]
fn add_column(out: &mut [i32], x: i16, weights: &[i8], (col, cols): (usize, usize)) {
    let blocks = weights.chunks_exact((TILE * cols).max(1)).zip(out.as_chunks_mut::<TILE>().0);
    for (block, out) in blocks {
        for (row, out) in out.iter_mut().enumerate() {
            let weight = block.get(tile_place(row, col, cols)).map_or(0, |&weight| i32::from(weight));
            *out = out.wrapping_add(i32::from(x).wrapping_mul(weight));
        }
    }
}

fn tiles16_of_bytes(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles::multiply(
        (out, x, weights, cols),
        [[0; COLUMNS]; 2],
        proven!(|x, to| reorder16(x, to)),
        proven!(|out, x, part| multiply::<1, 4, 2>(out, x, part)),
        proven!(|out, x, part| multiply::<4, 2, 2>(out, x, part)),
    );
}

/// Multiplies `T` tokens by `B` blocks of four rows at a time, over `P` bytes of each activation.
#[target_feature(enable = "neon,dotprod")]
fn multiply<const T: usize, const B: usize, const P: usize>(mut out: [&mut [i32]; T], x: &[Row<P>; T], part: Part<'_>) {
    let whole = (part.tiles() / 4).min(COLUMNS / 16);
    for (index, blocks) in part.blocks::<B>().enumerate() {
        let mut sums = [[[vdupq_n_s32(0); P]; B]; T];
        let fours = blocks.map(|tiles| tiles.as_chunks::<4>());
        for place in 0..whole {
            let mut activations = [[vdupq_n_s8(0); P]; T];
            for (to, x) in activations.iter_mut().zip(x) {
                for (to, x) in to.iter_mut().zip(x) {
                    if let Some(x) = x.as_chunks().0.get(place) {
                        *to = load(x);
                    }
                }
            }
            for (block, (fours, _)) in fours.iter().enumerate() {
                let Some([a, b, c, d]) = fours.get(place) else { continue };
                let [a, b, c, d] = [load(a), load(b), load(c), load(d)];
                for (sums, x) in sums.iter_mut().zip(activations) {
                    for (sum, x) in sums[block].iter_mut().zip(x) {
                        *sum = dot::<0>(*sum, a, x);
                        *sum = dot::<1>(*sum, b, x);
                        *sum = dot::<2>(*sum, c, x);
                        *sum = dot::<3>(*sum, d, x);
                    }
                }
            }
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sums, (_, rest)) in sums.iter_mut().zip(fours) {
                for (sum, x) in sums.iter_mut().zip(x) {
                    for (tile, x) in rest.iter().zip(x.as_chunks().0.iter().skip(4 * whole)) {
                        *sum = dot::<0>(*sum, load(tile), repeat(x));
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let mut rows = [[0; TILE]; B];
            for (rows, sums) in rows.iter_mut().zip(sums) {
                // Each plane of bytes counts 256 times the one before it.
                let mut total = vdupq_n_s32(0);
                for sum in sums.into_iter().rev() {
                    total = vaddq_s32(vshlq_n_s32::<8>(total), sum);
                }
                *rows = words(total);
            }
            part.put(out, index, rows);
        }
    }
}

/// `sums[row] += tile[row] . x[LANE]`, over four columns. The intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: usize>(mut sums: int32x4_t, tile: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it only computes; `target_feature` guarantees the instruction.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {tile:v}.16b, {x:v}.4b[{lane}]",
            sums = inout(vreg) sums, tile = in(vreg) tile, x = in(vreg) x, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
