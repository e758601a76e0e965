//! What is done to rows of fixed-point values, with AVX-512: sixteen at a time, and what is left at the end of a row under a mask.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::scalar;
use super::rows::wide as generic;
use crate::quant::{Requantize, Scale, scale8};

/// Values of a vector.
const LANES: usize = 16;

/// So many lanes, at most all.
#[inline(always)]
pub(super) fn lanes(count: usize) -> __mmask16 {
    ((1_u32 << count.min(LANES)) - 1) as u16
}

/// As many words as there are, at most sixteen; the others are zero.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &[i32]) -> __m512i {
    // SAFETY: as many lanes are read as there are words.
    unsafe { _mm512_maskz_loadu_epi32(lanes(words.len()), words.as_ptr()) }
}

/// As many words as there is room for, at most sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut [i32], words: __m512i) {
    // SAFETY: as many lanes are written as there is room for.
    unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr(), lanes(to.len()), words) };
}

/// The upper halves of products: of even lanes, and of odd ones, which are moved down first.
#[inline]
#[target_feature(enable = "avx512f")]
fn mul_high(a: __m512i, b: __m512i) -> __m512i {
    let even = _mm512_mul_epi32(a, b);
    let odd = _mm512_mul_epi32(_mm512_shuffle_epi32::<0b11_11_01_01>(a), _mm512_shuffle_epi32::<0b11_11_01_01>(b));
    let upper = _mm512_setr_epi32(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
    _mm512_permutex2var_epi32(even, upper, odd)
}

/// `a + b`, saturated.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn saturating_add(a: __m512i, b: __m512i) -> __m512i {
    let sum = _mm512_add_epi32(a, b);
    // Of equal signs, and the sum's is another.
    let over = _mm512_andnot_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(a, sum));
    let most = _mm512_xor_si512(_mm512_srai_epi32::<31>(a), _mm512_set1_epi32(i32::MAX));
    _mm512_mask_mov_epi32(sum, _mm512_movepi32_mask(over), most)
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let whole = multipliers.len() >= accumulators.len() && (biases.is_empty() || biases.len() >= accumulators.len());
    if !(2..=31).contains(&by.shift) || !whole {
        // Rare: by nothing, by one, to the left, or so far that nothing is left.
        return generic::requantize(accumulators, multipliers, biases, by);
    }
    let headroom = _mm_cvtsi32_si128(by.headroom as i32);
    let all_but_one = _mm_cvtsi32_si128(by.shift - 1);
    let row = by.row.map(|row| _mm512_set1_epi32(row));
    let mut biases = biases.chunks(LANES);
    for (out, multipliers) in accumulators.chunks_mut(LANES).zip(multipliers.chunks(LANES)) {
        let mut multiplier = load(multipliers);
        if let Some(row) = row {
            multiplier = mul_high(multiplier, row);
        }
        let product = mul_high(_mm512_sll_epi32(load(out), headroom), multiplier);
        let half = _mm512_add_epi32(_mm512_sra_epi32(product, all_but_one), _mm512_set1_epi32(1));
        let bias = biases.next().map_or_else(|| _mm512_setzero_si512(), |biases| load(biases));
        store(out, saturating_add(_mm512_srai_epi32::<1>(half), bias));
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn add(row: &mut [i32], other: &[i32]) {
    for (x, y) in row.chunks_mut(LANES).zip(other.chunks(LANES)) {
        let (x, _) = x.split_at_mut(x.len().min(y.len()));
        let sum = saturating_add(load(x), load(y));
        store(x, sum);
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    let largest = row
        .chunks(LANES)
        .fold(_mm512_setzero_si512(), |largest, x| _mm512_max_epu32(largest, _mm512_abs_epi32(load(x))));
    let largest = _mm512_reduce_max_epu32(largest).min(i32::MAX as u32);
    let (scale, lift, inverse, shift) = scale8(largest);
    let (lift, all) = (_mm_cvtsi32_si128(lift as i32), _mm_cvtsi32_si128(shift as i32));
    let (inverse, half) = (_mm512_set1_epi32(inverse), _mm512_set1_epi32(1 << (shift - 1)));
    for (out, x) in out.chunks_mut(LANES).zip(row.chunks(LANES)) {
        let x = _mm512_srai_epi32::<15>(_mm512_sll_epi32(load(x), lift));
        let q = _mm512_sra_epi32(_mm512_add_epi32(_mm512_mullo_epi32(x, inverse), half), all);
        // SAFETY: as many lanes are written as there is room for.
        unsafe { _mm512_mask_cvtepi32_storeu_epi8(out.as_mut_ptr(), lanes(out.len()), q) };
    }
    scale
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    // The last index that has a neighbour.
    let Some(end) = table.len().checked_sub(2).and_then(|end| i32::try_from(end).ok()) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let end = _mm512_set1_epi32(end);
    for values in values.chunks_mut(LANES) {
        let x = load(values);
        // The smallest number has no magnitude in 32 bits: it becomes the largest, as in the definition.
        let magnitude = _mm512_min_epu32(_mm512_abs_epi32(x), _mm512_set1_epi32(i32::MAX));
        let wanted = _mm512_srli_epi32::<10>(magnitude);
        let index = _mm512_min_epi32(wanted, end);
        // SAFETY: no index is above `end`, so both halfwords of each word are in the table.
        let pairs = unsafe { _mm512_i32gather_epi32::<2>(index, table.as_ptr().cast()) };
        let high = _mm512_srai_epi32::<16>(pairs);
        // `high - low` and `low` from the halfwords: a fraction's product, and what it is added to.
        let low = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs));
        let fraction = _mm512_and_si512(magnitude, _mm512_set1_epi32(1023));
        let product = _mm512_mullo_epi32(_mm512_sub_epi32(high, low), fraction);
        let between = _mm512_add_epi32(low, _mm512_srai_epi32::<10>(product));
        let even = _mm512_mask_mov_epi32(between, _mm512_cmpgt_epi32_mask(wanted, index), high);
        store(values, saturating_add(_mm512_max_epi32(x, _mm512_setzero_si512()), even));
    }
}
