//! Attention and activations with AVX2: eight keys at a time for scores and exponentials, eight or
//! sixteen columns for the weighted sum, eight values for a table.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::vectors::{GATHERED, lanes_sum, load_words, store_words};
use crate::kernels::attend::ScoreFactor;
use crate::kernels::scalar;

/// A key's value type, of which eight or sixteen load into 16-bit lanes.
trait Wide: Copy + Into<i32> {
    /// Loads sixteen values: see [`load`].
    ///
    /// # Safety
    /// The processor has AVX2.
    unsafe fn load(values: &[Self; 16]) -> __m256i;
    /// Loads eight values: see [`load_half`].
    ///
    /// # Safety
    /// The processor has AVX2.
    unsafe fn load_half(values: &[Self; 8]) -> __m128i;
}

/// Loads sixteen values into 16-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn load<K: Wide>(values: &[K; 16]) -> __m256i {
    // SAFETY: `target_feature` guarantees AVX2.
    unsafe { K::load(values) }
}

/// Loads eight values into 16-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn load_half<K: Wide>(values: &[K; 8]) -> __m128i {
    // SAFETY: `target_feature` guarantees AVX2.
    unsafe { K::load_half(values) }
}

impl Wide for i8 {
    #[inline(always)]
    unsafe fn load(values: &[Self; 16]) -> __m256i {
        // SAFETY: the caller has AVX2; sixteen bytes are read, at any alignment.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn load_half(values: &[Self; 8]) -> __m128i {
        // SAFETY: the caller has AVX2; eight bytes are read, at any alignment.
        unsafe { _mm_cvtepi8_epi16(_mm_loadl_epi64(values.as_ptr().cast())) }
    }
}

impl Wide for i16 {
    #[inline(always)]
    unsafe fn load(values: &[Self; 16]) -> __m256i {
        // SAFETY: the caller has AVX2; 32 bytes are read, at any alignment.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load_half(values: &[Self; 8]) -> __m128i {
        // SAFETY: the caller has AVX2; sixteen bytes are read, at any alignment.
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

/// Computes the scores if `head_dim` is a multiple of eight. Returns whether it did.
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
    match head_dim {
        32 if scores_of::<K, 2>(out, query, keys) => return true,
        64 if scores_of::<K, 4>(out, query, keys) => return true,
        _ => {}
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
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(load(q), load(k)));
            }
            if let (Some(q), Some(k)) = (query8.first_chunk(), row8.first_chunk()) {
                let half = _mm_madd_epi16(load_half(q), load_half(k));
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

/// Computes the scores of heads of `16 * N` columns, eight keys at a time. Returns `false` for
/// other heads.
#[inline]
#[target_feature(enable = "avx2")]
fn scores_of<K: Wide, const N: usize>(out: &mut [i32], query: &[i16], keys: &[K]) -> bool {
    let Some(query) = query.as_chunks::<16>().0.first_chunk::<N>() else { return false };
    let keys = keys.as_chunks::<16>().0.as_chunks::<N>().0;
    let mut wide = [_mm256_setzero_si256(); N];
    for (wide, query) in wide.iter_mut().zip(query) {
        *wide = load(query);
    }
    let (eights, rest) = out.as_chunks_mut::<8>();
    let done = 8 * eights.len();
    for (out, keys) in eights.iter_mut().zip(keys.as_chunks::<8>().0) {
        let [a, b, c, d, e, f, g, h] = keys;
        let first = _mm256_hadd_epi32(
            _mm256_hadd_epi32(dot(&wide, a), dot(&wide, b)),
            _mm256_hadd_epi32(dot(&wide, c), dot(&wide, d)),
        );
        let second = _mm256_hadd_epi32(
            _mm256_hadd_epi32(dot(&wide, e), dot(&wide, f)),
            _mm256_hadd_epi32(dot(&wide, g), dot(&wide, h)),
        );
        let low = _mm256_permute2x128_si256::<0x20>(first, second);
        store_words(out, _mm256_add_epi32(low, _mm256_permute2x128_si256::<0x31>(first, second)));
    }
    for (out, key) in rest.iter_mut().zip(keys.get(done..).unwrap_or(&[])) {
        *out = lanes_sum(dot(&wide, key));
    }
    true
}

/// The product of a query and a key, in eight partial sums.
#[inline]
#[target_feature(enable = "avx2")]
fn dot<K: Wide, const N: usize>(query: &[__m256i; N], key: &[[K; 16]; N]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (&query, key) in query.iter().zip(key) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(query, load(key)));
    }
    sum
}

