//! Computes the memory that a model needs from its specification.
//!
//! The converter writes the coefficients into the blob's prelude, where a constant can read them.

use super::layout::ALIGNMENT;
use super::spec::{ActivationWidth, AttentionPosition, KeyWidth, ModelSpec, Pooling, Residual, StackSpec};
use crate::error::RunError;
use crate::features;
use crate::fixed::Scale;

/// The most beams, that is texts a decoder generates together.
pub const MAX_BEAMS: usize = 8;

/// The size of the arena as a linear function of each stack's tokens, the tile and the window.
///
/// The cache of a short convolution holds the products of a tile's tokens and of the tokens before
/// it that the kernel reaches. So a pass that is begun again finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coefficients {
    /// Bytes that do not depend on lengths.
    fixed: u32,
    /// Bytes for each token of the decoder.
    per_token: u32,
    /// Bytes for each token of the encoder.
    per_source: u32,
    /// Bytes for each token of the decoder inside the window.
    per_window: u32,
    /// Bytes for each token of a tile.
    per_tile: u32,
    /// The window, 0 for none.
    window: u32,
    /// The default tile.
    pub(crate) tile: u32,
    /// Bytes for each token in the caches of the decoder's short convolutions.
    per_product: u32,
    /// The width of their kernels, 0 for none.
    kernel: u32,
}

impl Coefficients {
    pub(crate) const WORDS: usize = 9;

