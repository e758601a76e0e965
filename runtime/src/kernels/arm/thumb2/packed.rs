//! Products over packed weights of four bits, as they lie: a weight is a field of bits and a
//! product.
//!
//! Weights are offset by 8, so the sums of a group begin with -8 times that of its activations.

use core::arch::naked_asm;

use crate::kernels::table::Weights;
use crate::kernels::words;

/// What [`one_token`] takes besides three pointers.
#[repr(C)]
struct OneToken {
    /// Blocks of four rows.
    blocks: usize,
    /// Tiles in a row, of eight columns.
    tiles: usize,
    tiles_in_group: usize,
    scales: *const u8,
    /// With what the sums of each group begin.
    beginnings: *const i32,
}

/// Two columns of a row.
macro_rules! nibbles {
    ($sum:expr, $word:expr, $low:expr) => {
        lines!(
            concat!("ubfx r12, ", $word, ", #", $low, ", #4"),
            concat!("mla ", $sum, ", r12, r2, ", $sum),
            concat!("ubfx r12, ", $word, ", #", $low, " + 16, #4"),
            concat!("mla ", $sum, ", r12, r3, ", $sum)
        )
    };
}

/// Two columns of four rows.
macro_rules! two_columns {
    ($low:expr) => {
        lines!(
            "
              ldrsh r2, [r1], #4
              ldrsh r3, [r1, #-2]
            ",
            nibbles!("r4", "r8", $low),
            nibbles!("r5", "r9", $low),
            nibbles!("r6", "r10", $low),
            nibbles!("r7", "r11", $low)
        )
    };
}

/// Adds the products of one token to `sums`.
///
/// # Safety
/// `weights` has `16 * tiles * blocks` bytes, at a word's boundary, `x` has `8 * tiles` values, and
/// `sums` has `4 * blocks`. `scales` has four bytes and `beginnings` a word for each group, the
/// former for each block. Neither `tiles`, `tiles_in_group` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const u8, x: *const i16, sums: *mut i32, shape: &OneToken) {
    naked_asm!(
        "
          push {r4-r11, lr}
          ldm r3, {r4-r8}
          // x, sums, blocks, tiles of a row, of a group, scales, beginnings; tiles left, the
          // group's beginning
          sub sp, #36
          stm sp, {r1, r2, r4-r8}
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
          ldmia r0!, {r8-r11}
        ",
        two_columns!("0"),
        two_columns!("4"),
        two_columns!("8"),
        two_columns!("12"),
        "
          subs lr, lr, #1
          bne 3b
          ldrd r3, r2, [sp, #16]
          ldr r3, [r2], #4
          str r2, [sp, #20]
          ldr r2, [sp, #4]
          ldm r2, {r8-r11}
          uxtb r12, r3
          mla r8, r4, r12, r8
          ubfx r12, r3, #8, #8
          mla r9, r5, r12, r9
          ubfx r12, r3, #16, #8
          mla r10, r6, r12, r10
          lsrs r3, r3, #24
          mla r11, r7, r3, r11
          stm r2, {r8-r11}
          ldrd r3, r2, [sp, #28]
          cmp r3, #0
          bne 2b
          ldrd r2, r3, [sp, #4]
          adds r2, r2, #16
          subs r3, r3, #1
          strd r2, r3, [sp, #4]
          bne 1b
          add sp, #36
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed16(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |out, x, groups| {
        out.fill(0);
        let shape = OneToken {
            blocks: groups.blocks,
            tiles: groups.tiles,
            tiles_in_group: groups.tiles_in_group,
            scales: packed.scales.as_ptr(),
            beginnings: groups.beginnings.as_ptr(),
        };
        // SAFETY: it reads the weights, at a word's boundary, the activations, the scales, and a
        // beginning for each group, and adds to the sums: `words` gives sizes that the slices have.
        unsafe { one_token(packed.bytes.as_ptr().cast(), x.as_ptr(), out.as_mut_ptr(), &shape) };
    })
}
