//! RISC-V with integer multiplication (RV32IM): one product to an instruction, and registers for two tiles.
//!
//! A weight is a load, a product and a sum, and eight rows share what activations cost: 104 instructions for the 32 products of two
//! tiles.
#![allow(unsafe_code)]

use super::scalar;
use super::table::{Kernels, Packed};
use crate::features;
use crate::format::places::{PACKED_COLS, TILE};
use crate::kernels::table::Requantize;

/// The set for this target.
pub(crate) static RISCV: Kernels = Kernels {
    name: "riscv-m",
    tiles8,
    tiles16,
    packed16: if features::PACKED_WEIGHTS { Some(packed16) } else { None },
    requantize,
    rectify,
    scores8,
    scores16,
    weighted_sum,
    ..scalar::SCALAR
};

core::arch::global_asm!(
    r#"
    .option push
    .option arch, +m
    .macro kinglet_row sum, from, at
      lb t0, \at(\from)
      lb t1, \at + 1(\from)
      lb t2, \at + 2(\from)
      lb t3, \at + 3(\from)
      mul t0, t0, s0
      mul t1, t1, s2
      mul t2, t2, s1
      mul t3, t3, s3
      add \sum, \sum, t0
      add \sum, \sum, t1
      add \sum, \sum, t2
      add \sum, \sum, t3
    .endm

    .macro kinglet_columns
      lh s0, 0(a1)
      lh s1, 2(a1)
      lh s2, 4(a1)
      lh s3, 6(a1)
      addi a1, a1, 8
    .endm

    .macro kinglet_save
      addi sp, sp, -48
      sw s0, 0(sp)
      sw s1, 4(sp)
      sw s2, 8(sp)
      sw s3, 12(sp)
      sw s4, 16(sp)
      sw s5, 20(sp)
      sw s6, 24(sp)
      sw s7, 28(sp)
      sw s8, 32(sp)
      sw s9, 36(sp)
      sw s10, 40(sp)
      sw s11, 44(sp)
    .endm

    .macro kinglet_restore
      lw s0, 0(sp)
      lw s1, 4(sp)
      lw s2, 8(sp)
      lw s3, 12(sp)
      lw s4, 16(sp)
      lw s5, 20(sp)
      lw s6, 24(sp)
      lw s7, 28(sp)
      lw s8, 32(sp)
      lw s9, 36(sp)
      lw s10, 40(sp)
      lw s11, 44(sp)
      addi sp, sp, 48
      ret
    .endm

    // weights, x, out, bytes of weights of four rows, how many times four rows
    .section .text.kinglet_riscv_tiles, "ax", @progbits
    .global kinglet_riscv_tiles
    .type kinglet_riscv_tiles, @function
    kinglet_riscv_tiles:
      kinglet_save
      mv t4, a1
      addi a4, a4, -2
      bltz a4, 3f
    1:
      add a5, a0, a3
      mv a6, a5
      mv a1, t4
      li s4, 0
      li s5, 0
      li s6, 0
      li s7, 0
      li s8, 0
      li s9, 0
      li s10, 0
      li s11, 0
    2:
      kinglet_columns
      kinglet_row s4, a0, 0
      kinglet_row s5, a0, 4
      kinglet_row s6, a0, 8
      kinglet_row s7, a0, 12
      addi a0, a0, 16
      kinglet_row s8, a5, 0
      kinglet_row s9, a5, 4
      kinglet_row s10, a5, 8
      kinglet_row s11, a5, 12
      addi a5, a5, 16
      bne a0, a6, 2b
      sw s4, 0(a2)
      sw s5, 4(a2)
      sw s6, 8(a2)
      sw s7, 12(a2)
      sw s8, 16(a2)
      sw s9, 20(a2)
      sw s10, 24(a2)
      sw s11, 28(a2)
      addi a2, a2, 32
      mv a0, a5
      addi a4, a4, -2
      bgez a4, 1b
    3:
      addi a4, a4, 2
      beqz a4, 5f
      add a6, a0, a3
      mv a1, t4
      li s4, 0
      li s5, 0
      li s6, 0
      li s7, 0
    4:
      kinglet_columns
      kinglet_row s4, a0, 0
      kinglet_row s5, a0, 4
      kinglet_row s6, a0, 8
      kinglet_row s7, a0, 12
      addi a0, a0, 16
      bne a0, a6, 4b
      sw s4, 0(a2)
      sw s5, 4(a2)
      sw s6, 8(a2)
      sw s7, 12(a2)
    5:
      kinglet_restore
    .size kinglet_riscv_tiles, . - kinglet_riscv_tiles
    .purgem kinglet_row
    .purgem kinglet_columns

    // A nibble of t4, raised by eight, times an activation.
    .macro kinglet_nibble sum, low, x
      .if \low != 0
      srli t5, t4, \low
      .endif
      .if \low == 0
      andi t5, t4, 15
      .elseif \low != 28
      andi t5, t5, 15
      .endif
      mul t5, t5, \x
      add \sum, \sum, t5
    .endm
    .macro kinglet_nibbles sum, at, low
      lw t4, \at(a0)
      kinglet_nibble \sum, \low, t0
      kinglet_nibble \sum, \low + 16, t1
      kinglet_nibble \sum, \low + 4, t2
      kinglet_nibble \sum, \low + 20, t3
    .endm
    .macro kinglet_half at, low
      lh t0, \at(s8)
      lh t1, \at + 2(s8)
      lh t2, \at + 4(s8)
      lh t3, \at + 6(s8)
      kinglet_nibbles s4, 0, \low
      kinglet_nibbles s5, 4, \low
      kinglet_nibbles s6, 8, \low
      kinglet_nibbles s7, 12, \low
    .endm

    // weights, x, out, tiles of a row, of a group, scales, what each group's sums begin with, blocks of four rows
    .section .text.kinglet_riscv_packed, "ax", @progbits
    .global kinglet_riscv_packed
    .type kinglet_riscv_packed, @function
    kinglet_riscv_packed:
      kinglet_save
    1:
      mv s8, a1
      mv s9, a6
      mv s10, a3
      li s0, 0
      li s1, 0
      li s2, 0
      li s3, 0
    2:
      lw s4, 0(s9)
      addi s9, s9, 4
      mv s5, s4
      mv s6, s4
      mv s7, s4
      mv s11, a4
      bgeu s10, a4, 3f
      mv s11, s10
    3:
      sub s10, s10, s11
    4:
      kinglet_half 0, 0
      kinglet_half 8, 8
      addi a0, a0, 16
      addi s8, s8, 16
      addi s11, s11, -1
      bnez s11, 4b
      lbu t0, 0(a5)
      lbu t1, 1(a5)
      lbu t2, 2(a5)
      lbu t3, 3(a5)
      addi a5, a5, 4
      mul s4, s4, t0
      mul s5, s5, t1
      mul s6, s6, t2
      mul s7, s7, t3
      add s0, s0, s4
      add s1, s1, s5
      add s2, s2, s6
      add s3, s3, s7
      bnez s10, 2b
      sw s0, 0(a2)
      sw s1, 4(a2)
      sw s2, 8(a2)
      sw s3, 12(a2)
      addi a2, a2, 16
      addi a7, a7, -1
      bnez a7, 1b
      kinglet_restore
    .size kinglet_riscv_packed, . - kinglet_riscv_packed
    .purgem kinglet_half
    .purgem kinglet_nibbles
    .purgem kinglet_nibble

    // accumulators, multipliers, count, all but one of the shift
    .section .text.kinglet_riscv_requantize, "ax", @progbits
    .global kinglet_riscv_requantize
    .type kinglet_riscv_requantize, @function
    kinglet_riscv_requantize:
      .macro kinglet_scale at
        lw t0, \at(a0)
        lw t1, \at(a1)
        mulh t0, t0, t1
        sra t0, t0, a3
        addi t0, t0, 1
        srai t0, t0, 1
        sw t0, \at(a0)
      .endm
      addi a2, a2, -4
      bltz a2, 2f
    1:
      kinglet_scale 0
      kinglet_scale 4
      kinglet_scale 8
      kinglet_scale 12
      addi a0, a0, 16
      addi a1, a1, 16
      addi a2, a2, -4
      bgez a2, 1b
    2:
      addi a2, a2, 4
      beqz a2, 4f
    3:
      kinglet_scale 0
      addi a0, a0, 4
      addi a1, a1, 4
      addi a2, a2, -1
      bnez a2, 3b
    4:
      ret
    .size kinglet_riscv_requantize, . - kinglet_riscv_requantize
    .purgem kinglet_scale

    // values, their end, table, its last place, its last value
    .section .text.kinglet_riscv_rectify, "ax", @progbits
    .global kinglet_riscv_rectify
    .type kinglet_riscv_rectify, @function
    kinglet_riscv_rectify:
      lui a7, 0x80000
      not a7, a7
    1:
      lw t0, 0(a0)
      srai t1, t0, 31
      xor t2, t0, t1
      sub t2, t2, t1
      not t1, t1
      and t0, t0, t1
      srli t1, t2, 10
      bgeu t1, a3, 3f
      slli t1, t1, 1
      add t1, t1, a2
      lh t3, 0(t1)
      lh t1, 2(t1)
      andi t2, t2, 1023
      sub t1, t1, t3
      mul t1, t1, t2
      add t0, t0, t3
      srai t1, t1, 10
      add t0, t0, t1
    2:
      sw t0, 0(a0)
      addi a0, a0, 4
      bne a0, a1, 1b
      ret
    3:
      // The first is not negative, so the sum can only be too large.
      add t1, t0, a4
      slti t2, a4, 0
      slt t3, t1, t0
      mv t0, t1
      beq t2, t3, 2b
      mv t0, a7
      j 2b
    .size kinglet_riscv_rectify, . - kinglet_riscv_rectify

    // out, query, keys, how many, bytes of a key, blocks of eight
    .macro kinglet_scores name, load, size
    .section .text.\name, "ax", @progbits
    .global \name
    .type \name, @function
    \name:
      kinglet_save
    1:
      lh s0, 0(a1)
      lh s1, 2(a1)
      lh s2, 4(a1)
      lh s3, 6(a1)
      lh s4, 8(a1)
      lh s5, 10(a1)
      lh s6, 12(a1)
      lh s7, 14(a1)
      addi a1, a1, 16
      mv a6, a0
      mv a7, a2
      mv t6, a3
    2:
      lw t5, 0(a6)
      \load t0, 0(a7)
      \load t1, \size(a7)
      \load t2, 2 * \size(a7)
      \load t3, 3 * \size(a7)
      mul t0, t0, s0
      mul t1, t1, s1
      mul t2, t2, s2
      mul t3, t3, s3
      add t5, t5, t0
      add t5, t5, t1
      add t5, t5, t2
      add t5, t5, t3
      \load t0, 4 * \size(a7)
      \load t1, 5 * \size(a7)
      \load t2, 6 * \size(a7)
      \load t3, 7 * \size(a7)
      add a7, a7, a4
      mul t0, t0, s4
      mul t1, t1, s5
      mul t2, t2, s6
      mul t3, t3, s7
      add t5, t5, t0
      add t5, t5, t1
      add t5, t5, t2
      add t5, t5, t3
      sw t5, 0(a6)
      addi a6, a6, 4
      addi t6, t6, -1
      bnez t6, 2b
      addi a2, a2, 8 * \size
      addi a5, a5, -1
      bnez a5, 1b
      kinglet_restore
    .size \name, . - \name
    .endm
    kinglet_scores kinglet_riscv_scores8, lb, 1
    kinglet_scores kinglet_riscv_scores16, lh, 2
    .purgem kinglet_scores

    // out, weights, values, how many, bytes of a value, blocks of eight
    .section .text.kinglet_riscv_weighted_sum, "ax", @progbits
    .global kinglet_riscv_weighted_sum
    .type kinglet_riscv_weighted_sum, @function
    kinglet_riscv_weighted_sum:
      kinglet_save
    1:
      lw s0, 0(a0)
      lw s1, 4(a0)
      lw s2, 8(a0)
      lw s3, 12(a0)
      lw s4, 16(a0)
      lw s5, 20(a0)
      lw s6, 24(a0)
      lw s7, 28(a0)
      mv a6, a1
      mv a7, a2
      mv t6, a3
    2:
      lw t5, 0(a6)
      lb t0, 0(a7)
      lb t1, 1(a7)
      lb t2, 2(a7)
      lb t3, 3(a7)
      mul t0, t0, t5
      mul t1, t1, t5
      mul t2, t2, t5
      mul t3, t3, t5
      add s0, s0, t0
      add s1, s1, t1
      add s2, s2, t2
      add s3, s3, t3
      lb t0, 4(a7)
      lb t1, 5(a7)
      lb t2, 6(a7)
      lb t3, 7(a7)
      mul t0, t0, t5
      mul t1, t1, t5
      mul t2, t2, t5
      mul t3, t3, t5
      add s4, s4, t0
      add s5, s5, t1
      add s6, s6, t2
      add s7, s7, t3
      addi a6, a6, 4
      add a7, a7, a4
      addi t6, t6, -1
      bnez t6, 2b
      sw s0, 0(a0)
      sw s1, 4(a0)
      sw s2, 8(a0)
      sw s3, 12(a0)
      sw s4, 16(a0)
      sw s5, 20(a0)
      sw s6, 24(a0)
      sw s7, 28(a0)
      addi a0, a0, 32
      addi a2, a2, 8
      addi a5, a5, -1
      bnez a5, 1b
      kinglet_restore
    .size kinglet_riscv_weighted_sum, . - kinglet_riscv_weighted_sum
    .purgem kinglet_save
    .purgem kinglet_restore
    .option pop
    "#
);

