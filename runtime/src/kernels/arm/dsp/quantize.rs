//! Quantizes rows of fixed-point values to 8 and 16 bits.

use core::arch::naked_asm;

use crate::fixed::Scale;
use crate::kernels::scalar::rows::scale8;

/// Returns a value with as many bits as the largest magnitude of a row.
///
/// # Safety
/// `row` has `count` values.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn magnitude(row: *const i32, count: usize) -> u32 {
    naked_asm!(
        "
          push {r4-r10, lr}
          movs r2, #0
        ",
        many_then_one!(
            8,
            "r1",
            lines!(
                "ldmia r0!, {r3-r10}",
                each!("r3, r4, r5, r6, r7, r8, r9, r10", lines!(r"eor \x, \x, \x, asr #31", r"orr r2, r2, \x"))
            ),
            lines!("ldr r3, [r0], #4", "eor r3, r3, r3, asr #31", "orrs r2, r3")
        ),
        "
          mov r0, r2
          pop {r4-r10, pc}
        ",
        options(raw)
    )
}

/// Returns the largest magnitude of a row; that of `i32::MIN` saturates at `i32::MAX`.
///
/// # Safety
/// `row` has `count` values.
#[unsafe(naked)]
unsafe extern "C" fn largest(row: *const i32, count: usize) -> u32 {
    macro_rules! larger {
        ($registers:literal) => {
            each!(
                $registers,
                r"
                  eor r7, \x, \x, asr #31
                  sub r7, r7, \x, asr #31
                  cmp r7, r2
                  it hi
                  movhi r2, r7
                "
            )
        };
    }
    naked_asm!(
        "
          push {r4-r7, lr}
          movs r2, #0
        ",
        many_then_one!(
            4,
            "r1",
            lines!("ldmia r0!, {r3-r6}", larger!("r3, r4, r5, r6")),
            lines!("ldr r3, [r0], #4", larger!("r3"))
        ),
        "
          sub r0, r2, r2, lsr #31
          pop {r4-r7, pc}
        ",
        options(raw)
    )
}

/// The quantization of a row to bytes: see [`scale8`].
#[repr(C)]
struct Bytes {
    /// The left shift of values, before they are shifted right by 15.
    lift: u32,
    inverse: i32,
    /// `1 << (shift - 1)`, to round.
    half: i32,
    /// The right shift of the products with `inverse`.
    shift: u32,
}

/// # Safety
/// `row` has `count` values, and `out` has room for them.
#[unsafe(naked)]
unsafe extern "C" fn narrow8(out: *mut i8, row: *const i32, count: usize, by: &Bytes) {
    macro_rules! narrowed {
        ($registers:literal) => {
            each!(
                $registers,
                r"
                  lsl \x, \x, r8
                  asr \x, \x, #15
                  mla \x, \x, r9, r10
                  asr \x, \x, r11
                  strb \x, [r0], #1
                "
            )
        };
    }
    naked_asm!(
        "
          push {r4-r11, lr}
          ldm r3, {r8-r11}
        ",
        many_then_one!(
            4,
            "r2",
            lines!("ldmia r1!, {r4-r7}", narrowed!("r4, r5, r6, r7")),
            lines!("ldr r4, [r1], #4", narrowed!("r4"))
        ),
        "pop {r4-r11, pc}",
        options(raw)
    )
}

/// Shifts values right with rounding, and saturates them to 16 bits: eight at a time, shifted left
/// to the high halves of their words.
///
/// # Safety
/// `row` has `8 * eights` values, and `out` has room for them, at a word boundary; `eights` is not
/// 0. Values shifted left by `raise` fit in 32 bits.
#[unsafe(naked)]
unsafe extern "C" fn narrow16_eights(out: *mut i16, row: *const i32, eights: usize, raise: u32) {
    naked_asm!(
        cpu!(),
        "
          push {r4-r11}
          mov r12, #0x8000
        1:
          ldmia r1!, {r4-r11}
        ",
        each!("r4, r5, r6, r7, r8, r9, r10, r11", lines!(r"lsl \x, \x, r3", r"qadd \x, \x, r12")),
        "
          pkhtb r5, r5, r4, asr #16
          pkhtb r7, r7, r6, asr #16
          pkhtb r9, r9, r8, asr #16
          pkhtb r11, r11, r10, asr #16
          stmia r0!, {r5, r7, r9, r11}
          subs r2, r2, #1
          bne 1b
          pop {r4-r11}
          bx lr
        ",
        options(raw)
    )
}

/// Shifts values right with rounding, and saturates them to 16 bits.
///
/// # Safety
/// `row` has `count` values, and `out` has room for them; `shift` is below 32.
#[unsafe(naked)]
unsafe extern "C" fn narrow16(out: *mut i16, row: *const i32, count: usize, shift: u32) {
    macro_rules! narrowed {
        ($registers:literal) => {
            each!($registers, lines!(round!(r"\x", "r3"), r"ssat \x, #16, \x", r"strh \x, [r0], #2"))
        };
    }
    naked_asm!(
        cpu!(),
        "push {r4-r7, lr}",
        many_then_one!(
            4,
            "r2",
            lines!("ldmia r1!, {r4-r7}", narrowed!("r4, r5, r6, r7")),
            lines!("ldr r4, [r1], #4", narrowed!("r4"))
        ),
        "pop {r4-r7, pc}",
        options(raw)
    )
}

/// The number of bits of a [`magnitude`].
pub(super) fn bits_of(magnitude: u32) -> u32 {
    32 - magnitude.leading_zeros()
}

/// See [`quantize8`](crate::kernels::scalar::rows::quantize8).
pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    // SAFETY: it reads a slice.
    let largest = unsafe { largest(row.as_ptr(), row.len()) };
    let (scale, lift, inverse, shift) = scale8(largest);
    let by = Bytes { lift, inverse, half: 1 << (shift - 1), shift };
    // SAFETY: it reads as many values as it writes bytes, and both slices have them.
    unsafe { narrow8(out.as_mut_ptr(), row.as_ptr(), row.len().min(out.len()), &by) };
    scale
}

/// See [`quantize16`](crate::kernels::scalar::rows::quantize16).
pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    // SAFETY: it reads a slice.
    let shift = bits_of(unsafe { magnitude(row.as_ptr(), row.len()) }).saturating_sub(bits);
    let count = row.len().min(out.len());
    let eights = if shift <= 16 && out.as_ptr().addr().is_multiple_of(4) { count / 8 } else { 0 };
    // SAFETY: they read and write `count` values, which both slices have: first all eights, in
    // which no value has more than `shift + 15` bits, then the rest.
    unsafe {
        if eights > 0 {
            narrow16_eights(out.as_mut_ptr(), row.as_ptr(), eights, 16 - shift);
        }
        narrow16(out.as_mut_ptr().add(8 * eights), row.as_ptr().add(8 * eights), count - 8 * eights, shift);
    }
    Scale::power_of_two(shift)
}
