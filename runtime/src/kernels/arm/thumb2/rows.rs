//! Rows of fixed-point values: quantization, requantization, norms, rotations.

use core::arch::naked_asm;

use super::super::arguments::Scaling;

use crate::fixed::{Scale, mul_high, shift_round};
use crate::kernels::table::{NormRow, Requantize};
use crate::kernels::{scalar, words};

/// The high half of a product, shifted and rounded.
macro_rules! scaled {
    ($x:expr, $multiplier:expr) => {
        lines!(concat!("smull r12, ", $x, ", ", $multiplier, ", ", $x), round!($x, "r3"))
    };
}

/// Replaces each accumulator by the high half of its product with its multiplier, shifted and
/// rounded: four values at a time, then one.
///
/// # Safety
/// `accumulators` and `multipliers` have `count` values; `shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn requantize_loop(accumulators: *mut i32, multipliers: *const i32, count: usize, shift: u32) {
    naked_asm!(
        "
          push {r4-r11, lr}
          subs r2, r2, #4
          blo 2f
        1:
          ldmia r1!, {r4-r7}
          ldm r0, {r8-r11}
        ",
        scaled!("r8", "r4"),
        scaled!("r9", "r5"),
        scaled!("r10", "r6"),
        scaled!("r11", "r7"),
        "
          stmia r0!, {r8-r11}
          subs r2, r2, #4
          bhs 1b
        2:
          adds r2, r2, #4
          beq 4f
        3:
          ldr r4, [r1], #4
          ldr r8, [r0]
        ",
        scaled!("r8", "r4"),
        "
          str r8, [r0], #4
          subs r2, r2, #1
          bne 3b
        4:
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Returns a value with as many bits as the largest magnitude of a row.
///
/// # Safety
/// `row` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn magnitudes(row: *const i32, count: usize) -> u32 {
    naked_asm!(
        "
          push {r4-r5}
          movs r12, #0
          subs r1, r1, #4
          blo 2f
        1:
          ldmia r0!, {r2-r5}
          eor r2, r2, r2, asr #31
          eor r3, r3, r3, asr #31
          eor r4, r4, r4, asr #31
          eor r5, r5, r5, asr #31
          orrs r2, r3
          orrs r4, r5
          orr r12, r12, r2
          orr r12, r12, r4
          subs r1, r1, #4
          bhs 1b
        2:
          adds r1, r1, #4
          beq 4f
        3:
          ldr r2, [r0], #4
          eor r2, r2, r2, asr #31
          orr r12, r12, r2
          subs r1, r1, #1
          bne 3b
        4:
          mov r0, r12
          pop {r4-r5}
          bx lr
        ",
        options(raw)
    )
}

/// Shifts and rounds a value, and saturates it to 16 bits.
macro_rules! narrowed {
    ($x:expr) => {
        lines!(round!($x, "r3"), concat!("ssat ", $x, ", #16, ", $x))
    };
}

/// Shifts values right with rounding, and saturates them to 16 bits.
///
/// # Safety
/// `row` has `count` values, and `out` has room for them; `shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn narrow(out: *mut i16, row: *const i32, count: usize, shift: u32) {
    naked_asm!(
        "
          push {r4-r7}
          subs r2, r2, #4
          blo 2f
        1:
          ldmia r1!, {r4-r7}
        ",
        narrowed!("r4"),
        "strh r4, [r0], #8",
        narrowed!("r5"),
        "strh r5, [r0, #-6]",
        narrowed!("r6"),
        "strh r6, [r0, #-4]",
        narrowed!("r7"),
        "
          strh r7, [r0, #-2]
          subs r2, r2, #4
          bhs 1b
        2:
          adds r2, r2, #4
          beq 4f
        3:
          ldr r4, [r1], #4
        ",
        narrowed!("r4"),
        "
          strh r4, [r0], #2
          subs r2, r2, #1
          bne 3b
        4:
          pop {r4-r7}
          bx lr
        ",
        options(raw)
    )
}

/// Applies [`narrow`] to values in place, and returns the sum of their squares.
///
/// # Safety
/// `row` has `count` values, and that is not 0; `shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn squares(row: *mut i32, count: usize, shift: u32) -> u64 {
    naked_asm!(
        "
          push {r4-r6}
          mov r3, r2
          movs r5, #0
          movs r6, #0
        1:
          ldr r4, [r0]
        ",
        narrowed!("r4"),
        "
          str r4, [r0], #4
          smlal r5, r6, r4, r4
          subs r1, r1, #1
          bne 1b
          mov r0, r5
          mov r1, r6
          pop {r4-r6}
          bx lr
        ",
        options(raw)
    )
}