unsafe extern "C" {
    fn kinglet_riscv_tiles(weights: *const i8, x: *const i16, out: *mut i32, bytes: usize, blocks: usize);
    fn kinglet_riscv_packed(
        weights: *const u8,
        x: *const i16,
        out: *mut i32,
        tiles: usize,
        tiles_in_group: usize,
        scales: *const u8,
        beginnings: *const i32,
        blocks: usize,
    );
    fn kinglet_riscv_requantize(accumulators: *mut i32, multipliers: *const i32, count: usize, shift: u32);
    fn kinglet_riscv_rectify(values: *mut i32, end: *const i32, table: *const i16, last: usize, value: i32);
    fn kinglet_riscv_scores8(out: *mut i32, query: *const i16, keys: *const i8, n: usize, bytes: usize, blocks: usize);
    fn kinglet_riscv_scores16(
        out: *mut i32,
        query: *const i16,
        keys: *const i16,
        n: usize,
        bytes: usize,
        blocks: usize,
    );
    fn kinglet_riscv_weighted_sum(
        out: *mut i32,
        weights: *const i32,
        values: *const i8,
        n: usize,
        bytes: usize,
        blocks: usize,
    );
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
        // SAFETY: it reads `rows * cols` weights and `cols` activations, of which there are some, and writes `rows` sums: as many as
        // the slices have.
        unsafe { kinglet_riscv_tiles(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), TILE * cols, rows / TILE) };
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
        // SAFETY: it reads `rows * cols / 2` bytes at a word's boundary, `cols` activations, `rows * groups` scales, and a beginning for
        // each group, and writes `rows` sums: as many as the slices have.
        unsafe {
            kinglet_riscv_packed(
                packed.weights.as_ptr(),
                x.as_ptr(),
                out.as_mut_ptr(),
                cols / PACKED_COLS,
                group / PACKED_COLS,
                packed.scales.as_ptr(),
                beginnings.as_ptr(),
                blocks,
            );
        }
    }
    true
}

fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    // Accumulators have the headroom, so the shift to the left can as well be taken off the one to the right: what rounds is the same.
    let shift = by.shift.wrapping_sub_unsigned(by.headroom);
    let count = accumulators.len().min(multipliers.len());
    if by.row.is_some() || by.shift > 31 || shift < 1 {
        return (scalar::SCALAR.requantize)(accumulators, multipliers, biases, by);
    }
    // SAFETY: it reads and writes `count` accumulators, and reads as many multipliers.
    unsafe { kinglet_riscv_requantize(accumulators.as_mut_ptr(), multipliers.as_ptr(), count, shift as u32 - 1) };
    for (out, &bias) in accumulators.iter_mut().zip(biases) {
        *out = out.saturating_add(bias);
    }
}

/// The longest table: where it ends, no sum has left an `i32`.
const TABLE: usize = 1 << 16;

fn rectify(values: &mut [i32], table: &[i16]) {
    let Some((&last, others)) = table.split_last().filter(|_| !values.is_empty() && table.len() <= TABLE) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let range = values.as_mut_ptr_range();
    // SAFETY: it reads and writes all values, of which there are some, and reads pairs that begin before the table's last place.
    unsafe { kinglet_riscv_rectify(range.start, range.end, table.as_ptr(), others.len(), last.into()) };
}

