//! The vector extension of Cortex-M55 and M85 (Helium): sixteen products of bytes to an instruction.
//!
//! It wants long runs of bytes, so weights row after row and eight-bit activations (`--target m55 --activations a8`): a vector of
//! activations meets four rows, ten instructions for 64 products. For all else the DSP extension is as fast.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use super::dsp::DSP;

/// The set for this target, whose user says that it has the extension.
pub(crate) static MVE: Kernels = Kernels { name: "arm-mve", matmul8, ..DSP };

core::arch::global_asm!(
    r#"
    .cpu cortex-m55
    .syntax unified
    .thumb

    // weights, x, out, shape: {{blocks of four rows, cols / 16, cols}}
    .section .text.kinglet_mve_rows, "ax", %progbits
    .global kinglet_mve_rows
    .type kinglet_mve_rows, %function
    .thumb_func
    kinglet_mve_rows:
      push {{r4-r11, lr}}
      ldm r3, {{r3, r10, r11}}
      push {{r10}}
      mov r12, r1
    1:
      mov r1, r12
      add r5, r0, r11
      add r7, r5, r11
      add r9, r7, r11
      movs r4, #0
      movs r6, #0
      mov r8, r4
      mov r10, r4
      ldr lr, [sp]
      dls lr, lr
    2:
      vldrb.u8 q0, [r1], #16
      vldrb.u8 q1, [r0], #16
      vldrb.u8 q2, [r5], #16
      vmladava.s8 r4, q0, q1
      vldrb.u8 q1, [r7], #16
      vmladava.s8 r6, q0, q2
      vldrb.u8 q2, [r9], #16
      vmladava.s8 r8, q0, q1
      vmladava.s8 r10, q0, q2
      le lr, 2b
      stmia r2!, {{r4, r6, r8, r10}}
      mov r0, r9
      subs r3, r3, #1
      bne 1b
      pop {{r10}}
      pop {{r4-r11, pc}}
    .size kinglet_mve_rows, . - kinglet_mve_rows
    "#
);

unsafe extern "C" {
    fn kinglet_mve_rows(weights: *const i8, x: *const i8, out: *mut i32, shape: &[usize; 3]);
}

fn matmul8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if rows == 0 || !rows.is_multiple_of(4) || !cols.is_multiple_of(16) {
        return (scalar::SCALAR.matmul8)(out, x, weights, cols);
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        // SAFETY: it reads `rows * cols` weights and `cols` activations, and writes `rows` sums: as many as the slices have.
        unsafe { kinglet_mve_rows(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &[rows / 4, cols / 16, cols]) };
    }
}
