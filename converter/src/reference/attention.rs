//! Attention: queries, keys and values, rotation, scores, softmax, and the weighted sum.

use core::f32::consts::LOG2_E;

use anyhow::Result;
use kinglet::format::layout::{BlockPart, Role, Stack, StackPart};
use kinglet::format::spec::{AttentionPosition, AttentionSpec};

use super::convolution::convolve;
use super::model::{Layer, Step};
use crate::fixed::real;
use crate::real::{Rows, dot};
use crate::tables;

/// Keys and values of the tokens so far, `[tokens, kv_heads * head_dim]` each.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// Self-attention: a decoder's tokens attend to earlier tokens, an encoder's to all. Queries and
/// keys are computed from `x`, values from `values`.
pub(super) fn attention(layer: &Layer<'_, '_>, x: &Rows, values: &Rows, cache: &mut Cache) -> Result<Rows> {
    let &Layer { model, id, stack, first, .. } = layer;
    let spec = &stack.block.attention;
    let mut queries = layer.linear(BlockPart::Query, x)?; // [tokens, heads * head_dim]
    let convolved = stack.convolution.span().map(|span| convolve(layer, span, x, &queries)).transpose()?;
    let mut keys = layer.linear(BlockPart::Key, x)?; // [tokens, kv_heads * head_dim]
    let values = layer.linear(BlockPart::Value, values)?;
    let head_dim = usize::from(spec.head_dim);
    for (rows, part) in [(&mut queries, BlockPart::QueryNorm), (&mut keys, BlockPart::KeyNorm)] {
        let width = rows.width;
        if let Some((norm, parts)) = spec.query_key_norm.over(width / head_dim) {
            rows.width = width / parts;
            *rows = model.norm(&norm, layer.role(part), rows)?;
            rows.width = width;
        }
    }
    let window = spec.window_of(layer.index);
    let mut distances = Distances::None;
    match spec.position {
        AttentionPosition::None => {}
        AttentionPosition::Rotary { dims, local, layers } => {
            let part = if local && window.is_some() { StackPart::RotaryLocal } else { StackPart::Rotary };
            if layers >> layer.index & 1 == 1 {
                let table = &model.tensor(Role::Stack(id, part))?.weight;
                for rows in [&mut queries, &mut keys] {
                    rotate(table, usize::from(dims), head_dim, first, rows);
                }
            }
        }
        AttentionPosition::RelativeBias { distance } | AttentionPosition::LayerRelativeBias { distance } => {
            let table = &model.tensor(Role::Stack(id, StackPart::RelativeBias))?.weight;
            let each = matches!(spec.position, AttentionPosition::LayerRelativeBias { .. });
            let len = table.len() / if each { usize::from(stack.num_hidden_layers) } else { 1 };
            let table = &table[if each { layer.index * len } else { 0 }..][..len];
            distances = Distances::Bias(Bias { table, distance: distance as usize });
        }
        AttentionPosition::Disentangled { positions, content_to_position, position_to_content, .. } => {
            let vectors = |part, met: bool| met.then(|| model.tensor(layer.role(part))).transpose();
            distances = Distances::Disentangled(Disentangled {
                index: &model.tensor(Role::Stack(id, StackPart::RelativeIndex))?.weight,
                positions: positions.into(),
                keys: vectors(BlockPart::PositionKey, content_to_position)?.map(|tensor| &tensor.weight[..]),
                queries: vectors(BlockPart::PositionQuery, position_to_content)?.map(|tensor| &tensor.weight[..]),
            });
        }
    }
    model.narrow(spec, &mut keys.values);
    cache.keys.extend_from_slice(&keys.values);
    cache.values.extend_from_slice(&values.values);
    let causal = id == Stack::Decoder;
    let (mut mixed, score) = attend(spec, Mask { causal, first, window }, distances, &queries, cache);
    model.observe(&Step::Score(score));
    if let Some(convolved) = &convolved {
        mixed = mixed.beside(convolved);
    }
    layer.linear(BlockPart::Output, &mixed)
}

/// Cross-attention: a decoder's tokens attend to all tokens of the encoder, whose keys and values
/// are in `cross`.
pub(super) fn cross_attention(layer: &Layer<'_, '_>, x: &Rows, cross: &Cache) -> Result<Rows> {
    let queries = layer.linear(BlockPart::CrossQuery, x)?;
    let everything = Mask { causal: false, first: 0, window: None };
    let (mixed, score) = attend(&layer.stack.block.attention, everything, Distances::None, &queries, cross);
    layer.model.observe(&Step::Score(score));
    layer.linear(BlockPart::CrossOutput, &mixed)
}

/// The keys that a query sees.
#[derive(Clone, Copy)]
struct Mask {
    causal: bool,
    /// The position of the first query.
    first: usize,
    window: Option<usize>,
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

/// Learned biases by head and distance.
#[derive(Clone, Copy)]
struct Bias<'a> {
    table: &'a [f32],
    distance: usize,
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

/// Learned vectors for each head and distance, which are multiplied with queries and keys.
#[derive(Clone, Copy)]
struct Disentangled<'a> {
    /// The vector of each distance.
    index: &'a [f32],
    /// The number of vectors per head.
    positions: usize,
    keys: Option<&'a [f32]>,
    queries: Option<&'a [f32]>,
}

impl Disentangled<'_> {
    /// The term that the distance between `query` and `key` adds to their product.
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

/// The term that the distance between query and key adds to a score.
#[derive(Clone, Copy)]
enum Distances<'a> {
    None,
    Bias(Bias<'a>),
    Disentangled(Disentangled<'a>),
}

/// Rotates the first `dims` values of each head by the angle of its position; value `i` is paired
/// with value `i + dims / 2`.
fn rotate(table: &[f32], dims: usize, head_dim: usize, first: usize, rows: &mut Rows) {
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

/// Attends with a softmax of the scaled scores, in base two. Also returns the largest magnitude of
/// a score.
fn attend(spec: &AttentionSpec, mask: Mask, distances: Distances<'_>, queries: &Rows, cache: &Cache) -> (Rows, f32) {
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
