//! Products over packed 4-bit weights, without unpacking: 32 columns of four rows at a time, which
//! `VLD4` deinterleaves by rows.
//!
//! Half of a row's weights are the low nibbles of sixteen bytes, half the high nibbles. 16-bit
//! activations are multiplied as two bytes, sixteen per instruction: the low bytes unsigned, as
//! weights are, the high bytes signed. Weights carry an offset of 8, so the sums of 32 columns
//! begin at -8 times the sum of their activations.

use core::arch::naked_asm;
use core::mem::MaybeUninit;

use crate::format::places::TILE;
use crate::kernels::scalar;
use crate::kernels::table::Weights;

/// Columns that are multiplied together.
const COLUMNS: usize = 32;
/// Words of an [`Apart`]: two bytes of each activation, and the initial sum.
const WORDS: usize = COLUMNS / 2 + 1;
/// Blocks of columns of the widest row that is multiplied in packed form.
const BLOCKS: usize = 32;

/// Activations of 32 columns: the low bytes, then the high bytes, of those whose weights are low
/// nibbles; the low and high bytes of the others; then the initial sum. Blocks beyond the last
/// column are uninitialized.
type Apart = MaybeUninit<[i32; WORDS]>;

/// Splits activations into [`Apart`] blocks.
///
/// # Safety
/// `x` has `32 * blocks` values, at a word boundary, and `apart` has room for `blocks` blocks;
/// `blocks` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn bring_apart(apart: *mut Apart, x: *const i16, blocks: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r4, lr}
          vpush {d8-d11}
          dls lr, r2
        1:
          vld40.32 {q0, q1, q2, q3}, [r1]
          vld41.32 {q0, q1, q2, q3}, [r1]
          vld42.32 {q0, q1, q2, q3}, [r1]
          vld43.32 {q0, q1, q2, q3}, [r1]!
          vaddv.s16 r4, q0
          vmov q4, q0
          vaddva.s16 r4, q1
          vsli.16 q4, q2, #8
          vaddva.s16 r4, q2
          vmov q5, q1
          vaddva.s16 r4, q3
          vsri.16 q2, q0, #8
          vsli.16 q5, q3, #8
          vsri.16 q3, q1, #8
          vstrw.32 q4, [r0]
          vstrw.32 q2, [r0, #16]
          vstrw.32 q5, [r0, #32]
          vstrw.32 q3, [r0, #48]
          lsls r4, r4, #3
          rsbs r4, r4, #0
          str r4, [r0, #64]
          adds r0, #68
          le lr, 1b
          vpop {d8-d11}
          pop {r4, pc}
        ",
        options(raw)
    )
}

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// The address where the activations end.
    end: usize,
    /// The number of blocks of four rows.
    blocks: usize,
    /// Whether a group has 64 columns rather than 32.
    wide_groups: u32,
    out: *mut i32,
}

/// Sixteen low-nibble weights of a row, times both bytes of their activations.
macro_rules! lower {
    ($row:literal, $low:literal, $high:literal) => {
        lines!(
            concat!("vand q5, ", $row, ", q7"),
            concat!("vmladav.u8 ", $low, ", q5, q4"),
            concat!("vmladav.s8 ", $high, ", q5, q6")
        )
    };
}

/// Sixteen high-nibble weights of a row, times both bytes of their activations.
macro_rules! upper {
    ($row:literal, $low:literal, $high:literal) => {
        lines!(
            concat!("vshr.u8 ", $row, ", ", $row, ", #4"),
            concat!("vmladava.u8 ", $low, ", ", $row, ", q4"),
            concat!("vmladava.s8 ", $high, ", ", $row, ", q6")
        )
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `x` has all blocks of columns of a row up to `end`, at least one, written by [`bring_apart`].
/// `weights` has 64 bytes for each block of columns of each block of rows, at a word boundary.
/// `scales` has four bytes for each group of each block of rows, and `out` has room for
/// `4 * blocks` sums; `blocks` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const u8, x: *const Apart, scales: *const u8, by: &OneToken) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          vpush {d8-d15}
          ldm r3, {r4, r6, r8, r10}
          // On the stack: activations, number of blocks, out; then the sums of a block.
          sub sp, #32
          str r1, [sp]
          strd r6, r10, [sp, #4]
          mov r11, r4
          mov r5, r2
          mov r1, r0
          // The step of `scales` per block of columns: 4, or alternating 0 and 4 for wide groups.
          lsl r9, r8, #2
          rsb r7, r9, #4
          vmov.i8 q7, #15
        1:
          ldr r3, [sp]
          vmov.i32 q5, #0
          vstrw.32 q5, [sp, #16]
        2:
          vld40.32 {q0, q1, q2, q3}, [r1]
          vld41.32 {q0, q1, q2, q3}, [r1]
          vld42.32 {q0, q1, q2, q3}, [r1]
          vld43.32 {q0, q1, q2, q3}, [r1]!
          vldrw.u32 q4, [r3]
          vldrw.u32 q6, [r3, #16]
        ",
        lower!("q0", "r0", "r2"),
        lower!("q1", "r4", "r6"),
        lower!("q2", "r8", "r10"),
        lower!("q3", "r12", "lr"),
        "
          vldrw.u32 q4, [r3, #32]
          vldrw.u32 q6, [r3, #48]
        ",
        upper!("q0", "r0", "r2"),
        upper!("q1", "r4", "r6"),
        upper!("q2", "r8", "r10"),
        upper!("q3", "r12", "lr"),
        "
          add r0, r0, r2, lsl #8
          add r4, r4, r6, lsl #8
          add r8, r8, r10, lsl #8
          add r12, r12, lr, lsl #8
          ldr r2, [r3, #64]
          vldrw.u32 q6, [sp, #16]
          vmov q4[2], q4[0], r0, r8
          vmov q4[3], q4[1], r4, r12
          vldrb.u32 q5, [r5]
          vadd.i32 q4, q4, r2
          vmul.i32 q4, q4, q5
          vadd.i32 q6, q6, q4
          vstrw.32 q6, [sp, #16]
          adds r3, #68
          add r5, r5, r7
          eor r7, r7, r9
          cmp r3, r11
          bne 2b
          ldrd r0, r2, [sp, #4]
          vstrw.32 q6, [r2], #16
          subs r0, r0, #1
          strd r0, r2, [sp, #4]
          bne 1b
          add sp, #32
          vpop {d8-d15}
          pop {r4-r11, pc}
        ",
        options(raw)
    )
}

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed16(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) -> bool {
    let group = packed.group();
    let (of_columns, blocks) = (cols / COLUMNS, packed.bytes.len() / (TILE * cols / 2).max(1));
    let aligned = [packed.bytes.as_ptr().addr(), x.as_ptr().addr()];
    let fits = blocks > 0
        && (1..=BLOCKS).contains(&of_columns)
        && of_columns * COLUMNS == cols
        && (group == COLUMNS || group == 2 * COLUMNS && of_columns.is_multiple_of(2))
        && packed.scales.len() >= TILE * blocks * (cols / group.max(1))
        && aligned.iter().all(|address| address.is_multiple_of(4));
    if !fits {
        return false;
    }
    let mut apart = [const { Apart::uninit() }; BLOCKS];
    let Some(apart) = apart.get_mut(..of_columns) else { return false };
    for (x, out) in scalar::tokens(x, cols, out, TILE * blocks) {
        // SAFETY: the first reads `cols` activations at a word boundary, and writes a block for
        // each 32 of them. The second reads these, `blocks` blocks of packed weights at a word
        // boundary, and the scales of their groups, and writes `4 * blocks` sums.
        unsafe {
            bring_apart(apart.as_mut_ptr(), x.as_ptr(), of_columns);
            let by = OneToken {
                end: apart.as_ptr_range().end.addr(),
                blocks,
                wide_groups: u32::from(group != COLUMNS),
                out: out.as_mut_ptr(),
            };
            one_token(packed.bytes.as_ptr().cast(), apart.as_ptr(), packed.scales.as_ptr(), &by);
        }
    }
    true
}
