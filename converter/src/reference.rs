//! The forward pass in `f32`: the oracle.
//!
//! Runs the same specification as the runtime on the weights as the checkpoint has them, one step a line and
//! with no care for memory. What the integers are measured against, and what calibration watches.

use core::cell::RefCell;

use anyhow::{Context, Result};
use kinglet::format::layout::{BlockPart, HeadPart, NETWORKS, Role, Stack, StackPart};
use kinglet::format::spec::{
    Activation, AttentionPosition, BottleneckAttention, ConvolutionSpec, EmbeddingProjection, ModelSpec, NormSpec,
    OutputProjection, Pooling, Residual, StackSpec,
};

use crate::calibrate::Calibration;
use crate::fixed::real;
pub use crate::real::Rows;
use crate::real::{add, dot, linear, norm};
use crate::refuse;
use crate::tables;
use crate::weights::{Tensor, Weights, role_name};

mod attention;
mod checks;
mod generate;
mod watch;

pub(crate) use checks::check_lengths;
pub use generate::Written;

use attention::{Cache, Distances};
use checks::check_input;

/// A model being run. A decoder remembers the tokens it was given.
#[derive(Clone, Debug)]
pub struct Reference<'a> {
    spec: &'a ModelSpec,
    weights: &'a Weights,
    /// Keys and values of each decoder layer, for the tokens so far.
    caches: Vec<Cache>,
    /// Keys and values of the encoder's output, for each decoder layer.
    cross: Vec<Cache>,
    /// Tokens the decoder has been given.
    position: usize,
    /// How many of them count as positions.
    counted: usize,
    /// The token of the encoder's text at whose place the head reads the decoder, where it does so.
    marked: Option<usize>,
    /// The decoder's state that the head reads, where that need not be its last one.
    kept: Option<Vec<f32>>,
    /// What the layers read and write, where that is wanted.
    calibration: Option<RefCell<Calibration>>,
    /// Whether keys are rounded to eight bits.
    narrow_keys: bool,
}

impl<'a> Reference<'a> {
    /// Readies a model.
    pub fn new(spec: &'a ModelSpec, weights: &'a Weights) -> Self {
        let mut reference = Self {
            spec,
            weights,
            caches: Vec::new(),
            cross: Vec::new(),
            position: 0,
            counted: 0,
            marked: None,
            kept: None,
            calibration: None,
            narrow_keys: false,
        };
        reference.reset();
        reference
    }

    /// Forgets the decoder's tokens, but not the encoder's output.
    pub fn reset(&mut self) {
        let layers = self.spec.decoder.map_or(0, |stack| usize::from(stack.num_hidden_layers));
        self.caches = vec![Cache::default(); layers];
        (self.position, self.counted, self.kept) = (0, 0, None);
    }

    /// The encoder's hidden states. A decoder that follows attends to them. No token types means all 0.
    ///
    /// # Errors
    /// When there is no encoder, or a token, a token type or the length is out of range, or the token is missing that says where the
    /// head reads the decoder.
    pub fn encode(&mut self, ids: &[u32], token_types: &[u32]) -> Result<Rows> {
        let stack = self.spec.encoder.as_ref().context("this model has no encoder")?;
        if let Pooling::AtLast(token) = self.spec.head.pooling {
            self.marked = Some(ids.iter().rposition(|&id| id == token).ok_or_else(|| {
                refuse(
                    format_args!("the text lacks token {token}, at whose place this classifier reads the decoder"),
                    "end the text with it",
                )
            })?);
        }
        let mut x = self.embed(Stack::Encoder, stack, ids, token_types, 0)?;
        for layer in 0..usize::from(stack.num_hidden_layers) {
            x = self.block(Stack::Encoder, stack, layer, x, &mut Cache::default())?;
            if let (0, Some(convolution)) = (layer, &stack.convolution) {
                let embeddings = self.embed(Stack::Encoder, stack, ids, token_types, 0)?;
                add(&mut x, &self.convolve(convolution, &embeddings)?);
                x = self.norm(&stack.block.norm, Role::Stack(Stack::Encoder, StackPart::ConvolutionNorm), &x)?;
            }
        }
        if let Some(spec) = &stack.final_norm {
            x = self.norm(spec, Role::Stack(Stack::Encoder, StackPart::FinalNorm), &x)?;
        }
        if let Some(decoder) = &self.spec.decoder {
            self.cross = (0..usize::from(decoder.num_hidden_layers))
                .map(|layer| {
                    let part = |part| Role::Block(Stack::Decoder, decoder.block_of(layer) as u16, part);
                    let (keys, values) = (part(BlockPart::CrossKey), part(BlockPart::CrossValue));
                    let mut keys = self.linear(keys, &x)?.values;
                    self.narrow(&decoder.block.attention, &mut keys);
                    Ok(Cache { keys, values: self.linear(values, &x)?.values })
                })
                .collect::<Result<_>>()?;
            self.reset();
        }
        Ok(x)
    }

