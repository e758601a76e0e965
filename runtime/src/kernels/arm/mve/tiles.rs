//! Products over tiled weights: `VLD4` deinterleaves four tiles into four registers, each with
//! sixteen weights of a row. Activations are reordered to the column order of a tile first, and
//! 16-bit activations are split into bytes.

use core::arch::naked_asm;
use core::mem::MaybeUninit;

use super::matmul::add_missing;
use super::order::{order8, order16};
use crate::format::places::{TILE, tile_place};
use crate::kernels::scalar;

/// Loads four tiles: q0 to q3 hold a row each.
macro_rules! four_tiles {
    ($at:expr) => {
        lines!(
            concat!("vld40.32 {q0, q1, q2, q3}, [", $at, "]"),
            concat!("vld41.32 {q0, q1, q2, q3}, [", $at, "]"),
            concat!("vld42.32 {q0, q1, q2, q3}, [", $at, "]"),
            concat!("vld43.32 {q0, q1, q2, q3}, [", $at, "]!")
        )
    };
}

/// Loads fewer than four tiles, under a predicate, at the offsets in q6.
macro_rules! few_tiles {
    ($at:expr) => {
        lines!(
            "vpst",
            concat!("vldrwt.u32 q0, [", $at, ", q6]"),
            concat!("add ", $at, ", #4"),
            "vpst",
            concat!("vldrwt.u32 q1, [", $at, ", q6]"),
            concat!("add ", $at, ", #4"),
            "vpst",
            concat!("vldrwt.u32 q2, [", $at, ", q6]"),
            concat!("add ", $at, ", #4"),
            "vpst",
            concat!("vldrwt.u32 q3, [", $at, ", q6]"),
            concat!("sub ", $at, ", #12")
        )
    };
}

/// Multiplies four rows by the activations in `$x`.
macro_rules! products {
    ($product:expr, $x:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        lines!(
            concat!($product, " ", $a, ", q0, ", $x),
            concat!($product, " ", $b, ", q1, ", $x),
            concat!($product, " ", $c, ", q2, ", $x),
            concat!($product, " ", $d, ", q3, ", $x)
        )
    };
}

/// The shape of a panel: all rows and a range of columns.
#[repr(C)]
struct Panel {
    /// The number of blocks of four rows.
    blocks: usize,
    /// The number of columns, divided by sixteen: groups of four tiles.
    fours: usize,
    /// The remaining columns.
    rest: usize,
    /// Bytes from the end of a block's last group of four tiles to the next block.
    to_next: usize,
}

/// Adds the products of a token of 8-bit activations to `out`.
///
/// # Safety
/// `weights` has the weights of `panel`, at a word boundary, `x` has an activation for each of its
/// columns, reordered, and `out` has `4 * blocks` sums; `blocks` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token8(weights: *const i8, x: *const i8, out: *mut i32, panel: &Panel) {
    naked_asm!(
        cpu!(),
        "
          push {r1, r4-r10, lr}
          vpush {d8-d13}
          ldm r3, {r3, r5, r7, r9}
          movs r4, #0
          vidup.u32 q6, r4, #4
          vshl.i32 q6, q6, #2
        1:
          ldr r1, [sp, #48]
          ldm r2, {r4, r6, r8, r10}
          wls lr, r5, 3f
        2:
          vldrb.u8 q4, [r1], #16
        ",
        four_tiles!("r0"),
        products!("vmladava.s8", "q4", "r4", "r6", "r8", "r10"),
        "
          le lr, 2b
        3:
          cbz r7, 4f
          vctp.8 r7
          vpst
          vldrbt.u8 q4, [r1]
        ",
        few_tiles!("r0"),
        products!("vmladava.s8", "q4", "r4", "r6", "r8", "r10"),
        "
        4:
          add r0, r9
          stmia r2!, {r4, r6, r8, r10}
          subs r3, #1
          bne 1b
          vpop {d8-d13}
          pop {r1, r4-r10, pc}
        ",
        options(raw)
    )
}

