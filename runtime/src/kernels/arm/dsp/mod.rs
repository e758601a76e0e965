//! The DSP extension of Cortex-M4, M7 and M33: two products of 16-bit values to an instruction.
//!
//! The compiler never makes an `SMLAD` of a loop, so the loop over tiles is written by hand. A tile is one `LDM` of four rows with
//! four columns each; `SXTB16` makes two pairs of each row, which meet two words of activations: 18 instructions for 16
//! products. Two tokens share the pairs: 15 instructions.
//!
//! Loops over rows take four values at a time, then one. To shift and round, `ASRS` leaves the last bit that it shifts out in the
//! carry, and `ADC` adds it. A shift by nothing leaves the carry alone, which is therefore clear before: counters rise from below zero.
#![allow(unsafe_code)]

mod tiles;

use tiles::{WIDENED, Wide, tiles8, tiles16, widen};

use crate::features;
use crate::fixed::{Scale, shift_round};
use crate::format::places::TILE;
use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar;
use crate::kernels::scalar::rows::scale8;
use crate::kernels::scalar::softmax::EXP2;
use crate::kernels::table::{Kernels, Packed};
use crate::kernels::table::{NormRow, Requantize};

/// The set for this target, which has the extension.
pub(crate) static DSP: Kernels = Kernels {
    name: "arm-dsp",
    tiles8,
    tiles16,
    packed16: if features::PACKED_WEIGHTS { Some(packed16) } else { None },
    paired8: if features::PAIRED_WEIGHTS { Some(paired8) } else { None },
    paired16: if features::PAIRED_WEIGHTS { Some(paired16) } else { None },
    requantize,
    add,
    quantize8,
    quantize16,
    norm,
    rotate,
    rectify,
    gate,
    scores8,
    scores16,
    scale_scores,
    powers,
    weighted_sum,
    ..scalar::SCALAR
};

use super::text::cpu;

