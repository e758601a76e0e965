//! Activation functions and gates: two values at a time, after a single one if their count is odd.

use core::arch::naked_asm;

use super::super::arguments::Beyond;
use crate::kernels::scalar;

/// # Safety
/// `values` has `count` values, and `table` has `beyond.from + 1` entries unless `beyond.from` is
/// 0; `count` is not 0. Below `beyond.from` no sum of a value and an entry leaves 32 bits.
#[unsafe(naked)]
unsafe extern "C" fn rectify_loop(values: *mut i32, count: usize, table: *const i16, beyond: &Beyond) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r3, r12}
          mov r10, #1024
          movw r11, #0xffff
          lsrs r1, r1, #1
          bcc 1f
          ldr r4, [r0]
          bl 6f
          str r4, [r0], #4
        1:
          cmp r1, #0
          beq 5f
        2:
          ldrd r4, r5, [r0]
          eor r6, r4, r4, asr #31
          sub r6, r6, r4, asr #31
          eor r7, r5, r5, asr #31
          sub r7, r7, r5, asr #31
          // Both are below the last entry where the bits of both are.
          orr r8, r6, r7
          cmp r3, r8, lsr #10
          bls 4f
          lsr r8, r6, #10
          lsr r9, r7, #10
          // Two neighbouring entries, times `1024 - fraction` and `fraction`.
          ldr r8, [r2, r8, lsl #1]
          ldr r9, [r2, r9, lsl #1]
          ubfx r6, r6, #0, #10
          ubfx r7, r7, #0, #10
          mla r6, r6, r11, r10
          mla r7, r7, r11, r10
          smuad r6, r8, r6
          smuad r7, r9, r7
          usat r4, #31, r4
          usat r5, #31, r5
          add r4, r4, r6, asr #10
          add r5, r5, r7, asr #10
        3:
          strd r4, r5, [r0], #8
          subs r1, r1, #1
          bne 2b
        5:
          pop {r4-r11, pc}
        4:
          bl 6f
          mov r9, r4
          mov r4, r5
          bl 6f
          mov r5, r4
          mov r4, r9
          b 3b
          // One value.
        6:
          eor r6, r4, r4, asr #31
          sub r6, r6, r4, asr #31
          lsr r8, r6, #10
          cmp r8, r3
          bhs 7f
          ldr r8, [r2, r8, lsl #1]
          ubfx r6, r6, #0, #10
          mla r6, r6, r11, r10
          smuad r6, r8, r6
          usat r4, #31, r4
          asrs r6, r6, #10
          qadd r4, r4, r6
          bx lr
        7:
          usat r4, #31, r4
          qadd r4, r4, r12
          bx lr
        ",
        options(raw)
    )
}

/// # Safety
/// `values` and `gates` have `count` values, and `count` is not 0; `fraction_bits` is from 1 to 31.
#[unsafe(naked)]
unsafe extern "C" fn gate_loop(values: *mut i32, gates: *const i32, count: usize, fraction_bits: u32) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          mov r12, #1
          sub r6, r3, #1
          lsl r7, r12, r6
          rsb r8, r3, #32
          lsrs r2, r2, #1
          bcc 1f
          ldr r4, [r0]
          ldr r9, [r1], #4
          smull r4, r9, r4, r9
          bl 6f
          str r4, [r0], #4
        1:
          cmp r2, #0
          beq 5f
        2:
          ldrd r4, r5, [r0]
          ldrd r9, r10, [r1], #8
          smull r4, r9, r4, r9
          smull r5, r10, r5, r10
          adds r12, r4, r7
          adc r11, r9, #0
          lsr r12, r12, r3
          lsl lr, r11, r8
          orr r12, r12, lr
          // The rest of the high half must be its sign, or the result saturates.
          asr lr, r11, r6
          cmp lr, r11, asr #31
          bne 4f
          adds r9, r5, r7
          adc r11, r10, #0
          lsr r9, r9, r3
          lsl lr, r11, r8
          orr r9, r9, lr
          asr lr, r11, r6
          cmp lr, r11, asr #31
          bne 7f
        3:
          strd r12, r9, [r0], #8
          subs r2, r2, #1
          bne 2b
        5:
          pop {r4-r11, pc}
        4:
          bl 6f
          str r4, [r0]
          mov r4, r5
          mov r9, r10
          bl 6f
          mov r9, r4
          ldr r12, [r0]
          b 3b
        7:
          mvn r9, #0x80000000
          eor r9, r9, r11, asr #31
          b 3b
          // One product.
        6:
          adds r4, r4, r7
          adc r11, r9, #0
          lsr r4, r4, r3
          lsl r12, r11, r8
          orr r4, r4, r12
          asr r12, r11, r6
          cmp r12, r11, asr #31
          itt ne
          mvnne r4, #0x80000000
          eorne r4, r4, r11, asr #31
          bx lr
        ",
        options(raw)
    )
}

/// Entries of the longest table: a value in it has 26 bits.
const LONGEST: usize = 1 << 16;

/// See [`Kernels::rectify`](crate::kernels::Kernels::rectify).
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let last = table.last().map_or(0, |&last| last.into());
    if values.is_empty() {
        return;
    }
    if table.len() > LONGEST {
        return scalar::rows::rectify(values, table);
    }
    let beyond = Beyond { from: table.len().saturating_sub(1), value: last };
    // SAFETY: it reads and writes `values`, and reads pairs of entries, of which the first is not
    // the table's last entry.
    unsafe { rectify_loop(values.as_mut_ptr(), values.len(), table.as_ptr(), &beyond) };
}

/// See [`Kernels::gate`](crate::kernels::Kernels::gate).
pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    let count = values.len().min(gates.len());
    if count == 0 {
        return;
    }
    // SAFETY: it reads `count` values of both slices, and writes as many.
    unsafe { gate_loop(values.as_mut_ptr(), gates.as_ptr(), count, fraction_bits) };
}
