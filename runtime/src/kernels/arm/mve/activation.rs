//! Activation functions and gates.

use core::arch::naked_asm;

use crate::kernels::scalar;

/// # Safety
/// `values` has `count` values, and `table` has `last + 1` entries.
#[unsafe(naked)]
unsafe extern "C" fn rectify_loop(values: *mut i32, table: *const i16, count: usize, last: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r7, lr}
          vpush {d8-d15}
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
          vpop {d8-d15}
          pop {r7, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `values` and `gates` have `count` values; `fraction_bits` is from 2 to 31.
#[unsafe(naked)]
unsafe extern "C" fn gate_loop(values: *mut i32, gates: *const i32, count: usize, fraction_bits: u32) {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
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
          // The low half is shifted right with rounding; the high half is shifted left and
          // saturates. Adding both is wrong if the high half has saturated at the lower end.
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
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::rectify`](crate::kernels::Kernels::rectify).
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    let Some(last) = table.len().checked_sub(1) else {
        return values.iter_mut().for_each(|x| *x = (*x).max(0));
    };
    // SAFETY: it reads the table up to its last value, and reads and writes the other slice.
    unsafe { rectify_loop(values.as_mut_ptr(), table.as_ptr(), values.len(), last) };
}

/// See [`Kernels::gate`](crate::kernels::Kernels::gate).
pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    if !(2..=31).contains(&fraction_bits) {
        return (scalar::SCALAR.gate)(values, gates, fraction_bits);
    }
    let count = values.len().min(gates.len());
    // SAFETY: it reads and writes `count` values, and reads as many gates.
    unsafe { gate_loop(values.as_mut_ptr(), gates.as_ptr(), count, fraction_bits) };
}
