//! Products over packed 4-bit weights, without unpacking: a weight takes a product, a sum and a
//! shift.
//!
//! [`words::packed`] explains factors and shifted words. A tile of 32 weights takes twelve loads
//! and 104 instructions in all.

use core::arch::naked_asm;

use crate::kernels::table::Weights;
use crate::kernels::words::{self, Factor, OneGroup};

/// Adds the products of the shifted words of four rows with a factor.
macro_rules! products {
    ($factor:literal) => {
        lines!(
            concat!("mul t0, t3, ", $factor),
            "add s4, s4, t0",
            concat!("mul t0, t4, ", $factor),
            "add s5, s5, t0",
            concat!("mul t0, t5, ", $factor),
            "add s6, s6, t0",
            concat!("mul t0, t6, ", $factor),
            "add s7, s7, t0"
        )
    };
}

/// Shifts the words of four rows to the next weight.
macro_rules! next {
    () => {
        "
          srli t3, t3, 4
          srli t4, t4, 4
          srli t5, t5, 4
          srli t6, t6, 4
        "
    };
}

/// Half of a tile's columns, with their factors at `$at`.
macro_rules! four_columns {
    ($at:literal) => {
        lines!(
            concat!("lw s0, ", $at, "(a7)"),
            concat!("lw s1, ", $at, " + 4(a7)"),
            concat!("lw s2, ", $at, " + 8(a7)"),
            concat!("lw s3, ", $at, " + 12(a7)"),
            products!("s0"),
            next!(),
            products!("s1"),
            next!(),
            products!("s2"),
            next!(),
            products!("s3")
        )
    };
}

/// Adds a row's sum times its scale to `out`.
macro_rules! add_row {
    ($sum:literal, $scale:literal, $at:literal) => {
        lines!(
            concat!("lbu t0, ", $scale, "(a4)"),
            concat!("lw t3, ", $at, "(a2)"),
            concat!("mul t0, t0, ", $sum),
            "add t3, t3, t0",
            concat!("sw t3, ", $at, "(a2)")
        )
    };
}

/// Adds a group of columns of one token to the sums of all rows.
///
/// # Safety
/// `weights`, `factors`, `sums` and `group` are those of a call by [`words::packed`].
#[unsafe(naked)]
unsafe extern "C" fn one_group(weights: *const u8, factors: *const Factor, sums: *mut i32, group: &OneGroup) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        save!(),
        "
          lw s8, 0(a3)
          lw s9, 4(a3)
          lw s10, 8(a3)
          lw a4, 12(a3)
          lw a5, 16(a3)
          lw a6, 20(a3)
          // Bytes to the next block.
          sub t0, s8, a1
          srli t0, t0, 1
          sub s10, s10, t0
        1:
          mv a7, a1
          mv s4, s9
          mv s5, s9
          mv s6, s9
          mv s7, s9
        2:
          // A tile: a word of eight columns for each of four rows.
          lw t3, 0(a0)
          lw t4, 4(a0)
          lw t5, 8(a0)
          lw t6, 12(a0)
        ",
        four_columns!("0"),
        next!(),
        four_columns!("16"),
        "
          addi a0, a0, 16
          addi a7, a7, 32
          bne a7, s8, 2b
        ",
        add_row!("s4", "0", "0"),
        add_row!("s5", "1", "4"),
        add_row!("s6", "2", "8"),
        add_row!("s7", "3", "12"),
        "
          add a0, a0, s10
          add a4, a4, a5
          addi a2, a2, 16
          bne a2, a6, 1b
        ",
        restore!(),
        ".option pop",
        options(raw)
    )
}

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |weights, factors, sums, group| {
        // SAFETY: these are the arguments that `words::packed` guarantees.
        unsafe { one_group(weights.as_ptr().cast(), factors.as_ptr(), sums.as_mut_ptr(), group) };
    })
}