/// Adds the products of a token of 16-bit activations, split into low and high bytes, to `out`.
///
/// # Safety
/// The contract of [`one_token8`], where both `lower` and `upper` take the place of `x`.
#[unsafe(naked)]
unsafe extern "C" fn one_token16(weights: *const i8, lower: *const i8, upper: *const i8, out: *mut i32, panel: &Panel) {
    macro_rules! sixteen_columns {
        () => {
            lines!(
                "vldrb.u8 q4, [r3], #16",
                "vldrb.u8 q5, [r5], #16",
                four_tiles!("r1"),
                products!("vmladava.s8", "q4", "r0", "r2", "r4", "r6"),
                products!("vmladava.s8", "q5", "r8", "r10", "r12", "lr"),
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r0, r4-r11, lr}
          ldr r12, [sp, #40]
          vpush {d8-d13}
          ldm r12, {r4-r7}
          push {r1, r2, r5-r7}
          mov r1, r0
          mov r9, r3
          mov r11, r4
          movs r0, #0
          vidup.u32 q6, r0, #4
          vshl.i32 q6, q6, #2
        1:
          ldm sp, {r3, r5, r7}
          ldm r9, {r0, r2, r4, r6}
          mov r8, #0
          mov r10, #0
          mov r12, #0
          mov lr, #0
          lsrs r7, r7, #1
          bcc 5f
        ",
        sixteen_columns!(),
        "
        5:
          cmp r7, #0
          beq 3f
        2:
        ",
        sixteen_columns!(),
        sixteen_columns!(),
        "
          subs r7, #1
          bne 2b
        3:
          ldr r7, [sp, #12]
          cbz r7, 4f
          vctp.8 r7
          vpstt
          vldrbt.u8 q4, [r3]
          vldrbt.u8 q5, [r5]
        ",
        few_tiles!("r1"),
        products!("vmladava.s8", "q4", "r0", "r2", "r4", "r6"),
        products!("vmladava.s8", "q5", "r8", "r10", "r12", "lr"),
        "
        4:
          ldr r7, [sp, #16]
          add r0, r0, r8, lsl #8
          add r2, r2, r10, lsl #8
          add r4, r4, r12, lsl #8
          add r6, r6, lr, lsl #8
          stmia r9!, {r0, r2, r4, r6}
          add r1, r7
          subs r11, #1
          bne 1b
          add sp, #20
          vpop {d8-d13}
          pop {r0, r4-r11, pc}
        ",
        options(raw)
    )
}

/// Computes the products of rows of 64 columns with a token of 8-bit activations.
///
/// # Safety
/// `weights` has `256 * blocks` values, at a word boundary, `x` has 64 values, and `out` has room
/// for `4 * blocks` sums; `blocks` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn tiles8_of_64(weights: *const i8, x: *const i8, out: *mut i32, blocks: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r4, r6, r8, lr}
          vpush {d8-d15}
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
        ",
        four_tiles!("r0"),
        products!("vmladav.s8", "q4", "r4", "r6", "r8", "r12"),
        four_tiles!("r0"),
        products!("vmladava.s8", "q5", "r4", "r6", "r8", "r12"),
        four_tiles!("r0"),
        products!("vmladava.s8", "q6", "r4", "r6", "r8", "r12"),
        four_tiles!("r0"),
        products!("vmladava.s8", "q7", "r4", "r6", "r8", "r12"),
        "
          stmia r2!, {r4, r6, r8, r12}
          le lr, 1b
          vpop {d8-d15}
          pop {r4, r6, r8, pc}
        ",
        order!(1),
        options(raw)
    )
}

/// Splits 32 activations, reordered, into bytes.
macro_rules! bytes {
    ($x:expr, $other:expr) => {
        lines!(
            concat!("vldrb.u8 q4, [", $x, ", q0]"),
            concat!("adds ", $other, ", ", $x, ", #1"),
            concat!("vldrb.u8 q5, [", $other, ", q0]"),
            concat!("adds ", $x, ", #32"),
            concat!("vldrb.u8 q6, [", $x, ", q0]"),
            concat!("adds ", $other, ", ", $x, ", #1"),
            concat!("vldrb.u8 q7, [", $other, ", q0]"),
            concat!("adds ", $x, ", #32"),
            "
              vshr.s8 q1, q4, #7
              vshr.s8 q2, q6, #7
              vqsub.s8 q5, q5, q1
              vqsub.s8 q7, q7, q2
              vmaxv.s8 r9, q5
              vmaxv.s8 r9, q7
            "
        )
    };
}

/// Multiplies half of four rows of 64 weights.
macro_rules! half_rows {
    ($first:expr) => {
        lines!(
            four_tiles!("r1"),
            products!($first, "q4", "r0", "r2", "r4", "r6"),
            products!("vmladav.s8", "q5", "r8", "r10", "r12", "lr"),
            four_tiles!("r1"),
            products!("vmladava.s8", "q6", "r0", "r2", "r4", "r6"),
            products!("vmladava.s8", "q7", "r8", "r10", "r12", "lr"),
            "
              add r0, r0, r8, lsl #8
              add r2, r2, r10, lsl #8
              add r4, r4, r12, lsl #8
              add r6, r6, lr, lsl #8
              stmia r3!, {r0, r2, r4, r6}
              adds r1, #128
            "
        )
    };
}

/// Computes the products of rows of 64 columns with a token of 16-bit activations. Returns the
/// largest high byte: if it is 127, [`add_missing`] must correct the sums.
///
/// # Safety
/// The contract of [`tiles8_of_64`].
#[unsafe(naked)]
unsafe extern "C" fn tiles16_of_64(weights: *const i8, x: *const i16, out: *mut i32, blocks: usize) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r0-r10, lr}
          vpush {d8-d15}
          adr r5, 9f
          vldrb.u8 q0, [r5]
          mov r7, r1
          mvn r9, #127
        ",
        bytes!("r7", "r5"),
        "
          mov r1, r0
          mov r5, r3
          mov r3, r2
        2:
        ",
        half_rows!("vmladav.s8"),
        "
          subs r5, #1
          bne 2b
          adr r5, 9f
          vldrb.u8 q0, [r5]
        ",
        bytes!("r7", "r5"),
        "
          ldr r1, [sp, #64]
          ldrd r3, r5, [sp, #72]
          adds r1, #128
        3:
          ldm r3, {r0, r2, r4, r6}
        ",
        half_rows!("vmladava.s8"),
        "
          subs r5, #1
          bne 3b
          vpop {d8-d15}
          sxtb r0, r9
          add sp, #16
          pop {r4-r10, pc}
        ",
        order!(2),
        options(raw)
    )
}

/// The width of rows that have loops of their own, with activations in registers.
const WIDTH: usize = 64;
/// Columns whose activations are reordered on the stack at a time.
const PANEL: usize = 512;

type Ordered = MaybeUninit<[i8; PANEL]>;

/// Splits a row of activations into panels: the offset of a panel's first tile in a block, its
/// activations, and its shape.
fn panels<X>(x: &[X], blocks: usize) -> impl Iterator<Item = (usize, &[X], Panel)> {
    let cols = x.len();
    x.chunks(PANEL).enumerate().map(move |(index, x)| {
        // The loop does not advance over the tiles of the remaining columns.
        let to_next = TILE * (cols - x.len() + x.len() % 16);
        (index * PANEL * TILE, x, Panel { blocks, fours: x.len() / 16, rest: x.len() % 16, to_next })
    })
}

/// Whether the loops support the weights.
fn fits(weights: &[i8], cols: usize) -> bool {
    !weights.is_empty()
        && cols > 0
        && cols.is_multiple_of(TILE)
        && (weights.len() / cols).is_multiple_of(TILE)
        && weights.len().is_multiple_of(cols)
        && weights.as_ptr().addr().is_multiple_of(4)
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles8(out: &mut [i32], x: &[i8], weights: &[i8], cols: usize) {
    if !fits(weights, cols) {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    let rows = weights.len() / cols;
    if cols == WIDTH {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows.max(1))) {
            // SAFETY: it reads `rows` rows of 64 weights and 64 activations, and writes `rows`
            // sums: the lengths of the slices.
            unsafe { tiles8_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / TILE) };
        }
        return;
    }
    let mut ordered = Ordered::uninit();
    let ordered = ordered.as_mut_ptr().cast();
    for (x, out) in scalar::tokens(x, cols, out, rows) {
        out.fill(0);
        for (from, x, panel) in panels(x, rows / TILE) {
            // SAFETY: at most `PANEL` activations are reordered. The weights from the
            // panel's first tile to each block's last are read, at a word boundary, and `rows`
            // sums are read and written: the lengths of the slices.
            unsafe {
                order8(ordered, x.as_ptr(), x.len());
                one_token8(weights.as_ptr().add(from), ordered, out.as_mut_ptr(), &panel);
            }
        }
    }
}

