//! Rows of fixed-point values, with AVX-512: sixteen at a time, and the rest of a row under a mask.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::vectors::lanes;
use crate::fixed::Scale;
use crate::kernels::scalar;
use crate::kernels::scalar::rows::scale8;
use crate::kernels::table::Requantize;

/// The scalar kernels, vectorized by the compiler.
pub(in super::super) mod compiled {
    use crate::fixed::Scale;
    use crate::kernels::scalar;
    use crate::kernels::table::{NormRow, Requantize};

    crate::kernels::x86_64::avx2::rows::compiled!("avx512f,avx512bw,avx512dq,avx512vl");
}

/// Values of a vector.
const LANES: usize = 16;

/// Loads `count` words, at most sixteen, from index `at` on; the other lanes are zero.
///
/// # Safety
/// `words` has `count` words from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(words: &[i32], at: usize, count: usize) -> __m512i {
    // SAFETY: the mask limits the read to `count` words.
    unsafe { _mm512_maskz_loadu_epi32(lanes(count), words.as_ptr().add(at)) }
}

/// Stores `count` words, at most sixteen, from index `at` on.
///
/// # Safety
/// `to` has `count` words from `at` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: &mut [i32], at: usize, count: usize, words: __m512i) {
    // SAFETY: the mask limits the write to `count` words.
    unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr().add(at), lanes(count), words) };
}

/// Runs `$body` on sixteen values at a time, and once more on the rest. In the copy for sixteen
/// values, `$count` is a constant, so that it has no masks, which makes it half as long.
macro_rules! by_sixteens {
    ($len:expr, |$at:ident, $count:ident| $body:expr) => {{
        let len: usize = $len;
        let whole = len & !(LANES - 1);
        for $at in (0..whole).step_by(LANES) {
            let $count = LANES;
            $body
        }
        if whole < len {
            let ($at, $count) = (whole, len - whole);
            $body
        }
    }};
}

