//! Attention of a few queries with heads of eight columns, with AVX-512 VNNI: reads keys and values
//! in place for each query.
//!
//! Products are of bytes: 16-bit queries are split into a signed high byte, which is multiplied by
//! keys with an offset of 128, and an unsigned low byte, which is multiplied by the keys.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::vectors::{GATHERED, lanes, store_words};
use super::many::load_scales;
use crate::kernels::attend::{Head, Queries, ScoreFactor, scale_query};
use crate::kernels::scalar;
use crate::kernels::scalar::rows::quantize16;
use crate::kernels::scalar::softmax::{Normalizer, lowered_by, spare_bits};

/// Keys that are processed at a time.
const LANES: usize = 16;
/// Columns of a head.
const WIDTH: usize = 8;
/// The most keys.
const KEYS: usize = 1024;

/// The scores of a query.
type Scores = [MaybeUninit<[i32; LANES]>; KEYS / LANES];

/// See [`Kernels::attend`](crate::kernels::Kernels::attend).
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) fn attend(head: &Head<'_>, queries: &mut Queries<'_>) -> bool {
    if head.width != WIDTH || head.key_scales.len() > KEYS {
        return false;
    }
    let mut index = 0;
    while index < queries.count() {
        let visible = queries.visible(index);
        let (Some(keys), Some(key_scales), Some(values), Some(value_scales)) = (
            head.keys.as_chunks().0.get(visible.clone()),
            head.key_scales.get(visible.clone()),
            head.values.as_chunks().0.get(visible.clone()),
            head.value_scales.get(visible.clone()),
        ) else {
            return true;
        };
        let (keys, values) = ((keys, key_scales), (values, value_scales));
        if index + 1 < queries.count() && queries.visible(index + 1) == visible {
            several::<2>(head, keys, values, queries, index);
            index += 2;
        } else {
            several::<1>(head, keys, values, queries, index);
            index += 1;
        }
    }
    true
}

/// Attends `Q` queries to the keys and values that they see. Keys, values and scales have equal
/// lengths.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn several<const Q: usize>(
    head: &Head<'_>,
    keys: (&[[i8; WIDTH]], &[u16]),
    values: (&[[i8; WIDTH]], &[u16]),
    queries: &mut Queries<'_>,
    first: usize,
) {
    let mut factors = [head.factor; Q];
    let mut quantized = [[0; WIDTH]; Q];
    for (index, (quantized, factor)) in quantized.iter_mut().zip(&mut factors).enumerate() {
        let Ok(row) = <&mut [i32; WIDTH]>::try_from(queries.row(first + index)) else { return };
        let power = quantize16(quantized, row, head.query_bits).power() + head.query_power;
        *quantized = quantized.map(|q| scale_query(q, head.query_mantissa));
        factor.shift -= power;
    }
    let mut space: [Scores; Q] = [[MaybeUninit::uninit(); KEYS / LANES]; Q];
    let largest = scores(&mut space, &quantized, keys, &factors);
    let top_scale = largest_scale(values.1);
    let count = values.0.len();
    // SAFETY: `scores` wrote a score for each key, and there are as many keys as values.
    let scores = space
        .each_ref()
        .map(|space| unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), count.div_ceil(LANES)) });
    let (rows, sums) = weighted_sums(scores, values, (largest, lowered_by(top_scale, count)));
    for (index, (sums, total)) in rows.into_iter().zip(sums).enumerate() {
        let Ok(row) = <&mut [i32; WIDTH]>::try_from(queries.row(first + index)) else { return };
        *row = sums;
        Normalizer::new(total, top_scale, count).apply(row, spare_bits(count));
    }
}

/// The bits of the largest scale.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn largest_scale(scales: &[u16]) -> u16 {
    let mut largest = _mm512_setzero_si512();
    for scales in scales.chunks(LANES) {
        largest = _mm512_max_epi32(largest, load_scales(scales));
    }
    _mm512_reduce_max_epi32(largest) as u16
}

