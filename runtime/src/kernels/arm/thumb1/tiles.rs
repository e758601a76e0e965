//! Products over weights in tiles of four rows by four columns.
//!
//! The four rows of a tile have a pointer each and share an offset. Activations are widened to
//! words first: 56 instructions for the 16 products of a tile.

use core::arch::naked_asm;

use super::widened::{COLUMNS, Word, end_of, widen, widen16};
use crate::format::places::TILE;
use crate::kernels::scalar;

/// What [`one_token`] takes besides three pointers.
#[repr(C)]
struct OneToken {
    /// The address where the sums end.
    end: usize,
    /// Bytes of a block that are read.
    read_bytes: usize,
    /// Bytes from a block to the next.
    block_bytes: usize,
    /// 0 where sums begin anew; else the products are added to them.
    add: usize,
}

/// A column of a tile; `$next` is how far the next one is.
macro_rules! column {
    ($next:expr) => {
        lines!("ldmia r7!, {r5}", four_products!("ldrsb"), concat!("adds r4, #", $next))
    };
}

/// The columns of a tile, and on to the next one.
macro_rules! tile {
    () => {
        lines!(column!("1"), column!("1"), column!("1"), column!("13"))
    };
}

/// The products of one token, or of some of its columns.
///
/// # Safety
/// `sums` ends at `end`, and has four values for each block, at least one. `weights` has
/// `read_bytes` bytes at every multiple of `block_bytes`, for each block. `x` has `read_bytes / 4`
/// values, all written. `read_bytes` is a multiple of 16, and not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const Word, sums: *mut i32, shape: &OneToken) {
    naked_asm!(
        save!(),
        "
          ldmia r3!, {r4-r7}
          // x, sums, their end, whether to add
          sub sp, #16
          str r1, [sp]
          str r2, [sp, #4]
          str r4, [sp, #8]
          str r7, [sp, #12]
          // The offset goes up to zero from the end of each row.
          adds r0, r0, r5
          adds r1, r0, #4
          movs r2, r0
          adds r2, #8
          movs r3, r0
          adds r3, #12
          mov r12, r6
          rsbs r5, r5, #0
          mov lr, r5
          b 1f
        5:
        ",
        load_sums!("4"),
        "
          b 6f
        1:
          ldr r5, [sp, #12]
          cmp r5, #0
          bne 5b
        ",
        no_sums!(),
        "
        6:
          ldr r7, [sp]
          mov r4, lr
          lsls r5, r4, #27
          bpl 2f
        ",
        tile!(),
        "
          beq 3f
        2:
        ",
        tile!(),
        tile!(),
        "
          bne 2b
        3:
        ",
        store_sums!("4"),
        "
          add r0, r12
          add r1, r12
          add r2, r12
          add r3, r12
          ldr r6, [sp, #8]
          cmp r7, r6
          beq 4f
          b 1b
        4:
          add sp, #16
        ",
        restore!(),
        options(raw)
    )
}

/// See [`Kernels::tiles8`](crate::kernels::Kernels::tiles8).
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, widen, scalar::SCALAR.products8.tiles);
}

/// See [`Kernels::tiles16`](crate::kernels::Kernels::tiles16).
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, widen16, scalar::SCALAR.products16.tiles);
}

fn tiles<X>(
    out: &mut [i32],
    x: &[X],
    weights: &[i8],
    cols: usize,
    widen: fn(&mut [Word; COLUMNS], &[X]),
    definition: fn(&mut [i32], &[X], &[i8], usize),
) {
    // One token is what is most often asked for, and needs no division.
    let one = x.len() == cols && cols > 0 && out.len() * cols == weights.len();
    let rows = if one { out.len() } else { weights.len() / cols.max(1) };
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) {
        return definition(out, x, weights, cols);
    }
    let mut words = [const { Word::uninit() }; COLUMNS];
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let mut first = 0;
        for x in x.chunks(COLUMNS) {
            widen(&mut words, x);
            let shape = OneToken { end: end_of(out), read_bytes: TILE * x.len(), block_bytes: TILE * cols, add: first };
            let Some(weights) = weights.get(TILE * first..) else { return };
            // SAFETY: of each block of four rows it reads these columns, and a word for each:
            // `COLUMNS` at most, all widened. It writes or adds to `rows` sums: the lengths of the
            // slices.
            unsafe { one_token(weights.as_ptr(), words.as_ptr(), out.as_mut_ptr(), &shape) };
            first += x.len();
        }
    }
}
