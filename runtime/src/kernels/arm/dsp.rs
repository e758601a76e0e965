//! The DSP extension of Cortex-M4, M7 and M33: two products of 16-bit values to an instruction.
//!
//! The compiler never makes an `SMLAD` of a loop, so the loop over tiles is written by hand. A tile is one `LDM` of four rows with
//! four columns each; `SXTB16` makes two pairs of each row, which meet two words of activations: 18 instructions for 16
//! products.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use crate::format::spec::TILE;

/// The set for this target, which has the extension.
pub(crate) static DSP: Kernels = Kernels { name: "arm-dsp", tiles16, ..scalar::SCALAR };

// An Armv8-M target does not say that its core has the extension.
#[cfg(feature = "dsp")]
core::arch::global_asm!(".cpu cortex-m33");

core::arch::global_asm!(
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

    // weights, x, out, shape: {{blocks of four rows, tiles / 4, tiles % 4}}
    .section .text.kinglet_dsp_tiles, "ax", %progbits
    .global kinglet_dsp_tiles
    .type kinglet_dsp_tiles, %function
    .thumb_func
    kinglet_dsp_tiles:
      push {{r4-r11, lr}}
      ldmia r3, {{r4-r6}}
      // out, x, tiles / 4, tiles % 4, blocks
      sub sp, #20
      stm sp, {{r1, r2, r5, r6}}
      str r4, [sp, #16]
    1:
      ldr r1, [sp]
      ldr lr, [sp, #8]
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
      subs lr, lr, #1
      bne 2b
    3:
      ldr lr, [sp, #12]
      cmp lr, #0
      beq 5f
    4:
      kinglet_tile
      subs lr, lr, #1
      bne 4b
    5:
      ldr r2, [sp, #4]
      ldr r3, [sp, #16]
      stmia r2!, {{r6, r7, r8, r12}}
      str r2, [sp, #4]
      subs r3, r3, #1
      str r3, [sp, #16]
      bne 1b
      add sp, #20
      pop {{r4-r11, pc}}
    .size kinglet_dsp_tiles, . - kinglet_dsp_tiles
    .purgem kinglet_tile
    "#
);

unsafe extern "C" {
    fn kinglet_dsp_tiles(weights: *const i8, x: *const i16, out: *mut i32, shape: &[usize; 3]);
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4) && x.as_ptr().addr().is_multiple_of(4);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) || !aligned {
        return (scalar::SCALAR.tiles16)(out, x, weights, cols);
    }
    let shape = [rows / TILE, cols / TILE / 4, cols / TILE % 4];
    for (x, out) in x.chunks_exact(cols.max(1)).zip(out.chunks_exact_mut(rows)) {
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word's boundary, and writes `rows` sums:
        // as many as the slices have.
        unsafe { kinglet_dsp_tiles(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}
