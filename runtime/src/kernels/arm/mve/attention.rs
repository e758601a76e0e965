//! From products of queries and keys to weights, and the sum of values by them.

use super::super::super::attend::ScoreFactor;
use super::super::super::scalar;
use crate::kernels::scalar::softmax::EXP2;

core::arch::global_asm!(
    r#"
    .cpu cortex-m55
    .syntax unified
    .thumb

    // scores, keys, how many, shape: {{first shift, what is taken off an exponent}}; returns the largest
    .section .text.kinglet_mve_scale_scores, "ax", %progbits
    .global kinglet_mve_scale_scores
    .type kinglet_mve_scale_scores, %function
    .thumb_func
    kinglet_mve_scale_scores:
      push {{r4, lr}}
      vpush {{d8-d9}}
      ldm r3, {{r3, r4}}
      // 2^30 - 1, which no score exceeds
      mvn r12, #0xc0000000
      vdup.32 q3, r12
      vneg.s32 q4, q3
      mov r12, #0x80000000
      wlstp.32 lr, r2, 2f
    1:
      vldrh.u32 q1, [r1], #8
      vldrw.u32 q0, [r0]
      vshr.u32 q2, q1, #11
      vbic.i32 q1, #0xf800
      vshl.s32 q0, r3
      vsub.i32 q2, q2, r4
      vmul.i32 q0, q0, q1
      vqshl.s32 q0, q0, q2
      vptt.s32 gt, q2, zr
      vmint.s32 q0, q0, q3
      vmaxt.s32 q0, q0, q4
      vstrw.32 q0, [r0], #16
      vmaxv.s32 r12, q0
      letp lr, 1b
    2:
      mov r0, r12
      vpop {{d8-d9}}
      pop {{r4, pc}}
    .size kinglet_mve_scale_scores, . - kinglet_mve_scale_scores

    // scores, values, how many, shape: {{largest, lowered, table}}; returns the sum
    .section .text.kinglet_mve_powers, "ax", %progbits
    .global kinglet_mve_powers
    .type kinglet_mve_powers, %function
    .thumb_func
    kinglet_mve_powers:
      push {{r4, r5, r7, lr}}
      vpush {{d8-d11}}
      ldm r3, {{r3, r4, r5}}
      vdup.32 q3, r3
      vdup.32 q4, r4
      vmov.i32 q5, #31
      mov r12, #0
      wlstp.32 lr, r2, 2f
    1:
      vldrw.u32 q0, [r0]
      vsub.i32 q0, q3, q0
      // Bits 7 to 15 are the table's index, and those above are how far the power is shifted.
      vshl.i32 q1, q0, #16
      vshr.s32 q0, q0, #16
      vshr.u32 q1, q1, #23
      vmin.s32 q0, q0, q5
      vldrh.u32 q2, [r5, q1, uxtw #1]
      vand q0, q0, q5
      vneg.s32 q0, q0
      vldrh.u32 q1, [r1], #8
      vshl.u32 q2, q2, q0
      vshr.u32 q0, q1, #11
      vaddva.u32 r12, q2
      vsub.i32 q0, q4, q0
      vbic.i32 q1, #0xf800
      vmin.u32 q0, q0, q5
      vmul.i32 q1, q1, q2
      vneg.s32 q0, q0
      vshl.u32 q1, q1, q0
      vstrw.32 q1, [r0], #16
      letp lr, 1b
    2:
      mov r0, r12
      vpop {{d8-d11}}
      pop {{r4, r5, r7, pc}}
    .size kinglet_mve_powers, . - kinglet_mve_powers

    // out, weights, values, shape: {{keys, head_dim, blocks of eight columns}}
    .section .text.kinglet_mve_weighted_sum, "ax", %progbits
    .global kinglet_mve_weighted_sum
    .type kinglet_mve_weighted_sum, %function
    .thumb_func
    kinglet_mve_weighted_sum:
      push {{r4-r7, lr}}
      ldm r3, {{r3-r5}}
    1:
      vldrw.u32 q0, [r0]
      vldrw.u32 q1, [r0, #16]
      mov r6, r1
      mov r7, r2
      dls lr, r3
    2:
      ldr r12, [r6], #4
      vldrb.s32 q2, [r7]
      vldrb.s32 q3, [r7, #4]
      vmla.s32 q0, q2, r12
      add r7, r7, r4
      vmla.s32 q1, q3, r12
      le lr, 2b
      vstrw.32 q0, [r0], #16
      vstrw.32 q1, [r0], #16
      adds r2, #8
      subs r5, #1
      bne 1b
      pop {{r4-r7, pc}}
    .size kinglet_mve_weighted_sum, . - kinglet_mve_weighted_sum

    // out, weights, values, keys
    .section .text.kinglet_mve_weighted_sum_of_8, "ax", %progbits
    .global kinglet_mve_weighted_sum_of_8
    .type kinglet_mve_weighted_sum_of_8, %function
    .thumb_func
    kinglet_mve_weighted_sum_of_8:
      push {{r4, lr}}
      vldrw.u32 q0, [r0]
      vldrw.u32 q1, [r0, #16]
      lsrs r12, r3, #1
      wls lr, r12, 2f
    1:
      vldrb.s32 q2, [r2], #4
      ldrd r4, r12, [r1], #8
      vmla.s32 q0, q2, r4
      vldrb.s32 q3, [r2], #4
      vmla.s32 q1, q3, r4
      vldrb.s32 q2, [r2], #4
      vmla.s32 q0, q2, r12
      vldrb.s32 q3, [r2], #4
      vmla.s32 q1, q3, r12
      le lr, 1b
    2:
      lsls r3, r3, #31
      beq 3f
      ldr r4, [r1]
      vldrb.s32 q2, [r2]
      vldrb.s32 q3, [r2, #4]
      vmla.s32 q0, q2, r4
      vmla.s32 q1, q3, r4
    3:
      vstrw.32 q0, [r0]
      vstrw.32 q1, [r0, #16]
      pop {{r4, pc}}
    .size kinglet_mve_weighted_sum_of_8, . - kinglet_mve_weighted_sum_of_8
    "#
);

unsafe extern "C" {
    fn kinglet_mve_scale_scores(scores: *mut i32, keys: *const u16, count: usize, shape: &[i32; 2]) -> i32;
    fn kinglet_mve_powers(scores: *mut i32, values: *const u16, count: usize, shape: &Powers) -> u32;
    fn kinglet_mve_weighted_sum(out: *mut i32, weights: *const i32, values: *const i8, shape: &[usize; 3]);
    fn kinglet_mve_weighted_sum_of_8(out: *mut i32, weights: *const i32, values: *const i8, count: usize);
}

#[repr(C)]
struct Powers {
    largest: i32,
    lowered: u32,
    table: *const u16,
}

pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let count = scores.len().min(keys.len());
    // A lane's shift has eight bits; beyond 31 all shifts are the same. An exponent lies raised by 17.
    let shape = [-((factor.narrow & 31) as i32), factor.shift.clamp(-64, 64) + 17];
    // SAFETY: it reads and writes `count` scores, and reads as many scales.
    unsafe { kinglet_mve_scale_scores(scores.as_mut_ptr(), keys.as_ptr(), count, &shape) }
}

pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    // SAFETY: it reads and writes `count` scores and reads as many scales, and values of the table at nine bits, of which there are 512.
    unsafe {
        kinglet_mve_powers(
            scores.as_mut_ptr(),
            values.as_ptr(),
            count,
            &Powers { largest, lowered, table: EXP2.as_ptr() },
        )
    }
}

pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let head_dim = out.len();
    let count = weights.len().min(values.len() / head_dim.max(1));
    if count == 0 || !head_dim.is_multiple_of(8) {
        return scalar::weighted_sum_of_any(out, weights, values);
    }
    // SAFETY: they read `count` weights and as many values of `head_dim`, and read and write `head_dim` sums.
    unsafe {
        match head_dim {
            8 => kinglet_mve_weighted_sum_of_8(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), count),
            _ => {
                let shape = [count, head_dim, head_dim / 8];
                kinglet_mve_weighted_sum(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape);
            }
        }
    }
}
