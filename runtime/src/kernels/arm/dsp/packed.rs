//! Products over packed 4-bit weights, without unpacking.
//!
//! Bits 0 to 3 and 16 to 19 of a word, after a shift, are two neighbouring columns. Weights carry
//! an offset of 8, so the sum of a group begins at -8 times the sum of its activations. A group's
//! sum times its scale is added to the row's sum.

use core::arch::naked_asm;

use crate::format::places::TILE;
use crate::kernels::scalar;
use crate::kernels::table::Weights;

/// Arguments of [`one_token`] in addition to three pointers.
#[repr(C)]
struct OneToken {
    /// Bytes of the activations and the initial sums of their groups.
    x_bytes: usize,
    /// The number of blocks of four rows.
    blocks: usize,
    /// 1 if groups have 64 columns, 0 if they have 32.
    wide_groups: u32,
    out: *mut i32,
}

/// Two pairs of columns of a row, at bit `$shift`.
macro_rules! pairs {
    ($row:literal, $sum:literal, $shift:literal) => {
        concat!(
            "and r12, lr, ",
            $row,
            ", lsr #",
            $shift,
            "\n",
            "smlad ",
            $sum,
            ", r12, r6, ",
            $sum,
            "\n",
            "and r12, lr, ",
            $row,
            ", lsr #",
            $shift,
            " + 4\n",
            "smlad ",
            $sum,
            ", r12, r7, ",
            $sum,
            "\n"
        )
    };
}

/// Four tiles of four rows by eight columns.
macro_rules! four_tiles {
    () => {
        concat!(
            "
              .rept 4
              ldmia r0!, {r2-r5}
              ldrd r6, r7, [r1], #8
              and r12, lr, r2
              smlad r8, r12, r6, r8
              and r12, lr, r2, lsr #4
              smlad r8, r12, r7, r8
              and r12, lr, r3
              smlad r9, r12, r6, r9
              and r12, lr, r3, lsr #4
              smlad r9, r12, r7, r9
              and r12, lr, r4
              smlad r10, r12, r6, r10
              and r12, lr, r4, lsr #4
              smlad r10, r12, r7, r10
              and r12, lr, r5
              smlad r11, r12, r6, r11
              and r12, lr, r5, lsr #4
              smlad r11, r12, r7, r11
              ldrd r6, r7, [r1], #8
            ",
            pairs!("r2", "r8", 8),
            pairs!("r3", "r9", 8),
            pairs!("r4", "r10", 8),
            pairs!("r5", "r11", 8),
            ".endr"
        )
    };
}

