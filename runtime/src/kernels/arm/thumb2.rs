//! Cortex-M3, and others of Armv7-M and Armv8-M Mainline without the DSP extension: one product to an instruction.
//!
//! A weight is one load and one `MLA`: 36 instructions for the 16 products of a tile.
#![allow(unsafe_code)]

use super::super::{Kernels, scalar};
use crate::format::spec::TILE;
use crate::ops::softmax::EXP2;
use crate::quant::{Requantize, Scale};

/// The set for this target.
pub(crate) static THUMB2: Kernels = Kernels {
    name: "arm-thumb2",
    tiles8,
    tiles16,
    requantize,
    quantize16,
    rectify,
    scores8,
    scores16,
    powers,
    weighted_sum,
    ..scalar::SCALAR
};

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

    // accumulators, multipliers, count, how: {{headroom, shift}}
    .section .text.kinglet_thumb2_requantize, "ax", %progbits
    .global kinglet_thumb2_requantize
    .type kinglet_thumb2_requantize, %function
    .thumb_func
    kinglet_thumb2_requantize:
      push {{r4-r11, lr}}
      ldrd r3, r12, [r3]
      // What is shifted out last is the carry: adding it rounds.
      .macro kinglet_scale x, multiplier
        lsl \x, \x, r3
        smull lr, \x, \multiplier, \x
        asrs \x, \x, r12
        adc \x, \x, #0
      .endm
      subs r2, r2, #4
      blo 2f
    1:
      ldmia r1!, {{r4-r7}}
      ldm r0, {{r8-r11}}
      kinglet_scale r8, r4
      kinglet_scale r9, r5
      kinglet_scale r10, r6
      kinglet_scale r11, r7
      stmia r0!, {{r8-r11}}
      subs r2, r2, #4
      bhs 1b
    2:
      adds r2, r2, #4
      beq 4f
    3:
      ldr r4, [r1], #4
      ldr r8, [r0]
      kinglet_scale r8, r4
      str r8, [r0], #4
      subs r2, r2, #1
      bne 3b
    4:
      pop {{r4-r11, pc}}
    .size kinglet_thumb2_requantize, . - kinglet_thumb2_requantize
    .purgem kinglet_scale

    // out, row, count, bits; returns by how many bits the row was shifted
    .section .text.kinglet_thumb2_quantize16, "ax", %progbits
    .global kinglet_thumb2_quantize16
    .type kinglet_thumb2_quantize16, %function
    .thumb_func
    kinglet_thumb2_quantize16:
      push {{r4-r8, lr}}
      mov r12, r1
      mov lr, r2
      movs r8, #0
      subs r2, r2, #4
      blo 2f
    1:
      ldmia r1!, {{r4-r7}}
      eor r4, r4, r4, asr #31
      eor r5, r5, r5, asr #31
      eor r6, r6, r6, asr #31
      eor r7, r7, r7, asr #31
      orrs r4, r5
      orrs r6, r7
      orr r8, r8, r4
      orr r8, r8, r6
      subs r2, r2, #4
      bhs 1b
    2:
      adds r2, r2, #4
      beq 4f
    3:
      ldr r4, [r1], #4
      eor r4, r4, r4, asr #31
      orr r8, r8, r4
      subs r2, r2, #1
      bne 3b
    4:
      clz r8, r8
      rsb r8, r8, #32
      subs r3, r8, r3
      bls 8f
      subs r2, lr, #4
      blo 6f
      // What is shifted out last is the carry: adding it rounds.
    5:
      ldmia r12!, {{r4-r7}}
      asrs r4, r3
      adc r4, r4, #0
      ssat r4, #16, r4
      strh r4, [r0], #8
      asrs r5, r3
      adc r5, r5, #0
      ssat r5, #16, r5
      strh r5, [r0, #-6]
      asrs r6, r3
      adc r6, r6, #0
      ssat r6, #16, r6
      strh r6, [r0, #-4]
      asrs r7, r3
      adc r7, r7, #0
      ssat r7, #16, r7
      strh r7, [r0, #-2]
      subs r2, r2, #4
      bhs 5b
    6:
      adds r2, r2, #4
      beq 9f
    7:
      ldr r4, [r12], #4
      asrs r4, r3
      adc r4, r4, #0
      ssat r4, #16, r4
      strh r4, [r0], #2
      subs r2, r2, #1
      bne 7b
      b 9f
    8:
      movs r3, #0
      ldr r4, [r12], #4
      strh r4, [r0], #2
      subs lr, lr, #1
      bne 8b
    9:
      mov r0, r3
      pop {{r4-r8, pc}}
    .size kinglet_thumb2_quantize16, . - kinglet_thumb2_quantize16

    // values, count, table, how: {{its last place, its last value}}
    .section .text.kinglet_thumb2_rectify, "ax", %progbits
    .global kinglet_thumb2_rectify
    .type kinglet_thumb2_rectify, %function
    .thumb_func
    kinglet_thumb2_rectify:
      push {{r4-r7, lr}}
      ldrd r3, r12, [r3]
    1:
      ldr r4, [r0]
      eor r5, r4, r4, asr #31
      sub r5, r5, r4, asr #31
      bic r4, r4, r4, asr #31
      lsrs r6, r5, #10
      cmp r6, r3
      bhs 3f
      ldr r6, [r2, r6, lsl #1]
      sxth r7, r6
      rsb r6, r7, r6, asr #16
      ubfx r5, r5, #0, #10
      muls r6, r5, r6
      add r4, r4, r7
      add r4, r4, r6, asr #10
    2:
      str r4, [r0], #4
      subs r1, r1, #1
      bne 1b
      pop {{r4-r7, pc}}
    3:
      adds r4, r4, r12
      it vs
      mvnvs r4, #0x80000000
      b 2b
    .size kinglet_thumb2_rectify, . - kinglet_thumb2_rectify

    // out, query, keys, shape: {{keys, bytes of a key, blocks of eight}}
    .macro kinglet_scores name, load, size
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
    \name:
      push {{r4-r11, lr}}
      ldmia r3, {{r4-r6}}
      sub sp, #24
      stm sp, {{r0-r2, r4-r6}}
    1:
      ldr r1, [sp, #4]
      ldrsh r4, [r1], #16
      ldrsh r5, [r1, #-14]
      ldrsh r6, [r1, #-12]
      ldrsh r7, [r1, #-10]
      ldrsh r8, [r1, #-8]
      ldrsh r9, [r1, #-6]
      ldrsh r10, [r1, #-4]
      ldrsh r11, [r1, #-2]
      str r1, [sp, #4]
      ldr r0, [sp]
      ldr r1, [sp, #8]
      add r2, r1, #8 * \size
      str r2, [sp, #8]
      ldrd r2, r3, [sp, #12]
    2:
      ldr r12, [r0]
      \load lr, [r1]
      mla r12, lr, r4, r12
      \load lr, [r1, #\size]
      mla r12, lr, r5, r12
      \load lr, [r1, #2 * \size]
      mla r12, lr, r6, r12
      \load lr, [r1, #3 * \size]
      mla r12, lr, r7, r12
      \load lr, [r1, #4 * \size]
      mla r12, lr, r8, r12
      \load lr, [r1, #5 * \size]
      mla r12, lr, r9, r12
      \load lr, [r1, #6 * \size]
      mla r12, lr, r10, r12
      \load lr, [r1, #7 * \size]
      mla r12, lr, r11, r12
      add r1, r3
      str r12, [r0], #4
      subs r2, r2, #1
      bne 2b
      ldr r2, [sp, #20]
      subs r2, r2, #1
      str r2, [sp, #20]
      bne 1b
      add sp, #24
      pop {{r4-r11, pc}}
    .size \name, . - \name
    .endm
    kinglet_scores kinglet_thumb2_scores8, ldrsb, 1
    kinglet_scores kinglet_thumb2_scores16, ldrsh, 2
    .purgem kinglet_scores

    // scores, bits of the values' scales, how many, how: {{largest, lowered, table of powers}}; returns the sum of the powers
    .section .text.kinglet_thumb2_powers, "ax", %progbits
    .global kinglet_thumb2_powers
    .type kinglet_thumb2_powers, %function
    .thumb_func
    kinglet_thumb2_powers:
      push {{r4-r10, lr}}
      ldmia r3, {{r3-r5}}
      movs r6, #0
    1:
      ldr r7, [r0]
      subs r7, r3, r7
      ubfx r8, r7, #7, #9
      ldrh r8, [r5, r8, lsl #1]
      usat r7, #5, r7, asr #16
      lsr r8, r8, r7
      add r6, r6, r8
      ldrh r9, [r1], #2
      // A register shifts by its low byte, by more than 31 to zero.
      sub r10, r4, r9, lsr #11
      ubfx r9, r9, #0, #11
      mul r9, r8, r9
      lsr r9, r9, r10
      str r9, [r0], #4
      subs r2, r2, #1
      bne 1b
      mov r0, r6
      pop {{r4-r10, pc}}
    .size kinglet_thumb2_powers, . - kinglet_thumb2_powers

    // out, weights, values, shape: {{keys, bytes of a value, blocks of eight}}
    .section .text.kinglet_thumb2_weighted_sum, "ax", %progbits
    .global kinglet_thumb2_weighted_sum
    .type kinglet_thumb2_weighted_sum, %function
    .thumb_func
    kinglet_thumb2_weighted_sum:
      push {{r4-r11, lr}}
      ldmia r3, {{r4-r6}}
      sub sp, #24
      stm sp, {{r0-r2, r4-r6}}
    1:
      ldr r3, [sp]
      ldm r3, {{r4-r11}}
      ldrd r0, r1, [sp, #4]
      ldrd r2, lr, [sp, #12]
    2:
      ldr r3, [r0], #4
      ldrsb r12, [r1]
      mla r4, r12, r3, r4
      ldrsb r12, [r1, #1]
      mla r5, r12, r3, r5
      ldrsb r12, [r1, #2]
      mla r6, r12, r3, r6
      ldrsb r12, [r1, #3]
      mla r7, r12, r3, r7
      ldrsb r12, [r1, #4]
      mla r8, r12, r3, r8
      ldrsb r12, [r1, #5]
      mla r9, r12, r3, r9
      ldrsb r12, [r1, #6]
      mla r10, r12, r3, r10
      ldrsb r12, [r1, #7]
      mla r11, r12, r3, r11
      add r1, lr
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
    .size kinglet_thumb2_weighted_sum, . - kinglet_thumb2_weighted_sum
    "#
);

unsafe extern "C" {
    fn kinglet_thumb2_tiles(weights: *const i8, x: *const i16, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_thumb2_requantize(accumulators: *mut i32, multipliers: *const i32, count: usize, how: &[u32; 2]);
    fn kinglet_thumb2_quantize16(out: *mut i16, row: *const i32, count: usize, bits: u32) -> u32;
    fn kinglet_thumb2_rectify(values: *mut i32, count: usize, table: *const i16, how: &[i32; 2]);
    fn kinglet_thumb2_scores8(out: *mut i32, query: *const i16, keys: *const i8, shape: &[usize; 3]);
    fn kinglet_thumb2_scores16(out: *mut i32, query: *const i16, keys: *const i16, shape: &[usize; 3]);
    fn kinglet_thumb2_powers(scores: *mut i32, values: *const u16, count: usize, how: &Powers) -> u32;
    fn kinglet_thumb2_weighted_sum(out: *mut i32, weights: *const i32, values: *const i8, shape: &[usize; 3]);
}

/// What the loop over powers reads.
#[repr(C)]
struct Powers {
    largest: i32,
    lowered: u32,
    table: *const u16,
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

fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    if by.row.is_some() || !(1..=31).contains(&by.shift) {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    let count = accumulators.len().min(multipliers.len());
    // SAFETY: it reads and writes `count` accumulators, and reads as many multipliers.
    unsafe {
        kinglet_thumb2_requantize(
            accumulators.as_mut_ptr(),
            multipliers.as_ptr(),
            count,
            &[by.headroom, by.shift as u32],
        );
    }
    for (out, &bias) in accumulators.iter_mut().zip(biases) {
        *out = out.saturating_add(bias);
    }
}

fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    if row.is_empty() || out.len() != row.len() {
        return (scalar::SCALAR.quantize16)(out, row, bits);
    }
    // SAFETY: it reads a row of some values and writes as many.
    Scale::power_of_two(unsafe { kinglet_thumb2_quantize16(out.as_mut_ptr(), row.as_ptr(), row.len(), bits) })
}

/// The longest table: where it ends, no sum has left an `i32`.
const TABLE: usize = 1 << 16;

fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((&last, others)) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    // SAFETY: it reads and writes all values, of which there are some, and reads pairs that begin before the table's last place.
    unsafe {
        kinglet_thumb2_rectify(
            values.as_mut_ptr(),
            values.len(),
            table.as_ptr(),
            &[others.len() as i32, last.into()],
        );
    }
}

/// The shape of some rows that are as wide as the loops take them.
fn shape(count: usize, rows: usize, width: usize, row_bytes: usize) -> Option<[usize; 3]> {
    let fits = count > 0 && width > 0 && width.is_multiple_of(8) && rows >= count * width;
    fits.then_some([count, row_bytes, width / 8])
}

fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let Some(shape) = shape(out.len(), keys.len(), query.len(), query.len()) else {
        return (scalar::SCALAR.scores8)(out, query, keys);
    };
    out.fill(0);
    // SAFETY: it reads the query and a key as long as it for each score, and adds to the scores.
    unsafe { kinglet_thumb2_scores8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape) };
}

fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let Some(shape) = shape(out.len(), keys.len(), query.len(), 2 * query.len()) else {
        return (scalar::SCALAR.scores16)(out, query, keys);
    };
    out.fill(0);
    // SAFETY: it reads the query and a key as long as it for each score, and adds to the scores.
    unsafe { kinglet_thumb2_scores16(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &shape) };
}

fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    if count == 0 {
        return 0;
    }
    // SAFETY: it reads and writes `count` scores, reads as many scales, and all places of the table that nine bits reach.
    unsafe {
        kinglet_thumb2_powers(
            scores.as_mut_ptr(),
            values.as_ptr(),
            count,
            &Powers { largest, lowered, table: EXP2.as_ptr() },
        )
    }
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let Some(shape) = shape(weights.len(), values.len(), out.len(), out.len()) else {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    };
    // SAFETY: it reads the weights and a value as long as the sums for each, and adds to the sums.
    unsafe { kinglet_thumb2_weighted_sum(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape) };
}
