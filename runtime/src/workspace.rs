//! Divides the caller's memory into the buffers of a session.
//!
//! The caller provides one aligned buffer, the *arena*, which is all the memory that a session
//! uses. [`MemoryPlan`] computes its size, which is equal on the host and on the device. The
//! coefficients are in the blob's prelude, where a constant expression can read them:
//! [`arena_bytes`] sizes a static buffer from the blob.

use bytemuck::{Pod, try_cast_slice_mut};

use crate::error::RunError;
use crate::format::blob::plan_words;
use crate::format::layout::ALIGNMENT;
use crate::format::memory::{Coefficients, MemoryPlan, SCALE_BYTES, SCORE_BYTES, Sizes, address, prefix_bytes};
use crate::format::prefix;
use crate::format::spec::{ModelSpec, StackSpec};
use crate::step::Step;

/// Bytes at the 16-byte alignment that blobs and arenas need.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// The size of the arena that a model needs for up to `max_tokens` tokens of input, and of output.
///
/// Returns `usize::MAX` if the bytes do not begin with the prelude of a blob of this version, or
/// the size cannot be addressed. [`arena!`](crate::arena!) with that length does not compile.
/// [`Model::from_bytes`](crate::Model::from_bytes) checks that the size stated in a blob is right.
///
/// ```
/// # const MODEL: &[u8] = &[0; 64];
/// const ARENA: usize = kinglet::arena_bytes(MODEL, 128);
/// assert_eq!(ARENA, usize::MAX, "zeros are not a blob");
/// ```
pub const fn arena_bytes(blob: &[u8], max_tokens: usize) -> usize {
    arena_bytes_seq2seq(blob, max_tokens, max_tokens)
}

/// [`arena_bytes`] for an encoder-decoder that reads up to `source` tokens and generates up to
/// `target`.
pub const fn arena_bytes_seq2seq(blob: &[u8], source: usize, target: usize) -> usize {
    arena_bytes_beams(blob, source, target, 1)
}

/// [`arena_bytes_seq2seq`] for a beam search with `beams` beams.
pub const fn arena_bytes_beams(blob: &[u8], source: usize, target: usize, beams: usize) -> usize {
    let Some(words) = plan_words(blob) else { return usize::MAX };
    let coefficients = Coefficients::from_words(words);
    let tile = coefficients.tile as usize;
    address(coefficients.bytes_of_beams(target, source, tile, beams))
}

/// [`arena_bytes`] for a session that [continues a prefix](crate::Session::after) with up to
/// `max_tokens` tokens after it.
///
/// Also returns `usize::MAX` if `prefix` does not begin with the header of a prefix.
///
/// ```
/// # const MODEL: &[u8] = &[0; 64];
/// # const PREFIX: &[u8] = &[0; 64];
/// const ARENA: usize = kinglet::arena_bytes_after(MODEL, PREFIX, 128);
/// assert_eq!(ARENA, usize::MAX, "zeros are not a blob");
/// ```
pub const fn arena_bytes_after(blob: &[u8], prefix: &[u8], max_tokens: usize) -> usize {
    let Some(tokens) = prefix::tokens(prefix) else { return usize::MAX };
    let bytes = arena_bytes(blob, max_tokens);
    if bytes == usize::MAX { bytes } else { address((bytes as u64).saturating_add(prefix_bytes(tokens))) }
}

/// An arena of `$bytes` zeros, aligned, for a local variable. For a static one, declare
/// `static ARENA: StaticCell<Aligned<[u8; N]>>`.
///
/// ```
/// let mut arena = kinglet::arena!(1024);
/// assert_eq!(arena.0.len(), 1024);
/// ```
///
/// A file that is not a blob of this version does not compile:
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

/// The length of an [`arena!`]. In a constant, `usize::MAX` does not compile.
#[doc(hidden)]
pub const fn arena_len(bytes: usize) -> usize {
    assert!(
        bytes != usize::MAX,
        "not a blob of this version of kinglet, or its arena exceeds the address space: convert the checkpoint again"
    );
    bytes
}

/// Embeds a blob in the program at the alignment that it needs. Can be used in a `const`.
///
/// ```
/// // Any file shows the alignment; a real one is `include_model!("../model.kinglet")`.
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

/// The buffers of the arena.
pub(crate) struct Workspace<'a> {
    /// The decoder's residual stream, `[tile, hidden_size]`.
    pub(crate) hidden: &'a mut [i32],
    /// The encoder's residual stream, `[source, hidden_size]`.
    pub(crate) states: &'a mut [i32],
    /// The hidden state of an earlier tile, for the head, `[hidden_size]`; empty if it needs none.
    pub(crate) kept: &'a mut [i32],
    /// For each beam of the decoder, the keys and values of each layer, then, if the model has a
    /// padding token, the number of non-padding tokens up to each token.
    pub(crate) cache: &'a mut [u8],
    /// The keys and values of the encoder's current layer.
    pub(crate) encoder_cache: &'a mut [u8],
    /// The keys and values of the encoder's output, for each layer of the decoder.
    pub(crate) cross_cache: &'a mut [u8],
    /// The buffers of a tile in a layer. Their contents are not kept between layers, and the head
    /// uses them, too.
    pub(crate) scratch: Scratch<'a>,
}

