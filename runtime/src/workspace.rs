//! Every byte the runtime will ever use, and what it is for.
//!
//! The caller lends one aligned buffer, the *arena*. [`MemoryPlan`] says how large it must be, the same on the
//! host and on the device, and the coefficients behind it stand in the blob's prelude, where a `const fn` reads
//! them: [`arena_bytes`] sizes a static buffer from the very bytes that are flashed.

use bytemuck::{Pod, try_cast_slice_mut};

use crate::fixed::Scale;
use crate::format::blob::plan_words;
use crate::format::error::Error;
use crate::format::layout::ALIGNMENT;
use crate::format::spec::{ActivationWidth, AttentionPosition, KeyWidth, ModelSpec, Residual, StackSpec};
use crate::task::MAX_BEAMS;

/// Bytes aligned as a blob and an arena must be.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// Bytes of arena that a model needs for up to `max_tokens` tokens (of input, and of output), as a constant.
///
/// `usize::MAX`, which no memory has, when the bytes do not begin as a blob of this version does, or ask for more than can be
/// addressed: [`arena!`] of that length does not compile, and a buffer is too small for it when the program runs.
/// [`Model::from_bytes`](crate::Model::from_bytes) checks that what a blob says of its memory is true.
///
/// ```
/// # const MODEL: &[u8] = &[0; 64];
/// const ARENA: usize = kinglet::arena_bytes(MODEL, 128);
/// assert_eq!(ARENA, usize::MAX, "zeros are no blob");
/// ```
pub const fn arena_bytes(blob: &[u8], max_tokens: usize) -> usize {
    arena_bytes_seq2seq(blob, max_tokens, max_tokens)
}

/// As [`arena_bytes`], for an encoder-decoder that reads up to `source` tokens and writes up to `target`.
pub const fn arena_bytes_seq2seq(blob: &[u8], source: usize, target: usize) -> usize {
    arena_bytes_beams(blob, source, target, 1)
}

/// As [`arena_bytes_seq2seq`], for searching with several beams.
pub const fn arena_bytes_beams(blob: &[u8], source: usize, target: usize, beams: usize) -> usize {
    let Some(words) = plan_words(blob) else { return usize::MAX };
    let coefficients = Coefficients::from_words(words);
    let tile = coefficients.tile as usize;
    address(coefficients.bytes_of_beams(target, source, tile, beams))
}

/// A number of bytes as the machine counts them.
const fn address(bytes: u64) -> usize {
    if bytes > usize::MAX as u64 { usize::MAX } else { bytes as usize }
}

/// A static arena, aligned as it must be: `static ARENA: StaticCell<Aligned<[u8; N]>>`, or on the stack `arena!(N)`.
///
/// ```
/// let mut arena = kinglet::arena!(1024);
/// assert_eq!(arena.0.len(), 1024);
/// ```
///
/// What is no blob of this version has no arena:
///
/// ```compile_fail
/// const MODEL: &[u8] = b"of an older version";
/// let mut arena = kinglet::arena!(kinglet::arena_bytes(MODEL, 128));
/// ```
#[macro_export]
macro_rules! arena {
    ($bytes:expr) => {
        $crate::Aligned([0u8; $crate::arena_len($bytes)])
    };
}

/// What [`arena!`] is long, which is a constant: that there is none does not compile.
#[doc(hidden)]
pub const fn arena_len(bytes: usize) -> usize {
    assert!(
        bytes != usize::MAX,
        "the bytes are no blob of this version of kinglet, or it needs more memory than there can be: convert the checkpoint again"
    );
    bytes
}

