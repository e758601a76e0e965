//! Rows of fixed-point values: quantization, requantization, norms, rotations.
//!
//! A rounding shift is `ASRS`, which leaves the last bit shifted out in the carry, and `ADCS`,
//! which adds it.

use core::arch::naked_asm;

use super::super::arguments::Scaling;

use crate::fixed::{Scale, mul_high, shift_round};
use crate::kernels::table::{NormRow, Requantize};
use crate::kernels::{scalar, words};

/// Replaces each accumulator by the high half of its product with its multiplier, shifted and
/// rounded.
///
/// # Safety
/// `multipliers` ends at `end`, and has at least one value; `accumulators` has as many values, of
/// magnitude at most `2^30`. `shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn requantize_loop(accumulators: *mut i32, multipliers: *const i32, end: *const i32, shift: i32) {
    naked_asm!(
        save!(),
        "
          mov r8, r2
        1:
          ldr r4, [r0]
          ldmia r1!, {r5}
          // The high half of the product, from four products of halves. The low half of the
          // accumulator is signed, so that no sum overflows.
          sxth r6, r4
          subs r4, r4, r6
          asrs r4, r4, #16
          uxth r7, r5
          asrs r5, r5, #16
          movs r2, r6
          muls r2, r7
          asrs r2, r2, #16
          muls r7, r4
          adds r7, r7, r2
          muls r6, r5
          adds r7, r7, r6
          muls r4, r5
          asrs r7, r7, #16
          adds r4, r4, r7
          movs r5, #0
          asrs r4, r3
          adcs r4, r5
          stmia r0!, {r4}
          cmp r1, r8
          bne 1b
        ",
        restore!(),
        options(raw)
    )
}

/// Multiplies values by `factor`, then replaces each by the high half of its product with its
/// multiplier, shifted and rounded.
///
/// # Safety
/// `multipliers` ends at `end`, and has at least one value; `values` has as many. `by.shift` is
/// from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn scale_loop(values: *mut i32, multipliers: *const i32, end: *const i32, by: &Scaling) {
    naked_asm!(
        save!(),
        "
          mov r8, r2
          ldmia r3!, {r2, r4}
          mov r9, r4
        1:
          ldr r4, [r0]
          ldmia r1!, {r5}
          muls r4, r2
          // The high half of the product, from four products of halves.
          uxth r6, r4
          asrs r4, r4, #16
          uxth r7, r5
          asrs r5, r5, #16
          movs r3, r6
          muls r3, r7
          lsrs r3, r3, #16
          muls r7, r4
          adds r7, r7, r3
          muls r6, r5
          muls r4, r5
          uxth r3, r7
          adds r6, r6, r3
          asrs r7, r7, #16
          asrs r6, r6, #16
          adds r4, r4, r7
          adds r4, r4, r6
          movs r5, #0
          mov r3, r9
          asrs r4, r3
          adcs r4, r5
          stmia r0!, {r4}
          cmp r1, r8
          bne 1b
        ",
        restore!(),
        options(raw)
    )
}

/// Shifts values right with rounding, saturates them at 32,767, and returns the sum of their
/// squares.
///
/// # Safety
/// `row` ends at `end`, and has at least one value; `shift` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn squares(row: *mut i32, end: *const i32, shift: u32) -> u64 {
    naked_asm!(
        "
          push {r4-r7, lr}
          movs r3, #0
          movs r4, #0
          movs r6, #0
          ldr r7, =0x7fff
        1:
          ldr r5, [r0]
          asrs r5, r2
          adcs r5, r6
          cmp r5, r7
          ble 2f
          movs r5, r7
        2:
          stmia r0!, {r5}
          muls r5, r5
          adds r3, r3, r5
          adcs r4, r6
          cmp r0, r1
          bne 1b
          movs r0, r3
          movs r1, r4
          pop {r4-r7, pc}
          .ltorg
        ",
        options(raw)
    )
}

/// Shifts pairs of values right by `narrow`, rotates them, and shifts the products right by
/// `15 - narrow`.
///
/// # Safety
/// `first` ends where `second` begins, and both have as many values as there are pairs of `angles`,
/// at least one; `narrow` is from 1 to 14.
#[unsafe(naked)]
unsafe extern "C" fn rotate_loop(first: *mut i32, second: *mut i32, angles: *const i16, narrow: u32) {
    naked_asm!(
        save!(),
        "
          mov r11, r1
          movs r4, #15
          subs r4, r4, r3
          mov r10, r4
        1:
          ldr r4, [r0]
          ldr r5, [r1]
          movs r7, #0
          asrs r4, r3
          adcs r4, r7
          asrs r5, r3
          adcs r5, r7
          ldrsh r6, [r2, r7]
          movs r7, #2
          ldrsh r7, [r2, r7]
          adds r2, #4
          mov r8, r4
          mov r9, r5
          muls r4, r6
          muls r5, r7
          subs r4, r4, r5
          mov r5, r9
          muls r5, r6
          mov r6, r8
          muls r6, r7
          adds r5, r5, r6
          mov r6, r10
          movs r7, #0
          asrs r4, r6
          adcs r4, r7
          asrs r5, r6
          adcs r5, r7
          stmia r0!, {r4}
          stmia r1!, {r5}
          cmp r0, r11
          bne 1b
        ",
        restore!(),
        options(raw)
    )
}