    pub(crate) const fn from_words(words: [u32; Self::WORDS]) -> Self {
        let [fixed, per_token, per_source, per_window, per_tile, window, tile, per_product, kernel] = words;
        Self { fixed, per_token, per_source, per_window, per_tile, window, tile, per_product, kernel }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn to_words(self) -> [u32; Self::WORDS] {
        let Self { fixed, per_token, per_source, per_window, per_tile, window, tile, per_product, kernel } = self;
        [fixed, per_token, per_source, per_window, per_tile, window, tile, per_product, kernel]
    }

    /// The coefficients for `spec`, or `None` if one exceeds 32 bits.
    pub(crate) fn new(spec: &ModelSpec) -> Option<Self> {
        let sizes = Sizes::new(spec);
        let word = |bytes: usize| u32::try_from(bytes).ok();
        let decoder = spec.decoder.as_ref();
        let sliding = decoder.map_or(0, |stack| stack.block.attention.sliding_layers.count_ones() as usize);
        let full = decoder.map_or(0, StackSpec::attending_layers).saturating_sub(sliding);
        let short = decoder.and_then(|stack| stack.convolution.short());
        let convolving = short.map_or(0, |short| short.layers.count_ones() as usize);
        let attended = sizes.score_bytes;
        Some(Self {
            fixed: word(sizes.fixed() + sizes.kept)?,
            per_token: word(if decoder.is_some() { full * sizes.decoder_cache + sizes.counted + attended } else { 0 })?,
            per_source: word(sizes.per_source + if spec.encoder.is_some() { attended } else { 0 })?,
            per_window: word(sliding * sizes.decoder_cache)?,
            per_tile: word(sizes.tile())?,
            window: decoder.map_or(0, |stack| stack.block.attention.window),
            tile: spec.numerics.tile.into(),
            per_product: word(convolving * decoder.map_or(0, product_bytes))?,
            kernel: short.map_or(0, |short| short.kernel_size.into()),
        })
    }

    /// Bytes of the decoder's caches for one beam. Saturates, as all sizes in this module do.
    pub(crate) const fn beam_bytes(&self, tokens: usize, tile: usize) -> u64 {
        let per_token = self.per_token.saturating_sub(SCORE_BYTES as u32);
        let slots = window_slots(tokens, self.window as usize, tile);
        times(per_token, round_up(tokens))
            .saturating_add(times(self.per_window, slots as u64))
            .saturating_add(self.product_bytes(tile))
    }

    /// Bytes of the caches of short convolutions for one beam.
    const fn product_bytes(&self, tile: usize) -> u64 {
        if features::SHORT_CONVOLUTIONS {
            times(self.per_product, product_slots(self.kernel as usize, tile) as u64)
        } else {
            0
        }
    }

    const fn bytes(&self, tokens: usize, source: usize, tile: usize) -> u64 {
        let slots = window_slots(tokens, self.window as usize, tile);
        (self.fixed as u64)
            .saturating_add(times(self.per_token, round_up(tokens)))
            .saturating_add(times(self.per_source, round_up(source)))
            .saturating_add(times(self.per_window, slots as u64))
            .saturating_add(times(self.per_tile, tile as u64))
            .saturating_add(self.product_bytes(tile))
    }

    pub(crate) const fn bytes_of_beams(&self, tokens: usize, source: usize, tile: usize, beams: usize) -> u64 {
        let more = (beams as u64).saturating_sub(1);
        self.bytes(tokens, source, tile).saturating_add(self.beam_bytes(tokens, tile).saturating_mul(more))
    }
}

/// Converts a number of bytes to `usize`, saturating.
pub(crate) const fn address(bytes: u64) -> usize {
    if bytes > usize::MAX as u64 { usize::MAX } else { bytes as usize }
}

/// `bytes * tokens`. The product fits 64 bits for up to 2^32 tokens, and saturates beyond.
const fn times(bytes: u32, tokens: u64) -> u64 {
    if bytes > 0 && tokens > 1 << 32 { u64::MAX } else { (bytes as u64).wrapping_mul(tokens) }
}

/// Rounds a number of tokens up to a multiple of the alignment.
const fn round_up(tokens: usize) -> u64 {
    (tokens as u64).saturating_add(ALIGNMENT as u64 - 1) / ALIGNMENT as u64 * ALIGNMENT as u64
}

/// Bytes of scores for each token that a query can see: its score, later its softmax weight.
pub(crate) const SCORE_BYTES: usize = 4;

/// Bytes of arena for a prefix of `tokens` tokens: their scores.
pub(crate) const fn prefix_bytes(tokens: usize) -> u64 {
    times(SCORE_BYTES as u32, round_up(tokens))
}

/// Cache slots of a layer with a window: the union of the windows of a tile's rows.
const fn window_slots(tokens: usize, window: usize, tile: usize) -> usize {
    let seen = window.saturating_add(tile).saturating_sub(1);
    address(round_up(if seen < tokens { seen } else { tokens }))
}

/// Cache slots of a short convolution: the tokens that the kernel reaches from those of a tile.
const fn product_slots(kernel: usize, tile: usize) -> usize {
    tile.saturating_add(kernel).saturating_sub(1)
}

/// Bytes for each token in the cache of a short convolution: a row of 16-bit numbers and its scale.
pub(crate) fn product_bytes(stack: &StackSpec) -> usize {
    (2 * stack.hidden_size as usize + Scale::BYTES).next_multiple_of(ALIGNMENT)
}

/// Bytes per token of the table of positions; 0 if the stack has no padding token.
fn count_bytes(stack: &StackSpec) -> usize {
    if stack.embedding.padding.is_some() { size_of::<u16>() } else { 0 }
}

/// Bytes of a row's scale in the arena, rounded up to its alignment.
pub(crate) const SCALE_BYTES: usize = ALIGNMENT;

/// Bytes of each buffer of the arena, for one row of a tile unless noted.
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    /// Bytes for a hidden state of an earlier tile, which the head reads; once for the session.
    pub(crate) kept: usize,
    /// Bytes for each token of the decoder, if it has a padding token.
    counted: usize,
    pub(crate) normed: usize,
    pub(crate) branch: usize,
    pub(crate) wide: usize,
    pub(crate) quantized: usize,
    pub(crate) query: usize,
    pub(crate) products: usize,
    /// Bytes by which the head's result exceeds one row of `wide`, where it is written.
    pub(crate) beyond_wide: usize,
    /// Bytes for each token: its score, later its softmax weight.
    pub(crate) score_bytes: usize,
    /// Bytes for each token in each layer's cache of the decoder.
    pub(crate) decoder_cache: usize,
    /// Bytes for each token of the encoder's input.
    pub(crate) per_source: usize,
    /// Bytes for each token in the encoder's cache, which its layers share.
    pub(crate) encoder_cache: usize,
}

/// The values that a row of a stack needs in each buffer that the stacks share:
/// [`normed`](Sizes::normed), `branch`, `wide`, `quantized`, `query` and `products`.
fn needs(stack: &StackSpec) -> [usize; 6] {
    let (block, hidden) = (&stack.block, stack.hidden_size as usize);
    let (attention, network) = (&block.attention, &block.feed_forward);
    let inner = network.intermediate_size as usize;
    let queries = attention.query_size();
    let input = hidden.max(stack.embedding.projected_size() as usize).max(block.inner_size(stack.hidden_size) as usize);
    // Attention's result while the parallel network runs, or the narrow stream of a bottleneck.
    let branch = match block.residual {
        Residual::Parallel | Residual::ParallelShared => hidden,
        _ => block.bottleneck.as_ref().map_or(0, |bottleneck| bottleneck.size as usize),
    };
    let convolved = stack.convolution.parallel().map_or(0, |c| usize::from(c.kernel_size) * hidden);
    let out_of_convolution = if convolved > 0 { convolved + hidden } else { 0 };
    let wide = (queries + 2 * attention.key_value_size())
        .max(if network.gated { 2 * inner } else { inner })
        .max(out_of_convolution)
        .max(if stack.convolution.short().is_some() { 2 * hidden } else { 0 });
    // Attention's results beside those of a dynamic convolution; queries, their products with keys,
    // and the kernels.
    let kernels = |size: u8| usize::from(attention.num_attention_heads) * usize::from(size);
    let (mixed, input, wide) = match stack.convolution.span() {
        Some(span) => (2 * queries, input.max(2 * queries), wide.max(2 * queries + kernels(span.kernel_size))),
        None => (queries, input, wide),
    };
    let products = match attention.position {
        AttentionPosition::Disentangled { positions, .. } => positions as usize,
        _ => 0,
    };
    [input, branch, wide, mixed.max(inner).max(input).max(convolved), attention.head_dim.into(), products]
}

