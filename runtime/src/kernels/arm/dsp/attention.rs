//! Attention: products of queries and keys, and weighted sums of values.

use core::arch::naked_asm;

use super::super::arguments::Rows;

use crate::kernels::scalar;

/// Adds weighted values of eight columns to `out`.
///
/// # Safety
/// `out` has eight sums, `weights` has `count` values, and `values` has `8 * count`, at a word
/// boundary; `count` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_of_8(out: *mut i32, weights: *const i32, values: *const i8, count: usize) {
    /// The products of two weights and eight columns each.
    macro_rules! two_values {
        () => {
            lines!(
                "
                  ldrd r2, r3, [r1], #8
                  pkhbt r2, r2, r3, lsl #16
                  ldr r12, [r0], #8
                  ldr lr, [r0], #-4
                  pkhbt r3, r12, lr, lsl #16
                  pkhtb lr, lr, r12, asr #16
                  sxtb16 r12, r3
                  sxtb16 r3, r3, ror #8
                  smlad r4, r12, r2, r4
                  smlad r5, r3, r2, r5
                  sxtb16 r12, lr
                  sxtb16 lr, lr, ror #8
                  smlad r6, r12, r2, r6
                  smlad r7, lr, r2, r7
                  ldr r12, [r0], #8
                  ldr lr, [r0], #4
                  pkhbt r3, r12, lr, lsl #16
                  pkhtb lr, lr, r12, asr #16
                  sxtb16 r12, r3
                  sxtb16 r3, r3, ror #8
                  smlad r8, r12, r2, r8
                  smlad r9, r3, r2, r9
                  sxtb16 r12, lr
                  sxtb16 lr, lr, ror #8
                  smlad r10, r12, r2, r10
                  smlad r11, lr, r2, r11
                "
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r0, r4-r11, lr}
          ldm r0, {r4-r11}
          mov r0, r2
          add r2, r1, r3, lsl #2
          push {r2}
          tst r3, #1
          beq 1f
          ldr r2, [r1], #4
          ldr r12, [r0], #4
          sxtb16 lr, r12
          sxtb16 r12, r12, ror #8
          smlabb r4, lr, r2, r4
          smlatb r6, lr, r2, r6
          smlabb r5, r12, r2, r5
          smlatb r7, r12, r2, r7
          ldr r12, [r0], #4
          sxtb16 lr, r12
          sxtb16 r12, r12, ror #8
          smlabb r8, lr, r2, r8
          smlatb r10, lr, r2, r10
          smlabb r9, r12, r2, r9
          smlatb r11, r12, r2, r11
        1:
          // Four values to a turn. The first enters the loop in its middle where it has two.
          tst r3, #2
          bne 3f
          b 4f
        2:
        ",
        two_values!(),
        "3:",
        two_values!(),
        "
        4:
          ldr r3, [sp]
          cmp r1, r3
          bne 2b
          pop {r1, r2}
          stm r2, {r4-r11}
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `out` has `head_dim` sums, `weights` has `count` values, and `values` has `head_dim * count`, at
/// a word boundary; `head_dim` is `8 * blocks`, and neither it nor `count` is 0.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_loop(out: *mut i32, weights: *const i32, values: *const i8, shape: &Rows) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldmia r3, {r4-r6}
          // On the stack: out, weights, values, count, head_dim, blocks.
          sub sp, #24
          stm sp, {r0-r2, r4-r6}
        1:
          ldm sp, {r0-r3}
          ldm r0, {r4-r11}
          mov r0, r1
          mov r1, r2
          mov r2, r3
        2:
          ldr r3, [r0], #4
          ldr r12, [r1]
          sxtb16 lr, r12
          smlabb r4, lr, r3, r4
          smlatb r6, lr, r3, r6
          sxtb16 lr, r12, ror #8
          smlabb r5, lr, r3, r5
          smlatb r7, lr, r3, r7
          ldr r12, [r1, #4]
          sxtb16 lr, r12
          smlabb r8, lr, r3, r8
          smlatb r10, lr, r3, r10
          sxtb16 lr, r12, ror #8
          smlabb r9, lr, r3, r9
          smlatb r11, lr, r3, r11
          ldr r12, [sp, #16]
          add r1, r12
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

/// Computes the scores of 16-bit keys of eight columns.
///
/// # Safety
/// `query` has eight values and `keys` has `8 * count`, both at a word boundary, and `out` has
/// room for `count` scores; `count` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn scores16_of_8(out: *mut i32, query: *const i16, keys: *const i16, count: usize) {
    /// Computes a key's score.
    macro_rules! score {
        ($score:literal) => {
            lines!(
                "ldmia r2!, {r8-r11}",
                concat!("smuad ", $score, ", r4, r8"),
                concat!("smlad ", $score, ", r5, r9, ", $score),
                concat!("smlad ", $score, ", r6, r10, ", $score),
                concat!("smlad ", $score, ", r7, r11, ", $score)
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldmia r1, {r4-r7}
          lsrs r3, r3, #1
          bcc 1f
        ",
        score!("lr"),
        "
          str lr, [r0], #4
        1:
          cmp r3, #0
          beq 3f
        2:
        ",
        score!("r12"),
        score!("lr"),
        "
          strd r12, lr, [r0], #8
          subs r3, r3, #1
          bne 2b
        3:
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Arguments of the loops over keys in addition to three pointers.
#[repr(C)]
struct Keys {
    count: usize,
    /// Iterations per key: its columns divided by four, or by eight for 8-bit keys.
    turns: usize,
}

/// # Safety
/// `query` has `4 * turns` values and `keys` has `4 * turns * count`, both at a word boundary,
/// and `out` has room for `count` scores; neither `turns` nor `count` is 0.
#[unsafe(naked)]
unsafe extern "C" fn scores16_loop(out: *mut i32, query: *const i16, keys: *const i16, shape: &Keys) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r10}
          ldmia r3, {r3, r4}
        1:
          mov r5, r1
          mov r6, r4
          movs r12, #0
        2:
          ldrd r7, r8, [r5], #8
          ldrd r9, r10, [r2], #8
          smlad r12, r7, r9, r12
          smlad r12, r8, r10, r12
          subs r6, r6, #1
          bne 2b
          str r12, [r0], #4
          subs r3, r3, #1
          bne 1b
          pop {r4-r10}
          bx lr
        ",
        options(raw)
    )
}

/// Computes the scores of 8-bit keys of eight columns.
///
/// # Safety
/// `query` has eight values and `keys` has `8 * count`, both at a word boundary, and `out` has
/// room for `count` scores.
#[unsafe(naked)]
unsafe extern "C" fn scores8_of_8(out: *mut i32, query: *const i16, keys: *const i8, count: usize) {
    /// The score of a key whose bytes are in `$low` and `$high`.
    macro_rules! score {
        ($score:literal, $low:literal, $high:literal) => {
            lines!(
                concat!("sxtb16 r12, ", $low),
                concat!("sxtb16 ", $low, ", ", $low, ", ror #8"),
                concat!("smuad ", $score, ", r12, r4"),
                concat!("smlad ", $score, ", ", $low, ", r5, ", $score),
                concat!("sxtb16 r12, ", $high),
                concat!("sxtb16 ", $high, ", ", $high, ", ror #8"),
                concat!("smlad ", $score, ", r12, r6, ", $score),
                concat!("smlad ", $score, ", ", $high, ", r7, ", $score),
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r1, {r8-r11}
          // Pairs of columns 0 and 2, 1 and 3, as `SXTB16` extracts them from a key.
          pkhbt r4, r8, r9, lsl #16
          pkhtb r5, r9, r8, asr #16
          pkhbt r6, r10, r11, lsl #16
          pkhtb r7, r11, r10, asr #16
          lsrs r3, r3, #1
          bcc 1f
          ldrd r8, r9, [r2], #8
        ",
        score!("lr", "r8", "r9"),
        "
          str lr, [r0], #4
        1:
          cmp r3, #0
          beq 3f
        2:
          ldmia r2!, {r8-r11}
        ",
        score!("lr", "r8", "r9"),
        score!("r1", "r10", "r11"),
        "
          strd lr, r1, [r0], #8
          subs r3, r3, #1
          bne 2b
        3:
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// # Safety
/// `query` has `8 * turns` values and `keys` has `8 * turns * count`, both at a word boundary,
/// and `out` has room for `count` scores; neither `turns` nor `count` is 0. The stack has room for
/// the query.
#[unsafe(naked)]
unsafe extern "C" fn scores8_loop(out: *mut i32, query: *const i16, keys: *const i8, shape: &Keys) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldmia r3, {r3, r4}
          // Store the query on the stack, in pairs of columns 0 and 2, 1 and 3, as `SXTB16`
          // extracts them from a key.
          sub r5, sp, r4, lsl #4
          mov sp, r5
          mov r6, r4
        1:
          ldmia r1!, {r7-r10}
          pkhbt r11, r7, r8, lsl #16
          pkhtb r8, r8, r7, asr #16
          strd r11, r8, [r5], #8
          pkhbt r11, r9, r10, lsl #16
          pkhtb r10, r10, r9, asr #16
          strd r11, r10, [r5], #8
          subs r6, r6, #1
          bne 1b
        2:
          mov r1, sp
          mov r5, r4
          movs r6, #0
        3:
          ldmia r1!, {r7-r10}
          ldrd r11, lr, [r2], #8
          sxtb16 r12, r11
          sxtb16 r11, r11, ror #8
          smlad r6, r12, r7, r6
          smlad r6, r11, r8, r6
          sxtb16 r12, lr
          sxtb16 lr, lr, ror #8
          smlad r6, r12, r9, r6
          smlad r6, lr, r10, r6
          subs r5, r5, #1
          bne 3b
          str r6, [r0], #4
          subs r3, r3, #1
          bne 2b
          add r4, sp, r4, lsl #4
          mov sp, r4
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// See [`Kernels::weighted_sum`](crate::kernels::Kernels::weighted_sum).
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let head_dim = out.len();
    let count = weights.len().min(values.len() / head_dim.max(1));
    let fits = count > 0 && head_dim > 0 && head_dim.is_multiple_of(8);
    if !fits || !values.as_ptr().addr().is_multiple_of(4) {
        return scalar::weighted_sum_of_any(out, weights, values);
    }
    // SAFETY: they read `count` weights, and `count` values of `head_dim` bytes at a word
    // boundary; they read and write `head_dim` sums.
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

/// The number of keys, or `None` if the loops do not support the arguments: rows must have a
/// multiple of `columns` values and begin at a word boundary.
fn keys_of<K>(out: &[i32], query: &[i16], keys: &[K], columns: usize) -> Option<usize> {
    let head_dim = query.len();
    let count = out.len().min(keys.len() / head_dim.max(1));
    let fits = head_dim > 0
        && head_dim.is_multiple_of(columns)
        && keys.as_ptr().addr().is_multiple_of(4)
        && query.as_ptr().addr().is_multiple_of(4);
    (fits && count > 0).then_some(count)
}

/// See [`Kernels::scores16`](crate::kernels::Kernels::scores16).
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let Some(count) = keys_of(out, query, keys, 4) else { return (scalar::SCALAR.scores16)(out, query, keys) };
    // SAFETY: they read the query and `count` keys of its length, all at a word boundary, and
    // write `count` scores.
    unsafe {
        match query.len() {
            8 => scores16_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count),
            head_dim => {
                let shape = Keys { count, turns: head_dim / 4 };
                scores16_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape);
            }
        }
    }
}

/// See [`Kernels::scores8`](crate::kernels::Kernels::scores8).
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let Some(count) = keys_of(out, query, keys, 8) else { return (scalar::SCALAR.scores8)(out, query, keys) };
    // SAFETY: they read the query and `count` keys of its length, all at a word boundary, and
    // write `count` scores.
    unsafe {
        match query.len() {
            8 => scores8_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count),
            head_dim => {
                let shape = Keys { count, turns: head_dim / 8 };
                scores8_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape);
            }
        }
    }
}
