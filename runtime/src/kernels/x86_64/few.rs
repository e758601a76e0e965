//! Attention of a few queries with heads of eight, with AVX-512 VNNI: each goes through the keys and values as they lie.
//!
//! Keys and values are multiplied byte by byte: queries of sixteen bits are cut into an upper byte, signed, which meets keys that
//! have 128 added, and a lower one, unsigned, which meets keys as they are.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::{ScoreFactor, scalar};
use super::attention::GATHERED;
use crate::attention::scale_query;
use crate::attention::together::{Head, Queries};
use crate::ops::softmax::{Normalizer, lowered_by, spare_bits};
use crate::quant::quantize16;

/// Keys at a time.
const LANES: usize = 16;
/// Columns of a head.
const WIDTH: usize = 8;
/// Keys whose scores there is room for.
const KEYS: usize = 1024;

/// Scores of keys.
type Scores = [MaybeUninit<[i32; LANES]>; KEYS / LANES];

/// See [`Kernels::attend`](super::super::Kernels::attend).
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn attend(head: &Head<'_>, queries: &mut Queries<'_>) -> bool {
    if head.width != WIDTH || head.key_scales.len() > KEYS {
        return false;
    }
    let (keys, values) = (head.keys.as_chunks().0, head.values.as_chunks().0);
    for index in 0..queries.count() {
        let visible = queries.visible(index);
        let (Some(keys), Some(key_scales), Some(values), Some(value_scales), Ok(row)) = (
            keys.get(visible.clone()),
            head.key_scales.get(visible.clone()),
            values.get(visible.clone()),
            head.value_scales.get(visible),
            queries.row(index).try_into(),
        ) else {
            continue;
        };
        one(head, (keys, key_scales), (values, value_scales), row);
    }
    true
}

/// One query and the keys and values that it sees, of which there are as many, and as many scales.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn one(head: &Head<'_>, keys: (&[[i8; WIDTH]], &[u16]), values: (&[[i8; WIDTH]], &[u16]), row: &mut [i32; WIDTH]) {
    let mut query = [0; WIDTH];
    let power = quantize16(&mut query, row, head.query_bits).power() + head.query_power;
    let query = query.map(|q| scale_query(q, head.query_mantissa));
    let mut space: Scores = [MaybeUninit::uninit(); KEYS / LANES];
    let factor = ScoreFactor { shift: head.factor.shift - power, ..head.factor };
    let largest = scores(&mut space, &query, keys, factor);
    let top_scale = largest_scale(values.1);
    let count = values.0.len();
    // SAFETY: `scores` wrote one for each key, of which there are as many as values.
    let scores = unsafe { core::slice::from_raw_parts(space.as_ptr().cast(), count.div_ceil(LANES)) };
    let sum = weighted_sum(row, scores, values, (largest, lowered_by(top_scale, count)));
    Normalizer::new(sum, top_scale, count).apply(row, spare_bits(count));
}

/// So many lanes, at most all.
#[inline(always)]
fn lanes(count: usize) -> u16 {
    ((1_u32 << count.min(LANES)) - 1) as u16
}

/// At most sixteen scales, a word each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load_scales(scales: &[u16]) -> __m512i {
    // SAFETY: as many are read as there are.
    _mm512_cvtepu16_epi32(unsafe { _mm256_maskz_loadu_epi16(lanes(scales.len()), scales.as_ptr().cast()) })
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