/// Embeds a blob in the program, aligned as it must be; usable in a `const`.
///
/// ```
/// // Any file will do to show the alignment; a real one is `include_model!("../model.kinglet")`.
/// const MODEL: &[u8] = kinglet::include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
/// assert_eq!(MODEL.as_ptr().addr() % 16, 0);
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr) => {{
        const MODEL: &$crate::Aligned<[u8]> = &$crate::Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}

/// How the arena grows: with the tokens of each stack, the tile, and the window of sliding layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coefficients {
    /// Bytes in any case.
    fixed: u32,
    /// Bytes for each token of the decoder.
    per_token: u32,
    /// Bytes for each token of the encoder.
    per_source: u32,
    /// Bytes for each token of the decoder that a window can see.
    per_window: u32,
    /// Bytes for each token of a tile.
    per_tile: u32,
    /// The window, 0 for none.
    window: u32,
    /// The tile unless the caller asks otherwise.
    pub(crate) tile: u32,
}

impl Coefficients {
    pub(crate) const WORDS: usize = 7;

    pub(crate) const fn from_words(words: [u32; Self::WORDS]) -> Self {
        let [fixed, per_token, per_source, per_window, per_tile, window, tile] = words;
        Self { fixed, per_token, per_source, per_window, per_tile, window, tile }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn to_words(self) -> [u32; Self::WORDS] {
        [self.fixed, self.per_token, self.per_source, self.per_window, self.per_tile, self.window, self.tile]
    }

    /// Of a model; `None` when they do not fit 32 bits.
    pub(crate) fn new(spec: &ModelSpec) -> Option<Self> {
        let sizes = Sizes::new(spec);
        let word = |bytes: usize| u32::try_from(bytes).ok();
        let decoder = spec.decoder.as_ref();
        let sliding = decoder.map_or(0, |stack| stack.block.attention.sliding_layers.count_ones() as usize);
        let full = decoder.map_or(0, |stack| stack.num_hidden_layers as usize).saturating_sub(sliding);
        let attended = sizes.score_bytes;
        Some(Self {
            fixed: word(sizes.fixed())?,
            per_token: word(if decoder.is_some() { full * sizes.decoder_cache + attended } else { 0 })?,
            per_source: word(sizes.per_source + if spec.encoder.is_some() { attended } else { 0 })?,
            per_window: word(sliding * sizes.decoder_cache)?,
            per_tile: word(sizes.tile())?,
            window: decoder.map_or(0, |stack| stack.block.attention.window),
            tile: spec.numerics.tile.into(),
        })
    }

    /// The decoder's caches for one text. As all that follows, total: what is too much stays too much, and nothing overflows.
    const fn beam_bytes(&self, tokens: usize, tile: usize) -> u64 {
        let per_token = self.per_token.saturating_sub(SCORE_BYTES as u32);
        let slots = window_slots(tokens, self.window as usize, tile);
        times(per_token, round_up(tokens)).saturating_add(times(self.per_window, slots as u64))
    }

    const fn bytes(&self, tokens: usize, source: usize, tile: usize) -> u64 {
        let slots = window_slots(tokens, self.window as usize, tile);
        (self.fixed as u64)
            .saturating_add(times(self.per_token, round_up(tokens)))
            .saturating_add(times(self.per_source, round_up(source)))
            .saturating_add(times(self.per_window, slots as u64))
            .saturating_add(times(self.per_tile, tile as u64))
    }

    const fn bytes_of_beams(&self, tokens: usize, source: usize, tile: usize, beams: usize) -> u64 {
        let more = (beams as u64).saturating_sub(1);
        self.bytes(tokens, source, tile).saturating_add(self.beam_bytes(tokens, tile).saturating_mul(more))
    }
}

/// Bytes of some tokens. A product with up to 2^32 fits, and no 32-bit machine can have more.
const fn times(bytes: u32, tokens: u64) -> u64 {
    if bytes > 0 && tokens > 1 << 32 { u64::MAX } else { (bytes as u64).wrapping_mul(tokens) }
}

/// Tokens in whole units of the alignment.
const fn round_up(tokens: usize) -> u64 {
    (tokens as u64).saturating_add(ALIGNMENT as u64 - 1) / ALIGNMENT as u64 * ALIGNMENT as u64
}

/// Bytes for each token that a query can see: its score, then its weight.
const SCORE_BYTES: usize = 4;

/// Cache slots of a layer with a window: what the rows of a tile can see together, at most.
const fn window_slots(tokens: usize, window: usize, tile: usize) -> usize {
    let seen = window.saturating_add(tile).saturating_sub(1);
    address(round_up(if seen < tokens { seen } else { tokens }))
}

/// Bytes of a row's scale in the arena, a whole unit of its alignment.
const SCALE_BYTES: usize = ALIGNMENT;

/// Bytes of each buffer: of one row of a tile, or of the whole.
struct Sizes {
    hidden: usize,
    normed: usize,
    branch: usize,
    wide: usize,
    quantized: usize,
    query: usize,
    products: usize,
    /// What the head's result takes beyond one row of `wide`, in which it lies.
    beyond_wide: usize,
    /// Of one token: its score, then its weight.
    score_bytes: usize,
    /// Of one token in one layer of the decoder.
    decoder_cache: usize,
    /// Of one token of the source.
    per_source: usize,
    /// Of one token in the encoder's cache, which its layers share.
    encoder_cache: usize,
}

/// What a stack needs of the buffers that both share, in values of a row: [`normed`](Sizes::normed), `branch`, `wide`, `quantized`,
/// `query` and `products`.
fn needs(stack: &StackSpec) -> [usize; 6] {
    let (block, hidden) = (&stack.block, stack.hidden_size as usize);
    let (attention, network) = (&block.attention, &block.feed_forward);
    let inner = network.intermediate_size as usize;
    let queries = attention.query_size();
    let input = hidden.max(stack.embedding.projected_size() as usize).max(block.inner_size(stack.hidden_size) as usize);
    // Attention's result beside the network's, or the narrow stream of a bottleneck.
    let branch = match block.residual {
        Residual::Parallel | Residual::ParallelShared => hidden,
        _ => block.bottleneck.as_ref().map_or(0, |bottleneck| bottleneck.size as usize),
    };
    let convolved = stack.convolution.as_ref().map_or(0, |c| usize::from(c.kernel_size) * hidden);
    let out_of_convolution = if convolved > 0 { convolved + hidden } else { 0 };
    let wide = (queries + 2 * attention.key_value_size())
        .max(if network.gated { 2 * inner } else { inner })
        .max(out_of_convolution);
    let products = match attention.position {
        AttentionPosition::Disentangled { positions, .. } => positions as usize,
        _ => 0,
    };
    [input, branch, wide, queries.max(inner).max(input).max(convolved), attention.head_dim.into(), products]
}

impl Sizes {
    fn new(spec: &ModelSpec) -> Self {
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
        let cache = |s: &StackSpec| KeyValueCache::bytes(s, spec.numerics.keys, 1);
        let encoder_cache = encoder.map_or(0, cache);
        let cross = decoder.filter(|s| s.block.cross_attention).map_or(0, |s| s.num_hidden_layers as usize * cache(s));
        let states = encoder.map_or(0, |s| 4 * s.hidden_size as usize);
        let logits = words(head.num_outputs as usize);
        let wide = words(wide);
        Self {
            hidden: decoder.map_or(0, |s| words(s.hidden_size as usize)),
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

    fn fixed(&self) -> usize {
        self.query + self.products + self.beyond_wide
    }

    fn tile(&self) -> usize {
        self.hidden + self.normed + self.branch + self.wide + self.quantized + SCALE_BYTES
    }
}

/// Bytes of so many 32-bit values, as a buffer has them.
const fn words(len: usize) -> usize {
    (4 * len).next_multiple_of(ALIGNMENT)
}

/// How much memory a model needs, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    coefficients: Coefficients,
    tokens: usize,
    source: usize,
    tile: usize,
    beams: usize,
}

impl MemoryPlan {
    /// For up to `tokens` tokens of the decoder and `source` of the encoder, `tile` at a time.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] when the model has not so many positions; [`Error::InvalidSpec`] when the specification is out of bounds.
    pub fn new(spec: &ModelSpec, tokens: usize, source: usize, tile: usize) -> Result<Self, Error> {
        let coefficients = Coefficients::new(spec).ok_or(Error::BadLayout("memory plan"))?;
        for (stack, given) in [(&spec.decoder, tokens), (&spec.encoder, source)] {
            let limit = stack.as_ref().map_or(usize::MAX, |stack| stack.max_positions as usize);
            if given > limit {
                return Err(Error::TooManyTokens { limit, given });
            }
        }
        Ok(Self { coefficients, tokens, source, tile: tile.clamp(1, 1024), beams: 1 })
    }

