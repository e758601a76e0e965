//! Products over row-major matrices.

use core::arch::naked_asm;

use super::products::{BLOCK, BYTES, BYTES_BY_16};
use crate::kernels::scalar;

/// A row of 64 weights, times activations that stay in four registers.
macro_rules! row_of_64 {
    ($sum:expr) => {
        lines!(
            "
              vldrb.u8 q0, [r0, #16]
              vldrb.u8 q1, [r0, #32]
            ",
            concat!("vmladav.s8 ", $sum, ", q0, q5"),
            "vldrb.u8 q0, [r0, #48]",
            concat!("vmladava.s8 ", $sum, ", q1, q6"),
            "vldrb.u8 q1, [r0], #64",
            concat!("vmladava.s8 ", $sum, ", q0, q7"),
            concat!("vmladava.s8 ", $sum, ", q1, q4")
        )
    };
}

/// Computes the products of rows of 64 columns with a token of 8-bit activations.
///
/// # Safety
/// `weights` has `256 * blocks` values, `x` has 64, and `out` has room for `4 * blocks` sums;
/// `blocks` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn rows8_of_64(weights: *const i8, x: *const i8, out: *mut i32, blocks: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r4, r6, r8, lr}
          vpush {d8-d15}
          vldrb.u8 q4, [r1]
          vldrb.u8 q5, [r1, #16]
          vldrb.u8 q6, [r1, #32]
          vldrb.u8 q7, [r1, #48]
          dls lr, r3
        1:
        ",
        row_of_64!("r4"),
        row_of_64!("r6"),
        row_of_64!("r8"),
        row_of_64!("r12"),
        "
          stmia r2!, {r4, r6, r8, r12}
          le lr, 1b
          vpop {d8-d15}
          pop {r4, r6, r8, pc}
        ",
        options(raw)
    )
}

/// Half a row of 64 weights, times the high and low bytes of 32 activations.
macro_rules! half_row {
    ($sum:expr, $first:expr) => {
        lines!(
            "
              vldrb.u8 q0, [r0, #16]
              vldrb.u8 q1, [r0], #64
              vmladav.s8 r12, q0, q7
            ",
            concat!($first, " ", $sum, ", q0, q6"),
            "vmladava.s8 r12, q1, q5",
            concat!("vmladava.s8 ", $sum, ", q1, q4"),
            concat!("add ", $sum, ", ", $sum, ", r12, lsl #8")
        )
    };
}

/// Splits 32 activations into signed bytes, `256 * high + low`.
macro_rules! bytes {
    () => {
        "
          vld20.8 {q4, q5}, [r1]
          vld21.8 {q4, q5}, [r1]!
          vld20.8 {q6, q7}, [r1]
          vld21.8 {q6, q7}, [r1]!
          vshr.s8 q0, q4, #7
          vshr.s8 q1, q6, #7
          vqsub.s8 q5, q5, q0
          vqsub.s8 q7, q7, q1
          vmaxv.s8 r5, q5
          vmaxv.s8 r5, q7
        "
    };
}

/// Computes the products of rows of 64 columns with a token of 16-bit activations. Returns the
/// largest high byte: if it is 127, [`add_missing`] must correct the sums.
///
/// # Safety
/// The contract of [`rows8_of_64`].
#[unsafe(naked)]
unsafe extern "C" fn rows16_of_64(weights: *const i8, x: *const i16, out: *mut i32, blocks: usize) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r0, r2, r4-r10, lr}
          vpush {d8-d15}
          mvn r5, #127
        ",
        bytes!(),
        "
          dls lr, r3
        2:
        ",
        half_row!("r4", "vmladav.s8"),
        half_row!("r6", "vmladav.s8"),
        half_row!("r8", "vmladav.s8"),
        half_row!("r10", "vmladav.s8"),
        "
          stmia r2!, {r4, r6, r8, r10}
          le lr, 2b
        ",
        bytes!(),
        "
          ldrd r0, r2, [sp, #64]
          adds r0, #32
          dls lr, r3
        3:
          ldm r2, {r4, r6, r8, r10}
        ",
        half_row!("r4", "vmladava.s8"),
        half_row!("r6", "vmladava.s8"),
        half_row!("r8", "vmladava.s8"),
        half_row!("r10", "vmladava.s8"),
        "
          stmia r2!, {r4, r6, r8, r10}
          le lr, 3b
          vpop {d8-d15}
          sxtb r0, r5
          add sp, #8
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// The width of rows that have loops of their own, with activations in registers.
const WIDTH: usize = 64;

/// See [`Products::rows`](crate::kernels::table::Products::rows).
pub(super) fn matmul8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if cols == WIDTH && rows > 0 && rows.is_multiple_of(BLOCK) {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows)) {
            // SAFETY: it reads `rows` rows of 64 weights and 64 activations, and writes `rows`
            // sums: the lengths of the slices.
            unsafe { rows8_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / BLOCK) };
        }
        return;
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        BYTES.run(out, x, weights);
    }
}

/// See [`Products::rows`](crate::kernels::table::Products::rows).
pub(super) fn matmul16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    let rows = weights.len() / cols.max(1);
    if cols == WIDTH && rows > 0 && rows.is_multiple_of(BLOCK) {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows)) {
            // SAFETY: it reads `rows` rows of 64 weights and 64 activations, and writes `rows`
            // sums: the lengths of the slices.
            let largest = unsafe { rows16_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / BLOCK) };
            if largest == i8::MAX.into() {
                add_missing(out, x, weights, |row, col, cols| row * cols + col);
            }
        }
        return;
    }
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        BYTES_BY_16.run(out, x, weights);
    }
}

/// Corrects sums for activations from `127 * 256 + 128` on. They are not the sum of two signed
/// bytes: the high byte saturates at 127, and with a negative low byte that is 256 too small.
/// `place` returns the offset of a weight, given its row, its column and the number of columns.
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
