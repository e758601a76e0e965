//! Computes attention over a cache of quantized keys and values, with integers only.
//!
//! Each query is computed independently: its result depends only on the query and the keys that it
//! sees, so that every tiling of the tokens gives equal bits.

use core::ops::Range;

use crate::cache::{KeyRows, KeyValueCache, Keys, Run};
use crate::features;
use crate::fixed::{Scale, bits_beside, headroom, mul_high, shift_round};
use crate::format::spec::AttentionSpec;
use crate::kernels::Kernels;
use crate::kernels::attend::{ScoreFactor, scale_query};
use crate::kernels::scalar::softmax::{MAX_SCORE, scores_max, spare_bits};
use crate::model::{Halfwords, Matrix, Words};
use crate::ops::activation::soft_cap;
use crate::ops::softmax::softmax;
use crate::step::VALUE;
use crate::workspace::HeadBuffers;

mod span;
#[cfg(feature = "std")]
pub(crate) mod together;

/// Fraction bits of a score. Scores are base-two logarithms.
const SCORE_BITS: i32 = 16;

/// The parameters of a layer's attention.
pub(crate) struct Attention<'a> {
    pub(crate) spec: &'a AttentionSpec,
    pub(crate) kernels: &'static Kernels,
    pub(crate) fraction_bits: u8,
    pub(crate) tanh_table: Halfwords<'a>,
    /// The relative position bias; empty for none.
    pub(crate) relative_bias: RelativeBias<'a>,
    /// The distance vectors of disentangled attention; empty for none.
    pub(crate) disentangled: Disentangled<'a>,
}

/// Disentangled attention (arXiv 2006.03654): vectors for the distance between query and key, which
/// are multiplied by queries or by keys.
#[derive(Clone, Copy, Default)]
pub(crate) struct Disentangled<'a> {
    /// The index of the vector for each distance `query - key`, from `-distance` on.
    pub(crate) index: Halfwords<'a>,
    /// The number of vectors per head.
    pub(crate) positions: usize,
    /// The vectors that queries are multiplied by, `[heads * positions, head_dim]`.
    pub(crate) keys: Matrix<'a>,
    /// The vectors that keys are multiplied by, `[heads * positions, head_dim]`.
    pub(crate) queries: Matrix<'a>,
}

impl Disentangled<'_> {
    fn vector(&self, query: usize, key: usize) -> usize {
        let distance = self.index.len() / 2;
        let relative =
            if query >= key { distance + (query - key).min(distance) } else { distance - (key - query).min(distance) };
        // The blob's bytes may change after they were checked: clamp to a vector of the head.
        usize::try_from(self.index.get(relative)).unwrap_or(0).min(self.positions.saturating_sub(1))
    }
}

/// A bias on the scores that depends on the distance between query and key.
#[derive(Clone, Copy, Default)]
pub(crate) struct RelativeBias<'a> {
    pub(crate) table: Words<'a>,
    /// The distance from which on the bias is constant.
    pub(crate) distance: usize,
    /// Whether the table has biases for keys after the query.
    pub(crate) bidirectional: bool,
}

impl RelativeBias<'_> {
    fn add(&self, head: usize, query: usize, keys: Range<usize>, scores: &mut [i32]) {
        if self.table.is_empty() {
            return;
        }
        let distances = if self.bidirectional { 2 * self.distance + 1 } else { self.distance + 1 };
        let table = self.table.from(head * distances);
        for (score, key) in scores.iter_mut().zip(keys) {
            let index = if !self.bidirectional {
                query.saturating_sub(key).min(self.distance)
            } else if key >= query {
                self.distance + (key - query).min(self.distance)
            } else {
                self.distance - (query - key).min(self.distance)
            };
            *score = score.saturating_add(table.get(index));
        }
    }
}

