//! Computes heads of a span-based dynamic convolution (arXiv 2008.02496): softmaxed kernels, and the
//! weighted sums of the values around a token.

use super::{Attention, SCORE_BITS};
use crate::cache::{KeyRows, KeyValueCache};
use crate::fixed::{Scale, shift_round, with_rounding};
use crate::kernels::scalar::softmax::{
    MAX_SCORE, Normalizer, exp2_neg, largest_scale, lowered_by, scores_max, spare_bits,
};

impl Attention<'_> {
    /// Restores the convolution's keys of a token, `[heads * head_dim]`, from the cache, where they
    /// follow those of attention.
    pub(crate) fn span_keys(&self, cache: &KeyValueCache<'_>, position: usize, out: &mut [i32]) {
        let head_dim = self.spec.head_size();
        let heads = usize::from(self.spec.num_key_value_heads)..;
        for (head, out) in heads.zip(out.chunks_exact_mut(head_dim.max(1))) {
            let positions = position..position + 1;
            let [slots, _] = cache.slots(head, &positions);
            let run = cache.near(&positions, &slots, head_dim);
            let scale = Scale::from_bits(run.key_scales.first().copied().unwrap_or(0));
            with_rounding!(-scale.exponent(), |round| match run.keys {
                KeyRows::K8(keys) => restore(out, keys, |key: i8| round(i32::from(key) * scale.mantissa())),
                KeyRows::K16(keys) => restore(out, keys, |key: i16| round(i32::from(key) * scale.mantissa())),
            });
        }
    }

    /// Convolves the values around the token at `position`, of `stored`, with the kernels whose
    /// logarithms in base two are `scores`, `[heads * kernel_size]`. Places beyond the text have
    /// zeros for values. Replaces the scores.
    pub(crate) fn convolve_span(
        &self,
        cache: &KeyValueCache<'_>,
        position: usize,
        stored: usize,
        scores: &mut [i32],
        out: &mut [i32],
    ) {
        let (head_dim, heads) = (self.spec.head_size(), usize::from(self.spec.num_attention_heads));
        let size = scores.len() / heads.max(1);
        let seen = position.saturating_sub(size / 2)..(position + size / 2 + 1).min(stored);
        let before = (size / 2).saturating_sub(position);
        for (head, out) in out.chunks_exact_mut(head_dim.max(1)).enumerate() {
            let Some(scores) = scores.get_mut(head * size..(head + 1) * size) else { return };
            let [slots, _] = cache.slots(usize::from(self.spec.num_key_value_heads) + head, &seen);
            let run = cache.near(&seen, &slots, head_dim);
            for score in &mut *scores {
                let scaled = shift_round(*score, i32::from(self.fraction_bits) - SCORE_BITS);
                *score = scaled.clamp(-MAX_SCORE, MAX_SCORE);
            }
            let largest = scores_max(scores);
            let top_scale = largest_scale(run.value_scales);
            let Some((outside, rest)) = scores.split_at_mut_checked(before) else { return };
            let Some((inside, after)) = rest.split_at_mut_checked(run.value_scales.len()) else { return };
            let beyond = outside.iter().chain(&*after).map(|score| exp2_neg(largest - score)).sum::<u32>();
            let sum = beyond + (self.kernels.powers)(inside, run.value_scales, largest, lowered_by(top_scale, size));
            out.fill(0);
            (self.kernels.weighted_sum)(out, inside, run.values);
            Normalizer::new(sum, top_scale, size).apply(out, spare_bits(size));
        }
    }
}

/// Writes `key` of each of `keys` to `out`.
fn restore<K: Copy>(out: &mut [i32], keys: &[K], key: impl Fn(K) -> i32) {
    out.iter_mut().zip(keys).for_each(|(out, &stored)| *out = key(stored));
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::attention::{Disentangled, RelativeBias};
    use crate::cache::Keys;
    use crate::format::spec::{AttentionPosition, AttentionSpec, Multiplier, QueryKeyNorm};
    use crate::kernels::Kernels;
    use crate::model::Halfwords;

    const HEADS: usize = 2;
    const WIDTH: usize = 12;
    const STORED: usize = 11;

    fn spec() -> AttentionSpec {
        AttentionSpec {
            num_attention_heads: HEADS as u16,
            num_key_value_heads: HEADS as u16,
            head_dim: WIDTH as u16,
            qkv_bias: false,
            output_bias: false,
            scale: Multiplier { mantissa: 0x5c55_1d94, exponent: 32 },
            query_key_norm: QueryKeyNorm::None,
            position: AttentionPosition::None,
            window: 0,
            sliding_layers: 0,
            soft_cap: None,
        }
    }

    #[test]
    fn a_result_is_right_to_a_part_in_three_hundred_of_the_largest_value_in_every_set() {
        let spec = spec();
        for kernels in Kernels::available() {
            let attention = Attention {
                spec: &spec,
                kernels,
                fraction_bits: 14,
                tanh_table: Halfwords::default(),
                relative_bias: RelativeBias::default(),
                disentangled: Disentangled::default(),
            };
            let slots = 2 * HEADS * STORED;
            let (mut keys, mut values) = (std::vec![0; slots * WIDTH], std::vec![0; slots * WIDTH]);
            let (mut key_scales, mut value_scales) = (std::vec![0; slots], std::vec![0; slots]);
            let mut cache = KeyValueCache {
                keys: Keys::K8(&mut keys),
                values: &mut values,
                key_scales: &mut key_scales,
                value_scales: &mut value_scales,
                slots: STORED,
                first: 0,
                prefix: None,
            };
            let number = |n: usize| ((n * n * 7919 + n * 31) % 65_536) as i32 - 32_768;
            let rows: Vec<i32> = (0..STORED * HEADS * WIDTH).map(number).collect();
            for (position, row) in rows.chunks_exact(HEADS * WIDTH).enumerate() {
                attention.store(&mut cache.heads_from(HEADS, WIDTH), position, row, row);
            }

            // The keys and the values that the eight bits stand for.
            let mut restored = std::vec![0; STORED * HEADS * WIDTH];
            for (position, row) in restored.chunks_exact_mut(HEADS * WIDTH).enumerate() {
                attention.span_keys(&cache, position, row);
            }
            let off = restored.iter().zip(&rows).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(132), "{off:?}: half a step of the largest is 129");

            for (size, position) in [1, 3, 9, 15].into_iter().flat_map(|size| (0..STORED).map(move |at| (size, at))) {
                let scores: Vec<i32> = (0..HEADS * size).map(|n| number(n + position) * 2).collect();
                let (mut replaced, mut out) = (scores.clone(), [7; HEADS * WIDTH]);
                attention.convolve_span(&cache, position, STORED, &mut replaced, &mut out);
                for (at, &found) in out.iter().enumerate() {
                    let powers: Vec<f64> = scores[at / WIDTH * size..][..size]
                        .iter()
                        .map(|&score| libm::exp2(libm::ldexp(f64::from(score), -14)))
                        .collect();
                    let value = |tap: usize| {
                        let row = (position + tap).checked_sub(size / 2).filter(|row| *row < STORED);
                        row.map_or(0.0, |row| f64::from(restored[row * HEADS * WIDTH + at]))
                    };
                    let sum: f64 = powers.iter().sum();
                    let exact: f64 = powers.iter().enumerate().map(|(tap, power)| power / sum * value(tap)).sum();
                    let bound = 1.0 + 32_768.0 / 300.0;
                    let off = (f64::from(found) - exact).abs();
                    assert!(off <= bound, "{}: {found} for {exact}, {size} wide at {position}", kernels.name);
                }
            }
        }
    }
}
