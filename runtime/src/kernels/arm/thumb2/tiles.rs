//! Products over tiled weights, of four rows by four columns.
//!
//! A weight takes one load and one `MLA`, and eight rows share the loads of activations: 71
//! instructions for the 32 products of two tiles.

use core::arch::naked_asm;

use crate::format::places::TILE;
use crate::kernels::table::Weights;
use crate::kernels::{scalar, words};

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// Bytes of a block of four rows.
    block_bytes: usize,
    /// The number of blocks.
    blocks: usize,
}

/// Adds a weight times an activation to `$sum`.
macro_rules! product {
    ($sum:expr, $from:expr, $x:expr, $at:expr) => {
        lines!(concat!("ldrsb r12, [", $from, ", #", $at, "]"), concat!("mla ", $sum, ", r12, ", $x, ", ", $sum))
    };
}

/// Two columns of four rows, except their first product.
macro_rules! columns {
    ($from:expr, $a:expr, $b:expr, $c:expr, $d:expr, $at:expr) => {
        lines!(
            product!($d, $from, "r3", concat!($at, " + 13")),
            product!($d, $from, "r2", concat!($at, " + 12")),
            product!($c, $from, "r3", concat!($at, " + 9")),
            product!($c, $from, "r2", concat!($at, " + 8")),
            product!($b, $from, "r3", concat!($at, " + 5")),
            product!($b, $from, "r2", concat!($at, " + 4")),
            product!($a, $from, "r3", concat!($at, " + 1"))
        )
    };
}

/// The last product of a tile, whose load advances to the next tile.
macro_rules! last_product {
    ($sum:expr, $from:expr) => {
        lines!(concat!("ldrsb r12, [", $from, "], #16"), concat!("mla ", $sum, ", r12, r2, ", $sum))
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `weights` has `block_bytes * blocks` bytes, `x` has `block_bytes / 4` values, and `out` has room
/// for `4 * blocks` sums. `block_bytes` is a multiple of 16, and not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const i8, x: *const i16, out: *mut i32, shape: &OneToken) {
    naked_asm!(
        "
          push {r4-r11, lr}
          ldrd r3, r4, [r3]
          // On the stack: x, its end, block_bytes, out, blocks.
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
        ",
        columns!("r0", "r4", "r5", "r6", "r7", "2"),
        product!("r4", "r0", "r2", "2"),
        columns!("lr", "r8", "r9", "r10", "r11", "2"),
        product!("r8", "lr", "r2", "2"),
        "
          ldrsh r3, [r1, #4]
          ldrsh r2, [r1], #8
        ",
        columns!("r0", "r4", "r5", "r6", "r7", "0"),
        last_product!("r4", "r0"),
        columns!("lr", "r8", "r9", "r10", "r11", "0"),
        last_product!("r8", "lr"),
        "
          ldr r12, [sp, #4]
          cmp r1, r12
          bne 2b
          mov r0, lr
          ldrd r2, r3, [sp, #12]
          stmia r2!, {r4-r11}
          subs r3, r3, #2
          strd r2, r3, [sp, #12]
          bhs 1b
        3:
          // The count is -2 if no block is left, or -1 if one is.
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
        ",
        columns!("r0", "r4", "r5", "r6", "r7", "2"),
        product!("r4", "r0", "r2", "2"),
        "
          ldrsh r3, [r1, #4]
          ldrsh r2, [r1], #8
        ",
        columns!("r0", "r4", "r5", "r6", "r7", "0"),
        last_product!("r4", "r0"),
        "
          cmp r1, lr
          bne 4b
          ldr r2, [sp, #12]
          stmia r2!, {r4-r7}
        5:
          add sp, #20
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// [`tiles16`] over 8-bit activations, which are widened first.
pub(super) fn tiles8_with_room(
    out: &mut [i32],
    x: &[i8],
    weights: &Weights<'_>,
    cols: usize,
    room: &mut [i32],
) -> bool {
    scalar::widened_in(room, out, x, weights.bytes, cols, tiles16)
}

/// [`tiles8_with_room`] for few columns.
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    scalar::widened(out, x, weights, cols, tiles16);
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    words::tiles16(out, x, weights, cols, |out, x| {
        let shape = OneToken { block_bytes: TILE * cols, blocks: out.len() / TILE };
        // SAFETY: it reads as many weights as sums times activations, and the activations, and
        // writes the sums: the lengths of the slices.
        unsafe { one_token(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    });
}
