//! Attention of several queries to one head's keys, with AVX-512 VNNI.
//!
//! Keys and values are widened and reordered once for all queries. Scores and weighted sums then
//! take 32 products per instruction, and no sum is spread over lanes.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::vectors::{GATHERED, lanes};
use crate::kernels::attend::{Head, Queries, ScoreFactor, scale_query};
use crate::kernels::scalar;
use crate::kernels::scalar::rows::quantize16;
use crate::kernels::scalar::softmax::{Normalizer, largest_scale, lowered_by, spare_bits};

/// Words of a vector, each of two 16-bit values.
const LANES: usize = 16;
/// The largest capacity of a panel in keys.
const KEYS: usize = 512;
/// The smaller capacity of a panel in keys, which touches fewer pages of the stack.
const FEW_KEYS: usize = 64;
/// The widest head.
const WIDTH: usize = 64;
/// Queries whose sums, two vectors each, are held in registers.
const QUERIES: usize = 8;
/// The fewest queries for which panels pay off.
const LEAST_QUERIES: usize = 4;

/// Two vectors.
type Pair = [[i32; LANES]; 2];

/// A panel of keys has two columns of 32 keys, then the next two columns; a panel of values has 32
/// columns of two keys, then those of the next two keys.
#[repr(align(64))]
struct Panel<const KEYS: usize>([MaybeUninit<Pair>; KEYS]);

/// For the widest head, a panel has as many pairs as keys.
const _: () = assert!(KEYS * WIDTH * size_of::<i16>() == KEYS * size_of::<Pair>());

impl<const KEYS: usize> Panel<KEYS> {
    fn uninit() -> Self {
        Self([MaybeUninit::uninit(); KEYS])
    }
}

/// Calls a function with the number of queries as a constant.
macro_rules! by_count {
    ($count:expr, $function:ident($($argument:expr),*)) => {
        match $count {
            1 => $function::<1, KEYS>($($argument),*),
            2 => $function::<2, KEYS>($($argument),*),
            3 => $function::<3, KEYS>($($argument),*),
            4 => $function::<4, KEYS>($($argument),*),
            5 => $function::<5, KEYS>($($argument),*),
            6 => $function::<6, KEYS>($($argument),*),
            7 => $function::<7, KEYS>($($argument),*),
            _ => $function::<QUERIES, KEYS>($($argument),*),
        }
    };
}

/// See [`Kernels::attend`](crate::kernels::Kernels::attend).
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) fn attend(head: &Head<'_>, queries: &mut Queries<'_>) -> bool {
    let (width, keys) = (head.width, head.key_scales.len());
    let whole = [head.keys.len(), head.values.len()] == [keys * width; 2] && head.value_scales.len() == keys;
    let fits = width > 0 && width.is_multiple_of(LANES) && width <= WIDTH && keys <= KEYS;
    if queries.count() < LEAST_QUERIES || !fits || !whole {
        return false;
    }
    if keys <= FEW_KEYS {
        attend_to::<FEW_KEYS>(head, queries)
    } else {
        attend_to::<KEYS>(head, queries)
    }
    true
}