/// Computes the products of one token.
///
/// # Safety
/// `x` has `x_bytes` bytes written by [`with_beginnings`], with groups of the width that
/// `wide_groups` selects. `weights` has a tile of 16 bytes for every 16 bytes of activations in
/// each block, and `scales` has four bytes for each group and block, all at a word boundary. `out`
/// has room for `4 * blocks` sums. Neither `x_bytes` nor `blocks` is 0.
#[unsafe(naked)]
unsafe extern "C" fn one_token(weights: *const u8, x: *const i32, scales: *const u8, by: &OneToken) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11, lr}
          ldm r3, {r4-r7}
          // On the stack: the address at which a group continues after four tiles, scales, four
          // sums, x, its end, blocks, out.
          sub sp, #40
          str r2, [sp, #4]
          adds r4, r1, r4
          strd r1, r4, [sp, #24]
          strd r5, r7, [sp, #32]
          ldr r4, =4f + 1
          cmp r6, #0
          it ne
          ldrne r4, =3f + 1
          str r4, [sp]
          mov lr, #0x000f000f
        1:
          movs r2, #0
          movs r3, #0
          strd r2, r3, [sp, #8]
          strd r2, r3, [sp, #16]
          ldr r1, [sp, #24]
        2:
          ldr r8, [r1], #4
          mov r9, r8
          mov r10, r8
          mov r11, r8
        ",
        four_tiles!(),
        "
          ldr pc, [sp]
          .p2align 2
        3:
        ",
        four_tiles!(),
        "
          .p2align 2
        4:
          ldr r2, [sp, #4]
          ldr r3, [r2], #4
          str r2, [sp, #4]
          ldrd r4, r5, [sp, #8]
          uxtb r6, r3
          mla r4, r6, r8, r4
          uxtb r6, r3, ror #8
          mla r5, r6, r9, r5
          strd r4, r5, [sp, #8]
          ldrd r4, r5, [sp, #16]
          uxtb r6, r3, ror #16
          mla r4, r6, r10, r4
          uxtb r6, r3, ror #24
          mla r5, r6, r11, r5
          strd r4, r5, [sp, #16]
          ldr r2, [sp, #28]
          cmp r1, r2
          bne.w 2b
          ldrd r2, r3, [sp, #8]
          ldrd r6, r7, [sp, #32]
          stmia r7!, {r2-r5}
          subs r6, r6, #1
          strd r6, r7, [sp, #32]
          bne.w 1b
          add sp, #40
          pop {r4-r11, pc}
          .ltorg
        ",
        options(raw)
    )
}

/// Copies each group of activations, preceded by -8 times its sum.
///
/// # Safety
/// `x` has `groups * group` values, at a word boundary, and `to` has room for them and `groups`
/// words; `group` is a multiple of 8. Neither `groups` nor `group` is 0.
#[unsafe(naked)]
unsafe extern "C" fn with_beginnings(to: *mut i32, x: *const i16, groups: usize, group: usize) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r9, lr}
          mov r12, #0x00010001
        1:
          mov r9, r0
          adds r0, r0, #4
          movs r8, #0
          mov lr, r3
        2:
          ldmia r1!, {r4-r7}
          smlad r8, r4, r12, r8
          smlad r8, r5, r12, r8
          smlad r8, r6, r12, r8
          smlad r8, r7, r12, r8
          stmia r0!, {r4-r7}
          subs lr, lr, #8
          bne 2b
          lsl r8, r8, #3
          rsb r8, r8, #0
          str r8, [r9]
          subs r2, r2, #1
          bne 1b
          pop {r4-r9, pc}
        ",
        options(raw)
    )
}

/// Words of activations and initial sums of the widest row that is multiplied in packed form.
const WORDS: usize = 512;

/// See [`Products::packed`](crate::kernels::table::Products::packed).
pub(super) fn packed16(out: &mut [i32], x: &[i16], packed: &Weights<'_>, cols: usize) -> bool {
    let group = packed.group();
    let groups = cols / group.max(1);
    let (block, words) = (TILE * cols / 2, cols / 2 + groups);
    let blocks = packed.bytes.len() / block.max(1);
    let aligned = [packed.bytes.as_ptr().addr(), packed.scales.as_ptr().addr(), x.as_ptr().addr()];
    let fits = blocks > 0
        && groups > 0
        && matches!(group, 32 | 64)
        && groups * group == cols
        && words <= WORDS
        && packed.scales.len() >= TILE * groups * blocks
        && aligned.iter().all(|address| address.is_multiple_of(4));
    if !fits {
        return false;
    }
    let mut begun = [0; WORDS];
    for (x, out) in scalar::tokens(x, cols, out, TILE * blocks) {
        // SAFETY: the first reads `cols` activations at a word boundary, and writes them and a
        // word for each group, for which `begun` has room. The second reads these, `blocks` blocks
        // of packed weights, and the scales of their groups, all at a word boundary, and writes
        // `4 * blocks` sums.
        unsafe {
            with_beginnings(begun.as_mut_ptr(), x.as_ptr(), groups, group);
            let by =
                OneToken { x_bytes: 4 * words, blocks, wide_groups: u32::from(group == 64), out: out.as_mut_ptr() };
            one_token(packed.bytes.as_ptr().cast(), begun.as_ptr(), packed.scales.as_ptr(), &by);
        }
    }
    true
}
