//! What is done to rows of fixed-point values.
//!
//! `VQRSHL` by a negative number shifts right and rounds half up, as if the sum with one half had more bits; by a positive one it
//! shifts left and saturates: all that [`shift_round`](crate::fixed::shift_round) does. `VMULH` is the high half of a product.

use super::super::super::scalar;
use crate::fixed::{Scale, magnitude_bits, mean};
use crate::kernels::scalar::rows::inverse_sqrt;
use crate::kernels::table::{NormRow, Requantize};

core::arch::global_asm!(
    r#"
    .cpu cortex-m55
    .syntax unified
    .thumb

    .macro kinglet_mve_begin name
    .section .text.kinglet_mve_\name, "ax", %progbits
    .global kinglet_mve_\name
    .type kinglet_mve_\name, %function
    .thumb_func
    kinglet_mve_\name:
    .endm

    // accumulators, multipliers, how many, shape: {{headroom, shift, the row's multiplier}}
    kinglet_mve_begin requantize
      push {{r4, r5, r7, lr}}
      ldm r3, {{r3, r4, r5}}
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
      pop {{r4, r5, r7, pc}}
    .size kinglet_mve_requantize, . - kinglet_mve_requantize

    // accumulators, multipliers, how many, shape: {{headroom, shift}}
    kinglet_mve_begin requantize_power
      push {{r4, lr}}
      ldm r3, {{r3, r4}}
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
      pop {{r4, pc}}
    .size kinglet_mve_requantize_power, . - kinglet_mve_requantize_power

    // values, what is added, how many
    kinglet_mve_begin add
      push {{r7, lr}}
      wlstp.32 lr, r2, 2f
    1:
      vldrw.u32 q0, [r0]
      vldrw.u32 q1, [r1], #16
      vqadd.s32 q0, q0, q1
      vstrw.32 q0, [r0], #16
      letp lr, 1b
    2:
      pop {{r7, pc}}
    .size kinglet_mve_add, . - kinglet_mve_add

    // values, how many, what is taken off
    kinglet_mve_begin lower
      push {{r7, lr}}
      wlstp.32 lr, r1, 2f
    1:
      vldrw.u32 q0, [r0]
      vqsub.s32 q0, q0, r2
      vstrw.32 q0, [r0], #16
      letp lr, 1b
    2:
      pop {{r7, pc}}
    .size kinglet_mve_lower, . - kinglet_mve_lower

    // values, how many; returns the largest magnitude
    kinglet_mve_begin abs_max
      push {{r7, lr}}
      movs r2, #0
      wlstp.32 lr, r1, 2f
    1:
      vldrw.u32 q0, [r0], #16
      vmaxav.s32 r2, q0
      letp lr, 1b
    2:
      mov r0, r2
      pop {{r7, pc}}
    .size kinglet_mve_abs_max, . - kinglet_mve_abs_max

    // values, how many; returns what has as many bits as any of them
    kinglet_mve_begin bits
      push {{r7, lr}}
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
      pop {{r7, pc}}
    .size kinglet_mve_bits, . - kinglet_mve_bits

    // out, values, how many, shape: {{first shift, factor, second shift}}
    kinglet_mve_begin quantize8
      push {{r4, r5, r7, lr}}
      ldm r3, {{r3, r4, r5}}
      wlstp.32 lr, r2, 2f
    1:
      vldrw.u32 q0, [r1], #16
      vshl.s32 q0, r3
      vmul.i32 q0, q0, r4
      vrshl.s32 q0, r5
      vstrb.32 q0, [r0], #4
      letp lr, 1b
    2:
      pop {{r4, r5, r7, pc}}
    .size kinglet_mve_quantize8, . - kinglet_mve_quantize8

    // out, values, how many, shift
    kinglet_mve_begin quantize16
      push {{r7, lr}}
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
      pop {{r7, pc}}
    .size kinglet_mve_quantize16, . - kinglet_mve_quantize16

    // values, how many; returns the sum in 64 bits
    kinglet_mve_begin sum
      push {{r7, lr}}
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
      pop {{r7, pc}}
    .size kinglet_mve_sum, . - kinglet_mve_sum

    // values, how many, shift; returns the sum of the squares in 64 bits
    kinglet_mve_begin squares
      push {{r7, lr}}
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
      pop {{r7, pc}}
    .size kinglet_mve_squares, . - kinglet_mve_squares

    // values, weights, how many, shape: {{factor, shift}}
    kinglet_mve_begin scale
      push {{r4, lr}}
      ldm r3, {{r3, r4}}
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
      pop {{r4, pc}}
    .size kinglet_mve_scale, . - kinglet_mve_scale

    // values, angles, shape: {{pairs, head_dim, heads}}
    kinglet_mve_begin rotate
      push {{r4-r10, lr}}
      vpush {{d8-d9}}
      ldm r2, {{r2, r3, r12}}
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
      // More than fourteen bits are shifted out, and a product of fifteen bits is shifted back by fifteen, less those.
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
      vpop {{d8-d9}}
      pop {{r4-r10, pc}}
    .size kinglet_mve_rotate, . - kinglet_mve_rotate

    // values, table, how many, the table's last index
    kinglet_mve_begin rectify
      push {{r7, lr}}
      vpush {{d8-d15}}
      vdup.32 q4, r3
      movw r12, #1023
      vdup.32 q5, r12
      vmov.i32 q6, #0
      movs r3, #1
      wlstp.32 lr, r2, 2f
    1:
      vldrw.u32 q0, [r0]
      vqabs.s32 q1, q0
      vshr.u32 q2, q1, #10
      vmin.u32 q2, q2, q4
      vldrh.s32 q3, [r1, q2, uxtw #1]
      vadd.i32 q2, q2, r3
      vmin.u32 q2, q2, q4
      vand q1, q1, q5
      vmax.s32 q0, q0, q6
      vldrh.s32 q7, [r1, q2, uxtw #1]
      vsub.i32 q2, q7, q3
      vmul.i32 q2, q2, q1
      vshr.s32 q2, q2, #10
      vadd.i32 q2, q2, q3
      vqadd.s32 q0, q0, q2
      vstrw.32 q0, [r0], #16
      letp lr, 1b
    2:
      vpop {{d8-d15}}
      pop {{r7, pc}}
    .size kinglet_mve_rectify, . - kinglet_mve_rectify

    // values, gates, how many, fraction bits
    kinglet_mve_begin gate
      push {{r4, lr}}
      rsb r12, r3, #32
      vdup.32 q3, r12
      subs r4, r3, #1
      mov r12, #-1
      lsl r4, r12, r4
      rsbs r3, r3, #0
      wlstp.32 lr, r2, 2f
    1:
      vldrw.u32 q1, [r1], #16
      vldrw.u32 q0, [r0]
      // The lower half is rounded; the upper one is shifted left, and saturates. Adding the lower one to that goes wrong where it
      // was too low.
      vmulh.s32 q2, q0, q1
      vmul.i32 q0, q0, q1
      vqshl.s32 q1, q2, q3
      vrshl.u32 q0, r3
      vqadd.s32 q0, q0, q1
      vpt.s32 lt, q2, r4
      vmovt.i32 q0, #0x80000000
      vstrw.32 q0, [r0], #16
      letp lr, 1b
    2:
      pop {{r4, pc}}
    .size kinglet_mve_gate, . - kinglet_mve_gate
    .purgem kinglet_mve_begin
    "#
);

unsafe extern "C" {
    fn kinglet_mve_requantize(accumulators: *mut i32, multipliers: *const i32, count: usize, shape: &[i32; 3]);
    fn kinglet_mve_requantize_power(accumulators: *mut i32, multipliers: *const i32, count: usize, shape: &[i32; 2]);
    fn kinglet_mve_add(values: *mut i32, others: *const i32, count: usize);
    fn kinglet_mve_lower(values: *mut i32, count: usize, by: i32);
    fn kinglet_mve_abs_max(values: *const i32, count: usize) -> u32;
    fn kinglet_mve_bits(values: *const i32, count: usize) -> i32;
    fn kinglet_mve_quantize8(out: *mut i8, values: *const i32, count: usize, shape: &[i32; 3]);
    fn kinglet_mve_quantize16(out: *mut i16, values: *const i32, count: usize, shift: i32);
    fn kinglet_mve_sum(values: *const i32, count: usize) -> i64;
    fn kinglet_mve_squares(values: *mut i32, count: usize, shift: i32) -> u64;
    fn kinglet_mve_scale(values: *mut i32, weights: *const i32, count: usize, shape: &[i32; 2]);
    fn kinglet_mve_rotate(values: *mut i32, angles: *const i16, shape: &[usize; 3]);
    fn kinglet_mve_rectify(values: *mut i32, table: *const i16, count: usize, last: usize);
    fn kinglet_mve_gate(values: *mut i32, gates: *const i32, count: usize, fraction_bits: u32);
}

/// `row += others`, saturating, as far as both go.
pub(super) fn add(row: &mut [i32], others: &[i32]) {
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { kinglet_mve_add(row.as_mut_ptr(), others.as_ptr(), row.len().min(others.len())) };
}

/// A value that has as many bits as any of the row.
fn widest(row: &[i32]) -> i32 {
    // SAFETY: it reads the slice.
    unsafe { kinglet_mve_bits(row.as_ptr(), row.len()) }
}

/// What a shift of vectors takes to do what [`shift_round`](crate::fixed::shift_round) does: right is negative.
fn shift_of(shift: i32) -> i32 {
    -shift.clamp(-31, 32)
}

pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let count = accumulators.len().min(multipliers.len());
    let (headroom, shift) = (by.headroom as i32, shift_of(by.shift));
    let (out, multipliers) = (accumulators.as_mut_ptr(), multipliers.as_ptr());
    // SAFETY: they read and write `count` accumulators and read as many multipliers.
    unsafe {
        match by.row {
            Some(row) => kinglet_mve_requantize(out, multipliers, count, &[headroom, shift, row]),
            None => kinglet_mve_requantize_power(out, multipliers, count, &[headroom, shift]),
        }
    }
    if !biases.is_empty() {
        add(accumulators, biases);
    }
}

pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    // SAFETY: it reads the slice.
    let largest = unsafe { kinglet_mve_abs_max(row.as_ptr(), row.len()) }.clamp(1, i32::MAX as u32);
    // The scale depends on nothing but the largest magnitude.
    let scale = scalar::rows::quantize8(&mut [], &[largest as i32]);
    let zeros = largest.leading_zeros() as i32;
    let carry = scale.exponent() + zeros - 14;
    let inverse = (1 << 25) / scale.mantissa().max(1);
    // Left by `zeros - 1`, and right by fifteen.
    let shape = [zeros - 16, inverse, -23 - carry];
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { kinglet_mve_quantize8(out.as_mut_ptr(), row.as_ptr(), out.len().min(row.len()), &shape) };
    scale
}

pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    // The scale depends on nothing but the number of bits.
    let scale = scalar::rows::quantize16(&mut [], &[widest(row)], bits);
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { kinglet_mve_quantize16(out.as_mut_ptr(), row.as_ptr(), out.len().min(row.len()), -scale.power()) };
    scale
}

pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let count = row.len();
    if by.centered {
        // SAFETY: they read and write the slice.
        unsafe {
            let center = mean(kinglet_mve_sum(row.as_ptr(), count), count as u32);
            kinglet_mve_lower(row.as_mut_ptr(), count, center);
        }
    }
    let narrow = magnitude_bits(&[widest(row)]).saturating_sub(15);
    // SAFETY: it reads and writes the slice.
    let squares = unsafe { kinglet_mve_squares(row.as_mut_ptr(), count, -(narrow as i32)) };
    let (inverse, half_exponent) = inverse_sqrt((squares + (by.epsilon >> (2 * narrow))).max(1));
    let shape = [inverse, shift_of(by.shift + half_exponent)];
    // SAFETY: it reads and writes as many values as the shorter slice has.
    unsafe { kinglet_mve_scale(row.as_mut_ptr(), by.weights.as_ptr(), count.min(by.weights.len()), &shape) };
    if !by.biases.is_empty() {
        add(row, by.biases);
    }
}