core::arch::global_asm!(
    cpu!(),
    r#"
    .syntax unified
    .thumb

    // Two pairs of rows: halfwords with what they are, and again with the upper rows alone.
    .macro kinglet_paired_tile
      ldrd r6, lr, [r1], #8
      ldmia r0!, {{r2-r5}}
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
    .endm

    // Lower rows are what upper ones leave of the sums, over 256.
    .macro kinglet_apart upper, low, high
      lsr \low, \low, #8
      orr \low, \low, \high, lsl #24
      sub \low, \low, \upper, asr #8
    .endm

    // weights, x, out, by: {{tiles, blocks of four rows, what sums begin with}}
    .section .text.kinglet_dsp_paired, "ax", %progbits
    .global kinglet_dsp_paired
    .type kinglet_dsp_paired, %function
    .thumb_func
    kinglet_dsp_paired:
      push {{r4-r11, lr}}
      ldm r3, {{r4-r7}}
      // Sixteen tiles to a turn: the first turn leaves out those that lack, of 54 bytes each.
      add r8, r1, r4, lsl #3
      rsbs r4, r4, #0
      and r4, r4, #15
      mov r9, #54
      mul r4, r4, r9
      adr r9, 2f
      add r4, r9
      orr r4, r4, #1
      // What a block begins with, in the order of the registers: x, sums of either pair, where the first turn begins; then x's end, out, blocks
      sub sp, #44
      strd r1, r6, [sp]
      strd r6, r7, [sp, #8]
      strd r6, r6, [sp, #16]
      strd r7, r4, [sp, #24]
      strd r8, r2, [sp, #32]
      str r5, [sp, #40]
    1:
      ldm sp, {{r1, r7, r8, r9, r10, r11, r12, pc}}
      .p2align 2
    2:
      .rept 16
      kinglet_paired_tile
      .endr
      ldr r2, [sp, #32]
      cmp r1, r2
      bne 2b
      kinglet_apart r7, r8, r9
      kinglet_apart r10, r11, r12
      ldrd r2, r3, [sp, #36]
      stmia r2!, {{r7, r8, r10, r11}}
      subs r3, r3, #1
      strd r2, r3, [sp, #36]
      bne 1b
      add sp, #44
      pop {{r4-r11, pc}}
    .size kinglet_dsp_paired, . - kinglet_dsp_paired
    .purgem kinglet_paired_tile

    .macro kinglet_paired_tile_of_two
      ldrd r6, r7, [r0], #16
      ldmia r1!, {{r2-r5}}
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
    .endm

    // One pair of rows of each block, two tokens by turns in x. weights, x, out, by: {{what sums begin with, tiles, blocks, bytes of a token's out}}
    .section .text.kinglet_dsp_paired_of_two, "ax", %progbits
    .global kinglet_dsp_paired_of_two
    .type kinglet_dsp_paired_of_two, %function
    .thumb_func
    kinglet_dsp_paired_of_two:
      push {{r4-r11, lr}}
      ldm r3, {{r4-r10}}
      // Eight tiles to a turn, of 46 bytes each.
      add r11, r1, r8, lsl #4
      rsbs r8, r8, #0
      and r8, r8, #7
      mov r12, #46
      mul r8, r8, r12
      adr r12, 2f
      add r8, r12
      orr r8, r8, #1
      // x, sums of either token; where the first turn begins, x's end, out of both, blocks
      sub sp, #48
      strd r1, r4, [sp]
      strd r4, r5, [sp, #8]
      strd r6, r6, [sp, #16]
      strd r7, r8, [sp, #24]
      strd r11, r2, [sp, #32]
      add r2, r10
      strd r2, r9, [sp, #40]
    1:
      ldm sp, {{r1, r8, r9, r10, r11, r12, lr}}
      ldr pc, [sp, #28]
      .p2align 2
    2:
      .rept 8
      kinglet_paired_tile_of_two
      .endr
      ldr r2, [sp, #32]
      cmp r1, r2
      bne 2b
      kinglet_apart r8, r9, r10
      kinglet_apart r11, r12, lr
      ldrd r2, r3, [sp, #36]
      ldr r4, [sp, #44]
      strd r8, r9, [r2], #16
      strd r11, r12, [r3], #16
      subs r4, r4, #1
      strd r2, r3, [sp, #36]
      str r4, [sp, #44]
      bne 1b
      add sp, #48
      pop {{r4-r11, pc}}
    .size kinglet_dsp_paired_of_two, . - kinglet_dsp_paired_of_two
    .purgem kinglet_paired_tile_of_two
    .purgem kinglet_apart

    // x, tiles: the sum
    .section .text.kinglet_dsp_sum, "ax", %progbits
    .global kinglet_dsp_sum
    .type kinglet_dsp_sum, %function
    .thumb_func
    kinglet_dsp_sum:
      push {{r4-r10, lr}}
      mov r2, #0x00010001
      movs r3, #0
      lsrs r10, r1, #2
      beq 2f
    1:
      ldmia r0!, {{r4-r9, r12, lr}}
      smlad r3, r4, r2, r3
      smlad r3, r5, r2, r3
      smlad r3, r6, r2, r3
      smlad r3, r7, r2, r3
      smlad r3, r8, r2, r3
      smlad r3, r9, r2, r3
      smlad r3, r12, r2, r3
      smlad r3, lr, r2, r3
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
      pop {{r4-r10, pc}}
    .size kinglet_dsp_sum, . - kinglet_dsp_sum

    // to, x of one token, x of another, tiles: four values of either by turns, and the sums of both in two words
    .section .text.kinglet_dsp_by_turns, "ax", %progbits
    .global kinglet_dsp_by_turns
    .type kinglet_dsp_by_turns, %function
    .thumb_func
    kinglet_dsp_by_turns:
      push {{r4-r9}}
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
      stmia r0!, {{r4-r7}}
      subs r3, r3, #1
      bne 1b
      mov r0, r8
      mov r1, r9
      pop {{r4-r9}}
      bx lr
    .size kinglet_dsp_by_turns, . - kinglet_dsp_by_turns

    .macro kinglet_pair row, sum, shift
      and r12, lr, \row, lsr #\shift
      smlad \sum, r12, r6, \sum
      and r12, lr, \row, lsr #\shift + 4
      smlad \sum, r12, r7, \sum
    .endm

    .macro kinglet_packed_tile
      ldmia r0!, {{r2-r5}}
      ldrd r6, r7, [r1], #8
      and r12, lr, r2
      smlad r8, r12, r6, r8
      and r12, lr, r2, lsr #4
      smlad r8, r12, r7, r8
      and r12, lr, r3
      smlad r9, r12, r6, r9
      and r12, lr, r3, lsr #4
      smlad r9, r12, r7, r9
      and r12, lr, r4
      smlad r10, r12, r6, r10
      and r12, lr, r4, lsr #4
      smlad r10, r12, r7, r10
      and r12, lr, r5
      smlad r11, r12, r6, r11
      and r12, lr, r5, lsr #4
      smlad r11, r12, r7, r11
      ldrd r6, r7, [r1], #8
      kinglet_pair r2, r8, 8
      kinglet_pair r3, r9, 8
      kinglet_pair r4, r10, 8
      kinglet_pair r5, r11, 8
    .endm

    .macro kinglet_packed_tiles
      kinglet_packed_tile
      kinglet_packed_tile
      kinglet_packed_tile
      kinglet_packed_tile
    .endm

    // Weights, x with what each group begins with, scales, by: {{bytes of x, blocks of four rows, whether a group is 64 wide, out}}
    .section .text.kinglet_dsp_packed, "ax", %progbits
    .global kinglet_dsp_packed
    .type kinglet_dsp_packed, %function
    .thumb_func
    kinglet_dsp_packed:
      push {{r4-r11, lr}}
      ldm r3, {{r4-r7}}
      // Where a group of 32 goes on, scales, four sums, x, its end, blocks, out
      sub sp, #40
      str r2, [sp, #4]
      adds r4, r1, r4
      strd r1, r4, [sp, #24]
      strd r5, r7, [sp, #32]
      ldr r4, =4f + 1
      cmp r6, #0
      it ne
      ldrne r4, =3f + 1
      str r4, [sp]
      mov lr, #0x000f000f
    1:
      movs r2, #0
      movs r3, #0
      strd r2, r3, [sp, #8]
      strd r2, r3, [sp, #16]
      ldr r1, [sp, #24]
    2:
      ldr r8, [r1], #4
      mov r9, r8
      mov r10, r8
      mov r11, r8
      kinglet_packed_tiles
      ldr pc, [sp]
      .p2align 2
    3:
      kinglet_packed_tiles
      .p2align 2
    4:
      ldr r2, [sp, #4]
      ldr r3, [r2], #4
      str r2, [sp, #4]
      ldrd r4, r5, [sp, #8]
      uxtb r6, r3
      mla r4, r6, r8, r4
      uxtb r6, r3, ror #8
      mla r5, r6, r9, r5
      strd r4, r5, [sp, #8]
      ldrd r4, r5, [sp, #16]
      uxtb r6, r3, ror #16
      mla r4, r6, r10, r4
      uxtb r6, r3, ror #24
      mla r5, r6, r11, r5
      strd r4, r5, [sp, #16]
      ldr r2, [sp, #28]
      cmp r1, r2
      bne.w 2b
      ldrd r2, r3, [sp, #8]
      ldrd r6, r7, [sp, #32]
      stmia r7!, {{r2-r5}}
      subs r6, r6, #1
      strd r6, r7, [sp, #32]
      bne.w 1b
      add sp, #40
      pop {{r4-r11, pc}}
      .ltorg
    .size kinglet_dsp_packed, . - kinglet_dsp_packed
    .purgem kinglet_packed_tiles
    .purgem kinglet_packed_tile
    .purgem kinglet_pair

    // to, x, groups, columns of a group: x, each group after its sum times -8
    .section .text.kinglet_dsp_summed, "ax", %progbits
    .global kinglet_dsp_summed
    .type kinglet_dsp_summed, %function
    .thumb_func
    kinglet_dsp_summed:
      push {{r4-r9, lr}}
      mov r12, #0x00010001
    1:
      mov r9, r0
      adds r0, r0, #4
      movs r8, #0
      mov lr, r3
    2:
      ldmia r1!, {{r4-r7}}
      smlad r8, r4, r12, r8
      smlad r8, r5, r12, r8
      smlad r8, r6, r12, r8
      smlad r8, r7, r12, r8
      stmia r0!, {{r4-r7}}
      subs lr, lr, #8
      bne 2b
      lsl r8, r8, #3
      rsb r8, r8, #0
      str r8, [r9]
      subs r2, r2, #1
      bne 1b
      pop {{r4-r9, pc}}
    .size kinglet_dsp_summed, . - kinglet_dsp_summed

    // out, weights, values of eight, how many
    .section .text.kinglet_dsp_weighted_sum_of_8, "ax", %progbits
    .global kinglet_dsp_weighted_sum_of_8
    .type kinglet_dsp_weighted_sum_of_8, %function
    .thumb_func
    kinglet_dsp_weighted_sum_of_8:
      push {{r0, r4-r11, lr}}
      ldm r0, {{r4-r11}}
      mov r0, r2
      lsrs r2, r3, #1
      add r2, r1, r3, lsl #2
      push {{r2}}
      bcc 1f
      ldr r2, [r1], #4
      ldr r12, [r0], #4
      sxtb16 lr, r12
      sxtb16 r12, r12, ror #8
      smlabb r4, lr, r2, r4
      smlatb r6, lr, r2, r6
      smlabb r5, r12, r2, r5
      smlatb r7, r12, r2, r7
      ldr r12, [r0], #4
      sxtb16 lr, r12
      sxtb16 r12, r12, ror #8
      smlabb r8, lr, r2, r8
      smlatb r10, lr, r2, r10
      smlabb r9, r12, r2, r9
      smlatb r11, r12, r2, r11
      b 2f
    1:
      ldrd r2, r3, [r1], #8
      pkhbt r2, r2, r3, lsl #16
      ldr r12, [r0], #8
      ldr lr, [r0], #-4
      pkhbt r3, r12, lr, lsl #16
      pkhtb lr, lr, r12, asr #16
      sxtb16 r12, r3
      sxtb16 r3, r3, ror #8
      smlad r4, r12, r2, r4
      smlad r5, r3, r2, r5
      sxtb16 r12, lr
      sxtb16 lr, lr, ror #8
      smlad r6, r12, r2, r6
      smlad r7, lr, r2, r7
      ldr r12, [r0], #8
      ldr lr, [r0], #4
      pkhbt r3, r12, lr, lsl #16
      pkhtb lr, lr, r12, asr #16
      sxtb16 r12, r3
      sxtb16 r3, r3, ror #8
      smlad r8, r12, r2, r8
      smlad r9, r3, r2, r9
      sxtb16 r12, lr
      sxtb16 lr, lr, ror #8
      smlad r10, r12, r2, r10
      smlad r11, lr, r2, r11
    2:
      ldr r3, [sp]
      cmp r1, r3
      bne 1b
      pop {{r1, r2}}
      stm r2, {{r4-r11}}
      pop {{r4-r11, pc}}
    .size kinglet_dsp_weighted_sum_of_8, . - kinglet_dsp_weighted_sum_of_8

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

    // row, count: the bits of all magnitudes
    .section .text.kinglet_dsp_magnitude, "ax", %progbits
    .global kinglet_dsp_magnitude
    .type kinglet_dsp_magnitude, %function
    .thumb_func
    kinglet_dsp_magnitude:
      push {{r4-r10, lr}}
      movs r2, #0
      rsbs r1, r1, #7
      bpl 2f
    1:
      ldmia r0!, {{r3-r10}}
      eor r3, r3, r3, asr #31
      orr r2, r2, r3
      eor r4, r4, r4, asr #31
      orr r2, r2, r4
      eor r5, r5, r5, asr #31
      orr r2, r2, r5
      eor r6, r6, r6, asr #31
      orr r2, r2, r6
      eor r7, r7, r7, asr #31
      orr r2, r2, r7
      eor r8, r8, r8, asr #31
      orr r2, r2, r8
      eor r9, r9, r9, asr #31
      orr r2, r2, r9
      eor r10, r10, r10, asr #31
      orr r2, r2, r10
      adds r1, r1, #8
      bmi 1b
    2:
      subs r1, r1, #7
      beq 4f
    3:
      ldr r3, [r0], #4
      eor r3, r3, r3, asr #31
      orrs r2, r3
      adds r1, r1, #1
      bmi 3b
    4:
      mov r0, r2
      pop {{r4-r10, pc}}
    .size kinglet_dsp_magnitude, . - kinglet_dsp_magnitude

    // row, count: the largest magnitude
    .section .text.kinglet_dsp_largest, "ax", %progbits
    .global kinglet_dsp_largest
    .type kinglet_dsp_largest, %function
    .thumb_func
    kinglet_dsp_largest:
      push {{r4-r7, lr}}
      movs r2, #0
      rsbs r1, r1, #3
      bpl 2f
    1:
      ldmia r0!, {{r3-r6}}
      eor r7, r3, r3, asr #31
      sub r7, r7, r3, asr #31
      cmp r7, r2
      it hi
      movhi r2, r7
      eor r7, r4, r4, asr #31
      sub r7, r7, r4, asr #31
      cmp r7, r2
      it hi
      movhi r2, r7
      eor r7, r5, r5, asr #31
      sub r7, r7, r5, asr #31
      cmp r7, r2
      it hi
      movhi r2, r7
      eor r7, r6, r6, asr #31
      sub r7, r7, r6, asr #31
      cmp r7, r2
      it hi
      movhi r2, r7
      adds r1, r1, #4
      bmi 1b
    2:
      subs r1, r1, #3
      beq 4f
    3:
      ldr r3, [r0], #4
      eor r7, r3, r3, asr #31
      sub r7, r7, r3, asr #31
      cmp r7, r2
      it hi
      movhi r2, r7
      adds r1, r1, #1
      bmi 3b
    4:
      // That of the smallest number is one less.
      sub r0, r2, r2, lsr #31
      pop {{r4-r7, pc}}
    .size kinglet_dsp_largest, . - kinglet_dsp_largest

    // out, row, count, by: {{shift to the left, inverse, half, shift to the right}}
    .section .text.kinglet_dsp_narrow8, "ax", %progbits
    .global kinglet_dsp_narrow8
    .type kinglet_dsp_narrow8, %function
    .thumb_func
    kinglet_dsp_narrow8:
      push {{r4-r11, lr}}
      ldm r3, {{r8-r11}}
      rsbs r2, r2, #3
      bpl 2f
    1:
      ldmia r1!, {{r4-r7}}
      lsl r4, r4, r8
      asr r4, r4, #15
      mla r4, r4, r9, r10
      asr r4, r4, r11
      strb r4, [r0], #1
      lsl r5, r5, r8
      asr r5, r5, #15
      mla r5, r5, r9, r10
      asr r5, r5, r11
      strb r5, [r0], #1
      lsl r6, r6, r8
      asr r6, r6, #15
      mla r6, r6, r9, r10
      asr r6, r6, r11
      strb r6, [r0], #1
      lsl r7, r7, r8
      asr r7, r7, #15
      mla r7, r7, r9, r10
      asr r7, r7, r11
      strb r7, [r0], #1
      adds r2, r2, #4
      bmi 1b
    2:
      subs r2, r2, #3
      beq 4f
    3:
      ldr r4, [r1], #4
      lsl r4, r4, r8
      asr r4, r4, #15
      mla r4, r4, r9, r10
      asr r4, r4, r11
      strb r4, [r0], #1
      adds r2, r2, #1
      bmi 3b
    4:
      pop {{r4-r11, pc}}
    .size kinglet_dsp_narrow8, . - kinglet_dsp_narrow8

    // out, row, count, shift
    .section .text.kinglet_dsp_narrow16, "ax", %progbits
    .global kinglet_dsp_narrow16
    .type kinglet_dsp_narrow16, %function
    .thumb_func
    kinglet_dsp_narrow16:
      push {{r4-r7, lr}}
      rsbs r2, r2, #3
      bpl 2f
    1:
      ldmia r1!, {{r4-r7}}
      asrs r4, r4, r3
      adc r4, r4, #0
      ssat r4, #16, r4
      strh r4, [r0], #2
      asrs r5, r5, r3
      adc r5, r5, #0
      ssat r5, #16, r5
      strh r5, [r0], #2
      asrs r6, r6, r3
      adc r6, r6, #0
      ssat r6, #16, r6
      strh r6, [r0], #2
      asrs r7, r7, r3
      adc r7, r7, #0
      ssat r7, #16, r7
      strh r7, [r0], #2
      adds r2, r2, #4
      bmi 1b
    2:
      subs r2, r2, #3
      beq 4f
    3:
      ldr r4, [r1], #4
      asrs r4, r4, r3
      adc r4, r4, #0
      ssat r4, #16, r4
      strh r4, [r0], #2
      adds r2, r2, #1
      bmi 3b
    4:
      pop {{r4-r7, pc}}
    .size kinglet_dsp_narrow16, . - kinglet_dsp_narrow16

    // row, count, shift: the row becomes sixteen bits wide; the sum of the squares
    .section .text.kinglet_dsp_squares, "ax", %progbits
    .global kinglet_dsp_squares
    .type kinglet_dsp_squares, %function
    .thumb_func
    kinglet_dsp_squares:
      push {{r4-r7, lr}}
      movs r3, #0
      mov r12, r3
      rsbs r1, r1, #3
      bpl 2f
    1:
      ldm r0, {{r4-r7}}
      asrs r4, r4, r2
      adc r4, r4, #0
      ssat r4, #16, r4
      smlal r3, r12, r4, r4
      asrs r5, r5, r2
      adc r5, r5, #0
      ssat r5, #16, r5
      smlal r3, r12, r5, r5
      asrs r6, r6, r2
      adc r6, r6, #0
      ssat r6, #16, r6
      smlal r3, r12, r6, r6
      asrs r7, r7, r2
      adc r7, r7, #0
      ssat r7, #16, r7
      smlal r3, r12, r7, r7
      stmia r0!, {{r4-r7}}
      adds r1, r1, #4
      bmi 1b
    2:
      subs r1, r1, #3
      beq 4f
    3:
      ldr r4, [r0]
      asrs r4, r4, r2
      adc r4, r4, #0
      ssat r4, #16, r4
      smlal r3, r12, r4, r4
      str r4, [r0], #4
      adds r1, r1, #1
      bmi 3b
    4:
      mov r0, r3
      mov r1, r12
      pop {{r4-r7, pc}}
    .size kinglet_dsp_squares, . - kinglet_dsp_squares

    // row, multipliers, count, by: {{shift, factor, factor of multipliers or 0}}
    .section .text.kinglet_dsp_scale, "ax", %progbits
    .global kinglet_dsp_scale
    .type kinglet_dsp_scale, %function
    .thumb_func
    kinglet_dsp_scale:
      push {{r4-r11, lr}}
      ldm r3, {{r3-r5}}
      rsbs r2, r2, #3
      bpl 3f
    1:
      ldm r0, {{r6-r9}}
      ldmia r1!, {{r10-r12, lr}}
      cbz r5, 2f
      smmul r10, r10, r5
      smmul r11, r11, r5
      smmul r12, r12, r5
      smmul lr, lr, r5
    2:
      mul r6, r6, r4
      smmul r6, r6, r10
      asrs r6, r6, r3
      adc r6, r6, #0
      mul r7, r7, r4
      smmul r7, r7, r11
      asrs r7, r7, r3
      adc r7, r7, #0
      mul r8, r8, r4
      smmul r8, r8, r12
      asrs r8, r8, r3
      adc r8, r8, #0
      mul r9, r9, r4
      smmul r9, r9, lr
      asrs r9, r9, r3
      adc r9, r9, #0
      stmia r0!, {{r6-r9}}
      adds r2, r2, #4
      bmi 1b
    3:
      subs r2, r2, #3
      beq 6f
    4:
      ldr r6, [r0]
      ldr r10, [r1], #4
      cbz r5, 5f
      smmul r10, r10, r5
    5:
      mul r6, r6, r4
      smmul r6, r6, r10
      asrs r6, r6, r3
      adc r6, r6, #0
      str r6, [r0], #4
      adds r2, r2, #1
      bmi 4b
    6:
      pop {{r4-r11, pc}}
    .size kinglet_dsp_scale, . - kinglet_dsp_scale

    // row, multipliers, count, shift: as above with factors of one
    .section .text.kinglet_dsp_requantize, "ax", %progbits
    .global kinglet_dsp_requantize
    .type kinglet_dsp_requantize, %function
    .thumb_func
    kinglet_dsp_requantize:
      push {{r4-r11, lr}}
      rsbs r2, r2, #3
      bpl 2f
    1:
      ldm r0, {{r4-r7}}
      ldmia r1!, {{r8-r11}}
      smmul r4, r4, r8
      asrs r4, r4, r3
      adc r4, r4, #0
      smmul r5, r5, r9
      asrs r5, r5, r3
      adc r5, r5, #0
      smmul r6, r6, r10
      asrs r6, r6, r3
      adc r6, r6, #0
      smmul r7, r7, r11
      asrs r7, r7, r3
      adc r7, r7, #0
      stmia r0!, {{r4-r7}}
      adds r2, r2, #4
      bmi 1b
    2:
      subs r2, r2, #3
      beq 4f
    3:
      ldr r4, [r0]
      ldr r8, [r1], #4
      smmul r4, r4, r8
      asrs r4, r4, r3
      adc r4, r4, #0
      str r4, [r0], #4
      adds r2, r2, #1
      bmi 3b
    4:
      pop {{r4-r11, pc}}
    .size kinglet_dsp_requantize, . - kinglet_dsp_requantize

    // row, other, count: the sums, saturated
    .section .text.kinglet_dsp_add, "ax", %progbits
    .global kinglet_dsp_add
    .type kinglet_dsp_add, %function
    .thumb_func
    kinglet_dsp_add:
      push {{r4-r10, lr}}
      rsbs r2, r2, #3
      bpl 2f
    1:
      ldm r0, {{r3-r6}}
      ldmia r1!, {{r7-r10}}
      qadd r3, r3, r7
      qadd r4, r4, r8
      qadd r5, r5, r9
      qadd r6, r6, r10
      stmia r0!, {{r3-r6}}
      adds r2, r2, #4
      bmi 1b
    2:
      subs r2, r2, #3
      beq 4f
    3:
      ldr r3, [r0]
      ldr r7, [r1], #4
      qadd r3, r3, r7
      str r3, [r0], #4
      adds r2, r2, #1
      bmi 3b
    4:
      pop {{r4-r10, pc}}
    .size kinglet_dsp_add, . - kinglet_dsp_add

    // heads, angles, shape: {{heads, bytes of a head, pairs}}
    .section .text.kinglet_dsp_rotate, "ax", %progbits
    .global kinglet_dsp_rotate
    .type kinglet_dsp_rotate, %function
    .thumb_func
    kinglet_dsp_rotate:
      push {{r4-r11, lr}}
      ldm r2, {{r2-r4}}
    1:
      mov r5, r0
      mov r6, r4
      movs r7, #0
    2:
      ldrd r8, r9, [r5], #8
      eor r8, r8, r8, asr #31
      orr r7, r7, r8
      eor r9, r9, r9, asr #31
      orr r7, r7, r9
      subs r6, r6, #1
      bne 2b
      // Shifts to fourteen bits, and back.
      clz r7, r7
      rsb r7, r7, #18
      usat r7, #5, r7
      rsb r12, r7, #15
      usat lr, #5, r12
      mov r5, r0
      mov r10, r1
      rsb r11, r4, #0
      // No carry, which a shift by nothing leaves as it is.
      cmn r11, #0
    3:
      ldr r8, [r5]
      ldr r9, [r5, r4, lsl #2]
      asrs r8, r8, r7
      adc r8, r8, #0
      asrs r9, r9, r7
      adc r9, r9, #0
      pkhbt r8, r8, r9, lsl #16
      ldr r9, [r10], #4
      smusd r6, r8, r9
      smuadx r8, r8, r9
      cmn r11, #0
      asrs r6, r6, lr
      adc r6, r6, #0
      asrs r8, r8, lr
      adc r8, r8, #0
      str r8, [r5, r4, lsl #2]
      str r6, [r5], #4
      adds r11, r11, #1
      bne 3b
      // Only rows of very large values are raised.
      cmp r12, #0
      bmi 5f
    4:
      add r0, r0, r3
      subs r2, r2, #1
      bne 1b
      pop {{r4-r11, pc}}
    5:
      lsl r11, r4, #1
      mov r5, r0
    6:
      ldr r8, [r5]
      mov r6, r12
    7:
      qadd r8, r8, r8
      adds r6, r6, #1
      bne 7b
      str r8, [r5], #4
      subs r11, r11, #1
      bne 6b
      b 4b
    .size kinglet_dsp_rotate, . - kinglet_dsp_rotate

    // values, count, table, beyond: {{entries but one, what is taken beyond}}
    .section .text.kinglet_dsp_rectify, "ax", %progbits
    .global kinglet_dsp_rectify
    .type kinglet_dsp_rectify, %function
    .thumb_func
    kinglet_dsp_rectify:
      push {{r4-r11, lr}}
      ldm r3, {{r3, r12}}
      mov r10, #1024
      movw r11, #0xffff
      lsrs r1, r1, #1
      bcc 1f
      ldr r4, [r0]
      bl 6f
      str r4, [r0], #4
    1:
      cmp r1, #0
      beq 5f
    2:
      ldrd r4, r5, [r0]
      eor r6, r4, r4, asr #31
      sub r6, r6, r4, asr #31
      eor r7, r5, r5, asr #31
      sub r7, r7, r5, asr #31
      lsr r8, r6, #10
      cmp r8, r3
      bhs 4f
      lsr r9, r7, #10
      cmp r9, r3
      bhs 4f
      // Two neighbours, times 1024 less the fraction and the fraction.
      ldr r8, [r2, r8, lsl #1]
      ldr r9, [r2, r9, lsl #1]
      ubfx r6, r6, #0, #10
      ubfx r7, r7, #0, #10
      mla r6, r6, r11, r10
      mla r7, r7, r11, r10
      smuad r6, r8, r6
      smuad r7, r9, r7
      asrs r6, r6, #10
      asrs r7, r7, #10
      usat r4, #31, r4
      usat r5, #31, r5
      qadd r4, r4, r6
      qadd r5, r5, r7
    3:
      strd r4, r5, [r0], #8
      subs r1, r1, #1
      bne 2b
    5:
      pop {{r4-r11, pc}}
    4:
      bl 6f
      mov r9, r4
      mov r4, r5
      bl 6f
      mov r5, r4
      mov r4, r9
      b 3b
      // One value.
    6:
      eor r6, r4, r4, asr #31
      sub r6, r6, r4, asr #31
      lsr r8, r6, #10
      cmp r8, r3
      bhs 7f
      ldr r8, [r2, r8, lsl #1]
      ubfx r6, r6, #0, #10
      mla r6, r6, r11, r10
      smuad r6, r8, r6
      usat r4, #31, r4
      asrs r6, r6, #10
      qadd r4, r4, r6
      bx lr
    7:
      usat r4, #31, r4
      qadd r4, r4, r12
      bx lr
    .size kinglet_dsp_rectify, . - kinglet_dsp_rectify

    // values, gates, count, fraction bits
    .section .text.kinglet_dsp_gate, "ax", %progbits
    .global kinglet_dsp_gate
    .type kinglet_dsp_gate, %function
    .thumb_func
    kinglet_dsp_gate:
      push {{r4-r11, lr}}
      mov r12, #1
      sub r6, r3, #1
      lsl r7, r12, r6
      rsb r8, r3, #32
      lsrs r2, r2, #1
      bcc 1f
      ldr r4, [r0]
      ldr r9, [r1], #4
      smull r4, r9, r4, r9
      bl 6f
      str r4, [r0], #4
    1:
      cmp r2, #0
      beq 5f
    2:
      ldrd r4, r5, [r0]
      ldrd r9, r10, [r1], #8
      smull r4, r9, r4, r9
      smull r5, r10, r5, r10
      adds r12, r4, r7
      adc r11, r9, #0
      lsr r12, r12, r3
      lsl lr, r11, r8
      orr r12, r12, lr
      // What is left of the upper half must be its sign.
      asr lr, r11, r6
      cmp lr, r11, asr #31
      bne 4f
      adds r9, r5, r7
      adc r11, r10, #0
      lsr r9, r9, r3
      lsl lr, r11, r8
      orr r9, r9, lr
      asr lr, r11, r6
      cmp lr, r11, asr #31
      bne 7f
    3:
      strd r12, r9, [r0], #8
      subs r2, r2, #1
      bne 2b
    5:
      pop {{r4-r11, pc}}
    4:
      bl 6f
      str r4, [r0]
      mov r4, r5
      mov r9, r10
      bl 6f
      mov r9, r4
      ldr r12, [r0]
      b 3b
    7:
      mvn r9, #0x80000000
      eor r9, r9, r11, asr #31
      b 3b
      // One product.
    6:
      adds r4, r4, r7
      adc r11, r9, #0
      lsr r4, r4, r3
      lsl r12, r11, r8
      orr r4, r4, r12
      asr r12, r11, r6
      cmp r12, r11, asr #31
      itt ne
      mvnne r4, #0x80000000
      eorne r4, r4, r11, asr #31
      bx lr
    .size kinglet_dsp_gate, . - kinglet_dsp_gate

    // scores, bits of scales, count, by: {{narrow, shift}}: the largest
    .section .text.kinglet_dsp_scale_scores, "ax", %progbits
    .global kinglet_dsp_scale_scores
    .type kinglet_dsp_scale_scores, %function
    .thumb_func
    kinglet_dsp_scale_scores:
      push {{r4-r9, lr}}
      ldm r3, {{r3, r4}}
      mov r12, #0x80000000
      lsrs r2, r2, #1
      bcc 1f
      ldr r5, [r0]
      ldrh r7, [r1], #2
      asrs r5, r3
      ubfx r8, r7, #0, #11
      mul r5, r5, r8
      sub r8, r4, r7, lsr #11
      bl 8f
      str r5, [r0], #4
      mov r12, r5
    1:
      cmp r2, #0
      beq 6f
    2:
      ldrd r5, r6, [r0]
      ldr r7, [r1], #4
      asrs r5, r3
      asrs r6, r3
      ubfx r8, r7, #0, #11
      mul r5, r5, r8
      ubfx r8, r7, #16, #11
      mul r6, r6, r8
      ubfx r8, r7, #11, #5
      sub r8, r4, r8
      sub r7, r4, r7, lsr #27
      orrs r9, r7, r8
      bmi 7f
      asr r5, r5, r8
      asrs r6, r7
    3:
      strd r5, r6, [r0], #8
      cmp r5, r12
      bgt 5f
    4:
      cmp r6, r12
      it gt
      movgt r12, r6
      subs r2, r2, #1
      bne 2b
    6:
      mov r0, r12
      pop {{r4-r9, pc}}
    5:
      mov r12, r5
      b 4b
    7:
      bl 8f
      mov r9, r5
      mov r5, r6
      mov r8, r7
      bl 8f
      mov r6, r5
      mov r5, r9
      b 3b
      // One product.
    8:
      cmp r8, #0
      bmi 9f
      asr r5, r5, r8
      bx lr
    9:
      qadd r5, r5, r5
      adds r8, r8, #1
      bne 9b
      // To the same bound on both sides.
      ssat r5, #31, r5
      cmp r5, #0xc0000000
      it eq
      addeq r5, #1
      bx lr
    .size kinglet_dsp_scale_scores, . - kinglet_dsp_scale_scores

    // scores, bits of scales, table, by: {{largest, lowered, count}}: the sum
    .section .text.kinglet_dsp_powers, "ax", %progbits
    .global kinglet_dsp_powers
    .type kinglet_dsp_powers, %function
    .thumb_func
    kinglet_dsp_powers:
      push {{r4-r8, lr}}
      ldm r3, {{r3-r5}}
      mov r12, #0
      lsrs lr, r5, #1
      bcc 1f
      ldr r5, [r0]
      sub r5, r3, r5
      usat r7, #5, r5, asr #16
      ubfx r5, r5, #7, #9
      ldrh r5, [r2, r5, lsl #1]
      ldrh r8, [r1], #2
      lsrs r5, r7
      add r12, r12, r5
      ubfx r7, r8, #0, #11
      muls r5, r7
      sub r8, r4, r8, lsr #11
      lsr r5, r5, r8
      str r5, [r0], #4
    1:
      cmp lr, #0
      beq 3f
    2:
      ldrd r5, r6, [r0]
      sub r5, r3, r5
      usat r7, #5, r5, asr #16
      ubfx r5, r5, #7, #9
      ldrh r5, [r2, r5, lsl #1]
      ldrh r8, [r1], #2
      lsrs r5, r7
      add r12, r12, r5
      ubfx r7, r8, #0, #11
      muls r5, r7
      sub r8, r4, r8, lsr #11
      lsr r5, r5, r8
      sub r6, r3, r6
      usat r7, #5, r6, asr #16
      ubfx r6, r6, #7, #9
      ldrh r6, [r2, r6, lsl #1]
      ldrh r8, [r1], #2
      lsrs r6, r7
      add r12, r12, r6
      ubfx r7, r8, #0, #11
      muls r6, r7
      sub r8, r4, r8, lsr #11
      lsr r6, r6, r8
      strd r5, r6, [r0], #8
      subs lr, lr, #1
      bne 2b
    3:
      mov r0, r12
      pop {{r4-r8, pc}}
    .size kinglet_dsp_powers, . - kinglet_dsp_powers

    // out, query, keys of eight, how many
    .section .text.kinglet_dsp_scores8_of_8, "ax", %progbits
    .global kinglet_dsp_scores8_of_8
    .type kinglet_dsp_scores8_of_8, %function
    .thumb_func
    kinglet_dsp_scores8_of_8:
      push {{r4-r11, lr}}
      ldm r1, {{r8-r11}}
      // Columns 0 and 2, 1 and 3: as a key's bytes become pairs.
      pkhbt r4, r8, r9, lsl #16
      pkhtb r5, r9, r8, asr #16
      pkhbt r6, r10, r11, lsl #16
      pkhtb r7, r11, r10, asr #16
      lsrs r3, r3, #1
      bcc 1f
      ldrd r8, r9, [r2], #8
      sxtb16 r12, r8
      sxtb16 r8, r8, ror #8
      smuad lr, r12, r4
      smlad lr, r8, r5, lr
      sxtb16 r12, r9
      sxtb16 r9, r9, ror #8
      smlad lr, r12, r6, lr
      smlad lr, r9, r7, lr
      str lr, [r0], #4
    1:
      cmp r3, #0
      beq 3f
    2:
      ldmia r2!, {{r8-r11}}
      sxtb16 r12, r8
      sxtb16 r8, r8, ror #8
      smuad lr, r12, r4
      smlad lr, r8, r5, lr
      sxtb16 r12, r9
      sxtb16 r9, r9, ror #8
      smlad lr, r12, r6, lr
      smlad lr, r9, r7, lr
      sxtb16 r12, r10
      sxtb16 r10, r10, ror #8
      smuad r1, r12, r4
      smlad r1, r10, r5, r1
      sxtb16 r12, r11
      sxtb16 r11, r11, ror #8
      smlad r1, r12, r6, r1
      smlad r1, r11, r7, r1
      strd lr, r1, [r0], #8
      subs r3, r3, #1
      bne 2b
    3:
      pop {{r4-r11, pc}}
    .size kinglet_dsp_scores8_of_8, . - kinglet_dsp_scores8_of_8

    // out, query, keys, shape: {{keys, head_dim / 8}}
    .section .text.kinglet_dsp_scores8, "ax", %progbits
    .global kinglet_dsp_scores8
    .type kinglet_dsp_scores8, %function
    .thumb_func
    kinglet_dsp_scores8:
      push {{r4-r11, lr}}
      ldmia r3, {{r3, r4}}
      // The query goes to the stack, in pairs of columns 0 and 2, 1 and 3, as a key's bytes become pairs.
      sub r5, sp, r4, lsl #4
      mov sp, r5
      mov r6, r4
    1:
      ldmia r1!, {{r7-r10}}
      pkhbt r11, r7, r8, lsl #16
      pkhtb r8, r8, r7, asr #16
      strd r11, r8, [r5], #8
      pkhbt r11, r9, r10, lsl #16
      pkhtb r10, r10, r9, asr #16
      strd r11, r10, [r5], #8
      subs r6, r6, #1
      bne 1b
    2:
      mov r1, sp
      mov r5, r4
      movs r6, #0
    3:
      ldmia r1!, {{r7-r10}}
      ldrd r11, lr, [r2], #8
      sxtb16 r12, r11
      sxtb16 r11, r11, ror #8
      smlad r6, r12, r7, r6
      smlad r6, r11, r8, r6
      sxtb16 r12, lr
      sxtb16 lr, lr, ror #8
      smlad r6, r12, r9, r6
      smlad r6, lr, r10, r6
      subs r5, r5, #1
      bne 3b
      str r6, [r0], #4
      subs r3, r3, #1
      bne 2b
      add r4, sp, r4, lsl #4
      mov sp, r4
      pop {{r4-r11, pc}}
    .size kinglet_dsp_scores8, . - kinglet_dsp_scores8
    "#
);

unsafe extern "C" {
    fn kinglet_dsp_paired(weights: *const i8, x: *const i16, out: *mut i32, by: &PairedSums);
    fn kinglet_dsp_paired_of_two(weights: *const i8, x: *const i16, out: *mut i32, by: &PairedSumsOfTwo);
    fn kinglet_dsp_sum(x: *const i16, tiles: usize) -> i32;
    fn kinglet_dsp_by_turns(to: *mut i16, x: *const i16, other: *const i16, tiles: usize) -> u64;
    fn kinglet_dsp_packed(weights: *const u8, x: *const i32, scales: *const u8, by: &PackedSums);
    fn kinglet_dsp_summed(to: *mut i32, x: *const i16, groups: usize, group: usize);
    fn kinglet_dsp_weighted_sum_of_8(out: *mut i32, weights: *const i32, values: *const i8, count: usize);
    fn kinglet_dsp_weighted_sum(out: *mut i32, weights: *const i32, values: *const i8, shape: &[usize; 3]);
    fn kinglet_dsp_scores16_of_8(out: *mut i32, query: *const i16, keys: *const i16, count: usize);
    fn kinglet_dsp_scores16(out: *mut i32, query: *const i16, keys: *const i16, shape: &[usize; 2]);
    fn kinglet_dsp_scores8_of_8(out: *mut i32, query: *const i16, keys: *const i8, count: usize);
    fn kinglet_dsp_scores8(out: *mut i32, query: *const i16, keys: *const i8, shape: &[usize; 2]);
    fn kinglet_dsp_scale_scores(scores: *mut i32, keys: *const u16, count: usize, by: &[i32; 2]) -> i32;
    fn kinglet_dsp_powers(scores: *mut i32, values: *const u16, table: *const u16, by: &[usize; 3]) -> u32;
    fn kinglet_dsp_magnitude(row: *const i32, count: usize) -> u32;
    fn kinglet_dsp_largest(row: *const i32, count: usize) -> u32;
    fn kinglet_dsp_narrow8(out: *mut i8, row: *const i32, count: usize, by: &[u32; 4]);
    fn kinglet_dsp_narrow16(out: *mut i16, row: *const i32, count: usize, shift: u32);
    fn kinglet_dsp_squares(row: *mut i32, count: usize, shift: u32) -> u64;
    fn kinglet_dsp_scale(row: *mut i32, multipliers: *const i32, count: usize, by: &[i32; 3]);
    fn kinglet_dsp_requantize(row: *mut i32, multipliers: *const i32, count: usize, shift: u32);
    fn kinglet_dsp_add(row: *mut i32, other: *const i32, count: usize);
    fn kinglet_dsp_rotate(row: *mut i32, angles: *const i16, shape: &[usize; 3]);
    fn kinglet_dsp_rectify(values: *mut i32, count: usize, table: *const i16, beyond: &[usize; 2]);
    fn kinglet_dsp_gate(values: *mut i32, gates: *const i32, count: usize, fraction_bits: u32);
}

/// What a product over rows in pairs takes besides three pointers.
#[repr(C)]
struct PairedSums {
    tiles: usize,
    blocks: usize,
    begin: i64,
}

/// The same of two tokens.
#[repr(C)]
struct PairedSumsOfTwo {
    begin: [i64; 2],
    tiles: usize,
    blocks: usize,
    /// Of one token.
    out_bytes: usize,
}

/// What sums over rows in pairs begin with: upper rows are raised by 128, which is so many times the sum of the activations too much.
/// Lower rows are right as long as the upper one's sum has no more than 32 bits. Activations have so few that it has 2^31 at the most, and
/// just that only where all of them are the least that there is, and all weights -128: then there is no beginning.
fn begin_of(sum: i32) -> Option<i64> {
    (sum > -1 << 24).then(|| i64::from(sum) * -128)
}

fn paired8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) -> bool {
    let rows = weights.len() / cols.max(1);
    let mut wide = Wide([0; WIDENED]);
    let tokens = if 2 * cols <= WIDENED { 2 } else { 1 };
    cols <= WIDENED
        && x.chunks((tokens * cols).max(1)).zip(out.chunks_mut((tokens * rows).max(1))).all(|(x, out)| {
            let Some(wide) = wide.0.get_mut(..x.len()) else { return false };
            widen(wide, x);
            paired16(out, wide, weights, cols)
        })
}

fn paired16(mut out: &mut [i32], mut x: &[i16], weights: &[i8], cols: usize) -> bool {
    let rows = weights.len() / cols.max(1);
    let aligned = weights.as_ptr().addr().is_multiple_of(4) && x.as_ptr().addr().is_multiple_of(4);
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) || !aligned {
        return false;
    }
    if x.len() >= 2 * cols && 2 * cols <= WIDENED {
        match paired_of_two(out, x, weights, cols) {
            Some(tokens) => {
                x = x.get(tokens * cols..).unwrap_or(&[]);
                out = out.get_mut(tokens * rows..).unwrap_or(&mut []);
            }
            None => return false,
        }
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        // SAFETY: it reads `cols` activations at a word's boundary.
        let Some(begin) = begin_of(unsafe { kinglet_dsp_sum(x.as_ptr(), cols / TILE) }) else { return false };
        let by = PairedSums { tiles: cols / TILE, blocks: rows / TILE, begin };
        // SAFETY: it reads `rows * cols` weights and `cols` activations, both at a word's boundary, and writes `rows` sums: as many as
        // the slices have.
        unsafe { kinglet_dsp_paired(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &by) };
    }
    true
}

/// Two tokens at a time: how many were multiplied, unless a sum has no beginning.
#[inline(never)]
fn paired_of_two(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) -> Option<usize> {
    let (rows, tiles) = (weights.len() / cols.max(1), cols / TILE);
    let mut by_turns = Wide([0; WIDENED]);
    let mut done = 0;
    for (x, out) in scalar::tokens(x, 2 * cols, out, 2 * rows) {
        // SAFETY: it reads the activations of two tokens at a word's boundary, and writes as many, for which there is room.
        let sums = unsafe { kinglet_dsp_by_turns(by_turns.0.as_mut_ptr(), x.as_ptr(), x.as_ptr().add(cols), tiles) };
        let begin = [begin_of(sums as i32)?, begin_of((sums >> 32) as i32)?];
        let by = PairedSumsOfTwo { begin, tiles, blocks: rows / TILE, out_bytes: 4 * rows };
        for half in [0, 2] {
            // SAFETY: of each four rows it reads two, at a word's boundary, and the activations of two tokens, and writes as many sums:
            // `out` has `rows` of each token.
            unsafe {
                let (weights, out) = (weights.as_ptr().add(TILE * half), out.as_mut_ptr().add(half));
                kinglet_dsp_paired_of_two(weights, by_turns.0.as_ptr(), out, &by);
            }
        }
        done += 2;
    }
    Some(done)
}

/// What a product over packed weights takes besides three pointers.
#[repr(C)]
struct PackedSums {
    /// Of the activations with the sums of their groups.
    bytes: usize,
    blocks: usize,
    /// Whether groups have 64 columns, not 32.
    wide: u32,
    out: *mut i32,
}

/// Weights are raised by eight, so each group's sum begins with minus eight times that of its activations.
fn packed16(out: &mut [i32], x: &[i16], packed: &Packed<'_>, cols: usize) -> bool {
    /// Pairs of activations, and room for the sums of their groups.
    const PAIRS: usize = 512;
    let group = packed.group;
    let groups = cols / group.max(1);
    let (block, words) = (TILE * cols / 2, cols / 2 + groups);
    let blocks = packed.weights.len() / block.max(1);
    let aligned = [packed.weights.as_ptr().addr(), packed.scales.as_ptr().addr(), x.as_ptr().addr()];
    let fits = blocks > 0
        && groups > 0
        && matches!(group, 32 | 64)
        && groups * group == cols
        && words <= PAIRS
        && packed.scales.len() >= TILE * groups * blocks
        && aligned.iter().all(|address| address.is_multiple_of(4));
    if !fits {
        return false;
    }
    let mut summed = [0; PAIRS];
    for (x, out) in scalar::tokens(x, cols, out, TILE * blocks) {
        // SAFETY: the first reads `cols` activations at a word's boundary and writes them and a word for each group, which `summed`
        // holds. The second reads those, `blocks` times four rows of packed weights, and as many times the scales of the groups, all at
        // a word's boundary, and writes as many sums.
        unsafe {
            kinglet_dsp_summed(summed.as_mut_ptr(), x.as_ptr(), groups, group);
            let by = PackedSums { bytes: 4 * words, blocks, wide: u32::from(group == 64), out: out.as_mut_ptr() };
            kinglet_dsp_packed(packed.weights.as_ptr(), summed.as_ptr(), packed.scales.as_ptr(), &by);
        }
    }
    true
}

/// `row[i] = row[i] * factor * multipliers[i]`, of which the upper half is shifted and rounded; the multipliers by `mantissa` first, if
/// that is not 0.
fn scale(row: &mut [i32], multipliers: &[i32], shift: i32, factor: i32, mantissa: i32) {
    let count = row.len().min(multipliers.len());
    let by = [shift.clamp(0, 255), factor, mantissa];
    // SAFETY: it reads `count` of both, and writes as many.
    unsafe { kinglet_dsp_scale(row.as_mut_ptr(), multipliers.as_ptr(), count, &by) };
    if shift < 0 {
        row.iter_mut().take(count).for_each(|x| *x = shift_round(*x, shift));
    }
}

/// `row += other`, saturated.
fn add(row: &mut [i32], other: &[i32]) {
    let count = row.len().min(other.len());
    // SAFETY: it reads `count` of both, and writes as many.
    unsafe { kinglet_dsp_add(row.as_mut_ptr(), other.as_ptr(), count) };
}

fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    // Where more bits go than the headroom has, it need not be used: no bit is lost, and none is gained.
    match (by.row, by.shift.checked_sub_unsigned(by.headroom)) {
        (None, Some(shift @ 1..)) if by.shift < 32 => {
            let count = accumulators.len().min(multipliers.len());
            // SAFETY: it reads `count` of both, and writes as many.
            unsafe {
                kinglet_dsp_requantize(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, shift.cast_unsigned());
            }
        }
        _ => scale(accumulators, multipliers, by.shift, 1 << by.headroom, by.row.unwrap_or(0)),
    }
    if !biases.is_empty() {
        add(accumulators, biases);
    }
}

/// [`magnitude_bits`](crate::fixed::magnitude_bits).
fn magnitude_bits(row: &[i32]) -> u32 {
    // SAFETY: it reads a slice.
    32 - unsafe { kinglet_dsp_magnitude(row.as_ptr(), row.len()) }.leading_zeros()
}

fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    // SAFETY: it reads a slice.
    let largest = unsafe { kinglet_dsp_largest(row.as_ptr(), row.len()) };
    let (scale, lift, inverse, shift) = scale8(largest);
    let by = [lift, inverse as u32, 1 << (shift - 1), shift];
    // SAFETY: it reads as many values as it writes bytes, and both slices have those.
    unsafe { kinglet_dsp_narrow8(out.as_mut_ptr(), row.as_ptr(), row.len().min(out.len()), &by) };
    scale
}

fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    // SAFETY: it reads as many values as it writes halfwords, and both slices have those.
    unsafe { kinglet_dsp_narrow16(out.as_mut_ptr(), row.as_ptr(), row.len().min(out.len()), shift) };
    Scale::power_of_two(shift)
}

fn norm(row: &mut [i32], by: &NormRow<'_>) {
    if by.centered {
        NormRow::center(row);
    }
    let narrow = magnitude_bits(row).saturating_sub(15);
    // SAFETY: it reads and writes a slice.
    let squares = unsafe { kinglet_dsp_squares(row.as_mut_ptr(), row.len(), narrow) };
    let (inverse, shift) = by.inverse(squares, narrow);
    scale(row, by.weights, shift, inverse, 0);
    add(row, by.biases);
}

fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let (heads, pairs) = (row.len() / head_dim.max(1), angles.len() / 2);
    if heads == 0 || pairs == 0 || 2 * pairs > head_dim {
        return;
    }
    // SAFETY: it reads and writes so many heads of the row, and reads two angles for each pair, by words, which need no boundary.
    unsafe { kinglet_dsp_rotate(row.as_mut_ptr(), angles.as_ptr(), &[heads, 4 * head_dim, pairs]) };
}

fn rectify(values: &mut [i32], table: &[i16]) {
    let last = table.last().map_or(0, |&last| last.into());
    if values.is_empty() {
        return;
    }
    let beyond = [table.len().saturating_sub(1), i32::cast_unsigned(last) as usize];
    // SAFETY: it reads and writes `values`, and reads pairs of entries of which the first is not the last.
    unsafe { kinglet_dsp_rectify(values.as_mut_ptr(), values.len(), table.as_ptr(), &beyond) };
}

fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    let count = values.len().min(gates.len());
    if count == 0 {
        return;
    }
    // SAFETY: it reads `count` of both, and writes as many.
    unsafe { kinglet_dsp_gate(values.as_mut_ptr(), gates.as_ptr(), count, fraction_bits) };
}

fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let count = scores.len().min(keys.len());
    if count == 0 {
        return i32::MIN;
    }
    // 17 is a scale's bias; beyond 255 a shift would count as less.
    let by = [(factor.narrow & 31) as i32, (factor.shift + 17).min(255)];
    // SAFETY: it reads `count` of both, and writes as many scores.
    unsafe { kinglet_dsp_scale_scores(scores.as_mut_ptr(), keys.as_ptr(), count, &by) }
}

fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let by = [largest as usize, lowered as usize, scores.len().min(values.len())];
    // SAFETY: it reads so many of both, and entries of the table by nine bits, and writes as many scores.
    unsafe { kinglet_dsp_powers(scores.as_mut_ptr(), values.as_ptr(), EXP2.as_ptr(), &by) }
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let head_dim = out.len();
    let count = weights.len().min(values.len() / head_dim.max(1));
    if count == 0 || !head_dim.is_multiple_of(8) || !values.as_ptr().addr().is_multiple_of(4) {
        return scalar::weighted_sum_of_any(out, weights, values);
    }
    // SAFETY: they read `count` weights, and as many values of `head_dim` bytes at a word's boundary; they read and write `head_dim` sums.
    unsafe {
        match head_dim {
            8 => kinglet_dsp_weighted_sum_of_8(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), count),
            _ => {
                let shape = [count, head_dim, head_dim / 8];
                kinglet_dsp_weighted_sum(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), &shape);
            }
        }
    }
}

/// How many keys there are, when they and the query are such as the loops take.
fn keys_of<K>(out: &[i32], query: &[i16], keys: &[K], columns: usize) -> Option<usize> {
    let head_dim = query.len();
    let count = out.len().min(keys.len() / head_dim.max(1));
    let fits = head_dim.is_multiple_of(columns)
        && keys.as_ptr().addr().is_multiple_of(4)
        && query.as_ptr().addr().is_multiple_of(4);
    (fits && count > 0).then_some(count)
}

fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let Some(count) = keys_of(out, query, keys, 4) else { return (scalar::SCALAR.scores16)(out, query, keys) };
    // SAFETY: they read the query and `count` keys as long as it, all at a word's boundary, and write `count` scores.
    unsafe {
        match query.len() {
            8 => kinglet_dsp_scores16_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count),
            head_dim => {
                kinglet_dsp_scores16(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &[count, head_dim / 4]);
            }
        }
    }
}

fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let Some(count) = keys_of(out, query, keys, 8) else { return (scalar::SCALAR.scores8)(out, query, keys) };
    // SAFETY: they read the query and `count` keys as long as it, all at a word's boundary, and write `count` scores.
    unsafe {
        match query.len() {
            8 => kinglet_dsp_scores8_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count),
            head_dim => {
                kinglet_dsp_scores8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), &[count, head_dim / 8]);
            }
        }
    }
}