    /// The blob's own tile, and `max_tokens` of both stacks, as [`arena_bytes`] has it.
    ///
    /// # Errors
    /// As [`MemoryPlan::new`].
    pub fn standard(spec: &ModelSpec, max_tokens: usize) -> Result<Self, Error> {
        Self::new(spec, max_tokens, max_tokens, spec.numerics.tile.into())
    }

    /// The same with caches for several texts at a time, which [`beam_search`](crate::task::beam_search) needs; at most
    /// [`MAX_BEAMS`](crate::task::MAX_BEAMS).
    #[must_use]
    pub const fn with_beams(self, beams: usize) -> Self {
        let beams = if beams < 1 { 1 } else { beams };
        Self { beams: if beams > MAX_BEAMS { MAX_BEAMS } else { beams }, ..self }
    }

    /// Bytes of arena.
    pub const fn bytes(&self) -> u64 {
        self.coefficients.bytes_of_beams(self.tokens, self.source, self.tile, self.beams)
    }

    /// Texts that a decoder can hold at a time.
    pub const fn beams(&self) -> usize {
        self.beams
    }

    /// Bytes of the key and value caches, of all layers that keep one.
    pub fn cache_bytes(&self, spec: &ModelSpec) -> u64 {
        let sizes = Sizes::new(spec);
        let own = self.coefficients.beam_bytes(self.tokens, self.tile).saturating_mul(self.beams as u64);
        let states = spec.encoder.map_or(0, |s| 4 * u64::from(s.hidden_size));
        let of_source = (sizes.per_source as u64).saturating_sub(states).saturating_mul(round_up(self.source));
        own.saturating_add(of_source)
    }

