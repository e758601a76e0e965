//! Activation functions and gates.

use core::arch::naked_asm;

use super::super::arguments::Beyond;

use crate::fixed::multiply;
use crate::kernels::{scalar, words};

/// # Safety
/// `values` ends at `end`, and has at least one value; `table` has `beyond.from + 1` entries.
#[unsafe(naked)]
unsafe extern "C" fn rectify_loop(values: *mut i32, end: *const i32, table: *const i16, beyond: &Beyond) {
    naked_asm!(
        "
          push {r4-r7, lr}
          ldmia r3!, {r4, r5}
          mov r3, r4
          mov r12, r5
        1:
          ldr r4, [r0]
          asrs r5, r4, #31
          movs r6, r4
          eors r6, r5
          subs r6, r6, r5
          bics r4, r5
          lsrs r5, r6, #10
          cmp r5, r3
          bhs 3f
          lsls r5, r5, #1
          ldrsh r7, [r2, r5]
          adds r5, #2
          ldrsh r5, [r2, r5]
          subs r5, r5, r7
          lsls r6, r6, #22
          lsrs r6, r6, #22
          muls r5, r6
          asrs r5, r5, #10
          adds r4, r4, r7
          adds r4, r4, r5
        2:
          stmia r0!, {r4}
          cmp r0, r1
          bne 1b
          pop {r4-r7, pc}
        3:
          // r4 is not negative, so the sum can only overflow upward.
          mov r5, r12
          adds r4, r4, r5
          bvc 2b
          movs r4, #1
          lsls r4, r4, #31
          subs r4, r4, #1
          b 2b
        ",
        options(raw)
    )
}

/// Multiplies values by their gates, with 16 fraction bits, up to the first pair with a factor of
/// more than 23 bits. Returns the address of that value, or `end`.
///
/// # Safety
/// `values` ends at `end`, and has at least one value; `gates` has as many.
#[unsafe(naked)]
unsafe extern "C" fn gate_loop(values: *mut i32, gates: *const i32, end: *const i32) -> *const i32 {
    naked_asm!(
        "
          push {r4-r7, lr}
          movs r3, #1
          lsls r3, r3, #15
          mov r12, r3
        1:
          ldr r4, [r0]
          ldmia r1!, {r5}
          asrs r6, r4, #31
          eors r6, r4
          asrs r7, r5, #31
          eors r7, r5
          orrs r6, r7
          lsrs r6, r6, #23
          bne 2f
          uxth r6, r4
          asrs r4, r4, #16
          uxth r7, r5
          asrs r5, r5, #16
          movs r3, r6
          muls r3, r7
          add r3, r12
          lsrs r3, r3, #16
          muls r6, r5
          muls r7, r4
          muls r4, r5
          lsls r4, r4, #16
          adds r4, r4, r3
          adds r4, r4, r6
          adds r4, r4, r7
          stmia r0!, {r4}
          cmp r0, r2
          bne 1b
        2:
          pop {r4-r7, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::rectify`](crate::kernels::Kernels::rectify).
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((from, value)) = words::last_entry(values, table) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let (range, beyond) = (values.as_mut_ptr_range(), Beyond { from, value });
    // SAFETY: it reads and writes all values, at least one, and reads pairs of entries, of which
    // the first is not the table's last entry.
    unsafe { rectify_loop(range.start, range.end, table.as_ptr(), &beyond) };
}

/// See [`Kernels::gate`](crate::kernels::Kernels::gate).
pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    if fraction_bits != 16 {
        return scalar::gate(values, gates, fraction_bits);
    }
    let (mut values, mut gates) = (values, gates);
    while !values.is_empty() && values.len() <= gates.len() {
        let range = values.as_mut_ptr_range();
        // SAFETY: it reads and writes values, at least one, and reads as many gates.
        let met = unsafe { gate_loop(range.start, gates.as_ptr(), range.end) };
        let done = (met.addr() - range.start.addr()) / size_of::<i32>();
        // A product with a large factor is computed in Rust.
        let Some([value, others @ ..]) = values.get_mut(done..) else { return };
        let Some([gate, other_gates @ ..]) = gates.get(done..) else { return };
        *value = multiply(*value, *gate, fraction_bits);
        (values, gates) = (others, other_gates);
    }
    scalar::gate(values, gates, fraction_bits);
}
