//! Scores become weights: they get their keys' scales, and powers of two are made of them.

use core::arch::naked_asm;

use super::super::arguments::Powers;

use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar::softmax::EXP2;

/// How products become scores.
#[repr(C)]
struct Shifts {
    /// By how much products are shifted left first, which is negative: to the right.
    narrow: i32,
    /// Subtracted from the exponents of the keys' scales: the difference shifts products left.
    exponent: i32,
}

/// Returns the largest score.
///
/// # Safety
/// `scores` and `keys` have `count` values.
#[unsafe(naked)]
unsafe extern "C" fn scale_scores_loop(scores: *mut i32, keys: *const u16, count: usize, by: &Shifts) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
          vpush {d8-d9}
          ldm r3, {r3, r4}
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
          vpop {d8-d9}
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// Returns the sum of the powers.
///
/// # Safety
/// `scores` and `values` have `count` values, and `by.table` has 512.
#[unsafe(naked)]
unsafe extern "C" fn powers_loop(scores: *mut i32, values: *const u16, count: usize, by: &Powers) -> u32 {
    naked_asm!(
        cpu!(),
        "
          push {r4, r5, r7, lr}
          vpush {d8-d11}
          ldm r3, {r3, r4, r5}
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
          vpop {d8-d11}
          pop {r4, r5, r7, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::scale_scores`](crate::kernels::Kernels::scale_scores).
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let count = scores.len().min(keys.len());
    // A lane's shift has eight bits, and all beyond 31 give one result. 17 is the bias of
    // exponents.
    let by = Shifts { narrow: -((factor.narrow & 31) as i32), exponent: factor.shift.clamp(-64, 64) + 17 };
    // SAFETY: it reads and writes `count` scores, and reads as many scales.
    unsafe { scale_scores_loop(scores.as_mut_ptr(), keys.as_ptr(), count, &by) }
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers).
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    // SAFETY: it reads and writes `count` scores, and reads as many scales, and entries of the
    // table at nine bits: 512.
    unsafe {
        powers_loop(scores.as_mut_ptr(), values.as_ptr(), count, &Powers { largest, lowered, table: EXP2.as_ptr() })
    }
}