    /// Tokens of the decoder and of the encoder, as the buffers have them; none of a stack that the model has not.
    fn rows(&self, spec: &ModelSpec) -> (usize, usize) {
        let rows = |stack: bool, tokens: usize| if stack { address(round_up(tokens)) } else { 0 };
        (rows(spec.decoder.is_some(), self.tokens), rows(spec.encoder.is_some(), self.source))
    }

    /// Tokens that go through a layer together.
    pub const fn tile(&self) -> usize {
        self.tile
    }

    /// The longest output, or input of a model that only decodes.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// The longest input of the encoder.
    pub const fn source(&self) -> usize {
        self.source
    }
}

/// The arena, cut into buffers. Shapes are `[rows, width]` with `tile` rows unless said otherwise.
pub(crate) struct Workspace<'a> {
    /// The decoder's residual stream, `[tile, hidden_size]`.
    pub(crate) hidden: &'a mut [i32],
    /// The encoder's, of the whole source: `[source, hidden_size]`.
    pub(crate) states: &'a mut [i32],
    /// Every key and value of the decoder, layer after layer.
    pub(crate) cache: &'a mut [u8],
    /// One layer's keys and values of the encoder.
    pub(crate) encoder_cache: &'a mut [u8],
    /// Keys and values of the encoder's output, for each layer of the decoder.
    pub(crate) cross_cache: &'a mut [u8],
    /// What one tile needs while it is in a layer. Between layers nothing in it is kept, so the head works there, too.
    pub(crate) scratch: Scratch<'a>,
}

/// What one tile needs while it is in a layer.
pub(crate) struct Scratch<'a> {
    /// Input or output of a sublayer, `[tile, hidden_size]`. The head's input.
    pub(crate) normed: &'a mut [i32],
    /// Attention's result where the feed-forward network runs beside it, `[tile, hidden_size]`; or the narrow stream of a
    /// bottleneck.
    pub(crate) branch: &'a mut [i32],
    /// Queries, keys and values; then the feed-forward network's inside. The head's result, `[num_outputs]`, for which it is
    /// longer than a tile takes where it must be.
    pub(crate) wide: &'a mut [i32],
    /// Quantized rows, `i8` or `i16`.
    pub(crate) quantized: &'a mut [u8],
    /// Their scales, `[tile]`.
    pub(crate) scales: &'a mut [u16],
    /// What one head needs while it attends.
    pub(crate) head: HeadBuffers<'a>,
}

