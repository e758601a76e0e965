//! Attention: products of queries and keys, and weighted sums of values.

use core::arch::naked_asm;

use super::super::arguments::Rows;

use crate::kernels::scalar;

/// Adds the products of a query with keys, whose columns are `$size` bytes and are loaded by
/// `$load`: eight columns of all keys at a time.
macro_rules! scores {
    ($load:expr, $size:expr) => {
        lines!(
            "
              push {r4-r11, lr}
              ldmia r3, {r4-r6}
              sub sp, #24
              stm sp, {r0-r2, r4-r6}
            1:
              ldr r1, [sp, #4]
              ldrsh r4, [r1], #16
              ldrsh r5, [r1, #-14]
              ldrsh r6, [r1, #-12]
              ldrsh r7, [r1, #-10]
              ldrsh r8, [r1, #-8]
              ldrsh r9, [r1, #-6]
              ldrsh r10, [r1, #-4]
              ldrsh r11, [r1, #-2]
              str r1, [sp, #4]
              ldr r0, [sp]
              ldr r1, [sp, #8]
            ",
            concat!("add r2, r1, #8 * ", $size),
            "
              str r2, [sp, #8]
              ldrd r2, r3, [sp, #12]
            2:
              ldr r12, [r0]
            ",
            concat!($load, " lr, [r1]"),
            "mla r12, lr, r4, r12",
            concat!($load, " lr, [r1, #", $size, "]"),
            "mla r12, lr, r5, r12",
            concat!($load, " lr, [r1, #2 * ", $size, "]"),
            "mla r12, lr, r6, r12",
            concat!($load, " lr, [r1, #3 * ", $size, "]"),
            "mla r12, lr, r7, r12",
            concat!($load, " lr, [r1, #4 * ", $size, "]"),
            "mla r12, lr, r8, r12",
            concat!($load, " lr, [r1, #5 * ", $size, "]"),
            "mla r12, lr, r9, r12",
            concat!($load, " lr, [r1, #6 * ", $size, "]"),
            "mla r12, lr, r10, r12",
            concat!($load, " lr, [r1, #7 * ", $size, "]"),
            "
              mla r12, lr, r11, r12
              add r1, r3
              str r12, [r0], #4
              subs r2, r2, #1
              bne 2b
              ldr r2, [sp, #20]
              subs r2, r2, #1
              str r2, [sp, #20]
              bne 1b
              add sp, #24
              pop {r4-r11, pc}
            "
        )
    };
}

/// Adds the products of a query with keys to `out`.
///
/// # Safety
/// `query` has `8 * blocks` values, `keys` has the rows of `shape`, and `out` has `count` sums.
/// Neither `count` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn scores8_loop(out: *mut i32, query: *const i16, keys: *const i8, shape: &Rows) {
    naked_asm!(scores!("ldrsb", "1"), options(raw))
}

/// [`scores8_loop`] over 16-bit keys.
///
/// # Safety
/// The contract of [`scores8_loop`].
#[unsafe(naked)]
unsafe extern "C" fn scores16_loop(out: *mut i32, query: *const i16, keys: *const i16, shape: &Rows) {
    naked_asm!(scores!("ldrsh", "2"), options(raw))
}

/// # Safety
/// `out` has `8 * blocks` sums, `weights` has `count` values, and `values` has the rows of `shape`.
/// Neither `count` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_loop(out: *mut i32, weights: *const i32, values: *const i8, shape: &Rows) {
    naked_asm!(
        "
          push {r4-r11, lr}
          ldmia r3, {r4-r6}
          sub sp, #24
          stm sp, {r0-r2, r4-r6}
        1:
          ldr r3, [sp]
          ldm r3, {r4-r11}
          ldrd r0, r1, [sp, #4]
          ldrd r2, lr, [sp, #12]
        2:
          ldr r3, [r0], #4
          ldrsb r12, [r1]
          mla r4, r12, r3, r4
          ldrsb r12, [r1, #1]
          mla r5, r12, r3, r5
          ldrsb r12, [r1, #2]
          mla r6, r12, r3, r6
          ldrsb r12, [r1, #3]
          mla r7, r12, r3, r7
          ldrsb r12, [r1, #4]
          mla r8, r12, r3, r8
          ldrsb r12, [r1, #5]
          mla r9, r12, r3, r9
          ldrsb r12, [r1, #6]
          mla r10, r12, r3, r10
          ldrsb r12, [r1, #7]
          mla r11, r12, r3, r11
          add r1, lr
          subs r2, r2, #1
          bne 2b
          ldr r0, [sp]
          ldr r1, [sp, #8]
          ldr r2, [sp, #20]
          stmia r0!, {r4-r11}
          adds r1, r1, #8
          str r0, [sp]
          str r1, [sp, #8]
          subs r2, r2, #1
          str r2, [sp, #20]
          bne 1b
          add sp, #24
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// The shape of `count` rows of `width` values, or `None` if the loops do not support it or there
/// are fewer than `count * width` values.
fn shape(count: usize, rows: usize, width: usize, row_bytes: usize) -> Option<Rows> {
    let fits = count > 0 && width > 0 && width.is_multiple_of(8) && rows >= count * width;
    fits.then_some(Rows { count, bytes: row_bytes, blocks: width / 8 })
}

/// See [`Kernels::scores8`](crate::kernels::Kernels::scores8).
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let Some(shape) = shape(out.len(), keys.len(), query.len(), query.len()) else {
        return (scalar::SCALAR.scores8)(out, query, keys);
    };
    out.fill(0);
    // SAFETY: it reads the query and a key of its length for each score, and adds to the scores.
    unsafe { scores8_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape) };
}

/// See [`Kernels::scores16`](crate::kernels::Kernels::scores16).
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let Some(shape) = shape(out.len(), keys.len(), query.len(), 2 * query.len()) else {
        return (scalar::SCALAR.scores16)(out, query, keys);
    };
    out.fill(0);
    // SAFETY: it reads the query and a key of its length for each score, and adds to the scores.
    unsafe { scores16_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape) };
}

/// See [`Kernels::weighted_sum`](crate::kernels::Kernels::weighted_sum).
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let Some(shape) = shape(weights.len(), values.len(), out.len(), out.len()) else {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    };
    // SAFETY: it reads the weights and, for each, a value of `out`'s length, and adds to the sums.
    unsafe { weighted_sum_loop(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape) };
}