/// Returns a value with as many bits as the largest magnitude of a row.
///
/// # Safety
/// `row` has `2 * pairs` values, and that is not 0.
#[unsafe(naked)]
unsafe extern "C" fn magnitudes(row: *const i32, pairs: usize) -> u32 {
    naked_asm!(
        "
          push {r4, r5}
          movs r2, #0
        1:
          ldmia r0!, {r3, r4}
          asrs r5, r3, #31
          eors r3, r5
          orrs r2, r3
          asrs r5, r4, #31
          eors r4, r5
          orrs r2, r4
          subs r1, r1, #1
          bne 1b
          movs r0, r2
          pop {r4, r5}
          bx lr
        ",
        options(raw)
    )
}

/// Shifts and rounds a value, saturates it at 32,767, and stores it at `$at`.
macro_rules! narrowed {
    ($x:expr, $at:expr) => {
        lines!(
            concat!("asrs ", $x, ", r3"),
            concat!("adcs ", $x, ", r6"),
            concat!("cmp ", $x, ", r7"),
            "ble 2f",
            concat!("movs ", $x, ", r7"),
            "2:",
            concat!("strh ", $x, ", [r0, #", $at, "]")
        )
    };
}

/// Shifts values right with rounding, and saturates them at 32,767.
///
/// # Safety
/// `row` has `2 * pairs` values, and that is not 0; `out` has room for them. `shift` is from 1 to
/// 31.
#[unsafe(naked)]
unsafe extern "C" fn narrow(out: *mut i16, row: *const i32, pairs: usize, shift: u32) {
    naked_asm!(
        "
          push {r4-r7}
          movs r6, #0
          ldr r7, =0x7fff
        1:
          ldmia r1!, {r4, r5}
        ",
        narrowed!("r4", "0"),
        narrowed!("r5", "2"),
        "
          adds r0, #4
          subs r2, r2, #1
          bne 1b
          pop {r4-r7}
          bx lr
          .ltorg
        ",
        options(raw)
    )
}

/// See [`Requantize::apply`].
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let same = accumulators.len() == multipliers.len() && !accumulators.is_empty();
    if by.row.is_some() || !(1..=31).contains(&by.shift) || !same {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    let (out, range) = (accumulators.as_mut_ptr(), multipliers.as_ptr_range());
    let shift = words::folded_shift(by);
    // SAFETY: they read and write all accumulators, at least one, and read as many multipliers.
    unsafe {
        if shift > 0 && by.headroom > 0 {
            requantize_loop(out, range.start, range.end, shift);
        } else {
            let by = Scaling { factor: 1 << (by.headroom & 31), shift: by.shift };
            scale_loop(out, range.start, range.end, &by);
        }
    }
    scalar::add(accumulators, biases);
}

/// See [`magnitude_bits`](crate::fixed::magnitude_bits), for rows of even length; 0 for others.
fn magnitude_bits(row: &[i32]) -> u32 {
    if row.is_empty() || !row.len().is_multiple_of(2) {
        return 0;
    }
    // SAFETY: it reads the row, which has at least one pair.
    32 - unsafe { magnitudes(row.as_ptr(), row.len() / 2) }.leading_zeros()
}

/// See [`quantize16`](crate::kernels::scalar::rows::quantize16).
pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    if shift == 0 || out.len() != row.len() {
        return (scalar::SCALAR.quantize16)(out, row, bits);
    }
    // SAFETY: it reads the row, which has at least one pair, and writes as many values.
    unsafe { narrow(out.as_mut_ptr(), row.as_ptr(), row.len() / 2, shift) };
    Scale::power_of_two(shift)
}

/// See [`NormRow::apply`].
pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let narrow = magnitude_bits(row).saturating_sub(15);
    let Some(weights) = by.weights.get(..row.len()).filter(|_| !by.centered && narrow > 0) else {
        return (scalar::SCALAR.norm)(row, by);
    };
    let range = row.as_mut_ptr_range();
    // SAFETY: it reads and writes the row, which is not empty: a value has more than 15 bits.
    let squares = unsafe { squares(range.start, range.end, narrow) };
    let (inverse, shift) = by.inverse(squares, narrow);
    let ends = weights.as_ptr_range();
    if (1..=31).contains(&shift) {
        let scaling = Scaling { factor: inverse, shift };
        // SAFETY: it reads and writes the row, which has at least one value, and reads as many
        // weights.
        unsafe { scale_loop(range.start, ends.start, ends.end, &scaling) };
    } else {
        for (x, &weight) in row.iter_mut().zip(weights) {
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
        let (first, second) = head.split_at_mut_checked(pairs).unwrap_or((&mut [], &mut []));
        if (1..=14).contains(&narrow) {
            // SAFETY: it reads and writes `pairs` values of both halves; a value has more than 14
            // bits, so `pairs` is not 0.
            unsafe { rotate_loop(first.as_mut_ptr(), second.as_mut_ptr(), angles.as_ptr(), narrow) };
        } else {
            (scalar::SCALAR.rotate)(head, angles, head_dim);
        }
    }
}
