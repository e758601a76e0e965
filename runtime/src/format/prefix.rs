//! Lays out a prefix: the decoder's state after a text that every prompt begins with, read from
//! flash.
//!
//! A prefix has a header of [`WORDS`] little-endian words; the hidden state of the last token, for
//! the head; the tokens' ids; for each layer, keys and values in the format of a cache, with the
//! number of tokens rounded up to the alignment, or, for a short convolution, its last products; and
//! a CRC-32 of everything before it. Each of these begins at a 16-byte boundary.

use core::ops::Range;

use super::blob::FORMAT_VERSION;
use super::layout::ALIGNMENT;
use super::memory::{decoder_layer_bytes, layer_cache_bytes};
use super::spec::{Blocks, KeyWidth, ModelSpec, StackSpec};
use crate::features;

/// `KPFX`, as a little-endian word.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"KPFX");
/// The version of the layout, and, above it, the version of the blob that computed the values.
pub(crate) const VERSION: u32 = 1 | (FORMAT_VERSION as u32) << 16;
/// Words of the header: the magic, the version, the blob's checksum, the number of bytes, the
/// number of tokens, whether there is a hidden state for the head, a zero, and `hidden_size`.
pub(crate) const WORDS: usize = 8;
/// Bytes of the checksum at the end.
pub(crate) const CHECKSUM: usize = 4;

/// The header of a prefix, or `None` if magic or version differ.
pub(crate) const fn header(bytes: &[u8]) -> Option<[u32; WORDS]> {
    let Some(first) = bytes.as_chunks::<4>().0.first_chunk::<WORDS>() else { return None };
    let mut words = [0; WORDS];
    let mut word = 0;
    while word < WORDS {
        words[word] = u32::from_le_bytes(first[word]);
        word += 1;
    }
    if words[0] == MAGIC && words[1] == VERSION { Some(words) } else { None }
}

/// The number of tokens in a prefix's header, or `None` if `bytes` does not begin with one.
pub(crate) const fn tokens(bytes: &[u8]) -> Option<usize> {
    match header(bytes) {
        Some([_, _, _, _, tokens, ..]) => Some(tokens as usize),
        None => None,
    }
}

/// Cache slots of a layer in a prefix of `tokens` tokens, per head. A short convolution keeps the
/// products that later tokens reach.
pub(crate) fn slots(stack: &StackSpec, layer: usize, tokens: usize) -> usize {
    match stack.short_convolution(layer) {
        Some(convolution) => tokens.min(usize::from(convolution.kernel_size).saturating_sub(1)),
        None => rounded(tokens),
    }
}

fn rounded(tokens: usize) -> usize {
    tokens.next_multiple_of(ALIGNMENT)
}

/// The byte offsets of a prefix's parts.
pub(crate) struct Places {
    /// The tokens' ids.
    pub(crate) ids: Range<usize>,
    /// Bytes of a layer with attention. The first layer follows the ids and their padding.
    layer: usize,
    /// Bytes of a layer with a short convolution.
    products: usize,
    /// The layers with a short convolution.
    short: Blocks,
}

impl Places {
    /// The offsets for `tokens` tokens, at most `max_positions`.
    pub(crate) fn new(stack: &StackSpec, keys: KeyWidth, tokens: usize) -> Self {
        let ids = (4 * (WORDS + stack.hidden_size as usize)).next_multiple_of(ALIGNMENT);
        let short = stack.convolution.short().map_or(Blocks::NONE, |convolution| Blocks(convolution.layers));
        let first = short.0.trailing_zeros() as usize;
        Self {
            ids: ids..ids + 4 * tokens,
            layer: layer_cache_bytes(stack, keys, rounded(tokens)),
            products: decoder_layer_bytes(stack, first, keys, slots(stack, first, tokens)),
            short,
        }
    }

    /// The bytes of a layer's keys and values, or of its products.
    pub(crate) fn layer(&self, layer: usize) -> Range<usize> {
        let start = self.ids.end.next_multiple_of(ALIGNMENT);
        if !features::SHORT_CONVOLUTIONS || self.short.is_empty() {
            let start = start + layer * self.layer;
            return start..start + self.layer;
        }
        let before = self.short.before(layer as u16) as usize;
        let start = start + (layer - before) * self.layer + before * self.products;
        start..start + if self.short.contains(layer as u16) { self.products } else { self.layer }
    }

    /// Bytes of the whole prefix, or `None` if they exceed 32 bits.
    pub(crate) fn bytes(spec: &ModelSpec, tokens: usize) -> Option<usize> {
        let stack = spec.decoder.as_ref()?;
        let one = layer_cache_bytes(stack, spec.numerics.keys, 1) as u64;
        let places = Self::new(stack, spec.numerics.keys, 0);
        let convolving = places.short.0.count_ones();
        let layers = one * rounded(tokens) as u64 * u64::from(u32::from(stack.num_hidden_layers) - convolving);
        let products = if convolving > 0 { Self::new(stack, spec.numerics.keys, tokens).products } else { 0 };
        let before = places.ids.start + rounded(4 * tokens) + products * convolving as usize + CHECKSUM;
        u32::try_from(layers.checked_add(before as u64)?).ok().map(|bytes| bytes as usize)
    }
}
