//! Computes attention for several tokens at once, for kernel sets that reorder keys and values
//! first.

use core::ops::Range;

use super::Attention;
use crate::cache::{KeyValueCache, Keys, Run, rows as rows_of};
use crate::fixed::bits_beside;
use crate::kernels::attend::{Head, Queries};

impl Attention<'_> {
    /// Computes attention for several tokens at once, if the kernel set supports it and scores have
    /// no distance terms or soft cap. Returns whether it did.
    ///
    /// `rows` holds a row of [`attend`](Self::attend) for each token; `visible` returns the keys
    /// that a token sees.
    pub(crate) fn attend_together(
        &self,
        cache: &KeyValueCache<'_>,
        rows: &mut [i32],
        visible: &dyn Fn(usize) -> Range<usize>,
    ) -> bool {
        let (Some(attend), Keys::K8(keys), false) = (self.kernels.attend, &cache.keys, self.has_more()) else {
            return false;
        };
        let (width, stride) = (self.spec.head_size(), self.spec.query_size());
        let tokens = rows.len() / stride.max(1);
        let seen = (0..tokens).map(visible).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let first = cache.slot(seen.start);
        if seen.start < cache.first || first + seen.len() > cache.slots {
            return false;
        }
        let group = (self.spec.num_attention_heads / self.spec.num_key_value_heads.max(1)).max(1) as usize;
        for key_head in 0..stride / (width * group).max(1) {
            let slots = key_head * cache.slots + first..key_head * cache.slots + first + seen.len();
            let run = Run::new(cache, &slots, width);
            let head = Head {
                keys: rows_of(keys, &slots, width),
                key_scales: run.key_scales,
                values: run.values,
                value_scales: run.value_scales,
                width,
                query_bits: bits_beside(cache.keys.bits(), width),
                query_mantissa: self.query_mantissa(),
                query_power: self.query_power(),
                factor: self.score_factor(cache.keys.bits(), width),
            };
            let visible = |token: usize| {
                let visible = visible(token);
                visible.start - seen.start..visible.end - seen.start
            };
            let from = key_head * group * width;
            let rows = rows.get_mut(from..).unwrap_or(&mut []);
            let mut queries = Queries { rows, tokens, stride, group, width, visible: &visible };
            if !attend(&head, &mut queries) {
                // A kernel refuses only by sizes, which all heads share: it has refused the first
                // head, and nothing is written.
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::attention::{Disentangled, RelativeBias};
    use crate::format::spec::{AttentionPosition, AttentionSpec, Multiplier};
    use crate::kernels::Kernels;
    use crate::model::Halfwords;
    use crate::workspace::HeadBuffers;

    /// A reproducible sequence of numbers of different magnitudes.
    fn numbers(seed: u64) -> impl Iterator<Item = i32> {
        let mut state = seed;
        core::iter::repeat_with(move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i32 >> ((state >> 28) % 15)
        })
    }

    fn spec(width: u16, group: u16) -> AttentionSpec {
        AttentionSpec {
            num_attention_heads: 2 * group,
            num_key_value_heads: 2,
            head_dim: width,
            qkv_bias: false,
            output_bias: false,
            scale: Multiplier { mantissa: 0x5c55_1d94, exponent: 32 },
            query_key_norm: crate::format::spec::QueryKeyNorm::None,
            position: AttentionPosition::None,
            window: 0,
            sliding_layers: 0,
            soft_cap: None,
        }
    }

    #[test]
    fn several_tokens_at_once_become_what_each_becomes_alone() {
        type Visible = fn(usize, usize) -> Range<usize>;
        let all: Visible = |_, stored| 0..stored;
        let before: Visible = |position, _| 0..position + 1;
        let window: Visible = |position, stored| position.saturating_sub(3)..(position + 4).min(stored);
        let shapes = [
            (16, 1, 5, 0),
            (32, 1, 33, 0),
            (32, 2, 7, 9),
            (48, 1, 9, 64),
            (64, 3, 12, 500),
            (32, 1, 40, 600),
            (24, 1, 6, 2),
            (8, 2, 1, 300),
            (8, 1, 1, 14),
            (8, 3, 7, 0),
        ];
        let mut done = 0;
        for (width, group, tokens, start) in shapes {
            for (kernels, visible) in Kernels::available().flat_map(|set| [all, before, window].map(|seen| (set, seen)))
            {
                let spec = spec(width as u16, group as u16);
                let attention = Attention {
                    spec: &spec,
                    kernels,
                    fraction_bits: 16,
                    tanh_table: Halfwords::default(),
                    relative_bias: RelativeBias::default(),
                    disentangled: Disentangled::default(),
                };
                let (stored, slots) = (start + tokens, start + tokens + 3);
                let mut numbers = numbers((width + tokens + start) as u64);
                let mut take = |len: usize| numbers.by_ref().take(len).collect::<Vec<_>>();
                let (mut keys, mut values) = (std::vec![0; 2 * slots * width], std::vec![0; 2 * slots * width]);
                let (mut key_scales, mut value_scales) = (std::vec![0; 2 * slots], std::vec![0; 2 * slots]);
                let mut cache = KeyValueCache {
                    keys: Keys::K8(&mut keys),
                    values: &mut values,
                    key_scales: &mut key_scales,
                    value_scales: &mut value_scales,
                    slots,
                    first: 0,
                    prefix: None,
                };
                for position in 0..stored {
                    attention.store(&mut cache, position, &take(2 * width), &take(2 * width));
                }
                let mut together = take(tokens * spec.query_size());
                let mut alone = together.clone();
                if attention.attend_together(&cache, &mut together, &|token| visible(start + token, stored)) {
                    done += 1;
                } else {
                    assert!(together == alone, "{}: queries are as they were where nothing was done", kernels.name);
                    continue;
                }
                let scalar = Attention { kernels: &crate::kernels::SCALAR, ..attention };
                let (mut query, mut scores) = (std::vec![0; width], std::vec![0; stored]);
                for (token, row) in alone.chunks_exact_mut(spec.query_size()).enumerate() {
                    let mut buffers = HeadBuffers { query: &mut query, scores: &mut scores, products: &mut [] };
                    scalar.attend(&cache, start + token, visible(start + token, stored), row, &mut buffers);
                }
                assert!(together == alone, "{}: {width}, {group}, {tokens} tokens from {start}", kernels.name);
            }
        }
        let sets = Kernels::available().filter(|set| set.attend.is_some()).count();
        assert_eq!(done, sets * (8 * 3 + 1), "heads of 8 columns, and of 16 to 64 with up to 512 keys");
    }
}
