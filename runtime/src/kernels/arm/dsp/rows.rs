//! Rows of fixed-point values: requantization, norms, sums, rotations.
//!
//! Loops take four values at a time, then one.

use core::arch::naked_asm;

use super::quantize::{bits_of, magnitude};
use crate::fixed::{mean, shift_round};
use crate::kernels::table::{NormRow, Requantize};

/// Shifts values right with rounding, in place, saturates them to 16 bits, and returns the sum of
/// their squares.
///
/// # Safety
/// `row` has `count` values; `shift` is below 32.
#[unsafe(naked)]
unsafe extern "C" fn squares(row: *mut i32, count: usize, shift: u32) -> u64 {
    macro_rules! squared {
        ($registers:literal) => {
            each!($registers, lines!(round!(r"\x", "r2"), r"ssat \x, #16, \x", r"smlal r3, r12, \x, \x"))
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r7, lr}
          movs r3, #0
          mov r12, r3
        ",
        many_then_one!(
            4,
            "r1",
            lines!("ldm r0, {r4-r7}", squared!("r4, r5, r6, r7"), "stmia r0!, {r4-r7}"),
            lines!("ldr r4, [r0]", squared!("r4"), "str r4, [r0], #4")
        ),
        "
          mov r0, r3
          mov r1, r12
          pop {r4-r7, pc}
        ",
        options(raw)
    )
}

/// The scaling of a row.
#[repr(C)]
struct Scaling {
    /// The right shift of products.
    shift: i32,
    /// The factor of all values.
    factor: i32,
    /// The factor of all multipliers; 0 for none.
    mantissa: i32,
}

/// Multiplies values by `factor`, then replaces each by the high half of its product with its
/// multiplier, shifted and rounded.
///
/// # Safety
/// `row` and `multipliers` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn scale_loop(row: *mut i32, multipliers: *const i32, count: usize, by: &Scaling) {
    macro_rules! scaled {
        ($x:literal, $multiplier:literal) => {
            lines!(
                concat!("mul ", $x, ", ", $x, ", r4"),
                concat!("smmul ", $x, ", ", $x, ", ", $multiplier),
                round!($x, "r3")
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r3-r5}
        ",
        many_then_one!(
            4,
            "r2",
            lines!(
                "
                  ldm r0, {r6-r9}
                  ldmia r1!, {r10-r12, lr}
                  cbz r5, 5f
                ",
                each!("r10, r11, r12, lr", r"smmul \x, \x, r5"),
                "5:",
                scaled!("r6", "r10"),
                scaled!("r7", "r11"),
                scaled!("r8", "r12"),
                scaled!("r9", "lr"),
                "stmia r0!, {r6-r9}"
            ),
            lines!(
                "
                  ldr r6, [r0]
                  ldr r10, [r1], #4
                  cbz r5, 6f
                  smmul r10, r10, r5
                6:
                ",
                scaled!("r6", "r10"),
                "str r6, [r0], #4"
            )
        ),
        "pop {r4-r11, pc}",
        options(raw)
    )
}

/// The conversion of accumulators to fixed-point values.
#[repr(C)]
struct Rounding {
    /// The right shift of products, at most 30.
    shift: u32,
    /// `1 << (shift - 1)`, to round. The high half of a product is at most 2^30, so the sum fits
    /// 32 bits.
    half: i32,
    /// The biases.
    biases: *const i32,
}

/// The text of a function that replaces each value by the high half of its product with its
/// multiplier, shifted and rounded. `$fours` and `$ones` are further instructions for four values
/// and for one.
macro_rules! requantize_text {
    ($fours:expr, $ones:expr) => {
        lines!(
            cpu!(),
            "push {r4-r11, lr}",
            "ldm r3, {r3, r12, lr}",
            many_then_one!(
                4,
                "r2",
                lines!(
                    "ldm r0, {r4-r7}",
                    "ldmia r1!, {r8-r11}",
                    "smmla r4, r4, r8, r12",
                    "smmla r5, r5, r9, r12",
                    "smmla r6, r6, r10, r12",
                    "smmla r7, r7, r11, r12",
                    each!("r4, r5, r6, r7", r"asr \x, \x, r3"),
                    $fours,
                    "stmia r0!, {r4-r7}"
                ),
                lines!(
                    "ldr r4, [r0]",
                    "ldr r8, [r1], #4",
                    "smmla r4, r4, r8, r12",
                    "asr r4, r4, r3",
                    $ones,
                    "str r4, [r0], #4"
                )
            ),
            "pop {r4-r11, pc}"
        )
    };
}

