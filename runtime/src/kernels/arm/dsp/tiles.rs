//! Products over weights in tiles of four rows by four columns.
//!
//! A tile is one `LDM` of four rows; `SXTB16` makes two pairs of each row, which `SMLAD` multiplies
//! by two words of activations: 18 instructions for 16 products. Two tokens share the pairs: 15
//! instructions.

use core::arch::naked_asm;

use crate::format::places::TILE;
use crate::kernels::scalar;

/// What [`one_token`] takes besides three pointers.
#[repr(C)]
struct OneToken {
    /// Tiles in a block.
    tiles: usize,
    /// Blocks of four rows.
    blocks: usize,
}

/// The bytes of a body of [`one_token`]'s loop.
macro_rules! tile_bytes {
    () => {
        70
    };
}

/// The products of one token.
///
/// # Safety
/// `weights` has `16 * tiles * blocks` bytes and `x` has `4 * tiles` values, both at a word's
/// boundary; `out` has room for `4 * blocks` sums. Neither `tiles` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const i16, out: *mut i32, shape: &OneToken) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4, r5}
          // Sixteen tiles to a turn. The first turn enters the loop `-tiles % 16` bodies late.
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
          // A block begins with these, in the order of its registers: x, three sums, turns, a sum,
          // the address of the first turn. Then follow `out` and the blocks that are left.
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

/// What [`two_tokens`] takes besides three pointers.
#[repr(C)]
struct TwoTokens {
    /// Bytes of one token's activations.
    x_bytes: usize,
    /// Bytes of one token's sums.
    out_bytes: usize,
    /// Blocks of four rows.
    blocks: usize,
}

/// The products of two tokens with two rows of each block: the rows at which `weights` and `out`
/// point.
///
/// # Safety
/// `weights` points to one of the two pairs of rows in the first of `blocks` blocks of
/// `2 * x_bytes` bytes, and `x` has `2 * x_bytes` bytes, both at a word's boundary; `out` points to
/// the pair's place in the sums of two tokens. `x_bytes` is a multiple of 32, and `blocks` is not
/// 0.
#[unsafe(naked)]
unsafe extern "C" fn two_tokens(weights: *const i8, x: *const i16, out: *mut i32, shape: &TwoTokens) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4-r6}
          // x of both tokens, out of both, blocks
          sub sp, #20
          adds r4, r1, r4
          strd r1, r4, [sp]
          adds r5, r2, r5
          strd r2, r5, [sp, #8]
          str r6, [sp, #16]
        1:
          ldrd r1, r2, [sp]
          movs r3, #0
          movs r4, #0
          movs r5, #0
          movs r6, #0
        2:
          .rept 4
          ldrd r7, r8, [r0], #16
          ldrd r10, r11, [r1], #8
          ldrd r12, lr, [r2], #8
          sxtb16 r9, r7
          sxtb16 r7, r7, ror #8
          smlad r3, r9, r10, r3
          smlad r5, r9, r12, r5
          smlad r3, r7, r11, r3
          smlad r5, r7, lr, r5
          sxtb16 r9, r8
          sxtb16 r8, r8, ror #8
          smlad r4, r9, r10, r4
          smlad r6, r9, r12, r6
          smlad r4, r8, r11, r4
          smlad r6, r8, lr, r6
          .endr
          // The first token's x ends where the second's begins.
          ldr r9, [sp, #4]
          cmp r1, r9
          bne 2b
          ldrd r7, r8, [sp, #8]
          strd r3, r4, [r7], #16
          strd r5, r6, [r8], #16
          strd r7, r8, [sp, #8]
          ldr r9, [sp, #16]
          subs r9, r9, #1
          str r9, [sp, #16]
          bne 1b
          add sp, #20
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// Values of sixteen bits that are widened on the stack: the activations of one token or of two.
pub(super) const WIDENED: usize = 768;

/// Values of sixteen bits, at a word's boundary.
#[repr(align(4))]
pub(super) struct Wide(pub(super) [i16; WIDENED]);

/// Bytes become values of sixteen bits.
pub(super) fn widen(to: &mut [i16], x: &[i8]) {
    for (to, &x) in to.iter_mut().zip(x) {
        *to = x.into();
    }
}

/// As [`tiles16`], over bytes, which are widened first.
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    let mut wide = Wide([0; WIDENED]);
    if cols > WIDENED {
        return tiles8_in_parts(out, x, weights, cols, &mut wide);
    }
    let tokens = if 2 * cols <= WIDENED { 2 } else { 1 };
    for (x, out) in x.chunks((tokens * cols).max(1)).zip(out.chunks_mut((tokens * rows).max(1))) {
        let Some(wide) = wide.0.get_mut(..x.len()) else { return };
        widen(wide, x);
        tiles16(out, wide, weights, cols);
    }
}

/// Rows that are too long to be widened at once: four rows of weights meet a part of one at a time.
#[inline(never)]
fn tiles8_in_parts(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize, wide: &mut Wide) {
    let rows = weights.len() / cols.max(1);
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let out = out.as_chunks_mut::<TILE>().0;
        out.as_flattened_mut().fill(0);
        for (part, x) in x.chunks(WIDENED).enumerate() {
            let Some(wide) = wide.0.get_mut(..x.len()) else { return };
            widen(wide, x);
            for (out, weights) in out.iter_mut().zip(weights.chunks_exact((TILE * cols).max(1))) {
                let weights = weights.get(TILE * WIDENED * part..).and_then(|weights| weights.get(..TILE * x.len()));
                let mut sums = [0; TILE];
                tiles16(&mut sums, wide, weights.unwrap_or(&[]), x.len());
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = out.wrapping_add(sum);
                }
            }
        }
    }
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles16(out: &mut [i32], mut x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4) && x.as_ptr().addr().is_multiple_of(4);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) || !aligned {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    let (blocks, mut out) = (rows / TILE, out);
    // Four tiles to a turn.
    if cols.is_multiple_of(4 * TILE) {
        while let (Some((two, others)), true) = (x.split_at_checked(2 * cols), out.len() >= 2 * rows) {
            let Some((sums, rest)) = core::mem::take(&mut out).split_at_mut_checked(2 * rows) else { return };
            for half in [0, 2] {
                let shape = TwoTokens { x_bytes: 2 * cols, out_bytes: 4 * rows, blocks };
                // SAFETY: of each four rows it reads two, at a word's boundary, and the activations
                // of two tokens, and writes two sums of each: `sums` has `rows` of each token.
                unsafe {
                    two_tokens(weights.as_ptr().add(TILE * half), two.as_ptr(), sums.as_mut_ptr().add(half), &shape);
                }
            }
            (x, out) = (others, rest);
        }
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let shape = OneToken { tiles: cols / TILE, blocks };
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word's boundary,
        // and writes `rows` sums: the lengths of the slices.
        unsafe { one_token(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}
