//! Products over packed 4-bit weights, without unpacking: a weight takes a product, a sum and a
//! shift.
//!
//! [`words::packed`] explains factors and shifted words. Factors are loaded again for each row, so
//! that products can overwrite them: a word of eight weights takes 26 instructions.

use core::arch::naked_asm;

use crate::format::places::PACKED_COLS;
use crate::kernels::table::Weights;
use crate::kernels::words::{self, Factor, OneGroup};

/// Adds to r3 the products of the word in r2, shifted to the next weight each time, with four
/// factors.
macro_rules! four_products {
    () => {
        "
          ldmia r1!, {r4-r7}
          muls r4, r2
          adds r3, r3, r4
          lsrs r2, r2, #4
          muls r5, r2
          adds r3, r3, r5
          lsrs r2, r2, #4
          muls r6, r2
          adds r3, r3, r6
          lsrs r2, r2, #4
          muls r7, r2
          adds r3, r3, r7
        "
    };
}

/// Eight columns of a row, whose word is at offset `$at`.
macro_rules! tile {
    ($at:expr) => {
        lines!(concat!("ldr r2, [r0, #", $at, "]"), four_products!(), "lsrs r2, r2, #4", four_products!())
    };
}

/// A row of a block: adds the sum of its products, times the scale, to the row's sum.
macro_rules! row {
    ($scale:expr, $sum:expr) => {
        lines!(
            "
              mov r3, r11
              mov r1, r10
              bl 2f
              add r0, r12
              ldr r4, [sp, #4]
            ",
            concat!("ldrb r5, [r4, #", $scale, "]"),
            "
              muls r3, r5
              ldr r4, [sp]
            ",
            concat!("ldr r5, [r4, #", $sum, "]"),
            "adds r5, r5, r3",
            concat!("str r5, [r4, #", $sum, "]")
        )
    };
}

/// Defines a loop that adds a group of columns of one token to the sums of all rows. It is unrolled
/// by `$tiles`.
macro_rules! one_group {
    ($name:ident, $multiple:literal, $tiles:expr, $bytes:expr) => {
        /// Adds a group of columns of one token to the sums of all rows.
        ///
        /// # Safety
        /// `weights`, `factors`, `sums` and `group` are those of a call by [`words::packed`]. The
        /// number of factors is a multiple of
        #[doc = $multiple]
        #[unsafe(naked)]
        unsafe extern "C" fn $name(weights: *const u8, factors: *const Factor, sums: *mut i32, group: &OneGroup) {
            naked_asm!(
                save!(),
                "
                  ldmia r3!, {r4-r7}
                  mov r9, r4
                  mov r11, r5
                  mov r10, r1
                  // Bytes from the end of a row's weights of the group to those of the next row.
                  subs r4, r4, r1
                  lsrs r4, r4, #1
                  subs r4, #4
                  rsbs r4, r4, #0
                  mov r12, r4
                  // On the stack: sums, scales, scale_bytes, bytes from the fifth row to the next
                  // block, sums_end.
                  sub sp, #20
                  str r2, [sp]
                  str r7, [sp, #4]
                  subs r6, #16
                  str r6, [sp, #12]
                  ldmia r3!, {r4, r5}
                  str r4, [sp, #8]
                  str r5, [sp, #16]
                1:
                ",
                row!("0", "0"),
                row!("1", "4"),
                row!("2", "8"),
                row!("3", "12"),
                "
                  adds r4, #16
                  str r4, [sp]
                  ldr r5, [sp, #12]
                  adds r0, r0, r5
                  ldr r5, [sp, #4]
                  ldr r6, [sp, #8]
                  adds r5, r5, r6
                  str r5, [sp, #4]
                  ldr r6, [sp, #16]
                  cmp r4, r6
                  bne 1b
                  add sp, #20
                ",
                restore!(),
                "2:",
                $tiles,
                concat!("adds r0, #", $bytes),
                "
                  cmp r1, r9
                  bne 2b
                  bx lr
                ",
                options(raw)
            )
        }
    };
}

one_group!(in_ones, "eight.", tile!("0"), "16");
one_group!(in_twos, "sixteen.", lines!(tile!("0"), tile!("16")), "32");

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |weights, factors, sums, group| {
        let add = if factors.len().is_multiple_of(2 * PACKED_COLS) { in_twos } else { in_ones };
        // SAFETY: these are the arguments that `words::packed` guarantees.
        unsafe { add(weights.as_ptr().cast(), factors.as_ptr(), sums.as_mut_ptr(), group) };
    })
}
