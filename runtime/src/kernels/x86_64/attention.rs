//! Attention and activations with AVX2: eight keys at a time for their scores and powers, eight or sixteen columns for the
//! weighted sum, eight values for a table.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::{ScoreFactor, scalar};
use crate::ops::softmax::STEPS;

/// Eight or sixteen values that lie together, as sixteen-bit lanes.
trait Wide: Copy + Into<i32> {
    /// Sixteen values.
    fn load(values: &[Self; 16]) -> __m256i;
    /// Eight values.
    fn load_half(values: &[Self; 8]) -> __m128i;
}

impl Wide for i8 {
    #[inline(always)]
    fn load(values: &[Self; 16]) -> __m256i {
        // SAFETY: whoever is here has AVX2; sixteen bytes are read, at any alignment.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_half(values: &[Self; 8]) -> __m128i {
        // SAFETY: as above, eight bytes.
        unsafe { _mm_cvtepi8_epi16(_mm_loadl_epi64(values.as_ptr().cast())) }
    }
}

impl Wide for i16 {
    #[inline(always)]
    fn load(values: &[Self; 16]) -> __m256i {
        // SAFETY: as above, 32 bytes.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_half(values: &[Self; 8]) -> __m128i {
        // SAFETY: as above, sixteen bytes.
        unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn scores8(out: &mut [i32], query: &[i8], keys: &[i8]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores8)(out, query, keys);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn scores16(out: &mut [i32], query: &[i8], keys: &[i16]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores16)(out, query, keys);
    }
}

/// Whether the head is one of whole lanes, and the scores are done.
#[inline]
#[target_feature(enable = "avx2")]
fn scores<K: Wide>(out: &mut [i32], query: &[i8], keys: &[K]) -> bool {
    let head_dim = query.len();
    if head_dim == 0 || !head_dim.is_multiple_of(8) {
        return false;
    }
    if let Ok(query) = <&[i8; 8]>::try_from(query) {
        scores_of_8(out, query, keys);
        return true;
    }
    let mut keys = keys.chunks(4 * head_dim);
    for out in out.chunks_mut(4) {
        let Some(keys) = keys.next() else { break };
        let mut rows = keys.chunks_exact(head_dim);
        let mut four: [&[K]; 4] = [&[]; 4];
        for (to, row) in four.iter_mut().zip(&mut rows) {
            *to = row;
        }
        let mut sums = [_mm256_setzero_si256(); 4];
        let (query16, query8) = query.as_chunks::<16>();
        for (sum, row) in sums.iter_mut().zip(four) {
            let (row16, row8) = row.as_chunks::<16>();
            for (q, k) in query16.iter().zip(row16) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(i8::load(q), K::load(k)));
            }
            if let (Some(q), Some(k)) = (query8.first_chunk(), row8.first_chunk()) {
                let half = _mm_madd_epi16(i8::load_half(q), K::load_half(k));
                *sum = _mm256_add_epi32(*sum, _mm256_zextsi128_si256(half));
            }
        }
        let [a, b, c, d] = sums;
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        let mut four = [0; 4];
        // SAFETY: four words are written, at any alignment.
        unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), sums) };
        for (out, sum) in out.iter_mut().zip(four) {
            *out = sum;
        }
    }
    true
}

