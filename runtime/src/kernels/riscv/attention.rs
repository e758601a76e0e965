//! Attention: products of queries and keys, and weighted sums of values.

use core::arch::naked_asm;

use crate::kernels::scalar;

/// Adds the products of a query with keys, whose columns are `$size` bytes and are loaded by
/// `$load`: eight columns of all keys at a time.
macro_rules! scores {
    ($load:expr, $size:expr) => {
        lines!(
            save!(),
            "
            1:
              lh s0, 0(a1)
              lh s1, 2(a1)
              lh s2, 4(a1)
              lh s3, 6(a1)
              lh s4, 8(a1)
              lh s5, 10(a1)
              lh s6, 12(a1)
              lh s7, 14(a1)
              addi a1, a1, 16
              mv a6, a0
              mv a7, a2
              mv t6, a3
            2:
              lw t5, 0(a6)
            ",
            concat!($load, " t0, 0(a7)"),
            concat!($load, " t1, ", $size, "(a7)"),
            concat!($load, " t2, 2 * ", $size, "(a7)"),
            concat!($load, " t3, 3 * ", $size, "(a7)"),
            "
              mul t0, t0, s0
              mul t1, t1, s1
              mul t2, t2, s2
              mul t3, t3, s3
              add t5, t5, t0
              add t5, t5, t1
              add t5, t5, t2
              add t5, t5, t3
            ",
            concat!($load, " t0, 4 * ", $size, "(a7)"),
            concat!($load, " t1, 5 * ", $size, "(a7)"),
            concat!($load, " t2, 6 * ", $size, "(a7)"),
            concat!($load, " t3, 7 * ", $size, "(a7)"),
            "
              add a7, a7, a4
              mul t0, t0, s4
              mul t1, t1, s5
              mul t2, t2, s6
              mul t3, t3, s7
              add t5, t5, t0
              add t5, t5, t1
              add t5, t5, t2
              add t5, t5, t3
              sw t5, 0(a6)
              addi a6, a6, 4
              addi t6, t6, -1
              bnez t6, 2b
            ",
            concat!("addi a2, a2, 8 * ", $size),
            "
              addi a5, a5, -1
              bnez a5, 1b
            ",
            restore!()
        )
    };
}

/// Adds the products of a query with `count` keys of `bytes` bytes to `out`.
///
/// # Safety
/// `query` has `8 * blocks` values, `keys` has `bytes * count` bytes, and `out` has `count` sums;
/// each key has `8 * blocks` columns. Neither `count` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn scores8_loop(
    out: *mut i32,
    query: *const i16,
    keys: *const i8,
    count: usize,
    bytes: usize,
    blocks: usize,
) {
    naked_asm!(".option push", ".option arch, +m", scores!("lb", "1"), ".option pop", options(raw))
}

/// [`scores8_loop`] over 16-bit keys.
///
/// # Safety
/// The contract of [`scores8_loop`].
#[unsafe(naked)]
unsafe extern "C" fn scores16_loop(
    out: *mut i32,
    query: *const i16,
    keys: *const i16,
    count: usize,
    bytes: usize,
    blocks: usize,
) {
    naked_asm!(".option push", ".option arch, +m", scores!("lh", "2"), ".option pop", options(raw))
}

/// Adds `count` values of `bytes` bytes, times their weights, to `out`: eight columns at a time.
///
/// # Safety
/// `out` has `8 * blocks` sums, `weights` has `count` values, and `values` has `bytes * count`
/// bytes, of which each value has `8 * blocks`. Neither `count` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn weighted_sum_loop(
    out: *mut i32,
    weights: *const i32,
    values: *const i8,
    count: usize,
    bytes: usize,
    blocks: usize,
) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        save!(),
        "
        1:
          lw s0, 0(a0)
          lw s1, 4(a0)
          lw s2, 8(a0)
          lw s3, 12(a0)
          lw s4, 16(a0)
          lw s5, 20(a0)
          lw s6, 24(a0)
          lw s7, 28(a0)
          mv a6, a1
          mv a7, a2
          mv t6, a3
        2:
          lw t5, 0(a6)
          lb t0, 0(a7)
          lb t1, 1(a7)
          lb t2, 2(a7)
          lb t3, 3(a7)
          mul t0, t0, t5
          mul t1, t1, t5
          mul t2, t2, t5
          mul t3, t3, t5
          add s0, s0, t0
          add s1, s1, t1
          add s2, s2, t2
          add s3, s3, t3
          lb t0, 4(a7)
          lb t1, 5(a7)
          lb t2, 6(a7)
          lb t3, 7(a7)
          mul t0, t0, t5
          mul t1, t1, t5
          mul t2, t2, t5
          mul t3, t3, t5
          add s4, s4, t0
          add s5, s5, t1
          add s6, s6, t2
          add s7, s7, t3
          addi a6, a6, 4
          add a7, a7, a4
          addi t6, t6, -1
          bnez t6, 2b
          sw s0, 0(a0)
          sw s1, 4(a0)
          sw s2, 8(a0)
          sw s3, 12(a0)
          sw s4, 16(a0)
          sw s5, 20(a0)
          sw s6, 24(a0)
          sw s7, 28(a0)
          addi a0, a0, 32
          addi a2, a2, 8
          addi a5, a5, -1
          bnez a5, 1b
        ",
        restore!(),
        ".option pop",
        options(raw)
    )
}

/// Whether the loops support rows of `width` values, and `rows` values hold `count` such rows, at
/// least one.
fn fits(count: usize, rows: usize, width: usize) -> bool {
    count > 0 && width > 0 && width.is_multiple_of(8) && rows >= count * width
}

/// See [`Kernels::scores8`](crate::kernels::Kernels::scores8).
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let (count, width) = (out.len(), query.len());
    if !fits(count, keys.len(), width) {
        return (scalar::SCALAR.scores8)(out, query, keys);
    }
    out.fill(0);
    // SAFETY: it reads the query and a key of its length for each score, and adds to the scores.
    unsafe { scores8_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count, width, width / 8) };
}

/// See [`Kernels::scores16`](crate::kernels::Kernels::scores16).
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let (count, width) = (out.len(), query.len());
    if !fits(count, keys.len(), width) {
        return (scalar::SCALAR.scores16)(out, query, keys);
    }
    out.fill(0);
    // SAFETY: it reads the query and a key of its length for each score, and adds to the scores.
    unsafe { scores16_loop(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count, 2 * width, width / 8) };
}

/// See [`Kernels::weighted_sum`](crate::kernels::Kernels::weighted_sum).
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let (count, width) = (weights.len(), out.len());
    if !fits(count, values.len(), width) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    // SAFETY: it reads the weights and a value of `width` bytes for each, and adds to the sums.
    unsafe { weighted_sum_loop(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), count, width, width / 8) };
}