/// The high halves of products: of even lanes, and of odd lanes, which are moved down first.
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
    // Overflow: both signs are equal, and the sum's sign differs.
    let over = _mm512_andnot_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(a, sum));
    let most = _mm512_xor_si512(_mm512_srai_epi32::<31>(a), _mm512_set1_epi32(i32::MAX));
    _mm512_mask_mov_epi32(sum, _mm512_movepi32_mask(over), most)
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
pub(in super::super) fn requantize(accumulators: &mut [i32], multipliers: &[i32], biases: &[i32], by: &Requantize) {
    let whole = multipliers.len() >= accumulators.len() && (biases.is_empty() || biases.len() >= accumulators.len());
    if !(2..=31).contains(&by.shift) || !whole {
        // Rare: a shift by 0, by 1, to the left, or by 32 and more.
        return compiled::requantize(accumulators, multipliers, biases, by);
    }
    let headroom = _mm_cvtsi32_si128(by.headroom as i32);
    let all_but_one = _mm_cvtsi32_si128(by.shift - 1);
    let row = by.row.map(|row| _mm512_set1_epi32(row));
    by_sixteens!(accumulators.len(), |at, count| {
        // SAFETY: there are as many multipliers as accumulators, and as many biases or none.
        let [sums, mut multiplier, bias] = unsafe {
            let bias = if biases.is_empty() { _mm512_setzero_si512() } else { load(biases, at, count) };
            [load(accumulators, at, count), load(multipliers, at, count), bias]
        };
        if let Some(row) = row {
            multiplier = mul_high(multiplier, row);
        }
        let product = mul_high(_mm512_sll_epi32(sums, headroom), multiplier);
        let half = _mm512_add_epi32(_mm512_sra_epi32(product, all_but_one), _mm512_set1_epi32(1));
        let sum = saturating_add(_mm512_srai_epi32::<1>(half), bias);
        // SAFETY: there are `count` accumulators from `at` on.
        unsafe { store(accumulators, at, count, sum) };
    });
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(in super::super) fn add(row: &mut [i32], other: &[i32]) {
    by_sixteens!(row.len().min(other.len()), |at, count| {
        // SAFETY: both rows have `count` values from `at` on.
        unsafe {
            let sum = saturating_add(load(row, at, count), load(other, at, count));
            store(row, at, count, sum);
        }
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(in super::super) fn quantize8(out: &mut [i8], row: &[i32]) -> Scale {
    let mut largest = _mm512_setzero_si512();
    by_sixteens!(row.len(), |at, count| {
        // SAFETY: the row has `count` values from `at` on.
        largest = _mm512_max_epu32(largest, _mm512_abs_epi32(unsafe { load(row, at, count) }));
    });
    let largest = _mm512_reduce_max_epu32(largest).min(i32::MAX as u32);
    let (scale, lift, inverse, shift) = scale8(largest);
    let (lift, all) = (_mm_cvtsi32_si128(lift as i32), _mm_cvtsi32_si128(shift as i32));
    let (inverse, half) = (_mm512_set1_epi32(inverse), _mm512_set1_epi32(1 << (shift - 1)));
    by_sixteens!(row.len().min(out.len()), |at, count| {
        // SAFETY: the row has `count` values from `at` on.
        let x = _mm512_srai_epi32::<15>(_mm512_sll_epi32(unsafe { load(row, at, count) }, lift));
        let q = _mm512_sra_epi32(_mm512_add_epi32(_mm512_mullo_epi32(x, inverse), half), all);
        // SAFETY: `out` has `count` values from `at` on.
        unsafe { _mm512_mask_cvtepi32_storeu_epi8(out.as_mut_ptr().add(at), lanes(count), q) };
    });
    scale
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(in super::super) fn rectify(values: &mut [i32], table: &[i16]) {
    // The last index with a successor.
    let Some(end) = table.len().checked_sub(2).and_then(|end| i32::try_from(end).ok()) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let end = _mm512_set1_epi32(end);
    by_sixteens!(values.len(), |at, count| {
        // SAFETY: there are `count` values from `at` on.
        let x = unsafe { load(values, at, count) };
        // The magnitude of `i32::MIN` saturates at `i32::MAX`, as in the reference kernel.
        let magnitude = _mm512_min_epu32(_mm512_abs_epi32(x), _mm512_set1_epi32(i32::MAX));
        let wanted = _mm512_srli_epi32::<10>(magnitude);
        let index = _mm512_min_epi32(wanted, end);
        // SAFETY: no index is above `end`, so both halfwords of each word are in the table.
        let pairs = unsafe { _mm512_i32gather_epi32::<2>(index, table.as_ptr().cast()) };
        let high = _mm512_srai_epi32::<16>(pairs);
        let low = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs));
        let fraction = _mm512_and_si512(magnitude, _mm512_set1_epi32(1023));
        let product = _mm512_mullo_epi32(_mm512_sub_epi32(high, low), fraction);
        let between = _mm512_add_epi32(low, _mm512_srai_epi32::<10>(product));
        let even = _mm512_mask_mov_epi32(between, _mm512_cmpgt_epi32_mask(wanted, index), high);
        let sum = saturating_add(_mm512_max_epi32(x, _mm512_setzero_si512()), even);
        // SAFETY: there are `count` values from `at` on.
        unsafe { store(values, at, count, sum) };
    });
}

/// Rotates heads of eight columns, two at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(in super::super) fn rotate(row: &mut [i32], angles: &[i16], head_dim: usize) {
    let (Ok(pairs), 8) = (<&[i16; 8]>::try_from(angles), head_dim) else {
        return compiled::rotate(row, angles, head_dim);
    };
    // SAFETY: sixteen bytes are read, at any alignment.
    let pairs = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(pairs.as_ptr().cast()) });
    let cos = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs));
    let sin = _mm512_srai_epi32::<16>(pairs);
    // For the first half of a head, the product with the second half is subtracted.
    let sin = _mm512_mask_sub_epi32(sin, 0x0f0f, _mm512_setzero_si512(), sin);
    let one = _mm512_set1_epi32(1);
    let other_half = |x| _mm512_shuffle_i64x2::<0b10_11_00_01>(x, x);
    by_sixteens!(row.len() / 8 * 8, |at, count| {
        // SAFETY: the row has `count` values from `at` on.
        let x = unsafe { load(row, at, count) };
        let bits = _mm512_xor_si512(x, _mm512_srai_epi32::<31>(x));
        let bits = _mm512_or_si512(bits, other_half(bits));
        let bits = _mm512_or_si512(bits, _mm512_shuffle_epi32::<0b01_00_11_10>(bits));
        let bits = _mm512_or_si512(bits, _mm512_shuffle_epi32::<0b10_11_00_01>(bits));
        // The number of bits by which a head exceeds 14 bits.
        let narrow = _mm512_sub_epi32(_mm512_set1_epi32(18), _mm512_lzcnt_epi32(bits));
        let narrow = _mm512_max_epi32(narrow, _mm512_setzero_si512());
        if _mm512_cmpgt_epi32_mask(narrow, _mm512_set1_epi32(14)) != 0 {
            // Rare: the products are not shifted right.
            let (_, rest) = row.split_at_mut(at);
            let (heads, _) = rest.split_at_mut(count);
            compiled::rotate(heads, angles, head_dim);
        } else {
            let round =
                |x, all_but_one| _mm512_srai_epi32::<1>(_mm512_add_epi32(_mm512_srav_epi32(x, all_but_one), one));
            let narrowed = round(x, _mm512_sub_epi32(narrow, one));
            let x = _mm512_mask_mov_epi32(narrowed, _mm512_testn_epi32_mask(narrow, narrow), x);
            let turned = _mm512_add_epi32(_mm512_mullo_epi32(x, cos), _mm512_mullo_epi32(other_half(x), sin));
            let turned = round(turned, _mm512_sub_epi32(_mm512_set1_epi32(14), narrow));
            // SAFETY: the row has `count` values from `at` on.
            unsafe { store(row, at, count, turned) };
        }
    });
}