/// Attends to at most `KEYS` keys.
#[inline(never)]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn attend_to<const KEYS: usize>(head: &Head<'_>, queries: &mut Queries<'_>) {
    let (width, keys) = (head.width, head.key_scales.len());
    let (mut key_panel, mut value_panel) = (Panel::<KEYS>::uninit(), Panel::<KEYS>::uninit());
    let key_panel = fill_keys(&mut key_panel, head.keys, width);
    let value_panel = fill_values(&mut value_panel, head.values, width);
    let mut quantized = [[0; WIDTH]; QUERIES];
    let mut scores = [[0; KEYS]; QUERIES];
    let mut weights = [[0; KEYS]; QUERIES];
    let mut sums = [[0; WIDTH]; QUERIES];
    for first in (0..queries.count()).step_by(QUERIES) {
        let count = QUERIES.min(queries.count() - first);
        let mut powers_of_two = [0; QUERIES];
        let mut seen = keys..0;
        for (index, (quantized, power)) in quantized.iter_mut().zip(&mut powers_of_two).enumerate().take(count) {
            *power = quantize(head, quantized, queries.row(first + index));
            let visible = queries.visible(first + index);
            seen = seen.start.min(visible.start)..seen.end.max(visible.end);
        }
        // Round to pairs of keys, which the products of weights and values take.
        let seen = seen.start & !1..seen.end.min(keys).next_multiple_of(2);
        by_count!(count, products(&mut scores, &quantized, key_panel, width, &seen));
        let mut normalizers = [Normalizer::default(); QUERIES];
        for (index, normalizer) in normalizers.iter_mut().enumerate().take(count) {
            let visible = queries.visible(first + index);
            let weights = &mut weights[index];
            weights.get_mut(seen.clone()).unwrap_or(&mut []).fill(0);
            let (Some(key_scales), Some(value_scales), Some(scores), Some(weights)) = (
                head.key_scales.get(visible.clone()),
                head.value_scales.get(visible.clone()),
                scores[index].get_mut(visible.clone()),
                weights.get_mut(visible.clone()),
            ) else {
                continue;
            };
            let shift = head.factor.shift - powers_of_two[index];
            let largest = scale_scores(scores, key_scales, ScoreFactor { shift, ..head.factor });
            let top_scale = largest_scale(value_scales);
            let sum = powers(weights, scores, value_scales, largest, lowered_by(top_scale, visible.len()));
            *normalizer = Normalizer::new(sum, top_scale, visible.len());
        }
        by_count!(count, weighted_sums(&mut sums, &weights, value_panel, width, &seen));
        for (index, (sums, normalizer)) in sums.iter().zip(normalizers).enumerate().take(count) {
            let seen = queries.visible(first + index).len();
            let row = queries.row(first + index);
            for (to, &sum) in row.iter_mut().zip(sums) {
                *to = sum;
            }
            normalizer.apply(row, spare_bits(seen));
        }
    }
}

/// Quantizes a query as [`Head`] specifies. Returns the exponent of its unit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn quantize(head: &Head<'_>, quantized: &mut [i16; WIDTH], row: &[i32]) -> i32 {
    let (query, _) = quantized.split_at_mut(row.len().min(WIDTH));
    let scale = quantize16(query, row, head.query_bits);
    for q in query {
        *q = scale_query(*q, head.query_mantissa);
    }
    scale.power() + head.query_power
}

/// Fills a panel of keys: pairs of columns of 32 keys at a time. Missing keys are zero.
#[target_feature(enable = "avx512f,avx512bw")]
fn fill_keys<'p, const KEYS: usize>(panel: &'p mut Panel<KEYS>, keys: &[i8], width: usize) -> &'p [Pair] {
    // Move two of a lane's four bytes to the high bytes of its two halfwords.
    let first_two = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
    let last_two = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15));
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let rows = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(width as i32));
    let count = keys.len() / width;
    let steps = width / 2;
    let (mut filled, mut to) = (0, panel.0.chunks_exact_mut(steps));
    for block in (0..count).step_by(2 * LANES) {
        let Some(to) = to.next() else { break };
        for half in 0..2 {
            let first = block + half * LANES;
            let there = ((1_u64 << count.saturating_sub(first).min(LANES)) - 1) as u16;
            for (four, to) in to.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let from = keys.as_ptr().wrapping_add(first * width + 4 * four);
                // SAFETY: the mask limits the read to four bytes of each existing key.
                let bytes =
                    unsafe { _mm512_mask_i32gather_epi32::<1>(_mm512_setzero_si512(), there, rows, from.cast()) };
                for (to, two) in to.iter_mut().zip([first_two, last_two]) {
                    let words = _mm512_srai_epi16::<8>(_mm512_shuffle_epi8(bytes, two));
                    // SAFETY: half of a pair is written, at any alignment.
                    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast::<[i32; LANES]>().add(half).cast(), words) };
                }
            }
        }
        filled += steps;
    }
    // SAFETY: the first `filled` pairs were written, both halves of each.
    unsafe { core::slice::from_raw_parts(panel.0.as_ptr().cast(), filled) }
}

/// Fills a panel of values: pairs of keys, 32 columns at a time. Missing values are zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn fill_values<'p, const KEYS: usize>(panel: &'p mut Panel<KEYS>, values: &[i8], width: usize) -> &'p [Pair] {
    let (keys, _) = values.as_chunks::<LANES>();
    let per_key = width / LANES;
    let vector = |key: usize, index: usize| {
        let there = index < per_key;
        // SAFETY: sixteen bytes are read, at any alignment.
        let load = |values: &[i8; LANES]| unsafe { _mm_loadu_si128(values.as_ptr().cast()) };
        keys.get(key * per_key + index).filter(|_| there).map_or(_mm_setzero_si128(), load)
    };
    let mut filled = 0;
    for columns in (0..per_key).step_by(2) {
        let pairs = (0..values.len() / width).step_by(2);
        for (key, to) in pairs.zip(panel.0.iter_mut().skip(filled)) {
            for half in 0..2 {
                let [a, b] = [vector(key, columns + half), vector(key + 1, columns + half)];
                let both = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
                // SAFETY: the half of a pair is written, at any alignment.
                unsafe {
                    let to = to.as_mut_ptr().cast::<[i32; LANES]>().add(half);
                    _mm512_storeu_si512(to.cast(), _mm512_cvtepi8_epi16(both));
                }
            }
            filled += 1;
        }
    }
    // SAFETY: the first `filled` pairs were written, both halves of each.
    unsafe { core::slice::from_raw_parts(panel.0.as_ptr().cast(), filled) }
}

