//! Computes a transformer block, for every architecture.
//!
//! The code follows the papers: norm, attention, add, norm, feed-forward, add. Architectures differ
//! by a `match` on the specification.

mod short;
mod span;

use crate::attention::{Attention, Disentangled, RelativeBias};
use crate::cache::KeyValueCache;
use crate::features;
use crate::format::layout::{BlockPart, HeadPart, NETWORKS, Role, Stack, StackPart};
use crate::format::spec::{ActivationWidth, AttentionPosition, BottleneckAttention, Residual, at_least_one};
use crate::kernels::Kernels;
use crate::model::{Halfwords, Matrix, StackView};
use crate::ops::activation::activate;
use crate::ops::linear::{QuantizedRows, quantize_rows};
use crate::ops::norm::norm;
use crate::step::{Step, VALUE};
use crate::threads::Others;
use crate::workspace::Scratch;

/// One layer of a stack, which processes a tile of tokens.
pub(crate) struct Block<'a, 'm> {
    stack: StackView<'a, 'm>,
    layer: usize,
    /// The stored block that the layer runs.
    block: u16,
    kernels: &'static Kernels,
    /// Threads that share each matrix product.
    others: Others,
    attention: Attention<'m>,
    rotary: Option<(Halfwords<'m>, usize)>,
    width: ActivationWidth,
    fraction_bits: u8,
}

impl<'a: 'm, 'm> Block<'a, 'm> {
    pub(crate) fn new(stack: StackView<'a, 'm>, layer: usize, kernels: &'static Kernels, others: Others) -> Self {
        let spec = &stack.spec.block.attention;
        let block = stack.spec.block_of(layer) as u16;
        let numerics = &stack.model.spec().numerics;
        let table = |part| stack.model.halfwords(Role::Stack(stack.id, part));
        let sliding = spec.window_of(layer).is_some();
        let (mut rotary, mut relative_bias) = (None, RelativeBias::default());
        let mut disentangled = Disentangled::default();
        match spec.position {
            _ if !features::RELATIVE_ATTENTION && !matches!(spec.position, AttentionPosition::Rotary { .. }) => {}
            AttentionPosition::None => {}
            AttentionPosition::Rotary { dims, local, layers } => {
                let part = if local && sliding { StackPart::RotaryLocal } else { StackPart::Rotary };
                rotary = (layers >> layer & 1 == 1).then(|| (table(part), dims as usize));
            }
            AttentionPosition::RelativeBias { distance } | AttentionPosition::LayerRelativeBias { distance } => {
                let table = stack.model.words(Role::Stack(stack.id, StackPart::RelativeBias));
                let bidirectional = stack.id == Stack::Encoder;
                let distances = distance as usize * if bidirectional { 2 } else { 1 } + 1;
                let first = match spec.position {
                    AttentionPosition::LayerRelativeBias { .. } => {
                        layer * spec.num_attention_heads as usize * distances
                    }
                    _ => 0,
                };
                relative_bias = RelativeBias { table: table.from(first), distance: distance as usize, bidirectional };
            }
            AttentionPosition::Disentangled { positions, .. } => {
                disentangled = Disentangled {
                    index: table(StackPart::RelativeIndex),
                    positions: positions as usize,
                    keys: stack.block_matrix(block, BlockPart::PositionKey),
                    queries: stack.block_matrix(block, BlockPart::PositionQuery),
                };
            }
        }
        let tanh_table = match spec.soft_cap {
            Some(_) => stack.model.halfwords(Role::Head(HeadPart::TanhTable)),
            None => Halfwords::default(),
        };
        let fraction_bits = numerics.fraction_bits;
        let attention = Attention { spec, kernels, fraction_bits, tanh_table, relative_bias, disentangled };
        Self { stack, layer, block, kernels, others, attention, rotary, width: numerics.activations, fraction_bits }
    }

    fn hidden_size(&self) -> usize {
        self.stack.hidden_size()
    }