    /// The decoder's hidden states for the next tokens.
    ///
    /// # Errors
    /// When there is no decoder, nothing was encoded for it, or a token or the length is out of range.
    pub fn decode(&mut self, ids: &[u32]) -> Result<Rows> {
        let stack = self.spec.decoder.as_ref().context("this model has no decoder")?;
        if stack.block.cross_attention && self.cross.is_empty() {
            return Err(refuse("the decoder was run before the encoder", "encode the source first"));
        }
        let mut x = self.embed(Stack::Decoder, stack, ids, &[], self.position)?;
        let start = self.position;
        let mut caches = core::mem::take(&mut self.caches);
        for (layer, cache) in caches.iter_mut().enumerate() {
            x = self.block(Stack::Decoder, stack, layer, x, cache)?;
        }
        self.caches = caches;
        self.position += ids.len();
        self.counted += ids.iter().filter(|&&id| Some(id) != stack.embedding.padding).count();
        if let Some(spec) = &stack.final_norm {
            x = self.norm(spec, Role::Stack(Stack::Decoder, StackPart::FinalNorm), &x)?;
        }
        let read = |(at, &id): (usize, &u32)| match self.spec.head.pooling {
            Pooling::LastExcept(padding) => id != padding || start + at == 0,
            Pooling::AtLast(_) => self.marked == Some(start + at),
            _ => false,
        };
        if let Some((row, _)) = x.rows().zip(ids.iter().enumerate()).rfind(|(_, token)| read(*token)) {
            self.kept = Some(row.to_vec());
        }
        Ok(x)
    }

