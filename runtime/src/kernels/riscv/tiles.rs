//! Products over tiled weights, of four rows by four columns.
//!
//! A weight takes a load, a product and a sum, and eight rows share the loads of activations: 104
//! instructions for the 32 products of two tiles.

use core::arch::naked_asm;

use crate::format::places::TILE;
use crate::kernels::table::Weights;
use crate::kernels::{scalar, words};

/// A row of a tile, times the activations in s0 to s3.
macro_rules! row {
    ($sum:expr, $from:expr, $at:expr) => {
        lines!(
            concat!("lb t0, ", $at, "(", $from, ")"),
            concat!("lb t1, ", $at, " + 1(", $from, ")"),
            concat!("lb t2, ", $at, " + 2(", $from, ")"),
            concat!("lb t3, ", $at, " + 3(", $from, ")"),
            "
              mul t0, t0, s0
              mul t1, t1, s2
              mul t2, t2, s1
              mul t3, t3, s3
            ",
            concat!("add ", $sum, ", ", $sum, ", t0"),
            concat!("add ", $sum, ", ", $sum, ", t1"),
            concat!("add ", $sum, ", ", $sum, ", t2"),
            concat!("add ", $sum, ", ", $sum, ", t3")
        )
    };
}

/// Loads the activations of a tile.
macro_rules! columns {
    () => {
        "
          lh s0, 0(a1)
          lh s1, 2(a1)
          lh s2, 4(a1)
          lh s3, 6(a1)
          addi a1, a1, 8
        "
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `weights` has `block_bytes * blocks` bytes, `x` has `block_bytes / 4` values, and `out` has room
/// for `4 * blocks` sums. `block_bytes` is a multiple of 16, and not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const i16, out: *mut i32, block_bytes: usize, blocks: usize) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        save!(),
        "
          mv t4, a1
          addi a4, a4, -2
          bltz a4, 3f
        1:
          add a5, a0, a3
          mv a6, a5
          mv a1, t4
          li s4, 0
          li s5, 0
          li s6, 0
          li s7, 0
          li s8, 0
          li s9, 0
          li s10, 0
          li s11, 0
        2:
        ",
        columns!(),
        row!("s4", "a0", "0"),
        row!("s5", "a0", "4"),
        row!("s6", "a0", "8"),
        row!("s7", "a0", "12"),
        "addi a0, a0, 16",
        row!("s8", "a5", "0"),
        row!("s9", "a5", "4"),
        row!("s10", "a5", "8"),
        row!("s11", "a5", "12"),
        "
          addi a5, a5, 16
          bne a0, a6, 2b
          sw s4, 0(a2)
          sw s5, 4(a2)
          sw s6, 8(a2)
          sw s7, 12(a2)
          sw s8, 16(a2)
          sw s9, 20(a2)
          sw s10, 24(a2)
          sw s11, 28(a2)
          addi a2, a2, 32
          mv a0, a5
          addi a4, a4, -2
          bgez a4, 1b
        3:
          addi a4, a4, 2
          beqz a4, 5f
          add a6, a0, a3
          mv a1, t4
          li s4, 0
          li s5, 0
          li s6, 0
          li s7, 0
        4:
        ",
        columns!(),
        row!("s4", "a0", "0"),
        row!("s5", "a0", "4"),
        row!("s6", "a0", "8"),
        row!("s7", "a0", "12"),
        "
          addi a0, a0, 16
          bne a0, a6, 4b
          sw s4, 0(a2)
          sw s5, 4(a2)
          sw s6, 8(a2)
          sw s7, 12(a2)
        5:
        ",
        restore!(),
        ".option pop",
        options(raw)
    )
}

/// [`tiles16`] over 8-bit activations, which are widened first.
pub(super) fn tiles8_with_room(
    out: &mut [i32],
    x: &[i8],
    weights: &Weights<'_>,
    cols: usize,
    room: &mut [i32],
) -> bool {
    scalar::widened_in(room, out, x, weights.bytes, cols, tiles16)
}

/// [`tiles8_with_room`] for few columns.
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::widened(out, x, weights, cols, tiles16);
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    words::tiles16(out, x, weights, cols, |out, x| {
        // SAFETY: it reads as many weights as sums times activations, and the activations, at least
        // four, and writes the sums: the lengths of the slices.
        unsafe { one_token(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), TILE * cols, out.len() / TILE) };
    });
}
