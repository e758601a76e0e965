//! Products over tiled weights, of four rows by four columns.
//!
//! The four rows of a tile have a pointer each and share an offset register. Activations are
//! widened to words first. The 16 products of a tile take 56 instructions.

use core::arch::naked_asm;

use super::widened::{COLUMNS, Word, end_of, widen, widen16};
use crate::format::places::TILE;
use crate::kernels::scalar;

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// The address where the sums end.
    end: usize,
    /// Bytes to read of each block.
    read_bytes: usize,
    /// Bytes from a block to the next.
    block_bytes: usize,
    /// 0 to overwrite the sums; otherwise products are added to them.
    add: usize,
}

/// A column of a tile; the next one is `$next` bytes further.
macro_rules! column {
    ($next:expr) => {
        lines!("ldmia r7!, {r5}", four_products!("ldrsb"), concat!("adds r4, #", $next))
    };
}

/// The columns of a tile. Advances to the next tile.
macro_rules! tile {
    () => {
        lines!(column!("1"), column!("1"), column!("1"), column!("13"))
    };
}

/// Computes the products of one token, or of a range of its columns.
///
/// # Safety
/// `sums` ends at `end`, and has four values for each block, at least one block. `weights` has
/// `read_bytes` bytes at every multiple of `block_bytes`, for each block. `x` has `read_bytes / 4`
/// initialized values. `read_bytes` is a multiple of 16, and not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const Word, sums: *mut i32, shape: &OneToken) {
    naked_asm!(
        save!(),
        "
          ldmia r3!, {r4-r7}
          // On the stack: x, sums, end, add.
          sub sp, #16
          str r1, [sp]
          str r2, [sp, #4]
          str r4, [sp, #8]
          str r7, [sp, #12]
          // The offset counts up to zero, relative to the end of each row.
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

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, widen, scalar::SCALAR.products8.tiles);
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
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
    // One token is the most common case, and needs no division.
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
