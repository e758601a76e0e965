//! Helpers for vectors that all sets of this architecture share.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

/// The lanes as an array.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn words(lanes: int32x4_t) -> [i32; 4] {
    let mut words = [0; 4];
    // SAFETY: four words are written.
    unsafe { vst1q_s32(words.as_mut_ptr(), lanes) };
    words
}

/// The sum of each vector's lanes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn totals([a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}