/// Computes the scores of heads of eight columns: a load is two keys, and a result vector eight
/// scores.
#[inline]
#[target_feature(enable = "avx2")]
fn scores_of_8<K: Wide>(out: &mut [i32], query: &[i16; 8], keys: &[K]) {
    let half = load_half(query);
    let twice = _mm256_set_m128i(half, half);
    let (pairs, rest) = keys.as_chunks::<16>();
    let (eights, others) = out.as_chunks_mut::<8>();
    let done = 4 * eights.len();
    for (out, pairs) in eights.iter_mut().zip(pairs.as_chunks::<4>().0) {
        let [a, b, c, d] = pairs;
        let (a, b) = (_mm256_madd_epi16(twice, load(a)), _mm256_madd_epi16(twice, load(b)));
        let (c, d) = (_mm256_madd_epi16(twice, load(c)), _mm256_madd_epi16(twice, load(d)));
        // The low half has keys 0, 2, 4, 6, the high half keys 1, 3, 5, 7.
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
    if let Ok(out) = <&mut [i32; 8]>::try_from(&mut *out) {
        return weighted_sum_of_8(out, weights, values);
    }
    let (eights, _) = out.as_chunks_mut::<8>();
    let (fours, rest) = eights.as_chunks_mut::<4>();
    for (index, out) in fours.iter_mut().enumerate() {
        columns::<4>(out, weights, values.get(32 * index..).unwrap_or(&[]), width);
    }
    for (index, out) in rest.iter_mut().enumerate() {
        columns::<1>(
            core::array::from_mut(out),
            weights,
            values.get(32 * fours.len() + 8 * index..).unwrap_or(&[]),
            width,
        );
    }
}

/// The weighted sum of heads of eight columns: a load is two rows.
#[inline]
#[target_feature(enable = "avx2")]
fn weighted_sum_of_8(out: &mut [i32; 8], weights: &[i32], values: &[i8]) {
    let neighbours = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    let (pairs, last) = weights.as_chunks::<2>();
    let (values, rest) = values.as_chunks::<16>();
    let mut sums = load_words(out);
    for (&[first, second], values) in pairs.iter().zip(values) {
        // SAFETY: sixteen bytes are read, at any alignment.
        let columns = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(values.as_ptr().cast()) }, neighbours);
        let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(columns), _mm256_set1_epi32(first | second << 16));
        sums = _mm256_add_epi32(sums, product);
    }
    store_words(out, sums);
    if let (&[weight], Some(value)) = (last, values.get(pairs.len()).map_or(rest, |both| both).first_chunk::<8>()) {
        for (out, &value) in out.iter_mut().zip(value) {
            *out = out.wrapping_add(weight.wrapping_mul(value.into()));
        }
    }
}

/// `8 * N` columns of a weighted sum. `values` begins with the first row's columns; rows have a
/// stride of `width`.
#[inline]
#[target_feature(enable = "avx2")]
fn columns<const N: usize>(out: &mut [[i32; 8]; N], weights: &[i32], values: &[i8], width: usize) {
    let mut sums = [_mm256_setzero_si256(); N];
    for (sums, out) in sums.iter_mut().zip(&*out) {
        *sums = load_words(out);
    }
    let whole = values.len().checked_sub(8 * N).map_or(0, |rest| rest / width.max(1) + 1);
    let weights = weights.get(..whole.min(weights.len())).unwrap_or(&[]);
    let row = |row: usize| values.as_ptr().wrapping_add(row * width);
    let (sixteens, rest) = weights.as_chunks::<16>();
    for (index, sixteen) in sixteens.iter().enumerate() {
        let pairs = neighbours(sixteen);
        for (pair, weights) in pairs.iter().enumerate() {
            let first = 16 * index + 2 * pair;
            // SAFETY: both rows have `8 * N` columns from here on: `whole` counts such rows.
            unsafe { add_pair(&mut sums, *weights, row(first), row(first + 1)) };
        }
    }
    let (pairs, last) = rest.as_chunks::<2>();
    let mut next = 16 * sixteens.len();
    for &[first, second] in pairs {
        // SAFETY: both rows have `8 * N` columns from here on: `whole` counts such rows.
        unsafe { add_pair(&mut sums, first | second << 16, row(next), row(next + 1)) };
        next += 2;
    }
    if let &[weight] = last {
        // SAFETY: the row has `8 * N` columns from here on: `whole` counts such rows.
        unsafe { add_pair(&mut sums, weight, row(next), row(next)) };
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        store_words(out, sums);
    }
}

/// Packs pairs of weights, which have 15 bits, into words.
#[inline]
#[target_feature(enable = "avx2")]
fn neighbours(weights: &[i32; 16]) -> [i32; 8] {
    // SAFETY: sixteen words are read, at any alignment.
    let [low, high] = unsafe {
        let from: *const __m256i = weights.as_ptr().cast();
        [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))]
    };
    let packed = _mm256_packus_epi32(low, high);
    let mut pairs = [0; 8];
    store_words(&mut pairs, _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
    pairs
}

/// Adds two rows times two weights to `sums`.
///
/// # Safety
/// Each row has `8 * N` columns.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_pair<const N: usize>(sums: &mut [__m256i; N], weights: i32, a: *const i8, b: *const i8) {
    let weights = _mm256_set1_epi32(weights);
    for (eight, sums) in sums.iter_mut().enumerate() {
        // SAFETY: each row has eight bytes here, which are read at any alignment.
        let [a, b] = unsafe { [_mm_loadl_epi64(a.add(8 * eight).cast()), _mm_loadl_epi64(b.add(8 * eight).cast())] };
        let columns = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
        *sums = _mm256_add_epi32(*sums, _mm256_madd_epi16(columns, weights));
    }
}