impl Run<'_> {
    /// Computes the scores of a query, and returns the largest; `i32::MIN` if there are no keys.
    fn score(&self, kernels: &Kernels, query: &[i16], scores: &mut [i32], factor: ScoreFactor) -> i32 {
        if scores.is_empty() {
            return i32::MIN;
        }
        match &self.keys {
            KeyRows::K8(keys) => (kernels.scores8)(scores, query, keys),
            KeyRows::K16(keys) => (kernels.scores16)(scores, query, keys),
        }
        (kernels.scale_scores)(scores, self.key_scales, factor)
    }
}

impl Attention<'_> {
    /// Quantizes one token's keys and values, `[kv_heads * head_dim]` each, into the cache.
    pub(crate) fn store(&self, cache: &mut KeyValueCache<'_>, position: usize, keys: &[i32], values: &[i32]) {
        let head_dim = self.spec.head_size();
        let slot = cache.slot(position);
        for (head, key) in keys.chunks_exact(head_dim).enumerate() {
            let value = values.get(head * head_dim..).and_then(|values| values.get(..head_dim)).unwrap_or(&[]);
            let index = head * cache.slots + slot;
            let row = index * head_dim..(index + 1) * head_dim;
            let (Some(key_scale), Some(value_scale), Some(to)) =
                (cache.key_scales.get_mut(index), cache.value_scales.get_mut(index), cache.values.get_mut(row.clone()))
            else {
                return;
            };
            *value_scale = (self.kernels.quantize8)(to, value).to_bits();
            let scale = match &mut cache.keys {
                Keys::K8(keys) => (self.kernels.quantize8)(keys.get_mut(row).unwrap_or(&mut []), key),
                Keys::K16(keys) => (self.kernels.quantize16)(keys.get_mut(row).unwrap_or(&mut []), key, 15),
            };
            *key_scale = scale.to_bits();
        }
    }

    /// The cost, in multiply-accumulates, of a token's attention over `keys` keys: two products,
    /// and the softmax of each head.
    pub(crate) fn products(&self, keys: usize) -> usize {
        let (width, heads) = (self.spec.query_size(), self.spec.num_attention_heads as usize);
        2 * keys * (width + VALUE * heads) + VALUE * width
    }

    /// Computes one token's attention over the keys at positions `visible`, which must be cached.
    ///
    /// `row` holds the token's queries, `[heads * head_dim]`, and receives the result.
    // Not inlined: its variables would be on the stack during the caller's matrix products.
    #[inline(never)]
    pub(crate) fn attend(
        &self,
        cache: &KeyValueCache<'_>,
        position: usize,
        visible: Range<usize>,
        row: &mut [i32],
        buffers: &mut HeadBuffers<'_>,
    ) {
        let head_dim = self.spec.head_size();
        let group = (self.spec.num_attention_heads / self.spec.num_key_value_heads.max(1)).max(1) as usize;
        let (Some(query), Some(scores), Some(products)) = (
            buffers.query.get_mut(..head_dim),
            buffers.scores.get_mut(..visible.len()),
            buffers.products.get_mut(..self.disentangled.positions),
        ) else {
            return;
        };
        let key_bits = cache.keys.bits();
        let factor = self.score_factor(key_bits, head_dim);
        let spare = spare_bits(visible.len());
        let more = self.has_more();
        for (key_head, rows_of_group) in row.chunks_exact_mut((head_dim * group).max(1)).enumerate() {
            let [first, second] = cache.slots(key_head, &visible);
            let near = cache.near(&visible, &first, head_dim);
            // Without a prefix, a second run is rare.
            let far = if second.is_empty() { Run::default() } else { Run::new(cache, &second, head_dim) };
            let scales = [near.value_scales, far.value_scales];
            let mut top_scale = (self.kernels.largest_scale)(near.value_scales);
            if !second.is_empty() {
                top_scale = top_scale.max((self.kernels.largest_scale)(far.value_scales));
            }
            for (in_group, row) in rows_of_group.chunks_exact_mut(head_dim).enumerate() {
                let head = key_head * group + in_group;
                let power = self.quantize_query(key_bits, query, row);
                let factor = ScoreFactor { shift: factor.shift - power, ..factor };
                let (first, second) =
                    scores.split_at_mut_checked(near.value_scales.len()).unwrap_or((&mut [], &mut []));
                let mut largest = near.score(self.kernels, query, first, factor);
                if !second.is_empty() {
                    largest = largest.max(far.score(self.kernels, query, second, factor));
                }
                if more {
                    let query = (&*query, power);
                    largest = self.score_more(head, position, visible.clone(), [&near, &far], query, products, scores);
                }
                let normalizer = softmax(self.kernels, scores, largest, scales, top_scale);

                row.fill(0);
                let (first, second) = scores.split_at_checked(near.value_scales.len()).unwrap_or((&[], &[]));
                (self.kernels.weighted_sum)(row, first, near.values);
                if !second.is_empty() {
                    (self.kernels.weighted_sum)(row, second, far.values);
                }
                normalizer.apply(row, spare);
            }
        }
    }

    /// Adds distance terms to the scores and applies the soft cap. Returns the largest score. Only
    /// few models need it.
    #[expect(clippy::too_many_arguments, reason = "what a head's loop has at hand")]
    #[inline(never)]
    fn score_more(
        &self,
        head: usize,
        position: usize,
        visible: Range<usize>,
        runs: [&Run<'_>; 2],
        query: (&[i16], i32),
        products: &mut [i32],
        scores: &mut [i32],
    ) -> i32 {
        if features::RELATIVE_ATTENTION {
            self.content_to_position(head, position, visible.clone(), query, products, scores);
            self.position_to_content(head, position, visible.start, runs, scores);
        }
        if let Some(cap) = self.spec.soft_cap {
            soft_cap(cap, self.tanh_table, SCORE_BITS as u8, scores);
        }
        if features::RELATIVE_ATTENTION {
            self.relative_bias.add(head, position, visible, scores);
        }
        scores.iter_mut().for_each(|score| *score = (*score).clamp(-MAX_SCORE, MAX_SCORE));
        scores_max(scores)
    }

    /// Whether [`score_more`](Self::score_more) has anything to do.
    fn has_more(&self) -> bool {
        features::SOFT_CAPS && self.spec.soft_cap.is_some() || features::RELATIVE_ATTENTION && self.has_distances()
    }

    /// Whether scores depend on distances.
    fn has_distances(&self) -> bool {
        !self.relative_bias.table.is_empty() || self.disentangled.keys.rows > 0 || self.disentangled.queries.rows > 0
    }

    /// Quantizes a query to as many bits as its products with keys leave, and multiplies it by the
    /// mantissa of the softmax scale. Returns the exponent of the query's unit.
    fn quantize_query(&self, key_bits: u32, query: &mut [i16], row: &[i32]) -> i32 {
        let scale = (self.kernels.quantize16)(query, row, bits_beside(key_bits, row.len()));
        let mantissa = self.query_mantissa();
        let scaled = |q| scale_query(q, mantissa);
        let (fours, rest) = query.as_chunks_mut();
        for four in fours {
            let [a, b, c, d] = *four;
            *four = [scaled(a), scaled(b), scaled(c), scaled(d)];
        }
        rest.iter_mut().for_each(|q| *q = scaled(*q));
        scale.power() + self.query_power()
    }

    /// The mantissa of the softmax scale, in 15 bits.
    fn query_mantissa(&self) -> i32 {
        self.spec.scale.mantissa >> 16
    }

    /// The exponent that [`query_mantissa`](Self::query_mantissa) adds to the query's scale.
    fn query_power(&self) -> i32 {
        31 - i32::from(self.spec.scale.exponent)
    }

    /// The conversion of products to base-two scores, without the exponent of the query's unit.
    fn score_factor(&self, key_bits: u32, head_dim: usize) -> ScoreFactor {
        // A product of 19 bits and a key's scale of 11 bits multiply to 30 bits.
        let product_bits = key_bits + bits_beside(key_bits, head_dim) + head_dim.next_power_of_two().trailing_zeros();
        let narrow = product_bits.saturating_sub(19);
        ScoreFactor { narrow, shift: 2 * i32::from(self.fraction_bits) - SCORE_BITS - narrow as i32 }
    }

    /// Adds the content-to-position term: products of the query with the distance vectors.
    fn content_to_position(
        &self,
        head: usize,
        position: usize,
        keys: Range<usize>,
        (query, power): (&[i16], i32),
        products: &mut [i32],
        scores: &mut [i32],
    ) {
        let vectors = &self.disentangled.keys;
        if vectors.rows == 0 || keys.is_empty() {
            return;
        }
        // The vectors for these keys are consecutive rows; later keys have lower rows.
        let lowest = self.disentangled.vector(position, keys.end - 1);
        let met = (self.disentangled.vector(position, keys.start) + 1).saturating_sub(lowest);
        let vectors = vectors.rows(head * self.disentangled.positions + lowest, met);
        let products = products.get_mut(..vectors.rows).unwrap_or(&mut []);
        (self.kernels.scores8)(products, query, vectors.weights.bytes);
        let term = Term::new(self, (1 << 30, 30 - power), &vectors, 15);
        for (product, multiplier) in products.iter_mut().zip(vectors.multipliers.iter()) {
            *product = term.score(*product, multiplier);
        }
        for (score, key) in scores.iter_mut().zip(keys) {
            let product = products.get(self.disentangled.vector(position, key).wrapping_sub(lowest)).unwrap_or(&0);
            *score = score.saturating_add(*product);
        }
    }

    /// Adds the position-to-content term: products of the keys with their distance vectors.
    fn position_to_content(&self, head: usize, position: usize, first: usize, runs: [&Run<'_>; 2], scores: &mut [i32]) {
        let vectors = &self.disentangled.queries;
        if vectors.rows == 0 {
            return;
        }
        let head_dim = self.spec.head_size();
        let each_key = runs.into_iter().flat_map(|run| (0..run.key_scales.len()).map(move |slot| (run, slot)));
        for ((key, (run, slot)), score) in (first..).zip(each_key).zip(scores) {
            let vector = vectors.rows(head * self.disentangled.positions + self.disentangled.vector(position, key), 1);
            let (product, bits) = match run.keys {
                KeyRows::K8(keys) => (dot(vector.weights.bytes, keys.get(slot * head_dim..).unwrap_or(&[])), 7),
                KeyRows::K16(keys) => (dot(vector.weights.bytes, keys.get(slot * head_dim..).unwrap_or(&[])), 15),
            };
            let scale = Scale::from_bits(run.key_scales.get(slot).copied().unwrap_or(0));
            let softmax_scale = self.spec.scale;
            let mantissa = mul_high(softmax_scale.mantissa, scale.mantissa() << 20);
            let factor = (mantissa, i32::from(softmax_scale.exponent) - scale.exponent() - 12);
            let term = Term::new(self, factor, &vector, bits);
            *score = score.saturating_add(term.score(product, vector.multipliers.get(0)));
        }
    }
}

/// The conversion of a product of a quantized row and a matrix row to a score.
struct Term {
    spare: u32,
    multiplier: i32,
    shift: i32,
}

impl Term {
    /// The conversion for a row of values of at most `bits` bits in units of
    /// `mantissa * 2^-exponent`, including the softmax scale.
    fn new(attention: &Attention<'_>, (mantissa, exponent): (i32, i32), matrix: &Matrix<'_>, bits: u32) -> Self {
        let spare = headroom((127 * matrix.cols as u64) << bits);
        // The row has `fraction_bits`. Two `mul_high` shift right by 32 each, and the product is
        // first shifted left by `spare`.
        Self {
            spare,
            multiplier: mantissa,
            shift: exponent + i32::from(attention.fraction_bits) + matrix.exponent - SCORE_BITS + spare as i32
                - 32
                - 32,
        }
    }

    fn score(&self, product: i32, multiplier: i32) -> i32 {
        shift_round(mul_high(mul_high(product << self.spare, self.multiplier), multiplier), self.shift)
    }
}

/// The dot product of a vector and a key.
fn dot<K: Copy + Into<i32>>(vector: &[i8], key: &[K]) -> i32 {
    vector.iter().zip(key).fold(0, |sum, (&v, &k)| sum.wrapping_add(i32::from(v).wrapping_mul(k.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::spec::{AttentionPosition, Multiplier, QueryKeyNorm};
    use crate::kernels::scalar::rows::quantize8;

    #[test]
    fn an_index_of_distances_names_a_vector_of_the_head_whatever_it_says() {
        let index = [-1, i16::MIN, 0, 7, i16::MAX].map(i16::to_le);
        let terms = Disentangled { index: Halfwords::new(&index), positions: 3, ..Disentangled::default() };
        let found = [(0, 9), (0, 1), (0, 0), (1, 0), (9, 0)].map(|(query, key)| terms.vector(query, key));
        assert_eq!(found, [0, 0, 0, 2, 2]);
    }

    #[test]
    fn a_term_is_the_product_of_its_factors() {
        let multiplier = |mantissa, exponent| Multiplier { mantissa, exponent };
        // A head of 32 values, whose scores are divided by sqrt(96).
        let scale = libm::ldexp(core::f64::consts::LOG2_E / libm::sqrt(96.0), 33);
        let spec = AttentionSpec {
            num_attention_heads: 1,
            num_key_value_heads: 1,
            head_dim: 32,
            qkv_bias: false,
            output_bias: false,
            scale: multiplier(scale as i32, 33),
            query_key_norm: QueryKeyNorm::None,
            position: AttentionPosition::None,
            window: 0,
            sliding_layers: 0,
            soft_cap: None,
        };
        let attention = Attention {
            spec: &spec,
            kernels: Kernels::best(),
            fraction_bits: 16,
            tanh_table: Halfwords::default(),
            relative_bias: RelativeBias::default(),
            disentangled: Disentangled::default(),
        };
        let mut quantized = [0; 2];
        for largest in [300, 65_536, 9_999_999] {
            let x_scale = quantize8(&mut quantized, &[largest, -largest / 5]);
            let x = libm::ldexp(f64::from(x_scale.mantissa()), x_scale.exponent());
            for (mantissa, exponent) in [(1 << 30, 37), (i32::MAX, 30), (123_456_789, 40)] {
                let matrix = Matrix { rows: 1, cols: 32, exponent, ..Matrix::default() };
                let factor = (
                    mul_high(spec.scale.mantissa, x_scale.mantissa() << 20),
                    i32::from(spec.scale.exponent) - x_scale.exponent() - 12,
                );
                let term = Term::new(&attention, factor, &matrix, 7);
                for product in [0, 1, -77, 5000, -127 * 127 * 32] {
                    let vector = libm::ldexp(f64::from(mantissa), -exponent);
                    let unit = x * vector * core::f64::consts::LOG2_E / libm::sqrt(96.0);
                    let (exact, most) = (f64::from(product) * unit, 127.0 * 127.0 * 32.0 * unit);
                    let found = f64::from(term.score(product, mantissa));
                    if exact.abs() < f64::from(i32::MAX) {
                        let bound = 3.0 + most / f64::from(1 << 26);
                        assert!(
                            (found - exact).abs() <= bound,
                            "{found} for {exact}: {product}, {largest}, {exponent}"
                        );
                    }
                }
            }
        }
    }
}
