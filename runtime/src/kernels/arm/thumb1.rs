//! Cortex-M0 and M0+: eight registers that compute, loads of signed bytes only with a register for offset, no multiply and add.
//!
//! The four rows of a tile have a pointer each and share an offset. Activations are widened to words first, in the order of
//! the tile, so that one load takes the next: 56 instructions for the 16 products of a tile.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use crate::format::spec::TILE;

/// The set for this target.
pub(crate) static THUMB1: Kernels = Kernels { name: "arm-thumb1", tiles8, tiles16, ..scalar::SCALAR };

core::arch::global_asm!(
    r#"
    .syntax unified
    .thumb

    .macro kinglet_column next
      ldmia r7!, {{r5}}
      ldrsb r6, [r0, r4]
      muls r6, r5
      add r8, r6
      ldrsb r6, [r1, r4]
      muls r6, r5
      add r9, r6
      ldrsb r6, [r2, r4]
      muls r6, r5
      add r10, r6
      ldrsb r6, [r3, r4]
      muls r6, r5
      add r11, r6
      adds r4, #\next
    .endm

    .macro kinglet_tile
      kinglet_column 1
      kinglet_column 1
      kinglet_column 1
      kinglet_column 13
    .endm

    // weights, x as words, sums to add to, shape: {{blocks of four rows, bytes of a block to read, bytes to the next block}}
    .section .text.kinglet_thumb1_tiles, "ax", %progbits
    .global kinglet_thumb1_tiles
    .type kinglet_thumb1_tiles, %function
    .thumb_func
    kinglet_thumb1_tiles:
      push {{r4-r7, lr}}
      mov r4, r8
      mov r5, r9
      mov r6, r10
      mov r7, r11
      push {{r4-r7}}
      ldmia r3!, {{r4-r6}}
      // x, sums, weights, blocks, bytes to read, bytes to the next
      sub sp, #24
      str r1, [sp]
      str r2, [sp, #4]
      str r0, [sp, #8]
      str r4, [sp, #12]
      str r5, [sp, #16]
      str r6, [sp, #20]
    1:
      ldr r2, [sp, #4]
      ldmia r2!, {{r3-r6}}
      mov r8, r3
      mov r9, r4
      mov r10, r5
      mov r11, r6
      ldr r7, [sp]
      ldr r0, [sp, #8]
      ldr r5, [sp, #16]
      // The offset goes up to zero from the end of each row.
      adds r0, r0, r5
      adds r1, r0, #4
      movs r2, r0
      adds r2, #8
      movs r3, r0
      adds r3, #12
      rsbs r4, r5, #0
      lsls r5, r5, #27
      bpl 2f
      kinglet_tile
      beq 3f
    2:
      kinglet_tile
      kinglet_tile
      bne 2b
    3:
      mov r4, r8
      mov r5, r9
      mov r6, r10
      mov r7, r11
      ldr r0, [sp, #4]
      stmia r0!, {{r4-r7}}
      str r0, [sp, #4]
      ldr r0, [sp, #8]
      ldr r1, [sp, #20]
      adds r0, r0, r1
      str r0, [sp, #8]
      ldr r0, [sp, #12]
      subs r0, r0, #1
      str r0, [sp, #12]
      beq 4f
      b 1b
    4:
      add sp, #24
      pop {{r4-r7}}
      mov r8, r4
      mov r9, r5
      mov r10, r6
      mov r11, r7
      pop {{r4-r7, pc}}
    .size kinglet_thumb1_tiles, . - kinglet_thumb1_tiles
    .purgem kinglet_tile
    .purgem kinglet_column
    "#
);

unsafe extern "C" {
    fn kinglet_thumb1_tiles(weights: *const i8, x: *const i32, sums: *mut i32, shape: &[usize; 3]);
}

/// Columns that are widened at a time.
const COLUMNS: usize = 256;

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, scalar::SCALAR.tiles8);
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, scalar::SCALAR.tiles16);
}

fn tiles<X: Copy + Into<i32>>(
    out: &mut [i32],
    x: &[X],
    weights: &[i8],
    cols: usize,
    definition: fn(&mut [i32], &[X], &[i8], usize),
) {
    let rows = weights.len() / cols.max(1);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) {
        return definition(out, x, weights, cols);
    }
    let mut words = [0; COLUMNS];
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        out.fill(0);
        let mut first = 0;
        for x in x.chunks(COLUMNS) {
            for (words, &[a, b, c, d]) in words.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0) {
                *words = [a, c, b, d].map(Into::into);
            }
            let shape = [rows / TILE, TILE * x.len(), TILE * cols];
            let Some(weights) = weights.get(TILE * first..) else { return };
            // SAFETY: of each block of four rows it reads these columns, and a word for each, at most `COLUMNS`; it adds to `rows`
            // sums: as many as the slices have.
            unsafe { kinglet_thumb1_tiles(weights.as_ptr(), words.as_ptr(), out.as_mut_ptr(), &shape) };
            first += x.len();
        }
    }
}
