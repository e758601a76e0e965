//! Cortex-M3, and others of Armv7-M and Armv8-M Mainline without the DSP extension: one product to an instruction.
//!
//! A weight is one load and one `MLA`, and eight rows share what activations cost: 71 instructions for the 32 products of two tiles.
#![allow(unsafe_code)]

use super::super::scalar;
use super::super::table::{Kernels, Packed};
use crate::features;
use crate::fixed::{Scale, mul_high, shift_round};
use crate::format::places::{PACKED_COLS, TILE};
use crate::kernels::scalar::rows::inverse_sqrt;
use crate::kernels::scalar::softmax::EXP2;
use crate::kernels::table::{NormRow, Requantize};

/// The set for this target.
pub(crate) static THUMB2: Kernels = Kernels {
    name: "arm-thumb2",
    tiles8,
    tiles16,
    packed16: if features::PACKED_WEIGHTS { Some(packed16) } else { None },
    requantize,
    quantize16,
    norm,
    rotate,
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

    .macro kinglet_weights sum, from, x, at
      ldrsb r12, [\from, #\at]
      mla \sum, r12, \x, \sum
    .endm

    // Two columns of four rows.
    .macro kinglet_columns from, a, b, c, d, at
      kinglet_weights \d, \from, r3, \at + 13
      kinglet_weights \d, \from, r2, \at + 12
      kinglet_weights \c, \from, r3, \at + 9
      kinglet_weights \c, \from, r2, \at + 8
      kinglet_weights \b, \from, r3, \at + 5
      kinglet_weights \b, \from, r2, \at + 4
      kinglet_weights \a, \from, r3, \at + 1
    .endm

    // The last load of a tile goes on to the next.
    .macro kinglet_last sum, from
      ldrsb r12, [\from], #16
      mla \sum, r12, r2, \sum
    .endm

    // weights, x, out, shape: {{bytes of a block of four rows, blocks}}
    .section .text.kinglet_thumb2_tiles, "ax", %progbits
    .global kinglet_thumb2_tiles
    .type kinglet_thumb2_tiles, %function
    .thumb_func
    kinglet_thumb2_tiles:
      push {{r4-r11, lr}}
      ldrd r3, r4, [r3]
      // x, its end, bytes of a block, out, blocks
      sub sp, #20
      add r5, r1, r3, lsr #1
      strd r1, r5, [sp]
      strd r3, r2, [sp, #8]
      subs r4, r4, #2
      str r4, [sp, #16]
      blo 3f
    1:
      ldr lr, [sp, #8]
      ldr r1, [sp]
      add lr, r0
      movs r4, #0
      movs r5, #0
      movs r6, #0
      movs r7, #0
      mov r8, r4
      mov r9, r4
      mov r10, r4
      mov r11, r4
    2:
      ldrsh r2, [r1, #2]
      ldrsh r3, [r1, #6]
      kinglet_columns r0, r4, r5, r6, r7, 2
      kinglet_weights r4, r0, r2, 2
      kinglet_columns lr, r8, r9, r10, r11, 2
      kinglet_weights r8, lr, r2, 2
      ldrsh r3, [r1, #4]
      ldrsh r2, [r1], #8
      kinglet_columns r0, r4, r5, r6, r7, 0
      kinglet_last r4, r0
      kinglet_columns lr, r8, r9, r10, r11, 0
      kinglet_last r8, lr
      ldr r12, [sp, #4]
      cmp r1, r12
      bne 2b
      mov r0, lr
      ldrd r2, r3, [sp, #12]
      stmia r2!, {{r4-r11}}
      subs r3, r3, #2
      strd r2, r3, [sp, #12]
      bhs 1b
    3:
      // What is left is -2 or -1: no block or one.
      ldr r3, [sp, #16]
      lsls r3, r3, #31
      beq 5f
      ldrd r1, lr, [sp]
      movs r4, #0
      movs r5, #0
      movs r6, #0
      movs r7, #0
    4:
      ldrsh r2, [r1, #2]
      ldrsh r3, [r1, #6]
      kinglet_columns r0, r4, r5, r6, r7, 2
      kinglet_weights r4, r0, r2, 2
      ldrsh r3, [r1, #4]
      ldrsh r2, [r1], #8
      kinglet_columns r0, r4, r5, r6, r7, 0
      kinglet_last r4, r0
      cmp r1, lr
      bne 4b
      ldr r2, [sp, #12]
      stmia r2!, {{r4-r7}}
    5:
      add sp, #20
      pop {{r4-r11, pc}}
    .size kinglet_thumb2_tiles, . - kinglet_thumb2_tiles
    .purgem kinglet_weights
    .purgem kinglet_columns
    .purgem kinglet_last

    // Two columns of four rows: nibbles, raised by eight.
    .macro kinglet_nibbles sum, word, low
      ubfx r12, \word, #\low, #4
      mla \sum, r12, r2, \sum
      ubfx r12, \word, #\low + 16, #4
      mla \sum, r12, r3, \sum
    .endm
    .macro kinglet_pair low
      ldrsh r2, [r1], #4
      ldrsh r3, [r1, #-2]
      kinglet_nibbles r4, r8, \low
      kinglet_nibbles r5, r9, \low
      kinglet_nibbles r6, r10, \low
      kinglet_nibbles r7, r11, \low
    .endm

    // weights, x, sums to add to,
    // shape: {{blocks of four rows, tiles of a row, tiles of a group, scales, what each group's sums begin with}}
    .section .text.kinglet_thumb2_packed, "ax", %progbits
    .global kinglet_thumb2_packed
    .type kinglet_thumb2_packed, %function
    .thumb_func
    kinglet_thumb2_packed:
      push {{r4-r11, lr}}
      ldm r3, {{r4-r8}}
      // x, sums, blocks, tiles of a row, of a group, scales, beginnings; tiles left, the group's beginning
      sub sp, #36
      stm sp, {{r1, r2, r4-r8}}
    1:
      ldr r1, [sp]
      ldr r2, [sp, #24]
      ldr r3, [sp, #12]
    2:
      ldr r4, [r2], #4
      ldr lr, [sp, #16]
      cmp r3, lr
      it lo
      movlo lr, r3
      sub r3, r3, lr
      strd r3, r2, [sp, #28]
      mov r5, r4
      mov r6, r4
      mov r7, r4
    3:
      ldmia r0!, {{r8-r11}}
      kinglet_pair 0
      kinglet_pair 4
      kinglet_pair 8
      kinglet_pair 12
      subs lr, lr, #1
      bne 3b
      ldrd r3, r2, [sp, #16]
      ldr r3, [r2], #4
      str r2, [sp, #20]
      ldr r2, [sp, #4]
      ldm r2, {{r8-r11}}
      uxtb r12, r3
      mla r8, r4, r12, r8
      ubfx r12, r3, #8, #8
      mla r9, r5, r12, r9
      ubfx r12, r3, #16, #8
      mla r10, r6, r12, r10
      lsrs r3, r3, #24
      mla r11, r7, r3, r11
      stm r2, {{r8-r11}}
      ldrd r3, r2, [sp, #28]
      cmp r3, #0
      bne 2b
      ldrd r2, r3, [sp, #4]
      adds r2, r2, #16
      subs r3, r3, #1
      strd r2, r3, [sp, #4]
      bne 1b
      add sp, #36
      pop {{r4-r11, pc}}
    .size kinglet_thumb2_packed, . - kinglet_thumb2_packed
    .purgem kinglet_pair
    .purgem kinglet_nibbles

    // accumulators, multipliers, count, shift
    .section .text.kinglet_thumb2_requantize, "ax", %progbits
    .global kinglet_thumb2_requantize
    .type kinglet_thumb2_requantize, %function
    .thumb_func
    kinglet_thumb2_requantize:
      push {{r4-r11, lr}}
      // What is shifted out last is the carry: adding it rounds.
      .macro kinglet_scale x, multiplier
        smull r12, \x, \multiplier, \x
        asrs \x, \x, r3
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

    // row, count; returns all bits of the magnitudes
    .section .text.kinglet_thumb2_magnitudes, "ax", %progbits
    .global kinglet_thumb2_magnitudes
    .type kinglet_thumb2_magnitudes, %function
    .thumb_func
    kinglet_thumb2_magnitudes:
      push {{r4-r5}}
      movs r12, #0
      subs r1, r1, #4
      blo 2f
    1:
      ldmia r0!, {{r2-r5}}
      eor r2, r2, r2, asr #31
      eor r3, r3, r3, asr #31
      eor r4, r4, r4, asr #31
      eor r5, r5, r5, asr #31
      orrs r2, r3
      orrs r4, r5
      orr r12, r12, r2
      orr r12, r12, r4
      subs r1, r1, #4
      bhs 1b
    2:
      adds r1, r1, #4
      beq 4f
    3:
      ldr r2, [r0], #4
      eor r2, r2, r2, asr #31
      orr r12, r12, r2
      subs r1, r1, #1
      bne 3b
    4:
      mov r0, r12
      pop {{r4-r5}}
      bx lr
    .size kinglet_thumb2_magnitudes, . - kinglet_thumb2_magnitudes

    // out, row, count, shift
    .section .text.kinglet_thumb2_narrow, "ax", %progbits
    .global kinglet_thumb2_narrow
    .type kinglet_thumb2_narrow, %function
    .thumb_func
    kinglet_thumb2_narrow:
      push {{r4-r7}}
      // What is shifted out last is the carry: adding it rounds.
      .macro kinglet_round x
        asrs \x, r3
        adc \x, \x, #0
        ssat \x, #16, \x
      .endm
      subs r2, r2, #4
      blo 2f
    1:
      ldmia r1!, {{r4-r7}}
      kinglet_round r4
      strh r4, [r0], #8
      kinglet_round r5
      strh r5, [r0, #-6]
      kinglet_round r6
      strh r6, [r0, #-4]
      kinglet_round r7
      strh r7, [r0, #-2]
      subs r2, r2, #4
      bhs 1b
    2:
      adds r2, r2, #4
      beq 4f
    3:
      ldr r4, [r1], #4
      kinglet_round r4
      strh r4, [r0], #2
      subs r2, r2, #1
      bne 3b
    4:
      pop {{r4-r7}}
      bx lr
    .size kinglet_thumb2_narrow, . - kinglet_thumb2_narrow

    // row, count, shift; returns the sum of the squares
    .section .text.kinglet_thumb2_squares, "ax", %progbits
    .global kinglet_thumb2_squares
    .type kinglet_thumb2_squares, %function
    .thumb_func
    kinglet_thumb2_squares:
      push {{r4-r6}}
      mov r3, r2
      movs r5, #0
      movs r6, #0
    1:
      ldr r4, [r0]
      kinglet_round r4
      str r4, [r0], #4
      smlal r5, r6, r4, r4
      subs r1, r1, #1
      bne 1b
      mov r0, r5
      mov r1, r6
      pop {{r4-r6}}
      bx lr
    .size kinglet_thumb2_squares, . - kinglet_thumb2_squares
    .purgem kinglet_round

    // row, weights, count, how: {{factor, shift}}
    .section .text.kinglet_thumb2_scale, "ax", %progbits
    .global kinglet_thumb2_scale
    .type kinglet_thumb2_scale, %function
    .thumb_func
    kinglet_thumb2_scale:
      push {{r4-r6}}
      ldrd r3, r6, [r3]
    1:
      ldr r4, [r0]
      ldr r5, [r1], #4
      muls r4, r3, r4
      smull r12, r4, r5, r4
      // What is shifted out last is the carry: adding it rounds.
      asrs r4, r6
      adc r4, r4, #0
      str r4, [r0], #4
      subs r2, r2, #1
      bne 1b
      pop {{r4-r6}}
      bx lr
    .size kinglet_thumb2_scale, . - kinglet_thumb2_scale

    // values, angles, pairs, by how much values are narrowed
    .section .text.kinglet_thumb2_rotate, "ax", %progbits
    .global kinglet_thumb2_rotate
    .type kinglet_thumb2_rotate, %function
    .thumb_func
    kinglet_thumb2_rotate:
      push {{r4-r10, lr}}
      rsb r12, r3, #15
      add lr, r0, r2, lsl #2
    1:
      ldr r4, [r0]
      ldr r5, [lr]
      ldrsh r6, [r1], #4
      ldrsh r7, [r1, #-2]
      // What is shifted out last is the carry: adding it rounds.
      asrs r4, r3
      adc r4, r4, #0
      asrs r5, r3
      adc r5, r5, #0
      mul r8, r4, r6
      mls r8, r5, r7, r8
      mul r9, r5, r6
      mla r9, r4, r7, r9
      asrs r8, r8, r12
      adc r8, r8, #0
      asrs r9, r9, r12
      adc r9, r9, #0
      str r8, [r0], #4
      str r9, [lr], #4
      subs r2, r2, #1
      bne 1b
      pop {{r4-r10, pc}}
    .size kinglet_thumb2_rotate, . - kinglet_thumb2_rotate

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
    fn kinglet_thumb2_packed(weights: *const u8, x: *const i16, sums: *mut i32, shape: &PackedShape);
    fn kinglet_thumb2_requantize(accumulators: *mut i32, multipliers: *const i32, count: usize, shift: u32);
    fn kinglet_thumb2_magnitudes(row: *const i32, count: usize) -> u32;
    fn kinglet_thumb2_narrow(out: *mut i16, row: *const i32, count: usize, shift: u32);
    fn kinglet_thumb2_squares(row: *mut i32, count: usize, shift: u32) -> u64;
    fn kinglet_thumb2_scale(row: *mut i32, weights: *const i32, count: usize, how: &[i32; 2]);
    fn kinglet_thumb2_rotate(values: *mut i32, angles: *const i16, pairs: usize, narrow: u32);
    fn kinglet_thumb2_rectify(values: *mut i32, count: usize, table: *const i16, how: &[i32; 2]);
    fn kinglet_thumb2_scores8(out: *mut i32, query: *const i16, keys: *const i8, shape: &[usize; 3]);
    fn kinglet_thumb2_scores16(out: *mut i32, query: *const i16, keys: *const i16, shape: &[usize; 3]);
    fn kinglet_thumb2_powers(scores: *mut i32, values: *const u16, count: usize, how: &Powers) -> u32;
    fn kinglet_thumb2_weighted_sum(out: *mut i32, weights: *const i32, values: *const i8, shape: &[usize; 3]);
}

/// What the loop over packed weights reads.
#[repr(C)]
struct PackedShape {
    blocks: usize,
    tiles: usize,
    tiles_in_group: usize,
    scales: *const u8,
    beginnings: *const i32,
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
        unsafe { kinglet_thumb2_tiles(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &[TILE * cols, rows / TILE]) };
    }
}

/// Groups of the widest row that is multiplied without being unpacked.
const GROUPS: usize = 64;

/// A weight is a field of bits and a product. They are raised by eight, so the sums of a group begin with as much less.
fn packed16(out: &mut [i32], x: &[i16], packed: &Packed<'_>, cols: usize) -> bool {
    let (cols, group) = (cols.max(1), packed.group.max(1));
    let (groups, blocks) = (cols.div_ceil(group), packed.weights.len() / 2 / cols);
    let rows = TILE * blocks;
    let whole = cols.is_multiple_of(PACKED_COLS) && group.is_multiple_of(PACKED_COLS) && groups <= GROUPS;
    let aligned = packed.weights.as_ptr().addr().is_multiple_of(4);
    if !whole || !aligned || blocks == 0 || packed.scales.len() < rows * groups {
        return false;
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let mut beginnings = [0; GROUPS];
        for (beginning, x) in beginnings.iter_mut().zip(x.chunks(group)) {
            *beginning = -8 * x.iter().map(|&x| i32::from(x)).sum::<i32>();
        }
        out.fill(0);
        let shape = PackedShape {
            blocks,
            tiles: cols / PACKED_COLS,
            tiles_in_group: group / PACKED_COLS,
            scales: packed.scales.as_ptr(),
            beginnings: beginnings.as_ptr(),
        };
        // SAFETY: it reads `rows * cols / 2` bytes at a word's boundary, `cols` activations, `rows * groups` scales, and a beginning for
        // each group; it adds to `rows` sums: as many as the slices have.
        unsafe { kinglet_thumb2_packed(packed.weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    }
    true
}

fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let count = accumulators.len().min(multipliers.len());
    if by.row.is_some() || !(1..=31).contains(&by.shift) || count == 0 {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    // Accumulators have the headroom, so the shift to the left can as well be taken off the one to the right: what rounds is the same.
    let shift = by.shift.wrapping_sub_unsigned(by.headroom);
    // SAFETY: they read and write `count` accumulators, of which there are some, and read as many multipliers.
    unsafe {
        if shift > 0 {
            kinglet_thumb2_requantize(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, shift as u32);
        } else {
            let how = [1 << (by.headroom & 31), by.shift];
            kinglet_thumb2_scale(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, &how);
        }
    }
    for (out, &bias) in accumulators.iter_mut().zip(biases) {
        *out = out.saturating_add(bias);
    }
}

fn magnitude_bits(row: &[i32]) -> u32 {
    // SAFETY: it reads the row.
    32 - unsafe { kinglet_thumb2_magnitudes(row.as_ptr(), row.len()) }.leading_zeros()
}

fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let narrow = magnitude_bits(row).saturating_sub(15);
    if by.centered || narrow == 0 || row.len() > by.weights.len() {
        return (scalar::SCALAR.norm)(row, by);
    }
    // SAFETY: it reads and writes the row, in which there is a value with some bits.
    let squares = unsafe { kinglet_thumb2_squares(row.as_mut_ptr(), row.len(), narrow) };
    let (inverse, half_exponent) = inverse_sqrt((squares + (by.epsilon >> (2 * narrow))).max(1));
    let shift = by.shift + half_exponent;
    if (1..=31).contains(&shift) {
        let how = [inverse, shift];
        // SAFETY: it reads and writes the row, in which there is some value, and reads as many weights.
        unsafe { kinglet_thumb2_scale(row.as_mut_ptr(), by.weights.as_ptr(), row.len(), &how) };
    } else {
        for (x, &weight) in row.iter_mut().zip(by.weights) {
            *x = shift_round(mul_high(x.wrapping_mul(inverse), weight), shift);
        }
    }
    for (x, &bias) in row.iter_mut().zip(by.biases) {
        *x = x.saturating_add(bias);
    }
}

fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let pairs = angles.len() / 2;
    for head in row.chunks_exact_mut(head_dim.max(1)) {
        let narrow = head.get(..2 * pairs).map_or(0, magnitude_bits).saturating_sub(14);
        if !(1..=14).contains(&narrow) {
            (scalar::SCALAR.rotate)(head, angles, head_dim);
            continue;
        }
        // SAFETY: it reads and writes twice as many values as there are pairs of angles; some value has some bits, so there are some.
        unsafe { kinglet_thumb2_rotate(head.as_mut_ptr(), angles.as_ptr(), pairs, narrow) };
    }
}

fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    if shift == 0 || out.len() != row.len() {
        return (scalar::SCALAR.quantize16)(out, row, bits);
    }
    // SAFETY: it reads a row of some values and writes as many.
    unsafe { kinglet_thumb2_narrow(out.as_mut_ptr(), row.as_ptr(), row.len(), shift) };
    Scale::power_of_two(shift)
}

/// The longest table: where it ends, no sum has left an `i32`.
const TABLE: usize = 1 << 16;

fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((&last, others)) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    // SAFETY: it reads and writes all values, of which there are some, and reads pairs that begin before the table's last place.
    unsafe {
        kinglet_thumb2_rectify(values.as_mut_ptr(), values.len(), table.as_ptr(), &[others.len() as i32, last.into()]);
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