/// Replaces each value by the high half of its product with its multiplier, shifted and rounded.
///
/// # Safety
/// `row` and `multipliers` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn requantize_loop(row: *mut i32, multipliers: *const i32, count: usize, by: &Rounding) {
    naked_asm!(requantize_text!("", ""), options(raw))
}

/// [`requantize_loop`] that adds a bias to each value, saturating.
///
/// # Safety
/// `row`, `multipliers` and `by.biases` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn requantize_with_biases(row: *mut i32, multipliers: *const i32, count: usize, by: &Rounding) {
    naked_asm!(
        requantize_text!(
            "
              ldmia lr!, {r8-r11}
              qadd r4, r4, r8
              qadd r5, r5, r9
              qadd r6, r6, r10
              qadd r7, r7, r11
            ",
            "
              ldr r8, [lr], #4
              qadd r4, r4, r8
            "
        ),
        options(raw)
    )
}

/// Returns the sum of a row.
///
/// # Safety
/// `row` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn total(row: *const i32, count: usize) -> i64 {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          movs r2, #0
          mov r3, r2
          mov lr, #1
        ",
        many_then_one!(
            8,
            "r1",
            lines!("ldmia r0!, {r4-r11}", each!("r4, r5, r6, r7, r8, r9, r10, r11", r"smlal r2, r3, \x, lr")),
            "
              ldr r4, [r0], #4
              smlal r2, r3, r4, lr
            "
        ),
        "
          mov r0, r2
          mov r1, r3
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Subtracts `center` from all values, saturating, and returns [`magnitude`] of the results.
///
/// # Safety
/// `row` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn center_loop(row: *mut i32, count: usize, center: i32) -> u32 {
    macro_rules! centered {
        ($registers:literal) => {
            each!($registers, lines!(r"qsub \x, \x, r2", r"eor r12, \x, \x, asr #31", r"orr r3, r3, r12"))
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r7, lr}
          movs r3, #0
        ",
        many_then_one!(
            4,
            "r1",
            lines!("ldm r0, {r4-r7}", centered!("r4, r5, r6, r7"), "stmia r0!, {r4-r7}"),
            lines!("ldr r4, [r0]", centered!("r4"), "str r4, [r0], #4")
        ),
        "
          mov r0, r3
          pop {r4-r7, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `row` and `other` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn add_loop(row: *mut i32, other: *const i32, count: usize) {
    naked_asm!(
        cpu!(),
        "push {r4-r10, lr}",
        many_then_one!(
            4,
            "r2",
            "
              ldm r0, {r3-r6}
              ldmia r1!, {r7-r10}
              qadd r3, r3, r7
              qadd r4, r4, r8
              qadd r5, r5, r9
              qadd r6, r6, r10
              stmia r0!, {r3-r6}
            ",
            "
              ldr r3, [r0]
              ldr r7, [r1], #4
              qadd r3, r3, r7
              str r3, [r0], #4
            "
        ),
        "pop {r4-r10, pc}",
        options(raw)
    )
}

/// Arguments of [`rotate_loop`] in addition to two pointers.
#[repr(C)]
struct Heads {
    count: usize,
    /// Bytes per head.
    bytes: usize,
    /// The number of pairs to rotate in each head.
    pairs: usize,
}

/// # Safety
/// `row` has `count` heads of `bytes` bytes, which hold at least `2 * pairs` values, and `angles`
/// has `2 * pairs` values. Neither `count` nor `pairs` is 0.
#[unsafe(naked)]
unsafe extern "C" fn rotate_loop(row: *mut i32, angles: *const i16, heads: &Heads) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r2, {r2-r4}
        1:
          mov r5, r0
          mov r6, r4
          movs r7, #0
        2:
          ldrd r8, r9, [r5], #8
          eor r8, r8, r8, asr #31
          orr r7, r7, r8
          eor r9, r9, r9, asr #31
          orr r7, r7, r9
          subs r6, r6, #1
          bne 2b
          // The shift to 14 bits, and the shift of the products.
          clz r7, r7
          rsb r7, r7, #18
          usat r7, #5, r7
          rsb r12, r7, #15
          usat lr, #5, r12
          mov r5, r0
          mov r10, r1
          rsb r11, r4, #0
          // Clear the carry, which a shift by 0 does not change.
          cmn r11, #0
        3:
          ldr r8, [r5]
          ldr r9, [r5, r4, lsl #2]
        ",
        round!("r8", "r7"),
        round!("r9", "r7"),
        "
          pkhbt r8, r8, r9, lsl #16
          ldr r9, [r10], #4
          smusd r6, r8, r9
          smuadx r8, r8, r9
          cmn r11, #0
        ",
        round!("r6", "lr"),
        round!("r8", "lr"),
        "
          str r8, [r5, r4, lsl #2]
          str r6, [r5], #4
          adds r11, r11, #1
          bne 3b
          // Only rows of very large values are shifted left.
          cmp r12, #0
          bmi 5f
        4:
          add r0, r0, r3
          subs r2, r2, #1
          bne 1b
          pop {r4-r11, pc}
        5:
          lsl r11, r4, #1
          mov r5, r0
        6:
          ldr r8, [r5]
          mov r6, r12
        7:
          qadd r8, r8, r8
          adds r6, r6, #1
          bne 7b
          str r8, [r5], #4
          subs r11, r11, #1
          bne 6b
          b 4b
        ",
        options(raw)
    )
}

/// Replaces each value by the high half of `row[i] * factor * multipliers[i]`, shifted and rounded.
/// Multipliers are multiplied by `mantissa` first, unless it is 0.
fn scale(row: &mut [i32], multipliers: &[i32], shift: i32, factor: i32, mantissa: i32) {
    let count = row.len().min(multipliers.len());
    let by = Scaling { shift: shift.clamp(0, 255), factor, mantissa };
    // SAFETY: it reads `count` values of both slices, and writes as many.
    unsafe { scale_loop(row.as_mut_ptr(), multipliers.as_ptr(), count, &by) };
    if shift < 0 {
        row.iter_mut().take(count).for_each(|x| *x = shift_round(*x, shift));
    }
}

/// See [`Kernels::add`](crate::kernels::Kernels::add).
pub(super) fn add(row: &mut [i32], other: &[i32]) {
    let count = row.len().min(other.len());
    // SAFETY: it reads `count` values of both slices, and writes as many.
    unsafe { add_loop(row.as_mut_ptr(), other.as_ptr(), count) };
}

/// See [`Requantize::apply`].
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let count = accumulators.len().min(multipliers.len());
    // If the shift exceeds the headroom, both shifts are folded into one, with equal results.
    if let (None, Some(shift @ 1..=30)) = (by.row, by.shift.checked_sub_unsigned(by.headroom))
        && by.shift < 32
    {
        let rounding = Rounding { shift: shift.cast_unsigned(), half: 1 << (shift - 1), biases: biases.as_ptr() };
        let with_biases = biases.len() >= count;
        let multiply = if with_biases { requantize_with_biases } else { requantize_loop };
        // SAFETY: it reads `count` values of each slice, and writes as many.
        unsafe { multiply(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, &rounding) };
        if with_biases {
            return;
        }
    } else {
        scale(accumulators, multipliers, by.shift, 1 << by.headroom, by.row.unwrap_or(0));
    }
    if !biases.is_empty() {
        add(accumulators, biases);
    }
}

/// See [`NormRow::apply`].
pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    // SAFETY: they read the slice, and one writes it.
    let magnitude = unsafe {
        if by.centered {
            let center = mean(total(row.as_ptr(), row.len()), row.len() as u32);
            center_loop(row.as_mut_ptr(), row.len(), center)
        } else {
            magnitude(row.as_ptr(), row.len())
        }
    };
    let narrow = bits_of(magnitude).saturating_sub(15);
    // SAFETY: it reads and writes a slice.
    let squares = unsafe { squares(row.as_mut_ptr(), row.len(), narrow) };
    let (inverse, shift) = by.inverse(squares, narrow);
    scale(row, by.weights, shift, inverse, 0);
    add(row, by.biases);
}

/// See [`rotate`](crate::kernels::scalar::rotary::rotate).
pub(super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let (count, pairs) = (row.len() / head_dim.max(1), angles.len() / 2);
    if count == 0 || pairs == 0 || 2 * pairs > head_dim {
        return;
    }
    // SAFETY: it reads and writes `count` heads of the row, and reads two angles for each pair, as
    // a word, which needs no alignment.
    unsafe { rotate_loop(row.as_mut_ptr(), angles.as_ptr(), &Heads { count, bytes: 4 * head_dim, pairs }) };
}
