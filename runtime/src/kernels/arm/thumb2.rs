//! Cortex-M3, and others of Armv7-M and Armv8-M Mainline without the DSP extension: one product to an instruction.
//!
//! A weight is one load and one `MLA`: 36 instructions for the 16 products of a tile.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use crate::format::spec::TILE;

/// The set for this target.
pub(crate) static THUMB2: Kernels = Kernels { name: "arm-thumb2", tiles8, tiles16, ..scalar::SCALAR };

core::arch::global_asm!(
    r#"
    .syntax unified
    .thumb

    .macro kinglet_row sum, at
      ldrsb r2, [r0, #\at]
      ldrsb r3, [r0, #\at + 1]
      mla \sum, r2, r8, \sum
      ldrsb r2, [r0, #\at + 2]
      mla \sum, r3, r10, \sum
      ldrsb r3, [r0, #\at + 3]
      mla \sum, r2, r9, \sum
      mla \sum, r3, r11, \sum
    .endm

    .macro kinglet_tile
      ldrsh r8, [r1], #8
      ldrsh r9, [r1, #-6]
      ldrsh r10, [r1, #-4]
      ldrsh r11, [r1, #-2]
      kinglet_row r4, 0
      kinglet_row r5, 4
      kinglet_row r6, 8
      kinglet_row r7, 12
      adds r0, #16
    .endm

    // weights, x, out, shape: {{blocks of four rows, tiles}}
    .section .text.kinglet_thumb2_tiles, "ax", %progbits
    .global kinglet_thumb2_tiles
    .type kinglet_thumb2_tiles, %function
    .thumb_func
    kinglet_thumb2_tiles:
      push {{r4-r11, lr}}
      ldmia r3, {{r3, r4}}
      // x, out, blocks, tiles
      sub sp, #16
      stm sp, {{r1-r4}}
    1:
      ldr r1, [sp]
      ldr r12, [sp, #12]
      movs r4, #0
      movs r5, #0
      movs r6, #0
      movs r7, #0
      lsrs r12, r12, #1
      bcc 2f
      kinglet_tile
    2:
      cmp r12, #0
      beq 4f
    3:
      kinglet_tile
      kinglet_tile
      subs r12, r12, #1
      bne 3b
    4:
      ldr r2, [sp, #4]
      ldr r3, [sp, #8]
      stmia r2!, {{r4-r7}}
      str r2, [sp, #4]
      subs r3, r3, #1
      str r3, [sp, #8]
      bne 1b
      add sp, #16
      pop {{r4-r11, pc}}
    .size kinglet_thumb2_tiles, . - kinglet_thumb2_tiles
    .purgem kinglet_tile
    .purgem kinglet_row
    "#
);

unsafe extern "C" {
    fn kinglet_thumb2_tiles(weights: *const i8, x: *const i16, out: *mut i32, shape: &[usize; 2]);
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::widened(out, x, weights, cols, tiles16);
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) {
        return (scalar::SCALAR.tiles16)(out, x, weights, cols);
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        // SAFETY: it reads `rows * cols` weights and `cols` activations, and writes `rows` sums: as many as the slices have.
        unsafe { kinglet_thumb2_tiles(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &[rows / TILE, cols / TILE]) };
    }
}
