//! Armv8.2's products of bytes: sixteen to an instruction, and the four sums that it adds to are the four rows of a tile.
//!
//! Sixteen-bit activations are `256 * high + low`, both bytes with a sign, in two passes over a tile.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::tiles::{self, COLUMNS, Part, order};
use super::super::{Kernels, scalar};
use super::neon::{self, NEON, load, words};
use crate::format::spec::TILE;

/// The set, on a processor that has the instruction.
pub(crate) fn kernels() -> Option<&'static Kernels> {
    #[cfg(any(test, feature = "std"))]
    let detected = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(any(test, feature = "std")))]
    let detected = cfg!(target_feature = "dotprod");
    detected.then_some(&DOTPROD)
}

/// Private, so that [`kernels`] alone hands it out: whoever holds it runs on a processor with the instruction.
static DOTPROD: Kernels = Kernels {
    name: "neon-dotprod",
    // SAFETY: the instruction was detected before this table was handed out.
    matmul8: |out, x, weights, cols| unsafe { matmul8(out, x, weights, cols) },
    tiles8,
    tiles16,
    ..NEON
};

/// The compiler finds the instruction in the definition's loop over rows.
#[target_feature(enable = "neon,dotprod")]
fn matmul8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::matmul(out, x, weights, cols);
}

/// The columns of four tiles.
type Four = [[i8; TILE]; 4];

/// Columns of a row in the order of a tile: `P` bytes of each, the lowest first.
type Row<const P: usize> = [[Four; P]; COLUMNS / TILE / 4];

const fn empty<const P: usize>() -> Row<P> {
    [[[[0; TILE]; 4]; P]; COLUMNS / TILE / 4]
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let reorder = |x: &[i8], to: &mut Row<1>| {
        for (x, to) in x.as_chunks::<TILE>().0.iter().zip(to.as_flattened_mut().as_flattened_mut()) {
            *to = order(*x);
        }
    };
    tiles::multiply(
        (out, x, weights, cols),
        empty::<1>(),
        reorder,
        // SAFETY: whoever has this table has the instruction.
        |out, x, part| unsafe { multiply::<1, 4, 1>(out, x, part) },
        // SAFETY: as above.
        |out, x, part| unsafe { multiply::<4, 2, 1>(out, x, part) },
    );
}

/// The largest number that two bytes with signs make.
const LARGEST: i16 = 256 * 127 + 127;

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let cols = cols.max(1);
    let rows = (weights.len() / cols).max(1);
    for (x, out) in x.chunks(4 * cols).zip(out.chunks_mut(4 * rows)) {
        // Larger ones are rare: such a row would be one whose largest is just below the next power of two.
        if x.iter().fold(0, |largest, &x| largest.max(x)) > LARGEST {
            neon::tiles16(out, x, weights, cols);
        } else {
            tiles16_of_bytes(out, x, weights, cols);
        }
    }
}

fn tiles16_of_bytes(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let reorder = |x: &[i16], to: &mut Row<2>| {
        for (x, [low, high]) in x.chunks(4 * TILE).zip(to) {
            for ((x, low), high) in x.as_chunks::<TILE>().0.iter().zip(low).zip(high) {
                let x = order(*x);
                *low = x.map(|x| x as i8);
                // Half of the lower byte's range is added, so that the rest is rounded to the nearest.
                *high = x.map(|x| (x.wrapping_add(128) >> 8) as i8);
            }
        }
    };
    tiles::multiply(
        (out, x, weights, cols),
        empty::<2>(),
        reorder,
        // SAFETY: as above.
        |out, x, part| unsafe { multiply::<1, 4, 2>(out, x, part) },
        // SAFETY: as above.
        |out, x, part| unsafe { multiply::<4, 2, 2>(out, x, part) },
    );
}

/// `T` tokens by `B` blocks of four rows at a time, over `P` bytes of each activation.
#[target_feature(enable = "neon,dotprod")]
fn multiply<const T: usize, const B: usize, const P: usize>(
    mut out: [&mut [i32]; T],
    x: &[Row<P>; T],
    part: Part<'_>,
) {
    for (index, blocks) in part.blocks::<B>().enumerate() {
        let mut sums = [[[vdupq_n_s32(0); P]; B]; T];
        let fours = blocks.map(|tiles| tiles.as_chunks::<4>());
        let whole = part.tiles() / 4;
        for place in 0..whole {
            let mut activations = [[vdupq_n_s8(0); P]; T];
            for (to, x) in activations.iter_mut().zip(x) {
                if let Some(x) = x.get(place) {
                    for (to, x) in to.iter_mut().zip(x) {
                        *to = load_four(x);
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
            let Some(x) = x.get(whole) else { continue };
            for (sums, (_, rest)) in sums.iter_mut().zip(fours) {
                for (sum, x) in sums.iter_mut().zip(x) {
                    for (tile, x) in rest.iter().zip(x) {
                        let x = vdupq_n_s32(i32::from_le_bytes(x.map(i8::cast_unsigned)));
                        *sum = dot::<0>(*sum, load(tile), vreinterpretq_s8_s32(x));
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            // The bytes of one activation weigh 256 times as much as those before them.
            let total = |sums: [int32x4_t; P]| {
                sums.into_iter().rev().fold(vdupq_n_s32(0), |higher, sum| vaddq_s32(vshlq_n_s32::<8>(higher), sum))
            };
            part.put(out, index, sums.map(|sums| words(total(sums))));
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_four(x: &Four) -> int8x16_t {
    // SAFETY: there are sixteen bytes, and the load needs no alignment.
    unsafe { vld1q_s8(x.as_ptr().cast()) }
}

/// `sums[row] += tile[row] . x[LANE]`, four columns of each. The compiler's own function for it is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: usize>(mut sums: int32x4_t, tile: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it computes, and nothing else; whoever is here has the instruction.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {tile:v}.16b, {x:v}.4b[{lane}]",
            sums = inout(vreg) sums, tile = in(vreg) tile, x = in(vreg) x, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
