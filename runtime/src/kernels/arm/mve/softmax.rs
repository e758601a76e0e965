//! Softmax: scales scores by their keys' scales, and computes their exponentials.

use core::arch::naked_asm;

use super::super::arguments::Powers;

use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar::softmax::EXP2;

/// The conversion of products to scores.
#[repr(C)]
struct Shifts {
    /// The first left shift of products: negative, so that it shifts right.
    narrow: i32,
    /// The number subtracted from the exponent of a key's scale to give the second left shift.
    exponent: i32,
}

/// Scales the scores, and returns the largest.
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
          // MAX_SCORE: 2^30 - 1
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

/// Replaces scores by weights, and returns the sum of the exponentials.
///
/// # Safety
/// `scores` and `values` have `count` values, and `by.table` has 512 entries.
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
          // Bits 7 to 15 are the index of the table, the bits above are the right shift.
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

/// Computes the largest value, or 0 if there is none.
///
/// # Safety
/// `values` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn largest(values: *const u16, count: usize) -> u16 {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          movs r2, #0
          wlstp.16 lr, r1, 2f
        1:
          vldrh.u16 q0, [r0], #16
          vmaxv.u16 r2, q0
          letp lr, 1b
        2:
          mov r0, r2
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::largest_scale`](crate::kernels::Kernels::largest_scale).
pub(super) fn largest_scale(scales: &[u16]) -> u16 {
    // SAFETY: it reads `scales.len()` values.
    unsafe { largest(scales.as_ptr(), scales.len()) }
}

/// See [`Kernels::scale_scores`](crate::kernels::Kernels::scale_scores).
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let count = scores.len().min(keys.len());
    // A lane's shift has eight bits, and all shifts beyond 31 have one result. 17 is the bias
    // of exponents.
    let by = Shifts { narrow: -((factor.narrow & 31) as i32), exponent: factor.shift.clamp(-64, 64) + 17 };
    // SAFETY: it reads and writes `count` scores, and reads as many scales.
    unsafe { scale_scores_loop(scores.as_mut_ptr(), keys.as_ptr(), count, &by) }
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers).
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    // SAFETY: it reads and writes `count` scores, and reads as many scales, and entries of the
    // table at 9-bit indices: it has 512.
    unsafe {
        powers_loop(scores.as_mut_ptr(), values.as_ptr(), count, &Powers { largest, lowered, table: EXP2.as_ptr() })
    }
}
