//! Attention: rotation of heads, scores, softmax, weighted sum.

use core::f32::consts::LOG2_E;

use kinglet::format::spec::AttentionSpec;

use crate::fixed::real;
use crate::real::{Rows, dot};
use crate::tables;

/// Keys and values of the tokens so far, `[tokens, kv_heads * head_dim]` each.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// Which keys a query sees.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    pub(super) causal: bool,
    /// Position of the first query.
    pub(super) first: usize,
    pub(super) window: Option<usize>,
}

impl Mask {
    fn sees(self, query: usize, key: usize) -> bool {
        match (self.causal, self.window) {
            (true, None) => key <= query,
            (true, Some(window)) => key <= query && query - key < window,
            (false, None) => true,
            (false, Some(window)) => query.abs_diff(key) <= window,
        }
    }
}

/// A learned bias by head and distance.
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    pub(super) table: &'a [f32],
    pub(super) distance: usize,
}

impl Bias<'_> {
    fn at(self, causal: bool, head: usize, query: usize, key: usize) -> f32 {
        let far = self.distance as isize;
        let relative = (key as isize - query as isize).clamp(-far, far);
        let (distances, index) =
            if causal { (self.distance + 1, -relative) } else { (2 * self.distance + 1, relative + far) };
        self.table[head * distances + index.max(0) as usize]
    }
}

/// Vectors by head and distance, which queries and keys meet.
#[derive(Clone, Copy)]
pub(super) struct Disentangled<'a> {
    /// Which vector belongs to each distance.
    pub(super) index: &'a [f32],
    /// Vectors that a head has.
    pub(super) positions: usize,
    pub(super) keys: Option<&'a [f32]>,
    pub(super) queries: Option<&'a [f32]>,
}

impl Disentangled<'_> {
    /// What the distance adds to `q . k`.
    fn score(self, head: usize, (query, at): (&[f32], usize), (key, of): (&[f32], usize)) -> f32 {
        let distance = self.index.len() as isize / 2;
        let relative = (at as isize - of as isize).clamp(-distance, distance) + distance;
        let row = head * self.positions + self.index[relative as usize] as usize;
        let met = |vectors: Option<&[f32]>, x: &[f32]| {
            vectors.map_or(0.0, |vectors| dot(x, &vectors[row * x.len()..][..x.len()]))
        };
        met(self.keys, query) + met(self.queries, key)
    }
}

/// What the distance between query and key adds to a score.
#[derive(Clone, Copy)]
pub(super) enum Distances<'a> {
    None,
    Bias(Bias<'a>),
    Disentangled(Disentangled<'a>),
}

/// Turns the first `dims` values of each head by its position, the first half of them paired with the second.
pub(super) fn rotate(table: &[f32], dims: usize, head_dim: usize, first: usize, rows: &mut Rows) {
    let half = dims / 2;
    for (token, row) in rows.rows_mut().enumerate() {
        let angles = &table[(first + token) * dims..][..dims];
        for head in row.chunks_exact_mut(head_dim) {
            for pair in 0..half {
                let (cos, sin) = (angles[2 * pair], angles[2 * pair + 1]);
                let (a, b) = (head[pair], head[pair + half]);
                head[pair] = a * cos - b * sin;
                head[pair + half] = b * cos + a * sin;
            }
        }
    }
}

/// Rounds a vector to eight bits and one scale.
pub(super) fn round_to_bytes(vector: &mut [f32]) {
    let scale = vector.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
    if scale > 0.0 {
        vector.iter_mut().for_each(|x| *x = libm::rintf(*x / scale) * scale);
    }
}

/// Softmax of the scaled scores, in base two, over the values; and the largest magnitude of a score.
pub(super) fn attend(
    spec: &AttentionSpec,
    mask: Mask,
    distances: Distances<'_>,
    queries: &Rows,
    cache: &Cache,
) -> (Rows, f32) {
    let head_dim = usize::from(spec.head_dim);
    let group = usize::from(spec.num_attention_heads / spec.num_key_value_heads);
    let key_width = spec.key_value_size();
    let scale = real(spec.scale) as f32;
    let cap = spec.soft_cap.map(|cap| real(cap) as f32);
    let tokens = cache.keys.len() / key_width;
    let mut out = vec![0.0; queries.values.len()];
    let mut scores = Vec::with_capacity(tokens);
    let mut largest: f32 = 0.0;
    let heads = queries.values.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
    for (at, (query, out)) in heads.enumerate() {
        let (token, head) = (at / usize::from(spec.num_attention_heads), at % usize::from(spec.num_attention_heads));
        let position = mask.first + token;
        let lane = |key: usize| key * key_width + head / group * head_dim;
        scores.clear();
        for key in (0..tokens).filter(|key| mask.sees(position, *key)) {
            let stored = &cache.keys[lane(key)..][..head_dim];
            let mut score = dot(query, stored);
            if let Distances::Disentangled(vectors) = distances {
                score += vectors.score(head, (query, position), (stored, key));
            }
            score *= scale;
            if let Some(cap) = cap {
                score = cap * libm::tanhf(score / cap);
            }
            if let Distances::Bias(bias) = distances {
                score += bias.at(mask.causal, head, position, key) * LOG2_E;
            }
            largest = largest.max(score.abs());
            scores.push((key, score));
        }
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, (_, score)| most.max(*score));
        scores.iter_mut().for_each(|(_, score)| *score = tables::exp2(*score - most));
        let sum: f32 = scores.iter().map(|(_, weight)| weight).sum();
        for (key, weight) in &scores {
            let value = &cache.values[lane(*key)..][..head_dim];
            out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / sum * value);
        }
    }
    (Rows { width: queries.width, values: out }, largest)
}