impl Sizes {
    pub(crate) fn new(spec: &ModelSpec) -> Self {
        let (encoder, decoder, head) = (spec.encoder.as_ref(), spec.decoder.as_ref(), &spec.head);
        let mut most = [0; 6];
        for stack in [encoder, decoder].into_iter().flatten() {
            most.iter_mut().zip(needs(stack)).for_each(|(most, size)| *most = size.max(*most));
        }
        let [input, branch, wide, quantized, query, products] = most;
        let transformed = head.transform.as_ref().map_or(0, |transform| transform.size as usize);
        let per_value = match spec.numerics.activations {
            ActivationWidth::A8 => 1,
            ActivationWidth::A16 => 2,
        };
        let cache = |s: &StackSpec| layer_cache_bytes(s, spec.numerics.keys, 1);
        let encoder_cache = encoder.filter(|s| s.num_hidden_layers > 0).map_or(0, cache);
        let cross = decoder.filter(|s| s.block.cross_attention).map_or(0, |s| s.num_hidden_layers as usize * cache(s));
        let states = encoder.map_or(0, |s| 4 * s.hidden_size as usize);
        let logits = words(head.num_outputs as usize);
        let wide = words(wide);
        Self {
            hidden: decoder.map_or(0, |s| words(s.hidden_size as usize)),
            kept: match (decoder, head.pooling) {
                (Some(stack), Pooling::LastExcept(_) | Pooling::AtLast(_)) => words(stack.hidden_size as usize),
                _ => 0,
            },
            counted: decoder.map_or(0, count_bytes),
            normed: words(input.max(transformed)),
            branch: words(branch),
            wide,
            quantized: (per_value * quantized.max(transformed)).next_multiple_of(ALIGNMENT),
            query: (2 * query).next_multiple_of(ALIGNMENT),
            products: words(products),
            beyond_wide: logits.saturating_sub(wide),
            score_bytes: SCORE_BYTES,
            decoder_cache: decoder.map_or(0, cache),
            per_source: states + encoder_cache + cross,
            encoder_cache,
        }
    }

    pub(crate) fn fixed(&self) -> usize {
        self.query + self.products + self.beyond_wide
    }

    pub(crate) fn tile(&self) -> usize {
        self.hidden + self.normed + self.branch + self.wide + self.quantized + SCALE_BYTES
    }
}

/// Bytes of a buffer of `len` 32-bit values, padded to the alignment.
const fn words(len: usize) -> usize {
    (4 * len).next_multiple_of(ALIGNMENT)
}

/// The lengths that a session supports, and the memory that it needs for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    pub(crate) coefficients: Coefficients,
    pub(crate) tokens: usize,
    pub(crate) source: usize,
    pub(crate) tile: usize,
    pub(crate) beams: usize,
    prefix: usize,
}

impl MemoryPlan {
    /// A plan for up to `tokens` tokens of the decoder and `source` tokens of the encoder, which go
    /// through each layer `tile` at a time.
    ///
    /// # Errors
    /// [`RunError::TooManyTokens`] when the model has fewer positions; [`RunError::ModelTooLarge`]
    /// when a size exceeds 32 bits.
    pub fn new(spec: &ModelSpec, tokens: usize, source: usize, tile: usize) -> Result<Self, RunError> {
        let coefficients = Coefficients::new(spec).ok_or(RunError::ModelTooLarge)?;
        for (stack, given) in [(&spec.decoder, tokens), (&spec.encoder, source)] {
            let limit = stack.as_ref().map_or(usize::MAX, |stack| stack.max_positions as usize);
            if given > limit {
                return Err(RunError::TooManyTokens { limit, given });
            }
        }
        Ok(Self { coefficients, tokens, source, tile: tile.clamp(1, 1024), beams: 1, prefix: 0 })
    }