pub(super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let (pairs, heads) = (angles.len() / 2, row.len() / head_dim.max(1));
    if !angles.as_ptr().addr().is_multiple_of(4) {
        return (scalar::SCALAR.rotate)(row, angles, head_dim);
    }
    if heads > 0 && pairs > 0 && 2 * pairs <= head_dim {
        // SAFETY: it reads `pairs` pairs of angles at a word's boundary, and reads and writes twice as many values at the beginning of
        // each head.
        unsafe { kinglet_mve_rotate(row.as_mut_ptr(), angles.as_ptr(), &[pairs, head_dim, heads]) };
    }
}

pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let Some(last) = table.len().checked_sub(1) else {
        return values.iter_mut().for_each(|x| *x = (*x).max(0));
    };
    // SAFETY: it reads the table up to its last value, and reads and writes the other slice.
    unsafe { kinglet_mve_rectify(values.as_mut_ptr(), table.as_ptr(), values.len(), last) };
}

pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    if !(2..=31).contains(&fraction_bits) {
        return (scalar::SCALAR.gate)(values, gates, fraction_bits);
    }
    let count = values.len().min(gates.len());
    // SAFETY: it reads and writes `count` values, and reads as many gates.
    unsafe { kinglet_mve_gate(values.as_mut_ptr(), gates.as_ptr(), count, fraction_bits) };
}
