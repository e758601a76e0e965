//! Widens activations and queries to words, in the column order of a tile, so that `LDMIA` reads
//! them one after the other.

use core::arch::naked_asm;
use core::mem::MaybeUninit;

use crate::format::places::TILE;

/// Columns that are widened at a time.
pub(super) const COLUMNS: usize = 256;

/// A widened value; words beyond the last column are uninitialized.
pub(super) type Word = MaybeUninit<i32>;

/// Widens values to the column order of a tile.
///
/// # Safety
/// `x` has `4 * fours` values, at a word boundary, and `out` has room for them; `fours` is not 0.
#[unsafe(naked)]
unsafe extern "C" fn widen_loop(out: *mut Word, x: *const i16, fours: usize) {
    naked_asm!(
        "
          push {r4-r7}
        1:
          ldmia r1!, {r5, r6}
          sxth r3, r5
          sxth r4, r6
          asrs r5, r5, #16
          asrs r6, r6, #16
          stmia r0!, {r3-r6}
          subs r2, r2, #1
          bne 1b
          pop {r4-r7}
          bx lr
        ",
        options(raw)
    )
}

/// The end address of a slice.
pub(super) fn end_of(values: &[i32]) -> usize {
    values.as_ptr_range().end.addr()
}

/// Widens values of any type to the column order of a tile.
pub(super) fn widen<X: Copy + Into<i32>>(words: &mut [Word; COLUMNS], x: &[X]) {
    for (words, &[a, b, c, d]) in words.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0) {
        *words = [a, c, b, d].map(|x| Word::new(x.into()));
    }
}

/// [`widen`] for 16-bit values.
pub(super) fn widen16(words: &mut [Word; COLUMNS], x: &[i16]) {
    let fours = x.len() / TILE;
    if fours == 0 || fours > COLUMNS / TILE || !x.as_ptr().addr().is_multiple_of(4) {
        return widen(words, x);
    }
    // SAFETY: it reads `4 * fours` values at a word boundary, and writes as many words: `COLUMNS`
    // at most.
    unsafe { widen_loop(words.as_mut_ptr(), x.as_ptr(), fours) };
}
