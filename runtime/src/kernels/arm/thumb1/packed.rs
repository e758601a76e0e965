//! Products over packed weights of four bits, as they lie: two shifts and a product for a weight.
//!
//! Weights are offset by 8, so the sums of a group begin with -8 times that of its activations. All
//! rows of one group are multiplied before the next group, because the group's activations and its
//! beginning then stay in registers.

use core::arch::naked_asm;

use super::widened::{COLUMNS, Word, end_of};
use crate::format::places::{PACKED_COLS, TILE};
use crate::kernels::restored::first;
use crate::kernels::table::Weights;
use crate::kernels::words;

/// A tile: a word of eight columns for each of four rows.
const TILE_BYTES: usize = 4 * TILE;

/// What [`in_twos`] and [`in_ones`] take besides three pointers.
#[repr(C)]
struct OneGroup {
    /// The address where the group's activations end.
    x_end: usize,
    /// Bytes from where a row's weights of the group end to those of the next row.
    to_next_row: isize,
    /// Bytes from the fifth row to the next block.
    to_next_block: usize,
    /// With what the sums of the group begin.
    beginning: i32,
    /// A scale for each row.
    scales: *const u8,
    /// Bytes from a block's scales to those of the next block.
    scale_bytes: usize,
    /// The address where the sums end.
    end: usize,
}

/// A weight of the word in r2, times r4 to r7, whose number is `$x`: the weight is shifted to the
/// uppermost bits, and down from there.
macro_rules! product {
    (31, $x:expr) => {
        lines!("lsrs r3, r2, #28", concat!("muls r3, ", $x), "add r8, r3")
    };
    ($up:expr, $x:expr) => {
        lines!(concat!("lsls r3, r2, #", $up), "lsrs r3, r3, #28", concat!("muls r3, ", $x), "add r8, r3")
    };
}

/// Eight columns of a row; `$at` is where their word lies.
macro_rules! tile {
    ($at:expr) => {
        lines!(
            concat!("ldr r2, [r0, #", $at, "]"),
            "ldmia r1!, {r4-r7}",
            product!("28", "r4"),
            product!("12", "r5"),
            product!("24", "r6"),
            product!("8", "r7"),
            "ldmia r1!, {r4-r7}",
            product!("20", "r4"),
            product!("4", "r5"),
            product!("16", "r6"),
            product!(31, "r7")
        )
    };
}

/// A row of a block: its products, and their sum times the scale.
macro_rules! row {
    ($scale:expr, $sum:expr) => {
        lines!(
            "
              mov r8, r11
              mov r1, r10
              bl 2f
              add r0, r12
              ldr r4, [sp, #4]
            ",
            concat!("ldrb r3, [r4, #", $scale, "]"),
            "
              mov r5, r8
              muls r3, r5
              ldr r4, [sp]
            ",
            concat!("ldr r5, [r4, #", $sum, "]"),
            "adds r5, r5, r3",
            concat!("str r5, [r4, #", $sum, "]")
        )
    };
}

/// Adds one group of columns of one token to the sums of all rows; `$tiles` are multiplied before
/// the end is looked for.
macro_rules! one_group {
    ($name:ident, $multiple:literal, $tiles:expr, $bytes:expr) => {
        /// Adds one group of columns of one token to the sums of all rows.
        ///
        /// # Safety
        /// `x` ends at `x_end`, a multiple of
        #[doc = $multiple]
        /// words later, and not at once. `weights` has two words for each of these for each block,
        /// four rows by turns, from where it points to and from every `to_next_block` bytes after
        /// the fifth row on. `sums` ends at `end`, and has four values for each block, at least
        /// one; `scales` has four bytes at every multiple of `scale_bytes`, for each block.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(weights: *const u8, x: *const Word, sums: *mut i32, group: &OneGroup) {
            naked_asm!(
                save!(),
                "
                  ldmia r3!, {r4-r7}
                  mov r9, r4
                  mov r12, r5
                  mov r11, r7
                  mov r10, r1
                  // sums, scales, bytes to the next scales, to the next block, the end of the sums
                  sub sp, #20
                  str r2, [sp]
                  str r6, [sp, #12]
                  ldmia r3!, {r4-r6}
                  str r4, [sp, #4]
                  str r5, [sp, #8]
                  str r6, [sp, #16]
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

one_group!(in_ones, "eight", tile!("0"), "16");
one_group!(in_twos, "sixteen", lines!(tile!("0"), tile!("16")), "32");

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed<X: Copy + Into<i32>>(out: &mut [i32], x: &[X], packed: &Weights<'_>, cols: usize) -> bool {
    words::packed(out, x, packed, cols, |out, x, groups| {
        out.fill(0);
        let (mut rest, group_cols) = (x, PACKED_COLS * groups.tiles_in_group);
        let scale_bytes = TILE * groups.beginnings.len();
        let mut words = [const { Word::uninit() }; COLUMNS];
        for (index, &beginning) in groups.beginnings.iter().enumerate() {
            let x = first(&mut rest, group_cols);
            let Some(words) = words.get_mut(..x.len()) else { return };
            for (word, &x) in words.iter_mut().zip(x) {
                *word = Word::new(x.into());
            }
            let (Some(weights), Some(scales)) =
                (packed.bytes.get(index * TILE_BYTES * groups.tiles_in_group..), packed.scales.get(index * TILE..))
            else {
                return;
            };
            let group = OneGroup {
                x_end: words.as_ptr_range().end.addr(),
                to_next_row: 4 - (TILE_BYTES * x.len() / PACKED_COLS).cast_signed(),
                to_next_block: TILE_BYTES * (groups.tiles - 1),
                beginning,
                scales: scales.as_ptr(),
                scale_bytes,
                end: end_of(out),
            };
            let multiply = if x.len().is_multiple_of(2 * PACKED_COLS) { in_twos } else { in_ones };
            // SAFETY: it reads the weights of this group, at a word's boundary, its activations,
            // all widened, and its scales of each row, and adds to the sums: `words` gives sizes
            // that the slices have.
            unsafe { multiply(weights.as_ptr().cast(), words.as_ptr(), out.as_mut_ptr(), &group) };
        }
    })
}