/// Computes the scores of queries, and returns the largest of each.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn scores<const Q: usize>(
    space: &mut [Scores; Q],
    queries: &[[i16; WIDTH]; Q],
    (keys, scales): (&[[i8; WIDTH]], &[u16]),
    factors: &[ScoreFactor; Q],
) -> [i32; Q] {
    let sign = _mm512_set1_epi8(-128);
    let mut bytes = [[_mm512_setzero_si512(); 3]; Q];
    for ([upper, lower, less], query) in bytes.iter_mut().zip(queries) {
        let parts = query.map(i16::to_le_bytes);
        *upper = _mm512_set1_epi64(i64::from_le_bytes(parts.map(|[_, upper]| upper)));
        *lower = _mm512_set1_epi64(i64::from_le_bytes(parts.map(|[lower, _]| lower)));
        let more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), sign, *upper);
        *less = _mm512_sub_epi32(_mm512_setzero_si512(), more);
    }
    // A scale's exponent is its high five bits minus 17.
    let shifts = factors.each_ref().map(|factor| _mm512_set1_epi32(factor.shift + 17));
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    let mut largest = [_mm512_set1_epi32(i32::MIN); Q];
    let mut rare = [i32::MIN; Q];
    for (block, (keys, scales)) in keys.chunks(LANES).zip(scales.chunks(LANES)).enumerate() {
        let there = lanes(keys.len());
        // Two vectors of eight keys.
        let [a, b] = [0, 8].map(|first| {
            let from: *const i64 = keys.as_ptr().wrapping_add(first).cast();
            // SAFETY: the mask limits the read to `keys`.
            unsafe { _mm512_maskz_loadu_epi64((there >> first) as u8, from) }
        });
        let bits = load_scales(scales);
        let (exponents, mantissas) = (_mm512_srli_epi32::<11>(bits), _mm512_and_si512(bits, _mm512_set1_epi32(0x7ff)));
        for (query, [upper, lower, less]) in bytes.into_iter().enumerate() {
            // For each key, two partial sums.
            let [a, b] = [a, b].map(|keys| {
                let upper = _mm512_dpbusd_epi32(less, _mm512_xor_si512(keys, sign), upper);
                _mm512_dpbusd_epi32(_mm512_slli_epi32::<8>(upper), lower, keys)
            });
            let dots = _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
            let shifts = _mm512_sub_epi32(shifts[query], exponents);
            let Some(to) = space[query].get_mut(block) else { continue };
            let to = to.write([0; LANES]);
            if _mm512_movepi32_mask(shifts) & there != 0 {
                // A left shift is rare.
                store(to, dots);
                let (there, _) = to.split_at_mut(scales.len());
                rare[query] = rare[query].max((scalar::SCALAR.scale_scores)(there, scales, factors[query]));
                continue;
            }
            let narrow = _mm_cvtsi32_si128(factors[query].narrow as i32);
            let product = _mm512_mullo_epi32(_mm512_sra_epi32(dots, narrow), mantissas);
            // A shift by 32 or more leaves the sign, as in the reference kernel.
            let scaled = _mm512_srav_epi32(product, shifts);
            largest[query] = _mm512_mask_max_epi32(largest[query], there, largest[query], scaled);
            store(to, scaled);
        }
    }
    let mut all = rare;
    for (all, largest) in all.iter_mut().zip(largest) {
        *all = (*all).max(_mm512_reduce_max_epi32(largest));
    }
    all
}

/// The sums of values weighted by `2^(score - largest)`, and the sums of these exponentials.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn weighted_sums<const Q: usize>(
    scores: [&[[i32; LANES]]; Q],
    (values, scales): (&[[i8; WIDTH]], &[u16]),
    (largest, lowered): ([i32; Q], u32),
) -> ([[i32; WIDTH]; Q], [u32; Q]) {
    let lowered = _mm512_set1_epi32(lowered as i32);
    // Interleaves the bytes of two values.
    let interleaving = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    let first_pairs = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let mut totals = [_mm512_setzero_si512(); Q];
    let mut sums = [[_mm512_setzero_si512(); 2]; Q];
    for (block, (values, scales)) in values.chunks(LANES).zip(scales.chunks(LANES)).enumerate() {
        let there = lanes(values.len());
        let mut words = [_mm512_setzero_si512(); 4];
        for (four, words) in words.iter_mut().enumerate() {
            let from: *const i64 = values.as_ptr().wrapping_add(4 * four).cast();
            // SAFETY: the mask limits the read to `values`.
            let bytes = unsafe { _mm256_maskz_loadu_epi64((there >> (4 * four)) as u8, from) };
            *words = _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(bytes, interleaving));
        }
        let bits = load_scales(scales);
        let lowered = _mm512_sub_epi32(lowered, _mm512_srli_epi32::<11>(bits));
        let mantissas = _mm512_and_si512(bits, _mm512_set1_epi32(0x7ff));
        for (query, (sums, totals)) in sums.iter_mut().zip(&mut totals).enumerate() {
            let Some(scores) = scores[query].get(block) else { continue };
            // SAFETY: 64 bytes are read, at any alignment.
            let scores = unsafe { _mm512_loadu_epi32(scores.as_ptr()) };
            let z = _mm512_sub_epi32(_mm512_set1_epi32(largest[query]), scores);
            let index = _mm512_and_si512(_mm512_srli_epi32::<7>(z), _mm512_set1_epi32(511));
            // Each gather reads two neighbouring halfwords and uses the second, so that it does not
            // read past the end of the table.
            let index = _mm512_sub_epi32(index, _mm512_set1_epi32(1));
            // SAFETY: the table has 512 halfwords after the first one, and every index is from -1
            // to 510.
            let powers = unsafe { _mm512_i32gather_epi32::<2>(index, GATHERED.as_ptr().add(1).cast()) };
            // Powers have 16 bits: a shift by 16 or more gives 0.
            let powers = _mm512_srli_epi32::<16>(powers);
            let powers = _mm512_maskz_srlv_epi32(there, powers, _mm512_srli_epi32::<16>(z));
            *totals = _mm512_add_epi32(*totals, powers);
            let weights = _mm512_srlv_epi32(_mm512_mullo_epi32(powers, mantissas), lowered);
            let pairs = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(weights));
            for (four, words) in words.into_iter().enumerate() {
                let pair = _mm512_add_epi32(first_pairs, _mm512_set1_epi32(2 * four as i32));
                let sum = &mut sums[four % 2];
                *sum = _mm512_dpwssd_epi32(*sum, words, _mm512_permutexvar_epi32(pair, pairs));
            }
        }
    }
    let mut rows = [[0; WIDTH]; Q];
    for (row, [a, b]) in rows.iter_mut().zip(sums) {
        let sum = _mm512_add_epi32(a, b);
        store_words(row, _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)));
    }
    let mut all = [0; Q];
    for (all, totals) in all.iter_mut().zip(totals) {
        *all = _mm512_reduce_add_epi32(totals) as u32;
    }
    (rows, all)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [i32; LANES], words: __m512i) {
    // SAFETY: 64 bytes are written, at any alignment.
    unsafe { _mm512_storeu_epi32(to.as_mut_ptr(), words) };
}