/// Multiplies `Q` queries by the keys that they see, 32 at a time.
#[target_feature(enable = "avx512f,avx512vnni")]
fn products<const Q: usize, const KEYS: usize>(
    scores: &mut [[i32; KEYS]; QUERIES],
    queries: &[[i16; WIDTH]; QUERIES],
    panel: &[Pair],
    width: usize,
    seen: &Range<usize>,
) {
    for (block, panel) in panel.chunks_exact(width / 2).enumerate() {
        if (block + 1) * 2 * LANES <= seen.start || block * 2 * LANES >= seen.end {
            continue;
        }
        let sums = dot(panel, core::array::from_fn::<_, Q, _>(|query| queries[query].as_chunks().0));
        for (scores, sums) in scores.iter_mut().zip(sums) {
            if let Some(to) = scores.as_chunks_mut().0.get_mut(block) {
                store(to, sums);
            }
        }
    }
}

/// The weighted sums of `Q` queries, 32 columns at a time.
#[target_feature(enable = "avx512f,avx512vnni")]
fn weighted_sums<const Q: usize, const KEYS: usize>(
    sums: &mut [[i32; WIDTH]; QUERIES],
    weights: &[[i16; KEYS]; QUERIES],
    panel: &[Pair],
    width: usize,
    seen: &Range<usize>,
) {
    let seen = seen.start / 2..seen.end / 2;
    let chunks = width.div_ceil(2 * LANES);
    for (chunk, panel) in panel.chunks_exact((panel.len() / chunks).max(1)).enumerate() {
        let weights = |query: usize| weights[query].as_chunks().0.get(seen.clone()).unwrap_or(&[]);
        let found = dot(panel.get(seen.clone()).unwrap_or(&[]), core::array::from_fn::<_, Q, _>(weights));
        for (to, found) in sums.iter_mut().zip(found) {
            if let Some(to) = to.as_chunks_mut().0.get_mut(chunk) {
                store(to, found);
            }
        }
    }
}

/// Sums products over the pairs of a panel, lane by lane, for `T` rows. Each row must have a word
/// for each pair.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot<const T: usize>(panel: &[Pair], rows: [&[[i16; 2]]; T]) -> [[__m512i; 2]; T] {
    let mut sums = [[_mm512_setzero_si512(); 2]; T];
    if rows.iter().any(|row| row.len() < panel.len()) {
        return sums;
    }
    for (index, [first, second]) in panel.iter().enumerate() {
        let [first, second] = [load(first), load(second)];
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: each row has as many words as the panel.
            let word = unsafe { row.get_unchecked(index).as_ptr().cast::<i32>().read_unaligned() };
            let word = _mm512_set1_epi32(word);
            sums[0] = _mm512_dpwssd_epi32(sums[0], first, word);
            sums[1] = _mm512_dpwssd_epi32(sums[1], second, word);
        }
    }
    sums
}

/// See [`Kernels::scale_scores`](crate::kernels::Kernels::scale_scores).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let narrow = _mm_cvtsi32_si128(factor.narrow as i32);
    // A scale's exponent is its high five bits minus 17.
    let shift = _mm512_set1_epi32(factor.shift + 17);
    let mut largest = _mm512_set1_epi32(i32::MIN);
    let mut rare = i32::MIN;
    for (scores, keys) in scores.chunks_mut(LANES).zip(keys.chunks(LANES)) {
        let there = lanes(scores.len());
        let scales = load_scales(keys);
        let shifts = _mm512_sub_epi32(shift, _mm512_srli_epi32::<11>(scales));
        if _mm512_movepi32_mask(shifts) & there != 0 {
            // A left shift is rare.
            rare = rare.max((scalar::SCALAR.scale_scores)(scores, keys, factor));
            continue;
        }
        let mantissas = _mm512_and_si512(scales, _mm512_set1_epi32(0x7ff));
        // SAFETY: the mask limits the read to `scores`.
        let dots = unsafe { _mm512_maskz_loadu_epi32(there, scores.as_ptr()) };
        let product = _mm512_mullo_epi32(_mm512_sra_epi32(dots, narrow), mantissas);
        // A shift by 32 or more leaves the sign, as in the reference kernel.
        let scaled = _mm512_srav_epi32(product, shifts);
        largest = _mm512_mask_max_epi32(largest, there, largest, scaled);
        // SAFETY: the mask limits the write to `scores`.
        unsafe { _mm512_mask_storeu_epi32(scores.as_mut_ptr(), there, scaled) };
    }
    rare.max(_mm512_reduce_max_epi32(largest))
}

