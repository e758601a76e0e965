//! Softmax: scales scores by their keys' scales, and computes their exponentials.

use core::arch::naked_asm;

use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar;
use crate::kernels::scalar::softmax::EXP2;

/// The conversion of a product to a score.
#[repr(C)]
struct Shifts {
    /// The first right shift of a product.
    narrow: u32,
    /// The second right shift, before the biased exponent of the key's scale is subtracted; a
    /// negative difference shifts left.
    shift: i32,
}

/// Scales the scores, and returns the largest.
///
/// # Safety
/// `scores` and `keys` have `count` values, and `count` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn scale_scores_loop(scores: *mut i32, keys: *const u16, count: usize, by: &Shifts) -> i32 {
    naked_asm!(
        cpu!(),
        "
          push {r4-r9, lr}
          ldm r3, {r3, r4}
          mov r12, #0x80000000
          lsrs r2, r2, #1
          bcc 1f
          ldr r5, [r0]
          ldrh r7, [r1], #2
          asrs r5, r3
          ubfx r8, r7, #0, #11
          mul r5, r5, r8
          sub r8, r4, r7, lsr #11
          bl 8f
          str r5, [r0], #4
          mov r12, r5
        1:
          cmp r2, #0
          beq 6f
        2:
          ldrd r5, r6, [r0]
          ldr r7, [r1], #4
          asrs r5, r3
          asrs r6, r3
          ubfx r8, r7, #0, #11
          mul r5, r5, r8
          ubfx r8, r7, #16, #11
          mul r6, r6, r8
          ubfx r8, r7, #11, #5
          sub r8, r4, r8
          sub r7, r4, r7, lsr #27
          orrs r9, r7, r8
          bmi 7f
          asr r5, r5, r8
          asrs r6, r7
        3:
          strd r5, r6, [r0], #8
          cmp r5, r12
          bgt 5f
        4:
          cmp r6, r12
          it gt
          movgt r12, r6
          subs r2, r2, #1
          bne 2b
        6:
          mov r0, r12
          pop {r4-r9, pc}
        5:
          mov r12, r5
          b 4b
        7:
          bl 8f
          mov r9, r5
          mov r5, r6
          mov r8, r7
          bl 8f
          mov r6, r5
          mov r5, r9
          b 3b
          // One product.
        8:
          cmp r8, #0
          bmi 9f
          asr r5, r5, r8
          bx lr
        9:
          qadd r5, r5, r5
          adds r8, r8, #1
          bne 9b
          // The bound is 2^30 - 1 for both signs.
          ssat r5, #31, r5
          cmp r5, #0xc0000000
          it eq
          addeq r5, #1
          bx lr
        ",
        options(raw)
    )
}

/// Arguments of [`powers_loop`] in addition to three pointers.
#[repr(C)]
struct Powers {
    largest: i32,
    lowered: u32,
    count: usize,
}

/// Replaces scores by weights, and returns the sum of the exponentials.
///
/// # Safety
/// `scores` and `values` have `count` values, and `table` has 512 entries.
#[unsafe(naked)]
unsafe extern "C" fn powers_loop(scores: *mut i32, values: *const u16, table: *const u16, by: &Powers) -> u32 {
    /// Converts the score in `$x` to a weight.
    macro_rules! weight {
        ($x:literal) => {
            lines!(
                concat!("sub ", $x, ", r3, ", $x),
                concat!("usat r7, #5, ", $x, ", asr #16"),
                concat!("ubfx ", $x, ", ", $x, ", #7, #9"),
                concat!("ldrh ", $x, ", [r2, ", $x, ", lsl #1]"),
                "ldrh r8, [r1], #2",
                concat!("lsrs ", $x, ", r7"),
                concat!("add r12, r12, ", $x),
                "ubfx r7, r8, #0, #11",
                concat!("mul ", $x, ", ", $x, ", r7"),
                "sub r8, r4, r8, lsr #11",
                concat!("lsr ", $x, ", ", $x, ", r8")
            )
        };
    }
    naked_asm!(
        cpu!(),
        "
          push {r4-r10, lr}
          ldm r3, {r3-r5}
          mov r12, #0
          mov lr, r5
        ",
        many_then_one!(
            4,
            "lr",
            lines!(
                "ldm r0, {r5, r6, r9, r10}",
                each!("r5, r6, r9, r10", weight!(r"\x")),
                "stmia r0!, {r5, r6, r9, r10}"
            ),
            lines!("ldr r5, [r0]", weight!("r5"), "str r5, [r0], #4")
        ),
        "
          mov r0, r12
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// Computes the largest of the values at even indices, in the low half of the result, and the
/// largest at odd indices, in the high half.
///
/// # Safety
/// `values` has `8 * eights` values, at a word boundary; `eights` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn largest_pair(values: *const u16, eights: usize) -> u32 {
    naked_asm!(
        cpu!(),
        "
          push {r4-r7}
          movs r2, #0
        1:
          ldmia r0!, {r4-r7}
        ",
        each!("r4, r5, r6, r7", lines!(r"usub16 r3, \x, r2", r"sel r2, \x, r2")),
        "
          subs r1, r1, #1
          bne 1b
          mov r0, r2
          pop {r4-r7}
          bx lr
        ",
        options(raw)
    )
}

/// See [`Kernels::largest_scale`](crate::kernels::Kernels::largest_scale).
pub(super) fn largest_scale(scales: &[u16]) -> u16 {
    let eights = if scales.as_ptr().addr().is_multiple_of(4) { scales.len() / 8 } else { 0 };
    // SAFETY: it reads `8 * eights` values, at a word boundary.
    let pair = if eights > 0 { unsafe { largest_pair(scales.as_ptr(), eights) } } else { 0 };
    let rest = scales.get(8 * eights..).unwrap_or(&[]);
    scalar::softmax::largest_scale(rest).max(pair as u16).max((pair >> 16) as u16)
}

/// See [`Kernels::scale_scores`](crate::kernels::Kernels::scale_scores).
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let count = scores.len().min(keys.len());
    if count == 0 {
        return i32::MIN;
    }
    // 17 is the bias of a scale's exponent. A shift uses the register's low byte: cap it at 255.
    let by = Shifts { narrow: factor.narrow & 31, shift: (factor.shift + 17).min(255) };
    // SAFETY: it reads `count` values of both slices, and writes as many scores.
    unsafe { scale_scores_loop(scores.as_mut_ptr(), keys.as_ptr(), count, &by) }
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers).
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let by = Powers { largest, lowered, count: scores.len().min(values.len()) };
    // SAFETY: it reads `count` values of both slices, and entries of the table at 9-bit indices,
    // of which it has 512, and writes `count` scores.
    unsafe { powers_loop(scores.as_mut_ptr(), values.as_ptr(), EXP2.as_ptr(), &by) }
}