/// Heads of eight: two keys are one load, and eight keys are one row of results.
#[inline]
#[target_feature(enable = "avx2")]
fn scores_of_8<K: Wide>(out: &mut [i32], query: &[i8; 8], keys: &[K]) {
    let half = i8::load_half(query);
    let twice = _mm256_set_m128i(half, half);
    let (pairs, rest) = keys.as_chunks::<16>();
    let (eights, others) = out.as_chunks_mut::<8>();
    let done = 4 * eights.len();
    for (out, pairs) in eights.iter_mut().zip(pairs.as_chunks::<4>().0) {
        let [a, b, c, d] = pairs;
        let (a, b) = (_mm256_madd_epi16(twice, K::load(a)), _mm256_madd_epi16(twice, K::load(b)));
        let (c, d) = (_mm256_madd_epi16(twice, K::load(c)), _mm256_madd_epi16(twice, K::load(d)));
        // Keys 0, 2, 4, 6 in the lower half, the others in the upper one.
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        store_words(out, _mm256_permutevar8x32_epi32(sums, order));
    }
    let rest = pairs.get(done..).unwrap_or(&[]).as_flattened().chunks_exact(8).chain(rest.chunks_exact(8));
    for (out, key) in others.iter_mut().zip(rest) {
        *out = query.iter().zip(key).fold(0, |sum, (&q, &k)| sum + i32::from(q) * k.into());
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn weighted_sum(out: &mut [i32], weights: &[u8], values: &[i8]) {
    let width = out.len();
    if width == 0 || !width.is_multiple_of(8) {
        return (scalar::SCALAR.weighted_sum)(out, weights, values);
    }
    let mut first = 0;
    while let Some(out) = out.get_mut(first..).and_then(<[i32]>::first_chunk_mut::<16>) {
        columns16(out, weights, values.get(first..).unwrap_or(&[]), width);
        first += 16;
    }
    if let Some(out) = out.get_mut(first..).and_then(<[i32]>::first_chunk_mut::<8>) {
        columns8(out, weights, values.get(first..).unwrap_or(&[]), width);
    }
}

/// Two neighbouring weights in each 32-bit lane; the second may be missing.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(weights: &[u8]) -> __m256i {
    _mm256_set1_epi32(match *weights {
        [first, second, ..] => i32::from(first) | i32::from(second) << 16,
        [only] => only.into(),
        [] => 0,
    })
}

/// The first columns of the next row; zeros where there is none.
#[inline(always)]
fn next<'v, const N: usize>(rows: &mut core::slice::Chunks<'v, i8>) -> &'v [i8; N] {
    match rows.next() {
        Some(row) => row.first_chunk().unwrap_or(&[0; N]),
        None => &[0; N],
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn columns16(out: &mut [i32; 16], weights: &[u8], values: &[i8], width: usize) {
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let mut rows = values.chunks(width);
    for weights in weights.chunks(2) {
        let (a, b) = (i8::load(next(&mut rows)), i8::load(next(&mut rows)));
        let weights = pair(weights);
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights));
    }
    // Columns 0 to 3 and 8 to 11 are in `low`, the others in `high`.
    let sums = [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)];
    for (out, sums) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
        // SAFETY: eight words, and neither access needs an alignment.
        unsafe {
            let to: *mut __m256i = out.as_mut_ptr().cast();
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), sums));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn columns8(out: &mut [i32; 8], weights: &[u8], values: &[i8], width: usize) {
    let (mut low, mut high) = (_mm_setzero_si128(), _mm_setzero_si128());
    let mut rows = values.chunks(width);
    for weights in weights.chunks(2) {
        let (a, b) = (i8::load_half(next(&mut rows)), i8::load_half(next(&mut rows)));
        let weights = _mm256_castsi256_si128(pair(weights));
        low = _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), weights));
        high = _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi16(a, b), weights));
    }
    for (out, sums) in out.as_chunks_mut::<4>().0.iter_mut().zip([low, high]) {
        // SAFETY: four words, and neither access needs an alignment.
        unsafe {
            let to: *mut __m128i = out.as_mut_ptr().cast();
            _mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), sums));
        }
    }
}

/// The high halves of eight products.
#[inline]
#[target_feature(enable = "avx2")]
fn mul_high(a: __m256i, b: __m256i) -> __m256i {
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epi32(a, b));
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    _mm256_blend_epi32::<0b1010_1010>(even, odd)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[i32; 8]) -> __m256i {
    // SAFETY: 32 bytes are read, at any alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_words(to: &mut [i32; 8], words: __m256i) {
    // SAFETY: 32 bytes are written, at any alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
}

