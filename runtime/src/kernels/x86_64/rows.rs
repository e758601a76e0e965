//! What is done to rows of fixed-point values, eight at a time. What is rare, and what the compiler makes vectors of by itself, are the
//! definitions, compiled for AVX2.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::scalar;
use super::attention::{lanes_sum, load_words, store_words};
use crate::ops::norm::{NormRow, inverse_sqrt};
use crate::quant::{Requantize, Scale, mean, scale_of_eight_bits, scale_of_sixteen_bits};

/// `floor(a * b / 2^32)`.
#[inline]
#[target_feature(enable = "avx2")]
fn mul_high(a: __m256i, b: __m256i) -> __m256i {
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epi32(a, b));
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    _mm256_blend_epi32::<0b1010_1010>(even, odd)
}

/// `x / 2^(shift + 1)`, rounded half up.
#[inline]
#[target_feature(enable = "avx2")]
fn round(x: __m256i, shift: __m128i) -> __m256i {
    _mm256_srai_epi32::<1>(_mm256_add_epi32(_mm256_sra_epi32(x, shift), _mm256_set1_epi32(1)))
}

/// What a sum or a difference is that may have left 32 bits: saturated with the sign of `x` where `over` is negative.
#[inline]
#[target_feature(enable = "avx2")]
fn saturate(x: __m256i, sum: __m256i, over: __m256i) -> __m256i {
    let most = _mm256_xor_si256(_mm256_srai_epi32::<31>(x), _mm256_set1_epi32(i32::MAX));
    let (sum, most, over) = (_mm256_castsi256_ps(sum), _mm256_castsi256_ps(most), _mm256_castsi256_ps(over));
    _mm256_castps_si256(_mm256_blendv_ps(sum, most, over))
}

#[inline]
#[target_feature(enable = "avx2")]
fn saturating_add(x: __m256i, y: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(x, y);
    saturate(x, sum, _mm256_and_si256(_mm256_xor_si256(x, sum), _mm256_xor_si256(y, sum)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn saturating_sub(x: __m256i, y: __m256i) -> __m256i {
    let difference = _mm256_sub_epi32(x, y);
    saturate(x, difference, _mm256_and_si256(_mm256_xor_si256(x, y), _mm256_xor_si256(x, difference)))
}

/// `x` where it is not negative, and its complement where it is: its bits besides the sign.
#[inline]
#[target_feature(enable = "avx2")]
fn magnitude(x: __m256i) -> __m256i {
    _mm256_xor_si256(x, _mm256_srai_epi32::<31>(x))
}

/// All lanes' bits.
#[inline]
#[target_feature(enable = "avx2")]
fn any_bits(lanes: __m256i) -> u32 {
    let four = _mm_or_si128(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_or_si128(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_or_si128(two, _mm_shuffle_epi32::<0b00_00_00_01>(two))) as u32
}

/// By what to shift with [`round`], where that is how to round.
fn all_but_one(shift: i32) -> Option<i32> {
    (2..=31).contains(&shift).then_some(shift - 1)
}

#[target_feature(enable = "avx2")]
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let len = accumulators.len();
    let biased = !biases.is_empty();
    let (Some(shift), true) = (all_but_one(by.shift), multipliers.len() == len && (!biased || biases.len() == len)) else {
        return by.apply(accumulators, multipliers, biases);
    };
    let (shift, headroom) = (_mm_cvtsi32_si128(shift), _mm_cvtsi32_si128(by.headroom as i32));
    let row = by.row.map(|row| _mm256_set1_epi32(row));
    let (eights, rest) = accumulators.as_chunks_mut::<8>();
    let (multiplier_eights, multiplier_rest) = multipliers.as_chunks::<8>();
    let (bias_eights, bias_rest) = biases.as_chunks::<8>();
    let mut bias_eights = bias_eights.iter();
    for (eight, multipliers) in eights.iter_mut().zip(multiplier_eights) {
        let mut multiplier = load_words(multipliers);
        if let Some(row) = row {
            multiplier = mul_high(multiplier, row);
        }
        let mut x = round(mul_high(_mm256_sll_epi32(load_words(eight), headroom), multiplier), shift);
        if let Some(bias) = bias_eights.next() {
            x = saturating_add(x, load_words(bias));
        }
        store_words(eight, x);
    }
    if !rest.is_empty() {
        by.apply(rest, multiplier_rest, bias_rest);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    let (eights, []) = row.as_chunks::<8>() else { return crate::quant::quantize8(out, row) };
    let mut largest = _mm256_setzero_si256();
    for eight in eights {
        // The smallest number has no magnitude in 32 bits: it becomes the largest, as in the definition.
        let magnitude = _mm256_min_epu32(_mm256_abs_epi32(load_words(eight)), _mm256_set1_epi32(i32::MAX));
        largest = _mm256_max_epi32(largest, magnitude);
    }
    let four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    let largest = _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)));
    let by = scale_of_eight_bits(largest as u32);
    let (raise, inverse) = (_mm_cvtsi32_si128(by.raise as i32), _mm256_set1_epi32(by.inverse));
    let (shift, half) = (_mm_cvtsi32_si128(by.shift as i32), _mm256_set1_epi32(1 << (by.shift - 1)));
    for (out, eight) in out.as_chunks_mut::<8>().0.iter_mut().zip(eights) {
        let x = _mm256_srai_epi32::<15>(_mm256_sll_epi32(load_words(eight), raise));
        let q = _mm256_sra_epi32(_mm256_add_epi32(_mm256_mullo_epi32(x, inverse), half), shift);
        let q = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q));
        // SAFETY: eight bytes are written, at any alignment.
        unsafe { _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packs_epi16(q, q)) };
    }
    by.scale
}

