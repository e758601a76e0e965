//! Attention and activations with AVX2: eight keys at a time for their scores and powers, eight or sixteen columns for the
//! weighted sum, eight values for a table.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::{ScoreFactor, scalar};
use crate::ops::softmax::EXP2;

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
pub(super) fn scores8(out: &mut [i32], query: &[i16], keys: &[i8]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores8)(out, query, keys);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn scores16(out: &mut [i32], query: &[i16], keys: &[i16]) {
    if !scores(out, query, keys) {
        (scalar::SCALAR.scores16)(out, query, keys);
    }
}

/// Whether the head is one of whole lanes, and the scores are done.
#[inline]
#[target_feature(enable = "avx2")]
fn scores<K: Wide>(out: &mut [i32], query: &[i16], keys: &[K]) -> bool {
    let head_dim = query.len();
    if head_dim == 0 || !head_dim.is_multiple_of(8) {
        return false;
    }
    if let Ok(query) = <&[i16; 8]>::try_from(query) {
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
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(i16::load(q), K::load(k)));
            }
            if let (Some(q), Some(k)) = (query8.first_chunk(), row8.first_chunk()) {
                let half = _mm_madd_epi16(i16::load_half(q), K::load_half(k));
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
fn scores_of_8<K: Wide>(out: &mut [i32], query: &[i16; 8], keys: &[K]) {
    let half = i16::load_half(query);
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
pub(super) fn weighted_sum(out: &mut [i32], weights: &[i32], values: &[i8]) {
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
fn pair(weights: &[i32]) -> __m256i {
    _mm256_set1_epi32(match *weights {
        [first, second, ..] => first | second << 16,
        [only] => only,
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
fn columns16(out: &mut [i32; 16], weights: &[i32], values: &[i8], width: usize) {
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
fn columns8(out: &mut [i32; 8], weights: &[i32], values: &[i8], width: usize) {
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
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let narrow = _mm_cvtsi32_si128(factor.narrow as i32);
    // A scale's exponent is its upper five bits less 17.
    let shift = _mm256_set1_epi32(factor.shift + 17);
    let mut largest = _mm256_set1_epi32(i32::MIN);
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let (bits, _) = keys.as_chunks::<8>();
    let mut rare = i32::MIN;
    for (eight, bits) in eights.iter_mut().zip(bits) {
        let scales = load_scales(bits);
        let shifts = _mm256_sub_epi32(shift, _mm256_srli_epi32::<11>(scales));
        if _mm256_movemask_ps(_mm256_castsi256_ps(shifts)) != 0 {
            // A shift to the left is rare.
            rare = rare.max((scalar::SCALAR.scale_scores)(eight, bits, factor));
            continue;
        }
        let mantissas = _mm256_and_si256(scales, _mm256_set1_epi32(0x7ff));
        let product = _mm256_mullo_epi32(_mm256_sra_epi32(load_words(eight), narrow), mantissas);
        // A shift by 32 and more leaves the sign, here as in the definition.
        let scaled = _mm256_srav_epi32(product, shifts);
        largest = _mm256_max_epi32(largest, scaled);
        store_words(eight, scaled);
    }
    let done = eights.len() * 8;
    rare = rare.max((scalar::SCALAR.scale_scores)(rest, keys.get(done..).unwrap_or(&[]), factor));
    let mut lanes = [0; 8];
    store_words(&mut lanes, largest);
    lanes.into_iter().fold(rare, i32::max)
}

#[target_feature(enable = "avx2")]
pub(super) fn powers(scores: &mut [i32], values: &[u16], largest: i32, lowered: u32) -> u32 {
    let mut sums = _mm256_setzero_si256();
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let (scales, _) = values.as_chunks::<8>();
    let lowered_by = _mm256_set1_epi32(lowered as i32);
    for (eight, bits) in eights.iter_mut().zip(scales) {
        let z = _mm256_sub_epi32(_mm256_set1_epi32(largest), load_words(eight));
        let index = _mm256_and_si256(_mm256_srli_epi32::<7>(z), _mm256_set1_epi32(511));
        // Two neighbours are read for each, the second of which is dropped: none is read behind the last.
        let index = _mm256_sub_epi32(index, _mm256_set1_epi32(1));
        // SAFETY: the table has 512 halfwords after the one in front of it, and every index is from -1 to 510.
        let powers = unsafe { _mm256_i32gather_epi32::<2>(GATHERED.as_ptr().add(1).cast(), index) };
        let powers = _mm256_srli_epi32::<16>(powers);
        // Sixteen bits: shifted by sixteen or more nothing is left.
        let powers = _mm256_srlv_epi32(powers, _mm256_srli_epi32::<16>(z));
        sums = _mm256_add_epi32(sums, powers);
        let bits = load_scales(bits);
        let weights = _mm256_mullo_epi32(powers, _mm256_and_si256(bits, _mm256_set1_epi32(0x7ff)));
        store_words(eight, _mm256_srlv_epi32(weights, _mm256_sub_epi32(lowered_by, _mm256_srli_epi32::<11>(bits))));
    }
    let done = eights.len() * 8;
    let sum = (scalar::SCALAR.powers)(rest, values.get(done..).unwrap_or(&[]), largest, lowered);
    let mut lanes = [0; 8];
    store_words(&mut lanes, sums);
    lanes.iter().fold(sum, |sum, &lane| sum.wrapping_add(lane as u32))
}

/// The powers with a halfword in front of them, so that each is the upper half of a word.
static GATHERED: [u16; 513] = {
    let mut table = [0; 513];
    let mut i = 0;
    while i < 512 {
        table[i + 1] = EXP2[i];
        i += 1;
    }
    table
};

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
