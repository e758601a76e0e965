//! Cortex-M0 and M0+: eight registers that compute, loads of signed bytes only with a register for offset, no multiply and add.
//!
//! The four rows of a tile have a pointer each and share an offset. Activations are widened to words first, in the order of
//! the tile, so that one load takes the next: 56 instructions for the 16 products of a tile. Keys and values take the same steps.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use super::super::scalar;
use super::super::table::Kernels;
use crate::fixed::{Scale, mul_high, multiply, shift_round};
use crate::format::places::TILE;
use crate::kernels::scalar::rows::inverse_sqrt;
use crate::kernels::scalar::softmax::EXP2;
use crate::kernels::table::{NormRow, Requantize};

/// The set for this target.
pub(crate) static THUMB1: Kernels = Kernels {
    name: "arm-thumb1",
    tiles8,
    tiles16,
    requantize,
    quantize16,
    norm,
    rotate,
    rectify,
    gate,
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

    .macro kinglet_function name
    .section .text.\name, "ax", %progbits
    .global \name
    .type \name, %function
    .thumb_func
    \name:
    .endm

    .macro kinglet_save
      push {{r4-r7, lr}}
      mov r4, r8
      mov r5, r9
      mov r6, r10
      mov r7, r11
      push {{r4-r7}}
    .endm

    .macro kinglet_restore
      pop {{r4-r7}}
      mov r8, r4
      mov r9, r5
      mov r10, r6
      mov r11, r7
      pop {{r4-r7, pc}}
    .endm

    // One factor, in r5, meets four; the sums are in r8 to r11.
    .macro kinglet_four load
      \load r6, [r0, r4]
      muls r6, r5
      add r8, r6
      \load r6, [r1, r4]
      muls r6, r5
      add r9, r6
      \load r6, [r2, r4]
      muls r6, r5
      add r10, r6
      \load r6, [r3, r4]
      muls r6, r5
      add r11, r6
    .endm

    .macro kinglet_no_sums
      movs r5, #0
      mov r8, r5
      mov r9, r5
      mov r10, r5
      mov r11, r5
    .endm

    .macro kinglet_load_sums at
      ldr r7, [sp, #\at]
      ldmia r7!, {{r5, r6}}
      mov r8, r5
      mov r9, r6
      ldmia r7!, {{r5, r6}}
      mov r10, r5
      mov r11, r6
    .endm

    // Leaves where they end in r7.
    .macro kinglet_store_sums at
      ldr r7, [sp, #\at]
      mov r5, r8
      mov r6, r9
      stmia r7!, {{r5, r6}}
      mov r5, r10
      mov r6, r11
      stmia r7!, {{r5, r6}}
      str r7, [sp, #\at]
    .endm

    .macro kinglet_column next
      ldmia r7!, {{r5}}
      kinglet_four ldrsb
      adds r4, #\next
    .endm

    .macro kinglet_tile
      kinglet_column 1
      kinglet_column 1
      kinglet_column 1
      kinglet_column 13
    .endm

    // weights, x as words, sums, shape: {{end of the sums, bytes of a block to read, bytes to the next block, whether to add to the sums}}
    kinglet_function kinglet_thumb1_tiles
      kinglet_save
      ldmia r3!, {{r4-r7}}
      // x, sums, their end, whether to add
      sub sp, #16
      str r1, [sp]
      str r2, [sp, #4]
      str r4, [sp, #8]
      str r7, [sp, #12]
      // The offset goes up to zero from the end of each row.
      adds r0, r0, r5
      adds r1, r0, #4
      movs r2, r0
      adds r2, #8
      movs r3, r0
      adds r3, #12
      mov r12, r6
      rsbs r5, r5, #0
      mov lr, r5
      b 1f
    5:
      kinglet_load_sums 4
      b 6f
    1:
      ldr r5, [sp, #12]
      cmp r5, #0
      bne 5b
      kinglet_no_sums
    6:
      ldr r7, [sp]
      mov r4, lr
      lsls r5, r4, #27
      bpl 2f
      kinglet_tile
      beq 3f
    2:
      kinglet_tile
      kinglet_tile
      bne 2b
    3:
      kinglet_store_sums 4
      add r0, r12
      add r1, r12
      add r2, r12
      add r3, r12
      ldr r6, [sp, #8]
      cmp r7, r6
      beq 4f
      b 1b
    4:
      add sp, #16
      kinglet_restore
    .size kinglet_thumb1_tiles, . - kinglet_thumb1_tiles
    .purgem kinglet_tile
    .purgem kinglet_column

    // out in the order of a tile's columns, x at a word's boundary, how many times four
    kinglet_function kinglet_thumb1_widen
      push {{r4-r7}}
    1:
      ldmia r1!, {{r5, r6}}
      sxth r3, r5
      sxth r4, r6
      asrs r5, r5, #16
      asrs r6, r6, #16
      stmia r0!, {{r3-r6}}
      subs r2, r2, #1
      bne 1b
      pop {{r4-r7}}
      bx lr
    .size kinglet_thumb1_widen, . - kinglet_thumb1_widen

    // keys, query as words in the order of a tile's columns, out, shape: {{end of the scores, bytes of a key}}
    .macro kinglet_scores name, load, size
    kinglet_function \name
      kinglet_save
      ldmia r3!, {{r4, r5}}
      sub sp, #12
      str r1, [sp]
      str r2, [sp, #4]
      str r4, [sp, #8]
      adds r0, r0, r5
      adds r1, r0, r5
      adds r2, r1, r5
      adds r3, r2, r5
      lsls r6, r5, #2
      mov r12, r6
      rsbs r5, r5, #0
      mov lr, r5
    1:
      kinglet_no_sums
      ldr r7, [sp]
      mov r4, lr
    2:
      ldmia r7!, {{r5}}
      kinglet_four \load
      adds r4, #2 * \size
      ldmia r7!, {{r5}}
      kinglet_four \load
      subs r4, #\size
      ldmia r7!, {{r5}}
      kinglet_four \load
      adds r4, #2 * \size
      ldmia r7!, {{r5}}
      kinglet_four \load
      adds r4, #\size
      bne 2b
      kinglet_store_sums 4
      add r0, r12
      add r1, r12
      add r2, r12
      add r3, r12
      ldr r6, [sp, #8]
      cmp r7, r6
      bne 1b
      add sp, #12
      kinglet_restore
    .size \name, . - \name
    .endm
    kinglet_scores kinglet_thumb1_scores8, ldrsb, 1
    kinglet_scores kinglet_thumb1_scores16, ldrsh, 2
    .purgem kinglet_scores

    // values, weights, sums to add to, shape: {{end of the sums, end of the weights, bytes of a value}}
    kinglet_function kinglet_thumb1_weighted_sum
      kinglet_save
      ldmia r3!, {{r4-r6}}
      sub sp, #12
      str r1, [sp]
      str r2, [sp, #4]
      str r4, [sp, #8]
      mov lr, r5
      mov r12, r6
      adds r1, r0, #1
      adds r2, r0, #2
      adds r3, r0, #3
    1:
      kinglet_load_sums 4
      ldr r7, [sp]
      movs r4, #0
    2:
      ldmia r7!, {{r5}}
      kinglet_four ldrsb
      add r4, r12
      cmp r7, lr
      bne 2b
      kinglet_store_sums 4
      adds r0, #4
      adds r1, #4
      adds r2, #4
      adds r3, #4
      ldr r6, [sp, #8]
      cmp r7, r6
      bne 1b
      add sp, #12
      kinglet_restore
    .size kinglet_thumb1_weighted_sum, . - kinglet_thumb1_weighted_sum
    .purgem kinglet_four
    .purgem kinglet_no_sums
    .purgem kinglet_load_sums
    .purgem kinglet_store_sums

    // accumulators of at most 2^30, multipliers, their end, shift
    kinglet_function kinglet_thumb1_requantize
      kinglet_save
      mov r8, r2
    1:
      ldr r4, [r0]
      ldmia r1!, {{r5}}
      // The high half of their product, of four products of halves. Where the low half of the first has a sign, no sum overflows.
      sxth r6, r4
      subs r4, r4, r6
      asrs r4, r4, #16
      uxth r7, r5
      asrs r5, r5, #16
      movs r2, r6
      muls r2, r7
      asrs r2, r2, #16
      muls r7, r4
      adds r7, r7, r2
      muls r6, r5
      adds r7, r7, r6
      muls r4, r5
      asrs r7, r7, #16
      adds r4, r4, r7
      // What is shifted out last is the carry: adding it rounds.
      movs r5, #0
      asrs r4, r3
      adcs r4, r5
      stmia r0!, {{r4}}
      cmp r1, r8
      bne 1b
      kinglet_restore
    .size kinglet_thumb1_requantize, . - kinglet_thumb1_requantize

    // values, multipliers, their end, how: {{factor, shift}}
    kinglet_function kinglet_thumb1_scale
      kinglet_save
      mov r8, r2
      ldmia r3!, {{r2, r4}}
      mov r9, r4
    1:
      ldr r4, [r0]
      ldmia r1!, {{r5}}
      muls r4, r2
      // The high half of their product, of four products of halves.
      uxth r6, r4
      asrs r4, r4, #16
      uxth r7, r5
      asrs r5, r5, #16
      movs r3, r6
      muls r3, r7
      lsrs r3, r3, #16
      muls r7, r4
      adds r7, r7, r3
      muls r6, r5
      muls r4, r5
      uxth r3, r7
      adds r6, r6, r3
      asrs r7, r7, #16
      asrs r6, r6, #16
      adds r4, r4, r7
      adds r4, r4, r6
      // What is shifted out last is the carry: adding it rounds.
      movs r5, #0
      mov r3, r9
      asrs r4, r3
      adcs r4, r5
      stmia r0!, {{r4}}
      cmp r1, r8
      bne 1b
      kinglet_restore
    .size kinglet_thumb1_scale, . - kinglet_thumb1_scale

    // row, its end, shift; returns the sum of the squares
    kinglet_function kinglet_thumb1_squares
      push {{r4-r7, lr}}
      movs r3, #0
      movs r4, #0
      movs r6, #0
      ldr r7, =0x7fff
    1:
      ldr r5, [r0]
      asrs r5, r2
      adcs r5, r6
      cmp r5, r7
      ble 2f
      movs r5, r7
    2:
      stmia r0!, {{r5}}
      muls r5, r5
      adds r3, r3, r5
      adcs r4, r6
      cmp r0, r1
      bne 1b
      movs r0, r3
      movs r1, r4
      pop {{r4-r7, pc}}
      .ltorg
    .size kinglet_thumb1_squares, . - kinglet_thumb1_squares

    // values, the second half of them, angles, by how much values are narrowed
    kinglet_function kinglet_thumb1_rotate
      kinglet_save
      mov r11, r1
      movs r4, #15
      subs r4, r4, r3
      mov r10, r4
    1:
      ldr r4, [r0]
      ldr r5, [r1]
      movs r7, #0
      // What is shifted out last is the carry: adding it rounds.
      asrs r4, r3
      adcs r4, r7
      asrs r5, r3
      adcs r5, r7
      ldrsh r6, [r2, r7]
      movs r7, #2
      ldrsh r7, [r2, r7]
      adds r2, #4
      mov r8, r4
      mov r9, r5
      muls r4, r6
      muls r5, r7
      subs r4, r4, r5
      mov r5, r9
      muls r5, r6
      mov r6, r8
      muls r6, r7
      adds r5, r5, r6
      mov r6, r10
      movs r7, #0
      asrs r4, r6
      adcs r4, r7
      asrs r5, r6
      adcs r5, r7
      stmia r0!, {{r4}}
      stmia r1!, {{r5}}
      cmp r0, r11
      bne 1b
      kinglet_restore
    .size kinglet_thumb1_rotate, . - kinglet_thumb1_rotate

    // row, how many times two; returns all bits of their magnitudes
    kinglet_function kinglet_thumb1_magnitudes
      push {{r4, r5}}
      movs r2, #0
    1:
      ldmia r0!, {{r3, r4}}
      asrs r5, r3, #31
      eors r3, r5
      orrs r2, r3
      asrs r5, r4, #31
      eors r4, r5
      orrs r2, r4
      subs r1, r1, #1
      bne 1b
      movs r0, r2
      pop {{r4, r5}}
      bx lr
    .size kinglet_thumb1_magnitudes, . - kinglet_thumb1_magnitudes

    // out, row, how many times two, shift
    kinglet_function kinglet_thumb1_narrow
      push {{r4-r7}}
      .macro kinglet_narrow x, at
        asrs \x, r3
        adcs \x, r6
        cmp \x, r7
        ble 2f
        movs \x, r7
      2:
        strh \x, [r0, #\at]
      .endm
      movs r6, #0
      ldr r7, =0x7fff
    1:
      ldmia r1!, {{r4, r5}}
      // What is shifted out last is the carry: adding it rounds.
      kinglet_narrow r4, 0
      kinglet_narrow r5, 2
      adds r0, #4
      subs r2, r2, #1
      bne 1b
      pop {{r4-r7}}
      bx lr
      .ltorg
    .size kinglet_thumb1_narrow, . - kinglet_thumb1_narrow
    .purgem kinglet_narrow

    // values, their end, table, how: {{its last place, its last value}}
    kinglet_function kinglet_thumb1_rectify
      push {{r4-r7, lr}}
      ldmia r3!, {{r4, r5}}
      mov r3, r4
      mov r12, r5
    1:
      ldr r4, [r0]
      asrs r5, r4, #31
      movs r6, r4
      eors r6, r5
      subs r6, r6, r5
      bics r4, r5
      lsrs r5, r6, #10
      cmp r5, r3
      bhs 3f
      lsls r5, r5, #1
      ldrsh r7, [r2, r5]
      adds r5, #2
      ldrsh r5, [r2, r5]
      subs r5, r5, r7
      lsls r6, r6, #22
      lsrs r6, r6, #22
      muls r5, r6
      asrs r5, r5, #10
      adds r4, r4, r7
      adds r4, r4, r5
    2:
      stmia r0!, {{r4}}
      cmp r0, r1
      bne 1b
      pop {{r4-r7, pc}}
    3:
      // The first is not negative, so the sum can only be too large.
      mov r5, r12
      adds r4, r4, r5
      bvc 2b
      movs r4, #1
      lsls r4, r4, #31
      subs r4, r4, #1
      b 2b
    .size kinglet_thumb1_rectify, . - kinglet_thumb1_rectify

    // values, gates, end of the values; returns where it met a factor of more than 23 bits, or the end
    kinglet_function kinglet_thumb1_gate
      push {{r4-r7, lr}}
      movs r3, #1
      lsls r3, r3, #15
      mov r12, r3
    1:
      ldr r4, [r0]
      ldmia r1!, {{r5}}
      asrs r6, r4, #31
      eors r6, r4
      asrs r7, r5, #31
      eors r7, r5
      orrs r6, r7
      lsrs r6, r6, #23
      bne 2f
      uxth r6, r4
      asrs r4, r4, #16
      uxth r7, r5
      asrs r5, r5, #16
      movs r3, r6
      muls r3, r7
      add r3, r12
      lsrs r3, r3, #16
      muls r6, r5
      muls r7, r4
      muls r4, r5
      lsls r4, r4, #16
      adds r4, r4, r3
      adds r4, r4, r6
      adds r4, r4, r7
      stmia r0!, {{r4}}
      cmp r0, r2
      bne 1b
    2:
      pop {{r4-r7, pc}}
    .size kinglet_thumb1_gate, . - kinglet_thumb1_gate

    // scores, bits of the values' scales, largest, how: {{end of the scores, lowered, table of powers}}; returns the sum of the powers
    kinglet_function kinglet_thumb1_powers
      kinglet_save
      ldmia r3!, {{r4-r6}}
      mov r8, r4
      mov r9, r5
      mov r3, r6
      movs r4, #0
      mov r10, r4
    1:
      ldr r4, [r0]
      subs r4, r2, r4
      lsls r5, r4, #16
      lsrs r5, r5, #23
      lsls r5, r5, #1
      ldrh r5, [r3, r5]
      lsrs r4, r4, #16
      cmp r4, #16
      bhs 3f
      lsrs r5, r4
    2:
      add r10, r5
      ldrh r6, [r1]
      adds r1, #2
      lsrs r7, r6, #11
      lsls r6, r6, #21
      lsrs r6, r6, #21
      muls r5, r6
      // A register shifts by its low byte, by more than 31 to zero.
      mov r6, r9
      subs r6, r6, r7
      lsrs r5, r6
      stmia r0!, {{r5}}
      cmp r0, r8
      bne 1b
      mov r0, r10
      kinglet_restore
    3:
      movs r5, #0
      b 2b
    .size kinglet_thumb1_powers, . - kinglet_thumb1_powers
    .purgem kinglet_function
    .purgem kinglet_save
    .purgem kinglet_restore
    "#
);

unsafe extern "C" {
    fn kinglet_thumb1_tiles(weights: *const i8, x: *const Word, sums: *mut i32, shape: &[usize; 4]);
    fn kinglet_thumb1_widen(out: *mut Word, x: *const i16, fours: usize);
    fn kinglet_thumb1_scores8(keys: *const i8, query: *const Word, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_thumb1_scores16(keys: *const i16, query: *const Word, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_thumb1_weighted_sum(values: *const i8, weights: *const i32, sums: *mut i32, shape: &[usize; 3]);
    fn kinglet_thumb1_requantize(accumulators: *mut i32, multipliers: *const i32, end: *const i32, shift: i32);
    fn kinglet_thumb1_scale(values: *mut i32, multipliers: *const i32, end: *const i32, how: &[i32; 2]);
    fn kinglet_thumb1_squares(row: *mut i32, end: *const i32, shift: u32) -> u64;
    fn kinglet_thumb1_rotate(values: *mut i32, second: *mut i32, angles: *const i16, narrow: u32);
    fn kinglet_thumb1_magnitudes(row: *const i32, pairs: usize) -> u32;
    fn kinglet_thumb1_narrow(out: *mut i16, row: *const i32, pairs: usize, shift: u32);
    fn kinglet_thumb1_rectify(values: *mut i32, end: *const i32, table: *const i16, how: &[i32; 2]);
    fn kinglet_thumb1_gate(values: *mut i32, gates: *const i32, end: *const i32) -> *const i32;
    fn kinglet_thumb1_powers(scores: *mut i32, values: *const u16, largest: i32, how: &Powers) -> u32;
}

/// What the loop over powers reads.
#[repr(C)]
struct Powers {
    end: *const i32,
    lowered: u32,
    table: *const u16,
}

/// Columns that are widened at a time.
const COLUMNS: usize = 256;

/// An activation, widened; those that are not needed are never written.
type Word = MaybeUninit<i32>;

/// Where a slice ends, to be compared with.
fn end_of(values: &[i32]) -> usize {
    values.as_ptr_range().end.addr()
}

fn widen<X: Copy + Into<i32>>(words: &mut [Word; COLUMNS], x: &[X]) {
    for (words, &[a, b, c, d]) in words.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0) {
        *words = [a, c, b, d].map(|x| Word::new(x.into()));
    }
}

fn widen16(words: &mut [Word; COLUMNS], x: &[i16]) {
    let fours = x.len() / TILE;
    if fours == 0 || fours > COLUMNS / TILE || !x.as_ptr().addr().is_multiple_of(4) {
        return widen(words, x);
    }
    // SAFETY: it reads `fours` times four values at a word's boundary, and writes as many words, which there are.
    unsafe { kinglet_thumb1_widen(words.as_mut_ptr(), x.as_ptr(), fours) };
}

fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, widen, scalar::SCALAR.tiles8);
}

fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    tiles(out, x, weights, cols, widen16, scalar::SCALAR.tiles16);
}

fn tiles<X>(
    out: &mut [i32],
    x: &[X],
    weights: &[i8],
    cols: usize,
    widen: fn(&mut [Word; COLUMNS], &[X]),
    definition: fn(&mut [i32], &[X], &[i8], usize),
) {
    // One token is what is most often asked for, and needs no division.
    let one = x.len() == cols && cols > 0 && out.len() * cols == weights.len();
    let rows = if one { out.len() } else { weights.len() / cols.max(1) };
    if rows == 0 || !rows.is_multiple_of(TILE) || !cols.is_multiple_of(TILE) {
        return definition(out, x, weights, cols);
    }
    let mut words = [const { Word::uninit() }; COLUMNS];
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        let mut first = 0;
        for x in x.chunks(COLUMNS) {
            widen(&mut words, x);
            let shape = [end_of(out), TILE * x.len(), TILE * cols, first];
            let Some(weights) = weights.get(TILE * first..) else { return };
            // SAFETY: of each block of four rows it reads these columns, and a word for each, at most `COLUMNS`, all widened; it writes or
            // adds to `rows` sums: as many as the slices have.
            unsafe { kinglet_thumb1_tiles(weights.as_ptr(), words.as_ptr(), out.as_mut_ptr(), &shape) };
            first += x.len();
        }
    }
}

fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let same = accumulators.len() == multipliers.len() && !accumulators.is_empty();
    if by.row.is_some() || !(1..=31).contains(&by.shift) || !same {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    let (out, range) = (accumulators.as_mut_ptr(), multipliers.as_ptr_range());
    // Accumulators have the headroom, so the shift to the left can as well be taken off the one to the right: what rounds is the same.
    let shift = by.shift.wrapping_sub_unsigned(by.headroom);
    // SAFETY: they read and write all accumulators, of which there are some, and read as many multipliers.
    unsafe {
        if shift > 0 && by.headroom > 0 {
            kinglet_thumb1_requantize(out, range.start, range.end, shift);
        } else {
            kinglet_thumb1_scale(out, range.start, range.end, &[1 << (by.headroom & 31), by.shift]);
        }
    }
    for (out, &bias) in accumulators.iter_mut().zip(biases) {
        *out = out.saturating_add(bias);
    }
}

/// Of a row of even length; zero of others.
fn magnitude_bits(row: &[i32]) -> u32 {
    if row.is_empty() || !row.len().is_multiple_of(2) {
        return 0;
    }
    // SAFETY: it reads the row, in which there are some pairs.
    32 - unsafe { kinglet_thumb1_magnitudes(row.as_ptr(), row.len() / 2) }.leading_zeros()
}

fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let shift = magnitude_bits(row).saturating_sub(bits);
    if shift == 0 || out.len() != row.len() {
        return (scalar::SCALAR.quantize16)(out, row, bits);
    }
    // SAFETY: it reads the row, in which there are some pairs, and writes as many values.
    unsafe { kinglet_thumb1_narrow(out.as_mut_ptr(), row.as_ptr(), row.len() / 2, shift) };
    Scale::power_of_two(shift)
}

fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let narrow = magnitude_bits(row).saturating_sub(15);
    let Some(weights) = by.weights.get(..row.len()).filter(|_| !by.centered && narrow > 0) else {
        return (scalar::SCALAR.norm)(row, by);
    };
    let range = row.as_mut_ptr_range();
    // SAFETY: it reads and writes the row, in which there is a value with some bits.
    let squares = unsafe { kinglet_thumb1_squares(range.start, range.end, narrow) };
    let (inverse, half_exponent) = inverse_sqrt((squares + (by.epsilon >> (2 * narrow))).max(1));
    let (shift, ends) = (by.shift + half_exponent, weights.as_ptr_range());
    if (1..=31).contains(&shift) {
        // SAFETY: it reads and writes the row, in which there is some value, and reads as many weights.
        unsafe { kinglet_thumb1_scale(range.start, ends.start, ends.end, &[inverse, shift]) };
    } else {
        for (x, &weight) in row.iter_mut().zip(weights) {
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
        let (first, second) = head.split_at_mut_checked(pairs).unwrap_or((&mut [], &mut []));
        if (1..=14).contains(&narrow) {
            // SAFETY: it reads and writes as many values of both parts as there are pairs of angles; some value has some bits, so there
            // are some.
            unsafe { kinglet_thumb1_rotate(first.as_mut_ptr(), second.as_mut_ptr(), angles.as_ptr(), narrow) };
        } else {
            (scalar::SCALAR.rotate)(head, angles, head_dim);
        }
    }
}

/// The longest table: where it ends, no sum has left an `i32`.
const TABLE: usize = 1 << 16;

fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((&last, others)) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let (range, how) = (values.as_mut_ptr_range(), [others.len() as i32, last.into()]);
    // SAFETY: it reads and writes all values, of which there are some, and reads pairs that begin before the table's last place.
    unsafe { kinglet_thumb1_rectify(range.start, range.end, table.as_ptr(), &how) };
}

fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    if fraction_bits != 16 {
        return scalar::gate(values, gates, fraction_bits);
    }
    let (mut values, mut gates) = (values, gates);
    while !values.is_empty() && values.len() <= gates.len() {
        let range = values.as_mut_ptr_range();
        // SAFETY: it reads and writes values, of which there are some, and reads as many gates.
        let met = unsafe { kinglet_thumb1_gate(range.start, gates.as_ptr(), range.end) };
        let done = (met.addr() - range.start.addr()) / size_of::<i32>();
        // What has met a large factor is left to the definition.
        let Some([value, others @ ..]) = values.get_mut(done..) else { return };
        let Some([gate, other_gates @ ..]) = gates.get(done..) else { return };
        *value = multiply(*value, *gate, fraction_bits);
        (values, gates) = (others, other_gates);
    }
    scalar::gate(values, gates, fraction_bits);
}

fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    scores(out, query, keys, kinglet_thumb1_scores8, scalar::SCALAR.scores8);
}

fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    scores(out, query, keys, kinglet_thumb1_scores16, scalar::SCALAR.scores16);
}

fn scores<K>(
    out: &mut [i32],
    query: &[i16],
    keys: &[K],
    loops: unsafe extern "C" fn(*const K, *const Word, *mut i32, &[usize; 2]),
    definition: fn(&mut [i32], &[i16], &[K]),
) {
    let (count, width) = (out.len(), query.len());
    let fits = count >= TILE && (1..=COLUMNS).contains(&width) && width.is_multiple_of(TILE);
    if !fits || keys.len() < count * width {
        return definition(out, query, keys);
    }
    let mut words = [const { Word::uninit() }; COLUMNS];
    widen16(&mut words, query);
    // The last four once more, where they are no whole four: they are written, not added to.
    let last = if count.is_multiple_of(TILE) { 0 } else { TILE };
    for (first, count) in [(0, count / TILE * TILE), (count - TILE, last)] {
        let (Some(out), Some(keys)) = (out.get_mut(first..first + count), keys.get(first * width..)) else { return };
        if out.is_empty() {
            return;
        }
        let shape = [end_of(out), width * size_of::<K>()];
        // SAFETY: it reads the query and a key as long as it for each score, and writes the scores, of which there are whole fours.
        unsafe { loops(keys.as_ptr(), words.as_ptr(), out.as_mut_ptr(), &shape) };
    }
}

fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let count = scores.len().min(values.len());
    let Some(scores) = scores.get_mut(..count).filter(|scores| !scores.is_empty()) else { return 0 };
    let how = Powers { end: scores.as_ptr_range().end, lowered, table: EXP2.as_ptr() };
    // SAFETY: it reads and writes the scores, of which there are some, reads as many scales, and all places of the table that nine bits
    // reach.
    unsafe { kinglet_thumb1_powers(scores.as_mut_ptr(), values.as_ptr(), largest, &how) }
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let (count, width) = (weights.len(), out.len());
    if count == 0 || width == 0 || !width.is_multiple_of(TILE) || values.len() < count * width {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    let shape = [end_of(out), end_of(weights), width];
    // SAFETY: it reads the weights and a value as long as the sums for each, and adds to the sums.
    unsafe { kinglet_thumb1_weighted_sum(values.as_ptr(), weights.as_ptr(), out.as_mut_ptr(), &shape) };
}