/// Multiplies values by `factor`, then replaces each by the high half of its product with its
/// weight, shifted and rounded.
///
/// # Safety
/// `row` and `weights` have `count` values, and that is not 0; `by.shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn scale_loop(row: *mut i32, weights: *const i32, count: usize, by: &Scaling) {
    naked_asm!(
        "
          push {r4-r6}
          ldrd r3, r6, [r3]
        1:
          ldr r4, [r0]
          ldr r5, [r1], #4
          muls r4, r3, r4
          smull r12, r4, r5, r4
        ",
        round!("r4", "r6"),
        "
          str r4, [r0], #4
          subs r2, r2, #1
          bne 1b
          pop {r4-r6}
          bx lr
        ",
        options(raw)
    )
}

/// Shifts pairs of values right by `narrow`, rotates them, and shifts the products right by
/// `15 - narrow`.
///
/// # Safety
/// `values` and `angles` have `2 * pairs` values, and `pairs` is not 0; `narrow` is from 1 to 14.
#[unsafe(naked)]
unsafe extern "C" fn rotate_loop(values: *mut i32, angles: *const i16, pairs: usize, narrow: u32) {
    naked_asm!(
        "
          push {r4-r10, lr}
          rsb r12, r3, #15
          add lr, r0, r2, lsl #2
        1:
          ldr r4, [r0]
          ldr r5, [lr]
          ldrsh r6, [r1], #4
          ldrsh r7, [r1, #-2]
        ",
        round!("r4", "r3"),
        round!("r5", "r3"),
        "
          mul r8, r4, r6
          mls r8, r5, r7, r8
          mul r9, r5, r6
          mla r9, r4, r7, r9
        ",
        round!("r8", "r12"),
        round!("r9", "r12"),
        "
          str r8, [r0], #4
          str r9, [lr], #4
          subs r2, r2, #1
          bne 1b
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// See [`Requantize::apply`].
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let count = accumulators.len().min(multipliers.len());
    if by.row.is_some() || !(1..=31).contains(&by.shift) || count == 0 {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    let shift = words::folded_shift(by);
    // SAFETY: they read and write `count` accumulators, which is not 0, and read as many
    // multipliers.
    unsafe {
        if shift > 0 {
            requantize_loop(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, shift as u32);
        } else {
            let by = Scaling { factor: 1 << (by.headroom & 31), shift: by.shift };
            scale_loop(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, &by);
        }
    }
    scalar::add(accumulators, biases);
}

/// See [`magnitude_bits`](crate::fixed::magnitude_bits).
fn magnitude_bits(row: &[i32]) -> u32 {
    // SAFETY: it reads the row.
    32 - unsafe { magnitudes(row.as_ptr(), row.len()) }.leading_zeros()
}

/// See [`NormRow::apply`].
pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let narrow = magnitude_bits(row).saturating_sub(15);
    if by.centered || narrow == 0 || row.len() > by.weights.len() {
        return (scalar::SCALAR.norm)(row, by);
    }
    // SAFETY: it reads and writes the row, which is not empty: a value has more than 15 bits.
    let squares = unsafe { squares(row.as_mut_ptr(), row.len(), narrow) };
    let (inverse, shift) = by.inverse(squares, narrow);
    if (1..=31).contains(&shift) {
        let scaling = Scaling { factor: inverse, shift };
        // SAFETY: it reads and writes the row, which is not empty, and reads as many
        // weights.
        unsafe { scale_loop(row.as_mut_ptr(), by.weights.as_ptr(), row.len(), &scaling) };
    } else {
        for (x, &weight) in row.iter_mut().zip(by.weights) {
            *x = shift_round(mul_high(x.wrapping_mul(inverse), weight), shift);
        }
    }
    scalar::add(row, by.biases);
}

/// See [`rotate`](crate::kernels::scalar::rotary::rotate).
pub(super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let pairs = angles.len() / 2;
    for head in row.chunks_exact_mut(head_dim.max(1)) {
        let narrow = head.get(..2 * pairs).map_or(0, magnitude_bits).saturating_sub(14);
        if !(1..=14).contains(&narrow) {
            (scalar::SCALAR.rotate)(head, angles, head_dim);
            continue;
        }
        // SAFETY: it reads and writes `2 * pairs` values; a value has more than 14 bits, so `pairs`
        // is not 0.
        unsafe { rotate_loop(head.as_mut_ptr(), angles.as_ptr(), pairs, narrow) };
    }
}

/// See [`quantize16`](crate::kernels::scalar::rows::quantize16).
pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    if shift == 0 || out.len() != row.len() {
        return (scalar::SCALAR.quantize16)(out, row, bits);
    }
    // SAFETY: it reads the row and writes as many values.
    unsafe { narrow(out.as_mut_ptr(), row.as_ptr(), row.len(), shift) };
    Scale::power_of_two(shift)
}