    /// A plan for `max_tokens` tokens in each stack and the blob's default tile. Its size is
    /// [`arena_bytes`](crate::arena_bytes).
    ///
    /// # Errors
    /// The errors of [`MemoryPlan::new`].
    pub fn standard(spec: &ModelSpec, max_tokens: usize) -> Result<Self, RunError> {
        Self::new(spec, max_tokens, max_tokens, spec.numerics.tile.into())
    }

    /// Adds the caches that [`beam_search`](crate::task::beam_search) needs for `beams` beams,
    /// clamped to `1 ..= MAX_BEAMS` ([`MAX_BEAMS`](crate::task::MAX_BEAMS)).
    #[must_use]
    pub const fn with_beams(self, beams: usize) -> Self {
        let beams = if beams < 1 { 1 } else { beams };
        Self { beams: if beams > MAX_BEAMS { MAX_BEAMS } else { beams }, ..self }
    }

    /// Adds room for a prefix of `tokens` tokens, whose keys and values stay outside the arena: see
    /// [`Session::set_prefix`](crate::Session::set_prefix).
    #[must_use]
    pub const fn with_prefix(self, tokens: usize) -> Self {
        Self { prefix: tokens, ..self }
    }

    /// The size of the arena in bytes.
    pub const fn bytes(&self) -> u64 {
        let bytes = self.coefficients.bytes_of_beams(self.tokens, self.source, self.tile, self.beams);
        bytes.saturating_add(prefix_bytes(self.prefix))
    }

    /// The longest prefix, in tokens.
    pub const fn prefix(&self) -> usize {
        self.prefix
    }

    /// An upper bound of the keys that a query sees.
    pub(crate) fn visible(&self, spec: &ModelSpec) -> usize {
        let (tokens, source) = self.rows(spec);
        tokens.saturating_add(source).saturating_add(address(round_up(self.prefix)))
    }

    /// The number of beams.
    pub const fn beams(&self) -> usize {
        self.beams
    }

    /// Bytes of the key and value caches of all layers and beams.
    pub fn cache_bytes(&self, spec: &ModelSpec) -> u64 {
        let sizes = Sizes::new(spec);
        let own = self.coefficients.beam_bytes(self.tokens, self.tile).saturating_mul(self.beams as u64);
        let states = spec.encoder.map_or(0, |s| 4 * u64::from(s.hidden_size));
        let of_source = (sizes.per_source as u64).saturating_sub(states).saturating_mul(round_up(self.source));
        own.saturating_add(of_source)
    }

    /// Bytes of the table that maps the decoder's tokens to positions; 0 if the stack has no
    /// padding token.
    pub(crate) fn counted_bytes(&self, stack: &StackSpec) -> usize {
        address(round_up(self.tokens)).saturating_mul(count_bytes(stack))
    }

    /// The capacity of the buffers, in tokens of the decoder and of the encoder; 0 for a stack that
    /// the model lacks.
    pub(crate) fn rows(&self, spec: &ModelSpec) -> (usize, usize) {
        let rows = |stack: bool, tokens: usize| if stack { address(round_up(tokens)) } else { 0 };
        (rows(spec.decoder.is_some(), self.tokens), rows(spec.encoder.is_some(), self.source))
    }

    /// Tokens that go through a layer together.
    pub const fn tile(&self) -> usize {
        self.tile
    }

    /// The longest sequence of the decoder, prompt included.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// The longest input of the encoder.
    pub const fn source(&self) -> usize {
        self.source
    }
}

/// Bytes of one layer's keys and values, with their scales, for `slots` tokens.
pub(crate) fn layer_cache_bytes(stack: &StackSpec, width: KeyWidth, slots: usize) -> usize {
    let attention = &stack.block.attention;
    let key_bytes = match width {
        KeyWidth::K8 => 1,
        KeyWidth::K16 => 2,
    };
    let heads = stack.cached_heads();
    (heads * attention.head_dim as usize * (key_bytes + 1) + heads * 2 * Scale::BYTES) * slots
}

/// Bytes of the cache of a decoder's layer with `slots` slots.
#[inline(always)]
pub(crate) fn decoder_layer_bytes(stack: &StackSpec, layer: usize, width: KeyWidth, slots: usize) -> usize {
    match stack.short_convolution(layer) {
        Some(_) => product_bytes(stack) * slots,
        None => layer_cache_bytes(stack, width, slots),
    }
}

/// The number of cache slots of a decoder's layer.
pub(crate) fn decoder_slots(stack: &StackSpec, layer: usize, plan: &MemoryPlan) -> usize {
    if let Some(convolution) = stack.short_convolution(layer) {
        return product_slots(convolution.kernel_size.into(), plan.tile);
    }
    match stack.block.attention.window_of(layer) {
        Some(window) => window_slots(plan.tokens, window, plan.tile),
        None => address(round_up(plan.tokens)),
    }
}