impl<'a> Scratch<'a> {
    fn carve(carver: &mut Carver<'a>, sizes: &Sizes, tile: usize, scores: usize) -> Result<Self, Error> {
        Ok(Self {
            normed: carver.take(tile * sizes.normed)?,
            branch: carver.take(tile * sizes.branch)?,
            wide: carver.take(tile * sizes.wide + sizes.beyond_wide)?,
            quantized: carver.take(tile * sizes.quantized)?,
            scales: carver.take(tile * SCALE_BYTES)?,
            head: HeadBuffers {
                query: carver.take(sizes.query)?,
                scores: carver.take(SCORE_BYTES * scores)?,
                products: carver.take(sizes.products)?,
            },
        })
    }

    /// Another thread's, in memory of [`bytes`](Self::bytes) at a 16-byte boundary.
    #[cfg(feature = "std")]
    pub(crate) fn new(spec: &ModelSpec, plan: &MemoryPlan, bytes: &'a mut [u8]) -> Result<Self, Error> {
        let (tokens, source) = plan.rows(spec);
        Self::carve(&mut Carver { rest: bytes }, &Sizes::new(spec), plan.tile, tokens + source)
    }

    #[cfg(feature = "std")]
    pub(crate) fn bytes(spec: &ModelSpec, plan: &MemoryPlan) -> usize {
        let sizes = Sizes::new(spec);
        let (tokens, source) = plan.rows(spec);
        plan.tile * (sizes.tile() - sizes.hidden) + sizes.fixed() + SCORE_BYTES * (tokens + source)
    }
}

/// What one head needs while it attends.
pub(crate) struct HeadBuffers<'a> {
    /// One token's query, quantized: `[head_dim]`.
    pub(crate) query: &'a mut [i16],
    /// Scores, then weights: `[keys]`.
    pub(crate) scores: &'a mut [i32],
    /// A query's products with the vectors of distances: `[positions]`.
    pub(crate) products: &'a mut [i32],
}

impl<'a> Workspace<'a> {
    /// Cuts an arena as the plan says.
    pub(crate) fn new(spec: &ModelSpec, plan: &MemoryPlan, arena: &'a mut [u8]) -> Result<Self, Error> {
        let needed = plan.bytes();
        let given = arena.len();
        if (given as u64) < needed {
            return Err(Error::ArenaTooSmall { needed: usize::try_from(needed).unwrap_or(usize::MAX), given });
        }
        if !arena.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(Error::ArenaMisaligned);
        }
        let sizes = Sizes::new(spec);
        let c = &plan.coefficients;
        let tile = plan.tile;
        let (own, source) = plan.rows(spec);
        let states = spec.encoder.as_ref().map_or(0, |s| 4 * s.hidden_size as usize);
        let cache = c.beam_bytes(plan.tokens, tile) as usize * plan.beams;
        let mut carver = Carver { rest: arena };
        Ok(Self {
            hidden: carver.take(tile * sizes.hidden)?,
            states: carver.take(source * states)?,
            cache: carver.take(cache)?,
            encoder_cache: carver.take(source * sizes.encoder_cache)?,
            cross_cache: carver.take(source * (sizes.per_source - states - sizes.encoder_cache))?,
            scratch: Scratch::carve(&mut carver, &sizes, tile, own + source)?,
        })
    }
}

/// Takes typed buffers off the front of the arena.
struct Carver<'a> {
    rest: &'a mut [u8],
}