    fn matrix(&self, part: BlockPart) -> Matrix<'m> {
        self.stack.block_matrix(self.block, part)
    }

    /// Width of the residual stream that attention and the feed-forward networks read.
    fn inner_size(&self) -> usize {
        at_least_one(self.stack.spec.block.inner_size(self.stack.spec.hidden_size) as usize)
    }

    /// Normalizes rows in place, each as wide as the norm.
    fn norm(&self, part: BlockPart, rows: &mut [i32]) {
        let numbers = self.stack.block_norm(self.block, part);
        for row in rows.chunks_exact_mut(numbers.weight.len().max(1)) {
            norm(self.kernels, &self.stack.spec.block.norm, &numbers, self.fraction_bits, row);
        }
    }

    /// Quantizes the input of a sublayer: `x`, or its norm in pre-norm blocks.
    fn sublayer_input(&self, part: BlockPart, x: &[i32], scratch: &mut Scratch<'_>) {
        if !scratch.step.takes(x.len() * 2 * VALUE) {
            return;
        }
        let block = &self.stack.spec.block;
        let skipped = block.skip_first_norm && self.layer == 0 && part == BlockPart::AttentionNorm;
        let first = !matches!(block.residual, Residual::PostNorm | Residual::OutputNorm);
        let input = if !first || skipped {
            x
        } else {
            let normed = scratch.normed.get_mut(..x.len()).unwrap_or(&mut []);
            copy(normed, x);
            self.norm(part, normed);
            normed
        };
        quantize_rows(self.kernels, self.width, input, self.inner_size(), scratch.quantized, scratch.scales);
    }

    /// Adds a sublayer's result, in `scratch.normed`, to the residual stream.
    fn residual(&self, part: BlockPart, post: BlockPart, x: &mut [i32], scratch: &mut Scratch<'_>) {
        if !scratch.step.takes(x.len() * VALUE) {
            return;
        }
        let result = scratch.normed.get_mut(..x.len()).unwrap_or(&mut []);
        match self.stack.spec.block.residual {
            Residual::PreNorm | Residual::Parallel | Residual::ParallelShared => (self.kernels.add)(x, result),
            Residual::PostNorm => {
                (self.kernels.add)(x, result);
                self.norm(part, x);
            }
            Residual::Sandwich | Residual::OutputNorm => {
                let own = self.stack.spec.block.residual == Residual::OutputNorm;
                self.norm(if own { part } else { post }, result);
                (self.kernels.add)(x, result);
            }
        }
    }

    /// Prepares a tile for [`store`](Self::store) and [`forward`](Self::forward).
    ///
    /// Writes the input of queries and keys to `scratch.quantized`, and the narrow stream of a
    /// bottleneck to `scratch.branch`. Both calls read them, so nothing else may use `scratch` in
    /// between. `forward` may follow `store` directly, except with
    /// [`BottleneckAttention::Shared`].
    ///
    /// The three functions may take several steps: see [`Step`].
    pub(crate) fn prepare(&self, x: &[i32], scratch: &mut Scratch<'_>) {
        let bottleneck = self.stack.spec.block.bottleneck.as_ref().filter(|_| features::BOTTLENECKS);
        let Some(bottleneck) = bottleneck else {
            return self.sublayer_input(BlockPart::AttentionNorm, x, scratch);
        };
        let tokens = x.len() / self.hidden_size();
        let size = bottleneck.size as usize;
        self.quantize(x, self.hidden_size(), scratch);
        let wide = QuantizedRows::new(self.width, tokens, self.hidden_size(), scratch.quantized, scratch.scales);
        let narrow = scratch.branch.get_mut(..tokens * size).unwrap_or(&mut []);
        let step = &mut scratch.step;
        self.linear(&wide, &self.matrix(BlockPart::Narrow), step, scratch.normed, narrow);
        if step.takes(narrow.len() * VALUE) {
            self.norm(BlockPart::NarrowNorm, narrow);
        }
        let input = match bottleneck.attention {
            BottleneckAttention::Wide => return,
            BottleneckAttention::Narrow => narrow,
            BottleneckAttention::Shared => {
                let shared = scratch.normed.get_mut(..tokens * size).unwrap_or(&mut []);
                self.linear(&wide, &self.matrix(BlockPart::NarrowShared), step, scratch.wide, shared);
                if step.takes(shared.len() * VALUE) {
                    self.norm(BlockPart::NarrowSharedNorm, shared);
                }
                shared
            }
        };
        if step.takes(input.len() * VALUE) {
            quantize_rows(self.kernels, self.width, input, size, scratch.quantized, scratch.scales);
        }
    }

    /// Stores the keys and values of a prepared tile in the cache, or their products.
    pub(crate) fn store(&self, x: &[i32], start: usize, cache: &mut KeyValueCache<'_>, scratch: &mut Scratch<'_>) {
        let tokens = x.len() / self.hidden_size();
        if self.convolves() {
            return self.store_products(tokens, start, cache, scratch);
        }
        self.project(BlockPart::Key, 0, tokens, scratch);
        let separate = self.stack.spec.block.bottleneck.is_some_and(|b| b.attention == BottleneckAttention::Shared);
        if separate {
            self.quantize(x, self.hidden_size(), scratch);
        }
        self.project(BlockPart::Value, tokens * self.attention.spec.key_value_size(), tokens, scratch);
        self.cache(tokens, start, true, cache, scratch);
    }

    /// Stores the keys and values of the encoder's output, for cross-attention.
    pub(crate) fn store_cross(
        &self,
        states: &[i32],
        start: usize,
        cache: &mut KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let tokens = states.len() / self.hidden_size();
        self.quantize(states, self.hidden_size(), scratch);
        self.project(BlockPart::CrossKey, 0, tokens, scratch);
        self.project(BlockPart::CrossValue, tokens * self.attention.spec.key_value_size(), tokens, scratch);
        self.cache(tokens, start, false, cache, scratch);
    }

    fn linear(&self, x: &QuantizedRows<'_>, matrix: &Matrix<'_>, step: &mut Step, room: &mut [i32], out: &mut [i32]) {
        self.others.linear_in_parts(self.kernels, x, matrix, step, room, out);
    }

    /// Quantizes rows of `cols` values, as one part of a step.
    fn quantize(&self, rows: &[i32], cols: usize, scratch: &mut Scratch<'_>) {
        if scratch.step.takes(rows.len() * VALUE) {
            quantize_rows(self.kernels, self.width, rows, cols, scratch.quantized, scratch.scales);
        }
    }

    /// Multiplies the quantized tile by a matrix, and writes the result to `scratch.wide` from `to`
    /// on. Overwrites `scratch.normed`.
    fn project(&self, part: BlockPart, to: usize, tokens: usize, scratch: &mut Scratch<'_>) {
        let matrix = self.matrix(part);
        let x = QuantizedRows::new(self.width, tokens, matrix.cols, scratch.quantized, scratch.scales);
        let out = scratch.wide.get_mut(to..to + tokens * matrix.rows).unwrap_or(&mut []);
        self.linear(&x, &matrix, &mut scratch.step, scratch.normed, out);
    }

    /// Moves the keys and values in `scratch.wide` to the cache.
    fn cache(
        &self,
        tokens: usize,
        start: usize,
        positioned: bool,
        cache: &mut KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let width = self.attention.spec.key_value_size();
        if !scratch.step.takes(2 * tokens * width * VALUE) {
            return;
        }
        let Some((keys, values)) =
            scratch.wide.get_mut(..2 * tokens * width).and_then(|wide| wide.split_at_mut_checked(tokens * width))
        else {
            return;
        };
        for (token, keys) in keys.chunks_exact_mut(width.max(1)).enumerate() {
            let values = values.get(token * width..).and_then(|values| values.get(..width)).unwrap_or(&[]);
            if positioned {
                self.position(BlockPart::KeyNorm, start + token, keys);
            }
            self.attention.store(cache, start + token, keys, values);
        }
    }

    /// Applies the query-key norm and the rotary embedding, if the model has them, to a row of
    /// queries or keys.
    fn position(&self, part: BlockPart, position: usize, row: &mut [i32]) {
        let head_dim = self.attention.spec.head_size();
        if let Some((spec, _)) = self.attention.spec.query_key_norm.over(row.len() / head_dim) {
            let numbers = self.stack.block_norm(self.block, part);
            for part in row.chunks_exact_mut(numbers.weight.len().max(1)) {
                norm(self.kernels, &spec, &numbers, self.fraction_bits, part);
            }
        }
        if let Some((table, dims)) = self.rotary {
            (self.kernels.rotate)(row, table.row(position * dims, dims), head_dim);
        }
    }

    /// Computes the block in place for a prepared tile, whose keys and values are stored.
    ///
    /// `start` is the position of the tile's first token, and `stored` is the number of positions
    /// in the cache. `cross` has the encoder's keys and values, and their number.
    pub(crate) fn forward(
        &self,
        x: &mut [i32],
        start: usize,
        stored: usize,
        cache: &KeyValueCache<'_>,
        cross: Option<(&KeyValueCache<'_>, usize)>,
        scratch: &mut Scratch<'_>,
    ) {
        if self.stack.spec.block.bottleneck.is_none() || !features::BOTTLENECKS {
            return self.sublayers(x, start, stored, cache, cross, scratch);
        }
        let tokens = x.len() / self.hidden_size();
        let size = self.inner_size();
        let branch = core::mem::take(&mut scratch.branch);
        let narrow = branch.get_mut(..tokens * size).unwrap_or(&mut []);
        self.sublayers(narrow, start, stored, cache, cross, scratch);
        self.quantize(narrow, size, scratch);
        scratch.branch = branch;
        let inside = QuantizedRows::new(self.width, tokens, size, scratch.quantized, scratch.scales);
        self.linear(&inside, &self.matrix(BlockPart::Widen), &mut scratch.step, scratch.wide, scratch.normed);
        if scratch.step.takes(x.len() * VALUE) {
            (self.kernels.add)(x, scratch.normed);
            self.norm(BlockPart::WidenNorm, x);
        }
    }

    /// Computes attention, or what replaces it, and the feed-forward networks, with norms and residual
    /// connections.
    fn sublayers(
        &self,
        x: &mut [i32],
        start: usize,
        stored: usize,
        cache: &KeyValueCache<'_>,
        cross: Option<(&KeyValueCache<'_>, usize)>,
        scratch: &mut Scratch<'_>,
    ) {
        use BlockPart::{AttentionNorm, AttentionPostNorm, CrossNorm, FeedForwardPostNorm};
        let size = x.len();
        let tokens = size / self.inner_size();

        if self.convolves() {
            self.convolve(tokens, start, cache, scratch);
        } else {
            self.attend(Reach::Own { stored }, tokens, start, cache, scratch);
        }
        match self.stack.spec.block.residual {
            Residual::Parallel | Residual::ParallelShared => {
                if scratch.step.takes(size) {
                    copy(scratch.branch, scratch.normed.get(..size).unwrap_or(&[]));
                }
            }
            _ => self.residual(AttentionNorm, AttentionPostNorm, x, scratch),
        }

        if let Some((cache, source)) = cross.filter(|_| features::CROSS_ATTENTION) {
            self.sublayer_input(CrossNorm, x, scratch);
            self.attend_cross(source, tokens, start, cache, scratch);
            self.residual(CrossNorm, CrossNorm, x, scratch);
        }

        let shared = self.stack.spec.block.residual == Residual::ParallelShared;
        let networks = if features::BOTTLENECKS { self.stack.spec.block.feed_forward.networks as usize } else { 1 };
        for (up, down, norm) in NETWORKS.into_iter().take(networks) {
            self.sublayer_input(if shared { AttentionNorm } else { norm }, x, scratch);
            self.feed_forward(up, down, tokens, scratch);
            if let (Residual::Parallel | Residual::ParallelShared, Some(branch)) =
                (self.stack.spec.block.residual, scratch.branch.get(..size))
                && scratch.step.takes(size)
            {
                (self.kernels.add)(x, branch);
            }
            self.residual(norm, FeedForwardPostNorm, x, scratch);
        }
    }

    /// The positions that a query sees.
    fn visible(&self, position: usize, stored: usize) -> core::ops::Range<usize> {
        let window = self.attention.spec.window_of(self.layer);
        match (self.stack.id, window) {
            (Stack::Decoder, None) => 0..position + 1,
            (Stack::Decoder, Some(window)) => (position + 1).saturating_sub(window)..position + 1,
            (Stack::Encoder, None) => 0..stored,
            (Stack::Encoder, Some(window)) => position.saturating_sub(window)..(position + window + 1).min(stored),
        }
    }

    /// Computes attention for the quantized tile, with its result in `scratch.normed`.
    #[inline(never)]
    fn attend(&self, reach: Reach, tokens: usize, start: usize, cache: &KeyValueCache<'_>, scratch: &mut Scratch<'_>) {
        let width = self.attention.spec.query_size();
        let (query, output) = match reach {
            Reach::Own { .. } => (BlockPart::Query, BlockPart::Output),
            Reach::Cross { .. } => (BlockPart::CrossQuery, BlockPart::CrossOutput),
        };
        self.project(query, 0, tokens, scratch);
        if let (Some(span), Reach::Own { stored }) = (self.span(), reach) {
            self.convolve_span(span, (tokens, start, stored), cache, scratch);
        }
        let Some(queries) = scratch.wide.get_mut(..tokens * width) else { return };
        let visible = |token: usize| match reach {
            Reach::Own { stored } => self.visible(start + token, stored),
            Reach::Cross { source } => 0..source,
        };
        // All tokens are one part if kernels may attend to several at once.
        let together = if cfg!(feature = "std") { tokens } else { 1 };
        for (index, rows) in queries.chunks_mut((together * width).max(1)).enumerate() {
            let first = index * together;
            if !scratch.step.takes(together * self.attention.products(visible(first).len())) {
                continue;
            }
            if matches!(reach, Reach::Own { .. }) {
                for (token, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                    self.position(BlockPart::QueryNorm, start + first + token, row);
                }
            }
            #[cfg(feature = "std")]
            if self.attention.attend_together(cache, rows, &|token| visible(first + token)) {
                continue;
            }
            for (token, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                let token = first + token;
                self.attention.attend(cache, start + token, visible(token), row, &mut scratch.head);
            }
        }
        let mixed = if self.has_span() { 2 * width } else { width };
        if scratch.step.takes(tokens * mixed * VALUE) {
            let rows = if self.has_span() { beside(queries, scratch.normed, width) } else { queries };
            quantize_rows(self.kernels, self.width, rows, mixed, scratch.quantized, scratch.scales);
        }
        let context = QuantizedRows::new(self.width, tokens, mixed, scratch.quantized, scratch.scales);
        self.linear(&context, &self.matrix(output), &mut scratch.step, scratch.wide, scratch.normed);
    }

    /// [`attend`](Self::attend) to the encoder's tokens, without distance terms.
    #[inline(never)]
    fn attend_cross(
        &self,
        source: usize,
        tokens: usize,
        start: usize,
        cache: &KeyValueCache<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let reach = Reach::Cross { source };
        if self.attention.relative_bias.table.is_empty() || !features::RELATIVE_ATTENTION {
            return self.attend(reach, tokens, start, cache, scratch);
        }
        let attention = Attention { relative_bias: RelativeBias::default(), ..self.attention };
        Block { attention, others: self.others.clone(), ..*self }.attend(reach, tokens, start, cache, scratch);
    }

    /// Computes a feed-forward network for the quantized tile, with its result in `scratch.normed`.
    fn feed_forward(&self, up: BlockPart, down: BlockPart, tokens: usize, scratch: &mut Scratch<'_>) {
        let spec = &self.stack.spec.block.feed_forward;
        let inner = spec.intermediate_size as usize;
        let table = self.stack.model.halfwords(Role::Stack(self.stack.id, StackPart::ActivationTable));
        self.project(up, 0, tokens, scratch);
        if spec.gated {
            self.project(BlockPart::Gate, tokens * inner, tokens, scratch);
        }
        let Some((up, gate)) = scratch.wide.split_at_mut_checked(tokens * inner) else { return };
        if scratch.step.takes(2 * up.len() * VALUE) {
            if spec.gated {
                let gate = gate.get_mut(..tokens * inner).unwrap_or(&mut []);
                activate(self.kernels, spec.activation, table, self.fraction_bits, gate);
                (self.kernels.gate)(up, gate, self.fraction_bits.into());
            } else {
                activate(self.kernels, spec.activation, table, self.fraction_bits, up);
            }
            quantize_rows(self.kernels, self.width, up, inner, scratch.quantized, scratch.scales);
        }
        let inside = QuantizedRows::new(self.width, tokens, inner, scratch.quantized, scratch.scales);
        self.linear(&inside, &self.matrix(down), &mut scratch.step, scratch.wide, scratch.normed);
    }
}

/// The keys and values that attention reads.
#[derive(Clone, Copy)]
enum Reach {
    /// Keys and values of the stack's own tokens, of which the cache holds `stored`.
    Own { stored: usize },
    /// Keys and values of all `source` tokens of the encoder.
    Cross { source: usize },
}

/// Copies rows of attention's results, `width` wide, beside those of the convolution in `rows`.
fn beside<'r>(results: &[i32], rows: &'r mut [i32], width: usize) -> &'r [i32] {
    let rows = rows.get_mut(..2 * results.len()).unwrap_or(&mut []);
    for (index, row) in rows.chunks_exact_mut((2 * width).max(1)).enumerate() {
        let results = results.get(index * width..(index + 1) * width).unwrap_or(&[]);
        copy(row.get_mut(..width).unwrap_or(&mut []), results);
    }
    rows
}

/// Copies `from` to `to`, up to the shorter length. Copying eight values at a time takes few
/// instructions on a core with load-multiple; `memcpy` takes three instructions per value there.
pub(crate) fn copy(to: &mut [i32], from: &[i32]) {
    for (to, from) in to.as_chunks_mut::<8>().0.iter_mut().zip(from.as_chunks::<8>().0) {
        *to = *from;
    }
    let done = to.len().min(from.len()) & !7;
    for (to, &from) in to.iter_mut().zip(from).skip(done) {
        *to = from;
    }
}
