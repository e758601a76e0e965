//! Attention and activations: four keys at a time for scores, eight or sixteen columns for the
//! weighted sum, four values for a table. `powers` is the reference kernel, which the compiler
//! vectorizes as well.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::attend::ScoreFactor;
use super::super::scalar;
use super::vectors::{totals, words};

/// A key's value type, eight of which load into 16-bit lanes.
trait Wide: Copy {
    fn load(values: &[Self; 8]) -> int16x8_t;
}

impl Wide for i8 {
    #[inline(always)]
    fn load(values: &[Self; 8]) -> int16x8_t {
        // SAFETY: this module is for targets that have vectors; eight bytes are read, at any
        // alignment.
        unsafe { vmovl_s8(vld1_s8(values.as_ptr())) }
    }
}

impl Wide for i16 {
    #[inline(always)]
    fn load(values: &[Self; 8]) -> int16x8_t {
        // SAFETY: this module is for targets that have vectors; sixteen bytes are read, at any
        // alignment.
        unsafe { vld1q_s16(values.as_ptr()) }
    }
}

#[target_feature(enable = "neon")]
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores8)(out, query, keys);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores16)(out, query, keys);
    }
}

/// Computes the scores if `head_dim` is a multiple of eight. Returns whether it did.
#[inline]
#[target_feature(enable = "neon")]
fn scores<K: Wide>(out: &mut [i32], query: &[i16], keys: &[K]) -> bool {
    let (query, rest) = query.as_chunks::<8>();
    let head_dim = 8 * query.len();
    if head_dim == 0 || !rest.is_empty() {
        return false;
    }
    if let [query] = query {
        scores_of_8(out, query, keys);
        return true;
    }
    for (out, keys) in out.chunks_mut(4).zip(keys.chunks(4 * head_dim)) {
        let mut sums = [vdupq_n_s32(0); 4];
        for (sum, key) in sums.iter_mut().zip(keys.chunks_exact(head_dim)) {
            let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for (query, key) in query.iter().zip(key.as_chunks().0) {
                let (query, key) = (i16::load(query), K::load(key));
                low = vmlal_s16(low, vget_low_s16(query), vget_low_s16(key));
                high = vmlal_high_s16(high, query, key);
            }
            *sum = vaddq_s32(low, high);
        }
        for (out, sum) in out.iter_mut().zip(words(totals(sums))) {
            *out = sum;
        }
    }
    true
}

