//! Products of matrices and vectors, and of queries and keys: a vector of activations meets four rows.

use super::super::super::scalar;

core::arch::global_asm!(
    r#"
    .cpu cortex-m55
    .syntax unified
    .thumb

    // weights, x, out, shape: {{blocks of four rows, cols}}
    .macro kinglet_mve_rows name, lanes, load_x, load, step_x, step, product, scale
    .section .text.kinglet_mve_\name, "ax", %progbits
    .global kinglet_mve_\name
    .type kinglet_mve_\name, %function
    .thumb_func
    kinglet_mve_\name:
      push {{r1, r4-r11, lr}}
      ldm r3, {{r3, r11}}
    1:
      ldr r1, [sp]
      mov r9, r0
      add r5, r0, r11, lsl #\scale
      add r6, r5, r11, lsl #\scale
      add r7, r6, r11, lsl #\scale
      movs r4, #0
      mov r8, r4
      mov r10, r4
      mov r12, r4
      dlstp.\lanes lr, r11
    2:
      \load_x q0, [r1], #\step_x
      \load q1, [r0], #\step
      \load q2, [r5], #\step
      \product r4, q0, q1
      \load q1, [r6], #\step
      \product r8, q0, q2
      \load q2, [r7], #\step
      \product r10, q0, q1
      \product r12, q0, q2
      letp lr, 2b
      stmia r2!, {{r4, r8, r10, r12}}
      add r0, r9, r11, lsl #(\scale + 2)
      subs r3, r3, #1
      bne 1b
      add sp, #4
      pop {{r4-r11, pc}}
    .size kinglet_mve_\name, . - kinglet_mve_\name
    .endm
    kinglet_mve_rows rows8, 8, vldrb.u8, vldrb.u8, 16, 16, vmladava.s8, 0
    kinglet_mve_rows rows16, 16, vldrh.u16, vldrb.s16, 16, 8, vmladava.s16, 0
    kinglet_mve_rows keys16, 16, vldrh.u16, vldrh.u16, 16, 16, vmladava.s16, 1
    .purgem kinglet_mve_rows

    // weights, x, cols; returns the sum
    .macro kinglet_mve_dot name, lanes, load_x, load, step_x, step, product
    .section .text.kinglet_mve_\name, "ax", %progbits
    .global kinglet_mve_\name
    .type kinglet_mve_\name, %function
    .thumb_func
    kinglet_mve_\name:
      push {{r4, lr}}
      mov r12, #0
      wlstp.\lanes lr, r2, 2f
    1:
      \load_x q0, [r1], #\step_x
      \load q1, [r0], #\step
      \product r12, q0, q1
      letp lr, 1b
    2:
      mov r0, r12
      pop {{r4, pc}}
    .size kinglet_mve_\name, . - kinglet_mve_\name
    .endm
    kinglet_mve_dot dot8, 8, vldrb.u8, vldrb.u8, 16, 16, vmladava.s8
    kinglet_mve_dot dot16, 16, vldrh.u16, vldrb.s16, 16, 8, vmladava.s16
    kinglet_mve_dot dot_key16, 16, vldrh.u16, vldrh.u16, 16, 16, vmladava.s16
    .purgem kinglet_mve_dot

    // A row of 64 weights, by activations that stay in four registers.
    .macro kinglet_mve_row64 sum
      vldrb.u8 q0, [r0, #16]
      vldrb.u8 q1, [r0, #32]
      vmladav.s8 \sum, q0, q5
      vldrb.u8 q0, [r0, #48]
      vmladava.s8 \sum, q1, q6
      vldrb.u8 q1, [r0], #64
      vmladava.s8 \sum, q0, q7
      vmladava.s8 \sum, q1, q4
    .endm

    // weights, x, out, blocks of four rows
    .section .text.kinglet_mve_rows8_of_64, "ax", %progbits
    .global kinglet_mve_rows8_of_64
    .type kinglet_mve_rows8_of_64, %function
    .thumb_func
    kinglet_mve_rows8_of_64:
      push {{r4, r6, r8, lr}}
      vpush {{d8-d15}}
      vldrb.u8 q4, [r1]
      vldrb.u8 q5, [r1, #16]
      vldrb.u8 q6, [r1, #32]
      vldrb.u8 q7, [r1, #48]
      dls lr, r3
    1:
      kinglet_mve_row64 r4
      kinglet_mve_row64 r6
      kinglet_mve_row64 r8
      kinglet_mve_row64 r12
      stmia r2!, {{r4, r6, r8, r12}}
      le lr, 1b
      vpop {{d8-d15}}
      pop {{r4, r6, r8, pc}}
    .size kinglet_mve_rows8_of_64, . - kinglet_mve_rows8_of_64
    .purgem kinglet_mve_row64

    // Half a row of 64 weights, by the upper and lower bytes of 32 activations.
    .macro kinglet_mve_half_row sum, first
      vldrb.u8 q0, [r0, #16]
      vldrb.u8 q1, [r0], #64
      vmladav.s8 r12, q0, q7
      \first \sum, q0, q6
      vmladava.s8 r12, q1, q5
      vmladava.s8 \sum, q1, q4
      add \sum, \sum, r12, lsl #8
    .endm

    // 32 activations as bytes: 256 times the upper one, and a lower one that has a sign.
    .macro kinglet_mve_bytes
      vld20.8 {{q4, q5}}, [r1]
      vld21.8 {{q4, q5}}, [r1]!
      vld20.8 {{q6, q7}}, [r1]
      vld21.8 {{q6, q7}}, [r1]!
      vshr.s8 q0, q4, #7
      vshr.s8 q1, q6, #7
      vqsub.s8 q5, q5, q0
      vqsub.s8 q7, q7, q1
      vmaxv.s8 r5, q5
      vmaxv.s8 r5, q7
    .endm

    // weights, x, out, blocks of four rows; returns the largest upper byte
    .section .text.kinglet_mve_rows16_of_64, "ax", %progbits
    .global kinglet_mve_rows16_of_64
    .type kinglet_mve_rows16_of_64, %function
    .thumb_func
    kinglet_mve_rows16_of_64:
      push {{r0, r2, r4-r10, lr}}
      vpush {{d8-d15}}
      mvn r5, #127
      kinglet_mve_bytes
      dls lr, r3
    2:
      kinglet_mve_half_row r4, vmladav.s8
      kinglet_mve_half_row r6, vmladav.s8
      kinglet_mve_half_row r8, vmladav.s8
      kinglet_mve_half_row r10, vmladav.s8
      stmia r2!, {{r4, r6, r8, r10}}
      le lr, 2b
      kinglet_mve_bytes
      ldrd r0, r2, [sp, #64]
      adds r0, #32
      dls lr, r3
    3:
      ldm r2, {{r4, r6, r8, r10}}
      kinglet_mve_half_row r4, vmladava.s8
      kinglet_mve_half_row r6, vmladava.s8
      kinglet_mve_half_row r8, vmladava.s8
      kinglet_mve_half_row r10, vmladava.s8
      stmia r2!, {{r4, r6, r8, r10}}
      le lr, 3b
      vpop {{d8-d15}}
      sxtb r0, r5
      add sp, #8
      pop {{r4-r10, pc}}
    .size kinglet_mve_rows16_of_64, . - kinglet_mve_rows16_of_64
    .purgem kinglet_mve_bytes
    .purgem kinglet_mve_half_row

    // out, query, keys, how many
    .macro kinglet_mve_of_8 name, load, step
    .section .text.kinglet_mve_\name, "ax", %progbits
    .global kinglet_mve_\name
    .type kinglet_mve_\name, %function
    .thumb_func
    kinglet_mve_\name:
      push {{r4, r6, r8, lr}}
      vldrh.u16 q0, [r1]
      lsrs r1, r3, #2
      wls lr, r1, 2f
    1:
      \load q1, [r2], #\step
      \load q2, [r2], #\step
      vmladav.s16 r4, q0, q1
      \load q1, [r2], #\step
      vmladav.s16 r6, q0, q2
      \load q2, [r2], #\step
      vmladav.s16 r8, q0, q1
      vmladav.s16 r12, q0, q2
      stmia r0!, {{r4, r6, r8, r12}}
      le lr, 1b
    2:
      and r3, r3, #3
      wls lr, r3, 4f
    3:
      \load q1, [r2], #\step
      vmladav.s16 r4, q0, q1
      str r4, [r0], #4
      le lr, 3b
    4:
      pop {{r4, r6, r8, pc}}
    .size kinglet_mve_\name, . - kinglet_mve_\name
    .endm
    kinglet_mve_of_8 keys8_of_8, vldrb.s16, 8
    kinglet_mve_of_8 keys16_of_8, vldrh.u16, 16
    .purgem kinglet_mve_of_8
    "#
);

unsafe extern "C" {
    fn kinglet_mve_rows8(weights: *const i8, x: *const i8, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_mve_rows16(weights: *const i8, x: *const i16, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_mve_keys16(keys: *const i16, query: *const i16, out: *mut i32, shape: &[usize; 2]);
    fn kinglet_mve_dot8(weights: *const i8, x: *const i8, cols: usize) -> i32;
    fn kinglet_mve_dot16(weights: *const i8, x: *const i16, cols: usize) -> i32;
    fn kinglet_mve_dot_key16(key: *const i16, query: *const i16, cols: usize) -> i32;
    fn kinglet_mve_rows8_of_64(weights: *const i8, x: *const i8, out: *mut i32, blocks: usize);
    fn kinglet_mve_rows16_of_64(weights: *const i8, x: *const i16, out: *mut i32, blocks: usize) -> i32;
    fn kinglet_mve_keys8_of_8(out: *mut i32, query: *const i16, keys: *const i8, count: usize);
    fn kinglet_mve_keys16_of_8(out: *mut i32, query: *const i16, keys: *const i16, count: usize);
}

/// Rows to a block.
const BLOCK: usize = 4;

/// How a block of rows is multiplied by a vector, and how one row is.
struct Products<X, W> {
    rows: unsafe extern "C" fn(*const W, *const X, *mut i32, &[usize; 2]),
    dot: unsafe extern "C" fn(*const W, *const X, usize) -> i32,
}

impl<X, W> Products<X, W> {
    /// `out[row] = rows[row] . x`, as many rows as both have.
    #[inline(always)]
    fn run(&self, out: &mut [i32], x: &[X], rows: &[W]) {
        let cols = x.len();
        let count = out.len().min(rows.len() / cols.max(1));
        let blocks = count / BLOCK;
        if blocks > 0 && cols > 0 {
            // SAFETY: it reads `x` and as many rows of its length as the slice has, or fewer, and writes as many sums as there are.
            unsafe { (self.rows)(rows.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &[blocks, cols]) };
        }
        if count.is_multiple_of(BLOCK) {
            return;
        }
        for (out, row) in out.iter_mut().zip(rows.chunks_exact(cols.max(1))).skip(BLOCK * blocks) {
            // SAFETY: it reads `x` and a row of its length.
            *out = unsafe { (self.dot)(row.as_ptr(), x.as_ptr(), cols) };
        }
    }
}

/// A row that has loops of its own, with activations in registers.
const WIDTH: usize = 64;

pub(super) fn matmul8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if cols == WIDTH && rows > 0 && rows.is_multiple_of(BLOCK) {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows)) {
            // SAFETY: it reads `rows` rows of 64 weights and as many activations, and writes `rows` sums: as many as the slices have.
            unsafe { kinglet_mve_rows8_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / BLOCK) };
        }
        return;
    }
    let products = Products { rows: kinglet_mve_rows8, dot: kinglet_mve_dot8 };
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        products.run(out, x, weights);
    }
}

pub(super) fn matmul16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if cols == WIDTH && rows > 0 && rows.is_multiple_of(BLOCK) {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows)) {
            // SAFETY: as in `matmul8`.
            let largest =
                unsafe { kinglet_mve_rows16_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / BLOCK) };
            if largest == i8::MAX.into() {
                add_missing(out, x, weights, |row, col, cols| row * cols + col);
            }
        }
        return;
    }
    let products = Products { rows: kinglet_mve_rows16, dot: kinglet_mve_dot16 };
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        products.run(out, x, weights);
    }
}

