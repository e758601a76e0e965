//! RISC-V with integer multiplication (RV32IM): one product to an instruction, and registers for a whole tile.
//!
//! A weight is a load, a product and a sum: 55 instructions for the 16 products of a tile.
#![allow(unsafe_code)]

use super::{Kernels, scalar};
use crate::format::spec::TILE;

/// The set for this target.
pub(crate) static RISCV: Kernels = Kernels { name: "riscv-m", tiles8, tiles16, ..scalar::SCALAR };

core::arch::global_asm!(
    r#"
    .option push
    .option arch, +m
    .macro kinglet_row sum, at
      lb t0, \at(a0)
      lb t1, \at + 1(a0)
      lb t2, \at + 2(a0)
      lb t3, \at + 3(a0)
      mul t0, t0, a4
      mul t1, t1, a6
      mul t2, t2, a5
      mul t3, t3, a7
      add \sum, \sum, t0
      add \sum, \sum, t1
      add \sum, \sum, t2
      add \sum, \sum, t3
    .endm

    // weights of four rows, x, out, bytes of weights; returns nothing
    .section .text.kinglet_riscv_tiles, "ax", @progbits
    .global kinglet_riscv_tiles
    .type kinglet_riscv_tiles, @function
    kinglet_riscv_tiles:
      add a3, a0, a3
      li t4, 0
      li t5, 0
      li t6, 0
      addi sp, sp, -16
      sw s0, 0(sp)
      li s0, 0
    1:
      lh a4, 0(a1)
      lh a5, 2(a1)
      lh a6, 4(a1)
      lh a7, 6(a1)
      kinglet_row t4, 0
      kinglet_row t5, 4
      kinglet_row t6, 8
      kinglet_row s0, 12
      addi a0, a0, 16
      addi a1, a1, 8
      bne a0, a3, 1b
      sw t4, 0(a2)
      sw t5, 4(a2)
      sw t6, 8(a2)
      sw s0, 12(a2)
      lw s0, 0(sp)
      addi sp, sp, 16
      ret
    .size kinglet_riscv_tiles, . - kinglet_riscv_tiles
    .purgem kinglet_row
    .option pop
    "#
);

unsafe extern "C" {
    fn kinglet_riscv_tiles(weights: *const i8, x: *const i16, out: *mut i32, bytes: usize);
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
        let mut rest = weights;
        for sums in out.as_chunks_mut::<TILE>().0 {
            let Some((block, others)) = rest.split_at_checked(TILE * cols) else { break };
            rest = others;
            // SAFETY: it reads the block and `cols` activations, of which there are some, and writes four sums.
            unsafe { kinglet_riscv_tiles(block.as_ptr(), x.as_ptr(), sums.as_mut_ptr(), block.len()) };
        }
    }
}
