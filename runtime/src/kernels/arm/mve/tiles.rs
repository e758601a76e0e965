//! Products of matrices in tiles of four rows by four columns: a load of four registers gives each a row of sixteen weights. The
//! activations are brought into the order of a tile's columns first, and those of sixteen bits are split into bytes.

use core::mem::MaybeUninit;

use super::super::super::scalar;
use super::products::add_missing;
use crate::format::places::{TILE, tile_place};

core::arch::global_asm!(
    r#"
    .cpu cortex-m55
    .syntax unified
    .thumb

    .macro kinglet_mve_begin name
    .section .text.kinglet_mve_\name, "ax", %progbits
    .global kinglet_mve_\name
    .type kinglet_mve_\name, %function
    .thumb_func
    kinglet_mve_\name:
    .endm

    // Where the columns of a tile are.
    .macro kinglet_mve_order factor
    .balign 4
    9:
    .byte 0 * \factor, 2 * \factor, 1 * \factor, 3 * \factor, 4 * \factor, 6 * \factor, 5 * \factor, 7 * \factor
    .byte 8 * \factor, 10 * \factor, 9 * \factor, 11 * \factor, 12 * \factor, 14 * \factor, 13 * \factor, 15 * \factor
    .endm

    // out, x, how many
    kinglet_mve_begin order8
      push {{r7, lr}}
      adr r3, 9f
      vldrb.u8 q1, [r3]
      wlstp.8 lr, r2, 2f
    1:
      vldrb.u8 q0, [r1, q1]
      vstrb.8 q0, [r0], #16
      adds r1, #16
      letp lr, 1b
    2:
      pop {{r7, pc}}
    kinglet_mve_order 1
    .size kinglet_mve_order8, . - kinglet_mve_order8

    // lower bytes, x, how many, upper bytes; returns the largest upper byte
    kinglet_mve_begin order16
      push {{r4, lr}}
      adr r4, 9f
      vldrb.u8 q2, [r4]
      mov r12, #-128
      adds r4, r1, #1
      wlstp.8 lr, r2, 2f
    1:
      vldrb.u8 q1, [r4, q2]
      vldrb.u8 q0, [r1, q2]
      vmaxv.s8 r12, q1
      vstrb.8 q0, [r0], #16
      vshr.s8 q0, q0, #7
      adds r1, #32
      vqsub.s8 q1, q1, q0
      adds r4, #32
      vstrb.8 q1, [r3], #16
      letp lr, 1b
    2:
      sxtb r0, r12
      pop {{r4, pc}}
    kinglet_mve_order 2
    .size kinglet_mve_order16, . - kinglet_mve_order16

    .macro kinglet_mve_tiles at
      vld40.32 {{q0, q1, q2, q3}}, [\at]
      vld41.32 {{q0, q1, q2, q3}}, [\at]
      vld42.32 {{q0, q1, q2, q3}}, [\at]
      vld43.32 {{q0, q1, q2, q3}}, [\at]!
    .endm

    // Fewer than four tiles, as many as a predicate says; the place of each is in q6.
    .macro kinglet_mve_few_tiles at
      vpst
      vldrwt.u32 q0, [\at, q6]
      add \at, #4
      vpst
      vldrwt.u32 q1, [\at, q6]
      add \at, #4
      vpst
      vldrwt.u32 q2, [\at, q6]
      add \at, #4
      vpst
      vldrwt.u32 q3, [\at, q6]
      sub \at, #12
    .endm

    .macro kinglet_mve_products product, x, a, b, c, d
      \product \a, q0, \x
      \product \b, q1, \x
      \product \c, q2, \x
      \product \d, q3, \x
    .endm

    // weights, x, out, shape: {{blocks of four rows, cols / 16, cols % 16, bytes to the next block}}; adds to out
    kinglet_mve_begin tiles8
      push {{r1, r4-r10, lr}}
      vpush {{d8-d13}}
      ldm r3, {{r3, r5, r7, r9}}
      movs r4, #0
      vidup.u32 q6, r4, #4
      vshl.i32 q6, q6, #2
    1:
      ldr r1, [sp, #48]
      ldm r2, {{r4, r6, r8, r10}}
      wls lr, r5, 3f
    2:
      vldrb.u8 q4, [r1], #16
      kinglet_mve_tiles r0
      kinglet_mve_products vmladava.s8, q4, r4, r6, r8, r10
      le lr, 2b
    3:
      cbz r7, 4f
      vctp.8 r7
      vpst
      vldrbt.u8 q4, [r1]
      kinglet_mve_few_tiles r0
      kinglet_mve_products vmladava.s8, q4, r4, r6, r8, r10
    4:
      add r0, r9
      stmia r2!, {{r4, r6, r8, r10}}
      subs r3, #1
      bne 1b
      vpop {{d8-d13}}
      pop {{r1, r4-r10, pc}}
    .size kinglet_mve_tiles8, . - kinglet_mve_tiles8

    // weights, lower and upper bytes of x, out, shape: as above; adds to out
    kinglet_mve_begin tiles16
      push {{r0, r4-r11, lr}}
      ldr r12, [sp, #40]
      vpush {{d8-d13}}
      ldm r12, {{r4-r7}}
      push {{r1, r2, r5-r7}}
      mov r1, r0
      mov r9, r3
      mov r11, r4
      movs r0, #0
      vidup.u32 q6, r0, #4
      vshl.i32 q6, q6, #2
    1:
      ldm sp, {{r3, r5, r7}}
      ldm r9, {{r0, r2, r4, r6}}
      mov r8, #0
      mov r10, #0
      mov r12, #0
      mov lr, #0
      cbz r7, 3f
    2:
      vldrb.u8 q4, [r3], #16
      vldrb.u8 q5, [r5], #16
      kinglet_mve_tiles r1
      kinglet_mve_products vmladava.s8, q4, r0, r2, r4, r6
      kinglet_mve_products vmladava.s8, q5, r8, r10, r12, lr
      subs r7, #1
      bne 2b
    3:
      ldr r7, [sp, #12]
      cbz r7, 4f
      vctp.8 r7
      vpstt
      vldrbt.u8 q4, [r3]
      vldrbt.u8 q5, [r5]
      kinglet_mve_few_tiles r1
      kinglet_mve_products vmladava.s8, q4, r0, r2, r4, r6
      kinglet_mve_products vmladava.s8, q5, r8, r10, r12, lr
    4:
      ldr r7, [sp, #16]
      add r0, r0, r8, lsl #8
      add r2, r2, r10, lsl #8
      add r4, r4, r12, lsl #8
      add r6, r6, lr, lsl #8
      stmia r9!, {{r0, r2, r4, r6}}
      add r1, r7
      subs r11, #1
      bne 1b
      add sp, #20
      vpop {{d8-d13}}
      pop {{r0, r4-r11, pc}}
    .size kinglet_mve_tiles16, . - kinglet_mve_tiles16

    // weights, x, out, blocks of four rows of 64 columns
    kinglet_mve_begin tiles8_of_64
      push {{r4, r6, r8, lr}}
      vpush {{d8-d15}}
      adr r12, 9f
      vldrb.u8 q0, [r12]
      vldrb.u8 q4, [r1, q0]
      adds r1, #16
      vldrb.u8 q5, [r1, q0]
      adds r1, #16
      vldrb.u8 q6, [r1, q0]
      adds r1, #16
      vldrb.u8 q7, [r1, q0]
      dls lr, r3
    1:
      kinglet_mve_tiles r0
      kinglet_mve_products vmladav.s8, q4, r4, r6, r8, r12
      kinglet_mve_tiles r0
      kinglet_mve_products vmladava.s8, q5, r4, r6, r8, r12
      kinglet_mve_tiles r0
      kinglet_mve_products vmladava.s8, q6, r4, r6, r8, r12
      kinglet_mve_tiles r0
      kinglet_mve_products vmladava.s8, q7, r4, r6, r8, r12
      stmia r2!, {{r4, r6, r8, r12}}
      le lr, 1b
      vpop {{d8-d15}}
      pop {{r4, r6, r8, pc}}
    kinglet_mve_order 1
    .size kinglet_mve_tiles8_of_64, . - kinglet_mve_tiles8_of_64

    // 32 activations, in order, as bytes.
    .macro kinglet_mve_bytes x, other
      vldrb.u8 q4, [\x, q0]
      adds \other, \x, #1
      vldrb.u8 q5, [\other, q0]
      adds \x, #32
      vldrb.u8 q6, [\x, q0]
      adds \other, \x, #1
      vldrb.u8 q7, [\other, q0]
      adds \x, #32
      vshr.s8 q1, q4, #7
      vshr.s8 q2, q6, #7
      vqsub.s8 q5, q5, q1
      vqsub.s8 q7, q7, q2
      vmaxv.s8 r9, q5
      vmaxv.s8 r9, q7
    .endm

    // Half of four rows of 64 weights.
    .macro kinglet_mve_half_rows first
      kinglet_mve_tiles r1
      kinglet_mve_products \first, q4, r0, r2, r4, r6
      kinglet_mve_products vmladav.s8, q5, r8, r10, r12, lr
      kinglet_mve_tiles r1
      kinglet_mve_products vmladava.s8, q6, r0, r2, r4, r6
      kinglet_mve_products vmladava.s8, q7, r8, r10, r12, lr
      add r0, r0, r8, lsl #8
      add r2, r2, r10, lsl #8
      add r4, r4, r12, lsl #8
      add r6, r6, lr, lsl #8
      stmia r3!, {{r0, r2, r4, r6}}
      adds r1, #128
    .endm

    // weights, x, out, blocks of four rows of 64 columns; returns the largest upper byte
    kinglet_mve_begin tiles16_of_64
      push {{r0-r10, lr}}
      vpush {{d8-d15}}
      adr r5, 9f
      vldrb.u8 q0, [r5]
      mov r7, r1
      mvn r9, #127
      kinglet_mve_bytes r7, r5
      mov r1, r0
      mov r5, r3
      mov r3, r2
    2:
      kinglet_mve_half_rows vmladav.s8
      subs r5, #1
      bne 2b
      adr r5, 9f
      vldrb.u8 q0, [r5]
      kinglet_mve_bytes r7, r5
      ldr r1, [sp, #64]
      ldrd r3, r5, [sp, #72]
      adds r1, #128
    3:
      ldm r3, {{r0, r2, r4, r6}}
      kinglet_mve_half_rows vmladava.s8
      subs r5, #1
      bne 3b
      vpop {{d8-d15}}
      sxtb r0, r9
      add sp, #16
      pop {{r4-r10, pc}}
    kinglet_mve_order 2
    .size kinglet_mve_tiles16_of_64, . - kinglet_mve_tiles16_of_64
    .purgem kinglet_mve_half_rows
    .purgem kinglet_mve_bytes
    .purgem kinglet_mve_products
    .purgem kinglet_mve_few_tiles
    .purgem kinglet_mve_tiles
    .purgem kinglet_mve_order
    .purgem kinglet_mve_begin
    "#
);

unsafe extern "C" {
    fn kinglet_mve_order8(out: *mut i8, x: *const i8, count: usize);
    fn kinglet_mve_order16(lower: *mut i8, x: *const i16, count: usize, upper: *mut i8) -> i32;
    fn kinglet_mve_tiles8(weights: *const i8, x: *const i8, out: *mut i32, shape: &[usize; 4]);
    fn kinglet_mve_tiles8_of_64(weights: *const i8, x: *const i8, out: *mut i32, blocks: usize);
    fn kinglet_mve_tiles16_of_64(weights: *const i8, x: *const i16, out: *mut i32, blocks: usize) -> i32;
    fn kinglet_mve_tiles16(weights: *const i8, lower: *const i8, upper: *const i8, out: *mut i32, shape: &[usize; 4]);
}

/// A row that has loops of its own, with activations in registers.
const WIDTH: usize = 64;
/// Columns whose activations are brought into order at a time, on the stack.
const PANEL: usize = 512;

type Ordered = MaybeUninit<[i8; PANEL]>;

/// Panels of a row of activations: where each begins in a block of rows, its activations, and its shape.
fn panels<X>(x: &[X], blocks: usize) -> impl Iterator<Item = (usize, &[X], [usize; 4])> {
    let cols = x.len();
    x.chunks(PANEL).enumerate().map(move |(index, x)| {
        // The tiles of a few columns at the end are not passed by the loop.
        let to_next = TILE * (cols - x.len() + x.len() % 16);
        (index * PANEL * TILE, x, [blocks, x.len() / 16, x.len() % 16, to_next])
    })
}

fn fits(weights: &[i8], cols: usize) -> bool {
    !weights.is_empty()
        && cols > 0
        && cols.is_multiple_of(TILE)
        && (weights.len() / cols).is_multiple_of(TILE)
        && weights.len().is_multiple_of(cols)
        && weights.as_ptr().addr().is_multiple_of(4)
}

pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    if !fits(weights, cols) {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    let rows = weights.len() / cols;
    if cols == WIDTH {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows.max(1))) {
            // SAFETY: it reads `rows` rows of 64 weights and as many activations, and writes `rows` sums: as many as the slices have.
            unsafe { kinglet_mve_tiles8_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / TILE) };
        }
        return;
    }
    let mut ordered = Ordered::uninit();
    let ordered = ordered.as_mut_ptr().cast();
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        out.fill(0);
        for (from, x, shape) in panels(x, rows / TILE) {
            // SAFETY: at most `PANEL` activations are brought into order; the weights from the panel's first tile to each block's last
            // are read, at a word's boundary, and `rows` sums are read and written: as many as the slices have.
            unsafe {
                kinglet_mve_order8(ordered, x.as_ptr(), x.len());
                kinglet_mve_tiles8(weights.as_ptr().add(from), ordered, out.as_mut_ptr(), &shape);
            }
        }
    }
}

pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if !fits(weights, cols) {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    let rows = weights.len() / cols;
    if cols == WIDTH {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows.max(1))) {
            // SAFETY: as in `tiles8`.
            let largest =
                unsafe { kinglet_mve_tiles16_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / TILE) };
            if largest == i8::MAX.into() {
                add_missing(out, x, weights, tile_place);
            }
        }
        return;
    }
    let (mut lower, mut upper) = (Ordered::uninit(), Ordered::uninit());
    let (lower, upper) = (lower.as_mut_ptr().cast(), upper.as_mut_ptr().cast());
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        out.fill(0);
        let mut largest = 0;
        for (from, x, shape) in panels(x, rows / TILE) {
            // SAFETY: as in `tiles8`.
            unsafe {
                largest = largest.max(kinglet_mve_order16(lower, x.as_ptr(), x.len(), upper));
                kinglet_mve_tiles16(weights.as_ptr().add(from), lower, upper, out.as_mut_ptr(), &shape);
            }
        }
        if largest == i8::MAX.into() {
            add_missing(out, x, weights, tile_place);
        }
    }
}
