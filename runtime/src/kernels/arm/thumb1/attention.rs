//! Attention: products of queries and keys, and weighted sums of values. Four keys, or four columns
//! of a value, are multiplied as the four rows of a tile are.

use core::arch::naked_asm;

use super::widened::{COLUMNS, Word, end_of, widen16};
use crate::format::places::TILE;
use crate::kernels::scalar;

/// Arguments of the loops over keys in addition to three pointers.
#[repr(C)]
struct Keys {
    /// The address where the scores end.
    end: usize,
    /// Bytes per key.
    bytes: usize,
}

/// Computes the products of a query with keys, whose columns are `$size` bytes and are loaded by
/// `$load`: four keys at a time.
macro_rules! scores {
    ($load:expr, $size:expr) => {
        lines!(
            save!(),
            "
              ldmia r3!, {r4, r5}
              sub sp, #12
              str r1, [sp]
              str r2, [sp, #4]
              str r4, [sp, #8]
              adds r0, r0, r5
              adds r1, r0, r5
              adds r2, r1, r5
              adds r3, r2, r5
              lsls r6, r5, #2
              mov r12, r6
              rsbs r5, r5, #0
              mov lr, r5
            1:
            ",
            no_sums!(),
            "
              ldr r7, [sp]
              mov r4, lr
            2:
              ldmia r7!, {r5}
            ",
            four_products!($load),
            concat!("adds r4, #2 * ", $size),
            "ldmia r7!, {r5}",
            four_products!($load),
            concat!("subs r4, #", $size),
            "ldmia r7!, {r5}",
            four_products!($load),
            concat!("adds r4, #2 * ", $size),
            "ldmia r7!, {r5}",
            four_products!($load),
            concat!("adds r4, #", $size),
            "bne 2b",
            store_sums!("4"),
            "
              add r0, r12
              add r1, r12
              add r2, r12
              add r3, r12
              ldr r6, [sp, #8]
              cmp r7, r6
              bne 1b
              add sp, #12
            ",
            restore!()
        )
    };
}

/// # Safety
/// `out` ends at `end`, and has room for a multiple of four scores, which is not 0. `keys` has
/// `bytes` bytes for each score, and `query` has an initialized word for each column; the number of
/// columns is a multiple of four, and not 0.
#[unsafe(naked)]
unsafe extern "C" fn scores8_loop(keys: *const i8, query: *const Word, out: *mut i32, shape: &Keys) {
    naked_asm!(scores!("ldrsb", "1"), options(raw))
}

/// [`scores8_loop`] over 16-bit keys.
///
/// # Safety
/// The contract of [`scores8_loop`].
#[unsafe(naked)]
unsafe extern "C" fn scores16_loop(keys: *const i16, query: *const Word, out: *mut i32, shape: &Keys) {
    naked_asm!(scores!("ldrsh", "2"), options(raw))
}

/// Arguments of [`weighted_sum_loop`] in addition to three pointers.
#[repr(C)]
struct Values {
    /// The address where the sums end.
    end: usize,
    /// The address where the weights end.
    weights_end: usize,
    /// Bytes per value.
    bytes: usize,
}

/// # Safety
/// `sums` ends at `end` and has `bytes` values, a multiple of four and not 0; `weights` ends at
/// `weights_end` and has at least one weight; `values` has `bytes` bytes for each weight.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_loop(values: *const i8, weights: *const i32, sums: *mut i32, shape: &Values) {
    naked_asm!(
        save!(),
        "
          ldmia r3!, {r4-r6}
          sub sp, #12
          str r1, [sp]
          str r2, [sp, #4]
          str r4, [sp, #8]
          mov lr, r5
          mov r12, r6
          adds r1, r0, #1
          adds r2, r0, #2
          adds r3, r0, #3
        1:
        ",
        load_sums!("4"),
        "
          ldr r7, [sp]
          movs r4, #0
        2:
          ldmia r7!, {r5}
        ",
        four_products!("ldrsb"),
        "
          add r4, r12
          cmp r7, lr
          bne 2b
        ",
        store_sums!("4"),
        "
          adds r0, #4
          adds r1, #4
          adds r2, #4
          adds r3, #4
          ldr r6, [sp, #8]
          cmp r7, r6
          bne 1b
          add sp, #12
        ",
        restore!(),
        options(raw)
    )
}

/// See [`Kernels::scores8`](crate::kernels::Kernels::scores8).
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    scores(out, query, keys, scores8_loop, scalar::SCALAR.scores8);
}

/// See [`Kernels::scores16`](crate::kernels::Kernels::scores16).
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    scores(out, query, keys, scores16_loop, scalar::SCALAR.scores16);
}

fn scores<K>(
    out: &mut [i32],
    query: &[i16],
    keys: &[K],
    loops: unsafe extern "C" fn(*const K, *const Word, *mut i32, &Keys),
    definition: fn(&mut [i32], &[i16], &[K]),
) {
    let (count, width) = (out.len(), query.len());
    let fits = count >= TILE && (1..=COLUMNS).contains(&width) && width.is_multiple_of(TILE);
    if !fits || keys.len() < count * width {
        return definition(out, query, keys);
    }
    let mut words = [const { Word::uninit() }; COLUMNS];
    widen16(&mut words, query);
    // If the count is not a multiple of four, a second pass computes the last four scores: scores
    // are written, not accumulated, so an overlap is harmless.
    let last = if count.is_multiple_of(TILE) { 0 } else { TILE };
    for (first, count) in [(0, count / TILE * TILE), (count - TILE, last)] {
        let (Some(out), Some(keys)) = (out.get_mut(first..first + count), keys.get(first * width..)) else { return };
        if out.is_empty() {
            return;
        }
        let shape = Keys { end: end_of(out), bytes: width * size_of::<K>() };
        // SAFETY: it reads the query and a key of its length for each score, and writes the scores,
        // a multiple of four.
        unsafe { loops(keys.as_ptr(), words.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}

/// See [`Kernels::weighted_sum`](crate::kernels::Kernels::weighted_sum).
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let (count, width) = (weights.len(), out.len());
    if count == 0 || width == 0 || !width.is_multiple_of(TILE) || values.len() < count * width {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    let shape = Values { end: end_of(out), weights_end: end_of(weights), bytes: width };
    // SAFETY: it reads the weights and a value of `width` bytes for each, and adds to the sums.
    unsafe { weighted_sum_loop(values.as_ptr(), weights.as_ptr(), out.as_mut_ptr(), &shape) };
}
