//! Rows of fixed-point values: quantization, requantization, norms, sums, rotations.
//!
//! `VQRSHL` by a negative number shifts right and rounds half up without overflow; by a positive
//! number it shifts left and saturates. Both are what [`shift_round`](crate::fixed::shift_round)
//! does. `VMULH` is the high half of a product.

use core::arch::naked_asm;

use super::super::arguments::Scaling;

use crate::fixed::{Scale, magnitude_bits, mean};
use crate::kernels::scalar;
use crate::kernels::scalar::rows::scale8;
use crate::kernels::table::{NormRow, Requantize};

/// The conversion of accumulators to values.
#[repr(C)]
struct Shifts {
    /// The left shift of accumulators.
    headroom: i32,
    /// The left shift of products; negative shifts right.
    shift: i32,
}

/// The conversion of accumulators to values for a row with a multiplier.
#[repr(C)]
struct ShiftsAndRow {
    /// The left shift of accumulators.
    headroom: i32,
    /// The left shift of products; negative shifts right.
    shift: i32,
    /// The multiplier of the row.
    row: i32,
}

/// # Safety
/// `accumulators` and `multipliers` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn requantize_row(accumulators: *mut i32, multipliers: *const i32, count: usize, by: &ShiftsAndRow) {
    naked_asm!(
        cpu!(),
        "
          push {r4, r5, r7, lr}
          ldm r3, {r3, r4, r5}
          vdup.32 q2, r5
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q1, [r1], #16
          vldrw.u32 q0, [r0]
          vmulh.s32 q1, q1, q2
          vshl.s32 q0, r3
          vmulh.s32 q0, q0, q1
          vqrshl.s32 q0, r4
          vstrw.32 q0, [r0], #16
          letp lr, 1b
        2:
          pop {r4, r5, r7, pc}
        ",
        options(raw)
    )
}

