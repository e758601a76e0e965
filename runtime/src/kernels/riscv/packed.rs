//! Products over packed weights of four bits, as they lie: a weight is a field of bits and a
//! product.
//!
//! Weights are offset by 8, so the sums of a group begin with -8 times that of its activations.

use core::arch::naked_asm;

use crate::kernels::table::Weights;
use crate::kernels::words;

/// Four bits of t4, from bit `$low` on, times an activation.
macro_rules! nibble {
    ($sum:expr, $low:expr, $x:expr) => {
        lines!(
            concat!(".if ", $low, " != 0"),
            concat!("srli t5, t4, ", $low),
            ".endif",
            concat!(".if ", $low, " == 0"),
            "andi t5, t4, 15",
            concat!(".elseif ", $low, " != 28"),
            "andi t5, t5, 15",
            ".endif",
            concat!("mul t5, t5, ", $x),
            concat!("add ", $sum, ", ", $sum, ", t5")
        )
    };
}

/// Four columns of the row at `$at`, from bit `$low` of its word on.
macro_rules! nibbles {
    ($sum:expr, $at:expr, $low:expr) => {
        lines!(
            concat!("lw t4, ", $at, "(a0)"),
            nibble!($sum, $low, "t0"),
            nibble!($sum, concat!($low, " + 16"), "t1"),
            nibble!($sum, concat!($low, " + 4"), "t2"),
            nibble!($sum, concat!($low, " + 20"), "t3")
        )
    };
}

/// Four columns of four rows, from bit `$low` of their words on; `$at` is where their activations
/// are.
macro_rules! four_columns {
    ($at:expr, $low:expr) => {
        lines!(
            concat!("lh t0, ", $at, "(s8)"),
            concat!("lh t1, ", $at, " + 2(s8)"),
            concat!("lh t2, ", $at, " + 4(s8)"),
            concat!("lh t3, ", $at, " + 6(s8)"),
            nibbles!("s4", "0", $low),
            nibbles!("s5", "4", $low),
            nibbles!("s6", "8", $low),
            nibbles!("s7", "12", $low)
        )
    };
}

/// The products of one token.
///
/// # Safety
/// `weights` has `16 * tiles * blocks` bytes, at a word's boundary, `x` has `8 * tiles` values, and
/// `out` has room for `4 * blocks` sums. `scales` has four bytes and `beginnings` a word for each
/// group, the former for each block. Neither `tiles`, `tiles_in_group` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(
    weights: *const u8,
    x: *const i16,
    out: *mut i32,
    tiles: usize,
    tiles_in_group: usize,
    scales: *const u8,
    beginnings: *const i32,
    blocks: usize,
) {
    naked_asm!(
        ".option push",
        ".option arch, +m",
        save!(),
        "
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
        ",
        four_columns!("0", "0"),
        four_columns!("8", "8"),
        "
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
        ",
        restore!(),
        ".option pop",
        options(raw)
    )
}

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed16(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |out, x, groups| {
        // SAFETY: it reads the weights, at a word's boundary, the activations, the scales, and a
        // beginning for each group, and writes the sums: `words` gives sizes that the slices have.
        unsafe {
            one_token(
                packed.bytes.as_ptr().cast(),
                x.as_ptr(),
                out.as_mut_ptr(),
                groups.tiles,
                groups.tiles_in_group,
                packed.scales.as_ptr(),
                groups.beginnings.as_ptr(),
                groups.blocks,
            );
        }
    })
}
