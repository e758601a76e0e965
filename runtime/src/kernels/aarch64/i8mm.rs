//! Armv8.6's products of matrices of bytes: 32 products to an instruction, of two rows with two others.
//!
//! The two bytes of an activation are two such rows, as in [`dotprod`]; two tiles are four rows of weights, once they are zipped. For a
//! single token that takes as many instructions as dot products do, and for four of them two thirds.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::Kernels;
use super::super::tiles::{self, COLUMNS, Part};
use super::dotprod::{self, DOTPROD};
use super::neon::{bytes, load, words};
use crate::format::spec::TILE;

/// The set, on a processor that has the instruction.
pub(super) fn kernels() -> Option<&'static Kernels> {
    #[cfg(any(test, feature = "std"))]
    let detected = std::arch::is_aarch64_feature_detected!("i8mm");
    #[cfg(not(any(test, feature = "std")))]
    let detected = cfg!(target_feature = "i8mm");
    (detected && dotprod::kernels().is_some()).then_some(&I8MM)
}

/// Private, so that [`kernels`] alone hands it out: whoever holds it runs on a processor with the instruction.
static I8MM: Kernels = Kernels {
    name: "neon-i8mm",
    tiles16: |out, x, weights, cols| dotprod::two_bytes((out, x, weights, cols), tiles16),
    ..DOTPROD
};

/// Columns of a row in the order of a tile: the lower bytes of eight, then their upper ones.
type Row = [[i8; 16]; COLUMNS / 8];

#[target_feature(enable = "neon")]
fn reorder(x: &[i16], to: &mut Row) {
    for (x, to) in x.chunks(16).zip(to.as_chunks_mut::<2>().0) {
        let (low, high) = dotprod::split(x);
        let (low, high) = (vreinterpretq_s64_s8(low), vreinterpretq_s64_s8(high));
        *to = [vzip1q_s64(low, high), vzip2q_s64(low, high)].map(|eight| bytes(vreinterpretq_s8_s64(eight)));
    }
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles::multiply(
        (out, x, weights, cols),
        [[0; 16]; COLUMNS / 8],
        // SAFETY: whoever has this table has the instruction.
        |x, to| unsafe { reorder(x, to) },
        // SAFETY: as above.
        |out, x, part| unsafe { multiply::<1, 4>(out, x, part) },
        // SAFETY: as above.
        |out, x, part| unsafe { multiply::<4, 2>(out, x, part) },
    );
}

/// `T` tokens by `B` blocks of four rows at a time.
#[target_feature(enable = "neon,i8mm")]
fn multiply<const T: usize, const B: usize>(mut out: [&mut [i32]; T], x: &[Row; T], part: Part<'_>) {
    for (index, blocks) in part.blocks::<B>().enumerate() {
        // Of two rows each, with a sum for each of the two bytes.
        let mut sums = [[[vdupq_n_s32(0); 2]; B]; T];
        for pair in 0..part.tiles().div_ceil(2) {
            let mut activations = [vdupq_n_s8(0); T];
            for (to, x) in activations.iter_mut().zip(x) {
                if let Some(x) = x.get(pair) {
                    *to = load(x);
                }
            }
            for (block, tiles) in blocks.iter().enumerate() {
                let Some(first) = tiles.get(2 * pair) else { continue };
                let (first, second) = (load(first), load(tiles.get(2 * pair + 1).unwrap_or(&[0; TILE * TILE])));
                let (first, second) = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
                let upper = vreinterpretq_s8_s32(vzip1q_s32(first, second));
                let lower = vreinterpretq_s8_s32(vzip2q_s32(first, second));
                for (sums, x) in sums.iter_mut().zip(activations) {
                    let [ab, cd] = &mut sums[block];
                    (*ab, *cd) = (product(*ab, upper, x), product(*cd, lower, x));
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let mut rows = [[0; TILE]; B];
            for (rows, [ab, cd]) in rows.iter_mut().zip(sums) {
                *rows = words(vaddq_s32(vuzp1q_s32(ab, cd), vshlq_n_s32::<8>(vuzp2q_s32(ab, cd))));
            }
            part.put(out, index, rows);
        }
    }
}

/// `sums[2 * row + other] += rows[row] . others[other]`. The compiler's own function for it is not stable.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn product(mut sums: int32x4_t, rows: int8x16_t, others: int8x16_t) -> int32x4_t {
    // SAFETY: it computes, and nothing else; whoever is here has the instruction.
    unsafe {
        core::arch::asm!(
            "smmla {sums:v}.4s, {rows:v}.16b, {others:v}.16b",
            sums = inout(vreg) sums, rows = in(vreg) rows, others = in(vreg) others,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