/// Scores for `head_dim` 8: a key is one vector.
#[inline]
#[target_feature(enable = "neon")]
fn scores_of_8<K: Wide>(out: &mut [i32], query: &[i16; 8], keys: &[K]) {
    let query = i16::load(query);
    let keys = keys.as_chunks::<8>().0;
    let (fours, rest) = out.as_chunks_mut::<4>();
    let others = keys.get(4 * fours.len()..).unwrap_or(&[]);
    for (out, keys) in fours.iter_mut().zip(keys.as_chunks::<4>().0) {
        let mut sums = [vdupq_n_s32(0); 4];
        for (sum, key) in sums.iter_mut().zip(keys) {
            *sum = products(query, K::load(key));
        }
        *out = words(totals(sums));
    }
    for (out, key) in rest.iter_mut().zip(others) {
        *out = vaddvq_s32(products(query, K::load(key)));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn products(a: int16x8_t, b: int16x8_t) -> int32x4_t {
    vmlal_high_s16(vmull_s16(vget_low_s16(a), vget_low_s16(b)), a, b)
}

#[target_feature(enable = "neon")]
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
    let width = out.len();
    if width == 0 || !width.is_multiple_of(8) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    if let Ok(out) = <&mut [i32; 8]>::try_from(&mut *out) {
        return columns::<1, 8>(out, weights, values.as_chunks().0.iter());
    }
    let mut first = 0;
    while let Some(out) = out.get_mut(first..).and_then(<[i32]>::first_chunk_mut) {
        columns::<2, 16>(out, weights, chunks(values, first, width));
        first += 16;
    }
    if let Some(out) = out.get_mut(first..).and_then(<[i32]>::first_chunk_mut) {
        columns::<1, 8>(out, weights, chunks(values, first, width));
    }
}

/// The `C` columns from `first` on of each row.
#[inline(always)]
fn chunks<const C: usize>(values: &[i8], first: usize, width: usize) -> impl Iterator<Item = &[i8; C]> {
    values.get(first..).unwrap_or(&[]).chunks(width).map_while(<[i8]>::first_chunk)
}

/// The weighted sum of `C = 8 * E` columns. Weights have 15 bits.
#[inline]
#[target_feature(enable = "neon")]
fn columns<'v, const E: usize, const C: usize>(
    out: &mut [i32; C],
    weights: &[i32],
    values: impl Iterator<Item = &'v [i8; C]>,
) {
    let mut sums = [[vdupq_n_s32(0); 2]; E];
    for (&weight, row) in weights.iter().zip(values) {
        for ([low, high], values) in sums.iter_mut().zip(row.as_chunks().0) {
            let values = i8::load(values);
            *low = vmlal_n_s16(*low, vget_low_s16(values), weight as i16);
            *high = vmlal_high_n_s16(*high, values, weight as i16);
        }
    }
    for (out, sums) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_flattened()) {
        *out = words(vaddq_s32(load_words(out), *sums));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_words(words: &[i32; 4]) -> int32x4_t {
    // SAFETY: four words are read.
    unsafe { vld1q_s32(words.as_ptr()) }
}

/// Loads four scales into 32-bit lanes.
#[inline]
#[target_feature(enable = "neon")]
fn load_scales(scales: &[u16; 4]) -> uint32x4_t {
    // SAFETY: four halfwords are read.
    unsafe { vmovl_u16(vld1_u16(scales.as_ptr())) }
}

#[target_feature(enable = "neon")]
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let narrow = vdupq_n_s32(-((factor.narrow & 31) as i32));
    // A scale's exponent is its high five bits minus 17.
    let shift = vdupq_n_s32(factor.shift + 17);
    let (mut largest, mut rare) = (vdupq_n_s32(i32::MIN), i32::MIN);
    let (fours, rest) = scores.as_chunks_mut::<4>();
    for (four, bits) in fours.iter_mut().zip(keys.as_chunks().0) {
        let scales = load_scales(bits);
        let shifts = vsubq_s32(shift, vreinterpretq_s32_u32(vshrq_n_u32::<11>(scales)));
        if vminvq_s32(shifts) < 0 {
            // A left shift is rare.
            rare = rare.max((scalar::SCALAR.scale_scores)(four, bits, factor));
            continue;
        }
        let mantissas = vreinterpretq_s32_u32(vandq_u32(scales, vdupq_n_u32(0x7ff)));
        let product = vmulq_s32(vshlq_s32(load_words(four), narrow), mantissas);
        let scaled = vshlq_s32(product, vnegq_s32(vminq_s32(shifts, vdupq_n_s32(31))));
        largest = vmaxq_s32(largest, scaled);
        *four = words(scaled);
    }
    let done = 4 * fours.len();
    rare = rare.max((scalar::SCALAR.scale_scores)(rest, keys.get(done..).unwrap_or(&[]), factor));
    rare.max(vmaxvq_s32(largest))
}

#[target_feature(enable = "neon")]
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    // The last index with a successor.
    let Some(end) = table.len().checked_sub(2).and_then(|end| i32::try_from(end).ok()) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let (fours, rest) = values.as_chunks_mut::<4>();
    for four in fours {
        let x = load_words(four);
        let magnitude = vqabsq_s32(x);
        let wanted = vshrq_n_s32::<10>(magnitude);
        let index = vminq_s32(wanted, vdupq_n_s32(end));
        let beyond = vcgtq_s32(wanted, index);
        let pairs = words(index).map(|index| {
            // SAFETY: no index is negative or above `end`, so both halfwords are in the table.
            unsafe { table.as_ptr().add(index as usize).cast::<i32>().read_unaligned() }
        });
        let pairs = load_words(&pairs);
        let low = vshrq_n_s32::<16>(vshlq_n_s32::<16>(pairs));
        let high = vshrq_n_s32::<16>(pairs);
        let fraction = vandq_s32(magnitude, vdupq_n_s32(1023));
        let between = vsraq_n_s32::<10>(low, vmulq_s32(vsubq_s32(high, low), fraction));
        let even = vbslq_s32(beyond, high, between);
        *four = words(vqaddq_s32(vmaxq_s32(x, vdupq_n_s32(0)), even));
    }
    (scalar::SCALAR.rectify)(rest, table);
}