/// [`requantize_row`] for a row whose multiplier is a power of two.
///
/// # Safety
/// `accumulators` and `multipliers` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn requantize_power(accumulators: *mut i32, multipliers: *const i32, count: usize, by: &Shifts) {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
          ldm r3, {r3, r4}
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q0, [r0]
          vldrw.u32 q1, [r1], #16
          vshl.s32 q0, r3
          vmulh.s32 q0, q0, q1
          vqrshl.s32 q0, r4
          vstrw.32 q0, [r0], #16
          letp lr, 1b
        2:
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `values` and `others` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn add_loop(values: *mut i32, others: *const i32, count: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q0, [r0]
          vldrw.u32 q1, [r1], #16
          vqadd.s32 q0, q0, q1
          vstrw.32 q0, [r0], #16
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// Subtracts `center` from all values, saturating.
///
/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn subtract(values: *mut i32, count: usize, center: i32) {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          wlstp.32 lr, r1, 2f
        1:
          vldrw.u32 q0, [r0]
          vqsub.s32 q0, q0, r2
          vstrw.32 q0, [r0], #16
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// Returns the largest magnitude.
///
/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn abs_max(values: *const i32, count: usize) -> u32 {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          movs r2, #0
          wlstp.32 lr, r1, 2f
        1:
          vldrw.u32 q0, [r0], #16
          vmaxav.s32 r2, q0
          letp lr, 1b
        2:
          mov r0, r2
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// Returns a value with as many bits as the largest magnitude.
///
/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn bits(values: *const i32, count: usize) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          movs r2, #0
          mov r3, #-1
          wlstp.32 lr, r1, 2f
        1:
          vldrw.u32 q0, [r0], #16
          vmaxv.s32 r2, q0
          vminv.s32 r3, q0
          letp lr, 1b
        2:
          orn r0, r2, r3
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// The quantization of a row to bytes: see [`scale8`].
#[repr(C)]
struct Bytes {
    /// The left shift of values; negative shifts right.
    lift: i32,
    inverse: i32,
    /// The left shift of the products with `inverse`: negative, so that it shifts right.
    shift: i32,
}

/// # Safety
/// `values` has `count` values, and `out` has room for them.
#[unsafe(naked)]
unsafe extern "C" fn quantize8_loop(out: *mut i8, values: *const i32, count: usize, by: &Bytes) {
    naked_asm!(
        cpu!(),
        "
          push {r4, r5, r7, lr}
          ldm r3, {r3, r4, r5}
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q0, [r1], #16
          vshl.s32 q0, r3
          vmul.i32 q0, q0, r4
          vrshl.s32 q0, r5
          vstrb.32 q0, [r0], #4
          letp lr, 1b
        2:
          pop {r4, r5, r7, pc}
        ",
        options(raw)
    )
}

/// Shifts values left by `shift`, or right with rounding if it is negative, and saturates them at
/// 32,767.
///
/// # Safety
/// `values` has `count` values, and `out` has room for them.
#[unsafe(naked)]
unsafe extern "C" fn quantize16_loop(out: *mut i16, values: *const i32, count: usize, shift: i32) {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          movw r12, #32767
          vdup.32 q1, r12
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q0, [r1], #16
          vrshl.s32 q0, r3
          vmin.s32 q0, q0, q1
          vstrh.32 q0, [r0], #8
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn sum(values: *const i32, count: usize) -> i64 {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          mov r2, r0
          mov r12, r1
          movs r0, #0
          movs r1, #0
          wlstp.32 lr, r12, 2f
        1:
          vldrw.u32 q0, [r2], #16
          vaddlva.s32 r0, r1, q0
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// Applies [`quantize16_loop`] to values in place, and returns the sum of their squares.
///
/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn squares(values: *mut i32, count: usize, shift: i32) -> u64 {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          movw r12, #32767
          vdup.32 q1, r12
          mov r3, r0
          mov r12, r1
          movs r0, #0
          movs r1, #0
          wlstp.32 lr, r12, 2f
        1:
          vldrw.u32 q0, [r3]
          vrshl.s32 q0, r2
          vmin.s32 q0, q0, q1
          vstrw.32 q0, [r3], #16
          vmlaldava.s32 r0, r1, q0, q0
          letp lr, 1b
        2:
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// Multiplies values by `factor`, then replaces each by the high half of its product with its
/// weight, shifted and rounded.
///
/// # Safety
/// `values` and `weights` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn scale_loop(values: *mut i32, weights: *const i32, count: usize, by: &Scaling) {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
          ldm r3, {r3, r4}
          wlstp.32 lr, r2, 2f
        1:
          vldrw.u32 q0, [r0]
          vldrw.u32 q1, [r1], #16
          vmul.i32 q0, q0, r3
          vmulh.s32 q0, q0, q1
          vqrshl.s32 q0, r4
          vstrw.32 q0, [r0], #16
          letp lr, 1b
        2:
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// Arguments of [`rotate_loop`] in addition to two pointers.
#[repr(C)]
struct Heads {
    /// The number of pairs to rotate in each head.
    pairs: usize,
    head_dim: usize,
    count: usize,
}

/// # Safety
/// `values` has `count` heads of `head_dim` values, at least `2 * pairs`, and `angles` has
/// `2 * pairs` values, at a word boundary. Neither `pairs` nor `count` is 0.
#[unsafe(naked)]
unsafe extern "C" fn rotate_loop(values: *mut i32, angles: *const i16, heads: &Heads) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r10, lr}
          vpush {d8-d9}
          ldm r2, {r2, r3, r12}
        1:
          mov r4, r0
          add r5, r0, r2, lsl #2
          movs r6, #0
          mov r7, #-1
          lsls r8, r2, #1
          dlstp.32 lr, r8
        2:
          vldrw.u32 q0, [r4], #16
          vmaxv.s32 r6, q0
          vminv.s32 r7, q0
          letp lr, 2b
          // Shift out the bits beyond 14, and shift the products with Q15 angles right by 15
          // minus that number.
          orn r6, r6, r7
          clz r6, r6
          subs r7, r6, #18
          it pl
          movpl r7, #0
          mvn r6, r7
          subs r6, #14
          mov r4, r0
          mov r8, r1
          dlstp.32 lr, r2
        3:
          vldrw.u32 q2, [r8], #16
          vldrw.u32 q0, [r4]
          vmovlb.s16 q3, q2
          vldrw.u32 q1, [r5]
          vshr.s32 q2, q2, #16
          vrshl.s32 q0, r7
          vrshl.s32 q1, r7
          vmul.i32 q4, q0, q3
          vmul.i32 q0, q0, q2
          vmul.i32 q2, q1, q2
          vmul.i32 q1, q1, q3
          vsub.i32 q4, q4, q2
          vadd.i32 q1, q1, q0
          vqrshl.s32 q4, r6
          vqrshl.s32 q1, r6
          vstrw.32 q4, [r4], #16
          vstrw.32 q1, [r5], #16
          letp lr, 3b
          add r0, r0, r3, lsl #2
          subs r12, r12, #1
          bne 1b
          vpop {d8-d9}
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::add`](crate::kernels::Kernels::add).
pub(super) fn add(row: &mut [i32], others: &[i32]) {
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { add_loop(row.as_mut_ptr(), others.as_ptr(), row.len().min(others.len())) };
}

/// A value with as many bits as the row's largest magnitude.
fn widest(row: &[i32]) -> i32 {
    // SAFETY: it reads the slice.
    unsafe { bits(row.as_ptr(), row.len()) }
}

/// The argument of `VQRSHL` for [`shift_round`](crate::fixed::shift_round) by `shift`: negative
/// shifts right.
fn shift_of(shift: i32) -> i32 {
    -shift.clamp(-31, 32)
}

/// See [`Requantize::apply`].
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let count = accumulators.len().min(multipliers.len());
    let (headroom, shift) = (by.headroom as i32, shift_of(by.shift));
    let (out, multipliers) = (accumulators.as_mut_ptr(), multipliers.as_ptr());
    // SAFETY: they read and write `count` accumulators and read as many multipliers.
    unsafe {
        match by.row {
            Some(row) => requantize_row(out, multipliers, count, &ShiftsAndRow { headroom, shift, row }),
            None => requantize_power(out, multipliers, count, &Shifts { headroom, shift }),
        }
    }
    if !biases.is_empty() {
        add(accumulators, biases);
    }
}

/// See [`quantize8`](crate::kernels::scalar::rows::quantize8).
pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    // SAFETY: it reads the slice.
    let largest = unsafe { abs_max(row.as_ptr(), row.len()) }.min(i32::MAX as u32);
    let (scale, lift, inverse, shift) = scale8(largest);
    // Left by `lift`, then right by 15.
    let by = Bytes { lift: lift as i32 - 15, inverse, shift: -(shift as i32) };
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { quantize8_loop(out.as_mut_ptr(), row.as_ptr(), out.len().min(row.len()), &by) };
    scale
}

/// See [`quantize16`](crate::kernels::scalar::rows::quantize16).
pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    // The scale depends only on the number of bits.
    let scale = scalar::rows::quantize16(&mut [], &[widest(row)], bits);
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { quantize16_loop(out.as_mut_ptr(), row.as_ptr(), out.len().min(row.len()), -scale.power()) };
    scale
}

/// See [`NormRow::apply`].
pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let count = row.len();
    if by.centered {
        // SAFETY: they read and write the slice.
        unsafe {
            let center = mean(sum(row.as_ptr(), count), count as u32);
            subtract(row.as_mut_ptr(), count, center);
        }
    }
    let narrow = magnitude_bits(&[widest(row)]).saturating_sub(15);
    // SAFETY: it reads and writes the slice.
    let squares = unsafe { squares(row.as_mut_ptr(), count, -(narrow as i32)) };
    let (factor, shift) = by.inverse(squares, narrow);
    let scaling = Scaling { factor, shift: shift_of(shift) };
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { scale_loop(row.as_mut_ptr(), by.weights.as_ptr(), count.min(by.weights.len()), &scaling) };
    if !by.biases.is_empty() {
        add(row, by.biases);
    }
}

/// See [`rotate`](crate::kernels::scalar::rotary::rotate).
pub(super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let (pairs, count) = (angles.len() / 2, row.len() / head_dim.max(1));
    if !angles.as_ptr().addr().is_multiple_of(4) {
        return (scalar::SCALAR.rotate)(row, angles, head_dim);
    }
    if count > 0 && pairs > 0 && 2 * pairs <= head_dim {
        // SAFETY: it reads `pairs` pairs of angles at a word boundary, and reads and writes
        // `2 * pairs` values at the beginning of each head.
        unsafe { rotate_loop(row.as_mut_ptr(), angles.as_ptr(), &Heads { pairs, head_dim, count }) };
    }
}
