//! The DSP extension of Cortex-M4, M7 and M33: two products of 16-bit values to an instruction.
//!
//! The compiler never makes an `SMLAD` of a loop, so the loop over tiles is written by hand. A tile is one `LDM` of four rows with
//! four columns each; `SXTB16` makes two pairs of each row, which meet two words of activations: 18 instructions for 16
//! products.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use crate::format::spec::TILE;

/// The set for this target, which has the extension.
pub(crate) static DSP: Kernels =
    Kernels { name: "arm-dsp", tiles8, tiles16, scores8, scores16, weighted_sum, ..scalar::SCALAR };

/// An Armv8-M target does not say that its core has the extension.
#[cfg(feature = "dsp")]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(feature = "dsp"))]
macro_rules! cpu {
    () => {
        ""
    };
}

core::arch::global_asm!(
    cpu!(),
    r#"
    .syntax unified
    .thumb

    .macro kinglet_tile
      ldrd r9, r10, [r1], #8
      ldmia r0!, {{r2-r5}}
      sxtb16 r11, r2
      sxtb16 r2, r2, ror #8
      smlad r6, r11, r9, r6
      smlad r6, r2, r10, r6
      sxtb16 r11, r3
      sxtb16 r3, r3, ror #8
      smlad r7, r11, r9, r7
      smlad r7, r3, r10, r7
      sxtb16 r11, r4
      sxtb16 r4, r4, ror #8
      smlad r8, r11, r9, r8
      smlad r8, r4, r10, r8
      sxtb16 r11, r5
      sxtb16 r5, r5, ror #8
      smlad r12, r11, r9, r12
      smlad r12, r5, r10, r12
    .endm

    // weights, x, out, shape: {{blocks of four rows, tiles / 8, tiles % 8}}
    .section .text.kinglet_dsp_tiles, "ax", %progbits
    .global kinglet_dsp_tiles
    .type kinglet_dsp_tiles, %function
    .thumb_func
    kinglet_dsp_tiles:
      push {{r4-r11, lr}}
      ldmia r3, {{r4-r6}}
      // x, tiles / 8, tiles % 8, out, blocks
      sub sp, #20
      strd r1, r5, [sp]
      str r6, [sp, #8]
      strd r2, r4, [sp, #12]
    1:
      ldrd r1, lr, [sp]
      movs r6, #0
      movs r7, #0
      mov r8, r6
      mov r12, r6
      cmp lr, #0
      beq 3f
    2:
      kinglet_tile
      kinglet_tile
      kinglet_tile
      kinglet_tile
      kinglet_tile
      kinglet_tile
      kinglet_tile
      kinglet_tile
      subs lr, lr, #1
      bne 2b
    3:
      ldr lr, [sp, #8]
      cmp lr, #0
      beq 5f
    4:
      kinglet_tile
      subs lr, lr, #1
      bne 4b
    5:
      ldrd r2, r3, [sp, #12]
      stmia r2!, {{r6, r7, r8, r12}}
      subs r3, r3, #1
      strd r2, r3, [sp, #12]
      bne 1b
      add sp, #20
      pop {{r4-r11, pc}}
    .size kinglet_dsp_tiles, . - kinglet_dsp_tiles
    .purgem kinglet_tile

    // out, weights, values, shape: {{keys, head_dim, head_dim / 8}}
    .section .text.kinglet_dsp_weighted_sum, "ax", %progbits
    .global kinglet_dsp_weighted_sum
    .type kinglet_dsp_weighted_sum, %function
    .thumb_func
    kinglet_dsp_weighted_sum:
      push {{r4-r11, lr}}
      ldmia r3, {{r4-r6}}
      // out, weights, values, keys, head_dim, blocks
      sub sp, #24
      stm sp, {{r0-r2, r4-r6}}
    1:
      ldm sp, {{r0-r3}}
      ldm r0, {{r4-r11}}
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
      stmia r0!, {{r4-r11}}
      adds r1, r1, #8
      str r0, [sp]
      str r1, [sp, #8]
      subs r2, r2, #1
      str r2, [sp, #20]
      bne 1b
      add sp, #24
      pop {{r4-r11, pc}}
    .size kinglet_dsp_weighted_sum, . - kinglet_dsp_weighted_sum

    // out, query in words of two, keys of eight, how many keys
    .section .text.kinglet_dsp_scores16_of_8, "ax", %progbits
    .global kinglet_dsp_scores16_of_8
    .type kinglet_dsp_scores16_of_8, %function
    .thumb_func
    kinglet_dsp_scores16_of_8:
      push {{r4-r11}}
      ldmia r1, {{r4-r7}}
    1:
      ldmia r2!, {{r8-r11}}
      smuad r12, r4, r8
      smlad r12, r5, r9, r12
      smlad r12, r6, r10, r12
      smlad r12, r7, r11, r12
      str r12, [r0], #4
      subs r3, r3, #1
      bne 1b
      pop {{r4-r11}}
      bx lr
    .size kinglet_dsp_scores16_of_8, . - kinglet_dsp_scores16_of_8

    // out, query in words of two, keys, shape: {{keys, head_dim / 4}}
    .section .text.kinglet_dsp_scores16, "ax", %progbits
    .global kinglet_dsp_scores16
    .type kinglet_dsp_scores16, %function
    .thumb_func
    kinglet_dsp_scores16:
      push {{r4-r10}}
      ldmia r3, {{r3, r4}}
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
      pop {{r4-r10}}
      bx lr
    .size kinglet_dsp_scores16, . - kinglet_dsp_scores16

    // out, query in words of two (columns 0 and 2, then 1 and 3), keys, shape: {{keys, head_dim / 4}}
    .section .text.kinglet_dsp_scores8, "ax", %progbits
    .global kinglet_dsp_scores8
    .type kinglet_dsp_scores8, %function
    .thumb_func
    kinglet_dsp_scores8:
      push {{r4-r10}}
      ldmia r3, {{r3, r4}}
    1:
      mov r5, r1
      mov r6, r4
      movs r12, #0
    2:
      ldrd r7, r8, [r5], #8
      ldr r9, [r2], #4
      sxtb16 r10, r9
      sxtb16 r9, r9, ror #8
      smlad r12, r7, r10, r12
      smlad r12, r8, r9, r12
      subs r6, r6, #1
      bne 2b
      str r12, [r0], #4
      subs r3, r3, #1
      bne 1b
      pop {{r4-r10}}
      bx lr
    .size kinglet_dsp_scores8, . - kinglet_dsp_scores8
    "#
);

unsafe extern "C" {
    fn kinglet_dsp_weighted_sum(out: *mut i32, weights: *const i32, values: *const i8, shape: &[usize; 3]);
    fn kinglet_dsp_scores16_of_8(out: *mut i32, query: *const i16, keys: *const i16, count: usize);
    fn kinglet_dsp_scores16(out: *mut i32, query: *const i16, keys: *const i16, shape: &[usize; 2]);
    fn kinglet_dsp_scores8(out: *mut i32, query: *const i16, keys: *const i8, shape: &[usize; 2]);
    fn kinglet_dsp_tiles(weights: *const i8, x: *const i16, out: *mut i32, shape: &[usize; 3]);
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::widened(out, x, weights, cols, tiles16);
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4) && x.as_ptr().addr().is_multiple_of(4);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) || !aligned {
        return (scalar::SCALAR.tiles16)(out, x, weights, cols);
    }
    let shape = [rows / TILE, cols / TILE / 8, cols / TILE % 8];
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word's boundary, and writes `rows` sums:
        // as many as the slices have.
        unsafe { kinglet_dsp_tiles(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let head_dim = out.len();
    let count = weights.len().min(values.len() / head_dim.max(1));
    if count == 0 || !head_dim.is_multiple_of(8) || !values.as_ptr().addr().is_multiple_of(4) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    let shape = [count, head_dim, head_dim / 8];
    // SAFETY: it reads `count` weights, and as many values of `head_dim` bytes at a word's boundary; it reads and writes `head_dim` sums.
    unsafe { kinglet_dsp_weighted_sum(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape) };
}

/// The widest head that is not left to the definition.
const HEAD: usize = 128;

/// A query in sixteen bits, at a word's boundary.
#[repr(align(4))]
struct Query([i16; HEAD]);

/// How many keys there are, when they and the query are such as the loops take.
fn keys_of<K>(out: &[i32], query: &[i16], keys: &[K]) -> Option<usize> {
    let head_dim = query.len();
    let count = out.len().min(keys.len() / head_dim.max(1));
    let fits = head_dim.is_multiple_of(TILE)
        && head_dim <= HEAD
        && keys.as_ptr().addr().is_multiple_of(4)
        && query.as_ptr().addr().is_multiple_of(4);
    (fits && count > 0).then_some(count)
}

fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let Some(count) = keys_of(out, query, keys) else { return (scalar::SCALAR.scores16)(out, query, keys) };
    // SAFETY: they read the query and `count` keys as long as it, all at a word's boundary, and write `count` scores.
    unsafe {
        match query.len() {
            8 => kinglet_dsp_scores16_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count),
            head_dim => {
                kinglet_dsp_scores16(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &[count, head_dim / TILE]);
            }
        }
    }
}

fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let Some(count) = keys_of(out, query, keys) else { return (scalar::SCALAR.scores8)(out, query, keys) };
    let mut wide = Query([0; HEAD]);
    for (wide, &[a, b, c, d]) in wide.0.as_chunks_mut().0.iter_mut().zip(query.as_chunks().0) {
        *wide = [a, c, b, d];
    }
    // SAFETY: it reads the query and `count` keys as long as it, all at a word's boundary, and writes `count` scores.
    unsafe {
        kinglet_dsp_scores8(out.as_mut_ptr(), wide.0.as_ptr(), keys.as_ptr(), &[count, query.len() / TILE]);
    }
}
