//! Activation functions.

use core::arch::naked_asm;

use super::super::arguments::Beyond;

use crate::kernels::{scalar, words};

/// # Safety
/// `values` has `count` values, and that is not 0; `table` has `beyond.from + 1` entries.
#[unsafe(naked)]
unsafe extern "C" fn rectify_loop(values: *mut i32, count: usize, table: *const i16, beyond: &Beyond) {
    naked_asm!(
        "
          push {r4-r7, lr}
          ldrd r3, r12, [r3]
        1:
          ldr r4, [r0]
          eor r5, r4, r4, asr #31
          sub r5, r5, r4, asr #31
          bic r4, r4, r4, asr #31
          lsrs r6, r5, #10
          cmp r6, r3
          bhs 3f
          ldr r6, [r2, r6, lsl #1]
          sxth r7, r6
          rsb r6, r7, r6, asr #16
          ubfx r5, r5, #0, #10
          muls r6, r5, r6
          add r4, r4, r7
          add r4, r4, r6, asr #10
        2:
          str r4, [r0], #4
          subs r1, r1, #1
          bne 1b
          pop {r4-r7, pc}
        3:
          adds r4, r4, r12
          it vs
          mvnvs r4, #0x80000000
          b 2b
        ",
        options(raw)
    )
}

/// See [`Kernels::rectify`](crate::kernels::Kernels::rectify).
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((from, value)) = words::last_entry(values, table) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let beyond = Beyond { from, value };
    // SAFETY: it reads and writes all values, at least one, and reads pairs of entries, of which
    // the first is not the table's last entry.
    unsafe { rectify_loop(values.as_mut_ptr(), values.len(), table.as_ptr(), &beyond) };
}
