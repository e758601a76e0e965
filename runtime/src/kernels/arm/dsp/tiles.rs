//! Products over tiled weights, of four rows by four columns.
//!
//! One `LDM` loads the four rows of a tile; `SXTB16` extracts two pairs of each row, which `SMLAD`
//! multiplies by two words of activations: 18 instructions for 16 products. Two tokens share the
//! pairs, and their activations are interleaved, so that one load replaces two: 14 instructions.

use core::arch::naked_asm;

use bytemuck::cast_slice_mut;

use crate::format::places::TILE;
use crate::kernels::scalar;
use crate::kernels::table::Weights;

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// The number of tiles in a block.
    tiles: usize,
    /// The number of blocks of four rows.
    blocks: usize,
}

/// The bytes of a body of [`one_token`]'s loop.
macro_rules! tile_bytes {
    () => {
        70
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `weights` has `16 * tiles * blocks` bytes and `x` has `4 * tiles` values, both at a word
/// boundary; `out` has room for `4 * blocks` sums. Neither `tiles` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const i16, out: *mut i32, shape: &OneToken) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4, r5}
          // The loop is unrolled by sixteen tiles, and entered `-tiles % 16` bodies late.
          add r6, r4, #15
          lsrs r6, r6, #4
          rsb r4, r4, r6, lsl #4
        ",
        concat!("movs r7, #", tile_bytes!()),
        "
          muls r4, r7
          adr r7, 2f
          add r4, r7
          orr r4, r4, #1
          // On the stack, the initial registers of a block: x, three sums, the number of
          // iterations, a sum, the entry of the loop. Then out, and the number of blocks left.
          sub sp, #36
          movs r7, #0
          strd r1, r7, [sp]
          strd r7, r7, [sp, #8]
          strd r6, r7, [sp, #16]
          strd r4, r2, [sp, #24]
          str r5, [sp, #32]
        1:
          ldm sp, {r1, r6, r7, r8, r11, r12, pc}
        ",
        unrolled!(
            16,
            tile_bytes!(),
            "
              ldrd r9, r10, [r1], #8
              ldmia r0!, {r2-r5}
              sxtb16 lr, r2
              sxtb16 r2, r2, ror #8
              smlad r6, lr, r9, r6
              smlad r6, r2, r10, r6
              sxtb16 lr, r3
              sxtb16 r3, r3, ror #8
              smlad r7, lr, r9, r7
              smlad r7, r3, r10, r7
              sxtb16 lr, r4
              sxtb16 r4, r4, ror #8
              smlad r8, lr, r9, r8
              smlad r8, r4, r10, r8
              sxtb16 lr, r5
              sxtb16 r5, r5, ror #8
              smlad r12, lr, r9, r12
              smlad r12, r5, r10, r12
            "
        ),
        "
          subs r11, r11, #1
          bne 2b
          ldrd r2, r3, [sp, #28]
          stmia r2!, {r6, r7, r8, r12}
          subs r3, r3, #1
          strd r2, r3, [sp, #28]
          bne 1b
          add sp, #36
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Arguments of [`two_tokens`] in addition to three pointers.
#[repr(C)]
struct TwoTokens {
    /// The number of columns, divided by four.
    tiles: usize,
    /// The address where the first token's sums end.
    end: *const i32,
    /// Bytes of one token's sums.
    out_bytes: usize,
}

/// The bytes of a body of [`two_tokens`]'s loop.
macro_rules! half_tile_bytes {
    () => {
        56
    };
}

/// Computes the products of two tokens, interleaved in `x` by [`interleave`] or [`interleave8`],
/// with two of the four rows of each block, the rows that `weights` and `out` point to.
///
/// # Safety
/// `weights` points to two of the four rows of the first block; blocks have `16 * tiles` bytes, and
/// there are as many as sums up to `end`. `x` has `8 * tiles` values. Both are at a word boundary.
/// `out` points to the rows' sums among the first token's sums; the second token's sums are
/// `out_bytes` later. Neither `tiles` nor the number of blocks is 0.
#[unsafe(naked)]
unsafe extern "C" fn two_tokens(weights: *const i8, x: *const i16, out: *mut i32, by: &TwoTokens) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r3-r5}
          // The loop is unrolled by eight tiles, and entered `-tiles % 8` bodies late.
          add r7, r1, r3, lsl #4
          rsbs r3, r3, #0
          and r3, r3, #7
        ",
        concat!("mov r8, #", half_tile_bytes!()),
        "
          mul r3, r3, r8
          adr r8, 2f
          add r3, r8
          orr r3, r3, #1
          // On the stack, the initial registers of a block: x, four sums, the entry of the loop. Then
          // out of both tokens, and its end.
          sub sp, #36
          add r5, r2
          strd r2, r5, [sp, #24]
          str r4, [sp, #32]
          mov r2, r7
          movs r7, #0
          strd r1, r7, [sp]
          strd r7, r7, [sp, #8]
          strd r7, r3, [sp, #16]
        1:
          ldm sp, {r1, r3-r6, pc}
        ",
        unrolled!(
            8,
            half_tile_bytes!(),
            "
              ldrd r7, r8, [r0], #16
              ldmia r1!, {r9-r12}
              sxtb16 lr, r7
              sxtb16 r7, r7, ror #8
              smlad r3, lr, r9, r3
              smlad r5, lr, r11, r5
              smlad r3, r7, r10, r3
              smlad r5, r7, r12, r5
              sxtb16 lr, r8
              sxtb16 r8, r8, ror #8
              smlad r4, lr, r9, r4
              smlad r6, lr, r11, r6
              smlad r4, r8, r10, r4
              smlad r6, r8, r12, r6
            "
        ),
        "
          cmp r1, r2
          bne 2b
          add r12, sp, #24
          ldm r12, {r7, r8, r9}
          strd r3, r4, [r7], #16
          strd r5, r6, [r8], #16
          strd r7, r8, [r12]
          cmp r7, r9
          blo 1b
          add sp, #36
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Interleaves four values of `x` with four values of `other`.
///
/// # Safety
/// `x` and `other` have `4 * tiles` values, at a word boundary, and `to` has room for both; `tiles`
/// is not 0.
#[unsafe(naked)]
unsafe extern "C" fn interleave_loop(to: *mut i16, x: *const i16, other: *const i16, tiles: usize) {
    naked_asm!(
        "
          push {r4-r7}
        1:
          ldrd r4, r5, [r1], #8
          ldrd r6, r7, [r2], #8
          stmia r0!, {r4-r7}
          subs r3, r3, #1
          bne 1b
          pop {r4-r7}
          bx lr
        ",
        options(raw)
    )
}

/// Interleaves two tokens, both at a word boundary, four columns at a time.
fn interleave(to: &mut [i16], x: &[i16], other: &[i16]) {
    let tiles = x.len().min(other.len()).min(to.len() / 2) / TILE;
    if tiles > 0 {
        // SAFETY: it reads `4 * tiles` values of both slices, at a word boundary, and writes
        // `8 * tiles` values.
        unsafe { interleave_loop(to.as_mut_ptr(), x.as_ptr(), other.as_ptr(), tiles) };
    }
}

/// [`interleave`] for bytes, which are widened.
fn interleave8(to: &mut [i16], x: &[i8], other: &[i8]) {
    let fours = x.as_chunks::<TILE>().0.iter().zip(other.as_chunks::<TILE>().0);
    for (to, (&[a, b, c, d], &[e, f, g, h])) in to.as_chunks_mut().0.iter_mut().zip(fours) {
        let wide = i16::from;
        *to = [wide(a), wide(b), wide(c), wide(d), wide(e), wide(f), wide(g), wide(h)];
    }
}

/// Multiplies two tokens at a time, if they fit `room`, and returns the activations and the sums of
/// the others. The weights are at a word boundary, and sizes are multiples of four.
#[inline(never)]
fn in_twos<'a, X>(
    out: &'a mut [i32],
    x: &'a [X],
    weights: &[i8],
    cols: usize,
    room: &mut [i32],
    interleave: fn(&mut [i16], &[X], &[X]),
) -> (&'a [X], &'a mut [i32]) {
    let rows = weights.len() / cols.max(1);
    let Some(room) = cast_slice_mut(room).get_mut(..2 * cols) else { return (x, out) };
    let mut done = 0;
    for (x, out) in scalar::tokens(x, 2 * cols, out, 2 * rows) {
        let (x, other) = x.split_at_checked(cols).unwrap_or((&[], &[]));
        interleave(room, x, other);
        let by = TwoTokens { tiles: cols / TILE, end: out.as_ptr().wrapping_add(rows), out_bytes: 4 * rows };
        for half in [0, 2] {
            // SAFETY: of each four rows it reads two, at a word boundary, and the activations of
            // two tokens, and writes two sums of each: `out` has `rows` of each token.
            unsafe {
                let (weights, out) = (weights.as_ptr().add(TILE * half), out.as_mut_ptr().add(half));
                two_tokens(weights, room.as_ptr(), out, &by);
            }
        }
        done += 2;
    }
    (x.get(done * cols..).unwrap_or(&[]), out.get_mut(done * rows..).unwrap_or(&mut []))
}

/// Whether the loops support the weights.
fn fits(weights: &[i8], cols: usize) -> bool {
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4);
    rows > 0 && rows.is_multiple_of(TILE) && cols.is_multiple_of(TILE) && aligned
}

/// [`tiles16_with_room`] over 8-bit activations, which are widened first.
pub(super) fn tiles8_with_room(
    out: &mut [i32],
    x: &[i8],
    weights: &Weights<'_>,
    cols: usize,
    room: &mut [i32],
) -> bool {
    let weights = weights.bytes;
    if !fits(weights, cols) {
        return false;
    }
    let (x, out) = if x.len() < 2 * cols { (x, out) } else { in_twos(out, x, weights, cols, room, interleave8) };
    scalar::widened_in(room, out, x, weights, cols, tiles16)
}

/// [`tiles16`] that interleaves the activations of two tokens.
pub(super) fn tiles16_with_room(
    out: &mut [i32],
    x: &[i16],
    weights: &Weights<'_>,
    cols: usize,
    room: &mut [i32],
) -> bool {
    let weights = weights.bytes;
    if !fits(weights, cols) || !x.as_ptr().addr().is_multiple_of(4) {
        return false;
    }
    let (x, out) = if x.len() < 2 * cols { (x, out) } else { in_twos(out, x, weights, cols, room, interleave) };
    in_ones(out, x, weights, cols);
    true
}

/// [`tiles8_with_room`] for few columns.
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::widened(out, x, weights, cols, tiles16);
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if !fits(weights, cols) || !x.as_ptr().addr().is_multiple_of(4) {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    in_ones(out, x, weights, cols);
}

/// Multiplies one token at a time. The activations and the weights are at a word boundary, and
/// sizes are multiples of four.
#[inline(always)]
fn in_ones(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let shape = OneToken { tiles: cols / TILE, blocks: rows / TILE };
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word boundary,
        // and writes `rows` sums: the lengths of the slices.
        unsafe { one_token(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}