/// The buffers of a tile in a layer.
pub(crate) struct Scratch<'a> {
    /// The input or output of a sublayer, `[tile, hidden_size]`; the head's input.
    pub(crate) normed: &'a mut [i32],
    /// Attention's result while a parallel feed-forward network runs, `[tile, hidden_size]`, or the
    /// narrow stream of a bottleneck.
    pub(crate) branch: &'a mut [i32],
    /// Queries, keys and values; then the intermediate values of the feed-forward network. Also the
    /// head's result, `[num_outputs]`, which may need more than a tile.
    pub(crate) wide: &'a mut [i32],
    /// Quantized rows, `i8` or `i16`.
    pub(crate) quantized: &'a mut [u8],
    /// The scales of the quantized rows, `[tile]`.
    pub(crate) scales: &'a mut [u16],
    /// The buffers of one attention head.
    pub(crate) head: HeadBuffers<'a>,
    /// The progress of the current step.
    pub(crate) step: Step,
}

impl<'a> Scratch<'a> {
    fn carve(carver: &mut Carver<'a>, sizes: &Sizes, tile: usize, scores: usize) -> Result<Self, RunError> {
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
            step: Step::WHOLE,
        })
    }

    /// The buffers of another thread, in [`bytes`](Self::bytes) bytes at a 16-byte boundary.
    #[cfg(feature = "std")]
    pub(crate) fn new(spec: &ModelSpec, plan: &MemoryPlan, bytes: &'a mut [u8]) -> Result<Self, RunError> {
        Self::carve(&mut Carver { rest: bytes }, &Sizes::new(spec), plan.tile, plan.visible(spec))
    }

    #[cfg(feature = "std")]
    pub(crate) fn bytes(spec: &ModelSpec, plan: &MemoryPlan) -> usize {
        let sizes = Sizes::new(spec);
        plan.tile * (sizes.tile() - sizes.hidden) + sizes.fixed() + SCORE_BYTES * plan.visible(spec)
    }
}

/// The buffers of one attention head.
pub(crate) struct HeadBuffers<'a> {
    /// A quantized query, `[head_dim]`.
    pub(crate) query: &'a mut [i16],
    /// Scores, later softmax weights, `[keys]`.
    pub(crate) scores: &'a mut [i32],
    /// A query's products with distance vectors, `[positions]`.
    pub(crate) products: &'a mut [i32],
}

impl<'a> Workspace<'a> {
    /// Carves the buffers of a plan out of an arena.
    pub(crate) fn new(spec: &ModelSpec, plan: &MemoryPlan, arena: &'a mut [u8]) -> Result<Self, RunError> {
        let needed = plan.bytes();
        let given = arena.len();
        if (given as u64) < needed {
            return Err(RunError::ArenaTooSmall { needed: usize::try_from(needed).unwrap_or(usize::MAX), given });
        }
        if !arena.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(RunError::ArenaMisaligned);
        }
        let sizes = Sizes::new(spec);
        let c = &plan.coefficients;
        let tile = plan.tile;
        let (_, source) = plan.rows(spec);
        let states = spec.encoder.as_ref().map_or(0, |s| 4 * s.hidden_size as usize);
        let cache = c.beam_bytes(plan.tokens, tile) as usize * plan.beams;
        let mut carver = Carver { rest: arena };
        Ok(Self {
            hidden: carver.take(tile * sizes.hidden)?,
            kept: carver.take(sizes.kept)?,
            states: carver.take(source * states)?,
            cache: carver.take(cache)?,
            encoder_cache: carver.take(source * sizes.encoder_cache)?,
            cross_cache: carver.take(source * (sizes.per_source - states - sizes.encoder_cache))?,
            scratch: Scratch::carve(&mut carver, &sizes, tile, plan.visible(spec))?,
        })
    }
}

/// Splits typed buffers off the front of the arena.
pub(crate) struct Carver<'a> {
    pub(crate) rest: &'a mut [u8],
}

impl<'a> Carver<'a> {
    pub(crate) fn take<T: Pod>(&mut self, bytes: usize) -> Result<&'a mut [T], RunError> {
        let given = self.rest.len();
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(bytes).ok_or(RunError::ArenaTooSmall { needed: bytes, given })?;
        self.rest = rest;
        try_cast_slice_mut(taken).map_err(|_| RunError::ArenaMisaligned)
    }
}

/// The number of non-padding tokens up to each token, at the end of a beam's cache; empty if the
/// model has no padding token.
pub(crate) fn counted<'a>(stack: &StackSpec, plan: &MemoryPlan, cache: &'a mut [u8]) -> &'a mut [u16] {
    let bytes = plan.counted_bytes(stack);
    let counts = cache.len().checked_sub(bytes).and_then(|start| cache.get_mut(start..)).unwrap_or(&mut []);
    try_cast_slice_mut(counts).unwrap_or(&mut [])
}