#[target_feature(enable = "avx2")]
pub(super) fn quantize16(out: &mut [i16], row: &[i32], bits: u32) -> Scale {
    let (eights, []) = row.as_chunks::<8>() else { return crate::quant::quantize16(out, row, bits) };
    let mut seen = _mm256_setzero_si256();
    for eight in eights {
        seen = _mm256_or_si256(seen, magnitude(load_words(eight)));
    }
    let shift = (32 - any_bits(seen).leading_zeros()).saturating_sub(bits);
    let by = _mm_cvtsi32_si128(shift.saturating_sub(1) as i32);
    for (out, eight) in out.as_chunks_mut::<8>().0.iter_mut().zip(eights) {
        let x = load_words(eight);
        let x = if shift == 0 { x } else { round(x, by) };
        // What is beyond sixteen bits is the one number too large, and is saturated.
        let x = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        // SAFETY: sixteen bytes are written, at any alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), x) };
    }
    scale_of_sixteen_bits(shift)
}

/// Rows up to this length have sums in 32 bits a lane.
const LONGEST: usize = 1 << 16;

#[target_feature(enable = "avx2")]
pub(super) fn norm(row: &mut [i32], by: &NormRow<'_>) {
    let len = row.len();
    let fits = len <= LONGEST && by.weights.len() == len && (by.biases.is_empty() || by.biases.len() == len);
    let (eights, []) = row.as_chunks_mut::<8>() else { return by.apply(row) };
    if !fits {
        return by.apply(row);
    }
    let mut seen = _mm256_setzero_si256();
    if by.centered {
        let center = _mm256_set1_epi32(mean(sum(eights), len as u32));
        for eight in &mut *eights {
            let x = saturating_sub(load_words(eight), center);
            seen = _mm256_or_si256(seen, magnitude(x));
            store_words(eight, x);
        }
    } else {
        for eight in &*eights {
            seen = _mm256_or_si256(seen, magnitude(load_words(eight)));
        }
    }
    let narrow = (32 - any_bits(seen).leading_zeros()).saturating_sub(15);
    let shift = _mm_cvtsi32_si128(narrow.saturating_sub(1) as i32);
    let mut squares = _mm256_setzero_si256();
    for eight in &mut *eights {
        let x = load_words(eight);
        let x = if narrow == 0 { x } else { _mm256_min_epi32(round(x, shift), _mm256_set1_epi32(i16::MAX.into())) };
        store_words(eight, x);
        // Both are at most 2^30.
        let (even, odd) = (_mm256_mul_epi32(x, x), _mm256_srli_epi64::<32>(x));
        squares = _mm256_add_epi64(squares, _mm256_add_epi64(even, _mm256_mul_epi32(odd, odd)));
    }
    let two = _mm_add_epi64(_mm256_castsi256_si128(squares), _mm256_extracti128_si256::<1>(squares));
    let squares = (_mm_cvtsi128_si64(two) as u64).wrapping_add(_mm_extract_epi64::<1>(two) as u64);
    let (inverse, half_exponent) = inverse_sqrt((squares + (by.epsilon >> (2 * narrow))).max(1));
    let Some(shift) = all_but_one(by.shift + half_exponent) else {
        return by.scale(row, inverse, half_exponent);
    };
    let (shift, inverse) = (_mm_cvtsi32_si128(shift), _mm256_set1_epi32(inverse));
    let mut biases = by.biases.as_chunks::<8>().0.iter();
    for (eight, weights) in eights.iter_mut().zip(by.weights.as_chunks::<8>().0) {
        let mut x = round(mul_high(_mm256_mullo_epi32(load_words(eight), inverse), load_words(weights)), shift);
        if let Some(bias) = biases.next() {
            x = saturating_add(x, load_words(bias));
        }
        store_words(eight, x);
    }
}

/// The sum of up to [`LONGEST`] values.
#[inline]
#[target_feature(enable = "avx2")]
fn sum(eights: &[[i32; 8]]) -> i64 {
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for eight in eights {
        let x = load_words(eight);
        low = _mm256_add_epi32(low, _mm256_and_si256(x, _mm256_set1_epi32(0xffff)));
        high = _mm256_add_epi32(high, _mm256_srai_epi32::<16>(x));
    }
    // Eight lanes of the lower halves may be more than 31 bits, and no more than 32.
    (i64::from(lanes_sum(high)) << 16) + i64::from(lanes_sum(low) as u32)
}

#[target_feature(enable = "avx2")]
pub(super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    crate::position::rotate(row, angles, head_dim);
}

#[target_feature(enable = "avx2")]
pub(super) fn gate(values: &mut [i32], gates: &[i32], fraction_bits: u32) {
    scalar::gate(values, gates, fraction_bits);
}