/// The scores of a query, and the largest of them.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn scores(
    space: &mut Scores,
    query: &[i16; WIDTH],
    (keys, scales): (&[[i8; WIDTH]], &[u16]),
    factor: ScoreFactor,
) -> i32 {
    let bytes = query.map(i16::to_le_bytes);
    let upper = _mm512_set1_epi64(i64::from_le_bytes(bytes.map(|[_, upper]| upper)));
    let lower = _mm512_set1_epi64(i64::from_le_bytes(bytes.map(|[lower, _]| lower)));
    let sign = _mm512_set1_epi8(-128);
    let less = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_dpbusd_epi32(_mm512_setzero_si512(), sign, upper));
    let narrow = _mm_cvtsi32_si128(factor.narrow as i32);
    // A scale's exponent is its upper five bits less 17.
    let shift = _mm512_set1_epi32(factor.shift + 17);
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    let mut largest = _mm512_set1_epi32(i32::MIN);
    let mut rare = i32::MIN;
    for ((keys, scales), to) in keys.chunks(LANES).zip(scales.chunks(LANES)).zip(space) {
        let there = lanes(keys.len());
        // Eight keys, of each the sums of its two halves.
        let halves = |first: usize| {
            let from: *const i64 = keys.as_ptr().wrapping_add(first).cast();
            // SAFETY: as many keys are read as there are.
            let keys = unsafe { _mm512_maskz_loadu_epi64((there >> first) as u8, from) };
            let upper = _mm512_dpbusd_epi32(less, _mm512_xor_si512(keys, sign), upper);
            _mm512_dpbusd_epi32(_mm512_slli_epi32::<8>(upper), lower, keys)
        };
        let (a, b) = (halves(0), halves(8));
        let dots = _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
        let bits = load_scales(scales);
        let shifts = _mm512_sub_epi32(shift, _mm512_srli_epi32::<11>(bits));
        let to = to.write([0; LANES]);
        if _mm512_movepi32_mask(shifts) & there != 0 {
            // A shift to the left is rare.
            store(to, dots);
            let (there, _) = to.split_at_mut(scales.len());
            rare = rare.max((scalar::SCALAR.scale_scores)(there, scales, factor));
            continue;
        }
        let mantissas = _mm512_and_si512(bits, _mm512_set1_epi32(0x7ff));
        let product = _mm512_mullo_epi32(_mm512_sra_epi32(dots, narrow), mantissas);
        // A shift by 32 and more leaves the sign, here as in the definition.
        let scaled = _mm512_srav_epi32(product, shifts);
        largest = _mm512_mask_max_epi32(largest, there, largest, scaled);
        store(to, scaled);
    }
    rare.max(_mm512_reduce_max_epi32(largest))
}

/// The sum of the values, weighted by the powers of their scores less the largest one; returns the sum of the powers.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn weighted_sum(
    out: &mut [i32; WIDTH],
    scores: &[[i32; LANES]],
    (values, scales): (&[[i8; WIDTH]], &[u16]),
    (largest, lowered): (i32, u32),
) -> u32 {
    let (largest, lowered) = (_mm512_set1_epi32(largest), _mm512_set1_epi32(lowered as i32));
    // Bytes of two values by turns.
    let by_turns = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    let first_pairs = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let mut powers_sum = _mm512_setzero_si512();
    let mut sums = [_mm512_setzero_si512(); 4];
    for ((scores, values), scales) in scores.iter().zip(values.chunks(LANES)).zip(scales.chunks(LANES)) {
        let there = lanes(values.len());
        // SAFETY: 64 bytes are read, at any alignment.
        let scores = unsafe { _mm512_loadu_epi32(scores.as_ptr()) };
        let z = _mm512_sub_epi32(largest, scores);
        let index = _mm512_and_si512(_mm512_srli_epi32::<7>(z), _mm512_set1_epi32(511));
        // Two neighbours are read for each, the second of which is dropped: none is read behind the last.
        let index = _mm512_sub_epi32(index, _mm512_set1_epi32(1));
        // SAFETY: the table has 512 halfwords after the one in front of it, and every index is from -1 to 510.
        let powers = unsafe { _mm512_i32gather_epi32::<2>(index, GATHERED.as_ptr().add(1).cast()) };
        // Sixteen bits: shifted by sixteen or more nothing is left.
        let powers = _mm512_srli_epi32::<16>(powers);
        let powers = _mm512_maskz_srlv_epi32(there, powers, _mm512_srli_epi32::<16>(z));
        powers_sum = _mm512_add_epi32(powers_sum, powers);
        let bits = load_scales(scales);
        let products = _mm512_mullo_epi32(powers, _mm512_and_si512(bits, _mm512_set1_epi32(0x7ff)));
        let weights = _mm512_srlv_epi32(products, _mm512_sub_epi32(lowered, _mm512_srli_epi32::<11>(bits)));
        let pairs = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(weights));
        for (four, sums) in sums.iter_mut().enumerate() {
            let from: *const i64 = values.as_ptr().wrapping_add(4 * four).cast();
            // SAFETY: as many values are read as there are.
            let bytes = unsafe { _mm256_maskz_loadu_epi64((there >> (4 * four)) as u8, from) };
            let words = _mm512_cvtepi8_epi16(_mm256_shuffle_epi8(bytes, by_turns));
            let pair = _mm512_add_epi32(first_pairs, _mm512_set1_epi32(2 * four as i32));
            *sums = _mm512_dpwssd_epi32(*sums, words, _mm512_permutexvar_epi32(pair, pairs));
        }
    }
    let [a, b, c, d] = sums;
    let sums = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
    let sums = _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
    super::attention::store_words(out, sums);
    _mm512_reduce_add_epi32(powers_sum) as u32
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [i32; LANES], words: __m512i) {
    // SAFETY: 64 bytes are written, at any alignment.
    unsafe { _mm512_storeu_epi32(to.as_mut_ptr(), words) };
}