impl<'a> Carver<'a> {
    fn take<T: Pod>(&mut self, bytes: usize) -> Result<&'a mut [T], Error> {
        let given = self.rest.len();
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(bytes).ok_or(Error::ArenaTooSmall { needed: bytes, given })?;
        self.rest = rest;
        try_cast_slice_mut(taken).map_err(|_| Error::ArenaMisaligned)
    }
}

/// One layer's keys and values, `[kv_heads, slots, head_dim]`, with the bits of a [`Scale`] for each token and head.
pub(crate) struct KeyValueCache<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) values: &'a mut [i8],
    /// `[kv_heads, slots]`.
    pub(crate) key_scales: &'a mut [u16],
    /// `[kv_heads, slots]`.
    pub(crate) value_scales: &'a mut [u16],
    /// Tokens that fit; the token at position `p` is in slot `p % slots`.
    pub(crate) slots: usize,
}

/// Keys at either width.
pub(crate) enum Keys<'a> {
    K8(&'a mut [i8]),
    K16(&'a mut [i16]),
}

impl Keys<'_> {
    /// Bits that a key has besides its sign.
    pub(crate) fn bits(&self) -> u32 {
        match self {
            Self::K8(_) => 7,
            Self::K16(_) => 15,
        }
    }
}

impl<'a> KeyValueCache<'a> {
    /// A layer's part of a region, which holds `slots` tokens.
    pub(crate) fn new(region: &'a mut [u8], stack: &StackSpec, width: KeyWidth, slots: usize) -> Result<Self, Error> {
        let attention = &stack.block.attention;
        let values = attention.key_value_size() * slots;
        let scales = attention.num_key_value_heads as usize * slots * Scale::BYTES;
        let mut carver = Carver { rest: region };
        Ok(Self {
            keys: match width {
                KeyWidth::K8 => Keys::K8(carver.take(values)?),
                KeyWidth::K16 => Keys::K16(carver.take(2 * values)?),
            },
            values: carver.take(values)?,
            key_scales: carver.take(scales)?,
            value_scales: carver.take(scales)?,
            slots,
        })
    }

    /// Bytes of a layer's part.
    pub(crate) fn bytes(stack: &StackSpec, width: KeyWidth, slots: usize) -> usize {
        let attention = &stack.block.attention;
        let key_bytes = match width {
            KeyWidth::K8 => 1,
            KeyWidth::K16 => 2,
        };
        (attention.key_value_size() * (key_bytes + 1) + attention.num_key_value_heads as usize * 2 * Scale::BYTES)
            * slots
    }

    /// Takes over the tokens at these positions, which the other cache holds.
    #[cfg(feature = "std")]
    pub(crate) fn copy_from(&mut self, other: &KeyValueCache<'_>, positions: core::ops::Range<usize>) {
        let head_dim = self.values.len() / self.value_scales.len().max(1);
        for head in 0..self.value_scales.len() / self.slots.max(1) {
            for position in positions.clone() {
                let to = head * self.slots + position % self.slots;
                let from = head * other.slots + position % other.slots;
                let (to_row, from_row) = (to * head_dim..(to + 1) * head_dim, from * head_dim..(from + 1) * head_dim);
                self.key_scales[to] = other.key_scales[from];
                self.value_scales[to] = other.value_scales[from];
                self.values[to_row.clone()].copy_from_slice(&other.values[from_row.clone()]);
                match (&mut self.keys, &other.keys) {
                    (Keys::K8(keys), Keys::K8(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    (Keys::K16(keys), Keys::K16(other)) => keys[to_row].copy_from_slice(&other[from_row]),
                    _ => {}
                }
            }
        }
    }
}

/// Where a decoder's layer finds its cache, and how many slots it has.
pub(crate) fn decoder_slots(stack: &StackSpec, layer: usize, plan: &MemoryPlan) -> usize {
    match stack.block.attention.window_of(layer) {
        Some(window) => window_slots(plan.tokens, window, plan.tile),
        None => address(round_up(plan.tokens)),
    }
}
