//! Attention: products of queries and keys, and weighted sums of values.

use core::arch::naked_asm;

use super::super::arguments::Rows;

use super::products::{BYTES_BY_16, HALFWORDS};
use crate::kernels::scalar;

/// Computes the products of a query of eight columns with keys, which are loaded by `$load`: four
/// keys at a time, then one.
macro_rules! scores_of_8 {
    ($load:expr, $step:expr) => {
        lines!(
            "
              push {r4, r6, r8, lr}
              vldrh.u16 q0, [r1]
              lsrs r1, r3, #2
              wls lr, r1, 2f
            1:
            ",
            concat!($load, " q1, [r2], #", $step),
            concat!($load, " q2, [r2], #", $step),
            "vmladav.s16 r4, q0, q1",
            concat!($load, " q1, [r2], #", $step),
            "vmladav.s16 r6, q0, q2",
            concat!($load, " q2, [r2], #", $step),
            "
              vmladav.s16 r8, q0, q1
              vmladav.s16 r12, q0, q2
              stmia r0!, {r4, r6, r8, r12}
              le lr, 1b
            2:
              and r3, r3, #3
              wls lr, r3, 4f
            3:
            ",
            concat!($load, " q1, [r2], #", $step),
            "
              vmladav.s16 r4, q0, q1
              str r4, [r0], #4
              le lr, 3b
            4:
              pop {r4, r6, r8, pc}
            "
        )
    };
}

/// Computes the scores of 8-bit keys of eight columns.
///
/// # Safety
/// `query` has eight values, `keys` has `8 * count`, and `out` has room for `count` scores.
#[unsafe(naked)]
unsafe extern "C" fn scores8_of_8(out: *mut i32, query: *const i16, keys: *const i8, count: usize) {
    naked_asm!(cpu!(), scores_of_8!("vldrb.s16", "8"), options(raw))
}

/// Computes the scores of 16-bit keys of eight columns.
///
/// # Safety
/// The contract of [`scores8_of_8`].
#[unsafe(naked)]
unsafe extern "C" fn scores16_of_8(out: *mut i32, query: *const i16, keys: *const i16, count: usize) {
    naked_asm!(cpu!(), scores_of_8!("vldrh.u16", "16"), options(raw))
}

/// # Safety
/// `out` has `head_dim` sums, `weights` has `count` values, and `values` has `head_dim * count`;
/// `head_dim` is `8 * blocks`, and neither it nor `count` is 0.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_loop(out: *mut i32, weights: *const i32, values: *const i8, shape: &Rows) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r7, lr}
          ldm r3, {r3-r5}
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
          pop {r4-r7, pc}
        ",
        options(raw)
    )
}

/// Adds weighted values of eight columns to `out`.
///
/// # Safety
/// `out` has eight sums, `weights` has `count` values, and `values` has `8 * count`.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_of_8(out: *mut i32, weights: *const i32, values: *const i8, count: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
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
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::scores8`](crate::kernels::Kernels::scores8).
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    if query.len() == 8 {
        let count = out.len().min(keys.len() / 8);
        // SAFETY: it reads a query of eight and `count` keys of eight, and writes `count` scores.
        return unsafe { scores8_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count) };
    }
    BYTES_BY_16.run(out, query, keys);
}

/// See [`Kernels::scores16`](crate::kernels::Kernels::scores16).
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    if query.len() == 8 {
        let count = out.len().min(keys.len() / 8);
        // SAFETY: it reads a query of eight and `count` keys of eight, and writes `count` scores.
        return unsafe { scores16_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count) };
    }
    HALFWORDS.run(out, query, keys);
}

/// See [`Kernels::weighted_sum`](crate::kernels::Kernels::weighted_sum).
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let head_dim = out.len();
    let count = weights.len().min(values.len() / head_dim.max(1));
    if count == 0 || head_dim == 0 || !head_dim.is_multiple_of(8) {
        return scalar::weighted_sum_of_any(out, weights, values);
    }
    // SAFETY: they read `count` weights and as many values of `head_dim`, and read and write
    // `head_dim` sums.
    unsafe {
        match head_dim {
            8 => weighted_sum_of_8(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), count),
            _ => {
                let shape = Rows { count, bytes: head_dim, blocks: head_dim / 8 };
                weighted_sum_loop(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape);
            }
        }
    }
}