    /// What the head makes of the last stack's hidden states: a row for each token, or one when it pools.
    ///
    /// # Errors
    /// When there are none, or the decoder has not read the token whose state the head reads.
    pub fn head(&self, hidden: &Rows) -> Result<Rows> {
        let head = &self.spec.head;
        let mut x = match head.pooling {
            Pooling::LastExcept(_) | Pooling::AtLast(_) => {
                let kept =
                    self.kept.clone().context("the decoder has not read the token whose state the head reads")?;
                Rows { width: hidden.width, values: kept }
            }
            pooling => pool(pooling, hidden)?,
        };
        if let Some(transform) = &head.transform {
            x = self.linear(Role::Head(HeadPart::Transform), &x)?;
            x.values.iter_mut().for_each(|x| *x = tables::activation(transform.activation, *x));
            if let Some(spec) = &transform.norm {
                x = self.norm(spec, Role::Head(HeadPart::TransformNorm), &x)?;
            }
        }
        match head.output {
            OutputProjection::None => {}
            OutputProjection::Own => x = self.linear(Role::Head(HeadPart::Output), &x)?,
            OutputProjection::Tied => {
                let last = if self.spec.decoder.is_some() { Stack::Decoder } else { Stack::Encoder };
                let table = self.tensor(self.token_table(last))?;
                let bias = if head.bias { &self.tensor(Role::Head(HeadPart::OutputBias))?.weight } else { &[][..] };
                x = linear(&table.weight, bias, &x);
            }
        }
        if let Some(calibration) = &self.calibration {
            calibration.borrow_mut().ranges.add_results(&x);
        }
        if let Some(cap) = head.soft_cap {
            let cap = real(cap) as f32;
            x.values.iter_mut().for_each(|x| *x = cap * libm::tanhf(*x / cap));
        }
        if head.normalize {
            for row in x.rows_mut() {
                let length = libm::sqrtf(dot(row, row)).max(1e-12);
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(x)
    }

    /// Encodes and decodes what is given, and runs the head: logits, labels' scores, hidden states or a vector.
    ///
    /// # Errors
    /// When a token, a token type or a length is out of range. `decoder_ids` are for encoder-decoders only.
    pub fn forward(&mut self, ids: &[u32], token_types: &[u32], decoder_ids: &[u32]) -> Result<Rows> {
        let hidden = match (self.spec.encoder, self.spec.decoder) {
            (Some(_), Some(_)) => {
                check_lengths(self.spec, ids, decoder_ids)?;
                self.encode(ids, token_types)?;
                self.decode(decoder_ids)?
            }
            (Some(_), None) => self.encode(ids, token_types)?,
            (None, _) => {
                self.reset();
                self.decode(ids)?
            }
        };
        self.head(&hidden)
    }

    fn embed(&self, id: Stack, stack: &StackSpec, ids: &[u32], types: &[u32], first: usize) -> Result<Rows> {
        let embedding = &stack.embedding;
        check_input(stack, ids, types, first)?;
        let own = |part| Role::Stack(id, part);
        let scale = embedding.scale.map_or(1.0, |scale| real(scale) as f32);
        let table = self.tensor(self.token_table(id))?;
        let mut x = Rows::gather(&table.weight, embedding.embedding_size as usize, ids.iter().map(|id| *id as usize));
        x.values.iter_mut().for_each(|x| *x *= scale);
        if embedding.projection == EmbeddingProjection::Trigram {
            x = x.neighbours(&[1, 0, -1]);
        }
        if matches!(embedding.projection, EmbeddingProjection::BeforePositions | EmbeddingProjection::Trigram) {
            x = self.linear(own(StackPart::EmbeddingProjection), &x)?;
        }
        if embedding.positions {
            let table = self.tensor(own(StackPart::PositionEmbedding))?;
            let positions = Rows::gather(&table.weight, x.width, self.positions(id, stack, ids));
            add(&mut x, &positions);
        }
        if embedding.token_types > 0 {
            let table = self.tensor(own(StackPart::TokenTypeEmbedding))?;
            let types = (0..ids.len()).map(|at| types.get(at).map_or(0, |kind| *kind as usize));
            let types = Rows::gather(&table.weight, x.width, types);
            add(&mut x, &types);
        }
        if embedding.projection == EmbeddingProjection::BeforeNorm {
            x = self.linear(own(StackPart::EmbeddingProjection), &x)?;
        }
        if let Some(spec) = &embedding.norm {
            x = self.norm(spec, own(StackPart::EmbeddingNorm), &x)?;
        }
        if embedding.projection == EmbeddingProjection::AfterNorm {
            x = self.linear(own(StackPart::EmbeddingProjection), &x)?;
        }
        Ok(x)
    }

    /// The row of each token's position. Padding, where it has one of its own, is not counted.
    fn positions(&self, id: Stack, stack: &StackSpec, ids: &[u32]) -> impl Iterator<Item = usize> {
        let (padding, last) = (stack.embedding.padding, stack.max_positions as usize);
        let mut next = if id == Stack::Decoder { self.counted } else { 0 };
        ids.iter().map(move |&token| {
            if Some(token) == padding {
                return last;
            }
            next += 1;
            next - 1
        })
    }

    /// The activated convolution over the tokens' embeddings.
    fn convolve(&self, spec: &ConvolutionSpec, embeddings: &Rows) -> Result<Rows> {
        let half = isize::from(spec.kernel_size.cast_signed()) / 2;
        let places: Vec<isize> = (-half..=half).collect();
        let own = |part| Role::Stack(Stack::Encoder, part);
        let mut out = self.linear(own(StackPart::Convolution), &embeddings.neighbours(&places))?;
        out.values.iter_mut().for_each(|x| *x = tables::activation(spec.activation, *x));
        Ok(out)
    }

    /// The transformer block.
    fn block(&self, id: Stack, stack: &StackSpec, layer: usize, x: Rows, cache: &mut Cache) -> Result<Rows> {
        let Some(bottleneck) = &stack.block.bottleneck else {
            return self.sublayers(id, stack, layer, x, None, cache);
        };
        let role = |part| Role::Block(id, stack.block_of(layer) as u16, part);
        let norm = |part, x: &Rows| self.norm(&stack.block.norm, role(part), x);
        let narrow = norm(BlockPart::NarrowNorm, &self.linear(role(BlockPart::Narrow), &x)?)?;
        let inputs = match bottleneck.attention {
            BottleneckAttention::Narrow => [narrow.clone(), narrow.clone()],
            BottleneckAttention::Wide => [x.clone(), x.clone()],
            BottleneckAttention::Shared => {
                let shared = self.linear(role(BlockPart::NarrowShared), &x)?;
                [norm(BlockPart::NarrowSharedNorm, &shared)?, x.clone()]
            }
        };
        let narrow = self.sublayers(id, stack, layer, narrow, Some(&inputs), cache)?;
        let mut sum = self.linear(role(BlockPart::Widen), &narrow)?;
        add(&mut sum, &x);
        norm(BlockPart::WidenNorm, &sum)
    }

    /// Attention and the feed-forward networks. `inputs` are what queries and keys, and values, are made of, where that is not `x`.
    fn sublayers(
        &self,
        id: Stack,
        stack: &StackSpec,
        layer: usize,
        mut x: Rows,
        inputs: Option<&[Rows; 2]>,
        cache: &mut Cache,
    ) -> Result<Rows> {
        let block = &stack.block;
        let role = |part| Role::Block(id, stack.block_of(layer) as u16, part);
        let norm = |part, x: &Rows| match part {
            BlockPart::AttentionNorm if layer == 0 && block.skip_first_norm => Ok(x.clone()),
            part => self.norm(&block.norm, role(part), x),
        };
        match block.residual {
            Residual::PreNorm | Residual::PostNorm | Residual::Sandwich => {
                // One sublayer after the other, each with its own residual connection.
                let sublayer = |x: Rows, part, post, f: &mut dyn FnMut(&Rows) -> Result<Rows>| -> Result<Rows> {
                    match block.residual {
                        Residual::PostNorm => {
                            let mut sum = f(&x)?;
                            add(&mut sum, &x);
                            norm(part, &sum)
                        }
                        Residual::Sandwich => {
                            let mut sum = norm(post, &f(&norm(part, &x)?)?)?;
                            add(&mut sum, &x);
                            Ok(sum)
                        }
                        _ => {
                            let mut sum = f(&norm(part, &x)?)?;
                            add(&mut sum, &x);
                            Ok(sum)
                        }
                    }
                };
                x = sublayer(x, BlockPart::AttentionNorm, BlockPart::AttentionPostNorm, &mut |x| {
                    let [queries, values] = inputs.map_or([x, x], |[queries, values]| [queries, values]);
                    self.attention(id, stack, layer, queries, values, cache)
                })?;
                if block.cross_attention {
                    x = sublayer(x, BlockPart::CrossNorm, BlockPart::CrossNorm, &mut |x| {
                        self.cross_attention(stack, layer, x)
                    })?;
                }
                for (up, down, norm) in NETWORKS.into_iter().take(block.feed_forward.networks.into()) {
                    x = sublayer(x, norm, BlockPart::FeedForwardPostNorm, &mut |x| {
                        self.feed_forward(stack, role, up, down, x)
                    })?;
                }
                Ok(x)
            }
            Residual::Parallel | Residual::ParallelShared => {
                let normed = norm(BlockPart::AttentionNorm, &x)?;
                let attended = self.attention(id, stack, layer, &normed, &normed, cache)?;
                let second = match block.residual {
                    Residual::Parallel => norm(BlockPart::FeedForwardNorm, &x)?,
                    _ => normed,
                };
                add(&mut x, &attended);
                add(&mut x, &self.feed_forward(stack, role, BlockPart::Up, BlockPart::Down, &second)?);
                Ok(x)
            }
        }
    }

    fn feed_forward(
        &self,
        stack: &StackSpec,
        role: impl Fn(BlockPart) -> Role,
        up: BlockPart,
        down: BlockPart,
        x: &Rows,
    ) -> Result<Rows> {
        let network = &stack.block.feed_forward;
        let activate = |x: &mut Rows, kind: Activation| {
            x.values.iter_mut().for_each(|x| *x = tables::activation(kind, *x));
        };
        let mut inner = self.linear(role(up), x)?; // [tokens, intermediate_size]
        if network.gated {
            let mut gate = self.linear(role(BlockPart::Gate), x)?;
            activate(&mut gate, network.activation);
            inner.values.iter_mut().zip(&gate.values).for_each(|(x, gate)| *x *= gate);
        } else {
            activate(&mut inner, network.activation);
        }
        self.linear(role(down), &inner)
    }

    fn attention(
        &self,
        id: Stack,
        stack: &StackSpec,
        layer: usize,
        x: &Rows,
        values: &Rows,
        cache: &mut Cache,
    ) -> Result<Rows> {
        let spec = &stack.block.attention;
        let role = |part| Role::Block(id, stack.block_of(layer) as u16, part);
        let mut queries = self.linear(role(BlockPart::Query), x)?; // [tokens, heads * head_dim]
        let mut keys = self.linear(role(BlockPart::Key), x)?; // [tokens, kv_heads * head_dim]
        let values = self.linear(role(BlockPart::Value), values)?;
        let head_dim = usize::from(spec.head_dim);
        if let Some(norm) = &spec.query_key_norm {
            for (rows, part) in [(&mut queries, BlockPart::QueryNorm), (&mut keys, BlockPart::KeyNorm)] {
                let width = rows.width;
                rows.width = head_dim;
                *rows = self.norm(norm, role(part), rows)?;
                rows.width = width;
            }
        }
        let first = if id == Stack::Decoder { self.position } else { 0 };
        let window = spec.window_of(layer);
        let mut distances = Distances::None;
        match spec.position {
            AttentionPosition::None => {}
            AttentionPosition::Rotary { dims, local, layers } => {
                let part = if local && window.is_some() { StackPart::RotaryLocal } else { StackPart::Rotary };
                if layers >> layer & 1 == 1 {
                    let table = &self.tensor(Role::Stack(id, part))?.weight;
                    for rows in [&mut queries, &mut keys] {
                        attention::rotate(table, usize::from(dims), head_dim, first, rows);
                    }
                }
            }
            AttentionPosition::RelativeBias { distance } => {
                let table = &self.tensor(Role::Stack(id, StackPart::RelativeBias))?.weight;
                distances = Distances::Bias(attention::Bias { table, distance: distance as usize });
            }
            AttentionPosition::Disentangled { positions, content_to_position, position_to_content, .. } => {
                let vectors = |part, met: bool| met.then(|| self.tensor(role(part))).transpose();
                distances = Distances::Disentangled(attention::Disentangled {
                    index: &self.tensor(Role::Stack(id, StackPart::RelativeIndex))?.weight,
                    positions: positions.into(),
                    keys: vectors(BlockPart::PositionKey, content_to_position)?.map(|tensor| &tensor.weight[..]),
                    queries: vectors(BlockPart::PositionQuery, position_to_content)?.map(|tensor| &tensor.weight[..]),
                });
            }
        }
        self.narrow(spec, &mut keys.values);
        cache.keys.extend_from_slice(&keys.values);
        cache.values.extend_from_slice(&values.values);
        let causal = id == Stack::Decoder;
        let (mixed, score) =
            attention::attend(spec, attention::Mask { causal, first, window }, distances, &queries, cache);
        self.watch_score(score);
        self.linear(role(BlockPart::Output), &mixed)
    }

    fn cross_attention(&self, stack: &StackSpec, layer: usize, x: &Rows) -> Result<Rows> {
        let role = |part| Role::Block(Stack::Decoder, stack.block_of(layer) as u16, part);
        let queries = self.linear(role(BlockPart::CrossQuery), x)?;
        let everything = attention::Mask { causal: false, first: 0, window: None };
        let (mixed, score) =
            attention::attend(&stack.block.attention, everything, Distances::None, &queries, &self.cross[layer]);
        self.watch_score(score);
        self.linear(role(BlockPart::CrossOutput), &mixed)
    }

    fn token_table(&self, id: Stack) -> Role {
        let shared = self.spec.stack(id).is_some_and(|stack| stack.embedding.shared);
        Role::Stack(if shared { Stack::Encoder } else { id }, StackPart::TokenEmbedding)
    }

    fn linear(&self, role: Role, x: &Rows) -> Result<Rows> {
        let tensor = self.tensor(role)?;
        let out = linear(&tensor.weight, &tensor.bias, x);
        if let Some(calibration) = &self.calibration {
            calibration.borrow_mut().add(self.spec, role, x, &out);
        }
        Ok(out)
    }

    fn norm(&self, spec: &NormSpec, role: Role, x: &Rows) -> Result<Rows> {
        let tensor = self.tensor(role)?;
        let out = norm(spec, &tensor.weight, &tensor.bias, x);
        if let Some(calibration) = &self.calibration {
            calibration.borrow_mut().ranges.add(self.spec, role, x, &out);
        }
        Ok(out)
    }

    fn tensor(&self, role: Role) -> Result<&'a Tensor> {
        self.weights.get(role).with_context(|| format!("the weights lack {}", role_name(role)))
    }
}

fn pool(pooling: Pooling, hidden: &Rows) -> Result<Rows> {
    let mut rows = hidden.rows();
    let one = match pooling {
        Pooling::None | Pooling::LastExcept(_) | Pooling::AtLast(_) => return Ok(hidden.clone()),
        Pooling::First => rows.next().map(<[f32]>::to_vec),
        Pooling::Last => rows.next_back().map(<[f32]>::to_vec),
        Pooling::Mean => {
            let count = rows.len() as f32;
            let mut sum = vec![0.0; hidden.width];
            rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            sum.iter_mut().for_each(|x| *x /= count);
            Some(sum)
        }
    };
    Ok(Rows { width: hidden.width, values: one.context("there is nothing to pool")? })
}

#[cfg(test)]
mod tests;