/// See [`Kernels::powers`](crate::kernels::Kernels::powers). Writes 16-bit weights.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn powers(weights: &mut [i16], scores: &[i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let mut sums = _mm512_setzero_si512();
    let lowered = _mm512_set1_epi32(lowered as i32);
    for ((weights, scores), values) in weights.chunks_mut(LANES).zip(scores.chunks(LANES)).zip(values.chunks(LANES)) {
        let there = lanes(weights.len().min(scores.len()));
        // SAFETY: the mask limits the read to `scores`.
        let scores = unsafe { _mm512_maskz_loadu_epi32(there, scores.as_ptr()) };
        let z = _mm512_sub_epi32(_mm512_set1_epi32(largest), scores);
        let index = _mm512_and_si512(_mm512_srli_epi32::<7>(z), _mm512_set1_epi32(511));
        // Each gather reads two neighbouring halfwords and uses the second, so that it does not
        // read past the end of the table.
        let index = _mm512_sub_epi32(index, _mm512_set1_epi32(1));
        // SAFETY: the table has 512 halfwords after the first one, and every index is from -1 to
        // 510.
        let powers = unsafe { _mm512_i32gather_epi32::<2>(index, GATHERED.as_ptr().add(1).cast()) };
        let powers = _mm512_srli_epi32::<16>(powers);
        // Powers have 16 bits: a shift by 16 or more gives 0.
        let powers = _mm512_maskz_srlv_epi32(there, powers, _mm512_srli_epi32::<16>(z));
        sums = _mm512_add_epi32(sums, powers);
        let scales = load_scales(values);
        let products = _mm512_mullo_epi32(powers, _mm512_and_si512(scales, _mm512_set1_epi32(0x7ff)));
        let found = _mm512_srlv_epi32(products, _mm512_sub_epi32(lowered, _mm512_srli_epi32::<11>(scales)));
        // SAFETY: the mask limits the write to `weights`.
        unsafe { _mm256_mask_storeu_epi16(weights.as_mut_ptr(), there, _mm512_cvtepi32_epi16(found)) };
    }
    _mm512_reduce_add_epi32(sums) as u32
}

/// Loads up to sixteen scales into 32-bit lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn load_scales(scales: &[u16]) -> __m512i {
    // SAFETY: the mask limits the read to `scales`.
    _mm512_cvtepu16_epi32(unsafe { _mm256_maskz_loadu_epi16(lanes(scales.len()), scales.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[i32; LANES]) -> __m512i {
    // SAFETY: 64 bytes are read, at any alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [i32; 2 * LANES], [first, second]: [__m512i; 2]) {
    let to: *mut __m512i = to.as_mut_ptr().cast();
    // SAFETY: 128 bytes are written, at any alignment.
    unsafe {
        _mm512_storeu_si512(to, first);
        _mm512_storeu_si512(to.add(1), second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_filled_up_to_their_end_and_no_farther() {
        let detected = std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl");
        for keys in [1, 31, FEW_KEYS, FEW_KEYS + 1, 4 * FEW_KEYS].into_iter().filter(|_| detected) {
            let bytes = std::vec![1_i8; keys * WIDTH];
            let (mut key_panel, mut value_panel) = (Panel::<FEW_KEYS>::uninit(), Panel::<FEW_KEYS>::uninit());
            // SAFETY: the processor has the instructions.
            let (key_pairs, value_pairs) = unsafe {
                (fill_keys(&mut key_panel, &bytes, WIDTH).len(), fill_values(&mut value_panel, &bytes, WIDTH).len())
            };
            let of_keys = keys.div_ceil(2 * LANES) * WIDTH / 2;
            let of_values = keys.div_ceil(2) * WIDTH / (2 * LANES);
            assert_eq!((key_pairs, value_pairs), (of_keys.min(FEW_KEYS), of_values.min(FEW_KEYS)), "{keys} keys");
        }
    }
}