/// See [`Products::tiles`](crate::kernels::table::Products::tiles).
pub(super) fn tiles16(out: &mut [i32], x: &[i16], weights: &[i8], cols: usize) {
    if !fits(weights, cols) {
        return scalar::tiles_at_places(out, x, weights, cols);
    }
    let rows = weights.len() / cols;
    if cols == WIDTH {
        for (x, out) in x.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(rows.max(1))) {
            // SAFETY: it reads `rows` rows of 64 weights and 64 activations, and writes `rows`
            // sums: the lengths of the slices.
            let largest = unsafe { tiles16_of_64(weights.as_ptr(), x.as_ptr(), out.as_mut_ptr(), rows / TILE) };
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
        for (from, x, panel) in panels(x, rows / TILE) {
            // SAFETY: at most `PANEL` activations are reordered. The weights from the
            // panel's first tile to each block's last are read, at a word boundary, and `rows`
            // sums are read and written: the lengths of the slices.
            unsafe {
                largest = largest.max(order16(lower, x.as_ptr(), x.len(), upper));
                one_token16(weights.as_ptr().add(from), lower, upper, out.as_mut_ptr(), &panel);
            }
        }
        if largest == i8::MAX.into() {
            add_missing(out, x, weights, tile_place);
        }
    }
}
