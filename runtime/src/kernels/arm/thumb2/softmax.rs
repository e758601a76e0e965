//! Softmax: replaces scores by weights.

use core::arch::naked_asm;

use super::super::arguments::Powers;

use crate::kernels::scalar::softmax::EXP2;

/// Replaces scores by weights, and returns the sum of the exponentials.
///
/// # Safety
/// `scores` and `values` have `count` values, and that is not 0; `by.table` has 512 entries.
#[unsafe(naked)]
unsafe extern "C" fn powers_loop(scores: *mut i32, values: *const u16, count: usize, by: &Powers) -> u32 {
    naked_asm!(
        "
          push {r4-r10, lr}
          ldmia r3, {r3-r5}
          movs r6, #0
        1:
          ldr r7, [r0]
          subs r7, r3, r7
          ubfx r8, r7, #7, #9
          ldrh r8, [r5, r8, lsl #1]
          usat r7, #5, r7, asr #16
          lsr r8, r8, r7
          add r6, r6, r8
          ldrh r9, [r1], #2
          // The shift is the register's low byte; more than 31 gives 0.
          sub r10, r4, r9, lsr #11
          ubfx r9, r9, #0, #11
          mul r9, r8, r9
          lsr r9, r9, r10
          str r9, [r0], #4
          subs r2, r2, #1
          bne 1b
          mov r0, r6
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers).
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    if count == 0 {
        return 0;
    }
    // SAFETY: it reads and writes `count` scores, and reads as many scales, and entries of the
    // table at 9-bit indices: it has 512.
    unsafe {
        powers_loop(scores.as_mut_ptr(), values.as_ptr(), count, &Powers { largest, lowered, table: EXP2.as_ptr() })
    }
}