/// Loads eight scales into 32-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn load_scales(scales: &[u16; 8]) -> __m256i {
    // SAFETY: sixteen bytes are read, at any alignment.
    _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(scales.as_ptr().cast()) })
}

#[target_feature(enable = "avx2")]
pub(super) fn scale_scores(scores: &mut [i32], keys: &[u16], factor: ScoreFactor) -> i32 {
    let narrow = _mm_cvtsi32_si128(factor.narrow as i32);
    // A scale's exponent is its high five bits minus 17.
    let shift = _mm256_set1_epi32(factor.shift + 17);
    let mut largest = _mm256_set1_epi32(i32::MIN);
    let (eights, rest) = scores.as_chunks_mut::<8>();
    let (bits, _) = keys.as_chunks::<8>();
    let mut rare = i32::MIN;
    for (eight, bits) in eights.iter_mut().zip(bits) {
        let scales = load_scales(bits);
        let shifts = _mm256_sub_epi32(shift, _mm256_srli_epi32::<11>(scales));
        if _mm256_movemask_ps(_mm256_castsi256_ps(shifts)) != 0 {
            // A left shift is rare.
            rare = rare.max((scalar::SCALAR.scale_scores)(eight, bits, factor));
            continue;
        }
        let mantissas = _mm256_and_si256(scales, _mm256_set1_epi32(0x7ff));
        let product = _mm256_mullo_epi32(_mm256_sra_epi32(load_words(eight), narrow), mantissas);
        // A shift by 32 or more leaves the sign, as in the reference kernel.
        let scaled = _mm256_srav_epi32(product, shifts);
        largest = _mm256_max_epi32(largest, scaled);
        store_words(eight, scaled);
    }
    if !rest.is_empty() {
        let done = eights.len() * 8;
        rare = rare.max((scalar::SCALAR.scale_scores)(rest, keys.get(done..).unwrap_or(&[]), factor));
    }
    let four = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    rare.max(_mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two))))
}

/// See [`Kernels::largest_scale`](crate::kernels::Kernels::largest_scale). This is the scalar
/// definition, vectorized by the compiler.
#[target_feature(enable = "avx2")]
pub(super) fn largest_scale(scales: &[u16]) -> u16 {
    scalar::softmax::largest_scale(scales)
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
        // Each gather reads two neighbouring halfwords and uses the second, so that it does not
        // read past the end of the table.
        let index = _mm256_sub_epi32(index, _mm256_set1_epi32(1));
        // SAFETY: the table has 512 halfwords after the first one, and every index is from -1 to
        // 510.
        let powers = unsafe { _mm256_i32gather_epi32::<2>(GATHERED.as_ptr().add(1).cast(), index) };
        let powers = _mm256_srli_epi32::<16>(powers);
        // Powers have 16 bits: a shift by 16 or more gives 0.
        let powers = _mm256_srlv_epi32(powers, _mm256_srli_epi32::<16>(z));
        sums = _mm256_add_epi32(sums, powers);
        let bits = load_scales(bits);
        let weights = _mm256_mullo_epi32(powers, _mm256_and_si256(bits, _mm256_set1_epi32(0x7ff)));
        store_words(eight, _mm256_srlv_epi32(weights, _mm256_sub_epi32(lowered_by, _mm256_srli_epi32::<11>(bits))));
    }
    let mut sum = lanes_sum(sums) as u32;
    if !rest.is_empty() {
        let done = eights.len() * 8;
        sum = sum.wrapping_add((scalar::SCALAR.powers)(rest, values.get(done..).unwrap_or(&[]), largest, lowered));
    }
    sum
}

#[target_feature(enable = "avx2")]
pub(super) fn rectify(values: &mut [i32], table: &[i16]) {
    // The last index with a successor.
    let Some(end) = table.len().checked_sub(2).and_then(|end| i32::try_from(end).ok()) else {
        return (scalar::SCALAR.rectify)(values, table);
    };
    let (eights, rest) = values.as_chunks_mut::<8>();
    for eight in eights {
        let x = load_words(eight);
        // The magnitude of `i32::MIN` saturates at `i32::MAX`, as in the reference kernel.
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
        // Overflow: the sum is negative, but neither term is.
        let over =
            _mm256_andnot_si256(even, _mm256_and_si256(sum, _mm256_cmpgt_epi32(positive, _mm256_setzero_si256())));
        let over = _mm256_srai_epi32::<31>(over);
        store_words(eight, _mm256_blendv_epi8(sum, _mm256_set1_epi32(i32::MAX), over));
    }
    if !rest.is_empty() {
        (scalar::SCALAR.rectify)(rest, table);
    }
}
