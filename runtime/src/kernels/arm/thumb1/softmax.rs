//! Softmax: replaces scores by weights.

use core::arch::naked_asm;

use crate::kernels::scalar::softmax::EXP2;

/// Arguments of [`powers_loop`] in addition to two pointers and the largest score.
#[repr(C)]
struct Powers {
    end: *const i32,
    lowered: u32,
    table: *const u16,
}

/// Replaces scores by weights, and returns the sum of the exponentials.
///
/// # Safety
/// `scores` ends at `by.end`, and has at least one value; `values` has as many, and `by.table` has
/// 512 entries.
#[unsafe(naked)]
unsafe extern "C" fn powers_loop(scores: *mut i32, values: *const u16, largest: i32, by: &Powers) -> u32 {
    naked_asm!(
        save!(),
        "
          ldmia r3!, {r4-r6}
          mov r8, r4
          mov r9, r5
          mov r3, r6
          movs r4, #0
          mov r10, r4
        1:
          ldr r4, [r0]
          subs r4, r2, r4
          lsls r5, r4, #16
          lsrs r5, r5, #23
          lsls r5, r5, #1
          ldrh r5, [r3, r5]
          lsrs r4, r4, #16
          cmp r4, #16
          bhs 3f
          lsrs r5, r4
        2:
          add r10, r5
          ldrh r6, [r1]
          adds r1, #2
          lsrs r7, r6, #11
          lsls r6, r6, #21
          lsrs r6, r6, #21
          muls r5, r6
          // The shift is the register's low byte; more than 31 gives 0.
          mov r6, r9
          subs r6, r6, r7
          lsrs r5, r6
          stmia r0!, {r5}
          cmp r0, r8
          bne 1b
          mov r0, r10
        ",
        restore!(),
        "
        3:
          movs r5, #0
          b 2b
        ",
        options(raw)
    )
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers).
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    let Some(scores) = scores.get_mut(..count).filter(|scores| !scores.is_empty()) else { return 0 };
    let by = Powers { end: scores.as_ptr_range().end, lowered, table: EXP2.as_ptr() };
    // SAFETY: it reads and writes the scores, at least one, and reads as many scales, and entries
    // of the table at 9-bit indices: it has 512.
    unsafe { powers_loop(scores.as_mut_ptr(), values.as_ptr(), largest, &by) }
}
