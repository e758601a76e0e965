//! Rows of fixed-point values: requantization.

use core::arch::naked_asm;

use crate::kernels::table::Requantize;
use crate::kernels::{scalar, words};

/// The high half of a product, shifted and rounded.
macro_rules! scaled {
    ($at:expr) => {
        lines!(
            concat!("lw t0, ", $at, "(a0)"),
            concat!("lw t1, ", $at, "(a1)"),
            "
              mulh t0, t0, t1
              sra t0, t0, a3
              addi t0, t0, 1
              srai t0, t0, 1
            ",
            concat!("sw t0, ", $at, "(a0)")
        )
    };
}

/// The high half of `accumulators[i] * multipliers[i]`, shifted by `shift + 1` and rounded: four
/// values at a time, then one.
///
/// # Safety
/// `accumulators` and `multipliers` have `count` values; `shift` is below 31.
#[unsafe(naked)]
unsafe extern "C" fn requantize_loop(accumulators: *mut i32, multipliers: *const i32, count: usize, shift: u32) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        "
          addi a2, a2, -4
          bltz a2, 2f
        1:
        ",
        scaled!("0"),
        scaled!("4"),
        scaled!("8"),
        scaled!("12"),
        "
          addi a0, a0, 16
          addi a1, a1, 16
          addi a2, a2, -4
          bgez a2, 1b
        2:
          addi a2, a2, 4
          beqz a2, 4f
        3:
        ",
        scaled!("0"),
        "
          addi a0, a0, 4
          addi a1, a1, 4
          addi a2, a2, -1
          bnez a2, 3b
        4:
          ret
        ",
        ".option pop",
        options(raw)
    )
}

/// See [`Requantize::apply`].
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let shift = words::folded_shift(by);
    let count = accumulators.len().min(multipliers.len());
    if by.row.is_some() || by.shift > 31 || shift < 1 {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    // SAFETY: it reads and writes `count` accumulators, and reads as many multipliers.
    unsafe { requantize_loop(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, shift as u32 - 1) };
    scalar::add(accumulators, biases);
}