/// Eight scales, a word each.
#[inline]
#[target_feature(enable = "avx2")]
fn load_scales(scales: &[u16; 8]) -> __m256i {
    // SAFETY: sixteen bytes are read, at any alignment.
    _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(scales.as_ptr().cast()) })
}

#[target_feature(enable = "avx2")]
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) {
    let spare = _mm_cvtsi32_si128(factor.spare as i32);
    let multiplier = _mm256_set1_epi32(factor.multiplier);
    // A scale's exponent is its upper five bits less 17.
    let shift = _mm256_set1_epi32(factor.shift + 17);
    let mut keys = keys.chunks(8);
    for scores in scores.chunks_mut(8) {
        let keys = keys.next().unwrap_or(&[]);
        // The last few are filled up to eight with one of them.
        let (mut filled, mut bits) = ([0; 8], [keys.first().copied().unwrap_or(0); 8]);
        for (to, &score) in filled.iter_mut().zip(scores.iter()) {
            *to = score;
        }
        for (to, &key) in bits.iter_mut().zip(keys) {
            *to = key;
        }
        if scores.len() == keys.len() {
            let bits = load_scales(&bits);
            let shifts = _mm256_sub_epi32(shift, _mm256_srli_epi32::<11>(bits));
            // A shift by 32 and more leaves nothing, here as in the definition; one to the left is rare.
            let left = _mm256_cmpgt_epi32(_mm256_setzero_si256(), shifts);
            if _mm256_testz_si256(left, left) != 0 {
                let mantissas = _mm256_slli_epi32::<20>(_mm256_and_si256(bits, _mm256_set1_epi32(0x7ff)));
                let product = mul_high(_mm256_sll_epi32(load_words(&filled), spare), multiplier);
                let product = mul_high(product, mantissas);
                let one = _mm256_set1_epi32(1);
                // Below 2^31 by a bit, so that one more is no overflow.
                let almost = _mm256_srav_epi32(product, _mm256_sub_epi32(shifts, one));
                let shifted = _mm256_srai_epi32::<1>(_mm256_add_epi32(almost, one));
                let none = _mm256_cmpeq_epi32(shifts, _mm256_setzero_si256());
                store_words(&mut filled, _mm256_blendv_epi8(shifted, product, none));
                for (score, to) in scores.iter_mut().zip(filled) {
                    *score = to;
                }
                continue;
            }
        }
        (scalar::SCALAR.scale_scores)(scores, keys, factor);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, top_scale: u16) -> (u32, u32) {
    let mut sums = _mm256_setzero_si256();
    let mut tops = _mm256_setzero_si256();
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let (scales, _) = values.as_chunks::<8>();
    let exponent = _mm256_set1_epi32(i32::from(top_scale >> 11));
    for (eight, bits) in eights.iter_mut().zip(scales) {
        // Without a sign: where the difference overflows it is far beyond what has a power.
        let z = _mm256_sub_epi32(_mm256_set1_epi32(largest), load_words(eight));
        let index = _mm256_and_si256(_mm256_srli_epi32::<10>(z), _mm256_set1_epi32(63));
        // SAFETY: the table has 64 words, and every index is below.
        let steps = unsafe { _mm256_i32gather_epi32::<4>(STEPS.as_ptr().cast(), index) };
        let rest = _mm256_and_si256(z, _mm256_set1_epi32(1023));
        let fall = _mm256_srli_epi32::<10>(_mm256_mullo_epi32(_mm256_srli_epi32::<16>(steps), rest));
        let power = _mm256_sub_epi32(_mm256_and_si256(steps, _mm256_set1_epi32(0xffff)), fall);
        // Sixteen bits: shifted by sixteen or more nothing is left.
        let power = _mm256_srlv_epi32(power, _mm256_srli_epi32::<16>(z));
        sums = _mm256_add_epi32(sums, power);
        let bits = load_scales(bits);
        let weight = _mm256_mullo_epi32(power, _mm256_and_si256(bits, _mm256_set1_epi32(0x7ff)));
        let below = _mm256_and_si256(_mm256_sub_epi32(exponent, _mm256_srli_epi32::<11>(bits)), _mm256_set1_epi32(31));
        let weight = _mm256_srlv_epi32(weight, below);
        tops = _mm256_max_epu32(tops, weight);
        store_words(eight, weight);
    }
    let done = eights.len() * 8;
    let (sum, top) = (scalar::SCALAR.powers)(rest, values.get(done..).unwrap_or(&[]), largest, top_scale);
    let (mut lanes, mut highest) = ([0; 8], [0; 8]);
    store_words(&mut lanes, sums);
    store_words(&mut highest, tops);
    (
        lanes.iter().fold(sum, |sum, &lane| sum.wrapping_add(lane as u32)),
        highest.iter().fold(top, |top, &lane| top.max(lane as u32)),
    )
}

#[target_feature(enable = "avx2")]
pub(super) fn weights(weights: &mut [u8], scores: &[i32], zeros: u32, inverse: u32) {
    let shift = _mm_cvtsi32_si128(zeros as i32);
    let (eights, rest) = scores.as_chunks::<8>();
    let (outs, others) = weights.split_at_mut(weights.len().min(8 * eights.len()));
    for (out, eight) in outs.as_chunks_mut::<8>().0.iter_mut().zip(eights) {
        let normalized = _mm256_srli_epi32::<16>(_mm256_sll_epi32(load_words(eight), shift));
        let product = _mm256_mullo_epi32(normalized, _mm256_set1_epi32(inverse as i32));
        let bytes = _mm256_srli_epi32::<22>(_mm256_add_epi32(product, _mm256_set1_epi32(1 << 21)));
        let halves = _mm_packus_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
        *out = _mm_cvtsi128_si64(_mm_packus_epi16(halves, halves)).to_le_bytes();
    }
    (scalar::SCALAR.weights)(others, rest, zeros, inverse);
}

#[target_feature(enable = "avx2")]
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    // The last index that has a neighbour.
    let Some(end) = table.len().checked_sub(2).and_then(|end| i32::try_from(end).ok()) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let (eights, rest) = values.as_chunks_mut::<8>();
    for eight in eights {
        let x = load_words(eight);
        // The smallest number has no magnitude in 32 bits: it becomes the largest, as in the definition.
        let magnitude = _mm256_min_epu32(_mm256_abs_epi32(x), _mm256_set1_epi32(i32::MAX));
        let wanted = _mm256_srli_epi32::<10>(magnitude);
        let index = _mm256_min_epi32(wanted, _mm256_set1_epi32(end));
        let beyond = _mm256_cmpgt_epi32(wanted, index);
        // SAFETY: no index is above `end`, so both halfwords of each word are in the table.
        let pairs = unsafe { _mm256_i32gather_epi32::<2>(table.as_ptr().cast(), index) };
        let low = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs));
        let high = _mm256_srai_epi32::<16>(pairs);
        let fraction = _mm256_and_si256(magnitude, _mm256_set1_epi32(1023));
        let product = _mm256_mullo_epi32(_mm256_sub_epi32(high, low), fraction);
        let between = _mm256_add_epi32(low, _mm256_srai_epi32::<10>(product));
        let even = _mm256_blendv_epi8(between, high, beyond);
        let positive = _mm256_max_epi32(x, _mm256_setzero_si256());
        let sum = _mm256_add_epi32(positive, even);
        // What overflows became negative though neither term was.
        let over =
            _mm256_andnot_si256(even, _mm256_and_si256(sum, _mm256_cmpgt_epi32(positive, _mm256_setzero_si256())));
        let over = _mm256_srai_epi32::<31>(over);
        store_words(eight, _mm256_blendv_epi8(sum, _mm256_set1_epi32(i32::MAX), over));
    }
    (scalar::SCALAR.rectify)(rest, table);
}
