//! Products over weights with rows interleaved in pairs.
//!
//! A word of weights is two columns of an upper and a lower row: each halfword is 256 times the
//! lower row's weight plus the upper row's weight with an offset of 128; `UXTB16` extracts the
//! upper row. The first product sums both rows in 64 bits, the second sums the upper row: 14
//! instructions for 16 products.

use core::arch::naked_asm;

use bytemuck::cast_slice_mut;

use crate::format::places::TILE;
use crate::kernels::scalar;
use crate::kernels::table::Weights;

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// The number of columns, divided by four.
    tiles: usize,
    /// The number of blocks of four rows.
    blocks: usize,
    /// The initial sum of a pair of rows: see [`begin_of`].
    begin: i64,
}

/// The bytes of a body of [`one_token`]'s loop.
macro_rules! tile_bytes {
    () => {
        54
    };
}

/// Computes the lower row's sum, in `$low`, from the 64-bit sum of both rows and the upper row's
/// sum: their difference divided by 256.
macro_rules! separate {
    ($upper:literal, $low:literal, $high:literal) => {
        concat!(
            "lsr ",
            $low,
            ", ",
            $low,
            ", #8\n",
            "orr ",
            $low,
            ", ",
            $low,
            ", ",
            $high,
            ", lsl #24\n",
            "sub ",
            $low,
            ", ",
            $low,
            ", ",
            $upper,
            ", asr #8"
        )
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `weights` has `16 * tiles * blocks` bytes and `x` has `4 * tiles` values, both at a word
/// boundary; `out` has room for `4 * blocks` sums. Neither `tiles` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const i16, out: *mut i32, by: &OneToken) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4-r7}
          // The loop is unrolled by sixteen tiles, and entered `-tiles % 16` bodies late.
          add r8, r1, r4, lsl #3
          rsbs r4, r4, #0
          and r4, r4, #15
        ",
        concat!("mov r9, #", tile_bytes!()),
        "
          mul r4, r4, r9
          adr r9, 2f
          add r4, r9
          orr r4, r4, #1
          // On the stack, the initial registers of a block: x, the sums of both pairs, the entry of
          // the loop. Then the end of x, out, and the number of blocks left.
          sub sp, #44
          strd r1, r6, [sp]
          strd r6, r7, [sp, #8]
          strd r6, r6, [sp, #16]
          strd r7, r4, [sp, #24]
          strd r8, r2, [sp, #32]
          str r5, [sp, #40]
        1:
          ldm sp, {r1, r7, r8, r9, r10, r11, r12, pc}
        ",
        unrolled!(
            16,
            tile_bytes!(),
            "
              ldrd r6, lr, [r1], #8
              ldmia r0!, {r2-r5}
              smlald r8, r9, r2, r6
              uxtb16 r2, r2
              smlad r7, r2, r6, r7
              smlald r8, r9, r3, lr
              uxtb16 r3, r3
              smlad r7, r3, lr, r7
              smlald r11, r12, r4, r6
              uxtb16 r4, r4
              smlad r10, r4, r6, r10
              smlald r11, r12, r5, lr
              uxtb16 r5, r5
              smlad r10, r5, lr, r10
            "
        ),
        "
          ldr r2, [sp, #32]
          cmp r1, r2
          bne 2b
        ",
        separate!("r7", "r8", "r9"),
        separate!("r10", "r11", "r12"),
        "
          ldrd r2, r3, [sp, #36]
          stmia r2!, {r7, r8, r10, r11}
          subs r3, r3, #1
          strd r2, r3, [sp, #36]
          bne 1b
          add sp, #44
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Arguments of [`two_tokens`] in addition to three pointers.
#[repr(C)]
struct TwoTokens {
    /// The initial sum of a pair of rows for each token: see [`begin_of`].
    begin: [i64; 2],
    /// The number of columns, divided by four.
    tiles: usize,
    /// The number of blocks of four rows.
    blocks: usize,
    /// Bytes of one token's sums.
    out_bytes: usize,
}

/// The bytes of a body of [`two_tokens`]'s loop.
macro_rules! half_tile_bytes {
    () => {
        46
    };
}

/// Computes the products of two tokens, interleaved in `x` by [`interleave`], with one pair of rows
/// of each block: the pair that `weights` and `out` point to.
///
/// # Safety
/// `weights` points to a pair in the first of `blocks` blocks of `16 * tiles` bytes, and `x` has
/// `8 * tiles` values, both at a word boundary. `out` points to the pair's sums among the first
/// token's sums; the second token's sums are `out_bytes` later. Neither `tiles` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn two_tokens(weights: *const i8, x: *const i16, out: *mut i32, by: &TwoTokens) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4-r10}
          // The loop is unrolled by eight tiles, and entered `-tiles % 8` bodies late.
          add r11, r1, r8, lsl #4
          rsbs r8, r8, #0
          and r8, r8, #7
        ",
        concat!("mov r12, #", half_tile_bytes!()),
        "
          mul r8, r8, r12
          adr r12, 2f
          add r8, r12
          orr r8, r8, #1
          // On the stack: x, the initial sums of both tokens; the entry of the loop, the end of x,
          // out of both tokens, and the number of blocks left.
          sub sp, #48
          strd r1, r4, [sp]
          strd r4, r5, [sp, #8]
          strd r6, r6, [sp, #16]
          strd r7, r8, [sp, #24]
          strd r11, r2, [sp, #32]
          add r2, r10
          strd r2, r9, [sp, #40]
        1:
          ldm sp, {r1, r8, r9, r10, r11, r12, lr}
          ldr pc, [sp, #28]
        ",
        unrolled!(
            8,
            half_tile_bytes!(),
            "
              ldrd r6, r7, [r0], #16
              ldmia r1!, {r2-r5}
              smlald r9, r10, r6, r2
              smlald r12, lr, r6, r4
              uxtb16 r6, r6
              smlad r8, r6, r2, r8
              smlad r11, r6, r4, r11
              smlald r9, r10, r7, r3
              smlald r12, lr, r7, r5
              uxtb16 r7, r7
              smlad r8, r7, r3, r8
              smlad r11, r7, r5, r11
            "
        ),
        "
          ldr r2, [sp, #32]
          cmp r1, r2
          bne 2b
        ",
        separate!("r8", "r9", "r10"),
        separate!("r11", "r12", "lr"),
        "
          ldrd r2, r3, [sp, #36]
          ldr r4, [sp, #44]
          strd r8, r9, [r2], #16
          strd r11, r12, [r3], #16
          subs r4, r4, #1
          strd r2, r3, [sp, #36]
          str r4, [sp, #44]
          bne 1b
          add sp, #48
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Returns the sum of a token's activations.
///
/// # Safety
/// `x` has `4 * tiles` values, at a word boundary.
#[unsafe(naked)]
unsafe extern "C" fn sum(x: *const i16, tiles: usize) -> i32 {
    naked_asm!(
        cpu!(),
        r"
          push {r4-r10, lr}
          mov r2, #0x00010001
          movs r3, #0
          lsrs r10, r1, #2
          beq 2f
        1:
          ldmia r0!, {r4-r9, r12, lr}
          .irp pair, r4, r5, r6, r7, r8, r9, r12, lr
          smlad r3, \pair, r2, r3
          .endr
          subs r10, r10, #1
          bne 1b
        2:
          ands r1, r1, #3
          beq 4f
        3:
          ldrd r4, r5, [r0], #8
          smlad r3, r4, r2, r3
          smlad r3, r5, r2, r3
          subs r1, r1, #1
          bne 3b
        4:
          mov r0, r3
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// Interleaves four values of `x` with four values of `other`. Returns the sums of both, that of
/// `x` in the low word.
///
/// # Safety
/// `x` and `other` have `4 * tiles` values, at a word boundary, and `to` has room for both; `tiles`
/// is not 0.
#[unsafe(naked)]
unsafe extern "C" fn interleave(to: *mut i16, x: *const i16, other: *const i16, tiles: usize) -> u64 {
    naked_asm!(
        cpu!(),
        "
          push {r4-r9}
          mov r12, #0x00010001
          movs r8, #0
          movs r9, #0
        1:
          ldrd r4, r5, [r1], #8
          ldrd r6, r7, [r2], #8
          smlad r8, r4, r12, r8
          smlad r9, r6, r12, r9
          smlad r8, r5, r12, r8
          smlad r9, r7, r12, r9
          stmia r0!, {r4-r7}
          subs r3, r3, #1
          bne 1b
          mov r0, r8
          mov r1, r9
          pop {r4-r9}
          bx lr
        ",
        options(raw)
    )
}

/// The initial sum of a pair, for activations with this `sum`: the upper row carries an offset of
/// 128, so its sum starts at `-128 * sum`.
///
/// The lower row is correct if the upper row's sum fits 32 bits. The only exception is `2^31`, if
/// all activations are at their minimum and all weights are -128: then this is `None`.
fn begin_of(sum: i32) -> Option<i64> {
    (sum > -1 << 24).then(|| i64::from(sum) * -128)
}

/// [`paired16`] over 8-bit activations, which are widened first.
pub(super) fn paired8(out: &mut [i32], x: &[i8], weights: &Weights<'_>, cols: usize, room: &mut [i32]) -> bool {
    let rows = weights.bytes.len() / cols.max(1);
    let tokens = if room.len() < 2 * cols { 1 } else { 2 };
    let Some((wide, room)) = room.split_at_mut_checked(tokens * cols / 2) else { return false };
    x.chunks((tokens * cols).max(1)).zip(out.chunks_mut((tokens * rows).max(1))).all(|(x, out)| {
        let Some(wide) = cast_slice_mut(wide).get_mut(..x.len()) else { return false };
        wide.iter_mut().zip(x).for_each(|(wide, &narrow)| *wide = narrow.into());
        paired16(out, wide, weights, cols, room)
    })
}

/// See [`Products::paired`](crate::kernels::table::Products::paired).
pub(super) fn paired16(
    mut out: &mut [i32],
    mut x: &[i16],
    weights: &Weights<'_>,
    cols: usize,
    room: &mut [i32],
) -> bool {
    let weights = weights.bytes;
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4) && x.as_ptr().addr().is_multiple_of(4);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) || !aligned {
        return false;
    }
    if x.len() >= 2 * cols {
        match in_twos(out, x, weights, cols, room) {
            Some(tokens) => {
                x = x.get(tokens * cols..).unwrap_or(&[]);
                out = out.get_mut(tokens * rows..).unwrap_or(&mut []);
            }
            None => return false,
        }
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        // SAFETY: it reads `cols` activations at a word boundary.
        let Some(begin) = begin_of(unsafe { sum(x.as_ptr(), cols / TILE) }) else { return false };
        let by = OneToken { tiles: cols / TILE, blocks: rows / TILE, begin };
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word boundary,
        // and writes `rows` sums: the lengths of the slices.
        unsafe { one_token(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &by) };
    }
    true
}

/// Multiplies two tokens at a time, if they fit `room`, and returns the number of tokens; `None` if
/// [`begin_of`] is.
#[inline(never)]
fn in_twos(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize, room: &mut [i32]) -> Option<usize> {
    let (rows, tiles) = (weights.len() / cols.max(1), cols / TILE);
    let Some(room) = cast_slice_mut::<_, i16>(room).get_mut(..2 * cols) else { return Some(0) };
    let mut done = 0;
    for (x, out) in scalar::tokens(x, 2 * cols, out, 2 * rows) {
        // SAFETY: it reads the activations of two tokens at a word boundary, and writes as many,
        // for which there is room.
        let sums = unsafe { interleave(room.as_mut_ptr(), x.as_ptr(), x.as_ptr().add(cols), tiles) };
        let begin = [begin_of(sums as i32)?, begin_of((sums >> 32) as i32)?];
        let by = TwoTokens { begin, tiles, blocks: rows / TILE, out_bytes: 4 * rows };
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
    Some(done)
}