/// Whether the loops take rows of this width, and there are some and as many as wanted.
fn fits(count: usize, rows: usize, width: usize) -> bool {
    count > 0 && width > 0 && width.is_multiple_of(8) && rows >= count * width
}

fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    let (count, width) = (out.len(), query.len());
    if !fits(count, keys.len(), width) {
        return (scalar::SCALAR.scores8)(out, query, keys);
    }
    out.fill(0);
    // SAFETY: it reads the query and a key as long as it for each score, and adds to the scores.
    unsafe { kinglet_riscv_scores8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count, width, width / 8) };
}

fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    let (count, width) = (out.len(), query.len());
    if !fits(count, keys.len(), width) {
        return (scalar::SCALAR.scores16)(out, query, keys);
    }
    out.fill(0);
    // SAFETY: it reads the query and a key as long as it for each score, and adds to the scores.
    unsafe { kinglet_riscv_scores16(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count, 2 * width, width / 8) };
}

fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let (count, width) = (weights.len(), out.len());
    if !fits(count, values.len(), width) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    // SAFETY: it reads the weights and a value as long as the sums for each, and adds to the sums.
    unsafe { kinglet_riscv_weighted_sum(out.as_mut_ptr(), weights.as_ptr(), values.as_ptr(), count, width, width / 8) };
}