/// A value next to the largest is no two bytes with signs: 127 and what is below zero are 256 less than it.
#[cold]
#[inline(never)]
pub(super) fn add_missing(out: &mut [i32], x: &[i16], weights: &[i8], place: impl Fn(usize, usize, usize) -> usize) {
    for (col, _) in x.iter().enumerate().filter(|(_, x)| **x >= (127 << 8) + 128) {
        for (row, out) in out.iter_mut().enumerate() {
            let weight = weights.get(place(row, col, x.len())).copied().unwrap_or(0);
            *out = out.wrapping_add(i32::from(weight) << 8);
        }
    }
}

pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    if query.len() == 8 {
        let count = out.len().min(keys.len() / 8);
        // SAFETY: it reads a query of eight and `count` keys of eight, and writes `count` scores.
        return unsafe { kinglet_mve_keys8_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count) };
    }
    Products { rows: kinglet_mve_rows16, dot: kinglet_mve_dot16 }.run(out, query, keys);
}

pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    if query.len() == 8 {
        let count = out.len().min(keys.len() / 8);
        // SAFETY: it reads a query of eight and `count` keys of eight, and writes `count` scores.
        return unsafe { kinglet_mve_keys16_of_8(out.as_mut_ptr(), query.as_ptr(), keys.as_ptr(), count) };
    }
    Products { rows: kinglet_mve_keys16, dot: kinglet_mve_dot_key16 }.run(out, query, keys);
}
